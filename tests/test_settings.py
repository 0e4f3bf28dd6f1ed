"""Settings: what is allowed, what it becomes, and what is said when it is not."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

from inr_jax import settings
from inr_jax.settings import Data, Design, Hyper, Refused, Run

GROUPS = [Data, Design, Hyper, Run]
DESCRIBED = [(group, f) for group in GROUPS for f in dataclasses.fields(group) if f.name != "own"]


def test_hypers_is_the_product_with_the_last_axis_fastest():
    scales, rates, seeds = [1.0, 2.0], [1e-3, 1e-2], [0, 1, 2]
    made = settings.hypers(scale=scales, learning_rate=rates, seed=seeds)
    wanted = np.array(list(itertools.product(scales, rates, seeds)), np.float32)
    np.testing.assert_array_equal(np.stack([made.scale, made.learning_rate, made.seed], axis=-1), wanted)
    assert settings.count(made) == len(wanted)


@pytest.mark.parametrize("axes", [{}, {"scale": 3}, {"scale": [3, 4]}, {"seed": np.arange(5)}])
def test_hypers_fill_every_setting_for_every_member_in_32_bits(axes):
    made = settings.hypers(**axes)
    members = int(np.prod([np.size(v) for v in axes.values()]))
    for field in dataclasses.fields(Hyper):
        if field.name == "own":
            continue
        column = getattr(made, field.name)
        assert column.shape == (members,)
        assert column.dtype == (np.int32 if field.name == "seed" else np.float32)
        if field.name not in axes:
            np.testing.assert_array_equal(column, np.full(members, field.default, column.dtype))


def test_the_largest_seed_survives():
    assert settings.hypers(seed=2**31 - 1).seed.tolist() == [2**31 - 1]


def test_a_member_taken_out_of_a_stack_is_the_member_put_in():
    made = settings.hypers(scale=[1, 2, 4], seed=[5, 7])
    parts = [settings.member_of(made, i) for i in range(settings.count(made))]
    jax.tree.map(np.testing.assert_array_equal, settings.stack(parts), made)
    some = settings.member_of(made, np.array([4, 1]))
    np.testing.assert_array_equal(some.scale, made.scale[[4, 1]])


def test_own_settings_are_stacked_with_the_others():
    made = settings.stack([Hyper(own={"sharpness": 1.0, "k": 1}), Hyper(own={"sharpness": 2.0, "k": 2})])
    assert (made.own["sharpness"].dtype, made.own["k"].dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(made.own["sharpness"], [1, 2])
    assert settings.member_of(made, 1).own["k"] == 2


@pytest.mark.parametrize(
    ("given", "near"), [("scal", "scale"), ("omega0", "omega_0"), ("learningrate", "learning_rate")]
)
def test_hypers_refuses_an_unknown_name_and_says_the_nearest(given, near):
    with pytest.raises(Refused, match=f"'{given}' .*did you mean '{near}'"):
        settings.hypers(**{given: [1]})


@pytest.mark.parametrize("name", ["encoding", "size", "width"])
def test_hypers_refuses_settings_that_are_not_traced(name):
    with pytest.raises(Refused, match=name):
        settings.hypers(**{name: [1]})


def test_hypers_takes_the_numbers_of_functions_of_ones_own_as_axes_beside_the_others():
    members = settings.hypers(scale=[1, 2], own={"power": [0.5, 1, 2]})
    assert members.scale.tolist() == [1, 1, 1, 2, 2, 2]
    assert members.own["power"].tolist() == [0.5, 1, 2] * 2 and members.own["power"].dtype == np.float32


def test_a_design_takes_them_as_a_dictionary_and_is_the_same_design():
    made = [settings.Design(own=own) for own in ({"b": 2, "a": 1}, (("a", 1), ("b", 2)))]
    assert made[0] == made[1] and hash(made[0]) == hash(made[1])


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        *(("scale", v, 1.0) for v in (1, 1.0, np.int64(1), np.float32(1))),
        *(("steps", v, 1) for v in (1, 1.0, np.int32(1), np.float64(1))),
        ("learn_frequencies", True, True),
        ("learn_frequencies", np.bool_(False), False),
        ("encoding", "dyadic", "dyadic"),
        ("encoding", "mine:features", "mine:features"),
        ("fraction", 1, 1.0),
        ("validation", 0, 0.0),
    ],
)
def test_convert_gives_the_value_in_its_fields_own_type(name, given, wanted):
    made = settings.convert(name, given)
    assert made == wanted
    assert type(made) is type(wanted)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("seed", True, "whole number"),
        ("steps", np.bool_(True), "whole number"),
        ("scale", True, "finite number"),
        ("scale", float("nan"), "finite number"),
        ("scale", float("inf"), "finite number"),
        ("scale", "10", "finite number"),
        ("scale", None, "finite number"),
        ("scale", [1.0], "finite number"),
        ("scale", 10**400, "finite number"),
        ("seed", 0.5, "whole number"),
        ("seed", float("nan"), "whole number"),
        ("seed", "1", "whole number"),
        ("learn_frequencies", 1, "True or False"),
        ("image", 3, "text"),
        ("scale", -1, "at least 0"),
        ("omega_0", 0, "above 0"),
        ("fraction", 0.0, "above 0"),
        ("fraction", 1.01, "at most 1"),
        ("validation", 0.95, "at most 0.5"),
        ("seed", -1, "at least 0"),
        ("seed", 2**31, f"at most {2**31 - 1}"),
        ("seed", 2**70, f"at most {2**31 - 1}"),
        ("octaves", 25, "at most 24"),
        ("width", 0, "at least 1"),
    ],
)
def test_convert_refuses_and_names_the_setting_the_value_and_what_is_wanted(name, value, says):
    with pytest.raises(Refused) as refusal:
        settings.convert(name, value)
    message = str(refusal.value)
    assert message.startswith(f"{name}=")
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "value", "near"),
    [
        ("encoding", "gausian", "gaussian"),
        ("split", "checkboard", "checkerboard"),
        ("network", "sirene", "siren"),
        ("schedule", "cosinus", "cosine"),
    ],
)
def test_convert_refuses_an_unknown_choice_with_the_nearest_and_all(name, value, near):
    with pytest.raises(Refused, match=f"did you mean '{near}'") as refusal:
        settings.convert(name, value)
    assert all(choice in str(refusal.value) for choice in settings.FIELDS[name].metadata["choices"])


@pytest.mark.parametrize("name", ["optimizer", "split", "family", "loss"])
def test_only_open_choices_take_ones_own_function(name):
    with pytest.raises(Refused, match="is not known"):
        settings.convert(name, "mine:function")


def test_nearest_lists_what_is_allowed_and_guesses_only_what_is_near():
    assert settings.nearest("apfel", ["apple", "pear"]) == "did you mean 'apple'? allowed: apple, pear"
    assert settings.nearest("zzz", ["apple", "pear"]) == "allowed: apple, pear"


@pytest.mark.parametrize(("group", "field"), DESCRIBED, ids=lambda x: getattr(x, "name", None))
def test_every_setting_has_a_meaning_and_a_default_that_is_allowed(group, field):
    assert field.metadata["help"]
    made = settings.convert(field.name, field.default, field)
    assert made == field.default
    assert type(made) is type(field.default)


def test_no_two_settings_share_a_name():
    names = [field.name for _, field in DESCRIBED]
    assert len(set(names)) == len(names)


def test_equal_designs_hash_equal_and_any_other_setting_makes_another():
    assert Design(width=8) == Design(width=8)
    assert hash(Design(width=8, own=(("k", 2),))) == hash(Design(width=8, own=(("k", 2),)))
    others = {Design(), Design(width=8), Design(depth=8), Design(output="linear"), Design(own=(("k", 1),))}
    assert len(others) == 5


@pytest.mark.parametrize("thing", [Design(), Hyper(), Data(), Run()], ids=lambda t: type(t).__name__)
def test_settings_cannot_be_changed_in_place(thing):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(thing, dataclasses.fields(thing)[0].name, None)


def test_hyper_is_a_pytree_that_vmap_maps_over_members():
    made = settings.stack([Hyper(scale=s, seed=3, own={"k": s}) for s in (1.0, 2.0, 4.0)])
    assert len(jax.tree.leaves(made)) == len(dataclasses.fields(Hyper)) - 1 + 1
    products = jax.jit(jax.vmap(lambda h: h.scale * h.own["k"] + h.seed))(made)
    np.testing.assert_array_equal(products, [4, 7, 19])


def test_values_has_every_setting_of_a_member_by_name_own_ones_too():
    design = Design(width=8, own=(("k", 2),))
    found = settings.values(design, Hyper(scale=3.0, own={"sharpness": 0.5}))
    names = {f.name for g in (Design, Hyper) for f in dataclasses.fields(g)} - {"own"}
    assert found.keys() == names | {"k", "sharpness"}
    assert (found["width"], found["scale"], found["k"], found["sharpness"]) == (8, 3.0, 2, 0.5)
