"""A run's state, rebuilt: the last snapshot and the patches since."""

from __future__ import annotations

import sqlite3
from typing import Any

from victor_engine import jsonio
from victor_engine.store.patch import Patch

EDIT = "@edit"
"""Node id and node type of an attempt that records what an operator changed of the state. No node of
a definition has this type."""


def run_state(
    connection: sqlite3.Connection, run_key: int, until_attempt: int | None = None
) -> dict[str, Any]:
    """The state of a run after its last committed node, or after attempt `until_attempt`.

    Attempts inside a parallel or team do not count by themselves: what they changed is in the
    patch of the node that joined them.
    """
    row = connection.execute(
        "SELECT input, snapshot, snapshot_at FROM runs WHERE key = ?", (run_key,)
    ).fetchone()
    given, snapshot, since = row
    if snapshot is None or (until_attempt is not None and until_attempt < since):
        snapshot, since = given, 0
    state: dict[str, Any] = jsonio.loads(snapshot)
    query = "SELECT patch FROM attempts WHERE run_key = ? AND id > ? AND parent IS NULL AND patch IS NOT NULL"
    parameters: list[int] = [run_key, since]
    if until_attempt is not None:
        query += " AND id <= ?"
        parameters.append(until_attempt)
    for (patch,) in connection.execute(query + " ORDER BY id", parameters):
        Patch.from_json(patch).apply(state)
    return state
