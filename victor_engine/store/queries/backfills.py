"""Queries of backfills."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from victor_engine.api import BackfillInfo, BackfillSpec
from victor_engine.clock import from_us
from victor_engine.errors import NotFoundError
from victor_engine.store.queries.schedule_runs import backfill_counts
from victor_engine.store.transaction import actor_from_json

_SELECT = (
    "SELECT id, workflow, spec, status, total, actor, created_at, finished_at, note, problem FROM backfills"
)


def not_found(backfill_id: int) -> NotFoundError:
    """Return the error for a backfill that does not exist."""
    return NotFoundError(
        f"backfill {backfill_id} does not exist; `victor scheduler backfill list` lists the backfills"
    )


def infos(
    source: sqlite3.Connection, schedule_id: str | None = None, limit: int = 50, *, unfinished: bool = False
) -> list[BackfillInfo]:
    """Return backfills, newest first: all of them, or those of a schedule, or those that are not finished."""
    where, values = [], []
    if schedule_id is not None:
        where.append("schedule_id = ?")
        values.append(schedule_id)
    if unfinished:
        where.append("status IN ('running', 'paused')")
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    rows = source.execute(f"{_SELECT}{condition} ORDER BY id DESC LIMIT ?", [*values, max(0, limit)])
    return [_info(source, row) for row in rows.fetchall()]


def info(source: sqlite3.Connection, backfill_id: int) -> BackfillInfo:
    """Return a backfill. Raise NotFoundError if there is none with this id."""
    row = source.execute(f"{_SELECT} WHERE id = ?", (backfill_id,)).fetchone()
    if row is None:
        raise not_found(backfill_id)
    return _info(source, row)


def _info(source: sqlite3.Connection, row: Any) -> BackfillInfo:
    running, succeeded, failed = backfill_counts(source, row[0])
    return BackfillInfo(
        id=row[0],
        workflow=row[1],
        spec=msgspec.json.decode(row[2], type=BackfillSpec),
        status=row[3],
        total=row[4],
        by=actor_from_json(row[5]).user,
        created_at=from_us(row[6]),
        running=running,
        succeeded=succeeded,
        failed=failed,
        finished_at=None if row[7] is None else from_us(row[7]),
        note=row[8],
        problem=row[9],
    )
