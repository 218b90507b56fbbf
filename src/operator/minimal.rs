//! Kernels of three rows with fewer products: minimal filtering along y.
//!
//! Several output rows are made together from sums and differences of the rows that they read: four rows take six
//! products a tap and column instead of twelve, two take four instead of six (S. Winograd, Arithmetic Complexity of
//! Computations, 1980; A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks, 2016, there along both
//! axes). Along x nothing changes, so that vectors stay whole.

use alloc::vec::Vec;
use core::mem::MaybeUninit;

use super::convolution::{Blocks, ConvolutionShape, Job, Packed, Spot, Taps, WIDEST};
use super::pass::Level;
use super::simd::Vector;

/// Columns that go through together: what is made of their rows stays in the second-level cache.
const STRIP: usize = 96;
/// Channels from which on products saved are more than the sums that they cost.
const FEWEST_CHANNELS: usize = 8;
/// Rows of a group and between them at most, of which every group is a part. With 32, the largest dilation of the shipped
/// trunks had groups of four rows as well, which was hardly faster, and tiles would overlap by more.
const MOST_ROWS: usize = 16;
/// Rows read by a group of output rows at most.
const MOST_SOURCES: usize = 6;
/// Output rows of a group at most.
const MOST_OUTPUTS: usize = 4;

/// A convolution with a kernel of three rows, by groups of output rows that lie one dilation apart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Minimal {
    shape: ConvolutionShape,
    /// For each of the sums and differences of rows: its weights by input channel and kernel column.
    packed: Vec<Packed>,
}

/// How rows become sums and differences, and products of these output rows.
trait Scheme {
    /// Output rows of a group.
    const OUTPUTS: usize;
    /// What becomes of a kernel's column of three weights.
    const WEIGHTS: &'static [[f64; 3]];

    /// # Safety
    /// The processor has the instructions.
    unsafe fn sources<V: Vector>(rows: [V; MOST_SOURCES]) -> [V; MOST_SOURCES];
    /// # Safety
    /// The processor has the instructions.
    unsafe fn outputs<V: Vector>(products: [V; MOST_SOURCES]) -> [V; MOST_OUTPUTS];
}

/// Two rows from four products.
struct Two;

impl Scheme for Two {
    const OUTPUTS: usize = 2;
    const WEIGHTS: &'static [[f64; 3]] = &[[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

    #[inline(always)]
    unsafe fn sources<V: Vector>([a, b, c, d, ..]: [V; MOST_SOURCES]) -> [V; MOST_SOURCES] {
        // SAFETY: the caller's.
        unsafe { [minus(a, c), b.plus(c), minus(c, b), minus(b, d), V::zero(), V::zero()] }
    }

    #[inline(always)]
    unsafe fn outputs<V: Vector>([a, b, c, d, ..]: [V; MOST_SOURCES]) -> [V; MOST_OUTPUTS] {
        // SAFETY: the caller's.
        unsafe { [a.plus(b).plus(c), minus(minus(b, c), d), V::zero(), V::zero()] }
    }
}

/// Four rows from six products: polynomials through 0, 1, -1, 2, -2 and at infinity.
struct Four;

impl Scheme for Four {
    const OUTPUTS: usize = 4;
    const WEIGHTS: &'static [[f64; 3]] = &[
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    unsafe fn sources<V: Vector>([a, b, c, d, e, f]: [V; MOST_SOURCES]) -> [V; MOST_SOURCES] {
        // SAFETY: the caller's.
        unsafe {
            let (four, two, five, less) = (V::splat(4.0), V::splat(2.0), V::splat(-5.0), V::splat(-4.0));
            let (even, odd) = (e.add_product(less, c), d.add_product(less, b));
            let (near, far) = (minus(e, c), minus(d, b));
            let far = V::zero().add_product(two, far);
            [
                e.add_product(five, c).add_product(four, a),
                even.plus(odd),
                minus(even, odd),
                near.plus(far),
                minus(near, far),
                f.add_product(five, d).add_product(four, b),
            ]
        }
    }

    #[inline(always)]
    unsafe fn outputs<V: Vector>([a, b, c, d, e, f]: [V; MOST_SOURCES]) -> [V; MOST_OUTPUTS] {
        // SAFETY: the caller's.
        unsafe {
            let (near, unlike) = (b.plus(c), minus(b, c));
            let (far, apart) = (d.plus(e), minus(d, e));
            [
                a.plus(near).plus(far),
                unlike.add_product(V::splat(2.0), apart),
                near.add_product(V::splat(4.0), far),
                unlike.add_product(V::splat(8.0), apart).plus(f),
            ]
        }
    }
}

