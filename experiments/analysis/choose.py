"""What ways to choose a scale without training all of them would have cost.

RUN is a finished sweep over scales. Every way is judged on images that it has not seen trained: it knows the other
images of RUN, or with --calibration=RUN2 those of that run alone. Writes choices.csv and choices.png into RUN or --out.
"""

import sys
from collections.abc import Sequence
from functools import partial

import pandas as pd

from experiments.analysis import choices
from inr_jax.cli.arguments import Command, console, run
from inr_jax.kernel.regression import NotConverged
from inr_jax.report import plots_members as figures
from inr_jax.report import plots_theory as theory_charts
from inr_jax.report import summary as tables
from inr_jax.runs import record as records
from inr_jax.runs import stores, study

HEADINGS = {
    "psnr": "PSNR",
    "regret": "regret",
    "regret_90": "of 90 %",
    "regret_all": "of all",
    "seconds": "seconds",
    "error": "curve error",
    "within": "within 1 dB",
}


def command() -> Command:
    """Declare the arguments."""
    command = Command("experiments.analysis.choose", __doc__)
    command.add_argument("run", metavar="RUN", help="folder of a finished sweep over scales")
    command.add_argument("--calibration", metavar="RUN2", help="folder of the run whose images are known")
    command.add_argument("--out", metavar="DIR", help="folder to write to; RUN if none")
    return command


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    request = command().parse(argv)
    record = records.there(request.run, finished=True)
    directory = stores.place(request.out) if request.out else record.directory
    found = _problems(record)
    others = _problems(records.there(request.calibration, finished=True)) if request.calibration else []
    try:
        judged = choices.judged(found, others, lambda line: print(line, file=sys.stderr))
    except NotConverged as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    directory.mkdir(parents=True, exist_ok=True)
    stores.write(directory / "choices.csv", judged.to_csv(index=False).encode())
    stores.write(directory / "choices.png", figures.png(theory_charts.regrets(judged)))
    print(_said(choices.summary(judged), record.csv("baselines.csv")))
    print(f"{directory / 'choices.csv'}")
    return 0


def _problems(record: records.Record) -> list[choices.Problem]:
    """The problems of a finished run."""
    _, members = study.restore(record)
    return choices.problems(members.grid, record.csv("results.csv"))


def _said(summed: pd.DataFrame, baselines: pd.DataFrame) -> str:
    """The table for a terminal, a part for each training length, with the verdict on the kernel."""
    parts = []
    for steps, group in summed.groupby("steps", sort=True):
        shown = group.set_index("chooser")[list(HEADINGS)].rename(columns=HEADINGS)
        parts.append(f"after {steps} steps, {group['problems'].max()} problems (dB, held-out pixels):")
        parts.append(shown.map(lambda value: "" if pd.isna(value) else f"{value:.2f}").to_string())
        parts.append(choices.verdict(group))
    return "\n".join([*parts, tables.baseline_text(baselines[baselines["validation"] == 0])])


entry = partial(console, main)

if __name__ == "__main__":
    run(main)
