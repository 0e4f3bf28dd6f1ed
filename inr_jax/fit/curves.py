"""What is looked at on the way of a fit: points of its training curves, and a small picture at its end."""

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from inr_jax.fit import metrics
from inr_jax.fit.pinned import pinned
from inr_jax.fit.task import Field, Task, cut, places, queries, queries_of
from inr_jax.settings import AnyArray

# A point of the curves looks at no more pixels than this, evenly spread, of either kind.
CURVE_PIXELS = 4096
# And of measurements at as many as query the field at about so many places.
CURVE_PLACES = 4 * CURVE_PIXELS
# And at so many lines along each axis, or as many as make that many pixels.
CURVE_LINES = 16
# Unless a study says how many, there are as many points as this part of a fit's forward and backward passes allows,
# within bounds: fewer show no curve.
CURVE_PART = 0.02
FEWEST_POINTS, MOST_POINTS = 6, 24
# A step goes forward and backward, which is twice as much; a point goes forward.
PASSES = 3
# A fit's picture has no more pixels along each axis.
PICTURE_SIDE = 256
# Below this part of its whole power a target has nothing in a band but rounding.
SILENT = 1e-9


class Curves(NamedTuple):
    """PSNR in dB on training measurements and on held-out pixels, and the error's power over the target's in bands."""

    history_train: Float[AnyArray, "*m"]
    history_heldout: Float[AnyArray, "*m"]
    history_bands: Float[AnyArray, "*m b"]


def curve_point(task: Task, field: Field) -> Curves:
    """A point of the training curves of a field, which gives values to places in pixels.

    PSNR on an even sample of the training measurements and of the held-out pixels, NaN where there are none; and along
    some lines of pixels the error's power over the target's in each of `metrics.bands`: 1 where nothing of a band is
    learned, 0 where all is, NaN where the target has nothing there.
    """

    def of_measurements(index: Int[AnyArray, " n"]) -> Float[Array, ""]:
        index = _sample(index)
        index = index[:: math.ceil(len(index) / cut(task, len(index), CURVE_PLACES))]
        return metrics.psnr(task.observe(field, task, index), task.measured[index], task.peak)

    colors_of = lambda index: field(places(index, task.grid))  # noqa: E731
    if (pixels := math.prod(task.grid)) <= CURVE_PIXELS:
        # What is sampled of a small image is about as many pixels, in four queries: a larger program.
        colors_of = partial(jnp.take, colors_of(np.arange(pixels)), axis=0)
    point = pixel_curve_point(task, colors_of)
    if not task.pixelwise:
        point = point._replace(history_train=of_measurements(task.train))
    return point if task.unseen is None else point._replace(history_heldout=of_measurements(task.unseen))


@pinned()
def point_count(task: Task, steps: int, pixels: int = 0) -> int:
    """How many points the curves of a fit have that takes so many steps of so many measurements (0: of all)."""
    shapes, tree = jax.tree.flatten(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), task))
    step, point = _places_of(tuple(shapes), tree, pixels)
    return int(np.clip(CURVE_PART * PASSES * steps * step / point, FEWEST_POINTS, MOST_POINTS))


@lru_cache(maxsize=64)
def _places_of(shapes: tuple, tree: Any, pixels: int) -> tuple[int, int]:
    """At how many places a step and a point of the curves query the field."""
    task = jax.tree.unflatten(tree, shapes)
    return queries_of(task, pixels or len(task.train)).places, queries(curve_point, task).places


def pixel_curve_point(task: Task, colors_of: Callable[[Int[AnyArray, " n"]], Float[AnyArray, "n c"]]) -> Curves:
    """The point where `colors_of` gives values to pixels by their row-major numbers, for a task of pixels."""

    def sampled(index: Int[AnyArray, " n"]) -> Float[Array, ""]:
        index = _sample(index)
        if not len(index):
            return jnp.asarray(jnp.nan, jnp.float32)
        return metrics.psnr(colors_of(index), task.colors[index])

    if task.offset is not None:
        some = _sample(np.arange(math.prod(task.grid)))
        shift, of_field = task.offset(colors_of(some), task.colors[some]), colors_of
        colors_of = lambda index: of_field(index) + shift  # noqa: E731
    count = len(metrics.bands(max(task.grid)))
    errors, targets = jnp.zeros(count), jnp.zeros(count)
    for axis, length in enumerate(task.grid):
        where = lines(task.grid, axis, min(CURVE_LINES, max(1, CURVE_PIXELS // length)))
        colors = colors_of(where.ravel()).reshape(*where.shape, task.channels)
        target = task.colors[where]
        errors += metrics.band_power(jnp.clip(colors, 0.0, 1.0) - target, count)
        targets += metrics.band_power(target, count)
    left = jnp.where(targets > SILENT * targets.sum(), errors / targets, jnp.nan)
    train = sampled(task.train) if task.pixelwise else jnp.asarray(jnp.nan, jnp.float32)
    return Curves(train, sampled(task.heldout), left)


def lines(grid: tuple[int, ...], axis: int, most: int) -> Int[np.ndarray, "l n"]:
    """Row-major indices of the pixels of at most so many lines along an axis, evenly spread over the others."""
    others = tuple(n for each, n in enumerate(grid) if each != axis)
    total = math.prod(others)
    count = min(most, total)
    which = ((np.arange(count) + 0.5) * total / count).astype(int)
    along = [place[:, None] for place in np.unravel_index(which, others)] if others else []
    along.insert(axis, np.arange(grid[axis])[None])
    return np.ravel_multi_index(np.broadcast_arrays(*along), grid).astype(np.int32)


def picture_of(image: Float[AnyArray, "*grid c"]) -> UInt8[Array, "*small c"]:
    """The image as 8 bit, clipped; of one with a side beyond PICTURE_SIDE the means of blocks, whole ones only.

    Means, not every second pixel: those are what a `quarter` trains on, and show nothing of the pixels between.
    """
    *grid, channels = image.shape
    block = math.ceil(max(grid) / PICTURE_SIDE)
    image = jnp.clip(image, 0.0, 1.0)[tuple(slice(max(1, side // block) * block) for side in grid)]
    cut = [part for side in image.shape[:-1] for part in (max(1, side // block), min(side, block))]
    small = image.reshape(*cut, channels).mean(tuple(range(1, 2 * len(grid), 2)))
    return jnp.round(small * 255).astype(jnp.uint8)


def _sample(index: Int[AnyArray, " n"]) -> Int[AnyArray, " k"]:
    """An even sample of at most CURVE_PIXELS of them."""
    return index[np.linspace(0, len(index) - 1, min(len(index), CURVE_PIXELS)).astype(int)]
