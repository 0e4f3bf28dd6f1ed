"""Figures and charts: what is drawn is what the table says."""

import numpy as np
import pandas as pd
import pytest

from inr_jax.fit.curves import Curves
from inr_jax.report.plots_members import Prediction, TrainingCurves, plot_bands, plot_gallery, plot_signals
from inr_jax.report.plots_sweep import plot_curves, plot_frequencies, plot_settings, plot_surface
from inr_jax.report.selection import frequency_setting, lines_along

NONE = pd.DataFrame({"method": [], "psnr_heldout": [], "psnr_all": []})


def members(**columns) -> pd.DataFrame:
    made = pd.DataFrame({name: value for name, value in columns.items() if name != "image"})
    made = made.assign(image=columns["image"]) if "image" in columns else made
    same = {"image": "a", "seed": 0, "split_seed": 0, "size": 8, "task": "split", "split": "quarter", "validation": 0.0}
    outcome = {"status": "ok", "diverged_at": np.nan, "seconds": 1.0, "ssim": 0.5}
    scores = {name: made["psnr_heldout"] for name in ("psnr_train", "psnr_all")}
    defaults = {"scale": 1.0, "family": "gaussian", "learn_frequencies": False, "rms_frequency": made.get("scale", 1.0)}
    return made.assign(**{n: v for n, v in (same | outcome | scores | defaults).items() if n not in made})


def texts(axes) -> list[str]:
    return axes.get_legend_handles_labels()[1]


def test_published_values_are_drawn_at_their_setting_beside_our_own():
    table = members(frequencies=[8, 16, 32], psnr_heldout=[20.0, 22.0, 23.0], published=[17.6, 21.8, 23.9])
    (axes,) = plot_curves(table, "frequencies", NONE).axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    (published,) = (line for label, line in lines.items() if "published" in label)
    np.testing.assert_array_equal(published.get_xydata(), [[8, 17.6], [16, 21.8], [32, 23.9]])
    np.testing.assert_array_equal(lines["held-out pixels"].get_xydata(), [[8, 20], [16, 22], [32, 23]])


@pytest.mark.parametrize("kind", ["family", "learn_frequencies"])
def test_members_of_each_kind_are_drawn_at_their_own_frequencies_in_a_panel_for_each_problem(kind):
    values = ["gaussian", "laplace"] if kind == "family" else [False, True]
    columns = {"scale": [2.0, 2.0] * 2, kind: values * 2, "rms_frequency": [1.9, 2.3] * 2, "exponent": [1, 1, 2, 2]}
    table = members(**columns, psnr_heldout=[20.0, 21.0, 30.0, 31.0])
    assert frequency_setting(table) == kind
    assert frequency_setting(table[table[kind] == values[0]]) is None
    panels = plot_frequencies(table, kind, NONE).axes
    assert [panel.get_title() for panel in panels] == ["exponent 1", "exponent 2"]
    marks = [[line.get_xydata().tolist() for line in panel.get_lines()] for panel in panels]
    assert marks == [[[[1.9, 20]], [[2.3, 21]]], [[[1.9, 30]], [[2.3, 31]]]]
    markers = [line.get_marker() for line in panels[0].get_lines()]
    assert len(set(markers)) == 2


def test_a_kind_keeps_its_mark_where_another_is_missing():
    columns = {"family": ["gaussian", "laplace", "laplace"], "exponent": [1, 1, 2], "scale": [2.0] * 3}
    first, second = plot_frequencies(members(**columns, psnr_heldout=[20.0, 21.0, 31.0]), "family", NONE).axes
    assert first.get_lines()[1].get_marker() == second.get_lines()[0].get_marker()
    assert texts(first) == ["family gaussian", "family laplace"] and texts(second) == []


def test_the_lines_that_are_shown_are_those_that_reach_most_and_what_went_wrong_is_last():
    table = members(
        scale=[1.0, 2.0] * 4, width=[1, 1, 2, 2, 3, 3, 4, 4], psnr_heldout=[20.0, 19, np.nan, np.nan, 25, 24, 60, 60]
    )
    table.loc[table["width"] == 2, "status"] = "failed"
    table.loc[table["width"] == 4, "status"] = "diverged"
    _, lines = lines_along(table, "scale")
    assert [int(members["width"].iloc[0]) for members in lines][:2] == [3, 1]


