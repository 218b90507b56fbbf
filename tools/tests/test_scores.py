"""Scores against hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
from mollifier_train.scores import FAILED, boundary, correlation, score, summarise

RNG = np.random.default_rng(41_000)


def test_boundary_is_the_outer_band() -> None:
    mask = boundary((20, 30))
    assert mask.sum() == 20 * 30 - 4 * 14
    assert not mask[8:12, 8:22].any()
    assert boundary((112, 56), (8, 4)).sum() == 112 * 56 - 96 * 48
    np.testing.assert_array_equal(np.flatnonzero(~boundary((20,))), [8, 9, 10, 11])


def test_perfect_scaled_and_opposite_estimates() -> None:
    truth = np.exp(RNG.standard_normal((40, 40)))
    perfect = score(truth.astype(np.float32), truth)
    assert perfect.interior == pytest.approx(1) and perfect.boundary == pytest.approx(1)
    assert perfect.error < 1e-7 and not perfect.failed
    twice = score(2 * truth, truth)
    assert twice.interior == pytest.approx(1) and twice.error == pytest.approx(1)
    assert score(-truth, truth).interior == pytest.approx(-1)


def test_interior_and_boundary_are_apart() -> None:
    truth = RNG.standard_normal((60, 60))
    estimate = truth.copy()
    estimate[boundary(truth.shape)] *= -1
    result = score(estimate, truth)
    assert result.interior == pytest.approx(1) and result.boundary == pytest.approx(-1) and result.error == 0


def test_correlation_is_numpy_s() -> None:
    a, b = RNG.standard_normal((2, 500))
    assert correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert correlation(1e200 * a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])


def test_missing_values_are_counted_and_too_many_fail() -> None:
    truth = RNG.standard_normal((50, 50))
    estimate = truth.copy()
    estimate[:, :2] = np.nan
    estimate[20, 20] = np.inf
    result = score(estimate, truth)
    assert result.boundary_missing == pytest.approx(100 / (2500 - 34**2))
    assert result.interior_missing == pytest.approx(1 / 34**2)
    assert result.interior == pytest.approx(1) and result.boundary == pytest.approx(1)
    estimate[10:25] = np.nan
    failed = score(estimate, truth)
    assert failed.failed and failed.interior == 0 and failed.error == 1


def test_a_constant_or_absent_estimate_fails() -> None:
    truth = RNG.standard_normal((30, 30))
    assert score(np.ones_like(truth), truth).failed
    assert score(np.full_like(truth, np.nan), truth) == FAILED
    with pytest.raises(ValueError, match="got shape"):
        score(truth[1:], truth)


def test_summary_counts_a_failed_field_as_zero() -> None:
    truth = RNG.standard_normal((30, 30))
    summary = summarise([score(truth, truth), FAILED])
    assert summary.fields == 2 and summary.failed == 1
    assert summary.interior.value == pytest.approx(0.5) and summary.interior.error == pytest.approx(0.5)
    assert summary.error.value == pytest.approx(0.5)
    assert summarise([FAILED]).interior.error == 0
