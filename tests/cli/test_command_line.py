"""What helps at the command line: lists, progress, and no colours where they are not wanted."""

import importlib
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from experiments import sweep
from inr_jax.cli import listing, studies
from inr_jax.cli.arguments import CLOSED, exit_status, typed
from inr_jax.data import images
from inr_jax.data.synthetic import SYNTHETIC
from inr_jax.fit import encodings as features
from inr_jax.fit import networks
from inr_jax.runs import events
from inr_jax.runs.events import Advanced, ChunkStarted, Progress


def printed(capsys, *arguments: str) -> str:
    assert exit_status(sweep.main, arguments) == 0
    return capsys.readouterr().out


def test_help_names_every_field_with_its_default_and_meaning(capsys):
    lines = printed(capsys, "--help").splitlines()
    rows = [row for group in listing.listed().values() for row in group]
    assert {row.name for row in rows} >= {"image", "design.width", "hyper.scale", "run.chunk"}
    for name, setting, _ in rows:
        (line,) = (line for line in lines if line.startswith(f"  {name} "))
        assert setting.about.meaning in line and str(setting.default) in line and setting.about.unit in line


def test_the_list_names_studies_encodings_networks_and_images(capsys):
    said = printed(capsys, "--list")
    for path in Path("experiments/configs").glob("*.py"):
        question, variants = studies.about(path)
        assert f"{path.stem}: {question}" in said and all(f"{path.stem}:{name}" in said for name in variants)
    for name in (*features.ENCODINGS, *networks.NETWORKS, *images.SAMPLES, *SYNTHETIC):
        assert name in said


def test_a_study_that_comes_along_goes_by_its_name_from_anywhere(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert "32 members" in printed(capsys, "--config=scale:quick", "--dry_run")
    assert exit_status(sweep.main, ["--config=scael:quick", "--dry_run"]) == 2
    assert "'scale'" in capsys.readouterr().err


def test_every_console_command_is_there():
    for name, path in tomllib.loads(Path("pyproject.toml").read_text())["project"]["scripts"].items():
        module, _, entry = path.partition(":")
        assert name == f"inr-{module.rpartition('.')[2]}" and callable(getattr(importlib.import_module(module), entry))


def test_the_console_command_is_the_same(tmp_path):
    command = Path(sys.executable).with_name("inr-sweep")
    done = subprocess.run([command, "--config=scael"], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 2 and "'scale'" in done.stderr and done.stderr.count("\n") == 1


class Terminal:
    """A stream that says it is a terminal, and keeps what it is told."""

    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text
        return len(text)

    def flush(self):
        pass


def test_a_terminal_gets_a_bar_with_members_best_steps_and_time_left_in_no_colours(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    with Progress(4, 400) as shown:
        shown(ChunkStarted(2, 0))
        shown(Advanced(2, 50))
        shown.best, shown.done = 25.5, 2
        shown.bar.refresh()
        shown(Advanced(2, 100))
        shown.bar.refresh()
    assert "2/4 members, best 25.50 dB" in terminal.text and "200/400" in terminal.text and "<00:0" in terminal.text
    assert "\x1b[3" not in terminal.text and "\x1b[4" not in terminal.text


def test_without_a_terminal_there_are_plain_lines_now_and_then(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(events.time, "monotonic", lambda: now[0])
    with Progress(4, 400) as shown:
        shown(ChunkStarted(4, 0))
        for step in range(10, 101, 10):
            now[0] += 4.0
            shown(Advanced(4, step))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0] == "0/4 members, 160/400 member-steps, about 00:24 left"
    assert np.all(["\x1b" not in line for line in lines])


def test_steps_of_a_process_before_this_one_do_not_make_the_time_left_shorter(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(events.time, "monotonic", lambda: now[0])
    with Progress(4, 400) as shown:
        shown(ChunkStarted(4, 80))
        shown(Advanced(4, 80))
        now[0] += 16.0
        shown(Advanced(4, 90))
    assert capsys.readouterr().err == "0/4 members, 360/400 member-steps, about 00:16 left\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_gone_ends_a_command_without_a_word(unbuffered):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "experiments.sweep", "--list"]
    there = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=300, env=there)
    os.close(writing)
    assert done.returncode == CLOSED and done.stderr == ""


def test_another_pipe_that_breaks_is_an_error(capfd):
    def broken(argv):
        raise BrokenPipeError("a tracker has gone")

    assert exit_status(broken, []) == 1 and capfd.readouterr().err == "error: a tracker has gone\n"


def test_how_to_resume_repeats_the_command_as_it_was_typed(monkeypatch, capsys):
    def stopped(argv):
        os.kill(os.getpid(), signal.SIGTERM)
        while True:
            pass

    stopped.__module__ = "experiments.sweep"
    for script, command in (("/bin/inr-sweep", "inr-sweep"), ("sweep.py", "python -m experiments.sweep")):
        monkeypatch.setattr(sys, "argv", [script])
        assert exit_status(stopped, ["--config=a b"]) == 128 + signal.SIGTERM
        assert f"To go on: {command} '--config=a b'\n" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["/bin/inr-sweep"])
    assert typed("experiments.report") == ["inr-report"] and sweep.command().prog == "inr-sweep"
