"""OME-Zarr and NDTiff, finished and while programs that people use write them, give the maps of the same movie."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import acquire_zarr
import numcodecs
import numpy as np
import pytest
import zarr
from ndstorage import NDTiffDataset
from zarr import codecs
from mollifier_train.command import find

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "heat-transient-closed-form.onnx"
FRAMES, ROWS, COLUMNS = 14, 64, 72
SPACING = ["--spacing", "t=0.5s,y=0.25um,x=0.25um"]

pytestmark = pytest.mark.usefixtures("mollifier")


def movie(kind: str = "<u2", middle: float = 100) -> np.ndarray:
    t, y, x = np.ogrid[0:FRAMES, 0:ROWS, 0:COLUMNS]
    wave = np.exp(-0.05 * t) * (np.sin(x / 7) * np.cos(y / 9) + np.sin((x + y) / 13))
    return (middle + 0.25 * middle * wave).astype(kind)


def start(recording: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    line = [str(find()), "run", str(MODEL), str(recording), "--with", "m=0", "--format", "npy", "--out", str(out)]
    return subprocess.Popen([*line, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], out: Path) -> dict[str, object]:
    output = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return json.loads((out / "run.json").read_text())


def run(recording: Path, out: Path, *more: str) -> dict[str, object]:
    return finish(start(recording, out, *more), out)


def refused(recording: Path, *more: str) -> str:
    process = start(recording, recording.parent / "refused", *more)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (1, 2)
    lines = [line for line in said.splitlines() if "warning" not in line]
    assert len(lines) == 1, said
    return lines[0]


def same_maps(a: Path, b: Path) -> bool:
    names = ["lambda", "residual", "support"]
    return all((a / f"{n}.npy").read_bytes() == (b / f"{n}.npy").read_bytes() for n in names)


def image(path: Path, version: int, axes: str = "tyx") -> zarr.Group:
    """The group of an image with the axes' names and units."""
    kinds = {"t": ("time", "second", 0.5), "c": ("channel", None, 1.0)}
    named = [(axis, *kinds.get(axis, ("space", "micrometer", 0.25))) for axis in axes]
    scales = {
        "axes": [{"name": n, "type": kind} | ({"unit": unit} if unit else {}) for n, kind, unit, _ in named],
        "datasets": [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [s for *_, s in named]}]},
        ],
    }
    group = zarr.create_group(path, zarr_format=version)
    if version == 3:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [scales]}
    else:
        group.attrs["multiscales"] = [scales | {"version": "0.4"}]
    return group


Options = dict[str, object]


def layouts() -> dict[str, tuple[int, str, Options]]:
    """Version of Zarr, element type and options of arrays: each with other compressions, orders and files."""
    found: dict[str, tuple[int, str, Options]] = {}
    kinds = ["u1", "i1", "<u2", ">u2", "<i2", ">i2", "<u4", ">i4", "<f4", ">f4", "<f8", ">f8", "<f2"]
    for version, kind in product((2, 3), kinds):
        found[f"{version} {kind}"] = (version, kind, {"chunks": (version, 25, 72)})
    compressions_2 = [None, numcodecs.Zlib(5), numcodecs.GZip(5), numcodecs.Zstd(3), numcodecs.LZ4(1)]
    for i, codec in enumerate(compressions_2):
        found[f"2 codec {i}"] = (2, "<u2", {"chunks": (1, 25, 30), "compressors": codec})
    for name, shuffle, block in product(["blosclz", "lz4", "lz4hc", "zlib", "zstd"], [0, 1, 2], [0, 1024]):
        codec = numcodecs.Blosc(name, 5, shuffle, block)
        keys = {"name": "v2", "separator": "/" if shuffle else "."}
        options = {"chunks": (3, 25, 30), "compressors": codec, "chunk_key_encoding": keys}
        found[f"2 blosc {name} {shuffle} {block}"] = (2, "<f4" if block else "<u2", options)
    compressions_3 = [
        codecs.GzipCodec(),
        codecs.ZstdCodec(level=3, checksum=True),
        codecs.BloscCodec(cname="zstd", shuffle="bitshuffle"),
        codecs.BloscCodec(cname="lz4"),
        codecs.Crc32cCodec(),
        [codecs.ZstdCodec(), codecs.Crc32cCodec()],
    ]
    for (i, codec), place in product(enumerate(compressions_3), ["start", "end"]):
        shards = {"shape": (4, 50, 72), "index_location": place}
        options = {"chunks": (1, 25, 24), "shards": shards, "compressors": codec}
        found[f"3 shard {place} {i}"] = (3, "<u2", options)
    found["2 columns first"] = (2, "<u2", {"chunks": (2, 25, 30), "order": "F"})
    turned = {"chunks": (2, 25, 30), "filters": [codecs.TransposeCodec(order=(2, 0, 1))]}
    found["3 transposed"] = (3, "<u2", turned)
    for i, keys in enumerate([{"name": "default", "separator": "."}, {"name": "v2", "separator": "."}]):
        found[f"3 keys {i}"] = (3, "<u2", {"chunks": (2, 25, 30), "chunk_key_encoding": keys})
    return found


