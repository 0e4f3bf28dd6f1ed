"""Encodings: every one against its definition in float64, and what follows from the definition."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from inr_jax.fit import task as tasks
from inr_jax.fit.encodings import ENCODINGS, FAMILIES, Encoding, Variables, fourier
from inr_jax.settings import Refused, bind, declared

SETTINGS = dict(frequencies=16, octaves=10, family="gaussian", scale=4.0, anisotropy=1.0)
KEY = jax.random.key(3)
FIXED = ("identity", "basic", "dyadic", "gaussian", "positional", "octaves")


def points(dims=2, n=50, seed=0):
    return jnp.asarray(np.random.default_rng(seed).random((n, dims)), jnp.float32)


def bound(name, side=1.0, **changed):
    """The two functions of an encoding, bound to their settings as the package does it."""
    return bind(ENCODINGS.find(name), SETTINGS | changed, side=side)


def encoded(name, coords, key=KEY, **changed):
    """The features and B."""
    encoding = bound(name, **changed)
    variables = encoding.init(key, coords.shape[-1])
    return np.asarray(encoding.apply(variables, coords)), np.asarray(variables.get("B"))


def waves(angle):
    """[sin, cos], in float64."""
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=-1)


def product(coords, B):
    return np.asarray(coords, np.float64) @ np.asarray(B, np.float64).T


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_identity_is_the_coordinates(dims):
    coords = points(dims)
    np.testing.assert_array_equal(encoded("identity", coords)[0], coords)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_basic_is_one_cycle_along_each_axis(dims):
    coords = points(dims)
    wanted = waves(2 * np.pi * np.asarray(coords, np.float64))
    np.testing.assert_allclose(encoded("basic", coords)[0], wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("octaves", [1, 4, 10])
def test_dyadic_is_the_coordinates_and_waves_of_powers_of_two_radians(octaves, dims):
    coords = points(dims)
    x = np.asarray(coords, np.float64)
    wanted = np.concatenate([x, *(waves(2.0**k * x) for k in range(octaves))], axis=-1)
    got, _ = encoded("dyadic", coords, octaves=octaves)
    assert got.shape[-1] == dims * (1 + 2 * octaves)
    np.testing.assert_allclose(got, wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("dims", "frequencies"), [(1, 16), (2, 16), (2, 17), (3, 16)])
@pytest.mark.parametrize("scale", [0.0, 1.0, 6.0])
def test_positional_is_log_spaced_along_each_axis(dims, frequencies, scale):
    coords = points(dims)
    got, B = encoded("positional", coords, frequencies=frequencies, scale=scale)
    bvals = 2.0 ** np.linspace(0, scale, frequencies // dims) - 1
    wanted_B = np.concatenate([np.outer(bvals, axis) for axis in np.eye(dims)])
    np.testing.assert_allclose(B, wanted_B, atol=2.0**scale * 1e-6, rtol=0)
    np.testing.assert_allclose(got, waves(2 * np.pi * product(coords, wanted_B)), atol=2.0**scale * 1e-5, rtol=0)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("scale", [1.0, 10.0, 30.0])
def test_gaussian_is_the_waves_of_two_pi_bx(scale, dims):
    coords = points(dims)
    got, B = encoded("gaussian", coords, scale=scale)
    np.testing.assert_allclose(got, waves(2 * np.pi * product(coords, B)), atol=scale * 1e-5, rtol=0)


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("side", [1.0, 2.0])
@pytest.mark.parametrize("octaves", [1, 4, 10])
def test_octaves_are_bx_and_the_waves_of_its_doublings(octaves, side, dims):
    coords = points(dims)
    got, B = encoded("octaves", coords, octaves=octaves, side=side)
    Bx = got[:, : len(B)].astype(np.float64)
    np.testing.assert_allclose(Bx, product(coords, B) / side, atol=1e-5, rtol=0)
    # At the highest octave a rounding of Bx is multiplied by 1,600: the sines are of the Bx in float32.
    wanted = np.concatenate([Bx, *(waves(np.pi * 2.0**k * Bx) for k in range(octaves))], axis=-1)
    np.testing.assert_allclose(got, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("identity", lambda d, m, k: d),
        ("basic", lambda d, m, k: 2 * d),
        ("dyadic", lambda d, m, k: d * (1 + 2 * k)),
        ("positional", lambda d, m, k: 2 * (m // d) * d),
        ("gaussian", lambda d, m, k: 2 * m),
        ("octaves", lambda d, m, k: m * (1 + 2 * k)),
    ],
)
@pytest.mark.parametrize(("dims", "frequencies", "octaves"), [(1, 6, 3), (2, 6, 1), (2, 7, 5), (3, 8, 2)])
def test_features_are_as_many_as_the_formula_says(name, width, dims, frequencies, octaves):
    got, _ = encoded(name, points(dims), frequencies=frequencies, octaves=octaves)
    assert got.shape == (50, width(dims, frequencies, octaves))
    assert got.dtype == np.float32


@pytest.mark.parametrize("name", ["basic", "positional", "gaussian"])
def test_squared_length_is_the_number_of_frequencies(name):
    got, B = encoded(name, points(), scale=6.0)
    np.testing.assert_allclose((got.astype(np.float64) ** 2).sum(-1), len(B), rtol=1e-6)


@pytest.mark.parametrize("name", ["basic", "positional", "gaussian"])
def test_inner_products_depend_on_the_difference_only(name):
    # Multiples of 2^-10: the shifted coordinates are exact.
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 512, (40, 2)) / 1024 for _ in range(2))
    shift = rng.integers(0, 512, (1, 2)) / 1024

    def inner(a, b):
        one, two = (encoded(name, jnp.asarray(v, jnp.float32))[0].astype(np.float64) for v in (a, b))
        return (one * two).sum(-1)

    np.testing.assert_allclose(inner(x + shift, y + shift), inner(x, y), atol=2e-3, rtol=0)
    assert np.ptp(inner(x, y)) > 1


@pytest.mark.parametrize("name", ["positional", "gaussian", "octaves"])
def test_scale_zero_sees_no_coordinates(name):
    got, B = encoded(name, points(), scale=0.0)
    assert not B.any()
    np.testing.assert_array_equal(got, np.broadcast_to(got[:1], got.shape))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_scale_only_multiplies_one_seeds_draw(family):
    (_, one), (_, ten) = (encoded("gaussian", points(), family=family, scale=s) for s in (1.0, 10.0))
    np.testing.assert_allclose(ten, 10 * one, rtol=1e-6)


@pytest.mark.parametrize("name", ["gaussian", "octaves"])
def test_the_draw_depends_on_the_key(name):
    one, again, other = (encoded(name, points(), key=jax.random.key(k))[1] for k in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.isclose(one, other).any()


# log-uniform over three decades [a, 1000 a], with standard deviation 1.
LOWEST = 1 / np.sqrt((1000**2 - 1) / (2 * np.log(1000)))
DISTRIBUTIONS = {
    "gaussian": scipy.stats.norm().cdf,
    "uniform": scipy.stats.uniform(-np.sqrt(3), 2 * np.sqrt(3)).cdf,
    "laplace": scipy.stats.laplace(scale=1 / np.sqrt(2)).cdf,
    "loguniform": lambda x: 0.5 + 0.5 * np.sign(x) * scipy.stats.loguniform(LOWEST, 1000 * LOWEST).cdf(np.abs(x)),
}


def test_every_family_has_its_distribution_here():
    assert DISTRIBUTIONS.keys() == FAMILIES.keys()


@pytest.mark.parametrize("other", DISTRIBUTIONS)
@pytest.mark.parametrize("family", DISTRIBUTIONS)
def test_a_familys_draw_has_its_own_distribution_and_no_other(family, other):
    _, B = encoded("gaussian", points(n=1), family=family, frequencies=10_000, scale=1.0)
    p = scipy.stats.kstest(B.ravel(), DISTRIBUTIONS[other]).pvalue
    assert (p > 1e-3) == (family == other)


@pytest.mark.parametrize(("dims", "scale"), [(1, 0.5), (2, 10.0), (3, 10.0)])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_standard_deviation_along_each_axis_is_the_scale(family, dims, scale):
    _, B = encoded("gaussian", points(dims, n=1), family=family, frequencies=20_000, scale=scale)
    np.testing.assert_allclose(B.std(0), scale, rtol=0.04)
    np.testing.assert_allclose(B.mean(0), 0, atol=0.03 * scale)
    if dims > 1:
        assert abs(np.corrcoef(B[:, 0], B[:, 1])[0, 1]) < 0.03


@pytest.mark.parametrize("family", FAMILIES)
def test_anisotropy_scales_the_columns_and_leaves_the_rows(family):
    (_, one), (_, two) = (encoded("gaussian", points(), family=family, anisotropy=a) for a in (1.0, 2.5))
    np.testing.assert_array_equal(two[:, 0], one[:, 0])
    np.testing.assert_allclose(two[:, 1], 2.5 * one[:, 1], rtol=1e-6)


@pytest.mark.parametrize("dims", [1, 3])
def test_anisotropy_is_for_two_dimensions_only(dims):
    (_, one), (_, two) = (encoded("gaussian", points(dims), anisotropy=a) for a in (1.0, 2.5))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", ["basic", "positional", "gaussian"])
def test_a_unit_of_scale_is_a_cycle_per_image_side_in_both_domains(name):
    """Inner products, which no shift of the origin changes, are the same in [0, 1] and in [-1, 1]."""
    unit = points()
    one, _ = encoded(name, unit, side=tasks.side("unit"))
    two, _ = encoded(name, 2 * unit - 1, side=tasks.side("signed"))
    np.testing.assert_allclose(two @ two.T, one @ one.T, atol=1e-3, rtol=0)


def test_one_cycle_ends_where_it_began_at_the_other_side_of_the_image():
    ends = jnp.asarray([[-1.0, 0.3], [0.0, 0.3], [1.0, 0.3]])
    got = np.asarray(fourier(Variables({}, {"B": jnp.asarray([[1.0, 0.0]])}), ends, side=2.0))
    np.testing.assert_allclose(got[2], got[0], atol=1e-6)
    np.testing.assert_allclose(got[1], -got[0], atol=1e-6)


@pytest.mark.parametrize("name", ENCODINGS)
def test_encodings_are_the_same_under_jit_and_vmap_over_scales(name):
    scales, coords = jnp.asarray([1.0, 4.0]), points()

    # Coordinates are arguments, as a task's are: of constants XLA makes nonsense in jax 0.7.2, where it folds them.
    @jax.jit
    @partial(jax.vmap, in_axes=(0, None))
    def member(scale, coords):
        encoding = bound(name, scale=scale)
        return encoding.apply(encoding.init(KEY, 2), coords)

    for scale, got in zip(scales, member(scales, coords), strict=True):
        wanted, _ = encoded(name, coords, scale=scale)
        # At 2^9 half turns a rounding of Bx, which jit may do otherwise, is multiplied by 1,600.
        np.testing.assert_allclose(got, wanted, atol=1e-2 if name == "octaves" else 1e-4, rtol=0)


@pytest.mark.parametrize("name", ENCODINGS)
def test_gradients_to_coordinates_and_frequencies_are_finite(name):
    encoding = bound(name)

    def total(coords, variables):
        return encoding.apply(variables, coords).sum()

    gradients = jax.grad(total, argnums=(0, 1))(points().at[0].set(0.0), encoding.init(KEY, 2))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("name", FIXED)
def test_frequencies_are_data_and_parameters_only_where_they_are_learned(name):
    learns = "learn_frequencies" in {setting.name for setting in declared(ENCODINGS[name])}
    assert learns == (encoded(name, points())[1].dtype == np.float32)
    fixed, learned = (bound(name, learn_frequencies=learn).init(KEY, 2) for learn in (False, True))
    assert not fixed.params
    if learns:
        assert (list(fixed.data), list(learned.params), learned.data) == (["B"], ["B"], {})
        np.testing.assert_array_equal(fixed.get("B"), learned.get("B"))


def sharp(coords, key, *, sharpness=1.0, octaves):
    """A custom encoding, which draws something and reads a setting of its own and one of the package."""
    phase = jax.random.uniform(key, (coords.shape[-1],))
    return jnp.tanh(sharpness * octaves * (coords - phase[None]))


@pytest.mark.parametrize("function", [sharp, f"{__name__}:sharp"])
@pytest.mark.parametrize("given", [{}, {"sharpness": 3.0}])
def test_a_custom_function_gets_its_settings_and_the_members_key(function, given):
    coords, encoding = points(), ENCODINGS.find(function)
    assert [setting.name for setting in declared(encoding.apply)] == ["sharpness", "octaves"]
    assert not declared(encoding.init)
    variables = bound(function).init(KEY, 2)
    assert not variables.params and variables.get("key").dtype == np.uint32
    got, _ = encoded(function, coords, octaves=2, **given)
    phase = np.asarray(jax.random.uniform(KEY, (2,)), np.float64)
    wanted = np.tanh(given.get("sharpness", 1.0) * 2 * (np.asarray(coords, np.float64) - phase))
    np.testing.assert_allclose(got, wanted, atol=1e-6)


def drawn(key, dims, *, sharpness=1.0):
    return Variables({"gain": jnp.full(dims, sharpness)}, {"phase": jax.random.uniform(key, (dims,))})


def shifted(variables, coords, *, sharpness=1.0):
    return sharpness * variables.get("gain") * (coords - variables.get("phase"))


shifts = Encoding(drawn, shifted)


@pytest.mark.parametrize("pair", [shifts, f"{__name__}:shifts"])
def test_a_custom_pair_of_functions_shares_its_settings_and_has_learned_and_fixed_variables(pair):
    assert [setting.name for setting in declared(ENCODINGS.find(pair))] == ["sharpness"]
    got, _ = encoded(pair, points(), sharpness=2.0)
    phase = np.asarray(jax.random.uniform(KEY, (2,)))
    np.testing.assert_allclose(got, 4.0 * (np.asarray(points()) - phase), rtol=1e-6)


@pytest.mark.parametrize("name", ["no_such_module:f", "gausian", "math:pi"])
def test_what_is_no_encoding_is_refused_by_its_name(name):
    with pytest.raises(Refused, match=r"encoding=.*(cannot be imported|not known|not callable)") as refusal:
        ENCODINGS.find(name)
    assert repr(name) in str(refusal.value)
