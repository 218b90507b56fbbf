"""Steady heat: fields of 0 = lambda Lap u + m on the unit square, u = 0 on its border."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dstn, idstn

from .random_field import gaussian_random_field


@dataclass(frozen=True)
class SteadyHeat:
    """One simulated field.

    Attributes:
        u: the field, `(y, x)`.
        lam: the hidden diffusivity, `(y, x)`.
        m: the known source, `(y, x)`.
        spacing: distance between samples, `(y, x)`, the side of the square being 1.
    """

    u: NDArray[np.float64]
    lam: NDArray[np.float64]
    m: NDArray[np.float64]
    spacing: tuple[float, float]


def solve_poisson(right: NDArray[np.float64], spacing: float) -> NDArray[np.float64]:
    """Solve the five-point Lap u = right with u = 0 one sample outside the array.

    Args:
        right: right-hand side at the interior points, `(y, x)`.
        spacing: distance between samples.

    Returns:
        u at the interior points, `(y, x)`.
    """
    eigenvalue = np.zeros(right.shape)
    for axis, n in enumerate(right.shape):
        k = (2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1)) - 2) / spacing**2
        eigenvalue = eigenvalue + k.reshape([-1 if a == axis else 1 for a in range(2)])
    return idstn(dstn(right, type=1) / eigenvalue, type=1)


def draw_discs(
    rng: np.random.Generator,
    points: int,
    *,
    count: tuple[int, int] = (3, 6),
    radius: tuple[float, float] = (0.06, 0.16),
    edge: float = 0.04,
) -> NDArray[np.float64]:
    """Draw lambda = 1 with smooth-edged discs of half or double lambda.

    Overlapping discs multiply. log2 lambda falls from +-1 to 0 across a disc's border as a logistic step
    whose 12 % and 88 % points lie `edge` apart.

    Args:
        rng: source of the number, places, radii and signs.
        points: interior points a side; the side of the square is 1.
        count: least and greatest number of discs.
        radius: range of the radii, in sides.
        edge: width of the border, in sides.

    Returns:
        lambda at the interior points, `(y, x)`.
    """
    x = np.arange(1, points + 1) / (points + 1)
    octave = np.zeros((points, points))
    for _ in range(int(rng.integers(count[0], count[1] + 1))):
        cy, cx = rng.uniform(0.1, 0.9, 2)
        distance = np.hypot(x[:, None] - cy, x[None, :] - cx) - rng.uniform(*radius)
        octave += rng.choice([-1.0, 1.0]) * 0.5 * (1 - np.tanh(2 * distance / edge))
    return 2.0**octave


def simulate(
    seed: int,
    *,
    points: int = 255,
    keep: int = 2,
    length: tuple[float, float] = (0.1, 0.25),
    lam_strength: tuple[float, float] = (0.3, 0.6),
    m_strength: float = 0.3,
    discs: bool = False,
    edge: float = 0.04,
) -> SteadyHeat:
    """Simulate one field: lambda = exp(s GRF) or disc inclusions, m = exp(m_strength GRF).

    The equation is solved on `points` x `points` interior points; every `keep`-th is returned, the first
    being `keep` steps from the border.

    Args:
        seed: names the field.
        points: interior points a side of the solve.
        keep: keep every `keep`-th point, 2 meaning every second.
        length: range of the correlation lengths of lambda and of m, in sides.
        lam_strength: range of s.
        m_strength: standard deviation of log m.
        discs: draw lambda with `draw_discs` instead.
        edge: width of the discs' border, in sides.
    """
    rng = np.random.default_rng(seed)
    side = points + 1
    shape = (points, points)
    if discs:
        lam = draw_discs(rng, points, edge=edge)
    else:
        strength = rng.uniform(*lam_strength)
        lam = np.exp(strength * gaussian_random_field(rng, shape, rng.uniform(*length) * side))
    m = np.exp(m_strength * gaussian_random_field(rng, shape, rng.uniform(*length) * side))
    u = solve_poisson(-m / lam, 1 / side)
    kept = (slice(keep - 1, None, keep),) * 2
    return SteadyHeat(u=u[kept], lam=lam[kept], m=m[kept], spacing=(keep / side, keep / side))
