"""One exclusion calendar: its rules, and the spans of time that they make.

The spans are worked out month by month and zone by zone, when they are first needed.
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
"""Months, over all zones, that a calendar keeps worked out."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Half-open, in UTC: `end` is not part of it."""

    start: datetime
    end: datetime
    name: str


class Rule(ABC):
    """One entry of a calendar."""

    @property
    def weight(self) -> float:
        """How much work it is to find the spans of a month: 1 is some microseconds."""
        return 1

    @abstractmethod
    def spans(self, first: date, last: date, zone: ZoneInfo) -> list[Span]:
        """What overlaps the days from `first` to `last`, both included, on the wall of `zone`; more does no harm."""


def instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Wall time as an instant; in a gap of the clock the first moment after it, in an overlap the first pass."""
    found = datetime.combine(day, at, zone)
    back = found.astimezone(UTC).astimezone(zone)
    if back.replace(tzinfo=None) != found.replace(tzinfo=None):
        # Read by the offset after the gap, a skipped wall time lies before it; by the one before, after it.
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
    """Days and times at which nothing is to fire. Immutable; days are days in the schedule's zone.

    Where the calendar names a zone of its own, its days and wall times are of that zone.
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
        """The mapping that it was read from, if it was one."""
        self._zone = zone
        self._months: dict[tuple[str, int, int], tuple[list[datetime], list[Span]]] = {}
        self.expansions = 0
        """How many months have been worked out."""

    @property
    def weight(self) -> float:
        """See `Rule.weight`."""
        return sum(rule.weight for rule in self.rules)

    def excludes(self, instant: datetime, zone: ZoneInfo) -> str | None:
        """The name of what leaves `instant` out, or None."""
        zone = self._zone or zone
        local = instant.astimezone(zone)
        starts, reach = self._month(zone, local.year, local.month)
        place = bisect_right(starts, instant) - 1
        if place >= 0 and reach[place].end > instant:
            return reach[place].name
        return None

    def spans(self, start: datetime, end: datetime, zone: ZoneInfo) -> list[Span]:
        """All spans that overlap the time from `start` up to `end`, by their start."""
        zone = self._zone or zone
        first, last = start.astimezone(zone).date(), end.astimezone(zone).date()
        found = {span for rule in self.rules for span in rule.spans(first, last, zone)}
        return sorted(span for span in found if span.end > start and span.start < end)

    def _month(self, zone: ZoneInfo, year: int, month: int) -> tuple[list[datetime], list[Span]]:
        """Starts in order, and for each the span that reaches furthest of those that have started by then."""
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
