"""What a point of the curves costs, and how many there are."""

import numpy as np
import pytest

import inr_jax as inr
from inr_jax.fit.curves import FEWEST_POINTS, MOST_POINTS, curve_point, point_count
from inr_jax.fit.task import queries, queries_of
from inr_jax.sweep.ensemble import history_steps


def task_of(side: int, split: str = "quarter") -> inr.Task:
    return inr.tasks.split(np.linspace(0, 1, side * side).reshape(side, side), split)


@pytest.mark.parametrize(("side", "places"), [(5, 25), (64, 4096), (96, 2304 + 2304 + 2 * 16 * 96)])
def test_a_point_looks_at_a_small_image_once_and_at_samples_of_a_larger_one(side, places):
    assert queries(curve_point, task_of(side)).places == places


@pytest.mark.parametrize("pixels", [0, 256])
@pytest.mark.parametrize("steps", [0, 1, 200, 1000, 1600, 100_000])
@pytest.mark.parametrize("side", [16, 64, 128])
def test_curves_take_a_fiftieth_of_a_fit_or_have_the_fewest_points(side, steps, pixels):
    task = task_of(side)
    points = point_count(task, steps, pixels)
    # A step is three passes through the network, a point is one.
    passes = 3 * steps * (pixels or len(task.train))
    looked = queries(curve_point, task).places
    assert FEWEST_POINTS <= points <= MOST_POINTS
    assert points == FEWEST_POINTS or points * looked <= 0.02 * passes
    assert points == MOST_POINTS or (points + 1) * looked > 0.02 * passes


def test_measurements_that_query_the_field_often_leave_room_for_more_points():
    image = np.linspace(0, 1, 32 * 32).reshape(32, 32)
    small, often = inr.tasks.split(image, "all"), inr.tasks.super_resolution(image, factor=2)
    assert queries_of(often, 256).places > 256
    assert point_count(often, 300, 256) > point_count(small, 300, 256)


def test_a_study_that_says_how_many_points_has_as_many():
    task, design = task_of(16), inr.Design(frequencies=4, width=4, depth=1, steps=3000, pixels=1)
    assert len(history_steps(design, task, 24)) == 24
    assert len(history_steps(design, task)) == FEWEST_POINTS
    assert history_steps(design, task, 1).tolist() == [0, 3000]
    fits = inr.fit_many(design, inr.hypers(scale=[1.0]), task)
    np.testing.assert_array_equal(fits.history_step, history_steps(design, task))
