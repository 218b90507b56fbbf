"""Series and frames from live inputs give the values of the finished recording, whatever happens on the way."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from mollifier_train.command import find

ROOT = Path(__file__).resolve().parents[2]
SERIES = ROOT / "models" / "langevin-closed-form.onnx"
IMAGES = ROOT / "models" / "heat-transient-closed-form.onnx"
DELAY = 142

pytestmark = pytest.mark.usefixtures("mollifier")
pty_there = pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo terminals here")
broker_there = pytest.mark.skipif(
    shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None
    or shutil.which("mosquitto_pub") is None,
    reason="no mosquitto and mosquitto_pub (apt-get install mosquitto mosquitto-clients)",
)


def readings(count: int = 420) -> list[str]:
    """A made-up sensor's readings as it prints them."""
    rng = np.random.default_rng(7)
    t = np.arange(count) * 0.1
    return [f"{v:.4f}" for v in 20 + np.sin(t) + 0.02 * rng.standard_normal(count)]


def line(model: Path, recording: str | Path, out: Path, *more: str) -> list[str]:
    return [str(find()), "run", str(model), str(recording), "--out", str(out), "--format", "npy", *more]


def series(recording: str | Path, out: Path, *more: str) -> list[str]:
    return line(SERIES, recording, out, "--format", "csv", "--spacing", "t=0.1s", "--with", "a=-1", *more)


STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def none_left_behind() -> Iterator[None]:
    yield
    while STARTED:
        process = STARTED.pop()
        process.kill()
        if process.stdout and not process.stdout.closed:
            process.communicate()


def start(command: list[str], **options: Any) -> subprocess.Popen[str]:  # noqa: ANN401
    STARTED.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options))
    return STARTED[-1]


def done(process: subprocess.Popen[str]) -> str:
    output = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output[1]


def batch(path: Path, rows: list[str], column: str = "1") -> Path:
    """The values of the finished recording."""
    (path / "rows.csv").write_text("".join(f"{row}\n" for row in rows))
    done(start(series(path / "rows.csv", path / "batch", "--column", column)))
    return path / "batch"


def record(out: Path) -> dict[str, Any]:
    return json.loads((out / "run.json").read_text())


def assert_same(live: Path, finished: Path) -> None:
    for name in ["lambda", "residual", "support"]:
        for kind in ["npy", "csv"]:
            assert (live / f"{name}.{kind}").read_bytes() == (finished / f"{name}.{kind}").read_bytes(), (name, kind)


def until(look: Callable[[], bool], what: str) -> None:
    deadline = time.time() + 30
    while not look():
        assert time.time() < deadline, what
        time.sleep(0.02)


def rows_in(file: Path) -> int:
    return max(0, file.read_bytes().count(b"\n") - 1) if file.exists() else 0


def test_a_program_that_prints_lines(tmp_path: Path) -> None:
    rows = readings()
    process = start(series("-", tmp_path / "live"), stdin=subprocess.PIPE)
    part = tmp_path / "live" / "lambda.csv.part"
    for i, row in enumerate(rows):
        process.stdin.write(row + "\n")
        process.stdin.flush()
        if i in (300, 301, 302):
            # The pipe is open, and each line brings the value that is older by the delay.
            until(lambda i=i: rows_in(part) >= i + 1 - DELAY, f"a value of sample {i - DELAY}")
            assert rows_in(part) == i + 1 - DELAY
    process.stdin.close()
    process.stdin = None
    done(process)
    assert_same(tmp_path / "live", batch(tmp_path, rows))


def test_a_series_replays_at_its_rate(tmp_path: Path) -> None:
    rows = readings()
    finished = batch(tmp_path, rows)
    begin = time.monotonic()
    process = start(series(tmp_path / "rows.csv", tmp_path / "live", "--rate", "200"))
    part = tmp_path / "live" / "lambda.csv.part"
    until(lambda: rows_in(part) > 0, "values come before the end")
    assert rows_in(part) < len(rows) - DELAY
    done(process)
    assert time.monotonic() - begin > (len(rows) - 1) / 200
    assert_same(tmp_path / "live", finished)


