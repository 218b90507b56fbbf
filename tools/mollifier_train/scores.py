"""Scores of an estimated parameter against the true one: interior and boundary, one field at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BAND = 8
"""Width of the boundary band, in samples of the finest axis."""
WINDOW = slice(8, 120)
"""The rows and columns of a simulated image that are scored, cut out before anything is computed."""
MISSING_INTERIOR = 0.1
"""Share of missing values in the interior above which a field counts as failed."""
MISSING_BOUNDARY = 0.5
"""Share of missing values in the boundary band above which a field's boundary counts as failed."""


@dataclass(frozen=True)
class Score:
    """What one field scored.

    Attributes:
        interior: correlation of estimate and truth in the interior; 0 for a failed field.
        error: relative L2 error ||estimate - truth|| / ||truth|| in the interior; 1 for a failed field.
        boundary: correlation in the boundary band; 0 for a failed field.
        interior_missing: share of missing values (not finite) in the interior.
        boundary_missing: share of missing values in the boundary band.
        failed: whether the interior counts as failed.
    """

    interior: float
    error: float
    boundary: float
    interior_missing: float
    boundary_missing: float
    failed: bool


FAILED = Score(0.0, 1.0, 0.0, 1.0, 1.0, failed=True)
"""The score of a field that gave no estimate at all."""


@dataclass(frozen=True)
class Mean:
    """A mean over fields.

    Attributes:
        value: the mean.
        error: its standard error; 0 for a single field.
    """

    value: float
    error: float


@dataclass(frozen=True)
class Summary:
    """The mean over fields of each part of their scores; a failed field counts 0 in a correlation."""

    fields: int
    failed: int
    interior: Mean
    error: Mean
    boundary: Mean
    interior_missing: Mean
    boundary_missing: Mean


def boundary(shape: tuple[int, ...], band: Sequence[int] | None = None) -> NDArray[np.bool_]:
    """Mark the boundary band of an array.

    Args:
        shape: of the array, `(y, x)` or `(sample,)`.
        band: width of the band along each axis; `BAND` samples everywhere unless given.

    Returns:
        true in the band, of `shape`.
    """
    mask = np.ones(shape, dtype=np.bool_)
    widths = (BAND,) * len(shape) if band is None else tuple(band)
    mask[tuple(slice(w, n - w) for n, w in zip(shape, widths, strict=True))] = False
    return mask


def correlation(
    estimate: NDArray[np.floating], truth: NDArray[np.floating], *, missing: float = MISSING_INTERIOR
) -> float:
    """Pearson correlation over the values where the estimate is finite.

    Args:
        estimate: any shape; a missing value is NaN or infinite.
        truth: the same shape, finite.
        missing: largest accepted share of missing values.

    Returns:
        the correlation; 0 where it fails: too much is missing, or the estimate is constant.
    """
    known = np.isfinite(estimate)
    if known.size == 0 or 1 - known.mean() > missing or known.sum() < 2:
        return 0.0
    a = estimate[known].astype(np.float64)
    b = truth[known].astype(np.float64)
    # Scaled first: an unregularised quotient can be so large that its square overflows.
    a, b = a - a.mean(), b - b.mean()
    scale = np.abs(a).max(), np.abs(b).max()
    if not (np.isfinite(scale[0]) and scale[0] > 0 and scale[1] > 0):
        return 0.0
    a, b = a / scale[0], b / scale[1]
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def score(estimate: NDArray[np.floating], truth: NDArray[np.floating], band: Sequence[int] | None = None) -> Score:
    """Score one field.

    Args:
        estimate: the estimated parameter, `(y, x)` or `(sample,)`; missing values are not finite.
        truth: the true one, the same shape.
        band: width of the boundary band along each axis, `BAND` samples unless given.

    Raises:
        ValueError: if the shapes differ.
    """
    if estimate.shape != truth.shape:
        raise ValueError(f"estimate: got shape {estimate.shape}, expected {truth.shape} as the truth")
    edge = boundary(truth.shape, band)
    known = np.isfinite(estimate)
    interior_missing = float(1 - known[~edge].mean())
    inside = correlation(estimate[~edge], truth[~edge])
    failed = interior_missing > MISSING_INTERIOR or inside == 0.0
    use = ~edge & known
    true = truth[use].astype(np.float64)
    error = np.linalg.norm(estimate[use] - true) / np.linalg.norm(true) if not failed else 1.0
    return Score(
        interior=0.0 if failed else inside,
        error=float(error),
        boundary=correlation(estimate[edge], truth[edge], missing=MISSING_BOUNDARY),
        interior_missing=interior_missing,
        boundary_missing=float(1 - known[edge].mean()),
        failed=failed,
    )


def mean(values: Sequence[float]) -> Mean:
    """Mean and standard error of one value a field."""
    x = np.asarray(values, dtype=np.float64)
    return Mean(float(x.mean()), float(x.std(ddof=1) / np.sqrt(x.size)) if x.size > 1 else 0.0)


def summarise(scores: Sequence[Score]) -> Summary:
    """Mean over fields of every part of the score."""
    return Summary(
        fields=len(scores),
        failed=sum(s.failed for s in scores),
        interior=mean([s.interior for s in scores]),
        error=mean([s.error for s in scores]),
        boundary=mean([s.boundary for s in scores]),
        interior_missing=mean([s.interior_missing for s in scores]),
        boundary_missing=mean([s.boundary_missing for s in scores]),
    )
