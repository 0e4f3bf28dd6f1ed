"""Axes and cases to members: each distinct one once, named by what it is."""

import dataclasses
import sys

import numpy as np
import pytest

from inr_jax.cli import config as configuration
from inr_jax.settings import Data, Design, Hyper, Refused, Run, Study
from inr_jax.sweep import grid

BASE = {f.name: f.default for g in (Data, Design, Hyper) for f in dataclasses.fields(g) if f.name != "own"}


def study(axes=None, cases=({},), **settings) -> Study:
    return Study("test", "full", BASE | settings, axes or {}, tuple(cases), Run())


def keys(asked: Study) -> list[str]:
    return [grid.identity(member) for member in grid.grid(asked).members]


def test_members_are_the_product_of_the_axes_times_the_cases_the_last_axis_fastest():
    made = grid.grid(study({"scale": (1.0, 2.0), "seed": (0, 1)}, [{"width": 8}, {"width": 16}]))
    found = [(m.design.width, m.hyper.scale, m.hyper.seed) for m in made.members]
    assert found == [(w, s, k) for w in (8, 16) for s in (1.0, 2.0) for k in (0, 1)]
    assert made.points.shape == (2, 2, 2) and made.points.ravel().tolist() == list(range(8))


def test_a_setting_that_is_not_read_is_blank_and_makes_no_second_member():
    made = grid.grid(study({"scale": (1.0, 2.0, 3.0)}, [{"encoding": "identity"}, {"encoding": "gaussian"}]))
    assert len(made.members) == 4
    assert made.points.tolist() == [[0, 0, 0], [1, 2, 3]]
    plain = made.members[0]
    assert all(plain.settings[name] is None for name in ("scale", "frequencies", "omega_0", "octaves", "weight_decay"))
    assert plain.settings["learning_rate"] == 1e-3


def test_a_value_added_to_an_axis_changes_no_other_member():
    few, more = keys(study({"scale": (1.0, 4.0)})), keys(study({"scale": (1.0, 2.0, 4.0), "seed": (0, 1)}))
    assert set(few) < set(more)


def test_the_same_pixels_and_settings_are_the_same_member_and_others_are_not():
    member = grid.grid(study()).members[0]
    assert grid.identity(member, "a") == grid.identity(member, "a") != grid.identity(member, "b")
    assert len(set(keys(study({"steps": (1, 2), "split": ("quarter", "rows")})))) == 4


def test_batches_share_design_and_data_and_hold_every_member_once():
    made = grid.grid(study({"width": (8, 16), "scale": (1.0, 2.0), "split": ("all", "rows")}))
    found = grid.batches(made.members, range(len(made.members)))
    assert len(found) == 4
    assert sorted(np.concatenate([b.rows for b in found]).tolist()) == list(range(8))
    for batch in found:
        assert {(made.members[r].design, made.members[r].data) for r in batch.rows} == {(batch.design, batch.data)}
        np.testing.assert_array_equal(batch.hypers.scale, [made.members[r].hyper.scale for r in batch.rows])


def test_an_axis_that_a_case_sets_is_refused():
    with pytest.raises(Refused, match="scale"):
        grid.grid(study({"scale": (1.0, 2.0)}, [{"scale": 3.0}]))


