"""Fit every member of a study and report: python -m experiments.sweep --config=experiments/configs/scale.py:quick

The same command resumes; more values on an axis extend the run. --dry_run shows what would be done, --help every field,
--list the studies (which also go by their name, --config=scale:quick), encodings, networks and sample images.
--shard=I/N fits one of N shares (I from 0) into the same folder; the last to finish writes the results. --engine=ray
has a Ray cluster fit them, the one at --ray_address or one of this machine's cores. --distributed makes one program
of the processes that were started with it, on a TPU pod or under a scheduler, over the devices of all.
--completion=bash|zsh prints a script for the shell: eval "$(inr-sweep --completion=bash)".
"""

import shlex
import sys
from collections.abc import Sequence
from functools import partial

from inr_jax.cli import completion
from inr_jax.cli import config as configuration
from inr_jax.cli.arguments import console, parsed, run, shard
from inr_jax.report import summary as tables
from inr_jax.runs import engines, study
from inr_jax.runs.engines import Shard
from inr_jax.runs.record import Record
from inr_jax.sweep import hosts

USAGE = (
    "python -m experiments.sweep --config=PATH[:VARIANT] [--config.FIELD=VALUE ...] [--out=DIR] [--shard=I/N] "
    "[--engine=here|ray] [--ray_address=ADDRESS] [--distributed] [--dry_run] [--help] [--list] [--completion=bash|zsh]"
)
OPTIONS = ("config", "out", "shard", "engine", "ray_address", "completion")
SWITCHES = ("distributed", "dry_run", "help", "list")


def main(argv: Sequence[str]) -> int:
    """Run the command; its exit status."""
    arguments = parsed(argv, options=OPTIONS, switches=SWITCHES)
    if arguments.help:
        print(f"{__doc__}\n{USAGE}\n\nFields, with their defaults:\n{configuration.listing()}")
        return 0
    if arguments.list:
        print(configuration.known())
        return 0
    if arguments.completion:
        print(completion.script(arguments.completion, OPTIONS, SWITCHES))
        return 0
    if arguments.engine:
        arguments.overrides.append(("run.engine", arguments.engine))
    loaded = configuration.load(arguments.required("config", USAGE), arguments.overrides)
    share = shard(arguments.shard)
    where = engines.where(loaded.study.run, share, arguments.ray_address, arguments.distributed)
    if arguments.distributed:
        hosts.join()
    if arguments.dry_run:
        print(study.dry_run(loaded))
        return 0
    ended = study.run(loaded, arguments.out, ["python", "-m", "experiments.sweep", *argv], where)
    if ended.lacking:
        print(_share(ended, share))
    elif hosts.first():
        print(_outcome(ended.record))
    for line in ended.failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if ended.failed else 0


def _share(ended: study.Ended, shard: Shard) -> str:
    """What is left for other shards."""
    report = shlex.join(["python", "-m", "experiments.report", str(ended.record.directory)])
    return (
        f"shard {shard.number} of {shard.of} is done; {ended.lacking} members are left to the others. The last to "
        f"finish writes the results; then, and at any time: {report}"
    )


def _outcome(record: Record) -> str:
    """The table, the best setting, the baselines, and where the report is."""
    table = record.csv("results.csv")
    summed, winner, said = tables.found(table, tables.chooser(table))
    baselines = record.csv("baselines.csv")
    lines = [tables.as_text(summed, winner), f"({tables.spread_said(table)})", tables.baseline_text(baselines)]
    return "\n".join([*filter(None, [*lines, said]), f"report: {record.directory / 'report.html'}"])


entry = partial(console, main)

if __name__ == "__main__":
    run(main)
