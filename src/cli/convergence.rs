//! Whether enough has been recorded: how the rate map changes as localisations come in.

use std::sync::Arc;

use mollifier::model::Contract;
use mollifier::sink::{CurveInfo, PanelInfo, TableInfo};
use mollifier::source::{Count, Tally};
use serde::{Deserialize, Serialize};

use super::maptable::cell;
use super::summary::short;

/// Name of the table and of its picture.
pub(crate) const NAME: &str = "convergence";
/// Values with less support than this say nothing.
const SUPPORTED: f32 = 0.5;

/// How one map differs from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    #[serde(flatten)]
    count: Count,
    /// Relative L2 norm of the difference where this map's support is at least 0.5; `None` for the first map.
    change: Option<f64>,
    /// Correlation with the map before, there.
    correlation: Option<f64>,
    /// What chance still makes of the map, of the same kind as the change.
    remaining: Option<f64>,
    /// Pixels that these are of.
    pixels: u64,
}

/// Follows the maps of a growing localisation table.
#[derive(Debug)]
pub(crate) struct Convergence {
    tally: Arc<Tally>,
    lambda: usize,
    support: Option<usize>,
    before: Vec<f32>,
    last: Option<Point>,
}

impl Convergence {
    pub(crate) fn new(contract: &Contract, tally: Arc<Tally>) -> Self {
        let place = |name: &str| contract.outputs.iter().position(|o| o.name == name);
        let (lambda, support) = (place("lambda").unwrap_or(0), place("support"));
        Self { tally, lambda, support, before: Vec::new(), last: None }
    }

    /// The table and its picture, for the files of the run.
    pub(crate) fn info() -> TableInfo {
        let header = "map,camera_frames,localisations,outside,late,change,correlation,remaining,pixels";
        let panel = |title: &str, columns: &[(usize, &str)], log_scale| PanelInfo {
            title: title.to_owned(),
            columns: columns.iter().map(|(at, name)| (*at, (*name).to_owned())).collect(),
            log_scale,
        };
        let panels = vec![
            panel("relative L2 of lambda", &[(5, "change since the map before"), (7, "estimated to remain")], true),
            panel("correlation with the map before", &[(6, "correlation")], false),
        ];
        let title = "convergence of the rate map, where support is at least 0.5".to_owned();
        let curves = Some(CurveInfo { title, along: (2, "localisations".to_owned()), panels });
        TableInfo { name: NAME.to_owned(), header: header.to_owned(), curves }
    }

    /// Compare the maps of frame `frame` with those before.
    pub(crate) fn look_at(&mut self, frame: u64, outputs: &[&[f32]]) -> Point {
        let count = self.tally.take(frame).unwrap_or_default();
        let lambda = outputs[self.lambda];
        let mut point = Point { count, change: None, correlation: None, remaining: None, pixels: 0 };
        if let Some(last) = &self.last {
            let support = self.support.map(|s| outputs[s]);
            let pairs = lambda.iter().zip(&self.before).enumerate();
            let pairs = pairs.filter(|(i, _)| support.is_none_or(|s| s[*i] >= SUPPORTED)).map(|(_, (a, b))| (*a, *b));
            (point.change, point.correlation, point.pixels) = compare(pairs);
            point.remaining = point.change.and_then(|c| remaining(c, last.count.localisations, count.localisations));
        }
        self.keep(lambda, point);
        point
    }

    /// Take up a map of an interrupted run.
    pub(crate) fn recall(&mut self, outputs: &[&[f32]], point: Point) {
        self.keep(outputs[self.lambda], point);
    }

    fn keep(&mut self, lambda: &[f32], point: Point) {
        self.before.clear();
        self.before.extend(lambda);
        self.last = Some(point);
    }

    /// What a user should know of the table, once it has been read.
    pub(crate) fn line(&self) -> Option<String> {
        let point = self.last?;
        let percent = |v: f64| format!("{} %", short(100.0 * v as f32));
        let text = match (point.change, point.correlation) {
            (Some(change), correlation) => {
                let correlation = correlation.map_or(String::new(), |c| format!(", correlation {c:.4}"));
                let left = point.remaining.map(|r| format!("; by chance about {} remains", percent(r)));
                let left = left.unwrap_or_default();
                format!("lambda by {} (relative L2) with the last map{correlation}{left}", percent(change))
            }
            _ => "one map, nothing to compare it with".to_owned(),
        };
        Some(format!("{:10} {text}; {} localisations", "change", point.count.localisations))
    }
}

