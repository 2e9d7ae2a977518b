"""Reads of the rows of attempts, for transitions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from victor_engine.store.repositories.run_rows import RunRef
from victor_engine.store.state import EDIT, ITEM
from victor_engine.store.transaction import Tx

LIVE = "(a.status = 'running' OR a.status = 'waiting' OR a.status = 'retrying')"
"""Of an attempt `a`: it is not over. Spelled as in the index `attempts_live`, which SQLite uses only if it
recognises it."""


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
    """The last iteration of a node, and the parallel, team or map that it belonged to then."""

    iteration: int
    parent: str | None


def visits(source: Tx | sqlite3.Connection, run_key: int) -> dict[str, Visit]:
    """Return the nodes that a run reached."""
    rows = source.execute(
        "SELECT a.node_id, v.iteration, a.parent FROM attempts a JOIN (SELECT MAX(id) AS id, MAX(iteration) AS"
        " iteration FROM attempts WHERE run_key = ? AND node_type NOT IN (?, ?) GROUP BY node_id) v ON v.id = a.id",
        (run_key, EDIT, ITEM),
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


def child_before(
    source: Tx | sqlite3.Connection, run_key: int, step: str, iteration: int, since: int
) -> int | None:
    """Return the key of the child of the last attempt of a step that had one; None if no attempt after `since` had."""
    row = source.execute(
        "SELECT a.child_key FROM attempts a JOIN runs c ON c.key = a.child_key WHERE a.run_key = ? AND a.node_id = ?"
        " AND a.iteration = ? AND a.id > ? ORDER BY a.id DESC LIMIT 1",
        (run_key, step, iteration, since),
    ).fetchone()
    return None if row is None else int(row[0])


def recorded(source: Tx | sqlite3.Connection, run_key: int) -> list[tuple[Any, ...]]:
    """Return the attempts of a run in order: id, node id, iteration, number, parent, status, retry_at, the patch of
    those that have a parent, what those wait for that wait (JSON), and the error (JSON) of those without a parent
    that have failed for good."""
    return source.execute(
        "SELECT id, node_id, iteration, number, parent, status, retry_at,"
        " CASE WHEN parent IS NULL THEN NULL ELSE patch END,"
        " CASE WHEN status = 'waiting' THEN wait ELSE NULL END,"
        " CASE WHEN status = 'failed' AND parent IS NULL THEN error ELSE NULL END"
        " FROM attempts WHERE run_key = ? AND NOT (node_type = ? AND status = 'succeeded') ORDER BY id",
        (run_key, ITEM),
    ).fetchall()


def items(
    source: Tx | sqlite3.Connection, run_key: int, map_id: str, iteration: int
) -> Iterable[tuple[int, str, str, str | None]]:
    """Return id, node id, status and error (JSON) of the last attempt of each item of a map."""
    return source.execute(
        "SELECT MAX(id), node_id, status, error FROM attempts"
        " WHERE run_key = ? AND parent = ? AND iteration = ? AND node_type = ? GROUP BY node_id",
        (run_key, map_id, iteration, ITEM),
    )


def item_patches(
    source: Tx | sqlite3.Connection, run_key: int, map_id: str, iteration: int
) -> Iterable[tuple[str, str]]:
    """Return node id and patch (JSON) of each successful item of a map."""
    return source.execute(
        "SELECT node_id, patch FROM attempts WHERE run_key = ? AND parent = ? AND iteration = ? AND node_type = ?"
        " AND status = 'succeeded'",
        (run_key, map_id, iteration, ITEM),
    )


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
    """Return whether a parallel, team or map has begun in an iteration after `since`."""
    row = source.execute(
        "SELECT 1 FROM attempts WHERE run_key = ? AND node_id = ? AND iteration > ?"
        " AND node_type IN ('parallel', 'team', 'map') LIMIT 1",
        (run_key, node_id, since),
    ).fetchone()
    return row is not None


def begun(source: Tx | sqlite3.Connection, attempt: int) -> tuple[int, int, str]:
    """Return the number of an attempt, when it began, and what it is bound to."""
    number, started_at, binding = source.execute(
        "SELECT number, started_at, binding FROM attempts WHERE id = ?", (attempt,)
    ).fetchone()
    return int(number), int(started_at), str(binding or "")


def node_of(source: Tx | sqlite3.Connection, attempt: int) -> str:
    """Return the node of an attempt."""
    return str(source.execute("SELECT node_id FROM attempts WHERE id = ?", (attempt,)).fetchone()[0])
