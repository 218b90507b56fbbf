//! Langevin forcing: u_t = a u + lambda, the signed forcing lambda hidden, the rate a known.

use serde::Deserialize;

use super::aggregate::{Detail, Scale, aggregate, difference_gain, local_size};
use super::holes::{Holes, Tolerance};
use super::{
    Description, Design, Estimate, Input, InputRole, Inputs, Kind, Law, Output, PhysicsError, Refined, Transform,
};
use crate::graph::{BankDesign, Edge, Graph, Value};
use crate::kernel::Family;

/// u_t = a u + lambda.
///
/// At every radius lambda is `d eta_R * u - a (eta_R * u)`, linear in u; the radii are combined per sample.
/// Wide kernels that are exact to a higher degree beat narrow ones of the usual degree here: first derivatives
/// meet the moments through the fourth, averages through the third.
///
/// - residual: `u_t - a u - lambda` with u_t from the smallest radius r and u smoothed as for lambda, its local root
///   mean square (over a radius of 2r), in units of lambda: what the wider kernels took for noise.
/// - support: coverage by measured samples. lambda enters additively, so it is identifiable wherever u is known.
///
/// The noise gains are those of the derivative; the term in a adds less than 2 % to them while a radius is
/// shorter than 1/a.
pub struct Langevin;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Kernel family.
    family: String,
    /// Kernel radii in samples, ascending.
    radii: Vec<usize>,
    /// Radius of the neighbourhood over which details are pooled.
    average: usize,
}

const LAW: &str = "langevin";
/// Subtracted from the pooled signal-to-noise ratio, 1 of it for the noise itself. Series have fewer neighbours
/// to pool than images, so more caution pays.
const EXCESS: f64 = 2.0;
/// Moments through derivative order + 3 are exact.
const CORRECTION: usize = 3;
/// Kernel weight on missing samples: an error of what fills them passes through a slope by its weight over R, and
/// those of a gap's two sides partly cancel. Chosen on simulated series with gaps of 1 to 64 samples.
const TOLERANCE: Tolerance = Tolerance { filled: 0.15, growth: 1.5, deep: 0.2 };
/// Share of the sample's own spread in the unit that a trunk counts in, beside the neighbourhood's.
const NEAR: f64 = 0.1;
/// Keeps divisions defined where everything is zero.
const TINY: f64 = 1e-30;

impl Law for Langevin {
    fn describe(&self) -> Description {
        let axes = ["batch", "sample"];
        let mut inputs = Input::recording(&axes, "the signal");
        inputs.push(Input::new("a", InputRole::Constant, &[], "1/t", Some(1.0), "rate: u_t = a u + lambda"));
        inputs.push(Input::new("noise", InputRole::Noise, &axes, "", None, "standard deviation of the noise in u"));
        inputs.push(Input::new("offset", InputRole::Offset, &[], "", None, "what was subtracted from u"));
        Description {
            name: LAW,
            equation: "u_t = a u + lambda",
            kind: Kind::Series,
            window: 1,
            inputs,
            outputs: vec![
                Output::new("lambda", "forcing", "u/t", Transform::Identity),
                Output::new("residual", "residual", "u/t", Transform::Identity),
                Output::new("support", "support", "", Transform::Identity),
            ],
        }
    }

