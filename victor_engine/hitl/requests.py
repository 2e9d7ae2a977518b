"""Transitions of requests: opened, claimed, voted on, answered, expired, withdrawn. Each is one
compare-and-set on (request, revision) with its events; whoever comes second is told who was first.
"""

from __future__ import annotations

import grp
import os
import pwd
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from victor_engine import jsonio
from victor_engine.api import Actor, Answer
from victor_engine.clock import from_us, to_us
from victor_engine.errors import (
    AlreadyAnsweredError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
)
from victor_engine.events import EventKind
from victor_engine.hitl.ask import Ask, build_ask, silence
from victor_engine.hitl.decisions import (
    Decision,
    Way,
    check_answer,
    default_fits,
    next_nodes,
    record,
    same,
)
from victor_engine.ids import new_id
from victor_engine.store.db import Tx, actor_from_json, actor_json

Roles = Callable[[str], frozenset[str]]
"""The members (users and `@group` names) of a role of the configuration."""


@dataclass(frozen=True, slots=True)
class RequestRef:
    id: str
    key: int
    revision: int


@dataclass(frozen=True, slots=True)
class _Row:
    key: int
    id: str
    revision: int
    run_key: int
    run_id: str
    workflow: str
    node_id: str
    status: str
    ask: Ask
    deadline: int | None
    claimed_by: str | None
    outcome: str | None
    answer: str | None
    answered_by: str | None
    answered_at: int | None


_SELECT = (
    "SELECT q.key, q.id, q.revision, q.run_key, r.id, q.workflow, q.node_id, q.status, q.spec, q.deadline,"
    " q.claimed_by, q.outcome, q.answer, q.answered_by, q.answered_at"
    " FROM requests q JOIN runs r ON r.key = q.run_key WHERE q.id = ?"
)


def _row(source: Tx | sqlite3.Connection, request_id: str) -> _Row:
    found = source.execute(_SELECT, (request_id,)).fetchone()
    if found is None:
        raise NotFoundError(f"there is no request {request_id!r}; `victor inbox list` shows them")
    ask = msgspec.json.decode(found[8], type=Ask)
    return _Row(*(*found[:8], ask, *found[9:]))


def open_request(
    tx: Tx,
    *,
    run_key: int,
    run_id: str,
    workflow: str,
    attempt_id: int,
    node_id: str,
    iteration: int,
    ask: Ask,
    deadline_us: int | None,
) -> RequestRef:
    """Put a question to people. Asking again for the same step gives the question that is there."""
    known = tx.execute(
        "SELECT id, key, revision FROM requests WHERE run_key = ? AND node_id = ? AND iteration = ?"
        " AND attempt_id = ? AND status <> 'withdrawn'",
        (run_key, node_id, iteration, attempt_id),
    ).fetchone()
    if known is not None:
        return RequestRef(*known)
    request_id = new_id(tx.now)
    cursor = tx.execute(
        "INSERT INTO requests (id, run_key, attempt_id, workflow, node_id, iteration, kind, status, spec,"
        " digest, created_at, deadline, priority) VALUES (?,?,?,?,?,?,?,'open',?,?,?,?,?)",
        (
            request_id,
            run_key,
            attempt_id,
            workflow,
            node_id,
            iteration,
            ask.kind,
            msgspec.json.encode(ask).decode(),
            ask.shown_digest(),
            tx.now_us,
            deadline_us,
            ask.priority,
        ),
    )
    tx.event(
        EventKind.REQUEST_OPENED,
        run_key=run_key,
        run_id=run_id,
        request_id=request_id,
        workflow=workflow,
        node_id=node_id,
        data={"kind": ask.kind, "title": ask.title, "deadline": deadline_us, "missing": list(ask.missing)},
    )
    assert cursor.lastrowid is not None
    return RequestRef(request_id, cursor.lastrowid, 1)


# --- who may -----------------------------------------------------------------------------------


def _groups(user: str) -> frozenset[str]:
    try:
        primary = pwd.getpwnam(user).pw_gid
        return frozenset(grp.getgrgid(gid).gr_name for gid in os.getgrouplist(user, primary))
    except KeyError:
        return frozenset()


def is_assigned(assignees: tuple[str, ...], actor: Actor, roles: Roles | None = None) -> bool:
    """Whether a request is for this person: by user name, by Unix group, or by `@role`."""
    if not assignees or actor.user in assignees:
        return True
    groups = _groups(actor.user)
    for name in assignees:
        if name.startswith("@"):
            members = roles(name[1:]) if roles is not None else frozenset()
            if actor.user in members or any(f"@{group}" in members for group in groups) or name[1:] in groups:
                return True
        elif name in groups:
            return True
    return False


