"""Intervals of days at a wall time, compared with a search through the wall clock."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scheduling.test_loop import world
from victor_engine.api import ScheduleSpec
from victor_engine.scheduler import CronSchedule
from victor_engine.scheduling.declarations import changed_spec, same_schedule, schedule_id, spec_from_block
from victor_engine.scheduling.timing import Timing
from victor_tui.schedules.spec_form import SpecFields, fields_from, spec_from

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Cairo", "America/Sao_Paulo",
)  # fmt: skip


@lru_cache(maxsize=4000)
def quarters(zone: str, day: date) -> tuple[tuple[datetime, datetime], ...]:
    """Return every fifteenth minute around a day as pairs: the instant, and its wall time without a zone."""
    info = ZoneInfo(zone)
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=30)
    instants = [start + timedelta(minutes=15 * number) for number in range(84 * 4)]
    return tuple((each, each.astimezone(info).replace(tzinfo=None)) for each in instants)


def fire_of(zone: str, day: date, hour: int, minute: int) -> datetime | None:
    """Return the first quarter of an hour with the wall time; in a gap of at most three hours, the first one after it."""
    wanted = datetime(day.year, day.month, day.day, hour, minute)
    before: datetime | None = None
    for instant, wall in quarters(zone, day):
        if wall == wanted:
            return instant
        if before is not None and before < wanted < wall:
            return instant if wall - before <= timedelta(hours=3, minutes=15) else None
        before = wall
    raise AssertionError("the quarters do not reach the day")


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.integers(1, 20),
    st.integers(0, 23),
    st.sampled_from((0, 15, 30, 45)),
    st.dates(date(2010, 9, 1), date(2012, 4, 1)),
    st.integers(0, 23),
    st.integers(-3000, 60 * 24 * 90),
)
def test_a_search_through_the_wall_clock_finds_the_same_fires(
    zone: str, days: int, hour: int, minute: int, first: date, hour_of_anchor: int, offset: int
) -> None:
    anchor = datetime(first.year, first.month, first.day, hour_of_anchor, 30, tzinfo=ZoneInfo(zone))
    first = anchor.astimezone(UTC).astimezone(ZoneInfo(zone)).date()  # the anchor can be in a gap
    spec = ScheduleSpec(
        "w", every_seconds=days * 86_400.0, every_at=f"{hour:02}:{minute:02}", anchor=anchor.astimezone(UTC), timezone=zone
    )  # fmt: skip
    timing = Timing(spec, "a" * 12, datetime(2000, 1, 1, tzinfo=UTC))
    after = (anchor + timedelta(minutes=offset)).astimezone(UTC)
    until = after + timedelta(days=45)
    wanted = [
        found
        for day in (first + timedelta(days=days * number) for number in range(-1, 140 // days + 2))
        if day >= first and (found := fire_of(zone, day, hour, minute)) is not None and after < found <= until
    ]
    found = []
    for instant in timing.instants(after):
        if instant > until:
            break
        found.append(instant)
    assert found == wanted
    assert timing.count(after, until) == len(wanted)
    for instant in wanted:
        local = instant.astimezone(ZoneInfo(zone))
        assert (timing.nominal(instant).local, timing.nominal(instant).fold) == (f"{local:%Y-%m-%dT%H:%M}", 0)
    if len(wanted) > 1:
        assert timing.previous_before(wanted[1]) == wanted[0]
    assert list(timing.upcoming(2, after))[: len(wanted)] == wanted[:2]


def test_the_wall_time_stays_across_the_clock_changes_of_a_year() -> None:
    spec, errors = spec_from_block(
        "w", {"every": "2 weeks at 09:00", "anchor": "2026-03-02", "tz": "Europe/Berlin"}
    )
    assert spec is not None, errors
    timing = Timing(spec, "a" * 12, datetime(2026, 3, 1, tzinfo=UTC))
    fires = timing.upcoming(26, datetime(2026, 3, 1, tzinfo=UTC))
    assert {f"{fire.astimezone(ZoneInfo('Europe/Berlin')):%a %H:%M}" for fire in fires} == {"Mon 09:00"}
    assert {fire.hour for fire in fires} == {7, 8}
    assert timing.summary == "every 2 weeks at 09:00 (Europe/Berlin)"


@pytest.mark.parametrize(
    ("every", "seconds", "at"),
    [
        ("2 weeks at 09:00", 14 * 86_400, "09:00"),
        ("2w at 9:00", 14 * 86_400, "09:00"),
        ("14d  AT 09:00", 14 * 86_400, "09:00"),
        ("day at 23:59", 86_400, "23:59"),
        ("3 Days at 00:00", 3 * 86_400, "00:00"),
    ],
)
def test_texts_of_intervals(every: str, seconds: float, at: str) -> None:
    spec, _ = spec_from_block("w", {"interval": every})
    assert spec is not None
    assert (spec.every_seconds, spec.every_at) == (seconds, at)
    fields = fields_from(spec)
    assert (fields.way, spec_from(fields, None)[0]) == ("every", spec)


@pytest.mark.parametrize(
    ("every", "words"),
    [
        ("2 weeks at 24:00", "'24:00' is not a time of day"),
        ("2 weeks at noon", "'noon' is not a time of day"),
        ("0 days at 09:00", "less than a day"),
        ("36h at 09:00", "write a number of days or weeks"),
        ("2 months at 09:00", "write a number of days or weeks"),
        ("99999 weeks at 09:00", "write a number of days or weeks"),
    ],
)
def test_an_interval_that_is_not_valid(every: str, words: str) -> None:
    spec, errors = spec_from_block("w", {"every": every})
    assert spec is None
    assert words in errors[0]
    assert errors[0].startswith("schedule.every: ")
    assert words in spec_from(SpecFields("w", "every", every), None)[1]["expression"]


def test_another_kind_of_times_drops_the_wall_time() -> None:
    spec, _ = spec_from_block("w", {"every": "2 weeks at 09:00"})
    assert spec is not None
    exact, _ = changed_spec(spec, {"every": "2w"})
    cron, _ = changed_spec(spec, {"cron": "0 9 * * *"})
    other, _ = changed_spec(spec, {"tz": "Europe/Berlin"})
    assert exact is not None
    assert cron is not None
    assert other is not None
    assert (exact.every_seconds, exact.every_at) == (14 * 86_400, None)
    assert (cron.every_seconds, cron.every_at) == (None, None)
    assert other.every_at == "09:00"
    assert schedule_id(exact) != schedule_id(spec)
    assert not same_schedule(exact, spec)


def test_an_interval_of_a_program() -> None:
    schedule = CronSchedule.from_interval(
        weeks=2, at="09:00", tz="Europe/Berlin", anchor=datetime(2026, 3, 16, tzinfo=UTC)
    )
    fires = schedule.upcoming(2, datetime(2026, 3, 16, 12, tzinfo=UTC))
    assert fires == [datetime(2026, 3, 30, 7, tzinfo=UTC), datetime(2026, 4, 13, 7, tzinfo=UTC)]
    assert schedule.matches(fires[0])
    assert schedule.describe() == "every 2 weeks at 09:00"
    with pytest.raises(ValueError, match="whole days"):
        CronSchedule.from_interval(hours=36, at="09:00")
    with pytest.raises(ValueError, match="anchor needs at"):
        CronSchedule.from_interval(hours=36, anchor=fires[0])


async def test_fires_across_a_clock_change_are_caught_up_with_their_instants(tmp_path: Path) -> None:
    async with world(tmp_path, datetime(2026, 3, 26, 12, tzinfo=UTC)) as w:
        await w.add(
            every_seconds=86_400.0, every_at="02:30", timezone="Europe/Berlin", catchup="all", overlap="allow"
        )
    async with world(tmp_path, datetime(2026, 3, 30, 12, tzinfo=UTC)) as w:
        await w.loop.refresh()
        await w.loop.fire_due()
        locals_ = [local for local, outcome, _ in await w.fires() if outcome == "started"]
        assert locals_ == ["2026-03-27T02:30", "2026-03-28T02:30", "2026-03-29T03:00", "2026-03-30T02:30"]
        rows = await w.rows("SELECT state FROM run_states WHERE after_attempt = 0 ORDER BY run_key")
        spans = [
            (run["interval_start"], run["interval_end"])
            for (row,) in rows
            for run in [json.loads(row)["_run"]]
        ]
        assert spans == [
            ("2026-03-26T01:30:00Z", "2026-03-27T01:30:00Z"),
            ("2026-03-27T01:30:00Z", "2026-03-28T01:30:00Z"),
            ("2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z"),
            ("2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
        ]
