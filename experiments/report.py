"""Draw a run's results and report again from what its folder holds."""

import sys
from collections.abc import Sequence
from functools import partial

from inr_jax.cli.arguments import Command, console, run


def command() -> Command:
    """Declare the arguments."""
    command = Command("experiments.report", __doc__)
    command.add_argument("run", metavar="RUN", help="run folder")
    return command


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    request = command().parse(argv)
    from inr_jax.runs import record as records
    from inr_jax.runs import study

    record = records.there(request.run)
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
