"""Many members: one member's functions under vmap, in chunks of members and segments of steps; no files.

A chunk lies over the devices, the same number of members on each; they never ask each other for anything.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple, SupportsIndex, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Bool, Float, Int, UInt8

from inr_jax.fit import member as fit
from inr_jax.fit.member import Curves, State
from inr_jax.fit.task import Task, coordinates
from inr_jax.runs.environment import let_go_of_programs
from inr_jax.settings import AnyArray, Design, Hyper, count, member_of
from inr_jax.sweep import plan as planner
from inr_jax.sweep.plan import Plan

# The name of the member axis.
MEMBERS = "members"
T = TypeVar("T")


class Segment(NamedTuple):
    """Where a chunk stands after some steps, and all that it takes to go on; arrays have a leading member axis.

    `diverged_at` is the step that was not finite, or -1; the curves are those so far, (m, t) and (m, t, b).
    """

    step: int
    state: State
    diverged_at: Int[AnyArray, " m"]
    curves: Curves


class Network(NamedTuple):
    """A fitted network by itself: its settings and what it learned; `data` is what it does not train."""

    design: Design
    hyper: Hyper
    params: Any
    data: Any
    dims: int
    channels: int

    def __call__(self, coords: Float[jax.Array, "n d"]) -> Float[jax.Array, "n c"]:
        """The colours at coordinates of the design's domain, unclipped."""
        params, data = jax.tree.map(jax.numpy.asarray, (self.params, self.data))
        return fit.predict(self.design, self.hyper, params, data, coords, self.channels)

    def predict(self, grid: tuple[int, ...]) -> Float[np.ndarray, "*grid c"]:
        """The image on a grid of any size, unclipped."""
        return render(self.design, self.hyper, self.params, self.data, grid, self.channels)


@dataclasses.dataclass(frozen=True)
class Fits:
    """What came out, with a leading member axis; scores in dB, NaN where there are no such pixels.

    `history_step` are the steps at which the curves `history_train` and `history_heldout` were read, in dB, and
    `history_bands`, the error's power over the target's in each of `metrics.bands`. `rms_frequency` is the root mean
    square of B's entries as it ended, in cycles per image side; NaN where there is no B. `picture` is what each shows,
    8 bit, at most 256 pixels along a side. `steps` are those taken.
    """

    design: Design
    hypers: Hyper
    params: Any
    data: Any
    psnr_train: Float[np.ndarray, " m"]
    psnr_heldout: Float[np.ndarray, " m"]
    psnr_all: Float[np.ndarray, " m"]
    ssim: Float[np.ndarray, " m"]
    picture: UInt8[np.ndarray, "m ..."]
    diverged_at: Int[np.ndarray, " m"]
    rms_frequency: Float[np.ndarray, " m"]
    steps: Int[np.ndarray, " m"]
    history_step: Int[np.ndarray, " t"]
    history_train: Float[np.ndarray, "m t"]
    history_heldout: Float[np.ndarray, "m t"]
    history_bands: Float[np.ndarray, "m t b"]

    def network(self, member: SupportsIndex) -> Network:
        """The member by itself."""
        params, data = (jax.tree.map(lambda leaf: leaf[member], tree) for tree in (self.params, self.data))
        _, *grid, channels = self.picture.shape
        return Network(self.design, member_of(self.hypers, member), params, data, len(grid), channels)

    def predict(self, member: SupportsIndex, grid: tuple[int, ...]) -> Float[np.ndarray, "*grid c"]:
        """The member's image on a grid of any size, unclipped."""
        return self.network(member).predict(grid)


def fit_many(
    design: Design,
    hypers: Hyper,
    task: Task,
    *,
    chunk: int = 0,
    pixel_block: int = 0,
    history: int = 24,
) -> Fits:
    """Every member of `hypers`, fitted to the task: one compilation, however many there are.

    Raises MemoryError, or JAX's own error, where not even a single member fits into memory.
    """
    plan = planned(design, hypers, task, chunk, pixel_block)

    def one_chunk(rows: np.ndarray, plan: Plan) -> Fitted:
        return fit_chunk(design, member_of(hypers, padded(rows, plan.chunk)), task, plan, history)

    fitted, _ = of_all(np.arange(count(hypers)), plan, one_chunk)
    taken = np.full(count(hypers), design.steps, np.int32)
    return Fits(design, hypers, steps=taken, history_step=history_steps(design.steps, history), **fitted._asdict())


