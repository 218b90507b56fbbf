//! Whether a run lies where its model was tested or trained, and where single precision computes it.

use mollifier::model::{Contract, InputRole, Kind};
use mollifier::stream::{Givens, Report};

/// Relative distance from the end of a range that does not count.
const SLACK: f64 = 0.01;
/// Contrasts whose squares and reciprocals single precision still holds.
const HELD: std::ops::RangeInclusive<f64> = 1e-9..=1e9;

/// The dimensionless groups that a run knows.
const GROUPS: [&str; 7] = [
    "noise/std(u)",
    "std(phi)",
    "kappa/h^2",
    "mobility/(k h^2)",
    "k dt",
    "lambda dt/h^2",
    "long/short side of a pixel",
];

/// What is wrong with the ranges that a spec names: no run would ever warn of a group that it does not know.
pub(crate) fn unknown_group(contract: &Contract) -> Option<String> {
    let range = contract.trained.iter().find(|range| !GROUPS.contains(&range.group.as_str()))?;
    Some(format!(
        "tested: got the group `{}`, expected one of {}",
        range.group,
        GROUPS.map(|g| format!("`{g}`")).join(", ")
    ))
}

/// Warnings about everything that is outside, each one sentence. `noise` is the given one, `lambda` the median of what
/// came out.
pub(crate) fn outside(
    contract: &Contract,
    givens: &Givens,
    noise: Option<f64>,
    lambda: Option<f64>,
    report: &Report,
) -> Vec<String> {
    let series = contract.kind == Kind::Series;
    // A series that is too short for an estimate tells nothing.
    if report.computed == 0 || (series && report.contrast().is_none()) {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    match report.contrast() {
        None => warnings.push("every frame is of one value: there is nothing to tell the parameter from".to_owned()),
        Some(contrast) if !HELD.contains(&contrast) => warnings.push(format!(
            "the recording varies by {contrast:.1e} in its unit, which single precision may not hold: choose a unit \
             in which it varies by about 1"
        )),
        Some(_) => {}
    }
    for range in &contract.trained {
        let Some(value) = group(&range.group, contract, givens, noise, lambda, report) else { continue };
        if value < range.low * (1.0 - SLACK) || value > range.high * (1.0 + SLACK) {
            let expected = if range.low == range.high {
                format!("at {}", range.low)
            } else {
                format!("from {} to {}", range.low, range.high)
            };
            warnings.push(format!("{} is {}: the model was tested {expected} only", range.group, rounded(value)));
        }
    }
    warnings
}

/// The value of a dimensionless group in this run; `None` for one that is not known here.
fn group(
    group: &str,
    contract: &Contract,
    givens: &Givens,
    noise: Option<f64>,
    lambda: Option<f64>,
    report: &Report,
) -> Option<f64> {
    let constant = |name: &str| {
        let input = contract.inputs.iter().find(|i| i.name == name && i.role == InputRole::Constant)?;
        givens.constants.get(name).copied().or(input.default)
    };
    let shortest = givens.spacing.iter().copied().reduce(f64::min)?;
    let area = shortest.powi(2);
    match group {
        "noise/std(u)" => {
            let (noise, contrast) = (noise.or(report.noise()).unwrap_or(0.0), report.contrast()?);
            // The contrast of the field itself.
            let field = (contrast.powi(2) - noise.powi(2)).max((0.1 * contrast).powi(2)).sqrt();
            Some(noise / field)
        }
        "std(phi)" => report.contrast(),
        "kappa/h^2" => Some(constant("kappa")? / area),
        "mobility/(k h^2)" => Some(constant("mobility")? / (constant("k")? * area)),
        "k dt" => Some(constant("k")? * givens.time_step),
        "lambda dt/h^2" => Some(lambda? * givens.time_step / area),
        "long/short side of a pixel" => Some(givens.spacing.iter().copied().reduce(f64::max)? / shortest),
        _ => None,
    }
}

/// Two significant digits.
fn rounded(value: f64) -> f64 {
    format!("{value:.1e}").parse().unwrap_or(value)
}
