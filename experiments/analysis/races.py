"""Ways of fitting compared by the seconds that each takes to a PSNR, as a multiple of a reference's."""

import contextlib
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from matplotlib.figure import Figure

from inr_jax.data.problem import Problem
from inr_jax.fit.design import Fit, member_of
from inr_jax.fit.task import Task
from inr_jax.report import style
from inr_jax.report.summary import half_width, summarize
from inr_jax.report.text import fold_table, label_columns, row_label, scored_on
from inr_jax.runs.members import Members
from inr_jax.settings import Refused, catalogue, nearest
from inr_jax.sweep.chunks import padded
from inr_jax.sweep.ensemble import advance, planned
from inr_jax.sweep.fits import Checkpoint
from inr_jax.sweep.grid import OUTCOMES, REMARKS, Batch, batches

# Settings that the time of a step does not depend on.
UNTIMED = {
    *(name for name, setting in catalogue(Fit).items() if setting.traced),
    "steps",
    "schedule",
    "split_seed",
    "background",
    "resize",
}
# Default targets: what the reference has reached after these parts of its steps.
PARTS = (0.05, 0.25, 1.0)
# Repetitions of timing, each way in turn.
ROUNDS = 9
MOST_LINES = 14


class Line(NamedTuple):
    """The curve of a way on an image: PSNR, mean over seeds, at some seconds."""

    way: str
    image: str
    seconds: Float[np.ndarray, " t"]
    psnr: Float[np.ndarray, " t"]


def step_seconds(table: pd.DataFrame) -> pd.Series:
    """Seconds of a step of each member: the median over all whose steps are the same work, since they share a machine.

    Over images of one size, seeds, learning rates and schedules; with fits of
    several lengths over the longest, in which evaluating the curves costs least.
    """
    settings = table.columns[: table.columns.get_loc(OUTCOMES[0])]
    work = [name for name in settings if name not in (*UNTIMED, *REMARKS)]
    # Images in their own shapes are different work.
    shaped = not table["size"].all() or ("resize" in table and (table["resize"] == "fit").any())
    by = [table[name] for name in work if name != "image" or shaped]
    # The seconds of a member that was not fitted to its last step are not those of all steps.
    whole = table["steps"].where(table["status"] == "ok")
    longest = whole == whole.groupby(by, dropna=False).transform("max")
    return (table["seconds"] / table["steps"]).where(longest).groupby(by, dropna=False).transform("median")


def time_steps(members: Members, rounds: int = ROUNDS) -> pd.Series:
    """Measure the seconds of a step of each member now: its work is fitted again for some steps, all works in turn.

    A run fits one way after another, so other load on the machine may slow one of them and not the next; taken in turn
    they share it. Of members fitted side by side each has its share.
    """

    def work(batch: Batch) -> tuple:
        design = batch.design.replace(schedule="constant", steps=0)
        shaped = not batch.data.size or batch.data.get("resize") == "fit"
        shared = {*catalogue(Problem)} - (set() if shaped else {"image"})
        return design, tuple((name, value) for name, value in batch.data.items() if name in shared)

    every = batches(members.grid, range(len(members.keys)))
    # For each work the batch of the longest fits with most members: they are fitted side by side as they were.
    timed = {work(each): each for each in sorted(every, key=lambda each: (each.design.steps, len(each.rows)))}
    turns = [{key: _time_step(each, members.task(each.data)) for key, each in timed.items()} for _ in range(rounds)]
    took = {key: pd.Series([turn[key] for turn in turns]).median() for key in timed}
    seconds = pd.Series(np.nan, range(len(members.keys)))
    for batch in every:
        seconds[batch.rows] = took[work(batch)]
    return seconds


class _Enough(Exception):
    """Enough steps have been timed."""


