"""Where members stand and what they have come to: on the device, as arrays, and a network by itself."""

import dataclasses
import operator
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, SupportsIndex

import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

from inr_jax.fit import member
from inr_jax.fit.budget import count_numbers
from inr_jax.fit.curves import Curves
from inr_jax.fit.design import Design, Hyper, member_of, settings_of
from inr_jax.fit.member import State
from inr_jax.fit.metrics import metric_names
from inr_jax.fit.pinned import pinned
from inr_jax.fit.task import Task, pixel_coordinates
from inr_jax.settings import AnyArray, Refused, nearest
from inr_jax.sweep.together import Together, numbered, score_together


class Checkpoint(NamedTuple):
    """Where a chunk stands after some steps, and all that it takes to go on; arrays have a leading member axis.

    `diverged_at` is the step that was not finite, or -1; the curves are those so far, (m, t) and (m, t, b).
    """

    step: int
    state: State
    diverged_at: Int[AnyArray, " m"]
    curves: Curves


class Outcome(NamedTuple):
    """What members have come to, NumPy arrays with a leading member axis.

    `scores` by metric, NaN where one is not defined. `picture` is 8 bit, at most 256 pixels along a side.
    `rms_frequency` is the root mean square of B's entries at the end, in cycles per image side; NaN where there is no
    B.
    """

    params: Any
    data: Any
    scores: dict[str, Float[np.ndarray, " m"]]
    picture: UInt8[np.ndarray, "m ..."]
    diverged_at: Int[np.ndarray, " m"]
    rms_frequency: Float[np.ndarray, " m"]
    curves: Curves


@dataclasses.dataclass(frozen=True)
class Fits:
    """The members that were fitted: settings, steps taken, and their `Outcome`; scores and curves are attributes too.

    `fits.psnr_heldout` is (members,) in dB; `history_step` are the steps of the curves `history_train` and
    `history_heldout`, in dB, and `history_bands`, the error's power over the target's in each of `metrics.bands`.
    """

    design: Design
    hypers: Hyper
    steps: Int[np.ndarray, " m"]
    history_step: Int[np.ndarray, " t"]
    params: Any
    data: Any
    scores: dict[str, Float[np.ndarray, " m"]]
    picture: UInt8[np.ndarray, "m ..."]
    diverged_at: Int[np.ndarray, " m"]
    rms_frequency: Float[np.ndarray, " m"]
    curves: Curves

    def __getattr__(self, name: str) -> Any:
        """A score or a curve by its name. Raises AttributeError with the closest match."""
        if name.startswith("_") or name in ("scores", "curves"):  # while it is being made, and what notebooks ask for
            raise AttributeError(name)
        if name in self.scores:
            return self.scores[name]
        if name in self.curves._fields:
            return getattr(self.curves, name)
        known = [*(field.name for field in dataclasses.fields(self)), *self.scores, *self.curves._fields]
        raise AttributeError(f"Fits has no {name!r}; {nearest(name, known)}")

    def __repr__(self) -> str:
        """What was fitted, in a line: members, steps, the design's main choices, and the best score."""
        design, steps, diverged = self.design, self.steps, int(np.sum(self.diverged_at >= 0))
        count = f"{steps.min()}" if steps.min() == steps.max() else f"{steps.min()} to {steps.max()}"
        parts = [f"{len(steps)} members, {count} steps", f"encoding {design.encoding}, network {design.network}"]
        heldout = np.isfinite(self.scores["psnr_heldout"]).any()
        name = "psnr_heldout" if heldout else "psnr_train"
        scores = np.where(self.diverged_at < 0, self.scores[name], np.nan)
        if not np.isnan(scores).all():
            parts.append(f"best {name} {np.nanmax(scores):.2f} dB, of member {np.nanargmax(scores)}")
        return f"Fits({'; '.join([*parts, *([f'{diverged} diverged'] if diverged else [])])})"

    def network(self, row: SupportsIndex) -> "Network":
        """The member of this row by itself."""
        params, data = (jax.tree.map(lambda leaf: leaf[row], tree) for tree in (self.params, self.data))
        _, *grid, channels = self.picture.shape
        return Network(self.design, member_of(self.hypers, row), params, data, len(grid), channels)

    def predict(self, row: SupportsIndex | Sequence[int], grid: tuple[int, ...]) -> Float[np.ndarray, "*grid c"]:
        """The image of the member of this row, or the mean of those of several, on a grid of any size, unclipped.

        `grid` is (h, w) in pixels, height first, of signals (n,), of volumes (t, h, w). Raises Refused for no row, or
        a grid of other dimensions.
        """
        rows = np.ravel(np.asarray(row)).tolist()
        if not rows:
            raise Refused(f"predict({row!r}, ...) names no member; rows are from 0 to {len(self.psnr_train) - 1}")
        images = [self.network(each).predict(grid) for each in rows]
        return images[0] if len(images) == 1 else np.mean(images, axis=0)

    def together(self, task: Task, metrics: Sequence = ()) -> list[Together]:
        """Scores of the mean prediction of the members that differ in their seed alone, for each such setting.

        `task` is what they were fitted to, `metrics` are custom ones. Members that diverged or were pruned are left
        out.
        """
        found, names, whole = [], metric_names(metrics), (self.diverged_at < 0) & (self.steps == self.design.steps)
        for rows in numbered(settings_of(self.hypers), np.flatnonzero(whole)):
            hypers, params, data = jax.tree.map(operator.itemgetter(rows), (self.hypers, self.params, self.data))
            found.append(Together(rows, score_together(self.design, hypers, task, params, data, names)))
        return found


