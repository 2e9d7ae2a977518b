"""The rows of runs, with their states. No other module writes `runs.status`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from victor_engine.store.locks import Root
from victor_engine.store.repositories.checks import expect_one
from victor_engine.store.repositories.run_rows import RunRef, StoredRun, stored
from victor_engine.store.transaction import Tx

_RUN = Root.RUN


def lock(tx: Tx, run_key: int) -> StoredRun:
    """Lock a run and return what is stored of it. Raise NotFoundError if it does not exist."""
    tx.lock(_RUN, run_key)
    return stored(tx, run_key)


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
    """Set a run to cancelling. Return False if it has ended, or is cancelling already. Handlers of its end are skipped."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE runs SET status = 'cancelling', revision = revision + 1,"
        " ending = CASE WHEN ending IS NULL THEN NULL ELSE json_set(ending, '$.skip', json('true')) END"
        " WHERE key = ? AND status IN ('queued', 'running', 'waiting', 'pausing', 'paused')",
        (run_key,),
    )
    return cursor.rowcount > 0


def requeue(tx: Tx, run_key: int, position: str, definition_id: int) -> None:
    """Queue a run that continues from `position` (JSON) on a definition, with its limits reset."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE runs SET status = 'queued', idle = idle + COALESCE(MAX(0, ? - finished_at), 0), finished_at = NULL,"
        " error = NULL, ending = NULL, position = ?, definition_id = ?, spent = 0, reruns = 0,"
        " revision = revision + 1 WHERE key = ?",
        (tx.now_us, position, definition_id, run_key),
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
    "UPDATE runs SET status = ?, finished_at = ?, error = ?, spent = ?, nodes_done = ?, concurrency_held = 0,"
    " revision = revision + 1"
    " WHERE key = ?"
)


def finish(tx: Tx, run_key: int, status: str, error: str | None, spent: int, nodes_done: int) -> None:
    """End a run. `error` is JSON, `spent` microseconds. This is plain."""
    tx.lock(_RUN, run_key)
    tx.later(_FINISH, (status, tx.now_us, error, spent, nodes_done, run_key))


class EndingRow(Struct, frozen=True):
    """The columns of a run that decide how its end continues. `spent` is in microseconds."""

    ending: str | None  # JSON
    spent: int
    begun: bool


def ending_row(tx: Tx, run_key: int) -> EndingRow:
    """Lock a run and return the columns that decide how its end continues."""
    tx.lock(_RUN, run_key)
    sql = "SELECT ending, spent, started_at IS NOT NULL FROM runs WHERE key = ?"
    ending, spent, begun = tx.execute(sql, (run_key,)).fetchone()
    return EndingRow(ending, spent, bool(begun))


def set_ending(tx: Tx, run_key: int, ending: str | None, position: str, spent: int) -> None:
    """Store the ending of a run (JSON), and the position at which it continues or stops. A waiting run is running."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE runs SET ending = ?, position = ?, spent = ?, revision = revision + 1,"
        " status = CASE WHEN status = 'waiting' THEN 'running' ELSE status END WHERE key = ?",
        (ending, position, spent, run_key),
    )
    expect_one(cursor, "run", run_key)


def skip_handlers(tx: Tx, run_key: int) -> None:
    """Store that the handlers of the end of a run are not executed."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE runs SET ending = json_set(COALESCE(ending, '{}'), '$.skip', json('true')) WHERE key = ?",
        (run_key,),
    )
    expect_one(cursor, "run", run_key)


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
