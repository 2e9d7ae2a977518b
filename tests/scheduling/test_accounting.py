"""No fire goes missing: pauses, edits, restarts, bad neighbours and a store that cannot be written."""

from __future__ import annotations

import asyncio
import itertools
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.engine.support import engine_on, workspace
from tests.scheduling.test_loop import ALICE, START, World, world
from victor_engine.api import PauseInfo, RunQuery, ScheduleAdded, ScheduleSpec
from victor_engine.clock import FakeClock
from victor_engine.domain.transitions import SCHEDULE_TRANSITIONS, ScheduleCommand
from victor_engine.engine import Engine
from victor_engine.errors import ConflictError, FencedError, StoreError, UsageError
from victor_engine.identity import acting_as
from victor_engine.scheduling import policy, stored_schedules
from victor_engine.scheduling import schedule_commands as ops
from victor_engine.scheduling.declarations import spec_from_block
from victor_engine.scheduling.timing import Timing
from victor_engine.store import queries
from victor_engine.store.db import Tx
from victor_engine.store.repositories import meta


def at(hour: int, minute: int, second: int = 1, day: int = 4) -> datetime:
    return datetime(2026, 5, day, hour, minute, second, tzinfo=UTC)


async def edit(w: World, schedule: str, **fields: Any) -> None:
    def change(tx: Tx) -> None:
        row = stored_schedules.get(tx, schedule)
        ops.edit(tx, schedule, msgspec.structs.replace(row.spec, **fields), actor=ALICE)

    await w.store.write(change)
    await w.loop.refresh(schedule)


async def short(w: World) -> list[tuple[str, str]]:
    return [(local[11:], outcome) for local, outcome, _ in await w.fires()]


# --- pauses and edits ---------------------------------------------------------------------------


async def test_a_pause_by_hand_leaves_a_row_for_each_fire_that_it_held(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="*/5 * * * *", overlap="allow")
        w.clock.set_wall(at(8, 12))  # the fires of 08:05 and 08:10 were not decided
        await w.store.write(lambda tx: ops.pause(tx, schedule, actor=ALICE, note="upgrade"))
        await w.loop.refresh(schedule)
        await w.at(at(8, 20))
        assert await w.fires() == []
        await w.store.write(lambda tx: ops.resume(tx, schedule, actor=ALICE))
        await w.loop.refresh(schedule)
        await w.at(at(8, 25))
        assert await short(w) == [
            ("08:05", "missed"), ("08:10", "missed"), ("08:15", "skipped"), ("08:20", "skipped"), ("08:25", "started"),
        ]  # fmt: skip
        assert (await w.fires())[3][2] == "paused by alice since 2026-05-04 08:12 UTC: upgrade"


