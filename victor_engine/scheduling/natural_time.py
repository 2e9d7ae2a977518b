"""Natural time: times as people type them, such as `02:30`, `mon 07:30`, `-7d`, `last week`, and ISO dates.

The result is a span. Callers show it in full before they use it, so that the user sees a misunderstanding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal

from victor_engine.errors import UsageError

Kind = Literal["instant", "day", "period"]

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AWAY = re.compile(r"([+-]?)\s*(\d{1,6})\s*([mhdw])\Z")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\Z")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")


class TimeTextError(UsageError, ValueError):
    """A text is not a time. The message lists the accepted forms."""


@dataclass(frozen=True, slots=True)
class Span:
    """A span from `start` up to, but not including, `end`, in UTC. An instant has the same start and end.

    `note` explains a wall time that does not exist or occurs twice.
    """

    start: datetime
    end: datetime
    kind: Kind = "instant"
    note: str = ""


def parse_span(text: str, now: datetime, zone: tzinfo | None, *, ahead: bool) -> Span:
    """Return the span of `text` in `zone` (None: the zone of the machine).

    A weekday, or a time without a day, is after `now` if `ahead` is true, and before it otherwise. Raise TimeTextError
    with the accepted forms if `text` is not a time.
    """
    try:
        return _span(" ".join(text.lower().split()), now, zone, ahead)
    except OverflowError:
        raise TimeTextError(f"{_short(text)} is too far from now.") from None


def _span(text: str, now: datetime, zone: tzinfo | None, ahead: bool) -> Span:
    here = now.astimezone(zone)
    today = here.date()
    if text == "now":
        return Span(now, now)
    if away := _AWAY.match(text):
        by = timedelta(**{_UNITS[away[3]]: int(away[2])})
        forward = away[1] == "+" or (not away[1] and ahead)
        at = now + by if forward else now - by
        return Span(at, at)
    if (period := _period(text, today, zone)) is not None:
        return period
    if (found := _iso_instant(text.upper())) is not None:
        return Span(found, found)
    word, _, rest = text.replace("t", " ", 1).partition(" ") if _looks_iso(text) else _words(text)
    if _CLOCK.match(word) and not rest:
        clock = _clock(word)
        span = _at(datetime.combine(today, clock), zone)
        late = span.start <= now if ahead else span.start > now
        if late:
            span = _at(datetime.combine(today + timedelta(days=1 if ahead else -1), clock), zone)
        return span
    day = _day(word, today, ahead)
    if day is None:
        raise _unknown(text, ahead)
    if not rest:
        if _is_weekday(word) and ahead and day == today:
            day += timedelta(days=7)
        return Span(_midnight(day, zone), _midnight(day + timedelta(days=1), zone), "day")
    if not _CLOCK.match(rest):
        raise _unknown(text, ahead)
    clock = _clock(rest)
    span = _at(datetime.combine(day, clock), zone)
    if _is_weekday(word):
        if ahead and span.start <= now:
            span = _at(datetime.combine(day + timedelta(days=7), clock), zone)
        elif not ahead and span.start > now:
            span = _at(datetime.combine(day - timedelta(days=7), clock), zone)
    return span


def _short(text: str) -> str:
    plain = "".join(sign if sign.isprintable() else "?" for sign in text)
    return plain if len(plain) <= 40 else f"{plain[:39]}…"


def _unknown(text: str, ahead: bool) -> TimeTextError:
    ways = (
        "90m, 4h, 2d, monday, mon 07:30, tomorrow 08:00 or 2026-03-10 14:00"
        if ahead
        else "02:30, yesterday 02:00, last night, last week, mon, -7d, 2026-03-08 or 2026-03-08 02:30"
    )
    return TimeTextError(f"{_short(text)} is not a time. Write {ways}.")


def _looks_iso(text: str) -> bool:
    return _DATE.match(text[:10]) is not None


def _words(text: str) -> tuple[str, str, str]:
    """Split a word from the rest. `last`, `next` and `on` before a weekday are dropped: `ahead` decides."""
    for lead in ("last ", "next ", "on "):
        text = text.removeprefix(lead)
    return text.partition(" ")


def _iso_instant(text: str) -> datetime | None:
    """Return an instant with an offset of its own, or None."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo is not None else None


