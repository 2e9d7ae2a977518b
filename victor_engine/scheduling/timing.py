"""The instants of a schedule's spec: cron, intervals, once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from victor_engine.api import ScheduleSpec
from victor_engine.errors import UsageError
from victor_engine.exclusion import Excluded, nothing_excluded
from victor_engine.scheduling.cron import CronSchedule
from victor_engine.scheduling.cron_fields import bit_set
from victor_engine.scheduling.describe import after_words, elapsed
from victor_engine.scheduling.fire_counts import count as count_cron
from victor_engine.scheduling.moved_fires import Move, MovedFires, check_moves
from victor_engine.scheduling.spec_clauses import check_after, check_expect, check_wait
from victor_engine.scheduling.timezones import get_zone, zone_table
from victor_engine.scheduling.wall_interval import WallInterval, wall_interval_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_LONGEST = timedelta(days=9 * 366)
"""The longest time between two fires of a cron expression: 29 February on a certain day of the week."""


_TRIGGERS = {"cron": "cron", "every": "every_seconds", "at": "at", "after": "after"}
"""The kinds of times: keys of a block, with the fields of a spec."""


@dataclass(frozen=True, slots=True)
class Nominal:
    """One nominal instant: in UTC, as wall time in the schedule's zone, and the fold of that wall time."""

    instant: datetime
    local: str
    fold: int


