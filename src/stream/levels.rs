//! The densities of the two phases of a density map, told from the map itself.

use super::statistics::Lattice;
use super::validity::Invalid;
use crate::source::{Frame, Pixels};

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
/// Levels closer than this, relative to themselves, are one.
const SAME: f64 = 1e-9;
/// Pixels at the rim of the occupied part that are left out, as the smoothing mixes them with the ground.
const RIM: usize = 2 * REACH;

/// The values of `frame` that stand for phi = -1 and phi = +1, the second above the first; `None` where all of the
/// map has one density.
///
/// The 2 % and 98 % percentiles of the map, smoothed over 2 pixels, over its occupied part, widened by 14 % of
/// their distance at either end. The occupied part, without its rim, is everything unless the map is one of counts (nowhere
/// negative, zero somewhere). An assumption about the specimen: it must show both phases. Give `phi_low` and
/// `phi_high` where the densities of the phases are known.
pub(super) fn phase_levels(frame: &Frame, invalid: &Invalid, scratch: &mut Vec<f64>) -> Option<(f64, f64)> {
    let lattice = Lattice::new(frame.shape);
    let first = lattice.points().next().unwrap_or(0);
    let columns = frame.shape[1];
    let width = (columns - first % columns.max(1)).div_ceil(lattice.stride());
    let signs = smooth(frame, invalid, lattice, scratch);
    if signs.negative == 0 && signs.zero > 0 {
        let mut all: Vec<f64> = scratch.iter().copied().filter(|v| !v.is_nan()).collect();
        let ground = OCCUPIED * percentile(&mut all, HIGH);
        let inner = inside(scratch, width, RIM.div_ceil(lattice.stride()), ground);
        scratch.clear();
        scratch.extend(inner);
    }
    scratch.retain(|v| !v.is_nan());
    let (low, high) = (percentile(scratch, LOW), percentile(scratch, HIGH));
    let margin = WIDENING * (high - low);
    // Averages of equal values differ by their rounding.
    (high - low > SAME * low.abs().max(high.abs())).then_some((low - margin, high + margin))
}

/// How many of the values that were looked at are zero, and below it.
#[derive(Clone, Copy, Debug, Default)]
struct Signs {
    zero: usize,
    negative: usize,
}

/// Write the smoothed values at the lattice's points to `smoothed`, NaN where no pixel around is valid.
///
/// Down the columns first, where neighbours in memory are summed side by side, then along the rows at the points alone.
fn smooth(frame: &Frame, invalid: &Invalid, lattice: Lattice, smoothed: &mut Vec<f64>) -> Signs {
    let [rows, columns] = frame.shape;
    let weights: [f64; REACH + 1] = std::array::from_fn(|d| (-0.5 * (d as f64 / SMOOTHING).powi(2)).exp());
    let mut sums = vec![0.0; columns];
    // Of the weights: what all columns have in common, and what they have of rows that are not all valid.
    let (mut common, mut totals) = (0.0, vec![0.0; columns]);
    let mut signs = Signs::default();
    let mut row = None;
    smoothed.clear();
    for point in lattice.points() {
        let (r, c) = (point / columns, point % columns);
        if row != Some(r) {
            row = Some(r);
            common = 0.0;
            sums.fill(0.0);
            totals.fill(0.0);
            for y in r.saturating_sub(REACH)..(r + REACH + 1).min(rows) {
                let (from, weight) = (y * columns, weights[y.abs_diff(r)]);
                let mut valid = None;
                if invalid.in_rows(y, y + 1, columns).next().is_some() {
                    valid = Some(|x: usize| invalid.is_valid(from + x));
                    let of_valid = totals.iter_mut().enumerate().filter(|(x, _)| invalid.is_valid(from + x));
                    of_valid.for_each(|(_, total)| *total += weight);
                } else {
                    common += weight;
                }
                match &frame.pixels {
                    Pixels::U8(v) => add(&v[from..from + columns], weight, valid, &mut sums, &mut signs),
                    Pixels::U16(v) => add(&v[from..from + columns], weight, valid, &mut sums, &mut signs),
                    Pixels::F32(v) => add(&v[from..from + columns], weight, valid, &mut sums, &mut signs),
                    Pixels::F64(v) => add(&v[from..from + columns], weight, valid, &mut sums, &mut signs),
                }
            }
        }
        let near = c.saturating_sub(REACH)..(c + REACH + 1).min(columns);
        let (mut sum, mut total) = (0.0, 0.0);
        for x in near {
            let weight = weights[x.abs_diff(c)];
            sum += weight * sums[x];
            total += weight * (common + totals[x]);
        }
        smoothed.push(if total > 0.0 { sum / total } else { f64::NAN });
    }
    signs
}

/// Add the values of a row to the sums of the columns, those that are valid if not all are.
fn add<T: Copy + Into<f64>>(
    row: &[T],
    weight: f64,
    valid: Option<impl Fn(usize) -> bool>,
    sums: &mut [f64],
    signs: &mut Signs,
) {
    let mut one = |value: f64, sum: &mut f64| {
        *sum += weight * value;
        signs.zero += usize::from(value == 0.0);
        signs.negative += usize::from(value < 0.0);
    };
    let values = row.iter().zip(sums);
    match valid {
        // Without a branch, so that many are added at once.
        None => values.for_each(|(value, sum)| one((*value).into(), sum)),
        Some(valid) => {
            let valid = values.enumerate().filter(|(x, _)| valid(*x));
            valid.for_each(|(_, (value, sum))| one((*value).into(), sum));
        }
    }
}

