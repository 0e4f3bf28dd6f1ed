"""Plain JAX as rivals: a jitted loop for one member after another, and the same under vmap."""

import time
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from jax import lax

from experiments.bench.problem import RATE, Layers, Problem, Ran, encode, mean_squared_error


class JaxLoop:
    """Plain JAX as one would write it: a jitted loop over the steps, called for one member after another."""

    chosen, tried = "", 0.0

    def __init__(self, problem: Problem):
        """Compile nothing yet."""
        self.problem = problem
        self.encode, self.fit = encode, _fit_one
        self.groups: list[Any] = list(range(len(problem.B)))

    def run(self, steps: int) -> Ran:
        """Take the steps."""
        ends, seconds = [], 0.0
        for group in self.groups:
            given = jax.device_put(jax.tree.map(lambda leaf, group=group: leaf[group], self.problem.layers))
            features = self.encode(self.problem.B[group], self.problem.coords)
            colors = jax.block_until_ready((given, features, jax.device_put(self.problem.colors)))[2]
            began = time.perf_counter()
            layers = jax.block_until_ready(self.fit(given, features, colors, np.int32(steps), self.problem.network))
            seconds += time.perf_counter() - began
            ends.append(jax.tree.map(np.asarray, layers))
        return Ran(seconds, self._ends(ends[0], ends[-1]))

    def _ends(self, first: Layers, last: Layers) -> tuple[Layers, Layers]:
        return first, last


class JaxVmap(JaxLoop):
    """The same under vmap, all members at once."""

    def __init__(self, problem: Problem):
        """Compile nothing yet."""
        super().__init__(problem)
        self.encode, self.fit, self.groups = _encode_all, _fit_all, [slice(None)]

    def _ends(self, first: Layers, last: Layers) -> tuple[Layers, Layers]:
        return jax.tree.map(lambda leaf: leaf[0], first), jax.tree.map(lambda leaf: leaf[-1], last)


def _fit(layers, features, colors, steps, network):
    optimizer, loss = optax.adam(RATE), jax.grad(mean_squared_error)

    def step(_, carry):
        layers, moments = carry
        updates, moments = optimizer.update(loss(layers, features, colors, network), moments)
        return optax.apply_updates(layers, updates), moments

    return lax.fori_loop(0, steps, step, (layers, optimizer.init(layers)))[0]


def _fit_every(layers, features, colors, steps, network):
    return jax.vmap(partial(_fit, network=network), in_axes=(0, 0, None, None))(layers, features, colors, steps)


_fit_one, _fit_all = (jax.jit(function, static_argnums=4) for function in (_fit, _fit_every))
_encode_all = jax.jit(jax.vmap(encode, in_axes=(0, None)))
