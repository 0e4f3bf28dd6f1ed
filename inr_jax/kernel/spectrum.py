"""The kernel's spectrum, and the training curves that it predicts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from inr_jax.fit import metrics
from inr_jax.fit.curves import Curves, pixel_curve_point
from inr_jax.fit.design import Design, Hyper
from inr_jax.fit.pinned import double_precision, pinned
from inr_jax.fit.task import Task
from inr_jax.kernel.flow import flow_time, gradient_flow
from inr_jax.kernel.ntk import ntk_on_grid
from inr_jax.kernel.toeplitz import circulant
from inr_jax.settings import Refused

# Settings with which training is the gradient descent that gradient flow is the limit of.
DESCENT = {"optimizer": "sgd", "schedule": "constant", "pixels": 0, "loss": "mse", "output": "linear"}


@pinned()
def eigenvalues(
    design: Design, hyper: Hyper, grid: tuple[int, ...], channels: int = 3
) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, " f"]]:
    """Frequencies, from 0, in cycles per image side, and the NTK's mean eigenvalue at each: how fast each is learned.

    Of the circulant nearest to the kernel's matrix between all pixels (`toeplitz.circulant`), whose eigenvectors are
    waves, with a kernel that is 1 at zero difference: their mean over all frequencies is 1.
    Raises Refused if there is no such kernel.
    """
    ntk = ntk_on_grid(design, hyper, grid, channels)
    with double_precision():
        column = np.asarray(circulant(ntk))
    return metrics.radial(np.fft.fftn(column).real)


@pinned()
def predict_curves(design: Design, hyper: Hyper, task: Task, steps: np.ndarray) -> Curves:
    """Predict the training curves at these steps by gradient flow from 0 with the NTK.

    They are read as those of a network are, and are the mean over very wide networks whose steps are small. A network
    starts elsewhere, at a random function.
    Raises Refused if there is no such kernel or the training is not gradient descent, NotConverged if not solved.
    """
    require_descent(design)
    times = np.asarray(steps) * flow_time(design, hyper, 1, task)
    images = gradient_flow(design, hyper, task, times, centred=False).image
    flat = jnp.asarray(images, jnp.float32).reshape(len(images), -1, task.channels)
    return jax.device_get(jax.lax.map(lambda colors: pixel_curve_point(task, partial(jnp.take, colors, axis=0)), flat))


def require_descent(design: Design) -> None:
    """Raise Refused unless training follows the whole gradient of the mean squared error, at one rate."""
    for name, needed in DESCENT.items():
        if design.get(name) != needed:
            raise Refused(f"{name}={design.get(name)!r} has no gradient flow here; allowed: {needed!r}")
