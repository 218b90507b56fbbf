//! What missing values do to kernels of several widths.
//!
//! A missing value is filled from its neighbours before any operator sees it. What that does to a derivative falls with
//! the kernel's width: a kernel of order k takes in an error at one sample by its weight there, over R^k. So a wide
//! kernel may stand on filled values that would spoil a narrow one. In the depth of a hole, which no neighbour is near
//! enough to fill, stands the frame's mean or the last value: far more wrong, and tolerated less.

use super::Design;
use crate::graph::{Bank, BankDesign, Edge, Graph, GraphError, Value};
use crate::kernel::Family;

/// Radius of the neighbourhood that tells the depth of a hole from its rim, in samples: twice as far as values are
/// filled from.
const NEIGHBOURHOOD: usize = 6;
/// Missing share of the neighbourhood from which on, and range over which, a sample lies in the depth: at the straight
/// border of a large hole the share is one half.
const DEPTH: (f64, f64) = (0.5, 0.3);

/// Kernel weights on missing samples at which a width is given up.
#[derive(Clone, Copy)]
pub(super) struct Tolerance {
    /// On filled samples, for the narrowest kernel.
    pub(super) filled: f64,
    /// Power of the width, over the narrowest one's, by which that grows.
    pub(super) growth: f64,
    /// On the depth of holes, for every width.
    pub(super) deep: f64,
}

/// Missing samples, and how deep in a hole they lie.
pub(super) struct Holes<'a> {
    graph: &'a Graph,
    design: &'a Design,
    family: Family,
    tolerance: Tolerance,
    /// Radius of the narrowest kernel.
    narrowest: usize,
    missing: Value,
    deep: Value,
}

impl<'a> Holes<'a> {
    /// From `valid`, a map that is 1 where a value was measured and 0 elsewhere.
    ///
    /// `family` is that of the averages which weigh what is missing, `narrowest` the radius of the narrowest kernel.
    pub(super) fn new(
        graph: &'a Graph,
        design: &'a Design,
        valid: &Value,
        family: Family,
        narrowest: usize,
        tolerance: Tolerance,
    ) -> Result<Self, GraphError> {
        let missing = 1.0 - valid;
        let around =
            graph.bank("hole", BankDesign::average(Family::Poly(1), design.radius(NEIGHBOURHOOD), Edge::Zero))?;
        // Of the neighbourhood within the frame: beyond its border nothing is missing.
        let (lost, kept) = (around.smooth(&missing)?, around.smooth(valid)?);
        let deep = ((&lost / (&lost + kept) - DEPTH.0) * DEPTH.1.recip()).clamp(0.0, 1.0);
        Ok(Self { graph, design, family, tolerance, narrowest, missing, deep })
    }

    /// 1 where the kernels of `bank`, of this radius, stand on measured samples, falling as a Gaussian of their weight
    /// on missing ones.
    ///
    /// One-sided kernels at the border extrapolate: they take in an error by more than their width tells, as the noise
    /// gain of `terms` shows.
    pub(super) fn coverage(&self, bank: &Bank, radius: usize, terms: &[(f64, &[usize])]) -> Result<Value, GraphError> {
        let Tolerance { filled, growth, deep } = self.tolerance;
        let wider = radius as f64 / self.narrowest as f64;
        let harm = &self.missing * (filled * wider.powf(growth)).recip() + &self.deep * deep.recip();
        let design = BankDesign::average(self.family, self.design.radius(radius), Edge::OneSided);
        let harm = self.graph.bank(&format!("cover{radius}"), design)?.smooth(&harm)?;
        let edge = (bank.gain(terms)? / bank.interior_gain(terms)?).sqrt();
        Ok((-(harm * edge).square()).exp() * bank.present())
    }
}
