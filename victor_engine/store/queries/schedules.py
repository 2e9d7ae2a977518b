"""Queries of schedules and their fires."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from victor_engine.api import BreachInfo, FireInfo, PauseInfo, ScheduleInfo, ScheduleSpec
from victor_engine.clock import from_us, to_us
from victor_engine.store.db import actor_from_json
from victor_engine.store.queries import ids as known_ids
from victor_engine.store.queries.conversions import ACTIVE, instant, notice
from victor_engine.store.queries.workflows import current_version

RECENT = 20
"""The number of recent fires that are returned with a schedule."""

Summarise = Callable[[ScheduleSpec, str, datetime], str]
"""The description of a spec: (spec, schedule id, created at) -> "every day at 09:00"."""

Resolve = Callable[[sqlite3.Connection, str, str | None], str | None]
"""The current version of a workflow's version, range or alias; None if there is none."""

_COLUMNS = (
    "id, spec, file_spec, origin, path, next_fire, skip_next, paused, problem, runs_started, created_at, failures,"
    " cursor, skip_at"
)
_FIRES = (
    "SELECT f.id, f.schedule_id, f.workflow, f.nominal, f.local, f.fold, f.outcome, f.reason, f.decided_at,"
    " f.actor, r.id, r.status, r.started_at, r.finished_at, COALESCE(json_extract(s.spec, '$.timezone'), 'UTC')"
    " FROM fires f LEFT JOIN runs r ON r.key = f.run_key LEFT JOIN schedules s ON s.id = f.schedule_id"
)


def literal_summary(spec: ScheduleSpec, schedule_id: str, created_at: datetime) -> str:
    """Return the fields of a spec as text, if no description is available."""
    if spec.cron is not None:
        return f"cron {spec.cron} ({spec.timezone})"
    if spec.every_at is not None and spec.every_seconds is not None:
        return f"every {spec.every_seconds / 86_400:g} days at {spec.every_at} ({spec.timezone})"
    if spec.every_seconds is not None:
        return f"every {spec.every_seconds:g} s"
    if spec.at is not None:
        return f"once at {spec.at.isoformat()}"
    return f"after {', '.join(spec.after.workflows)}" if spec.after is not None else ""


def exact_version(connection: sqlite3.Connection, workflow: str, wanted: str | None) -> str | None:
    """Resolve `latest` and exact versions only."""
    if wanted is None or wanted == "latest":
        return current_version(connection, workflow)
    row = connection.execute(
        "SELECT version FROM definitions WHERE workflow = ? AND version = ?", (workflow, wanted)
    ).fetchone()
    return None if row is None else str(row[0])


