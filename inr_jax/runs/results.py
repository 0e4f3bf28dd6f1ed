"""The results of a run: its table, its training curves, results.nc with both over the axes, and reading them again."""

import contextlib
import csv
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import UInt8

from inr_jax.data.problem import Problem
from inr_jax.fit.curves import Curves
from inr_jax.fit.design import Fit
from inr_jax.fit.metrics import METRICS
from inr_jax.runs import stores
from inr_jax.runs.format import LAYOUT, unpack
from inr_jax.runs.members import Members
from inr_jax.runs.record import Entry, Record, by_file
from inr_jax.runs.stores import Place, write
from inr_jax.settings import Refused, catalogue
from inr_jax.sweep.grid import MEASURED, REMARKS, Grid, Kind
from inr_jax.sweep.study import Study

CURVE_DIMENSIONS = {
    "history_train": ("member", "step"),
    "history_heldout": ("member", "step"),
    "history_bands": ("member", "step", "octave"),
}
# The settings that every reader looks for are the first columns, in this order; all others follow.
FIRST = (
    *("image", "size", "split", "encoding", "frequencies", "scale", "network"),
    *("width", "depth", "learning_rate", "seed", "steps"),
)
# Programs outside rely on these too, whether a member reads them or not. All others stand there where one does.
ALWAYS = (
    *(*FIRST, "resize", "background", "fraction", "split_seed", "validation", "learn_frequencies", "octaves"),
    *("family", "anisotropy", "domain", "omega_0", "init", "output", "precision", "loss", "optimizer"),
    *("weight_decay", "schedule", "pixels"),
)


def results_table(record: Record, members: Members) -> pd.DataFrame:
    """Return a row per member in the grid's order: settings, remarks, outcomes and a note, blank where there is none.

    A member that is neither finished nor known to have failed is `missing`. A score that a member's file lacks is NaN.
    """
    grid, finished, failures = members.grid, record.members(), record.run.failures
    scores = score_names(finished.values())
    remarks = [name for name in REMARKS if any(value is not None for value in grid.remark(name))]
    outcomes = [
        _outcome(finished.get(key), steps, key in failures, scores)
        for key, steps in zip(members.keys, grid.column("steps"), strict=True)
    ]
    # Column by column: a row's dictionary takes ten times as much.
    table = {name: grid.column(name) for name in _columns(_read(grid))}
    table |= {name: grid.remark(name) for name in remarks}
    names = (*MEASURED, *scores, "status", "diverged_at", "seconds")
    table |= {name: list(column) for name, column in zip(names, zip(*outcomes, strict=True), strict=True)}
    notes = [members.notes[kind.like.data] or None for kind in grid.kinds]
    return pd.DataFrame(table | {"note": [notes[kind] for kind in grid.kind]})


def score_names(entries: Any) -> list[str]:
    """Return the names of scores: those of the package's metrics, then custom ones that a finished member has."""
    columns = [about["scores"] for about in {entry.path: entry.about for entry in entries}.values()]
    found = {name for scores in columns for name in scores}
    defined = {name for scores in columns for name, values in scores.items() if np.isfinite(values).any()}
    package = [name for name, metric in METRICS.items() if not metric.optional or name in defined]
    return [*package, *sorted(found - {*METRICS, *MEASURED, "diverged_at"})]


def results_curves(record: Record, keys: Sequence[str]) -> xr.Dataset:
    """Return the training curves of members over the union of their steps; NaN where one was not evaluated."""
    members, rows = record.members(), {key: row for row, key in enumerate(keys)}
    files = by_file({key: members[key] for key in keys if key in members})
    some = {path: group[0][1] for path, group in files.items()}  # a chunk's members share their steps
    axis = np.unique(np.concatenate([np.zeros(0, int), *(entry.steps for entry in some.values())]))
    bands = max((entry.about["bands"] for entry in some.values()), default=0)
    length = {"member": len(keys), "step": len(axis), "octave": bands}
    values = {
        name: np.full([length[dim] for dim in dims], np.nan, np.float32) for name, dims in CURVE_DIMENSIONS.items()
    }
    for path, group in files.items():
        arrays, at = unpack(path), np.searchsorted(axis, some[path].steps)
        places, those = np.asarray([rows[key] for key, _ in group]), [entry.row for _, entry in group]
        for name, curves in values.items():
            read = arrays[f"curves/{name}"][those]
            # A smaller image has fewer octaves.
            curves[np.ix_(places, at, *map(np.arange, read.shape[2:]))] = read
    named = {name: (dims, values[name]) for name, dims in CURVE_DIMENSIONS.items()}
    return xr.Dataset(named, coords={"step": axis, "octave": 2 ** np.arange(bands)})


