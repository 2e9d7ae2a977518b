"""Going back: an answer taken back, a run sent back to an earlier node, a question to the requester."""

from __future__ import annotations

from victor_engine.domain.transitions import REQUEST_NEEDS, RequestCommand
from victor_engine.errors import ConflictError, PermissionDeniedError, UsageError
from victor_engine.events import EventKind
from victor_engine.people.answers import Decision
from victor_engine.people.reminders import drop_reminders, plan_reminders
from victor_engine.people.requests import decide
from victor_engine.people.roles import Person, person_key
from victor_engine.people.stored_request import not_overdue, read_for, refused, write_event
from victor_engine.people.votes import check_assigned, check_voter, read_said, record_vote
from victor_engine.store.db import Tx, actor_from_json
from victor_engine.store.queries.people import push_back_targets, starters
from victor_engine.store.repositories import requests, votes

PUSHED_BACK = "pushed_back"
"""The outcome of a request that sent its run back."""


def undo_answer(tx: Tx, request_id: str, person: Person) -> None:
    """Take back one's own answer while its undo window is open: the request is asked again.

    The deadline moves by the time that the answer stood. ConflictError says that it is too late, or
    that there was no window; PermissionDeniedError that somebody else answered.
    """
    row = read_for(tx, request_id, RequestCommand.UNDO)
    if row.settles_at is None or row.settles_at <= tx.now_us:
        raise refused(row, RequestCommand.UNDO, REQUEST_NEEDS[RequestCommand.UNDO][1])
    author = actor_from_json(row.answered_by)
    if person_key(author) != person.key:
        raise PermissionDeniedError(f"{author.user} answered request {row.id}, so only they take it back")
    stood = tx.now_us - (row.answered_at or tx.now_us)
    deadline = row.deadline + stood if row.deadline is not None else None
    votes.take_back_last(tx, row.handle)
    requests.reopen(tx, row.handle, deadline)
    plan_reminders(tx, row.handle, row.ask, deadline)
    write_event(tx, row, EventKind.REQUEST_UNDONE, person.actor, {"outcome": row.outcome})


def push_back(
    tx: Tx, request_id: str, revision: int, to_node: str, comment: str, person: Person
) -> Decision | None:
    """Answer by sending the run back to a node that it has visited, and say why.

    One person's word is enough. The run goes on at `to_node`, and finds under `human.<node>` the
    outcome `pushed_back` with `pushed_back: {to, comment, by, at, iteration}`. Returns the decision, or
    None during an undo window.
    """
    row = read_for(tx, request_id, RequestCommand.PUSH_BACK, revision)
    not_overdue(row, tx.now_us)
    if row.ask.interrupted:
        raise ConflictError(
            f"request {row.id} is about an interrupted attempt, and its run cannot be sent back by it; answer "
            "retry, done or fail, or redrive the run from another node"
        )
    if not comment.strip():
        raise UsageError("say why it goes back: the comment is what the rerun works with")
    check_voter(row, read_said(tx, row), person, PUSHED_BACK)
    visited = push_back_targets(tx.connection, row.run_key, row.attempt_id)
    if to_node not in visited:
        raise UsageError(
            f"run {row.run_id} cannot go back to {to_node!r} from {row.node_id}: "
            + (
                f"it has been at {', '.join(visited)}"
                if visited
                else "there is no node that it can go back to"
            )
        )
    record_vote(tx, row, person.actor, PUSHED_BACK, None, comment)
    return decide(tx, row, person.actor, PUSHED_BACK, None, comment, to_node)


# --- asking the requester ----------------------------------------------------------------------


def ask_requester(tx: Tx, request_id: str, question: str, person: Person) -> None:
    """Ask who wants the answer; the deadline stands still until they reply, or the request is decided.

    Only where its author wrote `allow_questions: true`.
    """
    row = read_for(tx, request_id, RequestCommand.ASK)
    not_overdue(row, tx.now_us)
    if not question.strip():
        raise UsageError("write the question")
    check_assigned(row, person)
    requests.add_message(tx, row.handle, "question", question, person.actor)
    if row.held_since is None:
        left = row.deadline - tx.now_us if row.deadline is not None else None
        requests.hold_deadline(tx, row.handle, left)
        drop_reminders(tx, row.handle)
    write_event(tx, row, EventKind.REQUEST_QUESTIONED, person.actor, {"text": question})


def reply_to_question(tx: Tx, request_id: str, text: str, person: Person) -> None:
    """Answer what the people asked wanted to know; the deadline goes on with what was left of it.

    Who started the run (or a run that it comes from) and an admin may; where a schedule did, anybody.
    """
    row = read_for(tx, request_id, RequestCommand.REPLY)
    if not text.strip():
        raise UsageError("write the reply")
    people = starters(tx, row.run_key)
    if people and not person.admin and person.key not in [person_key(actor) for actor in people]:
        names = ", ".join(dict.fromkeys(actor.user for actor in people))
        raise PermissionDeniedError(f"{names} started run {row.run_id}, so the question is theirs to answer")
    requests.add_message(tx, row.handle, "reply", text, person.actor)
    deadline = tx.now_us + row.held_left if row.held_left is not None else None
    requests.put_deadline(tx, row.handle, deadline)
    plan_reminders(tx, row.handle, row.ask, deadline)
    write_event(tx, row, EventKind.REQUEST_REPLIED, person.actor, {"text": text, "deadline": deadline})
