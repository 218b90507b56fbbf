//! CSV: a row for each sample, or for each pixel of each map; units in the header.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::part::{Block, Part, Site, Start, Writer};
use super::{MapInfo, SeriesInfo, SinkError};

/// What a row is.
enum Row {
    /// A pixel: `map,y,x,NAME [unit]`, y and x counted in pixels.
    Pixel { columns: usize },
    /// A sample: `sample,time [unit],NAME [unit]`, one value column for each channel.
    Sample { channels: usize, start: f64, step: f64 },
}

/// Writes `NAME.csv`.
pub(super) struct CsvWriter {
    part: Part,
    row: Row,
    text: String,
    bytes: Vec<u8>,
}

impl CsvWriter {
    pub(super) fn maps(dir: &Path, info: &MapInfo, start: Start) -> Result<Self, SinkError> {
        let header = format!("map,y,x,{}\n", quoted(&titled(&info.name, info.unit.as_deref())));
        Self::new(dir, &info.name, &header, Row::Pixel { columns: info.shape[1].max(1) }, start)
    }

    pub(super) fn series(dir: &Path, info: &SeriesInfo, start: Start) -> Result<Self, SinkError> {
        let time_unit = info.step.as_ref().and_then(|s| s.unit.as_deref());
        let mut header = format!("sample,{}", quoted(&titled("time", time_unit)));
        let channels = info.channels.max(1);
        for channel in 0..channels {
            let name = if channels == 1 { info.name.clone() } else { format!("{} {channel}", info.name) };
            header += ",";
            header += &quoted(&titled(&name, info.unit.as_deref()));
        }
        header.push('\n');
        let step = info.step.as_ref().map_or(1.0, |s| s.value);
        Self::new(dir, &info.name, &header, Row::Sample { channels, start: info.start, step }, start)
    }

    fn new(dir: &Path, name: &str, header: &str, row: Row, start: Start) -> Result<Self, SinkError> {
        let mut part = Part::open(dir, name, "csv", start)?;
        let begun = part.append(header.as_bytes());
        begun.map_err(|source| SinkError::io("write", part.path(), source, 0, "values"))?;
        Ok(Self { part, row, text: String::new(), bytes: Vec::new() })
    }
}

impl Writer for CsvWriter {
    fn write(&mut self, block: &Block<'_>) -> io::Result<()> {
        let text = &mut self.text;
        text.clear();
        match self.row {
            Row::Pixel { columns } => {
                for (y, row) in block.values.chunks(columns).enumerate() {
                    for (x, value) in row.iter().enumerate() {
                        let _ = write!(text, "{},{y},{x},", block.number);
                        push_value(text, *value);
                        text.push('\n');
                    }
                }
            }
            Row::Sample { channels, start, step } => {
                for (sample, values) in (block.number..).zip(block.values.chunks(channels)) {
                    let _ = write!(text, "{sample},{}", time(start, sample, step));
                    for value in values {
                        text.push(',');
                        push_value(text, *value);
                    }
                    text.push('\n');
                }
            }
        }
        self.part.append(text.as_bytes())
    }

    fn recall(&mut self, count: usize, values: &mut Vec<f32>) -> io::Result<bool> {
        let (keys, per_row) = match self.row {
            Row::Pixel { .. } => (3, 1),
            Row::Sample { channels, .. } => (2, channels),
        };
        self.part.peek_rows(count / per_row, &mut self.bytes)?;
        values.clear();
        let text = str::from_utf8(&self.bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        let cells = text.lines().flat_map(|row| row.split(',').skip(keys));
        for cell in cells {
            values.push(cell.parse().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?);
        }
        Ok(true)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.part.sync()
    }

    fn site(&mut self) -> &mut dyn Site {
        &mut self.part
    }
}

/// `name [unit]`.
fn titled(name: &str, unit: Option<&str>) -> String {
    unit.map_or_else(|| name.to_owned(), |unit| format!("{name} [{unit}]"))
}

/// A cell, in quotes where its text needs them.
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// The shortest text that reads back as the same float32.
fn push_value(text: &mut String, value: f32) {
    let size = value.abs();
    let _ = if size != 0.0 && size.is_finite() && !(1e-4..1e9).contains(&size) {
        write!(text, "{value:e}")
    } else {
        write!(text, "{value}")
    };
}

/// `start + sample * step` without the digits that binary fractions add: 3 * 0.1 is 0.3.
fn time(start: f64, sample: u64, step: f64) -> f64 {
    let exact = start + sample as f64 * step;
    format!("{exact:.14e}").parse().unwrap_or(exact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_digits_of_the_step() {
        assert_eq!(time(0.0, 3, 0.1).to_string(), "0.3");
        assert_eq!(time(100.1, 2, 0.1).to_string(), "100.3");
        assert_eq!(time(1.7e9, 1, 0.01).to_string(), "1700000000.01");
        assert!((time(0.0, 7, 1.0 / 3.0) - 7.0 / 3.0).abs() < 1e-13);
        assert_eq!(time(0.0, 0, 0.1).to_string(), "0");
    }

    #[test]
    fn values_read_back_the_same() {
        for value in [0.0_f32, -0.1, 1e-30, 3.4e38, 123_456.79, f32::MIN_POSITIVE] {
            let mut text = String::new();
            push_value(&mut text, value);
            assert_eq!(text.parse::<f32>(), Ok(value), "{text}");
        }
        let mut text = String::new();
        push_value(&mut text, f32::NAN);
        assert_eq!(text, "NaN");
    }

    #[test]
    fn cells_with_separators_are_quoted() {
        assert_eq!(quoted(&titled("lambda", Some("um^2/s"))), "lambda [um^2/s]");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
