//! NDTiff: a folder as Micro-Manager 2 and Pycro-Manager write it, finished or still being written.
//!
//! Images are found by the index alone; the TIFF directories are not read. Format versions 2 and 3 differ in that axes
//! of 3.2 and later may have names for places (`channel: "DAPI"`), and in that 2 (and pyramids of 3) keep the images in a
//! folder `Full resolution`.

mod index;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{Read as _, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use self::index::{Entry, Next};
use super::element::{Element, Endian, describe, to_luminance};
use super::follow::{Follow, GIVEN_UP, GRACE, OUT_OF_REACH};
use super::tiff::colour_warning;
use super::{FrameInfo, FrameSource, OpenOptions, Part, Place, Read, SourceError};
use crate::source::Frame;
use crate::units::{Spacing, Step};

/// The index's file.
const INDEX: &str = "NDTiff.index";
/// Where the images of a pyramid lie.
const FULL: &str = "Full resolution";
/// What each stack's file is called, behind a prefix and before a number.
const STACK: &str = "NDTiffStack";
/// Longest metadata of an image, and of the whole.
const LONGEST: u64 = 1 << 24;
/// The index is read in parts of this size, after a look at its next bytes.
const BLOCK: u64 = 1 << 18;
const START: u64 = 64;
/// Bytes of a stack before its summary.
const HEADER: usize = 28;
/// Marks the summary in a stack's header.
const SUMMARY: u32 = 2_355_492;
/// How often an image that is not whole is read again.
const AGAIN: Duration = Duration::from_millis(20);

/// The folder of a data set's index, where `folder` is one; a data set that has just been begun has a stack and no
/// index, which is looked for where it is `growing`.
pub(super) fn data_set(folder: &Path, growing: bool) -> Option<PathBuf> {
    let full = folder.join(FULL);
    if folder.join(INDEX).is_file() {
        return Some(folder.to_owned());
    }
    if full.join(INDEX).is_file() {
        return Some(full);
    }
    if !growing {
        return None;
    }
    let stack = |entry: std::io::Result<fs::DirEntry>| {
        entry.is_ok_and(|e| {
            let name = e.file_name();
            let name = name.to_string_lossy();
            name.contains(STACK) && name.ends_with(".tif")
        })
    };
    let begun = |folder: &Path| fs::read_dir(folder).is_ok_and(|mut entries| entries.any(stack));
    [folder.to_owned(), full].into_iter().find(|folder| begun(folder))
}

/// An NDTiff data set as frames, axes (y, x), in the order of its time axis, which gives their indices: a time that is
/// left out is a lost frame. Pixel size and times come from the images' own metadata (`PixelSizeUm`, `ElapsedTime-ms`),
/// the frame interval from the summary (`Interval_ms`) or from the first two frames.
#[derive(Debug)]
pub(super) struct NdTiffSource {
    info: FrameInfo,
    options: OpenOptions,
    index: Index,
    stacks: Stacks,
    kind: u32,
    /// Elapsed time of the first frame, in seconds.
    start: Option<f64>,
    /// That of the frame before.
    last_time: Option<f64>,
    /// Index of the frame to come, where there was one before.
    next: u64,
    stored: Vec<u8>,
}

/// The index of a data set as far as it was read.
#[derive(Debug)]
struct Index {
    path: PathBuf,
    /// What the user calls the data set.
    name: String,
    select: super::Selection,
    /// Names of channels that the index has numbers for.
    channels: Vec<String>,
    /// Where the last whole entry ends.
    read: u64,
    /// Frames that are there and not given yet, by time.
    frames: BTreeMap<u64, Entry>,
    /// Whether the first image has a time, and where it lies along the other axes for which nothing was chosen.
    others: Option<(bool, Vec<(String, String)>)>,
    /// Whether the index ends in half an entry.
    half: bool,
    /// When a frame behind a gap was seen.
    behind: Option<(u64, Instant)>,
}

/// The files that hold the images, opened once.
#[derive(Debug)]
struct Stacks {
    folder: PathBuf,
    files: HashMap<String, File>,
}

impl NdTiffSource {
    /// Open the data set in `folder` (what [`data_set`] gives); `path` is how the user names it.
    ///
    /// # Errors
    /// An index that is damaged or has no image, several channels or positions without a choice, sizes over the limit.
    pub(super) fn open(path: &Path, folder: &Path, options: &OpenOptions) -> Result<Self, SourceError> {
        match &options.follow {
            None => Self::open_now(path, folder, options, true),
            Some(follow) => {
                // The interval may have to be that of the first two frames: they are waited for, unless one is all.
                let mut only = None;
                let opened = follow.retry(|| {
                    let source = Self::open_now(path, folder, options, false)?;
                    let alone = source.info.spacing.t.is_none() && source.index.frames.len() < 2;
                    if alone && source.is_timed() {
                        only = Some(source);
                        let place = Place::whole(&path.display().to_string());
                        return Err(SourceError::malformed(place, "one image", "a second, for the frame interval"));
                    }
                    Ok(source)
                });
                match (opened, only) {
                    (Err(e), Some(source)) if e.may_pass() => Ok(source),
                    (opened, _) => opened,
                }
            }
        }
    }

