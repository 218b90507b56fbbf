//! An ONNX graph under construction, written as arithmetic on named maps.
//!
//! A [`Graph`] hands out [`Value`]s; arithmetic on values adds nodes of the standard operator set (opset 17).
//! [`Graph::bank`] adds the operators of one radius: separable passes with their edges, and the exactly known
//! noise gains of any combination of them. Inside the graph every map has the axes (1, 1, y, x), or
//! (1, 1, sample) for a series; scalars have none. All derivatives are in pixel units: dividing by the sample
//! distance is the caller's, since it is an input of the model.
//!
//! ```
//! use mollifier::graph::{BankDesign, Edge, Graph};
//! use mollifier::kernel::Family;
//!
//! let graph = Graph::new(2);
//! let u = graph.map_input("u");
//! let noise = graph.scalar_input("noise");
//! let design = BankDesign { family: Family::Poly(4), radius: vec![8, 8], edge: Edge::OneSided, correction: Some(1), edge_average: 1 };
//! let bank = graph.bank("r8", design)?;
//! let d = bank.apply(&u, &[&[2, 0], &[0, 2]])?;
//! let laplacian = &d[0] + &d[1];
//! // Variance of the Laplacian for white noise in u, exact up to the frame's edge.
//! let variance = bank.gain(&[(1.0, &[2, 0]), (1.0, &[0, 2])])? * noise.square();
//! graph.output("snr", &(laplacian.square() / variance));
//! # Ok::<(), mollifier::graph::GraphError>(())
//! ```
//!
//! Every value knows its **reach**: how many samples around an output it depends on, along each axis. The
//! largest reach of the outputs is the halo of the contract.

mod bank;
mod node;
mod rules;
mod value;

pub use bank::{Bank, BankDesign, BankOutput, BankRecord, Edge, GraphError};
#[cfg(feature = "ort")]
pub(crate) use node::bind_shape;
pub(crate) use node::{float_tensor, int, int_tensor, merge_twins, node, prune, supplant, tensor_info};
pub(crate) use rules::{attribute, axis_of, broadcast, place, whole_numbers};
pub use value::{Condition, Value};

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::onnx;

/// The operator set that every file uses: old enough for the libraries of boards in the field.
pub const OPSET: i64 = 17;
/// The ONNX IR version that goes with it.
pub const IR_VERSION: i64 = 8;

#[derive(Debug, Default)]
struct Inner {
    axes: usize,
    /// The first input with spatial axes; sizes are read from it.
    spatial: Option<String>,
    nodes: Vec<onnx::NodeProto>,
    initializers: Vec<onnx::TensorProto>,
    constants: HashMap<(Vec<i64>, Vec<u32>), String>,
    cache: HashMap<String, String>,
    inputs: Vec<onnx::ValueInfoProto>,
    outputs: Vec<(onnx::ValueInfoProto, Vec<usize>)>,
    banks: Vec<BankRecord>,
    counter: usize,
}

/// A graph under construction; clones share it.
#[derive(Clone, Debug)]
pub struct Graph(Rc<RefCell<Inner>>);

/// A finished graph and what the contract says of it.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The nodes, initializers, inputs and outputs.
    pub graph: onnx::GraphProto,
    /// The banks in the order in which they were made.
    pub banks: Vec<BankRecord>,
    /// The largest reach of any output, along each spatial axis.
    pub halo: Vec<usize>,
}

impl Graph {
    /// An empty graph over `axes` spatial axes: 2 for images (y, x), 1 for series (sample).
    ///
    /// # Panics
    /// If `axes` is neither 1 nor 2.
    #[must_use]
    pub fn new(axes: usize) -> Self {
        assert!(axes == 1 || axes == 2, "a graph has 1 or 2 spatial axes, got {axes}");
        Self(Rc::new(RefCell::new(Inner { axes, ..Inner::default() })))
    }

    /// Number of spatial axes.
    #[must_use]
    pub fn axes(&self) -> usize {
        self.0.borrow().axes
    }

    /// A scalar graph input.
    pub fn scalar_input(&self, name: &str) -> Value {
        self.input(name, &[])
    }

    /// A vector graph input of `len` values, shape (len).
    pub fn vector_input(&self, name: &str, len: usize) -> Value {
        self.input(name, &[node::Dim::Fixed(len)])
    }

