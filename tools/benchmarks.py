"""Measure every shipped model on every backend that is present, side by side, and write BENCHMARKS.md.

`python tools/benchmarks.py [--rounds 3] [--sizes 512x512 2048x2048] [--models heat] [--ort-library FILE]`, from the
repository with `target/release/mollifier` built. A round runs all backends of a model one after the other, so that a
machine that slows down slows all of them; a cell is the median over the rounds of each run's median. Banks are held
against scipy and, where it is installed (`pip install opencv-python-headless`), OpenCV too.
"""

from __future__ import annotations

import argparse
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
import onnxruntime
from onnx import helper, numpy_helper
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
COMMAND = ROOT / "target" / "release" / "mollifier"
BACKENDS = ("tract", "tract-plain", "ort")


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


def taps(order: int) -> np.ndarray:
    """The 33 taps of one derivative order."""
    arguments = [COMMAND, "kernel", "--family", "poly8", "--radius", "16", "--order", str(order), "--json"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return np.asarray(json.loads(done.stdout)["taps"], dtype=np.float32)


# The five fields of one image, u, u_x, u_y, Laplacian and bi-Laplacian: orders along y, then those along x from each.
PASSES = {0: [0, 1, 2, 4], 1: [0], 2: [0, 2], 4: [0]}


def five_fields(size: int) -> onnx.ModelProto:
    """The five fields as an engine takes them: 4 vertical and 8 horizontal passes and 3 sums."""
    kernels = {order: taps(order) for order in PASSES}
    first = np.stack([kernels[order] for order in PASSES]).reshape(4, 1, 33, 1)
    constants = [numpy_helper.from_array(first, "vertical")]
    nodes = [
        helper.make_node("Conv", ["u", "vertical"], ["v"], pads=[16, 0, 16, 0]),
        helper.make_node("Split", ["v"], [f"v{order}" for order in PASSES], axis=1),
    ]
    for order, along_x in PASSES.items():
        second = np.stack([kernels[o] for o in along_x]).reshape(-1, 1, 1, 33)
        constants.append(numpy_helper.from_array(second, f"horizontal{order}"))
        nodes.append(helper.make_node("Conv", [f"v{order}", f"horizontal{order}"], [f"h{order}"], pads=[0, 16, 0, 16]))
        names = [f"d{order}{o}" for o in along_x]
        split = helper.make_node("Split", [f"h{order}"], names, axis=1)
        nodes.append(split if len(names) > 1 else helper.make_node("Identity", [f"h{order}"], names))
    nodes += [
        helper.make_node("Add", ["d20", "d02"], ["laplacian"]),
        helper.make_node("Add", ["d22", "d22"], ["twice"]),
        helper.make_node("Add", ["d40", "d04"], ["pure"]),
        helper.make_node("Add", ["pure", "twice"], ["bilaplacian"]),
    ]
    shape = [1, 1, size, size]
    fields = ["d00", "d01", "d10", "laplacian", "bilaplacian"]
    outputs = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in fields]
    inputs = [helper.make_tensor_value_info("u", onnx.TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "bank", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def elsewhere(model: onnx.ModelProto, size: int) -> dict[str, Callable[[], object]]:
    """The five fields by other libraries, one thread each."""
    kernels = {order: taps(order) for order in PASSES}
    image = np.random.default_rng(0).random((size, size), dtype=np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    tensor = image[None, None]
    libraries: dict[str, Callable[[], object]] = {"onnxruntime": lambda: session.run(None, {"u": tensor})}

    def combined(vertical: Callable[[int], object], horizontal: Callable[[object, int], object]) -> list[object]:
        d = {(y, x): horizontal(v, x) for y, along_x in PASSES.items() for v in [vertical(y)] for x in along_x}
        return [d[0, 0], d[0, 1], d[1, 0], d[2, 0] + d[0, 2], d[4, 0] + 2 * d[2, 2] + d[0, 4]]

    def correlate(values: object, order: int, axis: int) -> object:
        return ndimage.correlate1d(values, kernels[order], axis=axis, mode="constant")

    libraries["scipy"] = lambda: combined(lambda y: correlate(image, y, 0), lambda v, x: correlate(v, x, 1))
    try:
        import cv2
    except ImportError:
        return libraries
    cv2.setNumThreads(1)
    libraries["OpenCV filter2D"] = lambda: combined(
        lambda y: cv2.filter2D(image, -1, kernels[y].reshape(-1, 1)),
        lambda v, x: cv2.filter2D(v, -1, kernels[x].reshape(1, -1)),
    )
    libraries["OpenCV sepFilter2D"] = lambda: [
        cv2.sepFilter2D(image, -1, kernels[x], kernels[y]) for y, along_x in PASSES.items() for x in along_x
    ]
    return libraries


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
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "bank.onnx"
            onnx.save(five_fields(size), file)
            libraries = elsewhere(onnx.load(file), size)
            runs: dict[str, list[float]] = {}
            for _ in range(rounds):
                done = subprocess.run([program, str(size), "--onnx", file], capture_output=True, text=True, check=True)
                report = json.loads(done.stdout)
                peaks.append(report["multiply_adds_per_second"] / 1e9)
                copies.append(report["copied_bytes_per_second"] / 1e9)
                (row,) = report["rows"]
                for name, value in row.items():
                    runs.setdefault(name, []).append(value)
                for name, run in libraries.items():
                    runs.setdefault(name, []).append(milliseconds(run))
        middle = {name: statistics.median(values) for name, values in runs.items()}
        others = {"tract": middle["tract_ms"]} | {name: middle[name] for name in libraries}
        best = min(others, key=others.__getitem__)
        five, heat = middle["five_fields_ms"], middle["heat_banks_ms"]
        rows.append(
            f"| {size}x{size} | {five:.1f} | {five / middle['five_fields_bound_ms']:.1f} | "
            + ", ".join(f"{name} {value:.1f}" for name, value in others.items())
            + f" | {others[best] / five:.1f} ({best}) | {heat:.1f} | {heat / middle['heat_banks_bound_ms']:.1f} |"
        )
        print(rows[-1], flush=True)
    return [
        "## Banks alone",
        "",
        "u, u_x, u_y, the Laplacian and the bi-Laplacian of one image by kernels of 33 taps (396 multiply-adds a pixel "
        "in 12 separable passes), and the second derivatives of the heat model at its four radii (496). The bound is "
        "what the multiply-adds alone would take at the rate measured in the same runs: "
        f"{statistics.median(peaks):.0f} thousand million a second; copying went at {statistics.median(copies):.0f} "
        "GB a second. Ours has one-sided borders, the others zeros.",
        "",
        "| size | five fields, ms | / bound | others, ms | fastest other / ours | heat's radii, ms | / bound |",
        "|---|---|---|---|---|---|---|",
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
