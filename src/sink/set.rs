//! All files of one run, committed together.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::csv::CsvWriter;
use super::journal::Journal;
use super::npy::NpyWriter;
use super::part::{Block, Writer, part_of};
use super::png::{PictureWriter, PlotWriter};
use super::tiff::TiffWriter;
use super::{Format, MapInfo, SeriesInfo, SinkError};

/// The record of a run, beside its outputs.
const RUN: &str = "run.json";

/// All outputs of one run, in all their formats, in one folder.
///
/// Files are `NAME.EXT.part` until [`commit`](Self::commit) renames them. Dropped without a commit, it leaves the
/// parts and `journal.json`, which says how many maps are complete in them; outputs of an earlier run stay as
/// they were. The next run into the folder clears such a rest away.
pub struct OutputSet {
    dir: PathBuf,
    /// Whether the folder was made for this set.
    made: bool,
    journal: Journal,
    outputs: Vec<Output>,
    kind: Kind,
    complete: u64,
    failed: bool,
}

struct Output {
    name: String,
    /// Values of a map, or channels.
    values: usize,
    writers: Vec<Box<dyn Writer>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Maps,
    Series,
}

impl Kind {
    fn nouns(self) -> &'static str {
        match self {
            Self::Maps => "maps",
            Self::Series => "samples",
        }
    }
}

impl OutputSet {
    /// Start the files of a model for images, in a folder that is made if it is not there.
    ///
    /// # Errors
    /// A folder that cannot be written or that another run writes into, an output name that is no file name, a
    /// map without pixels. Nothing is left in the folder then.
    pub fn create(dir: &Path, outputs: &[MapInfo], formats: &[Format]) -> Result<Self, SinkError> {
        for info in outputs {
            if info.shape.contains(&0) {
                let [rows, columns] = info.shape;
                return Err(mismatch(&info.name, format!("maps of {rows} x {columns}"), "at least one pixel".into()));
            }
        }
        let names = outputs.iter().map(|o| o.name.as_str());
        Self::start(dir, Kind::Maps, names, formats, |i, format| {
            let info = &outputs[i];
            Ok(match format {
                Format::Tiff => Box::new(TiffWriter::maps(dir, info)?),
                Format::Npy => Box::new(NpyWriter::maps(dir, info)?),
                Format::Csv => Box::new(CsvWriter::maps(dir, info)?),
                Format::Png => Box::new(PictureWriter::maps(dir, info)?),
            })
        })
        .map(|set| set.expecting(outputs.iter().map(|o| o.shape[0] * o.shape[1])))
    }

    /// Start the files of a model for series, in a folder that is made if it is not there.
    ///
    /// # Errors
    /// As [`create`](Self::create); also TIFF, which holds maps only.
    pub fn create_series(dir: &Path, outputs: &[SeriesInfo], formats: &[Format]) -> Result<Self, SinkError> {
        if let (Some(info), true) = (outputs.first(), formats.contains(&Format::Tiff)) {
            return Err(tiff_of_series(&info.name));
        }
        let names = outputs.iter().map(|o| o.name.as_str());
        Self::start(dir, Kind::Series, names, formats, |i, format| {
            let info = &outputs[i];
            Ok(match format {
                Format::Npy => Box::new(NpyWriter::series(dir, info)?),
                Format::Csv => Box::new(CsvWriter::series(dir, info)?),
                Format::Png => Box::new(PlotWriter::series(dir, info)?),
                Format::Tiff => return Err(tiff_of_series(&info.name)),
            })
        })
        .map(|set| set.expecting(outputs.iter().map(|o| o.channels)))
    }

