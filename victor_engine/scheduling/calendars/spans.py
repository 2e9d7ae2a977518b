"""An exclusion calendar: its rules, and their spans of time.

The spans are computed for each month and zone on demand.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

MAX_MONTHS = 600
"""The number of computed months, over all zones, that a calendar caches."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A span of time in UTC. `end` is not included."""

    start: datetime
    end: datetime
    name: str


class Rule(ABC):
    """One entry of a calendar."""

    @property
    def weight(self) -> float:
        """The cost of computing the spans of a month. 1 is some microseconds."""
        return 1

    @abstractmethod
    def spans(self, first: date, last: date, zone: ZoneInfo) -> list[Span]:
        """Return the spans that overlap the days from `first` to `last`, inclusive, in `zone`. It may return more."""


def instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Return the instant of a wall time: in a gap the first instant after it, in an overlap the first."""
    found = datetime.combine(day, at, zone)
    back = found.astimezone(UTC).astimezone(zone)
    if back.replace(tzinfo=None) != found.replace(tzinfo=None):
        # The offsets before and after the gap give instants on its two sides.
        found = found.replace(fold=1)
        late = found.astimezone(UTC)
        early = datetime.combine(day, at, zone).astimezone(UTC)
        low, high = min(late, early), max(late, early)
        while high - low > timedelta(seconds=1):
            middle = low + (high - low) / 2
            if middle.astimezone(zone).utcoffset() == high.astimezone(zone).utcoffset():
                high = middle
            else:
                low = middle
        return high.replace(microsecond=0)
    return found.astimezone(UTC)


class Calendar:
    """Days and times at which schedules do not fire. Immutable.

    Days and wall times are in the zone of the calendar or, if it has none, in the zone of the schedule.
    """

    def __init__(
        self,
        name: str,
        rules: Sequence[Rule],
        path: str | None = None,
        zone: ZoneInfo | None = None,
        block: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.path = path
        self.rules = tuple(rules)
        self.block = block
        """The mapping from which the calendar was read, or None."""
        self._zone = zone
        self._months: dict[tuple[str, int, int], tuple[list[datetime], list[Span]]] = {}
        self.expansions = 0
        """The number of months that have been computed."""

    @property
    def weight(self) -> float:
        """See `Rule.weight`."""
        return sum(rule.weight for rule in self.rules)

    def excludes(self, instant: datetime, zone: ZoneInfo) -> str | None:
        """Return the name of the entry that excludes `instant`, or None."""
        zone = self._zone or zone
        local = instant.astimezone(zone)
        starts, reach = self._month(zone, local.year, local.month)
        index = bisect_right(starts, instant) - 1
        if index >= 0 and reach[index].end > instant:
            return reach[index].name
        return None

    def spans(self, start: datetime, end: datetime, zone: ZoneInfo) -> list[Span]:
        """Return all spans that overlap the time from `start` up to `end`, sorted by their start."""
        zone = self._zone or zone
        first, last = start.astimezone(zone).date(), end.astimezone(zone).date()
        found = {span for rule in self.rules for span in rule.spans(first, last, zone)}
        return sorted(span for span in found if span.end > start and span.start < end)

    def _month(self, zone: ZoneInfo, year: int, month: int) -> tuple[list[datetime], list[Span]]:
        """Return the starts in order, and for each start the span with the latest end among the spans so far."""
        key = (zone.key, year, month)
        known = self._months.get(key)
        if known is None:
            first = date(year, month, 1)
            last = (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)
            found = sorted(span for rule in self.rules for span in rule.spans(first, last, zone))
            reach: list[Span] = []
            for span in found:
                reach.append(span if not reach or span.end > reach[-1].end else reach[-1])
            known = [span.start for span in found], reach
            self.expansions += 1
            if len(self._months) >= MAX_MONTHS:
                self._months.pop(next(iter(self._months)))
            self._months[key] = known
        return known
