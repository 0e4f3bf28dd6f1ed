"""Predict the scores of a study's members without training any.

Kernel regression with the neural tangent kernel of every member: DIR/prediction.csv and DIR/prediction.png. The ridge
stands for the length of training (0.05: hundreds of steps; 0.001: endless); --time stops gradient flow instead.
"""

import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from inr_jax.cli import config as configuration
from inr_jax.cli.arguments import Command, console, positive, run
from inr_jax.settings import Refused


def command() -> Command:
    """Declare the arguments."""
    command = Command("experiments.predict", __doc__)
    command.add_study()
    command.add_argument("--out", metavar="DIR", required=True, type=Path, help="folder to write to")
    length = command.add_mutually_exclusive_group()
    length.add_argument("--ridge", metavar="R", type=positive, help="relative to the kernel at zero difference")
    length.add_argument("--time", metavar="T", type=positive, help="of gradient flow, in place of a ridge")
    return command


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    request = command().parse(argv)
    loaded = configuration.load(request.config, request.fields)
    from inr_jax.kernel.of_study import NUMBERS, forecast, varying_columns
    from inr_jax.kernel.prediction import SHORT_RIDGE
    from inr_jax.kernel.regression import NotConverged
    from inr_jax.report.plots_theory import plot_predicted_scores
    from inr_jax.report.predictions import best_scales
    from inr_jax.report.style import png
    from inr_jax.report.text import format_baselines
    from inr_jax.runs import stores
    from inr_jax.runs.members import members_of
    from inr_jax.runs.outputs import baselines

    start = time.perf_counter()
    members = members_of(loaded.study)
    ridge = request.ridge or SHORT_RIDGE
    try:
        predicted = forecast(members.grid, ridge=ridge, time=request.time, validation=True)
    except NotConverged as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for line in (*loaded.notes, *members.picture_lines()):
        print(line, file=sys.stderr)
    for reason in predicted.refusals:
        print(f"left out: {reason}", file=sys.stderr)
    if predicted.table.empty:
        raise Refused(f"--config={request.config}: no member has a kernel: {'; '.join(predicted.refusals)}")
    swept = varying_columns(predicted.table)
    table = predicted.table.drop_duplicates(subset=swept or None)
    names = [*varying_columns(table), *(name for name in NUMBERS if name in table)]
    directory = request.out
    directory.mkdir(parents=True, exist_ok=True)
    stores.write(directory / "prediction.csv", table[names].to_csv(index=False).encode())
    interpolated = baselines(members)
    if "scale" in table and table["scale"].notna().any():
        stores.write(directory / "prediction.png", png(plot_predicted_scores(table, interpolated)))
    print("\n".join([*best_scales(table), format_baselines(interpolated)]))
    print(f"{len(table)} members in {time.perf_counter() - start:.1f} s, none trained; {directory / 'prediction.csv'}")
    return 0


entry = partial(console, main)

if __name__ == "__main__":
    run(main)
