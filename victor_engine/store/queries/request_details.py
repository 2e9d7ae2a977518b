"""Queries of what only the view of one request shows: the start of its run, its assignees before, the log."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from victor_engine import jsonio
from victor_engine.api import HandoverInfo, LogTail, StartInfo
from victor_engine.clock import from_us
from victor_engine.events import EventKind
from victor_engine.store.db import actor_from_json
from victor_engine.store.queries.conversions import instant, marks

LOG_LINES = 200
"""Maximum number of log lines before a request."""
_MOST_HANDOVERS = 20
_HANDOVERS = {
    EventKind.REQUEST_REASSIGNED: "reassigned",
    EventKind.REQUEST_DELEGATED: "delegated",
    EventKind.REQUEST_ESCALATED: "escalated",
    EventKind.REQUEST_PASSED_ON: "passed_on",
}


class Asked(NamedTuple):
    """The place in a run that asked: the run, its definition, the attempt, and the parallel node around it."""

    run_key: int
    definition_id: int
    attempt_id: int
    node_id: str
    parent: str | None


def asked_at(connection: sqlite3.Connection, request_id: str) -> Asked:
    """Return the place of a request by its whole id."""
    row = connection.execute(
        "SELECT q.run_key, r.definition_id, q.attempt_id, q.node_id, a.parent"
        " FROM requests q JOIN runs r ON r.key = q.run_key LEFT JOIN attempts a ON a.id = q.attempt_id"
        " WHERE q.id = ?",
        (request_id,),
    ).fetchone()
    return Asked(*row)


def start_of(connection: sqlite3.Connection, run_key: int) -> StartInfo:
    """Return who or what started a run."""
    trigger, actor, schedule, nominal, note, created, parent, workflow, node = connection.execute(
        "SELECT r.trigger, r.actor, r.schedule_id, r.nominal, r.note, r.created_at, p.id, p.workflow,"
        " (SELECT node_id FROM attempts WHERE run_key = p.key AND child_key = r.key ORDER BY id DESC LIMIT 1)"
        " FROM runs r LEFT JOIN runs p ON p.key = r.parent_key WHERE r.key = ?",
        (run_key,),
    ).fetchone()
    return StartInfo(
        trigger=trigger,
        by=schedule if actor is None and schedule else actor_from_json(actor).user,
        at=from_us(created),
        note=note,
        schedule_id=schedule,
        nominal=instant(nominal),
        parent_run=parent,
        parent_workflow=workflow or "",
        parent_node=node or "",
    )


def handovers_of(connection: sqlite3.Connection, request_id: str) -> tuple[HandoverInfo, ...]:
    """Return the newest changes of the people who are asked, oldest first."""
    rows = connection.execute(
        f"SELECT at, actor, kind, data FROM events WHERE request_id = ? AND kind IN ({marks(len(_HANDOVERS))})"
        " ORDER BY seq DESC LIMIT ?",
        (request_id, *_HANDOVERS, _MOST_HANDOVERS),
    ).fetchall()
    found = []
    for at, actor, kind, data in reversed(rows):
        given = jsonio.loads(data or "{}")
        to = given.get("to", given.get("escalated_to"))
        if to is None:  # asked again
            continue
        found.append(
            HandoverInfo(
                at=from_us(at),
                actor=actor_from_json(actor),
                kind=_HANDOVERS[EventKind(kind)],  # type: ignore[arg-type]
                to=tuple(to) if isinstance(to, list) else (to,),
                note=given.get("note", ""),
            )
        )
    return tuple(found)


def log_before(connection: sqlite3.Connection, asked: Asked) -> LogTail | None:
    """Return the end of the log of the last node before a request that wrote lines; None if none did."""
    row = connection.execute(
        "SELECT id, node_id FROM attempts a WHERE run_key = ? AND id < ?"
        " AND EXISTS (SELECT 1 FROM logs WHERE attempt_id = a.id) ORDER BY id DESC LIMIT 1",
        (asked.run_key, asked.attempt_id),
    ).fetchone()
    if row is None:
        return None
    (first,) = connection.execute(
        "SELECT MIN(id) FROM (SELECT id FROM logs WHERE attempt_id = ? ORDER BY id DESC LIMIT ?)",
        (row[0], LOG_LINES),
    ).fetchone()
    return LogTail(row[1], first - 1)
