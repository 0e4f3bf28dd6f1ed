"""Figures of kernel regression: scores over the scale, without training."""

import pandas as pd
from matplotlib.figure import Figure

from inr_jax.kernel.of_study import KERNEL_SETTINGS, TRAINING_SETTINGS, varying_columns
from inr_jax.report import style
from inr_jax.report.plots_sweep import MOST_LINES, draw_baselines
from inr_jax.report.summary import group_by
from inr_jax.report.text import row_label

LABELS = {"psnr_heldout": "held-out pixels", "psnr_validated": "half of the training pixels, from the other half"}


def plot_predicted_scores(table: pd.DataFrame, baselines: pd.DataFrame) -> Figure:
    """Plot predicted PSNR over the scale on held-out pixels, and on half of the training pixels from the other half."""
    figure, axes = style.canvas(6.0, 3.8)
    others = [name for name in varying_columns(table) if name not in (*KERNEL_SETTINGS, *TRAINING_SETTINGS)]
    for number, (_, group) in zip(range(MOST_LINES), group_by(table, others), strict=False):
        name = style.literal(row_label(group.iloc[0], others)) if others else ""
        for score, pixels in LABELS.items():
            if score in group and group[score].notna().any():
                means = group.groupby("scale")[score].mean()
                options = style.marked_line(number, 3) | (style.TRAINING_LINE if score == "psnr_validated" else {})
                axes.plot(means.index, means, label=f"{name} {pixels}".strip(), **options)
    draw_baselines(axes, baselines)
    style.log_axis(axes)
    axes.set_xlabel("scale (cycles per image side)")
    axes.set_ylabel("PSNR of kernel regression (dB)")
    style.legend_above(figure, axes)
    return figure
