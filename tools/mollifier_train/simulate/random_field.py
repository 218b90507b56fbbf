"""Gaussian random fields and series with a stated correlation length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def gaussian_random_field(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    length: float,
    *,
    periodic: bool = False,
) -> NDArray[np.float64]:
    """Draw a unit-variance Gaussian random field.

    The covariance of two points `d` apart is `exp(-d^2 / (2 length^2))`, made by filtering white noise in
    Fourier space. The field is periodic over `shape` if asked; otherwise it is cut from a torus that is four
    lengths larger on every axis, so that opposite edges are uncorrelated.

    Args:
        rng: source of the white noise.
        shape: samples per axis, `(y, x)` or `(t,)`.
        length: correlation length in samples.
        periodic: whether opposite edges join.

    Returns:
        float64 array of `shape`; its ensemble variance is 1 (the sample variance varies).
    """
    torus = shape if periodic else tuple(n + int(np.ceil(4 * length)) for n in shape)
    k2 = np.zeros(torus)
    for axis, n in enumerate(torus):
        k = 2 * np.pi * np.fft.fftfreq(n)
        k2 = k2 + (k**2).reshape([-1 if a == axis else 1 for a in range(len(torus))])
    amplitude = np.exp(-k2 * length**2 / 4)
    amplitude /= np.sqrt(np.mean(amplitude**2))
    field = np.fft.ifftn(np.fft.fftn(rng.standard_normal(torus)) * amplitude).real
    return field[tuple(slice(0, n) for n in shape)]
