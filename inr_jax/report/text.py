"""Results in words: the line that names the best setting and what chose it, tables for a terminal, numbers with ±."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from inr_jax.fit.metrics import METRICS, Metric
from inr_jax.report.summary import (
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
        choice = f"on the {scored_on(best.score, table)}: none were held out"
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
    return f"best: {row_label(row, label_columns(summary))}: {scores}" + (f" ({choice})" if choice else "")


def format_table(summary: Summary, best: Best | None) -> str:
    """Return the summary as a table for a terminal: settings, scores with ±, the best row marked.

    Settings that a label stands for are in results.csv only.
    """
    table = summary.table
    columns = {name: [format_value(value) for value in table[name]] for name in label_columns(summary)}
    for score, metric in summary.metrics.items():
        if table[score].notna().any():
            columns[score] = _spreads(table, score, metric.digits)
    if "gap" in table:
        columns["to the best"] = _spreads(table, "gap", METRICS["psnr_all"].digits)
    if TOGETHER in table and table[TOGETHER].notna().any():
        columns["seeds together"] = _spreads(table, TOGETHER, METRICS["psnr_all"].digits)
    if "published" in table:
        columns["published"] = [format_value(value) for value in table["published"]]
    for status in EXCLUDED:
        if table[status].any():
            columns[status] = [f"{n} of {all_}" for n, all_ in zip(table[status], table["members"], strict=True)]
    columns[""] = ["<- best" if best and row == best.row else "" for row in range(len(table))]
    return pd.DataFrame(columns).to_string(index=False)


def format_baselines(baselines: pd.DataFrame) -> str:
    """Return the baselines as a line for a terminal; empty if nothing was held out."""
    rows = [
        f"{method} " + ", ".join(f"{value:.{METRICS[n].digits}f} {METRICS[n].label}" for n, value in scores.items())
        for method, scores in baseline_means(baselines).iterrows()
    ]
    return f"without a network (dB): {'; '.join(rows)}" if rows else ""


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
    """Return the heading of a column: a metric's label and unit, else the name."""
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
