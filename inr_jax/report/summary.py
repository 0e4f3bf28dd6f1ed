"""Summary of a table of results: means over seeds and images, their intervals, the best setting."""

import contextlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.stats

from inr_jax.data import images
from inr_jax.fit.metrics import METRICS, Metric
from inr_jax.settings import Refused, declared
from inr_jax.sweep.grid import MEASURED, REMARKS, TOGETHER
from inr_jax.tasks import TASKS

# Replicates of a setting, over which means are taken; not settings to compare.
REPLICATES = ("image", "seed", "split_seed")
# Settings that some kinds of images do not read: blank for the others, which is no difference.
FILE_SETTINGS = ("resize", "background", "value_range", "channels", "frames")
# From this many replicates on, ± is the 95 % interval of the mean; of fewer, half the range.
MIN_FOR_INTERVAL = 4
# Settings of tasks that change what is measured, other than draws.
TASK_SETTINGS = ("task", *sorted({s.name for t in TASKS.values() for s in declared(t)} - {"split_seed", "validation"}))
# A member with one of these statuses is counted, but has no score that may enter a mean.
EXCLUDED = ("diverged", "failed", "pruned")
# What a member takes, of which there are medians; as it is shown.
COSTS = {
    "parameter_count": {"label": "parameters", "unit": "", "digits": 0},
    "seconds": {"label": "seconds", "unit": "", "digits": 2},
}
OUTCOMES = (*MEASURED, TOGETHER, "status", "diverged_at", "seconds", "note")


class Summary(NamedTuple):
    """A table with one row per setting, the names of its columns that are settings, and the metrics of its scores.

    Columns besides the settings and remarks: the mean of each score and its `_half`, the number after ±, of `together`
    too, the PSNR of the mean prediction over seeds; the median
    `parameter_count` and `seconds` of a member; `members`, the number of members, and how many of them `diverged`,
    `failed` or were `pruned`.
    """

    table: pd.DataFrame
    settings: list[str]
    metrics: Mapping[str, Metric]


class Best(NamedTuple):
    """The best row of a summary, and the score that it was chosen by."""

    row: int
    score: str


class Ranking(NamedTuple):
    """The settings with their means over all that they were fitted to, and the best of them, None if there is none.

    `names` are the columns that distinguish settings, `over` the settings of images and tasks that means are over.
    `alike` is whether all settings were scored on the same data: only then is one the best.
    """

    summary: Summary
    best: Best | None
    names: list[str]
    over: list[str]
    alike: bool


def varying_settings(table: pd.DataFrame, metrics: Mapping[str, Metric] = METRICS) -> list[str]:
    """Return the settings that differ between members, in the table's order; `metrics` are those of its scores."""
    settings = [name for name in table.columns if name not in (*metrics, *OUTCOMES, *REMARKS)]
    return [name for name in settings if table[name].nunique(dropna=name in FILE_SETTINGS) > 1]


def compared_settings(table: pd.DataFrame, metrics: Mapping[str, Metric] = METRICS) -> list[str]:
    """Return the settings that differ between members and are no replicates."""
    return [name for name in varying_settings(table, metrics) if name not in REPLICATES]


def distinguishing_settings(table: pd.DataFrame, names: list[str]) -> list[str]:
    """Return those of the settings that are needed to distinguish members: none that follows from those before it."""
    needed: list[str] = []
    for name in names:
        if group_by(table, [*needed, name]).ngroups > group_by(table, needed).ngroups:
            needed.append(name)
    return needed


def data_settings(table: pd.DataFrame) -> list[str]:
    """Return the settings that differ between members and belong to what is fitted, not to the networks."""
    names = {*TASK_SETTINGS, "validation"}
    for spec in table["image"].unique():
        with contextlib.suppress(Refused):  # a source that no longer exists
            names |= images.reads(spec)
    return [name for name in varying_settings(table) if name in names]


def share_data(table: pd.DataFrame, names: list[str], data: list[str]) -> bool:
    """Return whether all settings, told apart by `names`, were scored on the same data."""
    met = table[[*names, *data]].drop_duplicates()
    return not met.empty and met.groupby(data, dropna=False).ngroups * group_by(met, names).ngroups == len(met)


def replicate(table: pd.DataFrame) -> str:
    """Return the replicate that intervals are over: "image" if there are several, else a seed, else ""."""
    return next((name for name in REPLICATES if table[name].nunique() > 1), "")


def count_replicates(table: pd.DataFrame) -> tuple[int, str]:
    """Return the number of replicates and their plural, such as (5, "images"); (1, "") if there is one of each."""
    unit = replicate(table)
    return (table[unit].nunique(), f"{unit.replace('_', ' ')}s") if unit else (1, "")


def summarize(table: pd.DataFrame, metrics: Mapping[str, Metric] = METRICS) -> Summary:
    """Return the mean scores of each setting, in order of first appearance.

    Means are over the seeds of each image first, then over images; intervals are over images, or over seeds if there
    is one image. Members that diverged, failed or were pruned are counted and left out of the means.
    """
    metrics = {name: metric for name, metric in metrics.items() if name in table}
    settings = compared_settings(table, metrics)
    names = [*settings, *(name for name in REMARKS if name in table)]
    scored = _without_excluded(table, metrics)
    members = group_by(scored, names)
    columns: dict[str, pd.Series] = {}
    if TOGETHER in table:  # the same for all seeds of an image, and blank where too few of them are left
        each = group_by(group_by(scored, [*names, "image"])[TOGETHER].mean().reset_index(), names)[TOGETHER]
        mean = each.agg(lambda images: images.mean(skipna=False))
        columns |= {TOGETHER: mean, f"{TOGETHER}_half": half_widths(each)}
    if replicate(table) == "image":
        scored = group_by(scored, [*names, "image"])[[*metrics]].mean().reset_index()
    units = group_by(scored, names)
    for score in metrics:
        columns |= {score: units[score].mean(), f"{score}_half": half_widths(units[score])}
    columns |= {name: members[name].median() for name in COSTS if name in table}
    columns |= {"members": members.size()} | {status: members[status].sum() for status in EXCLUDED}
    return Summary(pd.DataFrame(columns).reset_index(drop=not names), settings, metrics)


