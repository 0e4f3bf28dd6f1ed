"""One member: its step against PyTorch-like NumPy, its randomness, its optimizers and schedules."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import skimage.measure

from inr_jax.fit import member as fit
from inr_jax.fit import task as tasks
from inr_jax.settings import Design, Hyper

IMAGE = np.random.default_rng(0).random((8, 8, 3)).astype(np.float32)
TASK = tasks.split(IMAGE, "quarter")
SMALL = Design(frequencies=4, width=8, depth=2, steps=10)
ENCODINGS = ("identity", "basic", "dyadic", "positional", "gaussian", "octaves")


def fitted(design: Design, hyper: Hyper, steps: int, block: int = 0) -> fit.State:
    state = fit.init(design, hyper, 3, 2)
    return fit.advance(design, hyper, TASK, state, jnp.asarray(0), jnp.asarray(steps), block)[0]


def leaves(tree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def squared_error(design: Design, hyper: Hyper, state: fit.State, index) -> jax.Array:
    colors = fit.predict(design, hyper, state.params, state.data, tasks.coordinates(index, TASK.grid, design.domain), 3)
    return jnp.mean(jnp.square(colors - TASK.colors[index]))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_training_leaves_b_untouched_because_it_is_data(encoding):
    design, hyper = dataclasses.replace(SMALL, encoding=encoding), Hyper(scale=2.0)
    before = fit.init(design, hyper, 3, 2)
    after = fitted(design, hyper, 10)
    assert "B" not in before.params and "B" in before.data
    np.testing.assert_array_equal(before.data["B"], after.data["B"])
    assert np.abs(leaves(before.params) - leaves(after.params)).max() > 1e-4


def test_b_moves_only_when_it_is_asked_to_be_learned():
    design = dataclasses.replace(SMALL, learn_frequencies=True)
    before, after = fit.init(design, Hyper(scale=2.0), 3, 2), fitted(design, Hyper(scale=2.0), 10)
    assert np.abs(before.params["B"] - after.params["B"]).max() > 1e-4


def test_a_step_of_sgd_is_the_mean_squared_errors_gradient():
    design, hyper = dataclasses.replace(SMALL, optimizer="sgd"), Hyper(scale=2.0, learning_rate=0.5)
    state = fit.init(design, hyper, 3, 2)
    new, loss = fit.step(design, hyper, TASK, state, jnp.asarray(0))
    value, gradient = jax.value_and_grad(lambda p: squared_error(design, hyper, state._replace(params=p), TASK.train))(
        state.params
    )
    expected = jax.tree.map(lambda p, g: p - 0.5 * g, state.params, gradient)
    np.testing.assert_allclose(loss, value, rtol=1e-5)
    np.testing.assert_allclose(leaves(new.params), leaves(expected), atol=1e-6)


def test_a_step_of_adamw_follows_its_definition():
    rate, decay = 0.01, 0.3
    design, hyper = dataclasses.replace(SMALL, optimizer="adamw"), Hyper(2.0, learning_rate=rate, weight_decay=decay)
    state = fit.init(design, hyper, 3, 2)
    new, _ = fit.step(design, hyper, TASK, state, jnp.asarray(0))
    g = leaves(jax.grad(lambda p: squared_error(design, hyper, state._replace(params=p), TASK.train))(state.params))
    p = leaves(state.params).astype(np.float64)
    # After one step both moments, their bias corrected, are g and g².
    expected = p - rate * (g / (np.abs(g) + 1e-8) + decay * p)
    sure = np.abs(g) > 1e-5
    np.testing.assert_allclose(leaves(new.params)[sure], expected[sure], atol=2e-5)


@pytest.mark.parametrize("block", [3, 4, 7, 16])
def test_gradients_over_blocks_are_those_over_all_pixels(block):
    design, hyper = dataclasses.replace(SMALL, optimizer="sgd"), Hyper(scale=2.0, learning_rate=0.1)
    np.testing.assert_allclose(
        leaves(fitted(design, hyper, 5, block).params), leaves(fitted(design, hyper, 5).params), atol=1e-6
    )


def test_any_cut_into_segments_gives_the_same_bits():
    advance = jax.jit(fit.advance, static_argnums=(0,))
    hyper = jax.tree.map(np.float32, Hyper(scale=2.0, seed=0))
    hyper = dataclasses.replace(hyper, seed=np.int32(3))
    design = dataclasses.replace(SMALL, pixels=5)
    start = fit.init(design, hyper, 3, 2)
    whole, _ = advance(design, hyper, TASK, start, 0, 10)
    for cuts in ((0, 1, 10), (0, 3, 6, 9, 10), tuple(range(11))):
        state = start
        for a, b in itertools.pairwise(cuts):
            state, _ = advance(design, hyper, TASK, state, a, b)
        np.testing.assert_array_equal(leaves(state), leaves(whole))


def test_random_pixels_are_training_pixels_and_differ_from_step_to_step():
    design, hyper = dataclasses.replace(SMALL, pixels=6, optimizer="sgd"), Hyper(scale=2.0, learning_rate=0.0)
    state = fit.init(design, hyper, 3, 2)
    losses = [float(fit.step(design, hyper, TASK, state, jnp.asarray(t))[1]) for t in range(6)]
    assert len(set(losses)) > 3
    black = tasks.Task(np.where(np.arange(64).reshape(8, 8, 1) % 2 == 0, IMAGE, 1e6), TASK.train, TASK.heldout)
    assert all(fit.step(design, hyper, black, state, jnp.asarray(t))[1] < 10 for t in range(6))


@pytest.mark.parametrize("schedule", ["constant", "cosine", "exponential"])
def test_schedules_multiply_the_rate_as_they_say(schedule):
    steps = 10
    design = dataclasses.replace(SMALL, optimizer="sgd", schedule=schedule, steps=steps)
    rate = fit.SCHEDULES[schedule](jnp.asarray(0.5), steps)
    at = [float(rate(t)) if callable(rate) else float(rate) for t in range(steps + 1)]
    expected = {
        "constant": lambda t: 0.5,
        "cosine": lambda t: 0.25 * (1 + np.cos(np.pi * t / steps)),
        "exponential": lambda t: 0.5 * 0.1 ** (t / steps),
    }[schedule]
    np.testing.assert_allclose(at, [expected(t) for t in range(steps + 1)], rtol=1e-5, atol=1e-7)
    assert np.isfinite(leaves(fitted(design, Hyper(scale=2.0, learning_rate=0.5), 10).params)).all()


def test_a_plateau_of_the_mean_loss_divides_the_rate_by_ten():
    design = dataclasses.replace(SMALL, optimizer="sgd", schedule="plateau", pixels=8)
    # A rate of zero is a plateau from the start; an epoch is 16 pixels in steps of 8; patience is ten of them.
    state = fitted(design, Hyper(scale=2.0, learning_rate=0.0), 200)
    scales = optax.tree_utils.tree_get_all_with_path(state.opt_state, "scale")
    assert [float(value) for _, value in scales if float(value) < 0.2]
    early = optax.tree_utils.tree_get_all_with_path(
        fitted(design, Hyper(2.0, learning_rate=0.0), 10).opt_state, "scale"
    )
    assert [float(value) for _, value in early] == [1.0]


def test_the_seed_and_the_role_alone_decide_what_is_drawn():
    a, b = (fit.init(SMALL, Hyper(scale=scale, seed=1), 3, 2) for scale in (1.0, 4.0))
    np.testing.assert_allclose(4 * a.data["B"], b.data["B"], rtol=1e-6)
    np.testing.assert_array_equal(leaves(a.params), leaves(b.params))
    other = fit.init(SMALL, Hyper(scale=1.0, seed=2), 3, 2)
    assert np.abs(leaves(a.params) - leaves(other.params)).max() > 0.01
    assert np.abs(a.data["B"] - other.data["B"]).max() > 0.01


def test_a_design_reads_what_its_functions_declare():
    assert "scale" not in fit.reads(dataclasses.replace(SMALL, encoding="identity"))
    assert "omega_0" not in fit.reads(SMALL) and "omega_0" in fit.reads(dataclasses.replace(SMALL, network="siren"))
    assert "weight_decay" in fit.reads(dataclasses.replace(SMALL, optimizer="adamw"))
    assert {"seed", "learning_rate", "steps", "width"} <= fit.reads(SMALL)


def test_scores_are_those_of_the_predicted_image_whatever_the_tile():
    hyper = Hyper(scale=1.0)
    state = fitted(SMALL, hyper, 10)
    every = np.arange(64)
    image = np.asarray(fit.predict(SMALL, hyper, state.params, state.data, tasks.coordinates(every, (8, 8)), 3))
    error = np.square(np.clip(image, 0, 1) - IMAGE.reshape(-1, 3))
    expected = [-10 * np.log10(error[where].mean()) for where in (TASK.train, TASK.heldout, every)]
    for tile in (64, 10, 1):
        scores, _ = fit.evaluate(SMALL, hyper, TASK, state, tile)
        np.testing.assert_allclose(scores[:3], expected, atol=1e-4)


@pytest.mark.parametrize("grid", [(600, 200), (257, 300), (64, 64), (1000,)])
def test_a_picture_is_the_mean_of_whole_blocks_and_keeps_the_sides_in_proportion(grid):
    image = np.random.default_rng(0).uniform(-0.1, 1.1, (*grid, 3)).astype(np.float32)
    block = -(-max(grid) // 256)
    whole = tuple(slice(side // block * block) for side in grid)
    want = skimage.measure.block_reduce(image.clip(0, 1)[whole], (*[block] * len(grid), 1), np.mean)
    got = np.asarray(fit.pictured(jnp.asarray(image)))
    assert got.shape == want.shape and max(got.shape[:-1]) <= 256
    assert np.abs(got - want * 255).max() <= 0.51


def test_a_picture_of_a_large_image_shows_what_lies_between_the_training_pixels():
    image = np.zeros((512, 512, 1), np.float32)
    wrong = image.copy()
    wrong[1::2, 1::2] = 1.0
    assert (
        np.asarray(fit.pictured(jnp.asarray(wrong))).mean() > np.asarray(fit.pictured(jnp.asarray(image))).mean() + 50
    )


def test_the_loss_falls_to_nothing_on_a_constant_image():
    flat = tasks.split(np.full((8, 8, 3), 0.25, np.float32), "all")
    hyper = Hyper(scale=1.0, learning_rate=1e-2)
    state, finite = fit.advance(SMALL, hyper, flat, fit.init(SMALL, hyper, 3, 2), jnp.asarray(0), jnp.asarray(500))
    _, loss = fit.step(SMALL, hyper, flat, state, jnp.asarray(500))
    assert finite
    assert loss < 1e-4
    assert np.isnan(fit.evaluate(SMALL, hyper, flat, state, 64)[0].psnr_heldout)
