"""Votes on requests: quorum, rejection policy, permissions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from victor_engine.api import Actor, vote_count
from victor_engine.errors import PermissionDeniedError
from victor_engine.people.answers import same
from victor_engine.people.questions import Ask
from victor_engine.people.roles import Person
from victor_engine.people.stored_request import Row
from victor_engine.store.db import Tx
from victor_engine.store.queries.people import starters
from victor_engine.store.repositories import votes
from victor_engine.store.repositories.votes import Vote

CurrentVotes = dict[int | str, tuple[str, Any]]
"""The last vote of each person: outcome and value, by `Person.key`."""

AGREEING = ("approved", "answered", "accepted", "overridden")
"""Outcomes with which a run continues. The four-eyes rule applies to them."""


@dataclass(frozen=True, slots=True)
class Voting:
    """The votes that were not undone, and the users who started the run."""

    votes: list[Vote]
    starters: list[Actor]


def read_voting(tx: Tx, row: Row) -> Voting:
    """Read the votes on a request, and the users who started its run or a run that it comes from."""
    return Voting(votes.current(tx, row.key), starters(tx, row.run_key))


def current_votes(row: Row, voting: Voting) -> CurrentVotes:
    """Return the last vote of each person in the current stage of the chain, without votes that were undone."""
    return {
        vote.actor.person: (vote.outcome, vote.value) for vote in voting.votes if vote.stage == row.ask.stage
    }


def agreeing(current: CurrentVotes, outcome: str, value: Any) -> int:
    """Return the number of people with the same answer: the same choices, the same document."""
    return sum(1 for other, what in current.values() if other == outcome and same(what, value))


def enough(ask: Ask, current: CurrentVotes, outcome: str, value: Any) -> bool:
    """Return whether the votes for this answer decide the request."""
    agreed = agreeing(current, outcome, value)
    return agreed >= (rejections_needed(ask) if outcome == "rejected" else ask.required_approvals)


def rejections_needed(ask: Ask) -> int:
    """Return the number of rejections that reject a request, by `reject_policy`."""
    return vote_count.rejections_needed(ask.reject_policy, ask.required_approvals, ask.assignees)


def record_vote(tx: Tx, row: Row, actor: Actor, outcome: str, value: Any, comment: str) -> None:
    """Store a vote. Votes are never changed."""
    votes.add(tx, row.handle, actor, outcome, value, comment, row.ask.stage)


# --- permissions -------------------------------------------------------------------------------


def check_assigned(row: Row, person: Person) -> None:
    """Raise PermissionDeniedError if the request is not for this person."""
    if not person.is_one_of(row.ask.assignees):
        raise PermissionDeniedError(
            f"request {row.id} is assigned to {', '.join(row.ask.assignees)}, and you are {person.actor.user}"
        )


def check_voter(row: Row, voting: Voting, person: Person, outcome: str) -> None:
    """Raise PermissionDeniedError if this person may not give this answer."""
    check_assigned(row, person)
    if outcome not in AGREEING:
        return
    actor = person.actor
    if not row.ask.allow_self_approval:
        for starter in voting.starters:
            if person.key == starter.person or actor.user == starter.user:
                raise PermissionDeniedError(
                    f"{row.node_id} follows the four-eyes rule: {starter.user} started run {row.run_id} and cannot "
                    "approve it; another user has to"
                )
    if row.ask.stage:
        earlier = [vote for vote in voting.votes if vote.stage < row.ask.stage]
        if any(vote.actor.person == person.key for vote in earlier):
            raise PermissionDeniedError(
                f"{actor.user} approved request {row.id} at an earlier stage of its chain; each stage needs a "
                "different user"
            )
