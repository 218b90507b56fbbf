//! `mollifier run` on a fit of one recording: its field and its lambda on a grid, and what it leaves of the recording.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;
use mollifier::fitted::{Evaluator, coordinates};
use mollifier::model::{Fit, FitAxis, Output, Transform};
use mollifier::source::Described;
use mollifier::stream::{machine, peak_memory_bytes};
use mollifier::units::{Spacing, Step};
use serde_json::{Value, json};

use super::args::RunArgs;
use super::backends::backend;
use super::failure::misuse;
use super::interrupt::stop_flag;
use super::output::{Announced, Expected, Outputs};
use super::progress::ProgressLine;
use super::record::steps;
use super::recorded::Recorded;
use super::setting::{threads, warn};
use super::spacing::RunSpacing;
use super::summary::Summary;
use super::{counted, say};

/// Samples of a series that are computed and written at a time.
const BLOCK: usize = 1 << 14;

pub(crate) fn fitted(args: &RunArgs, fit: &Fit) -> Result<()> {
    check_options(args, fit)?;
    let backend = backend(args.backend, args.ort_library.as_deref())?;
    let stop = stop_flag()?;
    let grid = Grid::new(args, fit)?;
    let mut recorded = args.input.as_ref().map(|_| Recorded::open(args, fit)).transpose()?;
    let mut spacing = RunSpacing {
        steps: Vec::new(),
        time_step: grid.spacing.t.as_ref().map_or(1.0, |t| t.value),
        unitless: grid.spacing.is_unitless(),
        spacing: grid.spacing.clone(),
        field_units: Vec::new(),
    };
    spacing.state_units(&fit.physics.inputs, &fit.name, &args.unit)?;
    let mut kinds = fit.outputs.clone();
    if recorded.is_some() {
        kinds.push(Output::new("misfit", "recording minus field", "u", Transform::Identity));
    }
    let announced = Announced {
        outputs: kinds.iter().map(|o| (o.clone(), spacing.unit(&fit.physics.inputs, &o.unit))).collect(),
        description: format!("{}, fitted by {}", fit.physics.equation, fit.name),
    };
    let files = match grid.shape() {
        None => Outputs::for_samples(args, &announced, &grid.spacing, 0.0, 1, Value::Null)?,
        Some(shape) => {
            let maps = Some(grid.pieces() as u64);
            let expected = Expected { shape, maps, delay: 0, tables: &[], described: &Described::default() };
            Outputs::for_maps(args, &announced, &grid.spacing, &expected, Value::Null)?
        }
    };
    let mut warnings = Vec::new();
    if let Some(warning) = files.as_ref().and_then(Outputs::warning) {
        warn(&warning);
        warnings.push(warning);
    }
    let mut run = Run {
        evaluator: Evaluator::new(fit, backend.as_ref(), threads(args))?,
        summary: Summary::new(&kinds),
        line: ProgressLine::new(Some(grid.pieces() as u64), if grid.shape().is_some() { "maps" } else { "blocks" }),
        files,
    };
    let start = Instant::now();
    let computed = run.all(&grid, recorded.as_mut(), &stop);
    run.line.clear();
    let Run { summary, files, .. } = run;
    if let Err(error) = computed {
        // All of it can be computed again.
        files.into_iter().for_each(Outputs::discard);
        return Err(error);
    }
    let seconds = start.elapsed().as_secs_f64();

    let engine = format!("{:10} {}, {}", "engine", backend.name(), counted(threads(args) as u64, "threads"));
    let written = files.map(|files| {
        let record = |names: &[String]| {
            json!({
                "mollifier": env!("CARGO_PKG_VERSION"),
                "status": "complete",
                "model": {
                    "name": fit.name,
                    "sha256": fit.hash,
                    "physics": fit.physics.name,
                    "equation": fit.physics.equation,
                    "fit": fit.record,
                },
                "backend": backend.name(),
                "threads": threads(args),
                "machine": machine(),
                "input": args.input.as_ref().map(|_| args.input()),
                "spacing": steps(&grid.spacing),
                "grid": grid.axes.iter().map(|a| (a.of.name.clone(), json!(a.line.len()))).collect::<serde_json::Map<_, _>>(),
                "outputs": announced.outputs.iter().map(|(o, unit)| {
                    (o.name.clone(), json!({ "quantity": o.quantity, "unit": unit }))
                }).collect::<serde_json::Map<_, _>>(),
                "files": names,
                "maps": [],
                "seconds": seconds,
                "peak_memory_bytes": peak_memory_bytes(),
                "warnings": warnings,
            })
        };
        let entry = |frame: u64, time: f64, _: &Value| json!({ "frame": frame, "time": time });
        files.commit(false, grid.shape().is_some().then_some(&entry), record)
    });
    let mut lines = vec![format!("{}, {}: {}", fit.name, fit.physics.equation, grid.describe())];
    let unit = |k: usize| announced.outputs[k].1.clone();
    lines.extend(summary.lines(&kinds, unit));
    lines.push(format!("{:10} {:.0} points/s", "speed", grid.points() as f64 / seconds.max(1e-9)));
    lines.push(engine);
    lines.push(match written.transpose()? {
        Some(files) => format!("{:10} {files}", "written"),
        None => format!("{:10} nothing: --out DIR writes files", "written"),
    });
    say(&lines.join("\n  "))
}

