"""The log of a daemon: each record is a line with its date, as text or as JSON.

Events and the messages of the engine take the same way, through `logging`. Records from `WARNING` go to standard error,
the others to standard output.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from victor_engine.api import EventInfo
from victor_engine.config import load_config
from victor_engine.errors import VictorError
from victor_engine.service.headless import event_text
from victor_engine.text import plain
from victor_engine.work.invokers.capture import is_captured

PRODUCT = "victor_engine"

MOST_FIELDS = 20
"""The maximum number of fields of the data of an event in one line."""

LONGEST_VALUE = 500
"""The maximum number of characters of the value of a field."""

_events = logging.getLogger(f"{PRODUCT}.events")
_messages = logging.getLogger(f"{PRODUCT}.daemon")


class DaemonLog(logging.Handler):
    """Writes records in the format that `format_of` returns: `text` or `json`."""

    def __init__(self, format_of: Callable[[], str]) -> None:
        super().__init__()
        self.format_of = format_of

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for the records of functions of the workspace, which the log of their attempt has."""
        return record.name.startswith(PRODUCT) or not is_captured()

    def emit(self, record: logging.LogRecord) -> None:
        line = as_json(record) if self.format_of() == "json" else as_text(record)
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        try:
            stream.write(line + "\n")
            stream.flush()
        except (OSError, ValueError):
            return  # the reader of the pipe has ended; the engine continues


def as_text(record: logging.LogRecord) -> str:
    """Return a record as text. Further lines are indented, so that no message looks like a record of its own."""
    message, trace = plain(record.getMessage()), _trace(record)
    text = f"{_date(record)} {record.levelname.lower()} {message}" + (f"\n{plain(trace)}" if trace else "")
    return text.rstrip("\n").replace("\n", "\n    ")


def as_json(record: logging.LogRecord) -> str:
    """Return a record as a JSON object on one line."""
    found: dict[str, Any] = {
        "time": _date(record),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
        **getattr(record, "fields", {}),
    }
    if trace := _trace(record):
        found["trace"] = trace
    return msgspec.json.encode(found).decode()


def event_fields(event: EventInfo) -> dict[str, Any]:
    """Return the subjects of an event, and the single values of its data."""
    subjects = {
        "event": event.kind,
        "seq": event.seq,
        "workflow": event.workflow,
        "run": event.run_id,
        "node": event.node_id,
        "schedule": event.schedule_id,
        "request": event.request_id,
        "user": event.actor.user,
    }
    data = {
        key: value[:LONGEST_VALUE] if isinstance(value, str) else value
        for key, value in list(event.data.items())[:MOST_FIELDS]
        if isinstance(value, str | int | float | bool)
    }
    return {**{key: value for key, value in subjects.items() if value is not None}, "data": data}


def log_event(event: EventInfo) -> None:
    _events.info("%s", event_text(event), extra={"at": event.at, "fields": event_fields(event)})


def log_message(text: str, severity: str = "info") -> None:
    """Write a message of the daemon. `severity` is info, warning or error."""
    _messages.log(logging.getLevelNamesMapping()[severity.upper()], "%s", text)


@contextmanager
def installed(workspace: Path, config_file: Path | None) -> Iterator[DaemonLog]:
    """Send the records of this process to the log of a daemon, until the end of the block."""
    form = _configured_format(workspace, config_file)
    handler = DaemonLog(lambda: form)
    root, product = logging.getLogger(), logging.getLogger(PRODUCT)
    level = product.level
    root.addHandler(handler)
    product.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        product.setLevel(level)


def _configured_format(workspace: Path, config_file: Path | None) -> str:
    try:
        return load_config(workspace, config_file=config_file).scheduler.log_format
    except VictorError:
        return "text"  # the start of the engine reports the error


def _date(record: logging.LogRecord) -> str:
    at = getattr(record, "at", None) or datetime.fromtimestamp(record.created, UTC)
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"


def _trace(record: logging.LogRecord) -> str:
    if record.exc_info is None or record.exc_info[0] is None:
        return ""
    return logging.Formatter().formatException(record.exc_info)
