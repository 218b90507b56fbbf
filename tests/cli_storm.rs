//! `mollifier run` on localisation tables: maps that are refined as the table grows, and whether that is enough.

mod program;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use program::{Bench, assert_same, command, record, run};
use serde_json::Value;

const FIELD: &str = "y=0um:4um,x=0um:5um";

/// Localisations in stripes of two densities, `each` of them in every one of 600 camera frames.
fn table(each: usize) -> String {
    let mut state = 11_u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut text = String::from("id,frame,x [nm],y [nm],intensity [photon],uncertainty_xy [nm]\n");
    let mut id = 0;
    for frame in 1..=600 {
        let mut left = each;
        while left > 0 {
            let (x, y) = (4999.9 * uniform(), 3999.9 * uniform());
            if uniform() < 0.6 + 0.4 * (x / 320.0).sin() * (y / 410.0).cos() {
                id += 1;
                left -= 1;
                text += &format!("{id},{frame},{x:.2},{y:.2},812.5,11.2\n");
            }
        }
    }
    text
}

fn rows(out: &str, table: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(Path::new(out).join(table)).expect("the table");
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// The record without what depends on the moment, and on whether the table was there from the start.
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
        "tile",
        "tiles",
    ] {
        fields.remove(name);
    }
    json
}

