//! All files of one run, committed together.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::csv::CsvWriter;
use super::journal::{self, Head, Journal, Line};
use super::npy::NpyWriter;
use super::part::{Block, Site, Start, Writer, part_of};
use super::png::{PictureWriter, PlotWriter};
use super::record::{self, Entry};
use super::rows::{TableInfo, TableWriter};
use super::tiff::TiffWriter;
use super::zarr::{self, ZarrWriter};
use super::{Format, MapInfo, SeriesInfo, SinkError};

/// The record of a run, beside its outputs.
const RUN: &str = "run.json";

/// All outputs of one run, in all their formats, in one folder.
///
/// Files are `NAME.EXT.part` until [`commit`](Self::commit) renames them. Dropped without a commit, it leaves the
/// parts and `journal.jsonl`, which says what is complete in them; outputs of an earlier run stay as they were. The
/// next run into the folder goes on from there, if it [asks for it](Destination::resume), or clears it away.
pub struct OutputSet {
    dir: PathBuf,
    /// Whether the folder was made for this set.
    made: bool,
    pub(super) journal: Journal,
    pub(super) outputs: Vec<Output>,
    pub(super) tables: Vec<TableWriter>,
    /// Names of the files of all outputs once they are complete.
    names: Vec<String>,
    pub(super) kind: Kind,
    /// What has to be the same for a later run to go on.
    run: Value,
    pub(super) complete: u64,
    failed: bool,
}

/// Where a set goes, in which formats, and what it belongs to.
#[derive(Clone, Debug)]
pub struct Destination<'a> {
    /// The folder, which is made if it is not there.
    pub dir: &'a Path,
    /// The formats of each output; one named twice counts once.
    pub formats: &'a [Format],
    /// Tables with a row for each map, whose rows come in the maps' notes: `{"rows": {NAME: "1,2,3"}}`.
    pub tables: &'a [TableInfo],
    /// What has to be the same for a later run to go on where this one ended: an object of names and values.
    pub run: Value,
    /// Whether to go on with what an interrupted run left in the folder. [`OutputSet::replay`] has to follow then.
    pub resume: bool,
    /// Whether an earlier run's results may go: not where the recording cannot be had again.
    pub replace: bool,
    /// Files and folders that no output may replace: what the run reads.
    pub keep: &'a [PathBuf],
}

impl<'a> Destination<'a> {
    /// A run that starts anew.
    #[must_use]
    pub fn new(dir: &'a Path, formats: &'a [Format]) -> Self {
        Self { dir, formats, tables: &[], run: Value::Null, resume: false, replace: true, keep: &[] }
    }
}

impl Destination<'_> {
    /// That nothing is lost by writing these files.
    fn check(&self, files: &[String]) -> Result<(), SinkError> {
        let [run, journal] = [RUN, journal::NAME].map(|name| self.dir.join(name));
        if run.is_dir() {
            return Err(SinkError::Occupied { path: run });
        }
        let targets: Vec<PathBuf> = files.iter().map(|f| self.dir.join(f)).filter(|target| target.exists()).collect();
        let real = |path: &Path| fs::canonicalize(path).ok();
        let places = targets.iter().map(PathBuf::as_path).chain([self.dir, &run, &journal]);
        let places: Vec<PathBuf> = places.filter_map(real).collect();
        if let Some(input) = self.keep.iter().find(|input| real(input).is_some_and(|input| places.contains(&input))) {
            return Err(SinkError::Input { path: input.clone() });
        }
        // Acquisition programs write a run.json too.
        if let Some(path) = [(&run, record::is_record(&run)), (&journal, journal::is_journal(&journal))]
            .into_iter()
            .find_map(|(path, ours)| ours.is_some_and(|ours| !ours).then_some(path))
        {
            return Err(SinkError::Foreign { path: path.clone() });
        }
        if !journal.exists() {
            // Without a journal no run has left parts.
            let parts = files.iter().map(String::as_str).chain([RUN]).map(|f| part_of(&self.dir.join(f)));
            if let Some(path) = parts.into_iter().find(|part| part.is_file()) {
                return Err(SinkError::Foreign { path });
            }
        }
        let goes_on = self.resume && journal.exists();
        let earlier = [&run, &journal].into_iter().find(|path| path.exists());
        // A folder in a file's place is an error of its own.
        let store = |target: &Path| target.extension().is_some_and(|extension| extension == "zarr");
        match (earlier, targets.iter().find(|target| target.is_file() || store(target))) {
            (Some(path), _) if !self.replace && !goes_on => Err(SinkError::Earlier { path: path.clone() }),
            (None, Some(target)) => Err(SinkError::Foreign { path: target.clone() }),
            _ => Ok(()),
        }
    }
}

