//! Pixels that stand out from all around them: hot, dead, or hit by a cosmic ray.
//!
//! The laws' fields are smooth over the width of the smallest kernel, so that a value which its neighbours do not announce
//! is none of the field's. One such pixel, unknown, disturbs as many values as a kernel has pixels.

use super::validity::Invalid;
use crate::source::{Frame, Pixels};

/// What is done with pixels, or samples of a series, that stand out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outliers {
    /// They are missing values, as saturated ones are.
    #[default]
    LeaveOut,
    /// They are values like all others.
    Keep,
}

/// Distance from the neighbours' median, in standard deviations of the frame's noise, and in what the neighbours
/// themselves differ by, that is still one of the field's values. With white noise one pixel of 10^14 is farther away.
const NOISE: f64 = 8.0;
const SPREAD: f64 = 3.0;
/// How well the distance from the neighbours' median has to agree with that from the cubic through those along one axis.
const AGREES: f64 = 0.25;
/// Share of the pixels from which on they are no outliers, but what the frame is made of (single photons, say).
const MOST: f64 = 0.03;
/// Fewest rows and columns of a frame whose noise is known well enough.
const SMALLEST: usize = 12;
/// Pixels that are looked at together.
const CHUNK: usize = 64;
/// Fewest neighbours that tell anything.
const FEWEST: usize = 3;

/// Positions, row-major and ascending, of the valid pixels of `frame` that stand out from their (at most eight) neighbours,
/// whose white `noise` has this standard deviation.
///
/// Up to a quarter of the neighbours on either side does not count, so that two pixels side by side, and rows and columns,
/// are found as well. Edges are not: there the neighbours differ. Neither are ridges, which go on beyond the neighbours,
/// nor larger clusters.
pub(crate) fn outliers(frame: &Frame, invalid: &Invalid, noise: f64, found: &mut Vec<u32>) {
    found.clear();
    if frame.shape.iter().any(|n| *n < SMALLEST) {
        return;
    }
    match &frame.pixels {
        Pixels::U8(v) => scan(v, frame.shape, invalid, noise, found),
        Pixels::U16(v) => scan(v, frame.shape, invalid, noise, found),
        Pixels::F32(v) => scan(v, frame.shape, invalid, noise, found),
        Pixels::F64(v) => scan(v, frame.shape, invalid, noise, found),
    }
    if found.len() as f64 > MOST * frame.pixels.len() as f64 {
        found.clear();
    }
}

fn scan<T: Copy + Into<f64>>(values: &[T], shape: [usize; 2], invalid: &Invalid, noise: f64, found: &mut Vec<u32>) {
    let [rows, columns] = shape;
    // What stands out does so from the two neighbours along one axis at least: most pixels are done with that.
    let limit = 2.0 * NOISE * noise;
    for row in 0..rows {
        let at = row * columns;
        let mut look = |column: usize| {
            if stands_out(values, shape, [row, column], invalid, noise) {
                found.push((at + column) as u32);
            }
        };
        if row == 0 || row + 1 == rows {
            (0..columns).for_each(look);
            continue;
        }
        look(0);
        let [above, here, below] = [at - columns, at, at + columns].map(|from| &values[from..from + columns]);
        // A chunk at a time without a branch, so that many pixels are looked at together.
        for from in (1..columns - 1).step_by(CHUNK) {
            let end = (from + CHUNK).min(columns - 1);
            let around = here[from - 1..].iter().zip(&here[from + 1..]).zip(&above[from..]).zip(&below[from..]);
            let is_inside = |value: f64, a: f64, b: f64| {
                let (a, b) = (value - a, value - b);
                // Not beyond both, or not by much from their mean; of NaN nothing is known.
                (a * b <= 0.0) | ((a + b).abs() <= limit)
            };
            let mut inside = [true; CHUNK];
            for ((inside, value), (((left, right), up), down)) in inside.iter_mut().zip(&here[from..end]).zip(around) {
                let value: f64 = (*value).into();
                *inside =
                    is_inside(value, (*left).into(), (*right).into()) & is_inside(value, (*up).into(), (*down).into());
            }
            if inside.iter().any(|inside| !inside) {
                inside.iter().enumerate().filter(|(_, inside)| !**inside).for_each(|(k, _)| look(from + k));
            }
        }
        look(columns - 1);
    }
}

