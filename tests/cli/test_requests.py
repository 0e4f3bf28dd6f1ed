"""Wrong requests: one line with the value, what is allowed and the nearest; status 2; nothing written."""

import contextlib
import io
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from experiments import render, report, sweep
from inr_jax.cli import config as configuration
from inr_jax.cli.arguments import Command, exit_status
from inr_jax.data.problem import Data
from inr_jax.runs.members import members_of
from inr_jax.settings import Refused
from inr_jax.sweep import grid

SCALE = "experiments/configs/scale.py"


def asked(*arguments: str) -> int:
    return exit_status(sweep.main, arguments)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--config.design.widht=1"], ["design.widht", "design.width"]),
        (["--config.hyper.scael=1"], ["hyper.scael", "hyper.scale"]),
        (["--config.axes.scal=1,2"], ["axes.scal", "scale"]),
        (["--config.scale=1"], ["scale", "hyper.scale"]),
        (["--config.design.width=abc"], ["design.width", "abc", "whole number"]),
        (["--config.design.width=1.5"], ["design.width", "1.5", "whole number"]),
        (["--config.hyper.learning_rate=fast"], ["learning_rate", "fast", "number"]),
        (["--config.axes.scale=a,b"], ["axes.scale", "a,b"]),
        (["--config.axes.width=1.5,2"], ["width", "1.5", "whole number"]),
        (["--config.axes.scale="], ["axes.scale", "empty"]),
        (["--config.axes.scale=()"], ["axes.scale", "empty"]),
        (["--config.axes.scale=1,-2"], ["scale", "-2", "at least 0"]),
        (["--config.axes.scale=1,nan"], ["axes.scale", "nan"]),
        (["--config.hyper.scale=5"], ["hyper.scale", "axes.scale=5"]),
        (["--config.hyper.omega_0=-1"], ["omega_0", "-1", "above 0"]),
        (["--config.hyper.omega_0=abc"], ["omega_0", "'abc' is not a number"]),
        (["--config.design.network=gauss", "--config.hyper.s=abc"], ["hyper.s", "'abc' is not a number"]),
        (["--config.design.encoding=gausian"], ["gausian", "'gaussian'", "octaves"]),
        (["--config.axes.encoding=gaussian,possitional"], ["possitional", "'positional'"]),
        (["--config.design.encoding=nowhere:f"], ["nowhere:f", "cannot be imported"]),
        (["--config.design.network=sirn"], ["sirn", "'siren'"]),
        (["--config.image=astronot"], ["astronot", "'astronaut'"]),
        (["--config.image=synthetic:zone"], ["zone", "'zone_plate'"]),
        (["--config.image=builtins:dict"], ["dict", "parameters"]),
        (["--config.image=README.md"], ["README.md", "cannot be read"]),
        (["--config.split=halves"], ["halves", "quarter"]),
        (["--config.size=-4"], ["size", "-4", "at least 0"]),
        (["--config.run.chunk=-1"], ["chunk", "-1"]),
        (["--config.run.chunks=1"], ["run.chunks", "run.chunk"]),
        (["--config.hyper.scale"], ["--config.hyper.scale: expected one argument"]),
        (["stray"], ["stray"]),
        (["--outt=x"], ["--outt", "'--out'"]),
        (["--dry_rum"], ["--dry_rum", "'--dry_run'"]),
    ],
)
def test_a_wrong_request_ends_in_one_line_and_status_2(arguments, named, capsys, tmp_path):
    out = tmp_path / "run"
    assert asked(f"--config={SCALE}:quick", f"--out={out}", *arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    for word in named:
        assert word in said.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("experiments/configs/scal.py", ["scal.py", "scale.py"]),
        (f"{SCALE}:quik", ["quik", "'quick'"]),
        ("scale.py", ["scale.py", "'scale'"]),
        ("README.md", ["README.md"]),
        ("pyproject.toml", ["pyproject.toml"]),
        ("inr_jax/fit/sines.py", ["VARIANTS"]),
    ],
)
def test_what_is_no_study_is_said(target, named, capsys):
    assert asked(f"--config={target}") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for word in named:
        assert word in said


