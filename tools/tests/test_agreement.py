"""The shipped files give the same numbers in Python's onnxruntime as through the command."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from made_up import MadeUp, make, pinned, punch
from numpy.typing import NDArray
from mollifier_train import command
from mollifier_train.model_file import ModelFile
from mollifier_train.simulate.missing import fill


def law(model: ModelFile) -> str:
    return model.contract["physics"]["name"]


MODELS = [ModelFile(path) for path in command.shipped()]
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda m: m.path.stem)
BOUND = 1e-4
CONSTANTS_ARE_FREE = {"langevin", "heat", "heat-transient"}
"""Laws whose lambda does not change with a constant added to the field (Langevin: at a = 0)."""


def shapes(model: ModelFile) -> list[tuple[int, ...]]:
    """Smallest, ordinary, and large enough for several tiles or blocks; no radius is left out in any of them."""
    least = model.contract["min_size"]
    if model.contract["kind"] == "series":
        return [(max(least[0], 64),), (256,), (1500,)]
    y, x = (max(n, 48) for n in least)
    return [(y, x), (max(y, 112), max(x, 131)), (max(y, 40), 640)]


def write(made: MadeUp, folder: Path, dtype: type = np.float32) -> Path:
    path = folder / "recording.npy"
    np.save(path, made.u.astype(dtype))
    return path


def through_command(
    model: ModelFile, made: MadeUp, given: Mapping[str, object], dtype: type = np.float32
) -> dict[str, NDArray[np.float32]]:
    """Outputs of the command, `(y, x)` or `(sample,)`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        values: dict[str, Path | float] = {}
        noise = None
        for key, value in given.items():
            if key == model.named("noise"):
                noise = float(value)  # type: ignore[arg-type]
            elif isinstance(value, np.ndarray):
                values[key] = folder / f"{key}.npy"
                np.save(values[key], value.astype(np.float32))
            else:
                values[key] = float(value)  # type: ignore[arg-type]
        outputs = command.run(
            model.path,
            write(made, folder, dtype),
            folder / "out",
            given=values,
            noise=noise,
            spacing=made.spacing_text,
        ).outputs
    return {key: value[0] if value.ndim == 3 else value for key, value in outputs.items()}


def through_python(model: ModelFile, made: MadeUp, given: Mapping[str, object]) -> dict[str, NDArray[np.float32]]:
    """Outputs of onnxruntime over the whole recording at once."""
    u = made.u.astype(np.float32).astype(np.float64)
    valid = np.isfinite(u)
    feeds = model.feeds(
        fill(u) if not valid.all() else u,
        spacing=made.spacing,
        time_step=made.time_step,
        valid=valid,
        given=given,  # type: ignore[arg-type]
    )
    return model.run(feeds)


def excess(got: NDArray[np.floating], expected: NDArray[np.floating], floor: float = 0.0) -> float:
    """Largest |got - expected| relative to max(|expected|, its median, floor); infinite where only one is NaN."""
    assert got.shape == expected.shape
    if not np.array_equal(np.isnan(got), np.isnan(expected)):
        return np.inf
    known = ~np.isnan(expected)
    if not known.any():
        return 0.0
    a, b = got[known].astype(np.float64), expected[known].astype(np.float64)
    scale = np.maximum(np.abs(b), max(np.median(np.abs(b)), floor))
    difference = np.abs(a - b)
    return float(np.max(np.divide(difference, scale, out=np.where(difference > 0, np.inf, 0.0), where=scale > 0)))


def check_same(
    got: Mapping[str, NDArray[np.float32]], expected: Mapping[str, NDArray[np.float32]], term: float
) -> None:
    """Every output within the bound; a residual, the small difference of large terms, relative to those."""
    assert sorted(got) == sorted(expected)
    worst = {name: excess(got[name], expected[name], term if name == "residual" else 0.0) for name in expected}
    assert max(worst.values()) <= BOUND, f"largest relative difference by output: {worst}"


@every_model
@pytest.mark.parametrize("size", [0, 1, 2], ids=["smallest", "ordinary", "tiled"])
@pytest.mark.usefixtures("mollifier")
def test_command_equals_onnxruntime(model: ModelFile, size: int) -> None:
    made = make(law(model), shapes(model)[size])
    given = pinned(model, made)
    check_same(through_command(model, made, given), through_python(model, made, given), made.term)


@every_model
@pytest.mark.usefixtures("mollifier")
def test_holes_are_treated_alike(model: ModelFile) -> None:
    made = punch(make(law(model), (256,) if model.contract["kind"] == "series" else (120, 126)))
    given = pinned(model, made)
    got, expected = through_command(model, made, given), through_python(model, made, given)
    check_same(got, expected, made.term)
    assert np.isfinite(got["lambda"]).mean() > 0.85


@every_model
def test_every_output_is_there_without_holes(model: ModelFile) -> None:
    made = make(law(model), shapes(model)[1])
    outputs = through_python(model, made, pinned(model, made))
    for name, value in outputs.items():
        assert value.dtype == np.float32
        assert value.shape == made.u.shape[-value.ndim :], name
        # A residual exists only where its kernel fits; everything else nearly everywhere.
        assert np.isfinite(value).mean() >= (0.4 if name == "residual" else 0.9), name
    assert 0 <= outputs["support"].min() and outputs["support"].max() <= 1


@every_model
def test_lambda_is_continuous(model: ModelFile) -> None:
    """A change of the input by 1e-7 of its spread, as another processor's rounding makes, moves lambda a little."""
    for percent in (0.0, 1.0, 10.0):
        made = make(law(model), shapes(model)[1], percent=percent)
        given = pinned(model, made)
        change = 1e-7 * made.u.std() * np.random.default_rng(40_200).standard_normal(made.u.shape)
        moved = dataclasses.replace(made, u=made.u + change)
        a, b = (through_python(model, m, given)["lambda"] for m in (moved, made))
        assert excess(a, b) <= 1e-4, f"at {percent} % noise"


@pytest.mark.parametrize("model", [m for m in MODELS if law(m) in CONSTANTS_ARE_FREE], ids=lambda m: m.path.stem)
@pytest.mark.usefixtures("mollifier")
def test_adding_300_changes_nothing(model: ModelFile) -> None:
    """In single and in double precision, for the laws that know the field up to a constant."""
    made = make(law(model), (256,) if law(model) == "langevin" else (112, 112), contrast=1.0)
    given = dict(made.given) | ({"a": 0.0} if law(model) == "langevin" else {})
    raised = dataclasses.replace(made, u=made.u + 300)
    base = through_command(model, made, given, np.float64)["lambda"]
    for dtype in (np.float32, np.float64):
        lam = through_command(model, raised, given, dtype)["lambda"]
        assert excess(lam, base) <= 1e-3, dtype.__name__


def test_stand_ins_for_missing_values() -> None:
    u = np.array([np.nan, 1.0, 3.0, np.nan, 3.0, 9.0])
    np.testing.assert_allclose(fill(u)[0], (1.0 + 3.0 / 4) / (1 + 1 / 4))
    frame = np.ones((1, 20, 20))
    frame[0, 2:16, 2:16] = np.nan
    frame[0, 18:] = 5.0
    filled = fill(frame)[0]
    assert filled[3, 3] == 1.0
    assert filled[9, 9] == np.nanmean(frame)
