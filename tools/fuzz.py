"""Fuzz everything that reads what others wrote: `python tools/fuzz.py [--seconds 60] [TARGET ...]`.

Makes small sound inputs to start from, builds the targets of `tests/fuzz` with libFuzzer's counters (cargo-fuzz, which
is installed under `target` where it is missing; no nightly compiler is needed, as no sanitizer is used: the readers
are safe Rust) and runs each for the given time, as many side by side as there are cores. Inputs that led somewhere new
stay in `target/fuzz/corpus` for the next time. Exits 1 where one fails; the input then lies in `target/fuzz/failed`:
mend the cause, and keep the input in `tests/fuzz/fixtures/TARGET` with a line in the README there.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tests" / "fuzz"
FIXTURES = PACKAGE / "fixtures"
WORK = ROOT / "target" / "fuzz"
CARGO_FUZZ = "0.13.2"


def ramp(dtype: str, *shape: int) -> np.ndarray:
    """Values that differ, of any type."""
    return (np.arange(np.prod(shape)).reshape(shape) * 7 % 251).astype(dtype)


def npy(array: np.ndarray, *, fortran: bool = False) -> bytes:
    """The bytes of an NPY file."""
    file = io.BytesIO()
    np.save(file, np.asfortranarray(array) if fortran else array)
    return file.getvalue()


def tiffs() -> Iterator[bytes]:
    """TIFF files of several kinds."""
    settings: list[tuple[np.ndarray, dict]] = [
        (ramp("u1", 2, 5, 7), {}),
        (ramp("u2", 3, 5, 7), {"byteorder": ">"}),
        (ramp("f4", 2, 5, 7), {"bigtiff": True}),
        (ramp("u2", 2, 5, 7), {"imagej": True, "resolution": (10, 10), "metadata": {"unit": "um", "finterval": 2.0}}),
        (ramp("u2", 2, 5, 7), {"ome": True, "metadata": {"axes": "TYX", "PhysicalSizeX": 0.1}}),
        (ramp("u1", 2, 16, 16), {"compression": "zlib"}),
        (ramp("i2", 1, 5, 7), {}),
        (ramp("u1", 5, 7, 3), {"photometric": "rgb"}),
        (ramp("f8", 2, 32, 32), {"tile": (16, 16)}),
        (ramp("u2", 2, 33, 7), {"rowsperstrip": 4}),
    ]
    for array, options in settings:
        file = io.BytesIO()
        tifffile.imwrite(file, array, **options)
        yield file.getvalue()


def pngs() -> Iterator[bytes]:
    """PNG files of several kinds."""
    for array in (ramp("u1", 5, 7), ramp("u2", 5, 7), ramp("u1", 5, 7, 3), ramp("u1", 5, 7, 4)):
        file = io.BytesIO()
        Image.fromarray(array).save(file, "PNG")
        yield file.getvalue()


def npys() -> Iterator[bytes]:
    """NPY files of several kinds."""
    for kind in ("u1", "<u2", ">u2", "<i4", "<f4", ">f8", "?"):
        yield npy(ramp(kind, 3, 4, 5))
    yield npy(ramp("<f4", 4, 5), fortran=True)
    yield npy(ramp("<f8", 40))


def npzs() -> Iterator[bytes]:
    """NPZ archives, stored and deflated."""
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, u=ramp("<f4", 2, 5, 7))
        yield file.getvalue()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", npy(ramp("<f8", 40)))
        archive.writestr("b.npy", npy(ramp("<f8", 2, 20)))
    yield file.getvalue()


def tables() -> Iterator[bytes]:
    """Tables of a series as instruments and spreadsheets write them."""
    yield b"time [s],position [um]\n0,1.5\n0.1,1.25\n0.2,nan\n0.3,-1e-3\n"
    yield b"t;x\r\n0;1,5\r\n1;2,5\r\n3;1,0\r\n"
    yield b"1\n2\n3\n\n4\n"
    yield b'"date","temp"\n"2010/01/01 00:00",39.4\n"2010/01/01 01:00",39.2\n'
    yield b"# comment\na\tb\n1\t2\n3\t4\n"
    yield "\ufefft,µ\n0,1\n1,2\n".encode()


def localisations() -> Iterator[bytes]:
    """Tables of localisations."""
    yield b'"id","frame","x [nm]","y [nm]","sigma [nm]"\n1,1,100.5,200.25,130\n2,1,150,250,120\n3,2,900,20,99\n'
    yield b"x_nm\ty_nm\n1\t2\n300\t400\n"
    yield b'"frame,""x [nm]"",""y [nm]"""\n"1,5,6"\n'
    yield b"Position X [nm],Position Y [nm],Channel\n5,6,a\n7,8,b\n\nVoxelSize : 1\n"


