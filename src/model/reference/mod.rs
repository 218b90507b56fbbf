//! A naive evaluation of a model's graph in double precision: the twin that every backend is held against.
//!
//! It computes the standard operators that `bake` writes, by their definition, one element at a time, with the
//! file's own (single precision) constants.

use std::collections::HashMap;

mod product;
mod reduce;
mod shape;

use ndarray::{ArrayD, IxDyn};

use super::{Model, ModelError};
use crate::graph::{self, attribute};
use crate::onnx::{self, DataType};
use product::{broadcast, conv, matmul};
use reduce::reduce;
pub(crate) use shape::shape_of;

impl Model {
    /// Compute the outputs for `inputs` (in the contract's order, with its axes) in f64.
    ///
    /// # Errors
    /// A graph with an operator outside the set that `bake` writes, or shapes that do not fit each other.
    pub fn reference(&self, inputs: &[ArrayD<f64>], size: &[usize]) -> Result<Vec<ArrayD<f64>>, ModelError> {
        let fail = |node: &str, message: String| ModelError::Reference {
            model: self.name.clone(),
            node: node.to_owned(),
            message,
        };
        let (proto, _) = self
            .restricted(size)
            .ok_or_else(|| fail("-", format!("got size {size:?}, expected at least {:?}", self.smallest())))?;
        let mut graph = proto.graph.unwrap_or_default();
        graph.output.truncate(self.contract.outputs.len());
        let names = self.contract.inputs.iter().map(|i| i.name.clone());
        let values = names.zip(inputs.iter().cloned()).collect();
        compute(&graph, values).map_err(|(node, message)| fail(&node, message))
    }
}

/// Compute the outputs of `graph` from `values`, its inputs by name.
///
/// # Errors
/// The node that cannot be computed, and why.
pub(crate) fn compute(
    graph: &onnx::GraphProto,
    mut values: HashMap<String, ArrayD<f64>>,
) -> Result<Vec<ArrayD<f64>>, (String, String)> {
    for tensor in &graph.initializer {
        values.insert(tensor.name.clone(), constant(tensor).map_err(|m| (tensor.name.clone(), m))?);
    }
    for node in &graph.node {
        let fail = |message| (node.name.clone(), message);
        let mut args: Vec<&ArrayD<f64>> = Vec::with_capacity(node.input.len());
        for name in inputs_of(node) {
            args.push(values.get(name).ok_or_else(|| fail(format!("input {name:?} was not computed")))?);
        }
        let results = evaluate(node, &args).map_err(fail)?;
        for (name, value) in node.output.iter().zip(results) {
            values.insert(name.clone(), value);
        }
    }
    let output =
        |o: &onnx::ValueInfoProto| values.remove(&o.name).ok_or((o.name.clone(), "was not computed".to_owned()));
    graph.output.iter().map(output).collect()
}

/// The names of what a node reads: an input that is left out at the end may still be named, by nothing.
pub(crate) fn inputs_of(node: &onnx::NodeProto) -> &[String] {
    let given = node.input.iter().rposition(|n| !n.is_empty()).map_or(0, |last| last + 1);
    &node.input[..given]
}

/// A tensor of floats, whole numbers or truths, whichever way its values are written.
pub(crate) fn constant(tensor: &onnx::TensorProto) -> Result<ArrayD<f64>, String> {
    let dims: Vec<usize> = tensor.dims.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
    let raw = &tensor.raw_data;
    #[expect(clippy::cast_precision_loss, reason = "sizes and axis numbers; the end of a slice may be i64::MAX")]
    let values: Vec<f64> = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) if raw.is_empty() => tensor.float_data.iter().map(|v| f64::from(*v)).collect(),
        Ok(DataType::Float) => {
            raw.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()
        }
        Ok(DataType::Int64) if raw.is_empty() => tensor.int64_data.iter().map(|v| *v as f64).collect(),
        Ok(DataType::Int64) => raw
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f64)
            .collect(),
        Ok(DataType::Bool) if raw.is_empty() => tensor.int32_data.iter().map(|v| f64::from(*v)).collect(),
        Ok(DataType::Bool) => raw.iter().map(|b| f64::from(*b)).collect(),
        _ => return Err(format!("got element type {}, expected float, int64 or bool", tensor.data_type)),
    };
    ArrayD::from_shape_vec(IxDyn(&dims), values).map_err(|e| e.to_string())
}

#[expect(clippy::cast_possible_truncation, reason = "tensors of whole numbers hold sizes and axes")]
fn whole(values: &ArrayD<f64>) -> Vec<i64> {
    values.iter().map(|v| *v as i64).collect()
}