/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn minus<V: Vector>(a: V, b: V) -> V {
    // SAFETY: the caller's.
    unsafe { a.add_product(V::splat(-1.0), b) }
}

impl Minimal {
    /// `None` where it would not be faster. `weights` as those of a convolution.
    pub(super) fn new(shape: &ConvolutionShape, weights: &[f32], level: Level) -> Option<Self> {
        if Self::rows(shape) == 1 {
            return None;
        }
        let ([inputs, outputs], [high, wide]) = (shape.channels, shape.kernel);
        let scheme = if Self::is_four(shape) { Four::WEIGHTS } else { Two::WEIGHTS };
        let packed = scheme.iter().map(|factors| {
            Packed::new(outputs, inputs * wide, level, |o, tap| {
                let (input, column) = (tap / wide, tap % wide);
                let column = |row: usize| f64::from(weights[((o * inputs + input) * high + row) * wide + column]);
                #[expect(clippy::cast_possible_truncation, reason = "weights are applied in f32")]
                let weight = factors.iter().enumerate().map(|(row, f)| f * column(row)).sum::<f64>() as f32;
                weight
            })
        });
        Some(Self { shape: *shape, packed: packed.collect() })
    }

    /// Rows of a group and what lies between them; 1 where there are none.
    pub(super) fn rows(shape: &ConvolutionShape) -> usize {
        // Never by the width: a tile has to compute what the whole frame does.
        let worth_it = shape.kernel[0] == 3 && shape.channels.iter().all(|c| *c >= FEWEST_CHANNELS);
        let sizes = [Four::OUTPUTS, Two::OUTPUTS].map(|outputs| outputs * shape.dilation[0]);
        sizes.into_iter().find(|rows| worth_it && MOST_ROWS.is_multiple_of(*rows)).unwrap_or(1)
    }

    /// Whether four rows make a group, and not two.
    fn is_four(shape: &ConvolutionShape) -> bool {
        Self::rows(shape) == Four::OUTPUTS * shape.dilation[0]
    }

    /// Distance of planes in scratch space.
    fn pitch(&self) -> usize {
        let columns = STRIP + 2 * self.shape.reach()[1];
        columns.next_multiple_of(WIDEST) + WIDEST
    }

    pub(super) fn scratch_len(&self) -> usize {
        // With a row of zeros behind.
        (self.packed.len() * self.shape.channels[0] + 1) * self.pitch() + WIDEST
    }

    /// # Safety
    /// What [`Convolution::run`](super::Convolution::run) checks, and a processor that has the instructions.
    #[inline(always)]
    pub(super) unsafe fn compute<V: Vector>(&self, job: &Job<'_>, scratch: &mut [f32]) {
        // SAFETY: the caller's.
        unsafe {
            if Self::is_four(&self.shape) {
                self.groups::<V, Four>(job, scratch);
            } else {
                self.groups::<V, Two>(job, scratch);
            }
        }
    }

    /// # Safety
    /// As [`compute`](Self::compute).
    #[inline(always)]
    unsafe fn groups<V: Vector, S: Scheme>(&self, job: &Job<'_>, scratch: &mut [f32]) {
        let (width, apart) = (self.shape.width, self.shape.dilation[0]);
        for first in job.rows.clone().step_by(Self::rows(&self.shape)) {
            for y in first..(first + apart).min(job.rows.end) {
                for x in (0..width).step_by(STRIP) {
                    let columns = x..(x + STRIP).min(width);
                    // SAFETY: the caller's.
                    unsafe {
                        self.prepare::<V, S>(job, y, columns.start, columns.len(), scratch);
                        let strip: Strip<'_, S> = Strip {
                            minimal: self,
                            job,
                            y,
                            columns: [columns.start, columns.end],
                            sources: scratch.as_ptr(),
                            scheme: core::marker::PhantomData,
                        };
                        // Blocks are the same for each of the sums.
                        self.packed[0].each::<V>(&strip);
                    }
                }
            }
        }
    }

    /// Sums and differences of the rows that the group from row `y` on reads, `columns` columns from `x` on and what the
    /// kernel reaches around them: planes by sum, input channel.
    ///
    /// # Safety
    /// As [`compute`](Self::compute).
    #[inline(always)]
    unsafe fn prepare<V: Vector, S: Scheme>(
        &self,
        job: &Job<'_>,
        y: usize,
        x: usize,
        columns: usize,
        scratch: &mut [f32],
    ) {
        let (inputs, apart, wide) = (self.shape.channels[0], self.shape.dilation[0], self.shape.reach()[1]);
        let (pitch, sources) = (self.pitch(), S::WEIGHTS.len());
        let (values, place) = job.source;
        let (made, zeros) = scratch.split_at_mut(sources * inputs * pitch);
        zeros.fill(0.0);
        // Where each row starts, and the distance of its planes. Behind the rows that the last one asked for reads there
        // may be anything.
        let end = job.rows.end + 2 * apart;
        let mut rows = [(zeros.as_ptr(), 0); MOST_SOURCES];
        for (k, row) in rows.iter_mut().enumerate().take(sources) {
            let y = y + k * apart;
            if y < end {
                let at = place.at(0, y.cast_signed() - apart.cast_signed(), x) - wide;
                *row = (values[at..].as_ptr(), place.plane);
            }
        }
        for input in 0..inputs {
            for v in (0..columns + 2 * wide).step_by(V::LANES) {
                // SAFETY: the rows are there with a vector's values behind the last, and so is the scratch space.
                unsafe {
                    let mut read = [V::zero(); MOST_SOURCES];
                    for (k, value) in read.iter_mut().enumerate() {
                        if k < sources {
                            *value = V::load(rows[k].0.add(input * rows[k].1 + v));
                        }
                    }
                    for (k, sum) in S::sources(read).iter().enumerate() {
                        if k < sources {
                            sum.store(made.as_mut_ptr().add((k * inputs + input) * pitch + v));
                        }
                    }
                }
            }
        }
    }
}

