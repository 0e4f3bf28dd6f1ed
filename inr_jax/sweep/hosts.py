"""One program over the devices of many hosts: who has which members, and what all of them agree on.

Every host runs the same host program on the same members, and each holds those on its own devices. With one process,
which is what all but `--distributed` have, nothing is asked of anybody.
"""

import json
import os
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding

from inr_jax.runs import signals
from inr_jax.settings import Refused

T = TypeVar("T")
VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


def join() -> None:
    """Become one of the processes of a program, before JAX is first used.

    On TPU pods, SLURM, Kubernetes and under MPI JAX finds the others itself; elsewhere JAX_COORDINATOR_ADDRESS
    (host:port), JAX_NUM_PROCESSES and JAX_PROCESS_ID name them. Raises Refused where there is no word of them.
    """
    try:
        count, own = (int(text) if (text := os.environ.get(name)) else None for name in VARIABLES[1:])
        with signals.kept():
            jax.distributed.initialize(num_processes=count, process_id=own)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise Refused(f"--distributed: {reason} Set {', '.join(VARIABLES)} where no scheduler does") from None


def many() -> bool:
    """Whether there are other processes."""
    # Of a process by itself JAX would have to look for its devices first.
    return jax.distributed.is_initialized() and jax.process_count() > 1


def first() -> bool:
    """Whether this is the process that writes what there is one of."""
    return not many() or jax.process_index() == 0


def agreed(value: T) -> T:
    """What the first process says, as JSON has it."""
    if not many():
        return value
    said = np.frombuffer(json.dumps(value).encode(), np.uint8)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(said))))
    padded = np.resize(said, length)  # of the others only the length counts
    return json.loads(np.asarray(multihost_utils.broadcast_one_to_all(padded)).tobytes())


def anyone(flag: bool) -> bool:
    """Whether it is so in any process."""
    return bool(multihost_utils.process_allgather(np.asarray(flag)).any()) if many() else flag


def stop_together() -> None:
    """Raise Stopped in all processes where any was asked to stop."""
    if anyone(bool(signals.asked())):
        signals.ask(signals.SIGNALS[-1])
        raise signals.Stopped(signals.asked())


def alike(number: int) -> bool:
    """Whether it is the same number in all processes."""
    return bool(np.ptp(multihost_utils.process_allgather(np.int32(number))) == 0) if many() else True


def together(what: str) -> None:
    """Wait until all processes are here."""
    if many():
        multihost_utils.sync_global_devices(what)


def rows(chunk: int) -> slice:
    """Which of a chunk's rows lie on this host's devices."""
    if not many():
        return slice(0, chunk)
    each = chunk // jax.process_count()
    return slice(each * jax.process_index(), each * (jax.process_index() + 1))


def everybody(tree: T) -> T:
    """Arrays over all devices as NumPy arrays of all members, on every host."""
    return jax.tree.map(_gathered, tree) if many() else jax.tree.map(np.asarray, tree)


def own(tree: T) -> T:
    """Arrays over all devices as NumPy arrays of the members on this host."""
    return jax.tree.map(_local, tree) if many() else jax.tree.map(np.asarray, tree)


def spread(tree: T, where: NamedSharding | None) -> T:
    """Arrays that every host has, as arrays over all devices."""
    if not many() or where is None:
        return jax.device_put(tree, where)
    return jax.tree.map(lambda leaf: _from(leaf, where), tree)


def spread_own(tree: T, where: NamedSharding) -> T:
    """Arrays of the members on each host, as arrays over all devices."""
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(where, leaf), tree)


def _gathered(leaf: Any) -> np.ndarray:
    return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))


def _local(leaf: jax.Array) -> np.ndarray:
    shards = sorted(leaf.addressable_shards, key=lambda shard: shard.index[0].start or 0)
    return np.concatenate([np.asarray(shard.data) for shard in shards])


def _from(leaf: Any, where: NamedSharding) -> jax.Array:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return leaf
    return jax.make_array_from_callback(np.shape(leaf), where, lambda index: np.asarray(leaf)[index])