pub(super) struct Output {
    name: String,
    /// Values of a map, or channels.
    pub(super) values: usize,
    pub(super) writers: Vec<Box<dyn Writer>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Maps,
    Series,
}

impl Kind {
    pub(super) fn nouns(self) -> &'static str {
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
    pub fn create(to: &Destination<'_>, outputs: &[MapInfo]) -> Result<Self, SinkError> {
        for info in outputs {
            if info.shape.contains(&0) {
                let [rows, columns] = info.shape;
                return Err(mismatch(&info.name, format!("maps of {rows} x {columns}"), "at least one pixel".into()));
            }
        }
        let names = outputs.iter().map(|o| o.name.as_str());
        let dir = to.dir;
        Self::start(to, Kind::Maps, names, |i, format, start| {
            let info = &outputs[i];
            Ok(match format {
                Format::Tiff => Box::new(TiffWriter::maps(dir, info, start)?),
                Format::Npy => Box::new(NpyWriter::maps(dir, info, start)?),
                Format::Csv => Box::new(CsvWriter::maps(dir, info, start)?),
                Format::Png => Box::new(PictureWriter::maps(dir, info, start)?),
                Format::Zarr | Format::Zarr04 => Box::new(ZarrWriter::maps(dir, info, format.extension(), start)?),
            })
        })
        .map(|set| set.expecting(outputs.iter().map(|o| o.shape[0] * o.shape[1])))
    }

    /// Start the files of a model for series, in a folder that is made if it is not there.
    ///
    /// # Errors
    /// As [`create`](Self::create); also formats that hold maps only.
    pub fn create_series(to: &Destination<'_>, outputs: &[SeriesInfo]) -> Result<Self, SinkError> {
        let for_maps = to.formats.iter().find(|f| f.for_maps_only());
        if let (Some(info), Some(format)) = (outputs.first(), for_maps) {
            return Err(not_for_series(&info.name, *format));
        }
        let names = outputs.iter().map(|o| o.name.as_str());
        let dir = to.dir;
        Self::start(to, Kind::Series, names, |i, format, start| {
            let info = &outputs[i];
            Ok(match format {
                Format::Npy => Box::new(NpyWriter::series(dir, info, start)?),
                Format::Csv => Box::new(CsvWriter::series(dir, info, start)?),
                Format::Png => Box::new(PlotWriter::series(dir, info, start)?),
                Format::Tiff | Format::Zarr | Format::Zarr04 => return Err(not_for_series(&info.name, format)),
            })
        })
        .map(|set| set.expecting(outputs.iter().map(|o| o.channels)))
    }

