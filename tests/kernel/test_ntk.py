"""The analytic kernels against networks of this package, Monte Carlo and dense formulas."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from inr_jax.fit import member, networks
from inr_jax.fit.design import Design, Hyper, assemble, complete
from inr_jax.fit.encodings import Variables
from inr_jax.fit.networks import INITS
from inr_jax.fit.pinned import double_precision
from inr_jax.fit.task import Task, pixel_coordinates
from inr_jax.kernel.correlation import correlation, draw_frequencies, encoding_waves, expected_factors
from inr_jax.kernel.ntk import empirical_ntk, ntk_at_zero, ntk_of_differences, ntk_on_grid
from inr_jax.kernel.recursion import VARIANCES, network_kernels, relu_moments
from inr_jax.settings import Refused

GRID = (7, 6)
SMALL = Design(frequencies=32, width=64, depth=2, steps=0)
# What is compared with actual networks: between these pixels.
DEEP, HYPER = SMALL.replace(init="flax"), complete(SMALL, Hyper(scale=1.5))
INDEX = np.random.default_rng(1).choice(42, 24, replace=False)
PIXELS = pixel_coordinates(INDEX, GRID)
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


def both_ways(waves):
    """The waves at all differences, negative ones too."""
    return tuple(np.concatenate([w[:0:-1].conj(), w]) for w in waves)


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
    rho = pairs_of(correlation(both_ways(encoding_waves(design, hyper, GRID, GRID))), np.arange(42))
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
    design = Design(family=family, frequencies=50_000)
    hyper = Hyper(scale=2.0, anisotropy=1.5)
    grid, reach = (10, 14), (4, 5)
    drawn = correlation(encoding_waves(design, hyper, grid, reach))
    endless = correlation(encoding_waves(design, hyper, grid, reach, drawn=False))
    assert drawn.shape == endless.shape == reach
    np.testing.assert_allclose(drawn, endless, atol=5 / 50_000**0.5)


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


@cache
def drawn_networks(init, width, count):
    """Parameters of networks before training, behind one B, and the features of some pixels."""
    design = DEEP.replace(init=init, width=width)
    feature = member.encode(design, HYPER, member.draw_encoding(design, HYPER, 2), PIXELS)
    network = assemble(design, HYPER).network(3)
    draw = jax.jit(jax.vmap(lambda key: networks.init(network, key, feature).params))
    return draw(jax.random.split(jax.random.key(0), count)), feature


@partial(jax.jit, static_argnames="design")
def outputs(design, params, feature):
    """The outputs of stacked networks, without a sigmoid."""
    network = assemble(design.replace(output="linear"), HYPER).network(3)
    return jax.vmap(lambda each: networks.apply(network, Variables(each, {}), feature))(params)


@partial(jax.jit, static_argnames="design")
def ntks(design, params):
    """The empirical NTKs of stacked networks between some pixels."""

    def one(network):
        data = {"encoding": member.draw_encoding(design, HYPER, 2).data, "network": {}}
        state = member.State({"encoding": {}, "network": network}, data, None)
        return empirical_ntk(design, HYPER, state, PIXELS, PIXELS)

    return jax.lax.map(one, params)


def expected_ntk(design):
    """The analytic NTK between the same pixels, not normalised."""
    return ntk_at_zero(design, HYPER, GRID) * pairs_of(ntk_on_grid(design, HYPER, GRID), INDEX)


def relative(actual, expected):
    """The relative error in the Frobenius norm."""
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("init", VARIANCES)
def test_the_nngp_is_the_covariance_of_the_outputs_at_the_start(init):
    params, feature = drawn_networks(init, 64, 1000)
    rho = pairs_of(correlation(both_ways(encoding_waves(DEEP, HYPER, GRID, GRID))), INDEX)
    expected = network_kernels(DEEP.replace(init=init), rho, 64).nngp
    drawn = np.asarray(outputs(DEEP, params, feature), np.float64)
    covariance = np.einsum("skc,slc->kl", drawn, drawn) / (1000 * 3)
    np.testing.assert_allclose(covariance, expected, atol=0.15 * expected[0, 0])


@pytest.mark.parametrize("init", VARIANCES)
def test_the_mean_over_networks_is_the_analytic_ntk_in_size_too(init):
    params = jax.tree.map(lambda leaf: leaf[:64], drawn_networks(init, 64, 1000)[0])
    # The program of one initialisation serves all: it is of the parameters.
    empirical, expected = np.asarray(ntks(DEEP, params)), expected_ntk(DEEP.replace(init=init))
    assert relative(empirical.mean(0), expected) < 0.12
    # Sampling alone, no bias: the mean of 64 is many times as near as each.
    alone = np.mean([relative(each, expected) for each in empirical])
    assert relative(empirical.mean(0), expected) < 0.5 * alone


@pytest.mark.slow
def test_networks_approach_the_analytic_ntk_as_the_root_of_their_width():
    errors = []
    for width, count in ((64, 1000), (256, 2), (1024, 2)):
        design = DEEP.replace(width=width)
        params, expected = drawn_networks("flax", width, count)[0], expected_ntk(design)
        empirical = np.asarray(ntks(design, jax.tree.map(lambda leaf: leaf[:64], params)))
        roots = np.sqrt(np.einsum("sii->si", empirical))
        cosines = empirical / (roots[:, :, None] * roots[:, None])
        errors.append(np.mean([relative(each, expected / expected[0, 0]) for each in cosines]))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.08
    # From 64 to 1024 units the root falls fourfold.
    assert 2.5 < errors[0] / errors[2] < 6


def test_the_empirical_ntk_is_the_product_of_jacobians():
    params, feature = drawn_networks("flax", 64, 1000)
    first = jax.tree.map(lambda leaf: leaf[:1], params)

    @jax.jit
    def jacobian(params):
        leaves = jax.tree.leaves(jax.jacrev(lambda p: outputs(DEEP, p, feature)[0, :, 0])(params))
        return jnp.concatenate([leaf.reshape(len(feature), -1) for leaf in leaves], axis=1)

    expected = np.asarray(jacobian(first)) @ np.asarray(jacobian(first)).T
    some = jax.tree.map(lambda leaf: leaf[:64], params)
    np.testing.assert_allclose(ntks(DEEP, some)[0], expected, rtol=1e-4)


def test_the_kernel_is_positive_definite_even_and_one_at_zero():
    ntk = ntk_on_grid(SMALL, Hyper(scale=3.0), GRID)
    assert ntk.shape == (13, 11)
    assert ntk[6, 5] == 1.0
    np.testing.assert_allclose(ntk, ntk[::-1, ::-1], rtol=1e-12)
    assert np.linalg.eigvalsh(pairs_of(ntk, np.arange(42))).min() > 0


def test_arrays_of_numpy_and_of_jax_have_the_same_kernels_in_double_precision():
    designs = [SMALL.replace(init=init, depth=3) for init in VARIANCES]
    rho = np.linspace(-0.999, 0.999, 101)
    waves = encoding_waves(SMALL, Hyper(scale=3.0), GRID, (9, 6))

    @jax.jit
    def computed(rho, waves):
        return [(*network_kernels(each, rho, 64), ntk_of_differences(each, waves)) for each in designs]

    with double_precision():
        every = computed(jnp.asarray(rho), jax.device_put(waves))
        assert isinstance(network_kernels(SMALL, jnp.asarray(rho), 64).ntk, jax.Array)
    for design, (nngp, ntk, differences) in zip(designs, every, strict=True):
        ours = network_kernels(design, rho, 64)
        assert isinstance(ours.ntk, np.ndarray)
        for a, b in zip(ours, (nngp, ntk), strict=True):
            assert a.dtype == b.dtype == np.float64
            np.testing.assert_allclose(a, b, rtol=1e-12)
        # At zero difference, by which all are divided, the kernel goes as the root of what is rounded.
        expected = ntk_of_differences(design, waves)
        assert expected.dtype == differences.dtype == np.float64
        np.testing.assert_allclose(differences, expected, rtol=1e-8)
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
