//! From a spec to a model file.

use prost::Message;
use sha2::{Digest, Sha256};

use super::contract::{AxisGrid, Contract, METADATA_KEY, Physics, Provenance, VERSION};
use super::trunk::UNIT;
use super::{Aspect, FEATURES, ModelError, Spec, Trunk, TrunkRecord};
use crate::graph::{Graph, GraphError, IR_VERSION, OPSET, Value};
use crate::kernel::KernelError;
use crate::onnx;
use crate::physics::{self, Design, InputRole, Inputs, Kind, Output, PhysicsError, Transform};

/// Bound of a trunk's delta and log_std: factors beyond e^8 are no estimates, and exp stays finite.
const LARGEST: f64 = 8.0;

/// Choices at baking time that are not in the spec.
#[derive(Clone, Debug, Default)]
pub struct BakeOptions {
    /// Lay the radii out for this pixel aspect instead of the spec's.
    pub aspect: Option<Aspect>,
    /// Write the front end alone: the closed form, and the maps that a trunk takes as one further output `features`.
    pub front_end: bool,
    /// Put this trunk behind the front end; the model then gives `std` too, in the space of lambda's transform.
    pub trunk: Option<Trunk>,
}

/// The window asked for, where a law that usually takes `usual` frames can have it; else what it could have.
fn window(asked: usize, usual: usize) -> Result<usize, &'static str> {
    match asked {
        _ if usual == 1 => Err("none: this law takes no window of frames"),
        3..=31 if !asked.is_multiple_of(2) => Ok(asked),
        _ => Err("an odd number from 3 to 31"),
    }
}