/// The values above `ground` whose neighbours `rim` points away are all above it too; without regard to their
/// neighbours where there are none such. Neighbours outside the map count as above.
fn inside(values: &[f64], width: usize, rim: usize, ground: f64) -> Vec<f64> {
    let above = |r: Option<usize>, c: Option<usize>| match (r, c) {
        (Some(r), Some(c)) if c < width => values.get(r * width + c).is_none_or(|v| *v > ground),
        _ => true,
    };
    let occupied = || values.iter().enumerate().filter(|(_, v)| **v > ground);
    let surrounded = |i: usize| {
        let (r, c) = (i / width, i % width);
        let shifts = |n: usize| [n.checked_sub(rim), Some(n), Some(n + rim)];
        shifts(r).into_iter().all(|y| shifts(c).into_iter().all(|x| above(y, x)))
    };
    let inner: Vec<f64> = occupied().filter(|(i, _)| surrounded(*i)).map(|(_, v)| *v).collect();
    if inner.is_empty() { occupied().map(|(_, v)| *v).collect() } else { inner }
}

/// The value that this share of `values` lies below; 0 where there are none. Reorders them.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let rank = (share * last as f64).round() as usize;
    *values.select_nth_unstable_by(rank, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stream::Outliers;
    use crate::stream::statistics::FrameStatistics;
    use crate::stream::validity::Saturation;

    fn levels(shape: [usize; 2], value: impl Fn(usize, usize) -> f32) -> (f64, f64) {
        let pixels = (0..shape[0] * shape[1]).map(|i| value(i / shape[1], i % shape[1])).collect();
        let frame = Frame { index: 0, time: None, shape, pixels: Pixels::F32(pixels) };
        let mut invalid = Invalid::default();
        invalid.prepare(&frame, Saturation::Auto, Outliers::Keep, &mut FrameStatistics::default());
        phase_levels(&frame, &invalid, &mut Vec::new()).unwrap_or((f64::NAN, f64::NAN))
    }

    fn stripes(r: usize) -> f32 {
        if (r / 25).is_multiple_of(2) { 1.0 } else { 3.0 }
    }

    /// The smoothed value at a point by its definition.
    fn plainly(frame: &Frame, invalid: &Invalid, [r, c]: [usize; 2]) -> f64 {
        let [rows, columns] = frame.shape;
        let weight = |d: usize| (-0.5 * (d as f64 / SMOOTHING).powi(2)).exp();
        let (mut sum, mut total) = (0.0, 0.0);
        for y in r.saturating_sub(REACH)..(r + REACH + 1).min(rows) {
            for x in c.saturating_sub(REACH)..(c + REACH + 1).min(columns) {
                if invalid.is_valid(y * columns + x) {
                    let weight = weight(y.abs_diff(r)) * weight(x.abs_diff(c));
                    sum += weight * frame.pixels.get(y * columns + x);
                    total += weight;
                }
            }
        }
        sum / total
    }

    proptest! {
        #[test]
        fn smoothing_in_two_passes_is_that_by_definition(
            shape in [1usize..300, 1usize..300],
            holes in prop::collection::vec((0usize..300, 0usize..300, 1usize..30), 0..4),
            least in -1i32..2,
        ) {
            let [rows, columns] = shape;
            let hole = |r: usize, c: usize| holes.iter().any(|h| r.abs_diff(h.0) < h.2 && c.abs_diff(h.1) < h.2);
            let value = |i: usize| if hole(i / columns, i % columns) { f32::NAN } else { (least + (i * 7919 % 5) as i32) as f32 };
            let frame = Frame { index: 0, time: None, shape, pixels: Pixels::F32((0..rows * columns).map(value).collect()) };
            let mut invalid = Invalid::default();
            invalid.prepare(&frame, Saturation::Auto, Outliers::Keep, &mut FrameStatistics::default());
            let (lattice, mut smoothed) = (Lattice::new(shape), Vec::new());
            let signs = smooth(&frame, &invalid, lattice, &mut smoothed);
            prop_assert_eq!(lattice.points().count(), smoothed.len());
            for (point, got) in lattice.points().zip(&smoothed) {
                let want = plainly(&frame, &invalid, [point / columns, point % columns]);
                prop_assert!((got - want).abs() < 1e-12 || (got.is_nan() && want.is_nan()), "{} for {}", got, want);
            }
            prop_assert!(least < 0 || signs.negative == 0);
            prop_assert!(least < 1 || signs.zero == 0);
        }
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
        let among =
            levels(
                [600, 600],
                |r, c| if (200..300).contains(&r) && (200..300).contains(&c) { stripes(r) } else { 0.0 },
            );
        assert!((among.0 - alone.0).abs() < 0.2 && (among.1 - alone.1).abs() < 0.2, "{alone:?} {among:?}");
    }

    #[test]
    fn a_constant_map_has_no_levels() {
        for value in [0.0, 5.0] {
            let (low, high) = levels([40, 40], |_, _| value);
            assert!(low.is_nan() && high.is_nan());
        }
    }
}
