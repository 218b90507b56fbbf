//! A run on images.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};
use mollifier::backend::Backend;
use mollifier::model::Model;
use mollifier::source::FrameSource;
use mollifier::stream::{Engine, FieldOptions, Mark, Paced, run_fields};
use serde::Deserialize;

use super::args::{BackendArg, RunArgs};
use super::convergence::Convergence;
use super::counted;
use super::failure::misuse;
use super::input::{check_rendering, every};
use super::maptable::MapTable;
use super::output::{Announced, Expected, Outputs, refuse_another};
use super::planner::Tidy;
use super::progress::ProgressLine;
use super::roi::Roi;
use super::setting::{Setting, threads};
use super::summary::Summary;
use super::view::Page;
use super::writer::Writer;

pub(crate) fn images(
    args: &RunArgs,
    model: &Model,
    backend: &dyn Backend,
    source: Box<dyn FrameSource>,
    stop: Arc<AtomicBool>,
) -> Result<()> {
    let info = source.info().clone();
    let contract = &model.contract;
    check_rendering(args, &info.name, info.rendered)?;
    refuse_another(args, model, &info.name)?;
    let names: Vec<&str> = contract.outputs.iter().map(|o| o.name.as_str()).collect();
    Roi::check(&args.roi, info.shape, &names, &info.name)?;
    if args.out.is_none() && !args.roi.is_empty() {
        return Err(misuse("--roi: got no --out, expected the folder for summary.csv"));
    }
    let mut set = Setting::new(args, model, backend, &info.name, &info.spacing, &info.warnings, Some(info.shape))?;
    set.tally = source.tally();
    set.described = source.described();
    if let Some(count) = info.count.filter(|n| *n < contract.window as u64) {
        let window = contract.window;
        return Err(misuse(format!("{}: got {count} frames, expected at least {window} for a map", info.name)));
    }
    let mut options = FieldOptions {
        givens: set.givens.clone(),
        own_clock: args.spacing.as_ref().is_none_or(|s| s.t.is_none()),
        threads: threads(args),
        on_full: args.on_full.into(),
        saturation: args.saturation.unwrap_or_default(),
        outliers: args.outliers(info.rendered),
        stop: Arc::clone(&stop),
        ..FieldOptions::default()
    };
    let source: Box<dyn FrameSource> = match args.rate {
        Some(rate) => Box::new(Paced::new(source, rate, Arc::clone(&stop))),
        None => source,
    };
    if args.backend == BackendArg::OrtTensorrt {
        let [rows, columns] = info.shape;
        eprintln!(
            "mollifier: TensorRT prepares {} for {rows} x {columns} pixels: minutes the first time, then kept",
            model.name
        );
    }
    let total = info.count.map(|n| n + 1 - contract.window as u64);
    let page = args.view.map(|address| Page::open(address, model, &set.spacing, &info, total)).transpose()?;
    let every = every(args, contract.kind).filter(|_| info.rendered);
    let run = set.identity(&info.shape, every);
    let table = MapTable::new(contract, &set.spacing, &args.roi);
    let growing = set.tally.clone().filter(|_| every.is_some());
    let convergence = growing.map(|tally| Convergence::new(contract, tally));
    let tables: Vec<_> =
        std::iter::once(table.info()).chain(convergence.as_ref().map(|_| Convergence::info())).collect();
    let expected = Expected {
        shape: info.shape,
        maps: total,
        delay: contract.window - 1 - contract.delay,
        tables: &tables,
        described: &set.described,
    };
    let outputs = Outputs::for_maps(args, &Announced::of(model, &set.spacing), &set.spacing.spacing, &expected, run)?;
    set.note(outputs.as_ref());
    let source = match &page {
        Some(page) => page.watch(source),
        None => source,
    };
    let mut sink = Writer {
        outputs,
        summary: Summary::new(&contract.outputs),
        line: ProgressLine::new(total, "maps"),
        board: page.as_ref().map(|p| Arc::clone(&p.board)),
        table: Some(table),
        convergence,
    };
    if args.resume {
        let mut unreadable = None;
        let kept = sink.replay(|kept| match Mark::deserialize(kept.note) {
            Ok(mark) => options.before.add(mark),
            Err(e) => unreadable = Some(e),
        })?;
        unreadable.map_or(Ok(()), Err).context("journal.jsonl")?;
        set.resumed = Some(kept);
    }
    let start = Instant::now();
    let result = run_fields(&Tidy(Engine { model, backend }), source, &options, &mut sink);
    sink.line.clear();
    let report = match result {
        Ok(report) => report,
        Err(e) => return Err(sink.explain(e, &info.name, "maps")),
    };
    if report.computed == 0 && !report.interrupted {
        sink.outputs.map(|o| o.give_up("maps", None));
        return Err(misuse(format!(
            "{}: got {}, expected at least {} one after another for a map",
            info.name,
            counted(report.read, "frames"),
            contract.window
        )));
    }
    let [rows, columns] = info.shape;
    let (maps, frames) = (counted(report.computed, "maps"), counted(report.read, "frames"));
    let told = set.tally.as_ref().map(|t| t.newest()).filter(|count| count.camera_frames > 0);
    let from = told.map_or(frames, |count| {
        let frames = counted(count.camera_frames, "camera frames");
        format!("{} in {frames}", counted(count.localisations, "localisations"))
    });
    let what = format!("{maps} of {rows} x {columns} pixels from {from}");
    let further = sink.convergence.as_ref().and_then(Convergence::line);
    set.finish(sink.outputs, &sink.summary, further, &report, &what, start.elapsed().as_secs_f64())?;
    if let Some(page) = page {
        page.board.ended(&format!("the run has ended: {maps}"));
        page.stay(&stop);
    }
    Ok(())
}
