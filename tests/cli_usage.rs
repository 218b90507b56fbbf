//! The command without a recording: usage, kernels, files that are no models.

mod program;

use std::process::Output;

fn mollifier(args: &[&str]) -> Output {
    program::mollifier().args(args).output().expect("the binary runs")
}

/// Exit code, and standard error, which for an error is one line.
fn fails(args: &[&str]) -> (i32, String) {
    let output = mollifier(args);
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("mollifier: "), "{text}");
    (output.status.code().expect("no signal"), text)
}

#[test]
fn misuse_is_one_line_and_exit_code_2() {
    for (args, word) in [
        (&["run"][..], "<MODEL>"),
        (&["rnu"], "rnu"),
        (&["run", "m.onnx", "u.tif", "--follow=0"], "--follow"),
        (&["run", "m.onnx", "u.tif", "--noise", "-1"], "at least 0"),
        (&["bake", "s.toml", "--front-end", "--trunk", "t.onnx", "-o", "m.onnx"], "at most one"),
        (&["run", "m.onnx", "u.tif", "--spacing", "x=0,1um"], "spacing"),
        (&["run", "m.onnx", "u.tif", "--with", "kappa"], "NAME="),
        (&["run", "m.onnx", "u.tif", "--threads", "0"], "--threads"),
        (&["run", "m.onnx", "u.tif", "--threads", "-1"], "-1 is not in"),
        (&["run", "m.onnx", "u.tif", "--blur", "-3nm"], "above zero"),
        (&["run", "m.onnx", "u.tif", "--unit", "u="], "NAME=UNIT"),
        (&["kernel", "--family", "poly4", "--radius", "100000000", "--order", "2"], "at most 1024"),
        (&["run", "m.onnx", "u.tif", "--rate", "0"], "above 0"),
        (&["run", "m.onnx", "u.tif", "--on-full", "lose"], "drop-oldest"),
        (&["run", "m.onnx", "-", "--raw", "u17:3x3"], "u17"),
        (&["kernel", "--family", "poly", "--radius", "8", "--order", "2"], "poly16"),
        (&["kernel", "--family", "poly4", "--radius", "1", "--order", "4"], "radius"),
        (&["kernel", "--family", "poly4", "--radius", "8", "--order", "5"], "order"),
    ] {
        let (code, text) = fails(args);
        assert_eq!(code, 2, "{args:?}: {text}");
        assert!(text.contains(word), "{args:?}: {text}");
    }
}

#[test]
fn a_file_that_is_no_model_is_exit_code_1() {
    for (args, word) in [
        (&["run", "missing.onnx", "u.tif"][..], "missing.onnx"),
        (&["run", "heat", "u.tif"], "models/heat-closed-form.onnx"),
        (&["bake", "missing.toml", "-o", "m.onnx"], "os error"),
        (&["inspect", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")], "not an ONNX model"),
    ] {
        let (code, text) = fails(args);
        assert_eq!(code, 1, "{text}");
        assert!(text.contains(word), "{text}");
    }
}

/// A run would never warn of it.
#[test]
fn a_tested_group_that_no_run_knows_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let (spec, model) = (dir.path().join("s.toml"), dir.path().join("s.onnx"));
    let shipped = include_str!("../models/heat-closed-form.toml");
    let text = shipped.replace("noise/std(u)", "noise/std(v)");
    assert_ne!(text, shipped);
    std::fs::write(&spec, text).expect("it is written");
    let (code, text) = fails(&["bake", &spec.display().to_string(), "-o", &model.display().to_string()]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("`noise/std(v)`, expected one of `noise/std(u)`") && !model.exists(), "{text}");
}

#[test]
fn help_and_version_go_to_standard_output() {
    for args in [&["--help"][..], &["run", "--help"], &["--version"]] {
        let output = mollifier(args);
        assert!(output.status.success() && output.stderr.is_empty() && !output.stdout.is_empty());
    }
}

#[test]
fn a_kernel_meets_its_moments() {
    let output = mollifier(&["kernel", "--family", "poly4", "--radius", "16", "--order", "2", "--json"]);
    assert!(output.status.success());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let taps = json["taps"].as_array().expect("taps");
    assert_eq!((taps.len(), json["one_sided"].as_array().map(Vec::len)), (33, Some(16)));
    let moments: Vec<f64> =
        json["moments"].as_array().expect("moments").iter().filter_map(serde_json::Value::as_f64).collect();
    for (j, expected) in [0.0, 0.0, 2.0, 0.0].into_iter().enumerate() {
        assert!((moments[j] - expected).abs() < 1e-9, "moment {j}: {}", moments[j]);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = program::mollifier()
        .args(["kernel", "--family", "poly4", "--radius", "1000", "--order", "1", "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_printed_is_an_error() {
    let full = std::fs::File::create("/dev/full").expect("it opens");
    for args in [&["--help"][..], &["kernel", "--family", "poly4", "--radius", "8", "--order", "1"]] {
        let mut command = program::mollifier();
        let output = command.args(args).stdout(full.try_clone().expect("a handle")).output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("standard output"), "{output:?}");
    }
}

#[test]
fn doctor_names_the_backends() {
    let output = mollifier(&["doctor"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success());
    for word in ["tract", "ort", "auto", "SIMD", "our operators use", "GPU", "machine", "threads", "C library"] {
        assert!(text.contains(word), "{text}");
    }
}
