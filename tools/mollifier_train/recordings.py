"""One noisy recording of each reference problem, as an instrument would give it, and what others make of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import baselines, classical
from .scores import BAND, WINDOW
from .simulate import chromatin, heat, heat_transient, langevin, reaction_diffusion
from .simulate.noise import add_noise

Array = NDArray[np.float64]
PLANE = (WINDOW, WINDOW)


@dataclass(frozen=True)
class Recording:
    """One noisy recording and the parameter behind it.

    Attributes:
        u: what was measured: `(sample,)`, `(y, x)`, `(frame, y, x)`, or localisations `(n, 2)` as x and y in nm.
        lam: the true parameter, `(sample,)` or `(y, x)`.
        spacing: value for `--spacing`.
        noise: standard deviation of the noise, in the units of `u`; None for localisations.
        given: known fields `(y, x)` and constants, by the name of the model's input.
        band: width of the boundary band along each axis of `lam`.
        options: further arguments of `mollifier run`.
    """

    u: Array
    lam: Array
    spacing: str
    noise: float | None
    given: Mapping[str, Array | float] = field(default_factory=dict)
    band: tuple[int, ...] = (BAND, BAND)
    options: tuple[str, ...] = ()

    def write(self, folder: Path) -> tuple[Path, dict[str, Path | float]]:
        """Write the recording and its known fields.

        Returns:
            path of the recording, and values for `--with`.
        """
        given: dict[str, Path | float] = {}
        for name, value in self.given.items():
            if isinstance(value, np.ndarray):
                given[name] = folder / f"{name}.npy"
                np.save(given[name], value.astype(np.float32))
            else:
                given[name] = float(value)
        if self.noise is None:
            path = folder / "localisations.csv"
            chromatin.write_thunderstorm(path, self.u)
        else:
            path = folder / "recording.npy"
            np.save(path, self.u.astype(np.float32))
        return path, given


# Missing values, in a recording of any law.

GAPS = (2, 8)
"""Lengths of the gaps in a series, in samples."""
DISCS = (2, 5)
"""Radii of the holes in an image, in pixels."""
DEAD = 5
"""Single pixels that are missing in an image."""

Record = Callable[[object, float, np.random.Generator], Recording]


def with_gaps(clean: object, level: float, rng: np.random.Generator, *, record: Record) -> Recording:
    """A series as `record` makes it, with a gap of each of `GAPS`, none within 30 samples of an end."""
    recording = record(clean, level, rng)
    u = recording.u.copy()
    for length in GAPS:
        start = int(rng.integers(30, len(u) - 30 - length))
        u[start : start + length] = np.nan
    return replace(recording, u=u)


def with_holes(clean: object, level: float, rng: np.random.Generator, *, record: Record) -> Recording:
    """Images as `record` makes them, without a disc of each of `DISCS` and `DEAD` single pixels, in every frame."""
    recording = record(clean, level, rng)
    rows, columns = recording.lam.shape
    missing = np.zeros((rows, columns), dtype=bool)
    y, x = np.mgrid[:rows, :columns]
    for radius in DISCS:
        missing |= (y - rng.integers(20, rows - 20)) ** 2 + (x - rng.integers(20, columns - 20)) ** 2 <= radius**2
    missing[rng.integers(0, rows, DEAD), rng.integers(0, columns, DEAD)] = True
    return replace(recording, u=np.where(missing, np.nan, recording.u))


# Langevin.

LANGEVIN_STEP = 2.0 / 255


def record_langevin(clean: object, level: float, rng: np.random.Generator, *, blur: float = 0.0) -> Recording:
    """All 256 samples, the 8 at either end being the boundary.

    With `blur` neighbouring samples share their noise: it is blurred by so many.
    """
    assert isinstance(clean, langevin.Langevin)
    return Recording(
        u=add_noise(rng, clean.u, level, blur=blur),
        lam=clean.lam,
        spacing=f"t={clean.spacing!r}",
        noise=level / 100 * clean.u.std(),
        band=(BAND,),
    )


def differences_langevin(recording: Recording) -> Array:
    """Finite differences for Langevin."""
    return baselines.langevin(recording.u, LANGEVIN_STEP)


# Steady heat.


def record_heat(
    clean: object, level: float, rng: np.random.Generator, *, columns: int = 1, blur: float = 0.0
) -> Recording:
    """One frame of 112x112 pixels, or every `columns`-th column of it (the boundary keeps its width).

    With `blur` neighbouring pixels share their noise: it is blurred by so many.
    """
    assert isinstance(clean, heat.SteadyHeat)
    cut = (WINDOW, slice(WINDOW.start, WINDOW.stop, columns))
    hy, hx = clean.spacing
    return Recording(
        u=add_noise(rng, clean.u, level, blur=blur)[cut],
        lam=clean.lam[cut],
        spacing=f"y={hy!r},x={columns * hx!r}",
        noise=level / 100 * clean.u.std(),
        given={"m": clean.m[cut]},
        band=(BAND, BAND // columns),
    )


def differences_heat(recording: Recording, *, columns: int = 1) -> Array:
    """Finite differences for steady heat."""
    return baselines.heat(recording.u, np.asarray(recording.given["m"]), (1 / 128, columns / 128))


# Transient heat.


def record_heat_transient(clean: object, level: float, rng: np.random.Generator, *, columns: int = 1) -> Recording:
    """Five frames of 112x112 pixels, 4 time units apart, or every `columns`-th column of them."""
    assert isinstance(clean, heat_transient.TransientHeat)
    cut = (WINDOW, slice(WINDOW.start, WINDOW.stop, columns))
    interval = float(clean.time[1] - clean.time[0])
    return Recording(
        u=add_noise(rng, clean.u, level)[:, *cut],
        lam=clean.lam[cut],
        spacing=f"t={interval!r},y=1,x={columns}",
        noise=level / 100 * clean.u.std(),
        given={"m": clean.m[cut]},
        band=(BAND, BAND // columns),
    )


def differences_heat_transient(recording: Recording) -> Array:
    """Finite differences for transient heat."""
    return baselines.heat_transient(recording.u, np.asarray(recording.given["m"]), 4.0)


# Reaction-diffusion, in pixel units.


def record_reaction_diffusion(clean: object, level: float, rng: np.random.Generator) -> Recording:
    """Five frames of 112x112 pixels, 2 time units apart."""
    assert isinstance(clean, reaction_diffusion.ReactionDiffusion)
    return Recording(
        u=add_noise(rng, clean.phi, level)[:, *PLANE],
        lam=clean.lam[PLANE],
        spacing=f"t={float(clean.time[1] - clean.time[0])!r},y=1,x=1",
        noise=level / 100 * clean.phi.std(),
        given={"kappa": clean.kappa, "k": clean.k},
    )


def blur_reaction_diffusion(recording: Recording) -> Array:
    """Local equilibrium of the blurred middle frame."""
    return baselines.blur_ratio(recording.u[2], 12.0)


def constants(recording: Recording) -> tuple[float, float]:
    """kappa and k of a movie."""
    return float(recording.given["kappa"]), float(recording.given["k"])


def differences_reaction_diffusion(recording: Recording) -> Array:
    """Finite differences for reaction-diffusion."""
    return baselines.reaction_diffusion(recording.u, 2.0, *constants(recording))


# Chromatin.


def record_chromatin(clean: object, level: float, rng: np.random.Generator) -> Recording:
    """A density map of 112x112 pixels in arbitrary units, white noise on it."""
    assert isinstance(clean, chromatin.Chromatin)
    density = clean.density / clean.density.mean()
    return Recording(
        u=add_noise(rng, density, level)[PLANE],
        lam=clean.lam[PLANE],
        spacing="y=1,x=1",
        noise=level / 100 * density.std(),
    )


def record_localisations(clean: object, level: float, rng: np.random.Generator, *, phases: bool = False) -> Recording:
    """The localisations of a patch of 112x112 pixels of 30 nm; `level` thousand in the full 128x128.

    With `phases` the densities of the pure phases are given.
    """
    assert isinstance(clean, chromatin.Chromatin)
    scale = 1000 * level / (clean.density.sum() * clean.pixel**2)
    xy = chromatin.localise(rng, clean.density * scale, clean.pixel, 10.0) - WINDOW.start * clean.pixel
    xy = xy.round(3)  # as the table is written: none may be rounded out of the window
    inside = ((xy >= 0) & (xy < (WINDOW.stop - WINDOW.start) * clean.pixel)).all(axis=1)
    # Euchromatin has the density 1 in units of `relative`, heterochromatin the contrast's.
    one = scale * clean.density.min() / (1 + (clean.contrast - 1) * (1 + clean.phi.min()) / 2) * clean.pixel**2
    return Recording(
        u=xy[inside],
        lam=clean.lam[PLANE],
        spacing="y=1,x=1",
        noise=None,
        given={"phi_low": float(one), "phi_high": float(one * clean.contrast)} if phases else {},
        options=("--pixel-size", f"{clean.pixel:g}nm"),
    )


def image(recording: Recording) -> Array:
    """Density map of a chromatin recording, `(y, x)`: the image itself, or counts a pixel of its localisations."""
    if recording.noise is not None:
        return recording.u
    side = 30.0 * (WINDOW.stop - WINDOW.start)
    bins = recording.lam.shape
    counts, _, _ = np.histogram2d(recording.u[:, 1], recording.u[:, 0], bins=bins, range=[[0, side], [0, side]])
    return counts


def order_parameter(recording: Recording) -> Array:
    """phi of a chromatin recording, `(y, x)`: by the densities of the pure phases where they are given."""
    density = image(recording)
    if "phi_low" not in recording.given:
        return baselines.phase(density)
    low, high = recording.given["phi_low"], recording.given["phi_high"]
    return 2 * (density - low) / (high - low) - 1


def blur_chromatin(recording: Recording) -> Array:
    """Local equilibrium of the blurred map."""
    return baselines.blur_ratio(order_parameter(recording), 8.0)


def differences_chromatin(recording: Recording) -> Array:
    """Finite differences for the steady state."""
    phi = order_parameter(recording)
    return baselines.reaction_diffusion(phi[None], 1.0, reaction_diffusion.KAPPA, reaction_diffusion.RATE)


# The laws with derivatives by a usual method.


def classical_langevin(recording: Recording, of: classical.Differentiate, width: int) -> Array:
    """Langevin."""
    return classical.langevin(recording.u, LANGEVIN_STEP, of, width)


def classical_heat(recording: Recording, of: classical.Differentiate, width: int) -> Array:
    """Steady heat."""
    return classical.heat(recording.u, np.asarray(recording.given["m"]), (1 / 128, 1 / 128), of, width)


def classical_heat_transient(recording: Recording, of: classical.Differentiate, width: int) -> Array:
    """Transient heat."""
    return classical.heat_transient(recording.u, np.asarray(recording.given["m"]), 4.0, of, width)


def classical_reaction_diffusion(recording: Recording, of: classical.Differentiate, width: int) -> Array:
    """Reaction-diffusion."""
    return classical.reaction_diffusion(recording.u, 2.0, *constants(recording), of, width)


def classical_chromatin(recording: Recording, of: classical.Differentiate, width: int) -> Array:
    """The steady state of reaction-diffusion."""
    phi = order_parameter(recording)[None]
    return classical.reaction_diffusion(phi, 1.0, reaction_diffusion.KAPPA, reaction_diffusion.RATE, of, width)
