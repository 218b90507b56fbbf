//! `mollifier run`: a recording goes in, maps of the hidden parameter come out.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mollifier::backend::{Backend, BackendError};
use mollifier::model::{InputRole, Kind, Model};
use mollifier::sink::{Entry, Kept};
use mollifier::source::{
    Described, Faults, Follow, Frame, FrameSource, Input, OpenOptions, Read, SampleSource, Tally, open,
};
use mollifier::stream::{
    Engine, FieldOptions, Givens, Map, MapSink, Mark, Paced, Report, SampleBlock, SampleMark, SampleSink,
    SeriesOptions, StreamError, run_fields, run_series,
};
use mollifier::units::Spacing;
use mollifier::view::Board;
use ndarray::Array2;
use serde::Deserialize;
use serde_json::Value;

use super::args::{BackendArg, RunArgs};
use super::backends::backend;
use super::convergence::{self, Convergence, Point};
use super::counted;
use super::failure::misuse;
use super::givens::gather;
use super::interrupt::stop_flag;
use super::log;
use super::maptable::{self, MapTable};
use super::output::{Expected, Extras, Outputs, identity};
use super::progress::ProgressLine;
use super::record::{Record, map_entry};
use super::roi::Roi;
use super::say;
use super::spacing::RunSpacing;
use super::summary::{Summary, lost, stream_lines};
use super::tested::outside;
use super::view::Page;

/// Camera frames from one map of a growing table of localisations to the next, unless the user says it: seconds.
const EVERY: u64 = 500;

pub(crate) fn run(args: &RunArgs) -> Result<()> {
    let _log = args.log.as_deref().map(|path| log::start(path, args.log_level)).transpose()?;
    tracing::info!(
        model = %args.model.display(),
        input = %args.input.display(),
        out = args.out.as_ref().map(|o| tracing::field::display(o.display())),
        resume = args.resume,
        version = env!("CARGO_PKG_VERSION"),
        "start"
    );
    let result = compute(args);
    if let Err(error) = &result {
        tracing::error!(error = %format!("{error:#}"), "failed");
    }
    result
}

fn compute(args: &RunArgs) -> Result<()> {
    let model = Model::load(&args.model)?;
    let backend = backend(args.backend, args.ort_library.as_deref())?;
    let stop = stop_flag()?;
    let kind = model.contract.kind;
    let mut options = open_options(args, kind);
    let input = args.input.display().to_string();
    // What sends by itself is always live.
    let sends = ["tcp://", "mqtt://", "serial://"].into_iter().find(|scheme| input.starts_with(scheme));
    let follow = args.follow.or_else(|| sends.map(|_| f64::INFINITY));
    options.follow =
        follow.map(|seconds| Follow { stop: Arc::clone(&stop), idle: Duration::try_from_secs_f64(seconds).ok() });
    options.every = every(args, kind);
    let sensor = sends.filter(|_| is_sensor(&input));
    if let (Some(scheme), Some(_)) = (sensor, args.rate) {
        return Err(misuse(format!(
            "--rate: got {scheme}, which comes at its own pace, expected a recording to replay"
        )));
    }
    if let (Some(scheme), true, Kind::Series) = (sensor, args.resume, kind) {
        return Err(misuse(format!(
            "--resume: got {scheme}, whose samples cannot be read again from the start, expected a recording of them \
             (or another --out for what comes from now on)"
        )));
    }
    match open(&input, &options)? {
        Input::Frames(_) if kind == Kind::Series => {
            Err(misuse(format!("{input}: got images, expected a series as {} takes", model.name)))
        }
        Input::Series(_) if kind != Kind::Series => {
            Err(misuse(format!("{input}: got a series, expected images as {} takes", model.name)))
        }
        Input::Frames(source) => images(args, &model, backend.as_ref(), source, stop),
        Input::Series(source) => samples(args, &model, backend.as_ref(), source, stop),
    }
}

/// Whether an input is one that nobody can ask again.
pub(crate) fn is_sensor(input: &str) -> bool {
    input.starts_with("mqtt://") || input.starts_with("serial://")
}

fn open_options(args: &RunArgs, kind: Kind) -> OpenOptions {
    let mut options = OpenOptions::new(kind);
    options.column.clone_from(&args.column);
    options.raw.clone_from(&args.raw);
    options.region = args.region;
    options.timed = args.spacing.as_ref().is_none_or(|s| s.t.is_none());
    options.select = args.select.clone().unwrap_or_default();
    if let Some(size) = &args.pixel_size {
        options.pixel_size = size.clone();
    }
    if let Some(blur) = &args.blur {
        options.blur = (blur.value > 0.0).then(|| blur.clone());
    }
    options
}

/// After how many camera frames a table of localisations is drawn anew, unless it is drawn once.
fn every(args: &RunArgs, kind: Kind) -> Option<u64> {
    let live = args.follow.is_some() && kind == Kind::Localisations;
    args.every.map(u64::from).or(live.then_some(EVERY))
}

