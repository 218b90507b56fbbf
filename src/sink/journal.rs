//! `journal.json`: how far a run has come, beside the parts that it writes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::SinkError;

/// Name of the journal in the output folder.
const NAME: &str = "journal.json";
/// A journal is far smaller; anything longer is not one.
const LONGEST: u64 = 1 << 20;

/// What the journal says.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Entry {
    /// Version of this layout.
    version: u32,
    /// `maps` or `samples`.
    counts: String,
    /// How many of them are complete in every part.
    complete: u64,
    /// Frame of the last complete map, or the last complete sample.
    last: Option<u64>,
    /// Names of the parts and their length in bytes up to the last complete map.
    parts: Vec<(String, u64)>,
}

/// The journal of a run that is going on; the file is locked as long as the process lives.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    entry: Entry,
    longest: usize,
}

impl Journal {
    /// Take over the folder: the parts that a killed run left are removed, one that still runs is an error.
    pub(super) fn create(dir: &Path, counts: &str) -> Result<Self, SinkError> {
        let path = dir.join(NAME);
        if path.is_dir() {
            return Err(SinkError::Occupied { path });
        }
        let made = |source| SinkError::Create { path: path.clone(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(made)?;
        // Not every file system can lock; only a lock that somebody holds is a reason to stop.
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(SinkError::Busy { path });
        }
        remove_stale_parts(&mut file, dir);
        file.set_len(0).map_err(made)?;
        let entry = Entry { version: 1, counts: counts.to_owned(), ..Entry::default() };
        Ok(Self { path, file, entry, longest: 0 })
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Note that `complete` maps or samples are in all the parts, which have these lengths.
    pub(super) fn advance<'a>(
        &mut self,
        complete: u64,
        last: Option<u64>,
        parts: impl Iterator<Item = (&'a Path, u64)>,
    ) -> io::Result<()> {
        self.entry.complete = complete;
        self.entry.last = last;
        self.entry.parts.clear();
        let name = |p: &Path| p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        self.entry.parts.extend(parts.map(|(path, len)| (name(path), len)));
        let mut text = serde_json::to_string(&self.entry)?;
        // One write over the old text, never shorter than it, so that a killed run leaves one or the other.
        self.longest = self.longest.max(text.len());
        while text.len() < self.longest {
            text.push(' ');
        }
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(text.as_bytes())
    }

    /// The run is committed.
    pub(super) fn remove(self) -> io::Result<()> {
        let Self { path, file, .. } = self;
        drop(file);
        fs::remove_file(path)
    }
}

/// Remove what a killed run left; whatever cannot be read or removed does not matter to the new one.
fn remove_stale_parts(journal: &mut File, dir: &Path) {
    let mut text = String::new();
    if journal.take(LONGEST).read_to_string(&mut text).is_err() {
        return;
    }
    let Ok(entry) = serde_json::from_str::<Entry>(&text) else { return };
    for (name, _) in entry.parts {
        if name.ends_with(".part") && !name.contains(['/', '\\']) {
            fs::remove_file(dir.join(name)).ok();
        }
    }
}
