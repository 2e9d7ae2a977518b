"""The table `schedule_moves`: the schedules that a migration of runs moved to another version."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from victor_engine.api import ScheduleSpec
from victor_engine.store.locks import Root
from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories.checks import expect_one
from victor_engine.store.transaction import Tx


class StoredMove(Struct, frozen=True):
    """One move of a schedule, with its spec before and after it."""

    id: int
    schedule_id: str
    workflow: str
    before: ScheduleSpec
    after: ScheduleSpec


def add(tx: Tx, batch: str, schedule_id: str, before: ScheduleSpec, after: ScheduleSpec) -> None:
    """Store that a command moved a schedule."""
    tx.lock(Root.SCHEDULE, schedule_id)
    tx.execute(
        "INSERT INTO schedule_moves (batch, schedule_id, workflow, before, after) VALUES (?,?,?,?,?)",
        (
            batch,
            schedule_id,
            after.workflow,
            msgspec.json.encode(before).decode(),
            msgspec.json.encode(after).decode(),
        ),
    )


def not_undone(source: Source, batch: str) -> tuple[StoredMove, ...]:
    """Return the moves of a command that were not undone."""
    rows = source.execute(
        "SELECT id, schedule_id, workflow, before, after FROM schedule_moves"
        " WHERE batch = ? AND undone_at IS NULL ORDER BY id",
        (batch,),
    )
    return tuple(
        StoredMove(
            key,
            schedule_id,
            workflow,
            msgspec.json.decode(before, type=ScheduleSpec),
            msgspec.json.decode(after, type=ScheduleSpec),
        )
        for key, schedule_id, workflow, before, after in rows
    )


def mark_undone(tx: Tx, move: StoredMove) -> None:
    """Store that a move was undone."""
    tx.lock(Root.SCHEDULE, move.schedule_id)
    cursor = tx.execute(
        "UPDATE schedule_moves SET undone_at = ? WHERE id = ? AND undone_at IS NULL", (tx.now_us, move.id)
    )
    expect_one(cursor, "schedule move", move.id)
