"""Images: read, sampled or generated, and resized. All are float32 in [0, 1], (h, w, c)."""

import hashlib
import os
from collections.abc import Callable

import imageio.v3 as iio
import numpy as np
import skimage.data
import skimage.transform
from jaxtyping import Float

from inr_jax.settings import AnyArray, Refused, nearest

# Those that the scikit-image wheel carries and that are CC0 or in the public domain.
SAMPLES = (
    *("astronaut", "camera", "coffee", "cat", "chelsea", "brick", "grass", "gravel"),
    *("cell", "clock", "horse", "hubble_deep_field", "retina", "rocket"),
)
GENERATED_SIDE = 512


def load(spec: str, size: int = 0, resize: str = "crop") -> Float[np.ndarray, "h w c"]:
    """The image that `spec` names, in [0, 1]: a path, a scikit-image sample, or `synthetic:NAME`.

    With `size` it becomes a square of that side: its centre square resampled (`crop`), or the whole of it (`stretch`),
    in both cases anti-aliased. Raises Refused where there is no such image or it cannot be read.
    """
    side = size or GENERATED_SIDE
    if resize not in ("crop", "stretch"):
        raise Refused(f"resize={resize!r} is not known; {nearest(resize, ('crop', 'stretch'))}")
    if size == 1:
        raise Refused("size=1 is too small: at least 2 pixels a side are needed")
    if spec.startswith("synthetic:"):
        return _channels(_generator(spec)(side))
    image = _sample(spec) if spec in SAMPLES else _read(spec)
    if min(image.shape[:2]) < 2:
        raise Refused(f"image {spec!r} is {image.shape[1]}x{image.shape[0]}: at least 2x2 pixels are needed")
    return to_square(image, size, resize) if size else image


def to_square(image: Float[np.ndarray, "h w c"], size: int, resize: str = "crop") -> Float[np.ndarray, "n n c"]:
    """The image as a square of `size` pixels a side; exact pixels where nothing has to be resampled."""
    if resize == "crop":
        side = min(image.shape[:2])
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        image = image[top : top + side, left : left + side]
    if image.shape[:2] != (size, size):
        image = skimage.transform.resize(image, (size, size), anti_aliasing=True)
    return np.clip(image, 0.0, 1.0).astype(np.float32)


def digest(image: Float[AnyArray, "..."]) -> str:
    """A short digest of the pixels: two names of one image have the same."""
    return hashlib.sha256(repr(image.shape).encode() + np.asarray(image).tobytes()).hexdigest()[:16]


def to_bytes(image: Float[np.ndarray, "h w c"]) -> np.ndarray:
    """The image in 8 bits, clipped and rounded; one channel as (h, w)."""
    eight = np.round(np.clip(image, 0.0, 1.0) * 255).astype(np.uint8)
    return eight[..., 0] if eight.shape[-1] == 1 else eight


def zone_plate(side: int) -> Float[np.ndarray, "n n"]:
    """cos of a squared radius: the local frequency grows from zero to a quarter of the sampling rate at the edges."""
    r = np.arange(side) - side / 2
    return 0.5 + 0.5 * np.cos(np.pi * (r[:, None] ** 2 + r[None, :] ** 2) / (2 * side))


def siemens_star(side: int) -> Float[np.ndarray, "n n"]:
    """36 spokes, black and white: edges at every angle, ever finer towards the centre."""
    r = np.arange(side) - side / 2 + 0.5
    return (np.sin(36 * np.arctan2(r[:, None], r[None, :]) + 0.5) > 0).astype(np.float64)


def checkerboard(side: int) -> Float[np.ndarray, "n n"]:
    """Eight by eight squares."""
    square = np.arange(side) * 8 // side
    return ((square[:, None] + square[None, :]) % 2).astype(np.float64)


def natural_noise(side: int) -> Float[np.ndarray, "n n 3"]:
    """Gaussian noise whose amplitude falls as 1/f, as in photographs; always the same draw."""
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    f[0, 0] = np.inf
    noise = np.random.default_rng(0).standard_normal((side, side, 3))
    field = np.fft.irfft2(np.fft.rfft2(noise, axes=(0, 1)) / f[..., None], s=(side, side), axes=(0, 1))
    return np.clip(0.5 + 0.18 * field / max(field.std(), 1e-12), 0.0, 1.0)


SYNTHETIC: dict[str, Callable[[int], np.ndarray]] = {
    "zone_plate": zone_plate,
    "siemens_star": siemens_star,
    "checkerboard": checkerboard,
    "natural_noise": natural_noise,
}


def _generator(spec: str) -> Callable[[int], np.ndarray]:
    name = spec.removeprefix("synthetic:")
    if name not in SYNTHETIC:
        raise Refused(f"image {spec!r} is not known; {nearest(name, SYNTHETIC)}")
    return SYNTHETIC[name]


def _sample(name: str) -> Float[np.ndarray, "h w c"]:
    return _channels(_scaled(getattr(skimage.data, name)()))


def _read(path: str) -> Float[np.ndarray, "h w c"]:
    """The first frame of the file, upright, alpha over white."""
    if not os.path.isfile(path):
        raise Refused(f"image {path!r}: no such file, and no sample; {nearest(path, SAMPLES)}, synthetic:NAME")
    try:
        about = iio.immeta(path, plugin="pillow", index=0)
        # Pillow hands CMYK out as four channels like any others, and drops a palette's or a colour's transparency.
        mode = "RGB" if about.get("mode") == "CMYK" else "RGBA" if "transparency" in about else None
        pixels = iio.imread(path, plugin="pillow", index=0, rotate=True, mode=mode)
    except Exception as error:  # the decoders raise many kinds; to the user they are one
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Refused(f"image {path!r} cannot be read: {reason}") from None
    return _channels(_scaled(pixels))


def _scaled(pixels: np.ndarray) -> np.ndarray:
    """Pixels of any dtype, from 0 to 1."""
    if np.issubdtype(pixels.dtype, np.integer):
        return pixels.astype(np.float64) / np.iinfo(pixels.dtype).max
    return pixels.astype(np.float64)


def _channels(image: np.ndarray) -> Float[np.ndarray, "h w c"]:
    """One or three channels: gray gets its axis, alpha is composited over white."""
    image = image[..., None] if image.ndim == 2 else image
    if image.shape[-1] in (2, 4):
        alpha = image[..., -1:]
        image = image[..., :-1] * alpha + (1 - alpha)
    return np.clip(image, 0.0, 1.0).astype(np.float32)