/// Options that say how a recording is turned into maps mean nothing to a fit, which knows its own.
fn check_options(args: &RunArgs, fit: &Fit) -> Result<()> {
    let no_use = [
        ("--with", !args.with.is_empty()),
        ("--spacing", args.spacing.is_some()),
        ("--noise", args.noise.is_some()),
        ("--rate", args.rate.is_some()),
        ("--follow", args.follow.is_some()),
        ("--resume", args.resume),
        ("--view", args.view.is_some()),
        ("--pixel-size", args.pixel_size.is_some()),
        ("--blur", args.blur.is_some()),
        ("--every", args.every.is_some()),
        ("--region", args.region.is_some()),
        ("--roi", !args.roi.is_empty()),
        ("--saturation", args.saturation.is_some()),
        ("--keep-outliers", args.keep_outliers),
    ];
    if let Some((name, _)) = no_use.into_iter().find(|(_, given)| *given) {
        return Err(misuse(format!("{name}: {} is a fit of one recording, expected an inverse model", fit.name)));
    }
    let of_input =
        [("--column", args.column.is_some()), ("--select", args.select.is_some()), ("--raw", args.raw.is_some())];
    match of_input.into_iter().find(|(_, given)| *given && args.input.is_none()) {
        Some((name, _)) => Err(misuse(format!("{name}: got no INPUT to read, expected the recording that was fitted"))),
        None => Ok(()),
    }
}

/// One axis of the grid.
struct Axis<'a> {
    line: Vec<f64>,
    of: &'a FitAxis,
}

/// Where a fit is evaluated.
struct Grid<'a> {
    axes: Vec<Axis<'a>>,
    spacing: Spacing,
}

impl<'a> Grid<'a> {
    fn new(args: &RunArgs, fit: &'a Fit) -> Result<Self> {
        let sizes = args.size.as_ref().map_or(&[][..], |size| &size.0);
        let names: Vec<&str> = fit.record.axes.iter().map(|a| a.name.as_str()).collect();
        if let Some((axis, _)) = sizes.iter().find(|(axis, _)| !names.contains(&axis.as_str())) {
            return Err(misuse(format!("--size {axis}: {} has the axes {}", fit.name, names.join(", "))));
        }
        if let (Some(_), Some(_)) = (&args.size, &args.input) {
            return Err(misuse("--size: got an INPUT too, whose own grid is taken, expected one of them"));
        }
        let mut axes = Vec::new();
        for of in &fit.record.axes {
            let size = sizes.iter().find(|(axis, _)| *axis == of.name).map_or(of.samples, |(_, n)| *n);
            if of.name != "t" && size > Self::MOST {
                let got = format!("--size {}: got {size} samples", of.name);
                return Err(misuse(format!("{got}, expected at most {}", Self::MOST)));
            }
            axes.push(Axis { line: coordinates(of, size), of });
        }
        let step = |axis: &str, whole: Option<&Step>| {
            let found = axes.iter().find(|a| a.of.name == axis)?;
            let unit = whole?.unit.clone();
            let gaps = found.line.len().saturating_sub(1).max(1) as f64;
            Some(Step { value: (found.of.last - found.of.first) / gaps, unit })
        };
        let whole = &fit.spacing;
        let spacing =
            Spacing { t: step("t", whole.t.as_ref()), y: step("y", whole.y.as_ref()), x: step("x", whole.x.as_ref()) };
        Ok(Self { axes, spacing })
    }

