"""Metrics, a table of them, and spectra. Predictions are clipped to [0, 1], never rounded; the peak is 1.

A metric is a function of a `View`; its row says unit, digits and heading. A custom one is `module:function`, a function
of a `View` or a `Metric`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from inr_jax.settings import AnyArray, Registry

SSIM_WINDOW = 11
# Rows of a map that are computed at once: beyond the image, memory does not grow with it.
SSIM_BAND = 128


class View(NamedTuple):
    """What metrics see of a fit: prediction and truth on the truth's grid, both unclipped.

    `error` is the squared error of each pixel, row-major, `observed` that of each training measurement, over its peak,
    and `unseen` that of what is held out, pixels or measurements: all of clipped predictions and means over channels.
    `heldout` are numbers of pixels.
    """

    prediction: Float[Array, "*grid c"]
    image: Float[Array, "*grid c"]
    error: Float[Array, " p"]
    observed: Float[Array, " n"]
    heldout: Int[Array, " m"]
    unseen: Float[Array, " u"]


class Metric(NamedTuple):
    """A metric: its function, its unit, the digits it is shown with, and a short heading.

    An `optional` one has a column only in tables of members of which some have it.
    """

    function: Callable[[View], Float[Array, ""]]
    unit: str = ""
    digits: int = 4
    label: str = ""
    optional: bool = False


def metric(function: Any) -> Metric:
    """The row of a custom metric: a `Metric` as it is, of a function one without a unit."""
    return function if isinstance(function, Metric) else Metric(function, label=function.__name__)


METRICS = Registry("metric", adapt=metric)
METRICS |= {
    "psnr_train": Metric(lambda view: psnr_of(jnp.mean(view.observed)), "dB", 2, "train"),
    "psnr_heldout": Metric(lambda view: psnr_of(jnp.mean(view.unseen)), "dB", 2, "held out"),
    "psnr_all": Metric(lambda view: psnr_of(jnp.mean(view.error)), "dB", 2, "all pixels"),
    "ssim": Metric(lambda view: ssim(view.prediction, view.image), "", 4, "SSIM"),
    "iou": Metric(lambda view: iou(view.prediction, view.image), "", 4, "IoU", optional=True),
}


def metric_names(custom: str | Sequence = ()) -> tuple:
    """The package's metrics and custom ones: names in a text, separated by commas, or names and functions. Raises
    Refused.
    """
    named = [part.strip() for part in custom.split(",")] if isinstance(custom, str) else list(custom)
    for name in filter(None, named):
        METRICS.find(name)
    return (*METRICS, *(name for name in dict.fromkeys(named) if name and name not in METRICS))


def column(name: Any) -> str:
    """The column of a metric in tables: its name, of `module:function` the function's."""
    return name.rpartition(":")[2] if isinstance(name, str) else METRICS.find(name).label


def scores(view: View, names: tuple) -> dict[str, Float[Array, ""]]:
    """The scores of these metrics by column, float32."""
    return {column(name): jnp.asarray(METRICS.find(name).function(view), jnp.float32) for name in names}


def psnr(
    prediction: Float[AnyArray, "*n c"], target: Float[AnyArray, "*n c"], peak: Float[AnyArray, ""] | None = None
) -> Float[Array, ""]:
    """Peak signal-to-noise ratio in dB, over all pixels and channels of one image; infinite for a perfect fit.

    With a `peak` nothing is clipped.

    Examples:
        >>> round(float(psnr(jnp.full((2, 2, 3), 0.6), jnp.full((2, 2, 3), 0.5))), 3)
        20.0
    """
    return psnr_of(jnp.mean(squared_error(prediction, target, peak)))


def squared_error(
    prediction: Float[AnyArray, "*n c"], target: Float[AnyArray, "*n c"], peak: Float[AnyArray, ""] | None = None
) -> Float[Array, "*n"]:
    """Squared error of each pixel, mean over its channels, of the prediction clipped to [0, 1].

    With a `peak` that of the prediction as it is, over the peak's square.
    """
    if peak is not None:
        return jnp.mean(jnp.square((prediction - target) / peak), axis=-1)
    return jnp.mean(jnp.square(jnp.clip(prediction, 0.0, 1.0) - target), axis=-1)


