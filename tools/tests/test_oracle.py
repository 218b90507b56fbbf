"""The best possible estimate on Langevin's test set."""

from __future__ import annotations

import numpy as np
from mollifier_train import oracle
from mollifier_train.problems import PROBLEMS
from mollifier_train.simulate import langevin


def test_the_modes_make_what_is_drawn() -> None:
    of = oracle.ensemble(0.2)
    frequency, deviation = langevin.spectrum(2.0, 0.2)
    amplitudes = np.random.default_rng(0).standard_normal((len(frequency), 2))
    forcing = langevin.FourierForcing(frequency, (amplitudes[:, 0] + 1j * amplitudes[:, 1]) * deviation)
    time = np.linspace(0.0, 2.0, 256)
    np.testing.assert_allclose(of.forcing @ amplitudes.ravel(), forcing.value(time), atol=1e-9)
    signal = of.signal @ np.append(amplitudes.ravel(), 0.7)
    np.testing.assert_allclose(signal, forcing.solution(time, 0.7, 1.0), atol=1e-9)


def test_it_beats_the_closed_form_by_what_noise_leaves() -> None:
    problem = PROBLEMS["langevin"]
    best = {level: oracle.best(level, fields=4, seed_start=42_000) for level in (0.1, 10.0)}
    assert best[0.1].interior.value > 0.999
    differences = problem.baselines["finite differences"]
    recording = problem.recording(problem.simulate(42_000), 10.0, 42_000)
    assert 0.9 < best[10.0].interior.value < 0.999
    assert best[10.0].interior.value > problem.score(differences(recording), recording).interior + 0.5
