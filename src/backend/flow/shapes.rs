//! The shapes of a graph's tensors, found without a value but those of sizes and axes.
//!
//! tract's own analysis computes whatever rests on constants on the way, maps of noise gains among them: most of the time
//! that a plan took to prepare.

use std::collections::HashMap;

use crate::graph::{attribute, axis_of, broadcast, place, whole_numbers};
use crate::onnx;

type Shape = Vec<usize>;

/// The shape of every tensor of `graph`, by name, from those of its inputs.
///
/// # Errors
/// The first node whose operator is not known here, or whose shapes do not fit each other.
pub(in crate::backend) fn shapes(
    graph: &onnx::GraphProto,
    inputs: impl IntoIterator<Item = (String, Shape)>,
) -> Result<HashMap<String, Shape>, String> {
    let mut known = Known { shapes: inputs.into_iter().collect(), numbers: HashMap::new() };
    for tensor in &graph.initializer {
        let dims = tensor.dims.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
        known.shapes.insert(tensor.name.clone(), dims);
        known.numbers.extend(whole_numbers(tensor).map(|n| (tensor.name.clone(), n)));
    }
    for node in &graph.node {
        known.add(node).ok_or_else(|| format!("{} {}", node.op_type, node.name))?;
    }
    Ok(known.shapes)
}

struct Known {
    shapes: HashMap<String, Shape>,
    /// The values of tensors of sizes and axes.
    numbers: HashMap<String, Vec<i64>>,
}

impl Known {
    /// Note what the node makes.
    fn add(&mut self, node: &onnx::NodeProto) -> Option<()> {
        let shape = |i: usize| self.shapes.get(node.input.get(i)?);
        let numbers = |i: usize| self.numbers.get(node.input.get(i)?);
        let axis = || attribute(node, "axis").map_or(0, |a| a.i);
        let first = shape(0)?;
        let mut values = None;
        let made = match node.op_type.as_str() {
            "Add" | "Sub" | "Mul" | "Div" | "Max" | "Min" | "Greater" | "Where" => {
                if let (Some(a), Some(b), 2) = (numbers(0), numbers(1), node.input.len()) {
                    values = combined(&node.op_type, a, b);
                }
                (1..node.input.len()).try_fold(first.clone(), |all, i| broadcast(&all, shape(i)?))?
            }
            "Exp" | "Log" | "Sqrt" | "Abs" | "Tanh" | "Sigmoid" | "Reciprocal" | "Relu" | "Neg" | "Identity" => {
                values = numbers(0).cloned();
                first.clone()
            }
            "Shape" if node.attribute.is_empty() => {
                values = Some(first.iter().map(|n| *n as i64).collect());
                vec![first.len()]
            }
            "ConstantOfShape" => numbers(0)?.iter().map(|n| usize::try_from(*n).ok()).collect::<Option<_>>()?,
            "Concat" => {
                let axis = axis_of(axis(), first.len())?;
                let parts: Option<Vec<&Vec<i64>>> = (0..node.input.len()).map(&numbers).collect();
                values = parts.filter(|_| first.len() == 1).map(|p| p.into_iter().flatten().copied().collect());
                let mut all = first.clone();
                all[axis] = (0..node.input.len()).map(|i| shape(i)?.get(axis).copied()).sum::<Option<usize>>()?;
                all
            }
            "Slice" if node.input.len() == 4 => {
                let mut left = first.clone();
                for ((axis, from), to) in numbers(3)?.iter().zip(numbers(1)?).zip(numbers(2)?) {
                    let axis = axis_of(*axis, left.len())?;
                    let (from, to) = (place(*from, left[axis]), place(*to, left[axis]));
                    left[axis] = to.saturating_sub(from);
                    if let (Some(all), 1) = (numbers(0), left.len()) {
                        values = Some(all[from..to.max(from)].to_vec());
                    }
                }
                left
            }
            "Unsqueeze" => {
                let rank = first.len() + numbers(1)?.len();
                let mut new = numbers(1)?.iter().map(|a| axis_of(*a, rank)).collect::<Option<Vec<_>>>()?;
                new.sort_unstable();
                new.into_iter().fold(first.clone(), |mut shape, axis| {
                    shape.insert(axis, 1);
                    shape
                })
            }
            "Squeeze" => {
                let gone = numbers(1)?.iter().map(|a| axis_of(*a, first.len())).collect::<Option<Vec<_>>>()?;
                let kept = first.iter().enumerate().filter(|(d, _)| !gone.contains(d));
                kept.map(|(_, n)| *n).collect()
            }
            "Reshape" => {
                let (wanted, all) = (numbers(1)?, first.iter().product::<usize>());
                // A size of 0 has a meaning of its own; of -1 there may be one, which takes what is left.
                let said = wanted.iter().filter(|n| **n != -1);
                let said = said.map(|n| usize::try_from(*n).ok().filter(|n| *n > 0)).collect::<Option<Shape>>()?;
                let open = (wanted.len() - said.len() == 1).then(|| all / said.iter().product::<usize>());
                wanted.iter().map(|n| usize::try_from(*n).ok().or(open)).collect::<Option<Shape>>()?
            }
            "Transpose" => {
                let order = attribute(node, "perm")?.ints.iter();
                order.map(|d| first.get(usize::try_from(*d).ok()?).copied()).collect::<Option<Shape>>()?
            }
            "ReduceSum" | "ReduceMean" | "ReduceMin" => {
                let axes = attribute(node, "axes").map(|a| &a.ints).or_else(|| numbers(1))?;
                let gone = axes.iter().map(|a| axis_of(*a, first.len())).collect::<Option<Vec<_>>>()?;
                let keeps = attribute(node, "keepdims").is_none_or(|a| a.i != 0);
                let sizes = first.iter().enumerate();
                let sizes = sizes.filter(|(d, _)| keeps || !gone.contains(d));
                sizes.map(|(d, n)| if gone.contains(&d) { 1 } else { *n }).collect()
            }
            "MatMul" => {
                let second = shape(1)?;
                let (a, b) = (first.len().checked_sub(2)?, second.len().checked_sub(2)?);
                let mut all = broadcast(&first[..a], &second[..b])?;
                all.extend([first[a], second[b + 1]]);
                (first[a + 1] == second[b]).then_some(all)?
            }
            "Conv" => conv(node, first, shape(1)?)?,
            "DepthToSpace" => {
                let side = usize::try_from(attribute(node, "blocksize")?.i).ok()?;
                let [batch, channels, rows, columns] = first[..].try_into().ok()?;
                let along = |n: usize| side.checked_mul(n);
                vec![batch, along(side).and_then(|cell| channels.checked_div(cell))?, along(rows)?, along(columns)?]
            }
            "Split" => {
                let axis = axis_of(axis(), first.len())?;
                let parts: Vec<Shape> = numbers(1)?
                    .iter()
                    .map(|n| {
                        let mut part = first.clone();
                        part[axis] = usize::try_from(*n).ok()?;
                        Some(part)
                    })
                    .collect::<Option<_>>()?;
                self.shapes.extend(node.output.iter().cloned().zip(parts));
                return Some(());
            }
            _ => return None,
        };
        let name = node.output.first()?;
        self.shapes.insert(name.clone(), made);
        self.numbers.extend(values.map(|v| (name.clone(), v)));
        Some(())
    }
}

