//! Computing the contract's banks, and all that is pointwise between them, by our own operators inside a tract plan.
//!
//! Banks gain two things over tract's convolutions: a tile gives the same bits as the whole frame, since every output
//! is summed in tap order wherever it lies, and rows share what they load. Pointwise operators pass over the maps
//! once instead of hundreds of times.

mod bank;
mod pointwise;

use std::collections::HashMap;

use tract_onnx::pb;
use tract_onnx::prelude::*;

use super::fuse::fuse;
use crate::graph::{BankRecord, merge_twins, node, prune, supplant, text};

/// Our operators in a graph that was prepared for tract; they never stand in a file.
const BANK: &str = "MollifierBank";
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

/// tract's ONNX reader with our operators in its register.
pub(super) fn reader() -> tract_onnx::Onnx {
    let mut onnx = tract_onnx::onnx();
    onnx.op_register.insert(BANK, bank::parse);
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
