"""Backfills: planning, previewing, starting, pausing, resuming and cancelling them.

The fires of a backfill are rows in the order in which they run. The next fire starts in the transition in which
an earlier run ends.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from victor_engine.api import Actor, BackfillPreview, BackfillSpec
from victor_engine.clock import from_us, to_us
from victor_engine.domain import plans
from victor_engine.domain.statuses import FINAL_RUN_STATUSES, BackfillStatus, FireOutcome, RunStatus
from victor_engine.domain.transitions import BackfillCommand, next_backfill_status
from victor_engine.errors import ConflictError, InvalidInputError, UsageError, VictorError
from victor_engine.events import EventKind
from victor_engine.exclusion import Excluded
from victor_engine.run_instant import instant_of_fire
from victor_engine.scheduling import plan_fingerprints, policy
from victor_engine.scheduling import stored_schedules as ops
from victor_engine.scheduling.fires import Firing
from victor_engine.scheduling.stored_schedules import ScheduleRow
from victor_engine.scheduling.timing import Nominal
from victor_engine.store.db import Tx
from victor_engine.store.locks import Root
from victor_engine.store.queries import schedule_runs
from victor_engine.store.queries.backfills import not_found
from victor_engine.store.repositories import backfills, fires
from victor_engine.store.repositories.backfills import Backfill
from victor_engine.store.runs import NewRun, insert_run

MAX_FIRES = 20_000
"""The maximum number of fires of one backfill. A larger range is refused with its count."""

MAX_CONCURRENCY = 100

LOWER_PRIORITY = 1
"""The difference between the priority of a schedule's own runs and that of its backfilled runs."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The fires that a backfill would run, in order, and the numbers of fires that it would not run."""

    row: ScheduleRow
    fires: tuple[Nominal, ...]
    total: int
    left_out: int
    excluded: int
    known: plan_fingerprints.FireRuns


def check(spec: BackfillSpec, now: datetime) -> None:
    """Raise UsageError if the range or the concurrency is not valid."""
    if spec.end < spec.start:
        raise UsageError(
            f"the range ends ({spec.end.isoformat()}) before it starts ({spec.start.isoformat()})"
        )
    if spec.start > now:
        raise UsageError(
            f"the range starts in the future ({spec.start.isoformat()}); a backfill runs fires of the past"
        )
    if not 1 <= spec.concurrency <= MAX_CONCURRENCY:
        raise UsageError(f"concurrency must be from 1 to {MAX_CONCURRENCY}, not {spec.concurrency}")


def plan(source: sqlite3.Connection, spec: BackfillSpec, now: datetime, excluded: Excluded) -> Plan:
    """Return the fires that a backfill would run. Raise UsageError if the range has too many."""
    check(spec, now)
    row = ops.get(source, spec.schedule_id, excluded=excluded)
    if row.spec.after is not None:
        raise UsageError(
            f"schedule {row.id} has no times of its own: it depends on {', '.join(row.spec.after.workflows)};"
            " backfill the schedules of those workflows"
        )
    if row.spec.wait_for_previous is not None and (spec.concurrency > 1 or spec.order != "oldest"):
        raise UsageError(
            "wait_for_previous of this schedule is success, so a backfill runs one fire after the other, oldest first"
        )
    timing = row.timing
    first, last = spec.start - timedelta(microseconds=1), min(spec.end, now)
    total = timing.count(first, last)
    if total > MAX_FIRES:
        raise UsageError(
            f"the range has {total:,} fires ({timing.summary}), and a backfill runs at most {MAX_FIRES:,}; "
            "choose a shorter range"
        )
    known = schedule_runs.runs_of_fires(source, row.id, to_us(first), to_us(last))
    wanted: list[Nominal] = []
    left_out = skipped = 0
    at = first
    while (nominal := timing.next_after(at)) is not None and nominal.instant <= last:
        at = nominal.instant
        status, _ = known.get((nominal.local, nominal.fold), (None, ""))
        if row.spec.exclude and excluded(row.spec, nominal.instant, timing.zone) is not None:
            skipped += 1
        elif _wanted(spec.redo, status):
            wanted.append(nominal)
        else:
            left_out += 1
    if spec.order == "newest":
        wanted.reverse()
    return Plan(row, tuple(wanted), total, left_out, skipped, known)


def _wanted(redo: str, status: str | None) -> bool:
    if status is None or redo == "all":
        return True
    return redo == "failed" and status in FINAL_RUN_STATUSES - {RunStatus.SUCCEEDED}


