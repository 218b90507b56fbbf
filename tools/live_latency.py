"""Measure how long after a frame was written its map is drawn on the live page, in Chromium.

A made-up camera writes a TIFF file for each frame into a folder, 10 a second; the command follows the folder; a page
notes when it has drawn which frame. Needs `playwright` (requirements.txt) and a Chromium.

    python tools/live_latency.py --size 512 models/heat-transient-closed-form.onnx models/heat-transient.onnx
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
BROWSER = os.environ.get("MOLLIFIER_BROWSER") or shutil.which("chromium")
# Different pictures; then they come again.
PICTURES = 50
WARM_UP = 10


def picture(index: int, shape: tuple[int, int]) -> NDArray[np.uint16]:
    """A frame of the made-up camera, axes (y, x)."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    wave = np.exp(-0.01 * index) * (np.sin(x / 9) * np.cos(y / 11) + np.sin((x + y) / 17))
    return (30000 + 9000 * wave).astype(np.uint16)


class Camera(threading.Thread):
    """Writes a file for each frame into a new folder, 10 a second, until it is told to stop."""

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.images = [Image.fromarray(picture(i, shape)) for i in range(PICTURES)]
        self.stop = threading.Event()
        self.written: dict[int, float] = {}

    def run(self) -> None:
        """Write."""
        self.folder.mkdir()
        start = time.time()
        index = 0
        while not self.stop.wait(max(0.0, start + 0.1 * index - time.time())):
            self.images[index % PICTURES].save(self.folder / f"{index:06}.tif")
            self.written[index] = time.time()
            index += 1

    def delays(self, shown: list[dict[str, float]]) -> list[float]:
        """Milliseconds from a map's newest frame written to the map first drawn, in the order of the maps."""
        first: dict[int, float] = {}
        for drawn in shown:
            first.setdefault(int(drawn["frame"]), drawn["at"])
        # The newest frame of a window of five is two behind the one that its map belongs to.
        return [first[frame] - 1e3 * self.written[frame + 2] for frame in sorted(first)]


@contextmanager
def following(command: str, model: Path, folder: Path, out: Path, *more: str) -> Iterator[tuple[str, Any]]:
    """A run that follows `folder`: the address of its page, and its process."""
    line = [command, "run", str(model), str(folder), "--with", "m=0", "--spacing", "t=0.1s,y=2um,x=2um"]
    line += ["--unit", "u=K", "--follow", "--out", str(out), "--view", "127.0.0.1:0", *more]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        told = (text for text in process.stderr if "the page is at " in text)
        yield next(told).split()[-1], process
    finally:
        process.kill()
        process.communicate()


def measure(command: str, browser: str, model: Path, size: int, seconds: float) -> str:
    """A row of the table for one model."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as p:
        camera = Camera(Path(scratch) / "frames", (size, size))
        camera.start()
        with following(command, model, camera.folder, Path(scratch) / "out") as (address, _):
            chromium = p.chromium.launch(executable_path=browser, args=ARGUMENTS)
            page = chromium.new_page(viewport={"width": 1400, "height": 1000})
            page.goto(address)
            page.locator("body[data-frame]").wait_for()
            time.sleep(seconds)
            shown = page.evaluate("() => window.mollifier.shown")
            history = page.evaluate("() => window.mollifier.page.history")
            chromium.close()
            camera.stop.set()
    delays = sorted(camera.delays(shown)[WARM_UP:])
    frames = sorted({drawn["frame"] for drawn in shown})[WARM_UP:]
    compute = statistics.median(status["compute_ms"] for status in history[WARM_UP:])
    numbers = [statistics.median(delays), delays[int(0.95 * len(delays))], delays[-1], compute, 2 * compute + 100]
    cells = [model.stem, f"{size}x{size}", f"{len(frames)} of {frames[-1] - frames[0] + 1}"]
    return "| " + " | ".join(cells + [f"{n:.0f}" for n in numbers]) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path, help="models of five frames (transient heat)")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=15.0)
    arguments = parser.parse_args()
    if BROWSER is None:
        parser.error("no chromium: MOLLIFIER_BROWSER names one")
    command = os.environ.get("MOLLIFIER", str(ROOT / "target" / "release" / "mollifier"))
    print("| model | size | frames drawn | median, ms | 95 %, ms | longest, ms | computing, ms | 2 frames + 100 ms |")
    print("|---|---|---|---|---|---|---|---|")
    for model in arguments.models:
        print(measure(command, BROWSER, model, arguments.size, arguments.seconds), flush=True)


if __name__ == "__main__":
    main()
