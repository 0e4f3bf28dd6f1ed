"""Shards under schedulers: the SLURM script runs here beside a stand-in for SLURM, manifests are read."""

import re
import shlex
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from experiments import sweep
from inr_jax.cli import config as configuration
from tests.slow import cluster_faults

QUICK = "--config=experiments/configs/scale.py:quick"
FEW = ["--config.size=16", "--config.design.frequencies=8", "--config.design.width=8", "--config.axes.scale=1,2,4"]
FEW += ["--config.axes.seed=0", "--config.run.checkpoint_seconds=0.2"]


@pytest.mark.slow
def test_a_preempted_task_of_an_array_is_queued_again_and_resumes_from_its_checkpoint(tmp_path):
    out = tmp_path / "run"
    command = [QUICK, *FEW, "--config.design.steps=60000", f"--out={out}"]
    task = cluster_faults.array_task(tmp_path, 0, 2, *command)
    while not list(out.glob("checkpoints/[!.]*.npz")):
        assert task.poll() is None, task.communicate()
        time.sleep(0.05)
    task.terminate()
    assert "To go on: python -m experiments.sweep" in task.communicate()[1] and task.returncode == 143
    assert (tmp_path / "requeued").read_text() == "requeue 120\n"
    for number in range(2):
        task = cluster_faults.array_task(tmp_path, number, 2, *command)
        said = task.communicate()
        assert task.returncode == 0, said
        assert number or re.search(r"go on at step \d+ of 60000", said[1])
    assert (tmp_path / "requeued").read_text().count("\n") == 1, "a task that has ended stays ended"
    assert (pd.read_csv(out / "results.csv")["status"] == "ok").all()


def test_a_task_that_cannot_finish_keeps_its_status_and_is_not_queued_again(tmp_path):
    task = cluster_faults.array_task(tmp_path, 0, 2, QUICK, "--config.axes.scale=wide", f"--out={tmp_path / 'run'}")
    assert "axes.scale" in task.communicate()[1] and task.returncode == 2
    assert not (tmp_path / "requeued").exists()


def test_slurm_is_asked_to_signal_the_script_before_the_end_and_to_queue_it_again():
    lines = Path("experiments/launch/slurm.sbatch").read_text().splitlines()
    assert {"#SBATCH --requeue", "#SBATCH --signal=B:TERM@60", "#SBATCH --array=0-7"} <= set(lines)
    assert subprocess.run(["bash", "-n", "experiments/launch/slurm.sbatch"]).returncode == 0


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
