"""Images: read, sampled or generated, and resized. All are float32 in [0, 1], (h, w, c), and signals (n, c).

A source of one's own is `f(side, *, ...)`, named `module:function`: what it gives is an image (h, w) or (h, w, c), or a
signal (n,); its keyword parameters are settings. The sources that come along are functions of the same kind.
"""

import glob
import hashlib
import io
import os
import re
import string
import warnings
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import imageio.v3 as iio
import numpy as np
import skimage.data
import skimage.transform
import tifffile
from jaxtyping import Float
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont, ImageOps

from inr_jax import functions
from inr_jax.settings import AnyArray, Refused, nearest

# Those that the scikit-image wheel carries and that are CC0 or in the public domain.
SAMPLES = (
    *("astronaut", "camera", "coffee", "cat", "chelsea", "brick", "grass", "gravel"),
    *("cell", "clock", "horse", "hubble_deep_field", "retina", "rocket"),
)
GENERATED_SIDE = 512
# What counts as an image in a folder.
ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".ppm", ".pgm")
# A file that says it is larger is not decoded: a few kilobytes can claim to be gigabytes.
MOST_PIXELS = 2**27
FONT = os.path.join(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
# How far beyond 0 and 1 a source may be by its arithmetic.
ROUNDING = 1e-5
MODULE_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def load(
    spec: str, size: int = 0, resize: str = "crop", background: float = 1.0, **own: Any
) -> Float[np.ndarray, "*grid c"]:
    """The image that `spec` names, in [0, 1]: a path, a scikit-image sample, `synthetic:NAME` (`synthetic:NAME:SEED`
    for those who draw), or `module:function`; `own` are the keywords that such a source reads.

    With `size` it becomes a square of that side: its centre square resampled (`crop`), or the whole of it (`stretch`),
    in both cases anti-aliased. Of a file the first frame counts, upright; what is transparent lies over `background`,
    from black (0) to white (1). Raises Refused where there is no such image or it cannot be read as it is.
    """
    side = size or GENERATED_SIDE
    if resize not in ("crop", "stretch"):
        raise Refused(f"resize={resize!r} is not known; {nearest(resize, ('crop', 'stretch'))}")
    if size == 1:
        raise Refused("size=1 is too small: at least 2 pixels a side are needed")
    if make := source(spec):
        return _made(spec, partial(make, side, **own), size, resize)
    image = _sample(spec) if spec in SAMPLES else _channels(_read(spec)[0], background)
    if min(image.shape[:2]) < 2:
        raise Refused(f"image {spec!r} is {image.shape[1]}x{image.shape[0]}: at least 2x2 pixels are needed")
    return to_square(image, size, resize) if size else image


def named(spec: str) -> list[str]:
    """The images that a text names: those of a folder, or of a pattern like `photos/*.png`, in order of their names;
    else what it says itself. Raises Refused where a folder or a pattern holds none.
    """
    if os.path.isdir(spec):
        found = [os.path.join(spec, name) for name in os.listdir(spec) if name.lower().endswith(ENDINGS)]
    elif any(sign in spec for sign in "*?[") and not os.path.exists(spec):
        found = glob.glob(spec, recursive=True)
    else:
        return [spec]
    if not found:
        raise Refused(f"image {spec!r} names no image: no file there ends with {', '.join(ENDINGS)}")
    return sorted(found)


def is_file(spec: str) -> bool:
    """Whether it names a file, neither a sample nor something generated."""
    return spec not in SAMPLES and source(spec) is None


def source(spec: str) -> Callable[..., np.ndarray] | None:
    """The function behind `synthetic:NAME[:SEED]` or `module:function`; None where the image is no function's.

    Raises Refused where there is none of that name.
    """
    if spec.startswith("synthetic:"):
        return _generator(spec)
    return functions.imported(spec) if MODULE_FUNCTION.fullmatch(spec) and not os.path.exists(spec) else None


def reads(spec: str) -> set[str]:
    """The names of the settings that an image's own source reads; none of a file's or a sample's."""
    make = source(spec)
    return functions.reads(make) if make else set()


def said_size(grid: tuple[int, ...]) -> str:
    """WxH of an image; of a signal its length."""
    return "x".join(map(str, reversed(grid)))


def notes(spec: str) -> str:
    """What of the file did not become the image, or was changed, in one line; empty where there is nothing to say."""
    said = _read(spec)[1] if is_file(spec) else []
    return f"image {spec!r}: {'; '.join(said)}" if said else ""


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


def to_png(image: Float[np.ndarray, "h w c"]) -> bytes:
    """The image in 8 bits as a PNG file."""
    buffer = io.BytesIO()
    iio.imwrite(buffer, to_bytes(image), extension=".png")
    return buffer.getvalue()


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


def natural_noise(side: int, seed: int = 0) -> Float[np.ndarray, "n n 3"]:
    """Gaussian noise whose amplitude falls as 1/f, as in photographs; the same draw for the same seed."""
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    f[0, 0] = np.inf
    noise = np.random.default_rng(seed).standard_normal((side, side, 3))
    field = np.fft.irfft2(np.fft.rfft2(noise, axes=(0, 1)) / f[..., None], s=(side, side), axes=(0, 1))
    return np.clip(0.5 + 0.18 * field / max(field.std(), 1e-12), 0.0, 1.0)


def wave(side: int, *, cycles: float = 10.0, angle: float = 0.0) -> Float[np.ndarray, "n n"]:
    """A sinusoid of so many cycles per image side, from 0 to 1; `angle` in degrees: 0 along a row, 90 down a column."""
    x = np.arange(side) / side
    turn = np.deg2rad(angle)
    return 0.5 + 0.5 * np.sin(2 * np.pi * cycles * (np.sin(turn) * x[:, None] + np.cos(turn) * x[None, :]))


def power_law(side: int, seed: int = 0, *, exponent: float = 1.0, band: float = 0.5) -> Float[np.ndarray, " n"]:
    """A periodic signal of `side` samples whose amplitude falls as 1/f^exponent, from 0 to 1 (Tancik et al. 2020, 5.1).

    From `band` times half the sampling rate on there is nothing: up to 0.5, every second sample determines it.
    """
    f = np.arange(side // 2 + 1)
    draw = np.random.default_rng(seed).standard_normal((2, len(f)))
    amplitude = np.where((f > 0) & (f < max(2, band * side / 2)), np.maximum(f, 1.0) ** -exponent, 0.0)
    signal = np.fft.irfft(amplitude * (draw[0] + 1j * draw[1]), n=side)
    return (signal - signal.min()) / max(np.ptp(signal), 1e-12)


def text(side: int, seed: int = 0) -> Float[np.ndarray, "n n 3"]:
    """24 random strings on white, as in Tancik et al. 2020, appendix E.1, which leaves the details open.

    Each has 2 to 10 letters and digits, a size from 1/20 to 1/5 of the side, a colour of which no channel is brighter
    than 0.8, and a place where it begins that is uniform over the image; later ones lie over earlier ones.
    """
    draw = np.random.default_rng(seed)
    page = Image.new("RGB", (side, side), "white")
    pen, letters = ImageDraw.Draw(page), [*(string.ascii_letters + string.digits)]
    for _ in range(24):
        font = ImageFont.truetype(FONT, max(4, round(side * draw.uniform(1 / 20, 1 / 5))))
        color = tuple(int(value) for value in draw.integers(0, 205, 3))
        where = draw.uniform([-0.05, -0.05], [0.85, 0.95]) * side
        pen.text(tuple(where), "".join(draw.choice(letters, draw.integers(2, 11))), fill=color, font=font)
    return np.asarray(page) / 255.0


# By name, and for those who draw also by `NAME:SEED`.
SYNTHETIC: dict[str, Callable[..., np.ndarray]] = {
    "zone_plate": zone_plate,
    "siemens_star": siemens_star,
    "checkerboard": checkerboard,
    "natural_noise": natural_noise,
    "text": text,
    "wave": wave,
    "power_law": power_law,
}
DRAWN = ("natural_noise", "text", "power_law")


def _generator(spec: str) -> Callable[[int], np.ndarray]:
    name, _, seed = spec.removeprefix("synthetic:").partition(":")
    if name not in SYNTHETIC:
        raise Refused(f"image {spec!r} is not known; {nearest(name, SYNTHETIC)}")
    if not seed:
        return SYNTHETIC[name]
    if name not in DRAWN or not (seed.isascii() and seed.isdecimal()):
        raise Refused(f"image {spec!r}: only {' and '.join(DRAWN)} take a seed, a whole number of at least 0")
    draw = SYNTHETIC[name]
    # Wrapped, not partial: that would make the seed a keyword, hence a setting.
    return wraps(draw)(lambda side, **own: draw(side, int(seed), **own))


def _made(spec: str, make: Callable[[], Any], size: int, resize: str) -> Float[np.ndarray, "*grid c"]:
    """What a source makes, as an image or a signal. Raises Refused where it fails or makes something else."""
    try:
        pixels = _scaled(np.asarray(make()))
    except Exception as error:  # whatever a function of one's own may raise
        said = str(error).strip().partition("\n")[0]
        raise Refused(f"image {spec!r} cannot be made: {type(error).__name__}: {said}") from error
    if pixels.ndim not in (1, 2, 3) or min(pixels.shape) < 1 or not np.isfinite(pixels).all():
        raise Refused(f"image {spec!r} gives {pixels.shape}: an image (h, w[, c]) or a signal (n,), finite, is needed")
    if pixels.min() < -ROUNDING or pixels.max() > 1 + ROUNDING:
        raise Refused(
            f"image {spec!r} has values from {pixels.min():.4g} to {pixels.max():.4g}: they must be in [0, 1]"
        )
    if pixels.ndim == 3 and pixels.shape[-1] not in (1, 3):
        raise Refused(f"image {spec!r} gives {pixels.shape[-1]} channels: 1 (gray) or 3 (colour) are needed")
    image = _channels(pixels)
    if not size:
        return image
    if pixels.ndim > 1:
        return to_square(image, size, resize)
    if len(pixels) != size:
        raise Refused(
            f"image {spec!r} gives {len(pixels)} samples where size={size} asks for as many; size=0 takes any"
        )
    return image


def _sample(name: str) -> Float[np.ndarray, "h w c"]:
    return _channels(_scaled(getattr(skimage.data, name)()))


def _read(path: str) -> tuple[np.ndarray, list[str]]:
    """The file's first frame, upright, from 0 to 1, and what there is to say of it. Raises Refused if it cannot be."""
    if os.path.isdir(path):
        raise Refused(f"image {path!r} is a folder, not an image")
    if not os.path.isfile(path):
        raise Refused(f"image {path!r}: no such file, and no sample; {nearest(path, SAMPLES)}, synthetic:NAME")
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is looked at here
            start = file.read(32)
            tiff = _deep_tiff(path) if start.startswith(TIFF) else None
            pixels, said = tiff or _picture(path, start)
    except Refused:
        raise
    except Exception as error:  # the decoders raise many kinds; to the user they are one
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Refused(f"image {path!r} cannot be read: {reason}") from None
    if not np.isfinite(pixels).all():
        raise Refused(f"image {path!r} has values that are not finite")
    low, high = pixels.min(), pixels.max()
    if low < 0 or high > 1:
        said.append(f"its values, from {low:.4g} to {high:.4g}, are clipped to [0, 1]")
    return pixels, said


def _picture(path: str, start: bytes) -> tuple[np.ndarray, list[str]]:
    """The picture as Pillow reads it, unless it would lose something."""
    # Bit depth and colour type stand at fixed places of a PNG.
    if start.startswith(b"\x89PNG") and len(start) > 25 and start[24] == 16 and start[25] != 0:
        raise Refused(f"image {path!r} has 16 bits a colour, of which 8 would be lost; save it as a TIFF of 16 bits")
    with Image.open(path) as picture:
        _check_size(path, *picture.size)
        frames, mode = getattr(picture, "n_frames", 1), picture.mode
        said = [f"the first of its {frames} frames is used"] if frames > 1 else []
        if mode == "LAB" or (mode == "I" and picture.format != "PNG"):
            raise Refused(f"image {path!r} is of kind {mode}, which has no agreed white; save it as RGB")
        upright = ImageOps.exif_transpose(picture)
        if "transparency" in picture.info or mode in ("PA", "La", "RGBa"):
            upright = upright.convert("RGBA")
        elif mode in ("P", "CMYK", "YCbCr", "HSV"):
            upright = upright.convert("RGB")
        pixels = np.asarray(upright)
    # Some versions of Pillow hand out 16 bits of gray as 32.
    return _scaled(pixels.astype(np.uint16) if mode == "I" else pixels), said


def _deep_tiff(path: str) -> tuple[np.ndarray, list[str]] | None:
    """A TIFF of more than 8 bits, which Pillow would cut; None if it has no more."""
    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        if page.dtype is None or page.dtype.itemsize == 1:
            return None
        _check_size(path, page.imagewidth, page.imagelength)
        kind = page.photometric.name.lower()
        if page.dtype.kind not in "uf" or kind not in ("minisblack", "miniswhite", "rgb"):
            raise Refused(
                f"image {path!r} holds {page.dtype} of kind {kind}, which has no agreed white; save it as RGB"
            )
        said = [f"the first of its {len(file.pages)} pages is used"] if len(file.pages) > 1 else []
        pixels = _scaled(page.asarray())
        pixels = np.moveaxis(pixels, 0, -1) if page.planarconfig == 2 and pixels.ndim == 3 else pixels
        tag = page.tags.get("Orientation")
    return _upright(1 - pixels if kind == "miniswhite" else pixels, int(tag.value) if tag else 1), said


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The stored pixels as they are to be seen (CIPA DC-008, "Orientation", 1 to 8)."""
    pixels = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    pixels = pixels[:, ::-1] if orientation % 4 in (2, 3) else pixels
    return pixels[::-1] if orientation % 4 in (3, 0) else pixels


def _check_size(path: str, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise Refused(f"image {path!r} is {width}x{height}: at most {MOST_PIXELS:,} pixels are read")


def _scaled(pixels: np.ndarray) -> np.ndarray:
    """Pixels of any dtype, from 0 to 1."""
    if np.issubdtype(pixels.dtype, np.integer):
        return pixels / np.float32(np.iinfo(pixels.dtype).max)
    return pixels.astype(np.float32)


def _channels(image: np.ndarray, background: float = 1.0) -> Float[np.ndarray, "*grid c"]:
    """One or three channels: gray and signals get their axis, alpha is composited over the background."""
    image = np.clip(image[..., None] if image.ndim < 3 else image, 0.0, 1.0)
    if image.shape[-1] in (2, 4):
        alpha = image[..., -1:]
        image = image[..., :-1] * alpha + background * (1 - alpha)
    return image.astype(np.float32)
