"""Draw any member of a run at any size.

ROW is the member's row in results.csv, from 0; `best` is the single member with the highest score, which the best mean
over seeds need not have. `mean:ROW` is the mean of the members that differ from that one in their seed alone, `mean`
that with the highest score. A size is WxH on the command line, (h, w) in Python. FILE.png has 8 bits,
clipped; FILE.npy and FILE.tif are float32, (h, w, c), unclipped. With --values=original they have the values and the
type of the image that was fitted. Of a signal the size is its number of samples, and the file an .npy, (n, c), or a
.wav with the values, the type and the duration of the sound that was fitted. Of a volume the size is WxHxT, and the
file an .npy, a .tif of pages, or a .gif.
"""

import argparse
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inr_jax.cli.arguments import Command, console, run
from inr_jax.settings import Refused, nearest

if TYPE_CHECKING:
    from inr_jax.runs.members import Fitted

# Endings by the dimensions of what is written.
KINDS = {1: (".npy", ".wav"), 2: (".png", ".npy", ".tif", ".tiff"), 3: (".npy", ".tif", ".tiff", ".gif")}
ENDINGS = tuple(dict.fromkeys(kind for kinds in KINDS.values() for kind in kinds))
VALUES = ("unit", "original")


def command() -> Command:
    """Declare the arguments."""
    command = Command("experiments.render", __doc__)
    command.add_argument("run", metavar="RUN", help="run folder")
    command.add_argument(
        "--member", metavar="ROW", required=True, type=_row, help="row in results.csv, best, mean, or mean:ROW"
    )
    command.add_argument(
        "--size",
        metavar="WxH",
        default=(),
        type=_grid,
        help="width x height in pixels (N, WxHxT); its own if none",
    )
    command.add_argument("--out", metavar="FILE", required=True, type=Path, help=f"FILE{', '.join(ENDINGS)}")
    command.add_argument("--values", metavar="|".join(VALUES), default="unit", help="black 0 and white 1, or as fitted")
    return command


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    request = command().parse(argv)
    from inr_jax.runs.results import open_record
    from inr_jax.runs.together import read_members

    record, kind = open_record(request.run), request.out.suffix
    if kind not in ENDINGS:
        raise Refused(f"--out={request.out} has no known ending; allowed: {', '.join(ENDINGS)}")
    if request.values not in VALUES:
        raise Refused(f"--values={request.values} is not known; {nearest(request.values, VALUES)}")
    if kind in (".png", ".gif") and request.values == "original":
        raise Refused(f"--values=original does not fit --out={request.out}; allowed: .npy, .tif")
    several = read_members(record, request.member)
    mean = f", mean of {len(several)} members" if len(several) > 1 else ""
    print(draw(several, request.out, request.size, request.values) + mean)
    return 0


def draw(several: "Sequence[Fitted]", out: Path, size: tuple[int, ...] = (), values: str = "unit") -> str:
    """Write the mean of members as a picture and return what was written. Raises Refused where the ending is none."""
    from inr_jax.data import images
    from inr_jax.runs import stores

    levels, kind, (*grid, channels) = several[0].picture.levels, out.suffix, several[0].task.image.shape
    check_ending(out, len(grid), channels)
    if kind == ".wav" and not levels.rate:
        raise Refused(f"--out={out}: this member's signal was no sound with a rate; allowed: .npy")
    image = np.mean([fitted.render(size) for fitted in several], axis=0)
    original = values == "original" or kind == ".wav"
    restored = levels.restore(image) if original else image
    if kind == ".npy":
        stores.write(out, _npy(restored))
    elif kind == ".wav":
        stores.write(out, images.to_wav(restored, round(levels.rate * len(restored) / several[0].task.grid[0])))
    elif kind == ".gif":
        stores.write(out, images.to_gif(image))
    else:
        inverted = original and levels.black > levels.white
        stores.write(out, images.to_png(restored) if kind == ".png" else images.to_tiff(restored, inverted))
    return f"{out}: {images.format_size(image.shape[:-1])}"


def check_ending(out: Path, dims: int, channels: int) -> None:
    """Raise Refused where a picture of so many dimensions and channels cannot be written to such a file."""
    allowed = KINDS[dims]
    if out.suffix not in allowed:
        what = {1: "a signal", 2: "an image", 3: "a volume"}[dims]
        raise Refused(f"--out={out}: this member is of {what}; allowed: {', '.join(allowed)}")
    if out.suffix in (".png", ".gif") and channels not in (1, 3):
        kind = out.suffix[1:].upper()
        raise Refused(f"--out={out}: a {kind} has 1 channel or 3, this member has {channels}; allowed: .npy, .tif")


def _npy(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, image)
    return buffer.getvalue()


def _row(text: str) -> int | str:
    """A row, or one of the words for one."""
    if text in ("best", "mean"):
        return text
    row = text.removeprefix("mean:")
    if not row.isdecimal():
        raise argparse.ArgumentTypeError(f"={text}: expected a whole number of at least 0, best, mean, or mean:ROW")
    return text if row != text else int(row)


def _grid(text: str) -> tuple[int, ...]:
    """(h, w) of WxH, (n,) of N."""
    sides = text.split("x")
    if not all(side.isdecimal() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(f"={text} is not WxH in pixels, for example 1024x768")
    return tuple(int(side) for side in reversed(sides))


entry = partial(console, main)

if __name__ == "__main__":
    run(main)