class Timing:
    """The times of a schedule. The constructor raises UsageError if the spec is not valid.

    `excluded` returns the calendar that excludes an instant. Fires move by it if `on_excluded` is not skip.
    """

    def __init__(
        self,
        spec: ScheduleSpec,
        schedule_id: str,
        created_at: datetime,
        excluded: Excluded = nothing_excluded,
    ) -> None:
        self.spec = spec
        self.schedule_id = schedule_id
        try:
            self._zone = get_zone(spec.timezone)
        except ValueError as error:
            raise UsageError(str(error)) from None
        ways = [
            name for name in ("cron", "every", "at", "after") if getattr(spec, _TRIGGERS[name]) is not None
        ]
        if len(ways) != 1:
            given = "none is given" if not ways else f"{' and '.join(ways)} are given"
            raise UsageError(f"a schedule needs exactly one of cron, every, at and after; {given}")
        if spec.start_date is not None and spec.end_date is not None and spec.end_date <= spec.start_date:
            raise UsageError(
                f"end_date {spec.end_date.isoformat()} is not after start_date {spec.start_date.isoformat()}"
            )
        if spec.max_active_runs < 1:
            raise UsageError("max_active_runs must be at least 1")
        if spec.max_runs is not None and spec.max_runs < 1:
            raise UsageError(f"max_runs must be at least 1, not {spec.max_runs}")
        if spec.pause_after_failures is not None and spec.pause_after_failures < 1:
            raise UsageError(f"pause_after_failures must be at least 1, not {spec.pause_after_failures}")
        for name in ("jitter", "misfire_grace", "catchup_window"):
            if (getattr(spec, name) or 0) < 0:
                raise UsageError(f"{name} must not be negative, but is {getattr(spec, name):g}")
        if spec.after is not None:
            check_after(spec.workflow, spec.after)
        if spec.expect is not None:
            check_expect(spec.expect)
        check_wait(spec)
        self._cron: CronSchedule | None = None
        if spec.cron is not None:
            try:
                self._cron = CronSchedule.from_cron(spec.cron, spec.timezone, hash_id=schedule_id)
            except ValueError as error:
                raise UsageError(str(error)) from None
        if spec.every_seconds is not None and spec.every_seconds < 1:
            raise UsageError(f"every must be at least one second, not {spec.every_seconds:g}")
        self._anchor = (spec.anchor or created_at).replace(microsecond=0)
        self._wall: WallInterval | None = None
        if spec.every_at is not None:
            if spec.every_seconds is None:
                raise UsageError("every_at needs every_seconds")
            self._wall = WallInterval.create(
                zone_table(spec.timezone), spec.every_seconds, spec.every_at, self._anchor
            )
        check_moves(spec, self._cron)
        self._moved: MovedFires | None = None
        if spec.on_excluded != "skip":
            self._moved = MovedFires(
                spec, self._raw, zone_table(spec.timezone), self._minutes_of_day(), excluded
            )

    @staticmethod
    def from_spec(spec: ScheduleSpec, schedule_id: str, created_at: datetime) -> Timing:
        return Timing(spec, schedule_id, created_at)

    @property
    def summary(self) -> str:
        """The times in plain English, with the zone if it is not UTC."""
        spec = self.spec
        if self._cron is not None:
            zone = "" if spec.timezone == "UTC" else f" ({spec.timezone})"
            return f"{self._cron.describe()}{zone}"
        if spec.every_seconds is not None and spec.every_at is not None:
            zone = "" if spec.timezone == "UTC" else f" ({spec.timezone})"
            return f"every {wall_interval_text(spec.every_seconds, spec.every_at)}{zone}"
        if spec.every_seconds is not None:
            return f"every {elapsed(spec.every_seconds)}"
        if spec.at is not None:
            local = spec.at.astimezone(self._zone)
            return f"once, at {local:%Y-%m-%d %H:%M} {spec.timezone}"
        assert spec.after is not None
        return after_words(spec.after)

    @property
    def zone(self) -> ZoneInfo:
        return self._zone

    def next_after(self, instant: datetime) -> Nominal | None:
        """Return the first nominal instant strictly after `instant`, between start_date and end_date, or None."""
        found = self._within(instant)
        return None if found is None else self.nominal(found)

    def _within(self, instant: datetime) -> datetime | None:
        spec = self.spec
        if spec.start_date is not None and instant < spec.start_date:
            instant = spec.start_date - timedelta(microseconds=1)
        found = self._next(instant)
        if found is None or (spec.end_date is not None and found > spec.end_date):
            return None
        return found

    def _minutes_of_day(self) -> frozenset[int] | None:
        """Return the minutes of the day at which cron expressions or a wall time fire; None for other times."""
        if self._cron is not None:
            return frozenset().union(*(bit_set(each.day_minutes) for each in self._cron.alternatives))
        return None if self._wall is None else frozenset({self._wall.minute})

    def _next(self, instant: datetime) -> datetime | None:
        return self._raw(instant) if self._moved is None else self._moved.next_after(instant)

    def moves(self, after: datetime, until: datetime) -> list[Move]:
        """Return the fires that calendars move into the span after `after` up to `until`, or out of it, by origin."""
        if self._moved is None:
            return []
        return [move for move in self._moved.moves(after, until) if move.instant != move.origin]

    def moved_words(self, instant: datetime) -> str:
        """Return the origins of a fire that moved, with the calendars that exclude them; empty if it did not move."""
        found = self.moves(instant - timedelta(microseconds=1), instant)
        return ", ".join(
            f"moved from {self.nominal(move.origin).local.replace('T', ' ')}, which {move.reason} excludes"
            for move in found
            if move.instant == instant
        )

    def _raw(self, instant: datetime) -> datetime | None:
        if self._cron is not None:
            return self._cron.next_run(instant)
        if self._wall is not None:
            return self._wall.next_after(instant)
        if self.spec.every_seconds is not None:
            step = timedelta(seconds=self.spec.every_seconds)
            if instant < self._anchor:
                return self._anchor
            return self._anchor + ((instant - self._anchor) // step + 1) * step
        if self.spec.at is not None:
            return self.spec.at if self.spec.at > instant else None
        return None

    def nominal(self, instant: datetime) -> Nominal:
        """Return the nominal instant of an instant. A fire moved out of a gap has the wall time after the gap."""
        if self.spec.every_seconds is not None and self._wall is None:
            return Nominal(instant, instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), 0)
        local = instant.astimezone(self._zone)
        text = local.strftime("%Y-%m-%dT%H:%M:%S" if local.second else "%Y-%m-%dT%H:%M")
        return Nominal(instant, text, local.fold)

    def due(self, nominal: Nominal) -> datetime:
        """Return when a fire is due: its nominal instant plus its jitter, and always before the next fire.

        The jitter is derived from the schedule's id and the nominal instant, so it is fixed for each fire.
        """
        if self.spec.jitter <= 0:
            return nominal.instant
        seed = hashlib.sha256(f"{self.schedule_id}/{nominal.local}/{nominal.fold}".encode()).digest()
        delay = self.spec.jitter * int.from_bytes(seed[:8], "big") / 2**64
        following = self._next(nominal.instant)
        if following is not None:
            delay = min(delay, max(0.0, (following - nominal.instant).total_seconds() - 1))
        return nominal.instant + timedelta(seconds=delay)

    def previous_before(self, instant: datetime) -> datetime | None:
        """Return the last nominal instant before `instant`, also one before start_date; None if there is none."""
        if self._moved is not None:
            return self._moved.previous_before(instant, _LONGEST)
        if self._wall is not None:
            return self._wall.previous_before(instant)
        if self.spec.every_seconds is not None:
            found = instant - timedelta(seconds=self.spec.every_seconds)
            return found if found >= self._anchor else None
        if self._cron is None:
            return None
        following = self._raw(instant)
        span = following - instant if following is not None else timedelta(days=1)
        while span <= _LONGEST:
            last = None
            after = instant - span - _SECOND
            while (after := self._cron.next_run(after) or instant) < instant:
                last = after
            if last is not None:
                return last
            span *= 2
        return None

    def instants(self, after: datetime) -> Iterator[datetime]:
        """Yield all instants after `after`, in order."""
        while (nominal := self._within(after)) is not None:
            yield nominal
            after = nominal

    def count(self, after: datetime, until: datetime) -> int:
        """Return the number of nominal instants after `after` up to `until`. The cost grows with the months between."""
        spec = self.spec
        if spec.start_date is not None:
            after = max(after, spec.start_date - timedelta(microseconds=1))
        if spec.end_date is not None:
            until = min(until, spec.end_date)
        if until <= after:
            return 0
        if self._moved is not None:
            return len(self._moved.between(after, until))
        if self._cron is not None:
            # Fires are whole seconds, and a fire at `after` does not count.
            return count_cron(self._cron, (after - _EPOCH) // _SECOND, (until - _EPOCH) // _SECOND)
        if self._wall is not None:
            return self._wall.count(after, until)
        if spec.every_seconds is not None:
            step = timedelta(seconds=spec.every_seconds)
            since = self._anchor
            return max(-1, (until - since) // step) - max(-1, (after - since) // step)
        return int(spec.at is not None and after < spec.at <= until)

    def upcoming(self, count: int, after: datetime) -> list[datetime]:
        found: list[datetime] = []
        while len(found) < count:
            following = self.next_after(found[-1] if found else after)
            if following is None:
                break
            found.append(following.instant)
        return found
