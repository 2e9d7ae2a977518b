"""The graph walk on a real store: every node type, limits, retries, people, recovery."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import FINAL, Bench, Work
from victor_engine.api import Answer
from victor_engine.clock import FakeClock
from victor_engine.errors import AlreadyAnsweredError, NodeError
from victor_engine.runs.commands import Cancel, Pause, Resume, Retry

CHAIN = """
workflows:
  chain:
    nodes:
      - {id: a, type: compute, handler: h, next: [b]}
      - {id: b, type: agent, role: r, goal: "use {x}", next: [c]}
      - {id: c, type: transform, transform: "y = x + 1"}
"""


async def test_a_chain_runs_and_its_results_merge(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(a={"x": 1, "_hidden": 2}, b="text")) as bench:
        run = await bench.start(CHAIN, {"given": True})
        assert await bench.end(run) == "succeeded"
        assert await bench.state(run) == {
            "given": True, "a": {"x": 1, "_hidden": 2}, "x": 1, "b": "text", "y": 2,
        }  # fmt: skip
        assert bench.work.calls[1].goal == "use 1"
        kinds = [
            row[0]
            for row in await bench.all("SELECT kind FROM events WHERE run_key = ? ORDER BY seq", run.key)
        ]
        assert kinds[0] == "run.created"
        assert kinds[-1] == "run.finished"
        assert kinds.count("node.completed") == 3


BRANCHES = """
workflows:
  branches:
    nodes:
      - id: c
        type: condition
        condition: "%s"
        branches: {%s}
      - {id: yes_node, type: transform, transform: 'went = "yes"'}
      - {id: no_node, type: transform, transform: 'went = "no"'}
"""


@pytest.mark.parametrize(
    ("condition", "branches", "state", "went"),
    [
        ("n > 1", "true: yes_node, false: no_node", {"n": 2}, "yes"),
        ("n > 1", '"true": yes_node, "false": no_node', {"n": 0}, "no"),
        ("n", "true: yes_node, false: no_node", {"n": 3}, "yes"),
        ("kind.name", "alpha: yes_node, default: no_node", {"kind": {"name": "alpha"}}, "yes"),
        ("kind.name", "alpha: yes_node, default: no_node", {"kind": {"name": "beta"}}, "no"),
        ("flag", "yes: yes_node, no: no_node", {"flag": True}, "yes"),
        ("flag", "yes: yes_node, no: no_node", {"flag": "no"}, "no"),
        ("n", "1: yes_node, 2: no_node", {"n": 2}, "no"),
    ],
)
async def test_the_choice_of_a_branch(
    tmp_path: Path, condition: str, branches: str, state: dict[str, Any], went: str
) -> None:
    async with Bench(tmp_path, Work()) as bench:
        run = await bench.start(BRANCHES % (condition, branches), state)
        assert await bench.end(run) == "succeeded"
        assert (await bench.state(run))["went"] == went


async def test_false_without_a_branch_ends_visibly_and_another_value_fails(tmp_path: Path) -> None:
    text = """
workflows:
  w:
    nodes:
      - {id: c, type: condition, condition: v, branches: {true: t}}
      - {id: t, type: transform, transform: "x = 1"}
"""
    async with Bench(tmp_path, Work()) as bench:
        run = await bench.start(text, {"v": False})
        assert await bench.end(run) == "succeeded"
        assert await bench.one("SELECT COUNT(*) FROM events WHERE kind = 'branch.ended'") == 1
    async with Bench(tmp_path / "2", Work()) as bench:
        run = await bench.start(text.replace("true: t", "a: t, b: t"), {"v": "c"})
        assert await bench.end(run) == "failed"
        error = await bench.error(run)
        assert error["type"] == "NoBranchError"
        assert "'a', 'b'" in error["message"]


async def test_several_successors_all_run_and_join_once(tmp_path: Path) -> None:
    text = """
workflows:
  w:
    nodes:
      - {id: s, type: compute, handler: h, next: [a, join]}
      - {id: a, type: compute, handler: h, next: [b]}
      - {id: b, type: compute, handler: h, next: [join]}
      - {id: join, type: compute, handler: h}
"""
    async with Bench(tmp_path, Work()) as bench:
        run = await bench.start(text)
        assert await bench.end(run) == "succeeded"
        assert [call.node_id for call in bench.work.calls] == ["s", "a", "b", "join"]


async def test_a_loop_ends_at_max_iterations(tmp_path: Path) -> None:
    text = """
