"""Reaction-diffusion against exact and refined solutions."""

import numpy as np
import pytest
from mollifier_train.simulate.reaction_diffusion import KAPPA, RATE, evolve, simulate


def test_uniform_field_relaxes_to_local_equilibrium() -> None:
    lam = np.full((8, 8), 1.7)
    phi = evolve(np.full((8, 8), 0.2), lam, np.array([30.0]), step=0.01)[0]
    rest = (1.7 - 1) / (1.7 + 1)
    exact = rest + (0.2 - rest) * np.exp(-RATE * 2.7 * 30)
    np.testing.assert_allclose(phi, exact, atol=2e-5)


def test_small_mode_grows_at_the_linear_rate() -> None:
    x = np.arange(64)
    q = 2 * np.pi * 4 / 64
    phi = evolve(1e-6 * np.cos(q * x)[None, :].repeat(4, 0), np.ones((4, 64)), np.array([5.0]), step=0.001)[0]
    rate = q**2 - KAPPA * q**4 - 2 * RATE
    np.testing.assert_allclose(phi[0], 1e-6 * np.exp(5 * rate) * np.cos(q * x), atol=1e-9)


def test_halving_the_step_is_first_order() -> None:
    r = simulate(20_001, size=32, frames=1)
    times = np.array([4.0])
    coarse, half, fine = (evolve(r.phi[0], r.lam, times, step=s)[0] for s in (0.2, 0.1, 0.0125))
    ratio = np.abs(coarse - fine).max() / np.abs(half - fine).max()
    assert 1.6 < ratio < 2.7
    assert np.abs(half - fine).max() < 5e-3


@pytest.mark.parametrize(("kind", "starts"), [("A", {40, 80, 140, 220}), ("B", {10, 22, 36})])
def test_shapes_and_ranges(kind: str, starts: set[int]) -> None:
    r = simulate(20_002, kind=kind, size=32)  # type: ignore[arg-type]
    assert r.phi.shape == (5, 32, 32)
    assert int(r.time[0]) in starts
    np.testing.assert_allclose(np.diff(r.time), 2)
    assert 0.4 <= r.lam.min() and r.lam.max() <= 2.5
    assert np.abs(r.phi).max() < 1.3
