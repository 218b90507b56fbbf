//! Series from CSV tables: one value a line, from a file or as the lines arrive.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::clock::{Clock, date, time, time_columns, unit_of};
use super::text::{Lines, Separator, is_date, is_missing};
use super::{Faults, OpenOptions, Place, SampleSource, SeriesInfo, SourceError};
use crate::source::Samples;
use crate::units::Spacing;

/// Samples of one block at most; fewer where no more lines have arrived.
const BLOCK: usize = 4096;
/// Rows that are looked at to find the only column of numbers, where the first leave values out.
const LOOK_AHEAD: usize = 1000;
/// Rows whose times are looked at for their step, where so many have arrived.
const TIMED: usize = 100;
/// Names of columns that say which sample it is, not what was measured.
const NOT_VALUES: [&str; 15] = [
    "",
    "index",
    "id",
    "sample",
    "samples",
    "sample number",
    "sample_number",
    "frame",
    "frame number",
    "frame_number",
    "row",
    "no",
    "no.",
    "nr",
    "#",
];

/// One column of a table as a series, axes (sample, channel) with one channel.
///
/// The first row is a header where it has a name and no number. Fields are separated by tabs, semicolons, commas
/// or, between bare numbers, spaces; a comma is a decimal mark where it does not separate. Empty fields and words
/// such as `NA` are missing values (NaN), and so are infinities; in a table of one column an empty line between rows
/// is an empty field. Lines that start with `#`, and other empty ones, are left out.
///
/// A column of even times (numbers, ISO dates, times of day) gives the step and the start, and samples that it skips are
/// missing values.
///
/// A [live](Self::live) table comes from a device that nobody can ask again: what is no row of it is a lost sample,
/// listed by its index, or where times tell what is missing nothing at all.
pub(super) struct CsvSource<R> {
    info: SeriesInfo,
    lines: Lines<R>,
    layout: Layout,
    /// Rows that were looked at before the layout was known.
    ahead: VecDeque<Row>,
    /// Whether a value has been read.
    started: bool,
    /// The column of times, and whether it decides where a sample belongs.
    clock: Option<Clock>,
    timed: bool,
    /// Missing samples that have not been given out yet, before `held`.
    gap: u64,
    /// The value behind the missing samples.
    held: Option<f64>,
    next: u64,
    /// What was wrong with the row behind the samples that were given out last.
    failed: Option<SourceError>,
    /// Counts what is no row, where that does not end the series.
    faults: Option<Arc<Faults>>,
    /// The row of names, which a device writes again when it starts anew.
    header: Vec<String>,
}

/// Where in a row the values stand.
#[derive(Clone, Copy)]
struct Layout {
    separator: Separator,
    /// Fields of the first row.
    width: usize,
    column: usize,
    /// The column of times.
    time: Option<usize>,
}

/// What a row says.
struct Sample {
    value: f64,
    time: Option<f64>,
}

/// A row that was looked at before the layout was known.
struct Row {
    fields: Vec<String>,
    place: Place,
    /// Empty lines before it.
    blanks: u64,
}

impl<R: Read> CsvSource<R> {
    pub(super) fn new(reader: R, name: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        Self::open(Lines::new(reader, name), name, options, None)
    }

    /// Rows that come while they are written, whose writer may be stopped in the last one.
    pub(super) fn piped(reader: R, name: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        Self::open(Lines::new(reader, name).whole(), name, options, None)
    }

    /// Rows as a device gives them; what is wrong with some of them is counted in `faults`.
    #[cfg(any(feature = "mqtt", feature = "serial"))]
    pub(super) fn live(reader: R, name: &str, options: &OpenOptions, faults: Arc<Faults>) -> Result<Self, SourceError> {
        Self::open(Lines::new(reader, name), name, options, Some(faults))
    }

