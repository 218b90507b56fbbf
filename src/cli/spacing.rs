//! The distances between samples that a run is computed with: what the user says, else what the file says.

use anyhow::Result;
use mollifier::model::{Contract, Input, InputRole};
use mollifier::units::{Spacing, Step, UnitFormula};

use super::failure::misuse;

/// The spacing of a run along the model's axes.
#[derive(Debug)]
pub(crate) struct RunSpacing {
    /// By axis, as in run.json; axes of the recording that the model does not use are kept where stated.
    pub(crate) spacing: Spacing,
    /// Along the tiled axes in the grid's order: (y, x), or (t) for series.
    pub(crate) steps: Vec<f64>,
    /// Between frames.
    pub(crate) time_step: f64,
    /// Whether the model's axes have no units, so that defaults of constants hold.
    pub(crate) unitless: bool,
    /// Units of input fields by name, as the user stated them.
    pub(crate) field_units: Vec<(String, String)>,
}

impl RunSpacing {
    /// Decide it: the user's word wins over the file's, axis by axis.
    ///
    /// A recording of which nothing is stated along the model's axes is computed in the unitless measure, 1 for each
    /// pixel and frame, with a warning. One of which only a part is stated is refused, since half a scale would
    /// give a number that looks right.
    pub(crate) fn decide(
        contract: &Contract,
        series: bool,
        user: Option<&Spacing>,
        file: &Spacing,
        input: &str,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        let axes: Vec<&str> = contract.grid.iter().map(|a| a.name.as_str()).collect();
        let user = user.cloned().unwrap_or_default();
        if let Some(axis) = ["y", "x"].iter().find(|a| series && user.get(a).is_some()) {
            return Err(misuse(format!(
                "--spacing {axis}: {input} is a series, expected one step, such as --spacing t=0.1s"
            )));
        }
        let merged = only(&user, &axes).or(&only(file, &axes))?;
        for axis in &axes {
            if let (Some(said), Some(written)) = (user.get(axis), file.get(axis))
                && differ(said, written)
            {
                warnings.push(format!("{input} says {axis}={written}: computed with {axis}={said}, as --spacing says"));
            }
        }
        let missing: Vec<&str> = axes.iter().copied().filter(|a| merged.get(a).is_none()).collect();
        let example = |unit: bool| {
            let step = |a: &&str| match (unit, *a) {
                (false, a) => format!("{a}=1"),
                (true, "t") => "t=2s".into(),
                (true, a) => format!("{a}=0.1um"),
            };
            axes.iter().map(step).collect::<Vec<_>>().join(",")
        };
        let mut spacing = merged;
        if missing.len() == axes.len() {
            if !axes.is_empty() {
                warnings.push(format!(
                    "{input} does not say how far apart its {} are: computed with a distance of 1, without units; \
                     --spacing {} gives units",
                    if series { "samples" } else { "pixels and frames" },
                    example(true)
                ));
            }
            for axis in &axes {
                set(&mut spacing, axis, Some(Step { value: 1.0, unit: None }));
            }
        } else if !missing.is_empty() {
            let (have, lack) = (spacing.to_string(), missing.join(" and "));
            let wanted: Vec<String> = missing
                .iter()
                .map(|a| match (spacing.has_units(), *a) {
                    (false, a) => format!("{a}=1"),
                    (true, "t") => "t=2s".into(),
                    (true, a) => format!("{a}=0.1um"),
                })
                .collect();
            return Err(misuse(format!(
                "{input}: the spacing is known along some axes only ({have}), expected {lack} too: give --spacing {} \
                 with its true value, or --spacing {} for a run without units",
                wanted.join(","),
                example(false)
            )));
        }
        let unitless = spacing.is_unitless();
        let value = |axis: &str| spacing.get(axis).map_or(1.0, |s| s.value);
        let tiled = contract.grid.iter().filter(|a| series || a.name != "t");
        let steps = tiled.map(|a| value(&a.name)).collect();
        // A clock that the model does not need still dates the maps.
        if spacing.t.is_none() {
            spacing.t = user.t.or_else(|| file.t.clone());
        }
        let time_step = spacing.t.as_ref().map_or(1.0, |s| s.value);
        let this = Self { spacing, steps, time_step, unitless, field_units: Vec::new() };
        Ok(this)
    }

    /// Take the units that the user states for input fields.
    pub(crate) fn state_units(&mut self, inputs: &[Input], model: &str, units: &[(String, String)]) -> Result<()> {
        let takes_unit = |i: &&Input| matches!(i.role, InputRole::Recording | InputRole::Field);
        let fields: Vec<&str> = inputs.iter().filter(takes_unit).map(|i| i.name.as_str()).collect();
        if let Some((name, _)) = units.iter().find(|(n, _)| !fields.contains(&n.as_str())) {
            return Err(misuse(format!(
                "--unit {name}: got a name that is no field of {model}, expected one of {}",
                fields.join(", ")
            )));
        }
        self.field_units = units.to_vec();
        Ok(())
    }

