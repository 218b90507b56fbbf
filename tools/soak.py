"""Hours at an instrument in minutes: frames with random faults, kills and resumptions; nothing lost unaccounted for.

A made-up camera writes a file for each frame into a folder which the command follows. At random it leaves numbers out,
leaves files broken, writes them in pieces, too late or twice, puts other files beside them; and the command is killed
and started again with --resume. In the end the record has to name every frame that never came and no other, and the
maps have to be those of a run over the finished folder, byte for byte. Resident memory is sampled all along.

    python tools/soak.py --frames 100000 --kills 20
"""

from __future__ import annotations

import argparse
import contextlib
import filecmp
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "models" / "heat-transient-closed-form.onnx"
SIZE = 40
# Different pictures, as files: making them takes longer than writing them.
PICTURES = 64
# The camera is at most so many frames ahead.
AHEAD = 400
# Samples of memory before so many maps of a process do not count.
WARM_UP = 2000
# What a run may grow by.
ROOM_MB = 5.0


@dataclass
class Camera:
    """Writes the frames, and knows what never came."""

    folder: Path
    frames: int
    chance: float
    dice: random.Random
    lost: set[int] = field(default_factory=set)
    broken: list[Path] = field(default_factory=list)
    written: int = 0

    def pictures(self) -> list[bytes]:
        """Frames as TIFF files."""
        y, x = np.mgrid[0:SIZE, 0:SIZE]
        files = []
        for i in range(PICTURES):
            wave = np.sin(x / 5 + 0.1 * i) * np.cos(y / 6) + np.exp(-0.02 * i)
            buffer = io.BytesIO()
            Image.fromarray((30000 + 9000 * wave).astype(np.uint16)).save(buffer, "tiff")
            files.append(buffer.getvalue())
        return files

    def path(self, index: int) -> Path:
        """The file of a frame."""
        return self.folder / f"frame_{index:07}.tif"

    def run(self, progress: Progress) -> None:
        """Write all frames, not too far ahead of the maps."""
        files = self.pictures()
        late: tuple[int, bytes] | None = None
        for index in range(self.frames):
            while index > progress.maps + AHEAD:
                time.sleep(0.005)
            data = files[index % PICTURES]
            # The first frames show what the numbers mean, and the last one that the recording is over.
            safe = index < 5 or index >= self.frames - 5
            fault = "none" if safe or self.dice.random() > self.chance else self.dice.choice(FAULTS)
            if late is not None:
                fault = "none"
            match fault:
                case "left out":
                    self.lost.add(index)
                case "broken":
                    self.lost.add(index)
                    self.broken.append(self.path(index))
                    self.path(index).write_bytes(data[: self.dice.randrange(len(data) - 1)])
                case "in pieces":
                    cut = self.dice.randrange(len(data))
                    with self.path(index).open("wb", buffering=0) as file:
                        file.write(data[:cut])
                        time.sleep(0.06)
                        file.write(data[cut:])
                case "late":
                    late = (index, data)
                case "twice":
                    self.path(index).write_bytes(data)
                    self.path(max(0, index - self.dice.randrange(40))).touch()
                case "beside":
                    (self.folder / f"note_{index}.txt").write_text("not a frame")
                    self.path(index).write_bytes(data)
                case _:
                    self.path(index).write_bytes(data)
                    if late is not None:
                        self.path(late[0]).write_bytes(late[1])
                        late = None
            self.written = index + 1


FAULTS = ["left out", "broken", "in pieces", "late", "twice", "beside"]


@dataclass
class Progress:
    """What the journal tells."""

    out: Path
    maps: int = 0

    def look(self) -> int:
        """How many maps are complete."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            with (self.out / "journal.jsonl").open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - 4096))
                lines = file.read().split(b"\n")
            self.maps = max(self.maps, json.loads(lines[-2])["complete"])
        return self.maps


def resident_mb(pid: int) -> float | None:
    """Resident memory of a process."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return float(line.split()[1]) / 1024
    return None


def same_tree(a: Path, b: Path) -> bool:
    """Whether two files or folders are the same, byte for byte."""
    if a.is_file():
        return b.is_file() and filecmp.cmp(a, b, shallow=False)
    names = sorted(p.name for p in a.iterdir())
    return names == sorted(p.name for p in b.iterdir()) and all(same_tree(a / n, b / n) for n in names)


