"""The concurrency keys of runs: which runs count towards the limit of a key, and which wait."""

from __future__ import annotations

import sqlite3

from msgspec import Struct

from victor_engine.store.locks import Root
from victor_engine.store.repositories.checks import expect_one
from victor_engine.store.repositories.run_rows import RunRef
from victor_engine.store.transaction import Tx

_REF = "SELECT key, id, workflow, definition_id, schedule_id FROM runs"

_MAX_WAITING = 2**31
"""More runs than can wait. A stored definition can have a limit that SQLite cannot represent."""


class Key(Struct, frozen=True):
    """The concurrency key of a run, None before its first claim. `held`: it counts towards the limit."""

    key: str | None
    held: bool


class Waiting(Struct, frozen=True):
    """A run that waits for the end of another run with its key. `begun`: it is tried again."""

    run_key: int
    priority: int
    begun: bool


def lock_and_read(tx: Tx, run_key: int) -> Key:
    """Lock a run and return its concurrency key."""
    tx.lock(Root.RUN, run_key)
    key, held = tx.execute(
        "SELECT concurrency, concurrency_held FROM runs WHERE key = ?", (run_key,)
    ).fetchone()
    return Key(key, bool(held))


def set_key(tx: Tx, run_key: int, key: str, *, held: bool) -> None:
    """Store the concurrency key of a run, and whether the run counts towards the limit."""
    tx.lock(Root.RUN, run_key)
    cursor = tx.execute(
        "UPDATE runs SET concurrency = ?, concurrency_held = ? WHERE key = ?", (key, int(held), run_key)
    )
    expect_one(cursor, "run", run_key)


def holders(source: Tx | sqlite3.Connection, workflow: str, key: str) -> list[RunRef]:
    """Return the runs that count towards the limit of a key, oldest first."""
    sql = f"{_REF} WHERE workflow = ? AND concurrency = ? AND concurrency_held = 1 ORDER BY key"
    return [RunRef(*row) for row in source.execute(sql, (workflow, key))]


def waiting_before(tx: Tx, run: RunRef, key: str) -> list[RunRef]:
    """Return the older runs that wait with the key of a run."""
    sql = (
        f"{_REF} WHERE workflow = ? AND concurrency = ? AND concurrency_held = 0 AND status = 'queued' AND key < ?"
        " ORDER BY key"
    )
    return [RunRef(*row) for row in tx.execute(sql, (run.workflow, key, run.key))]


def others(source: Tx | sqlite3.Connection, run_key: int) -> int:
    """Return the number of other runs that count towards the limit of the key of a run."""
    (count,) = source.execute(
        "SELECT COUNT(*) FROM runs r JOIN runs o ON o.workflow = r.workflow AND o.concurrency = r.concurrency"
        " AND o.concurrency_held = 1 AND o.key <> r.key WHERE r.key = ?",
        (run_key,),
    ).fetchone()
    return int(count)


def next_waiting(source: Tx | sqlite3.Connection, run_key: int, most: int) -> list[Waiting]:
    """Return the first runs that wait with the key of a run, at most `most`: higher priority first, then older ones."""
    rows = source.execute(
        "SELECT w.key, w.priority, w.started_at IS NOT NULL FROM runs r JOIN runs w ON w.workflow = r.workflow"
        " AND w.concurrency = r.concurrency AND w.concurrency_held = 0 AND w.status = 'queued' AND w.key <> r.key"
        " WHERE r.key = ? ORDER BY w.priority DESC, w.key LIMIT ?",
        (run_key, min(max(0, most), _MAX_WAITING)),
    )
    return [Waiting(key, priority, bool(begun)) for key, priority, begun in rows]
