"""Each notebook runs to its end, and its two files hold the same cells."""

import runpy
from pathlib import Path

import jupytext
import matplotlib
import matplotlib.pyplot as plt
import pytest

NOTEBOOKS = sorted(Path("notebooks").glob("*.py"))
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in jupytext.read(path).cells]


@each
def test_a_notebook_runs_to_its_end(path):
    matplotlib.use("agg")
    runpy.run_path(str(path))
    assert plt.get_fignums()
    plt.close("all")


@each
def test_a_notebooks_two_files_hold_the_same_cells(path):
    executed = path.with_suffix(".ipynb")
    assert cells(path) == cells(executed)
    assert executed.stat().st_size < 400_000


@each
def test_a_notebook_carries_what_its_cells_gave_and_no_error(path):
    outputs = [out for cell in jupytext.read(path.with_suffix(".ipynb")).cells for out in cell.get("outputs", [])]
    assert outputs and all(out.output_type != "error" for out in outputs)
    assert any("image/png" in out.get("data", {}) for out in outputs)
