"""The sample recordings: reproducible, small, in scale, and their README's commands work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import tifffile
from mollifier_train import command, examples
from mollifier_train.scores import correlation

DATA = command.ROOT / "examples" / "data"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    examples.write(folder)
    return folder


def read(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".tif":
        return tifffile.imread(path)
    return np.loadtxt(path, delimiter=",", skiprows=2 if path.name == "langevin.csv" else 1)


def test_committed_files_are_what_the_simulators_give(written: Path) -> None:
    """Up to the last digit, which another processor may round otherwise."""
    names = sorted(path.name for path in written.iterdir())
    assert names == sorted(path.name for path in DATA.iterdir() if path.name != "README.md")
    for name in names:
        a, b = read(written / name).astype(np.float64), read(DATA / name).astype(np.float64)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1.01 if b.max() > 1000 else 1e-5 * np.abs(b).max())


def test_samples_are_small() -> None:
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 2_000_000


def test_images_carry_their_scale() -> None:
    for name, shape, dtype in (("heat-plate", (127, 127), "float32"), ("heat-movie", (12, 112, 112), "uint16")):
        with tifffile.TiffFile(DATA / f"{name}.tif") as tiff:
            assert tiff.asarray().shape == shape and tiff.asarray().dtype == dtype
            assert tiff.imagej_metadata is not None and tiff.imagej_metadata["unit"] == "mm"
            assert tiff.pages[0].tags["XResolution"].value == (1, 1)
            if name == "heat-movie":
                assert tiff.imagej_metadata["finterval"] == 4


def test_every_sample_is_named_in_the_readme() -> None:
    text = (DATA / "README.md").read_text(encoding="utf-8")
    for path in DATA.iterdir():
        assert path.name == "README.md" or f"`{path.name}`" in text
    assert "simulated" in text


def commands() -> list[list[str]]:
    """The lines of the README's block of commands, split."""
    text = (DATA / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    assert block is not None
    return [shlex.split(line) for line in block[1].splitlines()]


LEAST = {"plate": 0.9, "movie": 0.8, "langevin": 0.9, "chromatin": 0.7}
"""Correlation with the truth, over the whole frame, that each command must reach."""
TRUTH = {"plate": "heat-plate", "movie": "heat-movie", "langevin": "langevin", "chromatin": "chromatin"}


@pytest.mark.parametrize("line", commands(), ids=lambda line: Path(line[-1]).name)
@pytest.mark.usefixtures("mollifier")
def test_readme_command_finds_the_truth(line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(command.ROOT)
    if not Path(line[2]).exists():
        pytest.skip(f"{line[2]} is not baked")
    assert line[0] == "mollifier" and line[-2] == "--out"
    name = Path(line[-1]).name
    command.call([*line[1:-1], tmp_path, "--format", "npy"])
    lam = np.load(tmp_path / "lambda.npy")
    truth = np.load(DATA / f"{TRUTH[name]}-truth.npy")
    lam = lam if lam.ndim == truth.ndim else lam[lam.shape[0] // 2]
    assert correlation(lam.ravel(), truth.ravel()) >= LEAST[name]
    assert 0.7 < np.nanmedian(np.abs(lam)) / np.median(np.abs(truth)) < 1.4
