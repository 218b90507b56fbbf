"""Banks of separable derivatives as other libraries compute them, to hold ours against (`tools/benchmarks.py`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from scipy import ndimage

Map = np.ndarray
Orders = tuple[int, int, int]
"""Radius, order along y, order along x: names one derivative."""


@dataclass(frozen=True)
class Bank:
    """Derivatives of one image, and the sums of them that are wanted."""

    passes: dict[int, dict[int, list[int]]]
    """By radius: the orders along y, and those along x that are taken from each."""
    fields: dict[str, dict[Orders, float]]
    """Each field's terms with their factors."""
    kernels: dict[tuple[int, int], np.ndarray]
    """Taps by radius and order."""

    def derivatives(self) -> list[Orders]:
        """In the order of the passes."""
        return [(r, y, x) for r, passes in self.passes.items() for y, along_x in passes.items() for x in along_x]


def five_fields(taps: Callable[[int, int], np.ndarray]) -> Bank:
    """u, u_x, u_y, the Laplacian and the bi-Laplacian by kernels of 33 taps."""
    one: dict[str, dict[Orders, float]] = {
        n: {(16, *o): 1.0} for n, o in {"u": (0, 0), "x": (0, 1), "y": (1, 0)}.items()
    }
    sums: dict[str, dict[Orders, float]] = {
        "laplacian": {(16, 2, 0): 1.0, (16, 0, 2): 1.0},
        "bilaplacian": {(16, 4, 0): 1.0, (16, 2, 2): 2.0, (16, 0, 4): 1.0},
    }
    passes = {16: {0: [0, 1, 2, 4], 1: [0], 2: [0, 2], 4: [0]}}
    return Bank(passes, one | sums, _kernels(passes, taps))


def heat_radii(taps: Callable[[int, int], np.ndarray]) -> Bank:
    """The second derivatives of the heat model at its four radii, one by one."""
    passes = {radius: {2: [0], 0: [2]} for radius in (6, 10, 16, 28)}
    fields: dict[str, dict[Orders, float]] = {
        f"d{y}{x}_{radius}": {(radius, y, x): 1.0} for radius in passes for y, x in [(2, 0), (0, 2)]
    }
    return Bank(passes, fields, _kernels(passes, taps))


def _kernels(
    passes: dict[int, dict[int, list[int]]], taps: Callable[[int, int], np.ndarray]
) -> dict[tuple[int, int], np.ndarray]:
    orders = {r: {o for y, along_x in of.items() for o in [y, *along_x]} for r, of in passes.items()}
    return {(r, o): taps(r, o) for r, wanted in orders.items() for o in sorted(wanted)}


def as_model(bank: Bank, size: int) -> onnx.ModelProto:
    """A bank as an engine takes it: at each radius one vertical pass of all orders, the horizontal ones, the sums."""
    constants, nodes = [], []
    for radius, passes in bank.passes.items():
        taps = 2 * radius + 1
        first = np.stack([bank.kernels[radius, order] for order in passes]).reshape(-1, 1, taps, 1)
        constants.append(numpy_helper.from_array(first, f"vertical{radius}"))
        pads = [radius, 0, radius, 0]
        nodes.append(helper.make_node("Conv", ["u", f"vertical{radius}"], [f"v{radius}"], pads=pads))
        nodes.append(helper.make_node("Split", [f"v{radius}"], [f"v{radius}_{y}" for y in passes], axis=1))
        for y, along_x in passes.items():
            second = np.stack([bank.kernels[radius, x] for x in along_x]).reshape(-1, 1, 1, taps)
            kernel, made = f"horizontal{radius}_{y}", f"h{radius}_{y}"
            constants.append(numpy_helper.from_array(second, kernel))
            pads = [0, radius, 0, radius]
            nodes.append(helper.make_node("Conv", [f"v{radius}_{y}", kernel], [made], pads=pads))
            names = [_name((radius, y, x)) for x in along_x]
            split = helper.make_node("Split", [made], names, axis=1)
            nodes.append(split if len(names) > 1 else helper.make_node("Identity", [made], names))
    for name, terms in bank.fields.items():
        scaled = []
        for orders, factor in terms.items():
            term = _name(orders)
            if factor != 1:
                constants.append(numpy_helper.from_array(np.float32(factor), f"{name}.{term}.factor"))
                nodes.append(helper.make_node("Mul", [term, f"{name}.{term}.factor"], [f"{name}.{term}"]))
                term = f"{name}.{term}"
            scaled.append(term)
        nodes.append(helper.make_node("Sum" if len(scaled) > 1 else "Identity", scaled, [f"field.{name}"]))
    shape = [1, 1, size, size]
    outputs = [helper.make_tensor_value_info(f"field.{n}", onnx.TensorProto.FLOAT, shape) for n in bank.fields]
    inputs = [helper.make_tensor_value_info("u", onnx.TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "bank", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _name(orders: Orders) -> str:
    return "d{}_{}_{}".format(*orders)


def elsewhere(bank: Bank, size: int) -> dict[str, Callable[[], list[Map]]]:
    """The fields in their order by other libraries, on one thread each, of one random image."""
    image = np.random.default_rng(0).random((size, size), dtype=np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = as_model(bank, size).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def summed(derivative: dict[Orders, Map]) -> list[Map]:
        fields = []
        for terms in bank.fields.values():
            total = None
            for orders, factor in terms.items():
                term = derivative[orders] if factor == 1 else np.float32(factor) * derivative[orders]
                total = term if total is None else total + term
            fields.append(total)
        return fields

    def in_passes(filtered: Callable[[Map, np.ndarray, int], Map]) -> list[Map]:
        made = {}
        for radius, passes in bank.passes.items():
            for y, along_x in passes.items():
                vertical = filtered(image, bank.kernels[radius, y], 0)
                for x in along_x:
                    made[radius, y, x] = filtered(vertical, bank.kernels[radius, x], 1)
        return summed(made)

    libraries: dict[str, Callable[[], list[Map]]] = {
        "onnxruntime": lambda: [f[0, 0] for f in session.run(None, {"u": image[None, None]})],
        "scipy": lambda: in_passes(lambda v, taps, axis: ndimage.correlate1d(v, taps, axis=axis, mode="constant")),
    }
    try:
        import cv2
    except ImportError:
        return libraries
    cv2.setNumThreads(1)
    zeros = cv2.BORDER_CONSTANT
    libraries["OpenCV filter2D"] = lambda: in_passes(
        lambda v, taps, axis: cv2.filter2D(v, -1, taps.reshape((-1, 1) if axis == 0 else (1, -1)), borderType=zeros)
    )
    libraries["OpenCV sepFilter2D"] = lambda: summed(
        {
            (r, y, x): cv2.sepFilter2D(image, -1, bank.kernels[r, x], bank.kernels[r, y], borderType=zeros)
            for r, y, x in bank.derivatives()
        }
    )
    return libraries