def gaps_to_best(table: pd.DataFrame, summary: Summary, best: Best) -> pd.DataFrame:
    """Return `gap`, the mean difference of each row of the summary from the best in dB, and its `gap_half`.

    Differences are between members of the same image, or if there is one of the same seed, so that what makes one
    image harder than another cancels. NaN for the best itself, and for rows that share no replicate with it.
    """
    unit, names = replicate(table) or "seed", [*summary.settings, *(name for name in REMARKS if name in table)]
    scored = _without_excluded(table, summary.metrics)
    rows = [group.groupby(unit)[best.score].mean() for _, group in group_by(scored, names)]
    gaps = [(row - rows[best.row]).dropna() for row in rows]
    gaps[best.row] = gaps[best.row].iloc[:0]
    return pd.DataFrame({"gap": [gap.mean() for gap in gaps], "gap_half": [half_width(gap) for gap in gaps]})


def half_widths(groups: Any) -> pd.Series:
    """Return for each group of scores half of the 95 % interval of the mean (Student's t), of few half the range.

    NaN for a single score, and if one is infinite.
    """
    count, low, high = groups.count(), groups.min(), groups.max()
    interval = scipy.stats.t.ppf(0.975, (count - 1).clip(lower=1)) * groups.sem()
    half = interval.where(count >= MIN_FOR_INTERVAL, (high - low) / 2)
    return half.where((count > 1) & np.isfinite(low) & np.isfinite(high))


def half_width(scores: pd.Series) -> float:
    """Return `half_widths` of a single group."""
    return float(half_widths(scores.groupby(np.zeros(len(scores)))).iloc[0]) if len(scores) else float("nan")


def criterion(table: pd.DataFrame) -> str:
    """Return the score that decides which is best: on held-out pixels, or if there are none on the training pixels."""
    return "psnr_heldout" if table["psnr_heldout"].notna().any() else "psnr_train"


def best_row(summary: Summary) -> Best | None:
    """Return the best row of the summary; None if nothing was fitted, or every setting was pruned somewhere.

    A setting with members that diverged or failed is best only if there is no other, and one that was pruned never:
    its mean would be over the images on which it did well.
    """
    rows, score = summary.table, criterion(summary.table)
    complete = (rows[list(EXCLUDED)] == 0).all(axis=1)
    rows = rows[complete] if complete.any() else rows[rows["pruned"] == 0]
    return Best(int(rows[score].idxmax()), score) if rows[score].notna().any() else None


def rank(table: pd.DataFrame, metrics: Mapping[str, Metric] = METRICS) -> Ranking:
    """Return the settings with their means over all that they were fitted to, and the best of them."""
    over = data_settings(table)
    summary = summarize(table.drop(columns=over), metrics)
    names = [*summary.settings, *(name for name in REMARKS if name in table)]
    alike = not over or share_data(table, names, over)
    return Ranking(summary, best_row(summary) if alike else None, names, over, alike)


def best_member(table: pd.DataFrame) -> int | None:
    """Return the member with the highest score of the best setting; where no setting is the best, of all.

    None if no member was fitted to its end.
    """
    good = table[table["status"] == "ok"]
    score, ranking = criterion(good), rank(table)
    if ranking.best:
        setting = group_by(table, ranking.names).ngroup()
        good, score = good[setting[good.index] == ranking.best.row], ranking.best.score
    return int(good[score].idxmax()) if good[score].notna().any() else None


def matching_baselines(baselines: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return the baselines of the images and splits that these members are fitted to."""
    for name in baselines.columns:
        # A setting that no member reads is blank in the table.
        if name not in METRICS and name in table and table[name].notna().any():
            baselines = baselines[baselines[name].isin(table[name])]
    return baselines


def baseline_means(baselines: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of each method, means over images; the index is the method, with what else varies in tasks."""
    scores = [name for name in METRICS if name in baselines]
    varying = [name for name in TASK_SETTINGS if name in baselines and baselines[name].nunique(dropna=False) > 1]

    def named(row: pd.Series) -> str:
        texts = {name: format_value(row[name]) for name in varying if is_given(row[name])}
        given = [text if name == "task" else f"{name} {text}" for name, text in texts.items()]
        return f"{row['method']} ({', '.join(given)})" if given else str(row["method"])

    methods = baselines.apply(named, axis=1) if varying else baselines["method"]
    return baselines.groupby(methods.rename("method"), sort=False)[scores].mean()


def format_value(value: object) -> str:
    """Return a value as a table shows it: short, a dash if there is none."""
    if not is_given(value):
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def is_given(value: object) -> bool:
    """Return whether there is a value."""
    return not (value is None or (isinstance(value, float) and np.isnan(value)))


def group_by(table: pd.DataFrame, names: list[str]) -> Any:
    """Group the rows by these columns, in order of first appearance; in one group if there are no columns."""
    return table.groupby(names, sort=False, dropna=False) if names else table.groupby(lambda _: 0)


def _without_excluded(table: pd.DataFrame, metrics: Mapping[str, Metric]) -> pd.DataFrame:
    """Return the table with blank scores unless the status is ok, and a column for each of `EXCLUDED`."""
    scores = {score: table[score].where(table["status"] == "ok") for score in metrics}
    return table.assign(**scores, **{status: table["status"] == status for status in EXCLUDED})
