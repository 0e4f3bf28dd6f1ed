"""Tasks: what is observed of a field, which of the measurements are trained on, and where coordinates lie.

A field is the network as a function of places, (n, d) in pixels, row first. A task says what is measured of it:
`observe(field, task, index)` predicts the measurements of these numbers, `targets` holds them. The simplest measurement
is the field itself at some pixels of an image. The package's tasks are in `inr_jax/tasks/`, a file for each kind.
"""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from inr_jax.fit.pixels import ROUNDING, is_unknown, to_picture
from inr_jax.settings import AnyArray, Refused, Registry, bind, declared, nearest, settle

Field = Callable[[Float[AnyArray, "n d"]], Float[Array, "n c"]]
TASKS = Registry("task")
# Cutting measurements into parts may query the field so many times as often as taking all of them at once.
MORE = 1.25
# Of a truth that is not known, where nothing else says.
UNKNOWN_SIDE = 64


def at_pixels(field: Field, task: "Task", index: Int[AnyArray, " n"]) -> Float[Array, "n c"]:
    """The field at pixels, by their row-major numbers."""
    return field(places(index, task.grid))


def as_field(image: Float[AnyArray, "*grid c"]) -> Field:
    """The image as a field: linear between its pixels, beyond them as at its border."""
    channels = jnp.moveaxis(jnp.asarray(image), -1, 0)

    def values(where: Float[AnyArray, "n d"]) -> Float[Array, "n c"]:
        at = list(jnp.asarray(where).T)
        found = [jax.scipy.ndimage.map_coordinates(each, at, order=1, mode="nearest") for each in channels]
        return jnp.stack(found, axis=-1)

    return values


class Task(NamedTuple):
    """A truth, what is measured of it, and which measurements are trained on; a pytree, passed to the compiled program.

    `image` is the truth that metrics compare with, (h, w, c) in [0, 1], or (n, c) for a signal; NaN where it is not
    known. `train` are numbers of measurements, `heldout` row-major numbers of pixels; with `unseen`, numbers of
    measurements, those are held out instead. `targets` are the measurements, (..., k); None: the pixels. `observe` is
    a function of the module's level, as a `Partial` whose arguments are arrays that it needs.

    `peak` is that of the measurements' PSNR; None: they are values in [0, 1], and so are predictions clipped. `offset`
    is what the measurements leave open: a function of predictions and truth, (n, c), that returns what to add to the
    values, (c,), before they are compared. `support` says where the field counts, by places and the grid; elsewhere its
    values are 0. `classical` returns images of the same measurements without a network, by
    the name of the method.
    """

    image: Float[AnyArray, "*grid c"]
    train: Int[AnyArray, " n"]
    heldout: Int[AnyArray, " m"]
    targets: Float[AnyArray, "*shape k"] | None = None
    observe: Callable[..., Float[Array, "n k"]] = Partial(at_pixels)
    unseen: Int[AnyArray, " u"] | None = None
    peak: Float[AnyArray, ""] | None = None
    offset: Callable[..., Float[Array, " c"]] | None = None
    support: Callable[..., Bool[Array, " n"]] | None = None
    classical: "Callable[[Task], dict[str, np.ndarray]] | None" = None

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
        """Whether the measurements are pixels of the truth."""
        return self.targets is None and self.observe.func is at_pixels  # type: ignore[attr-defined]

    def limit(self, values: Float[Array, "n c"], where: Float[AnyArray, "n d"]) -> Float[Array, "n c"]:
        """Values of the field at places, 0 where it does not count."""
        if self.support is None:
            return values
        return jnp.where(self.support(where, self.grid)[:, None], values, 0.0)

    def align(self, values: Float[AnyArray, "n c"], own: Float[AnyArray, "p c"]) -> Float[AnyArray, "n c"]:
        """Values of the field with what the measurements leave open, by its values at the truth's pixels."""
        return values if self.offset is None else values + self.offset(own, self.colors)

    def picture(self, predict: Callable[..., np.ndarray], size: tuple[int, ...] = ()) -> Float[np.ndarray, "*size c"]:
        """What `predict(grid)` gives of a network on a grid of this size (none: the truth's), as it is compared."""
        image = predict(size or self.grid)
        if self.support is not None:
            scale = np.divide(self.grid, image.shape[:-1])
            where = (np.indices(image.shape[:-1]).reshape(len(self.grid), -1).T * scale).astype(np.float32)
            image = np.asarray(self.limit(jnp.asarray(image).reshape(-1, self.channels), where)).reshape(image.shape)
        if self.offset is not None:
            own = image if image.shape[:-1] == self.grid else predict(self.grid)
            image = image + np.asarray(self.offset(own.reshape(-1, self.channels), self.colors))
        return image


