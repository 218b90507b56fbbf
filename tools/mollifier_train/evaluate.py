"""Score the shipped model files, run by the command as a user would, on simulated recordings."""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from . import classical, command
from .problems import PROBLEMS, Problem, Target
from .recordings import Recording
from .scores import FAILED, Mean, Score, Summary, summarise

BEGIN = "<!-- accuracy:begin -->"
END = "<!-- accuracy:end -->"


@dataclass(frozen=True)
class Row:
    """One noise level of a problem: the model's scores and the interior correlations of the baselines."""

    level: float
    summary: Summary
    baselines: Mapping[str, Mean]
    errors: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """One problem.

    Attributes:
        name: key of `PROBLEMS`.
        model: the model file.
        graph: SHA-256 of the model's graph, first 12 digits.
        seeds: of the recordings.
        known_noise: whether the command was told the noise.
        rows: one for each level.
    """

    name: str
    model: Path
    graph: str
    seeds: range
    known_noise: bool
    rows: tuple[Row, ...]


def graph_hash(model: Path) -> str:
    """SHA-256 of the graph of an ONNX file without its metadata, first 12 digits."""
    graph = onnx.load(model, load_external_data=False).graph
    return hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()[:12]


def estimate(
    model: Path, recording: Recording, *, known_noise: bool = False
) -> NDArray[np.float32] | command.CommandError:
    """Run the command on one recording.

    Args:
        model: the model file.
        recording: what is measured.
        known_noise: give the true noise instead of letting the command estimate it.

    Returns:
        the estimated parameter, `(y, x)` or `(sample,)`; or the command's error.
    """
    with tempfile.TemporaryDirectory() as folder:
        path, given = recording.write(Path(folder))
        try:
            return command.run(
                model,
                path,
                Path(folder) / "out",
                given=given,
                spacing=recording.spacing,
                noise=recording.noise if known_noise else None,
                options=("--threads", "1", *recording.options),
            ).lam
        except command.CommandError as error:
            return error


def evaluate(
    name: str,
    *,
    model: Path | None = None,
    fields: int | None = None,
    seed_start: int = 0,
    levels: Sequence[float] | None = None,
    known_noise: bool = False,
    quiet: bool = True,
) -> Evaluation:
    """Run a model over simulated recordings of a problem and score what it gives.

    Args:
        name: key of `PROBLEMS`.
        model: the model file, the problem's shipped one unless given.
        fields: number of recordings at each level, the problem's own unless given.
        seed_start: seed of the first; 0 to 999 are kept for published figures and never used for choices.
        levels: noise levels, the problem's own unless given.
        known_noise: give the command the true noise.
        quiet: print no progress on standard error.
    """
    problem = PROBLEMS[name]
    fields = problem.fields if fields is None else fields
    levels = problem.levels if levels is None else tuple(levels)
    shipped = model or command.MODELS / f"{problem.model}.onnx"
    scores: dict[float, list[Score]] = {level: [] for level in levels}
    against = {level: problem.held_against(level) for level in levels}
    others: dict[float, dict[str, list[Score]]] = {v: {b: [] for b in against[v]} for v in levels}
    errors: dict[float, list[str]] = {level: [] for level in levels}
    with for_pixels(problem, shipped) as used:
        digest = graph_hash(used)
        for seed in range(seed_start, seed_start + fields):
            clean = problem.simulate(seed)
            for level in levels:
                recording = problem.recording(clean, level, seed)
                lam = estimate(used, recording, known_noise=known_noise)
                if isinstance(lam, command.CommandError):
                    errors[level].append(str(lam))
                    scores[level].append(FAILED)
                else:
                    scores[level].append(problem.score(lam, recording))
                for baseline, function in against[level].items():
                    others[level][baseline].append(problem.score(function(recording), recording))
                if not quiet:
                    s = scores[level][-1]
                    print(
                        f"{name} seed {seed}, {problem.level_text.format(level)}: interior {s.interior:.4f}, "
                        f"L2 {s.error:.4f}, boundary {s.boundary:.4f}",
                        file=sys.stderr,
                    )
    rows = tuple(
        Row(
            level=level,
            summary=summarise(scores[level]),
            baselines={b: summarise(s).interior for b, s in others[level].items()},
            errors=tuple(errors[level]),
        )
        for level in levels
    )
    return Evaluation(
        name=name,
        model=shipped,
        graph=digest,
        seeds=range(seed_start, seed_start + fields),
        known_noise=known_noise,
        rows=rows,
    )


def best_widths(name: str, *, fields: int, seed_start: int) -> dict[str, tuple[int, ...]]:
    """For each usual method and each of a problem's levels the width of the highest mean interior correlation.

    Raises:
        ValueError: for a problem that no usual method is written for.
    """
    problem = PROBLEMS[name]
    law = problem.classical
    if law is None:
        raise ValueError(f"{name}: no usual method, expected a problem with `classical`")
    cleans = [(seed, problem.simulate(seed)) for seed in range(seed_start, seed_start + fields)]
    best = {}
    for method, of in classical.METHODS.items():
        widths = []
        for level in problem.levels:
            recordings = [problem.recording(clean, level, seed) for seed, clean in cleans]
            most = min(recordings[0].lam.shape) // 2 - 1

            def mean(width: int, of: classical.Differentiate = of, recordings: list[Recording] = recordings) -> float:
                return summarise([problem.score(law(r, of, width), r) for r in recordings]).interior.value

            widths.append(max((w for w in classical.WIDTHS[method] if w <= most), key=mean))
        best[method] = tuple(widths)
    return best


