"""One member: its step against its definition, its randomness, its optimizers and schedules, what it observes."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import skimage.measure

from inr_jax.fit import member
from inr_jax.fit.curves import curve_point, picture_of
from inr_jax.fit.design import Design, Hyper, reads
from inr_jax.fit.metrics import METRICS, View
from inr_jax.fit.optimizers import SCHEDULES
from inr_jax.fit.task import Task, at_pixels, measured, pixel_coordinates
from inr_jax.settings import Refused
from inr_jax.tasks.splits import split

IMAGE = np.random.default_rng(0).random((8, 8, 3)).astype(np.float32)
TASK = split(IMAGE, "quarter")
SMALL = Design(frequencies=4, width=8, depth=2, steps=10)
SGD = SMALL.replace(optimizer="sgd")
NAMES = tuple(METRICS)
FIXED = ("identity", "basic", "dyadic", "gaussian", "positional", "octaves")

init = member.init  # not compiled as a whole: most designs here draw the same
step = jax.jit(member.step, static_argnums=(0, 5))
advance = jax.jit(member.advance, static_argnums=(0, 6, 7))


@partial(jax.jit, static_argnums=(0, 4, 5))
def evaluate(design, hyper, task, state, tile, metrics) -> tuple:
    return member.evaluate(task, member.field(design, hyper, task, state), tile, metrics)


def hyper(seed=0, **numbers) -> Hyper:
    """A member's numbers; as arrays, so that other values are not other programs."""
    return Hyper(seed=np.int32(seed), **{name: np.float32(value) for name, value in numbers.items()})


def trained(design, hyper, steps, block=0, task=TASK) -> tuple[member.State, member.State]:
    """The member before and after these steps."""
    before = init(design, hyper, task)
    return before, advance(design, hyper, task, before, 0, steps, block)[0]


def fitted(*arguments, **more) -> member.State:
    return trained(*arguments, **more)[1]


