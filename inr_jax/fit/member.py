"""One member: init, step, advance, evaluate, as pure functions of its settings and its task.

The only file that imports optax.
"""

import math
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, UInt8

from inr_jax import functions
from inr_jax.fit import encodings as features
from inr_jax.fit import metrics, networks
from inr_jax.fit.task import Task, coordinates, lines, side
from inr_jax.settings import FIELDS, AnyArray, Design, Hyper, Refused, nearest, values

# A point of the training curves looks at no more pixels than this, evenly spread, of either kind.
CURVE_PIXELS = 4096
# And at so many lines along each axis, or as many as make that many pixels.
CURVE_LINES = 16
# What a fit shows is kept of no more pixels along each axis.
PICTURE_SIDE = 256
# Below this part of its whole power a target has nothing in a band but rounding.
SILENT = 1e-9


class State(NamedTuple):
    """What a fit carries: what is learned, the frequencies where they are data, and the optimizer's moments."""

    params: dict[str, Any]
    data: dict[str, Any]
    opt_state: Any


class Scores(NamedTuple):
    """How good a fit is, on its training pixels, its held-out pixels and all of them; NaN where there are none."""

    psnr_train: Float[Array, "*m"]
    psnr_heldout: Float[Array, "*m"]
    psnr_all: Float[Array, "*m"]
    ssim: Float[Array, "*m"]


class Curves(NamedTuple):
    """What is looked at on the way; `history_bands` is the error's power over the target's, in bands of frequency."""

    history_train: Float[AnyArray, "*m"]
    history_heldout: Float[AnyArray, "*m"]
    history_bands: Float[AnyArray, "*m b"]


def adam(learning_rate: Any) -> optax.GradientTransformation:
    """Adam (Kingma and Ba 2015), betas 0.9 and 0.999, epsilon 1e-8."""
    return optax.adam(learning_rate)


def adamw(learning_rate: Any, *, weight_decay: Any) -> optax.GradientTransformation:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), on weights and biases as in PyTorch."""
    return optax.adamw(learning_rate, weight_decay=weight_decay)


def sgd(learning_rate: Any) -> optax.GradientTransformation:
    """Gradient descent without momentum."""
    return optax.sgd(learning_rate)


def muon(learning_rate: Any, *, width: Any) -> optax.GradientTransformation:
    """Muon (Jordan et al. 2024) on the square matrices between hidden layers, Adam on everything else.

    Its steps get the root mean square of Adam's, 0.2 √width (Liu et al. 2025, eq. 4), so one learning rate does both.
    """

    def kinds(params: Any) -> Any:
        def kind(path: Any, leaf: Any) -> str:
            hidden = jnp.shape(leaf) == (width, width) and "Dense_0" not in jax.tree_util.keystr(path)
            return "hidden" if hidden else "other"

        return jax.tree_util.tree_map_with_path(kind, params)

    hidden = optax.chain(optax.contrib.muon(learning_rate), optax.scale(0.2 * width**0.5))
    return optax.partition({"hidden": hidden, "other": adam(learning_rate)}, kinds)


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": adam,
    "adamw": adamw,
    "sgd": sgd,
    "muon": muon,
}

# The learning rate at a step, over its first value: cosine ends at 0, exponential at a tenth.
SCHEDULES: dict[str, Callable[[Any, int], Any]] = {
    "constant": lambda rate, steps: rate,
    "cosine": lambda rate, steps: optax.cosine_decay_schedule(rate, max(steps, 1)),
    "exponential": lambda rate, steps: optax.exponential_decay(rate, max(steps, 1), 0.1),
    "plateau": lambda rate, steps: rate,
}


def reads(design: Design) -> set[str]:
    """The names of the settings that members of this design read; the others make no difference to them."""
    encoding, network = features.lookup(design.encoding), networks.lookup(design.network)
    readers = (encoding.draw, encoding.encode, network, OPTIMIZERS[design.optimizer])
    named = set().union(*map(functions.reads, readers))
    always = {"encoding", "domain", "network", "optimizer", "schedule", "steps", "pixels", "loss"}
    learnable = {"learn_frequencies"} if design.encoding in features.LEARNABLE else set()
    return named | always | learnable | {"learning_rate", "seed"}


def init(design: Design, hyper: Hyper, channels: int, dims: int) -> State:
    """The member before its first step: everything random is drawn from its seed and the role, nothing else."""
    B = frequencies(design, hyper, dims)
    shape = jax.ShapeDtypeStruct((1, dims), jnp.float32)
    encoded = jax.eval_shape(lambda x, b: encode(design, hyper, b, x), shape, B)
    network = networks.init(design, hyper, _key(hyper, "params"), jnp.zeros(encoded.shape, encoded.dtype), channels)
    params, data = ({"network": network, "B": B}, {}) if design.learn_frequencies else ({"network": network}, {"B": B})
    return State(params, data, _optimizer(design, hyper, 1).init(params))


def shapes(design: Design, hyper: Hyper, task: Task) -> State:
    """What `init` would give, as shapes and types: nothing is drawn or allocated.

    Raises Refused where an encoding or a network of one's own fails, or reads no setting of a name that is given.
    """
    brought = sorted(reads(design) - set(FIELDS) - {"side"})
    for name in sorted({*dict(design.own), *hyper.own} - set(brought)):
        theirs = nearest(name, brought) if brought else "those there are have none of their own"
        raise Refused(f"own={name!r} is no keyword-only parameter of the encoding or the network; {theirs}")
    try:
        return jax.eval_shape(lambda: init(design, hyper, task.channels, len(task.grid)))
    except Exception as error:
        own = [each for each in (design.encoding, design.network) if callable(each) or ":" in each]
        if not own:
            raise
        said = str(error).strip().partition("\n")[0]
        raise Refused(f"{' with '.join(map(str, own))} cannot be fitted: {type(error).__name__}: {said}") from error


def frequencies(design: Design, hyper: Hyper, dims: int) -> Any:
    """B as the member's seed draws it, in cycles per image side; one's own encoding may draw something else."""
    return functions.call(features.lookup(design.encoding).draw, _key(hyper, "B"), dims, values=_values(design, hyper))


def encode(design: Design, hyper: Hyper, B: Any, coords: Float[Array, "n d"]) -> Float[Array, "n f"]:
    """The features of coordinates."""
    return functions.call(features.lookup(design.encoding).encode, coords, B, values=_values(design, hyper))


def predict(
    design: Design,
    hyper: Hyper,
    params: dict,
    data: dict,
    coords: Float[Array, "n d"],
    channels: int,
) -> Float[Array, "n c"]:
    """The colours at coordinates of the design's domain; a linear output is not clipped."""
    encoded = encode(design, hyper, (params | data)["B"], coords)
    return networks.apply(design, hyper, params["network"], encoded, channels)


