"""Ways of fitting as a race: how many seconds each takes to a PSNR, and how many times another's that is."""

import contextlib
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from matplotlib.figure import Figure

from inr_jax.data.problem import Problem, load_task
from inr_jax.fit.design import Fit, member_of
from inr_jax.report import style
from inr_jax.report.summary import half_width, summarize
from inr_jax.report.text import label_columns, pixel_set, row_label
from inr_jax.runs.view import reported_members
from inr_jax.settings import Refused, catalogue, nearest
from inr_jax.sweep import ensemble
from inr_jax.sweep.chunks import padded
from inr_jax.sweep.fits import Checkpoint
from inr_jax.sweep.grid import OUTCOMES, REMARKS, Batch, Grid, batches

# A step takes as long whatever their values are.
FREE = {
    *(name for name, setting in catalogue(Fit).items() if setting.traced),
    "steps",
    "schedule",
    "split_seed",
    "background",
    "resize",
}
# Targets where none are given: what the reference has reached after these parts of its steps.
PARTS = (0.05, 0.25, 1.0)
# Steps are timed again so many times, each way in turn.
ROUNDS = 9
MOST_LINES = 14


class Line(NamedTuple):
    """A way on an image: the seconds at which it was looked at, and PSNR there, mean over seeds."""

    way: str
    image: str
    seconds: Float[np.ndarray, " t"]
    psnr: Float[np.ndarray, " t"]


def step_seconds(table: pd.DataFrame) -> pd.Series:
    """Seconds of a step of each member: the median over all whose steps are the same work, since they share a machine.

    That is over images of one size, seeds, learning rates and schedules, and both stages of a study of two; of fits of
    several lengths over the longest, in which looking at the curves costs least.
    """
    settings = table.columns[: table.columns.get_loc(OUTCOMES[0])]
    work = [name for name in settings if name not in (*FREE, *REMARKS)]
    # Images in their own shapes are each a work of its own.
    shaped = not table["size"].all() or ("resize" in table and (table["resize"] == "fit").any())
    by = [table[name] for name in work if name != "image" or shaped]
    # What was not fitted to its last step did not take its seconds for all of them.
    whole = table["steps"].where(table["status"] == "ok")
    longest = whole == whole.groupby(by, dropna=False).transform("max")
    return (table["seconds"] / table["steps"]).where(longest).groupby(by, dropna=False).transform("median")


def retimed(members: Grid, rounds: int = ROUNDS) -> pd.Series:
    """Seconds of a step of each member, as here and now: its work is fitted again for some steps, all works in turn.

    A run fits one way after the other: where a machine has other work, what one of them suffers the next does not.
    In turn they share it. Of members fitted side by side each has its share.
    """

    def work(batch: Batch) -> tuple:
        alike = batch.design.replace(schedule="constant", steps=0)
        shaped = not batch.data.size or batch.data.get("resize") == "fit"
        shared = {*catalogue(Problem)} - (set() if shaped else {"image"})
        return alike, tuple((name, value) for name, value in batch.data.items() if name in shared)

    every = batches(members, range(len(members)))
    # Of each work the batch of most members of the longest fits: they are fitted side by side as they were.
    doing = {work(each): each for each in sorted(every, key=lambda each: (each.design.steps, len(each.rows)))}
    took = pd.DataFrame([{key: _timed(each) for key, each in doing.items()} for _ in range(rounds)]).median()
    seconds = pd.Series(np.nan, range(len(members)))
    for batch in every:
        seconds[batch.rows] = took[work(batch)]
    return seconds


class _Enough(Exception):
    """Steps have been timed."""


