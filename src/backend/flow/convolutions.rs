//! Finding the convolutions of a graph that ours computes, with the activation and the sum behind them, and the ways
//! between samples and cells.

use std::collections::HashMap;

use super::Action;
use super::cut::rows_and_columns;
use crate::graph::{attribute, whole_numbers};
use crate::onnx;
use crate::operator::{Activation, CELL_SIDES, Cell, CellConvolution, Convolution, ConvolutionShape, covered};

/// One operator: what it replaces, and how it is computed.
#[derive(Debug)]
pub(super) struct Found {
    /// The tensor that is read, and the one added to a convolution's activated sum.
    pub(super) inputs: Vec<String>,
    pub(super) output: String,
    pub(super) action: Action,
    /// Nodes that it stands for, the last one making the output.
    pub(super) nodes: Vec<usize>,
}

/// The cells that a graph's convolutions take samples to.
///
/// A series is one row. A graph that has cells of several sizes has none for us: no trunk is like that.
pub(super) fn cell(graph: &onnx::GraphProto) -> Option<Cell> {
    let strides = graph.node.iter().filter(|n| n.op_type == "Conv").filter_map(|n| attribute(n, "strides"));
    let mut cells = strides.map(|a| &a.ints).filter(|s| s.iter().any(|n| *n != 1));
    let first = cells.next()?;
    let side = usize::try_from(*first.first()?).ok().filter(|n| CELL_SIDES.contains(n))?;
    let even = first.iter().all(|n| n == &first[0]) && cells.all(|other| other == first);
    match first.len() {
        1 if even => Some([1, side]),
        2 if even => Some([side; 2]),
        _ => None,
    }
}

/// The shape (y, x) or (sample) of the cells of a map.
pub(super) fn on_cells(cell: Cell, tile: &[usize]) -> Vec<usize> {
    covered(rows_and_columns(tile), cell)[2 - tile.len()..].to_vec()
}

/// The convolutions of stride 1, one group and odd kernels with zeros that keep the size, of samples and of cells; those
/// that take samples to cells; and what spreads cells over samples.
///
/// `cell` is the graph's, `shapes` holds the shape of every tensor, `tile` that of a map: (y, x) or (sample).
pub(super) fn find(
    graph: &onnx::GraphProto,
    cell: Option<Cell>,
    shapes: &HashMap<String, Vec<usize>>,
    tile: &[usize],
) -> Vec<Found> {
    let weights: HashMap<&str, &onnx::TensorProto> = graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
    let outside: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    // The only reader of a tensor that nobody outside asks for.
    let only_reader = |name: &str| {
        let mut readers = graph.node.iter().enumerate().filter(|(_, n)| n.input.iter().any(|i| i == name));
        match (readers.next(), readers.next()) {
            (Some(reader), None) if !outside.contains(&name) => Some(reader),
            _ => None,
        }
    };
    let mut found: Vec<Found> = Vec::new();
    for (i, node) in graph.node.iter().enumerate() {
        if let (Some(cell), "DepthToSpace" | "Transpose") = (cell, node.op_type.as_str()) {
            let behind = |node: &onnx::NodeProto, operator| {
                node.output.first().and_then(|name| only_reader(name)).filter(|(_, n)| n.op_type == operator)
            };
            let mut nodes = vec![(i, node)];
            if node.op_type == "Transpose" {
                nodes.extend(behind(node, "Reshape"));
            }
            nodes.extend(nodes.last().and_then(|(_, last)| behind(last, "Slice")));
            found.extend(spread(&nodes, cell, &weights, shapes, tile));
            continue;
        }
        let Some(bound) = Bound::new(node, cell, &weights, shapes, tile) else { continue };
        let mut one = (vec![node.input[0].clone()], node.output[0].clone(), vec![i]);
        let mut activation = Activation::None;
        if let Some((at, relu)) = only_reader(&one.1).filter(|(_, n)| n.op_type == "Relu") {
            activation = Activation::Relu;
            one.1.clone_from(&relu.output[0]);
            one.2.push(at);
        }
        // Of two convolutions in one sum, the first one takes it.
        let is_free = |at: usize| found.iter().all(|f| !f.nodes.contains(&at));
        if let Some((at, sum)) = only_reader(&one.1).filter(|(at, n)| n.op_type == "Add" && is_free(*at)) {
            let other = sum.input.iter().find(|n| **n != one.1);
            if let Some(other) = other.filter(|n| shapes.get(*n) == shapes.get(&one.1)) {
                one.0.push(other.clone());
                one.1.clone_from(&sum.output[0]);
                one.2.push(at);
            }
        }
        let (inputs, output, nodes) = one;
        found.push(Found { inputs, output, action: bound.action(activation), nodes });
    }
    found
}

