"""Find and run the command `mollifier`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""
MODELS = ROOT / "models"
"""The shipped models."""


def shipped() -> list[Path]:
    """The shipped model files, by name; a trunk is a part of one and no model."""
    return sorted(path for path in MODELS.glob("*.onnx") if not path.name.endswith(".trunk.onnx"))


class CommandError(RuntimeError):
    """The command is absent or did not end with exit code 0."""


class InputError(ValueError):
    """What a person gave cannot be used: what, where, got, expected."""


@dataclass(frozen=True)
class Result:
    """What `mollifier run` wrote.

    Attributes:
        outputs: one array for each output, float32: `(map, y, x)`, `(sample,)` or `(channel, sample)`.
        report: `run.json`.
    """

    outputs: dict[str, NDArray[np.float32]]
    report: dict[str, Any]

    @property
    def lam(self) -> NDArray[np.float32]:
        """The estimated parameter: `(y, x)` of the first map, or `(sample,)`."""
        lam = self.outputs["lambda"]
        return lam[0] if lam.ndim > 1 else lam


def find() -> Path | None:
    """The command: the environment variable `MOLLIFIER`, else the repository's release build; None if absent."""
    suffix = ".exe" if sys.platform == "win32" else ""
    named = os.environ.get("MOLLIFIER")
    path = Path(named) if named else ROOT / "target" / "release" / f"mollifier{suffix}"
    return path.resolve() if path.is_file() else None


def call(arguments: Sequence[str | Path], *, timeout: float = 600) -> str:
    """Run the command and return what it printed on standard output.

    Args:
        arguments: after the command's name.
        timeout: in seconds.

    Raises:
        CommandError: if it is absent or fails; the message holds what it printed on standard error.
    """
    path = find()
    if path is None:
        raise CommandError(
            "no command `mollifier`: build it with `cargo build --release`, or set MOLLIFIER to its path"
        )
    line = [str(path), *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise CommandError(f"`{' '.join(line)}` ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def run(
    model: Path,
    recording: Path,
    out: Path,
    *,
    given: Mapping[str, Path | float] | None = None,
    spacing: str | None = None,
    noise: float | None = None,
    options: Sequence[str] = (),
) -> Result:
    """Run a model over a recording and read every output.

    Args:
        model: the model file.
        recording: what the command reads: a file or a folder.
        out: folder to write into.
        given: values for `--with`: numbers, or paths of fields.
        spacing: value for `--spacing`.
        noise: value for `--noise`; the command estimates it if None.
        options: further arguments.

    Raises:
        CommandError: as `call`.
    """
    arguments: list[str | Path] = ["run", model, recording, "--out", out, "--format", "npy"]
    for name, value in (given or {}).items():
        arguments += ["--with", f"{name}={value if isinstance(value, Path) else float(value)}"]
    if spacing is not None:
        arguments += ["--spacing", spacing]
    if noise is not None:
        arguments += ["--noise", repr(float(noise))]
    call([*arguments, *options])
    outputs = {path.stem: np.load(path) for path in sorted(out.glob("*.npy"))}
    return Result(outputs=outputs, report=json.loads((out / "run.json").read_text(encoding="utf-8")))


def bake(
    spec: Path, out: Path, *, aspect: str | None = None, front_end: bool = False, trunk: Path | None = None
) -> None:
    """Write a model file from its spec.

    Args:
        spec: the TOML file.
        out: the ONNX file to write.
        aspect: value for `--aspect`, such as `y=1,x=2`.
        front_end: write the front end alone.
        trunk: ONNX file of a trunk to put behind it.

    Raises:
        CommandError: as `call`.
    """
    options: list[str | Path] = ["--aspect", aspect] if aspect else []
    options += ["--front-end"] if front_end else []
    options += ["--trunk", trunk] if trunk else []
    call(["bake", spec, *options, "-o", out])


def version() -> str:
    """What `mollifier --version` prints."""
    return call(["--version"]).strip()
