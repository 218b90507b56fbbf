"""Measurement noise of the simulated recordings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
