"""A run folder as the report's view of it, and the report written into the folder."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from inr_jax.data.problem import load_task
from inr_jax.fit import member as fit
from inr_jax.report import summary as tables
from inr_jax.report.page import render_report
from inr_jax.report.view import Outcome, RunView
from inr_jax.runs.record import Kept, Learned, Record
from inr_jax.runs.stores import write
from inr_jax.sweep.fits import Network
from inr_jax.sweep.grid import Member


def write_report(record: Record, members: Sequence[Member], keys: Sequence[str]) -> None:
    """Write report.html and figures/; figures that the run had before it was extended are removed."""
    names = set()
    for name, contents in render_report(view_run(record, members, keys)):
        write(record.directory / name, contents)
        names.add(name)
    for path in (record.directory / "figures").glob("[!.]*.*"):
        if path.suffix in (".png", ".svg") and f"figures/{path.name}" not in names:
            path.unlink(missing_ok=True)


def view_run(record: Record, members: Sequence[Member], keys: Sequence[str]) -> RunView:
    """Return the view of a run whose tables are written; `keys` are its members' in order."""
    run, kept, table = record.run, record.kept(), record.csv("results.csv")

    def outcome(row: int) -> Outcome:
        member, place = members[row], kept[keys[row]]
        return member_outcome(member, place, read_learned(record, place, member))

    def pictures(rows: Sequence[int]) -> dict[int, UInt8[np.ndarray, "..."]]:
        found = record.pictures([keys[row] for row in rows])
        return {row: found[keys[row]] for row in rows}

    return RunView(
        title=f"{run['study']}: {run['variant']}",
        table=table,
        baselines=record.csv("baselines.csv"),
        prediction=_prediction(record),
        settings=run["identity"]["settings"],
        facts=_facts(record),
        chosen_on=tables.chooser(table),
        outcome=outcome,
        pictures=pictures,
        target=lambda row: np.asarray(load_task(members[row].data).image),
    )


def read_learned(record: Record, place: Kept, member: Member) -> Learned:
    """Return a finished member's arrays, verified. Raises Damaged if the file holds something else."""
    return record.learned(place, fit.shapes(member.design, member.hyper, load_task(member.data)))


def member_outcome(member: Member, place: Kept, learned: Learned) -> Outcome:
    """Return a finished member's outcome."""
    task = load_task(member.data)
    network = Network(member.design, member.hyper, learned.params, learned.data, len(task.grid), task.channels)
    return Outcome(member.design, member.hyper, task, place.steps, learned.curves, network.predict)


def _prediction(record: Record) -> pd.DataFrame | None:
    """The scores of kernel regression by member number, none of them where it did not converge."""
    if not record.run["run"].get("theory"):
        return None
    if not (record.directory / "prediction.csv").is_file():
        return pd.DataFrame()
    return record.csv("prediction.csv", index_col="member")


def _facts(record: Record) -> dict[str, str]:
    """How the run was carried out, as texts."""
    run = record.run
    axes = {f"axis {name}": ", ".join(map(tables.cell, values)) for name, values in run["axes"].items()}
    plans = run.get("plans", {}).values()
    chunks = sorted({f"{plan['chunk']} members, {plan['block'] or 'all'} pixels a block" for plan in plans})
    return {
        "command": run["command"],
        **axes,
        "device": f"{run['device']}, {run['threads']} threads",
        "fitting": f"{run['fit_seconds']:.1f} s",
        "compiling": f"{run['compile_seconds']:.1f} s",
        "chunks": "; ".join(chunks),
        "versions": ", ".join(f"{name} {version}" for name, version in run["versions"].items()),
        "commit": str(run["git_commit"]),
        "fingerprint": run["fingerprint"],
    }
