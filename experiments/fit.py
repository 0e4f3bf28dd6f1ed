"""Fit one photograph and draw what the network makes of it, for example photo.jpg --network=siren --out=fit.png.

All of its pixels are trained on, in its own shape. It is a study of one member: the same command resumes, and its run
folder has the network and a report. Networks that need features, such as relu, stand behind a hash grid that learns;
all others are of coordinates.
"""

import argparse
import math
import os
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from experiments import render
from inr_jax.cli import config as configuration
from inr_jax.cli.arguments import Command, console, run, typed, whole
from inr_jax.cli.config import base
from inr_jax.data import images
from inr_jax.data.problem import load
from inr_jax.fit.networks import coordinates
from inr_jax.settings import Refused
from inr_jax.sweep.grid import grid as members
from inr_jax.sweep.study import Experiment

if TYPE_CHECKING:
    from inr_jax.runs.record import Record

VARIANTS = {
    "grid": "all pixels of a photograph, a network behind a hash grid",
    "coordinates": "all pixels of a photograph, a network of coordinates",
}
NETWORK, SIZE, STEPS = "relu", 256, 2000
# Of coordinates those that are not named here have 1e-3.
RATES = {"gauss": 5e-3, "wire": 5e-3, "wire-real": 3e-3, "mfn-fourier": 1e-2, "mfn-gabor": 1e-2, "spder": 1e-4}


def get_config(variant: str) -> ConfigDict:
    """Return the settings of a variant."""
    config = base()
    config.split, config.resize = "all", "fit"
    config.design.pixels, config.design.replacement = 8192, False
    config.design.schedule, config.hyper.final_rate = "cosine", 0.01
    if variant == "grid":
        config.design.encoding, config.hyper.learning_rate = "hash", 1e-2
        config.design.hash_levels, config.hyper.coarsest = 8, 16.0
        config.design.width, config.design.depth, config.design.output = 64, 2, "sigmoid"
    else:
        config.design.encoding = "identity"
        config.design.width, config.design.depth = 128, 3
    return config


def command() -> Command:
    """Declare the arguments."""
    command = Command("experiments.fit", __doc__)
    command.add_argument("image", metavar="IMAGE", help="path of a photograph, or any other name of an image")
    network = f"by name, or module:function; {NETWORK} if none. experiments.sweep --list has them"
    command.add_argument("--network", metavar="NAME", default=NETWORK, help=network)
    size = f"pixels of the longer side; {SIZE} if none, or as many as it has"
    command.add_argument("--size", metavar="N", type=whole(2), help=size)
    command.add_argument("--steps", metavar="N", type=whole(1), default=STEPS, help=f"{STEPS} if none")
    out = f"FILE{', '.join(render.KINDS[2])}; NAME-fit.png if none"
    command.add_argument("--out", metavar="FILE", type=Path, help=out)
    command.add_argument("--dry_run", action="store_true", help="print what would be done")
    command.add_fields("set a field, as often as needed; experiments.sweep --help has them")
    return command


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    request = command().parse(argv)
    out = request.out or Path(f"{Path(request.image).stem}-fit.png")
    loaded = study(request, out)
    from inr_jax.runs import study as runs

    if request.dry_run:
        print(runs.dry_run(loaded))
        return 0
    status = runs.run(loaded, command=[*typed("experiments.fit"), *argv])
    for line in status.failed:
        print(f"failed: {line}", file=sys.stderr)
    if status.failed:
        return 1
    print(describe(status.record, out))
    return 0


def study(request: argparse.Namespace, out: Path) -> Experiment:
    """Return the study of one member that is asked for. Raises Refused where it cannot be fitted, or drawn to `out`."""
    swept = [name for name, _ in request.fields if name.startswith(("axes.", "second."))]
    if swept:
        raise Refused(f"--config.{swept[0]}: a single network is fitted here; {shlex.join(typed('experiments.sweep'))}")
    made = coordinates(request.network)
    variant = "coordinates" if made else "grid"
    whole = configuration.load(f"{__file__}:{variant}", [("image", request.image), ("size", "0"), *request.fields])
    *grid, channels = load(members(whole.study)[0].data).picture.pixels.shape
    if len(grid) != 2:
        raise Refused(f"{request.image} is no image, but {'a signal' if len(grid) < 2 else 'a volume'}")
    if request.size and request.size > max(grid):
        own = images.format_size(tuple(grid))
        raise Refused(f"--size={request.size}: {request.image} is of {own}; allowed: at most {max(grid)}")
    render.check_ending(out, 2, channels)
    if out.exists() and os.path.exists(request.image) and out.samefile(request.image):
        raise Refused(f"--out={out} is the photograph itself; give another name")
    size = request.size or min(SIZE, max(grid))
    asked = {
        **{"image": request.image, "size": size, "design.network": request.network, "design.steps": request.steps},
        **{f"design.{name}": value for name, value in made.items()},
        **({"hyper.learning_rate": RATES[request.network]} if request.network in RATES else {}),
        # A grid as fine as the pixels, with as many entries at each level as an eighth of a square of them.
        "hyper.finest": size,
        "design.hash_entries": max(1, round(2 * math.log2(size)) - 3),
    }
    texts = [(name, str(value)) for name, value in asked.items()]
    return configuration.load(f"{__file__}:{variant}", [*texts, *request.fields])


def describe(record: "Record", out: Path) -> str:
    """Write the picture of a run's only member, and return what was fitted and where it is, as lines."""
    from inr_jax.runs.members import read_member

    fitted = read_member(record, 0)
    drawn, scores = render.draw([fitted], out), fitted.outcome.scores
    diverged = fitted.outcome.diverged_at
    again = [*typed("experiments.render"), str(record.directory), "--member=0", "--size=WxH", "--out=FILE"]
    return "\n".join(
        [
            f"{drawn}, PSNR {scores['psnr_all']:.2f} dB" + f", diverged at step {diverged}" * bool(diverged >= 0),
            f"the network, at any size: {shlex.join(again)}",
            f"report: {record.directory / 'report.html'}",
        ]
    )


entry = partial(console, main)

if __name__ == "__main__":
    run(main)
