//! Leaving out the banks that a small frame has no room for.

use tract_onnx::pb;

use super::Model;
use crate::graph::{float_tensor, node, prune, supplant};

impl Model {
    /// The graph for a tensor of `size` samples along each tiled axis, and the names of the banks left out.
    ///
    /// A bank that needs more samples than there are gives zeros, its gains become one and its `present`
    /// switch zero, so that the estimate rests on the banks that fit. `None` if not even the smallest fits.
    #[must_use]
    pub fn restricted(&self, size: &[usize]) -> Option<(pb::ModelProto, Vec<String>)> {
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
        for bank in &dropped {
            for output in &bank.outputs {
                let zeros = node("Mul", &[&bank.inputs[output.input], ZERO], &[&output.name], Vec::new());
                supplant(graph, &[&output.name], vec![zeros]);
            }
            for gain in &bank.gains {
                supplant(graph, &[gain], Vec::new());
                graph.initializer.push(float_tensor(gain, Vec::new(), &[1.0]));
            }
            if let Some(switch) = graph.initializer.iter_mut().find(|t| t.name == bank.present) {
                *switch = float_tensor(&bank.present, Vec::new(), &[0.0]);
            }
        }
        graph.initializer.push(float_tensor(ZERO, Vec::new(), &[0.0]));
        prune(graph);
        let names = dropped.iter().map(|b| b.name.clone()).collect();
        Some((proto, names))
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

const ZERO: &str = "dropped.zero";
