//! A run of pointwise operators as one program: every value goes through all of them while it is in the cache.
//!
//! A graph of a closed form has hundreds of small operators on whole maps; one after the other they are bound by
//! memory. Here the maps go by in short pieces of rows, each of which passes all operators.

use serde::{Deserialize, Serialize};

/// Values of a row that go through together: with some thirty registers they stay in a first-level cache.
const PIECE: usize = 512;

/// What one instruction does with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Argument {
    Register(usize),
    /// The bits of a number (JSON has no NaN).
    Constant(u32),
    /// A value of an input: it stands at `offset + y * row + x * column`.
    Input {
        input: usize,
        offset: usize,
        row: usize,
        column: usize,
    },
}

impl Argument {
    /// The `n` values from (y, x) on.
    #[inline(always)]
    fn piece<'a>(self, registers: &'a [Vec<f32>], inputs: &[&'a [f32]], [y, x]: [usize; 2], n: usize) -> Piece<'a> {
        match self {
            Self::Register(r) => Piece::Values(&registers[r][..n]),
            Self::Constant(bits) => Piece::Same(f32::from_bits(bits)),
            Self::Input { input, offset, row, column: 0 } => Piece::Same(inputs[input][offset + y * row]),
            Self::Input { input, offset, row, column } => {
                let from = offset + y * row + x * column;
                let piece = &inputs[input][from..from + n];
                fetch_ahead(piece);
                Piece::Values(piece)
            }
        }
    }
}

/// Where a value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Target {
    Register(usize),
    /// A plane of an output, which starts at `offset`.
    Output {
        output: usize,
        offset: usize,
    },
}

/// One step. Its target is none of its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Instruction {
    pub(super) operator: Operator,
    pub(super) arguments: Vec<Argument>,
    pub(super) target: Target,
}

/// Instructions for planes of one shape, axes (y, x).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Program {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) registers: usize,
    pub(super) instructions: Vec<Instruction>,
}

impl Program {
    /// Compute every output from the inputs, each a whole tensor in row-major order.
    ///
    /// # Panics
    /// If a tensor is shorter than the program reaches.
    pub(super) fn run(&self, inputs: &[&[f32]], outputs: &mut [&mut [f32]]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the instructions, as just tested.
            return unsafe { self.run_avx2(inputs, outputs) };
        }
        self.run_pieces(inputs, outputs);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn run_avx2(&self, inputs: &[&[f32]], outputs: &mut [&mut [f32]]) {
        self.run_pieces(inputs, outputs);
    }

    #[inline(always)]
    fn run_pieces(&self, inputs: &[&[f32]], outputs: &mut [&mut [f32]]) {
        let mut registers = vec![vec![0.0; PIECE]; self.registers];
        for y in 0..self.rows {
            for x in (0..self.columns).step_by(PIECE) {
                let n = PIECE.min(self.columns - x);
                for step in &self.instructions {
                    // Out of its place while it is written: no argument is the target.
                    let mut taken = match step.target {
                        Target::Register(r) => std::mem::take(&mut registers[r]),
                        Target::Output { .. } => Vec::new(),
                    };
                    let at = |k: usize| step.arguments[k].piece(&registers, inputs, [y, x], n);
                    match step.target {
                        Target::Register(r) => {
                            compute(step.operator, at, &mut taken[..n]);
                            registers[r] = taken;
                        }
                        Target::Output { output, offset } => {
                            let from = offset + y * self.columns + x;
                            compute(step.operator, at, &mut outputs[output][from..from + n]);
                        }
                    }
                }
            }
        }
    }
}

/// Ask for what follows this piece: a program reads more maps at once than the processor would see through by itself.
#[inline(always)]
fn fetch_ahead(piece: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..piece.len()).step_by(16) {
        use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        let ahead = piece.as_ptr().wrapping_add(piece.len() + line);
        // SAFETY: asking for an address reads nothing, wherever it lies.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(ahead.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = piece;
}

