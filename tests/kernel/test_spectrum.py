"""The kernel's spectrum, the training it predicts, and custom encodings, against dense computations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from inr_jax.fit import member
from inr_jax.fit.design import Design, Hyper, complete, hypers
from inr_jax.fit.encodings import Variables, fourier
from inr_jax.fit.metrics import bands
from inr_jax.fit.task import pixel_coordinates
from inr_jax.kernel.correlation import correlation, draw_frequencies, encoding_waves
from inr_jax.kernel.ntk import empirical_ntk, ntk_at_zero, ntk_on_grid
from inr_jax.kernel.recursion import network_kernels
from inr_jax.kernel.spectrum import eigenvalues, predict_curves
from inr_jax.settings import Refused
from inr_jax.sweep.ensemble import fit_many
from inr_jax.tasks.splits import split
from tests.kernel.dense import dense_ridge, regress

N = 32
DESCENT = Design(frequencies=6, width=48, depth=2, init="glorot", output="linear", optimizer="sgd", steps=50)
# B as the package's encoding draws it.
DRAWN = draw_frequencies(Design(frequencies=16), Hyper(scale=3.0, seed=2), 1).astype(np.float32)


def harmonics(coords, key, *, frequencies, power=1.0):
    """The first harmonics with falling amplitudes: periodic in the signal, hence a circulant kernel."""
    j = jnp.arange(1, frequencies + 1)
    waves = 2 * jnp.pi * coords * j
    return jnp.concatenate([jnp.sin(waves), jnp.cos(waves)], -1) * jnp.tile(1.0 * j, 2) ** -power


def same_as_gaussian(coords, key, *, frequencies):
    """What the package's encoding computes, with the same B."""
    return fourier(Variables({}, {"B": jnp.asarray(DRAWN[:frequencies])}), coords, side=1.0)


def drawn_at_will(coords, key, *, frequencies):
    """Draws in the default precision: other numbers where that is 64 bits."""
    B = 3 * jax.random.normal(key, (frequencies, 1))
    return fourier(Variables({}, {"B": B}), coords, side=1.0)


def bumps(coords, key, *, frequencies):
    """Not stationary: the first sample is as far from most bumps as the others are not."""
    return jnp.exp(-((coords - jnp.linspace(0, 1, frequencies)) ** 2) / 0.02)


def chirp(coords, key):
    """Of one norm everywhere, and not stationary."""
    return jnp.concatenate([jnp.sin(9 * coords**2), jnp.cos(9 * coords**2)], -1)


def line(n=N, channels=1):
    x = np.arange(n)[:, None] / n
    waves = 0.5 + 0.2 * np.sin(2 * np.pi * x) + 0.1 * np.cos(6 * np.pi * x + np.arange(channels))
    return split(waves.astype(np.float32), "quarter")


def matrix(design, hyper, n=N):
    index = np.arange(n)
    return ntk_on_grid(design, hyper, (n,), 1)[index[:, None] - index + n - 1]


@pytest.mark.parametrize(("domain", "scale"), [("unit", 3.0), ("signed", 6.0)])
def test_a_custom_encoding_that_computes_the_same_features_has_the_same_kernel(domain, scale):
    # On [-1, 1] a side is twice as long: the own function's waves are twice as fast over it.
    built_in = Design(frequencies=16, width=32, domain=domain)
    own = built_in.replace(encoding=same_as_gaussian)
    theirs = ntk_on_grid(built_in, Hyper(scale=scale, seed=2), (N,), 1)
    np.testing.assert_allclose(ntk_on_grid(own, Hyper(), (N,), 1), theirs, atol=2e-6)


def test_the_kernel_of_a_custom_encoding_is_the_recursion_of_its_features_products():
    hyper = Hyper(power=0.5)
    design = DESCENT.replace(encoding=harmonics)
    j, x = np.arange(1, 7), np.arange(0, N, 2)[:, None] / N
    feature = np.concatenate([np.sin(2 * np.pi * x * j), np.cos(2 * np.pi * x * j)], 1) * np.tile(j**-0.5, 2)
    square = np.square(feature[0]).mean()
    rho = feature @ feature.T / feature.shape[1] / square
    ntk = network_kernels(design, rho, feature.shape[1], 1, square).ntk
    np.testing.assert_allclose(matrix(design, hyper)[::2, ::2], ntk / ntk[0, 0], atol=1e-5)
    assert ntk_at_zero(design, hyper, (N,), 1) == pytest.approx(ntk[0, 0], rel=1e-5)


def test_the_kernel_of_a_custom_encoding_is_that_of_an_actual_network():
    design = DESCENT.replace(encoding=harmonics, width=1024)
    coords = pixel_coordinates(np.arange(N), (N,))
    state = jax.jit(member.init, static_argnums=0)(design, complete(design, Hyper()), line())
    actual = np.asarray(empirical_ntk(design, Hyper(), state, coords, coords[:1], 1))[:, 0]
    expected = matrix(design, Hyper())[:, 0] * ntk_at_zero(design, Hyper(), (N,), 1)
    np.testing.assert_allclose(actual, expected, atol=0.1 * expected[0])


