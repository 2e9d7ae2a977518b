"""Intervals of whole days at a wall time: `every: 2 weeks at 09:00`.

The wall time stays the same when the clocks change. In a gap of the clock it is the first instant after the gap; a
wall time that occurs twice is the first time; nothing fires on a day that a change of calendar skips. A cron
expression with fixed times has the same rules.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from victor_engine.errors import UsageError
from victor_engine.scheduling.timezones import Zone

_DAY_ZERO = date(1970, 1, 1).toordinal()
_LAST_DAY = date(9998, 12, 31).toordinal() - _DAY_ZERO
_DAY = 86_400

_TEXT = re.compile(r"(?:(\d{1,4})\s*)?(d|days?|w|weeks?)\s+at\s+(\S+)", re.IGNORECASE)
_AT = re.compile(r"\s+at\s+", re.IGNORECASE)


def is_wall_interval(value: object) -> bool:
    """Return whether the value of `every` is an interval with a wall time: text with the word `at`."""
    return isinstance(value, str) and _AT.search(value) is not None


def read_wall_interval(text: str) -> tuple[float, str]:
    """Return the seconds of the days of `2 weeks at 09:00`, and the wall time `09:00`.

    Raise UsageError if `text` is not such an interval.
    """
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise UsageError(
            f"{text!r} is not an interval with a wall time; write a number of days or weeks and a time of day: "
            "2 weeks at 09:00"
        )
    days = int(found[1] or 1) * (7 if found[2][0] in "wW" else 1)
    if days == 0:
        raise UsageError(
            f"{text!r} is less than a day; an interval with a wall time must be at least one day"
        )
    return float(days * _DAY), wall_time(found[3])


def wall_time(text: str) -> str:
    """Return a time of day as `HH:MM`. Raise UsageError if it is not one."""
    if re.fullmatch(r"\d{1,2}:\d{2}", text):
        try:
            return time.fromisoformat(text.zfill(5)).strftime("%H:%M")
        except ValueError:
            pass
    raise UsageError(f"{text!r} is not a time of day; write hours and minutes: 09:00")


def wall_interval_text(seconds: float, at: str) -> str:
    """Return an interval as it is written in a file: `2 weeks at 09:00`."""
    days = round(seconds) // _DAY
    if days % 7:
        return f"{days} day{'s' if days > 1 else ''} at {at}"
    return f"{days // 7} week{'s' if days > 7 else ''} at {at}"


@dataclass(frozen=True, slots=True)
class WallInterval:
    """Fires every `days` days at the wall time `minute` (of the day) in a zone, from the day `first` on."""

    zone: Zone
    days: int
    minute: int
    first: int
    """The first day, in days since 1970-01-01."""

    @classmethod
    def create(cls, zone: Zone, seconds: float, at: str, anchor: datetime) -> WallInterval:
        """Return the interval whose first day is that of `anchor` in the zone."""
        days, rest = divmod(round(seconds), _DAY)
        if rest or seconds != round(seconds) or days < 1:
            raise UsageError(f"every must be whole days if it has a wall time, not {seconds:g} seconds")
        wall = wall_time(at)
        first = anchor.astimezone(zone.info).date().toordinal() - _DAY_ZERO
        return cls(zone, days, int(wall[:2]) * 60 + int(wall[3:]), first)

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first fire strictly after `instant`; None if there is none before 9999."""
        number = max(0, self._number(instant) - 1)
        while self.first + number * self.days <= _LAST_DAY:
            found = self._fire(number)
            if found is not None and found > instant:
                return found
            number += 1
        return None

    def previous_before(self, instant: datetime) -> datetime | None:
        """Return the last fire before `instant`; None if there is none."""
        number = self._number(instant) + 1
        while number >= 0:
            found = self._fire(number) if self.first + number * self.days <= _LAST_DAY else None
            if found is not None and found < instant:
                return found
            number -= 1
        return None

    def count(self, after: datetime, until: datetime) -> int:
        """Return the number of fires after `after` up to `until`."""
        total = 0
        while (found := self.next_after(after)) is not None and found <= until:
            total += 1
            after = found
        return total

    def _number(self, instant: datetime) -> int:
        """Return the number of the interval that contains the day of `instant`."""
        try:
            day = instant.astimezone(self.zone.info).date().toordinal()
        except OverflowError:
            day = instant.date().toordinal()
        return (day - _DAY_ZERO - self.first) // self.days

    def _fire(self, number: int) -> datetime | None:
        """Return the fire of an interval; None if a change of calendar skips it."""
        wall = (self.first + number * self.days) * _DAY + self.minute * 60
        if self.zone.skips(wall):
            return None
        return datetime.fromtimestamp(self.zone.instant_of(wall)[0], UTC)
