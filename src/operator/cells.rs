//! Convolutions from samples to cells of samples, at a half, a quarter or an eighth of the resolution, and the way back
//! from cells to samples.

use core::array::from_fn;
use core::ops::Range;

use super::convolution::{Activation, Convolution, ConvolutionShape, WIDEST};
use super::place::Place;

/// Samples along the side of a cell that there are.
pub const CELL_SIDES: [usize; 3] = [2, 4, 8];

/// Rows and columns of samples in a cell: as many as each other, or, of a series, one row.
pub type Cell = [usize; 2];

/// Rows and columns of cells that a map of `size` (y, x) is covered by.
#[must_use]
pub fn covered(size: [usize; 2], cell: Cell) -> [usize; 2] {
    from_fn(|d| size[d].div_ceil(cell[d]))
}

/// A convolution that takes each cell of samples to one value of every output channel.
///
/// A cell that reaches beyond the last row or column has zeros there. The samples of a row of cells are laid side by
/// side, as planes of their own, and go through a pointwise [`Convolution`]: sums are in the order of input channel,
/// kernel row and kernel column, wherever a cell lies.
#[derive(Clone, Debug, PartialEq)]
pub struct CellConvolution {
    /// Rows and columns of samples.
    size: [usize; 2],
    cell: Cell,
    pointwise: Convolution,
}

impl CellConvolution {
    /// For maps of `size` (y, x) samples and `channels` read and made; `weights` with axes (output channel, input
    /// channel, row of the cell, column of the cell), `bias` one for each output channel.
    ///
    /// # Panics
    /// If the lengths do not fit the channels, or the cell's columns are none of [`CELL_SIDES`].
    #[must_use]
    pub fn new(
        size: [usize; 2],
        cell: Cell,
        channels: [usize; 2],
        weights: &[f32],
        bias: &[f32],
        activation: Activation,
    ) -> Self {
        assert!(CELL_SIDES.contains(&cell[1]), "cell {cell:?}: expected columns of {CELL_SIDES:?}");
        let shape = ConvolutionShape {
            width: covered(size, cell)[1],
            channels: [cell[0] * cell[1] * channels[0], channels[1]],
            kernel: [1, 1],
            dilation: [1, 1],
        };
        Self { size, cell, pointwise: Convolution::new(shape, weights, bias, activation) }
    }

    /// The rows of samples that the rows `rows` of cells are made of.
    #[must_use]
    pub fn reads(&self, rows: Range<usize>) -> Range<usize> {
        self.cell[0] * rows.start..(self.cell[0] * rows.end).min(self.size[0])
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
        let (pitch, [height, width], [high, wide]) = (self.pitch(), self.size, self.cell);
        let scratch = &mut scratch[..self.scratch_len()];
        for y in rows {
            for (channel, planes) in scratch.chunks_exact_mut(high * wide * pitch).enumerate() {
                for (dy, planes) in planes.chunks_exact_mut(wide * pitch).enumerate() {
                    let row = high * y + dy;
                    if row < height {
                        let at = from.at(channel, row.cast_signed(), 0);
                        let part = match wide {
                            2 => part::<2>,
                            4 => part::<4>,
                            _ => part::<8>,
                        };
                        part(&values[at..at + width], planes, pitch);
                    } else {
                        planes.fill(0.0);
                    }
                }
            }
            let source = Place { plane: pitch, row: 0, column: 1, first: 0, ring: usize::MAX, rim: 0 };
            self.pointwise.run(y..y + 1, (scratch, source), plus, (&mut *output, to), &mut []);
        }
    }
}

/// Each of `C` columns of a row to a plane of its own, with a zero where the last cell has no sample.
fn part<const C: usize>(row: &[f32], planes: &mut [f32], pitch: usize) {
    let (whole, rest) = row.as_chunks::<C>();
    for (column, plane) in planes.chunks_exact_mut(pitch).enumerate() {
        for (value, samples) in plane.iter_mut().zip(whole) {
            *value = samples[column];
        }
        if !rest.is_empty() {
            plane[whole.len()] = rest.get(column).copied().unwrap_or(0.0);
        }
    }
}

/// Write the rows `rows` of `columns` samples each, from one plane of cells for each sample of a cell, row by row.
///
/// # Panics
/// If rows that are read or written are not there, or the cell's columns are none of [`CELL_SIDES`].
pub fn spread_cells(
    rows: Range<usize>,
    columns: usize,
    cell: Cell,
    values: (&[f32], Place),
    output: (&mut [f32], Place),
) {
    match cell[1] {
        2 => spread::<2>(rows, columns, cell[0], values, output),
        4 => spread::<4>(rows, columns, cell[0], values, output),
        8 => spread::<8>(rows, columns, cell[0], values, output),
        other => panic!("cell of {other} columns: expected one of {CELL_SIDES:?}"),
    }
}

