//! Where a run's outputs go: the files of `--out`, and `run.json` beside them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use mollifier::model::{Contract, Model, Output, Transform};
use mollifier::sink::{Destination, Entry, Format, Kept, MapInfo, OutputSet, SeriesInfo, TableInfo};
use mollifier::source::Described;
use mollifier::stream::{BoxError, Map, SampleBlock};
use mollifier::units::Spacing;
use serde_json::{Value, json};

use super::args::{FormatArg, RunArgs};
use super::counted;
use super::failure::misuse;
use super::input::{is_passing, is_sensor};
use super::spacing::RunSpacing;

/// The record of a run in its folder, and what is there beside it only while a run can be gone on with.
const RUN: &str = "run.json";
const JOURNAL: &str = "journal.jsonl";

/// What the files hold, in order, each with its unit, and a line on where it comes from.
pub(crate) struct Announced {
    pub(crate) outputs: Vec<(Output, Option<String>)>,
    pub(crate) description: String,
}

impl Announced {
    /// The outputs of a model.
    pub(crate) fn of(model: &Model, spacing: &RunSpacing) -> Self {
        let Contract { inputs, outputs, physics, .. } = &model.contract;
        Self {
            outputs: outputs.iter().map(|o| (o.clone(), spacing.unit(inputs, &o.unit))).collect(),
            description: format!("{}, by {}", physics.equation, model.name),
        }
    }
}

/// The maps that will come.
pub(crate) struct Expected<'a> {
    /// Rows and columns.
    pub(crate) shape: [usize; 2],
    /// How many, where that is known.
    pub(crate) maps: Option<u64>,
    /// Frames between the recording's first one and that of the first map.
    pub(crate) delay: usize,
    /// Tables with a row for each.
    pub(crate) tables: &'a [TableInfo],
    /// What the recording's file says of it.
    pub(crate) described: &'a Described,
}

/// The files of one run, under construction.
pub(crate) struct Outputs {
    set: OutputSet,
    dir: PathBuf,
    written: u64,
    /// Files of an earlier run that this one does not replace.
    stale: Vec<String>,
    /// A block of samples, axes (sample, channel), for each output.
    turned: Vec<Vec<f32>>,
    /// Whether a later run can go on: a sensor's samples cannot be read again.
    can_resume: bool,
}

impl Outputs {
    /// The files for maps, if any were asked for.
    pub(crate) fn for_maps(
        args: &RunArgs,
        announced: &Announced,
        spacing: &Spacing,
        expected: &Expected<'_>,
        run: Value,
    ) -> Result<Option<Self>> {
        let Expected { shape, maps, delay, tables, described } = *expected;
        let Some(dir) = &args.out else { return no_folder(args) };
        let infos: Vec<_> = announced
            .outputs
            .iter()
            .map(|(o, unit)| MapInfo {
                name: o.name.clone(),
                quantity: o.quantity.clone(),
                unit: unit.clone(),
                shape,
                maps,
                spacing: spacing.clone(),
                start: delay as f64 * spacing.t.as_ref().map_or(1.0, |t| t.value),
                log_scale: o.transform == Transform::Log && o.name != "std",
                description: announced.description.clone(),
                // Of a recording that is still being written nothing is final.
                recording: described.name.clone().filter(|_| args.follow.is_none()),
                acquired: described.acquired.clone().filter(|_| args.follow.is_none()),
            })
            .collect();
        let formats = formats(args, &Format::DEFAULT_MAPS)?;
        let keep = inputs(args);
        let to = Destination { tables, run, ..destination(args, dir, &formats, &keep) };
        let set = OutputSet::create(&to, &infos)?;
        Ok(Some(Self::new(set, dir, Vec::new())))
    }

    /// The files for series of so many channels, if any were asked for.
    pub(crate) fn for_samples(
        args: &RunArgs,
        announced: &Announced,
        spacing: &Spacing,
        start: f64,
        channels: usize,
        run: Value,
    ) -> Result<Option<Self>> {
        let Some(dir) = &args.out else { return no_folder(args) };
        let infos: Vec<_> = announced
            .outputs
            .iter()
            .map(|(o, unit)| SeriesInfo {
                name: o.name.clone(),
                quantity: o.quantity.clone(),
                unit: unit.clone(),
                channels: channels.max(1),
                step: spacing.t.clone(),
                start,
                log_scale: o.transform == Transform::Log && o.name != "std",
                description: announced.description.clone(),
            })
            .collect();
        let formats = formats(args, &Format::DEFAULT_SERIES)?;
        let keep = inputs(args);
        let to = Destination { run, ..destination(args, dir, &formats, &keep) };
        let set = OutputSet::create_series(&to, &infos)?;
        let outputs = Self::new(set, dir, vec![Vec::new(); infos.len()]);
        Ok(Some(Self { can_resume: !is_sensor(&args.input()), ..outputs }))
    }