    /// Refuse pixels of another aspect than the model's kernels were laid out for, with the line that helps.
    pub(crate) fn check_aspect(&self, contract: &Contract, model: &str, input: &str) -> Result<()> {
        let axes: Vec<_> = contract.grid.iter().filter(|a| a.name != "t").collect();
        let Some(first) = axes.first() else { return Ok(()) };
        let value = |name: &str| self.spacing.get(name).map_or(1.0, |s| s.value);
        let scale = value(&first.name) / first.aspect;
        let fits = |a: &&&mollifier::model::AxisGrid| {
            (value(&a.name) / a.aspect / scale - 1.0).abs() <= contract.aspect_tolerance
        };
        if axes.iter().filter(|a| !fits(a)).count() == 0 {
            return Ok(());
        }
        let smallest = axes.iter().map(|a| value(&a.name)).fold(f64::INFINITY, f64::min);
        let list = |of: &dyn Fn(&mollifier::model::AxisGrid) -> f64| {
            axes.iter().map(|a| format!("{}={}", a.name, rounded(of(a)))).collect::<Vec<_>>().join(",")
        };
        let got = list(&|a| value(&a.name) / smallest);
        let spec = model.strip_suffix(".onnx").unwrap_or(model);
        let beside = |end: &str, otherwise: &str| {
            let path = format!("{spec}{end}");
            if std::path::Path::new(&path).is_file() { path } else { otherwise.to_owned() }
        };
        let toml = beside(".toml", "SPEC.toml");
        let suffix = got.replace('=', "").replace(',', "-");
        // A trunk's features have no unit: the same network stands behind kernels of any layout.
        let trunk = contract.trunk.as_ref().map(|_| format!(" --trunk {}", beside(".trunk.onnx", "TRUNK.onnx")));
        Err(misuse(format!(
            "{input}: got pixels of aspect {got}, expected {} as {model} was baked for; write a model for yours: \
             mollifier bake {toml}{} --aspect {got} -o {spec}-{suffix}.onnx",
            list(&|a| a.aspect),
            trunk.unwrap_or_default()
        )))
    }

    /// The unit that a formula of axes and inputs stands for here; `None` for a pure or unitless number.
    pub(crate) fn unit(&self, inputs: &[Input], formula: &str) -> Option<String> {
        if self.unitless && self.field_units.is_empty() {
            return None;
        }
        let formula: UnitFormula = formula.parse().ok()?;
        formula.render(|name| match name {
            "t" | "y" | "x" => self.spacing.unit(name).map(str::to_owned),
            _ => {
                let input = inputs.iter().find(|i| i.name == name)?;
                if let Some((_, unit)) = self.field_units.iter().find(|(n, _)| n == name) {
                    return Some(unit.clone());
                }
                if input.unit.is_empty() {
                    return None;
                }
                let formula: UnitFormula = input.unit.parse().ok()?;
                formula.render(|axis| self.spacing.unit(axis).map(str::to_owned))
            }
        })
    }
}

/// A formula of axes and inputs for a person to read.
pub(crate) fn formula_in_words(formula: &str) -> String {
    let parsed = formula.parse::<UnitFormula>().ok();
    let axis = |name: &str| matches!(name, "t" | "y" | "x").then(|| name.to_owned());
    parsed.and_then(|f| f.render(axis)).unwrap_or_else(|| formula.to_owned())
}

