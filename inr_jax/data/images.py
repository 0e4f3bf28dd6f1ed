"""Images by name: files, samples and generators, resized. All are float32 in [0, 1], (h, w, c); signals are (n, c).

A custom source is a function `f(side, *, ...)`, named `module:function`, that returns an image (h, w) or (h, w, c), or
a signal (n,), as `fit.pixels.to_picture` takes them; its keyword parameters are settings. The generators of `synthetic`
are functions of the same kind.

Libraries that decode, resample and encode are imported in the functions that call them: few programs need them all.
"""

import glob
import hashlib
import io
import math
import os
import re
import warnings
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import numpy as np
from jaxtyping import Float

from inr_jax.data import files
from inr_jax.data.synthetic import generator
from inr_jax.fit.pixels import Picture, narrow, to_picture
from inr_jax.settings import AnyArray, Refused, about, declared, imported, nearest

# Those that the scikit-image wheel carries and that are CC0 or in the public domain.
SAMPLES = (
    *("astronaut", "camera", "coffee", "cat", "chelsea", "brick", "grass", "gravel"),
    *("cell", "clock", "horse", "hubble_deep_field", "retina", "rocket"),
)
GENERATED_SIDE = 512
# The image of a truth that is not known.
NONE = "none"
RESIZES = ("crop", "stretch", "fit")
Size = Annotated[
    int,
    about(
        "side of the square image (resize=fit: its longer side), length of a signal; 0: as it is",
        "pixels",
        low=0,
        high=2**14,
    ),
]
Resize = Annotated[
    str,
    about(
        "crop: the centre square; stretch: all of it, to a square; fit: keeps its shape",
        choices=RESIZES,
        when=lambda settings: settings["size"] > 0,
    ),
]
Background = Annotated[float, about("behind what is transparent in a file: 0 black, 1 white", low=0.0, high=1.0)]
# In Python also a pair of numbers.
ValueRange = Annotated[
    Any,
    about("black and white: dtype (integers of 8 and 16 bits: 0 to the largest; floats: 0 to 1), data, or LOW:HIGH"),
]
Frames = Annotated[
    int, about("frames of a file or a folder that are fitted, as a volume (t, h, w); 1: an image; 0: all", low=0)
]
Channels = Annotated[Any, about("channels that are fitted: all, or numbers from 0 joined by +, such as 0+3")]
# Pictures of volumes have so many slices along each side, those of signals so many pixels.
SHEET, CURVE_WIDTH, CURVE_HEIGHT = 4, 256, 96
MODULE_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def load(
    spec: str | os.PathLike,
    size: int = 0,
    resize: str = "crop",
    background: float = 1.0,
    value_range: Any = "dtype",
    channels: Any = "all",
    frames: int = 1,
    **settings: Any,
) -> Float[np.ndarray, "*grid c"]:
    """Load an image by name, in [0, 1]: a path, a scikit-image sample, `synthetic:NAME[:SEED]`, or `module:function`.

    With a `size` it is resampled, anti-aliased: its centre square (`crop`) or all of it (`stretch`) to a square of that
    side, or all of it in its own shape, with `size` as its longer side (`fit`). Of a file the first frame is read,
    upright; transparent pixels lie over `background`, from black (0) to white (1). `value_range` says which values of a
    file or of a custom source are black and white (`fit.pixels.levels_of`), `channels` which of its channels are taken:
    `all`, or numbers from 0, `0+3`, in Python also (0, 3); `frames` how many of a file with several, or of a folder (0:
    all), are a volume (t, h, w, c). Of a sound, `size` is the number of its first samples. The other keywords are
    settings that the source reads.
    Raises Refused if there is no such image or it cannot be read without loss; warns of what is left out or clipped.
    """
    spec = os.fspath(spec)
    for name in settings:
        if name not in reads(spec):
            raise Refused(f"setting {name!r} is not known; {nearest(name, [*OPTIONS, *reads(spec)])}")
    asked = {"size": size, "resize": resize, "background": background, "frames": frames}
    size, resize, background, frames = (OPTIONS[name].convert(value) for name, value in asked.items())
    options = {"size": size, "resize": resize, "background": background, "value_range": value_range}
    picture = read(spec, **options, channels=channels, frames=frames, **settings)
    if picture.notes:
        warnings.warn(f"image {spec!r}: {'; '.join(picture.notes)}", stacklevel=2)
    return picture.pixels


