"""The door for pixels as people hold them: which numbers are black and white, and which axis holds the channels."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from inr_jax.settings import Refused

# How far beyond 0 and 1 values may be by their arithmetic.
ROUNDING = 1e-5
# Below this part of the range, pixels are likely to have been given another one.
NARROW = 1 / 8
# More values in the last axis than this are another row or column of pixels.
MOST_CHANNELS = 4
# Modes of Pillow whose pixels are gray or colours, and all there is of the image; those of 16 bits are too.
PLAIN = ("1", "L", "I", "F", "RGB")


class Levels(NamedTuple):
    """The values that are black and white, in the units of whoever holds them, and the type that they are held in.

    `rate` is that of a sound, in samples a second; 0 of all else.
    """

    black: float = 0.0
    white: float = 1.0
    dtype: str = "float32"
    rate: int = 0

    def inverted(self) -> "Levels":
        """The levels of what stores white as its smallest value."""
        return self._replace(black=self.white, white=self.black)

    def to_unit(self, pixels: np.ndarray) -> Float[np.ndarray, "..."]:
        """The pixels as float32 with black 0 and white 1, unclipped."""
        if (self.black, self.white) == (0, 1):
            return pixels.astype(np.float32)
        if self.black == 0 and pixels.dtype in (np.uint8, np.uint16):
            return pixels / np.float32(self.white)
        return ((pixels.astype(np.float64) - self.black) / (self.white - self.black)).astype(np.float32)

    def restore(self, image: Float[np.ndarray, "..."]) -> np.ndarray:
        """An image of 0 to 1 in these units and this type: integers rounded and clipped, those of 64 bits as floats."""
        values = self.black + image.astype(np.float64) * (self.white - self.black)
        dtype = np.dtype(self.dtype)
        if dtype.kind == "b":
            return values > 0.5
        if dtype.kind == "f":
            return values.astype(dtype)
        if dtype.itemsize > 4:
            return values
        limits = np.iinfo(dtype)
        return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


class Picture(NamedTuple):
    """Pixels to be fitted, with channels last, in [0, 1]; the levels that they had; and notes on what they lack.

    `files` are arrays that a task needs beside the pixels, by the settings that name them, such as a mask.
    """

    pixels: Float[np.ndarray, "*grid c"]
    levels: Levels = Levels()
    notes: tuple[str, ...] = ()
    files: Mapping[str, np.ndarray] = MappingProxyType({})


def is_unknown(image: Any) -> bool:
    """Whether an image is the one of no known truth: every pixel NaN."""
    return isinstance(image, np.ndarray) and image.dtype.kind == "f" and bool(image.size and np.isnan(image).all())


def to_picture(image: Any, value_range: Any = "dtype") -> Picture:
    """The picture that an array holds, (h, w, c), or a signal (n, c), from whatever NumPy makes an array of.

    (h, w) is gray, (n,) a signal; (n, c) of at most four channels is a signal with channels. For `value_range` see
    `levels_of`. Raises Refused for pixels that are masked, transparent or not finite, for values beyond the range, and
    where the channels come first.
    """
    pixels = _with_channels(image)
    levels = levels_of(pixels, value_range)
    unit = levels.to_unit(pixels)
    low, high = float(unit.min()), float(unit.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise Refused(
            f"the image has values from {low:.4g} to {high:.4g}: they must be in [0, 1]; value_range='data' or "
            "value_range=(black, white) maps others"
        )
    return Picture(np.ascontiguousarray(np.clip(unit, 0.0, 1.0)), levels)


def _with_channels(image: Any) -> np.ndarray:
    """The array of an image or a signal, with an axis of channels; raises Refused where it is none."""
    if any(map(np.ma.is_masked, image if isinstance(image, list | tuple) else [image])):
        raise Refused("the image has masked pixels: fill them, image.filled(value), or hold them out")
    mode = getattr(image, "mode", None) if hasattr(image, "getbands") else None  # Pillow's
    if mode is not None and mode not in PLAIN and not mode.startswith("I;16"):
        what = "a palette, transparent pixels or other colours"
        raise Refused(f"an image of mode {mode} has {what}: use image.convert('RGB')")
    if mode is not None and "transparency" in image.info:
        raise Refused("the image has a transparent colour: use image.convert('RGBA'), and lay it over a background")
    try:
        pixels = np.asarray(image)
    except ValueError as error:
        raise Refused(f"the image is no array: {error}") from None
    if jax.dtypes.issubdtype(pixels.dtype, jax.dtypes.bfloat16):
        pixels = pixels.astype(np.float32)
    if pixels.dtype.kind not in "buif":
        raise Refused(f"the image is of dtype {pixels.dtype}: real numbers are needed")
    if not pixels.size or not 1 <= pixels.ndim <= 4:
        raise Refused(f"the image has shape {pixels.shape}: pixels (h, w) or (h, w, c), or a signal (n,) are needed")
    if (pixels.ndim == 3 and pixels.shape[0] <= MOST_CHANNELS < min(pixels.shape[1:])) or (
        pixels.ndim > 2 and pixels.shape[-1] > MOST_CHANNELS and pixels.shape[0] < pixels.shape[-1]
    ):
        raise Refused(f"the image has shape {pixels.shape}, its channels first: use np.moveaxis(image, 0, -1)")
    if pixels.ndim == 1 or (pixels.ndim == 2 and pixels.shape[1] > MOST_CHANNELS):
        pixels = pixels[..., None]
    return pixels


def narrow(image: Float[np.ndarray, "..."]) -> tuple[str, ...]:
    """A note on an image that uses less than an eighth of its range, but more than one value; else none."""
    low, high = float(image.min()), float(image.max())
    if not 0 < high - low < NARROW:
        return ()
    return (
        f"its values, from {low:.4g} to {high:.4g}, are a small part of the range; value_range=data maps them to all",
    )


def levels_of(pixels: np.ndarray, value_range: Any = "dtype") -> Levels:
    """The values that are black and white.

    `value_range` says which: `dtype`, 0 to the largest value of unsigned integers of 8 and 16 bits, False to True, and
    0 to 1 of floats; `data`, the lowest and the highest value; or two numbers, in Python a pair, as text `LOW:HIGH`.
    Integers of other kinds have no agreed white; of them `dtype` takes zeros and ones alone.
    Raises Refused for those, for values that are not finite, and for a range that is none.
    """
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise Refused("the image has values that are not finite")
    return Levels(*_black_and_white(pixels, value_range), pixels.dtype.name)


def _black_and_white(pixels: np.ndarray, value_range: Any) -> tuple[float, float]:
    if isinstance(value_range, str) and value_range == "data":
        low, high = float(pixels.min()), float(pixels.max())
        return (low, high) if high > low else (low, low + max(1.0, abs(low)))
    if isinstance(value_range, str) and value_range == "dtype":
        if pixels.dtype.kind in "bf":
            return 0.0, 1.0
        if pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2:
            return 0.0, float(np.iinfo(pixels.dtype).max)
        if pixels.min() >= 0 and pixels.max() <= 1:
            return 0.0, 1.0
        raise Refused(
            f"integers of {pixels.dtype}, here from {pixels.min()} to {pixels.max()}, have no agreed white: give "
            "value_range, two numbers (0:255) or data"
        )
    pair = value_range.split(":") if isinstance(value_range, str) else value_range
    try:
        if not isinstance(pair, list | tuple | np.ndarray):
            raise TypeError
        low, high = (float(each) for each in pair)
    except (TypeError, ValueError):
        raise Refused(f"value_range={value_range!r} is not known; allowed: dtype, data, or LOW:HIGH") from None
    if not (math.isfinite(low) and math.isfinite(high) and math.isfinite(high - low) and low < high):
        raise Refused(f"value_range={value_range!r} is none: black must be less than white")
    return low, high