workflows:
  w:
    max_iterations: 7
    nodes:
      - {id: a, type: compute, handler: h, next: [b]}
      - {id: b, type: compute, handler: h, next: [a]}
"""
    async with Bench(tmp_path, Work()) as bench:
        run = await bench.start(text)
        assert await bench.end(run) == "failed"
        assert len(bench.work.calls) == 7
        assert (await bench.error(run))["type"] == "IterationLimitError"
        assert [c.iteration for c in bench.work.calls if c.node_id == "a"] == [1, 2, 3, 4]


PARALLEL = """
workflows:
  w:
    nodes:
      - {id: p, type: parallel, parallel_nodes: [a, b, c], join_strategy: %s, next: [z]}
      - {id: a, type: compute, handler: h}
      - {id: b, type: compute, handler: h}
      - {id: c, type: compute, handler: h}
      - {id: z, type: transform, transform: "done = true"}
"""


async def test_parallel_all_merges_in_declared_order_and_reports_collisions(tmp_path: Path) -> None:
    order = asyncio.Event()

    async def slow(call: Any) -> Any:
        await order.wait()
        return {"k": "a", "only_a": 1}

    def last(call: Any) -> Any:
        order.set()
        return {"k": "c"}

    async with Bench(tmp_path, Work(a=slow, b={"k": "b"}, c=last)) as bench:
        run = await bench.start(PARALLEL % "all")
        assert await bench.end(run) == "succeeded"
        state = await bench.state(run)
        assert state["k"] == "c"
        assert state["only_a"] == 1
        assert state["done"] is True
        warning = await bench.one("SELECT data FROM events WHERE kind = 'run.warning'")
        assert "a and b and c all wrote 'k'" in warning


async def test_parallel_any_cancels_and_awaits_the_others(tmp_path: Path) -> None:
    ended: list[str] = []

    async def forever(call: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(call.node_id)

    async with Bench(tmp_path, Work(a=forever, b={"won": "b"}, c=forever)) as bench:
        run = await bench.start(PARALLEL % "any")
        assert await bench.end(run) == "succeeded"
        assert sorted(ended) == ["a", "c"]
        assert (await bench.state(run))["won"] == "b"
        rows = await bench.all("SELECT node_id, status FROM attempts WHERE parent = 'p' ORDER BY id")
        assert dict(rows) == {"a": "cancelled", "b": "succeeded", "c": "cancelled"}


async def test_parallel_all_fails_with_its_first_failure_and_merge_does_not(tmp_path: Path) -> None:
    def bad(call: Any) -> Any:
        raise NodeError("no", error_type="Boom")

    async with Bench(tmp_path, Work(a=bad, b={"x": 1}, c={})) as bench:
        run = await bench.start(PARALLEL % "all")
        assert await bench.end(run) == "failed"
        assert (await bench.error(run))["type"] == "Boom"
    async with Bench(tmp_path / "2", Work(a=bad, b={"x": 1}, c={})) as bench:
        run = await bench.start(PARALLEL % "merge")
        assert await bench.end(run) == "succeeded"
        assert (await bench.state(run))["x"] == 1


RETRY = """
workflows:
  w:
    max_retries: %d
    nodes:
      - id: a
        type: compute
        handler: h
        retry_policy: {max_attempts: 3, backoff: exponential, initial_delay: 1, retryable_errors: [Timeout]}
"""


async def test_retries_wait_by_the_clock_and_keep_their_idempotency_key(tmp_path: Path) -> None:
    clock = FakeClock()
    outcomes = [
        NodeError("slow", error_type="TimeoutError"),
        NodeError("slow", error_type="TimeoutError"),
        None,
    ]

    def work(call: Any) -> Any:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        return {"ok": True}

    async with Bench(tmp_path, Work(a=work), clock) as bench:
        run = await bench.start(RETRY % 0)

        async def retrying(count: int) -> bool:
            return await bench.one("SELECT retries FROM runs WHERE key = ?", run.key) == count

        await bench.until(lambda: retrying(1))
        assert len(bench.work.calls) == 1
        while len(bench.work.calls) < 2:
            await clock.advance(0.5)
        await bench.until(lambda: retrying(2))
        while len(bench.work.calls) < 3:
            await clock.advance(0.5)
        assert await bench.end(run) == "succeeded"
        assert len({call.idempotency_key for call in bench.work.calls}) == 1
        assert [call.attempt for call in bench.work.calls] == [1, 2, 3]


async def test_an_error_that_is_not_named_is_not_retried_but_the_run_is(tmp_path: Path) -> None:
    def work(call: Any) -> Any:
        raise NodeError("no", error_type="ValueError")

    async with Bench(tmp_path, Work(a=work)) as bench:
        run = await bench.start(RETRY % 2)
        assert await bench.end(run) == "failed"
        assert len(bench.work.calls) == 3
        assert await bench.one("SELECT reruns FROM runs WHERE key = ?", run.key) == 2


async def test_on_error_continues_at_another_node(tmp_path: Path) -> None:
    text = """
