"""Programs: one member's functions over many members, compiled once for each design and shape."""

import contextlib
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from inr_jax.fit import member
from inr_jax.fit.curves import curve_point
from inr_jax.fit.design import Design, Hyper
from inr_jax.fit.member import State
from inr_jax.fit.task import Task
from inr_jax.sweep.plan import Plan

# The name of the member axis.
MEMBERS = "members"
# Compiled programs are memory maps, a hundred or so each, of which Linux allows a process 65,530.
MOST_MAPS = 20_000


class Programs(NamedTuple):
    """What is run of a chunk, and the bytes that the largest takes with its arguments and results; 0: unknown."""

    init: Callable
    advance: Callable
    curve_point: Callable
    evaluate: Callable
    bytes: int


def over_members(function: Callable, axes: tuple[int | None, ...], devices: int = 1) -> Callable:
    """The function of one member as a function of many: its vmap, members over the devices, which never communicate.

    `axes` says of each argument whether it has a leading member axis (0) or is shared (None).
    """

    def here(*arguments: Any) -> Any:
        leaves = [jax.tree.leaves(each) for each, axis in zip(arguments, axes, strict=True) if axis == 0]
        if len(leaves[0][0]) > 1:
            return jax.vmap(function, in_axes=axes)(*arguments)
        # A single member by the program without a member axis: faster on a CPU.
        pairs = zip(arguments, axes, strict=True)
        one = [jax.tree.map(lambda leaf: leaf[0], each) if axis == 0 else each for each, axis in pairs]
        return jax.tree.map(lambda leaf: leaf[None], function(*one))

    if devices == 1:
        return here
    along = PartitionSpec(MEMBERS)
    specs = tuple(along if axis == 0 else PartitionSpec() for axis in axes)
    return jax.shard_map(here, mesh=mesh(devices), in_specs=specs, out_specs=along, check_vma=False)


def programs(design: Design, plan: Plan, hypers: Hyper, task: Task, metrics: tuple) -> Programs:
    """The programs for members and a task of these shapes, compiled once."""
    leaves, tree = jax.tree.flatten(jax.tree.map(_shape, (hypers, task)))
    where = tuple(getattr(jax.config, f"jax_default_{what}") for what in ("device", "matmul_precision"))
    # Of the plan only what makes another program.
    return _compiled(design, plan.block, plan.precompute, plan.tile, plan.devices, metrics, tuple(leaves), tree, where)


@lru_cache(maxsize=16)
def _compiled(
    design: Design,
    block: int,
    precompute: bool,
    tile: int,
    devices: int,
    metrics: tuple,
    leaves: tuple,
    tree: Any,
    where: tuple,
) -> Programs:
    release_programs()
    hypers, task = jax.tree.unflatten(tree, leaves)
    # One after another: XLA itself keeps two cores busy, and side by side they are no sooner ready.
    parts = uncompiled(design, block, precompute, tile, devices, metrics, hypers, task)
    start, steps, points, scores = made = [function.lower(*shapes).compile() for function, *shapes in parts]
    return Programs(start, steps, points, scores, max(map(_bytes, made)))


def uncompiled(
    design: Design, block: int, precompute: bool, tile: int, devices: int, metrics: tuple, hypers: Hyper, task: Task
) -> list[tuple]:
    """What is compiled for members and a task of these shapes: functions, each with the shapes of its arguments.

    In the order of `Programs`.
    """

    def jitted(function: Callable, *axes: int | None) -> Any:
        return jax.jit(over_members(function, axes, devices))

    def look(hyper: Hyper, task: Task, state: State) -> Any:
        return curve_point(task, member.field(design, hyper, task, state))

    def advance(hyper: Hyper, task: Task, state: State, start: Any, stop: Any) -> Any:
        return member.advance(design, hyper, task, state, start, stop, block, precompute)

    def evaluate(hyper: Hyper, task: Task, state: State) -> Any:
        return member.evaluate(task, member.field(design, hyper, task, state), tile, metrics)

    init = jitted(partial(member.init, design), 0, None)
    members, shared = (partial(_shape, where=lay(devices, *axes)) for axes in ((MEMBERS,), ()))
    state = jax.tree.map(members, jax.eval_shape(init, hypers, task))
    hypers, (task, step) = jax.tree.map(members, hypers), jax.tree.map(shared, (task, np.int32(0)))
    return [
        (init, hypers, task),
        (jitted(advance, 0, None, 0, None, None), hypers, task, state, step, step),
        (jitted(look, 0, None, 0), hypers, task, state),
        (jitted(evaluate, 0, None, 0), hypers, task, state),
    ]


def mesh(devices: int) -> Mesh:
    """The first of this process's devices, members along them."""
    return Mesh(np.asarray(jax.local_devices()[:devices]), (MEMBERS,), axis_types=(AxisType.Auto,))


def lay(devices: int, *axes: str) -> NamedSharding | None:
    """How arrays lie over the devices; on a single one, wherever JAX puts them."""
    return NamedSharding(mesh(devices), PartitionSpec(*axes)) if devices > 1 else None


def release_programs() -> None:
    """Release all compiled programs where they are so many that a process may soon have no more: XLA would crash."""
    with contextlib.suppress(OSError):  # not Linux
        if Path("/proc/self/maps").read_bytes().count(b"\n") > MOST_MAPS:
            forget_programs()


def forget_programs() -> None:
    """Release all compiled programs, those of the last designs and JAX's own; what is asked for again is compiled."""
    _compiled.cache_clear()
    jax.clear_caches()


def _shape(leaf: Any, where: NamedSharding | None = None) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype, sharding=where)


def _bytes(program: Any) -> int:
    """The bytes that the program holds at once by the compiler's analysis; 0 where a backend has none."""
    analysis = program.memory_analysis()
    kinds = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes", "generated_code_size_in_bytes")
    return sum(getattr(analysis, kind, 0) for kind in kinds) - getattr(analysis, "alias_size_in_bytes", 0)
