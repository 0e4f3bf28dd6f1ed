"""Results as people read them: grouped over seeds, the best named, and honest about what chose it."""

import contextlib
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.stats

from inr_jax.data import images
from inr_jax.settings import Refused
from inr_jax.sweep.grid import OUTCOMES, REMARKS, SCORES

# What a mean is taken over: repetitions of a setting, not settings.
REPEATED = ("seed", "split_seed", "image")
# Settings that only pictures read.
READING = ("resize", "background")
# From so many seeds or images on a spread is a 95 % interval of their mean; of fewer that says little: half the range.
INTERVAL_FROM = 4
# A member's status where it has no score that may enter a mean.
BAD = ("diverged", "failed", "pruned")


class Best(NamedTuple):
    """The best row of a summary: its place, and the score that chose it."""

    place: int
    score: str


class Found(NamedTuple):
    """A study's summary, its best row (None where there is none to name), and the finding as a line, if any."""

    summed: pd.DataFrame
    winner: Best | None
    said: str


def varying(table: pd.DataFrame) -> list[str]:
    """The settings that differ between the members, in the table's order.

    That a setting of reading pictures is blank for one that is generated is no difference.
    """
    settings = [name for name in table.columns if name not in (*OUTCOMES, *REMARKS)]
    return [name for name in settings if table[name].nunique(dropna=name in READING) > 1]


def distinguishing(table: pd.DataFrame, names: list[str]) -> list[str]:
    """Those of the settings that tell the members apart: one that follows from those before it adds nothing."""
    kept: list[str] = []
    for name in names:
        if _grouped(table, [*kept, name]).ngroups > _grouped(table, kept).ngroups:
            kept.append(name)
    return kept


def over(table: pd.DataFrame) -> str:
    """What an interval is over: images where there are several, else seeds; empty where there is one of each."""
    several = [name for name in ("image", "seed", "split_seed") if table[name].nunique() > 1]
    return several[0] if several else ""


