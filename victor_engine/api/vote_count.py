"""The count of votes on a request: its sides, and what each side still needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from victor_engine.api.people import RequestInfo, VoteInfo
from victor_engine.api.request_text import value_text

GROUP, ROLE = "group:", "@"
"""The prefixes of assignees that can mean several people."""


class Side(NamedTuple):
    """The people who agree on one answer, and the number that decides."""

    outcome: str
    value: Any
    voters: tuple[VoteInfo, ...]
    needed: int

    @property
    def text(self) -> str:
        """`1 of 2 approvals`, `1 of 2 rejections`, `1 of 2 for prod`."""
        count = f"{len(self.voters)} of {self.needed}"
        names = {"approved": "approval", "rejected": "rejection"}
        if self.outcome not in names:
            return f"{count} for {value_text(self.value)}"
        return f"{count} {names[self.outcome]}{'' if self.needed == 1 else 's'}"


def rejections_needed(reject_policy: str, required_approvals: int, assignees: Sequence[str]) -> int:
    """Return the number of rejections that reject a request, by `reject_policy`.

    `any`: one. `quorum`: the number of `required_approvals`. `majority`: more than half of the assignees, or, if
    groups or roles are assigned, whose members cannot be counted, more than half of `required_approvals`.
    """
    if reject_policy == "quorum":
        return required_approvals
    if reject_policy == "majority":
        countable = assignees and not any(name.startswith((ROLE, GROUP)) for name in assignees)
        return (len(assignees) if countable else required_approvals) // 2 + 1
    return 1


def sides(request: RequestInfo) -> tuple[Side, ...]:
    """Return the sides of the votes in the current stage, the largest first. The last vote of a person counts."""
    last: dict[int | str, VoteInfo] = {}
    for vote in request.votes:
        if not vote.undone and vote.stage == request.stage:
            last[vote.actor.person] = vote
    groups: dict[tuple[str, str], list[VoteInfo]] = {}
    for vote in last.values():
        key = vote.outcome, json.dumps(vote.value, sort_keys=True, default=str)
        groups.setdefault(key, []).append(vote)
    no = rejections_needed(request.reject_policy, request.required_approvals, request.assignees)
    found = [
        Side(
            outcome, votes[0].value, tuple(votes), no if outcome == "rejected" else request.required_approvals
        )
        for (outcome, _), votes in groups.items()
    ]
    return tuple(sorted(found, key=lambda side: -len(side.voters)))


def counted_text(request: RequestInfo, user: str) -> str:
    """Return what the vote of a user that did not decide counts: `your rejection counts: 1 of 2 rejections`."""
    found = sides(request)
    own = next((side for side in found if any(vote.actor.user == user for vote in side.voters)), None)
    if own is None:
        return "your approval counts; the next people of the chain are asked"
    names = {"approved": "approval", "rejected": "rejection"}
    others = ", ".join(side.text for side in found if side is not own)
    text = f"your {names.get(own.outcome, 'vote')} counts: {own.text}"
    return f"{text} ({others})" if others else text
