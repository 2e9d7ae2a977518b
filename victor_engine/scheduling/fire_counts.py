"""The number of fires of a cron schedule in a span, computed without listing them."""

from __future__ import annotations

from calendar import monthrange
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from victor_engine.scheduling.cron import CronSchedule

_DAY_ZERO = date(1970, 1, 1).toordinal()


def count(schedule: CronSchedule, after: int, until: int) -> int:
    """Return the number of fires after `after` up to `until`, both in whole seconds since the epoch.

    While the offset of the zone is constant, fires are the matching wall minutes. Around each change of the offset,
    fires are counted one by one.
    """
    if until <= after:
        return 0
    if schedule.interval is not None:
        return until // schedule.interval - after // schedule.interval
    zone = schedule.zone
    total, at = 0, after
    while at < until:
        change = zone.next_change(at, until + 172_800)
        if change is None:
            return total + _plain(schedule, at, until, zone.offset(at))
        around = abs(change[2] - change[1]) + 3600
        calm = min(until, change[0] - around)
        if calm > at:
            total += _plain(schedule, at, calm, zone.offset(at))
            at = calm
        end = min(until, change[0] + around)
        while (found := schedule.next_seconds(at)) is not None and found <= end:
            total += 1
            at = found
        at = max(at, end)
    return total


def _plain(schedule: CronSchedule, after: int, until: int, offset: int) -> int:
    """Return the number of fires in a span with a constant offset."""
    first, last = (after + offset) // 60, (until + offset) // 60
    if len(schedule.alternatives) > 1:
        return _of_several(schedule, first, last)
    (low, rest_low), (high, rest_high) = divmod(first, 1440), divmod(last, 1440)
    if low == high:
        return _of_day(schedule, high, rest_high) - _of_day(schedule, low, rest_low)
    a_day = schedule.fields[0].bits.bit_count() * schedule.fields[1].bits.bit_count()
    rest = _of_day(schedule, low, 1439) - _of_day(schedule, low, rest_low)
    return rest + _days(schedule, low + 1, high) * a_day + _of_day(schedule, high, rest_high)


def _of_several(schedule: CronSchedule, first: int, last: int) -> int:
    """Return the number of wall minutes after `first` up to `last` that match any of several expressions."""
    total = 0
    joined: dict[tuple[bool, ...], int] = {}
    (low, rest_low), (high, rest_high) = divmod(first, 1440), divmod(last, 1440)
    for number in range(low, high + 1):
        day = date.fromordinal(_DAY_ZERO + number)
        found = tuple(
            bool(each.days_of(day.year, day.month) >> day.day & 1) for each in schedule.alternatives
        )
        minutes = joined.get(found)
        if minutes is None:
            minutes = 0
            for each, matches in zip(schedule.alternatives, found, strict=True):
                minutes |= each.day_minutes if matches else 0
            joined[found] = minutes
        if number == high:
            minutes &= (1 << (rest_high + 1)) - 1
        if number == low:
            minutes &= -1 << (rest_low + 1)
        total += minutes.bit_count()
    return total


def _of_day(schedule: CronSchedule, day_number: int, minute: int) -> int:
    """Return the number of matching minutes of a day up to and including `minute`."""
    day = date.fromordinal(_DAY_ZERO + day_number)
    if not schedule.days_of(day.year, day.month) >> day.day & 1:
        return 0
    minutes, hours = schedule.fields[0].bits, schedule.fields[1].bits
    hour, minute_of_hour = divmod(minute, 60)
    found = (hours & ((1 << hour) - 1)).bit_count() * minutes.bit_count()
    if hours >> hour & 1:
        found += (minutes & ((1 << (minute_of_hour + 1)) - 1)).bit_count()
    return found


def _days(schedule: CronSchedule, first: int, end: int) -> int:
    """Return the number of matching days from `first` up to, but not including, `end`."""
    total = 0
    while first < end:
        day = date.fromordinal(_DAY_ZERO + first)
        length = monthrange(day.year, day.month)[1]
        last = min(day.day + end - first - 1, length)
        wanted = ((1 << (last + 1)) - 1) & ~((1 << day.day) - 1)
        total += (schedule.days_of(day.year, day.month) & wanted).bit_count()
        first += last - day.day + 1
    return total
