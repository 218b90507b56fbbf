//! TIFF: float32, one page for each map, little-endian, one uncompressed strip a page.
//!
//! Every page is appended whole and only then linked from the page before it, so that the part of a killed run
//! is a sound file up to its last complete map. The OME-XML in the first page has room to spare and is written
//! again with the number of maps at the end.

use std::io;
use std::path::Path;

use super::ome::{RECORDING, ome_xml};
use super::part::{Block, Part, Site, Start, Writer, read_f32};
use super::{MapInfo, SinkError};
use crate::units::{Step, convert};

/// A classic TIFF file addresses less than 4 GiB; some room is left for what other programs append.
const LARGEST_CLASSIC: u64 = 4_000_000_000;
/// More bytes than the tags of one page take.
const TAGS: u64 = 512;

const SHORT: u16 = 3;
const LONG: u16 = 4;
const RATIONAL: u16 = 5;
const ASCII: u16 = 2;
const LONG8: u16 = 16;

/// Writes `NAME.tif`.
pub(super) struct TiffWriter {
    part: Part,
    info: MapInfo,
    big: bool,
    resolution: Resolution,
    /// Bytes of the description, the closing zero included.
    reserved: usize,
    /// Where the description of the first page lies.
    description_at: u64,
    /// Where the offset of the next page goes.
    link_at: u64,
    pages: u64,
    bytes: Vec<u8>,
}

impl TiffWriter {
    pub(super) fn maps(dir: &Path, info: &MapInfo, start: Start) -> Result<Self, SinkError> {
        let page = 4 * (info.shape[0] as u64) * (info.shape[1] as u64) + TAGS;
        let total = info.maps.map(|n| page.saturating_mul(n));
        let mut part = Part::open(dir, &info.name, "tif", start)?;
        let failed = |part: &Part, source| SinkError::io("write", part.path(), source, 0, "maps");
        let big = match start {
            Start::Anew => total.is_none_or(|t| t > LARGEST_CLASSIC),
            // The recording may have grown since.
            Start::Replay { .. } => {
                let mut magic = Vec::new();
                match part.peek(4, &mut magic) {
                    Ok(()) => magic[2] != 0x2a,
                    Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => true,
                    Err(e) => return Err(failed(&part, e)),
                }
            }
        };
        let header: &[u8] = if big { b"II\x2b\0\x08\0\0\0\0\0\0\0\0\0\0\0" } else { b"II\x2a\0\0\0\0\0" };
        part.append(header).map_err(|e| failed(&part, e))?;
        // Two counts of up to 20 digits; the reserve also keeps the strip behind it on an even offset. What is known of
        // the recording may be more when a run is gone on with, and must not move the pages then.
        let plain = MapInfo { recording: None, acquired: None, ..info.clone() };
        let reserved = (ome_xml(&plain, u64::MAX).len() + RECORDING + 1).next_multiple_of(16);
        Ok(Self {
            part,
            info: info.clone(),
            big,
            resolution: Resolution::new(info.spacing.x.as_ref(), info.spacing.y.as_ref()),
            reserved,
            description_at: 0,
            link_at: if big { 8 } else { 4 },
            pages: 0,
            bytes: Vec::new(),
        })
    }

    /// The description, filled with spaces to its reserved length.
    fn description(&self, maps: u64) -> Vec<u8> {
        let mut text = ome_xml(&self.info, maps).into_bytes();
        text.resize(self.reserved - 1, b' ');
        text.push(0);
        text
    }

    /// The page that starts at byte `start` up to its strip of `count` values: tags, what they point to.
    fn page(&self, start: u64, count: usize, bytes: &mut Vec<u8>) -> Page {
        let [rows, columns] = self.info.shape.map(|n| n as u64);
        let mut tags = Tags { big: self.big, entries: Vec::new(), heap: Vec::new() };
        tags.integer(256, LONG, columns);
        tags.integer(257, LONG, rows);
        tags.integer(258, SHORT, 32);
        tags.integer(259, SHORT, 1);
        tags.integer(262, SHORT, 1);
        if self.pages == 0 {
            tags.bytes(270, ASCII, self.reserved as u64, &self.description(1));
        }
        let offset_type = if self.big { LONG8 } else { LONG };
        tags.integer(273, offset_type, 0);
        tags.integer(277, SHORT, 1);
        tags.integer(278, LONG, rows);
        tags.integer(279, offset_type, 4 * count as u64);
        tags.bytes(282, RATIONAL, 1, &rational(self.resolution.x));
        tags.bytes(283, RATIONAL, 1, &rational(self.resolution.y));
        tags.integer(296, SHORT, self.resolution.unit);
        tags.bytes(305, ASCII, 10, b"mollifier\0");
        tags.integer(339, SHORT, 3);
        tags.layout(start, bytes)
    }
}

