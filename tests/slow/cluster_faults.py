"""What a sweep survives past one machine, tried: python -m tests.slow.cluster_faults

On a Ray cluster of three nodes workers, nodes and drivers are killed at random moments; shards are killed and started
again beside each other; tasks of a SLURM array are preempted; and one of two processes that joined is killed. After
each, the same command resumes, no finished chunk is written again, and the run must be, to the bit, what one process
makes of it.
"""

import argparse
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from tests.comparison import same

SWEEP = [sys.executable, "-m", "experiments.sweep", "--config=experiments/configs/scale.py:quick"]
SWEEP += ["--config.size=16", "--config.design.frequencies=8", "--config.design.width=8", "--config.axes.seed=0,1"]
SWEEP += ["--config.axes.scale=1,2,4", "--config.run.checkpoint_seconds=0.2"]
# A cluster's task has one core, and bits depend on their number.
ONE_CORE = os.environ | {"NPROC": "1"}


def start(out: Path, *more: str, **environment: str) -> subprocess.Popen:
    """A sweep into the folder, in a process of its own, on one core."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*SWEEP, f"--out={out}", *more], env=ONE_CORE | environment, **pipes)


def ended(started: subprocess.Popen) -> str:
    """What it said on stderr. Raises AssertionError where it did not end well."""
    said = started.communicate(timeout=300)
    assert started.returncode == 0, said
    return said[1]


@contextmanager
def cluster() -> Iterator[object]:
    """A Ray cluster: a head without cores of its own, and three nodes with one each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(3):
        made.add_node(num_cpus=1)
    try:
        yield made
    finally:
        made.shutdown()


def on(made) -> list[str]:
    """The arguments that have the cluster fit a sweep."""
    return ["--engine=ray", f"--ray_address={made.address}"]


def working(out: Path, process: int = 0) -> list[int]:
    """The processes that fit a chunk now and have a checkpoint of it, or that one of them."""
    found: list[int] = []
    for lock in (out / "members").glob(".*.lock"):
        if list(out.glob(f"checkpoints/{lock.name[1:].partition('.')[0]}-*.npz")):
            with suppress(FileNotFoundError):
                found += map(int, re.findall(r"process (\d+) on", lock.read_text()))
    return [each for each in found if process in (0, each)]


def kept(out: Path) -> dict[Path, int]:
    """The files of finished chunks, by when they were written."""
    return {path: path.stat().st_mtime_ns for path in out.glob("members/[!.]*.npz")}