workflows:
  w:
    nodes:
      - {id: a, type: compute, handler: h, on_error: mend, next: [b]}
      - {id: b, type: transform, transform: "x = 1"}
      - {id: mend, type: transform, transform: "why = errors.a.message"}
"""

    def work(call: Any) -> Any:
        raise NodeError("broken", error_type="Boom")

    async with Bench(tmp_path, Work(a=work)) as bench:
        run = await bench.start(text)
        assert await bench.end(run) == "succeeded"
        state = await bench.state(run)
        assert state["why"] == "broken"
        assert "x" not in state


async def test_an_error_that_is_not_text_is_stored(tmp_path: Path) -> None:
    def fails(call: Any) -> None:
        raise FileNotFoundError("there is no b\udcffd")

    async with Bench(tmp_path, Work(a=fails)) as bench:
        run = await bench.start("workflows:\n  w:\n    nodes: [{id: a, type: compute, handler: h}]\n")
        assert await bench.end(run) == "failed"
        error = await bench.error(run)
    assert error["type"] == "FileNotFoundError"
    assert error["message"].endswith("there is no b\\udcffd")


async def test_a_node_limit_ends_the_node(tmp_path: Path) -> None:
    text = "workflows: {w: {nodes: [{id: a, type: compute, handler: h, timeout: 5}]}}"

    async def forever(call: Any) -> Any:
        await asyncio.Event().wait()

    clock = FakeClock()
    async with Bench(tmp_path, Work(a=forever), clock) as bench:
        run = await bench.start(text)
        while not bench.work.calls:
            await asyncio.sleep(0)
        await clock.advance(6)
        assert await bench.end(run) == "failed"
        error = await bench.error(run)
        assert error["type"] == "TimeoutError"
        assert "5 s" in error["message"]


TEAM = """
workflows:
  w:
    nodes:
      - id: t
        type: team
        goal: together
        team_formation: %s
        members: [{id: one, role: r}, {id: two, role: r}, {id: three, role: r}]
        total_tool_budget: 9
"""


@pytest.mark.parametrize(
    ("formation", "result"),
    [
        ("sequential", {"one": 1, "two": 2, "three": 3}),
        ("parallel", {"one": 1, "two": 2, "three": 3}),
        ("hierarchical", {"one": 1, "two": 2, "three": 3}),
        ("pipeline", 3),
    ],
)
async def test_teams(tmp_path: Path, formation: str, result: Any) -> None:
    async with Bench(tmp_path, Work(t__one=1, t__two=2, t__three=3)) as bench:
        run = await bench.start(TEAM % formation)
        assert await bench.end(run) == "succeeded"
        assert (await bench.state(run))["t"] == result
        assert {call.tool_budget for call in bench.work.calls} == {3}
        if formation == "pipeline":
            assert bench.work.calls[2].inputs == {"previous": 2}
        if formation == "hierarchical":
            assert bench.work.calls[2].inputs == {"plan": 1}


async def test_a_team_without_a_majority_fails(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(t__one="a", t__two="b", t__three="a")) as bench:
        run = await bench.start(TEAM % "consensus")
        assert await bench.end(run) == "succeeded"
        assert (await bench.state(run))["consensus"] == "a"
    async with Bench(tmp_path / "2", Work(t__one="a", t__two="b", t__three="c")) as bench:
        run = await bench.start(TEAM % "consensus")
        assert await bench.end(run) == "failed"
        assert (await bench.error(run))["type"] == "NoConsensusError"


GATE = """
workflows:
  w:
    nodes:
      - {id: gate, type: hitl, hitl_type: approval, prompt: "Ship {v}?", %s}
      - {id: go, type: transform, transform: "gone = true"}
      - {id: stay, type: transform, transform: "stayed = true"}
