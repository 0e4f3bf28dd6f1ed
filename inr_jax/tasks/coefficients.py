"""Images from some of their Fourier coefficients, as of magnetic resonance."""

import math
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int

from inr_jax.fit.pixels import is_unknown
from inr_jax.fit.task import Field, Task, measured, pictured, places, register, span, truth_of
from inr_jax.settings import AnyArray, Refused, about
from inr_jax.tasks.splits import Seed, Validation, without

# Of a file whose image is real no more of the power than this is against it.
UNREAL = 0.05


@register()
def fourier(
    image: Float[np.ndarray, "*grid c"],
    *,
    sampled: Annotated[
        float, about("part of the coefficients that is measured", above=0.0, high=1.0, when=without("kspace"))
    ] = 0.125,
    density: Annotated[
        str,
        about(
            "of what is measured: falls as a Gaussian from frequency 0, or the same",
            choices=("gaussian", "uniform"),
            when=without("kspace"),
        ),
    ] = "gaussian",
    density_spread: Annotated[
        float,
        about(
            "standard deviation of density=gaussian",
            "of the sampling rate",
            above=0.0,
            when=lambda s: s["density"] == "gaussian" and without("kspace")(s),
        ),
    ] = 0.15,
    kspace: Annotated[
        Any,
        about(
            "a file of measured coefficients, (h, w) complex, frequency 0 in the middle, 0 or NaN where there is none",
            file="array",
        ),
    ] = "",
    origin: Annotated[
        str,
        about(
            "where the file's transform has the image's origin: its first pixel (NumPy), or its middle (scanners)",
            choices=("corner", "middle"),
            when=lambda s: not without("kspace")(s),
        ),
    ] = "corner",
    split_seed: Seed = 0,
    validation: Validation = 0.0,
) -> Task:
    """The measurements are some coefficients of the discrete Fourier transform of all pixels, real and imaginary parts.

    The transform is orthonormal. The image is real, so that the coefficient of the opposite frequency is the complex
    conjugate: of both one is measured, and a part is one of such pairs. Coefficients of a file are scaled as the
    truth's; where none is known, so that the image of them alone has the peak 1. Raises Refused for a file whose image
    is not real.
    """
    if isinstance(kspace, np.ndarray):
        coefficients, index = _of_file(kspace, origin)
        image = truth_of(image, coefficients.shape, "kspace")
        coefficients = _scaled(coefficients, index, image)
    else:
        image = pictured(image)
        coefficients = np.fft.fft2(image, axes=(0, 1), norm="ortho")
        index = _drawn(image.shape[:2], sampled, density_spread if density == "gaussian" else math.inf, split_seed)
    values = coefficients.reshape(-1, coefficients.shape[-1])[index]
    targets = np.concatenate([values.real, values.imag], axis=-1)
    return measured(
        image,
        targets,
        _coefficients,
        index,
        validation=validation,
        seed=split_seed,
        peak=span(targets),
        classical=_zero_filled,
    )


def opposite(grid: tuple[int, ...]) -> Int[np.ndarray, "h w"]:
    """For each frequency of the transform the row-major number of the opposite one."""
    return np.ravel_multi_index(np.ix_(*((-np.arange(side)) % side for side in grid)), grid)


def _drawn(grid: tuple[int, ...], part: float, spread: float, seed: int) -> Int[np.ndarray, " m"]:
    """Which coefficients are measured: that of frequency 0, and others without replacement, one of each pair."""
    pairs = np.flatnonzero(np.arange(math.prod(grid)) <= opposite(grid).ravel())
    squared = np.add.outer(*(np.square(np.fft.fftfreq(side)) for side in grid)).ravel()[pairs]
    chances = np.exp(-squared / (2 * spread**2))
    # Weighted, without replacement (Efraimidis and Spirakis 2006).
    keys = np.log(np.random.default_rng(seed).random(len(pairs))) / np.maximum(chances, 1e-300)
    keys[0] = 0.0
    count = max(1, round(part * len(pairs)))
    return np.sort(pairs[np.argsort(-keys, kind="stable")[:count]]).astype(np.int32)


