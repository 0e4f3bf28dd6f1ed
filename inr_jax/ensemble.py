"""Many members: one member's functions under vmap, in chunks of members and segments of steps; no files."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from inr_jax import fit, planner
from inr_jax.fit import Scores, State
from inr_jax.planner import Plan
from inr_jax.settings import AnyArray, Design, Hyper, count, member_of
from inr_jax.tasks import Task, coordinates


class Segment(NamedTuple):
    """Where a chunk stands after a segment of steps; arrays have a leading member axis.

    `diverged_at` is the step that was not finite, or -1. `psnr_train` and `psnr_heldout` are a point of the training
    curves, or None where the segment does not end on one.
    """

    step: int
    state: State
    diverged_at: np.ndarray
    psnr_train: np.ndarray | None = None
    psnr_heldout: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Fits:
    """What came out, with a leading member axis; scores in dB, NaN where there are no such pixels.

    `history_step` are the steps at which the curves `history_train` and `history_heldout` (members, points) were read.
    """

    design: Design
    hypers: Hyper
    params: Any
    data: Any
    psnr_train: Float[np.ndarray, " m"]
    psnr_heldout: Float[np.ndarray, " m"]
    psnr_all: Float[np.ndarray, " m"]
    ssim: Float[np.ndarray, " m"]
    diverged_at: Int[np.ndarray, " m"]
    history_step: Int[np.ndarray, " t"]
    history_train: Float[np.ndarray, "m t"]
    history_heldout: Float[np.ndarray, "m t"]

    def predict(self, member: int, grid: tuple[int, ...], channels: int = 3) -> Float[np.ndarray, "*grid c"]:
        """The member's image on a grid of any size, unclipped."""
        params, data = (jax.tree.map(lambda leaf: leaf[member], tree) for tree in (self.params, self.data))
        return render(self.design, member_of(self.hypers, member), params, data, grid, channels)


def fit_many(
    design: Design,
    hypers: Hyper,
    task: Task,
    *,
    chunk: int = 0,
    pixel_block: int = 0,
    history: int = 24,
) -> Fits:
    """Every member of `hypers`, fitted to the task: one compilation, however many there are."""
    plan = planner.plan(design, hypers, task, chunk, pixel_block)
    task = jax.device_put(task)
    parts = []
    for rows in chunks(count(hypers), plan.chunk):
        members = member_of(hypers, padded(rows, plan.chunk))
        fitted = fit_chunk(design, members, task, plan, history)
        parts.append(jax.tree.map(partial(_first, len(rows)), fitted))
    steps = history_steps(design.steps, history)
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    return Fits(design, hypers, history_step=steps, **joined._asdict())


class Fitted(NamedTuple):
    """A chunk's members after their last step, as NumPy arrays: what `Fits` holds of them."""

    params: Any
    data: Any
    psnr_train: np.ndarray
    psnr_heldout: np.ndarray
    psnr_all: np.ndarray
    ssim: np.ndarray
    diverged_at: np.ndarray
    history_train: np.ndarray
    history_heldout: np.ndarray


def fit_chunk(
    design: Design,
    hypers: Hyper,
    task: Task,
    plan: Plan,
    history: int = 24,
    after: Callable[[Segment], None] = lambda segment: None,
) -> Fitted:
    """The members of one chunk, fitted together; `after` is called with each segment of steps.

    A member that diverges is frozen at its last finite step; the bits of the others do not change for it.
    """
    curves = []
    for segment in advance(design, hypers, task, plan, history):
        if segment.psnr_train is not None:
            curves.append((segment.psnr_train, segment.psnr_heldout))
        after(segment)
    scores = jax.tree.map(np.asarray, _evaluate(design, hypers, task, segment.state, plan.tile))
    train, heldout = (np.stack(curve, axis=1) for curve in zip(*curves, strict=True))
    params, data = jax.tree.map(np.asarray, (segment.state.params, segment.state.data))
    outcome = {"diverged_at": segment.diverged_at, "history_train": train, "history_heldout": heldout}
    return Fitted(params, data, **scores._asdict(), **outcome)


def advance(design: Design, hypers: Hyper, task: Task, plan: Plan, history: int = 24) -> Iterator[Segment]:
    """The chunk after each of its segments; the first is before any step."""
    points = set(history_steps(design.steps, history).tolist())
    state = _init(design, hypers, task)
    diverged_at = np.full(count(hypers), -1, np.int32)
    step = 0
    while True:
        curve = map(np.asarray, _curve_point(design, hypers, task, state)) if step in points else ()
        yield Segment(step, state, diverged_at, *curve)
        if step == design.steps:
            return
        stop = min([step + plan.segment, *(p for p in points if p > step)])
        state, diverged_at = _segment(design, hypers, task, state, diverged_at, step, stop, plan.block)
        step = stop


