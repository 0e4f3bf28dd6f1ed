"""Gradient flow with the neural tangent kernel, stopped at a time: what finite training learns, by Lanczos' method."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from inr_jax.fit.design import Design, Hyper, complete
from inr_jax.fit.pinned import double_precision
from inr_jax.fit.task import Task
from inr_jax.kernel.correlation import Waves, encoding_waves
from inr_jax.kernel.krylov import (
    LanczosState,
    Tridiagonal,
    combine_lanczos,
    lanczos,
    lanczos_start,
    tridiagonal_function,
)
from inr_jax.kernel.lattice import Equations, Lattice, equations_of
from inr_jax.kernel.ntk import ntk_at_zero, require_kernel
from inr_jax.kernel.regression import Regression, image_of, kernel_product, require_solved
from inr_jax.settings import Refused

# Relative error at which Lanczos' method stops.
TOLERANCE = 1e-4
# Its steps between two looks at the error, and at most.
STEPS = (32, 1024)


def gradient_flow(
    design: Design,
    hyper: Hyper,
    task: Task,
    times: Sequence[float] | np.ndarray,
    drawn: bool = True,
    tolerance: float = TOLERANCE,
    centred: bool = True,
) -> Regression:
    """Compute what gradient flow f' = -K (f - y) has learned at each time, with a leading axis of times.

    It starts from the mean of the training colours, or not `centred` from 0, as the mean over networks does.
    The kernel is 1 at zero difference; for a network's own time see `flow_time`. Lanczos' method, until the error is
    bounded by the tolerance at all times: that of the learned training colours, relative as `residual` is, by what
    the Krylov space has not seen (the defect of the flow, whose sign does not change).
    Raises Refused where there is no such kernel, NotConverged where the error is above 1e-3 after 1,024 steps.
    """
    times = np.asarray(times, float)
    if not times.size or not (times >= 0).all():
        raise Refused(f"times={times.tolist()!r} are out of range: at least one, and each at least 0")
    require_kernel(design, len(task.grid))
    lattice, equations = equations_of(task, centred)
    waves = encoding_waves(design, hyper, task.grid, lattice.reach, drawn)
    block, most = STEPS
    with double_precision():
        waves, equations = jax.device_put((waves, equations))
        state, rows = lanczos_start(equations.target), []
        for _ in range(most // block):
            state, more = _lanczos(design, lattice, waves, equations, state, block)
            rows.append(jax.device_get(more))
            matrix = Tridiagonal(*map(np.concatenate, zip(*rows, strict=True)))
            coefficients, error = _flow_coefficients(matrix, times)
            if error.max() <= tolerance:
                break
        require_solved(error, len(matrix.diagonal))
        coefficients = coefficients * np.sqrt(
            np.sum(np.square(equations.target), axis=tuple(range(1, 1 + len(task.grid))))
        )
        flow = jax.device_get(_flow_images(design, lattice, waves, equations, matrix, coefficients))
    return flow._replace(residual=error)


def flow_time(design: Design, hyper: Hyper, steps: int, task: Task) -> float:
    """The time of `gradient_flow` after so many steps of plain gradient descent (`optimizer="sgd"`).

    For the mean of squared errors over pixels and colours, a network with a linear output, and every pixel in a step.
    """
    hyper = complete(design, hyper)
    at_zero = ntk_at_zero(design, hyper, task.grid, task.channels)
    return float(2 * hyper.learning_rate * steps * at_zero / (len(task.train) * task.channels))


def _flow_coefficients(
    matrix: Tridiagonal, times: np.ndarray
) -> tuple[Float[np.ndarray, "m t c"], Float[np.ndarray, " t"]]:
    """The weights of a normalised target in Lanczos' basis at each time, and a bound of their error.

    They are (1 - exp(-tK)) / K of the target. What leaves the basis is the coupling behind its last vector times the
    weight there: the integral over the time of a defect of one sign.
    """

    def learned(values: np.ndarray) -> np.ndarray:
        decay = times[:, None] * values
        small = np.abs(values) < 1e-14
        return np.where(small, times[:, None], -np.expm1(-decay) / np.where(small, 1.0, values))

    pairs = zip(matrix.diagonal.T, matrix.beside.T, strict=True)
    columns = np.stack([tridiagonal_function(learned, *pair) for pair in pairs])  # c t m
    error = np.abs(columns[..., -1] * matrix.beside[-1][:, None]).max(0)
    return np.moveaxis(columns, (0, 1, 2), (2, 1, 0)), error


@partial(jax.jit, static_argnames=("design", "lattice", "steps"))
def _lanczos(
    design: Design, lattice: Lattice, waves: Waves, equations: Equations, state: LanczosState, steps: int
) -> tuple[LanczosState, Tridiagonal]:
    return lanczos(kernel_product(design, lattice, waves, equations), state, steps)


@partial(jax.jit, static_argnames=("design", "lattice"))
def _flow_images(design, lattice, waves, equations, matrix, coefficients) -> Regression:
    product = kernel_product(design, lattice, waves, equations)
    weights = combine_lanczos(product, lanczos_start(equations.target), matrix, coefficients)
    image, everywhere = lax.map(lambda each: image_of(design, lattice, waves, equations, each), weights)
    mean = jnp.asarray(equations.mean)
    return Regression(image, everywhere, mean, jnp.zeros(len(weights)), jnp.asarray(len(matrix.diagonal)))
