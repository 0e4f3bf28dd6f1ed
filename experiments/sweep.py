"""Fit every member of a study and report: python -m experiments.sweep --config=experiments/configs/scale.py:quick

The same command resumes; more values on an axis extend the run. --dry_run shows what would be done, --help every field,
--list the studies (which also go by their name, --config=scale:quick), encodings, networks and sample images.
--completion=bash|zsh prints a script for the shell: eval "$(inr-sweep --completion=bash)".
"""

import sys
from collections.abc import Sequence

import pandas as pd

from inr_jax import completion, configuration, study, tables
from inr_jax.command import parsed, run
from inr_jax.records import Record

USAGE = (
    "python -m experiments.sweep --config=PATH[:VARIANT] [--config.FIELD=VALUE ...] [--out=DIR] [--dry_run] "
    "[--help] [--list] [--completion=bash|zsh]"
)
OPTIONS, SWITCHES = ("config", "out", "completion"), ("dry_run", "help", "list")


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
    loaded = configuration.load(arguments.required("config", USAGE), arguments.overrides)
    if arguments.dry_run:
        print(study.dry_run(loaded))
        return 0
    record, failed = study.run(loaded, arguments.out, ["python", "-m", "experiments.sweep", *argv])
    print(_outcome(record))
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failed else 0


def entry() -> None:
    """Be the command `inr-sweep`: with modules of one's own beside it, as `python -m` has them."""
    sys.path.insert(0, "")
    run(main)


def _outcome(record: Record) -> str:
    """The table, the best setting, the baselines, and where the report is."""
    table = pd.read_csv(record.directory / "results.csv")
    summed, winner, said = tables.found(table)
    baselines = pd.read_csv(record.directory / "baselines.csv")
    lines = [tables.as_text(summed, winner), f"({tables.spread_said(table)})", tables.baseline_text(baselines)]
    return "\n".join([*filter(None, [*lines, said]), f"report: {record.directory / 'report.html'}"])


if __name__ == "__main__":
    run(main)
