"""`python -m mollifier_train fit`: a mollified network fitted to a person's own recording."""

from __future__ import annotations

import csv
import html
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import tifffile
from numpy.typing import NDArray

from ..command import InputError
from . import fitted_file
from .fitting import Fit, Networks, Record, Settings, bind, train
from .tasks import EQUATIONS, Task

Array = NDArray[np.float64]

LARGEST = 1_000_000
"""Points at which the field's network is evaluated in a step, the margin included: 5 GB of working memory."""
DEFAULTS: dict[str, dict[str, Any]] = {
    "langevin": {"radius": (16,), "steps": 3000, "finish": 0, "weight": 0.01, "form": "smoothed"},
    "heat": {"radius": (12, 12), "steps": 800, "finish": 800, "weight": 0.1, "form": "smoothed"},
    "heat-transient": {"radius": (2, 12, 12), "steps": 800, "finish": 800, "weight": 0.1, "form": "smoothed"},
    "reaction-diffusion": {"radius": (2, 8, 8), "steps": 600, "finish": 300, "weight": 1.0, "form": "weak"},
}
"""Of each problem, found on simulated recordings (seeds from 10,000)."""
LENGTHS = ("pm", "angstrom", "nm", "um", "mm", "cm", "m", "km")
TIMES = ("ns", "us", "ms", "s", "min", "h", "d")
"""Units as the command `mollifier` writes them."""
WORDS = {
    "\u00e5": "angstrom",
    "nanometer": "nm",
    "micron": "um",
    "microns": "um",
    "micrometer": "um",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "msec": "ms",
    "sec": "s",
    "second": "s",
    "seconds": "s",
    "minute": "min",
    "hour": "h",
}
"""Other words for them in TIFF files."""
UNFOLLOWED = 0.5
"""Misfit of samples kept out, in standard deviations of the data, from which on a fit is worth nothing: more than any
noise for which there are tests."""
CLOCKS = ("time", "t", "timestamp", "datetime", "seconds", "elapsed")
"""Names of columns that say when a sample was taken."""
GAIN = {"langevin": 2.0, "heat": 2.0, "heat-transient": 2.0, "reaction-diffusion": 3.0}


