"""A mollifier layer: smoothed values and derivatives of a network's output on a grid, by fixed sums.

The taps come from `mollifier kernel`; nothing of the kernels is written here a second time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from .. import command

Array = NDArray[np.float64]
Edges = Literal["margin", "one-sided"]
Order = tuple[int, ...]


@dataclass(frozen=True)
class Taps:
    """One kernel: sums over samples at distance 1.

    Attributes:
        centre: of the samples -R to R, `(2 R + 1,)`.
        edge: for each sample i < R from a border those of the samples 0 to 2 R, `(R, 2 R + 1)`.
    """

    centre: Array
    edge: Array


@lru_cache(maxsize=256)
def taps(family: str, radius: int, order: int) -> Taps:
    """The taps that the command prints.

    Args:
        family: such as `poly4`.
        radius: R, in samples.
        order: of the derivative, 0 to 4.

    Raises:
        CommandError: if the command is absent or refuses the kernel.
    """
    line = ["kernel", "--family", family, "--radius", str(radius), "--order", str(order), "--json"]
    printed = json.loads(command.call(line))
    return Taps(np.asarray(printed["taps"]), np.asarray(printed["one_sided"]).reshape(radius, 2 * radius + 1))


def reach(family: str, radius: int, highest: int) -> int:
    """How far from the centre the taps of the orders 0 to `highest` differ from zero, in samples."""
    if radius == 0:
        return 0
    far = [np.abs(np.flatnonzero(taps(family, radius, order).centre) - radius).max() for order in range(highest + 1)]
    return int(max(far))


def matrix(family: str, radius: int, order: int, size: int, spacing: float, edges: Edges, margin: int) -> Array:
    """One derivative along one axis as a banded matrix.

    A matrix product and its transpose are what a processor does fastest for kernels and frames of this size, and
    one-sided edges are rows of it like any other.

    Args:
        family: of the kernel.
        radius: of the kernel, in samples; 0 leaves the axis as it is.
        order: of the derivative.
        size: samples that come out.
        spacing: distance of the samples.
        edges: `margin`: `margin` samples beyond both ends go in; `one-sided`: `size` samples go in.
        margin: at least `reach` of the kernel.

    Returns:
        `(size, size + 2 margin)`, or `(size, size)` if one-sided.

    Raises:
        ValueError: for a derivative without a kernel, or an axis too short for one-sided taps.
    """
    if radius == 0:
        if order:
            raise ValueError(f"axis without kernel: got order {order}, expected 0")
        return np.eye(size, size + 2 * margin, margin) if edges == "margin" else np.eye(size)
    kernel = taps(family, radius, order)
    scale = spacing**-order
    if edges == "margin":
        rows = np.zeros((size, size + 2 * margin))
        used = kernel.centre[radius - margin : radius + margin + 1] if margin < radius else kernel.centre
        first = max(margin - radius, 0)
        for i in range(size):
            rows[i, i + first : i + first + len(used)] = used
        return rows * scale
    if size < 2 * radius + 1:
        raise ValueError(f"one-sided taps of radius {radius}: got {size} samples, expected at least {2 * radius + 1}")
    rows = np.zeros((size, size))
    for i in range(radius, size - radius):
        rows[i, i - radius : i + radius + 1] = kernel.centre
    for i in range(radius):
        rows[i, : 2 * radius + 1] = kernel.edge[i]
        rows[size - 1 - i, size - 2 * radius - 1 :] = (-1) ** order * kernel.edge[i][::-1]
    return rows * scale


@dataclass(frozen=True)
class Mollifier:
    """A layer bound to a grid; attaches to any network that can be evaluated on it.

    With `margin` edges the network is evaluated on a grid that is wider on each side, so that the kernel is covered
    everywhere; with `one-sided` edges, for data that end where they end, the grid stays and the taps lean inwards.

    Attributes:
        family: of the kernels, such as `poly8`.
        radius: in samples, for each axis; 0 for an axis that is left alone.
        shape: of what comes out.
        spacing: distance of the samples on each axis.
        highest: order of the highest derivative that is asked for on each axis.
        edges: see above.
    """

    family: str
    radius: tuple[int, ...]
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    highest: tuple[int, ...]
    edges: Edges = "margin"

    def __post_init__(self) -> None:
        axes = {len(self.radius), len(self.shape), len(self.spacing), len(self.highest)}
        if len(axes) != 1:
            raise ValueError(f"mollifier layer: got radius, shape, spacing and highest of {axes} axes, expected one")

    @property
    def margin(self) -> tuple[int, ...]:
        """Samples beyond each end of each axis that go in."""
        if self.edges == "one-sided":
            return (0,) * len(self.shape)
        return tuple(reach(self.family, r, h) for r, h in zip(self.radius, self.highest, strict=True))

    @property
    def padded(self) -> tuple[int, ...]:
        """Shape of what goes in."""
        return tuple(n + 2 * m for n, m in zip(self.shape, self.margin, strict=True))

    def coordinates(self, start: Sequence[float]) -> list[Array]:
        """Positions along each axis of what goes in, for a grid whose first sample that comes out is at `start`."""
        return [
            s + h * (np.arange(n + 2 * m) - m)
            for s, h, n, m in zip(start, self.spacing, self.shape, self.margin, strict=True)
        ]

    def axis_matrix(self, axis: int, order: int) -> Array:
        """The matrix of one derivative along one axis."""
        return matrix(
            self.family,
            self.radius[axis],
            order,
            self.shape[axis],
            self.spacing[axis],
            self.edges,
            self.margin[axis],
        )

    def derivatives(self, field: jax.Array, orders: Sequence[Order]) -> list[jax.Array]:
        """Derivatives of the smoothed field, one pass along each axis for each order that differs.

        Args:
            field: of shape `padded`.
            orders: of each wanted derivative, along each axis; zeros give the smoothed value.

        Returns:
            one array of `shape` for each.

        Raises:
            ValueError: if the shape is another, or an order is above `highest`.
        """
        if field.shape != self.padded:
            raise ValueError(f"mollifier layer: got a field of {field.shape}, expected {self.padded}")
        for order in orders:
            if len(order) != len(self.shape) or any(a > b for a, b in zip(order, self.highest, strict=True)):
                raise ValueError(f"mollifier layer: got orders {order}, expected at most {self.highest}")
        # The last axes first: passes that end alike are shared.
        done: dict[Order, jax.Array] = {(): field}

        def along(tail: Order) -> jax.Array:
            if tail not in done:
                axis = len(self.shape) - len(tail)
                rows = jnp.asarray(self.axis_matrix(axis, tail[0]), field.dtype)
                moved = jnp.tensordot(rows, along(tail[1:]), axes=(1, axis))
                done[tail] = jnp.moveaxis(moved, 0, axis)
            return done[tail]

        return [along(tuple(order)) for order in orders]

    def __call__(self, field: jax.Array, order: Order | None = None) -> jax.Array:
        """One derivative of the smoothed field, or without `order` the smoothed field itself."""
        return self.derivatives(field, [order or (0,) * len(self.shape)])[0]
