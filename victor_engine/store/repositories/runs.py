"""The rows of runs, with their states. No other module writes `runs.status`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from victor_engine.errors import NotFoundError
from victor_engine.store.locks import Root
from victor_engine.store.repositories.checks import expect_one
from victor_engine.store.transaction import Tx

_RUN = Root.RUN

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

    @property
    def ref(self) -> RunRef:
        return RunRef(self.key, self.id, self.workflow, self.definition_id, self.schedule_id)


# --- reading -----------------------------------------------------------------------------------


def status_of(source: Tx | sqlite3.Connection, run_key: int) -> str:
    """Return the status of a run. Raise NotFoundError if it does not exist."""
    row = source.execute("SELECT status FROM runs WHERE key = ?", (run_key,)).fetchone()
    if row is None:
        raise _no_run(run_key)
    return str(row[0])


def lock(tx: Tx, run_key: int) -> StoredRun:
    """Lock a run and return what is stored of it. Raise NotFoundError if it does not exist."""
    tx.lock(_RUN, run_key)
    return stored(tx, run_key)


def stored(source: Tx | sqlite3.Connection, run_key: int) -> StoredRun:
    """Return what is stored of a run. Raise NotFoundError if it does not exist."""
    row = source.execute(
        "SELECT key, id, workflow, definition_id, schedule_id, status, revision, priority, error, overrides"
        " FROM runs WHERE key = ?",
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


def standing(source: Tx | sqlite3.Connection, run_key: int) -> tuple[str, int]:
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


_NEW = (
    "SELECT r.id, r.workflow, r.definition_id, r.schedule_id, r.actor, r.position, s.state, r.overrides"
    " FROM runs r JOIN run_states s ON s.run_key = r.key AND s.after_attempt = 0"
    " WHERE r.key = ? AND r.status = 'queued' AND r.started_at IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.run_key = r.key)"
)


class NewRow(Struct, frozen=True):
    """A run that has not started yet."""

    ref: RunRef
    actor: str | None  # JSON
    position: str  # JSON
    state: str  # JSON
    overrides: str | None  # JSON


def lock_new(tx: Tx, run_key: int) -> NewRow | None:
    """Lock a run that is queued and has never begun, and return it; None if it is another run."""
    tx.lock(_RUN, run_key)
    row = tx.execute(_NEW, (run_key,)).fetchone()
    return None if row is None else NewRow(RunRef(run_key, *row[:4]), *row[4:])


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


def read(source: Tx | sqlite3.Connection, run_key: int) -> RunRow:
    """Return a run. Raise NotFoundError if it does not exist."""
    row = source.execute(
        "SELECT id, workflow, definition_id, schedule_id, status, revision, spent, reruns, actor,"
        " started_at IS NOT NULL, overrides FROM runs WHERE key = ?",
        (run_key,),
    ).fetchone()
    if row is None:
        raise _no_run(run_key)
    status, revision, spent, reruns, actor, started, overrides = row[4:]
    ref = RunRef(run_key, *row[:4])
    return RunRow(ref, status, revision, spent, reruns, actor, bool(started), overrides)


class Unfinished(Struct, frozen=True):
    """A run that an engine takes up when it starts. `begun`: it has begun, or it is a part of one that has."""

    ref: RunRef
    status: str
    priority: int
    begun: bool


def unfinished(connection: sqlite3.Connection, run_key: int | None = None) -> list[Unfinished]:
    """Return the runs that are to be taken up, those that had begun first, then by priority; or the one run.

    Runs that wait behind another run of their schedule are left to the scheduler.
    """
    only, given = ("", ()) if run_key is None else (" AND r.key = ?", (run_key,))
    rows = connection.execute(
        "SELECT r.key, r.id, r.workflow, r.definition_id, r.schedule_id, r.status, r.priority,"
        " r.started_at IS NOT NULL OR r.trigger = 'parent' FROM runs r"
        " WHERE r.status IN ('queued', 'running', 'waiting', 'pausing', 'cancelling')"
        f" AND NOT {HELD}{only} ORDER BY r.started_at IS NULL, r.priority DESC, r.key",
        given,
    )
    return [Unfinished(RunRef(*row[:5]), row[5], row[6], bool(row[7])) for row in rows]


# --- creating ----------------------------------------------------------------------------------


_INSERT = (
    "INSERT INTO runs (key, id, workflow, definition_id, status, trigger, actor, schedule_id, nominal,"
    " parent_key, priority, note, created_at, position, backfill_id)"
    " VALUES (?,?,?,?,'queued',?,?,?,?,?,?,?,?,?,?)"
)
_INSERT_STATE = "INSERT INTO run_states (run_key, after_attempt, state) VALUES (?,?,?)"
_INSERT_CHOICE = "INSERT INTO run_choices (run_key, pointing_id, version) VALUES (?,?,?)"
_COUNT = (
    "INSERT INTO run_totals (definition_id, runs) VALUES (?, ?)"
    " ON CONFLICT (definition_id) DO UPDATE SET runs = run_totals.runs + excluded.runs"
)


def insert(
    tx: Tx,
    rows: Sequence[tuple[Any, ...]],
    states: Iterable[tuple[int, int, str]],
    choices: Iterable[tuple[int, int, str]],
) -> None:
    """Create queued runs, or in a plain transition have them created.

    Args:
        tx: The transaction.
        rows: The columns of each run, in the order of `_INSERT`.
        states: For each run its key, 0, and the JSON of the state that it begins with.
        choices: For runs that an alias led to: the key, the row of `pointings`, and the chosen version.
    """
    later = tx.later
    counts: dict[int, int] = {}
    for row in rows:
        tx.created(_RUN, row[0])
        later(_INSERT, row)
        counts[row[3]] = counts.get(row[3], 0) + 1
    for state in states:
        later(_INSERT_STATE, state)
    for count in counts.items():
        later(_COUNT, count)
    for choice in choices:
        later(_INSERT_CHOICE, choice)


# --- changing the status -----------------------------------------------------------------------


def set_status(tx: Tx, run_key: int, status: str) -> None:
    """Give a run the status that a command on it leads to."""
    tx.lock(_RUN, run_key)
    expect_one(
        tx.execute("UPDATE runs SET status = ?, revision = revision + 1 WHERE key = ?", (status, run_key)),
        "run",
        run_key,
    )


_BEGIN = "UPDATE runs SET status = 'running', started_at = ?, revision = revision + 1 WHERE key = ?"


def begin(tx: Tx, run_key: int) -> None:
    """Start a run that `lock_new` has returned in the same transition. This is plain."""
    tx.lock(_RUN, run_key)
    tx.later(_BEGIN, (tx.now_us, run_key))


def start(tx: Tx, run_key: int) -> bool:
    """Set a queued run, or one that was running before a restart, to running. Return False in another status."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE runs SET status = 'running', started_at = COALESCE(started_at, ?), revision = revision + 1"
        " WHERE key = ? AND status IN ('queued', 'running')",
        (tx.now_us, run_key),
    )
    return cursor.rowcount > 0


