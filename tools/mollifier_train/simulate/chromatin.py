"""Chromatin: near-steady density maps of the reaction-diffusion model and localisation tables drawn from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .random_field import gaussian_random_field
from .reaction_diffusion import KAPPA, RATE, evolve

COLUMNS = (
    "id",
    "frame",
    "x [nm]",
    "y [nm]",
    "sigma [nm]",
    "intensity [photon]",
    "offset [photon]",
    "bkgstd [photon]",
    "uncertainty_xy [nm]",
)


@dataclass(frozen=True)
class Chromatin:
    """One simulated nucleus.

    Attributes:
        phi: the order parameter at the last time, `(y, x)`; -1 euchromatin, +1 heterochromatin.
        density: expected localisations per nm^2, `(y, x)`.
        lam: the hidden ratio of reaction rates, `(y, x)`.
        pixel: side of a pixel, nm.
        kappa: gradient-energy coefficient, pixel^2.
        k: reaction rate, per unit of time (mobility 1 pixel^2 per unit of time).
        contrast: density of heterochromatin over that of euchromatin.
        change: largest |phi_t| at the end relative to k: how far from steady the map is.
        localisations: `(n, 2)`, columns x and y in nm, with localisation error.
    """

    phi: NDArray[np.float64]
    density: NDArray[np.float64]
    lam: NDArray[np.float64]
    pixel: float
    kappa: float
    k: float
    contrast: float
    change: float
    localisations: NDArray[np.float64]


def localise(rng: np.random.Generator, density: NDArray[np.float64], pixel: float, error: float) -> NDArray[np.float64]:
    """Draw a Poisson set of localisations from a density that is constant within each pixel.

    Args:
        rng: source of randomness.
        density: expected localisations per nm^2, `(y, x)`.
        pixel: side of a pixel, nm.
        error: standard deviation of the localisation error on each axis, nm; positions may leave the frame.

    Returns:
        `(n, 2)`, columns x and y in nm from the outer corner of the first pixel, in random order.
    """
    counts = rng.poisson(density * pixel**2)
    y, x = (np.repeat(i.ravel(), counts.ravel()) for i in np.indices(density.shape))
    xy = (np.stack([x, y], axis=1) + rng.random((x.size, 2))) * pixel
    return rng.permutation(xy + error * rng.standard_normal(xy.shape))


def simulate(
    seed: int,
    *,
    size: int = 128,
    pixel: float = 30.0,
    localisations: int = 400_000,
    contrast: float = 6.0,
    error: float = 10.0,
    duration: float | tuple[float, ...] = 1500.0,
    lam_length: tuple[float, float] = (14.0, 32.0),
) -> Chromatin:
    """Simulate one nucleus: evolve to a near-steady map, then draw localisations.

    The density is proportional to 1 + (contrast - 1)(1 + phi)/2: euchromatin (phi = -1) has density 1 and
    heterochromatin (phi = +1) `contrast`, in the same arbitrary unit.

    Args:
        seed: names the nucleus.
        size: pixels a side.
        pixel: side of a pixel, nm.
        localisations: expected number of localisations.
        contrast: density of heterochromatin over that of euchromatin.
        error: localisation error, nm.
        duration: simulated time, or several of which the seed takes one; the slowest relaxation is that of the
            reaction, 1 / (k (1 + lambda)) <= 70.
        lam_length: range of lambda's correlation length, in pixels.
    """
    rng = np.random.default_rng(seed)
    shape = (size, size)
    lam = 2.5 ** np.tanh(gaussian_random_field(rng, shape, rng.uniform(*lam_length), periodic=True))
    start = rng.uniform(-0.3, 0.3) + 0.3 * gaussian_random_field(rng, shape, 8.0, periodic=True)
    if isinstance(duration, tuple):
        duration = duration[seed % len(duration)]
    frames = evolve(np.clip(start, -0.95, 0.95), lam, np.array([duration - 10, duration]), step=0.5, stabiliser=2.0)
    phi = frames[-1]
    relative = 1 + (contrast - 1) * (1 + phi) / 2
    density = relative * (localisations / (relative.sum() * pixel**2))
    return Chromatin(
        phi=phi,
        density=density,
        lam=lam,
        pixel=pixel,
        kappa=KAPPA,
        k=RATE,
        contrast=contrast,
        change=float(np.abs(frames[1] - frames[0]).max() / 10 / RATE),
        localisations=localise(rng, density, pixel, error),
    )


def write_thunderstorm(
    path: Path, localisations: NDArray[np.float64], *, frames: int = 1000, error: float = 10.0, seed: int = 0
) -> None:
    """Write localisations as ThunderSTORM does: CSV, quoted headers with units.

    Args:
        path: file to write.
        localisations: `(n, 2)`, columns x and y in nm; rows are assigned to frames in order.
        frames: number of camera frames the rows are spread over.
        error: stated in the column `uncertainty_xy [nm]`.
        seed: of the photon counts.
    """
    n = len(localisations)
    photons = np.random.default_rng(seed).gamma(4.0, 300.0, n)
    frame = 1 + (np.arange(n) * frames) // max(n, 1)
    with open(path, "w", encoding="ascii", newline="") as file:
        file.write(",".join(f'"{name}"' for name in COLUMNS) + "\n")
        for i, ((x, y), f, p) in enumerate(zip(localisations, frame, photons, strict=True), start=1):
            file.write(f"{i},{f},{x:.3f},{y:.3f},130.0,{p:.2f},100.0,6.0,{error:.2f}\n")
