"""Many members: `fit_many` is the vmap of one member's fit, in chunks of members and segments of steps; no files."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Int

from inr_jax.fit.curves import Curves, point_count
from inr_jax.fit.design import Design, Hyper, complete, count, member_of
from inr_jax.fit.member import State
from inr_jax.fit.metrics import column, metric_names
from inr_jax.fit.pinned import pinned
from inr_jax.fit.task import Task
from inr_jax.settings import AnyArray
from inr_jax.sweep import plan as planner
from inr_jax.sweep.chunks import of_all, padded
from inr_jax.sweep.fits import Checkpoint, Fits, Outcome
from inr_jax.sweep.plan import Plan
from inr_jax.sweep.programs import MEMBERS, Programs, lay, programs
from inr_jax.sweep.study import run_options


def fit_many(
    design: Design,
    hypers: Hyper,
    task: Task,
    *,
    chunk: int = 0,
    pixel_block: int = 0,
    history: int = 0,
    metrics: Sequence = (),
) -> Fits:
    """Every member of `hypers`, fitted to the task: one compilation, however many there are.

    `metrics` are custom ones beside the package's, functions of a `metrics.View`. Raises Refused for settings that the
    design does not read or that are not allowed, and MemoryError, or JAX's own error, where not even a single member
    fits into memory.
    """
    chunk, pixel_block, history = run_options(chunk=chunk, pixel_block=pixel_block, history=history)
    hypers, points = complete(design, hypers), history_steps(design, task, history)
    scores = metric_names(metrics)

    def fit_chunk(rows: np.ndarray, plan: Plan) -> Outcome:
        members = member_of(hypers, padded(rows, plan.chunk))
        last = advance(design, members, task, plan, points, design.steps)
        return outcome(design, members, task, plan, last, scores)

    plan = planned(design, hypers, task, chunk, pixel_block, metrics=scores)
    fitted, _ = of_all(np.arange(count(hypers)), plan, fit_chunk)
    # In the order of the metrics: JAX sorts the keys of a dict.
    fitted = fitted._replace(scores={name: fitted.scores[name] for name in map(column, scores)})
    return Fits(design, hypers, np.full(count(hypers), design.steps, np.int32), points, *fitted)


@pinned()
def advance(
    design: Design,
    hypers: Hyper,
    task: Task,
    plan: Plan,
    points: Int[np.ndarray, " t"],
    stop: int,
    listen: Callable[[Checkpoint], int | None] = lambda checkpoint: None,
    start: Checkpoint | None = None,
    metrics: tuple = (),
) -> Checkpoint:
    """Where the members of one chunk stand at step `stop`, from the first step or from a checkpoint of them.

    Curves are read at the steps `points`. `listen` is called with each checkpoint, the starting one too, and returns
    the number of steps to the next (None: as planned). A member that diverges is frozen at its last finite step; the
    bits of the others do not change for it. Raises MemoryError where the program needs more than there is.
    """
    available = planner.memory(plan.devices)
    if plan.bytes > available:
        members = f"{plan.chunk // plan.devices} members of {plan.parameters:,} parameters"
        size = f"{plan.bytes / 2**30:.1f} GiB for {members}"
        raise MemoryError(f"not enough memory: {size}, of {available / 2**30:.1f} that may be taken on a device")
    run, task = programs(design, plan, hypers, task, metrics or metric_names()), _placed(task, plan)

    def look(state: State) -> Curves:
        return jax.tree.map(
            lambda part: np.asarray(part)[:, None], run.curve_point(hypers, task, _placed_members(state, plan))
        )

    if start is None:
        state = run.init(hypers, task)
        start = Checkpoint(0, state, np.full(count(hypers), -1, np.int32), look(state))
    now = start
    steps = listen(now)
    while now.step < stop:
        wanted = now.step + max(1, plan.segment if steps is None else steps)
        now = _segment(run, hypers, task, plan, now, int(min(wanted, stop, *points[points > now.step])))
        if now.step in points:
            joined = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), now.curves, look(now.state))
            now = now._replace(curves=joined)
        steps = listen(now)
    return now


@pinned()
def outcome(
    design: Design, hypers: Hyper, task: Task, plan: Plan, checkpoint: Checkpoint, metrics: tuple = ()
) -> Outcome:
    """What the members of a chunk have come to."""
    run = programs(design, plan, hypers, task, metrics or metric_names())
    scores, picture = run.evaluate(hypers, _placed(task, plan), _placed_members(checkpoint.state, plan))
    params, data = (jax.tree.map(np.asarray, tree) for tree in (checkpoint.state.evaluated, checkpoint.state.data))
    B = {**params["encoding"], **data["encoding"]}.get("B")
    none = np.full(count(hypers), np.nan, np.float32)
    rms = none if B is None else np.sqrt(np.mean(np.square(B), axis=tuple(range(1, B.ndim))))
    scores, picture, diverged_at, curves = jax.tree.map(
        np.asarray, (scores, picture, checkpoint.diverged_at, checkpoint.curves)
    )
    return Outcome(params, data, scores, picture, diverged_at, rms, curves)


@pinned()
def planned(
    design: Design,
    hypers: Hyper,
    task: Task,
    chunk: int = 0,
    block: int = 0,
    features: str = "auto",
    metrics: tuple = (),
) -> Plan:
    """The planner's plan, with as few members at once as the memory of the compiled program demands."""
    hypers = complete(design, hypers)
    plan = planner.plan(design, hypers, task, chunk, block, features)
    while True:
        some = member_of(hypers, padded(np.arange(min(plan.chunk, count(hypers))), plan.chunk))
        measured = programs(design, plan, some, task, metrics or metric_names()).bytes
        plan = plan._replace(bytes=measured or plan.bytes)
        if plan.bytes <= planner.memory(plan.devices) or plan.chunk == 1:
            return plan
        plan = planner.halved(plan)


