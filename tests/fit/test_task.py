"""Tasks: where the pixels are, and who sees which."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from inr_jax.fit.curves import lines
from inr_jax.fit.task import TASKS, as_field, at_pixels, coordinates, measured, pixel_coordinates, places, side
from inr_jax.settings import Refused, bind, declared
from inr_jax.tasks.splits import KINDS, split

GRIDS = [(8, 8), (7, 9), (6, 5), (16, 1), (11,), (12,)]


def picture(grid, channels=3, seed=0):
    return np.random.default_rng(seed).random((*grid, channels), np.float32)


def numbers(grid):
    return np.arange(np.prod(grid)).reshape(grid)


@pytest.mark.parametrize("grid", GRIDS)
def test_unit_coordinates_are_i_over_n_row_then_column(grid):
    coords = pixel_coordinates(jnp.arange(np.prod(grid)), grid, "unit")
    axes = [np.arange(n) / n for n in grid]
    wanted = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(grid))
    np.testing.assert_allclose(coords, wanted, atol=1e-7, rtol=0)
    assert (coords >= 0).all() and (coords < 1).all()


@pytest.mark.parametrize("grid", GRIDS)
def test_signed_coordinates_include_both_ends(grid):
    coords = pixel_coordinates(jnp.arange(np.prod(grid)), grid, "signed")
    axes = [np.linspace(-1, 1, n) for n in grid]
    wanted = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(grid))
    np.testing.assert_allclose(coords, wanted, atol=2e-7, rtol=0)
    assert coords.min() == -1


@pytest.mark.parametrize("domain", ["unit", "signed"])
def test_coordinates_follow_the_indices_in_any_order(domain):
    order = np.random.default_rng(0).permutation(56)
    every = pixel_coordinates(jnp.arange(56), (7, 8), domain)
    some = jax.jit(pixel_coordinates, static_argnums=(1, 2))(jnp.asarray(order), (7, 8), domain)
    np.testing.assert_allclose(some, every[order], atol=2e-7, rtol=0)


@pytest.mark.parametrize("domain", ["unit", "signed"])
def test_side_is_the_extent_of_the_coordinates(domain):
    coords = pixel_coordinates(jnp.arange(4096), (4096,), domain)
    assert float(coords.max() - coords.min()) == pytest.approx(side(domain), rel=1e-3)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_pixel_is_both_trained_on_and_held_out(kind, grid):
    task = split(picture(grid), kind)
    both = np.concatenate([task.train, task.heldout])
    assert len(np.unique(both)) == len(both)
    assert both.min() >= 0 and both.max() < np.prod(grid)
    assert task.train.dtype == task.heldout.dtype == np.int32
    for part in (task.train, task.heldout):
        np.testing.assert_array_equal(part, np.sort(part))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kind", ["all", "rows", "checkerboard", "random"])
def test_every_pixel_is_trained_on_or_held_out(kind, grid):
    task = split(picture(grid), kind)
    both = np.sort(np.concatenate([task.train, task.heldout]))
    np.testing.assert_array_equal(both, np.arange(np.prod(grid)))


@pytest.mark.parametrize("grid", GRIDS)
def test_all_holds_nothing_out(grid):
    assert split(picture(grid), "all").heldout.size == 0


@pytest.mark.parametrize("grid", GRIDS)
def test_quarter_trains_even_rows_and_columns_and_holds_out_odd_ones(grid):
    task, pixels = split(picture(grid), "quarter"), numbers(grid)
    even, odd = (slice(None, None, 2),) * len(grid), (slice(1, None, 2),) * len(grid)
    np.testing.assert_array_equal(task.train, pixels[even].ravel())
    np.testing.assert_array_equal(task.heldout, pixels[odd].ravel())


@pytest.mark.parametrize("grid", GRIDS)
def test_rows_trains_even_rows_and_holds_out_odd_ones(grid):
    task, pixels = split(picture(grid), "rows"), numbers(grid)
    np.testing.assert_array_equal(task.train, pixels[::2].ravel())
    np.testing.assert_array_equal(task.heldout, pixels[1::2].ravel())


def test_checkerboard_trains_every_second_pixel_of_every_row():
    task, pixels = split(picture((7, 9)), "checkerboard"), numbers((7, 9))
    wanted = np.concatenate([pixels[::2, ::2].ravel(), pixels[1::2, 1::2].ravel()])
    np.testing.assert_array_equal(task.train, np.sort(wanted))


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("grid", [(16, 16), (13, 11), (101,)])
def test_random_trains_exactly_the_fraction(grid, fraction):
    task = split(picture(grid), "random", fraction)
    assert len(task.train) == round(fraction * np.prod(grid))


def test_random_pixels_are_spread_over_the_image():
    task = split(picture((64, 64)), "random", 0.5)
    where = np.zeros((64, 64))
    where.flat[task.train] = 1
    quarters = where.reshape(2, 32, 2, 32).mean((1, 3))
    # Three standard deviations of a mean of 1024 coin tosses.
    np.testing.assert_allclose(quarters, 0.5, atol=3 * 0.5 / 32)


@pytest.mark.parametrize("how", [{"kind": "random"}, {"kind": "quarter", "validation": 0.25}])
def test_a_split_depends_on_its_seed_and_on_nothing_else(how):
    one, again, other = (split(picture((16, 16), seed=i), seed=s, **how) for i, s in enumerate([3, 3, 4]))
    np.testing.assert_array_equal(one.train, again.train)
    np.testing.assert_array_equal(one.heldout, again.heldout)
    assert not np.array_equal(one.train, other.train)


@pytest.mark.parametrize("grid", [(16, 16), (15, 21), (40,)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("validation", [0.1, 0.25, 0.5])
def test_the_validation_part_comes_out_of_the_training_pixels_alone(kind, grid, validation):
    before = split(picture(grid), kind, seed=1)
    after = split(picture(grid), kind, seed=1, validation=validation)
    both = np.concatenate([after.train, after.heldout])
    assert after.train.size
    np.testing.assert_array_equal(np.sort(both), before.train)
    assert not set(both) & set(before.heldout)


@pytest.mark.parametrize("kind", ["all", "quarter", "checkerboard", "random"])
@pytest.mark.parametrize("validation", [0.1, 0.25, 0.3, 0.5])
def test_the_validation_part_is_as_large_as_asked(kind, validation):
    pixels = len(split(picture((16, 15)), kind).train)
    part = len(split(picture((16, 15)), kind, validation=validation).heldout)
    assert abs(part - validation * pixels) <= 1


@pytest.mark.parametrize("width", [20, 31, 64])
@pytest.mark.parametrize("validation", [0.1, 0.25, 0.5])
def test_under_rows_the_validation_part_is_evenly_spaced_columns_of_the_training_rows(width, validation):
    pixels = numbers((17, width))
    after = split(picture((17, width)), "rows", validation=validation)
    columns = np.unique(after.heldout % width)
    np.testing.assert_array_equal(after.heldout, pixels[::2, columns].ravel())
    assert len(set(np.diff(columns))) <= 1
    assert abs(len(columns) - validation * width) < 1


@pytest.mark.parametrize("kind", ["rows", "quarter"])
def test_asking_for_a_validation_part_never_gives_an_empty_one(kind):
    """A part that rounds to nothing would leave nothing to choose settings by, without a word."""
    assert split(picture((16, 9)), kind, validation=0.1).heldout.size > 0


def test_a_fraction_that_leaves_nothing_to_train_on_is_refused():
    with pytest.raises(Refused, match="no pixel"):
        split(picture((4, 4)), "random", 0.01)


def test_an_unknown_split_is_refused_with_what_is_allowed():
    with pytest.raises(Refused, match=r"'quartet'.*quarter"):
        split(picture((4, 4)), "quartet")


@pytest.mark.parametrize("grid", [(5, 7), (12,)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_task_knows_its_grid_channels_and_colours(grid, channels):
    image = picture(grid, channels)
    task = split(image, "rows")
    assert (task.grid, task.channels) == (grid, channels)
    np.testing.assert_array_equal(task.colors, image.reshape(-1, channels))
    np.testing.assert_array_equal(task.colors[task.train], image[::2].reshape(-1, channels))


def test_a_task_is_a_pytree_that_jit_and_vmap_take_as_an_argument():
    image = picture((6, 8))
    task = split(image, "quarter")
    assert len(jax.tree.leaves(task)) == 3 and task.targets is None
    mean = jax.jit(lambda t: t.colors[t.train].mean())
    assert float(mean(task)) == pytest.approx(image[::2, ::2].mean(), rel=1e-5)
    members = jax.vmap(lambda k, t: k * t.colors[t.heldout].mean(), in_axes=(0, None))
    wanted = np.arange(3) * image[1::2, 1::2].mean()
    np.testing.assert_allclose(members(jnp.arange(3.0), task), wanted, rtol=1e-5)


@pytest.mark.parametrize(("grid", "axis"), [((6, 9), 0), ((6, 9), 1), ((7,), 0), ((3, 4, 5), 1)])
def test_lines_follow_one_axis_and_spread_over_the_others(grid, axis):
    found = lines(grid, axis, 4)
    assert found.shape == (min(4, int(np.prod(grid)) // grid[axis]), grid[axis])
    places = np.stack(np.unravel_index(found, grid), -1)
    assert (places[..., axis] == np.arange(grid[axis])).all()
    others = np.delete(places, axis, -1)
    assert (others == others[:, :1]).all() and len(np.unique(others[:, 0], axis=0)) == len(found)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("domain", ["unit", "signed"])
def test_coordinates_of_places_between_pixels_lie_between_theirs(grid, domain):
    where = places(jnp.arange(np.prod(grid)), grid)
    np.testing.assert_array_equal(where, np.stack(np.unravel_index(np.arange(np.prod(grid)), grid), -1))
    np.testing.assert_array_equal(
        coordinates(where, grid, domain), pixel_coordinates(jnp.arange(len(where)), grid, domain)
    )
    steps = [1 / n if domain == "unit" else 2 / max(n - 1, 1) for n in grid]
    shifted = coordinates(where + 0.5, grid, domain) - coordinates(where, grid, domain)
    np.testing.assert_allclose(shifted, np.broadcast_to(np.multiply(steps, 0.5), shifted.shape), atol=2e-7)


@pytest.mark.parametrize("grid", [(7,), (5, 6), (4, 3, 5)])
def test_an_image_as_a_field_is_scipys_linear_interpolation(grid):
    image = picture(grid, 2)
    where = np.random.default_rng(1).random((40, len(grid))).astype(np.float32) * (np.asarray(grid, np.float32) + 1) - 1
    found = as_field(image)(where)
    for channel in range(2):
        wanted = map_coordinates(image[..., channel].astype(np.float64), where.T, order=1, mode="nearest")
        np.testing.assert_allclose(found[:, channel], wanted, atol=1e-5)
    np.testing.assert_array_equal(as_field(image)(places(np.arange(np.prod(grid)), grid)), image.reshape(-1, 2))


def doubled(gain, field, task, index):
    return gain[index, None] * at_pixels(field, task, index)[:, :1]


def test_a_measured_task_knows_its_targets_and_hands_its_arrays_to_the_operator():
    image, gain = picture((6, 8)), np.arange(48, dtype=np.float32)
    targets = gain[:, None] * image.reshape(-1, 3)[:, :1]
    task = measured(image, targets.reshape(6, 8, 1), doubled, gain)
    assert (task.grid, task.channels, task.pixelwise) == ((6, 8), 3, False)
    np.testing.assert_array_equal(task.measured, targets)
    np.testing.assert_array_equal(task.train, np.arange(48))
    np.testing.assert_array_equal(task.heldout, np.arange(48))

    # The truth as a field gives the targets, also where the task is an argument of a compiled program.
    @jax.jit
    def observed(task, index):
        return task.observe(lambda where: task.image[tuple(where.astype(int).T)], task, index)

    np.testing.assert_allclose(observed(task, jnp.asarray([5, 40, 7])), targets[[5, 40, 7]], rtol=1e-6)


def test_the_targets_of_a_split_are_its_pixels():
    task = split(picture((6, 8)), "quarter")
    assert task.pixelwise
    np.testing.assert_array_equal(task.measured, task.colors)


def test_the_split_task_is_the_split_with_its_settings_by_name():
    image, settings = picture((16, 9)), {"split": "random", "fraction": 0.5, "split_seed": 3, "validation": 0.25}
    assert {setting.name for setting in declared(TASKS["split"])} == {*settings}
    by_name, wanted = bind(TASKS["split"], settings)(image), split(image, "random", 0.5, 3, 0.25)
    jax.tree.map(np.testing.assert_array_equal, by_name, wanted)
