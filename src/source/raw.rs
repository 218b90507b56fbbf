//! Standard input: NPY, raw frames of a given format, or lines of a CSV table.

use core::fmt;
use core::str::FromStr;
use std::io::{self, BufReader, Read};

use super::element::{Element, Endian, fill};
use super::{FrameInfo, FrameSource, Input, OpenOptions, Part, Place, SourceError, csv, localisations, npy};
use crate::model::Kind;
use crate::source::Frame;
use crate::units::Spacing;

/// How messages and `run.json` call standard input.
pub(super) const STDIN: &str = "standard input";

/// The layout of raw frames: an element type, rows and columns, as in `u16:512x640` (y x x), little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawFormat {
    element: Element,
    /// Rows and columns of a frame.
    pub shape: [usize; 2],
}

/// A text that is no [`RawFormat`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("raw format: got `{0}`, expected TYPE:ROWSxCOLUMNS with u8, u16, f32 or f64, such as u16:512x640")]
pub struct RawFormatError(String);

impl RawFormat {
    /// Bytes of one frame.
    fn frame_bytes(&self) -> usize {
        self.shape[0].saturating_mul(self.shape[1]).saturating_mul(self.element.size())
    }
}

impl fmt::Display for RawFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}x{}", self.element.name(), self.shape[0], self.shape[1])
    }
}

impl FromStr for RawFormat {
    type Err = RawFormatError;

    fn from_str(text: &str) -> Result<Self, RawFormatError> {
        let parse = || {
            let (element, shape) = text.trim().split_once(':')?;
            let element = match element {
                "u8" => Element::U8,
                "u16" => Element::U16,
                "f32" => Element::F32,
                "f64" => Element::F64,
                _ => return None,
            };
            let (rows, columns) = shape.split_once(['x', 'X'])?;
            let shape = [rows.parse().ok()?, columns.parse().ok()?];
            (!shape.contains(&0)).then_some(Self { element, shape })
        };
        parse().ok_or_else(|| RawFormatError(text.to_owned()))
    }
}

/// Read a recording from a stream of bytes, such as standard input or a pipe; `name` stands in messages.
///
/// With `options.raw` the bytes are frames, little endian, without any header. Otherwise NPY is known by its
/// first bytes, and anything else is text: samples for a model of series, a table for one of localisations.
///
/// # Errors
/// Neither of those, or the errors of the format.
pub fn from_reader(reader: Box<dyn Read + Send>, name: &str, options: &OpenOptions) -> Result<Input, SourceError> {
    let place = || Place::whole(name);
    let mut reader = BufReader::new(reader);
    if let Some(format) = options.raw {
        if options.kind == Kind::Series {
            let got = format!("raw frames ({format})");
            return Err(SourceError::misused(place(), got, "samples for a model of series"));
        }
        options.check_size(format.shape, place)?;
        return Ok(Input::Frames(Box::new(RawFrames::new(reader, format, name))));
    }
    let mut start = [0; 8];
    let mut got = fill(&mut reader, &mut start[..1]).map_err(SourceError::io(place()))?;
    // A live sender of text may not have sent eight bytes yet: wait for them only where they would decide.
    if matches!(start[0], 0x93 | b'I' | b'M' | 0x89 | b'P') {
        got += fill(&mut reader, &mut start[1..]).map_err(SourceError::io(place()))?;
    }
    let start = start[..got].to_vec();
    let rest = std::io::Cursor::new(start.clone()).chain(reader);
    match start.as_slice() {
        [] => Err(SourceError::malformed(place(), "nothing", "a recording")),
        start if start.starts_with(npy::MAGIC) => npy::from_reader(Box::new(rest), None, &place(), options),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] | [0x89, b'P', ..] | [b'P', b'K', 3, 4, ..] => Err(
            SourceError::unsupported(place(), "a TIFF, PNG or ZIP file", "NPY, raw frames or CSV; give a file's path"),
        ),
        _ => match options.kind {
            Kind::Series => Ok(Input::Series(Box::new(csv::CsvSource::piped(rest, name, options)?))),
            Kind::Localisations => {
                Ok(Input::Frames(Box::new(localisations::LocalisationSource::new_stream(rest, name, options)?)))
            }
            Kind::Fields => {
                let expected = "NPY, or raw frames with their format, such as --raw u16:512x640";
                Err(SourceError::misused(place(), "bytes without an NPY header", expected))
            }
        },
    }
}

/// Frames without a header.
struct RawFrames<R> {
    info: FrameInfo,
    reader: R,
    format: RawFormat,
    next: u64,
    scratch: Vec<u8>,
}

impl<R: Read + Send> RawFrames<R> {
    fn new(reader: R, format: RawFormat, name: &str) -> Self {
        let info = FrameInfo {
            name: name.to_owned(),
            shape: format.shape,
            count: None,
            spacing: Spacing::default(),
            rendered: false,
            warnings: Vec::new(),
        };
        Self { info, reader, format, next: 0, scratch: Vec::new() }
    }
}

impl<R: Read + Send> FrameSource for RawFrames<R> {
    fn info(&self) -> &FrameInfo {
        &self.info
    }

    fn read(&mut self, frame: &mut Frame) -> Result<super::Read, SourceError> {
        let part = Part::Frame { index: self.next, of: None };
        let place = || Place::part(&self.info.name, part.clone());
        let bytes = self.format.frame_bytes();
        let Self { reader, format, scratch, .. } = self;
        let got = format.element.read(reader, bytes, Endian::Little, scratch, &mut frame.pixels, place)?;
        if got == 0 {
            return Ok(super::Read::End);
        }
        if got < bytes {
            let expected = format!("{bytes} bytes ({})", self.format);
            return Err(SourceError::malformed(place(), format!("{got} bytes before the end"), expected));
        }
        frame.index = self.next;
        frame.time = None;
        frame.shape = self.format.shape;
        self.next += 1;
        Ok(super::Read::Filled)
    }

    fn skip_to(&mut self, index: u64) -> Result<(), SourceError> {
        let place = Place::whole(&self.info.name);
        let frames = index.saturating_sub(self.next);
        let bytes = frames.saturating_mul(self.format.frame_bytes() as u64);
        // An end that comes early is told by the read that meets it.
        io::copy(&mut self.reader.by_ref().take(bytes), &mut io::sink()).map_err(SourceError::io(place))?;
        self.next += frames;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_name_type_rows_and_columns() -> Result<(), RawFormatError> {
        let format: RawFormat = "u16:512x640".parse()?;
        assert_eq!((format.shape, format.frame_bytes()), ([512, 640], 655_360));
        assert_eq!(format.to_string(), "u16:512x640");
        for text in ["u16", "u12:1x1", "u8:0x5", "f32:5", "f32:-1x5", ""] {
            let error = text.parse::<RawFormat>().expect_err(text);
            assert!(error.to_string().starts_with(&format!("raw format: got `{text}`")));
        }
        Ok(())
    }
}
