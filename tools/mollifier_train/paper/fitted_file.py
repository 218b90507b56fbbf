"""The file of a fit: an ONNX graph from coordinates to the field and lambda; `mollifier run` evaluates it on any grid.

Inputs and outputs, all float32:

- `coordinates`, `(point, axis)`: in the units of the spacing, measured from the recording's first sample, axes in the
  order t, y, x, as far as the equation has them;
- `field`, `(point,)`: the fitted field. Where the fit smooths its network, the kernel's sum is in the graph, a sum over
  `stencil` neighbours of each point: the graph is the fitted function itself, at any coordinates;
- `lambda`, `(point,)`: the parameter; it does not depend on t where there is space.

The metadata entry `mollifier.fit` says what the axes, their range, their spacing and its unit were.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..trunk import IR_VERSION, OPSET
from .fitting import Fit, Networks, mesh
from .layer import taps
from .networks import Mlp, Scaled

KEY = "mollifier.fit"
VERSION = 1

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
            | ({"unit": task.units[name]} if name in task.units else {})
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
