"""Gradient flow stopped at a time, against the matrix exponential and against networks trained that long."""

from functools import cache, partial

import jax
import numpy as np
import pytest

from inr_jax.fit import member
from inr_jax.fit.design import Design, Hyper, complete, hypers
from inr_jax.fit.task import Task, places
from inr_jax.kernel import flow, regression
from inr_jax.kernel.flow import flow_time, gradient_flow
from inr_jax.kernel.regression import NotConverged
from inr_jax.settings import Refused
from inr_jax.tasks.splits import split
from tests.kernel.dense import dense_equations, dense_flow

GRID = (12, 10)
DESIGN = Design(frequencies=64)
TIMES = (0.0, 1e-4, 0.1, 3.0, 100.0, 1e4)


@cache
def noisy(kind):
    return split(np.random.default_rng(0).random((*GRID, 3), np.float32), kind, 0.4)


@cache
def flow_of(kind, times=TIMES):
    return gradient_flow(DESIGN, Hyper(scale=3.0), noisy(kind), times, tolerance=1e-8)


@pytest.mark.parametrize("kind", ["quarter", "random"])
def test_the_flow_is_that_of_the_dense_matrix_exponential(kind):
    task, computed = noisy(kind), flow_of(kind)
    assert computed.image.shape == computed.weights.shape == (len(TIMES), *GRID, 3)
    assert (computed.residual <= 1e-8).all()
    for time, image, weights in zip(TIMES, computed.image, computed.weights, strict=True):
        expected_weights, expected = dense_flow(task, DESIGN, Hyper(scale=3.0), time)
        np.testing.assert_allclose(image, expected, atol=1e-6)
        np.testing.assert_allclose(weights.reshape(-1, 3)[task.train], expected_weights, atol=1e-5 * (1 + time))
    np.testing.assert_array_equal(computed.image[0], np.broadcast_to(computed.mean, (*GRID, 3)))
    assert computed.residual[0] == 0


def test_a_long_flow_interpolates_and_a_short_one_hardly_leaves_the_mean():
    task, computed = noisy("random"), flow_of("random")
    colors = np.asarray(task.colors)[task.train]
    first, last = (computed.image[place].reshape(-1, 3)[task.train] for place in (1, -1))
    np.testing.assert_allclose(last, colors, atol=1e-3)
    np.testing.assert_allclose(first, np.broadcast_to(computed.mean, first.shape), atol=0.01)
    assert np.abs(first - computed.mean).max() > 1e-6


def test_the_flow_does_not_depend_on_the_other_times_that_are_asked_for():
    other = flow_of("quarter", (1e4, 50.0, 0.1, 0.5, 7.0, 3.0))
    np.testing.assert_allclose(other.image[[2, 5]], flow_of("quarter").image[[2, 3]], atol=1e-7)


def test_a_single_training_pixel_colours_the_whole_image():
    image = np.random.default_rng(0).random((3, 4, 2, 3), np.float32)
    task = Task(image, np.asarray([7]), np.asarray([0]))
    expected = np.broadcast_to(image.reshape(-1, 3)[7], image.shape)
    np.testing.assert_allclose(gradient_flow(DESIGN, Hyper(), task, [1.0]).image, expected[None], rtol=1e-6)


def test_a_constant_colour_stays_and_without_warnings():
    task = noisy("random")
    image = task.image.copy()
    image[..., 1] = 0.25
    computed = gradient_flow(DESIGN, Hyper(scale=3.0), task._replace(image=image), TIMES, tolerance=1e-8)
    np.testing.assert_allclose(computed.image[..., 1], 0.25, atol=1e-7)
    assert np.isfinite(computed.image).all()


