"""The numbers of runs and events that match a query. They are bounded, so that a count costs no more than a page."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from victor_engine.api import Count, EventQuery, RunQuery
from victor_engine.store.queries.events import conditions as event_conditions
from victor_engine.store.queries.events import last_event
from victor_engine.store.queries.run_filters import conditions, walks

COUNTED = 250_000
"""Maximum count of rows that an index leads to."""
LOOKED_AT = 10_000
"""Maximum number of the newest rows that are examined where no index leads to the matches."""


def run_count(connection: sqlite3.Connection, query: RunQuery) -> Count:
    """Return the number of runs that match, without regard to the page."""
    if len(query.statuses) > 1:
        return _of_each_status(connection, query)
    where, values = conditions(connection, query)
    if walks(query):
        (last,) = connection.execute("SELECT COALESCE(MAX(key), 0) FROM runs").fetchone()
        return _newest(connection, "runs r", "r.key", last, where, values)
    return _counted(connection, "runs r", where, values)


def _of_each_status(connection: sqlite3.Connection, query: RunQuery) -> Count:
    """Return the sum of the counts of each status, because an index leads to each of them."""
    found = [
        run_count(connection, msgspec.structs.replace(query, statuses=(status,)))
        for status in dict.fromkeys(query.statuses)
    ]
    return Count(sum(each.number for each in found), any(each.more for each in found))


def event_count(connection: sqlite3.Connection, query: EventQuery) -> Count:
    """Return the number of events that match, without regard to the page."""
    where, values = event_conditions(connection, query)
    tables = "events e LEFT JOIN runs r ON r.key = e.run_key" if where else "events e"
    if query.run_id is None and query.schedule_id is None and query.request_id is None and where:
        last = last_event(connection)
        return _newest(connection, tables, "e.seq", last, where, values)
    return _counted(connection, tables, where, values)


def _counted(
    connection: sqlite3.Connection, tables: str, where: Sequence[str], values: Sequence[Any]
) -> Count:
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    (number,) = connection.execute(
        f"SELECT COUNT(*) FROM (SELECT 1 FROM {tables}{condition} LIMIT ?)", [*values, COUNTED + 1]
    ).fetchone()
    return Count(min(number, COUNTED), number > COUNTED)


def _newest(
    connection: sqlite3.Connection,
    tables: str,
    key: str,
    last: int,
    where: Sequence[str],
    values: Sequence[Any],
) -> Count:
    """Count the matches among the newest rows only."""
    condition = " AND ".join([*where, f"{key} > ?"])
    (number,) = connection.execute(
        f"SELECT COUNT(*) FROM {tables} WHERE {condition}", [*values, last - LOOKED_AT]
    ).fetchone()
    return Count(number, last > LOOKED_AT)
