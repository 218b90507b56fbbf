//! One suite, every backend: shipped models, and models baked from specs made up at random, against the reference.

use std::path::Path;

#[cfg(feature = "engine")]
use mollifier::backend::PlainTract;
use mollifier::backend::{Backend, Tract};
#[cfg(feature = "ort")]
use mollifier::backend::{Ort, Provider};
use mollifier::model::{AGREEMENT_BOUND, Agreement, BakeOptions, Case, Model, agreement, bake};
use ndarray::ArrayD;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Where a backend is known to fail, and so is not asked: its name, the law, the case, and why.
const SKIPPED: [(&str, &str, &str, &str); 1] = [(
    "tract-plain",
    "heat-transient",
    "a hole of invalid values",
    "tract 0.23.9's own operators give other values than the reference; the default backend does not use them there",
)];

fn backends() -> Vec<Box<dyn Backend>> {
    #[cfg_attr(not(feature = "ort"), expect(unused_mut))]
    let mut backends: Vec<Box<dyn Backend>> = Vec::from([
        Box::new(Tract) as Box<dyn Backend>,
        #[cfg(feature = "engine")]
        Box::new(PlainTract),
    ]);
    // Named by whoever runs the tests; `./check` says so where it is not, `./check-gpu` asks for the GPU's.
    #[cfg(feature = "ort")]
    if std::env::var_os("ORT_DYLIB_PATH").is_some() {
        let wanted = std::env::var("MOLLIFIER_ORT_PROVIDERS").unwrap_or_default();
        let others = [("cuda", Provider::Cuda), ("tensorrt", Provider::TensorRt)];
        let others = others.into_iter().filter(|(name, _)| wanted.split(',').any(|w| w == *name)).map(|o| o.1);
        for provider in std::iter::once(Provider::Cpu).chain(others) {
            backends.push(Box::new(Ort::load(provider, None).expect("the library that ORT_DYLIB_PATH names")));
        }
    }
    backends
}

/// How far each output of a backend is from the reference.
fn compare(backend: &dyn Backend, model: &Model, case: &Case) -> Vec<Agreement> {
    let mut plan = backend.prepare(model, &case.size).expect("a plan");
    let mut got: Vec<ArrayD<f32>> = case.expected.iter().map(|e| ArrayD::zeros(e.raw_dim())).collect();
    let inputs: Vec<_> = case.inputs.iter().map(|a| a.view()).collect();
    let mut outputs: Vec<_> = got.iter_mut().map(|a| a.view_mut()).collect();
    plan.run(&inputs, &mut outputs).expect("a run");
    agreement(&model.contract.outputs, &got, &case.expected)
}

/// A design that nobody chose may be too much for single precision, whoever computes it. Then no backend may be farther
/// from the reference than this many times the nearest one.
const AS_GOOD_AS_THE_BEST: f64 = 8.0;

/// The first disagreement with the reference of any backend; `None` within the bound. A model was `chosen`, or made up.
fn disagreement(model: &Model, case: &Case, chosen: bool) -> Option<String> {
    let law = &model.contract.physics.name;
    let mut all: Vec<(&str, Vec<Agreement>)> = Vec::new();
    for backend in backends() {
        if !SKIPPED.iter().any(|(b, l, c, _)| *b == backend.name() && l == law && *c == case.name) {
            all.push((backend.name(), compare(backend.as_ref(), model, case)));
        }
    }
    for output in 0..case.expected.len() {
        let best = all.iter().map(|(_, a)| a[output].worst).fold(f64::INFINITY, f64::min);
        let bound = if chosen { AGREEMENT_BOUND } else { AGREEMENT_BOUND.max(AS_GOOD_AS_THE_BEST * best) };
        for (backend, agreements) in &all {
            let Agreement { output, worst, .. } = &agreements[output];
            if *worst > bound {
                return Some(format!(
                    "{}, {backend}, {} {:?}, {output}: {worst:e} from the reference, expected at most {bound:e}",
                    model.name, case.name, case.size
                ));
            }
        }
    }
    None
}

