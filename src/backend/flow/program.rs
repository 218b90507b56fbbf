//! A run of pointwise operators as one program: every value goes through all of them while it is in the cache.
//!
//! A graph of a closed form has hundreds of small operators on whole maps; one after the other they are bound by
//! memory. Here the maps go by in short pieces of rows, each of which passes all operators.

use std::ops::Range;

use super::functions::{exp, ln, tanh};
use crate::operator::Place;

/// Values of a row that go through together: with some thirty registers they stay in a first-level cache.
const PIECE: usize = 512;

/// What one instruction does with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    Max,
    Min,
    Neg,
    Reciprocal,
    Abs,
    Sqrt,
    Exp,
    Log,
    Tanh,
    Sigmoid,
    Relu,
    Copy,
    /// The third argument where the first is greater than the second, else the fourth.
    Select,
}

impl Operator {
    /// The operator of ONNX by this name, where it is a pointwise one of this list.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "Add" => Self::Add,
            "Sub" => Self::Sub,
            "Mul" => Self::Mul,
            "Div" => Self::Div,
            "Max" => Self::Max,
            "Min" => Self::Min,
            "Neg" => Self::Neg,
            "Reciprocal" => Self::Reciprocal,
            "Abs" => Self::Abs,
            "Sqrt" => Self::Sqrt,
            "Exp" => Self::Exp,
            "Log" => Self::Log,
            "Tanh" => Self::Tanh,
            "Sigmoid" => Self::Sigmoid,
            "Relu" => Self::Relu,
            _ => return None,
        })
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Argument {
    Register(usize),
    Constant(f32),
    /// A plane of an input.
    Input {
        input: usize,
        plane: usize,
    },
}

/// Where a value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Register(usize),
    /// A plane of an output.
    Output {
        output: usize,
        plane: usize,
    },
}

/// One step. Its target is none of its arguments.
#[derive(Clone, Debug)]
pub(super) struct Instruction {
    pub(super) operator: Operator,
    pub(super) arguments: Vec<Argument>,
    pub(super) target: Target,
}

/// Instructions for planes of one width.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) columns: usize,
    pub(super) registers: usize,
    pub(super) instructions: Vec<Instruction>,
}

impl Program {
    /// Values of scratch space that [`run`](Self::run) needs.
    pub(super) fn scratch_len(&self) -> usize {
        self.registers * PIECE
    }

    /// Compute the rows `rows` of every output.
    ///
    /// `input` gives the values of an input and where its planes stand, `places` where those of the outputs do.
    ///
    /// # Panics
    /// If rows are not there.
    pub(super) fn run<'a>(
        &self,
        rows: Range<usize>,
        input: impl Fn(usize) -> (&'a [f32], Place),
        outputs: &mut [impl AsMut<[f32]>],
        places: impl Fn(usize) -> Place,
        scratch: &mut [f32],
    ) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has the instructions, as just tested.
            return unsafe { self.run_avx512(rows, input, outputs, places, scratch) };
        } else if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            return unsafe { self.run_avx2(rows, input, outputs, places, scratch) };
        }
        self.run_pieces(rows, input, outputs, places, scratch);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn run_avx512<'a>(
        &self,
        rows: Range<usize>,
        input: impl Fn(usize) -> (&'a [f32], Place),
        outputs: &mut [impl AsMut<[f32]>],
        places: impl Fn(usize) -> Place,
        scratch: &mut [f32],
    ) {
        self.run_pieces(rows, input, outputs, places, scratch);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn run_avx2<'a>(
        &self,
        rows: Range<usize>,
        input: impl Fn(usize) -> (&'a [f32], Place),
        outputs: &mut [impl AsMut<[f32]>],
        places: impl Fn(usize) -> Place,
        scratch: &mut [f32],
    ) {
        self.run_pieces(rows, input, outputs, places, scratch);
    }

    #[inline(always)]
    fn run_pieces<'a>(
        &self,
        rows: Range<usize>,
        input: impl Fn(usize) -> (&'a [f32], Place),
        outputs: &mut [impl AsMut<[f32]>],
        places: impl Fn(usize) -> Place,
        scratch: &mut [f32],
    ) {
        for y in rows.clone() {
            for x in (0..self.columns).step_by(PIECE) {
                let n = PIECE.min(self.columns - x);
                for step in &self.instructions {
                    // No argument is the target, so the registers before and behind it are free to be read.
                    let r = if let Target::Register(r) = step.target { r } else { self.registers };
                    let (before, rest) = scratch[..self.registers * PIECE].split_at_mut(r * PIECE);
                    let (own, behind) = rest.split_at_mut(PIECE.min(rest.len()));
                    let mut pieces = [Piece::Same(0.0); 4];
                    for (piece, argument) in pieces.iter_mut().zip(&step.arguments) {
                        *piece = match *argument {
                            Argument::Register(k) if k < r => Piece::Values(&before[k * PIECE..][..n]),
                            Argument::Register(k) => Piece::Values(&behind[(k - r - 1) * PIECE..][..n]),
                            Argument::Constant(value) => Piece::Same(value),
                            Argument::Input { input: i, plane } => {
                                let (values, place) = input(i);
                                let from = place.at(plane, y.cast_signed(), x);
                                match place.column {
                                    0 => Piece::Same(values[from]),
                                    _ => Piece::Values(&values[from..from + n]),
                                }
                            }
                        };
                    }
                    let out = match step.target {
                        Target::Register(_) => &mut own[..n],
                        Target::Output { output, plane } => {
                            let from = places(output).at(plane, y.cast_signed(), x);
                            &mut outputs[output].as_mut()[from..from + n]
                        }
                    };
                    compute(step.operator, pieces, out);
                }
            }
        }
    }
}