    /// Samples along y or x: a map has to fit into memory.
    const MOST: usize = 1 << 14;

    /// Rows and columns; `None` of a series.
    fn shape(&self) -> Option<[usize; 2]> {
        match &self.axes[..] {
            [.., y, x] => Some([y.line.len(), x.line.len()]),
            _ => None,
        }
    }

    fn points(&self) -> usize {
        self.axes.iter().map(|a| a.line.len()).product()
    }

    /// Maps, or blocks of a series.
    fn pieces(&self) -> usize {
        match &self.axes[..] {
            [t] => t.line.len().div_ceil(BLOCK),
            [t, _, _] => t.line.len(),
            _ => 1,
        }
    }

    /// The coordinates of one of them, and where along t it begins.
    fn piece(&self, i: usize) -> (Vec<&[f64]>, usize) {
        let whole: Vec<&[f64]> = self.axes.iter().map(|a| &a.line[..]).collect();
        match &whole[..] {
            [t] => (vec![&t[i * BLOCK..t.len().min((i + 1) * BLOCK)]], i * BLOCK),
            [t, y, x] => (vec![&t[i..=i], y, x], i),
            _ => (whole, 0),
        }
    }

    fn describe(&self) -> String {
        let axis = |a: &Axis<'_>| {
            let unit = self.spacing.unit(&a.of.name).map(|u| format!(" {u}")).unwrap_or_default();
            let n = a.line.len() as u64;
            format!("{} along {}, {} to {}{unit}", counted(n, "samples"), a.of.name, a.of.first, a.of.last)
        };
        self.axes.iter().map(axis).collect::<Vec<_>>().join("; ")
    }
}

/// A fit being evaluated.
struct Run {
    evaluator: Evaluator,
    summary: Summary,
    line: ProgressLine,
    files: Option<Outputs>,
}

impl Run {
    fn all(&mut self, grid: &Grid<'_>, mut recorded: Option<&mut Recorded>, stop: &AtomicBool) -> Result<()> {
        let (mut field, mut lambda, mut misfit) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..grid.pieces() {
            if stop.load(Ordering::Acquire) {
                anyhow::bail!("interrupted after {i} of {}: nothing is written", grid.pieces());
            }
            let (lines, first) = grid.piece(i);
            let points = lines.iter().map(|line| line.len()).product();
            field.resize(points, 0.0);
            lambda.resize(points, 0.0);
            self.evaluator.grid(&lines, &mut field, &mut lambda)?;
            let mut outputs: Vec<&[f32]> = vec![&lambda, &field];
            if let Some(recorded) = recorded.as_mut() {
                recorded.minus(&field, &mut misfit)?;
                outputs.push(&misfit);
            }
            self.summary.look_at(&outputs);
            if let Some(files) = &mut self.files {
                match grid.shape() {
                    None => files.samples(first as u64, &outputs)?,
                    Some(_) => {
                        let time = grid.axes[0].line.get(i).copied().filter(|_| grid.axes.len() == 3).unwrap_or(0.0);
                        files.values(i as u64, time, &outputs)?;
                    }
                }
            }
            self.line.at(i as u64 + 1);
        }
        recorded.map_or(Ok(()), Recorded::ended)
    }
}
