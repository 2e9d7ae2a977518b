"""The effect of an answer on its request: a pure function of the stored request and its votes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto, unique
from typing import Any

from victor_engine.api import Answer
from victor_engine.errors import ConflictError
from victor_engine.people.answers import check_answer, same
from victor_engine.people.roles import Person
from victor_engine.people.stored_request import Row, not_overdue
from victor_engine.people.votes import Voting, agreeing, check_voter, current_votes, enough


@unique
class Step(Enum):
    """The effect of an answer on its request."""

    VOTE = auto()
    """The answer is a vote; more votes are needed."""
    PASS_ON = auto()
    """The answer decides one stage of a chain; the next stage opens."""
    DECIDE = auto()
    """The answer decides the request."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The outcome and value of an answer, its effect, and the number of people with the same answer."""

    outcome: str
    value: Any
    step: Step
    votes: int


def judge(row: Row, voting: Voting, answer: Answer, person: Person, now: int) -> Judgement:
    """Return the effect of an answer.

    Args:
        row: The open request.
        voting: The votes on it, and the users who started its run.
        answer: The answer.
        person: The person who answers.
        now: The present instant in microseconds.

    Raise ConflictError if the deadline has passed or the person has given this answer already; InvalidAnswerError
    if the answer does not fit its question; PermissionDeniedError if the person may not give it.
    """
    not_overdue(row, now)
    outcome, value = check_answer(row.ask, answer)
    check_voter(row, voting, person, outcome)
    current = current_votes(row, voting)
    before = current.get(person.key)
    if before is not None and before[0] == outcome and same(before[1], value):
        raise ConflictError(
            f"you have given this answer to request {row.id} already; "
            f"{agreeing(current, outcome, value)} of {row.ask.required_approvals} people agree on it"
        )
    current[person.key] = (outcome, value)
    votes = agreeing(current, outcome, value)
    if not enough(row.ask, current, outcome, value):
        return Judgement(outcome, value, Step.VOTE, votes)
    if outcome != "rejected" and row.ask.stage + 1 < len(row.ask.chain):
        return Judgement(outcome, value, Step.PASS_ON, votes)
    return Judgement(outcome, value, Step.DECIDE, votes)
