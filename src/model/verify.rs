//! Holding a backend's outputs against the double precision reference.

use ndarray::{Array, ArrayD, Dimension, IxDyn};

use super::{InputRole, Kind, Model, ModelError, Output};

/// A made-up but plausible set of inputs for a model, the same on every machine, and the reference outputs.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the case shows.
    pub name: &'static str,
    /// Tensor size along each tiled axis.
    pub size: Vec<usize>,
    /// Inputs in the contract's order, in the precision that backends take.
    pub inputs: Vec<ArrayD<f32>>,
    /// Outputs in the contract's order.
    pub expected: Vec<ArrayD<f64>>,
}

/// How far one output of a backend is from the reference.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// The output.
    pub output: String,
    /// Largest |a - b| / max(|b|, median |b|); infinite where one is NaN and the other is not.
    pub worst: f64,
    /// Values compared.
    pub values: usize,
}

/// The bound of [`Agreement::worst`] between backends, SIMD levels and processors.
pub const AGREEMENT_BOUND: f64 = 1e-4;

impl Model {
    /// The cases of `mollifier verify`: all radii in place, a hole of invalid values, and every size at which
    /// one more bank has to be left out, down to the smallest.
    ///
    /// # Errors
    /// A graph that the reference cannot compute.
    pub fn cases(&self) -> Result<Vec<Case>, ModelError> {
        let full: Vec<usize> = self.contract.min_size.iter().map(|n| n + 7).map(|n| n.max(64)).collect();
        let mut cases =
            vec![self.case("every radius", &full, false)?, self.case("a hole of invalid values", &full, true)?];
        // One size below what each bank needs: from the largest kernels to the smallest that still fit something.
        let mut needed: Vec<Vec<usize>> = self.contract.banks.iter().map(crate::graph::BankRecord::min_size).collect();
        needed.sort();
        needed.dedup();
        for size in needed.iter().rev() {
            let small: Vec<usize> = size.iter().map(|n| n.saturating_sub(1)).collect();
            if self.restricted(&small).is_some_and(|(_, dropped)| !dropped.is_empty()) {
                cases.push(self.case("too small for some radii", &small, false)?);
            }
        }
        cases.push(self.case("the smallest size", &self.smallest(), false)?);
        Ok(cases)
    }

    pub(super) fn case(&self, name: &'static str, size: &[usize], hole: bool) -> Result<Case, ModelError> {
        let inputs = self.made_up_inputs(size, hole);
        let wide: Vec<ArrayD<f64>> = inputs.iter().map(|a| a.mapv(f64::from)).collect();
        let expected = self.reference(&wide, size)?;
        Ok(Case { name, size: size.to_vec(), inputs, expected })
    }

    /// Smooth made-up inputs with a little noise for a tensor of `size`; also what `bench` runs on.
    #[must_use]
    pub fn made_up_inputs(&self, size: &[usize], hole: bool) -> Vec<ArrayD<f32>> {
        let window = self.contract.window;
        let series = self.contract.kind == Kind::Series;
        let spatial = |lead: &[usize]| IxDyn(&lead.iter().chain(size).copied().collect::<Vec<_>>());
        let recording = if series { spatial(&[1]) } else { spatial(&[1, window]) };
        let mut noise = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move || {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            (noise >> 40) as f64 / f64::from(1 << 24) - 0.5
        };
        let scale = size.iter().copied().max().unwrap_or(1) as f64;
        let wave = move |at: &[usize]| {
            at.iter()
                .enumerate()
                .map(|(d, i)| (*i as f64 / scale * (7.0 + 2.0 * d as f64) + d as f64).sin())
                .sum::<f64>()
        };
        self.contract
            .inputs
            .iter()
            .map(|input| match input.role {
                InputRole::Recording => Array::from_shape_fn(recording.clone(), |i| {
                    let at: Vec<usize> = (0..i.ndim()).map(|d| i[d]).collect();
                    let (frame, place) = if series { (0, &at[1..]) } else { (at[1], &at[2..]) };
                    let aged = (-0.05 * frame as f64).exp();
                    (0.3 * aged * wave(place) + 0.004 * random()) as f32
                }),
                InputRole::Valid => Array::from_shape_fn(recording.clone(), |i| {
                    let lead = usize::from(!series) + 1;
                    let inside = (lead..i.ndim()).all(|d| (i[d] + 3) / 5 == size[d - lead] / 10);
                    if hole && inside { 0.0 } else { 1.0 }
                }),
                InputRole::Field => Array::from_shape_fn(spatial(&[1]), |i| {
                    let at: Vec<usize> = (1..i.ndim()).map(|d| i[d]).collect();
                    (0.01 * (1.0 + 0.2 * wave(&at))) as f32
                }),
                InputRole::Noise if series => Array::from_elem(spatial(&[1]), 0.0012),
                InputRole::Noise => scalar(0.0012),
                InputRole::Constant => scalar(input.default.unwrap_or(1.0)),
                InputRole::Offset => scalar(0.0),
                InputRole::PhiLow => scalar(-0.7),
                InputRole::PhiHigh => scalar(0.7),
                InputRole::Spacing => {
                    let values = self.contract.grid.iter().filter(|a| series || a.name != "t").map(|a| a.aspect as f32);
                    Array::from_iter(values).into_dyn()
                }
                InputRole::Time => {
                    let middle = (window / 2) as f64;
                    Array::from_shape_fn(IxDyn(&[1, window]), |i| (i[1] as f64 - middle) as f32)
                }
            })
            .collect()
    }
}

fn scalar(value: f64) -> ArrayD<f32> {
    ArrayD::from_elem(IxDyn(&[]), value as f32)
}

/// Compare a backend's outputs with those of the reference.
///
/// A residual in the unit of lambda is a small difference of terms of lambda's size: it is held against that size.
#[must_use]
pub fn agreement(outputs: &[Output], got: &[ArrayD<f32>], expected: &[ArrayD<f64>]) -> Vec<Agreement> {
    let lambda = outputs.iter().zip(expected).find(|(o, _)| o.name == "lambda");
    outputs
        .iter()
        .zip(got.iter().zip(expected))
        .map(|(output, (got, expected))| {
            let terms = lambda.filter(|(l, _)| !l.unit.is_empty() && l.unit == output.unit);
            let size = median(expected).max(terms.map_or(0.0, |(_, values)| median(values)));
            let worst = got
                .iter()
                .zip(expected)
                .map(|(a, b)| match (f64::from(*a), *b) {
                    (a, b) if a.is_nan() && b.is_nan() => 0.0,
                    (a, b) if a.is_nan() || b.is_nan() => f64::INFINITY,
                    (a, b) if a == b => 0.0,
                    (a, b) => (a - b).abs() / b.abs().max(size),
                })
                .fold(0.0, f64::max);
            Agreement { output: output.name.clone(), worst, values: got.len() }
        })
        .collect()
}

fn median(values: &ArrayD<f64>) -> f64 {
    let mut sizes: Vec<f64> = values.iter().map(|v| v.abs()).filter(|v| v.is_finite()).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.get(sizes.len() / 2).copied().unwrap_or(0.0)
}
