"""How a batch is cut: the rule, in one place, and its reasons."""

import math
import os
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from inr_jax import fit
from inr_jax.settings import Design, Hyper, count, member_of
from inr_jax.tasks import Task

# CPU: products of a few thousand rows stay in the caches: on two cores a 3x256 network on 16,384 pixels reaches 82 %
# of the matrix product's ceiling in blocks of 2,048 and 70 % in one piece.
CPU_BLOCK = 2048
# CPU: one member at a time is as fast as many once a step is long enough to hide the loop around it.
CPU_CHUNK = 1
# Accelerators: a wide chunk fills the chip.
ACCELERATOR_CHUNK = 64
# What programs may take of the memory that there is; the rest is for what they do not count.
MEMORY_PART = 0.8
# Where Linux says what a control group may take, in its second and its first version.
GROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
# Predictions are made in tiles whose features and hidden units take about so many bytes.
TILE_BYTES = 2**27
# A segment is the work between two looks of the host: short enough for progress, checkpoints and signals.
SEGMENT_FLOPS = {"cpu": 2e11, "gpu": 2e13, "tpu": 2e13}


class Plan(NamedTuple):
    """How many members are fitted at once, over how many pixels gradients accumulate and predictions go, and the steps
    between two looks of the host; with the figures behind them.

    `bytes` is what a chunk takes on the device: an estimate until its program is compiled and says itself.
    """

    chunk: int
    block: int
    tile: int
    segment: int
    parameters: int
    step_flops: float
    bytes: int


def plan(design: Design, hypers: Hyper, task: Task, chunk: int = 0, block: int = 0, backend: str = "") -> Plan:
    """The plan for a batch; `chunk` and `block` above 0 are taken as they are.

    `step_flops` is for one member and step: forward, and twice that backward, less the gradient that nobody needs at
    the features. Raises Refused where a function of one's own fails.
    """
    backend = backend or jax.default_backend()
    parameters, units, width = _sizes(design, member_of(hypers, 0), task)
    pixels = design.pixels or len(task.train)
    learned = 0 if design.learn_frequencies else 2 * units * (design.width if width else 0)
    step_flops = pixels * (6.0 * parameters - learned)
    if not block:
        block = CPU_BLOCK if backend == "cpu" and pixels >= 2 * CPU_BLOCK else 0
    activations = 4 * (block or pixels) * (2 * units + 2 * width)
    member_bytes = 4 * 5 * parameters + activations
    if not chunk:
        chunk = CPU_CHUNK if backend == "cpu" else max(1, min(ACCELERATOR_CHUNK, int(memory() // member_bytes)))
        chunk = min(chunk, count(hypers))
    tile = max(256, TILE_BYTES // (4 * (units + width) * chunk))
    tile = min(2 ** int(math.log2(tile)), math.prod(task.grid))
    segment = max(1, int(SEGMENT_FLOPS.get(backend, 2e13) / (step_flops * chunk)))
    return Plan(chunk, block, tile, segment, parameters, step_flops, chunk * member_bytes)


def halved(plan: Plan) -> Plan:
    """The plan with half as many members at once."""
    return plan._replace(chunk=plan.chunk // 2, bytes=plan.bytes // 2)


def memory() -> int:
    """Bytes that programs may take: of the device, or on a CPU of the machine or of the group we may use of it."""
    stats = jax.local_devices()[0].memory_stats() or {}
    limit = stats.get("bytes_limit") or min(_physical_bytes(), *map(_group_bytes, GROUP_LIMITS))
    return int(MEMORY_PART * limit)


def _physical_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _group_bytes(path: Path) -> int | float:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # none, or the word "max"
        return math.inf


def _sizes(design: Design, hyper: Hyper, task: Task) -> tuple[int, int, int]:
    """Numbers of parameters, of features, and of hidden units of a pixel, from the shapes alone."""
    state = fit.shapes(design, hyper, task)
    coords = jax.ShapeDtypeStruct((1, len(task.grid)), np.float32)
    encoded = jax.eval_shape(lambda x, s: fit.encode(design, hyper, (s.params | s.data)["B"], x), coords, state)
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state.params))
    return parameters, encoded.shape[-1], design.width * design.depth
