"""The table `attempts`, with the usage of models. No other module writes `attempts.status`."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from victor_engine.store.locks import Root
from victor_engine.store.patch import Patch
from victor_engine.store.repositories.checks import expect_one
from victor_engine.store.repositories.runs import RunRef
from victor_engine.store.state import EDIT
from victor_engine.store.transaction import Tx

_RUN = Root.RUN

LIVE = "(a.status = 'running' OR a.status = 'waiting' OR a.status = 'retrying')"
"""Of an attempt `a`: it is not over. Spelled as in the index `attempts_live`, which SQLite uses only if it
recognises it."""


class StepRow(Struct, frozen=True):
    """The columns of an attempt that say which step of which run it tries."""

    run: RunRef
    node_id: str
    node_type: str
    iteration: int
    parent: str | None


# --- reading -----------------------------------------------------------------------------------


def last(source: Tx | sqlite3.Connection, run_key: int) -> int:
    """Return the id of the last attempt of a run; 0 if it has none."""
    row = source.execute("SELECT MAX(id) FROM attempts WHERE run_key = ?", (run_key,)).fetchone()
    return int(row[0] or 0)


def first_of_last_visit(source: Tx | sqlite3.Connection, run_key: int, node_id: str) -> int | None:
    """Return the id of the first attempt in the last iteration of a node; None if the run never reached it."""
    (first,) = source.execute(
        "SELECT MIN(id) FROM attempts WHERE run_key = ? AND node_id = ? AND iteration ="
        " (SELECT MAX(iteration) FROM attempts WHERE run_key = ? AND node_id = ?)",
        (run_key, node_id, run_key, node_id),
    ).fetchone()
    return None if first is None else int(first)


class Visit(Struct, frozen=True):
    """The last iteration of a node, and the parallel or team that it belonged to then."""

    iteration: int
    parent: str | None


def visits(source: Tx | sqlite3.Connection, run_key: int) -> dict[str, Visit]:
    """Return the nodes that a run reached."""
    rows = source.execute(
        "SELECT a.node_id, v.iteration, a.parent FROM attempts a JOIN (SELECT MAX(id) AS id, MAX(iteration) AS"
        " iteration FROM attempts WHERE run_key = ? AND node_type <> ? GROUP BY node_id) v ON v.id = a.id",
        (run_key, EDIT),
    )
    return {node_id: Visit(iteration, parent) for node_id, iteration, parent in rows}


def last_iteration(source: Tx | sqlite3.Connection, run_key: int, node_id: str) -> int:
    """Return the last iteration of a node; 0 if the run never reached it."""
    (tried,) = source.execute(
        "SELECT COALESCE(MAX(iteration), 0) FROM attempts WHERE run_key = ? AND node_id = ?",
        (run_key, node_id),
    ).fetchone()
    return int(tried)


def processes(connection: sqlite3.Connection, run_key: int) -> list[tuple[int, int, int]]:
    """Return process id, group and start of each attempt of a run that is on record as running."""
    return connection.execute(
        "SELECT pid, pgid, proc_start FROM attempts WHERE run_key = ? AND status = 'running' AND pid IS NOT NULL",
        (run_key,),
    ).fetchall()


def orphans(connection: sqlite3.Connection, run_key: int | None = None) -> list[tuple[int, int, int, int]]:
    """Return id, process id, group and start of each attempt that is on record as running, of all runs or one."""
    only, given = ("", ()) if run_key is None else (" AND run_key = ?", (run_key,))
    return connection.execute(
        "SELECT id, pid, pgid, proc_start FROM attempts WHERE status = 'running' AND pid IS NOT NULL" + only,
        given,
    ).fetchall()


def at_work(source: Tx | sqlite3.Connection, run_key: int) -> bool:
    """Return whether an attempt of a run is on record as running."""
    sql = "SELECT 1 FROM attempts WHERE run_key = ? AND status = 'running' LIMIT 1"
    return source.execute(sql, (run_key,)).fetchone() is not None


def tries(source: Tx | sqlite3.Connection, run_key: int, node_id: str) -> bool:
    """Return whether an attempt of a node of a run is running or waiting."""
    row = source.execute(
        "SELECT 1 FROM attempts WHERE run_key = ? AND node_id = ? AND status IN ('running', 'waiting') LIMIT 1",
        (run_key, node_id),
    ).fetchone()
    return row is not None


def awaits_child(source: Tx | sqlite3.Connection, child_key: int) -> bool:
    """Return whether an attempt of another run waits for a run."""
    row = source.execute(
        "SELECT 1 FROM attempts WHERE child_key = ? AND status = 'waiting'", (child_key,)
    ).fetchone()
    return row is not None


def awaited_child(source: Tx | sqlite3.Connection, attempt: int) -> RunRef | None:
    """Return the run that an attempt waits for, if it does."""
    row = source.execute(
        "SELECT c.key, c.id, c.workflow, c.definition_id, c.schedule_id FROM attempts a"
        " JOIN runs c ON c.key = a.child_key WHERE a.id = ? AND a.status = 'waiting'",
        (attempt,),
    ).fetchone()
    return None if row is None else RunRef(*row)


def recorded(source: Tx | sqlite3.Connection, run_key: int) -> list[tuple[Any, ...]]:
    """Return the attempts of a run in order: id, node id, iteration, number, parent, status, retry_at, the patch of
    those that have a parent, what those wait for that wait (JSON), and the error (JSON) of those without a parent
    that have failed for good."""
    return source.execute(
        "SELECT id, node_id, iteration, number, parent, status, retry_at,"
        " CASE WHEN parent IS NULL THEN NULL ELSE patch END,"
        " CASE WHEN status = 'waiting' THEN wait ELSE NULL END,"
        " CASE WHEN status = 'failed' AND parent IS NULL THEN error ELSE NULL END"
        " FROM attempts WHERE run_key = ? ORDER BY id",
        (run_key,),
    ).fetchall()


def waiting(source: Tx | sqlite3.Connection, run_key: int) -> list[tuple[Any, ...]]:
    """Return node id, iteration, id, number, wait (JSON) and child of each attempt of a run that waits."""
    return source.execute(
        "SELECT node_id, iteration, id, number, wait, child_key FROM attempts"
        " WHERE run_key = ? AND status = 'waiting'",
        (run_key,),
    ).fetchall()


def not_over(source: Tx | sqlite3.Connection, run_key: int) -> list[tuple[Any, ...]]:
    """Return id, node id, iteration, parent, status, retry_at, node type and child of each attempt of a run that
    is not over, in order."""
    return source.execute(
        "SELECT id, node_id, iteration, parent, status, retry_at, node_type, child_key FROM attempts a"
        f" WHERE run_key = ? AND {LIVE} ORDER BY id",
        (run_key,),
    ).fetchall()


def has_begun_members(source: Tx | sqlite3.Connection, run_key: int, node_id: str, since: int) -> bool:
    """Return whether a parallel or team has begun in an iteration after `since`."""
    row = source.execute(
        "SELECT 1 FROM attempts WHERE run_key = ? AND node_id = ? AND iteration > ?"
        " AND node_type IN ('parallel', 'team') LIMIT 1",
        (run_key, node_id, since),
    ).fetchone()
    return row is not None


_TO_END = {
    True: "SELECT a.id, a.node_id FROM attempts a WHERE a.run_key = ? AND a.status = 'running'",
    False: f"SELECT a.id, a.node_id FROM attempts a WHERE a.run_key = ? AND {LIVE}",
}
_INSIDE = (
    "WITH RECURSIVE inside (id) AS (SELECT ? UNION SELECT a.node_id FROM attempts a JOIN inside i"
    " ON a.parent = i.id WHERE a.run_key = ? AND a.node_type IN ('parallel', 'team')) "
)


def live(tx: Tx, run_key: int, *, only_running: bool, inside: str | None = None) -> Sequence[tuple[int, str]]:
    """Return id and node id of each attempt of a run that is not over.

    Args:
        tx: The transaction.
        run_key: The run.
        only_running: Leave out the attempts that wait, or that are tried again later.
        inside: Only those inside a parallel or team, with what is inside of what is inside of it.
    """
    query = _TO_END[only_running]
    if inside is None:
        return tx.execute(query, (run_key,)).fetchall()
    return tx.execute(
        f"{_INSIDE}{query} AND a.parent IN (SELECT id FROM inside)", (inside, run_key, run_key)
    ).fetchall()


# --- adding ------------------------------------------------------------------------------------

_INSERT = (
    "INSERT INTO attempts (run_key, definition_id, node_id, node_type, iteration, number, parent, status,"
    " started_at, finished_at, retry_at, binding, error, wait, child_key)"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) RETURNING id"
)


def add(
    tx: Tx,
    step: StepRow,
    number: int,
    status: str,
    *,
    binding: str | None = None,
    error: str | None = None,
    retry_at: int | None = None,
    wait: str | None = None,
    child_key: int | None = None,
    ended: bool = False,
) -> int:
    """Add an attempt that begins now and return its id. `error` and `wait` are JSON; `ended`: it ends now, too."""
    run = step.run
    tx.lock(_RUN, run.key)
    (attempt,) = tx.execute(
        _INSERT,
        (
            run.key,
            run.definition_id,
            step.node_id,
            step.node_type,
            step.iteration,
            number,
            step.parent,
            status,
            tx.now_us,
            tx.now_us if ended else None,
            retry_at,
            binding,
            error,
            wait,
            child_key,
        ),
    ).fetchone()
    return int(attempt)


_DONE = (
    "INSERT INTO attempts (run_key, definition_id, node_id, node_type, iteration, number, parent, status,"
    " started_at, finished_at, patch, branch, ordinal, onward, counted)"
    " VALUES (?,?,?,?,?,1,?,'succeeded',?,?,?,?,?,?,?)"
)


def add_done(
    tx: Tx,
    step: StepRow,
    patch: str | None,
    branch: str | None,
    ordinal: int | None,
    onward: str | None,
    counted: str | None,
) -> None:
    """Add an attempt that is over as it begins. `patch`, `onward` and `counted` are JSON. This is plain."""
    run = step.run
    now = tx.now_us
    tx.lock(_RUN, run.key)
    tx.later(
        _DONE,
        (
            run.key, run.definition_id, step.node_id, step.node_type, step.iteration, step.parent,
            now, now, patch, branch, ordinal, onward, counted,
        ),
    )  # fmt: skip


def add_edit(tx: Tx, run_key: int, definition_id: int, by: str, edit: Patch) -> None:
    """Add a change of the state that is not the result of a node, so that a state stays the sum of its attempts."""
    tx.lock(_RUN, run_key)
    (number,) = tx.execute(
        "SELECT COUNT(*) FROM attempts WHERE run_key = ? AND node_type = ?", (run_key, EDIT)
    ).fetchone()
    tx.execute(
        "INSERT INTO attempts (run_key, definition_id, node_id, node_type, iteration, number, status,"
        " started_at, finished_at, binding, patch) VALUES (?,?,?,?,?,1,'succeeded',?,?,?,?)",
        (run_key, definition_id, EDIT, EDIT, number + 1, tx.now_us, tx.now_us, by, edit.to_json()),
    )


# --- changing the status -----------------------------------------------------------------------


def complete(
    tx: Tx,
    run_key: int,
    attempt: int,
    patch: str | None,
    branch: str | None,
    ordinal: int | None,
    onward: str | None,
    counted: str | None,
) -> None:
    """Store the result of an attempt. A failed one, whose failure the author handles, keeps its status."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE attempts SET status = CASE status WHEN 'failed' THEN 'failed' ELSE 'succeeded' END,"
        " finished_at = ?, patch = ?, branch = ?, ordinal = ?, onward = ?, counted = ? WHERE id = ?",
        (tx.now_us, patch, branch, ordinal, onward, counted, attempt),
    )
    expect_one(cursor, "attempt", attempt)