def _timed(batch: Batch) -> float:
    """Seconds of a step of a member, from a fifth of a fit, after its beginning."""
    steps, task = batch.design.steps, load_task(batch.data)
    plan = ensemble.planned(batch.design, batch.hypers, task)
    rows = np.arange(min(plan.chunk, len(batch.rows)))
    marks: list[tuple[int, float]] = []

    def after(segment: Checkpoint) -> int:
        marks.append((segment.step, time.perf_counter()))
        if len(marks) > 3:
            raise _Enough
        return max(1, steps // 10)

    with contextlib.suppress(_Enough):
        hypers = member_of(batch.hypers, padded(rows, plan.chunk))
        ensemble.advance(batch.design, hypers, task, plan, np.asarray([0, steps]), steps, after)
    if len(marks) < 2:
        return float("nan")
    # Until the first mark there is the beginning, until the second a look at the curves.
    (first, begun), (last, done) = marks[min(1, len(marks) - 2)], marks[-1]
    return (done - begun) / (last - first) / len(rows)


def noise(table: pd.DataFrame) -> tuple[float, float]:
    """Between which multiples of their steps' median eight of ten members were fitted: how restless the machine was."""
    whole = table[table["status"] == "ok"]
    times = (whole["seconds"] / whole["steps"] / step_seconds(whole)).quantile([0.1, 0.9])
    return float(times.iloc[0]), float(times.iloc[1])


def names(table: pd.DataFrame) -> pd.Series:
    """The way that each member goes: its label and what varies within one, or its settings; not its seed and image."""
    columns = label_columns(summarize(table))
    return pd.Series([row_label(row, columns) for _, row in table.iterrows()], table.index)


def lines(table: pd.DataFrame, curves: xr.Dataset, on: str = "train", seconds: pd.Series | None = None) -> list[Line]:
    """The curves of a run's members against seconds, on "train" or "heldout" pixels, in the table's order of the ways.

    Of a study of two stages those of the second. `seconds` are those of each member's step, else what the table says.
    Raises Refused where there are no curves.
    """
    seconds = step_seconds(table) if seconds is None else seconds
    last, _ = reported_members(table)
    psnr = curves[f"history_{on}"].to_numpy().astype(float)
    steps = curves["step"].to_numpy()
    if np.isfinite(psnr[last.index]).sum(axis=1).max(initial=0) < 2:
        raise Refused(f"this run has no training curves of {on} pixels")
    found = []
    for (way, image), group in last.groupby([names(last), last["image"]], sort=False):
        mine = psnr[group.index]
        # A member that failed has no curve, so its way has none here either; one that diverged stays where it was.
        seen = np.isfinite(mine).any(axis=0)
        if not seen.any():
            continue
        found.append(Line(way, image, steps[seen] * seconds[group.index].median(), mine[:, seen].mean(axis=0)))
    return found


def reached(line: Line, target: float) -> float:
    """Seconds until the line first is as high as that, linear between the points; NaN where it never is."""
    above = np.flatnonzero(line.psnr >= target)
    if not len(above):
        return float("nan")
    at = above[0]
    if at == 0:
        return float(line.seconds[0])
    part = (target - line.psnr[at - 1]) / (line.psnr[at] - line.psnr[at - 1])
    return float(line.seconds[at - 1] + part * (line.seconds[at] - line.seconds[at - 1]))


def highest(line: Line, part: float) -> float:
    """The highest PSNR of the line in this part of its seconds."""
    until = part * line.seconds[-1]
    there = line.psnr[line.seconds <= until]
    return float(max(there.max(), np.interp(until, line.seconds, line.psnr)))


def raced(found: Sequence[Line], reference: str = "", targets: Sequence[float] = ()) -> pd.DataFrame:
    """Seconds of every way to every target on every image, and their ratio to those of the reference, the first way.

    `targets` are PSNRs; without them each image has its own, by what the reference reaches there in parts of its steps.
    Columns: `way`, `image`, `target` (its name), `psnr`, `seconds`, `ratio`; blank where one is never reached.
    Raises Refused for a reference that is not there.
    """
    ways = list(dict.fromkeys(line.way for line in found))
    reference = reference or ways[0]
    if reference not in ways:
        raise Refused(f"--reference={reference} is no way of this run; {nearest(reference, ways)}")
    first = {line.image: line for line in found if line.way == reference}
    rows = []
    for line in (line for line in found if line.image in first):
        own = {f"{part:.0%} of the steps": highest(first[line.image], part) for part in PARTS}
        for name, psnr in ({f"{value:g} dB": value for value in targets} or own).items():
            seconds, base = reached(line, psnr), reached(first[line.image], psnr)
            ratio = seconds / base if base else float("nan")
            rows.append((line.way, line.image, name, psnr, seconds, ratio))
    return pd.DataFrame(rows, columns=["way", "image", "target", "psnr", "seconds", "ratio"])


def summary(races: pd.DataFrame, reference: str = "") -> pd.DataFrame:
    """By way and target, over the images where the reference arrives: geometric means of the seconds and of the ratio.

    `spread` is the factor of the ratio's 95 % interval, of few images of half its range. Where a way does not arrive on
    each of them it has no mean, which would be of the easy ones: `reached` of `images` says how many.
    """
    reference = reference or races["way"].iloc[0]
    arrives = races[(races["way"] == reference) & races["seconds"].notna()]
    asked = races.merge(arrives[["image", "target"]], on=["image", "target"])
    rows = []
    for (way, target), group in asked.groupby(["way", "target"], sort=False):
        # A target below the beginning takes no time, of which there is no logarithm.
        with np.errstate(divide="ignore", invalid="ignore"):
            seconds, ratios = (np.log(group[name]) for name in ("seconds", "ratio"))
            mean = {"seconds": seconds.mean(skipna=False), "ratio": ratios.mean(skipna=False)}
            half = half_width(ratios) if ratios.notna().all() else float("nan")
        counted = {"reached": int(group["seconds"].notna().sum()), "images": len(group)}
        means = {name: float(np.exp(value)) for name, value in {**mean, "spread": half}.items()}
        rows.append({"way": way, "target": target, "psnr": group["psnr"].mean(), **means, **counted})
    return pd.DataFrame(rows, columns=["way", "target", "psnr", "seconds", "ratio", "spread", "reached", "images"])


def as_text(summed: pd.DataFrame, found: Sequence[Line]) -> str:
    """The summary for a terminal: a row for each way, with the seconds of a whole fit, and a column for each target."""
    shown = {}
    for way in dict.fromkeys(line.way for line in found):
        mine = summed[summed["way"] == way].set_index("target")
        whole = np.median([line.seconds[-1] for line in found if line.way == way])
        shown[way] = {f"{name} ({row['psnr']:.1f} dB)": _cell(row) for name, row in mine.iterrows()}
        shown[way] |= {"a fit (s)": f"{whole:.3g}"}
    return pd.DataFrame.from_dict(shown, orient="index").fillna("-").to_string()


def _cell(row: pd.Series) -> str:
    if row["reached"] < row["images"]:
        return f"on {row['reached']} of {row['images']}"
    spread = f" ×/÷ {row['spread']:.2f}" if row["spread"] > 1 else ""
    times = "" if np.isnan(row["ratio"]) else f"{row['ratio']:.2f}{spread} "
    return f"{times}({row['seconds']:.3g} s)"


def chart(found: Sequence[Line], on: str = "train") -> Figure:
    """Median PSNR over images against seconds, a line for each way."""
    figure, axes = style.canvas(7.2, 4.6)
    for number, way in enumerate(list(dict.fromkeys(line.way for line in found))[:MOST_LINES]):
        mine = [line for line in found if line.way == way]
        # Those that were not pruned on their way.
        mine = [line for line in mine if len(line.psnr) == max(len(each.psnr) for each in mine)]
        # Images of other sizes take other seconds.
        seconds = np.median([line.seconds for line in mine], axis=0)
        psnr = np.median([line.psnr for line in mine], axis=0)
        dashes = "-" if number < len(style.COLORS) else "--"
        axes.plot(seconds[1:], psnr[1:], dashes, markevery=4, label=way, **style.marked_line(number, 4))
    style.log_axis(axes)
    axes.set_xlabel("seconds")
    axes.set_ylabel(f"PSNR on {pixel_set(f'psnr_{on}')} pixels (dB)")
    style.legend_above(figure, axes)
    return figure
