//! Transient heat: u_t = lambda Lap u + m, a diffusivity from five frames of a changing field.
//!
//! Time first: the recording becomes two maps, the least-squares slope of u over the window and the average of
//! u over the same stretch of time with the same weight ([`Clock`]). Then space: at each radius,
//! `num = eta * (slope - m)` and `den = Lap eta * average`, so that num = lambda den up to noise and to lambda's
//! own change within the kernel. Then local least squares, lambda = G(V num den) / G(V den^2), with the known
//! noise power of den taken off the denominator: Lap u changes sign, and noise in it would bias lambda low.
//!
//! No single radius serves a picture, so estimates go from coarse to fine: each stage is drawn towards the stage
//! before as if lambda could change between them by the relative amount `change`, against the exactly known
//! noise of its own. Where noise rules, the coarser estimate stays; where the signal rules, the finer one wins;
//! there is no switch in between.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    Description, Design, Estimate, Input, InputRole, Inputs, Kind, Law, Output, PhysicsError, Refined, Transform,
};
use crate::graph::{Bank, BankDesign, Edge, Graph, GraphError, Value};
use crate::kernel::Family;

const NAME: &str = "heat-transient";
/// Frames of a window unless the spec says otherwise.
const WINDOW: usize = 5;
/// Keeps quotients defined where a field is exactly constant.
const TINY: f64 = 1e-30;
/// Relative weight of the coarser estimate that remains without any noise.
const ANCHOR: f64 = 1e-6;
/// Rounding of single precision, relative to the field, as a noise: a Laplacian below it is none.
const ROUNDING: f64 = 1e-6;
/// Part of a term's mean square that counts as noise in a feature: without noise, the rounding of a term's zeros
/// would otherwise be the only scale there is, and a trunk would see it.
const NEGLIGIBLE: f64 = 1e-5;
/// Relative error (squared) from features finer than the kernels, which the noise does not tell.
const UNRESOLVED: f64 = 0.0025;
/// Relative error (squared) at which support is one half.
const HALF_SUPPORT: f64 = 0.09;

/// The transient heat equation.
#[derive(Clone, Copy, Debug)]
pub struct HeatTransient;

/// One step from coarse to fine.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stage {
    /// Radius of the derivative kernels, in samples of the finest axis.
    pub(super) radius: usize,
    /// Radius of the average over terms; its profile is (1-r^2)^2.
    pub(super) average: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Kernel family.
    family: String,
    /// From coarse to fine.
    stages: Vec<Stage>,
    /// Relative standard deviation of lambda about the ratio of root mean squares, before any regression.
    prior: f64,
    /// Relative standard deviation of the change from one stage to the next.
    change: f64,
    /// Share of the denominator's noise that counts as error of the estimate.
    blame: f64,
    /// Width, in noise powers, over which the noise-corrected denominator is kept positive.
    soft: f64,
    /// Smallest part of the coarser estimate that a finer one keeps.
    floor: f64,
}

impl Law for HeatTransient {
    fn describe(&self) -> Description {
        let frames = ["batch", "window", "y", "x"];
        let mut inputs = Input::recording(&frames, "the measured field");
        inputs.push(Input::new(
            "time",
            InputRole::Time,
            &["batch", "window"],
            "t",
            None,
            "times of the frames relative to the map's frame",
        ));
        inputs.push(Input::new("noise", InputRole::Noise, &[], "", None, "standard deviation of the noise in u"));
        inputs.push(Input::new(
            "m",
            InputRole::Field,
            &["batch", "y", "x"],
            "",
            Some(0.0),
            "known source, in units of u per unit of time",
        ));
        Description {
            name: NAME,
            equation: "u_t = lambda Lap u + m",
            kind: Kind::Fields,
            window: WINDOW,
            inputs,
            outputs: vec![
                Output::new("lambda", "diffusivity", "y^2/t", Transform::Log),
                Output::new("residual", "residual", "u/t", Transform::Identity),
                Output::new("support", "support", "", Transform::Identity),
            ],
        }
    }

