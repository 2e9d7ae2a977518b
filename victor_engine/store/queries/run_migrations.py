"""The history of runs that moved to another version."""

from __future__ import annotations

import sqlite3

from msgspec import Struct

from victor_engine import jsonio
from victor_engine.api import RunMigrationInfo
from victor_engine.clock import from_us
from victor_engine.store.db import actor_from_json
from victor_engine.store.queries import ids as known_ids
from victor_engine.store.queries.conversions import instant
from victor_engine.store.repositories import schedule_moves
from victor_engine.store.repositories.run_rows import RunRef, ref_of
from victor_engine.store.repositories.schedule_moves import StoredMove

_SELECT = (
    "SELECT m.id, r.id, m.workflow, m.from_version, m.to_version, m.path, m.checksums, m.digest_before,"
    " m.digest_after, m.moved, m.at, m.actor, m.note, m.undone_at, m.undone_by,"
    " m.batch"
    " FROM run_migrations m JOIN runs r ON r.key = m.run_key"
)


def movable_runs(connection: sqlite3.Connection, workflow: str, definition_id: int) -> list[int]:
    """Return the keys of the runs on a version that can continue: active ones, and dead letters."""
    rows = connection.execute(
        "SELECT key FROM runs WHERE workflow = ? AND definition_id = ?"
        " AND status IN ('queued', 'running', 'waiting', 'pausing', 'paused') UNION"
        " SELECT r.key FROM runs r JOIN dead_letters d ON d.run_key = r.key"
        " WHERE r.workflow = ? AND r.status = 'failed' AND r.definition_id = ?",
        (workflow, definition_id, workflow, definition_id),
    )
    return [key for (key,) in rows]


def run_migrations(
    connection: sqlite3.Connection, workflow: str | None = None, run_id: str | None = None, limit: int = 100
) -> list[RunMigrationInfo]:
    """Moves of runs, the newest first."""
    where: str = ""
    given: tuple[str, ...] = ()
    if run_id is not None:
        where, given = " WHERE r.id = ?", (known_ids.run_id(connection, run_id),)
    elif workflow is not None:
        where, given = " WHERE m.workflow = ?", (workflow,)
    rows = connection.execute(f"{_SELECT}{where} ORDER BY m.id DESC LIMIT ?", (*given, limit))
    return [
        RunMigrationInfo(
            id=row[0],
            run_id=row[1],
            workflow=row[2],
            from_version=row[3],
            to_version=row[4],
            path=tuple(jsonio.loads(row[5])),
            checksums=tuple(jsonio.loads(row[6])),
            digest_before=row[7],
            digest_after=row[8],
            moved=row[9],
            at=from_us(row[10]),
            by=actor_from_json(row[11]).user,
            note=row[12],
            undone_at=instant(row[13]),
            undone_by=None if row[14] is None else actor_from_json(row[14]).user,
            batch=row[15] or "",
        )
        for row in rows
    ]


class Batch(Struct, frozen=True):
    """The moves of one command that were not undone.

    `moves` has the run, the old version and the new one of each run.
    """

    id: str
    workflow: str
    moves: tuple[tuple[RunRef, str, str], ...]
    schedules: tuple[StoredMove, ...]


def batch_of_moves(connection: sqlite3.Connection, given: str) -> Batch:
    """Return the moves of one command, by its id or the start of it. Raise NotFoundError if there are none."""
    batch = known_ids.batch_id(connection, given)
    rows = connection.execute(
        "SELECT run_key, workflow, from_version, to_version, undone_at FROM run_migrations WHERE batch = ?"
        " ORDER BY id",
        (batch,),
    ).fetchall()
    moves = tuple((ref_of(connection, key), old, new) for key, _, old, new, undone in rows if undone is None)
    schedules = schedule_moves.not_undone(connection, batch)
    workflow = rows[0][1] if rows else schedules[0].workflow if schedules else ""
    return Batch(batch, workflow, moves, schedules)
