//! Operators that move values and change none.

use ndarray::{Array1, ArrayD, Axis, IxDyn, Slice};

use super::{axis_of, whole};
use crate::graph::{attribute, place};
use crate::onnx;

/// The shape of a tensor, from the axis `start` up to `end`.
pub(crate) fn shape_of(node: &onnx::NodeProto, shape: &[usize]) -> ArrayD<f64> {
    let rank = shape.len();
    let end = |name: &str, default: usize| attribute(node, name).map_or(default, |a| place(a.i, rank));
    let (from, to) = (end("start", 0), end("end", rank));
    let sizes = shape.get(from..to).unwrap_or_default();
    Array1::from_iter(sizes.iter().map(|n| *n as f64)).into_dyn()
}

pub(super) fn reshape(node: &onnx::NodeProto, of: &ArrayD<f64>, to: &ArrayD<f64>) -> Result<ArrayD<f64>, String> {
    let keeps = attribute(node, "allowzero").is_none_or(|a| a.i == 0);
    let wanted = whole(to);
    let mut dims = Vec::with_capacity(wanted.len());
    for (d, size) in wanted.iter().enumerate() {
        dims.push(match usize::try_from(*size) {
            Ok(0) if keeps => *of.shape().get(d).ok_or_else(|| format!("size 0 at axis {d} of {:?}", of.shape()))?,
            Ok(size) => size,
            Err(_) => 1,
        });
    }
    if let Some(open) = wanted.iter().position(|size| *size < 0) {
        dims[open] = of.len() / dims.iter().product::<usize>().max(1);
    }
    let values: Vec<f64> = of.iter().copied().collect();
    ArrayD::from_shape_vec(IxDyn(&dims), values).map_err(|e| format!("{:?} to {wanted:?}: {e}", of.shape()))
}

pub(super) fn transpose(node: &onnx::NodeProto, of: &ArrayD<f64>) -> Result<ArrayD<f64>, String> {
    let reversed = || (0..of.ndim() as i64).rev().collect();
    let order: Vec<i64> = attribute(node, "perm").map_or_else(reversed, |a| a.ints.clone());
    let axes: Vec<usize> = order.iter().map(|a| axis_of(*a, of.ndim())).collect::<Result<_, _>>()?;
    if axes.len() != of.ndim() || (0..of.ndim()).any(|d| !axes.contains(&d)) {
        return Err(format!("got perm {order:?}, expected each of {} axes once", of.ndim()));
    }
    Ok(of.view().permuted_axes(axes).as_standard_layout().into_owned())
}

pub(super) fn unsqueeze(of: &ArrayD<f64>, axes: &ArrayD<f64>) -> Result<ArrayD<f64>, String> {
    let rank = of.ndim() + axes.len();
    let mut axes: Vec<usize> = whole(axes).iter().map(|a| axis_of(*a, rank)).collect::<Result<_, _>>()?;
    axes.sort_unstable();
    Ok(axes.into_iter().fold(of.clone(), |value, axis| value.insert_axis(Axis(axis))))
}

pub(super) fn squeeze(of: &ArrayD<f64>, axes: Option<&ArrayD<f64>>) -> Result<ArrayD<f64>, String> {
    let mut axes: Vec<usize> = match axes {
        Some(axes) => whole(axes).iter().map(|a| axis_of(*a, of.ndim())).collect::<Result<_, _>>()?,
        None => (0..of.ndim()).filter(|d| of.shape()[*d] == 1).collect(),
    };
    axes.sort_unstable();
    if let Some(axis) = axes.iter().find(|a| of.shape()[**a] != 1) {
        return Err(format!("got size {} along axis {axis}, expected 1", of.shape()[*axis]));
    }
    Ok(axes.into_iter().rev().fold(of.clone(), |value, axis| value.index_axis_move(Axis(axis), 0)))
}

/// `args`: the tensor, starts, ends, and maybe axes and steps.
pub(super) fn slice(args: &[&ArrayD<f64>]) -> Result<ArrayD<f64>, String> {
    let (starts, ends) = (whole(args[1]), whole(args[2]));
    let axes = args.get(3).map_or_else(|| (0..starts.len() as i64).collect(), |a| whole(a));
    if args.get(4).is_some_and(|steps| steps.iter().any(|s| *s != 1.0)) {
        return Err("steps other than 1 are not among what `bake` writes".to_owned());
    }
    let mut view = args[0].view();
    for ((axis, from), to) in axes.iter().zip(starts).zip(ends) {
        let axis = axis_of(*axis, view.ndim())?;
        let len = view.shape()[axis];
        let (from, to) = (place(from, len), place(to, len));
        view.slice_axis_inplace(Axis(axis), Slice::from(from..to.max(from)));
    }
    Ok(view.to_owned())
}

