//! Small dense convolutions, as learned trunks have them: few channels, stride 1, zeros around the frame.

use alloc::vec::Vec;

use super::pass::Level;
use super::simd::{Portable, Vector};

/// The widest vector of any level.
const WIDEST: usize = 16;

/// A convolution of one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionShape {
    /// Rows and columns of every map; a series has one row.
    pub size: [usize; 2],
    /// Channels read and made.
    pub channels: [usize; 2],
    /// Odd rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Distance of neighbouring taps along each axis.
    pub dilation: [usize; 2],
}

/// A convolution bound to one shape, with its weights.
///
/// Every output is the sum of bias, then products in the order of input channel, kernel row and kernel column, by the
/// same instruction wherever it lies: a tile computes the same bits as the whole frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Convolution {
    shape: ConvolutionShape,
    /// For blocks of output channels: by input channel, kernel row, kernel column, channel of the block.
    weights: Vec<f32>,
    bias: Vec<f32>,
    blocks: Vec<usize>,
    level: Level,
}

impl Convolution {
    /// `weights` with axes (output channel, input channel, kernel row, kernel column), `bias` one for each output
    /// channel.
    ///
    /// # Panics
    /// If the lengths do not fit the shape, or a kernel is even.
    #[must_use]
    pub fn new(shape: ConvolutionShape, weights: &[f32], bias: &[f32]) -> Self {
        Self::with_level(shape, weights, bias, Level::best())
    }

    fn with_level(shape: ConvolutionShape, weights: &[f32], bias: &[f32], level: Level) -> Self {
        let [inputs, outputs] = shape.channels;
        let taps = inputs * shape.kernel[0] * shape.kernel[1];
        assert!(weights.len() == outputs * taps && bias.len() == outputs, "weights and bias of the shape");
        assert!(shape.kernel.iter().all(|k| k % 2 == 1), "odd kernels");
        let mut blocks = Vec::new();
        let mut packed = Vec::with_capacity(weights.len());
        let mut first = 0;
        while first < outputs {
            let count = match outputs - first {
                8.. if level.rows() >= 8 => 8,
                4.. => 4,
                2.. => 2,
                _ => 1,
            };
            for tap in 0..taps {
                packed.extend((first..first + count).map(|o| weights[o * taps + tap]));
            }
            blocks.push(count);
            first += count;
        }
        Self { shape, weights: packed, bias: bias.to_vec(), blocks, level }
    }

    fn padded(&self) -> [usize; 2] {
        let ConvolutionShape { size, kernel, dilation, .. } = self.shape;
        // At least one vector wide, so that the last one of a row can be read whole.
        [size[0] + (kernel[0] - 1) * dilation[0], size[1].max(WIDEST) + (kernel[1] - 1) * dilation[1]]
    }

    /// Values of scratch space that [`run`](Self::run) needs.
    #[must_use]
    pub fn scratch_len(&self) -> usize {
        let [rows, columns] = self.padded();
        self.shape.channels[0] * rows * columns
    }

