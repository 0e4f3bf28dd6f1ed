"""Sampled settings: within their ranges, spread evenly, the same for any number of them."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from inr_jax.settings import Refused
from inr_jax.sweep.sampling import ranked, sobol

RANGES = {"learning_rate": (1e-4, 1e-1), "scale": (1.0, 9.0, "linear")}


def test_points_fill_their_ranges_evenly_one_in_the_logarithm_and_one_not():
    points = sobol(RANGES, 256)
    rate, scale = (np.asarray([point[name] for point in points]) for name in RANGES)
    assert kstest(np.log10(rate), "uniform", (-4, 3)).statistic < 0.02
    assert kstest(scale, "uniform", (1, 8)).statistic < 0.02
    cells = np.unique(np.stack([(np.log10(rate) + 4) // 0.75, (scale - 1) // 2]), axis=1)
    assert cells.shape[1] == 16


def test_more_points_begin_with_the_fewer_and_another_seed_draws_others():
    assert sobol(RANGES, 20)[:7] == sobol(RANGES, 7)
    assert sobol(RANGES, 7, seed=1) != sobol(RANGES, 7)


def test_a_sampled_number_has_the_digits_that_a_table_shows():
    assert all(float(f"{value:.4g}") == value for point in sobol(RANGES, 50) for value in point.values())


def test_rounding_leaves_no_range():
    assert all(0.99999 <= point["beta"] <= 0.999999 for point in sobol({"beta": (0.99999, 0.999999)}, 20))


@pytest.mark.parametrize("bounds", [(1.0, float("inf")), (0.0, 1.0), (2.0, 1.0), (1.0, 1.0), (1.0, 2.0, "log")])
def test_a_range_that_cannot_be_sampled_is_refused_by_name(bounds):
    with pytest.raises(Refused, match="range scale="):
        sobol({"scale": bounds}, 4)


def test_settings_are_ranked_by_their_means_and_one_that_diverged_once_is_last():
    table = pd.DataFrame({"rate": [1.0, 1.0, 2.0, 2.0, 3.0, 3.0], "omega": 5, "psnr": [20.0, 22, 30, 50, 23, 24]})
    table["status"] = ["ok", "ok", "ok", "diverged", "ok", "ok"]
    assert ranked(table, ["rate", "omega"], "psnr") == [{"rate": rate, "omega": 5.0} for rate in (3.0, 1.0, 2.0)]
    assert ranked(table, ["rate"], "psnr")[0] == {"rate": 3.0} and ranked(table[:0], ["rate", "scale"], "psnr") == []
