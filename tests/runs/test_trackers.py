"""Trackers get what was found, and whatever happens to them the sweep goes on."""

import contextlib
import os
import pty
import struct
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from tensorboardX.proto.event_pb2 import Event

from experiments import sweep
from inr_jax.cli.arguments import exit_status
from inr_jax.runs.members import restore_members
from inr_jax.runs.record import Record
from inr_jax.runs.trackers import tracker_names
from inr_jax.settings import Refused

SMALL = ["--config=scale:quick", "--config.size=16", "--config.design.steps=3", "--config.design.width=8"]
SMALL += ["--config.design.frequencies=4", "--config.axes.scale=1,4,16", "--config.axes.seed=0"]
TRACKER = """
import pandas as pd

class Notes:
    def __init__(self, directory, about):
        self.file, self.rows = directory / "notes.txt", []
        self.study = about["study"]

    def members(self, finished):
        self.rows += [(each.row, each.settings["scale"], each.scores["psnr_train"]) for each in finished]

    def close(self, table, figures):
        self.file.write_text(repr((self.study, self.rows, len(table), sorted(figures))))

class Members:  # a line for each time that a member is reported
    def __init__(self, directory, about):
        self.directory = directory

    def members(self, finished):
        with (self.directory / "members.txt").open("a") as file:
            for each in finished:
                curve = each.curves.history_train[: len(each.steps)].tolist()
                line = each.key, each.row, each.status, each.scores["ssim"], each.settings["scale"], curve
                print((*line, each.steps.tolist(), each.picture.tolist(), each.psnr), file=file)

    def close(self, table, figures):
        if (self.directory.parent / "down").exists():
            raise OSError("no login")
        (self.directory / "closed.txt").write_text(f"{len(table)} {sorted(figures)}")

class Breaks:
    def __init__(self, directory, about):
        pass

    def members(self, finished):
        raise ValueError("the server is down\\nand more")

    def close(self, table, figures):
        raise AssertionError("one that failed is left alone")

class NeverOpens(Breaks):
    def __init__(self, directory, about):
        raise OSError("no such account")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_tracker_of_a_test.py").write_text(TRACKER)
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_tracker_of_a_test"
    sys.modules.pop("own_tracker_of_a_test", None)


def swept(out, *arguments) -> pd.DataFrame:
    assert exit_status(sweep.main, [*SMALL, f"--out={out}", *arguments]) == 0
    return pd.read_csv(out / "results.csv")


def test_a_tracker_of_ones_own_is_told_of_every_member_once_and_of_the_end(own, tmp_path):
    out = tmp_path / "run"
    table = swept(out, f"--config.run.sinks={own}:Notes")
    study, rows, count, figures = eval((out / "notes.txt").read_text())
    assert (study, count) == ("scale", 3) and "psnr_against_scale" in figures
    assert sorted((row, scale) for row, scale, _ in rows) == [(0, 1.0), (1, 4.0), (2, 16.0)]
    np.testing.assert_allclose([psnr for *_, psnr in sorted(rows)], table["psnr_train"], rtol=1e-6)
    # More members: of those that are there already it is not told again.
    swept(out, f"--config.run.sinks={own}:Notes", "--config.axes.scale=1,4,16,32")
    assert [row for row, *_ in eval((out / "notes.txt").read_text())[1]] == [3]


def reported(out) -> list[str]:
    return sorted((out / "members.txt").read_text().splitlines()) if (out / "members.txt").exists() else []


def test_a_finished_run_is_reported_to_a_new_tracker_once_as_it_would_have_been_while_it_ran(own, tmp_path, capsys):
    live, late, sink = tmp_path / "live", tmp_path / "late", f"--config.run.sinks={own}:Members"
    swept(live, sink)
    swept(late)
    before = (late / "results.csv").read_bytes()
    capsys.readouterr()
    swept(late, sink)
    assert f"reported to {own}:Members" in capsys.readouterr().err
    assert len(reported(live)) == 3 and reported(late) == reported(live)
    assert (late / "closed.txt").read_text() == (live / "closed.txt").read_text()
    for out in (live, late):  # once
        swept(out, sink)
        assert len(reported(out)) == 3
    assert (late / "results.csv").read_bytes() == before
    # Another one beside it gets all of them, and this one nothing.
    swept(late, f"{sink},{own}:Notes")
    assert len(reported(late)) == 3 and len(eval((late / "notes.txt").read_text())[1]) == 3


def test_a_tracker_that_failed_receives_the_whole_run_from_the_next_command(own, tmp_path):
    out, sink = tmp_path / "run", f"--config.run.sinks={own}:Members,{own}:Notes"
    (tmp_path / "down").touch()
    swept(out, sink)
    assert set(Record(out).run.served) == {f"{own}:Notes"} and not (out / "closed.txt").exists()
    for path in (tmp_path / "down", out / "members.txt", out / "notes.txt"):
        path.unlink()
    swept(out, sink)
    assert len(reported(out)) == 3 and (out / "closed.txt").exists() and not (out / "notes.txt").exists()


def test_members_that_a_stopped_process_fitted_are_reported_by_the_one_that_resumes(own, tmp_path):
    out, sink = tmp_path / "run", f"--config.run.sinks={own}:Members"
    swept(out, "--config.run.chunk=1")
    (lost, *kept) = sorted((out / "members").glob("*.npz"))
    lost.unlink()
    swept(out, "--config.run.chunk=1", sink)
    assert len({eval(line.replace("nan", "None"))[0] for line in reported(out)}) == len(reported(out)) == 3
    assert sorted(Record(out).run.served[f"{own}:Members"]) == sorted(path.stem for path in (lost, *kept))


def test_shards_report_their_own_members_and_together_all(own, tmp_path):
    for shard in (0, 1):
        command = [*SMALL, f"--out={tmp_path / 'run'}", f"--shard={shard}/2", f"--config.run.sinks={own}:Members"]
        assert exit_status(sweep.main, command) == 0
    assert len(reported(tmp_path / "run")) == 3
    swept(tmp_path / "run", f"--config.run.sinks={own}:Members")
    assert len(reported(tmp_path / "run")) == 3


def test_a_tracker_that_fails_is_said_and_left_and_the_sweep_goes_on(own, tmp_path, capsys):
    broken = f"--config.run.sinks={own}:Breaks,{own}:NeverOpens,{own}:Notes"
    table = swept(tmp_path / "run", broken)
    said = capsys.readouterr().err
    assert said.count("is closed") == 2
    assert "the server is down; the run continues" in said and "no such account" in said
    assert (table["status"] == "ok").all() and (tmp_path / "run" / "notes.txt").exists()
    pd.testing.assert_frame_equal(table.drop(columns="seconds"), swept(tmp_path / "plain").drop(columns="seconds"))


def test_trackers_change_no_fingerprint(own, tmp_path):
    swept(tmp_path / "run")
    swept(tmp_path / "run", f"--config.run.sinks={own}:Notes")


@pytest.mark.parametrize("named", ["wandbb", "nowhere.at.all:Sink", "tensorboard,wand"])
def test_a_tracker_that_is_not_known_is_refused_before_anything_is_written(named, tmp_path, capsys):
    assert exit_status(sweep.main, [*SMALL, f"--out={tmp_path / 'run'}", f"--config.run.sinks={named}"]) == 2
    said = capsys.readouterr().err
    assert named.rpartition(",")[2] in said and said.count("\n") == 1 and not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "library"), [("wandb", "wandb"), ("tensorboard", "tensorboardX")])
def test_a_tracker_that_is_not_installed_is_named_with_its_extra(name, library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(Refused, match=rf"inr-jax\[{name}\]"):
        tracker_names(name)


def events(path) -> list[Event]:
    """A file of TensorBoard's: each event between its length with a checksum and a checksum of its own."""
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        found.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return found


