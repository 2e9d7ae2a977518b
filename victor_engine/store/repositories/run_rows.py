"""Reads of the rows of runs, for transitions."""

from __future__ import annotations

import sqlite3

from msgspec import Struct

from victor_engine.errors import NotFoundError
from victor_engine.store.transaction import Tx

HELD = (
    "(r.status = 'queued' AND r.started_at IS NULL AND EXISTS"
    " (SELECT 1 FROM fires f WHERE f.run_key = r.key AND f.outcome = 'queued'))"
)
"""Of a run `r`: it waits behind another run of its schedule (`overlap`), not for a free place."""


class RunRef(Struct, frozen=True):
    """The columns of a run that never change, or only when the run moves to another version."""

    key: int
    id: str
    workflow: str
    definition_id: int
    schedule_id: str | None


class StoredRun(Struct, frozen=True):
    """The columns of a run that decide whether a command on it is accepted."""

    key: int
    id: str
    workflow: str
    definition_id: int
    schedule_id: str | None
    status: str
    revision: int
    priority: int
    error: str | None  # JSON
    overrides: str | None  # JSON
    ending: str | None = None  # JSON, see `runs.endings`

    @property
    def ref(self) -> RunRef:
        return RunRef(self.key, self.id, self.workflow, self.definition_id, self.schedule_id)


def status_of(source: Tx | sqlite3.Connection, run_key: int) -> str:
    """Return the status of a run. Raise NotFoundError if it does not exist."""
    row = source.execute("SELECT status FROM runs WHERE key = ?", (run_key,)).fetchone()
    if row is None:
        raise _no_run(run_key)
    return str(row[0])


def exists(connection: sqlite3.Connection, run_key: int) -> bool:
    """Return whether a run exists."""
    return connection.execute("SELECT 1 FROM runs WHERE key = ?", (run_key,)).fetchone() is not None


def stored(source: Tx | sqlite3.Connection, run_key: int) -> StoredRun:
    """Return what is stored of a run. Raise NotFoundError if it does not exist."""
    row = source.execute(
        "SELECT key, id, workflow, definition_id, schedule_id, status, revision, priority, error, overrides,"
        " ending FROM runs WHERE key = ?",
        (run_key,),
    ).fetchone()
    if row is None:
        raise _no_run(run_key)
    return StoredRun(*row)


def find_ref(connection: sqlite3.Connection, run_id: str) -> RunRef | None:
    """Return a run by its id, or None."""
    row = connection.execute(
        "SELECT key, id, workflow, definition_id, schedule_id FROM runs WHERE id = ?", (run_id,)
    ).fetchone()
    return None if row is None else RunRef(*row)


def ref_of(source: Tx | sqlite3.Connection, run_key: int) -> RunRef:
    """Return a run by its key."""
    row = source.execute(
        "SELECT key, id, workflow, definition_id, schedule_id FROM runs WHERE key = ?", (run_key,)
    ).fetchone()
    if row is None:
        raise _no_run(run_key)
    return RunRef(*row)


def status_and_priority(source: Tx | sqlite3.Connection, run_key: int) -> tuple[str, int]:
    """Return the status of a run, and its priority."""
    status, priority = source.execute(
        "SELECT status, priority FROM runs WHERE key = ?", (run_key,)
    ).fetchone()
    return str(status), int(priority)


def pinned(source: Tx | sqlite3.Connection, run_key: int) -> tuple[int, int]:
    """Return the id of the definition that a run is on, and its priority."""
    definition_id, priority = source.execute(
        "SELECT definition_id, priority FROM runs WHERE key = ?", (run_key,)
    ).fetchone()
    return int(definition_id), int(priority)


def parent_id(source: Tx | sqlite3.Connection, run_key: int, trigger: str) -> str | None:
    """Return the id of the run that started a run with `trigger`; None if no run did."""
    row = source.execute(
        "SELECT p.id FROM runs r JOIN runs p ON p.key = r.parent_key WHERE r.key = ? AND r.trigger = ?",
        (run_key, trigger),
    ).fetchone()
    return None if row is None else str(row[0])


