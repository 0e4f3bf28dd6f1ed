"""Tasks: what is observed of a field, at which places it is trained, and where coordinates lie.

A field is the network as a function of places, (n, d) in pixels, row first. A task says what is measured of it:
`observe(field, task, index)` predicts the measurements of these numbers, `targets` holds them. The simplest measurement
is the field itself at some pixels of an image: a split.
"""

import math
import warnings
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from inr_jax.fit.pixels import narrow, to_picture
from inr_jax.settings import AnyArray, Refused, Registry, about, declared

Field = Callable[[Float[AnyArray, "n d"]], Float[Array, "n c"]]
TASKS = Registry("task")
KINDS = ("all", "quarter", "rows", "checkerboard", "random")


def at_pixels(field: Field, task: "Task", index: Int[AnyArray, " n"]) -> Float[Array, "n c"]:
    """The field at pixels, by their row-major numbers."""
    return field(places(index, task.grid))


class Task(NamedTuple):
    """A truth, what is measured of it, and which measurements are trained on; a pytree, passed to the compiled program.

    `image` is the truth that metrics compare with, (h, w, c) in [0, 1], or (n, c) for a signal. `train` are numbers of
    measurements, `heldout` row-major numbers of pixels. `targets` are the measurements, (..., k); None: the pixels.
    `observe` is a function of the module's level, as a `Partial` whose arguments are arrays that it needs.
    """

    image: Float[AnyArray, "*grid c"]
    train: Int[AnyArray, " n"]
    heldout: Int[AnyArray, " m"]
    targets: Float[AnyArray, "*shape k"] | None = None
    observe: Callable[..., Float[Array, "n k"]] = Partial(at_pixels)

    @property
    def grid(self) -> tuple[int, ...]:
        """Pixels along each axis: (h, w), or (n,) for a signal."""
        return self.image.shape[:-1]

    @property
    def channels(self) -> int:
        """Values of a pixel."""
        return self.image.shape[-1]

    @property
    def colors(self) -> Float[Array, "p c"]:
        """All pixels of the truth, row-major, in [0, 1]."""
        return jnp.asarray(self.image).reshape(-1, self.channels)

    @property
    def measured(self) -> Float[Array, "n k"]:
        """All measurements."""
        return self.colors if self.targets is None else jnp.asarray(self.targets).reshape(-1, self.targets.shape[-1])

    @property
    def pixelwise(self) -> bool:
        """Whether the measurements are pixels."""
        return self.observe.func is at_pixels  # type: ignore[attr-defined]


def measured(image: Any, targets: Float[AnyArray, "*shape k"], observe: Callable[..., Array], *arrays: Any) -> Task:
    """The task of all these measurements of an image: `observe(*arrays, field, task, index)` predicts them.

    No pixel is measured itself, so all are held out.
    """
    image, targets = to_picture(image).pixels, np.ascontiguousarray(targets, np.float32)
    train, pixels = np.arange(math.prod(targets.shape[:-1])), np.arange(math.prod(image.shape[:-1]))
    return Task(image, train.astype(np.int32), pixels.astype(np.int32), targets, Partial(observe, *arrays))


def places(index: Int[AnyArray, " n"], grid: tuple[int, ...]) -> Float[Array, "n d"]:
    """Where pixels lie, in pixels: row first, then column."""
    return jnp.stack(jnp.unravel_index(index, grid), axis=-1).astype(jnp.float32)


def coordinates(where: Float[AnyArray, "n d"], grid: tuple[int, ...], domain: str = "unit") -> Float[Array, "n d"]:
    """The network's coordinates of places in pixels.

    `unit`: i / n in [0, 1), end point excluded (Tancik et al. 2020); `signed`: 2 i / (n - 1) - 1 in [-1, 1], both end
    points included (Sitzmann et al. 2020).
    """
    sides = np.asarray(grid, np.float32)
    if domain == "signed":
        return jnp.asarray(where) * (2.0 / np.maximum(sides - 1, 1)) - 1.0
    return jnp.asarray(where) / sides


