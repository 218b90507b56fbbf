"""What fewer bits in a trunk's products cost: `python -m mollifier_train precision` writes docs/precision.md.

A model file is changed so that the inputs and weights of its trunk's convolutions are rounded as a processor's
instructions for them would; sums stay in single precision, as they do there. The command runs it by ONNX Runtime.
"""

from __future__ import annotations

import copy
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from . import command
from .evaluate import number, table
from .problems import PROBLEMS
from .scores import Score, summarise

Array = NDArray[np.float32]
TESTS = ("heat-trained", "heat-transient-trained", "reaction-diffusion-trained", "chromatin-unsettled-trained")
FIRST_SEED = 10_000
"""Recordings that publish nothing."""


@dataclass(frozen=True)
class Precision:
    """How the products of a trunk are rounded.

    Attributes:
        text: for people.
        weights: rounds those of a convolution, `(made, read, y, x)`.
        inputs: nodes that round the tensor of the first name, giving the second.
        inner_only: leave the first layer and the heads alone.
    """

    text: str
    weights: Callable[[Array], Array]
    inputs: Callable[[str, str], list[onnx.NodeProto]]
    inner_only: bool = False


def through(kind: int) -> Callable[[str, str], list[onnx.NodeProto]]:
    """Nodes that round to a floating-point type of ONNX's and back."""

    def nodes(name: str, rounded: str) -> list[onnx.NodeProto]:
        return [
            helper.make_node("Cast", [name], [f"{rounded}.few"], to=kind),
            helper.make_node("Cast", [f"{rounded}.few"], [rounded], to=TensorProto.FLOAT),
        ]

    return nodes


def to_bytes(name: str, rounded: str) -> list[onnx.NodeProto]:
    """Nodes that round to 256 steps between the tensor's own least and largest value of this frame, and back."""
    parts = [f"{rounded}.{part}" for part in ("few", "step", "zero")]
    return [
        helper.make_node("DynamicQuantizeLinear", [name], parts),
        helper.make_node("DequantizeLinear", parts, [rounded]),
    ]


def signed_bytes(weights: Array) -> Array:
    """Weights in 255 steps, of a size for each channel that is made."""
    step = np.abs(weights).max(axis=(1, 2, 3), keepdims=True) / 127
    return (np.round(weights / np.maximum(step, 1e-30)) * step).astype(np.float32)


PRECISIONS = (
    Precision("bfloat16", lambda w: w.astype(ml_dtypes.bfloat16).astype(np.float32), through(TensorProto.BFLOAT16)),
    Precision("float16", lambda w: w.astype(np.float16).astype(np.float32), through(TensorProto.FLOAT16)),
    Precision("int8, every layer", signed_bytes, to_bytes),
    Precision("int8, the 3x3 layers alone", signed_bytes, to_bytes, inner_only=True),
)


