"""Inverse problems on one recording: the equation, what was measured, and, for simulated ones, the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import griddata

from ..simulate import heat, langevin, reaction_diffusion
from .derivatives import Axes
from .layer import Mollifier

Array = NDArray[np.float64]
Terms = Mapping[str, jax.Array]
Known = Mapping[str, Array | float]
Form = Literal["smoothed", "weak"]


@dataclass(frozen=True)
class Equation:
    """A law written as numerator = lambda * denominator, both computed from derivatives and what is known.

    Attributes:
        axes: names of the field's axes; lambda depends on all of them but, where there is space, not on time.
        terms: the derivatives it needs.
        sides: numerator and denominator of terms and known values.
        figure: the one derivative whose accuracy is reported, of terms: the highest that lambda rests on.
        positive: whether lambda is; then a network gives its logarithm.
        family: of the mollifier's kernels.
        highest: order of the highest derivative along each axis.
        known: names of what else is known, with the unitless default of each; None has no default.
    """

    axes: tuple[str, ...]
    terms: tuple[str, ...]
    sides: Callable[[Terms, Mapping[str, jax.Array | float], ModuleType], tuple[jax.Array, jax.Array]]
    figure: Callable[[Terms], jax.Array]
    positive: bool
    family: str
    highest: tuple[int, ...]
    known: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def split(self) -> Axes:
        """Which axis is time, which are space."""
        time = self.axes.index("t") if "t" in self.axes else None
        return Axes(time, tuple(i for i, name in enumerate(self.axes) if name != "t"))

    @property
    def lambda_axes(self) -> tuple[int, ...]:
        """Axes that lambda depends on."""
        return self.split.space or (0,)

    def orders(self) -> list[tuple[int, ...]]:
        """Derivatives that a mollifier layer gives for `terms`, and in which order."""
        count, split = len(self.axes), self.split

        def unit(parts: Mapping[int, int]) -> tuple[int, ...]:
            return tuple(parts.get(axis, 0) for axis in range(count))

        wanted = [unit({})]
        if "dt" in self.terms:
            wanted.append(unit({split.time: 1}))
        if "gradient_squared" in self.terms:
            wanted += [unit({axis: 1}) for axis in split.space]
        if "laplacian" in self.terms:
            wanted += [unit({axis: 2}) for axis in split.space]
        if "bilaplacian" in self.terms:
            wanted += [unit({axis: 4}) for axis in split.space]
            wanted += [unit({a: 2, b: 2}) for i, a in enumerate(split.space) for b in split.space[i + 1 :]]
        return wanted

    def gather(self, derivatives: Sequence[jax.Array]) -> dict[str, jax.Array]:
        """Terms from the derivatives of `orders`, on the grid."""
        space, rest = len(self.split.space), list(derivatives)
        found = {"value": rest.pop(0)}
        if "dt" in self.terms:
            found["dt"] = rest.pop(0)
        if "gradient_squared" in self.terms:
            found["gradient_squared"] = sum(rest.pop(0) ** 2 for _ in range(space))
        if "laplacian" in self.terms:
            found["laplacian"] = sum(rest.pop(0) for _ in range(space))
        if "bilaplacian" in self.terms:
            found["bilaplacian"] = sum(rest.pop(0) for _ in range(space)) + 2 * sum(rest)
        return found

    def mollified(self, layer: Mollifier, g: jax.Array, form: Form) -> dict[str, jax.Array]:
        """Terms of a field on a layer's grid.

        Args:
            layer: the mollifier.
            g: of shape `layer.padded`.
            form: `smoothed`: the field is g smoothed, as the paper has it, and so is what a product is made of.
                `weak`: the field is g itself and the equation is smoothed as a whole: products are formed first, and
                every derivative stands on the kernel. The two differ in nonlinear equations, where the first is wrong
                as soon as the field changes within a kernel.
        """
        found = self.gather(layer.derivatives(g, self.orders()))
        if form == "weak" and "gradient_squared" in found:
            count = len(self.axes)
            second = [tuple(2 * (axis == a) for a in range(count)) for axis in self.split.space]
            found["laplacian_of_cube"] = sum(layer.derivatives(g**3, second))
        return found


def langevin_sides(d: Terms, known: Known, xp: ModuleType) -> tuple[jax.Array, jax.Array]:
    """u_t = a u + lambda."""
    return d["dt"] - known["a"] * d["value"], xp.ones_like(d["value"])


def heat_sides(d: Terms, known: Known, xp: ModuleType) -> tuple[jax.Array, jax.Array]:
    """0 = lambda Lap u + m."""
    return -known["m"] + xp.zeros_like(d["value"]), d["laplacian"]


def heat_transient_sides(d: Terms, known: Known, _: ModuleType) -> tuple[jax.Array, jax.Array]:
    """u_t = lambda Lap u + m."""
    return d["dt"] - known["m"], d["laplacian"]


def chemical_part(d: Terms, kappa: float) -> jax.Array:
    """Lap(phi^3 - phi - kappa Lap phi); the cube's part is multiplied out unless the terms hold it."""
    cubic = d.get("laplacian_of_cube")
    if cubic is None:
        phi = d["value"]
        cubic = 3 * phi**2 * d["laplacian"] + 6 * phi * d["gradient_squared"]
    return cubic - d["laplacian"] - kappa * d["bilaplacian"]


