//! Finding the pointwise parts of a graph and writing each as one [`Program`].
//!
//! Operators on whole maps between two banks depend on nothing but the same pixel (and, over a window, on the same
//! pixel of each frame). All of them that lie between the same banks form one group: a node's group is the longest
//! way from the inputs to it, counted in nodes that are not pointwise, so that no way out of a group leads back.

use std::collections::{HashMap, HashSet};

use super::convolutions::floats;
use super::lower::{Function, Step, Value, Wanted};
use super::pointwise::Pointwise;
use crate::graph::{attribute, whole_numbers};
use crate::onnx;
use crate::operator::Operand;

/// Steps up to which a tensor is computed again by the next group that reads it.
const MOST_REPEATED: usize = 12;
/// Planes of one tensor at most; a window has fewer frames.
const MOST_PLANES: usize = 64;

/// One group: what it replaces, and how it is computed.
#[derive(Debug)]
pub(super) struct Group {
    /// Tensors that it reads.
    pub(super) inputs: Vec<String>,
    /// Tensors that it makes.
    pub(super) outputs: Vec<String>,
    pub(super) program: Pointwise,
}

/// Take the pointwise nodes out of `graph`; `put` gives the node that stands for each group.
///
/// `shapes` holds the shape of every tensor, `tile` that of a map: (y, x) or (sample).
pub(super) fn fuse(
    graph: &mut onnx::GraphProto,
    shapes: &HashMap<String, Vec<usize>>,
    tile: &[usize],
    mut put: impl FnMut(Group) -> onnx::NodeProto,
) {
    let view = View::new(graph, shapes, tile);
    let levels = view.levels();
    let stored = view.stored(&levels);
    let last = levels.iter().map(|l| l.0).max().unwrap_or(0);
    let mut nodes = Vec::with_capacity(graph.node.len());
    for level in 0..=last {
        let at = |pointwise| {
            let here = levels.iter().enumerate().filter(move |(_, l)| **l == (level, pointwise));
            here.map(|(i, _)| i).collect::<Vec<usize>>()
        };
        nodes.extend(at(false).into_iter().map(|i| &graph.node[i]).filter(|n| !view.is_absorbed(n)).cloned());
        if let Some(group) = view.group(&at(true), &levels, &stored) {
            nodes.push(put(group));
        }
    }
    graph.node = nodes;
}

/// A graph with what is known of its tensors.
struct View<'a> {
    nodes: &'a [onnx::NodeProto],
    outputs: Vec<&'a str>,
    shapes: &'a HashMap<String, Vec<usize>>,
    tile: &'a [usize],
    /// Numbers among the initializers.
    numbers: HashMap<&'a str, f32>,
    /// Lists of integers among the initializers.
    integers: HashMap<&'a str, Vec<i64>>,
    /// Which node makes a tensor.
    made_by: HashMap<&'a str, usize>,
    /// Of every node, if it is pointwise on whole maps, what it does and the tensors that it reads in a group.
    pointwise: Vec<Option<(Action, Vec<&'a str>)>>,
}

/// What a pointwise node does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    Plain(Function),
    /// The same values under another name or shape.
    Rename,
    /// Over the window: added, averaged, or the least.
    Sum,
    Mean,
    Least,
    /// A choice by a comparison, which is made where it is used.
    Choice,
    /// The planes of several maps behind one another.
    Join,
}

impl<'a> View<'a> {
    fn new(graph: &'a onnx::GraphProto, shapes: &'a HashMap<String, Vec<usize>>, tile: &'a [usize]) -> Self {
        let numbers = graph.initializer.iter().filter_map(|t| Some((t.name.as_str(), number(t)?))).collect();
        let integers = graph.initializer.iter().filter_map(|t| Some((t.name.as_str(), whole_numbers(t)?))).collect();
        let made = graph.node.iter().enumerate().flat_map(|(i, n)| n.output.iter().map(move |o| (o.as_str(), i)));
        let mut view = Self {
            nodes: &graph.node,
            outputs: graph.output.iter().map(|o| o.name.as_str()).collect(),
            shapes,
            tile,
            numbers,
            integers,
            made_by: made.collect(),
            pointwise: Vec::new(),
        };
        let of = |node| view.action(node).map(|action| (action, view.reads(node, action)));
        view.pointwise = graph.node.iter().map(of).collect();
        view
    }

