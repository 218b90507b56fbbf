//! Convolutions from samples to cells of 2 x 2, at half the resolution, and the way back from cells to samples.

use core::ops::Range;

use super::convolution::{Activation, Convolution, ConvolutionShape, WIDEST};
use super::place::Place;

/// Samples along the side of a cell.
pub const CELL: usize = 2;
/// Samples of a cell.
const SAMPLES: usize = CELL * CELL;

/// A convolution that takes each cell of samples to one value of every output channel.
///
/// A cell that reaches beyond the last row or column has zeros there. The samples of a row of cells are laid side by
/// side, as planes of their own, and go through a pointwise [`Convolution`]: sums are in the order of input channel,
/// kernel row and kernel column, wherever a cell lies.
#[derive(Clone, Debug, PartialEq)]
pub struct CellConvolution {
    /// Rows and columns of samples.
    size: [usize; 2],
    pointwise: Convolution,
}

impl CellConvolution {
    /// For maps of `size` (y, x) samples and `channels` read and made; `weights` with axes (output channel, input
    /// channel, 2, 2), `bias` one for each output channel.
    ///
    /// # Panics
    /// If the lengths do not fit the channels.
    #[must_use]
    pub fn new(size: [usize; 2], channels: [usize; 2], weights: &[f32], bias: &[f32], activation: Activation) -> Self {
        let shape = ConvolutionShape {
            width: size[1].div_ceil(CELL),
            channels: [SAMPLES * channels[0], channels[1]],
            kernel: [1, 1],
            dilation: [1, 1],
        };
        Self { size, pointwise: Convolution::new(shape, weights, bias, activation) }
    }

    /// The rows of samples that the rows `rows` of cells are made of.
    #[must_use]
    pub fn reads(&self, rows: Range<usize>) -> Range<usize> {
        CELL * rows.start..(CELL * rows.end).min(self.size[0])
    }

    /// Distance of planes in scratch space: not a power of two, which would let them take each other's place in a cache.
    fn pitch(&self) -> usize {
        self.pointwise.shape().width + WIDEST
    }

    /// Values of scratch space that [`run`](Self::run) needs.
    #[must_use]
    pub fn scratch_len(&self) -> usize {
        self.pointwise.shape().channels[0] * self.pitch()
    }

    /// Compute the rows `rows` of cells of every output channel.
    ///
    /// Where `plus` is given, axes (output channel, y, x) of cells, it is added to the activated sum.
    ///
    /// # Panics
    /// If rows that are read or written are not there.
    pub fn run(
        &self,
        rows: Range<usize>,
        (values, from): (&[f32], Place),
        plus: Option<(&[f32], Place)>,
        (output, to): (&mut [f32], Place),
        scratch: &mut [f32],
    ) {
        let (pitch, [height, width]) = (self.pitch(), self.size);
        let scratch = &mut scratch[..self.scratch_len()];
        for y in rows {
            for (channel, planes) in scratch.chunks_exact_mut(SAMPLES * pitch).enumerate() {
                for (dy, planes) in planes.chunks_exact_mut(CELL * pitch).enumerate() {
                    let (left, right) = planes.split_at_mut(pitch);
                    let row = CELL * y + dy;
                    if row < height {
                        let at = from.at(channel, row.cast_signed(), 0);
                        part(&values[at..at + width], left, right);
                    } else {
                        left.fill(0.0);
                        right.fill(0.0);
                    }
                }
            }
            let source = Place { plane: pitch, row: 0, column: 1, first: 0, ring: usize::MAX, rim: 0 };
            self.pointwise.run(y..y + 1, (scratch, source), plus, (&mut *output, to), &mut []);
        }
    }
}

/// The even columns of a row to `left`, the odd ones to `right`, with a zero where the last one has no neighbour.
fn part(row: &[f32], left: &mut [f32], right: &mut [f32]) {
    let pairs = row.chunks_exact(CELL);
    let whole = pairs.len();
    if let [last] = pairs.remainder() {
        (left[whole], right[whole]) = (*last, 0.0);
    }
    for ((pair, left), right) in pairs.zip(left).zip(right) {
        (*left, *right) = (pair[0], pair[1]);
    }
}

