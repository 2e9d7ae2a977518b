"""The tables `backfills` and `backfill_fires`. A backfill belongs to its schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from victor_engine.api import Actor, BackfillSpec
from victor_engine.domain.statuses import BackfillStatus
from victor_engine.store.locks import Root
from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories.checks import expect_unchanged
from victor_engine.store.transaction import Tx, actor_from_json, actor_json


class Backfill(NamedTuple):
    """A backfill as it is stored."""

    id: int
    schedule_id: str
    workflow: str
    spec: BackfillSpec
    actor: Actor
    total: int
    status: BackfillStatus


class PendingFire(NamedTuple):
    """A fire of a backfill that has not been started. `nominal` is in microseconds."""

    number: int
    nominal: int
    local: str
    fold: int


def find(source: Source, backfill_id: int) -> Backfill | None:
    """Return a backfill; None if there is none with this id."""
    row = source.execute(
        "SELECT id, schedule_id, workflow, spec, actor, total, status FROM backfills WHERE id = ?",
        (backfill_id,),
    ).fetchone()
    if row is None:
        return None
    spec = msgspec.json.decode(row[3], type=BackfillSpec)
    return Backfill(row[0], row[1], row[2], spec, actor_from_json(row[4]), row[5], BackfillStatus(row[6]))


def lock(tx: Tx, backfill_id: int) -> Backfill | None:
    """Lock the schedule of a backfill and return the backfill; None if there is none with this id."""
    row = tx.execute("SELECT schedule_id FROM backfills WHERE id = ?", (backfill_id,)).fetchone()
    if row is None:
        return None
    tx.lock(Root.SCHEDULE, row[0])
    return find(tx, backfill_id)


def unfinished(source: Source, schedule_id: str) -> int | None:
    """Return the id of the backfill of a schedule that is running or paused; None if there is none."""
    row = source.execute(
        "SELECT id FROM backfills WHERE schedule_id = ? AND status IN ('running', 'paused')", (schedule_id,)
    ).fetchone()
    return None if row is None else int(row[0])


def running(source: Source) -> list[int]:
    """Return the ids of the backfills that are running, oldest first."""
    return [row[0] for row in source.execute("SELECT id FROM backfills WHERE status = 'running' ORDER BY id")]


def add(
    tx: Tx,
    spec: BackfillSpec,
    workflow: str,
    fires: Sequence[tuple[int, str, int]],
    *,
    actor: Actor | None,
    note: str,
) -> int:
    """Store a running backfill with its fires (nominal, local, fold) in their order; return its id."""
    tx.lock(Root.SCHEDULE, spec.schedule_id)
    (backfill_id,) = tx.execute(
        "INSERT INTO backfills (schedule_id, workflow, spec, status, total, actor, note, created_at)"
        " VALUES (?,?,?,?,?,?,?,?) RETURNING id",
        (
            spec.schedule_id, workflow, msgspec.json.encode(spec).decode(), BackfillStatus.RUNNING, len(fires),
            actor_json(actor), note, tx.now_us,
        ),
    ).fetchone()  # fmt: skip
    tx.connection.executemany(
        "INSERT INTO backfill_fires (backfill_id, number, nominal, local, fold) VALUES (?,?,?,?,?)",
        [(backfill_id, number, *fire) for number, fire in enumerate(fires)],
    )
    return int(backfill_id)


def pending(source: Source, backfill_id: int, limit: int) -> list[PendingFire]:
    """Return the next fires that have not been started."""
    rows = source.execute(
        "SELECT number, nominal, local, fold FROM backfill_fires WHERE backfill_id = ? AND run_key IS NULL"
        " ORDER BY number LIMIT ?",
        (backfill_id, limit),
    )
    return [PendingFire(*row) for row in rows]


def start_fire(tx: Tx, backfill: Backfill, number: int, run_key: int) -> None:
    """Store which run a fire has started."""
    tx.lock(Root.SCHEDULE, backfill.schedule_id)
    cursor = tx.execute(
        "UPDATE backfill_fires SET run_key = ? WHERE backfill_id = ? AND number = ? AND run_key IS NULL",
        (run_key, backfill.id, number),
    )
    expect_unchanged(cursor, f"fire {number} of backfill", backfill.id)


def set_status(tx: Tx, backfill: Backfill, status: BackfillStatus, *, problem: str | None = None) -> None:
    """Change the status of a backfill from the one that was read. `problem` is the reason why it cannot continue.

    Raise ConflictError if it has another status by now.
    """
    tx.lock(Root.SCHEDULE, backfill.schedule_id)
    ended = status in (BackfillStatus.CANCELLED, BackfillStatus.FINISHED)
    cursor = tx.execute(
        "UPDATE backfills SET status = ?, problem = ?, finished_at = ? WHERE id = ? AND status = ?",
        (status, problem, tx.now_us if ended else None, backfill.id, backfill.status),
    )
    expect_unchanged(cursor, "backfill", backfill.id)
