"""Missing values: where recordings have them, and what the runtime puts in their place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
REACH = 3
"""How far a hole is filled from its neighbours, in samples."""


def draw_gaps(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where a series, `(sample,)`, was not measured: one to three gaps of 1 to 64 samples, single ones, or both."""
    (samples,) = shape
    missing = np.zeros(samples, dtype=bool)
    kind = rng.random()
    if kind < 0.75:
        for _ in range(rng.integers(1, 4)):
            length = round(float(np.exp(rng.uniform(0.0, np.log(64.0)))))
            start = int(rng.integers(-length // 2, samples))
            missing[max(start, 0) : start + length] = True
    if kind > 0.6:
        missing |= rng.random(samples) < float(np.exp(rng.uniform(*np.log([0.004, 0.05]))))
    # Some of every series is there.
    missing[samples // 2 :] &= not missing.all()
    return missing


def draw_holes(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where a recording of `shape`, axes `(frame, y, x)`, was not measured: in every frame, or (one in four) in one.

    Single pixels, up to one in a hundred; one to four discs of 1 to 12 px in radius; a row or column, 1 to 3 px wide.
    """
    frames, rows, columns = shape
    missing = np.zeros((rows, columns), dtype=bool)
    kind = rng.random()
    if kind < 0.5:
        missing |= rng.random((rows, columns)) < float(np.exp(rng.uniform(*np.log([1e-4, 1e-2]))))
    if kind > 0.4:
        y, x = np.mgrid[:rows, :columns]
        for _ in range(rng.integers(1, 5)):
            radius = float(np.exp(rng.uniform(*np.log([1.0, 12.0]))))
            missing |= (y - rng.uniform(0, rows)) ** 2 + (x - rng.uniform(0, columns)) ** 2 < radius**2
    if rng.random() < 0.15:
        lines = missing if rng.random() < 0.5 else missing.T
        start = int(rng.integers(0, len(lines)))
        lines[start : start + int(rng.integers(1, 4))] = True
    out = np.zeros(shape, dtype=bool)
    out[slice(None) if frames == 1 or rng.random() < 0.75 else int(rng.integers(frames))] = missing
    return out


def fill(u: Array) -> Array:
    """Stand-ins for missing values, as the runtime's, slowly.

    The mean of the valid samples within `REACH`, weighted by 1/distance^2; deeper inside a hole the frame's mean,
    or, in a series, the last valid sample (before the first one: the first).

    Args:
        u: `(sample,)`, or `(window, y, x)` of which each frame is filled by itself; NaN where there is none.
    """
    if u.ndim == 3:
        return np.stack([fill_image(frame) for frame in u])
    out = u.copy()
    known = np.isfinite(u)
    for i in np.flatnonzero(~known):
        near = np.arange(max(i - REACH, 0), min(i + REACH + 1, u.size))
        near = near[known[near]]
        if near.size:
            out[i] = np.average(u[near], weights=1 / (near - i) ** 2.0)
        else:
            before = np.flatnonzero(known[:i])
            out[i] = u[before[-1]] if before.size else u[np.flatnonzero(known)[0]]
    return out


def fill_image(frame: Array) -> Array:
    """`fill` of one frame, `(y, x)`."""
    out = frame.copy()
    known = np.isfinite(frame)
    if known.all():
        return out
    mean = frame[known].mean()
    for y, x in np.argwhere(~known):
        rows = slice(max(y - REACH, 0), y + REACH + 1)
        columns = slice(max(x - REACH, 0), x + REACH + 1)
        near = known[rows, columns]
        if not near.any():
            out[y, x] = mean
            continue
        dy, dx = np.mgrid[rows, columns][:, : near.shape[0], : near.shape[1]]
        weight = 1 / ((dy - y) ** 2.0 + (dx - x) ** 2.0)[near]
        out[y, x] = np.average(frame[rows, columns][near], weights=weight)
    return out
