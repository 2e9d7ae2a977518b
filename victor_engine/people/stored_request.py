"""A request as it is stored, and the functions that all its transitions share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from victor_engine.api import Actor
from victor_engine.clock import from_us
from victor_engine.domain.statuses import RequestStatus
from victor_engine.domain.transitions import (
    REQUEST_TRANSITIONS,
    RequestCommand,
    RequestState,
    request_refusal,
)
from victor_engine.errors import AlreadyAnsweredError, ConflictError, NotFoundError
from victor_engine.events import EventKind
from victor_engine.people.questions import Ask
from victor_engine.store.db import Tx, actor_from_json
from victor_engine.store.queries import ids
from victor_engine.store.queries.events import last_change_of_request
from victor_engine.store.repositories import requests
from victor_engine.store.repositories.requests import Handle


@dataclass(frozen=True, slots=True)
class Row:
    """A stored request. Instants are microseconds; actors and answers are JSON, as in the store."""

    key: int
    id: str
    revision: int
    run_key: int
    run_id: str
    workflow: str
    node_id: str
    attempt_id: int
    status: RequestStatus
    ask: Ask
    deadline: int | None
    claimed_by: str | None
    outcome: str | None
    answer: str | None
    comment: str
    answered_by: str | None
    answered_at: int | None
    settles_at: int | None
    held_since: int | None
    held_left: int | None
    back_to: str | None

    @property
    def handle(self) -> Handle:
        """The columns that repositories need to change the request."""
        return Handle(self.key, self.id, self.revision, self.status)

    @property
    def state(self) -> RequestState:
        """The facts that determine which commands the request accepts."""
        return RequestState(
            self.status,
            settling=self.settles_at is not None,
            held=self.held_since is not None,
            takes_questions=self.ask.allow_questions,
        )


def read_row(source: ids.Source, request_id: str) -> Row:
    """Return a request by its whole id. Raise NotFoundError if it does not exist."""
    return _row(requests.find(source, request_id), request_id)


def lock_row(tx: Tx, request_id: str) -> Row:
    """Lock a request and its run, and return the request. Raise NotFoundError if there is none."""
    return _row(requests.lock(tx, request_id), request_id)


def _row(found: Any, request_id: str) -> Row:
    if found is None:
        raise NotFoundError(f"request {request_id!r} does not exist; `victor inbox list` shows the requests")
    ask = msgspec.json.decode(found[9], type=Ask)
    return Row(*(*found[:8], RequestStatus(found[8]), ask, *found[10:]))


def read_for(tx: Tx, request_id: str, command: RequestCommand, revision: int | None = None) -> Row:
    """Lock a request for a command and return it.

    Raise AlreadyAnsweredError or ConflictError if the request does not accept the command, or if it is not at
    `revision`.
    """
    row = lock_row(tx, request_id)
    reason = request_refusal(row.state, command)
    if reason is not None:
        raise refused(row, command, reason)
    if revision is not None and revision != row.revision:
        changed = _last_change(tx, row)
        raise ConflictError(
            f"request {row.id} has changed since it was shown to you ({changed}; it is at revision {row.revision}, not "
            f"{revision}); read it again",
            changed=changed,
        )
    return row


def _last_change(tx: Tx, row: Row) -> str:
    """Return the user, kind and time of the last change of a request, in words."""
    found = last_change_of_request(tx, row.id)
    if found is None:
        return "it was changed"
    actor, kind, at = found
    by = actor_from_json(actor).user
    return f"{by}: {kind.replace('.', ' ').replace('_', ' ')} at {from_us(at):%Y-%m-%d %H:%M:%S} UTC"


def not_overdue(row: Row, now: int) -> None:
    """Raise ConflictError if the deadline has passed, even if no engine has acted on it yet."""
    if row.deadline is not None and row.deadline <= now:
        raise ConflictError(
            f"the deadline of request {row.id} passed at {from_us(row.deadline):%Y-%m-%d %H:%M:%S} UTC; "
            f"it can no longer be answered. {row.ask.on_timeout_text or row.ask.on_timeout}",
            deadline=from_us(row.deadline).isoformat(),
        )


def refused(row: Row, command: RequestCommand, reason: str) -> AlreadyAnsweredError | ConflictError:
    """Return the error for a command that a request does not accept. It names the first answer, if there is one."""
    too_late = row.status not in REQUEST_TRANSITIONS[command] and command is not RequestCommand.UNDO
    if too_late and row.status is RequestStatus.ANSWERED:
        by = actor_from_json(row.answered_by)
        at = from_us(row.answered_at or 0)
        return AlreadyAnsweredError(
            f"{by.user} answered this request at {at:%Y-%m-%d %H:%M:%S} UTC: {row.outcome}"
            + (f" ({row.answer})" if row.outcome == "answered" else ""),
            by=by.user,
            at=at.isoformat(),
            outcome=row.outcome,
            answer=row.answer,
        )
    if too_late and row.status is RequestStatus.EXPIRED:
        return AlreadyAnsweredError(
            f"the deadline of request {row.id} has passed: {row.outcome}", outcome=row.outcome
        )
    return ConflictError(f"request {row.id} {reason}")


def write_event(
    tx: Tx, row: Row, kind: EventKind, actor: Actor | None, data: dict[str, Any] | None = None
) -> None:
    """Write an event about a request in the transition that changes it."""
    tx.event(
        kind,
        actor=actor,
        run_key=row.run_key,
        run_id=row.run_id,
        request_id=row.id,
        workflow=row.workflow,
        node_id=row.node_id,
        data=data,
    )


def write_ask(tx: Tx, row: Row, ask: Ask) -> None:
    """Store a question whose assignees or timeout have changed. It gets a new revision and loses its claim."""
    requests.put_question(tx, row.handle, msgspec.json.encode(ask).decode(), ask.assignees)
