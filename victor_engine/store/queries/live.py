"""The current activity of active runs: their running nodes with start times, and their waits, as text.

Read for many runs at once: a table of a thousand active runs costs a handful of statements.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from victor_engine import jsonio
from victor_engine.clock import from_us
from victor_engine.store.queries.conversions import instant, left, marks
from victor_engine.store.runs import LIVE

_AT_ONCE = 500
"""The maximum number of runs of one statement."""


class Doing(Struct):
    """The activity of a run. `running` are the running attempts (node, start), the oldest first.

    `since` is when the oldest live attempt began; `waits_for` is the most urgent wait, if there is one.
    """

    nodes: tuple[str, ...] = ()
    since: datetime | None = None
    running: tuple[tuple[str, datetime], ...] = ()
    waits_for: str | None = None
    request_id: str | None = None


def doing(connection: sqlite3.Connection, keys: Sequence[int], now: datetime) -> dict[int, Doing]:
    """Return the activity of each of these runs. Runs without a live attempt or open request are left out."""
    found: dict[int, Doing] = {}
    for some in _chunks(keys):
        _attempts(connection, some, now, found)
        _requests(connection, some, now, found)
    return found


def _chunks(keys: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]


def _attempts(
    connection: sqlite3.Connection, keys: Sequence[int], now: datetime, found: dict[int, Doing]
) -> None:
    waits: dict[int, list[tuple[bool, datetime, str]]] = {}
    for key, node, status, started, number, retry_at, wait, child in connection.execute(
        "SELECT a.run_key, CASE WHEN a.node_type = 'item' THEN a.parent ELSE a.node_id END,"
        " a.status, a.started_at, a.number, a.retry_at, a.wait, c.id"
        " FROM attempts a LEFT JOIN runs c ON c.key = a.child_key"
        f" WHERE a.run_key IN ({marks(len(keys))}) AND {LIVE} ORDER BY a.id",
        keys,
    ):
        doing = found.setdefault(key, Doing())
        if node not in doing.nodes:
            doing.nodes = (*doing.nodes, node)
        began = from_us(started)
        doing.since = began if doing.since is None else min(doing.since, began)
        if status == "running":
            doing.running = (*doing.running, (node, began))
        elif status == "retrying" and retry_at is not None:
            due = from_us(retry_at)
            words = f"{node}: attempt {number + 1}, {left(due, now)}"
            waits.setdefault(key, []).append((False, due, words))
        elif wait is not None:
            waits.setdefault(key, []).append(_wait(node, jsonio.loads(wait), child, now))
    for key, each in waits.items():
        each.sort(key=lambda wait: wait[:2])
        more = f" and {len(each) - 1} more" if len(each) > 1 else ""
        found[key].waits_for = each[0][2] + more


def _wait(node: str, wait: Mapping[str, Any], child: str | None, now: datetime) -> tuple[bool, datetime, str]:
    until = waits_until(wait)
    name = wait["text"] if child is None else f"{wait['text']}, run {child}"
    words = f"{node}: {name}" if until is None else f"{node}: {name}, {left(until, now)}"
    return until is None, until or now, words


def waits_until(wait: Mapping[str, Any]) -> datetime | None:
    """Return the latest end of a stored wait."""
    return instant(min((wait[key] for key in ("due", "deadline") if key in wait), default=None))


def _requests(
    connection: sqlite3.Connection, keys: Sequence[int], now: datetime, found: dict[int, Doing]
) -> None:
    """Set the most urgent open request of each run. It is shown before other waits."""
    asked: dict[int, list[tuple[str, str, str, int | None]]] = {}
    for key, request, node, kind, deadline in connection.execute(
        "SELECT run_key, id, node_id, kind, deadline FROM requests"
        f" WHERE run_key IN ({marks(len(keys))}) AND status = 'open' ORDER BY deadline IS NULL, deadline, key",
        keys,
    ):
        asked.setdefault(key, []).append((request, node, kind, deadline))
    for key, rows in asked.items():
        request, node, kind, deadline = rows[0]
        more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        doing = found.setdefault(key, Doing())
        doing.request_id = request
        doing.waits_for = f"{node}: {kind}, {left(instant(deadline), now)}{more}"
