"""Which way of fitting reaches a PSNR in the fewest seconds: python -m experiments.analysis.race RUN

RUN is a finished sweep. Of its curves: the seconds of each way to each target, as a multiple of the reference's, the
first way's or that of --reference. Targets are --psnr=DB,DB, or on each image what the reference has reached there
after a twentieth, a quarter and all of its steps. On a machine with other work too --retimed takes the seconds of a
step not from the run but times some steps of each way again, in turn. Writes race.csv and race.png into RUN or --out.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.analysis import races
from inr_jax.cli.arguments import parsed, run
from inr_jax.report import plots_members as figures
from inr_jax.report import summary as tables
from inr_jax.runs import record as records
from inr_jax.runs import stores, study
from inr_jax.settings import Refused, nearest

USAGE = (
    "python -m experiments.analysis.race RUN [--psnr=DB,DB] [--on=train|heldout] [--reference=WAY] [--retimed] "
    "[--out=DIR]"
)


def main(argv: Sequence[str]) -> int:
    """Run the command; its exit status."""
    arguments = parsed(argv, options=("psnr", "on", "reference", "out"), switches=("retimed", "help"), positional=1)
    if arguments.help:
        print(f"{__doc__}\n{USAGE}")
        return 0
    record = records.there(arguments.positional, USAGE, finished=True)
    on, targets = arguments.on or "train", _targets(arguments.psnr)
    if on not in ("train", "heldout"):
        raise Refused(f"--on={on} is not known; {nearest(on, ('train', 'heldout'))}")
    _, members = study.restore(record)
    table = record.table(*members)
    seconds = races.retimed(members.grid.members) if arguments.retimed else races.step_seconds(table)
    found = races.lines(table, record.curves(members.keys), on, seconds)
    reference = arguments.reference or found[0].way
    raced = races.raced(found, reference, targets)
    directory = stores.place(arguments.out) if arguments.out else record.directory
    stores.write(directory / "race.csv", raced.to_csv(index=False, float_format="%.6g").encode())
    stores.write(directory / "race.png", figures.png(races.chart(found, on)))
    print(_said(races.summary(raced, reference), found, reference, on))
    if not arguments.retimed:
        print("eight of ten fits took from {:.2f} to {:.2f} of their steps' median seconds".format(*races.noise(table)))
    print(f"{directory / 'race.csv'}")
    return 0


def _targets(text: str) -> list[float]:
    """The PSNRs asked for, in dB."""
    try:
        values = [float(part) for part in text.split(",")] if text else []
        if not np.isfinite(values).all():
            raise ValueError
    except ValueError:
        raise Refused(f"--psnr={text} is not a list of PSNRs in dB: e.g. --psnr=20,25,30") from None
    return values


def _said(summed: pd.DataFrame, found: Sequence[races.Line], reference: str, on: str) -> str:
    """The table for a terminal, with what its figures are."""
    images = len({line.image for line in found})
    kind = "95 % interval" if images >= tables.INTERVAL_FROM else "half the range"
    spread = f", ×/÷ {kind} over {images} images" if images > 1 else ""
    return (
        f"times to a PSNR on the {tables.pixels_of(f'psnr_{on}')} pixels, as multiples of those of {reference!r}\n"
        f"{races.as_text(summed, found)}\n"
        f"(geometric means{spread}, and seconds; 'on 1 of 2': not reached on all images where the reference is)"
    )


if __name__ == "__main__":
    run(main)
