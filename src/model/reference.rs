//! A naive evaluation of a model's graph in double precision: the twin that every backend is held against.
//!
//! It computes the standard operators that `bake` writes, by their definition, one element at a time, with the
//! file's own (single precision) constants.

use std::collections::HashMap;

use ndarray::{ArrayD, Axis, IxDyn, Slice, Zip};
use tract_onnx::pb;

use super::{Model, ModelError};

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
        let graph = proto.graph.unwrap_or_default();
        let mut values: HashMap<String, ArrayD<f64>> = HashMap::new();
        for tensor in &graph.initializer {
            values.insert(tensor.name.clone(), constant(tensor).map_err(|m| fail(&tensor.name, m))?);
        }
        for (input, value) in self.contract.inputs.iter().zip(inputs) {
            values.insert(input.name.clone(), value.clone());
        }
        for node in &graph.node {
            let args: Vec<&ArrayD<f64>> = node
                .input
                .iter()
                .map(|n| values.get(n).ok_or_else(|| fail(&node.name, format!("input {n} was not computed"))))
                .collect::<Result<_, _>>()?;
            let results = evaluate(node, &args).map_err(|m| fail(&node.name, m))?;
            for (name, value) in node.output.iter().zip(results) {
                values.insert(name.clone(), value);
            }
        }
        graph
            .output
            .iter()
            .take(self.contract.outputs.len())
            .map(|o| values.remove(&o.name).ok_or_else(|| fail(&o.name, "output was not computed".to_owned())))
            .collect()
    }
}

fn constant(tensor: &pb::TensorProto) -> Result<ArrayD<f64>, String> {
    let dims: Vec<usize> = tensor.dims.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
    let raw = &tensor.raw_data;
    #[expect(clippy::cast_precision_loss, reason = "sizes and axis numbers; the end of a slice may be i64::MAX")]
    let values: Vec<f64> = if tensor.data_type == pb::tensor_proto::DataType::Float as i32 {
        raw.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()
    } else if tensor.data_type == pb::tensor_proto::DataType::Int64 as i32 {
        raw.chunks_exact(8)
            .map(|b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f64)
            .collect()
    } else {
        return Err(format!("got element type {}, expected float or int64", tensor.data_type));
    };
    ArrayD::from_shape_vec(IxDyn(&dims), values).map_err(|e| e.to_string())
}

fn attribute<'a>(node: &'a pb::NodeProto, name: &str) -> Option<&'a pb::AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

#[expect(clippy::cast_possible_truncation, reason = "tensors of whole numbers hold sizes and axes")]
fn whole(values: &ArrayD<f64>) -> Vec<i64> {
    values.iter().map(|v| *v as i64).collect()
}

fn axis_of(axis: i64, rank: usize) -> usize {
    usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).unwrap_or(0)
}

