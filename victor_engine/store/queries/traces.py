"""What the traces of an engine show: the ended runs, and their attempts."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from victor_engine.store.queries.events import last_event


class EndedRun(NamedTuple):
    """An end of a run, which can have been retried since. `error` is JSON.

    Instants are in microseconds; `since` is when it ended before, 0 if it did not.
    """

    seq: int
    key: int
    id: str
    workflow: str
    version: str
    status: str
    trigger: str
    schedule: str | None
    parent: str | None
    begun: int
    ended: int
    since: int
    error: str | None


class EndedAttempt(NamedTuple):
    """An attempt that ended. `error` is JSON."""

    id: int
    node: str
    type: str
    iteration: int
    number: int
    status: str
    begun: int
    ended: int
    binding: str | None
    error: str | None


def ended_runs(connection: sqlite3.Connection, after: int, limit: int) -> tuple[list[EndedRun], int]:
    """Return the runs that ended among the next `limit` events after a number, and how far the events are read."""
    until = min(after + limit, last_event(connection))
    rows = connection.execute(
        "SELECT e.seq, r.key, r.id, r.workflow, d.version, json_extract(e.data, '$.status'), r.trigger,"
        " r.schedule_id, p.id, COALESCE(r.started_at, r.created_at), e.at,"
        " COALESCE((SELECT MAX(f.at) FROM events f WHERE f.run_key = r.key"
        " AND f.kind = 'run.finished' AND f.seq < e.seq), 0), json_extract(e.data, '$.error')"
        " FROM events e JOIN runs r ON r.key = e.run_key JOIN definitions d ON d.id = r.definition_id"
        " LEFT JOIN runs p ON p.key = r.parent_key"
        " WHERE e.seq > ? AND e.seq <= ? AND e.kind = 'run.finished' ORDER BY e.seq",
        (after, until),
    )
    return [EndedRun(*row) for row in rows], until


def ended_attempts(connection: sqlite3.Connection, run: EndedRun, limit: int) -> list[EndedAttempt]:
    """Return the attempts that ended after the end before this one, up to this one, in their order, at most `limit`."""
    rows = connection.execute(
        "SELECT id, node_id, node_type, iteration, number, status, started_at, finished_at, binding, error FROM attempts"
        " WHERE run_key = ? AND finished_at > ? AND finished_at <= ? ORDER BY id LIMIT ?",
        (run.key, run.since, run.ended, limit),
    )
    return [EndedAttempt(*row) for row in rows]
