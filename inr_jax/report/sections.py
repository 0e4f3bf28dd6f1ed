"""The sections of a report: which figures a study has, and their captions."""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from inr_jax.fit.metrics import METRICS
from inr_jax.fit.pixels import is_unknown
from inr_jax.kernel import spectrum
from inr_jax.kernel.regression import NotConverged
from inr_jax.report.plots_members import (
    Eigenvalues,
    Prediction,
    TrainingCurves,
    plot_bands,
    plot_eigenvalues,
    plot_enlarged,
    plot_gallery,
    plot_predicted_training,
    plot_reconstructions,
    plot_signals,
    plot_spectra,
    plot_training,
)
from inr_jax.report.plots_sweep import (
    MOST_LINES,
    MOST_PANELS,
    MOST_ROWS,
    describe_bands,
    has_few_methods,
    plot_curves,
    plot_frequencies,
    plot_settings,
    plot_surface,
)
from inr_jax.report.selection import (
    frequency_setting,
    lines_along,
    main_axis,
    representative_rows,
    setting_rows,
    surface_axes,
)
from inr_jax.report.style import literal
from inr_jax.report.summary import criterion, summarize
from inr_jax.report.text import describe_spread, label_columns, row_label
from inr_jax.report.tuning import MOST_NETWORKS, NEAR, networks_tried, plot_places, plot_risk
from inr_jax.report.view import MemberView, RunView, magnify_centre
from inr_jax.settings import Refused

# Members in the gallery, and in figures that compare some: of a curve its ends and its best point.
MOST_SHOWN, MOST_COMPARED = 6, 3
GREY_LINES = "Grey: the same measurements without a network."
# The part of an image that is enlarged, in pixels along each side.
ENLARGED = 48


class Section(NamedTuple):
    """A figure with its file name, heading, caption, and alternative text for screen readers."""

    name: str
    heading: str
    figure: Figure
    caption: str
    alternative: str


def make_sections(view: RunView) -> list[Section]:
    """Return the sections of a study: its scores, then training curves and images of members that represent it."""
    # The figures are of the package's own metrics.
    table = view.table.drop(columns=[name for name in view.metrics if name not in METRICS])
    # A chart of a single member would be one dot: its scores are in the table.
    scores = [*([_scores(view, table)] if len(table) > 1 else []), *_frequencies(view, table), *_tuning(view, table)]
    shown = representative_rows(table, MOST_SHOWN)
    if not shown:
        return scores
    compared = representative_rows(table, MOST_COMPARED if main_axis(table) else MOST_SHOWN)
    theory = setting_rows(table, MOST_SHOWN) if view.prediction is not None else []
    members = {row: view.member(row) for row in dict.fromkeys([*shown, *theory])}
    columns = label_columns(summarize(table))
    titles = {row: literal(row_label(table.loc[row], columns)) for row in members}
    curves = {row: TrainingCurves(titles[row], member.steps, member.curves) for row, member in members.items()}
    predictions = {row: _predict(titles[row], members[row]) for row in shown}
    return [
        *scores,
        *_theory([(members[row], curves[row]) for row in theory]),
        *_training([curves[row] for row in compared]),
        *_images(list(predictions.values())),
        *_enlarged([(predictions[row], members[row]) for row in compared]),
        *_spectra([predictions[row] for row in compared]),
    ]


def _predict(title: str, member: MemberView) -> Prediction:
    task = member.task
    train = np.asarray(task.train if task.pixelwise else [], int)
    return Prediction(title, np.asarray(task.image), task.picture(member.network.predict), train)


def _scores(view: RunView, table: pd.DataFrame) -> Section:
    """The figure of the scores that suits what varies: a surface, curves, or a list of settings."""
    axis, surface = main_axis(table), surface_axes(table)
    if surface:
        x, y = surface
        return Section(
            f"psnr_over_{x}_and_{y}",
            f"PSNR over {x} and {y}",
            plot_surface(table, x, y, view.units),
            f"{len(table)} members. Star: the best setting; crosses: a member diverged or failed; dots: pruned.",
            f"Heat map of PSNR in dB over {x} and {y}; the values are those of the table below.",
        )
    if axis:
        return _curves(view, table, axis)
    shared = f"Of more than {MOST_ROWS} settings those of a label share a row, in which the best is marked."
    return Section(
        "psnr_compared",
        "PSNR of each setting",
        plot_settings(table, view.baselines),
        f"{len(table)} members; {describe_spread(table)}. "
        + (f"{shared} " if len(summarize(table).table) > MOST_ROWS else "")
        + (GREY_LINES if has_few_methods(view.baselines) else ""),
        "Dot chart of PSNR in dB of each setting; the values are those of the table below.",
    )


