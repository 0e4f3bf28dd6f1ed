"""What the kernel says of settings without training: predicted scale curves, and the choice of a scale."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from inr_jax.fit.design import Design, Fit, Hyper, complete, count, hypers, member_of
from inr_jax.fit.task import Task
from inr_jax.kernel import ntk as kernel
from inr_jax.kernel import regression
from inr_jax.kernel.regression import Equations, Lattice, Regression
from inr_jax.settings import AnyArray, catalogue
from inr_jax.sweep.programs import release_programs

# Stands for a training of hundreds of steps in place of an endless one, where nothing says more.
SHORT = 0.05
# From which a calibration takes the one that stands for a training length.
RIDGES = (0.0125, 0.025, 0.05, 0.1, 0.2)
# Scales that are this near to the best one, in dB, are as good.
PLATEAU = 0.2
# Members whose waves are held at once, by memory.
WAVES_BYTES = 2**28
# Relative residual: PSNR to a thousandth of a dB, held out to a hundred-thousandth.
TOLERANCE = 1e-5


class Predicted(NamedTuple):
    """PSNR in dB that kernel regression reaches for each member, and how well its equations are solved.

    `psnr_heldout` is NaN where no pixel is held out.
    """

    psnr_train: Float[AnyArray, "..."]
    psnr_heldout: Float[AnyArray, "..."]
    residual: Float[AnyArray, "..."]
    iterations: Int[AnyArray, "..."]


class ScaleCurve(NamedTuple):
    """PSNR in dB that kernel regression reaches at each scale, and how well it was solved there."""

    scale: Float[AnyArray, " m"]
    psnr_heldout: Float[AnyArray, " m"]
    psnr_train: Float[AnyArray, " m"]
    residual: Float[AnyArray, " m"]
    iterations: Int[AnyArray, " m"]


class Calibration(NamedTuple):
    """What other images, which were trained on, say of the difference between a kernel's curve and a trained one.

    `ridge` stands for the training length; `offset` is the trained curve minus the kernel's at each scale, the mean
    over the images.
    """

    ridge: float
    scales: Float[np.ndarray, " m"]
    offset: Float[np.ndarray, " m"]


class Choice(NamedTuple):
    """The scale that the kernel chooses, its anisotropy, and how sure it is.

    `low` and `high` bound the scales as good as the best (within 0.2 dB), by `psnr`, the predicted curve over `scales`
    at the best anisotropy; `at_edge`: the best is the smallest or the largest scale that was looked at.
    """

    scale: float
    anisotropy: float
    low: float
    high: float
    at_edge: bool
    scales: Float[np.ndarray, " m"]
    psnr: Float[np.ndarray, " m"]


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
    """What the theory says, without training: the PSNR of a very wide network at each scale.

    Exact regression with the NTK of the design's encoding and network, for the other settings in `hyper` (its seed
    draws B; `drawn=False`: infinitely many frequencies) and a `ridge` relative to the kernel's value at zero
    difference; or with a `time`, gradient flow stopped there (`regression.gradient_flow`).

    What it misses: a network of finite width learns features, which can gain it 2 dB; and it is trained for a finite
    time, while the regression is solved to its end, so small scales come out better here than short training makes
    them, unless a time is given. It predicts where too large a scale breaks the fit.
    Raises Refused if the design has no such kernel, and NotConverged rather than a wrong answer.
    """
    members = hypers(design, **{**(hyper or {}), "scale": scales})
    found = predict(design, members, task, ridge=ridge, time=time, drawn=drawn)
    return ScaleCurve(np.asarray(scales, float), found.psnr_heldout, found.psnr_train, found.residual, found.iterations)


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
    """The scale, or scale and anisotropy, that the kernel chooses from the training pixels alone, without training.

    Half of the training pixels predict the other half (`validated`). Without `scales`, half octaves up to half a cycle
    per training pixel (`usual_scales`). With a `calibration`, from trained fits of other images, its ridge and its
    offsets; it then has scales of its own. What to expect of the choice: experiments/README.md.
    Raises Refused if the design has no such kernel, and NotConverged rather than a wrong answer.
    """
    if calibration is not None:
        scales = calibration.scales
    known = catalogue(Fit)
    scales = usual_scales(task) if scales is None else np.asarray([known["scale"].convert(scale) for scale in scales])
    # A signal has no columns whose scale could differ.
    ratios = [known["anisotropy"].convert(ratio) for ratio in anisotropies] if len(task.grid) == 2 else [1.0]
    members = hypers(design, **{**(hyper or {}), "anisotropy": ratios, "scale": scales})
    ridge = SHORT if calibration is None else calibration.ridge
    psnr = validated(design, members, task, ridge=ridge, drawn=drawn).psnr_heldout
    curves = np.asarray(psnr).reshape(len(ratios), len(scales))
    curves = curves + (0.0 if calibration is None else calibration.offset)
    row, place = np.unravel_index(np.argmax(curves), curves.shape)
    curve = curves[row]
    good = scales[curve >= curve[place] - PLATEAU]
    edge = len(scales) > 1 and place in (0, len(scales) - 1)
    return Choice(float(scales[place]), ratios[row], float(good.min()), float(good.max()), bool(edge), scales, curve)


def usual_scales(task: Task) -> Float[np.ndarray, " m"]:
    """Half octaves of scales from a hundredth of a cycle per training pixel to half a one, in cycles per side."""
    highest = 0.5 * len(task.train) ** (1 / len(task.grid))
    return highest * 2.0 ** (np.arange(-11, 1) / 2)


def validated(
    design: Design, hypers: Hyper, task: Task, *, ridge: float = SHORT, time: float | None = None, drawn: bool = True
) -> Predicted:
    """What half of the training pixels say of the other half, in place of what the task holds out: no other is seen.

    Half the pixels are an image of less detail: they are fitted at the scale of as many cycles per pixel, smaller by
    2^(1/2) in two dimensions.
    """
    members = complete(design, hypers)
    smaller = np.asarray(members.get("scale", np.nan)) * 0.5 ** (1 / len(task.grid))
    members = members.replace(scale=smaller) if "scale" in members else members
    return predict(design, members, halved(task), ridge=ridge, time=time, drawn=drawn)


def halved(task: Task, seed: int = 0) -> Task:
    """The task in which half of the training pixels are trained on and the other half is held out.

    Of a lattice every second point, so that the other half lies between its lines as the task's held-out pixels do: a
    part of the lattice that keeps all lines would not see what happens between them. Of scattered pixels a random half.
    """
    lattice, equations = regression.posed(task)
    if lattice.filled:
        # Along the axes that have gaps; where there are none, along all.
        axes = [axis for axis, line in enumerate(lattice.lines) if line[2] > 1] or range(len(task.grid))
        where = np.indices(equations.mask.shape)
        first = sum(where[axis] for axis in axes) % 2 == 0
        known = np.zeros(task.grid, bool)
        known[lattice.where] = first
        kept = known.ravel()[np.asarray(task.train)]
    else:
        order = np.random.default_rng(seed).permutation(len(task.train))
        kept = order < (len(order) + 1) // 2
    train = np.asarray(task.train)
    return task._replace(train=train[kept], heldout=train[~kept])


def calibrated(
    scales: Float[np.ndarray, " m"],
    trained: Float[np.ndarray, "i m"],
    kernels: dict[float, Float[np.ndarray, "i m"]],
) -> Calibration:
    """How the trained curves of some images differ from the kernel's, which are given for each ridge.

    The ridge is that whose curves, with the mean difference added, have the shape of the trained ones most nearly.
    """
    found: dict[float, Calibration] = {}
    for ridge, curves in kernels.items():
        apart = trained - curves
        shapes = apart - apart.mean(1, keepdims=True)
        found[float(np.var(shapes, axis=0).mean())] = Calibration(ridge, np.asarray(scales), apart.mean(0))
    return found[min(found)]


def predict(
    design: Design,
    hypers: Hyper,
    task: Task,
    *,
    ridge: float = 1e-3,
    time: float | None = None,
    drawn: bool = True,
) -> Predicted:
    """What kernel regression reaches for each member of stacked hypers: one compiled program for all of them.

    With a ridge, or where a `time` is given, by gradient flow stopped there.
    Raises Refused if the design has no such kernel, and NotConverged rather than a wrong answer.
    """
    kernel.require_stationary(design, len(task.grid))
    release_programs()
    hypers = complete(design, hypers)
    members = [member_of(hypers, index) for index in range(count(hypers))]
    if time is not None:
        flows = [regression.gradient_flow(design, each, task, [time], drawn) for each in members]
        return _joined([jax.tree.map(lambda score: np.asarray(score)[None], _flow_scores(f, task)) for f in flows])
    regression.require_ridge(ridge)
    lattice, equations = regression.posed(task)
    each = 16 * sum(lattice.reach) * (kernel.count(design, len(task.grid)) if drawn else 1)
    at_once = max(1, WAVES_BYTES // each)
    found = []
    for start in range(0, len(members), at_once):
        some = members[start : start + at_once]
        waves = [kernel.waves(design, member, task.grid, lattice.reach, drawn) for member in some]
        with kernel.double():
            stacked = jax.tree.map(lambda *columns: np.stack(columns), *waves)
            found.append(jax.device_get(_predict(design, lattice, stacked, equations, task, ridge)))
    predicted = _joined(found)
    regression.require_solved(predicted.residual, int(predicted.iterations.max()))
    return predicted


@partial(jax.jit, static_argnames=("design", "lattice"))
def _predict(design: Design, lattice: Lattice, waves: Any, equations: Equations, task: Task, ridge: Any) -> Predicted:
    def one(own: Any) -> Predicted:
        tolerance, most = TOLERANCE, regression.ITERATIONS
        return _scores(regression.solved(design, lattice, own, equations, ridge, tolerance, most), task)

    return lax.map(one, waves)


def _joined(parts: Sequence[Predicted]) -> Predicted:
    return jax.tree.map(lambda *columns: np.concatenate(columns), *parts)


def _flow_scores(flow: Regression, task: Task) -> Predicted:
    with kernel.double():
        return jax.device_get(_scores(flow._replace(image=flow.image[0], residual=flow.residual[0]), task))


def _scores(fitted: Regression, task: Task) -> Predicted:
    train, heldout = (_psnr(fitted.image, task, index) for index in (task.train, task.heldout))
    return Predicted(train, heldout, fitted.residual, fitted.iterations)


def _psnr(image: Float[AnyArray, "*grid c"], task: Task, index: Int[AnyArray, " n"]) -> Array:
    """In float64, as `metrics.psnr` is in float32."""
    if not len(index):
        return jnp.asarray(math.nan)
    predicted, true = (jnp.asarray(x).reshape(-1, task.channels)[index] for x in (image, task.image))
    return -10 * jnp.log10(jnp.mean((jnp.clip(predicted, 0.0, 1.0) - true) ** 2))
