//! The file's header, the chain of its directories and the few tags that are needed of each.

use std::io::{BufReader, Read, Seek, SeekFrom};

use crate::source::element::{Element, Endian};
use crate::source::{Place, SourceError};

/// More entries than any writer makes; a damaged count is larger most of the time.
const MAX_ENTRIES: u64 = 4096;
/// Longest value that is read into memory: OME-XML of long recordings is large.
const MAX_VALUE_BYTES: u64 = 1 << 28;

/// Byte order and the width of offsets.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) endian: Endian,
    big: bool,
    first: u64,
}

/// The directories of the file's full-size images.
#[derive(Debug)]
pub(super) struct Chain {
    /// Position among all directories and byte offset of each.
    pub(super) pages: Vec<(usize, u64)>,
    /// Where the chain leaves the file, if it does.
    pub(super) broken: Option<Broken>,
    /// Position and byte offset of the last directory that was read.
    last: Option<(usize, u64)>,
}

/// A directory that cannot be read.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) offset: u64,
    length: u64,
    looped: bool,
}

impl Broken {
    pub(super) fn error(&self, place: Place) -> SourceError {
        let (offset, length) = (self.offset, self.length);
        let (got, expected) = if self.looped {
            (format!("a chain of directories that runs in a circle at byte {offset}"), "one that ends".to_owned())
        } else {
            (format!("the file's end at byte {length}"), format!("a directory at byte {offset}"))
        };
        SourceError::malformed(place, got, expected)
    }
}

/// What one directory says of its image.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) shape: [usize; 2],
    pub(super) bits: u64,
    /// 1 unsigned, 2 signed, 3 floating point, 4 undefined.
    pub(super) format: u64,
    pub(super) samples: u64,
    pub(super) photometric: u64,
    compression: u64,
    pub(super) planar: bool,
    tiled: bool,
    reversed_bits: bool,
    pub(super) offsets: Vec<u64>,
    pub(super) counts: Vec<u64>,
    pub(super) description: Option<String>,
    /// Pixels a unit along y and x.
    pub(super) resolution: [Option<f64>; 2],
}

impl Page {
    /// Whether the strips hold the pixels as they are.
    pub(super) fn is_plain(&self) -> bool {
        self.compression == super::COMPRESSION_NONE && !self.tiled && !self.planar && !self.reversed_bits
    }

    /// Where the last of the image's bytes lies.
    pub(super) fn end(&self, element: Element) -> u64 {
        let single = self.is_plain() && self.offsets.len() == 1;
        let parts = self.offsets.iter().zip(&self.counts);
        let ends = parts.map(|(o, c)| o.saturating_add(if single { self.bytes(element) } else { *c }));
        ends.max().unwrap_or(0)
    }

    /// Bytes of the whole image.
    pub(super) fn bytes(&self, element: Element) -> u64 {
        let pixels = (self.shape[0] as u64).saturating_mul(self.shape[1] as u64);
        pixels.saturating_mul(self.samples).saturating_mul(element.size() as u64)
    }

    /// How the image is stored, in words.
    pub(super) fn storage(&self) -> String {
        let compression = match self.compression {
            1 => "no compression".to_owned(),
            5 => "LZW compression".to_owned(),
            8 | 32946 => "deflate compression".to_owned(),
            7 => "JPEG compression".to_owned(),
            32773 => "PackBits compression".to_owned(),
            50000 => "Zstandard compression".to_owned(),
            other => format!("compression {other}"),
        };
        if self.tiled { format!("tiles with {compression}") } else { compression }
    }
}

struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    /// The value itself or its offset, as stored.
    value: [u8; 8],
}

