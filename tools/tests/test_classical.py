"""The usual methods against fields whose derivatives and parameters are known."""

from __future__ import annotations

import numpy as np
import pytest
from mollifier_train import classical
from mollifier_train.evaluate import best_widths
from mollifier_train.problems import PROBLEMS

DERIVED = [name for name, problem in PROBLEMS.items() if problem.classical]


@pytest.mark.parametrize("method", classical.METHODS)
@pytest.mark.parametrize("orders", [(0, 0), (2, 0), (0, 2)])
def test_derivatives_of_a_wave(method: str, orders: tuple[int, int]) -> None:
    """Long against the width: what is left of the smoothing is a few per cent."""
    y, x = np.mgrid[:80, :80] * (2 * np.pi / 160)
    of = classical.METHODS[method]
    sign = -((2 * np.pi / 160) ** 2) if max(orders) else 1.0
    wave = np.sin(y + 0.3) * np.cos(x)
    got = of(wave, orders, 9)[20:60, 20:60]
    np.testing.assert_allclose(got, sign * wave[20:60, 20:60], atol=0.08 * abs(sign))


def test_a_weak_form_has_no_value_where_its_support_leaves_the_field() -> None:
    got = classical.weak(np.ones((30, 40)), (0, 0), 7)
    # The outermost taps are zero.
    assert np.isnan(got[:6]).all() and np.isnan(got[:, -6:]).all()
    np.testing.assert_allclose(got[7:-7, 7:-7], 1.0)


def test_a_quotient_is_held_to_a_range_and_filled() -> None:
    got = classical.ratio(np.array([2.0, 2.0, 2.0, -1.0, np.nan]), np.array([1.0, 1.0, 1e-9, 1.0, 1.0]))
    np.testing.assert_allclose(got, [2.0, 2.0, 40.0, 0.1, 0.1])
    np.testing.assert_array_equal(classical.nearest(np.full(3, np.nan)), 0)


@pytest.mark.parametrize(
    ("name", "least"), [("langevin", 0.95), ("heat", 0.95), ("heat-transient", 0.4), ("reaction-diffusion", 0.6)]
)
def test_usual_methods_find_lambda_under_little_noise(name: str, least: float) -> None:
    """Poorly where a quotient's denominator changes sign, as that of transient heat does."""
    problem = PROBLEMS[name]
    recording = problem.recording(problem.simulate(42_000), 0.1, 42_000)
    for method in classical.METHODS:
        estimate = problem.held_against(problem.levels[0])[method](recording)
        assert np.isfinite(estimate).all(), method
        assert problem.score(estimate, recording).interior > least, method


def test_every_level_has_its_width() -> None:
    for name in DERIVED:
        problem = PROBLEMS[name]
        assert set(problem.widths) == set(classical.METHODS), name
        assert all(len(widths) == len(problem.levels) for widths in problem.widths.values()), name
    # Told by the nearest level.
    assert set(PROBLEMS["heat"].held_against(3.0)) == {"finite differences", *classical.METHODS}


def test_widths_are_found_again() -> None:
    assert best_widths("langevin", fields=6, seed_start=10_000) == dict(PROBLEMS["langevin"].widths)
    with pytest.raises(ValueError, match="no usual method"):
        best_widths("heat-anisotropic", fields=1, seed_start=10_000)