def test_no_study_at_all_is_said(capsys):
    assert asked() == 2
    assert "--config" in capsys.readouterr().err


def test_help_lists_every_field_with_its_default(capsys):
    assert asked("--help") == 0
    said = capsys.readouterr().out
    assert all(name in said for name in (*grid.fields().every, "chunk", "axes.NAME"))


@pytest.mark.parametrize("text", ["1,2", "1.,2.", "[1, 2]", "(1.0, 2)", "1, 2, 1"])
def test_an_axis_is_the_same_however_its_values_are_written(text):
    assert configuration.load(SCALE, [("axes.scale", text)]).study.axes["scale"] == (1.0, 2.0)


def test_names_of_an_axis_are_split_at_commas():
    study = configuration.load(SCALE, [("axes.image", "a.png,b.png"), ("axes.encoding", "basic, gaussian")]).study
    assert study.axes["image"] == ("a.png", "b.png") and study.axes["encoding"] == ("basic", "gaussian")


@pytest.mark.parametrize(
    "text", ["{0}", "astronaut,{0}", "{0}, astronaut", "{1},{0},astronaut", "['{0}', 'astronaut']"]
)
def test_a_comma_in_a_files_name_does_not_split_it(text, tmp_path):
    names = [str(tmp_path / name) for name in ("one, two.png", "three.png")]
    for name in names:
        Path(name).touch()
    values = configuration.load(SCALE, [("axes.image", text.format(*names))]).study.axes["image"]
    assert values and set(values) <= {*names, "astronaut"} and names[0] in values


