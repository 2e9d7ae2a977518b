"""Pausing and resuming: the status is stored, and memory follows the store."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import ALICE, BOB, Bench, Work
from victor_engine.api import Answer, NodeOverride
from victor_engine.clock import FakeClock
from victor_engine.errors import ConflictError, NodeError, StorageError
from victor_engine.runs.commands import Cancel, Override, Pause, Resume
from victor_engine.runs.transitions import RunRef
from victor_engine.store.db import Store

TWO = """
workflows:
  w:
    nodes:
      - {id: a, type: compute, handler: h, next: [b]}
      - {id: b, type: compute, handler: h}
"""
GATE_BESIDE_WORK = """
workflows:
  w:
    nodes:
      - {id: p, type: parallel, parallel_nodes: [gate, a], next: [b]}
      - {id: gate, type: hitl, hitl_type: approval, timeout: 1h, on_timeout: reject, next: {approved: said, rejected: said}}
      - {id: said, type: transform, transform: "said = gate"}
      - {id: a, type: compute, handler: h}
      - {id: b, type: compute, handler: h}
"""


class Held(Work):
    """Work of node `a` that lasts until `gate` is set."""

    def __init__(self) -> None:
        super().__init__(a=self.hold)
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()

    async def hold(self, call: Any) -> Any:
        self.entered.set()
        await self.gate.wait()
        return {}

    @property
    def done(self) -> list[str]:
        return [call.node_id for call in self.calls]


async def events(bench: Bench, run: RunRef) -> list[str]:
    rows = await bench.all("SELECT kind FROM events WHERE run_key = ? ORDER BY seq", run.key)
    return [kind for (kind,) in rows if kind.startswith("run.")]


async def pausing(bench: Bench, work: Held, text: str = TWO) -> RunRef:
    """Start a run, and pause it while its node `a` is active."""
    run = await bench.start(text)
    await work.entered.wait()
    await bench.runtime.command(Pause(run.id, "wait"), BOB)
    assert await bench.status(run) == "pausing"
    return run


async def test_a_run_is_pausing_until_its_node_is_done(tmp_path: Path) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        run = await pausing(bench, work)
        assert await events(bench, run) == ["run.created", "run.started", "run.pausing"]
        work.gate.set()
        await bench.until_status(run, "paused")
        assert await events(bench, run) == ["run.created", "run.started", "run.pausing", "run.paused"]
        rows = await bench.all("SELECT actor, data FROM events WHERE kind = 'run.paused'")
        assert "bob" in rows[0][0]
        assert "wait" in rows[0][1]
        assert work.done == ["a"]
        await bench.runtime.command(Resume(run.id), BOB)
        assert await bench.end(run) == "succeeded"
        assert work.done == ["a", "b"]


async def test_a_pause_is_cancelled_before_it_takes_effect(tmp_path: Path) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        run = await pausing(bench, work)
        await bench.runtime.command(Resume(run.id), BOB)
        assert await bench.status(run) == "running"
        work.gate.set()
        assert await bench.end(run) == "succeeded"
        assert "run.paused" not in await events(bench, run)


async def test_a_second_pause_of_a_pausing_run_is_a_conflict(tmp_path: Path) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        run = await pausing(bench, work)
        with pytest.raises(ConflictError, match="is pausing"):
            await bench.runtime.command(Pause(run.id), BOB)


async def test_a_pausing_run_is_cancelled_at_once(tmp_path: Path) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        run = await pausing(bench, work)
        await bench.runtime.command(Cancel(run.id, "enough"), BOB)
        assert await bench.status(run) == "cancelled"
        assert await bench.one("SELECT status FROM attempts") == "cancelled"


async def test_a_run_whose_last_node_ends_while_it_is_pausing_has_ended(tmp_path: Path) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        run = await pausing(bench, work, "workflows: {w: {nodes: [{id: a, type: compute, handler: h}]}}")
        work.gate.set()
        assert await bench.end(run) == "succeeded"


async def test_an_answer_to_a_pausing_run_counts_after_it_is_resumed(tmp_path: Path) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(GATE_BESIDE_WORK)
        await work.entered.wait()
        await bench.question(run)
        await bench.runtime.command(Pause(run.id), BOB)
        assert await bench.status(run) == "pausing"
        await bench.answer(run, Answer("approved"))
        assert await bench.status(run) == "pausing"
        work.gate.set()
        await bench.until_status(run, "paused")
        assert work.done == ["a"]
        await bench.runtime.command(Resume(run.id), BOB)
        assert await bench.end(run) == "succeeded"
        assert (await bench.state(run))["human"]["gate"]["outcome"] == "approved"


async def test_a_question_of_a_pausing_run_expires_at_its_deadline(tmp_path: Path) -> None:
    work, clock = Held(), FakeClock(datetime(2026, 5, 4, tzinfo=UTC))
    async with Bench(tmp_path, work, clock) as bench:
        run = await bench.start(GATE_BESIDE_WORK)
        await work.entered.wait()
        await bench.question(run)
        await bench.runtime.command(Pause(run.id), BOB)
        await clock.advance(3601)

        async def expired() -> bool:
            return bool(await bench.one("SELECT status FROM requests") != "open")

        await bench.until(expired)
        assert await bench.status(run) == "pausing"
        work.gate.set()
        await bench.until_status(run, "paused")
        assert work.done == ["a"]


async def test_a_run_that_was_not_paused_is_not_resumed(tmp_path: Path) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(TWO)
        await work.entered.wait()
        before = await events(bench, run)
        with pytest.raises(ConflictError, match="is running, not paused"):
            await bench.runtime.command(Resume(run.id), BOB)
        assert await events(bench, run) == before
        work.gate.set()
        assert await bench.end(run) == "succeeded"
        with pytest.raises(ConflictError, match="is succeeded, not paused"):
            await bench.runtime.command(Resume(run.id), BOB)


async def test_a_pausing_run_pauses_when_only_waiting_branches_remain(tmp_path: Path) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(GATE_BESIDE_WORK)
        await work.entered.wait()
        await bench.question(run)
        await bench.runtime.command(Pause(run.id), BOB)
        work.gate.set()
        await bench.until_status(run, "paused")
        await bench.answer(run, Answer("approved"))
        assert work.done == ["a"]
        await bench.runtime.command(Resume(run.id), BOB)
        assert await bench.end(run) == "succeeded"
        assert work.done == ["a", "b"]


async def test_a_pausing_run_pauses_in_a_parallel_that_tolerates_failures(tmp_path: Path) -> None:
    text = """
