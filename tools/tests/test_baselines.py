"""Baselines against fields whose answer is known."""

from __future__ import annotations

import numpy as np
from mollifier_train import baselines
from mollifier_train.problems import PROBLEMS
from mollifier_train.recordings import image, order_parameter
from mollifier_train.scores import score
from mollifier_train.simulate import chromatin, reaction_diffusion
from mollifier_train.simulate.noise import add_noise


def test_laplacian_is_exact_on_quadratics() -> None:
    y, x = np.mgrid[:9, :9] * np.array([0.5, 2.0])[:, None, None]
    lap = baselines.laplacian(3 * y**2 - x**2 + x * y, (0.5, 2.0))
    np.testing.assert_allclose(lap[1:-1, 1:-1], 4)
    assert np.isnan(lap[0]).all() and np.isnan(lap[:, -1]).all()


def test_slope_of_a_ramp() -> None:
    u = np.arange(5.0)[:, None, None] * 2 * np.ones((5, 3, 3)) + 7
    np.testing.assert_allclose(baselines.slope(u, 4.0), 0.5)


def test_differences_find_lambda_without_noise() -> None:
    for name, least in {"langevin": 0.99, "heat": 0.99, "heat-transient": 0.9}.items():
        problem = PROBLEMS[name]
        recording = problem.recording(problem.simulate(42_000), 0.0, 42_000)
        found = problem.baselines["finite differences"](recording)
        known = np.isfinite(found)
        good = np.abs(found - recording.lam)[known] < 0.2 * np.abs(recording.lam).max()
        assert known.mean() > 0.95 and good.mean() > least, name


def test_differences_find_lambda_of_a_smooth_reaction() -> None:
    x = 2 * np.pi * np.arange(64) / 64
    lam = 1.5 + np.sin(x)[:, None] * np.ones(64)
    phi = reaction_diffusion.evolve(0.3 * np.outer(np.cos(x), np.cos(x)), lam, np.array([0, 0.2, 0.4]), step=0.01)
    found = baselines.reaction_diffusion(phi, 0.2, reaction_diffusion.KAPPA, reaction_diffusion.RATE)
    np.testing.assert_allclose(found[2:-2, 2:-2], lam[2:-2, 2:-2], atol=0.02)


def test_blur_gives_set_a_away_and_not_set_b() -> None:
    a, b = (reaction_diffusion.simulate(42_002, kind=kind) for kind in ("A", "B"))
    assert score(baselines.blur_ratio(a.phi[2], 12.0), a.lam).interior > 0.9
    assert score(baselines.blur_ratio(b.phi[2], 12.0), b.lam).interior < 0.7


def test_phase_lies_beyond_the_quantiles() -> None:
    phi = baselines.phase(np.linspace(3.0, 4.0, 2501).reshape(41, 61))
    np.testing.assert_allclose(np.quantile(phi, [0.02, 0.98]), np.array([-1, 1]) / 1.28)


def test_a_recording_is_cut_and_its_noise_is_relative_to_the_whole() -> None:
    problem = PROBLEMS["heat"]
    clean = problem.simulate(42_004)
    quiet, loud = (problem.recording(clean, level, 42_004) for level in (0.0, 10.0))
    assert quiet.u.shape == quiet.lam.shape == (112, 112)
    np.testing.assert_allclose((loud.u - quiet.u).std(), 0.1 * clean.u.std(), rtol=0.02)  # type: ignore[attr-defined]
    assert loud.noise == 0.1 * clean.u.std()  # type: ignore[attr-defined]
    thin = PROBLEMS["heat-anisotropic"].recording(clean, 10.0, 42_004)
    np.testing.assert_array_equal(thin.u, loud.u[:, ::2])
    assert thin.spacing == f"y={1 / 128!r},x={1 / 64!r}" and thin.band == (8, 4)


def test_localisations_lie_in_the_window() -> None:
    clean = chromatin.simulate(42_005, duration=10.0, localisations=1000)
    recording = PROBLEMS["chromatin-localisations"].recording(clean, 100.0, 42_005)
    assert recording.u.min() >= 0 and recording.u.max() < 112 * 30
    counts = image(recording)
    assert counts.shape == (112, 112) and counts.sum() == len(recording.u)
    assert abs(counts.sum() / (100_000 * clean.density[8:120, 8:120].sum() / clean.density.sum()) - 1) < 0.02


def test_blurred_noise_keeps_its_strength_and_is_shared_by_neighbours() -> None:
    rng = np.random.default_rng(42_010)
    field = rng.standard_normal((3, 128, 128)) * 5
    noise = add_noise(rng, field, 4.0, blur=0.7) - field
    np.testing.assert_allclose(noise.std(), 0.04 * field.std(), rtol=1e-6)
    near, far = (np.corrcoef(noise[..., k:].ravel(), noise[..., :-k].ravel())[0, 1] for k in (1, 4))
    assert abs(near - np.exp(-1 / (4 * 0.7**2))) < 0.03 and abs(far) < 0.03
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


def test_phase_densities_are_those_of_the_pure_phases() -> None:
    problem = PROBLEMS["chromatin-unsettled"]
    clean = problem.simulate(42_011)
    recording = problem.recording(clean, 4000.0, 42_011)
    phi = order_parameter(recording)
    expected = clean.phi[8:120, 8:120]  # type: ignore[attr-defined]
    assert abs(phi.mean() - expected.mean()) < 0.01
    assert np.corrcoef(phi.ravel(), expected.ravel())[0, 1] > 0.97  # what the localisation error blurs
