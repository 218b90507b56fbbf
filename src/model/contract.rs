//! What a model file says of itself: one JSON value under `mollifier.contract` in its `metadata_props`.

use serde::{Deserialize, Serialize};

pub use crate::graph::{BankOutput, BankRecord as Bank};
pub use crate::physics::{Input, InputRole, Kind, Output, Transform};

/// The contract's version that this library writes and reads.
pub const VERSION: u32 = 1;
/// The key of the contract in an ONNX file's `metadata_props`.
pub const METADATA_KEY: &str = "mollifier.contract";

/// The physical law a model inverts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Physics {
    /// Name of the law: `langevin`, `heat`, `heat-transient`, `reaction-diffusion`, `chromatin`.
    pub name: String,
    /// The equation as text.
    pub equation: String,
}

/// One axis of the grid that carries a spacing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AxisGrid {
    /// Axis name: `t`, `y` or `x`.
    pub name: String,
    /// Sample distance relative to the other spatial axes that the radii were laid out for (1 for `t`).
    pub aspect: f64,
}

/// The range of a dimensionless group in which the model was tested or trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
// In a spec a key that belongs further up may stand below it by mistake.
#[serde(deny_unknown_fields)]
pub struct GroupRange {
    /// The group as a formula: `noise/std(u)`.
    pub group: String,
    /// Smallest value.
    pub low: f64,
    /// Largest value.
    pub high: f64,
}

/// Where the file came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Program and version that wrote the file.
    pub writer: String,
    /// SHA-256 of the spec's text, hexadecimal.
    pub spec_sha256: String,
    /// First and last seed of the training set, empty for a closed form.
    pub seeds: Vec<u64>,
    /// Accuracy table as (condition, score) rows, as measured when the file was made.
    pub accuracy: Vec<(String, f64)>,
}

/// The learned network behind the front end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrunkRecord {
    /// SHA-256 of the trunk's file, hexadecimal.
    pub sha256: String,
    /// Feature channels that it takes, in order.
    pub features: Vec<String>,
    /// Samples around an output that it adds to the front end's reach, along every tiled axis.
    pub reach: usize,
    /// Multiply-adds for each sample of the recording's grid, rounded up.
    pub multiply_adds: usize,
}

/// What a model file says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contract {
    /// Version of this structure.
    pub version: u32,
    /// The law.
    pub physics: Physics,
    /// What the model takes.
    pub kind: Kind,
    /// Graph inputs in the graph's order.
    pub inputs: Vec<Input>,
    /// Axes with a spacing: (t, y, x), (y, x) or (t).
    pub grid: Vec<AxisGrid>,
    /// Largest relative deviation of the pixel aspect that is still accepted.
    pub aspect_tolerance: f64,
    /// Graph outputs in the graph's order.
    pub outputs: Vec<Output>,
    /// Samples around a tile that its outputs need, along each tiled axis: (y, x) or (sample).
    pub halo: Vec<usize>,
    /// Tile origins are multiples of this, along each tiled axis.
    pub alignment: Vec<usize>,
    /// Smallest tensor that the graph takes with every radius in place, along each tiled axis.
    pub min_size: Vec<usize>,
    /// Frames that one map needs (1 for series).
    pub window: usize,
    /// How many frames (or samples) an output lags its newest input.
    pub delay: usize,
    /// The operators, smallest radius first.
    pub banks: Vec<Bank>,
    /// Ranges in which the accuracy was measured.
    pub trained: Vec<GroupRange>,
    /// The learned network, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<TrunkRecord>,
    /// The channels of the further graph output `features` (batch, channel, y, x) or (batch, channel, sample), in a
    /// front end alone; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// Where the file came from.
    pub provenance: Provenance,
}

impl Contract {
    /// Number of axes that are tiled: 2 for images (y, x), 1 for series (sample).
    #[must_use]
    pub fn tiled_axes(&self) -> usize {
        if self.kind == Kind::Series { 1 } else { 2 }
    }

    /// The graph input with this role, where the model has one.
    #[must_use]
    pub fn input(&self, role: InputRole) -> Option<&Input> {
        self.inputs.iter().find(|i| i.role == role)
    }
}
