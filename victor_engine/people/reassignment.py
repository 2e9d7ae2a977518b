"""Reassignment of a request to other people, and delegation of one's own part."""

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
    """Replace the assignees of a request.

    Assignees, the user who claimed the request, and admins may do it. In a chain, it changes the current stage. Votes
    stay; a claim is released.
    """
    row = _read_for(tx, request_id, RequestCommand.REASSIGN, revision, person)
    people = _named(assignees)
    if len(people) < row.ask.required_approvals and not any(_is_many(name) for name in people):
        raise UsageError(
            f"request {row.id} needs {row.ask.required_approvals} approvals, and {', '.join(people)} "
            "is not enough; name more people or a group"
        )
    _put(tx, row, EventKind.REQUEST_REASSIGNED, people, note, person)


def delegate_request(tx: Tx, request_id: str, revision: int, to: str, note: str, person: Person) -> None:
    """Let another person answer instead of oneself.

    The other person replaces an assignee who is named, and is added for a member of a group or role, or if the
    request has no assignees. Assignees, the user who claimed the request, and admins may do it.
    """
    row = _read_for(tx, request_id, RequestCommand.DELEGATE, revision, person)
    (other,) = _named((to,))
    own = (person.actor.user, USER + person.actor.user)
    rest = tuple(name for name in row.ask.assignees if name not in own)
    _put(tx, row, EventKind.REQUEST_DELEGATED, tuple(dict.fromkeys((*rest, other))), note, person)


def _read_for(tx: Tx, request_id: str, command: RequestCommand, revision: int, person: Person) -> Row:
    row = read_for(tx, request_id, command, revision)
    holds = row.claimed_by is not None and actor_from_json(row.claimed_by).uid == person.actor.uid
    if not (holds or person.admin or person.is_one_of(row.ask.assignees)):
        raise PermissionDeniedError(
            f"request {row.id} is assigned to {', '.join(row.ask.assignees)}, and you are {person.actor.user}; "
            "only its assignees, the user who claimed it, and admins can reassign or delegate it"
        )
    return row


def _named(names: tuple[str, ...]) -> tuple[str, ...]:
    people = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not people:
        raise UsageError("no assignee is given; name a user, group:<name>, or @<role>")
    return people


def _is_many(name: str) -> bool:
    """Return whether a name can mean several people."""
    return not name.startswith(USER)


def _put(tx: Tx, row: Row, kind: EventKind, people: tuple[str, ...], note: str, person: Person) -> None:
    write_ask(tx, row, msgspec.structs.replace(row.ask, assignees=people))
    data: dict[str, Any] = {"from": list(row.ask.assignees), "to": list(people)}
    if note:
        data["note"] = note
    write_event(tx, row, kind, person.actor, data)
