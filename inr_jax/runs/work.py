"""A batch's members fitted to their end: rung by rung, chunk by chunk, from the last checkpoint that there is."""

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from inr_jax.fit import member
from inr_jax.fit.curves import Curves
from inr_jax.fit.design import member_of, settings_of
from inr_jax.fit.metrics import metric_names
from inr_jax.fit.task import Task
from inr_jax.runs import signals
from inr_jax.runs.checkpoints import Keeper, Pace
from inr_jax.runs.environment import Stopwatch, device
from inr_jax.runs.events import ChunkFinished, ChunkStarted, FinishedMember, Listener, Note
from inr_jax.runs.inputs import load_stored_task
from inr_jax.runs.record import Record, chunk_name
from inr_jax.sweep import ensemble, halving
from inr_jax.sweep.chunks import chunk_by_chunk, padded
from inr_jax.sweep.fits import Checkpoint, Outcome, members_of
from inr_jax.sweep.grid import Batch
from inr_jax.sweep.plan import Plan
from inr_jax.sweep.study import Run

# A line for each member that failed, by its key.
Failures = dict[str, str]
Places = Int[np.ndarray, " _"]


class Work(NamedTuple):
    """The members of a batch that are to be fitted, and where: `mine` are their places in the batch.

    The picture that they are fitted to is in the record, by its digest. A chunk that another process is fitting is
    waited for, for `wait` seconds; beyond them it is an error.
    """

    record: Record
    run: Run
    batch: Batch
    keys: list[str]
    mine: Places
    picture: str = ""
    wait: float = 0.0

    @property
    def task(self) -> Task:
        """What is measured."""
        return load_stored_task(self.record, self.batch.data, self.picture)

    @property
    def rungs(self) -> list[int]:
        """The steps at which members are ranked, and the last."""
        return halving.rungs(self.batch.design.steps, self.run.keep)

    def select(self, places: Places) -> "Work":
        """Return the work of these members alone: what another process needs of it."""
        batch = self.batch._replace(hypers=member_of(self.batch.hypers, places), rows=self.batch.rows[places])
        keys = [self.keys[place] for place in places]
        return self._replace(batch=batch, keys=keys, mine=np.arange(len(places)))


class Goal(NamedTuple):
    """The step that members are to reach, whether they end there, and how many of their batch come that far.

    The number decides the plan, and with it the bits.
    """

    step: int
    ends: bool
    among: int


def finish_batch(work: Work, emit: Listener) -> Failures:
    """Fit the members of a batch to their end, or until they are pruned; a line for each that failed, by key.

    Raises BlockingIOError where another process fits some of them for longer than `work.wait` seconds.
    """
    alive, among = work.mine, len(work.keys)
    failures: Failures = {}
    for rung in work.rungs:
        failures |= reach(work, alive, goal_at(work, rung, among), emit)
        alive, pruned = survivors(work, alive, rung, failures)
        failures |= reach(work, pruned, Goal(rung, True, among), emit)
        among = len(alive)
    return failures


def goal_at(work: Work, rung: int, among: int) -> Goal:
    """Return what members that come to a rung are to reach there."""
    return Goal(rung, rung == work.batch.design.steps, among)


def survivors(work: Work, alive: Places, rung: int, failures: Failures) -> tuple[Places, Places]:
    """Divide the members at a rung, but for those that failed, into those that are fitted on and those pruned."""
    alive = np.asarray([place for place in alive if work.keys[place] not in failures], int)
    if rung == work.batch.design.steps or not len(alive):
        return alive, alive[:0]
    curves = work.record.read_curves([work.keys[place] for place in alive])
    scores = []
    for place in alive:
        steps, read, diverged_at = curves[work.keys[place]]
        until = steps <= rung
        diverged = np.asarray([diverged_at if 0 <= diverged_at < rung else -1])
        so_far = Curves(*(np.asarray(curve)[None, until] for curve in read))
        scores.append(halving.ranking(steps[until], so_far, diverged, rung, work.batch.design.steps))
    settings = settings_of(work.batch.hypers)[alive]
    best = halving.survivors(np.concatenate(scores), settings, work.run.keep)
    return alive[best], alive[~best]


def missing(work: Work, places: Places, goal: Goal) -> Places:
    """Return those of these members that have not reached a goal."""
    # In this order: what is unfinished here may be finished by now, but not the other way round.
    unfinished, finished = work.record.unfinished(), work.record.members()

    def reached(key: str) -> bool:
        if key in finished and finished[key].step >= goal.step:
            return True
        return not goal.ends and key in unfinished and unfinished[key][0].step >= goal.step

    return np.asarray([place for place in places if not reached(work.keys[place])], int)


