"""Queries of the event log: pages for display, and the newest events for the feed."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from victor_engine.api import EventInfo, EventQuery
from victor_engine.clock import from_us, to_us
from victor_engine.events import DETAILS, EventKind
from victor_engine.store.db import Tx, actor_from_json
from victor_engine.store.queries import ids
from victor_engine.store.queries.conversions import json_or, like, marks

_WORKFLOW = "COALESCE(e.workflow, r.workflow)"
_SELECT = (
    "SELECT e.seq, e.at, e.kind, e.actor, r.id, e.schedule_id, e.request_id, "
    f"{_WORKFLOW}, e.node_id, e.data"
    " FROM events e LEFT JOIN runs r ON r.key = e.run_key"
)


def events(connection: sqlite3.Connection, query: EventQuery) -> list[EventInfo]:
    """Return a page of events, newest first."""
    where, values = conditions(connection, query)
    if query.before_seq is not None:
        where.append("e.seq < ?")
        values.append(query.before_seq)
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    rows = connection.execute(
        f"{_SELECT}{condition} ORDER BY e.seq DESC LIMIT ?", [*values, max(0, query.limit)]
    )
    return [_info(row) for row in rows]


def conditions(connection: sqlite3.Connection, query: EventQuery) -> tuple[list[str], list[Any]]:
    """Return the conditions of a query on an event `e` and its run `r`, without its page."""
    where: list[str] = []
    values: list[Any] = []

    def add(clause: str, *given: Any) -> None:
        where.append(clause)
        values.extend(given)

    if query.kinds:
        parts = []
        for kind in query.kinds:
            parts.append("e.kind LIKE ? ESCAPE '\\'" if kind.endswith(".") else "e.kind = ?")
            values.append(like(kind)[1:] if kind.endswith(".") else kind)
        where.append(f"({' OR '.join(parts)})")
    if query.run_id is not None:
        full = ids.run_id(connection, query.run_id)
        add("e.run_key = (SELECT key FROM runs WHERE id = ?)", full)
    if query.schedule_id is not None:
        add("e.schedule_id = ?", ids.schedule_id(connection, query.schedule_id, removed=True))
    if query.request_id is not None:
        add("e.request_id = ?", ids.request_id(connection, query.request_id))
    if query.workflow is not None:
        add(f"{_WORKFLOW} = ?", query.workflow)
    if query.node is not None:
        add("e.node_id = ?", query.node)
    if query.actor is not None:
        add("COALESCE(json_extract(e.actor, '$.user'), 'engine') = ?", query.actor)
    if query.text:
        columns = ("e.kind", _WORKFLOW, "e.node_id", "e.schedule_id", "e.actor", "e.data")
        matches = " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in columns)
        add(f"({matches})", *[like(query.text)] * len(columns))
    if query.after is not None:
        since = to_us(query.after)
        add("e.at >= ? AND e.seq >= ?", since, _first_since(connection, since))
    if query.before is not None:
        add("e.at < ?", to_us(query.before))
    if query.activity:
        details = sorted(map(str, DETAILS))
        add(f"e.kind NOT IN ({marks(len(details))})", *details)
        add("NOT (e.kind = ? AND e.run_key IS NOT NULL)", str(EventKind.FIRE_DECIDED))
    return where, values


def _first_since(connection: sqlite3.Connection, since: int) -> int:
    """A sequence before which nothing lies that has happened since then.

    Only events that belong to no node are indexed by their time, and what is sought may lie among the
    nodes' events before one of them. Where the clock was set back, the last one before the instant may be
    later in the log than the first one after it.
    """
    found = [
        connection.execute(
            f"SELECT seq FROM events WHERE node_id IS NULL AND at {side} ? ORDER BY at {way}, seq {way} LIMIT 1",
            (since,),
        ).fetchone()
        for side, way in (("<", "DESC"), (">=", "ASC"))
    ]
    first = min((int(row[0]) for row in found if row is not None), default=0)
    before = connection.execute(
        "SELECT seq FROM events WHERE node_id IS NULL AND seq < ? ORDER BY seq DESC LIMIT 1", (first,)
    ).fetchone()
    return int(before[0]) if before is not None else 0


def events_after(connection: sqlite3.Connection, after: int, limit: int = 1000) -> list[EventInfo]:
    """Return the events with a sequence number above `after`, oldest first, for a feed that catches up."""
    rows = connection.execute(f"{_SELECT} WHERE e.seq > ? ORDER BY e.seq LIMIT ?", (after, limit))
    return [_info(row) for row in rows]


def last_event(connection: Tx | sqlite3.Connection) -> int:
    """Return the highest sequence number; 0 for an empty log."""
    return int(connection.execute("SELECT COALESCE(MAX(seq), 0) FROM events").fetchone()[0])


def _info(row: Any) -> EventInfo:
    return EventInfo(
        seq=row[0],
        at=from_us(row[1]),
        kind=row[2],
        actor=actor_from_json(row[3]),
        run_id=row[4],
        schedule_id=row[5],
        request_id=row[6],
        workflow=row[7],
        node_id=row[8],
        data=json_or(row[9], {}),
    )


def tail_of_kinds(
    connection: sqlite3.Connection, after: int, kinds: Sequence[str], limit: int
) -> tuple[list[Any], int]:
    """Return the events after a number that are of some kinds, oldest first, and how far the log is seen then.

    Each is number, instant, kind, run key, request id, workflow, node id, data and actor (both JSON).
    """
    rows = connection.execute(
        f"SELECT e.seq, e.at, e.kind, e.run_key, e.request_id, {_WORKFLOW}, e.node_id, e.data, e.actor"
        " FROM events e LEFT JOIN runs r ON r.key = e.run_key"
        f" WHERE e.seq > ? AND e.kind IN ({marks(len(kinds))}) ORDER BY e.seq LIMIT ?",
        (after, *kinds, limit),
    ).fetchall()
    if len(rows) == limit:
        return rows, rows[-1][0]
    return rows, max(after, last_event(connection))


def last_of_run(
    source: Tx | sqlite3.Connection, run_key: int, kind: str
) -> tuple[str | None, str | None] | None:
    """Return actor and data (both JSON) of the last event of a kind in a run; None if there is none."""
    row: tuple[str | None, str | None] | None = source.execute(
        "SELECT actor, data FROM events WHERE run_key = ? AND kind = ? ORDER BY seq DESC LIMIT 1",
        (run_key, str(kind)),
    ).fetchone()
    return row


def last_change_of_run(source: Tx | sqlite3.Connection, run_key: int) -> tuple[str | None, str, int] | None:
    """Return actor (JSON), kind and instant of the last event about a run as a whole."""
    row: tuple[str | None, str, int] | None = source.execute(
        "SELECT actor, kind, at FROM events WHERE run_key = ? AND kind LIKE 'run.%' ORDER BY seq DESC LIMIT 1",
        (run_key,),
    ).fetchone()
    return row


_RESHAPES = (
    EventKind.REQUEST_REASSIGNED,
    EventKind.REQUEST_DELEGATED,
    EventKind.REQUEST_PASSED_ON,
    EventKind.REQUEST_ESCALATED,
    EventKind.REQUEST_QUESTIONED,
    EventKind.REQUEST_REPLIED,
    EventKind.REQUEST_UNDONE,
)
"""Events that report a new revision of a request."""


def last_change_of_request(
    source: Tx | sqlite3.Connection, request_id: str
) -> tuple[str | None, str, int] | None:
    """Return actor (JSON), kind and instant of the last event that reports a new revision of a request."""
    marks = ",".join("?" * len(_RESHAPES))
    row: tuple[str | None, str, int] | None = source.execute(
        f"SELECT actor, kind, at FROM events WHERE request_id = ? AND kind IN ({marks}) ORDER BY seq DESC LIMIT 1",
        (request_id, *map(str, _RESHAPES)),
    ).fetchone()
    return row


# --- starts and stops of engines ---------------------------------------------------------------

_LIFE = "(actor IS NULL OR kind IN ('engine.started', 'engine.stopped'))"
"""Events that only an engine writes. The command line writes other events without an engine."""


def engine_starts(connection: sqlite3.Connection, since: int, limit: int) -> list[tuple[int, int]]:
    """Return number and instant of the starts of an engine since an instant, oldest first."""
    rows: list[tuple[int, int]] = connection.execute(
        "SELECT seq, at FROM events WHERE node_id IS NULL AND kind = 'engine.started' AND at >= ?"
        " ORDER BY at, seq LIMIT ?",
        (since, limit),
    ).fetchall()
    return rows


def last_engine_start(connection: sqlite3.Connection) -> int | None:
    """Return the instant of the latest start of an engine; None if none has started."""
    (at,) = connection.execute(
        "SELECT MAX(at) FROM events WHERE node_id IS NULL AND kind = 'engine.started'"
    ).fetchone()
    return None if at is None else int(at)


def last_sign_of_life(connection: sqlite3.Connection, before: int) -> tuple[int, str] | None:
    """Return instant and kind of the last event before a number that an engine wrote; None if there is none."""
    row: tuple[int, str] | None = connection.execute(
        f"SELECT at, kind FROM events WHERE seq < ? AND {_LIFE} ORDER BY seq DESC LIMIT 1", (before,)
    ).fetchone()
    return row


def first_after(connection: sqlite3.Connection, instant: int, seq: int) -> tuple[int, str, str | None] | None:
    """Return number, kind and data of the first event after a number that is dated after an instant."""
    row: tuple[int, str, str | None] | None = connection.execute(
        "SELECT seq, kind, data FROM events WHERE seq = (SELECT MIN(seq) FROM events WHERE node_id IS NULL"
        " AND at > ? AND seq > ?)",
        (instant, seq),
    ).fetchone()
    return row


def instant_before(connection: sqlite3.Connection, seq: int) -> int | None:
    """Return the instant of the last event before a number; None if there is none."""
    row = connection.execute(
        "SELECT at FROM events WHERE seq < ? ORDER BY seq DESC LIMIT 1", (seq,)
    ).fetchone()
    return None if row is None else int(row[0])


def clock_changes(
    connection: sqlite3.Connection, since: int, until: int
) -> list[tuple[int, str, str | None]]:
    """Return instant, kind and data of the jumps and corrections of the clock in a span, in their order."""
    rows: list[tuple[int, str, str | None]] = connection.execute(
        "SELECT at, kind, data FROM events WHERE node_id IS NULL AND at BETWEEN ? AND ?"
        " AND kind IN ('engine.clock_jumped', 'engine.clock_corrected') ORDER BY seq",
        (since, until),
    ).fetchall()
    return rows


def newest_of_schedule(
    connection: sqlite3.Connection, schedule_id: str, kinds: Sequence[str], since: int, until: int, limit: int
) -> list[Any]:
    """Return instant, kind, actor and data of the newest events of a schedule in a span, newest first."""
    rows: list[Any] = connection.execute(
        "SELECT at, kind, actor, data FROM events WHERE schedule_id = ? AND at >= ? AND at < ?"
        f" AND kind IN ({marks(len(kinds))}) ORDER BY seq DESC LIMIT ?",
        (schedule_id, since, until, *kinds, limit),
    ).fetchall()
    return rows
