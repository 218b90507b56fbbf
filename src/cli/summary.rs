//! What a run prints when it is done, for a person to read.

use super::counted;
use mollifier::model::Output;
use mollifier::stream::Report;

/// How many values of an output are kept to tell its range from.
const KEPT: usize = 1 << 16;
/// How many values of one map or block are looked at, at most about.
const PER_MAP: usize = 4096;
/// Values with less support than this say nothing of the range.
const SUPPORTED: f32 = 0.5;
/// Where most values have less support than this the recording tells next to nothing.
const UNSUPPORTED: f32 = 0.05;

/// A bounded sample of an output's values, evenly spread over the run.
#[derive(Debug)]
struct Values {
    kept: Vec<f32>,
    stride: u64,
    seen: u64,
}

impl Default for Values {
    fn default() -> Self {
        Self { kept: Vec::new(), stride: 1, seen: 0 }
    }
}

impl Values {
    fn add(&mut self, value: f32) {
        if self.seen.is_multiple_of(self.stride) {
            if self.kept.len() == KEPT {
                let mut even = false;
                self.kept.retain(|_| {
                    even = !even;
                    even
                });
                self.stride *= 2;
            }
            if self.seen.is_multiple_of(self.stride) {
                self.kept.push(value);
            }
        }
        self.seen += 1;
    }

    fn at(&self, shares: [f64; 3]) -> Option<[f32; 3]> {
        let mut sorted = self.kept.clone();
        sorted.sort_by(f32::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        Some(shares.map(|s| sorted[(s * last as f64).round() as usize]))
    }
}

/// Collects what the summary needs while a run goes on; its memory does not grow.
#[derive(Debug)]
pub(crate) struct Summary {
    outputs: Vec<Values>,
    support: Option<usize>,
    supports: Values,
    support_sum: f64,
    support_count: u64,
    /// Values with as much support as [`SUPPORTED`].
    supported: u64,
    not_a_number: u64,
    looked_at: u64,
}

impl Summary {
    pub(crate) fn new(outputs: &[Output]) -> Self {
        Self {
            outputs: outputs.iter().map(|_| Values::default()).collect(),
            support: outputs.iter().position(|o| o.name == "support"),
            supports: Values::default(),
            support_sum: 0.0,
            support_count: 0,
            supported: 0,
            not_a_number: 0,
            looked_at: 0,
        }
    }

    /// Look at the outputs of one map or block: all of the same length, in the order of their announcement.
    pub(crate) fn look_at(&mut self, outputs: &[&[f32]]) {
        let len = outputs.first().map_or(0, |o| o.len());
        // An odd stride meets every column of an image with an even number of them.
        let stride = (len / PER_MAP).max(1) | 1;
        for i in (0..len).step_by(stride) {
            let support = self.support.map(|s| outputs[s][i]);
            self.looked_at += 1;
            self.not_a_number += u64::from(outputs[0][i].is_nan());
            if let Some(s) = support.filter(|s| s.is_finite()) {
                self.support_sum += f64::from(s);
                self.support_count += 1;
                self.supported += u64::from(s >= SUPPORTED);
                self.supports.add(s);
            }
            if support.is_none_or(|s| s >= SUPPORTED) {
                for (values, output) in self.outputs.iter_mut().zip(outputs) {
                    if output[i].is_finite() {
                        values.add(output[i]);
                    }
                }
            }
        }
    }

    /// Of the first output, where it has support.
    pub(crate) fn median(&self) -> Option<f64> {
        let [_, median, _] = self.outputs.first()?.at([0.05, 0.5, 0.95])?;
        Some(f64::from(median))
    }

    /// What to know of lambda where most values have next to no support.
    pub(crate) fn undetermined(&self) -> Option<String> {
        let [_, median, _] = self.supports.at([0.05, 0.5, 0.95])?;
        if median >= UNSUPPORTED {
            return None;
        }
        let why = "(nothing in it varies, or the source is about 0)";
        // Sparse specimens on empty ground have some.
        let share = 100.0 * self.supported as f64 / self.support_count as f64;
        Some(if share < 1.0 {
            format!("support is about 0: the recording does not determine lambda {why}, the map is not to be read")
        } else {
            format!(
                "support is about 0 for more than half of the values: the recording does not determine lambda there \
                 {why}, the map is to be read at most in the {share:.0} % with a support of at least {SUPPORTED}"
            )
        })
    }

