//! A program of pointwise operators as an operator of tract.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

use super::{POINTWISE, record, unwritten};
use crate::backend::pointwise::Program;

pub(super) fn parse(_: &ParsingContext, node: &pb::NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let (program, shapes): (Program, Vec<Vec<usize>>) = serde_json::from_slice(record(node))?;
    let name = node.output.first().cloned().unwrap_or_default();
    let operator = Pointwise { name, inputs: node.input.len(), shapes, program };
    Ok((tract_onnx::tract_hir::ops::expandable::expand(operator), Vec::new()))
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pointwise {
    /// Of the first output.
    name: String,
    inputs: usize,
    shapes: Vec<Vec<usize>>,
    program: Program,
}

impl tract_onnx::tract_hir::ops::expandable::Expansion for Pointwise {
    fn name(&self) -> StaticName {
        POINTWISE.into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.shapes.len())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, self.inputs)?;
        for (output, shape) in outputs.iter().zip(&self.shapes) {
            s.equals(&output.datum_type, f32::datum_type())?;
            let dims: TVec<TDim> = shape.iter().map(|n| n.to_dim()).collect();
            s.equals(&output.shape, dims)?;
        }
        Ok(())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for Pointwise {
    fn name(&self) -> StaticName {
        POINTWISE.into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{}, {} steps", self.name, self.program.instructions.len())])
    }

    op_as_typed_op!();
}

impl EvalOp for Pointwise {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut sources: Vec<&[f32]> = Vec::with_capacity(inputs.len());
        let views: Vec<_> = inputs.iter().map(|i| i.to_plain_array_view::<f32>()).collect::<TractResult<_>>()?;
        for view in &views {
            sources.push(view.as_slice().context("an input lies in order in memory")?);
        }
        let mut outputs: Vec<Tensor> = self.shapes.iter().map(|s| unwritten(s)).collect::<TractResult<_>>()?;
        let mut targets: Vec<&mut [f32]> = Vec::with_capacity(outputs.len());
        for output in &mut outputs {
            let view = output.to_plain_array_view_mut::<f32>()?;
            targets.push(view.into_slice().context("a fresh tensor lies in order")?);
        }
        self.program.run(&sources, &mut targets);
        Ok(outputs.into_iter().map(Tensor::into_tvalue).collect())
    }
}

impl TypedOp for Pointwise {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.shapes.iter().map(|s| f32::fact(s.clone())).collect())
    }

    as_op!();
}
