//! Sample distances with an optional unit: `2s`, `0.1um`, `0.5`.

use serde::{Deserialize, Serialize};

/// The distance between two samples along one axis.
///
/// The unit is canonical ASCII (`um`, `nm`, `s`, `ms`, ...); `None` is the unitless measure (pixels, frames).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Distance between neighbouring samples, finite and above zero.
    pub value: f64,
    /// Canonical unit, or `None` for a bare number.
    pub unit: Option<String>,
}

/// The sample distances of a recording by axis name; an axis without an entry was not stated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spacing {
    /// Time between frames or samples.
    pub t: Option<Step>,
    /// Distance between rows.
    pub y: Option<Step>,
    /// Distance between columns.
    pub x: Option<Step>,
}
