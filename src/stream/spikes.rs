//! Samples of a series that stand out from those around them: a glitch of the electronics, a reading that was not one.
//!
//! The signal moves little from one sample to the next beside the width of the smallest kernel, so that a few samples to
//! which it leaps, and from which it comes back to where it would have been without them, are none of its own. One such
//! sample, unknown, disturbs as many values as the widest kernel has samples.

/// Samples in a row that may stand out; more are the signal's.
const LONGEST: usize = 3;
/// How far from what is foretold, in standard deviations of the noise, and in what the samples around miss their own
/// straight line by, is still one of the signal's values. With white noise fewer than one of 10^8 is farther away.
const NOISE: f64 = 8.0;
const ROUGH: f64 = 4.0;
/// Of values themselves, what they may be off by through their digits.
const ROUNDING: f64 = 1e-9;
/// By how much more of either where only those behind foretell it: their straight line is drawn out, from which a signal
/// that bends is soon away.
const DRAWN_OUT: [f64; 2] = [2.5, 4.0];
/// Samples that tell the ones between: on either side, and where none stand before them. They are looked for no farther
/// than this.
const BESIDE: usize = 2;
const BEHIND: usize = 4;
const FARTHEST: usize = 5;

/// What is known of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is one of the signal's.
    Belongs,
    /// This and so many in all from it on are not.
    StandOut(usize),
    /// That shows with more samples.
    Later,
}

/// Judge sample `at` of `values` (missing ones NaN), whose white `noise` has this standard deviation. Those before it are
/// judged.
///
/// The verdict is the same however many samples are in, once it is not [`Verdict::Later`].
pub(super) fn judge(values: &[f64], at: usize, noise: f64) -> Verdict {
    let value = values[at];
    if value.is_nan() {
        return Verdict::Belongs;
    }
    let near = at.saturating_sub(FARTHEST)..at;
    let mut last = values[near.clone()].iter().enumerate().rev().filter(|(_, v)| v.is_finite());
    let last: [Option<(usize, &f64)>; 3] = std::array::from_fn(|_| last.next());
    if goes_on(value, near.len(), &last, noise) {
        return Verdict::Belongs;
    }
    let before = present(values, near.rev(), BESIDE);
    let wanted = if before.len() < BESIDE { BEHIND } else { BESIDE };
    for run in 1..=LONGEST {
        let end = at + run;
        // One that is missing ends the run: what stands behind it has to be the signal's.
        if run > 1 && values.get(end - 1).is_none_or(|v| v.is_nan()) {
            return if values.len() < end { Verdict::Later } else { Verdict::Belongs };
        }
        let behind = present(values, end..values.len().min(end + FARTHEST), wanted);
        if behind.len() < wanted {
            if values.len() < end + FARTHEST {
                return Verdict::Later;
            }
            continue;
        }
        let mut around = behind;
        let [of_noise, of_rough] = if before.len() < BESIDE { DRAWN_OUT } else { [1.0; 2] };
        if before.len() >= BESIDE {
            around.extend_from_slice(&before);
        }
        let (level, slope) = line(&around);
        let missed = |(x, v): &(f64, f64)| (v - level - slope * x).abs();
        let rough = around.iter().map(missed).fold(0.0, f64::max);
        let limit = of_noise * NOISE * noise + of_rough * ROUGH * rough;
        let foretold = |x: f64| if before.len() < BESIDE { level + slope * x } else { through(&around, x) };
        if (at..end).all(|i| (values[i] - foretold(i as f64)).abs() > limit) {
            return Verdict::StandOut(run);
        }
    }
    Verdict::Belongs
}

/// Whether the signal leads to `value`, `at` samples into its neighbourhood, from the last samples before it, newest first:
/// then it need not be known how it goes on.
fn goes_on(value: f64, at: usize, last: &[Option<(usize, &f64)>; 3], noise: f64) -> bool {
    let Some((near, newest)) = last[0] else { return false };
    let limit = NOISE * noise + ROUNDING * (value.abs() + newest.abs());
    if (value - newest).abs() <= limit {
        return true;
    }
    let [_, Some((far, older)), Some((farther, oldest))] = *last else { return false };
    let slope = (newest - older) / (near - far) as f64;
    // What the straight line through two of them misses the third by, the signal may bend by again.
    let bend = (oldest - (older - slope * (far - farther) as f64)).abs();
    (value - (newest + slope * (at - near) as f64)).abs() <= limit + ROUGH * bend
}

/// The first samples of `places` that are there, `most` of them at most, with their places.
fn present(values: &[f64], places: impl Iterator<Item = usize>, most: usize) -> Vec<(f64, f64)> {
    places.map(|i| (i as f64, values[i])).filter(|(_, v)| v.is_finite()).take(most).collect()
}