def read_table(path: Path) -> tuple[list[str], Array]:
    """Names and numbers, axes `(row, column)`, of a table; what is no number is NaN.

    Fields are separated as the first row shows: by tabs, semicolons, commas or, between bare numbers, spaces. A comma
    that does not separate is a decimal mark. Text that is no UTF-8 is Latin-1. Lines that start with `#` are left out.

    Raises:
        InputError: if it has no rows, or rows of different length.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise InputError(f"{path}: got an empty file, expected a column of numbers")
    separator = next((mark for mark in "\t;," if mark in lines[0]), None)

    def number(field: str) -> float:
        field = field.strip()
        try:
            return float(field if separator == "," else field.replace(",", "."))
        except ValueError:
            return float("nan")

    if separator is None and all(np.isfinite(number(field)) for field in lines[0].split()):
        rows = [line.split() for line in lines]
    else:
        rows = list(csv.reader(lines, delimiter=separator or ",", skipinitialspace=True))
    first = [number(field) for field in rows[0]]
    missing = ("", "nan", "na", "n/a")
    header = any(np.isnan(v) and t.strip().lower() not in missing for v, t in zip(first, rows[0], strict=True))
    names = [field.strip() for field in rows[0]] if header else [str(i + 1) for i in range(len(rows[0]))]
    body = rows[1:] if header else rows
    for row in body:
        if len(row) != len(names):
            raise InputError(f"{path}: got a row of {len(row)} fields ({row[0]!r}, ...), expected {len(names)} in each")
    return names, np.array([[number(field) for field in row] for row in body]).reshape(len(body), len(names))


def read_series(path: Path, column: str | None) -> tuple[Array, float | None]:
    """A series of a table and, from a column of even times before it, its step; samples that the times skip are NaN.

    Args:
        path: with or without a header line, as `read_table` takes it; empty and NaN entries are missing samples.
        column: its name, or its number from 1; needed where there is more than one beside the times.

    Raises:
        InputError: if it has no numbers, none is chosen of several, or the times are not even.
    """
    names, data = read_table(path)
    numeric = [i for i in range(len(names)) if np.isfinite(data[:, i]).any()]
    step, places = None, None
    if len(numeric) > 1 and (clock := even_times(data[:, numeric[0]])) is not None:
        step, places = clock
        numeric = numeric[1:]
    elif len(numeric) > 1 and re.split(r"[\[(/_]", names[numeric[0]].lower())[0].strip() in CLOCKS:
        raise InputError(
            f"{path}: got times {names[numeric[0]]!r} that are no even steps, expected a series resampled to even ones"
        )
    if column is not None:
        numbers = [str(i + 1) for i in range(len(names))]
        if column not in names and column not in numbers:
            raise InputError(f"{path}: got no column {column!r}, expected one of {', '.join(names)}")
        numeric = [names.index(column) if column in names else numbers.index(column)]
    if len(numeric) != 1:
        found = ", ".join(names[i] for i in numeric) or "none"
        raise InputError(f"{path}: got columns of numbers {found}, expected one: choose with --column")
    values = data[:, numeric[0]]
    if places is not None:
        even = np.full(places[-1] + 1, np.nan)
        even[places] = values
        values = even
    return values, step


def even_times(times: Array) -> tuple[float, NDArray[np.int64]] | None:
    """The step of times that grow evenly, to what their digits allow, and each one's place; some may be left out."""
    gaps = np.diff(times)
    if not len(gaps) or not np.isfinite(gaps).all() or gaps.min() <= 0:
        return None
    steps = np.rint(gaps / np.median(gaps))
    if steps.min() < 1 or steps.sum() > 10 * len(times):
        return None
    step = float((times[-1] - times[0]) / steps.sum())
    places = np.concatenate([[0], np.cumsum(steps)])
    if np.abs(times - times[0] - step * places).max() > 0.1 * step:
        return None
    return step, places.astype(np.int64)


def read_array(path: Path) -> Array:
    """The values of a TIFF or NPY file, as they lie in it.

    Raises:
        InputError: for another kind of file, or values that are no real numbers.
    """
    suffix = path.suffix.lower()
    if suffix in (".tif", ".tiff"):
        data = tifffile.imread(path)
    elif suffix == ".npy":
        data = np.load(path, allow_pickle=False, mmap_mode="r")
    else:
        raise InputError(f"{path}: got a file {suffix or 'without ending'}, expected .csv, .tif, .tiff or .npy")
    if data.dtype.kind not in "fiu":
        raise InputError(f"{path}: got values of type {data.dtype}, expected real numbers")
    return np.asarray(data)


def stated_spacing(path: Path) -> dict[str, tuple[float, str]]:
    """Sample distances and units that a TIFF file states, by axis, as OME or ImageJ writes them; none of other files.

    What is no number, and a unit that the command does not know, such as `pixel`, state nothing.
    """
    if path.suffix.lower() not in (".tif", ".tiff"):
        return {}
    stated: dict[str, tuple[float, str]] = {}

    def state(axis: str, number: float | str, unit: str) -> None:
        try:
            value = float(number)
        except ValueError:
            return
        unit = html.unescape(unit).strip().replace("\\u00B5", "u").replace("\u00b5", "u").replace("\u03bc", "u")
        if unit.lower() in ("inch", "in"):
            value, unit = 2.54 * value, "cm"
        unit = WORDS.get(unit.lower(), unit)
        if unit in (TIMES if axis == "t" else LENGTHS) and 0 < value < float("inf"):
            stated[axis] = (value, unit)

    with tifffile.TiffFile(path) as file:
        if file.ome_metadata:
            described = re.search(r"<(?:\w+:)?Pixels\b([^>]*)>", file.ome_metadata)
            attributes = dict(re.findall(r'(\w+)="([^"]*)"', described[1])) if described else {}
            for axis, name, usual in (
                ("t", "TimeIncrement", "s"),
                ("y", "PhysicalSizeY", "um"),
                ("x", "PhysicalSizeX", "um"),
            ):
                if name in attributes:
                    state(axis, attributes[name], attributes.get(f"{name}Unit", usual))
        elif metadata := file.imagej_metadata:
            for axis, name in (("y", "YResolution"), ("x", "XResolution")):
                if tag := file.pages.first.tags.get(name):
                    pixels, units = tag.value
                    own = metadata.get("yunit", metadata.get("unit", "")) if axis == "y" else metadata.get("unit", "")
                    state(axis, units / pixels if pixels else 0.0, str(own))
            if "finterval" in metadata:
                state("t", metadata["finterval"], str(metadata.get("tunit", "sec")))
    return stated


