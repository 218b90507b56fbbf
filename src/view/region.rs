//! A part of a map, with as many values as a page has pixels for.

use serde::Deserialize;

/// Which part, and how large at most.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    /// First row and column, and the ones after the last.
    pub(super) y0: usize,
    pub(super) x0: usize,
    pub(super) y1: usize,
    pub(super) x1: usize,
    /// Most values along either axis.
    pub(super) most: usize,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { y0: 0, x0: 0, y1: usize::MAX, x1: usize::MAX, most: 512 }
    }
}

/// The largest picture that is handed out, along either axis.
const LARGEST: usize = 2048;

/// A region of a map of which every `step` x `step` pixels become one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) from: [usize; 2],
    pub(super) to: [usize; 2],
    pub(super) step: usize,
}

impl Region {
    /// What is wanted of a map of `shape` (y, x): at least one pixel of it.
    pub(super) fn new(wanted: &Wanted, shape: [usize; 2]) -> Self {
        let axis = |from: usize, to: usize, size: usize| {
            let from = from.min(size.saturating_sub(1));
            (from, to.clamp(from + 1, size.max(from + 1)))
        };
        let (y0, y1) = axis(wanted.y0, wanted.y1, shape[0]);
        let (x0, x1) = axis(wanted.x0, wanted.x1, shape[1]);
        let longest = (y1 - y0).max(x1 - x0);
        let step = longest.div_ceil(wanted.most.clamp(1, LARGEST));
        Self { from: [y0, x0], to: [y1, x1], step }
    }

    /// Rows and columns of the picture.
    pub(super) fn shape(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.to[axis] - self.from[axis]).div_ceil(self.step))
    }

    /// Append the values of a map with `columns` columns: means of what is finite, NaN where nothing is.
    pub(super) fn draw(&self, values: &[f32], columns: usize, bytes: &mut Vec<u8>) {
        let spans = |axis: usize| {
            let (from, to, step) = (self.from[axis], self.to[axis], self.step);
            (from..to).step_by(step).map(move |start| start..(start + step).min(to))
        };
        for rows in spans(0) {
            if self.step == 1 {
                let row = values.get(rows.start * columns + self.from[1]..rows.start * columns + self.to[1]);
                bytes.extend(row.unwrap_or_default().iter().flat_map(|v| v.to_le_bytes()));
                continue;
            }
            for span in spans(1) {
                let block = rows.clone().flat_map(|row| {
                    let line = values.get(row * columns + span.start..row * columns + span.end);
                    line.unwrap_or_default()
                });
                bytes.extend((mean(block.copied()) as f32).to_le_bytes());
            }
        }
    }
}

/// The mean of what is finite.
pub(super) fn mean(values: impl Iterator<Item = f32>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values.filter(|v| v.is_finite()) {
        sum += f64::from(value);
        count += 1.0;
    }
    sum / count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(wanted: Wanted, shape: [usize; 2]) -> ([usize; 2], Vec<f32>) {
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|i| if i == 0 { f32::NAN } else { i as f32 }).collect();
        let region = Region::new(&wanted, shape);
        let mut bytes = Vec::new();
        region.draw(&values, shape[1], &mut bytes);
        (region.shape(), bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    #[test]
    fn a_region_is_cut_out_and_shrunk_by_means() {
        let (shape, values) = draw(Wanted { y0: 1, x0: 2, y1: 3, x1: 4, most: 10 }, [3, 4]);
        assert_eq!((shape, values), ([2, 2], vec![6.0, 7.0, 10.0, 11.0]));
        // 3 x 5 in steps of 2; the first block lacks its NaN.
        let (shape, values) = draw(Wanted { most: 3, ..Wanted::default() }, [3, 5]);
        assert_eq!((shape, values), ([2, 3], vec![4.0, 5.0, 6.5, 10.5, 12.5, 14.0]));
    }

    #[test]
    fn whatever_is_asked_for_something_is_given() {
        for (a, b, c, d, most) in [(9, 9, 0, 0, 0), (usize::MAX, 3, 1, usize::MAX, usize::MAX), (2, 2, 2, 2, 1)] {
            let (shape, values) = draw(Wanted { y0: a, x0: b, y1: c, x1: d, most }, [3, 4]);
            assert!(shape[0] * shape[1] >= 1 && values.len() == shape[0] * shape[1]);
        }
    }
}