class Trials:
    """Faults by kind: how many were tried, and what was lost."""

    def __init__(self, folder: Path, seed: int, steps: int) -> None:
        """Trials of sweeps with so many steps, at moments that the seed decides."""
        self.folder, self.chance, self.steps = folder, random.Random(seed), f"--config.design.steps={steps}"
        self.tried: dict[str, int] = {}
        self.lost: list[str] = []
        self.alone = folder / "alone"
        began = time.monotonic()
        ended(start(self.alone, self.steps))
        self.lasts = time.monotonic() - began

    def trial(self, kind: str, times: int, fault: Callable[[Path], list[str]]) -> None:
        """Have a fault happen so often, each to a sweep of its own; `fault` says what goes on with it."""
        for _ in range(times):
            out = self.folder / "run"
            shutil.rmtree(out, ignore_errors=True)
            try:
                more = fault(out)
                before = kept(out)
                ended(start(out, self.steps, *more))
                assert {path: at for path, at in kept(out).items() if path in before} == before, "written again"
                same(out, self.alone)
            except AssertionError as error:
                self.lost.append(f"{kind}: {str(error)[:2000]}")
                print(f"LOST {self.lost[-1]}", flush=True)
            self.tried[kind] = self.tried.get(kind, 0) + 1

    def moment(self, driver: subprocess.Popen, out: Path) -> list[int]:
        """Wait until chunks are being fitted, and a random while more; who fits one then."""
        while driver.poll() is None and not working(out):
            time.sleep(0.02)
        time.sleep(self.chance.uniform(0, 0.3) * self.lasts)
        return working(out)

    def worker(self, made, out: Path) -> list[str]:
        """A worker of the cluster is killed while its driver runs on."""
        driver = start(out, self.steps, *on(made))
        for victim in self.moment(driver, out)[:1]:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        ended(driver)
        return on(made)

    def node(self, made, out: Path) -> list[str]:
        """A node of the cluster is lost while its driver runs on."""
        lost = made.add_node(num_cpus=1)
        driver = start(out, self.steps, *on(made))
        self.moment(driver, out)
        made.remove_node(lost, allow_graceful=False)
        ended(driver)
        return on(made)

    def driver(self, made, out: Path) -> list[str]:
        """The driver is killed."""
        driver = start(out, self.steps, *on(made))
        self.moment(driver, out)
        driver.kill()
        driver.communicate()
        return on(made)

    def shard(self, out: Path) -> list[str]:
        """One of two shards is killed, and started again while the other runs on."""
        shards = [start(out, self.steps, f"--shard={number}/2") for number in range(2)]
        self.moment(shards[0], out)
        victim = self.chance.randrange(2)
        shards[victim].kill()
        shards[victim].communicate()
        ended(start(out, self.steps, f"--shard={victim}/2"))
        ended(shards[1 - victim])
        return []

    def job(self, out: Path) -> list[str]:
        """A task of an array is preempted, queued again, and ends."""
        command = [*SWEEP[3:], f"--out={out}", self.steps]
        task = array_task(self.folder, 0, 1, *command)
        self.moment(task, out)
        task.terminate()
        said = task.communicate()
        assert task.returncode == 143, said
        assert (self.folder / "requeued").exists(), said
        (self.folder / "requeued").unlink()
        ended(array_task(self.folder, 0, 1, *command))
        return []

    def host(self, out: Path) -> list[str]:
        """One of two processes that joined is killed; the other fits its own share to the end."""
        both = pair(out, self.steps)
        self.moment(both[0], out)
        victim = self.chance.randrange(2)
        both[victim].kill()
        both[victim].communicate()
        ended(both[1 - victim])
        return []


def pair(out: Path, *more: str, **environment: str) -> list[subprocess.Popen]:
    """Two processes that join, each with a share."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    told = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"} | environment
    return [start(out, "--distributed", *more, **told, JAX_PROCESS_ID=str(each)) for each in range(2)]


def array_task(folder: Path, number: int, of: int, *arguments: str) -> subprocess.Popen:
    """A task of a SLURM array by its script; what it asks `scontrol` for goes to `folder/requeued`."""
    commands = folder / "bin"
    commands.mkdir(exist_ok=True)
    scripts = {"scontrol": f'echo "$@" >> {folder}/requeued', "python": f'exec {sys.executable} "$@"'}
    for name, line in scripts.items():
        (commands / name).write_text(f"#!/bin/sh\n{line}\n")
        (commands / name).chmod(0o755)
    task = {"SLURM_ARRAY_TASK_ID": str(number), "SLURM_ARRAY_TASK_COUNT": str(of), "SLURM_JOB_ID": f"12{number}"}
    environment = ONE_CORE | task | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(["bash", "experiments/launch/slurm.sbatch", *arguments], env=environment, **pipes)


def main() -> int:
    """Run the trials; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=8, help="that each kind of fault is tried")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=40_000)
    asked = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(Path(folder), asked.seed, asked.steps)
        trials.trial("a shard killed, and started again beside the other", asked.times, trials.shard)
        trials.trial("a task of an array preempted and queued again", asked.times, trials.job)
        trials.trial("one of two processes that joined killed", asked.times, trials.host)
        with cluster() as made:
            trials.trial("a worker of a Ray cluster killed", asked.times, partial(trials.worker, made))
            trials.trial("a node of a Ray cluster lost", asked.times, partial(trials.node, made))
            trials.trial("the driver of a Ray cluster killed", asked.times, partial(trials.driver, made))
    for kind, count in trials.tried.items():
        print(f"{count:4} {kind}")
    print(f"{sum(trials.tried.values())} faults, {len(trials.lost)} lost anything, {time.monotonic() - begun:.0f} s")
    return 1 if trials.lost else 0


if __name__ == "__main__":
    sys.exit(main())
