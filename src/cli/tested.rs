//! Whether a run lies where its model was tested or trained, and where single precision computes it.

use mollifier::model::{Contract, InputRole, Kind};
use mollifier::stream::{Givens, Report};

/// Relative distance from the end of a range that does not count.
const SLACK: f64 = 0.01;
/// Contrasts whose squares and reciprocals single precision still holds.
const HELD: std::ops::RangeInclusive<f64> = 1e-9..=1e9;

/// What a run was computed with, and what came of it.
struct Run<'a> {
    contract: &'a Contract,
    givens: &'a Givens,
    noise: Option<f64>,
    lambda: Option<f64>,
    report: &'a Report,
}

/// The value of a dimensionless group in a run; `None` where it is not known.
type Value = fn(&Run<'_>) -> Option<f64>;

/// The groups that there are.
const GROUPS: [(&str, Value); 7] = [
    ("noise/std(u)", |run| run.noise_over_field()),
    ("std(phi)", |run| run.report.contrast()),
    ("kappa/h^2", |run| Some(run.constant("kappa")? / run.area()?)),
    ("mobility/(k h^2)", |run| Some(run.constant("mobility")? / (run.constant("k")? * run.area()?))),
    ("k dt", |run| Some(run.constant("k")? * run.givens.time_step)),
    ("lambda dt/h^2", |run| Some(run.lambda? * run.givens.time_step / run.area()?)),
    ("long/short side of a pixel", |run| Some(run.givens.spacing.iter().copied().reduce(f64::max)? / run.shortest()?)),
];

impl Run<'_> {
    fn constant(&self, name: &str) -> Option<f64> {
        let input = self.contract.inputs.iter().find(|i| i.name == name && i.role == InputRole::Constant)?;
        self.givens.constants.get(name).copied().or(input.default)
    }

    fn shortest(&self) -> Option<f64> {
        self.givens.spacing.iter().copied().reduce(f64::min)
    }

    fn area(&self) -> Option<f64> {
        Some(self.shortest()?.powi(2))
    }

    fn noise_over_field(&self) -> Option<f64> {
        let (noise, contrast) = (self.noise.or(self.report.noise()).unwrap_or(0.0), self.report.contrast()?);
        // The contrast of the field itself.
        let field = (contrast.powi(2) - noise.powi(2)).max((0.1 * contrast).powi(2)).sqrt();
        Some(noise / field)
    }
}

/// What is wrong with the ranges that a spec names: no run would ever warn of a group that it does not know.
pub(crate) fn unknown_group(contract: &Contract) -> Option<String> {
    let is_known = |name: &str| GROUPS.iter().any(|(group, _)| *group == name);
    let range = contract.trained.iter().find(|range| !is_known(&range.group))?;
    let known = GROUPS.map(|(group, _)| format!("`{group}`")).join(", ");
    Some(format!("tested: got the group `{}`, expected one of {known}", range.group))
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
    let run = Run { contract, givens, noise, lambda, report };
    for range in &contract.trained {
        let group = GROUPS.iter().find(|(group, _)| *group == range.group);
        let Some(value) = group.and_then(|(_, value)| value(&run)) else { continue };
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

/// Two significant digits.
fn rounded(value: f64) -> f64 {
    format!("{value:.1e}").parse().unwrap_or(value)
}
