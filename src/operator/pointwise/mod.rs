//! A run of pointwise operators as one program: every value goes through all of them while it is in the cache.
//!
//! A graph of a closed form has hundreds of small operators on whole maps; one after the other they are bound by
//! memory. Here the maps go by in short blocks of rows, each of which passes all operators.

mod arithmetic;
mod block;
mod functions;
mod step;

use alloc::vec::Vec;
use core::ops::Range;

use smallvec::SmallVec;

use super::pass::Level;
use super::place::Place;
use super::simd::Portable;
use arithmetic::Arithmetic;
use block::{Kind, MOST_VECTORS, Slot};
use step::Step;
pub use step::{Operand, Operator};

/// Values of a vector at most.
const MOST_LANES: usize = 16;
/// Values of a block at most.
const MOST_VALUES: usize = MOST_VECTORS * MOST_LANES;

/// Steps for planes of one width.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    columns: usize,
    registers: usize,
    operands: Vec<Operand>,
    steps: Vec<Step>,
}

impl Program {
    /// One without steps, for rows of `columns` values.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        Self { columns, ..Self::default() }
    }

    /// Add a step.
    ///
    /// # Panics
    /// If the operator takes another number of operands, if the program has 65,536 different ones, or if it puts to what is
    /// no register and no output.
    pub fn push(&mut self, operator: Operator, operands: &[Operand]) {
        assert_eq!(operands.len(), operator.arity(), "operands of {operator:?}");
        let writes = operator == Operator::Put;
        let mut numbers = [0; 4];
        for (number, operand) in numbers.iter_mut().zip(operands) {
            let written = matches!(operand, Operand::Register(_) | Operand::Output { .. });
            assert!(written || !writes, "put to {operand:?}");
            if let Operand::Register(register) = operand {
                self.registers = self.registers.max(register + 1);
            }
            let known = self.operands.iter().position(|known| known == operand);
            let at = known.unwrap_or_else(|| {
                self.operands.push(*operand);
                self.operands.len() - 1
            });
            *number = u16::try_from(at).expect("fewer than 65,536 operands");
        }
        self.steps.push(Step { operator, operands: numbers });
    }

    /// The planes of inputs that it reads.
    pub fn inputs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.operands.iter().filter_map(|operand| match operand {
            Operand::Input { input, plane } => Some((*input, *plane)),
            _ => None,
        })
    }

    /// Values of scratch space that [`run`](Self::run) needs.
    #[must_use]
    pub fn scratch_len(&self) -> usize {
        // Registers, what is the same everywhere, and rows that are too short for a block.
        self.registers * MOST_VALUES + self.operands.len() * (MOST_LANES + MOST_VALUES)
    }

    /// Compute the rows `rows` of every output.
    ///
    /// `input` gives the values of an input and where its planes stand, `places` where those of the outputs do.
    ///
    /// # Panics
    /// If rows are not there.
    pub fn run<'a>(
        &self,
        rows: Range<usize>,
        input: impl Fn(usize) -> (&'a [f32], Place),
        outputs: &mut [impl AsMut<[f32]>],
        places: impl Fn(usize) -> Place,
        scratch: &mut [f32],
    ) {
        self.run_with(Level::best(), rows, input, outputs, places, scratch);
    }

    fn run_with<'a>(
        &self,
        level: Level,
        rows: Range<usize>,
        input: impl Fn(usize) -> (&'a [f32], Place),
        outputs: &mut [impl AsMut<[f32]>],
        places: impl Fn(usize) -> Place,
        scratch: &mut [f32],
    ) {
        if self.operands.is_empty() {
            return;
        }
        // Once for all planes, so that no reference to an output is made while another one's rows are written.
        let ends = outputs.iter_mut().map(|output| {
            let output = output.as_mut();
            let len = output.len();
            (output.as_mut_ptr(), len)
        });
        let outputs: SmallVec<[(*mut f32, usize); 16]> = ends.collect();
        let mut table = Table::new(self, scratch);
        for y in rows {
            for (number, operand) in self.operands.iter().enumerate() {
                match *operand {
                    Operand::Input { input: i, plane } => {
                        let (values, place) = input(i);
                        let from = place.at(plane, y.cast_signed(), 0);
                        if place.column == 0 {
                            table.fill(number, values[from]);
                        } else {
                            table.slots[number].at = values[from..from + self.columns].as_ptr().cast_mut();
                            table.slots[number].kind = Kind::Row;
                        }
                    }
                    Operand::Output { output, plane } => {
                        let ((at, len), place) = (outputs[output], places(output));
                        let from = place.at(plane, y.cast_signed(), 0);
                        assert!(place.column == 1 && from + self.columns <= len, "row {y} of an output");
                        // SAFETY: within the output, as just checked.
                        table.slots[number].at = unsafe { at.add(from) };
                    }
                    Operand::Register(_) | Operand::Constant(_) => {}
                }
            }
            match level {
                // SAFETY: the table has a slot for every operand, each with what the kind says; a program reads no register
                // before it is put; no particular instructions are used.
                Level::Portable => unsafe { self.row::<Portable, 4, 1>(&mut table) },
                // SAFETY: as above; a level is only made where the processor has it.
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => unsafe { self.row_avx2(&mut table) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => unsafe { self.row_avx512(&mut table) },
                // SAFETY: as above.
                #[cfg(target_arch = "aarch64")]
                Level::Neon => unsafe { self.row::<super::simd::arm::Neon, 16, 4>(&mut table) },
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn row_avx2(&self, table: &mut Table) {
        // SAFETY: the caller's.
        unsafe { self.row::<super::simd::x86::Avx2, 8, 2>(table) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    unsafe fn row_avx512(&self, table: &mut Table) {
        // SAFETY: the caller's.
        unsafe { self.row::<super::simd::x86::Avx512, 16, 4>(table) }
    }

    /// One row, in blocks of `WIDE` vectors and, where those do not fit, of `NARROW`.
    ///
    /// # Safety
    /// As [`block::run`].
    #[inline(always)]
    unsafe fn row<V: Arithmetic, const WIDE: usize, const NARROW: usize>(&self, table: &mut Table) {
        let [wide, narrow] = [WIDE, NARROW].map(|n| n * V::LANES);
        let columns = self.columns;
        // SAFETY: the caller's; all blocks lie within the row.
        unsafe {
            let mut x = 0;
            while x + wide <= columns {
                block::run::<V, WIDE>(&self.steps, &table.slots, x);
                x += wide;
            }
            while x + narrow <= columns {
                block::run::<V, NARROW>(&self.steps, &table.slots, x);
                x += narrow;
            }
            if x < columns && columns >= narrow {
                // Where it overlaps the block before, the same values are computed again.
                block::run::<V, NARROW>(&self.steps, &table.slots, columns - narrow);
            } else if x < columns {
                self.short::<V, NARROW>(table);
            }
        }
    }

    /// A row that is shorter than a block: in copies that are long enough.
    ///
    /// # Safety
    /// As [`block::run`].
    #[inline(always)]
    unsafe fn short<V: Arithmetic, const N: usize>(&self, table: &mut Table) {
        let mut slots: SmallVec<[Slot; USUAL_OPERANDS]> = SmallVec::from_slice(&table.slots);
        // SAFETY: there is room for a block of every operand.
        unsafe {
            for (number, slot) in slots.iter_mut().enumerate().filter(|(_, s)| s.kind == Kind::Row) {
                let copy = table.copies.add(number * MOST_VALUES);
                if matches!(self.operands[number], Operand::Input { .. }) {
                    slot.at.copy_to_nonoverlapping(copy, self.columns);
                }
                slot.at = copy;
            }
            block::run::<V, N>(&self.steps, &slots, 0);
            for ((operand, copy), own) in self.operands.iter().zip(&slots).zip(&table.slots) {
                if matches!(operand, Operand::Output { .. }) {
                    copy.at.copy_to_nonoverlapping(own.at, self.columns);
                }
            }
        }
    }
}

/// Operands up to which a run asks for no memory.
const USUAL_OPERANDS: usize = 256;

/// Where all operands of a program stand.
struct Table {
    slots: SmallVec<[Slot; USUAL_OPERANDS]>,
    /// For every operand a vector of one value.
    same: *mut f32,
    /// For every operand a block.
    copies: *mut f32,
}

impl Table {
    /// With registers and constants in `scratch`; inputs and outputs are still to be placed.
    fn new(program: &Program, scratch: &mut [f32]) -> Self {
        let scratch = &mut scratch[..program.scratch_len()];
        let registers = scratch.as_mut_ptr();
        // SAFETY: scratch space is that long.
        let (same, copies) = unsafe {
            let same = registers.add(program.registers * MOST_VALUES);
            (same, same.add(program.operands.len() * MOST_LANES))
        };
        let mut table = Self { slots: SmallVec::new(), same, copies };
        for (number, operand) in program.operands.iter().enumerate() {
            table.slots.push(match operand {
                // SAFETY: of the registers, each of a block.
                Operand::Register(r) => Slot { at: unsafe { registers.add(r * MOST_VALUES) }, kind: Kind::Block },
                Operand::Constant(_) | Operand::Input { .. } => Slot { at: same, kind: Kind::Same },
                Operand::Output { .. } => Slot { at: same, kind: Kind::Row },
            });
            if let Operand::Constant(value) = operand {
                table.fill(number, *value);
            }
        }
        table
    }

    /// Let an operand be the same everywhere.
    fn fill(&mut self, number: usize, value: f32) {
        // SAFETY: there is a vector for every operand.
        let at = unsafe {
            let at = self.same.add(number * MOST_LANES);
            for lane in 0..MOST_LANES {
                at.add(lane).write(value);
            }
            at
        };
        self.slots[number] = Slot { at, kind: Kind::Same };
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    const OPERATORS: [Operator; 30] = [
        Operator::Take,
        Operator::Add,
        Operator::Sub,
        Operator::SubFrom,
        Operator::Mul,
        Operator::Div,
        Operator::DivInto,
        Operator::Max,
        Operator::MaxOf,
        Operator::Min,
        Operator::MinOf,
        Operator::AddProduct,
        Operator::SubProduct,
        Operator::SubFromProduct,
        Operator::MulAdd,
        Operator::MulSub,
        Operator::MulSubFrom,
        Operator::Product,
        Operator::Square,
        Operator::Neg,
        Operator::Reciprocal,
        Operator::Abs,
        Operator::Sqrt,
        Operator::Relu,
        Operator::Exp,
        Operator::Log,
        Operator::Tanh,
        Operator::Sigmoid,
        Operator::Choose,
        Operator::Put,
    ];

    /// An operator as it is defined.
    fn naive(operator: Operator, r: f64, [a, b, c, d]: [f64; 4]) -> f64 {
        match operator {
            Operator::Take => a,
            Operator::Add => r + a,
            Operator::Sub => r - a,
            Operator::SubFrom => a - r,
            Operator::Mul => r * a,
            Operator::Div => r / a,
            Operator::DivInto => a / r,
            Operator::Max => {
                if r > a {
                    r
                } else {
                    a
                }
            }
            Operator::MaxOf => {
                if a > r {
                    a
                } else {
                    r
                }
            }
            Operator::Min => {
                if r < a {
                    r
                } else {
                    a
                }
            }
            Operator::MinOf => {
                if a < r {
                    a
                } else {
                    r
                }
            }
            Operator::AddProduct => r + a * b,
            Operator::SubProduct => r - a * b,
            Operator::SubFromProduct => a * b - r,
            Operator::MulAdd => r * a + b,
            Operator::MulSub => r * a - b,
            Operator::MulSubFrom => b - r * a,
            Operator::Product => a * b,
            Operator::Square => r * r,
            Operator::Neg => -r,
            Operator::Reciprocal => 1.0 / r,
            Operator::Abs => r.abs(),
            Operator::Sqrt => r.sqrt(),
            Operator::Relu => {
                if r < 0.0 {
                    0.0
                } else {
                    r
                }
            }
            Operator::Exp => r.exp(),
            Operator::Log => r.ln(),
            Operator::Tanh => r.tanh(),
            Operator::Sigmoid => 1.0 / (1.0 + (-r).exp()),
            Operator::Choose => {
                if a > b {
                    c
                } else {
                    d
                }
            }
            Operator::Put => r,
        }
    }

    /// What each operand of the tests stands for: a map, a value for each row, one for each column, one constant.
    const KINDS: [Operand; 4] = [
        Operand::Input { input: 0, plane: 1 },
        Operand::Input { input: 1, plane: 0 },
        Operand::Input { input: 2, plane: 0 },
        Operand::Constant(0.75),
    ];

    proptest! {
        /// Every operator on every kind of operand, by every kind of instructions, on rows of any width.
        #[test]
        fn operators_do_what_they_are_defined_as(
            operator in proptest::sample::select(OPERATORS.as_slice()),
            kinds in proptest::array::uniform4(0_usize..4),
            columns in 1_usize..600,
        ) {
            let rows = 3;
            let mut program = Program::new(columns);
            let operands = kinds.map(|k| KINDS[k]);
            // 0.4 + 0.7 of the row's value in a register, and in the running value the map beside it.
            program.push(Operator::Take, &[KINDS[1]]);
            program.push(Operator::Put, &[Operand::Register(1)]);
            program.push(Operator::Take, &[KINDS[0]]);
            program.push(Operator::MulAdd, &[Operand::Register(1), Operand::Constant(0.4)]);
            match operator {
                Operator::Put => program.push(operator, &[Operand::Register(0)]),
                _ => program.push(operator, &operands[..operator.arity()]),
            }
            program.push(Operator::Put, &[Operand::Output { output: 0, plane: 1 }]);

            let value = |i: usize| ((i * 7919 % 1013) as f32 / 1013.0 - 0.3) * 2.0;
            let map: Vec<f32> = (0..2 * rows * columns).map(value).collect();
            let (by_row, by_column): (Vec<f32>, Vec<f32>) =
                ((0..rows).map(|i| value(i + 17)).collect(), (0..columns).map(|i| value(i + 5)).collect());
            let whole = Place::whole(rows, columns);
            let inputs: [(&[f32], Place); 3] = [
                (&map, whole),
                (&by_row, Place { row: 1, column: 0, ..whole }),
                (&by_column, Place { row: 0, column: 1, ..whole }),
            ];
            for level in Level::all() {
                let mut out = [vec![f32::NAN; 2 * rows * columns]];
                let mut scratch = vec![f32::NAN; program.scratch_len()];
                program.run_with(level, 0..2, |i| inputs[i], &mut out, |_| whole, &mut scratch);
                program.run_with(level, 2..3, |i| inputs[i], &mut out, |_| whole, &mut scratch);
                prop_assert!(out[0][..rows * columns].iter().all(|v| v.is_nan()), "another plane");
                for i in 0..rows * columns {
                    let (y, x) = (i / columns, i % columns);
                    let own = [map[rows * columns + i], by_row[y], by_column[x], 0.75].map(f64::from);
                    let r = own[0].mul_add(own[1], f64::from(0.4_f32));
                    let expected = naive(operator, r, kinds.map(|k| own[k]));
                    let got = f64::from(out[0][rows * columns + i]);
                    // Single precision, of terms of at most 4; the logarithm and quotients have slopes of 1 / r.
                    let bound = 4e-6 * (1.0 + expected.abs() + expected * expected + 1.0 / r.abs());
                    let close = (got - expected).abs() <= bound || got == expected;
                    let undefined = expected.is_nan() && (got.is_nan() || r.abs() < 1e-6);
                    prop_assert!(close || undefined, "{operator:?} {level:?} at {y}, {x}: {got}, expected {expected}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_comes_out_of_comparisons_alike_everywhere() {
        let mut program = Program::new(70);
        let map = Operand::Input { input: 0, plane: 0 };
        let cases = [Operator::Max, Operator::MaxOf, Operator::Min, Operator::MinOf];
        for (plane, operator) in cases.into_iter().enumerate() {
            program.push(Operator::Take, &[map]);
            program.push(operator, &[Operand::Constant(1.0)]);
            program.push(Operator::Put, &[Operand::Output { output: 0, plane }]);
        }
        program.push(Operator::Take, &[map]);
        program.push(Operator::Relu, &[]);
        program.push(Operator::Put, &[Operand::Output { output: 0, plane: 4 }]);
        program.push(Operator::Choose, &[map, map, map, Operand::Constant(2.0)]);
        program.push(Operator::Put, &[Operand::Output { output: 0, plane: 5 }]);
        let (values, whole) = ([f32::NAN; 70], Place::whole(1, 70));
        for level in Level::all() {
            let mut out = [vec![0.0; 6 * 70]];
            let mut scratch = vec![0.0; program.scratch_len()];
            program.run_with(level, 0..1, |_| (&values, whole), &mut out, |_| whole, &mut scratch);
            for x in 0..70 {
                let at = |plane: usize| out[0][70 * plane + x];
                assert!(at(0) == 1.0 && at(1).is_nan() && at(2) == 1.0 && at(3).is_nan(), "{level:?}: {:?}", out[0]);
                assert!(at(4).is_nan() && at(5) == 2.0, "{level:?}: {:?}", out[0]);
            }
        }
    }

    #[test]
    #[should_panic(expected = "operands of Mul")]
    fn an_operator_is_given_its_operands() {
        Program::new(3).push(Operator::Mul, &[]);
    }
}
