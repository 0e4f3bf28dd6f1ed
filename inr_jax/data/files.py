"""Image files: decoded without losing bits, upright, and refused from their headers where they cannot be."""

import itertools
import math
import os
import warnings
from typing import Any

import numpy as np
from jaxtyping import Float

from inr_jax.fit.pixels import Picture, levels_of, to_picture
from inr_jax.settings import Refused, library

# The endings by which an image in a folder is recognised.
ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".pbm")
# A file whose header claims more is not decoded: a few kilobytes can claim to be gigabytes.
MAX_PIXELS = 2**27
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Portable graymaps and pixmaps, as text and as bytes.
PORTABLE = (b"P2", b"P3", b"P5", b"P6")
# What Pillow decodes without losing bits; of PNG see below.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "DIB", "GIF", "WEBP", "PPM", "TGA")
# The samples of a TIFF that are colours, by its kind; what follows them is alpha or another channel.
COLOURS = {"minisblack": 1, "miniswhite": 1, "rgb": 3, "palette": 1, "separated": 4, "ycbcr": 3, "cielab": 3}
LINEAR = ("minisblack", "miniswhite", "rgb")
# What a TIFF may say of a sample beyond its colours.
PREMULTIPLIED, ALPHA = 1, 2


def read(path: str, value_range: Any = "dtype", background: float = 1.0, frames: int = 1) -> Picture:
    """The first frame of a file, upright; alpha lies over the background, other channels are kept.

    With other `frames` the first of them (0: all), (t, h, w, c); of a .npy the array, of a .wav the sound, (n, c). The
    notes tell of frames left out, and of values that are clipped. Raises Refused if the file cannot be decoded without
    loss, or holds values that are not finite.
    """
    try:
        if path.lower().endswith(".wav"):
            return _read_sound(path, value_range)
        if path.lower().endswith(".npy"):
            return _read_numbers(path, value_range, frames)
        if frames != 1:
            return _read_frames(path, value_range, frames)
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on sizes, which are checked here
            header = file.read(32)
            if header.startswith(PORTABLE):
                picture = _read_portable(path, value_range)
            else:
                tiff = _read_tiff(path, value_range, background) if header.startswith(TIFF) else None
                picture = tiff or _read_others(file, header, value_range, background)
    except Refused as refused:
        raise Refused(f"image {path!r}: {refused}") from None
    except Exception as error:  # decoders raise many kinds
        raise Refused(f"image {path!r} cannot be read: {_reason(error)}") from None
    pixels, levels, notes, _ = picture
    low, high = pixels.min(), pixels.max()
    if low < 0 or high > 1:
        notes = (*notes, f"its values, from {low:.4g} to {high:.4g}, are clipped to [0, 1]")
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return Picture(np.clip(pixels, 0.0, 1.0), levels, notes)


def _read_sound(path: str, value_range: Any) -> Picture:
    """Read a sound of any number of bits; silence is in the middle of the range."""
    from scipy.io import wavfile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # on chunks of other programs
        rate, stored = wavfile.read(path)
    stored = stored[:, None] if stored.ndim == 1 else stored
    if len(stored) < 2:
        raise Refused(f"it has {len(stored)} samples; at least 2 are needed")
    kind, loudest = stored.dtype, 2.0 ** (8 * stored.dtype.itemsize - 1)
    limits = {"u": (0.0, 2 * loudest), "i": (-loudest, loudest), "f": (-1.0, 1.0)}[kind.kind]
    levels = levels_of(stored, limits if value_range == "dtype" else value_range)._replace(rate=int(rate))
    unit = levels.to_unit(stored)
    beyond = unit.min() < 0 or unit.max() > 1
    notes = ("its values beyond the range are clipped",) if beyond else ()
    return Picture(np.clip(unit, 0.0, 1.0), levels, notes)


def _read_numbers(path: str, value_range: Any, frames: int) -> Picture:
    """Read an array: an image (h, w[, c]), a signal (n,), or frames (t, h, w, c)."""
    array = np.load(path, allow_pickle=False)
    notes: tuple[str, ...] = ()
    if array.ndim == 4 or (frames != 1 and array.ndim == 3):
        array = array if array.ndim == 4 else array[..., None]
        check_frames(frames, len(array))
        kept = array[: frames or None]
        array, notes = (kept[0], _first_of(len(array), "frames")) if frames == 1 else (kept, ())
    return to_picture(array, value_range)._replace(notes=notes)


