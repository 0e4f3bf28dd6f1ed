"""The neural tangent kernel (NTK) of an encoding and a ReLU network, as a function of pixel differences.

Fourier features have the same norm at every pixel and their inner product depends only on the
difference of two pixels. So does the kernel of the network behind them, in the limit of infinite
width (Jacot et al. 2018, Lee et al. 2019), by the arc-cosine recursion (Cho and Saul 2009). What is
computed is that limit of each layer's statistics, with the layers' actual widths as their weights:
in the standard parameterisation a layer's share of the kernel grows with its inputs.

The kernel is of the network before its last sigmoid: the theory here is of a network that is linear
in its parameters. The sigmoid's slope would scale the kernel, hence the ridge, and clip the colours.

NumPy in float64: next to zero difference the kernel goes as the root of 1 - correlation, which
would leave float32 three digits.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from inr_jax import features, fit, networks
from inr_jax.settings import Design, Hyper, Refused, nearest
from inr_jax.tasks import coordinates, side


class Kernels(NamedTuple):
    """A network's kernels: covariance of its outputs at the start (NNGP), and the NTK."""

    nngp: Float[np.ndarray, "*s"]
    ntk: Float[np.ndarray, "*s"]


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

# E cos 2πbx over frequencies b of standard deviation 1 along an axis, as in `features.FAMILIES`.
CHARACTERISTIC: dict[str, Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]] = {
    "gaussian": lambda x: np.exp(-2 * (np.pi * x) ** 2),
    "uniform": lambda x: np.sinc(2 * 3**0.5 * x),
    "laplace": lambda x: 1 / (1 + 2 * (np.pi * x) ** 2),
}


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
    require_stationary(design)
    dims = len(grid)
    B = frequencies(design, hyper, dims)
    # The kernel is even, K(-d) = K(d): the first axis needs no negative differences.
    pixels = [np.arange(grid[0]), *(np.arange(1 - n, n) for n in grid[1:])]
    offsets = [p * step for p, step in zip(pixels, spacing(design, grid), strict=True)]
    endless = is_random(design) and not drawn
    rho = expected_correlation(design, hyper, offsets) if endless else correlation(B, offsets)
    half = kernels(design, rho, 2 * len(B), channels).ntk
    half /= half[(0, *(n - 1 for n in grid[1:]))]
    return np.concatenate([np.flip(half)[:-1], half])


def kernels(design: Design, rho: Float[np.ndarray, "*s"], fan_in: int, channels: int = 3) -> Kernels:
    """The network's kernels where its `fan_in` input features have mean square 1/2 and correlation rho.

    Both belong to one output channel; different channels are uncorrelated in either.
    """
    require_stationary(design)
    initial = INITIAL[networks.resolved(design).init]
    # Of a layer's inputs: the mean product at two pixels, the mean square, the mean product of slopes.
    product, square, slopes = 0.5 * rho, 0.5, np.zeros_like(rho)
    ntk = np.zeros_like(rho)
    for fan_out in [design.width] * design.depth + [channels]:
        weight, bias = initial(fan_in, fan_out)
        # What the layers before can change, passed on, and this layer's own gradients: inputs and 1.
        ntk = weight * fan_in * slopes * ntk + fan_in * product + 1
        nngp = weight * fan_in * product + bias
        product, square, slopes = relu_moments(nngp, weight * fan_in * square + bias)
        fan_in = fan_out
    return Kernels(nngp, ntk)


def relu_moments(
    covariance: Float[np.ndarray, "*s"], variance: float
) -> tuple[Float[np.ndarray, "*s"], float, Float[np.ndarray, "*s"]]:
    """E relu(u) relu(v), E relu(u)² and E relu'(u) relu'(v) of Gaussian u, v of equal variance.

    The arc-cosine kernels of degree 1 and 0 (Cho and Saul 2009).
    """
    cosine = np.clip(covariance / variance, -1.0, 1.0)
    rest = np.pi - np.arccos(cosine)
    product = variance / (2 * np.pi) * (np.sqrt(1 - cosine**2) + rest * cosine)
    return product, variance / 2, rest / (2 * np.pi)


