"""Expectations: met ones leave no rows, and each one that is not met is reported once, also after a restart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scheduling.test_loop import ALICE, World, world
from victor_engine.clock import to_us
from victor_engine.errors import UsageError
from victor_engine.scheduling import schedule_commands as ops
from victor_engine.scheduling.spec_clauses import finish_by, read_expect

NINE = datetime(2026, 5, 4, 9, 0, 1, tzinfo=UTC)


async def promised(w: World, expect: dict[str, Any], **fields: Any) -> str:
    return await w.add(cron="0 9 * * *", expect=read_expect(expect), **fields)


async def look(w: World, instant: datetime) -> None:
    w.clock.set_wall(instant)
    await w.loop.check_expectations()


async def breaches(w: World) -> list[tuple[str, str]]:
    return await w.rows("SELECT kind, text FROM expectations WHERE breached_at IS NOT NULL ORDER BY id")


async def told(w: World) -> int:
    return len(await w.rows("SELECT 1 FROM events WHERE kind = 'sla.breached'"))


async def set_run(w: World, **columns: Any) -> None:
    values = {name: to_us(value) if isinstance(value, datetime) else value for name, value in columns.items()}
    sets = ", ".join(f"{name} = ?" for name in values)
    await w.store.write(lambda tx: tx.execute(f"UPDATE runs SET {sets}", tuple(values.values())))


async def test_a_run_that_starts_in_time_leaves_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await promised(w, {"start_within": "5m"})
        await w.at(NINE)
        await set_run(w, status="running", started_at=NINE)
        await look(w, NINE + timedelta(minutes=6))
        assert await w.rows("SELECT 1 FROM expectations") == []
        assert await told(w) == 0


async def test_a_run_that_starts_late_is_reported_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await promised(w, {"start_within": "5m"})
        await w.at(NINE)
        await look(w, NINE + timedelta(minutes=4))
        assert await told(w) == 0
        for minute in (6, 7, 60):
            await look(w, NINE + timedelta(minutes=minute))
        ((kind, text),) = await breaches(w)
        assert kind == "start_within"
        assert text.endswith("had not started within 5 minutes")
        assert await told(w) == 1


async def test_how_long_it_takes_counts_from_its_start(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await promised(w, {"finish_within": "10m"})
        await w.at(NINE)
        await look(w, NINE + timedelta(minutes=30))
        assert await told(w) == 0
        began = NINE + timedelta(minutes=31)
        await set_run(w, status="running", started_at=began)
        await look(w, began + timedelta(minutes=9))
        assert await told(w) == 0
        await look(w, began + timedelta(minutes=20))
        assert "is still running" in (await breaches(w))[0][1]
        await look(w, began + timedelta(minutes=40))
        assert await told(w) == 1


async def test_a_run_that_took_too_long_during_a_downtime(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await promised(w, {"finish_within": "10m"})
        await w.at(NINE)
        await set_run(w, status="succeeded", started_at=NINE, finished_at=NINE + timedelta(minutes=25))
        await look(w, NINE + timedelta(hours=5))
        assert "took 25 minutes" in (await breaches(w))[0][1]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"status": "succeeded", "finished_at": NINE + timedelta(minutes=29)}, None),
        (
            {"status": "succeeded", "finished_at": NINE + timedelta(minutes=31)},
            "succeeded only at 2026-05-04 09:31",
        ),
        ({"status": "failed", "finished_at": NINE + timedelta(minutes=1)}, "it had failed"),
        ({"status": "waiting"}, "it was waiting"),
    ],
)
async def test_by_a_time_of_day(tmp_path: Path, columns: dict[str, Any], words: str | None) -> None:
    async with world(tmp_path) as w:
        await promised(w, {"finish_by": "11:30"}, timezone="UTC", description="")
        await w.at(NINE)
        await w.store.write(
            lambda tx: tx.execute("UPDATE expectations SET due = ?", (to_us(NINE + timedelta(minutes=30)),))
        )
        await set_run(w, **columns)
        await look(w, NINE + timedelta(hours=3))
        found = await breaches(w)
        assert [words in text for _, text in found] == ([True] if words else [])


async def test_a_fire_that_nothing_ran_is_a_breach_but_not_one_that_people_left_out(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        schedule = await promised(w, {"start_within": "5m"})
        await w.at(NINE)  # starts, and stays queued
        await w.at(NINE + timedelta(days=1))  # skipped: the first one is still there
        await w.store.write(lambda tx: ops.skip_next(tx, schedule, actor=ALICE))
        await w.at(NINE + timedelta(days=2))
        await look(w, NINE + timedelta(days=3))
        first, second = [text for _, text in await breaches(w)]
        assert first.endswith("had not started within 5 minutes")
        assert second == "no run was started within 5 minutes"


async def test_a_long_downtime_reports_one_breach(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await promised(w, {"start_within": "5m"})
    async with world(tmp_path, NINE + timedelta(days=9, hours=3)) as w:
        await w.loop.refresh()
        await w.loop.fire_due()
        await w.loop.check_expectations()
        assert len(await w.fires()) == 10
        assert await told(w) == 1


async def test_the_loop_wakes_for_an_expectation(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await promised(w, {"start_within": "5m"})
        await w.at(NINE)
        await w.loop.refresh()
        assert w.loop._next_expectation == to_us(datetime(2026, 5, 4, 9, 5, tzinfo=UTC))


@pytest.mark.parametrize(
    ("nominal", "zone", "wall", "expected"),
    [
        ("2026-05-04T05:00+00:00", "Europe/Berlin", "07:30", "2026-05-04T05:30+00:00"),
        ("2026-05-04T05:30+00:00", "Europe/Berlin", "07:30", "2026-05-05T05:30+00:00"),
        ("2026-05-04T22:30+00:00", "UTC", "07:30", "2026-05-05T07:30+00:00"),
        # 02:30 does not exist on that day: the first instant after the gap.
        ("2026-03-29T00:00+00:00", "Europe/Berlin", "02:30", "2026-03-29T01:00+00:00"),
        # 02:30 comes twice: the first pass.
        ("2026-10-25T00:00+00:00", "Europe/Berlin", "02:30", "2026-10-25T00:30+00:00"),
    ],
)
def test_finish_by(nominal: str, zone: str, wall: str, expected: str) -> None:
    found = finish_by(wall, datetime.fromisoformat(nominal), ZoneInfo(zone))
    assert found == datetime.fromisoformat(expected)


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2028, 1, 1)),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Tokyo"]),
    st.times(),
)
def test_finish_by_is_the_next_such_moment(start: datetime, zone: str, wall: Any) -> None:
    nominal = start.replace(tzinfo=UTC)
    text = wall.strftime("%H:%M")
    found = finish_by(text, nominal, ZoneInfo(zone))
    assert nominal < found <= nominal + timedelta(hours=26)
    local = found.astimezone(ZoneInfo(zone))
    before = (found - timedelta(seconds=1)).astimezone(ZoneInfo(zone))
    assert local.strftime("%H:%M") == text or before.utcoffset() != local.utcoffset()


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({}, "expect is empty"),
        ({"finish_by": "25:00"}, "not a time of day"),
        ({"finish_by": "half past"}, "not a time of day"),
        ({"start_within": 0}, "more than 0 seconds"),
        ({"start": "5m"}, "unknown key 'start'"),
        ([], "must be a mapping"),
    ],
)
def test_what_is_wrong_with_expect(block: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_expect(block)


def test_an_unquoted_time_of_day_is_read() -> None:
    import yaml

    assert read_expect(yaml.safe_load("{finish_by: 7:30}")).finish_by == "07:30"