def _read_frames(path: str, value_range: Any, frames: int) -> Picture:
    """Read the first frames of a file (0: all): pages of a TIFF as they are stored, of others as colours or gray."""
    from PIL import Image, ImageSequence

    with open(path, "rb") as file:
        header = file.read(4)
    if header.startswith(TIFF):
        import tifffile

        with tifffile.TiffFile(path) as pages:
            check_frames(frames, len(pages.pages))
            stored = np.stack([_decoded(page) for page in pages.pages[: frames or None]])
    else:
        with Image.open(path, formats=FORMATS) as picture:
            count = getattr(picture, "n_frames", 1)
            check_frames(frames, count)
            _check_size(picture.width, picture.height * (frames or count))
            gray = picture.mode in ("1", "L")
            some = itertools.islice(ImageSequence.Iterator(picture), frames or None)
            stored = np.stack([np.asarray(each.convert("L" if gray else "RGB")) for each in some])
    stored = stored[..., None] if stored.ndim == 3 else stored
    return to_picture(stored, value_range)


def read_array(path: str, name: str, kind: str = "array") -> np.ndarray:
    """The numbers in a file that a setting names: an array from .npy, TIFF or another image, or a mesh's triangles.

    Raises Refused if there is no such file, or it cannot be read.
    """
    if not os.path.isfile(path):
        raise Refused(f"{name}={path!r}: no such file")
    try:
        if kind == "mesh":
            mesh = library("trimesh", "mesh").load(path, force="mesh")
            return np.asarray(mesh.triangles, np.float32)
        if path.lower().endswith(".npy"):
            return np.load(path, allow_pickle=False)
        with open(path, "rb") as file:
            if file.read(4).startswith(TIFF):
                import tifffile

                return tifffile.imread(path)
        from PIL import Image

        with Image.open(path) as picture:
            # Without what is transparent; a palette's colours as gray.
            kinds = {"P": "L", "PA": "L", "LA": "L", "RGBA": "RGB"}
            return np.asarray(picture.convert(kinds[picture.mode]) if picture.mode in kinds else picture)
    except Refused:
        raise
    except Exception as error:  # decoders raise many kinds
        raise Refused(f"{name}={path!r} cannot be read: {_reason(error)}") from None


def _read_portable(path: str, value_range: Any) -> Picture:
    """Read a graymap or a pixmap, whose white is what its header says: Pillow would keep 8 bits of 16."""
    import netpbmfile

    with netpbmfile.NetpbmFile(path) as file:
        _check_size(file.width, file.height)
        if not file.maxval or not file.width * file.height:
            raise Refused("its header names no pixels, or no white")
        stored, frames = file.asarray(), file.frames
    if frames > 1:
        stored = stored[0]
    levels = levels_of(stored, (0, file.maxval) if value_range == "dtype" else value_range)
    return Picture(levels.to_unit(stored), levels, _first_of(frames, "frames"))


