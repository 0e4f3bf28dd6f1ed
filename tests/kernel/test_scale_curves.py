"""Predicted scores: those of the regression, setting by setting; and the scale that they choose."""

from functools import cache

import numpy as np
import pytest

from inr_jax.data import images
from inr_jax.fit.design import Design, Hyper, hypers, member_of
from inr_jax.kernel import prediction
from inr_jax.kernel.flow import gradient_flow
from inr_jax.kernel.lattice import equations_of
from inr_jax.kernel.prediction import TOLERANCE, predict
from inr_jax.kernel.regression import NotConverged
from inr_jax.kernel.scale_curves import calibrate, scale_curve
from inr_jax.settings import Refused
from inr_jax.tasks.splits import split
from tests.kernel.dense import dense_ridge, regress

DESIGN = Design(frequencies=64)


@cache
def noisy(kind):
    return split(np.random.default_rng(0).random((12, 10, 3), np.float32), kind, 0.4)


@cache
def astronaut():
    return split(images.load("astronaut", size=32), "quarter")


@cache
def astronaut_curve():
    return scale_curve(DESIGN, [1, 4, 16, 64], astronaut())


def psnr(image, task, index):
    """The definition: in dB, of colours clipped to [0, 1], over pixels and channels."""
    wrong = np.clip(image.reshape(-1, 3), 0, 1)[index] - np.asarray(task.colors, np.float64)[index]
    return -10 * np.log10(np.mean(wrong**2))


@pytest.mark.parametrize(("kind", "drawn"), [("quarter", True), ("random", False)])
def test_the_curve_has_the_scores_of_a_dense_solution_at_each_scale(kind, drawn):
    task, scales = noisy(kind), [0.5, 2, 6.0]
    curve = scale_curve(DESIGN, scales, task, hyper=Hyper(seed=3), ridge=1e-2, drawn=drawn)
    np.testing.assert_array_equal(curve.scale, scales)
    for place, scale in enumerate(scales):
        image = dense_ridge(task, DESIGN, Hyper(scale=scale, seed=3), 1e-2, drawn)
        assert curve.psnr_train[place] == pytest.approx(psnr(image, task, task.train), abs=1e-3)
        assert curve.psnr_heldout[place] == pytest.approx(psnr(image, task, task.heldout), abs=1e-3)
    assert (curve.residual <= 1.1 * TOLERANCE).all()
    assert (curve.iterations > 0).all()


def test_the_curve_is_the_regression_at_each_scale():
    task, curve = astronaut(), astronaut_curve()
    for place, scale in enumerate(curve.scale):
        fitted = regress(DESIGN, Hyper(scale=scale), task)
        assert curve.psnr_heldout[place] == pytest.approx(psnr(fitted.image, task, task.heldout), abs=1e-3)
        assert curve.psnr_train[place] == pytest.approx(psnr(fitted.image, task, task.train), abs=1e-2)


def test_the_curve_rises_to_a_scale_and_falls_far_beyond_what_the_lattice_carries():
    curve = astronaut_curve()
    assert curve.psnr_heldout[3] < curve.psnr_heldout[:2].max() - 3
    assert (curve.psnr_train > curve.psnr_heldout + 5).all()
    assert (curve.residual <= 1.1 * TOLERANCE).all()
    assert (curve.iterations < 100).all()


@pytest.mark.slow
def test_members_of_all_axes_are_predicted_in_their_order_and_in_parts_alike(monkeypatch):
    task = noisy("random")
    members = hypers(scale=[0.5, 4.0], anisotropy=[0.5, 2.0], seed=[0, 1])
    found = predict(DESIGN, members, task, ridge=1e-2)
    assert found.psnr_heldout.shape == found.psnr_train.shape == found.residual.shape == (8,)
    for index in range(8):
        image = dense_ridge(task, DESIGN, member_of(members, index), 1e-2)
        assert found.psnr_heldout[index] == pytest.approx(psnr(image, task, task.heldout), abs=1e-3)
        assert found.psnr_train[index] == pytest.approx(psnr(image, task, task.train), abs=1e-3)
    # Every axis counts.
    assert np.ptp(found.psnr_train.reshape(2, 2, 2), axis=(0, 1, 2)) > 0.1
    assert len(np.unique(found.psnr_heldout.round(3))) == 8
    lattice, _ = equations_of(task)
    # Room for the waves of four members at once.
    monkeypatch.setattr(prediction, "WAVES_BYTES", 9 * 8 * sum(lattice.reach) * DESIGN.frequencies)
    parted = predict(DESIGN, members, task, ridge=1e-2)
    np.testing.assert_allclose(parted.psnr_heldout, found.psnr_heldout, rtol=1e-9)
    np.testing.assert_array_equal(parted.iterations, found.iterations)


