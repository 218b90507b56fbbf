//! A kernel's taps in the interior and at the edges.

use alloc::vec::Vec;

use super::family::{Family, MAX_ORDER};
use super::moments::corrected;
use super::{KernelError, MAX_RADIUS};

/// What a kernel is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Design {
    /// Profile.
    pub family: Family,
    /// Half-width in samples: taps stand at -R..=R.
    pub radius: usize,
    /// Derivative order, 0 to 4.
    pub order: usize,
    /// Highest moment that the interior taps meet exactly; `None` leaves them as sampled.
    pub correction: Option<usize>,
    /// Highest moment that one-sided taps meet exactly.
    ///
    /// An average that only weighs other terms (both sides of a ratio) is best with 0: weights that stay
    /// positive; where the smoothed value itself counts, 1.
    pub edge_correction: usize,
}

/// Discrete taps of a mollifier's derivative.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    design: Design,
    taps: Vec<f64>,
    /// Row-major (R, 2R+1): position i from the border, sample 0..=2R.
    left: Vec<f64>,
}

impl Kernel {
    /// The derivative of order `order`, exact on polynomials up to degree `order + 1`.
    ///
    /// # Errors
    /// As [`from_design`](Self::from_design).
    pub fn new(family: Family, radius: usize, order: usize) -> Result<Self, KernelError> {
        Self::with_correction(family, radius, order, order + 1)
    }

    /// The derivative of order `order`, exact on polynomials up to degree `correction`.
    ///
    /// # Errors
    /// As [`from_design`](Self::from_design).
    pub fn with_correction(
        family: Family,
        radius: usize,
        order: usize,
        correction: usize,
    ) -> Result<Self, KernelError> {
        Self::from_design(Design { family, radius, order, correction: Some(correction), edge_correction: correction })
    }

    /// The taps as sampled, normalised by the sum of the profile and otherwise uncorrected; at the edges, weights
    /// meet the moments up to `order`.
    ///
    /// # Errors
    /// As [`from_design`](Self::from_design).
    pub fn uncorrected(family: Family, radius: usize, order: usize) -> Result<Self, KernelError> {
        Self::from_design(Design { family, radius, order, correction: None, edge_correction: order })
    }

    /// Lay out the taps.
    ///
    /// Interior: `k0(x) = (-1)^a eta^(a)(x/R) / (R^a sum eta)`, then `k = k0 + eta(x/R) p(x)` with the polynomial p for
    /// which `sum k x^j = a! delta_ja` for j up to the correction.
    ///
    /// Edges: position i < R uses the fixed window of samples 0..=2R with weights eta((x - i)/(2R + 1 - i)), the
    /// profile centred at i and stretched to reach the window's far end, times a polynomial that meets the
    /// moments up to the edge correction: local polynomial regression with mollifier weights. Stretching keeps
    /// the number of samples, and with it the noise, near that of the interior.
    ///
    /// # Errors
    /// An order above 4, a radius above [`MAX_RADIUS`], a profile that is not that smooth, a correction below the order, or a radius with too few samples for the moments.
    pub fn from_design(design: Design) -> Result<Self, KernelError> {
        let Design { family, radius, order, correction, edge_correction } = design;
        if order > MAX_ORDER {
            return Err(KernelError::Order { got: order });
        }
        if radius > MAX_RADIUS {
            return Err(KernelError::Radius { got: radius });
        }
        if let Family::Poly(power) = family
            && (power as usize) < order
        {
            return Err(KernelError::Smoothness { power, order });
        }
        for q in correction.into_iter().chain([edge_correction]) {
            if q < order {
                return Err(KernelError::Correction { got: q, order });
            }
        }
        let width = 2 * radius + 1;
        let r = radius.max(1) as f64;
        let x: Vec<f64> = (0..width).map(|c| (c as f64 - radius as f64) / r).collect();
        let weights: Vec<f64> = x.iter().map(|x| family.derivative(*x, 0)).collect();
        let sum: f64 = weights.iter().sum();
        // A correlation stencil is the mirror image of the convolution kernel.
        let mirror = if order.is_multiple_of(2) { 1.0 } else { -1.0 };
        let sampled: Vec<f64> = x.iter().map(|x| mirror * family.derivative(*x, order) / sum).collect();
        let scaled = match correction {
            Some(highest) => corrected(&x, &weights, &sampled, order, highest)?,
            None => sampled,
        };
        let scale = power(r, order);
        let taps = scaled.into_iter().map(|k| k / scale).collect();
        let mut left = Vec::with_capacity(radius * width);
        for i in 0..radius {
            let reach = (2 * radius + 1 - i) as f64;
            let x: Vec<f64> = (0..width).map(|c| (c as f64 - i as f64) / reach).collect();
            let weights: Vec<f64> = x.iter().map(|x| family.derivative(*x, 0)).collect();
            let zeros: Vec<f64> = x.iter().map(|_| 0.0).collect();
            let row = corrected(&x, &weights, &zeros, order, edge_correction)?;
            left.extend(row.into_iter().map(|k| k / power(reach, order)));
        }
        Ok(Self { design, taps, left })
    }

    /// What the kernel is made of.
    #[must_use]
    pub fn design(&self) -> Design {
        self.design
    }

    /// Half-width R in samples.
    #[must_use]
    pub fn radius(&self) -> usize {
        self.design.radius
    }

    /// Derivative order a.
    #[must_use]
    pub fn order(&self) -> usize {
        self.design.order
    }

    /// The 2R+1 interior taps, for sample distance 1; divide by h^a for sample distance h.
    #[must_use]
    pub fn taps(&self) -> &[f64] {
        &self.taps
    }

    /// The 2R+1 taps over samples 0..=2R that give the derivative at sample `i`.
    ///
    /// # Panics
    /// If `i` is not below the radius.
    #[must_use]
    pub fn one_sided(&self, i: usize) -> &[f64] {
        let width = self.taps.len();
        &self.left[i * width..(i + 1) * width]
    }

    /// Row-major (R, 2R+1): the first R outputs from the first 2R+1 samples.
    #[must_use]
    pub fn edge_matrix(&self) -> &[f64] {
        &self.left
    }

    /// Row-major (R, 2R+1): the last R outputs from the last 2R+1 samples. The mirror image of
    /// [`edge_matrix`](Self::edge_matrix), with its sign changed for odd orders.
    #[must_use]
    pub fn edge_matrix_right(&self) -> Vec<f64> {
        let sign = if self.design.order.is_multiple_of(2) { 1.0 } else { -1.0 };
        self.left.iter().rev().map(|k| k * sign).collect()
    }
}

fn power(base: f64, exponent: usize) -> f64 {
    (0..exponent).fold(1.0, |p, _| p * base)
}