    /// Planes of a tensor of whole maps; `None` for any other tensor.
    fn planes(&self, name: &str) -> Option<usize> {
        let shape = self.shapes.get(name)?;
        let lead = shape.len().checked_sub(self.tile.len())?;
        let planes = shape[..lead].iter().product();
        (shape[lead..] == *self.tile && (1..=MOST_PLANES).contains(&planes)).then_some(planes)
    }

    /// Whether a tensor has values of its own in every row. A series has but one row.
    fn is_map(&self, name: &str) -> bool {
        let whole = || self.shapes.get(name).is_some_and(|shape| shape.ends_with(self.tile));
        !self.numbers.contains_key(name) && (self.tile.len() < 2 || whole())
    }

    /// Whether a tensor can be read for an output of this many planes.
    fn is_readable(&self, name: &str, planes: usize) -> bool {
        if self.numbers.contains_key(name) {
            return true;
        }
        let Some(shape) = self.shapes.get(name) else { return false };
        let lead = shape.len().saturating_sub(self.tile.len());
        let own: usize = shape[..lead].iter().product();
        let trailing = shape[lead..].iter().rev().zip(self.tile.iter().rev());
        (own == 1 || own == planes) && trailing.into_iter().all(|(have, full)| *have == 1 || have == full)
    }

    /// The comparison that a choice is made by: its two sides.
    fn comparison(&self, condition: &str) -> Option<[&'a str; 2]> {
        let node = &self.nodes[*self.made_by.get(condition)?];
        match (node.op_type.as_str(), node.input.as_slice()) {
            ("Greater", [a, b]) => Some([a, b]),
            _ => None,
        }
    }

    /// Whether the node is a comparison that every reader makes by itself.
    fn is_absorbed(&self, node: &onnx::NodeProto) -> bool {
        let [output] = node.output.as_slice() else { return false };
        let mut readers = self.nodes.iter().zip(&self.pointwise).filter(|(n, _)| n.input.contains(output));
        node.op_type == "Greater"
            && !self.outputs.contains(&output.as_str())
            && readers.all(|(_, pointwise)| matches!(pointwise, Some((Action::Choice, _))))
    }

    /// What the node does if it is pointwise on whole maps.
    fn action(&self, node: &onnx::NodeProto) -> Option<Action> {
        let [output] = node.output.as_slice() else { return None };
        let planes = self.planes(output)?;
        let readable = |names: &[String]| names.iter().all(|n| self.is_readable(n, planes));
        let along_window = || {
            let attribute = |name: &str| attribute(node, name);
            let given = node.input.get(1).and_then(|n| self.integers.get(n.as_str()).cloned());
            let axes = given.or_else(|| attribute("axes").map(|a| a.ints.clone()))?;
            let kept = attribute("keepdims").is_none_or(|a| a.i == 1);
            let from = node.input.first()?;
            let rank = self.shapes.get(from)?.len();
            (axes == [1] && kept && rank == self.tile.len() + 2 && planes == 1).then(|| self.planes(from)).flatten()
        };
        match node.op_type.as_str() {
            "Identity" | "Squeeze" | "Unsqueeze" | "Reshape" => {
                (self.planes(node.input.first()?)? == planes).then_some(Action::Rename)
            }
            "Concat" => {
                let axis = attribute(node, "axis")?.i;
                let leads = self.shapes.get(output)?.len() - self.tile.len();
                let maps: usize = node.input.iter().map(|n| self.planes(n)).sum::<Option<usize>>()?;
                (leads == 2 && axis == 1 && maps == planes).then_some(Action::Join)
            }
            "ReduceSum" => along_window().map(|_| Action::Sum),
            "ReduceMean" => along_window().map(|_| Action::Mean),
            "ReduceMin" => along_window().map(|_| Action::Least),
            "Where" => {
                let [condition, yes, no] = node.input.as_slice() else { return None };
                let [a, b] = self.comparison(condition)?;
                let all = [a, b, yes.as_str(), no.as_str()];
                all.iter().all(|n| self.is_readable(n, planes)).then_some(Action::Choice)
            }
            name => {
                let function = Function::named(name)?;
                (node.input.len() == function.arity() && readable(&node.input)).then_some(Action::Plain(function))
            }
        }
    }