def read(
    spec: str,
    *,
    size: Size = 512,
    resize: Resize = "crop",
    background: Background = 1.0,
    value_range: ValueRange = "dtype",
    channels: Channels = "all",
    frames: Frames = 1,
    **settings: Any,
) -> Picture:
    """Load an image as `load` does, with its levels, and with notes instead of a warning."""
    if size == 1:
        raise Refused("size=1 is too small: at least 2 pixels a side are needed")
    if make := source(spec):
        pixels, levels, notes, _ = _generate(spec, partial(make, size or GENERATED_SIDE, **settings), value_range)
    elif spec in SAMPLES:
        import skimage.data

        pixels, levels, notes, _ = to_picture(getattr(skimage.data, spec)(), value_range)
        if os.path.exists(spec):
            notes = (*notes, f"the sample of that name is used, not the file; ./{spec} names the file")
    else:
        pixels, levels, notes, _ = _read_file(spec, value_range, background, frames)
        if pixels.ndim == 2 and 0 < size < len(pixels):
            pixels, notes = pixels[:size], (*notes, f"the first {size} of its {len(pixels)} samples are used")
    pixels, found = _select(spec, pixels, channels), pixels.shape[-1]
    if pixels.ndim == 3 and found not in (1, 3) and pixels.shape[-1] == found:
        notes = (*notes, f"all of its {found} channels are fitted; channels=0+1 takes some")
    notes = (*notes, *narrow(pixels))
    if pixels.ndim == 2:
        if size not in (0, len(pixels)):
            raise Refused(
                f"image {spec!r} gives {len(pixels)} samples where size={size} asks for as many; size=0 takes any"
            )
        return Picture(pixels, levels, notes)
    if min(pixels.shape[-3:-1]) < 2:
        raise Refused(f"image {spec!r} is {pixels.shape[-2]}x{pixels.shape[-3]}: at least 2x2 pixels are needed")
    if not size:
        return Picture(pixels, levels, notes)
    sized = [resample(each, size, resize) for each in (pixels if pixels.ndim == 4 else [pixels])]
    return Picture(np.stack(sized) if pixels.ndim == 4 else sized[0], levels, notes)


# What an image is loaded with, beside the settings of its source.
OPTIONS = {setting.name: setting for setting in declared(read)}


def expand(spec: str) -> list[str]:
    """The images of a folder, or of a pattern like `photos/*.png`, sorted by path; any other spec by itself.

    Raises Refused if a folder or a pattern holds no image.
    """
    if os.path.isdir(spec):
        # No hidden ones, such as the ._photo.png that macOS leaves.
        names = [name for name in os.listdir(spec) if name.lower().endswith(files.ENDINGS) and name[0] != "."]
        paths = [os.path.join(spec, name) for name in names]
    elif any(sign in spec for sign in "*?[") and not os.path.exists(spec):
        paths = glob.glob(spec, recursive=True)
    else:
        return [spec]
    paths = [path for path in paths if os.path.isfile(path)]
    if not paths:
        raise Refused(f"image {spec!r} names no image: no file there ends with {', '.join(files.ENDINGS)}")
    return sorted(paths)


def stamp(spec: str) -> tuple:
    """A value that differs when a file does, or where the same name is another file; empty if there is none."""
    try:
        state = os.stat(spec)
    except (OSError, ValueError):
        return ()
    return os.path.abspath(spec), state.st_mtime_ns, state.st_size


def is_custom(spec: str) -> bool:
    """Whether a text is a `module:function`: no generator of this package, and no file of that name."""
    return bool(MODULE_FUNCTION.fullmatch(spec)) and not spec.startswith("synthetic:") and not os.path.exists(spec)


def source(spec: str) -> Callable[..., np.ndarray] | None:
    """The function behind `synthetic:NAME[:SEED]` or `module:function`; None for files and samples.

    Raises Refused if there is no such function.
    """
    if spec == NONE:
        return _unknown
    if spec.startswith("synthetic:"):
        return generator(spec.removeprefix("synthetic:"))
    return imported(spec) if is_custom(spec) else None


