"""The audit export: requests, votes and answers with their actors, as JSON Lines and CSV.

It is read from the events and votes, which are never changed. This module writes nothing.
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
from victor_engine.api import AuditPage, AuditQuery, AuditRecord
from victor_engine.clock import from_us, to_us
from victor_engine.people.questions import Ask
from victor_engine.store import queries
from victor_engine.store.audit_chain import actor_fields
from victor_engine.store.db import actor_from_json
from victor_engine.store.queries.audit import all_votes, asked_requests, chain_rows, request_events
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
    "login",
    "proxy",
    "proxy_uid",
)
"""The columns of the CSV export. It has one row for each event of a request."""

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""The first characters of cells that spreadsheets evaluate as formulas, with the full-width forms."""
_BLANK = " \t\r\n\u00a0"

_VOTING = ("request.voted", "request.answered")
"""Events with one vote each, in the order of the votes."""


PAGE_BYTES = 1_000_000
"""Size of the JSON text after which a page of an export ends."""
LARGEST_PAGE = 5_000


def history(
    connection: sqlite3.Connection,
    *,
    request_id: str | None = None,
    run_id: str | None = None,
    workflow: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield a record for each request that was opened from `since` up to, but not including, `until`, oldest first.

    `{request, run, workflow, version, node, iteration, status, outcome, asked_at, deadline, shown,
    digest, digest_matches, events: [{seq, at, event, by, outcome, value, comment, …}]}`. `shown` is
    the question as it was shown; `digest_matches` is false if the stored question does not match its digest.
    """
    query = AuditQuery(request_id, run_id, workflow, since, until)
    for _, record in _records(connection, query):
        yield record


def history_page(connection: sqlite3.Connection, query: AuditQuery) -> AuditPage:
    """Return a page of `history`. Ids may be prefixes. Raise NotFoundError or UsageError for an id."""
    query = msgspec.structs.replace(
        query,
        request_id=queries.request_id(connection, query.request_id) if query.request_id else None,
        run_id=queries.run_id(connection, query.run_id) if query.run_id else None,
    )
    found: list[dict[str, Any]] = []
    size = 0
    for key, record in _records(connection, query):
        found.append(record)
        size += len(jsonio.dumps(record))
        if size >= PAGE_BYTES:
            return AuditPage(tuple(found), key)
    return AuditPage(tuple(found))


def chain_page(connection: sqlite3.Connection, after: int, limit: int) -> list[AuditRecord]:
    """Return records of the chain after a sequence number, in order: at most `limit`, and not more than a page."""
    found: list[AuditRecord] = []
    size = 0
    for row in chain_rows(connection, after, max(1, min(limit, LARGEST_PAGE))):
        found.append(AuditRecord(row.seq, row.digest, row.record))
        size += len(row.record)
        if size >= PAGE_BYTES:
            break
    return found


def _records(connection: sqlite3.Connection, query: AuditQuery) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield key and record of each request of a query."""
    for asked in asked_requests(
        connection,
        request_id=query.request_id,
        run_id=query.run_id,
        workflow=query.workflow,
        since=to_us(query.since) if query.since is not None else None,
        until=to_us(query.until) if query.until is not None else None,
        after=query.after,
    ):
        ask = msgspec.json.decode(asked.spec, type=Ask)
        yield (
            asked.key,
            {
                "request": asked.id,
                "run": asked.run_id,
                "workflow": asked.workflow,
                "version": asked.version,
                "node": asked.node_id,
                "iteration": asked.iteration,
                "status": asked.status,
                "outcome": asked.outcome,
                "asked_at": _instant(asked.created_at),
                "deadline": _instant(asked.deadline) if asked.deadline is not None else None,
                "shown": msgspec.to_builtins(ask),
                "digest": asked.digest,
                "digest_matches": ask.shown_digest() == asked.digest,
                "events": _events(connection, asked.key, asked.id),
            },
        )


def _instant(us: int) -> str:
    return from_us(us).isoformat().replace("+00:00", "Z")


def _events(connection: sqlite3.Connection, request_key: int, request_id: str) -> list[dict[str, Any]]:
    votes = iter(all_votes(connection, request_key))
    found = []
    for seq, at, kind, actor, data in request_events(connection, request_id):
        event = {"seq": seq, "at": _instant(at), "event": kind, "by": actor_fields(actor_from_json(actor))}
        event |= jsonio.loads(data) if data else {}
        if kind in _VOTING:
            outcome, value, comment = next(votes)
            event |= {"outcome": outcome, "value": jsonio.loads(value), "comment": comment}
        found.append(event)
    return found


def json_lines(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield one line of JSON for each record, with a newline. Control characters are escaped for terminals."""
    for record in records:
        yield json_safe(jsonio.dumps_text(record)) + "\n"


def csv_lines(records: Iterable[dict[str, Any]], *, head: bool = True) -> Iterator[str]:
    """Yield a header, unless `head` is false, and one line for each event, safe to print and to open in a spreadsheet.

    Cells that a spreadsheet would evaluate start with `'`, and control characters are replaced. The JSON Lines
    export has the exact values.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    if head:
        writer.writerow(COLUMNS)
        yield buffer.getvalue()
    for record in records:
        for event in record["events"]:
            buffer.seek(0)
            buffer.truncate()
            writer.writerow([_cell(_column(record, event, name)) for name in COLUMNS])
            yield buffer.getvalue()


def _column(record: dict[str, Any], event: dict[str, Any], name: str) -> Any:
    if name in ("user", "uid", "via", "tty", "remote", "login", "proxy", "proxy_uid"):
        return event["by"].get(name)
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
    # Spreadsheets ignore leading white space.
    formula = text.lstrip(_BLANK).startswith(_FORMULA) or text.startswith("\t")
    return "'" + text if formula else text
