//! Ranges of values, round tick numbers and their texts.

use crate::units::convert;

/// The values that a colour bar or an axis spans.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) low: f64,
    pub(super) high: f64,
    /// Whether values lie below `low`, above `high`.
    pub(super) below: bool,
    pub(super) above: bool,
    pub(super) log: bool,
}

impl Range {
    /// The range between two percentiles (fractions) of the finite values, or all of it where little lies
    /// outside; `None` without a finite value.
    pub(super) fn of(values: &[f32], percentiles: (f64, f64), log_scale: bool) -> Option<Self> {
        let mut finite: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
        if finite.is_empty() {
            return None;
        }
        let last = (finite.len() - 1) as f64;
        let mut at = |p: f64| f64::from(*finite.select_nth_unstable_by((p * last).round() as usize, f32::total_cmp).1);
        let (min, max) = (at(0.0), at(1.0));
        let (mut low, mut high) = (at(percentiles.0), at(percentiles.1));
        let room = 0.15 * (high - low);
        if min >= low - room {
            low = min;
        }
        if max <= high + room {
            high = max;
        }
        let log = log_scale && low > 0.0 && high > 3.0 * low;
        // What differs by less than single precision resolves is one value.
        let resolved = 1e-5 * low.abs().max(high.abs());
        if high - low <= resolved {
            let around = if resolved > 0.0 { 1e4 * resolved } else { 1.0 };
            (low, high) = (low - around, high + around);
        }
        Some(Self { low, high, below: min < low, above: max > high, log })
    }

