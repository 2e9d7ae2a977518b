"""A run's state, rebuilt: the last time that it was written whole, and the patches since."""

from __future__ import annotations

import sqlite3
import sys
from typing import Any

from victor_engine import jsonio
from victor_engine.store.patch import Patch
from victor_engine.store.transaction import Tx

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
    return run_state_sized(connection, run_key, until_attempt)[0]


def run_state_sized(
    connection: sqlite3.Connection, run_key: int, until_attempt: int | None = None
) -> tuple[dict[str, Any], int]:
    """The state, and the bytes of the JSON that it was last written whole as."""
    latest = sys.maxsize if until_attempt is None else until_attempt
    snapshot, since = connection.execute(
        "SELECT state, after_attempt FROM run_states WHERE run_key = ? AND after_attempt <= ?"
        " ORDER BY after_attempt DESC LIMIT 1",
        (run_key, latest),
    ).fetchone()
    state: dict[str, Any] = jsonio.loads(snapshot)
    for (patch,) in connection.execute(
        "SELECT patch FROM attempts WHERE run_key = ? AND id > ? AND id <= ? AND parent IS NULL"
        " AND patch IS NOT NULL ORDER BY id",
        (run_key, since, latest),
    ):
        Patch.from_json(patch).apply(state)
    return state, len(snapshot)


def given_state(source: sqlite3.Connection | Tx, run_key: int) -> str:
    """The state that a run began with, as JSON."""
    row = source.execute(
        "SELECT state FROM run_states WHERE run_key = ? AND after_attempt = 0", (run_key,)
    ).fetchone()
    return str(row[0])
