"""Figures of members: training curves, what each frequency's error became, predictions beside their targets."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from inr_jax.data.images import visible
from inr_jax.fit import metrics
from inr_jax.fit.curves import Curves
from inr_jax.report import style


class Prediction(NamedTuple):
    """A member's title, target and prediction, and the row-major indices of its training pixels."""

    title: str
    target: Float[np.ndarray, "*grid c"]
    prediction: Float[np.ndarray, "*grid c"]
    train: Int[np.ndarray, " n"]


class TrainingCurves(NamedTuple):
    """A member's title, its curves at these steps, and the curves that the kernel predicts, if it does."""

    title: str
    steps: Int[np.ndarray, " t"]
    curves: Curves
    predicted: Curves | None = None


class Eigenvalues(NamedTuple):
    """A title, frequencies in cycles per image side, and a kernel's eigenvalue at each."""

    title: str
    frequencies: Float[np.ndarray, " f"]
    values: Float[np.ndarray, " f"]


def plot_training(members: Sequence[TrainingCurves]) -> Figure:
    """Plot PSNR over the steps: dotted on what is trained on, solid on what is held out."""
    figure, axes = style.canvas(6.0, 3.6)
    for number, (title, steps, (train, heldout, _), _) in enumerate(members):
        axes.plot(steps, train, color=style.color(number), label=f"{title}: trained on", **style.TRAINING_LINE)
        if np.isfinite(heldout).any():
            axes.plot(steps, heldout, color=style.color(number), label=f"{title}: held out")
    _steps_axis(axes, members)
    axes.set_ylabel("PSNR (dB)")
    style.legend_above(figure, axes)
    return figure


def plot_predicted_training(members: Sequence[TrainingCurves]) -> Figure:
    """Plot PSNR over the steps, on training and on held-out pixels: markers as observed, dashed lines as predicted."""
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, field, pixels in zip(panels, Curves._fields, ("training", "held-out"), strict=False):
        style.light_axes(axes)
        for number, (title, steps, observed, predicted) in enumerate(members):
            label = title if axes is panels[0] else ""
            axes.plot(steps, getattr(observed, field), linestyle="none", label=label, **style.marked_line(number, 4))
            axes.plot(steps, getattr(predicted, field), "--", color=style.color(number))
        _steps_axis(axes, members)
        axes.set_title(f"{pixels} pixels", fontsize=9)
    panels[0].set_ylabel("PSNR (dB)")
    style.legend_above(figure, panels[0], columns=2 if len(members) < 5 else 3)
    return figure


def plot_eigenvalues(kernels: Sequence[Eigenvalues]) -> Figure:
    """Plot eigenvalues over the frequency, a line for each kernel."""
    figure, axes = style.canvas(6.0, 3.8)
    for number, (title, frequencies, values) in enumerate(kernels):
        axes.plot(frequencies, values, markevery=0.1, label=title, **style.marked_line(number, 4))
    axes.set_yscale("log")
    axes.set_xlabel("frequency (cycles per image side)")
    axes.set_ylabel("eigenvalue, kernel 1 at zero difference")
    style.legend_above(figure, axes, columns=2 if len(kernels) < 5 else 3)
    return figure


