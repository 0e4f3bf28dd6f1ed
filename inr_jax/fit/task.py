"""Coordinates of pixels, which of them are trained on and which are held out."""

import math
from functools import lru_cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from inr_jax.data import images
from inr_jax.settings import AnyArray, Data, Refused


class Task(NamedTuple):
    """An image and its split, as a pytree: passed to the compiled program, never closed over.

    `image` is (h, w, c) in [0, 1], or (n, c) for a signal; `train` and `heldout` are row-major pixel indices.
    """

    image: Float[AnyArray, "*grid c"]
    train: Int[AnyArray, " n"]
    heldout: Int[AnyArray, " m"]

    @property
    def grid(self) -> tuple[int, ...]:
        """Pixels along each axis: (h, w), or (n,) for a signal."""
        return self.image.shape[:-1]

    @property
    def channels(self) -> int:
        """Colours of a pixel."""
        return self.image.shape[-1]

    @property
    def colors(self) -> Float[Array, "p c"]:
        """All pixels, row-major, in [0, 1]."""
        return jnp.asarray(self.image).reshape(-1, self.channels)


def coordinates(index: Int[AnyArray, " n"], grid: tuple[int, ...], domain: str = "unit") -> Float[Array, "n d"]:
    """Coordinates of row-major pixel indices: row first, then column.

    `unit`: i / n in [0, 1), end point excluded (Tancik et al. 2020); `signed`: 2 i / (n - 1) - 1 in [-1, 1], both end
    points included (Sitzmann et al. 2020).
    """
    where = jnp.stack(jnp.unravel_index(index, grid), axis=-1).astype(jnp.float32)
    sides = np.asarray(grid, np.float32)
    if domain == "signed":
        return where * (2.0 / np.maximum(sides - 1, 1)) - 1.0
    return where / sides


def lines(grid: tuple[int, ...], axis: int, most: int) -> Int[np.ndarray, "l n"]:
    """Row-major indices of the pixels of at most so many lines along an axis, evenly spread over the others."""
    others = tuple(n for each, n in enumerate(grid) if each != axis)
    total = math.prod(others)
    count = min(most, total)
    which = ((np.arange(count) + 0.5) * total / count).astype(int)
    places = [place[:, None] for place in np.unravel_index(which, others)] if others else []
    places.insert(axis, np.arange(grid[axis])[None])
    return np.ravel_multi_index(np.broadcast_arrays(*places), grid).astype(np.int32)


def side(domain: str) -> float:
    """The length of an image's side in the domain's coordinates."""
    return {"unit": 1.0, "signed": 2.0}[domain]


def split(
    image: Float[np.ndarray, "*grid c"],
    kind: str = "quarter",
    fraction: float = 0.25,
    seed: int = 0,
    validation: float = 0.0,
) -> Task:
    """The image with its pixels divided into training and held-out ones.

    `all`: train on every pixel, none held out. `quarter`: train `[::2, ::2]`, hold out `[1::2, 1::2]`. `rows`: train
    the even rows, hold out the odd. `checkerboard`: train where row + column is even. `random`: train `fraction` of the
    pixels. With `validation` the held-out pixels are put away, and about that part of the training pixels is held out
    instead, drawn at random: what chooses settings never sees what is reported. Under `rows` it is evenly spaced
    columns of the training rows, which lie between known lines as the reported rows do.
    Raises Refused if no pixel is left to train on.

    >>> task = split(np.zeros((4, 4, 3), np.float32), "quarter")
    >>> task.train.tolist(), task.heldout.tolist()
    ([0, 2, 8, 10], [5, 7, 13, 15])
    """
    grid = image.shape[:-1]
    where = np.indices(grid)
    if kind == "all":
        train, heldout = np.ones(grid, bool), np.zeros(grid, bool)
    elif kind == "quarter":
        train, heldout = (where % 2 == 0).all(0), (where % 2 == 1).all(0)
    elif kind == "rows":
        train, heldout = where[0] % 2 == 0, where[0] % 2 == 1
    elif kind == "checkerboard":
        train, heldout = where.sum(0) % 2 == 0, where.sum(0) % 2 == 1
    elif kind == "random":
        order = np.random.default_rng(seed).permutation(image[..., 0].size).reshape(grid)
        train = order < round(fraction * order.size)
        heldout = ~train
    else:
        raise Refused(f"split={kind!r} is not known; allowed: all, quarter, rows, checkerboard, random")
    if validation:
        heldout = train & _validation_part(where, kind, validation, seed, train)
        train = train & ~heldout
    if not train.any():
        raise Refused(f"split={kind!r} with fraction={fraction} leaves no pixel of {grid} to train on")
    return Task(
        np.ascontiguousarray(image, np.float32),
        np.flatnonzero(train).astype(np.int32),
        np.flatnonzero(heldout).astype(np.int32),
    )


def _validation_part(where: np.ndarray, kind: str, part: float, seed: int, train: np.ndarray) -> np.ndarray:
    """Which pixels are set apart for choosing."""
    if kind == "rows" and len(where) > 1:
        every = min(round(1 / part), where.shape[-1])
        return where[1] % every == every - 1
    draws = np.random.default_rng((seed, 1)).random(train.shape)
    return draws < np.quantile(draws[train], part)


@lru_cache(maxsize=8)
def of(data: Data) -> Task:
    """The task that the data settings describe. Raises Refused where there is no such image."""
    image = images.load(data.image, data.size, data.resize, data.background, **dict(data.own))
    return split(image, data.split, data.fraction, data.split_seed, data.validation)
