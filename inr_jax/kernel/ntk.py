"""The neural tangent kernel (NTK) of an encoding and a ReLU network, as a function of pixel differences.

The features' correlation depends on the difference of two pixels alone (`correlation.py`), and so does the kernel of
the network behind them in the limit of infinite width (`recursion.py`). In float64, by NumPy or JAX.
"""

from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from inr_jax.fit import member
from inr_jax.fit.design import Design, Hyper
from inr_jax.kernel.correlation import (
    Waves,
    correlation,
    count_features,
    encoding_waves,
    mean_square,
    require_stationary,
)
from inr_jax.kernel.recursion import network_kernels, require_relu
from inr_jax.settings import AnyArray


def ntk_on_grid(
    design: Design,
    hyper: Hyper,
    grid: tuple[int, ...],
    channels: int = 3,
    drawn: bool = True,
) -> Float[np.ndarray, "*differences"]:
    """The NTK at every difference of two pixels, from -(n - 1) to n - 1 along each axis, 1 at zero.

    `drawn`: for the frequencies that the seed draws; else in the limit of infinitely many, still with the weight that
    the actual number gives to the first layer.
    Raises Refused if the kernel is not a function of the difference alone, or not known here.
    """
    return np.asarray(ntk_of_differences(design, encoding_waves(design, hyper, grid, grid, drawn), channels))


def ntk_of_differences(design: Design, waves: Waves, channels: int = 3) -> Float[AnyArray, "*differences"]:
    """The NTK at all differences that the waves are given for, and their negatives, 1 at zero."""
    xp: Any = waves[0].__array_namespace__()
    # The kernel is even, K(-d) = K(d): the first axis needs no negative differences.
    lead, *others = waves
    rho = correlation((lead, *(xp.concat([xp.conj(w[:0:-1]), w]) for w in others)))
    zero = (0, *(len(w) - 1 for w in others))
    half = network_kernels(design, rho / rho[zero], count_features(design, len(waves)), channels, rho[zero] / 2).ntk
    half = half / half[zero]
    return xp.concat([xp.flip(half)[:-1], half])


def ntk_at_zero(design: Design, hyper: Hyper, grid: tuple[int, ...], channels: int = 3) -> float:
    """The NTK of a pixel with itself, by which `ntk_on_grid` and `ntk_of_differences` divide."""
    square = mean_square(design, hyper, grid)
    return float(network_kernels(design, np.ones(1), count_features(design, len(grid)), channels, square).ntk[0])


def require_kernel(design: Design, dims: int = 2) -> None:
    """Raise Refused unless the design has a kernel that depends on the difference of two pixels alone."""
    require_relu(design)
    require_stationary(design, dims)


@partial(jax.jit, static_argnames=("design", "channels"))
def empirical_ntk(
    design: Design,
    hyper: Hyper,
    state: member.State,
    coords_a: Float[Array, "a d"],
    coords_b: Float[Array, "b d"],
    channels: int = 3,
) -> Float[Array, "a b"]:
    """The NTK of an actual network at its parameters: of its first channel, before any sigmoid.

    Gradients at one pixel of b at a time, pushed to all of a: no Jacobian is held in memory.
    """
    linear = design.replace(output="linear", precision="float32")

    def outputs(params, coords):
        params = state.params | {"network": params}
        return member.predict(linear, hyper, params, state.data, coords, channels)[:, 0]

    params = state.params["network"]
    _, push = jax.linearize(lambda p: outputs(p, coords_a), params)

    def column(coord):
        gradient = jax.grad(lambda p: outputs(p, coord[None])[0])(params)
        return push(gradient)

    return jax.lax.map(column, coords_b).T
