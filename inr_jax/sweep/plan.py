"""How a batch is cut: the rule, in one place, and its reasons."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from inr_jax import cache
from inr_jax.fit import member
from inr_jax.fit.budget import count_numbers, sized
from inr_jax.fit.design import Design, Hyper, assemble, count, member_of
from inr_jax.fit.encodings import Variables
from inr_jax.fit.member import State
from inr_jax.fit.task import Task, cut, queries_of

# CPU: what a block of pixels takes stays in the caches. Half as many are 0 to 3 % faster, twice as many 2 to 5 %
# slower, 8,192 are 9 to 18 %.
CPU_BLOCK = 1024
# CPU: the gradient of tables that learn is made and added up for each block, so that blocks grow with them, to a pixel
# for so many numbers: a hash grid of 311,000 takes 20 ms a step in blocks of 1,024, and 8 to 10 ms in such ones.
LEARNED_PER_PIXEL = 32
# CPU: one member on each core, without a member axis, and no core waits for another. Two cores do so at 256 pixels
# 1.5 times the steps of one vmapped program, and at 16,384 1.3 times.
CPU_CHUNK = 1
# Accelerators: a step of a chunk should compute for ten times as long as its kernels take to be launched (estimated: a
# hundred of 5 µs, at 40 TFLOP/s), with at most so many members. Where `make gpu` has measured it, its table decides.
LAUNCHED_FLOPS = 2e11
ACCELERATOR_CHUNK = 512
# The table, in the cache folder: for each kind of device pairs of a member's operations a step and the best chunk.
MEASURED_CHUNKS = "chunks.json"
# Features are kept over the steps where those of a member stay in a core's cache; beyond it they are faster made
# again, block by block, than read: on two CPU cores by 7 % at 33 MB and 32 % at 540 MB.
KEPT_BYTES = 2**20
# What programs may take of the memory that there is; the rest is for what they do not count.
MEMORY_PART = 0.8
# Where Linux says what a control group may take, in its second and its first version.
GROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
# Predictions are made in tiles whose features and hidden units take about so many bytes.
TILE_BYTES = 2**27
# What a value with its derivative costs over a value alone.
DERIVATIVES = 2
# A segment is the work between two looks of the host: short enough for progress, checkpoints and signals.
SEGMENT_FLOPS = {"cpu": 2e11, "gpu": 2e13, "tpu": 2e13}


class Plan(NamedTuple):
    """How many members are fitted at once and over how many devices, over how many pixels gradients accumulate and
    predictions go, whether features are kept, and the steps between two looks of the host; with the figures behind.

    `bytes` is what a chunk takes on each device: an estimate until its program is compiled and says itself.
    """

    chunk: int
    devices: int
    block: int
    precompute: bool
    tile: int
    segment: int
    parameters: int
    step_flops: float
    bytes: int


def plan(
    design: Design,
    hypers: Hyper,
    task: Task,
    chunk: int = 0,
    block: int = 0,
    features: str = "auto",
    backend: str = "",
) -> Plan:
    """The plan for a batch; `chunk` and `block` above 0 and `features` but `auto` are taken as they are.

    `step_flops` is for one member and step, over all places at which the task queries the field: forward, and twice
    that backward, less the gradient that nobody needs at the features. Raises Refused where a custom function fails.
    """
    backend = backend or jax.default_backend()
    state = member.shapes(design, member_of(hypers, 0), task)
    units, width, hidden = _sizes(design, member_of(hypers, 0), task, state)
    learned, multiplied = (count_numbers(state.params[part]) for part in ("encoding", "network"))
    parameters = learned + multiplied
    pixels = design.pixels or len(task.train)
    queried, differentiates = queries_of(task, pixels)
    fixed = not learned
    # An encoding that learns is looked up, not multiplied; where there is no network its features are the values.
    step_flops = queried * (6.0 * max(multiplied, units) - (2 * units * width if fixed else 0))
    step_flops *= DERIVATIVES if differentiates else 1
    # Nothing to keep where every step draws other pixels, trains its features, or observes more than pixels.
    keepable = not design.pixels and fixed and task.pixelwise and design.query == "exact"
    asked = features == "precomputed" or (features == "auto" and 4 * units * pixels <= KEPT_BYTES)
    precompute = keepable and asked
    if not block and backend == "cpu":
        block = max(CPU_BLOCK, 2 ** math.ceil(math.log2(max(1, learned / LEARNED_PER_PIXEL))))
        block = cut(task, pixels, block)
        block = block if pixels >= 2 * block else 0
    activations = 4 * queries_of(task, block or pixels).places * (2 * units + 2 * hidden)
    member_bytes = 4 * 5 * parameters + activations + 4 * units * pixels * precompute
    over = _dividing(chunk) if chunk else min(devices(), count(hypers))
    if not chunk:
        wide = CPU_CHUNK if backend == "cpu" else max(1, min(filling(step_flops), int(memory(over) // member_bytes)))
        chunk = over * min(wide, math.ceil(count(hypers) / over))
    on_each = chunk // over
    tile = max(256, TILE_BYTES // (4 * (units + hidden) * on_each))
    tile = min(2 ** int(math.log2(tile)), math.prod(task.grid))
    segment = max(1, int(SEGMENT_FLOPS.get(backend, 2e13) / (step_flops * on_each)))
    return Plan(chunk, over, block, precompute, tile, segment, parameters, step_flops, on_each * member_bytes)


def halved(plan: Plan) -> Plan:
    """The plan with half as many members on each device; where each has one, on half of the devices."""
    before, over = plan.chunk // plan.devices, plan.devices
    each, over = (before // 2, over) if before > 1 else (1, max(1, over // 2))
    return plan._replace(chunk=each * over, devices=over, bytes=plan.bytes * each // before)


def filling(step_flops: float) -> int:
    """How many members of so many operations a step fill this process's device: by the table, else as estimated."""
    table = measured_chunks().get(jax.local_devices()[0].device_kind, [])
    if table:
        return min(table, key=lambda row: abs(math.log(row[0] / step_flops)))[1]
    return min(ACCELERATOR_CHUNK, 2 ** math.ceil(math.log2(max(1.0, LAUNCHED_FLOPS / step_flops))))


