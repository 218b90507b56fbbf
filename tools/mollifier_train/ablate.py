"""What a trunk's parts are worth, on steady heat: `python -m mollifier_train ablate` writes docs/ablations.md.

Every variant learns from the same recordings for the same number of steps and is judged on the same choice seeds. The
recordings pass the baked front end in onnxruntime; a variant that takes other inputs makes them of what the front end
is fed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from . import command, training_sets
from .evaluate import table
from .model_file import ModelFile
from .paper.layer import matrix
from .problems import PROBLEMS
from .recordings import Recording
from .scores import score, summarise
from .train import Recipe, fit, untrained
from .trunk import BUDGET, Trunk

Array = NDArray[np.float64]
Feeds = Mapping[str, NDArray[np.float32]]
Maker = Callable[[Feeds], tuple[Array, Array | float]]
"""Of what a front end is fed: features, `(channel, y, x)`, and the lambda that a trunk corrects, a map or a number."""
TESTS = ("heat", "heat-discs", "heat-discs-soft", "heat-blurred-noise")
LEVELS = (1.0, 5.0, 10.0)
FIRST_SEED = 10_000
"""Recordings of choice: what stands here was looked at before the published seeds."""
RADII = (6, 10, 16, 28)
FAMILY = "poly4"


@dataclass(frozen=True)
class Inputs:
    """What a trunk is given of a recording, in the place of a front end.

    Attributes:
        front_end: the baked one.
        features: made of what it is fed; its own unless given.
    """

    front_end: ModelFile
    features: Maker | None = None

    def named(self, role: str) -> str | None:
        """As `ModelFile.named`."""
        return self.front_end.named(role)

    @property
    def contract(self) -> Mapping[str, Any]:
        """As `ModelFile.contract`."""
        return self.front_end.contract

    @property
    def feeds(self) -> Callable[..., dict[str, NDArray[np.float32]]]:
        """As `ModelFile.feeds`."""
        return self.front_end.feeds

    @property
    def session(self) -> Inputs:
        """This, which has `run`."""
        return self

    def run(self, names: Sequence[str], feeds: Feeds) -> list[NDArray[np.float32]]:
        """`features` and `lambda`, in this order, both with the batch axis."""
        assert list(names) == ["features", "lambda"]
        if self.features is None:
            return list(self.front_end.session.run(list(names), dict(feeds)))
        features, lam = self.features(feeds)
        base = np.broadcast_to(np.asarray(lam, np.float32), features.shape[1:])
        return [features[None].astype(np.float32), base[None]]


def scaled(feeds: Feeds) -> tuple[Array, Array, float]:
    """The field, the source and the noise of one recording in units of the row distance and the source's own size."""
    u, m = (np.asarray(feeds[name], np.float64).reshape(feeds["u"].shape[-2:]) for name in ("u", "m"))
    area, strength = float(feeds["spacing"][0]) ** 2, float(np.sqrt(np.mean(m**2)))
    return u / (strength * area), m / strength, float(feeds["noise"]) / (strength * area)


def raw(feeds: Feeds) -> tuple[Array, float]:
    """The field, its deviation from the mean, the source and the noise; lambda is learned from 1 on."""
    u, m, noise = scaled(feeds)
    maps = [u / 1000, (u - u.mean()) / 100, m - 1, np.full_like(u, np.log(noise + 1e-3))]
    return np.stack(maps), 1.0


@cache
def operators(size: int, radius: int) -> tuple[Array, Array]:
    """Second derivative and average along an axis with one-sided edges, both `(size, size)`."""
    make = [matrix(FAMILY, radius, order, size, 1.0, "one-sided", 0) for order in (2, 0)]
    return make[0], make[1]