def parse_spacing(text: str | None, axes: Sequence[str]) -> tuple[dict[str, float], dict[str, str]]:
    """`t=0.1s,y=2um,x=2um` by axis: numbers, and their units where they have some.

    Raises:
        InputError: for anything else; for units of some axes only, or two along y and x.
    """
    found: dict[str, float] = {}
    units: dict[str, str] = {}
    for part in (text or "").split(",") if text else []:
        name, _, value = (piece.strip() for piece in part.partition("="))
        match = re.fullmatch(r"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(\S*)", value)
        try:
            number, unit = float(match[1]) if match else float("nan"), match[2] if match else ""
        except ValueError:
            number, unit = float("nan"), ""
        if np.isnan(number):
            raise InputError(f"--spacing: got {part!r}, expected a number, as in {axes[0]}=0.5")
        if name not in axes or not 0 < number < float("inf"):
            raise InputError(f"--spacing: got {part!r}, expected a positive number for {', '.join(axes)}")
        found[name] = number
        expected = TIMES if name == "t" else LENGTHS
        if unit and unit not in expected:
            raise InputError(f"--spacing: got {part!r}, expected a unit of {', '.join(expected)}, or none")
        if unit:
            units[name] = unit
    if units and units.keys() != set(axes):
        raise InputError(f"--spacing: got {text!r}, expected a unit for each of {', '.join(axes)}, or for none")
    if units.get("y") != units.get("x"):
        raise InputError(f"--spacing: got {text!r}, expected one unit along y and x")
    return found, units


