"""The three architectures, written after their papers: functions of points `(point, axis)` with one value a point.

`Scaled` takes physical coordinates and scales them to [-1, 1] over the domain, and gives the output the data's mean and
size.
"""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

Dense = tuple[jax.Array, jax.Array]
Bounds = Sequence[tuple[float, float]]


def glorot(key: jax.Array, enter: int, leave: int) -> Dense:
    """Weights `(enter, leave)` of Glorot and Bengio's variance, zero bias `(leave,)`."""
    return jax.random.normal(key, (enter, leave)) * (2 / (enter + leave)) ** 0.5, jnp.zeros(leave)


def dense(layer: Dense, x: jax.Array) -> jax.Array:
    """x W + b."""
    return x @ layer[0] + layer[1]


class Scaled(eqx.Module):
    """A network between fixed scales of coordinates and output.

    Attributes:
        inner: of coordinates in [-1, 1].
        centre, half: of the domain along each axis.
        mean, size: of the output.
    """

    inner: eqx.Module
    centre: tuple[float, ...] = eqx.field(static=True)
    half: tuple[float, ...] = eqx.field(static=True)
    mean: float = eqx.field(static=True)
    size: float = eqx.field(static=True)

    def __init__(self, inner: eqx.Module, bounds: Bounds, mean: float = 0.0, size: float = 1.0) -> None:
        self.inner = inner
        self.centre = tuple(float(low + high) / 2 for low, high in bounds)
        self.half = tuple(float(high - low) / 2 for low, high in bounds)
        self.mean, self.size = float(mean), float(size)

    def __call__(self, points: jax.Array) -> jax.Array:
        """Values `(point,)` at physical coordinates `(point, axis)`."""
        centre, half = jnp.asarray(self.centre, points.dtype), jnp.asarray(self.half, points.dtype)
        return self.mean + self.size * self.inner((points - centre) / half)


class Mlp(eqx.Module):
    """Fully connected layers with tanh between them (Raissi, Perdikaris, Karniadakis 2019).

    Attributes:
        layers: weights and biases.
    """

    layers: list[Dense]

    def __init__(self, axes: int, *, width: int = 64, depth: int = 4, gain: float = 1.0, key: jax.Array) -> None:
        """`gain` multiplies the first layer's weights and spreads its kinks: the finer the field, the larger."""
        sizes = [axes, *[width] * depth, 1]
        keys = jax.random.split(key, len(sizes))
        self.layers = [glorot(k, a, b) for k, a, b in zip(keys, sizes[:-1], sizes[1:], strict=False)]
        if gain != 1.0:
            weights = gain * self.layers[0][0]
            self.layers[0] = (
                weights,
                jnp.linalg.norm(weights, axis=0) * jax.random.uniform(keys[-1], (width,), minval=-1),
            )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Values `(point,)` at `(point, axis)`."""
        for layer in self.layers[:-1]:
            x = jnp.tanh(dense(layer, x))
        return dense(self.layers[-1], x)[..., 0]


class Factored(eqx.Module):
    """A dense layer with randomly factorised weights: W = V diag(exp s) (Wang and others 2022).

    Attributes:
        scale: s, `(leave,)`, drawn from N(mean, spread^2).
        weights: V, `(enter, leave)`.
        bias: `(leave,)`.
    """

    scale: jax.Array
    weights: jax.Array
    bias: jax.Array

    def __init__(self, enter: int, leave: int, *, mean: float = 1.0, spread: float = 0.1, key: jax.Array) -> None:
        drawn, factor = jax.random.split(key)
        weights, self.bias = glorot(drawn, enter, leave)
        self.scale = mean + spread * jax.random.normal(factor, (leave,))
        self.weights = weights / jnp.exp(self.scale)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`(point, leave)` of `(point, enter)`."""
        return x @ (self.weights * jnp.exp(self.scale)) + self.bias