    /// The tensors that a node reads when it is computed in a group.
    fn reads(&self, node: &'a onnx::NodeProto, action: Action) -> Vec<&'a str> {
        let inputs = || node.input.iter().map(String::as_str);
        match action {
            Action::Plain(_) | Action::Join => inputs().collect(),
            Action::Rename | Action::Sum | Action::Mean | Action::Least => inputs().take(1).collect(),
            Action::Choice => {
                let sides = self.comparison(&node.input[0]).into_iter().flatten();
                sides.chain(inputs().skip(1)).collect()
            }
        }
    }

    /// For every node its level, and whether it is a pointwise one.
    fn levels(&self) -> Vec<(usize, bool)> {
        let mut of_tensor: HashMap<&str, usize> = HashMap::new();
        let mut levels = Vec::with_capacity(self.nodes.len());
        for (node, pointwise) in self.nodes.iter().zip(&self.pointwise) {
            let most = |names: &mut dyn Iterator<Item = &str>| {
                names.map(|n| of_tensor.get(n).copied().unwrap_or(0)).max().unwrap_or(0)
            };
            let level = match pointwise {
                Some((_, reads)) => (most(&mut reads.iter().copied()).max(1), true),
                None => match most(&mut node.input.iter().map(String::as_str)) {
                    0 => (0, false),
                    level => (level + 1, false),
                },
            };
            for output in &node.output {
                of_tensor.insert(output, level.0);
            }
            levels.push(level);
        }
        levels
    }

    /// The tensors of a group that later groups read rather than compute again: those that take many steps for every
    /// pixel. What depends on no map is made once for many rows.
    fn stored(&self, levels: &[(usize, bool)]) -> HashSet<&'a str> {
        let mut stored = HashSet::new();
        // The steps from the inputs of the group, or from what is stored, to each tensor.
        let mut steps: HashMap<&str, HashSet<usize>> = HashMap::new();
        let mut fixed: HashSet<&str> = HashSet::new();
        // The last level at which a pointwise node reads a tensor.
        let mut read_until: HashMap<&str, usize> = HashMap::new();
        for ((_, reads), (level, _)) in self.pointwise.iter().zip(levels).filter_map(|(p, l)| Some((p.as_ref()?, l))) {
            for name in reads {
                let until = read_until.entry(name).or_default();
                *until = (*until).max(*level);
            }
        }
        for (i, node) in self.nodes.iter().enumerate() {
            let (level, Some((_, reads))) = (levels[i].0, &self.pointwise[i]) else { continue };
            let name = node.output[0].as_str();
            if reads.iter().all(|n| fixed.contains(n) || !self.is_map(n)) {
                fixed.insert(name);
                continue;
            }
            let mut own = HashSet::from([i]);
            for name in reads {
                own.extend(steps.get(name).into_iter().flatten());
            }
            if own.len() > MOST_REPEATED && read_until.get(name).is_some_and(|until| *until > level) {
                stored.insert(name);
                own.clear();
            }
            steps.insert(name, own);
        }
        stored
    }

    /// The group of these nodes; `None` where nothing else needs what they make.
    fn group(&self, members: &[usize], levels: &[(usize, bool)], stored: &HashSet<&'a str>) -> Option<Group> {
        let level = levels[*members.first()?].0;
        let earlier = |i: usize| levels[i].0 < level;
        let external = stored.iter().copied().filter(|n| self.made_by.get(n).is_some_and(|i| earlier(*i))).collect();
        let mut needed: HashSet<&str> = self.outputs.iter().copied().collect();
        needed.extend(stored);
        for (node, pointwise) in self.nodes.iter().zip(&self.pointwise) {
            if pointwise.is_none() && !self.is_absorbed(node) {
                needed.extend(node.input.iter().map(String::as_str));
            }
        }
        let mut writer = Writer { view: self, external, inputs: Vec::new(), values: HashMap::new(), steps: Vec::new() };
        let (mut outputs, mut wanted) = (Vec::new(), Vec::new());
        for &i in members {
            let node = &self.nodes[i];
            let name = node.output[0].as_str();
            let planes = self.planes(name)?;
            if needed.contains(name) {
                for plane in 0..planes {
                    let value = writer.read(name, plane);
                    wanted.push(Wanted { value, output: outputs.len(), plane });
                }
                outputs.push(name.to_owned());
            }
        }
        if outputs.is_empty() {
            return None;
        }
        let columns = self.tile.last().copied().unwrap_or(1);
        let Writer { inputs, steps, .. } = writer;
        let program = Pointwise::new(&steps, &wanted, columns, inputs.len(), |i| self.is_map(&inputs[i]));
        Some(Group { inputs, outputs, program })
    }
}

