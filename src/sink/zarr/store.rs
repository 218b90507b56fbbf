//! The folder of a store, which has its name from the start: whoever reads it while it grows keeps reading it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::super::SinkError;
use super::super::part::Start;

/// In a store that is not complete.
const MARK: &str = ".mollifier-part";
/// Where an older store of the same name waits for the new one to be complete.
const BEFORE: &str = ".before";

/// `NAME.EXT/`.
pub(super) struct Store {
    pub(super) path: PathBuf,
}

impl Store {
    pub(super) fn open(dir: &Path, name: &str, extension: &str, start: Start) -> Result<Self, SinkError> {
        let path = dir.join(format!("{name}.{extension}"));
        let made = |source| SinkError::Create { path: path.clone(), source };
        match start {
            Start::Anew => {
                if path.is_dir() {
                    let before = before(&path);
                    remove(&before).and_then(|()| fs::rename(&path, &before)).map_err(made)?;
                }
                fs::create_dir(&path).map_err(made)?;
            }
            Start::Replay { renamed } if !(path.join(MARK).exists() || renamed && path.is_dir()) => {
                // Otherwise what bears the name is an older run's.
                return Err(SinkError::Gone { path });
            }
            Start::Replay { .. } => {}
        }
        File::create(path.join(MARK)).map_err(made)?;
        Ok(Self { path })
    }
}

/// The store at `path` is complete: the one before it goes.
pub(in super::super) fn complete(path: &Path) -> std::io::Result<()> {
    fs::remove_file(path.join(MARK))?;
    remove(&before(path))
}

/// Remove a store that is not complete, and give the one before it its name back. Whatever cannot be removed does not
/// matter to the next run.
pub(in super::super) fn clear(path: &Path) {
    if path.join(MARK).exists() {
        fs::remove_dir_all(path).ok();
    }
    if !path.exists() {
        fs::rename(before(path), path).ok();
    }
}

fn before(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(BEFORE);
    PathBuf::from(name)
}

fn remove(path: &Path) -> std::io::Result<()> {
    if path.exists() { fs::remove_dir_all(path) } else { Ok(()) }
}