#[test]
fn a_growing_table_gives_the_files_of_the_finished_one_also_after_a_kill() {
    let bench = Bench::new();
    let model = bench.model("chromatin-closed-form");
    let (path, whole, live, killed) =
        (bench.path("locs.csv"), bench.path("whole"), bench.path("live"), bench.path("killed"));
    let text = table(40);
    let with = |out: &str, more: &[&str]| {
        let fixed = ["run", &model, &path, "--spacing", "y=1,x=1", "--region", FIELD, "--every", "50", "--out", out];
        let formats = ["--format", "npy", "--format", "tiff", "--format", "csv", "--roi", "all=0:80,0:100"];
        [&fixed[..], &formats, more].concat().iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()
    };
    let spawn = |args: &[String]| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = command(&args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs")
    };
    let mut following = spawn(&with(&live, &["--follow=2"]));
    let mut victim = spawn(&with(&killed, &["--follow=60"]));
    let maps = || {
        let journal = fs::read_to_string(Path::new(&killed).join("journal.jsonl")).unwrap_or_default();
        journal.lines().count().saturating_sub(1)
    };
    let mut file = fs::File::create(&path).expect("a file");
    let mut pieces = text.as_bytes().chunks(9973);
    let deadline = Instant::now() + Duration::from_secs(60);
    // Killed while the table grows, unless the machine is too busy.
    while maps() < 4 {
        assert!(Instant::now() < deadline, "no map in time");
        if let Some(piece) = pieces.next() {
            file.write_all(piece).expect("it is written");
        }
        thread::sleep(Duration::from_millis(12));
    }
    victim.kill().expect("it is killed");
    victim.wait().expect("it has ended");
    let maps = maps();
    for piece in pieces {
        file.write_all(piece).expect("it is written");
        thread::sleep(Duration::from_millis(5));
    }
    assert!(following.wait().expect("it ends").success());
    let strs = |v: Vec<String>| -> Vec<u8> {
        let args: Vec<&str> = v.iter().map(String::as_str).collect();
        let output = run(&args);
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let said = String::from_utf8(strs(with(&whole, &[]))).expect("UTF-8");
    assert!(said.contains("\n  change     lambda by ") && said.contains("24000 localisations"), "{said}");
    strs(with(&killed, &["--resume"]));
    assert_same(&whole, &live);
    assert_same(&whole, &killed);
    assert_eq!(lasting(&whole), lasting(&live));
    assert_eq!(lasting(&whole), lasting(&killed));
    assert!(record(&killed)["resumed_after"].as_u64() >= Some(maps as u64 - 1));

    // What the convergence says is what the maps say.
    let record = record(&whole);
    let maps: ndarray::Array3<f32> = ndarray_npy::read_npy(Path::new(&whole).join("lambda.npy")).expect("maps");
    let support: ndarray::Array3<f32> = ndarray_npy::read_npy(Path::new(&whole).join("support.npy")).expect("maps");
    assert_eq!(maps.dim(), (12, 80, 100));
    let table = rows(&whole, "convergence.csv");
    assert_eq!(table.len(), 13);
    assert_eq!(table[0][5..8], ["change", "correlation", "remaining"]);
    assert_eq!(table[1][1..8], ["50", "2000", "0", "0", "", "", ""]);
    for k in 1..12 {
        let pairs: Vec<(f64, f64)> = (maps.index_axis(ndarray::Axis(0), k).iter())
            .zip(maps.index_axis(ndarray::Axis(0), k - 1))
            .zip(support.index_axis(ndarray::Axis(0), k))
            .filter(|((a, b), s)| a.is_finite() && b.is_finite() && **s >= 0.5)
            .map(|((a, b), _)| (f64::from(*a), f64::from(*b)))
            .collect();
        let norm = |f: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(|p| f(p).powi(2)).sum::<f64>().sqrt();
        let change = norm(&|p| p.0 - p.1) / norm(&|p| p.0);
        let row = &table[k + 1];
        let number = |i: usize| row[i].parse::<f64>().expect("a number");
        assert_eq!(row[8], pairs.len().to_string());
        assert!((number(5) / change - 1.0).abs() < 1e-5, "{row:?} {change}");
        let remaining = change * (k as f64).sqrt();
        assert!((number(7) / remaining - 1.0).abs() < 1e-5, "{row:?} {remaining}");
        let entry = &record["maps"][k]["convergence"];
        assert_eq!(entry["localisations"].as_u64(), Some(2000 * (k as u64 + 1)));
        assert!((entry["change"].as_f64().expect("a number") / change - 1.0).abs() < 1e-9);
    }
    assert!(fs::read(Path::new(&whole).join("convergence.png")).expect("a picture").starts_with(b"\x89PNG"));

    // And the region what the last map says.
    let summary = rows(&whole, "summary.csv");
    let column = |name: &str| summary[0].iter().position(|n| n == name).expect("the column");
    let (lambda, weight) = (maps.index_axis(ndarray::Axis(0), 11), support.index_axis(ndarray::Axis(0), 11));
    let pairs = lambda.iter().zip(weight).filter(|(v, w)| v.is_finite() && **w > 0.0);
    let (sum, weights) =
        pairs.fold((0.0, 0.0), |(s, n), (v, w)| (s + f64::from(*v) * f64::from(*w), n + f64::from(*w)));
    let mean: f64 = summary[12][column("all_mean")].parse().expect("a number");
    assert!((mean / (sum / weights) - 1.0).abs() < 1e-5, "{mean} {}", sum / weights);
}

#[test]
fn memory_does_not_grow_with_the_table() {
    let bench = Bench::new();
    let model = bench.model("chromatin-closed-form");
    let peak = |each: usize| {
        let path = bench.path(&format!("{each}.csv"));
        fs::write(&path, table(each)).expect("it is written");
        let out = bench.path(&format!("out{each}"));
        let args = ["run", &model, &path, "--spacing", "y=1,x=1", "--every", "100", "--threads", "1", "--out", &out];
        let output = run(&args);
        assert!(output.status.success(), "{output:?}");
        record(&out)["peak_memory_bytes"].as_i64()
    };
    let (small, large) = (peak(40), peak(2000));
    // 1.2 million localisations; their positions alone are 19 MB.
    if let (Some(small), Some(large)) = (small, large) {
        assert!(large - small < 6_000_000, "{small} {large}");
    }
}

#[test]
fn what_does_not_fit_is_said() {
    let bench = Bench::new();
    let model = bench.model("chromatin-closed-form");
    let (path, out) = (bench.path("locs.csv"), bench.path("out"));
    fs::write(&path, table(2)).expect("it is written");
    let movie = bench.movie("u.npy", (3, 64, 64));
    let fails = |args: &[&str]| {
        let output = run(&[&["run", &model], args].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).expect("UTF-8").lines().last().unwrap_or_default().to_owned()
    };
    let error = fails(&[&path, "--spacing", "y=1,x=1", "--roi", "a=0:10,0:101", "--region", FIELD, "--out", &out]);
    assert!(error.contains("--roi a=0:10,0:101: got a region beyond") && error.contains("80 x 100"), "{error}");
    assert!(fails(&[&path, "--spacing", "y=1,x=1", "--roi", "a=0:10,0:10"]).contains("--roi: got no --out"));
    assert!(fails(&[&movie, "--every", "5"]).contains("--every: "));
    assert!(fails(&[&movie, "--region", FIELD]).contains("--region: "));
    assert!(fails(&[&path, "--region", "y=0:1"]).contains("field of view: got `y=0:1`"));
    assert!(fails(&[&path, "--roi", "a=1"]).contains("NAME=y0:y1,x0:x1"));
    assert!(fails(&[&path, "--follow=1", "--spacing", "y=1,x=1"]).contains("--region y=0um"));
    let outside = ["--region", "y=0um:1um,x=0um:5um", "--every", "300", "--spacing", "y=1,x=1"];
    let output = run(&[&["run", &model, &path][..], &outside].concat());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && text.contains("localisations outside the field of view"), "{text}");
}
