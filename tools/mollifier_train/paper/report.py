"""REPRODUCTION.md and its plots, from the results of the study."""

from __future__ import annotations

import hashlib
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from . import study
from .cell import Cell

Row = dict[str, Any]

PAPER = {
    "langevin": {"plain": (0.36, 0.21, 2138), "mollified": (0.97, 0.16, 1615)},
    "heat": {"plain": (0.21, 1.20, None), "mollified": (0.99, 0.24, None)},
    "reaction-diffusion": {"plain": (0.44, 2.75, 3386), "mollified": (0.99, 0.23, 335)},
}
"""Reported for the fully connected network: correlation of lambda, memory in GB, seconds."""
ACCURACY = {"langevin": 0.95, "heat": 0.85, "reaction-diffusion": 0.9}
"""Correlation of lambda up to which time is taken."""
WORDS = {
    "mollified": "mollified",
    "mollified-weak": "mollified, weak form",
    "nested": "plain, every point",
    "nested-sampled": f"plain, {study.SAMPLED} points a step",
    "taylor": "plain, Taylor mode, every point",
}
COLOURS = {
    "mollified": "#0072b2",
    "mollified-weak": "#0072b2",
    "nested": "#d55e00",
    "nested-sampled": "#e69f00",
    "taylor": "#009e73",
}


def last(row: Row, key: str) -> float | None:
    """A score after the last step; None for a failed cell."""
    return row["history"][-1].get(key) if row.get("history") else None


def number(value: float | None, digits: int = 3) -> str:
    """A table's entry."""
    return "-" if value is None else f"{value:.{digits}f}"


def each(cells: Sequence[Row], value: Callable[[Row], float | None], digits: int = 3) -> str:
    """A value of every seed of the study, "-" where there is none."""
    found = {cell["field_seed"]: value(cell) for cell in cells}
    return " / ".join(number(found.get(seed), digits) for seed in study.SEEDS)


def megabytes(value: int | None) -> str:
    """Bytes as MB."""
    if value is None:
        return "-"
    return f"{value / 1e6:.0f}" if value >= 9.5e6 else f"{value / 1e6:.1f}"


def time_to(row: Row, accuracy: float) -> float | None:
    """Processor seconds of steps until lambda's network has reached a correlation, at the looks that were taken."""
    return next((h["seconds"] for h in row.get("history", []) if h.get("net", 0.0) >= accuracy), None)


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def chosen(results: study.Results, **wanted: Any) -> list[Row]:  # noqa: ANN401 - JSON values
    """Results with these entries, in the order of their seeds."""
    found = [r for r in results.values() if all(r[k] == v for k, v in wanted.items())]
    return sorted(found, key=lambda r: r["field_seed"])


def table(results: study.Results) -> str:
    """Accuracy, memory and time of every problem, architecture and method."""
    rows = []
    for problem in study.RADIUS:
        for architecture in ("mlp", "piratenet", "pinnsformer"):
            for method in (study.MOLLIFIED[problem], "nested-sampled", "nested", "taylor"):
                cells = chosen(results, part="table", problem=problem, architecture=architecture, method=method)
                if not cells:
                    continue
                good = [c for c in cells if "error" not in c]
                errors = [f"seed {c['field_seed']}: {c['error']}" for c in cells if "error" in c]
                capped = [c for c in good if c["capped"]]
                steps = (
                    " / ".join(str(c["steps"]) for c in capped) + " (cap)"
                    if capped
                    else str(good[0]["steps"] if good else "-")
                )
                rows.append(
                    [
                        problem,
                        architecture,
                        WORDS[method],
                        each(cells, lambda c: last(c, "net")) + ("; " + "; ".join(errors) if errors else ""),
                        each(cells, lambda c: last(c, "net_l2")),
                        each(cells, lambda c: last(c, "derivative")),
                        each(cells, lambda c: last(c, "direct")),
                        megabytes(min((c["buffer_bytes"] for c in good), default=None)),
                        megabytes(max((c["step_bytes"] for c in good if c["step_bytes"]), default=None)),
                        number(float(np.median([c["step_ms"] for c in good])), 1) if good else "-",
                        steps,
                        each(cells, lambda c, problem=problem: time_to(c, ACCURACY[problem]), 0),
                    ]
                )
    header = [
        "problem",
        "network",
        "derivatives",
        "correlation of lambda, seeds 0 / 1 / 2",
        "relative L2",
        "correlation of the derivative",
        "correlation, direct",
        "memory of a step, MB (compiler)",
        "MB (resident)",
        "ms a step",
        "steps",
        "s to accuracy",
    ]
    return markdown(header, rows)


