"""Networks: their parameters' number and statistics, and what they compute."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from inr_jax.fit import networks
from inr_jax.fit.activations import ACTIVATIONS
from inr_jax.fit.design import Design, assemble, hypers, member_of
from inr_jax.fit.initializers import INITS, uniform
from inr_jax.fit.networks import NETWORKS, OUTPUTS
from inr_jax.settings import Refused, declared

MEMBER = member_of(hypers(), 0)


# One compilation each instead of one for every operation.
@partial(jax.jit, static_argnums=(0, 4))
def init(design, hyper, key, features, channels):
    return networks.init(assemble(design, hyper).network(channels), key, features)


@partial(jax.jit, static_argnums=(0, 4))
def apply(design, hyper, variables, features, channels):
    return networks.apply(assemble(design, hyper).network(channels), variables, features)


def features(n=20, f=6, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (n, f)), jnp.float32)


def made(design, hyper=MEMBER, x=None, channels=3, seed=0):
    """A design's hyper, variables and features."""
    x = features() if x is None else x
    return hyper, init(design, hyper, jax.random.key(seed), x, channels), x


def filled(design, hyper=MEMBER, channels=3, gain=1.0):
    """A design's hyper, variables of its shapes that NumPy has drawn, and features: nothing is compiled for them."""
    draw, x = np.random.default_rng(1), features()
    shapes = jax.eval_shape(lambda: made(design, hyper, x, channels)[1])
    values = [gain * draw.uniform(-1, 1, s.shape) * s.shape[-1] ** -0.5 for s in jax.tree.leaves(shapes)]
    leaves = [jnp.asarray(each, jnp.float32) for each in values]
    return hyper, jax.tree.unflatten(jax.tree.structure(shapes), leaves), x


def layers(variables):
    """(weights, biases) of each layer from the first, weights as (in, out), in float64."""
    tree = variables.params
    names = sorted(tree, key=lambda name: int(name.rpartition("_")[-1]))
    return [(np.asarray(tree[n]["weight"], np.float64).T, np.asarray(tree[n]["bias"], np.float64)) for n in names]


@pytest.mark.parametrize("network", ["relu", "siren"])
@pytest.mark.parametrize(("f", "width", "depth", "channels"), [(2, 8, 1, 1), (6, 16, 3, 3), (512, 32, 2, 3)])
def test_parameters_are_as_many_as_the_formula_says(network, f, width, depth, channels):
    design = Design(network=network, width=width, depth=depth)
    params = jax.eval_shape(lambda: made(design, x=features(f=f), channels=channels)[1])
    hidden = f * width + width + (depth - 1) * (width * width + width)
    wanted = hidden + width * channels + channels
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == wanted
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}


def test_the_siren_of_the_reference_code_has_198401_parameters():
    design = Design(network="siren", width=256, depth=4)
    params = jax.eval_shape(lambda: made(design, x=features(f=2), channels=1)[1])
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 198_401


def _uniform(bound):
    return scipy.stats.uniform(-bound, 2 * bound)


def _truncated(std):
    """A normal distribution cut at two standard deviations, with standard deviation std after the cut."""
    whole = std / scipy.stats.truncnorm(-2, 2).std()
    return scipy.stats.truncnorm(-2, 2, scale=whole)


def _weights(init, fan_in, fan_out, first, omega_0):
    return {
        "flax": lambda: _truncated(np.sqrt(1 / fan_in)),
        "torch": lambda: _uniform(1 / np.sqrt(fan_in)),
        "glorot": lambda: _truncated(np.sqrt(2 / (fan_in + fan_out))),
        "siren": lambda: _uniform(1 / fan_in if first else np.sqrt(6 / fan_in) / omega_0),
    }[init]()


def _biases(init, fan_in):
    return {
        "torch": lambda: _uniform(1 / np.sqrt(fan_in)),
        "glorot": lambda: scipy.stats.norm(0, 0.01),
        "siren": lambda: _uniform(1 / np.sqrt(fan_in)),
    }[init]()


