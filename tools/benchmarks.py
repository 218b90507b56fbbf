"""Measure every shipped model on every backend that is present, side by side, and write BENCHMARKS.md.

`python tools/benchmarks.py [--rounds 3] [--sizes 512x512 2048x2048] [--ort-library FILE]`, from the repository with
`target/release/mollifier` built. A round runs all backends of a model one after the other, so that a machine that
slows down slows all of them; a cell is the median over the rounds of each run's median.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMAND = ROOT / "target" / "release" / "mollifier"
BACKENDS = ("tract", "tract-plain", "ort")


def library() -> Path | None:
    """ONNX Runtime's library in the repository's virtual environment."""
    found = sorted(ROOT.glob(".venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.1.*"))
    return found[0] if found else None


def measure(model: Path, backend: str, size: str, ort: Path | None) -> tuple[float, int]:
    """Median milliseconds of a frame, and the process's peak memory in bytes."""
    arguments = [COMMAND, "bench", model, "--backend", backend, "--size", size, "--json"]
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


def table(sizes: list[str], rounds: int, ort: Path | None) -> list[str]:
    """The rows of the table, in Markdown."""
    backends = [b for b in BACKENDS if b != "ort" or ort]
    rows = [
        "| model | size | " + " | ".join(f"{b}, ms" for b in backends) + " | ort / tract | plain / tract | peak MiB |",
        "|---" * (len(backends) + 5) + "|",
    ]
    files = (ROOT / "models").glob("*.onnx")
    for model in sorted(f for f in files if not f.name.endswith(".trunk.onnx")):
        series = "langevin" in model.stem
        for size in ["16384"] if series else sizes:
            runs: dict[str, list[tuple[float, int]]] = {b: [] for b in backends}
            for _ in range(rounds):
                for backend in backends:
                    runs[backend].append(measure(model, backend, size, ort))
            middle = {b: statistics.median(t for t, _ in r) for b, r in runs.items()}
            peak = {b: max(p for _, p in r) / 2**20 for b, r in runs.items()}
            ratio = {b: f"{middle[b] / middle['tract']:.1f}" for b in backends}
            rows.append(
                f"| {model.stem} | {size} | "
                + " | ".join(f"{middle[b]:.1f}" for b in backends)
                + f" | {ratio.get('ort', '-')} | {ratio['tract-plain']} | "
                + ", ".join(f"{peak[b]:.0f}" for b in backends)
                + " |"
            )
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", default=["512x512"])
    parser.add_argument("--ort-library", type=Path, default=library())
    parser.add_argument("--out", type=Path, default=ROOT / "BENCHMARKS.md")
    arguments = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    doctor = subprocess.run([COMMAND, "doctor"], capture_output=True, text=True, check=True).stdout.splitlines()
    simd = next((line.split(maxsplit=1)[1] for line in doctor if line.startswith("SIMD")), "unknown")
    page = [
        "# Benchmarks",
        "",
        "Milliseconds a frame (a block for series) through the whole stream, one thread, simulated input, median of "
        f"{arguments.rounds} interleaved runs. `tract` is the default backend that computes maps row by row, "
        "`tract-plain` the engine beneath it as it comes, `ort` ONNX Runtime on the CPU with one thread. "
        "Peak memory is that of the process, in the order of the columns.",
        "",
        f"- machine: {processor()}, {simd}; shared with other work, so that the ratios say more than the times",
        f"- commit {commit.stdout.strip()}, tract 0.23.9"
        + (f", {arguments.ort_library.name}" if arguments.ort_library else "")
        + f"; `python tools/benchmarks.py --rounds {arguments.rounds} --sizes {' '.join(arguments.sizes)}`",
        "",
        *table(arguments.sizes, arguments.rounds, arguments.ort_library),
        "",
    ]
    arguments.out.write_text("\n".join(page))


if __name__ == "__main__":
    main()