def test_every_layout_gives_the_same_pixels(tmp_path: Path) -> None:
    twins: dict[str, Path] = {}
    for name, (version, kind, options) in layouts().items():
        frames = movie(kind, 60)
        if kind not in twins:
            twins[kind] = tmp_path / f"twin{len(twins)}"
            np.save(tmp_path / "twin.npy", frames)
            run(tmp_path / "twin.npy", twins[kind], *SPACING)
        path = tmp_path / f"{name.replace(' ', '_').replace('<', 'l').replace('>', 'b')}.ome.zarr"
        store = image(path, version)
        store.create_array("0", shape=frames.shape, dtype=kind, **options)[:] = frames
        record = run(path, tmp_path / "out")
        assert record["spacing"] == {
            "t": {"value": 0.5, "unit": "s"},
            "y": {"value": 0.25, "unit": "um"},
            "x": {"value": 0.25, "unit": "um"},
        }
        assert same_maps(tmp_path / "out", twins[kind]), name


def test_our_own_stores_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "u.npy", movie())
    run(tmp_path / "u.npy", tmp_path / "first", "--format", "zarr", "--format", "zarr-0.4")
    maps = np.load(tmp_path / "first" / "lambda.npy")
    np.save(tmp_path / "maps.npy", maps)
    run(tmp_path / "maps.npy", tmp_path / "twin")
    for name in ("lambda.ome.zarr", "lambda.v04.ome.zarr"):
        run(tmp_path / "first" / name, tmp_path / "again")
        assert same_maps(tmp_path / "again", tmp_path / "twin")


@pytest.mark.parametrize(("kind", "ending"), [("zarr", "ome.zarr"), ("zarr-0.4", "v04.ome.zarr")])
def test_our_own_stores_are_followed(tmp_path: Path, kind: str, ending: str) -> None:
    np.save(tmp_path / "u.npy", np.concatenate([movie("<f4")] * 6))
    store = tmp_path / "first" / f"lambda.{ending}"
    second = start(store, tmp_path / "live", "--follow=4")
    run(tmp_path / "u.npy", tmp_path / "first", "--format", kind, "--rate", "60")
    record = finish(second, tmp_path / "live")
    assert record["frames"]["read"] == 6 * FRAMES - 4
    run(store, tmp_path / "finished")
    assert same_maps(tmp_path / "live", tmp_path / "finished")


def in_zarr(path: Path, version: int, axes: str, options: Options) -> None:
    """Frame by frame, as scripts do it: make the array larger, then write."""
    frames = movie()
    shape = (0, 2, ROWS, COLUMNS) if axes == "tcyx" else (0, ROWS, COLUMNS)
    array = image(path, version, axes).create_array("0", shape=shape, dtype="<u2", **options)
    for i, frame in enumerate(frames):
        array.resize((i + 1, *shape[1:]))
        if axes == "tcyx":
            array[i, 0] = frame[::-1]
            array[i, 1] = frame
        else:
            array[i] = frame
        time.sleep(0.03)


def in_made_zarr(path: Path, version: int, shards: bool) -> None:
    """Into an array that has its size from the start."""
    frames = movie()
    options: Options = {"chunks": (1, 33, 40), "shards": (5, 66, 80)} if shards else {"chunks": (4, 64, 40)}
    array = image(path, version).create_array("0", shape=frames.shape, dtype="<u2", **options)
    for i, frame in enumerate(frames):
        array[i] = frame
        time.sleep(0.03)


def in_acquire(path: Path, codec: bool) -> None:
    """A plain array: of an image acquire-zarr writes the axes' units only when it closes it."""
    packed = acquire_zarr.CompressionSettings(
        compressor=acquire_zarr.Compressor.BLOSC1, codec=acquire_zarr.CompressionCodec.BLOSC_LZ4, level=1, shuffle=1
    )
    kinds = acquire_zarr.DimensionType
    sizes = [("t", kinds.TIME, 0, 2, 2), ("y", kinds.SPACE, ROWS, 32, 2), ("x", kinds.SPACE, COLUMNS, 40, 1)]
    dimensions = [
        acquire_zarr.Dimension(name=name, kind=kind, array_size_px=size, chunk_size_px=chunk, shard_size_chunks=shard)
        for name, kind, size, chunk, shard in sizes
    ]
    array = acquire_zarr.ArraySettings(
        dimensions=dimensions,
        data_type=np.uint16,
        output_key="",
        compression=packed if codec else None,
    )
    stream = acquire_zarr.ZarrStream(acquire_zarr.StreamSettings(store_path=str(path), arrays=[array]))
    for frame in movie():
        stream.append(frame)
        time.sleep(0.03)
    stream.close()


