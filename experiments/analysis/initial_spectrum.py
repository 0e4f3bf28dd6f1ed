"""Choice of a scale by the spectrum of the network before training, after FreSh (Kania et al. 2024)."""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jaxtyping import Array, Float

from inr_jax.fit.design import Design, Hyper, hypers
from inr_jax.fit.member import init, predict
from inr_jax.fit.metrics import radial_power
from inr_jax.fit.task import Task, pixel_coordinates
from inr_jax.tasks.interpolate import interpolate
from inr_jax.tasks.splits import split

# Networks that are drawn at each scale.
SEEDS = 4


def mismatch(design: Design, scales: Sequence[float] | np.ndarray, task: Task) -> Float[np.ndarray, " m"]:
    """Distance between the spectra of the network before its first step and of the image, at every scale.

    Spectra of power as distributions over the radial frequencies but zero, their Wasserstein distance, means over four
    seeds. The image is interpolated from the training pixels.
    """
    part = (len(task.train) / math.prod(task.grid)) ** (1 / len(task.grid))
    grid = tuple(max(2, round(n * part)) for n in task.grid)
    known = interpolate(task, "linear")
    target = _spectrum(known[tuple(slice(None, None, max(1, n // m)) for n, m in zip(task.grid, grid, strict=True))])
    members = hypers(scale=np.asarray(scales), seed=list(range(SEEDS)))
    images = np.asarray(initial_images(design, members, grid, task.channels))
    distances = []
    for image in images:
        spectrum = _spectrum(image.reshape(*grid, -1))
        count = min(len(spectrum), len(target))
        places = np.arange(count)
        distances.append(scipy.stats.wasserstein_distance(places, places, spectrum[:count], target[:count]))
    return np.reshape(distances, (len(scales), SEEDS)).mean(1)


@partial(jax.jit, static_argnames=("design", "grid", "channels"))
def initial_images(design: Design, members: Hyper, grid: tuple[int, ...], channels: int) -> Float[Array, "m n c"]:
    """The images of networks before their first step, on a grid."""
    coords = pixel_coordinates(jnp.arange(int(np.prod(grid))), grid, design.domain)
    task = split(np.zeros((*grid, channels), np.float32), "all")

    def one(hyper: Hyper) -> Float[Array, "n c"]:
        state = init(design, hyper, task)
        return predict(design, hyper, state.params, state.data, coords, channels)

    return jax.lax.map(one, members)


def _spectrum(image: Float[np.ndarray, "*grid c"]) -> Float[np.ndarray, " f"]:
    power = radial_power(image)[1] * np.arange(1, 1 + min(image.shape[:-1]) // 2) ** (image.ndim - 2)
    return power / power.sum()
