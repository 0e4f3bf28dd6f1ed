"""One member: init, predict, loss, step, advance, evaluate; pure functions of its settings, its task and its state.

`design` is static, `hyper` and all else traced; `assemble` gives the functions that both name. A sweep is the vmap of
these functions over `hyper` and `state` (`sweep/ensemble.py`).
"""

import math
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, UInt8

from inr_jax.fit import networks, optimizers
from inr_jax.fit.budget import sized
from inr_jax.fit.curves import picture_of
from inr_jax.fit.design import Design, Hyper, assemble
from inr_jax.fit.encodings import Variables
from inr_jax.fit.metrics import View, scores, squared_error
from inr_jax.fit.pinned import pinned
from inr_jax.fit.task import Field, Task, coordinates, cut, pixel_coordinates, places, queries_of
from inr_jax.settings import AnyArray, Refused

# Pixels whose features a rule of initialisation may measure.
SAMPLED_PIXELS = 256


class State(NamedTuple):
    """What a fit carries: trained and fixed variables of encoding and network by name, and the optimizer's moments.

    `average` is that of the parameters over the steps, None where none is kept.
    """

    params: dict[str, Any]
    data: dict[str, Any]
    opt_state: Any
    average: Any = None

    @property
    def evaluated(self) -> dict[str, Any]:
        """The parameters that scores and pictures are of."""
        return self.params if self.average is None else self.average


def init(design: Design, hyper: Hyper, task: Task) -> State:
    """The member before its first step: everything random is drawn from its seed and the role, nothing else."""
    _refuse_derivatives(design, task)
    dims = len(task.grid)
    design = sized(design, dims, task.channels)
    fit = assemble(design, hyper)
    encoding = draw_encoding(design, hyper, dims)
    some = np.random.default_rng(0).integers(0, math.prod(task.grid), SAMPLED_PIXELS).astype(np.int32)
    features = fit.encoding.apply(encoding, pixel_coordinates(some, task.grid, design.domain))
    network = networks.init(fit.network(task.channels), key(hyper, "params"), features)
    params = {"encoding": encoding.params, "network": network.params}
    if not jax.tree.leaves(params):
        raise Refused(f"network={design.network!r} behind encoding={design.encoding!r} has nothing to train")
    data = {"encoding": encoding.data, "network": network.data}
    return State(params, data, _rule(fit, 1).init(params), fit.average(None, params, -1))


def _refuse_derivatives(design: Design, task: Task) -> None:
    """Raise Refused where the task differentiates a field whose derivatives in space are not those of its values."""
    if design.get("detached"):
        what = f"detached=True of network={design.network!r} makes them wrong; expected detached=False"
    elif design.get("precision", "float32") != "float32":
        what = f"precision={design.precision!r} has none; expected precision='float32'"
    else:
        return
    if queries_of(task, 1).differentiates:
        raise Refused(f"this task measures derivatives of the field: {what}")


def draw_encoding(design: Design, hyper: Hyper, dims: int) -> Variables:
    """The encoding's variables as the member's seed draws them, such as B in cycles per image side."""
    return assemble(design, hyper).encoding.init(key(hyper, "B"), dims)


def encode(design: Design, hyper: Hyper, encoding: Variables, coords: Float[AnyArray, "n d"]) -> Float[Array, "n f"]:
    """The features of coordinates of the design's domain."""
    return assemble(design, hyper).encoding.apply(encoding, coords)


def predict(
    design: Design, hyper: Hyper, params: dict, data: dict, coords: Float[Array, "n d"], channels: int
) -> Float[Array, "n c"]:
    """The values at coordinates of the design's domain; a linear output is not clipped."""
    features = encode(design, hyper, Variables(params["encoding"], data["encoding"]), coords)
    network = assemble(sized(design, coords.shape[1], channels), hyper).network(channels)
    return networks.apply(network, Variables(params["network"], data["network"]), features)


def field(design: Design, hyper: Hyper, task: Task, state: State, query: Callable = lambda where: where) -> Field:
    """The member as a function of places in pixels, as `query` moves them: what a task observes."""

    def values(where: Float[AnyArray, "n d"]) -> Float[Array, "n c"]:
        coords = coordinates(query(where), task.grid, design.domain)
        return task.limit(predict(design, hyper, state.evaluated, state.data, coords, task.channels), where)

    return values


