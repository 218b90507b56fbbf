"""What a score is held against: estimates without mollifiers, and one without physics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Array = NDArray[np.float64]

LARGEST_PHI = 0.95
"""Where a blurred phi is clipped, so that (1 + phi)/(1 - phi) stays below 39."""


def laplacian(u: Array, spacing: tuple[float, float] = (1.0, 1.0)) -> Array:
    """Five-point Laplacian of `(y, x)`; NaN on the border, where it does not exist."""
    lap = np.full(u.shape, np.nan)
    dyy = (u[:-2, 1:-1] + u[2:, 1:-1] - 2 * u[1:-1, 1:-1]) / spacing[0] ** 2
    dxx = (u[1:-1, :-2] + u[1:-1, 2:] - 2 * u[1:-1, 1:-1]) / spacing[1] ** 2
    lap[1:-1, 1:-1] = dyy + dxx
    return lap


def slope(u: Array, interval: float) -> Array:
    """Least-squares slope over the frames of `(frame, y, x)`, per unit of time: `(y, x)`."""
    t = interval * (np.arange(len(u)) - (len(u) - 1) / 2)
    return np.tensordot(t / (t @ t), u, axes=1)


def langevin(u: Array, step: float, a: float = 1.0) -> Array:
    """Central differences: u_t - a u, `(sample,)`."""
    return np.gradient(u, step) - a * u


def heat(u: Array, m: Array, spacing: tuple[float, float]) -> Array:
    """Five-point differences: -m / Lap u, `(y, x)`."""
    with np.errstate(divide="ignore"):
        return -m / laplacian(u, spacing)


def heat_transient(u: Array, m: Array, interval: float) -> Array:
    """(u_t - m) / Lap u of the frames `(frame, y, x)`: slope and mean over time, five-point differences."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return (slope(u, interval) - m) / laplacian(u.mean(axis=0))


def reaction_diffusion(phi: Array, interval: float, kappa: float, k: float) -> Array:
    """lambda from the equation at each pixel by five-point differences.

    Args:
        phi: the frames, `(frame, y, x)`; a single one counts as steady.
        interval: time between frames.
        kappa: gradient-energy coefficient, pixel^2.
        k: reaction rate.

    Returns:
        `(y, x)`; NaN within two pixels of the border.
    """
    mean = phi.mean(axis=0)
    rate = slope(phi, interval) if len(phi) > 1 else np.zeros_like(mean)
    mu = (phi**3).mean(axis=0) - mean - kappa * laplacian(mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (rate - laplacian(mu) + k * (1 + mean)) / (k * (1 - mean))


def phase(density: Array) -> Array:
    """Scale a density map `(y, x)` to phi.

    The phases' densities are taken to lie 14 % of the distance between the 2 % and 98 % quantiles beyond them, where
    they lie in simulated maps.
    """
    low, high = np.quantile(density, [0.02, 0.98])
    low, high = low - 0.14 * (high - low), high + 0.14 * (high - low)
    return 2 * (density - low) / (high - low) - 1


def blur_ratio(phi: Array, width: float) -> Array:
    """Local equilibrium of a blurred phi: (1 + phi)/(1 - phi), `(y, x)`.

    No physics beyond the balance of the reactions. Where it scores as high as a model, the test set gives lambda
    away in phi itself.

    Args:
        phi: the order parameter, `(y, x)`.
        width: standard deviation of the Gaussian blur, in pixels.
    """
    smooth = np.clip(gaussian_filter(phi, width), -LARGEST_PHI, LARGEST_PHI)
    return (1 + smooth) / (1 - smooth)
