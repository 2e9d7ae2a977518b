"""The instant that a run is for, with its data interval: part of the state of the run under `_run`.

A fire gives it to its run. Children and runs after other workflows have that of the run that started them, so
all of a chain agree, and every attempt sees the same values. `$run.nominal_time` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from victor_engine.api import RunInstant
from victor_engine.reserved import RUN


def instant_of_fire(
    nominal: datetime, zone: ZoneInfo, previous: datetime | None, *, trigger: str, schedule: str | None
) -> dict[str, Any]:
    """Return the instant of a run for the state.

    Args:
        nominal: The nominal instant.
        zone: The time zone of the schedule.
        previous: The nominal instant of the fire before, the start of the data interval; None for the first.
        trigger: The trigger of the run.
        schedule: The id of the schedule; None for a manual run.
    """
    local = nominal.astimezone(zone)
    found: dict[str, Any] = {
        "nominal_time": utc_text(nominal),
        "local_time": local.isoformat(),
        "timezone": str(zone),
        "fold": local.fold,
        "interval_end": utc_text(nominal),
        "trigger": trigger,
    }
    if previous is not None:
        found["interval_start"] = utc_text(previous)
    if schedule is not None:
        found["schedule"] = schedule
    return found


def utc_text(instant: datetime) -> str:
    """Return an instant as ISO 8601 text in UTC: `2026-03-08T01:30:00Z`."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def instant_in(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the instant in the state of a run; empty if the run is for no instant."""
    found = state.get(RUN)
    return dict(found) if isinstance(found, Mapping) else {}


def shown_instant(state: Mapping[str, Any]) -> RunInstant | None:
    """Return the instant in the state of a run for clients; None if the run is for no instant."""
    found = instant_in(state)
    return msgspec.convert(found, RunInstant, strict=False) if "nominal_time" in found else None


ENVIRONMENT = {
    "VICTOR_NOMINAL_TIME": "nominal_time",
    "VICTOR_LOCAL_TIME": "local_time",
    "VICTOR_TIMEZONE": "timezone",
    "VICTOR_FOLD": "fold",
    "VICTOR_INTERVAL_START": "interval_start",
    "VICTOR_INTERVAL_END": "interval_end",
    "VICTOR_TRIGGER": "trigger",
    "VICTOR_SCHEDULE": "schedule",
    "VICTOR_PERIOD": "period",
    "VICTOR_STATUS": "status",
    "VICTOR_ERROR": "error",
    "VICTOR_ERROR_TYPE": "error_type",
    "VICTOR_ERROR_NODE": "error_node",
}
"""The environment variables of a command, with the keys of the instant. The last four are those of handlers of an end."""


def environ_of(instant: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables of an instant. A key that it does not have has no variable."""
    return {name: str(instant[key]) for name, key in ENVIRONMENT.items() if key in instant}
