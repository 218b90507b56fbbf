//! Tables as text: lines as they arrive, separators, quoted fields, numbers as instruments write them.

use std::io::Read;

use super::{Part, Place, SourceError};

/// Longer than any row of a table; a binary file without line ends stops here.
pub(super) const MAX_LINE: usize = 1 << 20;

/// Lines of a byte stream, numbered from 1.
pub(super) struct Lines<R> {
    reader: R,
    input: String,
    buffer: Vec<u8>,
    /// Where in the buffer the next line starts.
    start: usize,
    number: u64,
    ended: bool,
    /// Whether a last line without an end is left out, and whether there was one.
    whole: bool,
    left_out: bool,
    /// A line that was no UTF-8, as text.
    latin: String,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R, input: &str) -> Self {
        Self {
            reader,
            input: input.to_owned(),
            buffer: Vec::new(),
            start: 0,
            number: 0,
            ended: false,
            whole: false,
            left_out: false,
            latin: String::new(),
        }
    }

    /// Leave out a last line without an end: whoever writes may have been stopped in it, and half a number is another
    /// number.
    pub(super) fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    /// Whether a last line without an end was left out.
    pub(super) fn has_left_out(&self) -> bool {
        self.left_out
    }

    /// The place of the line that was given last.
    pub(super) fn place(&self) -> Place {
        Place::part(&self.input, Part::Line(self.number))
    }

    /// Whether a whole line has arrived already, so that [`next`](Self::next) does not wait.
    pub(super) fn is_ready(&self) -> bool {
        self.ended || self.buffer[self.start..].contains(&b'\n')
    }

    /// The next line without its end; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<&str>, SourceError> {
        let mut searched = self.start;
        let end = loop {
            if let Some(at) = self.buffer[searched..].iter().position(|b| *b == b'\n') {
                break searched + at;
            }
            if self.ended {
                if self.start == self.buffer.len() {
                    return Ok(None);
                }
                let blank = self.buffer[self.start..].iter().all(|b| b.is_ascii_whitespace() || *b == 0);
                if self.whole && !blank {
                    (self.left_out, self.start) = (true, self.buffer.len());
                    return Ok(None);
                }
                break self.buffer.len();
            }
            searched = self.buffer.len() - self.start;
            self.more()?;
        };
        let line = self.start..end;
        self.start = (end + 1).min(self.buffer.len());
        self.number += 1;
        let mut line = &self.buffer[line];
        if self.number == 1 {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match str::from_utf8(line) {
            Ok(line) => Ok(Some(line)),
            // Instruments write the micro sign in Latin-1.
            Err(_) => {
                self.latin = line.iter().map(|b| char::from(*b)).collect();
                Ok(Some(&self.latin))
            }
        }
    }

    /// Wait for more bytes.
    fn more(&mut self) -> Result<(), SourceError> {
        const CHUNK: usize = 1 << 16;
        self.buffer.drain(..self.start);
        self.start = 0;
        let filled = self.buffer.len();
        if filled > MAX_LINE {
            let place = Place::part(&self.input, Part::Line(self.number + 1));
            let got = format!("more than {MAX_LINE} bytes without a line end");
            return Err(SourceError::over_limit(place, got, "a row of a table"));
        }
        self.buffer.resize(filled + CHUNK, 0);
        let read = loop {
            match self.reader.read(&mut self.buffer[filled..]) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(filled + read.as_ref().map_or(0, |n| *n));
        let read = read.map_err(SourceError::io(Place::part(&self.input, Part::Line(self.number + 1))))?;
        self.ended = read == 0;
        Ok(())
    }
}

/// What stands between the fields of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Separator {
    Tab,
    Semicolon,
    Comma,
    /// Any run of spaces.
    Space,
}

impl Separator {
    /// The separator that the first row of a table shows.
    pub(super) fn of(line: &str) -> Self {
        let mut quoted = false;
        let mut counts = [0; 3];
        for c in line.chars() {
            match c {
                '"' => quoted = !quoted,
                '\t' if !quoted => counts[0] += 1,
                ';' if !quoted => counts[1] += 1,
                ',' if !quoted => counts[2] += 1,
                _ => {}
            }
        }
        match counts {
            [tabs, ..] if tabs > 0 => Self::Tab,
            [_, semicolons, _] if semicolons > 0 => Self::Semicolon,
            [.., commas] if commas > 0 => Self::Comma,
            // Spaces stand inside names and dates too: they separate numbers only.
            _ if line.split_whitespace().count() > 1
                && line.split_whitespace().all(|field| field.parse::<f64>().is_ok()) =>
            {
                Self::Space
            }
            _ => Self::Comma,
        }
    }

    /// The fields of a row, trimmed; those in double quotes without them.
    pub(super) fn split<'a>(self, line: &'a str, fields: &mut Vec<std::borrow::Cow<'a, str>>) {
        fields.clear();
        let separator = match self {
            Self::Tab => '\t',
            Self::Semicolon => ';',
            Self::Comma => ',',
            Self::Space => {
                fields.extend(line.split_whitespace().map(Into::into));
                return;
            }
        };
        let mut rest = line;
        loop {
            let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() && c != separator);
            let (field, after) = match trimmed.strip_prefix('"').and_then(quoted) {
                Some((field, after)) => (field, after.find(separator).map(|at| &after[at + 1..])),
                None => match trimmed.split_once(separator) {
                    Some((field, after)) => (field.trim().into(), Some(after)),
                    None => (trimmed.trim().into(), None),
                },
            };
            fields.push(field);
            match after {
                Some(after) => rest = after,
                None => return,
            }
        }
    }

    /// A number as this table writes it; `None` for anything else, and for infinities and `nan`.
    pub(super) fn number(self, field: &str) -> Option<f64> {
        let parsed = match field.parse::<f64>() {
            Ok(value) => value,
            // Where the comma does not separate fields it may be the decimal mark.
            Err(_) if self != Self::Comma && field.matches(',').count() == 1 && !field.contains('.') => {
                field.replace(',', ".").parse().ok()?
            }
            Err(_) => return None,
        };
        parsed.is_finite().then_some(parsed)
    }
}

