"""Fires of the past, run now: what would run, and how it is started, paused and cancelled.

The fires of a backfill are rows in the order in which they run. Each run that ends makes place for
the next one, in the transition in which it ends.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from victor_engine.api import Actor, BackfillInfo, BackfillPreview, BackfillSpec
from victor_engine.clock import from_us, to_us
from victor_engine.errors import ConflictError, NotFoundError, UsageError, VictorError
from victor_engine.events import EventKind
from victor_engine.scheduler import rows as ops
from victor_engine.scheduler.firing import ACTIVE, Excluded, Firing
from victor_engine.scheduler.rows import ScheduleRow
from victor_engine.scheduler.timing import Nominal
from victor_engine.store.db import Tx, actor_from_json, actor_json
from victor_engine.store.runs import NewRun, insert_run

MAX_FIRES = 20_000
"""Fires of one backfill. A range with more is refused with their count."""

MAX_CONCURRENCY = 100

LATER = 1
"""How far the priority of backfilled runs lies below that of the schedule's own."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a backfill would run, in order, and what it leaves out."""

    row: ScheduleRow
    fires: tuple[Nominal, ...]
    total: int
    left_out: int
    excluded: int


def check(spec: BackfillSpec, now: datetime) -> None:
    """UsageError for a range or a concurrency that makes no sense."""
    if spec.end < spec.start:
        raise UsageError(
            f"the range ends ({spec.end.isoformat()}) before it starts ({spec.start.isoformat()})"
        )
    if spec.start > now:
        raise UsageError("the range lies in the future; a backfill runs what was due")
    if not 1 <= spec.concurrency <= MAX_CONCURRENCY:
        raise UsageError(f"concurrency must be from 1 to {MAX_CONCURRENCY}, not {spec.concurrency}")


def plan(source: sqlite3.Connection, spec: BackfillSpec, now: datetime, excluded: Excluded) -> Plan:
    """What would run. UsageError if there are too many fires, or none."""
    check(spec, now)
    row = ops.get(source, spec.schedule_id)
    if row.spec.after is not None:
        raise UsageError(
            f"schedule {row.id} has no times of its own: it comes after {', '.join(row.spec.after.workflows)};"
            " backfill those"
        )
    timing = row.timing
    first, last = spec.start - timedelta(microseconds=1), min(spec.end, now)
    total = timing.count(first, last)
    if total > MAX_FIRES:
        raise UsageError(
            f"the range holds {total:,} fires ({timing.summary}); a backfill runs at most {MAX_FIRES:,}: narrow it"
        )
    known = _known(source, row.id, first, last)
    fires: list[Nominal] = []
    left_out = skipped = 0
    at = first
    while (nominal := timing.next_after(at)) is not None and nominal.instant <= last:
        at = nominal.instant
        status = known.get((nominal.local, nominal.fold))
        if row.spec.exclude and excluded(row.spec, nominal.instant, timing.zone) is not None:
            skipped += 1
        elif _wanted(spec.redo, status):
            fires.append(nominal)
        else:
            left_out += 1
    if spec.order == "newest":
        fires.reverse()
    return Plan(row, tuple(fires), total, left_out, skipped)


def _known(source: sqlite3.Connection, schedule_id: str, first: datetime, last: datetime) -> dict[Any, str]:
    """The status of the run of each fire that has one."""
    return {
        (local, fold): status
        for local, fold, status in source.execute(
            "SELECT f.local, f.fold, r.status FROM fires f JOIN runs r ON r.key = f.run_key"
            " WHERE f.schedule_id = ? AND f.nominal > ? AND f.nominal <= ?",
            (schedule_id, to_us(first), to_us(last)),
        )
    }


def _wanted(redo: str, status: str | None) -> bool:
    if status is None or redo == "all":
        return True
    return redo == "failed" and status in ("failed", "rejected", "cancelled")


def preview(
    source: sqlite3.Connection, spec: BackfillSpec, now: datetime, excluded: Excluded, resolve: Any
) -> BackfillPreview:
    """As `plan`, for people; what is wrong with it is in `problem`."""
    try:
        found = plan(source, spec, now, excluded)
    except UsageError as error:
        return BackfillPreview(0, problem=error.message)
    version: str | None = None
    problem: str | None = None
    version = resolve(source, found.row.workflow, found.row.spec.version)
    if version is None:
        problem = f"there is no version {found.row.spec.version or 'latest'} of {found.row.workflow}"
    elif not found.fires:
        problem = "nothing to run: " + (
            f"all {found.left_out} fires in the range have run"
            if found.left_out
            else "no fire lies in the range"
        )
    typical = typical_seconds(source, found.row.workflow)
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
    )


