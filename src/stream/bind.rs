//! From the contract's inputs and what the user gave to what each input of the graph is fed with.

use std::collections::BTreeMap;

use ndarray::ArcArray2;

use crate::model::{Contract, Input, InputRole};

/// What the user or the recording gave besides the recording's values.
#[derive(Clone, Debug)]
pub struct Givens {
    /// Numbers by input name: constants, fields that are the same everywhere, statistics (`noise`, `phi_low`, ...)
    /// that are known better than the recording tells.
    pub constants: BTreeMap<String, f64>,
    /// Fields by input name, axes (y, x), one value a pixel of the recording.
    pub fields: BTreeMap<String, ArcArray2<f32>>,
    /// Sample distance along each tiled axis in the grid's order: (y, x), or (t) for series.
    pub spacing: Vec<f64>,
    /// Time between frames, in the unit that times and rates are meant in (not for series: see `spacing`).
    pub time_step: f64,
    /// Whether lengths and times are in the unitless measure, in which the defaults of constants hold.
    pub unitless: bool,
}

impl Default for Givens {
    fn default() -> Self {
        Self {
            constants: BTreeMap::new(),
            fields: BTreeMap::new(),
            spacing: vec![1.0, 1.0],
            time_step: 1.0,
            unitless: true,
        }
    }
}

impl Givens {
    /// Whether these are what `contract` takes, for a recording of `shape` (y, x), `None` for a series.
    ///
    /// # Errors
    /// The first thing that is wrong, before anything is read or written.
    pub fn check(&self, contract: &Contract, shape: Option<[usize; 2]>) -> Result<(), BindError> {
        bind(contract, self, shape).map(|_| ())
    }
}

/// A value that a model takes and did not get, or got and does not take.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BindError {
    /// Inputs without a value or a default.
    #[error("missing {}", list_missing(.inputs))]
    Missing {
        /// The inputs, with their descriptions and units.
        inputs: Vec<Input>,
    },
    /// A name that the model has no input for.
    #[error("--with {name}: the model has no such input, it takes {}", list_names(.known))]
    Unknown {
        /// The name given.
        name: String,
        /// Names that may be given.
        known: Vec<String>,
    },
    /// A field whose shape is not the recording's.
    #[error("--with {name}: got {got:?} pixels (y, x), expected {expected:?} as the recording has")]
    Shape {
        /// The input.
        name: String,
        /// Its rows and columns.
        got: [usize; 2],
        /// The recording's.
        expected: [usize; 2],
    },
    /// A field where the model takes a number.
    #[error("--with {name}: got a field, expected a number ({description})")]
    NotAField {
        /// The input.
        name: String,
        /// What the model says of it.
        description: String,
    },
    /// A constant that must be above zero.
    #[error("--with {name}: got {got}, expected a number above zero")]
    NotPositive {
        /// The input.
        name: String,
        /// The value given.
        got: f64,
    },
    /// A standard deviation below zero.
    #[error("--with {name}: got {got}, expected a standard deviation of at least 0")]
    Negative {
        /// The input.
        name: String,
        /// The value given.
        got: f64,
    },
    /// Phase levels in the wrong order.
    #[error("--with phi_low, phi_high: got {low} and {high}, expected the density of phi = -1 below that of phi = +1")]
    Levels {
        /// The low level given.
        low: f64,
        /// The high level given.
        high: f64,
    },
    /// Sample distances that are none.
    #[error("sample distances: got {got:?}, expected numbers above zero")]
    Spacing {
        /// The distances given.
        got: Vec<f64>,
    },
    /// Pixels of another shape than the model was baked for.
    #[error("got pixels of {got:?} (y, x), expected the ratio of {expected:?} that the model was baked for")]
    Aspect {
        /// The distances given.
        got: Vec<f64>,
        /// The model's aspect.
        expected: Vec<f64>,
    },
    /// A value that is not finite.
    #[error("--with {name}: got a value that is not finite, expected numbers only")]
    NotFinite {
        /// The input.
        name: String,
    },
}

fn list_names(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn list_missing(inputs: &[Input]) -> String {
    let line = |i: &Input| {
        let what = if i.role == InputRole::Field { "PATH|NUMBER" } else { "NUMBER" };
        format!("--with {}={what} ({})", i.name, i.description)
    };
    inputs.iter().map(line).collect::<Vec<_>>().join(", ")
}

/// What one input of the graph is fed with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Feed {
    Recording,
    Valid,
    Time,
    Spacing,
    Field(ArcArray2<f32>),
    /// The same number everywhere, whatever the input's axes.
    Number(f32),
    Noise,
    Offset(Option<f64>),
    PhiLow,
    PhiHigh,
}

