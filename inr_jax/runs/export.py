"""A fitted network as a file for other programs: safetensors with its settings, or StableHLO, a program for JAX."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from inr_jax.fit import member
from inr_jax.fit.design import Design, Hyper
from inr_jax.fit.pinned import pinned
from inr_jax.fit.task import Task
from inr_jax.runs.format import flat, unflat
from inr_jax.settings import Refused, library
from inr_jax.sweep.fits import Network

# Where a StableHLO program can run.
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
FORMAT = "inr_jax.member.3"


def to_safetensors(network: Network) -> bytes:
    """Return the network's arrays as safetensors, named by their path in the tree; its settings are the metadata.

    Raises Refused where a custom function is not named `module:function`, so that it could not be loaded.
    """
    library("safetensors", "export")
    save = library("safetensors.numpy", "export").save
    tree = {"params": network.params, "data": network.data}
    arrays = {name: np.asarray(leaf, order="C") for name, leaf in flat(tree).items()}
    about = {
        "format": FORMAT,
        "design": _settings(network.design),
        "hyper": _settings(network.hyper),
        "dims": str(network.dims),
        "channels": str(network.channels),
    }
    return save(arrays, about | {"sha256": _digest(arrays, about)})


def load_network(path: str | Path) -> Network:
    """Load the network of a safetensors file. Raises Refused where another program wrote it, or it is damaged."""
    safetensors = library("safetensors", "export")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            about: Mapping[str, str] = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise Refused(f"{path} is no safetensors file: {error}") from error
    if about.get("format") != FORMAT:
        raise Refused(f"{path} was not written by `inr_jax`: its format is {about.get('format')!r}, not {FORMAT!r}")
    if about.get("sha256") != _digest(arrays, {name: text for name, text in about.items() if name != "sha256"}):
        raise Refused(f"{path} is damaged: it is not what was written")
    try:
        design, hyper = Design(**json.loads(about["design"])), Hyper(**json.loads(about["hyper"]))
    except Refused as refused:
        raise Refused(f"{path} has settings of another version: {refused}") from refused
    dims, channels = int(about["dims"]), int(about["channels"])
    empty = np.zeros(0, np.int32)
    shapes = member.shapes(design, hyper, Task(np.zeros((*[1] * dims, channels), np.float32), empty, empty))
    try:
        params, data = unflat(shapes.params, arrays, "params/"), unflat(shapes.data, arrays, "data/")
    except KeyError as error:
        raise Refused(f"{path} does not fit {design.encoding} and {design.network} as they are now: {error}") from error
    return Network(design, hyper, params, data, dims, channels)


@pinned()
def to_stablehlo(network: Network) -> bytes:
    """Return the network as a program from coordinates (n, d), for any n, to values (n, c), with its weights.

    `jax.export.deserialize(file).call(coords)` runs it, on CPU, GPU or TPU: it needs jax and flatbuffers.
    """
    library("flatbuffers", "export")
    (n,) = jax.export.symbolic_shape("n")
    coords = jax.ShapeDtypeStruct((n, network.dims), jnp.float32)
    return bytes(jax.export.export(jax.jit(network.__call__), platforms=PLATFORMS)(coords).serialize())


WRITERS: dict[str, Callable[[Network], bytes]] = {".safetensors": to_safetensors, ".stablehlo": to_stablehlo}


def _digest(arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> str:
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(arrays):
        found.update(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode() + arrays[name].tobytes())
    return found.hexdigest()


def _settings(group: Design | Hyper) -> str:
    for name, value in group.items():
        if callable(value):
            raise Refused(f"{name}={value} is a function: name it module:function, so that others can load it")
    return json.dumps(dict(group), default=lambda value: value.item())
