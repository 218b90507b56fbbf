"""Transient heat: recordings of u_t = lambda Lap u + m on a periodic square, in pixel units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .random_field import gaussian_random_field


@dataclass(frozen=True)
class TransientHeat:
    """One simulated recording.

    Attributes:
        u: the field, `(frame, y, x)`.
        time: time of each frame.
        lam: the hidden diffusivity, `(y, x)`, pixel^2 per unit of time.
        m: the known source, `(y, x)`.
    """

    u: NDArray[np.float64]
    time: NDArray[np.float64]
    lam: NDArray[np.float64]
    m: NDArray[np.float64]


def laplacian(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fourth-order periodic Laplacian on the last two axes, unit spacing."""
    p = np.pad(u, [(0, 0)] * (u.ndim - 2) + [(2, 2), (2, 2)], mode="wrap")
    near = p[..., 1:-3, 2:-2] + p[..., 3:-1, 2:-2] + p[..., 2:-2, 1:-3] + p[..., 2:-2, 3:-1]
    far = p[..., :-4, 2:-2] + p[..., 4:, 2:-2] + p[..., 2:-2, :-4] + p[..., 2:-2, 4:]
    return (16 * near - far) / 12 - 5 * u


def evolve(
    u0: NDArray[np.float64],
    lam: NDArray[np.float64],
    m: NDArray[np.float64],
    time: NDArray[np.float64],
    *,
    max_step: float = 0.1,
) -> NDArray[np.float64]:
    """Integrate u_t = lam Lap u + m from u0 at time 0 with classical Runge-Kutta steps.

    Args:
        u0: field at time 0, `(y, x)`.
        lam: diffusivity; `max_step * lam` must stay below 0.26 for stability.
        m: source.
        time: ascending times >= 0 to return.
        max_step: longest step.

    Returns:
        the field at `time`, `(frame, y, x)`.
    """

    def rate(u: NDArray[np.float64]) -> NDArray[np.float64]:
        return lam * laplacian(u) + m

    frames, u, now = [], u0.copy(), 0.0
    for t in time:
        steps = int(np.ceil((t - now) / max_step - 1e-9))
        for _ in range(steps):
            h = (t - now) / steps
            a = rate(u)
            b = rate(u + h / 2 * a)
            c = rate(u + h / 2 * b)
            d = rate(u + h * c)
            u = u + h / 6 * (a + 2 * b + 2 * c + d)
        now = float(t)
        frames.append(u.copy())
    return np.stack(frames)


def simulate(
    seed: int,
    *,
    size: int = 128,
    frames: int = 5,
    interval: float = 4.0,
    lam_length: tuple[float, float] = (14.0, 32.0),
    u0_length: tuple[float, float] = (12.0, 20.0),
    source: float = 0.02,
) -> TransientHeat:
    """Simulate one recording: lambda = 2.5^tanh(GRF), m = source * GRF, u(0) = GRF.

    Args:
        seed: names the recording.
        size: pixels a side.
        frames: number of frames; the first is at time 0.
        interval: time between frames.
        lam_length: range of lambda's correlation length, in pixels.
        u0_length: range of the correlation length of u(0), and of m.
        source: standard deviation of m.
    """
    rng = np.random.default_rng(seed)
    shape = (size, size)
    lam = 2.5 ** np.tanh(gaussian_random_field(rng, shape, rng.uniform(*lam_length), periodic=True))
    u0 = gaussian_random_field(rng, shape, rng.uniform(*u0_length), periodic=True)
    m = source * gaussian_random_field(rng, shape, rng.uniform(*u0_length), periodic=True)
    time = interval * np.arange(frames, dtype=np.float64)
    return TransientHeat(u=evolve(u0, lam, m, time), time=time, lam=lam, m=m)