def reads(spec: str) -> set[str]:
    """The names of the settings that an image's source reads; none for files and samples."""
    make = source(spec)
    return {setting.name for setting in declared(make)} if make else set()


def resample(image: Float[np.ndarray, "h w c"], size: int, resize: str = "crop") -> Float[np.ndarray, "h2 w2 c"]:
    """Resize an image as `load` does; exact pixels where nothing has to be resampled."""
    height, width = image.shape[:2]
    if resize == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    longer = max(height, width)
    shape = tuple(max(2, round(n * size / longer)) for n in (height, width)) if resize == "fit" else (size, size)
    if image.shape[:2] != shape:
        import skimage.transform

        image = skimage.transform.resize(image, shape, anti_aliasing=True)
    return np.clip(image, 0.0, 1.0).astype(np.float32)


def format_size(grid: tuple[int, ...]) -> str:
    """WxH of an image's grid (h, w); the length of a signal."""
    return "x".join(map(str, reversed(grid)))


def digest(image: AnyArray) -> str:
    """A short digest of the pixels and their shape: equal for two files of the same picture."""
    return hashlib.sha256(repr(image.shape).encode() + np.asarray(image).tobytes()).hexdigest()[:16]


def digest_picture(picture: Picture) -> str:
    """A short digest of a picture, and of the arrays beside it."""
    if not picture.files:
        return digest(picture.pixels)
    parts = [digest(picture.pixels), *(f"{name}:{digest(picture.files[name])}" for name in sorted(picture.files))]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


def visible(image: np.ndarray) -> np.ndarray:
    """What figures show of an image (h, w, c): its first three channels as colours, or the first as gray, (h, w)."""
    return image[..., :3] if image.shape[-1] >= 3 else image[..., 0]


def as_image(picture: np.ndarray) -> np.ndarray:
    """An image (h, w, c) that shows what a picture holds: of a volume its slices side by side, of a signal its curve.

    At most SHEET slices along each side of the sheet, evenly spread; of a signal the range of the samples that share a
    column. The type stays.
    """
    if picture.ndim == 4:
        along = min(SHEET, math.ceil(math.sqrt(len(picture))))
        shown = picture[np.linspace(0, len(picture) - 1, min(len(picture), along * along)).astype(int)]
        shown = np.concatenate([shown, np.zeros((along * along - len(shown), *shown.shape[1:]), shown.dtype)])
        rows = shown.reshape(along, along, *shown.shape[1:])
        return rows.swapaxes(1, 2).reshape(along * shown.shape[1], along * shown.shape[2], -1)
    if picture.ndim == 3:
        return picture
    top = 255 if picture.dtype == np.uint8 else 1
    values = picture.mean(-1) / top
    columns = np.array_split(values, min(len(values), CURVE_WIDTH))
    heights = (np.arange(CURVE_HEIGHT)[::-1, None] + 0.5) / CURVE_HEIGHT
    low, high = (np.asarray([end(column) for column in columns]) for end in (np.min, np.max))
    low[1:], high[1:] = np.minimum(low[1:], high[:-1]), np.maximum(high[1:], low[:-1])
    near = (heights > low - 1 / CURVE_HEIGHT) & (heights < high + 1 / CURVE_HEIGHT)
    return (top * near[..., None]).astype(picture.dtype)


def to_bytes(image: Float[np.ndarray, "h w c"]) -> np.ndarray:
    """What figures show of the image, in 8 bits, clipped and rounded."""
    return np.round(np.clip(visible(image), 0.0, 1.0) * 255).astype(np.uint8)


def to_png(image: Float[np.ndarray, "h w c"]) -> bytes:
    """What figures show of the image, in 8 bits, as a PNG file."""
    import imageio.v3

    buffer = io.BytesIO()
    imageio.v3.imwrite(buffer, to_bytes(image), extension=".png")
    return buffer.getvalue()


def to_gif(volume: Float[np.ndarray, "t h w c"]) -> bytes:
    """What figures show of each slice of a volume, in 8 bits, as an animated GIF file."""
    from PIL import Image

    buffer, slices = io.BytesIO(), [Image.fromarray(to_bytes(each)) for each in volume]
    slices[0].save(buffer, "GIF", save_all=True, append_images=slices[1:], duration=100, loop=0)
    return buffer.getvalue()