class Fitted(NamedTuple):
    """A chunk's members after their last step, as NumPy arrays: what `Fits` holds of them."""

    params: Any
    data: Any
    psnr_train: np.ndarray
    psnr_heldout: np.ndarray
    psnr_all: np.ndarray
    ssim: np.ndarray
    picture: np.ndarray
    diverged_at: np.ndarray
    rms_frequency: np.ndarray
    history_train: np.ndarray
    history_heldout: np.ndarray
    history_bands: np.ndarray


def fit_chunk(
    design: Design,
    hypers: Hyper,
    task: Task,
    plan: Plan,
    history: int = 24,
    after: Callable[[Segment], int | None] = lambda segment: None,
    start: Segment | None = None,
) -> Fitted:
    """The members of one chunk, fitted together to the end: `advance_chunk` and what is `scored` of it."""
    points = history_steps(design.steps, history)
    segment = advance_chunk(design, hypers, task, plan, points, design.steps, after, start)
    return scored(design, hypers, task, plan, segment)


def advance_chunk(
    design: Design,
    hypers: Hyper,
    task: Task,
    plan: Plan,
    points: Int[np.ndarray, " t"],
    stop: int,
    after: Callable[[Segment], int | None] = lambda segment: None,
    start: Segment | None = None,
) -> Segment:
    """Where the members of one chunk stand at step `stop`, from the first step or from where a segment of them ended.

    Curves are read at the steps `points`. `after` is called with each segment, the starting one too, and says how many
    steps go into the next (None: as planned). A member that diverges is frozen at its last finite step; the bits of the
    others do not change for it. Raises MemoryError where the program says that it needs more than there is.
    """
    there = planner.memory(plan.devices)
    if plan.bytes > there:
        members = f"{plan.chunk // plan.devices} members of {plan.parameters:,} parameters"
        size = f"{plan.bytes / 2**30:.1f} GiB for {members}"
        raise MemoryError(f"not enough memory: {size}, of {there / 2**30:.1f} that may be taken on a device")
    task = _placed(task, plan)
    segment = start or _begun(design, plan.devices, hypers, task)
    steps = after(segment)
    while segment.step < stop:
        wanted = segment.step + max(1, plan.segment if steps is None else steps)
        until = int(min(wanted, stop, *points[points > segment.step]))
        segment = _advanced(design, hypers, task, plan, segment, until)
        if segment.step in points:
            segment = _looked_at(design, plan.devices, hypers, task, segment)
        steps = after(segment)
    return segment


def scored(design: Design, hypers: Hyper, task: Task, plan: Plan, segment: Segment) -> Fitted:
    """What came out of a chunk's members, as they stand."""
    task = _placed(task, plan)
    evaluate = _programs(design, plan, hypers, task).evaluate
    scores, picture = _on_host(evaluate(hypers, task, _lying(segment.state, plan)))
    segment = on_host(segment)
    params, data = segment.state.params, segment.state.data
    frequency = rms_frequency((params | data)["B"])
    outcome: dict[str, Any] = {"diverged_at": segment.diverged_at, "rms_frequency": frequency, "picture": picture}
    return Fitted(params, data, **scores._asdict(), **outcome | segment.curves._asdict())


def rms_frequency(B: np.ndarray) -> Float[np.ndarray, " m"]:
    """The root mean square of the entries of each member's B, in cycles per image side; NaN where there are none."""
    # An encoding of one's own has a key, in whole numbers, where others have B.
    known = np.issubdtype(B.dtype, np.floating) and B.size
    return np.sqrt(np.mean(np.square(B), axis=(1, 2))) if known else np.full(len(B), np.nan, np.float32)


def planned(design: Design, hypers: Hyper, task: Task, chunk: int = 0, block: int = 0, features: str = "auto") -> Plan:
    """The planner's plan, with as few members at once as the compiled program's own count of its memory demands."""
    plan = planner.plan(design, hypers, task, chunk, block, features)
    while True:
        some = member_of(hypers, padded(np.arange(min(plan.chunk, count(hypers))), plan.chunk))
        plan = plan._replace(bytes=_programs(design, plan, some, task).bytes or plan.bytes)
        if plan.bytes <= planner.memory(plan.devices) or plan.chunk == 1:
            return plan
        plan = planner.halved(plan)


