//! `mollifier run` as a person would try it: models baked from the shipped specs, recordings made here.

mod program;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
#[cfg(unix)]
use std::time::{Duration, Instant};

use ndarray::{Array1, Array2, Array3};
use ndarray_npy::{read_npy, write_npy};
use program::{Bench, command, record, run};
use serde_json::Value;

/// The one line on standard error of a command that fails with `code`.
fn fails(args: &[&str], code: i32) -> String {
    let output = run(args);
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(code), "{text}");
    let errors: Vec<&str> = text.lines().filter(|l| !l.starts_with("mollifier: warning:")).collect();
    assert_eq!(errors.len(), 1, "{text}");
    errors[0].to_owned()
}

fn parts(out: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(out) else { return Vec::new() };
    let paths = entries.filter_map(|e| Some(e.ok()?.path()));
    paths.filter(|p| p.extension().is_some_and(|e| e == "part")).collect()
}

/// The only copy of a recording must not go for its maps.
#[test]
fn a_recording_is_never_written_over() {
    let bench = Bench::new();
    let (model, movie) = (bench.model("heat-transient-closed-form"), bench.movie("lambda.npy", (5, 70, 80)));
    let folder = Path::new(&movie).parent().expect("a folder").display().to_string();
    let before = fs::read(&movie).expect("the movie");
    let error = fails(&["run", &model, &movie, "--with", "m=0", "--out", &folder, "--format", "npy"], 1);
    assert!(error.ends_with("got the run's own input in the place of its output, expected another folder"), "{error}");
    assert_eq!(fs::read(&movie).expect("the movie"), before);
}

#[test]
fn a_movie_gives_n_minus_w_plus_one_maps_and_a_record() {
    let bench = Bench::new();
    let (model, movie, out) =
        (bench.model("heat-transient-closed-form"), bench.movie("u.npy", (9, 70, 80)), bench.path("out"));
    let output = run(&[
        "run",
        &model,
        &movie,
        "--with",
        "m=0",
        "--spacing",
        "t=2s,y=0.1um,x=0.1um",
        "--out",
        &out,
        "--format",
        "npy",
        "--format",
        "tiff",
    ]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains("5 maps of 70 x 80 pixels from 9 frames") && text.contains("um^2/s"), "{text}");

    let lambda: Array3<f32> = read_npy(Path::new(&out).join("lambda.npy")).expect("lambda.npy");
    assert_eq!(lambda.dim(), (5, 70, 80));
    let json = record(&out);
    assert_eq!(json["status"], "complete");
    assert_eq!((&json["frames"]["read"], &json["frames"]["computed"]), (&9.into(), &5.into()));
    assert_eq!(json["frames"]["lost"], Value::Array(Vec::new()));
    let maps: Vec<(u64, f64)> = json["maps"]
        .as_array()
        .expect("maps")
        .iter()
        .map(|m| (m["frame"].as_u64().unwrap_or(99), m["time"].as_f64().unwrap_or(-1.0)))
        .collect();
    assert_eq!(maps, [(2, 4.0), (3, 6.0), (4, 8.0), (5, 10.0), (6, 12.0)]);
    assert_eq!(json["outputs"]["lambda"]["unit"], "um^2/s");
    assert_eq!(json["spacing"]["t"]["unit"], "s");
    assert_eq!(json["model"]["sha256"].as_str().map(str::len), Some(64));
    assert!(json["latency_ms"]["p50"].as_f64() > Some(0.0) && json["machine"].is_string());
    assert_eq!(parts(&out), Vec::<PathBuf>::new());
    assert!(Path::new(&out).join("lambda.tif").exists());
}