    fn build(&self, graph: &Graph, inputs: &Inputs, design: &Design) -> Result<Estimate, PhysicsError> {
        let table: Table = design.parse(NAME)?;
        let grid = design.grid(&inputs.get("spacing"));
        let clock = Clock::new(&inputs.get("time"), design.window);
        let u = inputs.get("u");
        let valid = inputs.get("valid").min_window();
        let invalid = 1.0 - &valid;
        let slope = ((&u * &clock.slope).sum_window() - inputs.get("m")).named("slope");
        let level = (&u * &clock.average).sum_window().named("level");
        let variance = inputs.get("noise").square() + (&level * ROUNDING).square();
        let (slope_noise, level_noise) = (&variance * &clock.slope_gain, &variance * &clock.average_gain);

        let (finest, residual_radius, widest) = extent(NAME, &table.stages)?;
        let mut scales = BTreeMap::new();
        for Stage { radius, .. } in &table.stages {
            if scales.contains_key(radius) {
                continue;
            }
            let bank = bank(graph, design, NAME, (&table.family, 2), *radius, Edge::OneSided)?;
            let smoothed = bank.smooth(&slope)?;
            let second = bank.apply(&level, &[&[2, 0], &[0, 2]])?;
            let laplacian = &second[0] + grid.ratio() * &second[1];
            let (mean, lap) =
                (Kernels::new(&bank, &[(1.0, [0, 0])])?, Kernels::laplacian(&bank, grid.nominal_ratio())?);
            // The kernels' noise grows at the frame's edge, where they are one-sided: weigh by its inverse.
            let edge = mean.product(&mean) / bank.gain(&[(1.0, &[0, 0])])?;
            let missing = cover(graph, NAME, &table.family, *radius, &bank, &invalid)?;
            let weight = edge * (1.0 - missing * 200.0).clamp(0.0, 1.0) * bank.present();
            let lap_noise = &level_noise * bank.gain(&[(1.0, &[2, 0]), (grid.nominal_ratio(), &[0, 2])])?;
            scales.insert(
                *radius,
                Scale {
                    num: smoothed,
                    den: laplacian,
                    weight,
                    lap_noise,
                    num_variance: &slope_noise * mean.product(&mean),
                    den_variance: &level_noise * lap.product(&lap),
                    mean,
                },
            );
        }

        let mut averages = Averages::new(graph, design);
        let first = &scales[&finest];
        let covered = averages.smooth(widest, &first.weight)?;
        let power = averages.smooth(widest, &(&first.weight * first.den.square()))?;
        let rate = averages.smooth(widest, &(&first.weight * first.num.square()))?;
        let mut lambda = ((&rate + TINY) / (&power + TINY)).sqrt() * 0.5;
        // Every sum of squares is taken relative to this one: no unit of u can overflow or vanish in f32.
        let unit = &power + &first.den_variance + TINY;
        let mut error = graph.scalar(9.0);
        let mut steps = Vec::new();
        for (i, stage) in table.stages.iter().enumerate() {
            let s = &scales[&stage.radius];
            let cross = averages.smooth(stage.average, &(&s.weight * &s.num * &s.den))? / &unit;
            let square = averages.smooth(stage.average, &(&s.weight * (s.den.square() - &s.lap_noise)))? / &unit;
            let square = square.soft_positive(&(&s.den_variance / &unit * table.soft));
            let spread = s.mean.averaged(&averages.taps(stage.average)?);
            let correlation = spread.product(&spread) / s.mean.product(&s.mean);
            let noise = (&s.num_variance / lambda.square() + &s.den_variance * table.blame) / &unit * correlation;
            let change = if i == 0 { table.prior } else { table.change };
            let pull = &noise * change.powi(-2) + ANCHOR;
            let total = &square + &pull;
            let estimate = (cross + &pull * &lambda) / &total;
            lambda = soft_floor(&estimate, &lambda, table.floor);
            let share = square / &total;
            error = &share * noise / &total + (1.0 - share).square() * (error + change.powi(2));
            steps.push(lambda.clone());
        }
        let error = error + UNRESOLVED;
        let s = &scales[&residual_radius];
        let (num, den) = (s.num.clone(), s.den.clone());
        let residual = &num - &lambda * &den;
        let seen = (&covered - 1e-6).min(&surrounded(graph, design, finest, &invalid)?);
        let area = grid.area();
        let given = (&lambda * &area).or_nan(&seen);
        let residual = residual.or_nan(&seen);
        let support = (support(&error) * valid).or_zero(&given);
        let outputs = vec![given, residual, support.clone()];

        let log_lambda = |step: &Value| (step * &clock.interval).ln();
        let mut features: Vec<_> =
            steps.iter().enumerate().map(|(i, step)| (format!("log_lambda_{i}"), log_lambda(step))).collect();
        features.push(("log_variance".to_owned(), error.ln()));
        let floors = [rate, power].map(|mean_square| mean_square / (&covered + 1e-6) * NEGLIGIBLE);
        for (radius, s) in &scales {
            features.push((format!("rate_{radius}"), compressed(&s.num, &(&s.num_variance + &floors[0]))));
            features.push((format!("laplacian_{radius}"), compressed(&s.den, &(&s.den_variance + &floors[1]))));
        }
        let refine = Box::new(move |delta: &Value| {
            let lambda = &lambda * delta.exp();
            let residual = (&num - &lambda * &den).or_nan(&seen);
            let outputs = vec![(lambda * &area).or_nan(&seen), residual, support.clone()];
            Ok(Refined { outputs, seen: seen.clone() })
        });
        Ok(Estimate { outputs, features, refine: Some(refine), unit: None })
    }
}

