//! Where a run's outputs go: the files of `--out`, and `run.json` beside them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use mollifier::model::{Model, Transform};
use mollifier::sink::{Format, MapInfo, OutputSet, SeriesInfo};
use mollifier::stream::{BoxError, Map, SampleBlock};
use serde_json::Value;

use super::args::{FormatArg, RunArgs};
use super::counted;
use super::failure::misuse;
use super::spacing::RunSpacing;

/// The files of one run, under construction.
pub(crate) struct Outputs {
    set: OutputSet,
    dir: PathBuf,
    written: u64,
    /// Files of an earlier run that this one does not replace.
    stale: Vec<String>,
    /// A block of samples, axes (sample, channel), for each output.
    turned: Vec<Vec<f32>>,
}

impl Outputs {
    /// The files for maps of `shape` (y, x), if any were asked for; `maps` is how many will come.
    pub(crate) fn for_maps(
        args: &RunArgs,
        model: &Model,
        spacing: &RunSpacing,
        shape: [usize; 2],
        maps: Option<u64>,
    ) -> Result<Option<Self>> {
        let Some(dir) = &args.out else { return no_folder(args) };
        let infos: Vec<_> = model
            .contract
            .outputs
            .iter()
            .map(|o| MapInfo {
                name: o.name.clone(),
                quantity: o.quantity.clone(),
                unit: spacing.unit(&model.contract, &o.unit),
                shape,
                maps,
                spacing: spacing.spacing.clone(),
                log_scale: o.transform == Transform::Log && o.name != "std",
                description: description(model),
            })
            .collect();
        let set = OutputSet::create(dir, &infos, &formats(args, &Format::DEFAULT_MAPS)?)?;
        Ok(Some(Self::new(set, dir, Vec::new())))
    }

    /// The files for series of these channels, if any were asked for.
    pub(crate) fn for_samples(
        args: &RunArgs,
        model: &Model,
        spacing: &RunSpacing,
        channels: &[String],
    ) -> Result<Option<Self>> {
        let Some(dir) = &args.out else { return no_folder(args) };
        let infos: Vec<_> = model
            .contract
            .outputs
            .iter()
            .map(|o| SeriesInfo {
                name: o.name.clone(),
                quantity: o.quantity.clone(),
                unit: spacing.unit(&model.contract, &o.unit),
                channels: channels.len().max(1),
                step: spacing.spacing.t.clone(),
                log_scale: o.transform == Transform::Log && o.name != "std",
                description: description(model),
            })
            .collect();
        let set = OutputSet::create_series(dir, &infos, &formats(args, &Format::DEFAULT_SERIES)?)?;
        Ok(Some(Self::new(set, dir, vec![Vec::new(); infos.len()])))
    }

    fn new(set: OutputSet, dir: &Path, turned: Vec<Vec<f32>>) -> Self {
        let replaced: Vec<String> = set.files().iter().filter_map(|p| file_name(p)).collect();
        let mut stale = files_of_earlier_runs(dir, &replaced);
        stale.retain(|f| !replaced.contains(f));
        Self { set, dir: dir.to_owned(), written: 0, stale, turned }
    }

    /// What a user should know who takes everything in the folder for this run's.
    pub(crate) fn warning(&self) -> Option<String> {
        let (dir, files) = (self.dir.display(), self.stale.join(", "));
        (!self.stale.is_empty())
            .then(|| format!("{dir} also holds files of an earlier run that this one leaves: {files}"))
    }

    /// Append one window's maps.
    pub(crate) fn map(&mut self, map: &Map<'_>) -> Result<(), BoxError> {
        let slices: Vec<&[f32]> = map.outputs.iter().filter_map(|a| a.as_slice()).collect();
        self.set.write(self.written, map.frame, map.time, &slices)?;
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
        self.set.write_samples(block.first, &slices)?;
        self.written = self.set.complete();
        Ok(())
    }

    /// Give up after a failure or an interruption: says what is left behind, nothing where nothing is complete.
    pub(crate) fn give_up(self, nouns: &str) -> Option<String> {
        match self.set.complete() {
            0 => {
                self.set.discard();
                None
            }
            n => Some(format!("complete in the .part files in {}: {}", self.dir.display(), counted(n, nouns))),
        }
    }

    /// Give the files their names, with the record made of them; says what was written.
    pub(crate) fn commit(self, record: impl Fn(&[String]) -> Value) -> Result<String> {
        let files: Vec<String> = self.set.files().iter().filter_map(|p| file_name(p)).collect();
        self.set.commit(&record(&files))?;
        Ok(format!("{}: {}", self.dir.display(), files.join(", ")))
    }
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
}

/// The files in the folder that an earlier run's record names, or that bear the name of an output in another format.
fn files_of_earlier_runs(dir: &Path, replaced: &[String]) -> Vec<String> {
    let record = std::fs::read(dir.join("run.json")).ok().and_then(|t| serde_json::from_slice::<Value>(&t).ok());
    let files = record.as_ref().and_then(|r| r.get("files")?.as_array());
    let named = files.into_iter().flatten().filter_map(|f| f.as_str()).map(str::to_owned);
    let stems = replaced.iter().filter(|f| *f != "run.json").filter_map(|f| Some(f.rsplit_once('.')?.0));
    let twins = stems.flat_map(|stem| Format::ALL.map(|f| format!("{stem}.{}", f.extension())));
    let mut names: Vec<String> = named.chain(twins).collect();
    names.sort();
    names.dedup();
    names.retain(|f| !f.contains(['/', '\\']) && dir.join(f).is_file());
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
            FormatArg::Zarr => {
                Err(misuse("--format zarr: not written by this version, expected tiff, npy, csv or png"))
            }
        })
        .collect()
}

fn description(model: &Model) -> String {
    format!("{}, by {}", model.contract.physics.equation, model.name)
}
