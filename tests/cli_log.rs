//! What a run tells its log, and that numbers by stage stand in its record.

mod program;

use std::fs::{self, File};
use std::path::Path;

use program::{Bench, record, run};
use serde_json::Value;
use tiff::encoder::{TiffEncoder, colortype::Gray16};

/// Frames as TIFF files, of which those in `missing` never came.
fn folder(bench: &Bench, count: u32, missing: &[u32]) -> String {
    let path = bench.path("frames");
    fs::create_dir(&path).expect("a folder");
    for frame in (0..count).filter(|f| !missing.contains(f)) {
        let file = File::create(Path::new(&path).join(format!("img_{frame:04}.tif"))).expect("a file");
        let pixels: Vec<u16> = (0..60 * 70u32)
            .map(|i| {
                (1000.0 + 300.0 * (f64::from(i % 70) / 17.0 + 0.1 * f64::from(frame)).sin()) as u16 + (i % 7) as u16
            })
            .collect();
        let mut encoder = TiffEncoder::new(file).expect("a header");
        encoder.write_image::<Gray16>(70, 60, &pixels).expect("an image");
    }
    path
}

fn lines(path: &str) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("a log");
    text.lines().map(|line| serde_json::from_str(line).expect("one JSON value a line")).collect()
}

fn told<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    lines.iter().filter(|l| l["message"] == message).collect()
}

#[test]
fn the_log_has_start_losses_and_end_and_goes_on_with_the_next_run() {
    let bench = Bench::new();
    let (model, log, out) = (bench.model("heat-transient-closed-form"), bench.path("run.log"), bench.path("out"));
    let frames = folder(&bench, 24, &[7, 8, 15]);
    let args = ["run", &model, &frames, "--with", "m=0", "--out", &out, "--format", "npy", "--log", &log];
    let output = run(&[&args[..], &["--log-level", "debug"]].concat());
    assert!(output.status.success(), "{output:?}");
    let first = lines(&log);
    for line in &first {
        let time = line["timestamp"].as_str().expect("a time");
        assert!(time.ends_with('Z') && time.len() >= 20, "{time}");
    }
    assert_eq!(told(&first, "start")[0]["input"], frames.as_str());
    // Losses that come within a second of each other are one line.
    let lost: u64 = told(&first, "lost").iter().map(|l| l["count"].as_u64().expect("a count")).sum();
    assert_eq!(lost, 3);
    assert_eq!(told(&first, "lost")[0]["first"], 7);
    assert_eq!(told(&first, "lost").last().map(|l| &l["last"]), Some(&15.into()));
    let end = told(&first, "end")[0];
    let computed = record(&out)["frames"]["computed"].as_u64().expect("a count");
    assert_eq!((&end["computed"], &end["lost"]), (&computed.into(), &3.into()));
    let maps = told(&first, "map");
    assert_eq!(maps.len() as u64, computed);
    assert!(maps.iter().all(|m| m["compute_ms"].as_f64().is_some_and(|ms| ms > 0.0)), "{maps:?}");

    // Every stage is counted for every map.
    for stage in ["latency_ms", "queue_ms", "compute_ms", "write_ms"] {
        assert_eq!(record(&out)[stage]["count"], computed, "{stage}");
    }

    // A run that fails says so; the log goes on behind what is there.
    let output = run(&["run", &model, &bench.path("nothing.tif"), "--with", "m=0", "--log", &log]);
    assert_eq!(output.status.code(), Some(1));
    let both = lines(&log);
    assert_eq!(both[..first.len()], first[..]);
    let failed = told(&both[first.len()..], "failed");
    assert!(failed[0]["error"].as_str().is_some_and(|e| e.contains("nothing.tif")), "{failed:?}");
}

#[test]
fn a_log_that_cannot_be_written_is_an_error_before_anything_is_read() {
    let bench = Bench::new();
    let model = bench.model("heat-transient-closed-form");
    let log = bench.path("no/such/folder.log");
    let output = run(&["run", &model, &bench.path("u.npy"), "--log", &log]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(text.contains("folder.log"), "{text}");
}
