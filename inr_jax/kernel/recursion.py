"""Kernels of a ReLU network of infinite width, from the correlation of its input features, layer by layer.

The arc-cosine recursion (Cho and Saul 2009; Jacot et al. 2018, Lee et al. 2019) for the network before its last
sigmoid: the theory is of a network that is linear in its parameters, and the sigmoid's slope would scale the kernel,
hence the ridge, and clip the colours. The statistics of each layer are those of infinite width, weighted by the layer's
actual width: in the standard parameterisation a layer's share of the kernel grows with its number of inputs.

The functions take arrays of NumPy or, in `double_precision()`, of JAX, and return the same kind. In float64: next to
zero difference the kernel goes as the root of 1 - correlation, which would leave float32 three digits.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from inr_jax.fit.design import Design
from inr_jax.fit.networks import NETWORKS
from inr_jax.settings import AnyArray, Refused, nearest


class Kernels(NamedTuple):
    """A network's kernels: covariance of its outputs before training (NNGP), and the NTK."""

    nngp: Float[AnyArray, "*s"]
    ntk: Float[AnyArray, "*s"]


class Variances(NamedTuple):
    """Variances of a layer's weights and biases before training."""

    weight: float
    bias: float


# The variances of `initializers.INITS`, from a layer's numbers of inputs and outputs.
VARIANCES: dict[str, Callable[[int, int], Variances]] = {
    "flax": lambda fan_in, fan_out: Variances(1 / fan_in, 0.0),
    "torch": lambda fan_in, fan_out: Variances(1 / (3 * fan_in), 1 / (3 * fan_in)),
    "glorot": lambda fan_in, fan_out: Variances(2 / (fan_in + fan_out), 0.01**2),
}


def network_kernels(
    design: Design, rho: Float[AnyArray, "*s"], fan_in: int, channels: int = 3, square: Any = 0.5
) -> Kernels:
    """Compute the network's kernels where its `fan_in` input features have this mean square and correlation rho.

    Both are of one output channel; different channels are uncorrelated in either.
    Raises Refused if the kernel of the network is not known.
    """
    require_relu(design)
    variances = VARIANCES[design.init]
    # Of a layer's inputs: the mean product at two pixels, the mean square, the mean product of slopes.
    product, slopes = square * rho, 0.0 * rho
    ntk = 0.0 * rho
    for fan_out in [design.width] * design.depth + [channels]:
        weight, bias = variances(fan_in, fan_out)
        # The gradients of the layers below, passed on, and this layer's own: its inputs and 1.
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


def require_relu(design: Design) -> None:
    """Raise Refused unless the kernel of the design's network is known, whatever its input features are."""
    if NETWORKS.find(design.network) is not NETWORKS["relu"]:
        raise Refused(f"network={design.network!r} has no kernel here; allowed: relu")
    if (init := design.init) not in VARIANCES:
        raise Refused(f"init={init!r} has no kernel here; {nearest(init, VARIANCES)}")
    for name, known in {"weights": "plain", "biases": True, "parameters": 0}.items():
        if design[name] != known:
            raise Refused(f"{name}={design[name]!r} has no kernel here; allowed: {known!r}")