workflows:
  w:
    nodes:
      - {id: p, type: parallel, parallel_nodes: [gate, a], join_strategy: any, next: [b]}
      - {id: gate, type: hitl, hitl_type: approval, next: {approved: said, rejected: said}}
      - {id: said, type: transform, transform: "said = gate"}
      - {id: a, type: compute, handler: h, next: [later]}
      - {id: later, type: wait, for: 1h}
      - {id: b, type: compute, handler: h}
"""
    work = Held()
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(text)
        await work.entered.wait()
        await bench.question(run)
        await bench.runtime.command(Pause(run.id), BOB)
        work.gate.set()
        await bench.until_status(run, "paused")
        await bench.runtime.command(Resume(run.id), BOB)
        await bench.answer(run, Answer("approved"))
        assert await bench.end(run) == "succeeded"
        assert work.done == ["a", "b"]


async def test_a_pausing_run_pauses_before_the_next_attempt_of_its_node(tmp_path: Path) -> None:
    text = """
workflows:
  w:
    nodes:
      - {id: a, type: compute, handler: h, retry_policy: {max_attempts: 3, initial_delay: 1h, max_delay: 2h}}
"""
    work = Held()
    failures = [NodeError("first time", error_type="Boom")]

    async def fail_once(call: Any) -> Any:
        await work.hold(call)
        if failures:
            raise failures.pop()
        return {}

    work.work["a"] = fail_once
    async with Bench(tmp_path, work) as bench:
        run = await pausing(bench, work, text.replace("1h", "3600").replace("2h", "7200"))
        work.gate.set()
        await bench.until_status(run, "paused")
        assert await bench.one("SELECT status FROM attempts") == "retrying"
        await bench.runtime.command(Resume(run.id), BOB)
        await bench.until_status(run, "running")
        await bench.runtime.command(Override(run.id, NodeOverride("a"), retry_now=True), BOB)
        assert await bench.end(run) == "succeeded"


async def test_a_run_that_is_cancelled_while_it_pauses_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        rest, cancelling = bench.runtime.completion.rest, []

        async def rest_then_cancel(run: RunRef) -> str:
            status = await rest(run)
            cancelling.append(asyncio.create_task(bench.runtime.command(Cancel(run.id, "enough"), BOB)))
            await bench.until_status(run, "cancelling")
            return status

        run = await pausing(bench, work)
        monkeypatch.setattr(bench.runtime.completion, "rest", rest_then_cancel)
        work.gate.set()
        assert await bench.end(run) == "cancelled"
        await cancelling[0]


async def test_a_run_that_is_resumed_while_it_pauses_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        rest = bench.runtime.completion.rest

        async def resume_then_rest(run: RunRef) -> str:
            await bench.runtime.command(Resume(run.id), BOB)
            return await rest(run)

        run = await pausing(bench, work)
        monkeypatch.setattr(bench.runtime.completion, "rest", resume_then_rest)
        work.gate.set()
        assert await bench.end(run) == "succeeded"
        assert work.done == ["a", "b"]


# --- the store refuses --------------------------------------------------------------------------


class Refusing:
    """A store that refuses commands while it is active."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.active = False
        write = store.write

        def refuse(transition: Any, **more: Any) -> Any:
            if not self.active:
                return write(transition, **more)
            refused = asyncio.get_running_loop().create_future()
            refused.set_exception(StorageError("the disk is full"))
            return refused

        monkeypatch.setattr(store, "write", refuse)