def _curves(view: RunView, table: pd.DataFrame, axis: str) -> Section:
    prediction = None if view.prediction is None or view.prediction.empty else view.prediction
    caption = [
        f"{len(table)} members; {describe_bands(table)}.",
        "Solid: held out; dotted: trained on.",
        *([GREY_LINES] if has_few_methods(view.baselines) else []),
        "A setting that is good only on what it is trained on is overfitted.",
    ]
    lines = len(lines_along(table, axis)[1])
    if lines > MOST_LINES:
        caption.append(f"Of {lines} lines, the {MOST_LINES} with the highest PSNR.")
    if "published" in table:
        caption.append("Bars: published values, as defined by their source.")
    if prediction is not None:
        caption.append(
            "Dashed: kernel regression with the network's neural tangent kernel and initial frequencies, without "
            "training: what a network of infinite width learns in infinite time. It shows where the scale is too "
            "large, but not that short training leaves small scales unfinished, nor what a network gains by learning "
            "features."
        )
    return Section(
        f"psnr_against_{axis}",
        f"PSNR against {axis}",
        plot_curves(table, axis, view.baselines, prediction, view.units),
        " ".join(caption),
        f"Line chart of PSNR in dB against {axis}; the values are those of the table below.",
    )


def _frequencies(view: RunView, table: pd.DataFrame) -> list[Section]:
    kind = frequency_setting(table)
    if kind is None:
        return []
    return [
        Section(
            "psnr_over_frequencies",
            "PSNR against the frequencies",
            plot_frequencies(table, kind, view.baselines),
            "Each mark is one member, at the root mean square of its frequencies B: as drawn, or if B is learned, at "
            f"the end of training. At most {MOST_PANELS} panels.",
            f"Scatter chart of PSNR in dB against the root mean square of the frequencies, by {kind}.",
        )
    ]


def _tuning(view: RunView, table: pd.DataFrame) -> list[Section]:
    """What tuning does for each of several networks, where these were tried at several settings."""
    tried, score = networks_tried(table), criterion(table)
    if not tried:
        return []
    names = ", ".join(each.name for each in tried)
    sections = [
        Section(
            "tuning_risk",
            "What tuning gives, and risks",
            plot_risk(tried, score, view.baselines),
            "The best of k settings against k, of those that were tried, drawn without replacement: the line is the "
            "median over draws, the band holds eight draws of ten. The best is chosen by the score that is shown: an "
            "oracle's, of these images. A setting is lost if a member diverged or failed; where most are, the band "
            f"reaches the bottom. Pale: the other networks, of at most {MOST_NETWORKS}, those that reach most.",
            f"Line charts of the best of k settings against k for {names}.",
        )
    ]
    if table["psnr_heldout"].notna().any():
        sections.append(
            Section(
                "best_places",
                "Where the best settings lie",
                plot_places(tried),
                f"Each number of each network within the range that was tried, of which the ends are given. Marks: the "
                f"best setting for either kind of pixels; bars span the best {NEAR}. A mark at an end asks for a "
                "wider range.",
                f"Dot chart of the best settings for training and for held-out pixels of {names}.",
            )
        )
    return sections


def _training(members: Sequence[TrainingCurves]) -> list[Section]:
    titles = ", ".join(member.title for member in members)
    return [
        Section(
            "training",
            "Training curves",
            plot_training(members),
            "PSNR over training steps, on an even sample of what is trained on and of what is held out; one seed each.",
            f"Line chart of PSNR in dB over training steps for {titles}.",
        ),
        Section(
            "bands",
            "Which frequencies are learned when",
            plot_bands(members),
            "Power of the error relative to that of the target, in octaves of frequency, along a sample of the rows "
            "and columns. At 1, nothing of an octave is learned. Low frequencies are learned first; an octave that "
            "stays at 1 is out of reach.",
            f"Line charts of relative error power over training steps, a line for each octave, for {titles}.",
        ),
    ]


def _theory(members: Sequence[tuple[MemberView, TrainingCurves]]) -> list[Section]:
    """The spectra of the members' kernels, and training as these predict it, of the members that have a kernel."""
    kernels: list[Eigenvalues] = []
    curves: list[TrainingCurves] = []
    for member, observed in members:
        (design, hyper, *_), task = member.network, member.task
        with suppress(Refused, NotConverged):
            kernel = Eigenvalues(observed.title, *spectrum.eigenvalues(design, hyper, task.grid, task.channels))
            # Members that differ in what no kernel reads share a line.
            if not any(np.array_equal(kernel.values, other.values) for other in kernels):
                kernels.append(kernel)
            curves.append(observed._replace(predicted=spectrum.predict_curves(design, hyper, task, observed.steps)))
    return [*(_eigenvalues(kernels) if kernels else []), *(_predicted(curves) if curves else [])]


