"""Going back: an answer taken back, a run sent back to an earlier node, a question to the requester."""

from __future__ import annotations

import msgspec

from victor_engine.errors import ConflictError, PermissionDeniedError, UsageError
from victor_engine.events import EventKind
from victor_engine.hitl.decisions import Decision
from victor_engine.hitl.person import Person, person_key
from victor_engine.hitl.reminders import drop_reminders, plan_reminders
from victor_engine.hitl.requests import decide
from victor_engine.hitl.rows import Row, not_overdue, read_open, read_row, write_event
from victor_engine.hitl.votes import check_assigned, check_voter, record_vote, starters
from victor_engine.store.db import Tx, actor_from_json
from victor_engine.store.queries.people import push_back_targets

PUSHED_BACK = "pushed_back"
"""The outcome of a request that sent its run back."""


def undo_answer(tx: Tx, request_id: str, person: Person) -> None:
    """Take back one's own answer while its undo window is open: the request is asked again.

    The deadline moves by the time that the answer stood. ConflictError says that it is too late, or
    that there was no window; PermissionDeniedError that somebody else answered.
    """
    row = read_row(tx, request_id)
    if row.status != "answered" or row.settles_at is None or row.settles_at <= tx.now_us:
        raise ConflictError(_why_not(row))
    author = actor_from_json(row.answered_by)
    if person_key(author) != person.key:
        raise PermissionDeniedError(f"{author.user} answered request {row.id}, so only they take it back")
    stood = tx.now_us - (row.answered_at or tx.now_us)
    deadline = row.deadline + stood if row.deadline is not None else None
    tx.execute(
        "UPDATE votes SET undone_at = ? WHERE id = (SELECT MAX(id) FROM votes WHERE request_key = ?)",
        (tx.now_us, row.key),
    )
    tx.execute(
        "UPDATE requests SET status = 'open', revision = revision + 1, outcome = NULL, answer = NULL,"
        " comment = '', answered_by = NULL, answered_at = NULL, settles_at = NULL, back_to = NULL, deadline = ?"
        " WHERE key = ?",
        (deadline, row.key),
    )
    plan_reminders(tx, row.key, row.ask, deadline)
    write_event(tx, row, EventKind.REQUEST_UNDONE, person.actor, {"outcome": row.outcome})


def _why_not(row: Row) -> str:
    if row.status == "open":
        return f"request {row.id} is open; there is no answer to take back"
    if row.ask.undo_window is None or row.status != "answered":
        return f"request {row.id} is {row.status}, and cannot be taken back (its author gave no undo_window)"
    return f"it is too late: what was answered to request {row.id} counts, and its run has gone on"


def push_back(
    tx: Tx, request_id: str, revision: int, to_node: str, comment: str, person: Person
) -> Decision | None:
    """Answer by sending the run back to a node that it has visited, and say why.

    One person's word is enough. The run goes on at `to_node`, and finds under `human.<node>` the
    outcome `pushed_back` with `pushed_back: {to, comment, by, at, iteration}`. Returns the decision, or
    None during an undo window.
    """
    row = read_open(tx, request_id, revision)
    not_overdue(tx, row)
    if row.ask.interrupted:
        raise ConflictError(
            f"request {row.id} is about an interrupted attempt, and its run cannot be sent back by it; answer "
            "retry, done or fail, or redrive the run from another node"
        )
    if not comment.strip():
        raise UsageError("say why it goes back: the comment is what the rerun works with")
    check_voter(tx, row, person, PUSHED_BACK)
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
    row = read_open(tx, request_id)
    not_overdue(tx, row)
    if not row.ask.allow_questions:
        raise ConflictError(
            f"request {row.id} takes no questions to its requester (its author did not write allow_questions: true)"
        )
    if not question.strip():
        raise UsageError("write the question")
    check_assigned(row, person)
    _write_message(tx, row, "question", question, person)
    if row.held_since is None:
        left = row.deadline - tx.now_us if row.deadline is not None else None
        tx.execute(
            "UPDATE requests SET deadline = NULL, held_since = ?, held_left = ? WHERE key = ?",
            (tx.now_us, left, row.key),
        )
        drop_reminders(tx, row.key)
    write_event(tx, row, EventKind.REQUEST_QUESTIONED, person.actor, {"text": question})


def reply_to_question(tx: Tx, request_id: str, text: str, person: Person) -> None:
    """Answer what the people asked wanted to know; the deadline goes on with what was left of it.

    Who started the run (or a run that it comes from) and an admin may; where a schedule did, anybody.
    """
    row = read_open(tx, request_id)
    if row.held_since is None:
        raise ConflictError(f"nobody has asked the requester anything about request {row.id}")
    if not text.strip():
        raise UsageError("write the reply")
    people = starters(tx, row.run_key)
    if people and not person.admin and person.key not in [person_key(actor) for actor in people]:
        names = ", ".join(dict.fromkeys(actor.user for actor in people))
        raise PermissionDeniedError(f"{names} started run {row.run_id}, so the question is theirs to answer")
    _write_message(tx, row, "reply", text, person)
    deadline = tx.now_us + row.held_left if row.held_left is not None else None
    tx.execute(
        "UPDATE requests SET deadline = ?, held_since = NULL, held_left = NULL WHERE key = ?",
        (deadline, row.key),
    )
    plan_reminders(tx, row.key, row.ask, deadline)
    write_event(tx, row, EventKind.REQUEST_REPLIED, person.actor, {"text": text, "deadline": deadline})


def _write_message(tx: Tx, row: Row, kind: str, text: str, person: Person) -> None:
    tx.execute(
        "INSERT INTO request_messages (request_key, at, actor, kind, text) VALUES (?,?,?,?,?)",
        (row.key, tx.now_us, msgspec.json.encode(person.actor).decode(), kind, text),
    )
