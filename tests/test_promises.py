"""Every promise names its test."""

import ast
import re
from pathlib import Path

import pytest

PROMISES = re.findall(r"`([\w/]+\.py)::(\w+)`", Path("docs/promises.md").read_text())


@pytest.mark.parametrize("path", sorted({path for path, _ in PROMISES}))
def test_the_tests_that_promises_name_are_there(path):
    module = ast.parse((Path("tests") / path).read_text())
    tests = {node.name for node in module.body if isinstance(node, ast.FunctionDef)}
    assert {name for where, name in PROMISES if where == path} <= tests


def test_every_promise_names_a_test():
    rows = [line for line in Path("docs/promises.md").read_text().splitlines() if line.startswith("| ")]
    rows = [row for row in rows if row != "| promise | test |"]
    assert len(rows) > 40 and all(".py::test_" in row for row in rows)