/// Write the rows `rows` of `columns` samples each, from four planes of cells: those of the upper left, the upper right,
/// the lower left and the lower right sample of each.
///
/// # Panics
/// If rows that are read or written are not there.
pub fn spread_cells(
    rows: Range<usize>,
    columns: usize,
    (values, from): (&[f32], Place),
    (output, to): (&mut [f32], Place),
) {
    let cells = columns.div_ceil(CELL);
    for y in rows {
        let plane = |dx: usize| {
            let at = from.at(y % CELL * CELL + dx, (y / CELL).cast_signed(), 0);
            &values[at..at + cells]
        };
        let (left, right) = (plane(0), plane(1));
        let at = to.at(0, y.cast_signed(), 0);
        let mut pairs = output[at..at + columns].chunks_exact_mut(CELL);
        for ((pair, left), right) in pairs.by_ref().zip(left).zip(right) {
            (pair[0], pair[1]) = (*left, *right);
        }
        if let [last] = pairs.into_remainder() {
            *last = left[cells - 1];
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn values(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7 + seed % 1000) as f32 * 0.37).sin()).collect()
    }

    /// Planes of whole maps in a ring of `ring` rows, of which `kept` are written.
    fn ring(values: &[f32], [rows, columns]: [usize; 2], ring: usize, kept: Range<usize>) -> (Vec<f32>, Place) {
        let planes = values.len() / (rows * columns).max(1);
        let place = Place { plane: ring * columns, row: columns, column: 1, first: 0, ring, rim: 0 };
        let mut held = vec![f32::NAN; planes * place.plane];
        for plane in 0..planes {
            for y in kept.clone() {
                let at = place.at(plane, y.cast_signed(), 0);
                held[at..at + columns].copy_from_slice(&values[(plane * rows + y) * columns..][..columns]);
            }
        }
        (held, place)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn cells_agree_with_the_twin(
            size in [1usize..12, 1usize..90],
            channels in [1usize..6, 1usize..12],
            block in 1usize..5,
            (relu, added) in any::<(bool, bool)>(),
            seed in 0usize..1000,
        ) {
            let ([h, w], [inputs, outputs]) = (size, channels);
            let (rows, columns) = (h.div_ceil(2), w.div_ceil(2));
            let input = values(inputs * h * w, seed);
            let weights = values(outputs * inputs * 4, seed + 1);
            let (bias, plus) = (values(outputs, seed + 2), values(outputs * rows * columns, seed + 3));
            let activation = if relu { Activation::Relu } else { Activation::None };
            let convolution = CellConvolution::new(size, channels, &weights, &bias, activation);
            let mut scratch = vec![f32::NAN; convolution.scratch_len()];
            let out = Place::whole(rows, columns);
            let mut output = vec![f32::NAN; outputs * rows * columns];
            for y in (0..rows).step_by(block) {
                let some = y..(y + block).min(rows);
                // Nothing but the rows that it says it reads.
                let (held, place) = ring(&input, size, 2 * block, convolution.reads(some.clone()));
                let plus = added.then_some((plus.as_slice(), out));
                convolution.run(some, (&held, place), plus, (&mut output, out), &mut scratch);
            }
            for (i, got) in output.iter().enumerate() {
                let (o, y, x) = (i / (rows * columns), i / columns % rows, i % columns);
                let mut sum = f64::from(bias[o]);
                for tap in 0..inputs * 4 {
                    let (c, v, u) = (tap / 4, 2 * y + tap / 2 % 2, 2 * x + tap % 2);
                    if v < h && u < w {
                        sum += f64::from(weights[o * inputs * 4 + tap]) * f64::from(input[(c * h + v) * w + u]);
                    }
                }
                let sum = if relu { sum.max(0.0) } else { sum } + if added { f64::from(plus[i]) } else { 0.0 };
                prop_assert!((f64::from(*got) - sum).abs() < 1e-5, "{} for {} at {}, {}, {}", got, sum, o, y, x);
            }
        }

        #[test]
        fn samples_come_back_from_cells(h in 1usize..12, w in 1usize..40, block in 1usize..5, seed in 0usize..1000) {
            let (rows, columns) = (h.div_ceil(2), w.div_ceil(2));
            let cells = values(4 * rows * columns, seed);
            let mut output = vec![f32::NAN; h * w];
            for y in (0..h).step_by(block) {
                let end = (y + block).min(h);
                let (held, place) = ring(&cells, [rows, columns], block + 1, y / 2..end.div_ceil(2));
                spread_cells(y..end, w, (&held, place), (&mut output, Place::whole(h, w)));
            }
            for (i, got) in output.iter().enumerate() {
                let (y, x) = (i / w, i % w);
                prop_assert_eq!(*got, cells[((y % 2 * 2 + x % 2) * rows + y / 2) * columns + x / 2]);
            }
        }
    }
}