def history_steps(
    design: Design, task: Task, points: int = 0, also: Sequence[float] | np.ndarray = ()
) -> Int[np.ndarray, " t"]:
    """The steps at which so many points of curves are read (0: `point_count`), and `also`.

    They are the first, the last, and between them even in the logarithm.
    """
    steps = design.steps
    points = points or point_count(task, steps, design.pixels)
    spaced = np.geomspace(max(1, steps / 300), max(1, steps), points - 1)
    return np.unique(np.concatenate([[0], np.round(spaced), also, [steps]]).clip(0, steps)).astype(np.int32)


def _segment(run: Programs, hypers: Hyper, task: Task, plan: Plan, now: Checkpoint, stop: int) -> Checkpoint:
    """After the steps up to `stop`, whose losses are looked at once, at their end.

    Only if a member is not finite is its last finite step searched for: a select over all parameters at every step
    would cost every sweep 5 to 11 % on a CPU.
    """

    def steps(state: State, start: int, stop: int) -> tuple[State, np.ndarray]:
        new, finite = run.advance(hypers, task, _placed_members(state, plan), np.int32(start), np.int32(stop))
        return new, np.asarray(finite)

    diverged_at = np.asarray(now.diverged_at)
    before = diverged_at >= 0
    new, finite = steps(now.state, now.step, stop)
    newly = ~finite & ~before
    if newly.any():
        frozen, at = _last_finite(steps, now.state, now.step, stop, newly)
        new, diverged_at = _select(newly, frozen, new), np.where(newly, at, diverged_at)
    if before.any():
        new = _select(before, now.state, new)
    return now._replace(step=stop, state=new, diverged_at=diverged_at)


def _last_finite(steps: Callable, state: State, start: int, stop: int, which: np.ndarray) -> tuple[State, np.ndarray]:
    """For members that stop being finite between the steps: their last finite state, and the step after it.

    By bisection with the program that fits, from the last state that is known to be finite: the bits do not depend on
    where segments are cut, and it costs no more than one segment again where they diverge together.
    """
    while stop - start > 1:
        middle = (start + stop) // 2
        half, finite = steps(state, start, middle)
        early, late = which & ~finite, which & finite
        if early.any() and late.any():
            first, at_first = _last_finite(steps, state, start, middle, early)
            second, at_second = _last_finite(steps, half, middle, stop, late)
            return _select(early, first, second), np.where(early, at_first, at_second)
        state, start, stop = (half, middle, stop) if late.any() else (state, start, middle)
    return state, np.full(len(which), start, np.int32)


def _placed(task: Task, plan: Plan) -> Task:
    """The task on each of the plan's devices."""
    return jax.device_put(task, lay(plan.devices))


def _placed_members(state: State, plan: Plan) -> State:
    """The state over the plan's devices: where a program left it, except empty arrays (a B of no rows)."""
    return jax.device_put(state, lay(plan.devices, MEMBERS))


@jax.jit
def _select(which: Bool[AnyArray, " m"], yes: State, no: State) -> State:
    def one(a: Any, b: Any) -> Any:
        return jax.numpy.where(jax.numpy.reshape(which, (-1,) + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(one, yes, no)