def test_with_a_time_the_scores_are_those_of_the_flow():
    task, scales = noisy("quarter"), [1.0, 3.0]
    curve = scale_curve(DESIGN, scales, task, hyper=Hyper(seed=2), time=5.0)
    assert curve.psnr_heldout.shape == curve.residual.shape == curve.iterations.shape == (2,)
    for place, scale in enumerate(scales):
        flow = gradient_flow(DESIGN, Hyper(scale=scale, seed=2), task, [5.0])
        assert curve.psnr_heldout[place] == pytest.approx(psnr(flow.image[0], task, task.heldout), abs=1e-6)
        assert curve.psnr_train[place] == pytest.approx(psnr(flow.image[0], task, task.train), abs=1e-6)
        assert curve.residual[place] == flow.residual[0]
    longer = scale_curve(DESIGN, scales, task, hyper=Hyper(seed=2), time=50.0)
    assert (longer.psnr_train > curve.psnr_train).all()


def test_without_heldout_pixels_there_are_none_of_their_scores():
    quarter = noisy("quarter")
    task = quarter._replace(heldout=quarter.heldout[:0])
    curve = scale_curve(DESIGN, [0.5, 2.0, 6.0], task, drawn=True)
    flow = predict(DESIGN, hypers(scale=[1.0, 3.0]), task, time=5.0)
    for found in (curve, flow):
        assert np.isnan(found.psnr_heldout).all()
        assert np.isfinite(found.psnr_train).all()


@pytest.mark.slow
def test_the_curve_of_many_frequencies_is_near_that_of_endless_ones():
    task = noisy("quarter")
    design = Design(frequencies=20_000)
    many, endless = (scale_curve(design, [2.0], task, drawn=drawn) for drawn in (True, False))
    assert many.psnr_heldout == pytest.approx(endless.psnr_heldout, abs=0.1)
    # Endless ones know no seed.
    other = scale_curve(design, [2.0], task, hyper=Hyper(seed=7), drawn=False)
    np.testing.assert_array_equal(endless.psnr_heldout, other.psnr_heldout)


@pytest.mark.parametrize(
    ("design", "scale", "options", "message"),
    [
        (Design(network="siren"), 1.0, {}, "has no kernel"),
        (DESIGN.replace(encoding="identity"), 1.0, {}, "has no kernel"),
        (DESIGN, 1.0, {"ridge": 0.0}, "ridge=0.0"),
        (DESIGN, 1.0, {"ridge": -1.0}, "ridge=-1.0"),
        (DESIGN, 1.0, {"ridge": float("nan")}, "ridge=nan"),
        (DESIGN, 1.0, {"time": -2.0}, "-2.0"),
        (DESIGN, -1.0, {}, "scale=-1"),
        (DESIGN, float("nan"), {}, "scale=nan"),
    ],
)
def test_what_the_theory_does_not_cover_is_refused_in_one_line(design, scale, options, message):
    with pytest.raises(Refused, match=message) as refused:
        scale_curve(design, [scale], noisy("quarter"), **options)
    assert "\n" not in str(refused.value)


def test_a_prediction_that_is_not_solved_is_an_error(monkeypatch):
    monkeypatch.setattr(prediction, "ITERATIONS", 1)
    # A design that no other test has compiled.
    design = Design(frequencies=65)
    with pytest.raises(NotConverged, match="after 1 iterations"):
        scale_curve(design, [1.0], noisy("random"), ridge=1e-6)


def test_a_calibration_takes_the_ridge_whose_curves_differ_by_the_same_on_every_image():
    generator = np.random.default_rng(0)
    trained = generator.normal(size=(4, 5))
    offset = np.arange(5.0)
    curves = {0.1: trained - offset, 0.2: trained + generator.normal(size=(4, 5))}
    found = calibrate(np.geomspace(0.5, 8, 5), trained, curves)
    assert found.ridge == 0.1
    np.testing.assert_allclose(found.offset, offset)
