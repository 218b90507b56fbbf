"""Fits two networks, of the field and of lambda, to one recording."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from .derivatives import METHODS
from .layer import Mollifier
from .networks import ARCHITECTURES, Mlp, PirateNet, Scaled
from .tasks import Form, Task

Array = NDArray[np.float64]


WARM = 3
"""Steps after which a step's memory has been seen."""


@dataclass(frozen=True)
class Settings:
    """How a recording is fitted.

    Attributes:
        architecture: key of `networks.ARCHITECTURES`, of the field's network.
        method: `mollified`, `nested` or `taylor`: where derivatives come from.
        form: of a mollified equation, see `Equation.mollified`.
        variant: `network`: lambda is a network and the equation part of the loss; `direct`: the field alone is fitted
            and lambda computed from its derivatives.
        radius: of the mollifier along each axis, in samples.
        steps: of Adam.
        rate: its first learning rate; it falls along a cosine to a hundredth.
        weight: of the equation's residual in the loss.
        sampled: of a plain network: number of grid points, drawn anew for each step, at which the residual is taken;
            0 takes all of them.
        finish: iterations of L-BFGS behind the steps of Adam, on the same points throughout.
        options: of the architecture.
        lambda_width, lambda_depth: of lambda's network, the same fully connected one for every architecture.
        seed: of the networks' first weights.
    """

    architecture: str = "mlp"
    method: str = "mollified"
    form: Form = "smoothed"
    variant: str = "network"
    radius: tuple[int, ...] = ()
    steps: int = 1000
    rate: float = 3e-3
    weight: float = 1.0
    sampled: int = 0
    finish: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    lambda_width: int = 32
    lambda_depth: int = 3
    seed: int = 0


class Networks(eqx.Module):
    """The two networks of a fit, both of physical coordinates.

    Attributes:
        field: u, or with a mollifier the g that it smooths.
        lam: of lambda, or of its logarithm.
    """

    field: Scaled
    lam: Scaled


