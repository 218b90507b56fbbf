//! TIFF and BigTIFF stacks: one page a frame.
//!
//! Uncompressed pages, which cameras write, are read straight from their strips, so that a page costs one read
//! and no allocation; ImageJ's stacks above 4 GB (one directory, images one after the other) come the same way.
//! Compressed and tiled pages go through the `tiff` crate.

mod directory;
mod metadata;

use std::fs::File;
use std::io::{BufReader, Read as _, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tiff::ColorType;
use tiff::decoder::{Decoder, Limits};

use self::directory::{Chain, Header, Page};
use self::metadata::Metadata;
use super::element::{Element, Endian, describe, to_luminance};
use super::follow::{Follow, Settling};
use super::{FrameInfo, FrameSource, OpenOptions, Part, Place, Read, SourceError};
use crate::source::{Described, Frame, Pixels};

/// Bytes that are read at a time.
const PIECE: u64 = 1 << 20;
const COMPRESSION_NONE: u64 = 1;
const WHITE_IS_ZERO: u64 = 0;
const PALETTE: u64 = 3;

/// A TIFF stack as frames, axes (y, x), in the order of its pages.
///
/// 8-bit and 16-bit counts and single and double precision come as they are, signed and 32-bit integers as
/// floating point that holds them exactly; colour becomes luminance (ITU-R BT.601) with one warning. Reduced
/// copies and masks inside the file are skipped. Pixel size and frame interval come from ImageJ's description or
/// from OME-XML, and the times of the planes too where OME-XML states all of them.
#[derive(Debug)]
pub struct TiffSource {
    info: FrameInfo,
    path: PathBuf,
    file: File,
    length: u64,
    header: Header,
    chain: Chain,
    first: Page,
    element: Element,
    /// Frames that there should be, where the file says.
    stated: Option<u64>,
    /// Byte offset of the images and bytes of each, where they follow one another without directories.
    contiguous: Option<(u64, u64)>,
    /// Images that the description speaks of.
    announced: Option<u64>,
    /// Seconds or whatever the time step is in, from the first frame.
    times: Vec<f64>,
    described: Described,
    next: u64,
    scratch: Vec<u8>,
    decoder: Option<Box<Decoder<BufReader<File>>>>,
    follow: Option<Follow>,
}

impl TiffSource {
    /// Open the TIFF file at `path`.
    ///
    /// # Errors
    /// A file that is no TIFF or is damaged at its first page, several channels or two stacked dimensions,
    /// a page over the limit of `options`.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, SourceError> {
        match &options.follow {
            None => Self::open_now(path, options),
            Some(follow) => follow.retry(|| Self::open_now(path, options)),
        }
    }

    fn open_now(path: &Path, options: &OpenOptions) -> Result<Self, SourceError> {
        let name = path.display().to_string();
        let whole = || Place::whole(&name);
        let mut file = File::open(path).map_err(SourceError::io(whole()))?;
        let length = file.metadata().map_err(SourceError::io(whole()))?.len();
        let header = Header::read(&mut file, length, &whole)?;
        let chain = Chain::walk(&mut file, &header, length, &whole)?;
        let first_place = || Place::part(&name, Part::Page { page: 1, of: None });
        let Some(&(_, offset)) = chain.pages.first() else {
            return Err(chain.broken.map_or_else(
                || SourceError::malformed(whole(), "no image", "at least one page"),
                |broken| broken.error(first_place()),
            ));
        };
        let first = header.page(&mut file, offset, length, first_place)?;
        let element = element_of(&first, first_place)?;
        options.check_size(first.shape, first_place)?;

        let metadata = Metadata::read(&first, &name)?;
        let mut warnings = metadata.warnings;
        let contiguous = contiguous_images(&first, &chain, &metadata.images, element, length);
        let pages = chain.pages.len() as u64;
        let stated = match (contiguous, metadata.images) {
            (Some(_), Some(images)) => Some(images),
            _ if chain.broken.is_none() => Some(pages),
            (None, Some(images)) if images > pages => Some(images),
            _ => None,
        };
        if let (None, None, Some(images)) = (contiguous, &chain.broken, metadata.images)
            && images != pages
        {
            warnings.push(format!("the description speaks of {images} images, the file has {pages}"));
        }
        if first.samples > 1 {
            warnings.push(colour_warning(first.samples as usize));
        }
        match first.photometric {
            WHITE_IS_ZERO => {
                warnings.push("the file says that zero is white; values are taken as they are stored".to_owned())
            }
            PALETTE => warnings.push("the file has a colour table; values are taken as they are stored".to_owned()),
            _ => {}
        }
        // How many pages there will be nobody knows, unless the images were announced.
        let count = stated.filter(|_| options.follow.is_none() || contiguous.is_some());
        let info = FrameInfo { name, shape: first.shape, count, spacing: metadata.spacing, rendered: false, warnings };
        let (times, described) = (metadata.times, metadata.described);
        Ok(Self {
            info,
            path: path.to_owned(),
            file,
            length,
            header,
            chain,
            first,
            element,
            stated,
            contiguous,
            announced: metadata.images,
            times,
            described,
            next: 0,
            scratch: Vec::new(),
            decoder: None,
            follow: options.follow.clone(),
        })
    }

    /// Wait until the next page is there as a whole; false where the recording is over instead.
    ///
    /// Writers put a page's directory before or behind its pixels, and link it to the one before at any moment. A page
    /// is there when directory and pixels lie inside the file, and a later page does too or the file has not changed
    /// for a while.
    fn wait_for_page(&mut self, follow: &Follow) -> bool {
        if self.contiguous.is_some() && Some(self.next) == self.stated {
            return false;
        }
        let mut settling = Settling::new();
        let mut there = || -> Option<()> {
            let metadata = self.file.metadata().ok()?;
            self.length = metadata.len();
            let settled = settling.is_settled(&metadata);
            let place = self.place();
            if self.contiguous.is_none() && self.next == 1 {
                let (first, chain) = (&self.first, &self.chain);
                self.contiguous = contiguous_images(first, chain, &self.announced, self.element, self.length);
                self.stated = self.contiguous.and(self.announced).or(self.stated);
            }
            if let Some((start, bytes)) = self.contiguous {
                let end = (self.next + 1).saturating_mul(bytes).saturating_add(start);
                return (end < self.length || (end == self.length && settled)).then_some(());
            }
            if self.next as usize + 1 >= self.chain.pages.len() {
                let known = self.chain.pages.len();
                self.chain.walk_on(&mut self.file, &self.header, self.length, &|| place.clone()).ok()?;
                if self.chain.pages.len() > known {
                    // It has its own list of the directories.
                    self.decoder = None;
                }
            }
            let (_, offset) = *self.chain.pages.get(self.next as usize)?;
            let mut page_at = |offset| self.header.page(&mut self.file, offset, self.length, || place.clone()).ok();
            let page = page_at(offset)?;
            // In a file that was made long before, a later directory may be linked and still be zero.
            let later = self.chain.pages.get(self.next as usize + 1).is_some_and(|(_, at)| page_at(*at).is_some());
            let whole = page.end(self.element) <= self.length && !page.offsets.is_empty();
            (whole && (later || settled)).then_some(())
        };
        follow.wait(&mut there).is_some()
    }

    fn place(&self) -> Place {
        Place::part(&self.info.name, Part::Page { page: self.next + 1, of: self.stated })
    }

    /// The bytes of one page into `pixels`, through the reader that fits how it is stored.
    fn read_page(&mut self, pixels: &mut Pixels) -> Result<Read, SourceError> {
        if let Some((start, bytes)) = self.contiguous {
            if Some(self.next) == self.stated {
                return Ok(Read::End);
            }
            // Saturating: an offset beyond u64 is beyond the file too, which is what is checked next.
            let offset = self.next.saturating_mul(bytes).saturating_add(start);
            self.scratch.clear();
            self.read_stored(offset, bytes)?;
            let (samples, element) = (self.first.samples, self.element);
            self.decode(pixels, element, self.header.endian, samples as usize)?;
            return Ok(Read::Filled);
        }
        let Some(&(position, offset)) = self.chain.pages.get(self.next as usize) else {
            return match &self.chain.broken {
                Some(broken) => Err(broken.error(self.place())),
                None => Ok(Read::End),
            };
        };
        let page = if self.next == 0 {
            self.first.clone()
        } else {
            let place = self.place();
            self.header.page(&mut self.file, offset, self.length, || place.clone())?
        };
        let element = element_of(&page, || self.place())?;
        if page.shape != self.first.shape || element != self.element || page.samples != self.first.samples {
            let text = |page: &Page, element: Element| {
                let colour = if page.samples > 1 { format!(" of {} samples", page.samples) } else { String::new() };
                format!("{}{colour}", describe(element.name(), page.shape))
            };
            let (got, expected) = (text(&page, element), text(&self.first, self.element));
            return Err(SourceError::Changed { place: self.place(), got, expected });
        }
        if page.is_plain() {
            self.read_strips(&page, pixels)?;
            to_luminance(pixels, page.samples as usize);
        } else {
            self.decompress(&page, position)?;
            self.decode(pixels, element, Endian::NATIVE, page.samples as usize)?;
        }
        Ok(Read::Filled)
    }

    /// Append `count` stored bytes at `offset` to the scratch buffer.
    fn read_stored(&mut self, offset: u64, count: u64) -> Result<(), SourceError> {
        let end = offset.saturating_add(count);
        if end > self.length {
            let got = format!("the file's end at byte {}", self.length);
            return Err(SourceError::malformed(self.place(), got, format!("image data up to byte {end}")));
        }
        let place = self.place();
        let filled = self.scratch.len();
        // A page's bytes are bounded by the pixel limit, so they fit memory's index type.
        self.scratch.resize(filled + count as usize, 0);
        let read =
            self.file.seek(SeekFrom::Start(offset)).and_then(|_| self.file.read_exact(&mut self.scratch[filled..]));
        read.map_err(SourceError::io(place))
    }

    /// Read an uncompressed page in pieces: no second copy of a large one is made.
    fn read_strips(&mut self, page: &Page, pixels: &mut Pixels) -> Result<(), SourceError> {
        let expected = page.bytes(self.element);
        let size = self.element.size();
        if expected > self.length {
            let got = format!("a file of {} bytes", self.length);
            return Err(SourceError::malformed(self.place(), got, format!("{expected} bytes of image data")));
        }
        let mut read = 0;
        self.scratch.clear();
        pixels.clear();
        for (&offset, &count) in page.offsets.iter().zip(&page.counts) {
            // Writers pad the last strip, or leave the count of a single strip wrong: the page's size decides.
            let count = if page.offsets.len() == 1 { expected } else { count.min(expected - read) };
            for from in (0..count).step_by(PIECE as usize) {
                let piece = PIECE.min(count - from);
                self.read_stored(offset.saturating_add(from), piece)?;
                read += piece;
                // A value may lie across two strips.
                let whole = self.scratch.len() / size * size;
                let stored = &self.scratch[..whole];
                self.element.append(stored, self.header.endian, pixels, expected as usize / size, || self.place())?;
                self.scratch.drain(..whole);
            }
        }
        if read == expected {
            return Ok(());
        }
        Err(SourceError::malformed(self.place(), format!("{read} bytes of image data"), format!("{expected} bytes")))
    }

    /// One compressed or tiled page into the scratch buffer, in this machine's byte order.
    fn decompress(&mut self, page: &Page, position: usize) -> Result<(), SourceError> {
        let place = self.place();
        let storage = page.storage();
        if page.planar {
            return Err(SourceError::unsupported(place, "colour planes stored apart", "interleaved colour"));
        }
        if page.photometric == PALETTE {
            let expected = "grey values, or a colour table without compression";
            return Err(SourceError::unsupported(place, format!("a colour table with {storage}"), expected));
        }
        let failed = |e| decoder_error(place.clone(), &storage, e);
        let mut decoder = match self.decoder.take() {
            Some(decoder) => decoder,
            None => {
                let file = File::open(&self.path).map_err(SourceError::io(place.clone()))?;
                let mut limits = Limits::default();
                // The page's size was checked against the options; intermediate buffers are no larger.
                let bytes = page.bytes(self.element) as usize;
                limits.decoding_buffer_size = limits.decoding_buffer_size.max(bytes);
                limits.intermediate_buffer_size = limits.intermediate_buffer_size.max(bytes);
                limits.ifd_value_size = 1 << 28;
                Box::new(Decoder::new(BufReader::new(file)).map_err(failed)?.with_limits(limits))
            }
        };
        decoder.seek_to_image(position).map_err(failed)?;
        let colour = decoder.colortype().map_err(failed)?;
        let fits = match colour {
            ColorType::Gray(_) => page.samples == 1,
            ColorType::GrayA(_) => page.samples == 2,
            ColorType::RGB(_) => page.samples == 3,
            ColorType::RGBA(_) => page.samples == 4,
            _ => false,
        };
        if !fits {
            let got = format!("{colour:?} pixels of {} samples with {storage}", page.samples);
            return Err(SourceError::unsupported(place, got, "grey, RGB or RGBA"));
        }
        self.scratch.clear();
        self.scratch.resize(page.bytes(self.element) as usize, 0);
        decoder.read_image_bytes(&mut self.scratch).map_err(failed)?;
        if page.photometric == WHITE_IS_ZERO {
            // The decoder turned the scale over; the counts as the camera stored them are wanted.
            if matches!(self.element, Element::F32 | Element::F64) {
                let got = format!("floating point with zero as white and {storage}");
                return Err(SourceError::unsupported(place, got, "zero as black"));
            }
            self.scratch.iter_mut().for_each(|b| *b = !*b);
        }
        self.decoder = Some(decoder);
        Ok(())
    }

    fn decode(&self, pixels: &mut Pixels, element: Element, endian: Endian, samples: usize) -> Result<(), SourceError> {
        element.decode(&self.scratch, endian, pixels, || self.place())?;
        to_luminance(pixels, samples);
        Ok(())
    }
}

