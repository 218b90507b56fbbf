"""Usual ways to differentiate noisy data, each with the width that suits the noise best: what a model is held against.

Every estimate here is pointwise: terms are differentiated at one width and divided, as a person with a filter library
would. Where a law divides, values are held to a range around the median, without which a few of them would decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, distance_transform_edt, gaussian_filter
from scipy.signal import savgol_filter

from .baselines import slope

Array = NDArray[np.float64]
Differentiate = Callable[[Array, Sequence[int], int], Array]
"""Of a field, the order along each axis and a width in samples: the derivative per sample, of the field's shape."""

RANGE = 20.0
"""An estimate of a positive parameter is held to this factor around its median."""
SUPPORTED = 0.999


def gaussian(u: Array, orders: Sequence[int], width: int) -> Array:
    """Derivative of a Gaussian whose standard deviation is half of `width`; border samples are repeated outwards."""
    return gaussian_filter(u, width / 2, order=tuple(orders), mode="nearest")


def savitzky_golay(u: Array, orders: Sequence[int], width: int) -> Array:
    """Least-squares polynomials over `2 width + 1` samples, one axis after the other.

    Of degree 2 for values and slopes, 4 and 6 for second and fourth derivatives.
    """
    for axis, order in enumerate(orders):
        degree = order + 2 - order % 2
        u = savgol_filter(u, 2 * width + 1, degree, deriv=order, axis=axis, mode="interp")
    return u


def weak(u: Array, orders: Sequence[int], width: int) -> Array:
    """Integrals against test functions `(1 - (x/width)^2)^p`, as weak SINDy takes them (Messenger & Bortz, 2021).

    p is 2 above the highest order. Taps are samples of the analytic derivative, without moment correction; where the
    support leaves the field there is no value.
    """
    x = np.arange(-width, width + 1) / width
    power = max(orders) + 2
    test = np.polynomial.Polynomial([1.0, 0.0, -1.0]) ** power
    inside = np.ones(u.shape)
    for axis, order in enumerate(orders):
        area = np.asarray(test(x)).sum()
        taps = np.asarray(test.deriv(order)(x) if order else test(x)) / area / width**order
        u = convolve1d(u, taps, axis=axis, mode="constant")
        inside = convolve1d(inside, np.asarray(test(x)) / area, axis=axis, mode="constant")
    return np.where(inside > SUPPORTED, u, np.nan)


SAVITZKY_GOLAY, GAUSSIAN, WEAK = "Savitzky-Golay", "Gaussian derivatives", "weak form, uncorrected"
"""Names as they stand in a card."""
METHODS: dict[str, Differentiate] = {SAVITZKY_GOLAY: savitzky_golay, GAUSSIAN: gaussian, WEAK: weak}
WIDTHS = {
    SAVITZKY_GOLAY: (4, 6, 8, 11, 15, 20, 26, 34, 44),
    GAUSSIAN: (2, 3, 4, 6, 8, 11, 15, 20, 26),
    WEAK: (6, 8, 11, 15, 20, 26, 34, 44),
}
"""Among which a width is chosen, in samples."""


def ratio(numerator: Array, denominator: Array) -> Array:
    """A positive parameter as a quotient, within `RANGE` of its median; missing values take the nearest one's."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = numerator / denominator
    positive = value[np.isfinite(value) & (value > 0)]
    typical = float(np.median(positive)) if positive.size else 1.0
    return nearest(np.clip(value, typical / RANGE, typical * RANGE))


def nearest(value: Array) -> Array:
    """`value` with every NaN replaced by the nearest value that is none; zeros if all are."""
    missing = np.isnan(value)
    if missing.all():
        return np.zeros_like(value)
    if not missing.any():
        return value
    index = distance_transform_edt(missing, return_distances=False, return_indices=True)
    return value[tuple(index)]


def langevin(u: Array, step: float, of: Differentiate, width: int, *, a: float = 1.0) -> Array:
    """u_t - a u, `(sample,)`."""
    return nearest(of(u, (1,), width) / step - a * of(u, (0,), width))


def laplacian(u: Array, of: Differentiate, width: int, aspect: float = 1.0) -> Array:
    """Per row distance squared; `aspect` is the column distance over the row distance."""
    return of(u, (2, 0), width) + of(u, (0, 2), width) / aspect**2


def heat(u: Array, m: Array, spacing: tuple[float, float], of: Differentiate, width: int) -> Array:
    """-m / Lap u, `(y, x)`, both smoothed alike."""
    bend = laplacian(u, of, width, spacing[1] / spacing[0]) / spacing[0] ** 2
    return ratio(-of(m, (0, 0), width), bend)


def heat_transient(u: Array, m: Array, interval: float, of: Differentiate, width: int) -> Array:
    """(u_t - m) / Lap u of the frames `(frame, y, x)`: slope and mean over time."""
    change = of(slope(u, interval) - m, (0, 0), width)
    return ratio(change, laplacian(u.mean(axis=0), of, width))


def reaction_diffusion(phi: Array, interval: float, kappa: float, k: float, of: Differentiate, width: int) -> Array:
    """(phi_t - Lap mu + k (1 + phi)) / (k (1 - phi)) of the frames `(frame, y, x)`; one frame counts as steady."""
    mean = phi.mean(axis=0)
    force = (phi**3).mean(axis=0) - mean
    bilaplacian = of(mean, (4, 0), width) + 2 * of(mean, (2, 2), width) + of(mean, (0, 4), width)
    smooth = of(mean, (0, 0), width)
    change = of(slope(phi, interval), (0, 0), width) if len(phi) > 1 else 0.0
    return ratio(change - laplacian(force, of, width) + kappa * bilaplacian + k * (1 + smooth), k * (1 - smooth))