/// Whether two steps that can be compared are more than a hundredth apart.
fn differ(a: &Step, b: &Step) -> bool {
    let b = match (&a.unit, &b.unit) {
        (Some(unit), Some(_)) => b.to(unit).ok(),
        (None, None) => Some(b.clone()),
        _ => None,
    };
    b.is_some_and(|b| (b.value / a.value - 1.0).abs() > 0.01)
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

fn only(spacing: &Spacing, axes: &[&str]) -> Spacing {
    let mut kept = spacing.clone();
    for axis in ["t", "y", "x"] {
        if !axes.contains(&axis) {
            set(&mut kept, axis, None);
        }
    }
    kept
}

fn set(spacing: &mut Spacing, axis: &str, step: Option<Step>) {
    match axis {
        "t" => spacing.t = step,
        "y" => spacing.y = step,
        "x" => spacing.x = step,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn contract(axes: &[(&str, f64)]) -> Contract {
        let grid: Vec<_> = axes.iter().map(|(name, aspect)| json!({ "name": name, "aspect": aspect })).collect();
        serde_json::from_value(json!({
            "version": 1,
            "physics": { "name": "heat", "equation": "" },
            "kind": "fields",
            "inputs": [
                { "name": "u", "role": "recording", "axes": [], "unit": "", "description": "" },
                { "name": "kappa", "role": "constant", "axes": [], "unit": "y^2", "default": 2.0, "description": "" },
            ],
            "grid": grid,
            "aspect_tolerance": 0.02,
            "outputs": [],
            "halo": [1, 1], "alignment": [1, 1], "min_size": [1, 1],
            "window": 1, "delay": 0,
            "banks": [], "trained": [],
            "provenance": { "writer": "", "spec_sha256": "", "seeds": [], "accuracy": [] },
        }))
        .expect("a contract")
    }

    fn decide(user: &str, file: &str, axes: &[(&str, f64)]) -> Result<(RunSpacing, Vec<String>)> {
        let read = |text: &str| if text.is_empty() { Ok(Spacing::default()) } else { text.parse() };
        let (user, file) = (read(user)?, read(file)?);
        let mut warnings = Vec::new();
        let got = RunSpacing::decide(&contract(axes), false, Some(&user), &file, "u.tif", &mut warnings)?;
        Ok((got, warnings))
    }

    const FLAT: &[(&str, f64)] = &[("y", 1.0), ("x", 1.0)];
    const MOVIE: &[(&str, f64)] = &[("t", 1.0), ("y", 1.0), ("x", 1.0)];

    #[test]
    fn the_users_word_wins_over_the_files() {
        let (got, warnings) = decide("t=2min", "t=1s,y=50nm,x=50nm", MOVIE).expect("it is complete");
        assert_eq!((got.steps, got.time_step, got.unitless), (vec![50.0, 50.0], 2.0, false));
        assert_eq!(warnings, ["u.tif says t=1s: computed with t=2min, as --spacing says"]);
        let (_, warnings) = decide("t=1000ms", "t=1s,y=50nm,x=50nm", MOVIE).expect("it is complete");
        assert!(warnings.is_empty());
    }

    #[test]
    fn nothing_stated_is_the_unitless_measure_with_a_warning() {
        let (got, warnings) = decide("", "", MOVIE).expect("it is allowed");
        assert_eq!((got.steps.as_slice(), got.time_step, got.unitless), (&[1.0, 1.0][..], 1.0, true));
        assert!(warnings[0].contains("--spacing t=2s,y=0.1um,x=0.1um"), "{warnings:?}");
        let (_, warnings) = decide("t=1,y=1,x=1", "", MOVIE).expect("it is complete");
        assert!(warnings.is_empty());
    }

    #[test]
    fn half_a_scale_is_refused_with_what_to_type() {
        for (user, file, word) in [
            ("", "y=0.1um,x=0.1um", "--spacing t=2s"),
            ("y=0.1um", "", "--spacing t=2s,x=0.1um"),
            ("y=1,x=1", "t=2s", "give units for every axis or for none"),
        ] {
            let message = decide(user, file, MOVIE).expect_err("half a scale").to_string();
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn an_axis_that_the_model_does_not_use_only_dates_the_maps() {
        let (got, warnings) = decide("y=2,x=2", "t=3s", FLAT).expect("t does not matter");
        assert_eq!((got.steps, got.time_step, got.unitless), (vec![2.0, 2.0], 3.0, true));
        assert!(warnings.is_empty());
    }

    #[test]
    fn another_aspect_is_refused_with_the_line_that_helps() {
        let (got, _) = decide("y=0.1um,x=0.2um", "", FLAT).expect("it is complete");
        let message =
            got.check_aspect(&contract(FLAT), "models/heat-closed-form.onnx", "u.tif").expect_err("1:2").to_string();
        assert!(
            message.contains(
                "mollifier bake models/heat-closed-form.toml --aspect y=1,x=2 -o models/heat-closed-form-y1-x2.onnx"
            ),
            "{message}"
        );
        let trunk = json!({ "sha256": "", "features": [], "reach": 0, "multiply_adds": 0 });
        let trained = Contract { trunk: Some(serde_json::from_value(trunk).expect("a trunk")), ..contract(FLAT) };
        let message = got.check_aspect(&trained, "models/heat.onnx", "u.tif").expect_err("1:2").to_string();
        let line = "bake models/heat.toml --trunk models/heat.trunk.onnx --aspect y=1,x=2 -o models/heat-y1-x2.onnx";
        assert!(message.contains(line), "{message}");
        assert!(got.check_aspect(&contract(&[("y", 1.0), ("x", 2.0)]), "m", "u").is_ok());
        let (near, _) = decide("y=0.1um,x=0.101um", "", FLAT).expect("it is complete");
        assert!(near.check_aspect(&contract(FLAT), "m", "u").is_ok());
    }

    #[test]
    fn units_of_outputs_follow() {
        let (got, _) = decide("t=2s,y=0.1um,x=0.1um", "", MOVIE).expect("it is complete");
        let inputs = contract(MOVIE).inputs;
        let unit = |formula| got.unit(&inputs, formula);
        assert_eq!(unit("y^2/t").as_deref(), Some("um^2/s"));
        assert_eq!(unit("kappa/t").as_deref(), Some("um^2/s"));
        assert_eq!(unit("m*y^2/u").as_deref(), Some("[unit of m]*um^2/[unit of u]"));
        assert_eq!(unit(""), None);
        assert_eq!(formula_in_words("u*y^2/t"), "[unit of u]*y^2/t");
        assert_eq!(formula_in_words("1/t"), "1/t");
    }
}