def correlation(B: Float[np.ndarray, "m d"], offsets: Sequence[Float[np.ndarray, " _"]]) -> Float[np.ndarray, "*grid"]:
    """The features' correlation at differences: the mean over B's rows of cos 2πb·x.

    The differences are the product of `offsets` along each axis, in image sides.
    """
    # The real part of exp(2πi b·x), a product over the axes: cosines of lines, then a matrix product.
    waves = [np.exp(2j * np.pi * np.outer(x, b)) for x, b in zip(offsets, B.T, strict=True)]
    last = waves.pop().T / len(B)
    lead = np.ones((1, len(B)))
    for wave in waves:
        lead = (lead[:, None] * wave[None]).reshape(-1, len(B))
    product = lead.real @ last.real - lead.imag @ last.imag
    return product.reshape([len(x) for x in offsets])


def expected_correlation(
    design: Design, hyper: Hyper, offsets: Sequence[Float[np.ndarray, " _"]]
) -> Float[np.ndarray, "*grid"]:
    """The correlation at differences in the limit of infinitely many random frequencies."""
    if design.family not in CHARACTERISTIC:
        raise Refused(f"family={design.family!r} has no closed form here; {nearest(design.family, CHARACTERISTIC)}")
    scales = [float(hyper.scale)] * len(offsets)
    if len(scales) == 2:
        scales[1] *= float(hyper.anisotropy)
    lines = [CHARACTERISTIC[design.family](s * x) for s, x in zip(scales, offsets, strict=True)]
    return math.prod(np.ix_(*lines), start=np.ones(()))


def frequencies(design: Design, hyper: Hyper, dims: int) -> Float[np.ndarray, "m d"]:
    """B as a fit of these settings draws it, in cycles per image side."""
    return np.asarray(_frequencies(design, hyper, dims), np.float64)


def spacing(design: Design, grid: tuple[int, ...]) -> Float[np.ndarray, " d"]:
    """The distance of neighbouring pixels along each axis, in image sides."""
    ends = coordinates(jnp.asarray([0, math.prod(grid) - 1]), grid, design.domain)
    length = np.diff(np.asarray(ends, np.float64), axis=0)[0] / side(design.domain)
    return length / np.maximum(np.asarray(grid) - 1, 1)


def is_random(design: Design) -> bool:
    """Whether the encoding draws its frequencies at random."""
    return features.lookup(design.encoding).draw is features.random_frequencies


def require_stationary(design: Design) -> None:
    """Raise Refused unless the design's kernel depends on the difference of two pixels alone."""
    if networks.lookup(design.network) is not networks.relu:
        raise Refused(f"network={design.network!r} has no kernel here; allowed: relu")
    if features.lookup(design.encoding).encode is not features.fourier:
        known = [n for n, e in features.ENCODINGS.items() if e.encode is features.fourier]
        raise Refused(
            f"encoding={design.encoding!r} has no kernel of pixel differences; {nearest(str(design.encoding), known)}"
        )
    if design.learn_frequencies:
        raise Refused("learn_frequencies=True has no kernel of pixel differences; allowed: False")
    if (init := networks.resolved(design).init) not in INITIAL:
        raise Refused(f"init={init!r} has no kernel here; {nearest(init, INITIAL)}")


@partial(jax.jit, static_argnames=("design", "channels"))
def empirical_ntk(
    design: Design,
    hyper: Hyper,
    state: fit.State,
    coords_a: Float[Array, "a d"],
    coords_b: Float[Array, "b d"],
    channels: int = 3,
) -> Float[Array, "a b"]:
    """The NTK of an actual network at its parameters: of its first channel, before any sigmoid.

    Gradients at one pixel of b at a time, pushed to all of a: no Jacobian is held in memory.
    """
    linear = dataclasses.replace(design, output="linear")

    def outputs(params, coords):
        params = state.params | {"network": params}
        return fit.predict(linear, hyper, params, state.data, coords, channels)[:, 0]

    params = state.params["network"]
    _, push = jax.linearize(lambda p: outputs(p, coords_a), params)

    def column(coord):
        gradient = jax.grad(lambda p: outputs(p, coord[None])[0])(params)
        return push(gradient)

    return jax.lax.map(column, coords_b).T


@partial(jax.jit, static_argnames=("design", "dims"))
def _frequencies(design: Design, hyper: Hyper, dims: int) -> Float[Array, "m d"]:
    return fit.frequencies(design, hyper, dims)
