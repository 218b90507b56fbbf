//! A file under construction, and what every format does with it.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::SinkError;

/// Values of one output: a map, or samples.
pub(super) struct Block<'a> {
    /// Number of the map, or index of the first sample.
    pub(super) number: u64,
    /// Index of the frame that the map belongs to.
    pub(super) frame: u64,
    /// Its time in the unit of the time step.
    pub(super) time: f64,
    /// The map, axes (y, x), or the samples, axes (sample, channel); row-major.
    pub(super) values: &'a [f32],
}

/// One output in one format.
pub(super) trait Writer: Send {
    /// Append one block; all of it has been handed to the system when this returns.
    fn write(&mut self, block: &Block<'_>) -> io::Result<()>;
    /// Complete the file after the last block.
    fn finish(&mut self) -> io::Result<()>;
    /// The file.
    fn part(&self) -> &Part;
}

/// `NAME.EXT.part`, on its way to `NAME.EXT`.
pub(super) struct Part {
    /// Name while it is written.
    pub(super) path: PathBuf,
    /// Name once it is complete.
    pub(super) target: PathBuf,
    file: File,
    len: u64,
}

impl Part {
    /// An empty part for `dir/name.extension`; one that a killed run left is overwritten.
    pub(super) fn create(dir: &Path, name: &str, extension: &str) -> Result<Self, SinkError> {
        let target = dir.join(format!("{name}.{extension}"));
        if target.is_dir() {
            return Err(SinkError::Occupied { path: target });
        }
        let path = part_of(&target);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        let file = file.map_err(|source| SinkError::Create { path: path.clone(), source })?;
        Ok(Self { path, target, file, len: 0 })
    }

    /// Bytes written so far.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Append bytes.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Replace bytes that were written before.
    pub(super) fn patch(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.write_all(bytes)?;
        self.file.seek(SeekFrom::Start(self.len))?;
        Ok(())
    }

    /// Wait until the device has it all.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// The name that a file has while it is written.
pub(super) fn part_of(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// Append values as little-endian float32.
pub(super) fn push_f32(bytes: &mut Vec<u8>, values: &[f32]) {
    bytes.reserve(4 * values.len());
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
}
