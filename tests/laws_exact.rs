//! Closed forms against exact solutions, in double precision, up to the frame's edge.

use mollifier::model::{Aspect, BakeOptions, Model, bake};
use ndarray::{Array, ArrayD, Dimension, IxDyn};

const HEAT: &str = include_str!("../models/heat-closed-form.toml");
const TRANSIENT: &str = include_str!("../models/heat-transient-closed-form.toml");
const LANGEVIN: &str = include_str!("../models/langevin-closed-form.toml");

fn model(spec: &str, aspect: Option<Aspect>) -> Model {
    let bytes = bake("spec", spec, &BakeOptions { aspect, ..BakeOptions::default() }).expect("a spec that bakes");
    Model::from_bytes("model", &bytes).expect("a model")
}

fn run(model: &Model, size: &[usize], value: impl Fn(&str, &[usize]) -> f64) -> Vec<ArrayD<f64>> {
    let inputs: Vec<ArrayD<f64>> = model
        .contract
        .inputs
        .iter()
        .map(|input| {
            let shape = mollifier::backend::tensor_shape(&model.contract, input, size);
            Array::from_shape_fn(IxDyn(&shape), |i| {
                value(&input.name, &(0..i.ndim()).map(|d| i[d]).collect::<Vec<_>>())
            })
        })
        .collect();
    model.reference(&inputs, size).expect("the reference")
}

/// u = -m/(2 lambda) (0.3 y^2 + 0.7 x^2) solves steady heat for constant lambda and m.
fn steady(spacing: [f64; 2], lambda: f64, m: f64) -> impl Fn(&str, &[usize]) -> f64 {
    move |name, i| match name {
        "u" => {
            let (y, x) = ((i[2] as f64 - 20.0) * spacing[0], (i[3] as f64 - 31.0) * spacing[1]);
            -m / (2.0 * lambda) * (0.3 * y * y + 0.7 * x * x)
        }
        "m" => m,
        "valid" => 1.0,
        "spacing" => spacing[i[0]],
        "noise" => 1e-9 * m * spacing[0] * spacing[0] / lambda,
        other => panic!("unexpected input {other}"),
    }
}

#[test]
fn constant_diffusivity_is_exact_up_to_the_edge_at_any_scale() {
    let model = model(HEAT, None);
    for (h, lambda, m) in [(1.0, 1.0, 1.0), (1e-7, 3e-12, 40.0), (20.0, 5.0, 1e-6)] {
        let out = run(&model, &[64, 70], steady([h, h], lambda, m));
        assert!(out[0].iter().all(|l| (l / lambda - 1.0).abs() < 1e-3), "lambda {lambda} at spacing {h}");
        assert!(out[1].iter().all(|r| r.abs() < 1e-3 * m), "residual");
        assert!(out[2].iter().all(|s| (s - 1.0).abs() < 1e-2), "support");
    }
}

/// u = exp(-lambda k^2 t) cos(k x) solves u_t = lambda Lap u; the average over a window takes what is quadratic in time.
#[test]
fn a_window_of_any_length_gives_the_diffusivity_of_its_middle() {
    let (lambda, k, apart) = (0.4, 0.22_f64, 0.5);
    for frames in [3, 5, 9, 15] {
        let model = model(&format!("window = {frames}\n{TRANSIENT}"), None);
        assert_eq!((model.contract.window, model.contract.delay), (frames, frames / 2));
        let time = |frame: usize| (frame as f64 - (frames / 2) as f64) * apart;
        let size = [90, 96];
        let out = run(&model, &size, |name, i| match name {
            "u" => (-lambda * k * k * time(i[1])).exp() * (k * i[3] as f64).cos(),
            "m" => 0.0,
            "valid" | "spacing" => 1.0,
            "time" => time(i[1]),
            "noise" => 1e-9,
            other => panic!("unexpected input {other}"),
        });
        // Where kernels and averages see no border, before which they are one-sided.
        let inside =
            |i: usize| (40..size[0] - 40).contains(&(i / size[1])) && (40..size[1] - 40).contains(&(i % size[1]));
        let errors = out[0].iter().enumerate().filter(|(i, _)| inside(*i)).map(|(_, l)| (l / lambda - 1.0).abs());
        let worst = errors.fold(0.0, f64::max);
        assert!(worst < 1e-3, "{frames} frames: {worst}");
    }
}

