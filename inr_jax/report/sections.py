"""Which figures a study's report shows, and what is said of each."""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from inr_jax.kernel.regression import NotConverged
from inr_jax.kernel.spectrum import eigenvalues, predict_curves
from inr_jax.report import plots_members as figures
from inr_jax.report import plots_sweep as charts
from inr_jax.report import summary as tables
from inr_jax.report.plots_members import Curve, Eigenvalues, Pictured
from inr_jax.report.view import Outcome, RunView
from inr_jax.settings import Refused

# Members shown side by side: of a curve its ends and its best point, in the gallery also some between.
MOST_PICTURED, MOST_COMPARED = 6, 3
# The part of a picture that is shown enlarged: so many pixels along each side.
ENLARGED = 48
# Name, figure, dimensions of what it shows, caption.
GALLERIES = (
    (
        "gallery",
        figures.gallery,
        2,
        "Each row one member: the target, what was fitted, the signed error (red: too bright; mean over channels), and "
        "the power at each frequency on a logarithmic scale, zero in the middle.",
    ),
    ("signals", figures.signals, 1, "Each panel one member: the signal, what was fitted, and the samples trained on."),
)

KERNEL = (
    "Dashed: kernel regression with the network's neural tangent kernel and its own frequencies, which is not trained: "
    "what a network of infinite width learns in endless time. It sees where the scale is too large; it does not see "
    "that a short training leaves small scales unfinished, nor what a network gains by learning features."
)


class Plate(NamedTuple):
    """A figure with its file name, heading, caption, and what a screen reader says."""

    name: str
    heading: str
    figure: Figure
    caption: str
    alternative: str


def of(view: RunView) -> list[Plate]:
    """The figures of a study: its scores, then the curves and pictures of members that represent it."""
    table, baselines, forecast = view.table, view.baselines, view.prediction
    made = [_scores(table, baselines, None if forecast is None or forecast.empty else forecast)]
    if kind := charts.kinds_of_frequencies(table):
        made.append(
            Plate(
                "psnr_over_frequencies",
                "PSNR over the frequencies that were used",
                charts.over_frequencies(table, kind, baselines),
                "Each mark one member, at the root mean square of its B: as drawn, or where B is learned as it ended."
                f" At most {charts.MOST_PANELS} panels.",
                f"Scatter chart of PSNR in dB against the root mean square of the frequencies, by {kind}.",
            )
        )
    rows = representative(table, MOST_PICTURED)
    if not rows:
        return made
    few = representative(table, MOST_COMPARED if charts.main_axis(table) else MOST_PICTURED)
    theory = _settings(table, MOST_PICTURED) if forecast is not None else []
    by = tables.told_apart(tables.summary(table))
    curves: dict[int, Curve] = {}
    pictured: dict[int, Pictured] = {}
    outcomes: dict[int, Outcome] = {}
    for row in dict.fromkeys([*rows, *theory]):
        name = figures.literal(tables.named(table.loc[row], by))
        each = outcomes[row] = view.outcome(row)
        curves[row] = Curve(name, each.steps, each.curves)
        if row in rows:
            image = each.predict(each.task.grid, ())
            pictured[row] = Pictured(name, np.asarray(each.task.image), image, np.asarray(each.task.train))
    return [
        *made,
        *_theory([(outcomes[row], curves[row]) for row in theory]),
        *_curves([curves[row] for row in few]),
        *_pictures(list(pictured.values())),
        *_enlarged([(pictured[row], outcomes[row]) for row in few]),
        _spectra([pictured[row] for row in few]),
    ]


def representative(table: pd.DataFrame, most: int) -> list[int]:
    """At most so many rows of results.csv that show what a study found: points of its best curve, or its settings.

    Of a curve they are the lowest, the best and the highest, and what lies evenly between.
    """
    good = table[(table["status"] == "ok")]
    if good.empty:
        return []
    axis = charts.main_axis(good)
    by = [name for name in tables.varying(table) if name not in tables.REPEATED]
    if axis is None:
        # What was searched on the way to a second stage is in the table.
        shown = tables.last_stage(good)
        told_by = [*by, *(n for n in ("label",) if n in good)]
        return (shown.drop_duplicates(told_by) if told_by else shown).index.tolist()[: most if told_by else 1]
    curve = best_curve(good, axis)
    best = curve.index.get_loc(good[tables.criterion(good)].idxmax())
    even = np.linspace(0, len(curve) - 1, most - 1).round().astype(int)
    return curve.index[np.unique([*even, best])].tolist()


