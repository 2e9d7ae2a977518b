"""The search for workflows, versions, schedules, runs and open requests by name.

Each kind is searched in one statement of the store that returns a bounded number of candidates: those that have each
word as a part of their name, then those that have the letters of the words in order. `rank` sorts the candidates.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from victor_engine.api import (
    ACTIVE_RUN_STATUSES,
    ASKED_WORKFLOW,
    FINAL_RUN_STATUSES,
    Found,
    FoundKind,
)
from victor_engine.clock import from_us
from victor_engine.store.queries.conversions import marks

CANDIDATES = 200
"""Maximum number of rows of a kind that one pass of a search ranks."""
_WORKFLOWS = 20
"""Maximum number of workflows whose runs are searched."""
_PROMPT = 2000
"""Number of characters of a prompt that are searched."""
_WORDS = 8
"""Maximum number of words of a search. Further words are ignored."""
_STATUSES = frozenset({*ACTIVE_RUN_STATUSES, *FINAL_RUN_STATUSES})

Likes = list[str]
"""One pattern of LIKE for each word."""


def find(connection: sqlite3.Connection, text: str, kinds: Sequence[FoundKind], limit: int) -> list[Found]:
    """Return at most `limit` things of each kind that the words of `text` name, the best match first.

    Of equal matches, the first of each kind come before the second ones.
    """
    words = text.lower().split()[:_WORDS]
    found: list[tuple[int, int, Found]] = []
    for kind in dict.fromkeys(kinds):
        rows = _SEARCHES[kind](connection, words, limit)
        best = sorted(rows, key=lambda each: _order(words, each))[:limit]
        found += [(_order(words, each)[0], place, each) for place, each in enumerate(best)]
    return [each for _, _, each in sorted(found, key=lambda item: item[:2])]


def _order(words: Sequence[str], found: Found) -> tuple[int, float]:
    """Return the place of a result among its kind: by the match, then the most recent first."""
    names = f"{found.title} {found.workflow} {found.id} {found.detail}"
    return sum(rank(word, names) for word in words), -(found.at.timestamp() if found.at else 0.0)


def rank(word: str, names: str) -> int:
    """Return how well a word matches names: 0 for a whole name, up to 4 for letters in the same order."""
    names = names.lower()
    if word in names.split():
        return 0
    if re.search(rf"(?:^|\s){re.escape(word)}", names):
        return 1
    if re.search(rf"(?:\b|_){re.escape(word)}", names):
        return 2
    return 3 if word in names else 4


def _escaped(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)


def _patterns(words: Sequence[str]) -> Iterator[Likes]:
    """Yield the patterns of both passes: each word as a part, then the letters of each word in order."""
    yield [f"%{_escaped(word)}%" for word in words]
    if words:
        yield [f"%{'%'.join(_escaped(letter) for letter in word)}%" for word in words]


def _like(expression: str, patterns: Likes) -> str:
    return " AND ".join([f"({expression}) LIKE ? ESCAPE '\\'"] * len(patterns)) or "1"


def _rows(
    connection: sqlite3.Connection,
    select: str,
    order: str,
    words: Sequence[str],
    limit: int,
    *,
    name: str,
    text: str | None = None,
) -> list[tuple[Any, ...]]:
    """Return the rows of `select`, which ends in a condition, whose `name` or `text` matches the words.

    Only parts of the name count as letters in order: a long text has the letters of every word.
    """
    rows: list[tuple[Any, ...]] = []
    for patterns, expression in zip(_patterns(words), (text or name, name), strict=False):
        sql = f"{select} AND {_like(expression, patterns)} ORDER BY {order} LIMIT {CANDIDATES}"
        rows += [row for row in connection.execute(sql, patterns) if row not in rows]
        if len(rows) >= limit:
            break
    return rows


def _workflows(connection: sqlite3.Connection, words: Sequence[str], limit: int) -> list[Found]:
    select = (
        "SELECT workflow, MAX(registered_at), COUNT(*) FROM definitions"
        f" WHERE workflow <> '{ASKED_WORKFLOW}' GROUP BY workflow HAVING 1"
    )
    rows = _rows(connection, select, "2 DESC", words, limit, name="workflow")
    return [
        Found("workflow", name, name, name, "1 version" if count == 1 else f"{count} versions", from_us(at))
        for name, at, count in rows
    ]


def _versions(connection: sqlite3.Connection, words: Sequence[str], limit: int) -> list[Found]:
    select = (
        "SELECT workflow, version, registered_at, deprecated, removed_at, in_force_since FROM definitions"
        f" WHERE workflow <> '{ASKED_WORKFLOW}'"
    )
    name = "workflow || ' ' || version"
    rows = _rows(connection, select, "registered_at DESC, id DESC", words, limit, name=name)
    return [
        Found("version", version, workflow, f"{workflow} {version}", _version_state(*state), from_us(at))
        for workflow, version, at, *state in rows
    ]


def _version_state(deprecated: str | None, removed: int | None, in_force: int | None) -> str:
    if removed is not None:
        return "removed"
    return "deprecated" if deprecated is not None else "current" if in_force is not None else ""


def _schedules(connection: sqlite3.Connection, words: Sequence[str], limit: int) -> list[Found]:
    select = "SELECT id, workflow, updated_at, paused IS NOT NULL FROM schedules WHERE removed_at IS NULL"
    rows = _rows(connection, select, "updated_at DESC, id", words, limit, name="workflow || ' ' || id")
    return [
        Found("schedule", id, workflow, workflow, "paused" if paused else "", from_us(at))
        for id, workflow, at, paused in rows
    ]


def _runs(connection: sqlite3.Connection, words: Sequence[str], limit: int) -> list[Found]:
    """Search by a status, by the name of the workflow, and by the beginning of an id."""
    statuses = [word for word in words if word in _STATUSES]
    names = [word for word in words if word not in _STATUSES]
    columns = "SELECT id, workflow, status, created_at FROM runs WHERE"
    condition = f" AND status IN ({marks(len(statuses))})" if statuses else ""
    end = f"{condition} ORDER BY key DESC LIMIT {limit}"
    rows: list[tuple[Any, ...]] = []
    if len(names) == 1:
        beginning = (names[0], names[0] + "\U0010ffff", *statuses)
        rows += connection.execute(f"{columns} id >= ? AND id < ?{end}", beginning)
    for workflow in _workflows(connection, names, _WORKFLOWS)[:_WORKFLOWS]:
        rows += connection.execute(f"{columns} workflow = ?{end}", (workflow.id, *statuses))
    return [
        Found("run", id, workflow, workflow, status, from_us(at))
        for id, workflow, status, at in dict.fromkeys(rows)
    ]


def _requests(connection: sqlite3.Connection, words: Sequence[str], limit: int) -> list[Found]:
    title = "COALESCE(json_extract(q.spec, '$.title'), q.node_id)"
    name = f"{title} || ' ' || q.workflow || ' ' || q.id || ' ' || q.node_id"
    select = f"SELECT q.id, q.workflow, {title}, q.created_at FROM requests q WHERE q.status = 'open'"
    prompt = f"{name} || ' ' || substr(COALESCE(json_extract(q.spec, '$.prompt'), ''), 1, {_PROMPT})"
    rows = _rows(connection, select, "q.key DESC", words, limit, name=name, text=prompt)
    return [Found("request", id, workflow, title, "open", from_us(at)) for id, workflow, title, at in rows]


_SEARCHES: dict[FoundKind, Callable[[sqlite3.Connection, Sequence[str], int], list[Found]]] = {
    "workflow": _workflows,
    "version": _versions,
    "schedule": _schedules,
    "run": _runs,
    "request": _requests,
}
