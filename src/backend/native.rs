//! Computing the contract's banks by our own operators inside a tract plan.
//!
//! Two things are gained over tract's convolutions: a tile gives the same bits as the whole frame, since every
//! output is summed in tap order wherever it lies, and all derivatives of an input share their passes.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

use crate::graph::{BankRecord, Edge, merge_twins, node, prune, supplant, text};
use crate::operator::{Border, BoundBank, Derivative};

/// The operator's name in a graph that was prepared for tract; it never stands in a file.
const OPERATOR: &str = "MollifierBank";

/// Let every bank of `banks` but those in `dropped` be computed by one operator for each of its inputs.
pub(super) fn nativize(proto: &mut pb::ModelProto, banks: &[BankRecord], dropped: &[String], tile: &[usize]) {
    let Some(graph) = proto.graph.as_mut() else { return };
    for bank in banks.iter().filter(|b| !dropped.contains(&b.name)) {
        for (i, input) in bank.inputs.iter().enumerate() {
            let outputs: Vec<&str> = bank.outputs.iter().filter(|o| o.input == i).map(|o| o.name.as_str()).collect();
            let one = BankRecord {
                inputs: vec![input.clone()],
                outputs: bank.outputs.iter().filter(|o| o.input == i).cloned().collect(),
                ..bank.clone()
            };
            let Ok(record) = serde_json::to_string(&(one, tile)) else { continue };
            let native = node(OPERATOR, &[input], &outputs, vec![text("record", record)]);
            supplant(graph, &outputs, vec![native]);
        }
    }
    prune(graph);
    merge_twins(graph);
}

/// tract's ONNX reader with our operator in its register.
pub(super) fn reader() -> tract_onnx::Onnx {
    let mut onnx = tract_onnx::onnx();
    onnx.op_register.insert(OPERATOR, parse);
    onnx
}

fn parse(_: &ParsingContext, node: &pb::NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let record = node.attribute.iter().find(|a| a.name == "record").map(|a| a.s.as_slice()).unwrap_or_default();
    let (record, tile): (BankRecord, Vec<usize>) = serde_json::from_slice(record)?;
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
        OPERATOR.into()
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
        OPERATOR.into()
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
            (0..self.outputs).map(|_| Tensor::zero::<f32>(inputs[0].shape())).collect::<TractResult<_>>()?;
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
