//! A bank as an operator of tract.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

use super::{BANK, record, unwritten};
use crate::graph::{BankRecord, Edge};
use crate::operator::{Border, BoundBank, Derivative};

pub(super) fn parse(_: &ParsingContext, node: &pb::NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let (record, tile): (BankRecord, Vec<usize>) = serde_json::from_slice(record(node))?;
    let design = record.design().map_err(|e| format_err!("bank {}: {e}", record.name))?;
    let derivatives: Vec<Derivative> =
        record.outputs.iter().map(|o| Derivative { input: 0, orders: o.orders.clone() }).collect();
    let border = match record.edge {
        Edge::OneSided => Border::OneSided,
        Edge::Zero => Border::Zero,
    };
    let bank = BoundBank::new(&tile, &derivatives, border, |axis, order| design.kernel(axis, order))
        .map_err(|e| format_err!("bank {}: {e}", record.name))?;
    let operator = NativeBank { name: record.name, outputs: derivatives.len(), bank };
    Ok((tract_onnx::tract_hir::ops::expandable::expand(operator), Vec::new()))
}

#[derive(Clone, Debug)]
struct NativeBank {
    name: String,
    outputs: usize,
    bank: BoundBank,
}

impl tract_onnx::tract_hir::ops::expandable::Expansion for NativeBank {
    fn name(&self) -> StaticName {
        BANK.into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.outputs)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        for output in outputs {
            s.equals(&inputs[0].datum_type, &output.datum_type)?;
            s.equals(&inputs[0].shape, &output.shape)?;
        }
        Ok(())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for NativeBank {
    fn name(&self) -> StaticName {
        BANK.into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![self.name.clone()])
    }

    op_as_typed_op!();
}

impl PartialEq for NativeBank {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.outputs == other.outputs
    }
}

impl Eq for NativeBank {}

impl EvalOp for NativeBank {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = inputs[0].to_plain_array_view::<f32>()?;
        let input = input.as_slice().context("a bank's input lies in order in memory")?;
        let mut outputs: Vec<Tensor> =
            (0..self.outputs).map(|_| unwritten(inputs[0].shape())).collect::<TractResult<_>>()?;
        let mut planes: Vec<&mut [f32]> = Vec::with_capacity(self.outputs);
        for output in &mut outputs {
            planes.push(output.to_plain_array_view_mut::<f32>()?.into_slice().context("a fresh tensor lies in order")?);
        }
        let mut scratch = vec![0.0; self.bank.scratch_len()];
        self.bank.run(&[input], &mut planes, &mut scratch);
        Ok(outputs.into_iter().map(Tensor::into_tvalue).collect())
    }
}

impl TypedOp for NativeBank {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok((0..self.outputs).map(|_| f32::fact(inputs[0].shape.clone())).collect())
    }

    as_op!();
}
