"""Fit every member of a study and report, for example --config=scale:quick.

The same command resumes; more values on an axis extend the run.
"""

import shlex
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from inr_jax.cli import config as configuration
from inr_jax.cli import listing
from inr_jax.cli.arguments import Command, Print, console, run, shard, typed

if TYPE_CHECKING:
    from inr_jax.runs import study


def command() -> Command:
    """Declare the arguments."""
    command = Command("experiments.sweep", __doc__, f"Fields, with their defaults:\n{listing.listing()}")
    command.add_study()
    command.add_argument("--out", metavar="DIR", default="", help="run folder; runs/STUDY-VARIANT-FINGERPRINT if none")
    share = "fit one of N shares, I from 0, into the same folder; the last to finish writes the results"
    command.add_argument("--shard", metavar="I/N", type=shard, default=(0, 1), help=share)
    command.add_argument("--engine", metavar="here|ray", help="where members are fitted: by this process, or by Ray")
    command.add_argument("--ray_address", metavar="ADDRESS", default="", help="of a Ray cluster; this machine if none")
    joined = "join the processes that were started together (TPU pods, schedulers), and fit a share each"
    command.add_argument("--distributed", action="store_true", help=joined)
    command.add_argument("--dry_run", action="store_true", help="print what would be done")
    names = "print the studies, encodings, networks and sample images"
    command.add_argument("--list", action=Print, nargs=0, const=listing.known, help=names)
    return command


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    request = command().parse(argv)
    engine = [("run.engine", request.engine)] if request.engine else []
    loaded = configuration.load(request.config, request.fields + engine)
    from inr_jax.runs import engines, environment, study

    shard = engines.Shard(*request.shard)
    engines.check_options(loaded.study.run, shard, request.ray_address, request.distributed)
    if request.distributed:
        shard = engines.Shard(*environment.join_processes())
    if request.dry_run:
        print(study.dry_run(loaded, request.out))
        return 0
    command_line = [*typed("experiments.sweep"), *argv]
    status = study.run(loaded, request.out, command_line, shard, request.ray_address)
    if status.lacking:
        print(_share(status, *shard))
    else:
        from inr_jax.runs.view import results_text

        print(f"{results_text(status.record)}\nreport: {status.record.directory / 'report.html'}")
    for line in status.failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if status.failed else 0


def _share(status: "study.Status", index: int, count: int) -> str:
    """What is left for other shards."""
    report = shlex.join([*typed("experiments.report"), str(status.record.directory)])
    return (
        f"shard {index} of {count} is done; {status.lacking} members are left to the others. The last to "
        f"finish writes the results; then, and at any time: {report}"
    )


entry = partial(console, main)

if __name__ == "__main__":
    run(main)
