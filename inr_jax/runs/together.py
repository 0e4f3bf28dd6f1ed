"""Members of a run together: rows of results.csv for the mean prediction of those that differ in their seed alone."""

import contextlib

import numpy as np
import pandas as pd

from inr_jax.fit import member
from inr_jax.fit.design import stack
from inr_jax.fit.metrics import metric_names
from inr_jax.runs.members import Fitted, Members, read_member, restore_members
from inr_jax.runs.record import Record
from inr_jax.runs.results import open_record, read_table, results_table
from inr_jax.settings import Refused
from inr_jax.sweep.grid import MEASURED
from inr_jax.sweep.together import numbered, score_together

# The column that says how many members a row is the mean of; blank for a member's own.
COLUMN = "together"


def seed_groups(table: pd.DataFrame) -> list[np.ndarray]:
    """Return the rows of members that differ in their seed alone and were fitted to their end, two or more at a time.

    `table` has a row for each member.
    """
    if table["seed"].nunique() < 2:
        return []
    names = [name for name in table.columns[: table.columns.get_loc(MEASURED[0])] if name != "seed"]
    groups = table.groupby(names, sort=False, dropna=False).ngroup().to_numpy()
    return numbered(groups, np.flatnonzero(table["status"] == "ok"))


def together_table(record: Record, members: Members, table: pd.DataFrame, metrics: str = "") -> pd.DataFrame:
    """Return a row for each of `seed_groups`, scored by the mean of the predictions.

    It has the columns of the members' table, with a blank `seed`, and `together`, the number of members.
    """
    names, finished, rows, shapes = metric_names(), record.members(), [], {}
    with contextlib.suppress(Refused):  # a custom metric that is gone
        names = metric_names(metrics)
    for group in seed_groups(table):
        some = [members.grid[row] for row in group]
        (data, design, hyper, *_), task = some[0], members.task(some[0].data)
        if (design, data) not in shapes:
            shapes[design, data] = member.shapes(design, hyper, task)
        variables = record.read_variables([finished[members.keys[row]] for row in group], shapes[design, data])
        scores = score_together(design, stack([each.hyper for each in some]), task, *variables, names)
        row = table.loc[group[0]].to_dict() | scores | {"seconds": table.loc[group, "seconds"].sum()}
        rows.append(row | {"seed": None, "rms_frequency": None, COLUMN: len(group)})
    return pd.DataFrame(rows, columns=[*table.columns, COLUMN])


def read_results(record: Record) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read results.csv: the rows of members, and those of members together."""
    table = read_table(record)
    if COLUMN not in table:
        return table, table.iloc[:0]
    joint = table[COLUMN].notna()
    return table[~joint].drop(columns=COLUMN).astype({"seed": int}), table[joint]


def read_members(record: Record, asked: int | str) -> list[Fitted]:
    """Return the member in that row of results.csv, or the members that the row is the mean of, verified.

    `best` asks for the member with the highest score on held-out pixels, or if there are none on the training pixels,
    `mean` for the members whose mean prediction has the highest. Raises Refused where there is none, and Damaged where
    a file has something else.
    """
    members = restore_members(record)
    count = len(members.keys)
    if isinstance(asked, str):
        asked = _best_row(record, asked)
    if asked < count:
        return [read_member(record, asked, members)]
    groups = seed_groups(results_table(record, members))
    if asked >= count + len(groups):
        raise Refused(f"--member={asked} is not there: {record.directory} has rows 0 to {count + len(groups) - 1}")
    return [read_member(record, row, members) for row in groups[asked - count]]


def _best_row(record: Record, asked: str) -> int:
    """Return the row with the highest score of the members', or of their means."""
    alone, together = read_results(open_record(record.directory, finished=True))
    rows = {"best": alone, "mean": together}[asked]
    rows = rows[rows["status"] == "ok"]
    score = "psnr_heldout" if rows["psnr_heldout"].notna().any() else "psnr_train"
    if rows[score].isna().all():
        missing = "no setting was fitted with several seeds" if asked == "mean" else "no member was fitted"
        raise Refused(f"--member={asked}: {missing} to its end in {record.directory}")
    return int(rows[score].idxmax())
