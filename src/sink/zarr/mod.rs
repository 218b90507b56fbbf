//! OME-Zarr: a folder for each output, float32, axes (t, y, x), readable at any moment while it grows.
//!
//! Version 0.5 (Zarr 3) gathers 64 maps to a file (a shard), so that a night leaves thousands of files and not
//! millions; a shard's index stands at its start and is written again behind each map. Version 0.4 (Zarr 2) has a file
//! for each map and tile, for programs that read nothing newer. Values are not compressed: maps of noise hardly shrink,
//! and where every map lies is known, so that a torn file can be told and put right.

mod level;
mod metadata;
mod store;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use level::{Level, halved};
use store::Store;
pub(super) use store::{clear, complete};

use super::part::{Block, Site, Start, Writer};
use super::{MapInfo, SinkError};

/// Which layout of OME-Zarr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// 0.4, on Zarr 2.
    V04,
    /// 0.5, on Zarr 3 with shards.
    V05,
}

impl Version {
    fn of(extension: &str) -> Self {
        if extension == V04 { Self::V04 } else { Self::V05 }
    }
}

/// The endings of the two layouts' folders.
pub(super) const V05: &str = "ome.zarr";
pub(super) const V04: &str = "v04.ome.zarr";

/// How often readers are told of new maps.
const TOLD: Duration = Duration::from_millis(250);
/// A resolution whose longer side is at most this is the last one.
const SMALLEST: usize = 256;

/// Writes `NAME.ome.zarr`.
pub(super) struct ZarrWriter {
    store: Store,
    version: Version,
    levels: Vec<Level>,
    maps: u64,
    told: Option<Instant>,
    replayed: bool,
    halves: Vec<Vec<f32>>,
}

impl ZarrWriter {
    pub(super) fn maps(dir: &Path, info: &MapInfo, extension: &str, start: Start) -> Result<Self, SinkError> {
        let version = Version::of(extension);
        let store = Store::open(dir, &info.name, extension, start)?;
        let mut levels = vec![Level::new(&store.path.join("0"), info.shape, version)];
        while let Some(last) = levels.last().filter(|l| l.shape[0].max(l.shape[1]) > SMALLEST) {
            let path = store.path.join(levels.len().to_string());
            levels.push(last.half(&path));
        }
        let halves = vec![Vec::new(); levels.len()];
        let replayed = start != Start::Anew;
        let mut writer = Self { store, version, levels, maps: 0, told: None, replayed, halves };
        let made = metadata::write_group(&writer.store.path, info, version, writer.levels.len());
        made.and_then(|()| if replayed { Ok(()) } else { writer.tell() })
            .map_err(|source| SinkError::io("write", &writer.store.path, source, 0, "maps"))?;
        Ok(writer)
    }

    /// Let readers see all maps that are there.
    fn tell(&mut self) -> io::Result<()> {
        for level in &self.levels {
            metadata::write_array(level, self.maps, self.version)?;
        }
        self.told = Some(Instant::now());
        Ok(())
    }
}

impl Writer for ZarrWriter {
    fn write(&mut self, block: &Block<'_>) -> io::Result<()> {
        let mut halves = std::mem::take(&mut self.halves);
        for (i, level) in self.levels.iter_mut().enumerate() {
            let (before, here) = halves.split_at_mut(i);
            let values = match before.last() {
                None => block.values,
                Some(larger) => {
                    let larger = if i == 1 { block.values } else { larger };
                    halved(larger, level.larger, &mut here[0]);
                    &here[0]
                }
            };
            level.put(self.maps, values, self.replayed)?;
        }
        self.halves = halves;
        self.maps += 1;
        if !self.replayed && self.told.is_none_or(|at| at.elapsed() >= TOLD) {
            self.tell()?;
        }
        Ok(())
    }

    fn recall(&mut self, count: usize, values: &mut Vec<f32>) -> io::Result<bool> {
        values.clear();
        self.levels[0].get(self.maps, count, values)?;
        Ok(true)
    }

    fn finish(&mut self) -> io::Result<()> {
        for level in &mut self.levels {
            level.finish()?;
        }
        self.tell()
    }

    fn site(&mut self) -> &mut dyn Site {
        self
    }
}

impl Site for ZarrWriter {
    fn go_on(&mut self) -> io::Result<()> {
        self.replayed = false;
        for level in &mut self.levels {
            level.go_on(self.maps)?;
        }
        self.tell()
    }

    fn path(&self) -> &Path {
        &self.store.path
    }

    fn target(&self) -> &Path {
        &self.store.path
    }
}
