"""Training sets: simulated recordings wider than any test set, as features of a baked front end and the truth."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .model_file import ModelFile
from .simulate import chromatin, heat, heat_transient, langevin, missing, reaction_diffusion
from .simulate.noise import blurred
from .simulate.random_field import gaussian_random_field

FIRST_SEED = 1_000_000
"""Training sets use this seed and those that follow."""
SIDE = 112
"""Pixels a side of a training recording."""
WITH_HOLES = 0.3
"""Share of the recordings of which some values are missing, where a network has to learn what holes do."""


@dataclass(frozen=True)
class Examples:
    """A training set.

    Attributes:
        features: of the front end, `(recording, y, x, channel)`, float32; a series is one row.
        target: log of the true lambda over the closed form's, `(recording, y, x)`, float32; where lambda is no
            logarithm, their difference in the front end's unit.
        weight: of every pixel in the squared error, `(recording, y, x)`, float32, of mean 1 over a recording: the
            square of that unit.
        series: whether a recording is a series.
    """

    features: NDArray[np.float32]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]
    series: bool


@dataclass(frozen=True)
class Example:
    """One recording of `Examples`; without a weight all pixels count alike."""

    features: NDArray[np.float32]
    target: NDArray[np.float32]
    weight: NDArray[np.float32] | None = None


def correlated_noise(rng: np.random.Generator, shape: tuple[int, ...], std: float) -> tuple[NDArray[np.float64], float]:
    """Noise of standard deviation `std`, white in three of four draws, else every frame (or series) blurred.

    Returns:
        the noise, and the standard deviation the model is told: near the true one if white, too small if blurred.
    """
    noise = rng.standard_normal(shape)
    if rng.random() < 0.75:
        return noise * std, std * float(np.exp(0.05 * rng.standard_normal()))
    width = rng.uniform(0.4, 0.9)
    return blurred(noise, width) * std, std * float(rng.uniform(0.4, 1.0))


def draw_heat(front_end: ModelFile, seed: int) -> Example:
    """One steady recording: random field, discs, or both; source of one sign or (one in eight) of both; 0.3 to 20 %.

    Discs have 0.4 to 2.5 times the lambda around them, are 6 to 28 px in radius and 2 to 10 px wide at the border.
    The window lies anywhere in the plate. A front end for elongated pixels sees every point along their short side.
    """
    rng = np.random.default_rng(seed)
    points, keep = 255, sampling(front_end)
    side, shape = points + 1, (points, points)
    kind = rng.random()
    log_lam = np.zeros(shape)
    if kind < 0.6:
        field = gaussian_random_field(rng, shape, float(np.exp(rng.uniform(*np.log([0.05, 0.3])))) * side)
        log_lam += rng.uniform(0.2, 0.7) * field
    if kind > 0.45:
        discs = heat.draw_discs(
            rng, points, count=(1, 8), radius=(0.05, 0.22), edge=float(np.exp(rng.uniform(*np.log([0.015, 0.08]))))
        )
        log_lam += rng.uniform(0.5, 1.3) * np.log(discs)
    strength = rng.uniform(0.0, 0.5)
    field = gaussian_random_field(rng, shape, rng.uniform(0.1, 0.3) * side)
    m = field + 0.5 if rng.random() < 0.125 else np.exp(strength * field)
    u = heat.solve_poisson(-m / np.exp(log_lam), 1 / side)
    return observe(rng, front_end, u[None], log_lam, known={"m": m}, keep=keep, spacing=1 / side)


def sampling(front_end: ModelFile) -> tuple[int, int]:
    """Of which points along `(y, x)` a camera with the front end's pixels sees one, where square ones take each second.

    Raises:
        ValueError: for pixels of another shape than 1:1, 1:2 or 2:1.
    """
    y, x = (axis["aspect"] for axis in front_end.contract["grid"] if axis["name"] != "t")
    known = {1.0: (2, 2), 2.0: (2, 1), 0.5: (1, 2)}
    if y / x not in known:
        raise ValueError(f"{front_end.path}: got pixels of aspect y={y:g},x={x:g}, expected 1:1, 1:2 or 2:1")
    return known[y / x]


def draw_log_ratio(rng: np.random.Generator, side: int, length: tuple[float, float]) -> NDArray[np.float64]:
    """log lambda of a periodic recording: a bounded random field, smooth-edged discs, or both, within +-1.2.

    Args:
        rng: source of all that is drawn.
        side: pixels a side.
        length: range of the field's correlation length, in pixels.
    """
    kind = rng.random()
    log_lam = np.zeros((side, side))
    if kind < 0.75:
        scale = float(np.exp(rng.uniform(*np.log(length))))
        field = gaussian_random_field(rng, (side, side), scale, periodic=True)
        log_lam += rng.uniform(0.3, 1.1) * np.tanh(field)
    if kind > 0.6:
        discs = heat.draw_discs(
            rng, side, count=(1, 6), radius=(0.06, 0.25), edge=float(np.exp(rng.uniform(*np.log([0.02, 0.1]))))
        )
        log_lam += rng.uniform(0.4, 1.1) * np.log(discs)
    return np.clip(log_lam, -1.2, 1.2)


def observe(
    rng: np.random.Generator,
    front_end: ModelFile,
    u: NDArray[np.float64],
    log_lam: NDArray[np.float64],
    *,
    known: Mapping[str, NDArray[np.float64] | float] | None = None,
    keep: tuple[int, int] = (1, 1),
    spacing: float = 1.0,
    time_step: float = 1.0,
    holes: bool = True,
) -> Example:
    """Features and target of a window of `u`, axes `(frame, y, x)`, with noise of 0.3 to 20 %.

    Args:
        rng: source of window and noise.
        front_end: what computes the features.
        u: the noise-free recording.
        log_lam: log of the hidden parameter, `(y, x)`.
        known: known fields, `(y, x)`, and constants, by name.
        keep: the camera sees every so many points along `(y, x)`.
        spacing: distance of the points of `u`.
        time_step: time between frames.
        holes: whether values may be missing.
    """
    corner = rng.integers(0, [n // k - SIDE + 1 for n, k in zip(u.shape[1:], keep, strict=True)])
    cut = tuple(slice(k * c + k - 1, k * (c + SIDE) + k - 1, k) for c, k in zip(corner, keep, strict=True))
    level = float(np.exp(rng.uniform(*np.log([0.003, 0.2]))))
    noise, told = correlated_noise(rng, (len(u), SIDE, SIDE), level * u.std())
    seen = u[:, *cut] + noise
    given: dict[str, NDArray[np.float64] | float] = {
        name: value[cut] if isinstance(value, np.ndarray) else value for name, value in (known or {}).items()
    }
    given["noise"] = told
    if offset := front_end.named("offset"):
        given[offset] = float(np.median(seen))
    seen, valid = some_missing(rng, seen, missing.draw_holes) if holes else (seen, None)
    steps = [k * spacing for k in keep]
    feeds = front_end.feeds(seen, spacing=steps, time_step=time_step, valid=valid, given=given)
    features, closed = front_end.session.run(["features", "lambda"], feeds)
    target = log_lam[cut] - np.log(closed[0].astype(np.float64))
    return known_only(np.moveaxis(features[0], 0, -1), target)


def some_missing(
    rng: np.random.Generator,
    seen: NDArray[np.float64],
    draw: Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.bool_]],
) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    """A recording, `WITH_HOLES` of them without what `draw` takes and filled there, and where it was measured."""
    if rng.random() >= WITH_HOLES:
        return seen, None
    valid = ~draw(rng, seen.shape)
    return missing.fill(np.where(valid, seen, np.nan)), valid


def known_only(
    features: NDArray[np.float32], target: NDArray[np.float64], weight: NDArray[np.float64] | None = None
) -> Example:
    """An example in which values without a closed form, in the depth of a hole, do not count."""
    known = np.isfinite(target)
    if not known.all():
        weight = np.where(known, 1.0 if weight is None else weight, 0.0)
        target = np.where(known, target, 0.0)
    return Example(features, target.astype(np.float32), None if weight is None else weight.astype(np.float32))


def draw_heat_transient(front_end: ModelFile, seed: int) -> Example:
    """One changing recording of 128x128 pixels: lambda dt / h^2 of 0.6 to 14, u(0) of 8 to 28 px, source or none."""
    rng = np.random.default_rng(seed)
    side = 128
    log_lam = draw_log_ratio(rng, side, (8.0, 40.0)) + rng.uniform(-0.25, 0.25)
    lam = np.exp(log_lam)
    length = float(np.exp(rng.uniform(*np.log([8.0, 28.0]))))
    u0 = gaussian_random_field(rng, (side, side), length, periodic=True)
    strength = 0.0 if rng.random() < 0.25 else float(np.exp(rng.uniform(*np.log([0.005, 0.06]))))
    m = strength * gaussian_random_field(rng, (side, side), rng.uniform(8.0, 28.0), periodic=True)
    interval = rng.uniform(2.5, 5.0)
    time = interval * np.arange(float(front_end.contract["window"]))
    u = heat_transient.evolve(u0, lam, m, time, max_step=0.25 / lam.max())
    return observe(rng, front_end, u, log_lam, known={"m": m}, time_step=interval)


def draw_reaction_diffusion(front_end: ModelFile, seed: int) -> Example:
    """One recording of phi that starts from a random field independent of lambda, seen after 6 to 60 time units.

    Never from local equilibrium with lambda, so that what is learned is not a reading of lambda off phi; in one of
    five draws the start is nearly uniform, and phases separate by themselves. In two of three draws kappa is 1.3 to 3
    and k 0.006 to 0.017, given as inputs; else they are 2 and 0.01.
    """
    rng = np.random.default_rng(seed)
    side = 128
    log_lam = draw_log_ratio(rng, side, (10.0, 40.0))
    spread = rng.uniform(0.02, 0.1) if rng.random() < 0.2 else rng.uniform(0.2, 0.6)
    length = float(np.exp(rng.uniform(*np.log([4.0, 28.0]))))
    field = gaussian_random_field(rng, (side, side), length, periodic=True)
    phi0 = np.clip(rng.uniform(-0.5, 0.5) + spread * field, -0.95, 0.95)
    time = float(np.exp(rng.uniform(*np.log([6.0, 60.0])))) + 2.0 * np.arange(float(front_end.contract["window"]))
    kappa, k = reaction_diffusion.KAPPA, reaction_diffusion.RATE
    if rng.random() < 2 / 3:
        kappa, k = reaction_diffusion.draw_constants(rng)
    phi = reaction_diffusion.evolve(phi0, np.exp(log_lam), time, kappa=kappa, k=k)
    return observe(rng, front_end, phi, log_lam, known={"kappa": kappa, "k": k}, time_step=2.0, holes=False)


def draw_langevin(front_end: ModelFile, seed: int) -> Example:
    """One series of 256 samples: a random Fourier series, steps, or both; a dt of -0.02 to 0.02; 0.3 to 20 % noise.

    The correlation length is 6 to 64 samples. The front end's features have no unit, so the sample distance is 1.
    """
    rng = np.random.default_rng(seed)
    samples = 256
    time = np.arange(samples, dtype=np.float64)
    rate = rng.uniform(-0.02, 0.02)
    kind = rng.random()
    parts = []
    if kind < 0.85:
        parts.append(langevin.draw_forcing(rng, samples, float(np.exp(rng.uniform(*np.log([6.0, 64.0]))))))
    if kind > 0.75:
        parts.append(smooth_steps(rng, samples))
    lam, u = np.zeros(samples), float(rng.standard_normal()) * 10 * np.exp(rate * time)
    for part in parts:
        size = rng.uniform(0.4, 1.0) / part.value(time).std()
        lam += size * part.value(time)
        u += size * part.solution(time, 0.0, rate)
    level = float(np.exp(rng.uniform(*np.log([0.003, 0.2]))))
    noise, told = correlated_noise(rng, (samples,), level * u.std())
    seen = u + noise
    given = {"a": rate, "noise": told, "offset": float(np.median(seen))}
    seen, valid = some_missing(rng, seen, missing.draw_gaps)
    feeds = front_end.feeds(seen, spacing=(1.0,), valid=valid, given=given)
    features, closed, unit = front_end.session.run(["features", "lambda", "unit"], feeds)
    unit = unit[0].astype(np.float64)
    weight = unit**2 / np.mean(unit**2)
    target = (lam - closed[0]) / unit
    return known_only(features[0].T[None], target[None], weight[None])


def smooth_steps(rng: np.random.Generator, samples: int) -> langevin.FourierForcing:
    """One to five steps, 3 to 16 samples wide, as a Fourier series of twice the series' length."""
    time = np.arange(2 * samples)
    value = np.zeros(2 * samples)
    for _ in range(rng.integers(1, 6)):
        at, width = rng.uniform(0, samples), float(np.exp(rng.uniform(*np.log([3.0, 16.0]))))
        # Up and, half a period later, down again: the steps' ends join.
        up = np.tanh(np.sin(np.pi * (time - at) / samples) * samples / (np.pi * width))
        value += rng.standard_normal() * up
    coefficient = np.fft.rfft(value) / samples
    frequency = np.pi * np.arange(samples + 1) / samples
    return langevin.FourierForcing(frequency[1:-1], coefficient[1:-1])


