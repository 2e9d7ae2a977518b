"""Dry runs: the way with given results, and nothing done."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import Bench, Work
from victor_engine.definition.expressions.expression import FunctionRegistry
from victor_engine.definition.loader import load_text
from victor_engine.errors import UsageError
from victor_engine.runs.dry_run import DryRun, dry_run

FLOW = """
workflows:
  w:
    nodes:
      - {id: count, type: compute, handler: h, inputs: {table: $ctx.table, note: "$ctx.note?"}, next: [many]}
      - {id: many, type: condition, condition: rows > 10, branches: {true: gate, false: both}}
      - {id: gate, type: hitl, hitl_type: approval, prompt: "Load {rows}?", assignees: ["@ops"],
         next: {approved: kid, rejected: stop}}
      - {id: kid, type: workflow, workflow: other, inputs: {rows: $ctx.rows}, next: {succeeded: both, rejected: stop}}
      - {id: both, type: parallel, parallel_nodes: [one, two], join_strategy: merge, next: [pause]}
      - {id: one, type: compute, handler: h, merge: false}
      - {id: two, type: team, team_formation: parallel, min_success: 1, members: [{id: a}, {id: b}]}
      - {id: pause, type: wait, for: 1h, on_timeout: continue, next: [page]}
      - {id: page, type: agent, role: r, goal: "Page about {rows}", when: rows > 100, next: [last]}
      - {id: last, type: transform, transform: "ended = True"}
      - {id: stop, type: fail, message: "{rows} were not approved", error_type: NotApproved}
"""


async def dry(text: str = FLOW, state: dict[str, Any] | None = None, **mocks: Any) -> DryRun:
    found = load_text(text)
    assert found.ok, found.problems
    return await dry_run(
        found.workflows["w"],
        {"table": "t"} if state is None else state,
        {name.replace("__", "."): value for name, value in mocks.items()},
        lambda node, role: f"command {node.id}",
        FunctionRegistry(),
        datetime(2026, 3, 1, tzinfo=UTC),
    )


def way(found: DryRun) -> list[tuple[str, str]]:
    return [(step.node, step.action) for step in found.steps]


async def test_the_whole_way_with_given_results() -> None:
    found = await dry(count={"rows": 12}, gate="approved", kid={"x": 1}, one=[1], two__a={"y": 2}, two__b=3)
    assert (found.status, found.stops) == ("succeeded", "")
    assert way(found) == [
        ("count", "execute"), ("many", "choose"), ("gate", "ask"), ("kid", "start"), ("one", "execute"),
        ("two.a", "execute"), ("two.b", "execute"), ("pause", "wait"), ("page", "skip"), ("last", "compute"),
    ]  # fmt: skip
    count, _, gate, kid, *_ = found.steps
    assert (count.by, count.inputs, count.result) == ("command count", {"table": "t"}, {"rows": 12})
    assert (gate.people, gate.text) == (("@ops",), "Load 12?")
    assert (kid.by, kid.inputs) == ("workflow other latest", {"rows": 12})
    assert found.steps[-2].label == "skipped: rows > 100 is false (rows is 12)"
    assert (found.state["kid"], found.state["one"], found.state["y"], found.state["ended"]) == (
        {"x": 1},
        [1],
        2,
        True,
    )


async def test_a_question_without_an_answer_ends_the_dry_run() -> None:
    found = await dry(count={"rows": 12})
    assert found.status == "unknown"
    assert found.stops == ("gate asks @ops, and the answer is not given. Give it with --mock gate=approved")


@pytest.mark.parametrize(
    ("mocks", "status", "error"),
    [
        ({"count": {"rows": 12}, "gate": False}, "failed", "NotApproved"),
        ({"count": {"rows": 12}, "gate": True, "kid": "rejected"}, "failed", "NotApproved"),
        (
            {"count": {"rows": 12}, "gate": True, "kid": {"error": {"message": "m"}}},
            "failed",
            "ChildRunError",
        ),
        ({"count": {"error": {"type": "Down", "message": "m"}}}, "failed", "Down"),
        ({}, "failed", "KeyError"),
        ({"count": {"rows": 1}}, "succeeded", None),
        ({"count": {"rows": 1}, "two.a": {"error": {"message": "m"}}}, "succeeded", None),
        ({"count": {"rows": 1}, "pause": "timed_out"}, "succeeded", None),
    ],
)
async def test_given_results_decide_the_way(mocks: dict[str, Any], status: str, error: str | None) -> None:
    found = await dry(**{name.replace(".", "__"): value for name, value in mocks.items()})
    assert (found.status, found.error and found.error.type) == (status, error)


@pytest.mark.parametrize(
    ("mocks", "message"),
    [
        ({"nope": 1}, "has no such node"),
        ({"many": True}, "it is a condition node"),
        ({"count": {"rows": 1}, "pause": "later"}, "done or timed_out, not 'later'"),
    ],
)
async def test_a_result_that_cannot_be_given_is_refused(mocks: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        await dry(**mocks)


async def test_a_loop_without_an_end_ends_the_dry_run() -> None:
    text = """
workflows:
  w:
    nodes:
      - {id: a, type: compute, handler: h, next: [b]}
      - {id: b, type: transform, transform: "x = 1", next: [a]}
"""
    found = await dry(text)
    assert (len(found.steps), found.status) == (500, "unknown")
    assert "the maximum" in found.stops


async def test_the_real_run_goes_the_same_way(tmp_path: Path) -> None:
    results = {"count": {"rows": 7}, "one": [1], "two.a": {"y": 2}, "two.b": {"z": 3}}
    text = FLOW.replace("for: 1h", "for: 0.01")
    found = await dry(text, **{name.replace(".", "__"): value for name, value in results.items()})
    work = Work(**{name.replace(".", "__"): value for name, value in results.items()})
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(text, {"table": "t"})
        assert await bench.end(run) == found.status == "succeeded"
        inner = await bench.all(
            "SELECT node_id, branch FROM attempts WHERE run_key = ? AND node_id NOT IN ('both', 'two')",
            run.key,
        )
        labels = {step.node: step.label or None for step in found.steps}
        assert {node: branch for node, branch in inner if node != "pause"} == {
            node: label for node, label in labels.items() if node != "pause"
        }
        real = await bench.state(run)
        assert {key: value for key, value in real.items() if key != "pause"} == {
            key: value for key, value in found.state.items() if key != "pause"
        }
        inputs = {call.node_id: dict(call.inputs) for call in work.calls}
        assert inputs == {step.node: step.inputs for step in found.steps if step.action == "execute"}


async def test_the_handlers_of_the_end_are_walked_and_see_the_error() -> None:
    text = """
workflows:
  w:
    nodes:
      - {id: a, type: compute, handler: h}
    on_failure:
      - {id: tell, type: compute, handler: h, inputs: {why: $run.error}}
    finally:
      - {id: unlock, type: transform, transform: "ended = $run.status"}
"""
    found = await dry(
        text, a={"error": {"type": "DiskError", "message": "full"}}, tell={"error": {"type": "E"}}
    )
    assert (found.status, found.error and found.error.message) == ("failed", "full")
    assert way(found) == [
        ("a", "execute"),
        ("a", "fail"),
        ("tell", "execute"),
        ("tell", "fail"),
        ("unlock", "compute"),
    ]
    assert found.steps[2].inputs == {"why": "full"}
    assert found.state == {"table": "t", "ended": "failed"}
    assert found.warnings[0].startswith("on_failure failed: ")
    assert way(await dry(text)) == [("a", "execute"), ("unlock", "compute")]
