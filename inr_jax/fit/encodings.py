"""Encodings: from coordinates to feature maps.

An encoding is two pure functions: `init(key, dims, *, ...)` draws its variables, of which `params` are trained and
`data` are not; `apply(variables, coords, *, ...)` gives the features. Their keyword-only parameters are settings;
`side` is provided: the length of an image side in the coordinates (1 in [0, 1), 2 in [-1, 1]). All of it is float32 at
the highest matmul precision: at scale 30 a coordinate's rounding is multiplied by 200. Features lie pixel beside pixel
in memory, as the networks' columns do: the result is a transposed view.
"""

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from inr_jax.fit import sines
from inr_jax.settings import Refused, Registry, about

FAMILIES = Registry("family")
Frequencies = Annotated[int, about("rows of B", low=1)]
Scale = Annotated[
    ArrayLike,
    about("standard deviation of B's rows (positional: highest exponent)", "cycles per image side", low=0.0),
]
Octaves = Annotated[int, about("k = 0 ... octaves - 1 in dyadic and octaves", low=1, high=24)]
Learned = Annotated[bool, about("B is a parameter, not data")]


class Variables(NamedTuple):
    """What an encoding or a network consists of: `params` are trained, `data` are not; dictionaries of arrays."""

    params: dict[str, Any]
    data: dict[str, Any]

    def get(self, name: str) -> Any:
        """The variable of this name, trained or not; None if there is none."""
        return (self.params | self.data).get(name)