    /// The times of a window's frames, shape (1, window) in the file, given back as (1, window, 1, 1) so that
    /// it multiplies a window.
    pub fn time_input(&self, name: &str, window: usize) -> Value {
        let time = self.input(name, &[node::Dim::Fixed(1), node::Dim::Fixed(window)]);
        time.reshape(&[1, i64::try_from(window).unwrap_or(i64::MAX), 1, 1])
    }

    /// A map: (1, 1, y, x) inside the graph, (1, y, x) in the file; a series is (1, 1, sample) and (1, sample).
    pub fn map_input(&self, name: &str) -> Value {
        let mut dims = vec![node::Dim::Fixed(1)];
        dims.extend(self.spatial_dims());
        self.input(name, &dims).unsqueeze(1)
    }

    /// A window of frames, (1, window, y, x), in the file and inside the graph.
    pub fn window_input(&self, name: &str, window: usize) -> Value {
        let mut dims = vec![node::Dim::Fixed(1), node::Dim::Fixed(window)];
        dims.extend(self.spatial_dims());
        self.input(name, &dims)
    }

    /// Declare `value`, a map, to be the graph output `name`: (1, y, x) or (1, sample) in the file.
    pub fn output(&self, name: &str, value: &Value) {
        let squeezed = self.node_named("Squeeze", &[&value.name, &self.int_vector(&[1])], Vec::new(), name);
        let mut dims = vec![node::Dim::Fixed(1)];
        dims.extend(self.spatial_dims());
        self.0.borrow_mut().outputs.push((node::tensor_info(&squeezed, &dims), value.reach.clone()));
    }

    /// Declare `values`, maps stacked as channels, to be the graph output `name`: (1, channel, y, x) or
    /// (1, channel, sample). Gives the stack.
    pub fn stacked_output(&self, name: &str, values: &[&Value]) -> Value {
        let stack = self.stack(values);
        self.node_named("Identity", &[&stack.name], Vec::new(), name);
        let mut dims = vec![node::Dim::Fixed(1), node::Dim::Fixed(values.len())];
        dims.extend(self.spatial_dims());
        self.0.borrow_mut().outputs.push((node::tensor_info(name, &dims), stack.reach.clone()));
        stack
    }

    /// Maps as the channels of one tensor: (1, channel, y, x) or (1, channel, sample).
    #[must_use]
    pub fn stack(&self, values: &[&Value]) -> Value {
        let names: Vec<&str> = values.iter().map(|v| v.name.as_str()).collect();
        let name = self.node("Concat", &names, vec![node::int("axis", 1)]);
        self.value(name, value::farthest(values))
    }

    /// Put `part`, a graph of one input, behind `input`; its tensors get `prefix` before their names.
    ///
    /// Gives the part's outputs, which reach `reach` further than `input` along each axis.
    pub(crate) fn embed(&self, prefix: &str, part: &onnx::GraphProto, input: &Value, reach: usize) -> Vec<Value> {
        let constants: Vec<&str> = part.initializer.iter().map(|t| t.name.as_str()).collect();
        let entry = part.input.iter().map(|i| i.name.as_str()).find(|n| !constants.contains(n)).unwrap_or_default();
        let renamed = |name: &str| if name == entry { input.name.clone() } else { format!("{prefix}.{name}") };
        let mut inner = self.0.borrow_mut();
        for tensor in &part.initializer {
            inner.initializers.push(onnx::TensorProto { name: renamed(&tensor.name), ..tensor.clone() });
        }
        for node in &part.node {
            inner.nodes.push(onnx::NodeProto {
                // Names may be left out, but engines want each one once.
                name: format!("{prefix}.{}", node.output.first().unwrap_or(&node.name)),
                input: node.input.iter().map(|n| renamed(n)).collect(),
                output: node.output.iter().map(|n| renamed(n)).collect(),
                ..node.clone()
            });
        }
        drop(inner);
        let reach: Vec<usize> = input.reach.iter().map(|r| r + reach).collect();
        part.output.iter().map(|o| self.value(renamed(&o.name), reach.clone())).collect()
    }

    /// A constant scalar.
    #[must_use]
    pub fn scalar(&self, value: f64) -> Value {
        self.tensor(&[], &[value])
    }

    /// A constant tensor of shape `dims`, rounded once from f64 to f32.
    #[must_use]
    pub fn tensor(&self, dims: &[usize], values: &[f64]) -> Value {
        let name = self.initializer(dims, values);
        self.value(name, vec![0; self.axes()])
    }