def typical_seconds(source: sqlite3.Connection, workflow: str) -> float | None:
    """The median duration of the last 50 runs of a workflow that succeeded."""
    took = sorted(
        finished - started
        for started, finished in source.execute(
            "SELECT started_at, finished_at FROM runs WHERE workflow = ? AND status = 'succeeded'"
            " AND started_at IS NOT NULL ORDER BY key DESC LIMIT 50",
            (workflow,),
        )
    )
    return took[len(took) // 2] / 1e6 if took else None


# --- what is done to it ----------------------------------------------------------------------------


def start(firing: Firing, spec: BackfillSpec, *, actor: Actor, note: str = "") -> int:
    """Begin a backfill and start its first runs; returns its id."""
    tx = firing.tx
    found = plan(tx.connection, spec, tx.now, firing.excluded)
    row = found.row
    if not found.fires:
        raise UsageError(
            f"nothing to run: {found.left_out} fires in the range have run, {found.excluded} are left out"
        )
    firing.resolve(tx, row.workflow, row.spec.version)
    running = tx.execute(
        "SELECT id FROM backfills WHERE schedule_id = ? AND status IN ('running', 'paused')", (row.id,)
    ).fetchone()
    if running is not None:
        raise ConflictError(
            f"backfill {running[0]} of schedule {row.id} is not finished; wait for it, or cancel it first"
        )
    spec = msgspec.structs.replace(spec, schedule_id=row.id)
    cursor = tx.execute(
        "INSERT INTO backfills (schedule_id, workflow, spec, status, total, actor, note, created_at)"
        " VALUES (?,?,?,'running',?,?,?,?)",
        (
            row.id, row.workflow, msgspec.json.encode(spec).decode(), len(found.fires), actor_json(actor), note,
            tx.now_us,
        ),
    )  # fmt: skip
    backfill_id = cursor.lastrowid
    assert backfill_id is not None
    tx.connection.executemany(
        "INSERT INTO backfill_fires (backfill_id, number, nominal, local, fold) VALUES (?,?,?,?,?)",
        [
            (backfill_id, number, to_us(nominal.instant), nominal.local, nominal.fold)
            for number, nominal in enumerate(found.fires)
        ],
    )
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
    """Start as many runs as there is room for; a backfill whose last run has ended is finished."""
    tx = firing.tx
    row = tx.execute(
        "SELECT schedule_id, workflow, spec, actor, total, status FROM backfills WHERE id = ?", (backfill_id,)
    ).fetchone()
    if row is None or row[5] not in ("running", "cancelled"):
        return
    schedule_id, workflow, spec_json, actor_text, total, status = row
    spec = msgspec.json.decode(spec_json, type=BackfillSpec)
    (active,) = tx.execute(
        f"SELECT COUNT(*) FROM runs WHERE backfill_id = ? AND status IN {ACTIVE}", (backfill_id,)
    ).fetchone()
    room = 0 if firing.draining is not None or status == "cancelled" else spec.concurrency - active
    pending = tx.execute(
        "SELECT number, nominal, local, fold FROM backfill_fires WHERE backfill_id = ? AND run_key IS NULL"
        " ORDER BY number LIMIT ?",
        (backfill_id, max(1, room)),
    ).fetchall()
    if not pending and not active and status == "running":
        _finish(tx, backfill_id, schedule_id, workflow, total)
        return
    if room <= 0:
        return
    schedule = ops.get(tx, schedule_id, removed=True)
    by = actor_from_json(actor_text)
    for number, nominal, local, fold in pending:
        try:
            start = firing.resolve(tx, workflow, schedule.spec.version)
        except VictorError as error:
            _hold(tx, backfill_id, schedule_id, workflow, error.message)
            return
        new = NewRun(
            workflow=workflow,
            definition_id=start.definition_id,
            start_node=start.node,
            choice=start.choice,
            state=dict(schedule.spec.initial_state),
            trigger="backfill",
            actor=by,
            schedule_id=schedule_id,
            nominal_us=nominal,
            priority=schedule.spec.priority - LATER,
            backfill_id=backfill_id,
        )
        key, run_id = insert_run(tx, new)
        tx.execute(
            "UPDATE backfill_fires SET run_key = ? WHERE backfill_id = ? AND number = ?",
            (key, backfill_id, number),
        )
        _record(tx, schedule, Nominal(from_us(nominal), local, fold), backfill_id, by, key, run_id)
        firing.created.append((key, schedule.spec.priority - LATER))


def _record(
    tx: Tx, schedule: ScheduleRow, nominal: Nominal, backfill_id: int, by: Actor, key: int, run_id: str
) -> None:
    """The fire's outcome is now backfilled; what it was before is in its reason, and in the events."""
    before = tx.execute(
        "SELECT outcome, reason FROM fires WHERE schedule_id = ? AND local = ? AND fold = ?",
        (schedule.id, nominal.local, nominal.fold),
    ).fetchone()
    reason = f"backfill {backfill_id} by {by.user}"
    if before is None:
        ops.record_fire(tx, schedule, nominal, "backfilled", reason, run_key=key, run_id=run_id, actor=by)
        return
    was = before[1] if before[1].startswith(before[0]) else f"{before[0]}: {before[1]}"
    tx.execute(
        "UPDATE fires SET outcome = 'backfilled', reason = ?, actor = ?, decided_at = ?, run_key = ?"
        " WHERE schedule_id = ? AND local = ? AND fold = ?",
        (
            f"{reason}; before that {was}",
            actor_json(by),
            tx.now_us,
            key,
            schedule.id,
            nominal.local,
            nominal.fold,
        ),
    )
    tx.event(
        EventKind.FIRE_DECIDED,
        actor=by,
        run_key=key,
        run_id=run_id,
        schedule_id=schedule.id,
        workflow=schedule.workflow,
        data={"nominal": nominal.local, "outcome": "backfilled", "reason": reason},
    )


def _finish(tx: Tx, backfill_id: int, schedule_id: str, workflow: str, total: int) -> None:
    tx.execute(
        "UPDATE backfills SET status = 'finished', finished_at = ? WHERE id = ?", (tx.now_us, backfill_id)
    )
    _, succeeded, failed = counts(tx.connection, backfill_id)
    tx.event(
        EventKind.BACKFILL_FINISHED,
        schedule_id=schedule_id,
        workflow=workflow,
        data={"backfill": backfill_id, "fires": total, "succeeded": succeeded, "failed": failed},
    )


def _hold(tx: Tx, backfill_id: int, schedule_id: str, workflow: str, problem: str) -> None:
    tx.execute("UPDATE backfills SET status = 'paused', problem = ? WHERE id = ?", (problem, backfill_id))
    tx.event(
        EventKind.BACKFILL_PAUSED,
        schedule_id=schedule_id,
        workflow=workflow,
        data={"backfill": backfill_id, "note": f"it cannot go on: {problem}"},
    )


def _change(
    firing: Firing,
    backfill_id: int,
    to: str,
    expect: tuple[str, ...],
    kind: EventKind,
    actor: Actor,
    note: str,
) -> None:
    tx = firing.tx
    row = tx.execute(
        "SELECT schedule_id, workflow, status FROM backfills WHERE id = ?", (backfill_id,)
    ).fetchone()
    if row is None:
        raise NotFoundError(
            f"there is no backfill {backfill_id}; `victor scheduler backfill list` shows them"
        )
    if row[2] not in expect:
        raise ConflictError(f"backfill {backfill_id} is {row[2]}")
    ended = tx.now_us if to == "cancelled" else None
    tx.execute(
        "UPDATE backfills SET status = ?, problem = NULL, finished_at = ? WHERE id = ?",
        (to, ended, backfill_id),
    )
    data: dict[str, Any] = {"backfill": backfill_id, **({"note": note} if note else {})}
    tx.event(kind, actor=actor, schedule_id=row[0], workflow=row[1], data=data)


def pause(firing: Firing, backfill_id: int, *, actor: Actor, note: str = "") -> None:
    """Start nothing more until it is resumed; what runs goes on."""
    _change(firing, backfill_id, "paused", ("running",), EventKind.BACKFILL_PAUSED, actor, note)


def resume(firing: Firing, backfill_id: int, *, actor: Actor, note: str = "") -> None:
    _change(firing, backfill_id, "running", ("paused",), EventKind.BACKFILL_RESUMED, actor, note)
    advance(firing, backfill_id)


def cancel(firing: Firing, backfill_id: int, *, actor: Actor, note: str = "") -> None:
    """Start nothing more. What runs goes on; what it has not started keeps the outcome that it had."""
    _change(
        firing, backfill_id, "cancelled", ("running", "paused"), EventKind.BACKFILL_CANCELLED, actor, note
    )


def open_ones(source: sqlite3.Connection) -> list[int]:
    return [row[0] for row in source.execute("SELECT id FROM backfills WHERE status = 'running' ORDER BY id")]


# --- what it looks like ----------------------------------------------------------------------------


def counts(source: sqlite3.Connection, backfill_id: int) -> tuple[int, int, int]:
    """Runs that are active, that succeeded, and that ended otherwise."""
    found = dict(
        source.execute(
            "SELECT status, COUNT(*) FROM runs WHERE backfill_id = ? GROUP BY status", (backfill_id,)
        )
    )
    succeeded = found.pop("succeeded", 0)
    failed = sum(found.pop(status, 0) for status in ("failed", "rejected", "cancelled"))
    return sum(found.values()), succeeded, failed


_SELECT = (
    "SELECT id, workflow, spec, status, total, actor, created_at, finished_at, note, problem FROM backfills"
)


def infos(
    source: sqlite3.Connection, schedule_id: str | None = None, limit: int = 50, *, unfinished: bool = False
) -> list[BackfillInfo]:
    """Backfills, newest first."""
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
    row = source.execute(f"{_SELECT} WHERE id = ?", (backfill_id,)).fetchone()
    if row is None:
        raise NotFoundError(
            f"there is no backfill {backfill_id}; `victor scheduler backfill list` shows them"
        )
    return _info(source, row)


def _info(source: sqlite3.Connection, row: Any) -> BackfillInfo:
    running, succeeded, failed = counts(source, row[0])
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
