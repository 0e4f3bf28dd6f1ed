"""Krylov methods for symmetric linear maps, a colour at a time: conjugate gradients, and functions by Lanczos' method.

Pure functions of arrays, in the arrays' precision. Vectors are grids of points behind an axis of colours.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax import lax
from jaxtyping import Array, Float, Int

from inr_jax.settings import AnyArray

LinearMap = Callable[[Array], Array]  # (c, *grid) to (c, *grid)


class Solution(NamedTuple):
    """The solution for every colour, the largest relative residual among them, and the number of iterations."""

    x: Float[Array, " c *grid"]
    residual: Float[Array, ""]
    iterations: Int[Array, ""]


class Tridiagonal(NamedTuple):
    """Lanczos' matrices, one a colour: their diagonal, and the entries beside it."""

    diagonal: Float[AnyArray, "m c"]
    beside: Float[AnyArray, "m c"]


class LanczosState(NamedTuple):
    """State of Lanczos' method: the previous vector, the vector, and their coupling, for each colour."""

    previous: Float[Array, " c *grid"]
    vector: Float[Array, " c *grid"]
    coupling: Float[Array, "c ..."]


def conjugate_gradients(
    multiply: LinearMap,
    precondition: LinearMap,
    target: Float[AnyArray, " c *grid"],
    tolerance: Any,
    limit: Any,
) -> Solution:
    """Solve for every colour, until all relative residuals are below the tolerance or at the limit of iterations."""
    target = jnp.asarray(target)
    bound = tolerance**2 * _dot(target, target)

    def unsolved(carry):
        _, residual, _, _, count = carry
        return (count < limit) & (_dot(residual, residual) > bound).any()

    def step(carry):
        solution, residual, direction, energy, count = carry
        conditioned = precondition(residual)
        previous, energy = energy, _dot(residual, conditioned)
        direction = conditioned + _ratio(energy, previous) * direction
        product = multiply(direction)
        length = _ratio(energy, _dot(direction, product))
        return solution + length * direction, residual - length * product, direction, energy, count + 1

    start = (jnp.zeros_like(target), target, jnp.zeros_like(target), jnp.ones_like(bound), 0)
    solution, _, _, _, count = lax.while_loop(unsolved, step, start)
    # The recursion's residual drifts from the true one, which is reported.
    residual = target - multiply(solution)
    relative = jnp.sqrt(_ratio(_dot(residual, residual), _dot(target, target)))
    return Solution(solution, relative.max(), jnp.asarray(count))


def lanczos_start(target: Float[AnyArray, " c *grid"]) -> LanczosState:
    """The state before the first step: the normalised target."""
    size = jnp.sqrt(_dot(target, target))
    return LanczosState(jnp.zeros_like(jnp.asarray(target)), _ratio(jnp.asarray(target), size), jnp.zeros_like(size))


def lanczos(multiply: LinearMap, state: LanczosState, steps: int) -> tuple[LanczosState, Tridiagonal]:
    """Take steps of Lanczos' method for each colour, from a state (`lanczos_start`).

    Vectors are not orthogonalised again: that costs steps, not the result (Druskin and Knizhnerman 1991).
    """

    def step(state, _):
        previous, vector, coupling = state
        product = multiply(vector) - coupling * previous
        diagonal = _dot(vector, product)
        product = product - diagonal * vector
        beside = jnp.sqrt(_dot(product, product))
        return LanczosState(vector, _ratio(product, beside), beside), (diagonal.ravel(), beside.ravel())

    state, rows = lax.scan(step, state, length=steps)
    return state, Tridiagonal(*rows)


def combine_lanczos(
    multiply: LinearMap, start: LanczosState, matrix: Tridiagonal, coefficients: Float[AnyArray, "m t c"]
) -> Float[Array, "t c *grid"]:
    """Sum Lanczos' vectors with these coefficients, computing each vector again rather than storing all."""
    shape = (-1, *[1] * (start.vector.ndim - 1))

    def step(carry, row):
        (previous, vector, coupling), total = carry
        diagonal, beside, share = (each.reshape(*each.shape[:-1], *shape) for each in row)
        total = total + share * vector
        product = multiply(vector) - diagonal * vector - coupling * previous
        state = LanczosState(vector, _ratio(product, beside), jnp.broadcast_to(beside, coupling.shape))
        return (state, total), None

    total = jnp.zeros((coefficients.shape[1], *start.vector.shape))
    return lax.scan(step, (start, total), (*matrix, coefficients))[0][1]


def tridiagonal_function(
    function: Callable[[np.ndarray], np.ndarray], diagonal: Float[np.ndarray, " m"], beside: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "t m"]:
    """The first column of functions of a tridiagonal matrix: `function` maps eigenvalues (m,) to values (t, m)."""
    values, vectors = scipy.linalg.eigh_tridiagonal(diagonal, beside[:-1])
    return (function(values) * vectors[0]) @ vectors.T


def _dot(a: Float[AnyArray, "c ..."], b: Float[AnyArray, "c ..."]) -> Array:
    """Inner products per colour, shaped to multiply their arguments."""
    return jnp.sum(a * b, axis=tuple(range(1, a.ndim)), keepdims=True)


def _ratio(a: Array, b: Array) -> Array:
    """The quotient, and 0 where a colour is solved exactly or constant, so that nothing changes there."""
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1.0), 0.0)
