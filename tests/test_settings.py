"""Settings: how functions declare them, what is allowed, what a value becomes, and what a refusal says."""

import itertools
import math
import operator
import pickle
import types
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import inr_jax as inr
from inr_jax.cli.listing import listing
from inr_jax.data.problem import Data, Problem
from inr_jax.fit.design import Design, Fit, Hyper, complete, count, hypers, member_of, reads, stack
from inr_jax.settings import Refused, Registry, Setting, about, bind, catalogue, declared, nearest
from inr_jax.sweep.study import Run

KNOWN = {**catalogue(Problem), **catalogue(Fit)}
DESCRIBED = [*KNOWN.values(), *declared(Run)]
RUN = {setting.name: setting for setting in declared(Run)}


def rings(
    coords,
    key,
    *,
    ring_count: Annotated[int, about("circles", low=1, high=9)] = 3,
    sharpness: Annotated[float, about("of an edge", "per side", above=0.0)] = 2.0,
    edge: Annotated[str, about("its shape", choices=("cosine", "step"))] = "cosine",
    width: Annotated[float, about("of a step", low=0.0, when=lambda s: s["edge"] == "step")] = 0.5,
    octaves,
):
    """A custom encoding with ranges, choices, a setting that depends on another, and one of the package."""
    radius = jnp.linalg.norm(coords - 0.5, axis=-1, keepdims=True)
    return jnp.cos(sharpness * radius * jnp.arange(1, ring_count + 1))


def bump(z, *, spread: Annotated[float, about("standard deviation", above=0.0)] = 1.0):
    return jnp.exp(-jnp.square(z / spread) / 2)


def rising(z):
    return jax.nn.softplus(z)


rising.defaults = {"init": "torch", "output": "linear"}


def test_hypers_is_the_product_with_the_last_axis_fastest():
    scales, rates, seeds = [1.0, 2.0], [1e-3, 1e-2], [0, 1, 2]
    made = hypers(scale=scales, learning_rate=rates, seed=seeds)
    wanted = np.array(list(itertools.product(scales, rates, seeds)), np.float32)
    np.testing.assert_array_equal(np.stack([made.scale, made.learning_rate, made.seed], axis=-1), wanted)
    assert count(made) == len(wanted)


@pytest.mark.parametrize("axes", [{}, {"scale": 3}, {"scale": [3, 4]}, {"seed": np.arange(5)}])
@pytest.mark.parametrize("design", [Design(), Design(network="siren", optimizer="adamw"), Design(encoding="identity")])
def test_completed_hypers_have_every_traced_setting_that_the_design_reads_in_32_bits(axes, design):
    made = complete(design, hypers(**axes))
    members = math.prod(np.size(values) for values in axes.values())
    traced = {name: setting for name, setting in reads(design).items() if setting.traced}
    assert {*made} == {*traced}
    for name, setting in traced.items():
        assert made[name].shape == (members,)
        assert made[name].dtype == (np.int32 if name == "seed" else np.float32)
        wanted = axes.get(name, np.full(members, setting.default))
        np.testing.assert_array_equal(made[name], np.asarray(wanted, made[name].dtype))


def test_the_largest_seed_survives():
    assert hypers(seed=2**31 - 1).seed.tolist() == [2**31 - 1]


def test_a_member_taken_out_of_a_stack_is_the_member_put_in():
    made = hypers(scale=[1, 2, 4], seed=[5, 7])
    parts = [member_of(made, i) for i in range(count(made))]
    jax.tree.map(np.testing.assert_array_equal, stack(parts), made)
    some = member_of(made, np.array([4, 1]))
    np.testing.assert_array_equal(some.scale, made.scale[[4, 1]])


