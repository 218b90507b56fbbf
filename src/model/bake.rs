//! From a spec to a model file.

use prost::Message;
use sha2::{Digest, Sha256};
use tract_onnx::pb;

use super::contract::{AxisGrid, Contract, METADATA_KEY, Physics, Provenance, VERSION};
use super::{Aspect, ModelError, Spec};
use crate::graph::{Graph, IR_VERSION, OPSET};
use crate::physics::{self, Design, InputRole, Inputs, Kind, Output, Transform};

/// Choices at baking time that are not in the spec.
#[derive(Clone, Copy, Debug, Default)]
pub struct BakeOptions {
    /// Lay the radii out for this pixel aspect instead of the spec's.
    pub aspect: Option<Aspect>,
    /// Write the front end alone: the outputs are the feature maps that a trunk takes.
    pub front_end: bool,
}

/// Write the model that `text`, a spec in TOML, describes. The same spec gives the same bytes.
///
/// # Errors
/// A spec that cannot be understood ([`ModelError::Spec`]) or built ([`ModelError::Physics`]).
pub fn bake(path: &str, text: &str, options: BakeOptions) -> Result<Vec<u8>, ModelError> {
    let spec = Spec::parse(path, text)?;
    let law = physics::law(&spec.physics).ok_or_else(|| ModelError::Spec {
        path: path.to_owned(),
        message: format!(
            "physics: got {:?}, expected one of {}",
            spec.physics,
            physics::laws().iter().map(|l| l.describe().name).collect::<Vec<_>>().join(", ")
        ),
    })?;
    let description = law.describe();
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
    let design =
        Design { aspect: if series { vec![1.0] } else { vec![aspect.y, aspect.x] }, table: spec.design.clone() };
    let estimate = law.build(&graph, &inputs, &design)?;
    let outputs: Vec<Output> = if options.front_end {
        for (name, value) in &estimate.features {
            graph.output(name, value);
        }
        estimate.features.iter().map(|(name, _)| Output::new(name, "trunk input", "", Transform::Identity)).collect()
    } else {
        for (output, value) in description.outputs.iter().zip(&estimate.outputs) {
            graph.output(&output.name, value);
        }
        description.outputs.clone()
    };
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
        outputs,
        alignment: vec![1; graph.axes()],
        min_size: largest(finished.banks.iter().map(crate::graph::BankRecord::min_size), graph.axes()),
        window: description.window,
        delay: if series { finished.halo[0] } else { description.window - 1 - description.window / 2 },
        halo: finished.halo,
        banks: finished.banks,
        trained: spec.tested.clone(),
        provenance: Provenance {
            writer: format!("mollifier {}", env!("CARGO_PKG_VERSION")),
            spec_sha256: hexadecimal(&Sha256::digest(text.as_bytes())),
            seeds: Vec::new(),
            accuracy: Vec::new(),
        },
    };
    let json = serde_json::to_string(&contract)
        .map_err(|e| ModelError::Contract { path: path.to_owned(), message: e.to_string() })?;
    let model = pb::ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: OPSET }],
        producer_name: "mollifier".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(finished.graph),
        metadata_props: vec![pb::StringStringEntryProto { key: METADATA_KEY.to_owned(), value: json }],
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
