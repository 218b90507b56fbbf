"""The shipped model files: what any ONNX runtime may expect of them, and that none is stale."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import pytest
from mollifier_train import command
from mollifier_train.evaluate import BEGIN, END, for_pixels, graph_hash, measured_graphs
from mollifier_train.model_file import ModelFile
from mollifier_train.problems import PROBLEMS

MODELS = [ModelFile(path) for path in command.shipped()]
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda m: m.path.stem)


@every_model
def test_opset_and_ir_version(model: ModelFile) -> None:
    assert [(o.domain, o.version) for o in model.proto.opset_import] == [("", 17)]
    assert model.proto.ir_version == 8


@every_model
def test_checker_and_standard_operators(model: ModelFile) -> None:
    onnx.checker.check_model(model.proto, full_check=True)
    assert {node.domain for node in model.proto.graph.node} <= {"", "ai.onnx"}
    assert not model.proto.functions


@every_model
def test_self_contained_with_free_size(model: ModelFile) -> None:
    graph = model.proto.graph
    assert not any(t.external_data for t in graph.initializer)
    u = next(i for i in graph.input if i.name == "u")
    dims = u.type.tensor_type.shape.dim
    free = dims[-1:] if model.contract["kind"] == "series" else dims[-2:]
    assert all(d.dim_param and not d.dim_value for d in free)


@every_model
def test_contract_and_graph_name_the_same(model: ModelFile) -> None:
    assert [i["name"] for i in model.contract["inputs"]] == [i.name for i in model.proto.graph.input]
    assert [o["name"] for o in model.contract["outputs"]] == [o.name for o in model.proto.graph.output]
    assert {"lambda", "support", "residual"} <= {o["name"] for o in model.contract["outputs"]}


@every_model
@pytest.mark.usefixtures("mollifier")
def test_file_is_what_its_spec_bakes(model: ModelFile, tmp_path: Path) -> None:
    spec = model.path.with_suffix(".toml")
    trunk = model.path.with_suffix(".trunk.onnx")
    again = tmp_path / model.path.name
    command.bake(spec, again, trunk=trunk if trunk.exists() else None)
    assert again.read_bytes() == model.path.read_bytes(), f"{model.path.name} is stale: models/bake"


@every_model
@pytest.mark.usefixtures("mollifier")
def test_card_was_measured_on_this_graph(model: ModelFile) -> None:
    """Of every test set of the model, and of that which is baked for the shape of the set's pixels."""
    card = model.path.with_suffix(".md").read_text(encoding="utf-8")
    assert card.count(BEGIN) == card.count(END) == 1
    expected = {}
    for name, problem in PROBLEMS.items():
        if problem.model == model.path.stem:
            with for_pixels(problem, model.path) as used:
                expected[name] = graph_hash(used)
    assert measured_graphs(card) == expected, f"renew the card: python -m mollifier_train cards {model.path.stem}"


def test_every_shipped_closed_form_has_spec_and_card() -> None:
    if not MODELS:
        pytest.skip("models/ holds no .onnx yet")
    for stem in {p.model for p in PROBLEMS.values()}:
        for suffix in (".toml", ".onnx", ".md"):
            assert (command.MODELS / f"{stem}{suffix}").is_file()


def test_cards_name_no_private_place() -> None:
    for card in command.MODELS.glob("*.md"):
        assert not re.search(r"/(work|tmp|home)/", card.read_text(encoding="utf-8")), card.name
