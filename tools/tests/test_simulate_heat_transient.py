"""Transient heat against exact and refined solutions."""

import numpy as np
from mollifier_train.simulate.heat_transient import evolve, laplacian, simulate


def test_one_mode_decays_exactly() -> None:
    x = np.arange(64)
    k = 2 * np.pi * 2 / 64
    u0 = np.cos(k * x)[None, :] * np.cos(k * x)[:, None]
    u = evolve(u0, np.full((64, 64), 1.5), np.full((64, 64), 0.1), np.array([0.0, 3.0]))
    np.testing.assert_allclose(u[0], u0)
    np.testing.assert_allclose(u[1], u0 * np.exp(-3 * 1.5 * 2 * k**2) + 0.3, atol=5e-5)


def test_halving_the_step_changes_nothing() -> None:
    r = simulate(20_001, size=32, frames=2)
    fine = evolve(r.u[0], r.lam, r.m, r.time, max_step=0.05)
    np.testing.assert_allclose(fine[1], r.u[1], atol=1e-7)


def test_recording_solves_its_equation() -> None:
    r = simulate(20_002, size=48, frames=3, interval=0.2)
    rate = (r.u[2] - r.u[0]) / 0.4
    right = r.lam * laplacian(r.u[1]) + r.m
    assert np.abs(rate - right).max() < 2e-2 * np.abs(right).max()


def test_shapes_and_ranges() -> None:
    r = simulate(20_003, size=32)
    assert r.u.shape == (5, 32, 32)
    np.testing.assert_allclose(r.time, [0, 4, 8, 12, 16])
    assert r.lam.min() >= 0.4 and r.lam.max() <= 2.5
    np.testing.assert_array_equal(simulate(20_003, size=32).u, r.u)