/// One argument of an instruction for a piece of a row.
#[derive(Clone, Copy)]
enum Piece<'a> {
    Values(&'a [f32]),
    Same(f32),
}

#[inline(always)]
fn compute<'a>(operator: Operator, at: impl Fn(usize) -> Piece<'a>, out: &mut [f32]) {
    match operator {
        Operator::Add => both(at(0), at(1), out, |a, b| a + b),
        Operator::Sub => both(at(0), at(1), out, |a, b| a - b),
        Operator::Mul => both(at(0), at(1), out, |a, b| a * b),
        Operator::Div => both(at(0), at(1), out, |a, b| a / b),
        Operator::Max => both(at(0), at(1), out, |a, b| if a > b { a } else { b }),
        Operator::Min => both(at(0), at(1), out, |a, b| if a < b { a } else { b }),
        Operator::Neg => each(at(0), out, |a| -a),
        Operator::Reciprocal => each(at(0), out, |a| 1.0 / a),
        Operator::Abs => each(at(0), out, f32::abs),
        Operator::Sqrt => each(at(0), out, f32::sqrt),
        Operator::Exp => each(at(0), out, exp),
        Operator::Log => each(at(0), out, f32::ln),
        Operator::Tanh => each(at(0), out, f32::tanh),
        Operator::Sigmoid => each(at(0), out, |a| 1.0 / (1.0 + exp(-a))),
        Operator::Relu => each(at(0), out, |a| if a < 0.0 { 0.0 } else { a }),
        Operator::Copy => each(at(0), out, |a| a),
        Operator::Select => select([at(0), at(1), at(2), at(3)], out),
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

/// e^x within 2.5e-7 of itself from -87.3 to 88; constant beyond, and NaN for NaN.
///
/// Reduced by multiples of ln 2, then a polynomial: without branches, so that many are computed at once.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LOWEST: f32 = -87.3;
    const HIGHEST: f32 = 88.0;
    /// Adding it leaves the nearest integer in the last bits.
    const MAGIC: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Comparisons that leave NaN as it is.
    let x = if x > HIGHEST { HIGHEST } else { x };
    let x = if x < LOWEST { LOWEST } else { x };
    let shifted = x * core::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p * r + coefficient;
    }
    let power = shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127) << 23;
    p * f32::from_bits(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_keeps_its_bound() {
        let mut worst: f64 = 0.0;
        for i in 0..2_000_000 {
            let x = -87.3 + 175.3 * (i as f32 / 2e6);
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) / exact - 1.0).abs());
        }
        assert!(worst < 2.5e-7, "{worst:e}");
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && exp(f32::INFINITY) > 1e38);
    }

    #[test]
    fn a_program_does_its_steps_on_every_piece() {
        // out = where(a * row > 0.5, sqrt(|a|) + column, NaN), 3 rows of 700 columns.
        let (rows, columns) = (3, 700);
        let map = Argument::Input { input: 0, offset: 0, row: columns, column: 1 };
        let row = Argument::Input { input: 1, offset: 0, row: 1, column: 0 };
        let column = Argument::Input { input: 2, offset: 0, row: 0, column: 1 };
        let constant = |v: f32| Argument::Constant(v.to_bits());
        let step =
            |operator, arguments: &[Argument], target| Instruction { operator, arguments: arguments.to_vec(), target };
        let r = Argument::Register;
        let program = Program {
            rows,
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
                    Target::Output { output: 0, offset: 0 },
                ),
            ],
        };
        let a: Vec<f32> = (0..rows * columns).map(|i| (i as f32 * 0.37).sin()).collect();
        let by_row = [1.0, 2.0, -1.0];
        let by_column: Vec<f32> = (0..columns).map(|i| i as f32).collect();
        let mut out = vec![0.0; rows * columns];
        program.run(&[&a, &by_row, &by_column], &mut [&mut out]);
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
