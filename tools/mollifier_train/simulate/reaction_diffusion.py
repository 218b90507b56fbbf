"""Reaction-diffusion, periodic, pixel units: phi_t = Lap(phi^3 - phi - kappa Lap phi) + k[lambda (1-phi) - (1+phi)]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2

from .random_field import gaussian_random_field

KAPPA = 2.0
RATE = 0.01


@dataclass(frozen=True)
class ReactionDiffusion:
    """One simulated recording.

    Attributes:
        phi: the order parameter, `(frame, y, x)`.
        time: time of each frame since the start of the simulation.
        lam: the hidden ratio of reaction rates, `(y, x)`.
        kappa: gradient-energy coefficient, pixel^2.
        k: reaction rate, per unit of time.
    """

    phi: NDArray[np.float64]
    time: NDArray[np.float64]
    lam: NDArray[np.float64]
    kappa: float
    k: float


def evolve(
    phi0: NDArray[np.float64],
    lam: NDArray[np.float64],
    time: NDArray[np.float64],
    *,
    kappa: float = KAPPA,
    k: float = RATE,
    step: float = 0.1,
    stabiliser: float = 0.0,
) -> NDArray[np.float64]:
    """Integrate from phi0 at time 0 with semi-implicit Fourier steps (kappa Lap^2 implicit, the rest explicit).

    Args:
        phi0: field at time 0, `(y, x)`.
        lam: ratio of reaction rates, `(y, x)`.
        time: ascending times >= 0 to return; each is reached in whole steps of at most `step`.
        kappa: gradient-energy coefficient.
        k: reaction rate.
        step: longest time step.
        stabiliser: a further `stabiliser * Lap phi` taken implicitly and given back explicitly, which allows
            long steps towards a steady state (2 is enough for step 0.5) and leaves the steady state as it is.

    Returns:
        the field at `time`, `(frame, y, x)`.
    """
    ny, nx = phi0.shape
    ky = 2 * np.pi * np.fft.fftfreq(ny)[:, None]
    kx = 2 * np.pi * np.fft.rfftfreq(nx)[None, :]
    k2 = ky**2 + kx**2
    frames, phi, now = [], phi0.copy(), 0.0
    hat = rfft2(phi)
    for t in time:
        steps = int(np.ceil((t - now) / step - 1e-9))
        for _ in range(steps):
            h = (t - now) / steps
            potential = rfft2(phi**3 - (1 + stabiliser) * phi)
            reaction = rfft2(k * (lam * (1 - phi) - (1 + phi)))
            hat = (hat + h * (reaction - k2 * potential)) / (1 + h * (stabiliser * k2 + kappa * k2**2))
            phi = irfft2(hat, s=(ny, nx))
        now = float(t)
        frames.append(phi.copy())
    return np.stack(frames)


def draw_constants(rng: np.random.Generator) -> tuple[float, float]:
    """kappa from 1.3 to 3 and k from 0.006 to 0.017, both by their logarithms."""
    kappa, k = (float(np.exp(rng.uniform(*np.log(span)))) for span in ([1.3, 3.0], [0.006, 0.017]))
    return kappa, k


def simulate(
    seed: int,
    *,
    kind: Literal["A", "B"] = "B",
    size: int = 128,
    frames: int = 5,
    interval: float = 2.0,
    lam_length: tuple[float, float] = (14.0, 32.0),
    varied: bool = False,
) -> ReactionDiffusion:
    """Simulate one recording with lambda = 2.5^tanh(GRF).

    Set "A" starts at local equilibrium, phi(0) = (lambda-1)/(lambda+1) + 0.05 noise, first frame at t = 40, 80,
    140 or 220: phi there tells lambda without any physics. Set "B" starts independent of lambda, phi(0) =
    U(-0.3,0.3) + U(0.2,0.5) GRF (length 5..24 px) clipped to +-0.95, first frame at t = 10, 22 or 36: the set
    whose score counts.

    Args:
        seed: names the recording.
        kind: "A" or "B".
        size: pixels a side.
        frames: number of frames.
        interval: time between frames.
        lam_length: range of lambda's correlation length, in pixels.
        varied: draw kappa from 1.3 to 3 and k from 0.006 to 0.017 instead of 2 and 0.01.
    """
    rng = np.random.default_rng(seed)
    shape = (size, size)
    lam = 2.5 ** np.tanh(gaussian_random_field(rng, shape, rng.uniform(*lam_length), periodic=True))
    if kind == "A":
        phi0 = (lam - 1) / (lam + 1) + 0.05 * rng.standard_normal(shape)
        start = float(rng.choice([40.0, 80.0, 140.0, 220.0]))
    else:
        mean, spread = rng.uniform(-0.3, 0.3), rng.uniform(0.2, 0.5)
        phi0 = mean + spread * gaussian_random_field(rng, shape, rng.uniform(5.0, 24.0), periodic=True)
        phi0 = np.clip(phi0, -0.95, 0.95)
        start = float(rng.choice([10.0, 22.0, 36.0]))
    time = start + interval * np.arange(frames, dtype=np.float64)
    kappa, k = KAPPA, RATE
    if varied:
        kappa, k = draw_constants(rng)
    return ReactionDiffusion(phi=evolve(phi0, lam, time, kappa=kappa, k=k), time=time, lam=lam, kappa=kappa, k=k)
