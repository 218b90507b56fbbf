//! The default backend, bound to one concrete tile shape: our own operators for what makes maps, tract for graphs that
//! they do not take.

use std::fmt::Debug;

use ndarray::{ArrayViewD, ArrayViewMutD};

#[cfg(feature = "engine")]
use super::engine::{Whole, shapes_by_analysis};
use super::flow::{Cut, Flow, Given, Strip, cut, groups_of_rows, shapes};
#[cfg(not(feature = "engine"))]
use super::lean::{Whole, shapes_by_analysis};
use super::rest::Rest;
use super::{Backend, BackendError, Plan, Rows, Span, Tiling, check_shapes, fit_shapes, split_axis, tensor_shape};
use crate::graph::{merge_twins, prune};
use crate::model::{Fit, Model};

/// The pure Rust engine that is always there, with our own operators for banks and pointwise parts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tract;

/// tract with nothing but its own operators, to measure [`Tract`] against; not for results.
///
/// Its tiles differ from its whole frames in the last bits, and version 0.23.9 fails `mollifier verify` on transient
/// heat with invalid pixels.
#[cfg(feature = "engine")]
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainTract;

impl Backend for Tract {
    fn name(&self) -> &'static str {
        "tract"
    }

    fn tiling(&self, model: &Model) -> Tiling {
        // Rows of a trunk's layers, which may be of cells, are computed in groups that lie where the frame's do, and a
        // row's last bits depend on all that its group reads.
        let groups: Vec<usize> = model.proto.graph.iter().flat_map(groups_of_rows).collect();
        let cell = model.contract.alignment.first().copied().unwrap_or(1);
        let align = cell * groups.iter().max().copied().unwrap_or(1);
        let more = cell * groups.iter().map(|rows| rows - 1).sum::<usize>();
        // Rows go through one after the other, and wide ones in strips: a tile's size costs nothing.
        Tiling { largest: [1 << 20, 1 << 20], align: [align, 1], more: [more, 0] }
    }

    fn prepare(&self, model: &Model, tile: &[usize]) -> Result<Box<dyn Plan>, BackendError> {
        prepare(model, tile, Own::Whole)
    }

    fn prepare_by_rows(&self, model: &Model, tile: &[usize]) -> Result<Box<dyn Plan>, BackendError> {
        prepare(model, tile, Own::ByRows)
    }

    fn prepare_fit(&self, fit: &Fit, points: usize) -> Result<Box<dyn Plan>, BackendError> {
        prepare_fit(fit, points)
    }
}

#[cfg(feature = "engine")]
impl Backend for PlainTract {
    fn name(&self) -> &'static str {
        "tract-plain"
    }

    fn prepare(&self, model: &Model, tile: &[usize]) -> Result<Box<dyn Plan>, BackendError> {
        prepare(model, tile, Own::Nothing)
    }

    fn prepare_fit(&self, fit: &Fit, points: usize) -> Result<Box<dyn Plan>, BackendError> {
        prepare_fit(fit, points)
    }
}

/// What is computed by our own operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    #[cfg(feature = "engine")]
    Nothing,
    /// All maps.
    Whole,
    /// All maps, of inputs that come row by row where the rest of the graph has no need of them.
    ByRows,
}

impl Own {
    /// Whether maps are.
    fn maps(self) -> bool {
        matches!(self, Self::Whole | Self::ByRows)
    }
}

/// Columns that are computed at a time at most: so many, or so many halos where that is more. Of so many columns the rows
/// between the operators are kept, and each strip computes a halo on both sides that is dropped.
const STRIP: usize = 1280;
const STRIP_IN_HALOS: usize = 12;

