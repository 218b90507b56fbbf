//! One-dimensional passes over rows: the inner loops that everything else is made of.
//!
//! Every output is the sum of its taps in tap order from zero on, by the same instruction, whatever its position,
//! the block it falls in, or how many rows are computed together: a tile computes the same bits as the whole frame.

use super::simd::{Portable, Vector};

/// The instructions that operators are computed with on this processor: `portable`, `AVX2`, `AVX-512` or `NEON`.
#[must_use]
pub fn instructions() -> &'static str {
    match Level::best() {
        Level::Portable => "portable",
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => "AVX2",
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => "AVX-512",
        #[cfg(target_arch = "aarch64")]
        Level::Neon => "NEON",
    }
}

/// The instructions that passes are computed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Level {
    /// Every level of this processor, the best one last.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [
            Some(Self::Portable),
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            (std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma"))
                .then_some(Self::Avx2),
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            std::arch::is_x86_feature_detected!("avx512f").then_some(Self::Avx512),
            // Without an operating system only what the program was built for is known.
            #[cfg(all(target_arch = "x86_64", not(feature = "std")))]
            cfg!(all(target_feature = "avx2", target_feature = "fma")).then_some(Self::Avx2),
            #[cfg(all(target_arch = "x86_64", not(feature = "std")))]
            cfg!(target_feature = "avx512f").then_some(Self::Avx512),
            #[cfg(target_arch = "aarch64")]
            Some(Self::Neon),
        ]
        .into_iter()
        .flatten()
    }

    /// The best level of this processor.
    pub(super) fn best() -> Self {
        Self::all().last().unwrap_or(Self::Portable)
    }

    /// Rows that share what they load.
    pub(super) fn rows(self) -> usize {
        match self {
            Self::Portable => Portable::ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => super::simd::x86::Avx2::ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => super::simd::x86::Avx512::ROWS,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => super::simd::arm::Neon::ROWS,
        }
    }
}

/// The taps of one output row: `taps[k]` weighs the source row `first + k`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span<'a> {
    pub(super) first: usize,
    pub(super) taps: &'a [f32],
}

/// The rows that a pass reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) values: &'a [f32],
    /// Distance of neighbouring rows.
    pub(super) stride: usize,
    /// The row of memory that spans count from, within the ring.
    pub(super) first: usize,
    /// Rows of memory, behind which the first stands again; [`usize::MAX`] where none is used twice.
    pub(super) ring: usize,
}

impl<'a> Source<'a> {
    /// Rows in memory one after the other.
    pub(super) fn straight(values: &'a [f32], stride: usize) -> Self {
        Self { values, stride, first: 0, ring: usize::MAX }
    }
}

