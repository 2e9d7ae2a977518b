"""The question whether a calendar of a schedule excludes an instant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from victor_engine.api import ScheduleSpec

Excluded = Callable[[ScheduleSpec, datetime, ZoneInfo], str | None]
"""Returns the calendar that excludes an instant, or None. Raises UsageError if a calendar cannot be read."""


def nothing_excluded(spec: ScheduleSpec, instant: datetime, zone: ZoneInfo) -> str | None:
    """Return None: no calendar excludes an instant."""
    return None