async def test_a_refused_pause_leaves_a_queued_run_in_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Held()
    async with Bench(tmp_path, work, max_concurrent_runs=1) as bench:
        refusing = Refusing(bench.store, monkeypatch)
        first = await bench.start(TWO)
        await work.entered.wait()
        second = await bench.start(TWO)
        refusing.active = True
        with pytest.raises(StorageError):
            await bench.runtime.command(Pause(second.id), ALICE)
        with pytest.raises(StorageError):
            await bench.runtime.command(Pause(first.id), ALICE)
        refusing.active = False
        work.gate.set()
        assert await bench.end(first) == "succeeded"
        assert await bench.end(second) == "succeeded"


async def test_a_refused_resume_leaves_a_pausing_run_pausing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        refusing = Refusing(bench.store, monkeypatch)
        run = await pausing(bench, work)
        refusing.active = True
        with pytest.raises(StorageError):
            await bench.runtime.command(Resume(run.id), BOB)
        refusing.active = False
        work.gate.set()
        await bench.until_status(run, "paused")
        assert work.done == ["a"]


async def test_a_refused_cancel_leaves_a_run_active(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Held()
    async with Bench(tmp_path, work, max_concurrent_runs=1) as bench:
        refusing = Refusing(bench.store, monkeypatch)
        first = await bench.start(TWO)
        await work.entered.wait()
        second = await bench.start(TWO)
        refusing.active = True
        for run in (first, second):
            with pytest.raises(StorageError):
                await bench.runtime.command(Cancel(run.id), ALICE)
        refusing.active = False
        work.gate.set()
        assert await bench.end(first) == "succeeded"
        assert await bench.end(second) == "succeeded"
