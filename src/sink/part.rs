//! A file under construction, and what every format does with it.

use std::fs;
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use super::SinkError;
use super::growing::Growing;

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
    /// Read back the block of `count` values that comes next in a part that is replayed; false where the format does not
    /// hold the values.
    fn recall(&mut self, _count: usize, _values: &mut Vec<f32>) -> io::Result<bool> {
        Ok(false)
    }
    /// Complete the file after the last block.
    fn finish(&mut self) -> io::Result<()>;
    /// Where it lies.
    fn site(&mut self) -> &mut dyn Site;
}

/// Where an output lies on the disk.
pub(super) trait Site {
    /// What was replayed stays, anything behind it goes, and what comes from now on is written.
    fn go_on(&mut self) -> io::Result<()>;
    /// Where it lies while it is written.
    fn path(&self) -> &Path;
    /// Where it lies once it is complete.
    fn target(&self) -> &Path;
}

/// How a part begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Empty; one that a killed run left is overwritten.
    Anew,
    /// With what an interrupted run left: what is appended is compared with it, until [`Growing::go_on`].
    Replay {
        /// Whether that run may have given the part its final name.
        renamed: bool,
    },
}

/// `NAME.EXT.part`, on its way to `NAME.EXT`.
pub(super) struct Part {
    path: PathBuf,
    target: PathBuf,
    file: Growing,
}

impl Part {
    /// The part for `dir/name.extension`.
    pub(super) fn open(dir: &Path, name: &str, extension: &str, start: Start) -> Result<Self, SinkError> {
        let target = dir.join(format!("{name}.{extension}"));
        if target.is_dir() {
            return Err(SinkError::Occupied { path: target });
        }
        let path = part_of(&target);
        let replayed = start != Start::Anew;
        if replayed && !path.exists() {
            // Otherwise what bears the name is an older run's.
            let back = if start == (Start::Replay { renamed: true }) { fs::rename(&target, &path).ok() } else { None };
            back.ok_or_else(|| SinkError::Gone { path: path.clone() })?;
        }
        let file = Growing::open(&path, replayed);
        let file = file.map_err(|source| SinkError::Create { path: path.clone(), source })?;
        Ok(Self { path, target, file })
    }
}

impl Site for Part {
    fn go_on(&mut self) -> io::Result<()> {
        self.file.go_on()
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn target(&self) -> &Path {
        &self.target
    }
}

impl Deref for Part {
    type Target = Growing;

    fn deref(&self) -> &Growing {
        &self.file
    }
}

impl DerefMut for Part {
    fn deref_mut(&mut self) -> &mut Growing {
        &mut self.file
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

/// The values of little-endian float32.
pub(super) fn read_f32(bytes: &[u8], values: &mut Vec<f32>) {
    values.clear();
    values.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
}
