"""What the report's page lets its reader explore: members with their scores and pictures, as data for its script."""

import base64
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image

from inr_jax.fit import member as fit
from inr_jax.fit import task as tasks
from inr_jax.report import plots_sweep as charts
from inr_jax.report import summary as tables
from inr_jax.report.sections import best_curve
from inr_jax.runs.record import Record
from inr_jax.sweep.grid import SCORES, Member

# Of larger sweeps the page holds so many members, and pictures of so many; results.csv has all.
MOST_MEMBERS, MOST_PICTURES, MOST_TARGETS = 2000, 64, 32
# A picture that takes more without loss is WebP of this quality: 25 kB for a natural one of 256x256.
MOST_BYTES, QUALITY = 40_000, 92
ANY_SPLIT: dict[str, Any] = {"split": "all", "fraction": 0.25, "split_seed": 0, "validation": 0.0}


def explored(record: Record, table: pd.DataFrame, members: Sequence[Member], keys: Sequence[str]) -> dict[str, Any]:
    """The page's members: settings that vary, scores, status, what each shows beside its target, and the axis.

    `curve` are the members that differ from the best only along the axis, in its order.
    """
    good = table[table["status"] == "ok"]
    last = tables.last_stage(good)
    score = tables.criterion(last) if len(last) else "psnr_train"
    best = int(last[score].idxmax()) if len(last) and last[score].notna().any() else None
    axis = charts.main_axis(good) if len(good) else None
    curve = best_curve(good, axis).index.tolist() if axis else []
    rows = _spread(table.index.tolist(), [best, *curve], MOST_MEMBERS)
    kept, grids = record.kept(), {}
    # Of another split the target is the same.
    target = {row: dataclasses.replace(members[row].data, **ANY_SPLIT) for row in rows}
    for data in dict.fromkeys(target.values()):
        grids[data] = tasks.of(data).grid
    visible = [row for row in rows if keys[row] in kept and len(grids[target[row]]) == 2]
    shown = _spread(visible, [best, *curve], MOST_PICTURES)
    pictures = record.pictures([keys[row] for row in shown])
    names = [n for n in (*(["label"] if "label" in table else []), *tables.varying(table)) if n in table]
    targets: dict[Any, int] = {}
    found = []
    for row in rows:
        told = table.loc[row]
        about = {
            "row": row,
            "settings": [None if pd.isna(told[name]) else tables.cell(told[name]) for name in names],
            "scores": [_number(told[name]) for name in SCORES],
            "status": told["status"],
            "x": _number(told[axis] if axis else row),
        }
        if keys[row] in pictures:
            about["picture"] = encoded(pictures[keys[row]])
        if len(grids[target[row]]) == 2 and (target[row] in targets or len(targets) < MOST_TARGETS):
            about["target"] = targets.setdefault(target[row], len(targets))
        found.append(about)
    return {
        "members": found,
        "settings": names,
        "scores": list(SCORES),
        "score": score,
        "axis": axis or "member",
        "best": best,
        "curve": [row for row in curve if keys[row] in pictures],
        "targets": [encoded(np.asarray(fit.pictured(tasks.of(data).image))) for data in targets],
        "members_in_all": len(table),
    }


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
