//! Mollifiers as discrete taps: families, analytic derivatives, moment correction, one-sided edges. `no_std`.
//!
//! A mollifier eta with compact support turns a derivative of noisy data into a fixed sum over neighbouring
//! samples (Bhartari, Vinayak, Shenoy, "Mollifier Layers", TMLR 2026). Sampled at few points the textbook
//! kernels are wrong, not just noisy: the bump of radius 3 gives -0.55 for the second derivative of x^2/2. So
//! taps are corrected until they are exact on polynomials up to a stated degree.
//!
//! Taps are a **correlation** stencil: the derivative at sample i is `sum_x taps[x + R] * u[i + x]`, x from -R
//! to R. In the paper's convolution form the kernel is mirrored, which for odd orders flips its sign.

mod family;
mod jet;
mod moments;
mod taps;

pub use family::{Family, GAUSS_SD, MAX_ORDER, UnknownFamily};
pub use taps::{Design, Kernel};

use core::fmt;

/// Largest radius: one-sided taps take R (2R + 1) values.
pub const MAX_RADIUS: usize = 1024;

/// Taps that do not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelError {
    /// A derivative order above [`MAX_ORDER`].
    Order {
        /// The order asked for.
        got: usize,
    },
    /// A radius above [`MAX_RADIUS`].
    Radius {
        /// The radius asked for.
        got: usize,
    },
    /// A polynomial profile whose derivative of this order jumps at the end of its support.
    Smoothness {
        /// The N of `polyN`.
        power: u32,
        /// The derivative order.
        order: usize,
    },
    /// A highest exact moment below the derivative order: the kernel would not even scale right.
    Correction {
        /// The moment asked for.
        got: usize,
        /// The derivative order.
        order: usize,
    },
    /// Too few samples carry weight to meet the moment conditions: the radius is too small.
    TooFewTaps {
        /// Samples that carry weight.
        got: usize,
        /// Samples needed: one for each condition.
        expected: usize,
    },
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order { got } => write!(f, "derivative order: got {got}, expected 0 to {MAX_ORDER}"),
            Self::Radius { got } => write!(f, "radius: got {got}, expected at most {MAX_RADIUS} samples"),
            Self::Smoothness { power, order } => {
                write!(f, "kernel family: got poly{power}, expected at least poly{order} for derivative order {order}")
            }
            Self::Correction { got, order } => {
                write!(f, "highest exact moment: got {got}, expected at least the derivative order {order}")
            }
            Self::TooFewTaps { got, expected } => {
                write!(f, "radius too small: {got} samples carry weight, expected at least {expected}")
            }
        }
    }
}

impl core::error::Error for KernelError {}
