"""Axes and cases to members: each distinct one once, named by what it is."""

import sys

import numpy as np
import pytest

from inr_jax.cli import config as configuration
from inr_jax.runs.members import members_of
from inr_jax.settings import Refused
from inr_jax.sweep import grid
from inr_jax.sweep.study import Run, Study

BASE = {name: setting.default for name, setting in grid.fields().every.items()}


def study(axes=None, cases=({},), **settings) -> Study:
    return Study("test", "full", BASE | settings, axes or {}, tuple(cases), Run())


def keys(asked: Study) -> list[str]:
    made = grid.grid(asked)
    return made.keys({kind.like.data: "" for kind in made.kinds})


def test_members_are_the_product_of_the_axes_times_the_cases_the_last_axis_fastest():
    made = grid.grid(study({"scale": (1.0, 2.0), "seed": (0, 1)}, [{"width": 8}, {"width": 16}]))
    found = [(m.design.width, m.hyper.scale, m.hyper.seed) for m in made]
    assert found == [(w, s, k) for w in (8, 16) for s in (1.0, 2.0) for k in (0, 1)]
    assert made.points.shape == (2, 2, 2) and made.points.ravel().tolist() == list(range(8))


def test_a_setting_that_is_not_read_is_blank_and_makes_no_second_member():
    made = grid.grid(study({"scale": (1.0, 2.0, 3.0)}, [{"encoding": "identity"}, {"encoding": "gaussian"}]))
    assert len(made) == 4
    assert made.points.tolist() == [[0, 0, 0], [1, 2, 3]]
    plain = made[0]
    assert all(plain.settings[name] is None for name in ("scale", "frequencies", "omega_0", "octaves", "weight_decay"))
    assert plain.settings["learning_rate"] == 1e-3


def test_a_value_added_to_an_axis_changes_no_other_member():
    few, more = keys(study({"scale": (1.0, 4.0)})), keys(study({"scale": (1.0, 2.0, 4.0), "seed": (0, 1)}))
    assert set(few) < set(more)


def test_the_same_pixels_and_settings_are_the_same_member_and_others_are_not():
    made = grid.grid(study())
    data = made[0].data
    assert made.keys({data: "a"}) == made.keys({data: "a"}) != made.keys({data: "b"})
    assert len(set(keys(study({"steps": (1, 2), "split": ("quarter", "rows")})))) == 4


def test_batches_share_design_and_data_and_hold_every_member_once():
    made = grid.grid(study({"width": (8, 16), "scale": (1.0, 2.0), "split": ("all", "rows")}))
    found = grid.batches(made, range(len(made)))
    assert len(found) == 4
    assert sorted(np.concatenate([b.rows for b in found]).tolist()) == list(range(8))
    for batch in found:
        assert {(made[r].design, made[r].data) for r in batch.rows} == {(batch.design, batch.data)}
        np.testing.assert_array_equal(batch.hypers.scale, [made[r].hyper.scale for r in batch.rows])


def test_the_columns_are_those_of_the_members():
    axes = {"scale": (1.0, 2.0), "encoding": ("gaussian", "identity"), "seed": (0, 3)}
    made = grid.grid(study(axes, [{"label": "a"}, {"label": "b", "width": 8}]))
    for name in made.names():
        assert made.column(name) == [member.settings[name] for member in made]
    assert made.remark("label") == [member.remarks["label"] for member in made]
    for name, column in made.swept.items():
        values = [member.hyper.get(name, np.nan) for member in made]
        np.testing.assert_array_equal(column, values)


def test_a_member_has_the_same_key_whichever_of_its_settings_are_swept():
    swept = study({"scale": (1.0, 2.0), "learning_rate": (1e-3,), "seed": (0,)})
    by_case = study({"seed": (0,)}, [{"scale": 1.0}, {"scale": 2.0}])
    assert keys(swept) == keys(by_case) == [*keys(study(scale=1.0)), *keys(study(scale=2.0))]


def test_a_member_takes_tens_of_bytes_however_many_there_are():
    made = grid.grid(study({"scale": tuple(np.arange(1.0, 301.0)), "seed": tuple(range(100))}))
    assert len(made) == 30_000 and len(made.kinds) == 1
    arrays = [made.kind, made.points, *made.swept.values()]
    assert sum(array.nbytes for array in arrays) <= 40 * len(made)


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
        members_of(study(**settings))


def test_auto_is_resolved_and_stands_in_the_table_as_what_it_became():
    made = grid.grid(study(cases=[{"network": "relu"}, {"network": "siren"}]))
    assert [(m.settings["init"], m.settings["output"]) for m in made] == [
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
    assert len(made) == 4
    assert made[0].design.ring_count == 3 and made[0].hyper.sharpness == 1.0
    assert made[0].settings["scale"] is None
    with pytest.raises(Refused, match="sharpnes"):
        configuration.load(str(path), [("axes.sharpnes", "1,2")])


def test_a_sources_settings_are_axes_also_where_only_a_case_names_it():
    made = grid.grid(study({"angle": (0.0, 45.0)}, [{"image": "synthetic:wave"}, {"image": "astronaut"}], size=16))
    assert [(m.data.angle, m.data.cycles) for m in made[:2]] == [(0.0, 10.0), (45.0, 10.0)]
    # The photograph reads no angle: it is one member.
    assert len(made) == 3 and made[2].settings["angle"] is None


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
    made = grid.grid(loaded.study)
    assert [(m.data.power, m.design.power) for m in made] == [(1, 1), (2, 2)]


def test_another_image_or_encoding_takes_the_place_of_the_studys_with_its_settings():
    for study_file, override in (
        ("axis_aligned", ("image", "astronaut")),
        ("falloff", ("design.encoding", "gaussian")),
    ):
        asked = configuration.load(f"experiments/configs/{study_file}.py:quick", [override]).study
        assert not {"angle", "power"} & {*asked.settings, *asked.axes}
        assert grid.grid(asked)