    fn open_now(path: &Path, folder: &Path, options: &OpenOptions, finished: bool) -> Result<Self, SourceError> {
        let name = path.display().to_string();
        let place = || Place::whole(&name);
        let mut index = Index {
            path: folder.join(INDEX),
            name: name.clone(),
            select: options.select.clone(),
            channels: Vec::new(),
            read: 0,
            frames: BTreeMap::new(),
            others: None,
            half: false,
            behind: None,
        };
        let mut stacks = Stacks { folder: folder.to_owned(), files: HashMap::new() };
        let first = index.first()?;
        let summary = stacks.summary(&first.file, &name)?;
        let names = summary["ChNames"].as_array();
        index.channels = names.map_or(Vec::new(), |c| c.iter().filter_map(|n| n.as_str().map(str::to_owned)).collect());
        index.renew()?;
        let first = index.frames.first_key_value().map(|(_, entry)| entry.clone());
        let Some(first) = first else {
            if finished && !options.select.is_empty() {
                let got = format!("no image at --select {}", options.select);
                return Err(SourceError::misused(place(), got, "a place that the data set has"));
            }
            return Err(index.nothing());
        };
        options.check_size(first.shape, place)?;
        element(first.kind, place)?;

        let mut warnings = Vec::new();
        if first.kind == 2 {
            warnings.push(colour_warning(3));
        }
        let own = stacks.metadata(&first, &place)?;
        let mut spacing = Spacing::default();
        if let Some(size) = pixel_size(&own, &summary) {
            let step = Step::new(size, Some("um")).ok();
            (spacing.y, spacing.x) = (step.clone(), step);
        }
        spacing.t = interval(&index, &mut stacks, &own, &summary, &place, &mut warnings)?;
        let count = finished.then_some(index.frames.len() as u64);
        let info = FrameInfo { name, shape: first.shape, count, spacing, rendered: false, warnings };
        Ok(Self {
            info,
            options: options.clone(),
            index,
            stacks,
            kind: first.kind,
            start: elapsed(&own),
            last_time: None,
            next: 0,
            stored: Vec::new(),
        })
    }

    /// Whether images say when they were taken.
    fn is_timed(&self) -> bool {
        self.start.is_some()
    }

    /// Read the image of frame `index` and give its time since the first, in seconds.
    fn load(&mut self, index: u64, entry: &Entry, frame: &mut Frame) -> Result<(), SourceError> {
        let place = || Place::part(&self.info.name, Part::Frame { index, of: None });
        if entry.shape != self.info.shape || entry.kind != self.kind {
            let text = |kind, shape| describe(element(kind, place).map_or("other", Element::name), shape);
            let (got, expected) = (text(entry.kind, entry.shape), text(self.kind, self.info.shape));
            return Err(SourceError::Changed { place: place(), got, expected });
        }
        // Written behind the pixels: once it is whole, they are.
        let metadata = self.stacks.metadata(entry, &place)?;
        let (element, samples) = (element(entry.kind, place)?, if entry.kind == 2 { 3 } else { 1 });
        let bytes = entry.shape[0] * entry.shape[1] * samples * element.size();
        self.stacks.read(&entry.file, (entry.pixels, bytes as u64), &mut self.stored, &place)?;
        element.decode(&self.stored, Endian::Little, &mut frame.pixels, place)?;
        to_luminance(&mut frame.pixels, samples);
        let time = elapsed(&metadata).zip(self.start).map(|(now, start)| now - start);
        // Times that do not rise are no times.
        frame.time = time.filter(|now| self.last_time.is_none_or(|before| *now > before));
        frame.time = frame.time.filter(|_| self.info.spacing.t.is_some());
        self.last_time = time.or(self.last_time);
        frame.index = index;
        frame.shape = self.info.shape;
        self.next = index + 1;
        Ok(())
    }

