"""Networks: from feature maps to values. The only file that imports flax, hence a long one.

A network is a function of the number of channels that returns a Flax Linen module, behind two pure functions: `init`
and `apply`. Its keyword-only parameters are settings. A custom one is named `module:function`.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from inr_jax.fit.activations import ACTIVATIONS, Activation, feed_of
from inr_jax.fit.encodings import Variables, solved
from inr_jax.fit.filters import FILTERS, Filter
from inr_jax.fit.initializers import INITS, flax, torch, uniform
from inr_jax.fit.products import ROUNDED, product
from inr_jax.settings import AUTO, Refused, Registry, about, call, declared, meaning, preset

NETWORKS = Registry("network")
WEIGHTS = Registry("weights")
OUTPUTS = Registry("output")
# What rules of initialisation take for the mean square of features below it: tables that learn begin near 0 and grow.
LEAST_SQUARE = 0.1


@OUTPUTS.register()
def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x): values between 0 and 1."""
    return nn.sigmoid(x)


@OUTPUTS.register()
def tanh(x: Array) -> Array:
    """(1 + tanh x) / 2: a tanh where values are mapped to [-1, 1], as the sigmoid of 2x."""
    return 0.5 * (1 + jnp.tanh(x))


@OUTPUTS.register()
def linear(x: Array) -> Array:
    """The values as they are."""
    return x


# Functions of `param(name, initializer)`, of what draws a weight, and of whether it is the last layer's: the weight.
@WEIGHTS.register()
def plain(param: Callable, drawn: Callable, last: bool) -> Float[Array, "o i"]:
    """The weights themselves are trained."""
    return param("weight", drawn)


@WEIGHTS.register()
def scaled(
    param: Callable,
    drawn: Callable,
    last: bool,
    *,
    weight_scaling: Annotated[
        ArrayLike, about("factor on the first weights of all layers but the last", above=0.0)
    ] = 2.5,
) -> Float[Array, "o i"]:
    """The weights, which all layers but the last begin with times a factor (Yeom et al. 2024)."""
    return param("weight", lambda key: drawn(key) * (1.0 if last else weight_scaling))


@WEIGHTS.register()
def factorized(
    param: Callable,
    drawn: Callable,
    last: bool,
    *,
    factor_mean: Annotated[ArrayLike, about("mean of the logarithm of a factorized weight's factors")] = 0.5,
    factor_spread: Annotated[ArrayLike, about("standard deviation of that logarithm", low=0.0)] = 0.1,
) -> Float[Array, "o i"]:
    """A trained factor for each unit times trained weights: the same function at the start (Wang et al. 2022)."""

    def split(key: Array) -> dict[str, Array]:
        whole = drawn(key)
        normal = jax.random.normal(jax.random.fold_in(key, 1), (len(whole), 1))
        factor = jnp.exp(factor_mean + factor_spread * normal)
        return {"factor": factor, "direction": whole / factor}

    both = param("weight", split)
    return both["factor"] * both["direction"]


class Dense(nn.Module):
    """A layer on columns, one a pixel: Wx + b, W stored as (out, in).

    On a CPU the weight gradient is a quarter slower where pixels are rows: its product then reads both its operands
    along the wrong axis.
    """

    width: int
    kernel_init: Callable
    bias_init: Callable | None
    precision: str
    last: bool = False
    weights: Callable = plain

    @nn.compact
    def __call__(self, x: Float[Array, "f n"]) -> Float[Array, "o n"]:
        """The layer's outputs, float32."""
        drawn = lambda key: self.kernel_init(key, (len(x), self.width), jnp.float32).T  # noqa: E731
        z = product(self.precision, self.weights(self.param, drawn, self.last), x)
        return (
            z if self.bias_init is None else z + self.param("bias", self.bias_init, (self.width,), jnp.float32)[:, None]
        )


