"""Overrides: the time limit and the attempts of a node, set for one active run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import BOB, Bench, Work
from tests.runs.test_redrive import boom, detail, event, settled, tries
from victor_engine.api import NodeOverride
from victor_engine.clock import FakeClock
from victor_engine.errors import ConflictError, UsageError
from victor_engine.runs.commands import Cancel, Override, Pause, Resume
from victor_engine.runs.transitions import RunRef

RETRYING = """
workflows:
  w:
    nodes:
      - id: a
        type: compute
        handler: h
        timeout: 10
        retry_policy: {max_attempts: 2, backoff: fixed, initial_delay: 3600, max_delay: 3600}
        next: [b]
      - {id: b, type: transform, transform: "done = true"}
"""


async def waits_for_retry(bench: Bench, run: RunRef, number: int = 1) -> None:
    async def retrying() -> bool:
        rows = await bench.all(
            "SELECT 1 FROM attempts WHERE run_key = ? AND status = 'retrying' AND number = ?", run.key, number
        )
        return bool(rows) and bench.runtime.slots.live[run.key].is_idle

    async with asyncio.timeout(20):
        while not await retrying():
            await asyncio.sleep(0)


async def test_the_wait_for_the_next_attempt_ends_at_once(tmp_path: Path) -> None:
    work = Work(a=boom)
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(RETRYING)
        await waits_for_retry(bench, run)
        work.work["a"] = {"x": 1}
        await bench.runtime.command(Override(run.id, NodeOverride("a"), retry_now=True, note="fixed it"), BOB)
        await settled(bench, run, "succeeded")
        assert [row[:3] for row in await tries(bench, run)] == [("a", 1, 1), ("a", 1, 2), ("b", 1, 1)]
        assert await event(bench, run, "node.overridden") == (
            "bob",
            "a",
            {"retry_now": True, "note": "fixed it"},
        )


async def test_more_attempts_and_fewer(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(a=boom)) as bench:
        run = await bench.start(RETRYING)
        for number in (1, 2, 3):
            await waits_for_retry(bench, run, number)
            limits = NodeOverride("a", max_attempts=4 if number < 3 else 1)
            await bench.runtime.command(Override(run.id, limits, retry_now=True), BOB)
        assert await bench.end(run) == "failed"
        assert len(bench.work.calls) == 4
        assert (await detail(bench, run)).overrides == (NodeOverride("a", max_attempts=1),)


async def test_a_time_limit_applies_from_the_next_attempt_also_above_that_of_the_binding(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    work = Work(a=boom)
    async with Bench(tmp_path, work, clock) as bench:
        run = await bench.start(RETRYING)
        await waits_for_retry(bench, run)
        entered = asyncio.Event()

        async def hang(call: Any) -> Any:
            entered.set()
            await asyncio.Event().wait()

        work.work["a"] = hang
        await bench.runtime.command(Override(run.id, NodeOverride("a", timeout=500), retry_now=True), BOB)
        async with asyncio.timeout(20):
            await entered.wait()
        assert (work.calls[-1].timeout, work.calls[-1].timeout_overridden) == (500, True)
        await clock.advance(499)
        assert await bench.status(run) == "running"
        await clock.advance(2)
        assert await bench.end(run) == "failed"
        assert (await bench.error(run))["message"] == "a: took longer than its limit of 500 s"


async def test_an_override_survives_a_restart_and_the_wait_stays_over(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(a=boom)) as bench:
        run = await bench.start(RETRYING)
        await waits_for_retry(bench, run)
        await bench.runtime.command(Override(run.id, NodeOverride("a", max_attempts=7)), BOB)
    async with Bench(tmp_path, Work(a=boom)) as bench:
        await waits_for_retry(bench, run)
        bench.runtime.slots.close()
        await bench.runtime.stop()
        await bench.runtime.command(Override(run.id, NodeOverride("a", timeout=5), retry_now=True), BOB)
        assert (await detail(bench, run)).overrides == (NodeOverride("a", 5, 7),)
    async with Bench(tmp_path, Work(a=boom)) as bench:
        await waits_for_retry(bench, run, 2)
        assert bench.work.calls[0].timeout == 5


async def test_pausing_a_run_that_waits_for_its_next_attempt_is_at_once(tmp_path: Path) -> None:
    work = Work(a=boom)
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(RETRYING)
        await waits_for_retry(bench, run)
        due = await bench.one("SELECT retry_at FROM attempts")
        await bench.runtime.command(Pause(run.id), BOB)
        assert await bench.status(run) == "paused"
        await bench.runtime.command(Resume(run.id), BOB)
        await waits_for_retry(bench, run)
        assert await bench.one("SELECT retry_at FROM attempts") == due
        assert len(work.calls) == 1


async def test_an_override_without_effect_is_refused(tmp_path: Path) -> None:
    async with Bench(tmp_path, Work(a=boom)) as bench:
        run = await bench.start(RETRYING)
        await waits_for_retry(bench, run)

        async def override(limits: NodeOverride) -> None:
            await bench.runtime.command(Override(run.id, limits), BOB)

        with pytest.raises(UsageError, match="w has no node 'z'; its nodes are a, b"):
            await override(NodeOverride("z", timeout=1))
        with pytest.raises(UsageError, match="b is a transform node"):
            await override(NodeOverride("b", timeout=1))
        for wanted, words in (
            (NodeOverride("a"), "the override is empty"),
            (NodeOverride("a", timeout=0), "give seconds above 0"),
            (NodeOverride("a", timeout=float("nan")), "give seconds above 0"),
            (NodeOverride("a", max_attempts=0), "give 1 or more"),
        ):
            with pytest.raises(UsageError, match=words):
                await override(wanted)
        await bench.runtime.command(Cancel(run.id), BOB)
        with pytest.raises(ConflictError, match="is cancelled: a will not have another attempt"):
            await override(NodeOverride("a", timeout=1))


async def test_retry_now_needs_a_waiting_attempt(tmp_path: Path) -> None:
    entered, gate = asyncio.Event(), asyncio.Event()

    async def hold(call: Any) -> Any:
        entered.set()
        await gate.wait()
        return {}

    async with Bench(tmp_path, Work(a=hold)) as bench:
        run = await bench.start(RETRYING)
        await entered.wait()
        with pytest.raises(ConflictError, match="does not wait for another attempt"):
            await bench.runtime.command(Override(run.id, NodeOverride("a", timeout=1), retry_now=True), BOB)
        assert (await detail(bench, run)).overrides == ()
        gate.set()
        assert await bench.end(run) == "succeeded"
