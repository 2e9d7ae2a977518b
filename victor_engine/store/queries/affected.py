"""The runs and requests that a change of the version in force does not move."""

from __future__ import annotations

import sqlite3

from victor_engine.store.queries.conversions import ACTIVE


def on_other_versions(connection: sqlite3.Connection, workflow: str, version: str) -> tuple[int, int]:
    """Return the number of active runs of a workflow on other versions, and of their open requests."""
    runs, requests = connection.execute(
        "SELECT COUNT(*), COALESCE(SUM((SELECT COUNT(*) FROM requests q WHERE q.run_key = r.key AND q.status = 'open')), 0)"
        f" FROM runs r JOIN definitions d ON d.id = r.definition_id WHERE r.workflow = ? AND r.status IN {ACTIVE}"
        " AND d.version != ?",
        (workflow, version),
    ).fetchone()
    return int(runs), int(requests)