    /// Where a value lies between 0 (low) and 1 (high); beyond them outside the range.
    pub(super) fn position(&self, value: f64) -> f64 {
        if self.log {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// About `count` round numbers within the range, and how they are written.
    pub(super) fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let within = |v: f64| (-1e-9..=1.0 + 1e-9).contains(&self.position(v));
        if self.log {
            let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
            let few = self.high / self.low < 30.0;
            let digits: &[f64] = if few { &[1.0, 2.0, 3.0, 5.0, 7.0] } else { &[1.0, 2.0, 5.0] };
            let span = (self.high / self.low).log10();
            let digits = if span > 3.0 { &digits[..1] } else { digits };
            let every = ((span / count as f64).ceil() as i32).max(1);
            let kept = decades.filter(|d| span <= 3.0 || d.rem_euclid(every) == 0);
            let values = kept.flat_map(|d| digits.iter().map(move |m| m * 10_f64.powi(d)));
            return values.filter(|v| within(*v)).map(|v| (v, number(v, v / 10.0))).collect();
        }
        let step = round_step((self.high - self.low) / count.max(1) as f64);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        let largest = self.low.abs().max(self.high.abs());
        (first..=last.min(first + 50)).map(|i| i as f64 * step).map(|v| (v, tick_text(v, step, largest))).collect()
    }
}

/// 1, 2 or 5 times a power of ten, the nearest above `value`.
pub(super) fn round_step(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * power >= value * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// 1, 2 or 5 times a power of ten, the nearest below `value`.
pub(super) fn round_below(value: f64) -> f64 {
    let power = 10_f64.powf((value * (1.0 + 1e-9)).log10().floor());
    let factor = [5.0, 2.0].into_iter().find(|f| f * power <= value * (1.0 + 1e-9));
    factor.unwrap_or(1.0) * power
}

/// All numbers of one axis alike: with decimals, or with an exponent where they are very large or small.
fn tick_text(value: f64, step: f64, largest: f64) -> String {
    let value = if value.abs() < 1e-9 * step { 0.0 } else { value };
    if !(1e-3..1e5).contains(&largest) {
        if value == 0.0 {
            return "0".to_owned();
        }
        let digits = (value.abs().log10().floor() - step.log10().floor()).clamp(0.0, 6.0) as usize;
        return short_exponent(&format!("{value:.digits$e}"));
    }
    let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{value:.decimals$}")
}

/// A round number as short as it can be, `resolution` being the smallest digit that counts.
pub(super) fn number(value: f64, resolution: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let size = value.abs();
    if !(1e-3..1e5).contains(&size) {
        return short_exponent(&format!("{value:.2e}"));
    }
    let decimals = (-resolution.abs().log10().floor()).clamp(0.0, 9.0) as usize;
    trimmed(&format!("{value:.decimals$}")).to_owned()
}

/// `1.0e-4` as `1e-4`.
fn short_exponent(text: &str) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    format!("{}e{exponent}", trimmed(digits))
}

/// The unit in which `value`, in the canonical unit `unit`, is a number below 1000, and the factor to it; the
/// unit itself where there is no such unit.
pub(super) fn readable(value: f64, unit: &str) -> (f64, &str) {
    let ladders = [&["pm", "nm", "um", "mm"][..], &["ns", "us", "ms", "s"]];
    let from = ladders.iter().find_map(|l| Some((l, l.iter().position(|u| *u == unit)?)));
    let Some((ladder, at)) = from else { return (1.0, unit) };
    let mut factor = 1.0;
    let mut name = unit;
    for larger in &ladder[at + 1..] {
        if value * factor < 1000.0 {
            break;
        }
        factor = convert(1.0, unit, larger).unwrap_or(factor);
        name = larger;
    }
    (factor, name)
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(low: f64, high: f64, log: bool) -> Vec<String> {
        let range = Range { low, high, below: false, above: false, log };
        range.ticks(5).into_iter().map(|t| t.1).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(texts(0.13, 1.04, false), ["0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(-3.0, 3.0, false), ["-2", "0", "2"]);
        assert_eq!(texts(0.0, 4.2e-6, false), ["0", "1e-6", "2e-6", "3e-6", "4e-6"]);
        assert_eq!(texts(-1.2e-4, 1.2e-4, false), ["-1e-4", "-5e-5", "0", "5e-5", "1e-4"]);
        assert_eq!(texts(0.5, 20.0, true), ["0.5", "1", "2", "5", "10", "20"]);
        assert_eq!(
            texts(1e-4, 10.0, true),
            ["1e-4", "1e-3", "0.01", "0.1", "1", "10"].map(|t| t.replace("1e-3", "0.001"))
        );
    }

    #[test]
    fn large_numbers_get_a_larger_unit() {
        assert_eq!(readable(5000.0, "nm"), (1e-3, "um"));
        assert_eq!(readable(5e6, "nm"), (1e-6, "mm"));
        assert_eq!(readable(999.0, "ms"), (1.0, "ms"));
        assert_eq!(readable(5000.0, "s"), (1.0, "s"));
        assert_eq!(readable(5000.0, "h"), (1.0, "h"));
    }

    #[test]
    fn round_lengths_lie_below_and_steps_above() {
        for (value, below, step) in [(1.0, 1.0, 1.0), (4.9, 2.0, 5.0), (0.07, 0.05, 0.1), (900.0, 500.0, 1000.0)] {
            assert!((round_below(value) / below - 1.0).abs() < 1e-9, "{value}");
            assert!((round_step(value) / step - 1.0).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn a_range_leaves_out_what_is_far_off_and_says_so() {
        let mut values: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        values.extend([1e6; 3]);
        values.push(f32::NAN);
        let range = Range::of(&values, (0.02, 0.98), false).expect("finite values");
        assert!(range.above && !range.below && range.high < 1000.0 && range.low == 0.0);
        assert_eq!(Range::of(&[f32::NAN], (0.02, 0.98), false), None);
        let flat = Range::of(&[2.0; 9], (0.02, 0.98), true).expect("finite values");
        assert!(flat.low < 2.0 && flat.high > 2.0 && !flat.log && !flat.below && !flat.above);
        let flat = Range::of(&[0.0; 9], (0.02, 0.98), false).expect("finite values");
        assert_eq!((flat.low, flat.high), (-1.0, 1.0));
    }
}