def test_a_table_that_grows(tmp_path: Path) -> None:
    rows = readings()
    growing = tmp_path / "log.csv"
    process = start(series(growing, tmp_path / "live", "--follow=1.5"))
    part = tmp_path / "live" / "lambda.csv.part"
    time.sleep(0.3)
    with growing.open("w") as log:
        log.write("time [s],position\n")
        for i, row in enumerate(rows):
            text = f"{0.1 * i:.1f},{row}\n"
            log.write(text[:-4])
            if i % 50 == 7 or i == len(rows) - 1:
                # Half a line waits.
                log.flush()
                time.sleep(0.1)
            log.write(text[-4:])
            if i == 300:
                log.flush()
                until(lambda: rows_in(part) == 301 - DELAY, "values come as the table grows")
    done(process)
    assert record(tmp_path / "live")["status"] == "complete"
    done(start(series(growing, tmp_path / "finished")))
    assert_same(tmp_path / "live", tmp_path / "finished")


def test_a_table_that_grows_goes_on_after_a_kill(tmp_path: Path) -> None:
    rows = readings()
    growing = tmp_path / "log.csv"
    growing.write_text("".join(f"{row}\n" for row in rows[:350]))
    process = start(series(growing, tmp_path / "live", "--follow"))
    part = tmp_path / "live" / "lambda.csv.part"
    until(lambda: rows_in(part) == 350 - DELAY, "values come")
    process.kill()
    process.communicate()
    with growing.open("a") as log:
        log.write("".join(f"{row}\n" for row in rows[350:]))
    done(start(series(growing, tmp_path / "live", "--follow=0.5", "--resume")))
    assert record(tmp_path / "live")["resumed_after"] == 350 - DELAY
    assert_same(tmp_path / "live", batch(tmp_path, rows))


class Device:
    """A sensor on a serial line: a pseudo terminal under a name that stays."""

    def __init__(self, name: Path) -> None:
        import tty

        self.name = name
        self.line, slave = os.openpty()
        tty.setraw(slave)
        name.unlink(missing_ok=True)
        name.symlink_to(os.ttyname(slave))
        # Open as long as somebody else is to open it: without one side the other one is gone.
        self.slave = slave

    def say(self, text: str) -> None:
        """Write some text, as fast as a serial line does."""
        os.write(self.line, text.encode())
        time.sleep(0.002)

    def unplug(self) -> None:
        """Go, once everything was read."""
        time.sleep(0.3)
        os.close(self.slave)
        os.close(self.line)


@pty_there
def test_a_sensor_on_a_serial_line(tmp_path: Path) -> None:
    rows = readings()
    device = Device(tmp_path / "ttyUSB0")
    address = f"serial://{device.name}?baud=115200"
    process = start(series(address, tmp_path / "live", "--follow=1.5"))
    time.sleep(0.5)
    # Somewhere in a line, then one of words.
    device.say(".25\r\nready\r\n")
    for row in rows:
        device.say(f"{row}\r\n")
    stderr = done(process)
    device.unplug()
    assert "out of reach" not in stderr
    run = record(tmp_path / "live")
    assert (run["status"], run["frames"]["read"], run["frames"]["lost_count"]) == ("complete", len(rows), 0)
    assert_same(tmp_path / "live", batch(tmp_path, rows))


