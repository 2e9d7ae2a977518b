"""Requests: the inbox, one question whole, and what was answered."""

from __future__ import annotations

import sqlite3
from typing import Any, get_args

import msgspec

from victor_engine import jsonio
from victor_engine.api import RequestInfo, RequestQuery, RequestStatus, VoteInfo
from victor_engine.clock import from_us
from victor_engine.store.db import actor_from_json
from victor_engine.store.queries import ids
from victor_engine.store.queries.text import instant, json_or, marks

ALL_STATUSES: tuple[str, ...] = get_args(RequestStatus)

_COLUMNS = (
    "q.key, q.id, q.revision, r.id, q.workflow, d.version, q.node_id, q.kind, q.status, q.spec, q.digest,"
    " q.created_at, q.deadline, q.priority, q.claimed_by, q.outcome, q.answer, q.comment, q.answered_by,"
    " q.answered_at, r.actor, r.schedule_id"
)
_FROM = " FROM requests q JOIN runs r ON r.key = q.run_key JOIN definitions d ON d.id = r.definition_id"
_SPEC_FIELDS = frozenset(RequestInfo.__struct_fields__)


def requests(connection: sqlite3.Connection, query: RequestQuery) -> list[RequestInfo]:
    """Open requests by priority and deadline, then the decided ones, newest first."""
    where: list[str] = []
    values: list[Any] = []
    if query.workflow is not None:
        where.append("q.workflow = ?")
        values.append(query.workflow)
    if query.run_id is not None:
        full = ids.run_id(connection, query.run_id)
        where.append("q.run_key = (SELECT key FROM runs WHERE id = ?)")
        values.append(full)
    limit = max(0, query.limit)
    rows: list[Any] = []
    if "open" in query.statuses:
        conditions = " AND ".join(["q.status = 'open'", *where])
        rows += connection.execute(
            f"SELECT {_COLUMNS}{_FROM} WHERE {conditions}"
            " ORDER BY q.priority DESC, q.deadline IS NULL, q.deadline, q.key LIMIT ?",
            [*values, limit],
        )
    decided = [status for status in query.statuses if status != "open"]
    if decided and len(rows) < limit:
        conditions = " AND ".join([f"q.status IN ({marks(len(decided))})", *where])
        rows += connection.execute(
            f"SELECT {_COLUMNS}{_FROM} WHERE {conditions} ORDER BY q.key DESC LIMIT ?",
            [*decided, *values, limit - len(rows)],
        )
    return [_info(connection, row) for row in rows]


def request(connection: sqlite3.Connection, request_id: str) -> RequestInfo:
    """One request by its id or unique prefix."""
    full = ids.request_id(connection, request_id)
    row = connection.execute(f"SELECT {_COLUMNS}{_FROM} WHERE q.id = ?", (full,)).fetchone()
    return _info(connection, row)


def _info(connection: sqlite3.Connection, row: Any) -> RequestInfo:
    """What was shown comes from the stored spec; what has changed since, from the columns."""
    shown = {key: value for key, value in jsonio.loads(row[9]).items() if key in _SPEC_FIELDS}
    run_actor, schedule = row[20], row[21]
    by_engine = schedule if run_actor is None and schedule else actor_from_json(run_actor).user
    shown.setdefault("title", row[6])
    shown.setdefault("prompt", "")
    shown.setdefault("requested_by", by_engine)
    known: dict[str, Any] = {
        "id": row[1],
        "revision": row[2],
        "run_id": row[3],
        "workflow": row[4],
        "version": row[5],
        "node_id": row[6],
        "kind": row[7],
        "status": row[8],
        "digest": row[10],
        "created_at": from_us(row[11]),
        "deadline": instant(row[12]),
        "priority": row[13],
        "claimed_by": None if row[14] is None else actor_from_json(row[14]).user,
        "votes": _votes(connection, row[0]),
        "outcome": row[15],
        "answer": json_or(row[16], None),
        "comment": row[17],
        "answered_by": None if row[18] is None else actor_from_json(row[18]),
        "answered_at": instant(row[19]),
    }
    return msgspec.convert({**shown, **known}, RequestInfo)


def _votes(connection: sqlite3.Connection, request_key: int) -> tuple[VoteInfo, ...]:
    rows = connection.execute(
        "SELECT at, actor, outcome, comment FROM votes WHERE request_key = ? ORDER BY id", (request_key,)
    )
    return tuple(
        VoteInfo(at=from_us(at), actor=actor_from_json(actor), outcome=outcome, comment=comment)
        for at, actor, outcome, comment in rows
    )
