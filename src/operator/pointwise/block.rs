//! A program on one block of values.
//!
//! One value of every pixel of the block runs through the steps in registers of the processor, so that a step reads what
//! it is combined with and writes nothing; what is needed more than once is put aside in the first-level cache.

use super::MOST_LANES;
use super::arithmetic::Arithmetic;
use super::functions::{exp, ln, tanh};
use super::step::{Operator, Step};

/// Vectors of a block at most.
pub(super) const MOST_VECTORS: usize = 16;

/// Where an operand stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// Of a block, or of a row of maps, the first value; of what is the same everywhere, a vector of it.
    pub(super) at: *mut f32,
    pub(super) kind: Kind,
}

/// How an operand goes on along a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Everywhere the same.
    Same,
    /// Values of the block alone.
    Block,
    /// Values of the whole row.
    Row,
}

impl Slot {
    /// Where the block at column `x` begins.
    ///
    /// # Safety
    /// The row has that column.
    #[inline(always)]
    unsafe fn at(&self, x: usize) -> *mut f32 {
        let x = if self.kind == Kind::Row { x } else { 0 };
        // SAFETY: the caller's.
        unsafe { self.at.add(x) }
    }
}

/// Run `steps` on the `N` vectors of every operand from column `x` on.
///
/// # Safety
/// Every step names slots that there are; what it reads is there and has been written, what it puts there may be written,
/// and the processor has the instructions.
#[inline(always)]
pub(super) unsafe fn run<V: Arithmetic, const N: usize>(steps: &[Step], slots: &[Slot], x: usize) {
    // SAFETY: the caller's, for all that follows.
    unsafe {
        let mut r = [V::zero(); N];
        for step in steps {
            let [a, b, c, d] = step.operands;
            let slot = |i: u16| *slots.get_unchecked(usize::from(i));
            let (a, b) = (slot(a), slot(b));
            match step.operator {
                Operator::Take => with(&mut r, a, x, |_, a| a),
                Operator::Add => with(&mut r, a, x, |r, a| r.plus(a)),
                Operator::Sub => with(&mut r, a, x, |r, a| r.minus(a)),
                Operator::SubFrom => with(&mut r, a, x, |r, a| a.minus(r)),
                Operator::Mul => with(&mut r, a, x, |r, a| r.times(a)),
                Operator::Div => with(&mut r, a, x, |r, a| r.over(a)),
                Operator::DivInto => with(&mut r, a, x, |r, a| a.over(r)),
                Operator::Max => with(&mut r, a, x, |r, a| r.larger(a)),
                Operator::MaxOf => with(&mut r, a, x, |r, a| a.larger(r)),
                Operator::Min => with(&mut r, a, x, |r, a| r.smaller(a)),
                Operator::MinOf => with(&mut r, a, x, |r, a| a.smaller(r)),
                Operator::AddProduct => with_two(&mut r, a, b, x, |r, a, b| r.add_product(a, b)),
                Operator::SubProduct => with_two(&mut r, a, b, x, |r, a, b| r.less_product(a, b)),
                Operator::SubFromProduct => with_two(&mut r, a, b, x, |r, a, b| a.product_less(b, r)),
                Operator::MulAdd => with_two(&mut r, a, b, x, |r, a, b| b.add_product(r, a)),
                Operator::MulSub => with_two(&mut r, a, b, x, |r, a, b| r.product_less(a, b)),
                Operator::MulSubFrom => with_two(&mut r, a, b, x, |r, a, b| b.less_product(r, a)),
                Operator::Product => with_two(&mut r, a, b, x, |_, a, b| a.times(b)),
                Operator::Square => each(&mut r, |r| r.times(r)),
                Operator::Neg => each(&mut r, |r| r.negated()),
                Operator::Reciprocal => each(&mut r, |r| V::splat(1.0).over(r)),
                Operator::Abs => each(&mut r, |r| r.magnitude()),
                Operator::Sqrt => each(&mut r, |r| r.root()),
                Operator::Relu => each(&mut r, |r| r.positive()),
                Operator::Exp => through(&mut r, |v| exp(V::FUSED, v)),
                Operator::Log => through(&mut r, |v| ln(V::FUSED, v)),
                Operator::Tanh => through(&mut r, |v| tanh(V::FUSED, v)),
                Operator::Sigmoid => through(&mut r, |v| 1.0 / (1.0 + exp(V::FUSED, -v))),
                Operator::Choose => {
                    let places = [a, b, slot(c), slot(d)].map(|s| (s.at(x), usize::from(s.kind != Kind::Same)));
                    for (k, r) in r.iter_mut().enumerate() {
                        let [a, b, yes, no] = places.map(|(at, step)| V::load(at.add(k * V::LANES * step)));
                        *r = a.greater(b, yes, no);
                    }
                }
                Operator::Put => {
                    let to = a.at(x);
                    for (k, r) in r.iter().enumerate() {
                        r.store(to.add(k * V::LANES));
                    }
                }
            }
        }
    }
}

/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn with<V: Arithmetic, const N: usize>(r: &mut [V; N], a: Slot, x: usize, f: impl Fn(V, V) -> V) {
    // SAFETY: the caller's.
    unsafe {
        let from = a.at(x);
        if a.kind == Kind::Same {
            let a = V::load(from);
            for r in r {
                *r = f(*r, a);
            }
        } else {
            for (k, r) in r.iter_mut().enumerate() {
                *r = f(*r, V::load(from.add(k * V::LANES)));
            }
        }
    }
}

/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn with_two<V: Arithmetic, const N: usize>(
    r: &mut [V; N],
    a: Slot,
    b: Slot,
    x: usize,
    f: impl Fn(V, V, V) -> V,
) {
    // SAFETY: the caller's.
    unsafe {
        let from = b.at(x);
        if b.kind == Kind::Same {
            let b = V::load(from);
            with(r, a, x, |r, a| f(r, a, b));
        } else if a.kind == Kind::Same {
            let a = V::load(a.at);
            for (k, r) in r.iter_mut().enumerate() {
                *r = f(*r, a, V::load(from.add(k * V::LANES)));
            }
        } else {
            let first = a.at(x);
            for (k, r) in r.iter_mut().enumerate() {
                *r = f(*r, V::load(first.add(k * V::LANES)), V::load(from.add(k * V::LANES)));
            }
        }
    }
}

#[inline(always)]
fn each<V: Arithmetic, const N: usize>(r: &mut [V; N], f: impl Fn(V) -> V) {
    for r in r {
        *r = f(*r);
    }
}

/// A function that the compiler computes for many at once.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn through<V: Arithmetic, const N: usize>(r: &mut [V; N], f: impl Fn(f32) -> f32) {
    let mut values = [0.0; MOST_VECTORS * MOST_LANES];
    let values = &mut values[..N * V::LANES];
    for (r, to) in r.iter().zip(values.chunks_exact_mut(V::LANES)) {
        // SAFETY: the caller's; the chunk is as long as a vector.
        unsafe { r.store(to.as_mut_ptr()) };
    }
    for value in values.iter_mut() {
        *value = f(*value);
    }
    for (r, from) in r.iter_mut().zip(values.chunks_exact(V::LANES)) {
        // SAFETY: as above.
        *r = unsafe { V::load(from.as_ptr()) };
    }
}