def set_queued(tx: Tx, run_key: int) -> bool:
    """Queue a run that was running when its engine ended. Return False in another status."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE runs SET status = 'queued', revision = revision + 1 WHERE key = ? AND status = 'running'",
        (run_key,),
    )
    return cursor.rowcount > 0


def set_waiting(tx: Tx, run_key: int) -> bool:
    """Set a running run to waiting. Return False in another status, such as `pausing`."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE runs SET status = 'waiting', revision = revision + 1 WHERE key = ? AND status = 'running'",
        (run_key,),
    )
    return cursor.rowcount > 0


def set_working(tx: Tx, run_key: int, *, revised: bool) -> bool:
    """Set a waiting run to running. Return False in another status. `revised`: its revision changes."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE runs SET status = 'running', revision = revision + ? WHERE key = ? AND status = 'waiting'",
        (int(revised), run_key),
    )
    return cursor.rowcount > 0


def set_paused(tx: Tx, run_key: int) -> bool:
    """Set a pausing run to paused. Return False in another status."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE runs SET status = 'paused', revision = revision + 1 WHERE key = ? AND status = 'pausing'",
        (run_key,),
    )
    return cursor.rowcount > 0


def set_cancelling(tx: Tx, run_key: int) -> bool:
    """Set a run to cancelling. Return False if it has ended, or is cancelling already."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE runs SET status = 'cancelling', revision = revision + 1"
        " WHERE key = ? AND status IN ('queued', 'running', 'waiting', 'pausing', 'paused')",
        (run_key,),
    )
    return cursor.rowcount > 0


def requeue(tx: Tx, run_key: int, position: str, definition_id: int) -> None:
    """Queue a run that continues from `position` (JSON) on a definition, with its limits reset."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE runs SET status = 'queued', finished_at = NULL, error = NULL, position = ?, definition_id = ?,"
        " spent = 0, reruns = 0, revision = revision + 1 WHERE key = ?",
        (position, definition_id, run_key),
    )
    expect_one(cursor, "run", run_key)