fn evaluate(node: &pb::NodeProto, args: &[&ArrayD<f64>]) -> Result<Vec<ArrayD<f64>>, String> {
    let one = |v: ArrayD<f64>| Ok(vec![v]);
    let unary = |f: fn(f64) -> f64| Ok(vec![args[0].mapv(f)]);
    match node.op_type.as_str() {
        "Add" => one(broadcast(args[0], args[1], |a, b| a + b)?),
        "Sub" => one(broadcast(args[0], args[1], |a, b| a - b)?),
        "Mul" => one(broadcast(args[0], args[1], |a, b| a * b)?),
        "Div" => one(broadcast(args[0], args[1], |a, b| a / b)?),
        "Max" => one(broadcast(args[0], args[1], f64::max)?),
        "Min" => one(broadcast(args[0], args[1], f64::min)?),
        "Greater" => one(broadcast(args[0], args[1], |a, b| f64::from(u8::from(a > b)))?),
        "Where" => {
            // c is 1 or 0, and NaN on the side that is not chosen must not come through.
            let yes = broadcast(args[0], args[1], |c, y| if c > 0.5 { y } else { f64::INFINITY })?;
            let no = broadcast(args[0], args[2], |c, n| if c > 0.5 { f64::INFINITY } else { n })?;
            one(broadcast(&yes, &no, |y, n| if y == f64::INFINITY { n } else { y })?)
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
        "Identity" => one(args[0].clone()),
        "Shape" => one(vector(args[0].shape().iter().map(|n| *n as f64).collect())),
        "ConstantOfShape" => {
            let value = attribute(node, "value").and_then(|a| a.t.as_ref()).map(constant).transpose()?;
            let fill = value.and_then(|v| v.first().copied()).unwrap_or(0.0);
            let dims: Vec<usize> = whole(args[0]).iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
            one(ArrayD::from_elem(IxDyn(&dims), fill))
        }
        "Reshape" => {
            let dims: Vec<usize> = whole(args[1]).iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
            let values: Vec<f64> = args[0].iter().copied().collect();
            one(ArrayD::from_shape_vec(IxDyn(&dims), values).map_err(|e| e.to_string())?)
        }
        "Unsqueeze" => {
            let axis = axis_of(whole(args[1])[0], args[0].ndim() + 1);
            one(args[0].clone().insert_axis(Axis(axis)))
        }
        "Squeeze" => {
            let axis = axis_of(whole(args[1])[0], args[0].ndim());
            one(args[0].index_axis(Axis(axis), 0).to_owned())
        }
        "Slice" => {
            let axis = axis_of(whole(args[3])[0], args[0].ndim());
            let len = args[0].shape()[axis] as i64;
            let place = |i: i64| if i < 0 { (i + len).max(0) } else { i.min(len) } as isize;
            let (from, to) = (place(whole(args[1])[0]), place(whole(args[2])[0]));
            one(args[0].slice_axis(Axis(axis), Slice::new(from, Some(to), 1)).to_owned())
        }
        "Split" => {
            let axis = attribute(node, "axis").map_or(0, |a| axis_of(a.i, args[0].ndim()));
            let mut from = 0;
            Ok(whole(args[1])
                .iter()
                .map(|n| {
                    let to = from + *n as isize;
                    let part = args[0].slice_axis(Axis(axis), Slice::new(from, Some(to), 1)).to_owned();
                    from = to;
                    part
                })
                .collect())
        }
        "Concat" => {
            let axis = attribute(node, "axis").map_or(0, |a| axis_of(a.i, args[0].ndim()));
            let views: Vec<_> = args.iter().map(|a| a.view()).collect();
            one(ndarray::concatenate(Axis(axis), &views).map_err(|e| e.to_string())?)
        }
        "ReduceSum" => one(args[0].sum_axis(Axis(axis_of(whole(args[1])[0], args[0].ndim()))).insert_axis(Axis(1))),
        "ReduceMean" => one(args[0].mean_axis(Axis(1)).ok_or("empty window")?.insert_axis(Axis(1))),
        "ReduceMin" => one(args[0].fold_axis(Axis(1), f64::INFINITY, |a, b| a.min(*b)).insert_axis(Axis(1))),
        "MatMul" => one(matmul(args[0], args[1])?),
        "Conv" => one(conv(node, args)?),
        other => Err(format!("operator {other} is not one that `bake` writes")),
    }
}

fn vector(values: Vec<f64>) -> ArrayD<f64> {
    ndarray::Array1::from_vec(values).into_dyn()
}

fn common(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], d: usize| if d + s.len() < rank { 1 } else { s[d + s.len() - rank] };
    (0..rank)
        .map(|d| match (at(a, d), at(b, d)) {
            (p, q) if p == q => Ok(p),
            (1, q) => Ok(q),
            (p, 1) => Ok(p),
            _ => Err(format!("shapes {a:?} and {b:?} do not broadcast")),
        })
        .collect()
}

fn broadcast(a: &ArrayD<f64>, b: &ArrayD<f64>, f: impl Fn(f64, f64) -> f64) -> Result<ArrayD<f64>, String> {
    let shape = common(a.shape(), b.shape())?;
    let (a, b) = (
        a.broadcast(IxDyn(&shape)).ok_or("shapes do not broadcast")?,
        b.broadcast(IxDyn(&shape)).ok_or("shapes do not broadcast")?,
    );
    Ok(Zip::from(&a).and(&b).map_collect(|x, y| f(*x, *y)))
}

