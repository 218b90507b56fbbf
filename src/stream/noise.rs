//! How strong the white noise of a recording is, told from the recording itself.

use super::statistics::Lattice;
use super::validity::Invalid;
use crate::source::Frame;

/// Fourth differences: they annihilate every cubic, and 1 + 16 + 36 + 16 + 1 = 70 is their noise gain.
const FOURTH: [f64; 5] = [1.0, -4.0, 6.0, -4.0, 1.0];
const GAIN: f64 = 70.0;
/// Median of |z| for a standard normal z.
const MEDIAN_OF_NORMAL: f64 = 0.674_489_750_196_081_7;
/// Fewest differences that an estimate is made from.
const FEWEST: usize = 4;

/// Standard deviation of the white noise in `frame`, in its counts.
///
/// The median absolute value, over 0.6745, of the outer product of two fourth differences, on at most about
/// 16,000 points of the frame. Fields whose mixed eighth derivative is small against the noise do not bias it, and edges
/// or debris touch few points, which a median ignores. Where more than half of the differences are
/// equal (coarsely quantised counts) the median is 0 and the root mean square takes its place. Noise that is
/// correlated between neighbours (binning, interpolation, lossy compression) is underestimated: give it with
/// `--noise` then. Returns 0 when no point is free of invalid pixels.
#[must_use]
pub fn image_noise(frame: &Frame, invalid: &Invalid, scratch: &mut Vec<f64>) -> f64 {
    let [rows, columns] = frame.shape;
    // An axis too short for the stencil is not differenced.
    let along = |n: usize| {
        if n >= 5 { (&FOURTH[..], GAIN) } else { (&[1.0][..], 1.0) }
    };
    let ((down, gain_y), (across, gain_x)) = (along(rows), along(columns));
    if down.len() == 1 && across.len() == 1 {
        return 0.0;
    }
    let stride = Lattice::new(frame.shape).stride();
    scratch.clear();
    for top in (0..=rows - down.len()).step_by(stride) {
        'point: for left in (0..=columns - across.len()).step_by(stride) {
            let mut sum = 0.0;
            for (r, wy) in down.iter().enumerate() {
                for (c, wx) in across.iter().enumerate() {
                    let i = (top + r) * columns + left + c;
                    if !invalid.is_valid(i) {
                        continue 'point;
                    }
                    sum += wy * wx * frame.pixels.get(i);
                }
            }
            scratch.push(sum.abs());
        }
    }
    robust_deviation(scratch) / (gain_y * gain_x).sqrt()
}

/// Standard deviation of the white noise in `samples`, from their fourth differences as for [`image_noise`].
/// Missing samples are NaN; differences that touch one are left out.
#[must_use]
pub fn series_noise(samples: &[f64], scratch: &mut Vec<f64>) -> f64 {
    scratch.clear();
    for five in samples.windows(5) {
        let difference: f64 = five.iter().zip(&FOURTH).map(|(x, w)| x * w).sum();
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
    let median = *magnitudes.select_nth_unstable_by(middle, f64::total_cmp).1;
    if median > 0.0 {
        return median / MEDIAN_OF_NORMAL;
    }
    let squares: f64 = magnitudes.iter().map(|v| v * v).sum();
    (squares / magnitudes.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Pixels;

    /// Standard normal numbers from a small generator: reproducible, and no dependency.
    fn normal(seed: u64) -> impl FnMut() -> f64 {
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

    #[test]
    fn smooth_field_plus_noise_is_estimated_within_a_tenth() {
        for shape in [[112, 112], [512, 640], [64, 300]] {
            for noise in [0.01, 0.1, 1.0] {
                let got = image_noise(&image(shape, noise, 0.0), &Invalid::default(), &mut Vec::new());
                assert!((got / noise - 1.0).abs() < 0.1, "{shape:?}, noise {noise}: got {got}");
            }
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

    #[test]
    fn too_small_to_tell_is_zero() {
        let frame = Frame { index: 0, time: None, shape: [3, 4], pixels: Pixels::U8(vec![1; 12]) };
        assert_eq!(image_noise(&frame, &Invalid::default(), &mut Vec::new()), 0.0);
        assert_eq!(series_noise(&[1.0, 2.0], &mut Vec::new()), 0.0);
    }
}
