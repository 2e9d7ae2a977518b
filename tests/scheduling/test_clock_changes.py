"""Clocks that were wrong, through the running loop: fires decided too early become open again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.scheduling.test_loop import ALICE, START, World, world
from victor_engine.api import BackfillSpec
from victor_engine.exclusion import nothing_excluded
from victor_engine.scheduling import backfill, explain
from victor_engine.scheduling import schedule_commands as ops
from victor_engine.store import queries

HOUR = timedelta(hours=1)


@asynccontextmanager
async def looping(path: Path, start: datetime = START) -> AsyncIterator[World]:
    async with world(path, start) as w:
        await w.loop.start()
        try:
            yield w
        finally:
            await w.loop.stop()


async def until(w: World, sql: str, wanted: Callable[[list[Any]], bool]) -> list[Any]:
    """Let the loop look at the clock until the rows are as wanted."""
    async with asyncio.timeout(20):
        while not wanted(found := await w.rows(sql)):
            w.loop._timer.wake.set()
            await asyncio.sleep(0.002)
    return found


async def minute(w: World, instant: datetime, outcome: str = "started") -> None:
    """Let the time pass up to an instant, and wait until its fire has this outcome."""
    await w.clock.advance((instant - w.clock.now()).total_seconds() + 1)
    found = await until(w, f"SELECT outcome FROM fires WHERE local = '{instant:%Y-%m-%dT%H:%M}'", bool)
    assert found == [(outcome,)], instant


async def events(w: World, kind: str) -> list[Any]:
    return await w.rows(f"SELECT schedule_id, data FROM events WHERE kind = '{kind}' ORDER BY seq")


MISSED = "SELECT local FROM fires WHERE outcome = 'missed'"
CORRECTED = "SELECT data FROM events WHERE kind = 'engine.clock_corrected'"


async def test_a_clock_that_was_ahead_silences_no_schedule_when_it_is_set_right(tmp_path: Path) -> None:
    async with looping(tmp_path) as w:
        schedule = await w.add(cron="* * * * *", overlap="allow")
        await minute(w, datetime(2026, 5, 4, 8, 1, tzinfo=UTC))
        right = w.clock.now()
        w.clock.set_wall(right + HOUR)
        await until(w, MISSED, lambda found: len(found) == 59)
        started = await w.rows("SELECT local FROM fires WHERE outcome = 'started' ORDER BY nominal")
        assert started == [("2026-05-04T08:01",), ("2026-05-04T09:01",)]

        w.clock.set_wall(right + timedelta(seconds=12))
        await until(w, CORRECTED, bool)
        info = await w.store.read(lambda c: queries.engine_counts(c, w.clock.now()))
        assert info.next_fire == datetime(2026, 5, 4, 8, 2, tzinfo=UTC)
        assert info.clock_ahead is not None
        assert (info.clock_ahead.since, info.clock_ahead.until) == (right, right + timedelta(seconds=12))
        assert (info.clock_ahead.furthest, info.clock_ahead.reopened) == (right + HOUR, 59)
        assert await w.rows(MISSED) == []
        ((of, data),) = await events(w, "schedule.reopened")
        assert of == schedule
        assert '"fires":59' in data
        assert '"first":"2026-05-04T08:02"' in data
        for number in range(2, 5):
            await minute(w, datetime(2026, 5, 4, 8, number, tzinfo=UTC))
        told = await w.store.read(
            lambda c: explain.explain(c, schedule, w.clock.now(), excluded=nothing_excluded)
        )
        assert any("the clock was ahead" in line.text for line in told.lines)
        assert not any("clock was set from" in line.text for line in told.lines), "it was no downtime"

        # The fire of 09:01 started a run while the clock was ahead. It does not run again, and is not announced.
        for number in range(5, 61):
            await minute(w, datetime(2026, 5, 4, 8, 0, tzinfo=UTC) + timedelta(minutes=number))
        info = await w.store.read(lambda c: queries.engine_counts(c, w.clock.now()))
        assert info.next_fire == datetime(2026, 5, 4, 9, 2, tzinfo=UTC)
        await minute(w, datetime(2026, 5, 4, 9, 2, tzinfo=UTC))
        assert len(w.started) == 62
        assert await w.rows("SELECT COUNT(*) FROM runs") == [(62,)]


async def test_what_was_decided_by_an_earlier_engine_is_corrected_at_the_start(tmp_path: Path) -> None:
    async with looping(tmp_path) as w:
        kept = await w.add(cron="*/10 * * * *", overlap="allow")
        gone = await w.add(cron="5 * * * *", overlap="allow")
        w.clock.set_wall(START + 3 * HOUR)
        await until(w, MISSED, lambda found: len(found) == 20)
        await w.store.write(lambda tx: ops.remove(tx, gone, actor=ALICE))
    async with looping(tmp_path, START + timedelta(minutes=2)) as w:
        assert await w.rows(MISSED) == []
        again = await w.add(cron="5 * * * *", overlap="allow")
        assert again == gone
        await minute(w, datetime(2026, 5, 4, 8, 5, tzinfo=UTC))
        await minute(w, datetime(2026, 5, 4, 8, 10, tzinfo=UTC))
        assert {of for of, _ in await events(w, "schedule.reopened")} == {kept, gone}
    async with looping(tmp_path, START + timedelta(minutes=11)) as w:
        assert len(await w.rows(CORRECTED)) == 1, "it is corrected once"


async def test_a_pause_that_ended_too_early_and_a_skip_stay(tmp_path: Path) -> None:
    async with looping(tmp_path) as w:
        paused = await w.add(cron="*/10 * * * *", overlap="allow")
        skipped = await w.add(cron="10,30 * * * *", overlap="allow")
        end = datetime(2026, 5, 4, 8, 25, tzinfo=UTC)
        await w.store.write(lambda tx: ops.pause(tx, paused, actor=ALICE, until=end))
        await w.store.write(lambda tx: ops.skip_next(tx, skipped, actor=ALICE))
        await w.loop.refresh()
        w.clock.set_wall(START + HOUR)
        await until(w, "SELECT 1 FROM fires", lambda found: len(found) == 8)
        w.clock.set_wall(START + timedelta(minutes=1))
        await until(w, CORRECTED, bool)
        await w.clock.advance(9 * 60)
        rows = f"SELECT local, outcome FROM fires WHERE schedule_id = '{skipped}' AND outcome <> 'started'"
        assert await w.rows(rows) == [("2026-05-04T08:10", "skipped")]
        await w.clock.advance(16 * 60)
        mine = f"SELECT outcome FROM fires WHERE schedule_id = '{paused}' AND local < '2026-05-04T08:25'"
        assert await until(w, mine, bool) == [("skipped",), ("skipped",)]
        await w.clock.advance(5 * 60)
        await until(
            w, f"SELECT 1 FROM fires WHERE schedule_id = '{paused}' AND local = '2026-05-04T08:30'", bool
        )


async def test_a_jump_forward_is_a_downtime_and_a_jump_back_repeats_nothing(tmp_path: Path) -> None:
    async with looping(tmp_path) as w:
        none = await w.add(cron="*/10 * * * *", overlap="allow")
        everything = await w.add(cron="*/10 * * * *", overlap="allow", catchup="all", initial_state={"k": 1})
        w.clock.set_wall(START + HOUR)
        await until(w, "SELECT 1 FROM fires", lambda found: len(found) == 12)
        rows = "SELECT outcome, COUNT(*) FROM fires WHERE schedule_id = '{}' GROUP BY 1 ORDER BY 1"
        assert await w.rows(rows.format(none)) == [("missed", 5), ("started", 1)]
        assert await w.rows(rows.format(everything)) == [("started", 6)]
        (reason,) = {row[0] for row in await w.rows("SELECT reason FROM fires WHERE outcome = 'missed'")}
        assert reason.startswith(
            "missed: the machine was suspended or its clock was set from 2026-05-04 08:00:30"
        )
        told = await w.store.read(
            lambda c: explain.explain(c, none, w.clock.now(), excluded=nothing_excluded)
        )
        assert any("its clock was set from" in line.text for line in told.lines)

        w.clock.set_wall(START + timedelta(minutes=30))
        await until(w, CORRECTED, bool)
        await w.clock.advance(45 * 60)
        await until(
            w, f"SELECT 1 FROM fires WHERE schedule_id = '{everything}'", lambda found: len(found) == 7
        )
        runs = "SELECT nominal, COUNT(*) FROM runs WHERE schedule_id = '{}' GROUP BY 1 HAVING COUNT(*) > 1"
        assert await w.rows(runs.format(everything)) == []
        assert await w.rows(runs.format(none)) == []


async def test_a_fire_that_comes_before_the_loop_sees_the_correction_runs(tmp_path: Path) -> None:
    async with looping(tmp_path) as w:
        await w.add(cron="* * * * *", overlap="allow")
        await minute(w, datetime(2026, 5, 4, 8, 1, tzinfo=UTC))
        w.clock.set_wall(w.clock.now() + HOUR)
        await until(w, MISSED, lambda found: len(found) == 59)
        w.clock.set_wall(datetime(2026, 5, 4, 8, 1, 55, tzinfo=UTC))
        await w.clock.advance(10)
        await until(w, CORRECTED, bool)
        first = "SELECT outcome FROM fires WHERE local = '2026-05-04T08:02'"
        assert await until(w, first, bool) == [("started",)]


async def test_the_event_of_a_fire_has_its_zone_and_fold(tmp_path: Path) -> None:
    async with world(tmp_path, datetime(2026, 11, 1, 5, 45, tzinfo=UTC)) as w:
        schedule = await w.add(cron="*/30 1 * * *", timezone="America/New_York", overlap="allow")
        await w.at(datetime(2026, 11, 1, 6, 30, 1, tzinfo=UTC))
        end = datetime(2026, 11, 1, 6, 30, tzinfo=UTC)
        spec = BackfillSpec(schedule, end - timedelta(minutes=30), end, redo="all", concurrency=2)
        await w.store.write(lambda tx: backfill.start(w.loop.firing(tx), spec, actor=ALICE))
        rows = await w.rows("SELECT data FROM events WHERE kind = 'fire.decided' ORDER BY seq")
        found = [
            (data["nominal"], data["timezone"], data.get("fold", 0), data["outcome"])
            for (data,) in ((json.loads(row),) for (row,) in rows)
        ]
        assert found == [
            ("2026-11-01T01:00", "America/New_York", 1, "missed"),
            ("2026-11-01T01:30", "America/New_York", 1, "started"),
            ("2026-11-01T01:00", "America/New_York", 1, "backfilled"),
            ("2026-11-01T01:30", "America/New_York", 1, "backfilled"),
        ]
