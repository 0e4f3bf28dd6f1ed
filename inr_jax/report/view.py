"""A run as the report reads it: plain values and functions, wherever the run is kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, UInt8

from inr_jax.fit.curves import Curves
from inr_jax.fit.design import Design, Hyper
from inr_jax.fit.task import Task


@dataclass(frozen=True)
class Outcome:
    """A fitted member: its settings, its task, its training curves read at `steps`, and its prediction.

    `predict(grid, part)` returns the image on a grid of any size, or the part of it that the slices cut out (none: all
    of it), unclipped.
    """

    design: Design
    hyper: Hyper
    task: Task
    steps: Int[np.ndarray, " t"]
    curves: Curves
    predict: Callable[[tuple[int, ...], tuple[slice, ...]], Float[np.ndarray, "*part c"]]


@dataclass(frozen=True)
class RunView:
    """A run's results, and functions that read a member's data when a figure needs it.

    A member's number is its row in `table`, the contents of results.csv. `prediction` holds the scores of kernel
    regression by member number; it is None unless the run asked for theory. `settings` are the base values of the
    study; `facts` are shown on the page as they are; `chosen_on` names the data that chose the settings, if these
    are not the data of this run.
    """

    title: str
    table: pd.DataFrame
    baselines: pd.DataFrame
    prediction: pd.DataFrame | None
    settings: Mapping[str, Any]
    facts: Mapping[str, str]
    chosen_on: str
    # Of a member that was fitted: what came out of it. Raises Damaged where its file holds something else.
    outcome: Callable[[int], Outcome]
    # Of fitted members: the stored 8-bit picture of each, by member number.
    pictures: Callable[[Sequence[int]], dict[int, UInt8[np.ndarray, "..."]]]
    # Of any member: the image or signal that it is fitted to, in [0, 1].
    target: Callable[[int], Float[np.ndarray, "*grid c"]]