def ratio_rows(results: study.Results) -> list[list[str]]:
    """Plain over mollified, of time and memory of a step at equal network, points and steps."""
    rows = []
    for problem in study.RADIUS:
        for architecture in ("mlp", "piratenet", "pinnsformer"):
            one = chosen(
                results, part="table", problem=problem, architecture=architecture, method=study.MOLLIFIED[problem]
            )
            for method in ("nested", "taylor"):
                other = chosen(results, part="table", problem=problem, architecture=architecture, method=method)
                pair = [(a, b) for a in one for b in other if a["field_seed"] == b["field_seed"]]
                pair = [(a, b) for a, b in pair if "error" not in a and "error" not in b]
                if not pair:
                    continue
                a, b = pair[0]
                rows.append(
                    [
                        problem,
                        architecture,
                        WORDS[method],
                        f"{b['step_ms'] / a['step_ms']:.1f}",
                        f"{b['buffer_bytes'] / a['buffer_bytes']:.1f}",
                        # A step that takes longer than its cell may ends before memory was looked at.
                        f"{b['step_bytes'] / a['step_bytes']:.1f}" if a["step_bytes"] and b["step_bytes"] else "-",
                        f"{b['process_bytes'] / a['process_bytes']:.1f}",
                    ]
                )
    return rows


def pair_of(results: study.Results, problem: str, method: str) -> tuple[Row, Row] | None:
    """The mollified fully connected network's cell and another's, of the first seed that both have."""
    for seed in study.SEEDS:
        found = [
            chosen(results, part="table", problem=problem, architecture="mlp", method=m, field_seed=seed)
            for m in (study.MOLLIFIED[problem], method)
        ]
        if all(cells and "error" not in cells[0] for cells in found):
            return found[0][0], found[1][0]
    return None


def times(pair: tuple[Row, Row]) -> str:
    """How many times the time and memory of a step the second cell takes."""
    one, other = pair
    memory = f"{other['buffer_bytes'] / one['buffer_bytes']:.1f} times the working memory"
    return f"{other['step_ms'] / one['step_ms']:.1f} times the time and {memory}"


