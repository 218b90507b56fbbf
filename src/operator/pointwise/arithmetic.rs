//! What pointwise programs do with vectors, beside what all operators do.

use crate::operator::simd::{Portable, Vector};

/// Arithmetic value by value.
pub(super) trait Arithmetic: Vector {
    /// Whether a product and a sum are rounded once.
    const FUSED: bool;

    /// # Safety
    /// The processor has the instructions.
    unsafe fn minus(self, other: Self) -> Self;
    /// # Safety
    /// The processor has the instructions.
    unsafe fn times(self, other: Self) -> Self;
    /// # Safety
    /// The processor has the instructions.
    unsafe fn over(self, other: Self) -> Self;
    /// # Safety
    /// The processor has the instructions.
    unsafe fn root(self) -> Self;
    /// # Safety
    /// The processor has the instructions.
    unsafe fn magnitude(self) -> Self;
    /// Where it is greater than the other, else the other.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn larger(self, other: Self) -> Self;
    /// Where it is less than the other, else the other.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn smaller(self, other: Self) -> Self;
    /// `yes` where it is greater than the other, else `no`.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn greater(self, other: Self, yes: Self, no: Self) -> Self;
    /// `self - a * b`.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn less_product(self, a: Self, b: Self) -> Self;
    /// `self * a - b`.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn product_less(self, a: Self, b: Self) -> Self;

    /// # Safety
    /// The processor has the instructions.
    #[inline(always)]
    unsafe fn negated(self) -> Self {
        // Zero gets its sign as well.
        // SAFETY: the caller's.
        unsafe { Self::splat(-0.0).minus(self) }
    }
}

/// Both value by value.
#[inline(always)]
fn both(a: Portable, b: Portable, f: impl Fn(f32, f32) -> f32) -> Portable {
    Portable(core::array::from_fn(|i| f(a.0[i], b.0[i])))
}

impl Arithmetic for Portable {
    const FUSED: bool = false;

    #[inline(always)]
    unsafe fn minus(self, other: Self) -> Self {
        both(self, other, |a, b| a - b)
    }

    #[inline(always)]
    unsafe fn times(self, other: Self) -> Self {
        both(self, other, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn over(self, other: Self) -> Self {
        both(self, other, |a, b| a / b)
    }

    #[inline(always)]
    unsafe fn root(self) -> Self {
        Self(self.0.map(f32::sqrt))
    }

    #[inline(always)]
    unsafe fn magnitude(self) -> Self {
        Self(self.0.map(f32::abs))
    }

    #[inline(always)]
    unsafe fn larger(self, other: Self) -> Self {
        both(self, other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    unsafe fn smaller(self, other: Self) -> Self {
        both(self, other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    unsafe fn greater(self, other: Self, yes: Self, no: Self) -> Self {
        Self(core::array::from_fn(|i| if self.0[i] > other.0[i] { yes.0[i] } else { no.0[i] }))
    }

    #[inline(always)]
    unsafe fn less_product(self, a: Self, b: Self) -> Self {
        both(self, both(a, b, |a, b| a * b), |c, product| c - product)
    }

    #[inline(always)]
    unsafe fn product_less(self, a: Self, b: Self) -> Self {
        both(both(self, a, |c, a| c * a), b, |product, b| product - b)
    }
}

/// Methods that are one instruction each.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! instructions {
    ($($method:ident($($argument:ident),*) = $instruction:ident($($operand:expr),*);)*) => {
        $(
            #[inline(always)]
            unsafe fn $method(self $(, $argument: Self)*) -> Self {
                let x = self.0;
                $(let $argument = $argument.0;)*
                // SAFETY: the caller's.
                Self(unsafe { $instruction(x $(, $operand)*) })
            }
        )*
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::{
        _CMP_GT_OQ, _mm256_and_ps, _mm256_blendv_ps, _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_div_ps,
        _mm256_fmsub_ps, _mm256_fnmadd_ps, _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps, _mm256_set1_epi32,
        _mm256_sqrt_ps, _mm256_sub_ps, _mm512_abs_ps, _mm512_cmp_ps_mask, _mm512_div_ps, _mm512_fmsub_ps,
        _mm512_fnmadd_ps, _mm512_mask_blend_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_sqrt_ps,
        _mm512_sub_ps,
    };

    use super::Arithmetic;
    use crate::operator::simd::x86::{Avx2, Avx512};

    impl Arithmetic for Avx2 {
        const FUSED: bool = true;

        instructions! {
            minus(other) = _mm256_sub_ps(other);
            times(other) = _mm256_mul_ps(other);
            over(other) = _mm256_div_ps(other);
            root() = _mm256_sqrt_ps();
            // Of two values one of which is no number, or which are both zero, the second comes out.
            larger(other) = _mm256_max_ps(other);
            smaller(other) = _mm256_min_ps(other);
            product_less(a, b) = _mm256_fmsub_ps(a, b);
        }

        #[inline(always)]
        unsafe fn magnitude(self) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm256_and_ps(self.0, _mm256_castsi256_ps(_mm256_set1_epi32(i32::MAX))) })
        }

        #[inline(always)]
        unsafe fn greater(self, other: Self, yes: Self, no: Self) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm256_blendv_ps(no.0, yes.0, _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, other.0)) })
        }

