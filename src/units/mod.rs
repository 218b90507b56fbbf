//! Units of measure as an instrument writes them: parsing, canonical names and derived units.

mod formula;
mod step;

pub use formula::{UnitError, UnitFormula};
pub use step::{Spacing, Step};