    fn open(
        mut lines: Lines<R>,
        name: &str,
        options: &OpenOptions,
        faults: Option<Arc<Faults>>,
    ) -> Result<Self, SourceError> {
        #[cfg(any(feature = "mqtt", feature = "serial"))]
        let start = if faults.is_some() { first_numbers(&mut lines)? } else { first_lines(&mut lines)? };
        #[cfg(not(any(feature = "mqtt", feature = "serial")))]
        let start = first_lines(&mut lines)?;
        let Some((header, first, separator)) = start else {
            return Err(SourceError::malformed(Place::whole(name), "no rows", "a table of samples"));
        };
        let mut rows: Vec<Row> = first.into_iter().collect();
        let mut column = match &options.column {
            Some(wanted) => Some(named_column(wanted, header.as_deref(), rows.first(), name)?),
            None => None,
        };
        while column.is_none() {
            if let Some(found) = only_column(header.as_deref(), &rows, separator, name, false)? {
                column = Some(found);
                break;
            }
            if rows.len() == LOOK_AHEAD {
                column = only_column(header.as_deref(), &rows, separator, name, true)?;
                break;
            }
            match next_row(&mut lines, separator)? {
                Some(row) => rows.push(row),
                None => {
                    column = only_column(header.as_deref(), &rows, separator, name, true)?;
                    break;
                }
            }
        }
        let column = column.unwrap_or(0);
        let width = header.as_ref().or(rows.first().map(|r| &r.fields)).map_or(1, Vec::len);
        let channel = match &header {
            Some(header) => header[column].clone(),
            None => format!("column {}", column + 1),
        };
        let timed: Vec<_> = header.as_deref().map_or(Vec::new(), |names| time_columns(names, column).collect());
        if !timed.is_empty() {
            // The step has to be that of the finished recording, however its rows arrive. Where it is given they need not
            // be waited for.
            while rows.len() < 2 || (rows.len() < TIMED && (options.timed || lines.is_ready())) {
                match next_row(&mut lines, separator)? {
                    Some(row) => rows.push(row),
                    None => break,
                }
            }
        }
        let times = |c: usize| rows.iter().map(move |r| time(&r.fields, c, separator));
        let clock = timed.iter().find_map(|(c, unit)| {
            let is_date = rows.iter().filter_map(|r| r.fields.get(*c)).any(|f| date(f).is_some());
            let unit = if is_date { Some("s") } else { *unit };
            Some((Clock::of(*c, unit, times(*c))?, unit))
        });
        let mut warnings = Vec::new();
        if let (None, Some((c, _))) = (&clock, timed.iter().find(|(c, _)| times(*c).flatten().count() > 1)) {
            let what = header.as_deref().map_or("", |names| &names[*c]);
            if options.timed && faults.is_none() {
                let expected = "growing ones (sort the rows, or give --spacing t=STEP to take them as they stand)";
                return Err(SourceError::misused(
                    Place::whole(name),
                    format!("times `{what}` that do not grow"),
                    expected,
                ));
            }
            warnings.push(format!("{name}: the times `{what}` do not grow: its rows are taken as they stand"));
        }
        let start = |clock: &Clock| {
            let row = rows.iter().position(|r| time(&r.fields, clock.column, separator).is_some_and(f64::is_finite))?;
            let text = rows[row].fields.get(clock.column)?.trim();
            // A date is no number of steps from anything.
            let number = separator.number(text).map(|first| clock.counted(first, row));
            Some((number.unwrap_or(0.0), (number.is_none() && row == 0).then(|| text.to_owned())))
        };
        let (start, acquired) = clock.as_ref().and_then(|(clock, _)| start(clock)).unwrap_or((0.0, None));
        let spacing = Spacing { t: clock.as_ref().and_then(|(clock, unit)| clock.step(*unit)), ..Spacing::default() };
        let info = SeriesInfo {
            name: name.to_owned(),
            channels: vec![channel],
            count: None,
            spacing,
            start,
            acquired,
            warnings,
            faults: faults.clone().unwrap_or_default(),
        };
        let clock = clock.map(|(clock, _)| clock);
        let layout = Layout { separator, width, column, time: clock.as_ref().map(|c| c.column) };
        // What is wrong with these rows is said before anything is written.
        for row in rows.iter().filter(|_| faults.is_none()) {
            layout.read(&row.fields).map_err(wrong(|| row.place.clone()))?;
        }
        Ok(Self {
            info,
            lines,
            layout,
            ahead: rows.into(),
            started: false,
            clock,
            timed: options.timed,
            gap: 0,
            held: None,
            next: 0,
            failed: None,
            faults,
            header: header.unwrap_or_default(),
        })
    }

