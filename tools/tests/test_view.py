"""The live page in a browser, beside a run that follows a recording as it is written."""

from __future__ import annotations

import json
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from mollifier_train.command import find

playwright = pytest.importorskip("playwright.sync_api")
live_latency = pytest.importorskip("live_latency")

ARGUMENTS, BROWSER = live_latency.ARGUMENTS, live_latency.BROWSER
ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "heat-transient-closed-form.onnx"
SHAPE = (96, 120)

pytestmark = [
    pytest.mark.usefixtures("mollifier"),
    pytest.mark.skipif(BROWSER is None, reason="no chromium (MOLLIFIER_BROWSER names one)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield browser
        browser.close()


def until(look: Callable[[], bool], what: str) -> None:
    deadline = time.time() + 60
    while not look():
        assert time.time() < deadline, what
        time.sleep(0.05)


def test_a_person_watches_a_run(browser: Any, tmp_path: Path) -> None:  # noqa: ANN401
    camera = live_latency.Camera(tmp_path / "frames", SHAPE)
    camera.start()
    with live_latency.following(str(find()), MODEL, camera.folder, tmp_path / "out") as (address, process):
        # As it is served: with its rules on what may be loaded from where.
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        faults: list[str] = []
        asked: list[str] = []
        page.on("pageerror", lambda e: faults.append(str(e)))
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        page.on("request", lambda r: asked.append(r.url))
        page.goto(address)
        number = lambda name: float(page.locator(f'#numbers dd[data-name="{name}"]').inner_text().split()[0])  # noqa: E731
        page.locator("body[data-frame]").wait_for()
        until(lambda: number("maps") > 3, "maps come")
        assert page.locator("#state").inner_text() == "running"
        names = page.locator("main figure").evaluate_all("all => all.map(f => f.dataset.name)")
        assert names == ["input", "lambda", "residual", "support"]
        assert "diffusivity (µm²/s)" in page.locator("figure[data-name=lambda] figcaption").inner_text()
        assert "residual (K/s)" in page.locator("figure[data-name=residual] figcaption").inner_text()

        # Click a pixel, draw a region: their means are those of the files.
        box = page.locator("figure[data-name=lambda] .values").bounding_box()
        assert box["height"] / box["width"] == pytest.approx(SHAPE[0] / SHAPE[1], rel=0.02)
        at = lambda y, x: (box["x"] + x / SHAPE[1] * box["width"], box["y"] + y / SHAPE[0] * box["height"])  # noqa: E731
        page.mouse.click(*at(40.5, 30.5))
        page.keyboard.down("Shift")
        page.mouse.move(*at(50.2, 60.2))
        page.mouse.down()
        page.mouse.move(*at(69.8, 79.8), steps=4)
        page.mouse.up()
        page.keyboard.up("Shift")
        series = lambda: page.request.get(f"{address}series").json()  # noqa: E731
        until(lambda: len(series()) == 2 and len(series()[1]["numbers"]) > 3, "means come")
        told = series()
        assert told[0]["area"] == {"y0": 40, "x0": 30, "y1": 41, "x1": 31}
        assert told[1]["area"] == {"y0": 50, "x0": 60, "y1": 70, "x1": 80}

        # The value under the pointer, zoom and pan of all maps together, and back.
        page.mouse.move(*at(40.5, 30.5))
        until(lambda: "µm²/s" in page.locator("figure[data-name=lambda] output").inner_text(), "the value is told")
        view = lambda: page.evaluate("() => window.mollifier.page.view")  # noqa: E731
        page.mouse.wheel(0, -100)
        until(lambda: view()["y1"] - view()["y0"] < 90, "it zooms in")
        assert view()["y0"] < 40.5 < view()["y1"]
        page.keyboard.press("0")
        until(lambda: view() == {"y0": 0, "x0": 0, "y1": 96, "x1": 120}, "the whole map is back")

        # A pause of the view is none of the run.
        page.keyboard.press("p")
        assert "the run goes on" in page.locator("#state").inner_text()
        time.sleep(0.3)
        frame = page.evaluate("() => window.mollifier.shown.at(-1).frame")
        before = number("maps")
        until(lambda: number("maps") > before + 5, "the run goes on")
        assert page.evaluate("() => window.mollifier.shown.at(-1).frame") == frame
        page.keyboard.press("p")
        until(lambda: page.evaluate("() => window.mollifier.shown.at(-1).frame") > frame, "it goes on")

        with page.expect_download() as download:
            page.keyboard.press("s")
        image = Image.open(download.value.path())
        assert image.width > 800
        assert len(image.convert("RGB").getcolors(1 << 24)) > 100
        page.keyboard.press("c")
        until(lambda: series() == [], "the marks are gone")

        # Another person, in the dark, with a slow machine: nothing changes for the run.
        other = browser.new_page(color_scheme="dark")
        other.goto(address)
        other.locator("body[data-frame]").wait_for()
        back = other.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert back == "rgb(19, 20, 22)"
        other.close()

        shown = page.evaluate("() => window.mollifier.shown")
        camera.stop.set()
        process.send_signal(signal.SIGINT)
        until(lambda: page.locator("#state").get_attribute("data-state") in ("ended", "gone"), "the end is told")
        process.wait(timeout=30)
        page.close()
        assert faults == [] or all("ERR_" in fault for fault in faults), faults
        assert all(url.startswith((address, "blob:")) for url in asked), asked

    run = json.loads((tmp_path / "out" / "run.json").read_text())
    maps = len(run["maps"])
    assert (run["frames"]["lost_count"], run["frames"]["read"]) == (0, maps + 4)
    delays = camera.delays(shown)
    print(
        f"\nfrom a frame written to its map on the page: {statistics.median(delays):.0f} ms (median of {len(delays)})"
    )


def test_the_means_on_the_page_are_those_of_the_files(tmp_path: Path) -> None:
    import urllib.request

    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(5):
        Image.fromarray(live_latency.picture(index, SHAPE)).save(folder / f"{index:06}.tif")
    with live_latency.following(str(find()), MODEL, folder, tmp_path / "out", "--format", "npy") as (address, process):
        mark = json.dumps({"y0": 50, "x0": 60, "y1": 70, "x1": 80}).encode()
        head = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"{address}probes", mark, head)).close()
        for index in range(5, 25):
            Image.fromarray(live_latency.picture(index, SHAPE)).save(folder / f"{index:06}.tif")
            time.sleep(0.02)
        series: list[Any] = [{"numbers": []}]

        def complete() -> bool:
            with urllib.request.urlopen(f"{address}series") as answer:
                series[:] = json.load(answer)
            return bool(series) and series[0]["numbers"][-1:] == [21]

        until(complete, "21 maps")
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    maps = np.load(tmp_path / "out" / "lambda.npy").astype(float)
    means = maps[:, 50:70, 60:80].mean((1, 2))
    assert len(series[0]["numbers"]) >= 20
    for number, mean in zip(series[0]["numbers"], series[0]["means"][0], strict=True):
        assert mean == pytest.approx(means[number - 1], rel=1e-9)
