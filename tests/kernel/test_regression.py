"""Kernel ridge regression against dense solutions, on lattices and scattered pixels."""

import numpy as np
import pytest

from inr_jax.fit.design import Design, Hyper
from inr_jax.fit.task import Task, measured
from inr_jax.kernel.lattice import equations_of
from inr_jax.kernel.regression import UNUSABLE, NotConverged
from inr_jax.settings import Refused
from inr_jax.tasks.splits import split
from tests.kernel.dense import dense_equations, dense_ridge, regress

GRID = (12, 10)
SPLITS = {
    "quarter": {},
    "rows": {},
    "checkerboard": {},
    "random": {"fraction": 0.4},
    "quarter, validated": {"validation": 0.3},
}
DESIGN = Design(frequencies=64)


def noise(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


def noisy(kind):
    """Pixels at random under a split."""
    return split(noise(*GRID, 3), kind.split(",")[0], **SPLITS[kind])


@pytest.mark.parametrize("kind", SPLITS)
def test_the_regression_is_that_of_a_dense_solution(kind):
    task = noisy(kind)
    for scale in (0.5, 3.0):
        hyper = Hyper(scale=scale)
        fitted = regress(DESIGN, hyper, task)
        np.testing.assert_allclose(fitted.image, dense_ridge(task, DESIGN, hyper, 1e-3), atol=1e-5)
        assert fitted.residual < 1e-8
        among, _, target, mean = dense_equations(task, DESIGN, hyper)
        weights = fitted.weights.reshape(-1, 3)
        error = target - (among + 1e-3 * np.eye(len(among))) @ weights[task.train]
        relative = np.linalg.norm(error, axis=0) / np.linalg.norm(target, axis=0)
        assert fitted.residual == pytest.approx(relative.max(), rel=1e-2)
        np.testing.assert_allclose(fitted.mean, mean, rtol=1e-9)
        assert np.count_nonzero(weights.any(1)) == len(task.train)


@pytest.mark.parametrize(("grid", "kind", "drawn"), [((30,), "rows", True), ((6, 5, 4), "quarter", False)])
def test_the_regression_of_a_signal_and_of_a_volume_is_that_of_a_dense_solution(grid, kind, drawn):
    task = split(noise(*grid, 1), kind)
    fitted = regress(DESIGN, Hyper(scale=2.0), task, 1e-2, drawn)
    np.testing.assert_allclose(fitted.image, dense_ridge(task, DESIGN, Hyper(scale=2.0), 1e-2, drawn), atol=1e-5)


@pytest.mark.parametrize(("grid", "kind"), [((3, 4), "checkerboard"), ((2, 20), "all"), ((2, 2), "all")])
def test_the_regression_of_a_few_pixels_is_that_of_a_dense_solution(grid, kind):
    task = split(noise(*grid, 3), kind)
    fitted = regress(DESIGN, Hyper(scale=2.0), task)
    np.testing.assert_allclose(fitted.image, dense_ridge(task, DESIGN, Hyper(scale=2.0), 1e-3), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "shape", "lines"),
    [
        ("all", (12, 10), ((0, 12, 1), (0, 10, 1))),
        ("quarter", (6, 5), ((0, 11, 2), (0, 9, 2))),
        ("rows", (6, 10), ((0, 11, 2), (0, 10, 1))),
        ("checkerboard", (12, 10), ((0, 12, 1), (0, 10, 1))),
    ],
)
def test_training_pixels_are_found_on_the_coarsest_sublattice(kind, shape, lines):
    task = split(noise(*GRID, 2), kind)
    lattice, equations = equations_of(task)
    assert (lattice.grid, lattice.lines, lattice.shape) == (GRID, lines, shape)
    assert lattice.filled == equations.mask.all() == (kind != "checkerboard")
    index = np.arange(120).reshape(GRID)
    np.testing.assert_array_equal(index[lattice.where][equations.mask], task.train)
    colors = np.asarray(task.colors, np.float64)[task.train]
    np.testing.assert_allclose(equations.target[:, equations.mask].T, colors - colors.mean(0), atol=1e-12)
    np.testing.assert_allclose(equations.mean, colors.mean(0))
    assert not equations.target[:, ~equations.mask].any()


def test_a_single_training_pixel_colours_the_whole_image():
    task = Task(noise(3, 4, 2, 3), np.asarray([7]), np.asarray([0]))
    fitted = regress(DESIGN, Hyper(), task)
    expected = np.broadcast_to(task.image.reshape(-1, 3)[7], (3, 4, 2, 3))
    np.testing.assert_allclose(fitted.image, expected, rtol=1e-6)


def test_a_constant_colour_is_fitted_exactly_and_without_warnings():
    image = noise(*GRID, 3)
    image[..., 1] = 0.25
    fitted = regress(DESIGN, Hyper(scale=2.0), split(image, "random", 0.4), tolerance=1e-6)
    np.testing.assert_allclose(fitted.image[..., 1], 0.25, atol=1e-7)
    assert 0 < fitted.residual <= 1.1e-6


def test_an_unsolved_regression_is_an_error_and_a_nearly_solved_one_says_so():
    task = noisy("random")
    with pytest.raises(NotConverged, match="after 1 iterations"):
        regress(DESIGN, Hyper(scale=1.0), task, 1e-6, iterations=1)
    with pytest.raises(NotConverged, match="nan"):
        regress(DESIGN, Hyper(scale=float("nan")), task)
    rough = regress(DESIGN, Hyper(scale=1.0), task, tolerance=9e-4)
    assert 1e-6 < rough.residual <= UNUSABLE


def blocks(field, task, index):
    """Means over pairs of pixels beside each other."""
    row, column = np.divmod(index, 5)
    return sum(field(np.stack([row, 2 * column + half], -1)) for half in (0, 1)) / 2


def test_a_task_that_measures_anything_but_pixels_is_refused_in_one_line():
    task = measured(noise(*GRID, 3), noise(12, 5, 3), blocks)
    with pytest.raises(Refused, match="task=split") as refused:
        equations_of(task)
    assert "\n" not in str(refused.value)
