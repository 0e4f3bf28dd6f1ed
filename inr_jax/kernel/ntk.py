"""The neural tangent kernel (NTK) of an encoding and a ReLU network, as a function of pixel differences.

Fourier features have the same norm at every pixel and their inner product depends only on the
difference of two pixels. So does the kernel of the network behind them, in the limit of infinite
width (Jacot et al. 2018, Lee et al. 2019), by the arc-cosine recursion (Cho and Saul 2009). What is
computed is that limit of each layer's statistics, with the layers' actual widths as their weights:
in the standard parameterisation a layer's share of the kernel grows with its inputs.

On a signal the features may also be those of a function of one's own, if they are like that: their products are looked
at. They are computed in 64 bits where that gives the same features, else in 32, which leaves their products 7 digits.

The kernel is of the network before its last sigmoid: the theory here is of a network that is linear
in its parameters. The sigmoid's slope would scale the kernel, hence the ridge, and clip the colours.

In float64: next to zero difference the kernel goes as the root of 1 - correlation, which would leave float32 three
digits. The recursion takes arrays of NumPy or, in `double()`, of JAX, and gives the same kind.
"""

import importlib
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Complex, Float

from inr_jax.fit import member
from inr_jax.fit.design import Design, Fit, Hyper
from inr_jax.fit.encodings import ENCODINGS, Variables, fourier, random_frequencies
from inr_jax.fit.networks import NETWORKS
from inr_jax.fit.task import pixel_coordinates, side
from inr_jax.settings import AnyArray, Refused, catalogue, nearest

# Along each axis, at 0, 1, 2 ... pixels: factors whose product's mean is the features' correlation at a difference. Of
# a drawn B the waves exp(2πibx), one for each row; of infinitely many frequencies one, the characteristic function. Of
# an encoding of one's own one: twice the mean product of its features, which need not be 1 at zero.
Waves = tuple[Complex[AnyArray, "_ m"], ...]

# Products of an own encoding's features, over their norm's square, that differ by less are equal.
SAME = 1e-5
# Between how many pixels and all others they are compared.
LOOKED_AT = 9


class Kernels(NamedTuple):
    """A network's kernels: covariance of its outputs at the start (NNGP), and the NTK."""

    nngp: Float[AnyArray, "*s"]
    ntk: Float[AnyArray, "*s"]


class Initial(NamedTuple):
    """Variances of a layer's weights and biases as they are drawn."""

    weight: float
    bias: float


# The variances behind `networks.initializers`, from a layer's numbers of inputs and outputs.
INITIAL: dict[str, Callable[[int, int], Initial]] = {
    "flax": lambda fan_in, fan_out: Initial(1 / fan_in, 0.0),
    "torch": lambda fan_in, fan_out: Initial(1 / (3 * fan_in), 1 / (3 * fan_in)),
    "glorot": lambda fan_in, fan_out: Initial(2 / (fan_in + fan_out), 0.01**2),
}


def _loguniform(x: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """The cosine integral between the ends of the three decades of `features.loguniform`."""
    lowest = 2 * np.pi * np.abs(x) / np.sqrt((1e6 - 1) / (2 * np.log(1000.0)))
    ends = [scipy.special.sici(np.where(x == 0, 1.0, lowest * factor))[1] for factor in (1.0, 1000.0)]
    return np.where(x == 0, 1.0, (ends[1] - ends[0]) / np.log(1000.0))


# E cos 2πbx over frequencies b of standard deviation 1 along an axis, as in `features.FAMILIES`.
CHARACTERISTIC: dict[str, Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]] = {
    "gaussian": lambda x: np.exp(-2 * (np.pi * x) ** 2),
    "uniform": lambda x: np.sinc(2 * 3**0.5 * x),
    "loguniform": _loguniform,
    "laplace": lambda x: 1 / (1 + 2 * (np.pi * x) ** 2),
}


