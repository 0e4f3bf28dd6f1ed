"""A run folder as the report reads it, its results as text, and the report written into it."""

import contextlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from inr_jax.data.problem import Problem, load_task
from inr_jax.fit import member as fit
from inr_jax.fit.design import Fit, reads
from inr_jax.fit.metrics import METRICS, Metric, column
from inr_jax.report.page import render_report
from inr_jax.report.text import describe_spread, find_best, format_baselines, format_table, format_value
from inr_jax.report.view import MemberView, RunView
from inr_jax.runs.record import Kept, Learned, Record
from inr_jax.runs.stores import write
from inr_jax.settings import Refused, catalogue
from inr_jax.sweep.fits import Network
from inr_jax.sweep.grid import Member


def write_report(record: Record, members: Sequence[Member], keys: Sequence[str]) -> None:
    """Write report.html and figures/, and remove figures that the run had before it was extended."""
    names = set()
    for name, contents in render_report(view_run(record, members, keys)):
        write(record.directory / name, contents)
        names.add(name)
    for path in (record.directory / "figures").glob("[!.]*.*"):
        if path.suffix in (".png", ".svg") and f"figures/{path.name}" not in names:
            path.unlink(missing_ok=True)


def view_run(record: Record, members: Sequence[Member], keys: Sequence[str]) -> RunView:
    """Return the view of a run whose tables are written; `keys` are those of its members."""
    run, kept = record.run, record.kept()
    table, chosen_on = reported_members(record.csv("results.csv"))

    def member(row: int) -> MemberView:
        return _view_member(members[row], kept[keys[row]], read_learned(record, kept[keys[row]], members[row]))

    def pictures(rows: Sequence[int]) -> dict[int, UInt8[np.ndarray, "..."]]:
        found = record.pictures([keys[row] for row in rows])
        return {row: found[keys[row]] for row in rows}

    return RunView(
        title=f"{run['study']}: {run['variant']}",
        table=table,
        metrics=_metrics(record),
        baselines=record.csv("baselines.csv"),
        prediction=_prediction(record),
        settings=run["identity"]["settings"],
        units=_units(members),
        facts=_facts(record),
        chosen_on=chosen_on,
        member=member,
        pictures=pictures,
        target=lambda row: np.asarray(load_task(members[row].data).image),
    )


def results_text(record: Record) -> str:
    """Return the results for a terminal: the table, the meaning of ±, the baselines, and the best setting."""
    table, chosen_on = reported_members(record.csv("results.csv"))
    summary, best, finding = find_best(table, chosen_on, _metrics(record))
    lines = [format_table(summary, best), f"({describe_spread(table)})", format_baselines(record.csv("baselines.csv"))]
    return "\n".join(filter(None, [*lines, finding]))


def read_learned(record: Record, place: Kept, member: Member) -> Learned:
    """Return what a finished member learned, verified. Raises Damaged if the file holds something else."""
    return record.learned(place, fit.shapes(member.design, member.hyper, load_task(member.data)))


def _view_member(member: Member, place: Kept, learned: Learned) -> MemberView:
    task = load_task(member.data)
    network = Network(member.design, member.hyper, learned.params, learned.data, len(task.grid), task.channels)
    return MemberView(network, task, place.steps, learned.curves)


def _metrics(record: Record) -> dict[str, Metric]:
    """Return the metrics of the score columns; a custom one that cannot be imported is shown without a unit."""
    custom = {}
    for name in filter(None, map(str.strip, record.run["run"].get("metrics", "").split(","))):
        with contextlib.suppress(Refused):
            custom[column(name)] = METRICS.find(name)
    unknown, known = METRICS["ssim"]._replace(unit="", digits=4), {**METRICS, **custom}
    return {name: known.get(name, unknown._replace(label=name)) for name in record.scores()}


def _units(members: Sequence[Member]) -> dict[str, str]:
    """Return the units of settings."""
    settings = {**catalogue(Problem), **catalogue(Fit), **reads(members[0].design)}
    return {name: setting.about.unit for name, setting in settings.items()}


def reported_members(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the members that a study reports, and the data that chose their settings: of two stages the second's."""
    if "stage" not in table:
        return table, ""
    second = table["stage"] == table["stage"].max()
    first, last = table[~second].drop(columns="stage"), table[second].drop(columns="stage")
    if first.empty:
        return last, ""
    if (first["validation"] > 0).all() and (last["validation"] == 0).all():
        return last, "a validation part of the training pixels"
    return last, "" if set(first["image"]) & set(last["image"]) else "other images"


def _prediction(record: Record) -> pd.DataFrame | None:
    """Return the scores of kernel regression by member number, if the run asked for them."""
    if not record.run["run"].get("theory"):
        return None
    if not (record.directory / "prediction.csv").is_file():  # it did not converge
        return pd.DataFrame()
    return record.csv("prediction.csv", index_col="member")


def _facts(record: Record) -> dict[str, str]:
    """Return how the run was carried out, as texts."""
    run = record.run
    axes = {f"axis {name}": ", ".join(map(format_value, values)) for name, values in run["axes"].items()}
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
