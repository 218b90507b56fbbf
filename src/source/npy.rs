//! NumPy files: NPY, read frame by frame, and the arrays of an NPZ archive.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use super::element::{Element, Endian};
use super::{FrameInfo, FrameSource, Input, OpenOptions, Part, Place, SampleSource, SeriesInfo, SourceError};
use crate::model::Kind;
use crate::source::{Frame, Pixels, Samples};
use crate::units::Spacing;

/// First bytes of every NPY file.
pub(super) const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longest header that is read; NumPy's own limit for untrusted files is 10,000.
const MAX_HEADER: usize = 1 << 16;
/// Arrays that have to be held as a whole (Fortran order, several channels) may have this many bytes.
const MAX_WHOLE: u64 = 1 << 31;
/// Samples of one block.
const BLOCK: usize = 4096;

type Reading = Box<dyn Read + Send>;

/// What the header of an NPY file says.
#[derive(Clone, Debug, PartialEq)]
struct Header {
    element: Element,
    endian: Endian,
    fortran: bool,
    shape: Vec<u64>,
}

impl Header {
    fn count(&self) -> u64 {
        self.shape.iter().fold(1, |product: u64, n| product.saturating_mul(*n))
    }

    fn bytes(&self) -> u64 {
        self.count().saturating_mul(self.element.size() as u64)
    }

    fn describe(&self) -> String {
        let shape: Vec<String> = self.shape.iter().map(u64::to_string).collect();
        format!("{} of shape ({})", self.element.name(), shape.join(", "))
    }
}

/// Open the NPY file at `path`.
pub(super) fn open_npy(path: &Path, options: &OpenOptions) -> Result<Input, SourceError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(SourceError::io(Place::whole(&name)))?;
    let length = file.metadata().map_err(SourceError::io(Place::whole(&name)))?.len();
    from_reader(Box::new(BufReader::new(file)), Some(length), &Place::whole(&name), options)
}

/// Open the only array of the NPZ archive at `path`, or the one that the options name.
pub(super) fn open_npz(path: &Path, options: &OpenOptions) -> Result<Input, SourceError> {
    let name = path.display().to_string();
    let place = Place::whole(&name);
    let mut file = File::open(path).map_err(SourceError::io(place.clone()))?;
    let failed = |e: zip::result::ZipError| match e {
        zip::result::ZipError::Io(source) => SourceError::Io { place: place.clone(), source },
        other => SourceError::malformed(place.clone(), format!("a damaged archive ({other})"), "an NPZ file"),
    };
    let mut archive = zip::ZipArchive::new(&mut file).map_err(failed)?;
    let arrays: Vec<String> =
        archive.file_names().filter_map(|n| n.ok()?.strip_suffix(".npy").map(str::to_owned)).collect();
    let wanted = match (&options.column, arrays.as_slice()) {
        (_, []) => {
            return Err(SourceError::malformed(place, "an archive without arrays", "an NPZ file"));
        }
        (Some(column), _) if arrays.contains(column) => column.clone(),
        (Some(column), _) => {
            let got = format!("no array `{column}`");
            return Err(SourceError::misused(place, got, format!("one of {}", arrays.join(", "))));
        }
        (None, [only]) => only.clone(),
        (None, _) => {
            let got = format!("{} arrays ({})", arrays.len(), arrays.join(", "));
            return Err(SourceError::misused(place, got, "--column NAME with one of them"));
        }
    };
    let array = Place::part(&name, Part::Array(wanted.clone()));
    let index = archive.index_for_name(&format!("{wanted}.npy"));
    let missing = || SourceError::malformed(array.clone(), "no entry", "an array");
    let entry = archive.by_index_raw(index.ok_or_else(missing)?).map_err(failed)?;
    let (method, stored, crc) = (entry.compression(), entry.compressed_size(), entry.crc32());
    let size = entry.size();
    let start = entry.data_start().ok_or_else(missing)?;
    if entry.encrypted() {
        return Err(SourceError::unsupported(array, "an encrypted array", "a plain one"));
    }
    drop(entry);
    drop(archive);
    file.seek(SeekFrom::Start(start)).map_err(SourceError::io(array.clone()))?;
    let data = BufReader::new(file.take(stored));
    let reader: Reading = match method {
        zip::CompressionMethod::Stored => Box::new(Checked::new(data, crc)),
        zip::CompressionMethod::Deflated => Box::new(Checked::new(flate2::bufread::DeflateDecoder::new(data), crc)),
        other => {
            let got = format!("an array with {other} compression");
            return Err(SourceError::unsupported(array, got, "none or deflate"));
        }
    };
    from_reader(reader, Some(size), &array, options)
}

