//! Picasso's localisations: the table `locs` of an HDF5 file, and the camera's pixel size in the YAML file beside it.

use std::fs::{self, File as TextFile};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use hdf5_pure::{Dataset, Datatype, DatatypeByteOrder, File, Layout};

use super::super::follow::{Follow, Settling};
use super::super::{OpenOptions, Place, SourceError};
use super::grid::Region;
use super::{MOST_FRAMES, Row, Rows, length};
use crate::units::convert;

/// Rows that are read at a time.
const ROWS: u64 = 1 << 14;
/// How many times smaller deflate makes anything at best.
const TIGHTEST: u64 = 1032;
/// Bytes of a chunk that no file is too small for, and that no chunk may have.
const CHUNKS: [u64; 2] = [1 << 26, 1 << 30];
/// A text file of settings is far smaller.
const LONGEST: u64 = 1 << 20;

/// The rows of a table as they come: those that are there, and in one that is still being written those that follow.
///
/// A file that grows is opened anew each time it has changed and come to rest, whether rows were appended to it or it
/// was written again as a whole.
pub(super) struct PicassoRows {
    path: PathBuf,
    name: String,
    /// Pixels of the map in one of the camera's.
    scale: f64,
    follow: Option<Follow>,
    /// Whether the camera frames are wanted.
    framed: bool,
    open: Open,
    /// Rows that were read, and the last of them.
    done: u64,
    last: Vec<u8>,
    /// Bytes of rows that were read and not given out.
    rows: Vec<u8>,
    next: usize,
    missing: u64,
}

/// A file as it was at one moment.
struct Open {
    locs: Dataset,
    columns: Columns,
    count: u64,
    state: Option<(u64, SystemTime)>,
}

impl PicassoRows {
    pub(super) fn open(path: &Path, name: &str, options: &OpenOptions) -> Result<Self, SourceError> {
        let place = || Place::whole(name);
        let live = options.follow.is_some();
        let framed = options.every.is_some();
        let open = Open::new(path, name, live, framed)?;
        if open.count == 0 && !live {
            return Err(SourceError::malformed(place(), "a table without rows", "localisations"));
        }
        let unit = length(&options.pixel_size, "pixel size", name)?;
        let nanometre =
            convert(1.0, "nm", unit).map_err(|e| SourceError::misused(place(), e.to_string(), "a length"))?;
        Ok(Self {
            path: path.to_owned(),
            name: name.to_owned(),
            scale: pixel_size(path, name)? * nanometre / options.pixel_size.value,
            follow: options.follow.clone(),
            framed,
            open,
            done: 0,
            last: Vec::new(),
            rows: Vec::new(),
            next: 0,
            missing: 0,
        })
    }

    /// The camera's field of view, as the YAML file says it.
    pub(super) fn field_of_view(&self) -> Result<Region, SourceError> {
        let pixel = pixel_size(&self.path, &self.name)?;
        let expected = "the camera's rows and columns as `Height: 256` and `Width: 256`, or --region";
        let size = |key: &str| setting(&self.path, &self.name, key, expected);
        Ok(Region { y: [0.0, size("Height")? * pixel], x: [0.0, size("Width")? * pixel] })
    }

    /// Read rows; false where none is left, or where nothing more will come.
    fn fill(&mut self) -> Result<bool, SourceError> {
        let asked = Instant::now();
        let mut settling = Settling::new();
        loop {
            if self.done < self.open.count {
                let over = self.follow.as_ref().is_none_or(|follow| follow.over(asked));
                match self.take(over) {
                    Ok(true) => return Ok(true),
                    Ok(false) => {}
                    Err(e) if over || !e.may_pass() => return Err(e),
                    Err(_) => self.open.state = None,
                }
                if over {
                    return Ok(false);
                }
            }
            let Some(follow) = self.follow.clone() else { return Ok(false) };
            if follow.over(asked) && self.done >= self.open.count {
                return Ok(false);
            }
            self.renew(&mut settling)?;
            if self.done >= self.open.count || self.open.state.is_none() {
                follow.pause();
            }
        }
    }

    /// Open the file anew where it has changed and come to rest.
    fn renew(&mut self, settling: &mut Settling) -> Result<(), SourceError> {
        let Ok(now) = fs::metadata(&self.path) else { return Ok(()) };
        if !settling.is_settled(&now) || (self.open.state.is_some() && self.open.state == state(&self.path)) {
            return Ok(());
        }
        // Half a file is looked at again.
        let Ok(open) = Open::new(&self.path, &self.name, true, self.framed) else { return Ok(()) };
        if open.count < self.done {
            return Ok(());
        }
        if self.done > 0 {
            let Ok(before) = open.locs.read_raw_rows(self.done - 1, 1) else { return Ok(()) };
            if before != self.last {
                let got = "what was read of the table before is not there any more";
                return Err(SourceError::unsupported(Place::whole(&self.name), got, "one that only grows"));
            }
        }
        self.open = open;
        Ok(())
    }

