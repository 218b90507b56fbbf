//! How even the times of a thousand maps are, beside those of a loop of the same length that does nothing; and what of
//! a map's time is spent outside its plan.
//!
//! `cargo bench --bench latency -- MODEL [SIZE]` prints JSON. The machine's own unrest (other programs, the system) is in
//! both, and only their ratio says something of the stream.

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use mollifier::backend::{BackendError, Plan, Rows, Tiling, Tract};
use mollifier::model::{Contract, InputRole, Model};
use mollifier::source::Pixels;
use mollifier::stream::{Engine, FieldOptions, Givens, Map, Planner, run_fields};
use ndarray::{ArrayViewD, ArrayViewMutD};
use serde_json::json;

const MAPS: usize = 1000;
const WARM_UP: usize = 20;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let path = args.first().map_or("models/heat.onnx", String::as_str);
    let size: usize = args.get(1).map_or(512, |a| a.parse().expect("a number of pixels"));
    let model = Model::load(Path::new(path)).expect("a model");
    let (times, in_plan) = maps(&model, size);
    let outside = times.iter().zip(&in_plan).map(|(map, plan)| map - plan).collect();
    let (one, outside) = (spread(times), spread(outside));
    let spin = spread(spins(one[0]));
    println!(
        "{}",
        json!({
            "model": model.name, "size": size, "maps": MAPS,
            "map_ms": one, "spin_ms": spin, "outside_plan_ms": outside, "columns": ["50 %", "99 %", "largest"],
            "ratio": (one[1] / one[0]) / (spin[1] / spin[0]), "outside_plan": outside[0] / one[0],
        })
    );
}

/// Median, 99 % and largest, in milliseconds.
fn spread(mut times: Vec<f64>) -> [f64; 3] {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    [at(0.5), at(0.99), at(1.0)]
}

fn frames(model: &Model, size: usize) -> Vec<Pixels> {
    let made_up = model.made_up_inputs(&[size, size], false);
    let recording = model.contract.inputs.iter().position(|i| i.role == InputRole::Recording).expect("a recording");
    let values: Vec<f32> = made_up[recording].iter().copied().collect();
    values.chunks_exact(size * size).map(|f| Pixels::F32(f.to_vec())).collect()
}

/// An engine whose plans tell how long they ran.
struct Timed<'a> {
    engine: Engine<'a>,
    times: Sender<f64>,
}

impl Planner for Timed<'_> {
    fn contract(&self) -> &Contract {
        self.engine.contract()
    }

    fn tiling(&self) -> Tiling {
        self.engine.tiling()
    }

    fn prepare(&self, tile: &[usize]) -> Result<Box<dyn Plan>, BackendError> {
        Ok(Box::new(TimedPlan { plan: self.engine.prepare(tile)?, times: self.times.clone() }))
    }

    fn prepare_by_rows(&self, tile: &[usize]) -> Result<Box<dyn Plan>, BackendError> {
        Ok(Box::new(TimedPlan { plan: self.engine.prepare_by_rows(tile)?, times: self.times.clone() }))
    }
}

struct TimedPlan {
    plan: Box<dyn Plan>,
    times: Sender<f64>,
}

impl Plan for TimedPlan {
    fn dropped(&self) -> &[String] {
        self.plan.dropped()
    }

    fn by_rows(&self) -> &[usize] {
        self.plan.by_rows()
    }

    fn run(
        &mut self,
        inputs: &[ArrayViewD<'_, f32>],
        outputs: &mut [ArrayViewMutD<'_, f32>],
    ) -> Result<(), BackendError> {
        self.run_by_rows(inputs, &|_, _, _, _| {}, outputs)
    }

    fn run_by_rows(
        &mut self,
        inputs: &[ArrayViewD<'_, f32>],
        rows: Rows<'_>,
        outputs: &mut [ArrayViewMutD<'_, f32>],
    ) -> Result<(), BackendError> {
        let start = Instant::now();
        let result = self.plan.run_by_rows(inputs, rows, outputs);
        self.times.send(1e3 * start.elapsed().as_secs_f64()).expect("the other end is held");
        result
    }
}

/// The times from map to map through the whole stream, and those of their plans, in milliseconds.
fn maps(model: &Model, size: usize) -> (Vec<f64>, Vec<f64>) {
    let mut givens = Givens {
        spacing: model.contract.grid.iter().filter(|a| a.name != "t").map(|a| a.aspect).collect(),
        ..Givens::default()
    };
    for input in &model.contract.inputs {
        match input.role {
            InputRole::Constant => drop(givens.constants.insert(input.name.clone(), input.default.unwrap_or(1.0))),
            InputRole::Field => drop(givens.constants.insert(input.name.clone(), 0.01)),
            _ => {}
        }
    }
    let count = MAPS + WARM_UP + model.contract.window;
    let source = Box::new(common::Again::new([size; 2], count as u64, frames(model, size)));
    let options = FieldOptions { givens, threads: 1, ..FieldOptions::default() };
    let (mut times, mut last) = (Vec::with_capacity(count), Instant::now());
    let (sender, in_plan) = channel();
    let planner = Timed { engine: Engine { model, backend: &Tract }, times: sender };
    run_fields(&planner, source, &options, &mut |_: &Map<'_>| {
        let now = Instant::now();
        times.push(1e3 * now.duration_since(last).as_secs_f64());
        last = now;
        Ok(())
    })
    .expect("the run succeeds");
    (times.split_off(WARM_UP), in_plan.try_iter().skip(WARM_UP).collect())
}

/// The times of a loop that takes `length` milliseconds.
fn spins(length: f64) -> Vec<f64> {
    let spin = |steps: u64| {
        let start = Instant::now();
        let mut value = black_box(1.0_f64);
        for _ in 0..steps {
            value = value.mul_add(0.999_999, 1e-6);
        }
        black_box(value);
        1e3 * start.elapsed().as_secs_f64()
    };
    let probe = 1_000_000;
    let fastest = (0..20).map(|_| spin(probe)).fold(f64::INFINITY, f64::min);
    let steps = (probe as f64 * length / fastest) as u64;
    (0..MAPS).map(|_| spin(steps)).collect()
}