def test_no_star_stands_on_an_easier_problem():
    angles = np.repeat([0.0, 10, 20, 30, 40], 5)
    table = members(image="synthetic:wave", angle=angles, scale=[1.0, 2, 4, 8, 16] * 5, psnr_heldout=np.arange(25.0))
    other = table.rename(columns={"angle": "omega_0"})
    star = lambda figure: [line for line in figure.axes[0].get_lines() if line.get_marker() == "*"]  # noqa: E731
    assert not star(plot_surface(table, "scale", "angle")) and star(plot_surface(other, "scale", "omega_0"))


def test_octaves_that_the_target_lacks_are_left_out():
    left = np.stack([np.full(3, 0.5), np.full(3, np.nan), np.full(3, 0.1)], 1).astype(np.float32)
    figure = plot_bands([TrainingCurves("it", np.arange(3), Curves(np.zeros(3), np.zeros(3), left))])
    assert texts(figure.axes[0]) == ["1", "4 and above"]


def test_each_octave_has_its_line_over_the_steps():
    left = np.geomspace(1, [0.01, 0.1, 0.9], 4)[None].astype(np.float32)[0]
    curves = Curves(np.zeros(4), np.zeros(4), left)
    figure = plot_bands(
        [TrainingCurves("one", np.asarray([0, 1, 10, 100]), curves), TrainingCurves("two", np.arange(4), curves)]
    )
    first = figure.axes[0]
    assert texts(first) == ["1", "2 to 3", "4 and above"] and first.get_title() == "one"
    for band, line in enumerate(first.get_lines()[:3]):
        np.testing.assert_array_equal(line.get_ydata(), left[:, band])


def test_the_panel_of_a_signal_shows_target_prediction_and_training_samples():
    target, fitted = np.linspace(0, 1, 8)[:, None], np.linspace(1, 0, 8)[:, None]
    (axes,) = plot_signals([Prediction("it", target, fitted, np.arange(0, 8, 2))]).axes
    whole, prediction, trained = axes.get_lines()
    np.testing.assert_array_equal(whole.get_ydata(), target[:, 0])
    np.testing.assert_array_equal(prediction.get_ydata(), fitted[:, 0])
    np.testing.assert_array_equal(trained.get_xydata(), np.stack([np.arange(0, 8, 2) / 8, target[::2, 0]], 1))


def test_a_gallery_of_images_that_are_not_square_keeps_their_shape():
    target = np.random.default_rng(0).random((24, 36, 3))
    figure = plot_gallery([Prediction("it", target, target * 0.9, np.arange(4))])
    shapes = [axes.get_images()[0].get_array().shape[:2] for axes in figure.axes]
    assert shapes == 5 * [(24, 36)]
    assert (
        figure.get_figheight() < plot_gallery([Prediction("it", *2 * [target[:, :24]], np.arange(4))]).get_figheight()
    )


def test_the_seeds_together_are_a_line_of_their_own():
    table = members(frequencies=[8, 16] * 2, seed=[0, 0, 1, 1], psnr_heldout=[20.0, 22.0, 21.0, 23.0])
    table["together"] = [21.5, 23.5] * 2
    (axes,) = plot_curves(table, "frequencies", NONE).axes
    (line,) = (line for line in axes.get_lines() if "together" in line.get_label())
    np.testing.assert_array_equal(line.get_xydata(), [[8, 21.5], [16, 23.5]])
    assert "together" not in " ".join(texts(plot_curves(table.drop(columns="together"), "frequencies", NONE).axes[0]))


def test_of_many_settings_a_label_whose_members_all_diverged_has_no_best():
    rates = np.geomspace(1e-4, 1e-1, 32).tolist()
    table = members(
        label=["A"] * 32 + ["B"] * 32, learning_rate=rates * 2, psnr_heldout=[20.0] * 31 + [25.0] + [9.0] * 32
    )
    table.loc[32:, "status"] = "diverged"
    (axes,) = plot_settings(table, NONE).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["A", "B"]
    (marks,) = (line.get_xydata().tolist() for line in axes.get_lines() if line.get_label() == "held-out pixels")
    assert marks == [[25.0, 1.0]]


def test_where_nothing_is_held_out_the_seeds_together_are_of_all_pixels():
    table = members(
        frequencies=[8, 16] * 2, seed=[0, 0, 1, 1], psnr_train=[20.0, 22.0, 21.0, 23.0], psnr_heldout=np.nan
    )
    table["together"] = [21.5, 23.5] * 2
    assert "the seeds together, all pixels" in texts(plot_curves(table, "frequencies", NONE).axes[0])
