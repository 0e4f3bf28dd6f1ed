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
    from inr_jax.runs.members import restore_members
    from inr_jax.runs.outputs import finish_outputs, write_outputs
    from inr_jax.runs.record import PATIENCE, digest_results
    from inr_jax.runs.results import open_record
    from inr_jax.runs.study import count_lacking

    record = open_record(request.run)
    for line in record.set_damaged_aside():
        print(line, file=sys.stderr)
    with record.lock("run.json", PATIENCE):
        study, members = record.run.restore_study(), restore_members(record)
        if record.run.finished or count_lacking(record, study, members, record.run.failures):
            write_outputs(record, members, study)
            record.update_run(files=digest_results(record))
        else:  # shards that ended without having seen each other
            finish_outputs(record, members, study)
    print(f"report: {record.directory / 'report.html'}")
    return 0


entry = partial(console, main)

if __name__ == "__main__":
    run(main)
