"""Encodings: from coordinates to feature maps.

An encoding is two pure functions. `draw(key, dims, *, ...)` gives B, its frequencies in cycles per image side: data,
drawn once per member. `encode(coords, B, *, ...)` gives the features. What each reads of a member's settings are its
keyword parameters; `side` is the length of an image side in the coordinates (1 in [0, 1), 2 in [-1, 1]).
All of it is float32 at the highest matmul precision: at scale 30 a coordinate's rounding is multiplied by 200.
Features lie pixel beside pixel in memory, as the networks' columns do: what is returned is a transposed view.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from inr_jax.fit import sines
from inr_jax.functions import imported


class Encoding(NamedTuple):
    """How an encoding draws its frequencies and how it makes features of coordinates with them."""

    draw: Callable[..., Any]
    encode: Callable[..., Float[Array, "n f"]]


def identity(coords: Float[Array, "n d"], B: Float[Array, "0 d"]) -> Float[Array, "n d"]:
    """The coordinates themselves."""
    return coords


def fourier(coords: Float[Array, "n d"], B: Float[Array, "m d"], *, side: float) -> Float[Array, "n 2*m"]:
    """[sin 2πBx, cos 2πBx] (Tancik et al. 2020, eq. 5, with a = 1)."""
    return jnp.concatenate(sines.turned(_turns(coords / side, B))).T


def dyadic(coords: Float[Array, "n d"], B: Float[Array, "0 d"], *, octaves: int) -> Float[Array, "n f"]:
    """[x, sin 2^k x, cos 2^k x] for k < octaves, no π: d (1 + 2 octaves) features."""
    pairs = [sines.waves(coords.T * 2.0**k) for k in range(octaves)]
    return jnp.concatenate([coords.T, *itertools.chain(*pairs)]).T


def octaves(coords: Float[Array, "n d"], B: Float[Array, "m d"], *, octaves: int, side: float) -> Float[Array, "n f"]:
    """[Bx, sin π2^k Bx, cos π2^k Bx] for k < octaves: m (1 + 2 octaves) features."""
    half_turns = _turns(coords / side, B)
    pairs = [sines.turned(half_turns * 2.0 ** (k - 1)) for k in range(octaves)]
    return jnp.concatenate([half_turns, *itertools.chain(*pairs)]).T


def no_frequencies(key: Array, dims: int) -> Float[Array, "0 d"]:
    """An empty B."""
    return jnp.zeros((0, dims), jnp.float32)


def unit_frequencies(key: Array, dims: int) -> Float[Array, "d d"]:
    """B = I: one cycle per image side along each axis."""
    return jnp.eye(dims, dtype=jnp.float32)


def log_spaced(key: Array, dims: int, *, frequencies: int, scale: Any) -> Float[Array, "m d"]:
    """The frequencies 2^linspace(0, scale) - 1 along each axis, `frequencies` over all axes.

    Tancik et al. 2020, the code of the 2D experiments: from 0 to 2^scale - 1 cycles per image side.
    """
    per_axis = frequencies // dims
    rows = 2.0 ** (scale * jnp.linspace(0.0, 1.0, per_axis, dtype=jnp.float32)) - 1.0
    return jnp.concatenate([rows[:, None] * axis for axis in jnp.eye(dims, dtype=jnp.float32)])


def random_frequencies(
    key: Array, dims: int, *, frequencies: int, family: str, scale: Any, anisotropy: Any
) -> Float[Array, "m d"]:
    """Rows drawn from the family, independent along each axis, with standard deviation `scale`.

    In two dimensions the second column's is `scale * anisotropy`. One seed's draw is only rescaled by the scale.
    """
    axes = jnp.ones(dims, jnp.float32) * scale
    axes = axes * jnp.stack([jnp.ones_like(axes[0]), jnp.asarray(anisotropy, jnp.float32)]) if dims == 2 else axes
    return FAMILIES[family](key, (frequencies, dims)) * axes


def loguniform(key: Array, shape: tuple[int, ...]) -> Float[Array, "m d"]:
    """Magnitudes log-uniform over three decades, random signs, standard deviation 1."""
    magnitude_key, sign_key = jax.random.split(key)
    span = jnp.log(1000.0)
    magnitude = jnp.exp(jax.random.uniform(magnitude_key, shape) * span)
    return jax.random.rademacher(sign_key, shape, jnp.float32) * magnitude / jnp.sqrt((1e6 - 1) / (2 * span))


# Each with standard deviation 1 along each axis.
FAMILIES: dict[str, Callable[[Array, tuple[int, ...]], Array]] = {
    "gaussian": jax.random.normal,
    "uniform": lambda key, shape: jax.random.uniform(key, shape, minval=-(3**0.5), maxval=3**0.5),
    "loguniform": loguniform,
    "laplace": lambda key, shape: jax.random.laplace(key, shape) / 2**0.5,
}

ENCODINGS: dict[str, Encoding] = {
    "identity": Encoding(no_frequencies, identity),
    "basic": Encoding(unit_frequencies, fourier),
    "dyadic": Encoding(no_frequencies, dyadic),
    "positional": Encoding(log_spaced, fourier),
    "gaussian": Encoding(random_frequencies, fourier),
    "octaves": Encoding(random_frequencies, octaves),
}

# Those whose frequencies may be parameters.
LEARNABLE = ("basic", "positional", "gaussian", "octaves")


def lookup(encoding: str | Callable) -> Encoding:
    """The encoding of that name, or one's own: `f(coords, key, *, ...)`, as a function or as `module:function`.

    The key is the member's, for whatever the function draws. Raises Refused if it cannot be imported.
    """
    if isinstance(encoding, str) and encoding in ENCODINGS:
        return ENCODINGS[encoding]
    own = imported(encoding) if isinstance(encoding, str) else encoding
    # The key travels as plain numbers: data that is saved and restored like any B.
    rekeyed = functools.wraps(own)(lambda coords, B, **kw: own(coords, jax.random.wrap_key_data(B), **kw))
    return Encoding(lambda key, dims: jax.random.key_data(key), rekeyed)


def _turns(coords: Float[Array, "n d"], B: Float[Array, "m d"]) -> Float[Array, "m n"]:
    return jnp.matmul(B, coords.T, precision=lax.Precision.HIGHEST)