impl FrameSource for TiffSource {
    fn info(&self) -> &FrameInfo {
        &self.info
    }

    fn described(&self) -> Described {
        self.described.clone()
    }

    fn read(&mut self, frame: &mut Frame) -> Result<Read, SourceError> {
        if let Some(follow) = self.follow.clone()
            && !self.wait_for_page(&follow)
        {
            return Ok(Read::End);
        }
        if self.read_page(&mut frame.pixels)? == Read::End {
            return Ok(Read::End);
        }
        frame.index = self.next;
        frame.time = self.times.get(self.next as usize).copied();
        frame.shape = self.info.shape;
        self.next += 1;
        Ok(Read::Filled)
    }

    fn skip_to(&mut self, index: u64) -> Result<(), SourceError> {
        // A file that grows shows only page by page how it is laid out.
        if self.follow.is_none() {
            let pages = self.stated.unwrap_or(self.chain.pages.len() as u64);
            self.next = self.next.max(index.min(pages));
        }
        Ok(())
    }
}

/// The warning for pixels of `samples` values.
pub(super) fn colour_warning(samples: usize) -> String {
    match samples {
        2 => "the images have an alpha channel, which is ignored".to_owned(),
        3 => "the images are in colour; their luminance (ITU-R BT.601) is used".to_owned(),
        _ => "the images are in colour; their luminance (ITU-R BT.601) is used and alpha is ignored".to_owned(),
    }
}

