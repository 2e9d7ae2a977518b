"""The table of attacks names tests that a run of all tests collects."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs.guides import ROOT

HEAD = "| attack | defence | test |\n|---|---|---|\n"
ROW = re.compile(r"^\| [^|]+ \| [^|]+ \| `(?P<path>tests/[^`]+/test_\w+\.py)::(?P<name>test_\w+)` \|$", re.M)


def collected(path: Path) -> Iterator[str]:
    """Yield the tests that pytest collects from a file, without those that are always skipped."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            marks = {ast.unparse(mark).partition("(")[0] for mark in node.decorator_list}
            if not marks & {"pytest.mark.skip", "pytest.mark.xfail"}:
                yield node.name


def test_each_test_of_the_table_is_collected() -> None:
    table = (ROOT / "docs" / "security.md").read_text("utf-8").partition(HEAD)[2].partition("\n\n")[0]
    rows = ROW.findall(table)
    assert len(rows) == len(table.splitlines()) > 30, "each row has an attack, a defence and a test"
    missing = [f"{path}::{name}" for path, name in rows if name not in collected(ROOT / path)]
    assert not missing
