//! A run on a series.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};
use mollifier::backend::Backend;
use mollifier::model::Model;
use mollifier::source::SampleSource;
use mollifier::stream::{Engine, Paced, SampleMark, SeriesOptions, run_series};
use serde::Deserialize;
use serde_json::Value;

use super::args::RunArgs;
use super::counted;
use super::failure::misuse;
use super::input::check_rendering;
use super::output::{Announced, Outputs, refuse_another};
use super::progress::ProgressLine;
use super::setting::Setting;
use super::summary::Summary;
use super::view::Page;
use super::writer::Writer;

pub(crate) fn samples(
    args: &RunArgs,
    model: &Model,
    backend: &dyn Backend,
    source: Box<dyn SampleSource>,
    stop: Arc<AtomicBool>,
) -> Result<()> {
    let info = source.info().clone();
    let contract = &model.contract;
    if !args.roi.is_empty() {
        return Err(misuse(format!("--roi: {} takes series, expected a model of images", model.name)));
    }
    let input = args.input();
    check_rendering(args, &info.name, false)?;
    refuse_another(args, model, &info.name)?;
    let mut set = Setting::new(args, model, backend, &info.name, &info.spacing, &info.warnings, None)?;
    let mut options = SeriesOptions {
        givens: set.givens.clone(),
        on_full: args.on_full.into(),
        outliers: args.outliers(false),
        stop: Arc::clone(&stop),
        live: args.follow.is_some() || args.rate.is_some() || input == "-" || input.contains("://"),
        ..SeriesOptions::default()
    };
    set.described.acquired = info.acquired.clone();
    let source: Box<dyn SampleSource> = match args.rate {
        Some(rate) => Box::new(Paced::new(source, rate, Arc::clone(&stop))),
        None => source,
    };
    let page = match args.view {
        Some(address) => Some(Page::of_series(address, model, &set.spacing, &info)?),
        None => None,
    };
    let run = set.identity(&[info.channels.len().max(1)], None);
    let outputs = Outputs::for_samples(
        args,
        &Announced::of(model, &set.spacing),
        &set.spacing.spacing,
        // Rows that are taken as even have the times that the user's step gives them.
        if args.spacing.as_ref().is_some_and(|s| s.t.is_some()) { 0.0 } else { info.start },
        info.channels.len(),
        run,
    )?;
    set.note(outputs.as_ref());
    set.faults = Some(Arc::clone(&info.faults));
    let source = match &page {
        Some(page) => page.watch_samples(source),
        None => source,
    };
    let mut sink = Writer {
        outputs,
        summary: Summary::new(&contract.outputs),
        line: ProgressLine::new(info.count, "samples"),
        board: page.as_ref().map(|p| Arc::clone(&p.board)),
        table: None,
        convergence: None,
    };
    if args.resume {
        let mut note = Value::Null;
        let kept = sink.replay(|kept| note.clone_from(kept.note))?;
        options.before = Option::<SampleMark>::deserialize(note).context("journal.jsonl")?;
        set.resumed = Some(kept);
    }
    let start = Instant::now();
    let result = run_series(&Engine { model, backend }, source, &options, &mut sink);
    sink.line.clear();
    let report = match result {
        Ok(report) => report,
        Err(e) => return Err(sink.explain(e, &info.name, "samples")),
    };
    if report.computed == 0 && !report.interrupted {
        sink.outputs.map(|o| o.give_up("samples", None));
        return Err(misuse(format!("{}: got no sample, expected some", info.name)));
    }
    let channels = match info.channels.len() {
        0 | 1 => String::new(),
        n => format!(" of {n} channels"),
    };
    let what = format!("{}{channels}", counted(report.computed, "samples"));
    set.finish(sink.outputs, &sink.summary, None, &report, &what, start.elapsed().as_secs_f64())?;
    if let Some(page) = page {
        page.board.ended(&format!("the run has ended: {what}"));
        page.stay(&stop);
    }
    Ok(())
}