def test_numbers_of_custom_functions_are_stacked_with_the_others():
    made = stack([Hyper(seed=1, sharpness=1.0), Hyper(seed=2, sharpness=2.0)])
    assert (made.sharpness.dtype, made.seed.dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(made["sharpness"], [1, 2])
    assert member_of(made, 1).sharpness == 2


@pytest.mark.parametrize(
    ("given", "near"), [("scal", "scale"), ("omega0", "omega_0"), ("learningrate", "learning_rate")]
)
def test_hypers_refuses_an_unknown_name_and_says_the_nearest(given, near):
    with pytest.raises(Refused, match=f"'{given}' .*did you mean '{near}'"):
        hypers(**{given: [1]})


@pytest.mark.parametrize("name", ["encoding", "size", "width"])
def test_hypers_refuses_settings_that_are_not_traced(name):
    with pytest.raises(Refused, match=name):
        hypers(**{name: [1]})


def test_hypers_refuses_an_empty_axis():
    with pytest.raises(Refused, match=r"scale=\[\] is empty"):
        hypers(scale=[])


def test_hypers_of_a_design_takes_the_numbers_of_its_custom_functions_as_axes_beside_the_others():
    design = Design(encoding=rings, network="mlp", activation=bump)
    members = hypers(design, scale=[1, 2], sharpness=[0.5, 1, 2], spread=3)
    assert members.scale.tolist() == [1, 1, 1, 2, 2, 2]
    assert members.sharpness.tolist() == [0.5, 1, 2] * 2 and members.sharpness.dtype == np.float32
    assert complete(design, members).spread.tolist() == [3] * 6
    with pytest.raises(Refused, match=r"'spred'.*did you mean 'spread'"):
        hypers(design, spred=[1.0])
    with pytest.raises(Refused, match="'sharpness' is not known"):
        hypers(sharpness=[1.0])
    with pytest.raises(Refused, match=r"sharpness=0.0 is out of range: it must be above 0"):
        hypers(design, sharpness=[0.0])


def test_completing_refuses_a_name_that_neither_the_design_nor_the_package_knows():
    with pytest.raises(Refused, match=r"'sharpnes'.*did you mean 'sharpness'"):
        complete(Design(encoding=rings), Hyper(seed=np.zeros(1, np.int32), sharpnes=np.ones(1, np.float32)))


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        *(("scale", v, 1.0) for v in (1, 1.0, np.int64(1), np.float32(1))),
        *(("steps", v, 1) for v in (1, 1.0, np.int32(1), np.float64(1))),
        ("learn_frequencies", True, True),
        ("learn_frequencies", np.bool_(False), False),
        ("encoding", "dyadic", "dyadic"),
        ("encoding", "math:sin", "math:sin"),
        ("encoding", rings, rings),
        ("fraction", 1, 1.0),
        ("validation", 0, 0.0),
    ],
)
def test_convert_gives_the_value_in_its_settings_own_type(name, given, wanted):
    made = KNOWN[name].convert(given)
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
        ("encoding", 3, "text"),
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
        KNOWN[name].convert(value)
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
        KNOWN[name].convert(value)
    assert all(choice in str(refusal.value) for choice in KNOWN[name].about.choices)


@pytest.mark.parametrize("name", ["domain", "split", "precision"])
def test_choices_that_are_no_functions_take_no_custom_function(name):
    with pytest.raises(Refused, match="is not known"):
        KNOWN[name].convert("math:sin")


@pytest.mark.parametrize("name", [name for name, setting in KNOWN.items() if setting.registry is not None])
def test_choices_that_are_functions_take_module_function_and_refuse_what_cannot_be_imported(name):
    assert KNOWN[name].convert("math:sin") == "math:sin"
    with pytest.raises(Refused, match="cannot be imported"):
        KNOWN[name].convert("no_such_module:function")


def test_nearest_lists_what_is_allowed_and_guesses_only_what_is_near():
    assert nearest("apfel", ["apple", "pear"]) == "did you mean 'apple'? allowed: apple, pear"
    assert nearest("zzz", ["apple", "pear"]) == "allowed: apple, pear"


@pytest.mark.parametrize("setting", DESCRIBED, ids=lambda setting: setting.name)
def test_every_setting_has_a_meaning_and_a_default_that_is_allowed(setting):
    assert setting.about.meaning and not setting.about.meaning.startswith("a setting of")
    made = setting.convert(setting.default)
    assert made == setting.default
    assert type(made) is type(setting.default)


