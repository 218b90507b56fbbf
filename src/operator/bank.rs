//! Separable derivative operators of one radius on images and series, sharing their passes.

use alloc::vec;
use alloc::vec::Vec;

use super::axis::{AxisTaps, Border};
use super::pass::weighted_rows;
use crate::kernel::{Kernel, KernelError};

/// One derivative that a bank computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derivative {
    /// Which of the bank's inputs it is taken of.
    pub input: usize,
    /// Order along each axis: (y, x) for images, (sample) for series.
    pub orders: Vec<usize>,
}

/// A bank that cannot be bound.
#[derive(Clone, Debug, PartialEq)]
pub enum BankError {
    /// Taps that do not exist.
    Kernel(KernelError),
    /// The shape, or a list of orders, has not one entry for each axis.
    Axes {
        /// Entries given.
        got: usize,
        /// Axes there are.
        expected: usize,
    },
    /// A one-sided kernel needs 2R+1 samples along its axis.
    TooSmall {
        /// The axis.
        axis: usize,
        /// Samples given.
        got: usize,
        /// Samples needed.
        expected: usize,
    },
}

impl core::fmt::Display for BankError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Kernel(e) => write!(f, "{e}"),
            Self::Axes { got, expected } => write!(f, "bank: got {got} axes, expected {expected}"),
            Self::TooSmall { axis, got, expected } => {
                write!(f, "bank, axis {axis}: got {got} samples, expected at least {expected}")
            }
        }
    }
}

impl core::error::Error for BankError {}

impl From<KernelError> for BankError {
    fn from(e: KernelError) -> Self {
        Self::Kernel(e)
    }
}

/// A bank bound to one shape, with its taps in single precision.
#[derive(Clone, Debug)]
pub struct BoundBank {
    height: usize,
    width: usize,
    sweeps: Vec<Sweep>,
    outputs: usize,
}

/// One vertical pass and the horizontal passes that start from it.
#[derive(Clone, Debug)]
struct Sweep {
    input: usize,
    /// `None` for a series: there is nothing to do across its only row.
    vertical: Option<AxisTaps>,
    /// (output, taps along the last axis).
    horizontal: Vec<(usize, AxisTaps)>,
}

impl BoundBank {
    /// Bind to `shape`, (y, x) or (sample). `kernel` gives the taps for (axis, order).
    ///
    /// # Errors
    /// Taps that do not exist, a shape that does not match the orders, or one too small for one-sided edges.
    pub fn new(
        shape: &[usize],
        derivatives: &[Derivative],
        border: Border,
        mut kernel: impl FnMut(usize, usize) -> Result<Kernel, KernelError>,
    ) -> Result<Self, BankError> {
        let axes = shape.len();
        if axes == 0 || axes > 2 {
            return Err(BankError::Axes { got: axes, expected: 2 });
        }
        let mut sweeps: Vec<(usize, usize, Sweep)> = Vec::new();
        for (output, d) in derivatives.iter().enumerate() {
            if d.orders.len() != axes {
                return Err(BankError::Axes { got: d.orders.len(), expected: axes });
            }
            let mut taps = Vec::with_capacity(axes);
            for (axis, order) in d.orders.iter().enumerate() {
                let t = AxisTaps::new(&kernel(axis, *order)?, border);
                if border == Border::OneSided && shape[axis] < 2 * t.radius + 1 {
                    return Err(BankError::TooSmall { axis, got: shape[axis], expected: 2 * t.radius + 1 });
                }
                taps.push(t);
            }
            let last = taps.pop().ok_or(BankError::Axes { got: 0, expected: axes })?;
            let first_order = if axes == 2 { d.orders[0] } else { 0 };
            match sweeps.iter_mut().find(|(input, order, _)| (*input, *order) == (d.input, first_order)) {
                Some((_, _, sweep)) => sweep.horizontal.push((output, last)),
                None => {
                    let sweep = Sweep { input: d.input, vertical: taps.pop(), horizontal: vec![(output, last)] };
                    sweeps.push((d.input, first_order, sweep));
                }
            }
        }
        let width = shape[axes - 1];
        Ok(Self {
            height: if axes == 2 { shape[0] } else { 1 },
            width,
            sweeps: sweeps.into_iter().map(|(_, _, s)| s).collect(),
            outputs: derivatives.len(),
        })
    }

    /// Values of scratch space that [`run`](Self::run) needs.
    #[must_use]
    pub fn scratch_len(&self) -> usize {
        self.width
    }

    /// Compute every derivative, in pixel units.
    ///
    /// `inputs` and `outputs` are row-major planes of the bound shape, the outputs in the order of the
    /// derivatives; `scratch` holds [`scratch_len`](Self::scratch_len) values of no meaning.
    ///
    /// # Panics
    /// If a plane or the scratch is not of the bound size, or one is missing.
    pub fn run(&self, inputs: &[&[f32]], outputs: &mut [&mut [f32]], scratch: &mut [f32]) {
        let (height, width) = (self.height, self.width);
        assert_eq!(outputs.len(), self.outputs, "one plane for each derivative");
        for sweep in &self.sweeps {
            let source = inputs[sweep.input];
            assert_eq!(source.len(), height * width, "input plane");
            for y in 0..height {
                let row: &[f32] = if let Some(vertical) = &sweep.vertical {
                    let (from, taps) = vertical.at(y, height);
                    weighted_rows(&source[from * width..], width, taps, scratch);
                    scratch
                } else {
                    source
                };
                for (output, taps) in &sweep.horizontal {
                    along_row(row, taps, &mut outputs[*output][y * width..(y + 1) * width]);
                }
            }
        }
    }
}

fn along_row(row: &[f32], taps: &AxisTaps, out: &mut [f32]) {
    let n = row.len();
    let inner = taps.inner(n);
    for x in (0..inner.start).chain(inner.end..n) {
        let (from, taps) = taps.at(x, n);
        let mut value = [0.0];
        weighted_rows(&row[from..], 1, taps, &mut value);
        out[x] = value[0];
    }
    if !inner.is_empty() {
        weighted_rows(&row[inner.start - taps.radius..], 1, taps.interior(), &mut out[inner]);
    }
}