def hdf5s() -> Iterator[bytes]:
    """Picasso's tables."""
    import h5py

    for kind in ("<f4", ">f8"):
        file = io.BytesIO()
        with h5py.File(file, "w") as h5:
            table = np.zeros(4, [("frame", "<u4"), ("x", kind), ("y", kind), ("photons", "<f4")])
            table["x"], table["y"] = [1, 2.5, 30, 4], [3, 4, 5, 31.5]
            h5.create_dataset("locs", data=table, maxshape=(None,) if kind == "<f4" else None)
        yield file.getvalue()


def zarrs() -> Iterator[bytes]:
    """An array's metadata and its first chunk."""
    import zarr
    from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

    u = ramp("<u2", 2, 5, 7)
    for version, settings in [
        (2, {"compressors": None, "chunk_key_encoding": {"name": "v2", "separator": "."}}),
        (3, {"compressors": None}),
        (3, {"compressors": GzipCodec()}),
        (3, {"compressors": ZstdCodec(checksum=True)}),
        (3, {"compressors": BloscCodec(cname="lz4", shuffle="bitshuffle")}),
        (3, {"compressors": BloscCodec(cname="blosclz")}),
        (3, {"compressors": None, "shards": (1, 5, 7)}),
    ]:
        with tempfile.TemporaryDirectory() as folder:
            array = zarr.create_array(
                folder, shape=u.shape, chunks=(1, 5, 7), dtype=u.dtype, zarr_format=version, overwrite=True, **settings
            )
            array[:] = u
            metadata = Path(folder, ".zarray" if version == 2 else "zarr.json").read_bytes()
            yield metadata + b"\0" + Path(folder, "0.0.0" if version == 2 else "c/0/0/0").read_bytes()


def ndtiffs() -> Iterator[bytes]:
    """A data set's index and its stack."""
    from ndstorage import NDTiffDataset

    with tempfile.TemporaryDirectory() as folder:
        made = NDTiffDataset(folder, name="u", summary_metadata={"Interval_ms": 100, "PixelSizeUm": 0.1}, writable=True)
        for frame in range(2):
            made.put_image({"time": frame}, ramp("<u2", 5, 7), {"ElapsedTime-ms": 100 * frame, "PixelSizeUm": 0.1})
        made.finish()
        index = next(Path(folder).rglob("NDTiff.index")).read_bytes()
        stack = next(Path(folder).rglob("*.tif")).read_bytes()[:8192]
    yield len(index).to_bytes(2, "little") + index + stack


def messages() -> Iterator[bytes]:
    """What sensors send, and a frame."""
    yield from (b"1.5\x002.5\x003", b'{"time": 1.0, "x": 2}\0{"x": 3, "time": 2.0}', b"t,x\n0,1\n1,2\0" + b"2,3")
    header = struct.pack("<4sBBHIIQd", b"MLFM", 1, 1, 0, 5, 7, 0, float("nan"))
    yield header + ramp("<u2", 5, 7).tobytes()


def models() -> Iterator[bytes]:
    """The smallest shipped models."""
    yield from (p.read_bytes() for p in sorted((ROOT / "models").glob("*-closed-form.onnx")))


def contracts() -> Iterator[bytes]:
    """What the shipped models say of themselves, and a fit."""
    import onnx

    for path in sorted((ROOT / "models").glob("*.onnx")):
        if not path.name.endswith(".trunk.onnx"):
            yield onnx.load(path).metadata_props[0].value.encode()
    axes = [{"name": n, "first": 0.0, "last": 2.0, "spacing": 1.0, "samples": 3, "unit": "um"} for n in "yx"]
    said = {"version": 1, "problem": "heat", "axes": axes, "lambda_axes": ["y", "x"], "stencil": 529}
    yield json.dumps(said | {"provenance": {"recording": "plate.tif"}}).encode()


def specs() -> Iterator[bytes]:
    """The shipped specs, and each law's smallest."""
    for path in sorted((ROOT / "models").glob("*.toml")):
        yield path.read_bytes()
    yield b'physics = "heat"\n[design]\nradii = [3]\n'


def units() -> Iterator[bytes]:
    """Spacings, units and formulas."""
    yield from (
        b"t=2s,y=0.1um,x=0.1um",
        b"y=1,x=2",
        b"um^2/s",
        b"\xc2\xb5m",
        b"y^2/t",
        b"u/t",
        b"micrometer",
        b"1e-3ms",
    )


