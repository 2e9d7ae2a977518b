"""The scheduling loop on a real store: every fire has exactly one outcome, whatever happens."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from victor_engine.api import Actor, ScheduleSpec
from victor_engine.clock import FakeClock
from victor_engine.errors import ConflictError, FencedError, NotFoundError, UsageError
from victor_engine.exclusion import Excluded, nothing_excluded
from victor_engine.scheduling import schedule_commands as ops
from victor_engine.scheduling import stored_schedules as rows
from victor_engine.scheduling.loop import SchedulerLoop
from victor_engine.store.db import Store, Tx, open_store
from victor_engine.store.runs import Start

ALICE = Actor(user="alice", uid=1001, via="cli")
START = datetime(2026, 5, 4, 8, 0, 30, tzinfo=UTC)


class World:
    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.started: list[int] = []
        self.cancelled: list[int] = []
        self.known = True
        self.loop = SchedulerLoop(
            store,
            clock,
            resolve=self.resolve,
            on_runs=lambda runs: self.started.extend(key for key, _ in runs),
            on_cancel=self.cancelled.append,
            excluded=self.excludes,
        )
        self.excluded: Excluded = nothing_excluded
        store.excluded = self.excludes

    def use(self, excluded: Excluded) -> None:
        """Use other calendars, as after a change of the files."""
        self.excluded = excluded

    def excludes(self, spec: ScheduleSpec, instant: datetime, zone: ZoneInfo) -> str | None:
        return self.excluded(spec, instant, zone) if spec.exclude else None

    def resolve(self, tx: Tx, workflow: str, version: str | None) -> Start:
        if not self.known:
            raise NotFoundError(f"there is no workflow {workflow!r}")
        return Start(1, "a")

    async def add(self, **fields: Any) -> str:
        spec = ScheduleSpec(**{"workflow": "w", **fields})
        added = await self.store.write(lambda tx: ops.add(tx, spec, actor=ALICE, origin="cli"))
        await self.loop.refresh()
        return added.id

    async def at(self, instant: datetime) -> None:
        self.clock.set_wall(instant)
        await self.loop.fire_due()

    async def fires(self) -> list[tuple[str, str, str]]:
        return await self.rows("SELECT local, outcome, reason FROM fires ORDER BY nominal, id")

    async def rows(self, sql: str) -> list[Any]:
        return await self.store.read(lambda c: c.execute(sql).fetchall())

    async def outcomes(self) -> list[str]:
        return [outcome for _, outcome, _ in await self.fires()]

    async def end_runs(self) -> None:
        await self.store.write(lambda tx: tx.execute("UPDATE runs SET status = 'succeeded'"))


@asynccontextmanager
async def world(path: Path, start: datetime = START) -> AsyncIterator[World]:
    clock = FakeClock(start)
    store = open_store(path / "victor.db", clock=clock)
    store.begin_epoch()
    store.start()
    await store.write(
        lambda tx: tx.execute(
            "INSERT OR IGNORE INTO definitions (id, workflow, version, checksum, content, text, registered_at)"
            " VALUES (1, 'w', '1.0.0', '', '{}', '', 0)"
        )
    )
    try:
        yield World(store, clock)
    finally:
        await store.close()


async def test_a_due_fire_starts_one_run_with_its_reason(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.add(cron="*/5 * * * *", initial_state={"k": 1})
        await w.at(START + timedelta(minutes=3))
        assert await w.fires() == []
        await w.at(datetime(2026, 5, 4, 8, 5, 1, tzinfo=UTC))
        await w.at(datetime(2026, 5, 4, 8, 5, 2, tzinfo=UTC))
        assert await w.fires() == [("2026-05-04T08:05", "started", "due")]
        assert len(w.started) == 1
        (run,) = await w.rows(
            "SELECT state, trigger, status FROM runs JOIN run_states ON run_key = key AND after_attempt = 0"
        )
        state = json.loads(run[0])
        assert state.pop("_run")["nominal_time"] == "2026-05-04T08:05:00Z"
        assert (state, *run[1:]) == ({"k": 1}, "schedule", "queued")


async def test_a_clock_set_back_repeats_nothing_and_set_forward_leaves_nothing_out(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.add(cron="0 * * * *", overlap="allow", misfire_grace=0)
        await w.at(datetime(2026, 5, 4, 9, 0, 1, tzinfo=UTC))
        await w.at(datetime(2026, 5, 4, 7, 30, tzinfo=UTC))
        await w.loop.refresh()
        await w.at(datetime(2026, 5, 4, 9, 0, 2, tzinfo=UTC))
        assert await w.outcomes() == ["started"]
        await w.at(datetime(2026, 5, 4, 12, 0, 1, tzinfo=UTC))
        assert [(local[11:], outcome) for local, outcome, _ in await w.fires()] == [
            ("09:00", "started"), ("10:00", "missed"), ("11:00", "missed"), ("12:00", "started"),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("catchup", "window", "expected"),
    [
        ("none", None, ["missed"] * 4),
        ("latest", None, ["missed"] * 3 + ["started"]),
        ("all", None, ["started"] * 4),
        ("all", 2 * 3600, ["missed"] * 2 + ["started"] * 2),
    ],
)
async def test_what_was_missed_while_the_engine_was_down(
    tmp_path: Path, catchup: Any, window: float | None, expected: list[str]
) -> None:
    async with world(tmp_path) as w:
        await w.add(cron="0 * * * *", overlap="allow", catchup=catchup, catchup_window=window)
    async with world(tmp_path, datetime(2026, 5, 4, 12, 30, tzinfo=UTC)) as w:
        await w.loop.refresh()
        await w.loop.fire_due()
        assert await w.outcomes() == expected
        reasons = [reason for _, outcome, reason in await w.fires() if outcome == "missed"]
        assert all("from 2026-05-04T09:00 until 2026-05-04T12:30" in reason for reason in reasons)
        nominal = await w.rows("SELECT nominal FROM runs ORDER BY key")
        assert nominal == sorted(nominal)


@pytest.mark.parametrize(
    ("overlap", "outcomes", "started"),
    [
        ("skip", ["started", "skipped", "skipped"], 1),
        ("allow", ["started", "started", "started"], 3),
        ("buffer_one", ["started", "queued", "skipped"], 1),
        ("buffer_all", ["started", "queued", "queued"], 1),
        ("cancel_running", ["started", "queued", "queued"], 1),
    ],
)
async def test_overlap(tmp_path: Path, overlap: Any, outcomes: list[str], started: int) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="*/5 * * * *", overlap=overlap)
        await w.at(datetime(2026, 5, 4, 8, 5, 1, tzinfo=UTC))
        await w.store.write(lambda tx: tx.execute("UPDATE runs SET status = 'running'"))
        await w.at(datetime(2026, 5, 4, 8, 10, 1, tzinfo=UTC))
        await w.at(datetime(2026, 5, 4, 8, 15, 1, tzinfo=UTC))
        assert await w.outcomes() == outcomes
        assert len(w.started) == started
        if overlap == "cancel_running":
            assert w.cancelled
        if overlap.startswith("buffer"):
            await w.store.write(lambda tx: tx.execute("UPDATE runs SET status = 'succeeded' WHERE key = 1"))
            await w.loop.start_queued(schedule)
            assert len(w.started) == 2


async def test_pause_resume_skip_and_end(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="*/5 * * * *", overlap="allow", max_runs=2)
        until = datetime(2026, 5, 4, 8, 12, tzinfo=UTC)
        await w.store.write(lambda tx: ops.pause(tx, schedule, actor=ALICE, note="maintenance", until=until))
        await w.loop.refresh()
        await w.at(datetime(2026, 5, 4, 8, 10, 1, tzinfo=UTC))
        assert await w.outcomes() == []
        await w.at(datetime(2026, 5, 4, 8, 12, 1, tzinfo=UTC))
        await w.at(datetime(2026, 5, 4, 8, 15, 1, tzinfo=UTC))
        # The two fires of the pause are on record with who paused and why.
        assert await w.outcomes() == ["skipped", "skipped", "started"]
        assert "paused by alice" in (await w.fires())[0][2]
        assert "maintenance" in (await w.fires())[0][2]
        await w.store.write(lambda tx: ops.skip_next(tx, schedule, actor=ALICE))
        await w.at(datetime(2026, 5, 4, 8, 20, 1, tzinfo=UTC))
        await w.at(datetime(2026, 5, 4, 8, 25, 1, tzinfo=UTC))
        await w.at(datetime(2026, 5, 4, 8, 30, 1, tzinfo=UTC))
        assert await w.outcomes() == ["skipped", "skipped", "started", "skipped", "started"]
        events = [kind for (kind,) in await w.rows("SELECT kind FROM events ORDER BY seq")]
        assert "schedule.paused" in events
        assert "schedule.resumed" in events
        with pytest.raises(ConflictError, match="not paused"):
            await w.store.write(lambda tx: ops.resume(tx, schedule, actor=ALICE))


async def test_what_cannot_start_is_skipped_with_the_reason_and_marks_the_schedule(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.add(cron="*/5 * * * *")
        w.known = False
        await w.at(datetime(2026, 5, 4, 8, 5, 1, tzinfo=UTC))
        (_, outcome, reason), *_ = await w.fires()
        assert outcome == "skipped"
        assert "there is no workflow 'w'" in reason
        assert await w.rows("SELECT problem FROM schedules") == [("there is no workflow 'w'",)]


async def test_ten_years_of_minutes_are_accounted_for_in_bounded_space(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.add(cron="* * * * *")
    async with world(tmp_path, START + timedelta(days=7)) as w:
        await w.loop.refresh()
        await w.loop.fire_due()
        rows = await w.fires()
        assert len(rows) == 1001
        cut = [reason for _, _, reason in rows if "recorded as one" in reason]
        counted = sum(int(reason.split("(")[1].split()[0].replace(",", "")) for reason in cut)
        assert counted + len(rows) - len(cut) == 7 * 24 * 60


async def test_a_fenced_engine_fires_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.add(cron="*/5 * * * *")
        other = sqlite3.connect(tmp_path / "victor.db")
        other.execute("UPDATE meta SET value = value + 1 WHERE key = 'epoch'")
        other.commit()
        other.close()
        with pytest.raises(FencedError, match="a newer engine"):
            await w.at(datetime(2026, 5, 4, 8, 5, 1, tzinfo=UTC))
        assert await w.fires() == []
        assert w.started == []


async def test_the_file_declares_and_an_edit_overrides(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        one = ScheduleSpec(workflow="w", cron="0 9 * * *")
        two = msgspec.structs.replace(one, cron="0 10 * * *", priority=3)
        write: Callable[[Any], Any] = w.store.write
        assert await write(lambda tx: ops.declare(tx, "w", "w.yaml", one))
        assert not await write(lambda tx: ops.declare(tx, "w", "w.yaml", one))
        row = await w.store.read(lambda c: rows.all_rows(c)[0])
        edited = msgspec.structs.replace(row.spec, timezone="Europe/Berlin")
        await write(lambda tx: ops.edit(tx, row.id, edited, actor=ALICE))
        assert await write(lambda tx: ops.declare(tx, "w", "w.yaml", two))
        row = await w.store.read(lambda c: rows.all_rows(c)[0])
        assert (row.spec.cron, row.spec.priority, row.spec.timezone) == ("0 10 * * *", 3, "Europe/Berlin")
        assert await write(lambda tx: ops.declare(tx, "w", "w.yaml", None))
        assert await w.store.read(rows.all_rows) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cron": "61 * * * *"}, "outside 0-59"),
        ({"cron": "0 9 * * *", "timezone": "Europe/Berlim"}, "did you mean 'Europe/Berlin'"),
        ({"every_seconds": 0.5}, "at least one second"),
        ({}, "exactly one of cron"),
        ({"cron": "@daily", "every_seconds": 60.0}, "exactly one of cron"),
        ({"cron": "@daily", "start_date": START, "end_date": START}, "not after start_date"),
    ],
)
async def test_what_cannot_be_scheduled_leaves_no_trace(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    async with world(tmp_path) as w:
        with pytest.raises(UsageError, match=message):
            await w.add(**fields)
        assert await w.rows("SELECT * FROM schedules") == []
        assert await w.rows("SELECT * FROM events") == []