def preview(
    source: sqlite3.Connection,
    spec: BackfillSpec,
    now: datetime,
    excluded: Excluded,
    resolve: Any,
    refused: Any,
) -> BackfillPreview:
    """Return the plan of a backfill for display. An error is in `problem`.

    `refused` returns the reason why no run can start on the version and with the state of a schedule.
    """
    try:
        found = plan(source, spec, now, excluded)
    except UsageError as error:
        return BackfillPreview(0, problem=error.message)
    problem: str | None = refused(source, found.row.spec)
    version = resolve(source, found.row.workflow, found.row.spec.version)
    if problem is None and not found.fires:
        problem = "nothing to run: " + (
            f"all {found.left_out} fires in the range have run already"
            if found.left_out
            else "the range has no fires"
        )
    typical = schedule_runs.typical_seconds(source, found.row.workflow)
    count = len(found.fires)
    return BackfillPreview(
        count=count,
        first=found.fires[0].instant if found.fires else None,
        last=found.fires[-1].instant if found.fires else None,
        left_out=found.left_out,
        excluded=found.excluded,
        sample=tuple(nominal.instant for nominal in found.fires[:10]),
        typical_seconds=typical,
        estimate_seconds=None if typical is None else typical * -(-count // spec.concurrency),
        version=version,
        problem=problem,
        plan="" if problem else _document(found, spec, version, now).token(),
    )


def _document(found: Plan, spec: BackfillSpec, version: str | None, now: datetime) -> plans.Plan:
    spec = msgspec.structs.replace(spec, schedule_id=found.row.id)
    return plan_fingerprints.backfill_plan(spec, found.row.spec, version, found.fires, found.known, now)


# --- commands --------------------------------------------------------------------------------------


def start(firing: Firing, spec: BackfillSpec, *, actor: Actor, note: str = "") -> int:
    """Start a backfill and its first runs. Return the id of the backfill."""
    found = plan(firing.tx.connection, spec, firing.tx.now, firing.excluded)
    if not found.fires:
        raise UsageError(
            f"nothing to run: {found.left_out} fires in the range have run already, and calendars exclude "
            f"{found.excluded}"
        )
    return _begin(firing, spec, found, actor, note)


def start_planned(
    firing: Firing, spec: BackfillSpec, shown: plans.Plan, resolve: Any, *, actor: Actor, note: str = ""
) -> tuple[int, tuple[str, ...]]:
    """Start a backfill of the fires that a plan lists. Return its id and the changes of the fires that are left out.

    `resolve` returns the version that a schedule starts, as for `preview`.
    """
    tx = firing.tx
    found = plan(tx.connection, spec, tx.now, firing.excluded)
    spec = msgspec.structs.replace(spec, schedule_id=found.row.id)
    version = resolve(tx.connection, found.row.workflow, found.row.spec.version)
    fires, changed = plan_fingerprints.still_planned(
        shown, spec, found.row.spec, version, found.fires, found.known
    )
    return _begin(firing, spec, replace(found, fires=fires), actor, note), changed


def _begin(firing: Firing, spec: BackfillSpec, found: Plan, actor: Actor, note: str) -> int:
    tx, row = firing.tx, found.row
    tx.lock(Root.SCHEDULE, row.id)
    start = firing.resolve(tx, row.workflow, row.spec.version)
    if start.inputs is not None:
        start.inputs.check(row.workflow, row.spec.initial_state)
    running = backfills.unfinished(tx, row.id)
    if running is not None:
        raise ConflictError(
            f"backfill {running} of schedule {row.id} is not finished; wait until it is, or cancel it first"
        )
    spec = msgspec.structs.replace(spec, schedule_id=row.id)
    listed = [(to_us(nominal.instant), nominal.local, nominal.fold) for nominal in found.fires]
    backfill_id = backfills.add(tx, spec, row.workflow, listed, actor=actor, note=note)
    data: dict[str, Any] = {
        "backfill": backfill_id,
        "fires": len(found.fires),
        "from": found.fires[0].local,
        "to": found.fires[-1].local,
        **({"note": note} if note else {}),
    }
    tx.event(EventKind.BACKFILL_STARTED, actor=actor, schedule_id=row.id, workflow=row.workflow, data=data)
    advance(firing, backfill_id)
    return backfill_id


def advance(firing: Firing, backfill_id: int) -> None:
    """Start runs up to the concurrency of a backfill. Finish a backfill whose last run has ended."""
    tx = firing.tx
    found = backfills.lock(tx, backfill_id)
    if found is None or found.status not in (BackfillStatus.RUNNING, BackfillStatus.CANCELLED):
        return
    active = schedule_runs.active_of_backfill(tx, backfill_id)
    held = firing.draining is not None or found.status is BackfillStatus.CANCELLED
    free = 0 if held else found.spec.concurrency - active
    pending = backfills.pending(tx, backfill_id, max(1, free))
    if not pending and not active and found.status is BackfillStatus.RUNNING:
        _finish(tx, found)
        return
    if free <= 0:
        return
    schedule = ops.get(tx, found.schedule_id, removed=True)
    waits = policy.wait_words(schedule.spec, schedule_runs.last_of_backfill(tx, backfill_id))
    if waits is not None and pending:
        _pause_for_problem(tx, found, f"the next one {waits}")
        return
    for number, nominal, local, fold in pending:
        try:
            start = firing.resolve(tx, found.workflow, schedule.spec.version)
        except VictorError as error:
            _pause_for_problem(tx, found, error.message)
            return
        new = NewRun(
            workflow=found.workflow,
            definition_id=start.definition_id,
            start_node=start.node,
            choice=start.choice,
            inputs=start.inputs,
            state=dict(schedule.spec.initial_state),
            trigger="backfill",
            actor=found.actor,
            schedule_id=found.schedule_id,
            nominal_us=nominal,
            priority=schedule.spec.priority - LOWER_PRIORITY,
            backfill_id=backfill_id,
            instant=instant_of_fire(
                from_us(nominal),
                schedule.timing.zone,
                schedule.timing.previous_before(from_us(nominal)),
                trigger="backfill",
                schedule=schedule.id,
            ),
        )
        try:
            key, run_id = insert_run(tx, new)
        except InvalidInputError as error:
            _pause_for_problem(tx, found, error.message)
            return
        backfills.start_fire(tx, found, number, key)
        _record(tx, schedule, Nominal(from_us(nominal), local, fold), backfill_id, found.actor, key, run_id)
        firing.created.append((key, schedule.spec.priority - LOWER_PRIORITY))


def _record(
    tx: Tx, schedule: ScheduleRow, nominal: Nominal, backfill_id: int, by: Actor, key: int, run_id: str
) -> None:
    """Set the outcome of a fire to backfilled. The reason and the events keep the earlier outcome."""
    before = fires.outcome(tx, schedule.id, nominal.local, nominal.fold)
    reason = f"backfill {backfill_id} by {by.user}"
    if before is None:
        ops.record_fire(
            tx, schedule, nominal, FireOutcome.BACKFILLED, reason, run_key=key, run_id=run_id, actor=by
        )
        return
    was = before[1] if before[1].startswith(before[0]) else f"{before[0]}: {before[1]}"
    fires.set_backfilled(
        tx, schedule.id, nominal.local, nominal.fold, f"{reason}; before that {was}", actor=by, run_key=key
    )
    ops.write_fire_event(
        tx, schedule, nominal, FireOutcome.BACKFILLED, reason, run_key=key, run_id=run_id, actor=by
    )


def _finish(tx: Tx, found: Backfill) -> None:
    backfills.set_status(tx, found, BackfillStatus.FINISHED)
    _, succeeded, failed = schedule_runs.backfill_counts(tx, found.id)
    tx.event(
        EventKind.BACKFILL_FINISHED,
        schedule_id=found.schedule_id,
        workflow=found.workflow,
        data={"backfill": found.id, "fires": found.total, "succeeded": succeeded, "failed": failed},
    )


def _pause_for_problem(tx: Tx, found: Backfill, problem: str) -> None:
    backfills.set_status(tx, found, BackfillStatus.PAUSED, problem=problem)
    tx.event(
        EventKind.BACKFILL_PAUSED,
        schedule_id=found.schedule_id,
        workflow=found.workflow,
        data={"backfill": found.id, "note": f"it cannot start further runs: {problem}"},
    )


_EVENTS = {
    BackfillCommand.PAUSE: EventKind.BACKFILL_PAUSED,
    BackfillCommand.RESUME: EventKind.BACKFILL_RESUMED,
    BackfillCommand.CANCEL: EventKind.BACKFILL_CANCELLED,
}


def _change(tx: Tx, backfill_id: int, command: BackfillCommand, actor: Actor, note: str) -> None:
    """Carry out a command on a backfill. Raise ConflictError if its status refuses it."""
    found = backfills.lock(tx, backfill_id)
    if found is None:
        raise not_found(backfill_id)
    backfills.set_status(tx, found, next_backfill_status(backfill_id, found.status, command))
    data: dict[str, Any] = {"backfill": backfill_id, **({"note": note} if note else {})}
    tx.event(_EVENTS[command], actor=actor, schedule_id=found.schedule_id, workflow=found.workflow, data=data)


def pause(firing: Firing, backfill_id: int, *, actor: Actor, note: str = "") -> None:
    """Start no further runs until the backfill is resumed. Active runs continue."""
    _change(firing.tx, backfill_id, BackfillCommand.PAUSE, actor, note)


def resume(firing: Firing, backfill_id: int, *, actor: Actor, note: str = "") -> None:
    """Continue a paused backfill."""
    _change(firing.tx, backfill_id, BackfillCommand.RESUME, actor, note)
    advance(firing, backfill_id)


def cancel(firing: Firing, backfill_id: int, *, actor: Actor, note: str = "") -> None:
    """Start no further runs. Active runs continue; fires that were not started keep their outcome."""
    _change(firing.tx, backfill_id, BackfillCommand.CANCEL, actor, note)
