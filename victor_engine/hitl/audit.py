"""Export of what was asked, who said what, and what became of it: JSON Lines and CSV.

Read from the append-only events and votes, so that a request that was answered years ago is told as
it happened. Nothing here writes.
"""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from victor_engine import jsonio
from victor_engine.api import Actor
from victor_engine.clock import from_us, to_us
from victor_engine.hitl.ask import Ask
from victor_engine.store.db import actor_from_json
from victor_engine.text import json_safe, plain

COLUMNS = (
    "at",
    "event",
    "request",
    "run",
    "workflow",
    "version",
    "node",
    "kind",
    "title",
    "user",
    "uid",
    "via",
    "tty",
    "remote",
    "outcome",
    "value",
    "comment",
    "reason",
    "to",
    "note",
    "digest",
    "digest_matches",
)
"""Columns of the CSV export; one row for each thing that happened to a request."""

_COMPUTED = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""What a cell begins with that a spreadsheet computes: the full-width forms count for some of them."""
_BLANK = " \t\r\n\u00a0"

_SPEAKING = ("request.voted", "request.answered")
"""Events that stand for one vote each, in the order of the votes."""


def history(
    connection: sqlite3.Connection,
    *,
    request_id: str | None = None,
    run_id: str | None = None,
    workflow: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[dict[str, Any]]:
    """One record for each request that was opened from `since` up to and without `until`, oldest first.

    `{request, run, workflow, version, node, iteration, status, outcome, asked_at, deadline, shown,
    digest, digest_matches, events: [{seq, at, event, by, outcome, value, comment, …}]}`. `shown` is
    what was put before people; `digest_matches` is false where it is no longer what was recorded.
    """
    where, values = ["1"], []
    for clause, value in (
        ("q.id = ?", request_id),
        ("r.id = ?", run_id),
        ("q.workflow = ?", workflow),
        ("q.created_at >= ?", to_us(since) if since is not None else None),
        ("q.created_at < ?", to_us(until) if until is not None else None),
    ):
        if value is not None:
            where.append(clause)
            values.append(value)
    rows = connection.execute(
        "SELECT q.key, q.id, r.id, q.workflow, d.version, q.node_id, q.iteration, q.status, q.outcome,"
        " q.created_at, q.deadline, q.spec, q.digest FROM requests q JOIN runs r ON r.key = q.run_key"
        f" JOIN definitions d ON d.id = r.definition_id WHERE {' AND '.join(where)} ORDER BY q.key",
        values,
    )
    for row in rows:
        ask = msgspec.json.decode(row[11], type=Ask)
        yield {
            "request": row[1],
            "run": row[2],
            "workflow": row[3],
            "version": row[4],
            "node": row[5],
            "iteration": row[6],
            "status": row[7],
            "outcome": row[8],
            "asked_at": _instant(row[9]),
            "deadline": _instant(row[10]) if row[10] is not None else None,
            "shown": msgspec.to_builtins(ask),
            "digest": row[12],
            "digest_matches": ask.shown_digest() == row[12],
            "events": _events(connection, row[0], row[1]),
        }


def _instant(us: int) -> str:
    return from_us(us).isoformat().replace("+00:00", "Z")


def _actor(actor: Actor) -> dict[str, Any]:
    return {"user": actor.user, "uid": actor.uid, "via": actor.via, "tty": actor.tty, "remote": actor.remote}


def _events(connection: sqlite3.Connection, request_key: int, request_id: str) -> list[dict[str, Any]]:
    votes = iter(
        connection.execute(
            "SELECT outcome, value, comment FROM votes WHERE request_key = ? ORDER BY id", (request_key,)
        ).fetchall()
    )
    found = []
    for seq, at, kind, actor, data in connection.execute(
        "SELECT seq, at, kind, actor, data FROM events WHERE request_id = ? AND kind LIKE 'request.%'"
        " ORDER BY seq",
        (request_id,),
    ):
        event = {"seq": seq, "at": _instant(at), "event": kind, "by": _actor(actor_from_json(actor))}
        event |= jsonio.loads(data) if data else {}
        if kind in _SPEAKING:
            outcome, value, comment = next(votes)
            event |= {"outcome": outcome, "value": jsonio.loads(value), "comment": comment}
        found.append(event)
    return found


def json_lines(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    """One line of JSON for each record, with its line end; safe to print to a terminal."""
    for record in records:
        yield json_safe(jsonio.dumps_text(record)) + "\n"


def csv_lines(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    """A header and one line for each event, safe to print and to open in a spreadsheet.

    A cell that would be computed is quoted with `'`, and what acts on a terminal is shown as a sign;
    JSON Lines have the very values.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    yield buffer.getvalue()
    for record in records:
        for event in record["events"]:
            buffer.seek(0)
            buffer.truncate()
            writer.writerow([_cell(_column(record, event, name)) for name in COLUMNS])
            yield buffer.getvalue()


def _column(record: dict[str, Any], event: dict[str, Any], name: str) -> Any:
    if name in ("user", "uid", "via", "tty", "remote"):
        return event["by"][name]
    if name in ("kind", "title"):
        return record["shown"][name]
    if name == "to":
        to = event.get("to") or event.get("escalated_to")
        return ", ".join(to) if isinstance(to, list) else to
    if name == "note":
        return event.get("note") or event.get("text")
    if name in ("at", "event", "outcome", "value", "comment", "reason"):
        return event.get(name)
    return record[name]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return jsonio.dumps_text(value)
    text = plain(value)
    # Spreadsheets look past white space.
    computed = text.lstrip(_BLANK).startswith(_COMPUTED) or text.startswith("\t")
    return "'" + text if computed else text