def _person(actor: Actor) -> int | str:
    """Who somebody is when people are counted: the uid that the kernel gave, or else the name."""
    return actor.uid if actor.uid >= 0 else actor.user


def _starters(tx: Tx, run_key: int) -> list[Actor]:
    """Who started this run, or a run that it comes from."""
    rows = tx.execute(
        "WITH RECURSIVE line (key, actor, parent_key) AS ("
        " SELECT key, actor, parent_key FROM runs WHERE key = ?"
        " UNION SELECT r.key, r.actor, r.parent_key FROM runs r JOIN line l ON r.key = l.parent_key)"
        " SELECT actor FROM line WHERE actor IS NOT NULL",
        (run_key,),
    )
    return [actor_from_json(text) for (text,) in rows]


def _check_person(tx: Tx, row: _Row, actor: Actor, approves: bool, roles: Roles | None) -> None:
    if not is_assigned(row.ask.assignees, actor, roles):
        raise PermissionDeniedError(
            f"request {row.id} is for {', '.join(row.ask.assignees)}, and you are {actor.user}"
        )
    if not approves or row.ask.allow_self_approval:
        return
    for starter in _starters(tx, row.run_key):
        if _person(actor) == _person(starter) or actor.user == starter.user:
            raise PermissionDeniedError(
                f"{row.node_id} needs four eyes: {starter.user} started run {row.run_id} and may not approve it"
            )


# --- answering ---------------------------------------------------------------------------------


def _already(row: _Row) -> AlreadyAnsweredError | ConflictError:
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


def answer_request(
    tx: Tx, request_id: str, revision: int, answer: Answer, actor: Actor, roles: Roles | None = None
) -> Decision | None:
    """Record an answer. Returns the decision, or None where more people have to agree first.

    With `required_approvals` n, n different people have to give the same answer: the same picks, the
    same document. Whoever changes their mind counts with what they said last.

    AlreadyAnsweredError names who was first, when and what; ConflictError says that the request has
    changed since it was read, or that its deadline has passed, whether or not an engine has acted on
    that yet; InvalidAnswerError and PermissionDeniedError change nothing either.
    """
    row = _row(tx, request_id)
    if row.status != "open":
        raise _already(row)
    if revision != row.revision:
        raise ConflictError(
            f"request {row.id} has changed since it was shown to you (revision {row.revision}, yours is "
            f"{revision}); look at it again"
        )
    if row.deadline is not None and row.deadline <= tx.now_us:
        raise ConflictError(
            f"the deadline of request {row.id} passed at {from_us(row.deadline):%Y-%m-%d %H:%M:%S} UTC, and "
            f"what its author wrote for that holds. {row.ask.on_timeout_text or row.ask.on_timeout}",
            deadline=from_us(row.deadline).isoformat(),
        )
    outcome, value = check_answer(row.ask, answer)
    _check_person(tx, row, actor, outcome in ("approved", "answered", "accepted", "overridden"), roles)
    standing = _standing(tx, row.key)
    before = standing.get(_person(actor))
    if before is not None and before[0] == outcome and same(before[1], value):
        agreeing = _agreeing(standing, outcome, value)
        raise ConflictError(
            f"you have said so on request {row.id} already; "
            f"{agreeing} of {row.ask.required_approvals} people agree on it"
        )
    tx.execute(
        "INSERT INTO votes (request_key, revision, at, actor, uid, outcome, value, comment)"
        " VALUES (?,?,?,?,?,?,?,?)",
        (
            row.key,
            row.revision,
            tx.now_us,
            msgspec.json.encode(actor).decode(),
            actor.uid,
            outcome,
            jsonio.dumps_text(value),
            answer.comment,
        ),
    )
    standing[_person(actor)] = (outcome, value)
    agreeing = _agreeing(standing, outcome, value)
    alone = outcome == "rejected" and row.ask.reject_policy == "any"
    if agreeing < row.ask.required_approvals and not alone:
        # The question has not changed, so neither has its revision: others may vote on what they see.
        _event(tx, row, EventKind.REQUEST_VOTED, actor, {"outcome": outcome, "votes": agreeing})
        return None
    tx.execute(
        "UPDATE requests SET status = 'answered', revision = revision + 1, outcome = ?, answer = ?, comment = ?,"
        " answered_by = ?, answered_at = ? WHERE key = ? AND revision = ? AND status = 'open'",
        (
            outcome,
            jsonio.dumps_text(value),
            answer.comment,
            msgspec.json.encode(actor).decode(),
            tx.now_us,
            row.key,
            row.revision,
        ),
    )
    data: dict[str, Any] = {"outcome": outcome, "value": value}
    if answer.comment:
        data["comment"] = answer.comment
    _event(tx, row, EventKind.REQUEST_ANSWERED, actor, data)
    return decision_of(tx, row.id)


