//! The kernels of a model one by one, as models of their own.

use super::{Input, InputRole, Kind, Model, Output, Transform};
use crate::graph::{BankRecord, int_tensor, node, prune, tensor_info};
use crate::onnx;

/// The only input of a kernel's model, and the axis that maps have in graphs and tensors at the border do not.
const FIELD: &str = "mollifier_kernel_field";
const CHANNEL: &str = "mollifier_kernel_channel";

impl Model {
    /// For every bank, a model that takes one field, (1, y, x) or (1, sample), and gives that bank's derivatives of it,
    /// in pixel units, with the file's own operators and constants.
    ///
    /// With these a disagreement between backends is traced to a kernel. Outputs are named by their derivative orders.
    #[must_use]
    pub fn kernels(&self) -> Vec<Self> {
        self.contract.banks.iter().filter_map(|bank| self.kernel(bank)).collect()
    }

    fn kernel(&self, bank: &BankRecord) -> Option<Self> {
        // The other inputs of a bank go through the same kernels.
        let input = bank.inputs.first()?;
        let outputs: Vec<_> = bank.outputs.iter().filter(|o| o.input == 0).cloned().collect();
        let mut model = self.clone();
        let graph = model.proto.graph.as_mut()?;
        graph.node.retain(|n| !n.output.contains(input));
        graph.node.insert(0, node("Unsqueeze", &[FIELD, CHANNEL], &[input], Vec::new()));
        graph.initializer.push(int_tensor(CHANNEL, &[1]));
        let name =
            |orders: &[usize]| format!("d{}", orders.iter().map(ToString::to_string).collect::<Vec<_>>().join("."));
        let info = |name: &str| tensor_info(name, &[]);
        graph.input = vec![info(FIELD)];
        graph.output = outputs.iter().map(|o| info(&name(&o.orders))).collect::<Vec<onnx::ValueInfoProto>>();
        for output in &outputs {
            let squeeze = node("Squeeze", &[&output.name, CHANNEL], &[&name(&output.orders)], Vec::new());
            graph.node.push(squeeze);
        }
        prune(graph);

        let contract = &mut model.contract;
        let axes: &[&str] = if contract.kind == Kind::Series { &["batch", "sample"] } else { &["batch", "y", "x"] };
        contract.inputs = vec![Input {
            name: FIELD.to_owned(),
            role: InputRole::Field,
            axes: axes.iter().map(|a| (*a).to_owned()).collect(),
            unit: String::new(),
            default: None,
            positive: false,
            description: "the field".to_owned(),
        }];
        contract.outputs = outputs
            .iter()
            .map(|o| Output {
                name: name(&o.orders),
                quantity: "derivative".to_owned(),
                unit: String::new(),
                transform: Transform::Identity,
            })
            .collect();
        contract.window = 1;
        contract.features.clear();
        contract.min_size = bank.min_size();
        contract.banks = vec![BankRecord { inputs: vec![input.clone()], outputs, ..bank.clone() }];
        let radius: Vec<String> = bank.radius.iter().map(ToString::to_string).collect();
        model.name = format!("{} {} of radius {}", bank.name, bank.family, radius.join(" x "));
        Some(model)
    }

    /// One case for a kernel's model: a size at which the middle and both borders are there.
    ///
    /// # Errors
    /// A graph that the reference cannot compute.
    pub fn kernel_case(&self) -> Result<super::Case, super::ModelError> {
        let radii = self.contract.banks.iter().flat_map(|b| &b.radius);
        let size: Vec<usize> =
            self.contract.min_size.iter().zip(radii).map(|(need, radius)| (2 * need).max(2 * radius + 1) + 6).collect();
        self.case("alone", &size, false)
    }
}