def derivatives(feeds: Feeds) -> tuple[Array, float]:
    """-Lap u / m at every radius, and their noise; no combined estimate, lambda is learned from 1 on."""
    u, m, noise = scaled(feeds)
    maps = []
    for radius in RADII:
        (ly, ay), (lx, ax) = (operators(n, radius) for n in u.shape)
        source = ay @ m @ ax.T
        # A source of both signs passes through zero, where nothing is known.
        resistivity = -(ly @ u @ ax.T + ay @ u @ lx.T) * source / (source**2 + 1e-4)
        squares = [(taps**2).sum(axis=1) for taps in (ly, ax, ay, lx)]
        gain = np.outer(squares[0], squares[1]) + np.outer(squares[2], squares[3])
        maps += [np.arcsinh(2 * resistivity), np.log(noise * np.sqrt(gain / (source**2 + 1e-4)) + 1e-4)]
    return np.stack(maps), 1.0


class Gated(eqx.Module):
    """A trunk that also weighs its inputs at every pixel: delta is the trunk's plus a sum of gate times projection.

    The projections are fixed mixtures of the features, the estimates of every radius among them, so that the gates
    choose kernels pixel by pixel.

    Attributes:
        trunk: everything but the gates.
        gate: weights and bias of the gates, from the last layer.
        projection: weights of the mixtures, `(channel, gate)`.
    """

    trunk: Trunk
    gate: tuple[jax.Array, jax.Array]
    projection: jax.Array

    @staticmethod
    def of(trunk: Trunk, gates: int, key: jax.Array) -> Gated:
        """Around a trunk at full resolution."""
        width, channels = trunk.heads[0].shape[0], trunk.mean.shape[0]
        gate = (jnp.zeros((width, gates)), jnp.zeros(gates))
        return Gated(trunk, gate, jax.random.normal(key, (channels, gates)) * channels**-0.5)

    def __call__(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """As `Trunk`."""
        h = self.trunk.hidden(features)
        delta, log_std = self.trunk.read(h)
        x = (features - jax.lax.stop_gradient(self.trunk.mean)) / jax.lax.stop_gradient(self.trunk.scale)
        return delta + jnp.sum(jnp.tanh(h @ self.gate[0] + self.gate[1]) * (x @ self.projection), axis=-1), log_std

    def multiply_adds(self) -> int:
        """As `Trunk`."""
        return self.trunk.multiply_adds() + self.gate[0].size + self.projection.size + self.gate[1].size

    def widened(self, factor: float) -> Gated:
        """As `Trunk`."""
        return eqx.tree_at(lambda g: g.trunk, self, self.trunk.widened(factor))


@dataclass(frozen=True)
class Variant:
    """One network.

    Attributes:
        text: what is different, for the table.
        features: made of what the front end is fed; the front end's own unless given.
        recipe: of the trunk, what differs from the shipped one's.
        gates: how many, for `Gated`.
    """

    text: str
    features: Maker | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    gates: int = 0


FULL = {"cell": 1, "width": 14}
VARIANTS = (
    Variant("inputs: the field, the source, the noise", raw),
    Variant("inputs: derivatives at four radii, their noise", derivatives),
    Variant("as shipped: derivatives and closed form, half resolution"),
    Variant("half the width", recipe={"width": 14}),
    Variant("0.7 of the width", recipe={"width": 20}),
    Variant("full resolution, dilated", recipe=FULL),
    Variant("full resolution, dilated, 6 gates that choose radii at every pixel", recipe=FULL, gates=6),
    Variant("quarter resolution", recipe={"cell": 4, "width": 54, "dilations": (1, 2, 4, 2)}),
    Variant("half resolution, no dilation", recipe={"dilations": (1, 1, 1, 1)}),
)


@dataclass(frozen=True)
class Looked:
    """A choice recording as a variant sees it."""

    features: NDArray[np.float32]
    closed: Array
    lam: Array
    band: tuple[int, ...]


def look(inputs: Inputs | ModelFile, recording: Recording, u: Array) -> Looked:
    """What a front end makes of the frames `u`, `(window, y, x)`, of a recording, the noise told."""
    distance = {axis: float(value) for axis, value in (part.split("=") for part in recording.spacing.split(","))}
    given: dict[str, Array | float] = {**recording.given, "noise": recording.noise or 0.0}
    if offset := inputs.named("offset"):
        given[offset] = float(np.median(u))
    spacing = (distance["y"], distance["x"])
    feeds = inputs.feeds(u, spacing=spacing, time_step=distance.get("t", 1.0), given=given)
    features, lam = inputs.session.run(["features", "lambda"], feeds)
    return Looked(np.moveaxis(features[0], 0, -1), lam[0].astype(np.float64), recording.lam, recording.band)


def choice(inputs: Inputs, name: str, level: float, fields: int) -> list[Looked]:
    """Recordings of a test set of single frames, the noise told."""
    problem = PROBLEMS[name]
    recordings = (problem.recording(problem.simulate(s), level, s) for s in range(FIRST_SEED, FIRST_SEED + fields))
    return [look(inputs, recording, recording.u[None]) for recording in recordings]


def judge(network: Callable[[NDArray[np.float32]], tuple[jax.Array, jax.Array]], looked: Sequence[Looked]) -> list[str]:
    """Interior correlation, relative L2 error and boundary correlation, as printed."""
    scores = []
    for one in looked:
        delta = np.asarray(network(one.features[None])[0][0], np.float64)
        scores.append(score(one.closed * np.exp(np.clip(delta, -8, 8)), one.lam, one.band))
    s = summarise(scores)
    return [f"{s.interior.value:.3f}", f"{s.error.value:.3f}", f"{s.boundary.value:.3f}"]


def ablate(out: Path, *, recordings: int, steps: int, fields: int, variants: Sequence[Variant] = VARIANTS) -> None:
    """Train every variant and write the table.

    Args:
        out: Markdown file.
        recordings: in the training set.
        steps: of Adam.
        fields: choice recordings of each test set and level.
        variants: what is compared.
    """
    rows: dict[str, list[list[str]]] = {name: [] for name in TESTS}
    head = ["variant", "multiply-adds a pixel", *(f"{level:g} %" for level in LEVELS)]
    kept: tuple[Any, Any, Any] = (None, None, None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "front-end.onnx"
        command.bake(command.MODELS / "heat.toml", path, front_end=True)
        front_end = ModelFile(path)
        for variant in variants:
            if kept[0] is None or kept[0] is not variant.features or kept[1] is None:
                inputs = Inputs(front_end, variant.features)
                data = training_sets.examples("heat", [inputs], count=recordings)
                tests = {(n, v): choice(inputs, n, v, fields) for n in TESTS for v in LEVELS}
                kept = (variant.features, data, tests)
            _, data, tests = kept
            started = time.monotonic()
            recipe = Recipe(**{"steps": steps, **variant.recipe})
            trunk = untrained(data, recipe)
            start = Gated.of(trunk, variant.gates, jax.random.key(1)) if variant.gates else trunk
            network = fit(data, start, recipe, quiet=True)
            cost = network.multiply_adds()
            assert cost <= BUDGET, variant.text
            took = time.monotonic() - started
            print(f"{variant.text}: {cost} multiply-adds a pixel, {took:.0f} s", file=sys.stderr, flush=True)
            apply = eqx.filter_jit(network)
            for name in TESTS:
                figures = [" / ".join(judge(apply, tests[name, level])) for level in LEVELS]
                rows[name].append([variant.text, f"{cost:,}", *figures])
    line = f"python -m mollifier_train ablate --recordings {recordings} --steps {steps} --fields {fields}"
    parts = [
        "# What a trunk's parts are worth",
        f"Steady heat, simulated; written by `{line}`. Every network learned from the same {recordings:,} recordings "
        f"for {steps:,} steps, less than the shipped ones, with one training seed (differences below 0.003 are ties), "
        f"and is judged on seeds {FIRST_SEED:,} to {FIRST_SEED + fields - 1:,}, which publish nothing, the noise told. "
        "Figures: interior correlation / relative L2 error / boundary correlation.",
    ]
    parts.append(
        "Steady heat has one frame; what more of them are worth to the laws of movies stands in windows.md. "
        "Not measured: other laws."
    )
    for name in TESTS:
        parts += [f"## {name}", f"{PROBLEMS[name].text}.", table([head, *rows[name]])]
    out.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
