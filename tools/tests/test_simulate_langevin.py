"""Langevin series against exact and quadrature solutions."""

import numpy as np
from mollifier_train.simulate.langevin import FourierForcing, draw_forcing, simulate
from mollifier_train.simulate.noise import add_noise


def test_constant_forcing_has_the_textbook_solution() -> None:
    t = np.linspace(0, 2, 50)
    one = FourierForcing(np.zeros(1), np.ones(1, dtype=complex))
    np.testing.assert_allclose(one.solution(t, 0.5, 1.0), 1.5 * np.exp(t) - 1)
    np.testing.assert_allclose(one.solution(t, 0.5, 0.0), 0.5 + t)


def test_solution_agrees_with_fine_quadrature() -> None:
    forcing = draw_forcing(np.random.default_rng(20_001), 2.0, 0.15)
    t = np.linspace(0, 2, 200_001)
    integrand = np.exp(0.7 * (2 - t)) * forcing.value(t)
    integral = np.trapezoid(integrand, t)
    expected = 0.3 * np.exp(1.4) + integral
    np.testing.assert_allclose(forcing.solution(np.array([2.0]), 0.3, 0.7), [expected], rtol=1e-7)


def test_forcing_has_unit_variance_and_uncorrelated_ends() -> None:
    t = np.array([0.0, 1.0, 2.0])
    draws = np.array([draw_forcing(np.random.default_rng(20_000 + s), 2.0, 0.1).value(t) for s in range(4000)])
    np.testing.assert_allclose(np.mean(draws**2, axis=0), 1.0, atol=0.08)
    assert abs(np.mean(draws[:, 0] * draws[:, 2])) < 0.2


def test_series_solves_its_equation() -> None:
    r = simulate(20_002, samples=20_001)
    rate = (r.u[2:] - r.u[:-2]) / (2 * r.spacing)
    np.testing.assert_allclose(rate, r.a * r.u[1:-1] + r.lam[1:-1], atol=1e-4)


def test_shapes_and_repeatability() -> None:
    r = simulate(20_003)
    assert r.u.shape == r.lam.shape == r.time.shape == (256,)
    assert r.time[-1] == 2.0
    np.testing.assert_allclose(r.lam.std(), 1.0)
    np.testing.assert_array_equal(simulate(20_003).u, r.u)


def test_noise_is_relative_to_the_field() -> None:
    field = 3 * np.random.default_rng(20_004).standard_normal(20_000) + 300
    noise = add_noise(np.random.default_rng(20_005), field, 5) - field
    np.testing.assert_allclose(noise.std(), 0.05 * field.std(), rtol=0.02)
