"""Figures of a table of results: PSNR against one setting, over two, of each setting, and against frequencies."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inr_jax.report import style
from inr_jax.report.selection import lines_along
from inr_jax.report.summary import (
    EXCLUDED,
    MIN_FOR_INTERVAL,
    baseline_means,
    best_row,
    compared_settings,
    count_replicates,
    criterion,
    data_settings,
    distinguishing_settings,
    group_by,
    half_width,
    matching_baselines,
    replicate,
    summarize,
)
from inr_jax.report.text import format_value, label_columns, row_label, scored_on
from inr_jax.sweep.grid import TOGETHER

# Methods whose names are adjectives.
INTERPOLATIONS = ("nearest", "linear", "cubic", "bicubic", "sinc")
MOST_LINES, MOST_PANELS, MOST_ROWS = 6, 4, 60
# More marks than this are pixels in an SVG file, which would be large.
MOST_MARKS = 2000
EXCLUDED_MARKERS = {"diverged": "x", "failed": "1", "pruned": "."}


def plot_curves(
    table: pd.DataFrame,
    axis: str,
    baselines: pd.DataFrame,
    prediction: pd.DataFrame | None = None,
    units: Mapping[str, str] | None = None,
) -> Figure:
    """Plot PSNR against a setting, on training and on held-out pixels, with bands (see `describe_bands`).

    `prediction`: scores of kernel regression by member number. `units`: those of settings.
    """
    figure, axes = style.canvas(6.0, 3.8)
    others, lines = lines_along(table, axis)
    shown = distinguishing_settings(table, others)
    for number, members in enumerate(lines[:MOST_LINES]):
        name = _label(members, shown)
        for score in ("psnr_train", "psnr_heldout"):
            _plot_band(axes, members, axis, score, number, f"{name} {scored_on(score, table)}".strip())
        if TOGETHER in members and members[TOGETHER].notna().any():
            means = members.groupby(axis)[TOGETHER].mean().dropna()
            score = "psnr_heldout" if members["psnr_heldout"].notna().any() else "psnr_all"
            label = f"{name} the seeds together, {scored_on(score, table)}".strip()
            axes.plot(means.index, means, color=style.color(number), lw=1, linestyle=(0, (4, 1, 1, 1)), label=label)
        if prediction is not None:
            rows = prediction.loc[prediction.index.intersection(members.index)]
            means = rows.groupby(axis)["psnr_heldout"].mean().dropna()
            label = f"{name} kernel regression, held-out pixels".strip()
            axes.plot(means.index, means, color=style.color(number), linestyle="--", label=label)
        if "published" in members and members["published"].notna().any():
            means = members.groupby(axis)["published"].mean()
            bar: dict[str, Any] = {"marker": "_", "markersize": 12, "markeredgewidth": 2, "linestyle": "none"}
            axes.plot(means.index, means, color=style.color(number), label=f"{name} published".strip(), **bar)
    draw_baselines(axes, baselines)
    if _is_wide(table[axis]):
        style.log_axis(axes)
    axes.set_xlabel(_axis_label(axis, units))
    axes.set_ylabel("PSNR (dB)")
    style.legend_above(figure, axes)
    return figure


def describe_bands(table: pd.DataFrame) -> str:
    """Return the meaning of the bands of `plot_curves`."""
    number, units = count_replicates(table)
    kind = "are 95 % intervals over" if number >= MIN_FOR_INTERVAL else "span the lowest to the highest of"
    return f"bands {kind} {number} {units}" if units else "one seed and one image each"


def plot_frequencies(table: pd.DataFrame, kind: str, baselines: pd.DataFrame) -> Figure:
    """Plot the PSNR of every member against the root mean square of its B, with a panel for each of its other settings.

    As figures 4 and 9 of Tancik et al. 2020: the spread of a few drawn frequencies is not the one asked for.
    """
    score = criterion(table)
    good = table[(table["status"] == "ok") & table["rms_frequency"].notna() & table[kind].notna()]
    others = [name for name in compared_settings(good) if name not in ("scale", kind)]
    panels = [panel for _, panel in group_by(good, others)][:MOST_PANELS]
    kinds, labelled = good[kind].unique().tolist(), set()
    figure = Figure(figsize=(1.4 + 2.4 * len(panels), 3.8), layout="constrained")
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(row, panels, strict=True):
        style.light_axes(axes)
        for value, members in panel.groupby(kind, sort=False):
            number = kinds.index(value)
            options = style.marked_line(number, 4) | {
                "linestyle": "none",
                "alpha": 0.7,
                "rasterized": len(good) > MOST_MARKS,
            }
            label = "" if value in labelled else f"{kind} {format_value(value)}"
            labelled.add(value)
            axes.plot(members["rms_frequency"], members[score], label=label, **options)
        draw_baselines(axes, matching_baselines(baselines, panel), labelled=axes is row[0])
        if _is_wide(panel["rms_frequency"]):
            style.log_axis(axes)
        axes.set_title(_label(panel, others), fontsize=9)
        axes.set_xlabel("rms frequency (cycles per image side)")
    row[0].set_ylabel(f"PSNR on {scored_on(score, table)} (dB)")
    figure.legend(fontsize=8, frameon=False, loc="outside upper center", ncols=2 * min(2, len(panels)))
    return figure


def plot_surface(table: pd.DataFrame, x: str, y: str, units: Mapping[str, str] | None = None) -> Figure:
    """Plot PSNR over two settings as a heat map, means over seeds and images.

    A star marks the best, crosses settings with a member that diverged or failed, dots those that were pruned.
    """
    summary, score = summarize(table), criterion(table)
    rows = summary.table
    cells = rows.pivot(index=y, columns=x, values=score)
    wrong, pruned = (rows["diverged"] + rows["failed"]) > 0, rows["pruned"] > 0
    figure, axes = style.canvas(6.0, 4.4)
    axes.grid(False)
    values = cells.to_numpy(float)
    # Outliers far below the rest would take all the colours.
    low = np.nanquantile(values, 0.02) if np.isfinite(values).any() else 0.0
    image = axes.pcolormesh(
        _edges(cells.columns), _edges(cells.index), values, cmap="viridis", vmin=low, rasterized=True
    )
    for name, set_scale in ((x, axes.set_xscale), (y, axes.set_yscale)):
        if _is_wide(table[name]):
            set_scale("log")
    for which, mark, line_color, label in (
        (pruned & ~wrong, ".", style.GREY, "pruned"),
        (wrong, "x", style.COLORS[1], "diverged or failed"),
    ):
        if which.any():
            axes.plot(rows.loc[which, x], rows.loc[which, y], mark, color=line_color, markersize=5, label=label)
    best = None if {x, y} & set(data_settings(table)) else best_row(summary)
    if best:
        row = rows.iloc[best.row]
        axes.plot(row[x], row[y], "*", color="white", markeredgecolor="black", markersize=14, label="best")
    figure.colorbar(image, ax=axes, label=f"PSNR on {scored_on(score, table)} (dB)")
    axes.set_xlabel(_axis_label(x, units))
    axes.set_ylabel(_axis_label(y, units))
    if axes.get_legend_handles_labels()[1]:
        style.legend_above(figure, axes, columns=3)
    return figure


def plot_settings(table: pd.DataFrame, baselines: pd.DataFrame) -> Figure:
    """Plot the PSNR of every setting, one row each, on training, held-out and all pixels; and published values.

    Of more than `MOST_ROWS` settings, those of a label share a row, in which the best is marked.
    """
    summary = summarize(table)
    rows, shared = summary.table, len(summary.table) > MOST_ROWS and "label" in summary.table
    columns = ["label"] if shared else label_columns(summary)
    labels = [style.literal(row_label(row, columns)) for _, row in rows.iterrows()]
    names = list(dict.fromkeys(labels)) if shared else labels
    figure, axes = style.canvas(6.0, 1.2 + 0.36 * len(names))
    heights = np.arange(len(names))[::-1]
    places = heights[[names.index(label) for label in labels]] if shared else heights
    best = rows.index
    if shared:
        complete = rows[(rows[list(EXCLUDED)] == 0).all(axis=1) & rows[criterion(table)].notna()]
        best = complete.groupby("label")[criterion(table)].idxmax()
    marks = {
        "psnr_train": ("o", scored_on("psnr_train", table)),
        "psnr_heldout": ("s", scored_on("psnr_heldout", table)),
        "psnr_all": ("D", "all pixels"),
    }
    for number, (score, (mark, label)) in enumerate(marks.items()):
        if rows[score].notna().any():
            options: dict[str, Any] = {"color": style.color(number), "label": label, "markersize": 6, "alpha": 0.9}
            axes.plot(rows[score][best], places[best], mark, **options)
            if shared:
                axes.plot(
                    rows[score],
                    places,
                    ".",
                    color=style.color(number),
                    markersize=4,
                    alpha=0.35,
                    rasterized=len(rows) > MOST_MARKS,
                )
    if "published" in rows and rows["published"].notna().any():
        options = {"color": "black", "label": "published", "markersize": 16, "markeredgewidth": 2}
        axes.plot(rows["published"], places, "|", **options)
    draw_baselines(axes, baselines, vertical=True)
    axes.set_yticks(heights, names, fontsize=8)
    axes.set_xlabel("PSNR (dB)")
    style.legend_above(figure, axes, columns=3)
    return figure


def has_few_methods(baselines: pd.DataFrame) -> bool:
    """Return whether the methods without a network are few enough to be drawn as lines."""
    return len(baseline_means(baselines)) <= MOST_LINES


def draw_baselines(axes: Axes, baselines: pd.DataFrame, vertical: bool = False, labelled: bool = True) -> None:
    """Draw the PSNR of what needs no network, means over images, as grey lines: on held-out pixels, vertical on all.

    None where there are too many to be told apart, such as those of several tasks.
    """
    score = "psnr_all" if vertical else "psnr_heldout"
    if not has_few_methods(baselines):
        return
    for method, value in baseline_means(baselines)[score].items():
        draw = axes.axvline if vertical else axes.axhline
        word = " interpolation" if method in INTERPOLATIONS else ""
        label = f"{method}{word}, {scored_on(score)}" if labelled else None
        draw(value, color=style.GREY, linewidth=1, linestyle=style.DASHES.get(str(method), "-"), label=label)


def _plot_band(axes: Axes, members: pd.DataFrame, axis: str, score: str, number: int, label: str) -> None:
    """Plot a line through the means over seeds and images, a band around it, and at the bottom what has no score."""
    good = members[(members["status"] == "ok") & members[score].notna()]
    unit = replicate(members) or "seed"
    points = good.groupby([axis, unit])[score].mean().groupby(axis)
    if points.ngroups:
        mean, low, high = points.mean(), points.min(), points.max()
        if members[unit].nunique() >= MIN_FOR_INTERVAL:
            half = points.agg(half_width)
            low, high = mean - half, mean + half
        options = style.marked_line(number, 3) | (style.TRAINING_LINE if score == "psnr_train" else {})
        axes.plot(mean.index, mean, label=label, **options)
        axes.fill_between(mean.index, low, high, color=style.color(number), alpha=0.15, linewidth=0)
    for status in EXCLUDED if score == "psnr_heldout" else ():
        places = members.loc[members["status"] == status, axis]
        if len(places):
            bottom = np.full(len(places), axes.get_ylim()[0])
            axes.plot(places, bottom, EXCLUDED_MARKERS[status], color=style.color(number), label=f"{label}: {status}")


def _label(members: pd.DataFrame, settings: list[str]) -> str:
    """Return the values of these settings, which the members share."""
    return style.literal(row_label(members.iloc[0], settings)) if settings else ""


def _axis_label(name: str, units: Mapping[str, str] | None) -> str:
    unit = (units or {}).get(name)
    return f"{name} ({unit})" if unit else name


def _is_wide(values: pd.Series) -> bool:
    """Whether values span so much that their axis is logarithmic."""
    return bool(values.min() > 0 and values.max() / values.min() > 8)


def _edges(centres: pd.Index) -> np.ndarray:
    """Return the edges of cells around these centres, half-way between them; if the axis is logarithmic, in ratios."""
    wide = _is_wide(centres.to_series())
    values = np.log(centres.to_numpy(float)) if wide else centres.to_numpy(float)
    middle = (values[1:] + values[:-1]) / 2
    edges = np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])
    return np.exp(edges) if wide else edges