/// Bytes of an archive's entry, whose checksum is compared once they end.
struct Checked<R> {
    inner: flate2::CrcReader<R>,
    expected: u32,
}

impl<R: Read> Checked<R> {
    fn new(inner: R, expected: u32) -> Self {
        Self { inner: flate2::CrcReader::new(inner), expected }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if read == 0 && !buffer.is_empty() && self.inner.crc().sum() != self.expected {
            let wrong = "the archive's checksum does not fit: the file is damaged";
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, wrong));
        }
        Ok(read)
    }
}

/// An NPY stream as what a model of the options' kind takes; the magic has not been read yet.
///
/// `length` is that of the whole stream, where it has one. Fields: (y, x) is one frame, (t, y, x) are frames.
/// Series: (sample) or (channel, sample).
pub(super) fn from_reader(
    mut reader: Reading,
    length: Option<u64>,
    place: &Place,
    options: &OpenOptions,
) -> Result<Input, SourceError> {
    let (header, header_bytes) = read_header(&mut reader, place)?;
    let end = header.bytes().saturating_add(header_bytes);
    if let Some(length) = length.filter(|length| *length > end) {
        let got = format!("{} bytes behind the array", length - end);
        return Err(SourceError::unsupported(place.clone(), got, "one array a file"));
    }
    let ends = length.is_some();
    let name = match &place.part {
        Part::Array(array) => format!("{}, array {array}", place.input),
        _ => place.input.clone(),
    };
    let not_fitting = |expected: &str| SourceError::misused(place.clone(), header.describe(), expected);
    if header.count() == 0 {
        return Err(SourceError::malformed(place.clone(), header.describe(), "at least one value"));
    }
    match (options.kind, header.shape.len()) {
        (Kind::Series, 1 | 2) => Ok(Input::Series(Box::new(NpySamples::new(reader, ends, header, name)?))),
        (Kind::Series, _) => Err(not_fitting("samples for a model of series, (sample) or (channel, sample)")),
        (_, 2 | 3) => Ok(Input::Frames(Box::new(NpyFrames::new(reader, ends, header, name, options)?))),
        (_, _) => Err(not_fitting("images for a model of fields, (y, x) or (t, y, x)")),
    }
}

/// The header and how many bytes it takes.
fn read_header(reader: &mut Reading, place: &Place) -> Result<(Header, u64), SourceError> {
    let short = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            SourceError::malformed(place.clone(), "a header that ends early", "an NPY file")
        }
        _ => SourceError::Io { place: place.clone(), source: e },
    };
    let mut start = [0; 8];
    reader.read_exact(&mut start).map_err(short)?;
    if &start[..6] != MAGIC {
        return Err(SourceError::malformed(place.clone(), "no NPY header", "an NPY file"));
    }
    let length = match start[6] {
        1 => {
            let mut length = [0; 2];
            reader.read_exact(&mut length).map_err(short)?;
            usize::from(u16::from_le_bytes(length))
        }
        2 | 3 => {
            let mut length = [0; 4];
            reader.read_exact(&mut length).map_err(short)?;
            u32::from_le_bytes(length) as usize
        }
        version => {
            let got = format!("NPY version {version}");
            return Err(SourceError::unsupported(place.clone(), got, "version 1, 2 or 3"));
        }
    };
    if length > MAX_HEADER {
        let got = format!("an NPY header of {length} bytes");
        return Err(SourceError::over_limit(place.clone(), got, format!("at most {MAX_HEADER}")));
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text).map_err(short)?;
    let bytes = if start[6] == 1 { 10 } else { 12 } + length as u64;
    Ok((parse_header(&String::from_utf8_lossy(&text), place)?, bytes))
}