def measured(
    image: Any,
    targets: Float[AnyArray, "*shape k"],
    observe: Callable[..., Array],
    *arrays: Any,
    validation: float = 0.0,
    seed: int = 0,
    peak: float | None = None,
    offset: Callable | None = None,
    support: Callable | None = None,
    classical: Callable | None = None,
) -> Task:
    """The task of all these measurements of an image: `observe(*arrays, field, task, index)` predicts them.

    No pixel is measured itself, so all are held out. With `validation` about that part of the measurements, drawn by
    the seed, is held out instead. `peak` is that of their PSNR, by default 1 where they lie in [0, 1], else their
    range; for `offset`, `support` and `classical` see `Task`. Raises Refused for measurements that are not finite.
    """
    truth = image if is_unknown(image) else to_picture(image).pixels
    targets = np.ascontiguousarray(targets, np.float32)
    if not (targets.ndim > 1 and targets.size and np.isfinite(targets).all()):
        raise Refused(f"the measurements have shape {targets.shape}; expected finite numbers (..., k)")
    if peak is None and (targets.min() < -ROUNDING or targets.max() > 1 + ROUNDING):
        peak = span(targets)
    train, unseen = np.arange(math.prod(targets.shape[:-1]), dtype=np.int32), None
    if validation:
        train, unseen = put_away(train, validation, seed)
    return Task(
        truth,
        train,
        np.arange(math.prod(truth.shape[:-1]), dtype=np.int32),
        targets,
        Partial(observe, *map(_single, arrays)),
        unseen,
        None if peak is None else np.asarray(peak, np.float32),
        None if offset is None else Partial(offset),
        None if support is None else Partial(support),
        None if classical is None else Partial(classical),
    )


def span(values: Float[AnyArray, "..."]) -> float:
    """The range of values; 1 where they are all the same."""
    return float(np.ptp(values)) or 1.0


def put_away(numbers: Int[np.ndarray, " n"], part: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers that stay, and about this part of them, one at least, that the seed puts away; both sorted.

    Raises Refused where none stays.
    """
    away = np.random.default_rng((seed, 1)).permutation(numbers)[: max(1, round(part * len(numbers)))]
    if len(away) == len(numbers):
        raise Refused(f"validation={part} of {len(numbers)} measurements leaves none to train on")
    return np.setdiff1d(numbers, away).astype(np.int32), np.sort(away).astype(np.int32)


def register(name: str = "", **defaults: Any) -> Callable[[Callable[..., Task]], Callable[..., Task]]:
    """Decorator that adds a task to the registry, with `defaults` of other settings where it is chosen.

    In Python the function then takes whatever `pixels.to_picture` does, or None where there is no truth, and its
    settings by name. It raises Refused for those that it does not know or that are not allowed.
    """

    def add(function: Callable[..., Task]) -> Callable[..., Task]:
        @wraps(function)
        def made(image: Any, **given: Any) -> Task:
            known = [setting.name for setting in declared(function)]
            for name in given:
                if name not in known:
                    raise Refused(f"setting {name!r} is not known; {nearest(name, known)}")
            for setting in declared(function):
                if setting.about.file and isinstance(given.get(setting.name), str) and given[setting.name]:
                    raise Refused(f"{setting.name}={given[setting.name]!r} is text; in Python an array is expected")
            own = {name: value for name, value in defaults.items() if name in known}
            values = settle(function, own | given)[1]
            image = np.full((UNKNOWN_SIDE, UNKNOWN_SIDE, 1), np.nan, np.float32) if image is None else image
            pixels = image if is_unknown(image) else to_picture(image).pixels
            return bind(function, values)(pixels)

        return TASKS.register(name, **defaults)(made)

    return add


def _single(array: Any) -> np.ndarray:
    """An array of at most 32 bits a number."""
    array = np.asarray(array)
    return array.astype({"f": np.float32, "i": np.int32}.get(array.dtype.kind, array.dtype))


def pictured(image: Float[np.ndarray, "*grid c"]) -> Float[np.ndarray, "h w c"]:
    """The image. Raises Refused where it is none: a signal, a volume, or not known."""
    if is_unknown(image) or image.ndim != 3:
        what = "image=none" if is_unknown(image) else f"an array of shape {image.shape}"
        raise Refused(f"{what} cannot be measured; expected an image (h, w, c)")
    return image


def truth_of(
    image: Float[np.ndarray, "*grid c"], shape: tuple[int, ...], measurements: str
) -> Float[np.ndarray, "h w c"]:
    """The truth of this shape behind measurements from a file, NaN if unknown. Raises Refused for another shape."""
    if is_unknown(image):
        return np.full(shape, np.nan, np.float32)
    if image.shape != shape:
        raise Refused(
            f"{measurements}: it is of an image {shape}, the truth is {image.shape}; expected image=none if "
            "it is not known"
        )
    return image


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


class Queries(NamedTuple):
    """How a field is queried: at how many places, and whether it is differentiated."""

    places: int
    differentiates: bool


def queries_of(task: Task, count: int) -> Queries:
    """How `observe` queries the field for so many measurements; nothing is computed."""
    if task.pixelwise:
        return Queries(count, False)
    return queries(lambda task, field: task.observe(field, task, jnp.zeros(count, np.int32)), task)


def queries(look: Callable[[Task, Field], Any], task: Task) -> Queries:
    """How a function of a task and its field queries the field; nothing is computed."""
    seen: list[int] = []
    differentiated: list[bool] = []

    @jax.custom_jvp
    def field(where: Float[AnyArray, "n d"]) -> Float[Array, "n c"]:
        seen.append(len(where))
        return jnp.zeros((len(where), task.channels))

    @field.defjvp
    def _differentiated(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
        differentiated.append(True)
        # A value and a derivative that go on depending on the place: it may be differentiated again.
        value = field(*primals)
        return value, value + 0.0 * tangents[0][:, :1]

    jax.eval_shape(lambda task: look(task, field), task)
    return Queries(sum(seen), bool(differentiated))


def cut(task: Task, count: int, most: int) -> int:
    """Into how many measurements at a time to cut so many, that each part queries the field at about `most` places.

    All of them where a part would query nearly as many places as all do, such as every pixel for a Fourier transform.
    """
    whole = queries_of(task, count).places
    part = min(count, max(1, count * most // max(1, whole)))
    return count if queries_of(task, part).places * count > MORE * whole * part else part
