"""The way of fitting that reaches a PSNR in the fewest seconds.

RUN is a finished sweep. From its curves: the seconds of each way to each target, as a multiple of the reference's, the
first way's or that of --reference. Targets are --psnr=DB,DB, or on each image what the reference has reached there
after a twentieth, a quarter and all of its steps. With --on=all, PSNR over the whole image at the end of fits: those
that differ in length alone are one way, of which the shortest that reaches the target counts. On a machine with other
load, --retimed takes the seconds of a step not from the run but measures some steps of each way again, in turn. Writes
race.csv and race.png into RUN or --out.
"""

import argparse
import contextlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.analysis import races
from inr_jax.cli.arguments import Command, run
from inr_jax.report.style import png
from inr_jax.report.summary import MIN_FOR_INTERVAL
from inr_jax.report.text import scored_on
from inr_jax.runs import stores
from inr_jax.runs.members import restore_members
from inr_jax.runs.results import open_record, results_curves, results_table
from inr_jax.settings import Refused, nearest

PIXELS = ("train", "heldout", "all")


def command() -> Command:
    """Declare the arguments."""
    command = Command("experiments.analysis.race", __doc__)
    command.add_argument("run", metavar="RUN", help="folder of a finished run")
    command.add_argument("--psnr", metavar="DB,DB", type=_targets, default=[], help="targets")
    command.add_argument("--on", metavar="|".join(PIXELS), default="train", help="pixels that the PSNR is of")
    command.add_argument("--reference", metavar="WAY", help="the first way if none")
    command.add_argument("--retimed", action="store_true", help="time some steps of each way again")
    command.add_argument("--out", metavar="DIR", help="folder to write to; RUN if none")
    return command


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    request = command().parse(argv)
    on = request.on
    if on not in PIXELS:
        raise Refused(f"--on={on} is not known; {nearest(on, PIXELS)}")
    record = open_record(request.run, finished=True)
    members = restore_members(record)
    table = results_table(record, members)
    seconds = races.time_steps(members) if request.retimed else races.step_seconds(table)
    if on == "all":
        lines = races.ends(table, seconds)
    else:
        lines = races.lines(table, results_curves(record, members.keys), on, seconds)
    reference = request.reference or lines[0].way
    times = races.race(lines, reference, request.psnr)
    directory = stores.locate(request.out) if request.out else record.directory
    stores.write(directory / "race.csv", times.to_csv(index=False, float_format="%.6g").encode())
    stores.write(directory / "race.png", png(races.chart(lines, on)))
    print(_text(races.summary(times, reference), lines, reference, on))
    if not request.retimed:
        print(
            "eight of ten fits took from {:.2f} to {:.2f} of their steps' median seconds".format(
                *races.timing_noise(table)
            )
        )
    print(f"{directory / 'race.csv'}")
    return 0


def _targets(text: str) -> list[float]:
    """Convert the text of `--psnr` to PSNRs in dB."""
    with contextlib.suppress(ValueError):
        values = [float(part) for part in text.split(",")]
        if np.isfinite(values).all():
            return values
    raise argparse.ArgumentTypeError(f"={text}: expected PSNRs in dB, e.g. --psnr=20,25,30")


def _text(summed: pd.DataFrame, lines: Sequence[races.Line], reference: str, on: str) -> str:
    """The table for a terminal, with what its figures are."""
    images = len({line.image for line in lines})
    kind = "95 % interval" if images >= MIN_FOR_INTERVAL else "half the range"
    spread = f", ×/÷ {kind} over {images} images" if images > 1 else ""
    return (
        f"times to a PSNR on {scored_on(f'psnr_{on}')}, as multiples of those of {reference!r}\n"
        f"{races.format_summary(summed, lines)}\n"
        f"(geometric means{spread}, and seconds; 'on 1 of 2': not reached on all images where the reference is)"
    )


if __name__ == "__main__":
    run(main)
