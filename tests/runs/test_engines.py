"""Shards and engines: every member is fitted once, by whom ever, and is what one process would have made of it."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import report, sweep
from inr_jax.cli import config as configuration
from inr_jax.cli.arguments import exit_status
from inr_jax.data.problem import load_task
from inr_jax.runs import engines
from inr_jax.runs.engines import Shard
from inr_jax.runs.members import members_of
from inr_jax.runs.record import Record
from inr_jax.runs.results import open_run
from inr_jax.runs.work import planned
from inr_jax.sweep.grid import batches
from tests.comparison import same

QUICK = "--config=experiments/configs/scale.py:quick"
FEW = ["--config.size=16", "--config.design.steps=8", "--config.design.frequencies=8", "--config.design.depth=1"]
FEW += ["--config.axes.scale=1,4,8", "--config.axes.width=8,16", "--config.axes.seed=0,1"]


def asked(out: Path, *more: str) -> list[str]:
    return [QUICK, *FEW, f"--out={out}", *more]


def command(*arguments: str, **how) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-m", "experiments.sweep", *arguments], **pipes, **how)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """A run that one process made."""
    out = tmp_path_factory.mktemp("alone") / "run"
    assert exit_status(sweep.main, asked(out)) == 0
    return out


@pytest.mark.slow
def test_members_of_no_steps_are_in_a_share_too(tmp_path):
    for number in range(2):
        assert exit_status(sweep.main, asked(tmp_path, "--config.design.steps=0", f"--shard={number}/2")) == 0
    assert (pd.read_csv(tmp_path / "results.csv")["status"] == "ok").all()


@pytest.mark.slow
def test_fewer_values_on_an_axis_leave_the_results_of_those(tmp_path):
    assert exit_status(sweep.main, asked(tmp_path)) == 0
    assert exit_status(sweep.main, asked(tmp_path, "--config.axes.scale=1,4")) == 0
    assert len(pd.read_csv(tmp_path / "results.csv")) == 8


@pytest.mark.slow
def test_members_that_were_pruned_are_fitted_on_by_all_shards_where_nobody_shall_be(tmp_path):
    steps = "--config.design.steps=64"
    assert exit_status(sweep.main, asked(tmp_path, steps, "--config.run.keep=0.5")) == 0
    assert "pruned" in set(pd.read_csv(tmp_path / "results.csv")["status"])
    for number in range(2):
        assert exit_status(sweep.main, asked(tmp_path, steps, f"--shard={number}/2")) == 0
    assert set(pd.read_csv(tmp_path / "results.csv")["status"]) == {"ok"}


@pytest.mark.parametrize("of", [1, 5, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("together", [False, True])
def test_every_member_is_in_exactly_one_share(of, together):
    loaded = configuration.load(
        "experiments/configs/scale.py:quick", [("axes.width", "8,16,256"), ("axes.size", "8,32")]
    )
    made = members_of(loaded.study).grid
    those = batches(made, range(len(made)))
    shares = [engines.share(those, Shard(number, of), together, load_task) for number in range(of)]
    for place, batch in enumerate(those):
        rows = np.concatenate([share[place] for share in shares])
        assert sorted(rows) == list(range(len(batch.rows)))
        assert not together or sum(len(share[place]) > 0 for share in shares) == 1


@pytest.mark.slow
def test_shares_are_of_about_the_same_work_though_members_are_not():
    loaded = configuration.load("experiments/configs/scale.py:quick", [("axes.width", "8,64,256")])
    made = members_of(loaded.study).grid
    those = batches(made, range(len(made)))
    costs = np.asarray(
        [planned(each, load_task(each.data), loaded.study.run, len(each.rows)).step_flops for each in those]
    )
    shares = [engines.share(those, Shard(number, 4), False, load_task) for number in range(4)]
    work = [sum(len(mine) * cost for mine, cost in zip(share, costs, strict=True)) for share in shares]
    assert max(work) - min(work) <= 2 * costs.max()
    assert costs.max() > 5 * costs.min()


@pytest.mark.parametrize("of", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_shards_in_any_order_make_what_one_process_makes(tmp_path, alone, of, capsys):
    out = tmp_path / "run"
    for number in reversed(range(of)):
        assert not (out / "report.html").exists()
        assert exit_status(sweep.main, asked(out, f"--shard={number}/{of}")) == 0
        said = capsys.readouterr().out
        assert ("is done; " in said and " members are left" in said) == (number > 0)
    same(out, alone)
    assert (out / "report.html").exists() and open_run(out).psnr_heldout.notnull().all()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")}
    for again in (f"--shard=0/{of}", "--shard=3/7", ""):
        assert exit_status(sweep.main, asked(out, *filter(None, [again]))) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")} == before


@pytest.mark.slow
def test_a_run_goes_on_in_another_number_of_shards(tmp_path, alone):
    out = tmp_path / "run"
    for shard in ("1/3", "0/2", "1/2"):
        assert exit_status(sweep.main, asked(out, f"--shard={shard}")) == 0
    same(out, alone)


def test_the_report_writes_the_results_where_no_shard_was_the_last(tmp_path, alone, capsys):
    """Two shards that ended at once, each before it saw the other: their folders are put together by hand."""
    out, other = tmp_path / "run", tmp_path / "other"
    for number, folder in enumerate((out, other)):
        assert exit_status(sweep.main, asked(folder, f"--shard={number}/2")) == 0
    for path in (other / "members").glob("*.npz"):
        path.rename(out / "members" / path.name)
    assert exit_status(report.main, [str(out)]) == 0
    same(out, alone)
    assert Record(out).run.finished
    capsys.readouterr()
    assert exit_status(sweep.main, asked(out)) == 0
    assert "go on" not in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_with_the_same_share_divide_it_and_both_end_well(tmp_path):
    out = tmp_path / "run"
    long = asked(out, "--shard=0/1", "--config.design.steps=20000", "--config.axes.width=16", "--config.run.chunk=1")
    both = [command(*long, "--shard=0/2") for _ in range(2)]
    said = [each.communicate() for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    assert any("in use by process" in err for _, err in said)
    assert exit_status(sweep.main, [*long, "--shard=1/2"]) == 0
    assert (pd.read_csv(out / "results.csv")["status"] == "ok").all()


@pytest.mark.slow
def test_a_shard_that_is_killed_costs_itself_only_and_goes_on(tmp_path):
    long = ["--config.design.steps=3000", "--config.axes.width=16", "--config.run.checkpoint_seconds=0"]
    reference, out = tmp_path / "reference", tmp_path / "run"
    assert exit_status(sweep.main, asked(reference, *long)) == 0
    killed = command(*asked(out, *long, "--shard=0/2"))
    while not list(out.glob("checkpoints/[!.]*.npz")):
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    for number in (1, 0):
        done = command(*asked(out, *long, f"--shard={number}/2"))
        said = done.communicate()
        assert done.returncode == 0, said
    assert "go on at step" in said[1]
    same(out, reference)


@pytest.mark.slow
def test_settings_that_are_halved_are_ranked_in_one_shard(tmp_path):
    halved = ["--config.run.keep=0.5", "--config.design.steps=64", "--config.axes.scale=1,2,4,8"]
    out, reference = tmp_path / "run", tmp_path / "reference"
    assert exit_status(sweep.main, asked(reference, *halved)) == 0
    for number in range(2):
        assert exit_status(sweep.main, asked(out, *halved, f"--shard={number}/2")) == 0
    same(out, reference)
    assert set(pd.read_csv(out / "results.csv")["status"]) == {"ok", "pruned"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("--shard=2/2", "--shard=2/2: expected I/N with I from 0 to N - 1"),
        ("--shard=0/0", "I from 0"),
        ("--shard=-1/2", "expected I/N"),
        ("--shard=half", "expected I/N"),
        ("--engine=dask", "allowed: here, ray"),
        ("--ray_address=auto", "needs --engine=ray"),
    ],
)
def test_a_wrong_share_or_engine_is_refused(tmp_path, capsys, wrong, said):
    assert exit_status(sweep.main, asked(tmp_path / "run", wrong)) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_no_engine_is_imported_before_it_is_asked_for():
    engines = ("ray", "fsspec")
    code = f"import sys; from experiments import sweep; print([name for name in {engines} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