def mean_field(design: Design, hypers: Hyper, task: Task, states: State) -> Field:
    """The mean of several members' values, as a function of places in pixels; all have a leading member axis."""

    def values(where: Float[AnyArray, "n d"]) -> Float[Array, "n c"]:
        one = lambda member: field(design, member[0], task, member[1])(where)  # noqa: E731
        return jnp.mean(lax.map(one, (hypers, states)), axis=0)

    return values


def step(
    design: Design,
    hyper: Hyper,
    task: Task,
    state: State,
    t: ArrayLike,
    block: int = 0,
    features: Float[Array, "f n"] | None = None,
) -> tuple[State, Float[Array, ""]]:
    """The member after optimizer step `t`, and the mean loss before it.

    `pixels` of the measurements are drawn (0: all of them, in order). The gradient is accumulated over
    blocks of `block` of them (0: at once), which changes it by rounding only. `features` are those of all training
    pixels, where they are precomputed; they are not read where pixels are drawn.
    """
    fit, index = assemble(design, hyper), jnp.asarray(task.train)
    if fit.pixels:
        index, features = index[drawn_measurements(fit, jax.random.fold_in(key(hyper, "pixels"), t), len(index))], None

    query = lambda first, where: where  # noqa: E731
    if design.query != "exact":
        query = _query(fit, task, index, jax.random.fold_in(key(hyper, "query"), t), t / max(1, fit.steps))
    loss, gradient = _loss_and_gradient(design, hyper, task, state, index, block, features, query)
    rule = _rule(fit, math.ceil(len(task.train) / len(index)))
    params, opt_state = optimizers.update(rule, gradient, state.opt_state, state.params, loss)
    return State(params, state.data, opt_state, fit.average(state.average, params, t)), loss


def advance(
    design: Design,
    hyper: Hyper,
    task: Task,
    state: State,
    start: ArrayLike,
    stop: ArrayLike,
    block: int = 0,
    precompute: bool = False,
) -> tuple[State, Bool[Array, ""]]:
    """The member after steps `start` to `stop`: any cut into segments gives the same bits.

    Also whether every loss on the way and every parameter at the end is finite (one that is not never becomes so
    again). `precompute` keeps the features of all training pixels over the steps.
    """
    features = None
    if precompute:
        coords = pixel_coordinates(jnp.asarray(task.train), task.grid, design.domain)
        features = encode(design, hyper, Variables(state.params["encoding"], state.data["encoding"]), coords).T

    def body(t: Any, carry: tuple[State, Array]) -> tuple[State, Array]:
        state, finite = carry
        state, loss = step(design, hyper, task, state, t, block, features)
        return state, finite & jnp.isfinite(loss)

    state, finite = lax.fori_loop(start, stop, body, (state, jnp.asarray(True)))
    return state, finite & jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params)]).all()


def evaluate(
    task: Task, member: Field, tile: int, metrics: tuple
) -> tuple[dict[str, Float[Array, ""]], UInt8[Array, "..."]]:
    """The scores of a field by these metrics, with every pixel predicted, `tile` at a time; and a small picture."""

    def measurements(index: Int[Array, " n"]) -> Array:
        return squared_error(task.observe(member, task, index), task.measured[index], task.peak)

    def errors(index: Int[AnyArray, " n"]) -> Float[Array, " n"]:
        return tiled(measurements, jnp.asarray(index), cut(task, len(index), tile))

    colors = tiled(lambda index: member(places(index, task.grid)), jnp.arange(math.prod(task.grid)), tile)
    colors = task.align(colors, colors)
    error = squared_error(colors, task.colors)
    observed = error[task.train] if task.pixelwise else errors(task.train)
    unseen = error[task.heldout] if task.unseen is None else errors(task.unseen)
    image = jnp.reshape(colors, task.image.shape)
    view = View(image, jnp.asarray(task.image), error, observed, jnp.asarray(task.heldout), unseen)
    return scores(view, metrics), picture_of(image)


def tiled(function: Any, index: Int[Array, " n"], tile: int) -> Any:
    """The function of many numbers, `tile` of them at a time: beyond the result, memory does not grow with them."""
    tile = min(tile, len(index))
    count = math.ceil(len(index) / tile)
    padded = index[jnp.minimum(jnp.arange(count * tile), len(index) - 1)].reshape(count, tile)
    joined = lambda part: part.reshape(count * tile, *part.shape[2:])[: len(index)]  # noqa: E731
    return jax.tree.map(joined, lax.map(function, padded))


@pinned()
def shapes(design: Design, hyper: Hyper, task: Task) -> State:
    """What `init` returns, as shapes and types: nothing is drawn or allocated. Raises Refused where a custom function
    fails.
    """
    return _traced(design, lambda task: init(design, hyper, task), task)


