//! Which pixels of a frame can be trusted, and what stands in for the others.

use super::outliers::{Outliers, outliers};
use super::statistics::FrameStatistics;
use crate::source::{Frame, Pixels};

/// How far, in pixels along each axis, a hole is filled from its neighbours.
const REACH: usize = 3;

/// From which value on a pixel counts as saturated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Saturation {
    /// The largest value of an integer type; floating point does not saturate.
    #[default]
    Auto,
    /// No value counts as saturated.
    Off,
    /// This value and all above it, in the recording's own counts.
    Level(f64),
}

impl Saturation {
    /// The smallest saturated value for pixels of this type, if there is one.
    #[must_use]
    pub fn level(self, pixels: &Pixels) -> Option<f64> {
        match self {
            Self::Auto => pixels.saturation(),
            Self::Off => None,
            Self::Level(level) => Some(level),
        }
    }
}

/// The invalid pixels of one frame and the values that stand in for them.
///
/// A pixel is invalid when it is NaN, infinite, beyond single precision, saturated, or stands out from all around it (see
/// [`Outliers`]). Operators are linear and
/// must not see it, so it gets a value: the mean of the valid pixels within 3 px, weighted by 1 / distance^2,
/// or, deeper inside a hole, the frame's mean. The input `valid` is 0 there in either case. The value depends on
/// the frame alone, never on a tile.
#[derive(Clone, Debug, Default)]
pub struct Invalid {
    /// Row-major positions, ascending.
    index: Vec<u32>,
    /// One value for each position, in the recording's counts.
    fill: Vec<f64>,
    /// 1 for an invalid pixel, one byte a pixel; empty when every pixel is valid.
    mask: Vec<u8>,
    /// Those that stood out, row-major positions.
    outliers: Vec<u32>,
}

impl Invalid {
    /// Find the invalid pixels of `frame`, reusing this value's buffers. Their fill is 0 until
    /// [`fill`](Self::fill).
    pub fn find(&mut self, frame: &Frame, saturation: Saturation) {
        self.index.clear();
        self.fill.clear();
        self.mask.clear();
        self.outliers.clear();
        let level = saturation.level(&frame.pixels);
        match &frame.pixels {
            Pixels::U8(v) => collect(v, level, &mut self.index),
            Pixels::U16(v) => collect(v, level, &mut self.index),
            Pixels::F32(v) => collect(v, level, &mut self.index),
            Pixels::F64(v) => collect(v, level, &mut self.index),
        }
        self.mark(frame.pixels.len());
    }

    fn mark(&mut self, pixels: usize) {
        if !self.index.is_empty() {
            self.mask.resize(pixels, 0);
            for &i in &self.index {
                self.mask[i as usize] = 1;
            }
        }
    }

    /// Let the pixels of `frame` be invalid that stand out, given its white noise.
    fn leave_outliers_out(&mut self, frame: &Frame, noise: f64) {
        let mut found = std::mem::take(&mut self.outliers);
        outliers(frame, self, noise, &mut found);
        self.index.extend(&found);
        self.index.sort_unstable();
        self.outliers = found;
        self.mark(frame.pixels.len());
    }

    /// Choose the value that stands in for every invalid pixel of `frame`, whose valid pixels have this `mean`.
    pub fn fill(&mut self, frame: &Frame, mean: f64) {
        let [rows, columns] = frame.shape;
        self.fill.clear();
        for &position in &self.index {
            let (row, column) = (position as usize / columns, position as usize % columns);
            let (mut sum, mut weights) = (0.0, 0.0);
            for r in row.saturating_sub(REACH)..(row + REACH + 1).min(rows) {
                for c in column.saturating_sub(REACH)..(column + REACH + 1).min(columns) {
                    let i = r * columns + c;
                    if self.mask[i] == 0 {
                        let (dr, dc) = (r.abs_diff(row), c.abs_diff(column));
                        let weight = 1.0 / (dr * dr + dc * dc) as f64;
                        sum += weight * frame.pixels.get(i);
                        weights += weight;
                    }
                }
            }
            self.fill.push(if weights > 0.0 { sum / weights } else { mean });
        }
    }

