//! Reductions along axes.

use ndarray::{ArrayD, Axis};

use super::{axis_of, whole};
use crate::graph::attribute;
use crate::onnx;

/// Fold `args[0]` along the axes that an attribute (opset 17 and before) or `args[1]` names; along all if neither does.
pub(super) fn reduce(
    node: &onnx::NodeProto,
    args: &[&ArrayD<f64>],
    start: f64,
    f: fn(f64, f64) -> f64,
) -> Result<ArrayD<f64>, String> {
    let rank = args[0].ndim();
    let named = match (attribute(node, "axes"), args.get(1)) {
        (Some(a), _) => a.ints.clone(),
        (None, Some(axes)) => whole(axes),
        (None, None) => Vec::new(),
    };
    let flag = |name: &str, default: i64| attribute(node, name).map_or(default, |a| a.i) != 0;
    let mut axes: Vec<usize> = named.iter().map(|a| axis_of(*a, rank)).collect::<Result<_, _>>()?;
    if axes.is_empty() && !flag("noop_with_empty_axes", 0) {
        axes = (0..rank).collect();
    }
    axes.sort_unstable();
    let mut value = args[0].clone();
    // From the last, so that the numbers of the others stay.
    for axis in axes.into_iter().rev() {
        value = value.fold_axis(Axis(axis), start, |a, b| f(*a, *b));
        if flag("keepdims", 1) {
            value = value.insert_axis(Axis(axis));
        }
    }
    Ok(value)
}
