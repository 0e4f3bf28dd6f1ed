"""Draw any member of a run at any size: python -m experiments.render RUN --member=ROW --size=WxH --out=FILE

ROW is the member's row in results.csv, from 0. FILE.png has 8 bits, clipped; FILE.npy is float32, (h, w, c), unclipped.
Of a signal the size is its number of samples, and the file an .npy, (n, c).
"""

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from inr_jax.cli.arguments import console, parsed, row, run
from inr_jax.data import images
from inr_jax.runs import record as records
from inr_jax.runs import stores, study
from inr_jax.settings import Refused

USAGE = "python -m experiments.render RUN --member=ROW [--size=WxH] --out=FILE.png|FILE.npy"


def main(argv: Sequence[str]) -> int:
    """Run the command; its exit status."""
    arguments = parsed(argv, options=("member", "size", "out"), switches=("help",), positional=1)
    if arguments.help:
        print(f"{__doc__}\n{USAGE}")
        return 0
    record = records.there(arguments.positional, USAGE)
    out = Path(arguments.required("out", USAGE))
    if out.suffix not in (".png", ".npy"):
        raise Refused(f"--out={out} has no known ending; allowed: .png, .npy")
    image = study.rendered(record, row(arguments.required("member", USAGE)), _grid(arguments.size))
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
    """(h, w) of WxH, (n,) of N; empty for the image's own."""
    if not text:
        return ()
    sides = text.split("x")
    if not all(side.isdecimal() and int(side) for side in sides):
        raise Refused(f"--size={text} is not WxH in pixels, for example 1024x768")
    return tuple(int(side) for side in reversed(sides))


entry = partial(console, main)

if __name__ == "__main__":
    run(main)
