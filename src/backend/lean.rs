//! Whole graphs in programs that are built without tract's operators: by the reference, which is right and slow.

use std::collections::HashMap;

use ndarray::{ArrayView, ArrayViewD, ArrayViewMutD};

use super::rest::Rest;
use crate::onnx;

/// A graph as the reference computes it.
pub(super) struct Whole(Rest);

impl Whole {
    /// Bind a graph to inputs of these shapes.
    ///
    /// # Errors
    /// The node that cannot be computed, and why.
    pub(super) fn new(proto: &onnx::ModelProto, inputs: &[Vec<usize>]) -> Result<Self, String> {
        let rest = Rest::new(proto.graph.as_ref().unwrap_or(&onnx::GraphProto::default()), inputs);
        rest.map(Self).map_err(|e| format!("{e}, and this program is built without tract"))
    }

    /// Compute the outputs.
    ///
    /// # Errors
    /// The node that cannot be computed, and why.
    pub(super) fn run(
        &mut self,
        inputs: &[ArrayViewD<'_, f32>],
        outputs: &mut [ArrayViewMutD<'_, f32>],
    ) -> Result<(), String> {
        for (result, output) in self.0.run(inputs)?.iter().zip(outputs) {
            let result = ArrayView::from_shape(output.raw_dim(), result).map_err(|e| e.to_string())?;
            output.assign(&result);
        }
        Ok(())
    }
}

/// Shapes that are not found from the operators alone are not found here.
///
/// # Errors
/// Always.
pub(super) fn shapes_by_analysis(
    _proto: &onnx::ModelProto,
    _inputs: &[Vec<usize>],
) -> Result<HashMap<String, Vec<usize>>, String> {
    Err("an operator is not one that `bake` writes, and this program is built without tract's own".to_owned())
}
