"""The files that are made from a run's members: tables, results.nc, baselines, prediction, figures and report."""

import sys
import time

import pandas as pd

from inr_jax.fit import metrics
from inr_jax.fit.pixels import is_unknown
from inr_jax.kernel.of_study import forecast
from inr_jax.kernel.regression import NotConverged
from inr_jax.report.page import render_report
from inr_jax.runs.members import Members
from inr_jax.runs.record import Record, digest_results
from inr_jax.runs.results import (
    results_curves,
    results_dataset,
    results_table,
    total_seconds,
    write_dataset,
    write_table,
)
from inr_jax.runs.stores import write
from inr_jax.runs.together import together_tables
from inr_jax.runs.view import view_run
from inr_jax.sweep.study import Study


def write_outputs(record: Record, members: Members, study: Study) -> None:
    """Write results.csv, results.nc, baselines.csv, the figures and the report from the members that there are.

    The caller owns run.json, which gets the seconds that fitting took.
    """
    made, keys = members.grid, members.keys
    table = results_table(record, members)
    together, with_together = together_tables(record, members, table, study.run.metrics)
    write_table(record, with_together)
    if len(together):
        write_table(record, together.reset_index(names="member"), "together.csv")
    else:  # of more seeds than are asked for now
        (record.directory / "together.csv").unlink(missing_ok=True)
    write_dataset(record, results_dataset(study, made, table, results_curves(record, keys)))
    record.update_run(**total_seconds(record))
    write_table(record, baselines(members), "baselines.csv")
    if study.run.theory:
        try:
            write_table(
                record, forecast(made, task_of=members.task).table.reset_index(names="member"), "prediction.csv"
            )
        except NotConverged as error:
            print(f"no prediction: {error}", file=sys.stderr)
    write_report(record, members)


def finish_outputs(record: Record, members: Members, study: Study) -> None:
    """Write the outputs of a run that lacks no member, and note that it is finished; the caller owns run.json."""
    record.tidy()
    write_outputs(record, members, study)
    record.update_run(finished=time.strftime("%Y-%m-%d %H:%M:%S"), files=digest_results(record))


def write_report(record: Record, members: Members) -> None:
    """Write report.html and figures/; figures that the run had before it was extended are removed."""
    names = set()
    for name, contents in render_report(view_run(record, members)):
        write(record.directory / name, contents)
        names.add(name)
    for path in (record.directory / "figures").glob("[!.]*.*"):
        if path.suffix in (".png", ".svg") and f"figures/{path.name}" not in names:
            path.unlink(missing_ok=True)


def baselines(members: Members) -> pd.DataFrame:
    """Return PSNR of what each classical method makes of the measurements, for all tasks with held-out pixels."""
    rows = []
    problems = dict.fromkeys(kind.like.data for kind in members.grid.kinds)
    for data in problems:
        task = members.task(data)
        # A classical answer is of all measurements: not to be compared where some are put away.
        if task.classical is None or task.unseen is not None or not len(task.heldout) or is_unknown(task.image):
            continue
        for method, image in task.classical(task).items():
            pair = [part.reshape(-1, task.channels)[task.heldout] for part in (image, task.image)]
            scores = {"psnr_heldout": metrics.psnr(*pair), "psnr_all": metrics.psnr(image, task.image)}
            rows.append({**data, "method": method} | {name: float(value) for name, value in scores.items()})
    names = dict.fromkeys(name for data in problems for name in data)
    return pd.DataFrame(rows, columns=[*names, "method", "psnr_heldout", "psnr_all"])
