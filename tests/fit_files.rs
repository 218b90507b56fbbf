//! The file of a fit: evaluated by every backend on any grid, written by the command, refused where it contradicts itself.

mod program;

use std::path::{Path, PathBuf};
use std::process::Output;

#[cfg(feature = "engine")]
use mollifier::backend::PlainTract;
use mollifier::backend::{Backend, Tract};
use mollifier::fitted::{Evaluator, coordinates};
use mollifier::model::{FIT_KEY, Fit, Model, ModelFile};
use mollifier::onnx;
use ndarray::{Array1, Array3};
use ndarray_npy::read_npy;
use prost::Message;
use serde_json::{Value, json};

/// The field is tanh(0.1 + sum over the axes of `FIELD` times the coordinate), lambda exp of the like with `LAMBDA`.
const FIELD: [f32; 3] = [0.3, -0.7, 0.4];
const LAMBDA: [f32; 3] = [1.1, 0.5, -0.2];
const BIAS: f32 = 0.1;

fn tensor(name: &str, dims: &[usize], values: &[f32]) -> onnx::TensorProto {
    onnx::TensorProto {
        name: name.into(),
        dims: dims.iter().map(|d| *d as i64).collect(),
        data_type: onnx::DataType::Float as i32,
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Default::default()
    }
}

fn whole(name: &str, values: &[i64]) -> onnx::TensorProto {
    onnx::TensorProto {
        name: name.into(),
        dims: vec![values.len() as i64],
        data_type: onnx::DataType::Int64 as i32,
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Default::default()
    }
}

