"""Promises of a schedule (`expect`): watched by the clock, told once when they are not kept.

Nothing has to be done while a run goes well: each promise is a row with the instant at which it
is looked at. Then the run is asked what it has done by that instant, so that a restart, a jump
of the clock or an engine that was away changes only when a breach is told, never whether.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from victor_engine.api import Expect
from victor_engine.clock import from_us, to_us
from victor_engine.domain.statuses import RunStatus
from victor_engine.events import EventKind
from victor_engine.scheduling.describe import elapsed
from victor_engine.scheduling.spec_clauses import finish_by
from victor_engine.scheduling.stored_schedules import ScheduleRow
from victor_engine.scheduling.timing import Nominal
from victor_engine.store.db import Tx
from victor_engine.store.repositories import expectations
from victor_engine.store.repositories.expectations import Promise

BATCH = 200
"""Promises that are looked at in one transaction."""


def promise(tx: Tx, row: ScheduleRow, nominal: Nominal, due: datetime, run_key: int | None) -> bool:
    """Write down what is promised of a fire that was due at `due`; whether there is something."""
    expect = row.spec.expect
    if expect is None:
        return False
    for kind, seconds, instant in _instants(expect, row, nominal, due):
        expectations.add(
            tx,
            row.id,
            nominal.local,
            nominal.fold,
            kind,
            seconds=seconds,
            run_key=run_key,
            due=to_us(instant),
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


def look(tx: Tx) -> int:
    """Settle the promises that are due; returns how many were not kept."""
    broken = 0
    for promise in expectations.due(tx, tx.now_us, BATCH):
        if promise.kind == "finish_within" and (later := _moved(tx, promise)) is not None:
            expectations.put_off(tx, promise, later)
            continue
        text = _breach(promise)
        if text is None:
            expectations.kept(tx, promise)
            continue
        broken += 1
        expectations.breached(tx, promise, text)
        tx.event(
            EventKind.SLA_BREACHED,
            run_key=promise.run_key,
            run_id=promise.run_id,
            schedule_id=promise.schedule_id,
            workflow=promise.schedule_workflow or promise.run_workflow,
            data={"promise": promise.kind, "nominal": promise.local, "message": text},
        )
    return broken


def _moved(tx: Tx, promise: Promise) -> int | None:
    """When a run's duration can be judged, if that is later than now: it counts from its start."""
    if promise.run_key is None or promise.finished_at is not None or promise.seconds is None:
        return None
    span = int(promise.seconds * 1_000_000)
    if promise.started_at is None:
        return tx.now_us + span if promise.status in (RunStatus.QUEUED, RunStatus.PAUSED) else None
    judged = promise.started_at + span
    return judged if judged > tx.now_us else None


def _breach(promise: Promise) -> str | None:
    """What was not kept, in words; None if it was kept."""
    kind, seconds, due, key, run_id = (
        promise.kind, promise.seconds or 0.0, promise.due, promise.run_key, promise.run_id,
    )  # fmt: skip
    status, started, finished = promise.status, promise.started_at, promise.finished_at
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
    if status == RunStatus.SUCCEEDED and finished is not None and finished <= due:
        return None
    when = f"{from_us(due):%Y-%m-%d %H:%M} UTC"
    if key is None:
        return f"was to be finished by {when}, and no run was started"
    return f"run {run_id} was to have succeeded by {when}; it {_was(status, finished, due)}"


def _was(status: str | None, finished: int | None, due: int) -> str:
    if finished is None:
        return f"was {status}"
    return f"had {status}" if finished <= due else f"{status} only at {from_us(finished):%Y-%m-%d %H:%M} UTC"
