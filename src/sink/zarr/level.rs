//! One resolution of a store: its values in chunks, in files of one or of many maps.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::growing::Growing;
use super::super::part::{push_f32, read_f32};
use super::Version;

/// Longest side of a chunk, in pixels.
const LONGEST: usize = 1024;
/// Maps in a shard.
pub(super) const MAPS: u64 = 64;
/// An index entry: offset and length, as u64 each; all ones where there is no chunk.
const ENTRY: usize = 16;
/// The index's CRC-32C behind it.
const SUM: usize = 4;

/// An array (t, y, x) of a store.
pub(super) struct Level {
    /// Folder of the array.
    pub(super) path: PathBuf,
    /// Rows and columns.
    pub(super) shape: [usize; 2],
    /// Those of the next larger resolution.
    pub(super) larger: [usize; 2],
    /// Rows and columns of a chunk.
    pub(super) chunk: [usize; 2],
    /// Chunks along y and x.
    pub(super) grid: [usize; 2],
    version: Version,
    /// The shard that maps are added to: its number, file and index.
    shard: Option<(u64, Growing)>,
    index: Vec<u8>,
    bytes: Vec<u8>,
    values: Vec<f32>,
}

impl Level {
    pub(super) fn new(path: &Path, shape: [usize; 2], version: Version) -> Self {
        let chunk = shape.map(|n| n.min(LONGEST));
        let grid = [0, 1].map(|axis| shape[axis].div_ceil(chunk[axis]));
        Self {
            path: path.to_owned(),
            shape,
            larger: shape,
            chunk,
            grid,
            version,
            shard: None,
            index: Vec::new(),
            bytes: Vec::new(),
            values: Vec::new(),
        }
    }

    /// The next smaller resolution.
    pub(super) fn half(&self, path: &Path) -> Self {
        Self { larger: self.shape, ..Self::new(path, self.shape.map(|n| n.div_ceil(2)), self.version) }
    }

    fn chunk_bytes(&self) -> usize {
        4 * self.chunk[0] * self.chunk[1]
    }

