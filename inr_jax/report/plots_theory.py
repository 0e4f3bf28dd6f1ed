"""Figures of what the theory says: predicted curves, and what a choice made by them costs."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from inr_jax.kernel import of_study as foresight
from inr_jax.report import summary as tables
from inr_jax.report.plots_members import COLORS, MARKERS, STYLE, canvas, in_decades, legend_above, literal, plain
from inr_jax.report.plots_sweep import reference

MOST_LINES = 6


def foreseen(table: pd.DataFrame, baselines: pd.DataFrame) -> Figure:
    """Predicted PSNR against the scale: on held-out pixels, and by half of the training pixels of the other half."""
    figure, axes = canvas(7.2, 4.4)
    others = [name for name in foresight.swept(table) if name not in (*foresight.READ, *foresight.UNREAD)]
    groups = table.groupby(others, sort=False, dropna=False) if others else [((), table)]
    for number, (values, group) in enumerate(list(groups)[:MOST_LINES]):
        row = pd.Series(dict(zip(others, np.atleast_1d(values), strict=True)))
        name = literal(tables.named(row, others)) if others else ""
        color, mark = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
        lines = {"psnr_heldout": "held-out pixels", "psnr_validated": "half the training pixels, of the others"}
        for score, said in lines.items():
            if score in group and group[score].notna().any():
                mean = group.groupby("scale")[score].mean()
                style = STYLE["train"] if score == "psnr_validated" else {}
                axes.plot(
                    mean.index, mean, color=color, marker=mark, markersize=3, label=f"{name} {said}".strip(), **style
                )
    reference(axes, baselines)
    in_decades(axes)
    axes.set_xlabel("scale (cycles per image side)")
    axes.set_ylabel("PSNR of kernel regression (dB)")
    legend_above(figure, axes, columns=2)
    return figure


def regrets(choices: pd.DataFrame) -> Figure:
    """What each way of choosing a scale loses against the best one trained: every problem, their mean; by steps."""
    lengths, choosers = sorted(choices["steps"].unique()), list(choices["chooser"].unique())[::-1]
    figure = Figure(figsize=(3.2 + 3.4 * len(lengths), 0.9 + 0.42 * len(choosers)), layout="constrained")
    for axes, steps in zip(figure.subplots(1, len(lengths), squeeze=False, sharey=True)[0], lengths, strict=True):
        plain(axes)
        for row, chooser in enumerate(choosers):
            lost = choices[(choices["steps"] == steps) & (choices["chooser"] == chooser)]["regret"]
            # Side by side where several lose the same.
            shifts = np.linspace(-0.22, 0.22, max(len(lost), 2))[: len(lost)]
            axes.plot(np.sort(lost), row + shifts, ".", color=COLORS[0], markersize=4, alpha=0.6)
            axes.plot(lost.mean(), row, marker="|", color=COLORS[1], markersize=16, markeredgewidth=2.5)
        axes.set_yticks(range(len(choosers)), choosers)
        axes.set_title(f"{steps} steps", fontsize=9)
        axes.set_xlabel("lost against the best scale (dB); bar: mean")
        axes.set_xlim(left=-0.05)
    return figure
