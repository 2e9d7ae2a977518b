"""`on_failure`, `on_cancel` and `finally`: the handlers of the end of a run."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.runs.harness import ALICE, FINAL, Bench, Work
from victor_engine.api import Answer
from victor_engine.clock import FakeClock
from victor_engine.errors import ConflictError, NodeError
from victor_engine.runs.commands import Cancel, Pause, Redrive, Resume, Retry
from victor_engine.store import queries
from victor_engine.work.calls import NodeCall

FLOW = """
workflows:
  w:
    nodes:
      - {id: a, type: compute, handler: h, next: [b]}
      - {id: b, type: transform, transform: "went = true"}
    on_failure:
      - {id: tell, type: compute, handler: h, inputs: {why: $run.error, kind: $run.error_type, at: $run.error_node}}
    on_cancel:
      - {id: undo, type: compute, handler: h}
    finally:
      timeout: 5s
      nodes:
        - {id: unlock, type: compute, handler: h, inputs: {status: $run.status}, next: [note]}
        - {id: note, type: transform, transform: "unlocked = $run.status"}
"""


def fails(_: NodeCall) -> Any:
    raise NodeError("the disk is full", error_type="DiskError", retryable=False)


def nodes(work: Work) -> list[str]:
    return [call.node_id for call in work.calls]


async def kinds(bench: Bench, run: Any) -> list[str]:
    rows = await bench.all("SELECT kind FROM events WHERE run_key = ? ORDER BY seq", run.key)
    return [kind for (kind,) in rows if kind.startswith("run.")]


async def test_finally_is_executed_after_a_success_and_on_failure_is_not(tmp_path: Path) -> None:
    work = Work()
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(FLOW)
        assert await bench.end(run) == "succeeded"
        assert nodes(work) == ["a", "unlock"]
        assert work.calls[1].inputs == {"status": "succeeded"}
        assert (await bench.state(run))["unlocked"] == "succeeded"
        assert "_run" not in await bench.state(run)
        assert await kinds(bench, run) == [
            "run.created", "run.started", "run.ending", "run.handler_finished", "run.finished",
        ]  # fmt: skip


async def test_handlers_see_the_error_and_the_run_stops_where_it_failed(tmp_path: Path) -> None:
    work = Work(a=fails)
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(FLOW)
        assert await bench.end(run) == "failed"
        assert nodes(work) == ["a", "tell", "unlock"]
        assert work.calls[1].inputs == {"why": "the disk is full", "kind": "DiskError", "at": "a"}
        assert work.calls[2].inputs == {"status": "failed"}
        assert (await bench.error(run))["type"] == "DiskError"
        # A retry continues at the failed node, and the next end executes the handlers again, with new keys.
        work.work.pop("a")
        await bench.runtime.command(Retry(run.id), ALICE)
        assert await bench.end(run) == "succeeded"
        assert nodes(work)[3:] == ["a", "unlock"]
        assert [call.idempotency_key for call in work.calls if call.node_id == "unlock"] == [
            f"{run.id}/unlock/1",
            f"{run.id}/unlock/2",
        ]


async def test_a_cancelled_run_executes_on_cancel_and_finally(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def hangs(_: NodeCall) -> None:
        begun.set()
        await asyncio.Event().wait()

    work = Work(a=hangs)
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(FLOW)
        await begun.wait()
        await bench.runtime.command(Cancel(run.id), ALICE)
        assert await bench.end(run) == "cancelled"
        assert nodes(work) == ["a", "undo", "unlock"]
        assert work.calls[2].inputs == {"status": "cancelled"}


async def test_one_cancellation_does_not_interrupt_on_cancel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task of the command reads the run again only after on_cancel has begun."""
    begun, undoing, undone = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hangs(_: NodeCall) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def undo(_: NodeCall) -> dict[str, Any]:
        undoing.set()
        await undone.wait()
        return {}

    work = Work(a=hangs, undo=undo)
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(FLOW)
        await begun.wait()
        read, late = bench.store.read, 0

        async def read_late(query: Any) -> Any:
            nonlocal late
            if asyncio.current_task() in bench.runtime.control.tasks:
                late += 1
                await undoing.wait()
            return await read(query)

        monkeypatch.setattr(bench.store, "read", read_late)
        async with asyncio.timeout(20):
            await bench.runtime.command(Cancel(run.id), ALICE)
        undone.set()
        assert await bench.end(run) == "cancelled"
        assert late
        assert nodes(work) == ["a", "undo", "unlock"]
        interrupted = "SELECT node_id FROM events WHERE run_key = ? AND kind = 'node.interrupted'"
        assert await bench.all(interrupted, run.key) == []