def reaction_diffusion_sides(d: Terms, known: Known, _: ModuleType) -> tuple[jax.Array, jax.Array]:
    """phi_t = Lap(phi^3 - phi - kappa Lap phi) + k [lambda (1 - phi) - (1 + phi)]."""
    phi, k = d["value"], known["k"]
    return d["dt"] - chemical_part(d, known["kappa"]) + k * (1 + phi), k * (1 - phi)


EQUATIONS = {
    "langevin": Equation(("t",), ("value", "dt"), langevin_sides, lambda d: d["dt"], False, "poly4", (1,), {"a": 1.0}),
    "heat": Equation(
        ("y", "x"), ("value", "laplacian"), heat_sides, lambda d: d["laplacian"], True, "poly4", (2, 2), {"m": None}
    ),
    "heat-transient": Equation(
        ("t", "y", "x"),
        ("value", "dt", "laplacian"),
        heat_transient_sides,
        lambda d: d["laplacian"],
        True,
        "poly4",
        (1, 2, 2),
        {"m": 0.0},
    ),
    "reaction-diffusion": Equation(
        ("t", "y", "x"),
        ("value", "dt", "gradient_squared", "laplacian", "bilaplacian"),
        reaction_diffusion_sides,
        lambda d: d["bilaplacian"],
        True,
        "poly8",
        (1, 4, 4),
        {"kappa": 2.0, "k": 0.01},
    ),
}
"""By the name that `--problem` takes."""


