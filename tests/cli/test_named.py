"""Another network than a study's own: what the study set for its own is left to it, and what does not fit is said."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import sweep
from inr_jax.cli import config as configuration
from inr_jax.cli.arguments import exit_status
from inr_jax.cli.named import own_settings
from inr_jax.fit.design import Design
from inr_jax.fit.networks import FEATURED, NETWORKS, coordinates
from inr_jax.settings import Refused
from inr_jax.sweep.grid import grid

STUDY = """
from inr_jax.cli.config import base

VARIANTS = {"only": "a SIREN with numbers of its own"}


def get_config(variant):
    config = base(network="siren", encoding="identity")
    config.size, config.design.output, config.design.width, config.design.init = 16, "sigmoid", 8, "siren"
    config.hyper.omega_0, config.hyper.omega_first, config.hyper.learning_rate = 25.0, 60.0, 5e-4
    return config
"""


def loaded(target: str, *overrides: tuple[str, str]):
    return configuration.load(target, overrides)


@pytest.fixture(scope="module")
def own_study(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "own.py"
    path.write_text(STUDY)
    return str(path)


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([name for name in NETWORKS if name not in ("relu", "direct")]), st.booleans())
def test_what_a_study_sets_for_its_network_is_left_to_another(network, swept):
    study = loaded("scale:quick", ("axes.network" if swept else "design.network", network)).study
    member = grid(study)[0].settings
    assert member["network"] == network and member["init"] != "glorot"
    assert study.settings["width"] == loaded("scale:quick").study.settings["width"] == 128


def test_the_studys_own_network_keeps_what_the_study_sets():
    for overrides in ([("design.network", "relu")], [("axes.network", "relu")], []):
        found = loaded("scale:quick", *overrides)
        assert found.study.settings["init"] == "glorot" and not found.notes


@pytest.mark.parametrize("name", ["design.init", "axes.init"])
def test_what_is_given_is_kept_beside_another_network(name):
    study = loaded("scale:quick", ("design.network", "gelu"), (name, "glorot")).study
    assert {member.settings["init"] for member in grid(study)} == {"glorot"}


def test_numbers_of_the_network_are_left_too_but_no_sizes_no_output_and_no_rate(own_study):
    mine, other = (grid(loaded(own_study, *each).study)[0].settings for each in ((), (("design.network", "wire"),)))
    assert (mine["omega_0"], mine["omega_first"], mine["init"]) == (25.0, 60.0, "siren")
    assert (other["omega_0"], other["omega_first"], other["init"]) == (20.0, 0.0, "torch")
    finer = grid(loaded(own_study, ("design.network", "finer")).study)[0].settings
    assert (finer["omega_0"], finer["init"]) == (30.0, "finer")
    assert [finer[name] == mine[name] for name in ("width", "output", "learning_rate", "encoding")] == [True] * 4


def test_networks_on_an_axis_all_begin_as_their_own():
    members = grid(loaded("scale:quick", ("axes.network", "relu,siren,finer")).study)
    inits = dict(zip(members.column("network"), members.column("init"), strict=True))
    assert inits == {"relu": "flax", "siren": "siren", "finer": "finer"}


def test_a_study_whose_cases_name_networks_keeps_them():
    with pytest.raises(Refused, match="cases of this study set it"):
        loaded("interpolation:quick", ("design.network", "siren"))
    assert not loaded("interpolation:quick").notes


def test_what_is_left_and_where_the_network_stands_are_said_in_lines():
    left, stands = loaded("scale:quick", ("design.network", "siren")).notes
    assert "network=siren" in left and "init=glorot" in left
    assert "encoding=gaussian" in stands
    assert "--config.design.encoding=identity --config.design.domain=signed" in stands
    given = [("design.network", "siren"), ("design.encoding", "gaussian"), ("design.domain", "unit")]
    assert loaded("scale:quick", *given).notes == (left,)
    assert loaded("scale:quick", ("design.network", "gelu")).notes[1:] == ()


def test_a_rule_that_ignores_omega_is_said_for_sines_alone():
    (_, said) = loaded("scale:quick", ("axes.network", "siren,gauss"), ("axes.init", "auto,glorot,variance")).notes
    assert "network=siren trains badly with init=glorot" in said and "gauss" not in said


@pytest.mark.usefixtures("untimed")
def test_the_lines_are_on_stderr_and_of_a_dry_run_in_its_text(capsys, tmp_path):
    small = ["--config.size=8", "--config.design.steps=2", "--config.design.width=4", "--config.axes.seed=0"]
    small += ["--config=scale:quick", "--config.axes.scale=1", "--config.design.network=siren"]
    assert exit_status(sweep.main, [*small, "--dry_run"]) == 0
    assert "init=glorot" in capsys.readouterr().out
    assert exit_status(sweep.main, [*small, f"--out={tmp_path / 'run'}"]) == 0
    assert capsys.readouterr().err.count("network=siren") == 2
    wrong = [*small, "--config.image=nowhere.png", f"--out={tmp_path / 'other'}"]
    assert exit_status(sweep.main, wrong) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_networks_of_coordinates_are_those_with_numbers_for_coordinates():
    assert {name for name in NETWORKS if not coordinates(name)} == set(FEATURED)
    assert {name for name in NETWORKS if Design(network=name).get("init") == "flax"} == set(FEATURED) - {"direct"}
    assert {"omega_0", "s", "k", "input_scale"} <= set(own_settings()) and "width" not in own_settings()
