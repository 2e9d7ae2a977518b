"""What schedules need of exclusion calendars, however those are written down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from victor_engine.config.places import did_you_mean
from victor_engine.errors import UsageError


class Span(Protocol):
    """Half-open: `end` is not part of it. Both in UTC."""

    @property
    def start(self) -> datetime: ...
    @property
    def end(self) -> datetime: ...
    @property
    def name(self) -> str: ...


class Calendar(Protocol):
    """Days and times at which nothing is to fire. Bare days are days in the schedule's zone."""

    @property
    def path(self) -> str | None: ...
    def excludes(self, instant: datetime, zone: ZoneInfo) -> str | None: ...
    def spans(self, start: datetime, end: datetime, zone: ZoneInfo) -> Sequence[Span]: ...


class Calendars(Protocol):
    """Calendars by name. `get` raises UsageError for an unknown one and for one that cannot be read."""

    def get(self, name: str) -> Calendar: ...
    def names(self) -> Sequence[str]: ...


class NoCalendars:
    """A workspace without calendars."""

    def get(self, name: str) -> Calendar:
        raise UsageError(f"there is no calendar {name!r}. {did_you_mean(name, ())}".rstrip())

    def names(self) -> Sequence[str]:
        return ()
