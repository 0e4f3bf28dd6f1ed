"""Members fitted as tasks of a Ray cluster, a chunk each. Ray is an optional extra: pip install 'inr-jax[ray]'."""

import math
import os
import socket
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from inr_jax.runs import environment, signals
from inr_jax.runs.events import Advanced, ChunkFinished, ChunkStarted, Event, FinishedMember, Listener, Note
from inr_jax.runs.work import Failures, Goal, Places, Work, goal_at, missing, reach, survivors
from inr_jax.settings import Refused, library
from inr_jax.sweep import plan as planner
from inr_jax.sweep.chunks import chunks
from inr_jax.sweep.study import Run

# How often a task is tried again: its worker or its node was lost, or another process still had its chunk.
RETRIES = 8
# A worker that is being lost releases its locks within seconds; a node is taken for lost after half a minute.
PATIENCE = 60.0
# Tasks that wait or run at once, so that a cluster which grows sees what for, and a driver's memory does not.
MOST_TASKS = 1024
# Members that a task with a GPU fits.
GPU_MEMBERS = 64
# Members of a batch, and the goal that they are to reach.
Task = tuple[Work, Places, Goal]


class Preempted(Exception):
    """A task's worker was asked to stop: its chunk has a checkpoint, from which another goes on."""


def finish_on_ray(works: Sequence[Work], run: Run, address: str, emit: Listener) -> Failures:
    """Fit all members to their end by tasks of a Ray cluster; a line for each that failed, by key.

    The cluster is that at the address, or one of this machine's cores. Its nodes write into the run's folder, which
    all must reach. A task whose worker or node is lost is done again, from its chunk's last checkpoint.
    Raises Refused where Ray is not installed or not there; when all other tasks have ended, what one of them raised.
    """
    ray = library("ray", "ray")
    wide = run.chunk or math.ceil(run.gpus) * GPU_MEMBERS or math.ceil(run.cpus) * planner.CPU_CHUNK
    failures: Failures = {}
    alive = [(work, work.mine, len(work.keys)) for work in works]
    pruned: list[Task] = []
    with _cluster(ray, address):
        _check_resources(ray, run, address, emit)
        fit = ray.remote(_fit).options(
            num_cpus=run.cpus,
            num_gpus=run.gpus,
            max_retries=RETRIES,
            retry_exceptions=[BlockingIOError, Preempted],
            # XLA has as many threads as the task has cores; it would have as many as the node.
            runtime_env={"env_vars": {"NPROC": str(max(1, math.ceil(run.cpus)))}},
        )
        # All batches rung by rung together: those of fewer rungs are at their end earlier.
        for number in range(max((len(work.rungs) for work in works), default=0)):
            alive = [each for each in alive if number < len(each[0].rungs)]
            goals = [(work, places, goal_at(work, work.rungs[number], among)) for work, places, among in alive]
            failures |= _run_tasks(ray, fit, _cut([*goals, *pruned], wide), emit)
            alive, pruned = _rank(goals, failures)
    return failures


def _rank(goals: Iterable[Task], failures: Failures) -> tuple[list[tuple[Work, Places, int]], list[Task]]:
    """The members of each batch that are fitted on from a rung with their number, and those that are pruned there.

    At a batch's last rung it has neither: all of its members end there.
    """
    alive, pruned = [], []
    for work, places, goal in goals:
        best, others = survivors(work, places, goal.step, failures)
        alive.append((work, best, len(best)))
        pruned.append((work, others, goal._replace(ends=True)))
    return alive, pruned


def _cut(tasks: Iterable[Task], wide: int) -> Iterator[Task]:
    """The members that have not reached their goals, in tasks of at most so many."""
    for work, places, goal in tasks:
        left = missing(work, places, goal) if len(places) else places
        yield from ((work, chunk, goal) for chunk in chunks(left, wide))


def _run_tasks(ray: Any, fit: Any, tasks: Iterator[Task], emit: Listener) -> Failures:
    """Run all tasks, so many at once; a line for each member that failed, by key. Raises the first task's error."""
    failures: Failures = {}
    broken: list[Exception] = []
    queued, running = deque(tasks), set[Any]()
    while queued or running:
        while queued and len(running) < MOST_TASKS:
            work, places, goal = queued.popleft()
            running.add(fit.remote(work.select(places)._replace(wait=PATIENCE), goal, os.getcwd()))
        for done in ray.wait(list(running))[0]:
            running.remove(done)
            try:
                failed, members = ray.get(done)
            except ray.exceptions.RayError as error:
                broken.append(error.cause if isinstance(error, ray.exceptions.RayTaskError) else OSError(error))
                continue
            failures |= failed
            emit(ChunkStarted(len(members), 0))
            emit(Advanced(len(members), int(members[0].steps[-1]) if members else 0))
            emit(ChunkFinished(members))
    if broken:
        raise broken[0]
    return failures


def _fit(work: Work, goal: Goal, folder: str) -> tuple[Failures, list[FinishedMember]]:
    """A task: fit the members, and return those that failed and those that finished.

    It looks for files where its driver does, if it can.
    """
    environment.use_every_core()
    environment.cache_programs()
    if os.path.isdir(folder):
        os.chdir(folder)
    members: list[FinishedMember] = []

    def listen(event: Event) -> None:
        if isinstance(event, ChunkFinished):
            members.extend(event.members)

    try:
        with signals.catch_signals():
            return reach(work, work.mine, goal, listen), members
    except signals.Stopped:
        raise Preempted("the worker was asked to stop") from None


def _check_resources(ray: Any, run: Run, address: str, emit: Listener) -> None:
    """Report that no node has what a task takes. Raises Refused where none can come."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(node.get("CPU", 0) >= run.cpus and node.get("GPU", 0) >= run.gpus for node in nodes):
        return
    problem = f"run.cpus={run.cpus:g}, run.gpus={run.gpus:g}: no node of the cluster has them"
    if not address:
        raise Refused(f"{problem}; this machine has {environment.threads()} cores")
    emit(Note(f"{problem}; waiting for one"))


@contextmanager
def _cluster(ray: Any, address: str) -> Iterator[None]:
    """A connection to the cluster at the address, or to one of this machine's cores; it ends with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        with signals.restore_handlers():
            if address:
                host, _, port = address.rpartition(":")
                if port.isdecimal() and "/" not in host:  # Ray itself tries for minutes
                    socket.create_connection((host, int(port)), timeout=10).close()
                ray.init(address, **quiet)
            else:
                ray.init("local", num_cpus=environment.threads(), include_dashboard=False, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise Refused(f"--ray_address={address}: {reason}; e.g. auto, or HOST:6379") from None
    try:
        yield
    finally:
        ray.shutdown()
