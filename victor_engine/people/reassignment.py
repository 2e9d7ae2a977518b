"""Handing a request on: to other people (reassign), or one's own part of it (delegate)."""

from __future__ import annotations

from typing import Any

import msgspec

from victor_engine.domain.transitions import RequestCommand
from victor_engine.errors import PermissionDeniedError, UsageError
from victor_engine.events import EventKind
from victor_engine.people.roles import USER, Person
from victor_engine.people.stored_request import Row, read_for, write_ask, write_event
from victor_engine.store.db import Tx, actor_from_json


def reassign_request(
    tx: Tx, request_id: str, revision: int, assignees: tuple[str, ...], note: str, person: Person
) -> None:
    """Put other people in the place of those who are asked.

    An assignee, whoever claimed the request, and an admin may. In a chain this changes the place that
    it has come to. Votes that were given stay; a claim does not.
    """
    row = _handed_on(tx, request_id, RequestCommand.REASSIGN, revision, person)
    people = _named(assignees)
    if len(people) < row.ask.required_approvals and not any(_is_many(name) for name in people):
        raise UsageError(
            f"request {row.id} needs {row.ask.required_approvals} people who agree, and "
            f"{', '.join(people)} would be too few"
        )
    _put(tx, row, EventKind.REQUEST_REASSIGNED, people, note, person)


def delegate_request(tx: Tx, request_id: str, revision: int, to: str, note: str, person: Person) -> None:
    """Let somebody else answer in one's own place.

    Who is assigned by name gives that place away; who is meant by a group or role, or by nobody being
    named, adds the other. Whoever claimed it and an admin may as well.
    """
    row = _handed_on(tx, request_id, RequestCommand.DELEGATE, revision, person)
    (other,) = _named((to,))
    own = (person.actor.user, USER + person.actor.user)
    rest = tuple(name for name in row.ask.assignees if name not in own)
    _put(tx, row, EventKind.REQUEST_DELEGATED, tuple(dict.fromkeys((*rest, other))), note, person)


def _handed_on(tx: Tx, request_id: str, command: RequestCommand, revision: int, person: Person) -> Row:
    row = read_for(tx, request_id, command, revision)
    holds = row.claimed_by is not None and actor_from_json(row.claimed_by).uid == person.actor.uid
    if not (holds or person.admin or person.is_one_of(row.ask.assignees)):
        raise PermissionDeniedError(
            f"request {row.id} is for {', '.join(row.ask.assignees)}; they, who claimed it, and an admin "
            f"may hand it on, and you are {person.actor.user}"
        )
    return row


def _named(names: tuple[str, ...]) -> tuple[str, ...]:
    people = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not people:
        raise UsageError("say who: a user, group:<name>, or @<role>")
    return people


def _is_many(name: str) -> bool:
    """Whether a name may stand for several people."""
    return not name.startswith(USER)


def _put(tx: Tx, row: Row, kind: EventKind, people: tuple[str, ...], note: str, person: Person) -> None:
    write_ask(tx, row, msgspec.structs.replace(row.ask, assignees=people))
    data: dict[str, Any] = {"from": list(row.ask.assignees), "to": list(people)}
    if note:
        data["note"] = note
    write_event(tx, row, kind, person.actor, data)
