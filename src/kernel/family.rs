//! Mollifier families: smooth profiles with support |r| < 1 and their derivatives.

use core::fmt;
use core::str::FromStr;

use super::jet::Jet;

/// The highest derivative order that kernels are made for.
pub const MAX_ORDER: usize = 4;

/// A smooth, compactly supported profile eta(r), r in units of the radius.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// (1 - r^2)^N, written `polyN`, N from 1 to 16. The best discrete kernel of the three: `poly4` for orders
    /// up to 2, `poly8` for order 4.
    Poly(u32),
    /// exp(-1/(1 - r^2)), the textbook mollifier; poor at few samples, even after correction.
    Bump,
    /// exp(-r^2 / (2 s^2)) with s = 1/3, cut at |r| = 1: three standard deviations.
    Gauss,
}

/// Standard deviation of [`Family::Gauss`] in units of the radius.
pub const GAUSS_SD: f64 = 1.0 / 3.0;

impl Family {
    /// The derivative of order `order` of eta at `r`; zero outside |r| < 1.
    ///
    /// Exact up to rounding: the profile's formula is evaluated in Taylor arithmetic (the coefficients of its
    /// expansion about `r`), not by differences.
    ///
    /// # Panics
    /// If `order` is above [`MAX_ORDER`].
    #[must_use]
    pub fn derivative(self, r: f64, order: usize) -> f64 {
        assert!(order <= MAX_ORDER, "derivative order: got {order}, expected at most {MAX_ORDER}");
        if libm::fabs(r) >= 1.0 {
            return 0.0;
        }
        // 1 - (r + h)^2 in powers of h.
        let gap = Jet::new([1.0 - r * r, -2.0 * r, -1.0, 0.0, 0.0]);
        let jet = match self {
            Self::Poly(power) => gap.powi(power),
            Self::Bump => gap.recip().scale(-1.0).exp(),
            Self::Gauss => {
                // -(r + h)^2 / (2 s^2) = (gap - 1) / (2 s^2)
                let exponent = Jet::new([-r * r, -2.0 * r, -1.0, 0.0, 0.0]);
                exponent.scale(0.5 / (GAUSS_SD * GAUSS_SD)).exp()
            }
        };
        jet.derivative(order)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Poly(power) => write!(f, "poly{power}"),
            Self::Bump => f.write_str("bump"),
            Self::Gauss => f.write_str("gauss"),
        }
    }
}

/// A family name that is none of `poly1` .. `poly16`, `bump`, `gauss`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownFamily;

impl fmt::Display for UnknownFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown kernel family, expected poly1 .. poly16, bump or gauss")
    }
}

impl core::error::Error for UnknownFamily {}

impl FromStr for Family {
    type Err = UnknownFamily;

    fn from_str(name: &str) -> Result<Self, UnknownFamily> {
        match name {
            "bump" => Ok(Self::Bump),
            "gauss" => Ok(Self::Gauss),
            _ => match name.strip_prefix("poly").and_then(|n| n.parse().ok()) {
                Some(power @ 1..=16) => Ok(Self::Poly(power)),
                _ => Err(UnknownFamily),
            },
        }
    }
}
