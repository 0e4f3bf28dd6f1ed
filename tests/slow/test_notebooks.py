"""Each notebook runs to its end, its two files hold the same cells, and a browser shows what they gave."""

import re
import runpy
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest

from tests.slow import browser

jupytext = pytest.importorskip("jupytext")

pytestmark = pytest.mark.figures

NOTEBOOKS = sorted(Path("notebooks").glob("*.py"))
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in jupytext.read(path).cells]


@each
def test_a_notebook_runs_to_its_end(path, monkeypatch):
    monkeypatch.setenv("INR_JAX_FAST", "1")
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


@each
def test_a_notebook_opens_in_colab_and_installs_nothing_that_is_there(path):
    text = path.read_text()
    (badge,) = re.findall(r"\(https://colab\.research\.google\.com/github/\S+?/blob/main/(\S+)\)", text)
    assert badge == str(path.with_suffix(".ipynb"))
    install = next(source for kind, source in cells(path) if kind == "code")
    assert 'find_spec("inr_jax") is None' in install and "--upgrade" not in install and '"jax' not in install


@browser.needed
@pytest.mark.filterwarnings("default")
def test_a_browser_shows_every_picture_of_a_rendered_notebook(tmp_path):
    from nbconvert import HTMLExporter

    path = Path("notebooks/02_scale_against_psnr.ipynb")
    page, _ = HTMLExporter(template_name="basic").from_filename(str(path))
    copy = tmp_path / "notebook.html"
    copy.write_text(f"<!doctype html><html><body>{page}</body></html>")
    own = '[...document.images].filter((image) => image.src.startsWith("data:"))'
    widths = browser.found(copy, f"return {own}.map((image) => image.naturalWidth);")
    pictures = sum(
        "image/png" in out.get("data", {}) for cell in jupytext.read(path).cells for out in cell.get("outputs", [])
    )
    assert len(widths) == pictures >= 2 and min(widths) > 100
