"""Results in words: the line that names the best setting and what chose it, tables for a terminal, numbers with ±."""

import shutil
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from inr_jax.fit.metrics import METRICS, Metric
from inr_jax.report.summary import (
    COSTS,
    EXCLUDED,
    MIN_FOR_INTERVAL,
    Best,
    Summary,
    baseline_means,
    count_replicates,
    distinguishing_settings,
    format_value,
    gaps_to_best,
    is_given,
    rank,
    replicate,
    summarize,
)
from inr_jax.sweep.grid import TOGETHER

# Scores that a table for a terminal leaves out if it is too wide, the first ones first.
WIDE_ONLY = (TOGETHER, "ssim", "psnr_all")


class Finding(NamedTuple):
    """The summary of a study, its best row (None if there is none to name), and the finding as a line, if any."""

    summary: Summary
    best: Best | None
    text: str


def find_best(table: pd.DataFrame, chosen_on: str = "", metrics: Mapping[str, Metric] = METRICS) -> Finding:
    """Summarise the members and name the best setting.

    Where settings of the images and tasks vary, the best is that of the mean over them, and no row of the summary;
    there is none where some settings were tried on other data than others. `chosen_on` names the data that chose the
    settings, if these are not the data of this table.
    """
    averaged, best, _, over, alike = rank(table, metrics)
    summary = summarize(table, metrics) if over else averaged
    if not alike:
        text = f"no best: scores are of different data ({', '.join(over)})"
    elif best:
        text = describe_best(table, averaged, best, chosen_on) + (f" (mean over {', '.join(over)})" if over else "")
    elif averaged.table["pruned"].any():
        text = "no best: no setting was fitted to its last step everywhere (run.keep prunes on each image)"
    else:
        text = ""
    if over:
        return Finding(summary, None, text)
    if best and replicate(table):
        summary = summary._replace(table=summary.table.join(gaps_to_best(table, summary, best)))
    if best and not np.isnan(mean := summary.table.iloc[best.row].get(TOGETHER, np.nan)):
        text += f"; the mean of its seeds' predictions: {format_score(mean, best.score)}"
    return Finding(summary, best, text)


def describe_best(table: pd.DataFrame, summary: Summary, best: Best, chosen_on: str) -> str:
    """Return a line with the best setting, its score, and the data that chose it."""
    row, rivals = summary.table.iloc[best.row], len(summary.table)
    if best.score == "psnr_train":
        choice = (f"on the {scored_on(best.score, table)}: " if rivals > 1 else "") + "none were held out"
    elif chosen_on:
        choice = f"settings chosen on {chosen_on}"
        choice += (
            f"; the best of the {rivals} chosen on the {scored_on(best.score, table)}: oracle" if rivals > 1 else ""
        )
    elif (table["validation"] > 0).all():
        choice = f"chosen on the validation {_kind(best.score, table)} that it is reported on"
    else:
        choice = f"oracle: chosen on the {scored_on(best.score, table)} that it is reported on" if rivals > 1 else ""
    scores = f"{format_score(row[best.score], best.score)} on {scored_on(best.score, table)}"
    if best.score == "psnr_heldout" and not np.isnan(row["psnr_all"]):
        scores += f", {format_score(row['psnr_all'], 'psnr_all')} over all pixels"
    best_of = f"{row_label(row, label_columns(summary))}: " if rivals > 1 else ""
    return f"best: {best_of}{scores}" + (f" ({choice})" if choice else "")


def format_table(summary: Summary, best: Best | None, width: int = 0) -> str:
    """Return the summary as a table for a terminal: settings, scores with ±, the best row marked.

    Settings that a label stands for are in results.csv only, as are, with a line that says so, the scores of
    `WIDE_ONLY` that do not fit the width, by default the terminal's.
    """
    table, width = summary.table, width or terminal_width()
    keys = label_columns(summary)
    columns = {name: [format_value(value) for value in table[name]] for name in keys}
    for score, metric in summary.metrics.items():
        if table[score].notna().any():
            columns[score] = _spreads(table, score, metric.digits)
    if "gap" in table:
        gaps = _spreads(table, "gap", METRICS["psnr_all"].digits)
        columns["to the best"] = ["" if best and row == best.row else gap for row, gap in enumerate(gaps)]
    if TOGETHER in table and table[TOGETHER].notna().any():
        columns[TOGETHER] = _spreads(table, TOGETHER, METRICS["psnr_all"].digits)
    if "published" in table:
        columns["published"] = [format_value(value) for value in table["published"]]
    for status in EXCLUDED:
        if table[status].any():
            columns[status] = [f"{n} of {all_}" for n, all_ in zip(table[status], table["members"], strict=True)]
    if best:
        columns[""] = ["best" if row == best.row else "" for row in range(len(table))]
    dropped = []
    for name in WIDE_ONLY:
        if name in columns and sum(_widths(columns).values()) - 1 > width:
            del columns[name]
            dropped.append(name)
    note = f"\n({width} columns have no room for {', '.join(dropped)}: see results.csv)" if dropped else ""
    return fold_table(columns, keys, width) + note