def schedules(
    connection: sqlite3.Connection,
    now: datetime,
    *,
    summarise: Summarise = literal_summary,
    resolve: Resolve = exact_version,
) -> list[ScheduleInfo]:
    """Return all schedules, by id."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM schedules WHERE removed_at IS NULL ORDER BY id"
    ).fetchall()
    active = dict(
        connection.execute(f"SELECT schedule_id, COUNT(*) FROM runs WHERE status IN {ACTIVE} GROUP BY 1")
    )
    return [_info(connection, row, active.get(row[0], 0), now, summarise, resolve) for row in rows]


def schedule(
    connection: sqlite3.Connection,
    schedule_id: str,
    now: datetime,
    *,
    summarise: Summarise = literal_summary,
    resolve: Resolve = exact_version,
) -> ScheduleInfo:
    """Return a schedule by its id or a unique prefix."""
    full = known_ids.schedule_id(connection, schedule_id)
    row = connection.execute(f"SELECT {_COLUMNS} FROM schedules WHERE id = ?", (full,)).fetchone()
    # The plus keeps SQLite on the small index of active runs.
    (active,) = connection.execute(
        f"SELECT COUNT(*) FROM runs WHERE +schedule_id = ? AND status IN {ACTIVE}", (full,)
    ).fetchone()
    return _info(connection, row, active, now, summarise, resolve)


def _info(
    connection: sqlite3.Connection,
    row: Any,
    active: int,
    now: datetime,
    summarise: Summarise,
    resolve: Resolve,
) -> ScheduleInfo:
    spec = msgspec.json.decode(row[1], type=ScheduleSpec)
    recent = tuple(fires(connection, row[0], RECENT))
    version = resolve(connection, spec.workflow, spec.version)
    deprecated = connection.execute(
        "SELECT COALESCE(removed, deprecated), successor FROM definitions WHERE workflow = ? AND version = ?",
        (spec.workflow, version),
    ).fetchone()
    paused = None if row[7] is None else msgspec.json.decode(row[7], type=PauseInfo)
    if paused is not None and paused.until is not None and paused.until <= now:
        paused = None
    return ScheduleInfo(
        id=row[0],
        spec=spec,
        origin=row[3],
        path=row[4],
        summary=summarise(spec, row[0], from_us(row[10])),
        next_fire=instant(row[5]),
        skip_next=bool(row[6]) or _skips_next(spec, row[12], row[5], row[13], paused is not None),
        paused=paused,
        overridden=_overridden(spec, row[2]),
        last_fire=recent[0] if recent else None,
        recent=recent,
        active_runs=active,
        runs_started=row[9],
        resolved_version=version,
        deprecated=notice(*deprecated) if deprecated else None,
        problem=row[8],
        failures=row[11],
        last_breach=_last_breach(connection, row[0]),
        breaches=_breaches(connection, row[0], now),
    )


def _skips_next(
    spec: ScheduleSpec, cursor: int, next_fire: int | None, skip_at: int | None, paused: bool
) -> bool:
    """Return whether the next fire is the skipped one. It is due within its jitter."""
    if skip_at is None or next_fire is None or skip_at <= cursor:
        return False
    return paused or 0 <= next_fire - skip_at <= spec.jitter * 1_000_000


def _breaches(connection: sqlite3.Connection, schedule_id: str, now: datetime) -> int:
    """Return the number of expectations that were not met in the last 7 days."""
    (count,) = connection.execute(
        "SELECT COUNT(*) FROM expectations WHERE schedule_id = ? AND breached_at >= ?",
        (schedule_id, to_us(now - timedelta(days=7))),
    ).fetchone()
    return int(count)


def _last_breach(connection: sqlite3.Connection, schedule_id: str) -> BreachInfo | None:
    row = connection.execute(
        "SELECT e.kind, e.due, e.breached_at, e.local, e.text, r.id FROM expectations e"
        " LEFT JOIN runs r ON r.key = e.run_key WHERE e.schedule_id = ? AND e.breached_at IS NOT NULL"
        " ORDER BY e.breached_at DESC LIMIT 1",
        (schedule_id,),
    ).fetchone()
    if row is None:
        return None
    return BreachInfo(row[0], from_us(row[1]), from_us(row[2]), row[3], row[4], row[5])


def _overridden(spec: ScheduleSpec, file_spec: str | None) -> tuple[str, ...]:
    if file_spec is None:
        return ()
    declared = msgspec.json.decode(file_spec, type=ScheduleSpec)
    names = ScheduleSpec.__struct_fields__
    return tuple(name for name in names if getattr(spec, name) != getattr(declared, name))


def fires(
    connection: sqlite3.Connection,
    schedule_id: str | None = None,
    limit: int = 100,
    workflow: str | None = None,
    *,
    ids: list[int] | None = None,
) -> list[FireInfo]:
    """What became of the nominal instants, newest decision first; removed schedules keep theirs.

    With `ids`, exactly those, in that order.
    """
    where: list[str] = []
    values: list[Any] = []
    if ids is not None:
        found = connection.execute(f"{_FIRES} WHERE f.id IN ({','.join('?' * len(ids))})", ids)
        by_id = {row[0]: _fire(row) for row in found}
        return [by_id[number] for number in ids if number in by_id]
    if schedule_id is not None:
        where.append("f.schedule_id = ?")
        values.append(known_ids.schedule_id(connection, schedule_id, removed=True))
    if workflow is not None:
        where.append("f.workflow = ?")
        values.append(workflow)
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    rows = connection.execute(f"{_FIRES}{condition} ORDER BY f.id DESC LIMIT ?", [*values, max(0, limit)])
    return [_fire(row) for row in rows]


def _zone_of(local: str, zone: str) -> str:
    """Return the zone of the wall time of a fire, which names it if the schedule has another zone by now."""
    if not local[:1].isdigit() or "T" not in local:
        return ""  # the fire of a dependency
    if local.endswith("Z"):
        return "UTC"
    return local.partition(" ")[2] or zone


def _fire(row: Any) -> FireInfo:
    return FireInfo(
        id=row[0],
        schedule_id=row[1],
        workflow=row[2],
        nominal=from_us(row[3]),
        local=row[4],
        fold=row[5],
        outcome=row[6],
        reason=row[7],
        decided_at=from_us(row[8]),
        actor=actor_from_json(row[9]).user,
        run_id=row[10],
        run_status=row[11],
        run_seconds=None if row[12] is None or row[13] is None else (row[13] - row[12]) / 1e6,
        timezone=_zone_of(row[4], row[14]),
    )