fn element_of(page: &Page, place: impl FnOnce() -> Place) -> Result<Element, SourceError> {
    let element = match (page.format, page.bits) {
        (1 | 4, 8) => Element::U8,
        (1 | 4, 16) => Element::U16,
        (1 | 4, 32) => Element::U32,
        (1 | 4, 64) => Element::U64,
        (2, 8) => Element::I8,
        (2, 16) => Element::I16,
        (2, 32) => Element::I32,
        (2, 64) => Element::I64,
        (3, 16) => Element::F16,
        (3, 32) => Element::F32,
        (3, 64) => Element::F64,
        (format, bits) => {
            let format = match format {
                1 | 4 => "unsigned integers",
                2 => "signed integers",
                3 => "floating point",
                _ => "complex or unknown numbers",
            };
            let got = format!("{format} of {bits} bits");
            return Err(SourceError::unsupported(place(), got, "8, 16, 32 or 64 bits a sample"));
        }
    };
    let colour = matches!(element, Element::U8 | Element::U16 | Element::F32 | Element::F64);
    if !(1..=4).contains(&page.samples) || (page.samples > 1 && !(colour && matches!(page.photometric, 2 | 6))) {
        let got = format!("{} samples a pixel ({})", page.samples, element.name());
        return Err(SourceError::unsupported(place(), got, "grey, RGB or RGBA: split the channels first"));
    }
    Ok(element)
}

