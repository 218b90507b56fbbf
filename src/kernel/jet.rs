//! Taylor arithmetic: a function's value and derivatives carried through a formula.

use super::family::MAX_ORDER;

const TERMS: usize = MAX_ORDER + 1;

/// Coefficients of powers of h of f(r + h), up to h^4.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jet([f64; TERMS]);

impl Jet {
    pub(super) fn new(coefficients: [f64; TERMS]) -> Self {
        Self(coefficients)
    }

    pub(super) fn scale(self, factor: f64) -> Self {
        Self(self.0.map(|c| c * factor))
    }

    pub(super) fn mul(self, other: Self) -> Self {
        let mut product = [0.0; TERMS];
        for (i, a) in self.0.iter().enumerate() {
            for (b, p) in other.0.iter().zip(&mut product[i..]) {
                *p += a * b;
            }
        }
        Self(product)
    }

    pub(super) fn powi(self, power: u32) -> Self {
        let mut one = [0.0; TERMS];
        one[0] = 1.0;
        (0..power).fold(Self(one), |product, _| product.mul(self))
    }

    /// 1/self; the value must not be zero.
    pub(super) fn recip(self) -> Self {
        let a = self.0;
        let mut inverse = [0.0; TERMS];
        inverse[0] = 1.0 / a[0];
        for n in 1..TERMS {
            let sum: f64 = (1..=n).map(|k| a[k] * inverse[n - k]).sum();
            inverse[n] = -sum / a[0];
        }
        Self(inverse)
    }

    /// exp(self), from n e_n = sum_k k a_k e_(n-k).
    pub(super) fn exp(self) -> Self {
        let a = self.0;
        let mut e = [0.0; TERMS];
        e[0] = libm::exp(a[0]);
        for n in 1..TERMS {
            let sum: f64 = (1..=n).map(|k| k as f64 * a[k] * e[n - k]).sum();
            e[n] = sum / n as f64;
        }
        Self(e)
    }

    pub(super) fn derivative(self, order: usize) -> f64 {
        (1..=order).fold(self.0[order], |product, k| product * k as f64)
    }
}
