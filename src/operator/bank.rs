//! Separable derivative operators of one radius on images and series, sharing their passes.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::axis::{AxisTaps, Border, EdgeBlock};
use super::convolution::WIDEST;
use super::line::correlate;
use super::pass::{Level, Source, Span, weighted_rows};
use super::place::Place;
use crate::kernel::{Kernel, KernelError};

/// Rows that go through the passes together at most.
const MOST_ROWS: usize = 8;

/// Kernels that are taken of one row together at most.
const MOST_KERNELS: usize = 3;

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
    level: Level,
}

/// One vertical pass and the horizontal passes that start from it.
#[derive(Clone, Debug)]
struct Sweep {
    input: usize,
    /// `None` for a series: there is nothing to do across its only row.
    vertical: Option<AxisTaps>,
    horizontal: Vec<Horizontal>,
}

/// A pass along the last axis.
#[derive(Clone, Debug)]
struct Horizontal {
    output: usize,
    taps: AxisTaps,
    /// Positions that use the interior taps.
    inner: Range<usize>,
    /// Those before and behind them.
    edges: [EdgeBlock; 2],
}

impl Horizontal {
    fn new(output: usize, taps: AxisTaps, width: usize) -> Self {
        let inner = taps.inner(width);
        let edges = [taps.block(0..inner.start, width), taps.block(inner.end..width, width)];
        Self { output, taps, inner, edges }
    }

    /// Filter `rows`, at most [`MOST_ROWS`] of `width` values, near the borders into rows of `out` that are `pitch` apart.
    fn edges(&self, level: Level, rows: &[f32], width: usize, out: &mut [f32], pitch: usize) {
        for edge in &self.edges {
            // The same sum with its factors exchanged: the samples weigh rows of taps.
            let mut spans = [Span { first: 0, taps: &[] }; MOST_ROWS];
            for (span, row) in spans.iter_mut().zip(rows.chunks_exact(width)) {
                span.taps = &row[edge.samples.clone()];
            }
            let spans = &spans[..rows.len() / width];
            let (columns, from) = (edge.range.len(), edge.range.start);
            if columns == edge.pitch {
                weighted_rows(level, Source::straight(&edge.taps, columns), spans, columns, &mut out[from..], pitch);
                continue;
            }
            let mut whole = [0.0; MOST_ROWS * WIDEST];
            weighted_rows(level, Source::straight(&edge.taps, WIDEST), spans, WIDEST, &mut whole, WIDEST);
            for (i, row) in whole.chunks_exact(WIDEST).take(spans.len()).enumerate() {
                out[i * pitch + from..][..columns].copy_from_slice(&row[..columns]);
            }
        }
    }
}

