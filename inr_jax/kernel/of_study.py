"""What the theory says of a study's members without training them, as a table."""

import time as clock
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from inr_jax.data.problem import Data, load_task
from inr_jax.fit.design import Design, Fit, Hyper, stack
from inr_jax.fit.encodings import ENCODINGS
from inr_jax.kernel import ntk as kernel
from inr_jax.kernel import scale_curves as theory
from inr_jax.settings import Refused, catalogue, declared
from inr_jax.sweep.grid import Member

# What a kernel does not read of a design, nor of the numbers.
UNREAD = ("steps", "optimizer", "schedule", "pixels", "loss", "precision", "output")
READ = ("scale", "anisotropy", "seed")
SCORES = ("psnr_heldout", "psnr_train", "psnr_validated")
NUMBERS = (*SCORES, "residual", "iterations", "seconds")


Problem = tuple[Data, Design]
Point = tuple[Any, ...]


class Foreseen(NamedTuple):
    """A row for each member that has a kernel, by its number: its settings and what the kernel says; why others have
    none.
    """

    table: pd.DataFrame
    without: list[str]


def foresee(
    members: Sequence[Member], *, ridge: float = 1e-3, time: float | None = None, validate: bool = False
) -> Foreseen:
    """What kernel regression reaches for each member: `psnr_heldout`, `psnr_train`, and how well it was solved.

    With `validate` also `psnr_validated`, which no held-out pixel enters (`theory.validated`). Members that differ in
    nothing that a kernel reads share a row's numbers; `seconds` are of all of them together over their number.
    Raises NotConverged rather than a wrong answer.
    """
    keys, without = [problem(each) for each in members], dict[str, None]()
    points: dict[Problem, dict[Point, None]] = {}
    for each, key in zip(members, keys, strict=True):
        if reason := _refused(*key):
            without[reason] = None
        else:
            points.setdefault(key, {})[_point(each)] = None
    found = {key: _numbers(*key, list(of), ridge, time, validate) for key, of in points.items()}
    rows = [
        {**each.settings, **found[key][_point(each)]} for each, key in zip(members, keys, strict=True) if key in found
    ]
    return Foreseen(pd.DataFrame(rows).dropna(axis=1, how="all"), list(without))


def problem(member: Member) -> Problem:
    """What is fitted, and the design without what no kernel reads."""
    defaults = {name: catalogue(Fit)[name].default for name in UNREAD if name in member.design}
    return member.data, member.design.replace(**defaults)


def _point(member: Member) -> Point:
    """What a kernel reads of a member's numbers."""
    read = {"seed", *(setting.name for setting in declared(ENCODINGS.find(member.design.encoding)))}
    return tuple(sorted((name, value) for name, value in member.hyper.items() if name in read))


def _refused(data: Data, design: Design) -> str:
    """Why the design has no kernel there; empty if it has."""
    try:
        kernel.require_stationary(design, len(load_task(data).grid))
    except Refused as refused:
        return str(refused)
    return ""


def _numbers(
    data: Data, design: Design, points: list[Point], ridge: float, time: float | None, validate: bool
) -> dict[Point, dict[str, float]]:
    """What the kernel says at each point of a problem."""
    task, start = load_task(data), clock.perf_counter()
    hypers = stack([Hyper(**dict(point)) for point in points])
    columns = theory.predict(design, hypers, task, ridge=ridge, time=time)._asdict()
    if validate:
        columns["psnr_validated"] = theory.validated(design, hypers, task, ridge=ridge, time=time).psnr_heldout
    columns["seconds"] = np.full(len(points), (clock.perf_counter() - start) / len(points))
    rows = [{name: np.asarray(column)[row].item() for name, column in columns.items()} for row in range(len(points))]
    return dict(zip(points, rows, strict=True))


def swept(table: pd.DataFrame) -> list[str]:
    """The settings that vary over the members foreseen."""
    settings = table.drop(columns=[name for name in NUMBERS if name in table])
    return [name for name in settings.columns if settings[name].nunique(dropna=False) > 1]
