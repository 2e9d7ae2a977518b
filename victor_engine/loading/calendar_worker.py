"""Heavy calendars, worked out in a worker process."""

from __future__ import annotations

import threading
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from victor_engine import jsonio
from victor_engine.clock import from_us
from victor_engine.errors import UsageError
from victor_engine.loading.calendars import REMEDY, calendar_of
from victor_engine.loading.pieces import CalendarPiece, LimitError, ReadCalendar, Spans
from victor_engine.loading.worker_session import WorkerConversation
from victor_engine.scheduling.calendars.spans import Calendar, Span

READING_SECONDS = 5.0
"""Processor time that reading one calendar may take."""

SPANS_SECONDS = 2.0
"""Processor time that it may take to work out some days of a calendar."""


class CalendarWorker:
    """Works out heavy calendars in a process that ends by itself when nobody asks. For threads of readers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._conversation = WorkerConversation()

    def spans(self, piece: CalendarPiece, first: date, last: date, zone: ZoneInfo) -> list[Span]:
        """Return what overlaps some days. Raises LimitError, or another VictorError."""
        key = jsonio.digest(msgspec.to_builtins(piece))
        with self._lock:
            found = self._conversation.ask(
                Spans(SPANS_SECONDS, key, piece, first, last, zone.key), list[tuple[int, int, str]]
            )
        return [Span(from_us(start), from_us(end), name) for start, end, name in found]

    def read_file(self, name: str, path: Path) -> Calendar:
        """Read a calendar file that is not declared."""
        with self._lock:
            try:
                piece = self._conversation.ask(ReadCalendar(READING_SECONDS, name, str(path)), CalendarPiece)
            except LimitError as error:
                raise too_expensive(name, str(path), error) from None
        return calendar_of(piece, self.spans)

    def end(self) -> None:
        """End the process, and wait for that."""
        self._conversation.end()
        with self._lock:
            self._conversation.close()


def too_expensive(name: str, path: str | None, error: LimitError) -> UsageError:
    """Return the fault of a calendar that takes too much to read."""
    place = f"{path}:{error.line}" if path and error.line else path or "victor.yaml"
    problem = f"reading the calendar {name} takes too much {error.what}"
    return UsageError(
        f"{place}: {problem}. {REMEDY}",
        path=path,
        line=error.line,
        column=1 if error.line else 0,
        problem=problem,
        remedy=REMEDY,
    )