def _eigenvalues(kernels: Sequence[Eigenvalues]) -> list[Section]:
    titles = ", ".join(kernel.title for kernel in kernels)
    return [
        Section(
            "ntk_spectra",
            "How fast the kernel learns each frequency",
            plot_eigenvalues(kernels),
            "Eigenvalues of the neural tangent kernel between all pixels, against the frequency of their waves; the "
            "mean over all frequencies is 1. Under gradient descent the error at a frequency decays at a rate "
            "proportional to its eigenvalue.",
            f"Line chart of the kernel's eigenvalues against frequency for {titles}.",
        )
    ]


def _predicted(members: Sequence[TrainingCurves]) -> list[Section]:
    caption = (
        "Dashed: gradient flow from 0 with the neural tangent kernel, the mean over networks of infinite width. Marks: "
        "one trained network, which starts from a random function instead."
    )
    titles = ", ".join(member.title for member in members)
    return [
        Section(
            "predicted_training",
            "Training as predicted by the kernel",
            plot_predicted_training(members),
            caption,
            f"Line charts of PSNR in dB over training steps, predicted and observed, for {titles}.",
        ),
        Section(
            "predicted_bands",
            "Which frequencies are learned when, as predicted by the kernel",
            plot_bands(members),
            f"Power of the error relative to that of the target, in octaves of frequency. {caption}",
            f"Line charts of relative error power over training steps, predicted and observed, for {titles}.",
        ),
    ]


def _images(members: Sequence[Prediction]) -> list[Section]:
    """The members' targets and predictions: a gallery of images, and a figure of signals."""
    members = [_slice(member) if member.target.ndim == 4 else member for member in members]
    unknown = [member for member in members if member.target.ndim == 3 and is_unknown(member.target)]
    images = [member for member in members if member.target.ndim == 3 and not is_unknown(member.target)]
    signals = [member for member in members if member.target.ndim == 2]
    sections = []
    if images:
        caption = (
            "One member per row: the target, the prediction with its PSNR over all pixels, the signed error (red: too "
            "bright; mean over channels), and the power at each frequency on a logarithmic scale, zero frequency in "
            "the centre. Of volumes the middle slice."
        )
        sections.append(Section("gallery", "Gallery", plot_gallery(images), caption, _image_titles(images)))
    if unknown:
        caption = "The image of each member; no truth is known."
        titles = f"Images of {'; '.join(member.title for member in unknown)}."
        sections.append(Section("images", "Images", plot_reconstructions(unknown), caption, titles))
    if signals:
        caption = "One member per panel: the signal, the prediction, and the training samples."
        sections.append(Section("signals", "Signals", plot_signals(signals), caption, _image_titles(signals)))
    return sections


def _slice(member: Prediction) -> Prediction:
    """The middle slice of a volume along its first axis, one that is held out where every second one is."""
    middle = min(len(member.target) // 2 | 1, len(member.target) - 1)
    return member._replace(target=member.target[middle], prediction=member.prediction[middle], train=member.train[:0])


def _image_titles(members: Sequence[Prediction]) -> str:
    return f"Target and prediction for {'; '.join(member.title for member in members)}."


def _enlarged(members: Sequence[tuple[Prediction, MemberView]]) -> list[Section]:
    pairs = [pair for pair in members if pair[0].target.ndim == 3 and not is_unknown(pair[0].target)]
    images = [(shown.title, magnify_centre(member, ENLARGED)) for shown, member in pairs]
    if not images:
        return []
    return [
        Section(
            "enlarged",
            "Between the pixels",
            plot_enlarged(images),
            "The centre of the image, and the network's prediction of it at one, two and four times the resolution: "
            "what the network draws between the pixels that it was trained on.",
            f"The image's centre at one, two and four times the resolution for {', '.join(t for t, _ in images)}.",
        )
    ]


def _spectra(members: Sequence[Prediction]) -> list[Section]:
    """The spectra of the members that are fitted to the same image as the first, if it is known."""
    same = [member for member in members if np.array_equal(member.target, members[0].target)]
    if not same:
        return []
    return [
        Section(
            "spectra",
            "Power spectra",
            plot_spectra(same),
            "Radially averaged power of the target, the predictions and their errors. Where the error reaches the "
            "target, that frequency is not fitted.",
            f"Line chart of power against frequency for {', '.join(member.title for member in same)}.",
        )
    ]