fn stands_out<T: Copy + Into<f64>>(
    values: &[T],
    [rows, columns]: [usize; 2],
    [row, column]: [usize; 2],
    invalid: &Invalid,
    noise: f64,
) -> bool {
    let at = row * columns + column;
    if !invalid.is_valid(at) {
        return false;
    }
    let (mut neighbours, mut count) = ([0.0; 8], 0);
    for r in row.saturating_sub(1)..(row + 2).min(rows) {
        for c in column.saturating_sub(1)..(column + 2).min(columns) {
            let i = r * columns + c;
            if i != at && invalid.is_valid(i) {
                neighbours[count] = values[i].into();
                count += 1;
            }
        }
    }
    let neighbours = &mut neighbours[..count];
    if count < FEWEST {
        return false;
    }
    neighbours.sort_unstable_by(f64::total_cmp);
    let out = count / 4;
    let spread = neighbours[count - 1 - out] - neighbours[out];
    let median = 0.5 * (neighbours[(count - 1) / 2] + neighbours[count / 2]);
    let value: f64 = values[at].into();
    let distance = value - median;
    // At the border neighbours are fewer, and all on one side.
    if distance.abs() <= NOISE * noise + SPREAD * spread * 8.0 / count as f64 {
        return false;
    }
    // On a ridge along an axis the neighbours are alike and the pixel is not: there a cubic foretells it.
    let is_one = |along: usize, length: usize, step: usize| {
        let start = at - along * step;
        let beside = |i: usize| Some(start + i * step).filter(|i| invalid.is_valid(*i)).map(|i| values[i].into());
        foretold(along, length, beside).is_some_and(|by| (value - by - distance).abs() < AGREES * distance.abs())
    };
    is_one(column, columns, 1) || is_one(row, rows, columns)
}

/// What the cubic through the four pixels next to pixel `at` of a line has there; `None` where one is invalid. There are
/// at least [`SMALLEST`].
fn foretold(at: usize, length: usize, value: impl Fn(usize) -> Option<f64>) -> Option<f64> {
    const TAPS: [[f64; 4]; 3] =
        [[4.0, -6.0, 4.0, -1.0], [0.25, 1.5, -1.0, 0.25], [-1.0 / 6.0, 2.0 / 3.0, 2.0 / 3.0, -1.0 / 6.0]];
    let (before, behind) = (at.min(2), (length - 1 - at).min(2));
    let others = |from: usize, to: usize| (from..=to).filter(|i| *i != at).map(&value);
    // Where one side is short the other one gives more.
    let (points, taps) = if behind < 2 {
        (others(at + behind - 4, at + behind), TAPS[behind])
    } else {
        (others(at - before, at - before + 4), TAPS[before])
    };
    let mut points: [Option<f64>; 4] = {
        let mut points = points;
        std::array::from_fn(|_| points.next().flatten())
    };
    if behind < 2 {
        points.reverse();
    }
    points.iter().zip(taps).map(|(v, w)| v.map(|v| w * v)).sum()
}