@pytest.mark.parametrize("late", [False, True])
async def test_a_second_cancellation_skips_the_handlers(tmp_path: Path, late: bool) -> None:
    """`late`: the second cancellation arrives while on_cancel is executed."""
    begun, undoing, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hangs(_: NodeCall) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            if not late:
                await ended.wait()

    async def undo(_: NodeCall) -> None:
        undoing.set()
        await asyncio.Event().wait()

    work = Work(a=hangs, undo=undo)
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(FLOW)
        await begun.wait()
        first = asyncio.ensure_future(bench.runtime.command(Cancel(run.id), ALICE))
        if late:
            await undoing.wait()
            assert await bench.status(run) == "cancelling"
        else:
            await bench.until_status(run, "cancelling")
        second = asyncio.ensure_future(bench.runtime.command(Cancel(run.id), ALICE))
        ended.set()
        assert await bench.end(run) == "cancelled"
        await asyncio.gather(first, second)
        assert nodes(work) == ["a", *(["undo"] if late else [])]
        assert "run.handlers_skipped" in await kinds(bench, run)
        assert await bench.one("SELECT ending FROM runs WHERE key = ?", run.key) is None


async def test_a_cancellation_during_finally_skips_the_rest_and_keeps_the_status(tmp_path: Path) -> None:
    unlocking = asyncio.Event()

    async def unlock(_: NodeCall) -> None:
        unlocking.set()
        await asyncio.Event().wait()

    async with Bench(tmp_path, Work(unlock=unlock)) as bench:
        run = await bench.start(FLOW)
        await unlocking.wait()
        assert await bench.status(run) == "running"
        await bench.runtime.command(Cancel(run.id), ALICE)
        assert await bench.end(run) == "succeeded"


async def test_the_failure_of_a_handler_is_shown_and_does_not_change_the_status(tmp_path: Path) -> None:
    work = Work(a=fails, tell=fails, unlock=fails)
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(FLOW)
        assert await bench.end(run) == "failed"
        assert nodes(work) == ["a", "tell", "unlock"]
        info = await bench.store.read(lambda c: queries.run_info(c, run.id, datetime.now(UTC)))
        assert (info.status, info.ends_as, info.handler) == ("failed", "", "")
        assert [(each.handler, each.error.node_id) for each in info.handler_failures] == [
            ("on_failure", "tell"),
            ("finally", "unlock"),
        ]
        assert info.error is not None
        assert info.error.node_id == "a"


async def test_a_handler_has_its_own_time_limit(tmp_path: Path) -> None:
    clock = FakeClock(datetime(2026, 1, 5, tzinfo=UTC))
    unlocking = asyncio.Event()

    async def unlock(_: NodeCall) -> None:
        unlocking.set()
        await clock.sleep(60)

    async def slow(_: NodeCall) -> None:
        await clock.sleep(20)

    flow = FLOW.replace(
        "    nodes:\n      - {id: a", "    max_execution_timeout_seconds: 20\n    nodes:\n      - {id: a"
    )
    async with Bench(tmp_path, Work(a=slow, unlock=unlock), clock) as bench:
        run = await bench.start(flow)
        while await bench.status(run) not in FINAL:
            await clock.advance(1)
        info = await bench.store.read(lambda c: queries.run_info(c, run.id, datetime.now(UTC)))
        assert info.status == "failed"
        assert [each.error.message for each in info.handler_failures] == [
            "unlock: finally reached its limit of 5 s of active time"
        ]


