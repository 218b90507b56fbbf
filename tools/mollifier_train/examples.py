"""Write the small simulated recordings of `examples/data`, each with the true parameter beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from .simulate import chromatin, heat, heat_transient, langevin
from .simulate.noise import add_noise

Array = NDArray[np.float64]

# Seeds of the samples; chosen for pictures that are easy to read, used for no score.
HEAT_SEED = 60_003
MOVIE_SEED = 60_011
LANGEVIN_SEED = 60_021
CHROMATIN_SEED = 60_031


def write_image(path: Path, image: NDArray[np.generic], *, unit: str, interval: float | None = None) -> None:
    """Write a TIFF that Fiji opens with its scale: pixels of 1 `unit`.

    Args:
        path: file to write.
        image: `(y, x)` or `(frame, y, x)`, float32 or uint16.
        unit: of the pixel size.
        interval: time between frames, s.
    """
    metadata: dict[str, object] = {"unit": unit, "axes": "YX" if image.ndim == 2 else "TYX"}
    if interval is not None:
        metadata |= {"finterval": interval, "tunit": "s"}
    tifffile.imwrite(path, image, imagej=True, resolution=(1.0, 1.0), metadata=metadata)


def write_heat_plate(folder: Path) -> None:
    """A plate with disc inclusions: the unit square as 128 mm, its unit of time as 200 s, u = 20 degC + 200 K x."""
    side, second, kelvin = 128.0, 200.0, 200.0
    clean = heat.simulate(HEAT_SEED, discs=True)
    u = add_noise(np.random.default_rng((HEAT_SEED, 1)), clean.u, 1.0)
    write_image(folder / "heat-plate.tif", (20 + kelvin * u).astype(np.float32), unit="mm")
    write_image(folder / "heat-plate-source.tif", (clean.m * kelvin / second).astype(np.float32), unit="mm")
    np.save(folder / "heat-plate-truth.npy", (clean.lam * side**2 / second).astype(np.float32))


def write_heat_movie(folder: Path) -> None:
    """A cooling sheet as a 16-bit camera sees it: 20,000 counts and 4,000 for each unit of u."""
    clean = heat_transient.simulate(MOVIE_SEED, frames=12, interval=4.0, source=0.0)
    noisy = add_noise(np.random.default_rng((MOVIE_SEED, 1)), clean.u, 1.0)
    counts = np.round(20_000 + 4_000 * noisy[:, 8:120, 8:120])
    assert 0 < counts.min() and counts.max() < 65_535
    write_image(folder / "heat-movie.tif", counts.astype(np.uint16), unit="mm", interval=4.0)
    np.save(folder / "heat-movie-truth.npy", clean.lam[8:120, 8:120].astype(np.float32))


def write_langevin(folder: Path) -> None:
    """A series of 8 s at 128 samples a second."""
    rate, samples = 128, 1024
    clean = langevin.simulate(LANGEVIN_SEED, samples=samples, duration=(samples - 1) / rate, a=-1.0)
    u = add_noise(np.random.default_rng((LANGEVIN_SEED, 1)), clean.u, 1.0)
    with open(folder / "langevin.csv", "w", encoding="ascii", newline="\n") as file:
        file.write("# simulated; time in s, position in um\ntime,position\n")
        file.writelines(f"{t:.7f},{x:.6f}\n" for t, x in zip(clean.time, u, strict=True))
    np.save(folder / "langevin-truth.npy", clean.lam.astype(np.float32))


def write_chromatin(folder: Path) -> None:
    """A patch of 64x64 pixels of 30 nm; of ThunderSTORM's columns those that an export must have."""
    clean = chromatin.simulate(CHROMATIN_SEED, size=64, localisations=40_000, lam_length=(14.0, 18.0))
    xy = clean.localisations.round(1)
    xy = xy[((xy >= 0) & (xy < 64 * clean.pixel)).all(axis=1)]
    frame = 1 + (np.arange(len(xy)) * 1000) // len(xy)
    with open(folder / "chromatin.csv", "w", encoding="ascii", newline="\n") as file:
        file.write('"frame","x [nm]","y [nm]","uncertainty [nm]"\n')
        file.writelines(f"{f},{x:.1f},{y:.1f},10\n" for f, (x, y) in zip(frame, xy, strict=True))
    np.save(folder / "chromatin-truth.npy", clean.lam.astype(np.float32))


def write(folder: Path) -> list[Path]:
    """Write every sample.

    Args:
        folder: made if absent; files of the same names are replaced.

    Returns:
        the files, sorted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_heat_plate(folder)
    write_heat_movie(folder)
    write_langevin(folder)
    write_chromatin(folder)
    return sorted(path for path in folder.iterdir() if path.suffix in {".csv", ".npy", ".tif"})
