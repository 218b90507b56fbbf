//! The chunks of an array: which file has them, where in it, and the values of one frame in them.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::array::{Array, Shard};
use super::codec::{decode, unsealed};
use crate::source::element::Endian;
use crate::source::{Place, SourceError};

/// An index entry: offset and length; all ones where there is no chunk.
const ENTRY: u64 = 16;
/// The checksum behind the index.
const SUM: u64 = 4;
/// Decoded chunks of several frames that are kept, in bytes.
const KEPT: u64 = 1 << 30;
/// And how many of them.
const MOST_KEPT: u64 = 1 << 16;

/// Size and time of a file, or of several together.
pub(super) type State = (u64, SystemTime);

/// How the axes of an array are those of frames.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) t: Option<usize>,
    pub(super) y: usize,
    pub(super) x: usize,
    /// Where frames lie along the other axes.
    pub(super) fixed: Vec<u64>,
}

/// Reads frames out of an array's chunks.
#[derive(Debug)]
pub(super) struct Chunks {
    folder: PathBuf,
    pub(super) array: Array,
    layout: Layout,
    /// Chunks along y and x that a frame takes.
    grid: [u64; 2],
    strides: Vec<usize>,
    /// Decoded chunks of the frames around the last one: (chunk along t, state of its file, values), for each of the
    /// grid.
    kept: Vec<Option<(u64, State, Vec<u8>)>>,
    /// The index of the shard read last.
    index: Option<(PathBuf, State, Vec<u8>)>,
    /// A chunk, along y and x, that was there for the frame read last.
    lit: Option<[u64; 2]>,
    /// Whether chunks may still come.
    growing: bool,
}

/// What was found of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// All of it.
    Whole,
    /// Some of it is filled up: nobody wrote that, or not yet.
    Filled,
    /// All of it is.
    Nothing,
}

