"""Queries of the log of a run."""

from __future__ import annotations

import sqlite3
from typing import Any

from victor_engine.api import (
    LogLine,
)
from victor_engine.clock import from_us
from victor_engine.store.queries import ids
from victor_engine.store.queries.conversions import like


def log_size(connection: sqlite3.Connection, run_id: str) -> tuple[int, int]:
    """Return the lines and bytes of a run's log."""
    lines, size = connection.execute(
        "SELECT COUNT(*), COALESCE(SUM(length(CAST(text AS BLOB))), 0) FROM logs"
        " WHERE run_key = (SELECT key FROM runs WHERE id = ?)",
        (run_id,),
    ).fetchone()
    return lines, size


def run_log(
    connection: sqlite3.Connection,
    run_id: str,
    after: int = 0,
    limit: int = 2000,
    node_id: str | None = None,
    text: str | None = None,
) -> list[LogLine]:
    """Log lines of a run with a number above `after`, oldest first.

    `node_id` also means the members of a team (`team.member`); `text` is found whatever its case.
    """
    full = ids.run_id(connection, run_id)
    (key,) = connection.execute("SELECT key FROM runs WHERE id = ?", (full,)).fetchone()
    only = ""
    values: list[Any] = [key, after]
    if node_id is not None:
        only += " AND (a.node_id = ? OR substr(a.node_id, 1, ?) = ?)"
        values += [node_id, len(node_id) + 1, f"{node_id}."]
    if text:
        only += " AND l.text LIKE ? ESCAPE '\\'"
        values.append(like(text))
    rows = connection.execute(
        "SELECT l.id, l.at, a.node_id, a.number, l.stream, l.text FROM logs l"
        f" LEFT JOIN attempts a ON a.id = l.attempt_id WHERE l.run_key = ? AND l.id > ?{only}"
        " ORDER BY l.id LIMIT ?",
        [*values, max(0, limit)],
    )
    return [
        LogLine(seq=seq, at=from_us(at), node_id=node or "", attempt=number or 0, stream=stream, text=line)
        for seq, at, node, number, stream, line in rows
    ]
