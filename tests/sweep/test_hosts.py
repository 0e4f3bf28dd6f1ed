"""One program over two processes of two devices each, by gloo: what one process makes of it, each writing its own."""

import re
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from inr_jax.runs import record as records
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
def test_two_processes_make_what_one_makes(tmp_path, more):
    """Nine members in chunks of four: the last has one, and the second process nobody. Large scales diverge."""
    more = [*more, "--config.design.optimizer=sgd", "--config.axes.learning_rate=0.1,1e30"]
    ended([start(tmp_path / "alone", *more)])
    (first, _), (second, _) = ended(pair(tmp_path / "run", *more))
    same(tmp_path / "run", tmp_path / "alone")
    assert "diverged" in set(pd.read_csv(tmp_path / "run" / "results.csv")["status"])
    assert "report: " in first and "report: " not in second


def test_each_process_writes_its_own_members(tmp_path):
    ended(pair(tmp_path, "--config.design.steps=5"))
    sizes = sorted(len(records.said_of(path)["keys"]) for path in (tmp_path / "members").glob("[!.]*.npz"))
    assert sizes == [1, 2, 2, 2, 2]
    (plan,) = records.Record(tmp_path).run["plans"].values()
    assert (plan["chunk"], plan["devices"]) == (4, 4)


def test_both_stop_when_one_is_asked_to_and_go_on_from_their_checkpoints(tmp_path):
    steps = "--config.design.steps=20000"
    ended([start(tmp_path / "alone", steps)])
    out = tmp_path / "run"
    both = pair(out, steps)
    while len(list(out.glob("checkpoints/[!.]*.npz"))) < 2:
        assert all(each.poll() is None for each in both), [each.communicate() for each in both]
        time.sleep(0.02)
    both[1].send_signal(signal.SIGTERM)
    said = [each.communicate(timeout=240)[1] for each in both]
    assert [each.returncode for each in both] == [143, 143], said
    assert all("To go on: python -m experiments.sweep" in err for err in said)
    again = ended(pair(out, steps))
    assert all(re.search(r"go on at step [1-9]", err) for _, err in again)
    same(out, tmp_path / "alone")
    assert len(members(out)) == 9


def test_without_others_it_is_refused_in_one_line(tmp_path):
    alone = start(tmp_path / "run", "--distributed")
    err = alone.communicate(timeout=120)[1]
    assert alone.returncode == 2 and err.count("\n") == 1 and "JAX_COORDINATOR_ADDRESS" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("more", ["--shard=0/2", "--engine=ray", "--config.run.sinks=tensorboard"])
def test_what_does_not_go_together_is_refused(tmp_path, more):
    refused = start(tmp_path / "run", "--distributed", more)
    err = refused.communicate(timeout=120)[1]
    assert refused.returncode == 2 and err.count("\n") == 1 and "--distributed" in err
