"""Give a sweep to a scheduler, as an array of shards: python -m experiments.submit --config=... --shards=8

Every shard is the sweep's own command with --shard=I/8, into one folder that all of them reach; the last to finish
writes the results. A shard that is preempted, or out of --minutes, is told by SIGTERM, queued again, and goes on.
The executor is slurm, or local for processes of this machine. --wait ends when all shards have.
"""

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from inr_jax.cli import config as configuration
from inr_jax.cli.arguments import Command, console, run, whole
from inr_jax.runs import engines, jobs, study
from inr_jax.settings import Refused, nearest

# What submitit calls the numbers that a scheduler is asked for.
NUMBERS = {
    "minutes": "timeout_min",
    "cpus": "cpus_per_task",
    "gpus": "gpus_per_node",
    "memory": "mem_gb",
    "parallel": "slurm_array_parallelism",
}


def command() -> Command:
    """Declare the arguments."""
    command = Command("experiments.submit", __doc__)
    command.add_study()
    command.add_argument("--shards", metavar="N", required=True, type=whole(1), help="how many jobs")
    for name, default in (("out", ""), ("executor", "slurm"), ("partition", ""), ("logs", "runs/jobs")):
        command.add_argument(f"--{name}", default=default)
    for name in NUMBERS:
        command.add_argument(f"--{name}", metavar="N", type=whole(1))
    command.add_argument("--wait", action="store_true", help="until all jobs have ended")
    return command


def main(argv: Sequence[str]) -> int:
    """Run the command; its exit status."""
    arguments = command().parse(argv)
    config, shards, executor, logs = arguments.config, arguments.shards, arguments.executor, arguments.logs
    if executor not in jobs.EXECUTORS:
        raise Refused(f"--executor={executor} is not known; {nearest(executor, jobs.EXECUTORS)}")
    loaded = configuration.load(config, arguments.fields)  # a wrong request is refused now, not by every job
    study.prepared(loaded)
    engines.where(loaded.study.run, engines.Shard(0, shards), "", False)
    sweep = [sys.executable, "-m", "experiments.sweep", f"--config={config}"]
    sweep += [f"--config.{name}={value}" for name, value in arguments.fields]
    sweep += [f"--out={arguments.out}"] if arguments.out else []
    given = {name: getattr(arguments, name) for name in NUMBERS if getattr(arguments, name)}
    asked: dict[str, Any] = {NUMBERS[name]: value for name, value in given.items()}
    if arguments.partition:
        asked["slurm_partition"] = arguments.partition
    commands = [[*sweep, f"--shard={index}/{shards}"] for index in range(shards)]
    submitted = jobs.submitted(commands, executor, logs, name="inr_jax", **asked)
    print(f"{shards} jobs, {submitted[0].job_id} to {submitted[-1].job_id}; what they say is in {logs}", flush=True)
    failed = [job for job in submitted if job.exception()] if arguments.wait else []
    for job in failed:
        print(f"failed: job {job.job_id}: see {job.paths.stderr}", file=sys.stderr)
    return 1 if failed else 0


entry = partial(console, main)

if __name__ == "__main__":
    run(main)
