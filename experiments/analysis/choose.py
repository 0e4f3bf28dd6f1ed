"""The cost of choosing a scale in other ways than by training at all of them.

RUN is a finished sweep over scales. Each image is judged without its own trained curve: a way may use the other images
of RUN, or with --calibration=RUN2 those of that run alone. Writes choices.csv and choices.png into RUN or --out.
"""

import sys
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.analysis import choices
from inr_jax.cli.arguments import Command, console, run
from inr_jax.kernel.regression import NotConverged
from inr_jax.report import style
from inr_jax.report.text import fold_table, format_baselines
from inr_jax.runs import stores
from inr_jax.runs.members import restore_members
from inr_jax.runs.record import Record
from inr_jax.runs.results import open_record, read_table

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
    record = open_record(request.run, finished=True)
    directory = stores.locate(request.out) if request.out else record.directory
    problems = _problems(record)
    others = _problems(open_record(request.calibration, finished=True)) if request.calibration else []
    try:
        judged = choices.judge(problems, others, lambda line: print(line, file=sys.stderr))
    except NotConverged as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    directory.mkdir(parents=True, exist_ok=True)
    stores.write(directory / "choices.csv", judged.to_csv(index=False).encode())
    stores.write(directory / "choices.png", style.png(plot_regrets(judged)))
    print(_text(choices.summary(judged), read_table(record, "baselines.csv")))
    print(f"{directory / 'choices.csv'}")
    return 0


def _problems(record: Record) -> list[choices.Problem]:
    """The problems of a finished run."""
    return choices.problems_of(restore_members(record).grid, read_table(record))


def _text(summed: pd.DataFrame, baselines: pd.DataFrame) -> str:
    """The table for a terminal, a part for each training length, with the verdict on the kernel."""
    parts = []
    for steps, group in summed.groupby("steps", sort=True):
        shown = group.set_index("chooser")[list(HEADINGS)].rename(columns=HEADINGS)
        parts.append(f"after {steps} steps, {group['problems'].max()} problems (dB, held-out pixels):")
        texts = shown.map(lambda value: "" if pd.isna(value) else f"{value:.2f}")
        parts.append(fold_table({"chooser": list(texts.index), **texts.to_dict("list")}, ["chooser"]))
        parts.append(choices.verdict(group))
    return "\n".join([*parts, format_baselines(baselines[baselines["validation"] == 0])])


def plot_regrets(choices: pd.DataFrame) -> Figure:
    """Plot how far each way of choosing a scale stays below the best scale: every problem, and the mean as a bar."""
    lengths, choosers = sorted(choices["steps"].unique()), list(choices["chooser"].unique())[::-1]
    figure = Figure(figsize=(3.2 + 3.4 * len(lengths), 0.9 + 0.42 * len(choosers)), layout="constrained")
    for axes, steps in zip(figure.subplots(1, len(lengths), squeeze=False, sharey=True)[0], lengths, strict=True):
        style.light_axes(axes)
        for row, chooser in enumerate(choosers):
            lost = choices[(choices["steps"] == steps) & (choices["chooser"] == chooser)]["regret"]
            # Side by side where several lose the same.
            shifts = np.linspace(-0.22, 0.22, max(len(lost), 2))[: len(lost)]
            axes.plot(np.sort(lost), row + shifts, ".", color=style.COLORS[0], markersize=4, alpha=0.6)
            axes.plot(lost.mean(), row, marker="|", color=style.COLORS[1], markersize=16, markeredgewidth=2.5)
        axes.set_yticks(range(len(choosers)), choosers)
        axes.set_title(f"{steps} steps", fontsize=9)
        axes.set_xlabel("loss against the best scale (dB); bar: mean")
        axes.set_xlim(left=-0.05)
    return figure


entry = partial(console, main)

if __name__ == "__main__":
    run(main)