def test_no_two_settings_share_a_name():
    names = [*catalogue(Problem), *catalogue(Fit), *RUN]
    assert len(set(names)) == len(names)


def test_a_setting_that_several_functions_declare_has_one_meaning_range_and_default():
    """The first declaration is what the help and the axes show: the others must not differ from it."""
    registries = [setting.registry for setting in KNOWN.values() if setting.registry is not None]
    rows = [row for registry in registries for row in registry.values()]
    for setting in [setting for row in rows for setting in declared(row) if not setting.fixed]:
        known = KNOWN.get(setting.name)
        if known is not None and isinstance(setting.default, int | float | str | bool):
            assert setting.default == known.default
            assert setting.about._replace(when=None) == known.about._replace(when=None)


def test_the_help_has_every_setting_once_with_default_meaning_unit_and_choices():
    lines = listing().splitlines()
    for setting in DESCRIBED:
        group = "run." if setting.name in RUN else ""
        if setting.name in catalogue(Fit):
            group = "hyper." if setting.traced else "design."
        (line,) = [line for line in lines if line.split()[:1] == [f"{group}{setting.name}"]]
        assert str(setting.default) in line and setting.about.meaning in line and setting.about.unit in line
        if setting.name != "image":
            assert all(choice in line for choice in setting.about.choices)


def test_the_help_tells_which_functions_read_a_setting():
    lines = {line.split()[0]: line for line in listing().splitlines() if line.strip()}
    assert lines["hyper.weight_decay"].endswith("<adamw>")
    assert lines["design.octaves"].endswith("<dyadic, octaves>")


def test_a_custom_functions_range_and_choices_are_enforced():
    for wrong, says in (
        ({"ring_count": 10}, "ring_count=10 is out of range: it must be at most 9"),
        ({"ring_count": 2.5}, "ring_count=2.5 is not a whole number"),
        ({"edge": "stap"}, "edge='stap' is not known; did you mean 'step'"),
        ({"ring_cuont": 3}, "'ring_cuont' is not known; did you mean 'ring_count'"),
    ):
        with pytest.raises(Refused) as refusal:
            Design(encoding=rings, **wrong)
        assert says in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_setting_is_read_only_where_its_condition_holds():
    smooth, step = Design(encoding=rings), Design(encoding=rings, edge="step")
    assert "width" not in {s.name for s in reads(smooth).values() if s.about.meaning == "of a step"}
    assert Data(split="rows").keys() >= {"split", "validation"} and "split_seed" not in Data(split="rows")
    assert "split_seed" in Data(split="rows", validation=0.25) and "fraction" in Data(split="random")
    assert "resize" not in Data(size=0) and "resize" in Data(size=8)
    assert step.edge == "step" and step != smooth


def test_settings_of_functions_that_are_not_chosen_are_converted_and_dropped():
    assert Design(encoding="identity", frequencies=64) == Design(encoding="identity")
    with pytest.raises(Refused, match="frequencies=0 is out of range"):
        Design(encoding="identity", frequencies=0)


def test_auto_is_the_default_that_the_activation_was_registered_with():
    made = [Design(), Design(network="siren"), Design(network="mlp", activation="sine"), Design(init="auto")]
    assert [(each.init, each.output) for each in made] == [
        ("flax", "sigmoid"),
        ("siren", "linear"),
        ("siren", "linear"),
        ("flax", "sigmoid"),
    ]
    assert Design(network="siren", init="torch", output="sigmoid").output == "sigmoid"


def test_auto_takes_the_defaults_of_a_custom_activation_and_those_of_the_network_where_it_has_none():
    custom = Design(network="mlp", activation=rising)
    assert (custom.init, custom.output) == ("torch", "linear")
    plain = Design(network="mlp", activation=bump)
    assert (plain.init, plain.output) == ("flax", "sigmoid")
    assert Design(network="mlp", activation=rising, output="sigmoid").output == "sigmoid"


