"""Measure every shipped model on every backend that is present, side by side, and write BENCHMARKS.md.

`python tools/benchmarks.py [--rounds 3] [--sizes 512x512 2048x2048] [--models heat] [--ort-library FILE]`, from the
repository with `target/release/mollifier` built. A round runs all backends of a model one after the other, so that a
machine that slows down slows all of them; a cell is the median over the rounds of each run's median. Banks are held
against scipy and, where it is installed (`pip install opencv-python-headless`), OpenCV too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from other_banks import as_model, elsewhere, five_fields, heat_radii

ROOT = Path(__file__).resolve().parents[1]
COMMAND = ROOT / "target" / "release" / "mollifier"
BACKENDS = ("tract", "tract-plain", "ort")
BANKS = {"five-fields": ("five fields", five_fields), "heat-radii": ("heat's radii", heat_radii)}


def library() -> Path | None:
    """ONNX Runtime's library in the repository's virtual environment."""
    found = sorted(ROOT.glob(".venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.1.*"))
    return found[0] if found else None


def measure(model: Path, backend: str, size: str, ort: Path | None, threads: int = 1) -> tuple[float, int]:
    """Median milliseconds of a frame, and the process's peak memory in bytes."""
    arguments = [COMMAND, "bench", model, "--backend", backend, "--size", size, "--threads", str(threads), "--json"]
    if backend == "ort":
        arguments += ["--ort-library", ort]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    (row,) = json.loads(done.stdout)
    return row["median_ms"], row["peak_rss_bytes"]