def double() -> AbstractContextManager:
    """Where JAX computes in 64 bits; elsewhere it does not."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    return importlib.import_module("jax.experimental").enable_x64()  # jax 0.7


def on_grid(
    design: Design,
    hyper: Hyper,
    grid: tuple[int, ...],
    channels: int = 3,
    drawn: bool = True,
) -> Float[np.ndarray, "*differences"]:
    """The NTK at every difference of two pixels, from -(n - 1) to n - 1 along each axis, 1 at zero.

    `drawn`: for the frequencies that this seed draws; else in the limit of infinitely many, still
    with the weight that the actual number gives to the first layer.
    Raises Refused if the kernel is not a function of the difference alone, or not known here.
    """
    return np.asarray(of_differences(design, waves(design, hyper, grid, grid, drawn), channels))


def of_differences(design: Design, waves: Waves, channels: int = 3) -> Float[AnyArray, "*differences"]:
    """The NTK at all differences that the waves are given for, and their negatives, 1 at zero."""
    xp: Any = waves[0].__array_namespace__()
    # The kernel is even, K(-d) = K(d): the first axis needs no negative differences.
    lead, *others = waves
    rho = correlation((lead, *(xp.concat([xp.conj(w[:0:-1]), w]) for w in others)))
    zero = (0, *(len(w) - 1 for w in others))
    half = kernels(design, rho / rho[zero], fan_in(design, len(waves)), channels, rho[zero] / 2).ntk
    half = half / half[zero]
    return xp.concat([xp.flip(half)[:-1], half])


def at_zero(design: Design, hyper: Hyper, grid: tuple[int, ...], channels: int = 3) -> float:
    """The NTK of a pixel with itself: what `on_grid` and `of_differences` divide by."""
    square = mean_square(design, hyper, grid)
    return float(kernels(design, np.ones(1), fan_in(design, len(grid)), channels, square).ntk[0])


def mean_square(design: Design, hyper: Hyper, grid: tuple[int, ...]) -> float:
    """Of the features at any pixel: 1/2 for sines and cosines."""
    return correlation(waves(design, hyper, grid, (1,) * len(grid))).item() / 2


def kernels(design: Design, rho: Float[AnyArray, "*s"], fan_in: int, channels: int = 3, square: Any = 0.5) -> Kernels:
    """The network's kernels where its `fan_in` input features have this mean square and correlation rho.

    Both belong to one output channel; different channels are uncorrelated in either.
    """
    require_relu(design)
    initial = INITIAL[design.init]
    # Of a layer's inputs: the mean product at two pixels, the mean square, the mean product of slopes.
    product, slopes = square * rho, 0.0 * rho
    ntk = 0.0 * rho
    for fan_out in [design.width] * design.depth + [channels]:
        weight, bias = initial(fan_in, fan_out)
        # What the layers before can change, passed on, and this layer's own gradients: inputs and 1.
        ntk = weight * fan_in * slopes * ntk + fan_in * product + 1
        nngp = weight * fan_in * product + bias
        product, square, slopes = relu_moments(nngp, weight * fan_in * square + bias)
        fan_in = fan_out
    return Kernels(nngp, ntk)


def relu_moments(
    covariance: Float[AnyArray, "*s"], variance: Any
) -> tuple[Float[AnyArray, "*s"], Any, Float[AnyArray, "*s"]]:
    """E relu(u) relu(v), E relu(u)² and E relu'(u) relu'(v) of Gaussian u, v of equal variance.

    The arc-cosine kernels of degree 1 and 0 (Cho and Saul 2009).
    """
    xp: Any = covariance.__array_namespace__()
    cosine = xp.clip(covariance / variance, -1.0, 1.0)
    rest = np.pi - xp.acos(cosine)
    product = variance / (2 * np.pi) * (xp.sqrt(1 - cosine**2) + rest * cosine)
    return product, variance / 2, rest / (2 * np.pi)


def waves(design: Design, hyper: Hyper, grid: tuple[int, ...], reach: tuple[int, ...], drawn: bool = True) -> Waves:
    """What the features' correlation is made of at 0 to reach - 1 pixels of the grid along each axis.

    Raises Refused if the kernel is not a function of the difference alone, or not known here.
    """
    require_stationary(design, len(grid))
    offsets = [np.arange(n) * step for n, step in zip(reach, spacing(design, grid), strict=True)]
    if is_own(design):
        return (own_products(design, hyper, grid, reach[0])[:, None].astype(complex),)
    if is_random(design) and not drawn:
        lines = expected_lines(design, hyper, offsets)
        return tuple(line[:, None].astype(complex) for line in lines)
    B = frequencies(design, hyper, len(grid))
    return tuple(np.exp(2j * np.pi * np.outer(x, b)) for x, b in zip(offsets, B.T, strict=True))


def correlation(waves: Waves) -> Float[AnyArray, "*grid"]:
    """The features' correlation on a grid of differences: the real part of the mean product of the waves.

    Of a drawn B it is the mean over its rows of cos 2πb·x.
    """
    xp: Any = waves[0].__array_namespace__()
    *others, last = waves
    lead = xp.ones_like(last[:1])
    for wave in others:
        lead = (lead[:, None] * wave[None]).reshape(-1, wave.shape[1])
    # A product of cosines and sines of lines, hence a matrix product.
    product = (xp.real(lead) @ xp.real(last).T - xp.imag(lead) @ xp.imag(last).T) / last.shape[1]
    return product.reshape([len(wave) for wave in waves])


def expected_lines(design: Design, hyper: Hyper, offsets: list[np.ndarray]) -> list[Float[np.ndarray, "..."]]:
    """The correlation's factor along each axis in the limit of infinitely many random frequencies."""
    scale, anisotropy = (float(hyper.get(name, catalogue(Fit)[name].default)) for name in ("scale", "anisotropy"))
    scales = [scale, scale * anisotropy] if len(offsets) == 2 else [scale] * len(offsets)
    return [CHARACTERISTIC[design.family](s * x) for s, x in zip(scales, offsets, strict=True)]