def psnr_of(mse: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """PSNR in dB of a mean squared error in [0, 1]: 0.01 gives 20."""
    return -10.0 * jnp.log10(mse)


def ssim(prediction: Float[AnyArray, "*n c"], target: Float[AnyArray, "*n c"]) -> Float[Array, ""]:
    """Structural similarity, at most 1 (Wang et al. 2004: Gaussian window 11, σ 1.5, k 0.01 and 0.03).

    NaN for an image smaller than the window, and for a signal.
    """
    import dm_pix  # a sixth of a second with what it imports

    prediction, target = jnp.asarray(prediction), jnp.asarray(target)
    if target.ndim != 3 or min(target.shape[:2]) < SSIM_WINDOW:
        return jnp.asarray(jnp.nan, jnp.float32)
    rows = target.shape[0] - SSIM_WINDOW + 1
    band = min(rows, SSIM_BAND)

    def total(first: Int[Array, ""]) -> Float[Array, ""]:
        start = jnp.minimum(first, rows - band)
        parts = [lax.dynamic_slice_in_dim(each, start, band + SSIM_WINDOW - 1) for each in (prediction, target)]
        similar = dm_pix.ssim(
            jnp.clip(parts[0], 0.0, 1.0), parts[1], max_val=1.0, filter_size=SSIM_WINDOW, return_map=True
        )
        # The last band reaches back into the one before.
        return jnp.sum(similar.mean(axis=(1, 2)) * (start + jnp.arange(band) >= first))

    return lax.map(total, jnp.arange(0, rows, band)).sum() / rows


def iou(prediction: Float[AnyArray, "*n c"], target: Float[AnyArray, "*n c"]) -> Float[Array, ""]:
    """Intersection over union of what is above 1/2 in either volume; NaN for all but volumes of one channel."""
    if target.ndim != 4 or target.shape[-1] != 1:
        return jnp.asarray(jnp.nan, jnp.float32)
    inside = prediction > 0.5, target > 0.5
    return jnp.sum(inside[0] & inside[1]) / jnp.sum(inside[0] | inside[1])


def bands(side: int) -> Int[np.ndarray, " b"]:
    """The lowest frequency of each band, in cycles per image side: octaves 1, 2, 4, ..., the last may be short.

    `side` is the longest side in pixels: along a shorter one the last bands are empty.
    """
    return 2 ** np.arange(max(1, math.ceil(math.log2(max(side // 2, 1)))))


def band_power(lines: Float[AnyArray, "l n c"], count: int) -> Float[Array, " b"]:
    """Power in the first `count` bands along lines of pixels, their means over lines and channels summed over a band.

    Each line less its mean under a Hann window: what does not end as it began would leak into every band.
    """
    side = lines.shape[1]
    frequencies = np.arange(1, side // 2 + 1)
    band = np.minimum(np.log2(frequencies).astype(int), count - 1)
    sums = (band[:, None] == np.arange(count)).astype(np.float32)
    window = np.hanning(side + 1)[:side, None].astype(np.float32)
    waves = jnp.fft.rfft((lines - lines.mean(1, keepdims=True)) * window, axis=1)[:, 1:]
    power = jnp.mean(jnp.square(waves.real) + jnp.square(waves.imag), axis=(0, 2)) / side**2
    return jnp.matmul(power, sums, precision=lax.Precision.HIGHEST)


def spectrum(image: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w"]:
    """log10 of the power at each frequency, mean over channels, zero frequency in the middle.

    A pixel is one cycle per image side, along the rows and along the columns.
    """
    power = np.abs(np.fft.fftshift(np.fft.fft2(image, axes=(0, 1), norm="forward"), axes=(0, 1))) ** 2
    return np.log10(power.mean(-1) + 1e-12)


def radial_power(image: Float[np.ndarray, "*grid c"]) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, " f"]]:
    """Frequencies, 1 to half of the shortest side, in cycles per image side, and the mean power in the ring of each."""
    power = (np.abs(np.fft.fftn(image, axes=range(image.ndim - 1), norm="forward")) ** 2).mean(-1)
    frequencies, mean = radial(power)
    return frequencies[1:], mean[1:]


def radial(transform: Float[np.ndarray, "*grid"]) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, " f"]]:
    """Frequencies, 0 to half of the shortest side, in cycles per image side, and a transform's mean in each ring.

    Cycles per side are counted along each axis of its own, as B does in coordinates i / n: two waves of one ring may
    differ in cycles per pixel where the image is not square. Beyond half of the shortest side no ring is whole.
    """
    waves = np.ix_(*(np.fft.fftfreq(side) * side for side in transform.shape))
    ring = np.rint(np.sqrt(sum(wave**2 for wave in waves))).astype(int).ravel()
    mean = np.bincount(ring, transform.ravel()) / np.bincount(ring)
    frequencies = np.arange(min(transform.shape) // 2 + 1)
    return frequencies.astype(float), mean[frequencies]
