"""What a study takes before it is run: members, chunks, memory, operations, disk; and what is left of one that runs."""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from inr_jax.data import images
from inr_jax.fit import member, metrics
from inr_jax.fit.curves import picture_of
from inr_jax.fit.design import member_of, settings_of
from inr_jax.fit.task import Task
from inr_jax.runs.members import members_of
from inr_jax.runs.record import Entry, Record
from inr_jax.runs.work import Work, planned
from inr_jax.sweep import ensemble, halving
from inr_jax.sweep.chunks import padded
from inr_jax.sweep.grid import Batch, batches
from inr_jax.sweep.plan import Plan
from inr_jax.sweep.study import Run, Study

# So many steps of a batch are timed that they take this long; what takes long is timed once.
TIMED_SECONDS, LONG_SECONDS = 0.3, 5.0


def estimate_study(study: Study) -> list[str]:
    """Return lines: members, batches, chunk sizes, memory, work and time of a study. Nothing is written.

    A few steps of each batch are taken and timed, since operations alone foretell no time: sines, gathers and members
    that leave cores idle take several times as long.
    """
    members = members_of(study)
    made, keys = members.grid, members.keys
    swept = " x ".join(f"{len(values)} {name}" for name, values in study.axes.items())
    lines = [f"{study.name}:{study.variant}: {len(keys)} members" + (f" ({swept})" if swept else "")]
    total, seconds, results, checkpoints = 0.0, 0.0, 0.0, 0
    for batch in batches(made, range(len(made))):
        work = Work(Record("."), study.run, batch, [keys[row] for row in batch.rows], np.arange(len(batch.rows)))
        task = members.task(batch.data)
        plan, (_, steps) = planned(batch, task, study.run, len(batch.rows)), remaining(work, {})
        flops = plan.step_flops * steps
        result, checkpoint = member_bytes(batch, task, study.run)
        total, seconds = total + flops, seconds + fit_seconds(batch, task, plan, study.run, steps)
        results += len(batch.rows) * result
        checkpoints = max(checkpoints, 2 * plan.chunk * checkpoint)
        size = images.format_size(task.grid)
        lines.append(
            f"  {batch.design.encoding} + {batch.design.network} on {batch.data.image} {size}: "
            f"{len(batch.rows)} members, {batch.design.steps} steps, {plan.parameters:,} parameters each; "
            f"chunk {plan.chunk} over {plan.devices} {'device' if plan.devices == 1 else 'devices'}, "
            f"pixel block {plan.block or 'all'}, features {'precomputed' if plan.precompute else 'recomputed'}, "
            f"{plan.bytes / 2**20:.0f} MiB on each, {flops / 1e12:.2f} TFLOP"
        )
    takes = (
        "more memory than there is here"
        if math.isnan(seconds)
        else f"about {format_seconds(seconds)} of fitting on this machine"
    )
    on_disk = (
        f"{results / 1e6:,.1f} MB of members, and while they are fitted {checkpoints / 1e6:,.1f} MB of checkpoints"
    )
    return [
        *lines,
        f"  in all {total / 1e12:.2f} TFLOP: {takes}",
        f"  on disk {on_disk}",
    ]


def fit_seconds(batch: Batch, task: Task, plan: Plan, run: Run, member_steps: int) -> float:
    """Return how long so many member-steps of a batch take here, by a few of them; NaN where a chunk has no memory.

    Beside the steps, curves are read at some of them and scores at the end.
    """
    count, design, scores = len(batch.rows), batch.design, metrics.metric_names(run.metrics)
    hypers = member_of(batch.hypers, padded(np.arange(min(plan.chunk, count)), plan.chunk))
    points = halving.points(design, task, run.history, run.keep)
    advance = partial(ensemble.advance, design, hypers, task, plan, points[:1], metrics=scores)
    try:
        start = advance(0)
        _, look = _timed(advance, 0)
        steps = min(1, design.steps)
        now, took = _timed(advance, steps, start=start)
        while took < TIMED_SECONDS and steps < design.steps:
            steps = min(2 * steps, design.steps)
            now, took = _timed(advance, steps, start=start)
        _, ends = _timed(ensemble.outcome, design, hypers, task, plan, now, scores)
    except MemoryError:
        return math.nan
    chunks = math.ceil(count / plan.chunk)
    return chunks * (member_steps / count * took / max(1, steps) + len(points) * look + ends)


def _timed(function: Callable, *arguments: Any, **named: Any) -> tuple[Any, float]:
    """What the function returns, and the seconds that it takes: the shorter of two times, unless one is long.

    The first call in a process takes longer, and so does one that other work on the machine interrupts.
    """
    taken: list[float] = []
    while not taken or (len(taken) < 2 and taken[0] < LONG_SECONDS):
        began = time.perf_counter()
        result = function(*arguments, **named)
        taken.append(time.perf_counter() - began)
    return result, min(taken)


def format_seconds(seconds: float) -> str:
    """Return a duration in words, as coarse as an estimate is."""
    if seconds < 120:
        return f"{max(1, round(seconds))} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def remaining(work: Work, finished: Mapping[str, Entry]) -> tuple[int, int]:
    """Return how many members of the work are still to be finished, and about how many member-steps that takes."""
    steps, keep = work.batch.design.steps, work.run.keep
    # A pruned member counts as finished unless pruning has been turned off.
    least = 0 if keep < 1 else steps
    entries = [finished.get(work.keys[place]) for place in work.mine]
    left = work.mine[np.asarray([entry is None or entry.step < least for entry in entries], bool)]
    if not len(left):
        return 0, 0
    settings = len(np.unique(settings_of(member_of(work.batch.hypers, left))))
    return len(left), round(len(left) / settings * halving.member_steps(settings, steps, keep))


def member_bytes(batch: Batch, task: Task, run: Run) -> tuple[int, int]:
    """Return what a finished member of a batch takes on disk, and what a checkpoint of one takes, in bytes."""
    state = member.shapes(batch.design, member_of(batch.hypers, 0), task)
    points = halving.points(batch.design, task, run.history, run.keep)
    curves = 4 * len(points) * (2 + len(metrics.bands(max(task.grid))))
    learned, whole = (
        sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
        for tree in ((state.params, state.data), state)
    )
    return learned + curves + picture_of(task.image).size, whole + curves
