"""What a network gained by its learned features.

For members of a finished run: the held-out PSNR that training reached, and that of kernel regression with the kernel of
infinite width, with the network's own before its first step, and with the network's own after its last.
"""

from collections.abc import Sequence

import pandas as pd

from experiments.analysis import choices
from inr_jax.cli.arguments import Command, run, whole
from inr_jax.runs import record as records
from inr_jax.runs import study


def command() -> Command:
    """Declare the arguments."""
    command = Command("experiments.analysis.learned_kernel", __doc__)
    command.add_argument("run", metavar="RUN", help="folder of a finished run")
    command.add_argument("--member", metavar="ROW,ROW", required=True, type=_rows, help="rows in results.csv, from 0")
    return command


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    request = command().parse(argv)
    record = records.there(request.run)
    table = record.csv("results.csv")
    found = [choices.learned_kernels(*study.finished(record, row)) for row in request.member]
    shown = table.loc[request.member, ["image", "size", "split", "scale", "steps", "psnr_heldout"]]
    print(shown.assign(**pd.DataFrame(found, index=shown.index)).round(2).to_string())
    return 0


def _rows(text: str) -> list[int]:
    return [whole(0)(row.strip()) for row in text.split(",")]


if __name__ == "__main__":
    run(main)