def to_wav(sound: np.ndarray, rate: int) -> bytes:
    """A sound in its own type as a WAV file."""
    from scipy.io import wavfile

    buffer = io.BytesIO()
    wavfile.write(buffer, rate, sound)
    return buffer.getvalue()


def to_tiff(image: np.ndarray, inverted: bool = False) -> bytes:
    """The image as a TIFF file in its own type, whatever its channels; `inverted` where its largest value is black."""
    import tifffile

    buffer, channels = io.BytesIO(), image.shape[-1]
    kind = "rgb" if channels == 3 else "miniswhite" if inverted else "minisblack"
    stored = image[..., 0] if channels == 1 else image
    planar = None if channels == 1 else "contig"
    tifffile.imwrite(buffer, stored, photometric=kind, planarconfig=planar, metadata=None)
    return buffer.getvalue()


def _unknown(side: int) -> Float[np.ndarray, "n n 1"]:
    """No truth is known: every pixel is NaN."""
    return np.full((side, side, 1), np.nan, np.float32)


def _read_file(path: str, value_range: Any, background: float, frames: int = 1) -> Picture:
    if os.path.isdir(path) and frames != 1:
        return _read_folder(path, value_range, background, frames)
    if os.path.isdir(path):
        raise Refused(f"image {path!r} is a folder, not an image; frames=0 takes its files as frames of a volume")
    if not os.path.isfile(path):
        raise Refused(f"image {path!r}: no such file, and no sample; {nearest(path, SAMPLES)}, synthetic:NAME")
    return files.read(path, value_range, background, frames)


def _read_folder(path: str, value_range: Any, background: float, frames: int) -> Picture:
    """The first images of a folder (0: all), sorted by name, as frames of a volume; all must have the same size."""
    every = expand(path)
    if len(every) < frames:
        raise Refused(f"image {path!r}: frames={frames}: the folder has {len(every)}")
    parts = [files.read(each, value_range, background) for each in every[: frames or None]]
    if len({part.pixels.shape for part in parts}) > 1:
        raise Refused(f"image {path!r}: its files differ in size or channels; frames of a volume must not")
    return Picture(np.stack([part.pixels for part in parts]), parts[0].levels, parts[0].notes)


def _generate(spec: str, make: Callable[[], Any], value_range: Any) -> Picture:
    """Call a source; raises Refused where it fails, or returns neither an image nor a signal in [0, 1]."""
    try:
        made = make()
    except Refused as refused:
        raise Refused(f"image {spec!r}: {refused}") from None
    except Exception as error:  # a custom function may raise anything
        reason = str(error).strip().partition("\n")[0]
        raise Refused(f"image {spec!r} cannot be made: {type(error).__name__}: {reason}") from error
    if isinstance(made, np.ndarray) and made.ndim == 2:
        made = made[..., None]  # an image, however narrow
    if spec == NONE:
        return Picture(made)
    try:
        picture = to_picture(made, value_range)
    except Refused as refused:
        raise Refused(f"image {spec!r}: {refused}") from None
    return picture


def _select(spec: str, pixels: Float[np.ndarray, "*grid c"], channels: Any) -> Float[np.ndarray, "*grid k"]:
    """These channels of an image; raises Refused where it lacks one."""
    if isinstance(channels, str) and channels == "all":
        return pixels
    count = pixels.shape[-1]
    asked: list[Any]
    if isinstance(channels, str):
        asked = [int(each) if each.isdecimal() else each for each in channels.split("+")]
    else:
        asked = list(channels) if isinstance(channels, list | tuple | np.ndarray) else [channels]
    numbers: list[Any] = [each for each in asked if isinstance(each, int | np.integer) and not isinstance(each, bool)]
    if not numbers or len(numbers) < len(asked) or not all(0 <= number < count for number in numbers):
        raise Refused(
            f"channels={channels!r}: image {spec!r} has {count}; allowed: all, or numbers from 0 to {count - 1} joined "
            "by +"
        )
    return np.ascontiguousarray(pixels[..., numbers])
