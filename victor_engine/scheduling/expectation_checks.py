"""The checks of a schedule's expectations (`expect`), with one event for each expectation that is not met.

Each expectation is a row with the instant of its check. The check compares the times of the run with that
instant, so a restart, a jump of the clock or a downtime can delay the event but does not change the result.
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
from victor_engine.store.repositories.expectations import Expectation

BATCH = 200
"""Expectations that are checked in one transaction."""


def add(tx: Tx, row: ScheduleRow, nominal: Nominal, due: datetime, run_key: int | None) -> bool:
    """Store the expectations of a fire that was due at `due`. Return False if its schedule has none."""
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


def check_due(tx: Tx) -> int:
    """Check the expectations that are due. Return the number that are not met."""
    breached = 0
    for expectation in expectations.due(tx, tx.now_us, BATCH):
        if expectation.kind == "finish_within" and (later := _later_check(tx, expectation)) is not None:
            expectations.postpone(tx, expectation, later)
            continue
        text = _breach(expectation)
        if text is None:
            expectations.met(tx, expectation)
            continue
        breached += 1
        expectations.breached(tx, expectation, text)
        tx.event(
            EventKind.SLA_BREACHED,
            run_key=expectation.run_key,
            run_id=expectation.run_id,
            schedule_id=expectation.schedule_id,
            workflow=expectation.schedule_workflow or expectation.run_workflow,
            data={"promise": expectation.kind, "nominal": expectation.local, "message": text},
        )
    return breached


def _later_check(tx: Tx, expectation: Expectation) -> int | None:
    """Return when the duration of a run can be checked, if later than now. It counts from the start of the run."""
    if expectation.run_key is None or expectation.finished_at is not None or expectation.seconds is None:
        return None
    span = int(expectation.seconds * 1_000_000)
    if expectation.started_at is None:
        return tx.now_us + span if expectation.status in (RunStatus.QUEUED, RunStatus.PAUSED) else None
    checked_at = expectation.started_at + span
    return checked_at if checked_at > tx.now_us else None


def _breach(expectation: Expectation) -> str | None:
    """Return how an expectation is not met, in words; None if it is met."""
    kind, seconds, due, key, run_id = (
        expectation.kind, expectation.seconds or 0.0, expectation.due, expectation.run_key, expectation.run_id,
    )  # fmt: skip
    status, started, finished = expectation.status, expectation.started_at, expectation.finished_at
    if kind == "start_within":
        if started is not None and started <= due:
            return None
        what = "no run was started" if key is None else f"run {run_id} had not started"
        return f"{what} within {elapsed(seconds)}"
    if kind == "finish_within":
        if key is None or started is None:
            return None  # start_within covers a run that did not start
        if finished is not None and finished - started <= seconds * 1_000_000:
            return None
        took = f"took {elapsed((finished - started) / 1e6)}" if finished is not None else "is still running"
        return f"run {run_id} {took}; it was expected to finish within {elapsed(seconds)}"
    if status == RunStatus.SUCCEEDED and finished is not None and finished <= due:
        return None
    when = f"{from_us(due):%Y-%m-%d %H:%M} UTC"
    if key is None:
        return f"no run was started; one was expected to finish by {when}"
    return f"run {run_id} was expected to succeed by {when}; it {_status_words(status, finished, due)}"


def _status_words(status: str | None, finished: int | None, due: int) -> str:
    if finished is None:
        return f"was {status}"
    return f"had {status}" if finished <= due else f"{status} only at {from_us(finished):%Y-%m-%d %H:%M} UTC"
