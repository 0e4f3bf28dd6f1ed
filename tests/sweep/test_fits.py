"""Fits in a Python session: a short text, and errors that name the closest match."""

import numpy as np
import pytest

import inr_jax as inr

DESIGN = inr.Design(steps=2, width=4, depth=1, frequencies=4)


@pytest.fixture(scope="module")
def fits() -> inr.Fits:
    task = inr.tasks.split(np.full((8, 8, 1), 0.5, np.float32), "quarter")
    return inr.fit_many(DESIGN, inr.hypers(scale=[1.0, 2.0, 4.0]), task)


def test_fits_are_shown_as_a_line_without_arrays(fits):
    best = int(fits.psnr_heldout.argmax())
    score = f"best psnr_heldout {fits.psnr_heldout[best]:.2f} dB, of member {best}"
    assert repr(fits) == f"Fits(3 members, 2 steps; encoding gaussian, network relu; {score})"


def test_a_network_is_shown_as_a_line_without_arrays(fits):
    parameters = 8 * 4 + 4 + 4 + 1
    said = f"Network(encoding gaussian, network relu; {parameters} parameters; dims 2, channels 1)"
    assert repr(fits.network(0)) == said


def test_a_score_that_there_is_not_is_refused_with_the_closest_one(fits):
    with pytest.raises(AttributeError, match="no 'psnr_heldot'; did you mean 'psnr_heldout'"):
        _ = fits.psnr_heldot
    assert not hasattr(fits, "_repr_html_")


def test_a_grid_of_other_dimensions_is_refused_with_the_order_of_the_sides(fits):
    with pytest.raises(inr.Refused, match=r"grid=\(4,\) .*expected 2 lengths in pixels, \(h, w\)"):
        fits.predict(0, (4,))


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        (lambda: inr.Design(encoding="gausian"), "encoding='gausian' .*did you mean 'gaussian'"),
        (lambda: inr.Design(widht=3), "'widht' .*did you mean 'width'"),
        (lambda: inr.hypers(scal=[1.0]), "'scal' .*did you mean 'scale'"),
        (lambda: inr.tasks.split(np.zeros((4, 4, 1), np.float32), "quartr"), "split='quartr' .*did you mean 'quarter'"),
        (lambda: inr.images.load("astronat"), "'astronat'.*did you mean 'astronaut'"),
    ],
)
def test_a_wrong_name_in_python_is_refused_with_what_is_allowed_and_the_closest_match(request_, match):
    with pytest.raises(inr.Refused, match=f"{match}\\?.* allowed: "):
        request_()