def parent_key(source: Tx | sqlite3.Connection, run_key: int) -> int | None:
    """Return the key of the run whose node started a run; None if no node did."""
    row = source.execute(
        "SELECT parent_key FROM runs WHERE key = ? AND trigger = 'parent'", (run_key,)
    ).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def depth(source: Tx | sqlite3.Connection, run_key: int, most: int) -> int:
    """Return how many runs stand above a run, each of which started the next; at most `most`."""
    found = 0
    while found < most:
        row = source.execute(
            "SELECT parent_key FROM runs WHERE key = ? AND trigger = 'parent'", (run_key,)
        ).fetchone()
        if row is None or row[0] is None:
            break
        run_key, found = row[0], found + 1
    return found


def begun_by(source: Tx | sqlite3.Connection, run_key: int) -> tuple[str | None, int]:
    """Return the actor (JSON) who started a run, and its priority."""
    actor, priority = source.execute("SELECT actor, priority FROM runs WHERE key = ?", (run_key,)).fetchone()
    return actor, int(priority)


def id_and_version(source: Tx | sqlite3.Connection, run_key: int) -> tuple[str, str]:
    """Return the id of a run and the version that it runs on."""
    run_id, version = source.execute(
        "SELECT r.id, d.version FROM runs r JOIN definitions d ON d.id = r.definition_id WHERE r.key = ?",
        (run_key,),
    ).fetchone()
    return run_id, version


def status_and_error(source: Tx | sqlite3.Connection, run_key: int) -> tuple[str, str | None]:
    """Return the status of a run, and the error (JSON) that it ended with."""
    status, error = source.execute("SELECT status, error FROM runs WHERE key = ?", (run_key,)).fetchone()
    return status, error


def living_children(source: Tx | sqlite3.Connection, run_key: int) -> list[RunRef]:
    """Return the runs that a run waits for and that have not ended."""
    rows = source.execute(
        "SELECT c.key, c.id, c.workflow, c.definition_id, c.schedule_id FROM attempts a"
        " JOIN runs c ON c.key = a.child_key WHERE a.run_key = ? AND a.status = 'waiting'"
        " AND c.status IN ('queued', 'running', 'waiting', 'pausing', 'paused', 'cancelling')",
        (run_key,),
    )
    return [RunRef(*row) for row in rows]


class RunRow(Struct, frozen=True):
    """A run that is continued."""

    ref: RunRef
    status: str
    revision: int
    spent: int  # microseconds
    reruns: int
    actor: str | None  # JSON
    started: bool
    overrides: str | None  # JSON
    ending: str | None  # JSON, see `runs.endings`


def read(source: Tx | sqlite3.Connection, run_key: int) -> RunRow:
    """Return a run. Raise NotFoundError if it does not exist."""
    row = source.execute(
        "SELECT id, workflow, definition_id, schedule_id, status, revision, spent, reruns, actor,"
        " started_at IS NOT NULL, overrides, ending FROM runs WHERE key = ?",
        (run_key,),
    ).fetchone()
    if row is None:
        raise _no_run(run_key)
    status, revision, spent, reruns, actor, started, overrides, ending = row[4:]
    ref = RunRef(run_key, *row[:4])
    return RunRow(ref, status, revision, spent, reruns, actor, bool(started), overrides, ending)


class Unfinished(Struct, frozen=True):
    """A run that an engine takes up when it starts. `begun`: it has begun, or it is a part of one that has."""

    ref: RunRef
    status: str
    priority: int
    begun: bool
    ending: str | None = None  # JSON, see `runs.endings`


def unfinished(connection: sqlite3.Connection, run_key: int | None = None) -> list[Unfinished]:
    """Return the runs that are to be taken up, those that had begun first, then by priority; or the one run.

    Runs that wait behind another run of their schedule are left to the scheduler.
    """
    only, given = ("", ()) if run_key is None else (" AND r.key = ?", (run_key,))
    rows = connection.execute(
        "SELECT r.key, r.id, r.workflow, r.definition_id, r.schedule_id, r.status, r.priority,"
        " r.started_at IS NOT NULL OR r.trigger = 'parent', r.ending FROM runs r"
        " WHERE r.status IN ('queued', 'running', 'waiting', 'pausing', 'cancelling')"
        f" AND NOT {HELD}{only} ORDER BY r.started_at IS NULL, r.priority DESC, r.key",
        given,
    )
    return [Unfinished(RunRef(*row[:5]), row[5], row[6], bool(row[7]), row[8]) for row in rows]


def _no_run(run_key: int) -> NotFoundError:
    return NotFoundError(f"the run with key {run_key} does not exist")