def test_the_flows_residual_bounds_the_true_error_of_what_is_learned(monkeypatch):
    monkeypatch.setattr(flow, "STEPS", (6, 6))
    monkeypatch.setattr(regression, "UNUSABLE", np.inf)
    task, hyper = noisy("random"), Hyper(scale=1.0)
    times = [0.0, 0.3, 2.0, 20.0, 300.0]
    computed = gradient_flow(DESIGN, hyper, task, times)
    assert computed.iterations == 6
    among, _, target, _ = dense_equations(task, DESIGN, hyper)
    errors = []
    for time, weights in zip(times, computed.weights, strict=True):
        wrong = among @ (weights.reshape(-1, 3)[task.train] - dense_flow(task, DESIGN, hyper, time)[0])
        errors.append((np.linalg.norm(wrong, axis=0) / np.linalg.norm(target, axis=0)).max())
    assert errors[0] == computed.residual[0] == 0
    # So few steps are not enough: there is something to bound.
    assert errors[-1] > 0.01
    assert (np.asarray(errors) <= computed.residual + 1e-12).all()
    assert (computed.residual[2:] < 30 * np.asarray(errors[2:])).all()


def test_a_flow_that_needs_more_steps_is_an_error(monkeypatch):
    monkeypatch.setattr(flow, "STEPS", (6, 6))
    with pytest.raises(NotConverged, match="after 6 iterations"):
        gradient_flow(DESIGN, Hyper(scale=1.0), noisy("random"), [1.0, 1000.0])


@partial(jax.jit, static_argnames="design")
def fitted_images(design, members, task):
    """The images of networks trained to their last step, one after another."""

    def image(hyper):
        state, _ = member.advance(design, hyper, task, member.init(design, hyper, task), 0, design.steps)
        return member.field(design, hyper, task, state)(places(np.arange(np.prod(task.grid)), task.grid))

    return jax.lax.map(image, members)


@pytest.mark.parametrize(("init", "rate"), [("flax", 2e-4), ("torch", 6e-4)])
@pytest.mark.slow
def test_a_wide_network_trained_so_many_steps_is_the_flow_at_its_time(init, rate):
    design = Design(frequencies=64, width=512, depth=2, init=init, output="linear", optimizer="sgd", steps=60)
    waves = np.sin(2 * np.pi * (np.arange(24)[:, None] / 24 * [1, 2] + [0.1, 0.4]))
    task = split((0.5 + 0.3 * waves).astype(np.float32), "random", fraction=0.7)
    mean = np.asarray(task.colors)[task.train].mean(0)
    # Of two fits from one start, to the colours and to their mean, the difference has learned what the flow learns.
    members = complete(design, hypers(scale=[1.5], learning_rate=[rate], seed=range(6)))
    to = [task, task._replace(image=np.broadcast_to(mean, task.image.shape).copy())]
    trained = np.subtract(*(fitted_images(design, members, each) for each in to)).mean(0)

    def learned(seed):
        """By the flow to the steps' time, and to half and twice of it."""
        hyper = Hyper(scale=1.5, learning_rate=rate, seed=seed)
        times = flow_time(design, hyper, design.steps, task) * np.asarray([1.0, 0.5, 2.0])
        computed = gradient_flow(design, hyper, task, times)
        return computed.image - computed.mean

    expected = np.mean([learned(seed) for seed in range(6)], axis=0)
    errors = [np.linalg.norm(trained - each) / np.linalg.norm(trained) for each in expected]
    assert errors[0] < 0.08
    # A wrong factor of two in the time would be seen.
    assert min(errors[1:]) > 0.15


@pytest.mark.parametrize("design", [Design(network="siren"), DESIGN.replace(encoding="identity")])
def test_a_design_without_such_a_kernel_is_refused_in_one_line(design):
    with pytest.raises(Refused, match="has no kernel") as refused:
        gradient_flow(design, Hyper(), noisy("quarter"), [1.0])
    assert "\n" not in str(refused.value)


def test_a_time_out_of_range_is_refused_in_one_line():
    for times in ([-1.0], [1.0, float("nan")]):
        with pytest.raises(Refused, match="times=") as refused:
            gradient_flow(DESIGN, Hyper(), noisy("quarter"), times)
        assert "\n" not in str(refused.value)