    fn read_finished(&mut self, frame: &mut Frame) -> Result<Read, SourceError> {
        let Some((index, entry)) = self.index.frames.pop_first() else {
            return if self.index.half { Err(self.index.cut_off()) } else { Ok(Read::End) };
        };
        self.load(index, &entry, frame)?;
        Ok(Read::Filled)
    }

    fn read_growing(&mut self, follow: &Follow, frame: &mut Frame) -> Result<Read, SourceError> {
        // The frame in hand, since when, and when it was tried last.
        let mut hand: Option<(u64, Instant)> = None;
        let mut tried: Option<Instant> = None;
        let found = follow.wait(|| {
            match self.index.renew() {
                Err(e) if e.may_pass() => return None,
                Err(e) => return Some(Err(e)),
                Ok(()) => {}
            }
            let (index, entry) = self.index.next(self.next)?;
            let (_, since) = hand.filter(|(of, _)| *of == index).unwrap_or((index, Instant::now()));
            if hand.is_some_and(|(of, _)| of == index) && tried.is_some_and(|at| at.elapsed() < AGAIN) {
                return None;
            }
            (hand, tried) = (Some((index, since)), Some(Instant::now()));
            let later = self.index.frames.len() > 1;
            match self.load(index, &entry, frame) {
                Ok(()) => {
                    self.index.frames.remove(&index);
                    return Some(Ok(()));
                }
                Err(SourceError::Malformed { .. }) if later && since.elapsed() >= GIVEN_UP => {}
                Err(SourceError::Io { .. }) if later && since.elapsed() >= OUT_OF_REACH => {}
                Err(e) if e.may_pass() => return None,
                Err(e) => return Some(Err(e)),
            }
            // One that is given up leaves its index to nobody: a lost frame.
            self.index.frames.remove(&index);
            self.next = index + 1;
            None
        });
        found.transpose().map(|found| if found.is_some() { Read::Filled } else { Read::End })
    }
}

impl Index {
    fn place(&self) -> Place {
        Place::whole(&self.path.display().to_string())
    }

    fn nothing(&self) -> SourceError {
        SourceError::malformed(self.place(), "an index without images", "at least one")
    }

    fn cut_off(&self) -> SourceError {
        let got = format!("the file's end at byte {}", self.read);
        SourceError::malformed(self.place(), got, "the rest of the last entry")
    }

    /// The first image of the index, whatever its place.
    fn first(&self) -> Result<Entry, SourceError> {
        let mut bytes = Vec::new();
        let file = File::open(&self.path).map_err(SourceError::io(self.place()))?;
        file.take(BLOCK).read_to_end(&mut bytes).map_err(SourceError::io(self.place()))?;
        match index::next(&bytes).map_err(|what| self.malformed(what, 0))? {
            Next::Entry(entry, _) => Ok(*entry),
            Next::End | Next::Half => Err(self.nothing()),
        }
    }

    fn malformed(&self, what: String, at: u64) -> SourceError {
        SourceError::malformed(self.place(), format!("{what} at byte {at}"), "an entry of an NDTiff index")
    }

    /// Read on behind what was read.
    fn renew(&mut self) -> Result<(), SourceError> {
        let place = self.place();
        let mut file = File::open(&self.path).map_err(SourceError::io(place.clone()))?;
        let mut bytes = Vec::new();
        loop {
            // A file that was made long before is zero for megabytes: its start shows that.
            let mut more = |size: u64, bytes: &mut Vec<u8>| {
                file.seek(SeekFrom::Start(self.read + bytes.len() as u64))?;
                (&mut file).take(size).read_to_end(bytes)
            };
            bytes.clear();
            let got = more(START, &mut bytes).map_err(SourceError::io(place.clone()))?;
            if got as u64 == START && bytes.iter().any(|b| *b != 0) {
                more(BLOCK, &mut bytes).map_err(SourceError::io(place.clone()))?;
            }
            let mut at = 0;
            let next = loop {
                match index::next(&bytes[at..]).map_err(|what| self.malformed(what, self.read + at as u64))? {
                    Next::Entry(entry, length) => {
                        at += length;
                        self.add(*entry)?;
                    }
                    next => break next,
                }
            };
            self.read += at as u64;
            self.half = next == Next::Half;
            // An entry is shorter than a block.
            if next == Next::End || at == 0 || (bytes.len() as u64) < BLOCK {
                return Ok(());
            }
        }
    }

