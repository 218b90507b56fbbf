//! What every run has in hand, and how it ends.

use std::sync::Arc;

use anyhow::Result;
use mollifier::backend::Backend;
use mollifier::model::{InputRole, Kind, Model};
use mollifier::sink::Entry;
use mollifier::source::{Described, Faults, Tally};
use mollifier::stream::{Givens, Report};
use mollifier::units::Spacing;

use super::args::{BackendArg, RunArgs};
use super::counted;
use super::givens::gather;
use super::input::first_frame;
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
        let givens = gather(contract, &model.name, &args.with, args.noise, &spacing, shape, first_frame)?;
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

    /// Whether the user gave the noise, rather than having it estimated.
    pub(crate) fn noise_given(&self) -> Option<f64> {
        let input = self.model.contract.input(InputRole::Noise)?;
        self.givens.constants.get(&input.name).copied()
    }

    /// Warnings that only the end of a run tells.
    pub(crate) fn late_warnings(&self, report: &Report, series: bool) -> Vec<String> {
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
        late.extend(outside(&self.model.contract, &self.givens, self.noise_given(), report));
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

    /// What a further input was given as, with the unit that the spacing gives a number.
    fn in_words(&self, name: &str, value: &str) -> String {
        let inputs = &self.model.contract.inputs;
        let number = value.parse::<f64>().is_ok();
        let input = inputs.iter().find(|i| i.name == name && number && !self.spacing.unitless);
        let unit = input
            .and_then(|i| self.spacing.unit_in_words(inputs, &i.unit))
            .map(|u| format!(" {u}"))
            .unwrap_or_default();
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
        for warning in self.late_warnings(report, series).into_iter().chain(undetermined) {
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
            summary
                .lines(&contract.outputs, |k| self.spacing.unit_in_words(&contract.inputs, &contract.outputs[k].unit)),
        );
        lines.extend(further);
        let with: Vec<String> = self.args.with.iter().map(|(name, value)| self.in_words(name, value)).collect();
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
