//! A kernel along one axis with its edges: the taps that each position uses.

use alloc::vec::Vec;

use super::convolution::WIDEST;
use crate::kernel::Kernel;

/// What an operator does at the border of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// One-sided kernels over the fixed window of 2R+1 samples at the border.
    OneSided,
    /// Zeros outside.
    Zero,
}

/// Taps in single precision for every position along an axis.
#[derive(Clone, Debug)]
pub(super) struct AxisTaps {
    pub(super) radius: usize,
    interior: Vec<f32>,
    border: Border,
    /// Rows of 2R+1 taps over the first (last) 2R+1 samples, for the first (last) R positions.
    left: Vec<f32>,
    right: Vec<f32>,
}

/// Positions near a border with taps of their own, all over the same samples.
#[derive(Clone, Debug)]
pub(super) struct EdgeBlock {
    /// The positions.
    pub(super) range: core::ops::Range<usize>,
    /// The samples that any of them reads.
    pub(super) samples: core::ops::Range<usize>,
    /// Rows of taps, one for each sample, one column for each position; zero where a position does not read it.
    pub(super) taps: Vec<f32>,
    /// Columns of these rows: those of a vector at least, so that few positions take no longer than many.
    pub(super) pitch: usize,
}

impl AxisTaps {
    pub(super) fn new(kernel: &Kernel, border: Border) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "taps are designed in f64 and applied in f32")]
        let single = |taps: &[f64]| taps.iter().map(|t| *t as f32).collect::<Vec<f32>>();
        let one_sided = border == Border::OneSided;
        Self {
            radius: kernel.radius(),
            interior: single(kernel.taps()),
            border,
            left: if one_sided { single(kernel.edge_matrix()) } else { Vec::new() },
            right: if one_sided { single(&kernel.edge_matrix_right()) } else { Vec::new() },
        }
    }

    /// The first sample that position `i` of `n` reads, and its taps.
    pub(super) fn at(&self, i: usize, n: usize) -> (usize, &[f32]) {
        let (r, width) = (self.radius, 2 * self.radius + 1);
        match self.border {
            Border::OneSided if i < r => (0, &self.left[i * width..(i + 1) * width]),
            Border::OneSided if i + r >= n => {
                let row = i + r - n;
                (n - width, &self.right[row * width..(row + 1) * width])
            }
            Border::OneSided => (i - r, &self.interior),
            Border::Zero => {
                let from = i.saturating_sub(r);
                let to = (i + r + 1).min(n);
                (from, &self.interior[from + r - i..to + r - i])
            }
        }
    }

    /// The range of positions that use the interior taps.
    pub(super) fn inner(&self, n: usize) -> core::ops::Range<usize> {
        let from = self.radius.min(n);
        from..n.saturating_sub(self.radius).max(from)
    }

    /// The positions `range` of `n`, none of which uses the interior taps, as one dense block.
    pub(super) fn block(&self, range: core::ops::Range<usize>, n: usize) -> EdgeBlock {
        let reads = |i: usize| {
            let (from, taps) = self.at(i, n);
            from..from + taps.len()
        };
        let first = range.clone().map(|i| reads(i).start).min().unwrap_or(0);
        let end = range.clone().map(|i| reads(i).end).max().unwrap_or(first);
        let pitch = if range.is_empty() { 0 } else { range.len().max(WIDEST) };
        let mut taps = alloc::vec![0.0; (end - first) * pitch];
        for (column, i) in range.clone().enumerate() {
            let (from, own) = self.at(i, n);
            for (k, tap) in own.iter().enumerate() {
                taps[(from - first + k) * pitch + column] = *tap;
            }
        }
        EdgeBlock { range, samples: first..end, taps, pitch }
    }

    pub(super) fn interior(&self) -> &[f32] {
        &self.interior
    }
}