def test_tensorboard_gets_each_members_curves_scores_settings_and_picture(tmp_path):
    table = swept(tmp_path / "run", "--config.run.sinks=tensorboard")
    keys = restore_members(Record(tmp_path / "run")).keys
    for row in range(3):
        folder = tmp_path / "run" / "tensorboard" / f"member_{keys[row][:8]}"
        values = [(e.step, v) for path in folder.rglob("events*") for e in events(path) for v in e.summary.value]
        curve = {step: value.simple_value for step, value in values if value.tag == "psnr_heldout" and step}
        assert max(curve) == 3
        assert curve[3] == pytest.approx(table["psnr_heldout"][row], abs=0.01)
        (final,) = (value.simple_value for _, value in values if value.tag == "final/ssim")
        assert final == pytest.approx(table["ssim"][row], rel=1e-5)
        assert any(value.tag == "picture" and value.image.width == 16 for _, value in values)
        assert any("hparams" in value.tag for _, value in values)


def test_members_that_an_extended_run_puts_between_others_have_folders_of_their_own(tmp_path):
    swept(tmp_path / "run", "--config.run.sinks=tensorboard")
    swept(tmp_path / "run", "--config.run.sinks=tensorboard", "--config.axes.seed=0,1")
    folders = list((tmp_path / "run" / "tensorboard").glob("member_*"))
    assert len(folders) == 6 and all(len(list(folder.glob("events*"))) == 1 for folder in folders)


