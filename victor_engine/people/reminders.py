"""Reminders of open requests. Each is one event, also after restarts and jumps of the clock."""

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
    """Replace the reminders of a request by those that are due from now on."""
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
    """Delete the reminders of a request."""
    reminders.replace(tx, handle, ())


def send_reminders(tx: Tx, row: Row) -> int:
    """Write an event for each reminder that is due, and reschedule periodic reminders. Return the number of events."""
    if row.status is not RequestStatus.OPEN:
        drop_reminders(tx, row.handle)
        return 0
    overdue = row.deadline is not None and row.deadline <= tx.now_us
    sent = 0
    for reminder in reminders.due(tx, row.key, tx.now_us):
        every, before = reminder.every, reminder.before
        if every is None or overdue:
            reminders.delete(tx, row.handle, reminder)
        else:
            # Periodic reminders that were missed during a downtime become one event.
            missed = (tx.now_us - reminder.due) // every
            reminders.postpone(tx, row.handle, reminder, reminder.due + (missed + 1) * every)
        if overdue:
            continue
        data: dict[str, Any] = {"title": row.ask.title, "to": list(row.ask.assignees)}
        if row.deadline is not None:
            data["left"] = (row.deadline - tx.now_us) // 1_000_000
            data["deadline"] = row.deadline
        if before is not None:
            data["before"] = before // 1_000_000
        write_event(tx, row, EventKind.REQUEST_REMINDED, None, data)
        sent += 1
    return sent
