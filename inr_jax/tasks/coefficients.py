"""Images from some of their Fourier coefficients, as of magnetic resonance."""

import math
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from inr_jax.fit.task import Field, Task, measured, pictured, places, register, truth_of
from inr_jax.settings import AnyArray, Refused, about
from inr_jax.tasks.splits import Seed, Validation


@register()
def fourier(
    image: Float[np.ndarray, "*grid c"],
    *,
    sampled: Annotated[float, about("part of the coefficients that is measured", above=0.0, high=1.0)] = 0.125,
    density: Annotated[
        str,
        about(
            "of what is measured: falls as a Gaussian from frequency 0, or the same", choices=("gaussian", "uniform")
        ),
    ] = "gaussian",
    density_spread: Annotated[
        float,
        about(
            "standard deviation of density=gaussian",
            "of the sampling rate",
            above=0.0,
            when=lambda s: s["density"] == "gaussian",
        ),
    ] = 0.15,
    kspace: Annotated[
        Any,
        about(
            "a file of measured coefficients, (h, w) complex, frequency 0 in the middle, 0 or NaN where there is none",
            file="array",
        ),
    ] = "",
    split_seed: Seed = 0,
    validation: Validation = 0.0,
) -> Task:
    """The measurements are some coefficients of the discrete Fourier transform of all pixels, real and imaginary parts.

    The transform is orthonormal. Coefficients of a file are scaled so that the image of them alone has the peak 1.
    """
    if isinstance(kspace, np.ndarray):
        coefficients, known = _of_file(kspace)
        image = truth_of(image, coefficients.shape, "kspace")
    else:
        image = pictured(image)
        coefficients = np.fft.fft2(image, axes=(0, 1), norm="ortho")
        known = _drawn(image.shape[:2], sampled, density_spread if density == "gaussian" else math.inf, split_seed)
    index = np.flatnonzero(known).astype(np.int32)
    values = coefficients.reshape(known.size, -1)[index]
    targets = np.concatenate([values.real, values.imag], axis=-1)
    return measured(
        image,
        targets,
        _coefficients,
        index,
        validation=validation,
        seed=split_seed,
        peak=float(np.ptp(targets)) or 1.0,
        classical=_zero_filled,
    )


def _drawn(grid: tuple[int, ...], part: float, spread: float, seed: int) -> Bool[np.ndarray, "h w"]:
    """Which coefficients are measured: that of frequency 0, and others without replacement."""
    squared = np.add.outer(*(np.square(np.fft.fftfreq(side)) for side in grid))
    chances = np.exp(-squared / (2 * spread**2)).ravel()
    chances[0] = 0.0
    count = max(1, round(part * squared.size))
    # Weighted, without replacement (Efraimidis and Spirakis 2006).
    keys = np.log(np.random.default_rng(seed).random(squared.size)) / np.maximum(chances, 1e-300)
    keys[0] = 0.0
    known = np.zeros(squared.size, bool)
    known[np.argsort(-keys, kind="stable")[:count]] = True
    return known.reshape(grid)


def _of_file(array: np.ndarray) -> tuple[np.ndarray, Bool[np.ndarray, "h w"]]:
    if array.ndim not in (2, 3) or array.dtype.kind != "c":
        raise Refused(
            f"kspace: it is {array.dtype} of shape {array.shape}; expected complex numbers (h, w) or (h, w, c)"
        )
    array = np.fft.ifftshift(array[..., None] if array.ndim == 2 else array, axes=(0, 1))
    known = np.isfinite(array).all(-1) & (array != 0).any(-1)
    if not known.any():
        raise Refused("kspace: no coefficient of it is finite and other than 0")
    filled = np.where(known[..., None], array, 0.0)
    return filled / np.abs(np.fft.ifft2(filled, axes=(0, 1), norm="ortho")).max(), known


def _coefficients(
    known: Int[AnyArray, " m"], field: Field, task: Task, index: Int[AnyArray, " n"]
) -> Float[Array, "n k"]:
    """Fourier coefficients of the field at all pixels."""
    height, width = task.grid
    image = field(places(jnp.arange(height * width), task.grid)).reshape(height, width, -1)
    waves = jnp.fft.fft2(image, axes=(0, 1), norm="ortho").reshape(height * width, -1)[jnp.asarray(known)[index]]
    return jnp.concatenate([waves.real, waves.imag], axis=-1)


def _zero_filled(task: Task) -> dict[str, np.ndarray]:
    """The inverse transform of the coefficients that are trained on, all others 0."""
    train, known = np.asarray(task.train), np.asarray(task.observe.args[0])  # type: ignore[attr-defined]
    real, imaginary = np.split(np.asarray(task.targets, np.float64)[train], 2, axis=-1)
    waves = np.zeros((math.prod(task.grid), task.channels), complex)
    waves[known[train]] = real + 1j * imaginary
    image = np.fft.ifft2(waves.reshape(task.image.shape), axes=(0, 1), norm="ortho")
    return {"zero-filled": np.abs(image).astype(np.float32)}