def test_a_default_that_is_auto_itself_is_the_networks():
    def odd(z):
        return z

    odd.defaults = {"init": "auto"}
    assert Design(network="mlp", activation=odd).init == "flax"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"netwrk": "relu"}, "'netwrk' is not known; did you mean 'network'?"),
        ({"network": "sirne"}, "network='sirne' is not known; did you mean 'siren'?"),
        ({"schedule": "cosin"}, "did you mean 'cosine'?"),
        ({"width": 0}, "width=0 is out of range: it must be at least 1"),
        ({"width": 8.5}, "width=8.5 is not a whole number"),
        ({"width": float("nan")}, "width=nan is not a whole number"),
        ({"steps": -5}, "steps=-5 is out of range: it must be at least 0"),
        ({"learn_frequencies": "False"}, "learn_frequencies='False' is not True or False"),
        ({"scale": 3.0}, "scale=3.0 is traced, not part of a design; expected hypers(scale=...)"),
        ({"seed": 3}, "seed=3 is traced"),
        ({"encoding": "identity", "learn_frequencies": True}, "learn_frequencies=True needs an encoding with a B"),
        ({"size": 8}, "'size' is not known"),
        ({"optimizer": ["adam"]}, "optimizer=['adam'] is not text"),
        ({"network": 3}, "network=3 is not text"),
        ({"encoding": "math:pi"}, "encoding='math:pi' is not callable"),
    ],
)
def test_a_design_refuses_in_one_line_what_the_command_line_refuses(given, says):
    with pytest.raises(Refused) as refusal:
        Design(**given)
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"image": 3}, "image=3 is not text"),
        ({"split": "quartet"}, "did you mean 'quarter'?"),
        ({"size": -1}, "at least 0"),
        ({"task": "splitt"}, "did you mean 'split'?"),
        ({"widht": 3}, "'widht' is not known"),
    ],
)
def test_data_refuses_in_one_line_too(given, says):
    with pytest.raises(Refused) as refusal:
        Data(**given)
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


def test_equal_designs_hash_equal_and_any_other_setting_makes_another():
    assert Design(width=8) == Design(width=8.0) and type(Design(width=8.0).width) is int
    custom = {"encoding": rings, "ring_count": 2}
    assert hash(Design(width=8, **custom)) == hash(Design(**custom, width=8))
    others = {Design(), Design(width=8), Design(depth=8), Design(output="linear"), Design(**custom)}
    assert len(others) == 5
    assert Design(output="auto") == Design() == Design(output="sigmoid")


def test_a_design_survives_pickling():
    design = Design(network="siren", width=8, encoding=rings, ring_count=2)
    again = pickle.loads(pickle.dumps(design))
    assert again == design and hash(again) == hash(design) and again.replace(width=9) == design.replace(width=9)
    hyper = Hyper(scale=2.0, seed=1)
    assert pickle.loads(pickle.dumps(hyper)) == hyper
    assert pickle.loads(pickle.dumps(Data(size=8))) == Data(size=8)


def test_replace_settles_auto_again_and_keeps_what_was_given():
    siren = Design(width=8).replace(network="siren")
    assert (siren.width, siren.init, siren.output) == (8, "siren", "linear")
    assert siren.replace(network="relu") == Design(width=8)
    assert Design(init="torch").replace(network="siren").init == "torch"
    # What a function does not read comes back where another one reads it.
    assert Design(frequencies=4).replace(encoding="identity").replace(encoding="gaussian").frequencies == 4
    with pytest.raises(Refused, match="width=0"):
        siren.replace(width=0)


@pytest.mark.parametrize("thing", [Design(), Hyper(scale=1.0), Data()], ids=lambda thing: type(thing).__name__)
def test_settings_cannot_be_changed_in_place(thing):
    before, name = dict(thing), next(iter(thing))
    for change in (
        lambda: setattr(thing, name, None),
        lambda: operator.setitem(thing, name, None),
        lambda: operator.delitem(thing, name),
        lambda: operator.ior(thing, {name: None}),
        lambda: thing.update({name: None}),
        lambda: thing.pop(name),
        thing.clear,
    ):
        with pytest.raises(AttributeError, match=r"is immutable; replace\(NAME=VALUE\) returns another"):
            change()
    assert dict(thing) == before


