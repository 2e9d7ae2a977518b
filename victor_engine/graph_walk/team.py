"""Teams: several agents with one goal.

| formation | who runs when | the team's result |
|---|---|---|
| sequential | one after the other, each sees the earlier results as `previous` | by member |
| pipeline | one after the other, each gets the one before it as `previous` | the last one's |
| parallel | all at once | by member |
| hierarchical | the first, then all others at once with its result as `plan` | by member |
| consensus | all at once, then the most frequent result (or its `vote`, `decision`) | agreement |

All members must succeed, or as many as `min_success` says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from victor_engine import jsonio
from victor_engine.definition.model import TeamMember, TeamNode
from victor_engine.errors import NodeError
from victor_engine.graph_walk.effects import Done, Step, StepFailedError
from victor_engine.reserved import is_reserved, reserved_in
from victor_engine.store.patch import Patch

Turn = Callable[[str, Mapping[str, Any]], Awaitable[Done]]
Join = Callable[[list[Callable[[], Awaitable[Done]]], int], Awaitable[list[Done | BaseException | None]]]
"""Runs branches until all have ended or more than a number of them have failed."""

BALLOT_KEYS = ("vote", "decision", "verdict", "answer")
"""The keys of the vote in the result of a member, for a consensus."""


def member_of(step: Step) -> TeamMember | None:
    """Return the team member that works in a step."""
    if step.member is None or not isinstance(step.node, TeamNode):
        return None
    return next(member for member in step.node.members if member.id == step.member)


def role_of(step: Step) -> str | None:
    """Return the role for the work of a step: that of the member (or its id), or that of the agent."""
    member = member_of(step)
    if member is not None:
        return member.role or member.id
    return getattr(step.node, "role", None) or None


def budget(node: TeamNode, member: TeamMember) -> int | None:
    """Return the tool budget of a member, or its share of the budget of the team."""
    if member.tool_budget is not None or node.total_tool_budget is None:
        return member.tool_budget
    taken = sum(m.tool_budget or 0 for m in node.members)
    without = sum(1 for m in node.members if m.tool_budget is None)
    return max(0, (node.total_tool_budget - taken) // without)


def tolerated(node: TeamNode) -> int:
    """Return how many members can fail."""
    total = len(node.members)
    if node.min_success is None:
        return 0
    return total - (total // 2 + 1 if node.min_success == "majority" else min(int(node.min_success), total))


async def run_formation(node: TeamNode, turn: Turn, join: Join) -> tuple[Any, dict[str, str]]:
    """Let the members work in the formation of the node.

    Return the result of the team, and the messages of the members that failed. Raise StepFailedError if too many
    members failed, or the first member of a hierarchy.
    """
    ids = [member.id for member in node.members]
    if node.team_formation in ("sequential", "pipeline"):
        return await _in_turn(node, ids, turn)
    tolerate = tolerated(node)
    if node.team_formation == "hierarchical":
        plan = (await turn(ids[0], {})).result
        others, failures = await _concurrently(ids[1:], {"plan": plan}, turn, join, tolerate)
        return {ids[0]: plan, **others}, failures
    together, failures = await _concurrently(ids, {}, turn, join, tolerate)
    return (_consensus(node, together) if node.team_formation == "consensus" else together), failures


async def _in_turn(node: TeamNode, ids: list[str], turn: Turn) -> tuple[Any, dict[str, str]]:
    """Let the members work one after another. A later member does not get the result of one that failed."""
    pipeline, tolerate = node.team_formation == "pipeline", tolerated(node)
    results: dict[str, Any] = {}
    failures: dict[str, str] = {}
    last: Any = None
    for member_id in ids:
        previous = last if pipeline else dict(results)
        try:
            last = (await turn(member_id, {"previous": previous} if results else {})).result
        except StepFailedError as failure:
            failures[member_id] = _why(failure)
            if len(failures) > tolerate:
                raise
            continue
        results[member_id] = last
    return (last if pipeline else results), failures


async def _concurrently(
    ids: list[str], extra: Mapping[str, Any], turn: Turn, join: Join, tolerate: int
) -> tuple[dict[str, Any], dict[str, str]]:
    if not ids:
        return {}, {}
    results = await join([partial(turn, member_id, extra) for member_id in ids], tolerate)
    failures: dict[str, str] = {}
    for member_id, result in zip(ids, results, strict=True):
        if isinstance(result, BaseException):
            failures[member_id] = _why(result)
            if len(failures) > tolerate or not isinstance(result, StepFailedError):
                raise result
    return {i: r.result for i, r in zip(ids, results, strict=True) if isinstance(r, Done)}, failures


def _why(failure: BaseException) -> str:
    return (
        f"{failure.info.type}: {failure.info.message}"
        if isinstance(failure, StepFailedError)
        else str(failure)
    )


def _consensus(node: TeamNode, results: Mapping[str, Any]) -> dict[str, Any]:
    ballots: dict[str, Any] = {}
    for member_id, result in results.items():
        ballot = result
        if isinstance(result, dict):
            ballot = next((result[key] for key in BALLOT_KEYS if key in result), result)
        ballots[member_id] = ballot
    counted: dict[bytes, list[str]] = {}
    for member_id, ballot in ballots.items():
        counted.setdefault(jsonio.canonical(ballot), []).append(member_id)
    winners = max(counted.values(), key=len)
    if len(winners) * 2 <= len(ballots):
        raise NodeError(
            f"{node.id}: no majority among {len(ballots)} members (the largest group has {len(winners)})",
            error_type="NoConsensusError",
        )
    return {"consensus": ballots[winners[0]], "agreed": winners, "members": dict(results)}


def objects(node: TeamNode, result: Any) -> dict[str, Mapping[str, Any]]:
    """Return the objects whose keys may be merged into the state, by member, or the object that is the result."""
    return {
        name: {key: value for key, value in part.items() if not is_reserved(key)}
        for name, part in _parts(node, result).items()
    }


def reserved(node: TeamNode, result: Any) -> tuple[str, ...]:
    """Return the reserved keys in the objects of the members."""
    return reserved_in(key for part in _parts(node, result).values() for key in part)


def _parts(node: TeamNode, result: Any) -> dict[str, Mapping[str, Any]]:
    if not node.merge or node.merge_mode == "none":
        return {}
    parts = {node.id: result} if node.team_formation in ("pipeline", "consensus") else dict(result or {})
    return {name: part for name, part in parts.items() if isinstance(part, dict)}


def collisions(node: TeamNode, result: Any) -> dict[str, list[str]]:
    """Return the keys that several concurrent members wrote, with these members, in declared order."""
    if node.team_formation not in ("parallel", "hierarchical"):
        return {}
    members = [member.id for member in node.members]
    together = members[1:] if node.team_formation == "hierarchical" else members
    writers: dict[str, list[str]] = {}
    for name, part in objects(node, result).items():
        for key in part:
            if name in together:
                writers.setdefault(key, []).append(name)
    return {key: names for key, names in writers.items() if len(names) > 1}


def patch(node: TeamNode, result: Any, state: Mapping[str, Any]) -> Patch:
    """Return the patch of the team.

    The whole result is stored under the output key (`merge_strategy: list` makes it a list of the results
    of the members). With `merge`, the keys of the members' objects are also merged into the state; a later
    member overwrites an earlier one. If the state already has a key, `team_wins` overwrites it,
    `state_wins` (or `graph_wins`) keeps it, `merge` merges the keys of two objects (and overwrites
    anything else), `error` (or `strict`) refuses; `none` merges nothing.
    """
    whole = list(result.values()) if node.merge_strategy == "list" and isinstance(result, dict) else result
    settings: dict[str, Any] = {}
    for part in objects(node, result).values():
        settings.update(part)
    clash = [key for key in settings if key in state]
    if node.merge_mode in ("error", "strict") and clash:
        raise NodeError(
            f"{node.id}: the team wrote {', '.join(map(repr, clash))}, which the state has already "
            f"(merge_mode is {node.merge_mode})",
            error_type="MergeCollisionError",
        )
    if node.merge_mode in ("state_wins", "graph_wins"):
        settings = {key: value for key, value in settings.items() if key not in state}
    if node.merge_mode == "merge":
        for key in clash:
            if isinstance(settings[key], dict) and isinstance(state[key], dict):
                settings[key] = {**state[key], **settings[key]}
    settings[node.output_key] = whole
    return Patch(settings)
