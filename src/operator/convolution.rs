//! Small dense convolutions, as learned trunks have them: few channels, stride 1, zeros around the frame.

use alloc::vec::Vec;
use core::ops::Range;

use super::minimal::Minimal;
use super::pass::Level;
use super::place::Place;
use super::simd::{Portable, Vector};

/// The widest vector of any level: values that must lie behind the last row of a source, of any content.
pub const WIDEST: usize = 16;

/// A convolution of one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionShape {
    /// Columns of every map.
    pub width: usize,
    /// Channels read and made.
    pub channels: [usize; 2],
    /// Odd rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Distance of neighbouring taps along each axis.
    pub dilation: [usize; 2],
}

impl ConvolutionShape {
    /// Rows and columns around an output that it depends on.
    #[must_use]
    pub fn reach(&self) -> [usize; 2] {
        [0, 1].map(|a| self.kernel[a] / 2 * self.dilation[a])
    }

    /// Rows that are computed together, whatever the width: calls begin at a multiple of it.
    #[must_use]
    pub fn group(&self) -> usize {
        Minimal::rows(self)
    }
}

/// What becomes of a sum before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// max(sum, 0).
    Relu,
}

/// A convolution bound to one width, with its weights.
///
/// Every output is the sum of bias, then products in the order of input channel, kernel row and kernel column, by the
/// same instruction wherever it lies: a tile computes the same bits as the whole frame. Kernels of three rows between
/// many channels are computed with fewer products, by [groups](ConvolutionShape::group) of rows; there a tile computes the
/// same bits where it begins with a group and all that the row's group reads is the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Convolution {
    shape: ConvolutionShape,
    way: Way,
    bias: Vec<f32>,
    activation: Activation,
    level: Level,
}

/// How the products are taken.
#[derive(Clone, Debug, PartialEq)]
enum Way {
    /// One by one: by input channel, kernel row and kernel column.
    Direct(Packed),
    Minimal(Minimal),
}

/// Weights in blocks of output channels that are computed together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Packed {
    /// By block: by tap, channel of the block.
    pub(super) weights: Vec<f32>,
    /// Output channels of each block.
    pub(super) blocks: Vec<usize>,
}

impl Packed {
    /// `weight` gives that of an output channel and a tap.
    pub(super) fn new(outputs: usize, taps: usize, level: Level, weight: impl Fn(usize, usize) -> f32) -> Self {
        // Blocks of nearly equal size: two of seven keep the processor busier than eight, four and two.
        let count = outputs.div_ceil(level.rows().min(MOST_CHANNELS)).max(1);
        let blocks: Vec<usize> = (0..count).map(|b| (b + 1) * outputs / count - b * outputs / count).collect();
        let mut weights = Vec::with_capacity(outputs * taps);
        let mut first = 0;
        for &block in &blocks {
            for tap in 0..taps {
                weights.extend((first..first + block).map(|o| weight(o, tap)));
            }
            first += block;
        }
        Self { weights, blocks }
    }

    /// Let `run` compute every block, with as many channels and vectors at a time as the registers hold.
    ///
    /// # Safety
    /// The caller's of [`Blocks::block`].
    #[inline(always)]
    pub(super) unsafe fn each<V: Vector>(&self, run: &impl Blocks) {
        let mut first = 0;
        for &count in &self.blocks {
            // SAFETY: the caller's.
            unsafe {
                match count {
                    8 => run.block::<V, 8, 3>(first),
                    7 => run.block::<V, 7, 3>(first),
                    6 => run.block::<V, 6, 3>(first),
                    5 => run.block::<V, 5, 3>(first),
                    4 => run.block::<V, 4, 2>(first),
                    3 => run.block::<V, 3, 3>(first),
                    2 => run.block::<V, 2, 4>(first),
                    _ => run.block::<V, 1, 6>(first),
                }
            }
            first += count;
        }
    }
}

/// What is computed for a block of output channels at a time.
pub(super) trait Blocks {
    /// `R` channels from `first` on, `N` vectors at a time.
    ///
    /// # Safety
    /// The implementor's.
    unsafe fn block<V: Vector, const R: usize, const N: usize>(&self, first: usize);
}

impl Convolution {
    /// Rows of a kernel at most.
    pub const MOST_ROWS: usize = 15;

    /// `weights` with axes (output channel, input channel, kernel row, kernel column), `bias` one for each output
    /// channel.
    ///
    /// # Panics
    /// If the lengths do not fit the shape, or a kernel is even or higher than [`MOST_ROWS`](Self::MOST_ROWS).
    #[must_use]
    pub fn new(shape: ConvolutionShape, weights: &[f32], bias: &[f32], activation: Activation) -> Self {
        Self::with_level(shape, weights, bias, activation, Level::best())
    }

