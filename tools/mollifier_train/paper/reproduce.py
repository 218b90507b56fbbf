"""`python -m mollifier_train reproduce`: runs the study's cells, each in its own process, and writes the report."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from .. import command
from . import study
from .cell import Cell

RESULTS = command.ROOT / "docs" / "reproduction.jsonl"
REPORT = command.ROOT / "REPRODUCTION.md"
IMAGES = command.ROOT / "docs" / "images"
LIMIT = 900
"""Seconds after which a cell's process is ended: compilation and start included."""


def run_cell(cell: Cell) -> dict[str, Any]:
    """Run a cell in a process of its own, on one thread; a failure is a result too."""
    # Single-threaded, so that cells can be compared on a machine that does other things.
    environment = os.environ | {
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
        "JAX_PLATFORMS": "cpu",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(command.ROOT / "tools"),
    }
    asked = json.dumps(dataclasses.asdict(cell))
    failed = {"cell": cell.name, **json.loads(asked), "history": []}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "mollifier_train.paper.cell"],
            input=asked,
            capture_output=True,
            text=True,
            env=environment,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return failed | {"error": f"no result after {LIMIT} s"}
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return failed | {"error": last[0]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def one_line(row: dict[str, Any]) -> str:
    """What a cell came to."""
    if "error" in row:
        return f"failed: {row['error']}"
    if "process_seconds" in row:
        return f"correlation {row['correlation']:.3f}, {row['process_seconds']:.2f} s of a processor"
    history = row["history"]
    score = f"correlation {history[-1].get('net', history[-1].get('direct', 0)):.3f}, " if history else ""
    cap = ", capped" if row["capped"] else ""
    memory = row["buffer_bytes"] / 1e6
    return f"{score}{row['steps']} steps of {row['step_ms']:.1f} ms, {memory:.0f} MB a step{cap}"


def reproduce(
    *,
    results_path: Path = RESULTS,
    report_path: Path = REPORT,
    images: Path = IMAGES,
    quick: bool = False,
    hours: float = 12.0,
    workers: int = 1,
    parts: Sequence[str] | None = None,
    report_only: bool = False,
    quiet: bool = False,
) -> int:
    """Run what has no result yet, then write the report.

    Args:
        results_path: one JSON line a cell; lines are added as cells are done.
        report_path: the Markdown file.
        images: folder of its plots.
        quick: the few short cells of `study.quick` instead.
        hours: after which no further cell is begun.
        workers: cells that run side by side.
        parts: of the study; all unless given.
        report_only: run nothing.
        quiet: print no progress.

    Returns:
        the number of cells that failed in this call.
    """
    from . import report  # matplotlib takes a second to load

    started, failures = time.monotonic(), 0
    results_path.parent.mkdir(parents=True, exist_ok=True)
    tried: set[str] = set()
    with ThreadPoolExecutor(workers) as pool:
        running: dict[Future[dict[str, Any]], Cell] = {}
        while not report_only:
            results = study.read(results_path)
            asked = study.quick() if quick else study.cells(results)
            asked = [cell for cell in asked if parts is None or cell.part in parts]
            waiting = [cell for cell in study.pending(asked, results) if cell.name not in tried]
            if time.monotonic() - started > 3600 * hours:
                if not running:
                    print(f"{len(waiting)} cells left after {hours:g} h: the same command goes on", file=sys.stderr)
                waiting = []
            for cell in waiting[: workers - len(running)]:
                tried.add(cell.name)
                running[pool.submit(run_cell, cell)] = cell
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                cell, row = running.pop(future), future.result() | {"ran": report.here()}
                failures += "error" in row
                with results_path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                if not quiet:
                    spent = f"[{time.monotonic() - started:5.0f} s, {len(waiting)} left]"
                    print(f"{spent} {cell.name}: {one_line(row)}", file=sys.stderr, flush=True)
    results = study.read(results_path)
    asked = study.quick() if quick else study.cells(results)
    report.write(report_path, images, results, asked, results_path=results_path)
    return failures
