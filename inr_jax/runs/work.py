"""A batch's members brought to their end, chunk by chunk: what is missing, by which plan, from which checkpoint."""

import dataclasses
import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from inr_jax.data.problem import load_task
from inr_jax.fit import member as fit
from inr_jax.fit.curves import Curves
from inr_jax.fit.design import member_of
from inr_jax.fit.metrics import metric_names
from inr_jax.runs import signals
from inr_jax.runs.environment import Stopwatch, device
from inr_jax.runs.progress import Pace
from inr_jax.runs.record import Kept, Record, chunk_name, step_of
from inr_jax.runs.trackers import Finished
from inr_jax.sweep import ensemble, halving
from inr_jax.sweep.chunks import chunk_by_chunk, padded
from inr_jax.sweep.fits import Checkpoint, Outcome, members_of, on_host
from inr_jax.sweep.grid import MEASURED, Batch
from inr_jax.sweep.plan import Plan
from inr_jax.sweep.study import Run

Failed = dict[str, str]


@runtime_checkable
class Listener(Protocol):
    """Who hears how a chunk comes along."""

    def begins(self, members: int, counted: int, step: int) -> None:
        """So many members of a chunk go on from this step; those up to `counted` are not part of the work."""

    def advanced(self, members: int, step: int) -> None:
        """So many members of the chunk stand at this step."""

    def finished(self, members: Sequence[Finished]) -> None:
        """These members are kept."""

    def said(self, line: str) -> None:
        """Something worth a line."""


class Part(NamedTuple):
    """Members of a batch, by their places, that are to stand at a rung; or that are to be kept as they stand.

    `among` is how many of the batch come there, which decides the plan.
    """

    places: np.ndarray
    rung: int
    leave: bool
    among: int


@dataclasses.dataclass
class Once:
    """Tells of a batch's plan, by the batch's name, unless it is the last one that was told of."""

    tell: Callable[[dict[str, Any]], None]
    last: tuple[str, Plan] | None = None

    def __call__(self, name: str, plan: Plan) -> None:
        """Tell of this one."""
        if self.last != (name, plan):
            self.tell({name: plan._asdict()})
            self.last = name, plan