/// Filter `rows` of `width` values, the first of them row `y`, by `R` kernels of one radius, apart from the borders.
fn inner<const R: usize>(
    level: Level,
    passes: [&Horizontal; R],
    (rows, width, y): (&[f32], usize, usize),
    outputs: &mut [impl AsMut<[f32]>],
    places: &impl Fn(usize) -> Place,
) {
    let Some(Horizontal { inner, taps, .. }) = passes.first().filter(|p| !p.inner.is_empty()) else { return };
    let numbers = passes.map(|p| p.output);
    let starts = numbers.map(|n| (places(n).at(0, y.cast_signed(), inner.start), places(n).row));
    let mut outputs = outputs.get_disjoint_mut(numbers).expect("an output for each pass");
    for (i, row) in rows.chunks_exact(width).enumerate() {
        let mut starts = starts.iter().map(|(start, pitch)| start + i * pitch);
        let to = outputs.each_mut().map(|out| &mut out.as_mut()[starts.next().unwrap_or(0)..]);
        let row = &row[inner.start - taps.radius..];
        correlate(level, row, passes.map(|p| p.taps.interior()), inner.len(), to);
    }
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
        let width = shape[axes - 1];
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
            let last = Horizontal::new(output, last, width);
            let first_order = if axes == 2 { d.orders[0] } else { 0 };
            match sweeps.iter_mut().find(|(input, order, _)| (*input, *order) == (d.input, first_order)) {
                Some((_, _, sweep)) => sweep.horizontal.push(last),
                None => {
                    let sweep = Sweep { input: d.input, vertical: taps.pop(), horizontal: vec![last] };
                    sweeps.push((d.input, first_order, sweep));
                }
            }
        }
        Ok(Self {
            height: if axes == 2 { shape[0] } else { 1 },
            width,
            sweeps: sweeps.into_iter().map(|(_, _, s)| s).collect(),
            outputs: derivatives.len(),
            level: Level::best(),
        })
    }

    /// Values of scratch space that [`run`](Self::run) needs.
    #[must_use]
    pub fn scratch_len(&self) -> usize {
        self.level.rows().min(self.height) * self.width
    }

    /// Compute every derivative, in pixel units.
    ///
    /// `inputs` and `outputs` are row-major planes of the bound shape, the outputs in the order of the
    /// derivatives; `scratch` holds [`scratch_len`](Self::scratch_len) values of no meaning.
    ///
    /// # Panics
    /// If a plane or the scratch is not of the bound size, or one is missing.
    pub fn run(&self, inputs: &[&[f32]], outputs: &mut [&mut [f32]], scratch: &mut [f32]) {
        let place = Place::whole(self.height, self.width);
        assert!(inputs.iter().all(|i| i.len() == self.height * self.width), "input planes");
        self.run_rows(0..self.height, |i| (inputs[i], place), outputs, |_| place, scratch);
    }

    /// The rows of the inputs that rows `rows` of the outputs are computed from.
    #[must_use]
    pub fn reads(&self, rows: Range<usize>) -> Range<usize> {
        let verticals = || self.sweeps.iter().filter_map(|s| s.vertical.as_ref());
        let first = verticals().map(|v| v.at(rows.start, self.height).0).min();
        let end = verticals().map(|v| {
            let (from, taps) = v.at(rows.end - 1, self.height);
            from + taps.len()
        });
        first.unwrap_or(rows.start)..end.max().unwrap_or(rows.end)
    }

    /// Compute the rows `rows` of every derivative.
    ///
    /// `input` gives an input plane and where its rows stand, of which those that [`reads`](Self::reads) names must be
    /// there; `places` says where rows stand in each of `outputs`.
    ///
    /// A few rows at a time go through the vertical pass, which loads what they share once, and from the cache
    /// through the horizontal ones.
    ///
    /// # Panics
    /// If rows are missing or an output is.
    pub fn run_rows<'a>(
        &self,
        rows: Range<usize>,
        input: impl Fn(usize) -> (&'a [f32], Place),
        outputs: &mut [impl AsMut<[f32]>],
        places: impl Fn(usize) -> Place,
        scratch: &mut [f32],
    ) {
        let (height, width) = (self.height, self.width);
        assert_eq!(outputs.len(), self.outputs, "one plane for each derivative");
        let group = self.level.rows().min(MOST_ROWS);
        for sweep in &self.sweeps {
            let (source, place) = input(sweep.input);
            for y in rows.clone().step_by(group) {
                let end = (y + group).min(rows.end);
                let filtered: &[f32] = if let Some(vertical) = &sweep.vertical {
                    let base = (y..end).map(|y| vertical.at(y, height).0).min().unwrap_or(0);
                    let mut spans = [Span { first: 0, taps: &[] }; MOST_ROWS];
                    for (span, y) in spans.iter_mut().zip(y..end) {
                        let (from, taps) = vertical.at(y, height);
                        *span = Span { first: from - base, taps };
                    }
                    let (to, spans) = (&mut scratch[..(end - y) * width], &spans[..end - y]);
                    let from = Source {
                        values: &source[place.rim..],
                        stride: place.row,
                        first: place.row_at(base.cast_signed()),
                        ring: place.ring,
                    };
                    weighted_rows(self.level, from, spans, width, to, width);
                    to
                } else {
                    &source[place.at(0, y.cast_signed(), 0)..][..width]
                };
                for horizontal in &sweep.horizontal {
                    let place = places(horizontal.output);
                    let out = &mut outputs[horizontal.output].as_mut()[place.at(0, y.cast_signed(), 0)..];
                    horizontal.edges(self.level, filtered, width, out, place.row.max(width));
                }
                let mut rest = sweep.horizontal.as_slice();
                while let [first, others @ ..] = rest {
                    let alike = others.iter().take_while(|o| o.taps.radius == first.taps.radius).count();
                    let count = 1 + alike.min(MOST_KERNELS - 1);
                    let lines = (filtered, width, y);
                    match rest {
                        [a, b, c, ..] if count == 3 => inner(self.level, [a, b, c], lines, outputs, &places),
                        [a, b, ..] if count == 2 => inner(self.level, [a, b], lines, outputs, &places),
                        _ => inner(self.level, [first], lines, outputs, &places),
                    }
                    rest = &rest[count..];
                }
            }
        }
    }
}
