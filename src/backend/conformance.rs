//! ONNX's own cases of single operators (package `onnx` 1.19.1, `backend/test/data/node`) on every engine, and on the
//! double precision reference that the engines are held against.
//!
//! Whoever runs the tests names the folder in `MOLLIFIER_ONNX_CASES`; `./check` fetches it, and says so where it is not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use ndarray::{ArrayD, IxDyn};
use prost::Message;
use tract_onnx::pb;
use tract_onnx::prelude::*;

use super::flow::{self, cut};
use crate::model::reference::{compute, constant};
use crate::onnx::{self, DataType};

/// The operators of the shipped models' graphs, and of trunks.
const USED: [&str; 34] = [
    "Abs",
    "Add",
    "Concat",
    "ConstantOfShape",
    "Conv",
    "DepthToSpace",
    "Div",
    "Exp",
    "Gather",
    "Greater",
    "Identity",
    "Log",
    "MatMul",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "Reciprocal",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Shape",
    "Sigmoid",
    "Slice",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// Of those, the ones that stay with tract when a graph is cut: all on shapes, the passes of banks, and what is on maps
/// of cells in every case of ONNX's, which give several channels.
const NOT_IN_A_FLOW: [&str; 14] = [
    "Concat",
    "ConstantOfShape",
    "DepthToSpace",
    "Gather",
    "Greater",
    "MatMul",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "Shape",
    "Slice",
    "Split",
    "Transpose",
    "Where",
];

/// The largest |a - b| / max(|b|, 1): the expected values are single precision.
const BOUND: f64 = 1e-5;

/// An input by name, with the type in the file.
type Given = (String, DataType, ArrayD<f64>);
/// What runs a case.
type Engine = fn(&Case) -> Outcome;

struct Case {
    name: String,
    operator: String,
    proto: onnx::ModelProto,
    inputs: Vec<Given>,
    expected: Vec<ArrayD<f64>>,
}

enum Outcome {
    Right,
    Wrong(String),
    /// The engine says that it does not do this.
    Refused(String),
}

fn tensor(path: &Path) -> Option<(DataType, ArrayD<f64>)> {
    let tensor = onnx::TensorProto::decode(std::fs::read(path).ok()?.as_slice()).ok()?;
    Some((DataType::try_from(tensor.data_type).ok()?, constant(&tensor).ok()?))
}

/// The case in a folder, if it is one node with an operator that the models use, on floats, whole numbers and truths.
fn case(folder: &Path) -> Option<Case> {
    let proto = onnx::ModelProto::decode(std::fs::read(folder.join("model.onnx")).ok()?.as_slice()).ok()?;
    let graph = proto.graph.as_ref()?;
    let [node] = graph.node.as_slice() else { return None };
    let operator = USED.contains(&node.op_type.as_str()).then(|| node.op_type.clone())?;
    let data = folder.join("test_data_set_0");
    let inputs = graph.input.iter().enumerate().map(|(i, input)| {
        let (kind, value) = tensor(&data.join(format!("input_{i}.pb")))?;
        Some((input.name.clone(), kind, value))
    });
    let expected = (0..graph.output.len()).map(|i| Some(tensor(&data.join(format!("output_{i}.pb")))?.1));
    Some(Case {
        name: folder.file_name()?.to_string_lossy().into_owned(),
        operator,
        inputs: inputs.collect::<Option<_>>()?,
        expected: expected.collect::<Option<_>>()?,
        proto,
    })
}

fn compare(got: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Outcome {
    for (got, expected) in got.iter().zip(expected) {
        if got.shape() != expected.shape() {
            return Outcome::Wrong(format!("shape {:?}, expected {:?}", got.shape(), expected.shape()));
        }
        let far = got.iter().zip(expected).find(|(a, b)| {
            let same = a == b || (a.is_nan() && b.is_nan());
            let near = (*a - *b).abs() <= BOUND * b.abs().max(1.0);
            !same && !near
        });
        if let Some((a, b)) = far {
            return Outcome::Wrong(format!("{a}, expected {b}"));
        }
    }
    Outcome::Right
}

fn with_reference(case: &Case) -> Outcome {
    let values = case.inputs.iter().map(|(name, _, value)| (name.clone(), value.clone())).collect();
    match case.proto.graph.as_ref().map(|graph| compute(graph, values)) {
        Some(Ok(got)) => compare(&got, &case.expected),
        Some(Err((_, message))) => Outcome::Refused(message),
        None => Outcome::Refused("no graph".to_owned()),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "back to the type that they came from")]
fn typed(kind: DataType, value: &ArrayD<f64>) -> Tensor {
    match kind {
        DataType::Int64 => Tensor::from(value.mapv(|v| v as i64)),
        DataType::Bool => Tensor::from(value.mapv(|v| v != 0.0)),
        _ => Tensor::from(value.mapv(|v| v as f32)),
    }
}

/// The graph with those of its inputs as constants that are so in the models: sizes, axes, weights.
#[expect(clippy::cast_possible_truncation, reason = "back to the type that they came from")]
fn bound(case: &Case) -> (onnx::GraphProto, Vec<&Given>) {
    let mut graph = case.proto.graph.clone().unwrap_or_default();
    let is_constant = |i: usize, kind: DataType| kind == DataType::Int64 || (case.operator == "Conv" && i > 0);
    let (mut constants, mut rest) = (Vec::new(), Vec::new());
    for (i, input) in case.inputs.iter().enumerate() {
        if is_constant(i, input.1) { constants.push(input) } else { rest.push(input) }
    }
    for (name, kind, value) in constants {
        graph.input.retain(|i| i.name != *name);
        graph.initializer.push(onnx::TensorProto {
            name: name.clone(),
            dims: value.shape().iter().map(|n| *n as i64).collect(),
            raw_data: match kind {
                DataType::Int64 => value.iter().flat_map(|v| (*v as i64).to_le_bytes()).collect(),
                _ => value.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect(),
            },
            data_type: *kind as i32,
            ..Default::default()
        });
    }
    (graph, rest)
}

fn with_tract(case: &Case) -> Outcome {
    let computed = || -> TractResult<Vec<ArrayD<f64>>> {
        let (graph, inputs) = bound(case);
        let proto = onnx::ModelProto { graph: Some(graph), ..case.proto.clone() };
        let mut model = super::engine::read(&proto)?;
        let mut fed = TVec::new();
        for (i, (_, kind, value)) in inputs.into_iter().enumerate() {
            let tensor = typed(*kind, value);
            model.set_input_fact(i, InferenceFact::dt_shape(tensor.datum_type(), tensor.shape()))?;
            fed.push(tensor.into_tvalue());
        }
        let results = model.into_optimized()?.into_runnable()?.run(fed)?;
        results.iter().map(|r| Ok(r.cast_to::<f64>()?.to_plain_array_view::<f64>()?.to_owned())).collect()
    };
    match computed() {
        Ok(got) => compare(&got, &case.expected),
        Err(e) => Outcome::Refused(format!("{e:#}")),
    }
}

/// Our own operators, on a graph of which nothing is left for tract.
#[expect(clippy::cast_possible_truncation, reason = "back to the type that they came from")]
fn with_flow(case: &Case) -> Outcome {
    let refused = |why: &str| Outcome::Refused(why.to_owned());
    let (graph, inputs) = bound(case);
    let mut shapes: HashMap<String, Vec<usize>> = HashMap::new();
    shapes.extend(case.inputs.iter().map(|(name, _, value)| (name.clone(), value.shape().to_vec())));
    for (output, value) in graph.output.iter().zip(&case.expected) {
        shapes.insert(output.name.clone(), value.shape().to_vec());
    }
    let shape = case.expected[0].shape();
    let tile = shape[shape.len().saturating_sub(2)..].to_vec();
    if tile.is_empty() || inputs.iter().any(|(_, kind, _)| *kind != DataType::Float) {
        return refused("left to tract");
    }
    let names: Vec<String> = graph.input.iter().map(|i| i.name.clone()).collect();
    let parts = match cut(graph, &[], &[], &shapes, &tile, false) {
        Ok(Some(parts)) if parts.rest.node.is_empty() => parts,
        Ok(_) => return refused("left to tract"),
        Err(e) => return Outcome::Refused(e.to_string()),
    };
    let value = |name: &str| case.inputs.iter().find(|i| i.0 == name).map(|i| &i.2);
    let given: Option<Vec<Vec<f32>>> = parts
        .given
        .iter()
        .map(|from| match from {
            flow::Given::Input(i) => Some(value(&names[*i])?.iter().map(|v| *v as f32).collect()),
            flow::Given::Constant(values) => Some(values.clone()),
            flow::Given::Rest(_) => None,
        })
        .collect();
    let Some(given) = given else { return refused("left to tract") };
    let mut outputs: Vec<Vec<f32>> = case.expected.iter().map(|e| vec![f32::NAN; e.len()]).collect();
    let mut flow = parts.flow;
    let whole = flow::Strip::whole(flow.columns());
    flow.run(
        &given.iter().map(Vec::as_slice).collect::<Vec<_>>(),
        &|_, _, _, _| unreachable!("all of it is given"),
        &whole,
        &mut outputs.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>(),
    );
    let got: Vec<ArrayD<f64>> = outputs
        .into_iter()
        .zip(&case.expected)
        .map(|(o, e)| ArrayD::from_shape_vec(e.raw_dim(), o.into_iter().map(f64::from).collect()).expect("its shape"))
        .collect();
    compare(&got, &case.expected)
}

#[cfg(feature = "ort")]
#[expect(clippy::cast_possible_truncation, reason = "back to the type that they came from")]
fn with_ort(case: &Case) -> Outcome {
    use ort::value::Tensor;
    let computed = || -> Result<Vec<ArrayD<f64>>, ort::Error> {
        let (_, environment) = super::ort::environment("ort", None).expect("the library that ORT_DYLIB_PATH names");
        let mut session =
            ort::session::Session::builder(&environment)?.commit_from_memory(&case.proto.encode_to_vec())?;
        let inputs: Vec<(&str, ort::value::DynValue)> = case
            .inputs
            .iter()
            .map(|(name, kind, value)| {
                let shape = value.shape().to_vec();
                let value = match kind {
                    DataType::Int64 => {
                        Tensor::from_array((shape, value.iter().map(|v| *v as i64).collect::<Vec<_>>()))?.into_dyn()
                    }
                    DataType::Bool => {
                        Tensor::from_array((shape, value.iter().map(|v| *v != 0.0).collect::<Vec<_>>()))?.into_dyn()
                    }
                    _ => Tensor::from_array((shape, value.iter().map(|v| *v as f32).collect::<Vec<_>>()))?.into_dyn(),
                };
                Ok((name.as_str(), value))
            })
            .collect::<Result<_, ort::Error>>()?;
        let results = session.run(inputs)?;
        let graph = case.proto.graph.as_ref().expect("a graph");
        graph
            .output
            .iter()
            .map(|o| {
                let value = &results[o.name.as_str()];
                let read = |(shape, values): (&ort::value::Shape, Vec<f64>)| {
                    let dims: Vec<usize> = shape.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
                    ArrayD::from_shape_vec(IxDyn(&dims), values).expect("its shape")
                };
                if let Ok((shape, values)) = value.try_extract_tensor::<f32>() {
                    return Ok(read((shape, values.iter().map(|v| f64::from(*v)).collect())));
                }
                if let Ok((shape, values)) = value.try_extract_tensor::<i64>() {
                    #[expect(clippy::cast_precision_loss, reason = "sizes and axes")]
                    return Ok(read((shape, values.iter().map(|v| *v as f64).collect())));
                }
                let (shape, values) = value.try_extract_tensor::<bool>()?;
                Ok(read((shape, values.iter().map(|v| f64::from(u8::from(*v))).collect())))
            })
            .collect()
    };
    match computed() {
        Ok(got) => compare(&got, &case.expected),
        Err(e) => Outcome::Refused(e.to_string()),
    }
}

#[test]
fn every_engine_computes_the_operators_as_onnx_does() {
    let Some(folder) = std::env::var_os("MOLLIFIER_ONNX_CASES").map(PathBuf::from) else {
        println!("skipped: MOLLIFIER_ONNX_CASES names no folder");
        return;
    };
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(&folder).expect("MOLLIFIER_ONNX_CASES").map(|e| e.expect("an entry").path()).collect();
    folders.sort();
    let cases: Vec<Case> = folders.iter().filter_map(|f| case(f)).collect();
    let mut engines: Vec<(&str, Engine)> =
        vec![("reference", with_reference), ("tract-plain", with_tract), ("tract", with_flow)];
    #[cfg(feature = "ort")]
    if std::env::var_os("ORT_DYLIB_PATH").is_some() {
        engines.push(("ort", with_ort));
    }
    let mut surprises = Vec::new();
    for (engine, run) in engines {
        let mut right: BTreeMap<&str, usize> = BTreeMap::new();
        let mut refused = Vec::new();
        for case in &cases {
            match run(case) {
                Outcome::Right => *right.entry(&case.operator).or_default() += 1,
                Outcome::Refused(why) => refused.push(format!("{}: {why}", case.name)),
                Outcome::Wrong(how) => surprises.push(format!("{engine}, {}: {how}", case.name)),
            }
        }
        println!("{engine}: {} of {} cases right", right.values().sum::<usize>(), cases.len());
        // Of a flow it is the rule: what is no map stays with tract.
        if engine != "tract" {
            println!("  not so: {}", refused.join("\n          "));
        }
        // An engine may refuse what no model asks of it, but no operator as a whole.
        let missing: BTreeSet<&str> = USED
            .into_iter()
            .filter(|o| engine != "tract" || !NOT_IN_A_FLOW.contains(o))
            .filter(|o| !right.contains_key(o))
            .collect();
        if !missing.is_empty() {
            surprises.push(format!("{engine}: no case right of {missing:?}"));
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

type Rewrite = fn(&[u8]) -> Result<Vec<u8>, prost::DecodeError>;

/// A message read and written.
fn rewritten<M: Message + Default>(bytes: &[u8]) -> Result<Vec<u8>, prost::DecodeError> {
    M::decode(bytes).map(|message| message.encode_to_vec())
}

/// What a file means is the same to the engine after our own types have read it and written it.
#[test]
fn no_message_loses_anything_that_the_engine_reads() {
    let Some(folder) = std::env::var_os("MOLLIFIER_ONNX_CASES").map(PathBuf::from) else {
        println!("skipped: MOLLIFIER_ONNX_CASES names no folder");
        return;
    };
    let mut files = 0;
    let mut changed = Vec::new();
    for folder in std::fs::read_dir(&folder).expect("MOLLIFIER_ONNX_CASES") {
        let folder = folder.expect("an entry").path();
        let data = folder.join("test_data_set_0");
        let tensors = (0..).map(|i| data.join(format!("input_{i}.pb"))).take_while(|path| path.exists());
        for path in std::iter::once(folder.join("model.onnx")).chain(tensors) {
            let bytes = std::fs::read(&path).expect("a file");
            let is_model = path.extension().is_some_and(|e| e == "onnx");
            let (meant, ours): (Rewrite, Rewrite) = match is_model {
                true => (rewritten::<pb::ModelProto>, rewritten::<onnx::ModelProto>),
                false => (rewritten::<pb::TensorProto>, rewritten::<onnx::TensorProto>),
            };
            // By their bytes, since some tensors hold a NaN, which is not equal to itself. Inputs that are sequences of
            // tensors are in neither's messages.
            let same = ours(&bytes).map_or_else(|_| meant(&bytes).is_err(), |ours| meant(&ours) == meant(&bytes));
            files += 1;
            if !same {
                changed.push(path);
            }
        }
    }
    assert!(changed.is_empty(), "of {files} files these change: {changed:#?}");
    assert!(files > 2000, "{files} files");
}
