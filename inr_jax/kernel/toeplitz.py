"""Matrices whose entries depend only on the difference of two grid points: products, and approximate inverses.

On a grid such a matrix is a convolution, by FFTs in O(n log n), and conjugate gradients need nothing else but a
preconditioner. Pure functions of arrays, in the arrays' precision.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from jax import lax
from jaxtyping import Array, Bool, Complex, Float

from inr_jax.kernel.krylov import LinearMap
from inr_jax.settings import AnyArray

# Waves that the preconditioners solve exactly: at most, and over the number of points.
MODES, SHARE = 1000, 0.15


def convolution(ntk: Float[AnyArray, "*differences"], grid: tuple[int, ...]) -> LinearMap:
    """The product with the kernel's matrix on the grid.

    Exact: the kernel is embedded in a circulant at least 2n - 1 wide along each axis.
    """
    size = [scipy.fft.next_fast_len(n, real=True) for n in ntk.shape]
    # The transform of an even kernel is real, once zero difference is moved to where a transform begins.
    spectrum = _padded_fft(jnp.asarray(ntk), size)
    for axis, (n, length) in enumerate(zip(grid, size, strict=True)):
        turns = np.arange(spectrum.shape[axis]) * (n - 1) / length
        shape = [-1 if each == axis else 1 for each in range(len(grid))]
        spectrum = spectrum * np.exp(2j * np.pi * turns).reshape(shape)
    spectrum = spectrum.real
    return lambda x: _cropped_ifft(_padded_fft(x, size) * spectrum, size, grid)


def _padded_fft(x: Float[Array, "..."], size: Sequence[int]) -> Complex[Array, "..."]:
    """The transform over the last axes, padded with zeros to this size; axis by axis, without lines of zeros."""
    x = jnp.fft.rfft(x, size[-1])
    for axis, n in zip(range(-len(size), -1), size, strict=False):
        x = jnp.fft.fft(x, n, axis)
    return x


def _cropped_ifft(x: Complex[Array, "..."], size: Sequence[int], grid: Sequence[int]) -> Float[Array, "..."]:
    """The inverse of `_padded_fft`, without the padding."""
    for axis, n in zip(range(-len(size), -1), grid, strict=False):
        x = lax.slice_in_dim(jnp.fft.ifft(x, axis=axis), 0, n, axis=axis)
    return jnp.fft.irfft(x, size[-1])[..., : grid[-1]]


def circulant(ntk: Float[AnyArray, "*differences"]) -> Float[Array, "*period"]:
    """The first column of the circulant nearest to the kernel's matrix on the grid of these differences.

    T. Chan (1988): along each axis the mean of the kernel and its wrapped copy, weighted by how often either difference
    occurs. It is positive definite with the kernel; G. Strang's, which copies the kernel's inner half, is not for a
    drawn B, whose kernel does not fall off.
    """
    column = jnp.asarray(ntk)
    for axis in range(ntk.ndim):
        n = (ntk.shape[axis] + 1) // 2
        d = np.arange(n)
        lines = jnp.moveaxis(column, axis, -1)
        # The wrapped copy of difference d is d - n; at d = 0 there is none and its weight is 0.
        column = jnp.moveaxis(lines[..., n - 1 :] * (n - d) / n + lines[..., d - 1] * d / n, -1, axis)
    return column


def scattered_inverse(column: Float[AnyArray, "*period"], mask: Bool[AnyArray, "*grid"], ridge: Any) -> LinearMap:
    """The inverse of a matrix near the kernel's on any points of a lattice plus ridge, as a preconditioner.

    `column`: of a circulant on a box around the lattice, a sum of waves. The strongest waves are kept and the others
    replaced by white noise of the same power: low rank plus diagonal, inverted by Woodbury's identity.
    """
    period, axes = column.shape, range(-column.ndim, 0)
    power = _power(column).ravel()
    strongest, place = lax.top_k(power, _modes(mask.size))
    modes = jnp.unravel_index(place, period)
    noise = ridge + power.sum() - strongest.sum()
    # Inner products of two waves over the mask are the mask's transform at their difference.
    transform = jnp.fft.fftn(jnp.asarray(mask, float), period, axes)
    apart = tuple((k[:, None] - k[None]) % n for k, n in zip(modes, period, strict=True))
    root = jnp.sqrt(strongest)
    inner = root[:, None] * transform[apart] * root / noise
    factor = jax.scipy.linalg.cho_factor(jnp.eye(len(root)) + inner)

    def inverse(x: Float[Array, " c *grid"]) -> Float[Array, " c *grid"]:
        known = jnp.fft.fftn(x, period, axes)[(slice(None), *modes)] * (root / noise)
        strong = jax.scipy.linalg.cho_solve(factor, known.T).T * root
        spectrum = jnp.zeros((len(x), *period), strong.dtype).at[(slice(None), *modes)].set(strong)
        waves = jnp.fft.ifftn(spectrum, axes=axes).real[(..., *map(slice, mask.shape))] * column.size
        return mask * (x - waves) / noise

    return inverse


def filled_inverse(column: Float[AnyArray, "*period"], ntk: Float[AnyArray, "*differences"], ridge: Any) -> LinearMap:
    """The same preconditioner for a whole lattice, with the weaker waves left to a circulant of the lattice itself.

    It wraps one edge to the other, which is harmless for the weaker waves alone, whose kernel is short. The others are
    products of a few sines and cosines along each axis: all that is done with them is small and real.
    """
    grid = tuple((n + 1) // 2 for n in ntk.shape)
    axes = range(-ntk.ndim, 0)
    most = int((_modes(math.prod(grid)) ** (1 / ntk.ndim) - 1) / 2)
    cycles = [np.arange(-m, m + 1) for m in (min(most, (n - 1) // 2) for n in column.shape)]
    strength = _power(column)[np.ix_(*cycles)]
    # Along each axis, to sines and cosines from waves; at the lattice's differences, and at its points.
    real = [_sines_of_waves(len(k) // 2) for k in cycles]
    turns = [2j * np.pi * k / period for k, period in zip(cycles, column.shape, strict=True)]
    apart = [np.exp(np.outer(np.arange(1 - n, n), turn)) for n, turn in zip(grid, turns, strict=True)]
    points = [np.exp(np.outer(np.arange(n), t)) @ to for n, t, to in zip(grid, turns, real, strict=True)]
    weaker = ntk - _along(strength[None], apart)[0]
    spectrum = _power(circulant(weaker)) * math.prod(grid) + ridge
    root = _gram(jnp.sqrt(strength), real)
    inner = root @ _gram(1 / spectrum, [np.fft.fft(each, axis=0, norm="ortho") for each in points]) @ root
    factor = jax.scipy.linalg.cho_factor(jnp.eye(len(root)) + inner)
    known_to_strong = root @ jax.scipy.linalg.cho_solve(factor, root)
    down, up = ([each.real.T for each in points], [each.real for each in points])
    # One half of the spectrum, as the transform of real numbers gives it.
    inverse_spectrum = 1 / spectrum[..., : grid[-1] // 2 + 1]

    def weak(x: Float[Array, " c *grid"]) -> Float[Array, " c *grid"]:
        return jnp.fft.irfftn(jnp.fft.rfftn(x, axes=axes) * inverse_spectrum, grid, axes)

    def inverse(x: Float[Array, " c *grid"]) -> Float[Array, " c *grid"]:
        first = weak(x)
        known = _along(first, down)
        strong = (known.reshape(len(x), -1) @ known_to_strong).reshape(known.shape)
        return first - weak(_along(strong, up))

    return inverse


def _modes(points: int) -> int:
    """Number of waves that are solved exactly: few for few points, where more would cost more than they save."""
    return max(2, min(MODES, int(SHARE * points)))


def _power(column: Float[AnyArray, "*period"]) -> Float[Array, "*period"]:
    """The power of each wave of a periodic kernel, 0 where rounding made it negative."""
    return jnp.maximum(jnp.fft.fftn(column).real, 0.0) / column.size


def _sines_of_waves(most: int) -> Complex[np.ndarray, "m m"]:
    """The unitary matrix from waves of -most to most cycles to √2 sines, 1 and √2 cosines of as many."""
    k = np.arange(1, most + 1)
    matrix = np.zeros((2 * most + 1, 2 * most + 1), complex)
    matrix[most, most] = 1
    matrix[most + k, most + k] = matrix[most - k, most + k] = 0.5**0.5
    matrix[most + k, most - k], matrix[most - k, most - k] = -1j * 0.5**0.5, 1j * 0.5**0.5
    return matrix


def _along(x: Float[Array, "c ..."], matrices: Sequence[np.ndarray]) -> Float[Array, "c ..."]:
    """The real part of the product with one matrix along each axis but the first."""
    real, imaginary = jnp.asarray(x), None
    for matrix in matrices:
        real, imaginary = _times(real, imaginary, matrix, axis=1)
    # Without it XLA on a CPU may hand a transform a layout that it cannot take (jax 0.10, small grids).
    return lax.optimization_barrier(real)


def _gram(weight: Float[Array, "..."], bases: Sequence[Complex[np.ndarray, "_ _"]]) -> Float[Array, "m m"]:
    """Inner products, under this weight, of products of one function of each axis' basis; they must be real."""
    pairs = [(basis.conj()[:, :, None] * basis[:, None]).reshape(len(basis), -1).T for basis in bases]
    sides = [side for basis in bases for side in 2 * basis.shape[1:]]
    products = _along(weight[None], pairs).reshape(sides)
    size = math.prod(sides[::2])
    return products.transpose([*range(0, len(sides), 2), *range(1, len(sides), 2)]).reshape(size, size)


def _times(real: Array, imaginary: Array | None, matrix: np.ndarray, axis: int) -> tuple[Array, Array | None]:
    """The product along an axis, which becomes the last, in real products, which hardware is fast at."""

    def by(x: Array, part: np.ndarray) -> Array:
        return jnp.tensordot(x, part, axes=[[axis], [1]])

    if not np.iscomplexobj(matrix):
        return by(real, matrix), None if imaginary is None else by(imaginary, matrix)
    if imaginary is None:
        return by(real, matrix.real), by(real, matrix.imag)
    return (
        by(real, matrix.real) - by(imaginary, matrix.imag),
        by(real, matrix.imag) + by(imaginary, matrix.real),
    )
