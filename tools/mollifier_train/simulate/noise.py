"""Measurement noise of the simulated recordings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter


def add_noise(
    rng: np.random.Generator, field: NDArray[np.float64], percent: float, *, blur: float = 0.0
) -> NDArray[np.float64]:
    """Add Gaussian noise of `percent` % of the standard deviation of the whole `field`.

    Args:
        rng: source of the noise.
        field: the uncropped recording, all its frames: `(sample,)`, `(y, x)` or `(frame, y, x)`.
        percent: noise standard deviation in per cent of the field's.
        blur: standard deviation in pixels or samples of the Gaussian that white noise is blurred with before it is
            scaled: neighbours share it, as interpolation or a sensor's filter leaves it, frames do not.

    Returns:
        float64 array of the field's shape.
    """
    noise = rng.standard_normal(field.shape)
    return field + (blurred(noise, blur) if blur else noise) * (percent / 100 * field.std())


def blurred(noise: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """White noise, `(sample,)` or images on the last two axes, after a Gaussian of `width` samples: of variance 1."""
    frames = max(noise.ndim - 2, 0)
    shared = gaussian_filter(noise, [0.0] * frames + [width] * (noise.ndim - frames), mode="wrap")
    return shared / shared.std()