impl Header {
    pub(super) fn read(reader: &mut impl Read, length: u64, place: &dyn Fn() -> Place) -> Result<Self, SourceError> {
        let not_tiff = || SourceError::malformed(place(), "no TIFF header", "II or MM and a version");
        let mut start = [0; 16];
        let wanted = length.min(16) as usize;
        reader.read_exact(&mut start[..wanted]).map_err(SourceError::io(place()))?;
        let endian = match &start[..2] {
            b"II" => Endian::Little,
            b"MM" => Endian::Big,
            _ => return Err(not_tiff()),
        };
        let mut header = Self { endian, big: false, first: 0 };
        match header.unsigned(&start[2..4]) {
            42 if length >= 8 => header.first = header.unsigned(&start[4..8]),
            43 if length >= 16 => {
                header.big = true;
                header.first = header.unsigned(&start[8..16]);
            }
            42 | 43 => {
                return Err(SourceError::malformed(place(), format!("{length} bytes"), "a TIFF header"));
            }
            _ => return Err(not_tiff()),
        }
        Ok(header)
    }

    /// An unsigned integer of as many bytes as the slice has, at most 8.
    fn unsigned(&self, bytes: &[u8]) -> u64 {
        let push = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        match self.endian {
            Endian::Little => bytes.iter().rev().fold(0, push),
            Endian::Big => bytes.iter().fold(0, push),
        }
    }

    fn entry_size(&self) -> usize {
        if self.big { 20 } else { 12 }
    }

    /// The entries of the directory at `offset` and the offset of the next one (0 at the end); `None` where the
    /// directory does not lie inside the file.
    fn directory(
        &self,
        reader: &mut BufReader<impl Read + Seek>,
        offset: u64,
        position: &mut u64,
        length: u64,
        buffer: &mut Vec<u8>,
    ) -> std::io::Result<Option<u64>> {
        let (count_size, next_size) = if self.big { (8, 8) } else { (2, 4) };
        if offset.checked_add(count_size).is_none_or(|end| end > length) {
            return Ok(None);
        }
        // Directories often stand close together: stay in the buffer where possible.
        match i64::try_from(i128::from(offset) - i128::from(*position)) {
            Ok(distance) => reader.seek_relative(distance)?,
            Err(_) => reader.seek(SeekFrom::Start(offset)).map(|_| ())?,
        }
        let mut count = [0; 8];
        let count = &mut count[..count_size as usize];
        reader.read_exact(count)?;
        let count = self.unsigned(count);
        let rest = count.min(MAX_ENTRIES + 1) * self.entry_size() as u64 + next_size;
        *position = offset + count_size;
        if count > MAX_ENTRIES || offset + count_size + rest > length {
            return Ok(None);
        }
        buffer.resize(rest as usize, 0);
        reader.read_exact(buffer)?;
        *position += rest;
        let next = self.unsigned(&buffer[rest as usize - next_size as usize..]);
        buffer.truncate((rest - next_size) as usize);
        Ok(Some(next))
    }

    fn entries(&self, buffer: &[u8]) -> impl Iterator<Item = Entry> {
        buffer.chunks_exact(self.entry_size()).map(|bytes| {
            let mut value = [0; 8];
            let (count, stored) =
                if self.big { (&bytes[4..12], &bytes[12..20]) } else { (&bytes[4..8], &bytes[8..12]) };
            value[..stored.len()].copy_from_slice(stored);
            Entry {
                tag: self.unsigned(&bytes[..2]) as u16,
                kind: self.unsigned(&bytes[2..4]) as u16,
                count: self.unsigned(count),
                value,
            }
        })
    }

