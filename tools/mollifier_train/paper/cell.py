"""One cell of the table, run as its own process: `python -m mollifier_train.paper.cell`, a cell in, a result out."""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from .. import command
from ..problems import Recording
from ..scores import correlation
from . import memory, tasks
from .derivatives import gradient, taylor
from .fit_recording import fit_task
from .fitting import Fit, Networks, Record, Settings, bind, mesh, train
from .layer import Mollifier
from .networks import Mlp, Scaled

LOOKS = 8
"""How often a fit is scored on its way."""
COST = ("depth", "order", "size")
"""Parts that measure time and memory only."""


@dataclass(frozen=True)
class Cell:
    """What is measured.

    Attributes:
        part: of the study, such as `table`.
        problem: key of `tasks.SIMULATED`; `order-N` for a loss on one derivative of order N alone.
        method: `mollified`, `mollified-weak`, `nested`, `nested-sampled`, `taylor`; `model` runs a shipped model, `fit`
            what the command of this name does.
        architecture: key of `networks.ARCHITECTURES`.
        noise: in per cent.
        field_seed: of the simulated recording.
        settings: of the fit; method and form are taken from `method`.
        cap: seconds of processor time in steps.
        task: further arguments of the problem's function.
        label: tells apart cells that are alike otherwise.
    """

    part: str
    problem: str
    method: str
    architecture: str = "mlp"
    noise: float = 5.0
    field_seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    cap: float = 60.0
    task: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    @property
    def name(self) -> str:
        """One line that names the cell in the results."""
        parts = [self.part, self.problem, self.architecture, self.method, f"noise {self.noise:g}"]
        parts += [f"seed {self.field_seed}", *([self.label] if self.label else [])]
        return " / ".join(parts)

    def bound(self) -> Settings:
        """The settings of the fit."""
        method, _, rest = self.method.partition("-")
        given = {k: tuple(v) if isinstance(v, list) else v for k, v in self.settings.items()}
        if rest != "sampled":
            given["sampled"] = 0
        form = "weak" if rest == "weak" else "smoothed"
        return Settings(architecture=self.architecture, method=method, form=form, seed=self.field_seed % 1000, **given)


