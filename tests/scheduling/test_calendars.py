"""Exclusion calendars: every form, days and hours across clock changes, and what is no calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from victor_engine.config.model import CalendarSource
from victor_engine.config.yaml_locations import parse_yaml
from victor_engine.errors import VictorError
from victor_engine.scheduling.calendars.spans import Calendar, instant
from victor_engine.scheduling.calendars.workspace_calendars import Calendars
from victor_engine.scheduling.calendars.yaml_calendars import from_block

BERLIN = ZoneInfo("Europe/Berlin")
UTC_ZONE = ZoneInfo("UTC")


def calendar(text: str) -> Calendar:
    source = parse_yaml(text, "c.yaml")
    return from_block("c", source.data, source, ())


def at(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


FORMS = {
    "dates: [2026-12-25]": (["2026-12-24T23:00", "2026-12-25T22:59"], ["2026-12-24T22:59", "2026-12-25T23:00"]),
    "dates: ['12-31']": (["2026-12-31T12:00", "2031-12-31T12:00"], ["2026-12-30T12:00"]),
    "dates: ['02-29']": (["2028-02-29T12:00"], ["2027-02-28T12:00", "2027-03-01T12:00"]),
    "ranges: [{from: 2026-12-24T18:00, to: 2026-12-27}]": (
        ["2026-12-24T17:00", "2026-12-27T22:59"], ["2026-12-24T16:59", "2026-12-27T23:00"],
    ),
    "ranges: [{from: '2026-12-24T18:00+00:00', to: '2026-12-24T19:00+00:00'}]": (
        ["2026-12-24T18:30"], ["2026-12-24T17:30"],
    ),
    "weekly: [{days: [sat, sun]}]": (
        ["2026-03-27T23:00", "2026-03-29T21:59"], ["2026-03-27T22:59", "2026-03-29T22:00"],
    ),
    "weekly: [{days: [mon], from: '22:00', to: '02:00'}]": (
        ["2026-03-30T20:00", "2026-03-30T23:59"], ["2026-03-30T19:59", "2026-03-31T00:00"],
    ),
    "recurring: [{cron: '0 22 * * 6', for: 4h}]": (
        ["2026-03-28T21:00", "2026-03-29T00:59"], ["2026-03-28T20:59", "2026-03-29T01:00"],
    ),
    "timezone: Asia/Tokyo\ndates: [2026-05-05]": (
        ["2026-05-04T15:00", "2026-05-05T14:59"], ["2026-05-05T15:00"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", FORMS)
def test_forms(text: str) -> None:
    inside, outside = FORMS[text]
    found = calendar(text)
    assert all(found.excludes(at(moment), BERLIN) for moment in inside)
    assert not any(found.excludes(at(moment), BERLIN) for moment in outside)


def test_names_are_the_reasons() -> None:
    found = calendar("dates: [{date: 2026-12-26, name: Boxing Day}]")
    assert found.excludes(at("2026-12-26T10:00"), UTC_ZONE) == "Boxing Day"


def test_a_day_that_the_clock_cuts_short_is_that_day() -> None:
    found = calendar("dates: [2026-03-29]")
    (span,) = found.spans(at("2026-03-01"), at("2026-04-01"), BERLIN)
    assert span.end - span.start == timedelta(hours=23)
    assert instant(date(2026, 3, 29), time(2, 30), BERLIN) == at("2026-03-29T01:00")
    assert instant(date(2026, 10, 25), time(2, 30), BERLIN) == at("2026-10-25T00:30")


@settings(max_examples=150)
@given(
    st.datetimes(datetime(2025, 11, 1), datetime(2027, 2, 1)),
    st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia"]),
)
def test_excludes_agrees_with_its_spans(moment: datetime, zone: str) -> None:
    found = calendar(
        """
        dates: [2026-12-25, '01-01', '10-25', 2026-03-29]
        ranges: [{from: 2026-06-30T12:00, to: 2026-08-02}, {from: 2026-07-01, to: 2026-07-01}]
        weekly: [{days: [sun]}, {days: [tue], from: "23:30", to: "01:15"}]
        recurring: [{cron: "0 2 L * *", for: 90m}]
        """
    )
    instant = moment.replace(tzinfo=UTC)
    spans = found.spans(instant - timedelta(days=60), instant + timedelta(days=60), ZoneInfo(zone))
    inside = any(span.start <= instant < span.end for span in spans)
    assert (found.excludes(instant, ZoneInfo(zone)) is not None) == inside


def test_a_month_is_worked_out_once() -> None:
    found = calendar("weekly: [{days: [sun]}]")
    for hour in range(400):
        found.excludes(at("2026-03-02") + timedelta(hours=hour), UTC_ZONE)
    assert found.expansions == 1


ICS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//
BEGIN:VEVENT
UID:1
DTSTART;VALUE=DATE:20261225
DTEND;VALUE=DATE:20261227
SUMMARY:Christmas
END:VEVENT
BEGIN:VEVENT
UID:2
DTSTART;TZID=America/New_York:20260302T220000
DTEND;TZID=America/New_York:20260303T010000
RRULE:FREQ=WEEKLY
EXDATE;TZID=America/New_York:20260309T220000
SUMMARY:Maintenance
END:VEVENT
BEGIN:VEVENT
UID:3
DTSTART;VALUE=DATE:20260401
SUMMARY:Free
TRANSP:TRANSPARENT
END:VEVENT
BEGIN:VEVENT
UID:4
DTSTART;VALUE=DATE:20260402
SUMMARY:Called off
STATUS:CANCELLED
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")


def test_an_icalendar_file(tmp_path: Path) -> None:
    (tmp_path / "c.ics").write_bytes(ICS.encode())
    found = Calendars({}, tmp_path).get("c.ics")
    assert found.excludes(at("2026-12-24T23:00"), BERLIN) == "Christmas"
    assert found.excludes(at("2026-12-26T22:59"), BERLIN) == "Christmas"
    assert found.excludes(at("2026-12-26T23:00"), BERLIN) is None
    assert found.excludes(at("2026-03-03T03:30"), BERLIN) == "Maintenance"
    assert found.excludes(at("2026-03-10T02:30"), BERLIN) is None
    # Their clocks have changed, ours have not: the event follows its own.
    assert found.excludes(at("2026-03-17T02:30"), BERLIN) == "Maintenance"
    assert found.excludes(at("2026-04-01T12:00"), BERLIN) is None
    assert found.excludes(at("2026-04-02T12:00"), BERLIN) is None
    names = [span.name for span in found.spans(at("2026-12-20"), at("2026-12-30"), BERLIN)]
    assert names == ["Maintenance", "Christmas", "Maintenance"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("c.ics", b"\x00\x01binary", "not an iCalendar file"),
        ("c.ics", b"", "not an iCalendar file"),
        (
            "c.ics",
            b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:x\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
            "no start",
        ),
        (
            "c.ics",
            b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:nonsense\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
            "c.ics",
        ),
        ("c.ics", b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n", "c.ics"),
        ("c.yaml", b"\xff\xfe", "not UTF-8"),
        ("c.yaml", b"", "is empty"),
        ("c.yaml", b"dates: [", "c.yaml:1"),
        ("c.yaml", b"days: [2026-01-01]", "unknown key 'days'. Did you mean"),
        ("c.yaml", b"dates: [2026-13-01]", "c.yaml:1:9: not valid YAML: '2026-13-01' is not a valid value"),
        ("c.yaml", b"dates: 2026-12-01", "must be a list"),
        ("c.yaml", b"\ndates:\n  - {day: 3}", "c.yaml:3:"),
        ("c.yaml", b"ranges: [{from: 2026-01-02, to: 2026-01-01}]", "is not after"),
        ("c.yaml", b"weekly: [{days: [someday]}]", "not a day of the week"),
        ("c.yaml", b"weekly: [{days: [mon], from: late}]", "not a time of day"),
        ("c.yaml", b"recurring: [{cron: '61 * * * *', for: 1h}]", "Invalid cron expression"),
        ("c.yaml", b"recurring: [{cron: '@daily', for: 90d}]", "not a duration up to 31 days"),
        ("c.yaml", b"timezone: Europe/Berlim\ndates: [2026-01-01]", "did you mean 'Europe/Berlin'"),
        ("c.yaml", b"description: nothing", "has no entries"),
    ],
)
def test_what_is_no_calendar(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VictorError) as caught:
        Calendars({}, tmp_path).get(name)
    assert words in caught.value.message
    assert str(tmp_path / name) in caught.value.message


def test_names(tmp_path: Path) -> None:
    source = parse_yaml(
        "calendars:\n  holidays: {dates: [2026-01-01]}\n  bad: {dates: [x]}\n  odd: 3\n", "victor.yaml"
    )

    def declared(name: str) -> CalendarSource:
        value: Any = source.data["calendars"][name]
        return CalendarSource(value=value, source=source, key_path=("calendars", name))

    known = Calendars({name: declared(name) for name in source.data["calendars"]}, tmp_path)
    assert known.get("holidays").excludes(at("2026-01-01T10:00"), UTC_ZONE)
    assert set(known.errors()) == {"bad", "odd"}
    assert known.errors()["bad"].message.startswith("victor.yaml:3:")
    for name, words in (
        ("holliday", "Did you mean 'holidays'"), ("../x.ics", "is outside the workspace"), ("gone.ics", "No such file"),
    ):  # fmt: skip
        with pytest.raises(VictorError, match=words):
            known.get(name)
