"""What a study takes before it is run: members, chunks, memory, operations, disk; and what is left of one that runs."""

import math
from collections.abc import Mapping

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
from inr_jax.sweep import halving
from inr_jax.sweep.grid import Batch, batches
from inr_jax.sweep.study import Run, Study

# What two CPU cores do in a second.
CPU_FLOPS = 2e11


def estimate_study(study: Study) -> list[str]:
    """Return lines: members, batches, chunk sizes, memory and work of a study. Nothing is fitted or written."""
    members = members_of(study)
    made, keys = members.grid, members.keys
    swept = " x ".join(f"{len(values)} {name}" for name, values in study.axes.items())
    lines = [f"{study.name}:{study.variant}: {len(keys)} members" + (f" ({swept})" if swept else "")]
    total, results, checkpoints = 0.0, 0.0, 0
    for batch in batches(made, range(len(made))):
        work = Work(Record("."), study.run, batch, [keys[row] for row in batch.rows], np.arange(len(batch.rows)))
        task = members.task(batch.data)
        plan, (_, steps) = planned(batch, task, study.run, len(batch.rows)), remaining(work, {})
        flops = plan.step_flops * steps
        result, checkpoint = member_bytes(batch, task, study.run)
        total, results = total + flops, results + len(batch.rows) * result
        checkpoints = max(checkpoints, 2 * plan.chunk * checkpoint)
        size = images.format_size(task.grid)
        lines.append(
            f"  {batch.design.encoding} + {batch.design.network} on {batch.data.image} {size}: "
            f"{len(batch.rows)} members, {batch.design.steps} steps, {plan.parameters:,} parameters each; "
            f"chunk {plan.chunk} over {plan.devices} {'device' if plan.devices == 1 else 'devices'}, "
            f"pixel block {plan.block or 'all'}, features {'precomputed' if plan.precompute else 'recomputed'}, "
            f"{plan.bytes / 2**20:.0f} MiB on each, {flops / 1e12:.2f} TFLOP"
        )
    minutes = total / CPU_FLOPS / 60
    on_disk = (
        f"{results / 1e6:,.1f} MB of members, and while they are fitted {checkpoints / 1e6:,.1f} MB of checkpoints"
    )
    return [
        *lines,
        f"  in all {total / 1e12:.2f} TFLOP: about {minutes:.1f} minutes at 200 GFLOP/s, what two CPU cores give",
        f"  on disk {on_disk}",
    ]


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
    points = halving.points(batch.design.steps, run.history, run.keep)
    curves = 4 * len(points) * (2 + len(metrics.bands(max(task.grid))))
    learned, whole = (
        sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
        for tree in ((state.params, state.data), state)
    )
    return learned + curves + picture_of(task.image).size, whole + curves