impl Writer for TiffWriter {
    fn write(&mut self, block: &Block<'_>) -> io::Result<()> {
        let start = self.part.len();
        let mut bytes = std::mem::take(&mut self.bytes);
        let page = self.page(start, block.values.len(), &mut bytes);
        let strip = (4 * block.values.len()).next_multiple_of(8) as u64;
        if !self.big && start + bytes.len() as u64 + strip > u64::from(u32::MAX) {
            let message = "more maps came than were announced, and they need more than 4 GiB";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        self.part.append(&bytes)?;
        self.part.append_values(block.values)?;
        if !block.values.len().is_multiple_of(2) {
            self.part.append(&[0; 4])?;
        }
        let link = start.to_le_bytes();
        self.part.patch(self.link_at, if self.big { &link } else { &link[..4] })?;
        if self.pages == 0 {
            self.description_at = page.first_heap;
        }
        self.link_at = page.link_at;
        self.pages += 1;
        self.bytes = bytes;
        Ok(())
    }

    fn recall(&mut self, count: usize, values: &mut Vec<f32>) -> io::Result<bool> {
        // A page's values are the last in it.
        let mut bytes = std::mem::take(&mut self.bytes);
        self.page(self.part.len(), count, &mut bytes);
        let strip = bytes.len();
        self.part.peek(strip + (4 * count).next_multiple_of(8), &mut bytes)?;
        read_f32(&bytes[strip..strip + 4 * count], values);
        self.bytes = bytes;
        Ok(true)
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.pages > 0 {
            let description = self.description(self.pages);
            self.part.patch(self.description_at, &description)?;
        }
        self.part.sync()
    }

    fn site(&mut self) -> &mut dyn Site {
        &mut self.part
    }
}

/// Where the parts of a page that are needed later lie.
struct Page {
    link_at: u64,
    first_heap: u64,
}

/// The tags of one page under construction, in ascending order.
struct Tags {
    big: bool,
    entries: Vec<(u16, u16, u64, Value)>,
    heap: Vec<u8>,
}

enum Value {
    Inline(u64),
    /// Position in the heap behind the tags.
    Heap(usize),
}

impl Tags {
    fn integer(&mut self, tag: u16, kind: u16, value: u64) {
        self.entries.push((tag, kind, 1, Value::Inline(value)));
    }

    fn bytes(&mut self, tag: u16, kind: u16, count: u64, bytes: &[u8]) {
        let room = if self.big { 8 } else { 4 };
        if bytes.len() <= room {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            self.entries.push((tag, kind, count, Value::Inline(u64::from_le_bytes(word))));
        } else {
            self.entries.push((tag, kind, count, Value::Heap(self.heap.len())));
            self.heap.extend(bytes);
            self.heap.resize(self.heap.len().next_multiple_of(8), 0);
        }
    }

    /// Write tags and heap as they lie in a file from byte `start` on, with the strip behind them.
    fn layout(&self, start: u64, bytes: &mut Vec<u8>) -> Page {
        let n = self.entries.len() as u64;
        let (head, entry, word) = if self.big { (8, 20, 8) } else { (2, 12, 4) };
        let link_at = start + head + n * entry;
        let heap_at = (link_at + word).next_multiple_of(8);
        let strip_at = heap_at + self.heap.len() as u64;
        bytes.clear();
        bytes.extend(&n.to_le_bytes()[..head as usize]);
        for (tag, kind, count, value) in &self.entries {
            let value = match value {
                Value::Inline(_) if *tag == 273 => strip_at,
                Value::Inline(v) => *v,
                Value::Heap(at) => heap_at + *at as u64,
            };
            bytes.extend(tag.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(&count.to_le_bytes()[..word as usize]);
            bytes.extend(&value.to_le_bytes()[..word as usize]);
        }
        bytes.resize((heap_at - start) as usize, 0);
        bytes.extend(&self.heap);
        Page { link_at, first_heap: heap_at }
    }
}

/// Pixels per centimetre, or no more than the aspect of a pixel.
struct Resolution {
    x: f64,
    y: f64,
    unit: u64,
}

impl Resolution {
    fn new(x: Option<&Step>, y: Option<&Step>) -> Self {
        let per_cm = |step: Option<&Step>| {
            let step = step?;
            Some(1.0 / convert(step.value, step.unit.as_deref()?, "cm").ok()?)
        };
        let fits = |r: f64| (1e-4..4e9).contains(&r);
        match (per_cm(x), per_cm(y)) {
            (Some(x), Some(y)) if fits(x) && fits(y) => Self { x, y, unit: 3 },
            _ => {
                let bare = |step: Option<&Step>| 1.0 / step.map_or(1.0, |s| s.value);
                let (x, y) = (bare(x), bare(y));
                if fits(x) && fits(y) { Self { x, y, unit: 1 } } else { Self { x: 1.0, y: 1.0, unit: 1 } }
            }
        }
    }
}

/// A positive number as numerator and denominator, with as many digits as 32 bits hold.
fn rational(value: f64) -> [u8; 8] {
    let mut denominator = 1.0;
    while value * denominator * 10.0 < 4e9 && denominator < 1e9 && (value * denominator).fract() != 0.0 {
        denominator *= 10.0;
    }
    let pair = (value * denominator).round() as u32;
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&pair.to_le_bytes());
    bytes[4..].copy_from_slice(&(denominator as u32).to_le_bytes());
    bytes
}
