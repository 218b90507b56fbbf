"""Which cells the comparison has, in the order in which they are run, and the file of their results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .cell import Cell

RADIUS = {"langevin": (16,), "heat": (12, 12), "reaction-diffusion": (2, 8, 8)}
"""Of the mollifier, in samples along each axis; plain networks start from its first guess too."""
STEPS = {"langevin": 3000, "heat": 1200, "reaction-diffusion": 600}
TUNING_STEPS = {"langevin": 1500, "heat": 400, "reaction-diffusion": 250}
GAIN = {"langevin": 2.0, "heat": 2.0, "reaction-diffusion": 3.0}
"""Of the fully connected network's first layer; the same for every method."""
MOLLIFIED = {"langevin": "mollified", "heat": "mollified", "reaction-diffusion": "mollified-weak"}
SAMPLED = 256
FREQUENCY = {"langevin": 4.0, "heat": 2.0, "reaction-diffusion": 4.0}
"""Of PirateNet's Fourier features."""
CAP, TUNING_CAP = 60.0, 45.0
"""Seconds of processor time in the steps of a cell."""
FIT_CAP = 600.0
"""Of the command `fit`, which ends by itself."""
COSTLY, COSTLY_CAP = ("nested", "taylor"), 25.0
"""Methods at every point are measured for their time and memory; their fits would take many minutes."""
TRIALS = ((0.01, 1e-2), (0.1, 1e-2), (1.0, 1e-2), (0.1, 3e-3))
"""Weight of the equation and learning rate."""
TUNING_SEED = 10_000
SEEDS = (0, 1, 2)

Results = dict[str, dict[str, Any]]


def options(problem: str, architecture: str) -> dict[str, Any]:
    """Of an architecture on a problem."""
    if architecture == "mlp":
        return {"gain": GAIN[problem]}
    return {"frequency": FREQUENCY[problem]} if architecture == "piratenet" else {}


