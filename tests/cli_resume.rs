//! `mollifier run --resume`: whatever ended a run, the next one goes on and ends with the same files.

mod program;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use program::{Bench, assert_same, command, files, record, run};
use serde_json::Value;

/// The record without what depends on the moment.
fn lasting(out: &str) -> Value {
    let mut json = record(out);
    let fields = json.as_object_mut().expect("an object");
    for name in [
        "latency_ms",
        "queue_ms",
        "compute_ms",
        "write_ms",
        "seconds",
        "peak_memory_bytes",
        "queue",
        "resumed_after",
        "threads",
    ] {
        fields.remove(name);
    }
    json
}

fn spawn(args: &[&str]) -> Child {
    command(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs")
}

/// Wait until the journal tells of more than `maps` blocks, or the run has ended.
fn wait_for(child: &mut Child, out: &str, maps: usize) -> bool {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if child.try_wait().expect("a child").is_some() {
            return false;
        }
        let text = fs::read_to_string(Path::new(out).join("journal.jsonl")).unwrap_or_default();
        if text.lines().count() > maps + 1 {
            return true;
        }
        assert!(Instant::now() < deadline, "no map was written in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_like_one_that_is_not() {
    let bench = Bench::new();
    let model = bench.model("heat-transient-closed-form");
    let movie = bench.movie("u.npy", (60, 64, 70));
    let (whole, out) = (bench.path("whole"), bench.path("out"));
    let with = |out: &str, more: &[&str]| {
        let fixed = ["run", &model, &movie, "--with", "m=0", "--spacing", "t=2s,y=0.1um,x=0.1um", "--out", out];
        let formats = ["--format", "npy", "--format", "tiff", "--format", "csv", "--format", "png"];
        [&fixed[..], &formats, more].concat().iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()
    };
    fn strs(v: &[String]) -> Vec<&str> {
        v.iter().map(String::as_str).collect()
    }
    let output = run(&strs(&with(&whole, &[])));
    assert!(output.status.success(), "{output:?}");
    let mut kills = 0;
    for maps in [3, 17, 18, 40] {
        let mut child = spawn(&strs(&with(&out, &["--resume", "--rate", "100"])));
        if wait_for(&mut child, &out, maps) {
            child.kill().expect("it is killed");
            kills += 1;
        }
        child.wait().expect("it has ended");
    }
    let output = run(&strs(&with(&out, &["--resume", "--threads", "1"])));
    assert!(output.status.success(), "{output:?}");
    assert!(kills > 0);
    assert!(record(&out)["resumed_after"].as_u64() > Some(3), "{}", record(&out)["resumed_after"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("of an interrupted run"), "{output:?}");
    assert_same(&whole, &out);
    assert_eq!(lasting(&whole), lasting(&out));
}

#[test]
#[cfg(unix)]
fn ctrl_c_leaves_sound_files_that_can_be_gone_on_with() {
    let bench = Bench::new();
    let (model, movie) = (bench.model("heat-transient-closed-form"), bench.movie("u.npy", (40, 64, 64)));
    let (whole, out) = (bench.path("whole"), bench.path("out"));
    let args = ["run", &model, &movie, "--with", "m=0", "--out"];
    assert!(run(&[&args[..], &[&whole]].concat()).status.success());

    let mut child = spawn(&[&args[..], &[&out, "--rate", "30"]].concat());
    assert!(wait_for(&mut child, &out, 4));
    program::interrupt(&child);
    assert!(child.wait().expect("it ends").success());
    assert_eq!(record(&out)["status"], "interrupted");
    assert!(Path::new(&out).join("lambda.tif").exists());

    let output = run(&[&args[..], &[&out, "--resume"]].concat());
    assert!(output.status.success(), "{output:?}");
    assert_same(&whole, &out);
    assert_eq!(lasting(&whole), lasting(&out));
}

#[test]
fn a_series_goes_on_too() {
    let bench = Bench::new();
    let model = bench.model("langevin-closed-form");
    let (table, whole, out) = (bench.path("s.csv"), bench.path("whole"), bench.path("out"));
    let mut text = String::from("t [s],v\n");
    for i in 0..20_000 {
        let t = f64::from(i) * 0.01;
        text += &format!("{t:.2},{:.6}\n", (t * 1.3).sin() + 0.01 * (t * 977.0).sin());
    }
    fs::write(&table, text).expect("it is written");
    let args = ["run", &model, &table, "--column", "v", "--spacing", "t=0.01", "--with", "a=1"];
    let formats = ["--format", "csv", "--format", "npy", "--format", "png"];
    let output = run(&[&args[..], &["--out", &whole], &formats].concat());
    assert!(output.status.success(), "{output:?}");
    let mut child = spawn(&[&args[..], &["--out", &out, "--rate", "20000"], &formats].concat());
    assert!(wait_for(&mut child, &out, 8));
    child.kill().expect("it is killed");
    child.wait().expect("it has ended");
    let output = run(&[&args[..], &["--out", &out, "--resume"], &formats].concat());
    assert!(output.status.success(), "{output:?}");
    assert!(record(&out)["resumed_after"].as_u64() > Some(0));
    assert_same(&whole, &out);
    assert_eq!(lasting(&whole), lasting(&out));
}

#[test]
fn standard_input_is_read_again_from_its_start() {
    let bench = Bench::new();
    let (model, movie) = (bench.model("heat-transient-closed-form"), bench.movie("u.npy", (30, 64, 64)));
    let (whole, out) = (bench.path("whole"), bench.path("out"));
    let args = ["run", &model, "-", "--with", "m=0", "--format", "npy", "--out"];
    let bytes = fs::read(&movie).expect("the movie");
    let feed = |out: &str, more: &[&str], bytes: &[u8]| {
        let mut child = command(&[&args[..], &[out], more].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        // Where it ends early it closes its end: what it says then is what counts.
        child.stdin.take().expect("piped").write_all(bytes).ok();
        child.wait_with_output().expect("it ends")
    };
    assert!(feed(&whole, &[], &bytes).status.success());
    // The pipe breaks in frame 20.
    let output = feed(&out, &[], &bytes[..128 + 20 * 64 * 64 * 4 + 99]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("16 maps (--resume goes on from there)"), "{text}");
    let output = feed(&out, &["--resume"], &bytes);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(record(&out)["resumed_after"], 16);
    assert_same(&whole, &out);
}

#[test]
fn what_cannot_be_gone_on_with_is_refused_and_kept() {
    let bench = Bench::new();
    let model = bench.model("heat-transient-closed-form");
    let (movie, other) = (bench.movie("u.npy", (40, 64, 64)), bench.movie("v.npy", (40, 64, 65)));
    let out = bench.path("out");
    let args = ["run", &model, &movie, "--with", "m=0", "--format", "npy", "--out", &out];
    let mut child = spawn(&[&args[..], &["--rate", "50"]].concat());
    assert!(wait_for(&mut child, &out, 5));
    child.kill().expect("it is killed");
    child.wait().expect("it has ended");
    let before = files(&out);

    let refused = |args: &[&str], code: i32, expected: &str| {
        let output = run(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains('\u{1b}') && text.trim().lines().last().is_some_and(|l| l.starts_with("mollifier: ")));
        assert!(files(&out) == before, "the parts were touched");
    };
    let more = |extra: &[&'static str]| [&args[..], &["--resume"], extra].concat();
    refused(&more(&["--noise", "0.1"]), 1, "had --noise none, this one has 0.1");
    refused(&more(&["--spacing", "t=2,y=1,x=1"]), 1, "journal.jsonl: the earlier run had spacing");
    let mut elsewhere = more(&[]);
    elsewhere[2] = &other;
    refused(&elsewhere, 1, "had size [64,64], this one has [64,65]");
    refused(&["run", &model, &movie, "--with", "m=0", "--resume"], 2, "--out");

    // A run that starts anew may.
    assert!(run(&args).status.success());
    assert!(!files(&out).iter().any(|f| f.0.ends_with(".part") || f.0.starts_with("journal")));
}

#[test]
fn a_complete_run_of_something_else_is_not_replaced() {
    let bench = Bench::new();
    let model = bench.model("heat-transient-closed-form");
    let another = bench.model("reaction-diffusion-closed-form");
    let (movie, other) = (bench.movie("u.npy", (8, 64, 64)), bench.movie("v.npy", (8, 64, 64)));
    let out = bench.path("out");
    let with = |model: &str, movie: &str, more: &[&str]| {
        run(&[&["run", model, movie, "--format", "npy", "--out", &out], more].concat())
    };
    assert!(with(&model, &movie, &["--with", "m=0"]).status.success());
    let before = files(&out);
    let name = |path: &str, by: &str| format!("{path} by {by}");
    let m: &[&str] = &["--with", "m=0", "--resume"];
    for (by, recording, more) in [(&model, &other, m), (&another, &movie, &["--resume"])] {
        let output = with(by, recording, more);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        for told in [name(&movie, &model), name(recording, by), "another --out".into(), "leave --resume away".into()] {
            assert!(text.contains(&told), "{told}: {text}");
        }
        assert!(files(&out) == before, "the results were touched");
        assert_eq!(record(&out)["input"], movie.as_str());
    }
    // Nor one with other settings, or another content of a known field.
    let field = bench.path("m.npy");
    let source = |value: f32| ndarray_npy::write_npy(&field, &ndarray::Array2::from_elem((64, 64), value));
    let of_file = format!("m={field}");
    source(0.0).expect("it is written");
    for more in [["--with", "m=0", "--noise", "0.3"], ["--with", "m=3", "--spacing", "t=1,y=1,x=1"]] {
        let output = with(&model, &movie, &[&more[..], &["--resume"]].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains("run.json: the earlier run had"), "{text}");
        assert!(files(&out) == before, "the results were touched");
    }
    assert!(with(&model, &movie, &["--with", &of_file]).status.success());
    assert!(with(&model, &movie, &["--with", &of_file, "--resume"]).status.success());
    source(5.0).expect("it is written");
    let output = with(&model, &movie, &["--with", &of_file, "--resume"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("the earlier run had --with"), "{text}");
    assert!(with(&model, &movie, &["--with", "m=0"]).status.success());
    // The same recording, by another name of its place; and, where it is wanted, the other one.
    let around = movie.replace("u.npy", "./u.npy");
    assert!(with(&model, &around, m).status.success());
    let typed_beside = |recording: &str, folder: &str| {
        let args = ["run", &model, recording, "--format", "npy", "--out", &out, "--with", "m=0", "--resume"];
        command(&args).current_dir(bench.path(folder)).status().expect("the binary runs").success()
    };
    fs::create_dir(bench.path("beside")).expect("a folder");
    assert!(typed_beside("u.npy", "") && typed_beside("../u.npy", "beside"));
    // Another recording of the same name.
    fs::copy(&other, bench.path("beside/u.npy")).expect("a copy");
    assert!(!typed_beside("u.npy", "beside"));
    assert!(with(&model, &other, &["--with", "m=0"]).status.success());
    assert_eq!(record(&out)["input"], other.as_str());
}

#[test]
fn a_series_goes_on_once_a_bad_row_is_mended_or_removed() {
    let bench = Bench::new();
    let model = bench.model("langevin-closed-form");
    let table = bench.path("s.csv");
    let row = |i: u32| format!("{:.2},{:.6}\n", f64::from(i) * 0.01, (f64::from(i) * 0.013).sin());
    let with = |third: &str| {
        let rows: String = (0..3000).map(|i| if i == 1500 { third.to_owned() } else { row(i) }).collect();
        fs::write(&table, format!("t [s],v\n{rows}")).expect("it is written");
    };
    for (name, mended) in [("mended", row(1500)), ("removed", String::new())] {
        let (whole, out) = (bench.path(&format!("whole {name}")), bench.path(name));
        let args = ["run", &model, &table, "--with", "a=-1", "--format", "csv", "--out"];
        with("15.00,oops\n");
        for more in [&[&*out][..], &[&out, "--resume"]] {
            let output = run(&[&args[..], more].concat());
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{text}");
            for told in ["s.csv, line 1502: got `oops`, expected a number", "mend or remove that line: then --resume"] {
                assert!(text.contains(told), "{told}: {text}");
            }
            // Nothing of what stands behind the row.
            assert!(text.contains("1500 samples (mend"), "{text}");
        }
        with(&mended);
        let output = run(&[&args[..], &[&out, "--resume"]].concat());
        assert!(output.status.success(), "{output:?}");
        assert!(record(&out)["resumed_after"].as_u64() > Some(1000), "{}", record(&out)["resumed_after"]);
        assert!(run(&[&args[..], &[&whole]].concat()).status.success());
        assert_same(&whole, &out);
    }
}