@dataclass(frozen=True)
class Fit:
    """A recording bound to its networks' grid: all that a step needs.

    Attributes:
        task: the recording.
        settings: how.
        layer: the mollifier, None for plain networks.
        points: where the field's network is evaluated, `(point, axis)`: the grid, with a margin if mollified.
        lambda_points: where lambda's is, `(point, axis of lambda)`.
        guess: lambda at the start.
        size: of the equation's numerator, by which residuals are divided.
    """

    task: Task
    settings: Settings
    layer: Mollifier | None
    points: jax.Array
    lambda_points: jax.Array
    guess: float
    size: float

    def start(self) -> Networks:
        """The networks before training."""
        task, s = self.task, self.settings
        first, second = jax.random.split(jax.random.key(s.seed))
        network = ARCHITECTURES[s.architecture](len(task.u.shape), key=first, **s.options)
        mean, std = task.statistics
        if isinstance(network, PirateNet):
            grid = mesh([np.linspace(-1, 1, n) for n in task.u.shape])[task.seen.ravel()]
            network = network.started(jnp.asarray(grid, jnp.float32), (task.u[task.seen] - mean) / std)
        axes = task.equation.lambda_axes
        lam = Mlp(len(axes), width=s.lambda_width, depth=s.lambda_depth, key=second)
        offset, size = (np.log(self.guess), 1.0) if task.equation.positive else (0.0, self.size)
        bounds = task.bounds
        return Networks(Scaled(network, bounds, mean, std), Scaled(lam, [bounds[axis] for axis in axes], offset, size))

    def evaluate(self, networks: Networks) -> tuple[dict[str, jax.Array], jax.Array]:
        """The equation's terms and the field that the data are samples of, on the task's grid."""
        task, e = self.task, self.task.equation
        if self.layer is not None:
            g = networks.field(self.points).reshape(self.layer.padded)
            terms = e.mollified(self.layer, g, self.settings.form)
            return terms, terms["value"] if self.settings.form == "smoothed" else self.inner(g)
        found = METHODS[self.settings.method](networks.field, self.points, e.split, e.terms)
        terms = {name: value.reshape(task.u.shape) for name, value in found.items()}
        return terms, terms["value"]

    def terms(self, networks: Networks) -> dict[str, jax.Array]:
        """The equation's terms on the task's grid."""
        return self.evaluate(networks)[0]

    def value(self, networks: Networks) -> jax.Array:
        """The field that the data are samples of, on the task's grid: g smoothed, or g itself."""
        g = networks.field(self.points)
        if self.layer is None:
            return g.reshape(self.task.u.shape)
        g = g.reshape(self.layer.padded)
        return self.layer(g) if self.settings.form == "smoothed" else self.inner(g)

    def inner(self, g: jax.Array) -> jax.Array:
        """A field on the layer's grid without its margin."""
        return g[tuple(slice(m, n - m) for m, n in zip(self.layer.margin, g.shape, strict=True))]

    def known(self) -> dict[str, jax.Array | float]:
        """Known fields as arrays that broadcast over the grid."""
        return {k: jnp.asarray(v, jnp.float32) if isinstance(v, np.ndarray) else v for k, v in self.task.known.items()}

    def lambda_map(self, networks: Networks) -> jax.Array:
        """Lambda's network on its axes of the grid."""
        values = networks.lam(self.lambda_points)
        shape = [self.task.u.shape[axis] for axis in self.task.equation.lambda_axes]
        return (jnp.exp(values) if self.task.equation.positive else values).reshape(shape)

    def residual(self, networks: Networks, terms: Mapping[str, jax.Array]) -> jax.Array:
        """What the equation leaves over, on the task's grid, divided by its size."""
        num, den = self.task.equation.sides(terms, self.known(), jnp)
        # Lambda's axes are the last ones.
        return (num - self.lambda_map(networks) * den) / self.size

    def sampled_residual(self, networks: Networks, key: jax.Array) -> jax.Array:
        """The same at `settings.sampled` points of the grid, drawn with `key`; of a plain network."""
        e, shape = self.task.equation, self.task.u.shape
        chosen = jax.random.randint(key, (self.settings.sampled,), 0, self.points.shape[0])
        on_lambda = chosen % self.lambda_points.shape[0]
        terms = METHODS[self.settings.method](networks.field, self.points[chosen], e.split, e.terms)
        known = {
            k: jnp.broadcast_to(v, [shape[axis] for axis in e.lambda_axes]).ravel()[on_lambda]
            if isinstance(v, jax.Array)
            else v
            for k, v in self.known().items()
        }
        num, den = e.sides(terms, known, jnp)
        values = networks.lam(self.lambda_points[on_lambda])
        return (num - (jnp.exp(values) if e.positive else values) * den) / self.size

    def loss(self, networks: Networks, key: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Weighted sum of the two mean squares, and each: of the data, of the equation."""
        task, s = self.task, self.settings
        std = task.statistics[1]
        seen = jnp.asarray(task.seen, jnp.float32)
        data = jnp.asarray(np.where(task.seen, task.u, 0.0), jnp.float32)
        if s.variant == "direct":
            value, physics = self.value(networks), jnp.zeros(())
        elif s.sampled:
            value, physics = self.value(networks), jnp.mean(self.sampled_residual(networks, key) ** 2)
        else:
            terms, value = self.evaluate(networks)
            physics = jnp.mean(self.residual(networks, terms) ** 2)
        misfit = jnp.sum(seen * ((value - data) / std) ** 2) / task.seen.sum()
        return misfit + s.weight * physics, (misfit, physics)

    def direct(self, terms: Mapping[str, Any], *, average: bool = False) -> Array:
        """Lambda from the terms: numerator / denominator, by least squares over the frames where there are several.

        Args:
            terms: on the grid.
            average: take the least squares over a neighbourhood as well, that of the mollifier's own kernel.
        """
        task, e, s = self.task, self.task.equation, self.settings
        num, den = (np.asarray(side, np.float64) for side in e.sides(terms, self.known(), jnp))
        top, bottom = num * den, den**2
        if e.split.time is not None and e.split.space:
            top, bottom = top.mean(axis=e.split.time), bottom.mean(axis=e.split.time)
        if average:
            axes = e.lambda_axes
            radius, spacing = tuple(s.radius[a] for a in axes), tuple(task.spacing[a] for a in axes)
            smooth = Mollifier("poly4", radius, top.shape, spacing, (0,) * len(axes))
            # Nothing beyond the border: the quotient is then a mean over what there is, with positive weights.
            beyond = [(m, m) for m in smooth.margin]
            top, bottom = (np.asarray(smooth(jnp.asarray(np.pad(side, beyond), jnp.float32))) for side in (top, bottom))
        with np.errstate(divide="ignore", invalid="ignore"):
            return top / bottom


def mesh(axes: Sequence[Array]) -> Array:
    """All points of a grid, `(point, axis)`, the last axis the fastest."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def bind(task: Task, settings: Settings) -> Fit:
    """Bind a recording and settings."""
    layer = task.mollifier(settings.radius) if settings.method == "mollified" else None
    own = [h * np.arange(n) for n, h in zip(task.u.shape, task.spacing, strict=True)]
    axes = own if layer is None else layer.coordinates([0.0] * len(own))
    guess, size = task.first_guess(settings.radius)
    return Fit(
        task,
        settings,
        layer,
        jnp.asarray(mesh(axes), jnp.float32),
        jnp.asarray(mesh([own[axis] for axis in task.equation.lambda_axes]), jnp.float32),
        guess,
        size,
    )


Step = Callable[
    [Networks, optax.OptState, jax.Array], tuple[Networks, optax.OptState, jax.Array, tuple[jax.Array, jax.Array]]
]


def stepper(fit: Fit) -> tuple[Step, optax.GradientTransformation]:
    """One step of Adam, and the optimiser whose state it takes."""
    s = fit.settings
    schedule = optax.cosine_decay_schedule(s.rate, s.steps, alpha=0.01)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    def step(
        networks: Networks, state: optax.OptState, key: jax.Array
    ) -> tuple[Networks, optax.OptState, jax.Array, tuple[jax.Array, jax.Array]]:
        (value, parts), slope = eqx.filter_value_and_grad(fit.loss, has_aux=True)(networks, key)
        change, state = optimiser.update(slope, state)
        return eqx.apply_updates(networks, change), state, value, parts

    return step, optimiser


@dataclass
class Record:
    """What happened in a training.

    Attributes:
        steps: that were done.
        seconds: of processor time spent in steps, without compilation and without looking at the result. On one
            thread they are what a clock shows on an idle machine, and they hardly change on a busy one.
        clock_seconds: the same by the clock.
        step_seconds: processor time of each.
        compile_seconds: spent compiling the step.
        buffer_bytes: working memory of one step as the compiler laid it out.
        capped: whether the time ran out first.
        history: at each look: step, seconds, loss, data, physics, and what `look` gave.
    """

    steps: int = 0
    seconds: float = 0.0
    clock_seconds: float = 0.0
    step_seconds: list[float] = field(default_factory=list)
    compile_seconds: float = 0.0
    buffer_bytes: int = 0
    capped: bool = False
    history: list[dict[str, float]] = field(default_factory=list)


def train(
    fit: Fit,
    *,
    cap: float = float("inf"),
    looks: int = 20,
    look: Callable[[Networks], Mapping[str, float]] | None = None,
    compiled: Callable[[], None] | None = None,
    warmed: Callable[[], None] | None = None,
    stop: Callable[[Record], bool] | None = None,
) -> tuple[Networks, Record]:
    """Train a fit's networks.

    Args:
        fit: recording and settings.
        cap: seconds of processor time in steps after which it ends.
        looks: how often the result is looked at, evenly over the steps.
        look: what is measured then.
        compiled: called once between compilation and the first step.
        warmed: called once after `WARM` steps, before the first look.
        stop: asked after each look whether to end early.

    Returns:
        the networks after the last step, and what happened.
    """
    networks = fit.start()
    step, optimiser = stepper(fit)
    state = optimiser.init(eqx.filter(networks, eqx.is_inexact_array))
    arrays, static = eqx.partition((networks, state), eqx.is_array)

    def pure(arrays: Any, key: jax.Array) -> Any:  # noqa: ANN401 - a tree of arrays
        networks, state, value, parts = step(*eqx.combine(arrays, static), key)
        return eqx.filter((networks, state), eqx.is_array), value, parts

    record, started = Record(), time.monotonic()
    keys = jax.random.split(jax.random.fold_in(jax.random.key(fit.settings.seed), 1), fit.settings.steps)
    run = jax.jit(pure, donate_argnums=0).lower(arrays, keys[0]).compile()
    record.compile_seconds = time.monotonic() - started
    memory = run.memory_analysis()
    record.buffer_bytes = int(memory.temp_size_in_bytes) if memory is not None else 0
    if compiled is not None:
        compiled()
    parts: tuple[jax.Array, jax.Array] | None = None

    def advance(i: int) -> float:
        nonlocal arrays, parts
        arrays, value, parts = run(arrays, keys[i])
        return float(value)

    watch = Watch(record, cap, look, stop)
    total = fit.settings.steps
    watch.repeat(
        advance,
        lambda: (eqx.combine(arrays, static)[0], parts),
        total=total,
        every=max(total // looks, WARM),
        warmed=warmed,
    )
    networks = eqx.combine(arrays, static)[0]
    if fit.settings.finish and not record.capped:
        networks = finish(fit, networks, watch, looks=looks)
    return networks, record


@dataclass
class Watch:
    """Takes the time of steps and looks at what they bring.

    Attributes:
        record: what happened so far; goes on.
        cap: seconds of processor time in steps, all stages together.
        look: as of `train`.
        stop: as of `train`.
    """

    record: Record
    cap: float
    look: Callable[[Networks], Mapping[str, float]] | None
    stop: Callable[[Record], bool] | None

    def repeat(
        self,
        advance: Callable[[int], float],
        shown: Callable[[], tuple[Networks, tuple[jax.Array, jax.Array]]],
        *,
        total: int,
        every: int,
        warmed: Callable[[], None] | None = None,
    ) -> None:
        """Take the steps of one stage, until they are done, the time is, or a look says so.

        Args:
            advance: takes the step of this number; gives the loss.
            shown: the networks after it, and the misfit of the data and of the equation.
            total: steps.
            every: steps from one look to the next.
            warmed: as of `train`.
        """
        record = self.record
        for i in range(total):
            started, clock = time.process_time(), time.monotonic()
            value = advance(i)
            record.steps += 1
            record.clock_seconds += time.monotonic() - clock
            record.step_seconds.append(time.process_time() - started)
            record.seconds += record.step_seconds[-1]
            record.capped = record.seconds >= self.cap and i + 1 < total
            if i + 1 == WARM and warmed is not None:
                warmed()
            if (i + 1) % every == 0 or i + 1 == total or record.capped:
                networks, (data, physics) = shown()
                row = {
                    "step": record.steps,
                    "seconds": record.seconds,
                    "loss": value,
                    "data": float(data),
                    "physics": float(physics),
                }
                record.history.append(row | dict(self.look(networks) if self.look else {}))
                told = self.stop is not None and self.stop(record)
                if record.capped or told or not np.isfinite(value):
                    return


MEMORY = 20
"""Pairs of steps and slopes that L-BFGS remembers."""


def finish(fit: Fit, networks: Networks, watch: Watch, *, looks: int) -> Networks:
    """Go on with L-BFGS, which gets further in fewer steps once the loss is smooth around the networks.

    Args:
        fit: recording and settings.
        networks: after Adam.
        watch: of both stages.
        looks: half as many are taken here.

    Returns:
        the networks after the last iteration.
    """
    parameters, static = eqx.partition(networks, eqx.is_inexact_array)
    key = jax.random.fold_in(jax.random.key(fit.settings.seed), 2)
    optimiser = optax.lbfgs(memory_size=MEMORY)

    def value(parameters: Any) -> jax.Array:  # noqa: ANN401 - a tree of arrays
        return fit.loss(eqx.combine(parameters, static), key)[0]

    def step(parameters: Any, state: Any) -> Any:  # noqa: ANN401
        loss, slope = optax.value_and_grad_from_state(value)(parameters, state=state)
        change, state = optimiser.update(slope, state, parameters, value=loss, grad=slope, value_fn=value)
        return optax.apply_updates(parameters, change), state, loss

    parts = eqx.filter_jit(fit.loss)
    state = optimiser.init(parameters)
    started = time.monotonic()
    run = jax.jit(step).lower(parameters, state).compile()
    watch.record.compile_seconds += time.monotonic() - started

    def advance(_: int) -> float:
        nonlocal parameters, state
        parameters, state, loss = run(parameters, state)
        return float(loss)

    def shown() -> tuple[Networks, tuple[jax.Array, jax.Array]]:
        networks = eqx.combine(parameters, static)
        return networks, parts(networks, key)[1]

    total = fit.settings.finish
    watch.repeat(advance, shown, total=total, every=max(total // max(looks // 2, 1), 1))
    return eqx.combine(parameters, static)
