//! What a model is told of a frame as a whole. Never computed from a tile.

use super::noise::image_noise;
use super::validity::Invalid;
use crate::source::Frame;

/// How many points of a frame its statistics are computed from, at most about.
const POINTS: usize = 16_384;
/// Share of the points at the frame's largest value from which on it may be a limit, and how many times as many as at the
/// next value below have to be there.
const AT_LIMIT: f64 = 1e-3;
const OVER_NEXT: usize = 8;

/// The fixed sub-lattice of a frame on which its statistics are computed: every `stride`-th row and column, about
/// 16,000 points whatever the frame's size, every pixel of a small frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lattice {
    shape: [usize; 2],
    stride: usize,
}

impl Lattice {
    /// The lattice of frames with these rows and columns.
    #[must_use]
    pub fn new(shape: [usize; 2]) -> Self {
        let mut stride: usize = 1;
        while shape[0].div_ceil(stride) * shape[1].div_ceil(stride) > POINTS {
            stride += 1;
        }
        Self { shape, stride }
    }

    /// Distance between neighbouring points, in pixels along each axis.
    #[must_use]
    pub fn stride(self) -> usize {
        self.stride
    }

    /// Row-major positions of the points.
    pub fn points(self) -> impl Iterator<Item = usize> {
        let [rows, columns] = self.shape;
        let start = move |n: usize| (self.stride / 2).min(n.saturating_sub(1) / 2);
        let stride = self.stride;
        (start(rows)..rows)
            .step_by(stride)
            .flat_map(move |r| (start(columns)..columns).step_by(stride).map(move |c| r * columns + c))
    }
}

/// Statistics of one frame's valid pixels, in its counts, and the buffers they are computed in.
#[derive(Clone, Debug, Default)]
pub struct FrameStatistics {
    /// Mean on the sub-lattice: the reference value that is subtracted before anything is rounded to f32.
    pub offset: f64,
    /// Standard deviation of the values on the sub-lattice, noise included.
    pub contrast: f64,
    /// Standard deviation of the white noise, see [`image_noise`].
    pub noise: f64,
    /// The largest value, where so many pixels have it that it looks like a limit of the camera (12 bits in 16, say).
    pub limit: Option<f64>,
    scratch: Vec<f64>,
}

impl FrameStatistics {
    /// Compute all of them for `frame`, reusing this value's buffers.
    pub fn compute(&mut self, frame: &Frame, invalid: &Invalid) {
        let lattice = Lattice::new(frame.shape);
        self.offset = self.mean(frame, invalid, lattice);
        self.contrast = spread(frame, invalid, lattice, self.offset);
        self.noise = image_noise(frame, invalid, &mut self.scratch);
        self.limit = limit(frame, invalid, lattice);
    }

    /// Mean of the valid pixels on `lattice`, of all valid pixels where the lattice meets none, else 0.
    #[must_use]
    pub fn mean(&self, frame: &Frame, invalid: &Invalid, lattice: Lattice) -> f64 {
        let mean = |points: &mut dyn Iterator<Item = usize>| {
            let (mut sum, mut count) = (0.0, 0u32);
            for i in points.filter(|&i| invalid.is_valid(i)) {
                sum += frame.pixels.get(i);
                count += 1;
            }
            (count > 0).then(|| sum / f64::from(count))
        };
        mean(&mut lattice.points()).or_else(|| mean(&mut (0..frame.pixels.len()))).unwrap_or(0.0)
    }
}

/// Root mean square distance from `mean` of the valid pixels on `lattice`; 0 where there are none.
fn spread(frame: &Frame, invalid: &Invalid, lattice: Lattice, mean: f64) -> f64 {
    let (mut sum, mut count) = (0.0, 0u32);
    for i in lattice.points().filter(|&i| invalid.is_valid(i)) {
        sum += (frame.pixels.get(i) - mean).powi(2);
        count += 1;
    }
    (sum / f64::from(count.max(1))).sqrt()
}