pub(super) fn split(
    node: &onnx::NodeProto,
    of: &ArrayD<f64>,
    sizes: Option<&ArrayD<f64>>,
) -> Result<Vec<ArrayD<f64>>, String> {
    let axis = axis_of(attribute(node, "axis").map_or(0, |a| a.i), of.ndim())?;
    let (len, parts) = (of.shape()[axis], node.output.len().max(1));
    let sizes: Vec<usize> = match sizes {
        Some(sizes) => whole(sizes).iter().map(|n| usize::try_from(*n).unwrap_or(0)).collect(),
        // Equal ones; the last may be shorter.
        None => (0..parts).map(|i| len.div_ceil(parts).min(len - (i * len.div_ceil(parts)).min(len))).collect(),
    };
    if sizes.iter().sum::<usize>() != len {
        return Err(format!("got parts of {sizes:?}, expected {len} in all"));
    }
    let mut from = 0;
    let parts = sizes.iter().map(|n| {
        let part = of.slice_axis(Axis(axis), Slice::from(from..from + n)).to_owned();
        from += n;
        part
    });
    Ok(parts.collect())
}

/// The slices of `of` that `at` names, with the axes of `at` in the place of theirs.
pub(super) fn gather(node: &onnx::NodeProto, of: &ArrayD<f64>, at: &ArrayD<f64>) -> Result<ArrayD<f64>, String> {
    let axis = axis_of(attribute(node, "axis").map_or(0, |a| a.i), of.ndim())?;
    let len = of.shape()[axis];
    let places = whole(at).into_iter().map(|i| {
        let from_start = if i < 0 { i + len as i64 } else { i };
        let place = usize::try_from(from_start).ok().filter(|place| *place < len);
        place.ok_or_else(|| format!("got {i} along axis {axis}, expected one of {len} samples"))
    });
    let gathered = of.select(Axis(axis), &places.collect::<Result<Vec<_>, _>>()?);
    let shape = [&of.shape()[..axis], at.shape(), &of.shape()[axis + 1..]].concat();
    gathered.as_standard_layout().into_owned().into_shape_with_order(IxDyn(&shape)).map_err(|e| e.to_string())
}

pub(super) fn concat(node: &onnx::NodeProto, args: &[&ArrayD<f64>]) -> Result<ArrayD<f64>, String> {
    let axis = axis_of(attribute(node, "axis").map_or(0, |a| a.i), args[0].ndim())?;
    let views: Vec<_> = args.iter().map(|a| a.view()).collect();
    ndarray::concatenate(Axis(axis), &views).map_err(|e| e.to_string())
}

/// Channels to blocks of samples: (n, c, y, x) to (n, c / b^2, b y, b x).
pub(super) fn depth_to_space(node: &onnx::NodeProto, of: &ArrayD<f64>) -> Result<ArrayD<f64>, String> {
    let side = attribute(node, "blocksize").and_then(|a| usize::try_from(a.i).ok()).unwrap_or(0);
    let [batch, channels, rows, columns] = *of.shape() else {
        return Err(format!("got shape {:?}, expected four axes", of.shape()));
    };
    let Some(made) =
        side.checked_mul(side).filter(|cell| *cell > 0 && channels % cell == 0).map(|cell| channels / cell)
    else {
        return Err(format!("got {channels} channels, expected a multiple of blocksize {side} squared"));
    };
    let columns_first = match attribute(node, "mode").map_or(&b"DCR"[..], |a| &a.s) {
        b"DCR" => false,
        b"CRD" => true,
        other => return Err(format!("got mode {other:?}, expected DCR or CRD")),
    };
    Ok(ArrayD::from_shape_fn(IxDyn(&[batch, made, side * rows, side * columns]), |at| {
        let (channel, within) = (at[1], at[2] % side * side + at[3] % side);
        let from = if columns_first { channel * side * side + within } else { within * made + channel };
        of[[at[0], from, at[2] / side, at[3] / side]]
    }))
}