LOOKS = 3
"""Recordings made of one simulated nucleus: the simulation takes a second, a recording of it a moment."""


@lru_cache(maxsize=1)
def draw_nucleus(number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """phi and log lambda of one nucleus of 128x128 pixels, seen 30 to 1,200 time units after a start without lambda.

    The reaction settles within 70 time units, so that early nuclei are not at local equilibrium with lambda.
    """
    rng = np.random.default_rng((number, 5))
    side = 128
    log_lam = draw_log_ratio(rng, side, (8.0, 40.0))
    field = gaussian_random_field(rng, (side, side), float(np.exp(rng.uniform(*np.log([4.0, 24.0])))), periodic=True)
    start = np.clip(rng.uniform(-0.5, 0.5) + rng.uniform(0.1, 0.5) * field, -0.95, 0.95)
    time = float(np.exp(rng.uniform(*np.log([30.0, 1200.0]))))
    phi = reaction_diffusion.evolve(start, np.exp(log_lam), np.array([time]), step=0.5, stabiliser=2.0)
    return phi[0], log_lam


def draw_chromatin(front_end: ModelFile, seed: int) -> Example:
    """One look at a nucleus: localisations counted in pixels and blurred, or an image with white noise.

    Heterochromatin is 2 to 12 times as dense as euchromatin; 15,000 to 1,000,000 localisations in 128x128 pixels with
    an error of a sixth to half of a pixel, blurred by one pixel as the command does unless told, or (one in four) noise
    of 0.3 to 20 %. The pure phases' densities are given, each wrong by 3 % of their distance in half of the looks.
    """
    phi, log_lam = draw_nucleus(seed // LOOKS)
    rng = np.random.default_rng(seed)
    contrast = float(np.exp(rng.uniform(*np.log([2.0, 12.0]))))
    density = 1 + (contrast - 1) * (1 + phi) / 2
    corner = rng.integers(0, len(phi) - SIDE + 1, 2)
    cut = tuple(slice(c, c + SIDE) for c in corner)
    if rng.random() < 0.25:
        level = float(np.exp(rng.uniform(*np.log([0.003, 0.2])))) * density.std()
        noise, told = correlated_noise(rng, (SIDE, SIDE), level)
        seen, unit = density[cut] + noise, 1.0
    else:
        unit = float(np.exp(rng.uniform(*np.log([15_000, 1_000_000])))) / density.sum()
        xy = chromatin.localise(rng, density * unit, 1.0, rng.uniform(0.16, 0.5))
        edges = [np.arange(SIDE + 1) + c for c in corner]
        counts, _, _ = np.histogram2d(xy[:, 1], xy[:, 0], bins=edges)
        # The blur takes the noise down to a quarter; what is told is what the command would find, or less.
        seen = gaussian_filter(counts, 1.0, mode="reflect")
        told = float(np.sqrt(counts.mean()) * rng.uniform(0.05, 0.3))
    wrong = rng.standard_normal(2) * (0.03 if rng.random() < 0.5 else 0.0) * (contrast - 1)
    given: dict[str, NDArray[np.float64] | float] = {
        "phi_low": unit * (1.0 + float(wrong[0])),
        "phi_high": unit * (contrast + float(wrong[1])),
        "noise": told,
    }
    if offset := front_end.named("offset"):
        given[offset] = float(np.median(seen))
    feeds = front_end.feeds(seen[None], spacing=(1.0, 1.0), given=given)
    features, closed = front_end.session.run(["features", "lambda"], feeds)
    target = log_lam[cut] - np.log(closed[0].astype(np.float64))
    return Example(np.moveaxis(features[0], 0, -1), target.astype(np.float32))


DRAW: dict[str, Callable[[ModelFile, int], Example]] = {
    "langevin": draw_langevin,
    "heat": draw_heat,
    "heat-transient": draw_heat_transient,
    "reaction-diffusion": draw_reaction_diffusion,
    "chromatin": draw_chromatin,
}
"""For each law that has a trunk: the recording of a seed."""


CHUNK = 10 * LOOKS
"""Recordings that a worker makes at a time; whole nuclei."""


def draw_one(law: str, front_ends: Sequence[ModelFile], seed: int) -> Example:
    """The recording of a seed, behind one of the front ends, which take turns."""
    return DRAW[law](front_ends[seed % len(front_ends)], seed)


def draw_some(law: str, paths: Sequence[Path], first_seed: int, count: int) -> list[Example]:
    """The recordings of some seeds, behind the front ends in these files."""
    front_ends = [opened(path) for path in paths]
    return [draw_one(law, front_ends, first_seed + i) for i in range(count)]


@cache
def opened(path: Path) -> ModelFile:
    """A front end, whose session each process makes once."""
    return ModelFile(path)


def examples(
    law: str, front_ends: Sequence[ModelFile], *, count: int, first_seed: int = FIRST_SEED, workers: int = 1
) -> Examples:
    """Simulate `count` recordings and run a front end over each; the same ones whatever the number of `workers`.

    Args:
        law: key of `DRAW`.
        front_ends: which take turns: one for each shape of pixels.
        count: recordings.
        first_seed: of the first one.
        workers: processes that simulate.
    """
    series = front_ends[0].contract["kind"] == "series"
    first = draw_one(law, front_ends, first_seed)
    # Filled one by one: a second copy of thousands of recordings may be more than the machine has.
    features = np.empty((count, *first.features.shape), np.float32)
    target = np.empty((count, *first.target.shape), np.float32)
    weight = np.ones_like(target)

    def keep(i: int, drawn: Example) -> None:
        features[i], target[i] = drawn.features, drawn.target
        if drawn.weight is not None:
            weight[i] = drawn.weight

    if workers == 1:
        for i in range(count):
            keep(i, first if i == 0 else draw_one(law, front_ends, first_seed + i))
        return Examples(features, target, weight, series)
    starts, paths = range(0, count, CHUNK), [front_end.path for front_end in front_ends]
    # Not forked: the libraries of the training have threads.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting: deque[tuple[int, Future[list[Example]]]] = deque()
        for start in [*starts, None]:
            # Few at a time, as they take memory until they are kept.
            while waiting and (start is None or len(waiting) >= 2 * workers):
                at, drawn = waiting.popleft()
                for k, example in enumerate(drawn.result()):
                    keep(at + k, example)
            if start is not None:
                size = min(CHUNK, count - start)
                waiting.append((start, pool.submit(draw_some, law, paths, first_seed + start, size)))
    return Examples(features, target, weight, series)
