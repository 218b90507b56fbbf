//! Folders of image files, one frame a file, and single PNG images.

mod live;

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::element::{Element, Endian, describe, to_luminance};
use super::tiff::{TiffSource, colour_warning};
use super::{FrameInfo, FrameSource, OpenOptions, Place, Read, SourceError};
use crate::source::{Frame, Pixels};
use crate::units::Spacing;

/// The images of a folder as frames, axes (y, x), in natural order: `img2` before `img10`.
///
/// PNG and TIFF files are frames, one image each; other files are left out with one warning, hidden ones
/// silently. Where every name ends in a number of its own (`img_007.png`), those numbers are the frame indices,
/// counted from the first file: a gap is a loss, and the index jumps. A constant stride (000, 010, 020) is no
/// loss, and numbers that leave most of their range empty are taken for clock readings, not for indices; both
/// give a warning. The first TIFF file's pixel size is taken for all.
#[derive(Debug)]
pub struct FolderSource {
    info: FrameInfo,
    options: OpenOptions,
    /// Files in order with their frame indices.
    files: Vec<(PathBuf, u64)>,
    next: usize,
    /// The first image, decoded when the folder was opened.
    first: Option<Pixels>,
    type_name: &'static str,
    scratch: Vec<u8>,
}

/// One decoded image file.
struct Image {
    shape: [usize; 2],
    spacing: Spacing,
    warnings: Vec<String>,
}

impl FolderSource {
    /// Open the folder at `path`.
    ///
    /// # Errors
    /// A folder without images, or a first image that cannot be read.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, SourceError> {
        let name = path.display().to_string();
        let (files, others) = images(path, None).map_err(SourceError::io(Place::whole(&name)))?;
        if files.is_empty() {
            let got = format!("a folder without PNG or TIFF files ({others} others)");
            return Err(SourceError::malformed(Place::whole(&name), got, "one image file a frame"));
        }
        let mut warnings = Vec::new();
        if others > 0 {
            warnings.push(format!("{others} of the folder's entries are no PNG or TIFF files and were left out"));
        }
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        let indices = frame_indices(&names, &mut warnings);
        let files = files.iter().map(|(_, path)| path.clone()).zip(indices).collect();
        Self::new(name, files, warnings, options)
    }

    /// Open one image file as a recording of one frame.
    ///
    /// # Errors
    /// A file that is no PNG or one-page TIFF, is damaged, or over the size limit.
    pub fn single(path: &Path, options: &OpenOptions) -> Result<Self, SourceError> {
        Self::new(path.display().to_string(), vec![(path.to_owned(), 0)], Vec::new(), options)
    }

    fn new(
        name: String,
        files: Vec<(PathBuf, u64)>,
        mut warnings: Vec<String>,
        options: &OpenOptions,
    ) -> Result<Self, SourceError> {
        let mut scratch = Vec::new();
        let mut pixels = Pixels::U8(Vec::new());
        let image = read_image(&files[0].0, options, &mut pixels, &mut scratch)?;
        warnings.extend(image.warnings);
        let count = Some(files.len() as u64);
        let info = FrameInfo { name, shape: image.shape, count, spacing: image.spacing, rendered: false, warnings };
        let type_name = pixels.type_name();
        let options = options.clone();
        Ok(Self { info, options, files, next: 0, first: Some(pixels), type_name, scratch })
    }
}

/// A folder as a source: as it is, or as it grows where that is asked for.
pub(super) fn open_folder(path: &Path, options: &OpenOptions) -> Result<Box<dyn FrameSource>, SourceError> {
    Ok(match &options.follow {
        Some(follow) => Box::new(live::LiveFolder::open(path, options, follow)?),
        None => Box::new(FolderSource::open(path, options)?),
    })
}

/// The names and paths of a folder's images in natural order, only those behind `after`, and how many entries are no
/// images. What is written meanwhile may be left out, even where something newer is not.
fn images(path: &Path, after: Option<&str>) -> std::io::Result<(Vec<(String, PathBuf)>, usize)> {
    let (mut files, mut others) = (Vec::new(), 0);
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let file_name = file_name.to_string_lossy();
        // Before anything is allocated: after a night there are many.
        if after.is_some_and(|after| !natural_order(&file_name, after).is_gt()) {
            continue;
        }
        let (file_name, path) = (file_name.into_owned(), entry.path());
        if file_name.starts_with('.') || file_name.eq_ignore_ascii_case("thumbs.db") {
            continue;
        }
        // Most systems tell with the name what it is; a link has to be followed.
        let file = || entry.file_type().is_ok_and(|t| t.is_file()) || path.is_file();
        if is_image(&path) && file() {
            files.push((file_name, path));
        } else {
            others += 1;
        }
    }
    files.sort_by(|(a, _), (b, _)| natural_order(a, b));
    Ok((files, others))
}

impl FrameSource for FolderSource {
    fn info(&self) -> &FrameInfo {
        &self.info
    }

