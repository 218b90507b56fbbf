//! The densities of the two phases of a density map, told from the map itself.

use super::frame::Frame;
use super::statistics::Lattice;
use super::validity::Invalid;

/// Standard deviation of the smoothing before the levels are read, in pixels, and where it is cut.
const SMOOTHING: f64 = 2.0;
const REACH: usize = 4;
/// Shares of the map below the low and the high percentile.
const LOW: f64 = 0.02;
const HIGH: f64 = 0.98;
/// How far beyond the percentiles the phases lie, relative to the distance of the percentiles. On simulated
/// maps the percentiles lie at phi = -0.80 and +0.75; without this the estimate is no better than a blur.
const WIDENING: f64 = 0.14;
/// A count map's pixel is occupied where its smoothed density is above this share of the high percentile of
/// all: a table of localisations is mostly empty ground, which says nothing of the phases.
const OCCUPIED: f64 = 0.05;

/// The values of `frame` that stand for phi = -1 and phi = +1, the second above the first.
///
/// The 2 % and 98 % percentiles of the map, smoothed over 2 pixels, over its occupied part, widened by 14 % of
/// their distance at either end. The occupied part is everything unless the map is one of counts (nowhere
/// negative, zero somewhere). An assumption about the specimen: it must show both phases. Give `phi_low` and
/// `phi_high` where the densities of the phases are known.
pub(super) fn phase_levels(frame: &Frame, invalid: &Invalid, scratch: &mut Vec<f64>) -> (f64, f64) {
    let [rows, columns] = frame.shape;
    let weight = |d: usize| (-0.5 * (d as f64 / SMOOTHING).powi(2)).exp();
    scratch.clear();
    let (mut least, mut negative) = (f64::INFINITY, false);
    for point in Lattice::new(frame.shape).points() {
        let (r, c) = (point / columns, point % columns);
        let (mut sum, mut weights) = (0.0, 0.0);
        for y in r.saturating_sub(REACH)..(r + REACH + 1).min(rows) {
            for x in c.saturating_sub(REACH)..(c + REACH + 1).min(columns) {
                let i = y * columns + x;
                if invalid.is_valid(i) {
                    let (w, value) = (weight(y.abs_diff(r)) * weight(x.abs_diff(c)), frame.pixels.get(i));
                    sum += w * value;
                    weights += w;
                    negative |= value < 0.0;
                    least = least.min(value);
                }
            }
        }
        if weights > 0.0 {
            scratch.push(sum / weights);
        }
    }
    if !negative && least == 0.0 {
        let ground = OCCUPIED * percentile(scratch, HIGH);
        scratch.retain(|v| *v > ground);
    }
    let (low, high) = (percentile(scratch, LOW), percentile(scratch, HIGH));
    let margin = WIDENING * (high - low);
    if high > low { (low - margin, high + margin) } else { (low, low + 1.0) }
}

/// The value that this share of `values` lies below; 0 where there are none. Reorders them.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let rank = (share * last as f64).round() as usize;
    *values.select_nth_unstable_by(rank, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::frame::Pixels;
    use crate::stream::statistics::FrameStatistics;
    use crate::stream::validity::Saturation;

    fn levels(shape: [usize; 2], value: impl Fn(usize, usize) -> f32) -> (f64, f64) {
        let pixels = (0..shape[0] * shape[1]).map(|i| value(i / shape[1], i % shape[1])).collect();
        let frame = Frame { index: 0, time: None, shape, pixels: Pixels::F32(pixels) };
        let mut invalid = Invalid::default();
        invalid.prepare(&frame, Saturation::Auto, &mut FrameStatistics::default());
        phase_levels(&frame, &invalid, &mut Vec::new())
    }

    fn stripes(r: usize) -> f32 {
        if (r / 25).is_multiple_of(2) { 1.0 } else { 3.0 }
    }

    #[test]
    fn two_phases_lie_just_inside_the_levels() {
        let (low, high) = levels([100, 100], |r, _| stripes(r));
        assert!((low - 0.72).abs() < 0.02 && (high - 3.28).abs() < 0.02, "{low} {high}");
    }

    #[test]
    fn levels_follow_an_offset_and_ignore_invalid_pixels() {
        let with_hole = |r: usize, c: usize| if r == 50 && c == 50 { f32::NAN } else { stripes(r) };
        let (a, b) = (levels([100, 100], with_hole), levels([100, 100], |r, c| with_hole(r, c) + 256.0));
        assert!((b.0 - a.0 - 256.0).abs() < 1e-4 && (b.1 - a.1 - 256.0).abs() < 1e-4, "{a:?} {b:?}");
    }

    #[test]
    fn empty_ground_around_a_specimen_does_not_count() {
        let alone = levels([100, 100], |r, _| stripes(r));
        let inside = |r: usize, c: usize| r >= 200 && r < 300 && c >= 200 && c < 300;
        let among = levels([600, 600], |r, c| if inside(r, c) { stripes(r) } else { 0.0 });
        assert!((among.0 - alone.0).abs() < 0.6 && (among.1 - alone.1).abs() < 0.2, "{alone:?} {among:?}");
    }

    #[test]
    fn a_constant_map_still_has_two_levels() {
        for value in [0.0, 5.0] {
            let (low, high) = levels([40, 40], |_, _| value);
            assert!(high > low && low.is_finite());
        }
    }
}
