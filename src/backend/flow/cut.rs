//! Cutting a graph in two: what a [`Flow`] computes, and the small rest that it is given.

use std::collections::{HashMap, HashSet};

use super::convolutions::{cell, find, floats, on_cells};
use super::fuse::{Group, fuse};
use super::{Action, Flow, Recipe, Stack, Task};
use crate::graph::{BankRecord, Edge, int, merge_twins, node, prune, supplant};
use crate::onnx;
use crate::operator::{BankError, Border, BoundBank, Cell, Derivative, Place};

/// The node that stands for what the flow computes, with the number of its action; none leaves this file.
const STAND_IN: &str = "MollifierFlow";

/// Where a tensor that the flow is given comes from.
#[derive(Debug)]
pub(in crate::backend) enum Given {
    /// The graph's input of this number.
    Input(usize),
    /// The rest's output of this number.
    Rest(usize),
    Constant(Vec<f32>),
}

/// A graph in two parts.
#[derive(Debug)]
pub(in crate::backend) struct Cut {
    pub(in crate::backend) flow: Flow,
    /// The flow's inputs, in its order; its outputs are the graph's.
    pub(in crate::backend) given: Vec<Given>,
    /// The graph's inputs whose rows the flow asks for instead.
    pub(in crate::backend) by_rows: Vec<usize>,
    /// The graph without what the flow computes: the same inputs, and the outputs that the flow is given.
    pub(in crate::backend) rest: onnx::GraphProto,
}

/// Cut `graph`, whose tensors have these shapes, for tiles of one shape, (y, x) or (sample).
///
/// `banks` are those of the contract, of which `dropped` names the ones left out. `None` where something else than a
/// bank, a small convolution or a pointwise operator stands behind one of them. With `by_rows` the flow asks for the rows
/// of those inputs that are maps and that the rest does not read.
///
/// # Errors
/// A bank that cannot be bound.
pub(in crate::backend) fn cut(
    mut graph: onnx::GraphProto,
    banks: &[BankRecord],
    dropped: &[String],
    shapes: &HashMap<String, Vec<usize>>,
    tile: &[usize],
    by_rows: bool,
) -> Result<Option<Cut>, BankError> {
    let mut actions = Vec::new();
    replace_banks(&mut graph, banks, dropped, tile, &mut actions)?;
    let cell = cell(&graph);
    replace_convolutions(&mut graph, cell, shapes, tile, &mut actions);
    let coarse = cell.map(|cell| on_cells(cell, tile)).filter(|cells| cells != tile);
    for grid in std::iter::once(tile.to_vec()).chain(coarse) {
        fuse(&mut graph, shapes, &grid, |Group { inputs, outputs, program }| {
            actions.push(Some(Action::Pointwise(Box::new(program))));
            stand_in(&actions, &inputs, &outputs)
        });
    }
    prune(&mut graph);
    Ok(split(graph, actions, shapes, tile, by_rows))
}

/// The node of the newest action.
fn stand_in(actions: &[Option<Action>], inputs: &[String], outputs: &[String]) -> onnx::NodeProto {
    let [inputs, outputs] = [inputs, outputs].map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
    node(STAND_IN, &inputs, &outputs, vec![int("action", actions.len() as i64 - 1)])
}

/// Let every bank but the dropped ones be one node for each of its inputs.
fn replace_banks(
    graph: &mut onnx::GraphProto,
    banks: &[BankRecord],
    dropped: &[String],
    tile: &[usize],
    actions: &mut Vec<Option<Action>>,
) -> Result<(), BankError> {
    for bank in banks.iter().filter(|b| !dropped.contains(&b.name)) {
        let Ok(design) = bank.design() else { continue };
        let border = match bank.edge {
            Edge::OneSided => Border::OneSided,
            Edge::Zero => Border::Zero,
        };
        for (i, input) in bank.inputs.iter().enumerate() {
            let outputs: Vec<_> = bank.outputs.iter().filter(|o| o.input == i).collect();
            let names: Vec<String> = outputs.iter().map(|o| o.name.clone()).collect();
            let derivatives: Vec<Derivative> =
                outputs.iter().map(|o| Derivative { input: 0, orders: o.orders.clone() }).collect();
            let bound = BoundBank::new(tile, &derivatives, border, |axis, order| design.kernel(axis, order))?;
            actions.push(Some(Action::Bank(Box::new(bound))));
            let replaced: Vec<&str> = names.iter().map(String::as_str).collect();
            supplant(graph, &replaced, vec![stand_in(actions, std::slice::from_ref(input), &names)]);
        }
    }
    prune(graph);
    merge_twins(graph);
    Ok(())
}

/// Let convolutions, and what leads from cells back to samples, be one node each.
fn replace_convolutions(
    graph: &mut onnx::GraphProto,
    cell: Option<Cell>,
    shapes: &HashMap<String, Vec<usize>>,
    tile: &[usize],
    actions: &mut Vec<Option<Action>>,
) {
    let mut gone = HashSet::new();
    for found in find(graph, cell, shapes, tile) {
        let Some((last, others)) = found.nodes.split_last() else { continue };
        actions.push(Some(found.action));
        graph.node[*last] = stand_in(actions, &found.inputs, &[found.output]);
        gone.extend(others.iter().copied());
    }
    let mut at = 0..;
    graph.node.retain(|_| at.next().is_none_or(|i| !gone.contains(&i)));
}

