"""The table `fires`: what became of each nominal instant of a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from victor_engine.api import Actor
from victor_engine.domain.statuses import FireOutcome
from victor_engine.store.locks import Root
from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories.checks import expect_one, expect_rows
from victor_engine.store.transaction import Tx, actor_json

_INSERT = (
    "INSERT INTO fires (schedule_id, workflow, local, fold, nominal, outcome, reason, actor, decided_at, run_key)"
    " VALUES (?,?,?,?,?,?,?,?,?,?)"
)


class Fire(NamedTuple):
    """A row of the table, in the order of its columns. Instants are in microseconds, `actor` is JSON."""

    schedule_id: str
    workflow: str
    local: str
    fold: int
    nominal: int
    outcome: str
    reason: str
    actor: str | None
    decided_at: int
    run_key: int | None


def is_decided(source: Source, schedule_id: str, local: str, fold: int) -> bool:
    """Return whether the outcome of a fire is stored."""
    known = source.execute(
        "SELECT 1 FROM fires WHERE schedule_id = ? AND local = ? AND fold = ?", (schedule_id, local, fold)
    ).fetchone()
    return known is not None


def outcome(source: Source, schedule_id: str, local: str, fold: int) -> tuple[str, str] | None:
    """Return the outcome of a fire and its reason; None if it has not been decided."""
    row = source.execute(
        "SELECT outcome, reason FROM fires WHERE schedule_id = ? AND local = ? AND fold = ?",
        (schedule_id, local, fold),
    ).fetchone()
    return None if row is None else (row[0], row[1])


def add(tx: Tx, fire: Fire) -> bool:
    """Store the outcome of a fire; return False, and change nothing, if it has one already."""
    tx.lock(Root.SCHEDULE, fire.schedule_id)
    cursor = tx.execute(f"{_INSERT} ON CONFLICT (schedule_id, local, fold) DO NOTHING", fire)
    return cursor.rowcount > 0


def add_all(tx: Tx, fires: Sequence[Fire]) -> None:
    """Store the outcomes of fires that are known to have none."""
    for fire in fires:
        tx.lock(Root.SCHEDULE, fire.schedule_id)
    expect_rows(tx.connection.executemany(_INSERT, fires), len(fires), "fires")


def set_backfilled(
    tx: Tx, schedule_id: str, local: str, fold: int, reason: str, *, actor: Actor | None, run_key: int
) -> None:
    """Replace the outcome of a fire: a backfill has started a run for it."""
    tx.lock(Root.SCHEDULE, schedule_id)
    cursor = tx.execute(
        "UPDATE fires SET outcome = ?, reason = ?, actor = ?, decided_at = ?, run_key = ?"
        " WHERE schedule_id = ? AND local = ? AND fold = ?",
        (FireOutcome.BACKFILLED, reason, actor_json(actor), tx.now_us, run_key, schedule_id, local, fold),
    )
    expect_one(cursor, "fire", f"{local} of schedule {schedule_id}")


def name_zone(tx: Tx, schedule_id: str, zone: str, since: int) -> None:
    """Add the zone to the wall times of fires after `since` that do not name one.

    A fire whose new name is taken keeps its old one.
    """
    tx.lock(Root.SCHEDULE, schedule_id)
    tx.execute(
        "UPDATE fires SET local = local || ' ' || ? WHERE schedule_id = ? AND nominal > ?"
        " AND local NOT LIKE '% %' AND local NOT LIKE '%Z' AND NOT EXISTS (SELECT 1 FROM fires taken"
        " WHERE taken.schedule_id = fires.schedule_id AND taken.fold = fires.fold"
        " AND taken.local = fires.local || ' ' || ?)",
        (zone, schedule_id, since, zone),
    )


def latest(source: Source) -> int:
    """Return the latest nominal instant that has an outcome, in microseconds; 0 for none."""
    return int(source.execute("SELECT COALESCE(MAX(nominal), 0) FROM fires").fetchone()[0])


_OPEN = "outcome IN ('missed', 'skipped') AND run_key IS NULL AND reason <> ?"
"""Fires that started no run, without those with a certain reason."""


def has_open(source: Source, now: int, keep: str) -> bool:
    """Return whether a fire of an instant after `now` was missed or skipped, for another reason than `keep`."""
    row = source.execute(f"SELECT 1 FROM fires WHERE {_OPEN} AND nominal > ? LIMIT 1", (keep, now)).fetchone()
    return row is not None


def reopen(tx: Tx, schedule_id: str, after: int, keep: str) -> list[tuple[str, int]]:
    """Delete the outcomes of missed and skipped fires after an instant that were decided too early.

    A fire with the reason `keep` keeps its outcome.

    Returns:
        Wall time and fold of each fire, in their order.
    """
    tx.lock(Root.SCHEDULE, schedule_id)
    where = f"{_OPEN} AND schedule_id = ? AND nominal > ? AND MAX(nominal, decided_at) > ?"
    values = (keep, schedule_id, after, tx.now_us)
    found: list[tuple[str, int]] = tx.execute(
        f"SELECT local, fold FROM fires WHERE {where} ORDER BY nominal, id", values
    ).fetchall()
    tx.execute(f"DELETE FROM fires WHERE {where}", values)
    return found
