//! Correlations of one line with taps: the passes along x.
//!
//! Shifted vectors mostly lie across two lines of the cache, so that loads and not products limit a pass along x. Several
//! taps are therefore taken of what is loaded: those of other kernels on the same line, and those a vector's length
//! apart, which the next output vector reads at the same place.
//!
//! Every output is the sum of its taps from zero on in one order, by the same instruction, wherever it stands: the taps
//! 0, L, 2 L, ... of L values in a vector, then 1, 1 + L, ...

use super::pass::Level;
use super::simd::{Portable, Vector};

/// `out_r[x] = sum_k taps_r[k] * source[k + x]` for x below `width`.
///
/// # Panics
/// If the lists of taps differ in length, `source` is shorter than `width` and the taps reach, or an output than `width`.
pub(super) fn correlate<const R: usize>(
    level: Level,
    source: &[f32],
    taps: [&[f32]; R],
    width: usize,
    out: [&mut [f32]; R],
) {
    let count = taps.first().map_or(0, |t| t.len());
    if width == 0 || count == 0 {
        return out.into_iter().for_each(|o| o[..width].fill(0.0));
    }
    assert!(taps.iter().all(|t| t.len() == count) && source.len() + 1 >= width + count, "a line and its taps");
    let out = out.map(|o| o[..width].as_mut_ptr());
    match level {
        // SAFETY: the lengths were just checked; no particular instructions are used.
        Level::Portable => unsafe { line::<Portable, R>(source, taps, width, out) },
        // SAFETY: the lengths were just checked; a level is only made where the processor has it.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { line_avx2(source, taps, width, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { line_avx512(source, taps, width, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        Level::Neon => unsafe { line::<super::simd::arm::Neon, R>(source, taps, width, out) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn line_avx2<const R: usize>(source: &[f32], taps: [&[f32]; R], width: usize, out: [*mut f32; R]) {
    // SAFETY: the caller's.
    unsafe { line::<super::simd::x86::Avx2, R>(source, taps, width, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn line_avx512<const R: usize>(source: &[f32], taps: [&[f32]; R], width: usize, out: [*mut f32; R]) {
    // SAFETY: the caller's.
    unsafe { line::<super::simd::x86::Avx512, R>(source, taps, width, out) }
}

/// # Safety
/// The lengths that [`correlate`] checks, and a processor that has the instructions.
#[inline(always)]
unsafe fn line<V: Vector, const R: usize>(source: &[f32], taps: [&[f32]; R], width: usize, out: [*mut f32; R]) {
    if width < V::LANES {
        // SAFETY: the caller's.
        return unsafe { narrow::<V, R>(source, taps, width, out) };
    }
    // Sums, values and taps fit the registers.
    // SAFETY: blocks lie within the width, and what they read within the source, as the caller has checked.
    unsafe {
        let done = match R {
            1 => blocks::<V, R, 8>(source, taps, 0, width, out),
            2 => blocks::<V, R, 4>(source, taps, 0, width, out),
            _ => blocks::<V, R, 3>(source, taps, 0, width, out),
        };
        let done = blocks::<V, R, 2>(source, taps, done, width, out);
        let done = blocks::<V, R, 1>(source, taps, done, width, out);
        if done < width {
            // The last vector is computed again where it overlaps: the same sums, the same bits.
            blocks::<V, R, 1>(source, taps, width - V::LANES, width, out);
        }
    }
}

/// Blocks of `N` vectors from column `x` on, as many as there are; where the next one would begin.
///
/// # Safety
/// As [`line`].
#[inline(always)]
unsafe fn blocks<V: Vector, const R: usize, const N: usize>(
    source: &[f32],
    taps: [&[f32]; R],
    mut x: usize,
    width: usize,
    out: [*mut f32; R],
) -> usize {
    let count = taps[0].len();
    while x + N * V::LANES <= width {
        let mut sums = [[V::zero(); N]; R];
        for first in 0..V::LANES.min(count) {
            let mut k = first;
            // SAFETY: tap k of the last vector reads within what the caller has checked.
            unsafe {
                while k + V::LANES < count {
                    two::<V, R, N>(&mut sums, source.as_ptr().add(x + k), taps, k);
                    k += 2 * V::LANES;
                }
                if k < count {
                    one::<V, R, N>(&mut sums, source.as_ptr().add(x + k), taps, k);
                }
            }
        }
        for (sums, out) in sums.iter().zip(out) {
            for (n, sum) in sums.iter().enumerate() {
                // SAFETY: the caller's.
                unsafe { sum.store(out.add(x + n * V::LANES)) };
            }
        }
        x += N * V::LANES;
    }
    x
}

/// Tap `k`, whose values begin at `from`.
///
/// # Safety
/// They can be read, and the processor has the instructions.
#[inline(always)]
unsafe fn one<V: Vector, const R: usize, const N: usize>(
    sums: &mut [[V; N]; R],
    from: *const f32,
    taps: [&[f32]; R],
    k: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut tap = [V::zero(); R];
        for (tap, taps) in tap.iter_mut().zip(taps) {
            *tap = V::splat(*taps.get_unchecked(k));
        }
        for n in 0..N {
            let values = V::load(from.add(n * V::LANES));
            for (sums, tap) in sums.iter_mut().zip(tap) {
                sums[n] = sums[n].add_product(tap, values);
            }
        }
    }
}

/// Taps `k` and a vector's length behind it: what the second one reads is what the first one reads of the next output.
///
/// # Safety
/// As [`one`], of one vector more.
#[inline(always)]
unsafe fn two<V: Vector, const R: usize, const N: usize>(
    sums: &mut [[V; N]; R],
    from: *const f32,
    taps: [&[f32]; R],
    k: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut pairs = [[V::zero(); 2]; R];
        for (pair, taps) in pairs.iter_mut().zip(taps) {
            *pair = [V::splat(*taps.get_unchecked(k)), V::splat(*taps.get_unchecked(k + V::LANES))];
        }
        let mut values = V::load(from);
        for n in 0..N {
            let next = V::load(from.add((n + 1) * V::LANES));
            for (sums, [near, far]) in sums.iter_mut().zip(pairs) {
                sums[n] = sums[n].add_product(near, values).add_product(far, next);
            }
            values = next;
        }
    }
}

/// A line narrower than a vector.
///
/// # Safety
/// As [`line`].
#[inline(always)]
unsafe fn narrow<V: Vector, const R: usize>(source: &[f32], taps: [&[f32]; R], width: usize, out: [*mut f32; R]) {
    let mut buffer = [0.0; super::convolution::WIDEST];
    for (taps, out) in taps.into_iter().zip(out) {
        let mut sum = V::zero();
        for first in 0..V::LANES.min(taps.len()) {
            for k in (first..taps.len()).step_by(V::LANES) {
                buffer[..width].copy_from_slice(&source[k..k + width]);
                // SAFETY: the buffer is as long as the longest vector; the instructions are the caller's.
                sum = unsafe { sum.add_product(V::splat(taps[k]), V::load(buffer.as_ptr())) };
            }
        }
        // SAFETY: as above, and `width` values of the output can be written.
        unsafe {
            sum.store(buffer.as_mut_ptr());
            core::ptr::copy_nonoverlapping(buffer.as_ptr(), out, width);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::super::made_up::values;
    use super::*;

    proptest! {
        /// Every level gives the sum by the definition, and the same bits for a kernel alone and at another place.
        #[test]
        fn lines_are_sums_of_their_taps(width in 1usize..300, count in 1usize..80, seed in any::<u64>()) {
            let source = values(width + count - 1, seed);
            let kernels: [Vec<f32>; 3] = [3, 5, 9].map(|k| values(count, seed ^ k));
            let [a, b, c] = kernels.each_ref().map(Vec::as_slice);
            for level in Level::all() {
                let alone = |taps: &[f32], from: usize| {
                    let mut out = vec![f32::NAN; width - from];
                    correlate(level, &source[from..], [taps], width - from, [&mut out]);
                    out
                };
                let expected = [a, b, c].map(|taps| alone(taps, 0));
                let mut out = [(); 3].map(|()| vec![f32::NAN; width]);
                let [x, y, z] = &mut out;
                correlate(level, &source, [a, b, c], width, [x.as_mut_slice(), y, z]);
                prop_assert_eq!(&out, &expected);
                let mut pair = [(); 2].map(|()| vec![f32::NAN; width]);
                let [x, y] = &mut pair;
                correlate(level, &source, [c, a], width, [x.as_mut_slice(), y]);
                prop_assert_eq!([&pair[0], &pair[1]], [&expected[2], &expected[0]]);
                for from in [1, 7].into_iter().filter(|f| *f < width) {
                    prop_assert_eq!(&alone(a, from), &expected[0][from..], "{} to the right", from);
                }
                for (x, got) in expected[0].iter().enumerate() {
                    let exact: f64 = a.iter().enumerate().map(|(k, t)| f64::from(*t) * f64::from(source[k + x])).sum();
                    prop_assert!((f64::from(*got) - exact).abs() < 4e-6, "{:?}: {} for {}", level, got, exact);
                }
            }
        }
    }
}
