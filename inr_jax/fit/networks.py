"""Networks: from feature maps to colours. The only file that imports flax.

A network is a Flax Linen module behind two pure functions, `init` and `apply`. What it reads of a member's settings
are its fields. An own network is a function or class that returns such a module, named `module:function`.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from inr_jax.fit import sines
from inr_jax.functions import call, imported
from inr_jax.settings import Design, Hyper, Refused, values

Params = Any
# What the operands of hidden products are rounded to below float32. TF32 is rounded here, so that it costs the same
# accuracy where the hardware has none.
ROUNDED: dict[str, Callable[[Array], Array]] = {
    "tf32": lambda x: lax.reduce_precision(x, exponent_bits=8, mantissa_bits=10),
    "bfloat16": lambda x: x.astype(jnp.bfloat16),
}


def product(precision: str, a: Float[Array, "m k"], b: Float[Array, "k n"]) -> Float[Array, "m n"]:
    """The product ab of two float32 matrices at the precision of `Design.precision`; float32 sums and results.

    Below float32 the operands are rounded, and so are those of both products of the gradient.
    """
    if precision == "float32":
        return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)
    return _rounded_product(precision, a, b)


# What JAX derives would round the gradient's results, not its operands.
@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _rounded_product(precision: str, a: Array, b: Array) -> Array:
    return _forward(precision, a, b)[0]


def _forward(precision: str, a: Array, b: Array) -> tuple[Array, tuple[Array, Array]]:
    a, b = map(ROUNDED[precision], (a, b))
    return _float32_product(a, b), (a, b)


def _backward(precision: str, operands: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    (a, b), gradient = operands, ROUNDED[precision](gradient)
    return _float32_product(gradient, b.T), _float32_product(a.T, gradient)


def _float32_product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, preferred_element_type=jnp.float32)


_rounded_product.defvjp(_forward, _backward)


def uniform(bound: Any) -> Callable:
    """An initializer that draws from U(-bound, bound)."""
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -1.0, 1.0) * bound


def initializers(name: str, fan_in: int, first: bool, omega_0: Any) -> tuple[Callable, Callable]:
    """Initializers of a layer's weights and biases.

    `flax`: LeCun normal, zeros. `torch`: both U(±1/√n). `glorot`: Glorot normal, N(0, 0.01²), as Tancik et al. 2020
    (the defaults of jax.example_libraries.stax). `siren`: the first U(±1/n), all others U(±√(6/n)/ω0), biases
    U(±1/√n), as the reference code of Sitzmann et al. 2020 (whose paper differs in the first).
    """
    return {
        "flax": lambda: (nn.initializers.lecun_normal(), nn.initializers.zeros_init()),
        "torch": lambda: (uniform(fan_in**-0.5), uniform(fan_in**-0.5)),
        "glorot": lambda: (nn.initializers.glorot_normal(), nn.initializers.normal(0.01)),
        "siren": lambda: (
            uniform(1 / fan_in if first else (6 / fan_in) ** 0.5 / omega_0),
            uniform(fan_in**-0.5),
        ),
    }[name]()


class Dense(nn.Module):
    """A layer on columns, one a pixel: Wx + b, W stored as (out, in).

    On a CPU the weight gradient is a quarter slower where pixels are rows: its product then reads both its operands
    along the wrong axis.
    """

    width: int
    kernel_init: Callable
    bias_init: Callable
    precision: str

    @nn.compact
    def __call__(self, x: Float[Array, "f n"]) -> Float[Array, "o n"]:
        """The layer's outputs, float32."""
        weight = self.param("weight", lambda key: self.kernel_init(key, (len(x), self.width), jnp.float32).T)
        bias = self.param("bias", self.bias_init, (self.width,), jnp.float32)
        return product(self.precision, weight, x) + bias[:, None]


class Mlp(nn.Module):
    """`depth` hidden layers of `width` and a last one, with an activation between; what relu and siren share."""

    channels: int
    width: int
    depth: int
    precision: str
    output: str
    init_name: str
    activation: Callable
    omega_0: Any = 30.0

    @nn.compact
    def __call__(self, features: Float[Array, "n f"]) -> Float[Array, "n c"]:
        """The colours of the features."""
        x = features.T
        for layer in range(self.depth + 1):
            last = layer == self.depth
            # The last product is as small as it is decisive: always float32.
            precision = "float32" if last else self.precision
            initial = initializers(self.init_name, len(x), layer == 0, self.omega_0)
            x = Dense(self.channels if last else self.width, *initial, precision)(x)
            x = x if last else self.activation(x)
        return (nn.sigmoid(x) if self.output == "sigmoid" else x).T


def relu(channels: int, *, width: int, depth: int, init: str, output: str, precision: str) -> nn.Module:
    """A ReLU MLP."""
    return Mlp(channels, width, depth, precision, output, init, nn.relu)


def siren(channels: int, *, width: int, depth: int, init: str, output: str, precision: str, omega_0: Any) -> nn.Module:
    """SIREN: sin(ω0 (Wx + b)) in every hidden layer (Sitzmann et al. 2020, eq. 4)."""

    def sine(x: Array) -> Array:
        return sines.waves(omega_0 * x)[0]

    return Mlp(
        channels,
        width,
        depth,
        precision,
        output,
        init,
        sine,
        omega_0,
    )


NETWORKS: dict[str, Callable[..., nn.Module]] = {"relu": relu, "siren": siren}


def lookup(network: str | Callable) -> Callable[..., nn.Module]:
    """The network of that name, or one's own, as a function or as `module:function`."""
    if not isinstance(network, str):
        return network
    return NETWORKS[network] if network in NETWORKS else imported(network)


def resolved(design: Design) -> Design:
    """The design with its network's own initialisation and output in place of `auto`.

    Raises Refused for SIREN's initialisation of a ReLU network: it has no omega_0.
    """
    if design.init == "siren" and design.network == "relu":
        raise Refused("init='siren' belongs to network='siren'; allowed with relu: flax, torch, glorot")
    siren_like = design.network == "siren"
    init, output = ("siren", "linear") if siren_like else ("flax", "sigmoid")
    return dataclasses.replace(
        design,
        init=init if design.init == "auto" else design.init,
        output=output if design.output == "auto" else design.output,
    )


def init(design: Design, hyper: Hyper, key: Array, features: Float[Array, "n f"], channels: int) -> Params:
    """The network's parameters, drawn by its initialisation for these features."""
    return _module(design, hyper, channels).init(key, features)


def apply(
    design: Design, hyper: Hyper, params: Params, features: Float[Array, "n f"], channels: int
) -> Float[Array, "n c"]:
    """The network's colours at the features; a linear output is not clipped."""
    return cast(Array, _module(design, hyper, channels).apply(params, features))


def _module(design: Design, hyper: Hyper, channels: int) -> nn.Module:
    return call(lookup(design.network), channels, values=values(resolved(design), hyper))
