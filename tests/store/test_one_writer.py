"""Statements stand in the store alone, and each status column has one module that writes it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import victor_engine

ROOT = Path(victor_engine.__file__).parent

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


@cache
def texts(path: Path) -> tuple[tuple[int, str], ...]:
    """Return each string of a module, with its line. What an f-string fills in is left out."""
    parts, found = set(), []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts.update(id(value) for value in node.values)
            text = "".join(str(v.value) if isinstance(v, ast.Constant) else " {} " for v in node.values)
            found.append((node.lineno, text))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            found.append((node.lineno, node.value))
    return tuple(found)


def modules(*under: str) -> Iterator[Path]:
    for name in under:
        yield from sorted((ROOT / name).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def statements(*under: str) -> Iterator[tuple[str, int, str]]:
    """Yield module, line and text of each statement under some folders."""
    for path in modules(*under):
        for line, text in texts(path):
            if _STATEMENT.match(text):
                yield name_of(path), line, text


def test_statements_stand_in_the_store() -> None:
    found = [
        f"{name}:{line}: {text[:60]}" for name, line, text in statements(".") if not name.startswith("store/")
    ]
    assert not found, "move these into victor_engine/store/repositories or store/queries: " + "; ".join(found)


def test_what_changes_a_table_stands_in_the_repositories() -> None:
    elsewhere = {name for name, _, text in statements("store") if _WRITE.search(text)}
    assert {name for name in elsewhere if not name.startswith("store/repositories/")} == {
        "store/db.py",  # the epoch, before there is a transaction
        "store/transaction.py",  # events, which each transition writes
    }


def test_pragmas_stand_in_one_module() -> None:
    assert {name for name, _, text in statements("store") if "PRAGMA" in text} == {"store/pragmas.py"}


def test_numbers_are_given_in_one_place_each() -> None:
    given = [
        (name, table)
        for name, _, text in statements("store")
        for table in re.findall(r"MAX\(\w+\)(?:, 0\))? \+ 1 FROM (\w+)", text)
    ]
    assert given == [("store/transaction.py", "runs")]
    for path in modules("."):
        source = path.read_text("utf-8")
        assert "lastrowid" not in source, f"{name_of(path)}: read the key with RETURNING"
        assert not re.search(r"\b(rowid|last_insert_rowid)\b", source), f"{name_of(path)}: use a column"


def _counts_rows(function: ast.FunctionDef) -> bool:
    """Return whether a function looks at how many rows its statements have changed."""
    return any(
        (isinstance(node, ast.Attribute) and node.attr in ("rowcount", "later"))
        or (isinstance(node, ast.Name) and node.id.startswith("expect_"))
        or (isinstance(node, ast.Constant) and isinstance(node.value, str) and "RETURNING" in node.value)
        for node in ast.walk(function)
    )


def test_each_update_counts_its_rows() -> None:
    careless = {
        f"{name_of(path)}: {function.name}"
        for path in modules("store/repositories")
        for function in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(function, ast.FunctionDef)
        and any(
            isinstance(node, ast.Constant) and str(node.value).lstrip().startswith("UPDATE ")
            for node in ast.walk(function)
        )
        and not _counts_rows(function)
    }
    assert careless == {
        "store/repositories/fires.py: name_zone",  # it may change any number of rows
        "store/repositories/runs.py: set_spent",  # it changes nothing where the value is stored already
    }


@pytest.mark.parametrize("table", ["audit", "audit_chain", "secret_answers"])
def test_a_table_has_one_writer(table: str) -> None:
    changes = re.compile(rf"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+{table}\b")
    writers = {name for name, _, text in statements(".") if changes.search(text)}
    assert writers == {f"store/repositories/{'audit' if table.startswith('audit') else table}.py"}


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