def _clock(text: str) -> time:
    match = _CLOCK.match(text)
    assert match is not None
    try:
        return time(int(match[1]), int(match[2]), int(match[3] or 0))
    except ValueError:
        raise TimeTextError(f"{text} is not a time of day: hours are 0 to 23, minutes 0 to 59.") from None


def _is_weekday(word: str) -> bool:
    return len(word) >= 3 and any(name.startswith(word) for name in _DAYS)


def _day(word: str, today: date, ahead: bool) -> date | None:
    """Return the day of a word, or None. A weekday is today or the nearest one in the direction."""
    near = {"today": 0, "yesterday": -1, "tomorrow": 1}
    if word in near:
        return today + timedelta(days=near[word])
    if _DATE.match(word):
        try:
            return date.fromisoformat(word)
        except ValueError:
            raise TimeTextError(f"{word} is not a day of the calendar.") from None
    if _is_weekday(word):
        wanted = next(i for i, name in enumerate(_DAYS) if name.startswith(word))
        step = (wanted - today.weekday()) % 7 if ahead else -((today.weekday() - wanted) % 7)
        return today + timedelta(days=step)
    return None


def _period(text: str, today: date, zone: tzinfo | None) -> Span | None:
    week = today - timedelta(days=today.weekday())
    month = today.replace(day=1)
    before = (month - timedelta(days=1)).replace(day=1)
    if text == "last night":
        start = _at(datetime.combine(today - timedelta(days=1), time(18)), zone).start
        return Span(start, _at(datetime.combine(today, time(8)), zone).start, "period")
    days: dict[str, tuple[date, date]] = {
        "last week": (week - timedelta(days=7), week),
        "this week": (week, week + timedelta(days=7)),
        "last month": (before, month),
        "this month": (month, (month + timedelta(days=32)).replace(day=1)),
    }
    if text not in days:
        return None
    first, last = days[text]
    return Span(_midnight(first, zone), _midnight(last, zone), "period")


def _midnight(day: date, zone: tzinfo | None) -> datetime:
    return _at(datetime.combine(day, time()), zone).start


def _at(wall: datetime, zone: tzinfo | None) -> Span:
    """Return the instant of a wall time: in a gap the first after it, in an overlap the first, with a note."""
    early = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    late = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if early == late:
        return Span(early, early)
    if late > early:
        return Span(early, early, note=f"{wall:%H:%M} occurs twice on that day: the first time is used.")
    # In a gap, the two readings are on both sides of its end.
    before, after = late, early
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    end = after.replace(microsecond=0)
    note = f"{wall:%H:%M} does not exist on that day: clocks go forward to {end.astimezone(zone):%H:%M}."
    return Span(end, end, note=note)


def moment(text: str, now: datetime, zone: tzinfo | None, *, ahead: bool = True) -> datetime:
    """Return the instant of `text` in UTC; of a day, its first instant."""
    return parse_span(text, now, zone, ahead=ahead).start


def stretch(text: str, now: datetime, zone: tzinfo | None) -> tuple[datetime, datetime]:
    """Return the start and end of a past span: `yesterday`, `last week`, `A..B`, `-7d`.

    The end is not included. An instant is its minute; a distance such as `-7d` lasts until now.
    """
    for divider in ("..", " to ", " until "):
        left, found, right = text.partition(divider)
        if found and left.strip():
            first = parse_span(left, now, zone, ahead=False)
            last = parse_span(right.strip() or "now", now, zone, ahead=False)
            end = last.end if last.kind != "instant" else _after_minute(right, last.end)
            if end <= first.start:
                raise TimeTextError(f"{_short(text)} ends before it starts.")
            return first.start, end
    span = parse_span(text, now, zone, ahead=False)
    if span.kind != "instant":
        return span.start, span.end
    if _AWAY.match(" ".join(text.lower().split())) and span.start < now:
        return span.start, now
    return span.start, span.start + timedelta(minutes=1)


def _after_minute(text: str, instant: datetime) -> datetime:
    """Return the end of a span: a time of day includes its minute; now and a distance do not."""
    words = " ".join(text.lower().split())
    return instant if words in ("", "now") or _AWAY.match(words) else instant + timedelta(minutes=1)
