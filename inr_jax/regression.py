"""Exact kernel regression on the pixels of an image, and the scale curve that it predicts.

The kernel depends on pixel differences only: on a grid its product with a vector is a convolution,
by FFTs in O(n log n). Conjugate gradients need little else. All of it is NumPy in float64: the
largest eigenvalue, nearly that of a constant image, is millions of ridges, too many for float32.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax.numpy as jnp
import numpy as np
import scipy.fft
import scipy.signal
from jaxtyping import Bool, Float, Int

from inr_jax import kernel, metrics
from inr_jax.settings import AnyArray, Design, Hyper, Refused, convert
from inr_jax.tasks import Task

# Relative residuals: where the solver stops, and above which there is no answer.
TOLERANCE = 1e-6
UNUSABLE = 1e-3
ITERATIONS = 3000

Product = Callable[[Float[np.ndarray, "c ..."]], Float[np.ndarray, "c ..."]]


class NotConverged(RuntimeError):
    """The solver's residual is too large for an answer."""


class Regression(NamedTuple):
    """A kernel fit: its colours at every pixel, unclipped, and how well its equations are solved.

    `residual` is that of the worst colour, relative to the training colours without their mean.
    """

    image: Float[np.ndarray, "*grid c"]
    residual: float
    iterations: int


class ScaleCurve(NamedTuple):
    """PSNR in dB that kernel regression reaches at each scale, and how well it was solved there."""

    scale: Float[np.ndarray, " m"]
    psnr_heldout: Float[np.ndarray, " m"]
    psnr_train: Float[np.ndarray, " m"]
    residual: Float[np.ndarray, " m"]
    iterations: Int[np.ndarray, " m"]


class Lattice(NamedTuple):
    """The coarsest regular sublattice that holds the training pixels, and which of it they are."""

    where: tuple[slice, ...]
    mask: Bool[np.ndarray, "*lattice"]


def scale_curve(
    design: Design,
    scales: Sequence[float | int] | np.ndarray,
    task: Task,
    *,
    hyper: Hyper | None = None,
    ridge: float = 1e-3,
    drawn: bool = True,
) -> ScaleCurve:
    """What the theory says, without training: the PSNR of a very wide network at each scale.

    Exact regression with the NTK of the design's encoding and network, for the other settings in
    `hyper` (its seed draws B; `drawn=False`: infinitely many frequencies) and a `ridge` relative to
    the kernel's value at zero difference. `psnr_heldout` is NaN where no pixel is held out.

    What it misses: a network of finite width learns features, which can gain it 2 dB; and it is
    trained for a finite time, while the regression is solved to its end, so small scales come out
    better here than short training makes them. It predicts where too large a scale breaks the fit.
    Raises Refused if the design has no such kernel, and NotConverged rather than a wrong answer.
    """
    hyper = hyper or Hyper()
    rows = []
    for scale in scales:
        scale = convert("scale", scale)
        member = dataclasses.replace(hyper, scale=scale)
        ntk = kernel.on_grid(design, member, task.grid, task.channels, drawn)
        fitted = regress(ntk, task, ridge)
        psnrs = [_psnr(fitted.image, task, index) for index in (task.heldout, task.train)]
        rows.append((scale, *psnrs, fitted.residual, fitted.iterations))
    return ScaleCurve(*map(np.asarray, zip(*rows, strict=True)))


def regress(
    ntk: Float[np.ndarray, "*differences"],
    task: Task,
    ridge: float = 1e-3,
    tolerance: float = TOLERANCE,
    iterations: int = ITERATIONS,
) -> Regression:
    """The ridge regression of the training pixels with a kernel of pixel differences.

    The training colours' mean is taken off before and added after. Training pixels that fill a
    regular sublattice are solved on it; others by masking the smallest one that holds them, which
    takes more iterations, a thousand for random pixels and a small scale.
    Raises NotConverged where the residual after so many iterations is above 1e-3.
    """
    if not ridge > 0:
        raise Refused(f"ridge={ridge!r} is out of range: it must be above 0")
    lattice = enclosing_lattice(task)
    mask, inside = lattice.mask, cast(Any, (..., *lattice.where))
    colors = np.moveaxis(np.asarray(task.image, np.float64), -1, 0)
    mean = colors[inside][:, mask].mean(1).reshape(-1, *[1] * mask.ndim)
    target = mask * (colors[inside] - mean)
    on_lattice = sampled(ntk, lattice)
    multiply = convolution(on_lattice, mask.shape)
    precondition = inverse_circulant(on_lattice, mask, ridge)
    weights, residual, count = conjugate_gradients(
        lambda x: mask * multiply(x) + ridge * x,
        lambda x: mask * precondition(x),
        target,
        tolerance,
        iterations,
    )
    # Written so that NaN is no answer either.
    if not residual <= UNUSABLE:
        raise NotConverged(
            f"the kernel regression's residual is {residual:.1e} after {count} iterations, above "
            f"{UNUSABLE:.0e}: raise the ridge ({ridge:g}) or the iterations"
        )
    everywhere = np.zeros_like(colors)
    everywhere[inside] = weights
    image = mean + convolution(ntk, task.grid)(everywhere)
    return Regression(np.moveaxis(image, 0, -1), residual, count)