    /// The next sample's value; `None` at the end.
    ///
    /// In a table of one column an empty line between rows is an empty field, a missing sample: what comes after
    /// it keeps its place. Empty lines before the first row and after the last one mean nothing.
    fn next_value(&mut self) -> Result<Option<f64>, SourceError> {
        if self.gap > 0 {
            self.gap -= 1;
            return Ok(Some(f64::NAN));
        }
        if let Some(value) = self.held.take() {
            return Ok(Some(value));
        }
        let Some((Sample { value, time }, blanks, place)) = self.next_sample()? else { return Ok(None) };
        let mut missing = if self.layout.width == 1 && self.started { blanks } else { 0 };
        if let Some(clock) = &mut self.clock {
            if !self.timed && clock.goes_back(time) {
                Faults::count(&self.info.faults.back);
            }
            missing += match (clock.missing(time), &self.faults) {
                // The rows are taken as even, whatever their times; that may be a mistake.
                (missing, _) if !self.timed => {
                    self.info.faults.skipped.fetch_add(missing.unwrap_or(0), Ordering::Relaxed);
                    0
                }
                (Ok(missing), _) => missing,
                // The device's clock was set, or starts anew.
                (Err(_), Some(faults)) => {
                    Faults::count(&faults.clock);
                    0
                }
                (Err(e), None) => return Err(wrong(|| place.unwrap_or_else(|| self.lines.place()))(e)),
            };
        }
        self.started = true;
        if missing == 0 {
            return Ok(Some(value));
        }
        self.gap = missing - 1;
        self.held = Some(value);
        Ok(Some(f64::NAN))
    }

    /// Whether there is a value without waiting for a line.
    fn is_ready(&self) -> bool {
        self.gap > 0 || self.held.is_some() || !self.ahead.is_empty() || self.lines.is_ready()
    }

    /// The next row with the empty lines before it, and its place unless it is the last line read.
    fn next_sample(&mut self) -> Result<Option<(Sample, u64, Option<Place>)>, SourceError> {
        while let Some(row) = self.ahead.pop_front() {
            if self.faults.is_some() && row.fields == self.header {
                continue;
            }
            let sample = self.layout.read(&row.fields).map_err(wrong(|| row.place.clone()))?;
            return Ok(Some((sample, row.blanks, Some(row.place))));
        }
        let mut blanks = 0;
        loop {
            let Some(line) = self.lines.next()? else {
                self.info.faults.half.store(self.lines.has_left_out().into(), Ordering::Relaxed);
                return Ok(None);
            };
            if is_skipped(line) {
                blanks += u64::from(line.trim().is_empty());
                continue;
            }
            let mut fields: Vec<Cow<'_, str>> = Vec::new();
            self.layout.separator.split(line, &mut fields);
            if self.faults.is_some() && fields == self.header {
                continue;
            }
            let sample = self.layout.read(&fields);
            return sample.map(|sample| Some((sample, blanks, None))).map_err(wrong(|| self.lines.place()));
        }
    }
}

impl<R: Read + Send> SampleSource for CsvSource<R> {
    fn info(&self) -> &SeriesInfo {
        &self.info
    }

    fn read(&mut self, block: &mut Samples) -> Result<super::Read, SourceError> {
        if let Some(e) = self.failed.take() {
            return Err(e);
        }
        block.first = self.next;
        block.channels = 1;
        block.values.clear();
        // Lost samples between the blocks.
        let mut lost = 0;
        // What has arrived is given out at once: a live source must not wait for a block to fill.
        while block.values.len() < BLOCK && (block.values.is_empty() || self.is_ready()) {
            match self.next_value() {
                Ok(Some(value)) => block.values.push(value),
                Ok(None) => break,
                Err(e) if e.may_pass_over() && self.faults.is_some() => {
                    self.faults.iter().for_each(|faults| Faults::count(&faults.unreadable));
                    // Where there are times, the next one tells what is missing.
                    lost = u64::from(self.clock.is_none() || !self.timed);
                    if block.values.is_empty() {
                        block.first += std::mem::take(&mut lost);
                    } else if lost > 0 {
                        break;
                    }
                }
                Err(e) if block.values.is_empty() => return Err(e),
                // The rows before it are sound: they go out first.
                Err(e) => {
                    self.failed = Some(e);
                    break;
                }
            }
        }
        self.next = block.first + block.values.len() as u64 + lost;
        Ok(if block.values.is_empty() { super::Read::End } else { super::Read::Filled })
    }
}

