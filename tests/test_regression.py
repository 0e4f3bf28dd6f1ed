"""Kernel regression against dense solutions, and what the scale curve must look like."""

import dataclasses

import numpy as np
import pytest
import scipy.linalg

from inr_jax import images, kernel, regression, tasks
from inr_jax.settings import Design, Hyper, Refused

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


def noise(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


def dense(ntk, grid, rows, columns):
    """The kernel's matrix between row-major pixel indices."""
    where = [np.stack(np.unravel_index(np.asarray(i), grid), axis=-1) for i in (rows, columns)]
    between = where[0][:, None] - where[1][None] + np.asarray(grid) - 1
    return ntk[tuple(np.moveaxis(between, -1, 0))]


def dense_regression(ntk, task, ridge):
    colors = np.asarray(task.colors, np.float64)
    mean = colors[task.train].mean(0)
    matrix = dense(ntk, task.grid, task.train, task.train) + ridge * np.eye(len(task.train))
    weights = np.linalg.solve(matrix, colors[task.train] - mean)
    every = np.arange(len(colors))
    return mean + dense(ntk, task.grid, every, task.train) @ weights


@pytest.mark.parametrize("scale", [0.5, 3.0])
@pytest.mark.parametrize("split", SPLITS)
def test_the_regression_is_that_of_a_dense_solution(split, scale):
    task = tasks.split(noise(*GRID, 3), split.split(",")[0], **SPLITS[split])
    ntk = kernel.on_grid(DESIGN, Hyper(scale=scale), GRID)
    fitted = regression.regress(ntk, task, 1e-3, tolerance=1e-9)
    expected = dense_regression(ntk, task, 1e-3).reshape(*GRID, 3)
    np.testing.assert_allclose(fitted.image, expected, atol=1e-5)
    assert fitted.residual < 1e-8


def test_the_regression_of_a_signal_is_that_of_a_dense_solution():
    task = tasks.split(noise(30, 1), "rows")
    ntk = kernel.on_grid(DESIGN, Hyper(scale=2.0), (30,), channels=1)
    expected = dense_regression(ntk, task, 1e-2)
    actual = regression.regress(ntk, task, 1e-2, tolerance=1e-9).image
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("grid", [(9,), (7, 4), (3, 4, 5)])
def test_the_product_by_fourier_transforms_is_the_dense_product(grid):
    ntk = noise(*(2 * n - 1 for n in grid)).astype(np.float64)
    ntk = ntk + np.flip(ntk)
    x = noise(2, *grid).astype(np.float64)
    every = np.arange(np.prod(grid))
    expected = x.reshape(2, -1) @ dense(ntk, grid, every, every).T
    actual = regression.convolution(ntk, grid)(x)
    np.testing.assert_allclose(actual.reshape(2, -1), expected, rtol=1e-10)


def test_the_preconditioner_of_a_line_is_the_inverse_of_the_nearest_circulant():
    ntk = kernel.on_grid(DESIGN, Hyper(scale=2.0), (9,))
    every = np.arange(9)
    matrix = dense(ntk, (9,), every, every)
    # The nearest in the Frobenius norm has the mean of every wrapped diagonal.
    first = [np.mean([matrix[(i + k) % 9, i] for i in every]) for k in every]
    nearest = scipy.linalg.circulant(first) + 0.1 * np.eye(9)
    x = noise(1, 9).astype(np.float64)
    actual = regression.inverse_circulant(ntk, np.ones(9, bool), 0.1)(x)
    np.testing.assert_allclose(actual[0], np.linalg.solve(nearest, x[0]), rtol=1e-8)


@pytest.mark.parametrize("split", ["quarter", "rows", "all", "checkerboard"])
def test_the_preconditioner_saves_most_of_the_iterations(split):
    task = tasks.split(images.load("astronaut", size=64), split)
    ntk = kernel.on_grid(DESIGN, Hyper(scale=2.0), task.grid)
    lattice = regression.enclosing_lattice(task)
    mask, on_lattice = lattice.mask, regression.sampled(ntk, lattice)
    multiply = regression.convolution(on_lattice, mask.shape)
    target = mask * noise(1, *mask.shape).astype(np.float64)

    def iterations(precondition):
        masked = lambda x: mask * multiply(x) + 1e-3 * x  # noqa: E731
        return regression.conjugate_gradients(masked, precondition, target, limit=500)[2]

    inverse = regression.inverse_circulant(on_lattice, mask, 1e-3)
    assert iterations(lambda x: mask * inverse(x)) < 0.5 * iterations(lambda x: x)


@pytest.mark.parametrize(
    ("split", "shape", "filled"),
    [
        ("all", (12, 10), True),
        ("quarter", (6, 5), True),
        ("rows", (6, 10), True),
        ("checkerboard", (12, 10), False),
    ],
)
def test_training_pixels_are_found_on_the_coarsest_sublattice(split, shape, filled):
    task = tasks.split(noise(*GRID, 1), split)
    lattice = regression.enclosing_lattice(task)
    assert lattice.mask.shape == shape
    assert lattice.mask.all() == filled
    index = np.arange(120).reshape(GRID)
    np.testing.assert_array_equal(index[lattice.where][lattice.mask], task.train)


def test_a_single_training_pixel_colours_the_whole_image():
    task = tasks.Task(noise(4, 5, 3), np.asarray([7]), np.asarray([0]))
    ntk = kernel.on_grid(DESIGN, Hyper(), (4, 5))
    fitted = regression.regress(ntk, task)
    np.testing.assert_allclose(fitted.image, np.broadcast_to(task.image[1, 2], (4, 5, 3)), rtol=1e-6)


def test_a_constant_colour_is_fitted_exactly_and_without_warnings():
    image = noise(*GRID, 3)
    image[..., 1] = 0.25
    ntk = kernel.on_grid(DESIGN, Hyper(scale=2.0), GRID)
    fitted = regression.regress(ntk, tasks.split(image, "random"))
    np.testing.assert_allclose(fitted.image[..., 1], 0.25, atol=1e-7)
    assert 0 < fitted.residual <= regression.TOLERANCE


def test_an_unsolved_regression_is_an_error_and_a_nearly_solved_one_says_so():
    task = tasks.split(noise(*GRID, 3), "random")
    ntk = kernel.on_grid(DESIGN, Hyper(scale=1.0), GRID)
    with pytest.raises(regression.NotConverged, match="after 2 iterations"):
        regression.regress(ntk, task, iterations=2)
    with np.errstate(invalid="ignore"), pytest.raises(regression.NotConverged, match="nan"):
        regression.regress(np.full_like(ntk, np.nan), task, iterations=2)
    rough = regression.regress(ntk, task, tolerance=5e-4)
    assert regression.TOLERANCE < rough.residual <= regression.UNUSABLE


def test_the_curve_rises_to_a_scale_and_falls_far_beyond_it():
    task = tasks.split(images.load("astronaut", size=64), "quarter")
    curve = regression.scale_curve(Design(), [1, 4, 16, 64], task)
    np.testing.assert_array_equal(curve.scale, [1, 4, 16, 64])
    assert curve.psnr_heldout[3] < curve.psnr_heldout[:2].max() - 3
    assert (curve.psnr_train > curve.psnr_heldout + 5).all()
    assert (curve.residual <= regression.TOLERANCE).all()
    assert (curve.iterations < 200).all()


def test_the_curve_scores_heldout_pixels_as_the_definition_of_record_does():
    task = tasks.split(noise(*GRID, 3), "quarter")
    curve = regression.scale_curve(DESIGN, [2.0], task, hyper=Hyper(seed=3), ridge=1e-2)
    ntk = kernel.on_grid(DESIGN, Hyper(scale=2.0, seed=3), GRID)
    image = np.clip(dense_regression(ntk, task, 1e-2), 0, 1)
    error = np.mean((image[task.heldout] - np.asarray(task.colors)[task.heldout]) ** 2)
    assert curve.psnr_heldout[0] == pytest.approx(-10 * np.log10(error), abs=1e-3)


def test_a_curve_without_heldout_pixels_has_none_of_their_scores():
    task = tasks.split(noise(*GRID, 3), "all")
    curve = regression.scale_curve(DESIGN, [1.0, 2.0], task, drawn=False)
    assert np.isnan(curve.psnr_heldout).all()
    assert np.isfinite(curve.psnr_train).all()


def test_the_curve_is_smooth_where_the_frequencies_are_endless():
    task = tasks.split(images.load("astronaut", size=32), "quarter")
    many = regression.scale_curve(Design(frequencies=20_000), [2.0], task)
    endless = regression.scale_curve(Design(frequencies=20_000), [2.0], task, drawn=False)
    assert many.psnr_heldout == pytest.approx(endless.psnr_heldout, abs=0.1)


def test_what_the_theory_does_not_cover_is_refused():
    task = tasks.split(noise(*GRID, 3), "quarter")
    for design in (Design(network="siren"), dataclasses.replace(DESIGN, encoding="identity")):
        with pytest.raises(Refused, match="has no kernel"):
            regression.scale_curve(design, [1.0], task)
    with pytest.raises(Refused, match="ridge"):
        regression.scale_curve(DESIGN, [1.0], task, ridge=0.0)
    with pytest.raises(Refused, match="scale=-1"):
        regression.scale_curve(DESIGN, [-1.0], task)
