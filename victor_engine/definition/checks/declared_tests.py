"""The `tests:` of a workflow: dry runs with given results and the way that is expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from victor_engine.definition.dialect_keys import TEST
from victor_engine.definition.reader import Reader

STATUSES = ("succeeded", "failed", "rejected", "unknown")


def check_tests(reader: Reader) -> None:
    """Add a problem for each test that is not one."""
    tests = reader.data.get("tests")
    if tests is None:
        return
    if not isinstance(tests, Mapping) or not all(isinstance(test, Mapping) for test in tests.values()):
        reader.wrong("tests", "a mapping from names to tests")
        return
    for name, test in tests.items():
        inner = Reader(
            test,
            (*reader.path, "tests", name),
            reader.document,
            reader.problems,
            f"{reader.what}: test {name!r}",
        )
        _check(inner)


def _check(test: Reader) -> None:
    for key in test.data:
        if key not in TEST:
            test.problems.error(
                test.key_place(key),
                f"{test.what}: unknown key {key!r}",
                f"Possible here: {', '.join(sorted(TEST))}",
            )
    for key in ("state", "mocks", "outputs"):
        if test.has(key) and not isinstance(test.data[key], Mapping):
            test.wrong(key, "a mapping")
    path: Any = test.data.get("path", [])
    if not isinstance(path, list) or not all(isinstance(node, str) for node in path):
        test.wrong("path", "a list of node ids")
    test.one_of("status", STATUSES, "succeeded")
