"""Measurement noise of the simulated recordings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter


def add_noise(rng: np.random.Generator, field: NDArray[np.float64], percent: float) -> NDArray[np.float64]:
    """Add independent Gaussian noise of `percent` % of the standard deviation of the whole `field`.

    Args:
        rng: source of the noise.
        field: the uncropped recording, all its frames.
        percent: noise standard deviation in per cent of the field's.

    Returns:
        float64 array of the field's shape.
    """
    return field + rng.standard_normal(field.shape) * (percent / 100 * field.std())


def add_blurred_noise(
    rng: np.random.Generator, field: NDArray[np.float64], percent: float, *, width: float
) -> NDArray[np.float64]:
    """Add noise that neighbouring pixels share, as a camera's interpolation or blur leaves it; frames are independent.

    Args:
        rng: source of the noise.
        field: the uncropped recording, `(y, x)` or `(frame, y, x)`.
        percent: standard deviation after the blur, in per cent of the field's.
        width: standard deviation of the Gaussian that white noise is blurred with, in pixels.
    """
    white = rng.standard_normal(field.shape)
    noise = gaussian_filter(white, [0.0] * (field.ndim - 2) + [width, width], mode="wrap")
    return field + noise * (percent / 100 * field.std() / noise.std())
