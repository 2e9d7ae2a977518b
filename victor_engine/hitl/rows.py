"""A request as it is stored, and what every transition of one needs."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

import msgspec

from victor_engine.api import Actor
from victor_engine.clock import from_us
from victor_engine.errors import AlreadyAnsweredError, ConflictError, NotFoundError
from victor_engine.events import EventKind
from victor_engine.hitl.ask import Ask
from victor_engine.store.db import Tx, actor_from_json


@dataclass(frozen=True, slots=True)
class Row:
    """Instants are microseconds, actors and answers JSON, as in the store."""

    key: int
    id: str
    revision: int
    run_key: int
    run_id: str
    workflow: str
    node_id: str
    attempt_id: int
    status: str
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


_SELECT = (
    "SELECT q.key, q.id, q.revision, q.run_key, r.id, q.workflow, q.node_id, q.attempt_id, q.status, q.spec,"
    " q.deadline, q.claimed_by, q.outcome, q.answer, q.comment, q.answered_by, q.answered_at, q.settles_at,"
    " q.held_since, q.held_left, q.back_to FROM requests q JOIN runs r ON r.key = q.run_key WHERE q.id = ?"
)


def read_row(source: Tx | sqlite3.Connection, request_id: str) -> Row:
    """One request by its full id; NotFoundError if there is none."""
    found = source.execute(_SELECT, (request_id,)).fetchone()
    if found is None:
        raise NotFoundError(f"there is no request {request_id!r}; `victor inbox list` shows them")
    ask = msgspec.json.decode(found[9], type=Ask)
    return Row(*(*found[:9], ask, *found[10:]))


def read_open(tx: Tx, request_id: str, revision: int | None = None) -> Row:
    """A request that can still be acted on, and that is as it was shown (if a revision is given)."""
    row = read_row(tx, request_id)
    if row.status != "open":
        raise already(row)
    if revision is not None and revision != row.revision:
        raise ConflictError(
            f"request {row.id} has changed since it was shown to you (revision {row.revision}, yours is "
            f"{revision}); look at it again"
        )
    return row


def not_overdue(tx: Tx, row: Row) -> None:
    """ConflictError once the deadline has passed, whether or not an engine has acted on that yet."""
    if row.deadline is not None and row.deadline <= tx.now_us:
        raise ConflictError(
            f"the deadline of request {row.id} passed at {from_us(row.deadline):%Y-%m-%d %H:%M:%S} UTC, and "
            f"what its author wrote for that holds. {row.ask.on_timeout_text or row.ask.on_timeout}",
            deadline=from_us(row.deadline).isoformat(),
        )


def already(row: Row) -> AlreadyAnsweredError | ConflictError:
    """Who was first, when and what they said."""
    if row.status == "answered":
        by = actor_from_json(row.answered_by)
        at = from_us(row.answered_at or 0)
        return AlreadyAnsweredError(
            f"{by.user} answered this at {at:%Y-%m-%d %H:%M:%S} UTC: {row.outcome}"
            + (f" ({row.answer})" if row.outcome == "answered" else ""),
            by=by.user,
            at=at.isoformat(),
            outcome=row.outcome,
            answer=row.answer,
        )
    if row.status == "expired":
        return AlreadyAnsweredError(f"the deadline has passed: {row.outcome}", outcome=row.outcome)
    return ConflictError(f"request {row.id} was withdrawn, because its run has ended")


def write_event(
    tx: Tx, row: Row, kind: EventKind, actor: Actor | None, data: dict[str, Any] | None = None
) -> None:
    """One event about a request, in the transition that changes it."""
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
    """Store a question whose people or silence have changed: a new revision, claimed by nobody."""
    tx.execute(
        "UPDATE requests SET spec = ?, revision = revision + 1, claimed_by = NULL WHERE key = ?",
        (msgspec.json.encode(ask).decode(), row.key),
    )
