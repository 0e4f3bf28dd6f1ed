"""Activations: one function each, of the outputs z of a layer's linear map; their keyword-only parameters are settings.

`first` is provided: whether it is the first layer's, where the literature tunes a number apart; 0 there stands for the
number of the other layers. A row may be an `Activation`, which also learns numbers of its own, and a function may be
`fed` more than one linear map. A row's defaults (`register`) name the initialisation and the last layer of networks
that leave them to their activation, and its own numbers. Those of first layers and of Gaussians are for coordinates in
[-1, 1] (`domain=signed`); the docstrings name their source.
"""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from inr_jax.fit import sines
from inr_jax.settings import Registry, about

ACTIVATIONS = Registry("activation")
Omega = Annotated[ArrayLike, about("factor inside the sines of hidden layers", "radians", above=0.0)]
OmegaFirst = Annotated[ArrayLike, about("factor inside the first layer's sines; 0: omega_0", "radians", low=0.0)]
Width = Annotated[ArrayLike, about("inverse width of a Gaussian or another bump", above=0.0)]
Detached = Annotated[bool, about("FINER's factor |z| + 1 has no gradient, as in its code; False: its true derivative")]
Layer = Float[Array, "*s"]


class Activation(NamedTuple):
    """An activation with numbers that it learns in each layer: `init(key, *, ...)` draws them, a dictionary of arrays.

    `apply(numbers, z, *, ...)` gives the layer's outputs.
    """

    init: Callable[..., dict[str, Array]]
    apply: Callable[..., Layer]


class Feed(NamedTuple):
    """What linear maps a layer has for a unit: so many real ones, or one of complex values, which travel as pairs.

    Pairs are the real parts of all units, then the imaginary ones.
    """

    maps: int = 1
    pairs: bool = False


def fed(maps: int = 1, pairs: bool = False) -> Callable[[Callable], Callable]:
    """Decorator of an activation that is fed more than one real number a unit."""

    def mark(function: Callable) -> Callable:
        vars(function)["feed"] = Feed(maps, pairs)
        return function

    return mark


def feed_of(activation: Any) -> Feed:
    """The linear maps that an activation is fed."""
    function = activation[-1] if isinstance(activation, tuple) else activation
    return getattr(getattr(function, "func", function), "feed", Feed())


@ACTIVATIONS.register(init="flax", output="sigmoid")
def relu(z: Layer) -> Layer:
    """max(z, 0)."""
    return jax.nn.relu(z)


@ACTIVATIONS.register(init="flax", output="sigmoid")
def gelu(z: Layer) -> Layer:
    """z Φ(z), with the normal distribution's Φ, not its approximation (Hendrycks and Gimpel 2016)."""
    return jax.nn.gelu(z, approximate=False)


@ACTIVATIONS.register(init="flax", output="sigmoid")
def silu(z: Layer) -> Layer:
    """z / (1 + e^-z)."""
    return jax.nn.silu(z)


@ACTIVATIONS.register(init="flax", output="sigmoid")
def tanh(z: Layer) -> Layer:
    """tanh z."""
    return jnp.tanh(z)


@ACTIVATIONS.register(init="siren", output="linear")
def sine(z: Layer, *, omega_0: Omega = 30.0, omega_first: OmegaFirst = 0.0, first: bool) -> Layer:
    """sin(ω0 z) (Sitzmann et al. 2020, eq. 4)."""
    return sines.waves(_of_layer(omega_0, omega_first, first) * z)[0]


@ACTIVATIONS.register(init="finer", output="linear")
def finer(
    z: Layer,
    *,
    omega_0: Omega = 30.0,
    omega_first: OmegaFirst = 0.0,
    detached: Detached = True,
    first: bool,
) -> Layer:
    """sin(ω0 (|z| + 1) z): FINER (Liu et al. 2024, eq. 5)."""
    return sines.waves(_of_layer(omega_0, omega_first, first) * _growing(z, detached))[0]


@ACTIVATIONS.register(init="torch", output="linear", s=30.0)
def gauss(z: Layer, *, s: Width = 30.0) -> Layer:
    """exp(-(s z)²) (Ramasinghe and Lucey 2022); s = 30 as in FINER's comparison."""
    return jnp.exp(-jnp.square(s * z))


@ACTIVATIONS.register("finer-gauss", init="finer", output="linear", s=3.0, omega_0=10.0, k=1.0)
def finer_gauss(
    z: Layer,
    *,
    s: Width = 30.0,
    omega_0: Omega = 30.0,
    omega_first: OmegaFirst = 0.0,
    detached: Detached = True,
    first: bool,
) -> Layer:
    """exp(-(s sin(ω0 (|z| + 1) z))²): FINER++ (Zhu et al. 2024)."""
    return jnp.exp(-jnp.square(s * sines.waves(_of_layer(omega_0, omega_first, first) * _growing(z, detached))[0]))