@pinned()
def check(design: Design, hyper: Hyper, task: Task) -> None:
    """Raise Refused where a member cannot be drawn, or a step of it not be taken; nothing is computed."""
    _traced(design, lambda task: step(design, hyper, task, init(design, hyper, task), 0), task)


def _traced(design: Design, function: Callable, task: Task) -> Any:
    try:
        return jax.eval_shape(function, task)
    except Refused:
        raise
    except Exception as error:
        custom = [each for each in design.values() if not isinstance(each, str | int | float) or ":" in str(each)]
        if not custom:
            raise
        reason = str(error).strip().partition("\n")[0]
        raise Refused(
            f"{' with '.join(map(str, custom))} cannot be fitted: {type(error).__name__}: {reason}"
        ) from error


def key(hyper: Hyper, role: str) -> Array:
    """A key from the seed and the role: no other setting and no place in a grid changes what is drawn."""
    return jax.random.fold_in(jax.random.key(hyper.seed, impl="threefry2x32"), zlib.crc32(role.encode()) & 0x7FFFFFFF)


def _loss_and_gradient(
    design: Design,
    hyper: Hyper,
    task: Task,
    state: State,
    index: Int[Array, " n"],
    block: int,
    features: Float[Array, "f n"] | None,
    query: Callable,
) -> tuple[Float[Array, ""], Any]:
    """The mean loss over these measurements, with the penalty, and its gradient, block by block.

    `query(first, places)` are the places at which the field is queried in the block that begins with this measurement.
    """
    fit = assemble(sized(design, len(task.grid), task.channels), hyper)

    def total(params: Any, first: ArrayLike, index: Int[Array, " n"]) -> Float[Array, ""]:
        if features is None:
            trained = State(params, state.data, None)
            predictions = task.observe(field(design, hyper, task, trained, partial(query, first)), task, index)
        else:
            columns = lax.dynamic_slice_in_dim(features, first, len(index), axis=1)
            network = Variables(params["network"], state.data["network"])
            predictions = networks.apply(fit.network(task.channels), network, columns.T)
        return jnp.sum(fit.loss(predictions, task.measured[index]))

    of_block = jax.value_and_grad(total)
    blocks = len(index) // block if block else 0
    if blocks < 2:
        summed = of_block(state.params, 0, index)
    else:
        zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, state.params))
        rows = index[: blocks * block].reshape(blocks, block)
        add = lambda total, part: (jax.tree.map(jnp.add, total, of_block(state.params, *part)), None)  # noqa: E731
        summed, _ = lax.scan(add, zero, (block * jnp.arange(blocks), rows))
        if len(index) % block:
            summed, _ = add(summed, (blocks * block, index[blocks * block :]))
    mean = jax.tree.map(lambda value: value / (len(index) * task.measured.shape[-1]), summed)
    if design.penalty == "none":
        return mean
    return jax.tree.map(jnp.add, mean, jax.value_and_grad(fit.penalty)(state.params))


def _query(fit: Any, task: Task, index: Int[Array, " n"], draw: Array, part: ArrayLike) -> Callable:
    """Where the field is queried instead of places, as a function of a block's first measurement and of its places.

    Of pixels the same in any blocks, of other measurements drawn for each block.
    """

    def moved(draw: Array, where: Float[AnyArray, "n d"]) -> Float[AnyArray, "n d"]:
        found = fit.query(draw, part, where)
        if found.shape != where.shape:
            raise Refused(f"query gives places of shape {found.shape}: {where.shape} is needed")
        return found

    if not task.pixelwise:
        return lambda first, where: moved(jax.random.fold_in(draw, first), where)
    every = moved(draw, places(index, task.grid))
    return lambda first, where: lax.dynamic_slice_in_dim(every, first, len(where))


def drawn_measurements(fit: Any, draw: Array, count: int) -> Int[Array, " n"]:
    """Numbers of measurements for a step, each once where they are drawn without replacement."""
    if fit.replacement:
        return jax.random.randint(draw, (fit.pixels,), 0, count)
    return jnp.argsort(jax.random.bits(draw, (count,)))[: fit.pixels]


def _rule(fit: Any, epoch: int) -> optimizers.Rule:
    """The update rule, built where it is used: its traced rates must not become static data."""
    return fit.schedule(fit.groups(fit.optimizer), fit.learning_rate, fit.steps, epoch)
