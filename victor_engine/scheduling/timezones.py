"""Time zones by IANA name, with the instants at which their offset changes."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

CALENDAR_CHANGE = 3 * 3600
"""Seconds up to which a change of the offset is a change of the clock. A longer one, such as a move of the date line,
is a change of calendar: nothing fires for the times that it skips, as in cronie."""

_NO_ZONES = ("posix/", "right/", "posixrules", "localtime", "Factory")
"""Entries of the zone database that depend on the machine or count leap seconds."""


@lru_cache(maxsize=1024)
def get_zone(name: str) -> ZoneInfo:
    """Return the zone of an IANA name. Raise ValueError with the most similar name if it does not exist."""
    try:
        if str(name).startswith(_NO_ZONES):
            raise ValueError(name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        known = sorted(zone for zone in available_timezones() if not zone.startswith(_NO_ZONES))
        folded = {zone.casefold(): zone for zone in known}
        close = get_close_matches(str(name).casefold(), list(folded), n=1, cutoff=0.5)
        if not close:
            cities = {zone.rsplit("/", 1)[-1].casefold(): zone for zone in known}
            found = get_close_matches(str(name).casefold(), list(cities), n=1, cutoff=0.5)
            hint = cities[found[0]] if found else "UTC"
        else:
            hint = folded[close[0]]
        raise ValueError(f"the time zone {name!r} does not exist; did you mean {hint!r}?") from None


def _offset(zone: ZoneInfo, seconds: int) -> int:
    offset = (_EPOCH + timedelta(seconds=seconds)).astimezone(zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


class Zone:
    """A zone as a list of offset changes, computed year by year on demand.

    Instants and wall times are integer seconds; a wall time is counted as if it were UTC.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.info = get_zone(name)
        self._years: dict[int, list[tuple[int, int, int]]] = {}

    def _year(self, year: int) -> list[tuple[int, int, int]]:
        """Return the changes of a year as (instant, offset before, offset after)."""
        found = self._years.get(year)
        if found is None:
            found = []
            start = int((datetime(year, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds())
            end = (
                int((datetime(year + 1, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) if year < 9999 else start
            )
            before = _offset(self.info, start - 1) if year > 1 else 0
            low = start - 1
            while low < end - 1:
                high = min(low + 86_400, end - 1)
                after = _offset(self.info, high)
                if after != before:
                    a, b = low, high
                    while b - a > 1:
                        middle = (a + b) // 2
                        if _offset(self.info, middle) == before:
                            a = middle
                        else:
                            b = middle
                    found.append((b, before, after))
                    before = after
                low = high
            self._years[year] = found
        return found

    def offset(self, instant: int) -> int:
        return _offset(self.info, instant)

    def next_change(self, instant: int, horizon: int) -> tuple[int, int, int] | None:
        """Return the first change after `instant` up to `horizon`, or None."""
        year = (_EPOCH + timedelta(seconds=instant)).year
        last = (_EPOCH + timedelta(seconds=horizon)).year
        while year <= last:
            changes = self._year(year)
            index = bisect_right(changes, instant, key=lambda change: change[0])
            if index < len(changes):
                return changes[index] if changes[index][0] <= horizon else None
            year += 1
        return None

    def gap(self, wall: int) -> tuple[int, int, int] | None:
        """Return the change, as (instant, offset before, offset after), that skips a wall time; None if none does."""
        early, late = self._offsets(wall)
        if early >= late:
            return None
        inside = wall - early
        change = self.next_change(inside - 2 * 86_400, inside + 2 * 86_400)
        while change is not None and not (change[0] + change[1] <= wall < change[0] + change[2]):
            change = self.next_change(change[0], inside + 2 * 86_400)
        return change

    def skips(self, wall: int) -> bool:
        """Return whether a change of calendar skips a wall time, so that it has no instant; see `CALENDAR_CHANGE`."""
        change = self.gap(wall)
        return change is not None and change[2] - change[1] > CALENDAR_CHANGE

    def instant_of(self, wall: int) -> tuple[int, int]:
        """Return the instant of a wall time, and its fold: in an overlap the first, in a gap the first after it."""
        change = self.gap(wall)
        return (change[0] if change is not None else wall - self._offsets(wall)[0]), 0

    def _offsets(self, wall: int) -> tuple[int, int]:
        """Return the offsets of a wall time with fold 0 and 1. In a gap, the first is the offset before it."""
        local = (_EPOCH + timedelta(seconds=wall)).replace(tzinfo=self.info)
        early = local.utcoffset()
        late = local.replace(fold=1).utcoffset()
        assert early is not None
        assert late is not None
        return int(early.total_seconds()), int(late.total_seconds())


@lru_cache(maxsize=1024)
def zone_table(name: str) -> Zone:
    return Zone(name)
