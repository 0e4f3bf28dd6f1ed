"""Figures of a table of results: PSNR against one setting, over two, and of each setting."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inr_jax.fit.design import Fit
from inr_jax.report import summary as tables
from inr_jax.report.plots_members import COLORS, MARKERS, STYLE, canvas, in_decades, legend_above, literal, plain
from inr_jax.settings import catalogue

MOST_LINES, MOST_PANELS = 6, 4


def main_axis(table: pd.DataFrame) -> str | None:
    """The numeric setting to draw PSNR against: the scale if it varies, else the one with most values; or None.

    None too where the members have labels: they are a list to compare, not points of a curve.
    """
    if "label" in table:
        return None
    counts = {
        name: table[name].nunique()
        for name in tables.varying(table)
        if name not in tables.REPEATED and pd.api.types.is_numeric_dtype(table[name]) and not table[name].isna().all()
    }
    enough = {name: count for name, count in counts.items() if count >= 3}
    return "scale" if "scale" in enough else max(enough, key=lambda name: enough[name], default=None)


def band_said(table: pd.DataFrame) -> str:
    """What the bands of `against` are, as half a sentence."""
    number, units = tables.units_of(table)
    kind = "are 95 % intervals over" if number >= tables.INTERVAL_FROM else "run from the lowest to the highest of"
    return f"bands {kind} {number} {units}" if units else "one seed and one image each"


def lines_of(table: pd.DataFrame, axis: str) -> tuple[list[str], list[tuple[tuple, pd.DataFrame]]]:
    """The settings beside the axis, and the members by their values: what is a line of `against`, the best first."""
    others = [name for name in tables.varying(table) if name not in (*tables.REPEATED, axis)]
    groups = _groups(table[table[axis].notna()], others)
    score = tables.criterion(table)

    def best(group: pd.DataFrame) -> float:
        return np.nan_to_num(group[group["status"] == "ok"].groupby(axis)[score].mean().max(), nan=-np.inf)

    return others, sorted(groups, key=lambda pair: -best(pair[1]))


def against(table: pd.DataFrame, axis: str, baselines: pd.DataFrame, foreseen: pd.DataFrame | None = None) -> Figure:
    """PSNR against one setting: training and held-out pixels, with a band (see `band_said`).

    `foreseen`: what the kernel says of members, by their row in the table.
    """
    figure, axes = canvas(7.2, 4.4)
    others, groups = lines_of(table, axis)
    short = tables.distinguishing(table, others)
    for number, (values, group) in enumerate(groups[:MOST_LINES]):
        name = _called({n: v for n, v in zip(others, values, strict=True) if n in short})
        for score, said in (("psnr_train", "training pixels"), ("psnr_heldout", "held-out pixels")):
            _band(axes, group, axis, score, number, f"{name} {said}".strip())
        if foreseen is not None:
            kernel = (
                foreseen.loc[foreseen.index.intersection(group.index)].groupby(axis)["psnr_heldout"].mean().dropna()
            )
            said = f"{name} kernel regression, held-out pixels".strip()
            axes.plot(kernel.index, kernel, color=COLORS[number % len(COLORS)], linestyle="--", label=said)
        if "published" in group and group["published"].notna().any():
            printed = group.groupby(axis)["published"].mean()
            style: dict[str, Any] = {"color": COLORS[number % len(COLORS)], "markersize": 12, "linestyle": "none"}
            axes.plot(printed.index, printed, marker="_", markeredgewidth=2, label=f"{name} published", **style)
    reference(axes, baselines)
    if _logarithmic(table[axis]):
        in_decades(axes)
    axes.set_xlabel(_with_unit(axis))
    axes.set_ylabel("PSNR (dB)")
    axes.legend(fontsize=8, frameon=False) if len(groups) < 3 else legend_above(figure, axes, columns=2)
    return figure


def kinds_of_frequencies(table: pd.DataFrame) -> str | None:
    """The setting by which members get their frequencies in different ways, if one varies where they are random."""
    drawn = table[table["scale"].notna() & table["rms_frequency"].notna()]
    return next((name for name in ("family", "learn_frequencies") if drawn[name].nunique() > 1), None)


def over_frequencies(table: pd.DataFrame, kind: str, baselines: pd.DataFrame) -> Figure:
    """PSNR of every member against the root mean square of its B, a panel for each of its other settings.

    As figures 4 and 9 of Tancik et al. 2020: with a few frequencies drawn, their spread is not what was asked for.
    """
    score = tables.criterion(table)
    good = table[(table["status"] == "ok") & table["rms_frequency"].notna() & table[kind].notna()]
    others = [n for n in tables.varying(good) if n not in (*tables.REPEATED, "scale", kind)]
    panels = _groups(good, others)[:MOST_PANELS]
    kinds, named = good[kind].unique().tolist(), set()
    figure = Figure(figsize=(1.4 + 3.4 * len(panels), 4.2), layout="constrained")
    drawn = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (values, panel) in zip(drawn, panels, strict=True):
        plain(axes)
        for value, group in panel.groupby(kind, sort=False):
            number = kinds.index(value)
            style = {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)]}
            name = "" if value in named else f"{kind} {tables.cell(value)}"
            named.add(value)
            axes.plot(
                group["rms_frequency"], group[score], linestyle="none", markersize=4, alpha=0.7, label=name, **style
            )
        reference(axes, tables.baselines_of(baselines, panel), named=axes is drawn[0])
        if _logarithmic(panel["rms_frequency"]):
            in_decades(axes)
        axes.set_title(_called(dict(zip(others, values, strict=True))), fontsize=9)
        axes.set_xlabel("rms of B's entries (cycles per image side)")
    drawn[0].set_ylabel(f"PSNR on {tables.pixels_of(score)} pixels (dB)")
    figure.legend(fontsize=8, frameon=False, loc="outside upper center", ncols=2 * min(2, len(panels)))
    return figure


def surface_axes(table: pd.DataFrame) -> tuple[str, str] | None:
    """The two numeric settings that span a surface: the only ones that vary, with at least five values each."""
    if "label" in table:
        return None
    names = [name for name in tables.varying(table) if name not in tables.REPEATED]
    wide = [name for name in names if pd.api.types.is_numeric_dtype(table[name]) and table[name].nunique() >= 5]
    return (wide[0], wide[1]) if len(names) == len(wide) == 2 else None


def surface(table: pd.DataFrame, x: str, y: str) -> Figure:
    """PSNR over two settings as a heat map, means over seeds and images; a star at its best, crosses where a member
    diverged or failed, points where one was pruned."""
    score = tables.criterion(table)
    summed = tables.summary(table)
    cells = summed.pivot(index=y, columns=x, values=score)
    wrong, pruned = (summed["diverged"] + summed["failed"]) > 0, summed["pruned"] > 0
    figure, axes = canvas(7.2, 5.0)
    axes.grid(False)
    values = cells.to_numpy(float)
    # What is far below the rest would take all the colours.
    low = np.nanquantile(values, 0.02) if np.isfinite(values).any() else 0.0
    image = axes.pcolormesh(_edges(cells.columns), _edges(cells.index), values, cmap="viridis", vmin=low)
    for name, set_scale in ((x, axes.set_xscale), (y, axes.set_yscale)):
        if _logarithmic(table[name]):
            set_scale("log")
    for which, mark, color, label in (
        (pruned & ~wrong, ".", "#777777", "pruned"),
        (wrong, "x", "#D55E00", "diverged or failed"),
    ):
        if which.any():
            axes.plot(summed.loc[which, x], summed.loc[which, y], mark, color=color, markersize=5, label=label)
    winner = None if {x, y} & set(tables.problems_of(table)) else tables.best(summed)
    if winner:
        best = summed.iloc[winner.place]
        axes.plot(best[x], best[y], "*", color="white", markeredgecolor="black", markersize=14, label="best")
    figure.colorbar(image, ax=axes, label=f"PSNR on {tables.pixels_of(score)} pixels (dB)")
    axes.set_xlabel(_with_unit(x))
    axes.set_ylabel(_with_unit(y))
    if axes.get_legend_handles_labels()[1]:
        legend_above(figure, axes, columns=3)
    return figure


def compared(table: pd.DataFrame, baselines: pd.DataFrame) -> Figure:
    """PSNR of every setting, one line each: training, held-out and all pixels, and the published figure."""
    summed = tables.summary(table)
    names = [literal(tables.named(row, tables.told_apart(summed))) for _, row in summed.iterrows()]
    figure, axes = canvas(7.2, 1.2 + 0.36 * len(names))
    rows = np.arange(len(names))[::-1]
    marks = {
        "psnr_train": ("o", "training pixels"),
        "psnr_heldout": ("s", "held-out pixels"),
        "psnr_all": ("D", "all pixels"),
    }
    for (score, (mark, said)), color in zip(marks.items(), COLORS, strict=False):
        if summed[score].notna().any():
            axes.plot(summed[score], rows, mark, color=color, label=said, markersize=6, alpha=0.9)
    if "published" in summed and summed["published"].notna().any():
        axes.plot(
            summed["published"],
            rows,
            "|",
            color="black",
            markersize=16,
            markeredgewidth=2,
            label="published",
        )
    reference(axes, baselines, vertical=True)
    axes.set_yticks(rows, names, fontsize=8)
    axes.set_xlabel("PSNR (dB)")
    legend_above(figure, axes, columns=3)
    return figure


def _groups(table: pd.DataFrame, by: list[str]) -> list[tuple[tuple, pd.DataFrame]]:
    """The members by their values of these settings; all together where there are none."""
    return list(table.groupby(by, sort=False, dropna=False)) if by else [((), table)]


def _called(values: dict[str, Any]) -> str:
    """Settings and their values, as a name."""
    return literal(", ".join(f"{name} {tables.cell(value)}" for name, value in values.items()))


def _logarithmic(values: pd.Series) -> bool:
    return bool(values.min() > 0 and values.max() / values.min() > 8)


def _with_unit(name: str) -> str:
    unit = known[name].about.unit if name in (known := catalogue(Fit)) else ""
    return f"{name} ({unit})" if unit else name


def _edges(centres: pd.Index) -> np.ndarray:
    """The borders of cells around these centres, half-way between them, on a logarithmic axis in ratios."""
    at = np.log(centres.to_numpy(float)) if _logarithmic(centres.to_series()) else centres.to_numpy(float)
    middle = (at[1:] + at[:-1]) / 2
    edges = np.concatenate([[2 * at[0] - middle[0]], middle, [2 * at[-1] - middle[-1]]])
    return np.exp(edges) if _logarithmic(centres.to_series()) else edges


def _band(axes: Axes, group: pd.DataFrame, axis: str, score: str, number: int, name: str) -> None:
    """A line through the means over seeds and images, a band around it, crosses where a member has no score."""
    color = COLORS[number % len(COLORS)]
    good = group[(group["status"] == "ok") & group[score].notna()]
    unit = tables.over(group) or "seed"
    good = good.groupby([axis, unit])[score].mean().groupby(axis)
    if good.ngroups:
        mean, low, high = good.mean(), good.min(), good.max()
        if group[unit].nunique() >= tables.INTERVAL_FROM:
            half = good.agg(tables.half_interval)
            low, high = mean - half, mean + half
        style = STYLE["train"] if score == "psnr_train" else {}
        mark = MARKERS[number % len(MARKERS)]
        axes.plot(mean.index, mean, color=color, marker=mark, markersize=3, label=name, **style)
        axes.fill_between(mean.index, low, high, color=color, alpha=0.15, linewidth=0)
    for status in tables.BAD if score == "psnr_heldout" else ():
        bad = group.loc[group["status"] == status, axis]
        if len(bad):
            mark, bottom = {"diverged": "x", "failed": "1", "pruned": "."}[status], axes.get_ylim()[0]
            axes.plot(bad, np.full(len(bad), bottom), mark, color=color, label=f"{name}: {status}")


def reference(axes: Axes, baselines: pd.DataFrame, vertical: bool = False, named: bool = True) -> None:
    """Linear and cubic interpolation's PSNR (means over images) as dashed grey lines."""
    score = "psnr_all" if vertical else "psnr_heldout"
    for method, value in tables.baseline_means(baselines)[score].items():
        draw = axes.axvline if vertical else axes.axhline
        style = "--" if method == "cubic" else "-."
        draw(
            value,
            color="#777777",
            linewidth=1,
            linestyle=style,
            label=f"{method} interpolation, {'all' if vertical else 'held-out'} pixels" if named else None,
        )