def leaves(tree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def predicted(design, hyper, state, index) -> jax.Array:
    coords = pixel_coordinates(index, TASK.grid, design.domain)
    return member.predict(design, hyper, state.params, state.data, coords, 3)


@partial(jax.jit, static_argnums=0)
def squared_error(design, hyper, state) -> tuple:
    """The mean squared error on the training pixels, and its gradient."""

    def loss(params):
        colors = predicted(design, hyper, state._replace(params=params), TASK.train)
        return jnp.mean(jnp.square(colors - TASK.colors[TASK.train]))

    return jax.value_and_grad(loss)(state.params)


@pytest.mark.parametrize("encoding", FIXED)
def test_training_leaves_b_untouched_because_it_is_data(encoding):
    design, numbers = SMALL.replace(encoding=encoding), hyper(scale=2.0)
    before, after = trained(design, numbers, 10)
    assert not before.params["encoding"]
    assert ("B" in before.data["encoding"]) == ("learn_frequencies" in design)
    jax.tree.map(np.testing.assert_array_equal, before.data, after.data)
    assert np.abs(leaves(before.params) - leaves(after.params)).max() > 1e-4


@pytest.mark.parametrize("encoding", ["basic", "gaussian"])
def test_b_moves_only_when_it_is_asked_to_be_learned(encoding):
    design, numbers = SMALL.replace(encoding=encoding, learn_frequencies=True), hyper(scale=2.0)
    before, after = trained(design, numbers, 10)
    assert not before.data["encoding"]
    assert np.abs(before.params["encoding"]["B"] - after.params["encoding"]["B"]).max() > 1e-4


def test_a_step_of_sgd_is_the_mean_squared_errors_gradient():
    numbers = hyper(scale=2.0, learning_rate=0.5)
    state = init(SGD, numbers, TASK)
    new, loss = step(SGD, numbers, TASK, state, 0)
    value, gradient = squared_error(SGD, numbers, state)
    expected = jax.tree.map(lambda p, g: p - 0.5 * g, state.params, gradient)
    np.testing.assert_allclose(loss, value, rtol=1e-5)
    np.testing.assert_allclose(leaves(new.params), leaves(expected), atol=1e-6)


def test_a_step_of_adamw_follows_its_definition():
    rate, decay = 0.01, 0.3
    design, numbers = SMALL.replace(optimizer="adamw"), hyper(scale=2.0, learning_rate=rate, weight_decay=decay)
    state = init(design, numbers, TASK)
    new, _ = step(design, numbers, TASK, state, 0)
    g, p = leaves(squared_error(SGD, numbers, state)[1]), leaves(state.params).astype(np.float64)
    # After one step both moments, their bias corrected, are g and g².
    expected = p - rate * (g / (np.abs(g) + 1e-8) + decay * p)
    sure = np.abs(g) > 1e-5
    np.testing.assert_allclose(leaves(new.params)[sure], expected[sure], atol=2e-5)


def orthogonal(matrix: np.ndarray) -> np.ndarray:
    """The nearest orthogonal matrix."""
    u, _, v = np.linalg.svd(matrix)
    return u @ v


def test_muon_moves_square_hidden_matrices_by_orthogonal_ones_and_all_else_as_adam():
    design, numbers = SMALL.replace(optimizer="muon"), hyper(scale=2.0, learning_rate=0.01)
    state = init(SMALL, numbers, TASK)
    moved = [
        jax.tree.map(lambda a, b: np.asarray(a - b), after.params, before.params)
        for before, after in (trained(each, numbers, 1) for each in (design, SMALL))
    ]
    muon, adam = (each["network"] for each in moved)
    for layer in muon:
        for name in muon[layer]:
            if (layer, name) != ("Dense_1", "weight"):
                np.testing.assert_allclose(muon[layer][name], adam[layer][name], atol=1e-7)
    gradient = squared_error(SGD, numbers, state)[1]["network"]["Dense_1"]["weight"]
    wanted = -0.01 * 0.2 * 8**0.5 * orthogonal(np.asarray(gradient, np.float64))
    # Five Newton-Schulz iterations leave singular values between 0.7 and 1.2.
    cosine = np.sum(wanted * muon["Dense_1"]["weight"]) / np.linalg.norm(wanted)
    assert cosine == pytest.approx(np.linalg.norm(muon["Dense_1"]["weight"]), rel=0.1)
    assert np.linalg.norm(muon["Dense_1"]["weight"]) == pytest.approx(np.linalg.norm(wanted), rel=0.3)


@pytest.mark.parametrize("block", [3, 8])
def test_gradients_over_blocks_are_those_over_all_pixels(block):
    numbers = hyper(scale=2.0, learning_rate=0.1)
    blocks, whole = (fitted(SGD, numbers, 5, each) for each in (block, 0))
    np.testing.assert_allclose(leaves(blocks.params), leaves(whole.params), atol=1e-6)


def test_any_cut_into_segments_gives_the_same_bits():
    design, numbers = SMALL.replace(pixels=5), hyper(scale=2.0, seed=3)
    start = init(design, numbers, TASK)
    whole, _ = advance(design, numbers, TASK, start, 0, 10)
    for cuts in ((0, 1, 10), (0, 3, 6, 9, 10), tuple(range(11))):
        state = start
        for a, b in itertools.pairwise(cuts):
            state, _ = advance(design, numbers, TASK, state, a, b)
        np.testing.assert_array_equal(leaves(state), leaves(whole))


def test_random_pixels_are_training_pixels_and_differ_from_step_to_step():
    design, numbers = SGD.replace(pixels=6), hyper(scale=2.0, learning_rate=0.0)
    state = init(design, numbers, TASK)
    losses = [float(step(design, numbers, TASK, state, t)[1]) for t in range(6)]
    assert len(set(losses)) > 3
    black = TASK._replace(image=np.where(np.arange(64).reshape(8, 8, 1) % 2 == 0, IMAGE, np.float32(1e6)))
    assert all(step(design, numbers, black, state, t)[1] < 10 for t in range(6))


@pytest.mark.parametrize("schedule", ["constant", "cosine", "exponential"])
def test_schedules_multiply_the_rate_as_they_say(schedule):
    steps, rates = 10, []
    more = {"final_rate": 0.1} if schedule == "exponential" else {}
    SCHEDULES[schedule](lambda rate: rates.append(rate) or optax.sgd(rate), jnp.asarray(0.5), steps, 1, **more)
    (rate,) = rates
    at = [float(rate(t)) if callable(rate) else float(rate) for t in range(steps + 1)]
    expected = {
        "constant": lambda t: 0.5,
        "cosine": lambda t: 0.25 * (1 + np.cos(np.pi * t / steps)),
        "exponential": lambda t: 0.5 * 0.1 ** (t / steps),
    }[schedule]
    np.testing.assert_allclose(at, [expected(t) for t in range(steps + 1)], rtol=1e-5, atol=1e-7)
    ended = fitted(SGD.replace(schedule=schedule), hyper(scale=2.0, learning_rate=0.5), steps)
    assert np.isfinite(leaves(ended.params)).all()


def test_a_plateau_of_the_mean_loss_divides_the_rate_by_ten():
    design, numbers = SGD.replace(schedule="plateau", pixels=8), hyper(scale=2.0, learning_rate=0.0)

    def scales(steps):
        found = optax.tree_utils.tree_get_all_with_path(fitted(design, numbers, steps).opt_state, "scale")
        return [float(value) for _, value in found]

    # A rate of zero is a plateau from the start; an epoch is 16 pixels in steps of 8; patience is ten of them.
    assert [value for value in scales(200) if value < 0.2]
    assert scales(10) == [1.0]


def test_the_seed_and_the_role_alone_decide_what_is_drawn():
    a, b, other = (init(SMALL, hyper(scale=s, seed=seed), TASK) for s, seed in ((1.0, 1), (4.0, 1), (1.0, 2)))
    B = [each.data["encoding"]["B"] for each in (a, b, other)]
    np.testing.assert_allclose(4 * B[0], B[1], rtol=1e-6)
    np.testing.assert_array_equal(leaves(a.params), leaves(b.params))
    assert np.abs(leaves(a.params) - leaves(other.params)).max() > 0.01
    assert np.abs(B[0] - B[2]).max() > 0.01


def test_a_design_reads_what_its_functions_declare():
    assert "scale" not in reads(SMALL.replace(encoding="identity"))
    assert "omega_0" not in reads(SMALL) and "omega_0" in reads(SMALL.replace(network="siren"))
    assert "omega_0" in reads(SMALL.replace(init="siren"))
    assert "weight_decay" in reads(SMALL.replace(optimizer="adamw"))
    assert {"seed", "learning_rate", "steps", "width"} <= reads(SMALL).keys()


def test_scores_are_those_of_the_predicted_image_at_any_tile():
    numbers, every = hyper(scale=1.0), np.arange(64)
    state = fitted(SMALL, numbers, 10)
    image = np.asarray(predicted(SMALL, numbers, state, every))
    error = np.square(np.clip(image, 0, 1) - IMAGE.reshape(-1, 3))
    expected = [-10 * np.log10(error[where].mean()) for where in (TASK.train, TASK.heldout, every)]
    for tile in (64, 10):
        scores, picture = evaluate(SMALL, numbers, TASK, state, tile, NAMES)
        assert {*scores} == {*NAMES}
        np.testing.assert_allclose([scores[name] for name in NAMES[:3]], expected, atol=1e-4)
        assert np.abs(picture - image.reshape(8, 8, 3).clip(0, 1) * 255).max() <= 0.51


def brightest(view: View) -> jax.Array:
    return jnp.max(view.prediction) - jnp.max(view.image)


def test_a_custom_metric_stands_beside_the_packages_and_sees_prediction_and_truth():
    numbers = hyper(scale=1.0)
    state = init(SMALL, numbers, TASK)
    scores, _ = evaluate(SMALL, numbers, TASK, state, 64, (*NAMES, brightest))
    wanted = predicted(SMALL, numbers, state, np.arange(64)).max() - IMAGE.max()
    np.testing.assert_allclose(scores["brightest"], wanted, rtol=1e-5)


@pytest.mark.parametrize("grid", [(600, 200), (257, 300), (64, 64), (1000,)])
def test_a_picture_is_the_mean_of_whole_blocks_and_keeps_the_sides_in_proportion(grid):
    image = np.random.default_rng(0).uniform(-0.1, 1.1, (*grid, 3)).astype(np.float32)
    block = -(-max(grid) // 256)
    whole = tuple(slice(side // block * block) for side in grid)
    want = skimage.measure.block_reduce(image.clip(0, 1)[whole], (*[block] * len(grid), 1), np.mean)
    got = np.asarray(picture_of(jnp.asarray(image)))
    assert got.shape == want.shape and max(got.shape[:-1]) <= 256
    assert np.abs(got - want * 255).max() <= 0.51


def test_a_picture_of_a_large_image_shows_what_lies_between_the_training_pixels():
    image = np.zeros((512, 512, 1), np.float32)
    wrong = image.copy()
    wrong[1::2, 1::2] = 1.0
    assert np.asarray(picture_of(jnp.asarray(wrong))).mean() > np.asarray(picture_of(jnp.asarray(image))).mean() + 50


def test_the_loss_falls_to_nothing_on_a_constant_image():
    flat = split(np.full((8, 8, 3), 0.25, np.float32), "all")
    numbers = hyper(scale=1.0, learning_rate=1e-2)
    scores, _ = evaluate(SMALL, numbers, flat, fitted(SMALL, numbers, 500, task=flat), 64, NAMES)
    assert scores["psnr_train"] > 40 and np.isnan(scores["psnr_heldout"])


def test_the_l1_loss_is_the_mean_absolute_error_and_its_gradient_the_sign():
    design, numbers = SGD.replace(loss="l1"), hyper(scale=2.0, learning_rate=0.5)
    state, new = trained(design, numbers, 1)
    _, loss = member.step(design, numbers, TASK, state, 0)
    off = np.asarray(predicted(design, numbers, state, TASK.train), np.float64) - TASK.colors[TASK.train]
    np.testing.assert_allclose(loss, np.abs(off).mean(), rtol=1e-5)
    # The last bias moves against the mean sign, through the sigmoid's slope.
    values = off + TASK.colors[TASK.train]
    slope = (np.sign(off) * values * (1 - values)).sum(0) / off.size
    bias = "network", "Dense_2", "bias"
    moved = [np.asarray(each.params[bias[0]][bias[1]][bias[2]]) for each in (state, new)]
    np.testing.assert_allclose(moved[1] - moved[0], -0.5 * slope, atol=1e-6)


def cubed(predictions, targets):
    return jnp.abs(predictions - targets) ** 3


def test_a_custom_loss_is_minimised():
    design, numbers = SMALL.replace(loss=cubed), hyper(scale=2.0, learning_rate=1e-2)
    both_ends = trained(design, numbers, 50)
    errors = [np.asarray(predicted(design, numbers, s, TASK.train)) - TASK.colors[TASK.train] for s in both_ends]
    before, after = (np.mean(np.abs(each) ** 3) for each in errors)
    _, loss = member.step(design, numbers, TASK, both_ends[0], 0)
    np.testing.assert_allclose(loss, before, rtol=1e-5)
    assert after < before / 2


def some_pixels(train, field, task, index):
    return at_pixels(field, task, train[index])


@pytest.mark.parametrize("pixels", [0, 6])
def test_measurements_that_are_pixels_train_as_the_split_does(pixels):
    design, numbers = SMALL.replace(pixels=pixels), hyper(scale=2.0, learning_rate=1e-2)
    task = measured(IMAGE, IMAGE.reshape(-1, 3)[TASK.train], some_pixels, TASK.train)
    assert TASK.pixelwise and not task.pixelwise
    a, b = (fitted(design, numbers, 10, task=each) for each in (TASK, task))
    np.testing.assert_allclose(leaves(a.params), leaves(b.params), atol=1e-6)
    (split_scores, one), (scores, two) = (evaluate(design, numbers, t, s, 64, NAMES) for t, s in ((TASK, a), (task, b)))
    for name in ("psnr_train", "psnr_all"):
        np.testing.assert_allclose(scores[name], split_scores[name], rtol=1e-5)
    # No pixel was measured itself: all are held out.
    np.testing.assert_allclose(scores["psnr_heldout"], scores["psnr_all"], rtol=1e-5)
    assert np.abs(one.astype(int) - two).max() <= 1


def test_a_point_of_the_curves_has_the_psnr_on_training_measurements_and_heldout_pixels():
    numbers = hyper(scale=2.0)
    state = init(SMALL, numbers, TASK)
    task = measured(IMAGE, IMAGE.reshape(-1, 3)[TASK.train], some_pixels, TASK.train)
    scores, _ = evaluate(SMALL, numbers, TASK, state, 64, NAMES)
    points = [curve_point(each, member.field(SMALL, numbers, each, state)) for each in (TASK, task)]
    for point in points:
        np.testing.assert_allclose(point.history_train, scores["psnr_train"], rtol=1e-5)
        np.testing.assert_allclose(point.history_bands, points[0].history_bands, rtol=1e-4)
    np.testing.assert_allclose(points[0].history_heldout, scores["psnr_heldout"], rtol=1e-5)
    np.testing.assert_allclose(points[1].history_heldout, scores["psnr_all"], rtol=1e-5)


def failing(coords, key, *, scale=1.0):
    raise ValueError("three is wrong")


def test_shapes_are_those_of_init_and_a_custom_function_that_fails_is_refused_by_its_name():
    numbers = hyper(scale=2.0)
    found, wanted = member.shapes(SMALL, numbers, TASK), init(SMALL, numbers, TASK)
    assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, wanted)
    with pytest.raises(Refused, match=r"failing.*ValueError: three is wrong"):
        member.shapes(SMALL.replace(encoding=failing), numbers, TASK)


def test_a_task_with_a_signal_or_one_channel_is_fitted_by_the_same_functions():
    for shape in ((16, 1), (4, 4, 1)):
        task = Task(np.full(shape, 0.5, np.float32), np.arange(8, dtype=np.int32), np.arange(8, 16, dtype=np.int32))
        state = fitted(SMALL, hyper(scale=1.0, learning_rate=1e-2), 10, task=task)
        assert evaluate(SMALL, hyper(scale=1.0), task, state, 16, NAMES)[1].shape == shape
