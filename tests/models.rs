//! Every shipped model: fresh, tiled as whole, continuous.

use std::path::{Path, PathBuf};

use mollifier::backend::{Backend, Plan, Tract, tensor_shape};
use mollifier::model::{BakeOptions, InputRole, Kind, Model, Trunk, bake};
use ndarray::{ArrayD, Axis, IxDyn};

fn files(extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the models folder")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == extension))
        .filter(|p| !p.display().to_string().ends_with(".trunk.onnx"))
        .collect();
    files.sort();
    files
}

fn models() -> Vec<Model> {
    files("onnx").iter().map(|p| Model::load(p).expect("a shipped model")).collect()
}

fn compute(plan: &mut dyn Plan, model: &Model, inputs: &[ArrayD<f32>], size: &[usize]) -> Vec<ArrayD<f32>> {
    let shape: Vec<usize> = std::iter::once(1).chain(size.iter().copied()).collect();
    let mut outputs: Vec<ArrayD<f32>> = model.contract.outputs.iter().map(|_| ArrayD::zeros(IxDyn(&shape))).collect();
    let views: Vec<_> = inputs.iter().map(|a| a.view()).collect();
    let mut slots: Vec<_> = outputs.iter_mut().map(|a| a.view_mut()).collect();
    plan.run(&views, &mut slots).expect("a run");
    outputs
}

#[test]
fn five_laws_are_shipped() {
    let laws: Vec<String> = models().iter().map(|m| m.contract.physics.name.clone()).collect();
    for law in ["chromatin", "heat", "heat-transient", "langevin", "reaction-diffusion"] {
        assert!(laws.iter().any(|l| l == law), "no model of {law} among {laws:?}");
    }
}

#[test]
fn files_are_what_their_specs_bake() {
    for spec in files("toml") {
        let text = std::fs::read_to_string(&spec).expect("a spec");
        let trunk = spec.with_extension("trunk.onnx");
        let trunk = trunk.exists().then(|| Trunk::load(&trunk).expect("a shipped trunk"));
        let options = BakeOptions { trunk, ..BakeOptions::default() };
        let fresh = bake(&spec.display().to_string(), &text, &options).expect("a spec that bakes");
        let file = std::fs::read(spec.with_extension("onnx")).expect("its model");
        assert!(fresh == file, "{}: stale, run models/bake", spec.display());
    }
}

/// Cut a tile out of every input that has spatial axes.
fn cut(model: &Model, inputs: &[ArrayD<f32>], from: &[usize], size: &[usize], whole: &[usize]) -> Vec<ArrayD<f32>> {
    model
        .contract
        .inputs
        .iter()
        .zip(inputs)
        .map(|(input, value)| {
            if !tensor_shape(&model.contract, input, whole).ends_with(whole) {
                return value.clone();
            }
            let mut view = value.view();
            let lead = view.ndim() - size.len();
            for (d, (from, size)) in from.iter().zip(size).enumerate() {
                view.slice_axis_inplace(Axis(lead + d), (*from..from + size).into());
            }
            view.to_owned()
        })
        .collect()
}