def test_a_setting_that_is_not_there_is_an_attribute_error_with_those_that_are():
    with pytest.raises(AttributeError, match="Design has no setting 'scale'; it has encoding, "):
        Design().scale  # noqa: B018
    assert Design().get("scale") is None


def test_hyper_is_a_pytree_that_vmap_maps_over_members():
    made = stack([Hyper(scale=s, seed=3, k=s) for s in (1.0, 2.0, 4.0)])
    assert len(jax.tree.leaves(made)) == 3
    products = jax.jit(jax.vmap(lambda h: h.scale * h.k + h["seed"]))(made)
    np.testing.assert_array_equal(products, [4, 7, 19])


def test_what_a_design_reads_has_every_setting_of_a_member_by_name_custom_ones_too():
    design = Design(depth=8, encoding=rings, ring_count=2)
    assert list(reads(design)) == [*[n for n in reads(design) if n in design or reads(design)[n].traced]]
    assert {*design} | {*complete(design, hypers())} == {*reads(design)}
    assert (design.depth, design.ring_count) == (8, 2)
    assert {"sharpness", "octaves", "seed"} <= {*reads(design)} and "frequencies" not in reads(design)


def test_keyword_only_parameters_are_what_a_function_declares():
    def function(a, b=1, *, c, d=2):
        return (a, b, c, d)

    assert [setting.name for setting in declared(function)] == ["c", "d"]
    assert [setting.default for setting in declared(function)][1] == 2
    assert bind(function, {"a": 9, "b": 9, "c": 3, "e": 9})(0) == (0, 1, 3, 2)
    assert bind(function, {"d": 5}, c=4)(0) == (0, 1, 4, 5)


def test_annotations_that_are_postponed_declare_the_same():
    module = types.ModuleType("postponed")
    exec(
        "from __future__ import annotations\nfrom typing import Annotated\nfrom inr_jax.settings import about\n"
        "def f(z, *, p: Annotated[float, about('power', low=1.0)] = 2.0): return z ** p\n",
        vars(module),
    )
    (setting,) = declared(module.f)
    assert setting.about.meaning == "power" and setting.traced
    with pytest.raises(Refused, match=r"p=0\.5 is out of range"):
        hypers(Design(network="mlp", activation=module.f), p=[0.5])


def test_a_parameter_that_names_a_function_receives_it_bound_to_its_settings():
    powers = Registry("power")

    @powers.register()
    def power(x, *, exponent: float = 2.0):
        return x**exponent

    def root(x, *, rule: Annotated[str, about("what is done", choices=powers)] = "power"):
        return rule(x)

    assert list(catalogue(root)) == ["rule", "exponent"]
    assert bind(root, {"exponent": 3.0})(2.0) == 8.0
    assert bind(root, {"rule": lambda x: -x})(2.0) == -2.0


@pytest.mark.parametrize(
    "path", ["no_such_module:f", "math:nope", "math:", ":f", "math", "gausian", ".relative:f", "math:pi"]
)
def test_what_cannot_be_imported_as_a_function_is_refused_by_its_name(path):
    with pytest.raises(Refused, match=r"cannot be imported|not callable|is not known") as refusal:
        KNOWN["encoding"].convert(path)
    assert repr(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_setting_of_another_type_says_which_is_expected():
    assert Setting("tags", (1,), about("several")).convert((2,)) == (2,)
    with pytest.raises(Refused, match="tags=3 is not tuple"):
        Setting("tags", (1,), about("several")).convert(3)


def test_the_public_names_are_those_of_the_package():
    assert (inr.Design, inr.Data, inr.Refused, inr.hypers) == (Design, Data, Refused, hypers)
