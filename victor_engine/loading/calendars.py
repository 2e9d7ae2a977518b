"""Calendars as messages on the pipe, and the rule for a calendar that is computed in another process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from victor_engine import jsonio
from victor_engine.config.yaml_locations import Source
from victor_engine.errors import UsageError, VictorError
from victor_engine.loading.pieces import CalendarPiece, LimitError
from victor_engine.scheduling.calendars.icalendar_files import Events, recurring_events
from victor_engine.scheduling.calendars.spans import Calendar, Rule, Span
from victor_engine.scheduling.calendars.yaml_calendars import EventsRule, from_block
from victor_engine.scheduling.timezones import get_zone

MAX_LOCAL_WEIGHT = 1000.0
"""Maximum `Calendar.weight` for which a month is computed in the calling process, in some milliseconds."""

REMEDY = "Simplify the rule, or write single dates"

ComputeSpans = Callable[[CalendarPiece, date, date, ZoneInfo], list[Span]]


def piece_of(calendar: Calendar) -> CalendarPiece:
    """Return a calendar as a message."""
    events = next((rule.events for rule in calendar.rules if isinstance(rule, EventsRule)), None)
    if events is None:
        block = jsonio.loads(jsonio.dumps(calendar.block))  # dates become text, with the same meaning
        zone = block.get("timezone")
        return CalendarPiece(
            name=calendar.name,
            path=calendar.path,
            weight=calendar.weight,
            timezone=None if zone is None else str(zone),
            block=block,
        )
    single = tuple((start.isoformat(), end.isoformat(), name) for start, end, name in events.single)
    return CalendarPiece(
        name=calendar.name,
        path=calendar.path,
        weight=min(calendar.weight, 1e9),
        single=single,
        recurring=events.text,
    )


def calendar_of(piece: CalendarPiece, ask: ComputeSpans | None = None) -> Calendar:
    """Return the calendar of a piece. With `ask`, that function computes an expensive calendar."""
    path = Path(piece.path or "")
    if piece.block is not None:
        if ask is not None and piece.weight > MAX_LOCAL_WEIGHT:
            zone = get_zone(piece.timezone) if piece.timezone is not None else None
            return Calendar(piece.name, [RemoteRule(piece, ask)], piece.path, zone)
        return from_block(piece.name, piece.block, Source(str(path), {}), (), piece.path)
    single = [(_moment(start), _moment(end), name) for start, end, name in piece.single]
    rules: list[Rule] = [EventsRule(Events(path, single, None))] if single else []
    if piece.recurring and ask is not None:
        rules.append(RemoteRule(msgspec.structs.replace(piece, single=()), ask))
    elif piece.recurring:
        rules.append(EventsRule(recurring_events(piece.recurring, path)))
    return Calendar(piece.name, rules, piece.path)


def _moment(text: str) -> date:
    return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class RemoteRule(Rule):
    """A calendar, or a part of it, that `ask` computes. After an error it is not computed again."""

    piece: CalendarPiece
    ask: ComputeSpans
    _error: list[VictorError] = field(default_factory=list, compare=False)

    def spans(self, first: date, last: date, zone: ZoneInfo) -> list[Span]:
        if self._error:
            raise self._error[0]
        try:
            return self.ask(self.piece, first, last, zone)
        except LimitError as error:
            refused = UsageError(
                f"{self.piece.path or 'victor.yaml'}: calendar {self.piece.name}: the computation of {first:%Y-%m} "
                f"needs too much {error.what}. {REMEDY}, and reload"
            )
            self._error.append(refused)
            raise refused from None
