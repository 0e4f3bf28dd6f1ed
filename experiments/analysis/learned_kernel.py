"""What a network gained by its learned features: python -m experiments.analysis.learned_kernel RUN --member=ROW[,ROW...]

For members of a finished run: the held-out PSNR that training reached, and that of kernel regression with the kernel of
infinite width, with the network's own before its first step, and with the network's own after its last.
"""

from collections.abc import Sequence

import pandas as pd

from experiments.analysis import choices
from inr_jax.cli.arguments import parsed, run
from inr_jax.runs import record as records
from inr_jax.runs import study
from inr_jax.settings import Refused

USAGE = "python -m experiments.analysis.learned_kernel RUN --member=ROW[,ROW...]"


def main(argv: Sequence[str]) -> int:
    """Run the command; its exit status."""
    arguments = parsed(argv, options=("member",), switches=("help",), positional=1)
    if arguments.help:
        print(f"{__doc__}\n{USAGE}")
        return 0
    record = records.there(arguments.positional, USAGE)
    rows = arguments.required("member", USAGE).split(",")
    if wrong := [row for row in rows if not row.strip().isdecimal()]:
        raise Refused(f"--member={wrong[0]} is not a row of results.csv: 0, 1, ...")
    table = record.csv("results.csv")
    found = [choices.learned_kernels(*study.finished(record, int(row))) for row in rows]
    shown = table.loc[[int(row) for row in rows], ["image", "size", "split", "scale", "steps", "psnr_heldout"]]
    print(shown.assign(**pd.DataFrame(found, index=shown.index)).round(2).to_string())
    return 0


if __name__ == "__main__":
    run(main)
