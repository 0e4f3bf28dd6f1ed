"""What the kernel predicts for settings: its scores are those of the regression, setting by setting."""

import dataclasses

import numpy as np
import pytest

from inr_jax.data import images
from inr_jax.fit import task as tasks
from inr_jax.kernel import ntk as kernel
from inr_jax.kernel import regression
from inr_jax.kernel import scale_curves as theory
from inr_jax.settings import Design, Hyper, Refused, hypers, member_of

GRID = (12, 10)
DESIGN = Design(frequencies=64)


def noisy(split, **own):
    return tasks.split(np.random.default_rng(0).random((*GRID, 3), np.float32), split, **own)


def astronaut(size, split):
    return tasks.split(images.load("astronaut", size=size), split)


def psnr(image, task, index):
    """The definition: in dB, of colours clipped to [0, 1], over pixels and channels."""
    wrong = np.clip(image.reshape(-1, 3), 0, 1)[index] - np.asarray(task.colors, np.float64)[index]
    return -10 * np.log10(np.mean(wrong**2))


def dense_image(ntk, task, ridge):
    """The ridge regression by a dense solution."""
    where = np.stack(np.indices(task.grid), axis=-1).reshape(-1, 2)
    apart = where[:, None] - where[task.train][None] + np.asarray(task.grid) - 1
    matrix = ntk[apart[..., 0], apart[..., 1]]
    colors = np.asarray(task.colors, np.float64)[task.train]
    among = matrix[task.train] + ridge * np.eye(len(colors))
    return colors.mean(0) + matrix @ np.linalg.solve(among, colors - colors.mean(0))


@pytest.mark.parametrize(("split", "drawn"), [("quarter", True), ("random", False)])
def test_the_curve_has_the_scores_of_a_dense_solution_at_each_scale(split, drawn):
    task, scales = noisy(split), [0.5, 2, 6.0]
    curve = theory.scale_curve(DESIGN, scales, task, hyper=Hyper(seed=3), ridge=1e-2, drawn=drawn)
    np.testing.assert_array_equal(curve.scale, scales)
    for place, scale in enumerate(scales):
        hyper = Hyper(scale=scale, seed=3)
        image = dense_image(kernel.on_grid(DESIGN, hyper, GRID, 3, drawn), task, 1e-2)
        assert curve.psnr_train[place] == pytest.approx(psnr(image, task, task.train), abs=1e-3)
        assert curve.psnr_heldout[place] == pytest.approx(psnr(image, task, task.heldout), abs=1e-3)
    assert (curve.residual <= 1.1 * theory.TOLERANCE).all()
    assert (curve.iterations > 0).all()


def test_the_curve_is_the_regression_at_each_scale():
    task = astronaut(64, "quarter")
    curve = theory.scale_curve(DESIGN, [1.0, 8.0], task)
    for place, scale in enumerate([1.0, 8.0]):
        fitted = regression.regress(DESIGN, Hyper(scale=scale), task, tolerance=1e-8)
        assert curve.psnr_heldout[place] == pytest.approx(psnr(fitted.image, task, task.heldout), abs=1e-3)
        assert curve.psnr_train[place] == pytest.approx(psnr(fitted.image, task, task.train), abs=1e-2)


def test_members_of_all_axes_are_predicted_in_their_order_and_in_parts_alike(monkeypatch):
    task = noisy("random", fraction=0.4)
    members = hypers(scale=[0.5, 4.0], anisotropy=[0.5, 2.0], seed=[0, 1])
    found = theory.predict(DESIGN, members, task, ridge=1e-2)
    assert found.psnr_heldout.shape == found.psnr_train.shape == found.residual.shape == (8,)
    for index in range(8):
        ntk = kernel.on_grid(DESIGN, member_of(members, index), GRID)
        image = dense_image(ntk, task, 1e-2)
        assert found.psnr_heldout[index] == pytest.approx(psnr(image, task, task.heldout), abs=1e-3)
        assert found.psnr_train[index] == pytest.approx(psnr(image, task, task.train), abs=1e-3)
    # Every axis counts.
    assert np.ptp(found.psnr_train.reshape(2, 2, 2), axis=(0, 1, 2)) > 0.1
    assert len(np.unique(found.psnr_heldout.round(3))) == 8
    lattice, _ = regression.posed(task)
    # Room for the waves of three members at once.
    monkeypatch.setattr(theory, "WAVES_BYTES", 7 * 8 * sum(lattice.reach) * DESIGN.frequencies)
    parted = theory.predict(DESIGN, members, task, ridge=1e-2)
    np.testing.assert_allclose(parted.psnr_heldout, found.psnr_heldout, rtol=1e-9)
    np.testing.assert_array_equal(parted.iterations, found.iterations)


