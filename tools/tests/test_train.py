"""A tiny training from simulation to a model file, and the trunk's export."""

from __future__ import annotations

from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import onnx
import onnxruntime
import pytest
from mollifier_train import command, training_sets
from mollifier_train.model_file import ModelFile
from mollifier_train.train import Recipe, calibrated, fit, roughness, untrained
from mollifier_train.trunk import BUDGET, Trunk, export

SPEC = command.MODELS / "heat-closed-form.toml"
FIRST_SEED = 20_000
"""Not a training seed: these recordings are the test's own."""


def trunk_of(channels: int, seed: int = 3, cell: int = 1, *, series: bool = False) -> Trunk:
    rng = np.random.default_rng(seed)
    mean, scale = rng.normal(size=channels), rng.uniform(0.5, 2, channels)
    trunk = Trunk(mean, scale, series=series, cell=cell, key=jax.random.key(seed))
    heads = (jax.random.normal(jax.random.key(9), trunk.heads[0].shape) * 0.1, trunk.heads[1])
    return eqx.tree_at(lambda t: t.heads, trunk, heads)


@pytest.mark.parametrize(
    ("cell", "shape"),
    [
        *((cell, shape) for cell in (1, 2, 4) for shape in ((18, 22), (19, 22), (18, 23), (19, 23))),
        *((cell, (samples,)) for cell in (1, 2, 4, 8) for samples in (64, 65, 67, 71)),
    ],
)
def test_exported_trunk_computes_the_same(tmp_path: Path, cell: int, shape: tuple[int, ...]) -> None:
    series = len(shape) == 1
    trunk = trunk_of(7, cell=cell, series=series)
    export(trunk, tmp_path / "trunk.onnx", seeds=(5, 6))
    features = np.random.default_rng(0).normal(size=(1, 7, *shape)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(tmp_path / "trunk.onnx"), providers=["CPUExecutionProvider"])
    got = session.run(["delta", "log_std"], {"features": features})
    whole = np.pad(features, [(0, 0), (0, 0), *((0, -n % cell) for n in shape)])
    for g, expected in zip(got, trunk(np.moveaxis(whole[:, :, None] if series else whole, 1, -1)), strict=True):
        np.testing.assert_allclose(g[:, 0], expected[:, 0] if series else expected, atol=2e-5)
    weights = [t for t in onnx.load(tmp_path / "trunk.onnx").graph.initializer if t.name.endswith(".w")]
    count = sum(int(np.prod(t.dims)) for t in weights)
    assert trunk.multiply_adds() == -(-count // cell ** len(shape)) <= BUDGET


def test_std_is_scaled_by_what_was_kept_out() -> None:
    trunk = trunk_of(7, cell=2)
    features = np.random.default_rng(1).normal(size=(6, 16, 16, 7)).astype(np.float32)
    delta, log_std = (np.asarray(v, np.float64) for v in trunk(features))
    noise = np.random.default_rng(2).standard_t(3, size=delta.shape)
    target = (delta + 2.5 * noise * np.exp(log_std)).astype(np.float32)
    data = training_sets.Examples(features, target, np.ones_like(target), series=False)
    scaled = calibrated(trunk, data, range(6))
    again, wider = (np.asarray(v, np.float64) for v in scaled(features))
    np.testing.assert_allclose(again, delta, atol=1e-5)
    assert np.mean(np.abs(target - delta) <= 1.6449 * np.exp(wider)) == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize("shape", [(2, 5, 7), (3, 1, 6)])
def test_roughness_is_the_mean_over_pairs_of_neighbours(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(4)
    maps, weight = rng.normal(size=shape), rng.uniform(0, 2, shape)
    batch, rows, columns = shape
    along = []
    for dy, dx in ((1, 0), (0, 1)):
        pairs = [
            min(weight[b, y, x], weight[b, y + dy, x + dx]) * (maps[b, y + dy, x + dx] - maps[b, y, x]) ** 2
            for b in range(batch)
            for y in range(rows - dy)
            for x in range(columns - dx)
        ]
        along += [np.mean(pairs)] if pairs else []
    assert float(roughness(jax.numpy.asarray(maps), jax.numpy.asarray(weight))) == pytest.approx(
        np.mean(along), rel=1e-5
    )


def test_cells_of_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="cell: got 3"):
        Trunk(np.zeros(4), np.ones(4), cell=3, key=jax.random.key(0))


def test_a_trunk_over_the_budget_is_refused(tmp_path: Path) -> None:
    trunk = Trunk(np.zeros(4), np.ones(4), width=32, key=jax.random.key(0))
    with pytest.raises(ValueError, match="multiply-adds"):
        export(trunk, tmp_path / "trunk.onnx", seeds=(5, 6))


@pytest.mark.usefixtures("mollifier")
def test_a_training_set_is_the_same_whoever_simulates_it(tmp_path: Path) -> None:
    command.bake(command.MODELS / "langevin-closed-form.toml", tmp_path / "front-end.onnx", front_end=True)
    # The last chunk is not whole.
    count = 2 * training_sets.CHUNK + 7
    alone, shared = (
        training_sets.examples("langevin", [ModelFile(tmp_path / "front-end.onnx")], count=count, workers=workers)
        for workers in (1, 2)
    )
    for name in ("features", "target", "weight"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(shared, name))


@pytest.mark.usefixtures("mollifier")
def test_front_ends_for_pixels_of_several_shapes_take_turns(tmp_path: Path) -> None:
    baked = [tmp_path / f"front-end-{i}.onnx" for i in range(2)]
    for path, aspect in zip(baked, ("y=1,x=1", "y=2,x=1"), strict=True):
        command.bake(SPEC, path, aspect=aspect, front_end=True)
    square, long = map(ModelFile, baked)
    both = training_sets.examples("heat", [square, long], count=4, first_seed=FIRST_SEED)
    for i, of in enumerate((square, long, square, long)):
        alone = training_sets.DRAW["heat"](of, FIRST_SEED + i)
        np.testing.assert_array_equal(both.features[i], alone.features)
    # The spacing fits the front end: a factor of two along an axis would put lambda off by log 2.5 or more everywhere.
    # (Means are ruled by the few pixels where the source is about 0, at up to 20 % noise.)
    assert np.abs(np.median(both.target, axis=(1, 2))).max() < 0.4
    other = tmp_path / "other.onnx"
    command.bake(SPEC, other, aspect="y=1,x=1.5", front_end=True)
    with pytest.raises(ValueError, match="1:2 or 2:1"):
        training_sets.sampling(ModelFile(other))


@pytest.mark.usefixtures("mollifier")
@pytest.mark.parametrize(
    ("law", "count", "recipe"),
    [
        ("heat", 24, Recipe(steps=120)),
        ("langevin", 300, Recipe(steps=200, batch=32, width=12, dilations=(1, 2, 4), cell=4, even=True)),
    ],
    ids=["image", "series"],
)
def test_a_tiny_training_beats_the_closed_form(tmp_path: Path, law: str, count: int, recipe: Recipe) -> None:
    """From simulation to the model file, judged on recordings that it was not trained on."""
    spec = command.MODELS / f"{law}-closed-form.toml"
    command.bake(spec, tmp_path / "front-end.onnx", front_end=True)
    front_end = ModelFile(tmp_path / "front-end.onnx")
    data = training_sets.examples(law, [front_end], count=count, first_seed=FIRST_SEED)
    assert np.isfinite(data.features).all() and np.isfinite(data.target).all()
    trunk = fit(data, untrained(data, recipe), recipe, quiet=True)
    held_out = training_sets.examples(law, [front_end], count=count // 3, first_seed=FIRST_SEED + 500)
    delta = np.asarray(trunk(held_out.features)[0])
    # Held to the measure of the loss: a large error of one noisy recording must not hide the others.
    most = 8 if data.series else 2
    target = np.clip(held_out.target, -most, most)
    closed = np.mean(held_out.weight * target**2, axis=(1, 2))
    learned = np.mean(held_out.weight * (target - delta) ** 2, axis=(1, 2))
    assert np.mean(learned / (0.003 + closed)) < np.mean(closed / (0.003 + closed))

    export(trunk, tmp_path / "trunk.onnx", seeds=(FIRST_SEED, FIRST_SEED + count - 1))
    command.bake(spec, tmp_path / "model.onnx", trunk=tmp_path / "trunk.onnx")
    model = ModelFile(tmp_path / "model.onnx")
    assert model.contract["provenance"]["seeds"] == [FIRST_SEED, FIRST_SEED + count - 1]
    assert model.contract["trunk"]["multiply_adds"] == trunk.multiply_adds()
    assert model.contract["trunk"]["features"] == front_end.contract["features"]
    assert set(model.contract["alignment"]) == {recipe.cell}
    command.call(["verify", tmp_path / "model.onnx"])


@pytest.mark.usefixtures("mollifier")
def test_a_trunk_of_other_channels_is_refused(tmp_path: Path) -> None:
    export(trunk_of(3), tmp_path / "trunk.onnx", seeds=(5, 6))
    with pytest.raises(command.CommandError, match="features"):
        command.bake(SPEC, tmp_path / "model.onnx", trunk=tmp_path / "trunk.onnx")
    assert not (tmp_path / "model.onnx").exists()
