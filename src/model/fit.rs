//! A fit of one recording, as `python -m mollifier_train fit` writes it: a function from coordinates to the field and
//! lambda.

use serde::{Deserialize, Serialize};

use super::ModelError;
use super::file::graph_inputs;
use crate::onnx;
use crate::physics::{Description, Kind, Output, Transform, law};
use crate::units::{Spacing, Step};

/// The key of what a fit says of itself in an ONNX file's `metadata_props`.
pub const FIT_KEY: &str = "mollifier.fit";
/// The version of that which this library reads.
pub const FIT_VERSION: u32 = 1;
/// Coordinates of all axes that a fit's grid may have, and neighbours of its kernel's sum: far above any real one.
const MOST: usize = 1 << 24;

/// One axis of the recording that was fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitAxis {
    /// `t`, `y` or `x`.
    pub name: String,
    /// Coordinate of the recording's first sample.
    pub first: f64,
    /// Coordinate of its last one.
    pub last: f64,
    /// Distance between its samples.
    pub spacing: f64,
    /// How many there were.
    pub samples: usize,
    /// Unit of the coordinates, where the user of `fit` gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// What a fit says of itself: JSON under `mollifier.fit` in the file's `metadata_props`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitRecord {
    /// Version of this structure.
    pub version: u32,
    /// The law: `langevin`, `heat`, `heat-transient`, `reaction-diffusion`.
    pub problem: String,
    /// Axes of the input `coordinates`, in order.
    pub axes: Vec<FitAxis>,
    /// The axes that lambda depends on.
    pub lambda_axes: Vec<String>,
    /// Neighbours at which the network is evaluated for one value of the field.
    pub stencil: usize,
    /// How the fit was made.
    #[serde(default)]
    pub provenance: serde_json::Value,
}

/// A function fitted to one recording, as read from its file.
///
/// Graph input `coordinates` (point, axis), measured from the recording's first sample; outputs `field` (point) and
/// `lambda` (point).
#[derive(Clone, Debug)]
pub struct Fit {
    /// What the file says of itself.
    pub record: FitRecord,
    /// The law that was fitted.
    pub physics: Description,
    /// `lambda` and `field`, with their units as formulas.
    pub outputs: Vec<Output>,
    /// The distances between the recording's samples.
    pub spacing: Spacing,
    pub(crate) proto: onnx::ModelProto,
    /// SHA-256 of the file's bytes, hexadecimal.
    pub hash: String,
    /// The file's name, for messages.
    pub name: String,
}

impl Fit {
    /// The one graph input, (point, axis).
    pub const COORDINATES: &str = "coordinates";
    /// The graph outputs in the graph's order, (point) each.
    pub const OUTPUTS: [&str; 2] = ["field", "lambda"];

    /// What its recording is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self.record.axes.len() == 1 { Kind::Series } else { Kind::Fields }
    }

    pub(super) fn new(name: &str, json: &str, proto: onnx::ModelProto, hash: String) -> Result<Self, ModelError> {
        let error = |message: String| ModelError::Fit { path: name.to_owned(), message };
        let value: serde_json::Value = serde_json::from_str(json).map_err(|e| error(e.to_string()))?;
        let version = value.get("version").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if version != u64::from(FIT_VERSION) {
            return Err(error(format!("got version {version}, expected {FIT_VERSION}; fit the recording again")));
        }
        let record: FitRecord = serde_json::from_value(value).map_err(|e| error(e.to_string()))?;
        let physics = law(&record.problem).map(|law| law.describe());
        let physics = physics.ok_or_else(|| error(format!("problem: got {:?}, expected a law", record.problem)))?;
        let spacing = check_axes(&record).map_err(error)?;
        if !(1..=MOST).contains(&record.stencil) {
            return Err(error(format!("stencil: got {}, expected 1 to {MOST}", record.stencil)));
        }
        let graph = proto.graph.as_ref().ok_or_else(|| error("got no graph, expected one".to_owned()))?;
        let got = graph_inputs(graph);
        if got != [Self::COORDINATES] {
            return Err(error(format!("got graph inputs {got:?}, expected {:?}", [Self::COORDINATES])));
        }
        let got: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
        if got != Self::OUTPUTS {
            return Err(error(format!("got graph outputs {got:?}, expected {:?}", Self::OUTPUTS)));
        }
        let lambda = physics.outputs.iter().find(|o| o.name == "lambda").cloned();
        let lambda = lambda.ok_or_else(|| error(format!("{} has no lambda", record.problem)))?;
        let outputs = vec![lambda, Output::new("field", "fitted field", "u", Transform::Identity)];
        Ok(Self { record, physics, outputs, spacing, proto, hash, name: name.to_owned() })
    }
}

/// The axes have to be those of a recording; gives its spacing.
fn check_axes(record: &FitRecord) -> Result<Spacing, String> {
    let names: Vec<&str> = record.axes.iter().map(|a| a.name.as_str()).collect();
    if !matches!(names[..], ["t"] | ["y", "x"] | ["t", "y", "x"]) {
        return Err(format!("axes: got {names:?}, expected t, or y and x, or all three"));
    }
    let lambda: Vec<&str> = record.lambda_axes.iter().map(String::as_str).collect();
    if lambda != if names == ["t"] { &["t"][..] } else { &["y", "x"][..] } {
        return Err(format!("lambda_axes: got {lambda:?}, expected t of a series, y and x of images"));
    }
    let mut spacing = Spacing::default();
    for axis in &record.axes {
        let FitAxis { name, first, last, spacing: distance, samples, unit } = axis;
        if !(first.is_finite() && last.is_finite() && first < last) {
            return Err(format!("axis {name}: got {first} to {last}, expected a range"));
        }
        if !(2..=MOST).contains(samples) {
            return Err(format!("axis {name}: got {samples} samples, expected 2 to {MOST}"));
        }
        let step = Step::new(*distance, unit.as_deref()).map_err(|e| format!("axis {name}: {e}"))?;
        match name.as_str() {
            "t" => spacing.t = Some(step),
            "y" => spacing.y = Some(step),
            _ => spacing.x = Some(step),
        }
    }
    spacing.checked().map_err(|e| e.to_string())
}