/// The flow of the stand-ins and the rest; `None` where the rest reads what the flow makes.
fn split(
    mut graph: onnx::GraphProto,
    mut actions: Vec<Option<Action>>,
    shapes: &HashMap<String, Vec<usize>>,
    tile: &[usize],
    by_rows: bool,
) -> Option<Cut> {
    let nodes = std::mem::take(&mut graph.node).into_iter();
    let (flowing, rest): (Vec<_>, Vec<_>) = nodes.partition(|n| n.op_type == STAND_IN);
    let mut made: Vec<&str> = flowing.iter().flat_map(|n| &n.output).map(String::as_str).collect();
    let is_made = |name: &String| made.contains(&name.as_str());
    if rest.iter().any(|n| n.input.iter().any(is_made)) || !graph.output.iter().all(|o| is_made(&o.name)) {
        return None;
    }
    let mut names: Vec<&str> = Vec::new();
    for name in flowing.iter().flat_map(|n| &n.input).map(String::as_str) {
        if !made.contains(&name) && !names.contains(&name) {
            names.push(name);
        }
    }
    let stack = |name: &str| {
        let shape = shapes.get(name)?;
        let (lead, own) = shape.split_at(shape.len().checked_sub(tile.len())?);
        Some(Stack { planes: lead.iter().product(), size: rows_and_columns(own) })
    };
    let input = |name: &str| graph.input.iter().position(|i| i.name == name);
    let mut asked: Vec<(&str, usize)> = names
        .iter()
        .filter(|name| by_rows && tile.len() == 2 && shapes.get(**name).is_some_and(|s| s.ends_with(tile)))
        // Its shape is known.
        .filter(|name| !rest.iter().any(|n| n.op_type != "Shape" && n.input.iter().any(|i| i == *name)))
        .filter_map(|name| Some((*name, input(name)?)))
        .collect();
    asked.sort_by_key(|(_, input)| *input);
    names.retain(|name| !asked.iter().any(|(n, _)| n == name));
    made.splice(0..0, asked.iter().map(|(name, _)| *name));
    let number = |name: &String| {
        let at = names.iter().chain(&made).position(|n| n == name);
        at.unwrap_or_default()
    };

    let mut rest_outputs = Vec::new();
    let mut given = Vec::with_capacity(names.len());
    for name in &names {
        given.push(if let Some(i) = input(name) {
            Given::Input(i)
        } else if let Some(constant) = graph.initializer.iter().find(|t| t.name == *name) {
            Given::Constant(floats(constant)?)
        } else {
            rest_outputs.push(onnx::ValueInfoProto { name: (*name).to_owned(), ..Default::default() });
            Given::Rest(rest_outputs.len() - 1)
        });
    }
    let places = names.iter().map(|n| place(shapes.get(*n)?, tile)).collect::<Option<_>>()?;
    let numbers = |names: &[String]| names.iter().map(number).collect();
    let task = |n: &onnx::NodeProto| {
        let index = usize::try_from(n.attribute.first()?.i).ok()?;
        let action = actions.get_mut(index)?.take()?;
        Some(Task { action, reads: numbers(&n.input), makes: numbers(&n.output) })
    };
    let rows = asked.iter().map(|(name, input)| {
        let makes = vec![number(&(*name).to_owned())];
        Some(Task { action: Action::Rows { input: *input, planes: stack(name)?.planes }, reads: Vec::new(), makes })
    });
    let mut tasks: Vec<Task> = rows.collect::<Option<_>>()?;
    tasks.extend(flowing.iter().map(task).collect::<Option<Vec<_>>>()?);
    let recipe = Recipe {
        size: rows_and_columns(tile),
        given: places,
        made: made.iter().map(|n| stack(n)).collect::<Option<_>>()?,
        outputs: graph.output.iter().map(|o| number(&o.name)).collect(),
        tasks,
    };
    let by_rows = asked.iter().map(|(_, input)| *input).collect();
    graph.node = rest;
    graph.output = rest_outputs;
    prune(&mut graph);
    Some(Cut { flow: Flow::new(recipe), given, by_rows, rest: graph })
}

/// A series is one row.
pub(super) fn rows_and_columns(size: &[usize]) -> [usize; 2] {
    match *size {
        [rows, columns] => [rows, columns],
        _ => [1, size.iter().product()],
    }
}

/// Where the values of a tensor of this shape stand; it may be broadcast along any axis.
fn place(shape: &[usize], tile: &[usize]) -> Option<Place> {
    let (lead, own) = shape.split_at(shape.len().saturating_sub(tile.len()));
    let planes: usize = lead.iter().product();
    let mut sizes = own.iter().rev().copied();
    let width = sizes.next().unwrap_or(1);
    let height = sizes.next().unwrap_or(1);
    let fits = |have: usize, axis: usize| have == 1 || tile.len() > axis && tile[tile.len() - 1 - axis] == have;
    (fits(width, 0) && fits(height, 1)).then(|| Place {
        plane: if planes > 1 { width * height } else { 0 },
        row: if height > 1 { width } else { 0 },
        column: usize::from(width > 1),
        first: 0,
        ring: usize::MAX,
        rim: 0,
    })
}
