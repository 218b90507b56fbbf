"""The learned trunk: dilated convolutions behind a front end, and its ONNX file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

BUDGET = 8000
"""Multiply-adds a pixel that no trunk may exceed."""
OPSET, IR_VERSION = 17, 8
CELLS = (1, 2, 4, 8)
"""Pixels along the side of a cell that there are."""
SEEDS_KEY = "mollifier.seeds"
FEATURES_KEY = "mollifier.features"


class Trunk(eqx.Module):
    """An entry, residual 3x3 layers of growing dilation (3 taps for series), two pointwise heads.

    With cells of one pixel the entry is pointwise. With cells of two it takes 2x2 pixels to one, the layers work at
    half resolution, where a multiply-add a pixel buys four weights, and the heads give each of the four pixels its own
    value; beyond an end that has only a part of a cell the features are zero. Cells of series are of one row: of four
    samples, they buy four weights too.

    The convolutions are written as shifts and one matrix product, which is several times faster on a processor
    than a general dilated convolution and its gradient. Zeros stand outside the frame, as in the exported graph.

    Attributes:
        mean, scale: of every feature over the training set, `(channel,)`; folded into the first layer by `export`.
        enter: weights and bias of the entry, `(pixels of a cell * channel, width)`, pixels row by row, and `(width,)`.
        layers: weights and bias of the 3x3 layers, `(9 * width, width)`, taps row by row, and `(width,)`; of series
            `(3 * width, width)`.
        heads: weights and bias, `(width, pixels of a cell * 2)` and `(pixels of a cell * 2,)`: of each pixel delta
            and log_std.
        dilations: of `layers`.
        rows: of a kernel, 3 or, for series, 1.
        cell: pixels along the side of a cell, 1, 2, 4 or 8.
    """

    mean: jax.Array
    scale: jax.Array
    enter: tuple[jax.Array, jax.Array]
    layers: list[tuple[jax.Array, jax.Array]]
    heads: tuple[jax.Array, jax.Array]
    dilations: tuple[int, ...] = eqx.field(static=True)
    rows: int = eqx.field(static=True)
    cell: int = eqx.field(static=True)

    def __init__(
        self,
        mean: NDArray[np.floating],
        scale: NDArray[np.floating],
        *,
        width: int = 16,
        dilations: Sequence[int] = (1, 2, 4),
        series: bool = False,
        cell: int = 1,
        key: jax.Array,
    ) -> None:
        if cell not in CELLS:
            raise ValueError(f"cell: got {cell}, expected one of {CELLS}")
        self.rows, self.cell = 1 if series else 3, cell
        taps, pixels = 3 * self.rows, math.prod(self.shape)
        keys = jax.random.split(key, len(dilations) + 1)
        channels = len(mean)
        self.mean, self.scale = jnp.asarray(mean, jnp.float32), jnp.asarray(scale, jnp.float32)
        inputs = pixels * channels
        self.enter = (jax.random.normal(keys[0], (inputs, width)) * (2 / inputs) ** 0.5, jnp.zeros(width))
        self.layers = [
            (jax.random.normal(k, (taps * width, width)) * (1 / (taps * width)) ** 0.5, jnp.zeros(width))
            for k in keys[1:]
        ]
        # The untrained trunk gives the closed form back.
        self.heads = (jnp.zeros((width, 2 * pixels)), jnp.tile(jnp.array([0.0, -2.0]), pixels))
        self.dilations = tuple(dilations)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a cell."""
        return (self.cell if self.rows > 1 else 1, self.cell)

    def __call__(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Delta and log_std, both `(batch, y, x)`, of features `(batch, y, x, channel)`; a series is one row.

        Rows and columns are whole cells.
        """
        return self.read(self.hidden(features))

    def read(self, hidden: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Delta and log_std of what `hidden` gives, by the heads."""
        out = self.unfold(hidden @ self.heads[0] + self.heads[1])
        return out[..., 0], out[..., 1]

    def hidden(self, features: jax.Array) -> jax.Array:
        """What the heads read, `(batch, row of cells, column of cells, width)`."""
        h = (features - jax.lax.stop_gradient(self.mean)) / jax.lax.stop_gradient(self.scale)
        h = jax.nn.relu(self.fold(h) @ self.enter[0] + self.enter[1])
        for (weights, bias), d in zip(self.layers, self.dilations, strict=True):
            rows, columns = h.shape[1:3]
            above = d * (self.rows // 2)
            padded = jnp.pad(h, ((0, 0), (above, above), (d, d), (0, 0)))
            taps = [
                padded[:, a * d : a * d + rows, b * d : b * d + columns] for a in range(self.rows) for b in range(3)
            ]
            h = h + jax.nn.relu(jnp.concatenate(taps, axis=-1) @ weights + bias)
        return h

    def fold(self, maps: jax.Array) -> jax.Array:
        """The pixels of each cell side by side: `(batch, y, x, channel)` to `(batch, row, column of cells, ...)`."""
        batch, rows, columns, channels = maps.shape
        high, wide = self.shape
        cells = maps.reshape(batch, rows // high, high, columns // wide, wide, channels).transpose(0, 1, 3, 2, 4, 5)
        return cells.reshape(batch, rows // high, columns // wide, high * wide * channels)

    def unfold(self, cells: jax.Array) -> jax.Array:
        """Back from `fold`."""
        batch, rows, columns, values = cells.shape
        high, wide = self.shape
        channels = values // (high * wide)
        maps = cells.reshape(batch, rows, columns, high, wide, channels).transpose(0, 1, 3, 2, 4, 5)
        return maps.reshape(batch, rows * high, columns * wide, channels)

    def widened(self, factor: float) -> Trunk:
        """The same trunk with every std times `factor`."""
        weights, bias = self.heads
        return eqx.tree_at(lambda t: t.heads, self, (weights, bias.at[1::2].add(jnp.log(factor))))

    def multiply_adds(self) -> int:
        """Of the convolutions, for each pixel, rounded up."""
        weights = sum(int(w.size) for w, _ in [self.enter, *self.layers, self.heads])
        return -(-weights // math.prod(self.shape))


def export(trunk: Trunk, path: Path, *, seeds: tuple[int, int], features: Sequence[str] | None = None) -> None:
    """Write a trunk as plain ONNX: Conv, Relu and Add, with cells also DepthToSpace, opset 17.

    Series have Transpose and Reshape instead of DepthToSpace, which is for images only. Of cells the graph's outputs
    are as large as whole cells: beyond an end that has a part of a cell stand some rows or columns more.

    Args:
        trunk: what was trained.
        path: the file to write.
        seeds: first and last of the training set.
        features: names of the maps that it was trained on, to which `bake` holds a front end.

    Raises:
        ValueError: if the trunk needs more than `BUDGET` multiply-adds a pixel.
    """
    if trunk.multiply_adds() > BUDGET:
        raise ValueError(f"trunk: got {trunk.multiply_adds()} multiply-adds a pixel, expected at most {BUDGET}")
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    axes = 1 if trunk.rows == 1 else 2
    point, cell, pixels = (1,) * axes, trunk.cell, math.prod(trunk.shape)

    def conv(
        x: str,
        out: str,
        weights: NDArray[np.floating],
        bias: NDArray[np.floating],
        *,
        dilation: int = 1,
        stride: int = 1,
    ) -> None:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(weights, np.float32), f"{out}.w"))
        constants.append(numpy_helper.from_array(np.ascontiguousarray(bias, np.float32), f"{out}.b"))
        pad = 0 if stride > 1 else dilation * (weights.shape[-1] // 2)
        nodes.append(
            helper.make_node(
                "Conv",
                [x, f"{out}.w", f"{out}.b"],
                [out],
                name=out,
                kernel_shape=list(weights.shape[2:]),
                dilations=[dilation] * axes,
                # Cells of which a frame has only a part are filled up behind its end.
                pads=[pad] * axes + [pad + stride - 1] * axes,
                **({"strides": [stride] * axes} if stride > 1 else {}),
            )
        )

    def step(op: str, inputs: list[str], out: str, **attributes: object) -> str:
        nodes.append(helper.make_node(op, inputs, [out], name=out, **attributes))
        return out

    mean, scale = np.asarray(trunk.mean, np.float64), np.asarray(trunk.scale, np.float64)
    weights, bias = (np.asarray(a, np.float64) for a in trunk.enter)
    weights = weights / np.tile(scale, pixels)[:, None]
    bias = bias - np.tile(mean, pixels) @ weights
    kernel = weights.T.reshape(-1, *(cell,) * axes, len(mean))
    conv("features", "enter", np.moveaxis(kernel, -1, 1), bias, stride=cell)
    h = step("Relu", ["enter"], "enter.relu")
    for i, ((w, b), d) in enumerate(zip(trunk.layers, trunk.dilations, strict=True)):
        width = w.shape[1]
        taps = np.asarray(w).reshape(*(3,) * axes, width, width)
        conv(h, f"layer{i}", np.moveaxis(taps, (-1, -2), (0, 1)), np.asarray(b), dilation=d)
        h = step("Add", [h, step("Relu", [f"layer{i}"], f"layer{i}.relu")], f"layer{i}.sum")
    w, b = (np.asarray(a) for a in trunk.heads)
    if cell > 1 and axes == 1:
        constants.append(numpy_helper.from_array(np.array([1, 1, -1], np.int64), "row"))
    for k, name in enumerate(("delta", "log_std")):
        one = w.T[k::2].reshape(pixels, -1, *point)
        cells = name if cell == 1 else f"{name}.cells"
        conv(h, cells, one, b[k::2])
        if cell > 1 and axes == 1:
            step("Reshape", [step("Transpose", [cells], f"{name}.turned", perm=[0, 2, 1]), "row"], name)
        elif cell > 1:
            step("DepthToSpace", [cells], name, blocksize=cell, mode="CRD")

    def tensor(name: str, channels: int) -> onnx.ValueInfoProto:
        size = ["H", "W"] if cell == 1 or name == "features" else ["rows", "columns"]
        size = size[-axes:]
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, channels, *size])

    graph = helper.make_graph(
        nodes, "trunk", [tensor("features", len(mean))], [tensor("delta", 1), tensor("log_std", 1)], constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    said = {SEEDS_KEY: json.dumps(list(seeds))}
    if features is not None:
        said[FEATURES_KEY] = json.dumps(list(features))
    helper.set_model_props(model, said)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
