//! Reaction-diffusion of chromatin: phi_t = M Lap(phi^3 - phi - kappa Lap phi) + k [lambda (1 - phi) - (1 + phi)].
//!
//! The reaction is 2k (lambda phi_e - phi_h) with phi_e = (1 - phi)/2 and phi_h = (1 + phi)/2. The nonlinearity
//! is taken frame by frame before anything is smoothed (phi^3 - phi - 3 sigma^2 phi, whose expectation under
//! noise is phi^3 - phi), then time, then one run of the bank: all derivatives on the kernel. With
//! `num = phi_t/k + (1 + phi) - (M/k) Lap mu` and `den = 1 - phi`, both smoothed by eta,
//! lambda = G(V num) / G(V den). The weights G do not carry den, as least squares would: den is positive, and its
//! correlation with Lap mu would bias wide averages (measured: relative L2 .049 instead of .062 at width 4 px).
//!
//! One-sided kernels of order four fail at the frame's edge even on clean data, so kernels that leave the frame or
//! touch an invalid pixel are masked by V and the averages reach over them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::heat_transient::{
    Averages, Clock, Kernels, Stage, bank, compressed, cover, extent, soft_floor, support, surrounded, with_unresolved,
};
use super::{
    Description, Design, Estimate, Input, InputRole, Inputs, Kind, Law, Output, PhysicsError, Refined, Transform,
};
use crate::graph::{Edge, Graph, Value};

const NAME: &str = "reaction-diffusion";
/// Frames of a window unless the spec says otherwise.
const WINDOW: usize = 5;
/// The profile whose weight on missing pixels is measured: broad, so that a kernel's outermost samples tell in
/// single precision.
const COVER_FAMILY: &str = "poly1";
/// One over the missing share of that profile at which a kernel no longer counts: a row, or a pixel within 0.8 R.
const COVER: f64 = 400.0;
/// Relative weight of the coarser estimate that remains without any noise.
const ANCHOR: f64 = 1e-6;

/// Reaction-diffusion with conserved phase separation, from a movie of phi.
#[derive(Clone, Copy, Debug)]
pub struct ReactionDiffusion;

/// What the specs of both laws hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    /// Kernel family.
    family: String,
    /// From coarse to fine.
    stages: Vec<Stage>,
    /// Radii beside those of the stages at which the terms are given to a trunk.
    #[serde(default)]
    terms: Vec<usize>,
    /// Relative standard deviation of lambda about 1, the symmetric case, before any estimate.
    #[serde(default = "one")]
    prior: f64,
    /// Relative standard deviation of the change from one stage to the next.
    change: f64,
    /// Smallest part of the coarser estimate that a finer one keeps.
    floor: f64,
    /// Relative standard deviation of Lap mu from a misjudged density of the phases; it counts as noise.
    #[serde(default)]
    pub(super) misjudged: f64,
    /// Radius of the average that gives the estimate of local equilibrium (chromatin only).
    #[serde(default)]
    pub(super) equilibrium: usize,
}

fn one() -> f64 {
    1.0
}

/// Constants of the equation, in the measure of the graph (row distances).
#[derive(Debug)]
pub(super) struct Constants {
    /// kappa / hy^2.
    pub(super) kappa: Value,
    /// M / (k hy^2).
    pub(super) mobility: Value,
    /// k.
    pub(super) rate: Value,
}

impl Constants {
    /// From the inputs `kappa`, `k`, `mobility` and hy^2.
    pub(super) fn new(inputs: &Inputs, area: &Value) -> Self {
        let rate = inputs.get("k");
        Self { kappa: inputs.get("kappa") / area, mobility: inputs.get("mobility") / (&rate * area), rate }
    }
}

/// The maps that enter the ladder.
#[derive(Debug)]
pub(super) struct Terms {
    /// phi averaged over the window.
    pub(super) phi: Value,
    /// phi^3 - phi without the noise's share, averaged alike.
    pub(super) force: Value,
    /// phi_t / k and the noise variance of it; none at steady state.
    pub(super) slope: Option<(Value, Value)>,
    /// Noise variance of `phi`.
    pub(super) variance: Value,
    /// 1 where every frame was measured, else 0.
    pub(super) valid: Value,
}

/// The inputs that both laws share beside the recording.
pub(super) fn constants() -> Vec<Input> {
    let constant = |name, unit, default, description| {
        Input::new(name, InputRole::Constant, &[], unit, Some(default), description).positive()
    };
    vec![
        constant("kappa", "y^2", 2.0, "gradient-energy coefficient; interfaces are about sqrt(kappa) wide"),
        constant("k", "1/t", 0.01, "rate of the reaction from hetero- to euchromatin, halved"),
        constant("mobility", "y^2/t", 1.0, "mobility M of the conserved part"),
    ]
}

/// The outputs of both laws.
pub(super) fn outputs() -> Vec<Output> {
    vec![
        Output::new("lambda", "ratio of reaction rates", "", Transform::Log),
        Output::new("residual", "residual", "1/t", Transform::Identity),
        Output::new("support", "support", "", Transform::Identity),
    ]
}

