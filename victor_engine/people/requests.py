"""The transitions of requests: open, claim, vote, answer, withdraw.

Each is one compare-and-set on the request and its revision, with its events. The error of a second answer names the
first. Reminders, escalation and expiry are in `people.timeouts`; `people.reassignment` and `people.corrections` have
the other commands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from victor_engine.api import ASKED_WORKFLOW, Actor, Answer
from victor_engine.definition.secret_fields import split
from victor_engine.domain.statuses import RequestStatus
from victor_engine.domain.transitions import RequestCommand
from victor_engine.errors import ConflictError, PermissionDeniedError
from victor_engine.events import EventKind
from victor_engine.ids import new_id
from victor_engine.people.answers import Decision, Way, decision_of, next_nodes
from victor_engine.people.judging import Step, judge
from victor_engine.people.questions import Ask, build_ask
from victor_engine.people.reminders import drop_reminders, plan_reminders
from victor_engine.people.roles import Person
from victor_engine.people.secret_answers import Sealed
from victor_engine.people.stored_request import Row, read_for, write_ask, write_event
from victor_engine.people.timeouts import (
    due_requests,
    expire_request,
    next_deadline,
    run_timers,
    settle_request,
)
from victor_engine.people.votes import check_assigned, read_voting, record_vote
from victor_engine.store.db import Tx, actor_from_json
from victor_engine.store.locks import Root
from victor_engine.store.queries.people import starters
from victor_engine.store.repositories import requests, secret_answers
from victor_engine.store.repositories.requests import Handle


@dataclass(frozen=True, slots=True)
class RequestRef:
    id: str
    key: int
    revision: int


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
    """Open a request. If the same step has a request already, return that one."""
    known = requests.of_step(tx, run_key, node_id, iteration, attempt_id)
    if known is not None:
        return RequestRef(*known)
    request_id = new_id(tx.now)
    key = requests.add(
        tx,
        request_id,
        run_key=run_key,
        attempt_id=attempt_id,
        workflow=workflow,
        node_id=node_id,
        iteration=iteration,
        kind=ask.kind,
        spec=msgspec.json.encode(ask).decode(),
        digest=ask.shown_digest(),
        deadline=deadline_us,
        priority=ask.priority,
        assignees=ask.assignees,
        barred=() if ask.allow_self_approval else starters(tx, run_key),
    )
    ref = RequestRef(request_id, key, 1)
    if ask.reminders or ask.remind_every is not None:
        plan_reminders(tx, Handle(key, request_id, 1, RequestStatus.OPEN), ask, deadline_us)
    tx.event(
        EventKind.REQUEST_OPENED,
        run_key=run_key,
        run_id=run_id,
        request_id=request_id,
        workflow=workflow,
        node_id=node_id,
        data={"kind": ask.kind, "title": ask.title, "deadline": deadline_us, "missing": list(ask.missing)},
    )
    return ref


# --- answering ---------------------------------------------------------------------------------


def answer_request(
    tx: Tx,
    request_id: str,
    revision: int,
    answer: Answer,
    person: Person,
    sealed: tuple[Sealed, ...] = (),
) -> Decision | None:
    """Record an answer. Return the decision, or None if the answer does not decide the request yet.

    With `required_approvals` n, n different people have to give the same answer: the same choices, the same
    document. The last answer of each person counts. In a chain, an approval opens the next stage. With an
    `undo_window`, of the node or else of the answer, the decision follows at its end
    (`people.timeouts.settle_request`). Of the secret fields, only the encrypted values
    `sealed` are stored.

    Raises:
        AlreadyAnsweredError: The request is decided. The error names the user, the time and the answer.
        ConflictError: The request has changed since it was read, or its deadline has passed.
        InvalidAnswerError: The answer does not fit the question.
        PermissionDeniedError: The person may not give this answer.
    """
    row = read_for(tx, request_id, RequestCommand.ANSWER, revision)
    judged = judge(row, read_voting(tx, row), answer, person, tx.now_us)
    outcome, value = judged.outcome, _hidden(tx, row, judged.value, sealed)
    record_vote(tx, row, person.actor, outcome, value, answer.comment)
    if judged.step is Step.VOTE:
        # The question has not changed, so neither has its revision: others may vote on what they see.
        data = {"outcome": outcome, "votes": judged.votes, **_said(value, answer.comment)}
        write_event(tx, row, EventKind.REQUEST_VOTED, person.actor, data)
        return None
    if judged.step is Step.PASS_ON:
        _pass_on(tx, row, person.actor, outcome, value, answer.comment)
        return None
    window = answer.undo_window if row.ask.undo_window is None else row.ask.undo_window
    return decide(tx, row, person.actor, outcome, value, answer.comment, window)


def _hidden(tx: Tx, row: Row, value: Any, sealed: tuple[Sealed, ...]) -> Any:
    """Store the encrypted secret fields of an answer, and return the answer with these fields masked."""
    if not row.ask.sealed or row.ask.input_schema is None:
        return value
    masked, found = split(row.ask.input_schema, value)
    if found.keys() != {each.field for each in sealed}:
        raise ConflictError(f"request {row.id} was answered without its encrypted fields; answer it again")
    secret_answers.delete_of_node(tx, row.run_key, row.node_id)
    rows = [secret_answers.SecretRow(row.node_id, each.field, each.key_id, each.sealed) for each in sealed]
    secret_answers.put(tx, row.run_key, row.handle, rows)
    return masked


def decide(
    tx: Tx,
    row: Row,
    actor: Actor,
    outcome: str,
    value: Any,
    comment: str,
    window: float | None,
    back_to: str | None = None,
) -> Decision | None:
    """Decide a request with an answer. Return None while the answer can be undone, `window` seconds."""
    settles = tx.now_us + int(window * 1_000_000) if window else None
    deadline = row.deadline if row.held_left is None else tx.now_us + row.held_left
    requests.answer(
        tx,
        row.handle,
        outcome=outcome,
        value=value,
        comment=comment,
        actor=actor,
        settles_at=settles,
        back_to=back_to,
        deadline=deadline,
    )
    drop_reminders(tx, row.handle)
    data: dict[str, Any] = {"outcome": outcome, **_said(value, comment)}
    if row.workflow == ASKED_WORKFLOW and outcome == "approved" and actor.user == row.ask.requested_by:
        data["self_approved"] = True
    if back_to is not None:
        data["to"] = back_to
    if settles is not None:
        data["settles_at"] = settles
    write_event(tx, row, EventKind.REQUEST_ANSWERED, actor, data)
    return decision_of(tx, row.id)


def _said(value: Any, comment: str) -> dict[str, Any]:
    """Return a vote as its event has it."""
    return {"value": value, **({"comment": comment} if comment else {})}


def _pass_on(tx: Tx, row: Row, actor: Actor, outcome: str, value: Any, comment: str) -> None:
    """Open the next stage of a chain. The deadline is for the whole chain."""
    stage = row.ask.stage + 1
    following = row.ask.chain[stage]
    data = {"outcome": outcome, "votes": 1, **_said(value, comment)}
    write_event(tx, row, EventKind.REQUEST_VOTED, actor, data)
    write_ask(tx, row, msgspec.structs.replace(row.ask, stage=stage, assignees=(following,)))
    data = {"to": following, "place": stage + 1, "of": len(row.ask.chain)}
    write_event(tx, row, EventKind.REQUEST_PASSED_ON, actor, data)


def withdraw_requests(
    tx: Tx, run_key: int, reason: str, *, cancelled_only: bool = False, actor: Actor | None = None
) -> int:
    """Withdraw the requests of a run that no longer needs answers. Return their number.

    Requests with an answer that can still be undone are withdrawn too. With `cancelled_only`, only the requests of
    cancelled attempts are withdrawn, and the run continues. `actor` is the user who withdraws them.
    """
    tx.lock(Root.RUN, run_key)
    found = requests.undecided(tx, run_key, cancelled_only=cancelled_only)
    for request_id in found:
        row = read_for(tx, request_id, RequestCommand.WITHDRAW)
        requests.withdraw(tx, row.handle)
        secret_answers.delete(tx, run_key, row.handle)
        drop_reminders(tx, row.handle)
        write_event(tx, row, EventKind.REQUEST_WITHDRAWN, actor, {"reason": reason})
    return len(found)


# --- claiming ----------------------------------------------------------------------------------


def claim_request(tx: Tx, request_id: str, person: Person) -> None:
    """Mark a request as being worked on by a person. Other assignees can still answer it."""
    row = read_for(tx, request_id, RequestCommand.CLAIM)
    check_assigned(row, person)
    if row.claimed_by is not None:
        holder = actor_from_json(row.claimed_by)
        if holder.uid == person.actor.uid:
            return
        raise ConflictError(
            f"{holder.user} has claimed request {row.id} already; ask that user or an admin to release it"
        )
    requests.claim(tx, row.handle, person.actor)
    write_event(tx, row, EventKind.REQUEST_CLAIMED, person.actor)


def release_request(tx: Tx, request_id: str, person: Person) -> None:
    """Release a claim. Admins can release the claims of other users."""
    row = read_for(tx, request_id, RequestCommand.RELEASE)
    if row.claimed_by is None:
        return
    holder = actor_from_json(row.claimed_by)
    if holder.uid != person.actor.uid and not person.admin:
        raise PermissionDeniedError(
            f"{holder.user} has claimed request {row.id}; only that user or an admin can release it"
        )
    requests.release(tx, row.handle)
    write_event(tx, row, EventKind.REQUEST_RELEASED, person.actor)


__all__ = [
    "Ask",
    "Decision",
    "Person",
    "RequestRef",
    "Way",
    "answer_request",
    "build_ask",
    "claim_request",
    "decide",
    "decision_of",
    "due_requests",
    "expire_request",
    "next_deadline",
    "next_nodes",
    "open_request",
    "release_request",
    "run_timers",
    "settle_request",
    "withdraw_requests",
]
