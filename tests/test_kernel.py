"""The analytic kernels against networks of this package, Monte Carlo and dense formulas."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inr_jax import ensemble, features, fit, kernel, networks, tasks
from inr_jax.settings import Design, Hyper, Refused, hypers

GRID = (7, 6)
SMALL = Design(frequencies=32, width=64, depth=2, steps=0)


def pairs_of(differences, index):
    """The matrix whose entry i, j is the value at the difference of pixels i and j."""
    where = np.stack(np.unravel_index(index, GRID), axis=-1)
    between = where[:, None] - where[None] + np.asarray(GRID) - 1
    return differences[between[..., 0], between[..., 1]]


@partial(jax.jit, static_argnames="design")
def drawn_state(design, hyper):
    """A member before its first step."""
    return fit.init(design, hyper, 3, 2)


def encoded(design, hyper):
    """The features of every pixel of the grid, normalised, by the package's own encoding."""
    coords = tasks.coordinates(np.arange(42), GRID, design.domain)
    B = drawn_state(design, hyper).data["B"]
    values = np.asarray(fit.encode(design, hyper, B, coords))
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize("domain", ["unit", "signed"])
@pytest.mark.parametrize(
    ("encoding", "hyper"),
    [
        ("gaussian", Hyper(scale=2.0, anisotropy=3.0, seed=4)),
        ("positional", Hyper(scale=3.0)),
        ("basic", Hyper()),
    ],
)
def test_the_correlation_is_that_of_the_encoded_pixels(encoding, hyper, domain):
    design = dataclasses.replace(SMALL, encoding=encoding, domain=domain)
    B = kernel.frequencies(design, hyper, 2)
    steps = kernel.spacing(design, GRID)
    offsets = [np.arange(1 - n, n) * step for n, step in zip(GRID, steps, strict=True)]
    rho = pairs_of(kernel.correlation(B, offsets), np.arange(42))
    feature = encoded(design, hyper)
    np.testing.assert_allclose(rho, feature @ feature.T, atol=1e-5)


def test_the_correlation_of_a_signal_is_the_mean_cosine():
    B = np.asarray([[0.5], [1.25], [4.0]])
    x = np.linspace(-1, 1, 9)
    expected = np.cos(2 * np.pi * x[:, None] * B[:, 0]).mean(1)
    np.testing.assert_allclose(kernel.correlation(B, [x]), expected, atol=1e-12)


def test_the_correlation_of_a_volume_is_the_mean_cosine():
    B = np.random.default_rng(0).normal(size=(5, 3))
    offsets = [np.linspace(-1, 1, n) for n in (2, 3, 4)]
    points = np.stack(np.meshgrid(*offsets, indexing="ij"), axis=-1)
    expected = np.cos(2 * np.pi * points @ B.T).mean(-1)
    np.testing.assert_allclose(kernel.correlation(B, offsets), expected, atol=1e-12)


@pytest.mark.parametrize("family", ["gaussian", "uniform", "laplace"])
def test_many_frequencies_approach_the_closed_form(family):
    design = Design(family=family, frequencies=200_000)
    hyper = Hyper(scale=2.0, anisotropy=1.5)
    offsets = [np.linspace(0, 0.3, 4), np.linspace(-0.3, 0.3, 5)]
    drawn = kernel.correlation(kernel.frequencies(design, hyper, 2), offsets)
    expected = kernel.expected_correlation(design, hyper, offsets)
    np.testing.assert_allclose(drawn, expected, atol=5 / 200_000**0.5)


def test_the_gaussian_closed_form_is_the_gaussian_of_each_axis_scale():
    offsets = [np.asarray([0.1]), np.asarray([-0.05])]
    rho = kernel.expected_correlation(Design(), Hyper(scale=2.0, anisotropy=0.5), offsets)
    expected = np.exp(-2 * np.pi**2 * ((2.0 * 0.1) ** 2 + (1.0 * 0.05) ** 2))
    np.testing.assert_allclose(rho, [[expected]])


