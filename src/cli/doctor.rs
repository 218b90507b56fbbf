//! `mollifier doctor`: what this machine offers.

use anyhow::Result;
use mollifier::operator::instructions;
use mollifier::stream::{gpu, machine, simd};

use super::args::DoctorArgs;
use super::{libc, say};

pub(crate) fn doctor(args: &DoctorArgs) -> Result<()> {
    let simd = simd();
    let simd = if simd.is_empty() { "none that is looked for".to_owned() } else { simd.join(", ") };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    // The backend of that name is there in either case.
    let tract = if cfg!(feature = "engine") {
        "built in"
    } else {
        "our operators alone: every model that `bake` writes runs as fast, fits some seven times as slowly, others are refused"
    };
    let mut lines = vec![
        ("mollifier", env!("CARGO_PKG_VERSION").to_owned()),
        ("machine", machine()),
        ("SIMD", format!("{simd}; our operators use {}", instructions())),
        ("threads", format!("{threads}, unless --threads says otherwise")),
        ("C library", libc::name()),
        ("GPU", gpu().unwrap_or_else(|| "none seen".to_owned())),
        ("tract", tract.to_owned()),
    ];
    lines.extend(onnx_runtime(args));
    let auto = "tract: always there, and on one core several times as fast on these models as ONNX Runtime (mollifier \
                bench MODEL measures both here)";
    lines.push(("auto", auto.to_owned()));
    let lines: Vec<String> = lines.into_iter().map(|(what, is)| format!("{what:13} {is}")).collect();
    say(&lines.join("\n"))
}

/// What can be had of ONNX Runtime, and why not where it cannot.
#[cfg(feature = "ort")]
fn onnx_runtime(args: &DoctorArgs) -> Vec<(&'static str, String)> {
    use mollifier::backend::{Ort, Provider};
    let providers = [("ort", Provider::Cpu), ("ort-cuda", Provider::Cuda), ("ort-tensorrt", Provider::TensorRt)];
    let mut rows = Vec::new();
    for (name, provider) in providers {
        match Ort::load(provider, args.ort_library.as_deref()) {
            Ok(o) => rows.push((name, format!("{} ({})", o.file().display(), o.build_info()))),
            Err(e) => {
                rows.push((name, e.to_string()));
                // Without a library there are no providers either.
                if provider == Provider::Cpu {
                    break;
                }
            }
        }
    }
    rows
}

#[cfg(not(feature = "ort"))]
fn onnx_runtime(_: &DoctorArgs) -> Vec<(&'static str, String)> {
    vec![("ort", "not built into this program".to_owned())]
}