    pub(super) fn with_level(
        shape: ConvolutionShape,
        weights: &[f32],
        bias: &[f32],
        activation: Activation,
        level: Level,
    ) -> Self {
        let [inputs, outputs] = shape.channels;
        let taps = inputs * shape.kernel[0] * shape.kernel[1];
        assert!(weights.len() == outputs * taps && bias.len() == outputs, "weights and bias of the shape");
        assert!(shape.kernel.iter().all(|k| k % 2 == 1) && shape.kernel[0] <= Self::MOST_ROWS, "odd kernels");
        let way = match Minimal::new(&shape, weights, level) {
            Some(minimal) => Way::Minimal(minimal),
            None => Way::Direct(Packed::new(outputs, taps, level, |o, tap| weights[o * taps + tap])),
        };
        Self { shape, way, bias: bias.to_vec(), activation, level }
    }

    /// The shape it is bound to.
    #[must_use]
    pub fn shape(&self) -> &ConvolutionShape {
        &self.shape
    }

    /// Values of scratch space that [`run`](Self::run) needs.
    #[must_use]
    pub fn scratch_len(&self) -> usize {
        match &self.way {
            Way::Direct(_) => 0,
            Way::Minimal(minimal) => minimal.scratch_len(),
        }
    }

    /// Compute the rows `rows` of every output channel, which begin at a multiple of [group](ConvolutionShape::group) and end at
    /// one or with the frame.
    ///
    /// Around the rows and columns of `source` stand as many zeros as the convolution [reaches](ConvolutionShape::reach),
    /// and behind all of them [`WIDEST`] values. Where `plus` is given, axes (output channel, y, x), it is added to
    /// the activated sum. `scratch` holds [`scratch_len`](Self::scratch_len) values of no meaning.
    ///
    /// # Panics
    /// If rows that are read or written are not there, or do not begin with a group.
    pub fn run(
        &self,
        rows: Range<usize>,
        source: (&[f32], Place),
        plus: Option<(&[f32], Place)>,
        output: (&mut [f32], Place),
        scratch: &mut [f32],
    ) {
        let ConvolutionShape { width, channels: [inputs, outputs], .. } = self.shape;
        if rows.is_empty() || width == 0 || outputs == 0 {
            return;
        }
        assert!(rows.start.is_multiple_of(self.shape.group()), "rows that begin with a group");
        let scratch = &mut scratch[..self.scratch_len()];
        let [high, wide] = self.shape.reach();
        let (from, to, high) = (rows.start.cast_signed(), rows.end.cast_signed(), high.cast_signed());
        // The last plane's highest place of these rows, which are not in order where the memory is a ring.
        let end = |place: &Place, planes: usize, rows: Range<isize>| {
            let last = rows.map(|y| place.at(planes.saturating_sub(1), y, 0)).max();
            last.unwrap_or(0) + width
        };
        assert!(source.1.rim >= wide && source.1.column == 1 && output.1.column == 1, "columns of zeros");
        assert!(source.1.first <= from - high && output.1.first <= from, "rows before the first");
        let reach = end(&source.1, inputs, from - high..to + high) + wide;
        assert!(source.0.len() >= reach + WIDEST, "rows of the source");
        assert!(output.0.len() >= end(&output.1, outputs, from..to), "rows of the output");
        if let Some((values, place)) = &plus {
            assert!(place.first <= from && place.column == 1, "rows of what is added");
            assert!(values.len() >= end(place, outputs, from..to), "rows of what is added");
        }
        let (to, place) = output;
        let finish = Finish { width, bias: &self.bias, activation: self.activation, plus, to: to.as_mut_ptr(), place };
        let job = Job { rows, source, finish };
        match self.level {
            // SAFETY: the lengths were just checked; no particular instructions are used.
            Level::Portable => unsafe { self.compute::<Portable>(&job, scratch) },
            // SAFETY: the lengths were just checked; a level is only made where the processor has it.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { self.compute_avx2(&job, scratch) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { self.compute_avx512(&job, scratch) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Level::Neon => unsafe { self.compute::<super::simd::arm::Neon>(&job, scratch) },
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn compute_avx2(&self, job: &Job<'_>, scratch: &mut [f32]) {
        // SAFETY: the caller's.
        unsafe { self.compute::<super::simd::x86::Avx2>(job, scratch) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    unsafe fn compute_avx512(&self, job: &Job<'_>, scratch: &mut [f32]) {
        // SAFETY: the caller's.
        unsafe { self.compute::<super::simd::x86::Avx512>(job, scratch) }
    }

    /// # Safety
    /// The lengths that [`run`](Self::run) checks, and a processor that has the instructions.
    #[inline(always)]
    unsafe fn compute<V: Vector>(&self, job: &Job<'_>, scratch: &mut [f32]) {
        // SAFETY: the caller's.
        unsafe {
            match &self.way {
                Way::Minimal(minimal) => minimal.compute::<V>(job, scratch),
                Way::Direct(packed) => {
                    for y in job.rows.clone() {
                        packed.each::<V>(&Row { shape: &self.shape, weights: &packed.weights, job, y });
                    }
                }
            }
        }
    }
}

/// Output channels that are computed together at most.
const MOST_CHANNELS: usize = 8;

/// What a call reads, for which rows, and what becomes of the sums.
pub(super) struct Job<'a> {
    pub(super) rows: Range<usize>,
    pub(super) source: (&'a [f32], Place),
    pub(super) finish: Finish<'a>,
}

/// What becomes of sums, and where they go.
pub(super) struct Finish<'a> {
    width: usize,
    pub(super) bias: &'a [f32],
    activation: Activation,
    plus: Option<(&'a [f32], Place)>,
    to: *mut f32,
    place: Place,
}

/// One row of a convolution, as it is defined.
struct Row<'a> {
    shape: &'a ConvolutionShape,
    /// Of all blocks.
    weights: &'a [f32],
    job: &'a Job<'a>,
    y: usize,
}

impl Blocks for Row<'_> {
    /// # Safety
    /// As [`Convolution::compute`]; the block has `R` channels.
    #[inline(always)]
    unsafe fn block<V: Vector, const R: usize, const N: usize>(&self, first: usize) {
        let width = self.shape.width;
        let spot = self.job.finish.spot(first, self.y);
        let mut x = 0;
        // SAFETY: whole vectors lie within the width, and what they read within the zeros around the source.
        unsafe {
            while x + N * V::LANES <= width {
                self.vectors::<V, R, N>(x, first, spot);
                x += N * V::LANES;
            }
            while x + 2 * V::LANES <= width {
                self.vectors::<V, R, 2>(x, first, spot);
                x += 2 * V::LANES;
            }
            while x < width {
                self.vectors::<V, R, 1>(x, first, spot);
                x += V::LANES;
            }
        }
    }
}

impl Row<'_> {
    /// `N` vectors of every channel from column `x` on.
    ///
    /// # Safety
    /// As [`block`](Blocks::block).
    #[inline(always)]
    unsafe fn vectors<V: Vector, const R: usize, const N: usize>(&self, x: usize, first: usize, spot: Spot) {
        let [high, wide] = self.shape.reach();
        let (source, place) = self.job.source;
        let top = self.y.cast_signed() - high.cast_signed();
        let mut rows = [0; Convolution::MOST_ROWS];
        for (ky, row) in rows.iter_mut().enumerate().take(self.shape.kernel[0]) {
            *row = place.at(0, top + (ky * self.shape.dilation[0]).cast_signed(), x) - wide;
        }
        let count = self.shape.channels[0] * self.shape.kernel[0] * self.shape.kernel[1];
        let taps = Taps {
            // The channels before have as many taps each.
            weights: self.weights[first * count..].as_ptr(),
            source: source.as_ptr(),
            planes: self.shape.channels[0],
            plane: place.plane,
            rows: &rows[..self.shape.kernel[0]],
            columns: self.shape.kernel[1],
            step: self.shape.dilation[1],
        };
        // SAFETY: offsets stay within the rows checked, weights within the block's; the rest is the caller's.
        unsafe {
            let mut sums = [[V::zero(); N]; R];
            for (r, sums) in sums.iter_mut().enumerate() {
                *sums = [V::splat(self.job.finish.bias[first + r]); N];
            }
            taps.add::<V, R, N>(&mut sums);
            for (r, sums) in sums.iter().enumerate() {
                self.job.finish.row::<V, N>(*sums, spot, r, x);
            }
        }
    }
}

/// The products of a block: rows of every plane, columns of each, with weights in that order.
pub(super) struct Taps<'a> {
    pub(super) weights: *const f32,
    pub(super) source: *const f32,
    pub(super) planes: usize,
    /// Distance of planes.
    pub(super) plane: usize,
    /// Where the first column stands in each row of the first plane.
    pub(super) rows: &'a [usize],
    pub(super) columns: usize,
    /// Distance of columns.
    pub(super) step: usize,
}

