"""A run folder as the report reads it, and its results as text."""

import contextlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from inr_jax.data.problem import Problem
from inr_jax.fit.design import Fit, reads
from inr_jax.fit.metrics import METRICS, Metric, column
from inr_jax.report.text import describe_spread, find_best, format_baselines, format_table, format_value
from inr_jax.report.view import MemberView, RunView
from inr_jax.runs.format import RunFile
from inr_jax.runs.members import Members, read_fitted
from inr_jax.runs.record import Record
from inr_jax.runs.results import read_pictures, read_table, score_names
from inr_jax.settings import Refused, catalogue
from inr_jax.sweep.grid import Grid


def view_run(record: Record, members: Members) -> RunView:
    """Return the view of a run whose tables are written."""
    run, finished, made, keys = record.run, record.members(), members.grid, members.keys

    def member(row: int) -> MemberView:
        entry = finished[keys[row]]
        fitted = read_fitted(record, members, row, entry)
        return MemberView(fitted.network, fitted.task, entry.steps, fitted.outcome.curves)

    def pictures(rows: Sequence[int]) -> dict[int, UInt8[np.ndarray, "..."]]:
        found = read_pictures(record, [keys[row] for row in rows])
        return {row: found[keys[row]] for row in rows}

    return RunView(
        title=f"{run.study}: {run.variant}",
        table=read_table(record),
        metrics=_metrics(record),
        baselines=read_table(record, "baselines.csv"),
        prediction=_prediction(record),
        settings=run.settings,
        units=_units(made),
        facts=_facts(run),
        chosen_on=run.chosen_on,
        member=member,
        pictures=pictures,
        target=lambda row: np.asarray(members.task(made[row].data).image),
        notes=members.note_lines(),
    )


def results_text(record: Record) -> str:
    """Return the results for a terminal: the table, the meaning of ±, the baselines, and the best setting."""
    table, baselines = read_table(record), read_table(record, "baselines.csv")
    summary, best, finding = find_best(table, record.run.chosen_on, _metrics(record))
    lines = [format_table(summary, best), f"({describe_spread(table)})", format_baselines(baselines), finding]
    return "\n".join(filter(None, lines))


def _metrics(record: Record) -> dict[str, Metric]:
    """Return the metrics of the score columns; a custom one that cannot be imported is shown without a unit."""
    custom = {}
    for name in filter(None, map(str.strip, record.run.run.get("metrics", "").split(","))):
        with contextlib.suppress(Refused):
            custom[column(name)] = METRICS.find(name)
    unknown, known = METRICS["ssim"]._replace(unit="", digits=4), {**METRICS, **custom}
    names = score_names(record.members().values())
    return {name: known.get(name, unknown._replace(label=name)) for name in names}


def _units(members: Grid) -> dict[str, str]:
    """Return the units of settings."""
    settings = {**catalogue(Problem), **catalogue(Fit), **reads(members[0].design)}
    return {name: setting.about.unit for name, setting in settings.items()}


def _prediction(record: Record) -> pd.DataFrame | None:
    """Return the scores of kernel regression by member number, if the run asked for them."""
    if not record.run.run.get("theory"):
        return None
    if not (record.directory / "prediction.csv").is_file():  # it did not converge
        return pd.DataFrame()
    return read_table(record, "prediction.csv", index_col="member")


def _facts(run: RunFile) -> dict[str, str]:
    """Return how the run was carried out, as texts."""
    axes = {f"axis {name}": ", ".join(map(format_value, values)) for name, values in run.axes.items()}
    plans = run.plans.values()
    chunks = sorted({f"{plan['chunk']} members, {plan['block'] or 'all'} pixels a block" for plan in plans})
    return {
        "command": run.command,
        **axes,
        "device": f"{run.device}, {run.threads} threads",
        "fitting": f"{run.fit_seconds:.1f} s",
        "compiling": f"{run.compile_seconds:.1f} s",
        "chunks": "; ".join(chunks),
        "versions": ", ".join(f"{name} {version}" for name, version in run.versions.items()),
        **({"XLA_FLAGS": run.xla_flags} if run.xla_flags else {}),
        "commit": str(run.git_commit),
        "fingerprint": run.fingerprint,
    }