@dataclass
class Outcome:
    """What came of it."""

    frames: int
    kills: int
    maps: int
    lost: int
    faults_found: list[str]
    growth_mb: float | None
    seconds: float


def soak(command: str, scratch: Path, frames: int, kills: int, chance: float, seed: int) -> Outcome:
    """Run it; `faults_found` is empty where nothing went wrong."""
    dice = random.Random(seed)
    folder, out = scratch / "frames", scratch / "out"
    folder.mkdir()
    camera = Camera(folder, frames, chance, random.Random(seed + 1))
    progress = Progress(out)
    start = time.time()
    writer = threading.Thread(target=camera.run, args=(progress,), daemon=True)
    writer.start()
    fixed = [command, "run", str(MODEL), str(folder), "--with", "m=0", "--format", "zarr", "--threads", "1"]
    found: list[str] = []
    moments = sorted(dice.randrange(frames // 20, frames - frames // 20) for _ in range(kills))
    growth: float | None = None
    # The recording is over when nothing has come for longer than any fault takes.
    line = [*fixed, "--out", str(out), "--follow=8", "--resume"]
    while True:
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        first, samples = progress.look(), []
        killed = False
        while process.poll() is None:
            time.sleep(0.02)
            maps = progress.look()
            memory = resident_mb(process.pid)
            if memory is not None and maps > first + min(WARM_UP, frames // 4):
                samples.append(memory)
            if moments and maps >= moments[0]:
                moments.pop(0)
                process.kill()
                killed = True
        error = process.communicate()[1]
        if len(samples) > 50:
            # Sampled at any moment of a map: the middle of the first and the last tenth.
            tenth = max(10, len(samples) // 10)
            rise = float(np.median(samples[-tenth:]) - np.median(samples[:tenth]))
            growth = rise if growth is None else max(growth, rise)
        if not killed:
            if process.returncode != 0:
                found.append(f"the run failed: {error.strip()}")
            break
    writer.join(timeout=1)
    if writer.is_alive():
        found.append(f"the camera was left waiting at frame {camera.written}")
    record = json.loads((out / "run.json").read_text()) if (out / "run.json").exists() else {}
    told = record.get("frames", {})
    if set(told.get("lost", [])) != camera.lost:
        wrong = sorted(set(told.get("lost", [])) ^ camera.lost)[:10]
        found.append(f"lost frames are told wrongly, first of them {wrong}")
    if told.get("read") != frames - len(camera.lost):
        found.append(f"{told.get('read')} frames read of {frames - len(camera.lost)}")
    for path in camera.broken:
        path.unlink()
    again = [*fixed, "--out", str(scratch / "again")]
    subprocess.run(again, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for name in ["lambda", "residual", "support"]:
        if not same_tree(out / f"{name}.ome.zarr", scratch / "again" / f"{name}.ome.zarr"):
            found.append(f"{name} is not that of the finished folder")
    whole = json.loads((scratch / "again" / "run.json").read_text())
    if whole["maps"] != record.get("maps"):
        found.append("the maps' entries are not those of the finished folder")
    maps = len(record.get("maps", []))
    return Outcome(frames, kills, maps, len(camera.lost), found, growth, time.time() - start)


def main() -> None:
    """Run it and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--faults", type=float, default=0.003, help="chance of a fault, a frame")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scratch", type=Path, help="folder for the files: about 30 kB a frame")
    arguments = parser.parse_args()
    command = os.environ.get("MOLLIFIER", str(ROOT / "target" / "release" / "mollifier"))
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        o = soak(command, Path(scratch), arguments.frames, arguments.kills, arguments.faults, arguments.seed)
    print(f"{o.frames} frames, {o.lost} never came, {o.maps} maps, {o.kills} kills, {o.seconds:.0f} s")
    growth = "not sampled" if o.growth_mb is None else f"{o.growth_mb:+.1f} MB after warm-up"
    print(f"resident memory: {growth} (at most {ROOM_MB:.0f})")
    for fault in o.faults_found:
        print(f"FAULT: {fault}")
    if o.faults_found or (o.growth_mb or 0.0) > ROOM_MB:
        sys.exit(1)
    print("nothing lost unaccounted for; maps as of the finished folder, byte for byte")


if __name__ == "__main__":
    main()
