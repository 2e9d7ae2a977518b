"""Who has said what, who may say it, and when it is enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from victor_engine.api import Actor
from victor_engine.errors import PermissionDeniedError
from victor_engine.people.answers import same
from victor_engine.people.questions import Ask
from victor_engine.people.roles import GROUP, ROLE, Person, person_key
from victor_engine.people.stored_request import Row
from victor_engine.store.db import Tx
from victor_engine.store.queries.people import starters
from victor_engine.store.repositories import votes
from victor_engine.store.repositories.votes import Vote

Standing = dict[int | str, tuple[str, Any]]
"""What each person said last: outcome and value, by `Person.key`."""

AGREEING = ("approved", "answered", "accepted", "overridden")
"""Outcomes that let a run go on: four eyes are about these."""


@dataclass(frozen=True, slots=True)
class Said:
    """What decides whether an answer counts: the votes that were not taken back, and who started the run."""

    votes: list[Vote]
    starters: list[Actor]


def read_said(tx: Tx, row: Row) -> Said:
    """Return what has been said to a request, and who started its run, or a run that it comes from."""
    return Said(votes.standing(tx, row.key), starters(tx, row.run_key))


def standing(row: Row, said: Said) -> Standing:
    """What each person said last at this place of the chain, without what was taken back."""
    return {
        person_key(vote.actor): (vote.outcome, vote.value)
        for vote in said.votes
        if vote.stage == row.ask.stage
    }


def agreeing(said: Standing, outcome: str, value: Any) -> int:
    """How many people stand by the same answer: the same picks, the same document."""
    return sum(1 for other, what in said.values() if other == outcome and same(what, value))


def enough(ask: Ask, said: Standing, outcome: str, value: Any) -> bool:
    """Whether this answer decides."""
    agreed = agreeing(said, outcome, value)
    return agreed >= (noes_needed(ask) if outcome == "rejected" else ask.required_approvals)


def noes_needed(ask: Ask) -> int:
    """How many rejections reject, by `reject_policy`.

    `any`: one. `quorum`: as many as approvals approve. `majority`: more than half of the people who
    are assigned; where groups or roles are, they cannot be counted, and it is more than half of
    `required_approvals`.
    """
    if ask.reject_policy == "quorum":
        return ask.required_approvals
    if ask.reject_policy == "majority":
        countable = ask.assignees and not any(name.startswith((ROLE, GROUP)) for name in ask.assignees)
        return (len(ask.assignees) if countable else ask.required_approvals) // 2 + 1
    return 1


def record_vote(tx: Tx, row: Row, actor: Actor, outcome: str, value: Any, comment: str) -> None:
    """Each vote is a row, and stays one."""
    votes.add(tx, row.handle, actor, outcome, value, comment, row.ask.stage)


# --- who may -----------------------------------------------------------------------------------


def check_assigned(row: Row, person: Person) -> None:
    """PermissionDeniedError unless the request is for this person."""
    if not person.is_one_of(row.ask.assignees):
        raise PermissionDeniedError(
            f"request {row.id} is for {', '.join(row.ask.assignees)}, and you are {person.actor.user}"
        )


def check_voter(row: Row, said: Said, person: Person, outcome: str) -> None:
    """PermissionDeniedError unless this person may give this answer."""
    check_assigned(row, person)
    if outcome not in AGREEING:
        return
    actor = person.actor
    if not row.ask.allow_self_approval:
        for starter in said.starters:
            if person.key == person_key(starter) or actor.user == starter.user:
                raise PermissionDeniedError(
                    f"{row.node_id} needs four eyes: {starter.user} started run {row.run_id} and may not approve it"
                )
    if row.ask.stage:
        earlier = [vote for vote in said.votes if vote.stage < row.ask.stage]
        if any(person_key(vote.actor) == person.key for vote in earlier):
            raise PermissionDeniedError(
                f"{actor.user} has approved request {row.id} at an earlier place of its chain, which asks "
                "different people; somebody else has to say this one"
            )