/// Weighted sums of rows: `out[r][x] = sum_k taps_r[k] * source[first_r + k][x]`.
///
/// Output row r starts at `r * pitch` of `out`.
///
/// # Panics
/// If `source` is shorter than what the spans reach, or `out` than the rows need, or the pitch than the width.
pub(super) fn weighted_rows(
    level: Level,
    source: Source<'_>,
    spans: &[Span<'_>],
    width: usize,
    out: &mut [f32],
    pitch: usize,
) {
    if spans.is_empty() || width == 0 {
        return;
    }
    assert!(pitch >= width && out.len() >= (spans.len() - 1) * pitch + width, "rows of a pass");
    let last = spans.iter().map(|s| s.first + s.taps.len()).max().unwrap_or(0);
    assert!(source.first < source.ring && last <= source.ring, "ring of a pass");
    let read = (source.first + last).min(source.ring);
    assert!(last == 0 || source.values.len() >= (read - 1) * source.stride + width, "source of a pass");
    match level {
        // SAFETY: the ranges were just checked; no particular instructions are used.
        Level::Portable => unsafe { rows::<Portable>(source, spans, width, out, pitch) },
        // SAFETY: the ranges were just checked; a level is only made where the processor has it.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { rows_avx2(source, spans, width, out, pitch) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { rows_avx512(source, spans, width, out, pitch) },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        Level::Neon => unsafe { rows::<super::simd::arm::Neon>(source, spans, width, out, pitch) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn rows_avx2(source: Source<'_>, spans: &[Span<'_>], width: usize, out: &mut [f32], pitch: usize) {
    // SAFETY: the caller's.
    unsafe { rows::<super::simd::x86::Avx2>(source, spans, width, out, pitch) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn rows_avx512(source: Source<'_>, spans: &[Span<'_>], width: usize, out: &mut [f32], pitch: usize) {
    // SAFETY: the caller's.
    unsafe { rows::<super::simd::x86::Avx512>(source, spans, width, out, pitch) }
}

/// # Safety
/// The ranges that [`weighted_rows`] checks, and a processor that has the instructions.
#[inline(always)]
unsafe fn rows<V: Vector>(source: Source<'_>, spans: &[Span<'_>], width: usize, out: &mut [f32], pitch: usize) {
    let (mut spans, mut out) = (spans, out);
    while !spans.is_empty() {
        let count = match spans.len() {
            8.. if V::ROWS >= 8 => 8,
            4.. => 4,
            2.. => 2,
            _ => 1,
        };
        let (now, later) = spans.split_at(count);
        let (to, rest) = out.split_at_mut((count * pitch).min(out.len()));
        // SAFETY: the caller's.
        unsafe {
            match count {
                8 => columns::<V, 8, 2>(source, now, width, to, pitch),
                4 => columns::<V, 4, 2>(source, now, width, to, pitch),
                2 => columns::<V, 2, 4>(source, now, width, to, pitch),
                _ => columns::<V, 1, 8>(source, now, width, to, pitch),
            }
        }
        (spans, out) = (later, rest);
    }
}

/// `R` rows, in blocks of `N` vectors.
///
/// # Safety
/// As [`rows`]; `spans` has `R` entries.
#[inline(always)]
unsafe fn columns<V: Vector, const R: usize, const N: usize>(
    source: Source<'_>,
    spans: &[Span<'_>],
    width: usize,
    out: &mut [f32],
    pitch: usize,
) {
    if width < V::LANES {
        // SAFETY: the caller's.
        return unsafe { narrow::<V>(source, spans, width, out, pitch) };
    }
    let out = out.as_mut_ptr();
    let mut x = 0;
    // SAFETY: blocks lie within the width, and what they read within the source, as the caller has checked.
    unsafe {
        while x + N * V::LANES <= width {
            block::<V, R, N>(source, x, spans, out.add(x), pitch);
            x += N * V::LANES;
        }
        while x + V::LANES <= width {
            block::<V, R, 1>(source, x, spans, out.add(x), pitch);
            x += V::LANES;
        }
        if x < width {
            // The last vector is computed again where it overlaps: the same sums, the same bits.
            let x = width - V::LANES;
            block::<V, R, 1>(source, x, spans, out.add(x), pitch);
        }
    }
}

/// One block: `R` rows of `N` vectors from column `x` on, held in registers while the source rows go by.
///
/// # Safety
/// As [`rows`].
#[inline(always)]
unsafe fn block<V: Vector, const R: usize, const N: usize>(
    source: Source<'_>,
    x: usize,
    spans: &[Span<'_>],
    out: *mut f32,
    pitch: usize,
) {
    let mut sums = [[V::zero(); N]; R];
    let mut first = [0; R];
    let mut end = [0; R];
    let mut taps = [core::ptr::null(); R];
    for r in 0..R {
        first[r] = spans[r].first;
        end[r] = spans[r].first + spans[r].taps.len();
        taps[r] = spans[r].taps.as_ptr();
    }
    // Neighbouring rows with the taps of the interior: each starts one source row after the one before.
    let stairs = (0..R).all(|r| first[r] == r && end[r] == first[r] + spans[0].taps.len()) && end[0] >= R;
    let fold = |a: [usize; R], f: fn(usize, usize) -> usize| a.into_iter().reduce(f).unwrap_or(0);
    let (begin, finish) = (fold(first, usize::min), fold(end, usize::max));
    let low = fold(first, usize::max).min(finish);
    let high = fold(end, usize::min).max(low);
    let before = source.values.as_ptr().wrapping_add(source.first * source.stride + x);
    let turn = source.ring - source.first;
    // Behind the turn the rows stand a whole ring further up.
    let behind = before.wrapping_sub(source.ring.wrapping_mul(source.stride));
    let row = |s: usize| (if s < turn { before } else { behind }).wrapping_add(s * source.stride);
    // SAFETY: every source row that is read has a tap, so that the caller's check covers it; so do the outputs.
    unsafe {
        // Rows enter one after the other, are all there, and leave one after the other.
        if stairs {
            for s in 0..R - 1 {
                let values = loaded::<V, N>(row(s));
                for r in 0..=s {
                    add::<V, N>(&mut sums[r], *taps[r].add(s - r), &values);
                }
            }
        } else {
            for s in begin..low {
                let values = loaded::<V, N>(row(s));
                for r in 0..R {
                    if s >= first[r] && s < end[r] {
                        add::<V, N>(&mut sums[r], *taps[r].add(s - first[r]), &values);
                    }
                }
            }
        }
        for s in low..high {
            let values = loaded::<V, N>(row(s));
            for r in 0..R {
                add::<V, N>(&mut sums[r], *taps[r].add(s - first[r]), &values);
            }
        }
        if stairs {
            for left in 1..R {
                let s = high + left - 1;
                let values = loaded::<V, N>(row(s));
                for r in left..R {
                    add::<V, N>(&mut sums[r], *taps[r].add(s - r), &values);
                }
            }
        } else {
            for s in high..finish {
                let values = loaded::<V, N>(row(s));
                for r in 0..R {
                    if s >= first[r] && s < end[r] {
                        add::<V, N>(&mut sums[r], *taps[r].add(s - first[r]), &values);
                    }
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (n, sum) in sums.iter().enumerate() {
                sum.store(out.add(r * pitch + n * V::LANES));
            }
        }
    }
}

/// `N` vectors from `row` on.
///
/// # Safety
/// They can be read, and the processor has the instructions.
#[inline(always)]
unsafe fn loaded<V: Vector, const N: usize>(row: *const f32) -> [V; N] {
    let mut values = [V::zero(); N];
    for (n, value) in values.iter_mut().enumerate() {
        // SAFETY: the caller's.
        *value = unsafe { V::load(row.add(n * V::LANES)) };
    }
    values
}

/// Add `tap` times the values to the sums.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn add<V: Vector, const N: usize>(sums: &mut [V; N], tap: f32, values: &[V; N]) {
    // SAFETY: the caller's.
    let tap = unsafe { V::splat(tap) };
    for (sum, value) in sums.iter_mut().zip(values) {
        // SAFETY: the caller's.
        *sum = unsafe { sum.add_product(tap, *value) };
    }
}

/// Rows narrower than a vector.
///
/// # Safety
/// As [`rows`].
#[inline(always)]
unsafe fn narrow<V: Vector>(source: Source<'_>, spans: &[Span<'_>], width: usize, out: &mut [f32], pitch: usize) {
    let mut buffer = [0.0; 16];
    for (span, out) in spans.iter().zip(out.chunks_mut(pitch)) {
        let mut sum = V::zero();
        for (k, tap) in span.taps.iter().enumerate() {
            let row = source.first + span.first + k;
            let from = (if row < source.ring { row } else { row - source.ring }) * source.stride;
            buffer[..width].copy_from_slice(&source.values[from..from + width]);
            // SAFETY: the buffer is as long as the longest vector; the instructions are the caller's.
            sum = unsafe { sum.add_product(V::splat(*tap), V::load(buffer.as_ptr())) };
        }
        // SAFETY: as above.
        unsafe { sum.store(buffer.as_mut_ptr()) };
        out[..width].copy_from_slice(&buffer[..width]);
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
        /// Every level gives the sum by the definition, and the same bits for a row alone, at another place.
        #[test]
        fn rows_are_sums_in_tap_order(
            width in 1usize..150,
            rows in prop::collection::vec((0usize..9, 0usize..30), 1..20),
            pitch in 0usize..5,
            vertical in any::<bool>(),
            turn in 0usize..41,
            seed in any::<u64>(),
        ) {
            let taps: Vec<Vec<f32>> = rows.iter().enumerate().map(|(i, (_, n))| values(*n, seed ^ i as u64 ^ 99)).collect();
            let spans: Vec<Span<'_>> =
                rows.iter().zip(&taps).map(|((first, _), taps)| Span { first: *first, taps }).collect();
            let stride = if vertical { width + 3 } else { 1 };
            let source = values(40 * stride + width, seed);
            let pitch = width + pitch;
            // The same rows in a ring, the first of them anywhere.
            let mut turned = source.clone();
            turned.resize(41 * stride, 0.0);
            turned.rotate_right(turn * stride);
            let ring = Source { values: &turned, stride, first: turn, ring: 41 };
            for level in Level::all() {
                let mut out = vec![f32::NAN; rows.len() * pitch];
                weighted_rows(level, Source::straight(&source, stride), &spans, width, &mut out, pitch);
                if vertical {
                    let mut from_ring = vec![f32::NAN; out.len()];
                    weighted_rows(level, ring, &spans, width, &mut from_ring, pitch);
                    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                    prop_assert_eq!(bits(&out), bits(&from_ring));
                }
                for (span, out) in spans.iter().zip(out.chunks(pitch)) {
                    let mut alone = vec![0.0; width];
                    weighted_rows(level, Source::straight(&source, stride), &[*span], width, &mut alone, width);
                    prop_assert_eq!(&alone, &out[..width]);
                    if width > 1 {
                        let mut part = vec![0.0; width - 1];
                        weighted_rows(level, Source::straight(&source[1..], stride), &[*span], width - 1, &mut part, width);
                        prop_assert_eq!(&part, &out[1..width], "one to the right");
                    }
                    for (x, got) in alone.iter().enumerate() {
                        let terms = span.taps.iter().enumerate();
                        let exact: f64 = terms.map(|(k, t)| f64::from(*t) * f64::from(source[(span.first + k) * stride + x])).sum();
                        prop_assert!((f64::from(*got) - exact).abs() < 2e-6, "{:?}: {} for {}", level, got, exact);
                    }
                    prop_assert!(out[width..].iter().all(|v| v.is_nan()), "written beyond the row");
                }
            }
        }
    }
}