def rounded(model: onnx.ModelProto, precision: Precision) -> onnx.ModelProto:
    """A copy of a model whose trunk is computed in this precision.

    Raises:
        ValueError: if it has no trunk.
    """
    made = copy.deepcopy(model)
    graph = made.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes, done, count = [], {}, 0
    for node in graph.node:
        kernel = weights.get(node.input[1]) if node.op_type == "Conv" else None
        # Banks read one map each.
        if kernel is not None and kernel.dims[1] > 1 and (kernel.dims[-1] == 3 or not precision.inner_only):
            count += 1
            values = precision.weights(numpy_helper.to_array(kernel).astype(np.float32))
            name = f"{kernel.name}.rounded"
            graph.initializer.append(numpy_helper.from_array(values, name))
            source = node.input[0]
            if source not in done:
                done[source] = f"{source}.rounded"
                nodes += precision.inputs(source, done[source])
            node.input[0], node.input[1] = done[source], name
        nodes.append(node)
    if count == 0:
        raise ValueError("got a model without convolutions of several channels, expected a trunk")
    kept = [copy.deepcopy(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    return made


def library() -> Path:
    """ONNX Runtime's shared library: the variable `ORT_DYLIB_PATH`, else the Python package's."""
    named = os.environ.get("ORT_DYLIB_PATH")
    found = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.1.*"))
    if not named and not found:
        raise command.InputError("got no ORT_DYLIB_PATH, expected the path of ONNX Runtime's shared library")
    return Path(named) if named else found[0]


@dataclass
class Compared:
    """A precision on a test set at one level.

    Attributes:
        scores: of each recording.
        apart: |ln lambda - ln lambda in single precision| of every pixel that has both.
        in_std: the same in units of the model's own `std`.
    """

    scores: list[Score]
    apart: list[NDArray[np.float64]]
    in_std: list[NDArray[np.float64]]

    def cell(self) -> str:
        """As printed."""
        s = summarise(self.scores)
        text = f"{number(s.interior)} / {number(s.error)}"
        if not self.apart:
            return text
        apart, in_std = np.concatenate(self.apart), np.concatenate(self.in_std)
        return f"{text}; {np.median(apart):.1e}, {np.quantile(apart, 0.99):.1e}, {np.quantile(in_std, 0.99):.2f}"


def compare(name: str, level: float, fields: int, models: Mapping[str, Path]) -> dict[str, Compared]:
    """Run every model, the first in single precision, over the recordings of a test set."""
    problem = PROBLEMS[name]
    compared = {text: Compared([], [], []) for text in models}
    for seed in range(FIRST_SEED, FIRST_SEED + fields):
        recording = problem.recording(problem.simulate(seed), level, seed)
        single: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        with tempfile.TemporaryDirectory() as folder:
            path, given = recording.write(Path(folder))
            for number_, (text, model) in enumerate(models.items()):
                options = ("--backend", "ort", "--ort-library", str(library()), "--threads", "1", *recording.options)
                result = command.run(
                    model, path, Path(folder) / f"out{number_}", given=given, spacing=recording.spacing, options=options
                )
                compared[text].scores.append(problem.score(result.lam, recording))
                logarithm = np.log(result.lam.astype(np.float64))
                if single is None:
                    single = logarithm, result.outputs["std"][0].astype(np.float64)
                else:
                    apart = np.abs(logarithm - single[0])
                    known = np.isfinite(apart) & np.isfinite(single[1])
                    compared[text].apart.append(apart[known])
                    compared[text].in_std.append((apart / single[1])[known])
    return compared


def measure(out: Path, *, fields: int, tests: Sequence[str] = TESTS) -> None:
    """Compare the precisions on every test set and write the page.

    Args:
        out: Markdown file.
        fields: recordings of each test set and level.
        tests: keys of `PROBLEMS`.
    """
    parts = [
        "# Fewer bits in a trunk's products",
        f"Simulated; written by `python -m mollifier_train precision --fields {fields}`, seeds {FIRST_SEED:,} to "
        f"{FIRST_SEED + fields - 1:,}, which publish nothing. The inputs and weights of a trunk's convolutions are "
        "rounded as a processor's instructions for such numbers would, and summed in single precision; front ends, "
        "activations and outputs are as they are. int8 has steps of its own for every channel of weights, and for "
        "every tensor of each frame.",
        "Figures: interior correlation / relative L2 error; of |ln lambda - ln lambda in single precision| the median "
        "and what 99 % of the pixels are within, and the latter in units of the model's own `std`.",
    ]
    for name in tests:
        problem = PROBLEMS[name]
        model = onnx.load(command.MODELS / f"{problem.model}.onnx", load_external_data=False)
        rows: dict[str, list[str]] = {}
        with tempfile.TemporaryDirectory() as folder:
            models = {"float32": command.MODELS / f"{problem.model}.onnx"}
            for i, precision in enumerate(PRECISIONS):
                models[precision.text] = Path(folder) / f"{i}.onnx"
                onnx.save(rounded(model, precision), models[precision.text])
            for level in problem.levels:
                for text, compared in compare(name, level, fields, models).items():
                    rows.setdefault(text, [text]).append(compared.cell())
                print(f"{name}, {level:g} %: done", file=sys.stderr, flush=True)
        head = ["products", *(problem.level_text.format(level) for level in problem.levels)]
        parts += [f"## {problem.model}: {name}", table([head, *rows.values()])]
    out.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