"""


async def test_an_approval_continues_and_leaves_its_record(tmp_path: Path) -> None:
    text = GATE % "next: {approved: go, rejected: stay}"
    async with Bench(tmp_path, Work()) as bench:
        run = await bench.start(text, {"v": 7})
        await bench.question(run)
        assert await bench.status(run) == "waiting"
        await bench.answer(run, Answer(outcome="approved", comment="fine"))
        assert await bench.end(run) == "succeeded"
        state = await bench.state(run)
        assert state["gate"] is True
        assert state["gone"] is True
        assert state["human"]["gate"]["by"] == "bob"
        assert state["human"]["gate"]["comment"] == "fine"


async def test_an_unhandled_rejection_ends_the_run_as_rejected(tmp_path: Path) -> None:
    text = "workflows: {w: {nodes: [{id: gate, type: hitl, hitl_type: approval, next: [go]}, " \
        "{id: go, type: transform, transform: 'x = 1'}]}}"  # fmt: skip
    async with Bench(tmp_path, Work()) as bench:
        run = await bench.start(text)
        await bench.answer(run, Answer(outcome="rejected", comment="not today"))
        assert await bench.end(run) == "rejected"
        assert "bob rejected gate: not today" in (await bench.error(run))["message"]
        assert "x" not in await bench.state(run)


async def test_the_conflict_of_the_second_answer_names_the_first(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work()) as bench:
        run = await bench.start(GATE % "next: {approved: go, rejected: stay}", {"v": 1})
        request_id, revision = await bench.question(run)
        await bench.answer(run, Answer(outcome="approved"))
        from tests.runs.harness import ALICE
        from victor_engine.people.requests import Person, answer_request

        with pytest.raises(AlreadyAnsweredError, match=r"bob answered this request at .*: approved"):
            await bench.store.write(
                lambda tx: answer_request(tx, request_id, revision, Answer(outcome="rejected"), Person(ALICE))
            )
        assert await bench.end(run) == "succeeded"


@pytest.mark.parametrize(
    ("fallback", "end", "value"),
    [
        ("", "failed", None),
        ("fallback: abort, ", "failed", None),
        ("fallback: reject, ", "rejected", False),
        ("fallback: continue, default_value: 5, ", "succeeded", 5),
        ("fallback: continue, ", "succeeded", None),
        ("on_timeout: skip, ", "succeeded", None),
    ],
)
async def test_a_timeout_has_the_effect_that_the_author_wrote(
    tmp_path: Path, fallback: str, end: str, value: Any
) -> None:
    text = (
        "workflows: {w: {nodes: [{id: gate, type: hitl, hitl_type: approval, timeout: 60, FALLBACK next: [go]}, "
        "{id: go, type: transform, transform: 'gone = true'}]}}"
    ).replace("FALLBACK", fallback)
    clock = FakeClock()
    async with Bench(tmp_path, Work(), clock) as bench:
        run = await bench.start(text)
        await bench.question(run)

        async with asyncio.timeout(60):
            while (status := await bench.status(run)) not in FINAL:
                await clock.advance(10)
        assert status == end
        if end != "failed":
            assert (await bench.state(run))["gate"] == value
            outcome = (await bench.state(run))["human"]["gate"]["outcome"]
            assert outcome == {"rejected": "rejected"}.get(
                end, "skipped" if "skip" in fallback else "timed_out"
            )


async def test_a_new_engine_continues_where_the_old_one_died(tmp_path: Path) -> None:
    text = """
workflows:
  w:
    nodes:
      - {id: a, type: compute, handler: h, next: [p]}
      - {id: p, type: parallel, parallel_nodes: [b, c], join_strategy: all, next: [gate]}
      - {id: b, type: compute, handler: h}
      - {id: c, type: compute, handler: h}
      - {id: gate, type: hitl, hitl_type: approval, timeout: 1h, next: {approved: z, rejected: z}}
      - {id: z, type: compute, handler: h}