#[test]
fn threads_and_standard_input_give_the_same_bits() {
    let bench = Bench::new();
    let (model, movie) = (bench.model("heat-transient-closed-form"), bench.movie("u.npy", (6, 150, 260)));
    let lambda = |extra: &[&str], stdin: Option<Vec<u8>>| {
        let out = bench.path(&format!("out{}", extra.join("").replace(['/', ':'], "")));
        let input = if stdin.is_some() { "-" } else { &movie };
        let args = [&["run", &model, input, "--with", "m=0", "--out", &out, "--format", "npy"], extra].concat();
        let mut child = command(&args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        if let Some(bytes) = stdin {
            child.stdin.take().expect("piped").write_all(&bytes).expect("it reads");
        }
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:?}");
        let maps: Array3<f32> = read_npy(Path::new(&out).join("lambda.npy")).expect("lambda.npy");
        maps.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
    };
    let one = lambda(&["--threads", "1"], None);
    assert_eq!(one, lambda(&["--threads", "3"], None));
    let values: Array3<f32> = read_npy(&movie).expect("the movie");
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(one, lambda(&["--raw", "f32:150x260"], Some(bytes)));
}

#[test]
fn a_series_gives_one_value_a_sample() {
    let bench = Bench::new();
    let (model, out, input) = (bench.model("langevin-closed-form"), bench.path("out"), bench.path("s.npy"));
    let values: Array1<f64> = (0..3000).map(|i| 20.0 + (f64::from(i) / 90.0).sin()).collect();
    write_npy(&input, &values).expect("it is written");
    let output =
        run(&["run", &model, &input, "--spacing", "t=10ms", "--with", "a=0", "--out", &out, "--format", "npy"]);
    assert!(output.status.success(), "{output:?}");
    let lambda: Array1<f32> = read_npy(Path::new(&out).join("lambda.npy")).expect("lambda.npy");
    assert_eq!(lambda.len(), 3000);
    // With a = 0 lambda is the derivative: cos(i / 90) / 90 a sample, 10 ms apart.
    for i in (200..2800).step_by(100) {
        let expected = (i as f32 / 90.0).cos() / 900.0;
        assert!((lambda[i] - expected).abs() < 2e-5, "sample {i}: {} for {expected}", lambda[i]);
    }
    assert_eq!(record(&out)["outputs"]["lambda"]["unit"], "[unit of u]/ms");
}

/// What is wrong with a row, not that there are too few before it.
#[test]
fn a_table_of_uneven_times_is_told_as_such() {
    let bench = Bench::new();
    let (model, table) = (bench.model("langevin-closed-form"), bench.path("u.csv"));
    let rows = (0..300).map(|i| format!("{},{}\n", 0.01 * (f64::from(i) + if i % 7 == 2 { 0.45 } else { 0.0 }), i % 5));
    fs::write(&table, format!("t [s],u\n{}", rows.collect::<String>())).expect("it is written");
    let error = fails(&["run", &model, &table, "--with", "a=-1"], 1);
    assert!(error.contains("line 4:") && error.contains("even steps"), "{error}");
}