def test_frequencies_are_those_that_a_fit_draws():
    members = hypers(scale=[3.0], anisotropy=[2.0], seed=[5])
    task = tasks.split(np.full((4, 4, 3), 0.5, np.float32), "quarter")
    fits = ensemble.fit_many(SMALL, members, task)
    B = kernel.frequencies(SMALL, Hyper(scale=3.0, anisotropy=2.0, seed=5), 2)
    np.testing.assert_allclose(B, fits.data["B"][0], rtol=1e-6)


def test_relu_moments_are_those_of_correlated_gaussians():
    covariance = np.asarray([-0.9, -0.2, 0.0, 0.7, 1.5])
    u, v = np.random.default_rng(0).normal(size=(2, 400_000, 1)) * 1.5**0.5
    v = u * covariance / 1.5 + v * np.sqrt(1 - (covariance / 1.5) ** 2)
    product, square, slopes = kernel.relu_moments(covariance, 1.5)
    np.testing.assert_allclose(product, np.mean(np.maximum(u, 0) * np.maximum(v, 0), 0), atol=0.01)
    np.testing.assert_allclose(slopes, np.mean((u > 0) & (v > 0), 0), atol=0.005)
    assert square == pytest.approx(product[-1])


@pytest.mark.parametrize("init", ["flax", "torch", "glorot"])
def test_the_variances_are_those_that_the_networks_draw(init):
    fan_in, fan_out = 300, 500
    weight_init, bias_init = networks.initializers(init, fan_in, False, 30.0)
    weight = weight_init(jax.random.key(0), (fan_in, fan_out), jnp.float32)
    bias = bias_init(jax.random.key(1), (100_000,), jnp.float32)
    expected = kernel.INITIAL[init](fan_in, fan_out)
    assert float(weight.var()) == pytest.approx(expected.weight, rel=0.02)
    assert float(bias.var()) == pytest.approx(expected.bias, rel=0.02)


@pytest.mark.parametrize("init", ["flax", "torch", "glorot"])
def test_the_nngp_is_the_covariance_of_the_outputs_at_the_start(init):
    design = dataclasses.replace(SMALL, init=init, output="linear")
    B = kernel.frequencies(design, Hyper(), 2)
    coords = jnp.asarray([[0.1, 0.2], [0.12, 0.21]])
    apart = np.asarray(coords[1] - coords[0], np.float64)
    rho = kernel.correlation(B, [np.asarray([0.0, apart[0]]), np.asarray([0.0, apart[1]])])
    expected = kernel.kernels(design, np.diag(rho), 64).nngp
    feature = features.fourier(coords, jnp.asarray(B, jnp.float32), side=1.0)

    @jax.jit
    @jax.vmap
    def outputs(key):
        params = networks.init(design, Hyper(), key, feature, 3)
        return networks.apply(design, Hyper(), params, feature, 3)

    drawn = np.asarray(outputs(jax.random.split(jax.random.key(0), 1000)), np.float64)
    covariance = np.einsum("skc,slc->kl", drawn, drawn) / (1000 * 3)
    np.testing.assert_allclose(covariance[0], expected, rtol=0.15)


def ntks(design, seeds):
    """Empirical NTKs on a few pixels, over networks behind one B, and the analytic one, neither normalised."""
    hyper = Hyper(scale=1.5)
    index = np.random.default_rng(1).choice(42, 24, replace=False)
    coords = tasks.coordinates(index, GRID)
    state = drawn_state(design, hyper)

    @jax.jit
    def of(key):
        feature = fit.encode(design, hyper, state.data["B"], coords)
        network = networks.init(design, hyper, key, feature, 3)
        own = state._replace(params={"network": network})
        return kernel.empirical_ntk(design, hyper, own, coords, coords)

    empirical = np.stack([of(jax.random.key(seed)) for seed in range(seeds)])
    at_zero = kernel.kernels(design, np.ones(1), 2 * design.frequencies).ntk[0]
    return empirical, at_zero * pairs_of(kernel.on_grid(design, hyper, GRID), index)


