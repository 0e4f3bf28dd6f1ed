"""What tuning does for each of several networks: the best of k members against k, and where the best settings lie.

Networks are the labels of a study, or what its settings name; each has members at several settings, drawn at random or
on a grid. Both figures are of the sweep's own members: nothing more is fitted.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy.special import gammaln

from inr_jax.report import style
from inr_jax.report.summary import EXCLUDED, Summary, baseline_means, criterion, group_by, summarize
from inr_jax.report.text import row_label, scored_on

# Settings that a network must have been tried at.
LEAST = 8
# The part of draws between the edges of a band.
BAND = (0.1, 0.9)
# The best settings that a bar spans.
NEAR = 3
# Numbers of settings at which the best of them is drawn, and networks, those with the highest scores.
MOST_STEPS, MOST_NETWORKS = 64, 24
COLUMNS = 4


class Tried(NamedTuple):
    """A network and the summary's rows of its settings, with those that vary, and the score that ranks them.

    The score is -inf where a member diverged, failed or was pruned.
    """

    name: str
    rows: pd.DataFrame
    varying: list[str]
    scores: Float[np.ndarray, " n"]


def networks_tried(table: pd.DataFrame) -> list[Tried]:
    """Return the networks that were tried at several settings of numbers, if there are at least two."""
    summary = summarize(table)
    by = ["label"] if "label" in summary.table else [name for name in summary.settings if not _varies(summary, name)]
    found = []
    for _, rows in group_by(summary.table, by):
        varying = [name for name in summary.settings if _varies(summary, name) and rows[name].nunique() > 1]
        name = style.literal(row_label(rows.iloc[0], by)).removeprefix("search: ")
        if varying and len(rows) >= LEAST:
            scores = rows[criterion(table)].where((rows[list(EXCLUDED)] == 0).all(axis=1)).fillna(-np.inf)
            found.append(Tried(name, rows, varying, scores.to_numpy(float)))
    highest = sorted(range(len(found)), key=lambda place: -found[place].scores.max())[:MOST_NETWORKS]
    return [found[place] for place in sorted(highest)] if len(found) > 1 else []


def best_of(scores: Float[np.ndarray, " n"], k: int, part: float) -> float:
    """Return this quantile of the best of k scores that are drawn from n without replacement, exactly.

    The best of k is at most the i-th smallest score with probability C(i, k) / C(n, k).
    """

    def ways(count: Any) -> Any:
        """Of drawing k of so many in order, the logarithm."""
        return gammaln(count + 1) - gammaln(count - k + 1)

    places = np.arange(k, len(scores) + 1)
    below = np.exp(ways(places) - ways(len(scores)))
    return float(np.sort(scores)[k - 1 + np.searchsorted(below, part - 1e-9)])


def plot_risk(tried: list[Tried], score: str, baselines: pd.DataFrame) -> Figure:
    """Plot the best of k settings against k, a panel for each network: the median over draws, and a band of draws.

    Grey lines are the other networks' medians.
    """
    rows = math.ceil(len(tried) / COLUMNS)
    figure = Figure(figsize=(7.2, 0.6 + 1.7 * rows), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True)
    lines = [_quantiles(each.scores) for each in tried]
    shown = np.concatenate([line[2] for line in lines])
    shown = shown[np.isfinite(shown)]
    for number, axes in enumerate(panels.ravel()):
        style.light_axes(axes)
        if number >= len(tried):
            axes.set_visible(False)
            continue
        for line in lines:
            axes.plot(line[0], _finite(line[2]), color="#cccccc", linewidth=0.8)
        steps, *quantiles = lines[number]
        low, middle, high = map(_finite, quantiles)
        bottom = np.nan_to_num(low, nan=-1e3)
        axes.fill_between(steps, bottom, high, color=style.color(0), alpha=0.2, linewidth=0)
        axes.plot(steps, middle, color=style.color(0), linewidth=2)
        for method, value in baseline_means(baselines).get("psnr_heldout", pd.Series(dtype=float)).items():
            axes.axhline(value, color=style.GREY, linewidth=0.8, linestyle=style.DASHES.get(str(method), "-"))
        each = tried[number]
        lost = int((each.rows[list(EXCLUDED)] > 0).any(axis=1).sum())
        axes.set_title(each.name + (f" ({lost} of {len(each.rows)} lost)" if lost else ""), fontsize=8)
        axes.tick_params(labelsize=7)
        style.log_axis(axes)
    if len(shown):
        margin = 0.05 * (shown.max() - shown.min()) + 0.1
        panels[0, 0].set_ylim(shown.min() - margin, shown.max() + margin)
    figure.supxlabel("settings tried, k", fontsize=9)
    figure.supylabel(f"best of k, PSNR on {scored_on(score)} (dB)", fontsize=9)
    return figure


def plot_places(tried: list[Tried]) -> Figure:
    """Plot where in the range that was tried each number is best, for training pixels and for held-out ones.

    A row for each number of each network; bars span the best `NEAR` settings.
    """
    lines = [(each, name) for each in tried if np.isfinite(each.scores).any() for name in each.varying]
    figure, axes = style.canvas(7.2, 1.0 + 0.2 * len(lines))
    for height, (each, name) in enumerate(reversed(lines)):
        values = each.rows[name].to_numpy(float)
        place = _places(values)
        for number, which in enumerate(("psnr_train", "psnr_heldout")):
            there = np.flatnonzero(np.isfinite(each.scores))
            near = place[there[np.argsort(-each.rows[which].to_numpy(float)[there])][:NEAR]]
            y = height + 0.16 - 0.32 * number
            axes.plot([near.min(), near.max()], [y, y], color=style.color(number), linewidth=2.5, alpha=0.35)
            label = f"best for {scored_on(which)}" if height == 0 else None
            axes.plot(near[0], y, label=label, linestyle="none", **style.marked_line(number, 5))
        first = height == len(lines) - 1 or lines[len(lines) - 2 - height][0] is not each
        if first and height < len(lines) - 1:
            axes.axhline(height + 0.5, color="#cccccc", linewidth=0.8)
        axes.text(1.02, height, _short(values.max()), fontsize=7, va="center")
        axes.text(-0.02, height, _short(values.min()), fontsize=7, va="center", ha="right")
    axes.set_yticks(range(len(lines)), [f"{each.name}: {name}" for each, name in reversed(lines)], fontsize=7)
    axes.tick_params(axis="y", pad=44, length=0)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.6, len(lines) - 0.4)
    axes.set_xticks([0, 0.5, 1], ["lowest", "middle", "highest"])
    axes.set_xlabel("place in the range that was tried")
    style.legend_above(figure, axes)
    return figure


def _quantiles(scores: Float[np.ndarray, " n"]) -> list[np.ndarray]:
    """Numbers of settings, evenly in the logarithm where they are many; of the best of so many low, median, high."""
    steps = np.unique(np.geomspace(1, len(scores), MOST_STEPS).round().astype(int))
    return [
        steps,
        *(np.asarray([best_of(scores, k, part) for k in steps.tolist()]) for part in (BAND[0], 0.5, BAND[1])),
    ]


def _places(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The places of values in their range, from 0 to 1; in the logarithm where they span much."""
    low, high = values.min(), values.max()
    scaled: Any = np.log if low > 0 and high / low > 8 else np.asarray
    return (scaled(values) - scaled(low)) / (scaled(high) - scaled(low))


def _short(value: float) -> str:
    """Return a number with two digits, and no exponent unless it is small."""
    return f"{float(f'{value:.2g}'):g}"


def _finite(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return np.where(np.isfinite(values), values, np.nan)


def _varies(summary: Summary, name: str) -> bool:
    """Whether a setting is a number that is tuned: the members differ in it, and it is no name and no choice."""
    column = summary.table[name]
    return bool(pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column))