/// The term maps of one radius.
struct Scale {
    num: Value,
    den: Value,
    weight: Value,
    lap_noise: Value,
    num_variance: Value,
    den_variance: Value,
    mean: Kernels,
}

/// Weights that turn a window of frames into two maps, whatever the frames' times.
///
/// `slope` is the least-squares slope, a weighted sum of u that equals the integral of W(t) u_t for one weight
/// function W of time. `average` is the smallest sum of u that equals the integral of W(t) u for every u
/// quadratic in time, so that both sides of an equation are averaged over time alike; it has the moments
/// m_k = sum of slope_i t_i^(k+1) / (k+1).
#[derive(Debug)]
pub(super) struct Clock {
    /// Weights of the slope, shaped to multiply a window.
    pub(super) slope: Value,
    /// Weights of the average, shaped to multiply a window.
    pub(super) average: Value,
    /// Sum of the squared slope weights.
    pub(super) slope_gain: Value,
    /// Sum of the squared average weights.
    pub(super) average_gain: Value,
    /// Typical interval between frames.
    pub(super) interval: Value,
}

impl Clock {
    /// The weights for `window` frames at `time`, as [`Graph::time_input`] gives it.
    pub(super) fn new(time: &Value, window: usize) -> Self {
        let n = window as f64;
        let t = time - time.mean_window();
        let t2 = t.square();
        let s2 = t2.sum_window();
        let s3 = (&t2 * &t).sum_window();
        let s4 = t2.square().sum_window();
        let slope = &t / &s2;
        // Orthogonal polynomials on the frames' times: 1, t, q.
        let (tilt, mean) = (&s3 / &s2, &s2 * (1.0 / n));
        let q = &t2 - &tilt * &t - &mean;
        let first = &tilt * 0.5;
        let second = s4 / (&s2 * 3.0) - &tilt * &first - mean;
        let average = &t * (first / &s2) + &q * (second / q.square().sum_window()) + 1.0 / n;
        Self {
            slope_gain: 1.0 / &s2,
            average_gain: average.square().sum_window(),
            interval: (s2 * (12.0 / (n * (n * n - 1.0)))).sqrt(),
            slope,
            average,
        }
    }
}