def chunk_by_chunk(
    groups: Iterable[np.ndarray], plan: Plan, fit_one: Callable[[np.ndarray, Plan], T]
) -> Iterator[tuple[np.ndarray, T | Exception, Plan]]:
    """Each group of members, cut into chunks and fitted: its members, what came out, and the plan by which.

    A chunk that the memory does not hold is halved, and so are those after it; where a single member does not fit it
    fails alone: the error is what came out.
    """
    waiting = list(groups)[::-1]
    while waiting:
        rows = waiting.pop()
        if len(rows) > plan.chunk:
            waiting += chunks(rows, plan.chunk)[::-1]
            continue
        try:
            fitted: T | Exception = fit_one(rows, plan)
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not _out_of_memory(error):
                raise
            if plan.chunk > 1:
                waiting.append(rows)
                plan = planner.halved(plan)
                continue
            fitted = error
        yield rows, fitted, plan


def of_all(rows: np.ndarray, plan: Plan, of_chunk: Callable[[np.ndarray, Plan], T]) -> tuple[T, Plan]:
    """What comes out of these members, chunk by chunk, joined without what fills up a chunk; and the plan at the end.

    Raises what `chunk_by_chunk` says of a member that fails alone.
    """
    parts = []
    for here, part, smaller in chunk_by_chunk([rows], plan, of_chunk):
        if isinstance(part, Exception):
            raise part
        parts.append(jax.tree.map(partial(_first, len(here)), part))
        plan = smaller
    return joined(parts), plan


def joined(parts: Sequence[T]) -> T:
    """Trees of members one behind the other."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def _out_of_memory(error: Exception) -> bool:
    # Where a program is run at once, XLA wraps its refusal to allocate into an INTERNAL error.
    words = ("RESOURCE_EXHAUSTED", "Out of memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def history_steps(steps: int, points: int, also: Sequence[float] | np.ndarray = ()) -> Int[np.ndarray, " t"]:
    """The steps at which curves are read: the first, the last, between them evenly in the logarithm, and `also`."""
    spaced = np.geomspace(max(1, steps / 300), max(1, steps), points - 1)
    return np.unique(np.concatenate([[0], np.round(spaced), also, [steps]]).clip(0, steps)).astype(np.int32)


def chunks(rows: np.ndarray, chunk: int) -> list[np.ndarray]:
    """The rows, chunk by chunk."""
    return [rows[first : first + chunk] for first in range(0, len(rows), chunk)]


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
    part: tuple[slice, ...] = (),
) -> Float[np.ndarray, "*part c"]:
    """One member's image on a grid of any size, or a part of it, unclipped.

    In tiles: beyond the image, memory does not grow with it.
    """
    ranges = [range(size)[cut] for size, cut in zip(grid, part or [slice(None)] * len(grid), strict=True)]
    shape = tuple(map(len, ranges))
    pixels = int(np.prod(shape))
    tile = min(tile, pixels)
    image = np.empty((pixels, channels), np.float32)
    for first in range(0, pixels, tile):
        places = np.unravel_index(np.minimum(np.arange(first, first + tile), pixels - 1), shape)
        where = [along.start + along.step * place for along, place in zip(ranges, places, strict=True)]
        index = np.ravel_multi_index(where, grid).astype(np.int32)
        colors = _render_tile(design, hyper, params, data, index, grid, channels)
        image[first : first + tile] = np.asarray(colors)[: pixels - first]
    return image.reshape(*shape, channels)


def on_host(segment: Segment) -> Segment:
    """The segment with NumPy arrays, in the host's memory."""
    step, *rest = segment
    return Segment(step, *_on_host(rest))


def members_of(segment: Segment, rows: np.ndarray) -> Segment:
    """Where these members of the chunk stand."""
    step, *rest = segment
    return Segment(step, *jax.tree.map(lambda leaf: leaf[rows], rest))


def _on_host(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree)