    /// Take the next rows of the file as it was opened. Of one that is still being written, false where they are not
    /// there yet: the file has changed meanwhile, or they are nothing but zeros, unless the recording is `over`.
    fn take(&mut self, over: bool) -> Result<bool, SourceError> {
        let Open { locs, columns, count, state: then } = &self.open;
        let size = columns.size;
        let mut rows =
            locs.read_raw_rows(self.done, ROWS.min(count - self.done)).map_err(|e| damaged(&self.name, e))?;
        rows.truncate(rows.len() / size * size);
        if self.follow.is_some() && !over {
            if state(&self.path) != *then {
                return Ok(false);
            }
            let written = rows.rchunks_exact(size).skip_while(|row| row.iter().all(|b| *b == 0)).count();
            rows.truncate(written * size);
        }
        let Some(last) = rows.rchunks_exact(size).next() else {
            if over {
                let got = format!("{} rows of {count}", self.done);
                return Err(SourceError::malformed(Place::whole(&self.name), got, "all of them"));
            }
            self.open.state = None;
            return Ok(false);
        };
        self.last = last.to_vec();
        self.done += (rows.len() / size) as u64;
        (self.rows, self.next) = (rows, 0);
        Ok(true)
    }
}

impl Rows for PicassoRows {
    fn next(&mut self) -> Result<Option<Row>, SourceError> {
        loop {
            if self.next >= self.rows.len() && !self.fill()? {
                return Ok(None);
            }
            let columns = self.open.columns;
            let bytes = &self.rows[self.next..self.next + columns.size];
            self.next += columns.size;
            let frame = columns.frame.map(|c| c.value(bytes));
            let values = (columns.y.value(bytes), columns.x.value(bytes), frame.unwrap_or(Some(0.0)));
            let (Some(y), Some(x), Some(frame)) = values else {
                let got = format!("a row of {} bytes with columns beyond its end", columns.size);
                return Err(SourceError::malformed(Place::whole(&self.name), got, "columns within it"));
            };
            if !(0.0..MOST_FRAMES).contains(&frame) {
                let got = format!("a camera frame {frame}");
                return Err(SourceError::malformed(Place::whole(&self.name), got, "one from 0 on"));
            }
            // Picasso marks what it could not fit so.
            if y.is_finite() && x.is_finite() {
                return Ok(Some(Row { position: [y * self.scale, x * self.scale], frame: frame as u64 }));
            }
            self.missing += 1;
        }
    }

    fn notes(&mut self) -> Vec<String> {
        let missing = std::mem::take(&mut self.missing);
        if missing > 0 { vec![format!("{missing} localisations have no position")] } else { Vec::new() }
    }
}

impl Open {
    fn new(path: &Path, name: &str, live: bool, framed: bool) -> Result<Self, SourceError> {
        let place = || Place::whole(name);
        let state = state(path);
        let file = File::open_streaming(path).map_err(|e| damaged(name, e))?;
        if !file.root().datasets().map_err(|e| damaged(name, e))?.iter().any(|d| d == "locs") {
            let (got, expected) =
                ("an HDF5 file without a table `locs`", "Picasso's table `locs`, or a ThunderSTORM table");
            // It may be still to come.
            let error = if live { SourceError::malformed } else { SourceError::unsupported };
            return Err(error(place(), got, expected));
        }
        let locs = file.dataset("locs").map_err(|e| damaged(name, e))?;
        let datatype = locs.datatype().map_err(|e| damaged(name, e))?;
        let columns = Columns::of(&datatype).ok_or_else(|| {
            let expected = "columns `x` and `y` of floating point numbers, in pixels of the camera";
            SourceError::unsupported(place(), "a table `locs` without them", expected)
        })?;
        if framed && columns.frame.is_none() {
            let expected = "a column `frame` of whole numbers, which --every and --follow count by";
            return Err(SourceError::unsupported(place(), "a table `locs` without it", expected));
        }
        let columns = Columns { frame: columns.frame.filter(|_| framed), ..columns };
        let shape = locs.shape().map_err(|e| damaged(name, e))?;
        let [count] = shape[..] else {
            let got = format!("a table `locs` of {} dimensions", shape.len());
            return Err(SourceError::unsupported(place(), got, "one"));
        };
        // Rows that nobody wrote are read as fill values, without end. A table that grows may have got its size first.
        let length = fs::metadata(path).map_or(0, |m| m.len());
        if count.saturating_mul(columns.size as u64) > length.saturating_mul(TIGHTEST) {
            let got = format!("{count} rows of {} bytes in a file of {length} bytes", columns.size);
            return Err(SourceError::malformed(place(), got, "no more than can be in it"));
        }
        check_chunks(&locs, columns.size as u64, length, name)?;
        Ok(Self { locs, columns, count, state })
    }
}

