"""Transitions of requests: opened, claimed, voted on, answered, withdrawn. Each is one
compare-and-set on (request, revision) with its events; whoever comes second is told who was first.

What time does is in `people.timeouts`, handing on in `people.reassignment`, going back in `people.corrections`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from victor_engine.api import Actor, Answer
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
from victor_engine.people.stored_request import Row, read_for, write_ask, write_event
from victor_engine.people.timeouts import attend, due_requests, expire_request, next_deadline, settle_request
from victor_engine.people.votes import check_assigned, read_said, record_vote
from victor_engine.store.db import Tx, actor_from_json
from victor_engine.store.locks import Root
from victor_engine.store.repositories import requests
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
    """Put a question to people. Asking again for the same step gives the question that is there."""
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


def answer_request(tx: Tx, request_id: str, revision: int, answer: Answer, person: Person) -> Decision | None:
    """Record an answer. Returns the decision, or None where it does not decide, or not yet.

    With `required_approvals` n, n different people have to give the same answer: the same picks, the
    same document. Whoever changes their mind counts with what they said last. In a chain, an approval
    passes the question on to the next place. With an `undo_window` the decision comes when it is over
    (`people.timeouts.settle_request`).

    AlreadyAnsweredError names who was first, when and what; ConflictError says that the request has
    changed since it was read, or that its deadline has passed, whether or not an engine has acted on
    that yet; InvalidAnswerError and PermissionDeniedError change nothing either.
    """
    row = read_for(tx, request_id, RequestCommand.ANSWER, revision)
    judged = judge(row, read_said(tx, row), answer, person, tx.now_us)
    outcome = judged.outcome
    record_vote(tx, row, person.actor, outcome, judged.value, answer.comment)
    if judged.step is Step.VOTE:
        # The question has not changed, so neither has its revision: others may vote on what they see.
        data = {"outcome": outcome, "votes": judged.votes}
        write_event(tx, row, EventKind.REQUEST_VOTED, person.actor, data)
        return None
    if judged.step is Step.PASS_ON:
        _pass_on(tx, row, person.actor, outcome)
        return None
    return decide(tx, row, person.actor, outcome, judged.value, answer.comment)


def decide(
    tx: Tx, row: Row, actor: Actor, outcome: str, value: Any, comment: str, back_to: str | None = None
) -> Decision | None:
    """Make an answer the request's own; None while its author may still take it back."""
    window = row.ask.undo_window
    settles = tx.now_us + int(window * 1_000_000) if window is not None else None
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
    data: dict[str, Any] = {"outcome": outcome, "value": value}
    if comment:
        data["comment"] = comment
    if back_to is not None:
        data["to"] = back_to
    if settles is not None:
        data["settles_at"] = settles
    write_event(tx, row, EventKind.REQUEST_ANSWERED, actor, data)
    return decision_of(tx, row.id)


def _pass_on(tx: Tx, row: Row, actor: Actor, outcome: str) -> None:
    """The next place of a chain is asked; the deadline is one for the whole chain."""
    stage = row.ask.stage + 1
    following = row.ask.chain[stage]
    write_event(tx, row, EventKind.REQUEST_VOTED, actor, {"outcome": outcome, "votes": 1})
    write_ask(tx, row, msgspec.structs.replace(row.ask, stage=stage, assignees=(following,)))
    data = {"to": following, "place": stage + 1, "of": len(row.ask.chain)}
    write_event(tx, row, EventKind.REQUEST_PASSED_ON, actor, data)


def withdraw_requests(tx: Tx, run_key: int, reason: str, *, cancelled_only: bool = False) -> int:
    """Take back what a run still asks, because nobody needs the answer any more.

    So is an answer that did not count yet: nothing has come of it. With `cancelled_only` it is what
    cancelled attempts have asked: the run goes on without them.
    """
    tx.lock(Root.RUN, run_key)
    found = requests.undecided(tx, run_key, cancelled_only=cancelled_only)
    for request_id in found:
        row = read_for(tx, request_id, RequestCommand.WITHDRAW)
        requests.withdraw(tx, row.handle)
        drop_reminders(tx, row.handle)
        write_event(tx, row, EventKind.REQUEST_WITHDRAWN, None, {"reason": reason})
    return len(found)


# --- claiming ----------------------------------------------------------------------------------


def claim_request(tx: Tx, request_id: str, person: Person) -> None:
    """Tell the others that one is on it. Anybody who may answer still can."""
    row = read_for(tx, request_id, RequestCommand.CLAIM)
    check_assigned(row, person)
    if row.claimed_by is not None:
        holder = actor_from_json(row.claimed_by)
        if holder.uid == person.actor.uid:
            return
        raise ConflictError(f"{holder.user} has claimed request {row.id}")
    requests.claim(tx, row.handle, person.actor)
    write_event(tx, row, EventKind.REQUEST_CLAIMED, person.actor)


def release_request(tx: Tx, request_id: str, person: Person) -> None:
    """Give a claim back; an admin may do it for who holds it."""
    row = read_for(tx, request_id, RequestCommand.RELEASE)
    if row.claimed_by is None:
        return
    holder = actor_from_json(row.claimed_by)
    if holder.uid != person.actor.uid and not person.admin:
        raise PermissionDeniedError(f"{holder.user} has claimed request {row.id}, so only they release it")
    requests.release(tx, row.handle)
    write_event(tx, row, EventKind.REQUEST_RELEASED, person.actor)


__all__ = [
    "Ask",
    "Decision",
    "Person",
    "RequestRef",
    "Way",
    "answer_request",
    "attend",
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
    "settle_request",
    "withdraw_requests",
]