def fail(tx: Tx, run_key: int, attempt: int, error: str | None, retry_at: int | None) -> None:
    """Store that an attempt failed, with its error (JSON), and when the next one is due if there is one."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE attempts SET status = ?, finished_at = ?, error = ?, retry_at = ? WHERE id = ?",
        ("failed" if retry_at is None else "retrying", tx.now_us, error, retry_at, attempt),
    )
    expect_one(cursor, "attempt", attempt)


def fail_retrying(tx: Tx, step: StepRow) -> bool:
    """Store that the last attempt of a step has failed for good; False if none waits for the next one.

    That is so where the attempt before was interrupted.
    """
    tx.lock(_RUN, step.run.key)
    cursor = tx.execute(
        "UPDATE attempts SET status = 'failed', retry_at = NULL"
        " WHERE run_key = ? AND node_id = ? AND iteration = ? AND status = 'retrying'",
        (step.run.key, step.node_id, step.iteration),
    )
    return cursor.rowcount > 0


def end(tx: Tx, run_key: int, attempt: int, status: str) -> None:
    """End an attempt without a result, as `cancelled` or `interrupted`."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE attempts SET status = ?, finished_at = ?, retry_at = NULL WHERE id = ?",
        (status, tx.now_us, attempt),
    )
    expect_one(cursor, "attempt", attempt)


