//! `mollifier kernel`: the taps of one kernel, and what they do to polynomials and to noise.

use std::fmt::Write;

use anyhow::Result;
use mollifier::kernel::{Family, Kernel};
use serde_json::json;

use super::args::KernelArgs;
use super::failure::misuse;
use super::say;

pub(crate) fn kernel(args: &KernelArgs) -> Result<()> {
    let family: Family = args
        .family
        .parse()
        .map_err(|_| misuse(format!("--family {}: expected poly1 to poly16, bump or gauss", args.family)))?;
    let kernel = match args.correction {
        Some(correction) => Kernel::with_correction(family, args.radius, args.order, correction),
        None => Kernel::new(family, args.radius, args.order),
    };
    let kernel = kernel.map_err(|e| misuse(e.to_string()))?;
    let taps = kernel.taps();
    let radius = args.radius as f64;
    // In units of the radius, so that the highest ones do not overflow.
    let moments: Vec<f64> = (0..=args.order + 4)
        .map(|j| taps.iter().enumerate().map(|(i, k)| k * (i as f64 - radius).powi(j as i32)).sum())
        .collect();
    let gain = taps.iter().map(|k| k * k).sum::<f64>().sqrt();
    if args.json {
        let one_sided: Vec<&[f64]> = (0..args.radius).map(|i| kernel.one_sided(i)).collect();
        say(&serde_json::to_string_pretty(&json!({
            "family": family.to_string(),
            "radius": args.radius,
            "order": args.order,
            "correction": kernel.design().correction,
            "taps": taps,
            "one_sided": one_sided,
            "moments": moments,
            "noise_gain": gain,
        }))?)?;
        return Ok(());
    }
    let mut text = String::new();
    writeln!(text, "{family}, radius {}, derivative order {}", args.radius, args.order)?;
    writeln!(text, "noise gain {gain:.6e} (standard deviation out for white noise of 1 in)")?;
    writeln!(text, "moments sum k(x) x^j for j = 0, 1, ...")?;
    for (j, moment) in moments.iter().enumerate() {
        writeln!(text, "  {j:3} {moment:+.6e}")?;
    }
    writeln!(text, "taps k(x) for x = -R ... R")?;
    for (i, tap) in taps.iter().enumerate() {
        writeln!(text, "  {:+4} {tap:+.17e}", i as i64 - args.radius as i64)?;
    }
    say(&text)?;
    Ok(())
}
