"""Where chunks run: in this process, in its share of many, or as tasks of a Ray cluster."""

import dataclasses
import math
import os
import socket
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from inr_jax.data.problem import load_task
from inr_jax.runs import environment as machine
from inr_jax.runs import signals
from inr_jax.runs.progress import Progress
from inr_jax.runs.trackers import Finished, Sinks
from inr_jax.runs.work import Failed, Listener, Part, Work
from inr_jax.settings import Refused, library
from inr_jax.sweep import plan as planner
from inr_jax.sweep.chunks import chunks
from inr_jax.sweep.grid import Batch
from inr_jax.sweep.study import Run

# How often a task is tried again: its worker or its node was lost, or another process still had its chunk.
RETRIES = 8
# A worker that is being lost lets go of its locks within seconds; a node is taken for lost after half a minute.
PATIENCE = 60.0
# Tasks that wait or run at once, so that a cluster which grows sees what for, and a driver's memory does not.
MOST_TASKS = 1024


class Shard(NamedTuple):
    """Which of so many shares of a study's members a process fits; `number` from 0."""

    number: int = 0
    of: int = 1


class Where(NamedTuple):
    """In which process of how many, and on which Ray cluster; how long one waits for another that fits its chunk."""

    shard: Shard = Shard()
    ray_address: str = ""

    @property
    def waits(self) -> float:
        """Seconds; whoever shares a run's members out waits, since the other does the same work."""
        return math.inf if self.shard.of > 1 else 0.0


HERE = Where()


def where(run: Run, shard: Shard, ray_address: str, distributed: bool) -> Where:
    """Where a run's chunks are fitted. Raises Refused for what does not go together."""
    share = f"--shard={shard.number}/{shard.of}"
    if run.engine == "ray" and shard.of > 1:
        raise Refused(f"{share} and --engine=ray: a cluster shares the members out itself")
    if ray_address and run.engine != "ray":
        raise Refused(f"--ray_address={ray_address} needs --engine=ray")
    if distributed and (shard.of > 1 or run.engine == "ray"):
        raise Refused(f"--distributed and {share if shard.of > 1 else '--engine=ray'}: one or the other")
    return Where(shard, ray_address)


class Announced(NamedTuple):
    """What is heard of chunks, on the terminal and by trackers."""

    progress: Progress
    told: Sinks

    def begins(self, members: int, counted: int, step: int) -> None:
        """So many members of a chunk go on from this step; those up to `counted` are not part of the work."""
        self.progress.begins(members, counted, step)

    def advanced(self, members: int, step: int) -> None:
        """So many members of the chunk stand at this step."""
        self.progress.advanced(members, step)

    def finished(self, members: Sequence[Finished]) -> None:
        """These members are kept."""
        self.progress.finished(members)
        self.told.members(members)

    def said(self, line: str) -> None:
        """Something worth a line."""
        self.progress.said(line)


def share(batches: Sequence[Batch], shard: Shard, together: bool) -> list[Int[np.ndarray, " m"]]:
    """The places in each batch of the members that a shard fits: all of them lie in one shard each.

    Shares are runs of the study's members of about the same work; where all of a batch must be `together` it is in one.
    They depend on nothing but the study: neither on the machine, nor on what was fitted before.
    """
    if shard.of == 1:
        return [np.arange(len(batch.rows)) for batch in batches]
    costs = []
    for batch in batches:
        plan = planner.plan(batch.design, batch.hypers, load_task(batch.data))
        costs.append(np.full(len(batch.rows), plan.step_flops * max(1, batch.design.steps)))
    ends = np.cumsum(np.concatenate(costs))
    middles = np.split(ends - np.concatenate(costs) / 2, np.cumsum([len(each) for each in costs])[:-1])
    places = []
    for middle in middles:
        at = np.full(len(middle), middle.mean()) if together else middle
        whose = np.minimum((at / ends[-1] * shard.of).astype(int), shard.of - 1)
        places.append(np.flatnonzero(whose == shard.number))
    return places


def here(works: Sequence[Work], listener: Listener) -> Failed:
    """Bring all members to their end in this process; a line for each that failed, by key."""
    failed: Failed = {}
    for work in works:
        parts: Any = work.parts()
        done: Failed | None = None
        while (part := _next(parts, done, failed)) is not None:
            done = work.bring(part, listener)
    return failed


