"""Predictions of the kernel as text for a terminal."""

import pandas as pd

from inr_jax.kernel.of_study import KERNEL_SETTINGS, SCORES, varying_columns
from inr_jax.kernel.scale_curves import PLATEAU
from inr_jax.report.text import row_label

# The scores that name a best scale, and what such a choice is called.
CHOOSERS = {"psnr_validated": "from training pixels alone", "psnr_heldout": "oracle"}


def best_scales(table: pd.DataFrame) -> list[str]:
    """Return a line for each image and split, with the best scale by the training pixels and by the held-out ones."""
    others = [name for name in varying_columns(table) if name not in (*KERNEL_SETTINGS, "steps", "learning_rate")]
    lines = []
    for values, group in table.groupby(others, sort=False, dropna=False) if others else [((), table)]:
        problem = row_label(pd.Series(dict(zip(others, values, strict=True))), others) + ": " if others else ""
        if "scale" not in group or group["scale"].nunique() < 2:
            lines.append(f"{problem}{group['psnr_heldout'].mean():.2f} dB on held-out pixels")
            continue
        curves = group.groupby("scale")[[name for name in SCORES if name in group]].mean()
        known = [score for score in CHOOSERS if score in curves and curves[score].notna().any()]
        chosen = "; ".join(f"{CHOOSERS[score]} {_best(curves[score])}" for score in known)
        lines.append(f"{problem}best scale {chosen}")
    return lines


def _best(curve: pd.Series) -> str:
    """The scale with the highest score, and the range of those that are as good."""
    good = curve.index[curve >= curve.max() - PLATEAU]
    edge = ", the edge of what was looked at" if curve.idxmax() in curve.index[[0, -1]] else ""
    return f"{curve.idxmax():g} ({good.min():g} to {good.max():g} within {PLATEAU} dB{edge})"
