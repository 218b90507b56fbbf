//! How strong the noise of a recording is, told from the recording itself.

use super::statistics::Lattice;
use super::validity::Invalid;
use crate::source::{Frame, Pixels};

/// Fourth differences: they annihilate every cubic, and 1 + 16 + 36 + 16 + 1 = 70 is their noise gain.
const FOURTH: [f64; 5] = [1.0, -4.0, 6.0, -4.0, 1.0];
const GAIN: f64 = 70.0;
/// Median of |z| for a standard normal z.
const MEDIAN_OF_NORMAL: f64 = 0.674_489_750_196_081_7;
/// Distance of the pixels in the farthest differences.
const FARTHEST: usize = 4;
/// Noise gain of averages from which on noise counts as shared: not at all, and wholly.
const SHARED: [f64; 2] = [1.2, 1.5];
/// Growth from distance 3 to 4 of what is noise alone (it is 1.1 at a blur of 0.9 pixels), and of structure.
const GROWING: [f64; 2] = [1.15, 1.5];
/// By how much the limits of both are higher for a series, which has fewer values. With white noise one series in twenty
/// shows a noise gain above 1.5 and a growth above 1.2 in 1,024 samples, 1.9 and 1.6 in 256, 2.2 and 1.7 in 128. Noise that
/// is told too large by a fifth costs little, shared noise that is not found costs the map: so the limits are low. Of
/// fewer than [`FEW`] samples they rise soon; in a long series, which is looked at in blocks of 1,024 again and again, none
/// of many may be wrong.
const SLACK: [f64; 2] = [0.3, 0.5];
const FEW: f64 = 96.0;
const MANY: [f64; 2] = [512.0, 1024.0];
/// Fewest differences that an estimate is made from.
const FEWEST: usize = 4;

/// Standard deviation of the noise in `frame`, in its counts: of white noise that disturbs averages over several pixels as
/// much as the frame's own does.
///
/// The median absolute value, over 0.6745, of the outer product of two fourth differences, on at most about
/// 16,000 points of the frame. Fields whose mixed eighth derivative is small against the noise do not bias it, and edges
/// or debris touch few points, which a median ignores. Where more than half of the differences are
/// equal (coarsely quantised counts) the median is 0 and the root mean square takes its place. Returns 0 when no point is
/// free of invalid pixels.
///
/// Noise that neighbours share (interpolation, binning of a colour filter, lossy compression) leaves little in differences
/// of neighbours and the more in averages (function `shared`). Where they share it over more than about three pixels it is
/// underestimated: give it with `--noise` then.
#[must_use]
pub fn image_noise(frame: &Frame, invalid: &Invalid, scratch: &mut Vec<f64>) -> f64 {
    let near = differences(frame, invalid, scratch, 1);
    let reach = (FOURTH.len() - 1) * FARTHEST;
    if near == 0.0 || frame.shape.iter().any(|n| *n <= reach) {
        return near;
    }
    let far = [2, 3, FARTHEST].map(|distance| differences(frame, invalid, scratch, distance));
    // Of the products along two axes the standard deviation is what the variance is along one.
    shared(near, far, 0.0)
}

/// White-equivalent noise from what differences of values 1 and 2, 3, 4 apart show, all as variances along one axis.
///
/// With r(k) the correlation of values k apart and none beyond 2, the variance at distance d is
/// `70 - 112 r(d) + 56 r(2d)`, and an average's is `1 + 2 r(1) + 2 r(2)` that of white noise. Structure of the field itself
/// also grows with the distance, but goes on to grow where noise no longer does: only so far as the farthest two agree is
/// it taken for noise. White noise is left at the estimate of neighbours, which is the surest. `slack` is added to the
/// limits of [`SHARED`] and of [`GROWING`].
fn shared(near: f64, [second, third, fourth]: [f64; 3], slack: f64) -> f64 {
    if third <= 0.0 || second <= 0.0 {
        return near;
    }
    let second_over_third = (second / third).min(1.0);
    let r2 = 0.625 * (1.0 - second_over_third);
    let r1 = 0.625 * (1.0 - (near / third).min(1.0)) + 0.5 * r2;
    let gain = 1.0 + 2.0 * r1 + 2.0 * r2;
    let step = |x: f64, [from, to]: [f64; 2]| {
        let t = ((x - slack - from) / (to - from)).clamp(0.0, 1.0);
        t * t * (3.0 - 2.0 * t)
    };
    let weight = step(gain, SHARED) * (1.0 - step(fourth / third, GROWING));
    near * ((third * gain).max(near) / near).powf(weight)
}

