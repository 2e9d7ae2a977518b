"""The commands of people on requests. `commit` commits each with its event in one transition.

Changes in memory, such as giving a decision to its waiting run, follow the commit.
"""

from __future__ import annotations

from msgspec import Struct

from victor_engine.api import Answer
from victor_engine.people import corrections, reassignment
from victor_engine.people.answers import Decision
from victor_engine.people.requests import answer_request, claim_request, release_request
from victor_engine.people.roles import Person
from victor_engine.people.secret_answers import Sealed
from victor_engine.store.db import Tx


class AnswerIt(Struct, frozen=True):
    """Answer a request as it was shown."""

    request_id: str
    revision: int
    answer: Answer
    sealed: tuple[Sealed, ...] = ()
    """The secret fields of the answer, encrypted."""


class PushBack(Struct, frozen=True):
    """Answer a request by sending its run back to a node that it has visited."""

    request_id: str
    revision: int
    to_node: str
    comment: str


class UndoAnswer(Struct, frozen=True):
    """Undo one's own answer while its undo window is open."""

    request_id: str


class Claim(Struct, frozen=True):
    """Mark a request as being worked on."""

    request_id: str


class Release(Struct, frozen=True):
    """Release a claim."""

    request_id: str


class Reassign(Struct, frozen=True):
    """Replace the assignees of a request."""

    request_id: str
    revision: int
    assignees: tuple[str, ...]
    note: str = ""


class Delegate(Struct, frozen=True):
    """Let another person answer instead of oneself."""

    request_id: str
    revision: int
    to: str
    note: str = ""


class AskRequester(Struct, frozen=True):
    """Ask the requester a question; the deadline is suspended until the reply."""

    request_id: str
    question: str


class Reply(Struct, frozen=True):
    """Reply to a question to the requester; the deadline continues."""

    request_id: str
    text: str


Command = AnswerIt | PushBack | UndoAnswer | Claim | Release | Reassign | Delegate | AskRequester | Reply


def commit(tx: Tx, command: Command, person: Person) -> Decision | None:
    """Commit a command of a person. Return the decision if the command has decided the request.

    Raise AlreadyAnsweredError, ConflictError, InvalidAnswerError, PermissionDeniedError or UsageError if the command
    is refused. A refused command changes nothing.
    """
    match command:
        case AnswerIt(request_id, revision, answer, sealed):
            return answer_request(tx, request_id, revision, answer, person, sealed)
        case PushBack(request_id, revision, to_node, comment):
            return corrections.push_back(tx, request_id, revision, to_node, comment, person)
        case UndoAnswer(request_id):
            corrections.undo_answer(tx, request_id, person)
        case Claim(request_id):
            claim_request(tx, request_id, person)
        case Release(request_id):
            release_request(tx, request_id, person)
        case Reassign(request_id, revision, assignees, note):
            reassignment.reassign_request(tx, request_id, revision, assignees, note, person)
        case Delegate(request_id, revision, to, note):
            reassignment.delegate_request(tx, request_id, revision, to, note, person)
        case AskRequester(request_id, question):
            corrections.ask_requester(tx, request_id, question, person)
        case Reply(request_id, text):
            corrections.reply_to_question(tx, request_id, text, person)
    return None
