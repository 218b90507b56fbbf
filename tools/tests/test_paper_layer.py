"""The mollifier layer: exact on polynomials, equal to a naive sum, convergent on sines, differentiable."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mollifier_train import command
from mollifier_train.paper.layer import Mollifier, matrix, reach, taps

pytestmark = pytest.mark.usefixtures("mollifier")


@pytest.fixture(autouse=True)
def double_precision() -> None:
    """The layer computes in the precision of its input."""
    with jax.enable_x64(True):
        yield


def naive(layer: Mollifier, field: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """The same by a sum over neighbours at every point, for margin edges."""
    out = field
    for axis, a in enumerate(order):
        r, h, m = layer.radius[axis], layer.spacing[axis], layer.margin[axis]
        if r == 0:
            continue
        centre = taps(layer.family, r, a).centre
        line = np.moveaxis(out, axis, 0)
        rows = []
        for i in range(layer.shape[axis]):
            near = range(-m, m + 1)
            rows.append(sum(centre[r + j] * line[i + m + j] for j in near) / h**a)
        out = np.moveaxis(np.stack(rows), 0, axis)
    return out


def test_taps_are_those_of_the_command() -> None:
    printed = json.loads(command.call(["kernel", "--family", "poly4", "--radius", "5", "--order", "2", "--json"]))
    kernel = taps("poly4", 5, 2)
    np.testing.assert_array_equal(kernel.centre, printed["taps"])
    np.testing.assert_array_equal(kernel.edge, printed["one_sided"])
    # The family is zero at its radius: nothing is asked of the network there.
    assert reach("poly4", 5, 2) == 4
    assert reach("poly4", 5, 4) <= 5
    assert reach("poly4", 0, 0) == 0


@pytest.mark.parametrize("edges", ["margin", "one-sided"])
@pytest.mark.parametrize("order", [0, 1, 2, 3, 4])
def test_derivatives_of_polynomials_are_exact(edges: str, order: int) -> None:
    """Moments are corrected through one order above the derivative's."""
    family = "poly8" if order == 4 else "poly4"
    layer = Mollifier(family, (9,), (40,), (0.3,), (order,), edges)
    x = layer.coordinates([-2.0])[0]
    at = -2.0 + 0.3 * np.arange(40)
    for power in range(order + 2):
        value = np.prod(np.arange(power, power - order, -1)) * at ** max(power - order, 0) if power >= order else 0 * at
        got = layer(jnp.asarray(x**power), (order,))
        np.testing.assert_allclose(got, value, atol=1e-7 * max(1.0, np.abs(x**power).max() / 0.3**order))


@pytest.mark.parametrize(
    "layer",
    [
        Mollifier("poly4", (6,), (30,), (0.1,), (2,)),
        Mollifier("poly8", (6, 9), (14, 20), (0.2, 0.1), (4, 4)),
        Mollifier("poly6", (2, 5, 7), (4, 9, 11), (2.0, 1.0, 0.5), (1, 2, 2)),
        Mollifier("gauss", (5, 0), (9, 6), (1.0, 1.0), (2, 0)),
    ],
)
def test_every_pass_equals_a_naive_sum(layer: Mollifier) -> None:
    """In one, two and three dimensions, on anisotropic grids, and with an axis left alone."""
    field = np.random.default_rng(20_000).normal(size=layer.padded)
    orders = [(0,) * len(layer.shape), layer.highest, tuple(min(1, a) for a in layer.highest)]
    for order, got in zip(orders, layer.derivatives(jnp.asarray(field), orders), strict=True):
        assert got.shape == layer.shape
        np.testing.assert_allclose(got, naive(layer, field, order), atol=1e-9 * np.abs(got).max())


def test_anisotropic_spacing_gives_the_physical_laplacian() -> None:
    layer = Mollifier("poly4", (10, 5), (30, 15), (0.05, 0.1), (2, 2))
    y, x = np.meshgrid(*layer.coordinates((0.0, 0.0)), indexing="ij")
    field = 0.5 * y**2 + 2 * x**2 + 3 * x * y - y
    dyy, dxx = layer.derivatives(jnp.asarray(field), [(2, 0), (0, 2)])
    np.testing.assert_allclose(dyy, 1.0, atol=1e-9)
    np.testing.assert_allclose(dxx, 4.0, atol=1e-9)


def test_a_sine_loses_only_what_the_kernel_smooths() -> None:
    """u and its derivatives are those of one smoothed sine: the same factor on each, close to 1 for a long wave."""
    h, k = 0.05, 2 * np.pi / 2
    layer = Mollifier("poly8", (12,), (60,), (h,), (4,))
    x = layer.coordinates([0.0])[0]
    at = h * np.arange(60)
    value, first, fourth = layer.derivatives(jnp.asarray(np.sin(k * x)), [(0,), (1,), (4,)])
    middle = 30  # a crest
    kept = float(value[middle] / np.sin(k * at[middle]))
    assert 0.85 < kept < 0.97
    np.testing.assert_allclose(value, kept * np.sin(k * at), atol=1e-9)
    np.testing.assert_allclose(first, kept * k * np.cos(k * at), atol=2e-3 * k)
    np.testing.assert_allclose(fourth, kept * k**4 * np.sin(k * at), atol=2e-3 * k**4)


@pytest.mark.parametrize("edges", ["margin", "one-sided"])
def test_gradient_is_the_adjoint(edges: str) -> None:
    """<w, K v> = <K' w, v>, and the gradient through the layer is K' w; checked by a difference too."""
    layer = Mollifier("poly4", (3, 4), (12, 13), (0.5, 0.25), (2, 2), edges)
    rng = np.random.default_rng(20_001)
    v, w = rng.normal(size=layer.padded), rng.normal(size=layer.shape)

    def pairing(field: jax.Array) -> jax.Array:
        return jnp.sum(w * layer(field, (2, 1)))

    slope = jax.grad(pairing)(jnp.asarray(v))
    np.testing.assert_allclose(jnp.sum(slope * v), pairing(jnp.asarray(v)), rtol=1e-10)
    other = rng.normal(size=layer.padded)
    difference = (pairing(jnp.asarray(v + 1e-4 * other)) - pairing(jnp.asarray(v - 1e-4 * other))) / 2e-4
    np.testing.assert_allclose(np.sum(slope * other), difference, rtol=1e-7)


def test_misuse_is_refused() -> None:
    layer = Mollifier("poly4", (3,), (12,), (1.0,), (2,))
    with pytest.raises(ValueError, match=r"got a field of \(12,\), expected \(16,\)"):
        layer(jnp.zeros(12))
    with pytest.raises(ValueError, match="at most"):
        layer(jnp.zeros(16), (3,))
    with pytest.raises(ValueError, match="axis without kernel"):
        matrix("poly4", 0, 1, 5, 1.0, "margin", 0)
    with pytest.raises(ValueError, match="expected at least 7"):
        matrix("poly4", 3, 0, 6, 1.0, "one-sided", 0)
    with pytest.raises(ValueError, match="axes"):
        Mollifier("poly4", (3, 3), (12,), (1.0,), (2,))