fn spread<const C: usize>(
    rows: Range<usize>,
    columns: usize,
    high: usize,
    (values, from): (&[f32], Place),
    (output, to): (&mut [f32], Place),
) {
    for y in rows {
        let at = to.at(0, y.cast_signed(), 0);
        let (whole, rest) = output[at..at + columns].as_chunks_mut::<C>();
        let cells = columns.div_ceil(C);
        let planes: [&[f32]; C] = from_fn(|dx| {
            let at = from.at(y % high * C + dx, (y / high).cast_signed(), 0);
            &values[at..at + cells]
        });
        let inner = planes.map(|plane| &plane[..whole.len()]);
        for (i, samples) in whole.iter_mut().enumerate() {
            *samples = from_fn(|dx| inner[dx][i]);
        }
        for (sample, plane) in rest.iter_mut().zip(planes) {
            *sample = plane[cells - 1];
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

    /// Of images and of series.
    fn cell() -> impl Strategy<Value = Cell> {
        (prop::sample::select(CELL_SIDES.to_vec()), any::<bool>())
            .prop_map(|(c, series)| [if series { 1 } else { c }, c])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn cells_agree_with_the_twin(
            size in [1usize..20, 1usize..90],
            cell in cell(),
            channels in [1usize..6, 1usize..12],
            block in 1usize..5,
            (relu, added) in any::<(bool, bool)>(),
            seed in 0usize..1000,
        ) {
            let ([h, w], [inputs, outputs]) = (size, channels);
            let ([rows, columns], [high, wide]) = (covered(size, cell), cell);
            let samples = high * wide;
            let input = values(inputs * h * w, seed);
            let weights = values(outputs * inputs * samples, seed + 1);
            let (bias, plus) = (values(outputs, seed + 2), values(outputs * rows * columns, seed + 3));
            let activation = if relu { Activation::Relu } else { Activation::None };
            let convolution = CellConvolution::new(size, cell, channels, &weights, &bias, activation);
            let mut scratch = vec![f32::NAN; convolution.scratch_len()];
            let out = Place::whole(rows, columns);
            let mut output = vec![f32::NAN; outputs * rows * columns];
            for y in (0..rows).step_by(block) {
                let some = y..(y + block).min(rows);
                // Nothing but the rows that it says it reads.
                let (held, place) = ring(&input, size, high * block, convolution.reads(some.clone()));
                let plus = added.then_some((plus.as_slice(), out));
                convolution.run(some, (&held, place), plus, (&mut output, out), &mut scratch);
            }
            for (i, got) in output.iter().enumerate() {
                let (o, y, x) = (i / (rows * columns), i / columns % rows, i % columns);
                let mut sum = f64::from(bias[o]);
                let mut size = 1.0;
                for tap in 0..inputs * samples {
                    let (c, v, u) = (tap / samples, high * y + tap / wide % high, wide * x + tap % wide);
                    if v < h && u < w {
                        let product =
                            f64::from(weights[o * inputs * samples + tap]) * f64::from(input[(c * h + v) * w + u]);
                        sum += product;
                        size += product.abs();
                    }
                }
                let sum = if relu { sum.max(0.0) } else { sum } + if added { f64::from(plus[i]) } else { 0.0 };
                let error = (f64::from(*got) - sum).abs();
                prop_assert!(error < 1e-6 * size, "{} for {} at {}, {}, {}", got, sum, o, y, x);
            }
        }

        #[test]
        fn samples_come_back_from_cells(
            [h, w] in [1usize..20, 1usize..40],
            cell in cell(),
            block in 1usize..5,
            seed in 0usize..1000,
        ) {
            let ([rows, columns], [high, wide]) = (covered([h, w], cell), cell);
            let cells = values(high * wide * rows * columns, seed);
            let mut output = vec![f32::NAN; h * w];
            for y in (0..h).step_by(block) {
                let end = (y + block).min(h);
                let (held, place) = ring(&cells, [rows, columns], block + 1, y / high..end.div_ceil(high));
                spread_cells(y..end, w, cell, (&held, place), (&mut output, Place::whole(h, w)));
            }
            for (i, got) in output.iter().enumerate() {
                let (y, x) = (i / w, i % w);
                prop_assert_eq!(*got, cells[((y % high * wide + x % wide) * rows + y / high) * columns + x / wide]);
            }
        }
    }
}
