"""Fires that move to another day if a calendar excludes theirs: `on_excluded: next_day` or `previous_day`.

An excluded fire moves to the same wall time of the nearest day in that direction that no calendar excludes, over at
most `FARTHEST` days. The times of the schedule are then the moved instants: the run is for such an instant, and fires
that move to the same instant are one fire. A fire that cannot move stays, and is skipped as excluded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from victor_engine.api import ScheduleSpec
from victor_engine.errors import UsageError, VictorError
from victor_engine.exclusion import Excluded
from victor_engine.scheduling.cron import CronSchedule
from victor_engine.scheduling.timezones import Zone

FARTHEST = 31
"""The maximum number of days by which a fire moves."""

MOST_A_DAY = 24
"""The maximum number of fires of a cron expression on one day for which fires can move."""

_DAY = timedelta(days=1)
_SPAN = timedelta(days=FARTHEST + 2)
"""More than the longest move, with the clock changes in it."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)


def check_moves(spec: ScheduleSpec, cron: CronSchedule | None) -> None:
    """Raise UsageError if `on_excluded` has no effect with the other settings of a spec."""
    if spec.on_excluded == "skip":
        return
    if spec.after is not None:
        raise UsageError("on_excluded needs times that can move; a schedule with after has none")
    if not spec.exclude:
        raise UsageError(f"on_excluded: {spec.on_excluded} needs exclude with the names of calendars")
    if cron is not None and cron.most_a_day > MOST_A_DAY:
        raise UsageError(
            f"on_excluded: {spec.on_excluded} needs at most {MOST_A_DAY} fires a day, not {cron.most_a_day}"
        )
    if spec.every_seconds is not None and spec.every_seconds < _DAY.total_seconds():
        raise UsageError(f"on_excluded: {spec.on_excluded} needs an interval of at least a day")


@dataclass(frozen=True, slots=True)
class Move:
    """A fire by the times of the schedule, and the instant to which it moved because of a calendar."""

    origin: datetime
    instant: datetime
    reason: str


class MovedFires:
    """The fires of a spec after their moves.

    Args:
        spec: The spec, with `on_excluded` other than skip.
        raw: Returns the first instant after another by the times of the spec, without moves.
        zone: The time zone of the spec.
        minutes: The minutes of the day at which it fires; None if they are not known.
        excluded: Returns the calendar that excludes an instant.
    """

    def __init__(
        self,
        spec: ScheduleSpec,
        raw: Callable[[datetime], datetime | None],
        zone: Zone,
        minutes: frozenset[int] | None,
        excluded: Excluded,
    ) -> None:
        self._spec = spec
        self._raw = raw
        self._zone = zone
        self._minutes = minutes
        self._excluded = excluded
        self._forward = spec.on_excluded == "next_day"

    def move(self, instant: datetime) -> Move:
        """Return the move of a fire. Its instant is the same if no calendar excludes it, or if it cannot move."""
        reason = self._reason(instant)
        if reason is None:
            return Move(instant, instant, "")
        local = instant.astimezone(self._zone.info).replace(tzinfo=UTC)
        wall = (local - _EPOCH) // _SECOND
        for days in range(1, FARTHEST + 1):
            there = wall + (days if self._forward else -days) * 86_400
            if self._zone.skips(there):
                continue
            found = datetime.fromtimestamp(self._zone.instant_of(there)[0], UTC)
            if self._reason(found) is None:
                return Move(instant, found, reason)
        return Move(instant, instant, reason)

    def _reach(self, instant: datetime) -> datetime:
        """Return the instant up to which fires can move over `instant`, in the direction against their moves.

        No fire moves over a day on which no calendar excludes a time of the schedule.
        """
        way = -1 if self._forward else 1
        if self._minutes is None:
            return instant + way * _SPAN
        walls = {minute * 60 for minute in self._minutes}
        start, end = (int((instant + sign * _SPAN - _EPOCH).total_seconds()) for sign in (-1, 1))
        change = self._zone.next_change(start, end)
        while change is not None:  # a fire in a gap has the wall time after it
            walls.add((change[0] + change[2]) % 86_400)
            change = self._zone.next_change(change[0], end)
        today = (instant.astimezone(self._zone.info).replace(tzinfo=UTC) - _EPOCH).days
        for days in range(1, FARTHEST + 1):
            midnight = (today + way * days) * 86_400
            if all(self._is_free(midnight + wall) for wall in walls):
                edge = midnight if self._forward else midnight + 86_400
                return datetime.fromtimestamp(self._zone.instant_of(edge)[0], UTC) + way * _HOUR
        return instant + way * _SPAN

    def _is_free(self, wall: int) -> bool:
        if self._zone.skips(wall):
            return False
        return self._reason(datetime.fromtimestamp(self._zone.instant_of(wall)[0], UTC)) is None

    def _reason(self, instant: datetime) -> str | None:
        try:
            return self._excluded(self._spec, instant, self._zone.info)
        except VictorError:
            return None  # the fire stays, and its decision reports the error of the calendar

    def moves(self, after: datetime, until: datetime) -> list[Move]:
        """Return the moves whose origin or instant is after `after` up to `until`, by origin."""
        first, last = (self._reach(after), until) if self._forward else (after, self._reach(until))
        return [
            move
            for move in map(self.move, self._between(first, last))
            if after < move.instant <= until or after < move.origin <= until
        ]

    def between(self, after: datetime, until: datetime) -> list[datetime]:
        """Return the fires after `after` up to `until`, in order."""
        return sorted({m.instant for m in self.moves(after, until) if after < m.instant <= until})

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first fire strictly after `instant`."""
        last = None
        at = instant
        while (origin := self._raw(at)) is not None:
            at = origin
            last = self.move(origin).instant
            if last > instant:  # a fire can move before the instant
                break
        if last is None or last <= instant:
            last = instant + _SPAN  # only fires before the instant are left, which can move past it
        found = self.between(instant, last)
        return found[0] if found else None

    def previous_before(self, instant: datetime, longest: timedelta) -> datetime | None:
        """Return the last fire before `instant` that is at most `longest` before it."""
        span = _SPAN
        while span <= 2 * longest:
            found = self.between(max(_EARLIEST, instant - span), instant - timedelta(microseconds=1))
            if found:
                return found[-1]
            span *= 4
        return None

    def _between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the instants by the times of the spec after `after` up to `until`."""
        at = after
        while (found := self._raw(at)) is not None and found <= until:
            yield found
            at = found


_EARLIEST = datetime(2, 1, 1, tzinfo=UTC)
