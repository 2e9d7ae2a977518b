"""Commands on runs change memory after their commit: a refused command changes nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.engine.support import ME, workspace
from tests.engine.test_storage import World
from victor_engine.api import Answer, EventQuery, RequestQuery
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine
from victor_engine.errors import StorageError
from victor_engine.identity import acting_as

START = datetime(2026, 5, 4, 8, 1, tzinfo=UTC)
HELD = dedent("""
    handlers:
      held: {command: [sh, -c, "read line < $0", go]}
      other: {command: [sh, -c, "read line < $0", other]}
    """)
FILES = {
    "victor.yaml": f"{HELD}scheduler: {{max_concurrent_runs: 1}}",
    "workflows/w.yaml": """
        workflows:
          flow:
            nodes:
              - {id: work, type: compute, handler: held, next: [after]}
              - {id: after, type: compute, handler: other}
          gate:
            nodes:
              - {id: ok, type: hitl, hitl_type: approval, next: {approved: said, rejected: said}}
              - {id: said, type: transform, transform: "n = 1"}
        """,
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    root, clock = workspace(tmp_path, FILES), FakeClock(START)
    for pipe in ("go", "other"):
        os.mkfifo(root / pipe)
    with acting_as(ME):
        engine = await Engine.open(root, root / ".state", clock=clock, fire=False)
        try:
            yield World(engine, clock)
        finally:
            await engine.close()


async def until(world: World, run_id: str, *statuses: str) -> None:
    async with asyncio.timeout(20):
        while (await world.engine.run(run_id)).run.status not in statuses:
            await asyncio.sleep(0.01)


async def until_at(world: World, run_id: str, node: str) -> None:
    """Wait until the command of the node runs. A run whose position is the node can still be queued."""
    async with asyncio.timeout(20):
        while True:
            attempts = (await world.engine.run(run_id)).attempts
            if any(each.node_id == node and each.status == "running" and each.pid for each in attempts):
                return
            await asyncio.sleep(0.01)


async def let_go(world: World, pipe: str = "go") -> None:
    await asyncio.to_thread((world.engine.workspace_path / pipe).write_text, "on\n")


async def refused(world: World, command: Coroutine[Any, Any, Any]) -> None:
    world.writable(False)
    with pytest.raises(StorageError):
        await command
    await world.back()


async def abandoned(world: World, command: Coroutine[Any, Any, Any]) -> None:
    """Cancel a command as soon as its transition was given to the store."""
    task, submit = asyncio.ensure_future(command), world.engine.store._submit

    def submit_and_leave(*given: Any, **named: Any) -> Any:
        if asyncio.current_task() is task:  # and not the run, which commits concurrently
            asyncio.get_running_loop().call_soon(task.cancel)
        return submit(*given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.engine.store, "_submit", submit_and_leave)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_queued_run_stays_queued_when_its_pause_is_refused(world: World) -> None:
    first = await world.engine.start_run("flow")
    await until_at(world, first.id, "work")
    second = await world.engine.start_run("flow")
    await refused(world, world.engine.pause_run(second.id))
    assert (await world.engine.run(second.id)).run.status == "queued"
    for run in (first, second):
        await let_go(world)
        await until_at(world, run.id, "after")
        await let_go(world, "other")
        await until(world, run.id, "succeeded")


async def test_a_run_stays_paused_when_its_resume_is_refused(world: World) -> None:
    run = await world.engine.start_run("flow")
    await until_at(world, run.id, "work")
    await world.engine.pause_run(run.id)
    await refused(world, world.engine.resume_run(run.id))
    await let_go(world)
    await until(world, run.id, "paused")
    assert [a.node_id for a in (await world.engine.run(run.id)).attempts] == ["work"]


async def test_a_run_continues_when_its_cancel_retry_and_redrive_are_refused(world: World) -> None:
    run = await world.engine.start_run("flow")
    await until_at(world, run.id, "work")
    await refused(world, world.engine.cancel_run(run.id))
    assert (await world.engine.run(run.id)).run.status == "running"
    await world.engine.cancel_run(run.id)
    await refused(world, world.engine.retry_run(run.id))
    await refused(world, world.engine.redrive_run(run.id))
    assert (await world.engine.run(run.id)).run.status == "cancelled"
    assert await world.engine.events(EventQuery(run_id=run.id, kinds=("run.resumed", "run.redriven"))) == []
    await world.engine.retry_run(run.id)
    await until_at(world, run.id, "work")


async def test_a_committed_command_takes_effect_although_its_caller_disconnects(world: World) -> None:
    engine = world.engine
    run = await engine.start_run("flow")
    await until_at(world, run.id, "work")
    await abandoned(world, engine.cancel_run(run.id))
    await until(world, run.id, "cancelled")
    await abandoned(world, engine.retry_run(run.id))
    await until_at(world, run.id, "work")
    await engine.cancel_run(run.id)
    await abandoned(world, engine.redrive_run(run.id))
    await until_at(world, run.id, "work")
    await abandoned(world, engine.pause_run(run.id))
    await let_go(world)
    await until(world, run.id, "paused")
    await abandoned(world, engine.resume_run(run.id))
    await until_at(world, run.id, "after")
    await let_go(world, "other")
    await until(world, run.id, "succeeded")


async def test_a_committed_answer_reaches_its_run_although_its_caller_disconnects(world: World) -> None:
    run = await world.engine.start_run("gate")
    await until(world, run.id, "waiting")
    (asked,) = await world.engine.requests(RequestQuery(run_id=run.id))
    await abandoned(world, world.engine.answer(asked.id, asked.revision, Answer(outcome="approved")))
    await until(world, run.id, "succeeded")


async def test_after_a_restart_a_run_without_a_slot_is_queued(tmp_path: Path) -> None:
    places = "scheduler: {max_concurrent_runs: %d}"
    root, clock = workspace(tmp_path, {**FILES, "victor.yaml": HELD + places % 2}), FakeClock(START)
    os.mkfifo(root / "go")
    with acting_as(ME):
        engine = await Engine.open(root, root / ".state", clock=clock, fire=False)
        first, second = [await engine.start_run("flow") for _ in range(2)]
        for run in (first, second):
            await until_at(World(engine, clock), run.id, "work")
        await engine.close()
        (root / "victor.yaml").write_text(HELD + places % 1)
        engine = await Engine.open(root, root / ".state", clock=clock, fire=False)
        try:
            again = World(engine, clock)
            await until(again, first.id, "running")
            assert (await engine.run(second.id)).run.status == "queued"
            await engine.cancel_run(first.id)
            await until(again, second.id, "running")
        finally:
            await engine.close()