/// Read on to the end of a file, which is what makes an archive compare its checksum. A pipe may stay open behind
/// its last frame: that is not waited for.
fn finish(reader: &mut Reading, ends: bool, place: &Place) -> Result<super::Read, SourceError> {
    if ends {
        let rest = reader.read(&mut [0]).map_err(SourceError::io(place.clone()))?;
        if rest > 0 {
            let got = "more bytes behind the array";
            return Err(SourceError::malformed(place.clone(), got, "the end"));
        }
    }
    Ok(super::Read::End)
}

/// The Python dictionary of an NPY header.
fn parse_header(text: &str, place: &Place) -> Result<Header, SourceError> {
    let after = |key: &str| {
        let quoted = [format!("'{key}'"), format!("\"{key}\"")];
        let rest = quoted.iter().find_map(|q| text.split_once(q.as_str())).map(|(_, rest)| rest);
        let missing = || SourceError::malformed(place.clone(), format!("an NPY header without {key}"), "one with it");
        rest.and_then(|rest| rest.trim_start().strip_prefix(':')).map(str::trim_start).ok_or_else(missing)
    };
    let descr = after("descr")?;
    let quoted = |q: char| descr.strip_prefix(q).and_then(|rest| rest.split_once(q)).map(|(name, _)| name);
    let Some(descr) = quoted('\'').or_else(|| quoted('"')) else {
        return Err(SourceError::unsupported(place.clone(), "an array of records", "an array of numbers"));
    };
    let fortran = match after("fortran_order")? {
        rest if rest.starts_with("True") => true,
        rest if rest.starts_with("False") => false,
        _ => {
            return Err(SourceError::malformed(place.clone(), "no truth value for fortran_order", "True or False"));
        }
    };
    let shape = after("shape")?;
    let bad_shape = || SourceError::malformed(place.clone(), "an NPY header with no shape", "a tuple of numbers");
    let shape = shape.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or_else(bad_shape)?.0;
    let sizes = shape.split(',').map(str::trim).filter(|n| !n.is_empty());
    // Python 2 wrote long integers with an L.
    let shape = sizes.map(|n| n.trim_end_matches('L').parse().map_err(|_| bad_shape())).collect::<Result<_, _>>()?;
    let (order, kind) = descr.split_at(usize::from(descr.starts_with(['<', '>', '|', '='])));
    let endian = match order {
        ">" => Endian::Big,
        "<" => Endian::Little,
        _ => Endian::NATIVE,
    };
    let element = match kind {
        "b1" | "?" => Element::Bool,
        "u1" => Element::U8,
        "i1" => Element::I8,
        "u2" => Element::U16,
        "i2" => Element::I16,
        "u4" => Element::U32,
        "i4" => Element::I32,
        "u8" => Element::U64,
        "i8" => Element::I64,
        "f2" => Element::F16,
        "f4" => Element::F32,
        "f8" => Element::F64,
        _ => {
            let got = format!("an array of `{descr}`");
            return Err(SourceError::unsupported(place.clone(), got, "real numbers of 8 to 64 bits"));
        }
    };
    Ok(Header { element, endian, fortran, shape })
}

