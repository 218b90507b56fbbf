//! The command under test, and a folder to try it in.
#![allow(dead_code, reason = "every test file uses its own part")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use ndarray::Array3;
use ndarray_npy::write_npy;
use serde_json::Value;
use tempfile::TempDir;

/// The built command; through the emulator in `MOLLIFIER_RUNNER` where it was built for another machine.
pub(crate) fn mollifier() -> Command {
    let built = env!("CARGO_BIN_EXE_mollifier");
    match std::env::var_os("MOLLIFIER_RUNNER") {
        Some(runner) => {
            let mut command = Command::new(runner);
            command.arg(built);
            command
        }
        None => Command::new(built),
    }
}

/// The command with arguments.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = mollifier();
    command.args(args);
    command
}

/// Run it to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    command(args).output().expect("the binary runs")
}

/// A folder to work in.
pub(crate) struct Bench {
    dir: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Bake a shipped spec.
    pub(crate) fn model(&self, name: &str) -> String {
        let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(format!("{name}.toml"));
        let path = self.path(&format!("{name}.onnx"));
        let output = run(&["bake", spec.to_str().expect("UTF-8"), "-o", &path]);
        assert!(output.status.success(), "{output:?}");
        path
    }

    /// Smooth frames with a little noise, axes (t, y, x).
    pub(crate) fn movie(&self, name: &str, shape: (usize, usize, usize)) -> String {
        let path = self.path(name);
        let frames = Array3::from_shape_fn(shape, |(t, y, x)| {
            let (t, y, x) = (t as f64, y as f64, x as f64);
            let noise = ((t * 13.7 + y * 78.2 + x * 37.9).sin() * 43_758.5).fract() * 1e-3;
            ((-0.02 * t).exp() * ((y / 17.0).sin() + (x / 23.0).cos()) + noise) as f32
        });
        write_npy(&path, &frames).expect("it is written");
        path
    }
}

/// What a run says of itself.
pub(crate) fn record(out: &str) -> Value {
    let text = fs::read_to_string(Path::new(out).join("run.json")).expect("run.json");
    serde_json::from_str(&text).expect("JSON")
}

/// Ctrl-C. By the system's call: not every machine has the program `kill`.
#[cfg(unix)]
pub(crate) fn interrupt(child: &std::process::Child) {
    let id = libc::pid_t::try_from(child.id()).expect("a process");
    // SAFETY: a signal to a process of ours, which has not been waited for.
    let sent = unsafe { libc::kill(id, libc::SIGINT) };
    assert_eq!(sent, 0);
}

/// All files but the record, by name; of summary.csv all columns but the latency, which is measured.
pub(crate) fn files(out: &str) -> Vec<(String, Vec<u8>)> {
    let read = |path: &Path| {
        let bytes = fs::read(path).expect("a file");
        if path.file_name().is_some_and(|n| n == "summary.csv") {
            let text = String::from_utf8(bytes).expect("UTF-8");
            let rows = text.lines().map(|row| row.rsplit_once(',').expect("columns").0);
            return rows.collect::<Vec<_>>().join("\n").into_bytes();
        }
        bytes
    };
    let mut files: Vec<_> = fs::read_dir(out)
        .expect("the folder")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.file_name().is_some_and(|n| n != "run.json"))
        .map(|p| (p.file_name().unwrap_or_default().to_string_lossy().into_owned(), read(&p)))
        .collect();
    files.sort();
    files
}

/// Two runs left the same files.
pub(crate) fn assert_same(a: &str, b: &str) {
    let (a, b) = (files(a), files(b));
    let names = |f: &[(String, Vec<u8>)]| f.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
    for (a, b) in a.iter().zip(&b) {
        assert!(a.1 == b.1, "{} differs", a.0);
    }
}
