//! A small convolution as an operator of tract.

use std::sync::Mutex;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

use super::{CONVOLUTION, record, unwritten};
use crate::operator::{Convolution, ConvolutionShape};

/// What stands in the graph: the shape, the output's dimensions, weights and bias.
pub(super) type Record = ([[usize; 2]; 4], Vec<usize>, Vec<f32>, Vec<f32>);

pub(super) fn parse(_: &ParsingContext, node: &pb::NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let ([size, channels, kernel, dilation], dims, weights, bias): Record = serde_json::from_slice(record(node))?;
    let shape = ConvolutionShape { size, channels, kernel, dilation };
    let convolution = Convolution::new(shape, &weights, &bias);
    let name = node.output.first().cloned().unwrap_or_default();
    let operator = NativeConvolution { name, dims, convolution };
    Ok((tract_onnx::tract_hir::ops::expandable::expand(operator), Vec::new()))
}

#[derive(Clone, Debug, PartialEq)]
struct NativeConvolution {
    /// Of the output.
    name: String,
    dims: Vec<usize>,
    convolution: Convolution,
}

impl Eq for NativeConvolution {}

impl tract_onnx::tract_hir::ops::expandable::Expansion for NativeConvolution {
    fn name(&self) -> StaticName {
        CONVOLUTION.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        s.equals(&outputs[0].datum_type, f32::datum_type())?;
        let dims: TVec<TDim> = self.dims.iter().map(|n| n.to_dim()).collect();
        s.equals(&outputs[0].shape, dims)?;
        Ok(())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let bound = Bound { operator: self.clone(), scratch: Scratch::default() };
        model.wire_node(prefix, bound, inputs)
    }
}

/// The operator with the padded input of its last call, which a plan runs one call at a time.
#[derive(Clone, Debug)]
struct Bound {
    operator: NativeConvolution,
    scratch: Scratch,
}

#[derive(Debug, Default)]
struct Scratch(Mutex<Vec<f32>>);

impl Clone for Scratch {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.operator == other.operator
    }
}

impl Eq for Bound {}

impl Op for Bound {
    fn name(&self) -> StaticName {
        CONVOLUTION.into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![self.operator.name.clone()])
    }

    op_as_typed_op!();
}

impl EvalOp for Bound {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = inputs[0].to_plain_array_view::<f32>()?;
        let input = input.as_slice().context("an input lies in order in memory")?;
        let mut output = unwritten(&self.operator.dims)?;
        let view = output.to_plain_array_view_mut::<f32>()?;
        let values = view.into_slice().context("a fresh tensor lies in order")?;
        let mut scratch = self.scratch.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        scratch.resize(self.operator.convolution.scratch_len(), 0.0);
        self.operator.convolution.run(input, values, &mut scratch);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Bound {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(self.operator.dims.clone())))
    }

    as_op!();
}
