//! `journal.jsonl`: how far a run has come, beside the parts that it writes; one JSON value a line.
//!
//! Lines are only ever appended, so that a machine that dies leaves at worst a last line that is cut off: what stands
//! before it holds.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SinkError;
use super::set::clear;

/// Name of the journal in the output folder.
pub(super) const NAME: &str = "journal.jsonl";
/// Version of this layout.
const VERSION: u32 = 2;
/// A line is far shorter; anything longer is not one.
const LONGEST: u64 = 1 << 24;

/// How a journal begins.
const START: &[u8] = b"{\"version\":";

/// The last line of a run that gives its files their names.
const RENAMING: &[u8] = b"{\"renaming\":true}\n";

/// The first line: what the run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    version: u32,
    /// `maps` or `samples`.
    pub(super) counts: String,
    /// Names of the outputs' files once they are complete.
    pub(super) files: Vec<String>,
    /// What else has to be the same for a later run to go on.
    pub(super) run: Value,
}

impl Head {
    pub(super) fn new(counts: &str, files: Vec<String>, run: &Value) -> Self {
        Self { version: VERSION, counts: counts.to_owned(), files, run: run.clone() }
    }

    /// The first thing in which this run is not the `old` one: what, got, expected.
    pub(super) fn difference(&self, old: &Self) -> Option<(String, String, String)> {
        if self.counts != old.counts || self.files != old.files {
            return Some(("the files".to_owned(), self.files.join(", "), old.files.join(", ")));
        }
        difference(&self.run, &old.run)
    }
}

/// The first setting that is not the same: what, got, expected.
pub(super) fn difference(new: &Value, old: &Value) -> Option<(String, String, String)> {
    let text = |value: &Value| match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let told = |what: &str, got: &Value, expected: &Value| Some((what.to_owned(), text(got), text(expected)));
    let (Some(new), Some(past)) = (new.as_object(), old.as_object()) else {
        return if new == old { None } else { told("the settings", new, old) };
    };
    let names = new.keys().chain(past.keys());
    let (new, past) = (|n: &str| new.get(n).unwrap_or(&Value::Null), |n: &str| past.get(n).unwrap_or(&Value::Null));
    names.into_iter().find(|n| new(n) != past(n)).and_then(|n| told(n, new(n), past(n)))
}

/// Whether the file is a journal, perhaps one that was cut off at once; `None` where there is none.
pub(super) fn is_journal(path: &Path) -> Option<bool> {
    let mut start = Vec::new();
    let file = File::open(path).ok()?;
    file.take(START.len() as u64).read_to_end(&mut start).ok()?;
    // A power cut may leave zeros wherever nothing had been written yet.
    Some(start.iter().zip(START).all(|(got, expected)| [0, *expected].contains(got)))
}

/// A further line: one block that is complete in every part.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Line {
    /// Maps, or samples, that are complete with this block.
    pub(super) complete: u64,
    /// Frame that the map belongs to, or the first sample.
    pub(super) frame: u64,
    /// Its time, as the bits of the number: JSON has no NaN.
    pub(super) time: u64,
    /// CRC-32 of each output's values as little-endian float32.
    pub(super) sums: Vec<u32>,
    /// What the caller wants back.
    pub(super) note: Value,
}

/// The journal of a run that is going on; the file is locked as long as the process lives.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    text: Vec<u8>,
}

impl Journal {
    /// Start anew: the parts that a killed run left are removed, one that still runs is an error.
    pub(super) fn create(dir: &Path, head: &Head) -> Result<Self, SinkError> {
        let path = dir.join(NAME);
        let made = |source| SinkError::Create { path: path.clone(), source };
        let mut journal = Self::lock(path.clone(), true)?.ok_or_else(|| made(io::ErrorKind::NotFound.into()))?;
        if let Some(old) = journal.head() {
            old.files.iter().filter(|f| is_file_name(f)).for_each(|file| clear(dir, file));
        }
        journal.cut(0).and_then(|()| journal.append(head)).map_err(made)?;
        Ok(journal)
    }

    /// The journal that an interrupted run left, with its first line; `None` where there is none.
    pub(super) fn reopen(dir: &Path) -> Result<Option<(Self, Head)>, SinkError> {
        let Some(mut journal) = Self::lock(dir.join(NAME), false)? else { return Ok(None) };
        Ok(journal.head().map(|head| (journal, head)))
    }

    fn lock(path: PathBuf, create: bool) -> Result<Option<Self>, SinkError> {
        if path.is_dir() {
            return Err(SinkError::Occupied { path });
        }
        let file = OpenOptions::new().read(true).write(true).create(create).truncate(false).open(&path);
        let file = match file {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound && !create => return Ok(None),
            Err(source) => return Err(SinkError::Create { path, source }),
        };
        // Not every file system can lock; only a lock that somebody holds is a reason to stop.
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(SinkError::Busy { path });
        }
        Ok(Some(Self { path, file, text: Vec::new() }))
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn head(&mut self) -> Option<Head> {
        let mut lines = self.lines().ok()?;
        let text = lines.text().ok()??;
        serde_json::from_slice(text).ok().filter(|head: &Head| head.version == VERSION)
    }

    /// Note that from now on parts get their final names.
    pub(super) fn renaming(&mut self) -> io::Result<()> {
        self.file.write_all(RENAMING)?;
        self.file.sync_all()
    }

    /// Whether the run that left it had begun to rename.
    pub(super) fn was_renaming(&self) -> bool {
        let mut file = &self.file;
        let mut tail = [0; RENAMING.len()];
        let read = file.seek(SeekFrom::End(-(tail.len() as i64))).and_then(|_| file.read_exact(&mut tail));
        read.is_ok() && tail == RENAMING
    }

    /// The lines from the first one on.
    pub(super) fn lines(&self) -> io::Result<Lines<'_>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        Ok(Lines { reader: BufReader::with_capacity(1 << 16, file), text: Vec::new(), end: 0 })
    }

    /// Forget everything behind the first `bytes` bytes, and write there.
    pub(super) fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)?;
        self.file.seek(SeekFrom::Start(bytes)).map(|_| ())
    }

    /// Append one line.
    pub(super) fn append(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.text.clear();
        serde_json::to_writer(&mut self.text, line)?;
        self.text.push(b'\n');
        self.file.write_all(&self.text)
    }

    /// The run is committed.
    pub(super) fn remove(self) -> io::Result<()> {
        let Self { path, file, .. } = self;
        drop(file);
        fs::remove_file(path)
    }
}

/// The journal's lines as they are read back.
pub(super) struct Lines<'a> {
    reader: BufReader<&'a File>,
    text: Vec<u8>,
    /// Bytes up to the end of the line read last.
    pub(super) end: u64,
}

impl Lines<'_> {
    /// The next whole line.
    pub(super) fn text(&mut self) -> io::Result<Option<&[u8]>> {
        self.text.clear();
        let read = self.reader.by_ref().take(LONGEST).read_until(b'\n', &mut self.text)?;
        if self.text.pop() != Some(b'\n') {
            return Ok(None);
        }
        self.end += read as u64;
        Ok(Some(&self.text))
    }

    /// The next line as a block's; `None` behind the last sound one.
    pub(super) fn block(&mut self) -> io::Result<Option<Line>> {
        let end = self.end;
        let line = self.text()?.and_then(|text| serde_json::from_slice(text).ok());
        if line.is_none() {
            self.end = end;
        }
        Ok(line)
    }
}

/// A journal may come from anywhere: it must not lead out of the folder.
fn is_file_name(name: &str) -> bool {
    !name.starts_with('.') && !name.contains(['/', '\\'])
}