/// The row of map number `number`.
pub(crate) fn row(number: u64, point: &Point) -> String {
    let Point { count, change, correlation, remaining, pixels } = point;
    let value = |v: &Option<f64>| cell(v.unwrap_or(f64::NAN));
    let (change, correlation, remaining) = (value(change), value(correlation), value(remaining));
    format!(
        "{number},{},{},{},{},{change},{correlation},{remaining},{pixels}",
        count.camera_frames, count.localisations, count.outside, count.late
    )
}

/// Relative L2 norm of the difference of pairs (now, before), their correlation, and how many are finite.
fn compare(pairs: impl Iterator<Item = (f32, f32)>) -> (Option<f64>, Option<f64>, u64) {
    let mut n = 0_u64;
    let (mut difference, mut norm) = (0.0, 0.0);
    // Means so far, and sums of squares and products around them: no cancellation.
    let (mut mean_a, mut mean_b, mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (a, b) in pairs.filter(|(a, b)| a.is_finite() && b.is_finite()) {
        let (a, b) = (f64::from(a), f64::from(b));
        n += 1;
        difference += (a - b) * (a - b);
        norm += a * a;
        let (da, db) = (a - mean_a, b - mean_b);
        mean_a += da / n as f64;
        mean_b += db / n as f64;
        aa += da * (a - mean_a);
        bb += db * (b - mean_b);
        ab += da * (b - mean_b);
    }
    let finite = |v: f64| v.is_finite().then_some(v);
    (finite((difference / norm).sqrt()), finite(ab / (aa * bb).sqrt()), n)
}

/// The error that chance leaves in a map of `now` localisations, from its `change` against one of `before` of them.
///
/// Errors that average out like independent localisations have a variance of s^2/n after n of them, and the map of
/// `now`, which contains the first `before`, differs from that of these by s^2/before - s^2/now. Hence the error of
/// the newer one is the change times sqrt(before / (now - before)).
fn remaining(change: f64, before: u64, now: u64) -> Option<f64> {
    (before > 0 && now > before).then(|| change * (before as f64 / (now - before) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_compared_where_both_have_values() {
        let pairs = [(3.0, 3.0), (4.0, 4.0), (f32::NAN, 1.0), (1.0, f32::NAN)];
        assert_eq!(compare(pairs.into_iter()), (Some(0.0), Some(1.0), 2));
        let (change, correlation, n) = compare([(3.0, 0.0), (4.0, 0.0)].into_iter());
        assert_eq!((change, correlation, n), (Some(1.0), None, 2));
        assert_eq!(compare(std::iter::empty()), (None, None, 0));
        let offset = [(1e6_f32, 1e6 + 2.0), (1e6 + 1.0, 1e6 + 1.0), (1e6 + 2.0, 1e6)];
        assert!((compare(offset.into_iter()).1.expect("a correlation") + 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_remaining_error_is_that_of_a_mean() {
        // Means of n independent numbers of unit variance: their change and their own error.
        let mut state = 1_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let (mut change, mut error) = (0.0, 0.0);
        for _ in 0..4000 {
            let values: Vec<f64> = (0..50).map(|_| (uniform() - 0.5) * 12.0_f64.sqrt()).collect();
            let mean = |n: usize| values[..n].iter().sum::<f64>() / n as f64;
            change += (mean(50) - mean(40)).powi(2) / 4000.0;
            error += mean(50).powi(2) / 4000.0;
        }
        let estimate = remaining(change.sqrt(), 40, 50).expect("localisations have come");
        assert!((estimate / error.sqrt() - 1.0).abs() < 0.05, "{estimate} {}", error.sqrt());
        assert_eq!((remaining(0.1, 0, 5), remaining(0.1, 5, 5)), (None, None));
    }
}
