"""A share that goes while a run writes to it: told in one line, and put right by `--resume` once it is back."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from mollifier_train.command import find

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "heat-transient-closed-form.onnx"
SHIM = Path(__file__).parent / "shim" / "failing_writes.c"

pytestmark = pytest.mark.usefixtures("mollifier")


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that makes writes fail."""
    compiler = shutil.which("cc")
    if compiler is None or os.name != "posix" or not Path("/proc/self/fd").is_dir():
        pytest.skip("no C compiler, or a system without /proc: writes cannot be made to fail")
    library = tmp_path_factory.mktemp("shim") / "failing_writes.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SHIM, "-ldl"], check=True)
    return library


def line(recording: Path, out: Path) -> list[str]:
    formats = [a for f in ("npy", "tiff", "csv", "png", "zarr") for a in ("--format", f)]
    return [str(find()), "run", str(MODEL), str(recording), "--with", "m=0", "--out", str(out), *formats]


def files(folder: Path) -> dict[str, bytes]:
    """Everything below a folder but what this run took: its record, and the last column of its rows."""

    def content(path: Path) -> bytes:
        whole = path.read_bytes()
        return re.sub(rb",[^,\n]*\n", b"\n", whole) if path.name == "summary.csv" else whole

    found = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "run.json")
    return {str(p.relative_to(folder)): content(p) for p in found}


def test_a_share_that_goes_and_comes_back_costs_nothing(tmp_path: Path, shim: Path) -> None:
    t, y, x = np.ogrid[0:12, 0:40, 0:45]
    np.save(tmp_path / "u.npy", (np.exp(-0.02 * t) * np.sin(x / 7) * np.cos(y / 9)).astype(np.float32))
    whole = tmp_path / "whole"
    subprocess.run(line(tmp_path / "u.npy", whole), check=True, capture_output=True)
    expected = files(whole)
    failures = 0
    for after in (0, 1, 4, 9, 17, 30, 55, 80, 100, 130, 160, 200, 260):
        out = tmp_path / f"out-{after}"
        away = os.environ | {"LD_PRELOAD": str(shim), "FAIL_UNDER": str(out), "FAIL_AFTER": str(after)}
        run = subprocess.run(line(tmp_path / "u.npy", out), env=away, capture_output=True, text=True)
        if run.returncode != 0:
            failures += 1
            # One line that names a file below the folder and what the system said of it.
            errors = [told for told in run.stderr.splitlines() if not told.startswith("mollifier: warning")]
            assert len(errors) == 1, run.stderr
            assert str(out) in errors[0], errors
            assert "Input/output error" in errors[0], errors
            assert not (out / "run.json").exists(), "what is not complete has no record"
            again = subprocess.run([*line(tmp_path / "u.npy", out), "--resume"], capture_output=True, text=True)
            assert again.returncode == 0, again.stderr
        assert files(out).keys() == expected.keys(), after
        for name, content in files(out).items():
            assert content == expected[name], (after, name)
    assert failures >= 8, "the writes failed too late to matter"
