"""The fits that are compared, as arrays that every rival starts from, and their loss in plain JAX."""

from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from inr_jax.data.images import load
from inr_jax.fit.design import Design, Hyper, stack
from inr_jax.fit.design import hypers as make_hypers
from inr_jax.fit.member import init
from inr_jax.fit.task import Task, pixel_coordinates
from inr_jax.tasks.splits import split

RATE = 1e-3
DEPTH = 3
# Far more steps than any run takes: a run ends when it has taken its own, and any number of them is the same program.
ENDLESS = 10**9

# Weights (in, out) and biases of a network's layers; with a leading member axis in a Problem.
Layers = list[tuple[Any, Any]]


class Unavailable(Exception):
    """A way that is not possible here; the message says why."""


class Size(NamedTuple):
    """A square image's side, units of a hidden layer, rows of B, and the network: `relu` behind them, or `siren`."""

    side: int
    width: int
    frequencies: int
    network: str = "relu"


SIZES = {
    "256x64": Size(16, 64, 256),
    "256x256": Size(16, 256, 256),
    "16384x256": Size(128, 256, 256),
    "65536x256": Size(256, 256, 1024),
    "siren-256x256": Size(16, 256, 0, "siren"),
    "siren-16384x256": Size(128, 256, 0, "siren"),
}
# Of all sines of a SIREN, as in Sitzmann et al. 2020.
OMEGA = 30.0


class Problem(NamedTuple):
    """Members to be fitted, in the words of this package, and as plain arrays for the others.

    A `siren` takes coordinates: its B has no rows.
    """

    design: Design
    hypers: Hyper
    task: Task
    coords: np.ndarray
    colors: np.ndarray
    B: np.ndarray
    layers: Layers
    network: str = "relu"


class Ran(NamedTuple):
    """Seconds that the steps of all members took, and the first and the last member's layers after them."""

    seconds: float
    ends: tuple[Layers, Layers]


class Way(Protocol):
    """A way to fit a problem's members. `chosen` names its fastest variant, if any; trying took `tried` s."""

    chosen: str
    tried: float

    def run(self, steps: int) -> Ran:
        """Take so many steps with every member, from its start."""


def make_problem(size: Size, members: int) -> Problem:
    """Make a problem of so many members, with the parameters and frequencies of each before its first step."""
    task = split(load("synthetic:natural_noise", size.side), "all")
    shape = {"width": size.width, "depth": DEPTH, "steps": ENDLESS}
    design, hypers = Design(frequencies=size.frequencies or 1, **shape), hypers_of(members)
    if size.network == "siren":
        design = Design(encoding="identity", domain="signed", network="siren", **shape)
        hypers = make_hypers(design, seed=list(range(members)), learning_rate=[RATE], omega_0=[OMEGA])
    state = jax.jit(jax.vmap(lambda hyper: init(design, hyper, task)))(hypers)
    layers = jax.tree.map(np.asarray, layers_of(state.params["network"]))
    places = pixel_coordinates(jnp.asarray(task.train), task.grid, design.domain)
    B = state.data["encoding"].get("B", np.zeros((members, 0, 2), np.float32))
    coords, colors, B = map(np.asarray, (places, task.colors[task.train], B))
    return Problem(design, hypers, task, coords, colors, B, layers, size.network)


def hypers_of(members: int) -> Hyper:
    """Settings of so many members with scales from 1 to 16 cycles, each with its own seed."""
    scales = enumerate(np.geomspace(1, 16, members).tolist())
    return stack([Hyper(scale=scale, seed=seed, learning_rate=RATE) for seed, scale in scales])


def layers_of(params: Any) -> Layers:
    """A network's layers as (in, out) weights and biases, from this package's parameters, with any leading axes.

    A `kernel` is (in, out) as in Flax, a `weight` (out, in). Layers are in the order of their numbers.
    """
    layers: dict[int, dict[str, Any]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        *_, layer, name = (key.key for key in path)
        layers.setdefault(int(layer.rpartition("_")[2]), {})[name] = leaf
    found = (layers[number] for number in sorted(layers))
    return [(e["kernel"] if "kernel" in e else jnp.swapaxes(e["weight"], -1, -2), e["bias"]) for e in found]


def step_flops(size: Size, channels: int = 3) -> float:
    """Floating point operations of one member's step, the same count for every way.

    A multiplication and an addition for each weight and pixel forward, twice that backward, less the gradient of the
    features, which is not needed.
    """
    features = 2 * size.frequencies if size.network == "relu" else 2
    weights = features * size.width + (DEPTH - 1) * size.width**2 + size.width * channels
    return size.side**2 * (6.0 * weights - 2.0 * features * size.width)


def losses_after(problem: Problem, ends: tuple[Layers, Layers]) -> list[float]:
    """The first and the last member's mean squared error with these layers."""
    every = zip(ends, (problem.B[0], problem.B[-1]), strict=True)
    encoded = [(layers, encode(B, problem.coords)) for layers, B in every]
    return [float(mean_squared_error(*each, problem.colors, problem.network)) for each in encoded]


def start_of(problem: Problem, member: int = 0) -> Layers:
    """A member's layers before its first step."""
    return jax.tree.map(lambda leaf: leaf[member], problem.layers)


@jax.jit
def encode(B, coords):
    """The features of coordinates; they themselves, where B has no rows."""
    if not len(B):
        return coords
    turns = 2 * jnp.pi * jnp.matmul(coords, B.T, precision=lax.Precision.HIGHEST)
    return jnp.concatenate([jnp.sin(turns), jnp.cos(turns)], axis=-1)


def _predict(layers, x, network):
    hidden = jax.nn.relu if network == "relu" else lambda z: jnp.sin(OMEGA * z)
    for w, b in layers[:-1]:
        x = hidden(jnp.matmul(x, w, precision=lax.Precision.HIGHEST) + b)
    w, b = layers[-1]
    x = jnp.matmul(x, w, precision=lax.Precision.HIGHEST) + b
    return jax.nn.sigmoid(x) if network == "relu" else x


@partial(jax.jit, static_argnums=3)
def mean_squared_error(layers, features, colors, network):
    """The loss of a member's layers."""
    return jnp.mean(jnp.square(_predict(layers, features, network) - colors))


def with_steps(problem: Problem, steps: int) -> Problem:
    """The problem with a last step: its fits end, and have training curves on the way."""
    return problem._replace(design=problem.design.replace(steps=steps))