async def test_a_pause_executes_no_handler_and_handlers_can_be_paused(tmp_path: Path) -> None:
    begun, free, unlocking, done = (asyncio.Event() for _ in range(4))

    async def a(_: NodeCall) -> None:
        begun.set()
        await free.wait()

    async def unlock(_: NodeCall) -> None:
        unlocking.set()
        await done.wait()

    work = Work(a=a, unlock=unlock)
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(FLOW)
        await begun.wait()
        await bench.runtime.command(Pause(run.id), ALICE)
        free.set()
        await bench.until_status(run, "paused")
        assert nodes(work) == ["a"]
        await bench.runtime.command(Resume(run.id), ALICE)
        await unlocking.wait()
        await bench.runtime.command(Pause(run.id), ALICE)
        done.set()
        await bench.until_status(run, "paused")
        with pytest.raises(ConflictError, match="executes finally before it is succeeded"):
            await bench.runtime.command(Redrive(run.id, from_node="a"), ALICE)
        await bench.runtime.command(Resume(run.id), ALICE)
        assert await bench.end(run) == "succeeded"
        assert (await bench.state(run))["unlocked"] == "succeeded"


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "rejected", "cancelled"])
async def test_a_kill_after_any_commit_executes_each_handler_once(tmp_path: Path, outcome: str) -> None:
    """The store is copied after each commit, and another engine continues each copy."""
    begun = asyncio.Event()

    async def hangs(_: NodeCall) -> None:
        begun.set()
        await asyncio.Event().wait()

    work = Work(a={"failed": fails, "cancelled": hangs}.get(outcome, {}))
    flow = FLOW
    if outcome == "rejected":
        flow = flow.replace(
            "next: [b]}\n",
            "next: [q]}\n      - {id: q, type: hitl, hitl_type: approval, prompt: ok, next: [b]}\n",
        )
    copies: list[tuple[Path, int]] = []

    def copy(_: Any) -> None:
        to = tmp_path / f"copy{len(copies)}"
        to.mkdir()
        with sqlite3.connect(tmp_path / "victor.db") as source, sqlite3.connect(to / "victor.db") as target:
            source.backup(target)
        copies.append((to, len(work.calls)))

    handlers = {"failed": ["tell", "unlock"], "cancelled": ["undo", "unlock"]}.get(outcome, ["unlock"])
    async with Bench(tmp_path, work) as bench:
        run = await bench.start(flow)
        if outcome == "cancelled":
            await begun.wait()
        bench.store.listen(copy)
        if outcome == "cancelled":
            await bench.runtime.command(Cancel(run.id), ALICE)
        elif outcome == "rejected":
            await bench.answer(run, Answer(outcome="rejected", value=False, comment="no"))
        assert await bench.end(run) == outcome
    assert len(copies) > 4
    for path, before in copies:
        again = Work(a=work.work["a"])
        async with Bench(path, again) as other:
            answered = await other.one("SELECT 1 FROM requests WHERE status = 'answered'")
            if outcome == "rejected" and not answered:
                await other.answer(run, Answer(outcome="rejected", value=False, comment="no"))
            assert await other.end(run) == outcome
            ended = await other.all(
                "SELECT node_id, COUNT(*) FROM attempts WHERE run_key = ? AND status = 'succeeded'"
                " AND node_id IN ('tell', 'undo', 'unlock', 'note') GROUP BY node_id ORDER BY node_id",
                run.key,
            )
            assert ended == [(node, 1) for node in sorted([*handlers, "note"])]
            keys = {
                call.idempotency_key for call in [*work.calls[:before], *again.calls] if call.node_id != "a"
            }
            assert keys == {f"{run.id}/{node}/1" for node in handlers}
            assert await other.one("SELECT ending FROM runs WHERE key = ?", run.key) is None
