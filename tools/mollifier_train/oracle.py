"""The best estimate of the Langevin test set's forcing that any method can give: `python -m mollifier_train oracle`.

The ensemble of the test set is known, so the mean of lambda given u can be computed. For one correlation length
lambda is Gaussian and that mean is linear in u; the length is unknown, and means of many lengths are weighed by how
likely each makes what was measured. That every series is scaled to unit variance is left aside: the estimate is the
best but for what could be made of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .problems import PROBLEMS
from .scores import Summary, summarise
from .simulate import langevin

Array = NDArray[np.float64]
LENGTHS = np.linspace(0.08, 0.3, 23)
"""Correlation lengths of the test set, units of time."""
SAMPLES, DURATION, RATE = 256, 2.0, 1.0


@dataclass(frozen=True)
class Ensemble:
    """Series of one correlation length.

    Attributes:
        forcing: lambda of every independent unit amplitude, `(sample, amplitude)`.
        signal: u of the same, and of u(0) in the last column, `(sample, amplitude + 1)`.
    """

    forcing: Array
    signal: Array


@cache
def ensemble(length: float) -> Ensemble:
    """The modes that `langevin.draw_forcing` draws, before a series is scaled to unit variance."""
    time = np.linspace(0.0, DURATION, SAMPLES)
    frequency, deviation = langevin.spectrum(DURATION, length)
    parts = [
        langevin.FourierForcing(frequency[k : k + 1], np.array([phase * deviation[k]]))
        for k in range(len(frequency))
        for phase in (1.0, 1.0j)
    ]
    forcing = np.stack([part.value(time) for part in parts], axis=1)
    signal = [part.solution(time, 0.0, RATE) for part in parts]
    return Ensemble(forcing, np.stack([*signal, np.exp(RATE * time)], axis=1))


def estimate(u: Array, noise: float) -> Array:
    """The mean of lambda given `u`, `(sample,)`, with white noise of this standard deviation."""
    means, evidence = [], []
    for length in LENGTHS:
        of = ensemble(float(length))
        lower = np.linalg.cholesky(of.signal @ of.signal.T + noise**2 * np.eye(len(u)))
        white = np.linalg.solve(lower, u)
        weights = of.signal[:, :-1].T @ np.linalg.solve(lower.T, white)
        means.append(of.forcing @ weights)
        evidence.append(-0.5 * white @ white - np.log(np.diag(lower)).sum())
    likely = np.exp(np.array(evidence) - max(evidence))
    return likely / likely.sum() @ np.stack(means)


def best(level: float, *, fields: int, seed_start: int = 0) -> Summary:
    """Scores of that estimate at a noise level in per cent, the noise told."""
    problem = PROBLEMS["langevin"]
    scores = []
    for seed in range(seed_start, seed_start + fields):
        recording = problem.recording(problem.simulate(seed), level, seed)
        scores.append(problem.score(estimate(recording.u, float(recording.noise or 0.0)), recording))
    return summarise(scores)
