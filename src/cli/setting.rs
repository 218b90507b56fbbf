//! What every run has in hand, and how it ends.

use std::sync::Arc;

use anyhow::Result;
use mollifier::backend::Backend;
use mollifier::model::{Input, InputRole, Kind, Model};
use mollifier::sink::Entry;
use mollifier::source::{Described, Faults, Tally};
use mollifier::stream::{Givens, Report, Stuck};
use mollifier::units::Spacing;
use serde_json::{Value, json};

use super::args::{BackendArg, RunArgs};
use super::counted;
use super::givens::gather;
use super::input::one_frame;
use super::output::Outputs;
use super::record::{Record, map_entry};
use super::say;
use super::spacing::RunSpacing;
use super::summary::{Summary, lost, stream_lines};
use super::tested::outside;

/// What both kinds of run have in hand.
pub(crate) struct Setting<'a> {
    pub(crate) args: &'a RunArgs,
    pub(crate) model: &'a Model,
    pub(crate) backend: &'a dyn Backend,
    pub(crate) input: String,
    pub(crate) spacing: RunSpacing,
    pub(crate) givens: Givens,
    pub(crate) warnings: Vec<String>,
    /// Maps or samples that an interrupted run left, where this one goes on.
    pub(crate) resumed: Option<u64>,
    /// What is in the maps of a table of localisations.
    pub(crate) tally: Option<Arc<Tally>>,
    /// What the recording's file says of it, and the spacing that it states.
    pub(crate) described: Described,
    pub(crate) stated: Spacing,
    /// What a live series went through.
    pub(crate) faults: Option<Arc<Faults>>,
}

impl<'a> Setting<'a> {
    pub(crate) fn new(
        args: &'a RunArgs,
        model: &'a Model,
        backend: &'a dyn Backend,
        input: &str,
        stated: &mollifier::units::Spacing,
        said: &[String],
        shape: Option<[usize; 2]>,
    ) -> Result<Self> {
        let mut warnings = said.to_vec();
        let contract = &model.contract;
        let user = args.spacing.as_ref();
        let mut spacing = RunSpacing::decide(contract, shape.is_none(), user, stated, input, &mut warnings)?;
        spacing.state_units(&contract.inputs, &model.name, &args.unit)?;
        spacing.check_aspect(contract, &model.name, input)?;
        let givens = gather(contract, &model.name, &args.with, args.noise, &spacing, shape, one_frame)?;
        warnings.iter().for_each(|w| warn(w));
        Ok(Self {
            args,
            model,
            backend,
            input: input.to_owned(),
            spacing,
            givens,
            warnings,
            resumed: None,
            tally: None,
            described: Described::default(),
            stated: stated.clone(),
            faults: None,
        })
    }

    /// Note what is known of the folder that is written into.
    pub(crate) fn note(&mut self, outputs: Option<&Outputs>) {
        if let Some(warning) = outputs.and_then(Outputs::warning) {
            warn(&warning);
            self.warnings.push(warning);
        }
    }