    /// Find and fill, with the statistics of what is valid: what the pipeline does with every frame on arrival.
    pub fn prepare(
        &mut self,
        frame: &Frame,
        saturation: Saturation,
        outliers: Outliers,
        statistics: &mut FrameStatistics,
    ) {
        self.find(frame, saturation);
        statistics.compute(frame, self);
        if outliers == Outliers::LeaveOut {
            self.leave_outliers_out(frame, statistics.noise);
            if !self.outliers.is_empty() {
                statistics.compute(frame, self);
            }
        }
        if !self.index.is_empty() {
            self.fill(frame, statistics.offset);
        }
    }

    /// How many of the invalid pixels stood out.
    #[must_use]
    pub fn outlying(&self) -> usize {
        self.outliers.len()
    }

    /// How many pixels are invalid.
    #[must_use]
    pub fn count(&self) -> usize {
        self.index.len()
    }

    /// Whether the pixel at row-major position `i` is valid.
    #[must_use]
    pub fn is_valid(&self, i: usize) -> bool {
        self.mask.get(i).is_none_or(|&m| m == 0)
    }

    /// Row-major positions of the invalid pixels within the rows `first..end` of a frame with this many columns,
    /// and the values that stand in for them.
    pub(crate) fn in_rows(&self, first: usize, end: usize, columns: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let start = self.index.partition_point(|&i| (i as usize) < first * columns);
        let stop = self.index.partition_point(|&i| (i as usize) < end * columns);
        self.index[start..stop].iter().zip(&self.fill[start..stop]).map(|(&i, &v)| (i as usize, v))
    }
}

fn collect<T: Copy + Into<f64>>(values: &[T], level: Option<f64>, index: &mut Vec<u32>) {
    let level = level.unwrap_or(f64::INFINITY);
    // NaN fails both comparisons, so one expression finds all four kinds of invalid value.
    let valid = |v: f64| v < level && v.abs() <= f64::from(f32::MAX);
    for (chunk, block) in values.chunks(4096).enumerate() {
        if block.iter().all(|&v| valid(v.into())) {
            continue;
        }
        for (i, &v) in block.iter().enumerate() {
            if !valid(v.into()) {
                index.push((chunk * 4096 + i) as u32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(shape: [usize; 2], pixels: Pixels) -> Frame {
        Frame { index: 0, time: None, shape, pixels }
    }

    fn prepared(frame: &Frame, saturation: Saturation) -> Invalid {
        let mut invalid = Invalid::default();
        invalid.prepare(frame, saturation, Outliers::LeaveOut, &mut FrameStatistics::default());
        invalid
    }

    #[test]
    fn every_kind_of_invalid_value_is_found() {
        let values = vec![1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -2.0];
        let invalid = prepared(&frame([1, 6], Pixels::F64(values)), Saturation::Auto);
        assert_eq!(invalid.index, [1, 2, 3, 4]);
        assert!(invalid.is_valid(0) && !invalid.is_valid(4) && invalid.is_valid(5));
    }

    #[test]
    fn saturation_follows_the_type_the_level_or_nothing() {
        let counts = frame([1, 4], Pixels::U8(vec![0, 200, 254, 255]));
        assert_eq!(prepared(&counts, Saturation::Auto).count(), 1);
        assert_eq!(prepared(&counts, Saturation::Level(200.0)).count(), 3);
        assert_eq!(prepared(&counts, Saturation::Off).count(), 0);
    }

    #[test]
    fn a_small_hole_takes_its_neighbours_and_the_depth_of_a_large_one_the_mean() {
        let shape = [40, 40];
        let mut values = vec![5.0f32; 1600];
        values[20 * 40 + 20] = f32::NAN;
        let invalid = prepared(&frame(shape, Pixels::F32(values.clone())), Saturation::Auto);
        assert!((invalid.fill[0] - 5.0).abs() < 1e-12);

        for r in 10..30 {
            for c in 10..30 {
                values[r * 40 + c] = f32::NAN;
            }
        }
        values[..40].fill(9.0);
        let invalid = prepared(&frame(shape, Pixels::F32(values)), Saturation::Auto);
        let centre = invalid.index.iter().position(|&i| i == 20 * 40 + 20);
        let mean = (40.0 * 9.0 + (1600.0 - 400.0 - 40.0) * 5.0) / 1200.0;
        assert!(centre.is_some_and(|c| (invalid.fill[c] - mean).abs() < 1e-12));
    }

    #[test]
    fn a_frame_with_no_valid_pixel_is_filled_with_zero() {
        let invalid = prepared(&frame([3, 3], Pixels::F32(vec![f32::NAN; 9])), Saturation::Auto);
        assert_eq!(invalid.fill, [0.0; 9]);
    }
}
