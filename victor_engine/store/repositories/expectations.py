"""The table `expectations`: the pending expectations of schedules, and those that were not met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from victor_engine.store.locks import Root
from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories.checks import expect_unchanged
from victor_engine.store.transaction import Tx


class Expectation(NamedTuple):
    """An expectation whose check is due, with the status and times of its run. Instants are in microseconds."""

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
    """Store an expectation of a fire. An expectation that is stored already is not changed."""
    tx.lock(Root.SCHEDULE, schedule_id)
    tx.execute(
        "INSERT INTO expectations (schedule_id, local, fold, kind, seconds, run_key, due) VALUES (?,?,?,?,?,?,?)"
        " ON CONFLICT (schedule_id, local, fold, kind) DO NOTHING",
        (schedule_id, local, fold, kind, seconds, run_key, due),
    )


def next_due(source: Source) -> int | None:
    """Return when the next expectation is checked, in microseconds."""
    (due,) = source.execute("SELECT MIN(due) FROM expectations WHERE breached_at IS NULL").fetchone()
    return None if due is None else int(due)


def due(source: Source, now: int, limit: int) -> list[Expectation]:
    """Return the expectations whose check is due by `now`, the longest due first."""
    rows = source.execute(
        "SELECT e.id, e.schedule_id, e.local, e.kind, e.seconds, e.due, r.key, r.id, r.workflow, r.status,"
        " r.started_at, r.finished_at, s.workflow FROM expectations e"
        " LEFT JOIN runs r ON r.key = e.run_key LEFT JOIN schedules s ON s.id = e.schedule_id"
        " WHERE e.breached_at IS NULL AND e.due <= ? ORDER BY e.due LIMIT ?",
        (now, limit),
    )
    return [Expectation(*row) for row in rows]


def postpone(tx: Tx, expectation: Expectation, due: int) -> None:
    """Set another instant for the check of an expectation."""
    tx.lock(Root.SCHEDULE, expectation.schedule_id)
    cursor = tx.execute(
        "UPDATE expectations SET due = ? WHERE id = ? AND breached_at IS NULL", (due, expectation.id)
    )
    expect_unchanged(cursor, "expectation of schedule", expectation.schedule_id)


def met(tx: Tx, expectation: Expectation) -> None:
    """Delete an expectation that is met."""
    tx.lock(Root.SCHEDULE, expectation.schedule_id)
    cursor = tx.execute("DELETE FROM expectations WHERE id = ? AND breached_at IS NULL", (expectation.id,))
    expect_unchanged(cursor, "expectation of schedule", expectation.schedule_id)


def breached(tx: Tx, expectation: Expectation, text: str) -> None:
    """Store that an expectation is not met, and how."""
    tx.lock(Root.SCHEDULE, expectation.schedule_id)
    cursor = tx.execute(
        "UPDATE expectations SET breached_at = ?, text = ? WHERE id = ? AND breached_at IS NULL",
        (tx.now_us, text, expectation.id),
    )
    expect_unchanged(cursor, "expectation of schedule", expectation.schedule_id)


def forget(tx: Tx, schedule_id: str, fires: Sequence[tuple[str, int]]) -> None:
    """Delete the expectations of fires, given as wall time and fold, that have no run."""
    tx.lock(Root.SCHEDULE, schedule_id)
    tx.connection.executemany(
        "DELETE FROM expectations WHERE schedule_id = ? AND local = ? AND fold = ? AND run_key IS NULL",
        [(schedule_id, *fire) for fire in fires],
    )