#[test]
fn a_series_noisier_than_the_tested_ones_is_said_to_be() {
    let bench = Bench::new();
    let model = bench.model("langevin-closed-form");
    let warnings = |name: &str, noise: f64| {
        let (input, out) = (bench.path(name), bench.path(&format!("{name}-out")));
        let mut state = 1u64;
        let series: Array1<f64> = (0..600)
            .map(|i| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let uniform = (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
                (f64::from(i) / 40.0).sin() + noise * 12f64.sqrt() * uniform
            })
            .collect();
        write_npy(&input, &series).expect("it is written");
        let output = run(&["run", &model, &input, "--spacing", "t=1", "--out", &out]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        record(&out)["warnings"].as_array().map_or(0, Vec::len)
    };
    assert_eq!((warnings("quiet.npy", 0.05), warnings("loud.npy", 0.4)), (0, 1));
}

/// A power-on value, a pair of broken readings and a single one in a table that begins at 100 s.
#[test]
fn glitches_of_a_series_cost_nothing_and_its_times_go_on_into_the_outputs() {
    let bench = Bench::new();
    let model = bench.model("langevin-closed-form");
    let table = |name: &str, first: &str, glitch: f64| {
        let value = |i: u32| {
            let noise = f64::from(i.wrapping_mul(2_654_435_761) >> 16) / 65_536.0 - 0.5;
            let off = if [0, 500, 900, 901].contains(&i) { glitch } else { 0.0 };
            20.0 + (f64::from(i) / 90.0).sin() + 0.02 * noise + off
        };
        let rows: String = (0..1500).map(|i| format!("{:.2},{:.4}\n", 100.0 + 0.01 * f64::from(i), value(i))).collect();
        let rows = rows.replacen("100.00,", &format!("{first},"), 1);
        fs::write(bench.path(name), format!("t [s],u\n{rows}")).expect("it is written");
        bench.path(name)
    };
    let forcing = |input: &str, more: &[&str]| {
        let out = bench.path("out");
        let output = run(&[&["run", &model, input, "--with", "a=0", "--out", &out][..], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = fs::read_to_string(Path::new(&out).join("lambda.csv")).expect("lambda.csv");
        assert!(text.starts_with("sample,time [s],lambda [[unit of u]/s]\n0,100,"), "{text:.60}");
        assert!(text.contains("\n1499,114.99,"));
        let value = |row: &str| row.split(',').nth(2).and_then(|v| v.parse().ok()).unwrap_or(f64::NAN);
        let values: Vec<f64> = text.lines().skip(1).map(value).collect();
        let error = values.iter().enumerate().map(|(i, v)| (v - (i as f64 / 90.0).cos() / 0.9).abs());
        (error.skip(60).take(1380).fold(0.0, f64::max), record(&out))
    };
    let (usual, json) = forcing(&table("clean.csv", "100.00", 0.0), &[]);
    assert!(usual < 0.15 && json["outlying_values"] == 0, "{usual}: {}", json["outlying_values"]);
    let glitches = table("glitches.csv", "100.00", 65.0);
    let (off, json) = forcing(&glitches, &[]);
    assert!(off < usual + 0.02, "{off}, {usual}");
    assert_eq!((&json["outlying_values"], &json["frames"]["with_outlying_values"]), (&Value::from(4), &Value::from(4)));
    assert!(json["warnings"].to_string().contains("stand out"), "{}", json["warnings"]);
    let (off, json) = forcing(&glitches, &["--keep-outliers"]);
    assert!(off > 10.0 && json["outlying_values"] == 0, "{off}");
}

/// Modes that decay as exactly known, lambda dt / h^2 being `diffusivity`, with some noise; every so many columns.
fn decaying(frames: usize, diffusivity: f64, columns: usize) -> Array3<f64> {
    let unit = std::f64::consts::TAU / 96.0;
    let modes = [(1.0, 2.0, 1.0), (3.0, 1.0, 0.8), (2.0, 4.0, 0.7), (5.0, 3.0, 0.5), (4.0, 0.0, 0.6)];
    Array3::from_shape_fn((frames, 96, 96 / columns), |(t, y, x)| {
        let (t, y, x) = (t as f64, y as f64, (columns * x) as f64);
        let noise = ((t * 13.7 + y * 78.2 + x * 37.9).sin() * 43_758.5).fract() * 0.02;
        let mode = |&(a, b, size): &(f64, f64, f64)| {
            let decay = (-diffusivity * (a * a + b * b) * unit * unit * t).exp();
            size * decay * ((a * y + b * x) * unit + a).cos()
        };
        modes.iter().map(mode).sum::<f64>() + noise
    })
}

/// Every one of them once took most of a map with it, with full support and no warning.
#[test]
fn hot_pixels_dead_columns_and_blank_frames_cost_next_to_nothing() {
    let bench = Bench::new();
    let model = bench.model("heat-transient-closed-form");
    let clean = decaying(9, 4.0, 1);
    let (mut hot, mut dead, mut blank, mut brighter) = (clean.clone(), clean.clone(), clean.clone(), clean.clone());
    for (y, x) in [(20, 30), (21, 30), (50, 70), (0, 10), (80, 95), (60, 15)] {
        hot.slice_mut(ndarray::s![.., y, x]).fill(9.0);
    }
    dead.slice_mut(ndarray::s![.., .., 40]).fill(-4.0);
    blank.slice_mut(ndarray::s![4, .., ..]).fill(0.0);
    brighter.slice_mut(ndarray::s![4, .., ..]).map_inplace(|v| *v = 1.5 * (*v + 4.0) - 4.0);
    let map = |name: &str, movie: &Array3<f64>, more: &[&str]| {
        let (input, out) = (bench.path(&format!("{name}.npy")), bench.path(name));
        write_npy(&input, movie).expect("it is written");
        let args =
            ["run", &model, &input, "--with", "m=0", "--spacing", "t=1,y=1,x=1", "--format", "npy", "--out", &out];
        let output = run(&[&args, more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lambda: Array3<f32> = read_npy(Path::new(&out).join("lambda.npy")).expect("lambda.npy");
        let right = lambda.iter().filter(|v| (v.abs() / 4.0).ln().abs() < 0.4).count();
        (1.0 - right as f64 / lambda.len() as f64, record(&out))
    };
    let (usual, json) = map("clean", &clean, &[]);
    assert!(usual < 0.04 && json["outlying_values"] == 0 && json["frames"]["jumps"] == 0, "{usual}: {json}");
    for (name, movie, found) in [("hot", &hot, 6), ("dead", &dead, 96)] {
        let (off, json) = map(name, movie, &[]);
        assert!(off < usual + 0.01, "{name}: {off}, {usual}");
        assert_eq!(json["outlying_values"], 9 * found, "{name}");
        assert!(json["warnings"].to_string().contains("stand out"), "{}", json["warnings"]);
        let (off, json) = map(&format!("{name} kept"), movie, &["--keep-outliers"]);
        assert!(off > usual + 0.05 && json["outlying_values"] == 0, "{name}: {off}");
    }
    let (off, json) = map("blank", &blank, &[]);
    assert!(off < usual + 0.01, "{off}, {usual}");
    assert_eq!((&json["frames"]["blank"], &json["frames"]["lost"][0]), (&Value::from(1), &Value::from(4)));
    let (_, json) = map("brighter", &brighter, &[]);
    assert!(json["warnings"].to_string().contains("jumps at 1 frame (first at index 4)"), "{}", json["warnings"]);
}

#[test]
fn a_grabber_that_repeats_a_frame_and_a_sensor_that_is_stuck_are_said() {
    let bench = Bench::new();
    let (movies, series) = (bench.model("heat-transient-closed-form"), bench.model("langevin-closed-form"));
    let told = |model: &str, input: &str, name: &str, more: &[&str]| {
        let out = bench.path(name);
        let output = run(&[&["run", model, input, "--format", "npy", "--out", &out], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        record(&out)
    };
    let movie = |name: &str, copies: &[usize]| {
        let mut frames = decaying(9, 4.0, 1);
        for &copy in copies {
            let before = frames.slice(ndarray::s![copy - 1, .., ..]).to_owned();
            frames.slice_mut(ndarray::s![copy, .., ..]).assign(&before);
        }
        let input = bench.path(&format!("{name}.npy"));
        write_npy(&input, &frames).expect("it is written");
        told(&movies, &input, name, &["--with", "m=0", "--spacing", "t=1,y=1,x=1"])
    };
    let json = movie("all different", &[]);
    assert!(json["frames"]["copies"] == 0 && !json["warnings"].to_string().contains("exact copies"), "{json}");
    let json = movie("repeated", &[5, 6]);
    assert_eq!(json["frames"]["copies"], 2);
    assert!(json["warnings"].to_string().contains("2 frames are exact copies of the one before (first at index 5)"));

    let value = |i: usize, stuck: &std::ops::Range<usize>| {
        let i = if stuck.contains(&i) { stuck.start } else { i };
        (0.02 * i as f64).sin() + 0.02 * ((i as f64 * 78.2).sin() * 43_758.5).fract()
    };
    let sensor = |name: &str, stuck: std::ops::Range<usize>| {
        let input = bench.path(&format!("{name}.csv"));
        let rows: String = (0..3000).map(|i| format!("{}\n", value(i, &stuck))).collect();
        fs::write(&input, format!("u\n{rows}")).expect("it is written");
        told(&series, &input, name, &["--with", "a=0", "--spacing", "t=0.01"])
    };
    let json = sensor("moving", 0..0);
    assert!(json["stuck"].is_null() && !json["warnings"].to_string().contains("stuck"), "{json}");
    let json = sensor("stuck", 1000..1400);
    assert_eq!(json["stuck"], serde_json::json!({ "channel": null, "first": 1000, "samples": 400 }));
    assert!(json["warnings"].to_string().contains("the 400 samples from index 1000 on have one value"));

    // Of several channels the first one's name is its number as well.
    let two = Array2::from_shape_fn((2, 3000), |(c, i)| value(i, &if c == 0 { 1000..1400 } else { 0..0 }));
    let input = bench.path("two.npy");
    write_npy(&input, &two).expect("it is written");
    let json = told(&series, &input, "two", &["--with", "a=0", "--spacing", "t=0.01"]);
    assert_eq!(json["stuck"], serde_json::json!({ "channel": 0, "first": 1000, "samples": 400 }));
    assert!(json["warnings"].to_string().contains("the 400 samples from index 1000 on of channel 0 have one value"));
}

#[test]
fn diffusion_slower_or_faster_than_tested_and_longer_pixels_are_said_to_be() {
    let bench = Bench::new();
    let warnings = |model: &str, name: &str, diffusivity: f64, columns: usize| {
        let (input, out) = (bench.path(name), bench.path(&format!("{name}-out")));
        let movie = decaying(5, diffusivity, columns);
        write_npy(&input, &movie).expect("it is written");
        let spacing = format!("t=2s,y=0.5um,x={}um", 0.5 * columns as f64);
        let output = run(&["run", model, &input, "--with", "m=0", "--spacing", &spacing, "--out", &out]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let warnings = record(&out)["warnings"].as_array().cloned().unwrap_or_default();
        warnings.iter().filter_map(|w| w.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let model = bench.model("heat-transient-closed-form");
    assert_eq!(warnings(&model, "tested.npy", 4.0, 1), [""; 0]);
    for (name, diffusivity) in [("slow.npy", 0.3), ("fast.npy", 20.0)] {
        let warnings = warnings(&model, name, diffusivity, 1);
        let told = warnings.first().and_then(|w| w.strip_prefix("lambda dt/h^2 is "));
        let (value, rest) = told.and_then(|w| w.split_once(':')).expect("it is told");
        let value: f64 = value.parse().expect("a number");
        assert!((value / diffusivity - 1.0).abs() < 0.1 && warnings.len() == 1, "{warnings:?}");
        assert_eq!(rest, " the model was tested from 1.6 to 10 only");
    }
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/heat-transient-closed-form.toml");
    let spec = spec.to_str().expect("UTF-8");
    for (aspect, columns, told) in [("y=1,x=2", 2, None), ("y=1,x=3", 3, Some("long/short side of a pixel is 3"))] {
        let model = bench.path(&format!("{columns}.onnx"));
        assert!(run(&["bake", spec, "--aspect", aspect, "-o", &model]).status.success());
        let warnings = warnings(&model, &format!("{columns}.npy"), 4.0, columns);
        assert_eq!(warnings.len(), told.iter().count(), "{warnings:?}");
        assert!(warnings.iter().zip(told).all(|(w, t)| w.contains(t)), "{warnings:?}");
    }
}

#[test]
fn what_is_missing_is_said_with_what_to_type() {
    let bench = Bench::new();
    let (heat, transient) = (bench.model("heat-closed-form"), bench.model("heat-transient-closed-form"));
    let langevin = bench.model("langevin-closed-form");
    let movie = bench.movie("u.npy", (5, 70, 80));
    let small = bench.path("small.npy");
    write_npy(&small, &Array2::<f32>::zeros((20, 20))).expect("it is written");
    let series = bench.path("s.npy");
    write_npy(&series, &Array1::<f64>::linspace(0.0, 1.0, 500)).expect("it is written");
    for (args, words) in [
        (vec!["run", &heat, &movie], vec!["--with m=PATH|NUMBER"]),
        (vec!["run", &heat, &movie, "--with", "kap=1"], vec!["kap", "m ("]),
        (vec!["run", &heat, &movie, "--with", &format!("m={movie}")], vec!["got 5 frames, expected one"]),
        (vec!["run", &heat, &movie, "--with", &format!("m={small}")], vec!["[20, 20]", "[70, 80]"]),
        (vec!["run", &heat, &movie, "--with", "m=1", "--spacing", "y=1um,x=2um"], vec!["--aspect y=1,x=2 -o"]),
        (vec!["run", &transient, &movie, "--with", "m=1", "--spacing", "y=1um,x=1um"], vec!["--spacing t=2s"]),
        (vec!["run", &transient, &small, "--with", "m=1"], vec!["1 frames", "at least 5"]),
        (vec!["run", &langevin, &series, "--spacing", "t=1s"], vec!["--with a=NUMBER", "1/s"]),
        (vec!["run", &langevin, &movie], vec!["u.npy"]),
        (vec!["run", &heat, &movie, "--with", "m=1", "--format", "npy"], vec!["--out"]),
    ] {
        let line = fails(&args, 2);
        for word in words {
            assert!(line.contains(word), "{args:?}: {line}");
        }
    }
    let tiny = bench.path("tiny.npy");
    write_npy(&tiny, &Array2::<f32>::zeros((4, 4))).expect("it is written");
    #[cfg(feature = "ort")]
    {
        let message = fails(&["run", &heat, &tiny, "--with", "m=1", "--backend", "ort", "--ort-library", &tiny], 1);
        for word in ["backend ort:", "tiny.npy", "onnxruntime/capi", "ORT_DYLIB_PATH"] {
            assert!(message.contains(word), "{message}");
        }
    }
    let out = bench.path("none");
    let message = fails(&["run", &heat, &tiny, "--with", "m=1", "--out", &out], 2);
    assert!(message.contains("tiny.npy: got 4 x 4 pixels, expected at least 13 x 13"), "{message}");
    assert!(!Path::new(&out).exists());
    let message = fails(&["run", &heat, &tiny, "--with", "m=missing.tif"], 1);
    assert!(message.contains("--with m: missing.tif: "), "{message}");
    for (option, word) in [
        (["--with", "noise=-3"], "at least 0"),
        (["--pixel-size", "50nm"], "no table of localisations"),
        (["--blur", "50nm"], "no table of localisations"),
    ] {
        let message = fails(&["run", &heat, &tiny, "--with", "m=1", option[0], option[1]], 2);
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn files_of_an_earlier_run_are_named() {
    let bench = Bench::new();
    let (heat, movie, out) = (bench.model("heat-closed-form"), bench.movie("u.npy", (1, 64, 64)), bench.path("out"));
    let warned = |format: &str| {
        let args = ["run", &heat, &movie, "--with", "m=1", "--spacing", "y=1,x=1", "--out", &out, "--format", format];
        let output = run(&args);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(!warned("npy").contains("earlier run") && !warned("npy").contains("earlier run"));
    for _ in 0..2 {
        let text = warned("csv");
        assert!(
            text.contains("an earlier run that this one leaves: lambda.npy, residual.npy, support.npy\n"),
            "{text}"
        );
    }
    let warnings = record(&out)["warnings"].to_string();
    assert!(warnings.contains("lambda.npy"), "{warnings}");
}

#[test]
#[cfg(unix)]
fn an_interruption_before_the_first_map_leaves_nothing() {
    let bench = Bench::new();
    let (model, movie, out) =
        (bench.model("heat-transient-closed-form"), bench.movie("u.npy", (40, 64, 64)), bench.path("out"));
    let mut child = command(&["run", &model, &movie, "--with", "m=0", "--rate", "0.01", "--out", &out])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !Path::new(&out).join("journal.jsonl").exists() {
        assert!(Instant::now() < deadline, "the run did not start in time");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(200));
    program::interrupt(&child);
    child.wait().expect("it ends");
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_recording_that_breaks_off_leaves_nothing_that_looks_complete() {
    let bench = Bench::new();
    let (model, movie, out) =
        (bench.model("heat-transient-closed-form"), bench.movie("u.npy", (9, 70, 80)), bench.path("out"));
    let values: Array3<f32> = read_npy(&movie).expect("the movie");
    let mut bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    bytes.truncate(8 * 70 * 80 * 4 + 100);
    let mut child =
        command(&["run", &model, "-", "--raw", "f32:70x80", "--with", "m=0", "--out", &out, "--format", "tiff"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
    child.stdin.take().expect("piped").write_all(&bytes).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!Path::new(&out).join("run.json").exists() && !Path::new(&out).join("lambda.tif").exists());
    assert!(!parts(&out).is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains(".part"), "{output:?}");
}

#[test]
#[cfg(unix)]
fn ctrl_c_commits_the_maps_done_so_far() {
    let bench = Bench::new();
    let (model, movie, out) =
        (bench.model("heat-transient-closed-form"), bench.movie("u.npy", (400, 64, 64)), bench.path("out"));
    let mut child =
        command(&["run", &model, &movie, "--with", "m=0", "--rate", "20", "--out", &out, "--format", "npy"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
    let part = Path::new(&out).join("lambda.npy.part");
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::metadata(&part).map_or(0, |m| m.len()) < 5 * 64 * 64 * 4 {
        assert!(Instant::now() < deadline, "no map was written in time");
        std::thread::sleep(Duration::from_millis(20));
    }
    program::interrupt(&child);
    assert!(child.wait().expect("it ends").success());
    let json = record(&out);
    assert_eq!(json["status"], "interrupted");
    let lambda: Array3<f32> = read_npy(Path::new(&out).join("lambda.npy")).expect("lambda.npy");
    let maps = json["maps"].as_array().expect("maps").len();
    assert!(lambda.dim().0 == maps && (5..396).contains(&maps), "{maps} maps, {:?}", lambda.dim());
    assert_eq!(parts(&out), Vec::<PathBuf>::new());
}

#[test]
fn what_tells_nothing_has_no_value_and_no_support() {
    let bench = Bench::new();
    let (chromatin, heat) = (bench.model("chromatin-closed-form"), bench.model("heat-closed-form"));
    let out = bench.path("out");
    let frame = |name: &str, value: &dyn Fn(usize, usize) -> f32| {
        let path = bench.path(name);
        write_npy(&path, &Array2::from_shape_fn((64, 64), |(y, x)| value(y, x))).expect("it is written");
        path
    };
    let waves = |y: usize, x: usize| (y as f32 / 9.0).sin() * (x as f32 / 11.0).cos();
    for (model, path, word) in [
        (&chromatin, frame("seven.npy", &|_, _| 7.0), "of one density"),
        (&chromatin, frame("zero.npy", &|_, _| 0.0), "of one density"),
        (&heat, frame("zero.npy", &|_, _| 0.0), "of one value"),
        (&heat, frame("large.npy", &|y, x| 1e30 * waves(y, x)), "single precision"),
        (&heat, frame("small.npy", &|y, x| 1e-30 * waves(y, x)), "single precision"),
    ] {
        let mut args = vec!["run", model, &path, "--spacing", "y=1,x=1", "--out", &out, "--format", "npy"];
        if model == &heat {
            args.extend(["--with", "m=1"]);
        }
        let output = run(&args);
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(word), "{path}: {output:?}");
        let support: Array3<f32> = read_npy(Path::new(&out).join("support.npy")).expect("support.npy");
        assert!(support.iter().all(|s| (0.0..0.05).contains(s)), "{path}: {:?}", support.first());
    }
}

#[test]
fn a_map_that_the_recording_does_not_determine_is_said_to_be_none() {
    let bench = Bench::new();
    let (model, movie, out) = (bench.model("heat-closed-form"), bench.movie("u.npy", (2, 64, 64)), bench.path("out"));
    // Without a source nothing tells the diffusivity of a steady field.
    for (source, told) in [("m=0", true), ("m=1", false)] {
        let output = run(&["run", &model, &movie, "--with", source, "--spacing", "y=1um,x=1um", "--out", &out]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        let expected = "support is about 0: the recording does not determine lambda";
        assert_eq!(text.contains(expected), told, "{source}: {text}");
        assert_eq!(record(&out)["warnings"].to_string().contains(expected), told);
        // `[m]` reads as metres.
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!text.contains("[m]"), "{text}");
        assert_eq!(text.contains("[unit of m]*um^2/[unit of u]"), !told, "{text}");
        assert_eq!(record(&out)["outputs"]["lambda"]["unit"], "[unit of m]*um^2/[unit of u]");
    }
}

#[test]
fn a_large_hole_has_no_value_whatever_the_model() {
    let bench = Bench::new();
    let movie = bench.movie("u.npy", (5, 80, 90));
    let mut values: Array3<f32> = read_npy(&movie).expect("the movie");
    values.slice_mut(ndarray::s![.., 30..50, 40..65]).fill(f32::NAN);
    let first = bench.path("first.npy");
    write_npy(&movie, &values).expect("it is written");
    write_npy(&first, &values.slice(ndarray::s![0, .., ..]).to_owned()).expect("it is written");
    for (name, input, with) in [
        ("heat-closed-form", &first, Some("m=1")),
        ("chromatin-closed-form", &first, None),
        ("heat-transient-closed-form", &movie, None),
        ("reaction-diffusion-closed-form", &movie, None),
    ] {
        let (model, out) = (bench.model(name), bench.path(name));
        let mut args = vec!["run", &model, input, "--spacing", "t=1,y=1,x=1", "--out", &out, "--format", "npy"];
        args.extend(with.iter().flat_map(|w| ["--with", w]));
        let output = run(&args);
        assert!(output.status.success(), "{output:?}");
        let maps = |name: &str| read_npy::<_, Array3<f32>>(Path::new(&out).join(name)).expect("a map");
        let (lambda, support) = (maps("lambda.npy"), maps("support.npy"));
        for ((i, l), s) in lambda.indexed_iter().zip(&support) {
            let depth = [i.1 as i64 - 30, 49 - i.1 as i64, i.2 as i64 - 40, 64 - i.2 as i64].into_iter().min();
            match depth {
                Some(4..) => assert!(l.is_nan(), "{name} at {i:?}: {l}"),
                Some(..-7) => assert!(l.is_finite(), "{name} at {i:?}: {l}"),
                _ => {}
            }
            assert!(s.is_finite() && (*s == 0.0 || l.is_finite()), "{name} at {i:?}: {l}, support {s}");
        }
    }
}
