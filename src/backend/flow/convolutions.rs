//! Finding the convolutions of a graph that ours computes, with the activation and the sum behind them.

use std::collections::HashMap;

use tract_onnx::pb;

use crate::graph::attribute;
use crate::operator::{Activation, Convolution, ConvolutionShape};

/// One convolution: what it replaces, and how it is computed.
#[derive(Debug)]
pub(super) struct Found {
    /// The tensor that is convolved, and the one added to the activated sum.
    pub(super) inputs: Vec<String>,
    pub(super) output: String,
    pub(super) convolution: Convolution,
    /// Nodes that it stands for, the last one making the output.
    pub(super) nodes: Vec<usize>,
}

/// The convolutions of stride 1, one group and odd kernels with zeros that keep the size.
///
/// `shapes` holds the shape of every tensor, `tile` that of a map: (y, x) or (sample).
pub(super) fn find(graph: &pb::GraphProto, shapes: &HashMap<String, Vec<usize>>, tile: &[usize]) -> Vec<Found> {
    let weights: HashMap<&str, &pb::TensorProto> = graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
    let outside: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    // The only reader of a tensor that nobody outside asks for.
    let only_reader = |name: &str| {
        let mut readers = graph.node.iter().enumerate().filter(|(_, n)| n.input.iter().any(|i| i == name));
        match (readers.next(), readers.next()) {
            (Some(reader), None) if !outside.contains(&name) => Some(reader),
            _ => None,
        }
    };
    let mut found = Vec::new();
    for (i, node) in graph.node.iter().enumerate() {
        let Some((shape, values, bias)) = describe(node, &weights, shapes, tile) else { continue };
        let mut one = (vec![node.input[0].clone()], node.output[0].clone(), vec![i]);
        let mut activation = Activation::None;
        if let Some((at, relu)) = only_reader(&one.1).filter(|(_, n)| n.op_type == "Relu") {
            activation = Activation::Relu;
            one.1.clone_from(&relu.output[0]);
            one.2.push(at);
        }
        if let Some((at, sum)) = only_reader(&one.1).filter(|(_, n)| n.op_type == "Add") {
            let other = sum.input.iter().find(|n| **n != one.1);
            if let Some(other) = other.filter(|n| shapes.get(*n) == shapes.get(&one.1)) {
                one.0.push(other.clone());
                one.1.clone_from(&sum.output[0]);
                one.2.push(at);
            }
        }
        let (inputs, output, nodes) = one;
        let convolution = Convolution::new(shape, &values, &bias, activation);
        found.push(Found { inputs, output, convolution, nodes });
    }
    found
}

/// Shape, weights and bias of a convolution; `None` where ours does not compute it.
fn describe(
    conv: &pb::NodeProto,
    weights: &HashMap<&str, &pb::TensorProto>,
    shapes: &HashMap<String, Vec<usize>>,
    tile: &[usize],
) -> Option<(ConvolutionShape, Vec<f32>, Vec<f32>)> {
    if conv.op_type != "Conv" {
        return None;
    }
    let attribute = |name: &str| attribute(conv, name);
    let list = |name: &str| attribute(name).map(|a| a.ints.clone());
    let kernel = weights.get(conv.input.get(1)?.as_str())?;
    let dims: Vec<usize> = kernel.dims.iter().map(|d| usize::try_from(*d).ok()).collect::<Option<_>>()?;
    let (outputs, inputs, spatial) = (*dims.first()?, *dims.get(1)?, dims.get(2..)?);
    let axes = spatial.len();
    let dilations = list("dilations").unwrap_or_else(|| vec![1; axes]);
    let strides = list("strides").unwrap_or_else(|| vec![1; axes]);
    let pads = list("pads").unwrap_or_else(|| vec![0; 2 * axes]);
    let kept = (0..axes).all(|a| {
        let half = (spatial[a] / 2) as i64 * dilations[a];
        spatial[a] % 2 == 1 && pads[a] == half && pads[a + axes] == half && strides[a] == 1
    });
    let plain = attribute("group").is_none_or(|a| a.i == 1) && attribute("auto_pad").is_none_or(|a| a.s == b"NOTSET");
    let fits = |name: &str, channels: usize| {
        let shape = shapes.get(name);
        shape.is_some_and(|s| s.len() == axes + 2 && s[..2] == [1, channels] && s[2..] == *tile)
    };
    let fit = axes == tile.len() && fits(&conv.output[0], outputs) && fits(&conv.input[0], inputs);
    if !(kept && plain && fit && (1..=2).contains(&axes)) {
        return None;
    }
    let pair = |values: &[usize]| if axes == 1 { [1, values[0]] } else { [values[0], values[1]] };
    if pair(spatial)[0] > Convolution::MOST_ROWS {
        return None;
    }
    let bias = match conv.input.get(2).filter(|n| !n.is_empty()) {
        Some(name) => floats(weights.get(name.as_str())?)?,
        None => vec![0.0; outputs],
    };
    let dilations: Vec<usize> = dilations.iter().map(|d| usize::try_from(*d).ok()).collect::<Option<_>>()?;
    let shape = ConvolutionShape {
        width: tile[axes - 1],
        channels: [inputs, outputs],
        kernel: pair(spatial),
        dilation: pair(&dilations),
    };
    Some((shape, floats(kernel)?, bias))
}

/// The values of a tensor of single precision.
pub(super) fn floats(tensor: &pb::TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != pb::tensor_proto::DataType::Float as i32 {
        return None;
    }
    if !tensor.float_data.is_empty() {
        return Some(tensor.float_data.clone());
    }
    Some(tensor.raw_data.chunks_exact(4).filter_map(|b| Some(f32::from_le_bytes(b.try_into().ok()?))).collect())
}
