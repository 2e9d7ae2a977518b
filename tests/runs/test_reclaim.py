"""A run whose store has failed does not fail: it is claimed again as after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import FINAL, Bench, Work
from victor_engine.clock import FakeClock
from victor_engine.errors import StoreError
from victor_engine.runs.recovery import RECLAIM_SECONDS

FLOW = """
workflows:
  w:
    nodes:
      - {id: a, type: compute, handler: h, next: [b]}
      - {id: b, type: transform, transform: "n = n + 1"}
"""


async def ended(bench: Bench, clock: FakeClock, run: Any) -> str:
    async with asyncio.timeout(20):
        while (status := await bench.status(run)) not in FINAL:
            await clock.advance(RECLAIM_SECONDS)
        return status


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
async def test_a_run_continues_after_a_failure_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    clock, work = FakeClock(), Work(a={"n": 1})
    async with Bench(tmp_path, work, clock) as bench:
        persist, calls = bench.store.persist, 0

        def once(transition: Callable[..., Any], **how: Any) -> asyncio.Future[Any]:
            nonlocal calls
            calls += 1
            if calls != failing:
                return persist(transition, **how)
            fails: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            fails.set_exception(StoreError("cannot read: a bad block"))
            return fails

        monkeypatch.setattr(bench.store, "persist", once)
        run = await bench.start(FLOW)
        assert await ended(bench, clock, run) == "succeeded"
        assert (await bench.state(run))["n"] == 2
        live = await bench.all("SELECT 1 FROM attempts WHERE status IN ('running', 'waiting', 'retrying')")
        assert live == []
        keys = {call.idempotency_key for call in work.calls}
        assert len(keys) == 1


async def test_an_engine_that_stops_does_not_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    async with Bench(tmp_path, Work(a={"n": 1}), clock) as bench:

        async def never(transition: Callable[..., Any], **how: Any) -> Any:
            raise StoreError("cannot read: a bad block")

        monkeypatch.setattr(bench.store, "persist", never)
        run = await bench.start(FLOW)
        async with asyncio.timeout(20):
            while not clock.sleeping or bench.runtime.running:
                await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await bench.runtime.stop()
        assert await bench.status(run) == "queued"


async def test_a_run_that_cannot_be_recovered_does_not_stop_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun = 0

    async def hangs(_: Any) -> None:
        nonlocal begun
        begun += 1
        await asyncio.Event().wait()

    async with Bench(tmp_path, Work(a=hangs)) as bench:
        bad, good = await bench.start(FLOW), await bench.start(FLOW)
        async with asyncio.timeout(20):
            while begun < 2:
                await asyncio.sleep(0)
        damage = "UPDATE runs SET status = 'cancelling', ending = '{' WHERE key = ?"
        await bench.store.write(lambda tx: tx.execute(damage, (bad.key,)))
    async with Bench(tmp_path, Work(a={"n": 1})) as bench:
        assert await bench.end(good) == "succeeded"
        assert f"run {bad.id} cannot be recovered" in caplog.text
