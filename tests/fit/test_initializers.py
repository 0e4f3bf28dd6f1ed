"""Initialisation: the variance rule for any activation, and the ways in which weights are trained."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

import inr_jax as inr
from inr_jax.fit.activations import ACTIVATIONS
from inr_jax.fit.design import Design, assemble, hypers, member_of, reads
from inr_jax.fit.encodings import Variables
from inr_jax.fit.initializers import balanced_spread, moments
from inr_jax.fit.member import init, shapes
from inr_jax.settings import Refused, bind
from inr_jax.settings import call as settings_call

TASK = inr.tasks.split(np.random.default_rng(0).random((16, 16, 3)).astype(np.float32), "all")


def bound(name, **numbers):
    defaults = {each: s.default for each, s in reads(Design(network="siren" if name == "sine" else name)).items()}
    return bind(ACTIVATIONS[name], defaults | numbers)


def drawn(design, **numbers):
    hyper = member_of(hypers(design, **{name: [value] for name, value in numbers.items()}), 0)
    return init(design, hyper, TASK)


@pytest.mark.parametrize("name", ["relu", "gelu", "tanh", "gauss", "quadratic", "hosc"])
def test_moments_are_the_integrals_over_a_normal_distribution(name):
    phi, sigma = bound(name, omega_0=2.0, s=1.5, beta=1.5), 0.8
    function = lambda z: settings_call(phi, z, first=False)  # noqa: E731

    def mean(of):
        density = lambda z: float(of(jnp.float32(z))) ** 2 * scipy.stats.norm.pdf(z, scale=sigma)  # noqa: E731
        return scipy.integrate.quad(density, -5, 5, points=[0.0], limit=60, epsabs=1e-4)[0]

    power, slope = moments(phi, sigma)
    np.testing.assert_allclose(power, mean(function), rtol=5e-3)
    np.testing.assert_allclose(slope, mean(jax.grad(function)), rtol=2e-2)


def test_moments_of_two_maps_and_of_complex_values_are_sums_over_the_jacobian():
    draw = np.random.default_rng(0).normal(size=(2, 200_000)) * 0.1
    real = bound("wire-real", omega_0=4.0, s=2.0)
    power, slope = moments(real, 0.1)
    u, v = draw
    bump = np.exp(-2 * (2 * v) ** 2)
    np.testing.assert_allclose(power, (np.cos(4 * u) ** 2 * bump).mean(), rtol=1e-2)
    wanted = ((16 * np.sin(4 * u) ** 2 + (8 * v) ** 2 * np.cos(4 * u) ** 2) * bump).mean()
    np.testing.assert_allclose(slope, wanted, rtol=1e-2)
    power, _ = moments(bound("wire", omega_0=4.0, s=2.0), 0.1)
    np.testing.assert_allclose(power, np.exp(-2 * 4 * v - 2 * 4 * (u**2 + v**2)).mean(), rtol=1e-2)


@pytest.mark.parametrize("s", [3.0, 30.0])
def test_the_spread_of_a_gaussian_is_the_root_of_half_of_one_plus_root_two_over_s(s):
    np.testing.assert_allclose(balanced_spread(bound("gauss", s=s)), np.sqrt((1 + 2**0.5) / 2) / s, rtol=2e-3)


def test_where_no_spread_keeps_both_variances_it_is_that_of_siren():
    np.testing.assert_allclose(balanced_spread(bound("sine", omega_0=20.0)), 1 / 20, rtol=1e-6)
    np.testing.assert_allclose(balanced_spread(bound("relu")), 1.0)


@pytest.mark.parametrize(
    ("network", "encoding"),
    [
        *((name, "identity") for name in ("siren", "relu", "gauss", "finer", "quadratic")),
        ("siren", "gaussian"),
        *(pytest.param(name, "gaussian", marks=pytest.mark.slow) for name in ("relu", "gauss", "finer", "wire-real")),
        *(pytest.param("wire", encoding, marks=pytest.mark.slow) for encoding in ("identity", "gaussian")),
        pytest.param("wire-real", "identity", marks=pytest.mark.slow),
    ],
)
def test_all_layers_of_a_network_begin_with_the_same_variance_behind_any_encoding(network, encoding):
    design = Design(network=network, encoding=encoding, init="variance", domain="signed", width=512, depth=4)
    numbers = {"s": 6.0} if network in ("wire", "wire-real") else {}
    state = drawn(design, z_spread=0.05, **numbers)
    fit = assemble(design, member_of(hypers(design, z_spread=[0.05], **numbers), 0))
    coords = inr.tasks.pixel_coordinates(jnp.arange(256), (16, 16), "signed")
    features = fit.encoding.apply(Variables({}, state.data["encoding"]), coords)
    _, seen = fit.network(3).apply({"params": state.params["network"]}, features, capture_intermediates=True)
    layers = [seen["intermediates"][f"Dense_{layer}"]["__call__"][0] for layer in range(4)]
    found = np.asarray([np.sqrt(np.mean(np.square(z[: len(z) // 2]))) for z in layers])
    np.testing.assert_allclose(found, 0.05, rtol=0.25)


@pytest.mark.parametrize("shape", [(255, 64), (64, 64)])
def test_without_biases_the_first_layers_weights_have_the_whole_variance(shape):
    design = Design(network="siren", encoding="identity", init="variance", domain="signed", width=512, depth=2)
    task = inr.tasks.split(np.zeros((*shape, 3), np.float32), "all")
    hyper = member_of(hypers(design, z_spread=[0.05]), 0)
    both = [init(each, hyper, task).params["network"]["Dense_0"] for each in (design, design.replace(biases=False))]
    # Coordinates in [-1, 1] have a mean square of a third.
    np.testing.assert_allclose(both[0]["weight"].std(), 0.05 * 2**-0.5 / np.sqrt(2 / 3), rtol=0.15)
    np.testing.assert_allclose(both[1]["weight"].std() / both[0]["weight"].std(), 2**0.5, rtol=1e-3)


def test_behind_tables_that_begin_near_zero_weights_are_not_out_of_all_proportion():
    design = Design(encoding="hash", hash_levels=4, hash_entries=6, init="variance", width=32, depth=2)
    assert float(drawn(design).params["network"]["Dense_0"]["weight"].std()) < 2


def test_the_first_layers_spread_may_be_its_own():
    design = Design(network="siren", encoding="identity", init="variance", width=512, depth=2)
    both = [drawn(design, z_spread_first=value).params["network"] for value in (0.0, 0.3)]
    ratio = both[1]["Dense_0"]["weight"].std() / both[0]["Dense_0"]["weight"].std()
    np.testing.assert_allclose(ratio, 0.3 * 30, rtol=1e-3)
    np.testing.assert_array_equal(both[0]["Dense_2"]["weight"], both[1]["Dense_2"]["weight"])


def test_scaled_weights_are_a_factor_times_the_plain_ones_but_for_the_last_layer_and_the_biases():
    design = Design(network="siren", encoding="identity", width=8, depth=2)
    plain = drawn(design).params["network"]
    scaled = drawn(design.replace(weights="scaled"), weight_scaling=2.0).params["network"]
    for layer, factor in (("Dense_0", 2), ("Dense_1", 2), ("Dense_2", 1)):
        np.testing.assert_array_equal(scaled[layer]["weight"], factor * plain[layer]["weight"])
        np.testing.assert_array_equal(scaled[layer]["bias"], plain[layer]["bias"])
    one = drawn(design.replace(weights="scaled"), weight_scaling=1.0).params["network"]
    jax.tree.map(np.testing.assert_array_equal, one, plain)


@pytest.mark.parametrize("network", ["siren", pytest.param("wire", marks=pytest.mark.slow)])
def test_factorized_weights_are_the_same_function_at_the_start_with_a_number_more_for_each_unit(network):
    design = Design(network=network, encoding="identity", width=8, depth=2, steps=0)
    other = design.replace(weights="factorized")
    same = [inr.fit_many(each, inr.hypers(), TASK).predict(0, (16, 16)) for each in (design, other)]
    np.testing.assert_allclose(*same, atol=1e-5)
    more = inr.count_parameters(other) - inr.count_parameters(design)
    assert more == (8 + 8 + 3 if network == "siren" else 8 + 2 * 8 + 2 * 3)
    layer = drawn(other, factor_mean=1.0, factor_spread=0.5).params["network"]["Dense_1"]
    weight = layer["weight" if network == "siren" else "weight_real"]
    assert 0.1 < np.log(weight["factor"]).std() < 1 and abs(np.log(weight["factor"]).mean() - 1) < 0.6


def test_layers_without_biases_have_none():
    state = shapes(Design(biases=False, width=8, depth=2, frequencies=4), member_of(hypers(seed=0), 0), TASK)
    assert all(set(layer) == {"weight"} for layer in state.params["network"].values())


@pytest.mark.parametrize("setting", [{"weights": "scaled"}, {"biases": False}, {"parameters": 9999}])
def test_the_kernel_of_such_a_network_is_refused(setting):
    (name,) = setting
    with pytest.raises(Refused, match=f"{name}=.* has no kernel here"):
        inr.best_scale(Design(**setting), TASK)