@contextmanager
def for_pixels(problem: Problem, shipped: Path) -> Iterator[Path]:
    """The model for the shape of a problem's pixels: `shipped`, or one baked of the spec and trunk beside it."""
    if problem.aspect is None:
        yield shipped
        return
    trunk = shipped.with_suffix(".trunk.onnx")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / f"{shipped.stem}-aspect.onnx"
        spec = shipped.with_suffix(".toml")
        command.bake(spec, out, aspect=problem.aspect, trunk=trunk if trunk.exists() else None)
        yield out


def number(mean: Mean) -> str:
    """`0.993 ± 0.001`."""
    return f"{mean.value:.3f} ± {mean.error:.3f}" if abs(mean.value) < 100 else f"{mean.value:.1e}"


def share(mean: Mean) -> str:
    """`3.1 %`."""
    return f"{100 * mean.value:.1f} %"


def cells(evaluation: Evaluation, row: Row) -> list[str]:
    """One line of the table of measured values."""
    s = row.summary
    return [
        PROBLEMS[evaluation.name].level_text.format(row.level),
        number(s.interior),
        number(s.error),
        number(s.boundary),
        share(s.boundary_missing),
        f"{s.failed}/{s.fields}",
        *(f"{b.value:.3f}" for b in row.baselines.values()),
    ]


def header(evaluation: Evaluation) -> list[str]:
    """Titles of `cells`."""
    problem = PROBLEMS[evaluation.name]
    first = "localisations" if problem.levels[0] > 10 else "noise"
    names = ["interior correlation", "relative L2", "boundary correlation", "boundary missing", "failed"]
    return [first, *names, *(f"{b} (interior)" for b in evaluation.rows[0].baselines)]


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def verdicts(row: Row, target: Target) -> list[str]:
    """For each target of a row: what was wanted, and whether it was reached, by the mean as it is printed."""
    s = row.summary
    checks = [
        ("interior", s.interior.value, target.interior, ">="),
        ("L2", s.error.value, target.error, "<="),
        ("boundary", s.boundary.value, target.boundary, ">="),
        ("boundary missing", s.boundary_missing.value, target.boundary_missing, "<="),
    ]
    out = []
    for name, got, wanted, sense in checks:
        if wanted is not None:
            good = got >= wanted if sense == ">=" else got <= wanted
            out.append(f"{name} {got:.4f} {sense} {wanted:g} {'reached' if good else 'MISSED'}")
    return out


def report(evaluation: Evaluation) -> str:
    """The measured table with targets and errors, for a terminal."""
    problem = PROBLEMS[evaluation.name]
    lines = [
        f"{evaluation.name}: {evaluation.model.name} (graph {evaluation.graph}), "
        f"{len(evaluation.seeds)} recordings, seeds {evaluation.seeds.start} to {evaluation.seeds.stop - 1}, noise "
        + ("given" if evaluation.known_noise else "estimated by the command"),
        table([header(evaluation), *(cells(evaluation, row) for row in evaluation.rows)]),
    ]
    for row in evaluation.rows:
        level = problem.level_text.format(row.level)
        if row.level in problem.targets:
            lines.append(f"targets at {level}: " + "; ".join(verdicts(row, problem.targets[row.level])))
        if row.errors:
            lines.append(f"{len(row.errors)} runs at {level} failed, the first: {row.errors[0]}")
    return "\n".join(lines)


def card_block(evaluations: Sequence[Evaluation], *, version: str) -> str:
    """What stands between the accuracy marks of a model card.

    Args:
        evaluations: all of one model.
        version: of the command that ran them.
    """
    first = evaluations[0]
    names = " ".join(e.name for e in evaluations)
    fields, start = len(first.seeds), first.seeds.start
    known = " --known-noise" if first.known_noise else ""
    line = f"python -m mollifier_train evaluate {names} --fields {fields} --seed-start {start}{known}"
    parts = [
        f"Measured on simulated recordings with `{line}` ({version}): seeds {start} to {first.seeds.stop - 1} at each "
        "level, the same for every model and used for no choice. White noise in per cent of the standard deviation "
        "of the whole noise-free recording"
        + (" and told to the command." if first.known_noise else "; the command estimates it."),
        "Correlation and relative L2 error are those of lambda against the true one, mean ± standard error over the "
        "recordings; the boundary is the outermost 8 samples, the interior the rest. A recording that fails counts "
        "0 (L2: 1).",
    ]
    for e in evaluations:
        parts.append(f"**{e.name}** (graph `{e.graph}`): {PROBLEMS[e.name].text}.")
        parts.append(table([header(e), *(cells(e, row) for row in e.rows)]))
    return "\n\n".join(parts)


def replace_block(card: str, block: str) -> str:
    """Put `block` between the accuracy marks of a card's text.

    Raises:
        ValueError: unless the card has one pair of marks.
    """
    if card.count(BEGIN) != 1 or card.count(END) != 1 or card.index(BEGIN) > card.index(END):
        raise ValueError(f"expected one {BEGIN} and then one {END} in the card")
    start, end = card.index(BEGIN) + len(BEGIN), card.index(END)
    return f"{card[:start]}\n{block}\n{card[end:]}"


def measured_graphs(card: str) -> dict[str, str]:
    """Graph hash by problem, as an accuracy block states them."""
    return dict(re.findall(r"^\*\*([\w-]+)\*\* \(graph `([0-9a-f]{12})`\)", card, flags=re.MULTILINE))


def write_card(path: Path, evaluations: Sequence[Evaluation]) -> None:
    """Renew the accuracy block of the card at `path`."""
    text = path.read_text(encoding="utf-8")
    shortened = [replace(e, model=Path(e.model.name)) for e in evaluations]
    path.write_text(replace_block(text, card_block(shortened, version=command.version())), encoding="utf-8")
