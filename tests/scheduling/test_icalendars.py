"""iCalendar files: recurrences, exceptions and zones, and what is refused with its line."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from victor_engine.errors import UsageError
from victor_engine.scheduling.calendars.icalendar_files import read_events
from victor_engine.scheduling.calendars.spans import Calendar
from victor_engine.scheduling.calendars.yaml_calendars import from_file

BERLIN = ZoneInfo("Europe/Berlin")


def event(*lines: str, uid: str | None = "1", summary: str = "x") -> str:
    head = [f"UID:{uid}"] if uid else []
    return "\n".join(["BEGIN:VEVENT", *head, f"SUMMARY:{summary}", *lines, "END:VEVENT"])


def file(*parts: str) -> bytes:
    text = "\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//t//", *parts, "END:VCALENDAR", ""])
    return text.replace("\n", "\r\n").encode()


def calendar(tmp_path: Path, *parts: str) -> Calendar:
    (tmp_path / "c.ics").write_bytes(file(*parts))
    return from_file("c", tmp_path / "c.ics")


def january(found: Calendar, zone: ZoneInfo = BERLIN) -> list[str]:
    """Starts in January 2026, as wall time."""
    spans = found.spans(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC), zone)
    return [f"{span.start.astimezone(zone):%d %H:%M}" for span in spans]


WEEKLY = ("DTSTART;VALUE=DATE:20260102", "RRULE:FREQ=WEEKLY;COUNT=4")


def test_one_recurrence_is_cancelled_another_moved_and_a_third_does_not_count(tmp_path: Path) -> None:
    found = calendar(
        tmp_path,
        event(*WEEKLY),
        event("RECURRENCE-ID;VALUE=DATE:20260109", "DTSTART;VALUE=DATE:20260109", "STATUS:CANCELLED"),
        event("RECURRENCE-ID;VALUE=DATE:20260116", "DTSTART;VALUE=DATE:20260118"),
        event("RECURRENCE-ID;VALUE=DATE:20260123", "DTSTART;VALUE=DATE:20260123", "TRANSP:TRANSPARENT"),
    )
    assert january(found) == ["02 00:00", "18 00:00"]


def test_additional_days_and_periods(tmp_path: Path) -> None:
    found = calendar(
        tmp_path,
        event("DTSTART;VALUE=DATE:20260102", "RDATE;VALUE=DATE:20260105"),
        event(
            "DTSTART:20260110T100000Z", "DURATION:PT1H", "RDATE;VALUE=PERIOD:20260112T100000Z/PT3H", uid="2"
        ),
    )
    assert january(found) == ["02 00:00", "05 00:00", "10 11:00", "12 11:00"]
    assert found.excludes(datetime(2026, 1, 12, 12, 30, tzinfo=UTC), BERLIN) == "x"


def test_events_without_an_id_are_not_one_series(tmp_path: Path) -> None:
    other = ("DTSTART;VALUE=DATE:20260105", "RRULE:FREQ=WEEKLY;COUNT=2")
    found = calendar(tmp_path, event(*WEEKLY, uid=None), event(*other, uid=None))
    assert january(found) == [f"{day:02} 00:00" for day in (2, 5, 9, 12, 16, 23)]


def test_zones_of_the_file(tmp_path: Path) -> None:
    zone = "BEGIN:VTIMEZONE\nTZID:Plant\nBEGIN:STANDARD\nDTSTART:19700101T000000"
    zone += "\nTZOFFSETFROM:+0300\nTZOFFSETTO:+0300\nEND:STANDARD\nEND:VTIMEZONE"
    hour = "DURATION:PT1H"
    found = calendar(
        tmp_path,
        "X-WR-TIMEZONE:Asia/Tokyo",
        zone,
        event("DTSTART;TZID=Plant:20260102T100000", hour),
        event("DTSTART;TZID=W. Europe Standard Time:20260103T100000", hour, uid="2"),
        event("DTSTART:20260104T100000", hour, uid="3"),
        event("DTSTART:20260105T100000Z", hour, uid="4"),
    )
    assert january(found) == ["02 08:00", "03 10:00", "04 02:00", "05 11:00"]


def test_a_time_without_a_zone_is_of_the_schedules_zone(tmp_path: Path) -> None:
    found = calendar(tmp_path, event("DTSTART:20260104T100000", "DURATION:PT1H"))
    assert january(found) == january(found, ZoneInfo("Asia/Tokyo")) == ["04 10:00"]


def test_zones_a_day_apart(tmp_path: Path) -> None:
    """An hour on Sunday in the west is in the first hours of Tuesday in the east."""
    rule = "DTSTART;TZID=Pacific/Niue:20260329T230000\nDTEND;TZID=Pacific/Niue:20260329T235900"
    for lines in ([rule], [rule, "RRULE:FREQ=YEARLY"]):
        found = calendar(tmp_path, event(*lines))
        inside = datetime(2026, 3, 30, 10, 30, tzinfo=UTC)
        assert f"{inside.astimezone(ZoneInfo('Pacific/Kiritimati')):%d %H:%M}" == "31 00:30"
        assert found.excludes(inside, ZoneInfo("Pacific/Kiritimati")) == "x"


def test_long_events_are_found_in_their_midst(tmp_path: Path) -> None:
    short = [event(f"DTSTART;VALUE=DATE:202601{day:02}", uid=str(day)) for day in range(2, 20)]
    found = calendar(tmp_path, event("DTSTART;VALUE=DATE:20250601", "DTEND;VALUE=DATE:20270601"), *short)
    assert found.excludes(datetime(2026, 5, 1, tzinfo=UTC), BERLIN) == "x"


def test_thousands_of_single_days_are_not_looked_through_one_by_one() -> None:
    days = [date(1990, 1, 1) + timedelta(days=7 * number) for number in range(3000)]
    parts = [event(f"DTSTART;VALUE=DATE:{day:%Y%m%d}", uid=str(n)) for n, day in enumerate(days)]
    events = read_events(file(*parts), Path("c.ics"))
    assert len(events.between(date(2026, 1, 1), date(2026, 1, 31))) < 9


FAULTS = {
    "no beginning": (event("DTEND:20260101T000000Z"), 4, "has no start"),
    "beginning": (event("DTSTART:nonsense"), 7, "'x': DTSTART cannot be read"),
    "rule": (event("DTSTART;VALUE=DATE:20260102", "RRULE:FREQ=OFTEN"), 8, "RRULE cannot be read"),
    "exception": (event(*WEEKLY, "EXDATE:never"), 9, "EXDATE cannot be read"),
    "step of zero": (event(WEEKLY[0], "RRULE:FREQ=DAILY;INTERVAL=0"), 8, "INTERVAL must be at least 1"),
    "seconds": (event(WEEKLY[0], "RRULE:FREQ=SECONDLY"), 8, "too often for a calendar"),
    "never": (event(WEEKLY[0], "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"), 8, "never recurs"),
    "never, counted": (event(WEEKLY[0], "RRULE:FREQ=HOURLY;COUNT=3;BYYEARDAY=400"), 8, "never recurs"),
    "zone": (
        event("DTSTART;TZID=Europe/Nowhere:20260102T100000"),
        7,
        "the time zone 'Europe/Nowhere' does not exist",
    ),
    "backwards": (event("DTSTART:20260102T100000Z", "DTEND:20260102T090000Z"), 8, "ends before it starts"),
    "day and time": (event("DTSTART:20260102T100000Z", "DTEND;VALUE=DATE:20260103"), 7, "same type"),
    "end of time": (event("DTSTART;VALUE=DATE:99991231"), 7, "cannot be read"),
    "default zone": ("X-WR-TIMEZONE:Nowhere", 4, "the time zone 'Nowhere' does not exist"),
    "odd line": ("what is this", 4, "'what is this' is not a line of an iCalendar file"),
    "cut off": ("BEGIN:VEVENT", 5, "END:VCALENDAR has no matching BEGIN"),
    "parts in parts": ("BEGIN:X\n" * 3000, 13, "nested more than 10 levels deep"),
    "never until long after": (
        event("DTSTART:20260101T000000Z", "RRULE:FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30;UNTIL=99991231T000000Z"),
        8,
        "never recurs",
    ),
    "two": ("END:VCALENDAR\nBEGIN:VCALENDAR", 5, "a second calendar begins here"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_have_their_line(fault: str) -> None:
    part, line, words = FAULTS[fault]
    with pytest.raises(UsageError) as caught:
        read_events(file(part), Path("c.ics"))
    assert caught.value.message.startswith(f"c.ics:{line}: ")
    assert words in caught.value.message
    assert caught.value.details["line"] == line
    assert caught.value.details["remedy"]


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=MONTHLY;BYMONTH=1,2;BYMONTHDAY=-31",
        "FREQ=WEEKLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO",
        "FREQ=DAILY;BYYEARDAY=-366",
        "FREQ=YEARLY;BYMONTH=12;BYYEARDAY=366",
        "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=5",
        "FREQ=DAILY;BYMONTH=2",
    ],
)
def test_a_rule_that_recurs_rarely_is_accepted(rule: str) -> None:
    read_events(file(event("DTSTART;VALUE=DATE-TIME:20260131T050000", f"RRULE:{rule}")), Path("c.ics"))


@pytest.mark.parametrize(
    "data",
    [b"", b"\0\xff\xfe", b"BEGIN:VCALENDAR\r\n\0\0:", b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:x"],
    ids=["empty", "binary", "binary line", "cut off"],
)
def test_what_is_no_calendar(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"c\.ics:\d: "):
        read_events(data, Path("c.ics"))


def test_a_recurrence_that_fails_later_is_said_as_an_error_of_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import recurring_ical_events

    events = read_events(file(event(*WEEKLY)), Path("c.ics"))

    def fail(*_: object) -> list[object]:
        raise ValueError("odd")

    monkeypatch.setattr(recurring_ical_events.CalendarQuery, "between", fail)
    with pytest.raises(UsageError, match=r"c\.ics: cannot compute a recurrence between .*: odd"):
        events.between(date(2026, 1, 1), date(2026, 1, 31))
