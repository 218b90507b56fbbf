//! Leaving out the banks that a small frame has no room for.

use super::{InputRole, Model};
use crate::graph::{float_tensor, node, prune, supplant};
use crate::onnx;

impl Model {
    /// The graph for a tensor of `size` samples along each tiled axis, and the names of the banks left out.
    ///
    /// A bank that needs more samples than there are gives zeros, its gains become one and its `present`
    /// switch zero, so that the estimate rests on the banks that fit. `None` if not even the smallest fits.
    #[must_use]
    pub fn restricted(&self, size: &[usize]) -> Option<(onnx::ModelProto, Vec<String>)> {
        let fits = |need: &[usize]| need.iter().zip(size).all(|(n, s)| n <= s);
        let sized: Vec<_> = self.contract.banks.iter().filter(|b| b.min_size().iter().any(|n| *n > 1)).collect();
        let (kept, dropped): (Vec<_>, Vec<_>) = sized.into_iter().partition(|b| fits(&b.min_size()));
        if dropped.is_empty() {
            return Some((self.proto.clone(), Vec::new()));
        }
        if kept.is_empty() {
            return None;
        }
        let mut proto = self.proto.clone();
        let graph = proto.graph.as_mut()?;
        // Zero and one as values that an engine cannot know beforehand, so that all that follows from them is not
        // folded in ways that differ from engine to engine.
        let mut front = vec![
            node("Mul", &[self.finite_input(), self.finite_input()], &[SQUARE], Vec::new()),
            node("Min", &[SQUARE, CONSTANT_ZERO], &[ZERO], Vec::new()),
            node("Add", &[ZERO, CONSTANT_ONE], &[ONE], Vec::new()),
        ];
        graph.initializer.push(float_tensor(CONSTANT_ZERO, Vec::new(), &[0.0]));
        graph.initializer.push(float_tensor(CONSTANT_ONE, Vec::new(), &[1.0]));
        for bank in &dropped {
            for output in &bank.outputs {
                let zeros = node("Mul", &[&bank.inputs[output.input], ZERO], &[&output.name], Vec::new());
                supplant(graph, &[&output.name], vec![zeros]);
            }
            for gain in &bank.gains {
                supplant(graph, &[gain], Vec::new());
                front.push(node("Identity", &[ONE], &[gain], Vec::new()));
            }
            graph.initializer.retain(|t| t.name != bank.present);
            front.push(node("Identity", &[ZERO], &[&bank.present], Vec::new()));
        }
        graph.node.splice(0..0, front);
        prune(graph);
        let names = dropped.iter().map(|b| b.name.clone()).collect();
        Some((proto, names))
    }

    /// A graph input that is finite whatever the recording holds.
    fn finite_input(&self) -> &str {
        let inputs = &self.contract.inputs;
        inputs.iter().find(|i| i.role == InputRole::Noise).or(inputs.first()).map_or("", |i| &i.name)
    }

    /// The smallest tensor that at least one bank of the model fits, along each tiled axis.
    #[must_use]
    pub fn smallest(&self) -> Vec<usize> {
        self.contract
            .banks
            .iter()
            .map(crate::graph::BankRecord::min_size)
            .filter(|s| s.iter().any(|n| *n > 1))
            .min()
            .unwrap_or_else(|| vec![1; self.contract.tiled_axes()])
    }
}

const SQUARE: &str = "dropped.square";
const ZERO: &str = "dropped.zero";
const ONE: &str = "dropped.one";
const CONSTANT_ZERO: &str = "dropped.0";
const CONSTANT_ONE: &str = "dropped.1";