@pytest.mark.parametrize(
    ("init", "omega_0"), [("flax", 30.0), ("torch", 30.0), ("glorot", 30.0), ("siren", 30.0), ("siren", 1.0)]
)
def test_every_layer_is_drawn_from_its_initialisations_distribution(init, omega_0):
    design = Design(network="siren", width=300, depth=2, init=init)
    hyper = MEMBER.replace(omega_0=jnp.float32(omega_0))
    _, params, _ = made(design, hyper, features(f=40), channels=200)
    for index, (weights, biases) in enumerate(layers(params)):
        fan_in, fan_out = weights.shape
        wanted = _weights(init, fan_in, fan_out, index == 0, omega_0)
        assert scipy.stats.kstest(weights.ravel(), wanted.cdf).pvalue > 1e-3
        np.testing.assert_allclose(weights.std(), wanted.std(), rtol=0.02)
        low, high = wanted.support()
        assert low * (1 + 1e-6) <= weights.min() and weights.max() <= high * (1 + 1e-6)
        if init == "flax":
            assert not biases.any()
        else:
            assert scipy.stats.kstest(biases, _biases(init, fan_in).cdf).pvalue > 1e-3


@pytest.mark.parametrize("network", ["relu", "siren"])
def test_parameters_depend_on_the_key_and_on_nothing_else(network):
    design = Design(network=network, width=8, depth=2)
    draws = [made(design, seed=s, x=features(seed=i))[1] for i, s in enumerate([0, 0, 1])]
    jax.tree.map(np.testing.assert_array_equal, draws[0], draws[1])
    first, _, other = (layers(p)[0][0] for p in draws)
    assert not np.isclose(first, other).any()


@pytest.mark.parametrize(("depth", "output"), [(1, "sigmoid"), (3, "linear")])
def test_relu_computes_what_numpy_computes(depth, output):
    design = Design(width=32, depth=depth, output=output)
    hyper, params, x = filled(design)
    wanted = np.asarray(x, np.float64)
    *hidden, (weights, biases) = layers(params)
    for w, b in hidden:
        wanted = np.maximum(wanted @ w + b, 0)
    wanted = wanted @ weights + biases
    wanted = 1 / (1 + np.exp(-wanted)) if output == "sigmoid" else wanted
    got = apply(design, hyper, params, x, 3)
    np.testing.assert_allclose(got, wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("omega_0", "output"), [(1.0, "sigmoid"), (30.0, "linear")])
def test_siren_multiplies_weights_and_biases_of_every_hidden_layer_by_omega_0(omega_0, output):
    design = Design(network="siren", width=32, depth=3, output=output)
    hyper, params, x = filled(design, MEMBER.replace(omega_0=jnp.float32(omega_0)), gain=2 / omega_0)
    wanted = np.asarray(x, np.float64)
    *hidden, (weights, biases) = layers(params)
    for w, b in hidden:
        wanted = np.sin(omega_0 * (wanted @ w + b))
    wanted = wanted @ weights + biases
    wanted = 1 / (1 + np.exp(-wanted)) if output == "sigmoid" else wanted
    got = apply(design, hyper, params, x, 3)
    np.testing.assert_allclose(got, wanted, atol=2e-5, rtol=0)


def test_a_traced_omega_0_gives_each_member_its_own_network():
    design, x, key = Design(network="siren", width=8, depth=2), features(), jax.random.key(0)

    def member(hyper):
        params = init(design, hyper, key, x, 3)
        return params, apply(design, hyper, params, x, 3)

    members = hypers(omega_0=[1, 30, 100])
    many_params, many_colors = jax.jit(jax.vmap(member))(members)
    for i in range(3):
        params, colors = member(member_of(members, i))
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-6), many_params, params)
        np.testing.assert_allclose(many_colors[i], colors, atol=1e-5 * float(members.omega_0[i]))
    assert not np.allclose(many_colors[0], many_colors[1], atol=1e-2)