    /// What the directory at `offset` says.
    pub(super) fn page(
        &self,
        reader: impl Read + Seek,
        offset: u64,
        length: u64,
        place: impl Fn() -> Place,
    ) -> Result<Page, SourceError> {
        let mut reader = BufReader::new(reader);
        let mut buffer = Vec::new();
        let io = |e| SourceError::Io { place: place(), source: e };
        let mut position = reader.stream_position().map_err(io)?;
        if self.directory(&mut reader, offset, &mut position, length, &mut buffer).map_err(io)?.is_none() {
            return Err(Broken { offset, length, looped: false }.error(place()));
        }
        let mut page = Page {
            shape: [0, 0],
            bits: 1,
            format: 1,
            samples: 1,
            photometric: 1,
            compression: 1,
            planar: false,
            tiled: false,
            reversed_bits: false,
            offsets: Vec::new(),
            counts: Vec::new(),
            description: None,
            resolution: [None, None],
        };
        for entry in self.entries(&buffer) {
            let mut number = || -> Result<Option<u64>, SourceError> {
                Ok(self.numbers(&mut reader, &entry, length, &place)?.first().copied())
            };
            match entry.tag {
                256 => page.shape[1] = number()?.unwrap_or(0) as usize,
                257 => page.shape[0] = number()?.unwrap_or(0) as usize,
                258 => {
                    let bits = self.numbers(&mut reader, &entry, length, &place)?;
                    if bits.iter().any(|b| *b != bits[0]) {
                        let got = format!("samples of {bits:?} bits");
                        return Err(SourceError::unsupported(place(), got, "samples of one size"));
                    }
                    page.bits = bits.first().copied().unwrap_or(1);
                }
                259 => page.compression = number()?.unwrap_or(1),
                262 => page.photometric = number()?.unwrap_or(1),
                266 => page.reversed_bits = number()? == Some(2),
                270 if page.description.is_none() => {
                    page.description = self.value(&mut reader, &entry, length, &place)?.map(|v| text(&v));
                }
                273 | 324 => {
                    page.tiled = entry.tag == 324;
                    page.offsets = self.numbers(&mut reader, &entry, length, &place)?;
                }
                277 => page.samples = number()?.unwrap_or(1),
                279 | 325 => page.counts = self.numbers(&mut reader, &entry, length, &place)?,
                282 | 283 => {
                    let value = self.value(&mut reader, &entry, length, &place)?;
                    page.resolution[usize::from(entry.tag == 282)] = value.and_then(|v| self.rational(&entry, &v));
                }
                284 => page.planar = number()? == Some(2),
                339 => page.format = number()?.unwrap_or(1),
                _ => {}
            }
        }
        // One sample in planes of its own is the same as interleaved.
        page.planar &= page.samples > 1;
        if page.counts.is_empty() && page.offsets.len() == 1 {
            page.counts.push(0);
        }
        if page.shape.contains(&0) {
            let got = format!("an image of {}x{} (y, x)", page.shape[0], page.shape[1]);
            return Err(SourceError::malformed(place(), got, "at least one pixel"));
        }
        if page.offsets.is_empty() || page.offsets.len() != page.counts.len() {
            let got = format!("{} strip offsets and {} sizes", page.offsets.len(), page.counts.len());
            return Err(SourceError::malformed(place(), got, "as many of one as of the other"));
        }
        Ok(page)
    }

    /// The bytes of an entry's value, as stored; `None` for a type that no tag here has.
    fn value(
        &self,
        reader: &mut (impl Read + Seek),
        entry: &Entry,
        length: u64,
        place: &impl Fn() -> Place,
    ) -> Result<Option<Vec<u8>>, SourceError> {
        let Some(size) = type_size(entry.kind) else {
            return Ok(None);
        };
        let bytes = entry.count.saturating_mul(size);
        let inline = if self.big { 8 } else { 4 };
        if bytes <= inline {
            return Ok(Some(entry.value[..bytes as usize].to_vec()));
        }
        let offset = self.unsigned(&entry.value[..inline as usize]);
        if offset.checked_add(bytes).is_none_or(|end| end > length) {
            let got = format!("the file's end at byte {length}");
            let expected = format!("{bytes} bytes of tag {} at byte {offset}", entry.tag);
            return Err(SourceError::malformed(place(), got, expected));
        }
        if bytes > MAX_VALUE_BYTES {
            let got = format!("tag {} of {bytes} bytes", entry.tag);
            return Err(SourceError::over_limit(place(), got, format!("at most {MAX_VALUE_BYTES} bytes")));
        }
        let mut value = vec![0; bytes as usize];
        let read = reader.seek(SeekFrom::Start(offset)).and_then(|_| reader.read_exact(&mut value));
        read.map_err(SourceError::io(place()))?;
        Ok(Some(value))
    }