def _first(members: int, leaf: np.ndarray) -> np.ndarray:
    """The leaf without the members that only fill up the chunk."""
    return leaf[:members]


def _begun(design: Design, devices: int, hypers: Hyper, task: Task) -> Segment:
    """Before any step."""
    state = _init(design, devices, hypers, task)
    curves = _point(design, devices, hypers, task, state)
    return Segment(0, state, np.full(count(hypers), -1, np.int32), curves)


def _looked_at(design: Design, devices: int, hypers: Hyper, task: Task, segment: Segment) -> Segment:
    """With one more point of the training curves."""
    point = _point(design, devices, hypers, task, segment.state)
    return segment._replace(curves=jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), segment.curves, point))


def _point(design: Design, devices: int, hypers: Hyper, task: Task, state: State) -> Curves:
    """One point of the training curves."""
    return jax.tree.map(lambda part: part[:, None], _on_host(_curve_point(design, devices, hypers, task, state)))


def _advanced(design: Design, hypers: Hyper, task: Task, plan: Plan, segment: Segment, stop: int) -> Segment:
    """After the steps up to `stop`, looked at once, at their end.

    Only if somebody is not finite there is the last finite step searched for: a select over all parameters at every
    step would cost everybody 5 to 11 % on a CPU.
    """
    program = _programs(design, plan, hypers, task).advance

    def run(state: State, start: int, stop: int) -> tuple[State, np.ndarray]:
        new, finite = program(hypers, task, _lying(state, plan), np.int32(start), np.int32(stop))
        return new, np.asarray(finite)

    state, diverged_at = segment.state, np.asarray(segment.diverged_at)
    before = diverged_at >= 0
    new, finite = run(state, segment.step, stop)
    newly = ~finite & ~before
    if newly.any():
        frozen, at = _last_finite(run, state, segment.step, stop, newly)
        new, diverged_at = _select(newly, frozen, new), np.where(newly, at, diverged_at)
    if before.any():
        new = _select(before, state, new)
    return segment._replace(step=stop, state=new, diverged_at=diverged_at)


def _last_finite(run: Callable, state: State, start: int, stop: int, which: np.ndarray) -> tuple[State, np.ndarray]:
    """For members that stop being finite between the steps: their last finite state, and the step after it.

    By bisection with the program that fits, from the last state that is known to be finite: the bits do not depend on
    where segments are cut, and it costs no more than one segment again where they diverge together.
    """
    while stop - start > 1:
        middle = (start + stop) // 2
        half, finite = run(state, start, middle)
        early, late = which & ~finite, which & finite
        if early.any() and late.any():
            first, at_first = _last_finite(run, state, start, middle, early)
            second, at_second = _last_finite(run, half, middle, stop, late)
            return _select(early, first, second), np.where(early, at_first, at_second)
        state, start, stop = (half, middle, stop) if late.any() else (state, start, middle)
    return state, np.full(len(which), start, np.int32)


class _Programs(NamedTuple):
    """A chunk's compiled programs, and the bytes that the larger takes with what goes in and comes out."""

    advance: Callable
    evaluate: Callable
    bytes: int


def _programs(design: Design, plan: Plan, hypers: Hyper, task: Task) -> _Programs:
    """The programs for members and a task of these shapes, compiled once."""
    leaves, tree = jax.tree.flatten(jax.tree.map(_shape, (hypers, task)))
    where = tuple(getattr(jax.config, f"jax_default_{what}") for what in ("device", "matmul_precision"))
    # Of the plan only what makes another program.
    return _compiled(design, plan.block, plan.precompute, plan.tile, plan.devices, tuple(leaves), tree, where)


@lru_cache(maxsize=16)
def _compiled(
    design: Design, block: int, precompute: bool, tile: int, devices: int, leaves: tuple, tree: Any, where: tuple
) -> _Programs:
    let_go_of_programs()
    hypers, task = jax.tree.unflatten(tree, leaves)
    state = jax.eval_shape(partial(_init, design, devices), hypers, task)
    members, shared = (_over(devices, PartitionSpec(*axes)) for axes in ((MEMBERS,), ()))
    hypers, state = jax.tree.map(partial(_shape, where=members), (hypers, state))
    task, step = jax.tree.map(partial(_shape, where=shared), (task, np.int32(0)))
    advance = _advance.lower(design, block, precompute, devices, hypers, task, state, step, step).compile()
    evaluate = _evaluate.lower(design, tile, devices, hypers, task, state).compile()
    return _Programs(advance, evaluate, max(_bytes(advance), _bytes(evaluate)))