def results_dataset(study: Study, grid: Grid, table: pd.DataFrame, curves: xr.Dataset) -> xr.Dataset:
    """Return the results over (case, *axes), without a dimension of cases where there is only one.

    Scores of members that diverged or were pruned are NaN, so that they enter no mean; results.csv has them.
    """
    shape = dict(zip(("case", *study.axes), grid.points.shape, strict=True))
    dims = [name for name, length in shape.items() if length > 1 or name in study.axes]
    points = grid.points if "case" in dims else grid.points[0]
    labels: dict[str, Any] = {name: list(values) for name, values in study.axes.items()}
    labels["case"] = [case.get("label", str(number)) for number, case in enumerate(study.cases)]
    labels |= {name: curves[name].to_numpy() for name in ("step", "octave")}
    whole = table["status"] == "ok"
    columns = {name: table[name] for name in (*MEASURED, "seconds")}
    start, stop = (table.columns.get_loc(name) for name in (MEASURED[-1], "status"))
    scores = list(table.columns[start + 1 : stop])
    columns |= {name: table[name].where(whole) for name in scores}
    columns |= {"diverged_at": table["diverged_at"].fillna(-1).astype(int), "status": table["status"].astype(str)}
    variables: dict[str, Any] = {name: (dims, column.to_numpy()[points]) for name, column in columns.items()}
    for name in scores:
        if name in METRICS and METRICS[name].unit:
            variables[name] = (*variables[name], {"units": METRICS[name].unit})
    for name in Curves._fields:
        variables[name] = ((*dims, *curves[name].dims[1:]), curves[name].to_numpy()[points])
    coords = {name: labels[name] for name in (*dims, "step", "octave")}
    settings = {name: value for name, value in study.settings.items() if name not in study.axes}
    return xr.Dataset(variables, coords, {"study": study.name, "settings": json.dumps(settings, default=str)})


def write_table(record: Record, table: pd.DataFrame, name: str = "results.csv") -> None:
    """Write a table of the run as CSV."""
    text = table.to_csv(index=False, quoting=csv.QUOTE_MINIMAL, float_format="%.8g")
    write(record.directory / name, text.encode())


def read_table(record: Record, name: str = "results.csv", **options: Any) -> pd.DataFrame:
    """Read a table of the run, with pandas' options."""
    # "None", "NA" or "1" may be a text setting; only blank is nothing.
    settings = {**catalogue(Problem), **catalogue(Fit)}
    texts = [name for name, setting in settings.items() if isinstance(setting.default, str)]
    options = {"keep_default_na": False, "na_values": [""], "dtype": dict.fromkeys([*texts, "note"], object)} | options
    return pd.read_csv(stores.as_file(record.directory / name), **options)


def write_dataset(record: Record, dataset: xr.Dataset) -> None:
    """Write results.nc."""
    with contextlib.ExitStack() as stack:
        if stores.is_local(record.directory):
            path = record.directory / ".results.nc.made"
            stack.callback(path.unlink, missing_ok=True)
        else:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "results.nc"
        dataset.to_netcdf(path, engine="h5netcdf")
        write(record.directory / "results.nc", path.read_bytes())


def total_seconds(record: Record) -> dict[str, float]:
    """Return the seconds of compiling and of fitting, over all finished chunks."""
    abouts = {entry.path: entry.about for entry in record.members().values()}.values()
    return {
        "compile_seconds": round(math.fsum(about["compile_seconds"] for about in abouts), 3),
        "fit_seconds": round(math.fsum(about["seconds"] for about in abouts), 3),
    }


def read_pictures(record: Record, keys: Sequence[str]) -> dict[str, UInt8[np.ndarray, "..."]]:
    """Return the pictures of finished members by key; each file is read once, and its other arrays are not."""
    members = record.members()
    found: dict[str, np.ndarray] = {}
    for path, group in by_file({key: members[key] for key in keys}).items():
        pictures = unpack(path, ["picture"])["picture"]
        found |= {key: pictures[entry.row] for key, entry in group}
    return found


def open_record(directory: str | Place, finished: bool = False) -> Record:
    """Open a run folder. Raises Refused where there is no run, or, if it must be `finished`, no results."""
    record = Record(directory)
    run = record.run
    if not run:
        raise Refused(f"{str(directory)!r} is no run folder: it has no run.json")
    if run.layout != LAYOUT:
        raise Refused(f"{record.directory} was written by another version; the sweep's command fits its members again")
    if finished and not (run.finished and (record.directory / "results.csv").is_file()):
        raise Refused(f"{record.directory} is not finished; the sweep's command resumes it")
    return record


def open_run(directory: str | Place) -> xr.Dataset:
    """Open the results of a run folder, labelled with the axes that were swept: scores, status, training curves.

    `open_run(DIR).psnr_heldout.mean("seed").idxmax("scale")` is the best scale. Raises Refused where there are none.
    """
    record = open_record(directory, finished=True)
    return xr.load_dataset(stores.as_file(record.directory / "results.nc"), engine="h5netcdf")


def _read(grid: Grid) -> list[str]:
    """The names of settings that a member reads, and of those that are always there."""

    def reads(kind: Kind, name: str) -> bool:
        return name in kind.swept or kind.like.settings.get(name) is not None

    return [name for name in grid.names() if name in ALWAYS or any(reads(kind, name) for kind in grid.kinds)]


def _columns(names: Sequence[str]) -> list[str]:
    """The names of settings in the order of results.csv."""
    package = {**catalogue(Problem), **catalogue(Fit)}
    known = [name for name in package if name in names and name not in FIRST]
    return [*FIRST, *known, *(name for name in names if name not in package)]


def _outcome(entry: Entry | None, steps: int, failed: bool, scores: Sequence[str]) -> tuple:
    """The outcome of a member: measured values, scores, status, the step at which it diverged, and its seconds."""
    if entry is None:
        return *[np.nan] * len((*MEASURED, *scores)), "failed" if failed else "missing", None, np.nan
    found = entry.scores
    diverged_at = found["diverged_at"]
    values = (found.get(name, np.nan) for name in (*MEASURED, *scores))
    return *values, entry.status(steps), diverged_at if diverged_at >= 0 else None, entry.seconds