def plot_bands(members: Sequence[TrainingCurves]) -> Figure:
    """Plot the error that is left in each octave of frequency over the steps, a panel for each member: spectral bias.

    A prediction, where there is one, is dashed; what was observed then has markers that distinguish the octaves.
    """
    columns = min(3, len(members))
    rows = -(-len(members) // columns)
    figure = Figure(figsize=(1.6 + 1.9 * columns, 0.4 + 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for empty in panels[len(members) :]:
        empty.set_axis_off()
    # The image with most octaves names them for all.
    widest = max(members, key=lambda member: member.curves.history_bands.shape[-1])
    for axes, member in zip(panels, members, strict=False):
        style.light_axes(axes)
        _plot_octaves(axes, member, widest.curves.history_bands.shape[-1], labelled=member.title == widest.title)
        axes.set_yscale("log")
        axes.axhline(1.0, color=style.GREY, linewidth=1)
        _steps_axis(axes, members)
        axes.set_title(style.folded(member.title, 26), fontsize=8)
    for axes in panels[::columns]:
        axes.set_ylabel("power of the error / of the target", fontsize=8)
    if np.isfinite(widest.curves.history_bands).any():  # a flat target has no bands
        figure.legend(title="cycles per image side", fontsize=8, frameon=False, loc="outside right upper")
    return figure


def plot_gallery(members: Sequence[Prediction]) -> Figure:
    """Show for each member target, prediction, signed error (mean of the channels), and the spectra of both."""
    figure, grid = style.image_rows([member.target.shape for member in members], 5, width=7.2)
    errors = [member.prediction.clip(0, 1) - member.target for member in members]
    limit = float(max(np.quantile(np.abs(error.mean(-1)), 0.99) for error in errors)) or 1.0
    spectra = [[metrics.spectrum(image) for image in (m.target, m.prediction.clip(0, 1))] for m in members]
    low, high = np.quantile(spectra[0][0], [0.05, 0.9995])
    for axes, member, error, pair in zip(grid, members, errors, spectra, strict=True):
        psnr = float(metrics.psnr(member.prediction, member.target))
        for panel, title, image in (
            (axes[0], "target", member.target),
            (axes[1], f"{psnr:.2f} dB", member.prediction),
        ):
            _show_image(panel, image)
            style.image_axes(panel, title)
        axes[2].imshow(error.mean(-1), cmap="RdBu_r", vmin=-limit, vmax=limit)
        style.image_axes(axes[2], f"error, ±{limit:.2g}")
        for panel, title, spectrum in zip(axes[3:], ("target's spectrum", "prediction's spectrum"), pair, strict=True):
            panel.imshow(spectrum, cmap="magma", vmin=low, vmax=high)
            style.image_axes(panel, title)
        axes[0].set_ylabel(style.folded(member.title, 22), fontsize=8)
    return figure


def plot_reconstructions(members: Sequence[Prediction]) -> Figure:
    """Show the prediction of each member."""
    figure, grid = style.image_rows([members[0].prediction.shape], len(members), width=1.8 * len(members))
    for axes, member in zip(grid[0], members, strict=True):
        _show_image(axes, member.prediction)
        style.image_axes(axes, member.title)
    return figure


def plot_enlarged(members: Sequence[tuple[str, Sequence[tuple[str, Float[np.ndarray, "..."]]]]]) -> Figure:
    """Show for each member, given by its title and images with titles, the same part of the image at several sizes."""
    count = max(len(images) for _, images in members)
    figure, grid = style.image_rows([images[0][1].shape for _, images in members], count, width=1.8 * count)
    for axes, (title, images) in zip(grid, members, strict=True):
        for panel, (size, image) in zip(axes, images, strict=True):
            _show_image(panel, image, interpolation="nearest")
            style.image_axes(panel, size)
        axes[0].set_ylabel(style.folded(title, 22), fontsize=8)
    return figure


def plot_signals(members: Sequence[Prediction]) -> Figure:
    """Show in a panel for each member the signal, the prediction, and the training samples."""
    figure = Figure(figsize=(6.0, 1.7 * len(members) + 0.4), layout="constrained")
    for axes, member in zip(figure.subplots(len(members), 1, squeeze=False)[:, 0], members, strict=True):
        style.light_axes(axes)
        target = member.target.mean(-1)
        x, psnr = np.arange(len(target)) / len(target), float(metrics.psnr(member.prediction, member.target))
        axes.plot(x, target, color="black", linewidth=2.5, alpha=0.35, label="target")
        axes.plot(x, member.prediction.mean(-1), color=style.COLORS[0], linewidth=1.2, label="prediction")
        size = 3 if len(member.train) <= 100 else 1
        samples = x[member.train], target[member.train]
        axes.plot(*samples, ".", color=style.COLORS[1], markersize=size, label="training samples")
        axes.set_title(f"{member.title}: {psnr:.2f} dB over all samples", fontsize=9)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, frameon=False, loc="outside upper right", ncols=3)
    return figure


def plot_spectra(members: Sequence[Prediction]) -> Figure:
    """Plot the radially averaged power of the target, and of each prediction (solid) and its error (dotted)."""
    figure, axes = style.canvas(6.0, 3.8)
    axes.plot(*metrics.radial_power(members[0].target), color="black", linewidth=2.5, alpha=0.5, label="target")
    for number, member in enumerate(members):
        image = member.prediction.clip(0, 1)
        axes.plot(*metrics.radial_power(image), color=style.color(number), label=f"{member.title}: prediction")
        error = metrics.radial_power(image - member.target)
        axes.plot(*error, color=style.color(number), label=f"{member.title}: error", **style.TRAINING_LINE)
    style.log_axis(axes)
    axes.set_yscale("log")
    axes.set_xlabel("frequency (cycles per image side)")
    axes.set_ylabel("mean power at a frequency")
    style.legend_above(figure, axes)
    return figure


def _show_image(axes: Axes, image: Float[np.ndarray, "h w c"], **options: Any) -> None:
    axes.imshow(visible(image).clip(0, 1), cmap="gray", vmin=0, vmax=1, **options)


def _plot_octaves(axes: Axes, member: TrainingCurves, count: int, labelled: bool) -> None:
    """Plot a line for each octave of which the target has something; `count` is the number of all octaves."""
    left, predicted = member.curves.history_bands, member.predicted
    for octave in np.flatnonzero(np.isfinite(left).any(0)).tolist():
        low, high = 2**octave, 2 ** (octave + 1) - 1
        label = f"{low} and above" if octave == count - 1 else f"{low} to {high}" if high > low else f"{low}"
        color = colormaps["viridis"](0.9 * octave / max(1, count - 1))
        options: dict[str, Any] = {"linestyle": (0, (1 + octave, 0.7 * (count - 1 - octave) + 1e-9))}
        if predicted is not None:
            options = style.marked_line(octave, 4)
            axes.plot(member.steps, predicted.history_bands[:, octave], "--", color=color)
        axes.plot(member.steps, left[:, octave], label=label if labelled else "", **options | {"color": color})


def _steps_axis(axes: Axes, members: Sequence[TrainingCurves]) -> None:
    """Make the horizontal axis one of steps: logarithmic, with a zero."""
    first = min((member.steps[1:2].max(initial=1) for member in members), default=1)
    axes.set_xlim(0, max(member.steps.max() for member in members) or 1)
    axes.set_xscale("symlog", linthresh=max(1.0, first))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("step")
