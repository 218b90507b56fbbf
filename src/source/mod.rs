//! Recordings and live inputs as frames or samples; one file for each format.
//!
//! [`open`] looks at the first bytes of a file (its name decides nothing) and at the kind of model that it is for,
//! and gives frames or samples. What a source cannot read as it stands is refused with a [`SourceError`] that says
//! what, where, got and expected.
//!
//! To add a format: a file here with a type that is a [`FrameSource`] or a [`SampleSource`], its first bytes in
//! [`open`], and its sound and damaged files in `tests/source_formats.rs`.

#[cfg(any(feature = "mqtt", feature = "serial"))]
mod address;
mod clock;
mod csv;
mod described;
mod element;
mod error;
mod faults;
mod folder;
mod follow;
mod frame;
mod localisations;
#[cfg(feature = "mqtt")]
mod mqtt;
mod ndtiff;
mod npy;
mod raw;
mod select;
#[cfg(feature = "serial")]
mod serial;
mod tail;
mod tcp;
mod text;
mod tiff;
mod zarr;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

pub use described::Described;
pub use error::{Part, Place, SourceError};
pub use faults::Faults;
pub use folder::FolderSource;
pub use follow::Follow;
pub use frame::{Frame, Pixels, Samples};
pub use localisations::{Count, Region, RegionError, Tally};
pub use raw::{RawFormat, RawFormatError, from_reader};
pub use select::Selection;
pub use tiff::TiffSource;

use crate::model::Kind;

use crate::units::{Spacing, Step};

/// How an input is to be read.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// What the model takes: series, fields or localisations.
    pub kind: Kind,
    /// The column of a table, by name or by number from 1, or the array of an archive.
    pub column: Option<String>,
    /// Pixel size of the density map that a localisation table is drawn on, a length; 50 nm unless changed.
    pub pixel_size: Step,
    /// Standard deviation of the Gaussian that the density map is blurred with, a length; 30 nm unless changed,
    /// which is of the order of a localisation's uncertainty. `None` does not blur.
    pub blur: Option<Step>,
    /// The field of view of the density map; `None` takes what the input tells.
    pub region: Option<Region>,
    /// A density map of what has come so far after each so many camera frames of a localisation table, rather than one
    /// of the whole table.
    pub every: Option<u64>,
    /// Whether a table's column of times decides where its samples belong: they are to be even then, and what they
    /// skip is missing. Otherwise every row is one sample.
    pub timed: bool,
    /// Layout of raw frames on standard input, where it does not carry NPY.
    pub raw: Option<RawFormat>,
    /// Pixels that one frame may have, checked before memory is taken; 2^28 unless changed.
    pub max_pixels: usize,
    /// Go on as the input grows: a folder of images, a TIFF file, an OME-Zarr store, an NDTiff data set, a CSV series, or
    /// a table of localisations (with `every`); and how long live inputs are waited for.
    pub follow: Option<Follow>,
    /// Which channel, slice or position of a recording that has several.
    pub select: Selection,
}

impl OpenOptions {
    /// The defaults for a model of `kind`.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        let nanometres = |value| Step { value, unit: Some("nm".to_owned()) };
        Self {
            kind,
            column: None,
            timed: true,
            pixel_size: nanometres(50.0),
            blur: Some(nanometres(30.0)),
            region: None,
            every: None,
            raw: None,
            max_pixels: 1 << 28,
            follow: None,
            select: Selection::default(),
        }
    }

    /// An error where a frame of `shape` (y, x) is empty or larger than allowed.
    fn check_size(&self, shape: [usize; 2], place: impl FnOnce() -> Place) -> Result<(), SourceError> {
        let got = || format!("a frame of {}x{} (y, x)", shape[0], shape[1]);
        match shape[0].checked_mul(shape[1]) {
            Some(0) => Err(SourceError::malformed(place(), got(), "at least one pixel")),
            Some(pixels) if pixels <= self.max_pixels => Ok(()),
            _ => Err(SourceError::over_limit(place(), got(), format!("at most {} pixels", self.max_pixels))),
        }
    }
}

/// An opened input.
pub enum Input {
    /// Images, one after the other.
    Frames(Box<dyn FrameSource>),
    /// Blocks of samples.
    Series(Box<dyn SampleSource>),
}