    fn new(set: OutputSet, dir: &Path, turned: Vec<Vec<f32>>) -> Self {
        let replaced: Vec<String> = set.files().iter().filter_map(|p| file_name(p)).collect();
        let mut stale = files_of_earlier_runs(dir, &replaced);
        stale.retain(|f| !replaced.contains(f));
        Self { set, dir: dir.to_owned(), written: 0, stale, turned, can_resume: true }
    }

    /// What a user should know who takes everything in the folder for this run's.
    pub(crate) fn warning(&self) -> Option<String> {
        let (dir, files) = (self.dir.display(), self.stale.join(", "));
        (!self.stale.is_empty())
            .then(|| format!("{dir} also holds files of an earlier run that this one leaves: {files}"))
    }

    /// Take up what an interrupted run left; how many maps or samples there are.
    pub(crate) fn replay(&mut self, each: &mut dyn FnMut(&Kept<'_>)) -> Result<u64> {
        self.written = self.set.replay(each)?;
        Ok(self.written)
    }

    /// Maps or samples written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Append one window's maps, and what else there is to them.
    pub(crate) fn map(&mut self, map: &Map<'_>, extras: Extras) -> Result<(), BoxError> {
        let slices: Vec<&[f32]> = map.outputs.iter().filter_map(|a| a.as_slice()).collect();
        let mut note = serde_json::to_value(map.mark)?;
        if let Some(fields) = note.as_object_mut() {
            fields.extend(extras.fields);
            fields.insert("rows".to_owned(), Value::Object(extras.rows));
        }
        self.set.write(self.written, map.frame, map.time, &slices, note)?;
        self.written += 1;
        Ok(())
    }

    /// Append one block of samples.
    pub(crate) fn block(&mut self, block: &SampleBlock<'_>) -> Result<(), BoxError> {
        for (turned, output) in self.turned.iter_mut().zip(block.outputs) {
            turned.clear();
            turned.extend(output.t().iter());
        }
        let slices: Vec<&[f32]> = self.turned.iter().map(Vec::as_slice).collect();
        let note = block.mark.map(serde_json::to_value).transpose()?;
        self.set.write_samples(block.first, &slices, note)?;
        self.written = self.set.complete();
        Ok(())
    }

    /// Append the maps of one frame that no stream gave.
    pub(crate) fn values(&mut self, frame: u64, time: f64, outputs: &[&[f32]]) -> Result<()> {
        self.set.write(self.written, frame, time, outputs, json!({}))?;
        self.written += 1;
        Ok(())
    }

    /// Append samples of one channel that no stream gave.
    pub(crate) fn samples(&mut self, first: u64, outputs: &[&[f32]]) -> Result<()> {
        self.set.write_samples(first, outputs, None)?;
        self.written = self.set.complete();
        Ok(())
    }

    /// Remove what was written so far.
    pub(crate) fn discard(self) {
        self.set.discard();
    }

    /// Give up after a failure or an interruption: says what is left behind and the way on from there, nothing where
    /// nothing is complete.
    pub(crate) fn give_up(self, nouns: &str, way_on: Option<&str>) -> Option<String> {
        match self.set.complete() {
            0 => {
                self.set.discard();
                None
            }
            n => {
                let (dir, what) = (self.dir.display(), counted(n, nouns));
                let way_on = way_on.filter(|_| self.can_resume).map(|text| format!(" ({text})"));
                Some(format!("complete in the .part files in {dir}: {what}{}", way_on.unwrap_or_default()))
            }
        }
    }

    /// Give the files their names, with the record made of them; says what was written.
    ///
    /// What was `interrupted` can be gone on with later.
    pub(crate) fn commit(
        self,
        interrupted: bool,
        maps: Option<Entry<'_>>,
        record: impl Fn(&[String]) -> Value,
    ) -> Result<String> {
        let files: Vec<String> = self.set.files().iter().filter_map(|p| file_name(p)).collect();
        self.set.commit(&record(&files), maps, interrupted)?;
        Ok(format!("{}: {}", self.dir.display(), files.join(", ")))
    }
}

/// What goes into the journal with a map besides its mark.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    rows: serde_json::Map<String, Value>,
    fields: serde_json::Map<String, Value>,
}

impl Extras {
    /// A row of the table of this name.
    pub(crate) fn row(&mut self, table: &str, row: String) {
        self.rows.insert(table.to_owned(), Value::String(row));
    }

