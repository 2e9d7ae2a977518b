"""Child runs: started once, awaited without a slot, cancelled with their parent."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import ALICE, Bench, Work
from victor_engine.api import Answer
from victor_engine.clock import FakeClock
from victor_engine.errors import NodeError
from victor_engine.runs.child_runs import MAX_DEPTH
from victor_engine.runs.commands import Cancel, Pause, Resume
from victor_engine.runs.transitions import RunRef
from victor_engine.store import queries

CHILD = """
workflows:
  child:
    nodes:
      - {id: work, type: compute, handler: h, inputs: {n: $ctx.n}}
"""
PARENT = """
workflows:
  parent:
    nodes:
      - {id: sub, type: workflow, workflow: child, inputs: {n: $ctx.number}, output: got, KEYS next: [after]}
      - {id: after, type: transform, transform: "went = true"}
"""


def parent(keys: str = "") -> str:
    return PARENT.replace("KEYS", f"{keys}," if keys else "")


async def child_of(bench: Bench, ref: RunRef, number: int = 1) -> RunRef:
    """Wait for the child run of the parent, and return it."""

    async def found() -> Any:
        rows = await bench.all(
            "SELECT c.key, c.id, c.workflow, c.definition_id, c.schedule_id FROM attempts a JOIN runs c"
            " ON c.key = a.child_key WHERE a.run_key = ? AND a.number = ?",
            ref.key,
            number,
        )
        return rows[0] if rows else None

    return RunRef(*await bench.until(found))


async def test_a_child_runs_with_its_inputs_and_its_state_lands_under_output(tmp_path: Path) -> None:
    work = Work(work=lambda call: {"doubled": call.inputs["n"] * 2})
    async with Bench(tmp_path, work, max_concurrent_runs=1) as bench:
        await bench.define(CHILD)
        run = await bench.start(parent(), {"number": 21, "other": 1})
        assert await bench.end(run) == "succeeded"
        state = await bench.state(run)
        assert state == {
            "number": 21, "other": 1, "went": True,
            "got": {"n": 21, "work": {"doubled": 42}, "doubled": 42},
        }  # fmt: skip
        child = await child_of(bench, run)
        detail = await bench.store.read(lambda c: queries.run_detail(c, run.id, datetime.now(UTC)))
        assert detail.attempts[0].child_run == child.id
        assert detail.attempts[0].binding == "workflow child 1.0.0"
        assert {n.node_id: n.child_run for n in detail.nodes}["sub"] == child.id
        assert next(n for n in detail.graph.nodes if n.id == "sub").detail == "child latest"
        info = await bench.store.read(lambda c: queries.run_info(c, child.id, datetime.now(UTC)))
        assert (info.trigger, info.parent_run, info.started_by) == ("parent", run.id, "alice")


async def test_merge_copies_the_keys_of_a_child_into_the_state(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(work={"x": 1})) as bench:
        await bench.define(CHILD)
        run = await bench.start(parent("merge: true"), {"number": 2})
        assert await bench.end(run) == "succeeded"
        state = await bench.state(run)
        assert state["x"] == 1
        assert state["got"]["x"] == 1


async def test_a_failed_child_fails_its_node_and_restart_starts_another(tmp_path: Path) -> None:
    calls = 0

    def flaky(call: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise NodeError("the disk is full", error_type="DiskError")
        return {"ok": True}

    async with Bench(tmp_path, Work(work=flaky)) as bench:
        await bench.define(CHILD)
        run = await bench.start(parent(), {"number": 1})
        assert await bench.end(run) == "failed"
        error = await bench.error(run)
        child = await child_of(bench, run)
        assert error["type"] == "ChildRunError"
        assert child.id in error["message"]
        assert "failed at work: DiskError: the disk is full" in error["message"]
        # The parent is the dead letter, and not also its child.
        assert await bench.all("SELECT run_key FROM dead_letters") == [(run.key,)]
    async with Bench(tmp_path / "2", Work(work=flaky)) as bench:
        await bench.define(CHILD)
        retry = "on_retry: restart, retry_policy: {max_attempts: 3, initial_delay: 0, retryable_errors: [DiskError]}"
        run = await bench.start(parent(retry), {"number": 1})
        assert await bench.end(run) == "succeeded"
        assert (await child_of(bench, run)).id != (await child_of(bench, run, 2)).id


async def test_dead_letters_of_parents_group_by_the_cause_of_the_child(tmp_path: Path) -> None:
    codes = iter([7, 8, 7])

    def boom(call: Any) -> Any:
        code = next(codes)
        raise NodeError(f"ended with exit code {code}", error_type="CommandFailed", exit_code=code)

    async with Bench(tmp_path, Work(work=boom)) as bench:
        await bench.define(CHILD)
        for _ in range(3):
            assert await bench.end(await bench.start(parent(), {"number": 1})) == "failed"
        causes = await bench.all(
            "SELECT COUNT(*) FROM dead_letters d JOIN dead_causes c ON c.id = d.cause_id GROUP BY c.id ORDER BY c.id"
        )
        assert causes == [(2,), (1,)]


@pytest.mark.parametrize(
    ("keys", "end", "went"),
    [
        ("", "rejected", None),
        ("NEXT {succeeded: after, rejected: refused}", "succeeded", "no"),
        ("NEXT {succeeded: after, default: refused}", "succeeded", "no"),
        ("NEXT [which]", "succeeded", "no"),
        ("NEXT {succeeded: after}", "rejected", None),
    ],
)
async def test_a_rejected_child_branches_as_a_rejection_does(
    tmp_path: Path, keys: str, end: str, went: str | None
) -> None:
    ask = """
