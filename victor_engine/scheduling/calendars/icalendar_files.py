"""iCalendar files (RFC 5545) as exclusion calendars. Each error has its line.

The libraries ignore some errors, and some rules would make them search without end. The reader refuses these: a
property that cannot be parsed, an unknown zone, an end before its start, a rule that never recurs.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

from victor_engine.errors import UsageError
from victor_engine.scheduling.calendars.icalendar_rules import day_of, endless
from victor_engine.scheduling.timezones import get_zone
from victor_engine.workers.serving import OverBudgetError

Occurrence = tuple[date, date, str]
"""Start, end and name. A date is a whole day; a naive datetime is wall time in the zone of the schedule."""

_MARGIN = timedelta(days=2)
"""Zones are up to 26 hours apart, so an event that overlaps a day in one zone can start two days earlier in another."""

_TIMES = ("DTSTART", "DTEND", "DURATION", "RECURRENCE-ID", "RRULE", "RDATE", "EXDATE")

_DEEPEST = 10
"""The maximum number of levels of nested components. An alarm in an event in a calendar has three."""

INSTALL = "pip install 'victor-tui[calendars]'"

_REMEDY = "Correct the file, or export the calendar again"
_LINE = re.compile(rb"[A-Za-z0-9-]+[;:]")


@dataclass(frozen=True, slots=True)
class _Line:
    """One unfolded content line. `number` is the number of its first line, from 1."""

    number: int
    name: str
    value: str


class Events:
    """The events of a file that exclude time."""

    def __init__(
        self, path: Path, single: Sequence[Occurrence], recurring: Any | None, text: str = ""
    ) -> None:
        self._path = path
        self.text = text
        """The recurring events as an iCalendar file."""
        self._single = sorted(single, key=lambda event: day_of(event[0]))
        self._starts = [day_of(event[0]) for event in self._single]
        self._longest = max((day_of(end) - day_of(start) for start, end, _ in single), default=timedelta())
        self._recurring = recurring

    @property
    def single(self) -> Sequence[Occurrence]:
        """The events without a recurrence."""
        return self._single

    @property
    def weight(self) -> float:
        """See `Rule.weight`. The cost of recurring events has no bound."""
        return float("inf") if self._recurring is not None else 5 + len(self._single) / 30

    def between(self, first: date, last: date) -> list[Occurrence]:
        """Return the events that overlap the days from `first` to `last` in any zone. It may return more.

        Raise UsageError if the library cannot compute a recurrence.
        """
        low = bisect_right(self._starts, first - _MARGIN - self._longest - timedelta(days=1))
        found = self._single[low : bisect_right(self._starts, last + _MARGIN)]
        if self._recurring is not None:
            try:
                events = self._recurring.between(first - _MARGIN, last + _MARGIN + timedelta(days=1))
                found += [(event.start, event.end, _name(event)) for event in events if _excludes(event)]
            except Exception as error:  # the library raises its own kinds for what is in a file
                raise UsageError(
                    f"{self._path}: cannot compute a recurrence between {first} and {last}: {error}",
                    path=str(self._path),
                ) from error
        return found


def require_packages(path: Path) -> None:
    """Raise UsageError with the command that installs the packages of this module if they are missing."""
    try:
        import icalendar  # noqa: F401
        import recurring_ical_events  # noqa: F401
    except ImportError as error:
        problem = f"iCalendar files cannot be read, because a package is not installed ({error})"
        raise UsageError(
            f"{path}: {problem}. Install it: {INSTALL}",
            path=str(path),
            problem=problem,
            remedy=f"Install it: {INSTALL}",
        ) from None


def recurring_events(text: str, path: Path) -> Events:
    """Return the events of `Events.text`, which was read from a file."""
    require_packages(path)
    import icalendar
    import recurring_ical_events

    calendar: Any = icalendar.Calendar.from_ical(text)
    return Events(path, (), recurring_ical_events.of(calendar), text)


def read_events(data: bytes, path: Path) -> Events:
    """Return the events of a file's bytes. Raise UsageError with the file, the line if known, and the remedy."""
    require_packages(path)
    return _Reader(data, path).read()


