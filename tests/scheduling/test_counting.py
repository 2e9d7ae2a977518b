"""Counting fires agrees with going through them one by one, in every zone and across its changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from victor_engine.api import ScheduleSpec
from victor_engine.scheduling.timing import Timing

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca",
    "Asia/Kolkata", "America/St_Johns",
)  # fmt: skip
CRONS = (
    "*/7 * * * *", "30 2 * * *", "0 0 1 * *", "15,45 1-3 * * 1-5", "* 2 * * *", "0 */2 L * *", "10 1 * * 0#2",
    "*/30 1,2 28-31 3,10 *", "0 0 29 2 *", "59 23 * * 5L", "0 12 15W * *",
)  # fmt: skip
CREATED = datetime(2020, 1, 1, 7, 31, tzinfo=UTC)


def one_by_one(timing: Timing, after: datetime, until: datetime) -> int:
    count = 0
    while (nominal := timing.next_after(after)) is not None and nominal.instant <= until:
        count += 1
        after = nominal.instant
    return count


@settings(max_examples=60)
@given(
    st.sampled_from(CRONS),
    st.sampled_from(ZONES),
    st.datetimes(datetime(2009, 1, 1), datetime(2013, 1, 1)),
    st.integers(0, 60 * 24 * 400),
)
def test_cron(expression: str, zone: str, start: datetime, minutes: int) -> None:
    after = start.replace(tzinfo=UTC)
    until = after + timedelta(minutes=minutes)
    timing = Timing(ScheduleSpec(workflow="w", cron=expression, timezone=zone), "a" * 12, CREATED)
    assert timing.count(after, until) == one_by_one(timing, after, until)


@settings(max_examples=100)
@given(st.integers(1, 10_000), st.integers(-5000, 5000), st.integers(0, 100_000))
def test_intervals(seconds: int, offset: int, length: int) -> None:
    after = CREATED + timedelta(seconds=offset)
    timing = Timing(ScheduleSpec(workflow="w", every_seconds=seconds), "a" * 12, CREATED)
    until = after + timedelta(seconds=length)
    assert timing.count(after, until) == one_by_one(timing, after, until)


@pytest.mark.parametrize("limit", ["none", "start_date", "end_date"])
def test_start_and_end_count(limit: str) -> None:
    limits: dict[str, Any] = {} if limit == "none" else {limit: CREATED + timedelta(days=2)}
    timing = Timing(ScheduleSpec(workflow="w", cron="0 * * * *", **limits), "a" * 12, CREATED)
    after, until = CREATED - timedelta(days=1), CREATED + timedelta(days=4)
    assert timing.count(after, until) == one_by_one(timing, after, until)


def test_ten_years_of_minutes() -> None:
    timing = Timing(ScheduleSpec(workflow="w", cron="* * * * *", timezone="Europe/Berlin"), "a" * 12, CREATED)
    tick = timedelta(microseconds=1)
    start, end = datetime(2010, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
    assert timing.count(start - tick, end - tick) == (end - start) // timedelta(minutes=1)
