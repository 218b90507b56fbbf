//! Tables as text: ThunderSTORM and its relatives, rapidSTORM.

use std::borrow::Cow;
use std::io::Read;

use roxmltree::Document;

use super::super::text::{Lines, Separator};
use super::super::{OpenOptions, Part, Place, SourceError};
use super::{MOST_FRAMES, Row, Rows, length};
use crate::units::{Dimension, canonical_unit, convert, dimension};

/// Channels that are told apart.
const MOST_CHANNELS: usize = 64;
/// How the column of camera frames is called, in lower case.
const FRAMES: [&str; 6] = ["frame", "first frame", "frame number", "frame_ix", "frame_number", "imagenumber-0-0"];

/// The rows of a table, as they come.
pub(super) struct TableRows<R> {
    lines: Lines<R>,
    separator: Separator,
    names: Vec<String>,
    y: usize,
    x: usize,
    /// Pixels of the map in a unit of the table, along y and x.
    scales: [f64; 2],
    frame: Option<usize>,
    channel: Option<usize>,
    channels: Vec<String>,
    after_blank: bool,
    ended: bool,
    notes: Vec<String>,
}

impl<R: Read> TableRows<R> {
    /// Read the header. `live` is a table that is still being written, or comes by a pipe: its last line may be cut.
    pub(super) fn new(reader: R, name: &str, options: &OpenOptions, live: bool) -> Result<Self, SourceError> {
        let lines = Lines::new(reader, name);
        let mut lines = if live { lines.whole() } else { lines };
        let Some(header) = lines.next()? else {
            return Err(SourceError::malformed(Place::whole(name), "no rows", "a table of localisations"));
        };
        let (separator, names) = match rapid_storm(header) {
            Some(names) => (Separator::Space, names),
            None => header_names(header),
        };
        let columns = [position_column(&names, "y"), position_column(&names, "x")];
        let [Some((y, y_unit)), Some((x, x_unit))] = columns else {
            let names: Vec<String> = names.iter().take(20).map(|n| short(n)).collect();
            let got = format!("the columns {}", names.join(", "));
            return Err(SourceError::malformed(lines.place(), got, "columns such as `x [nm]` and `y [nm]`"));
        };
        let scale = |axis: &str, unit: &str| -> Result<f64, SourceError> {
            let refused = |got: String| {
                SourceError::unsupported(lines.place(), got, "positions with a unit of length, such as `x [nm]`")
            };
            let unit = match canonical_unit(unit) {
                Ok(Some(unit)) if dimension(unit) == Ok(Dimension::Length) => unit,
                Ok(None) => {
                    return Err(refused(format!("column {axis} in pixels or without a unit")));
                }
                _ => return Err(refused(format!("column {axis} in `{unit}`"))),
            };
            let pixel = length(&options.pixel_size, "pixel size", name)?;
            convert(1.0, unit, pixel).map(|one| one / options.pixel_size.value).map_err(|e| refused(e.to_string()))
        };
        let scales = [scale("y", &y_unit)?, scale("x", &x_unit)?];
        let lower: Vec<String> = names.iter().map(|n| n.trim_matches(['"', ' ']).to_lowercase()).collect();
        let frame = lower.iter().position(|n| FRAMES.contains(&n.as_str()));
        if options.every.is_some() && frame.is_none() {
            let expected = "a column `frame`, which --every and --follow count by";
            let names: Vec<String> = names.iter().take(20).map(|n| short(n)).collect();
            return Err(SourceError::unsupported(lines.place(), format!("the columns {}", names.join(", ")), expected));
        }
        let channel = lower.iter().position(|n| n == "channel");
        Ok(Self {
            lines,
            separator,
            names,
            y,
            x,
            scales,
            frame: frame.filter(|_| options.every.is_some()),
            channel,
            channels: Vec::new(),
            after_blank: false,
            ended: false,
            notes: Vec::new(),
        })
    }

    fn row(&mut self) -> Result<Option<Row>, SourceError> {
        loop {
            let Some(line) = self.lines.next()? else {
                if self.lines.has_left_out() {
                    self.notes.push("the last line is half written and was left out".to_owned());
                }
                return Ok(None);
            };
            if line.trim_matches(|c: char| c.is_whitespace() || c == '\0').is_empty() {
                self.after_blank = true;
                continue;
            }
            let mut fields: Vec<Cow<'_, str>> = Vec::new();
            self.separator.split(line, &mut fields);
            let number = |column: usize| fields.get(column).and_then(|f| self.separator.number(f));
            let wrong = |column: usize| {
                fields.get(column).map_or("too few columns".to_owned(), |f| format!("`{}`", short_field(f)))
            };
            let (at_y, at_x) = (number(self.y), number(self.x));
            let frame = self.frame.map(|column| (column, number(column).filter(|f| (0.0..MOST_FRAMES).contains(f))));
            let bad = match (at_y, at_x, frame) {
                (None, ..) => Some(self.y),
                (_, None, _) => Some(self.x),
                (.., Some((column, None))) => Some(column),
                _ => None,
            };
            let wrong = bad.map(|column| (column, wrong(column)));
            let channel =
                self.channel.and_then(|c| fields.get(c)).filter(|c| !self.channels.iter().any(|known| known == *c));
            let channel = channel.map(|c| c.clone().into_owned());
            if let Some((column, got)) = wrong {
                if self.after_blank {
                    // Zeiss appends a block of settings behind an empty line.
                    if let Part::Line(line) = self.lines.place().part {
                        self.notes.push(format!("the text from line {line} on is no table and was left out"));
                    }
                    return Ok(None);
                }
                let expected = format!("a number in column `{}`", self.names[column]);
                return Err(SourceError::malformed(self.lines.place(), got, expected));
            }
            if let Some(channel) = channel
                && self.channels.len() < MOST_CHANNELS
            {
                self.channels.push(channel);
            }
            let position = [at_y.unwrap_or_default() * self.scales[0], at_x.unwrap_or_default() * self.scales[1]];
            // Some programs write whole numbers as 2001.0.
            let frame = frame.and_then(|(_, f)| f).map_or(0, |f| f as u64);
            return Ok(Some(Row { position, frame }));
        }
    }
}