def relative(actual, expected):
    """The relative error in the Frobenius norm."""
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


def test_networks_approach_the_analytic_ntk_as_the_root_of_their_width():
    errors = []
    for width in (64, 256, 1024):
        empirical, expected = ntks(Design(frequencies=64, width=width, depth=3), 3)
        roots = np.sqrt(np.einsum("sii->si", empirical))
        cosines = empirical / (roots[:, :, None] * roots[:, None])
        errors.append(np.mean([relative(c, expected / expected[0, 0]) for c in cosines]))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.08
    # From 64 to 1024 units the root falls fourfold.
    assert 2.5 < errors[0] / errors[2] < 6


@pytest.mark.parametrize("init", ["flax", "torch", "glorot"])
def test_the_mean_over_networks_is_the_analytic_ntk_in_size_too(init):
    empirical, expected = ntks(Design(frequencies=64, width=128, depth=2, init=init), 16)
    assert relative(empirical.mean(0), expected) < 0.12
    # Sampling alone, no bias: the mean of 16 is four times as near as each.
    alone = np.mean([relative(e, expected) for e in empirical])
    assert relative(empirical.mean(0), expected) < 0.5 * alone


def test_the_empirical_ntk_is_the_product_of_jacobians():
    design, hyper = dataclasses.replace(SMALL, width=8), Hyper(scale=1.0)
    state = drawn_state(design, hyper)
    a, b = (tasks.coordinates(index, GRID) for index in (np.arange(5), np.arange(9, 12)))
    linear = dataclasses.replace(design, output="linear")

    @jax.jit
    def jacobian(coords):
        def outputs(network):
            return fit.predict(linear, hyper, {"network": network}, state.data, coords, 3)[:, 0]

        leaves = jax.tree.leaves(jax.jacrev(outputs)(state.params["network"]))
        return jnp.concatenate([leaf.reshape(len(coords), -1) for leaf in leaves], axis=1)

    expected = np.asarray(jacobian(a)) @ np.asarray(jacobian(b)).T
    np.testing.assert_allclose(kernel.empirical_ntk(design, hyper, state, a, b), expected, rtol=1e-4)


def test_the_kernel_is_positive_definite_even_and_one_at_zero():
    ntk = kernel.on_grid(SMALL, Hyper(scale=3.0), GRID)
    assert ntk.shape == (13, 11)
    assert ntk[6, 5] == 1.0
    np.testing.assert_allclose(ntk, ntk[::-1, ::-1], rtol=1e-12)
    assert np.linalg.eigvalsh(pairs_of(ntk, np.arange(42))).min() > 0


def test_a_larger_scale_makes_a_narrower_kernel():
    near = [kernel.on_grid(SMALL, Hyper(scale=s), (16,), drawn=False)[16] for s in (0.5, 1.0, 2.0)]
    assert near[0] > near[1] > near[2]


@pytest.mark.parametrize(
    ("design", "word"),
    [
        (Design(network="siren"), "siren"),
        (Design(encoding="identity"), "identity"),
        (Design(encoding="dyadic"), "dyadic"),
        (Design(encoding="octaves"), "octaves"),
        (Design(encoding="math:sin"), "math:sin"),
        (Design(init="siren"), "init"),
        (Design(learn_frequencies=True), "learn_frequencies"),
    ],
)
def test_a_design_without_such_a_kernel_is_refused_in_one_line(design, word):
    with pytest.raises(Refused, match=word) as refused:
        kernel.on_grid(design, Hyper(), GRID)
    assert "\n" not in str(refused.value)


def test_a_family_without_a_closed_form_is_refused_only_where_it_is_needed():
    design = dataclasses.replace(SMALL, family="loguniform")
    kernel.on_grid(design, Hyper(), GRID)
    with pytest.raises(Refused, match="loguniform"):
        kernel.on_grid(design, Hyper(), GRID, drawn=False)