@pytest.mark.parametrize(("network", "init", "output"), [("relu", "flax", "sigmoid"), ("siren", "siren", "linear")])
def test_auto_and_the_setting_it_stands_for_are_the_same_network(network, init, output):
    auto = Design(network=network, width=8, depth=2)
    given = auto.replace(init=init, output=output)
    assert (auto.init, auto.output) == (init, output) and given == auto
    np.testing.assert_array_equal(*(apply(each, *made(each), 3) for each in (auto, given)))


@pytest.mark.parametrize("network", ["relu", "siren"])
def test_what_is_asked_for_is_not_overruled(network):
    asked = {"init": "torch", "output": "linear" if network == "relu" else "sigmoid"}
    assert {**Design(network=network, **asked)}.items() >= asked.items()


@pytest.mark.parametrize(("network", "activation"), [("relu", "relu"), ("siren", "sine")])
def test_a_name_in_the_table_is_a_chain_with_its_activation(network, activation):
    short, long = (
        Design(network=network, width=8, depth=2),
        Design(network="mlp", activation=activation, width=8, depth=2),
    )
    np.testing.assert_array_equal(*(apply(each, *made(each), 3) for each in (short, long)))


def gauss(z, *, spread=1.0):
    return jnp.exp(-jnp.square(z / spread) / 2)


def narrow(fan_in, first, *, gain=2.0):
    return uniform(gain / fan_in), uniform(gain if first else 0.0)


@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_a_custom_activation_computes_what_numpy_computes_at_its_traced_parameter(spread):
    design = Design(network="mlp", activation=gauss, width=32, depth=3)
    hyper, params, x = filled(design, MEMBER.replace(spread=jnp.float32(spread)))
    wanted = np.asarray(x, np.float64)
    *hidden, (weights, biases) = layers(params)
    for w, b in hidden:
        wanted = np.exp(-np.square((wanted @ w + b) / spread) / 2)
    wanted = 1 / (1 + np.exp(-(wanted @ weights + biases)))
    np.testing.assert_allclose(apply(design, hyper, params, x, 3), wanted, atol=1e-6)


def test_custom_initialisation_and_output_are_functions_too():
    design = Design(init=narrow, output=jnp.tanh, width=64, depth=2)
    hyper, params, x = made(design, MEMBER.replace(gain=jnp.float32(3.0)))
    for index, (weights, biases) in enumerate(layers(params)):
        bound = 3 / len(weights)
        assert 0.9 * bound < np.abs(weights).max() <= bound
        assert (np.abs(biases).max() > 1) if index == 0 else not biases.any()
    assert np.abs(apply(design, hyper, params, x, 3)).max() <= 1


def test_the_rules_and_outputs_that_come_along_are_those_that_the_tests_above_compare():
    assert set(INITS) == {"flax", "torch", "glorot", "siren", "finer", "variance"}
    assert set(OUTPUTS) == {"sigmoid", "linear", "tanh"}
    others = {"siren", "mlp", "multiplicative", "mfn-fourier", "mfn-gabor", "bacon", "direct"}
    assert set(NETWORKS) - set(ACTIVATIONS) == others


@pytest.mark.parametrize("network", ["relu", "siren"])
@pytest.mark.parametrize(("precision", "error"), [("tf32", 1e-2), ("bfloat16", 5e-2)])
def test_lower_precisions_are_close_to_float32_and_give_float32(network, precision, error):
    design = Design(network=network, width=32, depth=3)
    # With omega_0 = 2 a rounding is not amplified from layer to layer.
    hyper, params, x = filled(design, MEMBER.replace(omega_0=jnp.float32(2)))
    exact = apply(design, hyper, params, x, 3)
    lower = design.replace(precision=precision)
    assert jax.tree.structure(filled(lower)[1]) == jax.tree.structure(params)
    got = apply(lower, hyper, params, x, 3)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, exact, atol=error * float(jnp.abs(exact).max()))
    if precision == "bfloat16":
        assert not np.array_equal(got, exact)


