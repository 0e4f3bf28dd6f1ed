"""The style of all figures: colours and markers that stay distinct in grey, light axes, legends above them."""

import io
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

# Okabe and Ito's colours: distinct for the colour-blind and, by their lightness, in grey; with a marker each.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#777777"
# Height over width from which an image is drawn narrower than its column.
TALLEST = 1.5
# Letters of a legend in an inch.
LETTERS = 17
# Lines of scores on training pixels, whatever their colour.
TRAINING_LINE: dict[str, Any] = {"linestyle": ":", "alpha": 0.9}

# Lines of the interpolations.
DASHES: dict[str, Any] = {"linear": "-.", "cubic": "--", "smoothing spline": ":"}


def color(number: int) -> str:
    """Return the colour of the line of this number; colours repeat."""
    return COLORS[number % len(COLORS)]


def marked_line(number: int, size: int) -> dict[str, Any]:
    """Return the colour and the marker of the line of this number, as arguments of `Axes.plot`."""
    return {"color": color(number), "marker": MARKERS[number % len(MARKERS)], "markersize": size}


def literal(text: str) -> str:
    """Escape a text for matplotlib, where a dollar sign would begin a formula."""
    return text.replace("$", r"\$")


def folded(text: str, letters: int) -> str:
    """Return a text in lines of about this many letters, for the title of a panel or a row."""
    return "\n".join(textwrap.wrap(text, letters, break_long_words=False))


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of this size in inches, with one pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    light_axes(axes)
    return figure, axes


def image_rows(shapes: Sequence[tuple[int, ...]], columns: int, width: float) -> tuple[Figure, np.ndarray]:
    """Return a figure this many inches wide, and its axes: a row for each image shape (h, w, ...), as high as that."""
    heights = [width / columns * min(shape[0] / shape[1], TALLEST) for shape in shapes]
    figure = Figure(figsize=(width, sum(heights) + 0.2 * len(shapes) + 0.3), layout="constrained")
    return figure, figure.subplots(len(shapes), columns, squeeze=False, height_ratios=heights)


def light_axes(axes: Axes) -> None:
    """Give the axes a light grid and no frame."""
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def image_axes(axes: Axes, title: str) -> None:
    """Give the axes of an image a title and no ticks."""
    axes.set_title(title, fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])


def log_axis(axes: Axes) -> None:
    """Make the horizontal axis logarithmic, with 1, 2, 5, 10, ... written as plain numbers."""
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else ""))
    axes.tick_params(axis="x", which="minor", labelsize=8)


def legend_above(figure: Figure, axes: Axes, columns: int = 2) -> None:
    """Draw the legend above the axes, in a figure that grows by as much; in fewer columns if its labels are long."""
    labels = axes.get_legend_handles_labels()[1]
    longest = max(map(len, labels), default=1)
    columns = max(1, min(columns, int(figure.get_figwidth() * LETTERS / (longest + 6))))
    lines = -(-len(labels) // columns)
    figure.set_figheight(figure.get_figheight() + 0.19 * lines)
    figure.legend(fontsize=8, frameon=False, loc="outside upper center", ncols=columns)


def png(figure: Figure, dpi: int = 150) -> bytes:
    """Return the figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def svg(figure: Figure, name: str, dpi: int = 150) -> bytes:
    """Return the figure as an SVG file, laid out as it last was for a PNG; images in it have this resolution.

    Its ids follow from `name`: the same figure gives the same file, and figures of other names can share a page.
    """
    buffer = io.BytesIO()
    figure.set_layout_engine("none")
    with rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", dpi=dpi, metadata={"Date": None})
    return buffer.getvalue()
