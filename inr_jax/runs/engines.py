"""Which of a study's members a process fits, and where: in this process, or as tasks of a Ray cluster (`ray.py`)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from inr_jax.data.problem import Data
from inr_jax.fit.task import Task
from inr_jax.runs.events import Listener
from inr_jax.runs.ray import finish_on_ray
from inr_jax.runs.work import Failures, Work, finish_batch
from inr_jax.settings import Refused
from inr_jax.sweep import plan as planner
from inr_jax.sweep.grid import Batch
from inr_jax.sweep.study import Run


class Shard(NamedTuple):
    """One of so many shares of a study's members; `number` from 0."""

    number: int = 0
    of: int = 1


def check_options(run: Run, shard: Shard, ray_address: str, distributed: bool) -> None:
    """Raise Refused for options that exclude each other."""
    share = f"--shard={shard.number}/{shard.of}"
    if run.engine == "ray" and shard.of > 1:
        raise Refused(f"{share} and --engine=ray: expected one of them; a cluster shares the members out itself")
    if ray_address and run.engine != "ray":
        raise Refused(f"--ray_address={ray_address} needs --engine=ray")
    if distributed and (shard.of > 1 or run.engine == "ray"):
        raise Refused(f"--distributed and {share if shard.of > 1 else '--engine=ray'}: expected one of them")


def share(
    batches: Sequence[Batch], shard: Shard, together: bool, task_of: Callable[[Data], Task]
) -> list[Int[np.ndarray, " m"]]:
    """Return the places in each batch of the members that a shard fits: every member is in exactly one shard.

    Shares are runs of the study's members of about the same work; a batch whose members must be `together` is in one.
    They depend on nothing but the study: neither on the machine, nor on what was fitted before.
    """
    if shard.of == 1:
        return [np.arange(len(batch.rows)) for batch in batches]
    costs = []
    for batch in batches:
        plan = planner.plan(batch.design, batch.hypers, task_of(batch.data))
        costs.append(np.full(len(batch.rows), plan.step_flops * max(1, batch.design.steps)))
    ends = np.cumsum(np.concatenate(costs))
    middles = np.split(ends - np.concatenate(costs) / 2, np.cumsum([len(each) for each in costs])[:-1])
    places = []
    for middle in middles:
        at = np.full(len(middle), middle.mean()) if together else middle
        whose = np.minimum((at / ends[-1] * shard.of).astype(int), shard.of - 1)
        places.append(np.flatnonzero(whose == shard.number))
    return places


def finish(works: Sequence[Work], run: Run, ray_address: str, emit: Listener) -> Failures:
    """Fit all members to their end by the run's engine; a line for each that failed, by key."""
    if run.engine == "ray":
        return finish_on_ray(works, run, ray_address, emit)
    failures: Failures = {}
    for work in works:
        failures |= finish_batch(work, emit)
    return failures