/// Sizes put together from sizes.
fn combined(operator: &str, a: &[i64], b: &[i64]) -> Option<Vec<i64>> {
    let of = |x: i64, y: i64| match operator {
        "Add" => x.checked_add(y),
        "Sub" => x.checked_sub(y),
        "Mul" => x.checked_mul(y),
        "Max" => Some(x.max(y)),
        "Min" => Some(x.min(y)),
        _ => None,
    };
    let at = |list: &[i64], i: usize| list.get(if list.len() == 1 { 0 } else { i }).copied();
    (0..a.len().max(b.len())).map(|i| of(at(a, i)?, at(b, i)?)).collect()
}

fn conv(node: &onnx::NodeProto, input: &[usize], weights: &[usize]) -> Option<Shape> {
    if attribute(node, "auto_pad").is_some_and(|a| a.s != b"NOTSET") || input.len() < 3 || weights.len() != input.len()
    {
        return None;
    }
    let axes = input.len() - 2;
    let number = |name: &str, i: usize, missing: usize| {
        attribute(node, name).map_or(Some(missing), |a| usize::try_from(*a.ints.get(i)?).ok())
    };
    let mut made = vec![input[0], weights[0]];
    for d in 0..axes {
        let reach = number("dilations", d, 1)? * (weights[2 + d].checked_sub(1)?) + 1;
        let room = input[2 + d] + number("pads", d, 0)? + number("pads", axes + d, 0)?;
        made.push(room.checked_sub(reach)? / number("strides", d, 1)?.max(1) + 1);
    }
    Some(made)
}
