"""The live page of a series in a browser, beside a run that reads a sensor."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from mollifier_train.command import find

playwright = pytest.importorskip("playwright.sync_api")
live_latency = pytest.importorskip("live_latency")

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "langevin-closed-form.onnx"
DELAY = 142
"""Of the model, in samples."""

pytestmark = [
    pytest.mark.usefixtures("mollifier"),
    pytest.mark.skipif(live_latency.BROWSER is None, reason="no chromium (MOLLIFIER_BROWSER names one)"),
]


def until(look: Callable[[], bool], what: str) -> None:
    deadline = time.time() + 60
    while not look():
        assert time.time() < deadline, what
        time.sleep(0.05)


def readings(count: int) -> list[float]:
    rng = np.random.default_rng(3)
    t = np.arange(count) * 0.02
    return [round(v, 4) for v in (20 + np.sin(t) + 0.3 * np.sin(7 * t) + 0.02 * rng.standard_normal(count)).tolist()]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A run that reads a pipe, and the address of its page."""
    line = [str(find()), "run", str(MODEL), "-", "--spacing", "t=0.02s", "--with", "a=-1", "--unit", "u=K"]
    line += ["--out", str(tmp_path / "out"), "--view", "127.0.0.1:0"]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdin.write("position\n20.5\n")
    process.stdin.flush()
    told = (text for text in process.stderr if "the page is at " in text)
    yield next(told).split()[-1], process
    process.kill()
    process.communicate()


def test_a_person_watches_a_sensor(tmp_path: Path, run: tuple[str, subprocess.Popen[str]]) -> None:
    address, process = run
    ended = threading.Event()

    def sense() -> None:
        for value in readings(100_000):
            if ended.wait(0.004):
                break
            process.stdin.write(f"{value}\n")
            process.stdin.flush()

    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=live_latency.BROWSER, args=live_latency.ARGUMENTS)
        page = browser.new_page(viewport={"width": 1200, "height": 1250})
        faults: list[str] = []
        asked: list[str] = []
        page.on("pageerror", lambda e: faults.append(str(e)))
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        page.on("request", lambda r: asked.append(r.url))
        page.goto(address)
        sensor = threading.Thread(target=sense, daemon=True)
        sensor.start()
        number = lambda name: float(page.locator(f'#numbers dd[data-name="{name}"]').inner_text().split()[0])  # noqa: E731
        page.locator('#numbers dd[data-name="values"]').wait_for()
        until(lambda: number("values") > 200, "values come")
        # A value is given out with the model's delay and no later than 20 times a second.
        assert number("samples read") - number("values") < DELAY + 60
        assert page.locator("#state").inner_text() == "running"
        names = page.locator("main figure").evaluate_all("all => all.map(f => f.dataset.name)")
        assert names == ["input", "lambda", "residual", "support"]
        assert "position" in page.locator("#input").inner_text()
        assert "forcing (K/s)" in page.locator("figure[data-name=lambda] figcaption").inner_text()
        drawn = lambda name: page.evaluate(  # noqa: E731
            "name => { const c = document.querySelector(`figure[data-name=${name}] canvas`);"
            " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;"
            " for (let i = 0; i < d.length; i += 4) if (d[i + 2] > 150 && d[i] < 60 && d[i + 3] > 200) n += 1;"
            " return n; }",
            name,
        )
        until(lambda: all(drawn(name) > 100 for name in names), "every plot has its line")

        # The values at the pointer, with units, in all plots.
        box = page.locator("figure[data-name=lambda] canvas").bounding_box()
        page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 60)
        until(lambda: "K/s at " in page.locator("figure[data-name=lambda] output").inner_text(), "the value is told")
        assert "K at " in page.locator("figure[data-name=input] output").inner_text()

        # A shorter time scrolls along; back in time it stands still; the whole run again.
        state = lambda: page.evaluate(  # noqa: E731
            "() => { const p = window.mollifier.page;"
            " return [p.span, p.to, p.data.first, p.data.first + p.data.step * p.data.count, p.data.newest]; }"
        )
        page.keyboard.press("+")
        page.keyboard.press("+")
        until(lambda: state()[0] is not None, "a shorter time")
        span = state()[0]
        # What is drawn is asked for anew after each key.
        until(lambda: state()[3] - state()[2] <= span + 2, "the shorter time is there")
        first = state()[2]
        until(lambda: state()[2] > first + 20, "it scrolls")
        assert state()[3] - state()[2] <= span + 2
        page.keyboard.press("ArrowLeft")
        until(lambda: state()[1] is not None, "it looks back")
        until(lambda: state()[3] == state()[1], "it stands there")
        stays = state()[2]
        newest = state()[4]
        until(lambda: state()[4] > newest + 20, "the run goes on")
        assert state()[2] == stays
        page.keyboard.press("n")
        until(lambda: state()[1] is None and state()[3] >= state()[4], "it follows again")
        page.mouse.wheel(0, 100)
        until(lambda: state()[0] is None or state()[0] > span, "the wheel shows a longer time")
        page.keyboard.press("0")
        until(lambda: state()[0] is None and state()[2] == 0, "the whole run")

        # A pause of the view is none of the run.
        page.keyboard.press("p")
        assert "the run goes on" in page.locator("#state").inner_text()
        time.sleep(0.3)
        shown = page.evaluate("() => document.body.dataset.sample")
        before = number("values")
        until(lambda: number("values") > before + 50, "the run goes on")
        assert page.evaluate("() => document.body.dataset.sample") == shown
        page.keyboard.press("p")
        until(lambda: page.evaluate("() => document.body.dataset.sample") != shown, "it goes on")

        with page.expect_download() as download:
            page.keyboard.press("s")
        image = Image.open(download.value.path())
        assert image.width > 800
        assert image.height > 4 * 170
        assert len(image.convert("RGB").getcolors(1 << 24)) > 50
        if folder := os.environ.get("MOLLIFIER_SCREENSHOTS"):
            page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 60)
            time.sleep(0.3)
            page.screenshot(path=f"{folder}/series.png", full_page=True)
            image.save(f"{folder}/series-snapshot.png")
            dark = browser.new_page(viewport={"width": 900, "height": 900}, color_scheme="dark")
            dark.goto(address)
            time.sleep(1)
            dark.screenshot(path=f"{folder}/series-dark.png")
            dark.close()

        # What the page was told is what the files hold.
        ended.set()
        sensor.join()
        process.send_signal(signal.SIGINT)
        until(lambda: page.locator("#state").get_attribute("data-state") in ("ended", "gone"), "the end is told")
        process.wait(timeout=30)
        browser.close()
    assert faults == [] or all("ERR_" in fault for fault in faults), faults
    assert all(url.startswith((address, "blob:")) for url in asked), asked
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["frames"]["lost_count"] == 0


