"""A run as the report reads it: plain values and functions, independent of where the run is stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, UInt8

from inr_jax.fit.curves import Curves
from inr_jax.fit.metrics import Metric
from inr_jax.fit.task import Task
from inr_jax.sweep.fits import Network


@dataclass(frozen=True)
class MemberView:
    """A fitted member: its network, its task, and its training curves at `steps`."""

    network: Network
    task: Task
    steps: Int[np.ndarray, " t"]
    curves: Curves


@dataclass(frozen=True)
class RunView:
    """The results of a run, and functions that read a member's data when a figure needs it.

    Members are numbered by the index of `table`, which has a row for each: settings, remarks, scores, status.
    `metrics` are those of its score columns. `prediction` has scores of kernel regression by member number, and is None
    unless the run asked for theory. `settings` are the base values of the study, `units` those of settings; `facts`
    are shown as they are. `chosen_on` names the data that chose the settings, if these are not the data of this run.
    `notes` are lines on what scores may hide.
    """

    title: str
    table: pd.DataFrame
    metrics: Mapping[str, Metric]
    baselines: pd.DataFrame
    prediction: pd.DataFrame | None
    settings: Mapping[str, Any]
    units: Mapping[str, str]
    facts: Mapping[str, str]
    chosen_on: str
    # Read a fitted member. Raises Damaged if its file holds something else.
    member: Callable[[int], MemberView]
    # Read the stored 8-bit pictures of fitted members, by number.
    pictures: Callable[[Sequence[int]], dict[int, UInt8[np.ndarray, "..."]]]
    # Load the image or signal that a member is fitted to, in [0, 1].
    target: Callable[[int], Float[np.ndarray, "*grid c"]]
    notes: Sequence[str] = ()


def magnify_centre(member: MemberView, side: int) -> list[tuple[str, Float[np.ndarray, "..."]]]:
    """Return titled images of the centre, at most `side` pixels a side: the target, and the prediction enlarged.

    The prediction is rendered at the resolution of the target and at two and four times that.
    """
    grid = member.task.grid
    starts = [max(0, (length - side) // 2) for length in grid]
    ranges = [(start, min(start + side, length)) for start, length in zip(starts, grid, strict=True)]

    task, own = member.task, np.zeros((0, member.task.channels), np.float32)
    if task.offset is not None:
        own = member.network.predict(grid).reshape(-1, task.channels)

    def predict(times: int) -> np.ndarray:
        part = tuple(slice(times * start, times * stop) for start, stop in ranges)
        image = member.network.predict(tuple(times * length for length in grid), part)
        return np.asarray(task.align(image.reshape(-1, task.channels), own)).reshape(image.shape)

    fourfold = predict(4)
    if member.network.design.domain == "unit":  # the coordinates of a smaller grid are among those of the larger one
        smaller = {times: fourfold[:: 4 // times, :: 4 // times] for times in (1, 2)}
    else:
        smaller = {times: predict(times) for times in (1, 2)}
    target = np.asarray(member.task.image)[tuple(slice(*ends) for ends in ranges)]
    return [("target", target), ("prediction", smaller[1]), ("at 2x", smaller[2]), ("at 4x", fourfold)]