workflows:
  child:
    nodes:
      - {id: gate, type: hitl, hitl_type: approval}
"""
    text = """
workflows:
  parent:
    nodes:
      - {id: sub, type: workflow, workflow: child, output: got, next: [after]}
      - {id: after, type: transform, transform: "went = 'yes'"}
"""
    if keys:
        text = text.replace("next: [after]", keys.replace("NEXT", "next:"))
        text += """      - {id: refused, type: transform, transform: "went = 'no'"}\n"""
        if "which" in keys:
            text += "      - {id: which, type: condition, condition: got.gate, branches: {true: after, false: refused}}\n"
        elif "refused" not in keys:
            text = text.replace("went = 'yes'\"", "went = 'yes'\", next: [refused]")
    async with Bench(tmp_path, Work(), max_concurrent_runs=1) as bench:
        await bench.define(ask)
        run = await bench.start(text)
        child = await child_of(bench, run)
        await bench.answer(child, Answer(outcome="rejected", comment="not today"))
        assert await bench.end(run) == end
        assert (await bench.state(run)).get("went") == went
        if end == "rejected":
            message = (await bench.error(run))["message"]
            assert child.id in message
            assert "not today" in message


async def test_a_cancelled_parent_cancels_its_children_and_a_paused_parent_does_not(
    tmp_path: Path,
) -> None:
    gate = asyncio.Event()
    started = asyncio.Event()

    async def hold(call: Any) -> Any:
        started.set()
        await gate.wait()
        return {"x": 1}

    async with Bench(tmp_path, Work(work=hold), max_concurrent_runs=1) as bench:
        await bench.define(CHILD)
        run = await bench.start(parent(), {"number": 1})
        child = await child_of(bench, run)
        await bench.until_status(child, "running")
        assert await bench.status(run) == "waiting"
        info = await bench.store.read(lambda c: queries.run_info(c, run.id, datetime.now(UTC)))
        assert info.waits_for == f"sub: child 1.0.0, run {child.id}"
        await bench.runtime.command(Pause(run.id), ALICE)
        assert await bench.status(run) == "paused"
        async with asyncio.timeout(10):
            await started.wait()
        gate.set()
        assert await bench.end(child) == "succeeded"
        assert await bench.status(run) == "paused"
        await bench.runtime.command(Resume(run.id), ALICE)
        assert await bench.end(run) == "succeeded"

        gate.clear()
        started.clear()
        run = await bench.start(parent(), {"number": 1})
        child = await child_of(bench, run)
        async with asyncio.timeout(10):
            await started.wait()
        await bench.runtime.command(Cancel(run.id, "no"), ALICE)
        assert await bench.status(run) == "cancelled"
        assert await bench.status(child) == "cancelled"
        why = await bench.one(
            "SELECT data FROM events WHERE run_key = ? AND kind = 'run.cancelling'", child.key
        )
        assert run.id in why


class HeldCleanUp(Work):
    """Work that never ends, in a child whose `finally` ends when the test says so."""

    def __init__(self) -> None:
        super().__init__(work=self.hang, undo={}, unlock=self.unlock)
        self.unlocking, self.release = asyncio.Event(), asyncio.Event()

    async def hang(self, call: Any) -> None:
        await asyncio.Event().wait()

    async def unlock(self, call: Any) -> None:
        self.unlocking.set()
        await self.release.wait()


CLEANS_UP = (
    CHILD
    + """
    on_cancel: [{id: undo, type: compute, handler: h}]
    finally: [{id: unlock, type: compute, handler: h}]