def in_ndtiff(path: Path, channels: bool) -> None:
    summary = {"Interval_ms": 500, "PixelSizeUm": 0.25}
    data = NDTiffDataset(str(path.parent), summary_metadata=summary, name=path.name.removesuffix("_1"), writable=True)
    for i, frame in enumerate(movie()):
        own = {"ElapsedTime-ms": 500.0 * i, "PixelSizeUm": 0.25}
        if channels:
            data.put_image({"time": i, "channel": "other"}, frame[::-1].copy(), own)
            data.put_image({"time": i, "channel": "u"}, frame, own)
        else:
            data.put_image({"time": i}, frame, own)
        time.sleep(0.03)
    data.finish()


Write = Callable[[Path], None]
WRITERS: dict[str, tuple[Write, list[str]]] = {
    "zarr2.ome.zarr": (lambda p: in_zarr(p, 2, "tyx", {"chunks": (1, 64, 72)}), []),
    "zarr3.ome.zarr": (lambda p: in_zarr(p, 3, "tyx", {"chunks": (1, 33, 30)}), []),
    "several.ome.zarr": (lambda p: in_zarr(p, 3, "tyx", {"chunks": (4, 64, 72)}), []),
    "channels.ome.zarr": (lambda p: in_zarr(p, 3, "tcyx", {"chunks": (1, 1, 64, 72)}), ["--select", "c=1"]),
    "made2.ome.zarr": (lambda p: in_made_zarr(p, 2, shards=False), []),
    "made3.ome.zarr": (lambda p: in_made_zarr(p, 3, shards=True), []),
    "acquire.zarr": (lambda p: in_acquire(p, codec=False), SPACING),
    "packed.zarr": (lambda p: in_acquire(p, codec=True), SPACING),
    "ndtiff_1": (lambda p: in_ndtiff(p, channels=False), []),
    "ndtiff_channels_1": (lambda p: in_ndtiff(p, channels=True), ["--select", "channel=u"]),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_store_in_the_making_gives_the_maps_of_the_finished_one(tmp_path: Path, name: str) -> None:
    write, more = WRITERS[name]
    writer = threading.Thread(target=write, args=(tmp_path / name,))
    # The command is there before the recording.
    process = start(tmp_path / name, tmp_path / "live", "--follow=4", *more)
    time.sleep(0.3)
    writer.start()
    writer.join()
    record = finish(process, tmp_path / "live")
    assert (record["status"], record["frames"]["read"], record["frames"]["lost_count"]) == ("complete", FRAMES, 0)
    run(tmp_path / name, tmp_path / "finished", *more)
    assert same_maps(tmp_path / "live", tmp_path / "finished")
    np.save(tmp_path / "u.npy", movie())
    twin = run(tmp_path / "u.npy", tmp_path / "twin", *SPACING)
    assert record["spacing"] == twin["spacing"]
    if not name.startswith("ndtiff"):
        assert same_maps(tmp_path / "live", tmp_path / "twin")
    else:
        # Its frames carry their own times, which are as even.
        a, b = (np.load(tmp_path / out / "lambda.npy") for out in ("live", "twin"))
        assert np.allclose(a, b, rtol=1e-4, atol=1e-4 * np.nanmedian(np.abs(b)), equal_nan=True)


def test_damage_gives_one_line(tmp_path: Path) -> None:
    frames = movie()
    path = tmp_path / "a.ome.zarr"
    array = image(path, 3).create_array(
        "0", shape=frames.shape, dtype="<u2", chunks=(1, 64, 72), shards=(7, 64, 72), compressors=codecs.ZstdCodec()
    )
    array[:] = frames
    shard = path / "0" / "c" / "1" / "0" / "0"
    whole = shard.read_bytes()
    for damaged, said in [
        (whole[:-1], "checksum"),
        (whole[:20], "without a whole index"),
        (b"\0" * 500 + whole[500:], "damaged zstd data"),
    ]:
        shard.write_bytes(damaged)
        line = refused(path)
        assert said in line and "frame 7 of 14" in line, line
    shard.write_bytes(whole)
    description = path / "0" / "zarr.json"
    text = description.read_text()
    description.write_text(text[: len(text) // 2])
    assert "no JSON" in refused(path)
    description.write_text(text)
    assert "--select" in refused(path, "--select", "c=0")