def set_waiting(tx: Tx, run_key: int, attempt: int) -> None:
    """Set an attempt to waiting for the answer to its request."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute("UPDATE attempts SET status = 'waiting' WHERE id = ?", (attempt,))
    expect_one(cursor, "attempt", attempt)


def await_decision(tx: Tx, run_key: int, attempt: int, wait: str) -> bool:
    """Let an interrupted attempt wait (JSON); False if it waits already."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE attempts SET status = 'waiting', wait = ? WHERE id = ? AND status = 'interrupted'",
        (wait, attempt),
    )
    return cursor.rowcount > 0


def stay_interrupted(tx: Tx, run_key: int, attempt: int) -> bool:
    """Mark a waiting attempt as interrupted again. Return False if it has ended with its run."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE attempts SET status = 'interrupted', wait = NULL WHERE id = ? AND status = 'waiting'",
        (attempt,),
    )
    return cursor.rowcount > 0


# --- changing something else -------------------------------------------------------------------


def begun(source: Tx | sqlite3.Connection, attempt: int) -> tuple[int, int, str]:
    """Return the number of an attempt, when it began, and what it is bound to."""
    number, started_at, binding = source.execute(
        "SELECT number, started_at, binding FROM attempts WHERE id = ?", (attempt,)
    ).fetchone()
    return int(number), int(started_at), str(binding or "")


def node_of(source: Tx | sqlite3.Connection, attempt: int) -> str:
    """Return the node of an attempt."""
    return str(source.execute("SELECT node_id FROM attempts WHERE id = ?", (attempt,)).fetchone()[0])


def set_process(tx: Tx, run_key: int, attempt: int, pid: int, pgid: int, start_ticks: int) -> None:
    """Store the process of an attempt."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE attempts SET pid = ?, pgid = ?, proc_start = ? WHERE id = ?",
        (pid, pgid, start_ticks, attempt),
    )
    expect_one(cursor, "attempt", attempt)


