//! Maps and series as files; one file for each format.
//!
//! An [`OutputSet`] holds all files of one run. While it writes, a file is called `NAME.part` and a journal beside
//! it says how many maps are complete; [`OutputSet::commit`] renames everything at once. A run that dies leaves
//! parts and a journal, so that nothing half-written looks complete and an older output stays as it was.

mod canvas;
mod csv;
mod curve;
mod error;
mod format;
mod growing;
mod info;
mod journal;
mod npy;
mod ome;
mod part;
mod picture;
mod plot;
mod png;
mod record;
mod replay;
mod rows;
mod scale;
mod set;
mod tiff;
mod zarr;

pub use curve::{CurveInfo, PanelInfo};
pub use error::SinkError;
pub use format::Format;
pub use info::{MapInfo, SeriesInfo};
pub use record::Entry;
pub use replay::Kept;
pub use rows::TableInfo;
pub use set::{Destination, OutputSet};
