"""Recurrence rules of iCalendar files (RFC 5545) that would make the libraries search without end."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

_HORIZON = 41
"""Years within which a rule must recur. February 29 on a given weekday can take 40 years."""


def endless(rule: Any, start: date) -> str:
    """Return why a search for the recurrences of a rule would take too long; empty if it would not."""
    from dateutil.rrule import rrulestr

    frequency = str(_first(rule, "FREQ") or "").upper()
    if frequency in ("SECONDLY", "MINUTELY"):
        return f"recurs {frequency}, which is too often for a calendar"
    interval = _first(rule, "INTERVAL")
    if interval is not None and int(interval) < 1:
        return f"recurs with INTERVAL={interval}, but INTERVAL must be at least 1"
    tried = type(rule)({key: value for key, value in rule.items() if key not in ("COUNT", "UNTIL")})
    begin = datetime.combine(day_of(start), start.time() if isinstance(start, datetime) else time())
    end = begin.replace(year=min(begin.year + _HORIZON, 9999), day=min(begin.day, 28))
    until = _first(rule, "UNTIL")
    if until is not None and day_of(until) <= end.date():
        return ""
    for each in (*_days(tried), tried):
        text = f"{each.to_ical().decode()};UNTIL={end:%Y%m%dT%H%M%S}"
        if next(iter(rrulestr(text, dtstart=begin)), None) is None:
            return f"never recurs: its rule matches no day within {_HORIZON} years"
    return ""


def _days(rule: Any) -> list[Any]:
    """Return the rule of the days that a rule allows, if it limits them: without one, it never recurs.

    A year is one step of its search. A search for the hours of a rule takes seconds to find none.
    """
    limits = {key: rule[key] for key in ("BYMONTH", "BYMONTHDAY", "BYYEARDAY") if key in rule}
    return [type(rule)({"FREQ": "YEARLY", **limits})] if limits.keys() - {"BYMONTH"} else []


def _first(rule: Any, key: str) -> Any:
    values = rule.get(key)
    return values[0] if isinstance(values, list) and values else values


def day_of(moment: date) -> date:
    """Return the day of a date or a datetime."""
    return moment.date() if isinstance(moment, datetime) else moment
