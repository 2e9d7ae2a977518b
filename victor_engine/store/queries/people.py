"""Queries of requests: the inbox, one request, and the answers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from victor_engine import jsonio
from victor_engine.api import Actor, MessageInfo, RequestInfo, RequestQuery, RequestStatus, VoteInfo
from victor_engine.clock import from_us, to_us
from victor_engine.errors import UsageError
from victor_engine.store.db import actor_from_json
from victor_engine.store.queries import ids
from victor_engine.store.queries.conversions import instant, json_or, marks

ALL_STATUSES: tuple[str, ...] = tuple(RequestStatus)

_COLUMNS = (
    "q.key, q.id, q.revision, r.id, q.workflow, d.version, q.node_id, q.kind, q.status, q.spec, q.digest,"
    " q.created_at, q.deadline, q.priority, q.claimed_by, q.outcome, q.answer, q.comment, q.answered_by,"
    " q.answered_at, r.actor, r.schedule_id, q.settles_at, q.held_since, q.held_left, q.back_to, q.run_key,"
    " q.attempt_id"
)
_FROM = " FROM requests q JOIN runs r ON r.key = q.run_key JOIN definitions d ON d.id = r.definition_id"
_SPEC_FIELDS = frozenset(RequestInfo.__struct_fields__)


class Asks(Struct, frozen=True):
    """The assignees that mean a user: by name (`name`), and by group or role (`groups`)."""

    user: str
    name: tuple[str, ...]
    groups: tuple[str, ...]


def requests(
    connection: sqlite3.Connection, query: RequestQuery, asks: Asks | None = None
) -> list[RequestInfo]:
    """Return a page of requests: the open ones by deadline, priority and age, then those whose answer can still
    be taken back, then the decided ones, newest first. `asks` is the user of the query, for `query.asked`."""
    where, values = _conditions(connection, query, asks)
    left, skip = max(0, query.limit), max(0, query.offset)
    rows: list[Any] = []
    for condition, parameters, order in _parts(query):
        conditions = " AND ".join([condition, *where])
        if skip:
            (there,) = connection.execute(
                f"SELECT COUNT(*){_FROM} WHERE {conditions}", [*parameters, *values]
            ).fetchone()
            if skip >= there:
                skip -= there
                continue
        found = connection.execute(
            f"SELECT {_COLUMNS}{_FROM} WHERE {conditions} ORDER BY {order} LIMIT ? OFFSET ?",
            [*parameters, *values, left, skip],
        ).fetchall()
        rows += found
        left, skip = left - len(found), 0
        if left <= 0:
            break
    return [_info(connection, row) for row in rows]


def request_count(connection: sqlite3.Connection, query: RequestQuery, asks: Asks | None = None) -> int:
    """Return the number of requests that match a query, over all pages."""
    where, values = _conditions(connection, query, asks)
    total = 0
    for condition, parameters, _ in _parts(query):
        conditions = " AND ".join([condition, *where])
        total += connection.execute(
            f"SELECT COUNT(*){_FROM} WHERE {conditions}", [*parameters, *values]
        ).fetchone()[0]
    return total


def _parts(query: RequestQuery) -> list[tuple[str, list[Any], str]]:
    """Return the sections of a list in order: condition, values, and sort order."""
    parts: list[tuple[str, list[Any], str]] = []
    if RequestStatus.OPEN in query.statuses:
        urgent = "q.deadline IS NULL, q.deadline, q.priority DESC, q.key"
        parts.append(("q.status = 'open'", [], urgent))
    decided = [status for status in query.statuses if status not in (RequestStatus.OPEN, "held")]
    if "held" in query.statuses and RequestStatus.ANSWERED not in decided:
        parts.append(("q.settles_at IS NOT NULL", [], "q.settles_at"))
    if decided:
        parts.append((f"q.status IN ({marks(len(decided))})", list(decided), "q.key DESC"))
    return parts


def _conditions(
    connection: sqlite3.Connection, query: RequestQuery, asks: Asks | None
) -> tuple[list[str], list[Any]]:
    where: list[str] = []
    values: list[Any] = []

    def add(condition: str, *parameters: Any) -> None:
        where.append(condition)
        values.extend(parameters)

    if query.workflow is not None:
        add("q.workflow = ?", query.workflow)
    if query.run_id is not None:
        add("q.run_key = (SELECT key FROM runs WHERE id = ?)", ids.run_id(connection, query.run_id))
    if query.asked:
        _add_asked(add, query, asks)
    if query.unclaimed:
        add("q.claimed_by IS NULL")
    if query.no_votes:
        add("NOT EXISTS (SELECT 1 FROM votes v WHERE v.request_key = q.key)")
    if query.due_before is not None:
        add("q.deadline <= ?", to_us(query.due_before))
    if query.words or query.workflow_part:
        # SQLite's lower() supports only ASCII.
        connection.create_function("lowered", 1, lambda text: str(text or "").lower(), deterministic=True)
    for word in query.words:
        add(
            "instr(lowered(json_extract(q.spec, '$.title') || char(10) || json_extract(q.spec, '$.prompt')"
            " || char(10) || q.workflow || char(10) || q.node_id), ?) > 0",
            word.lower(),
        )
    if query.workflow_part:
        add("instr(lowered(q.workflow), ?) > 0", query.workflow_part.lower())
    if query.run_prefix:
        add("substr(lower(r.id), 1, ?) = ?", len(query.run_prefix), query.run_prefix.lower())
    if query.kind_prefix:
        add("substr(q.kind, 1, ?) = ?", len(query.kind_prefix), query.kind_prefix)
    return where, values


def _add_asked(add: Callable[..., None], query: RequestQuery, asks: Asks | None) -> None:
    if asks is None:
        raise UsageError("the filter asked needs a user")

    def is_one_of(names: tuple[str, ...]) -> str:
        listed = "json_each(q.spec, '$.assignees') each"
        return f"EXISTS (SELECT 1 FROM {listed} WHERE each.value IN ({marks(len(names))}))"

    ways: list[str] = []
    values: list[Any] = []
    if "mine" in query.asked:
        ways.append(f"{is_one_of(asks.name)} OR json_extract(q.claimed_by, '$.user') = ?")
        values += [*asks.name, asks.user]
    if "groups" in query.asked:
        ways.append(f"({is_one_of(asks.groups)} AND NOT {is_one_of(asks.name)})")
        values += [*asks.groups, *asks.name]
    add(f"({' OR '.join(ways)})", *values)


def request(connection: sqlite3.Connection, request_id: str) -> RequestInfo:
    """Return a request by its id or a unique prefix."""
    full = ids.request_id(connection, request_id)
    row = connection.execute(f"SELECT {_COLUMNS}{_FROM} WHERE q.id = ?", (full,)).fetchone()
    found = _info(connection, row)
    if found.status != RequestStatus.OPEN:
        return found
    return msgspec.structs.replace(found, can_go_back_to=push_back_targets(connection, row[26], row[27]))


def push_back_targets(connection: ids.Source, run_key: int, attempt_id: int) -> tuple[str, ...]:
    """The nodes to which a question may send its run back, in the order of their first visit.

    None for a question inside a parallel node: its branches join, and one of them cannot go back alone.
    """
    rows = connection.execute(
        "SELECT node_id FROM attempts WHERE run_key = ? AND id < ? AND parent IS NULL AND status = 'succeeded'"
        " AND EXISTS (SELECT 1 FROM attempts WHERE id = ? AND parent IS NULL) GROUP BY node_id ORDER BY MIN(id)",
        (run_key, attempt_id, attempt_id),
    )
    return tuple(node for (node,) in rows)


def starters(source: ids.Source, run_key: int) -> list[Actor]:
    """Return the users who started a run, or a run that it comes from."""
    rows = source.execute(
        "WITH RECURSIVE line (key, actor, parent_key) AS ("
        " SELECT key, actor, parent_key FROM runs WHERE key = ?"
        " UNION SELECT r.key, r.actor, r.parent_key FROM runs r JOIN line l ON r.key = l.parent_key)"
        " SELECT actor FROM line WHERE actor IS NOT NULL",
        (run_key,),
    )
    return [actor_from_json(text) for (text,) in rows]


def _info(connection: sqlite3.Connection, row: Any) -> RequestInfo:
    """Return a request. The question comes from the stored spec, and the current values from the columns."""
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
        "settles_at": instant(row[22]),
        "held_since": instant(row[23]),
        "held_left": None if row[24] is None else row[24] / 1_000_000,
        "messages": _messages(connection, row[0]),
        "pushed_back_to": row[25],
    }
    return msgspec.convert({**shown, **known}, RequestInfo)


def _votes(connection: sqlite3.Connection, request_key: int) -> tuple[VoteInfo, ...]:
    rows = connection.execute(
        "SELECT at, actor, outcome, comment, stage, undone_at FROM votes WHERE request_key = ? ORDER BY id",
        (request_key,),
    )
    return tuple(
        VoteInfo(
            at=from_us(at),
            actor=actor_from_json(actor),
            outcome=outcome,
            comment=comment,
            stage=stage,
            undone=undone is not None,
        )
        for at, actor, outcome, comment, stage, undone in rows
    )


def _messages(connection: sqlite3.Connection, request_key: int) -> tuple[MessageInfo, ...]:
    rows = connection.execute(
        "SELECT at, actor, kind, text FROM request_messages WHERE request_key = ? ORDER BY id", (request_key,)
    )
    return tuple(
        MessageInfo(from_us(at), actor_from_json(actor), kind, text) for at, actor, kind, text in rows
    )