@pty_there
def test_a_serial_device_that_goes_and_comes_back(tmp_path: Path) -> None:
    rows = readings()
    device = Device(tmp_path / "ttyUSB0")
    # The column of the header that the device writes when it starts.
    command = series(f"serial://{device.name}", tmp_path / "live", "--column", "T", "--follow=2.5")
    process = start(command)
    time.sleep(0.5)
    device.say("cut off\r\nid;T\r\n")
    for row in rows[:200]:
        device.say(f"5;{row}\r\n")
    device.say("5;2")
    device.unplug()
    device.name.unlink()
    time.sleep(0.5)
    device = Device(tmp_path / "ttyUSB0")
    time.sleep(0.6)
    # The end of a number that nobody saw the start of, the header again, noise on the line, an empty line.
    device.say("1.5\r\nid;T\r\n")
    for i, row in enumerate(rows[200:]):
        device.say("5;\xff\xfe1.5\r\n" if i == 50 else f"5;{row}\r\n\r\n")
    stderr = done(process)
    device.unplug()
    run = record(tmp_path / "live")
    # The line that broke off, the one that came next, the noise.
    assert run["frames"]["lost"] == [200, 201, 252]
    assert run["frames"]["read"] == len(rows) - 1
    assert (run["input_faults"]["breaks"], run["input_faults"]["unreadable"]) == (1, 3)
    assert "1 times out of reach" in stderr
    seen = [*rows[:200], "", "", *rows[200:250], "", *rows[251:]]
    assert_same(tmp_path / "live", batch(tmp_path, [f"5;{row}" for row in seen], "2"))


