"""A recording that other programs are still writing gives the maps of the finished one, byte for byte."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from mollifier_train.command import find

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "heat-transient-closed-form.onnx"


def movie() -> NDArray[np.uint16]:
    """A made-up movie of 12 frames, (t, y, x), that uses neither 0 nor the saturated 65535."""
    t, y, x = np.mgrid[0:12, 0:64, 0:72]
    wave = np.exp(-0.05 * t) * (np.sin(x / 7) * np.cos(y / 9) + np.sin((x + y) / 13))
    return (30000 + 9000 * wave).astype(np.uint16)


def write_tiff(path: Path, **options: str) -> None:
    """One page after the other, as tifffile writes them when it is given them one by one."""
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for frame in movie():
            writer.write(frame, photometric="minisblack", metadata=None, **options)
            time.sleep(0.05)


def write_folder(path: Path) -> None:
    path.mkdir()
    for i, frame in enumerate(movie()):
        Image.fromarray(frame).save(path / f"frame_{i:04d}.tif")
        time.sleep(0.05)


def write_compressed(path: Path) -> None:
    write_tiff(path, compression="zlib")


def run(recording: Path, out: Path, *more: str) -> tuple[bytes, dict[str, object]]:
    command = find()
    assert command is not None
    line = [
        str(command),
        "run",
        str(MODEL),
        str(recording),
        "--with",
        "m=0",
        "--format",
        "npy",
        "--out",
        str(out),
        *more,
    ]
    done = subprocess.run(line, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return (out / "lambda.npy").read_bytes(), json.loads((out / "run.json").read_text())


@pytest.mark.usefixtures("mollifier")
@pytest.mark.parametrize(
    ("name", "write"),
    [("movie.tif", write_tiff), ("packed.tif", write_compressed), ("frames", write_folder)],
)
def test_a_recording_in_the_making_gives_the_maps_of_the_finished_one(tmp_path: Path, name: str, write: object) -> None:
    assert callable(write)
    writer = threading.Thread(target=write, args=(tmp_path / name,))
    # The command is there before the recording.
    timer = threading.Timer(0.3, writer.start)
    timer.start()
    live, record = run(tmp_path / name, tmp_path / "live", "--follow=2")
    writer.join()
    finished, _ = run(tmp_path / name, tmp_path / "finished")
    assert record["status"] == "complete"
    assert live == finished
    assert np.load(tmp_path / "live" / "lambda.npy").shape == (8, 64, 72)