class ComplexDense(nn.Module):
    """A complex layer on columns of pairs, the real parts above the imaginary ones: one product of real matrices.

    Its real and its imaginary weights and biases are drawn alike. Of the last layer only the real part is there.
    """

    width: int
    kernel_init: Callable
    bias_init: Callable | None
    precision: str
    last: bool
    weights: Callable

    @nn.compact
    def __call__(self, x: Float[Array, "f2 n"]) -> Float[Array, "o n"]:
        """The layer's outputs, pairs unless it is the last."""
        drawn = lambda key: self.kernel_init(key, (len(x) // 2, self.width), jnp.float32).T  # noqa: E731
        named = lambda part: lambda name, initial: self.param(f"{name}_{part}", initial)  # noqa: E731
        real, imaginary = (self.weights(named(part), drawn, self.last) for part in ("real", "imaginary"))
        z = product(
            self.precision,
            jnp.block([[real, -imaginary]] if self.last else [[real, -imaginary], [imaginary, real]]),
            x,
        )
        if self.bias_init is None:
            return z
        names = ("bias_real",) if self.last else ("bias_real", "bias_imaginary")
        bias = jnp.concatenate([self.param(name, self.bias_init, (self.width,), jnp.float32) for name in names])
        return z + bias[:, None]


class Mlp(nn.Module):
    """`depth` hidden layers of `width` with an activation each, and a last layer.

    `initializers` is a rule of `INITS`, `weights` one of `WEIGHTS`; `output` is applied to the last layer.
    """

    channels: int
    width: int
    depth: int
    activation: Callable[..., Array] | Activation
    initializers: Callable[..., tuple[Callable, Callable]] = flax
    output: Callable[[Array], Array] = sigmoid
    precision: str = "float32"
    biases: bool = True
    weights: Callable = plain

    @nn.compact
    def __call__(self, features: Float[Array, "n f"]) -> Float[Array, "n c"]:
        """The values at the features."""
        x, feed = features.T, feed_of(self.activation)
        for layer in range(self.depth + 1):
            last, complex_layer = layer == self.depth, feed.pairs and layer > 0
            # The last product is as small as it is decisive: always float32.
            precision = "float32" if last else self.precision
            width = self.channels if last else self.width * feed.maps
            fan_in = len(x) // (2 if complex_layer else 1)
            drawn = partial(_drawn, self.initializers, self.activation, layer, fan_in, x)
            weight, bias = partial(drawn, 0), partial(drawn, 1) if self.biases else None
            dense = ComplexDense if complex_layer else Dense
            x = dense(width, weight, bias, precision, last, self.weights, name=f"Dense_{layer}")(x)
            x = x if last else self._activate(x, layer)
        return self.output(x).T

    def _activate(self, z: Float[Array, "z n"], layer: int) -> Float[Array, "h n"]:
        """The activation of a layer, with the numbers that it has learned."""
        if not isinstance(self.activation, tuple):
            return call(self.activation, z, first=layer == 0)
        draw, function = self.activation
        drawn = lambda key: call(draw, key, first=layer == 0)  # noqa: E731
        return call(function, self.param(f"activation_{layer}", drawn), z, first=layer == 0)


def _drawn(
    rule: Callable, phi: Any, layer: int, fan_in: int, x: Float[Array, "f n"], which: int, *arguments: Any
) -> Array:
    """A layer's weights (0) or biases (1): the rule is asked, and features are measured, only where they are drawn."""
    square = jnp.maximum(jnp.mean(jnp.square(x)), LEAST_SQUARE) if layer == 0 else 1.0
    return call(rule, fan_in, layer == 0, phi=phi, layer=layer, square=square)[which](*arguments)


class Product(nn.Module):
    """Multiplicative filters: y = g(x), then y = g(x) (Wy + b) of each further filter g, and a last layer.

    Of `depth` filters the network is read after the filter of this number, `stage`.
    """

    channels: int
    width: int
    depth: int
    stage: int
    filters: Filter
    weight_scale: Any
    output: Callable[[Array], Array]
    precision: str

    @nn.compact
    def __call__(self, features: Float[Array, "n f"]) -> Float[Array, "n c"]:
        """The values at the features."""
        x = features.T
        y = self._filter(x, 0)
        for layer in range(1, self.stage):
            hidden = uniform(jnp.sqrt(self.weight_scale / self.width))
            bias = uniform(self.width**-0.5)
            y = self._filter(x, layer) * Dense(self.width, hidden, bias, self.precision, name=f"Dense_{layer}")(y)
        weight, bias = torch(self.width, False)
        return self.output(Dense(self.channels, weight, bias, "float32", last=True, name="Dense_last")(y)).T

    def _filter(self, x: Float[Array, "f n"], layer: int) -> Float[Array, "h n"]:
        drawn = lambda key: self.filters.init(key, len(x), self.width, layer, self.depth)  # noqa: E731
        name = f"filter_{layer}"
        params = self.param(name, lambda key: drawn(key).params)
        data = self.variable("fixed", name, lambda: drawn(self.make_rng("params")).data)
        return self.filters.apply(Variables(params, data.value), x)


Width = Annotated[int, about("units of a hidden layer", low=1, when=lambda settings: not solved("width", settings))]
Depth = Annotated[int, about("hidden layers", low=1, high=256)]
Output = Annotated[Any, about("last layer; auto: sigmoid for relu, linear for siren", choices=OUTPUTS)]
Precision = Annotated[str, about("of the hidden products", choices=("float32", *ROUNDED))]


def mlp(
    channels: int,
    *,
    activation: Annotated[Any, about("of the hidden layers", choices=ACTIVATIONS)] = "relu",
    width: Width = 256,
    depth: Depth = 3,
    init: Annotated[
        Any,
        about(
            "of weights and biases; auto: flax (LeCun normal) for relu, siren for siren; glorot: as Tancik et al. 2020",
            choices=INITS,
        ),
    ] = AUTO,
    output: Output = AUTO,
    precision: Precision = "float32",
    biases: Annotated[bool, about("layers have biases")] = True,
    weights: Annotated[Any, about("how weights are trained", choices=WEIGHTS)] = "plain",
) -> nn.Module:
    """A chain of layers with any activation between them.

    Raises Refused for an initialisation that reads settings which the activation does not, as SIREN's for a ReLU.
    """
    # Bound: activation, init and output are functions here.
    functions = activation if isinstance(activation, tuple) else (activation,)
    theirs = {setting.name for row in ACTIVATIONS.values() for setting in declared(row)}
    reads = [{*getattr(init, "keywords", ())} & theirs, {n for f in functions for n in getattr(f, "keywords", ())}]
    rule = getattr(getattr(init, "func", init), "__name__", "")
    if (unread := reads[0] - reads[1]) and rule in INITS:
        allowed = ", ".join(name for name, row in INITS.items() if {s.name for s in declared(row)} <= reads[1])
        raise Refused(f"init={rule!r} needs an activation with {', '.join(sorted(unread))}; allowed here: {allowed}")
    return Mlp(channels, width, depth, activation, init, output, precision, biases, weights)  # type: ignore[arg-type]


# A network of each activation, by its name; of sines it is SIREN.
NETWORKS |= {
    "siren" if name == "sine" else name: preset(mlp, meaning(row), activation=name) for name, row in ACTIVATIONS.items()
}


def multiplicative(
    channels: int,
    *,
    filter: Annotated[Any, about("of a multiplicative network", choices=FILTERS)] = "fourier",
    width: Width = 256,
    depth: Depth = 3,
    stage: Annotated[int, about("filters before the output is read; 0: all, bacon's last output", low=0)] = 0,
    weight_scale: Annotated[ArrayLike, about("hidden weights are U(±√(weight_scale / width))", above=0.0)] = 1.0,
    output: Output = AUTO,
    precision: Precision = "float32",
) -> nn.Module:
    """Products of filters of the features and linear maps, without activations (Fathony et al. 2021)."""
    if stage > depth:
        raise Refused(f"stage={stage} is out of range: it must be at most depth={depth}")
    return Product(channels, width, depth, stage or depth, filter, weight_scale, output, precision)  # type: ignore[arg-type]


NETWORKS.register(output="linear")(multiplicative)
NETWORKS |= {
    "mfn-fourier": preset(
        multiplicative, "Products of sin(Ωx + φ) and linear maps (Fathony et al. 2021).", filter="fourier"
    ),
    "mfn-gabor": preset(
        multiplicative,
        "Products of sin(Ωx + φ) exp(-γ |x - μ|² / 2) and linear maps (Fathony et al. 2021).",
        filter="gabor",
    ),
    "bacon": preset(
        multiplicative,
        "Products of sines of fixed, whole frequencies: band-limited (Lindell et al. 2022).",
        filter="bandlimited",
    ),
}


class Direct(nn.Module):
    """The features are the values."""

    channels: int
    output: Callable[[Array], Array]

    @nn.compact
    def __call__(self, features: Float[Array, "n f"]) -> Float[Array, "n c"]:
        """The values at the features. Raises Refused where they are not as many as channels."""
        if features.shape[1] != self.channels:
            raise Refused(
                f"network='direct' takes features for values: {features.shape[1]} of them, for {self.channels} channels"
            )
        return self.output(features)


@NETWORKS.register(output="linear")
def direct(channels: int, *, output: Output = AUTO) -> nn.Module:
    """No network: the features are the values, as many as channels; for grids that learn."""
    return Direct(channels, output)  # type: ignore[arg-type]


# Of activations that have no defaults of their own.
NETWORKS.register(init="flax", output="sigmoid")(mlp)


# Networks that need features, or are whatever is made of them. All others are made for coordinates.
FEATURED = ("relu", "gelu", "silu", "tanh", "mlp", "direct")


def coordinates(network: str) -> dict[str, str]:
    """The encoding and the domain of the coordinates that a network is made for; none for those that need features.

    Nor for custom ones, of which it is not known.
    """
    if network in FEATURED or network not in NETWORKS:
        return {}
    return {"encoding": "identity", "domain": "unit" if network == "bacon" else "signed"}


def init(module: nn.Module, key: Array, features: Float[Array, "n f"]) -> Variables:
    """A network's variables, drawn by its initialisation for these features: parameters, and all other collections."""
    drawn = dict(module.init(key, features))
    return Variables(drawn.pop("params", {}), drawn)


def apply(module: nn.Module, variables: Variables, features: Float[Array, "n f"]) -> Float[Array, "n c"]:
    """A network's values at the features; a linear output is not clipped."""
    return cast(Array, module.apply({"params": variables.params, **variables.data}, features))
