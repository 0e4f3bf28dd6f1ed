"""This package as a rival: its planner's chunks, or with other plans."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from experiments.bench.problem import ENDLESS, Layers, Problem, Ran, Way, layers_of
from inr_jax.fit.design import count, member_of
from inr_jax.sweep.chunks import chunks, padded
from inr_jax.sweep.ensemble import advance, planned
from inr_jax.sweep.fits import Checkpoint


class Here:
    """This package: its planner's chunks, one after another, each through `ensemble.advance`."""

    chosen, tried = "", 0.0

    def __init__(self, problem: Problem, **options: Any):
        """Plan, as the planner does or with these options, and compile."""
        self.problem, self.task = problem, problem.task
        # A block of all pixels is none.
        options |= {"block": len(self.task.train)} if options.get("block") == -1 else {}
        self.plan = plan = planned(problem.design, problem.hypers, self.task, **options)
        features = "precomputed" if plan.precompute else "recomputed"
        self.chosen = f"chunk {plan.chunk} over {plan.devices}, block {plan.block or 'all'}, features {features}"

    def run(self, steps: int) -> Ran:
        """Take the steps."""
        rows = chunks(np.arange(count(self.problem.hypers)), self.plan.chunk)
        ends = [self._chunk(padded(each, self.plan.chunk), steps) for each in rows]
        first, last = ((ends[0][1], 0), (ends[-1][1], len(rows[-1]) - 1))
        return Ran(sum(took for took, _ in ends), (_layers_at(*first), _layers_at(*last)))

    def _chunk(self, rows: np.ndarray, steps: int) -> tuple[float, Checkpoint]:
        began = 0.0

        def after(checkpoint: Checkpoint) -> int:
            nonlocal began
            jax.block_until_ready(checkpoint.state)
            now = time.perf_counter()
            if checkpoint.step >= steps:
                raise _Enough(now - began, checkpoint)
            began = began or now
            return min(self.plan.segment, steps - checkpoint.step)

        try:
            # The second point of two is the last step's, which is never reached: nothing but steps is timed.
            hypers = member_of(self.problem.hypers, rows)
            points = np.asarray([0, self.problem.design.steps])
            advance(self.problem.design, hypers, self.task, self.plan, points, ENDLESS, after)
        except _Enough as enough:
            return enough.args
        raise AssertionError("a chunk ended before it was stopped")


def _layers_at(checkpoint: Checkpoint, place: int) -> Layers:
    layers = layers_of(checkpoint.state.params["network"])
    return [(np.asarray(w)[place], np.asarray(b)[place]) for w, b in layers]


def at_precision(precision: str, problem: Problem) -> Here:
    """This package with products of less than float32, which are other fits: theirs may come to other losses."""
    return Here(problem._replace(design=problem.design.replace(precision=precision)))


class OneDevice(Here):
    """This package with all members under vmap on one device."""

    def __init__(self, problem: Problem):
        """Plan and compile."""
        with jax.default_device(jax.local_devices()[0]):
            super().__init__(problem, chunk=len(problem.B))

    def run(self, steps: int) -> Ran:
        """Take the steps."""
        with jax.default_device(jax.local_devices()[0]):
            return super().run(steps)


class _Enough(Exception):
    """The requested steps are taken: the seconds, and the checkpoint after them."""


# This package with other plans than the planner's, to measure its rule by.
PLANS: dict[str, Callable[[Problem], Way]] = {
    "one-member": partial(Here, chunk=1),
    "vmap-on-one-device": OneDevice,
    "chunk-8": partial(Here, chunk=8),
    "block-512": partial(Here, block=512),
    "block-2048": partial(Here, block=2048),
    "block-8192": partial(Here, block=8192),
    "block-all": partial(Here, block=-1),
    "recomputed": partial(Here, features="recomputed"),
    "precomputed": partial(Here, features="precomputed"),
    "tf32": partial(at_precision, "tf32"),
    "bfloat16": partial(at_precision, "bfloat16"),
}
