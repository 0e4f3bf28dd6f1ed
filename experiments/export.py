"""Write the results or a fitted member as a file that other programs read.

FILE.csv or FILE.parquet: the table of all members. Of the member in row ROW of results.csv, from 0: FILE.safetensors,
its settings and what it learned (`inr_jax.load_network` reads it), or FILE.stablehlo, a program from coordinates to
colours that needs jax and flatbuffers alone (`jax.export.deserialize`).
"""

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from inr_jax.cli.arguments import Command, console, run, whole
from inr_jax.settings import Refused, library

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".parquet")


def command() -> Command:
    """Declare the arguments."""
    command = Command("experiments.export", __doc__)
    command.add_argument("run", metavar="RUN", help="folder of a finished run")
    command.add_argument("--member", metavar="ROW", type=whole(0), help="row in results.csv; required for a network")
    command.add_argument(
        "--out", metavar="FILE", required=True, type=Path, help="FILE.csv, .parquet, .safetensors or .stablehlo"
    )
    return command


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    request = command().parse(argv)
    from inr_jax.runs import export, stores
    from inr_jax.runs.members import read_member
    from inr_jax.runs.results import open_record, read_table

    record, out = open_record(request.run, finished=True), request.out
    if out.suffix not in (*TABLES, *export.WRITERS):
        raise Refused(f"--out={out} has no known ending; allowed: {', '.join((*TABLES, *export.WRITERS))}")
    if out.suffix in TABLES:
        if request.member is not None:
            raise Refused(f"--out={out} is a table of all members: leave --member={request.member} out")
        path = record.directory / "results.csv"
        stores.write(out, stores.read(path) if out.suffix == ".csv" else _parquet(read_table(record)))
    elif request.member is None:
        raise Refused(f"--out={out} is one member's: --member is missing, its row in results.csv")
    else:
        stores.write(out, export.WRITERS[out.suffix](read_member(record, request.member).network))
    print(out)
    return 0


def _parquet(table: "pd.DataFrame") -> bytes:
    library("pyarrow", "export")
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


entry = partial(console, main)

if __name__ == "__main__":
    run(main)
