//! Tables beside the maps: a row for each map, written as the run goes.
//!
//! A row's text is kept in the journal, in the map's note, so that it is there again after an interruption whatever it
//! was made of (a latency is measured once).

use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use super::SinkError;
use super::curve::{CurveInfo, Curves};
use super::part::{Part, Site, Start};

/// Name of the object in a map's note that has the rows, by the tables' names.
const ROWS: &str = "rows";

/// A table with a row for each map: `NAME.csv`.
#[derive(Clone, Debug, PartialEq)]
pub struct TableInfo {
    /// Name of the file, without the ending.
    pub name: String,
    /// Names of the columns, separated by commas.
    pub header: String,
    /// What to draw of it as `NAME.png` when the run is complete.
    pub curves: Option<CurveInfo>,
}

impl TableInfo {
    /// Names of its files.
    pub(super) fn files(&self) -> impl Iterator<Item = String> {
        let picture = self.curves.as_ref().map(|_| format!("{}.png", self.name));
        [Some(format!("{}.csv", self.name)), picture].into_iter().flatten()
    }
}

/// Writes a table.
pub(super) struct TableWriter {
    info: TableInfo,
    text: Part,
    picture: Option<Part>,
}

impl TableWriter {
    pub(super) fn new(dir: &Path, info: &TableInfo, start: Start) -> Result<Self, SinkError> {
        let mut text = Part::open(dir, &info.name, "csv", start)?;
        let picture = info.curves.as_ref().map(|_| Part::open(dir, &info.name, "png", start)).transpose()?;
        let begun = text.append(format!("{}\n", info.header).as_bytes());
        begun.map_err(|source| SinkError::io("write", text.path(), source, 0, "maps"))?;
        Ok(Self { info: info.clone(), text, picture })
    }

    /// The row in a map's note.
    pub(super) fn row<'a>(&self, note: &'a Value) -> Option<&'a str> {
        let row = note.get(ROWS).and_then(|rows| rows.get(&self.info.name)?.as_str());
        row.filter(|row| !row.contains(['\n', '\r']))
    }

    /// Append the row in a map's note.
    pub(super) fn write(&mut self, note: &Value) -> io::Result<()> {
        let Some(row) = self.row(note) else {
            let message = format!("the map's note has no row for {}", self.info.name);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        };
        self.text.append(format!("{row}\n").as_bytes())
    }

    /// Complete the files after the last row.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.text.sync()?;
        if let (Some(part), Some(info)) = (&mut self.picture, &self.info.curves) {
            let mut curves = Curves::new(info);
            for line in BufReader::new(std::fs::File::open(self.text.path())?).lines().skip(1) {
                curves.push(&line?);
            }
            part.append(&curves.draw().png()?)?;
            part.sync()?;
        }
        Ok(())
    }

    /// Where its files lie.
    pub(super) fn sites(&mut self) -> impl Iterator<Item = &mut dyn Site> {
        let picture = self.picture.as_mut().map(|p| p as &mut dyn Site);
        [Some(&mut self.text as &mut dyn Site), picture].into_iter().flatten()
    }
}