def _standing(tx: Tx, request_key: int) -> dict[int | str, tuple[str, Any]]:
    """What each person said last."""
    rows = tx.execute(
        "SELECT actor, outcome, value FROM votes WHERE request_key = ? ORDER BY id", (request_key,)
    )
    return {
        _person(actor_from_json(actor)): (outcome, jsonio.loads(value) if value is not None else None)
        for actor, outcome, value in rows
    }


def _agreeing(standing: dict[int | str, tuple[str, Any]], outcome: str, value: Any) -> int:
    return sum(1 for said, other in standing.values() if said == outcome and same(other, value))


def _event(
    tx: Tx, row: _Row, kind: EventKind, actor: Actor | None, data: dict[str, Any] | None = None
) -> None:
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


def decision_of(source: Tx | sqlite3.Connection, request_id: str) -> Decision | None:
    """The decision on a request that is decided; None while it is open. Read from what is stored."""
    row = _row(source, request_id)
    if row.status == "open":
        return None
    if row.status == "withdrawn":
        return Decision(
            "withdrawn", None, {"outcome": "withdrawn"}, abort=f"{row.node_id}: the question was withdrawn"
        )
    value = jsonio.loads(row.answer) if row.answer is not None else None
    outcome = row.outcome or "timed_out"
    by = actor_from_json(row.answered_by) if row.answered_by is not None else None
    at = from_us(row.answered_at or 0).isoformat().replace("+00:00", "Z")
    votes = [
        {"by": actor_from_json(actor).user, "outcome": said, **({"comment": comment} if comment else {})}
        for actor, said, comment in source.execute(
            "SELECT actor, outcome, comment FROM votes WHERE request_key = ? ORDER BY id", (row.key,)
        )
    ]
    comment = source.execute("SELECT comment FROM requests WHERE key = ?", (row.key,)).fetchone()[0]
    abort = None
    if row.status == "expired" and outcome == "aborted":
        abort = f"nobody answered {row.node_id!r} ({row.ask.title}) before its deadline"
        if row.ask.on_timeout == "continue":
            abort += f", and its default {row.ask.default!r} is not an answer that it allows"
    return Decision(
        outcome if outcome != "aborted" else "timed_out",
        value,
        record(outcome, value, comment, by, at, votes if row.ask.required_approvals > 1 else []),
        abort,
    )


# --- silence -----------------------------------------------------------------------------------


def expire_request(tx: Tx, request_id: str) -> Decision | None:
    """The deadline has passed: do what the author wrote, and nothing else.

    Returns the decision, or None where the request goes on (asked again, or escalated) or is
    decided or not due after all.
    """
    row = _row(tx, request_id)
    if row.status != "open" or row.deadline is None or row.deadline > tx.now_us:
        return None
    ask = row.ask
    if ask.on_timeout == "retry" and ask.asks < ask.max_asks:
        again = msgspec.structs.replace(ask, asks=ask.asks + 1)
        _go_on(tx, row, again, ask.timeout, {"asked": again.asks, "of": ask.max_asks})
        return None
    if ask.step < len(ask.escalation):
        step = ask.escalation[ask.step]
        people = tuple(dict.fromkeys((*ask.assignees, step.to))) if ask.assignees else ()
        rest = ask.escalation[ask.step + 1 :]
        words = silence(ask.on_timeout, ask.default, ask.has_default, ask.max_asks, rest)
        raised = msgspec.structs.replace(ask, assignees=people, step=ask.step + 1, on_timeout_text=words)
        _go_on(tx, row, raised, step.after or ask.timeout, {"escalated_to": step.to})
        return None
    outcome, value = {
        "continue": ("timed_out", ask.default if ask.has_default else None),
        "skip": ("skipped", ask.default if ask.has_default else None),
        "reject": ("rejected", False),
        "approve": ("approved", True),
    }.get(ask.on_timeout, ("aborted", None))
    if outcome == "timed_out" and ask.has_default and not default_fits(ask):
        outcome, value = "aborted", None
    tx.execute(
        "UPDATE requests SET status = 'expired', revision = revision + 1, outcome = ?, answer = ?, answered_at = ?"
        " WHERE key = ? AND status = 'open'",
        (outcome, jsonio.dumps_text(value), tx.now_us, row.key),
    )
    _event(tx, row, EventKind.REQUEST_EXPIRED, None, {"outcome": outcome, "on_timeout": ask.on_timeout})
    return decision_of(tx, row.id)