def move(
    tx: Tx, run_key: int, *, definition_id: int, position: str, status: str, overrides: str | None
) -> None:
    """Move a run to another definition. `position` and `overrides` are JSON."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE runs SET definition_id = ?, position = ?, status = ?, overrides = ?, revision = revision + 1"
        " WHERE key = ?",
        (definition_id, position, status, overrides, run_key),
    )
    expect_one(cursor, "run", run_key)


_FINISH = (
    "UPDATE runs SET status = ?, finished_at = ?, error = ?, spent = ?, nodes_done = ?, revision = revision + 1"
    " WHERE key = ?"
)


def finish(tx: Tx, run_key: int, status: str, error: str | None, spent: int, nodes_done: int) -> None:
    """End a run. `error` is JSON, `spent` microseconds. This is plain."""
    tx.lock(_RUN, run_key)
    tx.later(_FINISH, (status, tx.now_us, error, spent, nodes_done, run_key))


# --- changing something else -------------------------------------------------------------------


def revise(tx: Tx, run_key: int) -> None:
    """Count a change of a run that is not in its row."""
    tx.lock(_RUN, run_key)
    expect_one(
        tx.execute("UPDATE runs SET revision = revision + 1 WHERE key = ?", (run_key,)), "run", run_key
    )


def set_overrides(tx: Tx, run_key: int, overrides: str) -> None:
    """Store the overrides of the nodes of a run (JSON)."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE runs SET overrides = ?, revision = revision + 1 WHERE key = ?", (overrides, run_key)
    )
    expect_one(cursor, "run", run_key)


def rerun(tx: Tx, run_key: int, reruns: int, position: str) -> None:
    """Store that a run continues from `position` (JSON) automatically, for the `reruns`th time."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute("UPDATE runs SET reruns = ?, position = ? WHERE key = ?", (reruns, position, run_key))
    expect_one(cursor, "run", run_key)


def count_retry(tx: Tx, run_key: int) -> None:
    """Count a retry of one of the nodes of a run."""
    tx.lock(_RUN, run_key)
    expect_one(tx.execute("UPDATE runs SET retries = retries + 1 WHERE key = ?", (run_key,)), "run", run_key)


def set_spent(tx: Tx, run_key: int, spent: int) -> None:
    """Store for how many microseconds a run has been running. Nothing changes if the value is stored already."""
    tx.lock(_RUN, run_key)
    tx.execute("UPDATE runs SET spent = ? WHERE key = ? AND spent <> ?", (spent, run_key, spent))


def add_state(tx: Tx, run_key: int, after_attempt: int, state: str) -> None:
    """Store the whole state of a run (JSON) as it is after an attempt."""
    tx.lock(_RUN, run_key)
    tx.execute(_INSERT_STATE, (run_key, after_attempt, state))


def _no_run(run_key: int) -> NotFoundError:
    return NotFoundError(f"the run with key {run_key} does not exist")