/// Where the images lie one after the other as ImageJ writes them, although there is not a directory for each:
/// above 4 GB it writes one only, and a file that was cut off has lost the others, which stand at its end.
fn contiguous_images(
    first: &Page,
    chain: &Chain,
    images: &Option<u64>,
    element: Element,
    length: u64,
) -> Option<(u64, u64)> {
    let images = (*images)?;
    let bytes = first.bytes(element);
    let start = *first.offsets.first()?;
    let one_block = first
        .offsets
        .iter()
        .zip(&first.counts)
        .try_fold(start, |end, (&offset, &count)| (offset == end).then(|| end.saturating_add(count)));
    if images < 2 || !first.is_plain() || chain.pages.len() != 1 || one_block.is_none() {
        return None;
    }
    let second_end = start.saturating_add(bytes.saturating_mul(2));
    let follows = match &chain.broken {
        // A directory that was to stand behind at least two images: the images themselves come first.
        Some(broken) => broken.offset >= second_end,
        None => length >= second_end,
    };
    follows.then_some((start, bytes))
}

fn decoder_error(place: Place, storage: &str, error: tiff::TiffError) -> SourceError {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    let damaged = |how: &str| SourceError::malformed(place.clone(), format!("{storage} that {how}"), "a whole page");
    match error {
        tiff::TiffError::IoError(e) if e.kind() == UnexpectedEof => damaged("ends early"),
        // The decompressors report what they cannot decode this way.
        tiff::TiffError::IoError(e) if matches!(e.kind(), InvalidData | InvalidInput) => {
            damaged(&format!("is damaged ({e})"))
        }
        tiff::TiffError::IoError(source) => SourceError::Io { place, source },
        tiff::TiffError::UnsupportedError(e) => {
            SourceError::unsupported(place, format!("{storage} ({e})"), "no, LZW or deflate compression")
        }
        tiff::TiffError::LimitsExceeded => {
            SourceError::over_limit(place, format!("{storage} with outsized tables"), "a plain page")
        }
        other => damaged(&format!("is damaged ({other})")),
    }
}