@pytest.mark.parametrize(
    "settings",
    [
        {"network": "relu", "init": "siren"},
        {"encoding": "positional", "frequencies": 1},
        {"encoding": "identity", "learn_frequencies": True},
        {"encoding": "no_such_module:function"},
        {"scale": -1.0},
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings):
    with pytest.raises(Refused):
        grid.grid(study(**settings))


def test_auto_is_resolved_and_stands_in_the_table_as_what_it_became():
    made = grid.grid(study(cases=[{"network": "relu"}, {"network": "siren"}]))
    assert [(m.settings["init"], m.settings["output"]) for m in made.members] == [
        ("flax", "sigmoid"),
        ("siren", "linear"),
    ]
    assert grid.grid(study({"init": ("auto", "flax")})).points.tolist() == [[0, 0]]


OWN = """
import jax.numpy as jnp
def rings(coords, key, *, ring_count=3, sharpness=2.0):
    radius = jnp.linalg.norm(coords - 0.5, axis=-1, keepdims=True)
    return jnp.cos(sharpness * radius * jnp.arange(1, ring_count + 1))
"""


def test_an_own_encoding_brings_its_own_fields_which_may_be_axes(tmp_path, monkeypatch):
    (tmp_path / "rings_of_a_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "rings_of_a_test:rings"
    path = tmp_path / "own_study.py"
    path.write_text(
        "from inr_jax.cli.config import base\nVARIANTS = {'full': ''}\n"
        f"def get_config(variant):\n    config = base()\n    config.design.encoding = {name!r}\n    return config\n"
    )
    overrides = [("axes.sharpness", "1,2"), ("axes.ring_count", "3,4"), ("axes.scale", "1,2,3")]
    made = grid.grid(configuration.load(str(path), overrides).study)
    assert len(made.members) == 4
    assert made.members[0].design.own == (("ring_count", 3),) and made.members[0].hyper.own == {"sharpness": 1.0}
    assert made.members[0].settings["scale"] is None
    with pytest.raises(Refused, match="sharpnes"):
        configuration.load(str(path), [("axes.sharpnes", "1,2")])


def test_a_sources_settings_are_axes_also_where_only_a_case_names_it():
    made = grid.grid(study({"angle": (0.0, 45.0)}, [{"image": "synthetic:wave"}, {"image": "astronaut"}], size=16))
    assert [m.data.own for m in made.members[:2]] == [
        (("angle", 0.0), ("cycles", 10.0)),
        (("angle", 45.0), ("cycles", 10.0)),
    ]
    # The photograph reads no angle: it is one member.
    assert len(made.members) == 3 and made.members[2].settings["angle"] is None


def written(tmp_path, body: str, start: str):
    (tmp_path / "own_functions.py").write_text("import numpy as np\n" + body)
    path = tmp_path / "own_study.py"
    path.write_text(
        "from inr_jax.cli.config import base\nVARIANTS = {'full': ''}\n"
        f"def get_config(variant):\n    config = {start}\n    config.size = 8\n    return config\n"
    )
    return str(path)


@pytest.fixture
def own_functions(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_functions", None)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("def f(side, *, seed=0): return np.zeros((side, side))", "'seed'"),
        ("def f(side, *, status=0): return np.zeros((side, side))", "'status'"),
        ("def f(side, *, octave=0): return np.zeros((side, side))", "'octave'"),
        ("def f(side, *, level_half=0): return np.zeros((side, side))", "'level_half'"),
        ("def f(side, *, level): return np.zeros((side, side))", "default"),
    ],
)
def test_a_sources_keyword_that_is_taken_already_or_has_no_default_is_refused_by_name(
    tmp_path, own_functions, body, says
):
    with pytest.raises(Refused, match=says):
        configuration.load(written(tmp_path, body, "base(image='own_functions:f')"))


def test_two_functions_share_a_setting_only_if_it_is_the_same(tmp_path, own_functions):
    body = "def f(side, *, power=1): return np.zeros((side, side))\n"
    body += "def g(coords, key, *, power={}): return coords ** power"
    start = "base(image='own_functions:f', encoding='own_functions:g')"
    with pytest.raises(Refused, match="power"):
        configuration.load(written(tmp_path, body.format("1.0"), start))
    sys.modules.pop("own_functions")
    loaded = configuration.load(written(tmp_path, body.format("1"), start), [("axes.power", "1,2")])
    made = grid.grid(loaded.study).members
    assert [(m.data.own, m.design.own) for m in made] == [(((("power", n)),),) * 2 for n in (1, 2)]


def test_another_image_or_encoding_takes_the_place_of_the_studys_with_its_settings():
    for study_file, override in (
        ("axis_aligned", ("image", "astronaut")),
        ("falloff", ("design.encoding", "gaussian")),
    ):
        asked = configuration.load(f"experiments/configs/{study_file}.py:quick", [override]).study
        assert not {"angle", "power"} & {*asked.settings, *asked.axes}
        assert grid.grid(asked).members
