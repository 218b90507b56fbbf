//! Steady heat: 0 = lambda Lap u + m, the diffusivity lambda hidden, the source m known.

use serde::Deserialize;

use super::aggregate::{Detail, Scale, aggregate, difference_gain, local_size};
use super::holes::{Holes, Tolerance};
use super::{
    Description, Design, Estimate, Input, InputRole, Inputs, Kind, Law, Output, PhysicsError, Refined, Transform,
};
use crate::graph::{BankDesign, Edge, Graph, Value};
use crate::kernel::Family;

/// 0 = lambda Lap u + m.
///
/// At every radius R the resistivity q = 1/lambda is estimated as `-(Lap eta_R * u) / (eta_R * m)`: linear in the
/// noise, and exact for constant lambda whatever m, since both sides are averaged by the same kernel. The radii
/// are combined per pixel, then inverted by a smooth positive part of the width of the standard error.
///
/// - residual: `eta_r * m + lambda (Lap eta_r * u)` at the smallest radius r, its local root mean
///   square (over a radius of 2r), in units of m.
/// - support: coverage by measured pixels times `q^2 / (q^2 + 4 se^2)`: one half where the standard error of
///   lambda is half of lambda, zero where m vanishes or u bends the wrong way.
pub struct Heat;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Kernel family.
    family: String,
    /// Kernel radii in samples of the finer axis, ascending.
    radii: Vec<usize>,
    /// Radius of the neighbourhood over which details are pooled.
    average: usize,
}

const LAW: &str = "heat";
/// Subtracted from the pooled signal-to-noise ratio, 1 of it for the noise itself. Chosen on simulated fields;
/// the scores move by less than 0.003 between 1.2 and 1.5.
const EXCESS: f64 = 1.5;
/// Relative size of the differences that neighbouring radii may show where noise hides everything.
const DETAIL: f64 = 0.12;
/// Kernel weight on missing pixels: an error of what fills them passes through a Laplacian by its weight over R^2.
/// Chosen on simulated plates without columns, rows, discs and single pixels.
const TOLERANCE: Tolerance = Tolerance { filled: 0.03, growth: 2.0, deep: 0.01 };
/// Resistivities below this fraction of the neighbourhood's are not told from zero.
const SPREAD: f64 = 0.02;
/// Square of the relative accuracy that no estimate is trusted beyond (rounding, discretisation).
const ROUNDING: f64 = 1e-8;
/// Least m^2 that can be divided by; its reciprocal is the greatest variance.
const TINY: f64 = 1e-30;
/// Bound of a resistivity, in time per pixel^2.
const LARGEST: f64 = 1e15;