/// One argument of an instruction for a piece of a row.
#[derive(Clone, Copy)]
enum Piece<'a> {
    Values(&'a [f32]),
    Same(f32),
}

#[inline(always)]
fn compute(operator: Operator, [a, b, yes, no]: [Piece<'_>; 4], out: &mut [f32]) {
    match operator {
        Operator::Add => both(a, b, out, |a, b| a + b),
        Operator::Sub => both(a, b, out, |a, b| a - b),
        Operator::Mul => both(a, b, out, |a, b| a * b),
        Operator::Div => both(a, b, out, |a, b| a / b),
        Operator::Max => both(a, b, out, |a, b| if a > b { a } else { b }),
        Operator::Min => both(a, b, out, |a, b| if a < b { a } else { b }),
        Operator::Neg => each(a, out, |a| -a),
        Operator::Reciprocal => each(a, out, |a| 1.0 / a),
        Operator::Abs => each(a, out, f32::abs),
        Operator::Sqrt => each(a, out, f32::sqrt),
        Operator::Exp => each(a, out, exp),
        Operator::Log => each(a, out, ln),
        Operator::Tanh => each(a, out, tanh),
        Operator::Sigmoid => each(a, out, |a| 1.0 / (1.0 + exp(-a))),
        Operator::Relu => each(a, out, |a| if a < 0.0 { 0.0 } else { a }),
        Operator::Copy => each(a, out, |a| a),
        Operator::Select => select([a, b, yes, no], out),
    }
}

#[inline(always)]
fn each(a: Piece<'_>, out: &mut [f32], f: impl Fn(f32) -> f32) {
    match a {
        Piece::Values(a) => out.iter_mut().zip(a).for_each(|(o, a)| *o = f(*a)),
        Piece::Same(a) => out.fill(f(a)),
    }
}

#[inline(always)]
fn both(a: Piece<'_>, b: Piece<'_>, out: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    match (a, b) {
        (Piece::Values(a), Piece::Values(b)) => {
            out.iter_mut().zip(a).zip(b).for_each(|((o, a), b)| *o = f(*a, *b));
        }
        (Piece::Values(a), Piece::Same(b)) => out.iter_mut().zip(a).for_each(|(o, a)| *o = f(*a, b)),
        (Piece::Same(a), Piece::Values(b)) => out.iter_mut().zip(b).for_each(|(o, b)| *o = f(a, *b)),
        (Piece::Same(a), Piece::Same(b)) => out.fill(f(a, b)),
    }
}

#[inline(always)]
fn select(from: [Piece<'_>; 4], out: &mut [f32]) {
    let value = |piece: Piece<'_>, i: usize| match piece {
        Piece::Values(v) => v[i],
        Piece::Same(v) => v,
    };
    let [a, b, yes, no] = from;
    match (a, b, yes, no) {
        (Piece::Values(a), Piece::Same(b), Piece::Values(yes), Piece::Same(no)) => {
            out.iter_mut().zip(a).zip(yes).for_each(|((o, a), yes)| *o = if *a > b { *yes } else { no });
        }
        _ => out.iter_mut().enumerate().for_each(|(i, o)| {
            *o = if value(a, i) > value(b, i) { value(yes, i) } else { value(no, i) };
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_does_its_steps_on_every_piece() {
        // out = where(a * row > 0.5, sqrt(|a|) + column, NaN), 3 rows of 700 columns.
        let (rows, columns) = (3, 700);
        let [map, row, column] = [0, 1, 2].map(|input| Argument::Input { input, plane: 0 });
        let constant = Argument::Constant;
        let step =
            |operator, arguments: &[Argument], target| Instruction { operator, arguments: arguments.to_vec(), target };
        let r = Argument::Register;
        let program = Program {
            columns,
            registers: 3,
            instructions: vec![
                step(Operator::Mul, &[map, row], Target::Register(0)),
                step(Operator::Abs, &[map], Target::Register(1)),
                step(Operator::Sqrt, &[r(1)], Target::Register(2)),
                step(Operator::Add, &[r(2), column], Target::Register(1)),
                step(
                    Operator::Select,
                    &[r(0), constant(0.5), r(1), constant(f32::NAN)],
                    Target::Output { output: 0, plane: 0 },
                ),
            ],
        };
        let a: Vec<f32> = (0..rows * columns).map(|i| (i as f32 * 0.37).sin()).collect();
        let by_row = [1.0, 2.0, -1.0];
        let by_column: Vec<f32> = (0..columns).map(|i| i as f32).collect();
        let whole = Place::whole(rows, columns);
        let inputs: [(&[f32], Place); 3] = [
            (&a, whole),
            (&by_row, Place { row: 1, column: 0, ..whole }),
            (&by_column, Place { row: 0, column: 1, ..whole }),
        ];
        let mut out = [vec![0.0; rows * columns]];
        let mut scratch = vec![0.0; program.scratch_len()];
        program.run(0..2, |i| inputs[i], &mut out, |_| whole, &mut scratch);
        program.run(2..3, |i| inputs[i], &mut out, |_| whole, &mut scratch);
        let [out] = out;
        for (i, got) in out.iter().enumerate() {
            let (y, x) = (i / columns, i % columns);
            if a[i] * by_row[y] > 0.5 {
                assert_eq!(*got, a[i].abs().sqrt() + x as f32);
            } else {
                assert!(got.is_nan());
            }
        }
    }
}