def test_without_heldout_pixels_there_are_none_of_their_scores():
    task = noisy("all")
    members = hypers(scale=[1.0, 2.0])
    for found in (
        theory.scale_curve(DESIGN, [1.0, 2.0], task, drawn=False),
        theory.predict(DESIGN, members, task, time=3.0),
    ):
        assert np.isnan(found.psnr_heldout).all()
        assert np.isfinite(found.psnr_train).all()


def test_with_a_time_the_scores_are_those_of_the_flow():
    task, scales = noisy("quarter"), [1.0, 3.0]
    curve = theory.scale_curve(DESIGN, scales, task, hyper=Hyper(seed=2), time=5.0)
    assert curve.psnr_heldout.shape == curve.residual.shape == curve.iterations.shape == (2,)
    for place, scale in enumerate(scales):
        flow = regression.gradient_flow(DESIGN, Hyper(scale=scale, seed=2), task, [5.0])
        assert curve.psnr_heldout[place] == pytest.approx(psnr(flow.image[0], task, task.heldout), abs=1e-6)
        assert curve.psnr_train[place] == pytest.approx(psnr(flow.image[0], task, task.train), abs=1e-6)
        assert curve.residual[place] == flow.residual[0]
    longer = theory.scale_curve(DESIGN, scales, task, hyper=Hyper(seed=2), time=50.0)
    assert (longer.psnr_train > curve.psnr_train).all()


def test_the_curve_rises_to_a_scale_and_falls_far_beyond_what_the_lattice_carries():
    task = astronaut(64, "quarter")
    curve = theory.scale_curve(DESIGN, [1, 4, 16, 64], task)
    assert curve.psnr_heldout[3] < curve.psnr_heldout[:2].max() - 3
    assert (curve.psnr_train > curve.psnr_heldout + 5).all()
    assert (curve.residual <= 1.1 * theory.TOLERANCE).all()
    assert (curve.iterations < 100).all()


def test_the_curve_of_many_frequencies_is_near_that_of_endless_ones():
    task = astronaut(32, "quarter")
    design = Design(frequencies=20_000)
    many, endless = (theory.scale_curve(design, [2.0], task, drawn=drawn) for drawn in (True, False))
    assert many.psnr_heldout == pytest.approx(endless.psnr_heldout, abs=0.1)
    # Endless ones know no seed.
    other = theory.scale_curve(design, [2.0], task, hyper=Hyper(seed=7), drawn=False)
    np.testing.assert_array_equal(endless.psnr_heldout, other.psnr_heldout)


@pytest.mark.parametrize(
    ("design", "scale", "own", "said"),
    [
        (Design(network="siren"), 1.0, {}, "has no kernel"),
        (dataclasses.replace(DESIGN, encoding="identity"), 1.0, {}, "has no kernel"),
        (DESIGN, 1.0, {"ridge": 0.0}, "ridge=0.0"),
        (DESIGN, 1.0, {"time": -2.0}, "-2.0"),
        (DESIGN, -1.0, {}, "scale=-1"),
        (DESIGN, float("nan"), {}, "scale=nan"),
    ],
)
def test_what_the_theory_does_not_cover_is_refused_in_one_line(design, scale, own, said):
    with pytest.raises(Refused, match=said) as refused:
        theory.scale_curve(design, [scale], noisy("quarter"), **own)
    assert "\n" not in str(refused.value)


def test_a_prediction_that_is_not_solved_is_an_error(monkeypatch):
    monkeypatch.setattr(regression, "ITERATIONS", 1)
    # A design of its own, which no other test has compiled.
    design = Design(frequencies=65)
    with pytest.raises(regression.NotConverged, match="after 1 iterations"):
        theory.scale_curve(design, [1.0], noisy("random"), ridge=1e-6)