def test_what_does_not_fit_a_live_input_is_refused(tmp_path: Path) -> None:
    for address, more, words in [
        ("serial:///dev/nowhere", [], ["cannot be opened", "serial port that no other program holds"]),
        ("serial:///dev/null?speed=1", [], ["a setting `speed`", "baud, bits, parity or stop"]),
        ("serial:///dev/null", ["--rate", "5"], ["--rate", "its own pace"]),
        ("mqtt://broker/t", ["--rate", "5"], ["--rate", "its own pace"]),
        ("mqtt://broker/t", ["--resume"], ["--resume", "cannot be read again"]),
        ("serial:///dev/null", ["--resume"], ["--resume", "cannot be read again"]),
        ("mqtt://broker/lab/#", [], ["one topic"]),
    ]:
        process = start(series(address, tmp_path / "out", *more))
        error = process.communicate(timeout=60)[1]
        assert process.returncode == 2, (address, error)
        assert error.count("\n") == 1, error
        assert all(word in error for word in words), error
    process = start(line(IMAGES, "serial:///dev/null", tmp_path / "out", "--with", "m=0"))
    assert "no serial port brings" in process.communicate(timeout=60)[1]
    assert process.returncode == 2
    # Nobody listens there.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = start(series(f"mqtt://127.0.0.1:{port}/t", tmp_path / "out"))
    assert "a broker that lets this run subscribe" in process.communicate(timeout=60)[1]
    assert process.returncode == 1


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Broker:
    """Mosquitto on a free port, with what it keeps in a folder."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        (folder / "kept").mkdir()
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {folder / 'kept'}/",
            "autosave_on_changes true",
            "autosave_interval 1",
            "max_queued_messages 0",
            *(more or ["allow_anonymous true"]),
            *(["user root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
        ]
        self.config.write_text("\n".join(lines) + "\n")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start, and wait until it listens."""
        command = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        self.process = subprocess.Popen(
            [command, "-c", str(self.config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

        def there() -> bool:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                return False
            return True

        until(there, "the broker listens")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        self.process.send_signal(how)
        self.process.wait(timeout=30)

    def publish(self, topic: str, payload: bytes | str, *more: str) -> None:
        """One message."""
        payload = payload.encode() if isinstance(payload, str) else payload
        command = ["mosquitto_pub", "-p", str(self.port), "-q", "1", "-t", topic, "-s", *more]
        subprocess.run(command, input=payload, check=True, capture_output=True, timeout=60)

    def publish_lines(self, topic: str, lines: list[str]) -> None:
        """A message for each line."""
        command = ["mosquitto_pub", "-p", str(self.port), "-q", "1", "-t", topic, "-l"]
        text = "".join(f"{line}\n" for line in lines)
        subprocess.run(command, input=text, text=True, check=True, capture_output=True, timeout=60)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(folder)
    yield broker
    broker.stop(signal.SIGKILL)


class Network:
    """What lies between a run and the broker: it can be cut, or swallow what the run answers."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.up = True
        self.deaf = False
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """Let clients in."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if not self.up:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.target))
            self.pairs.append((client, server))
            for a, b, answers in [(client, server, True), (server, client, False)]:
                threading.Thread(target=self.pump, args=(a, b, answers), daemon=True).start()

    def pump(self, a: socket.socket, b: socket.socket, answers: bool) -> None:
        """Carry bytes from one side to the other."""
        try:
            while data := a.recv(65536):
                if not (answers and self.deaf):
                    b.sendall(data)
        except OSError:
            pass
        for end in (a, b):
            end.close()

    def cut(self) -> None:
        """Break all connections, and let none in."""
        self.up = False
        for pair in self.pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self.pairs.clear()
        self.deaf = False

    def mend(self) -> None:
        """Let clients in again."""
        self.up = True


def subscribed(process: subprocess.Popen[str], broker: Broker, out: Path) -> None:
    """Give a run the time to subscribe."""
    assert process.poll() is None, process.communicate()
    time.sleep(1.0)
    assert process.poll() is None, process.communicate()
    assert broker.process.poll() is None
    assert not (out / "run.json").exists()


@broker_there
def test_a_sensor_over_mqtt(tmp_path: Path, broker: Broker) -> None:
    rows = readings()
    out = tmp_path / "live"
    # A value that the broker has kept is of no known time.
    broker.publish("lab/T", "99", "-r")
    process = start(series(f"mqtt://127.0.0.1:{broker.port}/lab/T", out, "--follow=2"))
    subscribed(process, broker, out)
    broker.publish_lines("lab/T", rows[:300])
    until(lambda: rows_in(out / "lambda.csv.part") == 300 - DELAY, "values come with the declared delay")
    broker.publish("lab/T", "\n")
    broker.publish_lines("lab/T", rows[300:])
    done(process)
    run = record(out)
    assert (run["frames"]["read"], run["frames"]["lost_count"]) == (len(rows), 0)
    assert not any(run["input_faults"].values())
    assert_same(out, batch(tmp_path, rows))


@broker_there
def test_json_messages_with_times(tmp_path: Path, broker: Broker) -> None:
    rows = readings()
    out = tmp_path / "live"
    command = line(SERIES, f"mqtt://127.0.0.1:{broker.port}/lab/T", out, "--format", "csv", "--with", "a=-1")
    process = start([*command, "--spacing", "t=0.1s", "--column", "T", "--follow=2"])
    subscribed(process, broker, out)
    told = [json.dumps({"battery": 3.7, "T": float(row), "id": "a,b"}) for row in rows]
    broker.publish_lines("lab/T", [*told[:100], "{broken", *told[101:]])
    stderr = done(process)
    assert record(out)["frames"]["lost"] == [100]
    assert "1 lines or messages that are no row" in stderr
    assert_same(out, batch(tmp_path, [*rows[:100], "NA", *rows[101:]]))

    # With times every message has its place, and what is missing shows.
    timed = tmp_path / "timed"
    command = line(SERIES, f"mqtt://127.0.0.1:{broker.port}/lab/T", timed, "--format", "csv", "--with", "a=-1")
    process = start([*command, "--follow=2"])
    subscribed(process, broker, timed)
    there = [i for i in range(len(rows)) if i not in (150, 151, 152)]
    broker.publish_lines(
        "lab/T", [json.dumps({"time": round(0.1 * i, 1), "temperature": float(rows[i])}) for i in there]
    )
    done(process)
    assert record(timed)["spacing"] == {"t": {"value": 0.1, "unit": None}}
    assert record(timed)["frames"]["with_invalid_values"] == 3
    (tmp_path / "timed.csv").write_text("time,temperature\n" + "".join(f"{0.1 * i:.1f},{rows[i]}\n" for i in there))
    done(start(line(SERIES, tmp_path / "timed.csv", tmp_path / "table", "--format", "csv", "--with", "a=-1")))
    assert_same(timed, tmp_path / "table")


@broker_there
def test_a_network_that_goes_and_a_broker_that_keeps(tmp_path: Path, broker: Broker) -> None:
    rows = readings()
    out = tmp_path / "live"
    network = Network(broker.port)
    process = start(series(f"mqtt://127.0.0.1:{network.port}/lab/T", out, "--follow=8"))
    subscribed(process, broker, out)
    broker.publish_lines("lab/T", rows[:200])
    until(lambda: rows_in(out / "lambda.csv.part") == 200 - DELAY, "values come")
    # What the run has taken is not known to the broker: it sends it again.
    network.deaf = True
    broker.publish_lines("lab/T", rows[200:206])
    until(lambda: rows_in(out / "lambda.csv.part") == 206 - DELAY, "values come")
    network.cut()
    broker.publish_lines("lab/T", rows[206:])
    time.sleep(0.5)
    network.mend()
    done(process)
    run = record(out)
    assert (run["frames"]["read"], run["frames"]["lost_count"]) == (len(rows), 0)
    assert run["input_faults"]["breaks"] >= 1
    assert run["input_faults"]["repeated"] == 6
    assert run["input_faults"]["forgotten"] == 0
    assert_same(out, batch(tmp_path, rows))


@broker_there
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_broker_that_is_started_again(tmp_path: Path, broker: Broker, how: signal.Signals) -> None:
    rows = readings()
    out = tmp_path / "live"
    process = start(series(f"mqtt://127.0.0.1:{broker.port}/lab/T", out, "--follow=8"))
    subscribed(process, broker, out)
    broker.publish_lines("lab/T", rows[:200])
    until(lambda: rows_in(out / "lambda.csv.part") == 200 - DELAY, "values come")
    time.sleep(0.5)
    broker.stop(how)
    time.sleep(0.5)
    broker.start()
    broker.publish_lines("lab/T", rows[200:])
    done(process)
    run = record(out)
    assert (run["frames"]["read"], run["frames"]["lost_count"]) == (len(rows), 0)
    assert run["input_faults"]["breaks"] >= 1
    assert_same(out, batch(tmp_path, rows))


@broker_there
def test_a_named_client_finds_what_came_between_two_runs(tmp_path: Path, broker: Broker) -> None:
    rows = readings()
    address = f"mqtt://127.0.0.1:{broker.port}/lab/T?client=plate"
    first = start(series(address, tmp_path / "first", "--follow"))
    subscribed(first, broker, tmp_path / "first")
    broker.publish_lines("lab/T", rows[:200])
    until(lambda: rows_in(tmp_path / "first" / "lambda.csv.part") == 200 - DELAY, "values come")
    first.send_signal(signal.SIGINT)
    done(first)
    broker.publish_lines("lab/T", rows)
    second = start(series(address, tmp_path / "live", "--follow=2"))
    done(second)
    assert_same(tmp_path / "live", batch(tmp_path, rows))


@broker_there
def test_user_and_password(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(folder / "passwords"), "me", "p@ss"], check=True)
    broker = Broker(folder, "allow_anonymous false", f"password_file {folder / 'passwords'}")
    try:
        rows = readings(160)
        # As mosquitto_pub wants it: without an @ in the way.
        publish = ["mosquitto_pub", "-p", str(broker.port), "-u", "me", "-P", "p@ss", "-q", "1", "-t", "t", "-l"]
        host = f"127.0.0.1:{broker.port}/t"
        for user, variables in [("me:p%40ss@", {}), ("", {"USER": "me", "PASSWORD": "p@ss"})]:
            environment = os.environ | {f"MOLLIFIER_MQTT_{k}": v for k, v in variables.items()}
            out = tmp_path / f"out{len(variables)}"
            process = start(series(f"mqtt://{user}{host}", out, "--follow=1.5"), env=environment)
            subscribed(process, broker, out)
            subprocess.run(publish, input="".join(f"{r}\n" for r in rows), text=True, check=True)
            done(process)
            assert record(out)["frames"]["read"] == 160
            assert "p@ss" not in (out / "run.json").read_text()
            assert "p%40ss" not in (out / "run.json").read_text()
        process = start(series(f"mqtt://me:wrong@{host}", tmp_path / "out"))
        error = process.communicate(timeout=30)[1]
        assert process.returncode == 1
        assert "refuses user and password" in error
        assert "wrong" not in error
    finally:
        broker.stop(signal.SIGKILL)


@broker_there
def test_a_message_that_is_too_large_ends_the_run(tmp_path: Path, broker: Broker) -> None:
    rows = readings(200)
    out = tmp_path / "live"
    process = start(series(f"mqtt://127.0.0.1:{broker.port}/lab/T", out))
    subscribed(process, broker, out)
    broker.publish_lines("lab/T", rows)
    until(lambda: rows_in(out / "lambda.csv.part") == 200 - DELAY, "values come")
    broker.publish("lab/T", b"1" * (2 << 20))
    error = process.communicate(timeout=30)[1]
    assert process.returncode == 1
    assert "over the limit" in error
    assert f"complete in the .part files in {out}: 200 samples\n" in error


def movie() -> NDArray[np.uint16]:
    t, y, x = np.ogrid[0:16, 0:64, 0:72]
    wave = np.exp(-0.05 * t) * (np.sin(x / 7) * np.cos(y / 9) + np.sin((x + y) / 13))
    return (30000 + 9000 * wave).astype("<u2")


def frame(index: int, pixels: NDArray[np.uint16], time: float = float("nan")) -> bytes:
    """A frame as docs/tcp.md lays it out."""
    return struct.pack("<4sBBHIIQd", b"MLFM", 1, 1, 0, *pixels.shape, index, time) + pixels.tobytes()


@broker_there
def test_frames_over_mqtt(tmp_path: Path, broker: Broker) -> None:
    frames = movie()
    np.save(tmp_path / "u.npy", frames)
    done(start(line(IMAGES, tmp_path / "u.npy", tmp_path / "batch", "--with", "m=0")))
    address = f"mqtt://127.0.0.1:{broker.port}/camera"
    out = tmp_path / "live"
    process = start(line(IMAGES, address, out, "--with", "m=0"))
    subscribed(process, broker, out)
    for index, pixels in enumerate(frames):
        if index == 9:
            broker.stop()
            time.sleep(0.3)
            broker.start()
        broker.publish("camera", frame(index, pixels))
        if index in (3, 11):
            # Again, and something else.
            broker.publish("camera", frame(index, pixels))
            broker.publish("camera", b"hello")
            broker.publish("camera", frame(index, pixels)[:-1])
    broker.publish("camera", struct.pack("<4sBBHIIQd", b"MLFM", 1, 1, 0, 0, 0, 0, 0.0))
    done(process)
    run = record(out)
    assert (run["status"], run["frames"]["lost_count"], run["frames"]["repeated"]) == ("complete", 0, 2)
    for name in ["lambda", "residual", "support"]:
        assert (out / f"{name}.npy").read_bytes() == (tmp_path / "batch" / f"{name}.npy").read_bytes()


@broker_there
def test_a_run_on_frames_that_was_killed_goes_on(tmp_path: Path, broker: Broker) -> None:
    frames = movie()
    address = f"mqtt://127.0.0.1:{broker.port}/camera?client=plate"
    out = tmp_path / "live"
    command = line(IMAGES, address, out, "--with", "m=0", "--resume")
    process = start(command)
    subscribed(process, broker, out)
    for index in range(8):
        broker.publish("camera", frame(index, frames[index]))
    until(lambda: (out / "journal.jsonl").read_text().count('"frame"') == 4, "four maps")
    process.kill()
    process.communicate()
    # What the run had taken is gone: the maps that need both sides of the gap are left out.
    for index in range(8, 16):
        broker.publish("camera", frame(index, frames[index]))
    broker.publish("camera", struct.pack("<4sBBHIIQd", b"MLFM", 1, 1, 0, 0, 0, 0, 0.0))
    done(start(command))
    np.save(tmp_path / "u.npy", frames)
    done(start(line(IMAGES, tmp_path / "u.npy", tmp_path / "batch", "--with", "m=0")))
    run = record(out)
    assert (run["resumed_after"], run["frames"]["lost_count"]) == (4, 0)
    kept = [0, 1, 2, 3, 8, 9, 10, 11]
    assert [m["frame"] for m in run["maps"]] == [k + 2 for k in kept]
    np.testing.assert_array_equal(np.load(out / "lambda.npy"), np.load(tmp_path / "batch" / "lambda.npy")[kept])
