//! The rules of ONNX on attributes, axes and shapes, for all who read a graph.

use crate::onnx;

/// The attribute of this name.
pub(crate) fn attribute<'a>(node: &'a onnx::NodeProto, name: &str) -> Option<&'a onnx::AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

/// An axis that may count from the end, of `rank`; `None` where there is no such axis.
pub(crate) fn axis_of(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(axis).ok().filter(|a| *a < rank)
}

/// Where an index that may count from the end stands on an axis of `len`.
pub(crate) fn place(index: i64, len: usize) -> usize {
    let len = len as i64;
    usize::try_from(if index < 0 { (index + len).max(0) } else { index.min(len) }).unwrap_or(0)
}

/// The shape that two shapes broadcast to; `None` where they do not fit.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], d: usize| (d + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
    (0..rank)
        .map(|d| match (at(a, d), at(b, d)) {
            (p, q) if p == q => Some(p),
            (1, q) => Some(q),
            (p, 1) => Some(p),
            _ => None,
        })
        .collect()
}

/// The values of a tensor of whole numbers.
pub(crate) fn whole_numbers(tensor: &onnx::TensorProto) -> Option<Vec<i64>> {
    if tensor.data_type != onnx::DataType::Int64 as i32 {
        return None;
    }
    if !tensor.int64_data.is_empty() {
        return Some(tensor.int64_data.clone());
    }
    let bytes = tensor.raw_data.chunks_exact(8);
    Some(bytes.filter_map(|b| Some(i64::from_le_bytes(b.try_into().ok()?))).collect())
}