async def test_a_pause_that_ended_while_the_engine_was_down_hides_nothing_after_its_end(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 * * * *", overlap="allow")
        await w.store.write(lambda tx: ops.pause(tx, schedule, actor=ALICE, until=at(10, 30)))
    async with world(tmp_path, at(12, 0)) as w:
        await w.loop.refresh()
        await w.loop.fire_due()
        assert await short(w) == [
            ("09:00", "skipped"), ("10:00", "skipped"), ("11:00", "missed"), ("12:00", "started"),
        ]  # fmt: skip


async def test_a_skip_applies_to_one_fire_across_pauses_and_downtimes(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 * * * *", overlap="allow")
        await w.store.write(lambda tx: ops.skip_next(tx, schedule, actor=ALICE))
        await w.store.write(lambda tx: ops.pause(tx, schedule, actor=ALICE, until=at(9, 30)))
        await w.at(at(9, 30))
        await w.at(at(10, 0))
        await w.store.write(lambda tx: ops.skip_next(tx, schedule, actor=ALICE))
        await w.at(at(12, 30))
        await w.at(at(13, 0))
        assert [(local[11:], outcome, reason[:11]) for local, outcome, reason in await w.fires()] == [
            ("09:00", "skipped", "paused by a"), ("10:00", "started", "due"), ("11:00", "skipped", "an operator"),
            ("12:00", "missed", "missed: the"), ("13:00", "started", "due"),
        ]  # fmt: skip


async def test_an_edit_keeps_a_pause_and_its_end(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 * * * *")
        await w.store.write(lambda tx: ops.pause(tx, schedule, actor=ALICE, until=at(9, 30)))
        await edit(w, schedule, cron="15 * * * *")
        await w.at(at(9, 15))
        await w.at(at(9, 30))
        await w.at(at(10, 15))
        assert await short(w) == [("08:15", "skipped"), ("09:15", "skipped"), ("10:15", "started")]


async def test_the_end_of_a_pause_does_not_enable_what_was_disabled(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 * * * *")
        await w.store.write(lambda tx: ops.pause(tx, schedule, actor=ALICE, until=at(8, 30)))
        await edit(w, schedule, enabled=False)
        await w.at(at(9, 0))
        assert await w.rows("SELECT runs_started, next_fire FROM schedules") == [(0, None)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"priority": 5}, ["missed", "missed", "missed", "missed"]),
        ({"catchup": "latest"}, ["missed", "missed", "missed", "started"]),
        ({"cron": "30 * * * *"}, ["missed", "missed", "missed", "missed"]),
        ({"enabled": False}, ["missed", "missed", "missed", "missed"]),
    ],
)
async def test_what_was_due_before_an_edit_is_decided(
    tmp_path: Path, fields: dict[str, Any], expected: list[str]
) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 * * * *", overlap="allow")
        w.clock.set_wall(at(12, 20))
        await edit(w, schedule, **fields)
        await w.loop.fire_due()
        assert await w.outcomes() == expected
        assert [local[11:] for local, _, _ in await w.fires()] == ["09:00", "10:00", "11:00", "12:00"]


async def test_a_changed_file_does_not_hide_what_was_missed_while_the_engine_was_down(tmp_path: Path) -> None:
    one = ScheduleSpec(workflow="w", cron="0 * * * *")
    async with world(tmp_path) as w:
        await w.store.write(lambda tx: ops.declare(tx, "w", "w.yaml", one))
    async with world(tmp_path, at(10, 30)) as w:
        two = msgspec.structs.replace(one, cron="45 * * * *")
        await w.store.write(lambda tx: ops.declare(tx, "w", "w.yaml", two))
        await w.loop.refresh()
        await w.at(at(10, 45))
        assert await short(w) == [("09:00", "missed"), ("10:00", "missed"), ("10:45", "started")]


async def test_a_fire_that_waits_for_its_jitter_is_not_lost_by_an_edit(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 9 * * *", jitter=1800.0)
        (due,) = (await w.rows("SELECT next_fire FROM schedules"))[0]
        assert due > 1_000_000 * int(at(9, 0, 2).timestamp())
        w.clock.set_wall(at(9, 0, 2))
        await edit(w, schedule, cron="0 10 * * *", jitter=0.0)
        await w.at(at(10, 0))
        assert await short(w) == [("09:00", "missed"), ("10:00", "started")]


async def test_the_same_wall_time_in_another_zone_is_another_fire(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 11 * * *", timezone="Europe/Berlin", overlap="allow")
        await w.at(at(9, 0))
        await edit(w, schedule, timezone="America/New_York")
        await w.at(at(15, 0))
        assert [(local, outcome) for local, outcome, _ in await w.fires()] == [
            ("2026-05-04T11:00 Europe/Berlin", "started"),
            ("2026-05-04T11:00", "started"),
        ]


async def test_a_schedule_that_comes_back_begins_anew(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(every_seconds=4 * 3600.0, max_runs=1)
        await w.at(at(12, 0, 31))
        await w.end_runs()
        await w.store.write(lambda tx: ops.remove(tx, schedule, actor=ALICE))
        w.clock.set_wall(at(14, 0, 0))
        await w.add(every_seconds=4 * 3600.0, max_runs=1)
        await w.at(at(18, 0, 1))
        assert [(local, outcome) for local, outcome, _ in await w.fires()] == [
            ("2026-05-04T12:00:30Z", "started"),
            ("2026-05-04T18:00:00Z", "started"),
        ]


async def test_an_edit_that_does_not_go_with_the_changed_file_is_dropped_with_a_note(tmp_path: Path) -> None:
    one = ScheduleSpec(workflow="w", cron="0 9 * * *", end_date=at(0, 0, 0, day=30))
    two = msgspec.structs.replace(one, end_date=at(0, 0, 0, day=10))
    async with world(tmp_path) as w:
        await w.store.write(lambda tx: ops.declare(tx, "w", "w.yaml", one))
        row = (await w.store.read(stored_schedules.all_rows))[0]
        await edit(w, row.id, start_date=at(0, 0, 0, day=20))
        assert await w.store.write(lambda tx: ops.declare(tx, "w", "w.yaml", two))
        assert (await w.store.read(stored_schedules.all_rows))[0].spec == two
        (data,) = (await w.rows("SELECT data FROM events ORDER BY seq DESC LIMIT 1"))[0]
        assert "were dropped: start_date" in data


@pytest.mark.parametrize(
    "fields",
    [
        {"at": datetime(2020, 1, 1, tzinfo=UTC)},
        {"cron": "@daily", "end_date": datetime(2020, 1, 1, tzinfo=UTC)},
    ],
)
async def test_what_would_never_fire_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    async with world(tmp_path) as w:
        with pytest.raises(UsageError, match="would never fire"):
            await w.add(**fields)


# --- overlap ------------------------------------------------------------------------------------


async def test_what_is_caught_up_runs_one_after_the_other(tmp_path: Path) -> None:
    """`catchup: true` with everything else by default: four fires of a night, four runs, no two at once."""
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 * * * *", catchup="all")
    async with world(tmp_path, at(12, 30)) as w:
        await w.loop.refresh()
        await w.loop.fire_due()
        assert await w.outcomes() == ["started", "queued", "queued", "queued"]
        for number in range(1, 5):
            assert w.started == list(range(1, number + 1))
            await w.store.write(
                lambda tx, key=number: tx.execute(
                    "UPDATE runs SET status = 'succeeded' WHERE key = ?", (key,)
                )
            )
            await w.loop.start_queued(schedule)
        await w.at(at(13, 0))
        assert len(await w.fires()) == 5


async def test_a_run_started_by_hand_lets_nothing_past_the_run_that_is_waited_for(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="*/5 * * * *", overlap="buffer_all")
        await w.at(at(8, 5))
        await w.at(at(8, 10))
        await w.store.write(lambda tx: ops.trigger(tx, schedule, w.resolve, actor=ALICE))
        await w.store.write(lambda tx: tx.execute("UPDATE runs SET status = 'succeeded' WHERE key = 3"))
        await w.loop.start_queued(schedule)
        assert w.started == [1]
        await w.store.write(lambda tx: tx.execute("UPDATE runs SET status = 'succeeded' WHERE key = 1"))
        await w.loop.start_queued(schedule)
        assert w.started == [1, 2]


async def test_buffer_one_counts_what_waits_behind_a_run_not_what_waits_for_a_place(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.add(cron="*/5 * * * *", overlap="buffer_one")
        for minute in (5, 10, 15):  # the first run never gets a place: its status stays `queued`
            await w.at(at(8, minute))
        assert await w.outcomes() == ["started", "queued", "skipped"]


async def test_a_queued_run_says_what_it_waits_for(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.add(cron="*/5 * * * *", overlap="buffer_all")

        async def reasons() -> list[str | None]:
            found = await w.store.read(lambda c: queries.runs(c, RunQuery(oldest_first=True), w.clock.now()))
            assert {run.status for run in found} == {"queued"}
            return [run.waits_for for run in found]

        for minute in (5, 10):
            await w.at(at(8, minute))
        assert await reasons() == [None, "another run of its schedule"]
        await w.store.write(lambda tx: meta.drain(tx, PauseInfo(by="alice", at=w.clock.now())))
        assert await reasons() == ["the end of the drain", "another run of its schedule"]
        await w.store.write(lambda tx: tx.execute("UPDATE runs SET started_at = 1 WHERE key = 1"))
        assert (await reasons())[0] is None  # a run that has begun continues in a drain
        await w.store.write(meta.undrain)
        assert (await reasons())[0] is None


async def test_what_waits_still_waits_after_a_restart_and_starts_when_nothing_is_before_it(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        await w.add(cron="0 * * * *", overlap="buffer_all")
        await w.at(at(9, 0))
        await w.at(at(10, 0))
    async with world(tmp_path, at(10, 1)) as w:
        await w.loop.start()
        await w.loop.stop()
        assert w.started == []
        await w.end_runs()
        await w.store.write(lambda tx: tx.execute("UPDATE runs SET status = 'queued' WHERE key = 2"))
        await w.loop.start()
        await w.loop.stop()
        assert w.started == [2]


# --- errors -------------------------------------------------------------------------------------


async def test_a_schedule_that_cannot_be_decided_does_not_delay_others(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        bad = await w.add(cron="*/5 * * * *")
        await w.add(cron="*/5 * * * *", initial_state={"good": True})
        broken = "UPDATE schedules SET spec = replace(spec, '*/5', '*/0') WHERE id = ?"
        await w.store.write(lambda tx: tx.execute(broken, (bad,)))
        await w.at(at(8, 5))
        assert await w.outcomes() == ["started"]
        (problem,) = (await w.rows(f"SELECT problem FROM schedules WHERE id = '{bad}'"))[0]
        assert "a step must be a number above zero" in problem
        await w.at(at(8, 6, 30))
        assert len(await w.rows("SELECT * FROM events WHERE kind = 'engine.problem'")) == 1
        mended = "UPDATE schedules SET spec = replace(spec, '*/0', '*/5') WHERE id = ?"
        await w.store.write(lambda tx: tx.execute(mended, (bad,)))
        await w.at(at(8, 8))
        assert await w.outcomes() == ["started", "missed"]


async def test_an_unexpected_error_ends_neither_the_loop_nor_the_fire(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.add(cron="*/5 * * * *", misfire_grace=600.0)
        resolve, w.loop._resolve = w.loop._resolve, lambda tx, workflow, version: 1 // 0  # type: ignore[assignment,return-value]
        w.clock.set_wall(at(8, 5))
        await w.loop.start()
        while not await w.rows("SELECT 1 FROM events WHERE kind = 'engine.problem'"):
            await asyncio.sleep(0)
        assert await w.fires() == []
        w.loop._resolve = resolve
        while not await w.fires():  # the loop may not have put the schedule back yet
            await w.at(at(8, 6, 30))
        await w.loop.stop()
        assert await w.outcomes() == ["started"]


async def test_the_loop_retries_less_often_while_the_store_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="*/5 * * * *")
        tries: list[datetime] = []

        async def full() -> int:
            tries.append(w.clock.now())
            w.loop._due.set(schedule, 0)
            raise StoreError("disk full")

        w.loop.fire_due = full  # type: ignore[method-assign]
        with caplog.at_level(logging.CRITICAL):
            await w.loop.start()
            await w.clock.advance(0)
            w.loop._timer.wake.clear()
            await w.clock.advance(300)
            await w.loop.stop()
        waits = [(b - a).total_seconds() for a, b in itertools.pairwise(tries)]
        assert waits[-4:] == [32, 60, 60, 60]
        assert len(tries) < 12


async def test_a_fenced_loop_ends(tmp_path: Path) -> None:
    async with world(tmp_path) as w:

        async def fenced() -> int:
            raise FencedError("a newer engine has taken over")

        w.loop.fire_due = fenced  # type: ignore[method-assign]
        await w.loop.start()
        assert w.loop._task is not None
        await asyncio.wait({w.loop._task}, timeout=5)
        assert w.loop._task.done()
        await w.loop.stop()


async def test_years_of_minutes_are_decided_in_bounded_work(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.add(cron="* * * * *", catchup="latest")
    async with world(tmp_path, START + timedelta(days=3650)) as w:
        await w.loop.refresh()
        await w.loop.fire_due()
        outcomes = await w.outcomes()
        assert len(outcomes) == 1001
        assert outcomes[-1] == "started"
        assert "more than 100,000 fires" in (await w.fires())[0][2]


# --- tzdata -------------------------------------------------------------------------------------


async def test_a_tzdata_update_neither_repeats_a_fire_nor_leaves_one_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A country moves its clocks an hour back, and the file that says so comes after the fire of the day."""
    from zoneinfo import ZoneInfo

    from victor_engine.scheduling import timezones, timing

    def data(name: str) -> None:
        found = ZoneInfo(name)
        timezones.zone_table.cache_clear()
        for module in (timezones, timing):
            monkeypatch.setattr(module, "get_zone", lambda _: found)

    data("Etc/GMT-2")
    async with world(tmp_path) as w:
        await w.add(cron="0 11 * * *", timezone="Europe/Nowhere", overlap="allow")
        await w.at(at(9, 0))  # 11:00 two hours ahead of UTC
    data("Etc/GMT-1")
    async with world(tmp_path, at(9, 30)) as w:
        await w.loop.refresh()
        await w.at(at(10, 0))  # 11:00 again, now one hour ahead
        await w.at(at(10, 0, day=5))
        assert [(local, outcome) for local, outcome, _ in await w.fires()] == [
            ("2026-05-04T11:00", "started"), ("2026-05-05T11:00", "started"),
        ]  # fmt: skip
        assert len(await w.rows("SELECT 1 FROM runs")) == 2
    timezones.zone_table.cache_clear()


@pytest.mark.parametrize("state", ["active", "paused", "disabled"])
@pytest.mark.parametrize("command", ["pause", "resume", "skip", "remove"])
async def test_a_command_on_a_schedule_follows_the_table(tmp_path: Path, command: str, state: str) -> None:
    carry_out: dict[str, Any] = {
        "pause": ops.pause, "resume": ops.resume, "skip": ops.skip_next, "remove": ops.remove,
    }  # fmt: skip
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 * * * *")
        if state == "paused":
            await w.store.write(lambda tx: ops.pause(tx, schedule, actor=ALICE))
        elif state == "disabled":
            await edit(w, schedule, enabled=False)
        status = (await w.store.read(lambda c: stored_schedules.get(c, schedule))).status
        assert status == state
        sent = w.store.write(lambda tx: carry_out[command](tx, schedule, actor=ALICE))
        following = SCHEDULE_TRANSITIONS[ScheduleCommand(command)].get(status)
        if following is None:
            with pytest.raises(ConflictError, match=f"schedule {schedule} is {state}"):
                await sent
        else:
            await sent
        found = await w.store.read(lambda c: stored_schedules.find(c, schedule))
        assert found is not None
        assert found.status == (following or status)


# --- catchup: latest ------------------------------------------------------------------------------

WEEKENDS = """
calendars: {wk: {weekly: [{days: [sat, sun]}]}}
"""
NIGHTLY = """
workflows:
  w:
    schedule: {cron: "0 2 * * *", catchup: latest, exclude: wk}
    nodes: [{id: a, type: transform, transform: "x = 1"}]
"""


async def test_the_latest_fire_that_may_run_is_caught_up(tmp_path: Path) -> None:
    """Down from Thursday until Sunday, with weekends excluded: the fire of Friday runs."""
    root = workspace(tmp_path, {"victor.yaml": WEEKENDS, "workflows/w.yaml": NIGHTLY})
    for moment in (datetime(2026, 11, 26, 1, tzinfo=UTC), datetime(2026, 11, 29, 12, tzinfo=UTC)):
        clock = FakeClock(moment)
        with acting_as(ALICE):
            engine = await Engine.open(root, root / ".state", clock=clock)
        try:
            async with asyncio.timeout(30):
                while moment.day == 29 and len(await engine.fires()) < 4:
                    await asyncio.sleep(0.01)
            fires = {fire.local[:10]: (fire.outcome, fire.reason) for fire in await engine.fires()}
        finally:
            await engine.close()
    assert {day: outcome for day, (outcome, _) in fires.items()} == {
        "2026-11-26": "missed",
        "2026-11-27": "started",
        "2026-11-28": "skipped",
        "2026-11-29": "skipped",
    }
    assert fires["2026-11-26"][1].endswith(
        "catchup is latest, and the fire of 2026-11-27T02:00 is the newest that may run"
    )
    assert fires["2026-11-28"][1] == "excluded by calendar wk: sat, sun"


def test_the_latest_fire_is_not_older_than_the_window() -> None:
    spec = ScheduleSpec(workflow="w", cron="0 * * * *", catchup="latest", catchup_window=600.0)
    timing = Timing.from_spec(spec, "s", at(8, 0))
    fires = policy.backlog(timing, at(8, 30), at(11, 30)).fires
    reasons = [each.missed for each in policy.apply_catchup(spec, timing, fires, at(11, 30), 60.0)]
    assert all(reason is not None and "older than the catch-up window" in reason for reason in reasons)


async def test_only_as_many_runs_are_cancelled_as_needed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.add(cron="0 * * * *", overlap="cancel_running", max_active_runs=2)
        for hour in (9, 10):
            await w.at(at(hour, 0, 1))
        await w.store.write(lambda tx: tx.execute("UPDATE runs SET status = 'running'"))
        await w.at(at(11, 0, 1))
        assert w.cancelled == [1]
        assert await w.outcomes() == ["started", "started", "queued"]


async def test_an_edit_of_times_that_never_come_is_refused(tmp_path: Path) -> None:
    """`max_runs` is used up: a new time is refused, also in the preview, and a higher `max_runs` is accepted."""
    root = workspace(tmp_path, {"workflows/w.yaml": NIGHTLY.replace("exclude: wk", "enabled: false")})
    clock = FakeClock(datetime(2026, 11, 26, 1, tzinfo=UTC))
    with acting_as(ALICE):
        engine = await Engine.open(root, root / ".state", clock=clock)
        try:
            spec = ScheduleSpec(workflow="w", at=clock.now() + timedelta(seconds=20), max_runs=1)
            added = await engine.add_schedule(spec)
            await clock.advance(30)
            async with asyncio.timeout(30):
                while not await engine.fires(added.id):
                    await clock.advance(1)  # the loop may have begun to wait only now
                    await asyncio.sleep(0.01)
            later = msgspec.structs.replace(spec, at=clock.now() + timedelta(seconds=60))
            preview = await engine.preview_schedule(later, schedule_id=added.id)
            assert preview.problem == (
                "the schedule would never fire: it has started 1 run, and max_runs is 1; set a higher max_runs"
            )
            with pytest.raises(UsageError, match="set a higher max_runs"):
                await engine.edit_schedule(added.id, later)
            more = msgspec.structs.replace(later, max_runs=2)
            assert (await engine.edit_schedule(added.id, more)).next_fire == more.at
        finally:
            await engine.close()


async def test_a_preview_names_a_version_on_which_no_run_can_start(tmp_path: Path) -> None:
    root = workspace(tmp_path, {"workflows/w.yaml": NIGHTLY.replace(", exclude: wk", "")})
    async with engine_on(root) as engine:
        spec = ScheduleSpec(workflow="w", cron="0 9 * * *", version="9.9.9")
        assert "has no version 9.9.9" in ((await engine.preview_schedule(spec)).problem or "")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"cron": "0 9 * * *"}, {"cron": "00 09 * * *"}),
        ({"cron": "0 0 * * 1-5"}, {"cron": "0  0 * * MON-FRI"}),
        ({"cron": "0 0 * * *"}, {"cron": "@daily"}),
        ({"every": "60m"}, {"every": "1h"}),
        ({"every": 3600}, {"every": "1h"}),
    ],
)
async def test_equal_times_are_equal_however_they_are_written(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any]
) -> None:
    async with world(tmp_path) as w:
        specs = [spec_from_block("w", block)[0] for block in (one, other)]
        first, second = (spec for spec in specs if spec is not None)
        added = await w.store.write(lambda tx: ops.add(tx, first, actor=ALICE, origin="cli"))
        again = await w.store.write(lambda tx: ops.add(tx, second, actor=ALICE, origin="python"))
        assert (added.created, again) == (True, ScheduleAdded(added.id, False))
        other_settings = msgspec.structs.replace(second, jitter=5.0)
        with pytest.raises(ConflictError, match=added.id):
            await w.store.write(lambda tx: ops.add(tx, other_settings, actor=ALICE, origin="cli"))
        await w.store.write(lambda tx: ops.edit(tx, added.id, second, actor=ALICE))
        assert await w.store.write(lambda tx: ops.declare(tx, "w", "w.yaml", first))
        assert not await w.store.write(lambda tx: ops.declare(tx, "w", "w.yaml", second))
        assert await w.rows("SELECT COUNT(*) FROM events WHERE kind = 'schedule.changed'") == [(0,)]
        assert await w.rows("SELECT COUNT(*) FROM schedules") == [(2,)]


async def test_a_skip_belongs_to_its_instant(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 9,12 * * *", overlap="allow")

        async def edit(**fields: Any) -> None:
            spec = (await w.store.read(lambda c: stored_schedules.get(c, schedule))).spec
            changed = msgspec.structs.replace(spec, **fields)
            await w.store.write(lambda tx: ops.edit(tx, schedule, changed, actor=ALICE))
            await w.loop.refresh()

        async def is_skipped() -> bool:
            return (await w.store.read(lambda c: queries.schedule(c, schedule, w.clock.now()))).skip_next

        await w.store.write(lambda tx: ops.skip_next(tx, schedule, actor=ALICE))
        await edit(cron="0 9,10 * * *", jitter=30.0)
        assert await is_skipped(), "the instant is still a fire"
        await edit(cron="0 8,9 * * *", jitter=0.0)
        w.clock.set_wall(at(8, 1))
        assert await is_skipped()
        await edit(cron="30 8,9 * * *")
        assert not await is_skipped(), "the fire that was skipped was moved away"
        changed = await w.rows(
            "SELECT data FROM events WHERE kind = 'schedule.changed' ORDER BY seq DESC LIMIT 1"
        )
        assert "the skip of the fire of 2026-05-04 09:00 UTC goes with that fire" in changed[0][0]
        await w.at(at(8, 30))
        await edit(cron="0 9 * * *")
        assert not await is_skipped()
        await w.at(at(9, 0))
        assert await short(w) == [("08:30", "started"), ("09:00", "started")]


async def test_a_skip_of_an_earlier_release_skips_the_next_fire(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 * * * *", overlap="allow")
        await w.store.write(
            lambda tx: tx.execute("UPDATE schedules SET skip_next = 1 WHERE id = ?", (schedule,))
        )
        for hour in (9, 10):
            await w.at(at(hour, 0))
        assert await short(w) == [("09:00", "skipped"), ("10:00", "started")]


async def test_the_latest_fire_that_is_caught_up_is_not_the_skipped_one(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await w.add(cron="0 * * * *", overlap="allow", catchup="latest")
        await w.at(at(9, 0))
        await w.store.write(lambda tx: ops.skip_next(tx, schedule, actor=ALICE))
        await w.at(at(10, 30))
        assert await short(w) == [("09:00", "started"), ("10:00", "skipped")]