fn axis_of(axis: i64, rank: usize) -> Result<usize, String> {
    graph::axis_of(axis, rank).ok_or_else(|| format!("got axis {axis}, expected one of {rank}"))
}

/// The outputs of one node.
///
/// # Errors
/// An operator outside the set that `bake` writes, or shapes that do not fit each other.
pub(crate) fn evaluate(node: &onnx::NodeProto, args: &[&ArrayD<f64>]) -> Result<Vec<ArrayD<f64>>, String> {
    let kind = node.op_type.as_str();
    let inputs = match kind {
        "Add" | "Sub" | "Mul" | "Div" | "Gather" | "Greater" | "MatMul" | "Reshape" | "Unsqueeze" => 2..=2,
        "Where" => 3..=3,
        "Conv" => 2..=3,
        "Slice" => 3..=5,
        "Max" | "Min" | "Concat" => 1..=usize::MAX,
        "Squeeze" | "Split" | "ReduceSum" | "ReduceMean" | "ReduceMin" => 1..=2,
        _ => 1..=1,
    };
    if !inputs.contains(&args.len()) {
        return Err(format!("{kind}: got {} inputs, expected {inputs:?}", args.len()));
    }
    let two = |f: fn(f64, f64) -> f64| broadcast(args[0], args[1], f);
    let all = |f: fn(f64, f64) -> f64| args[1..].iter().try_fold(args[0].clone(), |sum, next| broadcast(&sum, next, f));
    let unary = |f: fn(f64) -> f64| Ok(args[0].mapv(f));
    let one = match kind {
        "Add" => two(|a, b| a + b),
        "Sub" => two(|a, b| a - b),
        "Mul" => two(|a, b| a * b),
        "Div" => two(|a, b| a / b),
        "Max" => all(f64::max),
        "Min" => all(f64::min),
        "Greater" => two(|a, b| f64::from(u8::from(a > b))),
        "Where" => {
            // c is 1 or 0, and NaN on the side that is not chosen must not come through.
            let yes = broadcast(args[0], args[1], |c, y| if c > 0.5 { y } else { f64::INFINITY })?;
            let no = broadcast(args[0], args[2], |c, n| if c > 0.5 { f64::INFINITY } else { n })?;
            broadcast(&yes, &no, |y, n| if y == f64::INFINITY { n } else { y })
        }
        "Exp" => unary(f64::exp),
        "Log" => unary(f64::ln),
        "Sqrt" => unary(f64::sqrt),
        "Abs" => unary(f64::abs),
        "Tanh" => unary(f64::tanh),
        "Sigmoid" => unary(|x| 1.0 / (1.0 + (-x).exp())),
        "Reciprocal" => unary(f64::recip),
        "Relu" => unary(|x| x.max(0.0)),
        "Neg" => unary(|x| -x),
        "Identity" => Ok(args[0].clone()),
        "ConstantOfShape" => {
            let value = attribute(node, "value").and_then(|a| a.t.as_ref()).map(constant).transpose()?;
            let fill = value.and_then(|v| v.first().copied()).unwrap_or(0.0);
            let dims: Vec<usize> = whole(args[0]).iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
            Ok(ArrayD::from_elem(IxDyn(&dims), fill))
        }
        "Shape" => Ok(shape_of(node, args[0].shape())),
        "Reshape" => shape::reshape(node, args[0], args[1]),
        "Transpose" => shape::transpose(node, args[0]),
        "Unsqueeze" => shape::unsqueeze(args[0], args[1]),
        "Squeeze" => shape::squeeze(args[0], args.get(1).copied()),
        "Slice" => shape::slice(args),
        "Split" => return shape::split(node, args[0], args.get(1).copied()),
        "Concat" => shape::concat(node, args),
        "Gather" => shape::gather(node, args[0], args[1]),
        "DepthToSpace" => shape::depth_to_space(node, args[0]),
        "ReduceSum" => reduce(node, args, 0.0, |a, b| a + b),
        "ReduceMean" => {
            let sum = reduce(node, args, 0.0, |a, b| a + b)?;
            let count = args[0].len() as f64 / sum.len() as f64;
            Ok(sum / count)
        }
        "ReduceMin" => reduce(node, args, f64::INFINITY, f64::min),
        "MatMul" => matmul(args[0], args[1]),
        "Conv" => conv(node, args),
        other => Err(format!("operator {other} is not one that `bake` writes")),
    };
    one.map(|value| vec![value])
}