    fn start<'a>(
        dir: &Path,
        kind: Kind,
        names: impl Iterator<Item = &'a str>,
        formats: &[Format],
        open: impl Fn(usize, Format) -> Result<Box<dyn Writer>, SinkError>,
    ) -> Result<Self, SinkError> {
        let names: Vec<&str> = names.collect();
        check_names(&names)?;
        let mut once: Vec<Format> = Vec::new();
        for format in formats {
            if !once.contains(format) {
                once.push(*format);
            }
        }
        let made = !dir.exists();
        fs::create_dir_all(dir).map_err(|source| SinkError::Create { path: dir.to_owned(), source })?;
        let run = dir.join(RUN);
        if run.is_dir() {
            return Err(SinkError::Occupied { path: run });
        }
        let journal = Journal::create(dir, kind.nouns())?;
        let mut set =
            Self { dir: dir.to_owned(), made, journal, outputs: Vec::new(), kind, complete: 0, failed: false };
        let mut parts = Vec::new();
        match set.open(&names, &once, open, &mut parts) {
            Ok(()) => Ok(set),
            Err(error) => {
                set.abandon(&parts);
                Err(error)
            }
        }
    }

    /// Start the writers and note them in the journal; `parts` gets every file that may have been made.
    fn open(
        &mut self,
        names: &[&str],
        formats: &[Format],
        open: impl Fn(usize, Format) -> Result<Box<dyn Writer>, SinkError>,
        parts: &mut Vec<PathBuf>,
    ) -> Result<(), SinkError> {
        for (i, name) in names.iter().enumerate() {
            let mut writers = Vec::new();
            for format in formats {
                parts.push(part_of(&self.dir.join(format!("{name}.{}", format.extension()))));
                writers.push(open(i, *format)?);
            }
            self.outputs.push(Output { name: (*name).to_owned(), values: 0, writers });
        }
        self.note(None)
    }

    /// Remove what a start that failed has made: it holds nothing, and no journal tells the next run of it.
    fn abandon(self, parts: &[PathBuf]) {
        let Self { dir, made, outputs, journal, .. } = self;
        // Closed before they are removed: some systems do not remove an open file.
        drop(outputs);
        for part in parts {
            fs::remove_file(part).ok();
        }
        journal.remove().ok();
        if made {
            // Only an empty folder goes.
            fs::remove_dir(dir).ok();
        }
    }

    /// Give the set up: its parts and its journal are removed, and the folder if it was made for them.
    ///
    /// For runs that end before anything is complete; what is complete should be left for the user to save.
    pub fn discard(self) {
        let parts: Vec<PathBuf> =
            self.writers().map(|w| w.part().path.clone()).chain([part_of(&self.dir.join(RUN))]).collect();
        self.abandon(&parts);
    }

    fn expecting(mut self, values: impl Iterator<Item = usize>) -> Self {
        self.outputs.iter_mut().zip(values).for_each(|(o, v)| o.values = v);
        self
    }

    /// Maps or samples that are complete in all the files.
    #[must_use]
    pub fn complete(&self) -> u64 {
        self.complete
    }

    /// The files as they are called after the commit, `run.json` last.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.writers().map(|w| w.part().target.clone()).chain([self.dir.join(RUN)]).collect()
    }

    /// Append one map of every output.
    ///
    /// `map` counts from 0 without gaps; `frame` is the index of the frame that it belongs to and `time` that
    /// frame's time in the unit of the time step. `outputs` has one map for each output, axes (y, x), row-major.
    ///
    /// # Errors
    /// A disk that is full or fails; then nothing can be committed any more. Maps that were not announced so.
    pub fn write(&mut self, map: u64, frame: u64, time: f64, outputs: &[&[f32]]) -> Result<(), SinkError> {
        self.expect(Kind::Maps, map, outputs.len())?;
        for (output, values) in self.outputs.iter().zip(outputs) {
            if values.len() != output.values {
                let expected = format!("{} in a map", output.values);
                return Err(mismatch(&output.name, format!("{} values", values.len()), expected));
            }
        }
        self.append(map, frame, time, outputs)?;
        self.complete += 1;
        self.note(Some(frame))
    }

    /// Append samples of every output.
    ///
    /// `first` is the index of the first sample; samples come without gaps. `outputs` has one block for each
    /// output, axes (sample, channel), row-major: the channels of a sample lie side by side.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_samples(&mut self, first: u64, outputs: &[&[f32]]) -> Result<(), SinkError> {
        self.expect(Kind::Series, first, outputs.len())?;
        let mut count = None;
        for (output, values) in self.outputs.iter().zip(outputs) {
            let channels = output.values.max(1);
            let here = values.len() / channels;
            if !values.len().is_multiple_of(channels) || count.is_some_and(|c| c != here) {
                let expected = format!("as many samples of {channels} channels in each output");
                return Err(mismatch(&output.name, format!("{} values", values.len()), expected));
            }
            count = Some(here);
        }
        let count = count.unwrap_or(0) as u64;
        if count == 0 {
            return Ok(());
        }
        self.append(first, first, 0.0, outputs)?;
        self.complete += count;
        self.note(Some(self.complete - 1))
    }

    /// Complete all files, write `run_json` as `run.json`, and give everything its final name.
    ///
    /// Outputs of an earlier run by the same names are replaced now and not before.
    ///
    /// # Errors
    /// A disk that is full or fails, nothing written, an earlier failure. The parts and the journal remain then.
    pub fn commit(mut self, run_json: &serde_json::Value) -> Result<(), SinkError> {
        if self.failed {
            return Err(SinkError::Failed { path: self.dir });
        }
        if self.complete == 0 {
            let noun = if self.kind == Kind::Maps { "map" } else { "sample" };
            return Err(SinkError::Empty { path: self.dir, noun });
        }
        let (complete, noun) = (self.complete, self.kind.nouns());
        let error = |action, path: &Path, source| SinkError::io(action, path, source, complete, noun);
        for writer in self.outputs.iter_mut().flat_map(|o| &mut o.writers) {
            writer.finish().map_err(|e| error("finish", &writer.part().path, e))?;
        }
        let run = self.dir.join(RUN);
        write_json(&part_of(&run), run_json).map_err(|e| error("write", &part_of(&run), e))?;

        let mut moves: Vec<PathBuf> = self.writers().map(|w| w.part().target.clone()).collect();
        moves.push(run);
        // Closed before they are renamed: some systems do not rename an open file.
        self.outputs.clear();
        for target in &moves {
            fs::rename(part_of(target), target).map_err(|e| error("rename", &part_of(target), e))?;
        }
        sync_folder(&self.dir);
        let journal = self.journal.path().to_owned();
        self.journal.remove().map_err(|e| error("remove", &journal, e))
    }

    fn writers(&self) -> impl Iterator<Item = &Box<dyn Writer>> {
        self.outputs.iter().flat_map(|o| &o.writers)
    }

    fn expect(&self, kind: Kind, number: u64, outputs: usize) -> Result<(), SinkError> {
        let wrong = |what: &str, got: String, expected: String| Err(mismatch(what, got, expected));
        if self.failed {
            return Err(SinkError::Failed { path: self.dir.clone() });
        }
        if self.kind != kind {
            return wrong("kind", kind.nouns().into(), format!("{}, as the set was made for", self.kind.nouns()));
        }
        if outputs != self.outputs.len() {
            return wrong("count", format!("{outputs} outputs"), format!("{}", self.outputs.len()));
        }
        if number != self.complete {
            return wrong("order", format!("{} from {number} on", kind.nouns()), format!("from {} on", self.complete));
        }
        Ok(())
    }

    fn append(&mut self, number: u64, frame: u64, time: f64, outputs: &[&[f32]]) -> Result<(), SinkError> {
        for (output, values) in self.outputs.iter_mut().zip(outputs) {
            let block = Block { number, frame, time, values };
            for writer in &mut output.writers {
                if let Err(e) = writer.write(&block) {
                    self.failed = true;
                    return Err(SinkError::io("write", &writer.part().path, e, self.complete, self.kind.nouns()));
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, last: Option<u64>) -> Result<(), SinkError> {
        let writers = self.outputs.iter().flat_map(|o| &o.writers);
        let parts = writers.map(|w| (w.part().path.as_path(), w.part().len()));
        self.journal.advance(self.complete, last, parts).map_err(|e| {
            self.failed = true;
            SinkError::io("write", self.journal.path(), e, self.complete, self.kind.nouns())
        })
    }
}

fn mismatch(what: &str, got: String, expected: String) -> SinkError {
    SinkError::Mismatch { what: what.to_owned(), got, expected }
}

fn tiff_of_series(name: &str) -> SinkError {
    let (format, kind, expected) = (Format::Tiff, "a series", "npy, csv or png");
    SinkError::Unsupported { name: name.to_owned(), format, kind, expected }
}

/// Names come out of a model file, which may be anybody's: they must not lead out of the folder.
fn check_names(names: &[&str]) -> Result<(), SinkError> {
    for (i, name) in names.iter().enumerate() {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        let expected = if name.is_empty() || name.starts_with('.') || !plain || name.len() > 100 {
            "letters, digits, `_`, `-` and `.` only, and no `.` at the start"
        } else if names[..i].iter().any(|n| n.eq_ignore_ascii_case(name)) {
            "each name once"
        } else {
            continue;
        };
        return Err(SinkError::Name { name: (*name).to_owned(), expected });
    }
    Ok(())
}

fn write_json(path: &Path, value: &serde_json::Value) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Make the renames last; some systems cannot sync a folder, and need not.
fn sync_folder(dir: &Path) {
    if let Ok(folder) = File::open(dir) {
        folder.sync_all().ok();
    }
}