def conjugate_gradients(
    multiply: Product,
    precondition: Product,
    target: Float[np.ndarray, "c ..."],
    tolerance: float = TOLERANCE,
    limit: int = ITERATIONS,
) -> tuple[Float[np.ndarray, "c ..."], float, int]:
    """The solution for every colour, the largest relative residual among them, and the iterations."""
    solution = np.zeros_like(target)
    residual = target.copy()
    direction = np.zeros_like(target)
    bound = tolerance**2 * _dot(target, target)
    energy = np.ones_like(bound)
    count = 0
    while count < limit and (_dot(residual, residual) > bound).any():
        conditioned = precondition(residual)
        previous, energy = energy, _dot(residual, conditioned)
        direction = conditioned + _ratio(energy, previous) * direction
        product = multiply(direction)
        step = _ratio(energy, _dot(direction, product))
        solution += step * direction
        residual -= step * product
        count += 1
    # The recursion's residual drifts from the true one: it is the true one that is reported.
    residual = target - multiply(solution)
    relative = np.sqrt(_ratio(_dot(residual, residual), _dot(target, target)))
    return solution, float(relative.max()), count


def convolution(ntk: Float[np.ndarray, "*differences"], grid: tuple[int, ...]) -> Product:
    """The kernel's matrix on the grid, as a function of what it is multiplied with.

    Exact: the kernel is embedded in a circulant at least 2n - 1 wide along each axis.
    """
    size = [cast(int, scipy.fft.next_fast_len(n, real=True)) for n in ntk.shape]
    embedded = np.zeros(size)
    embedded[tuple(map(slice, ntk.shape))] = ntk
    embedded = np.roll(embedded, [1 - n for n in grid], range(len(grid)))
    # The transform of an even kernel is real.
    spectrum = np.real(_transformed(embedded, size))
    inside = cast(Any, (..., *map(slice, grid)))
    return lambda x: _restored(_transformed(x, size) * spectrum, size)[inside]


def inverse_circulant(ntk: Float[np.ndarray, "*differences"], mask: Bool[np.ndarray, "*grid"], ridge: float) -> Product:
    """The inverse of a circulant near the kernel's matrix plus ridge, as a preconditioner.

    T. Chan (1988): along each axis the mean of the kernel and its wrapped copy, weighted by how
    often either difference occurs. It is positive definite with the kernel; G. Strang's, which
    copies the kernel's inner half, is not for a drawn B, whose kernel does not fall off.
    """
    # Differences between no two training pixels are left out: half of them on a checkerboard, whose
    # two colours the circulant then keeps apart, as the regression does.
    occurs = scipy.signal.fftconvolve(mask, np.flip(mask)) > 0.5
    circulant = np.where(occurs, ntk, 0.0)
    for axis, n in enumerate(mask.shape):
        d = np.arange(n)
        lines = np.moveaxis(circulant, axis, -1)
        # The wrapped copy of difference d is d - n; at d = 0 there is none and its weight is 0.
        lines = lines[..., n - 1 :] * (n - d) / n + lines[..., d - 1] * d / n
        circulant = np.moveaxis(lines, -1, axis)
    # On an irregular mask what is left out can make it indefinite, by a little.
    spectrum = np.maximum(np.real(_transformed(circulant, mask.shape)), 0.0) + ridge
    return lambda x: _restored(_transformed(x, mask.shape) / spectrum, mask.shape)


def enclosing_lattice(task: Task) -> Lattice:
    """The coarsest regular sublattice of the grid that holds the task's training pixels."""
    mask = np.zeros(task.grid, bool)
    mask.flat[np.asarray(task.train)] = True
    lines = []
    for axis in range(mask.ndim):
        used = np.flatnonzero(mask.any(tuple(a for a in range(mask.ndim) if a != axis)))
        step = int(np.gcd.reduce(np.diff(used))) or 1
        lines.append(slice(int(used[0]), int(used[-1]) + 1, step))
    return Lattice(tuple(lines), mask[tuple(lines)])


def sampled(ntk: Float[np.ndarray, "*differences"], lattice: Lattice) -> Float[np.ndarray, "*sampled"]:
    """The kernel at the differences of the lattice's points."""
    where = []
    for size, line, n in zip(ntk.shape, lattice.where, lattice.mask.shape, strict=True):
        zero, reach = size // 2, line.step * (n - 1)
        where.append(slice(zero - reach, zero + reach + 1, line.step))
    return ntk[tuple(where)]


def _transformed(x: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The Fourier transform over the last axes, zero-padded to this size."""
    return np.asarray(scipy.fft.rfftn(x, size, range(-len(size), 0), workers=-1))


def _restored(transform: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """What has this Fourier transform."""
    return np.asarray(scipy.fft.irfftn(transform, size, range(-len(size), 0), workers=-1))


def _dot(a: Float[np.ndarray, "c ..."], b: Float[np.ndarray, "c ..."]) -> np.ndarray:
    """Inner products per colour, shaped to multiply what they are of."""
    return np.sum(a * b, axis=tuple(range(1, a.ndim)), keepdims=True)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The quotient, and 0 where a colour is solved exactly or constant: nothing is left to do."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


def _psnr(image: Float[np.ndarray, "*grid c"], task: Task, index: Int[AnyArray, " n"]) -> float:
    if not len(index):
        return math.nan
    predicted = jnp.asarray(image.reshape(-1, task.channels)[np.asarray(index)], jnp.float32)
    return float(metrics.psnr(predicted, task.colors[index]))