/// Open a file, a folder, standard input (`-`), or a live input, as the model's kind takes it: frames that a program
/// sends to a port (`tcp://ADDRESS:PORT`), frames or samples from an MQTT broker (`mqtt://BROKER/TOPIC`), samples from a
/// serial port (`serial://NAME?baud=115200`).
///
/// Fields: TIFF, PNG, a folder of them, OME-Zarr, NDTiff, NPY and NPZ of (y, x) or (t, y, x). Series: CSV, NPY and
/// NPZ of (sample) or (channel, sample). Localisations: a ThunderSTORM, rapidSTORM or Picasso table, which is drawn as a
/// density map, or as one after each so many camera frames ([`every`](OpenOptions::every)), or anything that fields come
/// from. Standard input: see [`from_reader`].
///
/// # Errors
/// An input that cannot be opened, is damaged or of an unknown format, or does not fit the kind.
pub fn open(path: &str, options: &OpenOptions) -> Result<Input, SourceError> {
    let no_selection = || match &options.select {
        none if none.is_empty() => Ok(()),
        some => {
            let expected = "--select with an OME-Zarr store or an NDTiff data set only";
            Err(SourceError::misused(Place::whole(path), format!("--select {some}"), expected))
        }
    };
    if path == "-" || path.contains("://") {
        no_selection()?;
    }
    if path == "-" {
        if options.follow.is_some() {
            let expected = "a folder or a TIFF file: standard input is read until it ends, as it comes";
            return Err(SourceError::misused(Place::whole(raw::STDIN), "--follow", expected));
        }
        return from_reader(Box::new(std::io::stdin()), raw::STDIN, options);
    }
    let place = || Place::whole(path);
    if path.starts_with(tcp::SCHEME) {
        if options.kind == Kind::Series {
            return Err(SourceError::misused(place(), "frames over TCP", "samples for a model of series"));
        }
        return Ok(Input::Frames(Box::new(tcp::TcpFrames::open(path, options)?)));
    }
    if let Some(live) = open_live(path, options)? {
        return Ok(live);
    }
    let file_path = Path::new(path);
    let frames_wanted = |what: &str| match options.kind {
        Kind::Series => {
            let expected = "samples for a model of series: a CSV table, NPY or NPZ";
            Err(SourceError::misused(place(), what, expected))
        }
        Kind::Fields | Kind::Localisations => Ok(()),
    };
    let no_column = |what: &str| match &options.column {
        Some(column) => {
            let got = format!("--column {column} with {what}");
            Err(SourceError::misused(place(), got, "--column with a table or an archive of arrays only"))
        }
        None => Ok(()),
    };
    if options.raw.is_some() {
        return Err(SourceError::misused(place(), "a format of raw frames", "it with standard input (-) only"));
    }
    if let Some(follow) = &options.follow {
        let ending = file_path.extension().map(|e| e.to_string_lossy().to_lowercase());
        let text = ending.is_some_and(|e| matches!(e.as_str(), "csv" | "txt" | "tsv"));
        if options.kind == Kind::Localisations && text && options.region.is_none() {
            // Told now, and not when the acquisition has begun.
            return Err(localisations::no_field_of_view(path));
        }
        // A file's first bytes say what it is, and a folder's first files.
        let told =
            || zarr::is_zarr(file_path) || ndtiff::data_set(file_path, true).is_some() || folder::has_image(file_path);
        let begun = || begun(file_path);
        let there = |m: std::fs::Metadata| if m.is_dir() { told() } else { m.len() >= 16 && begun() };
        follow.wait(|| std::fs::metadata(file_path).is_ok_and(there).then_some(()));
    }
    let data_set = ndtiff::data_set(file_path, options.follow.is_some());
    if zarr::is_zarr(file_path) || data_set.is_some() {
        let what = if data_set.is_some() { "an NDTiff data set" } else { "a Zarr store" };
        frames_wanted(what)?;
        no_column(what)?;
        return Ok(Input::Frames(match data_set {
            Some(folder) => Box::new(ndtiff::NdTiffSource::open(file_path, &folder, options)?),
            None => Box::new(zarr::ZarrSource::open(file_path, options)?),
        }));
    }
    no_selection()?;
    if file_path.is_dir() {
        frames_wanted("a folder of images")?;
        no_column("a folder of images")?;
        return Ok(Input::Frames(folder::open_folder(file_path, options)?));
    }
    let mut file = File::open(file_path).map_err(SourceError::io(place()))?;
    let mut start = [0; 512];
    let got = element::fill(&mut file, &mut start).map_err(SourceError::io(place()))?;
    let start = &start[..got];
    let unsupported = |what: &str| {
        let expected = "TIFF, PNG, NPY, NPZ or CSV: export the recording as one of them";
        Err(SourceError::unsupported(place(), what, expected))
    };
    let is_tiff = matches!(start, [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..]);
    let is_localisations = options.kind == Kind::Localisations;
    let is_text = !start.contains(&0) && !start.starts_with(b"\x89") && !start.starts_with(b"PK");
    let is_table = options.kind != Kind::Fields && (is_text || (is_localisations && start.starts_with(b"\x89HDF")));
    if options.follow.is_some() && !is_tiff && !is_table {
        let expected = "a TIFF file, a folder of images, an OME-Zarr store, an NDTiff data set, or a table";
        return Err(SourceError::misused(place(), "--follow with a file of another kind", expected));
    }
    match start {
        [] => Err(SourceError::malformed(place(), "an empty file", "a recording")),
        _ if is_tiff => {
            frames_wanted("a TIFF image")?;
            no_column("a TIFF image")?;
            Ok(Input::Frames(Box::new(TiffSource::open(file_path, options)?)))
        }
        [0x89, b'P', b'N', b'G', ..] => {
            frames_wanted("a PNG image")?;
            no_column("a PNG image")?;
            Ok(Input::Frames(Box::new(FolderSource::single(file_path, options)?)))
        }
        _ if start.starts_with(npy::MAGIC) => {
            no_column("an NPY file, which holds one array")?;
            npy::open_npy(file_path, options)
        }
        [b'P', b'K', 3 | 5, 4 | 6, ..] => npy::open_npz(file_path, options),
        [0x89, b'H', b'D', b'F', ..] if options.kind == Kind::Localisations => {
            no_column("a table of localisations")?;
            Ok(Input::Frames(Box::new(localisations::LocalisationSource::picasso(file_path, path, options)?)))
        }
        [0x89, b'H', b'D', b'F', ..] => unsupported("an HDF5 file"),
        [0xff, 0xd8, 0xff, ..] => unsupported("a JPEG image, whose compression is lossy"),
        [b'G', b'I', b'F', b'8', ..] => unsupported("a GIF image"),
        _ if start.contains(&0) => unsupported("a binary file of an unknown format"),
        _ => {
            if let (Kind::Series, Some(follow)) = (options.kind, &options.follow) {
                let tail = tail::Tail::open(file_path, follow.clone()).map_err(SourceError::io(place()))?;
                return Ok(Input::Series(Box::new(csv::CsvSource::piped(tail, path, options)?)));
            }
            let reader = || File::open(file_path).map(BufReader::new).map_err(SourceError::io(place()));
            match options.kind {
                Kind::Series => Ok(Input::Series(Box::new(csv::CsvSource::new(reader()?, path, options)?))),
                Kind::Localisations => {
                    no_column("a table of localisations")?;
                    let source = localisations::LocalisationSource::open(file_path, path, options)?;
                    Ok(Input::Frames(Box::new(source)))
                }
                Kind::Fields => {
                    let expected = "images for a model of fields: TIFF, PNG, a folder of them, NPY or NPZ";
                    Err(SourceError::misused(place(), "text", expected))
                }
            }
        }
    }
}