    fn chunks(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    fn index_bytes(&self) -> usize {
        ENTRY * MAPS as usize * self.chunks() + SUM
    }

    fn shard_path(&self, shard: u64) -> PathBuf {
        self.path.join("c").join(shard.to_string()).join("0").join("0")
    }

    fn chunk_path(&self, map: u64, chunk: usize) -> PathBuf {
        let (row, column) = (chunk / self.grid[1], chunk % self.grid[1]);
        self.path.join(map.to_string()).join(row.to_string()).join(column.to_string())
    }

    /// The rows of chunk `chunk` in a map, and where they go in the chunk.
    fn rows(&self, chunk: usize) -> impl Iterator<Item = (std::ops::Range<usize>, usize)> + use<> {
        let (shape, size) = (self.shape, self.chunk);
        let (y, x) = (chunk / self.grid[1] * size[0], chunk % self.grid[1] * size[1]);
        let width = size[1].min(shape[1] - x);
        let height = size[0].min(shape[0] - y);
        (0..height).map(move |row| {
            let start = (y + row) * shape[1] + x;
            (start..start + width, row * size[1])
        })
    }

    /// One chunk of a map as bytes; what lies beyond the map is NaN.
    fn cut(&mut self, map: &[f32], chunk: usize) {
        self.values.clear();
        self.values.resize(self.chunk[0] * self.chunk[1], f32::NAN);
        for (range, at) in self.rows(chunk) {
            self.values[at..at + range.len()].copy_from_slice(&map[range]);
        }
        self.bytes.clear();
        push_f32(&mut self.bytes, &self.values);
    }

    /// Add map number `map`; in a store that is replayed it is there already, or is put right.
    pub(super) fn put(&mut self, map: u64, values: &[f32], replayed: bool) -> io::Result<()> {
        match self.version {
            Version::V04 => self.put_files(map, values, replayed),
            Version::V05 => self.put_in_shard(map, values, replayed),
        }
    }

    fn put_files(&mut self, map: u64, values: &[f32], replayed: bool) -> io::Result<()> {
        for chunk in 0..self.chunks() {
            self.cut(values, chunk);
            let path = self.chunk_path(map, chunk);
            if replayed && fs::read(&path).is_ok_and(|found| found == self.bytes) {
                continue;
            }
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(&path, &self.bytes)?;
        }
        Ok(())
    }

    fn put_in_shard(&mut self, map: u64, values: &[f32], replayed: bool) -> io::Result<()> {
        let number = map / MAPS;
        if self.shard.as_ref().is_none_or(|(open, _)| *open != number) {
            self.finish()?;
            let path = self.shard_path(number);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            let mut file = Growing::open(&path, replayed)?;
            self.index = vec![0xff; self.index_bytes()];
            self.seal();
            file.append(&self.index)?;
            self.shard = Some((number, file));
        }
        for chunk in 0..self.chunks() {
            self.cut(values, chunk);
            let at = ENTRY * ((map % MAPS) as usize * self.chunks() + chunk);
            if let Some((_, file)) = &mut self.shard {
                let entry = [file.len(), self.bytes.len() as u64].map(u64::to_le_bytes).concat();
                file.append(&self.bytes)?;
                self.index[at..at + ENTRY].copy_from_slice(&entry);
            }
        }
        self.seal();
        self.shard.as_mut().map_or(Ok(()), |(_, file)| file.patch(0, &self.index))
    }

    /// The checksum behind the index.
    fn seal(&mut self) {
        let entries = self.index.len() - SUM;
        let sum = crc32c::crc32c(&self.index[..entries]);
        self.index[entries..].copy_from_slice(&sum.to_le_bytes());
    }

    /// Read map number `map` back: `count` values.
    pub(super) fn get(&mut self, map: u64, count: usize, values: &mut Vec<f32>) -> io::Result<()> {
        if count != self.shape[0] * self.shape[1] {
            return Ok(());
        }
        values.resize(count, 0.0);
        let size = self.chunk_bytes();
        for chunk in 0..self.chunks() {
            match self.version {
                Version::V04 => self.bytes = read_file(&self.chunk_path(map, chunk), size)?,
                Version::V05 => {
                    let place = (map % MAPS) as usize * self.chunks() + chunk;
                    let offset = (self.index_bytes() + place * size) as u64;
                    Growing::read(&self.shard_path(map / MAPS), offset, size, &mut self.bytes)?;
                }
            }
            read_f32(&self.bytes, &mut self.values);
            for (range, at) in self.rows(chunk) {
                let width = range.len();
                values[range].copy_from_slice(&self.values[at..at + width]);
            }
        }
        Ok(())
    }

    /// What was replayed stays, and what lies behind it goes.
    pub(super) fn go_on(&mut self, maps: u64) -> io::Result<()> {
        if let Some((_, file)) = &mut self.shard {
            file.go_on()?;
        }
        let (folder, kept) = match self.version {
            Version::V04 => (self.path.clone(), maps),
            Version::V05 => (self.path.join("c"), maps.div_ceil(MAPS)),
        };
        let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
        for entry in entries {
            let entry = entry?;
            let number = entry.file_name().to_str().and_then(|n| n.parse::<u64>().ok());
            if number.is_some_and(|n| n >= kept) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// Wait until the device has the shard.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.shard.as_ref().map_or(Ok(()), |(_, file)| file.sync())
    }
}

fn read_file(path: &Path, size: usize) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Ok(bytes) if bytes.len() == size => Ok(bytes),
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A map of `shape` with half as many rows and columns: means of what is finite, NaN where nothing is.
pub(super) fn halved(values: &[f32], shape: [usize; 2], out: &mut Vec<f32>) {
    let [rows, columns] = shape;
    out.clear();
    for y in (0..rows).step_by(2) {
        for x in (0..columns).step_by(2) {
            let (mut sum, mut count) = (0.0_f32, 0.0_f32);
            for row in y..(y + 2).min(rows) {
                for value in &values[row * columns + x..row * columns + (x + 2).min(columns)] {
                    if value.is_finite() {
                        sum += value;
                        count += 1.0;
                    }
                }
            }
            out.push(if count > 0.0 { sum / count } else { f32::NAN });
        }
    }
}
