//! The live page: what a run computes, in a browser, while it computes.
//!
//! A [`Board`] is shown the newest maps and frames; the run waits for nobody. It keeps one picture that is looked at
//! and one that is being drawn: where a reader still holds the second one, what comes is not shown. A [`Server`]
//! hands the board out over HTTP, on a thread of its own:
//!
//! | path | what |
//! |---|---|
//! | `/` | the page, all of it embedded |
//! | `/about` | model, outputs, units, pixel size (JSON) |
//! | `/events` | where the stream stands, an event for each map that the reader is fast enough for |
//! | `/newest` | a region of the newest input and maps: a JSON header, then float32 |
//! | `/series`, `/probes` | means over marked regions, map by map; marking them |
//! | `/trace` | of a series: input and outputs over a stretch of samples, lowest and highest of each step: a JSON header, then float64 |
//! | `/metrics` | numbers for Prometheus |
//!
//! Nothing else is there: no path leads to a file, nothing starts a command or changes the run.

mod board;
mod error;
mod guard;
mod metrics;
mod probe;
mod region;
mod server;
mod slot;
mod trace;
mod watched;

pub use board::{About, AboutOutput, Board};
pub use error::ViewError;
pub use probe::Area;
pub use server::Server;
pub use watched::Watched;
