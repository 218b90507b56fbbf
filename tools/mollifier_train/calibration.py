"""Does a trained model's `std` say how wrong it is? Measured through the command, as the scores are."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import command
from .evaluate import for_pixels, graph_hash, table
from .model_file import ModelFile
from .problems import PROBLEMS
from .recordings import Recording

BEGIN, END = "<!-- calibration:begin -->", "<!-- calibration:end -->"
QUANTILE = 1.6449
"""Standard deviations of a Gaussian that hold 90 %."""


@dataclass(frozen=True)
class Calibration:
    """At one noise level, over all values of all recordings.

    Attributes:
        level: of the noise.
        coverage: share of values whose truth (of log lambda, or of lambda for series) lies within the 90 % interval.
        ratio: mean squared error over the mean predicted variance; 1 is calibrated.
    """

    level: float
    coverage: float
    ratio: float


def by_logarithm(model: Path) -> bool:
    """Whether a model's std is that of log lambda."""
    outputs = {output["name"]: output for output in ModelFile(model).contract["outputs"]}
    return outputs["lambda"]["transform"] == "log"


def errors(model: Path, recording: Recording, *, logarithm: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Error of a run's estimate, of its logarithm where that counts, and std, each of lambda's shape.

    Raises:
        CommandError: if the run fails.
        KeyError: if the model gives no `std`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path, given = recording.write(Path(folder))
        options = ("--threads", "1", *recording.options)
        out = Path(folder) / "out"
        result = command.run(model, path, out, given=given, spacing=recording.spacing, options=options)
    std = np.asarray(result.outputs["std"], np.float64).reshape(result.lam.shape)
    estimate, truth = result.lam.astype(np.float64), recording.lam
    return np.log(estimate) - np.log(truth) if logarithm else estimate - truth, std


def calibrate(
    name: str, model: Path, *, fields: int, seed_start: int = 0, levels: Sequence[float] | None = None
) -> list[Calibration]:
    """Run a model that gives `std` over simulated recordings of a problem.

    Raises:
        CommandError: if a run fails.
        KeyError: if the model gives no `std`.
    """
    problem = PROBLEMS[name]
    logarithm = by_logarithm(model)
    rows = []
    with for_pixels(problem, model) as used:
        for level in problem.levels if levels is None else levels:
            squares, variances, inside = [], [], []
            for seed in range(seed_start, seed_start + fields):
                recording = problem.recording(problem.simulate(seed), level, seed)
                error, std = errors(used, recording, logarithm=logarithm)
                seen = np.isfinite(error)
                squares.append(error[seen] ** 2)
                variances.append(std[seen] ** 2)
                inside.append(np.abs(error[seen]) <= QUANTILE * std[seen])
            ratio = float(np.concatenate(squares).mean() / np.concatenate(variances).mean())
            rows.append(Calibration(float(level), float(np.concatenate(inside).mean()), ratio))
    return rows


def block(names: Sequence[str], model: Path, *, fields: int, seed_start: int, levels: Sequence[float]) -> str:
    """A Markdown section for a card: coverage and variance ratio of every problem."""
    noise = " ".join(f"{level:g}" for level in levels)
    line = (
        f"python -m mollifier_train calibrate {' '.join(names)} --fields {fields} --seed-start {seed_start} "
        f"--noise {noise}"
    )
    first = "localisations" if max(levels) > 10 else "noise"
    head = ["test set", first, "within the 90 % interval", "mean squared error / predicted variance"]
    rows = [
        [name, PROBLEMS[name].level_text.format(c.level), f"{100 * c.coverage:.1f} %", f"{c.ratio:.2f}"]
        for name in names
        for c in calibrate(name, model, fields=fields, seed_start=seed_start, levels=levels)
    ]
    return (
        f"Measured with `{line}` (graph `{graph_hash(model)}`), over all values, boundary included, in "
        f"{'log lambda' if by_logarithm(model) else 'lambda'}.\n\n" + table([head, *rows])
    )


def write_card(path: Path, text: str) -> None:
    """Renew what stands between a card's calibration marks."""
    head, rest = path.read_text(encoding="utf-8").split(BEGIN)
    _, tail = rest.split(END)
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")