/// The library takes memory for a chunk before it looks whether the file can hold it.
fn check_chunks(locs: &Dataset, row: u64, length: u64, name: &str) -> Result<(), SourceError> {
    let place = || Place::whole(name);
    let Layout::Chunked { chunk_shape, .. } = locs.layout().map_err(|e| damaged(name, e))? else { return Ok(()) };
    let rows = chunk_shape.iter().fold(1, |product: u64, n| product.saturating_mul(*n));
    let [least, most] = CHUNKS;
    if rows.saturating_mul(row) > length.saturating_mul(TIGHTEST).clamp(least, most) {
        let got = format!("chunks of {rows} rows of {row} bytes in a file of {length} bytes");
        return Err(SourceError::over_limit(place(), got, "no more than can be in it, and at most 1 GiB"));
    }
    for chunk in locs.chunks().map_err(|e| damaged(name, e))? {
        if chunk.address.saturating_add(chunk.storage_size) > length {
            let got = format!("a chunk of {} bytes at {} of {length}", chunk.storage_size, chunk.address);
            return Err(SourceError::malformed(place(), got, "chunks within the file"));
        }
    }
    Ok(())
}

/// What changes when a file is written.
fn state(path: &Path) -> Option<(u64, SystemTime)> {
    let now = fs::metadata(path).ok()?;
    Some((now.len(), now.modified().unwrap_or(SystemTime::UNIX_EPOCH)))
}

fn damaged(name: &str, e: hdf5_pure::Error) -> SourceError {
    let got = format!("a damaged HDF5 file ({e})");
    SourceError::malformed(Place::whole(name), got, "a whole one, as Picasso writes it")
}

/// Where the columns lie in a row.
#[derive(Clone, Copy, Debug)]
struct Columns {
    /// Bytes of a row.
    size: usize,
    y: Column,
    x: Column,
    frame: Option<Column>,
}

impl Columns {
    fn of(table: &Datatype) -> Option<Self> {
        let Datatype::Compound { size, .. } = table else { return None };
        let real = |name: &str| Column::of(table, name).filter(|c| c.kind == Kind::Real);
        let frame = Column::of(table, "frame").filter(|c| c.kind != Kind::Real);
        let size = usize::try_from(*size).ok().filter(|n| *n > 0)?;
        Some(Self { size, y: real("y")?, x: real("x")?, frame })
    }
}

/// A column of numbers in the rows of a table.
#[derive(Clone, Copy, Debug)]
struct Column {
    offset: usize,
    size: usize,
    kind: Kind,
    big_endian: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Real,
    Signed,
    Unsigned,
}

impl Column {
    fn of(table: &Datatype, name: &str) -> Option<Self> {
        let Datatype::Compound { members, .. } = table else { return None };
        let member = members.iter().find(|m| m.name == name)?;
        let offset = usize::try_from(member.byte_offset).ok()?;
        let (size, order, kind) = match &member.datatype {
            Datatype::FloatingPoint { size: size @ (4 | 8), byte_order, .. } => (*size, byte_order, Kind::Real),
            Datatype::FixedPoint { size: size @ (1 | 2 | 4 | 8), byte_order, layout } => {
                (*size, byte_order, if layout.signed { Kind::Signed } else { Kind::Unsigned })
            }
            _ => return None,
        };
        Some(Self { offset, size: size as usize, kind, big_endian: matches!(order, DatatypeByteOrder::BigEndian) })
    }

    fn value(&self, row: &[u8]) -> Option<f64> {
        let bytes = row.get(self.offset..self.offset.checked_add(self.size)?)?;
        let mut little = [0; 8];
        little[..self.size].copy_from_slice(bytes);
        if self.big_endian {
            little[..self.size].reverse();
        }
        let whole = u64::from_le_bytes(little);
        Some(match (self.kind, self.size) {
            (Kind::Real, 4) => f64::from(f32::from_bits(whole as u32)),
            (Kind::Real, _) => f64::from_bits(whole),
            (Kind::Unsigned, _) => whole as f64,
            (Kind::Signed, size) => {
                let unused = 64 - 8 * size as u32;
                ((whole << unused) as i64 >> unused) as f64
            }
        })
    }
}

/// The camera's pixel size in nanometres.
fn pixel_size(path: &Path, name: &str) -> Result<f64, SourceError> {
    let expected =
        "the camera's pixel size in nm as `Pixelsize: 130`, in the file that Picasso writes beside the table";
    setting(path, name, "Pixelsize", expected)
}

/// A number above zero: the last under its name in the YAML file that Picasso writes beside a table. It adds its
/// settings to those of the steps before, so that the last one is the newest.
fn setting(path: &Path, name: &str, key: &str, expected: &str) -> Result<f64, SourceError> {
    let yaml = path.with_extension("yaml");
    let place = || Place::whole(&yaml.display().to_string());
    let file = TextFile::open(&yaml).map_err(|e| {
        SourceError::malformed(Place::whole(name), format!("no {} beside it ({e})", yaml.display()), expected)
    })?;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).map_err(SourceError::io(place()))?;
    let value = |line: &str| Some(line.trim_start().strip_prefix(key)?.strip_prefix(':')?.trim().to_owned());
    let Some(value) = text.lines().filter_map(value).next_back() else {
        return Err(SourceError::malformed(place(), format!("no `{key}:`"), expected));
    };
    match value.parse::<f64>() {
        Ok(size) if size.is_finite() && size > 0.0 => Ok(size),
        _ => Err(SourceError::malformed(place(), format!("`{key}: {value}`"), expected)),
    }
}
