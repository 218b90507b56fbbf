"""Training sets: simulated recordings wider than any test set, as features of a baked front end and the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .model_file import ModelFile
from .simulate import heat
from .simulate.random_field import gaussian_random_field

FIRST_SEED = 1_000_000
"""Training sets use this seed and those that follow."""
SIDE = 112
"""Pixels a side of a training recording."""


@dataclass(frozen=True)
class Examples:
    """A training set.

    Attributes:
        features: of the front end, `(recording, y, x, channel)`, float32.
        target: log of the true lambda over the closed form's, `(recording, y, x)`, float32.
    """

    features: NDArray[np.float32]
    target: NDArray[np.float32]


def correlated_noise(rng: np.random.Generator, shape: tuple[int, ...], std: float) -> tuple[NDArray[np.float64], float]:
    """Noise of standard deviation `std`, white in three of four draws, else blurred by a camera.

    Returns:
        the noise, and the standard deviation the model is told: near the true one if white, too small if blurred.
    """
    noise = rng.standard_normal(shape)
    if rng.random() < 0.75:
        return noise * std, std * float(np.exp(0.05 * rng.standard_normal()))
    noise = gaussian_filter(noise, rng.uniform(0.4, 0.9), mode="wrap")
    return noise * (std / noise.std()), std * float(rng.uniform(0.4, 1.0))


def draw_heat(front_end: ModelFile, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One steady recording: random field, discs, or both; source of one sign or (one in eight) of both; 0.3 to 20 %.

    Discs have 0.4 to 2.5 times the lambda around them, are 6 to 28 px in radius and 2 to 10 px wide at the border.
    The window lies anywhere in the plate.
    """
    rng = np.random.default_rng(seed)
    points, keep = 255, 2
    side, shape = points + 1, (points, points)
    kind = rng.random()
    log_lam = np.zeros(shape)
    if kind < 0.6:
        field = gaussian_random_field(rng, shape, float(np.exp(rng.uniform(*np.log([0.05, 0.3])))) * side)
        log_lam += rng.uniform(0.2, 0.7) * field
    if kind > 0.45:
        discs = heat.draw_discs(
            rng, points, count=(1, 8), radius=(0.05, 0.22), edge=float(np.exp(rng.uniform(*np.log([0.015, 0.08]))))
        )
        log_lam += rng.uniform(0.5, 1.3) * np.log(discs)
    strength = rng.uniform(0.0, 0.5)
    field = gaussian_random_field(rng, shape, rng.uniform(0.1, 0.3) * side)
    m = field + 0.5 if rng.random() < 0.125 else np.exp(strength * field)
    u = heat.solve_poisson(-m / np.exp(log_lam), 1 / side)
    std = u.std()
    corner = rng.integers(0, points // keep - SIDE + 1, 2)
    cut = tuple(slice(keep * c + keep - 1, keep * (c + SIDE) + keep - 1, keep) for c in corner)
    level = float(np.exp(rng.uniform(*np.log([0.003, 0.2]))))
    noise, told = correlated_noise(rng, (SIDE, SIDE), level * std)
    feeds = front_end.feeds(
        (u[cut] + noise)[None], spacing=(keep / side, keep / side), given={"m": m[cut], "noise": told}
    )
    features, closed = front_end.session.run(["features", "lambda"], feeds)
    target = log_lam[cut] - np.log(closed[0].astype(np.float64))
    return np.moveaxis(features[0], 0, -1), target.astype(np.float32)


DRAW: dict[str, Callable[[ModelFile, int], tuple[NDArray[np.float32], NDArray[np.float32]]]] = {"heat": draw_heat}
"""For each law that has a trunk: one recording's features `(y, x, channel)` and target `(y, x)`."""


def examples(law: str, front_end: ModelFile, *, count: int, first_seed: int = FIRST_SEED) -> Examples:
    """Simulate `count` recordings and run the front end over each."""
    drawn = [DRAW[law](front_end, seed) for seed in range(first_seed, first_seed + count)]
    return Examples(features=np.stack([f for f, _ in drawn]), target=np.stack([t for _, t in drawn]))
