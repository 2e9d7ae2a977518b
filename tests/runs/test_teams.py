"""The merge of the results of team members into the state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import Bench, Work
from victor_engine.definition.loader import load_text
from victor_engine.definition.model import TeamMember, TeamNode
from victor_engine.errors import NodeError
from victor_engine.graph_walk.team import collisions, patch

MEMBERS = (TeamMember(id="one"), TeamMember(id="two"))
STATE = {"kept": 1, "open": {"a": 1, "b": 1}}
RESULT = {"one": {"kept": 2, "open": {"b": 2}, "_own": 0}, "two": {"new": 3}}


def team(**more: Any) -> TeamNode:
    return TeamNode(id="t", members=MEMBERS, **more)


@pytest.mark.parametrize(
    ("mode", "merged"),
    [
        ("team_wins", {"kept": 2, "open": {"b": 2}, "new": 3}),
        ("state_wins", {"new": 3}),
        ("graph_wins", {"new": 3}),
        ("merge", {"kept": 2, "open": {"a": 1, "b": 2}, "new": 3}),
        ("none", {}),
    ],
)
def test_the_keys_of_a_team_result_that_are_merged_into_the_state(mode: str, merged: dict[str, Any]) -> None:
    assert patch(team(merge_mode=mode), RESULT, STATE).set == {**merged, "t": RESULT}


@pytest.mark.parametrize("mode", ["error", "strict"])
def test_an_existing_key_can_be_refused(mode: str) -> None:
    with pytest.raises(NodeError, match=r"'kept', 'open'.*merge_mode is") as caught:
        patch(team(merge_mode=mode), RESULT, STATE)
    assert caught.value.error_type == "MergeCollisionError"
    assert patch(team(merge_mode=mode), RESULT, {}).set["new"] == 3


def test_the_result_may_be_a_list_without_a_merge() -> None:
    assert patch(team(merge_strategy="list", merge=False), RESULT, {}).set == {
        "t": [RESULT["one"], RESULT["two"]]
    }


@pytest.mark.parametrize(
    ("formation", "found"),
    [("parallel", {"k": ["one", "two"]}), ("sequential", {}), ("hierarchical", {}), ("pipeline", {})],
)
def test_collisions_of_concurrent_members(formation: str, found: Any) -> None:
    result = {"one": {"k": 1}, "two": {"k": 2}}
    assert collisions(team(team_formation=formation), result) == found


async def test_a_collision_is_recorded_and_the_last_in_declared_order_wins(tmp_path: Path) -> None:
    text = """
workflows:
  w:
    nodes:
      - {id: t, type: team, formation: parallel, members: [{id: one, role: r}, {id: two, role: r}]}
"""
    async with Bench(tmp_path, Work(t__one={"k": 1}, t__two={"k": 2})) as bench:
        run = await bench.start(text)
        assert await bench.end(run) == "succeeded"
        assert (await bench.state(run))["k"] == 2
        warnings = await bench.all("SELECT data FROM events WHERE kind = 'run.warning'")
    assert ["one and two both wrote 'k'" in data for (data,) in warnings] == [True]


@pytest.mark.parametrize(
    ("word", "severity", "said"),
    [
        ("merge_mode: team_win", "error", "merge_mode cannot be 'team_win'"),
        ("merge_mode: selective", "warning", "'team_wins' is used"),
        ("merge_strategy: lists", "error", "merge_strategy cannot be 'lists'"),
        ("merge_strategy: list", None, ""),
    ],
)
def test_unknown_words_are_reported(word: str, severity: str | None, said: str) -> None:
    found = load_text(
        "workflows:\n  w:\n    nodes:\n"
        f"      - {{id: t, type: team, {word}, members: [{{id: one, role: r}}]}}\n"
    ).problems
    assert [(p.severity, p.line, said in p.message) for p in found] == (
        [(severity, 4, True)] if severity else []
    )


# --- the members that must succeed ---------------------------------------------------------------

FLOW = """
workflows:
  w:
    nodes:
      - {id: t, type: team, team_formation: FORMATION, KEYS members: [{id: a}, {id: b}, {id: c}]}
"""


def broken(call: Any) -> Any:
    raise NodeError("no", error_type="Boom")


async def ended(path: Path, formation: str, keys: str, **work: Any) -> tuple[str, Any, list[str]]:
    """Return the end of a run, the result of its team, and the warnings."""
    async with Bench(path, Work(**work)) as bench:
        run = await bench.start(FLOW.replace("FORMATION", formation).replace("KEYS", keys))
        status = await bench.end(run)
        rows = await bench.all("SELECT data FROM events WHERE kind = 'run.warning'")
        return status, (await bench.state(run)).get("t"), [row[0] for row in rows]


@pytest.mark.parametrize("formation", ["parallel", "sequential", "hierarchical"])
async def test_enough_members_succeed(tmp_path: Path, formation: str) -> None:
    work = {"t__a": {"x": 1}, "t__b": broken, "t__c": {"y": 1}}
    for number, keys in enumerate(("min_success: 2,", "min_success: majority,")):
        status, result, warnings = await ended(tmp_path / str(number), formation, keys, **work)
        assert (status, result) == ("succeeded", {"a": {"x": 1}, "c": {"y": 1}})
        assert "b: Boom: no" in warnings[0]
    for number, keys in enumerate(("", "min_success: 3,", "min_success: all,"), 2):
        status, result, _ = await ended(tmp_path / str(number), formation, keys, **work)
        assert (status, result) == ("failed", None)


async def test_the_first_of_a_hierarchy_must_succeed(tmp_path: Path) -> None:
    assert (await ended(tmp_path, "hierarchical", "min_success: 1,", t__a=broken))[0] == "failed"


async def test_a_consensus_counts_the_members_that_succeeded(tmp_path: Path) -> None:
    yes = {"vote": "yes"}
    _, result, _ = await ended(tmp_path, "consensus", "min_success: 2,", t__a=yes, t__b=broken, t__c=yes)
    assert (result["consensus"], result["agreed"]) == ("yes", ["a", "c"])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("min_success: 4,", "min_success is 4, and the team has 3 members"),
        ("min_success: 0,", "must be at least 1"),
        ("min_success: most,", "a number of members, majority or all"),
        ("formation: pipeline, min_success: 2,", "has no meaning in a pipeline"),
    ],
)
def test_a_min_success_that_cannot_be_is_refused(keys: str, message: str) -> None:
    found = load_text(FLOW.replace("team_formation: FORMATION,", "").replace("KEYS", keys))
    assert [message in problem.message for problem in found.problems] == [True]
