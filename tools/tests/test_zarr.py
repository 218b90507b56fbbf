"""OME-Zarr as it is written, read by zarr-python and held against the OME-NGFF models, also while it grows."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import zarr
from ome_zarr_models import open_ome_zarr
from mollifier_train.command import find

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "heat-transient-closed-form.onnx"
KINDS = {"ome.zarr": "zarr", "v04.ome.zarr": "zarr-0.4"}

pytestmark = pytest.mark.usefixtures("mollifier")


def movie(path: Path, frames: int, rows: int, columns: int) -> None:
    t, y, x = np.ogrid[0:frames, 0:rows, 0:columns]
    wave = np.exp(-0.01 * t) * (np.sin(x / 7) * np.cos(y / 9) + np.sin((x + y) / 13))
    np.save(path, wave.astype(np.float32))


def line(recording: Path, out: Path, *more: str) -> list[str]:
    start = [str(find()), "run", str(MODEL), str(recording), "--with", "m=0", "--out", str(out), "--format", "npy"]
    return start + [a for kind in KINDS.values() for a in ("--format", kind)] + list(more)


def halved(maps: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels, of fewer at the border."""
    count, rows, columns = maps.shape
    padded = np.full((count, rows + rows % 2, columns + columns % 2), np.nan)
    padded[:, :rows, :columns] = maps
    return np.nanmean(padded.reshape(count, (rows + 1) // 2, 2, (columns + 1) // 2, 2), (2, 4))


@pytest.mark.parametrize("ending", KINDS)
@pytest.mark.parametrize("shape", [(140, 64, 70), (6, 1100, 1031)])
def test_a_store_is_read_by_others(tmp_path: Path, ending: str, shape: tuple[int, int, int]) -> None:
    movie(tmp_path / "u.npy", *shape)
    # The small recording has pixels that are twice as high as wide.
    y = 0.2 if shape[0] == 140 else 0.1
    model = tmp_path / "model.onnx"
    aspect = ("--aspect", f"y={10 * y},x=1")
    subprocess.run([str(find()), "bake", str(MODEL.with_suffix(".toml")), *aspect, "-o", str(model)], check=True)
    command = line(tmp_path / "u.npy", tmp_path / "out", "--spacing", f"t=20ms,y={y}um,x=0.1um", "--unit", "u=K")
    command[2] = str(model)
    subprocess.run(command, check=True, capture_output=True)

    store = zarr.open_group(tmp_path / "out" / f"lambda.{ending}", mode="r")
    expected = np.load(tmp_path / "out" / "lambda.npy")
    assert expected.shape == (shape[0] - 4, *shape[1:])
    open_ome_zarr(store)  # refuses what the specification does
    attributes = dict(store.attrs)
    scales = attributes["ome"]["multiscales"][0] if "ome" in attributes else attributes["multiscales"][0]
    units = [axis.get("unit") for axis in scales["axes"]]
    assert (units, [axis["name"] for axis in scales["axes"]]) == (
        ["millisecond", "micrometer", "micrometer"],
        list("tyx"),
    )
    assert attributes["mollifier"]["unit"] == "um^2/ms"

    levels = [np.asarray(store[d["path"]][:]) for d in scales["datasets"]]
    assert np.array_equal(levels[0], expected, equal_nan=True)
    assert max(levels[-1].shape[1:]) <= 256
    assert len(levels) == (1 if shape[1] < 256 else 4)
    for i, (level, dataset) in enumerate(zip(levels, scales["datasets"], strict=True)):
        scale, shift = dataset["coordinateTransformations"]
        assert scale["scale"] == pytest.approx([20, y * 2**i, 0.1 * 2**i])
        # The first map is that of the third frame.
        assert shift["translation"] == pytest.approx([40, y * (2**i - 1) / 2, 0.1 * (2**i - 1) / 2])
        if i > 0:
            assert np.allclose(level, halved(levels[i - 1]), rtol=1e-5, equal_nan=True)
    files = [p for p in (tmp_path / "out" / f"lambda.{ending}").rglob("*") if p.is_file()]
    assert not [p for p in files if p.suffix == ".new" or "part" in p.name]
    if ending == "ome.zarr":
        # A shard of 64 maps, not a file for each.
        assert len(files) <= 1 + len(levels) * (1 + 3)


def test_a_store_is_readable_at_any_moment(tmp_path: Path) -> None:
    movie(tmp_path / "u.npy", 200, 64, 300)
    command = line(tmp_path / "u.npy", tmp_path / "out", "--rate", "60")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen: dict[str, list[tuple[int, np.ndarray, np.ndarray]]] = {ending: [] for ending in KINDS}
    try:
        while process.poll() is None:
            for ending in KINDS:
                path = tmp_path / "out" / f"lambda.{ending}"
                if not (path / "1").exists() or not list((path / "1").glob("*z*array")) + list(
                    (path / "1").glob("*.json")
                ):
                    continue
                store = zarr.open_group(path, mode="r")
                full = np.asarray(store["0"][:])
                if len(full) > 0:
                    seen[ending].append((len(full), full[-1], np.asarray(store["1"][-1])))
                    # Nothing of what readers are told of is missing.
                    assert np.isfinite(full).mean() > 0.5
                    assert np.isfinite(full[-1]).mean() > 0.5
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    final = np.load(tmp_path / "out" / "lambda.npy")
    assert len(final) == 196
    for moments in seen.values():
        counts = [count for count, _, _ in moments]
        assert len(set(counts)) > 4
        assert sorted(counts) == counts
        for count, last, half in moments:
            assert np.array_equal(last, final[count - 1], equal_nan=True)
            assert half.shape == (32, 150)
