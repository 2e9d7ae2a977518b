"""The table `reminders`: the instants at which the assignees of a request are reminded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from victor_engine.store.locks import Root
from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories.checks import expect_one
from victor_engine.store.repositories.requests import Handle
from victor_engine.store.transaction import Tx


class Reminder(NamedTuple):
    """A reminder that is due. All times are in microseconds."""

    id: int
    due: int
    before: int | None  # before the deadline; None: it repeats
    every: int | None


def replace(tx: Tx, handle: Handle, reminders: Iterable[tuple[int, int | None, int | None]]) -> None:
    """Store the reminders of a request (due, before, every) in place of those that there are."""
    tx.lock(Root.REQUEST, handle.id)
    tx.execute("DELETE FROM reminders WHERE request_key = ?", (handle.key,))
    for reminder in reminders:
        tx.execute(
            "INSERT INTO reminders (request_key, due, before, every) VALUES (?,?,?,?)",
            (handle.key, *reminder),
        )


def due(source: Source, request_key: int, now: int) -> list[Reminder]:
    """Return the reminders of a request that are due by `now`, in order."""
    rows = source.execute(
        "SELECT id, due, before, every FROM reminders WHERE request_key = ? AND due <= ? ORDER BY due, id",
        (request_key, now),
    )
    return [Reminder(*row) for row in rows]


def delete(tx: Tx, handle: Handle, reminder: Reminder) -> None:
    """Delete a reminder that was sent."""
    tx.lock(Root.REQUEST, handle.id)
    cursor = tx.execute("DELETE FROM reminders WHERE id = ?", (reminder.id,))
    expect_one(cursor, "reminder of request", handle.id)


def postpone(tx: Tx, handle: Handle, reminder: Reminder, due: int) -> None:
    """Store the next instant of a periodic reminder."""
    tx.lock(Root.REQUEST, handle.id)
    cursor = tx.execute("UPDATE reminders SET due = ? WHERE id = ?", (due, reminder.id))
    expect_one(cursor, "reminder of request", handle.id)