def rounded(precision: str, x: np.ndarray) -> np.ndarray:
    """As NumPy rounds, to nearest even."""
    if precision == "bfloat16":
        return x.astype(jnp.bfloat16).astype(np.float64)
    bits = x.view(np.uint32)
    return ((bits + 0xFFF + (bits >> 13 & 1)) & 0xFFFFE000).astype(np.uint32).view(np.float32).astype(np.float64)


@pytest.mark.parametrize("precision", networks.ROUNDED)
def test_lower_precisions_round_the_operands_of_all_three_products_and_nothing_else(precision):
    draw = np.random.default_rng(0)
    a, b, gradient = (draw.standard_normal(shape).astype(np.float32) for shape in ((16, 300), (300, 24), (16, 24)))
    got, pull = jax.vjp(partial(networks.product, precision), jnp.asarray(a), jnp.asarray(b))
    ra, rb, rg = (rounded(precision, each) for each in (a, b, gradient))
    for mine, exact in zip((got, *pull(jnp.asarray(gradient))), (ra @ rb, rg @ rb.T, ra.T @ rg), strict=True):
        assert mine.dtype == jnp.float32
        np.testing.assert_allclose(mine, exact, atol=1e-5 * np.abs(exact).max())
    assert not np.allclose(got, a.astype(np.float64) @ b, atol=1e-5 * np.abs(got).max())


@pytest.mark.parametrize("precision", ["float32", *networks.ROUNDED])
def test_a_plain_number_for_omega_0_computes_what_an_array_does(precision):
    """A Python number is weakly typed: bfloat16 times 30.0 would stay bfloat16, and so would its sine."""
    design = Design(network="siren", width=32, depth=2, precision=precision)
    traced, params, x = filled(design, MEMBER.replace(omega_0=jnp.float32(30)), gain=2 / 30)
    plain = networks.apply(assemble(design, MEMBER.replace(omega_0=30.0)).network(3), params, x)
    np.testing.assert_allclose(plain, apply(design, traced, params, x, 3), atol=1e-5, rtol=0)


def test_the_highest_precision_is_asked_for_under_float32():
    design = Design(width=8, depth=1, precision="float32")
    hyper, params, x = filled(design)
    program = str(jax.make_jaxpr(lambda p: networks.apply(assemble(design, hyper).network(3), p, x))(params))
    assert program.count("dot_general") == 2
    assert program.count("Precision.HIGHEST") == 2 * 2


def shallow(channels, *, width, bias=True):
    return nn.Sequential([nn.Dense(width, use_bias=bias), nn.tanh, nn.Dense(channels)])


class Counting(nn.Module):
    """A custom network that keeps more than parameters."""

    channels: int

    @nn.compact
    def __call__(self, features):
        shift = self.variable("constants", "shift", lambda: jnp.full(features.shape[-1], 0.5))
        return nn.Dense(self.channels)(features + shift.value)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("network", [shallow, f"{__name__}:shallow"])
def test_a_custom_network_gets_the_settings_it_reads(channels, network):
    assert [setting.name for setting in declared(NETWORKS.find(network))] == ["width", "bias"]
    design = Design(network=network, width=5, bias=False)
    assert "depth" not in design
    hyper, params, x = made(design, channels=channels)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 6 * 5 + 5 * channels + channels
    assert apply(design, hyper, params, x, channels).shape == (20, channels)


def test_collections_of_a_custom_network_that_are_no_parameters_are_data():
    design = Design(network=Counting)
    hyper, variables, x = made(design)
    assert list(variables.params) == ["Dense_0"] and list(variables.data) == ["constants"]
    (layer,) = variables.params.values()
    wanted = (np.asarray(x, np.float64) + 0.5) @ np.asarray(layer["kernel"], np.float64)
    np.testing.assert_allclose(apply(design, hyper, variables, x, 3), wanted, atol=1e-5)


def test_a_network_that_cannot_be_imported_is_refused():
    with pytest.raises(Refused, match="no_such_module:net"):
        NETWORKS.find("no_such_module:net")
