"""Successive halving: members are ranked at rungs, and only the best settings are fitted on.

Jamieson and Talwalkar 2016, with two changes. A rung keeps a part of the settings that may be more than half. And they
are ranked by what their curves promise: small learning rates and large scales begin slowly. Survivors are what they
would be without it: their steps and draws do not depend on who is no longer there.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from inr_jax.fit.curves import Curves
from inr_jax.fit.design import Design, Hyper, complete, count, member_of, settings_of
from inr_jax.fit.metrics import metric_names
from inr_jax.fit.task import Task
from inr_jax.sweep import ensemble
from inr_jax.sweep.chunks import joined, of_all, padded
from inr_jax.sweep.fits import Checkpoint, Fits, Outcome, members_of
from inr_jax.sweep.plan import Plan
from inr_jax.sweep.study import run_options

# The rungs, as parts of all steps.
RUNGS = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
# A curve's slope in the logarithm of the steps is that of its last octave, seen at so many points.
POINTS = 4
# And it is followed so far towards the last step, on the same axis: curves bend.
AHEAD = 0.4


def rungs(steps: int, keep: float) -> list[int]:
    """The steps at which members are ranked, and the last. Nobody is ranked where `keep`, in (0, 1], is 1."""
    early = [round(part * steps) for part in RUNGS] if keep < 1 else []
    return sorted({step for step in early if step > 1} | {steps})


def points(design: Design, task: Task, history: int, keep: float) -> Int[np.ndarray, " t"]:
    """The steps at which curves are read: those of a sweep without halving, and those that the ranking looks at."""
    octaves = [rung * 2.0 ** -np.linspace(0, 1, POINTS) for rung in rungs(design.steps, keep)[:-1]]
    return ensemble.history_steps(design, task, history, np.round(np.ravel(octaves)))


def survivor_count(settings: int, keep: float) -> int:
    """How many of so many settings are fitted on from a rung: one at least."""
    return max(1, math.ceil(settings * keep - 1e-9))


def member_steps(members: int, steps: int, keep: float) -> int:
    """The member-steps that a grid of settings with one seed costs; without halving `members * steps`."""
    total = before = 0
    for rung in rungs(steps, keep):
        total, before, members = total + members * (rung - before), rung, survivor_count(members, keep)
    return total


def survivors(scores: Float[np.ndarray, " m"], settings: Int[np.ndarray, " m"], keep: float) -> Bool[np.ndarray, " m"]:
    """Which members are fitted on: those of the settings whose mean score is best; NaN is worst.

    Ties go to the setting that stands first.
    """
    groups = np.unique(settings)
    scores = np.where(np.isnan(scores), -np.inf, scores)
    means = np.asarray([scores[settings == group].mean() for group in groups])
    best = groups[np.argsort(-means, kind="stable")[: survivor_count(len(groups), keep)]]
    return np.isin(settings, best)


def extrapolate(
    read: Int[np.ndarray, " t"], curve: Float[np.ndarray, "m t"], rung: int, steps: int
) -> Float[np.ndarray, " m"]:
    """The PSNR in dB that curves, read at these steps up to a rung, promise towards the last step.

    A straight line through the last octave over the logarithm of the steps, followed AHEAD of the way.
    """
    at = (read >= rung / 2 - 1) & (read > 0) & (read <= rung)
    if at.sum() < 2:  # curves read without halving in mind
        return curve[:, read <= rung][:, -1]
    x = np.log(read[at] / rung)
    slope = (x - x.mean()) @ (curve[:, at] - curve[:, at].mean(1, keepdims=True)).T / np.sum((x - x.mean()) ** 2)
    return curve[:, at].mean(1) + slope * (AHEAD * np.log(steps / rung) - x.mean())


def ranking(
    read: Int[np.ndarray, " t"], curves: Curves, diverged_at: Int[np.ndarray, " m"], rung: int, steps: int
) -> Float[np.ndarray, " m"]:
    """What members are ranked by at a rung, in dB: on held-out pixels, or where there are none on the training pixels.

    NaN for those that diverged.
    """
    train, heldout = (np.asarray(curve) for curve in (curves.history_train, curves.history_heldout))
    curve = heldout if np.isfinite(heldout).any() else train
    return np.where(diverged_at < 0, extrapolate(read, curve, rung, steps), np.nan)


def fit_halving(
    design: Design,
    hypers: Hyper,
    task: Task,
    keep: float = 0.55,
    *,
    chunk: int = 0,
    history: int = 0,
    metrics: Sequence = (),
) -> Fits:
    """The members of `hypers`, of which at every rung only the part `keep` of the settings is fitted on.

    The result's `steps` are those that each member took; its scores are of then, its curves NaN after. Scores on
    held-out pixels are what members are ranked by: a best of theirs is an oracle's.
    Raises MemoryError, or JAX's own error, where not even a single member fits into memory.
    """
    chunk, history, keep = run_options(chunk=chunk, history=history, keep=keep)
    hypers, scores = complete(design, hypers), metric_names(metrics)
    read, settings, alive = points(design, task, history, keep), settings_of(hypers), np.arange(count(hypers))
    now: Checkpoint | None = None
    ends = []
    for stop in rungs(design.steps, keep):
        plan = ensemble.planned(design, member_of(hypers, alive), task, chunk, metrics=scores)
        rung = _Rung(design, member_of(hypers, alive), task, read, scores)
        parts, plan = of_all(np.arange(len(alive)), plan, partial(rung.advance, stop, now))
        now = Checkpoint(stop, *parts)
        stays = np.zeros(len(alive), bool)
        if stop < design.steps:
            ranks = ranking(read[read <= stop], now.curves, np.asarray(now.diverged_at), stop, design.steps)
            stays = survivors(ranks, settings[alive], keep)
        lost = np.flatnonzero(~stays)
        if len(lost):
            ended, _ = of_all(lost, plan, partial(rung.outcome, now))
            whole = ended._replace(curves=Curves(*(_until(np.asarray(curve), len(read)) for curve in ended.curves)))
            ends.append((alive[lost], np.full(len(lost), stop, np.int32), whole))
            now, alive = members_of(now, stays), alive[stays]
    rows, steps, outcomes = joined(ends)
    steps, outcomes = jax.tree.map(lambda leaf: leaf[np.argsort(rows)], (steps, outcomes))
    return Fits(design, hypers, steps, read, *outcomes)


class _Rung(NamedTuple):
    """The members that come to a rung, and what is read of them."""

    design: Design
    hypers: Hyper
    task: Task
    points: np.ndarray
    metrics: tuple

    def advance(self, stop: int, start: Checkpoint | None, rows: np.ndarray, plan: Plan) -> tuple:
        """Where members of a chunk stand at the rung, but for the step."""
        full = padded(rows, plan.chunk)
        members, start = member_of(self.hypers, full), start and members_of(start, full)
        at = ensemble.advance(
            self.design, members, self.task, plan, self.points, stop, start=start, metrics=self.metrics
        )
        return jax.tree.map(np.asarray, at[1:])

    def outcome(self, now: Checkpoint, rows: np.ndarray, plan: Plan) -> Outcome:
        """What members of a chunk have come to."""
        full = padded(rows, plan.chunk)
        members, at = member_of(self.hypers, full), members_of(now, full)
        return ensemble.outcome(self.design, members, self.task, plan, at, self.metrics)


def _until(curve: np.ndarray, points: int) -> np.ndarray:
    """The curve over all points, NaN where it was not looked at."""
    missing = np.full((len(curve), points - curve.shape[1], *curve.shape[2:]), np.nan, curve.dtype)
    return np.concatenate([curve, missing], axis=1)
