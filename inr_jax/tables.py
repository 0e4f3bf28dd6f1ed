"""Results as people read them: grouped over seeds, the best named, and honest about who chose it."""

from typing import NamedTuple

from pathlib import Path

import numpy as np
import pandas as pd

from inr_jax.records import OUTCOMES, SCORES
from inr_jax.grid import REMARKS

# Half the width of a 95 % interval of a mean of n values, in standard deviations of one: Student's t over √n.
_T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


class Best(NamedTuple):
    """The best group of a summary: its place, the score that chose it, and whether those pixels are reported too."""

    place: int
    score: str
    oracle: bool


def varying(table: pd.DataFrame) -> list[str]:
    """The settings that differ between the members, in the table's order."""
    settings = [name for name in table.columns if name not in (*OUTCOMES, *REMARKS)]
    return [name for name in settings if table[name].nunique(dropna=False) > 1]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row per setting, in order: mean scores over its seeds, their standard deviation, members, diverged ones.

    Diverged and failed members are counted and enter no mean.
    """
    by = [name for name in varying(table) if name != "seed"]
    by += [name for name in REMARKS if name in table]
    good = table.assign(**{score: table[score].where(table["status"] == "ok") for score in SCORES})
    good = good.assign(bad=table["status"] != "ok", group=_groups(table, by))
    grouped = good.groupby("group", sort=False)
    out = grouped[by].first() if by else pd.DataFrame(index=grouped.size().index)
    for score in SCORES:
        out[score] = grouped[score].mean()
        out[f"{score}_std"] = grouped[score].std(ddof=1)
    out["members"] = grouped.size()
    out["diverged"] = grouped["bad"].sum()
    return out.reset_index(drop=True)


def best(table: pd.DataFrame, summed: pd.DataFrame) -> Best | None:
    """The best row of the summary, by held-out PSNR where there is one; None where nothing was fitted.

    `oracle` unless a validation part was held out: then the pixels that choose are among those reported.
    """
    score = "psnr_heldout" if summed["psnr_heldout"].notna().any() else "psnr_train"
    if not summed[score].notna().any():
        return None
    return Best(int(summed[score].idxmax()), score, not (table["validation"] > 0).all())


def interval(values: pd.Series) -> float:
    """Half the width of the 95 % interval of the mean (Student's t); NaN for a single value."""
    values = values.dropna()
    n = len(values)
    return float(_T95.get(n, 1.96 + 2.5 / max(n, 1)) * values.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan


def as_text(summed: pd.DataFrame, winner: Best | None) -> str:
    """The summary for a terminal: settings, PSNRs with their spread over seeds, the best marked."""
    shown = summed[[name for name in summed.columns if not name.endswith("_std") and name not in SCORES]].copy()
    for score in SCORES:
        if summed[score].notna().any():
            digits = 4 if score == "ssim" else 2
            shown[score] = [_spread(m, s, digits) for m, s in zip(summed[score], summed[f"{score}_std"], strict=True)]
    counts = [name for name in ("members", "diverged") if summed[name].nunique() > 1 or summed["diverged"].any()]
    names = [n for n in shown.columns if n not in (*SCORES, "members", "diverged", *REMARKS)]
    remarks = [n for n in ("label",) if n in shown]
    order = remarks + names + [s for s in SCORES if s in shown] + [n for n in ("published",) if n in shown] + counts
    shown = shown[order]
    for name in (*names, *(n for n in REMARKS if n in shown)):
        shown[name] = [_cell(value) for value in shown[name]]
    shown[""] = ["<- best" if winner and place == winner.place else "" for place in range(len(shown))]
    return shown.to_string(index=False)


def describe(summed: pd.DataFrame, winner: Best, by: list[str]) -> str:
    """One line that names the best setting and who chose it."""
    row = summed.iloc[winner.place]
    named = [f"{name} {_cell(row[name])}" for name in by if name in row and pd.notna(row[name])]
    who = {
        "psnr_heldout": "oracle: chosen on the held-out pixels that it is reported on",
        "psnr_train": "on the training pixels: none were held out",
    }[winner.score]
    if winner.score == "psnr_heldout" and not winner.oracle:
        who = "chosen on the validation part of the training pixels"
    return f"best: {', '.join(named) or 'the only setting'} at {row[winner.score]:.2f} dB {winner.score} ({who})"


def baseline_text(path: Path) -> str:
    """The interpolation rows for a terminal: means over images; empty where nothing was held out."""
    rows = pd.read_csv(path)
    if rows.empty:
        return ""
    means = rows.groupby(["split", "method"], sort=False)[["psnr_heldout", "psnr_all"]].mean()
    said = [f"{method} {v.psnr_heldout:.2f} held out, {v.psnr_all:.2f} all" for (_, method), v in means.iterrows()]
    return "interpolation of the training pixels, no network (dB): " + "; ".join(said)


def _groups(table: pd.DataFrame, by: list[str]) -> np.ndarray:
    keys = [tuple(str(v) for v in row) for row in table[by].itertuples(index=False)] if by else [()] * len(table)
    order = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    return np.asarray([order[key] for key in keys])


def _spread(mean: float, std: float, digits: int) -> str:
    if np.isnan(mean):
        return "-"
    return f"{mean:.{digits}f}" + (f" ± {std:.{digits}f}" if not np.isnan(std) else "")


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
