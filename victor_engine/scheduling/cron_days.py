"""The days of a month that the day fields of a cron expression match."""

from __future__ import annotations

from calendar import monthrange

from victor_engine.scheduling.cron_fields import ParsedField


def matching_days(by_day: ParsedField, by_week: ParsedField, year: int, month: int) -> int:
    """Return the matching days of a month as bits, bit 1 for its first day."""
    first_weekday, length = monthrange(year, month)
    first = (first_weekday + 1) % 7  # 0 is Sunday
    valid = ((1 << length) - 1) << 1
    days = by_day.bits
    if by_day.last:
        days |= 1 << length
    if by_day.last_weekday:
        days |= 1 << _nearest_weekday(length, first, length)
    for number in by_day.nearest:
        if number <= length:
            days |= 1 << _nearest_weekday(number, first, length)
    week = 0
    for number in range(1, length + 1):
        if by_week.bits >> ((first + number - 1) % 7) & 1:
            week |= 1 << number
    for weekday, k in by_week.nth:
        number = 1 + (weekday - first) % 7 + 7 * (k - 1)
        if number <= length:
            week |= 1 << number
    for weekday in by_week.last_of:
        last = length - (first + length - 1 - weekday) % 7
        week |= 1 << last
    joined = days & week if by_day.star or by_week.star else days | week
    return joined & valid


def _nearest_weekday(number: int, first: int, length: int) -> int:
    """Return the weekday nearest to a day of the month, within the same month."""
    weekday = (first + number - 1) % 7
    if weekday == 6:  # Saturday
        return number - 1 if number > 1 else number + 2
    if weekday == 0:  # Sunday
        return number + 1 if number < length else number - 2
    return number
