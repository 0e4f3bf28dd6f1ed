"""Sines: as exact as float32 is, anywhere, and their own derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inr_jax.fit import sines

pytestmark = pytest.mark.optimized

ERROR = 3e-7


def radians_of(function, x):
    """The angle in float64, within one period, of a float32 argument: turns are reduced exactly."""
    x = np.asarray(x, np.float64)
    return 2 * np.pi * (x - np.round(x)) if function is sines.turned else x


def sample(function):
    """Arguments of all sizes and around every multiple of a quarter turn."""
    rng = np.random.default_rng(0)
    reach = 1e6 if function is sines.turned else 1e4
    quarter = 0.25 if function is sines.turned else np.pi / 2
    spread = np.exp(rng.uniform(np.log(1e-6), np.log(reach), 20_000)) * rng.choice([-1, 1], 20_000)
    near = np.arange(-200, 200)[:, None] * quarter + rng.uniform(-1e-3, 1e-3, (400, 25))
    return np.concatenate([[0.0], spread, near.ravel()]).astype(np.float32)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("function", [sines.turned, sines.waves])
def test_sine_and_cosine_agree_with_float64(function, compiled):
    x = sample(function)
    sine, cosine = (jax.jit(function) if compiled else function)(jnp.asarray(x))
    angle = radians_of(function, x)
    np.testing.assert_allclose(sine, np.sin(angle), atol=ERROR, rtol=0)
    np.testing.assert_allclose(cosine, np.cos(angle), atol=ERROR, rtol=0)


@pytest.mark.parametrize("turns", [2.0**20, 2.0**24, 1e30, -(2.0**23) - 1])
def test_whole_turns_lose_nothing_at_any_size(turns):
    sine, cosine = sines.turned(jnp.asarray([turns], jnp.float32))
    assert (abs(float(sine[0])), float(cosine[0])) == (0.0, pytest.approx(1.0, abs=ERROR))


def test_half_and_quarter_turns_have_the_right_signs():
    quarters = np.arange(-9, 10)
    sine, cosine = sines.turned(jnp.asarray(quarters / 4, jnp.float32))
    np.testing.assert_allclose(sine, np.imag(1j**quarters), atol=ERROR)
    np.testing.assert_allclose(cosine, np.real(1j**quarters), atol=ERROR)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("function", [sines.turned, sines.waves])
def test_what_is_not_finite_gives_nan_and_leaves_its_neighbours_alone(function, value):
    sine, cosine = function(jnp.asarray([0.0, value, 0.0], jnp.float32))
    np.testing.assert_array_equal(np.isnan(sine), [False, True, False])
    np.testing.assert_array_equal(np.isnan(cosine), [False, True, False])


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(("function", "rate"), [(sines.turned, 2 * np.pi), (sines.waves, 1.0)])
def test_derivatives_are_those_of_jnp(function, rate, which, order):
    ours, theirs = (lambda x: function(x)[which]), (lambda x: (jnp.sin, jnp.cos)[which](rate * x))
    for _ in range(order):
        ours, theirs = jax.grad(ours), jax.grad(theirs)
    x = jnp.linspace(-2.0, 2.0, 101)
    np.testing.assert_allclose(jax.vmap(ours)(x), jax.vmap(theirs)(x), atol=4e-6 * rate**order, rtol=0)


@pytest.mark.parametrize("function", [sines.turned, sines.waves])
def test_forward_and_reverse_mode_agree_far_from_zero(function):
    x = jnp.asarray(sample(function)[::97])
    forward = jax.jvp(function, (x,), (jnp.ones_like(x),))[1][0]
    (reverse,) = jax.vjp(lambda v: function(v)[0], x)[1](jnp.ones_like(x))
    rate = 2 * np.pi if function is sines.turned else 1.0
    np.testing.assert_allclose(forward, rate * np.cos(radians_of(function, x)), atol=rate * ERROR * 2)
    np.testing.assert_allclose(reverse, forward, atol=rate * ERROR)


@pytest.mark.parametrize("shape", [(), (6,), (2, 3), (1, 2, 3)])
@pytest.mark.parametrize("function", [sines.turned, sines.waves])
def test_vmap_and_jit_change_nothing_at_any_shape(function, shape):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, *shape)) * 10, jnp.float32)
    plain, mapped = function(x), jax.jit(jax.vmap(function))(x)
    for a, b in zip(plain, mapped, strict=True):
        assert a.shape == b.shape == x.shape
        assert a.dtype == b.dtype == jnp.float32
        np.testing.assert_allclose(a, b, atol=ERROR, rtol=0)
