//! Series from CSV tables: one value a line, from a file or as the lines arrive.

use std::borrow::Cow;
use std::io::Read;

use super::text::{Lines, Separator, is_date, is_missing};
use super::{OpenOptions, Place, SampleSource, SeriesInfo, SourceError};
use crate::source::Samples;
use crate::units::Spacing;

/// Samples of one block at most; fewer where no more lines have arrived.
const BLOCK: usize = 4096;
/// Rows that are looked at to find the only column of numbers, where the first leave values out.
const LOOK_AHEAD: usize = 1000;
/// Names of columns that say when or which sample, not what was measured.
const NOT_VALUES: [&str; 15] = [
    "time",
    "times",
    "date",
    "datetime",
    "timestamp",
    "t",
    "index",
    "id",
    "sample",
    "samples",
    "frame",
    "row",
    "seconds",
    "elapsed",
    "",
];

/// One column of a table as a series, axes (sample, channel) with one channel.
///
/// The first row is a header where it has a name and no number. Fields are separated by tabs, semicolons, commas
/// or, between bare numbers, spaces; a comma is a decimal mark where it does not separate. Empty fields and words
/// such as `NA` are missing values (NaN), and so are infinities. Lines that are empty or start with `#` are left
/// out. Every other row is one sample: times are not looked at.
pub(super) struct CsvSource<R> {
    info: SeriesInfo,
    lines: Lines<R>,
    separator: Separator,
    column: usize,
    /// Values read while the column was looked for.
    ahead: std::vec::IntoIter<f64>,
    next: u64,
    /// What was wrong with the row behind the samples that were given out last.
    failed: Option<SourceError>,
}

/// A row that was looked at before the column was known.
struct Row {
    fields: Vec<String>,
    place: Place,
}

impl<R: Read> CsvSource<R> {
    pub(super) fn new(reader: R, name: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        let mut lines = Lines::new(reader, name);
        let Some((first, separator)) = first_row(&mut lines)? else {
            return Err(SourceError::malformed(Place::whole(name), "no rows", "a table of samples"));
        };
        let has_header = is_header(&first.fields, separator);
        let (header, mut rows) = if has_header { (Some(first.fields), Vec::new()) } else { (None, vec![first]) };
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
        let channel = match &header {
            Some(header) => header[column].clone(),
            None => format!("column {}", column + 1),
        };
        let ahead = rows
            .iter()
            .map(|row| value(row.fields.get(column).map(String::as_str), column, separator, || row.place.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let info = SeriesInfo {
            name: name.to_owned(),
            channels: vec![channel],
            count: None,
            spacing: Spacing::default(),
            warnings: Vec::new(),
        };
        Ok(Self { info, lines, separator, column, ahead: ahead.into_iter(), next: 0, failed: None })
    }

    /// The next row's value; `None` at the end.
    fn next_value(&mut self) -> Result<Option<f64>, SourceError> {
        loop {
            let Some(line) = self.lines.next()? else {
                return Ok(None);
            };
            if is_skipped(line) {
                continue;
            }
            let mut fields: Vec<Cow<'_, str>> = Vec::new();
            self.separator.split(line, &mut fields);
            let field = fields.into_iter().nth(self.column).map(Cow::into_owned);
            return value(field.as_deref(), self.column, self.separator, || self.lines.place()).map(Some);
        }
    }
}

impl<R: Read + Send> SampleSource for CsvSource<R> {
    fn info(&self) -> &SeriesInfo {
        &self.info
    }

    fn read(&mut self, block: &mut Samples) -> Result<super::Read, SourceError> {
        block.first = self.next;
        block.channels = 1;
        block.values.clear();
        block.values.extend(self.ahead.by_ref().take(BLOCK));
        // What has arrived is given out at once: a live source must not wait for a block to fill.
        while block.values.len() < BLOCK && (block.values.is_empty() || self.lines.is_ready()) {
            match self.next_value() {
                Ok(Some(value)) => block.values.push(value),
                Ok(None) => break,
                // The rows before it are sound: they go out first.
                Err(e) => {
                    self.failed = Some(e);
                    break;
                }
            }
        }
        if block.values.is_empty()
            && let Some(e) = self.failed.take()
        {
            return Err(e);
        }
        self.next += block.values.len() as u64;
        Ok(if block.values.is_empty() { super::Read::End } else { super::Read::Filled })
    }
}

fn is_skipped(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

fn next_row<R: Read>(lines: &mut Lines<R>, separator: Separator) -> Result<Option<Row>, SourceError> {
    loop {
        let Some(line) = lines.next()? else {
            return Ok(None);
        };
        if is_skipped(line) {
            continue;
        }
        let mut fields = Vec::new();
        separator.split(line, &mut fields);
        let fields = fields.into_iter().map(Cow::into_owned).collect();
        return Ok(Some(Row { fields, place: lines.place() }));
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
        return Ok(Some((Row { fields, place: lines.place() }, separator)));
    }
}

/// Whether a first row holds names: at least one, and no number.
fn is_header(fields: &[String], separator: Separator) -> bool {
    let number = fields.iter().any(|f| separator.number(f).is_some());
    !number && fields.iter().any(|f| !is_missing(f) && !is_date(f))
}

/// One field as a value; a missing one is NaN.
fn value(
    field: Option<&str>,
    column: usize,
    separator: Separator,
    place: impl FnOnce() -> Place,
) -> Result<f64, SourceError> {
    let Some(field) = field else {
        let got = format!("no column {}", column + 1);
        return Err(SourceError::malformed(place(), got, "as many columns as in the first row"));
    };
    match separator.number(field) {
        Some(value) => Ok(value),
        None if is_missing(field) => Ok(f64::NAN),
        None => Err(SourceError::malformed(place(), format!("`{field}`"), "a number")),
    }
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
    let lower = name.to_lowercase();
    let word = lower.split(['[', '(', '/', '_']).next().unwrap_or_default().trim();
    NOT_VALUES.contains(&word) || word.starts_with("unnamed")
}