def solved(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether this shape is left to a number of parameters."""
    return bool(settings.get("parameters")) and settings.get("solve_for") == name


class Encoding(NamedTuple):
    """The two functions of an encoding."""

    init: Callable[..., Variables]
    apply: Callable[..., Float[Array, "n f"]]


def fixed(function: Callable[..., Array] | Encoding) -> Encoding:
    """The encoding of a function `f(coords, key, *, ...)`, where the key is the member's; an `Encoding` as it is."""
    if isinstance(function, Encoding):
        return function

    def init(key: Array, dims: int) -> Variables:
        # The key travels as plain numbers: data that is saved and restored like any other.
        return Variables({}, {"key": jax.random.key_data(key)})

    @functools.wraps(function)
    def apply(variables: Variables, coords: Array, **settings: Any) -> Array:
        return function(coords, jax.random.wrap_key_data(variables.get("key")), **settings)

    return Encoding(init, apply)


ENCODINGS = Registry("encoding", adapt=fixed)


def no_variables(key: Array, dims: int) -> Variables:
    """Nothing: neither drawn nor trained."""
    return Variables({}, {})


def unit_frequencies(key: Array, dims: int, *, learn_frequencies: Learned = False) -> Variables:
    """B = I: one cycle per image side along each axis."""
    return _frequencies(jnp.eye(dims, dtype=jnp.float32), learn_frequencies)


def log_spaced(
    key: Array,
    dims: int,
    *,
    frequencies: Frequencies = 256,
    scale: Scale = 10.0,
    learn_frequencies: Learned = False,
) -> Variables:
    """B with the frequencies 2^linspace(0, scale) - 1 along each axis, `frequencies` over all axes.

    Tancik et al. 2020, the code of the 2D experiments: from 0 to 2^scale - 1 cycles per image side.
    Raises Refused where an axis would have none.
    """
    per_axis = frequencies // dims
    if frequencies < max(2, dims):
        raise Refused(f"frequencies={frequencies} is too few for encoding='positional'; expected at least 2")
    rows = 2.0 ** (scale * jnp.linspace(0.0, 1.0, per_axis, dtype=jnp.float32)) - 1.0
    B = jnp.concatenate([rows[:, None] * axis for axis in jnp.eye(dims, dtype=jnp.float32)])
    return _frequencies(B, learn_frequencies)


def random_frequencies(
    key: Array,
    dims: int,
    *,
    frequencies: Frequencies = 256,
    family: Annotated[
        Any,
        about("distribution of B's rows, scale is the standard deviation of each", choices=FAMILIES),
    ] = "gaussian",
    scale: Scale = 10.0,
    anisotropy: Annotated[ArrayLike, about("the columns' scale over the rows', in two dimensions", above=0.0)] = 1.0,
    learn_frequencies: Learned = False,
) -> Variables:
    """B with rows drawn from the family, independent along each axis, with standard deviation `scale`.

    In two dimensions the second column's is `scale * anisotropy`. One seed's draw is only rescaled by the scale.
    """
    axes = jnp.ones(dims, jnp.float32) * scale
    axes = axes * jnp.stack([jnp.ones_like(axes[0]), jnp.asarray(anisotropy, jnp.float32)]) if dims == 2 else axes
    draw: Any = family  # bound: a function
    return _frequencies(draw(key, (frequencies, dims)) * axes, learn_frequencies)


def identity(variables: Variables, coords: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """The coordinates themselves."""
    return coords


def fourier(variables: Variables, coords: Float[Array, "n d"], *, side: float) -> Float[Array, "n f"]:
    """[sin 2πBx, cos 2πBx] (Tancik et al. 2020, eq. 5, with a = 1)."""
    return jnp.concatenate(sines.turned(_turns(coords / side, variables.get("B")))).T


def dyadic(variables: Variables, coords: Float[Array, "n d"], *, octaves: Octaves = 10) -> Float[Array, "n f"]:
    """[x, sin 2^k x, cos 2^k x] for k < octaves, no π: d (1 + 2 octaves) features."""
    pairs = [sines.waves(coords.T * 2.0**k) for k in range(octaves)]
    return jnp.concatenate([coords.T, *itertools.chain(*pairs)]).T


def octaves(
    variables: Variables, coords: Float[Array, "n d"], *, octaves: Octaves = 10, side: float
) -> Float[Array, "n f"]:
    """[Bx, sin π2^k Bx, cos π2^k Bx] for k < octaves: m (1 + 2 octaves) features."""
    half_turns = _turns(coords / side, variables.get("B"))
    pairs = [sines.turned(half_turns * 2.0 ** (k - 1)) for k in range(octaves)]
    return jnp.concatenate([half_turns, *itertools.chain(*pairs)]).T


ENCODINGS |= {
    "identity": Encoding(no_variables, identity),
    "basic": Encoding(unit_frequencies, fourier),
    "dyadic": Encoding(no_variables, dyadic),
    "gaussian": Encoding(random_frequencies, fourier),
    "positional": Encoding(log_spaced, fourier),
    "octaves": Encoding(random_frequencies, octaves),
}


# The families of frequencies, each with standard deviation 1 along each axis.
@FAMILIES.register()
def gaussian(key: Array, shape: tuple[int, ...]) -> Float[Array, "m d"]:
    """Normal."""
    return jax.random.normal(key, shape)


@FAMILIES.register()
def uniform(key: Array, shape: tuple[int, ...]) -> Float[Array, "m d"]:
    """Uniform between ±√3."""
    return jax.random.uniform(key, shape, minval=-(3**0.5), maxval=3**0.5)


@FAMILIES.register()
def loguniform(key: Array, shape: tuple[int, ...]) -> Float[Array, "m d"]:
    """Magnitudes log-uniform over three decades, random signs."""
    magnitude_key, sign_key = jax.random.split(key)
    span = jnp.log(1000.0)
    magnitude = jnp.exp(jax.random.uniform(magnitude_key, shape) * span)
    return jax.random.rademacher(sign_key, shape, jnp.float32) * magnitude / jnp.sqrt((1e6 - 1) / (2 * span))


@FAMILIES.register()
def laplace(key: Array, shape: tuple[int, ...]) -> Float[Array, "m d"]:
    """Two-sided exponential."""
    return jax.random.laplace(key, shape) / 2**0.5


def _frequencies(B: Float[Array, "m d"], learned: bool) -> Variables:
    return Variables({"B": B}, {}) if learned else Variables({}, {"B": B})


def _turns(coords: Float[Array, "n d"], B: Float[Array, "m d"]) -> Float[Array, "m n"]:
    return jnp.matmul(B, coords.T, precision=lax.Precision.HIGHEST)
