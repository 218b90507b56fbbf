//! The default backend: tract, embedded, bound to one concrete tile shape.

use std::collections::HashMap;
use std::fmt::Debug;

use ndarray::{ArrayViewD, ArrayViewMutD};
use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan::SimpleState;

use super::native::{fuse_pointwise, nativize, reader, replace_convolutions};
use super::{Backend, BackendError, Plan, check_shapes, tensor_shape};
use crate::graph::merge_twins;
use crate::model::Model;

/// The pure Rust engine that is always there, with our own operators for banks and pointwise parts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tract;

/// tract with nothing but its own operators, to measure [`Tract`] against; not for results.
///
/// Its tiles differ from its whole frames in the last bits, and version 0.23.9 fails `mollifier verify` on transient
/// heat with invalid pixels.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainTract;

impl Backend for Tract {
    fn name(&self) -> &'static str {
        "tract"
    }

    fn prepare(&self, model: &Model, tile: &[usize]) -> Result<Box<dyn Plan>, BackendError> {
        prepare(model, tile, true)
    }
}

impl Backend for PlainTract {
    fn name(&self) -> &'static str {
        "tract-plain"
    }

    fn prepare(&self, model: &Model, tile: &[usize]) -> Result<Box<dyn Plan>, BackendError> {
        prepare(model, tile, false)
    }
}

fn prepare(model: &Model, tile: &[usize], own: bool) -> Result<Box<dyn Plan>, BackendError> {
    let (mut proto, dropped) = model.restricted(tile).ok_or_else(|| BackendError::TooSmall {
        what: model.name.clone(),
        got: tile.to_vec(),
        expected: model.smallest(),
    })?;
    let engine = |what: &str| {
        let what = format!("{} at {tile:?}: {what}", model.name);
        move |e: TractError| BackendError::Engine { backend: "tract", what, message: format!("{e:#}") }
    };
    if own {
        nativize(&mut proto, &model.contract.banks, &dropped, tile);
    } else if let Some(graph) = proto.graph.as_mut() {
        merge_twins(graph);
    }
    let inputs: Vec<Vec<usize>> =
        model.contract.inputs.iter().map(|i| tensor_shape(&model.contract, i, tile)).collect();
    let bound = |proto: &pb::ModelProto| {
        let mut graph = reader().model_for_proto_model(proto)?;
        for (i, shape) in inputs.iter().enumerate() {
            graph.set_input_fact(i, f32::fact(shape).into())?;
        }
        Ok(graph)
    };
    if own {
        let graph = bound(&proto).map_err(engine("reading the graph"))?;
        let mut shapes = shapes(graph).map_err(engine("finding the shapes"))?;
        shapes.extend(model.contract.inputs.iter().map(|i| i.name.clone()).zip(inputs.iter().cloned()));
        replace_convolutions(&mut proto, &shapes, tile);
        fuse_pointwise(&mut proto, &shapes, tile);
    }
    let plan = bound(&proto)
        .map_err(engine("reading the graph"))?
        .into_optimized()
        .and_then(tract_onnx::prelude::IntoRunnable::into_runnable)
        .map_err(engine("preparing the plan"))?;
    let state = plan.spawn().map_err(engine("preparing the plan"))?;
    let mut output = vec![1];
    output.extend_from_slice(tile);
    let outputs = vec![output; model.contract.outputs.len()];
    let names = model.contract.inputs.iter().map(|i| i.name.clone()).collect();
    Ok(Box::new(TractPlan { state, names, inputs, outputs, dropped }))
}

/// The shape of every tensor that a node makes, of a graph whose inputs are bound, by name.
fn shapes(mut graph: InferenceModel) -> TractResult<HashMap<String, Vec<usize>>> {
    graph.analyse(false)?;
    let mut shapes = HashMap::new();
    for (outlet, name) in &graph.outlet_labels {
        let dims = graph.outlet_fact(*outlet)?.shape.as_concrete_finite()?;
        shapes.extend(dims.map(|dims| (name.clone(), dims.to_vec())));
    }
    Ok(shapes)
}

struct TractPlan {
    state: SimpleState<TypedFact, Box<dyn TypedOp>>,
    names: Vec<String>,
    inputs: Vec<Vec<usize>>,
    outputs: Vec<Vec<usize>>,
    dropped: Vec<String>,
}

impl Debug for TractPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TractPlan").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

impl Plan for TractPlan {
    fn dropped(&self) -> &[String] {
        &self.dropped
    }

    fn run(
        &mut self,
        inputs: &[ArrayViewD<'_, f32>],
        outputs: &mut [ArrayViewMutD<'_, f32>],
    ) -> Result<(), BackendError> {
        check_shapes(&self.names, &self.inputs, inputs, &self.outputs, outputs)?;
        let engine = |e: TractError| BackendError::Engine {
            backend: "tract",
            what: "running".to_owned(),
            message: format!("{e:#}"),
        };
        let tensors: TVec<TValue> = inputs.iter().map(|a| Tensor::from(a.to_owned()).into_tvalue()).collect();
        let results = self.state.run(tensors).map_err(engine)?;
        for (result, output) in results.iter().zip(outputs) {
            let view = result.to_plain_array_view::<f32>().map_err(engine)?;
            output.assign(&view);
        }
        Ok(())
    }
}