def terminal_width() -> int:
    """Return the columns of the terminal; 80 where the output goes elsewhere."""
    return shutil.get_terminal_size((80, 24)).columns


def fold_table(columns: Mapping[str, Sequence[str]], keys: Sequence[str], width: int = 0) -> str:
    """Return columns of text as a table of at most this width, by default the terminal's; nothing is cut.

    A wider one is folded into parts, one below the other, that each begin with the columns `keys`, or if these take
    more than half of the width, with the number of the row.
    """
    width, widths = width or terminal_width(), _widths(columns)
    if sum(widths.values()) - 1 > width and sum(widths[name] for name in keys) > width // 2:
        rows = [str(row) for row in range(len(next(iter(columns.values()))))]
        columns, keys = {"#": rows, **columns}, ["#"]
        widths = _widths(columns)
    parts = [list(keys)]
    for name in columns:
        if name not in keys:
            if len(parts[-1]) > len(keys) and sum(widths[each] for each in (*parts[-1], name)) - 1 > width:
                parts.append(list(keys))
            parts[-1].append(name)
    return "\n\n".join(pd.DataFrame({name: columns[name] for name in part}).to_string(index=False) for part in parts)


def _widths(columns: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return the width of each column, with the space after it."""
    return {name: max(map(len, (name, *cells))) + 1 for name, cells in columns.items()}


def format_baselines(baselines: pd.DataFrame, width: int = 0) -> str:
    """Return the baselines for a terminal, in a line, or if it is too long a line each; empty if none were scored."""
    rows = [
        f"{method} " + ", ".join(f"{value:.{METRICS[n].digits}f} {METRICS[n].label}" for n, value in scores.items())
        for method, scores in baseline_means(baselines).iterrows()
    ]
    line = f"without a network (dB): {'; '.join(rows)}" if rows else ""
    return line if len(line) <= (width or terminal_width()) else "\n  ".join(["without a network (dB):", *rows])


def describe_images(table: pd.DataFrame) -> str:
    """Return the images that a table is about, with their size, and what was measured of them."""
    names = table["image"].unique()
    first = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    sizes = " and ".join(f"size {size}" if size else "full size" for size in table["size"].unique())
    kinds = table[["task", "split"]].drop_duplicates().itertuples(index=False)
    measured = [f"task {task}" if task != "split" else f"split {split}" for task, split in kinds]
    return f"{first}, {sizes}, {', '.join(dict.fromkeys(measured))}"


def describe_spread(table: pd.DataFrame) -> str:
    """Return the meaning of ± in a summary of the table."""
    number, units = count_replicates(table)
    kind = "95 % interval" if number >= MIN_FOR_INTERVAL else "half the range"
    return f"± {kind} over {number} {units}" if units else "one member each"


def label_columns(summary: Summary) -> list[str]:
    """Return the columns that distinguish the rows: the label and what varies within one, or else settings.

    None that follows from those before it: of several networks not the numbers that only one of them reads.
    """
    if "label" not in summary.table:
        return distinguishing_settings(summary.table, summary.settings)
    within = summary.table.groupby("label", dropna=False)
    varying = [name for name in summary.settings if within[name].nunique(dropna=False).max() > 1]
    return ["label", *(name for name in varying if name != "validation")]


def row_label(row: pd.Series, names: Sequence[str]) -> str:
    """Return a label for a row from these of its columns, such as "scale 4, width 64"."""
    values = {name: format_value(row[name]) for name in names if is_given(row[name])}
    return ", ".join(v if name == "label" else f"{name} {v}" for name, v in values.items()) or "the only setting"


def scored_on(score: str, table: pd.DataFrame | None = None) -> str:
    """Return what a score is of, such as "held-out pixels"; without a table of members pixels are measured."""
    part = {"psnr_heldout": "held-out", "psnr_all": "all"}.get(score, "training")
    return f"{part} {_kind(score, table)}"


def heading(name: str, metrics: Mapping[str, Metric] = METRICS) -> str:
    """Return the heading of a column: a metric's label and unit, or that of what members take, else the name."""
    if name in COSTS:
        return str(COSTS[name]["label"])
    if name not in metrics:
        return name
    metric = metrics[name]
    label = metric.label or name
    return f"{label} ({metric.unit})" if metric.unit else label


def format_score(value: float, name: str) -> str:
    """Return a score with the digits and the unit of its metric."""
    return f"{value:.{METRICS[name].digits}f} {METRICS[name].unit}".rstrip()


def format_spread(mean: float, half: float, digits: int) -> str:
    """Return a mean and, if there is one, half of its interval."""
    if np.isnan(mean):
        return "-"
    return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if not np.isnan(half) else "")


def _kind(score: str, table: pd.DataFrame | None) -> str:
    """Pixels, or where tasks measure something else, or may, measurements."""
    if table is None or score == "psnr_all" or (table["task"] == "split").all():
        return "pixels"
    return "pixels" if score == "psnr_heldout" and not (table["validation"] > 0).any() else "measurements"


def _spreads(table: pd.DataFrame, name: str, digits: int) -> list[str]:
    pairs = zip(table[name], table[f"{name}_half"], strict=True)
    return [format_spread(mean, half, digits) for mean, half in pairs]
