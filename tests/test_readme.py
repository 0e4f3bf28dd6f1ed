"""The README holds: its Python runs as printed, and its rooms are the folders that are there."""

import re
from pathlib import Path

import numpy as np
import pytest

import inr_jax as inr
from inr_jax.cli.studies import load_module

README = Path("README.md").read_text()
FINDINGS = Path("experiments/README.md").read_text()


def test_the_python_of_the_readme_runs_as_printed(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    # Smaller, or it would take minutes; everything else as printed.
    small = code.replace("size=256", "size=32").replace("steps=500", "steps=20").replace("width=256", "width=32")
    assert small != code
    names = {}
    exec(small, names)
    assert names["fits"].psnr_heldout.shape == (18,) and np.isfinite(names["fits"].psnr_heldout).all()
    curve = inr.scale_curve(names["design"], [1, 2, 4, 8, 16, 32], names["task"])
    assert curve.psnr_heldout.shape == (6,) and curve.psnr_heldout[0] > curve.psnr_heldout[-1]


def test_the_readme_is_a_first_page():
    assert len(README.splitlines()) <= 120


def test_the_rooms_of_the_readme_are_the_folders_that_are_there():
    listed = re.findall(r"^\| `(inr_jax/\w+/)` \|", README, re.M)
    assert sorted(listed) == sorted(f"{path.parent}/" for path in Path("inr_jax").glob("*/__init__.py"))


def test_the_files_that_the_readme_says_to_read_are_there():
    linked = re.findall(r"\((inr_jax/[\w/]+\.py)\)", README)
    assert len(linked) == 5 and all(Path(path).is_file() for path in linked)


def test_every_study_of_the_readme_is_there_and_every_study_is_in_the_readme():
    linked = set(re.findall(r"\(experiments/configs/(\w+\.py)\)", README))
    assert linked == {path.name for path in Path("experiments/configs").glob("*.py")}


@pytest.mark.parametrize("path", sorted(Path("experiments/configs").glob("*.py")), ids=lambda path: path.stem)
def test_every_study_has_its_command_and_its_table_among_the_findings(path):
    (section,) = re.findall(rf"^## `{path.name}`.*?\n(.*?)(?=^## |\Z)", FINDINGS, re.S | re.M)
    commands = re.findall(rf"python -m experiments.sweep --config={path}(?::(\w+))?", section)
    assert commands and set(filter(None, commands)) <= set(load_module(str(path)).VARIANTS)
    assert re.search(r"^\|---", section, re.M)


def test_every_picture_that_is_shown_is_there_and_every_picture_there_is_shown():
    shown = set(re.findall(r"\((?:\.\./)?(docs/[^)]+\.png)\)", README + FINDINGS))
    pages = "".join(path.read_text() for path in Path("docs").glob("*.md"))
    shown |= {f"docs/{name}" for name in re.findall(r"\((\w+\.png)\)", pages)}
    assert shown == {str(path) for path in Path("docs").glob("*.png")}


def test_nothing_is_left_to_be_filled_in():
    for text in (README, FINDINGS, *(path.read_text() for path in Path("experiments/configs").glob("*.py"))):
        assert not re.findall(r"NOT YET|TODO|TO BE [A-Z]|[A-Z]+(?:MIN|MEAN|FINDING|SECTION)\b", text)