impl Chunks {
    pub(super) fn new(folder: &Path, array: Array, layout: Layout, growing: bool) -> Self {
        let grid = [layout.y, layout.x].map(|axis| array.shape[axis].div_ceil(array.chunk[axis]));
        let strides = array.strides();
        Self {
            folder: folder.to_owned(),
            array,
            layout,
            grid,
            strides,
            kept: Vec::new(),
            index: None,
            lit: None,
            growing,
        }
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Frames that the array's shape allows for.
    pub(super) fn count(&self) -> u64 {
        self.layout.t.map_or(1, |t| self.array.shape[t])
    }

    /// Frames that the chunk of a frame has.
    pub(super) fn frames_in_chunk(&self) -> u64 {
        self.layout.t.map_or(1, |t| self.array.chunk[t])
    }

    /// Chunks that a frame takes.
    pub(super) fn in_frame(&self) -> u64 {
        self.grid[0] * self.grid[1]
    }

    /// Frames that the file of a frame has.
    pub(super) fn frames_in_file(&self) -> u64 {
        self.layout.t.map_or(1, |t| self.array.file[t])
    }

    /// Where frame `t`'s chunk at `row`, `column` of the grid is in the array, in chunks.
    fn at(&self, t: u64, [row, column]: [u64; 2]) -> Vec<u64> {
        let chunk = &self.array.chunk;
        let mut at: Vec<u64> = self.layout.fixed.iter().zip(chunk).map(|(index, size)| index / size).collect();
        if let Some(axis) = self.layout.t {
            at[axis] = t / chunk[axis];
        }
        at[self.layout.y] = row;
        at[self.layout.x] = column;
        at
    }

    fn file(&self, at: &[u64]) -> PathBuf {
        let sizes = self.array.chunk.iter().zip(&self.array.file);
        let indices: Vec<u64> = at.iter().zip(sizes).map(|(n, (chunk, file))| n * chunk / file).collect();
        self.folder.join(self.array.key(&indices))
    }

    fn cells(&self) -> impl Iterator<Item = [u64; 2]> + use<> {
        let [rows, columns] = self.grid;
        (0..rows).flat_map(move |row| (0..columns).map(move |column| [row, column]))
    }

    /// State of the files that frame `t` lies in together, and how many of them are not there.
    pub(super) fn state(&self, t: u64) -> (State, usize) {
        let mut seen: Vec<PathBuf> = Vec::new();
        let (mut state, mut absent) = ((0, SystemTime::UNIX_EPOCH), 0);
        for cell in self.cells() {
            let file = self.file(&self.at(t, cell));
            if self.array.shard.is_some() && seen.contains(&file) {
                continue;
            }
            match state_of(&file) {
                Ok((length, time)) => state = (state.0 + length, state.1.max(time)),
                Err(_) => absent += 1,
            }
            if self.array.shard.is_some() {
                seen.push(file);
            }
        }
        (state, absent)
    }

    /// Whether the values of chunks that frame `t` lies in are known.
    pub(super) fn has_values(&self, t: u64) -> bool {
        let along_t = t / self.frames_in_chunk();
        self.kept.iter().flatten().any(|(kept, ..)| *kept == along_t)
    }

    /// Whether anything of frame `t` is there, as far as three of its chunks show: the first, the last, and one that
    /// an earlier frame had.
    pub(super) fn is_begun(&mut self, t: u64) -> bool {
        let [rows, columns] = self.grid;
        let cells = [self.lit, Some([0, 0]), Some([rows - 1, columns - 1])];
        cells.into_iter().flatten().any(|cell| self.has(t, cell))
    }

    /// Whether anything of frame `t` is there.
    pub(super) fn find(&mut self, t: u64) -> bool {
        self.is_begun(t) || self.cells().any(|cell| self.has(t, cell))
    }

    /// Whether a frame's chunk is there; in a chunk of several frames that is known, whether it has other values than
    /// the fill value for it.
    fn has(&mut self, t: u64, cell: [u64; 2]) -> bool {
        let along_t = t / self.frames_in_chunk();
        let slot = (cell[0] * self.grid[1] + cell[1]) as usize;
        if let Some(Some((kept, _, values))) = self.kept.get(slot)
            && *kept == along_t
        {
            return !self.is_fill(values, t);
        }
        let at = self.at(t, cell);
        let file = self.file(&at);
        match self.array.shard {
            None => file.is_file(),
            Some(shard) => self.entry(&file, shard, &at).is_ok_and(|entry| entry.is_some()),
        }
    }

    /// Read frame `t` into `out`: values as stored, (y, x).
    ///
    /// # Errors
    /// A chunk that is damaged or cannot be read.
    pub(super) fn frame(&mut self, t: u64, out: &mut Vec<u8>, place: &dyn Fn() -> Place) -> Result<Found, SourceError> {
        let size = self.array.element.size();
        let [rows, columns] = [self.layout.y, self.layout.x].map(|axis| self.array.shape[axis] as usize);
        out.clear();
        match self.array.fill.as_slice() {
            [first, rest @ ..] if rest.iter().all(|b| b == first) => out.resize(rows * columns * size, *first),
            fill => out.extend(fill.iter().copied().cycle().take(rows * columns * size)),
        }
        let several = self.frames_in_chunk() > 1;
        let bytes = self.array.chunk_values() * size as u64;
        let cells = self.in_frame();
        let keep = several && cells <= MOST_KEPT && bytes.saturating_mul(cells) <= KEPT;
        if keep {
            self.kept.resize(cells as usize, None);
        }
        let mut there = 0;
        for (slot, cell) in self.cells().enumerate() {
            let at = self.at(t, cell);
            let file = self.file(&at);
            let along_t = t / self.frames_in_chunk();
            let state = if keep { state_of(&file).ok() } else { None };
            let known = self.kept.get_mut(slot).and_then(Option::take);
            let values = match (known, state) {
                (Some((kept, then, values)), Some(now)) if kept == along_t && then == now => Some(values),
                _ => self.chunk(&file, &at, place)?,
            };
            let Some(values) = values else { continue };
            if !several || !self.is_fill(&values, t) {
                there += 1;
                self.lit = Some(cell);
            }
            self.copy(&values, t, cell, out);
            if let (true, Some(state)) = (keep, state) {
                self.kept[slot] = Some((along_t, state, values));
            }
        }
        Ok(match there {
            0 => Found::Nothing,
            n if n == cells => Found::Whole,
            _ => Found::Filled,
        })
    }

    /// Where in a decoded chunk frame `t` begins, in values.
    fn start(&self, t: u64) -> usize {
        let mut start = 0;
        for (axis, index) in self.layout.fixed.iter().enumerate() {
            let index = if Some(axis) == self.layout.t { t } else { *index };
            if axis != self.layout.y && axis != self.layout.x {
                start += (index % self.array.chunk[axis]) as usize * self.strides[axis];
            }
        }
        start
    }

    /// Whether all of frame `t` in a decoded chunk is the fill value.
    fn is_fill(&self, values: &[u8], t: u64) -> bool {
        let size = self.array.element.size();
        let start = self.start(t);
        let [height, width] = [self.layout.y, self.layout.x].map(|axis| self.array.chunk[axis] as usize);
        let [down, along] = [self.strides[self.layout.y], self.strides[self.layout.x]];
        (0..height).all(|y| {
            (0..width).all(|x| {
                let at = (start + y * down + x * along) * size;
                values[at..at + size] == self.array.fill[..]
            })
        })
    }

    /// The part of frame `t` that a decoded chunk has.
    fn copy(&self, values: &[u8], t: u64, [row, column]: [u64; 2], out: &mut [u8]) {
        let size = self.array.element.size();
        let start = self.start(t);
        let of = |axis: usize, at: u64| {
            let (whole, chunk) = (self.array.shape[axis], self.array.chunk[axis]);
            ((at * chunk) as usize, (whole - at * chunk).min(chunk) as usize)
        };
        let (y, height) = of(self.layout.y, row);
        let (x, width) = of(self.layout.x, column);
        let columns = self.array.shape[self.layout.x] as usize;
        let [down, along] = [self.strides[self.layout.y], self.strides[self.layout.x]];
        for line in 0..height {
            let from = start + line * down;
            let to = ((y + line) * columns + x) * size;
            let to = &mut out[to..to + width * size];
            if along == 1 {
                to.copy_from_slice(&values[from * size..(from + width) * size]);
                continue;
            }
            for (i, value) in to.chunks_exact_mut(size).enumerate() {
                let from = (from + i * along) * size;
                value.copy_from_slice(&values[from..from + size]);
            }
        }
    }

    /// The decoded values of a chunk; `None` where it is not there.
    fn chunk(&mut self, file: &Path, at: &[u64], place: &dyn Fn() -> Place) -> Result<Option<Vec<u8>>, SourceError> {
        let size = self.array.chunk_values() as usize * self.array.element.size();
        // No codec makes much more of values than they are.
        let most = size as u64 + size as u64 / 4 + 65536;
        let name = file.strip_prefix(&self.folder).unwrap_or(file).display().to_string();
        let name = || name.clone();
        let damaged = |what: String| {
            SourceError::malformed(place(), format!("{what} in {}", name()), format!("a chunk of {size} bytes"))
        };
        let range = match self.array.shard {
            None => None,
            Some(shard) => match self.entry(file, shard, at) {
                Ok(Some(range)) => Some(range),
                Ok(None) => return Ok(None),
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(e) if matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
                    return Err(SourceError::malformed(
                        place(),
                        format!("{e} in {}", name()),
                        "a shard with its index",
                    ));
                }
                Err(e) => return Err(SourceError::Io { place: place(), source: e }),
            },
        };
        let stored = File::open(file).and_then(|mut opened| {
            let whole = opened.metadata()?.len();
            let (offset, length) = range.unwrap_or((0, whole));
            if length > most {
                return Ok(Err(format!("{length} stored bytes")));
            }
            if offset.checked_add(length).is_none_or(|end| end > whole) {
                return Ok(Err(format!("the file's end at byte {whole}")));
            }
            opened.seek(SeekFrom::Start(offset))?;
            let mut stored = vec![0; length as usize];
            opened.read_exact(&mut stored)?;
            Ok(Ok(stored))
        });
        match stored {
            Ok(Ok(stored)) => decode(&self.array.codecs, stored, size).map(Some).map_err(damaged),
            Ok(Err(what)) => Err(damaged(what)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(damaged("a file cut short".to_owned())),
            Err(e) => Err(SourceError::Io { place: place(), source: e }),
        }
    }

    /// Offset and length of a chunk in a shard; `None` where it is not there.
    fn entry(&mut self, file: &Path, shard: Shard, at: &[u64]) -> io::Result<Option<(u64, u64)>> {
        let mut place = 0;
        for ((n, chunk), whole) in at.iter().zip(&self.array.chunk).zip(&self.array.file) {
            let count = whole / chunk;
            place = place * count + n % count;
        }
        let state = state_of(file)?;
        if let Some((path, then, index)) = &self.index
            && path == file
            && *then == state
        {
            let range = range(index, place, shard.endian);
            if range.is_some() || !self.growing {
                return Ok(range);
            }
        }
        // What an index does not have it may have in the same moment of the file's clock.
        let index = read_index(file, shard)?;
        let range = range(&index, place, shard.endian);
        self.index = Some((file.to_owned(), state, index));
        Ok(range)
    }
}

fn state_of(file: &Path) -> io::Result<State> {
    let metadata = fs::metadata(file)?;
    Ok((metadata.len(), metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)))
}

/// The entries of a shard's index.
fn read_index(file: &Path, shard: Shard) -> io::Result<Vec<u8>> {
    let size = ENTRY * shard.chunks + if shard.checked { SUM } else { 0 };
    let mut opened = File::open(file)?;
    let length = opened.metadata()?.len();
    if length < size {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{length} bytes without a whole index")));
    }
    opened.seek(SeekFrom::Start(if shard.at_start { 0 } else { length - size }))?;
    let mut index = vec![0; size as usize];
    opened.read_exact(&mut index)?;
    if !shard.checked {
        return Ok(index);
    }
    let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, "an index that does not fit its checksum");
    unsealed(index).map_err(wrong)
}

fn range(index: &[u8], place: u64, endian: Endian) -> Option<(u64, u64)> {
    let word = |at: u64| {
        let bytes: [u8; 8] = index.get(at as usize..at as usize + 8)?.try_into().ok()?;
        Some(if endian == Endian::Big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    };
    let (offset, length) = (word(ENTRY * place)?, word(ENTRY * place + 8)?);
    (offset != u64::MAX || length != u64::MAX).then_some((offset, length))
}