    /// Convolve `input`, axes (input channel, y, x), into `output`, axes (output channel, y, x).
    ///
    /// `scratch` holds [`scratch_len`](Self::scratch_len) zeros at the first call, and what the last call left at
    /// every further one: the rim of zeros around the frame stays.
    ///
    /// # Panics
    /// If a slice is not of the bound length.
    pub fn run(&self, input: &[f32], output: &mut [f32], scratch: &mut [f32]) {
        let ConvolutionShape { size: [height, width], channels: [inputs, outputs], kernel, dilation } = self.shape;
        let plane = height * width;
        assert!(input.len() == inputs * plane && output.len() == outputs * plane, "maps of the bound shape");
        assert!(scratch.len() == self.scratch_len(), "scratch of the bound shape");
        let [rows, columns] = self.padded();
        let rim = [kernel[0] / 2 * dilation[0], kernel[1] / 2 * dilation[1]];
        for (channel, padded) in input.chunks_exact(plane).zip(scratch.chunks_exact_mut(rows * columns)) {
            for (row, to) in channel.chunks_exact(width).zip(padded.chunks_exact_mut(columns).skip(rim[0])) {
                to[rim[1]..rim[1] + width].copy_from_slice(row);
            }
        }
        match self.level {
            // SAFETY: the lengths were just checked; no particular instructions are used.
            Level::Portable => unsafe { self.compute::<Portable>(scratch, output) },
            // SAFETY: the lengths were just checked; a level is only made where the processor has it.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { self.compute_avx2(scratch, output) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { self.compute_avx512(scratch, output) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Level::Neon => unsafe { self.compute::<super::simd::arm::Neon>(scratch, output) },
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn compute_avx2(&self, padded: &[f32], output: &mut [f32]) {
        // SAFETY: the caller's.
        unsafe { self.compute::<super::simd::x86::Avx2>(padded, output) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    unsafe fn compute_avx512(&self, padded: &[f32], output: &mut [f32]) {
        // SAFETY: the caller's.
        unsafe { self.compute::<super::simd::x86::Avx512>(padded, output) }
    }

    /// # Safety
    /// The lengths that [`run`](Self::run) checks, and a processor that has the instructions.
    #[inline(always)]
    unsafe fn compute<V: Vector>(&self, padded: &[f32], output: &mut [f32]) {
        let [height, width] = self.shape.size;
        for y in 0..height {
            let (mut first, mut weights) = (0, 0);
            for &count in &self.blocks {
                let from = Block { conv: self, y, first, weights: &self.weights[weights..] };
                // SAFETY: the caller's.
                unsafe {
                    match count {
                        8 => from.row::<V, 8, 2>(padded, output),
                        4 => from.row::<V, 4, 2>(padded, output),
                        2 => from.row::<V, 2, 4>(padded, output),
                        _ => from.row::<V, 1, 8>(padded, output),
                    }
                }
                first += count;
                weights += count * self.shape.channels[0] * self.shape.kernel[0] * self.shape.kernel[1];
            }
        }
        debug_assert!(output.len() >= height * width);
    }
}

/// One row of a block of output channels.
struct Block<'a> {
    conv: &'a Convolution,
    y: usize,
    first: usize,
    weights: &'a [f32],
}

impl Block<'_> {
    /// # Safety
    /// As [`Convolution::compute`]; the block has `R` channels.
    #[inline(always)]
    unsafe fn row<V: Vector, const R: usize, const N: usize>(&self, padded: &[f32], output: &mut [f32]) {
        let [height, width] = self.conv.shape.size;
        let plane = height * width;
        let mut x = 0;
        // SAFETY: whole vectors lie within the width, and what they read within the padded row.
        unsafe {
            let to = output.as_mut_ptr().add(self.first * plane + self.y * width);
            while x + N * V::LANES <= width {
                self.vectors::<V, R, N>(padded, x, to.add(x), plane);
                x += N * V::LANES;
            }
            while x + V::LANES <= width {
                self.vectors::<V, R, 1>(padded, x, to.add(x), plane);
                x += V::LANES;
            }
            if x < width && width >= V::LANES {
                // The last vector is computed again where it overlaps: the same sums, the same bits.
                let x = width - V::LANES;
                self.vectors::<V, R, 1>(padded, x, to.add(x), plane);
            } else if x < width {
                let mut whole = [0.0; 8 * WIDEST];
                self.vectors::<V, R, 1>(padded, 0, whole.as_mut_ptr(), WIDEST);
                for r in 0..R {
                    let from = self.first + r;
                    let out = &mut output[from * plane + self.y * width..][..width];
                    out.copy_from_slice(&whole[r * WIDEST..r * WIDEST + width]);
                }
            }
        }
    }

    /// `N` vectors of every channel from column `x` on, written to `to` with the distance `pitch` between channels.
    ///
    /// # Safety
    /// As [`row`](Self::row); the vectors can be written.
    #[inline(always)]
    unsafe fn vectors<V: Vector, const R: usize, const N: usize>(
        &self,
        padded: &[f32],
        x: usize,
        to: *mut f32,
        pitch: usize,
    ) {
        let ConvolutionShape { channels: [inputs, _], kernel, dilation, .. } = self.conv.shape;
        let [rows, columns] = self.conv.padded();
        // SAFETY: offsets stay within the padded maps, weights within the block's; the rest is the caller's.
        unsafe {
            let mut sums = [[V::zero(); N]; R];
            for (r, sums) in sums.iter_mut().enumerate() {
                *sums = [V::splat(self.conv.bias[self.first + r]); N];
            }
            let mut weight = self.weights.as_ptr();
            for input in 0..inputs {
                for ky in 0..kernel[0] {
                    let row = padded.as_ptr().add((input * rows + self.y + ky * dilation[0]) * columns + x);
                    for kx in 0..kernel[1] {
                        let at = row.add(kx * dilation[1]);
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
            for (r, sums) in sums.iter().enumerate() {
                for (n, sum) in sums.iter().enumerate() {
                    sum.store(to.add(r * pitch + n * V::LANES));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn values(n: usize, seed: u64) -> Vec<f32> {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
        };
        (0..n).map(|_| next()).collect()
    }

    fn zeros(convolution: &Convolution) -> Vec<f32> {
        vec![0.0; convolution.scratch_len()]
    }

    /// By the definition, in double precision.
    fn twin(shape: ConvolutionShape, input: &[f32], weights: &[f32], bias: &[f32]) -> Vec<f64> {
        let ConvolutionShape { size: [h, w], channels: [inputs, outputs], kernel: [kh, kw], dilation: [dh, dw] } =
            shape;
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
            size in [1usize..9, 1usize..60],
            channels in [1usize..7, 1usize..20],
            half in [0usize..2, 0usize..3],
            dilation in [1usize..5, 1usize..5],
            seed in any::<u64>(),
        ) {
            let shape = ConvolutionShape { size, channels, kernel: [2 * half[0] + 1, 2 * half[1] + 1], dilation };
            let [inputs, outputs] = channels;
            let input = values(inputs * size[0] * size[1], seed);
            let weights = values(outputs * inputs * shape.kernel[0] * shape.kernel[1], seed ^ 5);
            let bias = values(outputs, seed ^ 9);
            let expected = twin(shape, &input, &weights, &bias);
            for level in Level::all() {
                let convolution = Convolution::with_level(shape, &weights, &bias, level);
                let mut scratch = zeros(&convolution);
                // The second time shows whether the rim of zeros is still there.
                for _ in 0..2 {
                    let mut out = vec![f32::NAN; expected.len()];
                    convolution.run(&input, &mut out, &mut scratch);
                    for (got, want) in out.iter().zip(&expected) {
                        prop_assert!((f64::from(*got) - want).abs() < 1e-5, "{:?}: {} for {}", level, got, want);
                    }
                }
            }
        }

        /// The bits of an output do not depend on where in a row it stands.
        #[test]
        fn a_shifted_window_gives_the_same_bits(width in 12usize..90, shift in 1usize..8, seed in any::<u64>()) {
            let shape = |w| ConvolutionShape { size: [5, w], channels: [3, 11], kernel: [3, 3], dilation: [1, 2] };
            let (weights, bias) = (values(3 * 11 * 9, seed), values(11, seed ^ 3));
            let input = values(3 * 5 * width, seed ^ 8);
            let part: Vec<f32> = input.chunks(width).flat_map(|row| row[shift..].to_vec()).collect();
            let run = |w: usize, input: &[f32]| {
                let convolution = Convolution::new(shape(w), &weights, &bias);
                let mut out = vec![0.0; 11 * 5 * w];
                convolution.run(input, &mut out, &mut zeros(&convolution));
                out
            };
            let (whole, part) = (run(width, &input), run(width - shift, &part));
            for (whole, part) in whole.chunks(width).zip(part.chunks(width - shift)) {
                prop_assert_eq!(&whole[shift + 2..], &part[2..]);
            }
        }
    }
}