def best_curve(good: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The members that differ from the best one only along the axis, in its order."""
    winner = good.loc[good[tables.criterion(good)].idxmax()]
    by = [name for name in tables.varying(good) if name not in (*tables.REPEATED, axis)]
    same = np.full(len(good), True)
    for name in (*by, *tables.REPEATED):
        codes, values = pd.factorize(good[name])
        alike = [tables.cell(value) == tables.cell(winner[name]) for value in values]
        same &= np.asarray([*alike, pd.isna(winner[name])])[codes]  # of a blank one the code is -1
    return good[same].sort_values(axis)


def _settings(table: pd.DataFrame, most: int) -> list[int]:
    """A row of results.csv for each setting, or where these are more than so many, those that represent them."""
    good = table[table["status"] == "ok"]
    by = [name for name in tables.varying(table) if name not in tables.REPEATED]
    each = good.drop_duplicates(by) if by else good[:1]
    return each.index.tolist() if len(each) <= most else representative(table, most)


def _scores(table: pd.DataFrame, baselines: pd.DataFrame, forecast: pd.DataFrame | None) -> Plate:
    """The figure of the scores that fits what varies."""
    axis, plane = charts.main_axis(table), charts.surface_axes(table)
    if plane:
        x, y = plane
        return Plate(
            f"psnr_over_{x}_and_{y}",
            f"PSNR over {x} and {y}",
            charts.surface(table, x, y),
            f"{len(table)} members. Star: the best setting; crosses: a member diverged or failed; points: pruned.",
            f"Heat map of PSNR in dB over {x} and {y}; the values are those of the table below.",
        )
    if axis:
        lines = len(charts.lines_of(table, axis)[1])
        fewer = f" Of {lines} lines the {charts.MOST_LINES} that reach most." if lines > charts.MOST_LINES else ""
        theory = "" if forecast is None else f" {KERNEL}"
        bars = " Bars: published values, as their source defines them." if "published" in table else ""
        return Plate(
            f"psnr_against_{axis}",
            f"PSNR against {axis}",
            charts.against(table, axis, baselines, forecast),
            f"{len(table)} members; {charts.band_said(table)}. Solid: held-out pixels; dotted: training pixels; "
            "grey: interpolation of the training pixels without a network. Settings that only the training pixels "
            f"like are overfitted.{fewer}{bars}{theory}",
            f"Line chart of PSNR in dB against {axis}; the values are those of the table below.",
        )
    return Plate(
        "psnr_compared",
        "PSNR of each setting",
        charts.compared(table, baselines),
        f"{len(table)} members; {tables.spread_said(table)}. "
        "Grey: interpolation of the training pixels without a network.",
        "Dot chart of PSNR in dB of each setting; the values are those of the table below.",
    )


def _curves(curves: Sequence[Curve]) -> list[Plate]:
    """What was seen of these members on the way."""
    names = ", ".join(curve.name for curve in curves)
    return [
        Plate(
            "training",
            "Training curves",
            figures.training(curves),
            "PSNR over the steps, on an even sample of the pixels of either kind; one seed each.",
            f"Line chart of PSNR in dB over training steps for {names}.",
        ),
        Plate(
            "bands",
            "Which frequencies are learned when",
            figures.bands(curves),
            "The error's power over the target's in octaves of frequency, along some rows and columns of all pixels: "
            "at 1 nothing of a band is learned. Low bands fall first; a band that never falls is out of reach.",
            f"Line charts of relative error power over training steps, a line for each octave, for {names}.",
        ),
    ]


def _theory(shown: Sequence[tuple[Outcome, Curve]]) -> list[Plate]:
    """What the kernel says of those of these members that have one."""
    lines: list[Eigenvalues] = []
    curves: list[Curve] = []
    for outcome, curve in shown:
        design, hyper, task = outcome.design, outcome.hyper, outcome.task
        with suppress(Refused, NotConverged):
            line = Eigenvalues(curve.name, *eigenvalues(design, hyper, task.grid, task.channels))
            # Members that differ in what no kernel reads share a line.
            if not any(np.array_equal(line.values, each.values) for each in lines):
                lines.append(line)
            curves.append(curve._replace(predicted=predict_curves(design, hyper, task, curve.steps)))
    return [*(_eigenvalues(lines) if lines else []), *(_predicted(curves) if curves else [])]


def _eigenvalues(lines: Sequence[Eigenvalues]) -> list[Plate]:
    """The kernels' spectra."""
    return [
        Plate(
            "ntk_spectra",
            "How fast each frequency is learned, by the kernel",
            figures.eigenvalues(lines),
            "Eigenvalues of the neural tangent kernel between all pixels, over the frequency of their waves; the mean "
            "over all frequencies is 1. Gradient descent shrinks the error of each at a rate in proportion.",
            f"Line chart of the kernel's eigenvalues against frequency for {', '.join(line.name for line in lines)}.",
        )
    ]


def _predicted(curves: Sequence[Curve]) -> list[Plate]:
    """The training that the kernel predicts beside that which was observed."""
    said = (
        "Dashed: gradient flow from 0 with the neural tangent kernel, the mean over networks of infinite width. Marks: "
        "one network, which starts at a random function instead."
    )
    names = ", ".join(curve.name for curve in curves)
    return [
        Plate(
            "predicted_training",
            "Training as the kernel predicts it",
            figures.predicted(curves),
            said,
            f"Line charts of PSNR in dB over training steps, predicted and observed, for {names}.",
        ),
        Plate(
            "predicted_bands",
            "Which frequencies are learned when, as the kernel predicts it",
            figures.bands(curves),
            f"The error's power over the target's in octaves of frequency. {said}",
            f"Line charts of relative error power over training steps, predicted and observed, for {names}.",
        ),
    ]


def _pictures(pictured: Sequence[Pictured]) -> list[Plate]:
    """What came out of these members: images and signals apart."""
    made = []
    for name, draw, dims, said in GALLERIES:
        shown = [p for p in pictured if p.target.ndim - 1 == dims]
        if shown:
            about = f"{'; '.join(p.title for p in shown)}: target and prediction"
            made.append(Plate(name, name.capitalize(), draw(shown), said, about))
    return made


def _enlarged(shown: Sequence[tuple[Pictured, Outcome]]) -> list[Plate]:
    """The middle of these members' pictures, drawn by them at two and at four times the size."""
    rows = []
    for each, outcome in shown:
        if each.target.ndim != 3:
            continue
        whole = each.target.shape[:2]
        starts = [max(0, (side - ENLARGED) // 2) for side in whole]
        middle = tuple(slice(start, start + ENLARGED) for start in starts)
        sizes: list[tuple[str, np.ndarray]] = []
        for times, said in ((4, "at 4x"), (2, "at 2x"), (1, "fitted")):
            if sizes and outcome.design.domain == "unit":
                # Every second pixel of the larger grid is the smaller one's.
                drawn = sizes[0][1][:: 4 // times, :: 4 // times]
            else:
                cuts = zip(middle, whole, strict=True)
                part = tuple(slice(times * cut.start, times * min(cut.stop, side)) for cut, side in cuts)
                drawn = outcome.predict((times * whole[0], times * whole[1]), part)
            sizes.append((said, drawn))
        rows.append((each.title, [("target", each.target[middle]), *sizes[::-1]]))
    if not rows:
        return []
    return [
        Plate(
            "enlarged",
            "Between the pixels",
            figures.enlarged(rows),
            "The middle of the picture, as it is and as the network draws it at two and four times the size: what it "
            "makes of places that no pixel has told it of.",
            f"The picture's middle at one, two and four times the size for {', '.join(title for title, _ in rows)}.",
        )
    ]


def _spectra(compared: Sequence[Pictured]) -> Plate:
    """The spectra of those that were fitted to what the first one was."""
    same = [p for p in compared if np.array_equal(p.target, compared[0].target)]
    return Plate(
        "spectra",
        "Power at each frequency",
        figures.spectra(same),
        "Radially averaged, of the target, the predictions and their errors. Where an error reaches the "
        "target, nothing of that frequency was fitted.",
        f"Line chart of power against frequency for {', '.join(p.title for p in same)}.",
    )
