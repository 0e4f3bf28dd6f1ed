"""Shards as jobs of a scheduler: submitit's local executor for real, and what a SLURM would be asked for."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from experiments import submit, sweep
from inr_jax.cli import config as configuration
from inr_jax.cli.arguments import told
from inr_jax.runs import jobs

submitit = pytest.importorskip("submitit")

QUICK = "--config=experiments/configs/scale.py:quick"
FEW = ["--config.size=16", "--config.design.frequencies=8", "--config.design.width=8", "--config.axes.scale=1,2,4"]
FEW += ["--config.axes.seed=0", "--config.run.checkpoint_seconds=0.2"]


def test_an_array_of_shards_makes_the_results(tmp_path, capsys):
    asked = [QUICK, *FEW, "--config.design.steps=5", f"--out={tmp_path / 'run'}", f"--logs={tmp_path / 'logs'}"]
    assert told(submit.main, [*asked, "--shards=2", "--executor=local", "--cpus=1", "--minutes=5", "--wait"]) == 0
    assert re.match(r"2 jobs, \d+ to \d+; what they say is in ", capsys.readouterr().out)
    assert (pd.read_csv(tmp_path / "run" / "results.csv")["status"] == "ok").all()
    assert (tmp_path / "run" / "report.html").exists()


def test_a_preempted_job_keeps_its_checkpoint_is_queued_again_and_goes_on(tmp_path):
    out, logs = tmp_path / "run", tmp_path / "logs"
    command = [sys.executable, "-m", "experiments.sweep", QUICK, *FEW, "--config.design.steps=200000", f"--out={out}"]
    (job,) = jobs.submitted([[*command, "--shard=0/1"]], "local", str(logs), timeout_min=10)
    while not list(out.glob("checkpoints/[!.]*.npz")):
        assert job.state == "RUNNING", job.stderr()
        time.sleep(0.02)
    # A scheduler signals the job's process, which is the sweep's parent.
    (lock,) = (out / "members").glob(".*.lock")
    sweep = re.search(r"process (\d+) on", lock.read_text())[1]
    parent = subprocess.run(["ps", "-o", "ppid=", "-p", sweep], capture_output=True, text=True, check=True).stdout
    os.kill(int(parent), signal.SIGUSR2)
    assert "--shard=0/1" in job.result()
    said = Path(job.paths.stderr).read_text() + Path(job.paths.stdout).read_text()
    assert "To go on: python -m experiments.sweep" in said
    assert re.search(r"go on at step [1-9]\d* of 200000", said)
    assert (pd.read_csv(out / "results.csv")["status"] == "ok").all()


def test_a_job_that_cannot_finish_says_so(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "other.txt").write_text("somebody's")
    asked = [QUICK, *FEW, f"--out={tmp_path / 'run'}", f"--logs={tmp_path / 'logs'}", "--executor=local", "--wait"]
    assert told(submit.main, [*asked, "--shards=1"]) == 1
    assert "failed: job" in capsys.readouterr().err


def test_slurm_is_asked_for_an_array_with_time_cores_gpus_and_a_signal_before_the_end(tmp_path, monkeypatch):
    """A SLURM that only notes what it is asked for stands on the path; what it would do with it is not tried here."""
    (tmp_path / "bin").mkdir()
    for name, does in {"srun": "", "sbatch": f'cat "$1" > {tmp_path}/asked; echo Submitted batch job 12'}.items():
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{does}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    asked = ["--shards=8", "--partition=long", "--minutes=120", "--cpus=4", "--gpus=1", "--memory=16", "--parallel=3"]
    assert told(submit.main, [QUICK, *FEW, f"--logs={tmp_path / 'logs'}", *asked]) == 0
    lines = set((tmp_path / "asked").read_text().splitlines())
    wanted = ["array=0-7%3", "partition=long", "time=120", "cpus-per-task=4", "gpus-per-node=1", "mem=16GB"]
    assert {f"#SBATCH --{each}" for each in [*wanted, "signal=USR2@90"]} <= lines


@pytest.mark.parametrize(
    ("name", "number", "of"),
    [("jobset", "$JOB_COMPLETION_INDEX", "8"), ("skypilot", "$SKYPILOT_NODE_RANK", "$SKYPILOT_NUM_NODES")],
)
def test_the_shards_of_a_manifest_are_those_of_a_command_that_is_right(name, number, of):
    told = yaml.safe_load(Path(f"experiments/launch/{name}.yaml").read_text())
    if name == "jobset":
        (jobs,) = told["spec"]["replicatedJobs"]
        job = jobs["template"]["spec"]
        assert job["completions"] == job["parallelism"] == 8 and job["completionMode"] == "Indexed"
        (script,) = (container["command"][-1] for container in job["template"]["spec"]["containers"])
    else:
        script = told["run"]
        assert told["num_nodes"] == 8
    assert script.count(number) == 1 and f"{number}/{of}" in script
    for each in range(8):
        words = shlex.split(script.replace(number, str(each)).replace(of, "8").replace("\\\n", " "))
        assert words[:4] == ["exec", "python", "-m", "experiments.sweep"]
        arguments = sweep.command().parse(words[4:])
        assert arguments.shard == (each, 8) and "://BUCKET/" in arguments.out
        assert configuration.load(arguments.config).study.name == "scale"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--shards=0"], "--shards=0: expected a whole number of at least 1"),
        (["--shards=some"], "expected a whole number"),
        ([], "missing: --shards"),
        (["--shards=2", "--executor=slurmm"], "did you mean 'slurm'?"),
        (["--shards=2", "--config.axes.scale=wide"], "axes.scale"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_submitted(tmp_path, capsys, wrong, said):
    assert told(submit.main, [QUICK, f"--logs={tmp_path / 'logs'}", *wrong]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert not (tmp_path / "logs").exists()


def test_the_command_line_needs_no_submitit_to_explain_itself():
    code = "import sys; sys.modules['submitit'] = None; from experiments import submit; submit.main(['--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "--shards N" in done.stdout
