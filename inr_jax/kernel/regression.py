"""Kernel regression on the pixels of an image: with a ridge, or by gradient flow stopped at a time.

With a fixed encoding a very wide ReLU network is kernel regression with its neural tangent kernel (Jacot et al. 2018),
and behind Fourier features that kernel depends on pixel differences only. In float64 (`kernel.double`): the largest
eigenvalue, nearly that of a constant image, is millions of ridges, too many for float32.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from jax import lax
from jaxtyping import Array, Bool, Complex, Float, Int

from inr_jax.fit.design import Design, Hyper
from inr_jax.fit.task import Task, pixel_coordinates
from inr_jax.kernel import ntk as kernel
from inr_jax.kernel import toeplitz
from inr_jax.kernel.ntk import Waves
from inr_jax.kernel.toeplitz import Product
from inr_jax.settings import AnyArray, Refused

# Relative residuals: where the solvers stop, and above which there is no answer.
TOLERANCE = 1e-6
FLOW_TOLERANCE = 1e-4
UNUSABLE = 1e-3
ITERATIONS = 500
# Steps of Lanczos' method between two looks at its error, and at most.
LANCZOS = (32, 1024)
# The box that the preconditioner's waves repeat after, over that of the training pixels.
PERIOD = 1.25
# Pixels at a time, where the kernel is evaluated between pixels.
BLOCK = 256


class NotConverged(RuntimeError):
    """The solver's residual is too large for an answer."""


class Lattice(NamedTuple):
    """The coarsest regular sublattice of a grid that holds the training pixels: start, stop and step along each axis.

    `filled`: every point of it is one of them.
    """

    grid: tuple[int, ...]
    lines: tuple[tuple[int, int, int], ...]
    filled: bool

    @property
    def where(self) -> Any:
        """Its points, as an index of the grid."""
        return tuple(slice(*line) for line in self.lines)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many points along each axis."""
        return tuple(len(range(*line)) for line in self.lines)

    @property
    def period(self) -> tuple[int, ...]:
        """How many points of it the preconditioner's waves repeat after, along each axis."""
        return tuple(scipy.fft.next_fast_len(math.ceil(PERIOD * n)) for n in self.shape)

    @property
    def reach(self) -> tuple[int, ...]:
        """To how many pixels of difference the kernel is needed, along each axis."""
        far = zip(self.grid, self.lines, self.period, strict=True)
        return tuple(max(n, line[2] * (period - 1) + 1) for n, line, period in far)


class Equations(NamedTuple):
    """What is solved: which points of the lattice are known, and their colours without their mean, 0 elsewhere."""

    mask: Bool[AnyArray, "*lattice"]
    target: Float[AnyArray, " c *lattice"]
    mean: Float[AnyArray, " c"]


class Regression(NamedTuple):
    """A kernel fit: its colours at every pixel, unclipped, and how well its equations are solved.

    `weights` are those of the kernel at every pixel, 0 where it is not trained on; `mean` is added. `residual` is that
    of the worst colour, relative to the training colours without their mean. Of several times, all
    but the mean with a leading axis.
    """

    image: Float[AnyArray, "*grid c"]
    weights: Float[AnyArray, "*grid c"]
    mean: Float[AnyArray, " c"]
    residual: Float[AnyArray, "..."]
    iterations: Int[AnyArray, ""]


def regress(
    design: Design,
    hyper: Hyper,
    task: Task,
    ridge: float = 1e-3,
    drawn: bool = True,
    tolerance: float = TOLERANCE,
    iterations: int = ITERATIONS,
) -> Regression:
    """The ridge regression of the training pixels with the NTK of the design's encoding and network.

    The `ridge` is relative to the kernel at zero difference. The training colours' mean is taken off before and added
    after. Training pixels that fill a regular sublattice are solved on it, others on the smallest one that holds them.
    `drawn`: with the frequencies that the seed draws, else with infinitely many.
    Raises Refused where there is no such kernel, NotConverged where the residual is above 1e-3 after all iterations.
    """
    require_ridge(ridge)
    lattice, equations = posed(task)
    waves = kernel.waves(design, hyper, task.grid, lattice.reach, drawn)
    with kernel.double():
        fitted = jax.device_get(_regress(design, lattice, waves, equations, ridge, tolerance, iterations))
    require_solved(fitted.residual, int(fitted.iterations))
    return fitted


