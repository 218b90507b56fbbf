//! A pointwise program on rows, with what is the same for many rows made ahead.
//!
//! Noise gains of one-sided kernels depend on the distance from the borders alone: what is made of them is the same for
//! all rows but the outermost, and was a fifth of the steps of steady heat.

use std::ops::Range;

use super::lower::{Step, Value, Wanted, lower};
use crate::operator::{Operand, Place, Program};

/// Steps from which on what is the same for many rows is made ahead.
const FEWEST_STEPS: usize = 8;

/// A program, and what goes ahead of it.
#[derive(Debug)]
pub(super) struct Pointwise {
    program: Program,
    ahead: Option<Ahead>,
}

/// What depends on no map: made for one row, and used for those that follow as long as it stays the same.
#[derive(Debug)]
struct Ahead {
    program: Program,
    /// The number by which the other program knows what this one makes.
    number: usize,
    columns: usize,
    /// What was made, a row for each plane.
    made: Vec<f32>,
    /// The inputs' planes that may differ from row to row, with their values in the row that it was made for.
    seen: Vec<((usize, usize), f32)>,
    is_made: bool,
}

impl Pointwise {
    /// The program for rows of `columns` values that makes what is wanted of `inputs` inputs, of which `is_map` tells
    /// those that have a value for every pixel.
    pub(super) fn new(
        steps: &[Step],
        wanted: &[Wanted],
        columns: usize,
        inputs: usize,
        is_map: impl Fn(usize) -> bool,
    ) -> Self {
        let Some(Parts { first, steps: rest, wanted: asked }) = Parts::new(steps, wanted, inputs, is_map) else {
            return Self::plain(lower(steps, wanted, columns));
        };
        let made = vec![0.0; first.len() * columns];
        let program = lower(steps, &first, columns);
        let seen = program.inputs().map(|plane| (plane, 0.0)).collect();
        let ahead = Ahead { program, number: inputs, columns, made, seen, is_made: false };
        Self { program: lower(&rest, &asked, columns), ahead: Some(ahead) }
    }

    /// A program that has nothing to be made ahead.
    pub(super) fn plain(program: Program) -> Self {
        Self { program, ahead: None }
    }

    pub(super) fn scratch_len(&self) -> usize {
        self.program.scratch_len().max(self.ahead.as_ref().map_or(0, |a| a.program.scratch_len()))
    }

    /// Another frame begins, whose inputs may be others.
    pub(super) fn begin(&mut self) {
        if let Some(ahead) = &mut self.ahead {
            ahead.is_made = false;
        }
    }

    /// As [`Program::run`].
    pub(super) fn run<'a>(
        &mut self,
        rows: Range<usize>,
        input: impl Fn(usize) -> (&'a [f32], Place),
        outputs: &mut [impl AsMut<[f32]>],
        places: impl Fn(usize) -> Place,
        scratch: &mut [f32],
    ) {
        let Some(ahead) = &mut self.ahead else {
            return self.program.run(rows, input, outputs, places, scratch);
        };
        let mut y = rows.start;
        while y < rows.end {
            ahead.make(y, &input, scratch);
            let end = (y + 1..rows.end).find(|y| !ahead.is_for(*y, &input)).unwrap_or(rows.end);
            let (made, place) = (ahead.made.as_slice(), ahead.place());
            let number = ahead.number;
            let read = |i: usize| if i == number { (made, place) } else { input(i) };
            self.program.run(y..end, read, outputs, &places, scratch);
            y = end;
        }
    }
}

impl Ahead {
    /// Where a plane of what was made stands, whatever the row.
    fn place(&self) -> Place {
        Place { plane: self.columns, row: 0, ..Place::whole(1, self.columns) }
    }

    /// Whether what was made is that of row `y`: whatever has one value for a row has the same one.
    fn is_for<'a>(&self, y: usize, input: &impl Fn(usize) -> (&'a [f32], Place)) -> bool {
        self.is_made
            && self.seen.iter().all(|((i, plane), seen)| {
                let (values, place) = input(*i);
                place.column > 0 || values[place.at(*plane, y.cast_signed(), 0)].to_bits() == seen.to_bits()
            })
    }

    fn make<'a>(&mut self, y: usize, input: &impl Fn(usize) -> (&'a [f32], Place), scratch: &mut [f32]) {
        if self.is_for(y, input) {
            return;
        }
        for ((i, plane), seen) in &mut self.seen {
            let (values, place) = input(*i);
            *seen = values[place.at(*plane, y.cast_signed(), 0)];
        }
        let place = self.place();
        self.program.run(y..y + 1, input, &mut [self.made.as_mut_slice()], |_| place, scratch);
        self.is_made = true;
    }
}

