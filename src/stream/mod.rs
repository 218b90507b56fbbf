//! From frames as they arrive to maps: windows, tiles, the bounded queue, the pipeline and its metrics.
//!
//! [`run_fields`] and [`run_series`] are the whole way from a source to a [`MapSink`] or [`SampleSink`]. Two
//! rules hold throughout, and tests check them bit by bit:
//!
//! - **Tiled equals whole.** Whatever the model is told of a frame as a whole (noise, reference value, phase
//!   levels, how a hole was filled) is computed from the frame, never from a tile.
//! - **Streaming equals batch.** There is one code path; nothing depends on how a recording was cut into blocks
//!   or on how many samples are still to come.

mod bind;
mod capture;
mod channel;
mod drawn;
mod engine;
mod error;
mod fields;
mod jumps;
mod lanes;
mod levels;
mod live;
mod losses;
mod mark;
mod metrics;
mod noise;
mod os;
mod outliers;
mod pace;
mod queue;
mod runs;
mod series;
mod spikes;
mod statistics;
mod tiles;
mod validity;
mod window;

#[cfg(feature = "capi")]
pub(crate) use bind::check_name;
pub use bind::{BindError, Givens};
pub use engine::{Engine, Planner};
pub use error::{BoxError, StreamError};
pub use fields::{FieldOptions, Map, MapSink, WindowStatistics, run_fields};
pub use live::{Inlet, Next, Outlet, live};
pub use mark::{Before, Mark, SampleMark};
pub use metrics::{Lost, Percentiles, Progress, Report, Stuck};
pub use noise::{image_noise, series_noise};
pub use os::{gpu, machine, peak_memory_bytes, simd};
pub use outliers::Outliers;
pub use pace::Paced;
pub use queue::{Consumer, OnFull, Pop, Producer, PushError, bounded};
pub use series::{SampleBlock, SampleSink, SeriesOptions, run_series};
pub use statistics::{FrameStatistics, Lattice};
pub use tiles::{Tile, TileGrid};
pub use validity::{Invalid, Saturation};
pub use window::{Prepared, Window};
