//! A trunk behind a front end: joined, held against the reference, tiled as whole; and what is refused.

use std::path::Path;

use mollifier::backend::{Backend, Tract};
use mollifier::model::{AGREEMENT_BOUND, BakeOptions, Model, Trunk, agreement, bake};
use ndarray::{ArrayD, Axis, IxDyn, Slice};
use prost::Message;
use tract_onnx::pb;

const SPEC: &str = "physics = \"heat\"\n[design]\nfamily = \"poly4\"\nradii = [6, 10]\naverage = 8\n";
const CHANNELS: usize = 10;

fn ints(name: &str, values: &[i64]) -> pb::AttributeProto {
    let r#type = pb::attribute_proto::AttributeType::Ints as i32;
    pb::AttributeProto { name: name.into(), r#type, ints: values.to_vec(), ..Default::default() }
}

fn conv(input: &str, output: &str, kernel: i64, dilation: i64) -> pb::NodeProto {
    let pad = dilation * (kernel / 2);
    pb::NodeProto {
        op_type: "Conv".into(),
        name: output.into(),
        input: vec![input.into(), format!("{output}.w")],
        output: vec![output.into()],
        attribute: vec![ints("kernel_shape", &[kernel; 2]), ints("dilations", &[dilation; 2]), ints("pads", &[pad; 4])],
        ..Default::default()
    }
}

fn weights(name: &str, dims: [usize; 4]) -> pb::TensorProto {
    let values = (0..dims.iter().product::<usize>()).map(|i| (i as f32 * 1.7 + dims[0] as f32).sin() * 0.03);
    pb::TensorProto {
        name: format!("{name}.w"),
        dims: dims.iter().map(|d| *d as i64).collect(),
        data_type: pb::tensor_proto::DataType::Float as i32,
        raw_data: values.flat_map(f32::to_le_bytes).collect(),
        ..Default::default()
    }
}

fn map(name: &str, channels: i64) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension::Value};
    let fixed = |n: i64| Dimension { value: Some(Value::DimValue(n)), ..Default::default() };
    let free = |n: &str| Dimension { value: Some(Value::DimParam(n.into())), ..Default::default() };
    let shape = pb::TensorShapeProto { dim: vec![fixed(1), fixed(channels), free("H"), free("W")] };
    let tensor = pb::type_proto::Tensor { elem_type: 1, shape: Some(shape) };
    let kind = pb::TypeProto { value: Some(pb::type_proto::Value::TensorType(tensor)), ..Default::default() };
    pb::ValueInfoProto { name: name.into(), r#type: Some(kind), ..Default::default() }
}

/// Two dilated layers, reach 1 * 1 + 3 * 1, and two heads.
fn proto() -> pb::ModelProto {
    // Without names, as exporters may leave them out.
    let relu = |i: &str, o: &str| pb::NodeProto {
        op_type: "Relu".into(),
        input: vec![i.into()],
        output: vec![o.into()],
        ..Default::default()
    };
    let graph = pb::GraphProto {
        name: "trunk".into(),
        node: vec![
            conv("features", "a", 3, 1),
            relu("a", "a.relu"),
            conv("a.relu", "b", 3, 3),
            relu("b", "b.relu"),
            conv("b.relu", "delta", 1, 1),
            conv("b.relu", "log_std", 1, 1),
        ],
        initializer: vec![
            weights("a", [16, CHANNELS, 3, 3]),
            weights("b", [16, 16, 3, 3]),
            weights("delta", [1, 16, 1, 1]),
            weights("log_std", [1, 16, 1, 1]),
        ],
        input: vec![map("features", CHANNELS as i64)],
        output: vec![map("delta", 1), map("log_std", 1)],
        ..Default::default()
    };
    pb::ModelProto {
        ir_version: 8,
        opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: 17 }],
        graph: Some(graph),
        ..Default::default()
    }
}

fn joined() -> Model {
    let trunk = Trunk::from_bytes("trunk.onnx", &proto().encode_to_vec()).expect("a trunk");
    let options = BakeOptions { trunk: Some(trunk), ..BakeOptions::default() };
    Model::from_bytes("joined", &bake("spec", SPEC, &options).expect("a model")).expect("a readable model")
}

fn front_end() -> Model {
    let options = BakeOptions { front_end: true, ..BakeOptions::default() };
    Model::from_bytes("front end", &bake("spec", SPEC, &options).expect("a model")).expect("a readable model")
}

fn compute(model: &Model, inputs: &[ArrayD<f32>], size: &[usize]) -> Vec<ArrayD<f32>> {
    let mut plan = Tract.prepare(model, size).expect("a plan");
    let shape: Vec<usize> = std::iter::once(1).chain(size.iter().copied()).collect();
    let mut outputs: Vec<ArrayD<f32>> = model.contract.outputs.iter().map(|_| ArrayD::zeros(IxDyn(&shape))).collect();
    let views: Vec<_> = inputs.iter().map(|a| a.view()).collect();
    let mut slots: Vec<_> = outputs.iter_mut().map(|a| a.view_mut()).collect();
    plan.run(&views, &mut slots).expect("a run");
    outputs
}