class PirateBlock(eqx.Module):
    """One residual adaptive block: two gated layers, a third, and a skip of weight 1 - alpha."""

    first: Factored
    second: Factored
    third: Factored
    alpha: jax.Array

    def __init__(self, width: int, *, key: jax.Array) -> None:
        keys = jax.random.split(key, 3)
        self.first, self.second, self.third = (Factored(width, width, key=k) for k in keys)
        self.alpha = jnp.zeros(())

    def __call__(self, x: jax.Array, u: jax.Array, v: jax.Array) -> jax.Array:
        """`(point, width)` of the same, with the gates `u` and `v`."""
        f = jnp.tanh(self.first(x))
        z = f * u + (1 - f) * v
        g = jnp.tanh(self.second(z))
        z = g * u + (1 - g) * v
        h = jnp.tanh(self.third(z))
        return self.alpha * h + (1 - self.alpha) * x


class PirateNet(eqx.Module):
    """Wang, Li, Chen, Perdikaris 2024: random Fourier features and blocks that start as the identity.

    At the start every alpha is 0 and the network is linear in its Fourier features.

    Attributes:
        frequencies: `(axis, width / 2)`, fixed.
        gates: of the two gates.
        blocks: the residual ones.
        last: weights and bias.
    """

    frequencies: jax.Array
    gates: tuple[Factored, Factored]
    blocks: list[PirateBlock]
    last: Dense

    def __init__(self, axes: int, *, width: int = 64, blocks: int = 2, frequency: float = 2.0, key: jax.Array) -> None:
        drawn, first, second, last, *rest = jax.random.split(key, 4 + blocks)
        self.frequencies = frequency * jax.random.normal(drawn, (axes, width // 2))
        self.gates = Factored(width, width, key=first), Factored(width, width, key=second)
        self.blocks = [PirateBlock(width, key=k) for k in rest]
        self.last = glorot(last, width, 1)

    def features(self, x: jax.Array) -> jax.Array:
        """Cosines and sines, `(point, width)`."""
        phase = x @ jax.lax.stop_gradient(self.frequencies)
        return jnp.concatenate([jnp.cos(phase), jnp.sin(phase)], axis=-1)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Values `(point,)` at `(point, axis)`."""
        h = self.features(x)
        u, v = (jnp.tanh(gate(h)) for gate in self.gates)
        for block in self.blocks:
            h = block(h, u, v)
        return dense(self.last, h)[..., 0]

    def started(self, x: jax.Array, values: jax.Array, *, ridge: float = 1e-3) -> PirateNet:
        """The network with the last layer set so that it starts as the least squares fit of data.

        Args:
            x: points `(point, axis)`.
            values: of the data there, `(point,)`.
            ridge: weight of the size of the coefficients, relative to the mean square of a feature.
        """
        h = np.asarray(self.features(x), np.float64)
        h = np.concatenate([h, np.ones((len(h), 1))], axis=1)
        normal = h.T @ h
        normal[np.diag_indices(h.shape[1] - 1)] += ridge * len(h)
        solved = np.linalg.solve(normal, h.T @ np.asarray(values, np.float64))
        last = jnp.asarray(solved[:-1, None], jnp.float32), jnp.asarray(solved[-1:], jnp.float32)
        return eqx.tree_at(lambda n: n.last, self, last)


class Wavelet(eqx.Module):
    """w1 sin x + w2 cos x, both weights learned and 1 at the start."""

    weights: jax.Array

    def __init__(self) -> None:
        self.weights = jnp.ones(2)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Of any shape."""
        return self.weights[0] * jnp.sin(x) + self.weights[1] * jnp.cos(x)


class WaveletMlp(eqx.Module):
    """Dense layers with a wavelet activation after each but the last."""

    layers: list[Dense]
    activations: list[Wavelet]

    def __init__(self, sizes: Sequence[int], *, key: jax.Array) -> None:
        keys = jax.random.split(key, len(sizes) - 1)
        self.layers = [glorot(k, a, b) for k, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)]
        self.activations = [Wavelet() for _ in self.layers[:-1]]

    def __call__(self, x: jax.Array) -> jax.Array:
        """`(..., last size)` of `(..., first size)`."""
        for layer, activation in zip(self.layers[:-1], self.activations, strict=True):
            x = activation(dense(layer, x))
        return dense(self.layers[-1], x)


class Attention(eqx.Module):
    """Multi-head attention over the sequence of one point."""

    query: Dense
    key: Dense
    value: Dense
    out: Dense
    heads: int = eqx.field(static=True)

    def __init__(self, width: int, heads: int, *, key: jax.Array) -> None:
        keys = jax.random.split(key, 4)
        self.query, self.key, self.value, self.out = (glorot(k, width, width) for k in keys)
        self.heads = heads

    def __call__(self, x: jax.Array, of: jax.Array) -> jax.Array:
        """`(point, sequence, width)`: queries from `x`, keys and values from `of`."""

        def split(values: jax.Array) -> jax.Array:
            return values.reshape(*values.shape[:-1], self.heads, -1)

        q, k, v = split(dense(self.query, x)), split(dense(self.key, of)), split(dense(self.value, of))
        score = jnp.einsum("pqhc,pkhc->phqk", q, k) / q.shape[-1] ** 0.5
        # Written out, so that Taylor mode can pass; the scores are small.
        weight = jnp.exp(score)
        weight = weight / jnp.sum(weight, axis=-1, keepdims=True)
        mixed = jnp.einsum("phqk,pkhc->pqhc", weight, v)
        return dense(self.out, mixed.reshape(x.shape))


class PinnsFormerLayer(eqx.Module):
    """An encoder layer (attention to itself) or a decoder layer (to the encoder's output only)."""

    attention: Attention
    feed: WaveletMlp
    activations: tuple[Wavelet, Wavelet]

    def __init__(self, width: int, heads: int, hidden: int, *, key: jax.Array) -> None:
        first, second = jax.random.split(key)
        self.attention = Attention(width, heads, key=first)
        self.feed = WaveletMlp([width, hidden, hidden, width], key=second)
        self.activations = Wavelet(), Wavelet()

    def __call__(self, x: jax.Array, encoded: jax.Array | None = None) -> jax.Array:
        """`(point, sequence, width)`."""
        y = self.activations[0](x)
        x = x + self.attention(y, y if encoded is None else encoded)
        return x + self.feed(self.activations[1](x))


class PinnsFormer(eqx.Module):
    """Zhao, Ding, Prakash 2024: each point becomes a short sequence of later points, for a small transformer.

    The sequence is shifted along the first axis, time where there is one; its first member is the point itself,
    and its output there is the value.

    Attributes:
        shifts: of the sequence along the first axis, in scaled coordinates, `(sequence,)`.
    """

    enter: Dense
    encoder: PinnsFormerLayer
    decoder: PinnsFormerLayer
    out: WaveletMlp
    leave: tuple[Wavelet, Wavelet]
    shifts: tuple[float, ...] = eqx.field(static=True)

    def __init__(
        self,
        axes: int,
        *,
        width: int = 16,
        heads: int = 2,
        hidden: int = 32,
        sequence: int = 5,
        step: float = 1e-3,
        key: jax.Array,
    ) -> None:
        keys = jax.random.split(key, 4)
        self.enter = glorot(keys[0], axes, width)
        self.encoder = PinnsFormerLayer(width, heads, hidden, key=keys[1])
        self.decoder = PinnsFormerLayer(width, heads, hidden, key=keys[2])
        self.out = WaveletMlp([width, hidden, hidden, 1], key=keys[3])
        self.leave = Wavelet(), Wavelet()
        self.shifts = tuple(step * i for i in range(sequence))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Values `(point,)` at `(point, axis)`."""
        shift = np.zeros((len(self.shifts), x.shape[-1]), np.float32)
        shift[:, 0] = self.shifts
        tokens = dense(self.enter, x[:, None, :] + shift)
        encoded = self.leave[0](self.encoder(tokens))
        decoded = self.leave[1](self.decoder(tokens, encoded))
        return self.out(decoded)[:, 0, 0]


ARCHITECTURES = {"mlp": Mlp, "piratenet": PirateNet, "pinnsformer": PinnsFormer}
"""By the name that commands and results use."""