def set_usage(tx: Tx, run_key: int, attempt: int, usage: tuple[Any, ...]) -> None:
    """Store what a model has used: its name, input tokens, output tokens, tool calls, and the cost."""
    tx.lock(_RUN, run_key)
    tx.execute(
        "INSERT INTO usage (attempt_id, model, input_tokens, output_tokens, tool_calls, cost) VALUES (?,?,?,?,?,?)"
        " ON CONFLICT (attempt_id) DO UPDATE SET model = excluded.model, input_tokens = excluded.input_tokens,"
        " output_tokens = excluded.output_tokens, tool_calls = excluded.tool_calls, cost = excluded.cost",
        (attempt, *usage),
    )


def retry_now(tx: Tx, run_key: int, node_id: str) -> bool:
    """Let the next attempt of a node, or of the members of a team, be due now; False if none waits for it."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE attempts SET retry_at = CASE WHEN retry_at < ? THEN retry_at ELSE ? END"
        " WHERE run_key = ? AND status = 'retrying'"
        " AND (node_id = ? OR substr(node_id, 1, length(?) + 1) = ? || '.')",
        (tx.now_us, tx.now_us, run_key, node_id, node_id, node_id),
    )
    return cursor.rowcount > 0


def rename(tx: Tx, run_key: int, attempt: int, node_id: str, definition_id: int) -> None:
    """Let an attempt belong to a node of another definition."""
    tx.lock(_RUN, run_key)
    cursor = tx.execute(
        "UPDATE attempts SET node_id = ?, definition_id = ? WHERE id = ?", (node_id, definition_id, attempt)
    )
    expect_one(cursor, "attempt", attempt)
