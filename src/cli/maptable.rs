//! `summary.csv`: a row for each map, with what its outputs and the user's regions show.

use mollifier::model::{Contract, Transform};
use mollifier::sink::TableInfo;
use mollifier::stream::Map;

use super::roi::Roi;
use super::spacing::RunSpacing;

/// Name of the table.
pub(crate) const NAME: &str = "summary";
/// Values of one map that percentiles are taken of, at most about.
const SAMPLED: usize = 16_384;
/// Values with less support than this say nothing.
const SUPPORTED: f32 = 0.5;

/// Makes the rows of `summary.csv`.
#[derive(Debug)]
pub(crate) struct MapTable {
    /// The outputs but `support`: place in the contract, name and unit.
    outputs: Vec<(usize, String)>,
    lambda: usize,
    support: Option<usize>,
    std: Option<usize>,
    /// Whether `std` is that of the logarithm.
    relative: bool,
    time: String,
    rois: Vec<Roi>,
    sample: Vec<f32>,
}

impl MapTable {
    pub(crate) fn new(contract: &Contract, spacing: &RunSpacing, rois: &[Roi]) -> Self {
        let place = |name: &str| contract.outputs.iter().position(|o| o.name == name);
        let (support, lambda) = (place("support"), place("lambda").unwrap_or(0));
        let titled = |name: &str, unit: Option<String>| unit.map_or(name.to_owned(), |u| format!("{name} [{u}]"));
        let outputs = contract.outputs.iter().enumerate().filter(|(k, _)| Some(*k) != support);
        let title =
            |(k, o): (usize, &mollifier::model::Output)| (k, titled(&o.name, spacing.unit(&contract.inputs, &o.unit)));
        Self {
            outputs: outputs.map(title).collect(),
            lambda,
            support,
            std: place("std"),
            relative: contract.outputs.get(lambda).is_some_and(|o| o.transform == Transform::Log),
            time: titled("time", spacing.spacing.unit("t").map(str::to_owned)),
            rois: rois.to_vec(),
            sample: Vec::new(),
        }
    }

    /// The table, for the files of the run.
    pub(crate) fn info(&self) -> TableInfo {
        let mut header = format!("map,frame,{},noise", self.time);
        for (_, title) in &self.outputs {
            let (name, unit) =
                title.split_once(' ').map_or((title.as_str(), String::new()), |(n, u)| (n, format!(" {u}")));
            for what in ["median", "mean", "p5", "p95"] {
                header += &format!(",{name}_{what}{unit}");
            }
            header += &format!(",{name}_nan");
        }
        if self.support.is_some() {
            header += ",support_mean";
        }
        let lambda = self.outputs.iter().find(|o| o.0 == self.lambda).map_or("lambda", |o| &o.1);
        let unit = lambda.split_once(' ').map_or(String::new(), |(_, u)| format!(" {u}"));
        for roi in &self.rois {
            header += &format!(",{}_mean{unit}", roi.name);
            if self.std.is_some() {
                header += &format!(",{}_std{unit}", roi.name);
            }
            header += &format!(",{}_pixels", roi.name);
        }
        header += ",latency [ms]";
        TableInfo { name: NAME.to_owned(), header, curves: None }
    }

    /// The row of map number `number`.
    ///
    /// Medians, means and percentiles are of the pixels with a value and a support of at least 0.5, percentiles of at
    /// most 16,384 of them, evenly spread over the map; shares without a value are of all pixels.
    pub(crate) fn row(&mut self, number: u64, map: &Map<'_>) -> String {
        let slices: Vec<&[f32]> = map.outputs.iter().filter_map(|a| a.as_slice()).collect();
        let columns = map.outputs.first().map_or(1, |a| a.ncols());
        let mut row = format!("{number},{},{},{}", map.frame, map.time, cell(map.statistics.noise));
        let support = self.support.map(|s| slices[s]);
        for (k, _) in &self.outputs {
            let [median, mean, low, high, missing] = statistics(slices[*k], support, &mut self.sample);
            for value in [median, mean, low, high, missing] {
                row.push(',');
                row += &cell(value);
            }
        }
        if let Some(support) = support {
            let (sum, count) = finite(support.iter().copied());
            row.push(',');
            row += &cell(sum / count);
        }
        for roi in &self.rois {
            let std = self.std.map(|s| slices[s]);
            let got = roi.mean(slices[self.lambda], support, std, self.relative, columns);
            row += &format!(",{}", cell(got.mean));
            if std.is_some() {
                row += &format!(",{}", cell(got.std));
            }
            row += &format!(",{}", got.pixels);
        }
        row + &format!(",{:.3}", map.progress.latency_ms)
    }
}