    /// What has to be the same for a run to go on where another one ended: whatever its maps depend on, but the recording,
    /// which shows by itself whether it is the same.
    pub(crate) fn identity(&self, size: &[usize], every: Option<u64>) -> Value {
        let Self { args, spacing, .. } = self;
        // A file by the same name may hold something else by now.
        let content = |name: &str| {
            let mut hasher = crc32fast::Hasher::new();
            self.givens.fields.get(name)?.iter().for_each(|v| hasher.update(&v.to_le_bytes()));
            Some(format!(" (CRC-32 {:08x})", hasher.finalize()))
        };
        let text = |value: Option<String>| value.map_or(Value::Null, Value::String);
        json!({
            "mollifier": env!("CARGO_PKG_VERSION"),
            "model": self.model.hash,
            "backend": self.backend.name(),
            "size": size,
            "spacing": spacing.spacing,
            "steps": spacing.steps.iter().chain([&spacing.time_step]).map(f64::to_string).collect::<Vec<_>>(),
            "--with": args.with.iter().map(|(n, v)| format!("{n}={v}{}", content(n).unwrap_or_default())).collect::<Vec<_>>(),
            "--unit": args.unit.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>(),
            "--noise": text(args.noise.map(|n| n.to_string())),
            "--keep-outliers": args.keep_outliers,
            "--saturation": text(args.saturation.map(|s| format!("{s:?}"))),
            "--column": text(args.column.clone()),
            "--select": text(args.select.as_ref().map(ToString::to_string)),
            "--pixel-size": args.pixel_size,
            "--blur": args.blur,
            "--every": every,
            "--region": text(args.region.map(|r| format!("{r:?}"))),
            "--roi": text((!args.roi.is_empty()).then(|| args.roi.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))),
        })
    }

    /// Whether the user gave the noise, rather than having it estimated.
    pub(crate) fn noise_given(&self) -> Option<f64> {
        let input = self.model.contract.input(InputRole::Noise)?;
        self.givens.constants.get(&input.name).copied()
    }

    /// Localisations in the last map and pixels of it, where they are too few: in images of 64x64 pixels 66 % of the values
    /// were off by more than a factor of two with 100 localisations, and 42 % with 300.
    fn sparse(&self, report: &Report) -> Option<(u64, u64)> {
        let count = self.tally.as_ref()?.newest().localisations;
        let pixels = report.values.checked_div(report.read)?;
        (4 * count < pixels).then_some((count, pixels))
    }

    /// Warnings that only the end of a run tells; `lambda` is the median of its values.
    pub(crate) fn late_warnings(&self, report: &Report, lambda: Option<f64>, series: bool) -> Vec<String> {
        let mut late = Vec::new();
        if !report.banks_left_out.is_empty() {
            late.push(format!(
                "{} is too small for the kernels {}: computed without them",
                self.input,
                report.banks_left_out.join(", ")
            ));
        }
        if report.lost.count > 0 {
            late.push(format!("lost {}", lost(report, series)));
        }
        if report.blank_frames > 0 {
            let is = if report.blank_frames == 1 { "is" } else { "are" };
            late.push(format!(
                "{} among the lost {is} of one value: a closed shutter, or never written",
                counted(report.blank_frames, "frames")
            ));
        }
        if let Some(first) = report.first_jump {
            late.push(format!(
                "the brightness jumps at {} (first at index {first}): another exposure or lamp is taken for a change of the \
                 field in time, and maps around such a frame are not to be read",
                counted(report.jumps, "frames")
            ));
        }
        if let Some(first) = report.first_copy {
            late.push(format!(
                "{} exact copies of the one before (first at index {first}): a camera or grabber that repeats a frame is taken \
                 for a field that stands still",
                if report.copies == 1 { "1 frame is".into() } else { format!("{} frames are", report.copies) }
            ));
        }
        if let Some(Stuck { channel, first, samples }) = report.stuck {
            late.push(format!(
                "the {samples} samples from index {first} on{} have one value: where the sensor was stuck, lambda and its std \
                 say nothing",
                channel.map(|c| format!(" of channel {c}")).unwrap_or_default()
            ));
        }
        if report.rounding > 0.0 {
            late.push(format!(
                "the values come in steps of {}, coarser than their noise: rounding is no noise that kernels average, and \
                 where the signal moves by few steps lambda and its std are not to be trusted (record more digits)",
                super::summary::short(report.rounding as f32)
            ));
        }
        if report.outlying_values > 0 {
            let (what, of) =
                if series { ("glitches", "samples") } else { ("hot or dead pixels, cosmic rays", "frames") };
            late.push(format!(
                "{} in {} stand out from all around them by more than 8 times the noise ({what}): left out like missing \
                 ones, --keep-outliers takes them for values",
                counted(report.outlying_values, "values"),
                counted(report.outlying_frames, of)
            ));
        }
        if report.repeated > 0 {
            late.push(format!("{} came again or too late: passed over", counted(report.repeated, "frames")));
        }
        if report.windows_passed_over > 0 {
            late.push(format!(
                "{} left out: too many frames are missing between those they need",
                counted(report.windows_passed_over, "maps")
            ));
        }
        if let Some(tally) = &self.tally {
            let count = tally.newest();
            if count.outside > 0 {
                let outside = counted(count.outside, "localisations");
                late.push(format!("{outside} outside the field of view, in no map (--region widens it)"));
            }
            if count.late > 0 {
                let late_ones = counted(count.late, "localisations");
                late.push(format!("{late_ones} came behind later camera frames: in the maps from then on"));
            }
            late.extend(tally.notes());
        }
        let faults = self.faults.iter().flat_map(|faults| faults.told());
        late.extend(faults.filter(|f| f.1 > 0).map(|(_, count, what)| format!("{}: {count} {what}", self.input)));
        if let Some((count, pixels)) = self.sparse(report) {
            late.push(format!(
                "{count} localisations in an image of {pixels} pixels: of fewer than one in four pixels no map can be made, \
                 whatever its support (record more, or take a larger --pixel-size)"
            ));
        }
        late.extend(outside(&self.model.contract, &self.givens, self.noise_given(), lambda, report));
        if report.uniform_maps > 0 {
            late.push(format!(
                "{} of one density, which does not show the two phases: no value (--with phi_low=, phi_high= give them)",
                counted(report.uniform_maps, "maps")
            ));
        }
        if let (Some(limit), None) = (report.limit, self.args.saturation) {
            late.push(format!(
                "{} with many pixels at their largest value, {limit}: where that is the camera's limit, --saturation \
                 {limit} leaves them out (--saturation off, where it is none)",
                counted(report.limited_frames, "frames")
            ));
        }
        if report.invalid_values > report.values / 2 {
            late.push(format!(
                "{:.0} % of the values are missing or saturated (--saturation sets from where on)",
                100.0 * report.invalid_values as f64 / report.values as f64
            ));
        }
        late
    }

    /// Fields and constants of the law that nobody gave, with the value that they have.
    fn defaults(&self) -> impl Iterator<Item = (&str, f64)> {
        let of_law = |i: &&Input| matches!(i.role, InputRole::Field | InputRole::Constant);
        let inputs = self.model.contract.inputs.iter().filter(of_law);
        let given = |name: &str| self.args.with.iter().any(|(n, _)| n == name);
        inputs.filter(move |i| !given(&i.name)).filter_map(|i| Some((i.name.as_str(), i.default?)))
    }

    /// What a further input was given as, with the unit that the spacing gives a number.
    fn in_words(&self, name: &str, value: &str) -> String {
        let inputs = &self.model.contract.inputs;
        let number = value.parse::<f64>().is_ok();
        let input = inputs.iter().find(|i| i.name == name && number && !self.spacing.unitless);
        let unit = input.and_then(|i| self.spacing.unit(inputs, &i.unit)).map(|u| format!(" {u}")).unwrap_or_default();
        format!("{name} = {value}{unit}")
    }

    /// Commit what was written, with its record, and tell the user about it.
    pub(crate) fn finish(
        &self,
        outputs: Option<Outputs>,
        summary: &Summary,
        further: Option<String>,
        report: &Report,
        what: &str,
        seconds: f64,
    ) -> Result<()> {
        let contract = &self.model.contract;
        let series = contract.kind == Kind::Series;
        let mut warnings = self.warnings.clone();
        let undetermined = summary.undetermined().filter(|_| !says_why(report, series));
        for warning in self.late_warnings(report, summary.median(), series).into_iter().chain(undetermined) {
            warn(&warning);
            warnings.push(warning);
        }
        let threads = if series { 1 } else { threads(self.args) };
        let mut written = None;
        if report.computed == 0 {
            outputs.map(|o| o.give_up("maps", None));
        } else if let Some(outputs) = outputs {
            let record = |files: &[String]| {
                Record {
                    model: self.model,
                    backend: self.backend.name(),
                    threads,
                    input: &self.input,
                    described: &self.described,
                    stated: &self.stated,
                    rois: &self.args.roi,
                    with: &self.args.with,
                    noise: self.args.noise,
                    spacing: &self.spacing,
                    report,
                    files,
                    warnings: &warnings,
                    resumed: self.resumed,
                    faults: self.faults.as_deref(),
                    seconds,
                }
                .json()
            };
            let entry: Entry<'_> = &map_entry;
            written = Some(outputs.commit(report.interrupted, (!series).then_some(entry), record)?);
        }

        tracing::info!(
            computed = report.computed,
            read = report.read,
            lost = report.lost.count,
            dropped_by_queue = report.dropped_by_queue,
            repeated = report.repeated,
            windows_passed_over = report.windows_passed_over,
            interrupted = report.interrupted,
            latency_ms = report.latency.at(0.5),
            seconds,
            "end"
        );
        let ended = if report.interrupted { ", interrupted" } else { "" };
        let mut lines = vec![format!("{} on {}: {what}{ended}", self.model.name, self.input)];
        if let Some(kept) = self.resumed {
            let nouns = if series { "samples" } else { "maps" };
            lines.push(match kept {
                0 => format!("{:10} nothing to go on from: computed from the start", "resumed"),
                kept => format!("{:10} after {} of an interrupted run", "resumed", counted(kept, nouns)),
            });
        }
        lines.extend(
            summary.lines(&contract.outputs, |k| self.spacing.unit(&contract.inputs, &contract.outputs[k].unit)),
        );
        lines.extend(further);
        let mut with: Vec<String> = self.args.with.iter().map(|(name, value)| self.in_words(name, value)).collect();
        with.extend(self.defaults().map(|(name, value)| format!("{name} = {value} (default)")));
        if !with.is_empty() {
            lines.push(format!("{:10} {}", "with", with.join(", ")));
        }
        let computed = report.computed - self.resumed.unwrap_or(0);
        lines.extend(stream_lines(report, computed, seconds, series, self.noise_given()));
        let chosen = if self.args.backend == BackendArg::Auto { ", chosen automatically" } else { "" };
        lines.push(format!("{:10} {}{chosen}, {}", "engine", self.backend.name(), counted(threads as u64, "threads")));
        lines.push(match written {
            Some(files) => format!("{:10} {}", "written", files),
            None if self.args.out.is_some() => format!("{:10} nothing", "written"),
            None => format!("{:10} nothing: --out DIR writes files", "written"),
        });
        say(&lines.join("\n  "))?;
        Ok(())
    }
}

/// Whether another warning says already why there is no support: frames of one value or density, values that are
/// missing.
fn says_why(report: &Report, series: bool) -> bool {
    let constant = !series && report.contrast().is_none();
    constant || report.uniform_maps > 0 || report.invalid_values > report.values / 2
}

/// Tell the user, and the log.
pub(crate) fn warn(warning: &str) {
    eprintln!("mollifier: warning: {warning}");
    tracing::warn!(warning, "warning");
}

pub(crate) fn threads(args: &RunArgs) -> usize {
    match args.threads {
        Some(n) => usize::from(n),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    }
}
