//! tract as it comes: what computes graphs that the flow does not take, and what ours is measured against.

use std::collections::HashMap;

use ndarray::{ArrayViewD, ArrayViewMutD};
use prost::Message;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan::SimpleState;

use crate::onnx;

/// A graph as tract runs it.
pub(super) struct Whole {
    state: SimpleState<TypedFact, Box<dyn TypedOp>>,
    /// The inputs that something is computed from. The shapes of the others were all that was wanted of them.
    used: Vec<usize>,
}

impl Whole {
    /// Bind a graph to inputs of these shapes.
    ///
    /// # Errors
    /// Why tract cannot, in its own words.
    pub(super) fn new(proto: &onnx::ModelProto, inputs: &[Vec<usize>]) -> Result<Self, String> {
        bound(proto, inputs).and_then(|graph| Self::of(graph.into_optimized()?)).map_err(|e| format!("{e:#}"))
    }

    fn of(mut model: TypedModel) -> TractResult<Self> {
        let outputs = model.output_outlets()?.to_vec();
        let inputs = model.input_outlets()?.to_vec();
        let is_used = |outlet: &OutletId| {
            outputs.contains(outlet) || !model.node(outlet.node).outputs[outlet.slot].successors.is_empty()
        };
        let used: Vec<usize> = (0..inputs.len()).filter(|i| is_used(&inputs[*i])).collect();
        let kept: Vec<OutletId> = used.iter().map(|i| inputs[*i]).collect();
        model.set_input_outlets(&kept)?;
        Ok(Self { state: model.into_runnable()?.spawn()?, used })
    }

    /// Compute the outputs from copies of the inputs that are used.
    ///
    /// # Errors
    /// Why tract cannot, in its own words.
    pub(super) fn run(
        &mut self,
        inputs: &[ArrayViewD<'_, f32>],
        outputs: &mut [ArrayViewMutD<'_, f32>],
    ) -> Result<(), String> {
        let mut run = || -> TractResult<()> {
            let used = self.used.iter().map(|i| Tensor::from(inputs[*i].to_owned()).into_tvalue());
            let results = self.state.run(used.collect())?;
            for (result, output) in results.iter().zip(outputs.iter_mut()) {
                output.assign(&result.to_plain_array_view::<f32>()?);
            }
            Ok(())
        };
        run().map_err(|e| format!("{e:#}"))
    }
}

/// tract's graph, with inputs as the file leaves them.
pub(super) fn read(proto: &onnx::ModelProto) -> TractResult<InferenceModel> {
    tract_onnx::onnx().model_for_read(&mut proto.encode_to_vec().as_slice())
}

/// tract's graph with inputs of these shapes.
fn bound(proto: &onnx::ModelProto, inputs: &[Vec<usize>]) -> TractResult<InferenceModel> {
    let mut graph = read(proto)?;
    for (i, shape) in inputs.iter().enumerate() {
        graph.set_input_fact(i, f32::fact(shape).into())?;
    }
    Ok(graph)
}

/// The shape of every tensor that a node makes, of a graph with inputs of these shapes, by name: tract's own analysis.
///
/// # Errors
/// Why tract cannot, in its own words.
pub(super) fn shapes_by_analysis(
    proto: &onnx::ModelProto,
    inputs: &[Vec<usize>],
) -> Result<HashMap<String, Vec<usize>>, String> {
    bound(proto, inputs).and_then(analysed).map_err(|e| format!("{e:#}"))
}

fn analysed(mut graph: InferenceModel) -> TractResult<HashMap<String, Vec<usize>>> {
    graph.analyse(false)?;
    let mut shapes = HashMap::new();
    for (outlet, name) in &graph.outlet_labels {
        let dims = graph.outlet_fact(*outlet)?.shape.as_concrete_finite()?;
        shapes.extend(dims.map(|dims| (name.clone(), dims.to_vec())));
    }
    Ok(shapes)
}