        #[inline(always)]
        unsafe fn less_product(self, a: Self, b: Self) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm256_fnmadd_ps(a.0, b.0, self.0) })
        }
    }

    impl Arithmetic for Avx512 {
        const FUSED: bool = true;

        instructions! {
            minus(other) = _mm512_sub_ps(other);
            times(other) = _mm512_mul_ps(other);
            over(other) = _mm512_div_ps(other);
            root() = _mm512_sqrt_ps();
            magnitude() = _mm512_abs_ps();
            larger(other) = _mm512_max_ps(other);
            smaller(other) = _mm512_min_ps(other);
            product_less(a, b) = _mm512_fmsub_ps(a, b);
        }

        #[inline(always)]
        unsafe fn greater(self, other: Self, yes: Self, no: Self) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, other.0), no.0, yes.0) })
        }

        #[inline(always)]
        unsafe fn less_product(self, a: Self, b: Self) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm512_fnmadd_ps(a.0, b.0, self.0) })
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use core::arch::aarch64::{
        vabsq_f32, vbslq_f32, vcgtq_f32, vdivq_f32, vfmsq_f32, vmulq_f32, vnegq_f32, vsqrtq_f32, vsubq_f32,
    };

    use super::Arithmetic;
    use crate::operator::simd::arm::Neon;

    impl Arithmetic for Neon {
        const FUSED: bool = true;

        instructions! {
            minus(other) = vsubq_f32(other);
            times(other) = vmulq_f32(other);
            over(other) = vdivq_f32(other);
            root() = vsqrtq_f32();
            magnitude() = vabsq_f32();
            less_product(a, b) = vfmsq_f32(a, b);
        }

        // The processor's own maximum and minimum give NaN whichever of the two is none.
        #[inline(always)]
        unsafe fn larger(self, other: Self) -> Self {
            // SAFETY: every aarch64 processor has it.
            unsafe { self.greater(other, self, other) }
        }

        #[inline(always)]
        unsafe fn smaller(self, other: Self) -> Self {
            // SAFETY: every aarch64 processor has it.
            unsafe { other.greater(self, self, other) }
        }

        #[inline(always)]
        unsafe fn greater(self, other: Self, yes: Self, no: Self) -> Self {
            // SAFETY: every aarch64 processor has it.
            Self(unsafe { vbslq_f32(vcgtq_f32(self.0, other.0), yes.0, no.0) })
        }

        #[inline(always)]
        unsafe fn product_less(self, a: Self, b: Self) -> Self {
            // SAFETY: every aarch64 processor has it.
            Self(unsafe { vnegq_f32(vfmsq_f32(b.0, self.0, a.0)) })
        }
    }
}
