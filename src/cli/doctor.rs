//! `mollifier doctor`: what this machine offers.

use anyhow::Result;
use mollifier::stream::{gpu, machine, simd};

use super::say;

pub(crate) fn doctor() -> Result<()> {
    let simd = simd();
    let simd = if simd.is_empty() { "none that is looked for".to_owned() } else { simd.join(", ") };
    let lines = [
        ("mollifier", env!("CARGO_PKG_VERSION").to_owned()),
        ("machine", machine()),
        ("SIMD", simd),
        ("GPU", gpu().unwrap_or_else(|| "none seen".to_owned())),
        ("tract", "built in, the default".to_owned()),
        ("ort", "not built into this version".to_owned()),
        ("ort-cuda", "not built into this version".to_owned()),
        ("ort-tensorrt", "not built into this version".to_owned()),
    ];
    say(&lines.map(|(what, is)| format!("{what:13} {is}")).join("\n"))?;
    Ok(())
}
