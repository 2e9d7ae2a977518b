"""Conversions that the queries share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from victor_engine import jsonio
from victor_engine.api import ErrorInfo
from victor_engine.clock import from_us

T = TypeVar("T")

ACTIVE = "('queued', 'running', 'waiting', 'pausing', 'paused', 'cancelling')"
"""Runs that are not over; spelled as in the partial index `runs_of_schedule`, which SQLite uses only if it
recognises it."""


def instant(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def notice(message: str | None, successor: str | None) -> str | None:
    """Return the notice of a version with its successor; None if it has no notice."""
    if message is None:
        return None
    return f"{message}; use {successor}" if successor and successor not in message else message


def error_info(text: str | None) -> ErrorInfo | None:
    return None if text is None else msgspec.json.decode(text, type=ErrorInfo)


def json_or(text: str | None, default: Any) -> Any:
    return default if text is None else jsonio.loads(text)


def like(text: str) -> str:
    """Return a LIKE pattern (with `ESCAPE '\\'`) that matches `text` literally at any position."""
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return f"%{text}%"


def left(deadline: datetime | None, now: datetime) -> str:
    """Return the time until a deadline in words: `12 m left`, `overdue`, `no deadline`."""
    if deadline is None:
        return "no deadline"
    seconds = int((deadline - now).total_seconds())
    if seconds <= 0:
        return "overdue"
    if seconds < 60:
        return f"{seconds} s left"
    if seconds < 3600:
        return f"{seconds // 60} m left"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} m left"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h left"


def marks(count: int) -> str:
    """Return the parameter marks `?,?,?` of an IN list."""
    return ",".join("?" * count)


def batched(values: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """Yield the values in batches, because a statement takes a limited number of parameters."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
