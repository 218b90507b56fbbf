//! Several kernel widths into one estimate, without ever choosing one.
//!
//! A wide kernel has little noise and much bias, a narrow one the reverse. Going from the widest to the
//! narrowest, the difference of neighbouring widths (a detail) is taken in as far as it stands out of its
//! exactly known noise: with t = detail^2 / variance, averaged over a neighbourhood, `theta = <t> - EXCESS` is
//! the ratio of the detail's energy to that of its noise, and the Wiener weight `theta / (1 + theta)` of the
//! narrower side is the continuous form of Lepski's rule (compare Belomestny and Spokoiny, "Spatial aggregation
//! of local likelihood estimates", 2007). Pooling the ratio, not the energy, lets the weight follow at the edges,
//! where one-sided kernels raise bias and noise together.
//!
//! The weights are continuous in the data and each estimate is a convex combination of the widths', so a change
//! of rounding size in the input cannot make the result jump.

use crate::graph::{Bank, Graph, GraphError, Value};

/// Estimate of one kernel width.
pub(super) struct Scale {
    pub(super) estimate: Value,
    /// Standard error of the estimate.
    pub(super) error: Value,
    /// 1 where the kernel stands on measured samples only, towards 0 where it does not.
    pub(super) coverage: Value,
}

/// Difference of neighbouring widths.
pub(super) struct Detail {
    /// Noise variance of the difference of the estimates.
    pub(super) variance: Value,
    /// Largest plausible energy of the noise-free difference, where something is known of it.
    pub(super) limit: Option<Value>,
}

/// What the widths agree on.
pub(super) struct Aggregate {
    pub(super) estimate: Value,
    /// Standard error, an upper bound: noise of different widths is taken as fully correlated.
    pub(super) error: Value,
    /// 1 where at least one width is covered.
    pub(super) coverage: Value,
    /// Weight of the narrower side at each step, narrowest first.
    pub(super) weights: Vec<Value>,
}

/// Keeps divisions defined where everything is zero; far below any variance in single precision.
const TINY: f64 = 1e-30;
/// Coverage below which a width counts as absent, in the weight between two absent ones.
const ABSENT: f64 = 1e-6;
/// One outlier may not outvote a whole neighbourhood by more than this signal-to-noise ratio.
const LARGEST_RATIO: f64 = 1e6;

/// The variance, for white noise of variance 1, of the difference of two widths' results.
pub(super) fn difference_gain(narrow: &Bank, wide: &Bank, terms: &[(f64, &[usize])]) -> Result<Value, GraphError> {
    let (own, other) = (narrow.gain(terms)?, wide.gain(terms)?);
    Ok(own + other - narrow.covariance(terms, wide, terms)? * 2.0)
}

/// Combine `scales`, narrowest first; `details[k]` lies between widths k and k + 1.
///
/// `average` pools over the neighbourhood; `excess` is subtracted from the pooled ratio, whose mean is 1 for
/// pure noise.
pub(super) fn aggregate(
    graph: &Graph,
    average: &Bank,
    scales: &[Scale],
    details: &[Detail],
    excess: f64,
) -> Result<Aggregate, GraphError> {
    let zero = graph.scalar(0.0);
    let Some(first) = scales.first() else {
        return Ok(Aggregate {
            estimate: graph.scalar(0.0),
            error: graph.scalar(0.0),
            coverage: graph.scalar(0.0),
            weights: Vec::new(),
        });
    };
    let mut estimate = first.estimate.clone();
    let mut error = first.error.clone();
    let mut covered = first.coverage.clone();
    let mut weights = Vec::with_capacity(details.len());
    for (pair, detail) in scales.windows(2).zip(details) {
        let [narrow, wide] = pair else { continue };
        let variance = detail.variance.clamp(TINY, 1.0 / TINY);
        let difference = &narrow.estimate - &wide.estimate;
        let ratio = (difference.square() / &variance).min(&graph.scalar(LARGEST_RATIO));
        let both = &narrow.coverage * &wide.coverage;
        let theta = (average.smooth(&(&both * (ratio - excess)))? / (average.smooth(&both)? + 1e-6)).max(&zero);
        // theta / (1 + theta), its energy theta * variance limited harmonically.
        let weight = match &detail.limit {
            Some(limit) => &theta / (&theta * (&variance / (limit + TINY)) + &theta + 1.0),
            None => &theta / (&theta + 1.0),
        };
        let kept = &covered * (1.0 - (1.0 - &weight) * &wide.coverage);
        let replaced = &wide.coverage * (1.0 - &weight * &covered);
        // Where neither side is covered the narrower one stands.
        let weight = (&kept + ABSENT) / (&kept + &replaced + ABSENT);
        estimate = mix(&weight, &estimate, &wide.estimate);
        error = mix(&weight, &error, &wide.error);
        covered = &covered + &wide.coverage * (1.0 - &covered);
        weights.push(weight);
    }
    Ok(Aggregate { estimate, error, coverage: covered, weights })
}

/// `weight * narrow + (1 - weight) * wide`.
fn mix(weight: &Value, narrow: &Value, wide: &Value) -> Value {
    weight * narrow + (1.0 - weight) * wide
}

impl Aggregate {
    /// Combine other maps of the same widths with the weights found, narrowest first.
    pub(super) fn combine(&self, maps: &[Value]) -> Option<Value> {
        let (first, rest) = maps.split_first()?;
        Some(rest.iter().zip(&self.weights).fold(first.clone(), |sum, (wide, weight)| mix(weight, &sum, wide)))
    }
}

/// Root mean square of `map` over the neighbourhood of `average`, edges and uncovered samples left out.
///
/// A point-by-point residual is the difference of nearly equal numbers: noise, and rounding that no two machines
/// share. Its local size is what says how well the equation holds.
pub(super) fn local_size(average: &Bank, map: &Value, covered: &Value) -> Result<Value, GraphError> {
    Ok((average.smooth(&(map.square() * covered))? / (average.smooth(covered)? + TINY)).sqrt())
}
