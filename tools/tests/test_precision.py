"""Trunks computed with fewer bits: what is changed in a model, and what it does to what comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from mollifier_train import command, precision

Array = NDArray[np.float32]


def model(channels: int = 6) -> onnx.ModelProto:
    """A bank's pass, a layer of 3x3 and a head behind it."""
    rng = np.random.default_rng(0)
    shapes = {"bank": (channels, 1, 5, 1), "inner": (8, channels, 3, 3), "head": (2, 8, 1, 1)}
    weights = [numpy_helper.from_array(rng.normal(size=s).astype(np.float32), n) for n, s in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["u", "bank"], ["maps"], pads=[2, 0, 2, 0]),
        helper.make_node("Conv", ["maps", "inner"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "head"], ["y"]),
    ]
    ends = [[helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, c, 9, 9])] for n, c in (("u", 1), ("y", 2))]
    graph = helper.make_graph(nodes, "made up", *ends, initializer=weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def compute(proto: onnx.ModelProto, u: Array) -> Array:
    """The output."""
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"u": u})[0]


def by_hand(u: Array, few: precision.Precision) -> Array:
    """The same in float64 where the products of the trunk are rounded to a floating-point type."""
    weights = {t.name: numpy_helper.to_array(t) for t in model().graph.initializer}

    def convolve(x: Array, w: Array, pads: tuple[int, int]) -> Array:
        x = np.pad(x, ((0, 0), (0, 0), (pads[0],) * 2, (pads[1],) * 2))
        seen = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
        return np.einsum("nchwyx,ocyx->nohw", seen, w)

    maps = convolve(u.astype(np.float64), weights["bank"], (2, 0)).astype(np.float32)
    a = convolve(few.weights(maps), few.weights(weights["inner"]), (1, 1))
    return convolve(few.weights(np.maximum(a, 0).astype(np.float32)), few.weights(weights["head"]), (0, 0))


@pytest.mark.parametrize("few", precision.PRECISIONS[:2], ids=lambda few: few.text)
def test_inputs_and_weights_of_a_trunk_are_rounded_and_nothing_else(few: precision.Precision) -> None:
    u = np.random.default_rng(1).normal(size=(1, 1, 9, 9)).astype(np.float32)
    got = compute(precision.rounded(model(), few), u)
    single = compute(model(), u)
    # An activation that lies between two numbers of few bits may be rounded to either.
    np.testing.assert_allclose(got, by_hand(u, few), atol=0.3 * np.abs(got - single).max(), rtol=1e-5)
    assert np.abs(got - single).max() > 1e-4 * np.abs(single).max()


@pytest.mark.parametrize("few", precision.PRECISIONS, ids=lambda few: few.text)
def test_what_is_left_out_is_left_out(few: precision.Precision) -> None:
    made = precision.rounded(model(), few)
    rounded = [node.input[1] for node in made.graph.node if node.op_type == "Conv" and "rounded" in node.input[1]]
    assert rounded == (["inner.rounded"] if few.inner_only else ["inner.rounded", "head.rounded"])
    u = np.random.default_rng(2).normal(size=(1, 1, 9, 9)).astype(np.float32)
    single = compute(model(), u)
    assert 0 < np.abs(compute(made, u) - single).max() < 0.05 * np.abs(single).max()


def test_weights_of_bytes_have_255_steps_a_channel() -> None:
    weights = np.random.default_rng(3).normal(size=(4, 3, 3, 3)).astype(np.float32)
    got = precision.signed_bytes(weights)
    for before, after in zip(weights, got, strict=True):
        step = np.abs(before).max() / 127
        np.testing.assert_allclose(after / step, np.round(after / step), atol=1e-4)
        assert np.abs(after - before).max() <= 0.501 * step
    assert not precision.signed_bytes(np.zeros((1, 1, 3, 3), np.float32)).any()


def test_a_model_without_a_trunk_is_refused() -> None:
    closed = onnx.load(command.MODELS / "heat-closed-form.onnx")
    with pytest.raises(ValueError, match="expected a trunk"):
        precision.rounded(closed, precision.PRECISIONS[0])


def test_the_page_has_a_table_of_each_test_set(tmp_path: Path) -> None:
    page = tmp_path / "precision.md"
    precision.measure(page, fields=1, tests=("heat-trained",))
    lines = page.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    assert [row[0] for row in rows[2:]] == ["float32", *(few.text for few in precision.PRECISIONS)]
    apart = [float(row[1].split(";")[1].split(",")[0]) for row in rows[3:]]
    assert apart[1] < apart[0] < apart[2], "float16 is nearest, bytes everywhere are farthest"