    fn numbers(
        &self,
        reader: &mut (impl Read + Seek),
        entry: &Entry,
        length: u64,
        place: &impl Fn() -> Place,
    ) -> Result<Vec<u64>, SourceError> {
        let size = match entry.kind {
            // Byte, short, long, directory, long8 and directory8.
            1 | 3 | 4 | 13 | 16 | 18 => type_size(entry.kind).unwrap_or(1) as usize,
            kind => {
                let got = format!("tag {} of type {kind}", entry.tag);
                return Err(SourceError::malformed(place(), got, "unsigned integers"));
            }
        };
        let value = self.value(reader, entry, length, place)?.unwrap_or_default();
        Ok(value.chunks_exact(size).map(|c| self.unsigned(c)).collect())
    }

    fn rational(&self, entry: &Entry, value: &[u8]) -> Option<f64> {
        if entry.kind != 5 || value.len() < 8 {
            return None;
        }
        let ratio = self.unsigned(&value[..4]) as f64 / self.unsigned(&value[4..8]) as f64;
        (ratio.is_finite() && ratio > 0.0).then_some(ratio)
    }
}

impl Chain {
    /// Follow the chain to its end or to where it leaves the file.
    pub(super) fn walk(
        reader: impl Read + Seek,
        header: &Header,
        length: u64,
        place: &dyn Fn() -> Place,
    ) -> Result<Self, SourceError> {
        let mut chain = Self { pages: Vec::new(), broken: None, last: None };
        chain.walk_on(reader, header, length, place)?;
        Ok(chain)
    }

    /// Go on behind the last directory that was read: the file may have grown.
    pub(super) fn walk_on(
        &mut self,
        reader: impl Read + Seek,
        header: &Header,
        length: u64,
        place: &dyn Fn() -> Place,
    ) -> Result<(), SourceError> {
        let mut buffer = Vec::new();
        let io = |e| SourceError::Io { place: place(), source: e };
        let mut reader = BufReader::new(reader);
        let mut position = reader.stream_position().map_err(io)?;
        let (mut number, mut offset) = match self.last {
            None => (0, Some(header.first)),
            Some((number, last)) => {
                let next = header.directory(&mut reader, last, &mut position, length, &mut buffer).map_err(io)?;
                (number + 1, next)
            }
        };
        self.broken = None;
        // Brent's test: remember one offset, at positions that double, and stop where it comes back.
        let (mut remembered, mut count, mut renew_at) = (0, 0, 1);
        while let Some(at) = offset.filter(|o| *o != 0) {
            let looped = count > 0 && at == remembered;
            if count == renew_at {
                (remembered, renew_at) = (at, renew_at * 2);
            }
            offset = if looped {
                None
            } else {
                header.directory(&mut reader, at, &mut position, length, &mut buffer).map_err(io)?
            };
            if offset.is_none() {
                self.broken = Some(Broken { offset: at, length, looped });
                break;
            }
            if !is_secondary(header, &buffer) {
                self.pages.push((number, at));
            }
            self.last = Some((number, at));
            (number, count) = (number + 1, count + 1);
        }
        Ok(())
    }
}

/// Whether the directory is a reduced copy of another image or a mask (NewSubfileType, bits 0 and 2).
fn is_secondary(header: &Header, buffer: &[u8]) -> bool {
    let subfile = header.entries(buffer).find(|entry| entry.tag == 254);
    subfile.is_some_and(|entry| header.unsigned(&entry.value[..4]) & 0b101 != 0)
}

/// Bytes of one value of a TIFF field type.
fn type_size(kind: u16) -> Option<u64> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 | 17 | 18 => Some(8),
        _ => None,
    }
}

/// Text of a description: UTF-8, or Latin-1 as older writers used for the micro sign, up to the first NUL.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    match str::from_utf8(&bytes[..end]) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes[..end].iter().map(|b| char::from(*b)).collect(),
    }
}
