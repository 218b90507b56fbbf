//! Units of measure as an instrument writes them: parsing, canonical names and derived units.
//!
//! A unit in this crate is canonical ASCII text: `um`, `nm`, `s`, `ms`, or a product of powers such as
//! `um^2/s`. [`canonical_unit`] reads every spelling that instruments use; [`ngff_unit`] and [`pretty_unit`]
//! give the forms for metadata and for plots.

mod error;
mod formula;
mod step;
mod table;

pub use error::UnitError;
pub use formula::{UnitFormula, pretty_unit};
pub use step::{Spacing, Step};
pub use table::{Dimension, canonical_unit, convert, dimension, ngff_unit};
