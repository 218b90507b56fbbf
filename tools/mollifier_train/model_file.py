"""Read a model file's contract and run its graph in onnxruntime, fed as the command feeds it."""

from __future__ import annotations

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

Array = NDArray[np.floating]

METADATA_KEY = "mollifier.contract"


@dataclass(frozen=True)
class ModelFile:
    """One `.onnx` file with a contract.

    Attributes:
        path: of the file.
    """

    path: Path

    @cached_property
    def proto(self) -> onnx.ModelProto:
        """The file as protocol buffers."""
        return onnx.load(self.path, load_external_data=False)

    @cached_property
    def contract(self) -> dict[str, Any]:
        """What the file says of itself.

        Raises:
            ValueError: if it says nothing.
        """
        for entry in self.proto.metadata_props:
            if entry.key == METADATA_KEY:
                return json.loads(entry.value)
        raise ValueError(f"{self.path}: no {METADATA_KEY} in the file; write models with `mollifier bake`")

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        """A session on one CPU thread."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])

    def named(self, role: str) -> str | None:
        """Name of the input with this role, such as `noise` or `phi-low`; None if the model has none."""
        return next((i["name"] for i in self.contract["inputs"] if i["role"] == role), None)

    def feeds(
        self,
        u: Array,
        *,
        spacing: Sequence[float],
        time_step: float = 1.0,
        valid: NDArray[np.bool_] | None = None,
        given: Mapping[str, Array | float] | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Tensors for one map (or one series), as the runtime fills them.

        Args:
            u: the window's frames, `(window, y, x)`, or a series, `(sample,)`; finite everywhere.
            spacing: sample distance along each tiled axis, `(y, x)` or `(t,)`.
            time_step: time between frames.
            valid: where `u` was measured, of its shape; everywhere unless given.
            given: fields `(y, x)` and numbers by input name. Noise, offset and phase levels must be among them;
                constants that are not take their unitless default.

        Raises:
            ValueError: for an input without a value.
        """
        given = dict(given or {})
        contract = self.contract
        sizes = {"batch": 1, "window": contract["window"], "axis": len(spacing)}
        sizes |= {"sample": u.shape[-1]} if contract["kind"] == "series" else {"y": u.shape[-2], "x": u.shape[-1]}
        offset_name = self.named("offset")
        # Rounded first, so that what is subtracted is exactly what the graph is told.
        offset = float(np.float32(given[offset_name])) if offset_name else 0.0
        reference = contract["window"] - 1 - contract["delay"]
        feeds = {}
        for i in contract["inputs"]:
            name, role = i["name"], i["role"]
            value: Any
            if role == "recording":
                value = u.astype(np.float64) - offset
            elif role == "valid":
                value = np.ones(u.shape) if valid is None else valid
            elif role == "spacing":
                value = spacing
            elif role == "time":
                value = (np.arange(contract["window"]) - reference) * time_step
            elif name in given:
                value = given[name]
            elif i.get("default") is not None:
                value = i["default"]
            else:
                raise ValueError(f"{self.path.name}, input {name}: got no value, expected {i['description']}")
            shape = tuple(sizes[axis] for axis in i["axes"])
            array = np.asarray(value, dtype=np.float32)
            feeds[name] = array.reshape(shape) if array.size == np.prod(shape) else np.full(shape, array)
        return feeds

    def run(self, feeds: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Every output by name, without the batch axis: `(y, x)` or `(sample,)`."""
        names = [o["name"] for o in self.contract["outputs"]]
        values = self.session.run(names, dict(feeds))
        return {name: np.squeeze(np.asarray(v), axis=0) for name, v in zip(names, values, strict=True)}
