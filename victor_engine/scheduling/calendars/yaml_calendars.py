"""The reader of exclusion calendars: YAML blocks and files, and iCalendar files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from victor_engine.config.yaml_locations import Key, Source, did_you_mean, parse_yaml
from victor_engine.durations import parse_duration
from victor_engine.errors import UsageError
from victor_engine.files import read_bounded, reason
from victor_engine.scheduling.calendars.icalendar_files import Events, read_events
from victor_engine.scheduling.calendars.spans import Calendar, Rule, Span, instant
from victor_engine.scheduling.cron import CronSchedule
from victor_engine.scheduling.timezones import get_zone

MAX_BYTES = 10_000_000
"""The maximum number of bytes of a calendar file; a larger file is refused."""

SUFFIXES = (".yaml", ".yml", ".ics")
KEYS = ("timezone", "dates", "ranges", "weekly", "recurring", "description")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LONGEST = timedelta(days=31)
"""The longest duration of one recurrence."""

_YEARLY = re.compile(r"(?:--)?(\d{2})-(\d{2})\Z")
_MIDNIGHT = time()


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


@dataclass(frozen=True, slots=True)
class DayRule(Rule):
    """One day, of one year or of every year."""

    month: int
    day: int
    name: str
    year: int | None = None

    def spans(self, first: date, last: date, zone: ZoneInfo) -> list[Span]:
        years = range(first.year, last.year + 1) if self.year is None else [self.year]
        found = []
        for year in years:
            try:
                day = date(year, self.month, self.day)
            except ValueError:
                continue  # February 29 does not exist in most years
            if first <= day <= last:
                end = instant(day + timedelta(days=1), _MIDNIGHT, zone)
                found.append(Span(instant(day, _MIDNIGHT, zone), end, self.name))
        return found


@dataclass(frozen=True, slots=True)
class RangeRule(Rule):
    """A range from one wall time to another or, with offsets, from one instant to another."""

    start: datetime
    end: datetime
    name: str

    def spans(self, first: date, last: date, zone: ZoneInfo) -> list[Span]:
        start, end = (_instant(moment, zone) for moment in (self.start, self.end))
        return [Span(start, end, self.name)] if end > start else []


@dataclass(frozen=True, slots=True)
class WeeklyRule(Rule):
    """The same hours on some days of the week. They can extend past midnight."""

    days: frozenset[int]
    start: time
    end: time
    name: str

    @property
    def weight(self) -> float:
        return 40

    def spans(self, first: date, last: date, zone: ZoneInfo) -> list[Span]:
        found = []
        for day in _days(first - timedelta(days=1), last):
            if day.weekday() in self.days:
                until = day if self.end > self.start else day + timedelta(days=1)
                start, end = instant(day, self.start, zone), instant(until, self.end, zone)
                if end > start:
                    found.append(Span(start, end, self.name))
        return found


@dataclass(frozen=True, slots=True)
class CronRule(Rule):
    """A duration from each instant of a cron expression."""

    expression: str
    length: timedelta
    name: str
    _schedules: dict[str, CronSchedule] = field(default_factory=dict, compare=False)

    @property
    def weight(self) -> float:
        return 10 + 4 * 31 * CronSchedule.from_cron(self.expression).most_a_day

    def spans(self, first: date, last: date, zone: ZoneInfo) -> list[Span]:
        schedule = self._schedules.get(zone.key)
        if schedule is None:
            schedule = self._schedules[zone.key] = CronSchedule.from_cron(self.expression, zone.key)
        at = instant(first, _MIDNIGHT, zone) - self.length - timedelta(seconds=1)
        end = instant(last + timedelta(days=1), _MIDNIGHT, zone)
        found = []
        while (following := schedule.next_run(at)) is not None and following < end:
            found.append(Span(following, following + self.length, self.name))
            at = following
        return found


@dataclass(frozen=True, slots=True)
class EventsRule(Rule):
    """The events of an iCalendar file, with their recurrences."""

    events: Events

    @property
    def weight(self) -> float:
        return self.events.weight

    def spans(self, first: date, last: date, zone: ZoneInfo) -> list[Span]:
        found = []
        for start, end, name in self.events.between(first, last):
            span = Span(_instant(start, zone), _instant(end, zone), name)
            if span.end > span.start:
                found.append(span)
        return found


def _instant(moment: date, zone: ZoneInfo) -> datetime:
    if not isinstance(moment, datetime):
        return instant(moment, _MIDNIGHT, zone)
    if moment.tzinfo is None:
        return instant(moment.date(), moment.time(), zone)
    return moment.astimezone(UTC)


# --- YAML ------------------------------------------------------------------------------------------


def from_file(name: str, path: Path) -> Calendar:
    """Read a calendar from a .yaml or .ics file. Raise UsageError or ConfigError with the file and the place."""
    try:
        data = read_bounded(path, largest=MAX_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: cannot read the calendar: {reason(error)}") from None
    if path.suffix == ".ics":
        return Calendar(name, [EventsRule(read_events(data, path))], str(path))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: the calendar is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from None
    source = parse_yaml(text, str(path))
    if not source.data:
        raise UsageError(f"{path}: the calendar is empty; add at least one of {', '.join(KEYS[1:5])}")
    return from_block(name, source.data, source, (), str(path))


def from_block(name: str, value: Any, source: Source, way: Key, path: str | None = None) -> Calendar:
    """Read a calendar from the mapping at `way` of a source. Raise ConfigError with the place of an error."""
    block = _Block(source, way)
    if not isinstance(value, Mapping):
        raise block.fail((), "a calendar must be a mapping, or the path of a .yaml or .ics file")
    block.only((), value, KEYS)
    zone = None
    if value.get("timezone") is not None:
        try:
            zone = get_zone(str(value["timezone"]))
        except ValueError as error:
            raise block.fail(("timezone",), str(error)) from None
    rules: list[Rule] = []
    for key, read in (
        ("dates", block.day),
        ("ranges", block.range),
        ("weekly", block.weekly),
        ("recurring", block.cron),
    ):
        items = value.get(key)
        if items is None:
            continue
        if not isinstance(items, list):
            raise block.fail((key,), f"{key} must be a list")
        rules += [read((key, number), item) for number, item in enumerate(items)]
    if not rules:
        raise block.fail((), f"the calendar has no entries; add at least one of {', '.join(KEYS[1:5])}")
    return Calendar(name, rules, path, zone, value)


class _Block:
    """The reader of the entries of one calendar. Every error has a place."""

    def __init__(self, source: Source, way: Key) -> None:
        self._source = source
        self._way = way

    def fail(self, way: Key, message: str, remedy: str = "") -> Exception:
        return self._source.fail((*self._way, *way), message, remedy)

    def only(self, way: Key, value: Mapping[str, Any], keys: tuple[str, ...]) -> None:
        for key in value:
            if key not in keys:
                raise self.fail((*way, key), f"unknown key {key!r}", did_you_mean(str(key), keys))

    def mapping(
        self, way: Key, value: Any, keys: tuple[str, ...], needs: tuple[str, ...]
    ) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise self.fail(way, f"must be a mapping with {', '.join(keys)}")
        self.only(way, value, keys)
        for key in needs:
            if value.get(key) is None:
                raise self.fail(way, f"{key} is missing")
        return value

    def day(self, way: Key, value: Any) -> Rule:
        """Read `2026-12-25`, `12-25` for every year, or `{date:, name:}`."""
        name = ""
        if isinstance(value, Mapping):
            value = self.mapping(way, value, ("date", "name"), ("date",))
            name = str(value.get("name") or "")
            value, way = value["date"], (*way, "date")
        text = value.isoformat() if isinstance(value, date) else str(value).strip()
        yearly = _YEARLY.match(text)
        try:
            if yearly:
                found = date(2000, int(yearly[1]), int(yearly[2]))
                return DayRule(found.month, found.day, name or text)
            found = date.fromisoformat(text)
        except ValueError:
            raise self.fail(
                way, f"{text!r} is not a day", "Write 2026-12-25, or 12-25 for every year"
            ) from None
        return DayRule(found.month, found.day, name or text, found.year)

    def range(self, way: Key, value: Any) -> Rule:
        """Read `{from:, to:, name:}`. A day without a time as `to` is included."""
        found = self.mapping(way, value, ("from", "to", "name"), ("from", "to"))
        start = self.moment((*way, "from"), found["from"], end=False)
        end = self.moment((*way, "to"), found["to"], end=True)
        if (start.tzinfo is None) != (end.tzinfo is None):
            raise self.fail(way, "from and to must both have an offset, or neither")
        if end <= start:
            raise self.fail((*way, "to"), f"{found['to']} is not after {found['from']}")
        return RangeRule(start, end, str(found.get("name") or f"{found['from']} to {found['to']}"))

    def moment(self, way: Key, value: Any, *, end: bool) -> datetime:
        if isinstance(value, datetime):
            return value
        text = value.isoformat() if isinstance(value, date) else str(value).strip()
        try:
            if len(text) == 10:
                day = date.fromisoformat(text)
                return datetime.combine(day + timedelta(days=1) if end else day, _MIDNIGHT)
            return datetime.fromisoformat(text)
        except ValueError:
            raise self.fail(way, f"{text!r} is not a time", "Write 2026-12-24 or 2026-12-24T18:00") from None

    def weekly(self, way: Key, value: Any) -> Rule:
        """Read `{days: [sat, sun], from: "22:00", to: "02:00", name:}`. Without times it is whole days."""
        found = self.mapping(way, value, ("days", "from", "to", "name"), ("days",))
        given = found["days"] if isinstance(found["days"], list) else [found["days"]]
        days = set()
        for word in given:
            short = str(word).strip().lower()[:3]
            if short not in DAYS:
                raise self.fail(
                    (*way, "days"), f"{word!r} is not a day of the week", did_you_mean(str(word), DAYS)
                )
            days.add(DAYS.index(short))
        start = self.wall((*way, "from"), found.get("from"))
        end = self.wall((*way, "to"), found.get("to"))
        name = str(found.get("name") or ", ".join(DAYS[day] for day in sorted(days)))
        return WeeklyRule(frozenset(days), start, end, name)

    def wall(self, way: Key, value: Any) -> time:
        if value is None:
            return _MIDNIGHT
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1440:
            # YAML 1.1 reads an unquoted 9:30 as a number to base sixty.
            return time(value // 60, value % 60)
        text = str(value).strip()
        if text == "24:00":
            return _MIDNIGHT
        try:
            return time.fromisoformat(text.zfill(5))
        except ValueError:
            raise self.fail(way, f"{text!r} is not a time of day", 'Write "22:00"') from None

    def cron(self, way: Key, value: Any) -> Rule:
        """Read `{cron: "0 22 * * 6", for: 4h, name:}`."""
        found = self.mapping(way, value, ("cron", "for", "name"), ("cron", "for"))
        try:
            CronSchedule.from_cron(str(found["cron"]))
        except ValueError as error:
            raise self.fail((*way, "cron"), str(error)) from None
        seconds = parse_duration(found["for"])
        if not seconds or timedelta(seconds=seconds) > LONGEST:
            raise self.fail(
                (*way, "for"), f"{found['for']!r} is not a duration up to 31 days", "Write 30m, 4h or 2d"
            )
        return CronRule(
            str(found["cron"]), timedelta(seconds=seconds), str(found.get("name") or found["cron"])
        )
