"""The tables `dependencies` (which schedules come after which workflows) and `arrivals` (what has ended for them)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from victor_engine.store.locks import Root
from victor_engine.store.queries.ids import Source
from victor_engine.store.transaction import Tx


class Arrival(NamedTuple):
    """The end of an upstream run that a schedule has counted. `ended_at` is in microseconds."""

    workflow: str
    run_key: int
    status: str
    ended_at: int


def followed(source: Source, workflow: str) -> bool:
    """Return whether any schedule comes after a workflow, or has done so."""
    row = source.execute("SELECT 1 FROM dependencies WHERE upstream = ?", (workflow,)).fetchone()
    return row is not None


def dependents(source: Source, workflow: str) -> list[str]:
    """Return the ids of the schedules that come after a workflow, removed or not."""
    rows = source.execute("SELECT schedule_id FROM dependencies WHERE upstream = ? ORDER BY 1", (workflow,))
    return [schedule_id for (schedule_id,) in rows]


def edges(source: Source, without: str) -> list[tuple[str, str]]:
    """Return each workflow that is waited for, with the workflow that waits. Schedule `without` is left out."""
    rows: list[tuple[str, str]] = source.execute(
        "SELECT d.upstream, s.workflow FROM dependencies d JOIN schedules s ON s.id = d.schedule_id"
        " WHERE s.removed_at IS NULL AND s.id <> ?",
        (without,),
    ).fetchall()
    return rows


def replace(tx: Tx, schedule_id: str, upstream: Iterable[str]) -> None:
    """Store after which workflows a schedule comes. With none, what has arrived for it is forgotten."""
    tx.lock(Root.SCHEDULE, schedule_id)
    tx.execute("DELETE FROM dependencies WHERE schedule_id = ?", (schedule_id,))
    rows = [(name, schedule_id) for name in upstream]
    tx.connection.executemany("INSERT INTO dependencies (upstream, schedule_id) VALUES (?,?)", rows)
    if not rows:
        tx.execute("DELETE FROM arrivals WHERE schedule_id = ?", (schedule_id,))


def arrive(tx: Tx, schedule_id: str, period: str, arrival: Arrival) -> None:
    """Store that a run has ended for a schedule, in place of an earlier one of the same workflow and period."""
    tx.lock(Root.SCHEDULE, schedule_id)
    tx.execute(
        "INSERT INTO arrivals (schedule_id, period, workflow, run_key, status, ended_at) VALUES (?,?,?,?,?,?)"
        " ON CONFLICT (schedule_id, period, workflow) DO UPDATE SET run_key = excluded.run_key,"
        " status = excluded.status, ended_at = excluded.ended_at",
        (schedule_id, period, *arrival),
    )


def arrived(source: Source, schedule_id: str, period: str) -> list[Arrival]:
    """Return what has ended for a schedule in a period."""
    rows = source.execute(
        "SELECT workflow, run_key, status, ended_at FROM arrivals WHERE schedule_id = ? AND period = ?",
        (schedule_id, period),
    )
    return [Arrival(*row) for row in rows]


def forget(tx: Tx, schedule_id: str, period: str) -> None:
    """Forget what has ended for a schedule in a period."""
    tx.lock(Root.SCHEDULE, schedule_id)
    tx.execute("DELETE FROM arrivals WHERE schedule_id = ? AND period = ?", (schedule_id, period))


def keep_newest(tx: Tx, schedule_id: str, periods: int) -> None:
    """Forget all periods of a schedule but the newest ones."""
    tx.lock(Root.SCHEDULE, schedule_id)
    tx.execute(
        "DELETE FROM arrivals WHERE schedule_id = ? AND period NOT IN"
        " (SELECT period FROM arrivals WHERE schedule_id = ? GROUP BY period ORDER BY MAX(ended_at) DESC LIMIT ?)",
        (schedule_id, schedule_id, periods),
    )


def open_periods(source: Source, schedule_id: str) -> list[tuple[str, int]]:
    """Return the periods of a schedule in which runs have ended, with the key of one of these runs."""
    rows: list[tuple[str, int]] = source.execute(
        "SELECT period, MAX(run_key) FROM arrivals WHERE schedule_id = ? GROUP BY period ORDER BY period",
        (schedule_id,),
    ).fetchall()
    return rows


def newest_period(source: Source, schedule_id: str) -> str | None:
    """Return the period in which a run has ended last for a schedule; None if none has."""
    row = source.execute(
        "SELECT period FROM arrivals WHERE schedule_id = ? ORDER BY ended_at DESC LIMIT 1", (schedule_id,)
    ).fetchone()
    return None if row is None else str(row[0])