    /// Take in an image, if it is one of those that are wanted.
    fn add(&mut self, entry: Entry) -> Result<(), SourceError> {
        let place = || Place::whole(&self.name);
        let mut time = None;
        let mut others = Vec::new();
        for (axis, value) in &entry.axes {
            if axis == "t" {
                let whole: Option<u64> = value.parse().ok();
                time = Some(whole.ok_or_else(|| {
                    SourceError::unsupported(place(), format!("the time {value}"), "times that are counted from 0")
                })?);
            } else {
                others.push((axis.clone(), value.clone()));
            }
        }
        let names: Vec<String> = others.iter().map(|(axis, _)| axis.clone()).collect();
        self.select.check(&names, place)?;
        let chosen = |axis: &str, value: &str| {
            self.select.value(axis).map(|wanted| {
                let name = value.parse().ok().and_then(|at: usize| self.channels.get(at)).filter(|_| axis == "c");
                wanted == value || name.is_some_and(|name| wanted == name)
            })
        };
        if others.iter().any(|(axis, value)| chosen(axis, value) == Some(false)) {
            return Ok(());
        }
        let open: Vec<_> = others.into_iter().filter(|(axis, _)| self.select.value(axis).is_none()).collect();
        let first = self.others.get_or_insert_with(|| (time.is_some(), open.clone()));
        let same_axes = first.1.len() == open.len() && first.1.iter().zip(&open).all(|(a, b)| a.0 == b.0);
        if !same_axes || first.0 != time.is_some() {
            let shown = |axes: &(bool, Vec<(String, String)>)| {
                let names = axes.0.then_some("t").into_iter().chain(axes.1.iter().map(|(name, _)| name.as_str()));
                names.collect::<Vec<_>>().join(", ")
            };
            let got = format!("images with axes ({}) and ({})", shown(first), shown(&(time.is_some(), open)));
            return Err(SourceError::unsupported(place(), got, "the same axes for every image"));
        }
        if let Some(((axis, there), (_, here))) = first.1.iter().zip(&open).find(|(a, b)| a != b) {
            let got = format!("images at {there} and at {here} along {axis}");
            let expected = format!("one, or a choice: --select {axis}={here}");
            return Err(SourceError::misused(place(), got, expected));
        }
        self.frames.insert(time.unwrap_or(0), entry);
        Ok(())
    }

    /// The frame to give, at index `next` or behind it once those before it have had their time to come.
    fn next(&mut self, next: u64) -> Option<(u64, Entry)> {
        // Too late for those behind which others were given.
        self.frames = self.frames.split_off(&next);
        let (index, entry) = self.frames.first_key_value()?;
        if *index > next {
            let seen = self.behind.filter(|(i, _)| i == index).unwrap_or((*index, Instant::now()));
            self.behind = Some(seen);
            if seen.1.elapsed() < GRACE {
                return None;
            }
        }
        Some((*index, entry.clone()))
    }
}

impl Stacks {
    /// Bytes of a stack, at this offset and of this length, into `out`.
    fn read(
        &mut self,
        name: &str,
        (offset, length): (u64, u64),
        out: &mut Vec<u8>,
        place: &dyn Fn() -> Place,
    ) -> Result<(), SourceError> {
        if !self.files.contains_key(name) {
            let mut parts = Path::new(name).components();
            if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
                return Err(SourceError::malformed(place(), format!("the file name {name}"), "one in the data set"));
            }
            let file = File::open(self.folder.join(name)).map_err(SourceError::io(place()))?;
            self.files.insert(name.to_owned(), file);
        }
        let Some(file) = self.files.get_mut(name) else { return Ok(()) };
        let read = file.metadata().map(|m| m.len()).and_then(|whole| {
            if offset + length > whole {
                return Ok(Some(whole));
            }
            out.resize(length as usize, 0);
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(out).map(|()| None)
        });
        match read {
            Ok(None) => Ok(()),
            Ok(Some(whole)) => {
                let expected = format!("its data up to byte {}", offset + length);
                Err(SourceError::malformed(place(), format!("the end of {name} at byte {whole}"), expected))
            }
            Err(e) => {
                // A drive that comes back has other handles.
                self.files.remove(name);
                Err(SourceError::Io { place: place(), source: e })
            }
        }
    }

    /// An image's own metadata; it has none where they are of no length.
    fn metadata(&mut self, entry: &Entry, place: &dyn Fn() -> Place) -> Result<Value, SourceError> {
        if entry.compressed {
            return Err(SourceError::unsupported(place(), "compressed images", "NDTiff without compression"));
        }
        let (_, length) = entry.metadata;
        if length == 0 {
            return Ok(Value::Null);
        }
        if length > LONGEST {
            let got = format!("metadata of {length} bytes");
            return Err(SourceError::over_limit(place(), got, format!("at most {LONGEST}")));
        }
        let mut text = Vec::new();
        self.read(&entry.file, entry.metadata, &mut text, place)?;
        serde_json::from_slice(&text).map_err(|_| {
            let got = format!("no JSON at byte {} of {}", entry.metadata.0, entry.file);
            SourceError::malformed(place(), got, "the image's metadata")
        })
    }