fn is_skipped(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

impl Layout {
    /// Value and time of a row; what came and what should have, where it has none.
    ///
    /// A row with more fields than the first one is refused: its value would be a piece of one, as where a decimal
    /// comma meets a separating one. One separator too many at the end is let pass.
    fn read(self, fields: &[impl AsRef<str>]) -> Result<Sample, (String, String)> {
        let (got, expected) = (fields.len(), self.width);
        let trailing = got == expected + 1 && fields.last().is_some_and(|f| f.as_ref().is_empty());
        if got > expected && !trailing {
            let expected =
                format!("{expected} as in the first row (where commas are decimal marks, `;` has to separate)");
            return Err((format!("{got} fields"), expected));
        }
        let Some(field) = fields.get(self.column).map(AsRef::as_ref) else {
            return Err((format!("no column {}", self.column + 1), "as many columns as in the first row".to_owned()));
        };
        let value = match self.separator.number(field) {
            Some(value) => value,
            None if is_missing(field) => f64::NAN,
            None => return Err((format!("`{field}`"), "a number".to_owned())),
        };
        Ok(Sample { value, time: self.time.and_then(|column| time(fields, column, self.separator)) })
    }
}

/// An error at this place, of what came and what should have.
fn wrong(place: impl FnOnce() -> Place) -> impl FnOnce((String, String)) -> SourceError {
    |(got, expected)| SourceError::malformed(place(), got, expected)
}

fn next_row<R: Read>(lines: &mut Lines<R>, separator: Separator) -> Result<Option<Row>, SourceError> {
    let mut blanks = 0;
    loop {
        let Some(line) = lines.next()? else {
            return Ok(None);
        };
        if is_skipped(line) {
            blanks += u64::from(line.trim().is_empty());
            continue;
        }
        let mut fields = Vec::new();
        separator.split(line, &mut fields);
        let fields = fields.into_iter().map(Cow::into_owned).collect();
        return Ok(Some(Row { fields, place: lines.place(), blanks }));
    }
}

/// How a table starts: its header, its first row where that is not the header, its separator.
type Start = (Option<Vec<String>>, Option<Row>, Separator);

/// The start of a table whose first row is its header, or a row of values.
fn first_lines<R: Read>(lines: &mut Lines<R>) -> Result<Option<Start>, SourceError> {
    let Some((first, separator)) = first_row(lines)? else { return Ok(None) };
    let has_header = is_header(&first.fields, separator);
    Ok(Some(if has_header { (Some(first.fields), None, separator) } else { (None, Some(first), separator) }))
}

/// The start of a table behind whatever a device says of itself: the header is the line before the first numbers,
/// where it has as many fields.
#[cfg(any(feature = "mqtt", feature = "serial"))]
fn first_numbers<R: Read>(lines: &mut Lines<R>) -> Result<Option<Start>, SourceError> {
    let mut before: Option<String> = None;
    loop {
        let Some(line) = lines.next()? else { return Ok(None) };
        if is_skipped(line) {
            continue;
        }
        let line = line.to_owned();
        let separator = Separator::of(&line);
        let split = |line: &str| {
            let mut fields = Vec::new();
            separator.split(line, &mut fields);
            fields.into_iter().map(Cow::into_owned).collect::<Vec<String>>()
        };
        let fields = split(&line);
        if fields.iter().any(|f| separator.number(f).is_some()) {
            let header = before.map(|b| split(&b)).filter(|b| b.len() == fields.len() && is_header(b, separator));
            return Ok(Some((header, Some(Row { fields, place: lines.place(), blanks: 0 }), separator)));
        }
        before = Some(line);
    }
}

fn first_row<R: Read>(lines: &mut Lines<R>) -> Result<Option<(Row, Separator)>, SourceError> {
    loop {
        let Some(line) = lines.next()? else {
            return Ok(None);
        };
        if is_skipped(line) {
            continue;
        }
        let separator = Separator::of(line);
        let mut fields = Vec::new();
        separator.split(line, &mut fields);
        let fields = fields.into_iter().map(Cow::into_owned).collect();
        return Ok(Some((Row { fields, place: lines.place(), blanks: 0 }, separator)));
    }
}

/// Whether a first row holds names: at least one, and no number.
fn is_header(fields: &[String], separator: Separator) -> bool {
    let number = fields.iter().any(|f| separator.number(f).is_some());
    !number && fields.iter().any(|f| !is_missing(f) && !is_date(f))
}

/// The column that `--column` means: a name of the header, else a number from 1.
fn named_column(
    wanted: &str,
    header: Option<&[String]>,
    first: Option<&Row>,
    name: &str,
) -> Result<usize, SourceError> {
    let names = header.unwrap_or_default();
    let exact = names.iter().position(|n| n == wanted);
    let found = exact.or_else(|| names.iter().position(|n| n.eq_ignore_ascii_case(wanted.trim())));
    if let Some(column) = found {
        return Ok(column);
    }
    let columns = header.map_or_else(|| first.map_or(0, |row| row.fields.len()), <[String]>::len);
    match wanted.trim().parse::<usize>() {
        Ok(number) if (1..=columns).contains(&number) => Ok(number - 1),
        _ => {
            let expected = match header {
                Some(names) => format!("one of {}, or a number from 1 to {columns}", list(names)),
                None => format!("a number from 1 to {columns}: the table has no header"),
            };
            Err(SourceError::misused(Place::whole(name), format!("no column `{wanted}`"), expected))
        }
    }
}

fn list(names: &[impl AsRef<str>]) -> String {
    names.iter().map(|n| format!("`{}`", n.as_ref())).collect::<Vec<_>>().join(", ")
}

/// The only column with values; `None` where rows so far leave it open and `last` is not set.
fn only_column(
    header: Option<&[String]>,
    rows: &[Row],
    separator: Separator,
    name: &str,
    last: bool,
) -> Result<Option<usize>, SourceError> {
    let columns = header.map_or_else(|| rows.first().map_or(0, |row| row.fields.len()), <[String]>::len);
    let mut numeric = Vec::new();
    let mut open = rows.is_empty();
    for column in 0..columns {
        if header.is_some_and(|names| is_not_value(&names[column])) {
            continue;
        }
        let mut fields = rows.iter().filter_map(|row| row.fields.get(column)).filter(|f| !is_missing(f));
        match fields.next() {
            None => open = true,
            Some(field) if separator.number(field).is_some() => numeric.push(column),
            Some(_) => {}
        }
    }
    if open && !last {
        return Ok(None);
    }
    let label = |column: &usize| match header {
        Some(names) => names[*column].clone(),
        None => (column + 1).to_string(),
    };
    match numeric.as_slice() {
        [only] => Ok(Some(*only)),
        [] => {
            let expected = "one column of numbers (name it with --column)";
            Err(SourceError::misused(Place::whole(name), "no column of numbers", expected))
        }
        several => {
            let labels: Vec<String> = several.iter().map(label).collect();
            let got = format!("{} columns of numbers ({})", labels.len(), list(&labels));
            Err(SourceError::misused(Place::whole(name), got, "--column with one of them"))
        }
    }
}

/// Whether a header's name is that of a time, a date or a running number, with or without a unit behind it.
fn is_not_value(name: &str) -> bool {
    let lower = name.trim().to_lowercase();
    let word = lower.split(['[', '(']).next().unwrap_or_default().trim();
    unit_of(name).is_some() || NOT_VALUES.contains(&word) || word.starts_with("unnamed")
}

#[cfg(all(test, any(feature = "mqtt", feature = "serial")))]
mod tests {
    use super::*;
    use crate::model::Kind;

    /// Index and value of each sample, and how many rows were unreadable and how often the clock jumped.
    type Given = (Vec<(u64, String)>, [u64; 2]);

    /// What a device's text gives.
    fn live(text: &str, column: Option<&str>) -> Result<Given, SourceError> {
        let mut options = OpenOptions::new(Kind::Series);
        options.column = column.map(str::to_owned);
        let faults = Arc::<Faults>::default();
        let mut source = CsvSource::live(text.as_bytes(), "sensor", &options, Arc::clone(&faults))?;
        let (mut all, mut block) = (Vec::new(), Samples::default());
        while source.read(&mut block)? == super::super::Read::Filled {
            all.extend((block.first..).zip(block.values.iter().map(f64::to_string)));
        }
        let told = faults.told().map(|(_, count, _)| count);
        Ok((all, [told[1], told[3]]))
    }

    #[test]
    fn times_that_are_not_followed_say_what_they_leave_room_for() -> Result<(), SourceError> {
        let text = "t [s],u\n0,1\n0.1,2\n0.2,3\n0.6,4\n0.7,5\n";
        for (timed, samples, skipped) in [(true, 8, 0), (false, 5, 3)] {
            let options = OpenOptions { timed, ..OpenOptions::new(Kind::Series) };
            let mut source = CsvSource::new(text.as_bytes(), "log", &options)?;
            let (mut block, mut count) = (Samples::default(), 0);
            while source.read(&mut block)? == super::super::Read::Filled {
                count += block.values.len();
            }
            assert_eq!((count, source.info.faults.told()[5].1), (samples, skipped));
        }
        Ok(())
    }

    #[test]
    fn half_a_row_at_the_end_of_a_pipe_is_left_out() -> Result<(), SourceError> {
        let options = OpenOptions::new(Kind::Series);
        for (text, piped, values, half) in [
            ("u\n1.5\n2.5\n12.5", true, &[1.5, 2.5][..], 1),
            ("u\n1.5\n2.5\n12.5\n", true, &[1.5, 2.5, 12.5], 0),
            ("u\n1.5\n2.5\n ", true, &[1.5, 2.5], 0),
            // Longer than the rows that are looked at for the step, and shorter.
            ("t [s],u\n0,1\n1,2\n2,3\n3,", true, &[1.0, 2.0, 3.0], 1),
            ("t [s],u\n0,1\n1,", true, &[1.0], 1),
            // A file is there as a whole.
            ("u\n1.5\n2.5\n12.5", false, &[1.5, 2.5, 12.5], 0),
        ] {
            let open = if piped { CsvSource::piped } else { CsvSource::new };
            let mut source = open(text.as_bytes(), "standard input", &options)?;
            let (mut block, mut all) = (Samples::default(), Vec::new());
            while source.read(&mut block)? == super::super::Read::Filled {
                all.extend_from_slice(&block.values);
            }
            assert_eq!((all.as_slice(), source.info.faults.told()[6].1), (values, half), "{text:?}");
        }
        Ok(())
    }

    #[test]
    fn nothing_behind_a_row_that_is_none_is_given_out() -> Result<(), SourceError> {
        for text in ["t [s],u\n0,1\n1,2\nx,oops\n3,4\n4,5\n", "1\n2\noops\n4\n5\n"] {
            let mut source = CsvSource::new(text.as_bytes(), "log", &OpenOptions::new(Kind::Series));
            if let Ok(source) = &mut source {
                let mut block = Samples::default();
                assert_eq!(source.read(&mut block)?, super::super::Read::Filled);
                assert_eq!(block.values, [1.0, 2.0]);
                source.read(&mut block).expect_err("the row is none");
            }
        }
        Ok(())
    }

    fn at(samples: &[(u64, f64)]) -> Vec<(u64, String)> {
        samples.iter().map(|(i, v)| (*i, v.to_string())).collect()
    }

    #[test]
    fn rows_begin_behind_what_a_device_says_of_itself() {
        let expected = at(&[(0, 1.5), (1, 2.5)]);
        for (text, column) in [
            ("1.5\n2.5\n", None),
            ("ready\n1.5\n2.5\n", None),
            ("Sensor 3000, version x\n# booting\nid;temp\n7;1.5\n7;2.5\n", Some("Temp")),
            ("id;temp\n7;1.5\nid;temp\n7;2.5\n", Some("temp")),
            ("temp\n1.5\n\n", None),
            ("a b c\n7 1.5\n7 2.5\n", Some("2")),
        ] {
            let expected = if text.starts_with("temp\n") { &expected[..1] } else { &expected[..] };
            assert_eq!(live(text, column).expect(text), (expected.to_vec(), [0, 0]), "{text}");
        }
        assert!(live("no\nnumbers\n", None).is_err());
        assert!(live("7;1.5\n", Some("Temp")).is_err_and(|e| e.is_misuse()));
    }

    #[test]
    fn what_is_no_row_is_a_lost_sample() {
        let got = live("1\n2\n\x1a\n\x1a\n5\nx6\n7\n8,8\n", None).expect("rows");
        assert_eq!(got, (at(&[(0, 1.0), (1, 2.0), (4, 5.0), (6, 7.0)]), [4, 0]));
        // An empty field is a sample without a value.
        let got = live("1;1\n;1\n3;1\n", Some("1")).expect("rows");
        assert_eq!(got, (at(&[(0, 1.0), (1, f64::NAN), (2, 3.0)]), [0, 0]));
    }

    #[test]
    fn where_there_are_times_they_say_what_is_missing() {
        let got = live("time,temp\n0,1\n1,2\nnoise\n3,4\n", None).expect("rows");
        assert_eq!(got, (at(&[(0, 1.0), (1, 2.0), (2, f64::NAN), (3, 4.0)]), [1, 0]));
        // The device starts anew, and its clock with it; then the clock is set.
        let got = live("time,temp\n10,1\n11,2\ntime,temp\n0,3\n1,4\n1.5,5\n2.5,6\n", None).expect("rows");
        assert_eq!(got, (at(&[(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0), (4, 5.0), (5, 6.0)]), [0, 2]));
    }
}