"""
)


async def test_a_cancelled_parent_does_not_wait_for_the_handlers_of_its_child(tmp_path: Path) -> None:
    work = HeldCleanUp()
    async with Bench(tmp_path, work) as bench:
        await bench.define(CLEANS_UP)
        run = await bench.start(parent(), {"number": 1})
        child = await child_of(bench, run)
        await bench.until_status(child, "running")
        await bench.runtime.command(Cancel(run.id), ALICE)
        assert await bench.end(run) == "cancelled"
        await work.unlocking.wait()
        assert await bench.status(child) == "cancelling"
        work.release.set()
        assert await bench.end(child) == "cancelled"
        assert [call.node_id for call in work.calls][-2:] == ["undo", "unlock"]


async def test_the_node_of_a_child_that_an_operator_cancels_ends_after_its_handlers(tmp_path: Path) -> None:
    work = HeldCleanUp()
    async with Bench(tmp_path, work) as bench:
        await bench.define(CLEANS_UP)
        run = await bench.start(parent(), {"number": 1})
        child = await child_of(bench, run)
        await bench.until_status(child, "running")
        await bench.runtime.command(Cancel(child.id), ALICE)
        await work.unlocking.wait()
        assert await bench.status(run) == "waiting"
        work.release.set()
        assert await bench.end(run) == "failed"
        assert await bench.status(child) == "cancelled"


async def test_a_cancelled_child_fails_its_node(tmp_path: Path) -> None:
    async def hang(call: Any) -> Any:
        await asyncio.Event().wait()

    async with Bench(tmp_path, Work(work=hang)) as bench:
        await bench.define(CHILD)
        run = await bench.start(parent("retry_policy: {max_attempts: 3, initial_delay: 0}"), {"number": 1})
        child = await child_of(bench, run)
        await bench.until_status(child, "running")
        await bench.runtime.command(Cancel(child.id), ALICE)
        assert await bench.end(run) == "failed"
        assert "was cancelled" in (await bench.error(run))["message"]
        assert await bench.one("SELECT COUNT(*) FROM runs WHERE workflow = 'child'") == 1


async def test_a_timeout_cancels_the_child(tmp_path: Path) -> None:
    async def hang(call: Any) -> Any:
        await asyncio.Event().wait()

    clock = FakeClock()
    async with Bench(tmp_path, Work(work=hang), clock) as bench:
        await bench.define(CHILD)
        run = await bench.start(parent("timeout: 60"), {"number": 1})
        child = await child_of(bench, run)
        await bench.until_status(child, "running")
        async with asyncio.timeout(20):
            while await bench.status(run) != "failed":
                await clock.advance(10)
        assert (await bench.error(run))["type"] == "TimeoutError"
        assert await bench.end(child) == "cancelled"


async def test_a_cancelled_branch_of_a_parallel_cancels_its_child(tmp_path: Path) -> None:
    text = """
