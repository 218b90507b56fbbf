//! Units of measure as an instrument writes them: parsing, canonical names and derived units.

mod formula;
mod step;

pub use formula::{UnitFormula, UnitError};
pub use step::{Spacing, Step};
