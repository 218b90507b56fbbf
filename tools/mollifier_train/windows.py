"""How many frames a map is worth: `python -m mollifier_train windows` writes docs/windows.md.

The laws of movies are baked for windows of several lengths, and a trunk is trained behind each on the same recordings
for the same number of steps. Two ways to have more frames are told apart: a longer window of the same camera, and a
faster camera over the same time.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import equinox as eqx
import numpy as np
from numpy.typing import NDArray

from . import command, training_sets
from .ablate import FIRST_SEED, LEVELS, judge, look
from .evaluate import table
from .model_file import ModelFile
from .problems import PROBLEMS
from .recordings import Recording
from .train import Recipe, fit, untrained

LAWS = ("heat-transient", "reaction-diffusion")
WINDOWS = (3, 5, 9)
USUAL = 5
"""Frames of the shipped models, and of the test sets."""


def movie(law: str, seed: int, level: float, *, frames: int, apart: float) -> Recording:
    """A recording of a test set, but for the number of frames and the time between them."""
    problem = PROBLEMS[law]
    clean = partial(problem.simulate, frames=frames, interval=apart)(seed)
    return problem.recording(clean, level, seed)


def middle(u: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """The window around the middle frame, of axes `(frame, y, x)`."""
    first = (len(u) - frames) // 2
    return u[first : first + frames]


def interval(law: str) -> float:
    """Time between the frames of the test set."""
    recording = PROBLEMS[law].recording(PROBLEMS[law].simulate(FIRST_SEED), 0.0, FIRST_SEED)
    return float(recording.spacing.split(",")[0].removeprefix("t="))


def bake(law: str, frames: int, out: Path) -> ModelFile:
    """The front end of a law for a window of this many frames."""
    spec = out.with_suffix(".toml")
    spec.write_text(f"window = {frames}\n" + (command.MODELS / f"{law}.toml").read_text(encoding="utf-8"))
    command.bake(spec, out, front_end=True)
    return ModelFile(out)


def untouched(features: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The trunk that gives the closed form back."""
    zero = np.zeros(features.shape[:-1], np.float32)
    return zero, zero


def windows(out: Path, *, recordings: int, steps: int, fields: int, laws: Sequence[str] = LAWS) -> None:
    """Bake, train and judge every window, and write the tables.

    Args:
        out: Markdown file.
        recordings: in each training set.
        steps: of Adam.
        fields: choice recordings at each level.
        laws: which.
    """
    seeds = range(FIRST_SEED, FIRST_SEED + fields)
    head = ["frames", "time between them", *(f"{level:g} %" for level in LEVELS)]
    line = f"python -m mollifier_train windows --recordings {recordings} --steps {steps} --fields {fields}"
    parts = [
        "# How many frames a map is worth",
        f"Simulated; written by `{line}`. The shipped models of movies take {USUAL} frames; `window = 9`, say, as the "
        "first line of a spec bakes one for another number (odd, from 3 on: a slope in time needs two frames, and its "
        f"curvature a third). Judged on seeds {FIRST_SEED:,} to {FIRST_SEED + fields - 1:,}, which publish nothing, "
        "the noise told. Figures: interior correlation / relative L2 error / boundary correlation; differences below "
        "0.003 are ties.",
    ]
    for law in laws:
        usual = interval(law)
        longest = max(WINDOWS)
        rows: dict[str, list[list[str]]] = {"longer": [], "trained": [], "faster": []}
        longer = {v: [movie(law, s, v, frames=longest, apart=usual) for s in seeds] for v in LEVELS}
        for frames in WINDOWS:
            apart = usual * (USUAL - 1) / (frames - 1)
            faster = {v: [movie(law, s, v, frames=frames, apart=apart) for s in seeds] for v in LEVELS}
            with tempfile.TemporaryDirectory() as folder:
                front_end = bake(law, frames, Path(folder) / "front-end.onnx")
                tests = {v: [look(front_end, r, middle(r.u, frames)) for r in longer[v]] for v in LEVELS}
                started = time.monotonic()
                data = training_sets.examples(law, [front_end], count=recordings)
                recipe = Recipe(steps=steps)
                network = eqx.filter_jit(fit(data, untrained(data, recipe), recipe, quiet=True))
                took = time.monotonic() - started
                print(f"{law}, {frames} frames: {took:.0f} s", file=sys.stderr, flush=True)
                in_time = {v: [look(front_end, r, r.u) for r in faster[v]] for v in LEVELS}
            first = [str(frames), f"{usual:g}"]
            rows["longer"].append([*first, *(" / ".join(judge(untouched, tests[v])) for v in LEVELS)])
            rows["trained"].append([*first, *(" / ".join(judge(network, tests[v])) for v in LEVELS)])
            again = [str(frames), f"{apart:g}"]
            rows["faster"].append([*again, *(" / ".join(judge(untouched, in_time[v])) for v in LEVELS)])
        parts += [
            f"## {law}",
            f"{PROBLEMS[law].text}; here the middle of {longest} frames.",
            "Closed form, a longer window:",
            table([head, *rows["longer"]]),
            f"With a trunk behind it, each trained on {recordings:,} recordings for {steps:,} steps, less than the "
            "shipped ones:",
            table([head, *rows["trained"]]),
            "Closed form, more frames in the same time:",
            table([head, *rows["faster"]]),
        ]
    out.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
