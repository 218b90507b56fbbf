"""Train a trunk behind a fixed front end: `python -m mollifier_train train LAW`."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any, Protocol, Self, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from . import command, training_sets
from .model_file import ModelFile
from .training_sets import Examples
from .trunk import Trunk, export

RECIPES: dict[str, dict[str, Any]] = {
    "langevin": {
        "recordings": 20_000,
        "steps": 8000,
        "batch": 48,
        "dilations": (1, 2, 4, 8, 16, 32, 64),
        "width": 17,
        "cell": 1,
    },
    "heat": {
        "recordings": 7500,
        "steps": 8000,
        "even": True,
        "held": 0.88,
        "aspects": ("y=1,x=1", "y=1,x=1", "y=2,x=1"),
    },
    "heat-transient": {"steps": 4000, "even": True},
    "reaction-diffusion": {"recordings": 1200, "steps": 3000, "even": True},
    "chromatin": {"recordings": 3000, "steps": 8000, "even": True},
}
"""What a law's recipe has otherwise than `Recipe`'s defaults."""
NLL_WEIGHT = 0.05
ROUGH_DELTA, ROUGH_STD = 2.0, 1.0
"""Weights of what changes from pixel to pixel: in the error, beside that; in log_std, beside its likelihood."""
AVERAGE = 0.995
"""Decay of the running average of the weights, which is what is kept."""
KEPT_OUT = 1 / 15
"""Share of the recordings, the last ones, that are not trained on; by those std is scaled."""
ODD = 0.15
"""Share of batches whose last rows, and of those whose last columns, are not there: a frame ends within a cell."""
INTERVAL = 0.9
"""Share of the values that an interval is to hold."""


@dataclass(frozen=True)
class Recipe:
    """How a trunk is trained; the seed names the network's start and the order of the recordings.

    `even`: whether what changes from pixel to pixel counts as well. Without it the pixels of a cell, each of which has
    a head of its own, differ by a visible pattern.

    `held`: share of the values of recordings that were kept out which the 90 % interval is made to hold. Smooth fields
    are better known than the training set's mixture, sharp discs worse: of steady heat, .88 of the mixture lets the
    shares of recordings of choice, of all kinds, lie about as far above 90 % as below.

    `aspects`: pixel shapes that take turns, as `bake --aspect` takes them; without any that of the spec.
    """

    recordings: int = 1500
    steps: int = 3000
    batch: int = 4
    rate: float = 3e-3
    width: int = 28
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    cell: int = 2
    even: bool = False
    held: float = INTERVAL
    aspects: tuple[str, ...] = ()
    seed: int = 0


class Estimator(Protocol):
    """What can be trained: a trunk, or something around one."""

    def __call__(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """As `Trunk`."""
        ...

    def widened(self, factor: float) -> Self:
        """As `Trunk`."""
        ...


Network = TypeVar("Network", bound=Estimator)


def loss(
    trunk: Estimator, features: jax.Array, target: jax.Array, weight: jax.Array, *, even: bool = False
) -> jax.Array:
    """Squared error of the target, weighted `(batch, y, x)`, and the Gaussian likelihood of log_std alone.

    With `even` also how both change from pixel to pixel.
    """
    delta, log_std = trunk(features)
    error = target - delta
    log_std = jnp.clip(log_std, -8.0, 8.0)
    # The mean is held fixed in the likelihood: calibration must not trade accuracy for certainty.
    surprise = 0.5 * jax.lax.stop_gradient(error) ** 2 * jnp.exp(-2 * log_std) + log_std
    squared, likelihood = jnp.mean(weight * error**2), jnp.mean(jnp.where(weight > 0, surprise, 0.0))
    if even:
        squared += ROUGH_DELTA * roughness(error, weight)
        likelihood += ROUGH_STD * roughness(log_std, weight > 0)
    return squared + NLL_WEIGHT * likelihood


def roughness(maps: jax.Array, weight: jax.Array) -> jax.Array:
    """Mean squared difference of neighbours, axes `(batch, y, x)`, each pair weighed by the lesser of its weights."""
    sums = []
    for axis in (1, 2):
        if (size := maps.shape[axis]) > 1:
            near, far = (jax.lax.slice_in_dim(weight, i, size - 1 + i, axis=axis) for i in (0, 1))
            sums.append(jnp.mean(jnp.minimum(near, far) * jnp.diff(maps, axis=axis) ** 2))
    return sum(sums, jnp.zeros(())) / max(len(sums), 1)


def untrained(data: Examples, recipe: Recipe) -> Trunk:
    """The trunk that training a set begins with; it gives the closed form back."""
    flat = data.features.reshape(-1, data.features.shape[-1])
    return Trunk(
        flat.mean(axis=0, dtype=np.float64),
        flat.std(axis=0, dtype=np.float64) + 1e-3,
        width=recipe.width,
        dilations=recipe.dilations,
        series=data.series,
        cell=recipe.cell,
        key=jax.random.key(recipe.seed),
    )


def fit(data: Examples, trunk: Network, recipe: Recipe, *, quiet: bool = False) -> Network:
    """Train a trunk on a set.

    A recording counts by the inverse of its closed form's mean squared error, so that quiet recordings, whose
    errors are small, are learned from as well as noisy ones.
    """
    rng = np.random.default_rng((recipe.seed, 3))
    learned = len(data.target) - int(len(data.target) * KEPT_OUT)
    most = 8.0 if data.series else 2.0
    target = np.clip(data.target, -most, most)
    weights = 1 / (0.003 + np.mean(data.weight * target**2, axis=(1, 2)))
    weights = (weights / weights.mean()).astype(np.float32)[:, None, None] * data.weight
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(recipe.rate, recipe.steps))
    )

    @eqx.filter_jit
    def step(
        trunk: Network, mean: Network, state: optax.OptState, *batch: jax.Array
    ) -> tuple[Network, Network, optax.OptState, jax.Array]:
        value, slope = eqx.filter_value_and_grad(loss)(trunk, *batch, even=recipe.even)
        change, state = optimiser.update(slope, state)
        trunk = eqx.apply_updates(trunk, change)
        mean = jax.tree.map(lambda a, b: AVERAGE * a + (1 - AVERAGE) * b, mean, trunk)
        return trunk, mean, state, value

    state = optimiser.init(eqx.filter(trunk, eqx.is_array))
    mean, started, sum_ = trunk, time.monotonic(), 0.0
    for i in range(recipe.steps):
        chosen = rng.choice(learned, recipe.batch, replace=False)
        x, y, w = data.features[chosen], target[chosen], weights[chosen]
        if not data.series:
            # The features are scalars of the field: turned and mirrored recordings are as likely as they are.
            if rng.random() < 0.5:
                x, y, w = x.transpose(0, 2, 1, 3), y.transpose(0, 2, 1), w.transpose(0, 2, 1)
            for axis in (1, 2):
                if rng.random() < 0.5:
                    x, y, w = (np.flip(values, axis) for values in (x, y, w))
        x, y, w = x.copy(), y.copy(), w.copy()
        if recipe.cell > 1:
            for axis in (2,) if data.series else (1, 2):
                if rng.random() < ODD:
                    end = (slice(None),) * axis + (slice(-int(rng.integers(1, recipe.cell)), None),)
                    x[end], w[end] = 0.0, 0.0
        trunk, mean, state, value = step(trunk, mean, state, x, y, w)
        sum_ += float(value)
        if not quiet and (i + 1) % 100 == 0:
            print(f"step {i + 1}: loss {sum_ / 100:.5f}, {time.monotonic() - started:.0f} s", file=sys.stderr)
            sum_ = 0.0
    kept_out = range(learned, len(data.target))
    return calibrated(mean, data, kept_out, held=recipe.held) if kept_out else mean


def calibrated(trunk: Network, data: Examples, kept_out: Sequence[int], *, held: float = INTERVAL) -> Network:
    """The trunk with its std scaled so that 90 % intervals hold the share `held` of recordings it has not seen.

    The likelihood makes std the root mean square error; errors have longer tails than a Gaussian, whose intervals
    would be too wide.
    """
    apply = eqx.filter_jit(trunk)
    shares = []
    for i in kept_out:
        delta, log_std = apply(data.features[i : i + 1])
        shares.append(np.abs(data.target[i : i + 1] - np.asarray(delta)) * np.exp(-np.asarray(log_std, np.float64)))
    quantile = float(np.quantile(np.concatenate(shares), held))
    return trunk.widened(quantile / NormalDist().inv_cdf((1 + INTERVAL) / 2))


def train(law: str, outs: Mapping[int, Path], recipe: Recipe, *, spec: Path | None = None, workers: int = 1) -> None:
    """Bake the front ends, simulate, train a trunk for each seed and write it.

    Args:
        law: key of `training_sets.DRAW`.
        outs: ONNX file of the trunk, by the network's seed.
        recipe: how; its own seed is left aside.
        spec: of the model, `models/LAW.toml` unless given, or the closed form's before there is one.
        workers: processes that simulate.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        own = command.MODELS / f"{law}.toml"
        if not own.exists():
            own = command.MODELS / f"{law}-closed-form.toml"
        shapes = recipe.aspects or (None,)
        files = {shape: Path(folder) / f"front-end-{i}.onnx" for i, shape in enumerate(shapes)}
        for shape, file in files.items():
            command.bake(spec or own, file, aspect=shape, front_end=True)
        front_ends = [ModelFile(files[shape]) for shape in shapes]
        data = training_sets.examples(law, front_ends, count=recipe.recordings, workers=workers)
    print(f"{recipe.recordings} recordings in {time.monotonic() - started:.0f} s", file=sys.stderr)
    first = training_sets.FIRST_SEED
    for seed, out in outs.items():
        started = time.monotonic()
        seeded = replace(recipe, seed=seed)
        trunk = fit(data, untrained(data, seeded), seeded)
        export(trunk, out, seeds=(first, first + recipe.recordings - 1), features=front_ends[0].contract["features"])
        took = time.monotonic() - started
        print(f"{out}: {trunk.multiply_adds()} multiply-adds a pixel, {took:.0f} s", file=sys.stderr)