def reach(work: Work, places: Places, goal: Goal, emit: Listener) -> Failures:
    """Fit those of these members that have not reached a goal, chunk by chunk; a line for each that failed, by key."""
    places = missing(work, places, goal) if len(places) else places
    if not len(places):
        return {}
    failures: Failures = {}
    busy: list[Places] = []
    name = _plan_name(work, goal.among)
    saved = work.record.run.plans.get(name)
    with Stopwatch() as watch:
        # As it began, if it did: chunk and block change bits.
        plan = Plan(**saved) if saved else planned(work.batch, work.task, work.run, goal.among)
    compiling = watch.compiling

    def fit_one(places: Places, plan: Plan, wait: float) -> None:
        nonlocal saved, compiling
        if plan._asdict() != saved:
            saved = plan._asdict()
            work.record.save_plan(name, saved)
        try:
            fit_chunk(work, places, plan, goal, emit, wait, compiling)
            compiling = 0.0
        except BlockingIOError as error:
            if wait == work.wait:
                raise
            emit(Note(f"{error}; the others first"))
            busy.append(places)

    groups = _by_step(work, places)
    for wait in dict.fromkeys((0.0, work.wait)):
        for chunk, result, _ in chunk_by_chunk(groups, plan, partial(fit_one, wait=wait)):
            if isinstance(result, Exception):
                reason = str(result).strip().partition("\n")[0]
                failures |= {work.keys[place]: f"member {work.batch.rows[place]}: {reason}" for place in chunk}
        groups = busy
    return failures


def fit_chunk(
    work: Work, places: Places, plan: Plan, goal: Goal, emit: Listener, wait: float = 0.0, compiling: float = 0.0
) -> None:
    """Fit a chunk from its last checkpoint to a goal; there it is finished, or its checkpoint stays.

    `compiling` are seconds that compiling its program took before.
    """
    record, (design, _, hypers, _), task = work.record, work.batch, work.task
    keys, full = [work.keys[place] for place in places], padded(places, plan.chunk)
    points = halving.points(design, task, work.run.history, work.run.keep)
    hypers, metrics = member_of(hypers, full), metric_names(work.run.metrics)
    with record.lock(chunk_name(keys), wait), signals.postpone():
        if record.finished_step(keys) >= goal.step:
            return  # another process finished it before this one owned it
        start, spent = _resume(work, [work.keys[place] for place in full], points.tolist(), emit)
        before = spent | {"compile_seconds": spent["compile_seconds"] + compiling}
        with Stopwatch() as watch:
            keeper = Keeper(record, keys, points, before, watch, Pace(work.run.checkpoint_seconds), emit)
            at = start.step if start else 0
            emit(ChunkStarted(len(keys), at, at if at in work.rungs[:-1] else 0))
            stop = max(goal.step, at)
            last = ensemble.advance(design, hypers, task, plan, points, stop, keeper, start, metrics)
            if goal.ends:
                outcome = ensemble.outcome(design, hypers, task, plan, last, metrics)
                steps = points[points <= last.step]
                record.save_members(keys, last.step, outcome, keeper.facts(steps))
                emit(ChunkFinished(_finished(work, places, outcome, steps)))
            else:
                keeper.save(last)


def planned(batch: Batch, task: Task, run: Run, among: int) -> Plan:
    """Return the plan for so many members of a batch, by the planner and by the memory that their program needs."""
    hypers, metrics = member_of(batch.hypers, np.resize(np.arange(len(batch.rows)), among)), metric_names(run.metrics)
    return ensemble.planned(batch.design, hypers, task, run.chunk, run.pixel_block, run.features, metrics)


def _plan_name(work: Work, among: int) -> str:
    """A digest of what the plan for so many members of the batch depends on."""
    run = work.run
    asked = (work.batch.design, work.batch.data, among, run.chunk, run.pixel_block, run.features)
    return hashlib.sha256(repr((asked, device())).encode()).hexdigest()[:16]


def _by_step(work: Work, places: Places) -> list[Places]:
    """The members in groups that stand at the same step, the furthest first."""
    unfinished = work.record.unfinished()
    entries = [unfinished.get(work.keys[place]) for place in places]
    steps = np.asarray([found[0].step if found else 0 for found in entries])
    return [places[steps == step] for step in np.unique(steps)[::-1]]


def _resume(
    work: Work, keys: Sequence[str], points: list[int], emit: Listener
) -> tuple[Checkpoint | None, dict[str, float]]:
    """The last checkpoint of a chunk's members and the seconds until then; None where they begin.

    A member that fills up the chunk stands there repeatedly.
    """
    design, hyper, task = work.batch.design, member_of(work.batch.hypers, 0), work.task
    distinct = list(dict.fromkeys(keys))
    found = work.record.read_checkpoint(distinct, points, partial(member.shapes, design, hyper, task))
    if not found:
        return None, {"seconds": 0.0, "compile_seconds": 0.0}
    checkpoint, spent = found
    if checkpoint.step not in work.rungs[:-1]:
        emit(Note(f"{len(distinct)} members go on at step {checkpoint.step} of {design.steps}"))
    return members_of(checkpoint, np.asarray([distinct.index(key) for key in keys])), spent


def _finished(work: Work, places: Places, outcome: Outcome, steps: np.ndarray) -> list[FinishedMember]:
    """The members of a chunk as listeners hear of them."""
    ended = "ok" if steps[-1] == work.batch.design.steps else "pruned"
    columns = {**outcome.scores, "rms_frequency": outcome.rms_frequency, "diverged_at": outcome.diverged_at}
    return [
        FinishedMember(
            int(work.batch.rows[place]),
            work.keys[place],
            "diverged" if outcome.diverged_at[row] >= 0 else ended,
            {name: column[row].item() for name, column in columns.items()},
            steps,
            Curves(*(curve[row] for curve in outcome.curves)),
            outcome.picture[row],
        )
        for row, place in enumerate(places)
    ]
