"""The conditions of run queries as SQL."""

from __future__ import annotations

import sqlite3
from typing import Any

from victor_engine import jsonio
from victor_engine.api import RunQuery
from victor_engine.clock import to_us
from victor_engine.store.queries import ids
from victor_engine.store.queries.conversions import like, marks

Terms = tuple[list[str], list[Any]]
"""Conditions on a run `r`, and their parameters."""


def by_time(query: RunQuery) -> bool:
    return query.created_after is not None or query.created_before is not None


def walks(query: RunQuery) -> bool:
    """Whether no index leads to these runs: others have to be looked at and passed over."""
    return bool(
        query.text
        or query.error
        or query.actor is not None
        or query.node is not None
        or query.version is not None
        or query.longer_than is not None
        or query.shorter_than is not None
        or len(query.statuses) > 1
    )


def conditions(connection: sqlite3.Connection, query: RunQuery) -> Terms:
    """Return the conditions of a query, without its page."""
    where: list[str] = []
    values: list[Any] = []

    def add(clause: str, *given: Any) -> None:
        where.append(clause)
        values.extend(given)

    if query.workflow is not None:
        add("r.workflow = ?", query.workflow)
    if query.schedule_id is not None:
        add("r.schedule_id = ?", ids.schedule_id(connection, query.schedule_id, removed=True))
    if query.cause is not None:
        add(
            "r.key IN (SELECT run_key FROM dead_letters WHERE cause_id ="
            " (SELECT id FROM dead_causes WHERE fingerprint = ?))",
            query.cause,
        )
    if query.statuses:
        add(f"r.status IN ({marks(len(query.statuses))})", *query.statuses)
    if query.created_after is not None:
        add("r.created_at >= ?", to_us(query.created_after))
    if query.created_before is not None:
        add("r.created_at < ?", to_us(query.created_before))
    if query.longer_than is not None:
        add("r.finished_at - r.started_at - r.idle > ?", int(query.longer_than * 1_000_000))
    if query.shorter_than is not None:
        add("r.finished_at - r.started_at - r.idle < ?", int(query.shorter_than * 1_000_000))
    if query.version is not None:
        add("r.definition_id IN (SELECT id FROM definitions WHERE version = ?)", query.version)
    more, given = _words(query)
    return where + more, values + given


def _words(query: RunQuery) -> Terms:
    """The free-text conditions: text, error, person and node."""
    where: list[str] = []
    values: list[Any] = []
    if query.text:
        columns = ("r.id", "r.workflow", "r.note", "r.error")
        where.append("(" + " OR ".join(f"{c} LIKE ? ESCAPE '\\'" for c in columns) + ")")
        values += [like(query.text)] * len(columns)
    if query.error:
        where.append("r.error IS NOT NULL AND r.error LIKE ? ESCAPE '\\'")
        values.append(like(jsonio.dumps_text(query.error)[1:-1]))
    if query.actor is not None:
        where.append(
            "CASE WHEN r.actor IS NOT NULL THEN json_extract(r.actor, '$.user')"
            " ELSE COALESCE(r.schedule_id, 'engine') END = ?"
        )
        values.append(query.actor)
    if query.node is not None:
        # The definitions are few: they tell which workflows can have come to the node at all.
        where.append(
            "r.workflow IN (SELECT workflow FROM definitions WHERE instr(content, ?) > 0) AND EXISTS"
            " (SELECT 1 FROM attempts n WHERE n.run_key = r.key AND n.node_id = ?)"
        )
        values += [jsonio.dumps_text(query.node), query.node]
    return where, values
