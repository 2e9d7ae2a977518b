"""The table `attempts`, with the usage of models. No other module writes `attempts.status`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from victor_engine.store.locks import Root
from victor_engine.store.patch import Patch
from victor_engine.store.repositories.attempt_rows import LIVE
from victor_engine.store.repositories.checks import expect_one
from victor_engine.store.repositories.run_rows import RunRef
from victor_engine.store.state import EDIT
from victor_engine.store.transaction import Tx

_RUN = Root.RUN


class StepRow(Struct, frozen=True):
    """The columns of an attempt that say which step of which run it tries."""

    run: RunRef
    node_id: str
    node_type: str
    iteration: int
    parent: str | None


# --- reading -----------------------------------------------------------------------------------


_TO_END = {
    True: "SELECT a.id, a.node_id FROM attempts a WHERE a.run_key = ? AND a.status = 'running'",
    False: f"SELECT a.id, a.node_id FROM attempts a WHERE a.run_key = ? AND {LIVE}",
}
_INSIDE = (
    "WITH RECURSIVE inside (id) AS (SELECT ? UNION SELECT a.node_id FROM attempts a JOIN inside i"
    " ON a.parent = i.id WHERE a.run_key = ? AND a.node_type IN ('parallel', 'team', 'map')) "
)


def live(tx: Tx, run_key: int, *, only_running: bool, inside: str | None = None) -> Sequence[tuple[int, str]]:
    """Return id and node id of each attempt of a run that is not over.

    Args:
        tx: The transaction.
        run_key: The run.
        only_running: Leave out the attempts that wait, or that are tried again later.
        inside: Only those inside a parallel, team or map, with what is inside of what is inside of it.
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
