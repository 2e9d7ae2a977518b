"""Changes of the machine's clock: their record, and the correction of schedules after the clock was ahead."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import datetime

import msgspec

from victor_engine import jsonio
from victor_engine.api import ClockAhead, PauseInfo
from victor_engine.clock import from_us, to_us
from victor_engine.events import EventKind
from victor_engine.scheduling.downtime import Gap
from victor_engine.scheduling.fires import OPERATOR_SKIP
from victor_engine.scheduling.stored_schedules import ScheduleRow, find, first_open
from victor_engine.store.db import Tx
from victor_engine.store.locks import Root
from victor_engine.store.queries.events import first_after, instant_before, last_event, newest_of_schedule
from victor_engine.store.repositories import expectations, fires, meta, schedules

SHORTEST = 5_000_000
"""Microseconds up to which a clock that was ahead is corrected without an event, if no fire becomes open again."""


def record_jump(tx: Tx, gap: Gap) -> None:
    """Write the event of a jump of the clock forward, or of a suspend."""
    data = {"from": gap.start.isoformat(), "to": gap.end.isoformat(), "message": str(gap)}
    tx.event(EventKind.ENGINE_CLOCK_JUMPED, data=data)


def is_ahead(source: sqlite3.Connection, now: int) -> bool:
    """Return whether a schedule was decided for instants that are still to come."""
    return schedules.latest_cursor(source) > now or fires.has_open(source, now, OPERATOR_SKIP)


def correct(tx: Tx, seen: datetime, looked: datetime | None) -> ClockAhead | None:
    """Open the missed and skipped fires of instants that are still to come, and set the cursors back.

    Fires of instants that have come since the last decision by the corrected clock become open too.

    A fire that started a run keeps its outcome, so it does not run again. So does a fire that an operator skipped.

    Args:
        tx: The transaction, at an instant of the corrected clock.
        seen: The latest instant that the clock showed.
        looked: The instant of the last decision by the corrected clock; None if another engine made it.

    Returns:
        When the clock was ahead; None if it was ahead too shortly to matter.
    """
    furthest = max(to_us(seen), schedules.latest_cursor(tx))
    if furthest <= tx.now_us and not fires.has_open(tx, tx.now_us, OPERATOR_SKIP):
        return None
    last = last_event(tx)
    since = _ahead_since(tx, looked or tx.now)
    base = since if looked is None else max(since, looked)
    opened = sum(
        _set_back(tx, schedule, tx.now if changed > tx.now_us else base)
        for schedule, changed in schedules.ahead(tx, tx.now_us)
    )
    if not opened and furthest - tx.now_us <= SHORTEST:
        return None
    ahead = ClockAhead(since, tx.now, from_us(max(furthest, fires.latest(tx))), opened, last)
    meta.put_clock_ahead(tx, ahead)
    tx.event(EventKind.ENGINE_CLOCK_CORRECTED, data=msgspec.to_builtins(ahead))
    return ahead


def _ahead_since(tx: Tx, otherwise: datetime) -> datetime:
    """Return when the clock went ahead, at the earliest: before the first event with an instant still to come."""
    before = meta.clock_ahead(tx)
    first = first_after(tx.connection, tx.now_us, before.last_event if before is not None else 0)
    if first is None:
        return min(otherwise, tx.now)
    seq, kind, data = first
    if kind == EventKind.ENGINE_CLOCK_JUMPED and data is not None:
        return min(datetime.fromisoformat(jsonio.loads(data)["from"]), tx.now)
    at = instant_before(tx.connection, seq)
    return tx.now if at is None else min(from_us(at), tx.now)


def _set_back(tx: Tx, schedule: str, cursor: datetime) -> int:
    """Correct one schedule. Return the number of its fires that became open again."""
    tx.lock(Root.SCHEDULE, schedule)
    row = find(tx, schedule)
    if row is None:
        return 0
    opened: list[tuple[str, int]] = []
    if row.spec.after is None:  # the fire of a dependency has no other time
        opened = fires.reopen(tx, row.id, to_us(cursor), OPERATOR_SKIP)
        expectations.forget(tx, row.id, opened)
    pause = _pause_that_ended_early(tx, row)
    back = replace(
        row,
        cursor=min(row.cursor, cursor),
        created_at=min(row.created_at, tx.now),
        paused=pause or row.paused,
        _timing=None,
    )
    due = first_open(tx, back, back.cursor) if back.firing and not back.exhausted else None
    schedules.set_back(
        tx, row.id, cursor=to_us(back.cursor), created_at=to_us(back.created_at), next_fire=due
    )
    if back.paused is not None:
        schedules.pause(tx, row.id, back.paused, to_us(back.cursor))
    if pause is not None:
        data = {"note": "the clock was ahead when the pause ended", "until": str(pause.until)}
        tx.event(EventKind.SCHEDULE_PAUSED, schedule_id=row.id, workflow=row.workflow, data=data)
    if opened:
        words = f"{opened[0][0]} to {opened[-1][0]}" if len(opened) > 1 else opened[0][0]
        note = f"the clock was ahead; open again: {len(opened)} ({words})"
        facts = {"note": note, "fires": len(opened), "first": opened[0][0], "last": opened[-1][0]}
        tx.event(EventKind.SCHEDULE_REOPENED, schedule_id=row.id, workflow=row.workflow, data=facts)
    return len(opened)


def _pause_that_ended_early(tx: Tx, row: ScheduleRow) -> PauseInfo | None:
    """Return the pause that ended at its set time by the clock that was ahead, if that time is still to come."""
    if row.paused is not None or row.removed:
        return None
    kinds = (EventKind.SCHEDULE_PAUSED, EventKind.SCHEDULE_RESUMED)
    newest = newest_of_schedule(tx.connection, row.id, kinds, 0, 2**62, 1)
    for _, kind, _, data in newest:
        pause = jsonio.loads(data).get("pause") if kind == EventKind.SCHEDULE_RESUMED and data else None
        if pause is not None:
            info = msgspec.convert(pause, PauseInfo)
            return info if info.until is not None and info.until > tx.now else None
    return None