def own_products(design: Design, hyper: Hyper, grid: tuple[int, ...], reach: int) -> Float[np.ndarray, " n"]:
    """Twice the mean product of an own encoding's features at 0 to reach - 1 samples of difference.

    Raises Refused unless it is the same wherever the two samples lie: on the signal, and on as many samples as `reach`
    has behind its first.
    """
    first = float(pixel_coordinates(jnp.zeros(1, int), grid, design.domain)[0, 0])
    places = np.arange(max(reach, *grid))
    step = spacing(design, grid)[0] * side(design.domain)
    features = own_features(design, hyper, (first + places * step)[:, None])
    from_first = features @ features[0]
    anchors = np.linspace(0, len(places) - 1, LOOKED_AT).astype(int)
    products = features @ features[anchors].T
    apart = np.abs(products - from_first[np.abs(places[:, None] - anchors)])
    if not max(apart.max(), np.ptp(np.square(features).sum(1))) <= SAME * from_first[0]:
        raise Refused(
            f"encoding={design.encoding!r} has no kernel of pixel differences: the product of its features at two "
            "samples depends on where they are; allowed: functions for which it depends on their distance alone"
        )
    return 2 * from_first[:reach] / features.shape[1]


def own_features(design: Design, hyper: Hyper, coords: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n f"]:
    """The features of an own encoding: computed in 64 bits, unless it draws or computes something else there."""
    drawn = _drawn(design, hyper, coords.shape[1])
    plain = np.asarray(member.encode(design, hyper, drawn, jnp.asarray(coords, jnp.float32)), np.float64)
    with double():
        drawn = jax.tree.map(jnp.asarray, drawn)
        exact = np.asarray(member.encode(design, hyper, drawn, jnp.asarray(coords)), np.float64)
    return exact if exact.shape == plain.shape and np.allclose(exact, plain, atol=1e-3 * np.abs(plain).max()) else plain


def correlations(
    design: Design, hyper: Hyper, here: Float[np.ndarray, "a d"], there: Float[np.ndarray, "b d"], drawn: bool = True
) -> Float[np.ndarray, "a b"]:
    """The features' correlation between any coordinates, in the units of the design's domain."""
    dims, length = here.shape[1], side(design.domain)
    require_stationary(design, dims)
    if is_own(design):
        a, b = (own_features(design, hyper, x) for x in (here, there))
        return a @ b.T / np.square(b[0]).sum()
    if is_random(design) and not drawn:
        apart = np.moveaxis(here[:, None] - there[None], -1, 0) / length
        return np.prod(expected_lines(design, hyper, list(apart)), axis=0)
    B = frequencies(design, hyper, dims)
    a, b = (np.exp(2j * np.pi * (x / length) @ B.T) for x in (here, there))
    return (a.real @ b.real.T + a.imag @ b.imag.T) / len(B)


def fan_in(design: Design, dims: int) -> int:
    """How many features a design feeds to its network."""
    coords = jax.ShapeDtypeStruct((1, dims), jnp.float32)
    draw = partial(member.draw_encoding, design, Hyper(seed=0), dims)
    encoded = jax.eval_shape(lambda x: member.encode(design, Hyper(seed=0), draw(), x), coords)
    return encoded.shape[1]


def count(design: Design, dims: int) -> int:
    """How many frequencies a design has: rows of B."""
    return jax.eval_shape(partial(member.draw_encoding, design, dims=dims), Hyper(seed=0)).get("B").shape[0]


def frequencies(design: Design, hyper: Hyper, dims: int) -> Float[np.ndarray, "m d"]:
    """B as a fit of these settings draws it, in cycles per image side."""
    return np.asarray(_drawn(design, hyper, dims).get("B"), np.float64)


def spacing(design: Design, grid: tuple[int, ...]) -> Float[np.ndarray, " d"]:
    """The distance of neighbouring pixels along each axis, in image sides."""
    ends = pixel_coordinates(jnp.asarray([0, math.prod(grid) - 1]), grid, design.domain)
    length = np.diff(np.asarray(ends, np.float64), axis=0)[0] / side(design.domain)
    return length / np.maximum(np.asarray(grid) - 1, 1)


def is_random(design: Design) -> bool:
    """Whether the encoding draws its frequencies at random."""
    return ENCODINGS.find(design.encoding).init is random_frequencies


def is_own(design: Design) -> bool:
    """Whether the encoding is a function of one's own."""
    return design.encoding not in ENCODINGS


def require_stationary(design: Design, dims: int = 2) -> None:
    """Raise Refused unless the design's kernel depends on the difference of two pixels alone.

    Of an own encoding, allowed in one dimension, that is seen from its features, in `own_products`.
    """
    require_relu(design)
    if ENCODINGS.find(design.encoding).apply is not fourier and not (is_own(design) and dims == 1):
        known = [name for name, encoding in ENCODINGS.items() if encoding.apply is fourier]
        raise Refused(
            f"encoding={design.encoding!r} has no kernel of pixel differences; {nearest(str(design.encoding), known)}"
        )
    if design.get("learn_frequencies"):
        raise Refused("learn_frequencies=True has no kernel of pixel differences; allowed: False")


def require_relu(design: Design) -> None:
    """Raise Refused unless the kernel of the design's network is known, whatever it is fed."""
    if NETWORKS.find(design.network) is not NETWORKS["relu"]:
        raise Refused(f"network={design.network!r} has no kernel here; allowed: relu")
    if (init := design.init) not in INITIAL:
        raise Refused(f"init={init!r} has no kernel here; {nearest(init, INITIAL)}")


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


@partial(jax.jit, static_argnames=("design", "dims"))
def _drawn(design: Design, hyper: Hyper, dims: int) -> Variables:
    return member.draw_encoding(design, hyper, dims)
