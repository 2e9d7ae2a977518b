"""Cron schedules with the rules of cronie, for every IANA zone, computed with bit sets.

* Day of month and day of week are joined by OR, unless one of them starts with `*`: then by AND.
* A job with fixed minutes and hours whose time is in a gap of the clock fires at the first instant after the gap.
  In an overlap it fires once, the first time. Two times with the same instant fire once.
* A change of the offset by more than three hours is a change of calendar: nothing fires for the times that it skips.
* A job whose minute or hour starts with `*` is compared with the wall clock at every elapsed minute.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

from victor_engine.errors import UsageError
from victor_engine.scheduling.cron_days import matching_days
from victor_engine.scheduling.cron_fields import (
    DAY,
    FIELDS,
    HOUR,
    MINUTE,
    MONTH,
    WEEKDAY,
    CronSyntaxError,
    ParsedField,
    bit_set,
    parse_field,
    split_expression,
    split_list,
)
from victor_engine.scheduling.describe import describe
from victor_engine.scheduling.timezones import CALENDAR_CHANGE, Zone, zone_table
from victor_engine.scheduling.wall_interval import WallInterval, wall_interval_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_ZERO = date(1970, 1, 1).toordinal()
MAX_YEAR = 9998
_FIRST = -62_104_060_800
_LAST = 253_370_678_400
"""Seconds of 0002-01-01 and 9999-01-01. Between them, no offset exceeds the range of datetime."""

FULL = {MINUTE.name: (1 << 60) - 1, HOUR.name: (1 << 24) - 1, DAY.name: (1 << 32) - 2, MONTH.name: (1 << 13) - 2,
        WEEKDAY.name: (1 << 7) - 1}  # fmt: skip


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


def _seconds(instant: datetime) -> int:
    """Return the whole seconds since the epoch, rounded down."""
    delta = instant - _EPOCH
    return delta.days * 86_400 + delta.seconds


def same_times(one: str | None, other: str | None) -> bool:
    """Return whether two cron expressions have the same times, however they are written."""
    if one == other or one is None or other is None:
        return one == other
    try:
        read = [CronSchedule.from_cron(expression, hash_id="") for expression in (one, other)]
    except ValueError:
        return False
    first, second = ({each.fields for each in schedule.alternatives} for schedule in read)
    return first == second


@dataclass(frozen=True)
class CronSchedule:
    """The times of a cron expression or an interval. Created by `from_cron` or `from_interval`. Immutable.

    `minute`, `hour`, `day_of_month`, `month` and `day_of_week` (0 is Sunday) are sets of numbers.
    For an interval that divides neither hour nor day, `interval` is its length in seconds and the
    instants are multiples of it since midnight UTC of 1970-01-01. `wall` is set for an interval of whole days at a
    wall time. Several expressions are `alternatives`; the sets of numbers then have those of all of them.
    """

    expression: str
    timezone: str = "UTC"
    interval: int | None = None
    fields: tuple[ParsedField, ...] = field(default=(), repr=False)
    wall: WallInterval | None = field(default=None, repr=False)
    _several: tuple[CronSchedule, ...] = field(default=(), repr=False)
    _months: dict[int, int] = field(default_factory=dict, repr=False, compare=False)

    # --- construction --------------------------------------------------------------------------

    @classmethod
    def from_cron(cls, expression: str, tz: str = "UTC", hash_id: str | None = None) -> CronSchedule:
        """Return the schedule of a cron expression: five fields or an alias. `;` separates several expressions.

        Args:
            expression: The expression.
            tz: The IANA name of the time zone.
            hash_id: The text from which `H` derives its numbers. Without it, `H` is an error.

        Raise ValueError (`Invalid cron expression: …`) if the expression is not valid.
        """
        zone_table(tz)
        try:
            listed = split_list(expression)
            if len(listed) > 1:
                several = tuple(cls.from_cron(each, tz, hash_id) for each in listed)
                every = tuple(parse_field("*", spec) for spec in FIELDS)
                return cls("; ".join(each.expression for each in several), tz, None, every, _several=several)
            parts = split_expression(expression := listed[0])
            fields = tuple(parse_field(text, spec, hash_id) for text, spec in zip(parts, FIELDS, strict=True))
        except CronSyntaxError as error:
            raise ValueError(f"Invalid cron expression: {expression!r}: {error}") from None
        schedule = cls(" ".join(expression.split()), tz, None, fields)
        if schedule._next_wall(2000, 1, 1, 0, 0, 2400) is None:
            raise ValueError(
                f"Invalid cron expression: {expression!r}: no calendar has such a day, so it would never fire"
            )
        return schedule

    @classmethod
    def from_interval(
        cls,
        minutes: float = 0,
        hours: float = 0,
        days: float = 0,
        seconds: float = 0,
        *,
        weeks: float = 0,
        tz: str = "UTC",
        at: str | None = None,
        anchor: datetime | None = None,
    ) -> CronSchedule:
        """Return the schedule of an interval.

        An interval that divides the hour or the day is aligned to the wall clock; another one is exact elapsed time.
        With `at`, a wall time such as `09:00`, the interval is of whole days, from the day of `anchor` (default: today)
        on, and keeps the wall time across clock changes.

        Raise ValueError if the interval is not a positive whole number of seconds, or with `at` of days.
        """
        try:
            total = timedelta(
                weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds
            ).total_seconds()
        except (ValueError, OverflowError):
            raise ValueError("the interval is too long or not a number") from None
        if total <= 0:
            raise ValueError(f"the interval must be more than 0 seconds, not {total:g}")
        whole = round(total)
        if abs(whole - total) > 1e-9:
            raise ValueError(f"the interval must be a whole number of seconds, not {total:g}")
        if at is not None:
            try:
                wall = WallInterval.create(zone_table(tz), whole, at, anchor or datetime.now(UTC))
            except UsageError as error:
                raise ValueError(error.message) from None
            every = tuple(parse_field("*", spec) for spec in FIELDS)
            return cls(f"every {wall_interval_text(whole, at)}", tz, whole, every, wall)
        if anchor is not None:
            raise ValueError("anchor needs at, a wall time such as 09:00")
        if whole % 60 == 0 and 3600 % whole == 0 and whole < 3600:
            return cls.from_cron(f"*/{whole // 60} * * * *", tz)
        if whole == 3600:
            return cls.from_cron("0 * * * *", tz)
        if whole % 3600 == 0 and 86_400 % whole == 0:
            return cls.from_cron("0 0 * * *" if whole == 86_400 else f"0 */{whole // 3600} * * *", tz)
        zone_table(tz)
        return cls(f"every {whole}s", tz, whole, tuple(parse_field("*", spec) for spec in FIELDS))

    # --- fields --------------------------------------------------------------------------------

    @property
    def alternatives(self) -> tuple[CronSchedule, ...]:
        """The schedules of the expressions, one for each. A fire of any of them is a fire."""
        return self._several or (self,)

    def _numbers(self, position: int) -> frozenset[int]:
        return frozenset().union(*(bit_set(each.fields[position].bits) for each in self.alternatives))

    @cached_property
    def minute(self) -> frozenset[int]:
        return self._numbers(0)

    @cached_property
    def hour(self) -> frozenset[int]:
        return self._numbers(1)

    @cached_property
    def day_of_month(self) -> frozenset[int]:
        return self._numbers(2)

    @cached_property
    def month(self) -> frozenset[int]:
        return self._numbers(3)

    @cached_property
    def day_of_week(self) -> frozenset[int]:
        return self._numbers(4)

    @property
    def most_a_day(self) -> int:
        """The maximum number of fires of cron expressions on a day without a clock change."""
        return sum(
            each.fields[0].bits.bit_count() * each.fields[1].bits.bit_count() for each in self.alternatives
        )

    @cached_property
    def day_minutes(self) -> int:
        """The matching minutes of a matching day as bits, bit 0 for midnight."""
        minutes = self.fields[0].bits
        return sum(minutes << 60 * hour for hour in bit_set(self.fields[1].bits))

    @property
    def follows_wall_clock(self) -> bool:
        """Whether minute or hour starts with `*`, so that every minute is compared with the wall clock."""
        return self.fields[0].star or self.fields[1].star

    @property
    def zone(self) -> Zone:
        return self._zone

    def days_of(self, year: int, month: int) -> int:
        """Return the matching days of a month as bits, bit 1 for its first day; 0 for a month that does not match."""
        return self._days(year, month) if self.fields[3].bits >> month & 1 else 0

    @cached_property
    def _zone(self) -> Zone:
        return zone_table(self.timezone)

    def describe(self) -> str:
        """Return the description of the schedule in plain English."""
        if self._several:
            return "; ".join(each.describe() for each in self._several)
        return self.expression if self.wall is not None else describe(self.fields, self.interval)

    # --- instants ------------------------------------------------------------------------------

    def matches(self, instant: datetime) -> bool:
        """Return whether a fire is due in the minute of `instant`. A naive datetime is wall time in the zone."""
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=self._zone.info)
        start = _seconds(instant)
        if self.interval is None:
            start -= start % 60
        return _FIRST < start < _LAST and self.next_seconds(start - 1) == start

    def next_run(self, after: datetime | None = None) -> datetime | None:
        """Return the first instant strictly after `after` (default: now) in UTC; None if there is none before 9999."""
        if after is None:
            after = datetime.now(UTC)
        elif after.tzinfo is None:
            after = after.replace(tzinfo=self._zone.info)
        begin = max(_seconds(after), _FIRST)
        seconds = self.next_seconds(begin) if begin < _LAST else None
        return None if seconds is None else _EPOCH + timedelta(seconds=seconds)

    def upcoming(self, n: int, after: datetime | None = None) -> list[datetime]:
        """Return the next `n` instants."""
        found: list[datetime] = []
        current = after if after is not None else datetime.now(UTC)
        while len(found) < n:
            following = self.next_run(current)
            if following is None:
                break
            found.append(following)
            current = following
        return found

    def next_seconds(self, after: int) -> int | None:
        """Return the next instant after `after`, both in whole seconds since the epoch."""
        if self._several:
            return min(
                (n for each in self._several if (n := each.next_seconds(after)) is not None), default=None
            )
        if self.wall is not None:
            found = self.wall.next_after(_EPOCH + timedelta(seconds=after))
            return None if found is None else _seconds(found)
        if self.interval is not None:
            return (after // self.interval + 1) * self.interval
        return self._next_wall_clock(after) if self.follows_wall_clock else self._next_fixed(after)

    def _next_fixed(self, after: int) -> int | None:
        zone = self._zone
        if self.timezone == "UTC":
            return self._wall_from(after // 60 + 1)
        wall = (after + zone.offset(after)) // 60 + 1
        while True:
            found = self._wall_from(wall)
            if found is None:
                return None
            instant, _ = zone.instant_of(found)
            change = zone.gap(found) if instant > after else None
            if change is not None and change[2] - change[1] > CALENDAR_CHANGE:
                wall = -(-(change[0] + change[2]) // 60)  # the first wall time after the change
                continue
            if instant > after:
                return instant
            wall = found // 60 + 1

    def _next_wall_clock(self, after: int) -> int | None:
        zone = self._zone
        if self.timezone == "UTC":
            return self._wall_from(after // 60 + 1)
        offset = zone.offset(after)
        wall = (after + offset) // 60 + 1
        while True:
            found = self._wall_from(wall)
            if found is None:
                return None
            candidate = found - offset
            change = zone.next_change(after, candidate)
            if change is None:
                return candidate
            # The offset changes before the candidate: continue from the change with the new offset.
            after, offset = change[0] - 1, change[2]
            first = change[0] + offset
            wall = -(-first // 60)
            after = change[0]

    def _wall_from(self, minute: int) -> int | None:
        """Return the first matching wall time at or after `minute` (minutes since 1970), in seconds."""
        days, rest = divmod(minute, 1440)
        day = date.fromordinal(_DAY_ZERO + days)
        found = self._next_wall(day.year, day.month, day.day, rest // 60, rest % 60, MAX_YEAR)
        if found is None:
            return None
        year, month, day_number, hour, minute_number = found
        ordinal = date(year, month, day_number).toordinal() - _DAY_ZERO
        return ordinal * 86_400 + hour * 3600 + minute_number * 60

    def _next_wall(
        self, year: int, month: int, day: int, hour: int, minute: int, last_year: int
    ) -> tuple[int, int, int, int, int] | None:
        minutes, hours, months = self.fields[0].bits, self.fields[1].bits, self.fields[3].bits
        while year <= last_year:
            left = months >> month
            if not left:
                year, month, day, hour, minute = year + 1, _lowest(months), 1, 0, 0
                continue
            if not left & 1:
                month, day, hour, minute = month + _lowest(left), 1, 0, 0
            days = self._days(year, month) >> day
            if days:
                skip = _lowest(days)
                if skip:
                    return year, month, day + skip, _lowest(hours), _lowest(minutes)
                rest = hours >> hour
                if rest & 1:
                    tail = minutes >> minute
                    if tail:
                        return year, month, day, hour, minute + _lowest(tail)
                    rest &= ~1
                if rest:
                    return year, month, day, hour + _lowest(rest), _lowest(minutes)
                days &= ~1
                if days:
                    return year, month, day + _lowest(days), _lowest(hours), _lowest(minutes)
            month, day, hour, minute = month + 1, 1, 0, 0
        return None

    def _days(self, year: int, month: int) -> int:
        """Return the matching days of a month as bits."""
        key = year * 12 + month
        found = self._months.get(key)
        if found is None:
            if len(self._months) > 600:
                self._months.clear()
            found = self._months[key] = matching_days(self.fields[2], self.fields[4], year, month)
        return found

    def __hash__(self) -> int:
        return hash((self.expression, self.timezone, self.interval, self.wall))

    def to_data(self) -> dict[str, Any]:
        return {"expression": self.expression, "timezone": self.timezone, "interval": self.interval}