/// The columns of a strip, and the strips of tiles that are computed row by row.
fn strips(model: &Model, tile: &[usize], own: Own) -> (usize, Vec<Strip>) {
    let width = tile.last().copied().unwrap_or(0);
    let strip = |Span { origin, keep }| Strip { origin, keep, width };
    if own != Own::ByRows || tile.len() != 2 {
        return (width, vec![strip(Span { origin: 0, keep: 0..width })]);
    }
    let tiling = Tract.tiling(model);
    let (halo, align) = (tiling.halo(&model.contract)[1], tiling.alignment(&model.contract)[1]);
    let least = model.contract.min_size.get(1).copied().unwrap_or(0);
    let (columns, spans) = split_axis(width, STRIP.max(STRIP_IN_HALOS * halo), halo, align, least);
    (columns, spans.into_iter().map(strip).collect())
}

fn prepare(model: &Model, tile: &[usize], own: Own) -> Result<Box<dyn Plan>, BackendError> {
    let (columns, strips) = strips(model, tile, own);
    let (rows, _) = tile.split_at(tile.len().saturating_sub(1));
    let part = &[rows, &[columns]].concat()[..];
    let (mut proto, dropped) = model.restricted(part).ok_or_else(|| BackendError::TooSmall {
        what: model.name.clone(),
        got: tile.to_vec(),
        expected: model.smallest(),
    })?;
    let failed = |what: &str, message: String| BackendError::Engine {
        backend: "tract",
        what: format!("{} at {tile:?}: {what}", model.name),
        message,
    };
    let [inputs, of_part] = [tile, part]
        .map(|tile| model.contract.inputs.iter().map(|i| tensor_shape(&model.contract, i, tile)).collect::<Vec<_>>());
    let mut output = vec![1];
    output.extend_from_slice(tile);
    let outputs = vec![output; model.contract.outputs.len()];
    let names = model.contract.inputs.iter().map(|i| i.name.clone()).collect();
    let shape = Shape { names, inputs, outputs, dropped };
    // What a front end gives beside its contract's outputs is for a trunk.
    if let Some(graph) = proto.graph.as_mut() {
        graph.output.truncate(model.contract.outputs.len());
        prune(graph);
    }
    if own.maps()
        && let Some(graph) = proto.graph.clone()
    {
        let named = || model.contract.inputs.iter().map(|i| i.name.clone()).zip(of_part.iter().cloned());
        let shapes = match shapes(&graph, named()) {
            Ok(shapes) => shapes,
            Err(_) => {
                let mut shapes = shapes_by_analysis(&proto, &of_part).map_err(|e| failed("finding the shapes", e))?;
                shapes.extend(named());
                shapes
            }
        };
        let parts = cut(graph, &model.contract.banks, &shape.dropped, &shapes, part, own == Own::ByRows)
            .map_err(|e| failed("binding the banks", e.to_string()))?;
        // An operator of the rest that is not known leaves all to the engine.
        let parts = parts.and_then(|cut| Rest::new(&cut.rest, &of_part).ok().map(|rest| (cut, rest)));
        if let Some((Cut { flow, given, by_rows, .. }, rest)) = parts {
            if rest.used().any(|input| by_rows.contains(&input)) {
                // Of what the rest reads it needs all.
                return prepare(model, tile, Own::Whole);
            }
            let flow = Box::new(flow);
            return Ok(Box::new(TractPlan { shape, work: Work::Flow { flow, given, by_rows, rest, strips } }));
        }
    }
    if strips.len() > 1 {
        return prepare(model, tile, Own::Whole);
    }
    if let Some(graph) = proto.graph.as_mut() {
        merge_twins(graph);
    }
    let whole = Whole::new(&proto, &of_part).map_err(|e| failed("preparing the plan", e))?;
    Ok(Box::new(TractPlan { shape, work: Work::Whole(whole) }))
}

/// A fit's graph has no banks: it is computed as it comes.
fn prepare_fit(fit: &Fit, points: usize) -> Result<Box<dyn Plan>, BackendError> {
    let (inputs, outputs) = fit_shapes(fit, points);
    let whole = Whole::new(&fit.proto, &inputs).map_err(|message| BackendError::Engine {
        backend: "tract",
        what: format!("{}: preparing {points} points at a time", fit.name),
        message,
    })?;
    let shape = Shape { names: vec![Fit::COORDINATES.to_owned()], inputs, outputs, dropped: Vec::new() };
    Ok(Box::new(TractPlan { shape, work: Work::Whole(whole) }))
}