/// Smoothing of maps by positive averages that are zero outside the frame: always used on both sides of a ratio.
#[derive(Debug)]
pub(super) struct Averages<'a> {
    graph: &'a Graph,
    design: &'a Design,
    banks: BTreeMap<usize, Bank>,
}

impl<'a> Averages<'a> {
    /// No averages yet; they are made on first use.
    pub(super) fn new(graph: &'a Graph, design: &'a Design) -> Self {
        Self { graph, design, banks: BTreeMap::new() }
    }

    /// The average of `map` with this radius.
    pub(super) fn smooth(&mut self, radius: usize, map: &Value) -> Result<Value, GraphError> {
        self.bank(radius)?.smooth(map)
    }

    /// Taps along y and x.
    pub(super) fn taps(&mut self, radius: usize) -> Result<[Vec<f64>; 2], GraphError> {
        let bank = self.bank(radius)?;
        Ok([bank.kernel(0, 0)?.taps().to_vec(), bank.kernel(1, 0)?.taps().to_vec()])
    }

    fn bank(&mut self, radius: usize) -> Result<&Bank, GraphError> {
        use std::collections::btree_map::Entry;
        match self.banks.entry(radius) {
            Entry::Occupied(bank) => Ok(bank.into_mut()),
            Entry::Vacant(place) => {
                let design = BankDesign::average(Family::Poly(2), self.design.radius(radius), Edge::Zero);
                Ok(place.insert(self.graph.bank(&format!("average{radius}"), design)?))
            }
        }
    }
}

/// A weighted sum of separable kernels, for the noise that passes through it.
#[derive(Clone, Debug)]
pub(super) struct Kernels(Vec<(f64, Vec<f64>, Vec<f64>)>);

impl Kernels {
    /// The interior taps of `terms`: (weight, orders along y and x).
    pub(super) fn new(bank: &Bank, terms: &[(f64, [usize; 2])]) -> Result<Self, GraphError> {
        let taps = |axis: usize, order: usize| bank.kernel(axis, order).map(|k| k.taps().to_vec());
        terms.iter().map(|(w, o)| Ok((*w, taps(0, o[0])?, taps(1, o[1])?))).collect::<Result<_, _>>().map(Self)
    }

    /// d_yy + ratio d_xx.
    pub(super) fn laplacian(bank: &Bank, ratio: f64) -> Result<Self, GraphError> {
        Self::new(bank, &[(1.0, [2, 0]), (ratio, [0, 2])])
    }

    /// (d_yy + ratio d_xx)^2.
    pub(super) fn bilaplacian(bank: &Bank, ratio: f64) -> Result<Self, GraphError> {
        Self::new(bank, &[(1.0, [4, 0]), (2.0 * ratio, [2, 2]), (ratio * ratio, [0, 4])])
    }

    /// Followed by an average with these taps along y and x.
    pub(super) fn averaged(&self, average: &[Vec<f64>; 2]) -> Self {
        Self(self.0.iter().map(|(w, y, x)| (*w, convolve(y, &average[0]), convolve(x, &average[1]))).collect())
    }

    /// Covariance of the two results for white noise of variance 1 in a common input.
    pub(super) fn product(&self, other: &Self) -> f64 {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        self.0.iter().flat_map(|(w, y, x)| other.0.iter().map(move |(v, q, p)| w * v * dot(y, q) * dot(x, p))).sum()
    }
}

fn convolve(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; a.len() + b.len() - 1];
    for (i, a) in a.iter().enumerate() {
        for (j, b) in b.iter().enumerate() {
            out[i + j] += a * b;
        }
    }
    out
}