    fn read(&mut self, frame: &mut Frame) -> Result<Read, SourceError> {
        let Some((path, index)) = self.files.get(self.next) else {
            return Ok(Read::End);
        };
        if let Some(pixels) = self.first.take() {
            frame.pixels = pixels;
        } else {
            let image = read_image(path, &self.options, &mut frame.pixels, &mut self.scratch)?;
            let type_name = frame.pixels.type_name();
            if image.shape != self.info.shape || type_name != self.type_name {
                return Err(SourceError::Changed {
                    place: Place::whole(&path.display().to_string()),
                    got: describe(type_name, image.shape),
                    expected: describe(self.type_name, self.info.shape),
                });
            }
        }
        frame.index = *index;
        frame.time = None;
        frame.shape = self.info.shape;
        self.next += 1;
        Ok(Read::Filled)
    }

    fn skip_to(&mut self, index: u64) -> Result<(), SourceError> {
        let next = self.files.partition_point(|(_, i)| *i < index);
        if next > self.next {
            (self.next, self.first) = (next, None);
        }
        Ok(())
    }
}

/// Whether there is a first image in a folder.
pub(super) fn has_image(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.any(|e| e.is_ok_and(|e| is_image(&e.path()))))
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    matches!(extension.as_deref(), Some("png" | "tif" | "tiff"))
}

/// Read one PNG, or a TIFF of one page, whichever its first bytes say.
///
/// # Errors
/// A file that is empty, cut off or neither of the two, that holds several pages, or is over the size limit.
fn read_image(
    path: &Path,
    options: &OpenOptions,
    pixels: &mut Pixels,
    scratch: &mut Vec<u8>,
) -> Result<Image, SourceError> {
    let name = path.display().to_string();
    let place = || Place::whole(&name);
    let mut start = Vec::with_capacity(8);
    let file = File::open(path).map_err(SourceError::io(place()))?;
    file.take(8).read_to_end(&mut start).map_err(SourceError::io(place()))?;
    match start.as_slice() {
        [] => Err(SourceError::malformed(place(), "an empty file", "an image")),
        [0x89, b'P', b'N', b'G', ..] => read_png(path, options, pixels, scratch),
        [b'I', b'I', ..] | [b'M', b'M', ..] => {
            let mut source = TiffSource::open(path, options)?;
            let count = source.info().count;
            if count != Some(1) {
                let got = count.map_or("several pages".to_owned(), |n| format!("{n} pages"));
                let expected = "one image a file: give the file itself, not its folder";
                return Err(SourceError::unsupported(place(), got, expected));
            }
            let mut frame = Frame { index: 0, time: None, shape: [0, 0], pixels: Pixels::U8(Vec::new()) };
            std::mem::swap(&mut frame.pixels, pixels);
            source.read(&mut frame)?;
            std::mem::swap(&mut frame.pixels, pixels);
            let FrameInfo { shape, spacing, warnings, .. } = source.info().clone();
            Ok(Image { shape, spacing, warnings })
        }
        _ => Err(SourceError::malformed(place(), "no PNG or TIFF header", "an image")),
    }
}

fn read_png(
    path: &Path,
    options: &OpenOptions,
    pixels: &mut Pixels,
    scratch: &mut Vec<u8>,
) -> Result<Image, SourceError> {
    let name = path.display().to_string();
    let place = || Place::whole(&name);
    let failed = |e: png::DecodingError| match e {
        png::DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            SourceError::malformed(place(), "a PNG that ends early", "a whole image")
        }
        png::DecodingError::IoError(source) => SourceError::Io { place: place(), source },
        png::DecodingError::LimitsExceeded => {
            SourceError::over_limit(place(), "a PNG with outsized chunks", "a plain image")
        }
        other => SourceError::malformed(place(), format!("a damaged PNG ({other})"), "a whole image"),
    };
    let file = File::open(path).map_err(SourceError::io(place()))?;
    let mut decoder = png::Decoder::new(BufReader::new(file));
    // Palettes and 1, 2 and 4-bit values become 8-bit ones; 16-bit ones stay.
    decoder.set_transformations(png::Transformations::EXPAND);
    let header = decoder.read_header_info().map_err(failed)?;
    let shape = [header.height as usize, header.width as usize];
    options.check_size(shape, place)?;
    let mut reader = decoder.read_info().map_err(failed)?;
    let (colour, depth) = reader.output_color_type();
    let samples = colour.samples();
    let element = if depth == png::BitDepth::Sixteen { Element::U16 } else { Element::U8 };
    let size = reader.output_buffer_size().unwrap_or(usize::MAX);
    if size != shape[0] * shape[1] * samples * element.size() {
        let got = format!("{colour:?} pixels of {depth:?} bits");
        return Err(SourceError::unsupported(place(), got, "8 or 16 bits a sample"));
    }
    scratch.clear();
    scratch.resize(size, 0);
    reader.next_frame(scratch).map_err(failed)?;
    element.decode(scratch, Endian::Big, pixels, place)?;
    to_luminance(pixels, samples);
    let warnings = if samples > 1 { vec![colour_warning(samples)] } else { Vec::new() };
    Ok(Image { shape, spacing: Spacing::default(), warnings })
}