@ACTIVATIONS.register(init="torch", output="linear", s=10.0, omega_0=20.0)
@fed(pairs=True)
def wire(
    z: Float[Array, "h ..."], *, s: Width = 30.0, omega_0: Omega = 30.0, omega_first: OmegaFirst = 0.0, first: bool
) -> Float[Array, "h2 ..."]:
    """exp(i ω0 z - |s z|²) of complex z, as pairs; the first layer's z is real: WIRE (Saragadam et al. 2023, eq. 3).

    Its size is at most exp((ω0 / 2s)²) in every layer but the first: ω0 / s above 3 is likely to diverge.
    """
    omega = _of_layer(omega_0, omega_first, first)
    real, imaginary = (z, jnp.zeros_like(z)) if first else jnp.split(z, 2)
    size = jnp.exp(-(omega * imaginary) - jnp.square(s) * (jnp.square(real) + jnp.square(imaginary)))
    sine, cosine = sines.waves(omega * real)
    return jnp.concatenate([size * cosine, size * sine])


@ACTIVATIONS.register("wire-real", init="torch", output="linear", s=10.0, omega_0=20.0)
@fed(maps=2)
def wire_real(
    z: Float[Array, "h2 ..."], *, s: Width = 30.0, omega_0: Omega = 30.0, omega_first: OmegaFirst = 0.0, first: bool
) -> Float[Array, "h ..."]:
    """cos(ω0 u) exp(-(s v)²) of two linear maps u and v: the real WIRE of its code."""
    u, v = jnp.split(z, 2)
    return sines.waves(_of_layer(omega_0, omega_first, first) * u)[1] * jnp.exp(-jnp.square(s * v))


@ACTIVATIONS.register(init="siren", output="linear")
def hosc(
    z: Layer,
    *,
    omega_0: Omega = 30.0,
    omega_first: OmegaFirst = 0.0,
    beta: Annotated[ArrayLike, about("steepness: near 0 a sine, large a square wave", above=0.0)] = 2.0,
    first: bool,
) -> Layer:
    """tanh(β sin(ω0 z)) (Serrano et al. 2024)."""
    return jnp.tanh(beta * sines.waves(_of_layer(omega_0, omega_first, first) * z)[0])


@ACTIVATIONS.register(init="siren", output="linear")
def sinc(z: Layer, *, omega_0: Omega = 30.0, omega_first: OmegaFirst = 0.0, first: bool) -> Layer:
    """sin(ω0 z) / (ω0 z), without the π of NumPy's sinc (Saratchandran et al. 2024)."""
    u = _of_layer(omega_0, omega_first, first) * z
    small = jnp.abs(u) < 1e-2
    return jnp.where(small, 1 - jnp.square(u) / 6, sines.waves(u)[0] / jnp.where(small, 1.0, u))


@ACTIVATIONS.register(init="siren", output="linear")
def spder(z: Layer, *, omega_0: Omega = 30.0, omega_first: OmegaFirst = 0.0, first: bool) -> Layer:
    """sin(u) √|u| with u = ω0 z (Shah and Sitawarin 2023).

    The root is held above 1e-3, since its slope is infinite at 0.
    """
    u = _of_layer(omega_0, omega_first, first) * z
    return sines.waves(u)[0] * jnp.sqrt(jnp.maximum(jnp.abs(u), 1e-6))


@ACTIVATIONS.register("h-siren", init="siren", output="linear")
def h_siren(
    z: Layer,
    *,
    omega_0: Omega = 30.0,
    steepness: Annotated[ArrayLike, about("factor inside the first layer's sinh", above=0.0)] = 2.0,
    first: bool,
) -> Layer:
    """sin(sinh(2z)) in the first layer, sin(ω0 z) in the others (Gao and Jaiman 2024)."""
    return sines.waves(jnp.sinh(steepness * z) if first else omega_0 * z)[0]