def load(
    path: Path,
    problem: str,
    *,
    spacing: str | None = None,
    column: str | None = None,
    given: Sequence[str] = (),
) -> tuple[Task, list[str]]:
    """Read a recording and what is known beside it.

    Args:
        path: CSV series, TIFF or NPY, of the equation's axes; what is not finite was not measured.
        problem: key of `tasks.EQUATIONS`.
        spacing: as `parse_spacing`; what the file says unless given, 1 where nothing tells it.
        column: of a CSV file.
        given: `NAME=NUMBER` or `NAME=FILE` of known constants and fields.

    Returns:
        the recording, and what its user should know of how it was read.

    Raises:
        InputError: if it does not fit the problem.
    """
    equation, notes = EQUATIONS[problem], []
    distances, units = parse_spacing(spacing, equation.axes)
    step = None
    if path.suffix.lower() in (".csv", ".txt"):
        u, step = read_series(path, column)
    else:
        u = read_array(path)
    u = np.asarray(u, np.float64)
    if u.ndim == len(equation.axes) + 1 and 1 in u.shape:
        u = np.squeeze(u, axis=u.shape.index(1))
    if u.ndim != len(equation.axes):
        raise InputError(
            f"{path}: got values of shape {u.shape}, expected the axes {', '.join(equation.axes)} of {problem}"
        )
    if min(u.shape) < 3:
        raise InputError(f"{path}: got values of shape {u.shape}, expected at least 3 along each axis")
    if step is not None and "t" not in distances:
        distances["t"] = step
        notes.append(f"time step {step:g}, from the file's column of times")
    said = stated_spacing(path) if spacing is None else {}
    if stated := {axis: said[axis] for axis in equation.axes if axis in said}:
        text = ",".join(f"{axis}={value:.9g}{unit}" for axis, (value, unit) in stated.items())
        if missing := [axis for axis in equation.axes if axis not in stated]:
            pixels = ",".join(f"{axis}=1" for axis in equation.axes)
            raise InputError(
                f"{path}: got {text} and nothing for {', '.join(missing)} from the file, expected --spacing with each "
                f"of them ({pixels} to count in pixels)"
            )
        distances, units = parse_spacing(text, equation.axes)
        notes.append(f"spacing {text}, from the file")
    for axis in equation.axes:
        if axis not in distances:
            distances[axis] = 1.0
            notes.append(f"spacing {axis}=1: give it with --spacing")
    seen = np.isfinite(u)
    if seen.sum() < 16 or u[seen].std() == 0:
        raise InputError(f"{path}: got {seen.sum()} finite values, expected at least 16 that differ")
    known = {name: value for name, value in equation.known.items() if value is not None}
    shape = tuple(u.shape[axis] for axis in equation.lambda_axes)
    told = {part.partition("=")[0] for part in given}
    if units and (lacking := [name for name, value in known.items() if value != 0 and name not in told]):
        raise InputError(
            f"got spacing with units, in which the default {lacking[0]} = {known[lacking[0]]:g} has no meaning, "
            f"expected --with {lacking[0]}=NUMBER"
        )
    notes += [f"{name} = {value:g}, the default" for name, value in known.items() if name not in told]
    for part in given:
        name, _, text = part.partition("=")
        if name not in equation.known:
            raise InputError(f"--with: got {part!r}, expected one of {', '.join(equation.known)} for {problem}")
        try:
            known[name] = float(text)
        except ValueError:
            field_ = np.squeeze(np.asarray(read_array(Path(text)), np.float64))
            if field_.shape != shape or not np.isfinite(field_).all():
                raise InputError(f"{text}: got shape {field_.shape}, expected finite values of {shape}") from None
            known[name] = field_
    if lacking := [name for name in equation.known if name not in known]:
        raise InputError(f"{problem}: got no {', '.join(lacking)}, expected --with {lacking[0]}=NUMBER or FILE")
    step_of = tuple(distances[axis] for axis in equation.axes)
    return Task(problem, np.where(seen, u, 0.0), seen, step_of, known, units=units), notes


@dataclass
class HoldOut:
    """Watches the misfit of samples that a fit does not see, keeps the best networks and says when to stop.

    Attributes:
        fit: of the remaining samples.
        mask: the samples kept out.
        values: of them.
        patience: looks without a better misfit before it ends.
    """

    fit: Fit
    mask: NDArray[np.bool_]
    values: Array
    patience: int
    best: float = float("inf")
    best_step: int = 0
    networks: Networks | None = None
    since: int = 0
    quiet: bool = False
    value: Any = field(default=None)

    def look(self, networks: Networks) -> dict[str, float]:
        """Root mean square of what the kept-out samples differ by, in standard deviations of the data."""
        predicted = np.asarray(self.value(networks), np.float64)[self.mask]
        misfit = float(np.sqrt(np.mean((predicted - self.values) ** 2)) / self.fit.task.statistics[1])
        if misfit < self.best * 0.999:
            # Copied: the next step overwrites its arguments.
            kept = jax.tree.map(lambda a: np.array(a) if eqx.is_array(a) else a, networks)
            self.best, self.networks, self.since = misfit, kept, 0
        else:
            self.since += 1
        return {"held_out": misfit}

    def stop(self, record: Record) -> bool:
        """Whether to end, asked after each look; prints the progress."""
        row = record.history[-1]
        if row["held_out"] == self.best:
            self.best_step = int(row["step"])
        if not self.quiet:
            total = self.fit.settings.steps + self.fit.settings.finish
            print(
                f"step {row['step']} of {total}: data {row['data'] ** 0.5:.4f}, held out {row['held_out']:.4f}, "
                f"equation {row['physics'] ** 0.5:.4f}, {record.clock_seconds:.0f} s",
                file=sys.stderr,
                flush=True,
            )
        return self.since >= self.patience


