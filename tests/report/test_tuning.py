"""What tuning does for several networks: the best of k members, and where the best settings lie."""

import itertools

import numpy as np
import pandas as pd
import pytest

from inr_jax.report.tuning import best_of, networks_tried, plot_places, plot_risk
from tests.report.test_plots import NONE, members


def tried_table() -> pd.DataFrame:
    """Two networks at eight learning rates each on two images; the first has its best at the fourth, or the sixth."""
    rates = np.geomspace(1e-4, 1e-1, 8)
    rows = []
    for label, image, (place, rate) in itertools.product("AB", ("x", "y"), enumerate(rates)):
        score = 25.0 - (place - 3) ** 2 + (image == "y")
        rows.append((label, image, rate, score, 30.0 - (place - 5) ** 2))
    names = ("label", "image", "learning_rate", "psnr_heldout", "psnr_train")
    return members(**dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


@pytest.mark.parametrize("k", [1, 2, 5, 7])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_the_best_of_k_is_that_of_all_choices_of_k(k, part):
    scores = np.asarray([3.0, -np.inf, 1.0, 4.0, 1.5, 9.0, 2.6])
    draws = np.sort([max(choice) for choice in itertools.combinations(scores, k)])
    assert best_of(scores, k, part) == draws[int(np.ceil(part * len(draws) - 1e-9)) - 1]


def test_networks_are_those_with_enough_settings_and_a_lost_member_ranks_last():
    table = tried_table()
    table.loc[3, "status"] = "diverged"
    first, second = networks_tried(table)
    assert (first.name, first.varying, len(first.scores)) == ("A", ["learning_rate"], 8)
    assert first.scores[3] == -np.inf and second.scores.argmax() == 3 and second.scores[3] == 25.5
    assert networks_tried(table[table["label"] == "A"]) == []
    assert networks_tried(table[table["learning_rate"] > 1e-3]) == []


def test_networks_without_labels_go_by_their_names():
    table = tried_table()
    table["network"] = table.pop("label").map({"A": "relu", "B": "siren"})
    assert [each.name for each in networks_tried(table)] == ["network relu", "network siren"]


def test_the_risk_is_drawn_of_every_network_from_one_member_to_all():
    tried = networks_tried(tried_table())
    figure = plot_risk(tried, "psnr_heldout", NONE)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == ["A", "B"]
    median = panels[0].get_lines()[-1].get_xydata()
    assert median[0].tolist() == [1, best_of(tried[0].scores, 1, 0.5)] and median[-1].tolist() == [8, 25.5]


def test_the_best_place_of_a_number_is_drawn_for_both_kinds_of_pixels():
    (axes,) = plot_places(networks_tried(tried_table())).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["B: learning_rate", "A: learning_rate"]
    marks = [line.get_xdata()[0] for line in axes.get_lines() if line.get_marker() in ("o", "s")]
    np.testing.assert_allclose(marks, [5 / 7, 3 / 7] * 2, atol=1e-6)


def test_of_thousands_of_settings_the_best_of_k_is_still_exact():
    scores = np.arange(1.0, 4001.0)
    # Of one draw the median is the middle; of two it is n / √2 to within rounding.
    assert best_of(scores, 1, 0.5) == 2000 and abs(best_of(scores, 2, 0.5) - 4000 / 2**0.5) < 2
    assert best_of(scores, 4000, 0.1) == 4000


def test_a_network_whose_settings_all_diverged_has_no_best_place():
    table = tried_table()
    table.loc[table["label"] == "B", "status"] = "diverged"
    tried = networks_tried(table)
    (axes,) = plot_places(tried).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["A: learning_rate"]
    titles = [axes.get_title() for axes in plot_risk(tried, "psnr_heldout", NONE).axes if axes.get_visible()]
    assert titles == ["A", "B (8 of 8 lost)"]
