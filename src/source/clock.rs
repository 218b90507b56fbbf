//! The column of a table that says when its samples were taken.

use super::text::Separator;
use crate::units::{Dimension, Step, canonical_unit, convert, dimension};

/// Names of such columns, without a unit. A capital T alone is a temperature.
const TIMES: [&str; 8] = ["time", "times", "t", "timestamp", "datetime", "date", "seconds", "elapsed"];
/// How far from its place a sample may lie, in steps.
const JITTER: f64 = 0.25;
/// Differences that agree to this share of themselves are one step, not a mean of several.
const SAME: f64 = 1e-6;
/// How far the step over all times may be from the mean of the differences: else some of them are no steps.
const ALIKE: f64 = 0.05;
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

/// The columns of times and their units, of those that the header names and that are not `values`.
pub(super) fn time_columns(header: &[String], values: usize) -> impl Iterator<Item = (usize, Option<&'static str>)> {
    let others = header.iter().enumerate().filter(move |(i, _)| *i != values);
    others.filter_map(|(i, name)| Some((i, unit_of(name)?)))
}

/// `Some` where the name is that of a time, with its unit where it has one: `time [s]`, `t (ms)`, `time_s`.
pub(super) fn unit_of(name: &str) -> Option<Option<&'static str>> {
    let name = name.trim();
    let (word, unit) = name.split_once(['[', '(', '/', '_']).unwrap_or((name, ""));
    let (word, is_bare) = (word.trim(), unit.is_empty());
    if !TIMES.contains(&word.to_lowercase().as_str()) || (word == "T" && is_bare) {
        return None;
    }
    let unit =
        if word.eq_ignore_ascii_case("seconds") && is_bare { "s" } else { unit.trim_end_matches([']', ')']).trim() };
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
    /// Equal differences are taken as they stand. Others, as of times that were rounded when written, are averaged; where
    /// the rounding leaves one whole number of samples a second, or of seconds a sample, it is that. `unit` is theirs.
    pub(super) fn of(column: usize, unit: Option<&str>, times: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        let times: Vec<Option<f64>> = times.map(|t| t.filter(|t| t.is_finite())).collect();
        let differences: Vec<f64> = times.windows(2).filter_map(|w| Some(w[1]? - w[0]?)).collect();
        let mut sorted = differences.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = *sorted.get(sorted.len().saturating_sub(1) / 2)?;
        if !(middle > 0.0 && middle.is_finite()) {
            return None;
        }
        let same = differences.iter().all(|d| (d - middle).abs() <= SAME * middle);
        let step = if same {
            differences[0]
        } else {
            let even = differences.iter().filter(|d| (*d / middle - (*d / middle).round()).abs() <= JITTER);
            let (sum, steps) = even.fold((0.0, 0.0), |(sum, steps), d| (sum + d, steps + (d / middle).round()));
            let step =
                over_all(middle, &times).filter(|s| (s * steps / sum - 1.0).abs() < ALIKE).unwrap_or(sum / steps);
            whole(step, unit, &times).unwrap_or(step)
        };
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

    /// The time of the first row, where that of row `row` is `time`.
    pub(super) fn counted(&self, time: f64, row: usize) -> f64 {
        let first = time - row as f64 * self.step;
        if row == 0 { time } else { format!("{first:.8e}").parse().unwrap_or(first) }
    }

    /// Whether the row of this time is not later than the one before.
    pub(super) fn goes_back(&self, time: Option<f64>) -> bool {
        time.zip(self.last).is_some_and(|(time, (before, _))| time <= before)
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

/// The step that the first and the last time show. How many steps lie between is told better the more of the times before
/// are known.
fn over_all(middle: f64, times: &[Option<f64>]) -> Option<f64> {
    let mut times = times.iter().flatten();
    let first = times.next()?;
    let step = times.fold(middle, |step, time| {
        let count = ((time - first) / step).round();
        if count >= 1.0 { (time - first) / count } else { step }
    });
    Some(step)
}

/// The one whole number of samples a second, or of seconds a sample, with which `times` are even steps of about `step` that
/// were rounded to decimals; `None` where there are several, or none.
fn whole(step: f64, unit: Option<&str>, times: &[Option<f64>]) -> Option<f64> {
    let first = times.iter().flatten().next()?;
    let since: Vec<f64> = times.iter().flatten().map(|t| t - first).collect();
    // What they were rounded to.
    let is_whole = |v: f64| (v - v.round()).abs() < 0.01;
    let decimal = (0..=6).map(|k| 10f64.powi(-k)).find(|decimal| since.iter().all(|t| is_whole(t / decimal)))?;
    let counted = since.iter().map(|t| (t, (t / step).round())).filter(|(_, count)| *count >= 1.0);
    let limits = counted.map(|(t, count)| [(t - decimal) / count, (t + decimal) / count]);
    let [low, high] = limits.fold([0.0, f64::INFINITY], |[a, b], [c, d]: [f64; 2]| [a.max(c), b.min(d)]);
    let seconds = convert(1.0, unit.unwrap_or("s"), "s").ok()?;
    let [low, high] = [low * seconds, high * seconds];
    if !(low > 0.0 && low <= high) {
        return None;
    }
    let only = |from: f64, to: f64| (from.ceil() == to.floor() && from.ceil() >= 1.0).then(|| from.ceil());
    let found = only(1.0 / high, 1.0 / low).map(|rate| 1.0 / rate).or_else(|| only(low, high));
    found.map(|step| step / seconds)
}

/// One field as a time: a number, or a date or time of day in seconds; `None` where it is none.
pub(super) fn time(fields: &[impl AsRef<str>], column: usize, separator: Separator) -> Option<f64> {
    let field = fields.get(column)?.as_ref();
    separator.number(field).or_else(|| date(field))
}

/// Seconds since 1970 of `2026-01-31T12:30:05.25Z`, with or without an offset from UTC (else it counts as UTC), and since
/// midnight of `12:30:05.25`.
pub(super) fn date(text: &str) -> Option<f64> {
    let text = text.trim();
    let (day, clock) = match text.split_once(['T', ' ']) {
        Some((day, clock)) => (Some(day), clock.trim()),
        None => (None, text),
    };
    let (clock, offset) = match clock.strip_suffix('Z') {
        Some(clock) => (clock, 0.0),
        None => match clock.rfind(['+', '-']) {
            Some(at) => {
                let (hours, minutes) = clock[at + 1..].split_once(':').unwrap_or((&clock[at + 1..], "0"));
                let seconds = 3600.0 * whole_number(hours)? + 60.0 * whole_number(minutes)?;
                (&clock[..at], if clock[at..].starts_with('-') { -seconds } else { seconds })
            }
            None => (clock, 0.0),
        },
    };
    let mut parts = clock.split(':');
    let (hours, minutes) = (whole_number(parts.next()?)?, whole_number(parts.next()?)?);
    let seconds: f64 = parts.next().map_or(Some(0.0), |s| s.replace(',', ".").parse().ok())?;
    if parts.next().is_some() || hours > 24.0 || minutes >= 60.0 || !(0.0..=61.0).contains(&seconds) {
        return None;
    }
    let days = day.map_or(Some(0), days)?;
    Some(86_400.0 * days as f64 + 3600.0 * hours + 60.0 * minutes + seconds - offset)
}

fn whole_number(text: &str) -> Option<f64> {
    (!text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Days since 1970-01-01 of `2026-01-31` or `2026/01/31`.
fn days(text: &str) -> Option<i64> {
    let mut parts = text.split(['-', '/']);
    let mut next = || whole_number(parts.next()?).map(|v| v as i64);
    let (year, month, day) = (next()?, next()?, next()?);
    if parts.next().is_some() || year < 1000 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March, so that the leap day is the last; 153 days in five months.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_the_time_and_its_unit() {
        let of = |names: &[&str], values| {
            let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
            time_columns(&names, values).next()
        };
        assert_eq!(of(&["time [s]", "u"], 1), Some((0, Some("s"))));
        assert_eq!(of(&["u", "t (ms)"], 0), Some((1, Some("ms"))));
        assert_eq!(of(&["time_min", "u"], 1), Some((0, Some("min"))));
        assert_eq!(of(&["Seconds", "u"], 1), Some((0, Some("s"))));
        assert_eq!(of(&["t", "u"], 1), Some((0, None)));
        assert_eq!(of(&["t", "u"], 0), None);
        assert_eq!(of(&["time_of_day", "time [um]", "u"], 2), None);
        assert_eq!(of(&["T", "p"], 1), None);
        assert_eq!(of(&["T [s]", "p"], 1), Some((0, Some("s"))));
        assert_eq!(of(&["T [K]", "T_room", "p"], 2), None);
    }

    #[test]
    fn dates_are_seconds() {
        assert_eq!(date("1970-01-01T00:00:00Z"), Some(0.0));
        assert_eq!(date("2000-03-01 12:30:05.25"), Some(951_913_805.25));
        assert_eq!(date("2024/02/29 00:00:01"), Some(1_709_164_801.0));
        assert_eq!(date("2026-01-01T00:30:00+01:00"), date("2025-12-31T23:30:00Z"));
        assert_eq!(date("2026-01-01T00:30:00-0200".trim_end_matches("00")), date("2026-01-01T02:30:00"));
        assert_eq!(date("12:30:05,5"), Some(45_005.5));
        for other in ["", "12", "noon", "2026-01-01", "2026-13-01 00:00:00", "12:61:00", "a:b", "1:2:3:4", "-5:00"] {
            assert_eq!(date(other), None, "{other}");
        }
    }

    #[test]
    fn rounded_times_of_a_whole_rate_are_of_that_rate() {
        let step = |rate: f64, decimals: usize, unit: Option<&str>, scale: f64| {
            let times = (0..100).map(|i| format!("{:.decimals$}", 3.0 + scale * f64::from(i) / rate).parse().ok());
            Clock::of(0, unit, times).map(|clock| clock.step)
        };
        for rate in [24.0, 30.0, 60.0, 128.0, 256.0] {
            assert_eq!(step(rate, 3, None, 1.0), Some(1.0 / rate), "{rate}");
            assert_eq!(step(rate, 0, Some("ms"), 1000.0), Some(1000.0 / rate), "{rate}");
        }
        // Not every rate is whole.
        let television = step(60.0 / 1.001, 3, None, 1.0).expect("a step");
        assert!((television * 60.0 / 1.001 - 1.0).abs() < 1e-3 && television != 1.0 / 60.0, "{television}");
        assert_eq!(step(1.0 / 7.0, 0, None, 1.0), Some(7.0));
    }

    #[test]
    fn a_step_is_what_the_times_say() {
        let step =
            |times: &[f64]| Clock::of(0, None, times.iter().copied().map(Some))?.step(Some("s")).map(|s| s.value);
        assert_eq!(step(&[0.1, 0.2, 0.3, 0.4]), Some(0.1));
        assert_eq!(step(&[0.0, 0.33, 0.67, 1.0]), Some(0.333_333_333));
        assert_eq!(step(&[5.0, 6.0, 9.0, 10.0]), Some(1.0));
        assert_eq!(step(&[5.0]), None);
        assert_eq!(step(&[5.0, 5.0, 5.0]), None);
        assert_eq!(step(&[3.0, 2.0, 1.0]), None);
    }

    #[test]
    fn rows_are_held_against_the_step() {
        let mut clock = Clock::of(0, None, [Some(0.0), Some(1.0)].into_iter()).expect("a clock");
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
