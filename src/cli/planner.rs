//! Plans as the command prepares them.

use mollifier::backend::{BackendError, Plan, Tiling};
use mollifier::model::Contract;
use mollifier::stream::{Engine, Planner};

use super::libc::give_back_freed;

/// A model and its backend, which leave nothing of the preparation behind in memory.
pub(crate) struct Tidy<'a>(pub(crate) Engine<'a>);

impl Planner for Tidy<'_> {
    fn contract(&self) -> &Contract {
        self.0.contract()
    }

    fn tiling(&self) -> Tiling {
        self.0.tiling()
    }

    fn prepare(&self, tile: &[usize]) -> Result<Box<dyn Plan>, BackendError> {
        let plan = self.0.prepare(tile);
        give_back_freed();
        plan
    }

    fn prepare_by_rows(&self, tile: &[usize]) -> Result<Box<dyn Plan>, BackendError> {
        let plan = self.0.prepare_by_rows(tile);
        give_back_freed();
        plan
    }
}