/// What both kinds of run have in hand.
struct Setting<'a> {
    args: &'a RunArgs,
    model: &'a Model,
    backend: &'a dyn Backend,
    input: String,
    spacing: RunSpacing,
    givens: Givens,
    warnings: Vec<String>,
    /// Maps or samples that an interrupted run left, where this one goes on.
    resumed: Option<u64>,
    /// What is in the maps of a table of localisations.
    tally: Option<Arc<Tally>>,
    /// What the recording's file says of it, and the spacing that it states.
    described: Described,
    stated: Spacing,
    /// What a live series went through.
    faults: Option<Arc<Faults>>,
}

impl<'a> Setting<'a> {
    fn new(
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
        spacing.state_units(contract, &model.name, &args.unit)?;
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
    fn note(&mut self, outputs: Option<&Outputs>) {
        if let Some(warning) = outputs.and_then(Outputs::warning) {
            warn(&warning);
            self.warnings.push(warning);
        }
    }

    /// Whether the user gave the noise, rather than having it estimated.
    fn noise_given(&self) -> Option<f64> {
        let input = self.model.contract.input(InputRole::Noise)?;
        self.givens.constants.get(&input.name).copied()
    }

    /// Warnings that only the end of a run tells.
    fn late_warnings(&self, report: &Report, series: bool) -> Vec<String> {
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
        if report.invalid_values > report.values / 2 {
            late.push(format!(
                "{:.0} % of the values are missing or saturated (--saturation sets from where on)",
                100.0 * report.invalid_values as f64 / report.values as f64
            ));
        }
        late
    }

    /// Commit what was written, with its record, and tell the user about it.
    fn finish(
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
        for warning in self.late_warnings(report, series) {
            warn(&warning);
            warnings.push(warning);
        }
        let threads = if series { 1 } else { threads(self.args) };
        let mut written = None;
        if report.computed == 0 {
            outputs.map(|o| o.give_up("maps"));
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
        lines.extend(summary.lines(contract, |k| self.spacing.unit(contract, &contract.outputs[k].unit)));
        lines.extend(further);
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

/// Tell the user, and the log.
fn warn(warning: &str) {
    eprintln!("mollifier: warning: {warning}");
    tracing::warn!(warning, "warning");
}

/// Refuse the options of a rendered table with anything else.
fn check_rendering(args: &RunArgs, input: &str, rendered: bool) -> Result<()> {
    let given = [
        ("--pixel-size", args.pixel_size.is_some()),
        ("--blur", args.blur.is_some()),
        ("--every", args.every.is_some()),
        ("--region", args.region.is_some()),
    ];
    let Some((name, _)) = given.into_iter().find(|(_, given)| *given && !rendered) else { return Ok(()) };
    if matches!(name, "--every" | "--region") {
        return Err(misuse(format!("{name}: {input} is no table of localisations, expected one")));
    }
    Err(misuse(format!(
        "{name}: {input} is no table of localisations; the pixel size of images is given as --spacing y=50nm,x=50nm"
    )))
}

fn threads(args: &RunArgs) -> usize {
    match args.threads {
        Some(n) => usize::from(n),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// The first frame of any file that images are read from: a known field.
fn first_frame(path: &Path) -> Result<Array2<f32>> {
    let name = path.display().to_string();
    let Input::Frames(mut source) = open(&name, &OpenOptions::new(Kind::Fields))? else {
        return Err(misuse(format!("{name}: got a series, expected an image")));
    };
    let mut frame = Frame::default();
    if source.read(&mut frame)? == Read::End {
        return Err(misuse(format!("{name}: got no frame, expected one")));
    }
    let pixels = &frame.pixels;
    Ok(Array2::from_shape_fn(frame.shape, |(y, x)| pixels.get(y * frame.shape[1] + x) as f32))
}

fn images(
    args: &RunArgs,
    model: &Model,
    backend: &dyn Backend,
    source: Box<dyn FrameSource>,
    stop: Arc<AtomicBool>,
) -> Result<()> {
    let info = source.info().clone();
    let contract = &model.contract;
    check_rendering(args, &info.name, info.rendered)?;
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
    let run = identity(args, model, backend.name(), &set.spacing, &info.shape, every);
    let table = MapTable::new(contract, &set.spacing, &args.roi);
    let growing = set.tally.clone().filter(|_| every.is_some());
    let convergence = growing.map(|tally| Convergence::new(contract, tally));
    let tables: Vec<_> =
        std::iter::once(table.info()).chain(convergence.as_ref().map(|_| Convergence::info())).collect();
    let expected = Expected { shape: info.shape, maps: total, tables: &tables, described: &set.described };
    let outputs = Outputs::for_maps(args, model, &set.spacing, &expected, run)?;
    set.note(outputs.as_ref());
    let source = match &page {
        Some(page) => page.watch(source),
        None => source,
    };
    let mut sink = Writer {
        outputs,
        summary: Summary::new(contract),
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
    let result = run_fields(&Engine { model, backend }, source, &options, &mut sink);
    sink.line.clear();
    let report = match result {
        Ok(report) => report,
        Err(e) => return Err(sink.explain(e, &info.name, "maps")),
    };
    if report.computed == 0 && !report.interrupted {
        sink.outputs.map(|o| o.give_up("maps"));
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

fn samples(
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
    let input = args.input.to_string_lossy();
    check_rendering(args, &info.name, false)?;
    let mut set = Setting::new(args, model, backend, &info.name, &info.spacing, &info.warnings, None)?;
    let mut options = SeriesOptions {
        givens: set.givens.clone(),
        on_full: args.on_full.into(),
        stop: Arc::clone(&stop),
        live: args.follow.is_some() || args.rate.is_some() || input == "-" || input.contains("://"),
        ..SeriesOptions::default()
    };
    let source: Box<dyn SampleSource> = match args.rate {
        Some(rate) => Box::new(Paced::new(source, rate, Arc::clone(&stop))),
        None => source,
    };
    let page = match args.view {
        Some(address) => Some(Page::of_series(address, model, &set.spacing, &info)?),
        None => None,
    };
    let run = identity(args, model, backend.name(), &set.spacing, &[info.channels.len().max(1)], None);
    let outputs = Outputs::for_samples(args, model, &set.spacing, &info.channels, run)?;
    set.note(outputs.as_ref());
    set.faults = Some(Arc::clone(&info.faults));
    let source = match &page {
        Some(page) => page.watch_samples(source),
        None => source,
    };
    let mut sink = Writer {
        outputs,
        summary: Summary::new(contract),
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
        sink.outputs.map(|o| o.give_up("samples"));
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

/// Takes what a stream gives: writes it, looks at it, shows it.
struct Writer {
    outputs: Option<Outputs>,
    summary: Summary,
    line: ProgressLine,
    board: Option<Arc<Board>>,
    table: Option<MapTable>,
    convergence: Option<Convergence>,
}

impl Writer {
    /// Say what failed in terms of the recording, and what can still be had of the run.
    fn explain(self, error: StreamError, input: &str, nouns: &str) -> anyhow::Error {
        let left = self.outputs.and_then(|o| o.give_up(nouns));
        match (error, left) {
            (StreamError::Backend(BackendError::TooSmall { what, got, expected }), _) => {
                let size = |s: &[usize]| s.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
                let unit = if got.len() == 1 { "samples" } else { "pixels" };
                let (got, expected) = (size(&got), size(&expected));
                misuse(format!(
                    "{input}: got {got} {unit}, expected at least {expected} for the smallest kernel of {what}"
                ))
            }
            (error, Some(left)) if !matches!(error, StreamError::Sink(_)) => {
                let message = format!("{error}; {left}");
                anyhow::Error::new(error).context(message)
            }
            (error, _) => error.into(),
        }
    }

    /// Take up what an interrupted run left; how many maps or samples there are.
    fn replay(&mut self, mut each: impl FnMut(&Kept<'_>)) -> Result<u64> {
        let Self { outputs, summary, convergence, .. } = self;
        let Some(outputs) = outputs else { return Ok(0) };
        outputs.replay(&mut |kept| {
            let slices: Vec<&[f32]> = kept.outputs.iter().map(Vec::as_slice).collect();
            summary.look_at(&slices);
            let point = kept.note.get(convergence::NAME).map(Point::deserialize);
            if let (Some(convergence), Some(Ok(point))) = (convergence.as_mut(), point) {
                convergence.recall(&slices, point);
            }
            each(kept);
        })
    }

    fn look_at(&mut self, outputs: &[Array2<f32>]) {
        let slices: Vec<&[f32]> = outputs.iter().filter_map(|a| a.as_slice()).collect();
        self.summary.look_at(&slices);
    }
}

impl MapSink for Writer {
    fn map(&mut self, map: &Map<'_>) -> Result<(), mollifier::stream::BoxError> {
        let slices: Vec<&[f32]> = map.outputs.iter().filter_map(|a| a.as_slice()).collect();
        let point = self.convergence.as_mut().map(|c| c.look_at(map.frame, &slices));
        if let Some(outputs) = &mut self.outputs {
            let mut extras = Extras::default();
            if let Some(table) = &mut self.table {
                extras.row(maptable::NAME, table.row(outputs.written(), map));
            }
            if let Some(point) = point {
                extras.row(convergence::NAME, convergence::row(outputs.written(), &point));
                extras.field(convergence::NAME, serde_json::to_value(point)?);
            }
            outputs.map(map, extras)?;
        }
        self.look_at(map.outputs);
        if let Some(board) = &self.board {
            board.map(map);
        }
        self.line.show(&map.progress);
        Ok(())
    }
}

impl SampleSink for Writer {
    fn block(&mut self, block: &SampleBlock<'_>) -> Result<(), mollifier::stream::BoxError> {
        if let Some(outputs) = &mut self.outputs {
            outputs.block(block)?;
        }
        self.look_at(block.outputs);
        if let Some(board) = &self.board {
            board.block(block);
        }
        self.line.show(&block.progress);
        Ok(())
    }
}
