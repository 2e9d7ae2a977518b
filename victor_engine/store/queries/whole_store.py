"""Facts about a whole store, for its copies: its last event, its active runs, and its secret answers."""

from __future__ import annotations

import sqlite3
from datetime import datetime

import msgspec

from victor_engine.clock import from_us
from victor_engine.domain.statuses import ACTIVE_RUN_STATUSES
from victor_engine.store import pragmas


class Contents(msgspec.Struct, frozen=True):
    """The contents of a store at one instant.

    `last_event` is the number of its last event, `at` the instant of that event. `secret_keys` are the ids of the
    keys that encrypt its secret answers; the keys themselves are never in a store.
    """

    schema: int
    runs: int
    active_runs: int
    last_event: int
    at: datetime | None
    secret_answers: int
    secret_keys: tuple[str, ...]


def contents(connection: sqlite3.Connection) -> Contents:
    """Return the contents of a store of this or an earlier release. Raise sqlite3.Error if it is not a store."""
    (runs,) = connection.execute("SELECT COUNT(*) FROM runs").fetchone()
    marks = ",".join("?" * len(ACTIVE_RUN_STATUSES))
    (active,) = connection.execute(
        f"SELECT COUNT(*) FROM runs WHERE status IN ({marks})", sorted(ACTIVE_RUN_STATUSES)
    ).fetchone()
    last = connection.execute("SELECT seq, at FROM events ORDER BY seq DESC LIMIT 1").fetchone() or (0, None)
    keys: list[tuple[str, int]] = []
    if has_table(connection, "secret_answers"):
        keys = connection.execute(
            "SELECT key_id, COUNT(*) FROM secret_answers GROUP BY key_id ORDER BY key_id"
        ).fetchall()
    return Contents(
        schema=pragmas.schema_version(connection),
        runs=runs,
        active_runs=active,
        last_event=last[0],
        at=None if last[1] is None else from_us(last[1]),
        secret_answers=sum(count for _, count in keys),
        secret_keys=tuple(key for key, _ in keys),
    )


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Return whether a table exists; stores of earlier releases lack some."""
    found = connection.execute(
        "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)
    )
    return bool(found.fetchone()[0])


def row_counts(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    """Return the number of rows of each table."""
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    ).fetchall()
    return [(name, connection.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0]) for (name,) in names]


def table_bytes(connection: sqlite3.Connection) -> dict[str, int] | None:
    """Return the bytes of each table with its indexes; None if SQLite was built without the table `dbstat`."""
    try:
        return dict(
            connection.execute(
                "SELECT m.tbl_name, SUM(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name"
                " WHERE s.aggregate = 1 GROUP BY m.tbl_name"
            )
        )
    except sqlite3.OperationalError:
        return None


def run_times(connection: sqlite3.Connection) -> tuple[int | None, int | None]:
    """Return the instants of the first and the last run."""
    found: tuple[int | None, int | None] = connection.execute(
        "SELECT (SELECT MIN(created_at) FROM runs), (SELECT MAX(created_at) FROM runs)"
    ).fetchone()
    return found
