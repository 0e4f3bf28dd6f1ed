"""Budgets of parameters: the largest shape that keeps within one."""

import jax
import numpy as np
import pytest

import inr_jax as inr
from inr_jax.fit.budget import count_parameters, sized
from inr_jax.fit.design import Design
from inr_jax.settings import Refused

TASK = inr.tasks.split(np.random.default_rng(0).random((8, 8, 3)).astype(np.float32), "all")


@pytest.mark.parametrize(
    ("settings", "solved"),
    [
        ({"network": "siren", "encoding": "identity", "depth": 4}, "width"),
        pytest.param({"network": "wire", "encoding": "identity", "depth": 2}, "width", marks=pytest.mark.slow),
        pytest.param({"network": "mfn-gabor", "encoding": "identity"}, "width", marks=pytest.mark.slow),
        ({"encoding": "hash", "hash_levels": 3, "hash_entries": 6, "depth": 2}, "width"),
        ({"encoding": "tensorf", "cells": 16, "width": 16, "depth": 1, "solve_for": "rank"}, "rank"),
    ],
)
def test_a_budget_is_met_by_the_largest_shape_that_keeps_within_it(settings, solved):
    design = Design(parameters=5000, **settings)
    found = sized(design, 2, 3)
    assert count_parameters(found) == count_parameters(design) <= 5000
    assert count_parameters(found.replace(**{solved: found[solved] + 1})) > 5000
    steps = design.replace(steps=1)
    fits = inr.fit_many(steps, inr.hypers(seed=[0, 1]), TASK)
    assert sum(leaf[0].size for leaf in jax.tree.leaves(fits.params)) == count_parameters(found)
    assert fits.predict(1, (4, 4)).shape == (4, 4, 3)


def test_the_sirens_of_256_units_are_what_their_number_of_parameters_asks_for():
    design = Design(network="siren", encoding="identity", depth=4, parameters=198_915)
    assert sized(design, 2, 3).width == 256
    assert sized(design.replace(parameters=198_914), 2, 3).width == 255


def test_a_budget_that_nothing_fits_and_a_shape_that_is_not_read_are_refused():
    with pytest.raises(Refused, match="parameters=5 is out of range: with width=1 there are"):
        inr.fit_many(Design(parameters=5), inr.hypers(), TASK)
    with pytest.raises(Refused, match=r"solve_for='rank' is not read by this design; .*width"):
        inr.fit_many(Design(parameters=5000, solve_for="rank"), inr.hypers(), TASK)


def test_the_shape_that_is_solved_for_is_no_setting_any_more():
    design = Design(parameters=3000, width=17)
    assert "width" not in design and "rank" not in Design(encoding="tensorf", parameters=3000, solve_for="rank")
    assert "width" in Design(encoding="tensorf", parameters=3000, solve_for="rank")
    assert sized(design) == sized(design.replace(width=33))


def test_without_a_budget_the_design_is_as_it_is():
    design = Design(width=7)
    assert sized(design, 2, 3) is design and "solve_for" not in design