"""
    started = asyncio.Event()

    async def hang(call: Any) -> Any:
        started.set()
        await asyncio.Event().wait()

    first = Work(a={"x": 1}, b={"y": 2}, c=hang)
    async with Bench(tmp_path, first) as bench:
        run = await bench.start(text)
        async with asyncio.timeout(10):
            await started.wait()

        async def b_done() -> bool:
            return await bench.one("SELECT status FROM attempts WHERE node_id = 'b'") == "succeeded"

        await bench.until(b_done)
        # Leaving the bench interrupts c as the end of its engine would.
    second = Work(c={"w": 3}, z={"v": 4})
    async with Bench(tmp_path, second) as bench:
        request_id, _ = await bench.question(run)
        deadline = await bench.one("SELECT deadline FROM requests WHERE id = ?", request_id)
        assert [call.node_id for call in second.calls] == ["c"]
        assert second.calls[0].attempt == 2
    third = Work(z={"v": 4})
    async with Bench(tmp_path, third) as bench:
        assert await bench.one("SELECT deadline FROM requests WHERE id = ?", request_id) == deadline
        await bench.answer(run, Answer(outcome="approved"))
        assert await bench.end(run) == "succeeded"
        assert [call.node_id for call in third.calls] == ["z"]
        state = await bench.state(run)
        assert {"x": 1, "y": 2, "w": 3, "v": 4}.items() <= state.items()


async def test_cancel_pause_resume_retry(tmp_path: Path) -> None:
    gate = asyncio.Event()
    entered = asyncio.Event()
    fail = [True]

    async def hold(call: Any) -> Any:
        entered.set()
        await gate.wait()
        return {}

    def flaky(call: Any) -> Any:
        if fail.pop() if fail else False:
            raise NodeError("first time", error_type="Boom")
        return {"ok": 1}

    text = """
workflows:
  w:
    nodes:
      - {id: a, type: compute, handler: h, next: [b]}
      - {id: b, type: compute, handler: h}
"""
    from tests.runs.harness import BOB

    async with Bench(tmp_path, Work(a=hold, b=flaky)) as bench:
        run = await bench.start(text)
        await entered.wait()
        await bench.runtime.command(Pause(run.id, "wait"), BOB)
        gate.set()

        await bench.until_status(run, "paused")
        assert len(bench.work.calls) == 1
        await bench.runtime.command(Resume(run.id), BOB)
        assert await bench.end(run) == "failed"
        await bench.runtime.command(Retry(run.id, "again"), BOB)

        async def succeeded() -> bool:
            return await bench.status(run) == "succeeded"

        await bench.until(succeeded)
        assert [call.node_id for call in bench.work.calls] == ["a", "b", "b"]


async def test_cancelling_ends_active_attempts(tmp_path: Path) -> None:
    ended = asyncio.Event()
    entered = asyncio.Event()

    async def forever(call: Any) -> Any:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    from tests.runs.harness import BOB

    async with Bench(tmp_path, Work(a=forever)) as bench:
        run = await bench.start("workflows: {w: {nodes: [{id: a, type: compute, handler: h}]}}")
        await entered.wait()
        await bench.runtime.command(Cancel(run.id, "enough"), BOB)
        assert ended.is_set()
        assert await bench.status(run) == "cancelled"
        assert await bench.one("SELECT status FROM attempts") == "cancelled"


async def test_missing_input_is_a_typed_failure(tmp_path: Path) -> None:
    text = "workflows: {w: {nodes: [{id: a, type: compute, handler: h, inputs: {p: $ctx.nope}}]}}"
    async with Bench(tmp_path, Work()) as bench:
        run = await bench.start(text)
        assert await bench.end(run) == "failed"
        error = await bench.error(run)
        assert error["type"] == "MissingInputError"
        assert "$ctx.nope" in error["message"]


async def test_a_run_that_is_cancelled_while_it_is_claimed_ends(tmp_path: Path) -> None:
    from tests.runs.harness import BOB

    async with Bench(tmp_path, Work()) as bench:
        for _ in range(20):
            run = await bench.start(GATE % "next: {approved: go, rejected: stay}", {"v": 1})
            async with asyncio.timeout(20):
                await bench.runtime.command(Cancel(run.id, "at once"), BOB)
            assert await bench.status(run) == "cancelled"
        run = await bench.start(GATE % "next: {approved: go, rejected: stay}", {"v": 1})
        await bench.question(run)
        for _ in range(10):
            await bench.runtime.command(Pause(run.id), BOB)
            assert await bench.status(run) == "paused"
            await bench.runtime.command(Resume(run.id), BOB)
            await bench.until_status(run, "waiting")
        async with asyncio.timeout(20):
            await bench.runtime.command(Cancel(run.id), BOB)
        assert await bench.status(run) == "cancelled"
