"""The analytic kernels against networks of this package, Monte Carlo and dense formulas."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from inr_jax.fit import member, networks
from inr_jax.fit.design import Design, Hyper, assemble, complete
from inr_jax.fit.encodings import Variables, fourier
from inr_jax.fit.networks import INITS
from inr_jax.fit.task import Task, pixel_coordinates
from inr_jax.kernel.correlation import correlation, double_precision, draw_frequencies, encoding_waves, expected_factors
from inr_jax.kernel.ntk import empirical_ntk, ntk_of_differences, ntk_on_grid
from inr_jax.kernel.recursion import VARIANCES, network_kernels, relu_moments
from inr_jax.settings import Refused

GRID = (7, 6)
SMALL = Design(frequencies=32, width=64, depth=2, steps=0)
# The quantiles of each family of frequencies, of standard deviation 1.
QUANTILES = {
    "gaussian": scipy.stats.norm.ppf,
    "uniform": scipy.stats.uniform(-(3**0.5), 2 * 3**0.5).ppf,
    "loguniform": lambda q: scipy.stats.loguniform.ppf(q, 1, 1000) / scipy.stats.loguniform(1, 1000).moment(2) ** 0.5,
    "laplace": scipy.stats.laplace(scale=0.5**0.5).ppf,
}


def pairs_of(differences, index):
    """The matrix whose entry i, j is the value at the difference of pixels i and j."""
    where = np.stack(np.unravel_index(index, GRID), axis=-1)
    between = where[:, None] - where[None] + np.asarray(GRID) - 1
    return differences[between[..., 0], between[..., 1]]


def initial_state(design, hyper):
    """A member before its first step."""
    task = Task(np.zeros((*GRID, 3), np.float32), np.arange(42), np.arange(0))
    return jax.jit(partial(member.init, design, complete(design, hyper)))(task)


def encoded(design, hyper):
    """The features of every pixel of the grid, normalised, by the encoding that a fit uses."""
    coords, hyper = pixel_coordinates(np.arange(42), GRID, design.domain), complete(design, hyper)
    values = np.asarray(member.encode(design, hyper, member.draw_encoding(design, hyper, 2), coords))
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
    design = SMALL.replace(encoding=encoding, domain=domain)
    waves = encoding_waves(design, hyper, GRID, GRID)
    both_ways = tuple(np.concatenate([w[:0:-1].conj(), w]) for w in waves)
    rho = pairs_of(correlation(both_ways), np.arange(42))
    feature = encoded(design, hyper)
    np.testing.assert_allclose(rho, feature @ feature.T, atol=1e-5)


@pytest.mark.parametrize("grid", [(9,), (4, 5), (2, 3, 4)])
def test_the_correlation_of_drawn_frequencies_is_their_mean_cosine(grid):
    hyper, reach = Hyper(scale=2.0), tuple(n + 2 for n in grid)
    points = np.stack(np.indices(reach), axis=-1) / np.asarray(grid)
    B = draw_frequencies(SMALL, hyper, len(grid))
    expected = np.cos(2 * np.pi * points @ B.T).mean(-1)
    # Coordinates are float32's.
    np.testing.assert_allclose(correlation(encoding_waves(SMALL, hyper, grid, reach)), expected, atol=1e-5)


@pytest.mark.parametrize("family", QUANTILES)
def test_the_closed_form_is_the_mean_cosine_over_the_family(family):
    x = np.asarray([0.0, 1e-3, 0.02, 0.1, -0.3, 0.7, 2.0])
    b = QUANTILES[family]((np.arange(400_000) + 0.5) / 400_000)
    assert np.mean(b**2) == pytest.approx(1, rel=1e-3)
    (line,) = expected_factors(Design(family=family), Hyper(scale=1.0), [x])
    np.testing.assert_allclose(line, np.cos(2 * np.pi * x[:, None] * b).mean(1), atol=1e-5)
    assert line[0] == 1.0


@pytest.mark.parametrize("family", QUANTILES)
def test_many_frequencies_approach_the_closed_form(family):
    design = Design(family=family, frequencies=200_000)
    hyper = Hyper(scale=2.0, anisotropy=1.5)
    grid, reach = (10, 14), (4, 5)
    drawn = correlation(encoding_waves(design, hyper, grid, reach))
    endless = correlation(encoding_waves(design, hyper, grid, reach, drawn=False))
    assert drawn.shape == endless.shape == reach
    np.testing.assert_allclose(drawn, endless, atol=5 / 200_000**0.5)


def test_the_gaussian_closed_form_is_the_gaussian_of_each_axis_scale():
    offsets = [np.asarray([0.1]), np.asarray([-0.05])]
    rows, columns = expected_factors(Design(), Hyper(scale=2.0, anisotropy=0.5), offsets)
    expected = np.exp(-2 * np.pi**2 * ((2.0 * 0.1) ** 2 + (1.0 * 0.05) ** 2))
    np.testing.assert_allclose(rows * columns, [expected])


def test_fixed_frequencies_are_the_same_whether_drawn_or_endless():
    for encoding in ("basic", "positional"):
        design = SMALL.replace(encoding=encoding)
        drawn, endless = (encoding_waves(design, Hyper(scale=2.0), GRID, GRID, d) for d in (True, False))
        for a, b in zip(drawn, endless, strict=True):
            assert a.shape[1] > 1
            np.testing.assert_array_equal(a, b)


def test_frequencies_are_those_that_a_fit_draws():
    hyper = Hyper(scale=3.0, anisotropy=2.0, seed=5)
    B = initial_state(SMALL, hyper).data["encoding"]["B"]
    np.testing.assert_allclose(draw_frequencies(SMALL, hyper, 2), B, rtol=1e-6)


def test_relu_moments_are_those_of_correlated_gaussians():
    covariance = np.asarray([-0.9, -0.2, 0.0, 0.7, 1.5])
    u, v = np.random.default_rng(0).normal(size=(2, 400_000, 1)) * 1.5**0.5
    v = u * covariance / 1.5 + v * np.sqrt(1 - (covariance / 1.5) ** 2)
    product, square, slopes = relu_moments(covariance, 1.5)
    np.testing.assert_allclose(product, np.mean(np.maximum(u, 0) * np.maximum(v, 0), 0), atol=0.01)
    np.testing.assert_allclose(slopes, np.mean((u > 0) & (v > 0), 0), atol=0.005)
    assert square == pytest.approx(product[-1])


@pytest.mark.parametrize("init", ["flax", "torch", "glorot"])
def test_the_variances_are_those_that_the_networks_draw(init):
    fan_in, fan_out = 300, 500
    weight_init, bias_init = INITS[init](fan_in, False)
    weight = weight_init(jax.random.key(0), (fan_in, fan_out), jnp.float32)
    bias = bias_init(jax.random.key(1), (100_000,), jnp.float32)
    expected = VARIANCES[init](fan_in, fan_out)
    assert float(weight.var()) == pytest.approx(expected.weight, rel=0.02)
    assert float(bias.var()) == pytest.approx(expected.bias, rel=0.02)


@pytest.mark.parametrize("init", ["flax", "torch", "glorot"])
def test_the_nngp_is_the_covariance_of_the_outputs_at_the_start(init):
    design = SMALL.replace(init=init, output="linear")
    B = draw_frequencies(design, Hyper(), 2)
    coords = jnp.asarray([[0.1, 0.2], [0.12, 0.21]])
    apart = np.asarray(coords[1] - coords[0], np.float64)
    rho = np.asarray([1.0, np.cos(2 * np.pi * B @ apart).mean()])
    expected = network_kernels(design, rho, 64).nngp
    feature = fourier(Variables({}, {"B": jnp.asarray(B, jnp.float32)}), coords, side=1.0)
    network = assemble(design, Hyper()).network(3)

    @jax.jit
    @jax.vmap
    def outputs(key):
        return networks.apply(network, networks.init(network, key, feature), feature)

    drawn = np.asarray(outputs(jax.random.split(jax.random.key(0), 1000)), np.float64)
    covariance = np.einsum("skc,slc->kl", drawn, drawn) / (1000 * 3)
    np.testing.assert_allclose(covariance[0], expected, rtol=0.15)


def ntks(design, seeds):
    """Empirical NTKs on a few pixels, over networks behind one B, and the analytic one, neither normalised."""
    hyper = Hyper(scale=1.5)
    index = np.random.default_rng(1).choice(42, 24, replace=False)
    coords = pixel_coordinates(index, GRID)
    state = initial_state(design, hyper)

    @jax.jit
    def of(key):
        feature = member.encode(design, hyper, Variables({}, state.data["encoding"]), coords)
        network = networks.init(assemble(design, hyper).network(3), key, feature)
        drawn = state._replace(params=state.params | {"network": network.params})
        return empirical_ntk(design, hyper, drawn, coords, coords)

    empirical = np.stack([of(jax.random.key(seed)) for seed in range(seeds)])
    at_zero = network_kernels(design, np.ones(1), 2 * design.frequencies).ntk[0]
    return empirical, at_zero * pairs_of(ntk_on_grid(design, hyper, GRID), index)


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
    design, hyper = SMALL.replace(width=8), Hyper(scale=1.0)
    state = initial_state(design, hyper)
    a, b = (pixel_coordinates(index, GRID) for index in (np.arange(5), np.arange(9, 12)))
    linear = design.replace(output="linear")

    @jax.jit
    def jacobian(coords):
        def outputs(network):
            params = state.params | {"network": network}
            return member.predict(linear, hyper, params, state.data, coords, 3)[:, 0]

        leaves = jax.tree.leaves(jax.jacrev(outputs)(state.params["network"]))
        return jnp.concatenate([leaf.reshape(len(coords), -1) for leaf in leaves], axis=1)

    expected = np.asarray(jacobian(a)) @ np.asarray(jacobian(b)).T
    np.testing.assert_allclose(empirical_ntk(design, hyper, state, a, b), expected, rtol=1e-4)


def test_the_kernel_is_positive_definite_even_and_one_at_zero():
    ntk = ntk_on_grid(SMALL, Hyper(scale=3.0), GRID)
    assert ntk.shape == (13, 11)
    assert ntk[6, 5] == 1.0
    np.testing.assert_allclose(ntk, ntk[::-1, ::-1], rtol=1e-12)
    assert np.linalg.eigvalsh(pairs_of(ntk, np.arange(42))).min() > 0


@pytest.mark.parametrize("init", ["flax", "torch", "glorot"])
def test_arrays_of_numpy_and_of_jax_have_the_same_kernels_in_double_precision(init):
    design = SMALL.replace(init=init, depth=3)
    rho = np.linspace(-0.999, 0.999, 101)
    ours = network_kernels(design, rho, 64)
    waves = encoding_waves(design, Hyper(scale=3.0), GRID, (9, 6))
    differences = ntk_of_differences(design, waves)
    with double_precision():
        theirs = network_kernels(design, jnp.asarray(rho), 64)
        traced = jax.jit(partial(ntk_of_differences, design))(jax.device_put(waves))
    assert isinstance(theirs.ntk, jax.Array) and isinstance(ours.ntk, np.ndarray)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=1e-12)
    # At zero difference, by which all are divided, the kernel goes as the root of what is rounded.
    assert differences.dtype == traced.dtype == np.float64
    np.testing.assert_allclose(differences, traced, rtol=1e-8)
    # The mode ends with its block.
    assert jnp.asarray(rho).dtype == jnp.float32


def test_the_kernel_beyond_the_grid_goes_on_where_that_on_the_grid_ends():
    near, far = (ntk_of_differences(SMALL, encoding_waves(SMALL, Hyper(), GRID, r)) for r in (GRID, (9, 11)))
    assert far.shape == (17, 21)
    np.testing.assert_allclose(far[2:15, 5:16], near, rtol=1e-12)
    np.testing.assert_array_equal(near, ntk_on_grid(SMALL, Hyper(), GRID))


def test_a_larger_scale_makes_a_narrower_kernel():
    near = [ntk_on_grid(SMALL, Hyper(scale=s), (16,), drawn=False)[16] for s in (0.5, 1.0, 2.0)]
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
        ntk_on_grid(design, Hyper(), GRID)
    assert "\n" not in str(refused.value)
