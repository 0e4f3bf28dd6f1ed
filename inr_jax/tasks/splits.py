"""Pixels that are trained on and others that are held out: of images, of sound and of video."""

import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float

from inr_jax.fit.pixels import is_unknown, narrow, to_picture
from inr_jax.fit.task import TASKS, Task, register
from inr_jax.settings import Refused, about, declared
from inr_jax.tasks import interpolate
from inr_jax.tasks.interpolate import without_network

KINDS = ("all", "quarter", "rows", "checkerboard", "random")


def without(name: str) -> Callable[[Mapping[str, Any]], bool]:
    """When the setting of this name gives no file: what a file decides is no setting."""
    return lambda settings: isinstance(settings[name], str) and not settings[name]


def _random(settings: Mapping[str, Any]) -> bool:
    """Whether pixels are drawn at random."""
    return settings.get("split", settings.get("mask")) == "random" and (
        "mask_file" not in settings or without("mask_file")(settings)
    )


Fraction = Annotated[
    float,
    about(
        "part of the pixels that split=random trains on, or that a random mask leaves",
        above=0.0,
        high=1.0,
        when=_random,
    ),
]
DRAWN = "of what is drawn at random: pixels, masks, noise, points, and the validation part"
Seed = Annotated[
    int,
    about(
        DRAWN,
        low=0,
        when=lambda s: s.get("split", "random") == "random" or s["validation"] > 0,
    ),
]
# Of tasks that draw nothing else.
Part = Annotated[int, about(DRAWN, low=0, when=lambda s: s["validation"] > 0)]
Validation = Annotated[
    float,
    about(
        "above 0: what is held out is put away, and this part of what is trained on is held out instead",
        low=0.0,
        high=0.5,
    ),
]


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

    Examples:
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
    fraction: Fraction = 0.25,
    split_seed: Seed = 0,
    validation: Validation = 0.0,
) -> Task:
    """Some pixels of an image are trained on, others held out."""
    return _divide(image, split, fraction, split_seed, validation)


def _every_second(
    name: str, meaning: str, dims: int, what: str, classical: Callable[[Task], dict[str, np.ndarray]], **defaults: Any
) -> Callable[..., Task]:
    """Register a task as `split`, by default along the first axis."""

    @wraps(split_task)
    def made(image: Float[np.ndarray, "*grid c"], **given: Any) -> Task:
        if image.ndim != dims + 1:
            raise Refused(f"task={name} is of {what}; it is an array of shape {image.shape}")
        return split_task(image, **given)._replace(classical=Partial(classical))

    made.__doc__ = meaning
    return register(name, split="rows", size=0, **defaults)(made)


def _of_signals(task: Task) -> dict[str, np.ndarray]:
    """Interpolation, and of a signal the band-limited one too."""
    sinc = interpolate.sinc(task)
    return without_network(task) | ({} if sinc is None else {"sinc": sinc})


audio = _every_second(
    "audio",
    "Every second sample of a signal is trained on, the others are held out.",
    1,
    "signals (n, c)",
    _of_signals,
)
video = _every_second(
    "video",
    "Every second frame is trained on, the others are held out.",
    3,
    "frames (t, h, w, c)",
    without_network,
    frames=0,
)


def _divide(image: Float[np.ndarray, "*grid c"], kind: str, fraction: float, seed: int, validation: float) -> Task:
    """The image with its pixels divided, as `split` does."""
    if is_unknown(image):
        raise Refused("image=none has no pixels to train on; a task that measures something else can do without them")
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
        classical=Partial(without_network),
    )


def _validation_part(where: np.ndarray, kind: str, part: float, seed: int, train: np.ndarray) -> np.ndarray:
    """Which pixels are set apart for choosing."""
    if kind == "rows" and len(where) > 1:
        every = min(round(1 / part), where.shape[-1])
        return where[1] % every == every - 1
    draws = np.random.default_rng((seed, 1)).random(train.shape)
    return draws < np.quantile(draws[train], part)