/// Steps in two parts: the first is what depends on no map.
struct Parts {
    /// What the second part reads of the first, as planes of output 0.
    first: Vec<Wanted>,
    /// All steps, those of the second part reading the first as an input.
    steps: Vec<Step>,
    wanted: Vec<Wanted>,
}

impl Parts {
    /// `None` where that is too little.
    fn new(steps: &[Step], wanted: &[Wanted], inputs: usize, is_map: impl Fn(usize) -> bool) -> Option<Self> {
        let mut is_fixed = Vec::with_capacity(steps.len());
        for step in steps {
            let fixed = |value: &Value| match value {
                Value::Step(s) => is_fixed[*s],
                Value::Other(Operand::Input { input, .. }) => !is_map(*input),
                Value::Other(_) => true,
            };
            is_fixed.push(step.arguments.iter().all(fixed));
        }
        if is_fixed.iter().filter(|fixed| **fixed).count() < FEWEST_STEPS {
            return None;
        }
        let mut first: Vec<Wanted> = Vec::new();
        let mut read = |value: Value| match value {
            Value::Step(s) if is_fixed[s] => {
                let known = first.iter().position(|w| w.value == value);
                let plane = known.unwrap_or_else(|| {
                    first.push(Wanted { value, output: 0, plane: first.len() });
                    first.len() - 1
                });
                Value::Other(Operand::Input { input: inputs, plane })
            }
            _ => value,
        };
        let steps = steps
            .iter()
            .zip(&is_fixed)
            .map(|(step, fixed)| Step {
                function: step.function,
                // Nothing reads those of the first part any more.
                arguments: step.arguments.iter().map(|a| if *fixed { *a } else { read(*a) }).collect(),
            })
            .collect();
        let wanted = wanted.iter().map(|w| Wanted { value: read(w.value), ..*w }).collect();
        Some(Self { first, steps, wanted })
    }
}

#[cfg(test)]
mod tests {
    use super::super::lower::Function;
    use super::*;

    #[test]
    fn what_goes_ahead_changes_nothing() {
        // ((row column + row) squared ... ) times the map: rows 2 to 5 are alike, as in the middle of a frame.
        let (rows, columns) = (7, 40);
        let [map, row, column] = [0, 1, 2].map(|input| Value::Other(Operand::Input { input, plane: 0 }));
        let mut steps = vec![Step { function: Function::Mul, arguments: vec![row, column] }];
        for s in 0..FEWEST_STEPS {
            steps.push(Step { function: Function::Add, arguments: vec![Value::Step(s), row] });
        }
        let gain = Value::Step(FEWEST_STEPS);
        steps.push(Step { function: Function::Mul, arguments: vec![gain, map] });
        let last = Value::Step(FEWEST_STEPS + 1);
        let wanted = [last, gain].map(|value| Wanted { value, output: 0, plane: usize::from(value == gain) });

        let whole = Place::whole(rows, columns);
        let values: Vec<f32> = (0..rows * columns).map(|i| i as f32 * 0.01 - 1.0).collect();
        let by_row = [3.0, 2.0, 1.0, 1.0, 1.0, 1.0, 2.0];
        let mut by_column: Vec<f32> = (0..columns).map(|i| 1.0 / (1 + i) as f32).collect();
        let plain = lower(&steps, &wanted, columns);
        let mut split = Pointwise::new(&steps, &wanted, columns, 3, |i| i == 0);
        assert!(split.ahead.is_some(), "nothing goes ahead");
        for frame in 0..2 {
            // Another frame has other gains.
            by_column[3] += frame as f32;
            let inputs: [(&[f32], Place); 3] = [
                (&values, whole),
                (&by_row, Place { row: 1, column: 0, ..whole }),
                (&by_column, Place { row: 0, column: 1, ..whole }),
            ];
            let mut scratch = vec![0.0; split.scratch_len().max(plain.scratch_len())];
            let [mut expected, mut got] = [(); 2].map(|()| [vec![f32::NAN; 2 * rows * columns]]);
            plain.run(0..rows, |i| inputs[i], &mut expected, |_| whole, &mut scratch);
            split.begin();
            for block in [0..3, 3..7] {
                split.run(block, |i| inputs[i], &mut got, |_| whole, &mut scratch);
            }
            assert_eq!(got, expected, "frame {frame}");
        }
    }
}
