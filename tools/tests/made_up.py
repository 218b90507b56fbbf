"""Recordings of any size for every law, and naive twins of what the runtime does to them before the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from mollifier_train.model_file import ModelFile
from mollifier_train.simulate import chromatin, heat, heat_transient, langevin, reaction_diffusion
from mollifier_train.simulate.noise import add_noise

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MadeUp:
    """A noisy recording of a law, and everything a model may be given with it.

    Attributes:
        u: `(window, y, x)` or `(sample,)`.
        spacing: along the tiled axes.
        time_step: between frames.
        noise: its standard deviation.
        term: typical size of the equation's terms, which a residual is a small difference of.
        given: known fields and constants by name.
    """

    u: Array
    spacing: tuple[float, ...]
    time_step: float
    noise: float
    term: float
    given: Mapping[str, Array | float] = field(default_factory=dict)

    @property
    def spacing_text(self) -> str:
        """Value for `--spacing`."""
        if self.u.ndim == 1:
            return f"t={self.spacing[0]!r}"
        time = f"t={self.time_step!r}," if self.u.ndim == 3 and len(self.u) > 1 else ""
        return f"{time}y={self.spacing[0]!r},x={self.spacing[1]!r}"


def repeat(image: Array, shape: tuple[int, int]) -> Array:
    """Continue a periodic `(..., y, x)` to the given rows and columns."""
    copies = [1] * (image.ndim - 2) + [-(-n // image.shape[i - 2]) for i, n in enumerate(shape)]
    return np.tile(image, copies)[..., : shape[0], : shape[1]]


def make(
    law: str, shape: tuple[int, ...], *, seed: int = 40_000, percent: float = 1.0, contrast: float = 0.0
) -> MadeUp:
    """Simulate a recording of `law`, `(y, x)` or `(sample,)` = `shape`, with `percent` % noise.

    A contrast other than 0 scales the field, and the source with it, to that standard deviation.

    Raises:
        ValueError: for a law that no simulator knows; write one, and add it here.
    """
    rng = np.random.default_rng((seed, 1))
    given: dict[str, Array | float] = {}
    spacing, time_step = (1.0, 1.0), 1.0
    if law == "langevin":
        series = langevin.simulate(seed, samples=shape[0])
        clean, spacing, term = series.u, (series.spacing,), float(np.abs(series.lam).mean())
    elif law == "heat":
        points = 2 * max(shape) + 1
        plate = heat.simulate(seed, points=points)
        clean, given["m"], spacing, term = plate.u[None], plate.m, plate.spacing, float(plate.m.mean())
    elif law == "heat-transient":
        movie = heat_transient.simulate(seed)
        clean, given["m"], time_step = movie.u, movie.m, 4.0
        term = float(np.abs(np.diff(movie.u, axis=0)).mean() / time_step)
    elif law == "reaction-diffusion":
        clean, time_step, term = reaction_diffusion.simulate(seed).phi, 2.0, reaction_diffusion.RATE
    elif law == "chromatin":
        nucleus = chromatin.simulate(seed, duration=100.0, localisations=1000)
        clean, term = (nucleus.density / nucleus.density.mean())[None], reaction_diffusion.RATE
    else:
        raise ValueError(f"got law {law!r}, expected one that tools/mollifier_train/simulate knows")
    scale = contrast / clean.std() if contrast else 1.0
    clean = clean * scale
    u = add_noise(rng, clean, percent)
    if law == "heat":
        u = u[:, : shape[0], : shape[1]]
        given["m"] = scale * np.asarray(given["m"])[: shape[0], : shape[1]]
    elif len(shape) == 2:
        u = repeat(u, (shape[0], shape[1]))
        given = {name: scale * repeat(np.asarray(value), (shape[0], shape[1])) for name, value in given.items()}
    return MadeUp(u, spacing, time_step, float(percent / 100 * clean.std()), scale * term, given)


def pinned(model: ModelFile, made: MadeUp) -> dict[str, Array | float]:
    """A value for every input that the runtime would otherwise take from the recording."""
    known = np.where(np.isfinite(made.u), made.u, np.nan)
    values: dict[str, Array | float] = dict(made.given)
    for role, value in {
        "noise": made.noise,
        "offset": float(np.nanmean(known)),
        "phi-low": float(np.nanquantile(known, 0.02)),
        "phi-high": float(np.nanquantile(known, 0.98)),
    }.items():
        name = model.named(role)
        if name is not None:
            values[name] = value
    return values


def punch(made: MadeUp, seed: int = 40_100) -> MadeUp:
    """The recording with holes: single samples, a small block, and a large one.

    The large one is wider than the smallest kernels, the holes of a movie differ from frame to frame.
    """
    u = made.u.copy()
    rng = np.random.default_rng(seed)
    if u.ndim == 1:
        u[rng.integers(20, u.size - 20, 4)] = np.nan
        u[u.size // 2 : u.size // 2 + 20] = np.nan
    else:
        ny, nx = u.shape[1:]
        for frame in u:
            frame[rng.integers(0, ny, 6), rng.integers(0, nx, 6)] = np.nan
        u[:, ny // 4 : ny // 4 + 3, nx // 4 : nx // 4 + 4] = np.nan
        u[:, ny // 2 : ny // 2 + 30, nx // 2 : nx // 2 + 30] = np.nan
    return replace(made, u=u)
