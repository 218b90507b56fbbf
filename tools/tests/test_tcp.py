"""Frames over TCP from the example's sender give the maps of the recording, byte for byte."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from tcp_sender import Sender
from mollifier_train.command import find

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "heat-transient-closed-form.onnx"

pytestmark = pytest.mark.usefixtures("mollifier")


def movie(kind: str) -> np.ndarray:
    t, y, x = np.ogrid[0:14, 0:64, 0:72]
    wave = np.exp(-0.05 * t) * (np.sin(x / 7) * np.cos(y / 9) + np.sin((x + y) / 13))
    return (100 + 40 * wave).astype(kind)


def line(recording: str, out: Path) -> list[str]:
    return [str(find()), "run", str(MODEL), recording, "--with", "m=0", "--format", "npy", "--out", str(out)]


@pytest.mark.parametrize("kind", ["u1", "<u2", "<f4", "<f8", ">u2"])
def test_maps_over_tcp_are_those_of_the_recording(tmp_path: Path, kind: str) -> None:
    frames = movie(kind)
    np.save(tmp_path / "u.npy", frames)
    subprocess.run(line(str(tmp_path / "u.npy"), tmp_path / "file"), check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        line(f"tcp://127.0.0.1:{port}", tmp_path / "tcp"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    sender = Sender(("127.0.0.1", port))
    for index, frame in enumerate(frames):
        if index == 7:
            # The instrument's program is started again.
            sender.close()
            sender = Sender(("127.0.0.1", port))
        sender.send(frame, index)
        time.sleep(0.01)
    sender.end()
    output = process.communicate(timeout=60)
    assert process.returncode == 0, output
    for name in ["lambda", "residual", "support"]:
        assert (tmp_path / "tcp" / f"{name}.npy").read_bytes() == (tmp_path / "file" / f"{name}.npy").read_bytes()
    run = json.loads((tmp_path / "tcp" / "run.json").read_text())
    assert (run["status"], run["frames"]["read"], run["frames"]["lost_count"]) == ("complete", 14, 0)