    fn start<'a>(
        to: &Destination<'_>,
        kind: Kind,
        names: impl Iterator<Item = &'a str>,
        open: impl Fn(usize, Format, Start) -> Result<Box<dyn Writer>, SinkError>,
    ) -> Result<Self, SinkError> {
        let names: Vec<&str> = names.collect();
        let tables = to.tables.iter().map(|t| t.name.as_str());
        check_names(&names.iter().copied().chain(tables).collect::<Vec<_>>())?;
        let mut formats: Vec<Format> = Vec::new();
        for format in to.formats {
            if !formats.contains(format) {
                formats.push(*format);
            }
        }
        let file = |name: &&str, format: &Format| format!("{name}.{}", format.extension());
        let mut files: Vec<String> = names.iter().flat_map(|n| formats.iter().map(move |f| file(n, f))).collect();
        files.extend(to.tables.iter().flat_map(TableInfo::files));
        to.check(&files)?;
        let dir = to.dir.to_owned();
        let made = !dir.exists();
        fs::create_dir_all(&dir).map_err(|source| SinkError::Create { path: dir.clone(), source })?;
        let head = Head::new(kind.nouns(), files, &to.run);
        let left = if to.resume { Journal::reopen(&dir)? } else { None };
        let (journal, start) = match left {
            Some((journal, old)) => {
                if let Some((what, got, expected)) = head.difference(&old) {
                    return Err(SinkError::OtherRun { path: journal.path().to_owned(), what, got, expected });
                }
                let renamed = journal.was_renaming();
                (journal, Start::Replay { renamed })
            }
            None => {
                // A complete run has no journal any more; its record says what it was.
                let complete = dir.join(RUN);
                let settings = if to.resume { record::settings(&complete) } else { None };
                if let Some((what, got, expected)) = settings.and_then(|old| journal::difference(&head.run, &old)) {
                    return Err(SinkError::OtherRun { path: complete, what, got, expected });
                }
                (Journal::create(&dir, &head)?, Start::Anew)
            }
        };
        let run = head.run;
        let files = head.files;
        let (outputs, tables) = (Vec::new(), Vec::new());
        let mut set = Self { dir, made, journal, outputs, tables, names: files, kind, run, complete: 0, failed: false };
        let opened = set.open(&names, &formats, |i, format| open(i, format, start));
        match opened.and_then(|()| set.open_tables(to.tables, start)) {
            Ok(()) => Ok(set),
            Err(error) => {
                if start == Start::Anew {
                    set.abandon();
                }
                Err(error)
            }
        }
    }

    fn open(
        &mut self,
        names: &[&str],
        formats: &[Format],
        open: impl Fn(usize, Format) -> Result<Box<dyn Writer>, SinkError>,
    ) -> Result<(), SinkError> {
        for (i, name) in names.iter().enumerate() {
            let writers = formats.iter().map(|format| open(i, *format)).collect::<Result<_, _>>()?;
            self.outputs.push(Output { name: (*name).to_owned(), values: 0, writers });
        }
        Ok(())
    }

    fn open_tables(&mut self, tables: &[TableInfo], start: Start) -> Result<(), SinkError> {
        for info in tables {
            self.tables.push(TableWriter::new(&self.dir, info, start)?);
        }
        Ok(())
    }

    /// Remove what a start that failed has made: it holds nothing, and no journal tells the next run of it.
    fn abandon(self) {
        let Self { dir, made, outputs, tables, names, journal, .. } = self;
        // Closed before they are removed: some systems do not remove an open file.
        drop((outputs, tables));
        names.iter().map(String::as_str).chain([RUN]).for_each(|file| clear(&dir, file));
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
        self.abandon();
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
        self.names.iter().map(String::as_str).chain([RUN]).map(|name| self.dir.join(name)).collect()
    }

    /// Append one map of every output.
    ///
    /// `map` counts from 0 without gaps; `frame` is the index of the frame that it belongs to and `time` that
    /// frame's time in the unit of the time step. `outputs` has one map for each output, axes (y, x), row-major.
    /// `note` is given back by [`replay`](Self::replay).
    ///
    /// # Errors
    /// A disk that is full or fails; then nothing can be committed any more. Maps that were not announced so.
    pub fn write(&mut self, map: u64, frame: u64, time: f64, outputs: &[&[f32]], note: Value) -> Result<(), SinkError> {
        self.expect(Kind::Maps, map, outputs.len())?;
        for (output, values) in self.outputs.iter().zip(outputs) {
            if values.len() != output.values {
                let expected = format!("{} in a map", output.values);
                return Err(mismatch(&output.name, format!("{} values", values.len()), expected));
            }
        }
        self.append(map, frame, time, outputs)?;
        self.append_rows(&note)?;
        self.complete += 1;
        self.note(frame, time, outputs, note)
    }

    fn append_rows(&mut self, note: &Value) -> Result<(), SinkError> {
        for table in &mut self.tables {
            if let Err(e) = table.write(note) {
                self.failed = true;
                let path = table.sites().next().map_or_else(|| self.dir.clone(), |s| s.path().to_owned());
                return Err(SinkError::io("write", &path, e, self.complete, self.kind.nouns()));
            }
        }
        Ok(())
    }

    /// Append samples of every output.
    ///
    /// `first` is the index of the first sample; samples come without gaps. `outputs` has one block for each
    /// output, axes (sample, channel), row-major: the channels of a sample lie side by side. `note` is given back by
    /// [`replay`](Self::replay); a block without one is not, as samples near a recording's end for now are not those
    /// that they would be with more behind them.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_samples(&mut self, first: u64, outputs: &[&[f32]], note: Option<Value>) -> Result<(), SinkError> {
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
        note.map_or(Ok(()), |note| self.note(first, 0.0, outputs, note))
    }

    /// Complete all files, write `run_json` as `run.json`, and give everything its final name.
    ///
    /// The record gets a version, `mollifier`, and [what has to be the same](Destination::run), `settings`, where it has
    /// none of its own.
    ///
    /// Outputs of an earlier run by the same names are replaced now and not before. The journal goes, or stays for
    /// a later run to go on where `more` may come. `maps` makes an entry of each map's frame, time and note, which go
    /// under the name `maps`.
    ///
    /// # Errors
    /// A disk that is full or fails, nothing written, an earlier failure. The parts and the journal remain then.
    pub fn commit(mut self, run_json: &Value, maps: Option<Entry<'_>>, more: bool) -> Result<(), SinkError> {
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
            writer.finish().map_err(|e| error("finish", writer.site().path(), e))?;
        }
        for table in &mut self.tables {
            if let Err(e) = table.finish() {
                let path = table.sites().next().map_or_else(|| self.dir.clone(), |s| s.path().to_owned());
                return Err(error("finish", &path, e));
            }
        }
        let run = self.dir.join(RUN);
        let run_json = record::signed(run_json, &self.run);
        let written = record::write(&part_of(&run), &run_json, &self.journal, maps);
        written.map_err(|e| error("write", &part_of(&run), e))?;

        let paths = |site: &mut dyn Site| [site.path(), site.target()].map(Path::to_owned);
        let writers = self.outputs.iter_mut().flat_map(|o| &mut o.writers);
        let mut moves: Vec<[PathBuf; 2]> = writers.map(|w| paths(w.site())).collect();
        moves.extend(self.tables.iter_mut().flat_map(TableWriter::sites).map(paths));
        moves.push([part_of(&run), run]);
        self.journal.renaming().map_err(|e| error("write", self.journal.path(), e))?;
        // Closed before they are renamed: some systems do not rename an open file.
        self.outputs.clear();
        self.tables.clear();
        for [path, target] in &moves {
            // A store has its name already.
            let done = if path == target { zarr::complete(path) } else { fs::rename(path, target) };
            done.map_err(|e| error("rename", path, e))?;
        }
        sync_folder(&self.dir);
        if more {
            return Ok(());
        }
        let journal = self.journal.path().to_owned();
        self.journal.remove().map_err(|e| error("remove", &journal, e))
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
                    return Err(SinkError::io("write", writer.site().path(), e, self.complete, self.kind.nouns()));
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, frame: u64, time: f64, outputs: &[&[f32]], note: Value) -> Result<(), SinkError> {
        let sums = outputs.iter().map(|values| checksum(values)).collect();
        let line = Line { complete: self.complete, frame, time: time.to_bits(), sums, note };
        self.journal.append(&line).map_err(|e| {
            self.failed = true;
            SinkError::io("write", self.journal.path(), e, self.complete, self.kind.nouns())
        })
    }
}