/// Level at 0 and slope of the straight line of least squares.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let (x, v) = points.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0 / count, sum.1 + p.1 / count));
    let products = points.iter().fold((0.0, 0.0), |sum, p| (sum.0 + (p.0 - x) * (p.1 - v), sum.1 + (p.0 - x).powi(2)));
    let slope = products.0 / products.1;
    (v - slope * x, slope)
}

/// What the polynomial through all points is at `x`.
fn through(points: &[(f64, f64)], x: f64) -> f64 {
    let weight = |i: usize| -> f64 {
        let others = points.iter().enumerate().filter(|(j, _)| *j != i);
        others.map(|(_, other)| (x - other.0) / (points[i].0 - other.0)).product()
    };
    points.iter().enumerate().map(|(i, point)| weight(i) * point.1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::noise::tests::normal;

    const NOISE: f64 = 0.05;

    /// A slow wave with a step and a kink, and white noise.
    fn signal(samples: usize, noise: f64, seed: u64) -> Vec<f64> {
        let mut normal = normal(seed);
        let value = |i: usize| {
            let t = i as f64;
            (t / 12.0).sin() + if i > 100 { 3.0 } else { 0.0 } + 0.05 * (t - 200.0).max(0.0)
        };
        (0..samples).map(|i| value(i) + noise * normal()).collect()
    }

    /// Those that stand out, each told as soon as it can be.
    fn found(values: &[f64]) -> Vec<usize> {
        let (mut values, mut at, mut found) = (values.to_vec(), 0, Vec::new());
        while at < values.len() {
            match judge(&values, at, NOISE) {
                Verdict::StandOut(count) => {
                    found.extend(at..at + count);
                    values[at..at + count].fill(f64::NAN);
                    at += count;
                }
                Verdict::Belongs | Verdict::Later => at += 1,
            }
        }
        found
    }

    #[test]
    fn up_to_three_samples_in_a_row_are_found_and_nothing_else() {
        for places in [&[0][..], &[1], &[50], &[50, 51], &[50, 51, 52], &[101], &[98], &[20, 150, 201, 399]] {
            let mut values = signal(400, NOISE, 3);
            for (k, i) in places.iter().enumerate() {
                values[*i] += if k % 2 == 0 { 4.0 } else { -3.0 };
            }
            // Of the last one nothing shows whether the signal comes back from it.
            let told: Vec<usize> = places.iter().copied().filter(|i| *i < 399).collect();
            assert_eq!(found(&values), told);
        }
        let mut longer = signal(400, NOISE, 3);
        longer[50..54].iter_mut().for_each(|v| *v += 4.0);
        assert_eq!(found(&longer), Vec::<usize>::new());
    }

    #[test]
    fn beside_missing_samples_they_are_found_as_well() {
        let mut values = signal(400, NOISE, 4);
        values[48..50].fill(f64::NAN);
        values[50] += 4.0;
        values[52] = f64::NAN;
        // Behind a long gap nothing stands before it.
        values[300..340].fill(f64::NAN);
        values[340] -= 6.0;
        assert_eq!(found(&values), [50, 340]);
    }

    #[test]
    fn of_white_noise_and_of_steps_none_stands_out() {
        let mut normal = normal(5);
        let noise: Vec<f64> = (0..200_000).map(|_| NOISE * normal()).collect();
        assert_eq!(found(&noise), Vec::<usize>::new());
        for step in [0.5, 1.0, 10.0, 1000.0] {
            let square: Vec<f64> =
                (0..20_000).map(|i| step * f64::from(u8::from((i / 9) % 2 == 1)) + NOISE * normal()).collect();
            assert_eq!(found(&square), Vec::<usize>::new(), "steps of {step}");
        }
    }

    #[test]
    fn of_a_smooth_signal_without_noise_none_stands_out() {
        let wave = |t: f64| (t / 17.0).sin() + 0.6 * (t / 5.0 + 1.0).sin() + 0.3 * (t / 3.0 + 2.0).cos();
        let values: Vec<f64> = (0..20_000).map(|i| wave(f64::from(i))).collect();
        for noise in [0.0, 1e-9, 1e-4] {
            let told: Vec<_> =
                (0..values.len()).filter(|i| matches!(judge(&values, *i, noise), Verdict::StandOut(_))).collect();
            assert_eq!(told, Vec::<usize>::new(), "{noise}");
        }
    }

    #[test]
    fn a_verdict_stays_what_it_was() {
        let mut values = signal(120, NOISE, 6);
        for i in [3, 40, 41, 60, 70, 71, 72, 73, 110] {
            values[i] += 5.0;
        }
        values[61..63].fill(f64::NAN);
        for at in 0..values.len() {
            let of = |known: usize| judge(&values[..known], at, NOISE);
            let first = (at + 1..=values.len()).map(of).find(|verdict| *verdict != Verdict::Later);
            let Some(first) = first else { continue };
            let all = (at + 1..=values.len()).map(of).filter(|verdict| *verdict != Verdict::Later);
            assert!(all.into_iter().all(|verdict| verdict == first), "sample {at}");
        }
    }
}
