//! A model's maps computed row by row: banks, small convolutions and all that is pointwise between them.
//!
//! One operator after the other on whole maps is bound by memory. Here a few rows go through every operator while
//! they are in the cache, and of what lies between the operators only the rows are kept that are still to be read:
//! memory grows with a frame's width and not with its height. A trunk that works on cells of samples has tensors of
//! fewer rows and columns, which go through in the same order.

mod convolutions;
mod cut;
mod fuse;
mod lower;
mod pointwise;
mod schedule;
mod shapes;
#[cfg(test)]
mod tests;

pub(super) use convolutions::groups_of_rows;
pub(super) use cut::{Cut, Given, cut};
pub(super) use shapes::shapes;

use std::ops::Range;

use smallvec::SmallVec;

use super::Rows;
use crate::operator::{
    BoundBank, Cell, CellConvolution, Convolution, Operand, Operator, Place, Program, WIDEST, spread_cells,
};
use pointwise::Pointwise;
use schedule::{BLOCK, Read, Schedule, Step, TaskShape, TensorShape, schedule};

/// What is done to rows.
#[derive(Debug)]
enum Action {
    /// Rows of an input of the graph, which are asked for.
    Rows {
        input: usize,
        planes: usize,
    },
    /// Of one input plane; one output tensor for each derivative.
    Bank(Box<BoundBank>),
    /// Of the first tensor read; the second one, if there is one, is added.
    Convolution(Box<Convolution>),
    /// From samples to cells, likewise.
    Cells(Box<CellConvolution>),
    /// From cells back to samples.
    Spread(Cell),
    Pointwise(Box<Pointwise>),
}

/// One operator with the tensors that it reads and makes, by number.
#[derive(Debug)]
struct Task {
    action: Action,
    reads: Vec<usize>,
    makes: Vec<usize>,
}

/// A tensor that is made.
#[derive(Clone, Copy, Debug)]
struct Stack {
    planes: usize,
    /// Rows and columns.
    size: [usize; 2],
}

/// Operators on maps of one shape, in an order in which each can be computed.
#[derive(Debug)]
struct Recipe {
    /// Rows and columns of a map: of what is given and of the outputs.
    size: [usize; 2],
    /// The tensors that are given, numbered from 0: where their values stand.
    given: Vec<Place>,
    /// The tensors that are made, numbered on from there.
    made: Vec<Stack>,
    tasks: Vec<Task>,
    /// The tensors among them that are asked for.
    outputs: Vec<usize>,
}

/// Where the values of a tensor are.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Given(usize),
    Own(usize),
}

/// A tensor as it is bound.
#[derive(Debug)]
struct Tensor {
    slot: Slot,
    planes: usize,
    height: usize,
    /// Rows of zeros above the first and below the last.
    rim: usize,
    place: Place,
}

/// The columns of a frame that a flow computes at a time, and those of them that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Strip {
    /// First column of the frame that is computed.
    pub(super) origin: usize,
    /// Columns of the frame.
    pub(super) keep: Range<usize>,
    /// Columns that the frame has.
    pub(super) width: usize,
}

impl Strip {
    /// The whole of a frame of `width` columns.
    #[cfg(test)]
    pub(super) fn whole(width: usize) -> Self {
        Self { origin: 0, keep: 0..width, width }
    }
}

/// A recipe with its order and its memory.
#[derive(Debug)]
pub(super) struct Flow {
    recipe: Recipe,
    steps: Vec<Step>,
    tensors: Vec<Tensor>,
    /// By tensor: of which rows it is known that they are zero, up to the last that was made. Only of tensors that banks
    /// read; of others there is nothing.
    zero: Vec<Option<Vec<bool>>>,
    /// Of the tensors that are neither given nor outputs.
    memory: Vec<Vec<f32>>,
    /// Space in which a task computes.
    scratch: Vec<f32>,
}

