"""Figures of members, for the report and for a paper: PNG and SVG, readable in grey. And the style of all figures."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from inr_jax.fit import metrics
from inr_jax.fit.curves import Curves

# Okabe and Ito's colours: told apart by the colour-blind, and by their lightness in grey; with a mark each.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Height over width from which a picture is drawn narrower than its column.
TALLEST = 1.5
STYLE: dict[str, Any] = {
    "grid": {"color": "#dddddd", "linewidth": 0.6},
    "train": {"linestyle": ":", "alpha": 0.9},
}


def literal(text: str) -> str:
    """A text of one's own that matplotlib shows as it is: a dollar sign would begin a formula."""
    return text.replace("$", r"\$")


class Pictured(NamedTuple):
    """A member to be shown: a title, its target and its prediction, and which pixels it was trained on."""

    title: str
    target: Float[np.ndarray, "*grid c"]
    prediction: Float[np.ndarray, "*grid c"]
    train: Int[np.ndarray, " n"]


class Curve(NamedTuple):
    """A member's name, the steps at which it was looked at, what was seen, and what the kernel predicts, if it does."""

    name: str
    steps: np.ndarray
    curves: Curves
    predicted: Curves | None = None


class Eigenvalues(NamedTuple):
    """A name, frequencies in cycles per image side, and a kernel's eigenvalue at each."""

    name: str
    frequencies: Float[np.ndarray, " f"]
    values: Float[np.ndarray, " f"]


def training(curves: Sequence[Curve]) -> Figure:
    """PSNR over the steps: dotted on training, solid on held-out pixels."""
    figure, axes = canvas(7.2, 4.0)
    for number, (name, steps, (train, heldout, _), _) in enumerate(curves):
        color = COLORS[number % len(COLORS)]
        axes.plot(steps, train, color=color, label=f"{name}: training pixels", **STYLE["train"])
        if np.isfinite(heldout).any():
            axes.plot(steps, heldout, color=color, label=f"{name}: held-out pixels")
    _steps_axis(axes, curves)
    axes.set_ylabel("PSNR (dB)")
    axes.legend(fontsize=8, frameon=False) if len(curves) < 4 else legend_above(figure, axes, columns=2)
    return figure


