//! Trunks on cells alone, of images and of series, of all sizes, against the reference in double precision and against
//! themselves in tiles.

use std::collections::HashMap;

use ndarray::{ArrayD, Axis, IxDyn, Slice};
use proptest::prelude::*;

use super::{Cut, Given, Strip, cut, groups_of_rows, shapes};
use crate::graph::{float_tensor, int, int_tensor, node, tensor_info};
use crate::model::reference::compute;
use crate::onnx;
use crate::operator::CELL_SIDES;

/// A trunk's design: samples along the side of a cell, of an image or a series, channels of the features and of the
/// layers, and for each layer its dilation, its activation, and whether what it is given is added.
#[derive(Clone, Debug)]
struct Design {
    side: usize,
    series: bool,
    channels: usize,
    width: usize,
    layers: Vec<(usize, &'static str, bool)>,
    seed: usize,
}

impl Design {
    /// Samples around an output that it depends on.
    fn reach(&self) -> usize {
        self.side * self.layers.iter().map(|l| l.0).sum::<usize>() + self.side - 1
    }

    fn axes(&self) -> usize {
        if self.series { 1 } else { 2 }
    }

    /// The shape of a map: of a series its columns alone.
    fn shape(&self, [rows, columns]: [usize; 2]) -> Vec<usize> {
        if self.series { vec![columns] } else { vec![rows, columns] }
    }