    /// Close the graph.
    #[must_use]
    pub fn finish(&self, name: &str) -> Finished {
        let inner = self.0.borrow();
        let mut halo = vec![0; inner.axes];
        for (_, reach) in &inner.outputs {
            for (h, r) in halo.iter_mut().zip(reach) {
                *h = (*h).max(*r);
            }
        }
        let mut graph = onnx::GraphProto {
            name: name.to_owned(),
            node: inner.nodes.clone(),
            initializer: inner.initializers.clone(),
            input: inner.inputs.clone(),
            output: inner.outputs.iter().map(|(info, _)| info.clone()).collect(),
            ..Default::default()
        };
        prune(&mut graph);
        let made: HashSet<&str> = graph.node.iter().flat_map(|n| &n.output).map(String::as_str).collect();
        let banks = inner.banks.iter().filter_map(|b| b.without_all_but(&made)).collect();
        Finished { banks, graph, halo }
    }

    /// A graph input with spatial axes, for their sizes.
    fn spatial_input(&self) -> String {
        self.0.borrow().spatial.clone().unwrap_or_default()
    }

    fn spatial_dims(&self) -> Vec<node::Dim> {
        if self.axes() == 2 { vec![node::Dim::Named("H"), node::Dim::Named("W")] } else { vec![node::Dim::Named("N")] }
    }

    fn input(&self, name: &str, dims: &[node::Dim]) -> Value {
        let mut inner = self.0.borrow_mut();
        inner.inputs.push(node::tensor_info(name, dims));
        if inner.spatial.is_none() && dims.iter().any(|d| matches!(d, node::Dim::Named(_))) {
            inner.spatial = Some(name.to_owned());
        }
        drop(inner);
        self.value(name.to_owned(), vec![0; self.axes()])
    }

    fn value(&self, name: String, reach: Vec<usize>) -> Value {
        Value { graph: self.clone(), name, reach }
    }

    /// An f32 initializer; equal constants share one.
    fn initializer(&self, dims: &[usize], values: &[f64]) -> String {
        #[expect(clippy::cast_possible_truncation, reason = "taps are designed in f64 and stored in f32")]
        let rounded: Vec<f32> = values.iter().map(|v| *v as f32).collect();
        let dims: Vec<i64> = dims.iter().map(|d| i64::try_from(*d).unwrap_or(i64::MAX)).collect();
        let key = (dims.clone(), rounded.iter().map(|v| v.to_bits()).collect());
        let mut inner = self.0.borrow_mut();
        if let Some(name) = inner.constants.get(&key) {
            return name.clone();
        }
        let name = format!("c{}", inner.initializers.len());
        inner.initializers.push(node::float_tensor(&name, dims, &rounded));
        inner.constants.insert(key, name.clone());
        name
    }

    /// An f32 scalar initializer with its own name that is never shared: a runtime may change it.
    fn switch(&self, name: &str, value: f32) -> Value {
        self.0.borrow_mut().initializers.push(node::float_tensor(name, Vec::new(), &[value]));
        self.value(name.to_owned(), vec![0; self.axes()])
    }

    fn int_vector(&self, values: &[i64]) -> String {
        let name = format!("i_{}", values.iter().map(i64::to_string).collect::<Vec<_>>().join("_"));
        let mut inner = self.0.borrow_mut();
        if !inner.initializers.iter().any(|t| t.name == name) {
            inner.initializers.push(node::int_tensor(&name, values));
        }
        name
    }

    /// Add a node with an automatic output name, or find the equal one that is there.
    fn node(&self, op: &str, inputs: &[&str], attributes: Vec<onnx::AttributeProto>) -> String {
        let key = format!("{op}({}){attributes:?}", inputs.join(","));
        if let Some(name) = self.0.borrow().cache.get(&key) {
            return name.clone();
        }
        let name = {
            let mut inner = self.0.borrow_mut();
            inner.counter += 1;
            format!("{}_{}", op.to_lowercase(), inner.counter)
        };
        let name = self.node_named(op, inputs, attributes, &name);
        self.0.borrow_mut().cache.insert(key, name.clone());
        name
    }

    fn node_named(&self, op: &str, inputs: &[&str], attributes: Vec<onnx::AttributeProto>, output: &str) -> String {
        self.0.borrow_mut().nodes.push(node::node(op, inputs, &[output], attributes));
        output.to_owned()
    }

    fn node_many(&self, op: &str, inputs: &[&str], attributes: Vec<onnx::AttributeProto>, outputs: &[String]) {
        let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
        self.0.borrow_mut().nodes.push(node::node(op, inputs, &outputs, attributes));
    }
}