fn matmul(a: &ArrayD<f64>, b: &ArrayD<f64>) -> Result<ArrayD<f64>, String> {
    let (ra, rb) = (a.ndim(), b.ndim());
    if ra < 2 || rb < 2 {
        return Err("expected matrices".to_owned());
    }
    let (m, k, n) = (a.shape()[ra - 2], a.shape()[ra - 1], b.shape()[rb - 1]);
    let batch = common(&a.shape()[..ra - 2], &b.shape()[..rb - 2])?;
    let full = |tail: [usize; 2]| batch.iter().copied().chain(tail).collect::<Vec<_>>();
    let a = a.broadcast(IxDyn(&full([m, k]))).ok_or("batches do not broadcast")?.to_owned();
    let b = b.broadcast(IxDyn(&full([k, n]))).ok_or("inner sizes differ")?.to_owned();
    let flat = |v: ArrayD<f64>, r, c| v.into_shape_with_order((batch.iter().product::<usize>(), r, c));
    let (a, b) = (flat(a, m, k).map_err(|e| e.to_string())?, flat(b, k, n).map_err(|e| e.to_string())?);
    let mut out = ndarray::Array3::zeros((a.shape()[0], m, n));
    for ((mut o, a), b) in out.outer_iter_mut().zip(a.outer_iter()).zip(b.outer_iter()) {
        o.assign(&a.dot(&b));
    }
    out.into_shape_with_order(IxDyn(&full([m, n]))).map_err(|e| e.to_string())
}

/// Convolution without stride or groups, over one or two spatial axes; a bias if there is one.
fn conv(node: &pb::NodeProto, args: &[&ArrayD<f64>]) -> Result<ArrayD<f64>, String> {
    if attribute(node, "strides").is_some_and(|a| a.ints.iter().any(|v| *v != 1)) {
        return Err("strides other than 1 are not among what `bake` writes".to_owned());
    }
    if attribute(node, "group").is_some_and(|a| a.i != 1) {
        return Err("grouped convolutions are not among what `bake` writes".to_owned());
    }
    // A series is an image of one row.
    let image = |a: &ArrayD<f64>| if a.ndim() == 3 { a.clone().insert_axis(Axis(2)) } else { a.clone() };
    let (x, w) = (image(args[0]), image(args[1]));
    let pads: Vec<usize> = attribute(node, "pads").map_or(vec![0; 4], |a| {
        let p: Vec<usize> = a.ints.iter().map(|v| usize::try_from(*v).unwrap_or(0)).collect();
        if p.len() == 2 { vec![0, p[0], 0, p[1]] } else { p }
    });
    let dilations: Vec<usize> = attribute(node, "dilations").map_or(vec![1; 2], |a| {
        let d: Vec<usize> = a.ints.iter().map(|v| usize::try_from(*v).unwrap_or(1)).collect();
        if d.len() == 1 { vec![1, d[0]] } else { d }
    });
    let (xs, ws) = (x.shape().to_vec(), w.shape().to_vec());
    let out_size = |d: usize| (xs[2 + d] + pads[d] + pads[2 + d]).checked_sub(dilations[d] * (ws[2 + d] - 1));
    let (Some(oh), Some(ow)) = (out_size(0), out_size(1)) else {
        return Err(format!("input {xs:?} is smaller than the kernel {ws:?}"));
    };
    let mut out = ArrayD::zeros(IxDyn(&[xs[0], ws[0], oh, ow]));
    for n in 0..xs[0] {
        for o in 0..ws[0] {
            for c in 0..ws[1] {
                for ky in 0..ws[2] {
                    for kx in 0..ws[3] {
                        let tap = w[[o, c, ky, kx]];
                        for y in 0..oh {
                            let Some(sy) = (y + ky * dilations[0]).checked_sub(pads[0]).filter(|s| *s < xs[2]) else {
                                continue;
                            };
                            for xx in 0..ow {
                                let Some(sx) = (xx + kx * dilations[1]).checked_sub(pads[1]).filter(|s| *s < xs[3])
                                else {
                                    continue;
                                };
                                out[[n, o, y, xx]] += tap * x[[n, c, sy, sx]];
                            }
                        }
                    }
                }
            }
            if let Some(bias) = args.get(2) {
                let b = bias[[o]];
                out.index_axis_mut(Axis(0), n).index_axis_mut(Axis(0), o).mapv_inplace(|v| v + b);
            }
        }
    }
    if args[0].ndim() == 3 { Ok(out.index_axis_move(Axis(2), 0)) } else { Ok(out) }
}