@pytest.mark.parametrize(
    "argument", ["--config.image=caf\udce9.png", "--config.axes.image=caf\udce9.png", "--out=\udce9"]
)
def test_a_name_that_is_not_utf_8_is_refused_before_anything_is_fitted(argument, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert asked("--config=scale:quick", argument) == 2
    said = capsys.readouterr().err
    assert "not UTF-8" in said and said.count("\n") == 1 and not list(tmp_path.iterdir())
    with pytest.raises(Refused, match=r"image='caf.*not UTF-8"):
        Data(image="caf\udce9.png")


def test_values_may_follow_after_a_blank(capsys):
    assert asked("--config", f"{SCALE}:quick", "--config.design.steps", "7", "--dry_run") == 0
    assert "7 steps" in capsys.readouterr().out


def test_what_the_cases_set_cannot_be_overridden_or_swept():
    for override in (("design.encoding", "basic"), ("axes.encoding", "basic,gaussian")):
        with pytest.raises(Refused, match="encoding"):
            grid.grid(configuration.load("experiments/configs/seed_table.py", [override]).study)


@pytest.mark.usefixtures("untimed")
def test_a_dry_run_writes_nothing(capsys, tmp_path):
    out = tmp_path / "run"
    assert asked(f"--config={SCALE}:quick", f"--out={out}", "--dry_run") == 0
    said = capsys.readouterr().out
    assert "32 members" in said and "chunk" in said and "MiB" in said and not out.exists()


@pytest.mark.parametrize(
    ("command", "arguments", "named"),
    [
        (render, ["nowhere", "--member=0", "--out=a.png"], ["nowhere"]),
        (render, [], ["RUN"]),
        (render, [".", "--member=0", "--out=a.png"], ["run.json"]),
        (report, ["nowhere"], ["nowhere"]),
        (report, ["a", "b"], ["unrecognized", "b"]),
        (report, [], ["required: RUN"]),
        (render, ["RUN", "--member", "--out=a.png"], ["--member: expected one argument"]),
        (render, ["RUN", "--member=-1", "--out=a.png"], ["--member=-1", "at least 0"]),
        (render, ["RUN", "--member=0", "--size=9y9", "--out=a.png"], ["--size=9y9", "1024x768"]),
        (render, ["RUN", "--memb=0", "--out=a.png"], ["--memb=0 is not known; did you mean '--member'?"]),
    ],
)
def test_the_other_commands_refuse_alike(command, arguments, named, capsys):
    assert exit_status(command.main, arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and all(word in said for word in named)
    assert not Path("a.png").exists()


TINY = [
    *("--config.size=8", "--config.design.width=4", "--config.design.depth=1", "--config.design.frequencies=2"),
    *("--config.axes.scale=1,2", "--config.axes.seed=0", "--config.design.octaves=2"),
]
AWKWARD = [
    *(
        "",
        " ",
        ",",
        "()",
        "[]",
        "[[1]]",
        "{1: 2}",
        "None",
        "True",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "-0",
        "0",
        "-1",
        "1.5",
    ),
    *(
        "0x10",
        "1_000",
        "٣",
        "1,2,",
        "1;2",
        "'a'",
        "range(3)",
        "2147483648",
        "1e40",
        "a:b",
        ":",
        "a.b:c",
        "os:sep",
        "[1, 'a']",
    ),
    *("gaussian", "auto", "--help", "=", "../..", "~", "synthetic:", "\n", "1\n2", "é", "🙂", "x" * 5000, "1" * 5000),
]
AXES = [f"{group}.{name}" for group in ("axes", "second") for name in grid.fields().every]
# Sizes are left small: whatever is right is also made.
texts = st.sampled_from(AWKWARD) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30
)
numbers = st.integers(-3, 40).map(str) | st.floats(-1e3, 1e3).map(repr)


def checked(argv) -> int:
    """Everything of a request that comes before the first step."""
    command = Command("tests", "")
    command.add_study()
    command.add_argument("--out")
    command.add_argument("--dry_run", action="store_true")
    request = command.parse(argv)
    members_of(configuration.load(request.config, request.fields).study)
    return 0


def ends_well(arguments: list[str], *named: str) -> None:
    """It is met, or refused in one line that says what it is about."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        status = exit_status(checked, arguments)
    said = err.getvalue()
    assert status in (0, 2)
    assert (said == "") if status == 0 else (said.startswith("error: ") and said.count("\n") == 1)
    assert status == 0 or all(name in said for name in named), said


@settings(max_examples=120, deadline=None, derandomize=True)
@given(name=st.sampled_from([*configuration.names(), *AXES]), text=texts | numbers)
def test_any_text_for_any_field_or_axis_is_met_or_refused_in_one_line_that_names_it(name, text):
    ends_well([f"--config={SCALE}:quick", *TINY, f"--config.{name}={text}"], name.rpartition(".")[2])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0=\n"), min_size=1, max_size=12))
def test_a_field_that_nobody_knows_is_refused_by_its_name(name):
    assume(name not in configuration.names())
    ends_well([f"--config={SCALE}:quick", f"--config.{name}=1"], name.strip())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(name=st.sampled_from(configuration.names()), at=st.integers(0, 20), letter=st.sampled_from("aeszx_"))
def test_a_slip_of_one_letter_is_refused_with_the_name_that_was_meant(name, at, letter):
    short = name.rpartition(".")[2]
    at = len(name) - len(short) + at % (len(short) + 1)
    slipped = name[:at] + letter + name[at:]
    assume(slipped not in configuration.names())
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        assert exit_status(checked, [f"--config={SCALE}:quick", f"--config.{slipped}=1"]) == 2
    assert slipped in err.getvalue() and "did you mean" in err.getvalue()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.sampled_from(["--", "-", "--out", "--config", "--config.", "--dry_run=1", "--help=no"]) | texts, max_size=4
    )
)
def test_any_arguments_at_all_are_met_or_refused_in_one_line(arguments):
    ends_well(arguments)


@pytest.mark.parametrize(("field", "value"), [("width", 2**31 - 1), ("frequencies", 10**9)])
def test_a_network_that_no_machine_holds_is_not_a_traceback(field, value, tmp_path, capsys):
    out = tmp_path / "run"
    tiny = [part for part in TINY if f"design.{field}" not in part]
    status = asked(f"--config={SCALE}:quick", *tiny, f"--config.design.{field}={value}", f"--out={out}")
    said = capsys.readouterr()
    assert status == 1 and "memory" in said.err and "Traceback" not in said.err