class _Reader:
    def __init__(self, data: bytes, path: Path) -> None:
        self._data = data
        self._path = path
        self._events: list[list[_Line]] = []
        self._zone_line = 0

    def fail(self, line: int, problem: str, remedy: str = _REMEDY) -> NoReturn:
        place = f"{self._path}:{line}" if line else str(self._path)
        raise UsageError(
            f"{place}: {problem}. {remedy}",
            path=str(self._path),
            line=line,
            column=1 if line else 0,
            problem=problem,
            remedy=remedy,
        )

    def read(self) -> Events:
        import icalendar

        self._scan()
        try:
            calendar: Any = icalendar.Calendar.from_ical(self._data)
        except Exception as error:  # the library raises its own kinds for what is in a file
            self.fail(0, f"cannot be read as an iCalendar file: {error}")
        events = [part for part in calendar.subcomponents if str(part.name).upper() == "VEVENT"]
        default = self._default_zone(calendar)
        single: list[Occurrence] = []
        series: dict[str, list[tuple[Any, list[_Line]]]] = {}
        for number, (event, lines) in enumerate(zip(events, self._events, strict=True)):
            with _at(lines):
                self._check(event, lines)
            # The library would treat events without an id as one series.
            uid = str(event.get("UID") or f"event-{number}")
            event["UID"] = icalendar.vText(uid)
            series.setdefault(uid, []).append((event, lines))
        recurring = []
        for group in series.values():
            if len(group) == 1 and not _recurs(group[0][0]):
                event = group[0][0]
                if _excludes(event):
                    single.append((_in(event.start, default), _in(event.end, default), _name(event)))
            else:
                recurring += [event for event, _ in group]
        calendar.subcomponents = [part for part in calendar.subcomponents if part.name != "VEVENT"]
        calendar.subcomponents += recurring
        if not recurring:
            return Events(self._path, single, None)
        return Events(self._path, single, self._query(calendar, series), calendar.to_ical().decode())

    def _scan(self) -> None:
        """Find the lines of the events, and refuse lines that are not iCalendar, before the file is parsed."""
        if not self._data.lstrip(b"\xef\xbb\xbf \t\r\n").upper().startswith(b"BEGIN:VCALENDAR"):
            self.fail(
                1,
                "not an iCalendar file: it does not begin with BEGIN:VCALENDAR",
                "Export the calendar as .ics, or write a .yaml calendar",
            )
        parts: list[_Line] = []
        ended = False
        for line in self._lines():
            if line.name == "BEGIN":
                if ended:
                    self.fail(line.number, "a second calendar begins here", "Move it to another file")
                parts.append(line)
                if len(parts) > _DEEPEST:
                    self.fail(line.number, f"components are nested more than {_DEEPEST} levels deep")
                if line.value.upper() == "VEVENT" and len(parts) == 2:
                    self._events.append([line])
            elif line.name == "END":
                if not parts or parts[-1].value.upper() != line.value.upper():
                    self.fail(line.number, f"END:{line.value} has no matching BEGIN")
                parts.pop()
                ended = not parts
            elif len(parts) == 2 and parts[-1].value.upper() == "VEVENT":
                self._events[-1].append(line)
            elif line.name == "X-WR-TIMEZONE":
                self._zone_line = line.number
        if parts:
            self.fail(
                parts[-1].number,
                f"{parts[-1].value} begins here and has no END: the file is truncated",
            )

    def _lines(self) -> Iterator[_Line]:
        parts: list[bytes] = []
        number = 0
        data = self._data.removeprefix(b"\xef\xbb\xbf")
        for count, raw in enumerate([*re.split(rb"\r\n|\r|\n", data), b""], 1):
            if raw[:1] in (b" ", b"\t"):
                parts.append(raw[1:])
                continue
            joined = b"".join(parts)
            if joined.strip():
                if b"\0" in joined or not _LINE.match(joined):
                    shown = joined[:40].decode("utf-8", "replace")
                    self.fail(
                        number,
                        f"{shown!r} is not a line of an iCalendar file",
                        "Write NAME:value; a continuation line begins with a space",
                    )
                text = joined.decode("utf-8", "replace")
                name = re.split("[;:]", text, maxsplit=1)[0].upper()
                value = text.split(":", 1)[1].strip() if ":" in text else ""
                yield _Line(number, name, value)
            parts, number = [raw], count

    def _check(self, event: Any, lines: list[_Line]) -> None:
        """Refuse errors that the libraries ignore: unparsed properties, unknown zones, endless searches."""

        def place(name: str) -> int:
            return next((line.number for line in lines if line.name == name), lines[0].number)

        label = f"the event {_name(event)!r}"
        for name, message in event.errors:
            if name is None or name in (*_TIMES, "STATUS", "TRANSP"):
                self.fail(place(str(name)), f"{label}: {name or 'a line'} cannot be read: {message}")
        if "DTSTART" not in event:
            self.fail(lines[0].number, f"{label} has no start (DTSTART)")
        for name in ("DTSTART", "DTEND", "RECURRENCE-ID", "RDATE", "EXDATE"):
            for value in _listed(event.get(name)):
                zone = value.params.get("TZID") if hasattr(value, "params") else None
                if zone and any(moment.tzinfo is None for moment in _moments(value)):
                    self.fail(
                        place(name),
                        f"{label}: the time zone {str(zone)!r} does not exist",
                        "Use an IANA name such as Europe/Berlin, or add its VTIMEZONE to the file",
                    )
        try:
            start, end = event.start, event.end
            day_of(start) - 3 * _MARGIN, day_of(end) + 3 * _MARGIN  # raises OverflowError near the last dates
            # The library swaps an end before its start, so the written values are compared.
            written = event.get("DTEND")
            backwards = end < start or (written is not None and written.dt < event["DTSTART"].dt)
        except (ValueError, TypeError, OverflowError, AttributeError, LookupError) as error:
            self.fail(place("DTSTART"), f"{label} cannot be read: {error}")
        if backwards:
            self.fail(place("DTEND"), f"{label} ends before it starts")
        for rule in _listed(event.get("RRULE")):
            try:
                problem = endless(rule, start)
            except (ValueError, TypeError, OverflowError) as error:
                problem = f"has a rule that cannot be read: {error}"
            if problem:
                self.fail(place("RRULE"), f"{label} {problem}")

    def _default_zone(self, calendar: Any) -> Any:
        """Return the zone of X-WR-TIMEZONE, which many programs write for times without a zone."""
        named = calendar.get("X-WR-TIMEZONE")
        if not named:
            return None
        try:
            return get_zone(str(named))
        except ValueError as error:
            self.fail(self._zone_line, f"X-WR-TIMEZONE: {error}", "Use an IANA name such as Europe/Berlin")

    def _query(self, calendar: Any, series: Mapping[str, list[tuple[Any, list[_Line]]]]) -> Any:
        """Return the query of the library for recurring events, after one trial of each series."""
        import recurring_ical_events

        try:
            query: Any = recurring_ical_events.of(calendar)
        except Exception as error:
            self._blame(calendar, series, error)
        for one in query.series:
            event, lines = series[str(one.uid)][0]
            day = day_of(event.start)
            try:
                with _at(lines):
                    list(one.between(day, day + timedelta(days=1)))
            except Exception as error:
                self.fail(lines[0].number, f"the event {_name(event)!r} cannot be read: {error}")
        return query

    def _blame(
        self, calendar: Any, series: Mapping[str, list[tuple[Any, list[_Line]]]], error: Exception
    ) -> NoReturn:
        """Raise the error for the series that the library refuses."""
        import recurring_ical_events

        for group in series.values():
            if len(group) == 1 and not _recurs(group[0][0]):
                continue
            one = calendar.copy()
            one.subcomponents = [event for event, _ in group]
            try:
                recurring_ical_events.of(one)
            except Exception as found:
                event, lines = group[0]
                rules = [line.number for line in lines if line.name == "RRULE"] or [lines[0].number]
                self.fail(rules[0], f"the event {_name(event)!r} cannot be read: {found}")
        self.fail(0, f"cannot be read as an iCalendar file: {error}")