def journals() -> Iterator[bytes]:
    """Lines of a journal, and what a part holds."""
    line = b'{"complete":1,"frame":0,"time":0,"sums":[1234],"note":null}\n'
    yield line
    yield b"\0" + npy(ramp("<f4", 3, 2, 3))
    yield line + b'{"renaming":true}\n' + b"\0" + npy(ramp("<f4", 1, 2, 3))[:150]


TARGETS: dict[str, Callable[[], Iterator[bytes]]] = {
    "tiff": tiffs,
    "png": pngs,
    "npy": npys,
    "npz": npzs,
    "csv": tables,
    "localisations": localisations,
    "picasso": hdf5s,
    "zarr": zarrs,
    "ndtiff": ndtiffs,
    "message": messages,
    "raw": npys,
    "model": models,
    "contract": contracts,
    "spec": specs,
    "units": units,
    "journal": journals,
}


@dataclass(frozen=True)
class Result:
    """How fuzzing one target went."""

    target: str
    runs: int
    edges: int
    seconds: float
    failed: str
    log: Path

    def row(self) -> str:
        """A line of the table."""
        return f"{self.target:14} {self.runs:12,} {self.edges:8,} {self.seconds:8.0f}  {self.failed or 'nothing'}"


def cargo_fuzz() -> dict[str, str]:
    """The environment in which `cargo fuzz` is there."""
    own = WORK / "cargo-fuzz"
    environment = os.environ | {"PATH": f"{own / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    if shutil.which("cargo-fuzz", path=environment["PATH"]) is None:
        print(f"installing cargo-fuzz {CARGO_FUZZ} under {own}", flush=True)
        install = ["cargo", "install", "--quiet", "--locked", "--root", str(own), f"cargo-fuzz@{CARGO_FUZZ}"]
        subprocess.run(install, check=True)
    return environment


def build() -> Path:
    """Build all targets; the folder of their programs."""
    flags = ["--fuzz-dir", str(PACKAGE), "--sanitizer", "none", "--target-dir", str(WORK / "build")]
    subprocess.run(["cargo", "fuzz", "build", *flags], cwd=ROOT, env=cargo_fuzz(), check=True)
    host = re.search(
        r"host: (\S+)", subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    )
    assert host, "rustc -vV names the host"
    return WORK / "build" / host[1] / "release"


def sow(target: str) -> list[Path]:
    """The folders that a target starts from."""
    seeds, corpus, failed = (WORK / kind / target for kind in ("seeds", "corpus", "failed"))
    for folder in (seeds, corpus, failed):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(TARGETS[target]()):
        (seeds / f"{number:02}").write_bytes(seed)
    fixtures = FIXTURES / target
    return [corpus, seeds, *([fixtures] if fixtures.is_dir() else [])]


def run(target: str, programs: Path, seconds: int) -> Result:
    """Fuzz one target."""
    folders = sow(target)
    log = WORK / f"{target}.log"
    command = [
        programs / target,
        *folders,
        f"-max_total_time={seconds}",
        f"-artifact_prefix={WORK / 'failed' / target}/",
        "-timeout=20",
        "-rss_limit_mb=2048",
        "-max_len=65536",
        "-print_final_stats=1",
    ]
    start = time.monotonic()
    with log.open("wb") as out:
        code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT).returncode
    text = log.read_text(errors="replace")

    def last(pattern: str) -> int:
        found = re.findall(pattern, text)
        return int(found[-1]) if found else 0

    artifact = re.search(r"Test unit written to (\S+)", text)
    failed = "" if code == 0 else artifact[1] if artifact else f"exit code {code}"
    runs = last(r"stat::number_of_executed_units:\s+(\d+)") or last(r"#(\d+)")
    return Result(target, runs, last(r"cov: (\d+)"), time.monotonic() - start, failed, log)


def main() -> int:
    """Fuzz the targets that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="*", choices=[*TARGETS, []], metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target [default: %(default)s]")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="side by side [default: one a core]")
    arguments = parser.parse_args()
    programs = build()
    targets = arguments.target or list(TARGETS)
    print(f"{'target':14} {'runs':>12} {'edges':>8} {'seconds':>8}  failed", flush=True)
    failed = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for result in pool.map(lambda t: run(t, programs, arguments.seconds), targets):
            print(result.row(), flush=True)
            if result.failed:
                failed.append(result)
    for result in failed:
        tail = result.log.read_text(errors="replace").splitlines()
        said = [line for line in tail if "panicked at" in line or "ERROR: libFuzzer" in line]
        print(f"{result.target}: {' '.join(said[-2:])}\n  log {result.log}", file=sys.stderr)
    print(f"{len(targets) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
