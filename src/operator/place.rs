//! Where the values of a stack of planes stand in memory.

/// Where the value of (plane, y, x) stands in a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Distance of neighbouring planes; 0 where one stands for all.
    pub plane: usize,
    /// Distance of neighbouring rows; 0 where one stands for all.
    pub row: usize,
    /// Distance of neighbouring columns: 1, or 0 where one value stands for a whole row.
    pub column: usize,
    /// The row that stands first; below zero where rows of zeros stand above the frame.
    pub first: isize,
    /// Rows of memory, after which the first is used again; [`usize::MAX`] where every row has its own.
    pub ring: usize,
    /// Columns of zeros before the first column, and as many behind the last.
    pub rim: usize,
}

impl Place {
    /// Planes of whole frames, one after the other in row-major order.
    #[must_use]
    pub fn whole(rows: usize, columns: usize) -> Self {
        Self { plane: rows * columns, row: columns, column: 1, first: 0, ring: usize::MAX, rim: 0 }
    }

    /// The row of memory in which row `y` stands.
    #[must_use]
    #[inline(always)]
    pub fn row_at(&self, y: isize) -> usize {
        debug_assert!(self.row == 0 || y >= self.first, "row {y} before {}", self.first);
        let row = (y - self.first).unsigned_abs();
        if row < self.ring { row } else { row % self.ring }
    }

    /// The index of (plane, y, x).
    #[must_use]
    #[inline(always)]
    pub fn at(&self, plane: usize, y: isize, x: usize) -> usize {
        plane * self.plane + self.row_at(y) * self.row + self.rim + x * self.column
    }
}