/// phi^3 - phi as measured under noise of this variance.
pub(super) fn force(phi: &Value, variance: &Value) -> Value {
    phi * (phi.square() - (variance * 3.0 + 1.0))
}

impl Law for ReactionDiffusion {
    fn describe(&self) -> Description {
        let frames = ["batch", "window", "y", "x"];
        let mut inputs = Input::recording(&frames, "the order parameter phi, -1 euchromatin, +1 heterochromatin");
        inputs.push(Input::new(
            "time",
            InputRole::Time,
            &["batch", "window"],
            "t",
            None,
            "times of the frames relative to the map's frame",
        ));
        inputs.push(Input::new("noise", InputRole::Noise, &[], "", None, "standard deviation of the noise in phi"));
        inputs.push(Input::new("offset", InputRole::Offset, &[], "", None, "what was subtracted from phi"));
        inputs.extend(constants());
        Description {
            name: NAME,
            equation: "phi_t = M Lap(phi^3 - phi - kappa Lap phi) + k (lambda (1 - phi) - (1 + phi))",
            kind: Kind::Fields,
            window: WINDOW,
            inputs,
            outputs: outputs(),
        }
    }

    fn build(&self, graph: &Graph, inputs: &Inputs, design: &Design) -> Result<Estimate, PhysicsError> {
        let table: Table = design.parse(NAME)?;
        let constants = Constants::new(inputs, &design.grid(&inputs.get("spacing")).area());
        let clock = Clock::new(&inputs.get("time"), design.window);
        let variance = inputs.get("noise").square();
        let phi = inputs.get("u") + inputs.get("offset");
        let terms = Terms {
            force: (force(&phi, &variance) * &clock.average).sum_window().named("force"),
            slope: Some((
                ((&phi * &clock.slope).sum_window() / &constants.rate).named("slope"),
                &variance * &clock.slope_gain / constants.rate.square(),
            )),
            variance: &variance * &clock.average_gain,
            phi: (phi * &clock.average).sum_window().named("phi"),
            valid: inputs.get("valid").min_window(),
        };
        ladder(NAME, graph, design, inputs, &table, &constants, &terms, None)
    }
}