/// Smallest radius, second smallest (or the only one) and widest average of the stages.
pub(super) fn extent(law: &'static str, stages: &[Stage]) -> Result<(usize, usize, usize), PhysicsError> {
    let mut radii: Vec<usize> = stages.iter().map(|s| s.radius).collect();
    radii.sort_unstable();
    radii.dedup();
    let widest = stages.iter().map(|s| s.average).max();
    match (radii.first(), widest) {
        (Some(finest), Some(widest)) => Ok((*finest, *radii.get(1).unwrap_or(finest), widest)),
        _ => Err(PhysicsError::Design { law, message: "stages: got none, expected at least one".to_owned() }),
    }
}

/// The derivative bank of one radius, for derivatives up to `order`.
///
/// Taps at +-R are zero, so order + 2 moments need R of at least order/2 + 2 samples: along a coarse axis the
/// radius is raised to that.
pub(super) fn bank(
    graph: &Graph,
    design: &Design,
    law: &'static str,
    (family, order): (&str, usize),
    radius: usize,
    edge: Edge,
) -> Result<Bank, PhysicsError> {
    let family = parse_family(law, family)?;
    let radii = design.radius(radius).into_iter().map(|r| r.max(order / 2 + 2)).collect();
    let bank = BankDesign { family, radius: radii, edge, correction: Some(1), edge_average: 1 };
    Ok(graph.bank(&format!("r{radius}"), bank)?)
}

/// The share of a profile's weight, at the radii of `bank`, that falls on `map` (ones and zeros, zero outside the
/// frame).
pub(super) fn cover(
    graph: &Graph,
    law: &'static str,
    family: &str,
    radius: usize,
    bank: &Bank,
    map: &Value,
) -> Result<Value, PhysicsError> {
    let family = parse_family(law, family)?;
    let radii = (0..2).map(|axis| bank.kernel(axis, 0).map(|k| k.radius())).collect::<Result<_, _>>()?;
    let bank = BankDesign::average(family, radii, Edge::Zero);
    Ok(graph.bank(&format!("cover{radius}"), bank)?.smooth(map)?)
}

/// Above zero where most of the smallest kernel stands on measured pixels: inside a hole that is larger than it an
/// estimate would only be carried in from around.
pub(super) fn surrounded(graph: &Graph, design: &Design, radius: usize, invalid: &Value) -> Result<Value, GraphError> {
    let bank = BankDesign::average(Family::Poly(1), design.radius(radius), Edge::Zero);
    Ok(0.5 - graph.bank("hole", bank)?.smooth(invalid)?)
}

fn parse_family(law: &'static str, family: &str) -> Result<Family, PhysicsError> {
    family.parse().map_err(|e| PhysicsError::Design { law, message: format!("family: got {family:?}: {e}") })
}

/// `estimate`, kept above about the part `floor` of the coarser `lambda` without a kink.
pub(super) fn soft_floor(estimate: &Value, lambda: &Value, floor: f64) -> Value {
    let least = lambda * floor;
    (estimate - &least).soft_positive(&(lambda * 0.02)) + least
}

/// How identifiable lambda is, 0..1, from its relative variance.
pub(super) fn support(error: &Value) -> Value {
    (error * (1.0 / HALF_SUPPORT) + 1.0).recip()
}

/// The relative variance with what the noise does not tell.
pub(super) fn with_unresolved(error: &Value) -> Value {
    error + UNRESOLVED
}

/// A term in units of its noise, compressed like a logarithm on both sides, for a learned trunk.
pub(super) fn compressed(term: &Value, variance: &Value) -> Value {
    let z = term / (variance + TINY).sqrt();
    &z / (z.abs() + 1.0).sqrt()
}

#[cfg(test)]
pub(super) mod tests {
    use ndarray::{ArrayD, IxDyn};

    use crate::graph::{BankDesign, Edge, Graph};
    use crate::kernel::Family;
    use crate::model::{BakeOptions, Model, bake};
    use crate::physics::InputRole;

