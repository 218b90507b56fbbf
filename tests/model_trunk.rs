//! A trunk behind a front end: joined, held against the reference, tiled as whole; and what is refused.

use std::path::Path;

#[cfg(feature = "engine")]
use mollifier::backend::PlainTract;
use mollifier::backend::{Backend, Tiling, Tract};
#[cfg(feature = "ort")]
use mollifier::backend::{Ort, Provider};
use mollifier::model::{AGREEMENT_BOUND, BakeOptions, Model, Trunk, agreement, bake};
use mollifier::onnx;
use mollifier::stream::TileGrid;
use ndarray::{ArrayD, Axis, IxDyn, Slice};
use prost::Message;

const SPEC: &str = "physics = \"heat\"\n[design]\nfamily = \"poly4\"\nradii = [6, 10]\naverage = 8\n";
const CHANNELS: usize = 10;
const SERIES: &str = "physics = \"langevin\"\n[design]\nfamily = \"poly4\"\nradii = [4, 9]\naverage = 8\n";

fn ints(name: &str, values: &[i64]) -> onnx::AttributeProto {
    let r#type = onnx::AttributeType::Ints as i32;
    onnx::AttributeProto { name: name.into(), r#type, ints: values.to_vec(), ..Default::default() }
}

fn conv(input: &str, output: &str, kernel: i64, dilation: i64) -> onnx::NodeProto {
    conv_over::<2>(input, output, kernel, dilation)
}

fn conv_over<const AXES: usize>(input: &str, output: &str, kernel: i64, dilation: i64) -> onnx::NodeProto {
    let pad = dilation * (kernel / 2);
    let attribute = vec![
        ints("kernel_shape", &[kernel; AXES]),
        ints("dilations", &[dilation; AXES]),
        ints("pads", &vec![pad; 2 * AXES]),
    ];
    onnx::NodeProto { name: output.into(), attribute, ..step("Conv", &[input, &format!("{output}.w")], output) }
}

/// Without a name, as exporters may leave it out.
fn step(operator: &str, inputs: &[&str], output: &str) -> onnx::NodeProto {
    onnx::NodeProto {
        op_type: operator.into(),
        input: inputs.iter().map(|i| (*i).into()).collect(),
        output: vec![output.into()],
        ..Default::default()
    }
}

fn weights<const RANK: usize>(name: &str, dims: [usize; RANK]) -> onnx::TensorProto {
    let values = (0..dims.iter().product::<usize>()).map(|i| (i as f32 * 1.7 + dims[0] as f32).sin() * 0.03);
    onnx::TensorProto {
        name: format!("{name}.w"),
        dims: dims.iter().map(|d| *d as i64).collect(),
        data_type: onnx::DataType::Float as i32,
        raw_data: values.flat_map(f32::to_le_bytes).collect(),
        ..Default::default()
    }
}

fn map(name: &str, channels: i64) -> onnx::ValueInfoProto {
    tensor(name, channels, &["H", "W"])
}

fn tensor(name: &str, channels: i64, axes: &[&str]) -> onnx::ValueInfoProto {
    use onnx::{Dimension, DimensionValue as Value};
    let fixed = |n: i64| Dimension { value: Some(Value::DimValue(n)), ..Default::default() };
    let free = |n: &str| Dimension { value: Some(Value::DimParam(n.into())), ..Default::default() };
    let dim = [fixed(1), fixed(channels)].into_iter().chain(axes.iter().map(|n| free(n))).collect();
    let shape = onnx::TensorShapeProto { dim };
    let tensor = onnx::TensorTypeProto { elem_type: 1, shape: Some(shape) };
    let kind = onnx::TypeProto { tensor_type: Some(tensor), ..Default::default() };
    onnx::ValueInfoProto { name: name.into(), r#type: Some(kind), ..Default::default() }
}

/// Two dilated layers, reach 1 * 1 + 3 * 1, and two heads.
fn proto() -> onnx::ModelProto {
    model(
        vec![
            conv("features", "a", 3, 1),
            step("Relu", &["a"], "a.relu"),
            conv("a.relu", "b", 3, 3),
            step("Relu", &["b"], "b.relu"),
            conv("b.relu", "delta", 1, 1),
            conv("b.relu", "log_std", 1, 1),
        ],
        vec![
            weights("a", [16, CHANNELS, 3, 3]),
            weights("b", [16, 16, 3, 3]),
            weights("delta", [1, 16, 1, 1]),
            weights("log_std", [1, 16, 1, 1]),
        ],
    )
}

/// Two dilated layers at half the resolution, reach 2 * (1 + 4) + 1, and two heads of four samples each.
fn halved() -> onnx::ModelProto {
    let spread = |input: &str, output: &str| {
        let text = |s: &str| onnx::AttributeProto {
            name: "mode".into(),
            r#type: onnx::AttributeType::String as i32,
            s: s.into(),
            ..Default::default()
        };
        onnx::NodeProto { attribute: vec![int("blocksize", 2), text("CRD")], ..step("DepthToSpace", &[input], output) }
    };
    let mut enter = conv("features", "enter", 2, 1);
    enter.attribute[2] = ints("pads", &[0, 0, 1, 1]);
    enter.attribute.push(ints("strides", &[2, 2]));
    model(
        vec![
            enter,
            step("Relu", &["enter"], "enter.relu"),
            conv("enter.relu", "a", 3, 1),
            step("Relu", &["a"], "a.relu"),
            step("Add", &["enter.relu", "a.relu"], "a.sum"),
            conv("a.sum", "b", 3, 4),
            step("Tanh", &["b"], "b.tanh"),
            step("Add", &["b.tanh", "a.sum"], "b.sum"),
            conv("b.sum", "delta.cells", 1, 1),
            spread("delta.cells", "delta"),
            conv("b.sum", "log_std.cells", 1, 1),
            spread("log_std.cells", "log_std"),
        ],
        vec![
            weights("enter", [16, CHANNELS, 2, 2]),
            weights("a", [16, 16, 3, 3]),
            weights("b", [16, 16, 3, 3]),
            weights("delta.cells", [4, 16, 1, 1]),
            weights("log_std.cells", [4, 16, 1, 1]),
        ],
    )
}

/// Of a series: two dilated layers at a quarter of the resolution, reach 4 * (1 + 2) + 3, and two heads of four samples.
fn quartered() -> onnx::ModelProto {
    let channels = front_end_of(SERIES).contract.features.len();
    let mut enter = conv_over::<1>("features", "enter", 4, 1);
    enter.attribute[2] = ints("pads", &[0, 3]);
    enter.attribute.push(ints("strides", &[4]));
    let mut node = vec![
        enter,
        step("Relu", &["enter"], "enter.relu"),
        conv_over::<1>("enter.relu", "a", 3, 1),
        step("Relu", &["a"], "a.relu"),
        step("Add", &["enter.relu", "a.relu"], "a.sum"),
        conv_over::<1>("a.sum", "b", 3, 2),
        step("Tanh", &["b"], "b.tanh"),
        step("Add", &["b.tanh", "a.sum"], "b.sum"),
    ];
    for head in ["delta", "log_std"] {
        let [cells, turned] = ["cells", "turned"].map(|part| format!("{head}.{part}"));
        node.push(conv_over::<1>("b.sum", &cells, 1, 1));
        let turn = step("Transpose", &[&cells], &turned);
        node.push(onnx::NodeProto { attribute: vec![ints("perm", &[0, 2, 1])], ..turn });
        node.push(step("Reshape", &[&turned, "row"], head));
    }
    let row = onnx::TensorProto {
        name: "row".into(),
        dims: vec![3],
        data_type: onnx::DataType::Int64 as i32,
        int64_data: vec![1, 1, -1],
        ..Default::default()
    };
    let mut proto = model(
        node,
        vec![
            weights("enter", [12, channels, 4]),
            weights("a", [12, 12, 3]),
            weights("b", [12, 12, 3]),
            weights("delta.cells", [4, 12, 1]),
            weights("log_std.cells", [4, 12, 1]),
            row,
        ],
    );
    let series = graph(&mut proto);
    series.input = vec![tensor("features", channels as i64, &["N"])];
    series.output = ["delta", "log_std"].map(|name| tensor(name, 1, &["M"])).to_vec();
    proto
}

fn int(name: &str, value: i64) -> onnx::AttributeProto {
    let r#type = onnx::AttributeType::Int as i32;
    onnx::AttributeProto { name: name.into(), r#type, i: value, ..Default::default() }
}

fn model(node: Vec<onnx::NodeProto>, initializer: Vec<onnx::TensorProto>) -> onnx::ModelProto {
    let graph = onnx::GraphProto {
        name: "trunk".into(),
        node,
        initializer,
        input: vec![map("features", CHANNELS as i64)],
        output: vec![map("delta", 1), map("log_std", 1)],
        ..Default::default()
    };
    onnx::ModelProto {
        ir_version: 8,
        opset_import: vec![onnx::OperatorSetIdProto { domain: String::new(), version: 17 }],
        graph: Some(graph),
        ..Default::default()
    }
}

fn joined(proto: &onnx::ModelProto) -> Model {
    joined_to(SPEC, proto)
}

fn joined_to(spec: &str, proto: &onnx::ModelProto) -> Model {
    let trunk = Trunk::from_bytes("trunk.onnx", &proto.encode_to_vec()).expect("a trunk");
    let options = BakeOptions { trunk: Some(trunk), ..BakeOptions::default() };
    Model::from_bytes("joined", &bake("spec", spec, &options).expect("a model")).expect("a readable model")
}

fn front_end() -> Model {
    front_end_of(SPEC)
}

fn front_end_of(spec: &str) -> Model {
    let options = BakeOptions { front_end: true, ..BakeOptions::default() };
    Model::from_bytes("front end", &bake("spec", spec, &options).expect("a model")).expect("a readable model")
}

fn compute(model: &Model, inputs: &[ArrayD<f32>], size: &[usize]) -> Vec<ArrayD<f32>> {
    // That nothing but the small rest is left to the engine shows in inputs that are asked for by rows.
    if size.len() == 2 {
        let plan = Tract.prepare_by_rows(model, size).expect("a plan");
        assert!(!plan.by_rows().is_empty(), "{} at {size:?} is left to the engine", model.name);
    }
    compute_with(&Tract, model, inputs, size)
}

fn compute_with(backend: &dyn Backend, model: &Model, inputs: &[ArrayD<f32>], size: &[usize]) -> Vec<ArrayD<f32>> {
    let mut plan = backend.prepare(model, size).expect("a plan");
    let shape: Vec<usize> = std::iter::once(1).chain(size.iter().copied()).collect();
    let mut outputs: Vec<ArrayD<f32>> = model.contract.outputs.iter().map(|_| ArrayD::zeros(IxDyn(&shape))).collect();
    let views: Vec<_> = inputs.iter().map(|a| a.view()).collect();
    let mut slots: Vec<_> = outputs.iter_mut().map(|a| a.view_mut()).collect();
    plan.run(&views, &mut slots).expect("a run");
    outputs
}

#[test]
fn the_contract_counts_what_the_trunk_adds() {
    let front = front_end();
    let whole = 9 * 16 * CHANNELS + 9 * 16 * 16 + 2 * 16;
    let quarter = (4 * 16 * CHANNELS + 2 * 9 * 16 * 16 + 2 * 4 * 16).div_ceil(4);
    let of_series = front_end_of(SERIES);
    let series = (4 * 12 * of_series.contract.features.len() + 2 * 3 * 12 * 12 + 2 * 4 * 12).div_ceil(4);
    for (spec, front, proto, reach, multiply_adds, alignment) in [
        (SPEC, &front, proto(), 4, whole, 1),
        (SPEC, &front, halved(), 11, quarter, 2),
        (SERIES, &of_series, quartered(), 15, series, 4),
    ] {
        let model = joined_to(spec, &proto);
        let record = model.contract.trunk.as_ref().expect("a trunk's record");
        assert_eq!((record.reach, record.multiply_adds), (reach, multiply_adds));
        assert_eq!(record.features, front.contract.features);
        assert!(model.contract.alignment.iter().all(|a| *a == alignment), "{:?}", model.contract.alignment);
        for (with, without) in model.contract.halo.iter().zip(&front.contract.halo) {
            assert!(*with >= without + reach, "halo {with} behind one of {without}");
        }
        assert_eq!(model.contract.outputs.last().map(|o| o.name.as_str()), Some("std"));
    }
}

/// What is counted for a sample is rounded up once, at the end.
#[test]
fn multiply_adds_of_cells_are_rounded_up() {
    let mut proto = halved();
    let graph = proto.graph.as_mut().expect("a graph");
    for (name, dims) in [
        ("enter", [3, CHANNELS, 2, 2]),
        ("a", [3, 3, 3, 3]),
        ("b", [3, 3, 3, 3]),
        ("delta.cells", [4, 3, 1, 1]),
        ("log_std.cells", [4, 3, 1, 1]),
    ] {
        let at = graph.initializer.iter().position(|t| t.name == format!("{name}.w")).expect("weights");
        graph.initializer[at] = weights(name, dims);
    }
    let trunk = Trunk::from_bytes("trunk.onnx", &proto.encode_to_vec()).expect("a trunk");
    assert_eq!(trunk.multiply_adds(), (3 * 40_usize + 2 * 81 + 24).div_ceil(4));
    assert_eq!((trunk.reach(), trunk.alignment()), (11, 2));
}

#[test]
fn a_joined_model_agrees_with_the_reference() {
    for model in [joined(&proto()), joined(&halved()), front_end(), joined_to(SERIES, &quartered())] {
        for case in model.cases().expect("cases") {
            let got = compute(&model, &case.inputs, &case.size);
            for a in agreement(&model.contract.outputs, &got, &case.expected) {
                assert!(a.worst <= AGREEMENT_BOUND, "{}, {}, {}: {:e}", model.name, case.name, a.output, a.worst);
            }
        }
    }
}

/// Of odd and even rows and columns, down to the smallest that the model takes.
#[test]
fn cells_are_those_of_every_backend() {
    let image = joined(&halved());
    let least = image.smallest();
    let mut cases: Vec<(&Model, Vec<usize>)> = [[0, 1], [1, 0], [31, 40], [40, 41], [33, 31]]
        .iter()
        .map(|more| (&image, vec![least[0] + more[0], least[1] + more[1]]))
        .collect();
    let series = joined_to(SERIES, &quartered());
    cases.extend([0, 1, 2, 3, 100, 257].map(|more| (&series, vec![series.smallest()[0] + more])));
    #[cfg_attr(not(feature = "ort"), expect(unused_mut))]
    let mut backends: Vec<Box<dyn Backend>> = Vec::from([
        Box::new(Tract) as Box<dyn Backend>,
        #[cfg(feature = "engine")]
        Box::new(PlainTract),
    ]);
    #[cfg(feature = "ort")]
    if std::env::var_os("ORT_DYLIB_PATH").is_some() {
        backends.push(Box::new(Ort::load(Provider::Cpu, None).expect("the library that ORT_DYLIB_PATH names")));
    }
    for (model, size) in cases {
        let inputs = model.made_up_inputs(&size, size[0] > model.smallest()[0] + 30);
        let wide: Vec<ArrayD<f64>> = inputs.iter().map(|a| a.mapv(f64::from)).collect();
        let expected = model.reference(&wide, &size).expect("the reference");
        for backend in &backends {
            let got = compute_with(backend.as_ref(), model, &inputs, &size);
            for a in agreement(&model.contract.outputs, &got, &expected) {
                assert!(a.worst <= AGREEMENT_BOUND, "{}, {size:?}, {}: {:e}", backend.name(), a.output, a.worst);
            }
        }
    }
}

/// The part of every input that a tile takes.
fn cut(inputs: &[ArrayD<f32>], from: [usize; 2], size: [usize; 2]) -> Vec<ArrayD<f32>> {
    let part = |value: &ArrayD<f32>| {
        let mut value = value.clone();
        if value.ndim() >= 3 {
            for d in 0..2 {
                let axis = Axis(value.ndim() - 2 + d);
                value = value.slice_axis(axis, Slice::from(from[d]..from[d] + size[d])).to_owned();
            }
        }
        value
    };
    inputs.iter().map(part).collect()
}

/// Hold what `keep` tells of a tile's outputs, by row and column of the tile, against the whole frame's.
fn assert_same_bits(
    (tile, from): (&[ArrayD<f32>], [usize; 2]),
    whole: &[ArrayD<f32>],
    keep: impl Fn(usize, usize) -> bool,
) {
    for (name, (tile, whole)) in ["lambda", "residual", "support", "std"].iter().zip(tile.iter().zip(whole)) {
        for (at, got) in tile.indexed_iter() {
            let (y, x) = (at[1], at[2]);
            if keep(y, x) {
                let want = whole[[0, y + from[0], x + from[1]]];
                assert!(
                    got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()),
                    "{name} at {y}, {x} of tile {:?} from {from:?}: {got} instead of {want}",
                    &tile.shape()[1..]
                );
            }
        }
    }
}

/// Of every tile shape the bits are those of the whole frame: an engine may sum in an order that depends on sizes.
#[test]
fn tiles_of_many_sizes_give_the_bits_of_the_whole_frame() {
    for model in [joined(&proto()), joined(&halved())] {
        let tiling = Tract.tiling(&model);
        let (halo, align) = (tiling.halo(&model.contract), tiling.alignment(&model.contract));
        let whole = [2 * halo[0] + 83, 2 * halo[1] + 62];
        let inputs = model.made_up_inputs(&whole, true);
        let expected = compute(&model, &inputs, &whole);
        for more in [3, 16, 29] {
            let size = [2 * halo[0] + more, 2 * halo[1] + more + 5];
            for from in [[0, 0], [39, 11], [whole[0] - size[0], whole[1] - size[1]]] {
                let from: [usize; 2] = std::array::from_fn(|a| from[a] / align[a] * align[a]);
                let tile = compute(&model, &cut(&inputs, from, size), &size);
                let inside = |d: usize, at: usize| {
                    (from[d] == 0 || at >= halo[d]) && (from[d] + size[d] == whole[d] || at + halo[d] < size[d])
                };
                assert_same_bits((&tile, from), &expected, |y, x| inside(0, y) && inside(1, x));
            }
        }
    }
}

/// As [`tiles_of_many_sizes_give_the_bits_of_the_whole_frame`], of a series.
#[test]
fn tiles_of_a_series_give_the_bits_of_the_whole() {
    let model = joined_to(SERIES, &quartered());
    let (halo, align) = (model.contract.halo[0], model.contract.alignment[0]);
    let whole = 2 * halo + 301;
    let inputs = model.made_up_inputs(&[whole], true);
    let expected = compute_with(&Tract, &model, &inputs, &[whole]);
    for size in [2 * halo + 1, 2 * halo + 30, 2 * halo + 131] {
        for from in [0, 41, whole - size].map(|at| at / align * align) {
            let part = |value: &ArrayD<f32>| match value.ndim() {
                2.. => value.slice_axis(Axis(value.ndim() - 1), Slice::from(from..from + size)).to_owned(),
                _ => value.clone(),
            };
            let tile: Vec<ArrayD<f32>> = inputs.iter().map(part).collect();
            for (got, expected) in compute_with(&Tract, &model, &tile, &[size]).iter().zip(&expected) {
                for (x, got) in got.iter().enumerate() {
                    if (from == 0 || x >= halo) && (from + size == whole || x + halo < size) {
                        let want = expected[[0, x + from]];
                        assert!(
                            got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()),
                            "sample {x} of {size} from {from}: {got} instead of {want}"
                        );
                    }
                }
            }
        }
    }
}

/// The tiles that a stream cuts are those that cells allow.
#[test]
fn the_grid_of_tiles_gives_the_bits_of_the_whole_frame() {
    let model = joined(&halved());
    let tiling = Tract.tiling(&model);
    let halo = tiling.halo(&model.contract);
    for whole in [[2 * halo[0] + 101, 2 * halo[1] + 90], [2 * halo[0] + 130, 2 * halo[1] + 87]] {
        let inputs = model.made_up_inputs(&whole, true);
        let expected = compute(&model, &inputs, &whole);
        let largest = [2 * halo[0] + 35, 2 * halo[1] + 40];
        let grid = TileGrid::new(whole, &model.contract, Tiling { largest, ..tiling });
        assert!(grid.tiles.len() >= 6, "{} tiles", grid.tiles.len());
        for tile in &grid.tiles {
            let got = compute(&model, &cut(&inputs, tile.origin, grid.tile), &grid.tile);
            assert_same_bits((&got, tile.origin), &expected, |y, x| {
                tile.keep[0].contains(&(y + tile.origin[0])) && tile.keep[1].contains(&(x + tile.origin[1]))
            });
        }
    }
}

#[test]
fn a_trunk_that_says_zero_gives_the_closed_form_back() {
    for mut proto in [proto(), halved()] {
        let heads = proto.graph.iter_mut().flat_map(|g| &mut g.initializer).filter(|t| t.name.starts_with("delta"));
        heads.for_each(|head| head.raw_data.fill(0));
        let model = joined(&proto);
        let size = [70, 61];
        let inputs = model.made_up_inputs(&size, false);
        let (with, without) = (compute(&model, &inputs, &size), compute(&front_end(), &inputs, &size));
        for (k, name) in ["lambda", "residual", "support"].iter().enumerate() {
            for (a, b) in with[k].iter().zip(&without[k]) {
                assert!((a - b).abs() <= 1e-5 * b.abs().max(1e-6), "{name}: {a} instead of {b}");
            }
        }
    }
}

fn graph(p: &mut onnx::ModelProto) -> &mut onnx::GraphProto {
    p.graph.as_mut().expect("a graph")
}

fn refused(change: impl Fn(&mut onnx::ModelProto)) -> String {
    refused_from(proto(), change)
}

fn refused_from(mut proto: onnx::ModelProto, change: impl Fn(&mut onnx::ModelProto)) -> String {
    change(&mut proto);
    let text = match Trunk::from_bytes("trunk.onnx", &proto.encode_to_vec()) {
        Err(e) => e.to_string(),
        Ok(trunk) => {
            let options = BakeOptions { trunk: Some(trunk), ..BakeOptions::default() };
            bake("spec", SPEC, &options).expect_err("a trunk that does not fit").to_string()
        }
    };
    assert!(text.contains("trunk.onnx") && !text.contains('\n'), "{text}");
    text
}

fn said(p: &mut onnx::ModelProto, key: &str, value: &str) {
    p.metadata_props.push(onnx::StringStringEntryProto { key: key.into(), value: value.into() });
}

/// Let a trunk say the maps that it was trained on: those of the spec here, but for one.
fn trained_on(p: &mut onnx::ModelProto, second: &str) {
    let contract = front_end().contract;
    let names: Vec<String> = contract.features.iter().map(|n| n.replace("ratio_r10", second)).collect();
    assert_eq!(names.len(), CHANNELS);
    said(p, "mollifier.features", &serde_json::to_string(&names).expect("JSON"));
}

#[test]
fn trunks_that_do_not_fit_are_refused() {
    for (text, word) in [
        (refused(|p| p.opset_import[0].version = 18), "18"),
        (refused(|p| p.ir_version = 9), "at most 8"),
        (refused(|p| graph(p).node[1].op_type = "Softmax".into()), "Softmax"),
        (refused(|p| graph(p).node[0].attribute.push(ints("strides", &[2, 2]))), "stride"),
        (refused(|p| graph(p).node[0].attribute[2] = ints("pads", &[0; 4])), "keep the size"),
        (refused(|p| graph(p).input[0] = map("maps", 3)), "expected features"),
        (refused(|p| graph(p).input[0] = map("features", 3)), "input channels"),
        (refused(|p| graph(p).output.reverse()), "delta"),
        (refused(|p| graph(p).initializer[1].raw_data.truncate(8)), "float32"),
        (refused(|p| graph(p).initializer[1].raw_data[..4].copy_from_slice(&f32::NAN.to_le_bytes())), "finite"),
        (
            refused(|p| {
                graph(p).input[0] = map("features", 3);
                graph(p).initializer[0] = weights("a", [16, 3, 3, 3]);
            }),
            "those of the front end",
        ),
        // Trained with radii of 6 and 12: the second one's maps are not those that it knows.
        (refused(|p| trained_on(p, "ratio_r12")), "gives ratio_r10, expected ratio_r12"),
        (refused(|p| said(p, "mollifier.features", "no list")), "mollifier.features"),
    ] {
        assert!(text.contains(word), "{text}: expected {word}");
    }
    let mut right = proto();
    trained_on(&mut right, "ratio_r10");
    joined(&right);
    let missing = Trunk::load(Path::new("missing.onnx")).expect_err("no file").to_string();
    assert!(missing.contains("missing.onnx"));
}

#[test]
fn trunks_whose_cells_do_not_fit_are_refused() {
    let refused = |change: fn(&mut onnx::GraphProto)| refused_from(halved(), |p| change(graph(p)));
    for (text, word) in [
        (refused(|g| g.node[0].attribute[2] = ints("pads", &[0; 4])), "[0, 0, 1, 1]"),
        (refused(|g| g.node[0].attribute[2] = ints("pads", &[1, 1, 0, 0])), "[0, 0, 1, 1]"),
        (refused(|g| g.node[0].attribute[1] = ints("dilations", &[2; 2])), "dilations"),
        (refused(|g| g.node[0].attribute[3] = ints("strides", &[1, 2])), "stride 1"),
        (refused(|g| g.node[0].attribute[3] = ints("strides", &[3, 3])), "stride 1"),
        (refused(|g| g.node[0].attribute.truncate(3)), "odd sizes"),
        // A second time.
        (
            refused(|g| {
                g.node[2].attribute = g.node[0].attribute.clone();
                g.initializer[1] = weights("a", [16, 16, 2, 2]);
            }),
            "expected it once",
        ),
        // Samples and cells in one sum.
        (
            refused(|g| {
                g.node.insert(4, conv("features", "c", 1, 1));
                g.initializer.push(weights("c", [16, CHANNELS, 1, 1]));
                g.node[5].input[0] = "c".into();
            }),
            "one resolution",
        ),
        // Cells as an output, with one channel.
        (
            refused(|g| {
                g.node.truncate(10);
                g.node.push(conv("b.sum", "log_std", 1, 1));
                g.initializer.push(weights("log_std", [1, 16, 1, 1]));
            }),
            "expected DepthToSpace",
        ),
        (refused(|g| g.node[9].attribute[0] = int("blocksize", 4)), "blocksize 2"),
        (refused(|g| g.node[9].attribute.clear()), "blocksize 2"),
        (refused(|g| g.node[9] = step("Relu", &["delta.cells"], "delta")), "4 channels, expected 1"),
        (refused(|g| g.node[9].attribute[1].s = b"RDC".to_vec()), "mode"),
        (refused(|g| g.node[9].input[0] = "b.sum".into()), "16 channels"),
        (refused(|g| g.node[9].op_type = "Transpose".into()), "perm"),
        (
            refused(|g| {
                g.node[9].output[0] = "d".into();
                g.node.push(step("Relu", &["d"], "delta"));
            }),
            "nothing behind",
        ),
        (refused(|g| g.node[10].input[0] = "delta".into()), "nothing behind"),
    ] {
        assert!(text.contains(word), "{text}: expected {word}");
    }
}

#[test]
fn trunks_of_series_whose_cells_do_not_fit_are_refused() {
    let refused = |change: fn(&mut onnx::GraphProto)| {
        let mut proto = quartered();
        change(graph(&mut proto));
        Trunk::from_bytes("trunk.onnx", &proto.encode_to_vec()).expect_err("a trunk that does not fit").to_string()
    };
    for (text, word) in [
        (refused(|g| g.node[0].attribute[2] = ints("pads", &[0, 0])), "[0, 3]"),
        (refused(|g| g.node[0].attribute[3] = ints("strides", &[3])), "stride 1"),
        (refused(|g| g.node[0].attribute[3] = ints("strides", &[2])), "stride 2 with kernel [4]"),
        (refused(|g| g.node[9].attribute[0] = ints("perm", &[0, 1, 2])), "[0, 2, 1]"),
        (refused(|g| g.node[9].input[0] = "b.sum".into()), "12 channels"),
        (refused(|g| g.node[9].input[0] = "features".into()), "expected 4 of Cells"),
        (refused(|g| g.node[10].input[0] = "delta.cells".into()), "behind Transpose"),
        (refused(|g| g.node[10].input[1] = "a.w".into()), "[1, 1, -1]"),
        (refused(|g| g.initializer[5].int64_data = vec![1, -1, 1]), "[1, 1, -1]"),
        (refused(|g| g.node[10] = step("Relu", &["delta.turned"], "delta")), "behind Transpose"),
        (
            refused(|g| {
                g.node[9].op_type = "DepthToSpace".into();
                g.node[9].attribute = vec![int("blocksize", 4)];
            }),
            "over 2 axes",
        ),
        (
            refused(|g| {
                g.node.truncate(13);
                g.node[12].output[0] = "log_std".into();
            }),
            "Transpose and Reshape behind",
        ),
    ] {
        assert!(text.contains(word), "{text}: expected {word}");
    }
}
