"""Ways to choose a scale: what they may know, what they cost, and what is said of them."""

import numpy as np
import pandas as pd
import pytest

from experiments.analysis import choices
from experiments.analysis.choices import Predictions, Problem, judge
from experiments.analysis.initial_spectrum import initial_images, mismatch
from inr_jax.data import images
from inr_jax.data.problem import Data
from inr_jax.fit.design import Design, hypers
from inr_jax.kernel.prediction import predict
from inr_jax.kernel.scale_curves import RIDGES
from inr_jax.tasks.splits import split

SCALES = np.asarray([0.5, 1.0, 2.0, 4.0, 8.0])
DESIGN = Design(frequencies=16, width=16, depth=2)


def problem(number, best, steps=(10, 40)):
    """A problem whose trained curve is a parabola over octaves with its top at the best scale."""
    data = Data(image=f"synthetic:natural_noise:{number}", size=16)
    curve = 20 - np.log2(SCALES / best) ** 2
    validated = {n: curve - 1 for n in steps}
    return Problem(data, DESIGN, SCALES, {n: curve + n / 100 for n in steps}, validated, dict.fromkeys(steps, 5.0))


@pytest.fixture
def seen(monkeypatch):
    """The kernel sees every curve an octave to the left, whatever the ridge; the start's spectrum likes the first."""

    def view(each):
        curve = np.roll(each.trained[10], -1) - 3
        same = dict.fromkeys(RIDGES, curve)
        return Predictions(same, same, 0.5)

    monkeypatch.setattr(choices, "kernel_predictions", view)
    monkeypatch.setattr(choices, "mismatch", lambda design, scales, task: np.arange(len(scales)))


def test_what_is_lost_is_what_the_best_scale_reaches_beyond_the_chosen_one(seen):
    judged = judge([problem(0, 1.0), problem(1, 2.0), problem(2, 2.0)])
    assert (judged["regret"] >= 0).all()
    right = judged[judged["chooser"] == "training, validated"]
    assert (right["regret"] == 0).all()
    first = judged[judged["chooser"] == "spectrum of the start (FreSh)"]
    np.testing.assert_allclose(first["scale"], 0.5)
    expected = {1.0: 1.0, 2.0: 4.0}
    np.testing.assert_allclose(first["regret"], [expected[b] for b in (1.0, 1.0, 2.0, 2.0, 2.0, 2.0)])


def test_a_way_is_judged_on_an_image_that_it_has_not_seen_trained(seen):
    others = [problem(1, 2.0), problem(2, 2.0)]

    def chosen(best, name):
        judged = judge([problem(0, best), *others])
        mine = judged[(judged["image"] == "synthetic:natural_noise:0") & (judged["chooser"] == name)]
        return mine["scale"].tolist()

    for name in ("best constant", "best constant, same size and split"):
        assert chosen(0.5, name) == chosen(8.0, name) == [2.0, 2.0]


def test_a_calibration_by_other_images_mends_what_the_kernel_always_gets_wrong(seen):
    found = [problem(n, best) for n, best in enumerate((2.0, 2.0, 2.0, 2.0))]
    judged = judge(found).groupby("chooser")["regret"].mean()
    assert judged["kernel, training pixels only"] == 1.0
    assert judged["kernel, training pixels only, calibrated"] == 0.0


def test_another_run_may_say_what_is_known_of_other_images(seen):
    judged = judge([problem(0, 4.0)], [problem(1, 1.0), problem(2, 1.0)])
    constant = judged[judged["chooser"] == "best constant"]
    assert set(judged["image"]) == {"synthetic:natural_noise:0"}
    np.testing.assert_allclose(constant["scale"], 1.0)
    np.testing.assert_allclose(constant["regret"], 4.0)


def test_the_short_training_is_the_shortest_and_costs_its_own_seconds(seen):
    judged = judge([problem(0, 1.0), problem(1, 1.0)])
    short = judged[judged["chooser"] == "short training, validated"]
    assert short["steps"].tolist() == [40, 40]
    assert (short["seconds"] == 5.0).all()


def test_a_summary_has_the_mean_the_ninetieth_percentile_and_all(seen):
    judged = judge([problem(n, best) for n, best in enumerate((0.5, 1.0, 2.0))])
    first = choices.summary(judged).set_index(["chooser", "steps"]).loc[("spectrum of the start (FreSh)", 10)]
    assert first["regret"] == pytest.approx((0 + 1 + 4) / 3)
    assert first["regret_all"] == pytest.approx(4)
    assert first["regret_90"] == pytest.approx(np.quantile([0, 1, 4], 0.9))


def test_the_verdict_says_no_gain_where_a_constant_is_as_good():
    def summed(kernel, constant):
        return pd.DataFrame(
            {"chooser": ["kernel, training pixels only", "best constant"], "regret": [kernel, constant]}
        )

    assert choices.verdict(summed(0.3, 0.2)).startswith("no gain here")
    assert choices.verdict(summed(0.2, 0.2)).startswith("no gain here")
    assert "0.10 less than best constant" in choices.verdict(summed(0.2, 0.3))


@pytest.mark.slow
def test_the_spectrum_of_the_start_is_nearest_at_the_scale_that_an_image_was_made_with():
    design = Design(frequencies=64, width=64, depth=2, output="linear")
    made = initial_images(design, hypers(scale=[4.0], seed=[11]), (32, 32), 1)
    image = np.asarray(made[0]).reshape(32, 32, 1)
    image = (image - image.min()) / (image.max() - image.min())
    apart = mismatch(design, [0.5, 1.0, 4.0, 16.0], split(image, "all"))
    assert np.argmin(apart) == 2


@pytest.mark.slow
def test_the_kernel_is_seen_at_every_scale_and_ridge():
    data = Data(image="synthetic:natural_noise:3", size=16)
    each = Problem(data, DESIGN, SCALES, {}, {}, {})
    view = choices.kernel_predictions(each)
    assert set(view.heldout) == set(view.validated) == set(RIDGES)
    task = split(images.load(data.image, size=16), "quarter")
    expected = predict(DESIGN, hypers(scale=SCALES), task, ridge=0.05, drawn=False).psnr_heldout
    np.testing.assert_allclose(view.heldout[0.05], expected, atol=1e-6)
