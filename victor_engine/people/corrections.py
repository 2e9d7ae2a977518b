"""Corrections: undoing an answer, sending a run back to an earlier node, and questions to the requester."""

from __future__ import annotations

from victor_engine.domain.transitions import REQUEST_NEEDS, RequestCommand
from victor_engine.errors import ConflictError, PermissionDeniedError, UsageError
from victor_engine.events import EventKind
from victor_engine.people.answers import Decision
from victor_engine.people.reminders import drop_reminders, plan_reminders
from victor_engine.people.requests import decide
from victor_engine.people.roles import Person, same_user
from victor_engine.people.stored_request import not_overdue, read_for, refused, write_event
from victor_engine.people.votes import check_assigned, check_voter, read_voting, record_vote
from victor_engine.store.db import Tx, actor_from_json
from victor_engine.store.queries.people import push_back_targets, starters
from victor_engine.store.repositories import requests, secret_answers, votes

PUSHED_BACK = "pushed_back"
"""The outcome of a request that sent its run back."""


def undo_answer(tx: Tx, request_id: str, person: Person) -> None:
    """Undo one's own answer while its undo window is open. The request is open again.

    The deadline moves by the time between answer and undo. Raise ConflictError if the window has passed or the
    request has none, and PermissionDeniedError if another user answered.
    """
    row = read_for(tx, request_id, RequestCommand.UNDO)
    if row.settles_at is None or row.settles_at <= tx.now_us:
        raise refused(row, RequestCommand.UNDO, REQUEST_NEEDS[RequestCommand.UNDO][1])
    author = actor_from_json(row.answered_by)
    if not same_user(author, person.actor):
        raise PermissionDeniedError(
            f"{author.user} answered request {row.id}; only that user can undo the answer"
        )
    stood = tx.now_us - (row.answered_at or tx.now_us)
    deadline = row.deadline + stood if row.deadline is not None else None
    votes.take_back_last(tx, row.handle)
    requests.reopen(tx, row.handle, deadline)
    secret_answers.delete(tx, row.run_key, row.handle)
    plan_reminders(tx, row.handle, row.ask, deadline)
    write_event(tx, row, EventKind.REQUEST_UNDONE, person.actor, {"outcome": row.outcome})


def push_back(
    tx: Tx, request_id: str, revision: int, to_node: str, comment: str, person: Person
) -> Decision | None:
    """Answer a request by sending the run back to a node that it has visited, with a comment.

    One person decides, whatever the quorum. The run continues at `to_node`. The state has under `human.<node>` the
    outcome `pushed_back` with `pushed_back: {to, comment, by, at, iteration}`. Return the decision, or None during
    an undo window.
    """
    row = read_for(tx, request_id, RequestCommand.PUSH_BACK, revision)
    not_overdue(row, tx.now_us)
    if row.ask.interrupted:
        raise ConflictError(
            f"request {row.id} is about an interrupted attempt and cannot send its run back; answer retry, done or "
            "fail, or redrive the run from another node"
        )
    if not comment.strip():
        raise UsageError("a comment is required to send a run back: the repeated nodes read the reason")
    check_voter(row, read_voting(tx, row), person, PUSHED_BACK)
    visited = push_back_targets(tx.connection, row.run_key, row.attempt_id)
    if to_node not in visited:
        raise UsageError(
            f"run {row.run_id} cannot go back to {to_node!r} from {row.node_id}: "
            + (f"it has visited {', '.join(visited)}" if visited else "it has not visited an earlier node")
        )
    record_vote(tx, row, person.actor, PUSHED_BACK, None, comment)
    return decide(tx, row, person.actor, PUSHED_BACK, None, comment, row.ask.undo_window, to_node)


# --- asking the requester ----------------------------------------------------------------------


def ask_requester(tx: Tx, request_id: str, question: str, person: Person) -> None:
    """Ask the requester a question. The deadline is suspended until the reply or the decision.

    The node needs `allow_questions: true`.
    """
    row = read_for(tx, request_id, RequestCommand.ASK)
    not_overdue(row, tx.now_us)
    if not question.strip():
        raise UsageError("the question is empty; write a question")
    check_assigned(row, person)
    requests.add_message(tx, row.handle, "question", question, person.actor)
    if row.held_since is None:
        left = row.deadline - tx.now_us if row.deadline is not None else None
        requests.hold_deadline(tx, row.handle, left)
        drop_reminders(tx, row.handle)
    write_event(tx, row, EventKind.REQUEST_QUESTIONED, person.actor, {"text": question})


def reply_to_question(tx: Tx, request_id: str, text: str, person: Person) -> None:
    """Reply to a question to the requester. The deadline continues with the time that was left.

    The user who started the run (or a run that it comes from) and admins may reply. If a schedule started the run,
    any user may.
    """
    row = read_for(tx, request_id, RequestCommand.REPLY)
    if not text.strip():
        raise UsageError("the reply is empty; write a reply")
    people = starters(tx, row.run_key)
    if people and not person.admin and not any(same_user(each, person.actor) for each in people):
        names = ", ".join(dict.fromkeys(actor.user for actor in people))
        raise PermissionDeniedError(
            f"{names} started run {row.run_id}; only the requester or an admin can reply to the question"
        )
    requests.add_message(tx, row.handle, "reply", text, person.actor)
    deadline = tx.now_us + row.held_left if row.held_left is not None else None
    requests.put_deadline(tx, row.handle, deadline)
    plan_reminders(tx, row.handle, row.ask, deadline)
    write_event(tx, row, EventKind.REQUEST_REPLIED, person.actor, {"text": text, "deadline": deadline})
