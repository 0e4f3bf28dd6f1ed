"""Scores that kernel regression reaches, without training: of all members at once, and from training pixels alone."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from inr_jax.fit.design import Design, Hyper, complete, count, member_of
from inr_jax.fit.pinned import double_precision, pinned
from inr_jax.fit.task import Task
from inr_jax.kernel.correlation import Waves, count_frequencies, encoding_waves
from inr_jax.kernel.flow import gradient_flow
from inr_jax.kernel.lattice import Equations, Lattice, equations_of
from inr_jax.kernel.ntk import require_kernel
from inr_jax.kernel.regression import ITERATIONS, Regression, require_ridge, require_solved, solve_ridge
from inr_jax.settings import AnyArray
from inr_jax.sweep.programs import release_programs

# The ridge that stands for a training of hundreds of steps in place of an endless one.
SHORT_RIDGE = 0.05
# Bytes of the members' waves that are held at once.
WAVES_BYTES = 2**28
# Relative residual: PSNR to a thousandth of a dB, held out to a hundred-thousandth.
TOLERANCE = 1e-5


class Prediction(NamedTuple):
    """PSNR in dB that kernel regression reaches for each member, and how well its equations are solved.

    `psnr_heldout` is NaN where no pixel is held out.
    """

    psnr_train: Float[AnyArray, "..."]
    psnr_heldout: Float[AnyArray, "..."]
    residual: Float[AnyArray, "..."]
    iterations: Int[AnyArray, "..."]


@pinned()
def predict(
    design: Design,
    hypers: Hyper,
    task: Task,
    *,
    ridge: float = 1e-3,
    time: float | None = None,
    drawn: bool = True,
) -> Prediction:
    """Predict the scores of each member of stacked hypers by kernel regression, in one compiled program.

    With a ridge, or where a `time` is given, by gradient flow stopped there.
    Raises Refused if the design has no such kernel, and NotConverged rather than a wrong answer.
    """
    require_kernel(design, len(task.grid))
    release_programs()
    hypers = complete(design, hypers)
    members = [member_of(hypers, index) for index in range(count(hypers))]
    if time is not None:
        flows = [gradient_flow(design, each, task, [time], drawn) for each in members]
        return _concatenate([jax.tree.map(lambda score: np.asarray(score)[None], _flow_scores(f, task)) for f in flows])
    require_ridge(ridge)
    lattice, equations = equations_of(task)
    waves_bytes = 16 * sum(lattice.reach) * (count_frequencies(design, len(task.grid)) if drawn else 1)
    at_once = max(1, WAVES_BYTES // waves_bytes)
    parts = []
    for start in range(0, len(members), at_once):
        some = members[start : start + at_once]
        waves = [encoding_waves(design, member, task.grid, lattice.reach, drawn) for member in some]
        with double_precision():
            stacked = jax.tree.map(lambda *columns: np.stack(columns), *waves)
            parts.append(jax.device_get(_predict(design, lattice, stacked, equations, task, ridge)))
    predicted = _concatenate(parts)
    require_solved(predicted.residual, int(predicted.iterations.max()))
    return predicted


@pinned()
def validate(
    design: Design,
    hypers: Hyper,
    task: Task,
    *,
    ridge: float = SHORT_RIDGE,
    time: float | None = None,
    drawn: bool = True,
) -> Prediction:
    """Predict half of the training pixels from the other half: no held-out pixel enters.

    `psnr_heldout` is that of the second half. Half the pixels are an image of less detail: they are fitted at the scale
    of as many cycles per pixel, smaller by 2^(1/2) in two dimensions.
    """
    members = complete(design, hypers)
    smaller = np.asarray(members.get("scale", np.nan)) * 0.5 ** (1 / len(task.grid))
    members = members.replace(scale=smaller) if "scale" in members else members
    return predict(design, members, halve(task), ridge=ridge, time=time, drawn=drawn)


def halve(task: Task, seed: int = 0) -> Task:
    """The task in which half of the training pixels are trained on and the other half is held out.

    Of a lattice every second point, so that the other half lies between its lines as the task's held-out pixels do: a
    part of the lattice that keeps all lines would not see what happens between them. Of scattered pixels a random half.
    """
    lattice, equations = equations_of(task)
    if lattice.filled:
        # Along the axes that have gaps; where there are none, along all.
        axes = [axis for axis, line in enumerate(lattice.lines) if line[2] > 1] or range(len(task.grid))
        where = np.indices(equations.mask.shape)
        first = sum(where[axis] for axis in axes) % 2 == 0
        known = np.zeros(task.grid, bool)
        known[lattice.where] = first
        half = known.ravel()[np.asarray(task.train)]
    else:
        order = np.random.default_rng(seed).permutation(len(task.train))
        half = order < (len(order) + 1) // 2
    train = np.asarray(task.train)
    return task._replace(train=train[half], heldout=train[~half])


@partial(jax.jit, static_argnames=("design", "lattice"))
def _predict(design: Design, lattice: Lattice, waves: Any, equations: Equations, task: Task, ridge: Any) -> Prediction:
    def one(waves: Waves) -> Prediction:
        return _scores(solve_ridge(design, lattice, waves, equations, ridge, TOLERANCE, ITERATIONS), task)

    return lax.map(one, waves)


def _concatenate(parts: Sequence[Prediction]) -> Prediction:
    return jax.tree.map(lambda *columns: np.concatenate(columns), *parts)


def _flow_scores(flow: Regression, task: Task) -> Prediction:
    with double_precision():
        return jax.device_get(_scores(flow._replace(image=flow.image[0], residual=flow.residual[0]), task))


def _scores(fitted: Regression, task: Task) -> Prediction:
    train, heldout = (_psnr(fitted.image, task, index) for index in (task.train, task.heldout))
    return Prediction(train, heldout, fitted.residual, fitted.iterations)


def _psnr(image: Float[AnyArray, "*grid c"], task: Task, index: Int[AnyArray, " n"]) -> Array:
    """In float64, as `metrics.psnr` is in float32."""
    if not len(index):
        return jnp.asarray(math.nan)
    predicted, true = (jnp.asarray(x).reshape(-1, task.channels)[index] for x in (image, task.image))
    return -10 * jnp.log10(jnp.mean((jnp.clip(predicted, 0.0, 1.0) - true) ** 2))
