"""Two processes of two devices each that join over gloo: each fits a share, and together they make what one makes."""

import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from experiments import sweep
from inr_jax.cli.arguments import exit_status
from inr_jax.runs.format import read_about
from inr_jax.runs.record import Record
from tests.comparison import members, same
from tests.slow import cluster_faults

AXES = ["--config.axes.scale=1,2,400", "--config.axes.seed=0,1,2"]


def start(out: Path, *more: str) -> subprocess.Popen:
    return cluster_faults.start(out, *AXES, *more, NPROC="2")


def pair(out: Path, *more: str) -> list[subprocess.Popen]:
    return cluster_faults.pair(out, *AXES, *more, NPROC="2")


def ended(started: list[subprocess.Popen]) -> list[tuple[str, str]]:
    said = [each.communicate(timeout=240) for each in started]
    assert [each.returncode for each in started] == [0] * len(started), said
    return said


@pytest.mark.parametrize("more", [["--config.design.steps=300"], ["--config.design.steps=64", "--config.run.keep=0.5"]])
@pytest.mark.slow
def test_two_processes_make_what_one_makes(tmp_path, more):
    """An odd number of members, of which large rates diverge; where they are halved all of them are in one share."""
    more = [*more, "--config.design.optimizer=sgd", "--config.axes.learning_rate=0.1,1e30"]
    ended([start(tmp_path / "alone", *more)])
    outputs = [out for out, _ in ended(pair(tmp_path / "run", *more))]
    same(tmp_path / "run", tmp_path / "alone")
    assert "diverged" in set(pd.read_csv(tmp_path / "run" / "results.csv")["status"])
    assert any("report: " in out for out in outputs), "the last to finish writes the results"


@pytest.mark.slow
def test_each_process_fits_its_share_on_its_own_devices(tmp_path):
    ended(pair(tmp_path, "--config.design.steps=5"))
    sizes = sorted(len(read_about(path)["keys"]) for path in (tmp_path / "members").glob("[!.]*.npz"))
    assert sizes == [1, 2, 2, 2, 2], "four and five members, two at a time"
    (plan,) = Record(tmp_path).run.plans.values()
    assert (plan["chunk"], plan["devices"]) == (2, 2)


@pytest.mark.slow
def test_a_killed_process_costs_the_other_nothing_and_the_same_command_goes_on_from_its_checkpoint(tmp_path):
    steps, out = "--config.design.steps=10000", tmp_path / "run"
    ended([start(tmp_path / "alone", steps)])
    killed, other = pair(out, steps)
    while not cluster_faults.working(out, killed.pid):
        assert killed.poll() is None and other.poll() is None, (killed.communicate(), other.communicate())
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    ended([other])
    ((_, err),) = ended([start(out, steps)])
    assert "go on at step" in err
    same(out, tmp_path / "alone")
    assert len(members(out)) == 9


def test_without_others_it_is_refused_in_one_line(tmp_path):
    alone = start(tmp_path / "run", "--distributed")
    err = alone.communicate(timeout=120)[1]
    assert alone.returncode == 2 and err.count("\n") == 1 and "JAX_COORDINATOR_ADDRESS" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("more", ["--shard=0/2", "--engine=ray"])
def test_what_does_not_go_together_is_refused(tmp_path, more, capsys):
    assert exit_status(sweep.main, ["--config=scale:quick", f"--out={tmp_path / 'run'}", "--distributed", more]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "--distributed" in err
