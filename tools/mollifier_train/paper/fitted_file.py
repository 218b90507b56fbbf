"""The file of a fit: an ONNX graph from coordinates to the field and lambda, and its evaluation on any grid.

Inputs and outputs, all float32:

- `coordinates`, `(point, axis)`: in the units of the spacing, measured from the recording's first sample, axes in the
  order t, y, x, as far as the equation has them;
- `field`, `(point,)`: the fitted field. Where the fit smooths its network, the kernel's sum is in the graph, a sum over
  `stencil` neighbours of each point: the graph is the fitted function itself, at any coordinates;
- `lambda`, `(point,)`: the parameter; it does not depend on t where there is space.

The metadata entry `mollifier.fit` says what the axes, their range and their spacing were.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..command import InputError
from ..trunk import IR_VERSION, OPSET
from .fitting import Fit, Networks, mesh
from .layer import taps
from .networks import Mlp, Scaled

KEY = "mollifier.fit"
VERSION = 1
AT_ONCE = 1 << 17
"""Network evaluations of one call of the runtime, which bound its memory."""

Array = NDArray[np.float64]


def stencil(fit: Fit) -> tuple[Array, Array]:
    """Offsets `(neighbour, axis)` and weights `(neighbour,)` of the field's value; one of weight 1 if unsmoothed."""
    count = len(fit.task.u.shape)
    if fit.layer is None or fit.settings.form == "weak":
        return np.zeros((1, count)), np.ones(1)
    offsets, weights = [], []
    for radius, spacing in zip(fit.layer.radius, fit.layer.spacing, strict=True):
        centre = taps(fit.layer.family, radius, 0).centre if radius else np.ones(1)
        used = np.flatnonzero(centre)
        offsets.append(spacing * (used - radius))
        weights.append(centre[used])
    products = [np.prod(w) for w in itertools.product(*weights)]
    return mesh(offsets), np.asarray(products)


class Graph:
    """Nodes and constants under construction."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[Any] | Sequence[float] | float, kind: type[np.generic] = np.float32) -> str:
        """A constant's name."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def node(self, op: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:  # noqa: ANN401
        """A node's output."""
        out = out or f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], name=out, **attributes))
        return out

    def network(self, network: Scaled, points: str) -> str:
        """The network's values `(..., 1)` at `points`, `(..., axis)`."""
        if not isinstance(network.inner, Mlp):
            raise ValueError(f"export: got {type(network.inner).__name__}, expected a fully connected network")
        h = self.node("Sub", points, self.constant(network.centre))
        h = self.node("Div", h, self.constant(network.half))
        layers = network.inner.layers
        for i, (weights, bias) in enumerate(layers):
            h = self.node("Add", self.node("MatMul", h, self.constant(weights)), self.constant(bias))
            h = self.node("Tanh", h) if i + 1 < len(layers) else h
        return self.node("Add", self.node("Mul", h, self.constant(network.size)), self.constant(network.mean))


def write(path: Path, fit: Fit, networks: Networks, *, provenance: Mapping[str, Any]) -> None:
    """Write a fit.

    Args:
        path: the ONNX file.
        fit: what was fitted.
        networks: after training; fully connected ones.
        provenance: how; JSON values.

    Raises:
        ValueError: for another architecture.
    """
    task, e, graph = fit.task, fit.task.equation, Graph()
    offsets, weights = stencil(fit)
    points = graph.node("Unsqueeze", "coordinates", graph.constant([1], np.int64))
    around = graph.node("Add", points, graph.constant(offsets[None]))
    values = graph.node("Squeeze", graph.network(networks.field, around), graph.constant([2], np.int64))
    weighed = graph.node("Mul", values, graph.constant(weights[None]))
    graph.node("ReduceSum", weighed, graph.constant([1], np.int64), out="field", keepdims=0)
    axes = graph.constant(list(e.lambda_axes), np.int64)
    lam = graph.network(networks.lam, graph.node("Gather", "coordinates", axes, axis=1))
    lam = graph.node("Exp", lam) if e.positive else lam
    graph.node("Squeeze", lam, graph.constant([1], np.int64), out="lambda")
    about = {
        "version": VERSION,
        "problem": task.name,
        "axes": [
            {"name": name, "first": low, "last": high, "spacing": h, "samples": n}
            for name, (low, high), h, n in zip(e.axes, task.bounds, task.spacing, task.u.shape, strict=True)
        ],
        "lambda_axes": [e.axes[axis] for axis in e.lambda_axes],
        "stencil": len(weights),
        "provenance": dict(provenance),
    }
    tensor = helper.make_tensor_value_info
    kind = onnx.TensorProto.FLOAT
    proto = helper.make_graph(
        graph.nodes,
        "fit",
        [tensor("coordinates", kind, ["point", len(e.axes)])],
        [tensor("field", kind, ["point"]), tensor("lambda", kind, ["point"])],
        graph.constants,
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    helper.set_model_props(model, {KEY: json.dumps(about)})
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


@dataclass(frozen=True)
class FittedFile:
    """A file that `write` wrote.

    Attributes:
        path: of the file.
    """

    path: Path

    @cached_property
    def about(self) -> dict[str, Any]:
        """What the file says of itself.

        Raises:
            InputError: if it is no fit.
        """
        for entry in onnx.load(self.path, load_external_data=False).metadata_props:
            if entry.key == KEY:
                return json.loads(entry.value)
        raise InputError(f"{self.path}: no {KEY} in the file, expected one that `fit` wrote")

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        """A session on one CPU thread."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])

    def grid(self, sizes: Mapping[str, int] | None = None) -> list[Array]:
        """Coordinates along each axis from the recording's first sample to its last.

        Args:
            sizes: samples along an axis; the recording's own where none are given.

        Raises:
            InputError: for an axis that the file has not.
        """
        sizes = dict(sizes or {})
        names = [axis["name"] for axis in self.about["axes"]]
        if extra := set(sizes) - set(names):
            raise InputError(
                f"{self.path.name}: got a size for {', '.join(sorted(extra))}, expected {', '.join(names)}"
            )
        return [
            np.linspace(axis["first"], axis["last"], sizes.get(axis["name"], axis["samples"]))
            for axis in self.about["axes"]
        ]

    def evaluate(self, output: str, axes: Sequence[Array]) -> NDArray[np.float32]:
        """An output on a grid.

        Args:
            output: `field`, on all axes, or `lambda`, on its own.
            axes: coordinates along every axis of the file, as `grid` gives them.

        Returns:
            on the grid; lambda without the time axis where it does not depend on it.
        """
        names = [axis["name"] for axis in self.about["axes"]]
        used = [i for i, name in enumerate(names) if output == "field" or name in self.about["lambda_axes"]]
        points = np.zeros((int(np.prod([len(axes[i]) for i in used])), len(names)), np.float32)
        points[:, used] = mesh([axes[i] for i in used])
        step = max(AT_ONCE // (self.about["stencil"] if output == "field" else 1), 1)
        parts = [
            self.session.run([output], {"coordinates": points[i : i + step]})[0] for i in range(0, len(points), step)
        ]
        return np.concatenate(parts).reshape([len(axes[i]) for i in used])