impl Flow {
    fn new(mut recipe: Recipe) -> Self {
        recipe.surround_convolutions();
        let count = recipe.given.len() + recipe.made.len();
        let mut rims = vec![[0, 0]; count];
        for task in &recipe.tasks {
            if let Action::Convolution(convolution) = &task.action {
                let reach = convolution.shape().reach();
                let rim: &mut [usize; 2] = &mut rims[task.reads[0]];
                *rim = [rim[0].max(reach[0]), rim[1].max(reach[1])];
            }
        }
        let wanted = |t: usize| recipe.outputs.contains(&t);
        let shape = |t| TensorShape { height: recipe.size_of(t)[0], rim: rims[t][0], wanted: wanted(t) };
        let shapes: Vec<TensorShape> = (0..count).map(shape).collect();
        let tasks: Vec<TaskShape> = recipe.tasks.iter().map(|task| task.shape(&recipe)).collect();
        let Schedule { steps, capacity } = schedule(&tasks, &shapes);
        let given = recipe.given.iter().enumerate();
        let mut tensors: Vec<Tensor> = given
            .map(|(i, place)| Tensor { slot: Slot::Given(i), planes: 1, height: recipe.size[0], rim: 0, place: *place })
            .collect();
        let mut memory = Vec::with_capacity(recipe.made.len());
        for (t, Stack { planes, size: [height, width] }) in (recipe.given.len()..).zip(recipe.made.iter().copied()) {
            let [above, rim] = rims[t];
            let row = width + 2 * rim;
            let plane = row * capacity[t];
            memory.push(vec![0.0; planes * plane + WIDEST]);
            // Blocks lie at multiples of their size, so that none goes over the ring's end.
            let first = -above.next_multiple_of(BLOCK).cast_signed();
            let place = Place { plane, row, column: 1, first, ring: capacity[t], rim };
            tensors.push(Tensor { slot: Slot::Own(memory.len() - 1), planes, height, rim: above, place });
        }
        let scratch = recipe.tasks.iter().map(Task::scratch_len).max().unwrap_or(0);
        let banks = || recipe.tasks.iter().filter(|t| matches!(t.action, Action::Bank(_)));
        let watched = |t: usize| banks().any(|b| b.reads.contains(&t));
        let zero = tensors.iter().enumerate().map(|(t, tensor)| watched(t).then(|| vec![false; tensor.height]));
        let zero = zero.collect();
        Self { recipe, steps, tensors, zero, memory, scratch: vec![0.0; scratch] }
    }

    /// Columns that are computed at a time.
    pub(super) fn columns(&self) -> usize {
        self.recipe.size[1]
    }

    /// Compute every output from the tensors that are given, both in the recipe's order, and from the rows that are asked
    /// for; what is kept goes to its columns of `outputs`, whole maps in row-major order.
    ///
    /// # Panics
    /// If a tensor is shorter than the one bound, or one is missing.
    pub(super) fn run(&mut self, given: &[&[f32]], asked: Rows<'_>, strip: &Strip, outputs: &mut [&mut [f32]]) {
        let Self { recipe, steps, tensors, zero, memory, scratch } = self;
        let [height, width] = recipe.size;
        assert_eq!((given.len(), outputs.len()), (recipe.given.len(), recipe.outputs.len()), "tensors");
        for tensor in tensors.iter() {
            if let Slot::Own(own) = tensor.slot {
                tensor.clear_rim(&mut memory[own], -tensor.rim.cast_signed());
            }
        }
        for task in &mut recipe.tasks {
            if let Action::Pointwise(program) = &mut task.action {
                program.begin();
            }
        }
        for Step { task, rows } in steps.iter() {
            let Task { action, reads, makes } = &mut recipe.tasks[*task];
            // Out of their places while they are written: a task reads nothing that it makes.
            let mut made: SmallVec<[Vec<f32>; 16]> = SmallVec::new();
            for t in makes.iter() {
                if let Slot::Own(own) = tensors[*t].slot {
                    made.push(std::mem::take(&mut memory[own]));
                }
            }
            let input = |i: usize| {
                let Tensor { slot, place, .. } = &tensors[reads[i]];
                let values: &[f32] = match slot {
                    Slot::Given(i) => given[*i],
                    Slot::Own(own) => &memory[*own],
                };
                (values, *place)
            };
            let place = |i: usize| tensors[makes[i]].place;
            match action {
                Action::Rows { input, planes } => {
                    let place = place(0);
                    for plane in 0..*planes {
                        for y in rows.clone() {
                            let at = place.at(plane, y.cast_signed(), 0);
                            asked(*input, plane, [y, strip.origin], &mut made[0][at..at + width]);
                        }
                    }
                }
                // Where nothing is missing, what is missing need not be averaged at every radius.
                Action::Bank(bank) if are_zero(&zero[reads[0]], bank.reads(rows.clone())) => {
                    for (i, made) in made.iter_mut().enumerate() {
                        for y in rows.clone() {
                            let at = place(i).at(0, y.cast_signed(), 0);
                            made[at..at + width].fill(0.0);
                        }
                    }
                }
                Action::Bank(bank) => bank.run_rows(rows.clone(), input, &mut made, place, scratch),
                Action::Pointwise(program) => program.run(rows.clone(), input, &mut made, place, scratch),
                Action::Convolution(convolution) => {
                    let plus = (reads.len() > 1).then(|| input(1));
                    convolution.run(rows.clone(), input(0), plus, (&mut made[0], place(0)), scratch);
                }
                Action::Cells(convolution) => {
                    let plus = (reads.len() > 1).then(|| input(1));
                    convolution.run(rows.clone(), input(0), plus, (&mut made[0], place(0)), scratch);
                }
                Action::Spread(cell) => {
                    spread_cells(rows.clone(), width, *cell, input(0), (&mut made[0], place(0)));
                }
            }
            for (t, mut values) in makes.iter().zip(made) {
                let tensor = &tensors[*t];
                if let Some(zero) = &mut zero[*t] {
                    for y in rows.clone() {
                        let at = tensor.place.at(0, y.cast_signed(), 0);
                        zero[y] = values[at..at + width].iter().all(|v| *v == 0.0);
                    }
                }
                for (output, _) in outputs.iter_mut().zip(&recipe.outputs).filter(|(_, o)| *o == t) {
                    for plane in 0..tensor.planes {
                        for y in rows.clone() {
                            let from = tensor.place.at(plane, y.cast_signed(), strip.keep.start - strip.origin);
                            let to = (plane * height + y) * strip.width + strip.keep.start;
                            let count = strip.keep.len();
                            output[to..to + count].copy_from_slice(&values[from..from + count]);
                        }
                    }
                }
                if rows.end == tensor.height {
                    tensor.clear_rim(&mut values, tensor.height.cast_signed());
                }
                if let Slot::Own(own) = tensor.slot {
                    memory[own] = values;
                }
            }
        }
    }
}

