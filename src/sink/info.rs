//! What a sink has to know of an output before its first value.

use crate::units::{Spacing, Step};

/// One output of a model for images.
#[derive(Clone, Debug, PartialEq)]
pub struct MapInfo {
    /// Name of the output and of its files, without the ending: `lambda`.
    pub name: String,
    /// What it is, in the field's words: `diffusivity`.
    pub quantity: String,
    /// Canonical unit of the values, such as `um^2/s`; `None` is a pure number or the unitless measure.
    pub unit: Option<String>,
    /// Rows and columns of a map.
    pub shape: [usize; 2],
    /// How many maps will come, where that is known.
    pub maps: Option<u64>,
    /// Time between maps and size of a pixel.
    pub spacing: Spacing,
    /// Time of the first map since the recording's first frame, in the unit of the time between them.
    pub start: f64,
    /// Whether the quantity was estimated as its logarithm: pictures may use a logarithmic colour scale.
    pub log_scale: bool,
    /// One line for people: the equation, the model.
    pub description: String,
    /// What the recording is called, and when it was made (ISO 8601), where its file says so.
    pub recording: Option<String>,
    /// See there.
    pub acquired: Option<String>,
}

/// One output of a model for series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesInfo {
    /// Name of the output and of its files, without the ending: `lambda`.
    pub name: String,
    /// What it is, in the field's words: `forcing`.
    pub quantity: String,
    /// Canonical unit of the values; `None` is a pure number or the unitless measure.
    pub unit: Option<String>,
    /// Number of channels: the axes are (sample) for one and (channel, sample) for more.
    pub channels: usize,
    /// Time between samples, where it was stated.
    pub step: Option<Step>,
    /// Time of the first sample, in the unit of the step.
    pub start: f64,
    /// Whether the quantity was estimated as its logarithm: pictures may use a logarithmic axis.
    pub log_scale: bool,
    /// One line for people: the equation, the model.
    pub description: String,
}
