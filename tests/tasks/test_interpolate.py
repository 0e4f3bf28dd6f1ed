"""Baselines: interpolation, against NumPy's and SciPy's own and on functions that it must reproduce."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline, make_smoothing_spline
from scipy.spatial import ConvexHull

from inr_jax import tasks
from inr_jax.tasks import interpolate as baselines

METHODS = ["linear", "cubic"]
KINDS = ["all", "quarter", "rows", "checkerboard", "random"]
GRIDS = [(16, 16), (15, 18), (13, 9)]


def noise(grid, channels=3, seed=0):
    return np.random.default_rng(seed).random((*grid, channels), np.float32)


def plane(grid):
    """A linear function of the place, other in each channel, in [0, 1]."""
    where = np.moveaxis(np.indices(grid), 0, -1) / np.array(grid)
    return (where @ np.array([[0.5, 0.1, 0.9], [0.4, 0.8, 0.0]])[: len(grid)]).astype(np.float32)


def cubic(grid):
    """A product of cubic polynomials of row and column, in [0, 1]."""
    x = [np.arange(n) / n for n in grid]
    one = 0.5 + 0.3 * x[0] - 1.2 * x[0] ** 2 + 1.3 * x[0] ** 3
    if len(grid) == 1:
        return one[:, None].astype(np.float32)
    return np.outer(one, 0.2 + x[1] - 2 * x[1] ** 2 + 1.5 * x[1] ** 3)[..., None].astype(np.float32)


def beyond(task):
    """How far each pixel is outside the hull of the training pixels, in pixels; below zero inside."""
    places = np.stack(np.unravel_index(np.asarray(task.train), task.grid), -1)
    planes = ConvexHull(places).equations
    every = np.moveaxis(np.indices(task.grid), 0, -1)
    return (every @ planes[:, :-1].T + planes[:, -1]).max(-1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grid", GRIDS)
def test_training_pixels_are_kept_and_every_pixel_gets_a_colour(method, kind, grid):
    image = noise(grid)
    task = tasks.split(image, kind)
    found = baselines.interpolate(task, method)
    assert found.shape == image.shape
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.reshape(-1, 3)[task.train], image.reshape(-1, 3)[task.train], atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grid", GRIDS)
def test_a_linear_function_is_exact_between_training_pixels(method, kind, grid):
    image = plane(grid)
    task = tasks.split(image, kind, fraction=0.4)
    inside = beyond(task) < -1e-6
    assert inside.mean() > 0.5
    np.testing.assert_allclose(baselines.interpolate(task, method)[inside], image[inside], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["quarter", "rows"])
@pytest.mark.parametrize("grid", [*GRIDS, (20,), (21,)])
def test_a_cubic_function_is_exact_everywhere_on_a_lattice(kind, grid):
    image = cubic(grid)
    found = baselines.interpolate(tasks.split(image, kind), "cubic")
    np.testing.assert_allclose(found, image, atol=1e-4, rtol=0)


@pytest.mark.parametrize("grid", [(16, 7), (21, 8), (30,)])
def test_rows_agree_with_numpy_and_scipy_column_by_column(grid):
    image = noise(grid, 2)
    task = tasks.split(image, "rows")
    known = np.unique(np.asarray(task.train) // int(np.prod(grid[1:])))
    at = np.arange(grid[0])
    columns = image.reshape(grid[0], -1).astype(np.float64)
    linear = np.stack([np.interp(at, known, column[known]) for column in columns.T], -1)
    smooth = CubicSpline(known, columns[known], bc_type="not-a-knot")(at)
    for method, wanted in (("linear", linear), ("cubic", smooth)):
        found = baselines.interpolate(task, method).reshape(grid[0], -1)
        np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("grid", GRIDS)
def test_quarter_is_the_product_of_one_dimensional_interpolations(grid):
    image = noise(grid)
    task = tasks.split(image, "quarter")
    rows, columns = (np.arange(n) for n in grid)
    coarse = image[::2, ::2].astype(np.float64)

    def linear(known, values, at):
        return np.apply_along_axis(lambda v: np.interp(at, known, v), 0, values)

    def smooth(known, values, at):
        return CubicSpline(known, values, axis=0)(at)

    for method, along in (("linear", linear), ("cubic", smooth)):
        tall = along(rows[::2], coarse, rows)
        wanted = along(columns[::2], tall.swapaxes(0, 1), columns).swapaxes(0, 1)
        np.testing.assert_allclose(baselines.interpolate(task, method), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_all_gives_the_image_back(method):
    image = noise((9, 12))
    np.testing.assert_array_equal(baselines.interpolate(tasks.split(image, "all"), method), image)


@pytest.mark.parametrize("fraction", [0.2, 0.5])
@pytest.mark.parametrize("method", METHODS)
def test_outside_a_triangulation_the_nearest_training_pixel_counts(method, fraction):
    image = noise((14, 14), 1)
    task = tasks.split(image, "random", fraction, seed=2)
    places = np.stack(np.unravel_index(np.asarray(task.train), task.grid), -1)
    every = np.moveaxis(np.indices(task.grid), 0, -1).reshape(-1, 2)
    outside = beyond(task).ravel() > 1e-6
    assert outside.any()
    distance = ((every[outside][:, None] - places[None]) ** 2).sum(-1)
    found = baselines.interpolate(task, method).reshape(-1)[outside]
    colors = image.reshape(-1)[task.train]
    # More than one may be nearest.
    for value, d in zip(found, distance, strict=True):
        assert np.isclose(colors[d == d.min()], value, atol=1e-6).any()


def test_linear_never_leaves_the_range_and_cubic_is_not_clipped():
    image = (noise((24, 24), 1) > 0.5).astype(np.float32)
    task = tasks.split(image, "quarter")
    linear, smooth = (baselines.interpolate(task, method) for method in METHODS)
    assert linear.min() >= 0 and linear.max() <= 1
    assert smooth.min() < 0 and smooth.max() > 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("grid", [(2, 2), (2, 3), (3, 2), (2,), (4, 4)])
@pytest.mark.parametrize("kind", ["quarter", "rows"])
def test_a_lattice_with_one_line_continues_it(method, kind, grid):
    """Along an axis with one training line every pixel takes that line's."""
    image = noise(grid)
    found = baselines.interpolate(tasks.split(image, kind), method)
    assert np.isfinite(found).all()
    if grid[0] == 2:
        np.testing.assert_allclose(found[1], found[0], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("train", [[0], [0, 1], [0, 5], [0, 6, 12], [1, 5, 9], [0, 1, 5]], ids=str)
def test_few_training_pixels_still_give_every_pixel_a_colour_of_theirs(method, train):
    """One pixel, two, three in a line, three around a corner: nothing is triangulated but the last."""
    image = noise((5, 5), 1)
    heldout = np.setdiff1d(np.arange(25), train).astype(np.int32)
    task = tasks.Task(image, np.array(train, np.int32), heldout)
    found = baselines.interpolate(task, method).reshape(-1)
    colors = image.reshape(-1)[train]
    np.testing.assert_allclose(found[train], colors, atol=1e-5)
    assert np.isfinite(found).all()
    assert found.min() >= colors.min() - 1e-5 and found.max() <= colors.max() + 1e-5


@pytest.mark.parametrize("grid", [(32, 24), (40,)])
def test_a_smoothing_spline_follows_the_truth_under_noise_better_than_interpolation(grid):
    truth, chance = 0.4 + 0.3 * cubic(grid), np.random.default_rng(1)
    noisy = (truth + 0.05 * chance.normal(size=truth.shape)).astype(np.float32)
    task = tasks.split(noisy, "quarter" if len(grid) == 2 else "rows")
    errors = {m: np.sqrt(np.mean((found - truth) ** 2)) for m, found in baselines.without_network(task).items()}
    assert errors["smoothing spline"] < 0.6 * min(errors["linear"], errors["cubic"])


def test_the_strength_of_a_smoothing_spline_is_what_scipy_finds_by_generalised_cross_validation():
    known = np.arange(0, 80, 2)
    values = np.sin(known / 9) / 3 + 0.5 + 0.05 * np.random.default_rng(2).normal(size=len(known))
    signal = np.interp(np.arange(80), known, values)[:, None].astype(np.float32)
    found = baselines.smoothing_spline(tasks.split(signal, "rows"))[:79, 0]
    wanted = make_smoothing_spline(known / 2, values)(np.arange(79) / 2)
    np.testing.assert_allclose(found, wanted, atol=5e-3)


def test_a_smoothing_spline_is_of_lattices_that_are_neither_too_small_nor_too_large():
    assert baselines.smoothing_spline(tasks.split(noise((16, 16)), "random", 0.4)) is None
    assert baselines.smoothing_spline(tasks.split(noise((16, 6)), "quarter")) is None
    assert baselines.smoothing_spline(tasks.split(noise((3000,), 1), "rows")) is None
