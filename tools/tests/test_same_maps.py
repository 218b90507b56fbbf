"""One movie in every form that the command reads gives the same maps, byte for byte."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from mollifier_train.command import find

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "heat-transient-closed-form.onnx"


def movie() -> NDArray[np.uint8]:
    """A made-up movie of 7 frames, (t, y, x), that uses neither 0 nor the saturated 255."""
    t, y, x = np.mgrid[0:7, 0:64, 0:72]
    wave = np.exp(-0.05 * t) * (np.sin(x / 7) * np.cos(y / 9) + np.sin((x + y) / 13))
    return np.clip(128 + 55 * wave, 1, 254).astype(np.uint8)


def maps(command: Path, argument: str, out: Path, *more: str, standard_input: bytes | None = None) -> bytes:
    """The bytes of lambda.npy."""
    line = [str(command), "run", str(MODEL), argument, "--with", "m=0", "--format", "npy", "--out", str(out), *more]
    done = subprocess.run(line, input=standard_input, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return (out / "lambda.npy").read_bytes()


@pytest.mark.usefixtures("mollifier")
def test_every_form_of_a_movie_gives_the_same_maps(tmp_path: Path) -> None:
    command = find()
    assert command is not None
    frames = movie()
    wide = frames.astype(np.uint16)
    folder = tmp_path / "frames"
    folder.mkdir()
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"frame{i}.png")
    tifffile.imwrite(tmp_path / "movie.tif", wide)
    np.save(tmp_path / "movie.npy", wide)
    np.save(tmp_path / "movie32.npy", frames.astype(np.float32))

    expected = maps(command, str(folder), tmp_path / "a")
    assert np.load(tmp_path / "a" / "lambda.npy").shape == (3, 64, 72)
    assert np.isfinite(np.load(tmp_path / "a" / "lambda.npy")).all()
    assert maps(command, str(tmp_path / "movie.tif"), tmp_path / "b") == expected
    assert maps(command, str(tmp_path / "movie.npy"), tmp_path / "c") == expected
    assert maps(command, str(tmp_path / "movie32.npy"), tmp_path / "d") == expected
    raw = maps(command, "-", tmp_path / "e", "--raw", "u16:64x72", standard_input=wide.astype("<u2").tobytes())
    assert raw == expected
    stream = (tmp_path / "movie.npy").read_bytes()
    assert maps(command, "-", tmp_path / "f", standard_input=stream) == expected
