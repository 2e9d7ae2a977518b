"""The effects of a run's end on schedules: failures in a row, dependent schedules, the next fire of a backfill."""

from __future__ import annotations

from typing import Protocol

from victor_engine import jsonio
from victor_engine.api import PauseInfo
from victor_engine.domain.statuses import RunStatus
from victor_engine.events import EventKind
from victor_engine.scheduling import backfill, dependency_fires
from victor_engine.scheduling import stored_schedules as ops
from victor_engine.scheduling.fires import Firing
from victor_engine.scheduling.schedule_commands import store_pause
from victor_engine.scheduling.stored_schedules import ScheduleRow
from victor_engine.store.db import Tx
from victor_engine.store.locks import Root
from victor_engine.store.queries import schedule_runs
from victor_engine.store.repositories import dependencies, schedules
from victor_engine.text import plural


class EndingRun(Protocol):
    """A run that ends."""

    @property
    def workflow(self) -> str: ...

    @property
    def schedule_id(self) -> str | None: ...


def is_relevant(tx: Tx, schedule_id: str | None, workflow: str) -> bool:
    """Return whether the end of a run can affect schedules: its own, or schedules that depend on its workflow."""
    return schedule_id is not None or tx.once(
        ("followed", workflow), lambda: dependencies.followed(tx, workflow)
    )


def lock(tx: Tx, run: EndingRun) -> None:
    """Lock the schedules that the end of a run can affect. Call it before the rows of the run are changed."""
    if not is_relevant(tx, run.schedule_id, run.workflow):
        return
    tx.apart()
    found = set(dependencies.dependents(tx, run.workflow))
    if run.schedule_id is not None:
        found.add(run.schedule_id)
    for schedule_id in sorted(found):
        tx.lock(Root.SCHEDULE, schedule_id)


def run_ended(firing: Firing, run_key: int, status: str) -> None:
    """Apply the end of a run to schedules. Call it in the same transition, after the rows of the run are written."""
    tx = firing.tx
    ended = schedule_runs.ended(tx, run_key)
    if ended.schedule_id is not None and ended.backfill_id is None:
        _count_failure(tx, ended.schedule_id, run_key, ended.id, status)
    dependency_fires.run_ended(firing, run_key, ended, status)
    if ended.backfill_id is not None:
        backfill.advance(firing, ended.backfill_id)


def _count_failure(tx: Tx, schedule_id: str, run_key: int, run_id: str, status: str) -> None:
    if status == RunStatus.SUCCEEDED:
        schedules.forget_failures(tx, schedule_id)
        return
    if status != RunStatus.FAILED:
        return
    schedules.count_failure(tx, schedule_id)
    row = ops.find(tx, schedule_id)
    if row is None or row.removed or row.paused is not None:
        return
    limit = row.spec.pause_after_failures
    if limit is not None and row.failures >= limit:
        _pause(tx, row, run_key, run_id)


def _pause(tx: Tx, row: ScheduleRow, run_key: int, run_id: str) -> None:
    error = schedule_runs.error_of(tx, run_key)
    cause = jsonio.loads(error).get("message", "") if error else ""
    cause = f": {cause[:200]}" if cause else ""
    note = f"paused after {plural(row.failures, 'failure')} in a row; the last was run {run_id}{cause}"
    store_pause(tx, row, PauseInfo(by="engine", at=tx.now, note=note))
    tx.event(
        EventKind.SCHEDULE_PAUSED,
        schedule_id=row.id,
        workflow=row.workflow,
        data={"note": note, "failures": row.failures},
    )