impl<R: Read + Send> Rows for TableRows<R> {
    fn next(&mut self) -> Result<Option<Row>, SourceError> {
        if self.ended {
            return Ok(None);
        }
        let row = self.row()?;
        if row.is_none() {
            self.ended = true;
            if self.channels.len() > 1 {
                let channels = self.channels.len();
                self.notes.push(format!("the table's {channels} channels are drawn into one map"));
            }
        }
        Ok(row)
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

/// A field for a message.
fn short_field(field: &str) -> String {
    field.chars().take(40).collect()
}

/// The columns of rapidSTORM's first line, an XML element behind a `#`, in the names of the others: `x [nanometer]`.
fn rapid_storm(line: &str) -> Option<Vec<String>> {
    let xml = line.trim_start().strip_prefix('#')?.trim();
    let document = Document::parse(xml.starts_with("<localizations").then_some(xml)?).ok()?;
    let fields = document.root_element().children().filter(|n| n.has_tag_name("field"));
    let name = |field: roxmltree::Node<'_, '_>| {
        let identifier = field.attribute("identifier")?;
        let unit = field.attribute("unit").unwrap_or_default();
        Some(match identifier {
            "Position-0-0" => format!("x [{unit}]"),
            "Position-1-0" => format!("y [{unit}]"),
            other => other.to_owned(),
        })
    };
    fields.map(name).collect()
}

/// A column's name in quotes, cut where it is none: some programs write a whole XML element as their first line.
fn short(name: &str) -> String {
    match name.char_indices().nth(40) {
        Some((end, _)) => format!("`{}...`", &name[..end]),
        None => format!("`{name}`"),
    }
}

/// Names of the columns. A header that was quoted twice, as a whole and each name (seen in exports that went
/// through a spreadsheet), is split again.
fn header_names(line: &str) -> (Separator, Vec<String>) {
    let split = |line: &str| {
        let separator = Separator::of(line);
        let mut fields: Vec<Cow<'_, str>> = Vec::new();
        separator.split(line, &mut fields);
        (separator, fields.into_iter().map(Cow::into_owned).collect::<Vec<_>>())
    };
    let (separator, names) = split(line.trim_start_matches('#'));
    match names.as_slice() {
        [only] if only.contains([',', ';', '\t']) => split(only),
        _ => (separator, names),
    }
}

/// The column of positions along `axis`, and its unit as written: `x [nm]`, `X (nm)`, `x_nm`, `Position X [nm]`.
fn position_column(names: &[String], axis: &str) -> Option<(usize, String)> {
    names.iter().enumerate().find_map(|(column, name)| {
        let name = name.trim().trim_matches('"');
        let (quantity, unit) = match name.split_once(['[', '(']) {
            Some((quantity, unit)) => (quantity, unit.trim_end_matches([']', ')'])),
            None => name.split_once('_').unwrap_or((name, "")),
        };
        let quantity = quantity.trim().to_lowercase();
        let quantity = quantity.strip_prefix("position").unwrap_or(&quantity).trim_matches([' ', '_']);
        (quantity == axis).then(|| (column, unit.trim().to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_several_programs_are_understood() {
        let columns = |line: &str| {
            let (separator, names) = header_names(line);
            (separator, position_column(&names, "y"), position_column(&names, "x"))
        };
        let at = |y: usize, x: usize, unit: &str| (Some((y, unit.to_owned())), Some((x, unit.to_owned())));
        for (line, separator, (y, x)) in [
            ("\"id\",\"frame\",\"x [nm]\",\"y [nm]\"", Separator::Comma, at(3, 2, "nm")),
            ("\"id,\"\"frame\"\",\"\"x [nm]\"\",\"\"y [nm]\"\"\"", Separator::Comma, at(3, 2, "nm")),
            ("Channel,Frame,X (nm),Y (nm),Z (nm)", Separator::Comma, at(3, 2, "nm")),
            ("frame;x_nm;y_nm", Separator::Semicolon, at(2, 1, "nm")),
            ("Index\tPosition X [nm]\tPosition Y [nm]", Separator::Tab, at(2, 1, "nm")),
            ("x [\u{b5}m],y [\u{b5}m],x_err", Separator::Comma, at(1, 0, "\u{b5}m")),
            ("x,y", Separator::Comma, at(1, 0, "")),
        ] {
            assert_eq!(columns(line), (separator, y, x), "{line}");
        }
        assert_eq!(columns("a,sigma [nm]").1, None);
    }

    #[test]
    fn rapid_storm_says_its_columns_in_xml() {
        let field =
            |identifier: &str, unit: &str| format!("<field identifier=\"{identifier}\" unit=\"{unit}\" min=\"0 m\" />");
        let fields =
            [field("Position-0-0", "nanometer"), field("Position-1-0", "nanometer"), field("ImageNumber-0-0", "frame")];
        let line = format!("# <localizations insequence=\"true\">{}</localizations>", fields.concat());
        assert_eq!(rapid_storm(&line).expect("three columns"), ["x [nanometer]", "y [nanometer]", "ImageNumber-0-0"]);
        for line in ["# x [nm],y [nm]", "# <localizations", "x [nm]"] {
            assert_eq!(rapid_storm(line), None);
        }
    }
}
