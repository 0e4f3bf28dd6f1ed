"""Kernel regression against dense solutions: with a ridge, and by gradient flow stopped at a time."""

import dataclasses

import numpy as np
import pytest

from inr_jax.fit import task as tasks
from inr_jax.kernel import ntk as kernel
from inr_jax.kernel import regression
from inr_jax.settings import Design, Hyper, Refused, hypers
from inr_jax.sweep import ensemble

GRID = (12, 10)
SPLITS = {
    "all": {},
    "quarter": {},
    "rows": {},
    "checkerboard": {},
    "random": {"fraction": 0.4},
    "quarter, validated": {"validation": 0.3},
}
DESIGN = Design(frequencies=64)
TIMES = [0.0, 0.1, 3.0, 100.0]


def noise(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


def noisy(split, *grid):
    return tasks.split(noise(*(grid or GRID), 3), split.split(",")[0], **SPLITS[split])


def dense(ntk, grid, rows, columns):
    """The kernel's matrix between row-major pixel indices."""
    where = [np.stack(np.unravel_index(np.asarray(i), grid), axis=-1) for i in (rows, columns)]
    between = where[0][:, None] - where[1][None] + np.asarray(grid) - 1
    return ntk[tuple(np.moveaxis(between, -1, 0))]


def parts(task, design, hyper, drawn=True):
    """Of a task: the training kernel, that of all pixels with the training ones, targets, and their mean."""
    ntk = kernel.on_grid(design, hyper, task.grid, task.channels, drawn)
    colors = np.asarray(task.colors, np.float64)[task.train]
    every = np.arange(np.prod(task.grid))
    among, all_with = (dense(ntk, task.grid, rows, task.train) for rows in (task.train, every))
    return among, all_with, colors - colors.mean(0), colors.mean(0)


def dense_regression(task, design, hyper, ridge, drawn=True):
    among, all_with, target, mean = parts(task, design, hyper, drawn)
    weights = np.linalg.solve(among + ridge * np.eye(len(among)), target)
    return (mean + all_with @ weights).reshape(task.image.shape)


def dense_flow(task, design, hyper, time):
    """What solves f' = -K (f - y) from the mean: the weights (1 - exp(-tK)) / K of the target, and the image."""
    among, all_with, target, mean = parts(task, design, hyper)
    values, vectors = np.linalg.eigh(among)
    learned = -np.expm1(-time * values) / values
    weights = vectors * learned @ vectors.T @ target
    return weights, (mean + all_with @ weights).reshape(task.image.shape)


@pytest.mark.parametrize("split", SPLITS)
def test_the_regression_is_that_of_a_dense_solution(split):
    task = noisy(split)
    for scale in (0.5, 3.0):
        hyper = Hyper(scale=scale)
        fitted = regression.regress(DESIGN, hyper, task, 1e-3, tolerance=1e-9)
        np.testing.assert_allclose(fitted.image, dense_regression(task, DESIGN, hyper, 1e-3), atol=1e-5)
        assert fitted.residual < 1e-8
        among, _, target, mean = parts(task, DESIGN, hyper)
        weights = fitted.weights.reshape(-1, 3)
        error = target - (among + 1e-3 * np.eye(len(among))) @ weights[task.train]
        relative = np.linalg.norm(error, axis=0) / np.linalg.norm(target, axis=0)
        assert fitted.residual == pytest.approx(relative.max(), rel=1e-2)
        np.testing.assert_allclose(fitted.mean, mean, rtol=1e-9)
        assert np.count_nonzero(weights.any(1)) == len(task.train)


@pytest.mark.parametrize(
    ("grid", "split", "drawn"), [((30,), "rows", True), ((6, 5, 4), "all", True), ((6, 5, 4), "quarter", False)]
)
def test_the_regression_of_a_signal_and_of_a_volume_is_that_of_a_dense_solution(grid, split, drawn):
    task = tasks.split(noise(*grid, 1), split)
    fitted = regression.regress(DESIGN, Hyper(scale=2.0), task, 1e-2, drawn, tolerance=1e-9)
    expected = dense_regression(task, DESIGN, Hyper(scale=2.0), 1e-2, drawn)
    np.testing.assert_allclose(fitted.image, expected, atol=1e-5)


@pytest.mark.parametrize(("grid", "split"), [((3, 4), "checkerboard"), ((2, 20), "all"), ((2, 2), "all")])
def test_the_regression_of_a_few_pixels_is_that_of_a_dense_solution(grid, split):
    task = tasks.split(noise(*grid, 3), split)
    fitted = regression.regress(DESIGN, Hyper(scale=2.0), task, 1e-3, tolerance=1e-9)
    np.testing.assert_allclose(fitted.image, dense_regression(task, DESIGN, Hyper(scale=2.0), 1e-3), atol=1e-5)


@pytest.mark.parametrize(
    ("split", "shape", "lines"),
    [
        ("all", (12, 10), ((0, 12, 1), (0, 10, 1))),
        ("quarter", (6, 5), ((0, 11, 2), (0, 9, 2))),
        ("rows", (6, 10), ((0, 11, 2), (0, 10, 1))),
        ("checkerboard", (12, 10), ((0, 12, 1), (0, 10, 1))),
    ],
)
def test_training_pixels_are_found_on_the_coarsest_sublattice(split, shape, lines):
    task = tasks.split(noise(*GRID, 2), split)
    lattice, equations = regression.posed(task)
    assert (lattice.grid, lattice.lines, lattice.shape) == (GRID, lines, shape)
    assert lattice.filled == equations.mask.all() == (split != "checkerboard")
    index = np.arange(120).reshape(GRID)
    np.testing.assert_array_equal(index[lattice.where][equations.mask], task.train)
    colors = np.asarray(task.colors, np.float64)[task.train]
    np.testing.assert_allclose(equations.target[:, equations.mask].T, colors - colors.mean(0), atol=1e-12)
    np.testing.assert_allclose(equations.mean, colors.mean(0))
    assert not equations.target[:, ~equations.mask].any()


@pytest.mark.parametrize("grid", [(4, 5), (3, 4, 2)])
def test_a_single_training_pixel_colours_the_whole_image(grid):
    task = tasks.Task(noise(*grid, 3), np.asarray([7]), np.asarray([0]))
    fitted = regression.regress(DESIGN, Hyper(), task)
    expected = np.broadcast_to(task.image.reshape(-1, 3)[7], (*grid, 3))
    np.testing.assert_allclose(fitted.image, expected, rtol=1e-6)
    flow = regression.gradient_flow(DESIGN, Hyper(), task, [1.0])
    np.testing.assert_allclose(flow.image, expected[None], rtol=1e-6)


def test_a_constant_colour_is_fitted_exactly_and_without_warnings():
    image = noise(*GRID, 3)
    image[..., 1] = 0.25
    task = tasks.split(image, "random", 0.4)
    fitted = regression.regress(DESIGN, Hyper(scale=2.0), task)
    np.testing.assert_allclose(fitted.image[..., 1], 0.25, atol=1e-7)
    assert 0 < fitted.residual <= 1.1 * regression.TOLERANCE
    flow = regression.gradient_flow(DESIGN, Hyper(scale=3.0), task, TIMES)
    np.testing.assert_allclose(flow.image[..., 1], 0.25, atol=1e-7)
    assert np.isfinite(flow.image).all()


def test_an_unsolved_regression_is_an_error_and_a_nearly_solved_one_says_so():
    task = noisy("random")
    with pytest.raises(regression.NotConverged, match="after 1 iterations"):
        regression.regress(DESIGN, Hyper(scale=1.0), task, 1e-6, iterations=1)
    with pytest.raises(regression.NotConverged, match="nan"):
        regression.regress(DESIGN, Hyper(scale=float("nan")), task)
    rough = regression.regress(DESIGN, Hyper(scale=1.0), task, tolerance=9e-4)
    assert regression.TOLERANCE < rough.residual <= regression.UNUSABLE


@pytest.mark.parametrize("split", ["quarter", "random"])
def test_the_flow_is_that_of_the_dense_matrix_exponential(split):
    task = noisy(split)
    flow = regression.gradient_flow(DESIGN, Hyper(scale=3.0), task, TIMES, tolerance=1e-8)
    assert flow.image.shape == flow.weights.shape == (len(TIMES), *GRID, 3)
    assert (flow.residual <= 1e-8).all()
    for time, image, weights in zip(TIMES, flow.image, flow.weights, strict=True):
        expected_weights, expected = dense_flow(task, DESIGN, Hyper(scale=3.0), time)
        np.testing.assert_allclose(image, expected, atol=1e-6)
        np.testing.assert_allclose(weights.reshape(-1, 3)[task.train], expected_weights, atol=1e-5 * (1 + time))
    np.testing.assert_array_equal(flow.image[0], np.broadcast_to(flow.mean, (*GRID, 3)))
    assert flow.residual[0] == 0


def test_the_flow_of_a_signal_does_not_depend_on_the_other_times_that_are_asked_for():
    task = tasks.split(noise(30, 1), "rows")
    together, alone = (
        regression.gradient_flow(DESIGN, Hyper(scale=3.0), task, t, tolerance=1e-9) for t in ([5.0, 0.5], [0.5])
    )
    np.testing.assert_allclose(together.image[1], alone.image[0], atol=1e-8)
    np.testing.assert_allclose(alone.image[0], dense_flow(task, DESIGN, Hyper(scale=3.0), 0.5)[1], atol=1e-7)


def test_the_flows_residual_bounds_the_true_error_of_what_is_learned(monkeypatch):
    monkeypatch.setattr(regression, "LANCZOS", (6, 6))
    monkeypatch.setattr(regression, "UNUSABLE", np.inf)
    task, hyper = noisy("random"), Hyper(scale=1.0)
    times = [0.0, 0.3, 2.0, 20.0, 300.0]
    flow = regression.gradient_flow(DESIGN, hyper, task, times)
    assert flow.iterations == 6
    among, _, target, _ = parts(task, DESIGN, hyper)
    errors = []
    for time, weights in zip(times, flow.weights, strict=True):
        wrong = among @ (weights.reshape(-1, 3)[task.train] - dense_flow(task, DESIGN, hyper, time)[0])
        errors.append((np.linalg.norm(wrong, axis=0) / np.linalg.norm(target, axis=0)).max())
    assert errors[0] == flow.residual[0] == 0
    # So few steps are not enough: there is something to bound.
    assert errors[-1] > 0.01
    assert (np.asarray(errors) <= flow.residual + 1e-12).all()
    assert (flow.residual[2:] < 30 * np.asarray(errors[2:])).all()


def test_a_long_flow_interpolates_and_a_short_one_hardly_leaves_the_mean():
    task = noisy("random")
    flow = regression.gradient_flow(DESIGN, Hyper(scale=3.0), task, [1e-4, 1e4])
    colors = np.asarray(task.colors)[task.train]
    first, last = (image.reshape(-1, 3)[task.train] for image in flow.image)
    np.testing.assert_allclose(last, colors, atol=1e-3)
    np.testing.assert_allclose(first, np.broadcast_to(flow.mean, first.shape), atol=0.01)
    assert np.abs(first - flow.mean).max() > 1e-6


def test_a_flow_that_needs_more_steps_is_an_error(monkeypatch):
    monkeypatch.setattr(regression, "LANCZOS", (4, 4))
    with pytest.raises(regression.NotConverged, match="after 4 iterations"):
        regression.gradient_flow(DESIGN, Hyper(scale=1.0), noisy("random"), [1.0, 1000.0])


@pytest.mark.parametrize("init", ["flax", "torch"])
def test_a_wide_network_trained_so_many_steps_is_the_flow_at_its_time(init):
    design = Design(
        frequencies=64, width=1024, depth=2, init=init, output="linear", optimizer="sgd", steps=60, pixels=0
    )
    rate = 1e-4 if init == "flax" else 3e-4
    waves = np.sin(2 * np.pi * (np.arange(24)[:, None] / 24 * [1, 2] + [0.1, 0.4]))
    task = tasks.split((0.5 + 0.3 * waves).astype(np.float32), "random", fraction=0.7)
    mean = np.asarray(task.colors)[task.train].mean(0)
    # Of two fits from one start, to the colours and to their mean, the difference has learned what the flow learns.
    members = hypers(scale=[1.5], learning_rate=[rate], seed=range(6))
    to = [task, task._replace(image=np.broadcast_to(mean, task.image.shape).copy())]
    fits = [ensemble.fit_many(design, members, each, history=2) for each in to]
    trained = np.mean([fits[0].predict(m, task.grid) - fits[1].predict(m, task.grid) for m in range(6)], axis=0)

    def learned(seed):
        """By the flow to the steps' time, and to half and twice of it."""
        hyper = Hyper(scale=1.5, learning_rate=rate, seed=seed)
        times = regression.flow_time(design, hyper, design.steps, task) * np.asarray([1.0, 0.5, 2.0])
        flow = regression.gradient_flow(design, hyper, task, times)
        return flow.image - flow.mean

    expected = np.mean([learned(seed) for seed in range(6)], axis=0)
    errors = [np.linalg.norm(trained - each) / np.linalg.norm(trained) for each in expected]
    assert errors[0] < 0.06
    # A wrong factor of two in the time would be seen.
    assert min(errors[1:]) > 0.15


@pytest.mark.parametrize("drawn", [True, False])
@pytest.mark.parametrize("domain", ["unit", "signed"])
def test_between_the_pixels_the_colours_are_those_of_a_finer_grid(domain, drawn):
    design = dataclasses.replace(DESIGN, domain=domain)
    task = noisy("random")
    hyper = Hyper(scale=3.0, anisotropy=0.5)
    fitted = regression.regress(design, hyper, task, 1e-2, drawn)
    # Of twice as many pixels, every other is one of these.
    fine = tuple(2 * n if domain == "unit" else 2 * n - 1 for n in GRID)
    coords = np.asarray(tasks.coordinates(np.arange(np.prod(fine)), fine, domain))
    colors = regression.between(design, hyper, task, fitted, coords, drawn).reshape(*fine, 3)
    np.testing.assert_allclose(colors[::2, ::2], fitted.image, atol=1e-4)
    rows = np.stack(np.unravel_index(task.train, GRID))
    trained = np.ravel_multi_index(tuple(2 * rows), fine)
    ntk = dense(kernel.on_grid(design, hyper, fine, 3, drawn), fine, np.arange(np.prod(fine)), trained)
    expected = fitted.mean + ntk @ fitted.weights.reshape(-1, 3)[task.train]
    np.testing.assert_allclose(colors.reshape(-1, 3), expected, atol=1e-4)


@pytest.mark.parametrize("drawn", [True, False])
def test_between_the_pixels_the_colours_are_continuous(drawn):
    task, hyper = noisy("random"), Hyper(scale=3.0)
    fitted = regression.regress(DESIGN, hyper, task, 1e-2, drawn)

    def steps(count):
        """The largest change from one to the next of so many points on a line across the image."""
        line = np.linspace(0, 0.8, count, dtype=np.float32)
        colors = regression.between(DESIGN, hyper, task, fitted, np.stack([line, 0.3 + line / 2], axis=-1), drawn)
        return np.abs(np.diff(colors, axis=0)).max()

    assert steps(3200) < 0.3 * steps(800) < 0.1 * steps(200)
    assert regression.between(DESIGN, hyper, task, fitted, np.zeros((0, 2)), drawn).shape == (0, 3)


@pytest.mark.parametrize("design", [Design(network="siren"), dataclasses.replace(DESIGN, encoding="identity")])
def test_a_design_without_such_a_kernel_is_refused_in_one_line(design):
    task = noisy("quarter")
    for fit in (regression.regress, lambda *a: regression.gradient_flow(*a, [1.0])):
        with pytest.raises(Refused, match="has no kernel") as refused:
            fit(design, Hyper(), task)
        assert "\n" not in str(refused.value)


def test_a_ridge_and_a_time_out_of_range_are_refused_in_one_line():
    task = noisy("quarter")
    for ridge in (0.0, -1.0, float("nan")):
        with pytest.raises(Refused, match="ridge=") as refused:
            regression.regress(DESIGN, Hyper(), task, ridge)
        assert "\n" not in str(refused.value)
    for times in ([-1.0], [1.0, float("nan")]):
        with pytest.raises(Refused, match="times=") as refused:
            regression.gradient_flow(DESIGN, Hyper(), task, times)
        assert "\n" not in str(refused.value)