def step(
    design: Design,
    hyper: Hyper,
    task: Task,
    state: State,
    t: ArrayLike,
    block: int = 0,
    encoded: Float[Array, "f n"] | None = None,
) -> tuple[State, Float[Array, ""]]:
    """The member after optimizer step `t`, and the mean loss before it.

    `pixels` of the training pixels are drawn with replacement (0: all of them, in order). The gradient is accumulated
    over blocks of `block` pixels (0: at once), which changes it by rounding only. `encoded` are the features of all
    training pixels, where they are at hand; they are not read where pixels are drawn.
    """
    index = jnp.asarray(task.train)
    if design.pixels:
        drawn = jax.random.randint(jax.random.fold_in(_key(hyper, "pixels"), t), (design.pixels,), 0, len(index))
        index, encoded = index[drawn], None
    loss, gradient = _loss_and_gradient(design, hyper, task, state, index, block, encoded)
    per_epoch = math.ceil(len(task.train) / len(index))
    updates, opt_state = _optimizer(design, hyper, per_epoch).update(
        gradient, state.opt_state, state.params, value=loss
    )
    params: Any = optax.apply_updates(state.params, updates)
    return State(params, state.data, opt_state), loss


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

    And whether all went well: every loss on the way finite, and every parameter at the end (one that no longer is can
    not become so again). `precompute` keeps the features of all training pixels over the steps.
    """
    encoded = None
    if precompute:
        coords = coordinates(jnp.asarray(task.train), task.grid, design.domain)
        encoded = encode(design, hyper, state.data["B"], coords).T

    def body(t, carry):
        state, finite = carry
        state, loss = step(design, hyper, task, state, t, block, encoded)
        return state, finite & jnp.isfinite(loss)

    state, finite = lax.fori_loop(start, stop, body, (state, jnp.asarray(True)))
    return state, finite & jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params)]).all()


def evaluate(design: Design, hyper: Hyper, task: Task, state: State, tile: int) -> tuple[Scores, UInt8[Array, "..."]]:
    """The scores over every pixel, predicted `tile` pixels at a time; and what the member shows, as `pictured`."""
    pixels = math.prod(task.grid)
    count = math.ceil(pixels / tile)
    index = jnp.minimum(jnp.arange(count * tile), pixels - 1).reshape(count, tile)

    def tiled(index: Int[Array, " n"]) -> tuple[Array, Array]:
        colors = _predict_at(design, hyper, task, state, index)
        return colors, metrics.squared_error(colors, task.colors[index])

    image, error = (part.reshape(count * tile, *part.shape[2:])[:pixels] for part in lax.map(tiled, index))
    train, heldout, every = (
        metrics.psnr_of(jnp.mean(part)) for part in (error[task.train], error[task.heldout], error)
    )
    image = image.reshape(task.image.shape)
    return Scores(train, heldout, every, metrics.ssim(image, task.image)), pictured(image)


def pictured(image: Float[AnyArray, "*grid c"]) -> UInt8[Array, "*small c"]:
    """The image as 8 bit, clipped; of one with a side beyond PICTURE_SIDE the means of blocks, whole ones only.

    Means, not every second pixel: those are what a `quarter` trains on, and show nothing of what lies between.
    """
    *grid, channels = image.shape
    block = math.ceil(max(grid) / PICTURE_SIDE)
    image = jnp.clip(image, 0.0, 1.0)[tuple(slice(max(1, side // block) * block) for side in grid)]
    cut = [part for side in image.shape[:-1] for part in (max(1, side // block), min(side, block))]
    small = image.reshape(*cut, channels).mean(tuple(range(1, 2 * len(grid), 2)))
    return jnp.round(small * 255).astype(jnp.uint8)


def curve_point(design: Design, hyper: Hyper, task: Task, state: State) -> Curves:
    """A point of the training curves: what `looked_at` says of the network as it is."""
    return looked_at(task, lambda index: _predict_at(design, hyper, task, state, index))


def looked_at(task: Task, colors_of: Callable[[Int[AnyArray, " n"]], Float[AnyArray, "n c"]]) -> Curves:
    """What the training curves say of whatever gives these colours to pixels, by their row-major indices.

    PSNR in dB on an even sample of the training pixels and of the held-out ones, and along some lines of pixels the
    error's power over the target's in each of `metrics.bands`: 1 where nothing of a band is learned, 0 where all is,
    NaN where the target has nothing there.
    """

    def sampled(where):
        where = where[np.linspace(0, len(where) - 1, min(len(where), CURVE_PIXELS)).astype(int)]
        return _psnr_at(colors_of(where), task, where)

    count = len(metrics.bands(max(task.grid)))
    errors, targets = jnp.zeros(count), jnp.zeros(count)
    for axis, length in enumerate(task.grid):
        where = lines(task.grid, axis, min(CURVE_LINES, max(1, CURVE_PIXELS // length)))
        colors = colors_of(where.ravel()).reshape(*where.shape, task.channels)
        target = task.colors[where]
        errors += metrics.band_power(jnp.clip(colors, 0.0, 1.0) - target, count)
        targets += metrics.band_power(target, count)
    left = jnp.where(targets > SILENT * targets.sum(), errors / targets, jnp.nan)
    return Curves(sampled(task.train), sampled(task.heldout), left)


def _loss_and_gradient(
    design: Design,
    hyper: Hyper,
    task: Task,
    state: State,
    index: Int[Array, " n"],
    block: int,
    encoded: Float[Array, "f n"] | None,
):
    def total(params, first, index):
        if encoded is None:
            colors = _predict_at(design, hyper, task, state._replace(params=params), index)
        else:
            columns = lax.dynamic_slice_in_dim(encoded, first, len(index), axis=1)
            colors = networks.apply(design, hyper, params["network"], columns.T, task.channels)
        return jnp.sum(jnp.square(colors - task.colors[index]))

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
    return jax.tree.map(lambda value: value / (len(index) * task.channels), summed)


def _predict_at(
    design: Design, hyper: Hyper, task: Task, state: State, index: Int[AnyArray, " n"]
) -> Float[Array, "n c"]:
    coords = coordinates(index, task.grid, design.domain)
    return predict(design, hyper, state.params, state.data, coords, task.channels)


def _psnr_at(colors: Float[AnyArray, "n c"], task: Task, index: Int[AnyArray, " n"]) -> Float[Array, ""]:
    return metrics.psnr(colors, task.colors[index]) if len(index) else jnp.asarray(jnp.nan, jnp.float32)


def _optimizer(design: Design, hyper: Hyper, steps_per_epoch: int) -> optax.GradientTransformationExtraArgs:
    """The optimizer, built where it is used: its traced rates must not become static data.

    `plateau` divides the rate by ten after ten epochs, passes over the training pixels, whose mean loss is no new best.
    """
    rate = SCHEDULES[design.schedule](hyper.learning_rate, design.steps)
    rule = functions.call(OPTIMIZERS[design.optimizer], rate, values=_values(design, hyper))
    if design.schedule == "plateau":
        rule = optax.chain(rule, optax.contrib.reduce_on_plateau(accumulation_size=steps_per_epoch))
    return optax.with_extra_args_support(rule)


def _values(design: Design, hyper: Hyper) -> dict[str, Any]:
    return values(design, hyper) | {"side": side(design.domain)}


def _key(hyper: Hyper, role: str) -> Array:
    """A key from the seed and the role: no other setting and no place in a grid changes what is drawn."""
    return jax.random.fold_in(jax.random.key(hyper.seed, impl="threefry2x32"), zlib.crc32(role.encode()) & 0x7FFFFFFF)