def processor() -> str:
    """The processor's name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def multiply_adds(model: onnx.ModelProto, size: list[int]) -> float:
    """Those of a frame's convolutions, of (y, x) or (sample,), as the graph has them.

    Those of masks alone do not count: where nothing is missing they need not be computed.
    """
    lengths = iter(size)
    known: dict[str, int] = {}
    for given in model.graph.input:
        for length in given.type.tensor_type.shape.dim:
            if name := length.dim_param:
                if name not in known:
                    known[name] = next(lengths)
                length.ClearField("dim_param")
                length.dim_value = known[name]
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    tensors = [*graph.input, *graph.output, *graph.value_info]
    shapes = {t.name: [d.dim_value for d in t.type.tensor_type.shape.dim] for t in tensors}
    shapes |= {t.name: list(t.dims) for t in graph.initializer}
    # What each tensor is computed from.
    sources = {given.name: {given.name} for given in graph.input}
    total = 0.0
    for node in graph.node:
        of = set().union(*(sources.get(name, set()) for name in node.input))
        sources |= dict.fromkeys(node.output, of)
        if node.op_type == "Conv" and of - {"valid"}:
            total += float(np.prod(shapes[node.output[0]]) * np.prod(shapes[node.input[1]][1:]))
    return total


def bank_benchmark() -> Path:
    """The program of `benches/bank.rs`, built."""
    built = subprocess.run(
        ["cargo", "bench", "--bench", "bank", "--no-run", "--message-format", "json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return Path(next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "bank"))


def fastest(program: Path) -> float:
    """Multiply-adds a second that one core does at most."""
    report = json.loads(subprocess.run([program], capture_output=True, text=True, check=True).stdout)
    return report["multiply_adds_per_second"]


def table(files: list[Path], sizes: list[str], rounds: int, ort: Path | None, program: Path) -> list[str]:
    """The rows of the table, in Markdown."""
    backends = [b for b in BACKENDS if b != "ort" or ort]
    rows = [
        "| model | size | "
        + " | ".join(f"{b}, ms" for b in backends)
        + " | ort / tract | plain / tract | tract / bound | two threads, ms | gain | peak MiB |",
        "|---" * (len(backends) + 8) + "|",
    ]
    for model in files:
        series = "langevin" in model.stem
        for size in ["16384"] if series else sizes:
            runs: dict[str, list[tuple[float, int]]] = {b: [] for b in backends}
            two: list[float] = []
            peaks: list[float] = []
            for _ in range(rounds):
                peaks.append(fastest(program))
                for backend in backends:
                    runs[backend].append(measure(model, backend, size, ort))
                # A series is a filter on one thread.
                if not series:
                    two.append(measure(model, "tract", size, ort, threads=2)[0])
            middle = {b: statistics.median(t for t, _ in r) for b, r in runs.items()}
            peak = {b: max(p for _, p in r) / 2**20 for b, r in runs.items()}
            pair = f"{statistics.median(two):.1f}" if two else "-"
            gain = f"{middle['tract'] / statistics.median(two):.2f}" if two else "-"
            count = multiply_adds(onnx.load(model), [int(n) for n in size.split("x")])
            bound = 1e3 * count / statistics.median(peaks)
            ratio = {b: f"{middle[b] / middle['tract']:.1f}" for b in backends}
            rows.append(
                f"| {model.stem} | {size} | "
                + " | ".join(f"{middle[b]:.1f}" for b in backends)
                + f" | {ratio.get('ort', '-')} | {ratio['tract-plain']} | {middle['tract'] / bound:.1f}"
                + f" | {pair} | {gain} | "
                + ", ".join(f"{peak[b]:.0f}" for b in backends)
                + " |"
            )
            print(rows[-1], flush=True)
    return rows


def taps(radius: int, order: int) -> np.ndarray:
    """Those of one derivative order."""
    arguments = [COMMAND, "kernel", "--family", "poly8", "--radius", str(radius), "--order", str(order), "--json"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return np.asarray(json.loads(done.stdout)["taps"], dtype=np.float32)


def milliseconds(run: Callable[[], object], runs: int = 15) -> float:
    """Median of several runs after two that do not count."""
    times = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def banks(sizes: list[int], rounds: int, program: Path) -> list[str]:
    """The section on banks alone."""
    rows, peaks, copies = [], [], []
    for size, (case, (title, made_of)) in itertools.product(sizes, BANKS.items()):
        bank = made_of(taps)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "bank.onnx"
            onnx.save(as_model(bank, size), file)
            libraries = elsewhere(bank, size)
            runs: dict[str, list[float]] = {}
            for _ in range(rounds):
                arguments = [program, case, str(size), "--onnx", file]
                report = json.loads(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout)
                peaks.append(report["multiply_adds_per_second"] / 1e9)
                copies.append(report["copied_bytes_per_second"] / 1e9)
                (row,) = report["rows"]
                for name in ("ours_ms", "bound_ms", "tract_ms"):
                    runs.setdefault(name, []).append(row[name])
                for name, run in libraries.items():
                    runs.setdefault(name, []).append(milliseconds(run))
        middle = {name: statistics.median(values) for name, values in runs.items()}
        others = {"tract": middle["tract_ms"]} | {name: middle[name] for name in libraries}
        best = min(others, key=others.__getitem__)
        ours = middle["ours_ms"]
        rows.append(
            f"| {title} | {size}x{size} | {ours:.1f} | {ours / middle['bound_ms']:.1f} | "
            + ", ".join(f"{name} {value:.1f}" for name, value in others.items())
            + f" | {others[best] / ours:.1f} ({best}) |"
        )
        print(rows[-1], flush=True)
    return [
        "## Banks alone",
        "",
        "Five fields: u, u_x, u_y, the Laplacian and the bi-Laplacian of one image by kernels of 33 taps (396 "
        "multiply-adds a pixel in 12 separable passes); heat's radii: the second derivatives of the heat model at its "
        "four radii (496 in 16). The bound is "
        "what the multiply-adds alone would take at the rate measured in the same runs: "
        f"{statistics.median(peaks):.0f} thousand million a second; copying went at {statistics.median(copies):.0f} "
        "GB a second. Ours has one-sided borders, the others zeros.",
        "",
        "| bank | size | ours, ms | / bound | others, ms | fastest other / ours |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ]


BY_HAND = "## Measured by hand"
"""Heading of the part of the page that is not written here."""


def by_hand(page: Path) -> str:
    """That part as it stands; it says itself of which day and commit it is."""
    old = page.read_text() if page.exists() else ""
    return "\n" + old[old.index(BY_HAND) :] if BY_HAND in old else ""


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", default=["512x512"])
    parser.add_argument("--models", nargs="+", metavar="NAME", help="stems [default: every models/*.onnx]")
    parser.add_argument("--ort-library", type=Path, default=library())
    parser.add_argument("--out", type=Path, default=ROOT / "BENCHMARKS.md")
    arguments = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    doctor = subprocess.run([COMMAND, "doctor"], capture_output=True, text=True, check=True).stdout.splitlines()
    simd = next((line.split(maxsplit=1)[1] for line in doctor if line.startswith("SIMD")), "unknown")
    files = sorted(f for f in (ROOT / "models").glob("*.onnx") if not f.name.endswith(".trunk.onnx"))
    files = [f for f in files if not arguments.models or f.stem in arguments.models]
    program = bank_benchmark()
    page = [
        "# Benchmarks",
        "",
        "Milliseconds a frame (a block for series) through the whole stream, one thread unless it says two, simulated "
        "input, median of "
        f"{arguments.rounds} interleaved runs. `tract` is the default backend that computes maps row by row, "
        "`tract-plain` the engine beneath it as it comes, `ort` ONNX Runtime on the CPU with one thread. "
        "The bound is what the multiply-adds of the graph's convolutions alone would take at the rate measured "
        "with the banks below. Peak memory is that of the process, in the order of the columns.",
        "",
        f"- machine: {processor()}, {simd}; shared with other work, so that the ratios say more than the times",
        f"- commit {commit.stdout.strip()}, tract 0.23.9"
        + (f", {arguments.ort_library.name}" if arguments.ort_library else "")
        + f"; `python tools/benchmarks.py --rounds {arguments.rounds} --sizes {' '.join(arguments.sizes)}`",
        "",
        *table(files, arguments.sizes, arguments.rounds, arguments.ort_library, program),
        "",
        *banks([512, 2048], arguments.rounds, program),
    ]
    arguments.out.write_text("\n".join(page) + by_hand(arguments.out))


if __name__ == "__main__":
    main()
