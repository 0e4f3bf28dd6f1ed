"""Whether two runs are the same: every member to the bit, and the table but for what the clock says."""

from pathlib import Path

import pandas as pd

from inr_jax.runs.format import unpack
from inr_jax.runs.record import Record
from inr_jax.runs.results import read_table


def members(folder: str | Path) -> dict[str, dict[str, bytes]]:
    """Every member's arrays, by its key."""
    entries = Record(folder).members()
    files = {path: unpack(path) for path in {entry.path for entry in entries.values()}}
    return {
        key: {name: array[entry.row].tobytes() for name, array in files[entry.path].items()}
        for key, entry in entries.items()
    }


def same(folder: str | Path, reference: str | Path) -> None:
    """Assert that a run is what another is, and that nothing of its making is left over."""
    assert members(folder) == members(reference)
    tables = [read_table(Record(each)).drop(columns="seconds") for each in (folder, reference)]
    pd.testing.assert_frame_equal(*tables)
    there = Record(folder).directory
    assert not [path for path in there.rglob(".*") if path.suffix in (".part", ".lock", ".made")]
    assert not list((there / "checkpoints").glob("[!.]*.npz"))