/// Standard deviation of white noise that would show these fourth differences of pixels `distance` apart.
fn differences(frame: &Frame, invalid: &Invalid, scratch: &mut Vec<f64>, distance: usize) -> f64 {
    let [rows, columns] = frame.shape;
    // An axis too short for the stencil is not differenced.
    let along = |n: usize| {
        if n > (FOURTH.len() - 1) * distance { (&FOURTH[..], GAIN) } else { (&[1.0][..], 1.0) }
    };
    let ((down, gain_y), (across, gain_x)) = (along(rows), along(columns));
    if down.len() == 1 && across.len() == 1 {
        return 0.0;
    }
    let stride = Lattice::new(frame.shape).stride();
    // Far ones only tell whether noise is shared: half of the points will do.
    let stride_down = if distance > 1 { 2 * stride } else { stride };
    let span = |taps: usize| (taps - 1) * distance;
    let is_whole = invalid.count() == 0;
    // First down every column, many at a time: those of a row, and behind them what is found across.
    scratch.clear();
    scratch.resize(columns, 0.0);
    for top in (0..rows - span(down.len())).step_by(stride_down) {
        let rows = |r: usize| (top + r * distance) * columns..(top + r * distance + 1) * columns;
        match &frame.pixels {
            Pixels::U8(v) => weigh(down, |r| &v[rows(r)], &mut scratch[..columns]),
            Pixels::U16(v) => weigh(down, |r| &v[rows(r)], &mut scratch[..columns]),
            Pixels::F32(v) => weigh(down, |r| &v[rows(r)], &mut scratch[..columns]),
            Pixels::F64(v) => weigh(down, |r| &v[rows(r)], &mut scratch[..columns]),
        }
        for left in (0..columns - span(across.len())).step_by(stride) {
            let is_valid = |r: usize, c: usize| invalid.is_valid(rows(r).start + left + c * distance);
            if is_whole || (0..down.len()).all(|r| (0..across.len()).all(|c| is_valid(r, c))) {
                let sum: f64 = across.iter().enumerate().map(|(c, w)| w * scratch[left + c * distance]).sum();
                scratch.push(sum.abs());
            }
        }
    }
    robust_deviation(&mut scratch[columns..]) / (gain_y * gain_x).sqrt()
}

/// The weighted sum of rows of pixels, column by column.
fn weigh<'a, T: Copy + Into<f64> + 'a>(weights: &[f64], row: impl Fn(usize) -> &'a [T], sums: &mut [f64]) {
    sums.fill(0.0);
    for (r, weight) in weights.iter().enumerate() {
        for (sum, value) in sums.iter_mut().zip(row(r)) {
            *sum += weight * (*value).into();
        }
    }
}

/// Standard deviation of the noise in `samples`: of white noise that disturbs averages as much, from fourth differences as
/// for [`image_noise`]. Missing samples are NaN; differences that touch one are left out.
///
/// Noise that neighbours share (a sensor's own filter, oversampling) is told from white noise the more surely the more
/// samples there are: of 1,024 from a correlation of about 0.4 on. Where they share it over more than about three samples
/// it is underestimated. Of values that come in steps coarser than their noise it is at least what rounding to such steps
/// does.
#[must_use]
pub fn series_noise(samples: &[f64], scratch: &mut Vec<f64>) -> f64 {
    told_noise(samples, scratch).max(rounding(samples) / 12f64.sqrt())
}

/// The step that the values come in, where at least a quarter of them are the same as the one before; else 0.
///
/// A smooth signal that is rounded to few levels shows no noise at all in its differences.
pub(super) fn rounding(samples: &[f64]) -> f64 {
    let same = |s: &[f64]| 4 * s.windows(2).filter(|w| w[0] == w[1]).count() >= s.len().max(2) - 1;
    // Of most series the newest few tell.
    if !same(&samples[samples.len().saturating_sub(FEW as usize)..]) || !same(samples) {
        return 0.0;
    }
    let steps = samples.windows(2).map(|w| (w[1] - w[0]).abs()).filter(|d| *d > 0.0);
    steps.reduce(f64::min).unwrap_or(0.0)
}

fn told_noise(samples: &[f64], scratch: &mut Vec<f64>) -> f64 {
    let near = series_differences(samples, scratch, 1);
    let reach = (FOURTH.len() - 1) * FARTHEST;
    if near == 0.0 || samples.len() <= reach {
        return near;
    }
    let far = [2, 3, FARTHEST].map(|distance| series_differences(samples, scratch, distance).powi(2));
    shared(near * near, far, slack(samples.len() as f64)).sqrt()
}