/// The largest value of the valid pixels on `lattice`, where it looks like a limit: a frame that has none falls off towards
/// its largest value, be it smooth, noisy or of few counts.
fn limit(frame: &Frame, invalid: &Invalid, lattice: Lattice) -> Option<f64> {
    let (mut largest, mut next) = ((f64::NEG_INFINITY, 0), (f64::NEG_INFINITY, 0));
    let mut points = 0;
    for value in lattice.points().filter(|&i| invalid.is_valid(i)).map(|i| frame.pixels.get(i)) {
        points += 1;
        if value > largest.0 {
            next = std::mem::replace(&mut largest, (value, 1));
        } else if value == largest.0 {
            largest.1 += 1;
        } else if value > next.0 {
            next = (value, 1);
        } else if value == next.0 {
            next.1 += 1;
        }
    }
    let often = largest.1 as f64 >= (AT_LIMIT * f64::from(points)).max(OVER_NEXT as f64);
    (often && next.1 > 0 && largest.1 > OVER_NEXT * next.1).then_some(largest.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Pixels;
    use crate::stream::Outliers;
    use crate::stream::validity::Saturation;

    fn computed(frame: &Frame) -> FrameStatistics {
        let mut statistics = FrameStatistics::default();
        let mut invalid = Invalid::default();
        invalid.prepare(frame, Saturation::Auto, Outliers::Keep, &mut statistics);
        statistics.compute(frame, &invalid);
        statistics
    }

    #[test]
    fn the_lattice_is_bounded_and_inside() {
        for shape in [[1, 1], [1, 1_000_000], [112, 112], [2048, 2048], [3, 5000]] {
            let points: Vec<_> = Lattice::new(shape).points().collect();
            assert!(!points.is_empty() && points.len() <= POINTS, "{shape:?}: {}", points.len());
            assert!(points.iter().all(|&i| i < shape[0] * shape[1]));
        }
        assert_eq!(Lattice::new([100, 100]).points().count(), 10_000);
    }

    #[test]
    fn the_mean_moves_with_an_offset_and_ignores_invalid_pixels() {
        let ramp = |offset: f32| {
            let mut v: Vec<f32> = (0..10_000).map(|i| offset + i as f32 / 10_000.0).collect();
            v[5000] = f32::NAN;
            Frame { index: 0, time: None, shape: [100, 100], pixels: Pixels::F32(v) }
        };
        let (a, b) = (computed(&ramp(0.0)), computed(&ramp(256.0)));
        assert!((a.offset - 0.5).abs() < 1e-3);
        assert!((b.offset - a.offset - 256.0).abs() < 1e-4);
        // A ramp from 0 to 1.
        assert!((a.contrast - 12f64.sqrt().recip()).abs() < 1e-3 && (a.contrast - b.contrast).abs() < 1e-4);
    }

    #[test]
    fn a_limit_is_told_from_a_largest_value() {
        // Values from 0 to 1, of which so many bits are kept, cut off at so much.
        let frame = |values: &dyn Fn(usize) -> f64| {
            let pixels = Pixels::F64((0..10_000).map(values).collect());
            Frame { index: 0, time: None, shape: [100, 100], pixels }
        };
        let wave = |i: usize| ((i % 100) as f64 / 15.0).sin() * ((i / 100) as f64 / 15.0).cos();
        let noise = |i: usize| (i as f64 * 78.233).sin() * 43_758.545_3 % 1.0;
        let camera = |i: usize| (2000.0 + 1500.0 * wave(i) + 30.0 * noise(i)).round();
        assert_eq!(computed(&frame(&|i| camera(i).min(3000.0))).limit, Some(3000.0));
        assert_eq!(computed(&frame(&camera)).limit, None);
        assert_eq!(computed(&frame(&wave)).limit, None);
        assert_eq!(computed(&frame(&|_| 7.0)).limit, None, "one value is no limit");
        // Few counts: the larger, the rarer.
        assert_eq!(computed(&frame(&|i| (3.0 * noise(i).powi(4)).round())).limit, None);
    }
}