@contextmanager
def _at(lines: list[_Line]) -> Iterator[None]:
    """Add the line of the rule to an OverBudgetError."""
    try:
        yield
    except OverBudgetError as error:
        error.line = next((line.number for line in lines if line.name == "RRULE"), lines[0].number)
        raise


def _recurs(event: Any) -> bool:
    return any(name in event for name in ("RRULE", "RDATE", "RECURRENCE-ID"))


def _listed(value: Any) -> list[Any]:
    """Return the values of a property that is given once, several times, or not at all."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _moments(value: Any) -> Iterator[datetime]:
    """Yield the datetimes of a property; of a period, its start."""
    for part in value.dts if hasattr(value, "dts") else [value]:
        moment = part.dt[0] if isinstance(part.dt, tuple) else part.dt
        if isinstance(moment, datetime):
            yield moment


def _in(moment: date, zone: Any) -> date:
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            return moment.replace(tzinfo=zone) if zone is not None else moment
        return moment.astimezone(UTC)
    return moment


def _excludes(event: Any) -> bool:
    """Return whether an event excludes time. Cancelled and transparent events do not."""
    cancelled = str(event.get("STATUS", "")).upper() == "CANCELLED"
    return not cancelled and str(event.get("TRANSP", "OPAQUE")).upper() != "TRANSPARENT"


def _name(event: Any) -> str:
    return " ".join(str(event.get("SUMMARY", "")).split()) or "an event without a name"
