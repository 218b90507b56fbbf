"""Derivatives of a network at points by automatic differentiation: nested, and forward Taylor mode.

Both take a function of points `(point, axis)` whose value at a point depends on that point alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.experimental.jet import jet

Function = Callable[[jax.Array], jax.Array]

TERMS = ("value", "dt", "laplacian", "gradient_squared", "bilaplacian")
"""What an equation may ask for, each `(point,)`: u, u_t, Lap u, |grad u|^2 and Lap Lap u."""
ORDER = {"value": 0, "dt": 1, "laplacian": 2, "gradient_squared": 1, "bilaplacian": 4}
"""Order of the highest derivative in each term."""


@dataclass(frozen=True)
class Axes:
    """Which of a network's axes are what.

    Attributes:
        time: index of the time axis, None without one.
        space: indices of the axes of the Laplacian.
    """

    time: int | None
    space: tuple[int, ...]


def gradient(function: Function) -> Function:
    """`(point, axis)`: as each value depends on its own point alone, the gradient of the sum holds all of them."""
    return jax.grad(lambda points: jnp.sum(function(points)))


def nested(function: Function, points: jax.Array, axes: Axes, terms: Sequence[str]) -> dict[str, jax.Array]:
    """Terms by reverse mode applied to itself, order by order, as networks with a physical loss are usually trained."""

    def laplacian(of: Function) -> Function:
        first = gradient(of)

        def value(points: jax.Array) -> jax.Array:
            return sum(gradient(lambda p, axis=axis: first(p)[:, axis])(points)[:, axis] for axis in axes.space)

        return value

    found = {"value": function(points)}
    if "dt" in terms or "gradient_squared" in terms:
        slope = gradient(function)(points)
        if axes.time is not None:
            found["dt"] = slope[:, axes.time]
        found["gradient_squared"] = sum(slope[:, axis] ** 2 for axis in axes.space)
    if "laplacian" in terms:
        found["laplacian"] = laplacian(function)(points)
    if "bilaplacian" in terms:
        found["bilaplacian"] = laplacian(laplacian(function))(points)
    return {term: found[term] for term in terms}


def taylor(function: Function, points: jax.Array, direction: Sequence[float], order: int) -> list[jax.Array]:
    """Derivatives of orders 0 to `order` along one direction, each `(point,)`, in one forward pass."""
    along = jnp.broadcast_to(jnp.asarray(direction, points.dtype), points.shape)
    series = [along, *[jnp.zeros_like(points)] * (order - 1)]
    value, found = jet(function, (points,), (series,))
    return [value, *found]


def forward(function: Function, points: jax.Array, axes: Axes, terms: Sequence[str]) -> dict[str, jax.Array]:
    """Terms by Taylor mode: one pass along each axis, and for the bilaplacian of a plane along three directions.

    Over the directions at 0, 60 and 120 degrees second derivatives sum to 3/2 Lap and fourth ones to 9/8 Lap Lap.

    Raises:
        ValueError: for a bilaplacian in other than two dimensions.
    """
    dimensions = points.shape[-1]

    def unit(parts: dict[int, float]) -> list[float]:
        return [parts.get(axis, 0.0) for axis in range(dimensions)]

    found: dict[str, jax.Array] = {}
    highest = max(ORDER[term] for term in terms)
    wants_space = any(term in terms for term in ("laplacian", "gradient_squared", "bilaplacian"))
    if wants_space:
        if "bilaplacian" in terms:
            if len(axes.space) != 2:
                raise ValueError(f"bilaplacian: got {len(axes.space)} space axes, expected 2")
            y, x = axes.space
            half, high = 0.5, 0.75**0.5
            directions = [unit({x: 1.0}), unit({x: half, y: high}), unit({x: -half, y: high})]
            second, fourth = 1.5, 9 / 8
        else:
            directions = [unit({axis: 1.0}) for axis in axes.space]
            second, fourth = 1.0, 1.0
        passes = [taylor(function, points, direction, highest) for direction in directions]
        found["value"] = passes[0][0]
        found["gradient_squared"] = sum(p[1] ** 2 for p in passes) / second
        if highest >= 2:
            found["laplacian"] = sum(p[2] for p in passes) / second
        if highest >= 4:
            found["bilaplacian"] = sum(p[4] for p in passes) / fourth
    if "dt" in terms:
        assert axes.time is not None
        found["value"], found["dt"] = taylor(function, points, unit({axes.time: 1.0}), 1)
    if "value" not in found:
        found["value"] = function(points)
    return {term: found[term] for term in terms}


METHODS = {"nested": nested, "taylor": forward}
"""By the name that commands and results use."""