/// What the limits of [`shared`] are higher by for a series of so many samples.
fn slack(samples: f64) -> f64 {
    let many = ((samples - MANY[0]) / (MANY[1] - MANY[0])).clamp(0.0, 1.0);
    (SLACK[0] + many * (SLACK[1] - SLACK[0])) * (FEW / samples).max(1.0).powi(4)
}

/// Standard deviation of white noise that would show these fourth differences of samples `distance` apart.
fn series_differences(samples: &[f64], scratch: &mut Vec<f64>, distance: usize) -> f64 {
    scratch.clear();
    let count = samples.len().saturating_sub((FOURTH.len() - 1) * distance);
    let [first, second, third, fourth, fifth] = std::array::from_fn(|k| &samples[(k * distance).min(samples.len())..]);
    for i in 0..count {
        let [a, b, c, d, e] = [first[i], second[i], third[i], fourth[i], fifth[i]];
        let difference = a * FOURTH[0] + b * FOURTH[1] + c * FOURTH[2] + d * FOURTH[3] + e * FOURTH[4];
        if difference.is_finite() {
            scratch.push(difference.abs());
        }
    }
    robust_deviation(scratch) / GAIN.sqrt()
}

/// Standard deviation of zero-mean values given as absolute values: median, or root mean square where it is 0.
fn robust_deviation(magnitudes: &mut [f64]) -> f64 {
    if magnitudes.len() < FEWEST {
        return 0.0;
    }
    let middle = magnitudes.len() / 2;
    // None is negative: the order of the bits is that of the values, and compared faster.
    let median = *magnitudes.select_nth_unstable_by_key(middle, |m| m.to_bits()).1;
    if median > 0.0 {
        return median / MEDIAN_OF_NORMAL;
    }
    let squares: f64 = magnitudes.iter().map(|v| v * v).sum();
    (squares / magnitudes.len() as f64).sqrt()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::stream::validity::Saturation;

    /// Standard normal numbers from a small generator: reproducible, and no dependency.
    pub(in crate::stream) fn normal(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut uniform = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        };
        move || (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
    }

    fn image(shape: [usize; 2], noise: f64, offset: f64) -> Frame {
        let mut n = normal(7);
        let pixels = (0..shape[0] * shape[1])
            .map(|i| {
                let (y, x) = ((i / shape[1]) as f64, (i % shape[1]) as f64);
                offset + 3.0 * (y / 11.0).sin() * (x / 17.0).cos() + 0.1 * x + noise * n()
            })
            .collect();
        Frame { index: 0, time: None, shape, pixels: Pixels::F64(pixels) }
    }

    /// What `differences` makes of every point by itself.
    fn one_by_one(frame: &Frame, invalid: &Invalid, distance: usize) -> f64 {
        let [rows, columns] = frame.shape;
        let stride = Lattice::new(frame.shape).stride();
        let (span, mut found) = (4 * distance, Vec::new());
        for top in (0..rows - span).step_by(if distance > 1 { 2 * stride } else { stride }) {
            for left in (0..columns - span).step_by(stride) {
                let taps = || FOURTH.iter().enumerate();
                let points: Vec<(usize, f64)> = taps()
                    .flat_map(|(r, wy)| {
                        taps().map(move |(c, wx)| ((top + r * distance) * columns + left + c * distance, wy * wx))
                    })
                    .collect();
                if points.iter().all(|p| invalid.is_valid(p.0)) {
                    found.push(points.iter().map(|(i, w)| w * frame.pixels.get(*i)).sum::<f64>().abs());
                }
            }
        }
        robust_deviation(&mut found) / GAIN
    }

    #[test]
    fn columns_first_is_what_every_point_gives() {
        for (shape, holes) in [([150, 170], false), ([150, 170], true), ([300, 260], true)] {
            let image = image(shape, 0.4, 20.0);
            let count = shape[0] * shape[1];
            // Whole counts add up exactly, in whatever order.
            let counts = (0..count).map(|i| (100.0 * image.pixels.get(i)) as u16).collect();
            let exact = Frame { pixels: Pixels::U16(counts), ..image.clone() };
            for frame in [image, exact] {
                let mut invalid = Invalid::default();
                let mut frame = frame;
                if holes {
                    for i in (0..count).step_by(97) {
                        match &mut frame.pixels {
                            Pixels::U16(v) => v[i] = u16::MAX,
                            Pixels::F64(v) => v[i] = f64::NAN,
                            Pixels::F32(v) => v[i] = f32::NAN,
                            Pixels::U8(v) => v[i] = u8::MAX,
                        }
                    }
                    invalid.find(&frame, Saturation::Auto);
                    assert!(invalid.count() > 100);
                }
                for distance in 1..=FARTHEST {
                    let got = differences(&frame, &invalid, &mut vec![7.0; 3], distance);
                    let expected = one_by_one(&frame, &invalid, distance);
                    assert!(expected > 0.0 && (got / expected - 1.0).abs() < 1e-12, "{distance}: {got}, {expected}");
                    if matches!(frame.pixels, Pixels::U16(_)) {
                        assert_eq!(got.to_bits(), expected.to_bits());
                    }
                }
            }
        }
    }

    #[test]
    fn smooth_field_plus_noise_is_estimated_within_a_tenth() {
        for shape in [[112, 112], [512, 640], [64, 300]] {
            for noise in [0.01, 0.1, 1.0] {
                let got = image_noise(&image(shape, noise, 0.0), &Invalid::default(), &mut Vec::new());
                assert!((got / noise - 1.0).abs() < 0.1, "{shape:?}, noise {noise}: got {got}");
            }
        }
    }

    /// White noise convolved along both axes with (side, 1, side) / (1 + 2 side), on a smooth field: the white-equivalent
    /// noise is what it was before.
    #[test]
    fn noise_that_neighbours_share_counts_as_averages_show_it() {
        let (rows, columns, side) = (256, 240, 0.45);
        let mut n = normal(5);
        let white: Vec<f64> = (0..rows * columns).map(|_| n()).collect();
        let at = |y: usize, x: usize| white[(y % rows) * columns + x % columns];
        let across = |y: usize, x: usize| side * at(y, x + columns - 1) + at(y, x) + side * at(y, x + 1);
        let pixels: Vec<f64> = (0..rows * columns)
            .map(|i| {
                let (y, x) = (i / columns, i % columns);
                let blurred = side * across(y + rows - 1, x) + across(y, x) + side * across(y + 1, x);
                let smooth = 3.0 * (y as f64 / 15.0).sin() * (x as f64 / 19.0).cos();
                smooth + 0.1 * blurred / (1.0 + 2.0 * side).powi(2)
            })
            .collect();
        let frame = Frame { index: 0, time: None, shape: [rows, columns], pixels: Pixels::F64(pixels) };
        let got = image_noise(&frame, &Invalid::default(), &mut Vec::new());
        assert!((got / 0.1 - 1.0).abs() < 0.15, "got {got}, expected 0.1");
        let neighbours = differences(&frame, &Invalid::default(), &mut Vec::new(), 1);
        assert!(neighbours < 0.03, "got {neighbours} from neighbours alone");
    }

    #[test]
    fn structure_is_not_taken_for_noise() {
        // Bands 16 pixels apart in every direction, a hundred times the noise.
        let mut n = normal(9);
        let pixels = (0..200 * 200)
            .map(|i| {
                let (y, x) = ((i / 200) as f64, (i % 200) as f64);
                (x * 0.39).sin() * (y * 0.39).cos() + 0.01 * n()
            })
            .collect();
        let frame = Frame { index: 0, time: None, shape: [200, 200], pixels: Pixels::F64(pixels) };
        let (got, scratch) = (image_noise(&frame, &Invalid::default(), &mut Vec::new()), &mut Vec::new());
        assert_eq!(got, differences(&frame, &Invalid::default(), scratch, 1));
    }

    #[test]
    fn white_noise_is_left_to_neighbours() {
        for shape in [[112, 112], [512, 640]] {
            let frame = image(shape, 0.1, 0.0);
            let (got, scratch) = (image_noise(&frame, &Invalid::default(), &mut Vec::new()), &mut Vec::new());
            assert_eq!(got, differences(&frame, &Invalid::default(), scratch, 1), "{shape:?}");
        }
    }

    proptest::proptest! {
        /// No jump: a little more or less of anything changes the estimate a little, and it is never below that of neighbours.
        #[test]
        fn the_correction_is_continuous(
            near in 0.01f64..1.0, second in 0.01f64..2.0, third in 0.01f64..2.0, fourth in 0.01f64..4.0, which in 0usize..4,
            samples in 32.0f64..1e4,
        ) {
            let of = |v: [f64; 4]| shared(v[0], [v[1], v[2], v[3]], slack(samples));
            let here = [near, second, third, fourth];
            let mut there = here;
            there[which] *= 1.0 + 1e-6;
            let (a, b) = (of(here), of(there));
            proptest::prop_assert!(a >= near * (1.0 - 1e-12));
            proptest::prop_assert!((b / a - 1.0).abs() < 1e-3);
        }
    }

    #[test]
    fn an_offset_changes_nothing() {
        let a = image_noise(&image([112, 112], 0.1, 0.0), &Invalid::default(), &mut Vec::new());
        let b = image_noise(&image([112, 112], 0.1, 300.0), &Invalid::default(), &mut Vec::new());
        assert!((a / b - 1.0).abs() < 1e-9);
    }

    #[test]
    fn coarse_counts_fall_back_to_the_root_mean_square() {
        let mut n = normal(3);
        let pixels = (0..128 * 128).map(|_| (100.0 + 0.08 * n()).round() as u8).collect();
        let frame = Frame { index: 0, time: None, shape: [128, 128], pixels: Pixels::U8(pixels) };
        let flat = Frame { pixels: Pixels::U8(vec![100; 128 * 128]), ..frame.clone() };
        assert_eq!(image_noise(&flat, &Invalid::default(), &mut Vec::new()), 0.0);
        let mut one = flat;
        if let Pixels::U8(v) = &mut one.pixels {
            v[64 * 128 + 64] = 101;
        }
        assert!(image_noise(&one, &Invalid::default(), &mut Vec::new()) > 0.0);
        assert!(image_noise(&frame, &Invalid::default(), &mut Vec::new()) >= 0.0);
    }

    #[test]
    fn series_with_missing_samples() {
        let mut n = normal(11);
        let mut values: Vec<f64> = (0..1024).map(|i| (f64::from(i) / 40.0).sin() + 0.05 * n()).collect();
        for i in (0..1024).step_by(97) {
            values[i] = f64::NAN;
        }
        let got = series_noise(&values, &mut Vec::new());
        assert!((got / 0.05 - 1.0).abs() < 0.1, "got {got}");
    }

    /// A smooth series with white noise of 0.05 convolved with (side, 1, side) / (1 + 2 side): its white-equivalent noise is
    /// what it was before.
    fn series(seed: u64, side: f64, samples: usize) -> Vec<f64> {
        let mut n = normal(seed);
        let white: Vec<f64> = (0..samples + 2).map(|_| 0.05 * n()).collect();
        let shared = |i: usize| (side * white[i] + white[i + 1] + side * white[i + 2]) / (1.0 + 2.0 * side);
        (0..samples).map(|i| (i as f64 / 40.0).sin() + shared(i)).collect()
    }

    #[test]
    fn noise_that_samples_share_counts_as_averages_show_it() {
        for (side, seed) in [(0.45, 5), (0.8, 6)] {
            let values = series(seed, side, 1024);
            let got = series_noise(&values, &mut Vec::new());
            assert!((got / 0.05 - 1.0).abs() < 0.2, "side {side}: got {got}, expected 0.05");
            let neighbours = series_differences(&values, &mut Vec::new(), 1);
            assert!(neighbours < 0.021, "side {side}: {neighbours} from neighbours alone");
        }
    }

    #[test]
    fn white_noise_of_a_series_is_left_to_neighbours() {
        let scratch = &mut Vec::new();
        for samples in [32, 64, 128, 256, 1024] {
            let mut raised: Vec<f64> = (1..=200)
                .map(|seed| {
                    let values = series(seed, 0.0, samples);
                    series_noise(&values, scratch) / series_differences(&values, scratch, 1)
                })
                .collect();
            raised.sort_by(f64::total_cmp);
            let most = if samples == 128 { [1.2, 2.2] } else { [1.05, 1.5] };
            assert!(raised[150] < most[0] && raised[180] < most[1], "{samples} samples: {:?}", &raised[150..]);
        }
    }

    #[test]
    fn structure_of_a_series_is_not_taken_for_noise() {
        let mut n = normal(9);
        // Periods of 10 and 16 samples, a hundred times the noise.
        for period in [10.0, 16.0] {
            let wave = |i: usize| (std::f64::consts::TAU * i as f64 / period).sin();
            let values: Vec<f64> = (0..1024).map(|i| wave(i) + 0.01 * n()).collect();
            let scratch = &mut Vec::new();
            assert_eq!(series_noise(&values, scratch), series_differences(&values, scratch, 1), "period {period}");
        }
    }

    #[test]
    fn too_small_to_tell_is_zero() {
        let frame = Frame { index: 0, time: None, shape: [3, 4], pixels: Pixels::U8(vec![1; 12]) };
        assert_eq!(image_noise(&frame, &Invalid::default(), &mut Vec::new()), 0.0);
        assert_eq!(series_noise(&[1.0, 2.0], &mut Vec::new()), 0.0);
    }
}