/// An array read as a whole and turned from Fortran into C order.
fn read_whole(reader: &mut Reading, header: &Header, place: &Place) -> Result<Vec<u8>, SourceError> {
    let bytes = header.bytes();
    if bytes > MAX_WHOLE {
        let got = format!("{} ({bytes} bytes), which has to be read as a whole", header.describe());
        let expected = format!("at most {MAX_WHOLE} bytes, or frames in C order (numpy.ascontiguousarray)");
        return Err(SourceError::over_limit(place.clone(), got, expected));
    }
    let mut stored = Vec::new();
    // Not allocated ahead of the data: the header may promise more than the file has.
    reader.take(bytes).read_to_end(&mut stored).map_err(SourceError::io(place.clone()))?;
    if stored.len() as u64 != bytes {
        let got = format!("{} bytes before the end", stored.len());
        return Err(SourceError::malformed(place.clone(), got, format!("{bytes} bytes ({})", header.describe())));
    }
    if !header.fortran || header.shape.len() < 2 {
        return Ok(stored);
    }
    let size = header.element.size();
    let shape: Vec<usize> = header.shape.iter().map(|n| *n as usize).collect();
    let mut ordered = Vec::with_capacity(stored.len());
    let mut index = vec![0; shape.len()];
    for _ in 0..stored.len() / size {
        let (mut at, mut stride) = (0, 1);
        for (i, n) in index.iter().zip(&shape) {
            at += i * stride;
            stride *= n;
        }
        ordered.extend_from_slice(&stored[at * size..(at + 1) * size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Ok(ordered)
}

/// Frames of an array (y, x) or (t, y, x), one read at a time.
struct NpyFrames {
    info: FrameInfo,
    reader: Reading,
    /// Whether the stream ends behind the array, as a file does.
    ends: bool,
    element: Element,
    endian: Endian,
    count: u64,
    next: u64,
    scratch: Vec<u8>,
    frame_bytes: usize,
}

impl NpyFrames {
    fn new(
        mut reader: Reading,
        ends: bool,
        header: Header,
        name: String,
        options: &OpenOptions,
    ) -> Result<Self, SourceError> {
        let place = || Place::whole(&name);
        let (count, rows, columns) = match header.shape.as_slice() {
            [t, y, x] => (*t, *y, *x),
            [y, x] => (1, *y, *x),
            _ => {
                return Err(SourceError::misused(place(), header.describe(), "(y, x) or (t, y, x)"));
            }
        };
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let shape = [size(rows), size(columns)];
        options.check_size(shape, place)?;
        if header.fortran {
            let whole = read_whole(&mut reader, &header, &place())?;
            finish(&mut reader, ends, &place())?;
            reader = Box::new(std::io::Cursor::new(whole));
        }
        let mut warnings = Vec::new();
        if header.shape.len() == 3 && matches!(columns, 3 | 4) && rows > 16 && count > 16 {
            warnings.push(format!(
                "the array's axes are taken as (t, y, x): {count} frames of {rows}x{columns} (y, x); \
                 colour images would have to be stored as luminance"
            ));
        }
        let frame_bytes = shape[0] * shape[1] * header.element.size();
        let info =
            FrameInfo { name, shape, count: Some(count), spacing: Spacing::default(), rendered: false, warnings };
        let Header { element, endian, .. } = header;
        Ok(Self { info, reader, ends, element, endian, count, next: 0, scratch: Vec::new(), frame_bytes })
    }
}

impl FrameSource for NpyFrames {
    fn info(&self) -> &FrameInfo {
        &self.info
    }

    fn read(&mut self, frame: &mut Frame) -> Result<super::Read, SourceError> {
        if self.next == self.count {
            return finish(&mut self.reader, self.ends, &Place::whole(&self.info.name));
        }
        let part = Part::Frame { index: self.next, of: Some(self.count) };
        let place = || Place::part(&self.info.name, part.clone());
        let Self { element, endian, reader, frame_bytes, scratch, .. } = self;
        let got = element.read(reader, *frame_bytes, *endian, scratch, &mut frame.pixels, place)?;
        if got < self.frame_bytes {
            let got = format!("{got} bytes before the end");
            return Err(SourceError::malformed(place(), got, format!("{} bytes", self.frame_bytes)));
        }
        frame.index = self.next;
        frame.time = None;
        frame.shape = self.info.shape;
        self.next += 1;
        Ok(super::Read::Filled)
    }

    fn skip_to(&mut self, index: u64) -> Result<(), SourceError> {
        let place = Place::whole(&self.info.name);
        let frames = index.min(self.count).saturating_sub(self.next);
        let bytes = frames.saturating_mul(self.frame_bytes as u64);
        // An end that comes early is told by the read that meets it.
        io::copy(&mut self.reader.by_ref().take(bytes), &mut io::sink()).map_err(SourceError::io(place))?;
        self.next += frames;
        Ok(())
    }
}

/// Samples of an array (sample), block by block, or of (channel, sample), which is read as a whole.
struct NpySamples {
    info: SeriesInfo,
    reader: Reading,
    /// Whether the stream ends behind the array, as a file does.
    ends: bool,
    element: Element,
    endian: Endian,
    count: u64,
    next: u64,
    scratch: Vec<u8>,
    pixels: Pixels,
}

impl NpySamples {
    fn new(mut reader: Reading, ends: bool, header: Header, name: String) -> Result<Self, SourceError> {
        let (channels, count) = match header.shape.as_slice() {
            [channels, samples] => (*channels, *samples),
            [samples] => (1, *samples),
            _ => (1, header.count()),
        };
        let place = Place::whole(&name);
        if channels > count && channels > 1 {
            let got = format!("{channels} channels of {count} samples");
            let expected = "axes (channel, sample): the array may have to be transposed";
            return Err(SourceError::misused(place, got, expected));
        }
        if channels > 1 {
            // The stream wants (sample, channel), which is this array in the other order.
            let whole = read_whole(&mut reader, &header, &place)?;
            finish(&mut reader, ends, &place)?;
            let swapped = Header { shape: vec![count, channels], fortran: true, ..header };
            let mut whole: Reading = Box::new(std::io::Cursor::new(whole));
            reader = Box::new(std::io::Cursor::new(read_whole(&mut whole, &swapped, &place)?));
        }
        let channels = (0..channels).map(|c| if channels == 1 { "value".to_owned() } else { c.to_string() });
        let info = SeriesInfo {
            name,
            channels: channels.collect(),
            count: Some(count),
            spacing: Spacing::default(),
            start: 0.0,
            acquired: None,
            warnings: Vec::new(),
            faults: Arc::default(),
        };
        let Header { element, endian, .. } = header;
        let pixels = Pixels::U8(Vec::new());
        Ok(Self { info, reader, ends, element, endian, count, next: 0, scratch: Vec::new(), pixels })
    }
}

impl SampleSource for NpySamples {
    fn info(&self) -> &SeriesInfo {
        &self.info
    }

    fn read(&mut self, block: &mut Samples) -> Result<super::Read, SourceError> {
        if self.next == self.count {
            return finish(&mut self.reader, self.ends, &Place::whole(&self.info.name));
        }
        let channels = self.info.channels.len();
        let samples = (self.count - self.next).min((BLOCK / channels).max(1) as u64);
        let place = || Place::whole(&self.info.name);
        // Of the order of BLOCK values, or one sample of all channels, which are in memory anyway.
        let bytes = samples as usize * channels * self.element.size();
        let Self { element, endian, reader, scratch, pixels, .. } = self;
        let got = element.read(reader, bytes, *endian, scratch, pixels, place)?;
        if got < bytes {
            let got = self.next + (got / self.element.size() / channels) as u64;
            let got = format!("the end after {got} samples");
            return Err(SourceError::malformed(place(), got, format!("{} samples", self.count)));
        }
        block.first = self.next;
        block.channels = channels;
        block.values.clear();
        block.values.extend((0..self.pixels.len()).map(|i| finite_or_missing(self.pixels.get(i))));
        self.next += samples;
        Ok(super::Read::Filled)
    }
}

/// Infinities are missing values too: there is no sensor reading behind them.
fn finite_or_missing(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Header, SourceError> {
        parse_header(text, &Place::whole("a.npy"))
    }

    #[test]
    fn headers_of_numpy_are_understood() -> Result<(), SourceError> {
        let header = parse("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4, 5), }   \n")?;
        let shape = vec![3, 4, 5];
        assert_eq!(header, Header { element: Element::F32, endian: Endian::Little, fortran: false, shape });
        let header = parse("{\"shape\":(7L,),\"descr\":\">u2\",\"fortran_order\":True}")?;
        assert_eq!(header, Header { element: Element::U16, endian: Endian::Big, fortran: true, shape: vec![7] });
        assert_eq!(parse("{'descr': '|b1', 'fortran_order': False, 'shape': ()}")?.count(), 1);
        Ok(())
    }

    #[test]
    fn other_headers_are_refused_with_a_reason() {
        let message = |text: &str| parse(text).expect_err(text).to_string();
        assert_eq!(message("{'fortran_order': False}"), "a.npy: got an NPY header without descr, expected one with it");
        assert!(
            message("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (3,)}").contains("array of records")
        );
        assert!(message("{'descr': '<c8', 'fortran_order': False, 'shape': (3,)}").contains("`<c8`"));
        assert!(message("{'descr': '<f4', 'fortran_order': Maybe, 'shape': (3,)}").contains("fortran_order"));
        assert!(message("{'descr': '<f4', 'fortran_order': False, 'shape': (3, -1)}").contains("no shape"));
        assert!(message("{'descr': '<f4', 'fortran_order': False, 'shape': 3}").contains("no shape"));
    }

    proptest! {
        #[test]
        fn no_header_panics(text in "[{}'a-z:(),<0-9 ]{0,60}") {
            let _ = parse(&text);
        }
    }
}