def staf_numbers(
    key: Array,
    *,
    staf_terms: Annotated[int, about("sines of a staf activation", low=1, high=64)] = 5,
    omega_0: Omega = 30.0,
    omega_first: OmegaFirst = 0.0,
    first: bool,
) -> dict[str, Array]:
    """Frequencies ω0 U(0, 1), phases U(±π), amplitudes sgn(l) √|l| with l ~ Laplace(0, 1 / 2 staf_terms)."""
    keys = jax.random.split(key, 3)
    drawn = jax.random.laplace(keys[2], (staf_terms,)) / (2 * staf_terms)
    return {
        "frequency": jax.random.uniform(keys[0], (staf_terms,)) * _of_layer(omega_0, omega_first, first),
        "phase": jax.random.uniform(keys[1], (staf_terms,), minval=-jnp.pi, maxval=jnp.pi),
        "amplitude": jnp.sign(drawn) * jnp.sqrt(jnp.abs(drawn)),
    }


def staf(
    numbers: dict[str, Array],
    z: Layer,
    *,
    staf_skip: Annotated[bool, about("staf adds z in all layers but the first, as its code does for images")] = False,
    first: bool,
) -> Layer:
    """The sum of b sin(w z + φ) over learned triples, which a layer's units share: STAF (Morsali et al. 2025)."""
    terms = zip(numbers["frequency"], numbers["phase"], numbers["amplitude"], strict=True)
    total = sum(b * sines.waves(w * z + phase)[0] for w, phase, b in terms)
    return total + z if staf_skip and not first else total


ACTIVATIONS.register("staf", init="torch", output="linear")(Activation(staf_numbers, staf))


def incode_numbers(
    key: Array, *, incode_start: Annotated[ArrayLike, about("of incode's four learned numbers")] = 0.312
) -> dict[str, Array]:
    """a = b = c = d = 0.312, where INCODE's own network, which is fed the target, begins."""
    return {name: jnp.asarray(incode_start, jnp.float32) for name in "abcd"}


def incode(
    numbers: dict[str, Array],
    z: Layer,
    *,
    omega_0: Omega = 30.0,
    omega_first: OmegaFirst = 0.0,
    first: bool,
) -> Layer:
    """e^a sin(e^b ω0 z + c) + d with learned a, b, c, d: INCODE (Kazerouni et al. 2024).

    Its network that makes the four of the target, which is constant, is left out, and each layer has its own.
    """
    a, b, c, d = (numbers[name] for name in "abcd")
    return jnp.exp(a) * sines.waves(jnp.exp(b) * _of_layer(omega_0, omega_first, first) * z + c)[0] + d


ACTIVATIONS.register("incode", init="siren", output="linear", penalty="incode")(Activation(incode_numbers, incode))


@ACTIVATIONS.register(init="torch", output="linear", s=10.0)
def quadratic(z: Layer, *, s: Width = 30.0) -> Layer:
    """1 / (1 + (s z)²) (Ramasinghe and Lucey 2022)."""
    return 1 / (1 + jnp.square(s * z))


@ACTIVATIONS.register(init="torch", output="linear", s=20.0)
def multiquadratic(z: Layer, *, s: Width = 30.0) -> Layer:
    """1 / √(1 + (s z)²) (Ramasinghe and Lucey 2022)."""
    return lax.rsqrt(1 + jnp.square(s * z))


@ACTIVATIONS.register(init="torch", output="linear", s=10.0)
def laplacian(z: Layer, *, s: Width = 30.0) -> Layer:
    """exp(-s |z|) (Ramasinghe and Lucey 2022, whose a is 1 / s)."""
    return jnp.exp(-(s * jnp.abs(z)))


@ACTIVATIONS.register("super-gaussian", init="torch", output="linear", s=10.0)
def super_gaussian(
    z: Layer,
    *,
    s: Width = 30.0,
    gaussian_power: Annotated[ArrayLike, about("power of a super-gaussian", above=0.0)] = 2.0,
) -> Layer:
    """exp(-(s z)² / 2) to this power (Ramasinghe and Lucey 2022, whose a is 1 / s and b the power)."""
    return jnp.exp(-(gaussian_power * jnp.square(s * z) / 2))


@ACTIVATIONS.register(init="torch", output="linear", omega_0=10.0)
def expsin(z: Layer, *, omega_0: Omega = 30.0) -> Layer:
    """exp(sin(ω0 z)) (Ramasinghe and Lucey 2022, whose a is ω0)."""
    return jnp.exp(sines.waves(omega_0 * z)[0])


def _of_layer(hidden: ArrayLike, first_number: ArrayLike, first: bool) -> ArrayLike:
    """The number of this layer."""
    return jnp.where(jnp.asarray(first_number) > 0, first_number, hidden) if first else hidden


def _growing(z: Layer, detached: bool) -> Layer:
    """(|z| + 1) z."""
    factor = jnp.abs(z) + 1
    return (lax.stop_gradient(factor) if detached else factor) * z