impl Taps<'_> {
    /// Add the products to the sums.
    ///
    /// # Safety
    /// Sources and weights are there, and the processor has the instructions.
    #[inline(always)]
    pub(super) unsafe fn add<V: Vector, const R: usize, const N: usize>(&self, sums: &mut [[V; N]; R]) {
        let mut weight = self.weights;
        // SAFETY: the caller's.
        unsafe {
            for plane in 0..self.planes {
                let corner = self.source.add(plane * self.plane);
                for row in self.rows {
                    let row = corner.add(*row);
                    for kx in 0..self.columns {
                        let at = row.add(kx * self.step);
                        let mut values = [V::zero(); N];
                        for (n, value) in values.iter_mut().enumerate() {
                            *value = V::load(at.add(n * V::LANES));
                        }
                        for (r, sums) in sums.iter_mut().enumerate() {
                            let tap = V::splat(*weight.add(r));
                            for (sum, value) in sums.iter_mut().zip(&values) {
                                *sum = sum.add_product(tap, *value);
                            }
                        }
                        weight = weight.add(R);
                    }
                }
            }
        }
    }
}

/// Where a row of a channel stands in the output and in what is added.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    to: usize,
    plus: usize,
}

impl Finish<'_> {
    /// Where row `y` of a channel stands.
    #[inline(always)]
    pub(super) fn spot(&self, channel: usize, y: usize) -> Spot {
        let at = |place: &Place| place.at(channel, y.cast_signed(), 0);
        Spot { to: at(&self.place), plus: self.plus.as_ref().map_or(0, |(_, place)| at(place)) }
    }

    /// Activate `N` vectors of sums from column `x` on, of the channel that is the `r`th from the spot's on, add what is
    /// to be added and store what lies within the width.
    ///
    /// # Safety
    /// The row can be written, what is added be read, and the processor has the instructions.
    #[inline(always)]
    pub(super) unsafe fn row<V: Vector, const N: usize>(&self, mut sums: [V; N], spot: Spot, r: usize, x: usize) {
        // SAFETY: the caller's.
        unsafe {
            if self.activation == Activation::Relu {
                // Loops, since closures would be compiled without the instructions.
                for sum in &mut sums {
                    *sum = sum.positive();
                }
            }
            if let Some((values, place)) = &self.plus {
                let from = values.as_ptr().add(spot.plus + r * place.plane + x);
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = sum.plus(self.part::<V>(from.add(n * V::LANES), self.width - x));
                }
            }
            let to = self.to.add(spot.to + r * self.place.plane + x);
            if x + N * V::LANES <= self.width {
                for (n, sum) in sums.iter().enumerate() {
                    sum.store(to.add(n * V::LANES));
                }
            } else {
                // Only the last vector of a row, alone: what stands behind the row was read, and is thrown away.
                let mut whole = [0.0; WIDEST];
                sums[0].store(whole.as_mut_ptr());
                for (i, value) in whole.iter().enumerate().take(self.width - x) {
                    *to.add(i) = *value;
                }
            }
        }
    }

    /// The vector from `from` on, of which `left` values may be read.
    ///
    /// # Safety
    /// They can be, and the processor has the instructions.
    #[inline(always)]
    unsafe fn part<V: Vector>(&self, from: *const f32, left: usize) -> V {
        // SAFETY: the caller's.
        unsafe {
            if left >= V::LANES {
                return V::load(from);
            }
            let mut whole = [0.0; WIDEST];
            for (i, value) in whole.iter_mut().enumerate().take(left) {
                *value = *from.add(i);
            }
            V::load(whole.as_ptr())
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::super::made_up::values;
    use super::*;

    /// Whole frames of `rows` rows, convolved in blocks of `block` rows out of a source with zeros around it.
    fn whole(convolution: &Convolution, rows: usize, block: usize, input: &[f32], plus: Option<&[f32]>) -> Vec<f32> {
        let ConvolutionShape { width, channels: [inputs, outputs], .. } = *convolution.shape();
        let [high, wide] = convolution.shape().reach();
        let (row, plane) = (width + 2 * wide, (rows + 2 * high) * (width + 2 * wide));
        let place = Place { plane, row, column: 1, first: -high.cast_signed(), ring: usize::MAX, rim: wide };
        let mut source = vec![0.0; inputs * plane + WIDEST];
        for (channel, input) in input.chunks(rows * width).enumerate() {
            for (y, from) in input.chunks(width).enumerate() {
                source[place.at(channel, y.cast_signed(), 0)..][..width].copy_from_slice(from);
            }
        }
        // What lies behind may be anything.
        source[inputs * plane..].fill(f32::NAN);
        let out = Place::whole(rows, width);
        let mut output = vec![f32::NAN; outputs * rows * width];
        let mut scratch = vec![f32::NAN; convolution.scratch_len()];
        let block = block.next_multiple_of(convolution.shape().group());
        for y in (0..rows).step_by(block) {
            let plus = plus.map(|values| (values, out));
            convolution.run(y..(y + block).min(rows), (&source, place), plus, (&mut output, out), &mut scratch);
        }
        output
    }

    /// By the definition, in double precision.
    fn twin(shape: ConvolutionShape, h: usize, input: &[f32], weights: &[f32], bias: &[f32]) -> Vec<f64> {
        let ConvolutionShape { width: w, channels: [inputs, outputs], kernel: [kh, kw], dilation: [dh, dw] } = shape;
        let mut out = Vec::new();
        for o in 0..outputs {
            for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                let mut sum = f64::from(bias[o]);
                for i in 0..inputs {
                    for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                        let (v, u) = (y + ky * dh, x + kx * dw);
                        let (v, u) = (v.checked_sub(kh / 2 * dh), u.checked_sub(kw / 2 * dw));
                        if let (Some(v), Some(u)) = (v.filter(|v| *v < h), u.filter(|u| *u < w)) {
                            let weight = weights[((o * inputs + i) * kh + ky) * kw + kx];
                            sum += f64::from(weight) * f64::from(input[(i * h + v) * w + u]);
                        }
                    }
                }
                out.push(sum);
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_level_agrees_with_the_twin(
            (rows, block) in (1usize..40, 1usize..9),
            width in 1usize..220,
            channels in [1usize..13, 1usize..20],
            half in [0usize..2, 0usize..3],
            dilation in [1usize..9, 1usize..5],
            (relu, added) in any::<(bool, bool)>(),
            seed in any::<u64>(),
        ) {
            let shape = ConvolutionShape { width, channels, kernel: [2 * half[0] + 1, 2 * half[1] + 1], dilation };
            let [inputs, outputs] = channels;
            let input = values(inputs * rows * width, seed);
            let weights = values(outputs * inputs * shape.kernel[0] * shape.kernel[1], seed ^ 5);
            let bias = values(outputs, seed ^ 9);
            let plus = values(outputs * rows * width, seed ^ 17);
            let mut expected = twin(shape, rows, &input, &weights, &bias);
            for (value, plus) in expected.iter_mut().zip(&plus) {
                *value = if relu { value.max(0.0) } else { *value } + if added { f64::from(*plus) } else { 0.0 };
            }
            let activation = if relu { Activation::Relu } else { Activation::None };
            for level in Level::all() {
                let convolution = Convolution::with_level(shape, &weights, &bias, activation, level);
                let out = whole(&convolution, rows, block, &input, added.then_some(&plus));
                for (got, want) in out.iter().zip(&expected) {
                    prop_assert!((f64::from(*got) - want).abs() < 1e-5, "{:?}: {} for {}", level, got, want);
                }
            }
        }

        /// The bits of an output do not depend on where in a row it stands.
        #[test]
        fn a_shifted_window_gives_the_same_bits(width in 12usize..90, shift in 1usize..8, seed in any::<u64>()) {
            let shape = |width| ConvolutionShape { width, channels: [3, 11], kernel: [3, 3], dilation: [1, 2] };
            let (weights, bias) = (values(3 * 11 * 9, seed), values(11, seed ^ 3));
            let input = values(3 * 5 * width, seed ^ 8);
            let part: Vec<f32> = input.chunks(width).flat_map(|row| row[shift..].to_vec()).collect();
            let run = |w: usize, input: &[f32]| {
                whole(&Convolution::new(shape(w), &weights, &bias, Activation::Relu), 5, 2, input, None)
            };
            let (whole, part) = (run(width, &input), run(width - shift, &part));
            for (whole, part) in whole.chunks(width).zip(part.chunks(width - shift)) {
                prop_assert_eq!(&whole[shift + 2..], &part[2..]);
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_so() {
        let shape = ConvolutionShape { width: 20, channels: [1, 1], kernel: [1, 1], dilation: [1, 1] };
        let mut input = vec![-1.0; 20];
        input[7] = f32::NAN;
        for level in Level::all() {
            let convolution = Convolution::with_level(shape, &[1.0], &[0.5], Activation::Relu, level);
            let out = whole(&convolution, 1, 1, &input, None);
            assert!(out.iter().enumerate().all(|(i, v)| if i == 7 { v.is_nan() } else { *v == 0.0 }), "{level:?}");
        }
    }
}