/// The estimate from coarse to fine; `start` is the coarsest, 1 with the spread `prior` if there is none.
#[expect(clippy::too_many_arguments, reason = "the setting of a law, handed on as it came")]
pub(super) fn ladder(
    law: &'static str,
    graph: &Graph,
    design: &Design,
    inputs: &Inputs,
    table: &Table,
    constants: &Constants,
    terms: &Terms,
    start: Option<&Value>,
) -> Result<Estimate, PhysicsError> {
    let grid = design.grid(&inputs.get("spacing"));
    let (ratio, nominal) = (grid.ratio(), grid.nominal_ratio());
    let (finest, _, widest) = extent(law, &table.stages)?;
    let mut scales = BTreeMap::new();
    for radius in table.stages.iter().map(|s| &s.radius).chain(&table.terms) {
        if scales.contains_key(radius) {
            continue;
        }
        let bank = bank(graph, design, law, (&table.family, 4), *radius, Edge::Zero)?;
        let force = bank.apply(&terms.force, &[&[2, 0], &[0, 2]])?;
        let phi = bank.apply(&terms.phi, &[&[0, 0], &[4, 0], &[2, 2], &[0, 4]])?;
        let bilaplacian = &phi[1] + &ratio * (&phi[2] * 2.0 + &ratio * &phi[3]);
        let diffusion = (&force[0] + &ratio * &force[1] - &constants.kappa * bilaplacian) * &constants.mobility;
        let mut num = &phi[0] + 1.0 - &diffusion;
        if let Some((slope, _)) = &terms.slope {
            num = num + bank.smooth(slope)?;
        }
        let covered = cover(graph, law, COVER_FAMILY, *radius, &bank, &terms.valid)?;
        let weight = (1.05 - (1.0 - covered) * COVER).clamp(0.0, 1.0) * bank.present();
        let kernels = [
            Kernels::new(&bank, &[(1.0, [0, 0])])?,
            Kernels::laplacian(&bank, nominal)?,
            Kernels::bilaplacian(&bank, nominal)?,
        ];
        let stiffness = (phi[0].square() * 3.0 - 1.0).min(&graph.scalar(2.0));
        scales.insert(*radius, Scale { num, den: 1.0 - &phi[0], diffusion, stiffness, weight, kernels });
    }

    let mut averages = Averages::new(graph, design);
    let mut lambda = start.cloned().unwrap_or_else(|| graph.scalar(1.0));
    let mut error = graph.scalar(if start.is_some() { 0.04 } else { 9.0 });
    let mut seen = None;
    let mut features = Vec::new();
    for (i, stage) in table.stages.iter().enumerate() {
        let s = &scales[&stage.radius];
        let covered = averages.smooth(stage.average, &s.weight)?;
        let num = averages.smooth(stage.average, &(&s.weight * &s.num))?;
        let den = averages.smooth(stage.average, &(&s.weight * &s.den))?;
        let taps = averages.taps(stage.average)?;
        let mut noise = s.noise(terms, constants, &s.kernels.each_ref().map(|k| k.averaged(&taps))) * &covered;
        if table.misjudged > 0.0 {
            let wrong = averages.smooth(stage.average, &(&s.weight * &s.diffusion))? * table.misjudged;
            noise = noise + wrong.square();
        }
        let change = if i == 0 && start.is_none() { table.prior } else { table.change };
        let noise = noise / lambda.square();
        let pull = &noise * change.powi(-2) + ANCHOR;
        let square = den.square();
        let total = &square + &pull;
        let estimate = (num * den + &pull * &lambda) / &total;
        lambda = soft_floor(&estimate, &lambda, table.floor);
        let share = square / &total;
        error = &share * noise / &total + (1.0 - share).square() * (error + change.powi(2));
        features.push((format!("log_lambda_{i}"), lambda.ln()));
        if stage.average == widest && seen.is_none() {
            seen = Some(covered - 1e-6);
        }
    }
    let error = with_unresolved(&error);
    features.push(("log_variance".to_owned(), error.ln()));
    for (radius, s) in &scales {
        features.push((format!("phi_{radius}"), 1.0 - &s.den));
        let one = graph.scalar(1.0);
        features.push((format!("reaction_{radius}"), compressed(&s.num, &one) * &s.weight));
        if table.terms.contains(radius) {
            let noise = s.noise(terms, constants, &s.kernels) + 1e-6;
            features.push((format!("log_noise_{radius}"), noise.ln().clamp(-12.0, 12.0) * &s.weight));
        }
    }
    let Some(last) = table.stages.last().map(|s| &scales[&s.radius]) else { unreachable!("extent saw a stage") };
    let (num, den, rate, weight) = (last.num.clone(), last.den.clone(), constants.rate.clone(), last.weight.clone());
    let residual_of = move |lambda: &Value| ((&num - lambda * &den) * &rate).or_nan(&weight);
    let residual = residual_of(&lambda);
    let closed = lambda.clone();
    let measured = surrounded(graph, design, finest, &(1.0 - &terms.valid))?;
    let seen = match (start, seen) {
        (None, Some(seen)) => seen.min(&measured),
        _ => measured,
    };
    let lambda = lambda.or_nan(&seen);
    let support = (support(&error) * &terms.valid).or_zero(&lambda);
    let same = support.clone();
    let refine = Box::new(move |delta: &Value| {
        let lambda = &closed * delta.exp();
        let outputs = vec![lambda.or_nan(&seen), residual_of(&lambda), same.clone()];
        Ok(Refined { outputs, seen: seen.clone() })
    });
    Ok(Estimate { outputs: vec![lambda, residual, support], features, refine: Some(refine), unit: None })
}

/// The term maps of one radius.
struct Scale {
    num: Value,
    den: Value,
    diffusion: Value,
    stiffness: Value,
    weight: Value,
    kernels: [Kernels; 3],
}

impl Scale {
    /// Noise variance of `num` under these kernels: a mean, a Laplacian, a bilaplacian.
    fn noise(&self, terms: &Terms, constants: &Constants, [mean, lap, bilap]: &[Kernels; 3]) -> Value {
        // That of (M/k) (kappa Lap^2 - (3 phi^2 - 1) Lap) phi and of the slope.
        let mixed = &constants.kappa
            * (&constants.kappa * bilap.product(bilap) - &self.stiffness * (2.0 * bilap.product(lap)))
            + self.stiffness.square() * lap.product(lap);
        let noise = &terms.variance * constants.mobility.square() * mixed;
        match &terms.slope {
            Some((_, variance)) => noise + variance * mean.product(mean),
            None => noise,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::heat_transient::tests::outputs;

    #[test]
    fn uniform_relaxation_gives_the_ratio_of_rates() {
        let (lambda, phi, k) = (1.6_f64, -0.2, 0.01);
        let slope = k * (lambda * (1.0 - phi) - (1.0 + phi));
        let out = outputs(
            "reaction-diffusion",
            [30, 33],
            |t, _, _| phi - 0.1 + slope * t,
            |name| match name {
                "k" => k,
                "offset" => 0.1,
                "noise" => 0.0,
                "kappa" => 2.0,
                _ => 1.0,
            },
            &[-4.0, -2.0, 0.0, 2.0, 4.0],
        );
        for v in &out[0] {
            assert!((v / lambda - 1.0).abs() < 1e-3, "lambda: got {v}, expected {lambda}");
        }
        let reached = out[1].iter().filter(|r| r.is_finite()).count();
        assert!(reached > 100, "residual within the frame");
        assert!(out[1].iter().filter(|r| r.is_finite()).all(|r| r.abs() < 1e-4 * k * 100.0), "residual");
    }
}
