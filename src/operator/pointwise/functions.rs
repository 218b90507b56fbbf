//! Exponential, logarithm and hyperbolic tangent without branches, so that the compiler computes many at once.

use core::f32::consts::{LOG2_E, SQRT_2};

/// ln 2 in two parts: a small integer times the first is exact.
const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// `a b + c`, rounded once if `fused`, which the processor has to have an instruction for.
#[inline(always)]
fn multiply_add(fused: bool, a: f32, b: f32, c: f32) -> f32 {
    if fused { a.mul_add(b, c) } else { a * b + c }
}

/// e^x within 2.5e-7 of itself from -87.3 to 88; constant beyond, and NaN for NaN.
///
/// Reduced by multiples of ln 2, then a polynomial: without branches, so that many are computed at once.
#[inline(always)]
pub(super) fn exp(fused: bool, x: f32) -> f32 {
    const LOWEST: f32 = -87.3;
    const HIGHEST: f32 = 88.0;
    /// Adding it leaves the nearest integer in the last bits.
    const MAGIC: f32 = 12_582_912.0;
    // Comparisons that leave NaN as it is.
    let x = if x > HIGHEST { HIGHEST } else { x };
    let x = if x < LOWEST { LOWEST } else { x };
    let shifted = multiply_add(fused, x, LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    let r = multiply_add(fused, n, -LN2[1], multiply_add(fused, n, -LN2[0], x));
    let mut p = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = multiply_add(fused, p, r, coefficient);
    }
    let power = shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127) << 23;
    p * f32::from_bits(power)
}

/// ln(x) within 2e-7 of itself; -infinity at zero, NaN below and for NaN.
///
/// The exponent is taken off, then `ln m = 2 artanh((m - 1) / (m + 1))` for m between sqrt(1/2) and sqrt(2).
#[inline(always)]
pub(super) fn ln(fused: bool, x: f32) -> f32 {
    const SHIFT: f32 = 8_388_608.0;
    // Below the normal numbers the exponent says nothing.
    let small = x < f32::MIN_POSITIVE;
    let normal = if small { x * SHIFT } else { x };
    let bits = normal.to_bits();
    let exponent = ((bits >> 23) as i32 - 127) as f32 - if small { 23.0 } else { 0.0 };
    let mantissa = f32::from_bits(bits & 0x007f_ffff | 0x3f80_0000);
    let high = mantissa > SQRT_2;
    let m = if high { 0.5 * mantissa } else { mantissa };
    let exponent = if high { exponent + 1.0 } else { exponent };
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let mut p = 2.0 / 11.0;
    for coefficient in [2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0] {
        p = multiply_add(fused, p, s2, coefficient);
    }
    let rest = multiply_add(fused, exponent, LN2[1], multiply_add(fused, s * s2, p, 2.0 * s));
    let value = multiply_add(fused, exponent, LN2[0], rest);
    let value = if x < f32::INFINITY { value } else { x };
    let value = if x == 0.0 { f32::NEG_INFINITY } else { value };
    if x < 0.0 { f32::NAN } else { value }
}

/// tanh(x) within 3e-7 of itself; NaN for NaN.
///
/// A continued fraction near zero, where an exponential would cancel.
#[inline(always)]
pub(super) fn tanh(fused: bool, x: f32) -> f32 {
    const NEAR: f32 = 0.6;
    let x2 = x * x;
    let above = multiply_add(fused, x2, x2 + 105.0, 945.0);
    let below = multiply_add(fused, x2, multiply_add(fused, x2, 15.0, 420.0), 945.0);
    let near = x * above / below;
    let size = x.abs();
    let t = exp(fused, -2.0 * size);
    let far = ((1.0 - t) / (1.0 + t)).copysign(x);
    if size < NEAR { near } else { far }
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;
    use std::vec::Vec;

    use super::*;

    type Function = Box<dyn Fn(f32) -> f32>;

    /// A function in both ways of rounding. Products and sums that are rounded once are those of the processor's own
    /// instruction, as programs use them: not every C library's `fmaf` rounds once (MinGW's does not).
    macro_rules! ways {
        ($function:ident) => {{
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "fma")]
            fn once(x: f32) -> f32 {
                $function(true, x)
            }
            #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), expect(unused_mut))]
            let mut ways: Vec<Function> = Vec::from([Box::new(|x| $function(false, x)) as Function]);
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("fma") {
                // SAFETY: the processor has the instruction.
                ways.push(Box::new(|x| unsafe { once(x) }));
            }
            #[cfg(target_arch = "aarch64")]
            ways.push(Box::new(|x| $function(true, x)));
            ways
        }};
    }

    #[test]
    fn exp_keeps_its_bound() {
        ways!(exp).into_iter().for_each(exp_keeps_its_bound_with);
    }

    fn exp_keeps_its_bound_with(exp: Function) {
        let mut worst: f64 = 0.0;
        for i in 0..2_000_000 {
            let x = -87.3 + 175.3 * (i as f32 / 2e6);
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) / exact - 1.0).abs());
        }
        assert!(worst < 2.5e-7, "{worst:e}");
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && exp(f32::INFINITY) > 1e38);
    }

    #[test]
    fn ln_keeps_its_bound() {
        ways!(ln).into_iter().for_each(ln_keeps_its_bound_with);
    }

    fn ln_keeps_its_bound_with(ln: Function) {
        let mut worst: f64 = 0.0;
        for i in 0..2_000_000_u32 {
            // Every 1065th pattern of bits from the smallest number on.
            let x = f32::from_bits(1 + i * 1065);
            let exact = f64::from(x).ln();
            let error = f64::from(ln(x)) - exact;
            worst = worst.max((error / exact).abs());
        }
        for i in 0..1_000_000 {
            let x = 0.5 + i as f32 * 1.5e-6;
            let exact = f64::from(x).ln();
            let error = f64::from(ln(x)) - exact;
            worst = worst.max((error / exact).abs());
        }
        assert!(worst < 2e-7, "{worst:e}");
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(ln(0.0), f32::NEG_INFINITY);
        assert_eq!(ln(f32::INFINITY), f32::INFINITY);
        assert!(ln(-1.0).is_nan() && ln(f32::NAN).is_nan());
    }

    #[test]
    fn tanh_keeps_its_bound_and_range() {
        ways!(tanh).into_iter().for_each(tanh_keeps_its_bound_and_range_with);
    }

    fn tanh_keeps_its_bound_and_range_with(tanh: Function) {
        let mut worst: f64 = 0.0;
        let mut last = -1.0;
        for i in 0..2_000_000 {
            let x = -12.0 + 24.0 * (i as f32 / 2e6);
            let (got, exact) = (tanh(x), f64::from(x).tanh());
            worst = worst.max((f64::from(got) - exact).abs() / exact.abs().max(1e-30));
            assert!(got.abs() <= 1.0 && got >= last - 1e-6, "tanh({x}) = {got}");
            last = got;
        }
        assert!(worst < 3e-7, "{worst:e}");
        assert!(tanh(0.0) == 0.0 && tanh(1e30) == 1.0 && tanh(-1e30) == -1.0 && tanh(f32::NAN).is_nan());
        assert_eq!(tanh(1e-20), 1e-20);
    }
}
