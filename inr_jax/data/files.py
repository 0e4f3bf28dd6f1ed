"""Image files: decoded without losing bits, upright, and refused from their headers where they cannot be."""

import warnings
from typing import Any

import numpy as np
from jaxtyping import Float

from inr_jax.fit.pixels import narrow, to_unit
from inr_jax.settings import Refused

# The endings by which an image in a folder is recognised.
ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".ppm", ".pgm")
# A file whose header claims more is not decoded: a few kilobytes can claim to be gigabytes.
MAX_PIXELS = 2**27
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read(path: str, value_range: Any = "dtype") -> tuple[Float[np.ndarray, "h w *c"], list[str]]:
    """The first frame of a file, upright, with black 0 and white 1 as `value_range` says; and remarks.

    The remarks are half sentences on frames left out, values that need clipping, and a range that is hardly used.
    Raises Refused if the file cannot be decoded without loss, or holds values that are not finite.
    """
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on sizes, which are checked here
            header = file.read(32)
            deep = _read_deep_tiff(path, value_range) if header.startswith(TIFF) else None
            pixels, remarks = deep or _read_picture(path, header, value_range)
    except Refused as refused:
        raise Refused(f"image {path!r}: {refused}") from None
    except Exception as error:  # decoders raise many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Refused(f"image {path!r} cannot be read: {reason}") from None
    low, high = pixels.min(), pixels.max()
    if low < 0 or high > 1:
        remarks.append(f"its values, from {low:.4g} to {high:.4g}, are clipped to [0, 1]")
    if remark := narrow(pixels):
        remarks.append(remark)
    return pixels, remarks


def to_channels(image: np.ndarray, background: float = 1.0) -> Float[np.ndarray, "*grid c"]:
    """The image in [0, 1] with one or three channels: gray and signals get an axis, alpha lies over the background."""
    image = np.clip(image[..., None] if image.ndim < 3 else image, 0.0, 1.0)
    if image.shape[-1] in (2, 4):
        alpha = image[..., -1:]
        image = image[..., :-1] * alpha + background * (1 - alpha)
    return image.astype(np.float32)


def _read_picture(path: str, header: bytes, value_range: Any) -> tuple[np.ndarray, list[str]]:
    """Read with Pillow; raises Refused where that would lose bits or guess a white point."""
    from PIL import Image, ImageOps

    # Bit depth and colour type stand at fixed places of a PNG.
    if header.startswith(b"\x89PNG") and len(header) > 25 and header[24] == 16 and header[25] != 0:
        raise Refused("it has 16 bits a colour, of which 8 would be lost; save it as a TIFF of 16 bits")
    with Image.open(path) as picture:
        _check_size(*picture.size)
        frames, mode = getattr(picture, "n_frames", 1), picture.mode
        remarks = [f"the first of its {frames} frames is used"] if frames > 1 else []
        if mode == "LAB" or (mode == "I" and picture.format != "PNG"):
            raise Refused(f"it is of kind {mode}, which has no agreed white; save it as RGB")
        upright = ImageOps.exif_transpose(picture)
        if "transparency" in picture.info or mode in ("PA", "La", "RGBa"):
            upright = upright.convert("RGBA")
        elif mode in ("P", "CMYK", "YCbCr", "HSV"):
            upright = upright.convert("RGB")
        pixels = np.asarray(upright)
    # Some versions of Pillow return 16 bits of gray as 32.
    return to_unit(pixels.astype(np.uint16) if mode == "I" else pixels, value_range), remarks


def _read_deep_tiff(path: str, value_range: Any) -> tuple[np.ndarray, list[str]] | None:
    """Read a TIFF of more than 8 bits, which Pillow would truncate; None if it has no more."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        if page.dtype is None or page.dtype.itemsize == 1:
            return None
        _check_size(page.imagewidth, page.imagelength)
        kind = page.photometric.name.lower()
        if page.dtype.kind not in "uif" or kind not in ("minisblack", "miniswhite", "rgb"):
            raise Refused(f"{page.dtype} of kind {kind} has no agreed white; save it as RGB")
        if value_range == "dtype" and page.dtype == np.uint16:
            value_range = (0, _white(page))
        remarks = [f"the first of its {len(file.pages)} pages is used"] if len(file.pages) > 1 else []
        pixels = to_unit(page.asarray(), value_range)
        pixels = np.moveaxis(pixels, 0, -1) if page.planarconfig == 2 and pixels.ndim == 3 else pixels
        tag = page.tags.get("Orientation")
    return _orient(1 - pixels if kind == "miniswhite" else pixels, int(tag.value) if tag else 1), remarks


def _white(page: Any) -> int:
    """The white of a TIFF page of 9 to 16 bits: what it says itself, or the largest value of its bits."""
    largest = 2**page.bitspersample - 1
    tag = page.tags.get("MaxSampleValue")
    said = int(np.max(tag.value)) if tag else largest
    return said if 0 < said < largest else largest


def _orient(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The stored pixels upright (CIPA DC-008, "Orientation", 1 to 8)."""
    pixels = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    pixels = pixels[:, ::-1] if orientation % 4 in (2, 3) else pixels
    return pixels[::-1] if orientation % 4 in (3, 0) else pixels


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Refused(f"it is {width}x{height}: at most {MAX_PIXELS:,} pixels are read")
