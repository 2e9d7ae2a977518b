"""The history of runs that moved to another version."""

from __future__ import annotations

from msgspec import Struct

from victor_engine.store.locks import Root
from victor_engine.store.repositories.checks import expect_one
from victor_engine.store.transaction import Tx


class Move(Struct, frozen=True):
    """One move of a run. `path`, `checksums`, `snapshot` and `actor` are JSON."""

    run_key: int
    workflow: str
    from_version: str
    to_version: str
    path: str
    checksums: str
    digest_before: str
    digest_after: str
    moved: str
    snapshot: str
    actor: str | None
    note: str
    batch: str


class LastMove(Struct, frozen=True):
    """The part of a move that leads back."""

    id: int
    from_version: str
    to_version: str
    snapshot: str  # JSON
    batch: str | None


def add(tx: Tx, move: Move) -> int:
    """Add a move and return its id."""
    tx.lock(Root.RUN, move.run_key)
    (row,) = tx.execute(
        "INSERT INTO run_migrations (run_key, workflow, from_version, to_version, path, checksums, digest_before,"
        " digest_after, moved, snapshot, at, actor, note, batch) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?) RETURNING id",
        (
            move.run_key,
            move.workflow,
            move.from_version,
            move.to_version,
            move.path,
            move.checksums,
            move.digest_before,
            move.digest_after,
            move.moved,
            move.snapshot,
            tx.now_us,
            move.actor,
            move.note,
            move.batch,
        ),
    ).fetchone()
    return int(row)


def last(tx: Tx, run_key: int) -> LastMove | None:
    """Lock a run and return its last move that was not undone."""
    tx.lock(Root.RUN, run_key)
    row = tx.execute(
        "SELECT id, from_version, to_version, snapshot, batch FROM run_migrations"
        " WHERE run_key = ? AND undone_at IS NULL ORDER BY id DESC LIMIT 1",
        (run_key,),
    ).fetchone()
    return None if row is None else LastMove(*row)


def undo(tx: Tx, run_key: int, move: int, actor: str | None) -> None:
    """Store that a move was undone, and by whom (JSON)."""
    tx.lock(Root.RUN, run_key)
    cursor = tx.execute(
        "UPDATE run_migrations SET undone_at = ?, undone_by = ? WHERE id = ?", (tx.now_us, actor, move)
    )
    expect_one(cursor, "move", move)
