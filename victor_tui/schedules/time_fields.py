"""The parsers of the time fields of dialogs: an end in the future, and a range in the past."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

from victor_engine.inputs import Span, parse_span

__all__ = ["RangeError", "Span", "parse_range", "parse_span", "parse_until"]


def parse_until(text: str, now: datetime, zone: tzinfo | None) -> Span | None:
    """Return a future instant (the start of a day), or None for an empty text.

    Raises ValueError with the remedy.
    """
    if not text.strip():
        return None
    found = parse_span(text, now, zone, ahead=True)
    if found.start <= now:
        raise ValueError("That time has passed.")
    return found


def parse_range(start: str, end: str, now: datetime, zone: tzinfo | None) -> tuple[datetime, datetime]:
    """Return the two ends of a past range, both included.

    A period such as `last week` fills both where `end` is empty; otherwise an empty end is now.
    Raises RangeError with the field.
    """
    if not start.strip():
        raise RangeError("from", "Enter a start: last week, -7d or 2026-03-01.")
    try:
        first = parse_span(start, now, zone, ahead=False)
    except ValueError as error:
        raise RangeError("from", str(error)) from None
    tick = timedelta(microseconds=1)
    if not end.strip():
        closed = first.kind == "period" or start.strip().lower() in ("yesterday", "today")
        return first.start, min(first.end - tick, now) if closed else now
    try:
        last = parse_span(end, now, zone, ahead=False)
    except ValueError as error:
        raise RangeError("to", str(error)) from None
    until = last.end if last.kind == "instant" else last.end - tick
    if until < first.start:
        raise RangeError("to", "The end is before the start.")
    return first.start, until


class RangeError(ValueError):
    """An invalid range. `field` is `from` or `to`."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