/// The content of a field behind its opening quote, and what follows the closing one.
fn quoted(text: &str) -> Option<(std::borrow::Cow<'_, str>, &str)> {
    let mut from = 0;
    let mut doubled = false;
    loop {
        let at = from + text[from..].find('"')?;
        if text[at + 1..].starts_with('"') {
            doubled = true;
            from = at + 2;
            continue;
        }
        let field = &text[..at];
        let field = if doubled { field.replace("\"\"", "\"").into() } else { field.into() };
        return Some((field, &text[at + 1..]));
    }
}

/// Whether a field stands for a value that was not measured.
pub(super) fn is_missing(field: &str) -> bool {
    let lower = field.to_ascii_lowercase();
    let word = lower.trim_start_matches(['-', '+']);
    field.is_empty()
        || matches!(word, "na" | "n/a" | "#n/a" | "nan" | "null" | "none" | "inf" | "infinity" | "")
        || matches!(field, "?" | "." | "--")
}

/// Whether a field reads like a date or a time of day: digits with separators between them.
pub(super) fn is_date(field: &str) -> bool {
    let digits = field.chars().filter(char::is_ascii_digit).count();
    let marks = field.chars().skip(1).filter(|c| matches!(c, '-' | '/' | ':')).count();
    digits >= 3
        && marks >= 1
        && field
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '-' | '/' | ':' | '.' | ' ' | '+' | 'T' | 'Z' | 'A' | 'P' | 'M'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(separator: Separator, line: &str) -> Vec<String> {
        let mut fields = Vec::new();
        separator.split(line, &mut fields);
        fields.into_iter().map(std::borrow::Cow::into_owned).collect()
    }

    /// Gives its bytes in pieces of `step`, as a pipe does.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let n = self.1.min(self.0.len()).min(buffer.len());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn rows_are_split_as_spreadsheets_write_them() {
        assert_eq!(split(Separator::Comma, "a, b ,,\"c, \"\"d\"\"\" ,e"), ["a", "b", "", "c, \"d\"", "e"]);
        assert_eq!(split(Separator::Semicolon, "1,5;2"), ["1,5", "2"]);
        assert_eq!(split(Separator::Tab, "a\t\tb c"), ["a", "", "b c"]);
        assert_eq!(split(Separator::Space, " 1   2 "), ["1", "2"]);
        assert_eq!(split(Separator::Comma, "\"open"), ["\"open"]);
        assert_eq!(split(Separator::Comma, ""), [""]);
    }

    #[test]
    fn separators_show_in_the_first_row() {
        assert_eq!(Separator::of("date;temp, degC"), Separator::Semicolon);
        assert_eq!(Separator::of("\"x; y\",b"), Separator::Comma);
        assert_eq!(Separator::of("a\tb,c"), Separator::Tab);
        assert_eq!(Separator::of("1.5 2.5"), Separator::Space);
        assert_eq!(Separator::of("2010/01/01 00:00"), Separator::Comma);
        assert_eq!(Separator::Semicolon.number("39,4"), Some(39.4));
        assert_eq!(Separator::Comma.number("1e3"), Some(1000.0));
        assert_eq!(Separator::Comma.number("inf"), None);
    }

    #[test]
    fn dates_and_missing_values_are_known() {
        for date in ["2010/01/01 00:00", "2024-03-05T10:11:12.5Z", "12:30", "01-02-2003", "2024-01-01 10:00:00+01:00"] {
            assert!(is_date(date), "{date}");
        }
        for other in ["-5.2", "1e-5", "39.4", "12", "abc", ""] {
            assert!(!is_date(other), "{other}");
        }
        for missing in ["", "NA", "nan", "-NaN", "N/A", "null", "inf", "-inf", "-", "?"] {
            assert!(is_missing(missing), "{missing}");
        }
        assert!(!is_missing("0"));
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_they_arrive(text in "[ab\r\n]{0,40}", step in 1usize..9) {
            let mut lines = Lines::new(Trickle(text.as_bytes(), step), "a");
            let mut got = Vec::new();
            while let Some(line) = lines.next().map_err(|e| TestCaseError::fail(e.to_string()))? {
                got.push(line.to_owned());
            }
            let mut expected: Vec<_> = text.split('\n').map(|l| l.strip_suffix('\r').unwrap_or(l)).collect();
            if expected.last() == Some(&"") && !text.ends_with("\r") {
                expected.pop();
            }
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn quoting_is_undone(fields in prop::collection::vec("[a,\"; ]{0,6}", 1..5)) {
            let line: Vec<String> = fields.iter().map(|f| format!("\"{}\"", f.replace('"', "\"\""))).collect();
            prop_assert_eq!(split(Separator::Comma, &line.join(",")), fields);
        }

        #[test]
        fn no_line_panics(line in "\\PC{0,30}") {
            for separator in [Separator::of(&line), Separator::Comma, Separator::Space] {
                split(separator, &line);
                let _ = separator.number(&line);
            }
            let _ = (is_missing(&line), is_date(&line));
        }
    }
}
