"""The counts of the header line."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from victor_engine.api import ClockAhead, PauseInfo
from victor_engine.clock import to_us
from victor_engine.store.queries.conversions import ACTIVE, instant
from victor_engine.store.queries.events import last_event

RECENTLY = timedelta(hours=24)
"""The age up to which a failure counts as recent."""


class EngineCounts(Struct, frozen=True):
    """The counts of `EngineInfo`, under the same names."""

    schedules: int
    running: int
    queued: int
    waiting: int
    open_requests: int
    oldest_request: datetime | None
    failed_recently: int
    dead_letters: int
    next_fire: datetime | None
    next_fire_workflow: str | None
    next_fire_schedule: str | None
    last_event: int
    draining: PauseInfo | None
    recent_breaches: int
    clock_ahead: ClockAhead | None


def engine_counts(connection: sqlite3.Connection, now: datetime) -> EngineCounts:
    """Count from the partial indexes. `running` includes runs that are being cancelled."""
    active = dict(
        connection.execute(f"SELECT status, COUNT(*) FROM runs WHERE status IN {ACTIVE} GROUP BY 1")
    )
    (schedules,) = connection.execute("SELECT COUNT(*) FROM schedules WHERE removed_at IS NULL").fetchone()
    open_requests, oldest = _open_requests(connection)
    due = connection.execute(
        "SELECT workflow, next_fire, id FROM schedules WHERE next_fire IS NOT NULL AND removed_at IS NULL"
        " AND paused IS NULL ORDER BY next_fire LIMIT 1"
    ).fetchone()
    return EngineCounts(
        schedules=schedules,
        running=sum(active.get(status, 0) for status in ("running", "pausing", "cancelling")),
        queued=active.get("queued", 0),
        waiting=active.get("waiting", 0),
        open_requests=open_requests,
        oldest_request=oldest,
        failed_recently=_failed_since(connection, to_us(now - RECENTLY)),
        dead_letters=connection.execute("SELECT COALESCE(SUM(runs), 0) FROM dead_causes").fetchone()[0],
        next_fire=instant(due[1]) if due else None,
        next_fire_workflow=due[0] if due else None,
        next_fire_schedule=due[2] if due else None,
        last_event=last_event(connection),
        draining=_draining(connection),
        recent_breaches=_breaches_since(connection, to_us(now - RECENTLY)),
        clock_ahead=_clock_ahead(connection, now),
    )


def _open_requests(connection: sqlite3.Connection) -> tuple[int, datetime | None]:
    """Return the number of open requests, and when the oldest was opened. Keys increase with that time."""
    count, key = connection.execute(
        "SELECT COUNT(*), MIN(key) FROM requests INDEXED BY requests_open WHERE status = 'open'"
    ).fetchone()
    if key is None:
        return 0, None
    (created,) = connection.execute("SELECT created_at FROM requests WHERE key = ?", (key,)).fetchone()
    return count, instant(created)


def _failed_since(connection: sqlite3.Connection, since: int) -> int:
    (count,) = connection.execute(
        "SELECT COUNT(*) FROM runs WHERE status = 'failed' AND finished_at >= ?", (since,)
    ).fetchone()
    return int(count)


def _breaches_since(connection: sqlite3.Connection, since: int) -> int:
    (count,) = connection.execute(
        "SELECT COUNT(*) FROM expectations WHERE breached_at >= ?", (since,)
    ).fetchone()
    return int(count)


def _clock_ahead(connection: sqlite3.Connection, now: datetime) -> ClockAhead | None:
    """Return the last time in which the clock was ahead, while it is recent or still has an effect."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'clock.ahead'").fetchone()
    if row is None:
        return None
    ahead = msgspec.json.decode(row[0], type=ClockAhead)
    return ahead if now < max(ahead.until + RECENTLY, ahead.furthest) else None


def _draining(connection: sqlite3.Connection) -> PauseInfo | None:
    row = connection.execute("SELECT value FROM meta WHERE key = 'draining'").fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=PauseInfo)


def epoch(connection: sqlite3.Connection) -> int:
    """Return the epoch of the newest engine on the store; 0 before the first."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    return int(row[0]) if row else 0
