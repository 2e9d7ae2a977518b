"""The table `expectations`: the promises of schedules that are watched, and those that were not kept."""

from __future__ import annotations

from typing import NamedTuple

from victor_engine.store.locks import Root
from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories.checks import expect_unchanged
from victor_engine.store.transaction import Tx


class Promise(NamedTuple):
    """A promise that is due, with what its run has done. Instants are in microseconds."""

    id: int
    schedule_id: str
    local: str
    kind: str
    seconds: float | None
    due: int
    run_key: int | None
    run_id: str | None
    run_workflow: str | None
    status: str | None
    started_at: int | None
    finished_at: int | None
    schedule_workflow: str | None


def add(
    tx: Tx,
    schedule_id: str,
    local: str,
    fold: int,
    kind: str,
    *,
    seconds: float | None,
    run_key: int | None,
    due: int,
) -> None:
    """Store a promise of a fire. One that is stored already stays as it is."""
    tx.lock(Root.SCHEDULE, schedule_id)
    tx.execute(
        "INSERT INTO expectations (schedule_id, local, fold, kind, seconds, run_key, due) VALUES (?,?,?,?,?,?,?)"
        " ON CONFLICT (schedule_id, local, fold, kind) DO NOTHING",
        (schedule_id, local, fold, kind, seconds, run_key, due),
    )


def next_due(source: Source) -> int | None:
    """Return when the next promise is looked at, in microseconds."""
    (due,) = source.execute("SELECT MIN(due) FROM expectations WHERE breached_at IS NULL").fetchone()
    return None if due is None else int(due)


def due(source: Source, now: int, limit: int) -> list[Promise]:
    """Return the promises that are to be looked at by `now`, the longest due first."""
    rows = source.execute(
        "SELECT e.id, e.schedule_id, e.local, e.kind, e.seconds, e.due, r.key, r.id, r.workflow, r.status,"
        " r.started_at, r.finished_at, s.workflow FROM expectations e"
        " LEFT JOIN runs r ON r.key = e.run_key LEFT JOIN schedules s ON s.id = e.schedule_id"
        " WHERE e.breached_at IS NULL AND e.due <= ? ORDER BY e.due LIMIT ?",
        (now, limit),
    )
    return [Promise(*row) for row in rows]


def put_off(tx: Tx, promise: Promise, due: int) -> None:
    """Look at a promise at another instant."""
    tx.lock(Root.SCHEDULE, promise.schedule_id)
    cursor = tx.execute(
        "UPDATE expectations SET due = ? WHERE id = ? AND breached_at IS NULL", (due, promise.id)
    )
    expect_unchanged(cursor, "promise of schedule", promise.schedule_id)


def kept(tx: Tx, promise: Promise) -> None:
    """Forget a promise that was kept."""
    tx.lock(Root.SCHEDULE, promise.schedule_id)
    cursor = tx.execute("DELETE FROM expectations WHERE id = ? AND breached_at IS NULL", (promise.id,))
    expect_unchanged(cursor, "promise of schedule", promise.schedule_id)


def breached(tx: Tx, promise: Promise, text: str) -> None:
    """Store that a promise was not kept, and how."""
    tx.lock(Root.SCHEDULE, promise.schedule_id)
    cursor = tx.execute(
        "UPDATE expectations SET breached_at = ?, text = ? WHERE id = ? AND breached_at IS NULL",
        (tx.now_us, text, promise.id),
    )
    expect_unchanged(cursor, "promise of schedule", promise.schedule_id)
