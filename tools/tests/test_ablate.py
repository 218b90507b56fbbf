"""Variants of a trunk: their inputs, and one small round."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
from mollifier_train import ablate
from mollifier_train.trunk import BUDGET, Trunk


def plate(unit_u: float = 1.0, unit_m: float = 1.0) -> dict[str, np.ndarray]:
    """lambda = 2 with u = 50 - x^2 - y^2 / 2 and m = 6 in pixel units, everything times its unit."""
    y, x = np.mgrid[:60, :64] - 30.0
    return {
        "u": (unit_u * (50 - x**2 - y**2 / 2)).astype(np.float32)[None, None],
        "m": np.full((1, 60, 64), 6 * unit_m, np.float32),
        "spacing": np.array([1.0, 1.0], np.float32),
        "noise": np.array(0.1 * unit_u, np.float32),
    }


def test_derivatives_find_the_resistivity_everywhere() -> None:
    features, base = ablate.derivatives(plate())
    assert base == 1.0
    for resistivity in np.sinh(features[::2]) / 2:
        np.testing.assert_allclose(resistivity, 0.5, rtol=1e-3)
    # The widest kernel has the least noise, the border the most.
    noise = features[1::2]
    assert (noise[-1, 30, 32] < noise[:-1, 30, 32]).all() and (noise[:, 0, 0] > noise[:, 30, 32]).all()


@pytest.mark.parametrize("make", [ablate.raw, ablate.derivatives])
def test_inputs_have_no_unit_of_the_field(make: ablate.Maker) -> None:
    """Field and source in other units that leave lambda as it is."""
    np.testing.assert_allclose(make(plate())[0], make(plate(1000.0, 1000.0))[0], atol=1e-4)


def test_gates_that_are_closed_change_nothing() -> None:
    trunk = Trunk(np.zeros(5), np.ones(5), width=8, dilations=(1, 2), key=jax.random.key(0))
    gated = ablate.Gated.of(trunk, 3, jax.random.key(1))
    features = np.random.default_rng(0).normal(size=(1, 12, 14, 5)).astype(np.float32)
    for plain, with_gates in zip(trunk(features), gated(features), strict=True):
        np.testing.assert_allclose(plain, with_gates)
    assert gated.multiply_adds() == trunk.multiply_adds() + 8 * 3 + 5 * 3 + 3
    np.testing.assert_allclose(gated.widened(2.0)(features)[1], trunk(features)[1] + np.log(2), rtol=1e-5)


def test_every_variant_is_within_the_budget() -> None:
    channels = 18
    for variant in ablate.VARIANTS:
        recipe = ablate.Recipe(**variant.recipe)
        trunk = Trunk(
            np.zeros(channels),
            np.ones(channels),
            width=recipe.width,
            dilations=recipe.dilations,
            cell=recipe.cell,
            key=jax.random.key(0),
        )
        network = ablate.Gated.of(trunk, variant.gates, jax.random.key(1)) if variant.gates else trunk
        assert network.multiply_adds() <= BUDGET, variant.text


@pytest.mark.usefixtures("mollifier")
def test_a_small_round_writes_its_table(tmp_path: Path) -> None:
    variants = [ablate.VARIANTS[1], ablate.VARIANTS[3]]
    ablate.ablate(tmp_path / "out.md", recordings=4, steps=2, fields=1, variants=variants)
    text = (tmp_path / "out.md").read_text(encoding="utf-8")
    assert text.count(variants[0].text) == text.count(variants[1].text) == len(ablate.TESTS)
    assert "--recordings 4 --steps 2 --fields 1" in text and "nan" not in text