/// Whether a frame tells nothing: all its values are one, or none of them is a number. A closed shutter leaves such frames,
/// and a recording of which one was never written.
pub(crate) fn is_blank(pixels: &Pixels) -> bool {
    fn of_one_value<T: Copy + Into<f64>>(values: &[T]) -> bool {
        let mut numbers = values.iter().map(|v| (*v).into()).filter(|v| v.is_finite());
        numbers.next().is_none_or(|first| numbers.all(|v| v == first))
    }
    match pixels {
        Pixels::U8(v) => of_one_value(v),
        Pixels::U16(v) => of_one_value(v),
        Pixels::F32(v) => of_one_value(v),
        Pixels::F64(v) => of_one_value(v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::noise::image_noise;
    use crate::stream::noise::tests::normal;
    use crate::stream::validity::Saturation;

    /// Waves, a gradient and a sharp edge with white noise of standard deviation `noise`, in a range of about 4.
    fn frame(shape: [usize; 2], noise: f64, seed: u64) -> Frame {
        let mut normal = normal(seed);
        let value = |i: usize| {
            let (y, x) = ((i / shape[1]) as f64, (i % shape[1]) as f64);
            (y / 6.0).sin() * (x / 9.0).cos() + 0.01 * x + if x > 40.0 && y > 20.0 { 1.0 } else { 0.0 }
        };
        let pixels = (0..shape[0] * shape[1]).map(|i| value(i) + noise * normal()).collect();
        Frame { index: 0, time: None, shape, pixels: Pixels::F64(pixels) }
    }

    fn found(frame: &Frame) -> Vec<u32> {
        let (mut invalid, mut found) = (Invalid::default(), Vec::new());
        invalid.find(frame, Saturation::Auto);
        outliers(frame, &invalid, image_noise(frame, &invalid, &mut Vec::new()), &mut found);
        found
    }

    #[test]
    fn fields_with_edges_and_noise_have_none() {
        for (k, noise) in [0.0, 1e-3, 0.01, 0.1, 1.0, 10.0].into_iter().enumerate() {
            for shape in [[64, 80], [200, 150], [7, 5], [1, 60], [60, 2]] {
                assert_eq!(found(&frame(shape, noise, k as u64 + 1)), [0; 0], "{noise}, {shape:?}");
            }
        }
    }

    #[test]
    fn single_ones_pairs_rows_and_columns_are_found_and_nothing_else() {
        let shape = [64, 80];
        let at = |row: usize, column: usize| row * shape[1] + column;
        let single = [at(0, 0), at(0, 7), at(30, 79), at(63, 40), at(20, 41), at(33, 60), at(50, 12), at(50, 13)];
        for (k, noise) in [0.0, 0.01, 0.1].into_iter().enumerate() {
            for (height, row, column) in [(5.0, None, None), (-5.0, Some(11), None), (5.0, None, Some(66))] {
                let mut frame = frame(shape, noise, k as u64 + 9);
                let Pixels::F64(values) = &mut frame.pixels else { unreachable!("as it was made") };
                let mut expected: Vec<u32> = single.iter().map(|i| *i as u32).collect();
                expected.extend(row.iter().flat_map(|r| (0..shape[1]).map(move |c| at(*r, c) as u32)));
                expected.extend(column.iter().flat_map(|c| (0..shape[0]).map(move |r| at(r, *c) as u32)));
                expected.sort_unstable();
                expected.dedup();
                expected.iter().for_each(|i| values[*i as usize] += height);
                // Those that are NaN are invalid already, and no neighbours.
                values[at(33, 61)] = f64::NAN;
                assert_eq!(found(&frame), expected, "{noise}, {height}");
            }
        }
    }

    #[test]
    fn what_the_frame_is_made_of_does_not_stand_out() {
        let shape = [60, 60];
        let photons = (0..3600u32).map(|i| u8::from(i.wrapping_mul(2_654_435_761) >> 24 < 16)).collect();
        assert_eq!(found(&Frame { index: 0, time: None, shape, pixels: Pixels::U8(photons) }), [0; 0]);
    }

    #[test]
    fn frames_that_tell_nothing_are_blank() {
        assert!(is_blank(&Pixels::U16(vec![7; 9])) && is_blank(&Pixels::F32(vec![f32::NAN; 3])));
        assert!(is_blank(&Pixels::F64(vec![f64::NAN, 2.0, 2.0])) && !is_blank(&Pixels::F64(vec![f64::NAN, 2.0, 3.0])));
        assert!(!is_blank(&Pixels::U8(vec![0, 0, 1])));
    }
}