@dataclass(frozen=True)
class Fitted:
    """What came of a fit.

    Attributes:
        fit: recording and settings.
        networks: of the step at which the samples kept out were met best.
        record: the training.
        best_step: that step.
        held_out: that misfit, in standard deviations of the data.
    """

    fit: Fit
    networks: Networks
    record: Record
    best_step: int
    held_out: float


def fit_task(
    task: Task,
    *,
    steps: int | None = None,
    finish: int | None = None,
    radius: Sequence[int] | None = None,
    weight: float | None = None,
    seed: int = 0,
    share: float = 0.1,
    patience: int = 10,
    looks: int = 40,
    cap: float = float("inf"),
    quiet: bool = False,
) -> Fitted:
    """Fit a mollified network to a recording; a share of the samples decides when it ends.

    Args:
        task: the recording.
        steps: of Adam at most; the problem's own unless given.
        finish: iterations of L-BFGS behind them at most; likewise.
        radius: of the kernels along each axis, in samples; likewise, and cut down to a small recording.
        weight: of the equation in the loss; likewise.
        seed: of the networks and of the samples kept out.
        share: of the samples kept out.
        patience: looks without improvement before it ends.
        looks: at most.
        cap: seconds of processor time.
        quiet: print no progress.

    Raises:
        InputError: for a recording too large, or kernels too small for its derivatives.
    """
    own = DEFAULTS[task.name]
    radius = tuple(radius or (min(r, max((n - 1) // 2, 2)) for r, n in zip(own["radius"], task.u.shape, strict=True)))
    if len(radius) != len(task.u.shape):
        raise InputError(f"--radius: got {len(radius)} numbers, expected {len(task.u.shape)}, one an axis")
    settings = Settings(
        method="mollified",
        form=own["form"],
        radius=radius,
        steps=steps or own["steps"],
        finish=own["finish"] if finish is None else finish,
        rate=1e-2,
        weight=own["weight"] if weight is None else weight,
        options={"gain": GAIN[task.name]},
        seed=seed,
    )
    points = int(np.prod([n + 2 * r for n, r in zip(task.u.shape, radius, strict=True)]))
    if points > LARGEST:
        raise InputError(
            f"recording: got {points} points with the margin, expected at most {LARGEST}: cut or thin it out"
        )
    rng = np.random.default_rng((seed, 17))
    kept = task.seen & (rng.random(task.u.shape) < share)
    fit = bind(replace(task, seen=task.seen & ~kept), settings)
    watch = HoldOut(fit, kept, task.u[kept], patience, quiet=quiet, value=eqx.filter_jit(fit.value))
    networks, record = train(fit, cap=cap, looks=looks, look=watch.look, stop=watch.stop)
    if watch.networks is None:
        raise InputError("fit: got a loss that is not finite at every look, expected a finite one: try another --seed")
    del networks
    return Fitted(fit, watch.networks, record, watch.best_step, watch.best)


def write(fitted: Fitted, folder: Path, *, recording: str = "") -> Path:
    """Write `fit.onnx`, and `fit.json` with the course of the training.

    Returns:
        the ONNX file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fit, settings = fitted.fit, fitted.fit.settings
    about = {
        "recording": recording,
        "steps": fitted.record.steps,
        "best_step": fitted.best_step,
        "held_out": fitted.held_out,
        "seconds": round(fitted.record.clock_seconds, 2),
        "radius": list(settings.radius),
        "form": settings.form,
        "weight": settings.weight,
        "seed": settings.seed,
    }
    path = folder / "fit.onnx"
    fitted_file.write(path, fit, fitted.networks, provenance=about)
    (folder / "fit.json").write_text(json.dumps(about | {"history": fitted.record.history}, indent=1), encoding="utf-8")
    return path