def _read_others(file: Any, header: bytes, value_range: Any, background: float) -> Picture:
    """Read with Pillow; raises Refused where that would lose bits or guess a white point."""
    from PIL import Image, ImageOps

    # Bit depth and colour type stand at fixed places of a PNG.
    depth, kind = (header[24], header[25]) if header.startswith(b"\x89PNG") and len(header) > 25 else (8, 0)
    if depth == 16 and kind != 0:
        raise Refused("it has 16 bits a colour, of which 8 would be lost; save it as a TIFF of 16 bits")
    file.seek(0)
    # By its path Pillow would map the file into memory, where it turns pixels wrongly.
    with Image.open(file, formats=FORMATS) as picture:
        _check_size(*picture.size)
        notes, mode = _first_of(getattr(picture, "n_frames", 1), "frames"), picture.mode
        if mode == "LAB" or (mode == "I" and picture.format != "PNG"):
            raise Refused(f"it is of kind {mode}, which has no agreed white; save it as RGB")
        inverted = picture.format == "TIFF" and mode == "L" and picture.tag_v2.get(262) == 0  # type: ignore[attr-defined]
        upright, clear = ImageOps.exif_transpose(picture), picture.info.get("transparency")
        if mode in ("RGB", "P", "PA") and (clear is not None or mode == "PA"):
            upright, clear = upright.convert("RGBA"), None
        elif mode in ("P", "CMYK", "YCbCr", "HSV"):
            upright = upright.convert("RGB")
        stored = np.asarray(upright)
    if mode == "I":  # some versions of Pillow return 16 bits of gray as 32
        stored = stored.astype(np.uint16)
    alpha = None
    if upright.mode.lower() in ("la", "rgba"):
        stored, alpha = stored[..., :-1], stored[..., -1:] / np.float32(255)
    elif isinstance(clear, int):  # a gray that is transparent, in the file's own bits
        stored = stored[..., None]
        if stored.dtype == np.bool_:
            alpha = (stored != bool(clear)).astype(np.float32)
        else:
            alpha = (stored != clear * np.iinfo(stored.dtype).max // (2**depth - 1)).astype(np.float32)
    if inverted:  # Pillow has made white the largest value
        stored = 255 - stored
    levels = levels_of(stored, value_range)
    levels = levels.inverted() if inverted else levels
    unit = levels.to_unit(stored)
    # The small letter is Pillow's for colours that are premultiplied.
    return Picture(unit if alpha is None else _over(background, unit, alpha, upright.mode[-1] == "a"), levels, notes)


def _read_tiff(path: str, value_range: Any, background: float) -> Picture | None:
    """Read a TIFF of more than 8 bits, or of channels that are neither colours nor alpha; None if it is neither."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        kind = page.photometric.name.lower()
        if page.is_reduced:
            raise Refused("its first page is a thumbnail of another; save the full picture")
        colours = COLOURS.get(kind, page.samplesperpixel)
        extra = (*page.extrasamples, *[0] * page.samplesperpixel)[: max(0, page.samplesperpixel - colours)]
        alpha = next((n for n, meaning in enumerate(extra) if meaning in (PREMULTIPLIED, ALPHA)), None)
        # Some programs write all images of a stack behind one page.
        count = max(len(file.pages), math.prod(file.series[0].shape) // math.prod(page.shape))
        plain = page.dtype in (np.uint8, np.bool_) and len(extra) == (alpha is not None)
        if page.dtype is None or (plain and count == len(file.pages)):
            return None
        _check_size(page.imagewidth, page.imagelength)
        if page.dtype.kind not in "uifb" or kind not in LINEAR or page.imagedepth > 1:
            raise Refused(f"{page.dtype} of kind {kind} has no agreed white; save it as RGB")
        notes = _first_of(count, "pages")
        stored = _decoded(page)
        tag = page.tags.get("Orientation")
        white = _white(page)
    stored = np.moveaxis(stored, 0, -1) if page.planarconfig == 2 and stored.ndim == 3 else stored
    stored = _orient(stored, int(tag.value) if tag else 1)
    opacity = None
    if alpha is not None:
        opacity = stored[..., colours + alpha, None]
        stored, premultiplied = np.delete(stored, colours + alpha, axis=-1), extra[alpha] == PREMULTIPLIED
    levels = levels_of(stored, (0, white) if white and value_range == "dtype" else value_range)
    if opacity is not None:
        # Opaque is what is white in the colours, unless alpha goes beyond that.
        opaque = levels.white if opacity.max() <= levels.white else white or float(opacity.max())
        opacity = np.clip(opacity / np.float32(opaque), 0.0, 1.0).astype(np.float32)
    levels = levels.inverted() if kind == "miniswhite" else levels
    unit = levels.to_unit(stored)
    if opacity is not None:
        unit = _over(background, unit, opacity, premultiplied)
    return Picture(unit, levels, notes)


def _decoded(page: Any) -> np.ndarray:
    """The pixels of a TIFF page; raises Refused where its compression needs a library that is not installed."""
    try:
        return page.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        library("imagecodecs", "tiff")
        raise


def _white(page: Any) -> int:
    """The white of a TIFF page of more than 8 bits: what it says itself, or the largest of at most 16; else 0."""
    if page.dtype.kind != "u":
        return 0
    largest = 2**page.bitspersample - 1
    tag = page.tags.get("MaxSampleValue")
    said = int(np.max(tag.value)) if tag and page.bitspersample > 8 else 0
    return said if 0 < said < largest else largest if page.bitspersample <= 16 else 0


def _over(
    background: float,
    colours: Float[np.ndarray, "h w c"],
    alpha: Float[np.ndarray, "h w 1"],
    premultiplied: bool = False,
) -> Float[np.ndarray, "h w c"]:
    """The colours over the background, where they are transparent."""
    return ((colours if premultiplied else colours * alpha) + background * (1 - alpha)).astype(np.float32)


def _first_of(count: int, what: str) -> tuple[str, ...]:
    return (f"the first of its {count} {what} is used",) if count > 1 else ()


def _orient(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The stored pixels upright (CIPA DC-008, "Orientation", 1 to 8)."""
    pixels = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    pixels = pixels[:, ::-1] if orientation % 4 in (2, 3) else pixels
    return pixels[::-1] if orientation % 4 in (3, 0) else pixels


def check_frames(frames: int, count: int) -> None:
    """Raise Refused where more frames are asked for than there are."""
    if frames > count:
        raise Refused(f"frames={frames}: it has {count}")


def _reason(error: Exception) -> str:
    """The first line of what a decoder says, or else the kind of its error."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Refused(f"it is {width}x{height}: at most {MAX_PIXELS:,} pixels are read")
