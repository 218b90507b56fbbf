//! One-dimensional passes over rows: the inner loops that everything else is made of.
//!
//! Every output is the sum of its taps in tap order, whatever its position, so that a tile computes the same
//! bits as the whole frame. Loops run over pixels, taps inside, on blocks that stay in registers.

/// Pixels whose sums are held in registers at once.
const BLOCK: usize = 64;

/// Sum of `taps.len()` rows, each `stride` values after the one before, times their taps, into `out`.
///
/// `out[x] = sum_k taps[k] * source[k * stride + x]`. With `stride` 1 this is the correlation of a row with the
/// taps; with the row length it is a vertical pass.
///
/// # Panics
/// If `source` is shorter than `(taps.len() - 1) * stride + out.len()`.
pub(super) fn weighted_rows(source: &[f32], stride: usize, taps: &[f32], out: &mut [f32]) {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has the features, as just tested.
            return unsafe { weighted_rows_avx512(source, stride, taps, out) };
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the features, as just tested.
            return unsafe { weighted_rows_avx2(source, stride, taps, out) };
        }
    }
    blocks(source, stride, taps, out, |sum, tap, value| sum + tap * value);
}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
#[target_feature(enable = "avx512f")]
fn weighted_rows_avx512(source: &[f32], stride: usize, taps: &[f32], out: &mut [f32]) {
    blocks(source, stride, taps, out, |sum, tap, value| tap.mul_add(value, sum));
}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
#[target_feature(enable = "avx2,fma")]
fn weighted_rows_avx2(source: &[f32], stride: usize, taps: &[f32], out: &mut [f32]) {
    blocks(source, stride, taps, out, |sum, tap, value| tap.mul_add(value, sum));
}

#[inline(always)]
fn blocks(source: &[f32], stride: usize, taps: &[f32], out: &mut [f32], add: impl Fn(f32, f32, f32) -> f32 + Copy) {
    let whole = out.len() / BLOCK * BLOCK;
    for (b, block) in out[..whole].chunks_exact_mut(BLOCK).enumerate() {
        let mut sums = [0.0; BLOCK];
        for (k, tap) in taps.iter().enumerate() {
            let from = k * stride + b * BLOCK;
            for (sum, value) in sums.iter_mut().zip(&source[from..from + BLOCK]) {
                *sum = add(*sum, *tap, *value);
            }
        }
        block.copy_from_slice(&sums);
    }
    for (x, value) in out.iter_mut().enumerate().skip(whole) {
        *value = taps.iter().enumerate().fold(0.0, |sum, (k, tap)| add(sum, *tap, source[k * stride + x]));
    }
}