/// A group of rows of a strip of columns, whose sources are prepared.
struct Strip<'a, S> {
    minimal: &'a Minimal,
    job: &'a Job<'a>,
    y: usize,
    columns: [usize; 2],
    sources: *const f32,
    scheme: core::marker::PhantomData<S>,
}

impl<S: Scheme> Blocks for Strip<'_, S> {
    /// # Safety
    /// As [`Minimal::compute`]; the block has `R` channels.
    #[inline(always)]
    unsafe fn block<V: Vector, const R: usize, const N: usize>(&self, first: usize) {
        let [mut x, end] = self.columns;
        let mut spots = [None; MOST_OUTPUTS];
        for (j, spot) in spots.iter_mut().enumerate().take(S::OUTPUTS) {
            let y = self.y + j * self.minimal.shape.dilation[0];
            *spot = (y < self.job.rows.end).then(|| self.job.finish.spot(first, y));
        }
        // SAFETY: the caller's.
        unsafe {
            while x + N * V::LANES <= end {
                self.vectors::<V, R, N>(x, first, &spots);
                x += N * V::LANES;
            }
            while x < end {
                self.vectors::<V, R, 1>(x, first, &spots);
                x += V::LANES;
            }
        }
    }
}

impl<S: Scheme> Strip<'_, S> {
    /// # Safety
    /// As [`block`](Blocks::block).
    #[inline(always)]
    unsafe fn vectors<V: Vector, const R: usize, const N: usize>(
        &self,
        x: usize,
        first: usize,
        spots: &[Option<Spot>; MOST_OUTPUTS],
    ) {
        let Minimal { shape, packed } = self.minimal;
        let (inputs, pitch) = (shape.channels[0], self.minimal.pitch());
        // Kilobytes, which took 4 % of a trunk's time to clear.
        let mut products = [const { MaybeUninit::<[[V; N]; R]>::uninit() }; MOST_SOURCES];
        for (k, (made, packed)) in products.iter_mut().zip(packed).enumerate() {
            let taps = Taps {
                // The channels before have as many taps each.
                weights: packed.weights[first * inputs * shape.kernel[1]..].as_ptr(),
                source: self.sources.wrapping_add(k * inputs * pitch),
                planes: inputs,
                plane: pitch,
                rows: &[x - self.columns[0]],
                columns: shape.kernel[1],
                step: shape.dilation[1],
            };
            let mut sums = [[V::zero(); N]; R];
            // SAFETY: sources and weights are those of this block; the rest is the caller's.
            unsafe { taps.add::<V, R, N>(&mut sums) };
            made.write(sums);
        }
        for r in 0..R {
            let mut rows = [[V::zero(); N]; MOST_OUTPUTS];
            // SAFETY: the caller's.
            unsafe {
                let bias = V::splat(self.job.finish.bias[first + r]);
                for n in 0..N {
                    let mut one = [V::zero(); MOST_SOURCES];
                    for (one, products) in one.iter_mut().zip(&products[..packed.len()]) {
                        // Written above, as many as there are packed weights.
                        *one = products.assume_init_ref()[r][n];
                    }
                    for (row, value) in rows.iter_mut().zip(S::outputs(one)) {
                        row[n] = value.plus(bias);
                    }
                }
                for (row, spot) in rows.iter().zip(spots) {
                    if let Some(spot) = spot {
                        self.job.finish.row::<V, N>(*row, *spot, r, x);
                    }
                }
            }
        }
    }
}
