"""Ids as people type them: whole, or a prefix that only one thing has."""

from __future__ import annotations

import sqlite3

from victor_engine.errors import NotFoundError, UsageError

_SHOWN = 5
"""How many candidates an ambiguous prefix names."""


def _resolve(connection: sqlite3.Connection, sql: str, given: str, thing: str, remedy: str) -> str:
    """The one id that is `given` or begins with it. `sql` selects ids from a half-open range."""
    if given:
        beyond = given + "\U0010ffff"
        found = [str(row[0]) for row in connection.execute(sql, (given, beyond, _SHOWN + 1))]
        if given in found or len(found) == 1:
            return given if given in found else found[0]
        if found:
            named = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
            raise UsageError(f"{thing} {given!r} is not unique: {named}", candidates=found[:_SHOWN])
    raise NotFoundError(f"there is no {thing} {given!r}; `{remedy}` shows what there is")


def run_id(connection: sqlite3.Connection, given: str) -> str:
    """The full id of a run. Raises NotFoundError, or UsageError where several match."""
    sql = "SELECT id FROM runs WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
    return _resolve(connection, sql, given.lower(), "run", "victor scheduler history")


def request_id(connection: sqlite3.Connection, given: str) -> str:
    """The full id of a request. Raises NotFoundError, or UsageError where several match."""
    sql = "SELECT id FROM requests WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
    return _resolve(connection, sql, given.lower(), "request", "victor inbox list")


def schedule_id(connection: sqlite3.Connection, given: str, *, removed: bool = False) -> str:
    """The full id of a schedule; `removed` also finds those that only history knows."""
    where = "" if removed else " AND removed_at IS NULL"
    sql = f"SELECT id FROM schedules WHERE id >= ? AND id < ?{where} ORDER BY id LIMIT ?"
    return _resolve(connection, sql, given, "schedule", "victor scheduler list")
