//! Picasso's localisations: the table `locs` of an HDF5 file, and the camera's pixel size in the YAML file beside it.

use std::fs::File as TextFile;
use std::io::Read;
use std::path::Path;

use hdf5_pure::{Datatype, DatatypeByteOrder, File};

use super::super::{OpenOptions, Place, SourceError};
use super::{MAX_LOCALISATIONS, Table, length};
use crate::units::convert;

/// Rows that are read at a time.
const ROWS: u64 = 1 << 16;
/// A text file of settings is far smaller.
const LONGEST: u64 = 1 << 20;

/// Read the positions of all localisations, in pixels of the map to be drawn.
pub(super) fn read(path: &Path, name: &str, options: &OpenOptions) -> Result<Table, SourceError> {
    let place = || Place::whole(name);
    let damaged = |e: hdf5_pure::Error| {
        SourceError::malformed(place(), format!("a damaged HDF5 file ({e})"), "a whole one, as Picasso writes it")
    };
    let file = File::open_streaming(path).map_err(damaged)?;
    if !file.root().datasets().map_err(damaged)?.iter().any(|d| d == "locs") {
        let expected = "Picasso's table `locs`, or a ThunderSTORM table";
        return Err(SourceError::unsupported(place(), "an HDF5 file without a table `locs`", expected));
    }
    let locs = file.dataset("locs").map_err(damaged)?;
    let datatype = locs.datatype().map_err(damaged)?;
    let columns = ["y", "x"].map(|column| Column::of(&datatype, column));
    let (Datatype::Compound { size, .. }, [Some(y), Some(x)]) = (&datatype, columns) else {
        let expected = "columns `x` and `y` of floating point numbers, in pixels of the camera";
        return Err(SourceError::unsupported(place(), "a table `locs` without them", expected));
    };
    let size = *size as usize;
    let count = locs.shape().map_err(damaged)?.first().copied().unwrap_or(0);
    if count > MAX_LOCALISATIONS as u64 {
        let got = format!("{count} localisations");
        return Err(SourceError::over_limit(place(), got, format!("at most {MAX_LOCALISATIONS}")));
    }
    if count == 0 {
        return Err(SourceError::malformed(place(), "a table without rows", "localisations"));
    }
    let unit = length(&options.pixel_size, "pixel size", name)?;
    let nanometre = convert(1.0, "nm", unit).map_err(|e| SourceError::misused(place(), e.to_string(), "a length"))?;
    let scale = pixel_size(path, name)? * nanometre / options.pixel_size.value;
    let mut positions = Vec::new();
    for first in (0..count).step_by(ROWS as usize) {
        let rows = locs.read_raw_rows(first, ROWS).map_err(damaged)?;
        for row in rows.chunks_exact(size) {
            let (Some(y), Some(x)) = (y.value(row), x.value(row)) else {
                let got = format!("a row of {size} bytes with columns beyond its end");
                return Err(SourceError::malformed(place(), got, "columns within it"));
            };
            // Picasso marks what it could not fit so.
            if y.is_finite() && x.is_finite() {
                positions.push([y * scale, x * scale]);
            }
        }
    }
    let missing = count - positions.len() as u64;
    let warnings = if missing > 0 { vec![format!("{missing} localisations have no position")] } else { Vec::new() };
    if positions.is_empty() {
        return Err(SourceError::malformed(place(), "no localisation with a position", "localisations"));
    }
    Ok(Table { positions, warnings })
}

/// A column of floating point numbers in the rows of a table.
#[derive(Clone, Copy, Debug)]
struct Column {
    offset: usize,
    size: usize,
    big_endian: bool,
}

impl Column {
    fn of(table: &Datatype, name: &str) -> Option<Self> {
        let Datatype::Compound { members, .. } = table else { return None };
        let member = members.iter().find(|m| m.name == name)?;
        match &member.datatype {
            Datatype::FloatingPoint { size: size @ (4 | 8), byte_order, .. } => Some(Self {
                offset: usize::try_from(member.byte_offset).ok()?,
                size: *size as usize,
                big_endian: matches!(byte_order, DatatypeByteOrder::BigEndian),
            }),
            _ => None,
        }
    }

    fn value(&self, row: &[u8]) -> Option<f64> {
        let mut bytes = row.get(self.offset..self.offset.checked_add(self.size)?)?.to_vec();
        if self.big_endian {
            bytes.reverse();
        }
        match bytes.as_slice() {
            [a, b, c, d] => Some(f64::from(f32::from_le_bytes([*a, *b, *c, *d]))),
            bytes => Some(f64::from_le_bytes(bytes.try_into().ok()?)),
        }
    }
}

/// The camera's pixel size in nanometres: the last `Pixelsize:` of the YAML file that Picasso writes beside a table. It
/// adds its settings to those of the steps before, so that the last one is the newest.
fn pixel_size(path: &Path, name: &str) -> Result<f64, SourceError> {
    let yaml = path.with_extension("yaml");
    let place = || Place::whole(&yaml.display().to_string());
    let expected =
        "the camera's pixel size in nm as `Pixelsize: 130`, in the file that Picasso writes beside the table";
    let file = TextFile::open(&yaml).map_err(|e| {
        SourceError::malformed(Place::whole(name), format!("no {} beside it ({e})", yaml.display()), expected)
    })?;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).map_err(SourceError::io(place()))?;
    let value = |line: &str| Some(line.trim_start().strip_prefix("Pixelsize:")?.trim().to_owned());
    let Some(value) = text.lines().filter_map(value).next_back() else {
        return Err(SourceError::malformed(place(), "no `Pixelsize:`", expected));
    };
    match value.parse::<f64>() {
        Ok(size) if size.is_finite() && size > 0.0 => Ok(size),
        _ => Err(SourceError::malformed(place(), format!("`Pixelsize: {value}`"), expected)),
    }
}
