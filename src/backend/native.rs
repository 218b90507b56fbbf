//! Computing the contract's banks, and all that is pointwise between them, by our own operators inside a tract plan.
//!
//! Banks gain two things over tract's convolutions: a tile gives the same bits as the whole frame, since every output
//! is summed in tap order wherever it lies, and rows share what they load. Pointwise operators pass over the maps
//! once instead of hundreds of times.

mod bank;
mod convolution;
mod pointwise;

use std::collections::HashMap;

use tract_onnx::pb;
use tract_onnx::prelude::*;

use super::fuse::fuse;
use crate::graph::{BankRecord, merge_twins, node, prune, supplant, text};

/// Our operators in a graph that was prepared for tract; they never stand in a file.
const BANK: &str = "MollifierBank";
const CONVOLUTION: &str = "MollifierConvolution";
const POINTWISE: &str = "MollifierPointwise";

/// Let every bank of `banks` but those in `dropped` be computed by one operator for each of its inputs.
pub(super) fn nativize(proto: &mut pb::ModelProto, banks: &[BankRecord], dropped: &[String], tile: &[usize]) {
    let Some(graph) = proto.graph.as_mut() else { return };
    for bank in banks.iter().filter(|b| !dropped.contains(&b.name)) {
        for (i, input) in bank.inputs.iter().enumerate() {
            let outputs: Vec<&str> = bank.outputs.iter().filter(|o| o.input == i).map(|o| o.name.as_str()).collect();
            let one = BankRecord {
                inputs: vec![input.clone()],
                outputs: bank.outputs.iter().filter(|o| o.input == i).cloned().collect(),
                ..bank.clone()
            };
            let Ok(record) = serde_json::to_string(&(one, tile)) else { continue };
            let native = node(BANK, &[input], &outputs, vec![text("record", record)]);
            supplant(graph, &outputs, vec![native]);
        }
    }
    prune(graph);
    merge_twins(graph);
}

/// Let one operator compute all that is pointwise between two banks. `shapes` holds the shape of every tensor.
pub(super) fn fuse_pointwise(proto: &mut pb::ModelProto, shapes: &HashMap<String, Vec<usize>>, tile: &[usize]) {
    let Some(graph) = proto.graph.as_mut() else { return };
    fuse(graph, shapes, tile, |group| {
        let inputs: Vec<&str> = group.inputs.iter().map(String::as_str).collect();
        let outputs: Vec<&str> = group.outputs.iter().map(|o| o.0.as_str()).collect();
        let shapes: Vec<&Vec<usize>> = group.outputs.iter().map(|o| &o.1).collect();
        let record = serde_json::to_string(&(&group.program, shapes)).unwrap_or_default();
        node(POINTWISE, &inputs, &outputs, vec![text("record", record)])
    });
    prune(graph);
}

/// Let our operator compute the convolutions that it can: stride 1, one group, odd kernels, zeros that keep the size.
pub(super) fn replace_convolutions(proto: &mut pb::ModelProto, shapes: &HashMap<String, Vec<usize>>, tile: &[usize]) {
    let Some(graph) = proto.graph.as_mut() else { return };
    let weights: HashMap<&str, &pb::TensorProto> = graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
    let replaced: Vec<(usize, pb::NodeProto)> = graph
        .node
        .iter()
        .enumerate()
        .filter_map(|(i, conv)| {
            let record = serde_json::to_string(&convolution_record(conv, &weights, shapes, tile)?).ok()?;
            Some((i, node(CONVOLUTION, &[&conv.input[0]], &[&conv.output[0]], vec![text("record", record)])))
        })
        .collect();
    for (i, node) in replaced {
        graph.node[i] = node;
    }
}

/// What our operator needs to know of a convolution; `None` where it does not compute it.
fn convolution_record(
    conv: &pb::NodeProto,
    weights: &HashMap<&str, &pb::TensorProto>,
    shapes: &HashMap<String, Vec<usize>>,
    tile: &[usize],
) -> Option<convolution::Record> {
    if conv.op_type != "Conv" {
        return None;
    }
    let list = |name: &str| conv.attribute.iter().find(|a| a.name == name).map(|a| a.ints.clone());
    let group = conv.attribute.iter().find(|a| a.name == "group").map_or(1, |a| a.i);
    let padding = conv.attribute.iter().find(|a| a.name == "auto_pad").is_none_or(|a| a.s == b"NOTSET");
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
    let shape = shapes.get(&conv.output[0])?;
    let fits = shape.len() == axes + 2 && shape[0] == 1 && shape[2..] == *tile && axes == tile.len();
    if !(kept && fits && group == 1 && padding && (1..=2).contains(&axes)) {
        return None;
    }
    let bias = match conv.input.get(2).filter(|n| !n.is_empty()) {
        Some(name) => floats(weights.get(name.as_str())?)?,
        None => vec![0.0; outputs],
    };
    let pair = |values: &[usize]| if axes == 1 { [1, values[0]] } else { [values[0], values[1]] };
    let dilations: Vec<usize> = dilations.iter().map(|d| usize::try_from(*d).ok()).collect::<Option<_>>()?;
    let bound = [pair(tile), [inputs, outputs], pair(spatial), pair(&dilations)];
    Some((bound, shape.clone(), floats(kernel)?, bias))
}

/// The values of a tensor of single precision.
fn floats(tensor: &pb::TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != pb::tensor_proto::DataType::Float as i32 {
        return None;
    }
    if !tensor.float_data.is_empty() {
        return Some(tensor.float_data.clone());
    }
    Some(tensor.raw_data.chunks_exact(4).filter_map(|b| Some(f32::from_le_bytes(b.try_into().ok()?))).collect())
}

/// tract's ONNX reader with our operators in its register.
pub(super) fn reader() -> tract_onnx::Onnx {
    let mut onnx = tract_onnx::onnx();
    onnx.op_register.insert(BANK, bank::parse);
    onnx.op_register.insert(CONVOLUTION, convolution::parse);
    onnx.op_register.insert(POINTWISE, pointwise::parse);
    onnx
}

/// The JSON that describes one of our operators.
fn record(node: &pb::NodeProto) -> &[u8] {
    node.attribute.iter().find(|a| a.name == "record").map(|a| a.s.as_slice()).unwrap_or_default()
}

/// A tensor whose values do not matter yet.
fn unwritten(shape: &[usize]) -> TractResult<Tensor> {
    // SAFETY: single precision has no invalid bits, and our operators write every value before anything reads it.
    unsafe { Tensor::uninitialized::<f32>(shape) }
}
