"""What an answer comes to: a pure decision from what is stored of the request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto, unique
from typing import Any

from victor_engine.api import Answer
from victor_engine.errors import ConflictError
from victor_engine.people.answers import check_answer, same
from victor_engine.people.roles import Person
from victor_engine.people.stored_request import Row, not_overdue
from victor_engine.people.votes import Said, agreeing, check_voter, enough, standing


@unique
class Step(Enum):
    """What an answer does to its request."""

    VOTE = auto()
    """It counts as a vote; others have to agree."""
    PASS_ON = auto()
    """It decides one place of a chain; the next place is asked."""
    DECIDE = auto()
    """It decides the request."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The outcome and value of an answer, what it does, and how many people agree on it."""

    outcome: str
    value: Any
    step: Step
    votes: int


def judge(row: Row, said: Said, answer: Answer, person: Person, now: int) -> Judgement:
    """Return what an answer comes to.

    Args:
        row: The open request.
        said: What has been said to it, and who started its run.
        answer: The answer.
        person: Who gives it.
        now: The present instant in microseconds.

    Raise ConflictError if the deadline has passed, or if the person has said so already; InvalidAnswerError
    if the answer does not fit its question; PermissionDeniedError if the person may not give it.
    """
    not_overdue(row, now)
    outcome, value = check_answer(row.ask, answer)
    check_voter(row, said, person, outcome)
    stands = standing(row, said)
    before = stands.get(person.key)
    if before is not None and before[0] == outcome and same(before[1], value):
        raise ConflictError(
            f"you have said so on request {row.id} already; "
            f"{agreeing(stands, outcome, value)} of {row.ask.required_approvals} people agree on it"
        )
    stands[person.key] = (outcome, value)
    votes = agreeing(stands, outcome, value)
    if not enough(row.ask, stands, outcome, value):
        return Judgement(outcome, value, Step.VOTE, votes)
    if outcome != "rejected" and row.ask.stage + 1 < len(row.ask.chain):
        return Judgement(outcome, value, Step.PASS_ON, votes)
    return Judgement(outcome, value, Step.DECIDE, votes)