def test_a_custom_encoding_that_draws_is_taken_with_the_numbers_of_a_fit():
    design = Design(encoding=drawn_at_will, frequencies=16)
    hyper = Hyper(seed=3)
    coords = pixel_coordinates(np.arange(N), (N,))
    feature = np.asarray(member.encode(design, hyper, member.draw_encoding(design, hyper, 1), coords), float)
    rho = correlation(encoding_waves(design, hyper, (N,), (N,)))
    np.testing.assert_allclose(rho, feature @ feature[0] / 16, atol=1e-5)


@pytest.mark.parametrize("encoding", [bumps, chirp])
def test_a_custom_encoding_that_is_not_stationary_is_refused_in_one_line(encoding):
    with pytest.raises(Refused, match="depends on where they are; allowed") as refused:
        ntk_on_grid(Design(encoding=encoding), Hyper(), (N,), 1)
    assert "\n" not in str(refused.value)


def test_a_custom_encoding_has_no_kernel_in_two_dimensions():
    with pytest.raises(Refused, match="no kernel of pixel differences"):
        ntk_on_grid(Design(encoding=harmonics), Hyper(), (N, N))


def test_the_regression_with_a_custom_encoding_is_that_of_a_dense_solution():
    task, design = line(), DESCENT.replace(encoding=harmonics)
    np.testing.assert_allclose(
        regress(design, Hyper(), task).image, dense_ridge(task, design, Hyper(), 1e-3), atol=1e-5
    )


def test_the_eigenvalues_of_a_periodic_kernel_are_those_of_its_matrix():
    design = DESCENT.replace(encoding=harmonics)
    frequency, values = eigenvalues(design, Hyper(), (N,), 1)
    assert frequency.tolist() == list(range(N // 2 + 1))
    twice = np.concatenate([values, values[1:-1]])
    np.testing.assert_allclose(np.sort(twice), scipy.linalg.eigvalsh(matrix(design, Hyper())), atol=1e-6)
    assert twice.mean() == pytest.approx(1.0)


def test_the_eigenvalues_of_an_image_are_the_power_of_its_kernel_in_rings():
    grid = (12, 10)
    # One cycle along either axis: periodic in the image, so the circulant is the kernel.
    design = Design(encoding="basic", width=32, depth=2)
    frequency, values = eigenvalues(design, Hyper(), grid)
    middle = ntk_on_grid(design, Hyper(), grid)[11:, 9:]
    transform = np.fft.fft2(middle).real
    away = np.hypot(*np.meshgrid(np.fft.fftfreq(12) * 12, np.fft.fftfreq(10) * 10, indexing="ij"))
    for each, value in zip(frequency, values, strict=True):
        assert value == pytest.approx(transform[np.abs(away - each) <= 0.5].mean(), rel=1e-6)


def test_the_predicted_curves_are_those_of_a_dense_eigendecomposition():
    task, design = line(channels=3), DESCENT.replace(encoding=harmonics)
    hyper, steps = Hyper(learning_rate=0.05), np.asarray([0, 3, 30, 300])
    curves = predict_curves(design, hyper, task, steps)
    index = np.arange(N)
    every = ntk_on_grid(design, hyper, (N,), 3)[index[:, None] - index + N - 1]
    every *= ntk_at_zero(design, hyper, (N,), 3)
    values, waves = scipy.linalg.eigh(every[np.ix_(task.train, task.train)])
    y = np.asarray(task.image, float)[task.train]
    for place, step in enumerate(steps):
        # Of the mean of squares over samples and colours the gradient is twice the error over their number.
        time = 2 * 0.05 * step / y.size
        weights = waves @ ((-np.expm1(-time * values) / values)[:, None] * (waves.T @ y))
        image = every[:, task.train] @ weights
        error = np.square(image.clip(0, 1) - task.image)
        for seen, where in ((curves.history_train, task.train), (curves.history_heldout, task.heldout)):
            assert seen[place] == pytest.approx(-10 * np.log10(error[where].mean()), abs=0.01)
    assert curves.history_bands.shape == (4, len(bands(N)))


@pytest.mark.slow
def test_a_wide_network_trains_as_predicted():
    task = line(64)
    # This initialisation starts near 0, where the theory starts.
    design = Design(frequencies=8, width=1024, depth=1, init="glorot", output="linear", optimizer="sgd", steps=60)
    seen = fit_many(design, hypers(scale=[2.0], learning_rate=[0.02]), task, history=6)
    theory = predict_curves(design, Hyper(scale=2.0, learning_rate=0.02), task, seen.history_step)
    np.testing.assert_allclose(seen.history_train[0], theory.history_train, atol=1.0)
    assert seen.history_train[0, -1] > seen.history_train[0, 0] + 8


@pytest.mark.parametrize(
    "changed", [{"optimizer": "adam"}, {"pixels": 4}, {"schedule": "cosine"}, {"output": "sigmoid"}]
)
def test_a_training_that_is_no_gradient_descent_is_refused_in_one_line(changed):
    ((name, value),) = changed.items()
    with pytest.raises(Refused, match=rf"{name}='?{value}'? has no gradient flow") as refused:
        predict_curves(DESCENT.replace(**changed), Hyper(), line(), np.asarray([0, 1]))
    assert "\n" not in str(refused.value)
