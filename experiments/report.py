"""Draw a run's results and report again from what it keeps: python -m experiments.report RUN"""

import sys
from collections.abc import Sequence
from functools import partial

from inr_jax.cli.arguments import console, parsed, run
from inr_jax.runs import record as records
from inr_jax.runs import study

USAGE = "python -m experiments.report RUN"


def main(argv: Sequence[str]) -> int:
    """Run the command; its exit status."""
    arguments = parsed(argv, options=(), switches=("help",), positional=1)
    if arguments.help:
        print(f"{__doc__}\n{USAGE}")
        return 0
    record = records.there(arguments.positional, USAGE)
    for line in record.set_damaged_aside():
        print(line, file=sys.stderr)
    with record.owned("run.json", records.PATIENCE):
        whole, members = study.restore(record)
        to_choose = record.run.get("chooses") and not record.run.get("chosen")
        lacking = study.lacking(record.kept(), record.failures, whole, members)
        if record.run.get("finished") or to_choose or lacking:
            study.assemble(record, members, whole)
            record.save_run(files=record.digests())
        else:  # shards that ended without having seen each other
            study.finish(record, members, whole)
    print(f"report: {record.directory / 'report.html'}")
    return 0


entry = partial(console, main)

if __name__ == "__main__":
    run(main)
