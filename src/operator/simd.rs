//! Vectors of single precision values, as wide as the processor has them.
//!
//! Everything on top is written once, generic over [`Vector`]; what differs between processors is how a value is
//! multiplied by a tap and added, and how many at once.

/// A register of single precision values.
pub(super) trait Vector: Copy {
    /// Values in it.
    const LANES: usize;
    /// Output rows that share what they load: their sums and one row of values fit the registers.
    const ROWS: usize;

    fn zero() -> Self;
    /// # Safety
    /// [`LANES`](Self::LANES) values can be read at `from`, and the processor has the instructions.
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// [`LANES`](Self::LANES) values can be written at `to`, and the processor has the instructions.
    unsafe fn store(self, to: *mut f32);
    /// `self + tap * values`, rounded once where the processor can.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn add_product(self, tap: Self, values: Self) -> Self;
    /// The same value everywhere.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn splat(value: f32) -> Self;
    /// The sum.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn plus(self, other: Self) -> Self;
    /// The larger of each value and zero; NaN stays.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn positive(self) -> Self;
}

/// Eight values without any particular instructions; rounds twice.
#[derive(Clone, Copy)]
pub(super) struct Portable(pub(super) [f32; 8]);

impl Vector for Portable {
    const LANES: usize = 8;
    const ROWS: usize = 4;

    #[inline(always)]
    fn zero() -> Self {
        Self([0.0; 8])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn add_product(self, tap: Self, values: Self) -> Self {
        let mut sum = self.0;
        for ((sum, tap), value) in sum.iter_mut().zip(tap.0).zip(values.0) {
            *sum += tap * value;
        }
        Self(sum)
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 8])
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        let mut sum = self.0;
        sum.iter_mut().zip(other.0).for_each(|(sum, other)| *sum += other);
        Self(sum)
    }

    #[inline(always)]
    unsafe fn positive(self) -> Self {
        Self(self.0.map(|v| if v < 0.0 { 0.0 } else { v }))
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use core::arch::x86_64::{
        __m256, __m512, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps, _mm256_set1_ps,
        _mm256_storeu_ps, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_max_ps, _mm512_set1_ps,
        _mm512_storeu_ps,
    };

    use super::Vector;

    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(pub(in crate::operator) __m256);

    impl Vector for Avx2 {
        const LANES: usize = 8;
        const ROWS: usize = 4;

        #[inline(always)]
        fn zero() -> Self {
            // SAFETY: all bits zero are eight zeros.
            Self(unsafe { core::mem::zeroed() })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm256_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller's.
            unsafe { _mm256_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        unsafe fn add_product(self, tap: Self, values: Self) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm256_fmadd_ps(tap.0, values.0, self.0) })
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm256_set1_ps(value) })
        }

        #[inline(always)]
        unsafe fn plus(self, other: Self) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm256_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn positive(self) -> Self {
            // The second argument is what comes out where one of them is no number.
            // SAFETY: the caller's.
            Self(unsafe { _mm256_max_ps(Self::zero().0, self.0) })
        }
    }

    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(pub(in crate::operator) __m512);

    impl Vector for Avx512 {
        const LANES: usize = 16;
        const ROWS: usize = 8;

        #[inline(always)]
        fn zero() -> Self {
            // SAFETY: all bits zero are sixteen zeros.
            Self(unsafe { core::mem::zeroed() })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm512_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller's.
            unsafe { _mm512_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        unsafe fn add_product(self, tap: Self, values: Self) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm512_fmadd_ps(tap.0, values.0, self.0) })
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm512_set1_ps(value) })
        }

        #[inline(always)]
        unsafe fn plus(self, other: Self) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn positive(self) -> Self {
            // The second argument is what comes out where one of them is no number.
            // SAFETY: the caller's.
            Self(unsafe { _mm512_max_ps(Self::zero().0, self.0) })
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub(super) mod arm {
    use core::arch::aarch64::{float32x4_t, vaddq_f32, vdupq_n_f32, vfmaq_f32, vld1q_f32, vmaxq_f32, vst1q_f32};

    use super::Vector;

    #[derive(Clone, Copy)]
    pub(crate) struct Neon(pub(in crate::operator) float32x4_t);

    impl Vector for Neon {
        const LANES: usize = 4;
        const ROWS: usize = 8;

        #[inline(always)]
        fn zero() -> Self {
            // SAFETY: all bits zero are four zeros.
            Self(unsafe { core::mem::zeroed() })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { vld1q_f32(from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller's.
            unsafe { vst1q_f32(to, self.0) }
        }

        #[inline(always)]
        unsafe fn add_product(self, tap: Self, values: Self) -> Self {
            // SAFETY: every aarch64 processor has it.
            Self(unsafe { vfmaq_f32(self.0, tap.0, values.0) })
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: every aarch64 processor has it.
            Self(unsafe { vdupq_n_f32(value) })
        }

        #[inline(always)]
        unsafe fn plus(self, other: Self) -> Self {
            // SAFETY: every aarch64 processor has it.
            Self(unsafe { vaddq_f32(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn positive(self) -> Self {
            // SAFETY: every aarch64 processor has it.
            Self(unsafe { vmaxq_f32(self.0, Self::zero().0) })
        }
    }
}