def on_ray(works: Sequence[Work], listener: Listener, run: Run, address: str = "") -> Failed:
    """Bring all members to their end by tasks of a Ray cluster, a chunk each; a line for each that failed, by key.

    The cluster is that at the address, or one of this machine's cores. Its nodes write into the run's folder, which
    all must reach. A task whose worker or node is lost is done again, from its chunk's last checkpoint.
    Raises Refused where Ray is not installed or not there; when all other tasks have ended, what one of them raised.
    """
    ray = library("ray", "ray")
    wide = run.chunk or math.ceil(run.gpus) * planner.ACCELERATOR_CHUNK or math.ceil(run.cpus) * planner.CPU_CHUNK
    failed: Failed = {}
    broken: list[Exception] = []
    waiting = [_Batch(work, work.parts()) for work in works][::-1]
    queued: deque[tuple[_Batch, Part]] = deque()
    running: dict[Any, _Batch] = {}

    def go_on(batch: _Batch) -> None:
        """Queue the next part of a batch whose last part is done."""
        part = _next(batch.parts, batch.failed, failed)
        batch.failed = {}
        cut = [] if part is None else [part._replace(places=places) for places in chunks(part.places, wide)]
        queued.extend((batch, each) for each in cut)
        batch.tasks = len(cut)

    with _cluster(ray, address):
        _look_for(ray, run, address, listener)
        task = ray.remote(_brought).options(
            num_cpus=run.cpus,
            num_gpus=run.gpus,
            max_retries=RETRIES,
            retry_exceptions=[BlockingIOError, Preempted],
            # XLA has as many threads as the task has cores; it would have as many as the node.
            runtime_env={"env_vars": {"NPROC": str(max(1, math.ceil(run.cpus)))}},
        )
        for work in works[:1]:
            work.beginning.tell({})
        while waiting or queued or running:
            while waiting and len(queued) < MOST_TASKS:
                go_on(waiting.pop())
            while queued and len(running) < MOST_TASKS:
                batch, part = queued.popleft()
                work, own = batch.work._replace(waits=PATIENCE).only(part)
                running[task.remote(work, own, os.getcwd())] = batch
            for done in ray.wait(list(running))[0] if running else []:
                batch = running.pop(done)
                batch.tasks -= 1
                try:
                    lost, members = ray.get(done)
                except ray.exceptions.RayError as error:
                    broken.append(error.cause if isinstance(error, ray.exceptions.RayTaskError) else OSError(error))
                    batch.broken = True
                    continue
                batch.failed |= lost
                listener.begins(len(members), 0, 0)
                listener.advanced(len(members), int(members[0].steps[-1]) if members else 0)
                listener.finished(members)
                if not batch.tasks and not batch.broken:
                    go_on(batch)
    if broken:
        raise broken[0]
    return failed


@dataclasses.dataclass
class _Batch:
    """A batch on the cluster: what it will do next, how many tasks it waits for, who failed, and whether a task did."""

    work: Work
    parts: Generator[Part, Failed, Failed]
    tasks: int = 0
    failed: Failed | None = None
    broken: bool = False


class Preempted(Exception):
    """A task's worker was asked to stop: its chunk has a checkpoint, from which another goes on."""


class _Heard(list[Finished]):
    """The members that a task finished, which is all that its driver hears of it."""

    def begins(self, members: int, counted: int, step: int) -> None: ...
    def advanced(self, members: int, step: int) -> None: ...
    def said(self, line: str) -> None: ...

    def finished(self, members: Sequence[Finished]) -> None:
        self.extend(members)


def _brought(work: Work, part: Part, folder: str) -> tuple[Failed, list[Finished]]:
    """A task: who failed of its members, and the others. It looks for files where its driver does, if it can."""
    machine.use_every_core()
    machine.keep_programs()
    if os.path.isdir(folder):
        os.chdir(folder)
    heard = _Heard()
    try:
        with signals.handled():
            return work.bring(part, heard), list(heard)
    except signals.Stopped:
        raise Preempted("the worker was asked to stop") from None


def _look_for(ray: Any, run: Run, address: str, listener: Listener) -> None:
    """Say that no node has what a task takes; raises Refused where none can come."""
    there = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(each.get("CPU", 0) >= run.cpus and each.get("GPU", 0) >= run.gpus for each in there):
        return
    said = f"run.cpus={run.cpus:g}, run.gpus={run.gpus:g}: no node of the cluster has them"
    if not address:
        raise Refused(f"{said}; this machine's has {machine.threads()} cores")
    listener.said(f"{said}; waiting for one")


def _next(parts: Generator[Part, Failed, Failed], done: Failed | None, failed: Failed) -> Part | None:
    """The next part of a batch whose last is done; None at its end, when who failed of it is noted."""
    try:
        return next(parts) if done is None else parts.send(done)
    except StopIteration as end:
        failed |= end.value
        return None


@contextmanager
def _cluster(ray: Any, address: str) -> Iterator[None]:
    """A connection to the cluster at the address, or to one of our own; it ends with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        with signals.kept():
            if address:
                host, _, port = address.rpartition(":")
                if port.isdecimal() and "/" not in host:  # Ray itself tries for minutes
                    socket.create_connection((host, int(port)), timeout=10).close()
                ray.init(address, **quiet)
            else:
                ray.init("local", num_cpus=machine.threads(), include_dashboard=False, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise Refused(f"--ray_address={address}: {reason}; e.g. auto, or HOST:6379") from None
    try:
        yield
    finally:
        ray.shutdown()
