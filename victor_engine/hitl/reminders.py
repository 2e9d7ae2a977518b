"""Reminders: said once each, as an event, however often the engine is started and the clock jumps."""

from __future__ import annotations

from typing import Any

from victor_engine.events import EventKind
from victor_engine.hitl.ask import Ask
from victor_engine.hitl.rows import Row, write_event
from victor_engine.store.db import Tx


def plan_reminders(tx: Tx, request_key: int, ask: Ask, deadline: int | None) -> None:
    """Put down what is to be said from now on, in place of what was.

    What would have been due before now is left out: it was said, or it is too late for it.
    """
    drop_reminders(tx, request_key)
    rows: list[tuple[int, int, int | None, int | None]] = []
    if deadline is not None:
        for seconds in ask.reminders:
            before = int(seconds * 1_000_000)
            if deadline - before > tx.now_us:
                rows.append((request_key, deadline - before, before, None))
    if ask.remind_every is not None:
        every = int(ask.remind_every * 1_000_000)
        rows.append((request_key, tx.now_us + every, None, every))
    for row in rows:
        tx.execute("INSERT INTO reminders (request_key, due, before, every) VALUES (?,?,?,?)", row)


def drop_reminders(tx: Tx, request_key: int) -> None:
    """Nobody has to be reminded any more."""
    tx.execute("DELETE FROM reminders WHERE request_key = ?", (request_key,))


def say_reminders(tx: Tx, row: Row) -> int:
    """Write an event for each reminder that is due; returns how many. Those of `every` go on."""
    if row.status != "open":
        drop_reminders(tx, row.key)
        return 0
    due = tx.execute(
        "SELECT id, due, before, every FROM reminders WHERE request_key = ? AND due <= ? ORDER BY due, id",
        (row.key, tx.now_us),
    ).fetchall()
    overdue = row.deadline is not None and row.deadline <= tx.now_us
    said = 0
    for reminder, at, before, every in due:
        if every is None or overdue:
            tx.execute("DELETE FROM reminders WHERE id = ?", (reminder,))
        else:
            # What was missed while no engine ran is said once, not once for each time.
            missed = (tx.now_us - at) // every
            tx.execute("UPDATE reminders SET due = ? WHERE id = ?", (at + (missed + 1) * every, reminder))
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