workflows:
  parent:
    nodes:
      - {id: p, type: parallel, parallel_nodes: [slow, quick], join_strategy: any}
      - {id: slow, type: workflow, workflow: child, inputs: {n: 1}}
      - {id: quick, type: compute, handler: h}
"""
    started = asyncio.Event()

    async def hang(call: Any) -> Any:
        started.set()
        await asyncio.Event().wait()

    async def quick(call: Any) -> Any:
        await started.wait()

    async with Bench(tmp_path, Work(work=hang, quick=quick)) as bench:
        await bench.define(CHILD)
        run = await bench.start(text)
        assert await bench.end(run) == "succeeded"
        assert await bench.end(await child_of(bench, run)) == "cancelled"


async def test_a_restart_finds_the_child_that_was_started(tmp_path: Path) -> None:
    async def hang(call: Any) -> Any:
        await asyncio.Event().wait()

    async with Bench(tmp_path, Work(work=hang)) as bench:
        await bench.define(CHILD)
        run = await bench.start(parent(), {"number": 1})
        child = await child_of(bench, run)
        await bench.until_status(child, "running")
    async with Bench(tmp_path, Work(work={"x": 2})) as bench:
        assert await bench.end(run) == "succeeded"
        assert (await bench.state(run))["got"]["x"] == 2
        assert await bench.all("SELECT key FROM runs WHERE workflow = 'child'") == [(child.key,)]


async def test_a_parent_that_was_cancelling_at_a_crash_cancels_its_child_at_the_next_start(
    tmp_path: Path,
) -> None:
    async def hang(call: Any) -> Any:
        await asyncio.Event().wait()

    async with Bench(tmp_path, Work(work=hang)) as bench:
        await bench.define(CHILD)
        run = await bench.start(parent(), {"number": 1})
        child = await child_of(bench, run)
        await bench.until_status(child, "running")
        await bench.store.write(
            lambda tx: tx.execute("UPDATE runs SET status = 'cancelling' WHERE key = ?", (run.key,))
        )
    async with Bench(tmp_path, Work(work=hang)) as bench:
        assert await bench.end(run) == "cancelled"
        assert await bench.end(child) == "cancelled"


async def test_without_wait_the_walk_continues_at_once(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def hold(call: Any) -> Any:
        await gate.wait()

    async with Bench(tmp_path, Work(work=hold), max_concurrent_runs=2) as bench:
        await bench.define(CHILD)
        run = await bench.start(parent("wait: false"), {"number": 1})
        assert await bench.end(run) == "succeeded"
        child = await child_of(bench, run)
        assert (await bench.state(run))["got"] == {"run": child.id, "workflow": "child", "version": "1.0.0"}
        gate.set()
        assert await bench.end(child) == "succeeded"


async def test_an_unknown_workflow_or_version_is_a_typed_failure(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work()) as bench:
        run = await bench.start(parent(), {"number": 1})
        assert await bench.end(run) == "failed"
        error = await bench.error(run)
        assert error["type"] == "NotFoundError"
        assert "the workflow 'child' does not exist" in error["message"]
        await bench.define(CHILD)
        run = await bench.start(parent("version: ^2").replace("parent:", "other:"), {"number": 1})
        assert await bench.end(run) == "failed"
        assert "has no version ^2" in (await bench.error(run))["message"]


async def test_a_workflow_that_starts_itself_ends_at_the_maximum_depth(tmp_path: Path) -> None:
    text = "workflows: {again: {nodes: [{id: sub, type: workflow, workflow: again}]}}"
    async with Bench(tmp_path, Work(), max_concurrent_runs=1) as bench:
        run = await bench.start(text)
        assert await bench.end(run) == "failed"
        assert await bench.one("SELECT COUNT(*) FROM runs") == MAX_DEPTH + 1
        assert "RunDepthError" in (await bench.error(run))["message"]
