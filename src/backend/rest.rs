//! The small part of a graph that its maps are computed with: gains of noise, steps, what else is a number or a few.
//!
//! It is evaluated by the model's own definition of the operators, in double precision: an engine takes longer to prepare
//! for it than it does to compute it, and brings in most of its code.

use std::collections::HashMap;

use ndarray::{ArrayD, ArrayViewD};

use crate::model::reference::{constant, evaluate, inputs_of, shape_of};
use crate::onnx;

/// A node with the numbers of what it reads and makes.
#[derive(Debug)]
struct Step {
    node: onnx::NodeProto,
    reads: Vec<usize>,
    makes: Vec<usize>,
}

/// A graph of few numbers, bound to the shapes of its inputs.
#[derive(Debug)]
pub(super) struct Rest {
    /// What depends on no input but by its shape is computed already.
    values: Vec<Option<ArrayD<f64>>>,
    /// The inputs that something is computed from: their number in the graph, and that of their value.
    inputs: Vec<(usize, usize)>,
    steps: Vec<Step>,
    outputs: Vec<usize>,
    /// The outputs in single precision, row-major; most are constants.
    results: Vec<Vec<f32>>,
}

impl Rest {
    /// Bind `graph`, whose inputs have these shapes, in order.
    ///
    /// # Errors
    /// The node that cannot be computed, and why.
    pub(super) fn new(graph: &onnx::GraphProto, shapes: &[Vec<usize>]) -> Result<Self, String> {
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut values: Vec<Option<ArrayD<f64>>> = Vec::new();
        for tensor in &graph.initializer {
            numbers.insert(&tensor.name, values.len());
            values.push(Some(constant(tensor).map_err(|e| format!("{}: {e}", tensor.name))?));
        }
        let inputs: Vec<(usize, usize)> = (0..graph.input.len()).map(|i| (i, values.len() + i)).collect();
        numbers.extend(graph.input.iter().zip(&inputs).map(|(input, (_, number))| (input.name.as_str(), *number)));
        values.resize(values.len() + inputs.len(), None);
        let mut steps = Vec::new();
        for node in &graph.node {
            let failed = |e: String| format!("{}: {e}", node.name);
            let number = |name: &String| {
                numbers.get(name.as_str()).copied().ok_or_else(|| failed(format!("input {name:?} is not computed")))
            };
            let reads = inputs_of(node).iter().map(number).collect::<Result<Vec<_>, _>>()?;
            let shape = inputs.iter().find(|(_, number)| reads == [*number]).map(|(i, _)| &shapes[*i]);
            let results = match (shape, reads.iter().map(|r| values[*r].as_ref()).collect::<Option<Vec<_>>>()) {
                (_, Some(args)) => Some(evaluate(node, &args).map_err(failed)?),
                (Some(shape), None) if node.op_type == "Shape" => Some(vec![shape_of(node, shape)]),
                _ => None,
            };
            let first = values.len();
            let makes: Vec<usize> = (first..first + node.output.len()).collect();
            numbers.extend(node.output.iter().map(String::as_str).zip(makes.iter().copied()));
            values.resize(first + node.output.len(), None);
            match results {
                Some(results) => values[first..].iter_mut().zip(results).for_each(|(v, r)| *v = Some(r)),
                None => steps.push(Step { node: node.clone(), reads, makes }),
            }
        }
        let output = |o: &onnx::ValueInfoProto| {
            numbers.get(o.name.as_str()).copied().ok_or_else(|| format!("{}: is not computed", o.name))
        };
        let outputs: Vec<usize> = graph.output.iter().map(output).collect::<Result<_, _>>()?;
        let by_steps = |n: usize| steps.iter().any(|s: &Step| s.reads.contains(&n));
        let is_read = |n: usize| by_steps(n) || outputs.contains(&n);
        let inputs = inputs.into_iter().filter(|(_, number)| is_read(*number)).collect();
        let mut results = vec![Vec::new(); outputs.len()];
        for (number, result) in outputs.iter().zip(&mut results) {
            values[*number].iter().for_each(|value| single(value, result));
        }
        // What only led to constants is not needed any more.
        let kept: Vec<bool> = (0..values.len()).map(by_steps).collect();
        values.iter_mut().zip(kept).filter(|(_, kept)| !kept).for_each(|(value, _)| *value = None);
        let mut rest = Self { values, inputs, steps, outputs, results };
        // Once with zeros: what cannot be computed is told now, while an engine can still take the graph.
        let used: Vec<usize> = rest.used().collect();
        let zeros = shapes.iter().enumerate().map(|(i, shape)| if used.contains(&i) { shape.as_slice() } else { &[0] });
        let zeros: Vec<ArrayD<f32>> = zeros.map(ArrayD::zeros).collect();
        rest.run(&zeros.iter().map(|a| a.view()).collect::<Vec<_>>())?;
        Ok(rest)
    }

