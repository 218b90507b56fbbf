//! Engines that compute a model: one trait to prepare a plan for a fixed tile shape, one to run it.

#[cfg(all(test, feature = "engine"))]
mod conformance;
#[cfg(feature = "engine")]
mod engine;
mod flow;
#[cfg(not(feature = "engine"))]
mod lean;
#[cfg(feature = "ort")]
mod ort;
mod rest;
mod spans;
mod tract;

#[cfg(feature = "ort")]
pub use ort::{Ort, Provider};
pub use spans::{Span, split_axis};
#[cfg(feature = "engine")]
pub use tract::PlainTract;
pub use tract::Tract;

use ndarray::{ArrayViewD, ArrayViewMutD};

use crate::model::{Contract, Fit, Input, InputRole, Kind, Model};

/// An engine that can compute inverse models.
pub trait Backend: Send + Sync {
    /// Name as the command line and `run.json` give it: `tract`, `ort`, ...
    fn name(&self) -> &'static str;

    /// How frames are cut for a model of it.
    fn tiling(&self, _model: &Model) -> Tiling {
        Tiling { largest: [512, 512], align: [1, 1], more: [0, 0] }
    }

    /// Bind `model` to one tile shape, (y, x) for fields or (sample,) for series.
    ///
    /// Radii that do not fit the shape are left out; [`Plan::dropped`] names them.
    ///
    /// # Errors
    /// An operator the engine lacks, or a shape too small for even the smallest radius.
    fn prepare(&self, model: &Model, tile: &[usize]) -> Result<Box<dyn Plan>, BackendError>;

    /// As [`prepare`](Self::prepare), for a caller that has the maps' rows at hand rather than the maps: the plan may
    /// ask for them as it needs them ([`Plan::by_rows`]), so that no copy of a tile's inputs is made.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    fn prepare_by_rows(&self, model: &Model, tile: &[usize]) -> Result<Box<dyn Plan>, BackendError> {
        self.prepare(model, tile)
    }

    /// Bind the function of a fit to `points` coordinates at a time: input (point, axis), outputs (point) each, in
    /// [`Fit::OUTPUTS`]' order.
    ///
    /// # Errors
    /// An operator the engine lacks.
    fn prepare_fit(&self, fit: &Fit, points: usize) -> Result<Box<dyn Plan>, BackendError>;
}

/// What an engine asks of tiles beyond the contract, along (y, x).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// The largest tile that is worth while: what lies between an engine's operators should stay in the cache, and within
    /// memory.
    pub largest: [usize; 2],
    /// Origins are multiples of this.
    pub align: [usize; 2],
    /// Pixels around a tile beyond the halo without which its last bits would depend on the cut.
    pub more: [usize; 2],
}

impl Tiling {
    /// Pixels around a tile that are computed and dropped, along (y, x): the contract's halo and what is asked beyond it.
    #[must_use]
    pub fn halo(&self, contract: &Contract) -> [usize; 2] {
        [0, 1].map(|a| contract.halo.get(a).copied().unwrap_or(0) + self.more[a])
    }

    /// What tiles begin at multiples of, along (y, x): the least multiple of both.
    #[must_use]
    pub fn alignment(&self, contract: &Contract) -> [usize; 2] {
        [0, 1].map(|a| {
            let (own, model) = (self.align[a].max(1), contract.alignment.get(a).copied().unwrap_or(1).max(1));
            (1..=own).map(|k| k * model).find(|n| n.is_multiple_of(own)).unwrap_or(own * model)
        })
    }
}

/// Gives rows of a plan's inputs: (input, plane, [row, first column], where its values go). A plane is a frame of the
/// window.
pub type Rows<'a> = &'a dyn Fn(usize, usize, [usize; 2], &mut [f32]);

/// A model or fit bound to a backend and a shape. One thread runs it at a time; a worker has its own.
pub trait Plan: Send {
    /// Names of the banks left out because the tile is too small for them.
    fn dropped(&self) -> &[String];