def stretch(address: str, query: str) -> tuple[dict[str, int], np.ndarray]:
    """What the page is handed out: a header, and axes (line, low or high, step)."""
    import urllib.request

    with urllib.request.urlopen(f"{address}trace?{query}") as answer:
        body = answer.read()
    length = int.from_bytes(body[:4], "little")
    head = json.loads(body[4 : 4 + length])
    return head, np.frombuffer(body[4 + length :], "<f8").reshape(-1, 2, head["count"])


def test_what_is_handed_out_is_what_the_files_hold(tmp_path: Path, run: tuple[str, subprocess.Popen[str]]) -> None:
    import urllib.request

    address, process = run
    values = readings(3000)
    # Readers that never read: nobody waits for them.
    host, port = address.removeprefix("http://").rstrip("/").split(":")
    deaf = []
    for path in ["events", "trace?most=2000", "trace", "events"]:
        deaf.append(socket.create_connection((host, int(port))))
        deaf[-1].sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    process.stdin.write("".join(f"{v}\n" for v in values))
    process.stdin.flush()
    until(lambda: stretch(address, "span=1")[0]["newest"] == 3001, "all samples are in")
    until(lambda: np.isfinite(stretch(address, f"span={DELAY + 1}&most=500")[1][1, 0, 0]), "all values are there")
    head, lines = stretch(address, "span=1000&most=2000")
    _, coarse = stretch(address, "most=100")
    with urllib.request.urlopen(f"{address}metrics") as answer:
        metrics = answer.read().decode()
    assert "mollifier_samples_read 3001" in metrics
    assert f"mollifier_samples_total {3001 - DELAY}" in metrics
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    for connection in deaf:
        connection.close()
    assert (head["first"], head["step"], head["count"]) == (2001, 1, 1000)
    np.testing.assert_array_equal(lines[0, 0], values[2000:])
    for k, name in enumerate(["lambda", "residual", "support"]):
        table = np.genfromtxt(tmp_path / "out" / f"{name}.csv", delimiter=",", skip_header=1)[:, 2]
        table = table.astype(np.float32).astype(float)
        there = lines[k + 1, 0, : 1000 - DELAY]
        np.testing.assert_array_equal(there, table[2001 : 3001 - DELAY])
        assert np.isnan(lines[k + 1, 0, 1000 - DELAY :]).all()
        assert np.nanmin(coarse[k + 1, 0]) == table[:-DELAY].min()
        assert np.nanmax(coarse[k + 1, 1]) == table[:-DELAY].max()
