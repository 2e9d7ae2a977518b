"""The whole history of requests, for an export."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple


class AskedRequest(NamedTuple):
    """A request as it was put. Instants are in microseconds; `spec` is the question as JSON."""

    key: int
    id: str
    run_id: str
    workflow: str
    version: str
    node_id: str
    iteration: int
    status: str
    outcome: str | None
    created_at: int
    deadline: int | None
    spec: str
    digest: str


def asked_requests(
    connection: sqlite3.Connection,
    *,
    request_id: str | None = None,
    run_id: str | None = None,
    workflow: str | None = None,
    since: int | None = None,
    until: int | None = None,
) -> Iterator[AskedRequest]:
    """Yield the requests that were opened from `since` to before `until`, oldest first."""
    where, values = ["1 = 1"], []
    for clause, value in (
        ("q.id = ?", request_id),
        ("r.id = ?", run_id),
        ("q.workflow = ?", workflow),
        ("q.created_at >= ?", since),
        ("q.created_at < ?", until),
    ):
        if value is not None:
            where.append(clause)
            values.append(value)
    for row in connection.execute(
        "SELECT q.key, q.id, r.id, q.workflow, d.version, q.node_id, q.iteration, q.status, q.outcome,"
        " q.created_at, q.deadline, q.spec, q.digest FROM requests q JOIN runs r ON r.key = q.run_key"
        f" JOIN definitions d ON d.id = r.definition_id WHERE {' AND '.join(where)} ORDER BY q.key",
        values,
    ):
        yield AskedRequest(*row)


def all_votes(connection: sqlite3.Connection, request_key: int) -> list[tuple[str, str, str]]:
    """Return outcome, value (JSON) and comment of each vote on a request, also of those taken back, in order."""
    rows: list[tuple[str, str, str]] = connection.execute(
        "SELECT outcome, value, comment FROM votes WHERE request_key = ? ORDER BY id", (request_key,)
    ).fetchall()
    return rows


def request_events(connection: sqlite3.Connection, request_id: str) -> list[Any]:
    """Return number, instant, kind, actor (JSON) and data (JSON) of each event of a request, in order."""
    rows: list[Any] = connection.execute(
        "SELECT seq, at, kind, actor, data FROM events WHERE request_id = ? AND kind LIKE 'request.%' ORDER BY seq",
        (request_id,),
    ).fetchall()
    return rows