    fn graph(&self) -> onnx::GraphProto {
        let mut graph = onnx::GraphProto {
            input: vec![tensor_info("features", &[])],
            output: vec![tensor_info("delta", &[]), tensor_info("log_std", &[])],
            initializer: vec![
                int_tensor("lead", &[2]),
                int_tensor("end", &[i64::MAX]),
                int_tensor("zero", &[0]),
                int_tensor("zeros", &[0, 0][..self.axes()]),
                int_tensor("axes", &[2, 3][..self.axes()]),
                int_tensor("row", &[1, 1, -1]),
            ],
            node: vec![
                node("Shape", &["features"], &["shape"], Vec::new()),
                node("Slice", &["shape", "lead", "end", "zero"], &["size"], Vec::new()),
            ],
            ..Default::default()
        };
        let mut conv = |from: &str, to: &str, [made, read, side]: [usize; 3], attribute: Vec<onnx::AttributeProto>| {
            let dims = [vec![made, read], vec![side; self.axes()]].concat();
            let taps: usize = dims[1..].iter().product();
            let scale = (taps as f32).sqrt().recip();
            let value = |i: usize| ((i * 13 + self.seed * 7 + to.len()) as f32 * 0.71).sin() * scale;
            let weights: Vec<f32> = (0..taps * dims[0]).map(value).collect();
            let bias: Vec<f32> = (0..dims[0]).map(value).collect();
            let name = |part: &str| format!("{to}.{part}");
            graph.initializer.push(float_tensor(&name("w"), dims.iter().map(|d| *d as i64).collect(), &weights));
            graph.initializer.push(float_tensor(&name("b"), vec![dims[0] as i64], &bias));
            graph.node.push(node("Conv", &[from, &name("w"), &name("b")], &[to], attribute));
        };
        let (n, side, axes, mut nodes) = (self.width, self.side, self.axes(), Vec::new());
        let ends = [vec![0; axes], vec![side as i64 - 1; axes]].concat();
        let strides = vec![side as i64; axes];
        conv("features", "enter", [n, self.channels, side], vec![ints("strides", &strides), ints("pads", &ends)]);
        for (i, (dilation, _, _)) in self.layers.iter().enumerate() {
            let d = *dilation as i64;
            let attributes = vec![ints("dilations", &vec![d; axes]), ints("pads", &vec![d; 2 * axes])];
            conv(&format!("h{i}"), &format!("conv{i}"), [n, n, 3], attributes);
        }
        let last = format!("h{}", self.layers.len());
        for head in ["delta", "log_std"] {
            conv(&last, &format!("{head}.cells"), [side.pow(axes as u32), n, 1], Vec::new());
        }
        nodes.push(node("Relu", &["enter"], &["h0"], Vec::new()));
        for (i, (_, activation, added)) in self.layers.iter().enumerate() {
            let [from, conv, active, to] =
                [format!("h{i}"), format!("conv{i}"), format!("active{i}"), format!("h{}", i + 1)];
            let out = if *added { &active } else { &to };
            nodes.push(node(activation, &[&conv], &[out], Vec::new()));
            if *added {
                nodes.push(node("Add", &[&from, &active], &[&to], Vec::new()));
            }
        }
        for head in ["delta", "log_std"] {
            let [cells, turned, whole] = ["cells", "turned", "whole"].map(|part| format!("{head}.{part}"));
            if self.series {
                nodes.push(node("Transpose", &[&cells], &[&turned], vec![ints("perm", &[0, 2, 1])]));
                nodes.push(node("Reshape", &[&turned, "row"], &[&whole], Vec::new()));
            } else {
                nodes.push(node("DepthToSpace", &[&cells], &[&whole], vec![int("blocksize", side as i64)]));
            }
            nodes.push(node("Slice", &[&whole, "zeros", "size", "axes"], &[head], Vec::new()));
        }
        graph.node.extend(nodes);
        in_order(graph)
    }
}

fn ints(name: &str, values: &[i64]) -> onnx::AttributeProto {
    onnx::AttributeProto { name: name.to_owned(), ints: values.to_vec(), ..Default::default() }
}

/// Every node behind those that make what it reads.
fn in_order(mut graph: onnx::GraphProto) -> onnx::GraphProto {
    let mut left = std::mem::take(&mut graph.node);
    while !left.is_empty() {
        let made: Vec<String> = left.iter().flat_map(|n| n.output.clone()).collect();
        let (ready, rest) = left.into_iter().partition::<Vec<_>, _>(|n| !n.input.iter().any(|i| made.contains(i)));
        assert!(!ready.is_empty(), "a circle");
        graph.node.extend(ready);
        left = rest;
    }
    graph
}

/// The outputs of the flow, which has to be all there is of the graph.
fn flow(graph: &onnx::GraphProto, features: &ArrayD<f32>, by_rows: bool) -> Vec<Vec<f32>> {
    let (shape, tile) = (features.shape().to_vec(), features.shape()[2..].to_vec());
    let shapes = shapes(graph, [("features".to_owned(), shape)]).expect("known operators");
    let cut = cut(graph.clone(), &[], &[], &shapes, &tile, by_rows).expect("no banks").expect("a flow");
    let Cut { mut flow, given, by_rows: asked, rest } = cut;
    let by_rows = by_rows && tile.len() == 2;
    assert!(rest.node.is_empty() && asked.len() == usize::from(by_rows), "{:?}", rest.node);
    let values = features.as_slice().expect("row-major");
    let given: Vec<&[f32]> = given
        .iter()
        .map(|from| match from {
            Given::Input(0) => values,
            other => panic!("{other:?}"),
        })
        .collect();
    let rows = |_: usize, plane: usize, [y, x]: [usize; 2], out: &mut [f32]| {
        out.copy_from_slice(&values[(plane * tile[0] + y) * tile[1] + x..][..out.len()]);
    };
    let mut outputs = vec![vec![f32::NAN; tile.iter().product()]; graph.output.len()];
    // Twice, as what a frame leaves behind must not show in the next.
    for _ in 0..2 {
        outputs.iter_mut().for_each(|o| o.fill(f32::NAN));
        flow.run(
            &given,
            &rows,
            &Strip::whole(tile[tile.len() - 1]),
            &mut outputs.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>(),
        );
    }
    outputs
}

fn features(channels: usize, shape: &[usize], seed: usize) -> ArrayD<f32> {
    ArrayD::from_shape_fn(IxDyn(&[&[1, channels], shape].concat()), |i| {
        let along: usize = (2..2 + shape.len()).rev().zip([7, 17]).map(|(d, step)| i[d] * step).sum();
        ((i[1] * 31 + along + seed) as f32 * 0.37).sin()
    })
}

fn design() -> impl Strategy<Value = Design> {
    let dilation = prop::sample::select(vec![1usize, 2, 3, 4, 8]);
    let layer = (dilation, prop::sample::select(vec!["Relu", "Tanh", "Sigmoid"]), any::<bool>());
    let cells = (prop::sample::select(CELL_SIDES.to_vec()), any::<bool>());
    let channels = (1usize..5, 1usize..12);
    (cells, channels, prop::collection::vec(layer, 0..4), 0usize..1000).prop_map(
        |((side, series), (channels, width), layers, seed)| Design { side, series, channels, width, layers, seed },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn trunks_on_cells_agree_with_the_reference(design in design(), size in [1usize..40, 1usize..70]) {
        let shape = design.shape(size);
        let features = features(design.channels, &shape, design.seed);
        let values = HashMap::from([("features".to_owned(), features.mapv(f64::from))]);
        let expected = compute(&design.graph(), values).expect("the reference");
        let got = flow(&design.graph(), &features, false);
        for (got, expected) in got.iter().zip(&expected) {
            prop_assert_eq!(expected.shape(), [&[1, 1], shape.as_slice()].concat());
            for (got, want) in got.iter().zip(expected) {
                prop_assert!((f64::from(*got) - want).abs() < 1e-5 * want.abs().max(1.0), "{} for {}", got, want);
            }
        }
        prop_assert_eq!(flow(&design.graph(), &features, true), got, "by rows");
    }

    /// From a cell's first sample on, and by rows from the frame's groups of rows, whatever the tile's size.
    #[test]
    fn tiles_of_trunks_on_cells_give_the_bits_of_the_whole(
        design in design(),
        origin in [0usize..60, 0usize..12],
        size in [1usize..260, 1usize..90],
        behind in [0usize..9, 0usize..9],
    ) {
        let groups = groups_of_rows(&design.graph());
        let side = design.side;
        let reach = [design.reach() + side * groups.iter().map(|rows| rows - 1).sum::<usize>(), design.reach()];
        let align = [side * groups.iter().max().copied().unwrap_or(1), side];
        let mut from: [usize; 2] = std::array::from_fn(|d| origin[d] * side / align[d] * align[d]);
        let (mut size, mut behind) = (size, behind);
        if design.series {
            (from[0], size[0], behind[0]) = (0, 1, 0);
        }
        let whole: [usize; 2] = std::array::from_fn(|d| from[d] + size[d] + behind[d]);
        let all = features(design.channels, &design.shape(whole), design.seed);
        let mut part = all.view();
        for (axis, at) in (2..all.ndim()).rev().zip([1, 0]) {
            part.slice_axis_inplace(Axis(axis), Slice::from(from[at]..from[at] + size[at]));
        }
        let expected = flow(&design.graph(), &all, false);
        let got = flow(&design.graph(), &part.to_owned(), false);
        for (got, expected) in got.iter().zip(&expected) {
            for (y, x) in (0..size[0]).flat_map(|y| (0..size[1]).map(move |x| (y, x))) {
                let inside = |d: usize, at: usize| {
                    (from[d] == 0 || at >= reach[d]) && (behind[d] == 0 || at + reach[d] < size[d])
                };
                if inside(0, y) && inside(1, x) {
                    let want = expected[(from[0] + y) * whole[1] + from[1] + x];
                    prop_assert_eq!(got[y * size[1] + x].to_bits(), want.to_bits(), "at {}, {}", y, x);
                }
            }
        }
    }
}

/// Each of them could take the sum into itself.
#[test]
fn two_convolutions_may_meet_in_one_sum() {
    let graph = onnx::GraphProto {
        input: vec![tensor_info("features", &[])],
        output: vec![tensor_info("sum", &[])],
        initializer: vec![
            float_tensor("a.w", vec![1, 2, 1, 1], &[0.5, -2.0]),
            float_tensor("b.w", vec![1, 2, 1, 1], &[3.0, 0.25]),
        ],
        node: vec![
            node("Conv", &["features", "a.w"], &["a"], Vec::new()),
            node("Conv", &["features", "b.w"], &["b"], Vec::new()),
            node("Add", &["a", "b"], &["sum"], Vec::new()),
        ],
        ..Default::default()
    };
    let features = features(2, &[9, 11], 4);
    let expected = compute(&graph, HashMap::from([("features".to_owned(), features.mapv(f64::from))])).expect("a sum");
    for (got, want) in flow(&graph, &features, false)[0].iter().zip(&expected[0]) {
        assert!((f64::from(*got) - want).abs() < 1e-5, "{got} for {want}");
    }
}
