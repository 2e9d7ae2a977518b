"""Dead letters by cause."""

from __future__ import annotations

import sqlite3
from typing import Any

from victor_engine.api import DeadLetterGroup, ErrorInfo
from victor_engine.clock import from_us
from victor_engine.errors import NotFoundError
from victor_engine.store.queries.conversions import error_info

MAX_CAUSES = 1000
"""The maximum number of causes in one answer. It bounds the answer if each message is different."""


def dead_letters(
    connection: sqlite3.Connection, cause: str | None = None, run_limit: int = 20
) -> list[DeadLetterGroup]:
    """Runs that failed for good, by cause, the one seen last first.

    `cause` asks for one of them, by its fingerprint or a prefix that only it has (NotFoundError
    otherwise). At most `run_limit` runs of each are named, newest first.
    """
    where, values = " WHERE c.runs > 0", []
    if cause is not None:
        where, values = " WHERE c.runs > 0 AND c.fingerprint >= ? AND c.fingerprint < ?", [cause, cause + "g"]
    rows = connection.execute(
        "SELECT c.id, c.fingerprint, c.workflow, c.node_id, c.error_type, c.pattern, c.runs,"
        " (SELECT MIN(failed_at) FROM dead_letters WHERE cause_id = c.id),"
        " (SELECT MAX(failed_at) FROM dead_letters WHERE cause_id = c.id) AS last"
        f" FROM dead_causes c{where} ORDER BY last DESC, c.id DESC LIMIT ?",
        [*values, MAX_CAUSES],
    ).fetchall()
    if cause is not None and (len(rows) != 1 or not cause):
        more = f"; {', '.join(row[1] for row in rows[:5])} begin with it" if rows else ""
        raise NotFoundError(
            f"the cause {cause!r} of dead letters does not exist{more}; `victor runs dead` lists the causes"
        )
    return [_group(connection, row, run_limit) for row in rows]


def _group(connection: sqlite3.Connection, row: Any, run_limit: int) -> DeadLetterGroup:
    runs = connection.execute(
        "SELECT r.id, r.error FROM dead_letters l JOIN runs r ON r.key = l.run_key WHERE l.cause_id = ?"
        " ORDER BY l.failed_at DESC, l.run_key DESC LIMIT ?",
        (row[0], max(1, run_limit)),
    ).fetchall()
    return DeadLetterGroup(
        cause=row[1],
        workflow=row[2],
        node_id=row[3],
        error_type=row[4],
        pattern=row[5],
        count=row[6],
        first_seen=from_us(row[7]),
        last_seen=from_us(row[8]),
        example=error_info(runs[0][1]) or ErrorInfo(type=row[4], message=""),
        run_ids=tuple(run_id for run_id, _ in runs[: max(0, run_limit)]),
    )
