"""Truth, estimate and error of one recording for each card: `python -m mollifier_train pictures`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import command
from .calibration import QUANTILE
from .problems import PROBLEMS
from .recordings import Recording, image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEED = 0
"""The first of the published recordings, whatever it looks like."""
DPI = 110
SUBJECTS = {
    "langevin": ("langevin-trained", 5.0),
    "heat": ("heat-trained", 5.0),
    "heat-transient": ("heat-transient-trained", 5.0),
    "reaction-diffusion": ("reaction-diffusion-trained", 5.0),
    "chromatin": ("chromatin-unsettled-trained", 100.0),
}
"""Of every trained model a test set and a level."""


def draw(model: str, out: Path) -> None:
    """Run a shipped model on the first published recording of its test set and draw what comes back.

    Args:
        model: key of `SUBJECTS`.
        out: PNG to write.

    Raises:
        CommandError: if the run fails.
    """
    name, level = SUBJECTS[model]
    problem = PROBLEMS[name]
    recording = problem.recording(problem.simulate(SEED), level, SEED)
    with tempfile.TemporaryDirectory() as folder:
        path, given = recording.write(Path(folder))
        result = command.run(
            command.MODELS / f"{model}.onnx",
            path,
            Path(folder) / "out",
            given=given,
            spacing=recording.spacing,
            options=recording.options,
        )
    lam = result.lam.astype(np.float64)
    std = np.asarray(result.outputs["std"], np.float64).reshape(result.lam.shape)
    figure = curves(recording, lam, std) if lam.ndim == 1 else maps(recording, lam, std)
    figure.savefig(out, dpi=DPI, metadata={"Software": None})


def canvas(columns: int, width: float, height: float) -> Figure:
    """An empty figure for a file, with a row of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.subplots(1, columns)
    return figure


def curves(recording: Recording, lam: np.ndarray, std: np.ndarray) -> Figure:
    """The signal; the true and the estimated forcing with its 90 % interval."""
    figure = canvas(2, 9.0, 2.8)
    left, right = figure.axes
    time = float(recording.spacing.split("=")[1]) * np.arange(len(lam))
    left.plot(time, recording.u, color="0.3", lw=0.8)
    left.set(title="u, as measured", xlabel="t")
    right.fill_between(time, lam - QUANTILE * std, lam + QUANTILE * std, color="C0", alpha=0.25, lw=0, label="90 %")
    right.plot(time, lam, color="C0", lw=1.2, label="estimate")
    right.plot(time, recording.lam, color="k", lw=1.0, ls="--", label="truth")
    right.set(title="lambda", xlabel="t")
    right.legend(frameon=False, fontsize=8, ncols=3)
    return figure


def maps(recording: Recording, lam: np.ndarray, std: np.ndarray) -> Figure:
    """What was measured, truth, estimate, the logarithm of their ratio, and the std of log lambda."""
    figure = canvas(5, 13.0, 2.9)
    seen = image(recording) if recording.noise is None or recording.u.ndim < 3 else recording.u[len(recording.u) // 2]
    low, high = np.quantile(recording.lam, [0.0, 1.0])
    error = np.log(lam / recording.lam)
    most = float(np.nanquantile(np.abs(error), 0.99))
    panels = [
        ("u, as measured", seen, {"cmap": "gray"}),
        ("lambda, truth", recording.lam, {"cmap": "viridis", "vmin": low, "vmax": high}),
        ("lambda, estimate", lam, {"cmap": "viridis", "vmin": low, "vmax": high}),
        ("log(estimate / truth)", error, {"cmap": "RdBu_r", "vmin": -most, "vmax": most}),
        ("std of log lambda", std, {"cmap": "magma", "vmin": 0.0, "vmax": most}),
    ]
    for axes, (title, values, look) in zip(list(figure.axes), panels, strict=True):
        shown = axes.imshow(values, interpolation="nearest", **look)
        axes.set_title(title, fontsize=10)
        axes.set(xticks=[], yticks=[])
        figure.colorbar(shown, ax=axes, shrink=0.85)
    return figure