impl Law for Heat {
    fn describe(&self) -> Description {
        let mut inputs = Input::recording(&["batch", "window", "y", "x"], "the steady field");
        inputs.push(Input::new("m", InputRole::Field, &["batch", "y", "x"], "", None, "source: 0 = lambda Lap u + m"));
        inputs.push(Input::new("noise", InputRole::Noise, &[], "", None, "standard deviation of the noise in u"));
        Description {
            name: LAW,
            equation: "0 = lambda Lap u + m",
            kind: Kind::Fields,
            window: 1,
            inputs,
            outputs: vec![
                Output::new("lambda", "diffusivity", "m*y^2/u", Transform::Log),
                Output::new("residual", "residual", "m", Transform::Identity),
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
        let (u, valid, m) = (inputs.get("u"), inputs.get("valid"), inputs.get("m"));
        let noise = inputs.get("noise");
        let grid = design.grid(&inputs.get("spacing"));
        let ratio = grid.ratio();
        let terms: [(f64, &[usize]); 2] = [(1.0, &[2, 0]), (grid.nominal_ratio(), &[0, 2])];
        let bank = |name: String, radius: usize, edge: Edge, correction: Option<usize>| {
            graph.bank(&name, BankDesign { family, radius: design.radius(radius), edge, correction, edge_average: 0 })
        };

        let holes = Holes::new(graph, design, &valid, Family::Poly(1), table.radii[0], TOLERANCE)?;
        let mut banks = Vec::new();
        let mut scales: Vec<Scale> = Vec::new();
        let mut variances = Vec::new();
        let mut terms_of: Vec<(Value, Value)> = Vec::new();
        for &radius in &table.radii {
            let bank = bank(format!("r{radius}"), radius, Edge::OneSided, Some(1))?;
            let d = bank.apply(&u, &[&[2, 0], &[0, 2]])?;
            let bend = -(&d[0] + &d[1] * &ratio);
            let source = bank.smooth(&m)?;
            let weight = source.square().clamp(TINY, 1.0 / TINY).recip();
            let estimate = (&bend * &source * &weight).clamp(-LARGEST, LARGEST);
            // (sigma/m)^2: dividing first keeps tiny and huge units within single precision.
            let unit_variance = (&noise / source.abs().max(&graph.scalar(1.0 / LARGEST))).square();
            let variance = (bank.gain(&terms)? * &unit_variance).min(&graph.scalar(1.0 / TINY));
            let error = (variance + estimate.square() * ROUNDING).sqrt();
            let coverage = holes.coverage(&bank, radius, &terms)?;
            scales.push(Scale { estimate, error, coverage });
            variances.push(unit_variance);
            banks.push(bank);
            terms_of.push((source, bend));
        }
        let average = bank("average".to_owned(), table.average, Edge::Zero, None)?;
        let (Some((source, bend)), Some((wide_source, wide_bend))) = (terms_of.first(), terms_of.last()) else {
            return Err(invalid("radii: got none, expected at least one".to_owned()));
        };
        // What is usual in the neighbourhood, squared.
        let typical = average.smooth(&wide_bend.square())? / (average.smooth(&wide_source.square())? + TINY);
        let mut details = Vec::new();
        for k in 1..banks.len() {
            let gain = difference_gain(&banks[k - 1], &banks[k], &terms)?;
            let wide = scales[k].estimate.square();
            details.push(Detail {
                variance: gain * &variances[k - 1] + &wide * ROUNDING,
                // Not of the wide estimate alone: at the border that one may be far too small.
                limit: Some((wide.max(&typical) + scales[k].error.square()) * (DETAIL * DETAIL)),
            });
        }
        let total = aggregate(graph, &average, &scales, &details, EXCESS)?;

        // Where Lap u passes through zero, lambda would be as large as rounding is small; it is held to a few
        // dozen times what is typical of the neighbourhood.
        let error = (total.error.square() + &typical * (SPREAD * SPREAD)).sqrt();
        let twice = &error * 2.0;
        // At least a thousandth of |q| + error, where rounding would leave the positive part at zero.
        let floor = (total.estimate.abs() + &error) * 1e-3 + TINY;
        let resistivity = total.estimate.soft_positive(&twice).max(&floor);
        let lambda = (grid.area() / &resistivity).or_nan(&(&total.coverage - 0.5));
        let square = total.estimate.max(&graph.scalar(0.0)).square();
        let support = (&total.coverage * &square / (&square + twice.square() + TINY)).or_zero(&lambda);
        let misfit = source - bend / &resistivity;
        let around = bank("around".to_owned(), 2 * table.radii[0], Edge::Zero, None)?;
        let residual = local_size(&around, &misfit, &total.coverage)?.or_nan(&(&total.coverage - 0.5));

        // For a trunk, after all that the closed form needs. Logarithms are taken against the neighbourhood's, so
        // that no unit enters; the kernels' noise gains tell how near the frame's border is, and only there.
        let log = -resistivity.ln();
        let local = average.smooth(&(&log * &total.coverage))? / (average.smooth(&total.coverage)? + TINY);
        let bounded = |ratio: &Value| (ratio + 1e-4).ln().clamp(-9.0, 4.0);
        let mut features = vec![
            ("log_lambda".to_owned(), (&log - local).clamp(-4.0, 4.0)),
            ("log_error".to_owned(), bounded(&(&error / &resistivity))),
            ("support".to_owned(), support.clone()),
        ];
        for ((radius, scale), bank) in table.radii.iter().zip(&scales).zip(&banks) {
            // Estimate of this radius over the combined one, damped where it is all noise.
            let ratio = (&scale.estimate - &resistivity) / (&resistivity + &scale.error);
            features.push((format!("ratio_r{radius}"), ratio.tanh() * &scale.coverage));
            features.push((format!("log_error_r{radius}"), bounded(&(&scale.error / &resistivity)) * &scale.coverage));
            let border = (bank.gain(&terms)? / bank.interior_gain(&terms)?).ln();
            features.push((format!("border_r{radius}"), border * &scale.coverage));
        }
        for (radius, weight) in table.radii.iter().zip(&total.weights) {
            features.push((format!("weight_r{radius}"), weight.clone()));
        }
        let (source, bend, area, covered) = (source.clone(), bend.clone(), grid.area(), total.coverage.clone());
        let same = support.clone();
        let refine = Box::new(move |delta: &Value| {
            let resistivity = &resistivity * (-delta).exp();
            let seen = &covered - 0.5;
            let misfit = &source - &bend / &resistivity;
            let residual = local_size(&around, &misfit, &covered)?.or_nan(&seen);
            Ok(Refined { outputs: vec![(&area / resistivity).or_nan(&seen), residual, same.clone()], seen })
        });
        Ok(Estimate { outputs: vec![lambda, residual, support], features, refine: Some(refine), unit: None })
    }
}

fn invalid(message: String) -> PhysicsError {
    PhysicsError::Design { law: LAW, message }
}
