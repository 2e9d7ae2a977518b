"""Times as an operator says them: `02:30`, `yesterday 02:00`, `monday`, `-7d`, `last week`, ISO dates."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from victor_engine.definition.read import parse_duration
from victor_engine.errors import UsageError

Prefer = Literal["past", "future"]
"""Whether a weekday or a bare time of day means the last one or the next one."""

HINT = "write 02:30, yesterday 02:00, monday 07:30, -7d, 2026-03-08 or 2026-03-08T02:30"

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\Z")


def moment(text: str, now: datetime, zone: ZoneInfo, prefer: Prefer = "future") -> datetime:
    """The instant that is meant, in UTC; of a day without a time its first moment. UsageError otherwise."""
    return _read(text, now, zone, prefer)[0]


def span(text: str, now: datetime, zone: ZoneInfo, prefer: Prefer = "past") -> tuple[datetime, datetime]:
    """The first instant and the one after the last of what is meant: a day, a minute, a week, `A..B`."""
    words = " ".join(text.strip().lower().split())
    for divider in ("..", " to ", " until "):
        left, found, right = words.partition(divider)
        if found and left.strip():
            start = _read(left, now, zone, prefer)[0]
            end, length = _read(right or "now", now, zone, prefer)
            return _checked(start, _after(end, length, zone), text)
    today = now.astimezone(zone).date()
    named = _named_span(words, today)
    if named is not None:
        first, last = named
        return _midnight(first, zone), _midnight(last, zone)
    start, length = _read(text, now, zone, prefer)
    if words.startswith("-"):
        return _checked(start, now, text)
    return start, _after(start, length, zone)


def _named_span(words: str, today: date) -> tuple[date, date] | None:
    monday = today - timedelta(days=today.weekday())
    month = today.replace(day=1)
    match words:
        case "this week":
            return monday, monday + timedelta(days=7)
        case "last week":
            return monday - timedelta(days=7), monday
        case "next week":
            return monday + timedelta(days=7), monday + timedelta(days=14)
        case "this month":
            return month, _next_month(month)
        case "last month":
            return (month - timedelta(days=1)).replace(day=1), month
    return None


def _next_month(first: date) -> date:
    return (first + timedelta(days=32)).replace(day=1)


def _checked(start: datetime, end: datetime, text: str) -> tuple[datetime, datetime]:
    if end <= start:
        raise UsageError(f"{text!r} ends before it starts")
    return start, end


def _after(instant: datetime, length: str, zone: ZoneInfo) -> datetime:
    if length == "day":
        return _midnight(instant.astimezone(zone).date() + timedelta(days=1), zone)
    return instant + timedelta(minutes=1) if length == "minute" else instant


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _read(text: str, now: datetime, zone: ZoneInfo, prefer: Prefer) -> tuple[datetime, str]:
    """The instant, and how long it is: day, minute or nothing."""
    words = text.strip().lower().replace(",", " ").split()
    if not words:
        raise UsageError(f"no time is given; {HINT}")
    if words == ["now"]:
        return now, "nothing"
    relative = _relative(" ".join(words), now, prefer)
    if relative is not None:
        return relative, "nothing"
    local = now.astimezone(zone)
    clock = _CLOCK.match(words[-1])
    wall = _wall(clock, words[-1]) if clock else None
    if wall is not None and len(words) == 1:
        return _nearest(wall, local, zone, prefer), "minute"
    if words[0] == "last" and words[1:] == ["night"]:
        raise UsageError("last night is many instants; write yesterday, or yesterday 23:00")
    day = _day(words[0], local.date(), prefer) if len(words) == 1 + (wall is not None) else None
    if day is not None:
        if wall is None:
            return _midnight(day, zone), "day"
        return datetime.combine(day, wall, zone).astimezone(UTC), "minute"
    return _iso(text.strip(), zone)


def _relative(words: str, now: datetime, prefer: Prefer) -> datetime | None:
    sign = words[0]
    bare = words.lstrip("+-")
    if sign not in "+-" and not re.search(r"[a-z]\Z", bare):
        return None
    seconds = parse_duration(bare) if re.match(r"\d", bare) else None
    if seconds is None:
        return None
    back = sign == "-" or (sign != "+" and prefer == "past")
    return now - timedelta(seconds=seconds) if back else now + timedelta(seconds=seconds)


def _wall(clock: re.Match[str], text: str) -> time:
    try:
        return time(int(clock[1]), int(clock[2]), int(clock[3] or 0))
    except ValueError:
        raise UsageError(f"{text!r} is no time of day") from None


def _nearest(wall: time, local: datetime, zone: ZoneInfo, prefer: Prefer) -> datetime:
    found = datetime.combine(local.date(), wall, zone)
    if prefer == "past" and found > local:
        found = datetime.combine(local.date() - timedelta(days=1), wall, zone)
    if prefer == "future" and found <= local:
        found = datetime.combine(local.date() + timedelta(days=1), wall, zone)
    return found.astimezone(UTC)


def _day(word: str, today: date, prefer: Prefer) -> date | None:
    named = {"today": 0, "yesterday": -1, "tomorrow": 1}
    if word in named:
        return today + timedelta(days=named[word])
    matches = [index for index, name in enumerate(_DAYS) if len(word) >= 2 and name.startswith(word)]
    if len(matches) == 1:
        ahead = (matches[0] - today.weekday()) % 7
        return today + timedelta(days=ahead - 7 if prefer == "past" else ahead or 7)
    try:
        return date.fromisoformat(word)
    except ValueError:
        return None


def _iso(text: str, zone: ZoneInfo) -> tuple[datetime, str]:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time; {HINT}") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=zone)
    return found.astimezone(UTC), "minute"
