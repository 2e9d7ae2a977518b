"""Statements stand in the store alone, and each status column has one module that writes it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import victor_engine

ROOT = Path(victor_engine.__file__).parent

WITHOUT_STATEMENTS = (
    "definition",
    "domain",
    "runtime",
    "api",
    "service",
    "cli",
    "engine",
    "scheduler",
    "hitl",
    "versioning",
    "notify",
    "graph",
    "config",
)
"""Packages of the engine that say in no statement what they read or change."""

STATUS_WRITERS = {
    "runs": "store/repositories/runs.py",
    "attempts": "store/repositories/attempts.py",
    "backfills": "store/repositories/backfills.py",
    "fires": "store/repositories/fires.py",
    "schedules": "store/repositories/schedules.py",
    "requests": "store/repositories/requests.py",
}
"""The module that writes the status of a table."""

STATUS_COLUMNS = {"fires": ("outcome",), "schedules": ("removed_at", "vanished", "paused")}
"""The columns from which the status follows, where they are not called `status`."""

_STATEMENT = re.compile(
    r"\s*(SELECT\s.*\sFROM\s|SELECT 1\b|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|"
    r"REPLACE\s+INTO\s|WITH\s+(RECURSIVE\s+)?\w+\s*(\(.*\)\s*)?AS\s|PRAGMA\s|SAVEPOINT\s|ROLLBACK\b|RELEASE\s)",
    re.S,
)
_WRITE = re.compile(r"\b(?:INSERT\s+(?:OR\s+\w+\s+)?INTO|UPDATE)\s+\"?(\w+)\"?\s*(.*)", re.S)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each string of a module, with its line. What an f-string fills in is left out."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts.update(id(value) for value in node.values)
            yield (
                node.lineno,
                "".join(str(v.value) if isinstance(v, ast.Constant) else " {} " for v in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.lineno, node.value


def modules(*under: str) -> Iterator[Path]:
    for name in under:
        yield from sorted((ROOT / name).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("package", WITHOUT_STATEMENTS)
def test_statements_stand_in_the_store(package: str) -> None:
    found = [
        f"{name_of(path)}:{line}: {text[:60]}"
        for path in modules(package)
        for line, text in texts(path)
        if _STATEMENT.match(text)
    ]
    assert not found, "move these into victor_engine/store/repositories or store/queries: " + "; ".join(found)


def sets_status(text: str) -> str | None:
    """Return the table whose column `status` a statement writes."""
    found = _WRITE.search(text)
    if found is None:
        return None
    table, rest = found.groups()
    written = rest.split(" WHERE ")[0] if rest.startswith("SET") else rest.split(")")[0]
    columns = STATUS_COLUMNS.get(table, ("status",))
    return table if re.search(rf"\b({'|'.join(columns)})\b", written) else None


@pytest.mark.parametrize("table", STATUS_WRITERS)
def test_each_status_has_one_writer(table: str) -> None:
    writers = {
        name_of(path) for path in modules(".") for _, text in texts(path) if sets_status(text) == table
    }
    assert writers == {STATUS_WRITERS[table]}


def test_a_writer_of_a_status_is_recognised() -> None:
    assert sets_status("UPDATE runs SET revision = revision + 1, status = ? WHERE key = ?") == "runs"
    assert sets_status("INSERT INTO runs (key, status) VALUES (?, ?)") == "runs"
    assert sets_status("UPDATE runs SET spent = ? WHERE status = 'queued'") is None
    assert sets_status("SELECT status FROM runs") is None
