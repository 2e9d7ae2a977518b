"""Natural time: times as operators type them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from victor_engine.errors import UsageError
from victor_engine.scheduling.natural_time import moment, stretch

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 25, 12, 0, tzinfo=UTC)  # a Wednesday, 13:00 in Berlin


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "future", "past"),
    [
        ("now", "2026-03-25T12:00", "2026-03-25T12:00"),
        ("14:00", "2026-03-25T13:00", "2026-03-24T13:00"),
        ("02:30", "2026-03-26T01:30", "2026-03-25T01:30"),
        ("monday", "2026-03-29T22:00", "2026-03-22T23:00"),
        ("mon 07:30", "2026-03-30T05:30", "2026-03-23T06:30"),
        ("wednesday", "2026-03-31T22:00", "2026-03-24T23:00"),
        ("tomorrow 08:00", "2026-03-26T07:00", "2026-03-26T07:00"),
        ("Yesterday", "2026-03-23T23:00", "2026-03-23T23:00"),
        ("-7d", "2026-03-18T12:00", "2026-03-18T12:00"),
        ("+90m", "2026-03-25T13:30", "2026-03-25T13:30"),
        ("4h", "2026-03-25T16:00", "2026-03-25T08:00"),
        ("2026-03-08", "2026-03-07T23:00", "2026-03-07T23:00"),
        ("2026-03-08 02:30", "2026-03-08T01:30", "2026-03-08T01:30"),
        ("2026-03-08T02:30+00:00", "2026-03-08T02:30", "2026-03-08T02:30"),
    ],
)
def test_moments(text: str, future: str, past: str) -> None:
    assert moment(text, NOW, BERLIN) == utc(future)
    assert moment(text, NOW, BERLIN, ahead=False) == utc(past)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("last week", "2026-03-15T23:00", "2026-03-22T23:00"),
        ("this week", "2026-03-22T23:00", "2026-03-29T22:00"),
        ("last month", "2026-01-31T23:00", "2026-02-28T23:00"),
        ("yesterday", "2026-03-23T23:00", "2026-03-24T23:00"),
        ("2026-03-29", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("02:30", "2026-03-25T01:30", "2026-03-25T01:31"),
        ("-7d", "2026-03-18T12:00", "2026-03-25T12:00"),
        ("2026-03-01..2026-03-03", "2026-02-28T23:00", "2026-03-03T23:00"),
        ("yesterday 10:00 to now", "2026-03-24T09:00", "2026-03-25T12:00"),
    ],
)
def test_spans(text: str, start: str, end: str) -> None:
    assert stretch(text, NOW, BERLIN) == (utc(start), utc(end))


@pytest.mark.parametrize("text", ["", "soon", "25:00", "2026-13-01", "m", "t 10:00"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError):
        moment(text, NOW, BERLIN)


def test_a_span_that_runs_backwards() -> None:
    with pytest.raises(UsageError, match="ends before it starts"):
        stretch("2026-03-03..2026-03-01", NOW, BERLIN)
