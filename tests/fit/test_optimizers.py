"""What a step does beyond Adam: rates of groups and of schedules, averages, penalties, and where the field is asked."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import inr_jax as inr
from inr_jax.fit import member, optimizers
from inr_jax.fit.activations import ACTIVATIONS
from inr_jax.fit.design import Design, complete, hypers, member_of, reads
from inr_jax.fit.optimizers import OPTIMIZERS, SCHEDULES
from inr_jax.fit.penalties import PENALTIES
from inr_jax.fit.queries import QUERIES
from inr_jax.settings import Refused

TASK = inr.tasks.split(np.random.default_rng(0).random((8, 8, 3)).astype(np.float32), "all")
SMALL = Design(frequencies=4, width=8, depth=2, steps=10)


def member_numbers(design, **numbers):
    return member_of(complete(design, hypers(design, **{name: [value] for name, value in numbers.items()})), 0)


def fitted(design, steps, **numbers):
    """The states from the first to the last of these steps."""
    numbers = member_numbers(design, **numbers)
    states = [member.init(design, numbers, TASK)]
    step = jax.jit(lambda state, t: member.step(design, numbers, TASK, state, t)[0])
    for t in range(steps):
        states.append(step(states[-1], t))
    return states


def moved(rule, gradients):
    """The updates of a rule for these gradients, in turn."""
    params = jnp.zeros_like(gradients[0])
    state, updates = rule.init(params), []
    for gradient in gradients:
        update, state = rule.update(gradient, state, params)
        updates.append(update)
    return np.asarray(updates)


def test_adams_betas_and_epsilon_are_those_of_its_definition():
    gradients = np.random.default_rng(0).normal(size=(5, 3))
    first, second, wanted = np.zeros(3), np.zeros(3), []
    for t, gradient in enumerate(gradients, start=1):
        first, second = 0.8 * first + 0.2 * gradient, 0.95 * second + 0.05 * gradient**2
        wanted.append(-0.1 * first / (1 - 0.8**t) / (np.sqrt(second / (1 - 0.95**t)) + 1e-3))
    rule = OPTIMIZERS["adam"](0.1, beta_1=0.8, beta_2=0.95, epsilon=1e-3)
    np.testing.assert_allclose(moved(rule, jnp.asarray(gradients, jnp.float32)), wanted, rtol=1e-5)


@pytest.mark.parametrize(("step", "wanted"), [(0, 1.0), (500, 0.85502), (1000, 0.505), (1999, 0.01)])
def test_a_cosine_ends_at_a_part_of_its_rate_as_neurofields_does(step, wanted):
    rates = []
    SCHEDULES["cosine"](lambda rate: rates.append(rate) or optax.sgd(rate), 1.0, 2000, 1, final_rate=0.01)
    assert rates[0](step) == pytest.approx(wanted, abs=1e-5)


def test_an_exponential_schedule_ends_at_a_tenth_or_at_another_part():
    rates = []
    for part in (0.1, 0.5):
        SCHEDULES["exponential"](lambda rate: rates.append(rate) or optax.sgd(rate), 2.0, 100, 1, final_rate=part)
    assert [float(rate(100)) for rate in rates] == pytest.approx([0.2, 1.0])
    assert float(rates[0](50)) == pytest.approx(2 * 0.1**0.5)
    assert inr.Design(schedule="exponential") and member_numbers(
        Design(schedule="exponential")
    ).final_rate == np.float32(0.1)


def test_muon_takes_weights_that_are_not_square_and_neither_first_nor_last_at_a_rate_of_its_own():
    design = Design(encoding="identity", network="wire-real", width=6, depth=2, optimizer="muon", steps=3)
    kinds = optimizers.hidden_weights(fitted(design, 0)[0].params)
    assert [path[1].key for path, kind in jax.tree_util.tree_leaves_with_path(kinds) if kind == "hidden"] == ["Dense_1"]
    # In both orientations what matters is the longer side.
    key = jax.random.key(0)
    for shape in ((6, 12), (12, 6)):
        rule = optimizers.muon(0.01, muon_rate=3.0)
        params = {"network": {f"Dense_{i}": {"weight": jnp.ones((2, 2))} for i in (0, 2)}}
        params["network"]["Dense_1"] = {"weight": jnp.zeros(shape)}
        gradient = jax.tree.map(lambda leaf: jax.random.normal(key, leaf.shape), params)
        update = rule.update(gradient, rule.init(params), params)[0]["network"]["Dense_1"]["weight"]
        singular = np.linalg.svd(update, compute_uv=False) / (3 * 0.01 * 0.2 * 12**0.5)
        assert (singular > 0.6).all() and (singular < 1.25).all()


def test_muon_takes_all_inner_layers_of_products_too_and_is_refused_where_there_are_none():
    for network, depth, inner in (("mfn-gabor", 3, [1, 2]), ("bacon", 4, [1, 2, 3]), ("siren", 3, [1, 2])):
        params = fitted(Design(encoding="identity", network=network, width=4, depth=depth), 0)[0].params
        kinds = jax.tree_util.tree_leaves_with_path(optimizers.hidden_weights(params))
        assert [path[1].key for path, kind in kinds if kind == "hidden"] == [f"Dense_{layer}" for layer in inner]
    with pytest.raises(Refused, match="optimizer='muon' needs weights between hidden layers"):
        member.shapes(SMALL.replace(depth=1, optimizer="muon"), member_numbers(SMALL), TASK)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"groups": "two"}, "groups='two' needs an encoding that learns"),
        ({"penalty": "tv"}, "penalty='tv' needs an encoding with values over the image"),
        ({"penalty": "incode"}, "penalty='incode' needs network='incode'"),
        ({"query": lambda key, part, places: places[:, :1]}, r"query gives places of shape \(16, 1\)"),
        ({"penalty": lambda params: params["nothing"]}, "cannot be fitted: KeyError: 'nothing'"),
        ({"penalty": lambda params: params["network"]["Dense_0"]["bias"]}, "cannot be fitted"),
    ],
)
def test_what_would_have_no_effect_or_fail_in_a_step_is_refused_before_any(settings, words):
    design = SMALL.replace(**settings)
    with pytest.raises(Refused, match=words):
        member.check(design, member_numbers(design), TASK._replace(train=TASK.train[:16]))


def test_a_member_without_anything_to_train_is_refused():
    signal = inr.tasks.split(np.linspace(0, 1, 8, dtype=np.float32), "all")
    with pytest.raises(Refused, match="has nothing to train"):
        inr.fit_many(Design(encoding="identity", network="direct"), inr.hypers(), signal)


def test_a_group_of_its_own_moves_the_encoding_by_its_own_adam_and_the_network_as_before():
    design = Design(encoding="tensorf", rank=4, cells=5, width=8, depth=1, steps=3, init="torch")
    numbers = {"encoding_rate": 2.0, "encoding_beta_1": 0.9, "encoding_beta_2": 0.9, "encoding_epsilon": 1e-3}
    one, two = (fitted(each, 1, learning_rate=0.01) for each in (design, design.replace(groups="two")))
    jax.tree.map(np.testing.assert_array_equal, one[1].params["network"], two[1].params["network"])
    _, after = fitted(design.replace(groups="two"), 1, learning_rate=0.01, **numbers)
    before, weight = one[0].params["encoding"]["lines"], after.params["encoding"]["lines"]
    sgd = fitted(design.replace(optimizer="sgd"), 1, learning_rate=1.0)
    gradient = np.asarray(sgd[0].params["encoding"]["lines"] - sgd[1].params["encoding"]["lines"], np.float64)
    np.testing.assert_allclose(weight - before, -0.02 * gradient / (np.abs(gradient) + 1e-3), atol=2e-5)
    still = fitted(design.replace(groups="two"), 2, learning_rate=0.01, encoding_rate=0.0)[-1]
    np.testing.assert_array_equal(still.params["encoding"]["lines"], before)
    decayed = fitted(design.replace(groups="two"), 1, learning_rate=0.01, encoding_decay=1.0, **numbers)[-1]
    np.testing.assert_allclose(decayed.params["encoding"]["lines"], weight - 0.02 * before, atol=1e-6)


def test_an_average_is_the_exponential_mean_of_the_parameters_after_each_step():
    design = SMALL.replace(average="ema")
    decayed = fitted(design, 4, learning_rate=0.01, ema_decay=0.8)
    history = np.stack([state.params["network"]["Dense_1"]["weight"] for state in decayed[1:]])
    weights = 0.8 ** np.arange(4)[::-1]
    wanted = np.tensordot(weights / weights.sum(), history, axes=1)
    np.testing.assert_allclose(decayed[-1].average["network"]["Dense_1"]["weight"], wanted, atol=1e-6)
    plain = fitted(SMALL, 4, learning_rate=0.01)
    jax.tree.map(np.testing.assert_array_equal, plain[-1].params, decayed[-1].params)
    for decay, of in ((0.0, history[-1]), (1.0, history.mean(0))):
        found = fitted(design, 4, learning_rate=0.01, ema_decay=decay)[-1].average
        np.testing.assert_allclose(found["network"]["Dense_1"]["weight"], of, atol=1e-6)


def test_scores_and_pictures_are_of_the_average_where_one_is_kept():
    design = SMALL.replace(average="ema")
    fits = inr.fit_many(design, hypers(design, learning_rate=[0.01], ema_decay=[0.8]), TASK)
    last = fitted(design, 10, learning_rate=0.01, ema_decay=0.8)[-1]
    wanted = last.average["network"]["Dense_1"]["weight"]
    np.testing.assert_allclose(fits.params["network"]["Dense_1"]["weight"][0], wanted, atol=1e-5)
    error = np.mean((np.clip(fits.predict(0, (8, 8)), 0, 1) - TASK.image) ** 2)
    np.testing.assert_allclose(fits.psnr_train[0], -10 * np.log10(error), atol=1e-3)
    np.testing.assert_allclose(fits.history_train[0, -1], fits.psnr_train[0], atol=1e-3)


def test_a_penalty_is_added_to_the_loss_and_its_gradient_to_the_gradient():
    design = SMALL.replace(optimizer="sgd")
    plain = fitted(design, 1, learning_rate=1.0)
    decayed = fitted(design.replace(penalty="l2"), 1, learning_rate=1.0, penalty_weight=0.1)
    wanted = jax.tree.map(lambda after, before: after - 0.1 * before, plain[1].params, plain[0].params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), decayed[1].params, wanted)
    numbers = member_numbers(design.replace(penalty="l2"), penalty_weight=0.1)
    _, loss = member.step(design.replace(penalty="l2"), numbers, TASK, plain[0], 0)
    _, before = member.step(design, member_numbers(design), TASK, plain[0], 0)
    squares = sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(plain[0].params))
    np.testing.assert_allclose(loss - before, 0.05 * squares, rtol=1e-4)


def test_total_variation_is_that_of_a_grids_neighbours():
    grid = np.random.default_rng(0).normal(size=(4, 5, 2))
    wanted = np.abs(np.diff(grid, axis=0)).mean() + np.abs(np.diff(grid, axis=1)).mean()
    found = PENALTIES["tv"]({"encoding": {"grid": jnp.asarray(grid)}, "network": {}}, penalty_weight=2.0)
    np.testing.assert_allclose(found, 2 * wanted, rtol=1e-6)
    design = Design(encoding="grid", network="direct", rank=3, cells=8, steps=300, penalty="tv")
    fits = inr.fit_many(design, hypers(design, learning_rate=[0.1], penalty_weight=[1e-4, 1.0]), TASK)
    rough = [np.abs(np.diff(grid, axis=1)).mean() for grid in fits.params["encoding"]["grid"]]
    assert rough[1] < 0.5 * rough[0]


def test_incodes_penalty_is_on_what_its_numbers_are_below_zero_and_comes_with_it():
    layer = {"a": -1.0, "b": 2.0, "c": -2.0, "d": 0.0}
    params = {"encoding": {}, "network": {"activation_0": layer, "activation_1": layer, "Dense_0": {"weight": 1.0}}}
    found = PENALTIES["incode"](jax.tree.map(jnp.float32, params), penalty_weight=1.0)
    np.testing.assert_allclose(found, 2 * (0.1993 + 2 * 0.0588), rtol=1e-6)
    swept = Design(network="incode", encoding="identity", steps=2)
    both = hypers(swept, penalty_weight=[0.0, 1.0])
    assert reads(swept)["penalty_weight"].default == 1.0 and len(both.seed) == 2
    assert reads(Design(network="incode", penalty="l2"))["penalty_weight"].default == 1e-6
    assert Design(network="incode").penalty == "incode" and Design(network="siren").penalty == "none"
    assert "incode" in ACTIVATIONS


def test_noise_on_places_fades_to_none_and_without_any_the_steps_are_those_of_exact_places():
    key, places = jax.random.key(0), jnp.zeros((2000, 2))
    for part, wanted in ((0.0, 3.0), (0.25, 1.5), (0.5, 0.0), (0.9, 0.0)):
        found = QUERIES["blurred"](key, part, places, blur=3.0, blur_until=0.5)
        assert float(found.std()) == pytest.approx(wanted, rel=0.05)
    exact, none = (
        fitted(SMALL, 3, learning_rate=0.01),
        fitted(SMALL.replace(query="blurred"), 3, learning_rate=0.01, blur=0.0),
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), exact[-1].params, none[-1].params)
    design, numbers = SMALL.replace(query="blurred"), member_numbers(SMALL.replace(query="blurred"))
    losses = [member.step(design, numbers, TASK, exact[0], 0, block)[1] for block in (0, 16)]
    np.testing.assert_allclose(*losses, rtol=1e-6)
    other = fitted(SMALL.replace(query="blurred"), 3, learning_rate=0.01, blur=2.0)
    assert not np.allclose(
        exact[-1].params["network"]["Dense_1"]["weight"], other[-1].params["network"]["Dense_1"]["weight"], atol=1e-5
    )


def test_pixels_without_replacement_are_each_drawn_once():
    fit = inr.Design(pixels=40, replacement=False)
    assert "replacement" not in inr.Design(pixels=0)
    drawn = [member.drawn_measurements(bound, jax.random.key(seed), 64) for bound in [_fit(fit)] for seed in range(20)]
    assert all(len(set(np.asarray(each).tolist())) == 40 for each in drawn)
    assert set(np.concatenate(drawn).tolist()) == set(range(64))
    every = member.drawn_measurements(_fit(inr.Design(pixels=64, replacement=False)), jax.random.key(0), 64)
    assert sorted(np.asarray(every).tolist()) == list(range(64))


def _fit(design):
    from inr_jax.fit.design import Hyper, assemble

    return assemble(design, Hyper())


def test_optax_is_what_the_other_rules_are():
    gradients = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
    np.testing.assert_allclose(moved(OPTIMIZERS["adam"](0.1), gradients), moved(optax.adam(0.1), gradients), rtol=1e-5)
    mine, theirs = OPTIMIZERS["adamw"](0.1, weight_decay=0.3), optax.adamw(0.1, weight_decay=0.3)
    np.testing.assert_allclose(moved(mine, gradients), moved(theirs, gradients), rtol=1e-5)