impl Tensor {
    /// Zeros in the rim of every plane that begins at row `y`, with the columns around it.
    fn clear_rim(&self, values: &mut [f32], y: isize) {
        let place = &self.place;
        for plane in 0..self.planes {
            for y in y..y + self.rim.cast_signed() {
                let from = place.at(plane, y, 0) - place.rim;
                values[from..from + place.row].fill(0.0);
            }
        }
    }
}

/// Whether these rows are known to be zero.
fn are_zero(zero: &Option<Vec<bool>>, rows: Range<usize>) -> bool {
    zero.as_ref().is_some_and(|zero| zero[rows].iter().all(|z| *z))
}

impl Task {
    fn scratch_len(&self) -> usize {
        match &self.action {
            Action::Bank(bank) => bank.scratch_len(),
            Action::Pointwise(program) => program.scratch_len(),
            Action::Cells(convolution) => convolution.scratch_len(),
            Action::Convolution(convolution) => convolution.scratch_len(),
            Action::Spread(_) | Action::Rows { .. } => 0,
        }
    }

    fn shape(&self, recipe: &Recipe) -> TaskShape {
        let signed = |rows: Range<usize>| rows.start.cast_signed()..rows.end.cast_signed();
        let same = |y: usize| signed(y..y + 1);
        let rows = |i: usize, y: usize| match &self.action {
            Action::Bank(bank) => signed(bank.reads(y..y + 1)),
            Action::Convolution(convolution) if i == 0 => {
                let reach = convolution.shape().reach()[0].cast_signed();
                y.cast_signed() - reach..y.cast_signed() + reach + 1
            }
            Action::Cells(convolution) if i == 0 => signed(convolution.reads(y..y + 1)),
            Action::Spread(cell) => same(y / cell[0]),
            Action::Convolution(_) | Action::Cells(_) | Action::Pointwise(_) | Action::Rows { .. } => same(y),
        };
        let height = self.makes.first().map_or(0, |t| recipe.size_of(*t)[0]);
        let block = match &self.action {
            Action::Convolution(convolution) => convolution.shape().group().next_multiple_of(BLOCK),
            _ => BLOCK,
        };
        let reads = self.reads.iter().enumerate();
        TaskShape {
            reads: reads.map(|(i, t)| Read { tensor: *t, rows: (0..height).map(|y| rows(i, y)).collect() }).collect(),
            makes: self.makes.clone(),
            block,
        }
    }
}

impl Recipe {
    /// Rows and columns of a tensor.
    fn size_of(&self, tensor: usize) -> [usize; 2] {
        tensor.checked_sub(self.given.len()).map_or(self.size, |made| self.made[made].size)
    }

    /// Let no convolution read a tensor that has no room for zeros around it: one that is given.
    fn surround_convolutions(&mut self) {
        let count = self.given.len() + self.made.len();
        let mut copies: Vec<(usize, usize)> = Vec::new();
        let mut tasks = Vec::with_capacity(self.tasks.len());
        for mut task in std::mem::take(&mut self.tasks) {
            let source = task.reads.first().copied().unwrap_or(0);
            if let (Action::Convolution(convolution), true) = (&task.action, source < self.given.len()) {
                let known = copies.iter().find(|(of, _)| *of == source).map(|(_, copy)| *copy);
                task.reads[0] = known.unwrap_or_else(|| {
                    let copy = count + copies.len();
                    copies.push((source, copy));
                    let planes = convolution.shape().channels[0];
                    let reads = vec![source];
                    let size = self.size_of(source);
                    self.made.push(Stack { planes, size });
                    tasks.push(Task {
                        action: Action::Pointwise(Box::new(copying(planes, size[1]))),
                        reads,
                        makes: vec![copy],
                    });
                    copy
                });
            }
            tasks.push(task);
        }
        self.tasks = tasks;
    }
}

/// A program that copies planes.
fn copying(planes: usize, columns: usize) -> Pointwise {
    let mut program = Program::new(columns);
    for plane in 0..planes {
        program.push(Operator::Take, &[Operand::Input { input: 0, plane }]);
        program.push(Operator::Put, &[Operand::Output { output: 0, plane }]);
    }
    Pointwise::plain(program)
}