def _go_on(tx: Tx, row: _Row, ask: Ask, seconds: float | None, data: dict[str, Any]) -> None:
    deadline = tx.now_us + int(seconds * 1_000_000) if seconds is not None else None
    tx.execute(
        "UPDATE requests SET spec = ?, deadline = ?, revision = revision + 1, claimed_by = NULL WHERE key = ?",
        (msgspec.json.encode(ask).decode(), deadline, row.key),
    )
    _event(tx, row, EventKind.REQUEST_ESCALATED, None, data)


def due_requests(connection: sqlite3.Connection, now: datetime) -> list[str]:
    """Open requests whose deadline has passed, the longest overdue first."""
    rows = connection.execute(
        "SELECT id FROM requests WHERE status = 'open' AND deadline <= ? ORDER BY deadline", (to_us(now),)
    )
    return [request_id for (request_id,) in rows]


def next_deadline(connection: sqlite3.Connection) -> datetime | None:
    """The earliest deadline of an open request."""
    (deadline,) = connection.execute(
        "SELECT MIN(deadline) FROM requests WHERE status = 'open' AND deadline IS NOT NULL"
    ).fetchone()
    return from_us(deadline) if deadline is not None else None


def withdraw_requests(tx: Tx, run_key: int, reason: str, *, cancelled_only: bool = False) -> int:
    """Take back what a run still asks, because nobody needs the answer any more.

    With `cancelled_only` it is what cancelled attempts have asked: the run goes on without them.
    """
    query = "SELECT id FROM requests r WHERE run_key = ? AND status = 'open'"
    if cancelled_only:
        query += " AND EXISTS (SELECT 1 FROM attempts a WHERE a.id = r.attempt_id AND a.status = 'cancelled')"
    rows = tx.execute(query, (run_key,)).fetchall()
    for (request_id,) in rows:
        row = _row(tx, request_id)
        tx.execute(
            "UPDATE requests SET status = 'withdrawn', revision = revision + 1, outcome = 'withdrawn',"
            " answered_at = ? WHERE key = ?",
            (tx.now_us, row.key),
        )
        _event(tx, row, EventKind.REQUEST_WITHDRAWN, None, {"reason": reason})
    return len(rows)


# --- claiming ----------------------------------------------------------------------------------


def claim_request(tx: Tx, request_id: str, actor: Actor, roles: Roles | None = None) -> None:
    """Tell the others that one is on it. Anybody who may answer still can."""
    row = _row(tx, request_id)
    if row.status != "open":
        raise _already(row)
    if not is_assigned(row.ask.assignees, actor, roles):
        raise PermissionDeniedError(f"request {row.id} is for {', '.join(row.ask.assignees)}")
    if row.claimed_by is not None:
        holder = actor_from_json(row.claimed_by)
        if holder.uid == actor.uid:
            return
        raise ConflictError(f"{holder.user} has claimed request {row.id}")
    tx.execute(
        "UPDATE requests SET claimed_by = ? WHERE key = ?",
        (actor_json(actor) or msgspec.json.encode(actor).decode(), row.key),
    )
    _event(tx, row, EventKind.REQUEST_CLAIMED, actor)


def release_request(tx: Tx, request_id: str, actor: Actor) -> None:
    """Give a claim back."""
    row = _row(tx, request_id)
    if row.status != "open":
        raise _already(row)
    if row.claimed_by is None:
        return
    holder = actor_from_json(row.claimed_by)
    if holder.uid != actor.uid and actor.uid != 0:
        raise PermissionDeniedError(f"{holder.user} has claimed request {row.id}, so only they release it")
    tx.execute("UPDATE requests SET claimed_by = NULL WHERE key = ?", (row.key,))
    _event(tx, row, EventKind.REQUEST_RELEASED, actor)


__all__ = [
    "Ask",
    "Decision",
    "RequestRef",
    "Way",
    "answer_request",
    "build_ask",
    "claim_request",
    "decision_of",
    "due_requests",
    "expire_request",
    "is_assigned",
    "next_deadline",
    "next_nodes",
    "open_request",
    "release_request",
    "withdraw_requests",
]
