"""A storage outage: the engine reports it, starts nothing, loses nothing, and continues after it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import ME, until_end, workspace
from victor_engine.api import EngineInfo, RunQuery
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine
from victor_engine.errors import StorageError
from victor_engine.identity import acting_as
from victor_engine.runs.transitions import RunRef
from victor_engine.service import connect
from victor_engine.service.paths import Paths
from victor_engine.store.db import Tx
from victor_engine.store.outage import RETRY_SECONDS

FILES = {
    "victor.yaml": """
        handlers:
          held: {command: [sh, -c, 'read line < go; echo {\\"n\\": 1}']}
        """,
    "workflows/w.yaml": """
        workflows:
          flow:
            nodes:
              - {id: work, type: compute, handler: held, next: [after]}
              - {id: after, type: transform, transform: "n = n + 1"}
          tick:
            schedule: {cron: "*/5 * * * *", timezone: UTC, catchup: none, misfire_grace: 30}
            nodes:
              - {id: t, type: transform, transform: "n = 1"}
        """,
}
START = datetime(2026, 5, 4, 8, 1, tzinfo=UTC)


class World:
    def __init__(self, engine: Engine, clock: FakeClock) -> None:
        self.engine = engine
        self.clock = clock

    def writable(self, yes: bool) -> None:
        self.engine.store._require_writer().execute(f"PRAGMA query_only = {int(not yes)}")

    async def until(self, condition: Callable[[EngineInfo], bool]) -> EngineInfo:
        async with asyncio.timeout(20):
            while True:
                info = await self.engine.engine()
                if condition(info):
                    return info

    async def back(self) -> None:
        self.writable(True)
        async with asyncio.timeout(20):
            while self.engine.store.outage is not None:
                await self.clock.advance(RETRY_SECONDS)
                await self.engine.engine()


@asynccontextmanager
async def world(tmp_path: Path, *, fresh: bool = True) -> AsyncIterator[World]:
    root, clock = workspace(tmp_path, FILES), FakeClock(START)
    if fresh:
        os.mkfifo(root / "go")
    with acting_as(ME):
        engine = await Engine.open(root, root / ".state", clock=clock)
        try:
            yield World(engine, clock)
        finally:
            await engine.close()


async def started(engine: Engine, run_id: str) -> None:
    """Wait until the command of `work` is recorded and waits for its line."""
    async with asyncio.timeout(20):
        while not await engine.store.read(
            lambda c: c.execute("SELECT 1 FROM attempts WHERE pid IS NOT NULL").fetchone()
        ):
            await asyncio.sleep(0)


async def go_on(tmp_path: Path) -> None:
    """Give the command the line that it waits for; block until it waits."""
    await asyncio.to_thread((tmp_path / "ws" / "go").write_text, "on\n")


async def test_the_result_of_a_command_is_kept_until_it_can_be_recorded(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        run = await w.engine.start_run("flow")
        await started(w.engine, run.id)
        w.writable(False)
        await go_on(tmp_path)
        info = await w.until(lambda info: info.storage is not None and info.storage.waiting > 0)
        assert info.storage is not None
        assert "read-only" in info.storage.message
        assert (await w.engine.run(run.id)).run.status == "running"
        with pytest.raises(StorageError, match="Nothing was changed"):
            await w.engine.start_run("flow")
        with pytest.raises(StorageError, match="Nothing was changed"):
            await w.engine.cancel_run(run.id)
        await w.back()
        found = await until_end(w.engine, run.id)
        assert found.run.status == "succeeded"
        assert found.state["n"] == 2
        assert [(a.node_id, a.number, a.status) for a in found.attempts] == [
            ("work", 1, "succeeded"),
            ("after", 1, "succeeded"),
        ]
        assert len(await w.engine.runs(RunQuery(workflow="flow"))) == 1
        assert (await w.engine.engine()).storage is None


async def test_subscribers_are_notified_of_the_start_and_the_end_of_an_outage(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        feed = w.engine.subscribe((await w.engine.engine()).last_event)
        told = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0)
        w.writable(False)
        with pytest.raises(StorageError):
            await w.engine.start_run("flow")
        async with asyncio.timeout(20):
            lost = await told
            assert (lost.kind, lost.seq) == ("engine.storage_lost", (await w.engine.engine()).last_event)
            await w.back()
            back = await anext(feed)
        assert back.kind == "engine.storage_back"
        await feed.aclose()


async def test_fires_during_an_outage_are_recorded_with_the_reason(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        (schedule,) = await w.engine.schedules()
        w.writable(False)
        await w.clock.advance(5 * 60)
        await w.until(lambda info: info.storage is not None)
        await w.clock.advance(10 * 60)
        assert await w.engine.fires(schedule.id) == []
        await w.back()
        async with asyncio.timeout(20):
            while len(fires := await w.engine.fires(schedule.id)) < 3:
                await asyncio.sleep(0)
        then = [fire for fire in fires if fire.nominal <= datetime(2026, 5, 4, 8, 15, tzinfo=UTC)]
        assert [fire.outcome for fire in then] == ["missed"] * 3
        assert all("the store could not be written from" in fire.reason for fire in then)


async def test_an_engine_stops_although_the_end_of_a_run_was_not_recorded(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        run = await w.engine.start_run("flow")
        await started(w.engine, run.id)
        store = w.engine.store

        def broken_at_the_end(tx: Tx, ref: RunRef, status: str) -> Any:
            store._require_writer().execute("PRAGMA query_only = 1")
            return on_ending(tx, ref, status)

        completion = w.engine.runtime.completion
        on_ending, completion._on_completion = completion._on_completion, broken_at_the_end
        await go_on(tmp_path)
        await w.until(lambda info: info.storage is not None and info.storage.waiting > 0)
    async with world(tmp_path, fresh=False) as w:
        found = await until_end(w.engine, run.id)
        assert (found.run.status, found.state["n"]) == ("succeeded", 2)
        assert [a.number for a in found.attempts] == [1, 1]


async def test_an_engine_that_stops_during_an_outage_repeats_the_attempt(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        run = await w.engine.start_run("flow")
        await started(w.engine, run.id)
        w.writable(False)
        await go_on(tmp_path)
        await w.until(lambda info: info.storage is not None and info.storage.waiting > 0)
    with acting_as(ME):
        engine = await Engine.open(tmp_path / "ws", tmp_path / "ws" / ".state", fire=False)
        try:
            await go_on(tmp_path)
            found = await until_end(engine, run.id)
        finally:
            await engine.close()
    assert found.run.status == "succeeded"
    assert [(a.node_id, a.status) for a in found.attempts] == [
        ("work", "interrupted"),
        ("work", "succeeded"),
        ("after", "succeeded"),
    ]


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_store_that_was_removed_or_replaced_acknowledges_nothing(
    tmp_path: Path, replaced: bool
) -> None:
    async with world(tmp_path) as w:
        path = w.engine.store.path
        away = path.with_name("away.db")
        path.rename(away)
        if replaced:
            path.write_bytes(away.read_bytes())
        with pytest.raises(StorageError, match="was removed or replaced while the engine runs"):
            await w.engine.start_run("flow")
        info = await w.until(lambda info: info.storage is not None)
        assert info.storage is not None
        assert "Put it back" in info.storage.message
        assert await w.engine.runs(RunQuery(workflow="flow")) == []
        path.unlink(missing_ok=True)
        away.rename(path)
        await w.back()
        assert (await w.engine.start_run("flow")).workflow == "flow"
        await started(w.engine, (await w.engine.runs(RunQuery(workflow="flow")))[0].id)
        await go_on(tmp_path)


async def test_an_idle_engine_notices_that_its_store_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "WORKSPACE_CHECK", 0.01)
    paths = Paths(workspace(tmp_path, FILES), tmp_path / "state")
    with acting_as(ME):
        engine = await connect.open_engine(paths)
        try:
            paths.db_path.unlink()
            async with asyncio.timeout(20):
                while (await engine.engine()).storage is None:
                    await asyncio.sleep(0.01)
        finally:
            await engine.close()
