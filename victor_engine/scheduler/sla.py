"""Promises of a schedule (`expect`): watched by the clock, told once when they are not kept.

Nothing has to be done while a run goes well: each promise is a row with the instant at which it
is looked at. Then the run is asked what it has done by that instant, so that a restart, a jump
of the clock or an engine that was away changes only when a breach is told, never whether.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta
from typing import Any

from victor_engine.api import Expect
from victor_engine.clock import from_us, to_us
from victor_engine.events import EventKind
from victor_engine.scheduler.promises import finish_by
from victor_engine.scheduler.rows import ScheduleRow
from victor_engine.scheduler.timing import Nominal
from victor_engine.scheduler.words import elapsed
from victor_engine.store.db import Tx

BATCH = 200
"""Promises that are looked at in one transaction."""


def promise(tx: Tx, row: ScheduleRow, nominal: Nominal, due: datetime, run_key: int | None) -> bool:
    """Write down what is promised of a fire that was due at `due`; whether there is something."""
    expect = row.spec.expect
    if expect is None:
        return False
    for kind, seconds, instant in _instants(expect, row, nominal, due):
        tx.execute(
            "INSERT INTO expectations (schedule_id, local, fold, kind, seconds, run_key, due) VALUES (?,?,?,?,?,?,?)"
            " ON CONFLICT DO NOTHING",
            (row.id, nominal.local, nominal.fold, kind, seconds, run_key, to_us(instant)),
        )
    return True


def _instants(
    expect: Expect, row: ScheduleRow, nominal: Nominal, due: datetime
) -> list[tuple[str, float | None, datetime]]:
    found: list[tuple[str, float | None, datetime]] = []
    if expect.start_within is not None:
        found.append(("start_within", expect.start_within, due + timedelta(seconds=expect.start_within)))
    if expect.finish_within is not None:
        found.append(("finish_within", expect.finish_within, due + timedelta(seconds=expect.finish_within)))
    if expect.finish_by is not None:
        found.append(("finish_by", None, finish_by(expect.finish_by, nominal.instant, row.timing.zone)))
    return found


def next_due(source: sqlite3.Connection) -> int | None:
    """When the next promise is looked at, in microseconds."""
    row = source.execute("SELECT MIN(due) FROM expectations WHERE breached_at IS NULL").fetchone()
    return None if row[0] is None else int(row[0])


def look(tx: Tx) -> int:
    """Settle the promises that are due; returns how many were not kept."""
    rows = tx.execute(
        "SELECT e.id, e.schedule_id, e.local, e.kind, e.seconds, e.due, r.key, r.id, r.workflow, r.status,"
        " r.started_at, r.finished_at, s.workflow FROM expectations e"
        " LEFT JOIN runs r ON r.key = e.run_key LEFT JOIN schedules s ON s.id = e.schedule_id"
        " WHERE e.breached_at IS NULL AND e.due <= ? ORDER BY e.due LIMIT ?",
        (tx.now_us, BATCH),
    ).fetchall()
    broken = 0
    for row in rows:
        if row[3] == "finish_within" and (later := _moved(tx, row)) is not None:
            tx.execute("UPDATE expectations SET due = ? WHERE id = ?", (later, row[0]))
            continue
        text = _breach(row)
        if text is None:
            tx.execute("DELETE FROM expectations WHERE id = ?", (row[0],))
            continue
        broken += 1
        tx.execute(
            "UPDATE expectations SET breached_at = ?, text = ? WHERE id = ?", (tx.now_us, text, row[0])
        )
        tx.event(
            EventKind.SLA_BREACHED,
            run_key=row[6],
            run_id=row[7],
            schedule_id=row[1],
            workflow=row[12] or row[8],
            data={"promise": row[3], "nominal": row[2], "message": text},
        )
    return broken


def _moved(tx: Tx, row: Any) -> int | None:
    """When a run's duration can be judged, if that is later than now: it counts from its start."""
    seconds, key, status, started, finished = row[4], row[6], row[9], row[10], row[11]
    if key is None or finished is not None:
        return None
    if started is None:
        return tx.now_us + int(seconds * 1_000_000) if status in ("queued", "paused") else None
    judged = int(started) + int(seconds * 1_000_000)
    return judged if judged > tx.now_us else None


def _breach(row: Any) -> str | None:
    """What was not kept, in words; None if it was kept."""
    kind, seconds, due, key, run_id, status, started, finished = (
        row[3], row[4], row[5], row[6], row[7], row[9], row[10], row[11],
    )  # fmt: skip
    if kind == "start_within":
        if started is not None and started <= due:
            return None
        what = "no run was started" if key is None else f"run {run_id} had not started"
        return f"{what} within {elapsed(seconds)}"
    if kind == "finish_within":
        if key is None or started is None:
            return None  # that it did not start is another promise
        if finished is not None and finished - started <= seconds * 1_000_000:
            return None
        took = f"and took {elapsed((finished - started) / 1e6)}" if finished is not None else "and still runs"
        return f"run {run_id} was to finish within {elapsed(seconds)} {took}"
    if status == "succeeded" and finished is not None and finished <= due:
        return None
    when = f"{from_us(due):%Y-%m-%d %H:%M} UTC"
    if key is None:
        return f"was to be finished by {when}, and no run was started"
    return f"run {run_id} was to have succeeded by {when}; it {_was(status, finished, due)}"


def _was(status: str, finished: int | None, due: int) -> str:
    if finished is None:
        return f"was {status}"
    return f"had {status}" if finished <= due else f"{status} only at {from_us(finished):%Y-%m-%d %H:%M} UTC"
