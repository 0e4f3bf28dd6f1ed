"""What the report's page lets its reader explore: members with their scores and pictures, as data for its script."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image

from inr_jax.fit.curves import picture_of
from inr_jax.report import plots_sweep as charts
from inr_jax.report import summary as tables
from inr_jax.report.sections import best_curve
from inr_jax.report.view import RunView
from inr_jax.sweep.grid import SCORES

# Of larger sweeps the page holds so many members, and pictures of so many; results.csv has all.
MOST_MEMBERS, MOST_PICTURES, MOST_TARGETS = 2000, 64, 32
# A picture that takes more without loss is WebP of this quality: 25 kB for a natural one of 256x256.
MOST_BYTES, QUALITY = 40_000, 92


def member_data(view: RunView) -> dict[str, Any]:
    """Return the page's members as JSON: the settings that vary, scores, status, picture and target; and the axis.

    `curve` are the members that differ from the best only along the axis, in its order.
    """
    table = view.table
    good = table[table["status"] == "ok"]
    last = tables.last_stage(good)
    score = tables.criterion(last) if len(last) else "psnr_train"
    best = int(last[score].idxmax()) if len(last) and last[score].notna().any() else None
    axis = charts.main_axis(good) if len(good) else None
    curve = best_curve(good, axis).index.tolist() if axis else []
    rows = _spread(table.index.tolist(), [best, *curve], MOST_MEMBERS)
    group = _target_groups(table).loc[rows]
    targets = {number: view.target(row) for row, number in group.drop_duplicates().items()}
    images = [number for number, target in targets.items() if target.ndim == 3]
    fitted = table["status"].isin(["ok", "diverged", "pruned"])
    visible = [row for row in rows if fitted[row] and group[row] in images]
    pictures = view.pictures(_spread(visible, [best, *curve], MOST_PICTURES))
    names = [n for n in (*(["label"] if "label" in table else []), *tables.varying(table)) if n in table]
    places = {number: place for place, number in enumerate(images[:MOST_TARGETS])}
    members = []
    for row in rows:
        values = table.loc[row]
        member = {
            "row": row,
            "settings": [None if pd.isna(values[name]) else tables.cell(values[name]) for name in names],
            "scores": [_number(values[name]) for name in SCORES],
            "status": values["status"],
            "x": _number(values[axis] if axis else row),
        }
        if row in pictures:
            member["picture"] = encoded(pictures[row])
        if group[row] in places:
            member["target"] = places[group[row]]
        members.append(member)
    return {
        "members": members,
        "settings": names,
        "scores": list(SCORES),
        "score": score,
        "axis": axis or "member",
        "best": best,
        "curve": [row for row in curve if row in pictures],
        "targets": [encoded(np.asarray(picture_of(targets[number]))) for number in places],
        "members_in_all": len(table),
    }


def _target_groups(table: pd.DataFrame) -> pd.Series:
    """A number for each member, shared by those that are fitted to the same image, whatever its split."""
    names = [name for name in ("image", "size", "resize", "background") if name in table]
    return table.groupby([*names, *tables.problems_of(table)], sort=False, dropna=False).ngroup()


def encoded(picture: UInt8[np.ndarray, "h w c"]) -> str:
    """The picture as a data URI, without loss where that is small."""
    image = Image.fromarray(picture if picture.shape[-1] == 3 else picture[..., 0])
    exact, near = io.BytesIO(), io.BytesIO()
    image.save(exact, "WEBP", lossless=True)
    if len(exact.getvalue()) > MOST_BYTES:
        image.save(near, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(near.getvalue() or exact.getvalue()).decode()}"


def _spread(rows: Sequence[int], wanted: Sequence[int | None], most: int) -> list[int]:
    """At most so many of the rows, in order: those wanted, as many of them as possible, and the rest evenly."""
    if len(rows) <= most:
        return list(rows)
    there = set(rows)
    first = [row for row in dict.fromkeys(wanted) if row in there]
    if len(first) > most:
        first = [first[place] for place in np.linspace(0, len(first) - 1, most).astype(int)]
    others = sorted(there - set(first))
    even = np.unique(np.linspace(0, len(others) - 1, most - len(first)).astype(int))
    return sorted([*first, *(others[place] for place in even)])


def _number(value: Any) -> float | None:
    """The value for JSON, which has no word for what is not finite."""
    return float(f"{value:.6g}") if np.isfinite(value) else None