def _of_file(array: np.ndarray, origin: str) -> tuple[Complex[np.ndarray, "h w c"], Int[np.ndarray, " m"]]:
    """The coefficients of a real image in the transform's order, and which are known, one of each pair."""
    if array.ndim not in (2, 3) or array.dtype.kind != "c":
        raise Refused(
            f"kspace: it is {array.dtype} of shape {array.shape}; expected complex numbers (h, w) or (h, w, c)"
        )
    array = np.fft.ifftshift(array[..., None] if array.ndim == 2 else array, axes=(0, 1))
    grid, found = array.shape[:2], (np.isfinite(array).all(-1) & (array != 0).any(-1)).ravel()
    if not found.any():
        raise Refused("kspace: no coefficient of it is finite and other than 0")
    filled = np.where(found.reshape(*grid, 1), array, 0.0)
    if origin == "middle":
        waves = [np.exp(-2j * np.pi * np.fft.fftfreq(side) * (side // 2)) for side in grid]
        filled = filled * np.multiply.outer(*waves)[..., None]
    filled, other = filled.reshape(math.prod(grid), -1), opposite(grid).ravel()
    twice = found & found[other]
    both = np.where(twice[:, None], (filled + filled[other].conj()) / 2, filled)
    wrong = float(np.sum(np.abs(filled - both)[twice] ** 2) / np.sum(np.abs(filled) ** 2))
    if wrong > UNREAL:
        raise Refused(
            f"kspace: its image is not real ({wrong:.0%} of the power); expected that its phase is corrected, "
            "or origin=middle"
        )
    both = np.where(found[:, None], both, filled[other].conj())
    pairs = np.flatnonzero((found | found[other]) & (np.arange(len(found)) <= other))
    return both.reshape(array.shape), pairs.astype(np.int32)


def _scaled(
    coefficients: Complex[np.ndarray, "h w c"], index: Int[np.ndarray, " m"], image: Float[np.ndarray, "h w c"]
) -> Complex[np.ndarray, "h w c"]:
    """Coefficients of any unit, scaled as those of the truth, or where none is known for an image of the peak 1."""
    if is_unknown(image):
        return (
            coefficients
            / np.abs(_image_of(coefficients.reshape(-1, coefficients.shape[-1])[index], index, image)).max()
        )
    given, wanted = (
        each.reshape(-1, image.shape[-1])[index]
        for each in (coefficients, np.fft.fft2(image, axes=(0, 1), norm="ortho"))
    )
    return coefficients * float(np.sum((given.conj() * wanted).real) / np.sum(np.abs(given) ** 2))


def _coefficients(
    known: Int[AnyArray, " m"], field: Field, task: Task, index: Int[AnyArray, " n"]
) -> Float[Array, "n k"]:
    """Fourier coefficients of the field at all pixels."""
    height, width = task.grid
    image = field(places(jnp.arange(height * width), task.grid)).reshape(height, width, -1)
    waves = jnp.fft.fft2(image, axes=(0, 1), norm="ortho").reshape(height * width, -1)[jnp.asarray(known)[index]]
    return jnp.concatenate([waves.real, waves.imag], axis=-1)


def _zero_filled(task: Task) -> dict[str, np.ndarray]:
    """The inverse transform of the measured coefficients and of their opposites, all others 0."""
    real, imaginary = np.split(np.asarray(task.targets, np.float64), 2, axis=-1)
    known = np.asarray(task.observe.args[0])  # type: ignore[attr-defined]
    return {"zero-filled": _image_of(real + 1j * imaginary, known, np.asarray(task.image)).astype(np.float32)}


def _image_of(
    values: Complex[np.ndarray, "m c"], index: Int[np.ndarray, " m"], image: Float[np.ndarray, "h w c"]
) -> Float[np.ndarray, "h w c"]:
    """The real image of these coefficients and their opposites, of the shape of another."""
    waves = np.zeros((math.prod(image.shape[:2]), image.shape[-1]), complex)
    waves[opposite(image.shape[:2]).ravel()[index]] = values.conj()
    waves[index] = values
    return np.fft.ifft2(waves.reshape(image.shape), axes=(0, 1), norm="ortho").real