@dataclass(frozen=True)
class Task:
    """One recording to fit.

    Attributes:
        name: key of `EQUATIONS`.
        u: what was measured, on the grid of the equation's axes; anything where it was not.
        seen: where it was measured, of the same shape.
        spacing: distance of the samples along each axis.
        known: fields on the axes of lambda, and numbers.
        lam: the true parameter on its axes; None for a person's recording.
        figure: the true derivative `Equation.figure`, on the grid; None likewise.
        units: of the spacing, by the name of the axis; empty without units.
    """

    name: str
    u: Array
    seen: NDArray[np.bool_]
    spacing: tuple[float, ...]
    known: Mapping[str, Array | float]
    lam: Array | None = None
    figure: Array | None = None
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def equation(self) -> Equation:
        """The law."""
        return EQUATIONS[self.name]

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """First and last coordinate along each axis; the first is 0."""
        return [(0.0, h * (n - 1)) for n, h in zip(self.u.shape, self.spacing, strict=True)]

    @property
    def statistics(self) -> tuple[float, float]:
        """Mean and standard deviation of what was seen."""
        return float(self.u[self.seen].mean()), float(self.u[self.seen].std())

    def mollifier(self, radius: Sequence[int]) -> Mollifier:
        """The layer on the task's grid, for a network that is evaluated beyond it."""
        e = self.equation
        return Mollifier(e.family, tuple(radius), self.u.shape, self.spacing, e.highest)

    def filled(self) -> Array:
        """The data with gaps filled linearly between neighbours, beyond the outermost ones by the nearest."""
        if self.seen.all():
            return self.u
        at, targets = np.argwhere(self.seen), np.argwhere(~self.seen)
        values = self.u[self.seen]
        filled = self.u.copy()
        linear = griddata(at, values, targets) if at.shape[1] > 1 else np.interp(targets[:, 0], at[:, 0], values)
        linear = np.ravel(linear)
        missing = np.isnan(linear)
        if missing.any():
            linear[missing] = griddata(at, values, targets[missing], method="nearest")
        filled[tuple(targets.T)] = linear
        return filled

    def first_guess(self, radius: Sequence[int]) -> tuple[float, float]:
        """One number for lambda and the size of the equation's numerator, from kernels over the data themselves.

        Both kinds of network start from them, so that neither has to find the order of magnitude.

        Args:
            radius: of the kernels; where the frame is smaller than a kernel it is cut down.
        """
        e = self.equation
        fits = [min(r, (n - 1) // 2) for r, n in zip(radius, self.u.shape, strict=True)]
        layer = Mollifier(e.family, tuple(fits), self.u.shape, self.spacing, e.highest, "one-sided")
        d = e.mollified(layer, jnp.asarray(self.filled()), "weak")
        num, den = (np.asarray(side, np.float64) for side in e.sides(d, self.known, jnp))
        size = float(np.sqrt(np.mean(num**2)))
        if not e.positive:
            return 0.0, size or 1.0
        return max(float(np.sum(num * den) / np.sum(den**2)), 1e-3 * size / float(np.sqrt(np.mean(den**2)))), size


# Simulated tasks. White noise is measured in the standard deviation of the clean field, as everywhere here.


def noisy(rng: np.random.Generator, u: Array, percent: float) -> Array:
    """The field with white noise of `percent` % of its standard deviation."""
    return u + rng.standard_normal(u.shape) * (percent / 100 * u.std())


def langevin_task(seed: int, noise: float, *, forcing_noise: float = 0.0) -> Task:
    """The series of `simulate.langevin`, 256 samples over [0, 2].

    Args:
        seed: names the series.
        noise: of the measurement, in per cent.
        forcing_noise: standard deviation of white noise in the forcing itself over one unit of time; it acts on u and
            is no part of the lambda that is looked for.
    """
    clean = langevin.simulate(seed)
    rng = np.random.default_rng((seed, 11))
    u = clean.u
    if forcing_noise:
        # The response of u_t = a u to independent kicks between samples.
        kicks = forcing_noise * np.sqrt(clean.spacing) * rng.standard_normal(len(u) - 1)
        response, now = np.zeros(len(u)), 0.0
        for i, kick in enumerate(kicks):
            now = now * np.exp(clean.a * clean.spacing) + kick
            response[i + 1] = now
        u = u + response
    return Task(
        "langevin",
        noisy(rng, u, noise),
        np.ones(u.shape, bool),
        (clean.spacing,),
        {"a": clean.a},
        clean.lam,
        clean.a * clean.u + clean.lam,
    )


def heat_task(seed: int, noise: float, *, sensors: float = 0.5, keep: int = 4) -> Task:
    """A plate of `simulate.heat` on a grid of 63x63 points, thermometers on a share of them.

    Args:
        seed: names the plate.
        noise: in per cent.
        sensors: share of the grid's points that are measured.
        keep: every `keep`-th point of the simulation's 255x255.
    """
    clean = heat.simulate(seed, keep=keep)
    rng = np.random.default_rng((seed, 12))
    u = noisy(rng, clean.u, noise)
    seen = np.zeros(u.size, bool)
    seen[rng.permutation(u.size)[: round(sensors * u.size)]] = True
    seen = seen.reshape(u.shape)
    return Task("heat", np.where(seen, u, 0.0), seen, clean.spacing, {"m": clean.m}, clean.lam, -clean.m / clean.lam)


def bilaplacian(phi: Array) -> Array:
    """Lap Lap phi of periodic frames `(frame, y, x)` of unit spacing, in Fourier space."""
    k = [2 * np.pi * np.fft.fftfreq(n) for n in phi.shape[1:]]
    k2 = k[0][:, None] ** 2 + k[1][None, :] ** 2
    return np.fft.ifft2(np.fft.fft2(phi) * k2**2).real


def reaction_diffusion_task(seed: int, noise: float, *, side: int = 32) -> Task:
    """The middle of a recording of set B of `simulate.reaction_diffusion`: five frames of `side` x `side` pixels."""
    clean = reaction_diffusion.simulate(seed)
    rng = np.random.default_rng((seed, 13))
    first = (clean.phi.shape[-1] - side) // 2
    cut = (slice(first, first + side),) * 2
    u = noisy(rng, clean.phi, noise)[:, *cut]
    return Task(
        "reaction-diffusion",
        u,
        np.ones(u.shape, bool),
        (float(clean.time[1] - clean.time[0]), 1.0, 1.0),
        {"kappa": clean.kappa, "k": clean.k},
        clean.lam[cut],
        bilaplacian(clean.phi)[:, *cut],
    )


SIMULATED: dict[str, Callable[..., Task]] = {
    "langevin": langevin_task,
    "heat": heat_task,
    "reaction-diffusion": reaction_diffusion_task,
}
"""The paper's three problems."""
