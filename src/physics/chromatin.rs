//! Chromatin: the reaction-diffusion model at steady state, from one density image.
//!
//! `0 = M Lap mu + k [lambda (1 - phi) - (1 + phi)]`, mu = phi^3 - phi - kappa Lap phi. Choices made here:
//!
//! - **phi from density.** phi = 2 (rho - phi_low)/(phi_high - phi_low) - 1, where `phi_low` and `phi_high` are the
//!   densities of the two pure phases in the map's own unit. They are inputs: the runtime takes them from the
//!   whole map (percentiles) unless the user gives them.
//! - **Noise.** A map of counts has Poisson noise; `noise` is its standard deviation at the mean density, one
//!   number for the map.
//! - **Constants.** kappa (length^2), k (1/time), M (length^2/time); only kappa and M/k enter. Without units they
//!   are 2, 0.01 and 1, which makes the phases' bands about 12 px wide: choose the pixel size so that kappa is
//!   about 2 px^2.
//! - **Local equilibrium first.** Over an average wider than the phases' bands Lap mu vanishes, and
//!   `lambda = (1 + <phi>)/(1 - <phi>)`, the wide-kernel limit of the weak form. Lap mu is a hundred times (M/k)
//!   larger than the reaction and wrong by as much as the phases' densities are misjudged, so the estimate starts
//!   from local equilibrium and finer stages add Lap mu only as far as it exceeds its noise and `misjudged` times
//!   itself.

use super::heat_transient::Averages;
use super::reaction_diffusion::{Constants, Table, Terms, constants, force, ladder, outputs};
use super::{Description, Design, Estimate, Input, InputRole, Inputs, Kind, Law, PhysicsError};
use crate::graph::Graph;

const NAME: &str = "chromatin";
/// Smallest share of a phase at local equilibrium, doubled.
const FLOOR: f64 = 0.01;

/// Steady reaction-diffusion from one density map.
#[derive(Clone, Copy, Debug)]
pub struct Chromatin;

impl Law for Chromatin {
    fn describe(&self) -> Description {
        let frames = ["batch", "window", "y", "x"];
        let mut inputs = Input::recording(&frames, "the density map");
        inputs.push(Input::new("noise", InputRole::Noise, &[], "", None, "standard deviation of the noise in u"));
        inputs.push(Input::new("offset", InputRole::Offset, &[], "", None, "what was subtracted from u"));
        inputs.push(Input::new("phi_low", InputRole::PhiLow, &[], "", None, "density of pure euchromatin"));
        inputs.push(Input::new("phi_high", InputRole::PhiHigh, &[], "", None, "density of pure heterochromatin"));
        inputs.extend(constants());
        Description {
            name: NAME,
            equation: "0 = M Lap(phi^3 - phi - kappa Lap phi) + k (lambda (1 - phi) - (1 + phi))",
            kind: Kind::Localisations,
            window: 1,
            inputs,
            outputs: outputs(),
        }
    }

    fn build(&self, graph: &Graph, inputs: &Inputs, design: &Design) -> Result<Estimate, PhysicsError> {
        let table: Table = design.parse(NAME)?;
        let constants = Constants::new(inputs, &design.grid(&inputs.get("spacing")).area());
        let (low, high) = (inputs.get("phi_low"), inputs.get("phi_high"));
        let scale = 2.0 / (high - &low);
        let phi = ((inputs.get("u") + (inputs.get("offset") - low)) * &scale - 1.0).named("phi");
        let variance = (inputs.get("noise") * scale).square();
        let valid = inputs.get("valid").min_window();
        let mut averages = Averages::new(graph, design);
        let covered = averages.smooth(table.equilibrium.max(1), &valid)?;
        let mean = averages.smooth(table.equilibrium.max(1), &(&phi * &valid))? / (&covered + 1e-6);
        // An average beyond a pure phase, from noise or from misjudged densities, tells a bound of lambda only.
        let soft = graph.scalar(0.05);
        let limited = mean.clamp(-1.0, 1.0);
        let equilibrium =
            ((&limited + 1.0).soft_positive(&soft) + FLOOR) / ((1.0 - &limited).soft_positive(&soft) + FLOOR);
        let beyond = (mean - limited) * 4.0;
        let terms = Terms { force: force(&phi, &variance).named("force"), slope: None, variance, valid, phi };
        let mut estimate = ladder(NAME, graph, design, inputs, &table, &constants, &terms, Some(&equilibrium))?;
        estimate.outputs[0] = estimate.outputs[0].or_nan(&(covered - 1e-6));
        estimate.outputs[2] = (&estimate.outputs[2] / (beyond.square() + 1.0)).or_zero(&estimate.outputs[0]);
        Ok(estimate)
    }
}

#[cfg(test)]
mod tests {
    use super::super::heat_transient::tests::outputs;

    #[test]
    fn uniform_density_gives_local_equilibrium() {
        // Density 40 between 10 and 110: phi = -0.4, lambda = 0.6 / 1.4.
        let out = outputs(
            "chromatin",
            [30, 26],
            |_, _, _| 40.0 - 7.0,
            |name| match name {
                "offset" => 7.0,
                "noise" => 0.0,
                "phi_low" => 10.0,
                "phi_high" => 110.0,
                "kappa" => 2.0,
                "k" => 0.01,
                _ => 1.0,
            },
            &[0.0],
        );
        for v in &out[0] {
            assert!((v / (0.6 / 1.4) - 1.0).abs() < 1e-2, "lambda: got {v}, expected {}", 0.6 / 1.4);
        }
    }
}