/// Order of file names in which runs of digits count as numbers: `img2` before `img10`, `a1` before `a01`.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    loop {
        let (Some(first_a), Some(first_b)) = (rest_a.chars().next(), rest_b.chars().next()) else {
            return rest_a.len().cmp(&rest_b.len()).then_with(|| a.len().cmp(&b.len())).then_with(|| a.cmp(b));
        };
        let order = if first_a.is_ascii_digit() && first_b.is_ascii_digit() {
            let (digits_a, digits_b) = (digits(&mut rest_a), digits(&mut rest_b));
            digits_a.len().cmp(&digits_b.len()).then_with(|| digits_a.cmp(digits_b))
        } else {
            rest_a = &rest_a[first_a.len_utf8()..];
            rest_b = &rest_b[first_b.len_utf8()..];
            first_a.cmp(&first_b)
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Take the digits off the front of `text`; given without leading zeros.
fn digits<'a>(text: &mut &'a str) -> &'a str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    digits.trim_start_matches('0')
}

/// What stands before the number at the end of a name (before the extension), and the number.
fn number_of(name: &str) -> Option<(&str, u64)> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let prefix = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    Some((prefix, stem[prefix.len()..].parse().ok()?))
}

/// Indices of the frames from the numbers at the end of their names (before the extension).
fn frame_indices(names: &[&str], warnings: &mut Vec<String>) -> Vec<u64> {
    let consecutive = || (0..names.len() as u64).collect();
    let Some(parts) = names.iter().map(|name| number_of(name)).collect::<Option<Vec<_>>>() else {
        return consecutive();
    };
    let (prefix, first) = &parts[0];
    if let Some(at) = parts.iter().position(|(p, _)| p != prefix) {
        // Files that are each called otherwise have numbers by chance.
        if parts.windows(2).any(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1) {
            warnings.push(format!(
                "files of several names, `{prefix}...` and, from {} on, `{}...`, are taken as one recording, one after \
                 the other",
                names[at], parts[at].0
            ));
        }
        return consecutive();
    }
    if !parts.windows(2).all(|pair| pair[0].1 < pair[1].1) {
        return consecutive();
    }
    let offsets: Vec<u64> = parts.iter().map(|(_, number)| number - first).collect();
    let stride = offsets.iter().copied().fold(0, gcd).max(1);
    let span = offsets.last().copied().unwrap_or(0) / stride;
    if span > 10 * names.len() as u64 {
        warnings.push(format!(
            "the file numbers cover {span} places with {} files; they are not taken for frame numbers",
            names.len()
        ));
        return consecutive();
    }
    if stride > 1 {
        warnings.push(format!("the file numbers go in steps of {stride}; that is not taken for lost frames"));
    }
    offsets.iter().map(|offset| offset / stride).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn indices(names: &[&str]) -> (Vec<u64>, usize) {
        let mut warnings = Vec::new();
        (frame_indices(names, &mut warnings), warnings.len())
    }

    #[test]
    fn digits_count_as_numbers() {
        let mut names = ["img10.png", "img2.png", "a.png", "img002.png", "img1.png", "img1b.png", "IMG3.png"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["IMG3.png", "a.png", "img1.png", "img1b.png", "img2.png", "img002.png", "img10.png"]);
    }

    #[test]
    fn numbers_in_names_are_frame_indices() {
        assert_eq!(indices(&["f_007.png", "f_008.png", "f_011.png"]), (vec![0, 1, 4], 0));
        assert_eq!(indices(&["f_0.png", "f_10.png", "f_30.png"]), (vec![0, 1, 3], 1));
        assert_eq!(indices(&["a_0.png", "a_1.png", "b_0.png", "b_1.png"]), (vec![0, 1, 2, 3], 1));
        assert_eq!(indices(&["f_1630000000123.png", "f_1630000000456.png"]), (vec![0, 1], 1));
        assert_eq!(indices(&["t_16300.png", "t_16401.png", "t_16555.png"]), (vec![0, 1, 2], 1));
        assert_eq!(indices(&["a.png", "b.png"]), (vec![0, 1], 0));
        assert_eq!(indices(&["a1.png", "b1.png"]), (vec![0, 1], 0));
        assert_eq!(indices(&["a1.png", "a1.tif"]), (vec![0, 1], 0));
        assert_eq!(indices(&["a7.png"]), (vec![0], 0));
        assert_eq!(indices(&["a99999999999999999999999.png"]), (vec![0], 0));
    }

    proptest! {
        #[test]
        fn natural_order_is_a_total_order(names in prop::collection::vec("[a1-20]{0,6}", 3)) {
            let [a, b, c] = [&names[0], &names[1], &names[2]];
            prop_assert_eq!(natural_order(a, b), natural_order(b, a).reverse());
            prop_assert_eq!(natural_order(a, b).is_eq(), a == b);
            if natural_order(a, b).is_le() && natural_order(b, c).is_le() {
                prop_assert!(natural_order(a, c).is_le());
            }
        }
    }
}