/// Whether a file begins with something: some programs write the start of a file last.
fn begun(path: &Path) -> bool {
    let mut start = [0; 8];
    let read = File::open(path).and_then(|mut file| element::fill(&mut file, &mut start));
    read.is_ok() && start != [0; 8]
}

/// A sensor or a camera that sends by itself; `None` for the name of anything else.
fn open_live(path: &str, options: &OpenOptions) -> Result<Option<Input>, SourceError> {
    let place = || Place::whole(path);
    #[cfg(feature = "serial")]
    if path.starts_with(serial::SCHEME) {
        if options.kind != Kind::Series {
            let expected = "frames for a model of images, which no serial port brings";
            return Err(SourceError::misused(place(), "a serial port", expected));
        }
        let faults = Arc::<Faults>::default();
        let lines = serial::SerialLines::open(path, options, Arc::clone(&faults))?;
        return Ok(Some(Input::Series(Box::new(csv::CsvSource::live(lines, path, options, faults)?))));
    }
    #[cfg(feature = "mqtt")]
    if path.starts_with(mqtt::SCHEME) {
        return mqtt::open(path, options).map(Some);
    }
    let names = ["serial://", "mqtt://", "mqtts://"];
    if names.iter().any(|scheme| path.starts_with(scheme)) {
        let expected = "mqtt://BROKER/TOPIC or serial://PORT, in a build with those features (for TLS, a tunnel)";
        return Err(SourceError::unsupported(place(), "an input that this build does not read", expected));
    }
    let _ = options;
    Ok(None)
}