/// CRC-32 of values as little-endian float32.
pub(super) fn checksum(values: &[f32]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let mut bytes = [0; 4096];
    for values in values.chunks(bytes.len() / 4) {
        bytes.chunks_exact_mut(4).zip(values).for_each(|(b, v)| b.copy_from_slice(&v.to_le_bytes()));
        hasher.update(&bytes[..4 * values.len()]);
    }
    hasher.finalize()
}

fn mismatch(what: &str, got: String, expected: String) -> SinkError {
    SinkError::Mismatch { what: what.to_owned(), got, expected }
}

fn not_for_series(name: &str, format: Format) -> SinkError {
    let (kind, expected) = ("a series", "npy, csv or png");
    SinkError::Unsupported { name: name.to_owned(), format, kind, expected }
}

/// Remove what a run that is not complete left of one of its files.
pub(super) fn clear(dir: &Path, file: &str) {
    let target = dir.join(file);
    // Whatever cannot be removed does not matter to the next run.
    fs::remove_file(part_of(&target)).ok();
    if file.ends_with(zarr::V05) {
        zarr::clear(&target);
    }
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

/// Make the renames last; some systems cannot sync a folder, and need not.
fn sync_folder(dir: &Path) {
    if let Ok(folder) = File::open(dir) {
        folder.sync_all().ok();
    }
}
