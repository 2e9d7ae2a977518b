"""The conditions and the order of a list of requests, as SQL.

Each condition is answered by an index or by the columns of the row. Only the words of a filter need the text of the
question: `SEARCHED` bounds the number of requests whose text is read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_args

from msgspec import Struct

from victor_engine.api import ASKED_WORKFLOW, RequestKind, RequestQuery, RequestStatus
from victor_engine.clock import to_us
from victor_engine.errors import UsageError
from victor_engine.store.queries import ids
from victor_engine.store.queries.conversions import marks

SEARCHED = 20_000
"""Maximum number of requests whose text is searched, in each section of a list: the first in its order."""

Order = tuple[tuple[str, bool], ...]
"""Expressions, each with whether it is in descending order."""

_URGENCY: Order = (
    ("q.deadline IS NULL", False),
    ("q.deadline", False),
    ("q.priority", True),
    ("q.key", False),
)
"""The order of open requests: deadline, priority, age. The index `requests_urgent` has it."""
_TITLE = "COALESCE(json_extract(q.spec, '$.title'), q.node_id)"
_ORDERS: dict[str, Order] = {
    "workflow": (("q.workflow", False), *_URGENCY),
    "title": ((_TITLE, False), *_URGENCY),
    "kind": (("q.kind", False), *_URGENCY),
    "age": (("q.created_at", False), ("q.key", False)),
    "run": (("q.run_key", False), ("q.key", False)),
}
_TEXT = (
    "instr(lowered(json_extract(q.spec, '$.title') || char(10) || json_extract(q.spec, '$.prompt')"
    " || char(10) || q.workflow || char(10) || q.node_id), ?) > 0"
)


class Asks(Struct, frozen=True):
    """The names that mean a user in the assignees of a request: by name, and by group or role.

    `anyone` is whether the user may answer requests without assignees. `uid` identifies the user, and `person` the
    person in votes (`Actor.person`).
    """

    user: str
    name: tuple[str, ...]
    groups: tuple[str, ...]
    anyone: bool = True
    uid: int = -1
    person: int | str = -1


@dataclass(frozen=True, slots=True)
class Part:
    """A section of a list: its condition with values, the words to search for, and its order."""

    condition: str
    values: tuple[Any, ...]
    order: Order
    words: tuple[str, ...] = ()

    @property
    def sort(self) -> str:
        """The order as SQL."""
        return ", ".join(f"{column} DESC" if down else column for column, down in self.order)

    @property
    def where(self) -> str:
        """The condition as SQL, with the words."""
        if not self.words:
            return self.condition
        searched = (
            f"SELECT q.key FROM requests q WHERE {self.condition} ORDER BY {self.sort} LIMIT {SEARCHED}"
        )
        return " AND ".join([f"q.key IN ({searched})", *([_TEXT] * len(self.words))])

    @property
    def parameters(self) -> tuple[Any, ...]:
        """The values of `where`."""
        return (*self.values, *self.words)


def list_parts(connection: sqlite3.Connection, query: RequestQuery, asks: Asks | None) -> list[Part]:
    """Return the sections of a list in order, with all conditions of a query.

    By urgency: answers that can be undone, then open requests, then decided ones, the newest decision first.
    """
    found = _sections(query)
    if query.order != "urgency" and found:
        either = " OR ".join(f"({part.condition})" for part in found)
        values = tuple(value for part in found for value in part.values)
        found = [Part(f"({either})", values, _ORDERS[query.order])]
    if query.reverse:
        found = [
            replace(part, order=tuple((column, not down) for column, down in part.order))
            for part in reversed(found)
        ]
    where, parameters = _conditions(connection, query, asks)
    if query.words:
        # SQLite's lower() supports only ASCII.
        connection.create_function("lowered", 1, lambda text: str(text or "").lower(), deterministic=True)
    return [
        replace(
            part,
            condition=" AND ".join([part.condition, *where]),
            values=(*part.values, *parameters),
            words=tuple(word.lower() for word in query.words),
        )
        for part in found
    ]


def _sections(query: RequestQuery) -> list[Part]:
    sections: list[Part] = []
    decided = tuple(status for status in query.statuses if status not in (RequestStatus.OPEN, "held"))
    if "held" in query.statuses and RequestStatus.ANSWERED not in decided:
        sections.append(Part("q.settles_at IS NOT NULL", (), (("q.settles_at", False), ("q.key", False))))
    if RequestStatus.OPEN in query.statuses:
        sections.append(Part("q.status = 'open'", (), _URGENCY))
    if decided:
        # The first condition is that of the index `requests_done`.
        condition = f"q.status <> 'open' AND q.status IN ({marks(len(decided))})"
        sections.append(Part(condition, decided, (("q.answered_at", True), ("q.key", True))))
    return sections


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
    if query.request_id is not None:
        add("q.id = ?", query.request_id)
    if query.asked or query.answerable or query.named:
        if asks is None:
            raise UsageError("the filters asked, answerable and named need a user")
        if query.named:
            _add_named(add, asks, own=query.own)
        if query.asked:
            _add_asked(add, query, asks)
        if query.answerable:
            _add_answerable(add, asks)
    if query.unclaimed:
        add("q.claimed_by IS NULL")
    if query.no_votes:
        add("NOT EXISTS (SELECT 1 FROM votes v WHERE v.request_key = q.key)")
    if query.due_before is not None:
        add("q.deadline <= ?", to_us(query.due_before))
    if query.opened_after is not None:
        add("q.key > ?", query.opened_after)
    if query.workflow_part:
        part = query.workflow_part.lower()
        known = connection.execute("SELECT DISTINCT workflow FROM definitions")
        names = [name for (name,) in known if part in name.lower()]
        add(f"q.workflow IN ({marks(len(names))})", *names)
    if query.run_prefix:
        start = query.run_prefix.lower()
        add("q.run_key IN (SELECT key FROM runs WHERE id >= ? AND id < ?)", start, f"{start}\U0010ffff")
    if query.kind_prefix:
        kinds = [kind for kind in get_args(RequestKind) if kind.startswith(query.kind_prefix)]
        add(f"q.kind IN ({marks(len(kinds))})", *kinds)
    return where, values


def _is_for(names: tuple[str, ...], may: int = 1) -> str:
    """Return the condition that one of some names is among the people of a request."""
    return (
        "EXISTS (SELECT 1 FROM request_people p WHERE p.request_key = q.key"
        f" AND p.name IN ({marks(len(names))}) AND p.may = {may})"
    )


def _add_named(add: Callable[..., None], asks: Asks, *, own: bool) -> None:
    """Add the condition that a request asks a user by name, group or role, or that this user took part in it.

    With `own`, questions that the user asked without a workflow fulfil it too.
    """
    names = (*asks.name, *asks.groups)
    took_part = (
        "json_extract(q.claimed_by, '$.uid') = ?"
        " OR EXISTS (SELECT 1 FROM votes v WHERE v.request_key = q.key"
        " AND json_extract(v.actor, '$.uid') = ?)"
    )
    if own:
        asked = (
            "q.workflow = ? AND EXISTS (SELECT 1 FROM runs r WHERE r.key = q.run_key"
            " AND json_extract(r.actor, '$.uid') = ?)"
        )
        values = (*names, asks.uid, asks.uid, ASKED_WORKFLOW, asks.uid)
        add(f"({_is_for(names)} OR {took_part} OR ({asked}))", *values)
    else:
        add(f"({_is_for(names)} OR {took_part})", *names, asks.uid, asks.uid)


def _add_asked(add: Callable[..., None], query: RequestQuery, asks: Asks) -> None:
    ways: list[str] = []
    values: list[Any] = []
    if "mine" in query.asked:
        ways.append(f"{_is_for(asks.name)} OR json_extract(q.claimed_by, '$.user') = ?")
        values += [*asks.name, asks.user]
    if "groups" in query.asked:
        ways.append(f"({_is_for(asks.groups)} AND NOT {_is_for(asks.name)})")
        values += [*asks.groups, *asks.name]
    if "anyone" in query.asked and asks.anyone:
        ways.append(_is_for(("",)))
        values.append("")
    add(f"({' OR '.join(ways) or '0'})", *values)


def _add_answerable(add: Callable[..., None], asks: Asks) -> None:
    """Add the conditions of a user's queue.

    The user may answer, no other user has the claim, the user has not voted at any stage, and no question to the
    requester is open.
    """
    names = (*asks.name, *asks.groups, *(("",) if asks.anyone else ()))
    barred = (f"user:{asks.user}", f"uid:{asks.person}")
    add("q.status = 'open' AND q.held_since IS NULL")
    add(_is_for(names), *names)
    add(f"NOT {_is_for(barred, 0)}", *barred)
    add("(q.claimed_by IS NULL OR json_extract(q.claimed_by, '$.user') = ?)", asks.user)
    add(
        "NOT EXISTS (SELECT 1 FROM votes v WHERE v.request_key = q.key AND v.undone_at IS NULL AND (v.uid = ?"
        " OR (v.uid < 0 AND json_extract(v.actor, '$.user') = ?)))",
        asks.person if isinstance(asks.person, int) else None,
        asks.user,
    )
