"""Whether two runs are the same: every member to the bit, and the table but for what the clock says."""

from pathlib import Path

import pandas as pd

from inr_jax.runs import record as records
from inr_jax.runs.record import Record


def members(folder: str | Path) -> dict[str, dict[str, bytes]]:
    """Every member's arrays, by its key."""
    record, arrays = Record(folder), {}
    for path in {kept.path for kept in record.kept().values()}:
        arrays[path] = records.unpack(path)
    return {
        key: {name: array[kept.place].tobytes() for name, array in arrays[kept.path].items()}
        for key, kept in record.kept().items()
    }


def same(folder: str | Path, reference: str | Path) -> None:
    """Assert that a run is what another is, and that nothing of its making is left over."""
    assert members(folder) == members(reference)
    tables = [Record(each).csv("results.csv").drop(columns="seconds") for each in (folder, reference)]
    pd.testing.assert_frame_equal(*tables)
    there = Record(folder).directory
    assert not [path for path in there.rglob(".*") if path.suffix in (".part", ".lock", ".made")]
    assert not list((there / "checkpoints").glob("[!.]*.npz"))
