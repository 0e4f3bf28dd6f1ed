"""Forecast of a study: what kernel regression predicts for its members without training them, as a table."""

import time as clock
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from inr_jax.data.problem import Data, load_task
from inr_jax.fit.design import Design, Fit, Hyper, stack
from inr_jax.fit.encodings import ENCODINGS
from inr_jax.fit.task import Task
from inr_jax.kernel.lattice import equations_of
from inr_jax.kernel.ntk import require_kernel
from inr_jax.kernel.prediction import predict, validate
from inr_jax.settings import Refused, catalogue, declared
from inr_jax.sweep.grid import Member

# Static settings that no kernel depends on, and traced ones that it does.
TRAINING_SETTINGS = ("steps", "optimizer", "schedule", "pixels", "loss", "precision", "output")
KERNEL_SETTINGS = ("scale", "anisotropy", "seed")
SCORES = ("psnr_heldout", "psnr_train", "psnr_validated")
NUMBERS = (*SCORES, "residual", "iterations", "seconds")


Problem = tuple[Data, Design]
Point = tuple[Any, ...]


class Forecast(NamedTuple):
    """A table with a row for each member that has a kernel: its settings and scores; and why others have none."""

    table: pd.DataFrame
    refusals: list[str]


def forecast(
    members: Sequence[Member],
    *,
    ridge: float = 1e-3,
    time: float | None = None,
    validation: bool = False,
    task_of: Callable[[Data], Task] = load_task,
) -> Forecast:
    """Predict `psnr_heldout` and `psnr_train` of each member by kernel regression, and how well it was solved.

    With `validation` also `psnr_validated`, which no held-out pixel enters (`prediction.validate`). Members that differ
    in nothing that a kernel reads share a row's numbers; `seconds` are of all of them together over their number.
    `task_of` gives the task of a member's data.
    Raises NotConverged rather than a wrong answer.
    """
    keys = [problem(each) for each in members]
    refusals = {(data, design): _refusal(design, task_of(data)) for data, design in dict.fromkeys(keys)}
    points: dict[Problem, dict[Point, None]] = {}
    for each, key in zip(members, keys, strict=True):
        if not refusals[key]:
            points.setdefault(key, {})[_point(each)] = None
    found = {key: _numbers(key[1], task_of(key[0]), list(of), ridge, time, validation) for key, of in points.items()}
    rows = [
        {**each.settings, **found[key][_point(each)]} for each, key in zip(members, keys, strict=True) if key in found
    ]
    return Forecast(pd.DataFrame(rows).dropna(axis=1, how="all"), list(dict.fromkeys(filter(None, refusals.values()))))


def problem(member: Member) -> Problem:
    """What is fitted, and the design without the settings that no kernel depends on."""
    defaults = {name: catalogue(Fit)[name].default for name in TRAINING_SETTINGS if name in member.design}
    return member.data, member.design.replace(**defaults)


def varying_columns(table: pd.DataFrame) -> list[str]:
    """The settings that vary over the rows of a forecast."""
    settings = table.drop(columns=[name for name in NUMBERS if name in table])
    return [name for name in settings.columns if settings[name].nunique(dropna=False) > 1]


def _point(member: Member) -> Point:
    """The traced settings of a member that a kernel depends on."""
    read = {"seed", *(setting.name for setting in declared(ENCODINGS.find(member.design.encoding)))}
    return tuple(sorted((name, value) for name, value in member.hyper.items() if name in read))


def _refusal(design: Design, task: Task) -> str:
    """Why the design has no kernel there; empty if it has."""
    try:
        require_kernel(design, len(task.grid))
        equations_of(task)
    except Refused as refused:
        return str(refused)
    return ""


def _numbers(
    design: Design, task: Task, points: list[Point], ridge: float, time: float | None, validation: bool
) -> dict[Point, dict[str, float]]:
    """The forecast at each point of a problem."""
    start = clock.perf_counter()
    hypers = stack([Hyper(**dict(point)) for point in points])
    columns = predict(design, hypers, task, ridge=ridge, time=time)._asdict()
    if validation:
        columns["psnr_validated"] = validate(design, hypers, task, ridge=ridge, time=time).psnr_heldout
    columns["seconds"] = np.full(len(points), (clock.perf_counter() - start) / len(points))
    rows = [{name: np.asarray(column)[row].item() for name, column in columns.items()} for row in range(len(points))]
    return dict(zip(points, rows, strict=True))