#[test]
fn a_window_is_refused_where_it_cannot_be() {
    let refusal = |spec: &str| bake("spec", spec, &BakeOptions::default()).expect_err("no window").to_string();
    for (window, spec) in [(4, TRANSIENT), (1, TRANSIENT), (33, TRANSIENT), (9, HEAT), (9, LANGEVIN)] {
        let message = refusal(&format!("window = {window}\n{spec}"));
        assert!(message.starts_with(&format!("spec: window: got {window}, expected ")), "{message}");
    }
    // At the end it would belong to the last table.
    let message = refusal(&format!("{TRANSIENT}window = 9\n"));
    assert!(message.contains("unknown field `window`"), "{message}");
}

#[test]
fn unequal_sample_distances_are_divided_out() {
    let model = model(HEAT, Some(Aspect { y: 1.0, x: 2.0 }));
    let out = run(&model, &[64, 60], steady([0.5, 1.0], 2.0, 0.7));
    assert!(out[0].iter().all(|l| (l / 2.0 - 1.0).abs() < 1e-3));
}

#[test]
fn without_a_source_there_is_no_support() {
    let solution = steady([1.0, 1.0], 1.0, 1.0);
    let out = run(&model(HEAT, None), &[64, 64], |name, i| match name {
        "m" => 0.0,
        "u" => 1e-3 * ((i[2] * 7 + i[3] * 13) % 11) as f64,
        "noise" => 1e-3,
        _ => solution(name, i),
    });
    assert!(out[0].iter().all(|l| l.is_finite()));
    assert!(out[2].iter().all(|s| *s < 1e-6));
}

#[test]
fn only_large_holes_are_left_out() {
    let solution = steady([1.0, 1.0], 2.0, 1.0);
    let out = run(&model(HEAT, None), &[80, 80], |name, i| match name {
        "valid" if i[2] == 20 && i[3] == 20 => 0.0,
        "valid" if (45..60).contains(&i[2]) && (45..60).contains(&i[3]) => 0.0,
        _ => solution(name, i),
    });
    let at = |map: &ArrayD<f64>, y: usize, x: usize| map[IxDyn(&[0, y, x])];
    assert!((at(&out[0], 20, 20) / 2.0 - 1.0).abs() < 1e-3, "one missing pixel is bridged");
    assert!(at(&out[0], 52, 52).is_nan(), "the middle of a large hole is not");
    assert!((at(&out[0], 70, 20) / 2.0 - 1.0).abs() < 1e-3);
    assert!(at(&out[2], 52, 52) < at(&out[2], 70, 20));
}

#[test]
fn forcing_of_a_cubic_is_exact_with_its_offset() {
    let model = model(LANGEVIN, None);
    let (h, a, offset) = (0.05, -0.4, 3.0);
    let u = |t: f64| 0.2 + t - 0.3 * t * t + 0.02 * t * t * t;
    let slope = |t: f64| 1.0 - 0.6 * t + 0.06 * t * t;
    // Averages are exact on quadratics at the edges: keep to one there.
    let out = run(&model, &[200], |name, i| match name {
        "u" => u(i[1] as f64 * h) - offset,
        "valid" => 1.0,
        "spacing" => h,
        "a" => a,
        "noise" => 1e-7,
        "offset" => offset,
        other => panic!("unexpected input {other}"),
    });
    for (i, got) in out[0].iter().enumerate() {
        let t = i as f64 * h;
        let expected = slope(t) - a * u(t);
        assert!((got - expected).abs() < 2e-3, "sample {i}: got {got}, expected {expected}");
    }
}

#[test]
fn a_short_series_rests_on_the_radii_that_fit() {
    let out = run(&model(LANGEVIN, None), &[40], |name, i| match name {
        "u" => 0.5 * i[1] as f64,
        "valid" | "spacing" => 1.0,
        _ => 0.0,
    });
    assert!(out[0].iter().all(|l| (l - 0.5).abs() < 1e-6));
}