/// A program under construction.
struct Writer<'a> {
    view: &'a View<'a>,
    /// Stored tensors of earlier groups.
    external: HashSet<&'a str>,
    inputs: Vec<String>,
    values: HashMap<(&'a str, usize), Value>,
    steps: Vec<Step>,
}

impl<'a> Writer<'a> {
    fn step(&mut self, function: Function, arguments: Vec<Value>) -> Value {
        self.steps.push(Step { function, arguments });
        Value::Step(self.steps.len() - 1)
    }

    /// One plane of what a node makes.
    fn value(&mut self, action: Action, reads: &'a [&'a str], plane: usize) -> Value {
        let over_window = |writer: &mut Self, function: Function| {
            let planes = writer.view.planes(reads[0]).unwrap_or(1);
            let first = writer.read(reads[0], 0);
            (1..planes).fold(first, |sum, p| {
                let next = writer.read(reads[0], p);
                writer.step(function, vec![sum, next])
            })
        };
        match action {
            Action::Rename => self.read(reads[0], plane),
            Action::Join => {
                let mut plane = plane;
                for name in reads {
                    let planes = self.view.planes(name).unwrap_or(1);
                    if plane < planes {
                        return self.read(name, plane);
                    }
                    plane -= planes;
                }
                self.read(reads[0], 0)
            }
            Action::Plain(function) => {
                let arguments = reads.iter().map(|n| self.read(n, plane)).collect();
                self.step(function, arguments)
            }
            Action::Choice => {
                let arguments = reads.iter().map(|n| self.read(n, plane)).collect();
                self.step(Function::Select, arguments)
            }
            Action::Sum => over_window(self, Function::Add),
            Action::Least => over_window(self, Function::Min),
            Action::Mean => {
                let sum = over_window(self, Function::Add);
                let planes = self.view.planes(reads[0]).unwrap_or(1) as f32;
                self.step(Function::Div, vec![sum, Value::Other(Operand::Constant(planes))])
            }
        }
    }

    /// One plane of a tensor, which is broadcast where it has but one.
    fn read(&mut self, name: &'a str, plane: usize) -> Value {
        if let Some(number) = self.view.numbers.get(name) {
            return Value::Other(Operand::Constant(*number));
        }
        // What another group computes is computed again: registers are cheaper than a map in memory.
        if !self.external.contains(name)
            && let Some((action, reads)) = self.view.made_by.get(name).and_then(|i| self.view.pointwise[*i].as_ref())
        {
            let plane = if self.view.planes(name) == Some(1) { 0 } else { plane };
            if let Some(value) = self.values.get(&(name, plane)) {
                return *value;
            }
            let value = self.value(*action, reads, plane);
            self.values.insert((name, plane), value);
            return value;
        }
        let input = self.inputs.iter().position(|n| n == name).unwrap_or_else(|| {
            self.inputs.push(name.to_owned());
            self.inputs.len() - 1
        });
        let planes = self
            .view
            .shapes
            .get(name)
            .map_or(1, |shape| shape[..shape.len().saturating_sub(self.view.tile.len())].iter().product::<usize>());
        Value::Other(Operand::Input { input, plane: if planes > 1 { plane } else { 0 } })
    }
}

fn number(tensor: &onnx::TensorProto) -> Option<f32> {
    let one = tensor.dims.iter().product::<i64>() == 1;
    if one { floats(tensor)?.first().copied() } else { None }
}
