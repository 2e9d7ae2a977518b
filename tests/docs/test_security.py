"""The table of attacks names tests that a run of all tests collects."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.docs.attacks import named_tests, not_run, table
from tests.docs.guides import ROOT


def collected(path: Path) -> Iterator[str]:
    """Yield the tests that pytest collects from a file, without those that are always skipped."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            marks = {ast.unparse(mark).partition("(")[0] for mark in node.decorator_list}
            if not marks & {"pytest.mark.skip", "pytest.mark.xfail"}:
                yield node.name


def test_each_test_of_the_table_is_collected() -> None:
    tests = named_tests()
    assert len(tests) == len(table()) > 30, "each row has an attack, a defence and a test"
    places = [test.split("::") for test in tests]
    assert [f"{path}::{name}" for path, name in places if name not in collected(ROOT / path)] == []


def test_the_tests_of_the_table_that_did_not_pass_are_named() -> None:
    first, second, *others = dict.fromkeys(named_tests())
    assert not_run([f"{first}[case]", *others]) == [test for test in named_tests() if test == second]