/// Numbers of a file that have to be sizes.
fn sizes(numbers: &[i64]) -> Option<Vec<usize>> {
    numbers.iter().map(|n| usize::try_from(*n).ok()).collect()
}

/// For every layer of a graph whose rows ours computes in groups, the rows of one.
pub(in crate::backend) fn groups_of_rows(graph: &onnx::GraphProto) -> Vec<usize> {
    let rows = |node: &onnx::NodeProto| {
        let weights = graph.initializer.iter().find(|t| Some(&t.name) == node.input.get(1))?;
        let [outputs, inputs, high, wide] = *sizes(&weights.dims)?.as_slice() else { return None };
        let dilations = attribute(node, "dilations").map_or(&[1, 1][..], |a| &a.ints);
        let dilation = sizes(dilations)?.try_into().ok()?;
        let shape = ConvolutionShape { width: 1, channels: [inputs, outputs], kernel: [high, wide], dilation };
        Some(shape.group()).filter(|rows| *rows > 1)
    };
    graph.node.iter().filter(|n| n.op_type == "Conv").filter_map(rows).collect()
}

/// A convolution that ours computes.
struct Bound {
    way: Way,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

enum Way {
    Keeping(ConvolutionShape),
    /// From samples to cells: the rows and columns of samples, the cell, and the channels.
    ToCells([usize; 2], Cell, [usize; 2]),
}

impl Bound {
    /// `None` where ours does not compute it.
    fn new(
        conv: &onnx::NodeProto,
        cell: Option<Cell>,
        weights: &HashMap<&str, &onnx::TensorProto>,
        shapes: &HashMap<String, Vec<usize>>,
        tile: &[usize],
    ) -> Option<Self> {
        if conv.op_type != "Conv" {
            return None;
        }
        let attribute = |name: &str| attribute(conv, name);
        let list = |name: &str| attribute(name).map(|a| a.ints.clone());
        let kernel = weights.get(conv.input.get(1)?.as_str())?;
        let dims = sizes(&kernel.dims)?;
        let (outputs, inputs, spatial) = (*dims.first()?, *dims.get(1)?, dims.get(2..)?);
        let axes = spatial.len();
        let dilations = list("dilations").unwrap_or_else(|| vec![1; axes]);
        let strides = list("strides").unwrap_or_else(|| vec![1; axes]);
        let pads = list("pads").unwrap_or_else(|| vec![0; 2 * axes]);
        let plain =
            attribute("group").is_none_or(|a| a.i == 1) && attribute("auto_pad").is_none_or(|a| a.s == b"NOTSET");
        if !plain || !(1..=2).contains(&axes) || axes != tile.len() {
            return None;
        }
        let on = |grid: &[usize], name: &str, channels: usize| {
            let shape = shapes.get(name);
            shape.is_some_and(|s| s.len() == axes + 2 && s[..2] == [1, channels] && s[2..] == *grid)
        };
        let coarse = cell.map(|cell| on_cells(cell, tile));
        let bias = match conv.input.get(2).filter(|n| !n.is_empty()) {
            Some(name) => floats(weights.get(name.as_str())?)?,
            None => vec![0.0; outputs],
        };
        let way = if let (Some(cell), Some(coarse), true) = (cell, &coarse, strides.iter().any(|s| *s != 1)) {
            // All of an axis's samples beyond the frame's end, as many as the last cell may lack.
            let side = cell[1] as i64;
            let ends = pads[..axes].iter().all(|p| *p == 0) && pads[axes..].iter().all(|p| *p == side - 1);
            let whole = spatial.iter().all(|k| *k == cell[1]) && ends && dilations.iter().all(|d| *d == 1);
            let fit = on(tile, &conv.input[0], inputs) && on(coarse, &conv.output[0], outputs);
            if !(whole && fit) {
                return None;
            }
            Way::ToCells(rows_and_columns(tile), cell, [inputs, outputs])
        } else {
            let kept = (0..axes).all(|a| {
                let half = (spatial[a] / 2) as i64 * dilations[a];
                spatial[a] % 2 == 1 && pads[a] == half && pads[a + axes] == half && strides[a] == 1
            });
            let grid = std::iter::once(tile)
                .chain(coarse.as_deref())
                .find(|grid| on(grid, &conv.output[0], outputs) && on(grid, &conv.input[0], inputs))?;
            let pair = |values: &[usize]| if axes == 1 { [1, values[0]] } else { [values[0], values[1]] };
            if !kept || pair(spatial)[0] > Convolution::MOST_ROWS {
                return None;
            }
            let dilations = sizes(&dilations)?;
            Way::Keeping(ConvolutionShape {
                width: grid[axes - 1],
                channels: [inputs, outputs],
                kernel: pair(spatial),
                dilation: pair(&dilations),
            })
        };
        Some(Self { way, weights: floats(kernel)?, bias })
    }