    /// Lines about the outputs; `unit` gives each one's unit.
    pub(crate) fn lines(&self, outputs: &[Output], unit: impl Fn(usize) -> Option<String>) -> Vec<String> {
        let mut lines = Vec::new();
        for (k, (output, values)) in outputs.iter().zip(&self.outputs).enumerate() {
            if Some(k) == self.support {
                continue;
            }
            let unit = unit(k).map(|u| format!(" {u}")).unwrap_or_default();
            let where_ = if self.support.is_some() { " where support is at least 0.5" } else { "" };
            lines.push(match values.at([0.05, 0.5, 0.95]) {
                Some([low, median, high]) => format!(
                    "{:10} {}: median {}{unit}, {} to {}{unit} (5 to 95 %{where_})",
                    output.name,
                    output.quantity,
                    short(median),
                    short(low),
                    short(high)
                ),
                None => format!("{:10} {}: no value{where_}", output.name, output.quantity),
            });
        }
        if self.support_count > 0 {
            let mean = self.support_sum / self.support_count as f64;
            lines.push(format!("{:10} {mean:.2} on average, of 1", "support"));
        }
        if self.not_a_number > 0 {
            let share = 100.0 * self.not_a_number as f64 / self.looked_at as f64;
            lines.push(format!("{:10} {share:.1} % of the values: nothing measured that would tell it", "no value"));
        }
        lines
    }
}

/// Four significant digits.
pub(crate) fn short(value: f32) -> String {
    let value = f64::from(value);
    if value == 0.0 {
        return "0".into();
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    if (-3..=8).contains(&digits) { format!("{value:.*}", digits.max(0) as usize) } else { format!("{value:.3e}") }
}

/// Lines about the stream itself; `computed` maps or samples took `seconds`.
pub(crate) fn stream_lines(
    report: &Report,
    computed: u64,
    seconds: f64,
    series: bool,
    noise: Option<f64>,
) -> Vec<String> {
    let what = if series { "samples" } else { "maps" };
    let mut lines = Vec::new();
    if let (Some(median), Some(high)) = (report.compute.at(0.5), report.compute.at(0.99)) {
        let rate = computed as f64 / seconds.max(1e-9);
        let each = if series { "a block" } else { "a map" };
        lines.push(format!(
            "{:10} {rate:.1} {what}/s; computing {median:.3} ms {each} (median), {high:.3} ms (99 %)",
            "speed"
        ));
    }
    if let (Some(median), Some(high)) = (report.latency.at(0.5), report.latency.at(0.99)) {
        lines.push(format!("{:10} {median:.2} ms (median), {high:.2} ms (99 %), reading to writing", "latency"));
    }
    if let Some(noise) = noise {
        lines.push(format!("{:10} {} in the recording's values, as given", "noise", short(noise as f32)));
    } else if let Some(noise) = report.noise() {
        lines.push(format!("{:10} {} in the recording's values, as estimated", "noise", short(noise as f32)));
    }
    if report.lost.count > 0 {
        lines.push(format!("{:10} {}", "lost", lost(report, series)));
    }
    if report.invalid_values > 0 {
        let share = 100.0 * report.invalid_values as f64 / report.values.max(1) as f64;
        lines.push(format!(
            "{:10} {} ({share:.3} %) in {}: missing, saturated or standing out, left out",
            "invalid",
            counted(report.invalid_values, "values"),
            counted(report.invalid_frames, if series { "samples" } else { "frames" })
        ));
    }
    lines
}

/// Which frames were lost, in words.
pub(crate) fn lost(report: &Report, series: bool) -> String {
    let mut ranges: Vec<String> = report
        .lost
        .ranges
        .iter()
        .take(8)
        .map(|(a, b)| if b - a == 1 { a.to_string() } else { format!("{a}-{}", b - 1) })
        .collect();
    if report.lost.ranges.len() > ranges.len() || report.lost.more {
        ranges.push("...".into());
    }
    let by = if report.dropped_by_queue > 0 {
        format!(", {} of them given up by the queue", report.dropped_by_queue)
    } else {
        String::new()
    };
    let what = if series { "samples" } else { "frames" };
    format!("{} (index {}){by}", counted(report.lost.count, what), ranges.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_digits() {
        for (v, text) in [(0.0, "0"), (1.0, "1.000"), (123.456, "123.5"), (0.001234, "0.001234"), (1e-9, "1.000e-9")] {
            assert_eq!(short(v), text);
        }
        assert_eq!(short(-23456.0), "-23456");
    }

    #[test]
    fn a_sample_is_bounded_and_even() {
        let mut values = Values::default();
        for i in 0..1_000_000 {
            values.add(i as f32);
        }
        assert!(values.kept.len() <= KEPT && values.kept.len() > KEPT / 4);
        let [low, middle, high] = values.at([0.05, 0.5, 0.95]).unwrap_or_default();
        for (got, want) in [(low, 5e4), (middle, 5e5), (high, 9.5e5)] {
            assert!((got / want - 1.0).abs() < 0.01, "{got} {want}");
        }
    }
}
