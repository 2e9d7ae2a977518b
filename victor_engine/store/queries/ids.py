"""Ids as people type them: whole, or a prefix that only one thing has.

A schedule may also be called by its workflow's name where the workflow has no other one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Protocol

from victor_engine.errors import NotFoundError, UsageError
from victor_engine.store.repositories.run_rows import RunRef, find_ref

_SHOWN = 5
"""The number of candidates that the error of an ambiguous prefix lists."""


class Source(Protocol):
    """A connection or a transaction, for reading."""

    def execute(self, sql: str, parameters: Any = (), /) -> Any: ...


def _resolve(source: Source, sql: str, given: str, thing: str, remedy: str) -> str:
    """Return the only id that is `given` or begins with it. `sql` selects ids from a half-open range."""
    found = _candidates(source, sql, given)
    if given in found:
        return given
    return _only(found, given, thing, remedy)


def _candidates(source: Source, sql: str, given: str) -> list[str]:
    if not given:
        return []
    return [str(row[0]) for row in source.execute(sql, (given, given + "\U0010ffff", _SHOWN + 1))]


def _only(found: list[str], given: str, thing: str, remedy: str) -> str:
    if len(found) == 1:
        return found[0]
    if found:
        named = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
        raise UsageError(f"{thing} {given!r} is not unique: {named}", candidates=found[:_SHOWN])
    raise NotFoundError(f"{thing} {given!r} does not exist; `{remedy}` lists the existing ones")


def run_id(connection: Source, given: str) -> str:
    """Return the full id of a run. Raise NotFoundError, or UsageError if several match."""
    sql = "SELECT id FROM runs WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
    return _resolve(connection, sql, given.lower(), "run", "victor runs list")


def run_ref(connection: sqlite3.Connection, given: str) -> RunRef:
    """Return the reference of a run for transitions. `given` is its id or a unique prefix of it."""
    full = run_id(connection, given)
    found = find_ref(connection, full)
    assert found is not None
    return found


def run_keys(connection: Source, run_ids: Iterable[str]) -> dict[str, int]:
    """Return the key of each existing run, by its whole id."""
    found = {}
    for run in run_ids:
        row = connection.execute("SELECT key FROM runs WHERE id = ?", (run,)).fetchone()
        if row is not None:
            found[run] = int(row[0])
    return found


def request_id(connection: Source, given: str) -> str:
    """Return the full id of a request. Raise NotFoundError, or UsageError if several match."""
    sql = "SELECT id FROM requests WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
    return _resolve(connection, sql, given.lower(), "request", "victor inbox list")


def batch_id(connection: Source, given: str) -> str:
    """Return the full id of a batch of migrations. Raise NotFoundError, or UsageError if several match."""
    sql = (
        "SELECT DISTINCT batch FROM (SELECT batch FROM run_migrations UNION SELECT batch FROM schedule_moves)"
        " WHERE batch >= ? AND batch < ? ORDER BY batch LIMIT ?"
    )
    return _resolve(connection, sql, given.lower(), "batch of migrations", "victor versions history")


def schedule_id(source: Source, given: str, *, removed: bool = False) -> str:
    """The full id of a schedule; `removed` also finds those that only history knows.

    Raises NotFoundError, or UsageError where several match.
    """
    where = "" if removed else " AND removed_at IS NULL"
    sql = f"SELECT id FROM schedules WHERE id >= ? AND id < ?{where} ORDER BY id LIMIT ?"
    found = _candidates(source, sql, given)
    if given in found:
        return given
    if not found:
        sql = f"SELECT id FROM schedules WHERE workflow = ?{where} ORDER BY id LIMIT ?"
        found = [str(row[0]) for row in source.execute(sql, (given, _SHOWN + 1))]
    return _only(found, given, "schedule", "victor scheduler list")
