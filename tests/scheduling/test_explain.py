"""Explanations of recorded and missing fires, and agendas. Both write nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.scheduling.test_loop import ALICE, World, world
from victor_engine.api import Explanation, ScheduleInfo, SchedulePreview, ScheduleSpec
from victor_engine.errors import UsageError
from victor_engine.events import EventKind
from victor_engine.exclusion import nothing_excluded
from victor_engine.scheduling import agenda as agendas
from victor_engine.scheduling import explain as explaining
from victor_engine.scheduling import schedule_commands as ops
from victor_engine.scheduling import stored_schedules
from victor_engine.scheduling.schedule_info import complete, preview
from victor_engine.store import queries


def at(hour: int, minute: int = 0, second: int = 0, day: int = 4) -> datetime:
    return datetime(2026, 5, day, hour, minute, second, tzinfo=UTC)


async def explain(w: World, schedule: str, *instants: datetime, **options: Any) -> Explanation:
    before = await w.rows("SELECT MAX(seq) FROM events")
    found = await w.store.read(
        lambda c: explaining.explain(
            c,
            schedule,
            w.clock.now(),
            at=instants[0] if instants else None,
            until=instants[1] if len(instants) > 1 else None,
            **{"excluded": nothing_excluded, **options},
        )
    )
    assert await w.rows("SELECT MAX(seq) FROM events") == before
    return found


def text(found: Explanation) -> str:
    return "\n".join([found.headline, *(line.text for line in found.lines)])


async def next_shown(w: World, schedule: str) -> datetime | None:
    def look(connection: sqlite3.Connection) -> ScheduleInfo:
        now = w.clock.now()
        found = queries.schedule(connection, schedule, now, summarise=lambda *_: "", resolve=lambda *_: None)
        return complete(connection, [found], now, nothing_excluded)[0]

    return (await w.store.read(look)).next_fire


async def started(w: World) -> None:
    await w.store.write(lambda tx: tx.event(EventKind.ENGINE_STARTED, actor=ALICE))


async def test_why_last_nights_fire_did_not_run(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await started(w)
        schedule = await w.add(cron="0 2 * * *")
        w.clock.set_wall(at(23, 12))
        await w.store.write(lambda tx: tx.event(EventKind.ENGINE_STOPPED, actor=ALICE))
    async with world(tmp_path, at(6, 40, day=5)) as w:
        await started(w)
        await w.loop.start()
        await w.loop.fire_due()
        await w.loop.stop()
        found = await explain(w, schedule, at(2, day=5))
        assert found.headline == (
            "missed: the engine was down from 2026-05-04 23:12 to 2026-05-05 06:40 UTC; catchup is off"
        )
        assert "the engine was down from 2026-05-04 23:12 to 2026-05-05 06:40 UTC" in text(found)
        assert [fire.outcome for fire in found.fires] == ["missed"]
        standing = await explain(w, schedule)
        assert standing.headline.startswith("it fires next at Wed 2026-05-06 02:00+0000 UTC, in 19 hours")
        assert "missed" in text(standing)


async def test_the_downtime_of_a_killed_engine_is_explained(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await started(w)
        schedule = await w.add(cron="0 * * * *", overlap="allow")
        await w.at(at(9, 0, 1))
    async with world(tmp_path, at(11, 30)) as w:
        await started(w)
        await w.loop.start()
        await w.loop.fire_due()
        await w.loop.stop()
        assert "the engine stopped unexpectedly and was down from 2026-05-04 09:00:01 to" in text(
            await explain(w, schedule, at(10))
        )


async def test_how_things_stand(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 9 * * *", max_runs=5)
        assert "no engine runs on this state directory" in text(await explain(w, schedule, engine_runs=False))
        await w.store.write(lambda tx: ops.pause(tx, schedule, actor=ALICE, note="freeze", until=at(12)))
        found = await explain(w, schedule)
        assert found.headline.startswith("it is paused by alice since 2026-05-04 08:00 UTC: freeze until Mon")
        assert (await explain(w, schedule, at(9))).headline.startswith("it will be skipped: paused by alice")
        await w.store.write(lambda tx: ops.resume(tx, schedule, actor=ALICE))
        await w.store.write(lambda tx: ops.skip_next(tx, schedule, actor=ALICE))
        assert "that fire will be skipped" in (await explain(w, schedule)).headline
        await w.store.write(lambda tx: ops.drain(tx, actor=ALICE, note="upgrade"))
        assert "draining" in (await explain(w, schedule)).headline
        await w.store.write(lambda tx: ops.remove(tx, schedule, actor=ALICE, note="gone"))
        assert (await explain(w, schedule)).headline == "it was removed and no longer fires"


async def test_an_instant_that_is_none_of_its_times(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="30 2 * * *", timezone="Europe/Berlin")
        w.clock.set_wall(at(12, day=20))
        found = await explain(w, schedule, at(3, day=10))
        assert found.headline.endswith("did not include Sun 2026-05-10 05:00+0200 Europe/Berlin")
        assert "previous fire: Sun 2026-05-10 02:30+0200" in text(found)
        assert "next fire: Mon 2026-05-11 02:30+0200" in text(found)
        assert "it did not exist" in (await explain(w, schedule, at(3, day=1))).headline
        gap = datetime(2027, 3, 28, 0, 30, tzinfo=UTC)
        assert "clocks in Europe/Berlin went forward by 1 hour" in text(await explain(w, schedule, gap))
        future = await explain(w, schedule, at(0, 30, day=25))
        assert future.headline.startswith("it will fire then, in 4 days")


async def test_a_whole_day(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 */6 * * *", overlap="allow")
        for hour in (12, 18):
            await w.at(at(hour, 0, 1))
        found = await explain(w, schedule, at(0), at(0, day=5))
        assert found.headline == "2 fires: 2 started, queued"
        assert len(found.fires) == 2


async def test_a_calendar_that_leaves_it_out(tmp_path: Path) -> None:
    def excluded(spec: ScheduleSpec, instant: datetime, zone: ZoneInfo) -> str | None:
        return "calendar holidays: May Day" if instant.day == 5 else None

    async with world(tmp_path) as w:
        w.loop._excluded = excluded
        schedule = await w.add(cron="0 9 * * *", exclude=("holidays",))
        future = await explain(w, schedule, at(9, day=5), excluded=excluded)
        assert future.headline == "it will be excluded by calendar holidays: May Day"
        await w.at(at(9, 0, 1, day=5))
        assert [(o, r) for _, o, r in await w.fires()][-1] == (
            "skipped",
            "excluded by calendar holidays: May Day",
        )
        assert w.started == []


async def test_what_is_unknown_is_an_error(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        with pytest.raises(Exception, match="schedule 'nope' does not exist"):
            await explain(w, "nope")


# --- agenda ------------------------------------------------------------------------------------


async def test_an_agenda_counts_what_was_and_what_comes(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        often = await w.add(cron="*/20 * * * *", overlap="allow")
        daily = await w.add(workflow="w", cron="0 9 * * *")
        held = await w.add(workflow="w", cron="0 10 * * *")
        await w.store.write(lambda tx: ops.pause(tx, held, actor=ALICE, note="", until=at(9, 30)))
        await w.at(at(8, 20, 1))
        await w.at(at(8, 40, 1))
        edges = [at(8), at(9), at(10), at(11)]
        found = await w.store.read(lambda c: agendas.agenda(c, edges, w.clock.now(), nothing_excluded))
        lanes = {lane.schedule_id: lane for lane in found.lanes}
        assert lanes[often].planned == (0, 3, 3)
        assert lanes[often].past == ({"queued": 2}, {}, {})
        assert lanes[daily].planned == (0, 1, 0)
        assert lanes[held].planned == (0, 0, 1)
        assert lanes[held].paused
        one = await w.store.read(lambda c: agendas.agenda(c, edges, w.clock.now(), nothing_excluded, daily))
        assert [lane.schedule_id for lane in one.lanes] == [daily]
        few = await w.store.read(lambda c: agendas.agenda(c, edges, w.clock.now(), nothing_excluded, limit=1))
        assert (len(few.lanes), few.more) == (1, 2)
        with pytest.raises(UsageError, match="edges"):
            await w.store.read(lambda c: agendas.agenda(c, [at(9), at(8)], w.clock.now(), nothing_excluded))


# --- previews ----------------------------------------------------------------------------------


def previewed(
    connection: sqlite3.Connection, spec: ScheduleSpec, count: int, after: datetime, schedule: str | None
) -> SchedulePreview:
    return preview(
        connection, spec, count, after, schedule, nothing_excluded, lambda *_: "1.0.0", lambda *_: None, after
    )


async def test_a_preview_of_an_edit_keeps_hash_and_anchor(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        hashed = await w.add(cron="H H * * *")
        every = await w.add(every_seconds=2700.0)
        for schedule in (hashed, every):
            row = await w.store.read(lambda c, s=schedule: stored_schedules.get(c, s))  # type: ignore[misc]
            w.clock.set_wall(at(11, 7))
            found = await w.store.read(
                lambda c, row=row: previewed(c, row.spec, 1, w.clock.now(), row.id)  # type: ignore[misc]
            )
            due = row.timing.next_after(w.clock.now())
            assert due is not None
            assert found.fires == (due.instant,)


async def test_a_preview_of_past_times_has_a_problem(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        spec = ScheduleSpec(workflow="w", at=at(1, day=1))
        found = await w.store.read(lambda c: previewed(c, spec, 5, w.clock.now(), None))
        assert found.problem is not None
        assert "would never fire" in found.problem


async def test_the_downtime_of_a_suspended_machine_is_explained(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.add(cron="0 * * * *")
        await w.loop.start()
        w.clock.set_wall(at(10, 30))
        async with asyncio.timeout(20):
            while not await w.fires():
                w.loop._timer.wake.set()
                await asyncio.sleep(0.002)
        await w.loop.stop()
        reasons = {reason for _, _, reason in await w.fires()}
        assert reasons == {
            "missed: the machine was suspended or its clock was set from 2026-05-04 08:00:30 to 2026-05-04 10:30:00 UTC;"
            " catchup is off"
        }


@pytest.mark.parametrize(
    ("cron", "count", "expected"),
    [
        ("30 7 * * *", 10, ("2027-03-27T06:30", "2027-03-28T05:30")),
        ("30 2 * * *", 1, ("2027-03-27T01:30", "2027-03-28T01:00")),  # it falls into the gap
        ("0 9 1 * *", 4, (None, "2027-04-01T07:00")),  # the last one shown is the one before
        ("0 9 1 1 *", 1, None),  # summer comes and goes between two of them
        ("*/5 * * * *", 1, ("2027-03-28T00:55", "2027-03-28T01:00")),
    ],
)
async def test_a_preview_tells_how_the_next_change_of_the_clocks_is_met(
    tmp_path: Path, cron: str, count: int, expected: tuple[str | None, str] | None
) -> None:
    async with world(tmp_path) as w:
        spec = ScheduleSpec(workflow="w", cron=cron, timezone="Europe/Berlin")
        after = datetime(2026, 11, 25, tzinfo=UTC)
        found = await w.store.read(lambda c: previewed(c, spec, count, after, None))
        change = found.clock_change
        if expected is None:
            assert change is None
            return
        assert change is not None
        sides = (change.before, change.after)
        assert tuple(None if side is None else side.strftime("%Y-%m-%dT%H:%M") for side in sides) == expected


async def test_what_is_paused_fires_next_after_its_pause(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 9 * * *")
        until = datetime(2026, 5, 11, 9, 30, tzinfo=UTC)
        await w.store.write(lambda tx: ops.pause(tx, schedule, actor=ALICE, until=until))
        assert await next_shown(w, schedule) == datetime(2026, 5, 12, 9, tzinfo=UTC)
        await w.store.write(lambda tx: ops.pause(tx, schedule, actor=ALICE))
        assert await next_shown(w, schedule) is None


async def test_no_fire_is_promised_that_something_prevents(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 2 * * *", max_runs=2)
        assert (await explain(w, schedule, at(2, day=5))).headline.startswith("it will fire then")
        assert (await explain(w, schedule, at(2, day=7))).headline == (
            "it will not fire, if each fire before it starts a run: max_runs is 2"
        )
        assert (await explain(w, schedule, at(2, day=5), untrusted="it has not been trusted")).headline == (
            "it will not fire, unless the workspace is trusted before then"
        )
        assert (await explain(w, schedule, engine_runs=False)).headline.endswith(", if an engine runs then")
        await w.store.write(lambda tx: ops.drain(tx, actor=ALICE))
        assert (await explain(w, schedule, at(2, day=5))).headline == (
            "it will be skipped, unless the engine stops draining before then"
        )
        await w.store.write(lambda tx: ops.remove(tx, schedule, actor=ALICE))
        assert (await explain(w, schedule, at(2, day=5))).headline == (
            "it will not fire: the schedule was removed"
        )
