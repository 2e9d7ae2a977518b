"""The computation of expensive calendars in a worker process."""

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
from victor_engine.loading.worker_session import WorkerSession
from victor_engine.scheduling.calendars.spans import Calendar, Span

READING_SECONDS = 5.0
"""Maximum processor time to read one calendar."""

SPANS_SECONDS = 2.0
"""Maximum processor time to compute some days of a calendar."""


class CalendarWorker:
    """The computation of expensive calendars in a process that exits when it is idle. It blocks: call it in threads
    of readers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._session = WorkerSession()

    def spans(self, piece: CalendarPiece, first: date, last: date, zone: ZoneInfo) -> list[Span]:
        """Return the entries that overlap some days. Raise LimitError or a VictorError."""
        key = jsonio.digest(msgspec.to_builtins(piece))
        with self._lock:
            found = self._session.ask(
                Spans(SPANS_SECONDS, key, piece, first, last, zone.key), list[tuple[int, int, str]]
            )
        return [Span(from_us(start), from_us(end), name) for start, end, name in found]

    def read_file(self, name: str, path: Path) -> Calendar:
        """Read a calendar file that is not declared in victor.yaml."""
        with self._lock:
            try:
                piece = self._session.ask(ReadCalendar(READING_SECONDS, name, str(path)), CalendarPiece)
            except LimitError as error:
                raise too_expensive(name, str(path), error) from None
        return calendar_of(piece, self.spans)

    def end(self) -> None:
        """Stop the process, and wait for its end."""
        self._session.end()
        with self._lock:
            self._session.close()


def too_expensive(name: str, path: str | None, error: LimitError) -> UsageError:
    """Return the error of a calendar that is too expensive to read."""
    place = f"{path}:{error.line}" if path and error.line else path or "victor.yaml"
    problem = f"calendar {name} needs too much {error.what} to read"
    return UsageError(
        f"{place}: {problem}. {REMEDY}",
        path=path,
        line=error.line,
        column=1 if error.line else 0,
        problem=problem,
        remedy=REMEDY,
    )
