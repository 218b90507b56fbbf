//! From frames as they arrive to maps: windows, tiles, the bounded queue, the pipeline and its metrics.

mod frame;

pub use frame::{Frame, Pixels, Samples};
