"""The documentation holds: its Python runs, its examples give what they say, and its pages are all there."""

import doctest
import importlib
import re
import runpy
from pathlib import Path

import pytest

import inr_jax
from inr_jax.fit.design import Fit
from inr_jax.settings import catalogue

PAGES = sorted(Path("docs").glob("*.md"))
EXAMPLES = ["settings", "refused", "fit.design", "tasks.splits", "fit.metrics", "cli.arguments"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_docstrings_give_what_they_say(name):
    found = doctest.testmod(importlib.import_module(f"inr_jax.{name}"))
    assert found.attempted and not found.failed


def test_no_example_of_a_docstring_is_left_out():
    with_examples = {
        ".".join(path.relative_to("inr_jax").with_suffix("").parts)
        for path in Path("inr_jax").rglob("*.py")
        if ">>> " in path.read_text()
    }
    assert with_examples == set(EXAMPLES)


# `tests/sweep/test_custom.py` runs one page's functions; its fits of each are long.
LONG = {"own": pytest.mark.slow}


@pytest.mark.parametrize("path", [pytest.param(p, id=p.stem, marks=LONG.get(p.stem, ())) for p in PAGES])
def test_the_python_of_a_page_runs_as_printed(path, capsys):
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", path.read_text(), re.S):
        exec(code, names)


def test_every_page_is_in_the_site_and_what_it_links_to_is_there():
    listed = set(re.findall(r"([\w/]+\.(?:md|ipynb))$", Path("mkdocs.yml").read_text(), re.M))
    made = {"fields.md", "studies.md"}
    there = {path.name for path in PAGES} | made
    there |= {f"notebooks/{path.name}" for path in Path("notebooks").glob("*.ipynb")}
    assert listed == there
    for path in PAGES:
        for link in re.findall(r"\]\((?!https:)([^)#:]+)[^)]*\)", path.read_text()):
            assert link in there or (Path("docs") / link).is_file(), f"{path}: {link}"


def test_the_api_page_names_what_is_there():
    for name in re.findall(r"^::: inr_jax\.(\S+)", Path("docs/api.md").read_text(), re.M):
        found = inr_jax
        for part in name.split("."):
            found = getattr(found, part, None) or importlib.import_module(f"{found.__name__}.{part}")
        assert found.__doc__


def test_the_api_page_has_every_field_of_a_design_and_of_a_hyper():
    pages = runpy.run_path("docs/pages.py")
    page = pages["on_page_markdown"](Path("docs/api.md").read_text(), None, None, None)
    static, traced = (
        part.partition("\n::: ")[0] for part in re.split(r"^::: inr_jax.(?:Design|Hyper)$", page, flags=re.M)[1:]
    )
    known = catalogue(Fit)
    for table, kind in ((static, False), (traced, True)):
        rows = re.findall(r"^\| `(\w+)` \|.*\S \|", table, re.M)
        assert sorted(rows) == sorted(name for name, setting in known.items() if setting.traced is kind)


def test_the_site_is_complete_without_a_network():
    config = Path("mkdocs.yml").read_text()
    named = re.findall(r"assets/[\w.-]+", config)
    assert len(named) == 2 and all((Path("docs") / path).is_file() for path in named)
    shown = [path.read_text() for path in (*PAGES, *Path("notebooks").glob("*.py"))]
    assert not any(re.search(r"!\[[^]]*\]\(http|<img[^>]*http", text) for text in shown)


def test_the_version_is_one():
    for page, pattern in (("CITATION.cff", r"^version: (.*)$"), ("docs/cite.md", r"version = \{(.*)\}")):
        assert re.search(pattern, Path(page).read_text(), re.M)[1] == inr_jax.__version__
