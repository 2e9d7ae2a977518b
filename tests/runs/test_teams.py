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
