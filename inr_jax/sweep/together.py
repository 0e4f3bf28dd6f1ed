"""Members together: the mean of the predictions of those that differ in their seed alone."""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from inr_jax.fit.design import Design, Hyper
from inr_jax.fit.member import State, evaluate, mean_field
from inr_jax.fit.metrics import metric_names
from inr_jax.fit.pinned import pinned
from inr_jax.fit.task import Task

# Pixels that are predicted at once.
TILE = 2**12


class Together(NamedTuple):
    """The rows of members that differ in their seed alone, and the scores of the mean of their predictions."""

    rows: Int[np.ndarray, " m"]
    scores: dict[str, float]


def numbered(groups: Int[np.ndarray, " m"], among: Int[np.ndarray, " n"]) -> list[Int[np.ndarray, " _"]]:
    """Return the rows of each group of two or more, in the order of their first rows; `among` are those that count."""
    order = among[np.argsort(groups[among], kind="stable")]
    cut = np.flatnonzero(np.diff(groups[order])) + 1
    found = [rows for rows in np.split(order, cut) if len(rows) > 1]
    return sorted(found, key=lambda rows: rows[0])


@pinned()
def score_together(
    design: Design, hypers: Hyper, task: Task, params: Any, data: Any, metrics: tuple = ()
) -> dict[str, float]:
    """Return the scores of the mean prediction of these members; all but the task have a leading member axis."""
    found = _scores(design, hypers, task, params, data, metrics or metric_names())
    return {name: float(value) for name, value in found.items()}


@partial(jax.jit, static_argnames=("design", "metrics"))
def _scores(
    design: Design, hypers: Hyper, task: Task, params: Any, data: Any, metrics: tuple
) -> dict[str, Float[Array, ""]]:
    return evaluate(task, mean_field(design, hypers, task, State(params, data, None)), TILE, metrics)[0]