def _time_step(batch: Batch, task: Task) -> float:
    """Measure the seconds of a step of a member, over a fifth of a fit, after its beginning."""
    steps = batch.design.steps
    plan = planned(batch.design, batch.hypers, task)
    rows = np.arange(min(plan.chunk, len(batch.rows)))
    marks: list[tuple[int, float]] = []

    def after(checkpoint: Checkpoint) -> int:
        marks.append((checkpoint.step, time.perf_counter()))
        if len(marks) > 3:
            raise _Enough
        return max(1, steps // 10)

    with contextlib.suppress(_Enough):
        hypers = member_of(batch.hypers, padded(rows, plan.chunk))
        advance(batch.design, hypers, task, plan, np.asarray([0, steps]), steps, after)
    if len(marks) < 2:
        return float("nan")
    # Before the first mark is the beginning, before the second a point of the curves.
    (first, begun), (last, done) = marks[min(1, len(marks) - 2)], marks[-1]
    return (done - begun) / (last - first) / len(rows)


def timing_noise(table: pd.DataFrame) -> tuple[float, float]:
    """The 10 % and 90 % quantiles of step time over its median, a measure of timing noise."""
    whole = table[table["status"] == "ok"]
    times = (whole["seconds"] / whole["steps"] / step_seconds(whole)).quantile([0.1, 0.9])
    return float(times.iloc[0]), float(times.iloc[1])


def ways_of(table: pd.DataFrame) -> pd.Series:
    """The way of each member: its label and what varies within one, or its settings, without seed and image."""
    columns = label_columns(summarize(table))
    return pd.Series([row_label(row, columns) for _, row in table.iterrows()], table.index)


def lines(table: pd.DataFrame, curves: xr.Dataset, on: str = "train", seconds: pd.Series | None = None) -> list[Line]:
    """The curves of a run's members against seconds, on "train" or "heldout" pixels, in the table's order of the ways.

    `seconds` are those of each member's step, by default `step_seconds`.
    Raises Refused where there are no curves.
    """
    seconds = step_seconds(table) if seconds is None else seconds
    psnr = curves[f"history_{on}"].to_numpy().astype(float)
    steps = curves["step"].to_numpy()
    if np.isfinite(psnr).sum(axis=1).max(initial=0) < 2:
        raise Refused(f"this run has no training curves of {on} pixels")
    result = []
    for (way, image), group in table.groupby([ways_of(table), table["image"]], sort=False):
        mine = psnr[group.index]
        # A member that failed has no curve, so its way has none here either; one that diverged stays where it was.
        seen = np.isfinite(mine).any(axis=0)
        if not seen.any():
            continue
        result.append(Line(way, image, steps[seen] * seconds[group.index].median(), mine[:, seen].mean(axis=0)))
    return result


def ends(table: pd.DataFrame, seconds: pd.Series | None = None) -> list[Line]:
    """PSNR over all pixels at the end of fits, against their seconds: stairs over the lengths of each way's fits.

    Under a schedule that ends with the fit, a shorter one is ahead of the same seconds of a longer one.
    `seconds` are those of each member's step, by default `step_seconds`.
    Raises Refused where no fit has such a score.
    """
    seconds = step_seconds(table) if seconds is None else seconds
    # A length of which a seed did not reach the end has none here.
    score = table["psnr_all"].where(table["status"] == "ok") if "psnr_all" in table else pd.Series(np.nan, table.index)
    result = []
    for (way, image), rows in table.groupby([ways_of(table.assign(steps=0)), "image"], sort=False).groups.items():
        steps = table["steps"][rows]
        psnr = score[rows].groupby(steps).apply(lambda seeds: seeds.mean(skipna=False)).dropna()
        took = seconds[rows].groupby(steps).median()[psnr.index] * psnr.index
        if len(psnr):
            result.append(Line(way, image, np.repeat(took.to_numpy(), 2)[1:], np.repeat(psnr.to_numpy(), 2)[:-1]))
    if not result:
        raise Refused("this run has no scores of all pixels at the end of a fit")
    return result


def seconds_to(line: Line, target: float) -> float:
    """Seconds until the curve first reaches the target, linear between its points; NaN where it never does."""
    above = np.flatnonzero(line.psnr >= target)
    if not len(above):
        return float("nan")
    at = above[0]
    if at == 0:
        return float(line.seconds[0])
    part = (target - line.psnr[at - 1]) / (line.psnr[at] - line.psnr[at - 1])
    return float(line.seconds[at - 1] + part * (line.seconds[at] - line.seconds[at - 1]))


def highest(line: Line, part: float) -> float:
    """The highest PSNR of the curve in this first part of its seconds."""
    until = part * line.seconds[-1]
    before = line.psnr[line.seconds <= until]
    return float(max(before.max(), np.interp(until, line.seconds, line.psnr)))


def race(curves: Sequence[Line], reference: str = "", targets: Sequence[float] = ()) -> pd.DataFrame:
    """Seconds of every way to every target on every image, and their ratio to those of the reference, the first way.

    `targets` are PSNRs; by default each image has its own, what the reference reaches there in parts of its steps.
    Columns: `way`, `image`, `target` (its name), `psnr`, `seconds`, `ratio`; NaN where one is never reached.
    Raises Refused for a reference that is none of the ways.
    """
    ways = list(dict.fromkeys(line.way for line in curves))
    reference = reference or ways[0]
    if reference not in ways:
        raise Refused(f"--reference={reference} is no way of this run; {nearest(reference, ways)}")
    first = {line.image: line for line in curves if line.way == reference}
    rows = []
    for line in (line for line in curves if line.image in first):
        defaults = {f"{part:.0%} of the steps": highest(first[line.image], part) for part in PARTS}
        for name, psnr in ({f"{value:g} dB": value for value in targets} or defaults).items():
            seconds, base = seconds_to(line, psnr), seconds_to(first[line.image], psnr)
            ratio = seconds / base if base else float("nan")
            rows.append((line.way, line.image, name, psnr, seconds, ratio))
    return pd.DataFrame(rows, columns=["way", "image", "target", "psnr", "seconds", "ratio"])


def summary(races: pd.DataFrame, reference: str = "") -> pd.DataFrame:
    """Summarise by way and target, over the images where the reference arrives: geometric means of seconds and ratio.

    `spread` is the factor of the ratio's 95 % interval, for few images of half its range. Where a way does not arrive
    on all images its means are NaN, as they would be of the easy ones: it has `reached` so many of `images`.
    """
    reference = reference or races["way"].iloc[0]
    arrives = races[(races["way"] == reference) & races["seconds"].notna()]
    asked = races.merge(arrives[["image", "target"]], on=["image", "target"])
    rows = []
    for (way, target), group in asked.groupby(["way", "target"], sort=False):
        # A target below the beginning takes no time, which has no logarithm.
        with np.errstate(divide="ignore", invalid="ignore"):
            seconds, ratios = (np.log(group[name]) for name in ("seconds", "ratio"))
            mean = {"seconds": seconds.mean(skipna=False), "ratio": ratios.mean(skipna=False)}
            half = half_width(ratios) if ratios.notna().all() else float("nan")
        counted = {"reached": int(group["seconds"].notna().sum()), "images": len(group)}
        means = {name: float(np.exp(value)) for name, value in {**mean, "spread": half}.items()}
        rows.append({"way": way, "target": target, "psnr": group["psnr"].mean(), **means, **counted})
    return pd.DataFrame(rows, columns=["way", "target", "psnr", "seconds", "ratio", "spread", "reached", "images"])


def format_summary(summed: pd.DataFrame, curves: Sequence[Line]) -> str:
    """Format the summary for a terminal: a row for each way, with the seconds of a whole fit, a column per target."""
    shown = {}
    for way in dict.fromkeys(line.way for line in curves):
        mine = summed[summed["way"] == way].set_index("target")
        whole = np.median([line.seconds[-1] for line in curves if line.way == way])
        shown[way] = {f"{name} ({row['psnr']:.1f} dB)": _cell(row) for name, row in mine.iterrows()}
        shown[way] |= {"a fit (s)": f"{whole:.3g}"}
    table = pd.DataFrame.from_dict(shown, orient="index").fillna("-")
    return fold_table({"": list(table.index), **table.to_dict("list")}, [""])


def _cell(row: pd.Series) -> str:
    if row["reached"] < row["images"]:
        return f"on {row['reached']} of {row['images']}"
    spread = f" ×/÷ {row['spread']:.2f}" if row["spread"] > 1 else ""
    times = "" if np.isnan(row["ratio"]) else f"{row['ratio']:.2f}{spread} "
    return f"{times}({row['seconds']:.3g} s)"


def chart(curves: Sequence[Line], on: str = "train") -> Figure:
    """Plot median PSNR over images against seconds, a line for each way."""
    figure, axes = style.canvas(7.2, 4.6)
    for number, way in enumerate(list(dict.fromkeys(line.way for line in curves))[:MOST_LINES]):
        mine = [line for line in curves if line.way == way]
        # Those that were not pruned on their way.
        mine = [line for line in mine if len(line.psnr) == max(len(each.psnr) for each in mine)]
        # Images of different sizes take different times.
        seconds = np.median([line.seconds for line in mine], axis=0)
        psnr = np.median([line.psnr for line in mine], axis=0)
        dashes = "-" if number < len(style.COLORS) else "--"
        later = seconds > 0  # on a logarithmic axis
        marks = 2 if on == "all" else 4  # at the corners of the stairs that are ends of fits
        axes.plot(seconds[later], psnr[later], dashes, markevery=marks, label=way, **style.marked_line(number, 4))
    style.log_axis(axes)
    axes.set_xlabel("seconds")
    axes.set_ylabel(f"PSNR on {scored_on(f'psnr_{on}')} (dB)")
    style.legend_above(figure, axes)
    return figure
