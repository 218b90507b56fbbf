//! What a stream computes with.

use crate::backend::{Backend, BackendError, Plan, Tiling};
use crate::model::{Contract, Model};

/// A model that can be bound to tile shapes.
pub trait Planner {
    /// What the model says of itself.
    fn contract(&self) -> &Contract;

    /// What it asks of tiles beyond the contract.
    fn tiling(&self) -> Tiling;

    /// Bind it to one tile shape, (y, x) for fields or (sample,) for series.
    ///
    /// # Errors
    /// As [`Backend::prepare`].
    fn prepare(&self, tile: &[usize]) -> Result<Box<dyn Plan>, BackendError>;

    /// The same for a caller that has the maps' rows at hand.
    ///
    /// # Errors
    /// As [`Backend::prepare_by_rows`].
    fn prepare_by_rows(&self, tile: &[usize]) -> Result<Box<dyn Plan>, BackendError> {
        self.prepare(tile)
    }
}

/// A model and the backend that computes it.
#[derive(Clone, Copy)]
pub struct Engine<'a> {
    /// The model.
    pub model: &'a Model,
    /// The backend.
    pub backend: &'a dyn Backend,
}

impl Planner for Engine<'_> {
    fn contract(&self) -> &Contract {
        &self.model.contract
    }

    fn tiling(&self) -> Tiling {
        self.backend.tiling(self.model)
    }

    fn prepare(&self, tile: &[usize]) -> Result<Box<dyn Plan>, BackendError> {
        self.backend.prepare(self.model, tile)
    }

    fn prepare_by_rows(&self, tile: &[usize]) -> Result<Box<dyn Plan>, BackendError> {
        self.backend.prepare_by_rows(self.model, tile)
    }
}
