//! `run.json`, with an entry for each map out of the journal: a day's maps are not kept in memory for it.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::ser::{Error, SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::journal::{Journal, Lines};

/// By this entry a record is known.
const VERSION: &str = "mollifier";
const SETTINGS: &str = "settings";

/// What an entry is made of: the frame that a map belongs to, its time, and its note.
pub type Entry<'a> = &'a dyn Fn(u64, f64, &Value) -> Value;

/// Write `record`, an object, and behind it the entries of `maps`.
pub(super) fn write(path: &Path, record: &Value, journal: &Journal, maps: Option<Entry<'_>>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    match (record, maps) {
        (Value::Object(fields), Some(entry)) => {
            let mut lines = journal.lines()?;
            lines.text()?;
            let maps = Maps { lines: RefCell::new(lines), entry };
            serde_json::to_writer_pretty(&mut file, &Whole { fields, maps })?;
        }
        _ => serde_json::to_writer_pretty(&mut file, record)?,
    }
    file.write_all(b"\n")?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// The record with what tells later runs whose it is.
pub(super) fn signed(record: &Value, settings: &Value) -> Value {
    let mut signed = record.clone();
    if let Value::Object(fields) = &mut signed {
        fields.entry(VERSION).or_insert_with(|| env!("CARGO_PKG_VERSION").into());
        if !settings.is_null() {
            fields.entry(SETTINGS).or_insert_with(|| settings.clone());
        }
    }
    signed
}

/// Whether the file is a run's record; `None` where there is none.
pub(super) fn is_record(path: &Path) -> Option<bool> {
    path.exists().then(|| read(path).is_some_and(|record| record.get(VERSION).is_some()))
}

/// What has to be the same for a run to be that of this record.
pub(super) fn settings(path: &Path) -> Option<Value> {
    read(path)?.get(SETTINGS).cloned()
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

struct Whole<'a> {
    fields: &'a serde_json::Map<String, Value>,
    maps: Maps<'a>,
}

impl Serialize for Whole<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for (name, value) in self.fields.iter().filter(|(name, _)| *name != "maps") {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("maps", &self.maps)?;
        map.end()
    }
}

struct Maps<'a> {
    lines: RefCell<Lines<'a>>,
    entry: Entry<'a>,
}

impl Serialize for Maps<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut sequence = to.serialize_seq(None)?;
        let mut lines = self.lines.borrow_mut();
        while let Some(line) = lines.block().map_err(S::Error::custom)? {
            sequence.serialize_element(&(self.entry)(line.frame, f64::from_bits(line.time), &line.note))?;
        }
        sequence.end()
    }
}
