"""Initialisation rules: a layer's initializers of weights and biases, from its number of inputs.

A rule is a function `(fan_in, first)` whose keyword-only parameters are settings. Provided are `phi`, the network's
activation, `layer`, the number of the layer, and `square`, the mean square of the first layer's inputs.
"""

from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from inr_jax.fit.activations import Omega, feed_of
from inr_jax.settings import Registry, about, call

INITS = Registry("init")
# Nodes of the quadrature for one map and for two, evenly spaced over six standard deviations: the trapezoidal rule is
# exact to rounding for what varies no faster.
NODES = {1: 601, 2: 121}
# Standard deviations among which the one that keeps both variances is searched for.
SPREADS = np.geomspace(1e-3, 10.0, 121).astype(np.float32)


def uniform(bound: Any) -> Callable:
    """An initializer that draws from U(-bound, bound)."""
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -1.0, 1.0) * bound


@INITS.register()
def flax(fan_in: int, first: bool) -> tuple[Callable, Callable]:
    """LeCun normal weights, zero biases."""
    return initializers.lecun_normal(), initializers.zeros


@INITS.register()
def torch(fan_in: int, first: bool) -> tuple[Callable, Callable]:
    """Weights and biases U(±1/√n)."""
    return uniform(fan_in**-0.5), uniform(fan_in**-0.5)


@INITS.register()
def glorot(fan_in: int, first: bool) -> tuple[Callable, Callable]:
    """Glorot normal weights, N(0, 0.01²) biases: Tancik et al. 2020 (jax.example_libraries.stax's defaults)."""
    return initializers.glorot_normal(), initializers.normal(0.01)


@INITS.register()
def siren(fan_in: int, first: bool, *, omega_0: Omega = 30.0) -> tuple[Callable, Callable]:
    """First weights U(±1/n), all others U(±√(6/n)/ω0), biases U(±1/√n).

    The reference code of Sitzmann et al. 2020, whose paper differs in the first.
    """
    bound = 1 / fan_in if first else (6 / fan_in) ** 0.5 / omega_0
    return uniform(bound), uniform(fan_in**-0.5)


@INITS.register()
def finer(
    fan_in: int,
    first: bool,
    *,
    omega_0: Omega = 30.0,
    k: Annotated[ArrayLike, about("bound of the first biases of finer; 0: 1/√n", low=0.0)] = 0.0,
) -> tuple[Callable, Callable]:
    """SIREN's, but the first biases U(±k) (Liu et al. 2024, whose code for images leaves k to 1/√n)."""
    weight, bias = siren(fan_in, first, omega_0=omega_0)
    return weight, uniform(jnp.where(jnp.asarray(k) > 0, k, fan_in**-0.5)) if first else bias


@INITS.register()
def variance(
    fan_in: int,
    first: bool,
    *,
    z_spread: Annotated[
        ArrayLike, about("standard deviation of z at the start under init=variance; 0: solved for", low=0.0)
    ] = 0.0,
    z_spread_first: Annotated[ArrayLike, about("the first layer's; 0: as in the others", low=0.0)] = 0.0,
    phi: Any,
    layer: int,
    square: ArrayLike,
    biases: bool,
) -> tuple[Callable, Callable]:
    """Normal weights with which z has the same variance in each layer, whatever the activation (VI3NR, 2025).

    Var W = σ² / (n E φ(σz)²) for normal z, by quadrature. σ is `z_spread`, or where it is 0 the one with which
    gradients keep their variance too, σ² E φ'² = E φ²; where there is none, SIREN's 1/ω0, else 1. Of the first layer
    n E x² is measured at some pixels, and half of the variance is that of the biases, if any; all others are 0.
    """
    sigma = jnp.where(jnp.asarray(z_spread) > 0, z_spread, balanced_spread(phi))
    sigma_first = jnp.where(jnp.asarray(z_spread_first) > 0, z_spread_first, sigma)
    if first:
        share = sigma_first * (2**-0.5 if biases else 1.0)
        return initializers.normal(share / jnp.sqrt(fan_in * square)), initializers.normal(share)
    power, _ = moments(phi, sigma_first, first=True) if layer == 1 else moments(phi, sigma)
    return initializers.normal(sigma / jnp.sqrt(fan_in * power)), initializers.zeros


def balanced_spread(phi: Any) -> Float[Array, ""]:
    """The least standard deviation of z with which an activation passes on gradients as it passes on values.

    Where there is none, such as for a sine, 1/ω0, and 1 where there is no ω0.
    """
    power, slope = jax.lax.map(lambda sigma: jnp.stack(moments(phi, sigma)), jnp.asarray(SPREADS)).T
    rest = jnp.log(SPREADS**2 * slope / power)
    rising = (jax.lax.cummin(rest)[:-1] < -1e-2) & (rest[1:] >= 0)
    below = jnp.argmax(rising)
    # Between the two along a straight line in logarithms.
    part = jnp.clip(-rest[below] / (rest[below + 1] - rest[below]), 0.0, 1.0)
    crossing = jnp.exp((1 - part) * jnp.log(SPREADS)[below] + part * jnp.log(SPREADS)[below + 1])
    omega = getattr(phi[-1] if isinstance(phi, tuple) else phi, "keywords", {}).get("omega_0", 1.0)
    return jnp.where(rising.any(), crossing, 1.0 / omega)


def moments(phi: Any, sigma: ArrayLike, first: bool = False) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """E φ² and E |φ'|² of a unit whose z is normal with this standard deviation, by quadrature.

    Of several linear maps φ' is the gradient, of complex values the Jacobian of the pairs.
    """
    feed = feed_of(phi)
    dims = 2 if feed.pairs and not first else feed.maps
    nodes = np.linspace(-6, 6, NODES[dims])
    weights = np.exp(-0.5 * nodes**2)
    z = np.stack(np.meshgrid(*[nodes] * dims, indexing="ij")).reshape(dims, -1).astype(np.float32)
    weight = np.prod(np.meshgrid(*[weights / weights.sum()] * dims, indexing="ij"), axis=0).reshape(-1)
    function = activation_of(phi, first)
    # Each map by itself: units lie along the first axis, maps after one another.
    inputs = jnp.asarray(z) * sigma
    power = jnp.sum(jnp.square(function(inputs)), axis=0)
    slopes = [jax.jvp(function, (inputs,), (jnp.zeros_like(inputs).at[axis].set(1.0),))[1] for axis in range(dims)]
    slope = sum(jnp.sum(jnp.square(each), axis=0) for each in slopes)
    return power @ jnp.asarray(weight, jnp.float32), slope @ jnp.asarray(weight, jnp.float32)


def activation_of(phi: Any, first: bool) -> Callable[[Float[Array, "z n"]], Float[Array, "h n"]]:
    """An activation as a function of z alone, with some first values of the numbers that it learns."""
    if not isinstance(phi, tuple):
        return lambda z: call(phi, z, first=first)
    numbers = call(phi[0], jax.random.key(0, impl="threefry2x32"), first=first)
    return lambda z: call(phi[1], numbers, z, first=first)
