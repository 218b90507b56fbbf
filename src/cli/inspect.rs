//! `mollifier inspect`: what a model file says of itself.

use std::fmt::Write;

use anyhow::Result;
use mollifier::model::{Contract, Fit, InputRole, Kind, ModelFile, Transform};

use super::args::InspectArgs;
use super::say;
use super::spacing::formula_in_words;

pub(crate) fn inspect(args: &InspectArgs) -> Result<()> {
    match ModelFile::load(&args.model)? {
        ModelFile::Inverse(model) if args.json => say(&serde_json::to_string_pretty(&model.contract)?),
        ModelFile::Inverse(model) => say(&describe(&model.name, &model.hash, &model.contract)?),
        ModelFile::Fit(fit) if args.json => say(&serde_json::to_string_pretty(&fit.record)?),
        ModelFile::Fit(fit) => say(&describe_fit(&fit)?),
    }
}

fn describe_fit(fit: &Fit) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let out = &mut text;
    let record = &fit.record;
    writeln!(out, "{}", fit.name)?;
    writeln!(out, "  law       {}: {}", fit.physics.name, fit.physics.equation)?;
    writeln!(out, "  is        a fit of one recording: lambda along {}, field", record.lambda_axes.join(", "))?;
    for axis in &record.axes {
        let unit = axis.unit.as_ref().map(|u| format!(" {u}")).unwrap_or_default();
        let (name, first, last, samples) = (&axis.name, axis.first, axis.last, axis.samples);
        writeln!(
            out,
            "  axis      {name} from {first} to {last}{unit}, {samples} samples {}{unit} apart",
            axis.spacing
        )?;
    }
    writeln!(out, "  smoothing {} evaluations of the network for a value of the field", record.stencil)?;
    for (key, value) in record.provenance.as_object().into_iter().flatten() {
        writeln!(out, "  {key:9} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))?;
    }
    writeln!(out, "  sha256    {}", fit.hash)?;
    Ok(text)
}

fn describe(name: &str, hash: &str, c: &Contract) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let out = &mut text;
    writeln!(out, "{name}")?;
    writeln!(out, "  law       {}: {}", c.physics.name, c.physics.equation)?;
    let takes = match c.kind {
        Kind::Series => "a series of samples".to_owned(),
        Kind::Fields => "images".to_owned(),
        Kind::Localisations => "a density map of localisations, or an image".to_owned(),
    };
    let frames = match (c.kind, c.window) {
        (Kind::Series, _) => format!("a sample is given out {} samples later", c.delay),
        (_, 1) => "one frame a map".to_owned(),
        (_, w) => format!("{w} frames a map, which belongs to the frame {} before the newest", c.delay),
    };
    writeln!(out, "  takes     {takes}; {frames}")?;
    let axes: Vec<String> = c.grid.iter().map(|a| format!("{} {}", a.name, a.aspect)).collect();
    let tolerance = 100.0 * c.aspect_tolerance;
    writeln!(out, "  grid      relative spacing {} (within {tolerance} %)", axes.join(", "))?;
    writeln!(out, "  inputs")?;
    for input in &c.inputs {
        let how = match input.role {
            InputRole::Recording => "the recording",
            InputRole::Field => "--with, a file or a number",
            InputRole::Constant => "--with, a number",
            InputRole::Noise => "from the recording, or --noise",
            InputRole::PhiLow | InputRole::PhiHigh | InputRole::Offset => "from the recording, or --with",
            InputRole::Spacing => "--spacing, or the file's",
            InputRole::Valid | InputRole::Time => "from the recording",
        };
        let unit = formula_in_words(&input.unit);
        let unit = if unit.is_empty() { unit } else { format!(", in {unit}") };
        let default = input.default.map(|d| format!(", default {d} without units")).unwrap_or_default();
        writeln!(out, "    {:10} {}{unit} ({how}{default})", input.name, input.description)?;
    }
    writeln!(out, "  outputs")?;
    for output in &c.outputs {
        let unit = formula_in_words(&output.unit);
        let unit = if unit.is_empty() { "a pure number".to_owned() } else { format!("in {unit}") };
        let space = if output.transform == Transform::Log { ", estimated as its logarithm" } else { "" };
        writeln!(out, "    {:10} {}, {unit}{space}", output.name, output.quantity)?;
    }
    writeln!(
        out,
        "  tiles     halo {}, aligned to {}, every radius from {} on",
        sizes(&c.halo),
        sizes(&c.alignment),
        sizes(&c.min_size)
    )?;
    writeln!(out, "  banks")?;
    for bank in &c.banks {
        writeln!(
            out,
            "    {:10} {} of radius {}, edge {}, {} maps from {}",
            bank.name,
            bank.family,
            sizes(&bank.radius),
            serde_json::to_value(bank.edge).ok().and_then(|e| e.as_str().map(str::to_owned)).unwrap_or_default(),
            bank.outputs.len(),
            bank.inputs.len()
        )?;
    }
    for group in &c.trained {
        writeln!(out, "  measured  {} from {} to {}", group.group, group.low, group.high)?;
    }
    for (condition, score) in &c.provenance.accuracy {
        writeln!(out, "  accuracy  {condition}: {score}")?;
    }
    writeln!(out, "  writer    {}", c.provenance.writer)?;
    writeln!(out, "  sha256    {hash}")?;
    Ok(text)
}

fn sizes(values: &[usize]) -> String {
    values.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ")
}