/// See that the model takes something of this name besides the recording.
///
/// # Errors
/// A name that it does not know.
pub(crate) fn check_name(contract: &Contract, name: &str) -> Result<(), BindError> {
    use InputRole as R;
    let given = [R::Field, R::Constant, R::Noise, R::Offset, R::PhiLow, R::PhiHigh];
    let known = || contract.inputs.iter().filter(|i| given.contains(&i.role)).map(|i| &i.name);
    if known().any(|k| k == name) {
        return Ok(());
    }
    Err(BindError::Unknown { name: name.to_owned(), known: known().cloned().collect() })
}

/// Find the feed of every input of `contract`, in its order. `shape` is the recording's (y, x), `None` for series.
pub(crate) fn bind(contract: &Contract, givens: &Givens, shape: Option<[usize; 2]>) -> Result<Vec<Feed>, BindError> {
    for name in givens.constants.keys().chain(givens.fields.keys()) {
        check_name(contract, name)?;
    }
    check_spacing(contract, givens)?;
    let mut missing = Vec::new();
    let mut feeds = Vec::with_capacity(contract.inputs.len());
    for input in &contract.inputs {
        let name = &input.name;
        let number = givens.constants.get(name).copied();
        if number.is_some_and(|v| !v.is_finite()) {
            return Err(BindError::NotFinite { name: name.clone() });
        }
        if let Some(got) = number.filter(|v| input.positive && *v <= 0.0) {
            return Err(BindError::NotPositive { name: name.clone(), got });
        }
        if let Some(got) = number.filter(|v| input.role == InputRole::Noise && *v < 0.0) {
            return Err(BindError::Negative { name: name.clone(), got });
        }
        if let Some(field) = givens.fields.get(name) {
            if input.role != InputRole::Field || shape.is_none() {
                let description = input.description.clone();
                return Err(BindError::NotAField { name: name.clone(), description });
            }
            if field.iter().any(|v| !v.is_finite()) {
                return Err(BindError::NotFinite { name: name.clone() });
            }
            let got = [field.nrows(), field.ncols()];
            match shape {
                Some(expected) if expected != got => {
                    return Err(BindError::Shape { name: name.clone(), got, expected });
                }
                _ => {}
            }
        }
        let default = || input.default.filter(|_| givens.unitless || input.unit.is_empty());
        feeds.push(match input.role {
            InputRole::Recording => Feed::Recording,
            InputRole::Valid => Feed::Valid,
            InputRole::Time => Feed::Time,
            InputRole::Spacing => Feed::Spacing,
            InputRole::Offset => Feed::Offset(number),
            InputRole::Noise => number.map_or(Feed::Noise, |v| Feed::Number(v as f32)),
            InputRole::PhiLow => number.map_or(Feed::PhiLow, |v| Feed::Number(v as f32)),
            InputRole::PhiHigh => number.map_or(Feed::PhiHigh, |v| Feed::Number(v as f32)),
            InputRole::Field | InputRole::Constant => match (givens.fields.get(name), number.or_else(default)) {
                (Some(field), _) => Feed::Field(field.clone()),
                (None, Some(v)) => Feed::Number(v as f32),
                (None, None) => {
                    missing.push(input.clone());
                    continue;
                }
            },
        });
    }
    let level = |role| contract.input(role).and_then(|i| givens.constants.get(&i.name)).copied();
    if let (Some(low), Some(high)) = (level(InputRole::PhiLow), level(InputRole::PhiHigh))
        && low >= high
    {
        return Err(BindError::Levels { low, high });
    }
    if missing.is_empty() { Ok(feeds) } else { Err(BindError::Missing { inputs: missing }) }
}

fn check_spacing(contract: &Contract, givens: &Givens) -> Result<(), BindError> {
    let bad = |v: &f64| !(v.is_finite() && *v > 0.0);
    if givens.spacing.iter().any(bad) || bad(&givens.time_step) {
        let got = givens.spacing.iter().chain([&givens.time_step]).copied().collect();
        return Err(BindError::Spacing { got });
    }
    let expected: Vec<f64> = contract.grid.iter().filter(|a| a.name != "t").map(|a| a.aspect).collect();
    let scales: Vec<f64> = givens.spacing.iter().zip(&expected).map(|(s, a)| s / a).collect();
    match scales.first() {
        Some(first) if scales.iter().any(|s| (s / first - 1.0).abs() > contract.aspect_tolerance) => {
            Err(BindError::Aspect { got: givens.spacing.clone(), expected })
        }
        _ => Ok(()),
    }
}