def test_tensorboard_gets_a_finished_run_in_place_of_what_it_had_of_it(tmp_path):
    swept(tmp_path / "run")
    rest = tmp_path / "run" / "tensorboard" / f"member_{restore_members(Record(tmp_path / 'run')).keys[0][:8]}"
    rest.mkdir(parents=True)
    (rest / "events.of.a.process.that.was.stopped").touch()
    for _ in range(2):
        swept(tmp_path / "run", "--config.run.sinks=tensorboard")
        folders = list((tmp_path / "run" / "tensorboard").glob("member_*"))
        made = {path for folder in folders for path in folder.glob("events*")}
        assert len(folders) == 3 and len(made) == 3 and all(events(path) for path in made)


def history(run) -> list[str]:
    """All that a run of Weights & Biases has logged, as text."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = run.glob("*.wandb")
    data, at, parts, found = path.read_bytes(), 7, b"", []
    # LevelDB's log: pieces in blocks of 32 KiB, each after checksum, length and kind (1: a whole record, 4: its last).
    while at + 7 <= len(data):
        if 2**15 - at % 2**15 < 7:
            at += 2**15 - at % 2**15
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            found.append(str(Record.FromString(parts)))
            parts = b""
    return found


def without_account(home) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if "WANDB" not in k} | {"HOME": str(home), "TERM": "xterm"}


@pytest.mark.slow
def test_weights_and_biases_asks_at_a_terminal_who_one_is_before_anything_is_fitted(tmp_path):
    pytest.importorskip("wandb")
    command = [sys.executable, "-m", "experiments.sweep", *SMALL, f"--out={tmp_path / 'run'}"]
    ours, theirs = pty.openpty()
    pipes = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    asking = subprocess.Popen([*command, "--config.run.sinks=wandb"], env=without_account(tmp_path), **pipes)
    os.close(theirs)
    said = b""
    while b"Enter your choice" not in said:
        said += os.read(ours, 4096)
    assert not (tmp_path / "run").exists()
    os.write(ours, b"3\n")  # not to show the results
    with contextlib.suppress(OSError):  # the terminal's end
        while piece := os.read(ours, 4096):
            said += piece
    assert asking.wait(timeout=240) == 0 and b"is closed" not in said
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*"))


@pytest.mark.slow
def test_weights_and_biases_without_account_or_terminal_is_left_before_anything_is_fitted(tmp_path):
    pytest.importorskip("wandb")
    code = "from inr_jax.runs.trackers import Trackers; "
    code += f"print(Trackers(['wandb', 'tensorboard'], {str(tmp_path)!r}, {{}}).waiting.keys())"
    pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", code], env=without_account(tmp_path), timeout=240, **pipes)
    assert "sink wandb is closed" in done.stderr and done.stdout == "dict_keys(['tensorboard'])\n"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_weights_and_biases_gets_a_sweep_without_account_or_network(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    swept(tmp_path / "run", "--config.run.sinks=wandb")
    (run,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    whole = "\n".join(history(run))
    assert "members table" in whole and "psnr_against_scale" in whole
    assert "best psnr" in whole and "psnr_heldout/member 2" in whole


@pytest.mark.slow
def test_weights_and_biases_without_login_gets_the_run_from_a_second_command_offline(tmp_path):
    pytest.importorskip("wandb")
    command = [sys.executable, "-m", "experiments.sweep", *SMALL, f"--out={tmp_path / 'run'}"]
    command += ["--config.run.sinks=wandb"]
    pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 240, "check": True}
    account = without_account(tmp_path)
    assert "sink wandb is closed" in subprocess.run(command, env=account, **pipes).stderr
    assert "reported to wandb" in subprocess.run(command, env=account | {"WANDB_MODE": "offline"}, **pipes).stderr
    (run,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    whole = "\n".join(history(run))
    assert "members table" in whole and "psnr_against_scale" in whole and "psnr_heldout/member 2" in whole
    assert "reported" not in subprocess.run(command, env=account, **pipes).stderr  # nor asked to log in