def settings(problem: str, architecture: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
    """Of a cell; `more` replaces or adds."""
    return {
        "radius": list(RADIUS[problem]),
        "steps": STEPS[problem],
        "sampled": SAMPLED,
        "options": options(problem, architecture),
        **more,
    }


def tuning() -> Iterator[Cell]:
    """Weight and learning rate, tried for the mollified and for the plain network alike: as many trials, as long."""
    for problem in RADIUS:
        for method in (MOLLIFIED[problem], "nested-sampled"):
            for weight, rate in TRIALS:
                yield Cell(
                    "tuning",
                    problem,
                    method,
                    field_seed=TUNING_SEED,
                    settings=settings(problem, "mlp", weight=weight, rate=rate, steps=TUNING_STEPS[problem]),
                    cap=TUNING_CAP,
                    label=f"weight {weight:g}, rate {rate:g}",
                )


def tuned(results: Results, problem: str, method: str) -> dict[str, float]:
    """The best weight and rate on the tuning field by the correlation of lambda's network.

    Those of `nested-sampled` serve all plain methods, which minimise the same loss.
    """
    kind = MOLLIFIED[problem] if method.startswith("mollified") else "nested-sampled"
    tried = [r for r in results.values() if r["part"] == "tuning" and r["problem"] == problem and r["method"] == kind]
    done = [r for r in tried if r["history"]]
    if not done:
        return {"weight": 0.1, "rate": 1e-2}
    best = max(done, key=lambda r: r["history"][-1]["net"])
    return {"weight": best["settings"]["weight"], "rate": best["settings"]["rate"]}


def table(results: Results, *, architectures: Sequence[str], seeds: Sequence[int]) -> Iterator[Cell]:
    """Each problem and architecture, mollified and plain."""
    for seed in seeds:
        for architecture in architectures:
            for problem in RADIUS:
                for method in (MOLLIFIED[problem], "nested-sampled", "nested", "taylor"):
                    # Of the costly ones time and memory are wanted, which do not depend on the seed.
                    if (method == "nested" and seed) or (method == "taylor" and (architecture != "mlp" or seed)):
                        continue
                    yield Cell(
                        "table",
                        problem,
                        method,
                        architecture,
                        field_seed=seed,
                        settings=settings(problem, architecture, **tuned(results, problem, method)),
                        cap=COSTLY_CAP if method in COSTLY else CAP,
                    )


def cost() -> Iterator[Cell]:
    """Time and memory of a step, by depth and by order of the derivative."""
    for depth in (2, 4, 8):
        for method in ("mollified-weak", "taylor", "nested"):
            yield Cell(
                "depth",
                "reaction-diffusion",
                method,
                settings=settings("reaction-diffusion", "mlp", steps=8, options={"depth": depth}),
                cap=30.0,
                label=f"depth {depth}",
            )
    for order in (1, 2, 3, 4):
        for method in ("mollified", "taylor", "nested"):
            yield Cell("order", f"order-{order}", method, settings={"steps": 15, "options": {}}, cap=20.0)


def further(results: Results) -> Iterator[Cell]:
    """Other noise, the paper's own form of the nonlinear equation, the direct variant, noise in the forcing."""

    def one(part: str, problem: str, method: str, **more: Any) -> Cell:  # noqa: ANN401
        extra = more.pop("settings", {})
        return Cell(
            part,
            problem,
            method,
            settings=settings(problem, "mlp", **tuned(results, problem, method) | extra),
            cap=CAP,
            **more,
        )

    yield one("form", "reaction-diffusion", "mollified")
    for noise in (1.0, 10.0, 0.0):
        for problem in RADIUS:
            for method in (MOLLIFIED[problem], "nested-sampled"):
                yield one("noise", problem, method, noise=noise)
    for problem in RADIUS:
        for method in (MOLLIFIED[problem], "nested"):
            yield one("direct", problem, method, settings={"variant": "direct"})
    for method in ("mollified", "nested-sampled"):
        yield one("forcing", "langevin", method, task={"forcing_noise": 0.1}, label="forcing noise 0.1")


MODELS = {
    "langevin": ("langevin-closed-form", "langevin"),
    "heat": ("heat-closed-form", "heat"),
    "reaction-diffusion": ("reaction-diffusion-closed-form", "reaction-diffusion"),
}
"""Shipped models of each problem."""


def amortised(results: Results) -> Iterator[Cell]:
    """Shipped models and fits on the same recordings; every point of the plate is measured, as the models need it.

    Then `fit` on the table's own plates, of which half the points are measured.
    """
    for problem, models in MODELS.items():
        task = {"sensors": 1.0} if problem == "heat" else {}
        for seed in SEEDS:
            for model in models:
                yield Cell(
                    "amortised",
                    problem,
                    "model",
                    field_seed=seed,
                    settings={"model": model},
                    task=task,
                    label=model,
                )
            yield Cell("amortised", problem, "fit", field_seed=seed, task=task, cap=FIT_CAP)
            if not task:
                continue  # the table has that fit
            method = MOLLIFIED[problem]
            given = settings(problem, "mlp", **tuned(results, problem, method))
            yield Cell("amortised", problem, method, field_seed=seed, settings=given, task=task, cap=CAP)
    for seed in SEEDS:
        yield Cell("command", "heat", "fit", field_seed=seed, cap=FIT_CAP)


def cells(results: Results) -> list[Cell]:
    """The whole study, what matters most first; later cells depend on the results of the tuning."""
    first = list(tuning())
    if any(cell.name not in results for cell in first):
        return first
    others = [*table(results, architectures=["piratenet", "pinnsformer"], seeds=SEEDS[:1])]
    rest = [
        *table(results, architectures=["mlp"], seeds=SEEDS),
        *(cell for cell in others if cell.method != "nested"),
        *amortised(results),
        *cost(),
        *further(results),
        *(cell for cell in others if cell.method == "nested"),
        *table(results, architectures=["piratenet", "pinnsformer"], seeds=SEEDS[1:]),
    ]
    return first + rest


def quick() -> list[Cell]:
    """A few short cells that pass through everything: for tests, not for figures."""
    small = {"steps": 8, "sampled": 16, "weight": 0.1, "rate": 1e-2}
    mlp = {"width": 8, "depth": 2}
    plate, series, movie = {"keep": 16}, {}, {"side": 14}
    return [
        Cell("table", "langevin", "mollified", settings=small | {"radius": [8], "options": mlp}, task=series),
        Cell("table", "heat", "nested-sampled", settings=small | {"radius": [4, 4], "options": mlp}, task=plate),
        Cell(
            "table",
            "reaction-diffusion",
            "mollified-weak",
            settings=small | {"radius": [2, 6, 6], "options": mlp},
            task=movie,
        ),
        Cell(
            "table", "reaction-diffusion", "nested", settings=small | {"radius": [2, 6, 6], "options": mlp}, task=movie
        ),
        Cell(
            "table", "heat", "mollified", "pinnsformer", settings=small | {"radius": [4, 4], "options": {}}, task=plate
        ),
    ]


def read(path: Path) -> Results:
    """Results by cell name; a line that was cut short by an interruption is left out."""
    results: Results = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            results[row["cell"]] = row
    return results


def pending(asked: Iterable[Cell], results: Results) -> list[Cell]:
    """Cells without a result for the same settings; one that failed is due again."""

    def same(cell: Cell, row: Mapping[str, Any]) -> bool:
        given = json.loads(json.dumps([cell.settings, cell.task, cell.cap]))
        return "error" not in row and given == [row["settings"], row["task"], row["cap"]]

    return [cell for cell in asked if cell.name not in results or not same(cell, results[cell.name])]