def pixel_coordinates(index: Int[AnyArray, " n"], grid: tuple[int, ...], domain: str = "unit") -> Float[Array, "n d"]:
    """The network's coordinates of pixels, by their row-major numbers."""
    return coordinates(places(index, grid), grid, domain)


def side(domain: str) -> float:
    """The length of an image side in the domain's coordinates."""
    return {"unit": 1.0, "signed": 2.0}[domain]


def split(
    image: Any,
    kind: str = "quarter",
    fraction: float = 0.25,
    seed: int = 0,
    validation: float = 0.0,
    value_range: Any = "dtype",
) -> Task:
    """The image with its pixels divided into training and held-out ones.

    `image` is whatever `pixels.to_picture` takes: (h, w, c), gray (h, w), or a signal (n,); `value_range` says which of
    its values are black and white (`pixels.levels_of`): integers of 8 and 16 bits over their largest, floats in [0, 1].

    `all`: train on every pixel, none held out. `quarter`: train `[::2, ::2]`, hold out `[1::2, 1::2]`. `rows`: train
    the even rows, hold out the odd. `checkerboard`: train where row + column is even. `random`: train `fraction` of the
    pixels. With `validation` the held-out pixels are put away, and about that part of the training pixels is held out
    instead, drawn at random: settings can then be chosen without the pixels that are reported. Under `rows` it is
    evenly spaced columns of the training rows, which lie between known lines as the reported rows do. Raises Refused
    for pixels or settings that are not allowed, and if no pixel is left to train on; warns of an image that uses less
    than an eighth of its range.

    >>> task = split(np.zeros((4, 4, 3), np.float32), "quarter")
    >>> task.train.tolist(), task.heldout.tolist()
    ([0, 2, 8, 10], [5, 7, 13, 15])
    """
    asked = {"split": kind, "fraction": fraction, "split_seed": seed, "validation": validation}
    kind, fraction, seed, validation = (setting.convert(asked[setting.name]) for setting in declared(split_task))
    pixels = to_picture(image, value_range).pixels
    for note in narrow(pixels):
        warnings.warn(f"the image: {note}", stacklevel=2)
    return _divide(pixels, kind, fraction, seed, validation)


def extrapolated(task: Task) -> float:
    """The part of the held-out pixels that lie beyond the outermost training pixels; 0 where none are held out."""
    if not (task.pixelwise and len(task.heldout)):
        return 0.0
    train, heldout = (np.stack(np.unravel_index(np.asarray(part), task.grid)) for part in (task.train, task.heldout))
    inside = (heldout >= train.min(1, keepdims=True)) & (heldout <= train.max(1, keepdims=True))
    return float(1 - inside.all(0).mean())


@TASKS.register("split")
def split_task(
    image: Float[np.ndarray, "*grid c"],
    *,
    split: Annotated[
        str,
        about(
            "trained on: all; [::2, ::2] (held out: [1::2, 1::2], the rest neither); even rows; even row + column; a "
            "random part (but for quarter, the others are held out)",
            choices=KINDS,
        ),
    ] = "quarter",
    fraction: Annotated[
        float,
        about(
            "part of the pixels that split=random trains on", above=0.0, high=1.0, when=lambda s: s["split"] == "random"
        ),
    ] = 0.25,
    split_seed: Annotated[
        int,
        about(
            "seed of split=random and of the validation part",
            low=0,
            when=lambda s: s["split"] == "random" or s["validation"] > 0,
        ),
    ] = 0,
    validation: Annotated[
        float,
        about(
            "above 0: the split's held-out pixels are put away, and this part of its training pixels is held out "
            "instead",
            low=0.0,
            high=0.5,
        ),
    ] = 0.0,
) -> Task:
    """Some pixels of an image are trained on, others held out."""
    return _divide(image, split, fraction, split_seed, validation)


def _divide(image: Float[np.ndarray, "*grid c"], kind: str, fraction: float, seed: int, validation: float) -> Task:
    """The image with its pixels divided, as `split` does."""
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
    else:  # random
        order = np.random.default_rng(seed).permutation(image[..., 0].size).reshape(grid)
        train = order < round(fraction * order.size)
        heldout = ~train
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
