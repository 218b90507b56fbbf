"""Architectures and their derivatives: shapes, how they start, nested equal to Taylor mode equal to calculus."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mollifier_train.paper.derivatives import TERMS, Axes, forward, nested, taylor
from mollifier_train.paper.networks import ARCHITECTURES, Mlp, PinnsFormer, PirateNet, Scaled

PLANE_AND_TIME = Axes(0, (1, 2))


def points(count: int, axes: int, seed: int = 0) -> jax.Array:
    return jax.random.uniform(jax.random.key(seed), (count, axes), minval=-1.0)


@pytest.mark.parametrize("name", list(ARCHITECTURES))
@pytest.mark.parametrize("axes", [1, 3])
def test_one_value_a_point_that_depends_on_the_point_alone(name: str, axes: int) -> None:
    network = ARCHITECTURES[name](axes, key=jax.random.key(1))
    evaluate = eqx.filter_jit(network)
    x = points(7, axes)
    values = evaluate(x)
    assert values.shape == (7,)
    assert values.std() > 0
    np.testing.assert_allclose(evaluate(x[::-1]), values[::-1], atol=1e-6)


def test_scaled_takes_physical_coordinates() -> None:
    inner = Mlp(2, key=jax.random.key(2))
    network = Scaled(inner, [(10.0, 30.0), (0.0, 4.0)], mean=5.0, size=2.0)
    x = points(6, 2)
    physical = x * jnp.array([10.0, 2.0]) + jnp.array([20.0, 2.0])
    np.testing.assert_allclose(network(physical), 5 + 2 * inner(x), rtol=1e-5)


def test_gain_spreads_the_first_layer() -> None:
    plain, wide = (Mlp(2, gain=gain, key=jax.random.key(3)) for gain in (1.0, 4.0))
    np.testing.assert_allclose(wide.layers[0][0], 4 * plain.layers[0][0])
    assert float(jnp.abs(wide.layers[0][1]).max()) > 0


def test_piratenet_starts_linear_in_its_features() -> None:
    network = PirateNet(2, key=jax.random.key(4))
    x = points(50, 2)
    h = network.features(x)
    for block in network.blocks:
        np.testing.assert_array_equal(block(h, h, h), h)
    np.testing.assert_allclose(network(x), h @ network.last[0][:, 0] + network.last[1], rtol=1e-6)


def test_piratenet_starts_as_the_least_squares_fit() -> None:
    network = PirateNet(2, frequency=2.0, key=jax.random.key(5))
    x = points(400, 2)
    field = jnp.sin(2 * x[:, 0]) * jnp.cos(x[:, 1]) + 0.3
    started = network.started(x, field, ridge=1e-6)
    assert float(jnp.std(started(x) - field)) < 0.02 * float(jnp.std(field))


def test_pinnsformer_reads_a_sequence_of_later_points() -> None:
    small = {"width": 4, "hidden": 4, "key": jax.random.key(6)}
    one, three = (PinnsFormer(2, sequence=n, step=0.3, **small) for n in (1, 3))
    evaluate = eqx.filter_jit(lambda network, x: network(x))
    x = points(9, 2)
    assert three.shifts == (0.0, 0.3, 0.6)
    assert float(jnp.abs(evaluate(one, x) - evaluate(three, x)).max()) > 1e-4
    # With equal members attention has nothing to choose: the length makes no difference.
    still = PinnsFormer(2, sequence=3, step=0.0, **small)
    np.testing.assert_allclose(evaluate(still, x), evaluate(one, x), atol=2e-5)


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_nested_equals_taylor_mode(name: str) -> None:
    small = {
        "mlp": {"width": 8, "depth": 2},
        "piratenet": {"width": 8, "blocks": 1},
        "pinnsformer": {"width": 4, "hidden": 4, "sequence": 2},
    }
    network = Scaled(ARCHITECTURES[name](3, key=jax.random.key(7), **small[name]), [(0.0, 3.0)] * 3)
    if name == "piratenet":
        # Off its start, so that the gated layers count.
        network = jax.tree.map(lambda a: a + 0.1, network)
    x = 3 * (points(5, 3) + 1) / 2
    # The fourth order for one of them: compiling it is what takes time.
    terms = TERMS if name == "mlp" else ("value", "dt", "laplacian", "gradient_squared")
    one, other = (jax.jit(lambda x, m=m: m(network, x, PLANE_AND_TIME, terms))(x) for m in (nested, forward))
    for term in terms:
        np.testing.assert_allclose(one[term], other[term], atol=2e-5 * float(jnp.abs(one[term]).max()))


@pytest.mark.parametrize("method", [nested, forward])
def test_terms_of_a_known_function(method: type(nested)) -> None:
    def function(p: jax.Array) -> jax.Array:
        t, y, x = p[:, 0], p[:, 1], p[:, 2]
        return t**2 * jnp.sin(x) * jnp.exp(2 * y)

    p = points(6, 3, seed=8)
    t, y, x = (p[:, axis] for axis in range(3))
    wave, other = jnp.sin(x) * jnp.exp(2 * y), jnp.cos(x) * jnp.exp(2 * y)
    expected = {
        "value": t**2 * wave,
        "dt": 2 * t * wave,
        "laplacian": 3 * t**2 * wave,
        "gradient_squared": t**4 * (4 * wave**2 + other**2),
        "bilaplacian": 9 * t**2 * wave,
    }
    found = jax.jit(lambda p: method(function, p, PLANE_AND_TIME, TERMS))(p)
    for term in TERMS:
        np.testing.assert_allclose(found[term], expected[term], rtol=1e-4, atol=1e-4)


def test_taylor_mode_gives_every_order() -> None:
    p = points(5, 1, seed=9)
    found = taylor(lambda p: jnp.exp(-2 * p[:, 0]), p, (1.0,), 4)
    for order, value in enumerate(found):
        np.testing.assert_allclose(value, (-2.0) ** order * jnp.exp(-2 * p[:, 0]), rtol=1e-5)


def test_bilaplacian_wants_a_plane() -> None:
    with pytest.raises(ValueError, match="expected 2"):
        forward(Mlp(1, key=jax.random.key(0)), points(3, 1), Axes(None, (0,)), ["bilaplacian"])