/// Write the model that `text`, a spec in TOML, describes. The same spec gives the same bytes.
///
/// # Errors
/// A spec that cannot be understood ([`ModelError::Spec`]) or built ([`ModelError::Physics`]).
pub fn bake(path: &str, text: &str, options: &BakeOptions) -> Result<Vec<u8>, ModelError> {
    if let (true, Some(trunk)) = (options.front_end, &options.trunk) {
        return Err(trunk.error("-", "a front end alone has no trunk: ask for one of the two".to_owned()));
    }
    let spec = Spec::parse(path, text)?;
    let law = physics::law(&spec.physics).ok_or_else(|| ModelError::Spec {
        path: path.to_owned(),
        message: format!(
            "physics: got {:?}, expected one of {}",
            spec.physics,
            physics::laws().iter().map(|l| l.describe().name).collect::<Vec<_>>().join(", ")
        ),
    })?;
    let mut description = law.describe();
    if let Some(got) = spec.window {
        description.window = window(got, description.window).map_err(|expected| ModelError::Spec {
            path: path.to_owned(),
            message: format!("window: got {got}, expected {expected}"),
        })?;
    }
    let aspect = options.aspect.unwrap_or(spec.aspect);
    let series = description.kind == Kind::Series;
    let graph = Graph::new(if series { 1 } else { 2 });
    let mut inputs = Inputs::default();
    for input in &description.inputs {
        let value = match input.role {
            InputRole::Recording | InputRole::Valid if !series => graph.window_input(&input.name, description.window),
            InputRole::Recording | InputRole::Valid | InputRole::Field => graph.map_input(&input.name),
            InputRole::Spacing => graph.vector_input(&input.name, graph.axes()),
            InputRole::Time => graph.time_input(&input.name, description.window),
            InputRole::Noise if series => graph.map_input(&input.name),
            InputRole::Noise | InputRole::Constant | InputRole::Offset | InputRole::PhiLow | InputRole::PhiHigh => {
                graph.scalar_input(&input.name)
            }
        };
        inputs.insert(&input.name, value);
    }
    let design = Design {
        aspect: if series { vec![1.0] } else { vec![aspect.y, aspect.x] },
        window: description.window,
        table: spec.design.clone(),
    };
    let estimate = law.build(&graph, &inputs, &design).map_err(|e| match &e {
        // The radii are those along the short side of a pixel; along the long one they are fewer pixels.
        PhysicsError::Graph(GraphError::Kernel { source: KernelError::TooFewTaps { .. }, .. }) if aspect.y != aspect.x => {
            ModelError::Spec {
                path: path.to_owned(),
                message: format!(
                    "{e} (pixels of aspect y={},x={}: along their long side a radius is fewer of them): give a copy of the \
                     spec larger radii",
                    aspect.y, aspect.x
                ),
            }
        }
        _ => e.into(),
    })?;
    let mut declared = description.outputs.clone();
    let mut maps = estimate.outputs;
    let (names, features): (Vec<&str>, Vec<&Value>) = estimate.features.iter().map(|(n, v)| (n.as_str(), v)).unzip();
    let mut record = None;
    if let Some(trunk) = &options.trunk {
        let channels = graph.stack(&features);
        let refine = estimate
            .refine
            .ok_or_else(|| trunk.error("features", format!("the law {} takes no trunk", description.name)))?;
        trunk.check(&names, graph.axes())?;
        let (delta, log_std) = trunk.behind(&graph, &channels);
        let refined = refine(&delta.clamp(-LARGEST, LARGEST))?;
        maps = refined.outputs;
        let std = log_std.clamp(-LARGEST, LARGEST).exp();
        let (name, unit) = declared.first().map_or(("", ""), |lambda| (lambda.name.as_str(), lambda.unit.as_str()));
        let (std, output) = match &estimate.unit {
            Some(scale) => (std * scale, (format!("standard deviation of {name}"), unit)),
            None => (std, (format!("standard deviation of ln({name})"), "")),
        };
        maps.push(std.or_nan(&refined.seen));
        declared.push(Output::new("std", &output.0, output.1, Transform::Identity));
        record = Some(TrunkRecord {
            sha256: trunk.sha256().to_owned(),
            features: names.iter().map(|n| (*n).to_owned()).collect(),
            reach: trunk.reach(),
            multiply_adds: trunk.multiply_adds(),
        });
    }
    for (output, value) in declared.iter().zip(&maps) {
        graph.output(&output.name, value);
    }
    if options.front_end {
        graph.stacked_output(FEATURES, &features);
        if let Some(unit) = &estimate.unit {
            graph.output(UNIT, unit);
        }
    }
    let finished = graph.finish(description.name);
    let axes: &[(&str, f64)] = match description.kind {
        Kind::Series => &[("t", 1.0)],
        _ if description.window > 1 => &[("t", 1.0), ("y", aspect.y), ("x", aspect.x)],
        _ => &[("y", aspect.y), ("x", aspect.x)],
    };
    // An input that no output needs stays a graph input, so that the runtime binds all models of a law alike.
    let contract = Contract {
        version: VERSION,
        physics: Physics { name: description.name.to_owned(), equation: description.equation.to_owned() },
        kind: description.kind,
        inputs: description.inputs.clone(),
        grid: axes.iter().map(|(name, aspect)| AxisGrid { name: (*name).to_owned(), aspect: *aspect }).collect(),
        aspect_tolerance: spec.aspect_tolerance,
        outputs: declared,
        alignment: vec![options.trunk.as_ref().map_or(1, Trunk::alignment); graph.axes()],
        min_size: largest(finished.banks.iter().map(crate::graph::BankRecord::min_size), graph.axes()),
        window: description.window,
        delay: if series { finished.halo[0] } else { description.window - 1 - description.window / 2 },
        halo: finished.halo,
        banks: finished.banks,
        trained: spec.tested.clone(),
        trunk: record,
        features: if options.front_end { names.iter().map(|n| (*n).to_owned()).collect() } else { Vec::new() },
        provenance: Provenance {
            writer: format!("mollifier {}", env!("CARGO_PKG_VERSION")),
            spec_sha256: hexadecimal(&Sha256::digest(text.as_bytes())),
            seeds: options.trunk.as_ref().map(|t| t.seeds().to_vec()).unwrap_or_default(),
            accuracy: Vec::new(),
        },
    };
    let json = serde_json::to_string(&contract)
        .map_err(|e| ModelError::Contract { path: path.to_owned(), message: e.to_string() })?;
    let model = onnx::ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![onnx::OperatorSetIdProto { domain: String::new(), version: OPSET }],
        producer_name: "mollifier".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(finished.graph),
        metadata_props: vec![onnx::StringStringEntryProto { key: METADATA_KEY.to_owned(), value: json }],
        ..Default::default()
    };
    Ok(model.encode_to_vec())
}

fn largest(sizes: impl Iterator<Item = Vec<usize>>, axes: usize) -> Vec<usize> {
    sizes.fold(vec![1; axes], |most, size| most.iter().zip(&size).map(|(a, b)| *a.max(b)).collect())
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
