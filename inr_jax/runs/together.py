"""Members of a run together: the mean prediction of those that differ in their seed alone, a row of together.csv."""

import contextlib
from functools import lru_cache

import numpy as np
import pandas as pd

from inr_jax.fit import member
from inr_jax.fit.design import stack
from inr_jax.fit.metrics import metric_names
from inr_jax.runs.format import unpack
from inr_jax.runs.members import Fitted, Members, read_member, restore_members
from inr_jax.runs.record import Record
from inr_jax.runs.results import open_record, read_table, results_table
from inr_jax.settings import Refused
from inr_jax.sweep.grid import MEASURED, TOGETHER
from inr_jax.sweep.programs import release_programs
from inr_jax.sweep.together import numbered, score_together

# Files whose arrays are kept while groups that share them are read.
KEPT_FILES = 8


def seed_groups(table: pd.DataFrame) -> list[np.ndarray]:
    """Return the rows of members that differ in their seed alone and were fitted to their end, two or more at a time.

    `table` has a row for each member.
    """
    if table["seed"].nunique() < 2:
        return []
    names = [name for name in table.columns[: table.columns.get_loc(MEASURED[0])] if name != "seed"]
    groups = table.groupby(names, sort=False, dropna=False).ngroup().to_numpy()
    return numbered(groups, np.flatnonzero(table["status"] == "ok"))


def together_tables(
    record: Record, members: Members, table: pd.DataFrame, metrics: str = ""
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a row for each of `seed_groups`, scored by the mean of the predictions, and the members' table with that.

    The rows have the columns of the members' table without the seed, and `members`, their number; the index is the
    first member's row. The members' table gets a column for the PSNR of the mean that each takes part in, on held-out
    pixels, or where there are none over all pixels; without a group it stays as it is.
    """
    names, finished, rows, shapes = metric_names(), record.members(), {}, {}
    column, read = pd.Series(np.nan, table.index), lru_cache(maxsize=KEPT_FILES)(unpack)
    with contextlib.suppress(Refused):  # a custom metric that is gone
        names = metric_names(metrics)
    for group in seed_groups(table):
        some = [members.grid[row] for row in group]
        (data, design, hyper, *_), task = some[0], members.task(some[0].data)
        if (design, data) not in shapes:
            release_programs()
            shapes[design, data] = member.shapes(design, hyper, task)
        variables = record.read_variables([finished[members.keys[row]] for row in group], shapes[design, data], read)
        scores = score_together(design, stack([each.hyper for each in some]), task, *variables, names)
        own = table.loc[group[0]].to_dict() | scores | {"seconds": table.loc[group, "seconds"].sum()}
        rows[int(group[0])] = own | {"rms_frequency": None, "members": len(group)}
        column[group] = scores["psnr_all"] if np.isnan(scores["psnr_heldout"]) else scores["psnr_heldout"]
    columns = [*(name for name in table.columns if name != "seed"), "members"]
    found = table.copy(deep=False)
    if rows:
        found.insert(table.columns.get_loc(MEASURED[-1]) + 1, TOGETHER, column)
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns), found


def read_members(record: Record, asked: int | str) -> list[Fitted]:
    """Return the member in that row of results.csv, or the members whose mean is asked for, verified.

    `best` asks for the member with the highest score on held-out pixels, or if there are none on the training pixels,
    `mean` for the members whose mean prediction has the highest, `mean:ROW` for those of the setting in that row.
    Raises Refused where there is none, and Damaged where a file has something else.
    """
    members = restore_members(record)
    if isinstance(asked, int):
        return [read_member(record, asked, members)]
    if asked == "best":
        table = read_table(open_record(record.directory, finished=True))
        return [read_member(record, _best(record, table, asked), members)]
    groups = seed_groups(results_table(record, members))
    row = asked.partition(":")[2]
    first = int(row) if row else _best(record, _read_together(record), asked)
    found = next((group for group in groups if first in group), None)
    if found is None:
        raise Refused(f"--member={asked}: that row has no other seed that was fitted to its end; see together.csv")
    return [read_member(record, row, members) for row in found.tolist()]


def _read_together(record: Record) -> pd.DataFrame:
    """Return together.csv by the rows of the first members. Raises Refused where there is none."""
    if not (record.directory / "together.csv").is_file():
        raise Refused(
            f"--member=mean: no together.csv in {record.directory}: no setting was fitted with several seeds to its "
            "end, or an earlier version wrote the results (python -m experiments.report writes them again)"
        )
    return read_table(record, "together.csv", index_col="member")


def _best(record: Record, table: pd.DataFrame, asked: str) -> int:
    """Return the index with the highest score of those that were fitted to their end."""
    rows = table[table["status"] == "ok"]
    score = "psnr_heldout" if rows["psnr_heldout"].notna().any() else "psnr_train"
    if rows[score].isna().all():
        raise Refused(f"--member={asked}: no member was fitted to its end in {record.directory}")
    return int(rows[score].idxmax())
