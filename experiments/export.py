"""Results or a fitted member as a file for others: python -m experiments.export RUN [--member=ROW] --out=FILE

FILE.csv or FILE.parquet: the table of all members. Of the member in row ROW of results.csv, from 0: FILE.safetensors,
its settings and what it learned (`inr_jax.load_network` reads it), or FILE.stablehlo, a program from coordinates to
colours that needs jax and flatbuffers alone (`jax.export.deserialize`).
"""

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from inr_jax.cli.arguments import console, parsed, row, run
from inr_jax.functions import library
from inr_jax.runs import export as exports
from inr_jax.runs import record as records
from inr_jax.runs import stores, study
from inr_jax.settings import Refused

USAGE = "python -m experiments.export RUN [--member=ROW] --out=FILE.csv|FILE.parquet|FILE.safetensors|FILE.stablehlo"
TABLES = (".csv", ".parquet")


def main(argv: Sequence[str]) -> int:
    """Run the command; its exit status."""
    arguments = parsed(argv, options=("member", "out"), switches=("help",), positional=1)
    if arguments.help:
        print(f"{__doc__}\n{USAGE}")
        return 0
    record = records.there(arguments.positional, USAGE, finished=True)
    out = Path(arguments.required("out", USAGE))
    if out.suffix not in (*TABLES, *exports.WRITERS):
        raise Refused(f"--out={out} has no known ending; allowed: {', '.join((*TABLES, *exports.WRITERS))}")
    if out.suffix in TABLES:
        if arguments.member:
            raise Refused(f"--out={out} is a table of all members: leave --member={arguments.member} out")
        stores.write(out, _table(record, out.suffix))
    else:
        network = study.network(record, row(arguments.required("member", USAGE)))
        stores.write(out, exports.WRITERS[out.suffix](network))
    print(out)
    return 0


def _table(record: records.Record, ending: str) -> bytes:
    """The table of all members."""
    if ending == ".csv":
        return stores.read(record.directory / "results.csv")
    library("pyarrow", "export")
    buffer = io.BytesIO()
    record.csv("results.csv").to_parquet(buffer, index=False)
    return buffer.getvalue()


entry = partial(console, main)

if __name__ == "__main__":
    run(main)
