"""Queries of requests: the inbox, one request, and the answers."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from victor_engine import jsonio
from victor_engine.api import (
    ASKED_WORKFLOW,
    Actor,
    MessageInfo,
    QueueInfo,
    RequestInfo,
    RequestPage,
    RequestQuery,
    RequestStatus,
    VoteInfo,
)
from victor_engine.clock import from_us
from victor_engine.store.db import actor_from_json
from victor_engine.store.queries import ids
from victor_engine.store.queries.conversions import batched, instant, json_or, marks
from victor_engine.store.queries.request_filters import SEARCHED, Asks, Part, list_parts

ALL_STATUSES: tuple[str, ...] = tuple(RequestStatus)

_COLUMNS = (
    "q.key, q.id, q.revision, r.id, q.workflow, d.version, q.node_id, q.kind, q.status, q.spec, q.digest,"
    " q.created_at, q.deadline, q.priority, q.claimed_by, q.outcome, q.answer, q.comment, q.answered_by,"
    " q.answered_at, r.actor, r.schedule_id, q.settles_at, q.held_since, q.held_left, q.back_to, q.run_key,"
    " q.attempt_id"
)
_FROM = " FROM requests q JOIN runs r ON r.key = q.run_key JOIN definitions d ON d.id = r.definition_id"
_SPEC_FIELDS = frozenset(RequestInfo.__struct_fields__)
DEADLINES = 100
"""Maximum number of deadlines in a `QueueInfo`."""


def requests(
    connection: sqlite3.Connection, query: RequestQuery, asks: Asks | None = None
) -> list[RequestInfo]:
    """Return a page of requests, in the order of `request_filters.list_parts`. `asks` is the user of the query."""
    parts = list_parts(connection, query, asks)
    counted = query.offset or query.around is not None
    counts = [_count(connection, part) for part in parts] if counted else []
    return _page(connection, parts, counts, query.limit, _offset(connection, query, parts, counts))


def request_count(connection: sqlite3.Connection, query: RequestQuery, asks: Asks | None = None) -> int:
    """Return the number of requests that match a query, over all pages."""
    return sum(_count(connection, part) for part in list_parts(connection, query, asks))


def request_page(
    connection: sqlite3.Connection, query: RequestQuery, asks: Asks | None = None
) -> RequestPage:
    """Return a page of requests with its offset and the totals."""
    parts = list_parts(connection, query, asks)
    counts = [_count(connection, part) for part in parts]
    offset = _offset(connection, query, parts, counts)
    groups: Counter[str] = Counter()
    if query.order == "workflow":
        for part in parts:
            sql = f"SELECT q.workflow, COUNT(*) FROM requests q WHERE {part.where} GROUP BY q.workflow"
            groups.update(dict(connection.execute(sql, part.parameters)))
    matching = [_count(connection, replace(part, words=())) for part in parts if part.words]
    return RequestPage(
        rows=tuple(_page(connection, parts, counts, query.limit, offset)),
        offset=offset,
        total=sum(counts),
        groups=dict(groups),
        searched=sum(min(SEARCHED, n) for n in matching) if any(n > SEARCHED for n in matching) else None,
    )


def request_queue(connection: sqlite3.Connection, asks: Asks) -> QueueInfo:
    """Return the queue of a user. Its number and its first request are of the same query."""
    mine = RequestQuery(answerable=True, limit=1)
    (part,) = list_parts(connection, mine, asks)
    deadlines = connection.execute(
        f"SELECT q.deadline FROM requests q WHERE {part.where} AND q.deadline IS NOT NULL"
        f" ORDER BY {part.sort} LIMIT {DEADLINES}",
        part.parameters,
    )
    return QueueInfo(
        count=_count(connection, part),
        next=next(iter(requests(connection, mine, asks)), None),
        deadlines=tuple(from_us(deadline) for (deadline,) in deadlines),
        open=request_count(connection, RequestQuery()),
        position=connection.execute("SELECT COALESCE(MAX(key), 0) FROM requests").fetchone()[0],
    )


def _count(connection: sqlite3.Connection, part: Part) -> int:
    sql = f"SELECT COUNT(*) FROM requests q WHERE {part.where}"
    return int(connection.execute(sql, part.parameters).fetchone()[0])


def _offset(
    connection: sqlite3.Connection, query: RequestQuery, parts: Sequence[Part], counts: Sequence[int]
) -> int:
    """Return the offset of a page. With `around`, the page has that request in its middle."""
    if query.around is None:
        return max(0, query.offset)
    before = 0
    for part, count in zip(parts, counts, strict=True):
        numbered = (
            f"SELECT q.id AS id, ROW_NUMBER() OVER (ORDER BY {part.sort}) AS number"
            f" FROM requests q WHERE {part.where}"
        )
        row = connection.execute(
            f"SELECT number FROM ({numbered}) WHERE id = ?", [*part.parameters, query.around]
        ).fetchone()
        if row is not None:
            return int(max(0, min(before + row[0] - 1 - query.limit // 2, sum(counts) - query.limit)))
        before += count
    return max(0, query.offset)


def _page(
    connection: sqlite3.Connection, parts: Sequence[Part], counts: Sequence[int], limit: int, skip: int
) -> list[RequestInfo]:
    """Return a page of sections. `counts` are the sizes of the sections; they are needed only to skip rows."""
    keys: list[int] = []
    limit = max(0, limit)
    for number, part in enumerate(parts):
        if skip and skip >= counts[number]:
            skip -= counts[number]
            continue
        # Without joins, the index of the order is used.
        found = connection.execute(
            f"SELECT q.key FROM requests q WHERE {part.where} ORDER BY {part.sort} LIMIT ? OFFSET ?",
            [*part.parameters, limit - len(keys), skip],
        )
        keys += [key for (key,) in found]
        skip = 0
        if len(keys) >= limit:
            break
    rows: dict[int, Any] = {}
    for some in batched(keys):
        listed = connection.execute(f"SELECT {_COLUMNS}{_FROM} WHERE q.key IN ({marks(len(some))})", some)
        rows.update((row[0], row) for row in listed)
    return _infos(connection, [rows[key] for key in keys])


def request(connection: sqlite3.Connection, request_id: str) -> RequestInfo:
    """Return a request by its id or a unique prefix."""
    full = ids.request_id(connection, request_id)
    row = connection.execute(f"SELECT {_COLUMNS}{_FROM} WHERE q.id = ?", (full,)).fetchone()
    (found,) = _infos(connection, [row])
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


def open_questions(source: ids.Source, uid: int) -> int:
    """Return the number of open questions that a user asked without a workflow."""
    (number,) = source.execute(
        "SELECT COUNT(*) FROM requests q JOIN runs r ON r.key = q.run_key WHERE q.status = 'open' AND q.workflow = ?"
        " AND json_extract(r.actor, '$.uid') = ?",
        (ASKED_WORKFLOW, uid),
    ).fetchone()
    return int(number)


def _infos(connection: sqlite3.Connection, rows: Sequence[Any]) -> list[RequestInfo]:
    """Return requests with their votes and messages."""
    keys = [row[0] for row in rows]
    votes, messages = _votes(connection, keys), _messages(connection, keys)
    return [_info(row, tuple(votes[row[0]]), tuple(messages[row[0]])) for row in rows]


def _info(row: Any, votes: tuple[VoteInfo, ...], messages: tuple[MessageInfo, ...]) -> RequestInfo:
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
        "votes": votes,
        "outcome": row[15],
        "answer": json_or(row[16], None),
        "comment": row[17],
        "answered_by": None if row[18] is None else actor_from_json(row[18]),
        "answered_at": instant(row[19]),
        "settles_at": instant(row[22]),
        "held_since": instant(row[23]),
        "held_left": None if row[24] is None else row[24] / 1_000_000,
        "messages": messages,
        "pushed_back_to": row[25],
    }
    return msgspec.convert({**shown, **known}, RequestInfo)


def _votes(connection: sqlite3.Connection, keys: Sequence[int]) -> dict[int, list[VoteInfo]]:
    """Return the votes on requests by the keys of the requests, oldest first."""
    found: dict[int, list[VoteInfo]] = defaultdict(list)
    for some in batched(keys):
        rows = connection.execute(
            "SELECT request_key, at, actor, outcome, comment, stage, undone_at, value FROM votes"
            f" WHERE request_key IN ({marks(len(some))}) ORDER BY id",
            some,
        )
        for key, at, actor, outcome, comment, stage, undone, value in rows:
            vote = VoteInfo(
                at=from_us(at),
                actor=actor_from_json(actor),
                outcome=outcome,
                comment=comment,
                stage=stage,
                undone=undone is not None,
                value=json_or(value, None),
            )
            found[key].append(vote)
    return found


def _messages(connection: sqlite3.Connection, keys: Sequence[int]) -> dict[int, list[MessageInfo]]:
    found: dict[int, list[MessageInfo]] = defaultdict(list)
    for some in batched(keys):
        rows = connection.execute(
            "SELECT request_key, at, actor, kind, text FROM request_messages"
            f" WHERE request_key IN ({marks(len(some))}) ORDER BY id",
            some,
        )
        for key, at, actor, kind, text in rows:
            found[key].append(MessageInfo(from_us(at), actor_from_json(actor), kind, text))
    return found