def units_of(table: pd.DataFrame) -> tuple[int, str]:
    """How many units an interval is over, and what they are called; 1 and nothing where there is one of each."""
    unit = over(table)
    return (table[unit].nunique(), f"{unit.replace('_', ' ')}s") if unit else (1, "")


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row per setting, in order: mean scores, what stands behind ± (`_half`: half of the 95 % interval of the mean,
    or of the range where there are few), how many members, of which how many diverged, failed or were pruned.

    Means are over the seeds of an image first, then over images; spreads are over images, or where there is one over
    seeds. Those are counted and enter no mean.
    """
    by, good = _told_by(table), _good(table)
    grouped = _grouped(good, by)
    each = good if over(table) != "image" else _grouped(good, [*by, "image"])[[*SCORES]].mean().reset_index()
    units = _grouped(each, by)
    out: dict[str, pd.Series] = {}
    for score in SCORES:
        out |= {score: units[score].mean(), f"{score}_half": units[score].agg(half_interval)}
    out |= {"members": grouped.size()} | {bad: grouped[bad].sum() for bad in BAD}
    return pd.DataFrame(out).reset_index(drop=not by)


def behind(table: pd.DataFrame, winner: Best) -> pd.DataFrame:
    """How far each row of the summary lies from the best one, in dB: `behind`, and what stands behind ± (`_half`).

    Differences are of the same seed, or where there are several images of the same image: what makes one image harder
    than another is in both and falls out. NaN for the best itself, and where nothing is shared.
    """
    unit, good = over(table) or "seed", _good(table)
    rows = [group.groupby(unit)[winner.score].mean() for _, group in _grouped(good, _told_by(table))]
    apart = [(row - rows[winner.place]).dropna() for row in rows]
    apart[winner.place] = apart[winner.place].iloc[:0]
    halves = [half_interval(each) for each in apart]
    return pd.DataFrame({"behind": [each.mean() for each in apart], "behind_half": halves})


def _told_by(table: pd.DataFrame) -> list[str]:
    """What the rows of a summary differ in."""
    return [name for name in varying(table) if name not in REPEATED] + [name for name in REMARKS if name in table]


def _good(table: pd.DataFrame) -> pd.DataFrame:
    """The table without the scores of those that went wrong, and a column for each way to."""
    scores = {score: table[score].where(table["status"] == "ok") for score in SCORES}
    return table.assign(**scores, **{bad: table["status"] == bad for bad in BAD})


def half_interval(scores: pd.Series) -> float:
    """Half of the 95 % interval of the mean (Student's t), of few scores half their range; NaN of a single one."""
    scores = scores.dropna()
    if len(scores) < 2:
        return float("nan")
    if len(scores) < INTERVAL_FROM:
        return float(scores.max() - scores.min()) / 2
    return float(scipy.stats.t.ppf(0.975, len(scores) - 1) * scores.sem())


def _grouped(table: pd.DataFrame, by: list[str]) -> Any:
    return table.groupby(by, sort=False, dropna=False) if by else table.groupby(lambda _: 0)


def criterion(table: pd.DataFrame) -> str:
    """The score that says which is best: on held-out pixels, or where there are none on the training pixels."""
    return "psnr_heldout" if table["psnr_heldout"].notna().any() else "psnr_train"


def pixels_of(score: str) -> str:
    """Which pixels a score that is a criterion is of, as an adjective."""
    return "held-out" if score == "psnr_heldout" else "training"


def last_stage(table: pd.DataFrame) -> pd.DataFrame:
    """Of a study of two stages the rows of the second, which is what the first was for; else all."""
    return table[table["stage"] == table["stage"].max()] if "stage" in table else table


def best(summed: pd.DataFrame) -> Best | None:
    """The best row of the summary; None where nothing was fitted, or every setting was pruned somewhere.

    A setting of which not every member has a score is best only if that is so of all, and never where one was pruned:
    its mean would be of the images on which it did well. Of two stages, the best of the second.
    """
    score, rows = criterion(summed), last_stage(summed)
    whole = (rows[list(BAD)] == 0).all(axis=1)
    rows = rows[whole] if whole.any() else rows[rows["pruned"] == 0]
    return Best(int(rows[score].idxmax()), score) if rows[score].notna().any() else None


def found(table: pd.DataFrame, chosen_on: str) -> Found:
    """What a study found. Where what is fitted has settings of its own that vary, the best is that of the mean."""
    summed, problems = summary(table), problems_of(table)
    settings = table.drop(columns=problems)
    averaged = summary(settings) if problems else summed
    winner = best(averaged)
    said = describe(settings, averaged, winner, chosen_on) if winner else ""
    if not winner and averaged["pruned"].any():
        said = "no best: no setting was fitted to its last step everywhere (run.keep prunes on each image)"
    if problems:
        return Found(summed, None, said and f"{said} (mean over {', '.join(problems)})")
    return Found(summed.join(behind(table, winner)) if winner and over(table) else summed, winner, said)


def problems_of(table: pd.DataFrame) -> list[str]:
    """The settings that vary and belong to what is fitted, not to who fits: those of the images' own sources."""
    own: set[str] = set()
    for spec in table["image"].unique():
        with contextlib.suppress(Refused):  # a source that is no longer there
            own |= images.reads(spec)
    return [name for name in varying(table) if name in own]


def describe(table: pd.DataFrame, summed: pd.DataFrame, winner: Best, chosen_on: str) -> str:
    """One line that names the best setting, its score, and what chose it."""
    row = summed.iloc[winner.place]
    rivals = len(last_stage(summed))
    if winner.score == "psnr_train":
        who = "on the training pixels: none were held out"
    elif chosen_on:
        who = f"settings chosen on {chosen_on}"
        who += f"; which of the {rivals} is best, on the held-out pixels: oracle" if rivals > 1 else ""
    elif (table["validation"] > 0).all():
        who = "chosen on the validation pixels that it is reported on"
    else:
        who = "oracle: chosen on the held-out pixels that it is reported on"
    both = f", {row['psnr_all']:.2f} dB over all pixels" if winner.score == "psnr_heldout" else ""
    pixels = pixels_of(winner.score)
    return f"best: {named(row, told_apart(summed))}: {row[winner.score]:.2f} dB on {pixels} pixels{both} ({who})"


def chooser(table: pd.DataFrame) -> str:
    """What chose the settings of a second stage, if it is something else than what they are reported on."""
    last = last_stage(table)
    first = table.drop(last.index)
    if first.empty:
        return ""
    if (first["validation"] > 0).all() and (last["validation"] == 0).all():
        return "a validation part of the training pixels"
    return "" if set(first["image"]) & set(last["image"]) else "other images"


def as_text(summed: pd.DataFrame, winner: Best | None) -> str:
    """The summary for a terminal: what is told apart, scores with their intervals, the best marked.

    Settings that a label already stands for are left to results.csv.
    """
    names = told_apart(summed)
    shown = pd.DataFrame({name: [cell(value) for value in summed[name]] for name in names})
    for score in SCORES:
        if summed[score].notna().any():
            digits = 4 if score == "ssim" else 2
            shown[score] = [spread(m, s, digits) for m, s in zip(summed[score], summed[f"{score}_half"], strict=True)]
    if "behind" in summed:
        pairs = zip(summed["behind"], summed["behind_half"], strict=True)
        shown["to the best"] = [spread(mean, half, 2) for mean, half in pairs]
    if "published" in summed:
        shown["published"] = [cell(value) for value in summed["published"]]
    for bad in BAD:
        if summed[bad].any():
            shown[bad] = [f"{count} of {n}" for count, n in zip(summed[bad], summed["members"], strict=True)]
    shown[""] = ["<- best" if winner and place == winner.place else "" for place in range(len(shown))]
    return shown.to_string(index=False)


def settings_of(summed: pd.DataFrame) -> list[str]:
    """The columns of a summary that are settings."""
    apart = (*OUTCOMES, *REMARKS, "members", "behind", *BAD)
    return [name for name in summed.columns if not name.endswith("_half") and name not in apart]


def told_apart(summed: pd.DataFrame) -> list[str]:
    """The columns by which the rows of a summary are told apart: the label and what varies within one, or settings."""
    if "label" not in summed:
        return settings_of(summed)
    within = summed.groupby("label", dropna=False)
    return [
        "label",
        *(n for n in settings_of(summed) if n != "validation" and within[n].nunique(dropna=False).max() > 1),
    ]


def baselines_of(baselines: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The interpolations of what these members are fitted to."""
    for name in baselines.columns:
        # What no member reads is blank there.
        if name not in SCORES and name in table and table[name].notna().any():
            baselines = baselines[baselines[name].isin(table[name])]
    return baselines


def baseline_means(baselines: pd.DataFrame) -> pd.DataFrame:
    """PSNR of each interpolation, means over images."""
    return baselines.groupby("method", sort=False)[["psnr_heldout", "psnr_all"]].mean()


def baseline_text(baselines: pd.DataFrame) -> str:
    """The interpolation rows for a terminal; empty where nothing was held out."""
    means = baseline_means(baselines)
    said = [f"{method} {v.psnr_heldout:.2f} held out, {v.psnr_all:.2f} all" for method, v in means.iterrows()]
    return f"interpolation of the training pixels, no network (dB): {'; '.join(said)}" if said else ""


def images_of(table: pd.DataFrame) -> str:
    """Which images a table is about, their size and split."""
    names = table["image"].unique()
    told = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    pairs = table[["size", "resize"]].drop_duplicates().itertuples(index=False)
    sizes = dict.fromkeys(_side(size, resize) for size, resize in pairs)
    return f"{told}, {' and '.join(sizes)}, split {', '.join(table['split'].unique())}"


def _side(size: int, resize: str) -> str:
    if not size:
        return "full size"
    return f"{size} on the longer side" if resize == "fit" else f"{size} a side"


def named(row: pd.Series, by: list[str]) -> str:
    """What a row is called: its label, and its settings among these."""
    said = [f"{name} {cell(row[name])}" if name != "label" else cell(row[name]) for name in by if pd.notna(row[name])]
    return ", ".join(said) or "the only setting"


def spread(mean: float, half: float, digits: int) -> str:
    """A mean and, if there is one, half of its interval."""
    if np.isnan(mean):
        return "-"
    return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if not np.isnan(half) else "")


def spread_said(table: pd.DataFrame) -> str:
    """What ± stands for in a summary of the table, as half a sentence."""
    number, units = units_of(last_stage(table))
    kind = "95 % interval" if number >= INTERVAL_FROM else "half the range"
    return f"± {kind} over {number} {units}" if units else "one member each"


def cell(value: object) -> str:
    """A value as a table shows it: short, a dash where there is none."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
