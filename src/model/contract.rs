//! What a model file says of itself: one JSON value under `mollifier.contract` in its `metadata_props`.

use serde::{Deserialize, Serialize};

/// The contract's version that this library writes and reads.
pub const VERSION: u32 = 1;
/// The key of the contract in an ONNX file's `metadata_props`.
pub const METADATA_KEY: &str = "mollifier.contract";

/// What a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One-dimensional signals, axes (batch, sample).
    Series,
    /// Images, axes (batch, window, y, x).
    Fields,
    /// A density map rendered from a localisation table (an image is taken as one too).
    Localisations,
}

/// How the runtime comes by an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputRole {
    /// The measured recording, `u`.
    Recording,
    /// A further known field, (batch, y, x), given by `--with NAME=PATH` (or a number: constant).
    Field,
    /// A scalar given by `--with NAME=NUMBER`, or its default.
    Constant,
    /// Sample distances along the tiled axes in the grid's order, (axis): y and x for images, t for series.
    Spacing,
    /// Validity of every value of the recording, 1 or 0, axes as the recording's.
    Valid,
    /// Times of the window's frames in the time step's unit, relative to the map's frame: (batch, window).
    Time,
    /// Standard deviation of the white noise in the recording. Scalar for fields; (batch, sample) for series.
    Noise,
    /// The reference value that the runtime subtracted from the recording: a scalar.
    Offset,
    /// The density of the phase phi = -1, a low percentile of the map unless given: a scalar.
    PhiLow,
    /// The density of the phase phi = +1, a high percentile of the map unless given: a scalar.
    PhiHigh,
}

/// One graph input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// The tensor's name in the graph, and the NAME of `--with NAME=`.
    pub name: String,
    /// How the runtime comes by it.
    pub role: InputRole,
    /// Axis names of the tensor; empty for a scalar.
    pub axes: Vec<String>,
    /// Unit as a formula of axis units (`y^2/t`), empty where the user's own unit is kept.
    pub unit: String,
    /// Value in the unitless measure when the user gives none; `None` means it must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<f64>,
    /// What it is, one line for `inspect` and for errors.
    pub description: String,
}

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

/// How an output's values relate to the quantity the network works in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transform {
    /// Worked on as it is.
    Identity,
    /// Worked on as its logarithm (positive quantities); `std` is in that space.
    Log,
}

/// One graph output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// The tensor's name in the graph and the name of the file that holds it.
    pub name: String,
    /// What it is, in the field's words: `diffusivity`, `forcing`.
    pub quantity: String,
    /// Unit as a formula of axis and input units: `y^2/t`; empty for pure numbers.
    pub unit: String,
    /// Space in which it was estimated.
    pub transform: Transform,
}

/// One multi-scale set of separable operators inside the graph.
///
/// A runtime may compute it natively and start the rest of the graph at `outputs`; a radius that does not fit
/// the frame is left out by replacing its outputs with zeros.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bank {
    /// Name, unique in the file.
    pub name: String,
    /// Kernel family: `poly4`, `poly8`, `bump`, `gauss`.
    pub family: String,
    /// Radius in samples along each grid axis but `t`, in the grid's order.
    pub radius: Vec<usize>,
    /// What happens at the tensor's border: `one-sided` or `zero` (zero padding, for masked averages).
    pub edge: String,
    /// Highest moment that the taps meet exactly, for derivative order a: a plus this.
    pub correction: usize,
    /// Tensors that enter, each (1, 1, y, x) or (1, 1, sample).
    pub inputs: Vec<String>,
    /// One entry a tensor that leaves: the input it is made from and the derivative order along each axis.
    pub outputs: Vec<BankOutput>,
}

/// One derivative map that leaves a bank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BankOutput {
    /// The tensor's name in the graph; its shape is the input's.
    pub name: String,
    /// Index into the bank's `inputs`.
    pub input: usize,
    /// Derivative order along each spatial axis, in the grid's order. In pixel units: not divided by spacing.
    pub orders: Vec<usize>,
}

/// The range of a dimensionless group in which the model was tested or trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Seeds of the training sets, empty for a closed form.
    pub seeds: Vec<u64>,
    /// Accuracy table as (condition, score) rows, as measured when the file was made.
    pub accuracy: Vec<(String, f64)>,
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
    /// Where the file came from.
    pub provenance: Provenance,
}

impl Contract {
    /// The graph input with this role, where the model has one.
    #[must_use]
    pub fn input(&self, role: InputRole) -> Option<&Input> {
        self.inputs.iter().find(|i| i.role == role)
    }
}