    fn build(&self, graph: &Graph, inputs: &Inputs, design: &Design) -> Result<Estimate, PhysicsError> {
        let table: Table = design.parse(LAW)?;
        let family: Family = table
            .family
            .parse()
            .map_err(|_| invalid(format!("family: got {:?}, expected poly4 or another family", table.family)))?;
        if table.radii.is_empty() || table.radii.windows(2).any(|w| w[0] >= w[1]) {
            return Err(invalid(format!("radii: got {:?}, expected at least one, ascending", table.radii)));
        }
        let (u, valid, a) = (inputs.get("u"), inputs.get("valid"), inputs.get("a"));
        let variance = inputs.get("noise").square();
        let step = inputs.get("spacing").element(0);
        let rate = &a * &step;
        let terms: [(f64, &[usize]); 1] = [(1.0, &[1])];
        let bank = |name: String, radius: usize, edge: Edge, correction: Option<usize>, edge_average: usize| {
            graph.bank(&name, BankDesign { family, radius: design.radius(radius), edge, correction, edge_average })
        };

        // In units of u per sample until the end; without the offset, which enters as a constant.
        let holes = Holes::new(graph, design, &valid, family, table.radii[0], TOLERANCE)?;
        let mut banks = Vec::new();
        let mut scales: Vec<Scale> = Vec::new();
        let mut slopes: Vec<Value> = Vec::new();
        for &radius in &table.radii {
            let own = bank(format!("r{radius}"), radius, Edge::OneSided, Some(CORRECTION), CORRECTION - 1)?;
            let d = own.apply(&u, &[&[1], &[0]])?;
            scales.push(Scale {
                estimate: &d[0] - &d[1] * &rate,
                error: (own.gain(&terms)? * &variance).sqrt(),
                coverage: holes.coverage(&own, radius, &terms)?,
            });
            slopes.push(d[0].clone());
            banks.push(own);
        }
        let mut details = Vec::new();
        for pair in banks.windows(2) {
            let variance = difference_gain(&pair[0], &pair[1], &terms)? * &variance;
            details.push(Detail { variance, limit: None });
        }
        let average = bank("average".to_owned(), table.average, Edge::Zero, None, 0)?;
        let total = aggregate(graph, &average, &scales, &details, EXCESS)?;

        let (Some(finest), Some(slope)) = (slopes.first(), total.combine(&slopes)) else {
            return Err(invalid("radii: got none, expected at least one".to_owned()));
        };
        let covered = &total.coverage - 0.5;
        let lambda = &total.estimate / &step - &a * inputs.get("offset");
        let around = bank("around".to_owned(), 2 * table.radii[0], Edge::Zero, None, 0)?;
        let difference = finest - slope;
        let residual = local_size(&around, &difference, &total.coverage)? / &step;
        let outputs = vec![lambda.or_nan(&covered), residual.or_nan(&covered), total.coverage.clone()];

        // For a trunk, after all that the closed form needs. lambda is additive, so what tells one radius from another is
        // taken against the local size of just that, and of the standard error: a number without unit, and linear in u.
        let mut spread = total.error.square();
        for (scale, bank) in scales.iter().zip(&banks) {
            let change = (&scale.estimate - &total.estimate).square() * (1.0 / scales.len() as f64);
            spread = spread + change * bank.present();
        }
        let local = average.smooth(&(&spread * &total.coverage))? / (average.smooth(&total.coverage)? + TINY);
        let unit = (local + &spread * NEAR + TINY).sqrt();
        let bounded = |ratio: &Value| (ratio + 1e-4).ln().clamp(-9.0, 4.0);
        let mut features = vec![
            ("log_error".to_owned(), bounded(&(&total.error / &unit))),
            ("support".to_owned(), total.coverage.clone()),
        ];
        for ((radius, scale), bank) in table.radii.iter().zip(&scales).zip(&banks) {
            let change = (&scale.estimate - &total.estimate) / &unit;
            features.push((format!("change_r{radius}"), change.clamp(-6.0, 6.0) * bank.present()));
            features.push((format!("log_error_r{radius}"), bounded(&(&scale.error / &unit)) * &scale.coverage));
            let border = (bank.gain(&terms)? / bank.interior_gain(&terms)?).ln();
            features.push((format!("border_r{radius}"), border * &scale.coverage));
        }
        for (radius, weight) in table.radii.iter().zip(&total.weights) {
            features.push((format!("weight_r{radius}"), weight.clone()));
        }
        // How lambda itself runs, without which the network could not smooth it further: coarsely, where it is near its
        // neighbourhood's mean, and over a wider range. At a border, where kernels are one-sided, that is worth most.
        let mean = average.smooth(&(&total.estimate * &total.coverage))? / (average.smooth(&total.coverage)? + TINY);
        let level = (&total.estimate - mean) * &total.coverage / &unit;
        features.push(("level".to_owned(), level.clamp(-4.0, 4.0)));
        features.push(("level_far".to_owned(), (level * 0.125).clamp(-4.0, 4.0)));
        let (given, support) = (&total.estimate / &step, total.coverage);
        let offset = &a * inputs.get("offset");
        let seen = support.clone();
        let given_unit = &unit / &step;
        let in_lambda = given_unit.clone();
        let refine = Box::new(move |delta: &Value| {
            let lambda = (&given + delta * &in_lambda - &offset).or_nan(&covered);
            let residual = local_size(&around, &(&difference - delta * &unit), &seen)? / &step;
            let outputs = vec![lambda, residual.or_nan(&covered), support.clone()];
            Ok(Refined { outputs, seen: covered.clone() })
        });
        Ok(Estimate { outputs, features, refine: Some(refine), unit: Some(given_unit) })
    }
}

fn invalid(message: String) -> PhysicsError {
    PhysicsError::Design { law: LAW, message }
}
