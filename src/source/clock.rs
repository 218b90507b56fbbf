//! The column of a table that says when its samples were taken.

use super::text::Separator;
use crate::units::{Dimension, Step, canonical_unit, dimension};

/// Names of such columns, without a unit.
const TIMES: [&str; 6] = ["time", "times", "t", "timestamp", "seconds", "elapsed"];
/// How far from its place a sample may lie, in steps.
const JITTER: f64 = 0.25;
/// Differences that agree to this share of themselves are one step, not a mean of several.
const SAME: f64 = 1e-6;
/// The most samples that may be missing between two rows.
const LONGEST_GAP: f64 = 1e6;

/// Even steps of time, held against the time of every row.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    /// Where in a row the time stands.
    pub(super) column: usize,
    /// Time from one sample to the next.
    step: f64,
    /// Time of the row before, and how many rows ago that was.
    last: Option<(f64, u64)>,
}

/// The column of times and its unit, where the header names one that is not `values`.
pub(super) fn time_column(header: &[String], values: usize) -> Option<(usize, Option<&'static str>)> {
    header.iter().enumerate().filter(|(i, _)| *i != values).find_map(|(i, name)| Some((i, unit_of(name)?)))
}

/// `Some` where the name is that of a time, with its unit where it has one: `time [s]`, `t (ms)`, `time_s`.
fn unit_of(name: &str) -> Option<Option<&'static str>> {
    let name = name.trim();
    let (word, unit) = name.split_once(['[', '(', '/', '_']).unwrap_or((name, ""));
    let word = word.trim().to_lowercase();
    if !TIMES.contains(&word.as_str()) {
        return None;
    }
    let unit = if word == "seconds" && unit.is_empty() { "s" } else { unit.trim_end_matches([']', ')']).trim() };
    match canonical_unit(unit) {
        Ok(None) => Some(None),
        Ok(Some(unit)) if dimension(unit) == Ok(Dimension::Time) => Some(Some(unit)),
        // A length, or a word that is no unit: `time_of_day`.
        _ => None,
    }
}

impl Clock {
    /// The clock that the first rows' times show (`None` for a row without one); `None` where they do not grow.
    ///
    /// Equal differences are taken as they stand. Others, as of times that were rounded when written, are averaged.
    pub(super) fn of(column: usize, times: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        let times: Vec<Option<f64>> = times.map(|t| t.filter(|t| t.is_finite())).collect();
        let differences: Vec<f64> = times.windows(2).filter_map(|w| Some(w[1]? - w[0]?)).collect();
        let mut sorted = differences.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = *sorted.get(sorted.len().saturating_sub(1) / 2)?;
        if !(middle > 0.0 && middle.is_finite()) {
            return None;
        }
        let even = differences.iter().filter(|d| (*d / middle - (*d / middle).round()).abs() <= JITTER);
        let (sum, steps) = even.fold((0.0, 0.0), |(sum, steps), d| (sum + d, steps + (d / middle).round()));
        let same = differences.iter().all(|d| (d - middle).abs() <= SAME * middle);
        let step = if same { differences[0] } else { sum / steps };
        (step > 0.0).then_some(Self { column, step, last: None })
    }

    /// The step in `unit`.
    ///
    /// Differences of decimal times are off by their rounding: 0.3 - 0.2 is no 0.1. The step is given to the nine
    /// digits that times have.
    pub(super) fn step(&self, unit: Option<&str>) -> Option<Step> {
        let rounded = format!("{:.8e}", self.step).parse().ok()?;
        Step::new(rounded, unit).ok()
    }

    /// How many samples are missing before the row of this time; `None` in `time` is a row that does not say.
    ///
    /// # Errors
    /// A time that is no whole number of steps after the one before: what came, and what should have.
    pub(super) fn missing(&mut self, time: Option<f64>) -> Result<u64, (String, String)> {
        let Some(time) = time.filter(|t| t.is_finite()) else {
            if let Some((_, rows)) = &mut self.last {
                *rows += 1;
            }
            return Ok(0);
        };
        let Some((before, rows)) = self.last.replace((time, 1)) else { return Ok(0) };
        let steps = (time - before) / self.step;
        let whole = steps.round();
        if whole < rows as f64 || (steps - whole).abs() > JITTER || whole - rows as f64 > LONGEST_GAP {
            let got = format!("a time of {time} after {before}");
            let step = self.step(None).map_or(self.step, |s| s.value);
            let expected = format!(
                "even steps of {step} (resample the series, or give --spacing t=STEP to take its rows as even)"
            );
            return Err((got, expected));
        }
        Ok(whole as u64 - rows)
    }
}

/// One field as a time; `None` where it is none.
pub(super) fn time(fields: &[impl AsRef<str>], column: usize, separator: Separator) -> Option<f64> {
    separator.number(fields.get(column)?.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_the_time_and_its_unit() {
        let of = |names: &[&str], values| {
            let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
            time_column(&names, values)
        };
        assert_eq!(of(&["time [s]", "u"], 1), Some((0, Some("s"))));
        assert_eq!(of(&["u", "t (ms)"], 0), Some((1, Some("ms"))));
        assert_eq!(of(&["time_min", "u"], 1), Some((0, Some("min"))));
        assert_eq!(of(&["Seconds", "u"], 1), Some((0, Some("s"))));
        assert_eq!(of(&["t", "u"], 1), Some((0, None)));
        assert_eq!(of(&["t", "u"], 0), None);
        assert_eq!(of(&["time_of_day", "time [um]", "u"], 2), None);
    }

    #[test]
    fn a_step_is_what_the_times_say() {
        let step = |times: &[f64]| Clock::of(0, times.iter().copied().map(Some))?.step(Some("s")).map(|s| s.value);
        assert_eq!(step(&[0.1, 0.2, 0.3, 0.4]), Some(0.1));
        assert_eq!(step(&[0.0, 0.33, 0.67, 1.0]), Some(0.333_333_333));
        assert_eq!(step(&[5.0, 6.0, 9.0, 10.0]), Some(1.0));
        assert_eq!(step(&[5.0]), None);
        assert_eq!(step(&[5.0, 5.0, 5.0]), None);
        assert_eq!(step(&[3.0, 2.0, 1.0]), None);
    }

    #[test]
    fn rows_are_held_against_the_step() {
        let mut clock = Clock::of(0, [Some(0.0), Some(1.0)].into_iter()).expect("a clock");
        let mut missing = |t| clock.missing(t).map_err(|e| e.0);
        assert_eq!(missing(Some(0.0)), Ok(0));
        assert_eq!(missing(Some(1.1)), Ok(0));
        assert_eq!(missing(Some(4.0)), Ok(2));
        assert_eq!(missing(None), Ok(0));
        assert_eq!(missing(Some(6.0)), Ok(0));
        assert_eq!(missing(Some(7.5)), Err("a time of 7.5 after 6".to_owned()));
        assert_eq!(missing(Some(7.4)), Err("a time of 7.4 after 7.5".to_owned()));
    }
}