    /// What the map's entry in run.json has under this name.
    pub(crate) fn field(&mut self, name: &str, value: Value) {
        self.fields.insert(name.to_owned(), value);
    }
}

/// Where the files go, and what may not go for them.
fn destination<'a>(args: &RunArgs, dir: &'a Path, formats: &'a [Format], keep: &'a [PathBuf]) -> Destination<'a> {
    Destination { resume: args.resume, replace: !is_passing(&args.input()), keep, ..Destination::new(dir, formats) }
}

/// The files and folders that a run reads, and whatever else could be one by its name.
fn inputs(args: &RunArgs) -> Vec<PathBuf> {
    let fields = args.with.iter().map(|(_, value)| PathBuf::from(value));
    [args.model.clone(), PathBuf::from(args.input())].into_iter().chain(fields).collect()
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
}

/// The record of an earlier run into the folder; `None` where there is none that can be read.
fn earlier_record(dir: &Path) -> Option<Value> {
    std::fs::read(dir.join(RUN)).ok().and_then(|text| serde_json::from_slice(&text).ok())
}

/// Refuse to go on in a folder that holds a complete run of another recording or by another model: there is nothing to
/// go on with, and a new run would replace its results.
pub(crate) fn refuse_another(args: &RunArgs, model: &Model, input: &str) -> Result<()> {
    let dir = match &args.out {
        // What passes by replaces no earlier run: the set refuses it itself.
        Some(dir) if args.resume && !is_passing(input) => dir,
        _ => return Ok(()),
    };
    // An interrupted run has its journal, which says what has to be the same.
    if dir.join(JOURNAL).exists() {
        return Ok(());
    }
    let record = earlier_record(dir).unwrap_or_default();
    let (Some(recording), Some(hash)) = (record["input"].as_str(), record["model"]["sha256"].as_str()) else {
        return Ok(());
    };
    // The name alone depends on the folder that the command was typed in; records of older versions have no more.
    let same = match record["input_path"].as_str() {
        Some(path) => is_same_place(path, input),
        None => recording == input || is_same_place(recording, input),
    };
    if hash == model.hash && same {
        return Ok(());
    }
    let by = record["model"]["name"].as_str().unwrap_or(hash);
    // Two versions of a model bear one name.
    let [by, new] = if by == model.name && hash != model.hash {
        [(by, hash), (&model.name, &model.hash)].map(|(name, hash)| format!("{name} (sha256 {hash:.8})"))
    } else {
        [by.to_owned(), model.name.clone()]
    };
    Err(misuse(format!(
        "{}: got --resume where a complete run of {recording} by {by} lies, expected an interrupted one of {input} by \
         {new}: give another --out, or leave --resume away to replace it",
        dir.join(RUN).display()
    )))
}

/// Whether two names are those of one file or folder that is there.
pub(crate) fn is_same_place(a: impl AsRef<Path>, b: impl AsRef<Path>) -> bool {
    std::fs::canonicalize(a).is_ok_and(|a| std::fs::canonicalize(b).is_ok_and(|b| a == b))
}

/// The files in the folder that an earlier run's record names, or that bear the name of an output in another format.
fn files_of_earlier_runs(dir: &Path, replaced: &[String]) -> Vec<String> {
    let record = earlier_record(dir);
    let files = record.as_ref().and_then(|r| r.get("files")?.as_array());
    let named = files.into_iter().flatten().filter_map(|f| f.as_str()).map(str::to_owned);
    let stems = replaced.iter().filter(|f| *f != RUN).filter_map(|f| Some(f.rsplit_once('.')?.0));
    let twins = stems.flat_map(|stem| Format::ALL.map(|f| format!("{stem}.{}", f.extension())));
    let mut names: Vec<String> = named.chain(twins).collect();
    names.sort();
    names.dedup();
    names.retain(|f| !f.contains(['/', '\\']) && dir.join(f).exists());
    names
}

fn no_folder(args: &RunArgs) -> Result<Option<Outputs>> {
    if args.format.is_empty() {
        Ok(None)
    } else {
        Err(misuse("--format: got no --out, expected the folder to write into"))
    }
}

fn formats(args: &RunArgs, default: &[Format]) -> Result<Vec<Format>> {
    if args.format.is_empty() {
        return Ok(default.to_vec());
    }
    args.format
        .iter()
        .map(|f| match f {
            FormatArg::Tiff => Ok(Format::Tiff),
            FormatArg::Npy => Ok(Format::Npy),
            FormatArg::Csv => Ok(Format::Csv),
            FormatArg::Png => Ok(Format::Png),
            FormatArg::Zarr => Ok(Format::Zarr),
            FormatArg::Zarr04 => Ok(Format::Zarr04),
        })
        .collect()
}
