"""The limit of runs with the same concurrency key."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import ALICE, Bench, Work
from victor_engine.api import ErrorInfo, RunInfo
from victor_engine.errors import NodeError
from victor_engine.runs.commands import Cancel, Pause, Resume, Retry
from victor_engine.store import queries
from victor_engine.work.calls import NodeCall

FLOW = """
workflows:
  w:
    concurrency: {key: $ctx.customer, MORE}
    nodes:
      - {id: a, type: compute, handler: h, inputs: {name: $ctx.name}}
"""


class Held(Work):
    """Work that ends when the test says so."""

    def __init__(self) -> None:
        super().__init__(a=self.hold)
        self.free: dict[str, asyncio.Event] = {}
        self.begun: list[str] = []
        self.bad: set[str] = set()

    async def hold(self, call: NodeCall) -> Any:
        name = call.inputs["name"]
        self.begun.append(name)
        await self.free.setdefault(name, asyncio.Event()).wait()
        if name in self.bad:
            raise NodeError("bad", retryable=False)
        return {}

    def end(self, *names: str) -> None:
        for name in names:
            self.free.setdefault(name, asyncio.Event()).set()


async def start(
    bench: Bench, name: str, customer: str | None = "acme", more: str = "max: 1", **options: Any
) -> Any:
    state = {"name": name} if customer is None else {"name": name, "customer": customer}
    return await bench.start(FLOW.replace("MORE", more), state, **options)


async def info(bench: Bench, run: Any) -> RunInfo:
    return await bench.store.read(lambda c: queries.run_info(c, run.id, datetime.now(UTC)))


async def began(work: Held, *names: str) -> None:
    """Return when the work of these runs has begun, which is after its commit."""
    async with asyncio.timeout(20):
        while not set(names) <= set(work.begun):
            await asyncio.sleep(0)


async def waits(bench: Bench, run: Any) -> str:
    async def why() -> str | None:
        return (await info(bench, run)).waits_for

    return str(await bench.until(why))


async def test_runs_with_the_same_key_wait_and_others_do_not(tmp_path: Path) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        first = await start(bench, "1")
        await began(work, "1")
        second = await start(bench, "2")
        await waits(bench, second)
        third, other = await start(bench, "3"), await start(bench, "o", "other")
        await waits(bench, third)
        await began(work, "o")
        assert await waits(bench, second) == f"run {first.id}, which has the concurrency key acme"
        assert await bench.status(second) == await bench.status(third) == "queued"
        assert (await info(bench, first)).concurrency_key == "acme"
        work.end("1", "2", "o")
        assert [await bench.end(run) for run in (first, second, other)] == ["succeeded"] * 3
        await began(work, "3")
        work.end("3")
        assert await bench.end(third) == "succeeded"
        assert [name for name in work.begun if name != "o"] == ["1", "2", "3"]


async def test_as_many_runs_as_max_are_active_and_the_priority_decides(tmp_path: Path) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        runs = [await start(bench, name, more="max: 2") for name in "12"]
        await began(work, "1", "2")
        runs.append(await start(bench, "3", more="max: 2"))
        urgent = await start(bench, "u", more="max: 2", priority=5)
        await waits(bench, runs[2])
        await waits(bench, urgent)
        work.end("1")
        await began(work, "u")
        assert sorted(work.begun) == ["1", "2", "u"]
        work.end("2", "3", "u")
        assert [await bench.end(run) for run in (*runs, urgent)] == ["succeeded"] * 4


async def test_runs_without_the_key_share_the_limit(tmp_path: Path) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        first = await start(bench, "1", None)
        await began(work, "1")
        second = await start(bench, "2", None)
        assert await waits(bench, second) == f"run {first.id}"
        work.end("1", "2")
        assert await bench.end(second) == "succeeded"


async def test_skip_cancels_the_new_run_and_names_the_other(tmp_path: Path) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        first = await start(bench, "1", more="on_conflict: skip")
        await began(work, "1")
        second = await start(bench, "2", more="on_conflict: skip")
        assert await bench.end(second) == "cancelled"
        (said,) = (
            await bench.one(
                "SELECT json_array(data) FROM events WHERE kind = 'run.warning' AND run_key = ?", second.key
            ),
        )
        assert f"skipped, because run {first.id} has the concurrency key 'acme'" in said
        error = (await info(bench, second)).error
        assert error == ErrorInfo(
            "ConcurrencySkipped", f"skipped, because run {first.id} has the concurrency key 'acme'"
        )
        work.end("1")
        assert await bench.end(first) == "succeeded"
        assert work.begun == ["1"]


async def test_cancel_running_replaces_the_runs_before_it(tmp_path: Path) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        first = await start(bench, "1", more="on_conflict: cancel_running")
        await began(work, "1")
        second = await start(bench, "2", more="on_conflict: cancel_running")
        assert await bench.end(first) == "cancelled"
        reason = f"run {second.id} with the same concurrency key replaces it"
        assert (await info(bench, first)).error == ErrorInfo("ConcurrencyReplaced", reason)
        told = await bench.one(
            "SELECT data ->> 'note' FROM events WHERE kind = 'run.cancelling' AND run_key = ?", first.key
        )
        assert told == reason
        await began(work, "2")
        work.end("2")
        assert await bench.end(second) == "succeeded"


async def test_the_reason_is_that_of_the_last_cancellation(tmp_path: Path) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        first = await start(bench, "1", more="on_conflict: skip")
        await began(work, "1")
        second = await start(bench, "2", more="on_conflict: skip")
        assert await bench.end(second) == "cancelled"
        work.end("1")
        assert await bench.end(first) == "succeeded"
        await bench.runtime.command(Retry(second.id), ALICE)
        await began(work, "2")
        assert (await info(bench, second)).error is None
        await bench.runtime.command(Cancel(second.id), ALICE)
        assert await bench.end(second) == "cancelled"
        assert (await info(bench, second)).error is None


@pytest.mark.parametrize("command", [Cancel, Pause])
async def test_a_waiting_run_that_leaves_the_queue_holds_up_no_other(tmp_path: Path, command: Any) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        await start(bench, "1")
        await began(work, "1")
        second, third = await start(bench, "2"), await start(bench, "3")
        await waits(bench, second)
        await waits(bench, third)
        await bench.runtime.command(command(second.id), ALICE)
        work.end("1")
        await began(work, "3")
        assert work.begun == ["1", "3"]
        if command is Pause:
            await bench.runtime.command(Resume(second.id), ALICE)
            await waits(bench, second)
        work.end("2", "3")
        assert await bench.end(third) == "succeeded"
        assert await bench.end(second) == ("succeeded" if command is Pause else "cancelled")


async def test_a_retry_waits_for_its_key_again(tmp_path: Path) -> None:
    work = Held()
    work.bad.add("1")
    async with Bench(tmp_path, work) as bench:
        first = await start(bench, "1")
        work.end("1")
        assert await bench.end(first) == "failed"
        second = await start(bench, "2")
        await began(work, "2")
        work.bad.clear()
        await bench.runtime.command(Retry(first.id), ALICE)
        assert await waits(bench, first) == f"run {second.id}, which has the concurrency key acme"
        work.end("2")
        assert await bench.end(first) == "succeeded"


async def test_a_restart_keeps_the_key_and_the_queue(tmp_path: Path) -> None:
    work = Held()
    async with Bench(tmp_path, work) as bench:
        first = await start(bench, "1")
        await began(work, "1")
        second = await start(bench, "2")
        await waits(bench, second)
    again = Held()
    async with Bench(tmp_path, again) as bench:
        await began(again, "1")
        await waits(bench, second)
        again.end("1", "2")
        assert await bench.end(first) == "succeeded"
        assert await bench.end(second) == "succeeded"
        assert again.begun == ["1", "2"]


async def test_a_child_with_the_key_of_its_parent_does_not_wait_for_it(tmp_path: Path) -> None:
    flow = """
workflows:
  w:
    concurrency: {key: $ctx.customer}
    nodes:
      - {id: c, type: condition, condition: "depth > 0", branches: {true: kid, false: null}}
      - {id: kid, type: workflow, workflow: w, inputs: {customer: $ctx.customer, depth: 0}}
"""
    async with Bench(tmp_path, Work()) as bench:
        run = await bench.start(flow, {"customer": "acme", "depth": 1})
        assert await bench.end(run) == "succeeded"


async def test_a_stored_limit_that_the_database_cannot_represent_ends_runs(tmp_path: Path) -> None:
    """Earlier versions accepted such a limit."""
    work = Held()
    async with Bench(tmp_path, work) as bench:
        await bench.define(FLOW.replace("MORE", "max: 1"))
        huge = f"json_set(content, '$.concurrency.max', json('{10**22}'))"
        await bench.store.write(lambda tx: tx.execute(f"UPDATE definitions SET content = {huge}"))
        first, second = await start(bench, "1"), await start(bench, "2")
        await began(work, "1", "2")
        work.end("1")
        assert await bench.end(first) == "succeeded"
        async with asyncio.timeout(20):
            await bench.runtime.command(Cancel(second.id), ALICE)
        assert await bench.end(second) == "cancelled"
