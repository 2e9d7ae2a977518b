"""Write the store of the upgrade test: ``python tests/upgrade/write_store.py``.

The store was written by version 0.1.0, through its engine, on a fake clock. Run this script with the code of
that version on `PYTHONPATH`; with any other version it refuses. It writes `store.db.xz`, a copy of the
database of an engine that was at work, and `facts.json`, the names by which the test knows its contents.
"""

from __future__ import annotations

import asyncio
import json
import lzma
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

import victor_engine
from victor_engine.api import (
    Actor,
    Answer,
    MigrationSpec,
    RequestInfo,
    RequestQuery,
    RunInfo,
    ScheduleSpec,
)
from victor_engine.clock import FakeClock
from victor_engine.config import trust
from victor_engine.engine import Engine
from victor_engine.identity import acting_as

HERE = Path(__file__).parent
START = datetime(2026, 5, 4, 5, 55, tzinfo=UTC)
EVENTS = 100_000
ALICE = Actor(user="alice", uid=70001, via="cli")
BOB = Actor(user="bob", uid=70002, via="cli")
FINAL = ("succeeded", "failed", "rejected", "cancelled")


async def until(found: Callable[[], Awaitable[Any]]) -> Any:
    """Return the first true value of `found`, which is asked again and again for up to 8 seconds."""
    async with asyncio.timeout(8):
        while not (value := await found()):
            await asyncio.sleep(0.01)
        return value


class Writer:
    """One engine at work, and the runs that the test is to know by name."""

    def __init__(self, engine: Engine, clock: FakeClock) -> None:
        self.engine = engine
        self.clock = clock
        self.runs: dict[str, str] = {}
        self.schedules: dict[str, str] = {}

    async def start(self, name: str, workflow: str, *statuses: str, **more: Any) -> str:
        """Start a run, and wait until it has a status that it is to have."""
        run = await self.engine.start_run(workflow, more.pop("version", None), more.pop("state", {}))
        self.runs[name] = run.id
        await self.until_status(run.id, *statuses)
        return run.id

    async def until_status(self, run_id: str, *statuses: str) -> RunInfo:
        async def looked() -> RunInfo | None:
            run = (await self.engine.run(run_id)).run
            if run.status in FINAL and run.status not in statuses:
                raise AssertionError(run)
            return run if run.status in statuses else None

        found: RunInfo = await until(looked)
        return found

    async def until_attempt(self, run_id: str, node_id: str, status: str) -> None:
        """Wait until the last attempt of a run is one of this node with this status."""

        async def looked() -> bool:
            attempts = (await self.engine.run(run_id)).attempts
            return bool(attempts) and (attempts[-1].node_id, attempts[-1].status) == (node_id, status)

        try:
            await until(looked)
        except TimeoutError:
            raise AssertionError((await self.engine.run(run_id)).attempts) from None

    async def request(self, run_id: str) -> RequestInfo:
        async def looked() -> RequestInfo | None:
            found = await self.engine.requests(RequestQuery(run_id=run_id))
            return found[0] if found else None

        request: RequestInfo = await until(looked)
        return request

    async def answer(self, name: str, by: Actor) -> None:
        request = await self.request(self.runs[name])
        with acting_as(by):
            await self.engine.answer(request.id, request.revision, Answer(outcome="approved", comment="fine"))

    async def pass_time(self, minutes: int) -> None:
        """Let time pass a minute at a time, and let the engine do what is due in each."""
        for _ in range(minutes):
            await self.clock.advance(60)
            self.engine.runtime.deadlines_changed()
            await self.quiet()

    async def quiet(self) -> None:
        """Return when nothing has been written for a while."""
        last, still = -1, 0
        while still < 5:
            await asyncio.sleep(0.01)
            now = (await self.engine.engine()).last_event
            still = still + 1 if now == last else 0
            last = now

    async def schedule_id(self, workflow: str) -> str:
        return next(s.id for s in await self.engine.schedules() if s.spec.workflow == workflow)