    /// Compute one tile.
    ///
    /// `inputs` and `outputs` follow the graph's order. Those of a model have the shapes of the contract's axes with
    /// the batch 1 and the bound tile: `u` (1, window, y, x) or (1, sample), scalars (), outputs (1, y, x) or
    /// (1, sample).
    ///
    /// # Errors
    /// A shape that is not the bound one, or a failure inside the engine.
    fn run(
        &mut self,
        inputs: &[ArrayViewD<'_, f32>],
        outputs: &mut [ArrayViewMutD<'_, f32>],
    ) -> Result<(), BackendError>;

    /// Pixels computed for each one of the tile: more than one where it is computed in parts that overlap.
    fn computed(&self) -> f64 {
        1.0
    }

    /// The inputs, by number, of which [`run_by_rows`](Self::run_by_rows) asks for rows; none for most engines.
    fn by_rows(&self) -> &[usize] {
        &[]
    }

    /// As [`run`](Self::run), but for the inputs of [`by_rows`](Self::by_rows): whatever stands in their place in
    /// `inputs` is not looked at, and `rows` is asked for their rows, from top to bottom, whole or strip by strip.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn run_by_rows(
        &mut self,
        inputs: &[ArrayViewD<'_, f32>],
        rows: Rows<'_>,
        outputs: &mut [ArrayViewMutD<'_, f32>],
    ) -> Result<(), BackendError> {
        let _ = rows;
        self.run(inputs, outputs)
    }
}

/// A model that an engine could not prepare or run: what, where, got, expected.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// An engine that is not on this machine.
    #[error("backend {backend}: {message}")]
    Absent {
        /// The engine.
        backend: &'static str,
        /// What was looked for, and how to come by it.
        message: String,
    },
    /// The tile is smaller than the smallest kernel.
    #[error("{what}: got an input of {got:?} samples, expected at least {expected:?} for its smallest kernel")]
    TooSmall {
        /// The model.
        what: String,
        /// The shape asked for.
        got: Vec<usize>,
        /// The smallest shape that works.
        expected: Vec<usize>,
    },
    /// An input or output whose shape is not the bound one.
    #[error("{what}: got shape {got:?}, expected {expected:?}")]
    Shape {
        /// The tensor.
        what: String,
        /// The shape given.
        got: Vec<usize>,
        /// The bound shape.
        expected: Vec<usize>,
    },
    /// The engine itself failed.
    #[error("backend {backend}, {what}: {message}")]
    Engine {
        /// The engine.
        backend: &'static str,
        /// What it was doing.
        what: String,
        /// Its own words.
        message: String,
    },
}

/// The concrete shape of a graph input at a tile shape: the batch is 1.
#[must_use]
pub fn tensor_shape(contract: &Contract, input: &Input, tile: &[usize]) -> Vec<usize> {
    let with = |lead: &[usize]| lead.iter().chain(tile).copied().collect::<Vec<_>>();
    let series = contract.kind == Kind::Series;
    match input.role {
        InputRole::Recording | InputRole::Valid if !series => with(&[1, contract.window]),
        InputRole::Recording | InputRole::Valid | InputRole::Field => with(&[1]),
        InputRole::Noise if series => with(&[1]),
        InputRole::Spacing => vec![tile.len()],
        InputRole::Time => vec![1, contract.window],
        InputRole::Noise | InputRole::Constant | InputRole::Offset | InputRole::PhiLow | InputRole::PhiHigh => {
            Vec::new()
        }
    }
}

/// The shapes of a fit's inputs and outputs, a number of points at a time.
fn fit_shapes(fit: &Fit, points: usize) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
    (vec![vec![points, fit.record.axes.len()]], vec![vec![points]; Fit::OUTPUTS.len()])
}

/// Refuse inputs and outputs that are not of the bound shapes, but for the inputs that are given `by_rows`.
fn check_shapes(
    names: &[String],
    expected_inputs: &[Vec<usize>],
    inputs: &[ArrayViewD<'_, f32>],
    by_rows: &[usize],
    expected_outputs: &[Vec<usize>],
    outputs: &[ArrayViewMutD<'_, f32>],
) -> Result<(), BackendError> {
    if inputs.len() != expected_inputs.len() || outputs.len() != expected_outputs.len() {
        return Err(BackendError::Shape {
            what: "number of inputs and outputs".to_owned(),
            got: vec![inputs.len(), outputs.len()],
            expected: vec![expected_inputs.len(), expected_outputs.len()],
        });
    }
    let wrong = |what: String, got: &[usize], expected: &[usize]| {
        Err(BackendError::Shape { what, got: got.to_vec(), expected: expected.to_vec() })
    };
    for (i, ((name, expected), got)) in names.iter().zip(expected_inputs).zip(inputs).enumerate() {
        if got.shape() != expected && !by_rows.contains(&i) {
            return wrong(format!("input {name}"), got.shape(), expected);
        }
    }
    for (i, (expected, got)) in expected_outputs.iter().zip(outputs).enumerate() {
        if got.shape() != expected {
            return wrong(format!("output {i}"), got.shape(), expected);
        }
    }
    Ok(())
}
