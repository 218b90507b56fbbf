//! The protobuf pieces of a graph.

use std::collections::{HashMap, HashSet};

use crate::onnx::{self, AttributeType, DataType, Dimension, DimensionValue};

/// One dimension of a declared tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dim {
    Fixed(usize),
    Named(&'static str),
}

pub(crate) fn tensor_info(name: &str, dims: &[Dim]) -> onnx::ValueInfoProto {
    let dim = dims
        .iter()
        .map(|d| Dimension {
            value: Some(match d {
                Dim::Fixed(n) => DimensionValue::DimValue(i64::try_from(*n).unwrap_or(i64::MAX)),
                Dim::Named(n) => DimensionValue::DimParam((*n).to_owned()),
            }),
            ..Default::default()
        })
        .collect();
    onnx::ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(onnx::TypeProto {
            tensor_type: Some(onnx::TensorTypeProto {
                elem_type: DataType::Float as i32,
                shape: Some(onnx::TensorShapeProto { dim }),
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(crate) fn node(
    op: &str,
    inputs: &[&str],
    outputs: &[&str],
    attribute: Vec<onnx::AttributeProto>,
) -> onnx::NodeProto {
    onnx::NodeProto {
        name: outputs.first().map(|o| format!("{op}:{o}")).unwrap_or_default(),
        op_type: op.to_owned(),
        input: inputs.iter().map(|s| (*s).to_owned()).collect(),
        output: outputs.iter().map(|s| (*s).to_owned()).collect(),
        attribute,
        ..Default::default()
    }
}

pub(crate) fn ints(name: &str, values: &[i64]) -> onnx::AttributeProto {
    onnx::AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Ints as i32,
        ints: values.to_vec(),
        ..Default::default()
    }
}

pub(crate) fn int(name: &str, value: i64) -> onnx::AttributeProto {
    onnx::AttributeProto { name: name.to_owned(), r#type: AttributeType::Int as i32, i: value, ..Default::default() }
}

pub(crate) fn tensor(name: &str, value: onnx::TensorProto) -> onnx::AttributeProto {
    onnx::AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Tensor as i32,
        t: Some(value),
        ..Default::default()
    }
}

pub(crate) fn float_tensor(name: &str, dims: Vec<i64>, values: &[f32]) -> onnx::TensorProto {
    onnx::TensorProto {
        name: name.to_owned(),
        dims,
        data_type: DataType::Float as i32,
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Default::default()
    }
}

pub(crate) fn int_tensor(name: &str, values: &[i64]) -> onnx::TensorProto {
    onnx::TensorProto {
        name: name.to_owned(),
        dims: vec![i64::try_from(values.len()).unwrap_or(i64::MAX)],
        data_type: DataType::Int64 as i32,
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Default::default()
    }
}

/// Give every declared input its shape in `inputs`, in the graph's order, and every output the shape `output`.
#[cfg(feature = "ort")]
pub(crate) fn bind_shape(graph: &mut onnx::GraphProto, inputs: &[Vec<usize>], output: &[usize]) {
    let fixed = |shape: &[usize]| shape.iter().map(|n| Dim::Fixed(*n)).collect::<Vec<_>>();
    for (info, shape) in graph.input.iter_mut().zip(inputs) {
        *info = tensor_info(&info.name, &fixed(shape));
    }
    for info in &mut graph.output {
        *info = tensor_info(&info.name, &fixed(output));
    }
}

/// Remove the nodes and initializers that no output needs.
pub(crate) fn prune(graph: &mut onnx::GraphProto) {
    let mut needed: HashSet<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    let mut kept = Vec::with_capacity(graph.node.len());
    for node in graph.node.drain(..).rev() {
        if node.output.iter().any(|o| needed.contains(o)) {
            needed.extend(node.input.iter().filter(|i| !i.is_empty()).cloned());
            kept.push(node);
        }
    }
    kept.reverse();
    graph.node = kept;
    graph.initializer.retain(|t| needed.contains(&t.name));
}

/// Let the tensors `names` be made by the nodes `by` instead of those that make them now.
///
/// The new nodes stand where the first of the old ones stood, so what they read must have been made before.
pub(crate) fn supplant(graph: &mut onnx::GraphProto, names: &[&str], by: Vec<onnx::NodeProto>) {
    let mut by = Some(by);
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in graph.node.drain(..) {
        for output in &mut node.output {
            if names.contains(&output.as_str()) {
                output.push_str(".supplanted");
                nodes.extend(by.take().unwrap_or_default());
            }
        }
        nodes.push(node);
    }
    graph.node = nodes;
}

/// Let nodes that compute the same from the same stand once, and take out the nodes that only rename.
///
/// tract (0.23.9) merges such twins by itself, but loses both where they share two inputs in different order.
pub(crate) fn merge_twins(graph: &mut onnx::GraphProto) {
    let outputs: HashSet<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    let mut names: HashMap<String, String> = HashMap::new();
    let mut known: HashMap<String, Vec<String>> = HashMap::new();
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in graph.node.drain(..) {
        for input in &mut node.input {
            if let Some(name) = names.get(input) {
                input.clone_from(name);
            }
        }
        if node.output.iter().any(|o| outputs.contains(o)) {
            nodes.push(node);
        } else if node.op_type == "Identity" {
            names.insert(node.output[0].clone(), node.input[0].clone());
        } else {
            let key = format!("{} {:?} {:?} {}", node.op_type, node.input, node.attribute, node.output.len());
            if let Some(twin) = known.get(&key) {
                names.extend(node.output.iter().cloned().zip(twin.iter().cloned()));
            } else {
                known.insert(key, node.output.clone());
                nodes.push(node);
            }
        }
    }
    graph.node = nodes;
}