async def fill(writer: Writer) -> None:
    """Run what makes events, until only a few are missing."""
    engine = writer.engine
    while (last := (await engine.engine()).last_event) < EVENTS - 1000:
        batch = min(40, max(1, (EVENTS - 1000 - last) // 130))
        runs = [await engine.start_run("long") for _ in range(batch)]
        for run in runs:
            await writer.until_status(run.id, *FINAL)
        await writer.clock.advance(1)
    while (await engine.engine()).last_event < EVENTS:
        run = await engine.start_run("hourly", None, {"by": "hand"})
        await writer.until_status(run.id, *FINAL)


async def schedules(writer: Writer) -> None:
    """Edit what the files declare, and add some."""
    engine, ids = writer.engine, writer.schedules
    for workflow in ("hourly", "daily", "chain_end", "resting", "skipping", "buffered"):
        ids[workflow] = await writer.schedule_id(workflow)
    found = await engine.schedule(ids["hourly"])
    await engine.edit_schedule(
        ids["hourly"],
        msgspec.structs.replace(found.spec, cron="30 * * * *", initial_state={"by": "override"}),
        "half past suits better",
    )
    found = await engine.schedule(ids["daily"])
    await engine.edit_schedule(ids["daily"], msgspec.structs.replace(found.spec, cron="15 12 * * *"), "later")
    await engine.pause_schedule(ids["resting"], "at rest")
    added = await engine.add_schedule(ScheduleSpec("hourly", at=datetime(2026, 5, 4, 10, 10, tzinfo=UTC)))
    ids["once"] = added.id
    added = await engine.add_schedule(ScheduleSpec("moved", every_seconds=5400, version="1.0.0"))
    ids["moved"] = added.id


async def history(writer: Writer) -> None:
    """Everything that a run can wait for."""
    engine = writer.engine
    for name in ("dead", "dead_discarded", "dead_redriven"):
        await writer.start(name, "doomed", "failed")
    await engine.discard_run(writer.runs["dead_discarded"], "not needed")
    for name in ("moved_waiting", "moved_paused", "moved_back"):
        await writer.start(name, "moved", "waiting", version="1.0.0")
    await engine.pause_run(writer.runs["moved_paused"], "until noon")
    await writer.until_status(writer.runs["moved_paused"], "paused")
    moving = tuple(writer.runs[name] for name in ("moved_waiting", "moved_paused", "moved_back"))
    report = await engine.migrate_runs(
        MigrationSpec("moved", "2.0.0", run_ids=moving, schedule_ids=(writer.schedules["moved"],)), "to 2"
    )
    assert [move.outcome for move in report.runs] == ["migrated"] * 3, report
    await engine.unmigrate_run(writer.runs["moved_back"], "not this one")
    await writer.start("sleepy", "sleepy", "waiting")
    await writer.start("parent", "parent", "waiting")
    await writer.start("several", "several", "running")
    await writer.request(writer.runs["several"])
    for name in ("asking", "choosing", "filling", "reviewing", "voting", "chained", "silent", "taken_back"):
        await writer.start(name, name, "waiting", state={"subject": name})
    await writer.start("asking_paused", "asking", "waiting", state={"subject": "a pause"})
    await engine.pause_run(writer.runs["asking_paused"], "wait")
    await writer.answer("voting", ALICE)
    await writer.answer("chained", ALICE)
    request = await writer.request(writer.runs["asking"])
    with acting_as(BOB):
        await engine.claim(request.id)


async def last_steps(writer: Writer, root: Path) -> None:
    """What is under way when the engine dies."""
    engine = writer.engine
    await writer.start("retrying", "fragile", "running", "waiting")
    await writer.until_attempt(writer.runs["retrying"], "fetch", "retrying")
    await writer.pass_time(10)
    await writer.start("retrying_later", "fragile", "running", "waiting")
    await writer.until_attempt(writer.runs["retrying_later"], "fetch", "retrying")
    await writer.answer("taken_back", ALICE)
    await engine.skip_next(writer.schedules["skipping"], "once")
    # Paused between two nodes: the first one's command ends after the pause.
    await writer.start("paused", "held", "running")
    await writer.until_attempt(writer.runs["paused"], "work", "running")
    await engine.pause_run(writer.runs["paused"], "look at it first")
    (root / "open").touch()
    await writer.until_status(writer.runs["paused"], "paused")
    await writer.until_attempt(writer.runs["paused"], "work", "succeeded")
    (root / "open").unlink()
    await writer.start("live", "held", "running")
    await writer.until_attempt(writer.runs["live"], "work", "running")
    await writer.quiet()


def version_0_1_0() -> bool:
    root = Path(victor_engine.__file__).parent
    return (root / "store" / "ahead.py").is_file() and not (root / "store" / "schema.sql").exists()


async def write(target: Path) -> None:
    clock = FakeClock(START)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "workspace"
        os.environ["HOME"] = str(Path(folder) / "home")
        shutil.copytree(HERE / "workspace", root)
        trust(root)
        with acting_as(ALICE):
            state = Path(folder) / "state"
            state.mkdir()
            engine = await Engine.open(root, state, clock=clock)
            writer = Writer(engine, clock)
            assert not (wrong := [p for p in engine.workspace.problems if p.severity == "error"]), wrong
            await schedules(writer)
            await writer.pass_time(80)
            await history(writer)
            await fill(writer)
            await last_steps(writer, root)
            last = (await engine.engine()).last_event
            facts = {
                "now": clock.now().isoformat(),
                "events": last,
                "runs": writer.runs,
                "schedules": writer.schedules,
                "next": {
                    s.id: s.next_fire.isoformat() if s.next_fire else None for s in await engine.schedules()
                },
                "statuses": {name: (await engine.run(run)).run.status for name, run in writer.runs.items()},
                "counts": await counts(engine),
            }
            # As if the engine had been killed here: nothing of what it does from now on is in the copy.
            copy = Path(folder) / "copy.db"
            source = sqlite3.connect(state / "victor.db")
            destination = sqlite3.connect(copy)
            source.backup(destination)
            destination.execute("PRAGMA journal_mode = DELETE")
            destination.execute("VACUUM")
            destination.close()
            source.close()
            await engine.close()
        (target / "store.db.xz").write_bytes(lzma.compress(copy.read_bytes(), preset=9 | lzma.PRESET_EXTREME))
        (target / "facts.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")


async def counts(engine: Engine) -> dict[str, int]:
    """How many rows there are of what must not get lost."""
    tables = ("events", "runs", "attempts", "requests", "fires", "schedules", "definitions")
    return {
        table: await engine.store.read(
            lambda c, table=table: c.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # type: ignore[misc]
        )
        for table in tables
    }


if __name__ == "__main__":
    if not version_0_1_0():
        sys.exit(
            f"{victor_engine.__file__} is not version 0.1.0; check that version out and set PYTHONPATH to it"
        )
    asyncio.run(write(HERE))
