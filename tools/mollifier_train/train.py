"""Train a trunk behind a fixed front end: `python -m mollifier_train train LAW`."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
    "langevin": {"recordings": 20_000, "steps": 6000, "batch": 48, "dilations": (1, 2, 4, 8, 16, 32, 64), "width": 17},
    "heat-transient": {"steps": 2000},
    "reaction-diffusion": {"recordings": 1200, "steps": 2000},
}
"""What a law's recipe has otherwise than `Recipe`'s defaults."""
NLL_WEIGHT = 0.05
AVERAGE = 0.995
"""Decay of the running average of the weights, which is what is kept."""


@dataclass(frozen=True)
class Recipe:
    """How a trunk is trained; the seed names the network's start and the order of the recordings."""

    recordings: int = 1500
    steps: int = 3000
    batch: int = 4
    rate: float = 3e-3
    width: int = 14
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    seed: int = 0


def loss(trunk: Trunk, features: jax.Array, target: jax.Array, weight: jax.Array) -> jax.Array:
    """Squared error of the target, weighted `(batch, y, x)`, and the Gaussian likelihood of log_std alone."""
    delta, log_std = trunk(features)
    error = target - delta
    log_std = jnp.clip(log_std, -8.0, 8.0)
    # The mean is held fixed in the likelihood: calibration must not trade accuracy for certainty.
    surprise = 0.5 * jax.lax.stop_gradient(error) ** 2 * jnp.exp(-2 * log_std) + log_std
    return jnp.mean(weight * error**2) + NLL_WEIGHT * jnp.mean(surprise)


def fit(data: Examples, recipe: Recipe, *, quiet: bool = False) -> Trunk:
    """Train a trunk on a set.

    A recording counts by the inverse of its closed form's mean squared error, so that quiet recordings, whose
    errors are small, are learned from as well as noisy ones.
    """
    rng = np.random.default_rng((recipe.seed, 3))
    channels = data.features.shape[-1]
    flat = data.features.reshape(-1, channels)
    trunk = Trunk(
        flat.mean(axis=0, dtype=np.float64),
        flat.std(axis=0, dtype=np.float64) + 1e-3,
        width=recipe.width,
        dilations=recipe.dilations,
        series=data.series,
        key=jax.random.key(recipe.seed),
    )
    most = 8.0 if data.series else 2.0
    target = np.clip(data.target, -most, most)
    weights = 1 / (0.003 + np.mean(data.weight * target**2, axis=(1, 2)))
    weights = (weights / weights.mean()).astype(np.float32)[:, None, None] * data.weight
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(recipe.rate, recipe.steps))
    )

    @eqx.filter_jit
    def step(
        trunk: Trunk, mean: Trunk, state: optax.OptState, *batch: jax.Array
    ) -> tuple[Trunk, Trunk, optax.OptState, jax.Array]:
        value, slope = eqx.filter_value_and_grad(loss)(trunk, *batch)
        change, state = optimiser.update(slope, state)
        trunk = eqx.apply_updates(trunk, change)
        mean = jax.tree.map(lambda a, b: AVERAGE * a + (1 - AVERAGE) * b, mean, trunk)
        return trunk, mean, state, value

    state = optimiser.init(eqx.filter(trunk, eqx.is_array))
    mean, started, sum_ = trunk, time.monotonic(), 0.0
    for i in range(recipe.steps):
        chosen = rng.choice(len(target), recipe.batch, replace=False)
        x, y, w = data.features[chosen], target[chosen], weights[chosen]
        if not data.series:
            # The features are scalars of the field: turned and mirrored recordings are as likely as they are.
            if rng.random() < 0.5:
                x, y, w = x.transpose(0, 2, 1, 3), y.transpose(0, 2, 1), w.transpose(0, 2, 1)
            for axis in (1, 2):
                if rng.random() < 0.5:
                    x, y, w = (np.flip(values, axis) for values in (x, y, w))
        trunk, mean, state, value = step(trunk, mean, state, x.copy(), y.copy(), w.copy())
        sum_ += float(value)
        if not quiet and (i + 1) % 100 == 0:
            print(f"step {i + 1}: loss {sum_ / 100:.5f}, {time.monotonic() - started:.0f} s", file=sys.stderr)
            sum_ = 0.0
    return mean


def train(law: str, outs: Mapping[int, Path], recipe: Recipe, *, spec: Path | None = None) -> None:
    """Bake the front end, simulate, train a trunk for each seed and write it.

    Args:
        law: key of `training_sets.DRAW`.
        outs: ONNX file of the trunk, by the network's seed.
        recipe: how; its own seed is left aside.
        spec: of the model, `models/LAW.toml` unless given, or the closed form's before there is one.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        front_end = Path(folder) / "front-end.onnx"
        own = command.MODELS / f"{law}.toml"
        if not own.exists():
            own = command.MODELS / f"{law}-closed-form.toml"
        command.bake(spec or own, front_end, front_end=True)
        data = training_sets.examples(law, ModelFile(front_end), count=recipe.recordings)
    print(f"{recipe.recordings} recordings in {time.monotonic() - started:.0f} s", file=sys.stderr)
    first = training_sets.FIRST_SEED
    for seed, out in outs.items():
        started = time.monotonic()
        trunk = fit(data, replace(recipe, seed=seed))
        export(trunk, out, seeds=(first, first + recipe.recordings - 1))
        took = time.monotonic() - started
        print(f"{out}: {trunk.multiply_adds()} multiply-adds a pixel, {took:.0f} s", file=sys.stderr)