class Network(NamedTuple):
    """A fitted network by itself: its settings, trained and fixed variables, dimensions in and channels out."""

    design: Design
    hyper: Hyper
    params: Any
    data: Any
    dims: int
    channels: int

    def __repr__(self) -> str:
        """The network in a line: the design's main choices, the numbers that it trains, and what it maps to what."""
        choices = f"encoding {self.design.encoding}, network {self.design.network}"
        return (
            f"Network({choices}; {count_numbers(self.params):,} parameters; dims {self.dims}, channels {self.channels})"
        )

    def __call__(self, coords: Float[jax.Array, "n d"]) -> Float[jax.Array, "n c"]:
        """The values at coordinates of the design's domain, unclipped."""
        params, data = jax.tree.map(jax.numpy.asarray, (self.params, self.data))
        return member.predict(self.design, self.hyper, params, data, coords, self.channels)

    @pinned()
    def predict(
        self, grid: tuple[int, ...], part: tuple[slice, ...] = (), tile: int = 2**14
    ) -> Float[np.ndarray, "*part c"]:
        """The image on a grid of any size, or a part of it, unclipped.

        `grid` is (h, w) in pixels, height first, of signals (n,), of volumes (t, h, w); `part` has a slice for each.
        In tiles: beyond the image, memory does not grow with it. Raises Refused for a grid of other dimensions.
        """
        sides = grid if isinstance(grid, tuple | list) else ()
        if len(sides) != self.dims or not all(isinstance(n, int | np.integer) and n > 0 for n in sides):
            order = {1: ", (n,)", 2: ", (h, w)", 3: ", (t, h, w)"}.get(self.dims, "")
            raise Refused(f"grid={grid!r} does not fit this network; expected {self.dims} lengths in pixels{order}")
        ranges = [range(size)[cut] for size, cut in zip(grid, part or [slice(None)] * len(grid), strict=True)]
        shape = tuple(map(len, ranges))
        pixels = int(np.prod(shape))
        tile = min(tile, pixels)
        image = np.empty((pixels, self.channels), np.float32)
        for first in range(0, pixels, tile):
            places = np.unravel_index(np.minimum(np.arange(first, first + tile), pixels - 1), shape)
            where = [along.start + along.step * place for along, place in zip(ranges, places, strict=True)]
            index = np.ravel_multi_index(where, grid).astype(np.int32)
            colors = _predict_tile(*self[:4], index, grid, self.channels)
            image[first : first + tile] = np.asarray(colors)[: pixels - first]
        return image.reshape(*shape, self.channels)


def on_host(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint as NumPy arrays."""
    return jax.tree.map(np.asarray, checkpoint)._replace(step=checkpoint.step)


def members_of(checkpoint: Checkpoint, rows: np.ndarray) -> Checkpoint:
    """Where these members of a chunk stand."""
    step, *rest = checkpoint
    return Checkpoint(step, *jax.tree.map(lambda leaf: leaf[rows], rest))


@partial(jax.jit, static_argnames=("design", "grid", "channels"))
def _predict_tile(
    design: Design, hyper: Hyper, params: Any, data: Any, index: Any, grid: tuple[int, ...], channels: int
) -> jax.Array:
    coords = pixel_coordinates(index, grid, design.domain)
    return member.predict(design, hyper, params, data, coords, channels)
