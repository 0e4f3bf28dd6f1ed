"""A sweep's shards as jobs of a scheduler: each the command that a user types, stopped and gone on with like it."""

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

from inr_jax.settings import library

EXECUTORS = ("slurm", "local")
# How often a job that is out of time is queued again: each time it has gone on from where it was.
MOST_TIMES = 1000


class Job:
    """A command as submitit runs it: where the job is preempted or out of time, it is stopped and queued again.

    The command is told by SIGTERM, keeps what it has and ends; queued again it goes on from there.
    """

    def __init__(self, command: Sequence[str]) -> None:
        """The job of this command, which runs where the job is submitted."""
        self.command = list(command)
        self.process = 0

    def __call__(self) -> str:
        """Run the command; what it is. Raises CalledProcessError where it ends with another status than 0."""
        # Not Popen, which cannot be waited for while it is waited for, as `checkpoint` does from a signal's handler.
        self.process = os.spawnvp(os.P_NOWAIT, self.command[0], self.command)
        status = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        self.process = 0
        if status:
            raise subprocess.CalledProcessError(status, self.command)
        return " ".join(self.command)

    def checkpoint(self) -> Any:
        """Stop the command, as submitit asks for; what it queues again."""
        if self.process:
            os.kill(self.process, signal.SIGTERM)
            os.waitpid(self.process, 0)
        return library("submitit.helpers", "submitit").DelayedSubmission(Job(self.command))


def submitted(commands: Sequence[Sequence[str]], executor: str, logs: str, **asked: Any) -> list[Any]:
    """One array of jobs, a command each; submitit's jobs. `asked` is what its executor takes: minutes, cores, GPUs.

    Raises Refused where submitit is not installed.
    """
    submitit = library("submitit", "submitit")
    auto = submitit.AutoExecutor(folder=logs, cluster=executor, slurm_max_num_timeout=MOST_TIMES)
    auto.update_parameters(**asked)
    with auto.batch():
        return [auto.submit(Job(command)) for command in commands]
