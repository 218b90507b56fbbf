//! What a law declares of itself: the words of the contract that depend on the equation.

use serde::{Deserialize, Serialize};

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
    /// Whether the law has a meaning for values above zero only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub positive: bool,
    /// What it is, one line for `inspect` and for errors.
    pub description: String,
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

/// What a law's models take and give.
#[derive(Clone, Debug)]
pub struct Description {
    /// Name of the law: `heat`.
    pub name: &'static str,
    /// The equation as text.
    pub equation: &'static str,
    /// What a model takes.
    pub kind: Kind,
    /// Frames that one map needs; 1 for a series.
    pub window: usize,
    /// Graph inputs in order; the recording comes first.
    pub inputs: Vec<Input>,
    /// Graph outputs in order.
    pub outputs: Vec<Output>,
}

impl Input {
    /// The recording `u`, its validity and its sample distances, which every law takes; `axes` are those of the
    /// recording.
    #[must_use]
    pub fn recording(axes: &[&str], description: &str) -> Vec<Self> {
        let spatial: Vec<&str> = axes.iter().copied().filter(|a| !matches!(*a, "batch" | "window")).collect();
        let sizes = if spatial == ["sample"] { "t" } else { "y, x" };
        vec![
            Self::new("u", InputRole::Recording, axes, "", None, description),
            Self::new("valid", InputRole::Valid, axes, "", None, "1 where u was measured, 0 where it was not"),
            Self::new("spacing", InputRole::Spacing, &["axis"], "", None, &format!("sample distances along {sizes}")),
        ]
    }

    /// An input with every property.
    #[must_use]
    pub fn new(
        name: &str,
        role: InputRole,
        axes: &[&str],
        unit: &str,
        default: Option<f64>,
        description: &str,
    ) -> Self {
        Self {
            name: name.to_owned(),
            role,
            axes: axes.iter().map(|a| (*a).to_owned()).collect(),
            unit: unit.to_owned(),
            default,
            positive: false,
            description: description.to_owned(),
        }
    }

    /// The same, for values above zero only.
    #[must_use]
    pub fn positive(self) -> Self {
        Self { positive: true, ..self }
    }
}

impl Output {
    /// An output with every property.
    #[must_use]
    pub fn new(name: &str, quantity: &str, unit: &str, transform: Transform) -> Self {
        Self { name: name.to_owned(), quantity: quantity.to_owned(), unit: unit.to_owned(), transform }
    }
}
