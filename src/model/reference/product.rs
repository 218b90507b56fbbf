//! Operators that combine tensors: elementwise with broadcasting, matrix products, convolutions.

use ndarray::{ArrayD, Axis, IxDyn, Zip};

use crate::graph::{self, attribute};
use crate::onnx;

fn common(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    graph::broadcast(a, b).ok_or_else(|| format!("shapes {a:?} and {b:?} do not broadcast"))
}

pub(super) fn broadcast(a: &ArrayD<f64>, b: &ArrayD<f64>, f: impl Fn(f64, f64) -> f64) -> Result<ArrayD<f64>, String> {
    let shape = common(a.shape(), b.shape())?;
    // Most tensors have one shape or are numbers: a plain loop, as a plan's small rest is computed by this as well.
    let values: Option<Vec<f64>> = match (a.as_slice(), b.as_slice()) {
        (Some(x), Some(y)) if a.shape() == b.shape() => Some(x.iter().zip(y).map(|(x, y)| f(*x, *y)).collect()),
        (Some(x), Some([y])) if a.shape() == shape => Some(x.iter().map(|x| f(*x, *y)).collect()),
        (Some([x]), Some(y)) if b.shape() == shape => Some(y.iter().map(|y| f(*x, *y)).collect()),
        _ => None,
    };
    if let Some(values) = values {
        return ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(|e| e.to_string());
    }
    let (a, b) = (
        a.broadcast(IxDyn(&shape)).ok_or("shapes do not broadcast")?,
        b.broadcast(IxDyn(&shape)).ok_or("shapes do not broadcast")?,
    );
    Ok(Zip::from(&a).and(&b).map_collect(|x, y| f(*x, *y)))
}

pub(super) fn matmul(a: &ArrayD<f64>, b: &ArrayD<f64>) -> Result<ArrayD<f64>, String> {
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

/// Convolution without groups, over one or two spatial axes; a bias if there is one.
pub(super) fn conv(node: &onnx::NodeProto, args: &[&ArrayD<f64>]) -> Result<ArrayD<f64>, String> {
    if attribute(node, "group").is_some_and(|a| a.i != 1) {
        return Err("grouped convolutions are not among what `bake` writes".to_owned());
    }
    if attribute(node, "auto_pad").is_some_and(|a| a.s != b"NOTSET") {
        return Err("padding by name is not among what `bake` writes".to_owned());
    }
    // A series is an image of one row.
    let image = |a: &ArrayD<f64>| if a.ndim() == 3 { a.clone().insert_axis(Axis(2)) } else { a.clone() };
    let (x, w) = (image(args[0]), image(args[1]));
    if x.ndim() != 4 || w.ndim() != 4 || x.shape()[1] != w.shape()[1] {
        return Err(format!("shapes {:?} and {:?} do not fit", args[0].shape(), args[1].shape()));
    }
    // By axis, or for both ends of each: what the row that a series does not have would have.
    let numbers = |name: &str, missing: usize| {
        let given = attribute(node, name).map(|a| a.ints.as_slice()).unwrap_or_default();
        let given = given.iter().map(|v| usize::try_from(*v).unwrap_or(missing));
        match given.len() {
            0 => vec![missing; 4],
            _ if args[0].ndim() == 3 => given.flat_map(|v| [missing, v]).collect(),
            _ => given.collect(),
        }
    };
    let (pads, dilations, strides) = (numbers("pads", 0), numbers("dilations", 1), numbers("strides", 1));
    let (xs, ws) = (x.shape().to_vec(), w.shape().to_vec());
    let out_size = |d: usize| {
        let room = (xs[2 + d] + pads[d] + pads[2 + d]).checked_sub(dilations[d] * (ws[2 + d] - 1) + 1)?;
        Some(room / strides[d] + 1)
    };
    let (Some(oh), Some(ow)) = (out_size(0), out_size(1)) else {
        return Err(format!("input {xs:?} is smaller than the kernel {ws:?}"));
    };
    // The sample under a tap, where it is not padding.
    let under = |d: usize, at: usize, tap: usize| {
        (at * strides[d] + tap * dilations[d]).checked_sub(pads[d]).filter(|s| *s < xs[2 + d])
    };
    let mut out = ArrayD::zeros(IxDyn(&[xs[0], ws[0], oh, ow]));
    for n in 0..xs[0] {
        for o in 0..ws[0] {
            for c in 0..ws[1] {
                for ky in 0..ws[2] {
                    for kx in 0..ws[3] {
                        let tap = w[[o, c, ky, kx]];
                        for y in 0..oh {
                            let Some(sy) = under(0, y, ky) else { continue };
                            for xx in 0..ow {
                                let Some(sx) = under(1, xx, kx) else { continue };
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
