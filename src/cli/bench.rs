//! `mollifier bench`: how fast this machine computes a model, on simulated input.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use mollifier::backend::Backend;
use mollifier::model::{InputRole, Kind, Model};
use mollifier::source::{Frame, Pixels};
use mollifier::source::{FrameInfo, FrameSource, Read, SourceError};
use mollifier::stream::{Engine, FieldOptions, Givens, Map, peak_memory_bytes, run_fields};
use mollifier::units::Spacing;
use ndarray::{ArrayD, Axis};
use serde::Serialize;

use super::args::BenchArgs;
use super::backends::backends;
use super::failure::misuse;
use super::planner::Tidy;
use super::say;

/// Runs before the first that counts, runs at least and at most, and how long at least.
const WARM_UP: usize = 3;
const FEWEST: usize = 20;
const MOST: usize = 1000;
const LONG_ENOUGH: Duration = Duration::from_secs(3);

/// One row; the keys are fixed, other programs read them.
#[derive(Debug, Serialize)]
struct Row {
    model: String,
    backend: &'static str,
    size: String,
    threads: usize,
    median_ms: f64,
    p99_ms: f64,
    /// Pixels or samples computed for each one that is kept.
    computed_per_kept: f64,
    /// `null` where the system does not tell.
    peak_rss_bytes: Option<u64>,
}

pub(crate) fn bench(args: &BenchArgs) -> Result<()> {
    let model = Model::load(&args.model)?;
    let series = model.contract.kind == Kind::Series;
    let size = match (&args.size, series) {
        (Some(size), _) => size.0.clone(),
        (None, true) => vec![16_384],
        (None, false) => vec![512, 512],
    };
    if size.len() != if series { 1 } else { 2 } {
        let expected = if series { "a number of samples" } else { "ROWSxCOLUMNS" };
        return Err(misuse(format!("--size: got {size:?}, expected {expected} for {}", model.name)));
    }
    let mut rows = Vec::new();
    for backend in backends(&args.backend, args.ort_library.as_deref())? {
        let threads = usize::from(args.threads);
        let (mut times, computed_per_kept) = if series {
            (time_series(&model, backend.as_ref(), &size)?, 1.0)
        } else {
            time_fields(&model, backend.as_ref(), [size[0], size[1]], threads)?
        };
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((share * times.len() as f64).ceil() as usize).clamp(1, times.len()) - 1];
        rows.push(Row {
            model: model.name.clone(),
            backend: backend.name(),
            size: size.iter().map(usize::to_string).collect::<Vec<_>>().join("x"),
            threads: if series { 1 } else { threads },
            median_ms: at(0.5),
            p99_ms: at(0.99),
            computed_per_kept,
            peak_rss_bytes: peak_memory_bytes(),
        });
    }
    if args.json {
        say(&serde_json::to_string_pretty(&rows)?)?;
        return Ok(());
    }
    say("model, backend, size, threads, median ms, 99 % ms, computed per kept, peak MiB (simulated input)")?;
    for r in rows {
        let peak = r.peak_rss_bytes.map_or("-".into(), |b| (b >> 20).to_string());
        say(&format!(
            "{}, {}, {}, {}, {:.3}, {:.3}, {:.2}, {peak}",
            r.model, r.backend, r.size, r.threads, r.median_ms, r.p99_ms, r.computed_per_kept
        ))?;
    }
    Ok(())
}

/// Whether enough was measured.
fn enough(runs: usize, start: Instant) -> bool {
    runs >= WARM_UP + MOST || (runs >= WARM_UP + FEWEST && start.elapsed() >= LONG_ENOUGH)
}

fn time_series(model: &Model, backend: &dyn Backend, size: &[usize]) -> Result<Vec<f64>> {
    let inputs = model.made_up_inputs(size, false);
    let inputs: Vec<_> = inputs.iter().map(|a| a.view()).collect();
    let mut outputs: Vec<ArrayD<f32>> =
        model.contract.outputs.iter().map(|_| ArrayD::zeros(vec![1, size[0]])).collect();
    let mut plan = backend.prepare(model, size)?;
    let start = Instant::now();
    let mut times = Vec::new();
    while !enough(times.len(), start) {
        let mut views: Vec<_> = outputs.iter_mut().map(|a| a.view_mut()).collect();
        let begin = Instant::now();
        plan.run(&inputs, &mut views)?;
        times.push(1e3 * begin.elapsed().as_secs_f64());
    }
    Ok(times.split_off(WARM_UP))
}

/// Through the whole stream: what is found out about each frame, windows, tiles and stitching are part of what a user
/// waits for. The time of a map is that since the one as many maps before as there are threads, over their number. Also
/// the pixels computed for each one that is kept.
fn time_fields(model: &Model, backend: &dyn Backend, shape: [usize; 2], threads: usize) -> Result<(Vec<f64>, f64)> {
    let contract = &model.contract;
    let made_up = model.made_up_inputs(&shape, false);
    let mut givens = Givens {
        spacing: contract.grid.iter().filter(|a| a.name != "t").map(|a| a.aspect).collect(),
        ..Givens::default()
    };
    let mut frames = Vec::new();
    for (input, values) in contract.inputs.iter().zip(&made_up) {
        match input.role {
            InputRole::Recording => {
                let window = values.index_axis(Axis(0), 0);
                frames = window.outer_iter().map(|f| f.iter().copied().collect()).collect();
            }
            InputRole::Field => {
                let field = values.index_axis(Axis(0), 0).to_owned().into_dimensionality()?.into_shared();
                givens.fields.insert(input.name.clone(), field);
            }
            InputRole::Constant => {
                givens.constants.insert(input.name.clone(), input.default.unwrap_or(1.0));
            }
            _ => {}
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let options = FieldOptions { givens, threads, stop: Arc::clone(&stop), ..FieldOptions::default() };
    let info = FrameInfo {
        name: "simulated input".into(),
        shape,
        count: None,
        spacing: Spacing::default(),
        rendered: false,
        warnings: Vec::new(),
    };
    let start = Instant::now();
    let (mut times, mut ends) = (Vec::new(), vec![start; threads]);
    let source = Box::new(Simulated { info, frames, next: 0 });
    let report = run_fields(&Tidy(Engine { model, backend }), source, &options, &mut |map: &Map<'_>| {
        let (now, slot) = (Instant::now(), map.progress.computed as usize % threads);
        times.push(1e3 * now.duration_since(ends[slot]).as_secs_f64() / threads as f64);
        ends[slot] = now;
        stop.store(enough(times.len(), start), Ordering::Release);
        Ok(())
    })?;
    Ok((times.split_off(WARM_UP), report.computed_per_kept))
}

/// The same few frames over and over.
struct Simulated {
    info: FrameInfo,
    frames: Vec<Vec<f32>>,
    next: u64,
}

impl FrameSource for Simulated {
    fn info(&self) -> &FrameInfo {
        &self.info
    }

    fn read(&mut self, frame: &mut Frame) -> Result<Read, SourceError> {
        let values = &self.frames[self.next as usize % self.frames.len()];
        frame.index = self.next;
        frame.time = None;
        frame.shape = self.info.shape;
        match &mut frame.pixels {
            Pixels::F32(buffer) => buffer.clone_from(values),
            other => *other = Pixels::F32(values.clone()),
        }
        self.next += 1;
        Ok(Read::Filled)
    }
}