def scores(fit: Fit, networks: Networks, terms: Callable[[Networks], Mapping[str, jax.Array]]) -> dict[str, float]:
    """How well lambda and the derivative it rests on are known, over the whole grid and away from its border.

    `net` is of lambda's network, `direct` of numerator / denominator, `averaged` of its local least squares.
    """
    task, e = fit.task, fit.task.equation
    assert task.lam is not None
    assert task.figure is not None
    found = {k: np.asarray(v) for k, v in terms(networks).items()}
    inside = tuple(slice(n // 10, n - n // 10) for n in task.lam.shape)
    estimates = {"direct": fit.direct(found), "averaged": fit.direct(found, average=True)}
    if fit.settings.variant == "network":
        estimates["net"] = np.asarray(fit.lambda_map(networks), np.float64)
    row: dict[str, float] = {}
    for name, lam in estimates.items():
        row[name] = correlation(lam, task.lam)
        row[f"{name}_inside"] = correlation(lam[inside], task.lam[inside])
        row[f"{name}_l2"] = float(np.linalg.norm(lam - task.lam) / np.linalg.norm(task.lam))
    figure = np.asarray(e.figure(found), np.float64)
    row["derivative"] = correlation(figure, task.figure)
    row["derivative_l2"] = float(np.linalg.norm(figure - task.figure) / np.linalg.norm(task.figure))
    return {k: round(v, 6) for k, v in row.items()}


def run_fit(cell: Cell) -> dict[str, Any]:
    """Fit a simulated recording and score it."""
    task = tasks.SIMULATED[cell.problem](cell.field_seed, cell.noise, **cell.task)
    settings = cell.bound()
    fit = bind(task, settings)
    # Plain networks are scored by Taylor mode, which gives the same derivatives sooner. Compiled and run beforehand:
    # a compiler's memory must not count with the steps'.
    scored = fit if fit.layer else bind(task, dataclasses.replace(settings, method="taylor"))
    terms = eqx.filter_jit(scored.terms)
    looks = 0 if cell.part in COST else 1 if cell.part == "amortised" else LOOKS
    if looks:
        terms(fit.start())
    seen: dict[str, int | None] = {}

    def look(networks: Networks) -> dict[str, float]:
        return scores(fit, networks, terms) if looks else {}

    _, record = train(
        fit,
        cap=cell.cap,
        looks=max(looks, 1),
        look=look,
        compiled=lambda: seen.update(start=memory.start()),
        warmed=lambda: seen.update(peak=memory.peak()),
    )
    return summary(record, seen) | {"points": fit.points.shape[0], "history": record.history if looks else []}


def summary(record: Record, seen: Mapping[str, int | None]) -> dict[str, Any]:
    """Time and memory of a training; `seen` holds resident bytes before the first step and the peak of steps."""
    start, peak = seen.get("start"), seen.get("peak")
    return {
        "steps": record.steps,
        "capped": record.capped,
        "seconds": round(record.seconds, 4),
        "clock_seconds": round(record.clock_seconds, 4),
        "step_ms": round(1000 * float(np.median(record.step_seconds)), 4),
        "compile_seconds": round(record.compile_seconds, 2),
        "buffer_bytes": record.buffer_bytes,
        "step_bytes": None if start is None or peak is None else max(peak - start, 0),
        "process_bytes": memory.whole_life(),
    }


def run_order(cell: Cell, order: int) -> dict[str, Any]:
    """Time and memory of a step whose loss is the mean square of the derivative of one order along x."""
    side, radius, settings = 48, 9, cell.bound()
    network = Scaled(Mlp(2, key=jax.random.key(settings.seed), **settings.options), [(0.0, side - 1.0)] * 2)
    layer = Mollifier("poly8", (radius, radius), (side, side), (1.0, 1.0), (0, order))
    axes = layer.coordinates((0.0, 0.0)) if settings.method == "mollified" else [np.arange(side)] * 2
    points = jnp.asarray(mesh([np.asarray(a, np.float64) for a in axes]), jnp.float32)

    def derivative(network: Scaled) -> jax.Array:
        if settings.method == "mollified":
            return layer(network(points).reshape(layer.padded), (0, order))
        if settings.method == "taylor":
            return taylor(network, points, (0.0, 1.0), order)[-1]
        function = network
        for _ in range(order):
            function = along(function)
        return function(points)

    def along(function: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
        return lambda p: gradient(function)(p)[:, 1]

    optimiser = optax.adam(1e-3)
    arrays, static = eqx.partition(network, eqx.is_inexact_array)

    def step(arrays: Any, state: Any) -> Any:  # noqa: ANN401 - trees of arrays
        value, slope = jax.value_and_grad(lambda a: jnp.mean(derivative(eqx.combine(a, static)) ** 2))(arrays)
        change, state = optimiser.update(slope, state)
        return eqx.apply_updates(arrays, change), state, value

    state, record, started = optimiser.init(arrays), Record(), time.monotonic()
    run = jax.jit(step, donate_argnums=(0, 1)).lower(arrays, state).compile()
    record.compile_seconds = time.monotonic() - started
    record.buffer_bytes = int(run.memory_analysis().temp_size_in_bytes)
    seen = {"start": memory.start()}
    while record.steps < settings.steps and record.seconds < cell.cap:
        started = time.process_time()
        arrays, state, value = run(arrays, state)
        value.block_until_ready()
        record.step_seconds.append(time.process_time() - started)
        record.seconds += record.step_seconds[-1]
        record.steps += 1
    seen["peak"] = memory.peak()
    return summary(record, seen) | {"points": points.shape[0], "history": []}


def run_model(cell: Cell) -> dict[str, Any]:
    """Run a shipped model over the task's recording with the command, in a process whose time and memory are taken.

    The model is `settings["model"]`, a stem in `models/`.
    """
    task = tasks.SIMULATED[cell.problem](cell.field_seed, cell.noise, **cell.task)
    assert task.lam is not None
    spacing = ",".join(f"{a}={h!r}" for a, h in zip(task.equation.axes, task.spacing, strict=True))
    recording = Recording(task.u, task.lam, spacing, cell.noise, given=task.known)
    with tempfile.TemporaryDirectory() as folder:
        path, given = recording.write(Path(folder))
        # The taps that were read above came from child processes too.
        before = memory.children()
        model = command.MODELS / f"{cell.settings['model']}.onnx"
        options = ("--threads", "1")
        result = command.run(model, path, Path(folder) / "out", given=given, spacing=spacing, options=options)
        seconds = memory.children() - before
    lam = np.asarray(result.lam, np.float64)
    known = np.isfinite(lam)
    return {
        "correlation": correlation(lam, task.lam),
        "l2": float(np.linalg.norm((lam - task.lam)[known]) / np.linalg.norm(task.lam[known])),
        "process_seconds": seconds,
        "process_bytes": result.report["peak_memory_bytes"],
        "history": [],
    }


def run_command(cell: Cell) -> dict[str, Any]:
    """Fit the task's recording as `fit` does: samples kept out say when to end and which networks to keep."""
    task = tasks.SIMULATED[cell.problem](cell.field_seed, cell.noise, **cell.task)
    assert task.lam is not None
    fitted = fit_task(task, seed=cell.field_seed % 1000, cap=cell.cap, quiet=True)
    lam = np.asarray(fitted.fit.lambda_map(fitted.networks), np.float64)
    return {
        "correlation": correlation(lam, task.lam),
        "l2": float(np.linalg.norm(lam - task.lam) / np.linalg.norm(task.lam)),
        "best_step": fitted.best_step,
        "held_out": fitted.held_out,
        **summary(fitted.record, {}),
        "history": [],
    }


def run(cell: Cell) -> dict[str, Any]:
    """Run a cell; the result names it and its settings."""
    started = time.monotonic()
    if cell.method == "model":
        result = run_model(cell)
    elif cell.method == "fit":
        result = run_command(cell)
    elif cell.problem.startswith("order-"):
        result = run_order(cell, int(cell.problem.removeprefix("order-")))
    else:
        result = run_fit(cell)
    return {
        "cell": cell.name,
        **dataclasses.asdict(cell),
        **result,
        "wall_seconds": round(time.monotonic() - started, 1),
    }


if __name__ == "__main__":
    print(json.dumps(run(Cell(**json.loads(sys.stdin.read())))))
