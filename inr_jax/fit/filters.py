"""Filters of multiplicative networks: functions of the features x with parameters of their own, one for each layer.

A filter is two functions: `init(key, dims, width, layer, layers, *, ...)` draws its variables, and
`apply(variables, x, *, ...)` gives (width, n) of features (dims, n). Scales are for coordinates in [-1, 1]
(`domain=signed`), but for the bands of `bandlimited`. Fathony et al. 2021, and for the last Lindell et al. 2022.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from inr_jax.fit import sines
from inr_jax.fit.encodings import Variables
from inr_jax.settings import Registry, about

FILTERS = Registry("filter")
InputScale = Annotated[
    ArrayLike, about("bound of the filters' frequencies, over √(layers x dimensions)", "radians", above=0.0)
]


class Filter(NamedTuple):
    """The two functions of a filter."""

    init: Callable[..., Variables]
    apply: Callable[..., Float[Array, "w n"]]


def fourier_variables(
    key: Array, dims: int, width: int, layer: int, layers: int, *, input_scale: InputScale = 256.0
) -> Variables:
    """Frequencies U(±input_scale / √(layers dims)), phases U(±π); both are trained."""
    keys = jax.random.split(key)
    bound = input_scale * (layers * dims) ** -0.5
    frequency = jax.random.uniform(keys[0], (width, dims), minval=-1.0) * bound
    return Variables({"frequency": frequency, "phase": _phases(keys[1], width)}, {})


def fourier(variables: Variables, x: Float[Array, "d n"]) -> Float[Array, "w n"]:
    """sin(Ωx + φ) (Fathony et al. 2021, eq. 6)."""
    return sines.waves(_turn(variables, x))[0]


def gabor_variables(
    key: Array,
    dims: int,
    width: int,
    layer: int,
    layers: int,
    *,
    input_scale: InputScale = 256.0,
    gamma_alpha: Annotated[ArrayLike, about("shape of the Gamma that γ is drawn of, times layers", above=0.0)] = 6.0,
    gamma_beta: Annotated[ArrayLike, about("rate of the Gamma that γ is drawn of", above=0.0)] = 1.0,
) -> Variables:
    """As Fourier's, times √γ; γ of a Gamma(alpha / layers, rate beta), centres U(±1). All are trained."""
    keys = jax.random.split(key, 3)
    waves = fourier_variables(keys[0], dims, width, layer, layers, input_scale=input_scale).params
    gamma = jax.random.gamma(keys[1], jnp.asarray(gamma_alpha, jnp.float32) / layers, (width,)) / gamma_beta
    centre = jax.random.uniform(keys[2], (width, dims), minval=-1.0)
    waves["frequency"] *= jnp.sqrt(gamma)[:, None]
    return Variables({**waves, "gamma": gamma, "centre": centre}, {})


def gabor(variables: Variables, x: Float[Array, "d n"]) -> Float[Array, "w n"]:
    """sin(Ωx + φ) exp(-γ |x - μ|² / 2) (Fathony et al. 2021, eq. 9).

    γ counts as 0 where training has made it negative: the exponential would grow without bound.
    """
    distance = jnp.sum(jnp.square(x[None] - variables.get("centre")[..., None]), axis=1)
    width = jnp.maximum(variables.get("gamma"), 0.0)[:, None]
    return sines.waves(_turn(variables, x))[0] * jnp.exp(-0.5 * width * distance)


def band_variables(
    key: Array,
    dims: int,
    width: int,
    layer: int,
    layers: int,
    *,
    bandwidth: Annotated[
        ArrayLike, about("highest frequency of the last output of bacon", "cycles per image side", low=0.0)
    ] = 128.0,
    side: float,
) -> Variables:
    """Fixed whole frequencies, uniform within the layer's part of the band, along each axis; phases U(±π), trained."""
    keys = jax.random.split(key)
    most = band_of(layer, layers, bandwidth)
    whole = jnp.floor(jax.random.uniform(keys[0], (width, dims)) * (2 * most + 1)) - most
    return Variables({"phase": _phases(keys[1], width)}, {"frequency": whole * (2 * jnp.pi / side)})


def band_of(layer: int, layers: int, bandwidth: ArrayLike) -> Float[Array, ""]:
    """The highest frequency of a layer's filters: an eighth of the band in each of the first two, the rest evenly."""
    share = 1 / layers if layers < 3 else 1 / 8 if layer < 2 else 3 / 4 / (layers - 2)
    return jnp.floor(jnp.asarray(bandwidth, jnp.float32) * share)


FILTERS |= {
    "fourier": Filter(fourier_variables, fourier),
    "gabor": Filter(gabor_variables, gabor),
    "bandlimited": Filter(band_variables, fourier),
}


def _phases(key: Array, width: int) -> Float[Array, " w"]:
    return jax.random.uniform(key, (width,), minval=-jnp.pi, maxval=jnp.pi)


def _turn(variables: Variables, x: Float[Array, "d n"]) -> Float[Array, "w n"]:
    """Ωx + φ, at the highest precision: a rounding of x is multiplied by Ω."""
    return jnp.matmul(variables.get("frequency"), x, precision=lax.Precision.HIGHEST) + variables.get("phase")[:, None]