    /// The summary at the start of a stack; none where it has another layout.
    fn summary(&mut self, file: &str, name: &str) -> Result<Value, SourceError> {
        let place = || Place::whole(name);
        let mut header = Vec::new();
        self.read(file, (0, HEADER as u64), &mut header, &place)?;
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if !header.starts_with(b"II") {
            let got = format!("no TIFF header of an NDTiff stack in {file}");
            return Err(SourceError::malformed(place(), got, "II, as on the computers that Micro-Manager runs on"));
        }
        // Version 2 has the length where 3 has the minor version.
        let (mark, length) = if word(20) == SUMMARY { (word(20), word(24)) } else { (word(16), word(20)) };
        let start = if word(20) == SUMMARY { HEADER } else { HEADER - 4 };
        if mark != SUMMARY || u64::from(length) > LONGEST {
            return Ok(Value::Null);
        }
        let mut text = Vec::new();
        self.read(file, (start as u64, length.into()), &mut text, &place)?;
        let got = || SourceError::malformed(place(), format!("no JSON at the start of {file}"), "the summary");
        serde_json::from_slice(&text).map_err(|_| got())
    }
}

/// Element type of the index's number for it.
fn element(kind: u32, place: impl FnOnce() -> Place) -> Result<Element, SourceError> {
    match kind {
        0 | 2 => Ok(Element::U8),
        // 16, 10, 12, 14 and 11 bits, all in two bytes.
        1 | 3..=6 => Ok(Element::U16),
        other => {
            let got = format!("pixels of type {other}");
            Err(SourceError::unsupported(place(), got, "8 to 16 bits grey, or RGB"))
        }
    }
}

/// A number that is stated as one or as text, above zero.
fn number(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    number.is_finite().then_some(number)
}

/// Pixel size in micrometres: 0 is what Micro-Manager writes where nobody calibrated it.
fn pixel_size(own: &Value, summary: &Value) -> Option<f64> {
    let stated = [&own["PixelSizeUm"], &own["PixelSize_um"], &summary["PixelSizeUm"], &summary["PixelSize_um"]];
    stated.into_iter().filter_map(number).find(|size| *size > 0.0)
}

/// When an image was taken, in seconds from the start of the acquisition.
fn elapsed(own: &Value) -> Option<f64> {
    number(&own["ElapsedTime-ms"]).map(|ms| ms / 1000.0)
}

/// The frame interval: the summary's, or what the first two frames show.
fn interval(
    index: &Index,
    stacks: &mut Stacks,
    own: &Value,
    summary: &Value,
    place: &dyn Fn() -> Place,
    warnings: &mut Vec<String>,
) -> Result<Option<Step>, SourceError> {
    let stated = number(&summary["Interval_ms"]).filter(|ms| *ms > 0.0);
    if let Some(ms) = stated {
        return Ok(Step::new(ms / 1000.0, Some("s")).ok());
    }
    let mut frames = index.frames.iter();
    let (Some(first), Some((n, second)), Some((m, _))) = (elapsed(own), frames.nth(1), index.frames.first_key_value())
    else {
        return Ok(None);
    };
    let Some(then) = elapsed(&stacks.metadata(second, place)?) else { return Ok(None) };
    // Differences of decimal times are off by their rounding: to the digits that times have.
    let rounded = format!("{:.8e}", (then - first) / (n - m) as f64).parse().unwrap_or_default();
    let step = Step::new(rounded, Some("s")).ok();
    if let Some(step) = &step {
        warnings.push(format!("the frame interval {step} is that of the first two frames"));
    }
    Ok(step)
}

impl FrameSource for NdTiffSource {
    fn info(&self) -> &FrameInfo {
        &self.info
    }

    fn read(&mut self, frame: &mut Frame) -> Result<Read, SourceError> {
        match self.options.follow.clone() {
            Some(follow) => self.read_growing(&follow, frame),
            None => self.read_finished(frame),
        }
    }

    fn skip_to(&mut self, index: u64) -> Result<(), SourceError> {
        if self.options.follow.is_none() {
            self.index.frames = self.index.frames.split_off(&index);
        }
        self.next = self.next.max(index);
        Ok(())
    }
}