    fn action(&self, activation: Activation) -> Action {
        let Self { way, weights, bias } = self;
        match way {
            Way::Keeping(shape) => Action::Convolution(Box::new(Convolution::new(*shape, weights, bias, activation))),
            Way::ToCells(size, cell, channels) => {
                Action::Cells(Box::new(CellConvolution::new(*size, *cell, *channels, weights, bias, activation)))
            }
        }
    }
}

/// Of one output channel, up to the cut behind it that takes off what lies beyond an odd end.
///
/// `nodes`: of an image `DepthToSpace`; of a series, which that operator has no place for, `Transpose`, which lays the
/// samples of a cell side by side, and `Reshape`. Then `Slice`, if it is there.
fn spread(
    nodes: &[(usize, &onnx::NodeProto)],
    cell: Cell,
    constants: &HashMap<&str, &onnx::TensorProto>,
    shapes: &HashMap<String, Vec<usize>>,
    tile: &[usize],
) -> Option<Found> {
    let is_map = |name: &String, channels: usize, size: &[usize]| {
        shapes.get(name).is_some_and(|s| s.len() == 2 + size.len() && s[..2] == [1, channels] && s[2..] == *size)
    };
    let starts_first = |slice: &onnx::NodeProto| {
        let starts = slice.input.get(1).and_then(|name| whole_numbers(constants.get(name.as_str())?));
        slice.input.len() == 4 && starts.is_some_and(|s| s.iter().all(|n| *n == 0))
    };
    let mut nodes = nodes.to_vec();
    nodes.pop_if(|(_, last)| last.op_type == "Slice" && !starts_first(last));
    let spreads = match nodes.as_slice() {
        [(_, one), ..] if one.op_type == "DepthToSpace" => attribute(one, "blocksize")?.i == cell[1] as i64,
        [(_, one), (_, two), ..] => attribute(one, "perm")?.ints == [0, 2, 1] && two.op_type == "Reshape",
        _ => false,
    };
    let (first, last) = (nodes.first()?.1, nodes.last()?.1);
    let (input, output) = (first.input.first()?, last.output.first()?);
    let fits = is_map(input, cell[0] * cell[1], &on_cells(cell, tile)) && is_map(output, 1, tile);
    (spreads && fits).then(|| Found {
        inputs: vec![input.clone()],
        output: output.clone(),
        action: Action::Spread(cell),
        nodes: nodes.iter().map(|(at, _)| *at).collect(),
    })
}

/// The values of a tensor of single precision.
pub(super) fn floats(tensor: &onnx::TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != onnx::DataType::Float as i32 {
        return None;
    }
    if !tensor.float_data.is_empty() {
        return Some(tensor.float_data.clone());
    }
    Some(tensor.raw_data.chunks_exact(4).filter_map(|b| Some(f32::from_le_bytes(b.try_into().ok()?))).collect())
}
