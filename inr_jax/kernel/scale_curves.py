"""Scale curves predicted by kernel regression, and the scale that the kernel chooses, without training."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from inr_jax.fit.design import Design, Fit, Hyper, hypers
from inr_jax.fit.pinned import pinned
from inr_jax.fit.task import Task
from inr_jax.kernel.prediction import SHORT_RIDGE, predict, validate
from inr_jax.settings import AnyArray, catalogue

# The ridges from which a calibration takes the one that stands for a training length.
RIDGES = (0.0125, 0.025, 0.05, 0.1, 0.2)
# In dB: scales this near to the best one are as good.
PLATEAU = 0.2


class ScaleCurve(NamedTuple):
    """PSNR in dB that kernel regression reaches at each scale, and how well its equations are solved there."""

    scale: Float[AnyArray, " m"]
    psnr_heldout: Float[AnyArray, " m"]
    psnr_train: Float[AnyArray, " m"]
    residual: Float[AnyArray, " m"]
    iterations: Int[AnyArray, " m"]


class Calibration(NamedTuple):
    """How trained curves of other images differ from the kernel's.

    `ridge` stands for the training length; `offset` is the trained curve minus the kernel's at each scale, the mean
    over the images.
    """

    ridge: float
    scales: Float[np.ndarray, " m"]
    offset: Float[np.ndarray, " m"]


class Choice(NamedTuple):
    """The scale that the kernel chooses, its anisotropy, and how certain it is.

    `low` and `high` bound the scales as good as the best (within 0.2 dB), by `psnr`, the predicted curve over `scales`
    at the best anisotropy; `at_edge`: the best is the smallest or the largest of these scales.
    """

    scale: float
    anisotropy: float
    low: float
    high: float
    at_edge: bool
    scales: Float[np.ndarray, " m"]
    psnr: Float[np.ndarray, " m"]


@pinned()
def scale_curve(
    design: Design,
    scales: Sequence[float | int] | np.ndarray,
    task: Task,
    *,
    hyper: Hyper | None = None,
    ridge: float = 1e-3,
    time: float | None = None,
    drawn: bool = True,
) -> ScaleCurve:
    """Predict the PSNR of a very wide network at each scale, without training.

    Exact regression with the NTK of the design's encoding and network, for the other settings in `hyper` (its seed
    draws B; `drawn=False`: infinitely many frequencies) and a `ridge` relative to the kernel's value at zero
    difference; or with a `time`, gradient flow stopped there (`flow.gradient_flow`).

    What it misses: a network of finite width learns features, which can gain it 2 dB; and it is trained for a finite
    time, while the regression is solved to its end, so small scales come out better here than short training makes
    them, unless a time is given. It predicts where too large a scale breaks the fit.
    Raises Refused if the design has no such kernel, and NotConverged rather than a wrong answer.
    """
    members = hypers(design, **{**(hyper or {}), "scale": scales})
    found = predict(design, members, task, ridge=ridge, time=time, drawn=drawn)
    return ScaleCurve(np.asarray(scales, float), found.psnr_heldout, found.psnr_train, found.residual, found.iterations)


@pinned()
def best_scale(
    design: Design,
    task: Task,
    scales: Sequence[float | int] | np.ndarray | None = None,
    *,
    anisotropies: Sequence[float] = (1.0,),
    hyper: Hyper | None = None,
    calibration: Calibration | None = None,
    drawn: bool = True,
) -> Choice:
    """Choose a scale, or scale and anisotropy, by the kernel from the training pixels alone, without training.

    Half of the training pixels predict the other half (`prediction.validate`). Without `scales`, half octaves up to
    half a cycle per training pixel (`default_scales`). With a `calibration`, from trained fits of other images, its
    ridge, offsets and scales. How good the choice is: experiments/README.md.
    Raises Refused if the design has no such kernel, and NotConverged rather than a wrong answer.
    """
    if calibration is not None:
        scales = calibration.scales
    known = catalogue(Fit)
    scales = default_scales(task) if scales is None else np.asarray([known["scale"].convert(scale) for scale in scales])
    # A signal has no columns whose scale could differ.
    ratios = [known["anisotropy"].convert(ratio) for ratio in anisotropies] if len(task.grid) == 2 else [1.0]
    members = hypers(design, **{**(hyper or {}), "anisotropy": ratios, "scale": scales})
    ridge = SHORT_RIDGE if calibration is None else calibration.ridge
    psnr = validate(design, members, task, ridge=ridge, drawn=drawn).psnr_heldout
    curves = np.asarray(psnr).reshape(len(ratios), len(scales))
    curves = curves + (0.0 if calibration is None else calibration.offset)
    row, place = np.unravel_index(np.argmax(curves), curves.shape)
    curve = curves[row]
    good = scales[curve >= curve[place] - PLATEAU]
    edge = len(scales) > 1 and place in (0, len(scales) - 1)
    return Choice(float(scales[place]), ratios[row], float(good.min()), float(good.max()), bool(edge), scales, curve)


def default_scales(task: Task) -> Float[np.ndarray, " m"]:
    """Half octaves of scales from a hundredth of a cycle per training pixel to half a cycle, in cycles per side."""
    highest = 0.5 * len(task.train) ** (1 / len(task.grid))
    return highest * 2.0 ** (np.arange(-11, 1) / 2)


@pinned()
def calibrate(
    scales: Float[np.ndarray, " m"],
    trained: Float[np.ndarray, "i m"],
    predicted: Mapping[float, Float[np.ndarray, "i m"]],
) -> Calibration:
    """Compare the trained curves of some images with the kernel's, which are given for each ridge.

    The ridge is that whose curves, with the mean difference added, have the shape of the trained ones most nearly.
    """
    found: dict[float, Calibration] = {}
    for ridge, curves in predicted.items():
        apart = trained - curves
        shapes = apart - apart.mean(1, keepdims=True)
        found[float(np.var(shapes, axis=0).mean())] = Calibration(ridge, np.asarray(scales), apart.mean(0))
    return found[min(found)]
