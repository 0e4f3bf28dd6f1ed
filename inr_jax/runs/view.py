"""A run folder as the report's view of it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from inr_jax.data.problem import load_task
from inr_jax.report import summary as tables
from inr_jax.report.view import Outcome, RunView
from inr_jax.runs.format import RunFile
from inr_jax.runs.members import Members, network_of, read_outcome
from inr_jax.runs.record import Record
from inr_jax.runs.results import read_pictures, read_table


def view_run(record: Record, members: Members) -> RunView:
    """Return the view of a run whose tables are written."""
    run, finished, (made, keys) = record.run, record.members(), members

    def outcome(row: int) -> Outcome:
        each, entry = made[row], finished[keys[row]]
        read = read_outcome(record, each, entry)
        predict = network_of(each, read).predict
        return Outcome(each.design, each.hyper, load_task(each.data), entry.steps, read.curves, predict)

    def pictures(rows: Sequence[int]) -> dict[int, UInt8[np.ndarray, "..."]]:
        found = read_pictures(record, [keys[row] for row in rows])
        return {row: found[keys[row]] for row in rows}

    return RunView(
        title=f"{run.study}: {run.variant}",
        table=read_table(record),
        baselines=read_table(record, "baselines.csv"),
        prediction=_prediction(record, run),
        settings=run.settings,
        facts=_facts(run),
        chosen_on=run.chosen_on,
        outcome=outcome,
        pictures=pictures,
        target=lambda row: np.asarray(load_task(made[row].data).image),
    )


def _prediction(record: Record, run: RunFile) -> pd.DataFrame | None:
    """The scores of kernel regression by member number, none of them where it did not converge."""
    if not run.run.get("theory"):
        return None
    if not (record.directory / "prediction.csv").is_file():
        return pd.DataFrame()
    return read_table(record, "prediction.csv", index_col="member")


def _facts(run: RunFile) -> dict[str, str]:
    """How the run was carried out, as texts."""
    axes = {f"axis {name}": ", ".join(map(tables.cell, values)) for name, values in run.axes.items()}
    chunks = sorted(
        {f"{plan['chunk']} members, {plan['block'] or 'all'} pixels a block" for plan in run.plans.values()}
    )
    return {
        "command": run.command,
        **axes,
        "device": f"{run.device}, {run.threads} threads",
        "fitting": f"{run.fit_seconds:.1f} s",
        "compiling": f"{run.compile_seconds:.1f} s",
        "chunks": "; ".join(chunks),
        "versions": ", ".join(f"{name} {version}" for name, version in run.versions.items()),
        "commit": str(run.git_commit),
        "fingerprint": run.fingerprint,
    }