def gradient_flow(
    design: Design,
    hyper: Hyper,
    task: Task,
    times: Sequence[float] | np.ndarray,
    drawn: bool = True,
    tolerance: float = FLOW_TOLERANCE,
    centred: bool = True,
) -> Regression:
    """What gradient flow f' = -K (f - y) has learned at each time, with a leading axis of times.

    It starts from the mean of the training colours, or not `centred` from 0, as the mean over networks does.
    The kernel is 1 at zero difference; for a network's own time see `flow_time`. Lanczos' method, until the error is
    bounded by the tolerance at all times: that of the learned training colours, relative as `residual` is, by what
    the Krylov space has not seen (the defect of the flow, whose sign does not change).
    Raises Refused where there is no such kernel, NotConverged where the error is above 1e-3 after 1,024 steps.
    """
    times = np.asarray(times, float)
    if not times.size or not (times >= 0).all():
        raise Refused(f"times={times.tolist()!r} are out of range: at least one, and each at least 0")
    lattice, equations = posed(task, centred)
    waves = kernel.waves(design, hyper, task.grid, lattice.reach, drawn)
    block, most = LANCZOS
    with kernel.double():
        waves, equations = jax.device_put((waves, equations))
        stand, rows = toeplitz.lanczos_start(equations.target), []
        for _ in range(most // block):
            stand, more = _lanczos(design, lattice, waves, equations, stand, block)
            rows.append(jax.device_get(more))
            matrix = toeplitz.Tridiagonal(*map(np.concatenate, zip(*rows, strict=True)))
            coefficients, error = _learned(matrix, times)
            if error.max() <= tolerance:
                break
        require_solved(error, len(matrix.diagonal))
        coefficients = coefficients * np.sqrt(
            np.sum(np.square(equations.target), axis=tuple(range(1, 1 + len(task.grid))))
        )
        flow = jax.device_get(_restored_flow(design, lattice, waves, equations, matrix, coefficients))
    return flow._replace(residual=error)


def _learned(
    matrix: toeplitz.Tridiagonal, times: np.ndarray
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
    columns = np.stack([toeplitz.of_tridiagonal(learned, *pair) for pair in pairs])  # c t m
    error = np.abs(columns[..., -1] * matrix.beside[-1][:, None]).max(0)
    return np.moveaxis(columns, (0, 1, 2), (2, 1, 0)), error


def flow_time(design: Design, hyper: Hyper, steps: int, task: Task) -> float:
    """The time of `gradient_flow` after so many steps of plain gradient descent (`optimizer="sgd"`).

    For the mean of squared errors over pixels and colours, a network with a linear output, and every pixel in a step.
    """
    at_zero = kernel.at_zero(design, hyper, task.grid, task.channels)
    return float(2 * hyper.learning_rate * steps * at_zero / (len(task.train) * task.channels))


def between(
    design: Design,
    hyper: Hyper,
    task: Task,
    fitted: Regression,
    coords: Float[AnyArray, "n d"],
    drawn: bool = True,
) -> Float[np.ndarray, "n c"]:
    """The regression's colours at any coordinates, in the units of the design's domain: between the pixels too.

    The kernel is evaluated for every pair of coordinate and training pixel.
    """
    trained = np.asarray(task.train)
    places = np.asarray(pixel_coordinates(trained, task.grid, design.domain), np.float64)
    weights = fitted.weights.reshape(-1, task.channels)[trained]
    at = np.asarray(coords, np.float64)
    square = kernel.mean_square(design, hyper, task.grid)
    one = kernel.at_zero(design, hyper, task.grid, task.channels)

    def block(part: np.ndarray) -> np.ndarray:
        rho = kernel.correlations(design, hyper, part, places, drawn)
        ntk = kernel.kernels(design, rho, kernel.fan_in(design, len(task.grid)), task.channels, square).ntk
        return np.asarray(ntk / one @ weights)

    parts = [block(at[start : start + BLOCK]) for start in range(0, len(at), BLOCK)]
    return np.concatenate([*parts, np.zeros((0, task.channels))]) + fitted.mean


def posed(task: Task, centred: bool = True) -> tuple[Lattice, Equations]:
    """The lattice of a task's training pixels, and the equations on it; not `centred`, the colours with their mean.

    Raises Refused where the task measures anything but pixels.
    """
    if not task.pixelwise:
        raise Refused("kernel regression is of pixels; this task measures something else; expected task=split")
    known = np.zeros(task.grid, bool)
    known.flat[np.asarray(task.train)] = True
    lines = []
    for axis in range(known.ndim):
        used = np.flatnonzero(known.any(tuple(a for a in range(known.ndim) if a != axis)))
        lines.append((int(used[0]), int(used[-1]) + 1, int(np.gcd.reduce(np.diff(used))) or 1))
    where = tuple(slice(*line) for line in lines)
    lattice, mask = Lattice(task.grid, tuple(lines), bool(known[where].all())), known[where]
    colors = np.moveaxis(np.asarray(task.image, np.float64)[where], -1, 0)
    mean = colors[:, mask].mean(1) * centred
    return lattice, Equations(mask, mask * (colors - mean.reshape(-1, *[1] * mask.ndim)), mean)


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


def solved(
    design: Design, lattice: Lattice, waves: Waves, equations: Equations, ridge: Any, tolerance: Any, iterations: Any
) -> Regression:
    """The ridge regression as a pure function of arrays in float64, compiled by whoever maps it over members."""
    multiply, inverse = operators(design, lattice, waves, equations, ridge)
    found = toeplitz.conjugate_gradients(multiply, inverse, equations.target, tolerance, iterations)
    image, weights = restored(design, lattice, waves, equations, found.x)
    return Regression(image, weights, jnp.asarray(equations.mean), found.residual, found.iterations)


def operators(
    design: Design, lattice: Lattice, waves: Waves, equations: Equations, ridge: Any
) -> tuple[Product, Product]:
    """The products with the known points' kernel matrix plus ridge, and with an approximate inverse of it."""
    mask, channels = jnp.asarray(equations.mask), len(equations.target)
    strided = [wave[:: line[2]] for wave, line in zip(waves, lattice.lines, strict=True)]
    extended = kernel.of_differences(design, _first(strided, lattice.period), channels)
    inner = extended[tuple(slice(p - n, p + n - 1) for p, n in zip(lattice.period, lattice.shape, strict=True))]
    product = toeplitz.convolution(inner, lattice.shape)
    column = toeplitz.circulant(extended)
    if lattice.filled:
        inverse = toeplitz.filled_inverse(column, inner, ridge)
    else:
        inverse = toeplitz.scattered_inverse(column, mask, ridge)
    return lambda x: mask * product(x) + ridge * x, inverse


def restored(
    design: Design, lattice: Lattice, waves: Waves, equations: Equations, weights: Float[Array, " c *lattice"]
) -> tuple[Float[Array, "*grid c"], Float[Array, "*grid c"]]:
    """The image that has these weights at the lattice's points, and the weights, at every pixel of the grid."""
    product = toeplitz.convolution(
        kernel.of_differences(design, _first(waves, lattice.grid), len(weights)), lattice.grid
    )

    def placed(x: Float[Array, "*lattice"]) -> Float[Array, "*grid"]:
        return jnp.zeros(lattice.grid).at[lattice.where].set(x)

    # A colour at a time: this is where memory peaks.
    image = lax.map(lambda x: product(placed(x)[None])[0], weights)
    everywhere = jnp.moveaxis(jax.vmap(placed)(weights), 0, -1)
    return jnp.moveaxis(image, 0, -1) + jnp.asarray(equations.mean), everywhere


@partial(jax.jit, static_argnames=("design", "lattice"))
def _regress(design, lattice, waves, equations, ridge, tolerance, iterations) -> Regression:
    return solved(design, lattice, waves, equations, ridge, tolerance, iterations)


@partial(jax.jit, static_argnames=("design", "lattice", "steps"))
def _lanczos(design, lattice, waves, equations, stand, steps) -> tuple[toeplitz.Stand, toeplitz.Tridiagonal]:
    return toeplitz.lanczos(_plain_product(design, lattice, waves, equations), stand, steps)


@partial(jax.jit, static_argnames=("design", "lattice"))
def _restored_flow(design, lattice, waves, equations, matrix, coefficients) -> Regression:
    product = _plain_product(design, lattice, waves, equations)
    start = toeplitz.lanczos_start(equations.target)
    weights = toeplitz.combined(product, start, matrix, coefficients)
    image, everywhere = lax.map(lambda each: restored(design, lattice, waves, equations, each), weights)
    mean = jnp.asarray(equations.mean)
    return Regression(image, everywhere, mean, jnp.zeros(len(weights)), jnp.asarray(len(matrix.diagonal)))


def _plain_product(design: Design, lattice: Lattice, waves: Waves, equations: Equations) -> Product:
    """The product with the known points' kernel matrix."""
    strided = [wave[:: line[2]] for wave, line in zip(waves, lattice.lines, strict=True)]
    ntk = kernel.of_differences(design, _first(strided, lattice.shape), len(equations.target))
    product = toeplitz.convolution(ntk, lattice.shape)
    mask = jnp.asarray(equations.mask)
    return lambda x: mask * product(x)


def _first(waves: Sequence[Complex[AnyArray, "_ m"]], reach: Sequence[int]) -> Waves:
    return tuple(wave[:n] for wave, n in zip(waves, reach, strict=True))
