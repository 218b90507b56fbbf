"""The study: cells as processes, resuming, failures that are kept, and the report."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from mollifier_train.paper import memory, reproduce, study
from mollifier_train.paper.cell import Cell, run

pytestmark = pytest.mark.usefixtures("mollifier")


def test_cells_of_a_study_have_names_of_their_own() -> None:
    cells = study.cells({})
    assert len(cells) == len(study.TRIALS) * 2 * 3
    done = {cell.name: asdict(cell) | {"cell": cell.name, "history": [{"net": 0.5}]} for cell in cells}
    everything = study.cells(done)
    assert len({cell.name for cell in everything}) == len(everything) > 100
    for problem in study.RADIUS:
        for architecture in ("mlp", "piratenet", "pinnsformer"):
            for method in (study.MOLLIFIED[problem], "nested-sampled"):
                same = [
                    c.field_seed
                    for c in everything
                    if (c.part, c.problem, c.architecture, c.method) == ("table", problem, architecture, method)
                ]
                assert sorted(same) == [0, 1, 2]


def test_the_best_trial_is_taken_for_each_kind() -> None:
    results = {}
    for i, cell in enumerate(study.tuning()):
        results[cell.name] = json.loads(json.dumps(asdict(cell))) | {"history": [{"net": i / 100}]}
    assert study.tuned(results, "heat", "mollified") == {"weight": study.TRIALS[-1][0], "rate": study.TRIALS[-1][1]}
    first = next(c for c in study.tuning() if c.problem == "heat" and c.method == "nested-sampled")
    results[first.name]["history"] = [{"net": 0.99}]
    assert study.tuned(results, "heat", "taylor") == {"weight": study.TRIALS[0][0], "rate": study.TRIALS[0][1]}


def test_every_quick_cell_has_what_the_report_needs() -> None:
    """In this process, without those whose compilation takes long."""
    for cell in study.quick()[:2]:
        row = json.loads(json.dumps(run(cell)))
        assert row["steps"] == 8
        assert row["buffer_bytes"] > 0
        assert row["history"][-1]["step"] == 8
        for key in ("net", "net_l2", "direct", "derivative", "seconds"):
            assert np.isfinite(row["history"][-1][key])


@pytest.mark.parametrize("method", ["mollified", "taylor", "nested"])
def test_cost_of_an_order(method: str) -> None:
    settings = {"steps": 2, "options": {"width": 4, "depth": 1}}
    row = run(Cell("order", "order-2", method, settings=settings))
    assert row["steps"] == 2
    assert row["buffer_bytes"] > 0


def test_study_resumes_keeps_failures_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = study.quick()[0]
    bad = replace(good, architecture="abacus")
    monkeypatch.setattr(study, "quick", lambda: [good, bad])
    paths = {
        "results_path": tmp_path / "r.jsonl",
        "report_path": tmp_path / "R.md",
        "images": tmp_path / "images",
        "quick": True,
        "quiet": True,
    }
    assert reproduce.reproduce(**paths, workers=2) == 1
    rows = study.read(paths["results_path"])
    assert rows[good.name]["history"][-1]["step"] == 8
    assert "abacus" in rows[bad.name]["error"]
    # Cut short while a line was written: that cell is run again, no other is.
    whole = paths["results_path"].read_text(encoding="utf-8").splitlines()
    kept = [line for line in whole if json.loads(line)["cell"] == good.name]
    paths["results_path"].write_text(kept[0] + "\n" + '{"cell": "half', encoding="utf-8")
    assert [c.name for c in study.pending([good, bad], study.read(paths["results_path"]))] == [bad.name]
    monkeypatch.setattr(study, "quick", lambda: [good])
    assert reproduce.reproduce(**paths) == 0
    assert study.pending([replace(good, cap=1.0)], study.read(paths["results_path"]))
    text = paths["report_path"].read_text(encoding="utf-8")
    assert "| langevin | mlp | mollified |" in text
    assert "Every cell has a result." in text
    for ending in ("png", "svg"):
        assert (tmp_path / "images" / f"reproduction-accuracy.{ending}").stat().st_size > 5000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak can be reset on Linux only")
def test_peak_memory_is_that_of_the_stretch() -> None:
    before = np.ones(30_000_000 // 8)
    del before
    start = memory.start()
    held = np.ones(50_000_000 // 8)
    peak = memory.peak()
    del held
    assert start is not None
    assert peak is not None
    assert 45e6 < peak - start < 60e6
    # Of the whole life it is not lower for the reset.
    life = memory.whole_life()
    memory.start()
    assert memory.whole_life() >= life > 45e6
