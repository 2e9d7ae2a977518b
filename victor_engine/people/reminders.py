"""Reminders: said once each, as an event, however often the engine is started and the clock jumps."""

from __future__ import annotations

from typing import Any

from victor_engine.domain.statuses import RequestStatus
from victor_engine.events import EventKind
from victor_engine.people.questions import Ask
from victor_engine.people.stored_request import Row, write_event
from victor_engine.store.db import Tx
from victor_engine.store.repositories import reminders
from victor_engine.store.repositories.requests import Handle


def plan_reminders(tx: Tx, handle: Handle, ask: Ask, deadline: int | None) -> None:
    """Put down what is to be said from now on, in place of what was.

    What would have been due before now is left out: it was said, or it is too late for it.
    """
    rows: list[tuple[int, int | None, int | None]] = []
    if deadline is not None:
        for seconds in ask.reminders:
            before = int(seconds * 1_000_000)
            if deadline - before > tx.now_us:
                rows.append((deadline - before, before, None))
    if ask.remind_every is not None:
        every = int(ask.remind_every * 1_000_000)
        rows.append((tx.now_us + every, None, every))
    reminders.replace(tx, handle, rows)


def drop_reminders(tx: Tx, handle: Handle) -> None:
    """Nobody has to be reminded any more."""
    reminders.replace(tx, handle, ())


def say_reminders(tx: Tx, row: Row) -> int:
    """Write an event for each reminder that is due; returns how many. Those of `every` go on."""
    if row.status is not RequestStatus.OPEN:
        drop_reminders(tx, row.handle)
        return 0
    overdue = row.deadline is not None and row.deadline <= tx.now_us
    said = 0
    for reminder in reminders.due(tx, row.key, tx.now_us):
        every, before = reminder.every, reminder.before
        if every is None or overdue:
            reminders.delete(tx, row.handle, reminder)
        else:
            # What was missed while no engine ran is said once, not once for each time.
            missed = (tx.now_us - reminder.due) // every
            reminders.put_off(tx, row.handle, reminder, reminder.due + (missed + 1) * every)
        if overdue:
            continue
        data: dict[str, Any] = {"title": row.ask.title, "to": list(row.ask.assignees)}
        if row.deadline is not None:
            data["left"] = (row.deadline - tx.now_us) // 1_000_000
            data["deadline"] = row.deadline
        if before is not None:
            data["before"] = before // 1_000_000
        write_event(tx, row, EventKind.REQUEST_REMINDED, None, data)
        said += 1
    return said
