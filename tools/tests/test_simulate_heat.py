"""Steady heat against exact solutions."""

import numpy as np
from mollifier_train.simulate.heat import draw_discs, simulate, solve_poisson


def test_one_sine_mode_is_exact() -> None:
    x = np.arange(1, 32) / 32
    u = np.sin(2 * np.pi * x)[:, None] * np.sin(3 * np.pi * x)[None, :]
    eigenvalue = (2 * np.cos(2 * np.pi / 32) + 2 * np.cos(3 * np.pi / 32) - 4) * 32**2
    np.testing.assert_allclose(solve_poisson(eigenvalue * u, 1 / 32), u, atol=1e-12)


def test_solution_converges_to_the_continuous_one() -> None:
    def error(points: int) -> float:
        x = np.arange(1, points + 1) / (points + 1)
        u = np.sin(np.pi * x)[:, None] * np.sin(np.pi * x)[None, :]
        return float(np.abs(solve_poisson(-2 * np.pi**2 * u, 1 / (points + 1)) - u).max())

    assert error(15) / error(31) > 3.9


def test_field_solves_its_equation() -> None:
    r = simulate(20_001, points=63, keep=1)
    u = np.pad(r.u, 1)
    lap = (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * r.u) / r.spacing[0] ** 2
    np.testing.assert_allclose(r.lam * lap + r.m, 0, atol=1e-9)


def test_every_second_point_is_kept() -> None:
    fine, kept = simulate(20_002, points=63, keep=1), simulate(20_002, points=63)
    np.testing.assert_array_equal(kept.u, fine.u[1::2, 1::2])
    assert kept.spacing == (1 / 32, 1 / 32)


def test_shapes_ranges_and_repeatability() -> None:
    r = simulate(20_003)
    assert r.u.shape == r.lam.shape == r.m.shape == (127, 127)
    assert r.lam.min() > 0 and r.m.min() > 0
    np.testing.assert_array_equal(simulate(20_003).u, r.u)


def test_discs_halve_and_double() -> None:
    lam = np.stack([draw_discs(np.random.default_rng(20_000 + s), 127) for s in range(20)])
    assert np.isclose(lam, 2, atol=0.02).any() and np.isclose(lam, 0.5, atol=0.02).any()
    assert np.median(lam) == np.clip(np.median(lam), 0.95, 1.05)
    assert simulate(20_004, points=63, discs=True).lam.shape == (31, 31)
