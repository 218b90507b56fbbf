//! NumPy's NPY: float32, the number of maps or samples patched into the padded header at the end.

use std::io;
use std::path::Path;

use super::part::{Block, Part, Site, Start, Writer, read_f32};
use super::{MapInfo, SeriesInfo, SinkError};

/// Bytes of the header, room for the longest shape included; a multiple of 64 as NumPy aligns it.
const HEADER: usize = 192;

/// What the values are, apart from their number.
enum Shape {
    /// Axes (map, y, x) in C order.
    Maps([usize; 2]),
    /// Axes (sample), or (channel, sample) in Fortran order, which is sample after sample on the disk.
    Series { channels: usize },
}

/// Writes `NAME.npy`.
pub(super) struct NpyWriter {
    part: Part,
    shape: Shape,
    count: u64,
    bytes: Vec<u8>,
}

impl NpyWriter {
    pub(super) fn maps(dir: &Path, info: &MapInfo, start: Start) -> Result<Self, SinkError> {
        Self::new(dir, &info.name, Shape::Maps(info.shape), start)
    }

    pub(super) fn series(dir: &Path, info: &SeriesInfo, start: Start) -> Result<Self, SinkError> {
        Self::new(dir, &info.name, Shape::Series { channels: info.channels }, start)
    }

    fn new(dir: &Path, name: &str, shape: Shape, start: Start) -> Result<Self, SinkError> {
        let mut part = Part::open(dir, name, "npy", start)?;
        let begun = part.append(&header(&shape, 0));
        begun.map_err(|source| SinkError::io("write", part.path(), source, 0, "values"))?;
        Ok(Self { part, shape, count: 0, bytes: Vec::new() })
    }
}

impl Writer for NpyWriter {
    fn write(&mut self, block: &Block<'_>) -> io::Result<()> {
        self.part.append_values(block.values)?;
        self.count += match self.shape {
            Shape::Maps(_) => 1,
            Shape::Series { channels } => (block.values.len() / channels.max(1)) as u64,
        };
        Ok(())
    }

    fn recall(&mut self, count: usize, values: &mut Vec<f32>) -> io::Result<bool> {
        self.part.peek(count.saturating_mul(4), &mut self.bytes)?;
        read_f32(&self.bytes, values);
        Ok(true)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.part.patch(0, &header(&self.shape, self.count))?;
        self.part.sync()
    }

    fn site(&mut self) -> &mut dyn Site {
        &mut self.part
    }
}

/// The header of version 1.0, padded with spaces.
fn header(shape: &Shape, count: u64) -> Vec<u8> {
    let (order, shape) = match shape {
        Shape::Maps([y, x]) => ("False", format!("({count}, {y}, {x})")),
        Shape::Series { channels: 0 | 1 } => ("False", format!("({count},)")),
        Shape::Series { channels } => ("True", format!("({channels}, {count})")),
    };
    let text = format!("{{'descr': '<f4', 'fortran_order': {order}, 'shape': {shape}, }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(((HEADER - 10) as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.resize(HEADER - 1, b' ');
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_shape_fits_the_header() {
        for shape in [Shape::Maps([usize::MAX; 2]), Shape::Series { channels: usize::MAX }] {
            let bytes = header(&shape, u64::MAX);
            assert_eq!(bytes.len(), HEADER);
            assert!(bytes.ends_with(b" \n"));
        }
    }
}
