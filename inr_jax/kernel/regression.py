"""Kernel ridge regression on the pixels of an image.

With a fixed encoding a very wide ReLU network is kernel regression with its neural tangent kernel (Jacot et al. 2018),
and behind Fourier features that kernel depends on pixel differences only. In float64 (`double_precision`): the largest
eigenvalue, nearly that of a constant image, is millions of ridges, too many for float32.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float, Int

from inr_jax.fit.design import Design
from inr_jax.kernel.correlation import Waves
from inr_jax.kernel.krylov import LinearMap, conjugate_gradients
from inr_jax.kernel.lattice import Equations, Lattice
from inr_jax.kernel.ntk import ntk_of_differences
from inr_jax.kernel.toeplitz import circulant, convolution, filled_inverse, scattered_inverse
from inr_jax.settings import AnyArray, Refused

# Relative residual above which there is no answer, and iterations after which the solver stops.
UNUSABLE = 1e-3
ITERATIONS = 500


class NotConverged(RuntimeError):
    """The solver's residual is too large for an answer."""


class Regression(NamedTuple):
    """A kernel fit: its colours at every pixel, unclipped, and how well its equations are solved.

    `weights` are those of the kernel at every pixel, 0 where it is not trained on; `mean` is added. `residual` is that
    of the worst colour, relative to the training colours without their mean. For several times, all but the mean have a
    leading axis.
    """

    image: Float[AnyArray, "*grid c"]
    weights: Float[AnyArray, "*grid c"]
    mean: Float[AnyArray, " c"]
    residual: Float[AnyArray, "..."]
    iterations: Int[AnyArray, ""]


def solve_ridge(
    design: Design, lattice: Lattice, waves: Waves, equations: Equations, ridge: Any, tolerance: Any, iterations: Any
) -> Regression:
    """Solve the ridge regression of the training pixels with the NTK of the design's encoding and network.

    The `ridge` is relative to the kernel at zero difference. The training colours' mean is subtracted before and added
    after. Training pixels that fill a regular sublattice are solved on it, others on the smallest one that holds them.
    A pure function of arrays in float64, for callers to compile; `require_solved` checks its residual.
    """
    multiply, inverse = ridge_operators(design, lattice, waves, equations, ridge)
    found = conjugate_gradients(multiply, inverse, equations.target, tolerance, iterations)
    image, weights = image_of(design, lattice, waves, equations, found.x)
    return Regression(image, weights, jnp.asarray(equations.mean), found.residual, found.iterations)


def ridge_operators(
    design: Design, lattice: Lattice, waves: Waves, equations: Equations, ridge: Any
) -> tuple[LinearMap, LinearMap]:
    """The products with the known points' kernel matrix plus ridge, and with an approximate inverse of it."""
    mask, channels = jnp.asarray(equations.mask), len(equations.target)
    strided = [wave[:: line[2]] for wave, line in zip(waves, lattice.lines, strict=True)]
    extended = ntk_of_differences(design, _crop(strided, lattice.period), channels)
    inner = extended[tuple(slice(p - n, p + n - 1) for p, n in zip(lattice.period, lattice.shape, strict=True))]
    product = convolution(inner, lattice.shape)
    column = circulant(extended)
    inverse = filled_inverse(column, inner, ridge) if lattice.filled else scattered_inverse(column, mask, ridge)
    return lambda x: mask * product(x) + ridge * x, inverse


def kernel_product(design: Design, lattice: Lattice, waves: Waves, equations: Equations) -> LinearMap:
    """The product with the known points' kernel matrix."""
    strided = [wave[:: line[2]] for wave, line in zip(waves, lattice.lines, strict=True)]
    ntk = ntk_of_differences(design, _crop(strided, lattice.shape), len(equations.target))
    product = convolution(ntk, lattice.shape)
    mask = jnp.asarray(equations.mask)
    return lambda x: mask * product(x)


def image_of(
    design: Design, lattice: Lattice, waves: Waves, equations: Equations, weights: Float[Array, " c *lattice"]
) -> tuple[Float[Array, "*grid c"], Float[Array, "*grid c"]]:
    """The image of these weights at the lattice's points, and the weights at every pixel of the grid."""
    product = convolution(ntk_of_differences(design, _crop(waves, lattice.grid), len(weights)), lattice.grid)

    def on_grid(x: Float[Array, "*lattice"]) -> Float[Array, "*grid"]:
        return jnp.zeros(lattice.grid).at[lattice.where].set(x)

    # A colour at a time: this is where memory peaks.
    image = lax.map(lambda x: product(on_grid(x)[None])[0], weights)
    everywhere = jnp.moveaxis(jax.vmap(on_grid)(weights), 0, -1)
    return jnp.moveaxis(image, 0, -1) + jnp.asarray(equations.mean), everywhere


def require_ridge(ridge: float) -> None:
    """Raise Refused unless the ridge is above 0."""
    if not ridge > 0:
        raise Refused(f"ridge={ridge!r} is out of range: it must be above 0")


def require_solved(residual: Any, iterations: int) -> None:
    """Raise NotConverged if a residual is too large, or not a number."""
    if not np.all(np.asarray(residual) <= UNUSABLE):
        raise NotConverged(
            f"the kernel regression's residual is {np.max(residual):.1e} after {iterations} iterations, above "
            f"{UNUSABLE:.0e}: raise the ridge or shorten the time"
        )


def _crop(waves: Sequence[Complex[AnyArray, "_ m"]], reach: Sequence[int]) -> Waves:
    return tuple(wave[:n] for wave, n in zip(waves, reach, strict=True))