def png(figure: Figure, dpi: int = 150) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def predicted(curves: Sequence[Curve]) -> Figure:
    """PSNR over the steps, on training and on held-out pixels: marks as observed, dashed lines as predicted."""
    figure = Figure(figsize=(8.6, 3.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, field, said in zip(panels, Curves._fields, ("training pixels", "held-out pixels"), strict=False):
        plain(axes)
        for number, (name, steps, observed, theory) in enumerate(curves):
            color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
            label = name if axes is panels[0] else ""
            axes.plot(steps, getattr(observed, field), marker, color=color, markersize=4, label=label)
            axes.plot(steps, getattr(theory, field), "--", color=color)
        _steps_axis(axes, curves)
        axes.set_title(said, fontsize=9)
    panels[0].set_ylabel("PSNR (dB)")
    legend_above(figure, panels[0], columns=2 if len(curves) < 5 else 3)
    return figure


def eigenvalues(lines: Sequence[Eigenvalues]) -> Figure:
    """A kernel's eigenvalue over the frequency, a line for each kernel."""
    figure, axes = canvas(7.2, 4.2)
    for number, (name, frequencies, values) in enumerate(lines):
        color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
        axes.plot(frequencies, values, color=color, marker=marker, markersize=4, markevery=0.1, label=name)
    axes.set_yscale("log")
    axes.set_xlabel("frequency (cycles per image side)")
    axes.set_ylabel("eigenvalue, kernel 1 at zero difference")
    legend_above(figure, axes, columns=2 if len(lines) < 5 else 3)
    return figure


def bands(curves: Sequence[Curve]) -> Figure:
    """What is left of each band of frequencies over the steps, a panel for each member: spectral bias as a picture.

    Where there is a prediction it is dashed, and what was observed solid, with marks that tell the bands apart.
    """
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(1.6 + 3.0 * columns, 0.4 + 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for empty in panels[len(curves) :]:
        empty.set_axis_off()
    widest = max(curves, key=lambda c: c.curves.history_bands.shape[-1])
    most = widest.curves.history_bands.shape[-1]
    for axes, (name, steps, (_, _, left), theory) in zip(panels, curves, strict=False):
        plain(axes)
        for band in np.flatnonzero(np.isfinite(left).any(0)).tolist():
            low, high = 2**band, 2 ** (band + 1) - 1
            said = f"{low} to {high}" if high > low else f"{low}"
            said = said if band < most - 1 else f"{low} and above"
            color = colormaps["viridis"](0.9 * band / max(1, most - 1))
            style: dict[str, Any] = {"linestyle": (0, (1 + band, 0.7 * (most - 1 - band) + 1e-9))}
            if theory is not None:
                style = {"marker": MARKERS[band % len(MARKERS)], "markersize": 4}
                axes.plot(steps, theory.history_bands[:, band], "--", color=color)
            axes.plot(steps, left[:, band], color=color, label=said if name == widest.name else "", **style)
        axes.set_yscale("log")
        axes.axhline(1.0, color="#777777", linewidth=1)
        _steps_axis(axes, curves)
        axes.set_title(name, fontsize=9)
    for axes in panels[::columns]:
        axes.set_ylabel("error's power over the target's")
    if np.isfinite(widest.curves.history_bands).any():  # a flat target has no bands
        figure.legend(title="cycles per image side", fontsize=8, frameon=False, loc="outside right upper")
    return figure


def gallery(pictured: Sequence[Pictured]) -> Figure:
    """For each member: target, prediction, signed error (mean of the channels), spectra of target and prediction."""
    figure, grid = rows_of_pictures([p.target.shape for p in pictured], 5, width=11.0)
    errors = [p.prediction.clip(0, 1) - p.target for p in pictured]
    limit = float(max(np.quantile(np.abs(e.mean(-1)), 0.99) for e in errors)) or 1.0
    spectra = [[metrics.spectrum(image) for image in (p.target, p.prediction.clip(0, 1))] for p in pictured]
    low, high = np.quantile(spectra[0][0], [0.05, 0.9995])
    for axes, each, error, pair in zip(grid, pictured, errors, spectra, strict=True):
        psnr = float(metrics.psnr(each.prediction, each.target))
        for place, image in ((0, each.target), (1, each.prediction.clip(0, 1))):
            axes[place].imshow(image if image.shape[-1] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=1)
        axes[2].imshow(error.mean(-1), cmap="RdBu_r", vmin=-limit, vmax=limit)
        for place, spectrum in ((3, pair[0]), (4, pair[1])):
            axes[place].imshow(spectrum, cmap="magma", vmin=low, vmax=high)
        titles = (
            "target",
            f"{psnr:.2f} dB over all pixels",
            f"error, ±{limit:.2g}",
            "target's spectrum",
            "its spectrum",
        )
        for axis, title in zip(axes, titles, strict=True):
            axis.set_title(title, fontsize=8)
            axis.set_xticks([])
            axis.set_yticks([])
        axes[0].set_ylabel(each.title, fontsize=9)
    return figure


def enlarged(rows: Sequence[tuple[str, Sequence[tuple[str, Float[np.ndarray, "..."]]]]]) -> Figure:
    """For each member the same part of the picture, at several sizes: its title, and pictures with what they are."""
    count = max(len(pictures) for _, pictures in rows)
    figure, grid = rows_of_pictures([pictures[0][1].shape for _, pictures in rows], count, width=2.6 * count)
    for axes, (title, pictures) in zip(grid, rows, strict=True):
        for axis, (said, image) in zip(axes, pictures, strict=True):
            shown = image.clip(0, 1) if image.shape[-1] == 3 else image[..., 0].clip(0, 1)
            axis.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set_title(said, fontsize=8)
            axis.set_xticks([])
            axis.set_yticks([])
        axes[0].set_ylabel(title, fontsize=9)
    return figure


def signals(pictured: Sequence[Pictured]) -> Figure:
    """For each member, a panel: the signal, what was fitted, and where it was trained on."""
    figure = Figure(figsize=(8.6, 1.9 * len(pictured) + 0.4), layout="constrained")
    for axes, each in zip(figure.subplots(len(pictured), 1, squeeze=False)[:, 0], pictured, strict=True):
        plain(axes)
        x, psnr = np.arange(len(each.target)) / len(each.target), float(metrics.psnr(each.prediction, each.target))
        axes.plot(x, each.target.mean(-1), color="black", linewidth=2.5, alpha=0.35, label="target")
        axes.plot(x, each.prediction.mean(-1), color=COLORS[0], linewidth=1.2, label="fitted")
        size = 3 if len(each.train) <= 100 else 1
        known = each.target.mean(-1)[each.train]
        axes.plot(x[each.train], known, ".", color=COLORS[1], markersize=size, label="trained on")
        axes.set_title(f"{each.title}: {psnr:.2f} dB over all samples", fontsize=9)
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, fontsize=8, frameon=False, loc="outside upper right", ncols=3)
    return figure


def spectra(pictured: Sequence[Pictured]) -> Figure:
    """Radially averaged power of the target, and of each prediction (solid) and its error (dotted)."""
    figure, axes = canvas(7.2, 4.2)
    axes.plot(*metrics.radial_power(pictured[0].target), color="black", linewidth=2.5, alpha=0.5, label="target")
    for number, each in enumerate(pictured):
        color, image = COLORS[number % len(COLORS)], each.prediction.clip(0, 1)
        axes.plot(*metrics.radial_power(image), color=color, label=f"{each.title}: prediction")
        axes.plot(
            *metrics.radial_power(image - each.target), color=color, label=f"{each.title}: error", **STYLE["train"]
        )
    in_decades(axes)
    axes.set_yscale("log")
    axes.set_xlabel("frequency (cycles per image side)")
    axes.set_ylabel("mean power of a ring")
    axes.legend(fontsize=8, frameon=False) if len(pictured) < 3 else legend_above(figure, axes, columns=2)
    return figure


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of so many inches with one pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    plain(axes)
    return figure, axes


def rows_of_pictures(shapes: Sequence[tuple[int, ...]], columns: int, width: float) -> tuple[Figure, np.ndarray]:
    """A figure of so many inches with a row of axes for each picture's shape (h, w, ...), as high as the picture."""
    heights = [width / columns * min(shape[0] / shape[1], TALLEST) for shape in shapes]
    figure = Figure(figsize=(width, sum(heights) + 0.2 * len(shapes) + 0.3), layout="constrained")
    return figure, figure.subplots(len(shapes), columns, squeeze=False, height_ratios=heights)


def plain(axes: Axes) -> None:
    """Give the axes a light grid and no frame."""
    axes.grid(True, **STYLE["grid"])
    axes.spines[["top", "right"]].set_visible(False)


def in_decades(axes: Axes) -> None:
    """A logarithmic horizontal axis that says 1, 2, 5, 10 and so on as plain numbers."""
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else ""))
    axes.tick_params(axis="x", which="minor", labelsize=8)


def legend_above(figure: Figure, axes: Axes, columns: int = 1) -> None:
    """The legend outside of the axes, in a figure that is made higher by as much."""
    lines = -(-len(axes.get_legend_handles_labels()[1]) // columns)
    figure.set_figheight(figure.get_figheight() + 0.19 * lines)
    figure.legend(fontsize=8, frameon=False, loc="outside upper center", ncols=columns)


def _steps_axis(axes: Axes, curves: Sequence[Curve]) -> None:
    """Steps on a logarithmic axis with its zero."""
    axes.set_xlim(0, max(c.steps.max() for c in curves) or 1)
    axes.set_xscale("symlog", linthresh=max(1.0, min((c.steps[1:2].max(initial=1) for c in curves), default=1)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("step")