/// Median, mean, 5 and 95 % of the values that something tells of, and the share of all that are missing.
fn statistics(values: &[f32], support: Option<&[f32]>, sample: &mut Vec<f32>) -> [f64; 5] {
    let tells = |i: usize| support.is_none_or(|s| s[i] >= SUPPORTED);
    let (mut missing, mut sum, mut count) = (0_usize, 0.0, 0_usize);
    for (i, value) in values.iter().enumerate() {
        let counts = value.is_finite() && tells(i);
        missing += usize::from(value.is_nan());
        sum += if counts { f64::from(*value) } else { 0.0 };
        count += usize::from(counts);
    }
    let missing = missing as f64 / values.len().max(1) as f64;
    // An odd stride meets every column of an image with an even number of them.
    let stride = if values.len() > SAMPLED { (values.len() / SAMPLED) | 1 } else { 1 };
    sample.clear();
    sample.extend((0..values.len()).step_by(stride).filter(|i| tells(*i)).map(|i| values[i]).filter(|v| v.is_finite()));
    let mut at = |share: f64| match sample.len().checked_sub(1) {
        Some(last) => {
            let place = (share * last as f64).round() as usize;
            f64::from(*sample.select_nth_unstable_by(place, f32::total_cmp).1)
        }
        None => f64::NAN,
    };
    [at(0.5), sum / count as f64, at(0.05), at(0.95), missing]
}

/// Sum and number of what is finite.
fn finite(values: impl Iterator<Item = f32>) -> (f64, f64) {
    values.filter(|v| v.is_finite()).fold((0.0, 0.0), |(sum, count), v| (sum + f64::from(v), count + 1.0))
}

/// A number with the digits of single precision; empty where there is none.
pub(crate) fn cell(value: f64) -> String {
    let value = value as f32;
    let size = value.abs();
    if !value.is_finite() {
        String::new()
    } else if size != 0.0 && !(1e-4..1e9).contains(&size) {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_leave_out_what_is_missing_or_not_supported() {
        let values = [1.0, 2.0, 3.0, f32::NAN, 100.0, f32::INFINITY];
        let support = [1.0, 0.5, 0.9, 1.0, 0.4, 1.0];
        let got = statistics(&values, Some(&support), &mut Vec::new());
        assert_eq!(got[..4], [2.0, 2.0, 1.0, 3.0]);
        assert!((got[4] - 1.0 / 6.0).abs() < 1e-12);
        let nothing = statistics(&[f32::NAN; 4], Some(&[0.0; 4]), &mut Vec::new());
        assert!(nothing[..4].iter().all(|v| v.is_nan()) && nothing[4] == 1.0);
        assert_eq!(cell(nothing[0]), "");
    }

    #[test]
    fn percentiles_of_large_maps_are_taken_of_a_sample() {
        let mut sample = Vec::new();
        let values: Vec<f32> = (0..1024 * 1024).map(|i| (i % 1024) as f32).collect();
        let [median, mean, low, high, _] = statistics(&values, None, &mut sample);
        assert!(sample.len() <= SAMPLED + 1 && mean == 511.5);
        for (got, expected) in [(median, 512.0), (low, 51.0), (high, 973.0)] {
            assert!((got - expected).abs() < 10.0, "{got} {expected}");
        }
    }
}