def measured_chunks() -> dict[str, list[tuple[float, int]]]:
    """The table of best chunks, by kind of device; empty where nothing was measured."""
    try:
        return json.loads((cache.folder() / MEASURED_CHUNKS).read_text())
    except (OSError, ValueError):
        return {}


def save_measured_chunks(kind: str, rows: Sequence[tuple[float, int]]) -> Path:
    """Write the best chunks of a kind of device into the table, and return its path."""
    path = cache.folder() / MEASURED_CHUNKS
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(measured_chunks() | {kind: list(rows)}, indent=1))
    return path


def devices() -> int:
    """How many of this process's devices a chunk may lie over; one where JAX was told which."""
    config: Any = jax.config  # its options have no types
    return 1 if config.jax_default_device else jax.local_device_count()


def _dividing(chunk: int) -> int:
    """Over how many devices so many members can lie evenly."""
    return max(each for each in range(1, min(devices(), chunk) + 1) if chunk % each == 0)


def memory(over: int = 1) -> int:
    """Bytes that programs may take on a device: its own, or on a CPU a part of the machine's or our group's."""
    stats = jax.local_devices()[0].memory_stats() or {}
    shared = min(over, jax.local_device_count())
    whole = stats.get("bytes_limit") or min(_physical_bytes(), *map(_group_bytes, GROUP_LIMITS)) / shared
    return int(MEMORY_PART * whole)


def _physical_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _group_bytes(path: Path) -> int | float:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # none, or the word "max"
        return math.inf


def _sizes(design: Design, hyper: Hyper, task: Task, state: State) -> tuple[int, int, int]:
    """Numbers of features, of units of the first layer and of all hidden ones, from the shapes alone."""
    coords = jax.ShapeDtypeStruct((1, len(task.grid)), np.float32)
    encoding = Variables(state.params["encoding"], state.data["encoding"])
    features = jax.eval_shape(lambda v, x: assemble(design, hyper).encoding.apply(v, x), encoding, coords)
    design = sized(design, len(task.grid), task.channels)
    width = design.get("width", 0)
    return features.shape[-1], width, width * design.get("depth", 1)
