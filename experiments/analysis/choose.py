"""The cost of choosing a scale in other ways than by training at all of them.

RUN is a finished sweep over scales. Each image is judged without its own trained curve: a way may use the other images
of RUN, or with --calibration=RUN2 those of that run alone. Writes choices.csv and choices.png into RUN or --out.
"""

import sys
from collections.abc import Sequence
from functools import partial

import pandas as pd

from experiments.analysis import choices
from inr_jax.cli.arguments import Command, console, run
from inr_jax.kernel.regression import NotConverged
from inr_jax.report.plots_members import png
from inr_jax.report.summary import baseline_text
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
    problems = _problems(record)
    others = _problems(records.there(request.calibration, finished=True)) if request.calibration else []
    try:
        judged = choices.judge(problems, others, lambda line: print(line, file=sys.stderr))
    except NotConverged as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    directory.mkdir(parents=True, exist_ok=True)
    stores.write(directory / "choices.csv", judged.to_csv(index=False).encode())
    stores.write(directory / "choices.png", png(choices.chart(judged)))
    print(_text(choices.summary(judged), record.csv("baselines.csv")))
    print(f"{directory / 'choices.csv'}")
    return 0


def _problems(record: records.Record) -> list[choices.Problem]:
    """The problems of a finished run."""
    _, members = study.restore(record)
    return choices.problems_of(members.grid, record.csv("results.csv"))


def _text(summed: pd.DataFrame, baselines: pd.DataFrame) -> str:
    """The table for a terminal, a part for each training length, with the verdict on the kernel."""
    parts = []
    for steps, group in summed.groupby("steps", sort=True):
        shown = group.set_index("chooser")[list(HEADINGS)].rename(columns=HEADINGS)
        parts.append(f"after {steps} steps, {group['problems'].max()} problems (dB, held-out pixels):")
        parts.append(shown.map(lambda value: "" if pd.isna(value) else f"{value:.2f}").to_string())
        parts.append(choices.verdict(group))
    return "\n".join([*parts, baseline_text(baselines[baselines["validation"] == 0])])


entry = partial(console, main)

if __name__ == "__main__":
    run(main)