def headline(results: study.Results) -> str:
    """What came out, in a few lines that say no more than the results do."""
    lines = []
    pair = pair_of(results, "reaction-diffusion", "nested")
    if pair:
        lines.append(
            f"- **Cost of a fourth-order equation.** Reaction-diffusion, the same fully connected network, points and "
            f"steps: with nested automatic differentiation a step takes **{times(pair)}** of a mollified one "
            "(the paper: 10 and 12)."
        )
    pair = pair_of(results, "reaction-diffusion", "taylor")
    if pair:
        lines.append(f"- Against forward Taylor mode, which gives the same derivatives: {times(pair)}.")
    pair = pair_of(results, "reaction-diffusion", "nested-sampled")
    if pair:
        lines.append(
            f"- Against a plain network whose residual is taken at {study.SAMPLED} points a step instead of every one "
            f"of {pair[1]['points']}: {times(pair)}."
            + (
                " Most of the saving can be had without a mollifier."
                if pair[1]["step_ms"] < 3 * pair[0]["step_ms"]
                else ""
            )
        )
    scores = []
    for problem in study.RADIUS:
        both = []
        for method in (study.MOLLIFIED[problem], "nested-sampled"):
            cells = chosen(results, part="table", problem=problem, architecture="mlp", method=method)
            both.append({c["field_seed"]: c["history"] for c in cells if last(c, "net") is not None})
        seeds = sorted(set(both[0]) & set(both[1]))
        if seeds:
            means = [float(np.mean([found[seed][-1]["net"] for seed in seeds])) for found in both]
            bests = [float(np.mean([max(h["net"] for h in found[seed]) for seed in seeds])) for found in both]
            count = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
            best = f"on the way at best {bests[0]:.3f} against {bests[1]:.3f}"
            scores.append(f"{problem} {means[0]:.3f} against {means[1]:.3f} ({best}; {count})")
    if scores:
        lines.append(
            "- **Accuracy**, mean correlation of lambda at 5 % noise, mollified against plain, equal steps: "
            + "; ".join(scores)
            + ". Where the best is higher the fit goes on to follow the noise, which its loss does not tell. "
            "The paper has 0.97 / 0.99 / 0.99 against 0.36 / 0.21 / 0.44 on fields of its own."
        )
    reached = []
    for problem in study.RADIUS:
        found = chosen(results, part="command" if problem == "heat" else "amortised", problem=problem, method="fit")
        found = [r["correlation"] for r in found if "error" not in r]
        if found:
            reached.append(f"{problem} {np.mean(found):.3f} ({', '.join(f'{r:.3f}' for r in found)})")
    if reached:
        lines.append(
            "- **The command `fit`** on the same recordings (steps and weights of its own, for images L-BFGS behind "
            "Adam; a tenth of the samples is kept out and decides which networks are kept): " + "; ".join(reached) + "."
        )
    lines += failures(results)
    model = [r for r in results.values() if r["part"] == "amortised" and r["method"] == "model" and "error" not in r]
    fits = [
        r for r in results.values() if r["part"] == "table" and r["method"] in study.MOLLIFIED.values() and r["history"]
    ]
    fits = [r for r in fits if r["architecture"] == "mlp"]
    if model and fits:
        lines.append(
            f"- **Shipped models** take {np.median([r['process_seconds'] for r in model]):.2f} s of a processor for a "
            f"recording of this size, the steps of a fit {np.median([r['seconds'] for r in fits]):.0f} s (below)."
        )
    return "\n".join(lines) or "No cell of the table has been run."


def failures(results: study.Results) -> list[str]:
    """Where a plain network's lambda is worthless at the cap at which the mollified one's is not."""
    found, behind = [], []
    for problem in study.RADIUS:
        for architecture in ("mlp", "piratenet", "pinnsformer"):
            pair = [
                [
                    last(r, "net")
                    for r in chosen(results, part="table", problem=problem, architecture=architecture, method=method)
                    if "error" not in r and r["history"]
                ]
                for method in (study.MOLLIFIED[problem], "nested-sampled")
            ]
            if architecture == "mlp" and all(pair):
                behind.append(np.mean(pair[0]) - np.mean(pair[1]))
            if all(pair) and np.mean(pair[1]) < 0.5 < np.mean(pair[0]):
                texts = [", ".join(f"{v:.2f}" for v in values) for values in pair]
                found.append(f"{problem}, {architecture}: {texts[1]} where the mollified one has {texts[0]}")
    if not found:
        return []
    return [
        "- **Plain networks that fail** at the same cap of processor time (mean correlation below one half, 256 points "
        "a step, seeds 0, 1, 2): "
        + "; ".join(found)
        + ". The fully connected plain network, tuned by as many trials, is at most "
        f"{max(behind, default=float('nan')):.3f} behind the mollified one, on the mean of the seeds."
    ]


def tuning_rows(results: study.Results) -> list[list[str]]:
    """Every trial."""
    rows = []
    for problem in study.RADIUS:
        for weight, rate in study.TRIALS:
            line = [problem, f"{weight:g}", f"{rate:g}"]
            for method in (study.MOLLIFIED[problem], "nested-sampled"):
                found = [
                    r
                    for r in chosen(results, part="tuning", problem=problem, method=method)
                    if (r["settings"]["weight"], r["settings"]["rate"]) == (weight, rate)
                ]
                line.append(number(last(found[0], "net")) if found else "-")
            rows.append(line)
    return rows


