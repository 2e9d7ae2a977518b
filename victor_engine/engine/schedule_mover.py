"""The way back of schedules that a migration of runs moved to another version."""

from __future__ import annotations

from collections.abc import Iterable

from victor_engine.api import Actor, ScheduleMove
from victor_engine.errors import ConflictError, VictorError
from victor_engine.scheduling import schedule_commands, stored_schedules
from victor_engine.store.db import Tx
from victor_engine.store.locks import Root
from victor_engine.store.repositories import schedule_moves
from victor_engine.store.repositories.schedule_moves import StoredMove
from victor_engine.store.savepoints import savepoint


def move_back(tx: Tx, moves: Iterable[StoredMove], actor: Actor, note: str) -> list[ScheduleMove]:
    """Give each schedule its spec before the move. One that has changed since stays, with the reason."""
    ordered = sorted(moves, key=lambda move: move.schedule_id)
    for move in ordered:
        tx.lock(Root.SCHEDULE, move.schedule_id)
    return [_back(tx, move, actor, note) for move in ordered]


def _back(tx: Tx, move: StoredMove, actor: Actor, note: str) -> ScheduleMove:
    old, new = move.after.version or "latest", move.before.version or "latest"
    try:
        with savepoint(tx):
            row = stored_schedules.get(tx, move.schedule_id)
            if row.spec != move.after:
                raise ConflictError("the schedule has changed since the migration")
            schedule_commands.edit(tx, move.schedule_id, move.before, actor=actor, note=note)
            schedule_moves.mark_undone(tx, move)
    except VictorError as error:
        return ScheduleMove(move.schedule_id, old, new, "refused", error.message)
    return ScheduleMove(move.schedule_id, old, new, "migrated")