#[test]
fn a_tile_gives_the_bits_of_the_whole_frame() {
    for model in models() {
        // What this engine asks of tiles beside the contract.
        let tiling = Tract.tiling(&model);
        let (halo, align) = (tiling.halo(&model.contract), tiling.alignment(&model.contract));
        let least = &model.contract.min_size;
        let size: Vec<usize> = halo.iter().zip(least).map(|(h, m)| (2 * h + 21).max(*m)).collect();
        let behind = |d: usize| (37 + 5 * d).next_multiple_of(align[d]);
        let whole: Vec<usize> = size.iter().enumerate().map(|(d, s)| s + behind(d)).collect();
        let inputs = model.made_up_inputs(&whole, true);
        let mut plan = Tract.prepare(&model, &whole).expect("a plan");
        let expected = compute(plan.as_mut(), &model, &inputs, &whole);
        let mut plan = Tract.prepare(&model, &size).expect("a plan");
        let corner = vec![0; size.len()];
        let middle: Vec<usize> = (0..size.len()).map(|d| (whole[d] - size[d]) / 2 / align[d] * align[d]).collect();
        let end: Vec<usize> = whole.iter().zip(&size).map(|(w, s)| w - s).collect();
        for from in [corner, middle, end] {
            let tile = compute(plan.as_mut(), &model, &cut(&model, &inputs, &from, &size, &whole), &size);
            for (output, (tile, expected)) in model.contract.outputs.iter().zip(tile.iter().zip(&expected)) {
                let mut compared = 0;
                for (place, got) in tile.indexed_iter() {
                    let inside = (0..size.len()).all(|d| {
                        let (at, edge) = (place[d + 1], halo[d]);
                        (from[d] == 0 || at >= edge) && (from[d] + size[d] == whole[d] || at + edge < size[d])
                    });
                    if inside {
                        let there: Vec<usize> =
                            std::iter::once(0).chain((0..size.len()).map(|d| place[d + 1] + from[d])).collect();
                        let want = expected[IxDyn(&there)];
                        assert!(
                            got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()),
                            "{}, {} at {there:?} from tile {from:?}: {got} instead of {want}",
                            model.name,
                            output.name
                        );
                        compared += 1;
                    }
                }
                assert!(compared > 0, "{}: nothing to compare in tile {from:?}", model.name);
            }
        }
    }
}

/// Choices among radii are soft: the last bits of the input must not move the estimate.
#[test]
fn a_tiny_change_of_the_input_does_not_make_lambda_jump() {
    for model in models() {
        let size: Vec<usize> = model.contract.min_size.iter().map(|m| m + 30).collect();
        let inputs = model.made_up_inputs(&size, false);
        let mut changed = inputs.clone();
        let recording = model.contract.inputs.iter().position(|i| i.role == InputRole::Recording).expect("u");
        for (i, v) in changed[recording].iter_mut().enumerate() {
            *v *= if i % 3 == 0 { 1.0 + 1.2e-7 } else { 1.0 - 0.6e-7 };
        }
        let mut plan = Tract.prepare(&model, &size).expect("a plan");
        let a = compute(plan.as_mut(), &model, &inputs, &size).remove(0);
        let b = compute(plan.as_mut(), &model, &changed, &size).remove(0);
        let mut sizes: Vec<f32> = a.iter().map(|v| v.abs()).collect();
        sizes.sort_by(f32::total_cmp);
        let median = sizes[sizes.len() / 2];
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() <= 1e-3 * a.abs().max(median), "{}: lambda jumps from {a} to {b}", model.name);
        }
    }
}

#[test]
fn outputs_are_finite_where_anything_is_covered() {
    for model in models() {
        let size: Vec<usize> = model.contract.min_size.iter().map(|m| m + 10).collect();
        let inputs = model.made_up_inputs(&size, true);
        let mut plan = Tract.prepare(&model, &size).expect("a plan");
        let outputs = compute(plan.as_mut(), &model, &inputs, &size);
        let of = |name: &str| model.contract.outputs.iter().position(|o| o.name == name).map(|i| &outputs[i]);
        let support = of("support").expect("every model gives its support");
        let lambda = of("lambda").expect("every model gives lambda");
        assert!(support.iter().all(|s| (-1e-6..=1.0 + 1e-6).contains(s)), "{}: support outside 0..1", model.name);
        for (l, s) in lambda.iter().zip(support) {
            assert!(l.is_finite() || *s <= 0.0, "{}: lambda {l} at support {s}", model.name);
        }
        if model.contract.kind != Kind::Series {
            assert!(lambda.iter().filter(|l| l.is_nan()).count() * 20 < lambda.len(), "{}: too many NaN", model.name);
        }
    }
}