def cost_rows(results: study.Results, part: str, key: Callable[[Row], int]) -> list[list[str]]:
    """Time and memory of a step by depth or order."""
    rows = []
    for row in sorted(chosen(results, part=part), key=lambda r: (key(r), list(WORDS).index(r["method"]))):
        if "error" in row:
            rows.append([str(key(row)), WORDS[row["method"]], row["error"], "-", "-", "-"])
            continue
        rows.append(
            [
                str(key(row)),
                WORDS[row["method"]],
                f"{row['step_ms']:.1f}",
                megabytes(row["buffer_bytes"]),
                megabytes(row["step_bytes"]),
                f"{row['compile_seconds']:.0f}",
            ]
        )
    return rows


def depth_of(row: Row) -> int:
    """Of a cell of the part `depth`."""
    return row["settings"]["options"]["depth"]


def order_of(row: Row) -> int:
    """Of a cell of the part `order`."""
    return int(row["problem"].removeprefix("order-"))


def further_rows(results: study.Results) -> list[list[str]]:
    """The remaining parts, one line a cell."""
    rows = []
    for part in ("noise", "form", "direct", "forcing"):
        for row in chosen(results, part=part):
            what = {
                "noise": f"noise {row['noise']:g} %",
                "form": "the paper's form: products of smoothed fields",
                "direct": "direct: the field alone is fitted",
                "forcing": f"white noise in the forcing, {row['task'].get('forcing_noise', 0):g}",
            }[part]
            if "error" in row:
                rows.append([row["problem"], what, WORDS[row["method"]], row["error"], "-", "-", "-"])
                continue
            rows.append(
                [
                    row["problem"],
                    what,
                    WORDS[row["method"]],
                    number(last(row, "net")),
                    number(last(row, "direct")),
                    number(last(row, "averaged")),
                    number(last(row, "derivative")),
                ]
            )
    return sorted(rows, key=lambda r: (r[1], r[0]))


def paper_rows(results: study.Results) -> list[list[str]]:
    """The paper's figures beside ours, fully connected network."""
    rows = []
    for problem, reported in PAPER.items():
        for kind, (score, memory, seconds) in reported.items():
            method = study.MOLLIFIED[problem] if kind == "mollified" else "nested-sampled"
            cells = [
                c
                for c in chosen(results, part="table", problem=problem, architecture="mlp", method=method)
                if c["history"]
            ]
            full = chosen(results, part="table", problem=problem, architecture="mlp", method="nested")
            costly = (full if kind == "plain" and full and "error" not in full[0] else cells)[:1]
            ours = np.mean([last(c, "net") for c in cells]) if cells else None
            rows.append(
                [
                    problem,
                    kind,
                    f"{score:.2f}",
                    number(ours),
                    f"{memory:.2f} GB",
                    f"{megabytes(costly[0]['buffer_bytes'])} MB" if costly else "-",
                    "-" if seconds is None else f"{seconds} s",
                    f"{costly[0]['step_ms'] * study.STEPS[problem] / 1e3:.0f} s" if costly else "-",
                ]
            )
    return rows


def missing(asked: Sequence[Cell], results: study.Results) -> str:
    """What has no result, a line for each part, problem and network."""
    left = study.pending(asked, results)
    if not left:
        return "Every cell has a result."
    groups: dict[str, list[Cell]] = {}
    for cell in left:
        groups.setdefault(f"{cell.part}, {cell.problem}, {cell.architecture}", []).append(cell)
    lines = [
        f"{len(left)} of {len(asked)} cells have no result; the next `python -m mollifier_train reproduce` runs them."
    ]
    for group, cells in groups.items():
        seeds = {
            method: [c.field_seed for c in cells if c.method == method]
            for method in dict.fromkeys(c.method for c in cells)
        }
        said = "; ".join(f"{method} {' '.join(map(str, dict.fromkeys(found)))}" for method, found in seeds.items())
        lines.append(f"- {group}: {said}")
    return "\n".join(lines)


