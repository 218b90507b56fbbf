//! The model's further inputs, as the user gave them.

use std::path::Path;

use anyhow::Result;
use mollifier::model::{Contract, Input, InputRole};
use mollifier::stream::{BindError, Givens};
use ndarray::Array2;

use super::failure::misuse;
use super::spacing::RunSpacing;

/// Sort the `--with` pairs and `--noise` into numbers and fields, and hold them against the contract.
///
/// `read_field` gives the first frame of a file. `shape` is the recording's (y, x), `None` for a series.
pub(crate) fn gather(
    contract: &Contract,
    model: &str,
    with: &[(String, String)],
    noise: Option<f64>,
    spacing: &RunSpacing,
    shape: Option<[usize; 2]>,
    read_field: impl Fn(&Path) -> Result<Array2<f32>>,
) -> Result<Givens> {
    let mut givens = Givens {
        spacing: spacing.steps.clone(),
        time_step: spacing.time_step,
        unitless: spacing.unitless,
        ..Givens::default()
    };
    for (name, value) in with {
        if givens.constants.contains_key(name) || givens.fields.contains_key(name) {
            return Err(misuse(format!("--with {name}: got it twice, expected it once")));
        }
        if let Ok(number) = value.parse::<f64>() {
            givens.constants.insert(name.clone(), number);
            continue;
        }
        match contract.inputs.iter().find(|i| i.name == *name) {
            Some(input) if input.role == InputRole::Field && shape.is_some() => {
                let field = read_field(Path::new(value)).map_err(|e| {
                    let message = format!("--with {name}: {e}");
                    e.context(message)
                })?;
                givens.fields.insert(name.clone(), field.into_shared());
            }
            Some(input) if may_be_given(input) => {
                let what = &input.description;
                return Err(misuse(format!("--with {name}: got {value:?}, expected a number ({what})")));
            }
            // The check below lists the names that exist.
            _ => drop(givens.constants.insert(name.clone(), 0.0)),
        }
    }
    if let Some(noise) = noise {
        let Some(input) = contract.input(InputRole::Noise) else {
            return Err(misuse(format!("--noise {noise}: {model} takes no noise, leave it out")));
        };
        if givens.constants.insert(input.name.clone(), noise).is_some() {
            return Err(misuse("got --noise and --with noise, expected one of them"));
        }
    }
    givens.check(contract, shape).map_err(|e| explain(e, contract, model, spacing))?;
    Ok(givens)
}

fn may_be_given(input: &Input) -> bool {
    !matches!(input.role, InputRole::Recording | InputRole::Valid | InputRole::Time | InputRole::Spacing)
}

/// Say what to type.
fn explain(error: BindError, contract: &Contract, model: &str, spacing: &RunSpacing) -> anyhow::Error {
    match error {
        BindError::Missing { inputs } => {
            let one = |i: &Input| {
                let value = if i.role == InputRole::Field { "PATH|NUMBER" } else { "NUMBER" };
                let unit = spacing.unit(&contract.inputs, &i.unit).map(|u| format!(", in {u}")).unwrap_or_default();
                format!("--with {}={value} ({}{unit})", i.name, i.description)
            };
            let list: Vec<_> = inputs.iter().map(one).collect();
            let defaults: Vec<_> = inputs.iter().filter_map(|i| Some(format!("{} = {}", i.name, i.default?))).collect();
            let unitless = if defaults.is_empty() {
                String::new()
            } else {
                let axes = contract.grid.iter().map(|a| format!("{}=1", a.name)).collect::<Vec<_>>();
                format!(
                    "; its defaults ({}) hold in the unitless measure only, which --spacing {} asks for",
                    defaults.join(", "),
                    axes.join(",")
                )
            };
            misuse(format!("{model} needs more than the recording: add {}{unitless}", list.join(" and ")))
        }
        BindError::Unknown { name, .. } => {
            let known: Vec<_> = contract
                .inputs
                .iter()
                .filter(|i| may_be_given(i))
                .map(|i| format!("{} ({})", i.name, i.description))
                .collect();
            let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
            misuse(format!("--with {name}: {model} has no such input, it takes {known}"))
        }
        other => other.into(),
    }
}
