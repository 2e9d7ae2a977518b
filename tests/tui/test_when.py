"""Times as people type them, in either direction, over changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from victor_tui.schedules.time_fields import RangeError, parse_range, parse_span, parse_until

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
NOW = datetime(2026, 3, 10, 14, 5, tzinfo=UTC)
"""A Tuesday; 15:05 in Berlin."""


def local(text: str, zone: ZoneInfo = BERLIN, *, ahead: bool) -> str:
    return f"{parse_span(text, NOW, zone, ahead=ahead).start.astimezone(zone):%a %Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("monday", "Mon 2026-03-16 00:00"),
        ("next monday", "Mon 2026-03-16 00:00"),
        ("mon 07:30", "Mon 2026-03-16 07:30"),
        ("tue", "Tue 2026-03-17 00:00"),
        ("tuesday 15:04", "Tue 2026-03-17 15:04"),
        ("Tue 15:06", "Tue 2026-03-10 15:06"),
        ("tomorrow 08:00", "Wed 2026-03-11 08:00"),
        ("tomorrow", "Wed 2026-03-11 00:00"),
        ("08:00", "Wed 2026-03-11 08:00"),
        ("16:00", "Tue 2026-03-10 16:00"),
        ("90m", "Tue 2026-03-10 16:35"),
        ("+2w", "Tue 2026-03-24 15:05"),
        ("2026-03-30 07:30", "Mon 2026-03-30 07:30"),
        ("2026-03-30T07:30", "Mon 2026-03-30 07:30"),
        ("2026-03-30T07:30Z", "Mon 2026-03-30 09:30"),
        ("2026-04-01", "Wed 2026-04-01 00:00"),
    ],
)
def test_what_is_to_come(text: str, means: str) -> None:
    assert local(text, ahead=True) == means
    until = parse_until(text, NOW, BERLIN)
    assert until is not None
    assert until.start > NOW


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("02:30", "Tue 2026-03-10 02:30"),
        ("16:00", "Mon 2026-03-09 16:00"),
        ("yesterday 02:00", "Mon 2026-03-09 02:00"),
        ("mon", "Mon 2026-03-09 00:00"),
        ("last friday 23:15", "Fri 2026-03-06 23:15"),
        ("tue 16:00", "Tue 2026-03-03 16:00"),
        ("-7d", "Tue 2026-03-03 15:05"),
        ("3h", "Tue 2026-03-10 12:05"),
        ("last night", "Mon 2026-03-09 18:00"),
        ("last week", "Mon 2026-03-02 00:00"),
        ("last month", "Sun 2026-02-01 00:00"),
    ],
)
def test_what_lies_behind(text: str, means: str) -> None:
    assert local(text, ahead=False) == means


def test_a_day_is_a_span_also_when_it_has_23_hours() -> None:
    day = parse_span("2026-03-29", NOW, BERLIN, ahead=False)
    assert (day.end - day.start).total_seconds() == 23 * 3600
    assert day.kind == "day"


def test_a_time_that_the_clocks_leave_out_is_the_end_of_the_gap() -> None:
    span = parse_span("2026-03-08 02:30", NOW, NEW_YORK, ahead=False)
    assert span.start == datetime(2026, 3, 8, 7, tzinfo=UTC)
    assert "02:30 does not exist on that day: clocks go forward to 03:00" in span.note


def test_of_a_time_that_comes_twice_the_first_is_meant() -> None:
    span = parse_span("2025-11-02 01:30", NOW, NEW_YORK, ahead=False)
    assert span.start == datetime(2025, 11, 2, 5, 30, tzinfo=UTC)
    assert "occurs twice" in span.note


@pytest.mark.parametrize(
    "text", ["soon", "25:00", "mon 99", "2026-02-30", "9999999d", "999999w", "", "next", "mo"]
)
def test_what_is_no_time_says_what_would_be(text: str) -> None:
    for ahead in (True, False):
        with pytest.raises(ValueError, match=r"Write|calendar|hours are|too far"):
            parse_span(text, NOW, BERLIN, ahead=ahead)


def test_until_is_empty_or_ahead() -> None:
    assert parse_until("  ", NOW, BERLIN) is None
    with pytest.raises(ValueError, match="passed"):
        parse_until("2026-03-10", NOW, BERLIN)


def test_a_range_ends_with_its_period_or_now() -> None:
    start, end = parse_range("last week", "", NOW, BERLIN)
    assert (
        f"{start.astimezone(BERLIN):%a %d}, {end.astimezone(BERLIN):%a %d %H:%M:%S}"
        == "Mon 02, Sun 08 23:59:59"
    )
    assert parse_range("-7d", "", NOW, BERLIN)[1] == NOW
    assert parse_range("2026-03-01", "", NOW, BERLIN)[1] == NOW
    _, end = parse_range("2026-03-01", "2026-03-03", NOW, BERLIN)
    assert f"{end.astimezone(BERLIN):%d %H:%M:%S}" == "03 23:59:59"
    for start_text, end_text, field in (
        ("", "", "from"),
        ("x", "", "from"),
        ("-7d", "x", "to"),
        ("-1d", "-2d", "to"),
    ):
        with pytest.raises(RangeError) as caught:
            parse_range(start_text, end_text, NOW, BERLIN)
        assert caught.value.field == field
