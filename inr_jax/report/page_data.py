"""The members that the page's script explores: scores, settings and pictures, as JSON."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image

from inr_jax.data.images import as_image, visible
from inr_jax.fit.curves import picture_of
from inr_jax.fit.metrics import METRICS
from inr_jax.report.selection import best_curve, main_axis
from inr_jax.report.style import COLORS
from inr_jax.report.summary import (
    COSTS,
    FILE_SETTINGS,
    TASK_SETTINGS,
    best_member,
    compared_settings,
    criterion,
    data_settings,
    distinguishing_settings,
    varying_settings,
)
from inr_jax.report.text import format_value, heading
from inr_jax.report.view import RunView

# The page holds at most so many members, and pictures of so many; results.csv has all.
MOST_MEMBERS, MOST_PICTURES = 2000, 64
# A picture that takes more bytes without loss is WebP of this quality: 25 kB for a photograph of 256x256.
MOST_BYTES, QUALITY = 40_000, 92
# The settings that decide what a member is fitted to, besides those of generated images.
TARGET_SETTINGS = ("image", "size", *FILE_SETTINGS)
FITTED = ("ok", "diverged", "pruned")


def page_data(view: RunView) -> dict[str, Any]:
    """Return the members and what the script needs to know of them.

    `members` have their row, settings that vary, scores, status, a picture if the page holds one, and the number of its
    target; `metrics` the label, unit and digits of each score, what members take among them. `axis`, `score` and
    `color` are the columns that the chart begins with, `best` is the member of the best setting with the highest score,
    `highest` that of all; `curve` are the rows with a picture that differ from the best only along the axis, in its
    order.
    """
    table = view.table
    best, highest, score, axis, curve = _best_curve(view)
    rows = spread_evenly(table.index.tolist(), [best, *curve], MOST_MEMBERS)
    fitted = [row for row in rows if table["status"][row] in FITTED]
    pictures = view.pictures(spread_evenly(fitted, [best, *curve], MOST_PICTURES))
    pictures = {row: as_image(picture) for row, picture in pictures.items()}
    groups = _target_groups(table)[list(pictures)]
    # By the picture, which groups may share; and of each group its picture.
    targets: dict[str, int] = {}
    drawn: dict[int, str] = {}
    for row, group in groups.drop_duplicates().items():
        drawn[group] = encode_picture(as_image(np.asarray(picture_of(view.target(row)))))
        targets.setdefault(drawn[group], len(targets))
    settings = [*(name for name in ("label",) if name in table), *varying_settings(table, view.metrics)]
    scores = [name for name in view.metrics if name in table and (name == score or table[name].notna().any())]
    scores += [name for name in COSTS if name in table and table[name].nunique() > 1]
    members = []
    for row in rows:
        values = table.loc[row]
        member = {
            "row": row,
            "settings": [None if pd.isna(values[name]) else format_value(values[name]) for name in settings],
            "scores": [_finite(values[name]) for name in scores],
            "status": values["status"],
        }
        if row in pictures:
            member["picture"] = encode_picture(pictures[row])
            member["target"] = targets[drawn[groups[row]]]
        members.append(member)
    metrics = {name: metric for name, metric in view.metrics.items() if name in scores}
    about = {n: {"label": m.label or n, "unit": m.unit, "digits": m.digits} for n, m in metrics.items()}
    x, color = _chart_settings(table, axis)
    return {
        "members": members,
        "settings": settings,
        "scores": scores,
        "metrics": about | {name: COSTS[name] for name in COSTS if name in scores},
        "score": score,
        "axis": x,
        "color": color,
        "labels": {name: _label(name, view) for name in (*settings, *scores)},
        "best": best,
        "highest": highest,
        "curve": [row for row in curve if row in pictures],
        "targets": list(targets),
        "members_in_all": len(table),
    }


def _label(name: str, view: RunView) -> str:
    """Return the name of a column with its unit, as an axis of the chart shows it."""
    kind = "PSNR " if name.startswith("psnr_") else ""
    unit = view.units.get(name)
    return kind + (f"{name} ({unit})" if unit else heading(name, view.metrics))


def _chart_settings(table: pd.DataFrame, axis: str | None) -> tuple[str, str]:
    """Return the columns for the horizontal axis and the colour that the chart begins with; "" for one colour."""
    names = distinguishing_settings(table, [*(n for n in ("label",) if n in table), *compared_settings(table)])
    counts = {name: table[name].nunique(dropna=False) for name in names}
    x = axis or max(names, key=lambda name: counts[name], default="member")
    return x, next((name for name in names if name != x and counts[name] <= len(COLORS)), "")


def _best_curve(view: RunView) -> tuple[int | None, int | None, str, str | None, list[int]]:
    """Return the best member, that with the highest score, the score, the main axis, and the members along it."""
    table = view.table.drop(columns=[name for name in view.metrics if name not in METRICS])
    good = table[table["status"] == "ok"]
    if good.empty:
        return None, None, "psnr_train", None, []
    score, axis, best = criterion(good), main_axis(good), best_member(table)
    if best is None:
        return None, None, score, axis, []
    curve = best_curve(good, axis, best).index.tolist() if axis else []
    return best, int(good[score].idxmax()), score, axis, curve


def _target_groups(table: pd.DataFrame) -> pd.Series:
    """Return a number for each member, shared by those that are fitted to the same image and measure it alike."""
    names = [name for name in (*TARGET_SETTINGS, *TASK_SETTINGS) if name in table]
    return table.groupby([*names, *data_settings(table)], sort=False, dropna=False).ngroup()


def encode_picture(picture: UInt8[np.ndarray, "h w c"]) -> str:
    """Return the picture as a data URI, without loss if that is small."""
    image = Image.fromarray(visible(picture))
    exact, lossy = io.BytesIO(), io.BytesIO()
    image.save(exact, "WEBP", lossless=True)
    if len(exact.getvalue()) > MOST_BYTES:
        image.save(lossy, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(lossy.getvalue() or exact.getvalue()).decode()}"


def spread_evenly(rows: Sequence[int], wanted: Sequence[int | None], most: int) -> list[int]:
    """Return at most this many of the rows, in order: as many as possible of those wanted, and others spread evenly."""
    if len(rows) <= most:
        return list(rows)
    every = set(rows)
    first = [row for row in dict.fromkeys(wanted) if row in every]
    if len(first) > most:
        first = [first[place] for place in np.linspace(0, len(first) - 1, most).astype(int)]
    others = sorted(every - set(first))
    even = np.unique(np.linspace(0, len(others) - 1, most - len(first)).astype(int))
    return sorted([*first, *(others[place] for place in even)])


def _finite(value: Any) -> float | None:
    """Return the value for JSON, which cannot hold infinities and NaN."""
    return float(f"{value:.6g}") if np.isfinite(value) else None
