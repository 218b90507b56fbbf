"""Missing values: how they are drawn for training, and what the trained networks make of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mollifier_train import command, training_sets
from mollifier_train.calibration import QUANTILE, by_logarithm, errors
from mollifier_train.model_file import ModelFile
from mollifier_train.problems import PROBLEMS
from mollifier_train.simulate import missing

FIRST_SEED = 10_000
"""Recordings of choice: none is published, none was trained on."""
NETWORKS = ("langevin-gaps", "heat-holes", "heat-transient-holes", "reaction-diffusion-holes")


def test_some_of_every_recording_is_there() -> None:
    rng = np.random.default_rng(1)
    gaps = [missing.draw_gaps(rng, (256,)) for _ in range(300)]
    shares = np.array([g.mean() for g in gaps])
    assert 0.0 < shares.mean() < 0.3 and shares.max() < 0.9
    assert any(g[0] for g in gaps) and any(g[-1] for g in gaps)
    for frames in (1, 5):
        holes = [missing.draw_holes(rng, (frames, 112, 112)) for _ in range(200)]
        assert max(h.mean() for h in holes) < 0.3
        one_frame = [h.any(axis=(1, 2)).sum() < frames for h in holes if h.any()]
        assert any(one_frame) == (frames > 1)


@pytest.mark.usefixtures("mollifier")
def test_values_without_a_closed_form_do_not_count_in_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_sets, "WITH_HOLES", 1.0)
    for law in ("langevin", "heat"):
        front_end = tmp_path / f"{law}.onnx"
        command.bake(command.MODELS / f"{law}.toml", front_end, front_end=True)
        drawn = training_sets.examples(law, [ModelFile(front_end)], count=6, first_seed=5_000_000)
        assert np.isfinite(drawn.features).all() and np.isfinite(drawn.target).all()
        nothing = drawn.weight == 0
        assert 0.001 < nothing.mean() < 0.5
        assert np.all(drawn.target[nothing] == 0)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.usefixtures("mollifier")
def test_std_tells_the_error_beside_missing_values(name: str) -> None:
    """Of the values within 12 samples of a missing one."""
    problem = PROBLEMS[f"{name}-trained"]
    model = command.MODELS / f"{problem.model}.onnx"
    shares = []
    for seed in range(FIRST_SEED, FIRST_SEED + 3):
        recording = problem.recording(problem.simulate(seed), 1.0, seed)
        error, std = errors(model, recording, logarithm=by_logarithm(model))
        gone = np.isnan(recording.u) if recording.u.ndim < 3 else np.isnan(recording.u[2])
        near = np.zeros(gone.shape, dtype=bool)
        for at in np.argwhere(gone):
            near[tuple(slice(max(a - 12, 0), a + 13) for a in at)] = True
        shares.append(np.abs(error / std)[near & np.isfinite(error)])
    share = np.concatenate(shares)
    assert share.max() < 12
    assert 0.8 < np.mean(share < QUANTILE) < 0.99


def cost(name: str, hole: tuple[Any, ...], near: tuple[slice, ...], fields: int, folder: Path) -> float:
    """Root mean square error near a hole over that without it, at 5 % noise; of log lambda where that is estimated."""
    problem = PROBLEMS[name]
    model = command.MODELS / f"{problem.model}.onnx"
    whole, holed = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + fields):
        recording = problem.recording(problem.simulate(seed), 5.0, seed)
        for kept in (whole, holed):
            path, given = recording.write(folder)
            lam = command.run(model, path, folder / "out", given=given, spacing=recording.spacing).lam.astype(float)
            error = np.log(lam / recording.lam) if by_logarithm(model) else lam - recording.lam
            kept.append(error[near])
            recording.u[hole] = np.nan
    assert np.isfinite(whole).all() and np.isfinite(holed).all()
    return float(np.sqrt(np.mean(np.square(holed)) / np.mean(np.square(whole))))


@pytest.mark.usefixtures("mollifier")
@pytest.mark.parametrize("name", ["heat", "heat-trained"])
def test_a_column_of_dead_pixels_costs_little(tmp_path: Path, name: str) -> None:
    """Wide kernels stand on the filled column; without them its neighbourhood had no value, or a useless one."""
    assert cost(name, (..., 50), np.s_[8:-8, 44:57], 3, tmp_path) < 1.2


@pytest.mark.usefixtures("mollifier")
@pytest.mark.parametrize("name", ["langevin", "langevin-trained"])
@pytest.mark.parametrize(("length", "factor"), [(4, 1.2), (8, 1.7)])
def test_a_short_gap_costs_little(tmp_path: Path, name: str, length: int, factor: float) -> None:
    assert cost(name, np.s_[100 : 100 + length,], np.s_[92 : 108 + length,], 20, tmp_path) < factor