/// What a broker may send, for fuzzing: no network is asked.
///
/// # Errors
/// As [`open`].
#[cfg(all(fuzzing, feature = "mqtt"))]
#[doc(hidden)]
pub fn fuzz_messages(bytes: &[u8], options: &OpenOptions) -> Result<Input, SourceError> {
    mqtt::fuzz_messages(bytes, options)
}

/// What a source knows of its frames before the first one is read.
#[derive(Clone, Debug)]
pub struct FrameInfo {
    /// What was opened, as the user named it (a path, or `-`).
    pub name: String,
    /// Rows and columns of every frame.
    pub shape: [usize; 2],
    /// Frames in all, where the input tells (a live stream does not).
    pub count: Option<u64>,
    /// Pixel size and frame interval that the file itself states.
    pub spacing: Spacing,
    /// Whether the frames were drawn from a table of localisations.
    pub rendered: bool,
    /// Things a user should know (alpha ignored, unit not understood), each one sentence.
    pub warnings: Vec<String>,
}

/// What a source knows of its samples before the first one is read.
#[derive(Clone, Debug)]
pub struct SeriesInfo {
    /// What was opened, as the user named it (a path, or `-`).
    pub name: String,
    /// Channel names in order; one entry for a plain series.
    pub channels: Vec<String>,
    /// Samples in all, where the input tells.
    pub count: Option<u64>,
    /// The sampling interval that the file itself states (`t`).
    pub spacing: Spacing,
    /// Time of the first sample as the file counts it, in the unit of the interval; 0 where it does not say, or says a date.
    pub start: f64,
    /// The date or time of day of the first sample, as the file has it.
    pub acquired: Option<String>,
    /// Things a user should know, each one sentence.
    pub warnings: Vec<String>,
    /// What a live input goes through, counted while it is read.
    pub faults: Arc<Faults>,
}

/// Whether a read gave something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The buffer was filled.
    Filled,
    /// There is nothing more.
    End,
}

/// A recording or live input of images.
pub trait FrameSource: Send {
    /// What is known before the first frame.
    fn info(&self) -> &FrameInfo;
    /// Read the next frame into `frame`, reusing its buffer where the type fits.
    ///
    /// # Errors
    /// A truncated, changed or unreadable frame; the error names the file and the frame's index.
    fn read(&mut self, frame: &mut Frame) -> Result<Read, SourceError>;

    /// What the input says of the recording beyond its pixels.
    fn described(&self) -> Described {
        Described::default()
    }

    /// What went into each frame, where frames are drawn of a table of localisations.
    fn tally(&self) -> Option<Arc<Tally>> {
        None
    }

    /// Frames before `index` are not wanted, before the first is read. Sources that can do so pass over them; others
    /// give them all the same.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn skip_to(&mut self, index: u64) -> Result<(), SourceError> {
        let _ = index;
        Ok(())
    }
}

/// A recording or live input of samples.
pub trait SampleSource: Send {
    /// What is known before the first sample.
    fn info(&self) -> &SeriesInfo;
    /// Read the next block of at least one sample into `block`, reusing its buffer.
    ///
    /// # Errors
    /// An unreadable row; the error names the file and the line.
    fn read(&mut self, block: &mut Samples) -> Result<Read, SourceError>;
}