def _shape(leaf: Any, where: NamedSharding | None = None) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype, sharding=where)


def _bytes(program: Any) -> int:
    """What the compiler says that the program holds at once; 0 where a backend does not say."""
    said = program.memory_analysis()
    kinds = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes", "generated_code_size_in_bytes")
    return sum(getattr(said, kind, 0) for kind in kinds) - getattr(said, "alias_size_in_bytes", 0)


def _mesh(devices: int) -> Mesh:
    """The first of this process's devices, with members along them."""
    # Not `make_mesh`, which orders them by how they are wired: members never communicate.
    return Mesh(np.asarray(jax.local_devices()[:devices]), (MEMBERS,), axis_types=(AxisType.Auto,))


def _over(devices: int, spec: PartitionSpec) -> NamedSharding | None:
    """How arrays lie over the devices; on one of them, wherever JAX puts them."""
    return NamedSharding(_mesh(devices), spec) if devices > 1 else None


def _lying(state: State, plan: Plan) -> State:
    """The state over the plan's devices: where a program left it, except arrays that are empty (a B of no rows)."""
    return jax.device_put(state, _over(plan.devices, PartitionSpec(MEMBERS)))


def _placed(task: Task, plan: Plan) -> Task:
    """The task on each of the plan's devices."""
    return jax.device_put(task, _over(plan.devices, PartitionSpec()))


def _each(function: Callable, devices: int, members: tuple, shared: tuple = ()) -> Any:
    """The function of every member and of what all share: each device does its members, and no two of them talk."""

    def here(members: tuple, shared: tuple) -> Any:
        if len(jax.tree.leaves(members)[0]) > 1:
            return jax.vmap(lambda each: function(*each, *shared))(members)
        # A single one by the program without a member axis: faster on a CPU.
        out = function(*jax.tree.map(lambda leaf: leaf[0], members), *shared)
        return jax.tree.map(lambda leaf: leaf[None], out)

    if devices == 1:
        return here(members, shared)
    along, everywhere = PartitionSpec(MEMBERS), PartitionSpec()
    lie = jax.shard_map(here, mesh=_mesh(devices), in_specs=(along, everywhere), out_specs=along, check_vma=False)
    return lie(members, shared)


@partial(jax.jit, static_argnums=(0, 1))
def _init(design: Design, devices: int, hypers: Hyper, task: Task) -> State:
    one = lambda hyper: fit.init(design, hyper, task.channels, len(task.grid))  # noqa: E731
    return _each(one, devices, (hypers,))


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _advance(
    design: Design, block: int, precompute: bool, devices: int, hypers: Hyper, task: Task, state: State, start, stop
):
    def one(hyper: Hyper, state: State, task: Task, start, stop):
        return fit.advance(design, hyper, task, state, start, stop, block, precompute)

    return _each(one, devices, (hypers, state), (task, start, stop))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _evaluate(design: Design, tile: int, devices: int, hypers: Hyper, task: Task, state: State):
    one = lambda hyper, state, task: fit.evaluate(design, hyper, task, state, tile)  # noqa: E731
    return _each(one, devices, (hypers, state), (task,))


@partial(jax.jit, static_argnums=(0, 1))
def _curve_point(design: Design, devices: int, hypers: Hyper, task: Task, state: State) -> Curves:
    one = lambda hyper, state, task: fit.curve_point(design, hyper, task, state)  # noqa: E731
    return _each(one, devices, (hypers, state), (task,))


@jax.jit
def _select(which: Bool[AnyArray, " m"], yes: State, no: State) -> State:
    def one(a, b):
        return jax.numpy.where(jax.numpy.reshape(which, (-1,) + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(one, yes, no)


@partial(jax.jit, static_argnames=("design", "grid", "channels"))
def _render_tile(design: Design, hyper: Hyper, params, data, index, grid: tuple[int, ...], channels: int):
    return fit.predict(design, hyper, params, data, coordinates(index, grid, design.domain), channels)