def history_steps(steps: int, points: int) -> Int[np.ndarray, " t"]:
    """The steps at which curves are read: the first, the last, and evenly between them on a logarithmic axis."""
    spaced = np.geomspace(max(1, steps / 300), max(1, steps), points - 1)
    return np.unique(np.concatenate([[0], np.round(spaced), [steps]]).clip(0, steps)).astype(np.int32)


def chunks(members: int, chunk: int) -> list[np.ndarray]:
    """The members' numbers, chunk by chunk."""
    return [np.arange(first, min(first + chunk, members)) for first in range(0, members, chunk)]


def padded(rows: np.ndarray, chunk: int) -> np.ndarray:
    """The rows, the last repeated up to the chunk's size: one program for every chunk, and the same bits."""
    return np.concatenate([rows, np.repeat(rows[-1:], chunk - len(rows))])


def render(
    design: Design,
    hyper: Hyper,
    params: Any,
    data: Any,
    grid: tuple[int, ...],
    channels: int = 3,
    tile: int = 2**14,
) -> Float[np.ndarray, "*grid c"]:
    """One member's image on a grid of any size, unclipped, in tiles: beyond the image, memory does not grow with it."""
    pixels = int(np.prod(grid))
    tile = min(tile, pixels)
    image = np.empty((pixels, channels), np.float32)
    for first in range(0, pixels, tile):
        index = np.minimum(np.arange(first, first + tile), pixels - 1).astype(np.int32)
        colors = _render_tile(design, hyper, params, data, index, grid, channels)
        image[first : first + tile] = np.asarray(colors)[: pixels - first]
    return image.reshape(*grid, channels)


def _first(members: int, leaf: np.ndarray) -> np.ndarray:
    """The leaf without the members that only fill up the chunk."""
    return leaf[:members]


def _segment(design, hypers, task, state, diverged_at, start, stop, block) -> tuple[State, np.ndarray]:
    """The chunk after the steps, looked at once at their end.

    Only if somebody is not finite there is the segment repeated with a look at every step, and only the state of those
    who diverged is taken from that: a select over all parameters at every step would cost everybody 5 to 11 % on a CPU.
    """
    new, finite = _advance(design, hypers, task, state, start, stop, block)
    newly = ~np.asarray(finite) & (diverged_at < 0)
    if newly.any():
        frozen, at = _advance_guarded(design, hypers, task, state, start, stop, block)
        new = _select(newly, frozen, new)
        diverged_at = np.where(newly, np.asarray(at), diverged_at)
    before = (diverged_at >= 0) & ~newly
    return (_select(before, state, new) if before.any() else new), diverged_at


def _each(function: Callable, *trees: Any) -> Any:
    """The function over the leading axis of the trees: vmap, or for a single member the program without it."""
    if len(jax.tree.leaves(trees)[0]) > 1:
        return jax.vmap(function)(*trees)
    out = function(*jax.tree.map(lambda leaf: leaf[0], trees))
    return jax.tree.map(lambda leaf: leaf[None], out)


@partial(jax.jit, static_argnames="design")
def _init(design: Design, hypers: Hyper, task: Task) -> State:
    return _each(lambda hyper: fit.init(design, hyper, task.channels, len(task.grid)), hypers)


@partial(jax.jit, static_argnames=("design", "block"))
def _advance(design: Design, hypers: Hyper, task: Task, state: State, start, stop, block: int):
    def one(hyper, state):
        new, loss = fit.advance(design, hyper, task, state, start, stop, block)
        return new, fit.is_finite(new, loss)

    return _each(one, hypers, state)


@partial(jax.jit, static_argnames=("design", "block"))
def _advance_guarded(design: Design, hypers: Hyper, task: Task, state: State, start, stop, block: int):
    one = lambda hyper, state: fit.advance_guarded(design, hyper, task, state, start, stop, block)  # noqa: E731
    return _each(one, hypers, state)


@partial(jax.jit, static_argnames=("design", "tile"))
def _evaluate(design: Design, hypers: Hyper, task: Task, state: State, tile: int) -> Scores:
    return _each(lambda hyper, state: fit.evaluate(design, hyper, task, state, tile), hypers, state)


@partial(jax.jit, static_argnames="design")
def _curve_point(design: Design, hypers: Hyper, task: Task, state: State) -> tuple[Array, Array]:
    return _each(lambda hyper, state: fit.curve_point(design, hyper, task, state), hypers, state)


@jax.jit
def _select(which: Bool[AnyArray, " m"], yes: State, no: State) -> State:
    return _each(lambda w, a, b: jax.tree.map(lambda x, y: jax.numpy.where(w, x, y), a, b), which, yes, no)


@partial(jax.jit, static_argnames=("design", "grid", "channels"))
def _render_tile(design: Design, hyper: Hyper, params, data, index, grid: tuple[int, ...], channels: int):
    return fit.predict(design, hyper, params, data, coordinates(index, grid, design.domain), channels)