fn info(name: &str, fixed: Option<i64>) -> onnx::ValueInfoProto {
    use onnx::{Dimension, DimensionValue as Value};
    let free = Dimension { value: Some(Value::DimParam("point".into())), ..Default::default() };
    let fixed = fixed.map(|n| Dimension { value: Some(Value::DimValue(n)), ..Default::default() });
    let shape = onnx::TensorShapeProto { dim: std::iter::once(free).chain(fixed).collect() };
    let tensor = onnx::TensorTypeProto { elem_type: 1, shape: Some(shape) };
    let kind = onnx::TypeProto { tensor_type: Some(tensor), ..Default::default() };
    onnx::ValueInfoProto { name: name.into(), r#type: Some(kind), ..Default::default() }
}

fn node(op: &str, inputs: &[&str], output: &str) -> onnx::NodeProto {
    let axis = onnx::AttributeProto {
        name: "axis".into(),
        r#type: onnx::AttributeType::Int as i32,
        i: 1,
        ..Default::default()
    };
    onnx::NodeProto {
        op_type: op.into(),
        name: output.into(),
        input: inputs.iter().map(|s| (*s).into()).collect(),
        output: vec![output.into()],
        attribute: if op == "Gather" { vec![axis] } else { Vec::new() },
        ..Default::default()
    }
}

fn record(problem: &str, axes: &[(&str, f64, usize)]) -> Value {
    let axes: Vec<Value> = axes
        .iter()
        .map(|(name, last, samples)| {
            let spacing = last / (samples - 1) as f64;
            json!({ "name": name, "first": 0.0, "last": last, "spacing": spacing, "samples": samples })
        })
        .collect();
    let lambda = if axes.len() == 1 { json!(["t"]) } else { json!(["y", "x"]) };
    json!({ "version": 1, "problem": problem, "axes": axes, "lambda_axes": lambda, "stencil": 100 })
}

fn file(record: &Value) -> Vec<u8> {
    let axes = record["axes"].as_array().map_or(1, Vec::len);
    let used: Vec<i64> = if axes == 1 { vec![0] } else { (axes as i64 - 2..axes as i64).collect() };
    let graph = onnx::GraphProto {
        name: "fit".into(),
        node: vec![
            node("MatMul", &["coordinates", "w"], "f0"),
            node("Squeeze", &["f0", "one"], "f1"),
            node("Add", &["f1", "b"], "f2"),
            node("Tanh", &["f2"], "field"),
            node("Gather", &["coordinates", "used"], "l0"),
            node("MatMul", &["l0", "v"], "l1"),
            node("Squeeze", &["l1", "one"], "l2"),
            node("Add", &["l2", "b"], "l3"),
            node("Exp", &["l3"], "lambda"),
        ],
        initializer: vec![
            tensor("w", &[axes, 1], &FIELD[..axes]),
            tensor("v", &[used.len(), 1], &LAMBDA[..used.len()]),
            tensor("b", &[1], &[BIAS]),
            whole("one", &[1]),
            whole("used", &used),
        ],
        input: vec![info("coordinates", Some(axes as i64))],
        output: vec![info("field", None), info("lambda", None)],
        ..Default::default()
    };
    let said = onnx::StringStringEntryProto { key: FIT_KEY.into(), value: record.to_string() };
    onnx::ModelProto {
        ir_version: 8,
        opset_import: vec![onnx::OperatorSetIdProto { domain: String::new(), version: 17 }],
        graph: Some(graph),
        metadata_props: vec![said],
        ..Default::default()
    }
    .encode_to_vec()
}

fn fit(record: &Value) -> Result<Fit, String> {
    match ModelFile::from_bytes("fit.onnx", &file(record)) {
        Ok(ModelFile::Fit(fit)) => Ok(*fit),
        Ok(ModelFile::Inverse(_)) => Err("an inverse model".into()),
        Err(e) => Err(e.to_string()),
    }
}

fn expected(point: &[f64]) -> (f64, f64) {
    let sum = |weights: &[f32], values: &[f64]| -> f64 {
        f64::from(BIAS) + weights.iter().zip(values).map(|(w, v)| f64::from(*w) * v).sum::<f64>()
    };
    let lambda = if point.len() == 1 { point } else { &point[point.len() - 2..] };
    (sum(&FIELD, point).tanh(), sum(&LAMBDA, lambda).exp())
}

fn movie() -> Value {
    record("reaction-diffusion", &[("t", 2.0, 3), ("y", 1.0, 5), ("x", 1.2, 7)])
}

fn backends() -> Vec<Box<dyn Backend>> {
    #[cfg_attr(not(feature = "ort"), expect(unused_mut))]
    let mut all: Vec<Box<dyn Backend>> = Vec::from([
        Box::new(Tract) as Box<dyn Backend>,
        #[cfg(feature = "engine")]
        Box::new(PlainTract),
    ]);
    #[cfg(feature = "ort")]
    if std::env::var_os("ORT_DYLIB_PATH").is_some() {
        use mollifier::backend::{Ort, Provider};
        all.push(Box::new(Ort::load(Provider::Cpu, None).expect("the library that ORT_DYLIB_PATH names")));
    }
    all
}

#[test]
fn every_backend_gives_the_function_at_every_point() {
    for record in [record("langevin", &[("t", 4.0, 1000)]), record("heat", &[("y", 1.0, 40), ("x", 0.5, 21)]), movie()]
    {
        let fit = fit(&record).expect("it is sound");
        let lines: Vec<Vec<f64>> = fit.record.axes.iter().map(|a| coordinates(a, a.samples + 1)).collect();
        let slices: Vec<&[f64]> = lines.iter().map(Vec::as_slice).collect();
        let count = lines.iter().map(Vec::len).product();
        for backend in backends() {
            let mut first: Option<(Vec<f32>, Vec<f32>)> = None;
            for threads in [1, 3] {
                let mut evaluator = Evaluator::new(&fit, backend.as_ref(), threads).expect("it is prepared");
                let (mut field, mut lambda) = (vec![f32::NAN; count], vec![f32::NAN; count]);
                evaluator.grid(&slices, &mut field, &mut lambda).expect("it is computed");
                for i in 0..count {
                    let mut rest = i;
                    let mut point = vec![0.0; lines.len()];
                    for (value, line) in point.iter_mut().zip(&lines).rev() {
                        *value = line[rest % line.len()];
                        rest /= line.len();
                    }
                    let (f, l) = expected(&point);
                    let name = backend.name();
                    assert!((f64::from(field[i]) - f).abs() < 1e-5, "{name}, {point:?}: {} {f}", field[i]);
                    assert!((f64::from(lambda[i]) / l - 1.0).abs() < 1e-5, "{name}, {point:?}: {} {l}", lambda[i]);
                }
                // Who computes a piece does not matter.
                let got = (field, lambda);
                assert!(first.get_or_insert_with(|| got.clone()) == &got, "{}", backend.name());
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_with_what_was_expected() {
    let changed = |pointer: &str, value: Value| {
        let mut record = movie();
        *record.pointer_mut(pointer).expect("an entry") = value;
        fit(&record).expect_err("it contradicts itself")
    };
    for (pointer, value, word) in [
        ("/version", json!(2), "got version 2, expected 1"),
        ("/problem", json!("chess"), "got \"chess\", expected a law"),
        ("/axes", json!([]), "expected t, or y and x, or all three"),
        ("/axes/0/name", json!("x"), "expected t, or y and x, or all three"),
        ("/axes/1/samples", json!(1), "axis y: got 1 samples"),
        ("/axes/1/samples", json!(1u64 << 40), "axis y: got 1099511627776 samples"),
        ("/axes/1/samples", json!(-3), "-3"),
        ("/axes/2/last", json!(-1.0), "axis x: got 0 to -1, expected a range"),
        ("/axes/2/spacing", json!(0.0), "axis x"),
        ("/lambda_axes", json!(["t"]), "got [\"t\"], expected t of a series, y and x of images"),
        ("/stencil", json!(0), "stencil: got 0"),
        ("/stencil", json!(1u64 << 60), "stencil: got 1152921504606846976"),
    ] {
        let message = changed(pointer, value);
        assert!(message.starts_with("fit.onnx, mollifier.fit: "), "{message}");
        assert!(message.contains(word), "{message}");
    }
    let mut record = movie();
    record["axes"][0]["unit"] = json!("s");
    assert!(fit(&record).expect_err("units of one axis").contains("give units for every axis or for none"));
    record["axes"][1]["unit"] = json!("um");
    record["axes"][2]["unit"] = json!("furlong");
    assert!(fit(&record).expect_err("a unit nobody knows").contains("furlong"));

    let mut proto = onnx::ModelProto::decode(&file(&movie())[..]).expect("ONNX");
    proto.graph.as_mut().expect("a graph").output.swap(0, 1);
    let message = ModelFile::from_bytes("fit.onnx", &proto.encode_to_vec()).expect_err("outputs changed").to_string();
    assert!(
        message.contains("got graph outputs [\"lambda\", \"field\"], expected [\"field\", \"lambda\"]"),
        "{message}"
    );
    let message = Model::from_bytes("fit.onnx", &file(&movie())).expect_err("no inverse model").to_string();
    assert!(message.contains("`mollifier run fit.onnx` evaluates"), "{message}");
}

#[test]
fn a_grid_that_does_not_fit_is_refused() {
    let fit = fit(&movie()).expect("it is sound");
    let mut evaluator = Evaluator::new(&fit, &Tract, 1).expect("it is prepared");
    let line = [0.0, 1.0];
    let mut values = [[0.0; 8], [0.0; 8]];
    let [field, lambda] = &mut values;
    let mut call = |lines: &[&[f64]], n: usize| evaluator.grid(lines, &mut field[..n], &mut lambda[..n]);
    assert!(call(&[&line, &line, &line], 8).is_ok());
    assert!(call(&[&line, &line, &line], 7).is_err());
    assert!(call(&[&line, &line], 4).is_err());
    assert!(call(&[&[], &line, &line], 0).is_ok(), "no points are no error");
}

fn run(dir: &Path, args: &[&str]) -> Output {
    program::mollifier().current_dir(dir).args(args).output().expect("the binary runs")
}

fn done(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn fails(dir: &Path, args: &[&str]) -> (i32, String) {
    let output = run(dir, args);
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    (output.status.code().expect("no signal"), text)
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    std::fs::write(path.join("movie.onnx"), file(&movie())).expect("a file");
    std::fs::write(path.join("series.onnx"), file(&record("langevin", &[("t", 4.0, 50)]))).expect("a file");
    (folder, path)
}

#[test]
fn the_command_writes_maps_on_any_grid() {
    let (_folder, dir) = folder();
    let said = done(&dir, &["run", "movie.onnx", "--size", "y=9,t=2", "--format", "npy", "--out", "out"]);
    assert!(
        said.contains("2 samples along t, 0 to 2; 9 samples along y, 0 to 1; 7 samples along x, 0 to 1.2"),
        "{said}"
    );
    let field: Array3<f32> = read_npy(dir.join("out/field.npy")).expect("maps");
    let lambda: Array3<f32> = read_npy(dir.join("out/lambda.npy")).expect("maps");
    assert_eq!((field.dim(), lambda.dim()), ((2, 9, 7), (2, 9, 7)));
    for ((t, y, x), got) in field.indexed_iter() {
        let (f, l) = expected(&[2.0 * t as f64, y as f64 / 8.0, 0.2 * x as f64]);
        assert!((f64::from(*got) - f).abs() < 1e-5 && (f64::from(lambda[(t, y, x)]) / l - 1.0).abs() < 1e-5);
    }
    let record: Value =
        serde_json::from_slice(&std::fs::read(dir.join("out/run.json")).expect("a record")).expect("JSON");
    assert_eq!(record["maps"], json!([{ "frame": 0, "time": 0.0 }, { "frame": 1, "time": 2.0 }]));
    assert_eq!(record["grid"], json!({ "t": 2, "y": 9, "x": 7 }));
    assert_eq!(record["spacing"]["y"], json!({ "value": 0.125, "unit": null }));
    assert_eq!(record["model"]["fit"]["problem"], "reaction-diffusion");
    // A folder that an inverse model wrote into before is one run's again.
    done(&dir, &["run", "movie.onnx", "--format", "npy", "--out", "out"]);
    let field: Array3<f32> = read_npy(dir.join("out/field.npy")).expect("maps");
    assert_eq!(field.dim(), (3, 5, 7));
    assert!(done(&dir, &["inspect", "movie.onnx"]).contains("axis      t from 0 to 2, 3 samples 1 apart"));
    let told: Value = serde_json::from_str(&done(&dir, &["inspect", "movie.onnx", "--json"])).expect("JSON");
    assert_eq!(told["stencil"], 100);
}

#[test]
fn beside_its_recording_it_says_what_it_leaves() {
    let (_folder, dir) = folder();
    let values: Vec<String> =
        (0..50).map(|i| if i == 7 { String::new() } else { format!("{}", f64::from(i) * 0.1) }).collect();
    std::fs::write(dir.join("log.csv"), format!("u,v\n{}\n", values.join(",1\n") + ",1")).expect("a table");
    done(&dir, &["run", "series.onnx", "log.csv", "--column", "u", "--format", "npy", "--out", "out"]);
    let misfit: Array1<f32> = read_npy(dir.join("out/misfit.npy")).expect("a series");
    for (i, got) in misfit.iter().enumerate() {
        let want = i as f64 * 0.1 - expected(&[4.0 * i as f64 / 49.0]).0;
        assert!(if i == 7 { got.is_nan() } else { (f64::from(*got) - want).abs() < 1e-5 }, "{i}: {got} {want}");
    }
    // Longer than one block, and cut elsewhere than the blocks that the file is read in.
    let long = record("langevin", &[("t", 4.0, 40_000)]);
    std::fs::write(dir.join("long.onnx"), file(&long)).expect("a file");
    std::fs::write(dir.join("long.csv"), "0.5\n".repeat(40_000)).expect("a table");
    done(&dir, &["run", "long.onnx", "long.csv", "--format", "npy", "--out", "long"]);
    let misfit: Array1<f32> = read_npy(dir.join("long/misfit.npy")).expect("a series");
    let worst = misfit
        .iter()
        .enumerate()
        .map(|(i, got)| (f64::from(*got) - 0.5 + expected(&[4.0 * i as f64 / 39_999.0]).0).abs());
    assert_eq!(misfit.len(), 40_000);
    assert!(worst.fold(0.0, f64::max) < 1e-5);
}

#[test]
fn misuse_of_a_fit_is_one_line() {
    let (_folder, dir) = folder();
    std::fs::write(dir.join("short.csv"), "1\n2\n3\n").expect("a table");
    std::fs::write(dir.join("two.csv"), "a,b\n1,2\n3,4\n").expect("a table");
    for (args, word) in [
        (&["run", "movie.onnx", "--size", "z=3"][..], "AXIS=SAMPLES for t, y or x"),
        (&["run", "movie.onnx", "--size", "y=0"], "AXIS=SAMPLES"),
        (&["run", "movie.onnx", "--size", "y=3,y=4"], "each once"),
        (&["run", "movie.onnx", "--size", "y=99999999"], "at most 16384"),
        (&["run", "series.onnx", "--size", "y=3"], "series.onnx has the axes t"),
        (&["run", "movie.onnx", "--noise", "1"], "--noise: movie.onnx is a fit of one recording"),
        (&["run", "movie.onnx", "--follow"], "--follow: movie.onnx is a fit"),
        (&["run", "series.onnx", "--column", "u"], "--column: got no INPUT"),
        (&["run", "series.onnx", "--unit", "v=K"], "--unit v"),
        (&["run", "series.onnx", "--format", "npy"], "--format: got no --out"),
        (&["run", "series.onnx", "--format", "tiff", "--out", "o"], "npy, csv or png"),
        (&["run", "series.onnx", "short.csv", "--size", "t=3"], "--size: got an INPUT too"),
        (&["run", "series.onnx", "short.csv"], "expected 50 as were fitted"),
        (&["run", "series.onnx", "two.csv"], "--column"),
        (&["run", "movie.onnx", "short.csv"], "expected images"),
    ] {
        let (code, text) = fails(&dir, args);
        assert!(text.contains(word), "{args:?}: {text}");
        assert_eq!(code, 2, "{args:?}: {text}");
    }
    let (code, text) = fails(&dir, &["verify", "movie.onnx"]);
    assert!(code == 1 && text.contains("got a fit of one recording"), "{text}");
    assert!(!dir.join("o").exists());
}