    /// The inputs, by number, that something is computed from; the shapes of the others were all that was wanted of them.
    pub(super) fn used(&self) -> impl Iterator<Item = usize> + '_ {
        self.inputs.iter().map(|(input, _)| *input)
    }

    /// Compute the outputs in order, row-major.
    ///
    /// # Errors
    /// As [`new`](Self::new), for what depends on inputs.
    pub(super) fn run(&mut self, inputs: &[ArrayViewD<'_, f32>]) -> Result<&[Vec<f32>], String> {
        for (input, number) in &self.inputs {
            self.values[*number] = Some(inputs[*input].mapv(f64::from));
        }
        for Step { node, reads, makes } in &self.steps {
            let args = reads.iter().map(|r| self.values[*r].as_ref()).collect::<Option<Vec<_>>>();
            let args = args.ok_or_else(|| format!("{}: an input is not computed", node.name))?;
            let results = evaluate(node, &args).map_err(|e| format!("{}: {e}", node.name))?;
            makes.iter().zip(results).for_each(|(number, result)| self.values[*number] = Some(result));
        }
        for (number, result) in self.outputs.iter().zip(&mut self.results) {
            // Of constants nothing is kept but the result.
            self.values[*number].iter().for_each(|value| single(value, result));
        }
        Ok(&self.results)
    }
}

/// A tensor's values in single precision.
fn single(value: &ArrayD<f64>, to: &mut Vec<f32>) {
    to.clear();
    let value = value.as_standard_layout();
    to.extend(value.as_slice().unwrap_or_default().iter().map(|v| *v as f32));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::backend::tensor_shape;
    use crate::model::Model;
    use crate::model::reference::compute;

    fn shipped(name: &str) -> Model {
        Model::load(Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)).expect("a model")
    }

    /// All of a model as if it were the rest: bound and run twice with other inputs, it is what the reference computes.
    #[test]
    fn it_is_the_reference_of_whatever_inputs_it_is_given() {
        for name in ["heat-transient-closed-form.onnx", "langevin-closed-form.onnx"] {
            let model = shipped(name);
            let tile: Vec<usize> = model.smallest().iter().map(|n| n + 3).collect();
            let mut graph = model.restricted(&tile).and_then(|(proto, _)| proto.graph).expect("a graph");
            graph.output.truncate(model.contract.outputs.len());
            let shapes: Vec<_> =
                model.contract.inputs.iter().map(|i| tensor_shape(&model.contract, i, &tile)).collect();
            let mut rest = Rest::new(&graph, &shapes).expect("it is bound");
            for holes in [false, true] {
                let inputs = model.made_up_inputs(&tile, holes);
                let names = model.contract.inputs.iter().map(|i| i.name.clone());
                let values = names.zip(inputs.iter().map(|a| a.mapv(f64::from))).collect();
                let expected = compute(&graph, values).expect("the reference");
                let got = rest.run(&inputs.iter().map(|a| a.view()).collect::<Vec<_>>()).expect("it is computed");
                for (got, expected) in got.iter().zip(&expected) {
                    let expected: Vec<u32> = expected.iter().map(|v| (*v as f32).to_bits()).collect();
                    assert_eq!(got.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), expected, "{name}, {holes}");
                }
            }
        }
    }

    #[test]
    fn an_operator_that_is_not_known_is_named() {
        let mut graph = onnx::GraphProto {
            input: vec![crate::graph::tensor_info("a", &[])],
            output: vec![crate::graph::tensor_info("b", &[])],
            ..Default::default()
        };
        graph.node.push(crate::graph::node("Erf", &["a"], &["b"], Vec::new()));
        let error = Rest::new(&graph, &[Vec::new()]).expect_err("no such operator");
        assert!(error.contains("Erf"), "{error}");
    }
}