class Work(NamedTuple):
    """The members of a batch that are to be fitted, with their keys and settings, and where they are recorded.

    `mine` are their places in the batch. `beginning` is told of the plan before a member is fitted. A chunk that
    another process fits is left for the end, and then waited for so many seconds; if none, it is an error at once.
    `compiled` are seconds of compiling that no chunk has put down yet.
    """

    record: Record
    run: Run
    batch: Batch
    keys: list[str]
    settings: list[Mapping[str, Any]]
    mine: np.ndarray
    beginning: Once
    waits: float
    compiled: list[float]

    def parts(self) -> Generator[Part, Failed, Failed]:
        """What is to be done, rung by rung; is sent who failed of each, and returns a line for each of them, by key."""
        steps, keep = self.batch.design.steps, self.run.keep
        failed: Failed = {}
        settings, going = halving.settings_of(self.batch.hypers), self.mine
        among = len(self.keys)
        for rung in halving.rungs(steps, keep):
            failed |= yield from self._part(going, rung, False, among)
            going = np.asarray([place for place in going if self.keys[place] not in failed], int)
            if rung < steps and len(going):
                best = halving.survivors(self.ranked(going, rung), settings[going], keep)
                failed |= yield from self._part(going[~best], rung, True, among)
                going = going[best]
                among = len(going)
        return failed

    def _part(self, going: np.ndarray, rung: int, leave: bool, among: int) -> Generator[Part, Failed, Failed]:
        missing = self.missing(going, rung, leave)
        return (yield Part(missing, rung, leave, among)) if len(missing) else {}

    def bring(self, part: Part, listener: Listener) -> Failed:
        """Bring the members of a part there; a line for each that failed, by key.

        Raises BlockingIOError where another process fits some of them for longer than `waits` seconds.
        """
        failed: Failed = {}
        held: list[np.ndarray] = []

        def fit_one(places: np.ndarray, plan: Plan, waits: float) -> None:
            try:
                self.fit_chunk(places, plan, part, listener, waits)
            except BlockingIOError as error:
                if waits == self.waits:
                    raise
                listener.said(f"{error}; the others first")
                held.append(places)

        groups, plan = self.groups(part.places), self.plan(part.among)
        for waits in dict.fromkeys((0.0, self.waits)):
            for places, ended, _ in chunk_by_chunk(groups, plan, partial(fit_one, waits=waits)):
                if isinstance(ended, Exception):
                    reason = str(ended).strip().partition("\n")[0]
                    failed |= {self.keys[place]: f"member {self.batch.rows[place]}: {reason}" for place in places}
            groups = held
        return failed

    def only(self, part: Part) -> "tuple[Work, Part]":
        """The work and the part with this part's members alone: what another process needs of it."""
        places = part.places
        batch = self.batch._replace(hypers=member_of(self.batch.hypers, places), rows=self.batch.rows[places])
        keys, settings = ([each[place] for place in places] for each in (self.keys, self.settings))
        here, once = np.arange(len(places)), Once(self.record.save_plans)
        return Work(self.record, self.run, batch, keys, settings, here, once, self.waits, []), part._replace(
            places=here
        )

    def missing(self, going: np.ndarray, rung: int, leave: bool) -> np.ndarray:
        """Those of these members that do not yet stand at a rung; of those to be left, those that are not kept."""
        # In this order: what is unfinished here may be kept by now, but not the other way round.
        unfinished, kept = self.record.unfinished(), self.record.kept()

        def stands(key: str) -> bool:
            there = key in kept and int(kept[key].steps[-1]) >= rung
            begun = not leave and rung < self.batch.design.steps and key in unfinished
            return there or (begun and step_of(unfinished[key][0]) >= rung)

        return np.asarray([place for place in going if not stands(self.keys[place])], int)

    def ranked(self, going: np.ndarray, rung: int) -> np.ndarray:
        """What these members are ranked by at a rung."""
        courses = self.record.courses([self.keys[place] for place in going])
        scores = []
        for place in going:
            read, curves, diverged_at = courses[self.keys[place]]
            until = read <= rung
            curves = Curves(*(np.asarray(curve)[None, until] for curve in curves))
            diverged = np.asarray([diverged_at if 0 <= diverged_at < rung else -1])
            scores.append(halving.ranking(read[until], curves, diverged, rung, self.batch.design.steps))
        return np.concatenate(scores)

    def plan(self, among: int) -> Plan:
        """The plan by which so many are fitted: as it began, if it did, since chunk and block change bits."""
        there = self.record.run.get("plans", {}).get(self.name(among))
        with Stopwatch() as watch:
            plan = Plan(**there) if there else planned(self.batch, self.run, among)
        self.compiled.append(watch.compiling)
        return plan

    def name(self, among: int) -> str:
        """What the plan for so many members of the batch depends on: other values of it are another plan."""
        run = self.run
        asked = (self.batch.design, self.batch.data, among, run.chunk, run.pixel_block, run.features)
        return hashlib.sha256(repr((asked, device())).encode()).hexdigest()[:16]

    def groups(self, missing: np.ndarray) -> list[np.ndarray]:
        """The missing members, those that stand at the same step together, the furthest first."""
        unfinished = self.record.unfinished()
        furthest = (unfinished.get(self.keys[place]) for place in missing)
        steps = [step_of(paths[0]) if paths else 0 for paths in furthest]
        groups: dict[int, list[int]] = {}
        for place, step in zip(missing, steps, strict=True):
            groups.setdefault(step, []).append(place)
        return [np.asarray(groups[step]) for step in sorted(groups, reverse=True)]

    def fit_chunk(self, places: np.ndarray, plan: Plan, part: Part, listener: Listener, waits: float) -> None:
        """Fit these members of the batch up to a rung, from their last checkpoint on if there is one.

        At the last of their steps they are kept, and so are those to leave; the others' checkpoint stays.
        """
        design, run = self.batch.design, self.run
        task, full = load_task(self.batch.data), padded(places, plan.chunk)
        hypers = member_of(self.batch.hypers, full)
        mine = [self.keys[place] for place in places]
        points = halving.points(design.steps, run.history, run.keep)
        with self.record.owned(chunk_name(mine), waits), signals.waiting():
            if self.record.stands(mine) >= part.rung:
                return  # another process was there between our looking and our owning
            self.beginning(self.name(part.among), plan)
            start, about = self.restored([self.keys[place] for place in full], points.tolist(), listener)
            pace = Pace(run.checkpoint_seconds)
            with Stopwatch() as watch:

                def said(read: np.ndarray = points) -> dict[str, Any]:
                    watch.read()
                    compiling = watch.compiling + sum(self.compiled)
                    seconds = {"seconds": watch.fitting, "compile_seconds": compiling}
                    spent = {name: about[name] + spent for name, spent in seconds.items()}
                    return spent | {"history_step": read.tolist()}

                def keep(segment: Checkpoint) -> None:
                    self.record.save_checkpoint(mine, on_host(segment), said())

                def after(segment: Checkpoint) -> int:
                    listener.advanced(len(places), segment.step)
                    steps = pace.looking(segment.step)
                    if signals.asked() or pace.checkpoint_due():
                        keep(segment)
                        pace.checkpointed()
                    if signals.asked():
                        raise signals.Stopped(signals.asked())
                    return steps

                ranked = halving.rungs(design.steps, run.keep)[:-1]
                at = start.step if start else 0
                listener.begins(len(places), at if at in ranked else 0, at)
                stop = max(part.rung, start.step if start else 0)
                segment = ensemble.advance(
                    design, hypers, task, plan, points, stop, after, start, metric_names(run.metrics)
                )
                if part.leave or part.rung == design.steps:
                    fitted = ensemble.outcome(design, hypers, task, plan, segment, metric_names(run.metrics))
                    read = points[points <= segment.step]
                    self.record.save_chunk(mine, fitted, said(read))
                    listener.finished(self.finished(places, fitted, read))
                else:
                    keep(segment)
                self.compiled.clear()

    def finished(self, places: np.ndarray, fitted: Outcome, steps: np.ndarray) -> list[Finished]:
        """The members of a chunk as listeners are told of them."""
        ended = "ok" if steps[-1] == self.batch.design.steps else "pruned"
        return [
            Finished(
                int(self.batch.rows[place]),
                self.keys[place],
                "diverged" if fitted.diverged_at[at] >= 0 else ended,
                self.settings[place],
                {name: getattr(fitted, name)[at].item() for name in (*MEASURED, "diverged_at")}
                | {name: score[at].item() for name, score in fitted.scores.items()},
                steps,
                Curves(*(curve[at] for curve in fitted.curves)),
                fitted.picture[at],
            )
            for at, place in enumerate(places)
        ]

    def restored(
        self, keys: Sequence[str], points: list[int], listener: Listener
    ) -> tuple[Checkpoint | None, dict[str, Any]]:
        """Where these members of a chunk stood when they were stopped, and the seconds that it took.

        None where they begin, or their curves have other steps. One that fills up the chunk stands there repeatedly.
        """
        design, hyper, task = self.batch.design, member_of(self.batch.hypers, 0), load_task(self.batch.data)
        those = list(dict.fromkeys(keys))
        found = self.record.restored(those, points, partial(fit.shapes, design, hyper, task))
        if not found:
            return None, {"seconds": 0.0, "compile_seconds": 0.0}
        start, about = found
        if start.step not in halving.rungs(design.steps, self.run.keep)[:-1]:
            listener.said(f"{len(those)} members go on at step {start.step} of {design.steps}")
        return members_of(start, np.asarray([those.index(key) for key in keys])), about


def remaining(
    batch: Batch, keys: Sequence[str], mine: np.ndarray, kept: Mapping[str, Kept], keep: float
) -> tuple[int, int]:
    """How many of these members of a batch are still to be kept, and about how many steps that takes all of them."""
    steps = batch.design.steps
    # A pruned one is done, unless nobody shall be pruned.
    least = 0 if keep < 1 else steps
    rows = [row for row in mine if keys[row] not in kept or kept[keys[row]].steps[-1] < least]
    if not rows:
        return 0, 0
    settings = len(np.unique(halving.settings_of(member_of(batch.hypers, np.asarray(rows)))))
    return len(rows), round(len(rows) / settings * halving.member_steps(settings, steps, keep))


def planned(batch: Batch, run: Run, among: int) -> Plan:
    """The plan for so many members of a batch, by the planner and by the memory that their program asks for."""
    task, hypers = load_task(batch.data), member_of(batch.hypers, np.resize(np.arange(len(batch.rows)), among))
    metrics = metric_names(run.metrics)
    return ensemble.planned(batch.design, hypers, task, run.chunk, run.pixel_block, run.features, metrics)