/// What a plan is bound to.
#[derive(Debug)]
struct Shape {
    names: Vec<String>,
    inputs: Vec<Vec<usize>>,
    outputs: Vec<Vec<usize>>,
    dropped: Vec<String>,
}

fn failure(message: String) -> BackendError {
    BackendError::Engine { backend: "tract", what: "running".to_owned(), message }
}

/// Who computes what.
enum Work {
    /// An engine the whole graph.
    Whole(Whole),
    /// The flow all maps, and the rest the few numbers that it needs.
    Flow { flow: Box<Flow>, given: Vec<Given>, by_rows: Vec<usize>, rest: Rest, strips: Vec<Strip> },
}

struct TractPlan {
    shape: Shape,
    work: Work,
}

impl Debug for TractPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TractPlan").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl Plan for TractPlan {
    fn dropped(&self) -> &[String] {
        &self.shape.dropped
    }

    fn run(
        &mut self,
        inputs: &[ArrayViewD<'_, f32>],
        outputs: &mut [ArrayViewMutD<'_, f32>],
    ) -> Result<(), BackendError> {
        // Inputs that were bound by rows are here as a whole.
        let columns = self.shape.outputs.first().and_then(|o| o.last()).copied().unwrap_or(1);
        let rows = |input: usize, plane: usize, [y, x]: [usize; 2], out: &mut [f32]| {
            let view = &inputs[input];
            let height = view.shape().iter().rev().nth(1).copied().unwrap_or(1);
            let from = (plane * height + y) * columns + x;
            match view.as_slice() {
                Some(values) => out.copy_from_slice(&values[from..from + out.len()]),
                None => out.iter_mut().zip(view.iter().skip(from)).for_each(|(o, v)| *o = *v),
            }
        };
        check_shapes(&self.shape.names, &self.shape.inputs, inputs, &[], &self.shape.outputs, outputs)?;
        self.compute(inputs, &rows, outputs)
    }

    fn computed(&self) -> f64 {
        match &self.work {
            Work::Whole(_) => 1.0,
            Work::Flow { flow, strips, .. } => {
                let kept: usize = strips.iter().map(|s| s.keep.len()).sum();
                (strips.len() * flow.columns()) as f64 / kept as f64
            }
        }
    }

    fn by_rows(&self) -> &[usize] {
        match &self.work {
            Work::Whole(_) => &[],
            Work::Flow { by_rows, .. } => by_rows,
        }
    }

    fn run_by_rows(
        &mut self,
        inputs: &[ArrayViewD<'_, f32>],
        rows: Rows<'_>,
        outputs: &mut [ArrayViewMutD<'_, f32>],
    ) -> Result<(), BackendError> {
        let Shape { names, inputs: expected, outputs: made, .. } = &self.shape;
        check_shapes(names, expected, inputs, self.by_rows(), made, outputs)?;
        self.compute(inputs, rows, outputs)
    }
}

impl TractPlan {
    fn compute(
        &mut self,
        inputs: &[ArrayViewD<'_, f32>],
        rows: Rows<'_>,
        outputs: &mut [ArrayViewMutD<'_, f32>],
    ) -> Result<(), BackendError> {
        match &mut self.work {
            Work::Whole(whole) => whole.run(inputs, outputs).map_err(failure),
            Work::Flow { flow, given, rest, strips, .. } => run_flow(flow, given, rest, strips, inputs, rows, outputs),
        }
    }
}

fn run_flow(
    flow: &mut Flow,
    given: &[Given],
    rest: &mut Rest,
    strips: &[Strip],
    inputs: &[ArrayViewD<'_, f32>],
    rows: Rows<'_>,
    outputs: &mut [ArrayViewMutD<'_, f32>],
) -> Result<(), BackendError> {
    let rest = rest.run(inputs).map_err(failure)?;
    let scattered = || failure("inputs and outputs must lie in row-major order".to_owned());
    let mut values: Vec<&[f32]> = Vec::with_capacity(given.len());
    for from in given {
        values.push(match from {
            Given::Input(i) => inputs[*i].as_slice().ok_or_else(scattered)?,
            Given::Rest(i) => &rest[*i],
            Given::Constant(values) => values,
        });
    }
    let mut slices: Vec<&mut [f32]> = Vec::with_capacity(outputs.len());
    for output in outputs {
        slices.push(output.as_slice_mut().ok_or_else(scattered)?);
    }
    for strip in strips {
        flow.run(&values, rows, strip, &mut slices);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn shipped() -> Vec<Model> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let files = std::fs::read_dir(folder).expect("the models").map(|e| e.expect("an entry").path());
        // A trunk alone has no contract.
        files.filter(|p| p.extension().is_some_and(|e| e == "onnx")).filter_map(|p| Model::load(p).ok()).collect()
    }

    #[test]
    fn inputs_by_rows_give_the_same_bits_as_whole_ones() {
        by_rows_are_as_whole_ones(&shipped(), [43, 43]);
    }

    /// Few rows, so that it does not take long.
    #[test]
    fn wide_frames_in_strips_give_the_same_bits_as_whole_ones() {
        let wide: Vec<Model> = shipped().into_iter().filter(|m| m.smallest().len() == 2).collect();
        for more in [STRIP + 37, 3 * STRIP + 2] {
            let [rows, columns] = [1, more];
            by_rows_are_as_whole_ones(&wide, [rows, columns]);
            for model in &wide {
                let tile = [model.smallest()[0] + rows, model.smallest()[1] + columns];
                let computed = Tract.prepare_by_rows(model, &tile).expect("a plan").computed();
                assert!(computed > 1.0 && computed < 1.3, "{}: {computed} for each pixel kept", model.name);
            }
        }
    }

    /// Tiles larger than the smallest by `more` rows and columns.
    fn by_rows_are_as_whole_ones(models: &[Model], more: [usize; 2]) {
        let mut compared = 0;
        for model in models {
            let tile: Vec<usize> = model.smallest().iter().zip(more).map(|(n, more)| n + more).collect();
            let inputs = model.made_up_inputs(&tile, true);
            let whole: Vec<_> = inputs.iter().map(|a| a.view()).collect();
            let mut by_rows = Tract.prepare_by_rows(model, &tile).expect("a plan");
            // Everything that is a map comes by rows, but in series.
            let maps = inputs.iter().enumerate().filter(|(_, a)| tile.len() == 2 && a.shape().ends_with(&tile));
            assert_eq!(by_rows.by_rows(), maps.map(|(i, _)| i).collect::<Vec<_>>(), "{}", model.name);
            let given = whole.iter().enumerate().map(|(i, a)| {
                let taken = by_rows.by_rows().contains(&i);
                if taken { ndarray::aview1::<f32>(&[]).into_dyn() } else { a.clone() }
            });
            let given: Vec<_> = given.collect();
            let asked = std::cell::RefCell::new(std::collections::HashSet::new());
            let rows = |input: usize, plane: usize, [y, x]: [usize; 2], out: &mut [f32]| {
                assert!(asked.borrow_mut().insert((input, plane, y, x)), "asked twice for {input}, {plane}, {y}, {x}");
                let values = inputs[input].as_slice().expect("row-major");
                out.copy_from_slice(&values[(plane * tile[0] + y) * tile[1] + x..][..out.len()]);
            };
            let shape: Vec<usize> = [1].iter().chain(&tile).copied().collect();
            let empty = || vec![ndarray::ArrayD::<f32>::zeros(shape.clone()); model.contract.outputs.len()];
            let mut results = [empty(), empty(), empty()];
            let mut whole_plan = Tract.prepare(model, &tile).expect("a plan");
            for (k, outputs) in results.iter_mut().enumerate() {
                let mut views: Vec<_> = outputs.iter_mut().map(|a| a.view_mut()).collect();
                match k {
                    0 => whole_plan.run(&whole, &mut views),
                    1 => by_rows.run_by_rows(&given, &rows, &mut views),
                    _ => by_rows.run(&whole, &mut views),
                }
                .expect("it is computed");
            }
            let bits = |a: &ndarray::ArrayD<f32>| a.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            for (a, (b, c)) in results[0].iter().zip(results[1].iter().zip(&results[2])) {
                assert!(bits(a) == bits(b) && bits(a) == bits(c), "{}", model.name);
                compared += 1;
            }
        }
        assert!(compared > 20, "{compared} compared");
    }

    /// Banks are left out over rows of which nothing is missing: what is beyond a hole's reach must not show it.
    #[test]
    fn a_hole_changes_no_bit_beyond_its_reach() {
        let mut compared = 0;
        for model in shipped() {
            let contract = &model.contract;
            // Rows enough to leave some beyond the reach; few columns, or the trunks take long.
            let mut tile: Vec<usize> = model.smallest().iter().map(|n| n + 11).collect();
            let reach = Tract.tiling(&model).halo(contract)[0].max(contract.halo[0]);
            tile[0] += 2 * reach;
            let [whole, mut holed] = [(); 2].map(|()| model.made_up_inputs(&tile, false));
            let at = tile[0] - 4;
            for (input, values) in contract.inputs.iter().zip(&mut holed) {
                if input.role == crate::physics::InputRole::Valid {
                    let axis = ndarray::Axis(values.ndim() - tile.len());
                    values.index_axis_mut(axis, at).fill(0.0);
                }
            }
            let shape: Vec<usize> = [1].iter().chain(&tile).copied().collect();
            let mut plan = Tract.prepare(&model, &tile).expect("a plan");
            // Twice with the hole, so that what is known of one run's rows is not taken for the next one's.
            let [first, second, third] = [&holed, &whole, &holed].map(|inputs| {
                let mut outputs = vec![ndarray::ArrayD::<f32>::zeros(shape.clone()); contract.outputs.len()];
                let views: Vec<_> = inputs.iter().map(|a| a.view()).collect();
                let mut into: Vec<_> = outputs.iter_mut().map(|a| a.view_mut()).collect();
                plan.run(&views, &mut into).expect("it is computed");
                outputs
            });
            let beyond = ndarray::Slice::from(0..at - reach);
            for ((a, b), c) in first.iter().zip(&second).zip(&third) {
                let bits = |a: &ndarray::ArrayD<f32>| a.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                let part = |a: &ndarray::ArrayD<f32>| bits(&a.slice_axis(ndarray::Axis(1), beyond).to_owned());
                assert!(part(a) == part(b), "{}: {tile:?}", model.name);
                assert!(bits(a) == bits(c), "{}: {tile:?}", model.name);
                compared += usize::from(bits(a) != bits(b));
            }
        }
        assert!(compared > 20, "{compared} outputs show the hole");
    }

    #[cfg(feature = "engine")]
    #[test]
    fn shapes_are_those_of_the_engines_analysis() {
        let mut compared = 0;
        for model in shipped() {
            let smallest = model.smallest();
            for tile in [smallest.clone(), smallest.iter().map(|n| n + 67).collect()] {
                let (proto, _) = model.restricted(&tile).expect("it fits");
                let contract = &model.contract;
                let inputs = contract.inputs.iter().map(|i| (i.name.clone(), tensor_shape(contract, i, &tile)));
                let own = shapes(proto.graph.as_ref().expect("a graph"), inputs.clone()).expect("known operators");
                let by_position: Vec<_> = inputs.map(|(_, shape)| shape).collect();
                for (name, shape) in shapes_by_analysis(&proto, &by_position).expect("an analysis") {
                    if let Some(own) = own.get(&name) {
                        assert_eq!(*own, shape, "{}, {name}", model.name);
                        compared += 1;
                    }
                }
            }
        }
        assert!(compared > 1000, "{compared} compared");
    }
}