def plot(images: Path, results: study.Results) -> list[str]:
    """Write the plots that there are results for; returns their names without ending."""
    import matplotlib

    matplotlib.use("Agg")
    # The same file for the same results.
    matplotlib.rcParams.update(
        {"svg.hashsalt": "mollifier", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    images.mkdir(parents=True, exist_ok=True)
    done = []

    def save(figure: Any, name: str) -> None:  # noqa: ANN401
        figure.savefig(images / f"{name}.png", dpi=150, metadata={"Software": None})
        figure.savefig(images / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)
        done.append(name)

    rows = [r for r in results.values() if r["part"] == "table" and r["architecture"] == "mlp" and r["history"]]
    if rows:
        figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
        for axis, problem in zip(axes, study.RADIUS, strict=True):
            for row in (r for r in rows if r["problem"] == problem):
                first = not any(line.get_label() == WORDS[row["method"]] for line in axis.lines)
                axis.plot(
                    [h["seconds"] for h in row["history"]],
                    [h["net"] for h in row["history"]],
                    color=COLOURS[row["method"]],
                    linewidth=1.4 if row["field_seed"] == 0 else 0.8,
                    linestyle={0: "-", 1: "--", 2: ":"}.get(row["field_seed"], "-"),
                    label=WORDS[row["method"]] if first else None,
                )
            axis.axhline(ACCURACY[problem], color="0.8", linewidth=0.8, zorder=0)
            axis.set(title=problem, xlabel="processor seconds in steps", ylim=(0.3, 1.02))
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
            axis.xaxis.set_minor_locator(ticker.NullLocator())
        axes[0].set_ylabel("correlation of lambda")
        handles = {label: handle for a in axes for handle, label in zip(*a.get_legend_handles_labels(), strict=True)}
        figure.legend(
            handles.values(), handles.keys(), fontsize=7.5, frameon=False, loc="outside lower center", ncols=5
        )
        save(figure, "reproduction-accuracy")
    for part, key, label in (("depth", depth_of, "hidden layers"), ("order", order_of, "order of the derivative")):
        rows = [r for r in results.values() if r["part"] == part and "error" not in r]
        if not rows:
            continue
        figure, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
        for method in WORDS:
            line = sorted((r for r in rows if r["method"] == method), key=key)
            if not line:
                continue
            for axis, value in zip(axes, ("step_ms", "buffer_bytes"), strict=True):
                scale = 1.0 if value == "step_ms" else 1e-6
                axis.plot(
                    [key(r) for r in line],
                    [scale * r[value] for r in line],
                    "o-",
                    color=COLOURS[method],
                    label=WORDS[method],
                )
        for axis, label_y in zip(axes, ("ms a step", "working memory of a step, MB"), strict=True):
            axis.set(xlabel=label, ylabel=label_y, yscale="log", xticks=sorted({key(r) for r in rows}))
        axes[0].legend(fontsize=7, frameon=False)
        save(figure, f"reproduction-{part}")
    return done


def write(path: Path, images: Path, results: study.Results, asked: Sequence[Cell], *, results_path: Path) -> None:
    """Write the report and its plots.

    Args:
        path: the Markdown file.
        images: folder of the plots.
        results: all of them.
        asked: cells of the study, to say which are missing.
        results_path: where the results are.
    """
    names = plot(images, results)
    shown = {name: f"![{name}]({relative(images / f'{name}.png', path.parent)})" for name in names}
    failed = [f"{r['cell']}: {r['error']}" for r in results.values() if "error" in r]
    spent = sum(r.get("wall_seconds", 0.0) for r in results.values()) / 3600
    capped = [r["cell"] for r in results.values() if r.get("capped")]
    text = TEMPLATE.format(
        headline=headline(results),
        table=table(results),
        ratios=markdown(
            ["problem", "network", "against", "time", "memory (compiler)", "memory (resident)", "whole process"],
            ratio_rows(results),
        ),
        tuning=markdown(["problem", "weight", "rate", "mollified", "plain"], tuning_rows(results)),
        depth=markdown(
            ["hidden layers", "derivatives", "ms a step", "MB (compiler)", "MB (resident)", "s to compile"],
            cost_rows(results, "depth", depth_of),
        ),
        order=markdown(
            ["order", "derivatives", "ms a step", "MB (compiler)", "MB (resident)", "s to compile"],
            cost_rows(results, "order", order_of),
        ),
        further=markdown(
            ["problem", "what", "derivatives", "correlation of lambda", "direct", "direct, averaged", "derivative"],
            further_rows(results),
        ),
        paper=markdown(
            [
                "problem",
                "",
                "correlation, paper",
                "here",
                "memory, paper",
                "here, a step",
                "time, paper",
                "here, all steps",
            ],
            paper_rows(results),
        ),
        amortised=amortised_table(results),
        accuracy_plot=shown.get("reproduction-accuracy", ""),
        depth_plot=shown.get("reproduction-depth", ""),
        order_plot=shown.get("reproduction-order", ""),
        left=missing(asked, results),
        failed="\n".join(f"- {line}" for line in failed) or "None failed.",
        capped=len(capped),
        count=len(results),
        hours=f"{spent:.1f}",
        sampled=study.SAMPLED,
        cap=f"{study.CAP:g}",
        costly_cap=f"{study.COSTLY_CAP:g}",
        levels=", ".join(f"{p} {a:g}" for p, a in ACCURACY.items()),
        radii=", ".join(f"{p} {' x '.join(map(str, r))}" for p, r in study.RADIUS.items()),
        trials=len(study.TRIALS),
        tuning_steps=", ".join(f"{p} {s}" for p, s in study.TUNING_STEPS.items()),
        steps=", ".join(f"{p} {s}" for p, s in study.STEPS.items()),
        ran=where_it_ran(results),
        hash=hashlib.sha256(results_path.read_bytes()).hexdigest()[:12] if results_path.exists() else "-",
        results=relative(results_path, path.parent),
    )
    path.write_text(text, encoding="utf-8")


def amortised_table(results: study.Results) -> str:
    """The shipped networks against fits of the same windows."""
    names = {word: f"a fit, {text}" for word, text in WORDS.items()} | {"fit": "the command `fit`"}
    lines = []
    for problem in study.RADIUS:
        rows = [r for r in chosen(results, part="amortised", problem=problem) if "error" not in r]
        if problem != "heat":  # the same recordings as the table's
            wanted = {"part": "table", "architecture": "mlp", "method": study.MOLLIFIED[problem]}
            rows += [r for r in chosen(results, problem=problem, **wanted) if r["history"]]
        for what in dict.fromkeys(r["settings"].get("model", r["method"]) for r in rows):
            same = [r for r in rows if r["settings"].get("model", r["method"]) == what]
            lines.append(
                [
                    problem,
                    names.get(what, f"`models/{what}.onnx`"),
                    each(same, lambda r: last(r, "net") if r["history"] else r["correlation"]),
                    each(same, lambda r: last(r, "net_l2") if r["history"] else r["l2"]),
                    f"{np.median([r['seconds' if what in names else 'process_seconds'] for r in same]):.2f}",
                    megabytes(max(r["process_bytes"] for r in same)),
                ]
            )
    if not lines:
        return "Not run yet."
    header = ["problem", "what", "correlation of lambda, seeds 0 / 1 / 2", "relative L2", "processor seconds", "MB"]
    return markdown(header, lines)


def here() -> str:
    """Day, machine and versions, for a cell that ran just now."""
    versions = f"Python {platform.python_version()}, JAX {jax.__version__}"
    return f"{time.strftime('%Y-%m-%d')}, {processor()}, {versions}"


def where_it_ran(results: study.Results) -> str:
    """On which days and machines the cells ran, most cells first."""
    ran = Counter(row.get("ran", "unknown") for row in results.values()).most_common()
    return "; ".join(f"{what} ({count} cells)" for what, count in ran) or "nothing ran yet"


def processor() -> str:
    """The processor's name."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def relative(path: Path, folder: Path) -> str:
    """A path as a link in a file of `folder`."""
    path, folder = path.resolve(), folder.resolve()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


TEMPLATE = (Path(__file__).parent / "report.md").read_text(encoding="utf-8")
"""The words around the tables."""