#[test]
fn the_contract_counts_what_the_trunk_adds() {
    let (model, front) = (joined(), front_end());
    let record = model.contract.trunk.as_ref().expect("a trunk's record");
    assert_eq!(record.reach, 4);
    assert_eq!(record.multiply_adds, 9 * 16 * CHANNELS + 9 * 16 * 16 + 2 * 16);
    assert_eq!(record.features, front.contract.features);
    for (with, without) in model.contract.halo.iter().zip(&front.contract.halo) {
        assert!(*with >= without + 4, "halo {with} behind one of {without}");
    }
    assert_eq!(model.contract.outputs.last().map(|o| o.name.as_str()), Some("std"));
}

#[test]
fn a_joined_model_agrees_with_the_reference() {
    for model in [joined(), front_end()] {
        for case in model.cases().expect("cases") {
            let got = compute(&model, &case.inputs, &case.size);
            for a in agreement(&model.contract.outputs, &got, &case.expected) {
                assert!(a.worst <= AGREEMENT_BOUND, "{}, {}, {}: {:e}", model.name, case.name, a.output, a.worst);
            }
        }
    }
}

/// Of every tile shape the bits are those of the whole frame: an engine may sum in an order that depends on sizes.
#[test]
fn tiles_of_many_sizes_give_the_bits_of_the_whole_frame() {
    let model = joined();
    let halo = model.contract.halo[0];
    let whole = [2 * halo + 83, 2 * halo + 62];
    let inputs = model.made_up_inputs(&whole, true);
    let expected = compute(&model, &inputs, &whole);
    for more in [3, 16, 29] {
        let size = [2 * halo + more, 2 * halo + more + 5];
        for from in [[0, 0], [7, 11], [whole[0] - size[0], whole[1] - size[1]]] {
            let cut: Vec<ArrayD<f32>> = inputs
                .iter()
                .map(|value| {
                    let mut value = value.clone();
                    if value.ndim() >= 3 {
                        for d in 0..2 {
                            let axis = Axis(value.ndim() - 2 + d);
                            value = value.slice_axis(axis, Slice::from(from[d]..from[d] + size[d])).to_owned();
                        }
                    }
                    value
                })
                .collect();
            let tile = compute(&model, &cut, &size);
            for (name, (tile, expected)) in
                ["lambda", "residual", "support", "std"].iter().zip(tile.iter().zip(&expected))
            {
                for y in 0..size[0] {
                    for x in 0..size[1] {
                        let inside = |d: usize, at: usize| {
                            (from[d] == 0 || at >= halo) && (from[d] + size[d] == whole[d] || at + halo < size[d])
                        };
                        if inside(0, y) && inside(1, x) {
                            let (got, want) = (tile[[0, y, x]], expected[[0, y + from[0], x + from[1]]]);
                            assert!(
                                got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()),
                                "{name} at {y}, {x} of tile {size:?} from {from:?}: {got} instead of {want}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_trunk_that_says_zero_gives_the_closed_form_back() {
    let mut proto = proto();
    let graph = proto.graph.as_mut().expect("a graph");
    graph.initializer[2].raw_data.fill(0);
    let trunk = Trunk::from_bytes("trunk.onnx", &proto.encode_to_vec()).expect("a trunk");
    let options = BakeOptions { trunk: Some(trunk), ..BakeOptions::default() };
    let model = Model::from_bytes("zero", &bake("spec", SPEC, &options).expect("a model")).expect("readable");
    let size = [70, 61];
    let inputs = model.made_up_inputs(&size, false);
    let (with, without) = (compute(&model, &inputs, &size), compute(&front_end(), &inputs, &size));
    for (k, name) in ["lambda", "residual", "support"].iter().enumerate() {
        for (a, b) in with[k].iter().zip(&without[k]) {
            assert!((a - b).abs() <= 1e-5 * b.abs().max(1e-6), "{name}: {a} instead of {b}");
        }
    }
}

fn refused(change: impl Fn(&mut pb::ModelProto)) -> String {
    let mut proto = proto();
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

#[test]
fn trunks_that_do_not_fit_are_refused() {
    fn graph(p: &mut pb::ModelProto) -> &mut pb::GraphProto {
        p.graph.as_mut().expect("a graph")
    }
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
    ] {
        assert!(text.contains(word), "{text}: expected {word}");
    }
    let missing = Trunk::load(Path::new("missing.onnx")).expect_err("no file").to_string();
    assert!(missing.contains("missing.onnx"));
}