#[test]
fn shipped_models_agree_with_the_reference() {
    // Where cargo runs tests, and `./check-gpu` on a machine that has no cargo.
    let folder = Path::new("models");
    let files = std::fs::read_dir(folder).expect("the models folder").map(|e| e.expect("an entry").path());
    let models: Vec<_> = files
        .filter(|p| p.extension().is_some_and(|e| e == "onnx") && !p.display().to_string().ends_with(".trunk.onnx"))
        .collect();
    assert!(models.len() >= 5, "{models:?}");
    for path in models {
        let model = Model::load(&path).expect("a shipped model");
        for kernel in model.kernels() {
            let case = kernel.kernel_case().expect("a case");
            assert_eq!(disagreement(&kernel, &case, true), None, "{}", path.display());
        }
        for case in model.cases().expect("cases") {
            assert_eq!(disagreement(&model, &case, true), None);
        }
    }
}

fn family(powers: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = String> {
    prop_oneof![4 => powers.prop_map(|n| format!("poly{n}")), 1 => Just("bump".to_owned()), 1 => Just("gauss".to_owned())]
}

/// Radii that rise, from `smallest`.
fn radii(smallest: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1..9_usize, 1..4).prop_map(move |steps| {
        steps
            .iter()
            .scan(smallest - 1, |radius, step| {
                *radius += step;
                Some(*radius)
            })
            .collect()
    })
}

fn stages(smallest: usize) -> impl Strategy<Value = String> {
    let stage = (smallest..smallest + 5, 3..12_usize).prop_map(|(r, a)| format!("{{ radius = {r}, average = {a} }}"));
    prop::collection::vec(stage, 1..4).prop_map(|stages| format!("[{}]", stages.join(", ")))
}

/// Specs of every law, with designs that nobody chose.
fn spec() -> impl Strategy<Value = String> {
    let multi = |law: &'static str, smallest: usize| {
        (family(3..=8), radii(smallest), 4..14_usize).prop_map(move |(family, radii, average)| {
            format!("physics = \"{law}\"\n[design]\nfamily = \"{family}\"\nradii = {radii:?}\naverage = {average}\n")
        })
    };
    let transient = (family(4..=8), stages(5), 0.5..4.0, 0.02..0.2).prop_map(|(family, stages, prior, change)| {
        format!(
            "physics = \"heat-transient\"\n[design]\nfamily = \"{family}\"\nstages = {stages}\nprior = {prior}\n\
             change = {change}\nblame = 0.7\nsoft = 0.84\nfloor = 0.05\n"
        )
    });
    let phases = (family(6..=8), stages(5), 0.02..0.2).prop_map(|(family, stages, change)| {
        format!(
            "physics = \"reaction-diffusion\"\n[design]\nfamily = \"{family}\"\nstages = {stages}\nprior = 1.0\n\
             change = {change}\nfloor = 0.05\n"
        )
    });
    let chromatin = (family(6..=8), stages(6), 8..22_usize).prop_map(|(family, stages, equilibrium)| {
        format!(
            "physics = \"chromatin\"\n[design]\nfamily = \"{family}\"\nequilibrium = {equilibrium}\nstages = {stages}\n\
             change = 0.017\nfloor = 0.05\nmisjudged = 0.2\n"
        )
    });
    prop_oneof![multi("langevin", 6), multi("heat", 5), transient, phases, chromatin]
}

fn designs() -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 20;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(5);
    }
    config
}

proptest! {
    // The same designs every time; PROPTEST_RNG_SEED and PROPTEST_CASES give others. Among hundreds, tract as it comes
    // was seen 5 % beyond the bound, on frames of the smallest size.
    #![proptest_config(designs())]

    #[test]
    fn models_baked_at_random_agree_with_the_reference(spec in spec()) {
        let file = bake("made up", &spec, &BakeOptions::default()).map_err(|e| TestCaseError::fail(format!("{e}\n{spec}")))?;
        let model = Model::from_bytes("made up", &file).map_err(|e| TestCaseError::fail(e.to_string()))?;
        for case in model.cases().map_err(|e| TestCaseError::fail(e.to_string()))? {
            prop_assert_eq!(disagreement(&model, &case, false), None, "{}", spec);
        }
    }
}
