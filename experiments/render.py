"""Draw any member of a run at any size.

ROW is the member's row in results.csv, from 0. FILE.png has 8 bits, clipped; FILE.npy is float32, (h, w, c), unclipped.
Of a signal the size is its number of samples, and the file an .npy, (n, c).
"""

import argparse
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from inr_jax.cli.arguments import Command, console, run, whole
from inr_jax.settings import Refused


def command() -> Command:
    """Declare the arguments."""
    command = Command("experiments.render", __doc__)
    command.add_argument("run", metavar="RUN", help="run folder")
    command.add_argument("--member", metavar="ROW", required=True, type=whole(0), help="its row in results.csv")
    command.add_argument("--size", metavar="WxH", default=(), type=_grid, help="in pixels; by default the image's own")
    command.add_argument("--out", metavar="FILE", required=True, type=Path, help="FILE.png or FILE.npy")
    return command


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    request = command().parse(argv)
    from inr_jax.data import images
    from inr_jax.runs import stores
    from inr_jax.runs.members import render_member
    from inr_jax.runs.results import open_record

    record, out = open_record(request.run), request.out
    if out.suffix not in (".png", ".npy"):
        raise Refused(f"--out={out} has no known ending; allowed: .png, .npy")
    image = render_member(record, request.member, request.size)
    if out.suffix == ".png" and image.ndim != 3:
        raise Refused(f"--out={out}: this member is of a signal, which is no picture; allowed: .npy")
    stores.write(out, images.to_png(image) if out.suffix == ".png" else _npy(image))
    print(f"{out}: {images.format_size(image.shape[:-1])}")
    return 0


def _npy(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, image)
    return buffer.getvalue()


def _grid(text: str) -> tuple[int, ...]:
    """(h, w) of WxH, (n,) of N."""
    sides = text.split("x")
    if not all(side.isdecimal() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(f"={text} is not WxH in pixels, for example 1024x768")
    return tuple(int(side) for side in reversed(sides))


entry = partial(console, main)

if __name__ == "__main__":
    run(main)
