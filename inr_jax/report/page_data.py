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
from inr_jax.report.summary import FILE_SETTINGS, TASK_SETTINGS, criterion, data_settings, varying_settings
from inr_jax.report.text import format_value
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

    `members` have their row, settings that vary, scores, status, place `x` on the axis, a picture if the page holds
    one, and the number of its target; `metrics` the label, unit and digits of each score; `curve` the rows with a
    picture that differ from the best only along the axis, in its order.
    """
    table = view.table
    best, score, axis, curve = _best_curve(view)
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
    members = []
    for row in rows:
        values = table.loc[row]
        member = {
            "row": row,
            "settings": [None if pd.isna(values[name]) else format_value(values[name]) for name in settings],
            "scores": [_finite(values[name]) for name in scores],
            "status": values["status"],
            "x": _finite(values[axis] if axis else row),
        }
        if row in pictures:
            member["picture"] = encode_picture(pictures[row])
            member["target"] = targets[drawn[groups[row]]]
        members.append(member)
    metrics = {name: view.metrics[name] for name in scores}
    return {
        "members": members,
        "settings": settings,
        "scores": scores,
        "metrics": {n: {"label": m.label or n, "unit": m.unit, "digits": m.digits} for n, m in metrics.items()},
        "score": score,
        "axis": axis or "member",
        "best": best,
        "curve": [row for row in curve if row in pictures],
        "targets": list(targets),
        "members_in_all": len(table),
    }


def _best_curve(view: RunView) -> tuple[int | None, str, str | None, list[int]]:
    """Return the best member, the score that chose it, the main axis, and the members along it through the best."""
    table = view.table.drop(columns=[name for name in view.metrics if name not in METRICS])
    good = table[table["status"] == "ok"]
    if good.empty:
        return None, "psnr_train", None, []
    score, axis = criterion(good), main_axis(good)
    best = int(good[score].idxmax()) if good[score].notna().any() else None
    return best, score, axis, best_curve(good, axis).index.tolist() if axis else []


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