    /// The shipped model of a law, its inputs filled in by role: `field` gives u at (frame, y, x).
    pub(in crate::physics) fn outputs(
        law: &str,
        size: [usize; 2],
        field: impl Fn(f64, f64, f64) -> f64,
        scalar: impl Fn(&str) -> f64,
        time: &[f64],
    ) -> Vec<ArrayD<f64>> {
        let path = format!("models/{law}-closed-form.toml");
        let text = std::fs::read_to_string(&path).expect("the spec is there");
        let bytes = bake(&path, &text, &BakeOptions::default()).expect("the spec bakes");
        let model = Model::from_bytes(law, &bytes).expect("the file reads");
        let window = [1, time.len(), size[0], size[1]];
        let inputs: Vec<ArrayD<f64>> = model
            .contract
            .inputs
            .iter()
            .map(|input| match input.role {
                InputRole::Recording => {
                    ArrayD::from_shape_fn(IxDyn(&window), |i| field(time[i[1]], i[2] as f64, i[3] as f64))
                }
                InputRole::Valid => ArrayD::ones(IxDyn(&window)),
                InputRole::Field => ArrayD::from_elem(IxDyn(&[1, size[0], size[1]]), scalar(&input.name)),
                InputRole::Spacing => ArrayD::from_elem(IxDyn(&[2]), scalar("spacing")),
                InputRole::Time => ArrayD::from_shape_fn(IxDyn(&[1, time.len()]), |i| time[i[1]]),
                _ => ArrayD::from_elem(IxDyn(&[]), scalar(&input.name)),
            })
            .collect();
        model.reference(&inputs, &size).expect("the graph computes")
    }

    #[test]
    fn quadratic_field_gives_its_diffusivity_up_to_the_edge_whatever_the_frame_times() {
        // u = y^2 + x^2 + (4 lambda + m) t in units of half a unit a pixel.
        for time in [[-8.0, -4.0, 0.0, 4.0, 8.0], [-12.0, -4.0, 0.0, 4.0, 8.0]] {
            let out = outputs(
                "heat-transient",
                [34, 31],
                |t, y, x| 0.25 * ((y - 10.0).powi(2) + (x - 20.0).powi(2)) + (4.0 * 1.7 + 0.3) * t,
                |name| match name {
                    "spacing" => 0.5,
                    "m" => 0.3,
                    _ => 0.0,
                },
                &time,
            );
            for v in &out[0] {
                assert!((v / 1.7 - 1.0).abs() < 1e-3, "lambda: got {v}, expected 1.7");
            }
            assert!(out[1].iter().all(|r| r.abs() < 1e-2), "residual");
            assert!(out[2].iter().all(|s| *s > 0.9), "support");
        }
    }

    #[test]
    fn constant_field_has_no_support_and_a_finite_estimate() {
        let out = outputs(
            "heat-transient",
            [34, 31],
            |_, _, _| 3.0,
            |name| f64::from(name == "spacing"),
            &[-2.0, -1.0, 0.0, 1.0, 2.0],
        );
        assert!(out[0].iter().all(|v| v.is_finite() && *v > 0.0));
        assert!(out[2].iter().all(|s| *s < 0.02), "support: got {:?}", out[2].first());
    }

    #[test]
    fn averaged_noise_is_that_of_the_composed_kernel() {
        let graph = Graph::new(2);
        let design = BankDesign {
            family: Family::Poly(4),
            radius: vec![6, 6],
            edge: Edge::Zero,
            correction: Some(1),
            edge_average: 1,
        };
        let bank = graph.bank("b", design).expect("two radii");
        let kernels = super::Kernels::laplacian(&bank, 1.0).expect("taps exist");
        let average = [vec![0.25, 0.5, 0.25], vec![0.25, 0.5, 0.25]];
        let composed = kernels.averaged(&average);
        // Averaging cannot raise the noise, and a single tap leaves it as it is.
        assert!(composed.product(&composed) < kernels.product(&kernels));
        let same = kernels.averaged(&[vec![1.0], vec![1.0]]);
        assert!((same.product(&same) / kernels.product(&kernels) - 1.0).abs() < 1e-12);
    }
}
